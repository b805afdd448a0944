#include "directory.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/log.h"

static struct store *
store_ready(struct cli *c, struct err *e)
{
	const struct store_options o = { .now_ms = clock_wall_ms() };
	bool fresh = access(cli_path(c, "postern.db"), F_OK) != 0 && errno == ENOENT;
	struct store_recovery found;
	struct store *s = store_open(c->conf->server.state, &o, &found, e);

	/* It is here that a newer program meets the state for the first time. */
	if (s && found.migrated_from > 0)
		log_event(EVENT_MIGRATED,
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

	*nothing = false;
	if (!cli_state_readable(c))
		return NULL;
	struct reader *r = reader_find(c->conf->server.state, nothing, &err);

	if (!r && !*nothing)
		(void)cli_fail(0, "%s", err.text);
	return r;
}

/* What is doubtful is worth an event when the service starts, where there is one. An error
 * here is one of `check` that stops nobody: the account is held (4018), the others go on. */
static void
log_warnings(const struct conf_faults *faults)
{
	for (size_t i = 0; i < faults->n; i++) {
		const struct conf_fault *f = &faults->list[i];
		if (f->event != 0)
			log_event(f->event,
					FIELDS(f_str("account", f->account),
							f_str("domain", f->domain)));
		else
			(void)fprintf(stderr, "postern: %s:%u: %s: %s\n", f->file,
					f->mark.line, f->warning ? "warning" : "error",
					f->text);
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
		policy_files_missing(c, true, faults);
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
