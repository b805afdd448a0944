#include "directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/file.h"
#include "postern/log.h"

enum { FILES_MAX = 1000 };

size_t
cli_print_faults(const struct conf_faults *faults, FILE *to)
{
	AUTO(buf_done) struct buf out = BUF_MAX(1024 * 1024);

	for (size_t i = 0; i < faults->n; i++)
		(void)!conf_fault_print(&faults->list[i], &out);
	if (faults->more > 0)
		(void)!buf_addf(&out, "and %zu more\n", faults->more);
	(void)fwrite(out.p ? out.p : "", 1, out.n, to);
	return faults->errors;
}

static void
file_fault(struct conf_faults *faults, const char *path, const char *text)
{
	conf_faults_add(faults, &(struct conf_fault){ .file = path, .text = text });
}

static void
read_one(const char *path, struct policy_files *out, struct conf_faults *faults)
{
	AUTO(buf_done) struct buf text = BUF_MAX(CONF_TEXT_MAX + 1);
	struct err err = { 0 };

	if (out->n == FILES_MAX) {
		file_fault(faults, path, "more policy files than 1000");
		return;
	}
	if (!file_read(AT_FDCWD, path, FILE_REGULAR, &text, &err)) {
		file_fault(faults, path, err.text);
		return;
	}
	const struct conf_source src = { .text = buf_span(&text), .path = path };
	struct policy_doc *doc = policy_doc_parse(&src, faults);
	if (!doc)
		return;
	out->docs = realloc(out->docs, (out->n + 1) * sizeof(struct policy_doc *));
	if (!out->docs)
		abort();
	out->docs[out->n++] = doc;
}

void
policy_files_read(struct cli *c, char *const *names, size_t n, struct policy_files *out,
		struct conf_faults *faults)
{
	struct err err = { 0 };

	*out = (struct policy_files){ 0 };
	for (size_t i = 0; i < n; i++)
		read_one(names[i], out, faults);
	for (size_t i = 0; n == 0 && i < c->conf->policies.n; i++) {
		struct file_names found = { 0 };
		if (!file_glob(c->conf->policies.p[i], &found, &err)) {
			file_fault(faults, c->conf->policies.p[i], err.text);
			continue;
		}
		for (size_t k = 0; k < found.n; k++)
			read_one(found.names[k], out, faults);
		file_names_done(&found);
	}
	policy_docs_check(out->docs, out->n, faults);
}

void
policy_files_done(struct policy_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		policy_doc_free(f->docs[i]);
	free(f->docs);
	*f = (struct policy_files){ 0 };
}

/* One file as the store keeps it; everything in the arena. */
static bool
row_of(const struct policy_doc *d, struct arena *a, struct policystore_policy *out)
{
	struct policystore_policy p = {
		.name = span_of(d->name),
		.priority = d->priority,
		.n_groups = d->match.groups.n,
		.n_addresses = d->addresses.n,
		.n_domains = d->domains.n,
		.groups = arena_alloc(a, d->match.groups.n * sizeof(*p.groups)),
		.addresses = arena_alloc(a, d->addresses.n * sizeof(*p.addresses)),
		.domains = arena_alloc(a, d->domains.n * sizeof(*p.domains)),
	};

	if (!p.groups || !p.addresses || !p.domains)
		return false;
	for (size_t i = 0; i < p.n_groups; i++)
		p.groups[i] = span_of(d->match.groups.p[i]);
	for (size_t i = 0; i < p.n_addresses; i++) {
		p.addresses[i].text = span_of(d->addresses.p[i].text);
		p.addresses[i].primary = d->addresses.p[i].primary;
	}
	for (size_t i = 0; i < p.n_domains; i++) {
		const struct policy_doc_domain *from = &d->domains.p[i];
		p.domains[i] = (struct policystore_domain){ span_of(from->domain),
			from->subdomains, from->authoritative,
			from->unknown == POLICY_UNKNOWN_REJECT,
			span_of(from->subaddress) };
	}
	*out = p;
	return true;
}

