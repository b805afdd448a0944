/* check: everything that is wrong, before it goes wrong. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "directory.h"
#include "postern/secret_read.h"
#include "postern/store.h"

/* Environment and credentials are given to the service by its unit: where this command has
 * none of them, they cannot be looked at. */
static bool
is_elsewhere(const struct secret *s)
{
	return (s->kind == SECRET_ENV && !getenv(s->text)) ||
			(s->kind == SECRET_CREDENTIAL &&
					!getenv("CREDENTIALS_DIRECTORY"));
}

/* It is not run: that could ask somebody something. */
static bool
can_run(const struct secret *s, struct err *err)
{
	const char *program = s->argv[0];

	if (!strchr(program, '/') ||
			faccessat(AT_FDCWD, program, X_OK, AT_EACCESS) == 0)
		return true;
	return err_errno(err, 0, errno, "cannot run %s", program);
}

/* Where a password or token should come from is looked at; what it is, is not. */
static void
check_secret(const struct conf_account *a, const struct secret *s, const char *file,
		struct conf_faults *faults)
{
	AUTO(secret_done) struct buf value = BUF_MAX(65536 * 2);
	AUTO(buf_done) struct buf text = BUF_MAX(1024);
	struct err err = { 0 };

	if (s->kind == SECRET_NONE)
		return;
	if (s->kind == SECRET_COMMAND ? can_run(s, &err) : secret_read(s, &value, &err))
		return;
	if (buf_addf(&text, "account %s: %s", a->name, err.text) && buf_cstr(&text))
		conf_faults_add(faults,
				&(struct conf_fault){ .warning = is_elsewhere(s),
						.file = file,
						.mark = a->mark,
						.text = text.p,
						.hint = is_elsewhere(s)
								? "it is looked at where the service runs: LoadCredential= or EnvironmentFile= in its unit"
								: s == &a->token
								? "the token is read from there at each poll"
								: "the password is read from there at each poll" });
}

/* From here on everything is met as the service will meet it. */
static void
meet_as_user(struct cli *c, struct conf_faults *faults)
{
	AUTO(buf_done) struct buf text = BUF_MAX(1024);

	if (!cli_become_user(c)) {
		conf_faults_add(faults,
				&(struct conf_fault){ .file = c->conf_path,
						.text = "server.user cannot be used" });
		return;
	}
	if (c->owner && faccessat(AT_FDCWD, c->conf_path, R_OK, AT_EACCESS) != 0 &&
			errno == EACCES &&
			buf_addf(&text, "the state belongs to %s, who cannot read this file",
					c->conf->server.user) &&
			buf_cstr(&text))
		conf_faults_add(faults,
				&(struct conf_fault){ .file = c->conf_path,
						.text = text.p,
						.hint = "chgrp it and its folder to that user's group, mode 0640 and 0750" });
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

static json_t *
faults_json(const struct conf_faults *faults)
{
	json_t *list = json_array();

	for (size_t i = 0; i < faults->n; i++)
		(void)json_array_append_new(list, fault_json(&faults->list[i]));
	return list;
}

/* The database, read through. NULL: there is none yet, or it cannot be used, which is no
 * fault of the configuration but is told like one. */
static struct reader *
check_state(struct cli *c, struct conf_faults *faults)
{
	struct err err = { 0 };
	bool nothing;
	struct reader *r = reader_find(c->conf->server.state, &nothing, &err);

	if (nothing || (r && reader_check(r, &err)))
		return r;
	conf_faults_add(faults,
			&(struct conf_fault){ .file = cli_path(c, "postern.db"),
					.text = err.text,
					.hint = "nothing is collected or delivered before this is mended" });
	reader_close(r);
	return NULL;
}

/* With --online the faults are a part of the answer. */
static int
report(struct cli *c, const struct conf_faults *faults, bool of_conf, bool online)
{
	int status = of_conf ? CLI_CONFIG : faults->errors > 0 ? CLI_FAILED : CLI_DONE;

	if (!c->json) {
		(void)cli_print_faults(faults, stdout);
		if (status == CLI_DONE)
			(void)printf("%s: no errors.\n", c->conf_path);
		return status == CLI_DONE && online ? cli_check_online(c, NULL)
						    : status;
	}
	if (!online) {
		(void)cli_print_json(faults_json(faults));
		return status;
	}
	json_t *all = json_pack("{s:o,s:[],s:[]}", "faults", faults_json(faults),
			"accounts", "routes");
	if (status == CLI_DONE)
		status = cli_check_online(c, all);
	(void)cli_print_json(all);
	return status;
}

int
cli_check(struct cli *c)
{
	bool online = false, of_conf = true;
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
		meet_as_user(c, faults);
		for (size_t i = 0; i < c->conf->accounts.n; i++) {
			const struct conf_account *a = &c->conf->accounts.p[i];

			check_secret(a, &a->password, c->conf_path, faults);
			check_secret(a, &a->token, c->conf_path, faults);
		}
		cli_check_files(c, faults);
		cli_check_self(c, faults);
		policy_files_read(c, NULL, 0, &files, faults);
		policy_files_missing(c, false, faults);
		of_conf = faults->errors > 0;
		struct reader *r = check_state(c, faults);
		const size_t of_state = faults->errors;
		struct directory *d = directory_known(r, &files);
		policy_check_conf(d, c->conf, faults);
		of_conf |= faults->errors > of_state;
		directory_free(d);
		reader_close(r);
	}
	int status = report(c, faults, of_conf, online);
	policy_files_done(&files);
	conf_faults_done(faults);
	free(faults);
	return status;
}
