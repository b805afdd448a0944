/* conf_load: YAML text to struct conf and struct policy_doc, with all faults.
 *
 * Dry: the caller reads the files. Faults are collected, not stopped at; a
 * result is given only when none of them is an error. Input is hostile: text
 * over CONF_TEXT_MAX, anchors, aliases, tags, several documents, UTF-16 and
 * deep nesting are faults, and work is linear in the size of the text. */
#ifndef POSTERN_CONF_LOAD_H
#define POSTERN_CONF_LOAD_H

#include "postern/arena.h"
#include "postern/buf.h"
#include "postern/conf.h"

enum {
	CONF_TEXT_MAX = 4 * 1024 * 1024, /* bytes of one file */
	CONF_FAULTS_MAX = 100, /* kept; the others are counted in `more` */
};

struct conf_fault {
	bool warning; /* the configuration may be used all the same */
	int event; /* 4045 and so on; 0: none */
	const char *account, *domain; /* whom the event is about, or NULL */
	const char *file;
	struct conf_mark mark; /* line 0: about the file as a whole */
	const char *text; /* one line */
	const char *hint; /* one line what to do, or NULL */
};

struct conf_faults {
	struct conf_fault list
			[CONF_FAULTS_MAX]; /* in the order of file and line per file */
	size_t n;
	size_t errors; /* those that are not warnings, kept or not */
	size_t more; /* not kept */
	struct arena arena; /* holds the texts */
};

void conf_faults_init(struct conf_faults *f);
void conf_faults_done(struct conf_faults *f);
/* Adds a fault; the texts are copied, control bytes made harmless. hint may be NULL. */
void conf_faults_add(struct conf_faults *f, const struct conf_fault *fault);
/* "FILE:LINE:COLUMN: error: TEXT" (or "warning"), " (event N)" behind it when
 * there is one, and "    hint: HINT" on a line of its own when there is one; each
 * ends in LF. Line 0 prints "FILE: error: TEXT". False when out is full. */
bool conf_fault_print(const struct conf_fault *fault, struct buf *out)
		__attribute__((warn_unused_result));

struct conf_source {
	struct span text;
	const char *path; /* for faults, and whose folder relative paths start from */
	/* The working directory, for a path that is relative itself: paths in the
	 * configuration are absolute then. NULL: they stay relative to it. */
	const char *cwd;
	const char *hostname; /* this machine's, the preset of server.hostname; NULL: "localhost" */
};

/* The configuration, owned by the caller, or NULL when faults->errors grew. */
struct conf *conf_parse(const struct conf_source *src, struct conf_faults *faults)
		__attribute__((warn_unused_result));

/* ---- recipient policies, SPEC section 4 ---- */

struct policy_template {
	bool primary;
	const char *text; /* "%g.%s@contoso.test" as it stands */
};

struct policy_templates {
	const struct policy_template *p;
	size_t n;
};

enum policy_unknown { POLICY_UNKNOWN_ACCEPT, POLICY_UNKNOWN_REJECT };

struct policy_doc_domain {
	const char *domain; /* canonical; a literal keeps its brackets */
	bool subdomains; /* "*.domain": every name below it, not itself */
	bool authoritative;
	enum policy_unknown unknown;
	const char *subaddress; /* each of these parts a tag from the user; "" none */
	struct conf_mark mark;
};

struct policy_doc_domains {
	const struct policy_doc_domain
			*p; /* those of the templates are here too, once */
	size_t n;
};

struct policy_match {
	struct conf_texts groups; /* n == 0: everybody */
};

enum policy_spelling { POLICY_SPELLING_PLAIN, POLICY_SPELLING_GERMAN };

struct policy_doc {
	const char *path;
	const char *name; /* as account names */
	unsigned priority; /* lower is tried first; the policy named default is last */
	struct policy_match match;
	enum policy_spelling spelling;
	struct policy_templates addresses;
	struct policy_doc_domains domains;
};

/* One policy file, owned by the caller, or NULL when faults->errors grew.
 * src->hostname is not used. */
struct policy_doc *policy_doc_parse(const struct conf_source *src,
		struct conf_faults *faults) __attribute__((warn_unused_result));
void policy_doc_free(struct policy_doc *d);
/* Adds an error for every two files that give the same policy name. */
void policy_docs_check(
		struct policy_doc *const *docs, size_t n, struct conf_faults *faults);

/* ---- values on their own, for command lines and stored rows ---- */

/* Each fills *out from text, its strings from the arena; on failure *why says
 * what is expected ("a host name or an address, ...") and *out is untouched. */
bool conf_hop_parse(struct span text, const char *dir, struct arena *a,
		struct conf_hop *out, const char **why);
bool conf_host_parse(struct span text, struct arena *a, struct conf_host *out,
		const char **why);
bool conf_cidr_parse(struct span text, struct conf_cidr *out, const char **why);
/* A policy or route domain, "*." allowed: canonical name without it into *domain. */
bool conf_domain_parse(struct span text, struct arena *a, const char **domain,
		bool *subdomains, const char **why);
/* True for what may be the name of an account or a policy. */
bool conf_name_ok(struct span text);

#endif