bool
policy_files_rows(const struct policy_files *f, struct arena *a,
		struct policystore_policy **out, struct err *err)
{
	*out = arena_alloc(a, (f->n + 1) * sizeof(**out));
	for (size_t i = 0; *out && i < f->n; i++) {
		if (!row_of(f->docs[i], a, &(*out)[i]))
			*out = NULL;
	}
	return *out || err_set(err, 0, "the policies are too large");
}

bool
policy_files_apply(struct store *s, const struct policy_files *f, uint64_t *changed,
		struct err *err)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(64 * 1024 * 1024);
	struct policystore_policy *rows;

	if (!policy_files_rows(f, &a, &rows, err))
		return false;
	return policystore_apply(s, rows, f->n, changed, err);
}

/* Faults of the files are printed by whoever applies them in earnest. */
struct policy_files
policy_files_quietly(struct cli *c)
{
	struct conf_faults *faults = malloc(sizeof(*faults));
	struct policy_files files;

	if (!faults)
		abort();
	conf_faults_init(faults);
	policy_files_read(c, NULL, 0, &files, faults);
	conf_faults_done(faults);
	free(faults);
	return files;
}

static struct store *
store_ready(struct cli *c, struct err *e)
{
	const struct store_options o = { .now_ms = clock_wall_ms() };
	bool fresh = access(cli_path(c, "postern.db"), F_OK) != 0 && errno == ENOENT;
	struct store_recovery found;
	struct store *s = store_open(c->conf->server.state, &o, &found, e);

	/* It is here that a newer program meets the state for the first time. */
	if (s && found.migrated_from > 0)
		log_event(9006,
				FIELDS(f_str("path", cli_path(c, "postern.db")),
						f_num("from", found.migrated_from),
						f_num("to", STORE_SCHEMA)));
	if (s && fresh) {
		struct policy_files files = policy_files_quietly(c);
		bool applied = policy_files_apply(s, &files, NULL, e);
		policy_files_done(&files);
		if (!applied) {
			store_close(s);
			s = NULL;
		}
	}
	return s;
}

struct store *
cli_store_open(struct cli *c)
{
	struct err err = { 0 };
	struct store *s = store_ready(c, &err);

	if (!s)
		(void)cli_fail(0, "%s", err.text);
	return s;
}

struct reader *
cli_reader_open(struct cli *c, bool *nothing)
{
	struct err err = { 0 };
	struct reader *r = reader_find(c->conf->server.state, nothing, &err);

	if (!r && !*nothing)
		(void)cli_fail(0, "%s", err.text);
	return r;
}

/* What is doubtful is worth an event when the service starts, where there is one. */
static void
log_warnings(const struct conf_faults *faults)
{
	for (size_t i = 0; i < faults->n; i++) {
		const struct conf_fault *f = &faults->list[i];
		if (f->event != 0)
			log_event(f->event,
					FIELDS(f_str("account", f->account),
							f_str("domain", f->domain)));
		else if (f->warning)
			(void)fprintf(stderr, "postern: %s:%u: warning: %s\n", f->file,
					f->mark.line, f->text);
	}
}

bool
cli_policies_at_start(struct cli *c, int *status)
{
	struct conf_faults *faults = malloc(sizeof(*faults));
	struct policy_files files;
	struct err err = { 0 };
	bool ok = false;

	if (!faults)
		abort();
	conf_faults_init(faults);
	policy_files_read(c, NULL, 0, &files, faults);
	*status = CLI_CONFIG;
	if (faults->errors > 0) {
		(void)cli_print_faults(faults, stderr);
	} else {
		struct store *s = store_ready(c, &err);
		*status = CLI_FAILED;
		ok = s && policy_files_apply(s, &files, NULL, &err);
		struct directory *d =
				ok ? directory_now(c, store_reader(s), &err) : NULL;
		if (d)
			policy_check_conf(d, c->conf, faults);
		log_warnings(faults);
		ok = d != NULL;
		directory_free(d);
		if (!ok) {
			/* Whoever looks only into the journal finds it there. */
			if (err.event != 0)
				log_err(&err, SPAN(""), SPAN(""));
			(void)cli_fail(0, "%s", err.text);
		}
		store_close(s);
	}
	policy_files_done(&files);
	conf_faults_done(faults);
	free(faults);
	return ok;
}
