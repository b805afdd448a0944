/* What the relay is told: every name once, in frames it takes, and nothing more once it failed. */
#include "../../../src/fetch/tell.h"

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "postern/ctl.h"

enum { MANY = 9000, UID = 200, FRAMES = 32 };

static struct relay {
	bool away;
	unsigned connects, frees, asked, fails_at; /* from 1 */
	struct {
		enum ctl_kind kind;
		struct buf body;
	} frames[FRAMES];
} relay;

static char uids[MANY][UID + 1];
static struct span names[MANY];
static struct conf_account account;
static struct fetch_setup setup;
static struct fetch_memo memo;
static struct fetch_poll poll;

struct ctl_client *
ctl_connect(const char *path, int64_t wait_ms, struct err *err)
{
	assert_string_equal(path, "run/relay.ctl");
	assert_true(wait_ms > 0);
	relay.connects++;
	if (!relay.away)
		return (struct ctl_client *)(void *)&relay;
	(void)err_set(err, 0, "nobody is there");
	return NULL;
}

bool
ctl_ask(struct ctl_client *c, enum ctl_kind kind, struct span body, struct err *err)
{
	assert_ptr_equal(c, &relay);
	assert_true(relay.asked < FRAMES);
	assert_true(body.n <= CTL_BODY_MAX);
	relay.frames[relay.asked].kind = kind;
	relay.frames[relay.asked].body = BUF_MAX(CTL_BODY_MAX);
	assert_true(buf_add(&relay.frames[relay.asked].body, body));
	return ++relay.asked != relay.fails_at || err_set(err, 0, "no");
}

void
ctl_client_free(struct ctl_client *c)
{
	assert_ptr_equal(c, relay.away ? NULL : (void *)&relay);
	relay.frees++;
}

static void
forget(void)
{
	assert_int_equal(relay.frees, relay.connects);
	for (unsigned i = 0; i < relay.asked; i++)
		buf_done(&relay.frames[i].body);
	relay = (struct relay){ 0 };
}

static int
begin(void **state)
{
	static const uint64_t seed[2] = { 1, 2 };
	static char path[] = "run/relay.ctl";

	(void)state;
	account.name = "contoso";
	setup.control = path;
	poll = (struct fetch_poll){ .setup = &setup,
		.account = &account,
		.name = SPAN("contoso"),
		.memo = &memo };
	poll.says = BUF_MAX(512);
	fetch_memo_init(&memo, seed);
	memo.loaded = true;
	ring_init(&poll.ring, 0);
	for (size_t i = 0; i < MANY; i++) {
		(void)snprintf(uids[i], sizeof(uids[i]), "%0*zu", UID, i);
		names[i] = span_of(uids[i]);
	}
	return 0;
}

static int
end(void **state)
{
	(void)state;
	forget();
	fetch_memo_done(&memo);
	ring_done(&poll.ring);
	buf_done(&poll.says);
	return 0;
}

/* A list of names off the body, which are those from *at on, without the empty ones. */
static void
check_names(struct span *body, const struct span *from, size_t n, size_t *at)
{
	struct span uid;
	uint64_t count;

	assert_true(ctl_get_u64(body, &count));
	while (count-- > 0) {
		while (*at < n && from[*at].n == 0)
			*at += 1;
		assert_true(*at < n);
		assert_true(ctl_get_span(body, &uid));
		assert_true(span_eq(uid, from[*at]));
		*at += 1;
	}
	while (*at < n && from[*at].n == 0)
		*at += 1;
}

static void
check_settled(size_t n)
{
	size_t at = 0;

	for (unsigned i = 0; i < relay.asked; i++) {
		struct span body = buf_span(&relay.frames[i].body), name;

		assert_int_equal(relay.frames[i].kind, CTL_SETTLED);
		assert_true(ctl_get_span(&body, &name));
		assert_true(span_eq(name, SPAN("contoso")));
		check_names(&body, names, n, &at);
		assert_int_equal(body.n, 0);
		/* It is to be answered in time: no frame is as large as it may be. */
		assert_true(relay.frames[i].body.n < CTL_BODY_MAX / 2);
	}
	assert_int_equal(at, n);
}

static void
what_is_settled_is_told_once(void **state)
{
	static const size_t sizes[] = { 1, 2, 1000, MANY };

	(void)state;
	tell_settled(&poll, names, 0);
	assert_int_equal(relay.asked, 0);
	names[1] = names[500] = SPAN(""); /* without a name there is nothing to tell */
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		forget();
		tell_settled(&poll, names, sizes[i]);
		check_settled(sizes[i]);
		assert_int_equal(relay.asked > 1, sizes[i] == MANY);
	}
}

/* Nothing that comes behind a batch that failed: the relay would wait for each. */
static void
a_relay_that_fails_is_told_no_more(void **state)
{
	struct pop_known k = { .absent = { names, MANY, MANY } };

	(void)state;
	tell_settled(&poll, names, MANY);
	unsigned all = relay.asked;
	for (unsigned n = 1; n <= all; n++) {
		forget();
		relay.fails_at = n;
		tell_settled(&poll, names, MANY);
		assert_int_equal(relay.asked, n);
	}
	forget();
	relay.fails_at = 2;
	tell_listed(&poll, &k);
	assert_int_equal(relay.asked, 2);
	forget();
	relay.fails_at = 1;
	memo.failures = 3;
	tell_polled(&poll, 5);
	assert_int_equal(relay.asked, 1);

	forget();
	relay.away = true;
	tell_settled(&poll, names, MANY);
	tell_listed(&poll, &k);
	tell_polled(&poll, 5);
	assert_int_equal(relay.connects, 3);
	assert_int_equal(relay.asked, 0);
}

