/* What our other processes tell the relay: what becomes of each frame, whole or broken, and what
 * is answered when. Peers and the store are the test's. */
#include "role.h"

#include <jansson.h>

#include "postern/ctl.h"
#include "postern/origin.h"

enum { HOUR_MS = 3600 * 1000, PEERS = 4 };

static const struct ctl_calls *calls;
static struct control *control;
static int64_t later_ms; /* the clock is ahead by so much */
static unsigned refreshes;
static struct policy_wait *waits;
static char peers[PEERS]; /* their addresses are who they are */

static struct {
	unsigned n;
	const void *peer;
	enum ctl_kind kind;
	char text[2048];
	size_t size;
} said;

struct ctl_server *__wrap_ctl_server_new(struct loop *l, const char *path,
		const struct ctl_calls *c, void *host, struct err *err);
void __wrap_ctl_server_free(struct ctl_server *s);
bool __wrap_ctl_reply(struct ctl_peer *peer, enum ctl_kind kind, struct span body);
int64_t __real_loop_now_ms(const struct loop *l);
int64_t __wrap_loop_now_ms(const struct loop *l);
void __wrap_policyload_look(struct policyload *p, struct policy_wait *w);
size_t __wrap_outbound_leases(const struct outbound *o);
size_t __wrap_inbound_sessions(const struct inbound *in);
void __wrap_outbound_refresh(struct outbound *o);

size_t
__wrap_outbound_leases(const struct outbound *o)
{
	(void)o;
	return 4;
}

size_t
__wrap_inbound_sessions(const struct inbound *in)
{
	(void)in;
	return 3;
}

struct ctl_server *
__wrap_ctl_server_new(struct loop *l, const char *path, const struct ctl_calls *c,
		void *host, struct err *err)
{
	(void)l, (void)err;
	assert_non_null(strstr(path, "/run/relay.ctl"));
	calls = c;
	return host;
}

void
__wrap_ctl_server_free(struct ctl_server *s)
{
	(void)s;
}

bool
__wrap_ctl_reply(struct ctl_peer *peer, enum ctl_kind kind, struct span body)
{
	said.n++;
	said.peer = peer;
	said.kind = kind;
	said.size = body.n;
	assert_true(body.n < sizeof(said.text));
	memcpy(said.text, body.p, body.n);
	said.text[body.n] = '\0';
	return true;
}

int64_t
__wrap_loop_now_ms(const struct loop *l)
{
	return __real_loop_now_ms(l) + later_ms;
}

void
__wrap_policyload_look(struct policyload *p, struct policy_wait *w)
{
	(void)p;
	waits = w;
}

void
__wrap_outbound_refresh(struct outbound *o)
{
	(void)o;
	refreshes++;
}

static int
begin(void **state)
{
	struct err err = { 0 };

	(void)role_up(state);
	later_ms = 0;
	refreshes = 0;
	waits = NULL;
	memset(&said, 0, sizeof(said));
	control = control_new(&role, &err);
	assert_non_null(control);
	return 0;
}

static int
end(void **state)
{
	control_free(control);
	return role_down(state);
}

static void
hear(unsigned peer, enum ctl_kind kind, struct span body)
{
	calls->said(control, (struct ctl_peer *)&peers[peer], kind, body);
}

static struct store_job *
next_job(void)
{
	assert_false(list_empty(&handed));
	struct store_job *job = LIST_ITEM(handed.next, struct store_job, link);
	list_del(&job->link);
	return job;
}

static void
job_ends(struct store_job *job, enum store_result result, const char *why)
{
	job->result = result;
	err_set(&job->err, 0, "%s", why);
	job->done(job->host, job);
}

static void
answered(unsigned n, unsigned peer, enum ctl_kind kind, const char *text)
{
	assert_int_equal(said.n, n);
	assert_ptr_equal(said.peer, &peers[peer]);
	assert_int_equal(said.kind, kind);
	assert_string_equal(said.text, text);
}

static void
add(struct buf *b, const char *text)
{
	assert_true(ctl_put_span(b, span_of(text)));
}

