/* One poll from its lock to its result: what must be there before a session, what is remembered
 * of how it ended, what is logged of it, and when the next one comes. */
#include "../../../src/fetch/poll.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../src/fetch/book.h"
#include "../../../src/fetch/hand.h"
#include "../../../src/fetch/look.h"
#include "../../../src/fetch/mailbox.h"
#include "../../../src/fetch/suspend.h"
#include "../../../src/fetch/tell.h"
#include "check.h"
#include "journal.h"
#include "postern/accountstore.h"
#include "postern/clock.h"
#include "postern/event.h"
#include "postern/log.h"
#include "postern/origin.h"

enum { EVERY_S = 300 };
#define NOON INT64_C(1764590400000)

enum step { LOCK, READER, BOOK, MEMO, RETRIES, ROUTING, STEPS };

static struct {
	struct conf conf;
	struct conf_account account;
	struct fetch_setup setup;
	struct fetch_memo memo;
	struct fetch_poll poll;
	atomic_bool ending;
	enum step fails; /* STEPS: none */
	enum mailbox_lock lock;
	int event; /* of what fails */
	bool suspended;
	unsigned sessions, more; /* how many were run; that there is more so often */
	bool good; /* how the last one ends */
	unsigned told, published, looked, retries, memos, given, closed, routed;
	bool make_lock;
	struct {
		const char *uid;
		unsigned times;
	} blamed[3];
	int64_t wall, mono;
	void (*session)(struct fetch_poll *p);
} w;

enum mailbox_lock __wrap_fetch_mailbox_lock(const char *state,
		const struct conf_account *a, bool make, int *fd, struct err *err);
struct reader *__wrap_reader_open(const char *dir, struct err *e);
void __wrap_reader_close(struct reader *r);
const struct directory *__wrap_book_take(
		struct book *b, struct reader *r, struct err *err);
void __wrap_book_give(struct book *b, const struct directory *d);
bool __wrap_poll_memo(struct reader *r, struct span account, struct arena *a,
		struct span *out, struct err *e);
bool __wrap_accountstore_retries(struct reader *r, struct span account, uint64_t *asked,
		void (*each)(void *host, struct span uidl), void *host, struct err *e);
bool __wrap_routing_init(struct routing *r, const struct conf *conf,
		const struct conf_account *a, const struct directory *d,
		struct reader *reader, struct err *err);
void __wrap_routing_done(struct routing *r);
bool __wrap_suspend_passes(struct fetch_poll *p);
struct hand *__wrap_hand_open(const char *state, struct span account, uint64_t life);
unsigned __wrap_hand_blamed(const struct hand *h, size_t i, struct span *uid);
void __wrap_hand_close(struct hand *h);
void __wrap_tell_polled(struct fetch_poll *p, int64_t ended_ms);
void __wrap_look_failed(struct fetch_poll *p);
bool __wrap_pop_session_run(struct fetch_poll *p, bool *more);
int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_mono_ms(void);

static bool
step(enum step s, struct err *err)
{
	return w.fails != s || err_set(err, w.event, "step %d fails", (int)s);
}

static void *
some(void)
{
	return &w; /* never looked into */
}

enum mailbox_lock
__wrap_fetch_mailbox_lock(const char *state, const struct conf_account *a, bool make,
		int *fd, struct err *err)
{
	(void)state, (void)fd;
	assert_ptr_equal(a, &w.account);
	w.make_lock = make;
	return step(LOCK, err) ? MAILBOX_OURS : w.lock;
}

struct reader *
__wrap_reader_open(const char *dir, struct err *e)
{
	(void)dir;
	return step(READER, e) ? some() : NULL;
}

void
__wrap_reader_close(struct reader *r)
{
	w.closed += r != NULL;
}

const struct directory *
__wrap_book_take(struct book *b, struct reader *r, struct err *err)
{
	(void)b;
	assert_non_null(r);
	return step(BOOK, err) ? some() : NULL;
}

void
__wrap_book_give(struct book *b, const struct directory *d)
{
	(void)b;
	w.given += d != NULL;
}

