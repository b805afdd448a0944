#include "check.h"

#include "postern/recipients.h"

#include "postern/smtp_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct arena setup_arena = { .max = 1 << 16 };
static struct domains served;
static struct span names[1];

static struct recipients_account
account(void)
{
	return (struct recipients_account){
		.name = SPAN("contoso"),
		.served = &served,
		.policy = &served,
		.first_domain = SPAN("contoso.test"),
		.trusted_hops = 1,
		.login = SPAN("contoso"),
		.address = SPAN("catchall@contoso.test"),
		.provider = SPAN("pop.isp.test"),
		.postmaster = SPAN("post@fabrikam.test"),
	};
}

static int
setup(void **state)
{
	const struct span entries[] = { SPAN("contoso.test"), SPAN("fabrikam.test") };
	struct span bad;

	(void)state;
	names[0] = SPAN("X-Mine");
	return domains_init(&served, &setup_arena, entries, 2, &bad) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	arena_done(&setup_arena);
	return 0;
}

/* "source level: recipients" of a decision, or how it went without any. */
static void
tell(struct buf *out, const struct recipients *r)
{
	static const char *const outcomes[] = { "", "fallback ", "hold ", "badmail " };

	buf_clear(out);
	assert_true(buf_addf(out, "%s" SPAN_FMT ":", outcomes[r->outcome],
			SPAN_ARG(r->source)));
	for (size_t i = 0; i < r->n; i++)
		assert_true(buf_addc(out, ' ') && buf_add(out, r->v[i]));
}

static const struct recipients_fact *
fact_of(const struct recipients *r, int event)
{
	for (size_t i = 0; i < r->n_facts; i++) {
		if (r->facts[i].event == event)
			return &r->facts[i];
	}
	return NULL;
}

#define ISP "Received: from a.test by mx.isp.test with ESMTP id 1; Mon\n"
#define ISP_FOR(a) \
	"Received: from a.test by mx.isp.test with ESMTP id 1\n\tfor <" a ">; Mon\n"
#define SENDER "Received: from z by a.test for <eve@contoso.test>; Mon\n"

