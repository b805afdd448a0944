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
	MUST(r->outcome != RECIPIENTS_FOUND || kept == r->n);
	MUST((r->outcome == RECIPIENTS_FOUND || r->outcome == RECIPIENTS_FALLBACK) ==
			(r->n > 0));
	MUST(recipients_record(account, r, &record));
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

	account.trusted_hops = 1;
	MUST(buf_add(&header, prefix) && buf_add(&header, block));
	recipients_decide(&account, buf_span(&header), &arena, &r);
	MUST(r.n == 1 && span_eq(r.v[0], SPAN("jane@d.test")) && r.level == 2);
	MUST(span_eq(r.sender, SPAN("s@else.test")) && !r.no_notify);
	return 0;
}