bool
__wrap_poll_memo(struct reader *r, struct span account, struct arena *a,
		struct span *out, struct err *e)
{
	(void)r, (void)account, (void)a;
	w.memos++;
	*out = SPAN("");
	return step(MEMO, e);
}

bool
__wrap_accountstore_retries(struct reader *r, struct span account, uint64_t *asked,
		void (*each)(void *host, struct span uidl), void *host, struct err *e)
{
	(void)r, (void)asked;
	assert_true(span_eq(account, SPAN("contoso")));
	w.retries++;
	each(host, SPAN("again"));
	return step(RETRIES, e);
}

bool
__wrap_routing_init(struct routing *r, const struct conf *conf,
		const struct conf_account *a, const struct directory *d,
		struct reader *reader, struct err *err)
{
	(void)r, (void)conf, (void)a;
	assert_true(d && reader);
	w.routed++;
	return step(ROUTING, err);
}

void
__wrap_routing_done(struct routing *r)
{
	(void)r;
}

bool
__wrap_suspend_passes(struct fetch_poll *p)
{
	(void)p;
	return !w.suspended;
}

struct hand *
__wrap_hand_open(const char *state, struct span account, uint64_t life)
{
	(void)state, (void)account, (void)life;
	return some();
}

unsigned
__wrap_hand_blamed(const struct hand *h, size_t i, struct span *uid)
{
	(void)h;
	if (i >= 3 || !w.blamed[i].uid)
		return 0;
	*uid = span_of(w.blamed[i].uid);
	return w.blamed[i].times;
}

void
__wrap_hand_close(struct hand *h)
{
	(void)h;
}

void
__wrap_tell_polled(struct fetch_poll *p, int64_t ended_ms)
{
	(void)p;
	assert_int_equal(ended_ms, w.wall);
	w.told++;
}

void
__wrap_look_failed(struct fetch_poll *p)
{
	(void)p;
	w.looked++;
}

bool
__wrap_pop_session_run(struct fetch_poll *p, bool *more)
{
	assert_ptr_equal(p, &w.poll);
	w.sessions++;
	w.mono += 1500;
	*more = w.sessions <= w.more;
	if (*more)
		return true;
	if (w.session)
		w.session(p);
	return w.good;
}

int64_t
__wrap_clock_wall_ms(void)
{
	return w.wall;
}

int64_t
__wrap_clock_mono_ms(void)
{
	return w.mono;
}

static void
publish(void *host, const struct fetch_result *r)
{
	assert_ptr_equal(host, &w);
	assert_true(r->finished);
	w.published++;
}

static void
begin(void)
{
	static const uint64_t seed[2] = { 1, 2 };

	if (w.memo.messages.cap > 0)
		fetch_memo_done(&w.memo);
	memset(&w, 0, sizeof(w));
	w.account = (struct conf_account){ .name = "contoso",
		.server = { .name = "pop.test", .port = 995 },
		.every_s = EVERY_S };
	w.setup.conf = &w.conf;
	w.fails = STEPS;
	w.lock = MAILBOX_FAILED;
	w.event = 9005;
	w.good = true;
	w.wall = NOON;
	w.mono = 1000000;
	fetch_memo_init(&w.memo, seed);
	w.poll = (struct fetch_poll){ .setup = &w.setup,
		.account = &w.account,
		.ending = &w.ending,
		.memo = &w.memo,
		.scheduled = true,
		.publish = publish,
		.host = &w };
	assert_int_equal(truncate(journal, 0), 0);
}

static const struct fetch_result *
polled(void)
{
	fetch_poll_run(&w.poll);
	assert_int_equal(w.published, 1);
	return &w.poll.result;
}

/* ---- what goes before ---- */

static void
a_good_poll_is_logged_told_and_comes_again(void **state)
{
	(void)state;
	begin();
	w.memo.failures = 3;
	const struct fetch_result *r = polled();
	assert_false(r->failed || r->more);
	assert_int_equal(r->error.event, 0);
	assert_int_equal(r->ms, 1500);
	assert_int_equal(w.sessions, 1);
	assert_true(logged("event=4000") && logged("event=4001"));
	assert_int_equal(w.memo.failures, 0);
	assert_int_equal(w.told, 1);
	assert_true(w.make_lock && w.memo.loaded);
	assert_int_equal(w.given, 1);
	assert_int_equal(w.closed, 1);
	assert_ptr_equal(w.poll.routing.account.learned, &w.memo.provider);
	/* From the beginning of the poll. */
	assert_int_equal(w.poll.due_ms - w.mono, EVERY_S * 1000 - 1500);
	assert_int_equal(w.poll.next_ms - w.wall, EVERY_S * 1000 - 1500);
}