static void
add_n(struct buf *b, uint64_t n)
{
	assert_true(ctl_put_u64(b, n));
}

/* All that is shorter is not understood, and nothing becomes of it. */
static void
no_part_is_understood(enum ctl_kind kind, struct span whole)
{
	for (size_t n = 0; n < whole.n; n++) {
		unsigned before = said.n;

		hear(1, kind, span_first(whole, n));
		answered(before + 1, 1, CTL_FAILED, "not understood");
		assert_true(list_empty(&handed));
		assert_true(control_quiet(control));
	}
}

/* ---- polls ---- */

static const char result[] =
		"{\"text\":\"all\",\"says\":\"quota\",\"started_ms\":1,\"ended_ms\":2,"
		"\"next_ms\":3,\"ok\":true,\"event\":104003,\"listed\":5,\"collected\":6,"
		"\"deleted\":7,\"skipped\":8,\"failed\":9,\"octets\":10,\"waiting\":11,"
		"\"waiting_octets\":12}";

static void
poll_frame(struct buf *b, const char *account, const char *json, uint64_t changed,
		struct span memo, struct span session)
{
	buf_clear(b);
	add(b, account);
	add(b, json);
	add_n(b, changed);
	assert_true(ctl_put_span(b, memo) && ctl_put_span(b, session));
}

static void
a_poll_is_recorded_with_all_it_says(void **state)
{
	AUTO(buf_done) struct buf b = BUF_MAX(2 * 1024 * 1024);

	(void)state;
	poll_frame(&b, "acc", result, 1, SPAN("memo"), SPAN("session"));
	no_part_is_understood(CTL_POLLED, buf_span(&b));
	said.n = 0;
	hear(2, CTL_POLLED, buf_span(&b));
	assert_int_equal(said.n, 0); /* not before it is durable */
	assert_false(control_quiet(control));
	struct store_job *job = next_job();
	const struct poll_result *p = LIST_ITEM(job, struct poll_result, job);
	assert_int_equal(job->work, STORE_POLLED);
	assert_true(span_eq(p->account, SPAN("acc")) && span_eq(p->text, SPAN("all")) &&
			span_eq(p->says, SPAN("quota")) &&
			span_eq(p->memo, SPAN("memo")) &&
			span_eq(p->session, SPAN("session")));
	const uint64_t got[] = { (uint64_t)p->started_ms, (uint64_t)p->ended_ms,
		(uint64_t)p->next_ms, (uint64_t)p->event, p->listed, p->collected,
		p->deleted, p->skipped, p->failed, p->octets, p->waiting,
		p->waiting_octets };
	const uint64_t want[] = { 1, 2, 3, 4003, 5, 6, 7, 8, 9, 10, 11, 12 };
	assert_memory_equal(got, want, sizeof(want));
	assert_true(p->ok);
	job_ends(job, STORE_DONE, "");
	answered(1, 2, CTL_OK, "");
	assert_true(control_quiet(control));

	/* What is missing or negative is nothing; its memory stays as it was, or is empty. */
	for (uint64_t changed = 0; changed < 2; changed++) {
		poll_frame(&b, "acc", "{\"listed\":-5,\"ok\":1}", changed, SPAN(""),
				SPAN(""));
		hear(2, CTL_POLLED, buf_span(&b));
		job = next_job();
		p = LIST_ITEM(job, struct poll_result, job);
		assert_int_equal(p->listed, 0);
		assert_false(p->ok);
		assert_int_equal(p->text.n + p->says.n + p->memo.n, 0);
		assert_int_equal(p->memo.p != NULL, changed);
		job_ends(job, STORE_FAILED, "the disk is gone");
		answered(2 + (unsigned)changed, 2, CTL_FAILED, "the disk is gone");
	}
}