static void
what_a_listing_shows_is_told_once(void **state)
{
	static const struct {
		size_t absent, back, forget;
	} rows[] = {
		{ 0, 0, 0 },
		{ 1, 0, 0 },
		{ 0, 1, 0 },
		{ 0, 0, 1 },
		{ 3, 2, 1 },
		{ 4000, 0, 0 },
		{ 3000, 3000, 3000 },
		{ 900, 1100, 1500 },
		{ 5, 9000, 7 },
		{ 9000, 9000, 9000 },
	};

	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		struct pop_known k = { .absent = { names, rows[r].absent, MANY },
			.back = { names + MANY - rows[r].back, rows[r].back, MANY },
			.forget = { names, rows[r].forget, MANY } };
		size_t absent = 0, back = 0, forgotten = 0;

		forget();
		tell_listed(&poll, &k);
		for (unsigned i = 0; i < relay.asked; i++) {
			struct span body = buf_span(&relay.frames[i].body), name;
			uint64_t again;

			assert_int_equal(relay.frames[i].kind, CTL_LISTED);
			assert_true(relay.frames[i].body.n < CTL_BODY_MAX / 2);
			assert_true(ctl_get_span(&body, &name));
			assert_true(span_eq(name, SPAN("contoso")));
			assert_true(ctl_get_u64(&body, &again));
			assert_int_equal(again, i > 0);
			check_names(&body, k.absent.v, k.absent.n, &absent);
			check_names(&body, k.back.v, k.back.n, &back);
			check_names(&body, k.forget.v, k.forget.n, &forgotten);
			assert_int_equal(body.n, 0);
		}
		assert_int_equal(absent, k.absent.n);
		assert_int_equal(back, k.back.n);
		assert_int_equal(forgotten, k.forget.n);
		assert_int_equal(relay.asked == 0, r == 0);
	}
}

/* The frame, but for its session, which is given. */
static struct span
check_polled(const char *json, bool changed, const char *text)
{
	struct span body = buf_span(&relay.frames[relay.asked - 1].body);
	struct span name, result, memory, session;
	uint64_t is_new;

	assert_int_equal(relay.frames[relay.asked - 1].kind, CTL_POLLED);
	assert_true(ctl_get_span(&body, &name));
	assert_true(ctl_get_span(&body, &result));
	assert_true(ctl_get_u64(&body, &is_new));
	assert_true(ctl_get_span(&body, &memory));
	assert_true(ctl_get_span(&body, &session));
	assert_int_equal(body.n, 0);
	assert_true(span_eq(name, SPAN("contoso")));
	if (!span_eq(result, span_of(json)))
		fail_msg(SPAN_FMT, SPAN_ARG(result));
	assert_int_equal(is_new, changed);
	assert_true(span_eq(memory, span_of(text)));
	return session;
}

static void
a_poll_is_told_whole(void **state)
{
	static const char good[] =
			"{\"started_ms\":1,\"ended_ms\":2,\"next_ms\":3,\"ok\":true,"
			"\"event\":4001,\"text\":\"ok\",\"listed\":4,\"collected\":5,"
			"\"deleted\":6,\"skipped\":7,\"failed\":8,\"octets\":9,"
			"\"waiting\":10,\"waiting_octets\":11,\"says\":\"EXPIRE 3\"}";
	static const char bad[] =
			"{\"started_ms\":1,\"ended_ms\":2,\"next_ms\":3,\"ok\":false,"
			"\"event\":4005,\"text\":\"it said \\\"no\\\"\",\"listed\":4,"
			"\"collected\":5,\"deleted\":6,\"skipped\":7,\"failed\":8,"
			"\"octets\":9,\"waiting\":10,\"waiting_octets\":11,"
			"\"says\":\"EXPIRE 3\"}";

	(void)state;
	poll.started_ms = 1;
	poll.next_ms = 3;
	poll.result = (struct fetch_result){ .listed = 4,
		.collected = 5,
		.deleted = 6,
		.skipped = 7,
		.failures = 8,
		.octets = 9 };
	poll.waiting = 10;
	poll.waiting_octets = 11;
	assert_true(buf_add(&poll.says, SPAN("EXPIRE 3")));
	ring_add(&poll.ring, 0, "C", SPAN("NOOP"));

	relay.fails_at = 1; /* what it did not take comes again */
	tell_polled(&poll, 2);
	struct span session = check_polled(good, true, "newcomer 0 0\n");
	assert_non_null(memmem(session.p, session.n, "NOOP", 4));
	tell_polled(&poll, 2);
	(void)check_polled(good, true, "newcomer 0 0\n");
	tell_polled(&poll, 2);
	(void)check_polled(good, false, "newcomer 0 0\n");
	poll.result.failed = true;
	(void)err_set(&poll.result.error, 4005, "it said \"no\"");
	memo.failures = 1;
	tell_polled(&poll, 2);
	(void)check_polled(bad, true, "failures 1\nnewcomer 0 0\n");
	/* What cannot be printed is not told by halves. */
	buf_done(&poll.says);
	poll.says = BUF_MAX(9000);
	for (int i = 0; i < 9000; i++)
		assert_true(buf_addc(&poll.says, 'x'));
	tell_polled(&poll, 2);
	assert_int_equal(relay.asked, 4);
}

#define TELLING(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TELLING(what_is_settled_is_told_once),
		TELLING(a_relay_that_fails_is_told_no_more),
		TELLING(what_a_listing_shows_is_told_once),
		TELLING(a_poll_is_told_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