static void
sessions_go_on_while_there_is_more(void **state)
{
	(void)state;
	begin();
	w.more = 4;
	assert_false(polled()->more);
	assert_int_equal(w.sessions, 5);
	begin();
	w.more = 2; /* and the third fails */
	w.good = false;
	assert_true(polled()->failed);
	assert_int_equal(w.sessions, 3);
}

/* Nothing is decided, and nobody is asked, where any of it is missing. */
static void
without_each_of_its_steps_there_is_no_session(void **state)
{
	(void)state;
	for (enum step s = LOCK; s < STEPS; s++)
		for (int named = 0; named < 2; named++) {
			begin();
			w.fails = s;
			w.event = named ? 4046 : 0;
			const struct fetch_result *r = polled();
			assert_int_equal(w.sessions, 0);
			assert_true(r->failed);
			if (s != LOCK)
				assert_int_equal(r->error.event, named ? 4046 : 9005);
			assert_int_equal(w.told, 1);
			assert_false(logged("event=4001"));
			assert_int_equal(w.closed, s > READER);
			assert_int_equal(w.given, s > BOOK);
			assert_int_equal(w.memo.loaded, s > MEMO);
			assert_int_equal(w.retries, s >= RETRIES);
			assert_int_equal(w.routed, s >= ROUTING);
		}
}

static void
what_was_read_of_an_earlier_process_is_read_once(void **state)
{
	(void)state;
	begin();
	w.memo.loaded = true;
	(void)polled();
	assert_int_equal(w.memos, 0);
	assert_int_equal(w.retries, 1); /* asked for at each poll */
}

static void
a_mailbox_that_another_poll_has_is_left_to_it(void **state)
{
	(void)state;
	begin();
	w.fails = LOCK;
	w.lock = MAILBOX_TAKEN;
	w.event = 4004;
	assert_true(polled()->failed);
	assert_int_equal(w.poll.word, SCHEDULE_HERE);
	assert_int_equal(w.sessions, 0);
}

/* check --online: no state is needed, nothing is logged, nobody is told. */
static void
a_look_needs_no_state_and_leaves_no_trace(void **state)
{
	struct fetch_adopter adopter = { NULL, NULL };
	struct fetch_look look = { 0 };

	(void)state;
	for (int locked = 0; locked < 2; locked++)
		for (int adopts = 0; adopts < 2; adopts++) {
			begin();
			w.poll.look_only = true;
			w.poll.scheduled = false;
			w.poll.look = &look;
			w.poll.adopt = adopts ? &adopter : NULL;
			w.fails = locked ? STEPS : LOCK;
			const struct fetch_result *r = polled();
			bool goes = locked || !adopts; /* adopting wants the mailbox */
			assert_int_equal(r->failed, !goes);
			assert_int_equal(w.sessions, goes);
			assert_int_equal(w.make_lock, adopts);
			assert_int_equal(w.looked, !goes);
			assert_int_equal(w.told + w.closed + w.given + w.memos, 0);
			assert_false(logged("event="));
			assert_int_equal(w.poll.next_ms + w.poll.due_ms, 0);
		}
	begin();
	w.poll.look_only = true;
	w.poll.look = &look;
	w.fails = LOCK;
	w.lock = MAILBOX_TAKEN;
	assert_true(polled()->failed);
	assert_int_equal(w.sessions, 0);
}

static void
a_suspended_account_is_not_asked_and_not_logged(void **state)
{
	(void)state;
	begin();
	w.suspended = true;
	w.memo.failures = 7;
	assert_true(polled()->failed);
	assert_int_equal(w.sessions, 0);
	assert_int_equal(w.told, 0);
	assert_int_equal(w.memo.failures, 7);
	assert_false(logged("event=400"));
}