static void
polls_have_their_limits(void **state)
{
	AUTO(buf_done) struct buf b = BUF_MAX(2 * 1024 * 1024);
	AUTO(buf_done) struct buf words = BUF_MAX(8000);
	char *much = malloc(POLL_MEMO_MAX + 1), name[STORE_NAME_MAX + 2];
	static const char *const broken[] = { "", "[]", "{", "{\"a\":1,\"a\":2}", "7" };

	(void)state;
	memset(much, 'm', POLL_MEMO_MAX + 1);
	for (unsigned more = 0; more < 2; more++)
		for (unsigned what = 0; what < 3; what++) {
			memset(name, 'n', sizeof(name));
			name[what == 0 ? STORE_NAME_MAX + more : 3] = '\0';
			poll_frame(&b, name, result, 1,
					(struct span){ much,
							what == 1 ? POLL_MEMO_MAX + more
								  : 3 },
					(struct span){ much,
							what == 2 ? POLL_SESSION_MAX + more
								  : 3 });
			said.n = 0;
			hear(0, CTL_POLLED, buf_span(&b));
			if (more)
				answered(1, 0, CTL_FAILED, "not understood");
			else
				job_ends(next_job(), STORE_DONE, "");
			assert_true(list_empty(&handed));
		}
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		poll_frame(&b, "acc", broken[i], 0, SPAN(""), SPAN(""));
		said.n = 0;
		hear(0, CTL_POLLED, buf_span(&b));
		answered(1, 0, CTL_FAILED, "not understood");
		assert_true(control_quiet(control));
	}
	/* Of long words there is a beginning. */
	much[1200] = '\0';
	assert_true(buf_addf(&words, "{\"text\":\"%s\",\"says\":\"%s\"}", much, much));
	poll_frame(&b, "acc", buf_cstr(&words), 0, SPAN(""), SPAN(""));
	hear(0, CTL_POLLED, buf_span(&b));
	struct store_job *job = next_job();
	assert_int_equal(LIST_ITEM(job, struct poll_result, job)->text.n, 1000);
	assert_int_equal(LIST_ITEM(job, struct poll_result, job)->says.n, 1000);
	job_ends(job, STORE_DONE, "");
	free(much);
}

/* ---- origins ---- */

static void
add_uidls(struct buf *b, unsigned n, char first)
{
	char uidl[3] = { 0, 0, 0 };

	add_n(b, n);
	for (unsigned i = 0; i < n; i++) {
		uidl[0] = first;
		uidl[1] = (char)('0' + i);
		add(b, uidl);
	}
}

static void
is_change(struct store_job *job, enum origin_act act, bool continued, unsigned n,
		char first)
{
	const struct origin_change *c = LIST_ITEM(job, struct origin_change, job);

	assert_int_equal(job->work, STORE_ORIGINS);
	assert_int_equal(c->act, act);
	assert_int_equal(c->continued, continued);
	assert_true(span_eq(c->account, SPAN("acc")));
	assert_int_equal(c->n, n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(c->uidls[i].n, 2);
		assert_int_equal(c->uidls[i].p[0], first);
		assert_int_equal(c->uidls[i].p[1], '0' + (int)i);
	}
}

static void
what_is_settled_is_answered_when_it_is_durable(void **state)
{
	AUTO(buf_done) struct buf b = BUF_MAX(10000);
	char name[STORE_NAME_MAX + 2];

	(void)state;
	add(&b, "acc");
	add_uidls(&b, 3, 's');
	no_part_is_understood(CTL_SETTLED, buf_span(&b));
	for (unsigned i = 0; i < 3; i++) {
		said.n = 0;
		hear(0, CTL_SETTLED, buf_span(&b));
		struct store_job *job = next_job();
		is_change(job, ORIGIN_ACT_SETTLE, false, 3, 's');
		assert_int_equal(said.n, 0);
		assert_false(control_quiet(control));
		if (i == 2) { /* somebody else going changes nothing; who asked, is not answered */
			calls->gone(control, (struct ctl_peer *)&peers[1]);
			calls->gone(control, (struct ctl_peer *)&peers[0]);
		}
		job_ends(job, i == 1 ? STORE_FAILED : STORE_DONE, "full");
		if (i < 2)
			answered(1, 0, i ? CTL_FAILED : CTL_OK, i ? "full" : "");
		assert_int_equal(said.n, i < 2);
		assert_true(control_quiet(control));
	}

	/* More than a frame may hold is a lie; none is none. */
	buf_clear(&b);
	add(&b, "acc");
	add_n(&b, CTL_BODY_MAX / 4 + 1);
	said.n = 0;
	hear(0, CTL_SETTLED, buf_span(&b));
	answered(1, 0, CTL_FAILED, "not understood");
	for (unsigned more = 0; more < 2; more++) {
		memset(name, 'n', sizeof(name));
		name[STORE_NAME_MAX + more] = '\0';
		buf_clear(&b);
		add(&b, name);
		add_n(&b, 0);
		said.n = 0;
		hear(0, CTL_SETTLED, buf_span(&b));
		if (!more)
			job_ends(next_job(), STORE_DONE, "");
		answered(1, 0, more ? CTL_FAILED : CTL_OK,
				more ? "not understood" : "");
	}
}

