/* rc: what the readers of other programs' files share.
 *
 * A reader fills a draft for each account; rc_account_end makes an account of it:
 * checks what the configuration would refuse, completes the recipient and finds a
 * name. Memory is bounded by the text: what is inherited (defaults) is shared, not
 * copied, and notes, accounts and domains are counted. */
#ifndef CONF_RC_H
#define CONF_RC_H

#include "postern/map.h"
#include "postern/rcfile.h"

struct rc_notes {
	const struct rc_note *first;
	struct rc_note *last;
};

struct rc_reader {
	struct rc_file *file;
	struct span text;
	const char *domain;
	struct rc_fault *fault;
	struct rc_account *last;
	struct rc_notes notes; /* about no account */
	unsigned n_notes, n_domains, serial;
	struct map names; /* of accounts, in lower case */
};

struct rc_text {
	const struct rc_text *next; /* the one before it: the list runs backwards */
	struct span text;
	unsigned line;
};

/* An account while it is read. Spans that were not set have n 0. */
struct rc_draft {
	struct rc_account a;
	struct rc_notes notes;
	struct span name; /* wished for; else it is made of the user */
	struct span server; /* without a port */
	struct span user, recipient;
	struct span domain; /* completes the recipient instead of the reader's */
	struct span envelope; /* header field */
	struct span strip; /* prefix of the local parts in it */
	const struct rc_text *domains;
	size_t n_domains;
};

void *rc_take(struct rc_reader *r, size_t n); /* zeroed, never NULL */
const char *rc_keep(struct rc_reader *r, struct span s);
/* Fills the fault. Always false. */
bool rc_fault_at(struct rc_reader *r, struct conf_mark at, const char *fmt, ...)
		__attribute__((format(printf, 3, 4)));
/* to NULL: not noted. */
void rc_note(struct rc_reader *r, struct rc_notes *to, unsigned line, const char *fmt,
		...) __attribute__((format(printf, 4, 5)));
/* Puts s in front of a list of texts. */
void rc_text_add(struct rc_reader *r, const struct rc_text **list, struct span s,
		unsigned line);
/* False: there are too many accounts. One that cannot be is told in the file's notes. */
bool rc_account_end(struct rc_reader *r, struct rc_draft *d);

bool rc_fetchmail(struct rc_reader *r);
bool rc_getmail(struct rc_reader *r);
bool rc_mpop(struct rc_reader *r);

/* Why a statement has no equivalent. */
struct rc_reason {
	const char *word, *says;
};

/* The words of list, ended by a NULL word, or NULL. */
const char *rc_reason_find(const struct rc_reason *list, struct span word);

#endif