/* ---- messages that are blamed ---- */

static void
a_message_that_ended_the_collector_three_times_is_set_aside(void **state)
{
	(void)state;
	begin();
	w.blamed[0].uid = "once";
	w.blamed[0].times = 1;
	w.blamed[1].uid = "four";
	w.blamed[1].times = 4;
	w.blamed[2].uid = "two";
	w.blamed[2].times = 2;
	(void)polled();
	assert_int_equal(fetch_memo_find(&w.memo, SPAN("once"))->crashes, 1);
	assert_false(fetch_memo_find(&w.memo, SPAN("once"))->aside);
	assert_int_equal(fetch_memo_find(&w.memo, SPAN("four"))->crashes, 3);
	assert_true(fetch_memo_find(&w.memo, SPAN("four"))->aside);
	assert_false(fetch_memo_find(&w.memo, SPAN("two"))->aside);
	assert_true(logged("event=4012") && logged("four"));
	assert_false(logged("\"once\"") || logged("uidl=two"));

	/* The next time it is no news, and the third time adds up for the other. */
	assert_int_equal(truncate(journal, 0), 0);
	w.blamed[0].uid = "four";
	w.blamed[1].uid = "two";
	w.blamed[1].times = 1;
	w.blamed[2].uid = NULL;
	w.published = 0;
	(void)polled();
	assert_true(fetch_memo_find(&w.memo, SPAN("two"))->aside);
	assert_true(logged("event=4012"));
	assert_int_equal(w.poll.result.aside, 2);
}

/* ---- how it failed ---- */

static int fails_as;
static bool refuses;

static void
fail_session(struct fetch_poll *p)
{
	(void)err_set(&p->result.error, fails_as, "the words of it");
	p->stage = "LOGON";
	p->logon_refused = refuses;
}

static void
failing(int event, bool refused)
{
	begin();
	w.good = false;
	w.session = fail_session;
	fails_as = event;
	refuses = refused;
}