static void
a_listing_is_up_to_three_changes(void **state)
{
	static const enum origin_act acts[] = { ORIGIN_ACT_LISTED, ORIGIN_ACT_BACK,
		ORIGIN_ACT_FORGET };
	AUTO(buf_done) struct buf b = BUF_MAX(10000);

	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		bool continued = bits & 8;
		struct store_job *jobs[3];
		unsigned n = 0;

		buf_clear(&b);
		add(&b, "acc");
		add_n(&b, continued);
		for (unsigned i = 0; i < 3; i++)
			add_uidls(&b, bits >> i & 1 ? i + 1 : 0, (char)('a' + i));
		if (bits == 15)
			no_part_is_understood(CTL_LISTED, buf_span(&b));
		said.n = 0;
		hear(3, CTL_LISTED, buf_span(&b));
		for (unsigned i = 0; i < 3; i++) {
			/* That nothing is missing is news too, but once for a listing. */
			if (!(bits >> i & 1) && (i > 0 || continued))
				continue;
			jobs[n] = next_job();
			is_change(jobs[n++], acts[i], continued,
					bits >> i & 1 ? i + 1 : 0, (char)('a' + i));
		}
		assert_true(list_empty(&handed));
		assert_int_equal(said.n, n == 0); /* nothing to do: it is done */
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(said.n, 0);
			job_ends(jobs[i], i == 1 ? STORE_FAILED : STORE_DONE, "second");
		}
		answered(1, 3, n > 1 ? CTL_FAILED : CTL_OK, n > 1 ? "second" : "");
		assert_true(control_quiet(control));
	}
	char name[STORE_NAME_MAX + 2];
	memset(name, 'n', sizeof(name));
	name[STORE_NAME_MAX + 1] = '\0';
	buf_clear(&b);
	add(&b, name);
	for (unsigned i = 0; i < 4; i++)
		add_n(&b, 0);
	said.n = 0;
	hear(0, CTL_LISTED, buf_span(&b));
	answered(1, 0, CTL_FAILED, "not understood");
}

/* ---- the rest ---- */

static void
a_wake_is_answered_when_the_policies_are_in(void **state)
{
	const struct err failed = { .event = 1, .text = "policies are broken" };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		said.n = 0;
		refreshes = 0;
		hear(0, CTL_WAKE, SPAN(""));
		assert_non_null(waits);
		assert_int_equal(said.n, 0);
		assert_false(control_quiet(control));
		waits->in(waits, i ? &failed : NULL);
		answered(1, 0, i ? CTL_FAILED : CTL_OK, i ? "policies are broken" : "");
		assert_int_equal(refreshes, !i);
		assert_true(control_quiet(control));
	}
}

static void
what_is_not_for_the_relay_is_refused(void **state)
{
	static const enum ctl_kind kinds[] = { CTL_OK, CTL_FAILED, CTL_POLL,
		CTL_PROGRESS };
	(void)state;

	for (size_t i = 0; i < 4; i++) {
		said.n = 0;
		hear(0, kinds[i], SPAN(""));
		answered(1, 0, CTL_FAILED, "this is the relay");
	}
	role.hub.stopping = true;
	said.n = 0;
	hear(0, CTL_RELOAD, SPAN(""));
	answered(1, 0, CTL_FAILED, "the relay is about to end");
	assert_null(waits);
}

