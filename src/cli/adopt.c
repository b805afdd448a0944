/* accounts adopt: what is in a mailbox now counts as seen. */
#include <inttypes.h>
#include <stdlib.h>

#include "accounts.h"
#include "policies.h"
#include "postern/fetch.h"

struct adopting {
	struct store *store;
	struct span account;
	uint64_t adopted, known;
};

/* How many of them are to be left alone from now on that were not before. */
static bool
count(struct adopting *a, const struct span *uidls, size_t n, uint64_t *fresh,
		struct err *err)
{
	*fresh = 0;
	for (size_t i = 0; i < n; i++) {
		enum origin_state state;

		if (!origin_look(store_reader(a->store), a->account, uidls[i], &state,
				    NULL, err))
			return false;
		*fresh += state == ORIGIN_NEW || state == ORIGIN_SETTLED;
	}
	return true;
}

static bool
take(void *host, const struct span *uidls, size_t n, struct err *err)
{
	struct adopting *a = host;
	struct origin_change change = {
		.job.work = STORE_ORIGINS,
		.act = ORIGIN_ACT_ADOPT,
		.account = a->account,
		.uidls = uidls,
		.n = n,
	};
	struct list jobs;
	uint64_t fresh;

	if (!count(a, uidls, n, &fresh, err))
		return false;
	list_init(&jobs);
	list_init(&change.job.link);
	list_add(&jobs, &change.job.link);
	store_run(a->store, &jobs);
	if (change.job.result != STORE_DONE) {
		*err = change.job.err;
		return false;
	}
	a->adopted += fresh;
	a->known += n - fresh;
	return true;
}

static int
report(struct cli *c, const char *name, const struct adopting *a,
		const struct fetch_result *r, const struct fetch_look *look)
{
	AUTO(buf_done) struct buf words = BUF_MAX(512);
	(void)!buf_addf(&words,
			"%" PRIu64 " messages listed, %" PRIu64 " adopted, %" PRIu64
			" known before",
			r->listed, a->adopted, a->known);

	if (look->unnamed > 0)
		(void)!buf_addf(&words,
				", %" PRIu64 " without a usable unique-id left out",
				look->unnamed);
	if (c->json)
		return cli_print_json(json_pack("{s:s,s:I,s:I,s:I,s:I}", "name", name,
				"listed", (json_int_t)r->listed, "adopted",
				(json_int_t)a->adopted, "known", (json_int_t)a->known,
				"unnamed", (json_int_t)look->unnamed));
	(void)printf("%s: " SPAN_FMT "\n", name, SPAN_ARG(buf_span(&words)));
	return CLI_DONE;
}

static int
failed(const char *name, const struct fetch_result *r, const struct fetch_look *look)
{
	int status = r->error.event == EVENT_MAILBOX_IN_USE ? CLI_LATER : CLI_FAILED;

	(void)cli_fail(0, "%s: %s", name, look->words[0] ? look->words : r->error.text);
	if (look->hint[0])
		(void)cli_fail(0, "hint: %s", look->hint);
	return status;
}

/* What was taken before it failed is taken. */
static void
record(struct cli *c, const char *name, const struct adopting *a,
		const struct fetch_result *r)
{
	char detail[256];

	if (a->adopted + a->known == 0 && r->failed)
		return;
	(void)snprintf(detail, sizeof(detail),
			"%s, %" PRIu64 " messages adopted, %" PRIu64 " known before",
			name, a->adopted, a->known);
	cli_changed(c, "accounts adopt", detail);
}

int
cli_accounts_adopt(struct cli *c)
{
	struct adopting a = { 0 };
	struct fetch_result r = { 0 };
	struct fetch_look look;

	const struct conf_account *account;
	int status = cli_account_named(c, 1, &account);
	if (status != CLI_DONE)
		return status;
	a.account = span_of(account->name);
	a.store = cli_store_open(c);
	if (!a.store)
		return CLI_FAILED;

	const struct fetch_adopter to = { .take = take, .host = &a };
	bool ok = fetch_adopt(c->conf, (size_t)(account - c->conf->accounts.p), &to, &r,
			&look);
	store_close(a.store);
	record(c, account->name, &a, &r);
	return ok ? report(c, account->name, &a, &r, &look)
		  : failed(account->name, &r, &look);
}