/* Whose fault it was decides whether the provider is spared. */
static void
each_failure_has_its_event_and_counts_where_it_should(void **state)
{
	static const struct {
		int event, logs;
		bool counts;
	} cases[] = {
		{ 4002, 4002, true },
		{ 4003, 4003, true },
		{ 4024, 4024, false },
		{ 4046, 4046, false },
		{ 4015, 0, true }, /* by the session itself */
		{ 4009, 0, true },
		{ 4018, 0, true },
		{ 8002, 8002, true },
		{ 9005, 9005, false },
		{ 0, 4002, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char event[20];

		failing(cases[i].event, false);
		w.memo.failures = 1;
		const struct fetch_result *r = polled();
		assert_true(r->failed);
		assert_int_equal(w.memo.failures, 1 + cases[i].counts);
		assert_int_equal(w.memo.refusals, 0);
		(void)snprintf(event, sizeof(event), "event=%d ", cases[i].logs);
		if (cases[i].logs)
			assert_true(logged(event));
		(void)snprintf(event, sizeof(event), "event=%d ", cases[i].event);
		if (!cases[i].logs && cases[i].event)
			assert_false(logged(event));
		/* What TLS is about is a connection that failed, too. */
		assert_int_equal(logged("event=4002 "),
				cases[i].event == 8002 || cases[i].event == 4002 ||
						!cases[i].event);
		assert_int_equal(
				r->error.event, cases[i].event ? cases[i].event : 4002);
		assert_int_equal(w.told, 1);
		assert_int_equal(w.looked, 0);
	}
}

/* 4004 mends itself: loud only where nobody comes again, or when it goes on. */
static void
a_mailbox_in_use_is_told_quietly_at_first(void **state)
{
	struct err err = { 0 };

	(void)state;
	log_close();
	assert_true(log_open(&(struct log_options){ .to = journal, .level = 0 }, &err));
	for (unsigned before = 0; before < 4; before++)
		for (int scheduled = 0; scheduled < 2; scheduled++) {
			failing(4004, false);
			w.memo.failures = before;
			w.poll.scheduled = scheduled;
			(void)polled();
			assert_int_equal(logged("event=4004"),
					!scheduled || before + 1 >= 3);
		}
	failing(4003, false);
	(void)polled();
	assert_true(logged("event=4003"));
	log_close();
	assert_true(log_open(&(struct log_options){ .to = journal, .level = 3 }, &err));
}

static void
the_fifth_refusal_suspends_and_says_so_once(void **state)
{
	(void)state;
	for (unsigned before = 0; before < 7; before++) {
		failing(4003, true);
		w.memo.refusals = before;
		(void)polled();
		assert_int_equal(w.memo.refusals, before + 1);
		assert_int_equal(w.memo.logon_ms > NOON, before + 1 >= 5);
		assert_int_equal(logged("event=4019"), before + 1 == 5);
	}
	/* A failure that is no refusal does not count as one. */
	failing(4002, false);
	w.memo.refusals = MEMO_REFUSALS;
	(void)polled();
	assert_int_equal(w.memo.refusals, MEMO_REFUSALS);
	assert_false(logged("event=4019"));
}

/* Whether it would be another logon now is looked at as often as ever. */
static void
a_suspended_account_looks_each_interval_and_logs_on_when_its_pause_is_over(void **state)
{
	static const struct {
		int64_t left_s, due_s;
	} cases[] = { { 900, EVERY_S }, { 100, 100 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		begin();
		w.suspended = true;
		w.memo.refusals = MEMO_REFUSALS;
		w.memo.logon_ms = NOON + cases[i].left_s * 1000;
		(void)polled();
		assert_int_equal(w.poll.due_ms - w.mono, cases[i].due_s * 1000);
		assert_int_equal(w.poll.next_ms - NOON, cases[i].left_s * 1000);
	}
}

static void
refuse_retrs(struct fetch_poll *p)
{
	p->refused = 12;
	(void)err_set(&p->refusal, 4016, "-ERR too much");
	if (!w.good)
		(void)err_set(&p->result.error, 4016, "-ERR too much");
}

static void
retrs_that_were_all_refused_are_told_once(void **state)
{
	(void)state;
	for (int good = 0; good < 2; good++) {
		begin();
		w.good = good;
		w.session = refuse_retrs;
		const struct fetch_result *r = polled();
		assert_true(logged("event=4016") && logged("12"));
		assert_int_equal(r->refused_all, 12);
		assert_int_equal(logged("event=4001"), good);
		if (!good)
			assert_int_equal(w.poll.word, SCHEDULE_SYS_TEMP);
	}
}

static int
open_log(void **state)
{
	struct err err = { 0 };

	(void)state;
	(void)snprintf(journal, sizeof(journal), "/tmp/postern-poll-%d", (int)getpid());
	return log_open(&(struct log_options){ .to = journal, .level = 3 }, &err) ? 0
										  : -1;
}

static int
end(void **state)
{
	(void)state;
	fetch_memo_done(&w.memo);
	log_close();
	return unlink(journal);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_poll_is_logged_told_and_comes_again),
		cmocka_unit_test(sessions_go_on_while_there_is_more),
		cmocka_unit_test(without_each_of_its_steps_there_is_no_session),
		cmocka_unit_test(what_was_read_of_an_earlier_process_is_read_once),
		cmocka_unit_test(a_mailbox_that_another_poll_has_is_left_to_it),
		cmocka_unit_test(a_look_needs_no_state_and_leaves_no_trace),
		cmocka_unit_test(a_suspended_account_is_not_asked_and_not_logged),
		cmocka_unit_test(
				a_message_that_ended_the_collector_three_times_is_set_aside),
		cmocka_unit_test(each_failure_has_its_event_and_counts_where_it_should),
		cmocka_unit_test(a_mailbox_in_use_is_told_quietly_at_first),
		cmocka_unit_test(the_fifth_refusal_suspends_and_says_so_once),
		cmocka_unit_test(
				a_suspended_account_looks_each_interval_and_logs_on_when_its_pause_is_over),
		cmocka_unit_test(retrs_that_were_all_refused_are_told_once),
	};
	return cmocka_run_group_tests(tests, open_log, end);
}
