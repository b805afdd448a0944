/* Any header: no recipient outside the served domains, no byte that could break
 * an SMTP line, each recipient once, a record of bounded size; and while the
 * provider's own envelope header stands on top, nothing below it counts (E18). */
#include "postern/must.h"
#include "postern/recipients.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_text(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		MUST((unsigned char)s.p[i] > 0x20 && (unsigned char)s.p[i] < 0x7f &&
				s.p[i] != '<' && s.p[i] != '>');
	MUST(s.n <= 254);
}

static void
check(const struct recipients_account *account, const struct recipients *r,
		struct arena *arena)
{
	AUTO(buf_done) struct buf record = BUF_MAX(RECIPIENTS_RECORD_MAX);
	size_t kept = 0;
	struct address a;

	for (size_t i = 0; i < r->n; i++) {
		check_text(r->v[i]);
		MUST(address_parse(arena, r->v[i], &a));
		MUST(domains_have(account->served, a.domain));
	}
	for (size_t i = 1; i < r->n && r->n < 100; i++) {
		for (size_t k = 0; k < i; k++)
			MUST(!span_eq_nocase(r->v[i], r->v[k]));
	}
	check_text(r->sender);
	MUST(r->sender.n == 0 || address_parse(arena, r->sender, &a));
	for (size_t i = 0; i < r->n_candidates; i++) {
		MUST(r->candidates[i].why);
		kept += r->candidates[i].kept;
	}
	MUST(r->outcome != RECIPIENTS_FOUND || account->rules || kept == r->n);
	MUST((r->outcome == RECIPIENTS_FOUND || r->outcome == RECIPIENTS_FALLBACK) ==
			(r->n > 0));
	MUST(recipients_record(account, r, &record));
}

/* What the record keeps of a header leads to the same decision. */
static void
replay(const struct recipients_account *account, const struct recipients *r,
		struct arena *arena)
{
	struct recipients again;

	if (r->fields_cut)
		return;
	recipients_decide(account, r->fields, arena, &again);
	MUST(again.n == r->n && again.level == r->level && again.outcome == r->outcome);
	for (size_t i = 0; i < r->n; i++)
		MUST(span_eq(again.v[i], r->v[i]));
	MUST(again.n_candidates == r->n_candidates);
}

/* Two messages in three are usual ones, so that there is something to be unlike. */
static void
learn(struct provider_habits *p, const struct recipients *usual,
		const struct recipients *other)
{
	for (unsigned i = 0; i < 2 * PROVIDER_LEARN; i++)
		provider_learn(p, i % 3 ? &usual->seen : &other->seen);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct span prefix = { SPAN_INIT(
			"Return-Path: <s@else.test>\r\n"
			"X-Original-To: jane@d.test\r\n"
			"Received: from a by mx.isp.test; x\r\n") };
	const struct span own[] = { SPAN("d.test"), SPAN("*.e.test") };
	AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	AUTO(buf_done) struct buf header = BUF_MAX(1 << 22);
	struct domains served;
	struct span bad;
	struct recipients r;

	if (n < 1)
		return 0;
	MUST(domains_init(&served, &arena, own, 2, &bad));
	struct span block = { (const char *)data + 1, n - 1 };
	struct recipients_account account = {
		.name = SPAN("fuzz"),
		.served = &served,
		.policy = &served,
		.first_domain = SPAN("d.test"),
		.mode = data[0] & 1 ? RECIPIENTS_AUTO : RECIPIENTS_STRICT,
		.trusted_hops = (data[0] >> 1) % 4,
		.login = SPAN("d"),
		.provider = SPAN("pop.isp.test"),
		.default_domain = data[0] & 8 ? SPAN("d.test") : SPAN(""),
		.unrouted = data[0] & 16 ? UNROUTED_HOLD : UNROUTED_POSTMASTER,
	};
	recipients_decide(&account, block, &arena, &r);
	check(&account, &r, &arena);
	replay(&account, &r, &arena);

	struct recipients ruled;
	static const struct span strips[] = { { SPAN_INIT("x-") },
		{ SPAN_INIT("*-y") } };
	const struct span to[] = { SPAN("ann@d.test"), SPAN("bob@a.e.test") };
	const struct span star[] = { SPAN("*@d.test") };
	const struct recipients_rule rules[] = {
		{ SPAN("sales"), to, 2 },
		{ SPAN("a@b.test"), to, 1 },
		{ SPAN("*@a.e.test"), star, 1 },
		{ SPAN("*@d.test"), to + 1, 1 },
		{ SPAN("list.x"), to, 1 },
	};
	size_t left_out;
	account.rules = recipients_rules_new(&arena, rules, 5, &left_out);
	account.bottom = data[0] & 32;
	account.strip = strips;
	account.n_strip = data[0] & 64 ? 2 : 0;
	recipients_decide(&account, block, &arena, &ruled);
	check(&account, &ruled, &arena);
	replay(&account, &ruled, &arena);
	account.rules = NULL;
	account.bottom = false;
	account.n_strip = 0;

	account.trusted_hops = 1;
	MUST(buf_add(&header, prefix) && buf_add(&header, block));
	recipients_decide(&account, buf_span(&header), &arena, &r);
	MUST(r.n == 1 && span_eq(r.v[0], SPAN("jane@d.test")) && r.level == 2);
	MUST(span_eq(r.sender, SPAN("s@else.test")) && !r.no_notify);
	replay(&account, &r, &arena);

	struct provider_habits habits = { .seen = 0 };
	learn(&habits, &r, &ruled);
	account.learned = &habits;
	recipients_decide(&account, block, &arena, &r);
	check(&account, &r, &arena);
	replay(&account, &r, &arena);
	return 0;
}