static void
sources_are_asked_in_order(void **state)
{
	static const struct {
		enum recipients_mode mode;
		const char *header, *want;
		int event; /* that must be told; 0: no 4035, 4036 */
	} rows[] = {
		/* level 2 */
		{ RECIPIENTS_AUTO,
				"X-Original-To: ann@contoso.test\n" ISP
				"To: bob@contoso.test\n",
				"X-Original-To: ann@contoso.test", 0 },
		{ RECIPIENTS_AUTO,
				"Delivered-To: bob@contoso.test\nX-Original-To: ann@contoso.test\n" ISP,
				"X-Original-To: ann@contoso.test", 0 },
		{ RECIPIENTS_AUTO,
				"Envelope-To: ann@contoso.test, bob@fabrikam.test, x@y\n" ISP,
				"Envelope-To: ann@contoso.test bob@fabrikam.test", 0 },
		/* a value that is the account's own does not count, nor a foreign one */
		{ RECIPIENTS_AUTO,
				"X-Original-To: catchall@contoso.test\n"
				"Delivered-To: ann@contoso.test\n" ISP,
				"Delivered-To: ann@contoso.test", 0 },
		{ RECIPIENTS_AUTO,
				"Delivered-To: contoso@contoso.test\n" ISP
				"To: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 0 },
		{ RECIPIENTS_AUTO,
				"X-Envelope-To: x@isp.test\nX-Real-To: ann@contoso.test\n" ISP,
				"X-Real-To: ann@contoso.test", 0 },
		/* several words are a list marker */
		{ RECIPIENTS_AUTO,
				"Delivered-To: mailing list ann@contoso.test\n" ISP
				"Cc: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 0 },
		/* E2: below the provider's Received, or no Received at all */
		{ RECIPIENTS_AUTO,
				ISP
				"X-Original-To: eve@contoso.test\nTo: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 4036 },
		{ RECIPIENTS_AUTO,
				"X-Original-To: eve@contoso.test\nTo: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 4036 },
		{ RECIPIENTS_AUTO, ISP "Delivered-To: x@else\nTo: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 0 },
		/* two that disagree */
		{ RECIPIENTS_AUTO,
				"X-Original-To: ann@contoso.test\nX-Original-To: eve@contoso.test\n" ISP
				"To: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 4036 },
		{ RECIPIENTS_AUTO,
				"X-Original-To: ann@contoso.test\nX-Original-To: Ann@contoso.test\n" ISP,
				"X-Original-To: ann@contoso.test", 0 },
		/* strict, none, names */
		{ RECIPIENTS_STRICT,
				ISP_FOR("ann@contoso.test") "To: bob@contoso.test\n",
				"fallback fallback: postmaster@contoso.test", 4033 },
		{ RECIPIENTS_STRICT, "X-Original-To: ann@contoso.test\n" ISP,
				"X-Original-To: ann@contoso.test", 0 },
		{ RECIPIENTS_NONE,
				"X-Original-To: ann@contoso.test\n" ISP
				"To: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 0 },
		{ RECIPIENTS_NAMES,
				"X-Mine: ann@contoso.test\nX-Original-To: eve@contoso.test\n" ISP,
				"X-Mine: ann@contoso.test", 0 },
		{ RECIPIENTS_NAMES,
				"X-Original-To: eve@contoso.test\n" ISP
				"To: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 4035 },
		/* level 3 */
		{ RECIPIENTS_AUTO, ISP_FOR("ann@contoso.test") "To: bob@contoso.test\n",
				"received-for: ann@contoso.test", 0 },
		{ RECIPIENTS_AUTO,
				ISP_FOR("multiple recipients") "To: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 0 },
		{ RECIPIENTS_AUTO,
				ISP_FOR("a@contoso.test>,<b@contoso.test") "To: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 0 },
		{ RECIPIENTS_AUTO,
				ISP_FOR("catchall@contoso.test") "To: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 0 },
		{ RECIPIENTS_AUTO, SENDER "To: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 0 },
		{ RECIPIENTS_AUTO, ISP SENDER "To: bob@contoso.test\n",
				"to-cc: bob@contoso.test", 0 },
		/* level 4 */
		{ RECIPIENTS_AUTO,
				ISP
				"Resent-From: x@y\nResent-To: ann@contoso.test\n"
				"Resent-Cc: bob@contoso.test\n" SENDER
				"Resent-To: eve@contoso.test\nTo: eve@contoso.test\n",
				"resent-to: ann@contoso.test bob@contoso.test", 0 },
		{ RECIPIENTS_AUTO,
				ISP
				"Resent-To: ann@contoso.test\nResent-To: eve@contoso.test\n",
				"resent-to: ann@contoso.test", 0 },
		{ RECIPIENTS_AUTO, ISP "Resent-To: x@else\nTo: eve@contoso.test\n",
				"fallback fallback: postmaster@contoso.test", 4033 },
		/* level 5 */
		{ RECIPIENTS_AUTO,
				ISP
				"To: Bob@Contoso.TEST, x@y\nCc: ann@contoso.test\n"
				"to: bob@contoso.test, \"bob\"@contoso.test.\nBcc: eve@fabrikam.test\n"
				"Apparently-To: z@contoso.test\n",
				"to-cc: Bob@contoso.test ann@contoso.test eve@fabrikam.test",
				0 },
		{ RECIPIENTS_AUTO, ISP "To: x@y\nApparently-To: z@contoso.test\n",
				"apparently-to: z@contoso.test", 0 },
		{ RECIPIENTS_AUTO, ISP "To: \"victim@contoso.test\" <x@else>, bob\n",
				"fallback fallback: postmaster@contoso.test", 4033 },
		{ RECIPIENTS_AUTO, "\n", "fallback fallback: postmaster@contoso.test",
				4033 },
		{ RECIPIENTS_AUTO, "", "fallback fallback: postmaster@contoso.test",
				4033 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf got = BUF_MAX(1024);
		struct recipients_account a = account();
		struct recipients r;

		a.mode = rows[i].mode;
		a.names = names;
		a.n_names = 1;
		recipients_decide(&a, span_of(rows[i].header), &arena, &r);
		tell(&got, &r);
		if (!span_eq(buf_span(&got), span_of(rows[i].want)))
			fail_msg("%s\ngot %.*s\nwant %s", rows[i].header, (int)got.n,
					got.p, rows[i].want);
		bool loud = fact_of(&r, 4035) || fact_of(&r, 4036) || fact_of(&r, 4033);
		if (rows[i].event ? !fact_of(&r, rows[i].event) : loud)
			fail_msg("%s\nevent %d", rows[i].header, rows[i].event);
	}
}

static void
what_the_server_tells_comes_first(void **state)
{
	static const struct {
		enum recipients_mode mode;
		const char *to, *from, *header, *want, *sender;
	} rows[] = {
		{ RECIPIENTS_AUTO, "ann@contoso.test", "x@else.test",
				"Return-Path: <y@else.test>\nX-Original-To: eve@contoso.test\n" ISP,
				"*ENV: ann@contoso.test", "x@else.test" },
		/* an empty line is the null sender, whatever From says */
		{ RECIPIENTS_AUTO, "<Ann@Contoso.test>", "", ISP "From: y@else.test\n",
				"*ENV: Ann@contoso.test", "" },
		{ RECIPIENTS_STRICT, "ann@contoso.test, bob@fabrikam.test", "<>",
				ISP "To: eve@contoso.test\n",
				"*ENV: ann@contoso.test bob@fabrikam.test", "" },
		/* an address elsewhere, or none: the header is asked as ever */
		{ RECIPIENTS_AUTO, "ann@else.test", "no sender",
				"Return-Path: <y@else.test>\nX-Original-To: bob@contoso.test\n" ISP,
				"X-Original-To: bob@contoso.test", "y@else.test" },
		{ RECIPIENTS_STRICT, "ann", "x@else.test", ISP "To: eve@contoso.test\n",
				"fallback fallback: postmaster@contoso.test",
				"x@else.test" },
		{ RECIPIENTS_AUTO, "a b c <", "x@else.test", "To: bob@contoso.test\n",
				"to-cc: bob@contoso.test", "x@else.test" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf got = BUF_MAX(1024);
		AUTO(buf_done) struct buf route = BUF_MAX(RECIPIENTS_RECORD_MAX);
		struct recipients_envelope told = { span_of(rows[i].to),
			span_of(rows[i].from) };
		struct recipients_account a = account();
		struct recipients r, again;

		a.mode = rows[i].mode;
		recipients_decide_told(&a, &told, span_of(rows[i].header), &arena, &r);
		tell(&got, &r);
		assert_string_equal(buf_cstr(&got), rows[i].want);
		if (!span_eq(r.sender, span_of(rows[i].sender)))
			fail_msg("%s: sender " SPAN_FMT, rows[i].want,
					SPAN_ARG(r.sender));
		/* The record has both, and they lead to the same. */
		assert_true(recipients_record(&a, &r, &route));
		assert_non_null(strstr(buf_cstr(&route), "\"envelope_to\":"));
		told.to = r.told;
		recipients_decide_told(&a, &told, r.fields, &arena, &again);
		tell(&got, &again);
		assert_string_equal(buf_cstr(&got), rows[i].want);
	}
}

/* A header that calls itself so is one that nobody asks. */
static void
no_header_field_is_what_the_server_tells(void **state)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	AUTO(buf_done) struct buf got = BUF_MAX(1024);
	struct recipients_account a = account();
	struct recipients r;

	(void)state;
	recipients_decide(&a,
			SPAN("*ENV: eve@contoso.test\nenvelope_to: eve@contoso.test\n" ISP
			     "To: bob@contoso.test\n"),
			&arena, &r);
	tell(&got, &r);
	assert_string_equal(buf_cstr(&got), "to-cc: bob@contoso.test");
	assert_int_equal(r.told.n, 0);
	assert_true(span_find(r.fields, '*') == r.fields.n);
}

static void
more_hops_widen_the_trusted_zone(void **state)
{
	static const struct {
		unsigned hops;
		const char *want;
	} rows[] = {
		{ 0, "to-cc: bob@contoso.test" }, { 1, "to-cc: bob@contoso.test" },
		{ 2, "X-Original-To: ann@contoso.test" },
		{ 3, "X-Original-To: ann@contoso.test" },
		{ 4, "to-cc: bob@contoso.test" }, /* fewer Received lines than there should be */
	};
	const struct span header =
			SPAN(ISP "X-Original-To: ann@contoso.test\n" ISP SENDER
				 "X-Real-To: eve@contoso.test\nTo: bob@contoso.test\n");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf got = BUF_MAX(1024);
		struct recipients_account a = account();
		struct recipients r;

		a.trusted_hops = rows[i].hops;
		recipients_decide(&a, header, &arena, &r);
		tell(&got, &r);
		if (!span_eq(buf_span(&got), span_of(rows[i].want)))
			fail_msg("%u hops: %.*s", rows[i].hops, (int)got.n, got.p);
	}
}

static void
nobody_found_goes_down_the_chain(void **state)
{
	static const struct {
		enum recipients_unrouted unrouted;
		const char *address, *first, *postmaster, *want;
	} rows[] = {
		{ UNROUTED_POSTMASTER, "", "contoso.test", "p@fabrikam.test",
				"fallback fallback: postmaster@contoso.test" },
		{ UNROUTED_POSTMASTER, "", "", "p@fabrikam.test",
				"fallback fallback: p@fabrikam.test" },
		{ UNROUTED_POSTMASTER, "", "", "p@else.test", "badmail fallback:" },
		{ UNROUTED_POSTMASTER, "", "*.contoso.test", "p@fabrikam.test",
				"fallback fallback: p@fabrikam.test" },
		{ UNROUTED_ADDRESS, "ann@contoso.test", "contoso.test",
				"p@fabrikam.test",
				"fallback fallback: ann@contoso.test" },
		{ UNROUTED_ADDRESS, "ann@else.test", "contoso.test", "p@fabrikam.test",
				"fallback fallback: postmaster@contoso.test" },
		{ UNROUTED_HOLD, "", "contoso.test", "p@fabrikam.test",
				"hold fallback:" },
		{ UNROUTED_BADMAIL, "", "contoso.test", "p@fabrikam.test",
				"badmail fallback:" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf got = BUF_MAX(1024);
		struct recipients_account a = account();
		struct recipients r;

		a.unrouted = rows[i].unrouted;
		a.unrouted_address = span_of(rows[i].address);
		a.first_domain = span_of(rows[i].first);
		a.postmaster = span_of(rows[i].postmaster);
		recipients_decide(&a, SPAN("To: x@y\n\n"), &arena, &r);
		tell(&got, &r);
		if (!span_eq(buf_span(&got), span_of(rows[i].want)))
			fail_msg("row %zu: %.*s", i, (int)got.n, got.p);
		assert_int_equal(r.level, 7);
	}
}

static void
senders_come_from_the_trusted_return_path(void **state)
{
	static const struct {
		const char *header, *sender;
		bool no_notify;
	} rows[] = {
		{ "Return-Path: <s@X.test>\n" ISP "From: f@y.test\n", "s@x.test",
				false },
		{ "Return-Path: <>\n" ISP "From: f@y.test\n", "", false },
		{ "Return-Path: <s@x.test>\nReturn-Path: <eve@x>\n" ISP
		  "From: f@y.test\n",
				"s@x.test", false },
		{ ISP "Return-Path: <s@x.test>\nFrom: f@y.test\n", "f@y.test", true },
		{ "Return-Path: <s@x.test>\nFrom: f@y.test\n", "f@y.test", true },
		{ "Return-Path: <s@x@y>\n" ISP "From: F <f@y.test>, g@y.test\n",
				"f@y.test", true },
		{ ISP "From: f@y.test\nList-Id: <l>\n", "", true },
		{ ISP "From: f@y.test\nPrecedence: Bulk\n", "", true },
		{ ISP "From: f@y.test\nPrecedence: first-class\n", "f@y.test", true },
		{ ISP "From: f@y.test\nAuto-Submitted: auto-replied; x\n", "", true },
		{ ISP "From: f@y.test\nAuto-Submitted: no\n", "f@y.test", true },
		{ ISP "From: nobody\nSender: s@y.test\nReply-To: r@y.test\n", "",
				true },
		{ ISP "From: \"a b\"@y.test\n", "", true },
		{ ISP, "", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		struct recipients_account a = account();
		struct recipients r;

		recipients_decide(&a, span_of(rows[i].header), &arena, &r);
		if (!span_eq(r.sender, span_of(rows[i].sender)) ||
				r.no_notify != rows[i].no_notify ||
				!fact_of(&r, 4043) == rows[i].no_notify)
			fail_msg("%s: <" SPAN_FMT ">", rows[i].header,
					SPAN_ARG(r.sender));
	}
}

static void
candidates_say_why(void **state)
{
	static const struct {
		const char *address, *header;
		bool kept;
		const char *rule;
	} want[] = {
		{ "ann@contoso.test", "x-original-to", true, "E1.2: " },
		{ "catchall@contoso.test", "Delivered-To", false, "E1: " },
		{ "ann@contoso.test", "received-for", false, "E1: " },
		{ "eve@contoso.test", "received-for", false, "E2: " },
		{ "eve@contoso.test", "X-Envelope-To", false, "E2: " },
		{ "Bob@Contoso.TEST", "To", false, "E1: " },
		{ "x@else.test", "To", false, "E11: " },
		{ "\"a b\"@contoso.test", "CC", false, "H01: " },
		{ "\303\244@contoso.test", "CC", false, "E5: " },
		{ "sub@contoso.test.evil.test", "CC", false, "E11: " },
	};
	const struct span header = SPAN("x-original-to: <ann@contoso.test>\n"
					"Delivered-To: catchall@contoso.test\n" ISP_FOR(
							"ann@contoso.test") SENDER
			"X-Envelope-To: eve@contoso.test\n"
			"To: B <Bob@Contoso.TEST>, x@else.test\n"
			"CC: \"a b\"@contoso.test, \303\244@contoso.test, "
			"sub@contoso.test.evil.test, a@b@c\n\n");
	AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	struct recipients_account a = account();
	struct recipients r;

	(void)state;
	recipients_decide(&a, header, &arena, &r);
	assert_int_equal(r.n_candidates, sizeof(want) / sizeof(*want));
	for (size_t i = 0; i < r.n_candidates; i++) {
		const struct recipients_candidate *c = &r.candidates[i];

		if (!span_eq(c->address, span_of(want[i].address)) ||
				!span_eq(c->header, span_of(want[i].header)) ||
				c->kept != want[i].kept ||
				strncmp(c->why, want[i].rule, strlen(want[i].rule)) !=
						0)
			fail_msg("%zu: " SPAN_FMT " " SPAN_FMT " %d %s", i,
					SPAN_ARG(c->address), SPAN_ARG(c->header),
					c->kept, c->why);
	}
	const struct recipients_fact *f = fact_of(&r, 4030);
	assert_true(f && f->n == 1 && f->m == 9);
	f = fact_of(&r, 4039);
	assert_true(f && span_eq(f->text, SPAN("a@b@c")) &&
			span_eq(f->name, SPAN("CC")));
}

static void
names_without_a_domain_are_completed_only_if_asked(void **state)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	AUTO(buf_done) struct buf got = BUF_MAX(1024);
	const struct span header = SPAN(ISP_FOR("eve") "To: ann, Bob <bob>\n\n");
	struct recipients_account a = account();
	struct recipients r;

	(void)state;
	recipients_decide(&a, header, &arena, &r);
	assert_int_equal(r.outcome, RECIPIENTS_FALLBACK);
	assert_int_equal(r.n_candidates, 0);
	a.default_domain = SPAN("contoso.test");
	recipients_decide(&a, header, &arena, &r);
	tell(&got, &r);
	assert_true(span_eq(buf_span(&got),
			SPAN("to-cc: ann@contoso.test bob@contoso.test")));
}

static void
user_accounts_never_ask_the_header(void **state)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	AUTO(buf_done) struct buf got = BUF_MAX(1024);
	struct recipients_account a = account();
	struct recipients r;

	(void)state;
	a.user = true;
	a.target = SPAN("jane@unlisted.test");
	recipients_decide(&a,
			SPAN("X-Original-To: ann@contoso.test\n" ISP
			     "To: bob@contoso.test\n\n"),
			&arena, &r);
	tell(&got, &r);
	assert_true(span_eq(buf_span(&got), SPAN("account: jane@unlisted.test")));
	assert_int_equal(r.n_candidates, 0);
	assert_int_equal(r.level, 0);
}

static void
providers_are_told_by_their_domain(void **state)
{
	static const struct {
		const char *provider, *host;
		bool same;
	} rows[] = {
		{ "pop.isp.test", "mx.isp.test", true },
		{ "pop.isp.test", "MX1.MAIL.ISP.TEST.", true },
		{ "pop.isp.test", "pop.isp.test", true },
		{ "pop.isp.test", "isp.test", false },
		{ "pop.isp.test", "evilisp.test", false },
		{ "isp.test", "mx.isp.test", false },
		{ "isp.test", "evil.test", false },
		{ "isp.co.uk", "evil.co.uk", false },
		{ "pop.isp.co.uk", "mx.isp.co.uk", true },
		{ "127.0.0.1", "127.0.0.1", true },
		{ "10.1.0.1", "9.1.0.1", false },
		{ "localhost", "localhost", true },
		{ "", "", false },
		{ "pop.isp.test", "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (recipients_is_provider(span_of(rows[i].provider),
				    span_of(rows[i].host)) != rows[i].same)
			fail_msg("%s %s", rows[i].provider, rows[i].host);
	}
}

static void
records_are_bounded_and_say_when_they_are_cut(void **state)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
	AUTO(buf_done) struct buf header = BUF_MAX(1 << 20);
	AUTO(buf_done) struct buf record = BUF_MAX(RECIPIENTS_RECORD_MAX);
	struct recipients_account a = account();
	struct recipients r;

	(void)state;
	recipients_decide(&a,
			SPAN("To: ann@contoso.test, \"x\001\"@y, x@y\nMessage-ID: <1\"2>\n"),
			&arena, &r);
	assert_true(recipients_record(&a, &r, &record));
	const struct span want = SPAN(
			"{\"account\":\"contoso\",\"type\":\"global\",\"outcome\":\"found\","
			"\"level\":5,\"source\":\"to-cc\",\"reason\":\"\",\"sender\":\"\","
			"\"no_notify\":true,\"received\":0,\"trusted_hops\":1,"
			"\"message_id\":\"1\\\"2\",\"recipients\":[\"ann@contoso.test\"],"
			"\"candidates\":[{\"address\":\"ann@contoso.test\",\"header\":\"To\","
			"\"kept\":true,\"why\":\"E1.5: in To, Cc or Bcc\"},"
			"{\"address\":\"x@y\",\"header\":\"To\",\"kept\":false,"
			"\"why\":\"E11: not in the account's domains\"}],"
			"\"recipient_count\":1,\"candidate_count\":2,\"cut\":false,"
			"\"header\":\"To: ann@contoso.test, \\\"x\\u0001\\\"@y, x@y\\u000d\\u000aX:\\u000d\\u000a\"}");
	if (!span_eq(buf_span(&record), want))
		fail_msg("got " SPAN_FMT, SPAN_ARG(buf_span(&record)));

	assert_true(buf_add(&header, SPAN("To: ")));
	for (unsigned i = 0; i < 10001; i++)
		assert_true(buf_addf(&header, "u%05u@contoso.test,\n ", i));
	recipients_decide(&a, buf_span(&header), &arena, &r);
	assert_int_equal(r.n, 10000);
	const struct recipients_fact *f = fact_of(&r, 4038);
	assert_true(f && f->n == 10001 && f->m == 10000);
	buf_clear(&record);
	assert_true(recipients_record(&a, &r, &record));
	assert_non_null(memmem(record.p, record.n, "\"recipient_count\":10000,", 24));
	assert_true(span_ends_nocase(buf_span(&record), SPAN("\"cut\":true}")));
}

static const char *const pieces[] = {
	"ann@contoso.test",
	"Bob@FABRIKAM.test",
	"x@else.test",
	"eve@contoso.test.else.test",
	"\"ann@contoso.test\"@else.test",
	"ann%contoso.test@else.test",
	"<@contoso.test:x@else.test>",
	"\"x\" <ann@contoso.test>",
	"g: bob@contoso.test, y@else.test;",
	"a@b@contoso.test",
	",",
	";",
	"ann@contoso\343\200\202test",
	"\"a\r\n b\"@contoso.test",
	"a\001@contoso.test",
	"(",
	"\"",
	"<",
	"ann@[contoso.test]",
	"=?utf-8?Q?ann=40contoso.test?=",
	"'ann@contoso.test'",
	"ann@contoso.test.",
	"ann @ contoso . test",
	"\"<x>\"@contoso.test",
	"\377@contoso.test",
	"ann@contoso.test?x",
};

static const char *const fields[] = {
	"To",
	"Cc",
	"Bcc",
	"X-Original-To",
	"Delivered-To",
	"Envelope-To",
	"Resent-To",
	"Received",
	"Return-Path",
	"From",
	"Apparently-To",
	"X-Envelope-To",
	"List-Id",
};

static void
random_header(struct buf *out, unsigned *seed, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t k = (size_t)rand_r(seed) % (sizeof(fields) / sizeof(*fields));
		bool received = strcmp(fields[k], "Received") == 0;

		assert_true(buf_addf(out, "%s: %s", fields[k],
				received ? "from a by mx.isp.test for " : ""));
		for (int m = rand_r(seed) % 4; m >= 0; m--)
			assert_true(buf_addf(out, "%s%s ",
					pieces[(size_t)rand_r(seed) %
							(sizeof(pieces) /
									sizeof(*pieces))],
					rand_r(seed) % 3 ? "," : ""));
		assert_true(buf_add(out, SPAN("\r\n")));
	}
}

/* E18 (7): whatever the header says, an envelope holds served domains only, in
 * a form that the SMTP reader takes and reads as the same. */
static void
foreign_domains_never_reach_an_envelope(void **state)
{
	unsigned seed = 7;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf header = BUF_MAX(1 << 16);
		struct recipients_account a = account();
		struct recipients r;
		struct smtp_path path;

		random_header(&header, &seed, 1 + (size_t)rand_r(&seed) % 8);
		recipients_decide(&a, buf_span(&header), &arena, &r);
		for (size_t i = 0; i < r.n; i++) {
			if (!smtp_mailbox_parse(r.v[i], &path) ||
					(!span_eq(path.domain, SPAN("contoso.test")) &&
							!span_eq(path.domain,
									SPAN("fabrikam.test"))))
				fail_msg(SPAN_FMT "\n" SPAN_FMT, SPAN_ARG(r.v[i]),
						SPAN_ARG(buf_span(&header)));
			for (size_t k = 0; k < i; k++)
				assert_false(span_eq_nocase(
						r.v[i], r.v[k])); /* each once */
		}
		if (r.sender.n > 0)
			assert_true(smtp_mailbox_parse(r.sender, &path));
	}
}

/* E18 (4): what a sender writes stands below the provider's Received, and
 * changes nothing while the provider's own envelope header is there. */
static void
senders_cannot_change_the_recipients(void **state)
{
	unsigned seed = 4;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf header = BUF_MAX(1 << 16);
		AUTO(buf_done) struct buf got = BUF_MAX(1024);
		struct recipients_account a = account();
		struct recipients r;

		assert_true(buf_add(&header,
				SPAN("Return-Path: <s@else.test>\r\n"
				     "X-Original-To: jane@contoso.test\r\n" ISP)));
		random_header(&header, &seed, (size_t)rand_r(&seed) % 10);
		recipients_decide(&a, buf_span(&header), &arena, &r);
		tell(&got, &r);
		if (!span_eq(buf_span(&got),
				    SPAN("X-Original-To: jane@contoso.test")) ||
				!span_eq(r.sender, SPAN("s@else.test")))
			fail_msg(SPAN_FMT, SPAN_ARG(buf_span(&header)));
	}
}

/* E18 (3), the dry part: the order of fields within a level, spelling and
 * repetition change nothing in the set, and each recipient comes once. */
static void
shuffled_fields_give_each_recipient_once(void **state)
{
	static const char *const spellings[][3] = {
		{ "ann@contoso.test", "ANN@Contoso.test", "\"ann\"@contoso.test." },
		{ "bob@fabrikam.test", "Bob <bob@fabrikam.test>",
				"bob @ fabrikam.test" },
		{ "eve.x@contoso.test", "\"eve.x\"@contoso.test",
				"G: EVE.x@contoso.test;" },
	};
	static const char *const where[] = { "To", "Cc", "TO", "Bcc" };
	unsigned seed = 3;

	(void)state;
	for (unsigned round = 0; round < 5000; round++) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf header = BUF_MAX(1 << 16);
		struct recipients_account a = account();
		struct recipients r;
		unsigned used = 0, bits = 0;

		for (int n = 1 + rand_r(&seed) % 12; n > 0; n--) {
			unsigned who = (unsigned)rand_r(&seed) % 3;

			used |= 1u << who;
			assert_true(buf_addf(&header, "%s: %s\n",
					where[rand_r(&seed) % 4],
					spellings[who][rand_r(&seed) % 3]));
		}
		recipients_decide(&a, buf_span(&header), &arena, &r);
		for (size_t i = 0; i < r.n; i++) {
			unsigned who = 0;

			while (ascii_lower(r.v[i].p[0]) != spellings[who][0][0])
				who++;
			assert_false(bits & 1u << who);
			bits |= 1u << who;
		}
		assert_int_equal(bits, used);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sources_are_asked_in_order),
		cmocka_unit_test(what_the_server_tells_comes_first),
		cmocka_unit_test(no_header_field_is_what_the_server_tells),
		cmocka_unit_test(more_hops_widen_the_trusted_zone),
		cmocka_unit_test(nobody_found_goes_down_the_chain),
		cmocka_unit_test(senders_come_from_the_trusted_return_path),
		cmocka_unit_test(candidates_say_why),
		cmocka_unit_test(names_without_a_domain_are_completed_only_if_asked),
		cmocka_unit_test(user_accounts_never_ask_the_header),
		cmocka_unit_test(providers_are_told_by_their_domain),
		cmocka_unit_test(records_are_bounded_and_say_when_they_are_cut),
		cmocka_unit_test(foreign_domains_never_reach_an_envelope),
		cmocka_unit_test(senders_cannot_change_the_recipients),
		cmocka_unit_test(shuffled_fields_give_each_recipient_once),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
