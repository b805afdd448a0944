/* check: everything that is wrong, before it goes wrong. */
#include <stdlib.h>
#include <string.h>

#include "policies.h"
#include "postern/fetch.h"
#include "postern/secret_read.h"

/* Where a password or token should come from is looked at; what it is, is not. */
static void
check_secret(const struct conf_account *a, const struct secret *s, const char *file,
		struct conf_faults *faults)
{
	AUTO(secret_done) struct buf value = BUF_MAX(65536 * 2);
	AUTO(buf_done) struct buf text = BUF_MAX(1024);
	struct err err = { 0 };

	if (s->kind == SECRET_NONE || s->kind == SECRET_COMMAND ||
			secret_read(s, &value, &err))
		return;
	if (buf_addf(&text, "account %s: %s", a->name, err.text) && buf_cstr(&text))
		conf_faults_add(faults,
				&(struct conf_fault){ .file = file,
						.mark = a->mark,
						.text = text.p,
						.hint = s == &a->token
								? "the token is read from there at each poll"
								: "the password is read from there at each poll" });
}

static int
check_online(struct cli *c)
{
	bool fine = true;

	for (size_t i = 0; i < c->conf->accounts.n; i++) {
		const struct conf_account *a = &c->conf->accounts.p[i];
		struct fetch_result r = { 0 };
		bool ok = fetch_try(c->conf, i, &r);
		fine = fine && ok;
		if (ok)
			(void)printf("%s: logged on, %llu messages wait there\n",
					a->name, (unsigned long long)r.listed);
		else {
			(void)printf("%s: ", a->name);
			cli_print_lines(stdout, span_of(r.error.text));
		}
	}
	return fine ? CLI_DONE : CLI_FAILED;
}

static json_t *
fault_json(const struct conf_fault *f)
{
	return json_pack("{s:o,s:i,s:i,s:s,s:o,s:o}", "file",
			cli_json_span(span_of(f->file)), "line", (int)f->mark.line,
			"column", (int)f->mark.column, "severity",
			f->warning ? "warning" : "error", "text",
			cli_json_span(span_of(f->text)), "hint",
			f->hint ? cli_json_span(span_of(f->hint)) : json_null());
}

static void
print_faults(struct cli *c, const struct conf_faults *faults)
{
	if (!c->json) {
		(void)cli_print_faults(faults, stdout);
		return;
	}
	json_t *list = json_array();
	for (size_t i = 0; i < faults->n; i++)
		(void)json_array_append_new(list, fault_json(&faults->list[i]));
	(void)cli_print_json(list);
}

int
cli_check(struct cli *c)
{
	bool online = false;
	const struct cli_option options[] = { { "--online", NULL, &online }, { 0 } };
	struct policy_files files = { 0 };
	struct conf_faults *faults = malloc(sizeof(*faults));

	if (!faults)
		abort();
	if (!cli_options(c, options, 0, 0)) {
		free(faults);
		return CLI_USAGE;
	}
	conf_faults_init(faults);
	if (cli_conf_faults(c, faults)) {
		for (size_t i = 0; i < c->conf->accounts.n; i++) {
			const struct conf_account *a = &c->conf->accounts.p[i];

			check_secret(a, &a->password, c->conf_path, faults);
			check_secret(a, &a->token, c->conf_path, faults);
		}
		policy_files_read(c, NULL, 0, &files, faults);
		struct policy_set *set = cli_policies_known(c, &files);
		if (set)
			policy_check_conf(set, c->conf, faults);
		policy_free(set);
	}
	print_faults(c, faults);
	int status = faults->errors > 0 ? CLI_CONFIG : CLI_DONE;
	if (status == CLI_DONE && !c->json)
		(void)printf("%s: no errors.\n", c->conf_path);
	policy_files_done(&files);
	conf_faults_done(faults);
	free(faults);
	return status == CLI_DONE && online ? check_online(c) : status;
}
