/* The policy files that the configuration names, or the command line. */
#include "directory.h"

#include <stdlib.h>

#include "postern/file.h"

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

	*out = (struct policy_files){ .named = n > 0 };
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
		out->partial |= found.n == 0;
		file_names_done(&found);
	}
	policy_docs_check(out->docs, out->n, faults);
}

void
policy_files_missing(struct cli *c, bool warning, struct conf_faults *faults)
{
	for (size_t i = 0; i < c->conf->policies.n; i++) {
		AUTO(buf_done) struct buf text = BUF_MAX(8192);
		struct file_names found = { 0 };
		struct err err = { 0 };

		/* What cannot be looked at is told by policy_files_read. */
		if (file_glob(c->conf->policies.p[i], &found, &err) && found.n == 0 &&
				buf_addf(&text, "policies: no file matches %s",
						c->conf->policies.p[i]) &&
				buf_cstr(&text))
			conf_faults_add(faults,
					&(struct conf_fault){
							.warning = warning,
							.file = c->conf_path,
							.text = text.p,
							.hint = "correct the path; without policies no address is accepted",
					});
		file_names_done(&found);
	}
}

void
policy_files_done(struct policy_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		policy_doc_free(f->docs[i]);
	free(f->docs);
	*f = (struct policy_files){ 0 };
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