static void
status_says_how_it_stands(void **state)
{
	(void)state;
	struct span body, text;
	char want[200];

	role.hub.sum = (struct relay_summary){
		.delivered = 5, .deferred = 6, .refused = 7, .badmail = 8
	};
	for (unsigned low = 0; low < 2; low++) {
		role.space_low = low;
		said.n = 0;
		hear(0, CTL_STATUS, SPAN(""));
		assert_int_equal(said.n, 1);
		assert_int_equal(said.kind, CTL_OK);
		body = (struct span){ said.text, said.size };
		assert_true(ctl_get_span(&body, &text));
		(void)snprintf(want, sizeof(want),
				"\"role\":\"relay\",\"sessions\":3,\"in_hand\":4,\"delivered\":5,"
				"\"deferred\":6,\"refused\":7,\"badmail\":8,\"submitted\":0,");
		assert_non_null(memmem(text.p, text.n, want, strlen(want)));
		assert_int_equal(
				memmem(text.p, text.n, "\"disk_low\":true", 15) != NULL,
				low);
	}
}

static struct pruning *
pruning_now(void)
{
	struct store_job *job = next_job();

	assert_int_equal(job->work, STORE_PRUNE);
	assert_true(list_empty(&handed));
	return LIST_ITEM(job, struct pruning, job);
}

/* Once an hour; where there was more, at the next tick. */
static void
history_is_pruned_by_the_hour(void **state)
{
	struct gate *g = *state;

	control_tick(control);
	later_ms = HOUR_MS - 1000;
	control_tick(control);
	assert_true(list_empty(&handed));
	later_ms = HOUR_MS;
	control_tick(control);
	struct pruning *p = pruning_now();
	assert_int_equal(p->keep_ms, INT64_C(30) * 24 * HOUR_MS);
	later_ms = 3 * HOUR_MS; /* it takes long: it is not begun twice */
	control_tick(control);
	assert_true(list_empty(&handed));
	p->more = true;
	job_ends(&p->job, STORE_DONE, "");
	assert_true(list_empty(&handed));
	control_tick(control);
	p = pruning_now();
	/* One that failed is tried in an hour. */
	for (unsigned i = 0; i < 2; i++) {
		p->more = !i;
		job_ends(&p->job, i ? STORE_DONE : STORE_FAILED, "");
		control_tick(control);
		assert_true(list_empty(&handed));
		later_ms += HOUR_MS;
		control_tick(control);
		p = pruning_now();
	}
	job_ends(&p->job, STORE_DONE, "");
	(void)g;
}

/* `once` does it when it is told to, at once and for ten seconds. */
static void
once_prunes_for_ten_seconds(void **state)
{
	(void)state;

	role.hub.once = true;
	later_ms = 10 * HOUR_MS;
	control_tick(control);
	assert_true(list_empty(&handed));
	for (unsigned stopping = 0; stopping < 2; stopping++) {
		control_tidy(control);
		control_tidy(control);
		struct pruning *p = pruning_now();
		later_ms += 9000;
		p->more = true;
		role.hub.stopping = stopping;
		job_ends(&p->job, STORE_DONE, "");
		assert_int_equal(list_empty(&handed), stopping);
		if (stopping)
			break;
		p = pruning_now();
		later_ms += 1001;
		p->more = true;
		job_ends(&p->job, STORE_DONE, "");
		assert_true(list_empty(&handed));
	}
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_poll_is_recorded_with_all_it_says),
		TEST(polls_have_their_limits),
		TEST(what_is_settled_is_answered_when_it_is_durable),
		TEST(a_listing_is_up_to_three_changes),
		TEST(a_wake_is_answered_when_the_policies_are_in),
		TEST(what_is_not_for_the_relay_is_refused),
		TEST(status_says_how_it_stands),
		TEST(history_is_pruned_by_the_hour),
		TEST(once_prunes_for_ten_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
