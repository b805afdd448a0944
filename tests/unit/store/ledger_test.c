/* The ledger (E7): who has a mail gets no copy of it, and nobody else is left out. */
#include "steady.h"

enum { MOST = 8 };

/* One message for up to MOST recipients; its key of the ledger is a letter each: '-'
 * has none, '!' before it is refused. */
struct copy {
	struct submission sub;
	struct submission_recipient to[MOST];
	uint64_t copy_of[MOST];
	char keys[MOST][STORE_KEY_SIZE];
};

static void
copy_make(struct state *t, struct copy *c, const char *uidl, const char *keys)
{
	c->sub = fixture_message(t, uidl);
	c->sub.n = 0;
	for (; *keys; keys++) {
		size_t i = c->sub.n++;
		bool refused = *keys == '!';

		keys += refused;
		c->to[i] = fixture_to;
		if (refused) {
			c->to[i].state = QUEUE_REFUSED;
			c->to[i].reason = SPAN("loop");
			c->to[i].code = 554;
			c->to[i].reply = SPAN("5.4.6 Loop");
		}
		memset(c->keys[i], *keys, STORE_KEY_SIZE);
		if (*keys != '-')
			c->to[i].key = (struct span){ c->keys[i], STORE_KEY_SIZE };
		c->copy_of[i] = 77; /* whatever was there before */
	}
	c->sub.recipients = c->to;
	c->sub.copy_of = c->copy_of;
}

static void
copy_do(struct state *t, struct copy *c, const char *uidl, const char *keys)
{
	copy_make(t, c, uidl, keys);
	if (fixture_do(t, &c->sub.job) != STORE_DONE)
		fail_msg("%s", c->sub.job.err.text);
}

/* The states of its recipients as letters: q d r. */
static void
check_states(struct state *t, const struct copy *c, const char *want)
{
	struct queue_story s = fixture_show(t, c->sub.id);
	char got[MOST + 1] = "";

	assert_int_equal(s.message.n, c->sub.n);
	for (size_t i = 0; i < c->sub.n; i++) {
		bool copy = s.message.recipients[i].state == QUEUE_DUPLICATE;

		got[i] = queue_state_name(s.message.recipients[i].state)[0];
		assert_int_equal(c->copy_of[i] != 0, copy);
		assert_int_equal(span_starts(s.message.recipients[i].reply,
						 SPAN("Copy of ")),
				copy);
	}
	assert_string_equal(got, want);
}

static void
who_has_it_gets_no_copy(void **state)
{
	struct state *t = *state;
	struct copy a, b, c;

	copy_do(t, &a, "u1", "AB");
	check_states(t, &a, "qq");
	copy_do(t, &b, "u2", "BCA");
	check_states(t, &b, "dqd");
	assert_int_equal(b.copy_of[0], a.sub.id);
	assert_int_equal(b.copy_of[1], 0);
	assert_int_equal(b.copy_of[2], a.sub.id);
	assert_true(fixture_show(t, b.sub.id).message.body);
	/* Also after a restart; the first of each recipient is named. */
	fixture_reopen(t);
	copy_do(t, &c, "u3", "ACB");
	check_states(t, &c, "ddd");
	assert_int_equal(c.copy_of[1], b.sub.id);
	struct queue_message *m;
	assert_int_equal(fixture_due(t, "drop", NOW, &m), 2);
	struct queue_source from;
	assert_true(queue_source(
			store_reader(t->store), a.sub.id, &t->arena, &from, &t->err));
	assert_span(from.account, "isp");
	assert_int_equal(from.arrived_ms, NOW);
	/* One that history has forgotten. */
	assert_true(queue_source(store_reader(t->store), a.sub.id + 1000, &t->arena,
			&from, &t->err));
	assert_span(from.account, "");
	assert_int_equal(from.arrived_ms, 0);
}

static void
a_copy_for_nobody_leaves_no_body(void **state)
{
	struct state *t = *state;
	static char piece[BODY_BLOB_MAX];
	struct copy a, b;
	enum origin_state is;

	copy_do(t, &a, "u1", "A");
	copy_make(t, &b, "u2", "AA");
	b.sub.spool_fd = spool_create(t->store, b.sub.id, &t->err);
	assert_true(spool_write(b.sub.spool_fd, (struct span){ piece, sizeof piece },
			&b.sub.spool_size, &t->err));
	assert_int_equal(fixture_do(t, &b.sub.job), STORE_DONE);
	close(b.sub.spool_fd);
	check_states(t, &b, "dd");
	assert_false(fixture_show(t, b.sub.id).message.body);
	assert_false(fixture_spool_has(t, b.sub.id));
	assert_true(fixture_show(t, a.sub.id).message.body);
	/* It was collected all the same: DELE may follow, and it never comes again. */
	assert_true(origin_look(store_reader(t->store), SPAN("isp"), SPAN("u2"), &is,
			NULL, &t->err));
	assert_int_equal(is, ORIGIN_COMMITTED);
	fixture_reopen(t);
	assert_int_equal(t->found.damaged, 0);
	assert_int_equal(t->found.queued, 1);
	copy_make(t, &b, "u2", "Z");
	assert_int_equal(fixture_do(t, &b.sub.job), STORE_HAD);
	/* What was only had enters nothing. */
	copy_do(t, &b, "u3", "Z");
	check_states(t, &b, "q");
}

static void
copies_meet_in_one_group_and_in_one_message(void **state)
{
	struct state *t = *state;
	static struct copy c[4];
	static const char *const keys[] = { "AA", "AB", "BA", "ABCC" };
	static const char *const want[] = { "qd", "dq", "dd", "ddqd" };
	static const char *const uidls[] = { "a", "b", "c", "d" };
	struct list jobs;

	list_init(&jobs);
	for (size_t i = 0; i < 4; i++) {
		copy_make(t, &c[i], uidls[i], keys[i]);
		list_add(&jobs, &c[i].sub.job.link);
	}
	store_run(t->store, &jobs);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(c[i].sub.job.result, STORE_DONE);
		check_states(t, &c[i], want[i]);
	}
	assert_int_equal(c[0].copy_of[1], c[0].sub.id);
	assert_int_equal(c[2].copy_of[0], c[1].sub.id);
}

static void
what_fails_in_its_group_enters_nothing(void **state)
{
	struct state *t = *state;
	static struct copy c[3];
	struct list jobs;

	list_init(&jobs);
	copy_make(t, &c[0], "u0", "X");
	copy_make(t, &c[1], "u1", "A");
	copy_make(t, &c[2], "u2", "A");
	c[1].sub.id = c[0].sub.id; /* found out by the database only */
	for (size_t i = 0; i < 3; i++)
		list_add(&jobs, &c[i].sub.job.link);
	store_run(t->store, &jobs);
	assert_int_equal(c[0].sub.job.result, STORE_DONE);
	assert_int_equal(c[1].sub.job.result, STORE_FAILED);
	assert_int_equal(c[2].sub.job.result, STORE_DONE);
	check_states(t, &c[2], "q");
	assert_int_equal(c[2].copy_of[0], 0);
}

static void
mail_without_keys_is_none_of_its_business(void **state)
{
	struct state *t = *state;
	struct copy c;

	copy_do(t, &c, "u1", "A");
	copy_do(t, &c, "u2", "-");
	c.copy_of[0] = 0;
	check_states(t, &c, "q");
	/* By SMTP: there is no origin, and no key. */
	copy_make(t, &c, NULL, "-");
	c.sub.copy_of = NULL;
	assert_int_equal(fixture_do(t, &c.sub.job), STORE_DONE);
	/* A key without the place for its answer, or of another length, is a mistake. */
	copy_make(t, &c, "u3", "A");
	c.sub.copy_of = NULL;
	assert_int_equal(fixture_do(t, &c.sub.job), STORE_FAILED);
	copy_make(t, &c, "u3", "A");
	c.to[0].key.n--;
	assert_int_equal(fixture_do(t, &c.sub.job), STORE_FAILED);
}

static void
refused_recipients_are_only_looked_up(void **state)
{
	struct state *t = *state;
	struct copy c;

	copy_do(t, &c, "u1", "!A");
	check_states(t, &c, "r");
	copy_do(t, &c, "u2", "A");
	check_states(t, &c, "q");
	copy_do(t, &c, "u3", "!A!BB");
	check_states(t, &c, "drq");
	struct queue_story s = fixture_show(t, c.sub.id);
	assert_int_equal(s.message.recipients[0].code, 0);
	assert_int_equal(s.message.recipients[0].reason.n, 0);
	assert_span(s.message.recipients[1].reason, "loop");
}

/* What became of the first copy, and is the next one a copy then? */
static void
a_copy_of_what_came_to_nothing_is_none(void **state)
{
	struct state *t = *state;
	static const struct {
		enum queue_state became;
		const char *want; /* of the next copy */
	} cases[] = {
		{ QUEUE_QUEUED, "d" }, /* deferred: it is on its way */
		{ QUEUE_DELIVERED, "d" },
		{ QUEUE_HELD, "d" }, /* by somebody's word: it is here */
		{ QUEUE_BOUNCED, "q" },
		{ QUEUE_BADMAIL, "q" },
		{ QUEUE_REMOVED, "q" },
	};
	struct copy a, b, c;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char uidl[3][16], key[2] = { (char)('A' + i), '\0' }, two[3];

		for (size_t k = 0; k < 3; k++)
			snprintf(uidl[k], sizeof uidl[k], "u%zu.%zu", i, k);
		/* Who stands beside him has no say in it. */
		snprintf(two, sizeof two, "z%s", key);
		two[0] = (char)('a' + i);
		copy_do(t, &a, uidl[0], two);
		(void)fixture_settle(t, a.sub.id,
				(struct settle_recipient){
						.seq = 0, .state = QUEUE_BADMAIL });
		(void)fixture_settle(t, a.sub.id,
				(struct settle_recipient){ .seq = 1,
						.state = cases[i].became,
						.attempted = true });
		/* Only looked up: what came back of it is a copy, or stays refused. */
		char refused[3] = { '!', key[0], '\0' };
		copy_do(t, &c, uidl[2], refused);
		check_states(t, &c, cases[i].want[0] == 'd' ? "d" : "r");
		copy_do(t, &b, uidl[1], key);
		check_states(t, &b, cases[i].want);
		/* The one that goes its way instead is what others are copies of. */
		snprintf(uidl[2], sizeof uidl[2], "u%zu.3", i);
		copy_do(t, &c, uidl[2], key);
		check_states(t, &c, "d");
		assert_int_equal(c.copy_of[0],
				cases[i].want[0] == 'd' ? a.sub.id : b.sub.id);
	}
}

/* The first copy's file in the spool is gone: the next one has what it had. */
static void
a_copy_of_a_lost_body_is_delivered(void **state)
{
	struct state *t = *state;
	static char piece[BODY_BLOB_MAX + 1];
	char name[QID_SIZE], path[160];
	struct copy a, b;

	copy_make(t, &a, "u1", "A");
	a.sub.spool_fd = spool_create(t->store, a.sub.id, &t->err);
	assert_true(spool_write(a.sub.spool_fd, (struct span){ piece, sizeof piece },
			&a.sub.spool_size, &t->err));
	assert_int_equal(fixture_do(t, &a.sub.job), STORE_DONE);
	close(a.sub.spool_fd);
	copy_do(t, &b, "u2", "A");
	check_states(t, &b, "d");
	qid_print(a.sub.id, name);
	snprintf(path, sizeof path, "%s/spool/%s", t->dir, name);
	assert_int_equal(unlink(path), 0);
	fixture_reopen(t);
	assert_int_equal(t->found.damaged, 1);
	copy_do(t, &b, "u3", "A");
	check_states(t, &b, "q");
}

static void
the_window_ends_after_fourteen_days(void **state)
{
	const int64_t hour = 3600 * 1000, day = 24 * hour;
	struct state *t = *state;
	struct copy a, b;

	copy_do(t, &a, "u1", "AB");
	steady_pass(t, 14 * day);
	copy_do(t, &b, "u2", "A");
	check_states(t, &b, "d");
	/* A copy does not prolong it: it goes by the first. */
	steady_pass(t, 2 * hour);
	copy_do(t, &b, "u3", "A");
	check_states(t, &b, "q");
	steady_pass(t, 13 * day);
	copy_do(t, &a, "u4", "A");
	check_states(t, &a, "d");
	assert_int_equal(a.copy_of[0], b.sub.id);
	/* What is pruned is out of the window in any case; what is in it stays. */
	copy_do(t, &a, "u5", "AB");
	check_states(t, &a, "dq");
}

/* The clock was years ahead for one message, and shows what it shows for the others. */
static void
the_window_does_not_go_by_the_wall_clock(void **state)
{
	const int64_t day = 24 * 3600 * 1000;
	static const int64_t years[] = { 10, -10 };
	struct state *t = *state;
	struct copy a, b;
	char uidl[16];

	copy_do(t, &a, "u", "A");
	for (size_t i = 0; i < sizeof years / sizeof years[0]; i++) {
		copy_make(t, &b, uidl, "A");
		snprintf(uidl, sizeof uidl, "u%zu", i);
		b.sub.uidl = span_of(uidl);
		b.sub.arrived_ms = NOW + years[i] * 365 * day;
		b.sub.id = store_new_id(t->store, b.sub.arrived_ms);
		assert_int_equal(fixture_do(t, &b.sub.job), STORE_DONE);
		check_states(t, &b, "d");
		assert_int_equal(b.copy_of[0], a.sub.id);
	}
}

static void
pruning_takes_a_bounded_number_at_a_time(void **state)
{
	enum { KEYS = 5000, EACH = 50, DAY = 24 * 3600 * 1000 };
	uint64_t pruned;
	struct state *t = *state;
	static struct submission_recipient to[EACH];
	static char keys[EACH][STORE_KEY_SIZE];
	uint64_t copy_of[EACH];

	for (uint32_t n = 0; n < KEYS;) {
		char uidl[16];
		(void)snprintf(uidl, sizeof uidl, "%u", n);
		struct submission sub = fixture_message(t, uidl);
		for (size_t i = 0; i < EACH; i++, n++) {
			memcpy(keys[i], &n, sizeof n);
			to[i] = fixture_to;
			to[i].key = (struct span){ keys[i], STORE_KEY_SIZE };
		}
		sub.recipients = to;
		sub.n = EACH;
		sub.copy_of = copy_of;
		assert_int_equal(fixture_do(t, &sub.job), STORE_DONE);
	}
	steady_pass(t, DAY);
	steady_set(t, NOW + INT64_C(16) * DAY);
	assert_in_range(steady_prune(t, STORE_HISTORY_MS, &pruned), 3, 4);
}

static void
the_secret_is_made_once(void **state)
{
	struct state *t = *state;
	uint8_t a[STORE_SECRET_SIZE] = { 0 }, b[STORE_SECRET_SIZE] = { 0 };
	static const uint8_t none[STORE_SECRET_SIZE];

	assert_true(store_secret(store_reader(t->store), "loop", a, &t->err));
	assert_memory_not_equal(a, none, sizeof a);
	fixture_reopen(t);
	struct reader *r = reader_open(t->dir, &t->err);
	assert_true(store_secret(r, "loop", b, &t->err));
	assert_memory_equal(a, b, sizeof a);
	assert_false(store_secret(r, "none", b, &t->err));
	assert_true(t->err.event != 0 && t->err.text[0]);
	reader_close(r);
}

/* Only the service makes it; who came before does without. */
static void
visitors_do_not_make_secrets(void **state)
{
	struct state *t = *state;
	struct state visitor = { .arena = ARENA_MAX(1024) };
	uint8_t a[STORE_SECRET_SIZE];

	(void)snprintf(visitor.dir, sizeof visitor.dir, "%.40s/other", t->dir);
	assert_non_null(fixture_open(&visitor, false));
	assert_false(store_secret(store_reader(visitor.store), "loop", a, &t->err));
	store_close(visitor.store);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_has_it_gets_no_copy),
		TEST(a_copy_for_nobody_leaves_no_body),
		TEST(copies_meet_in_one_group_and_in_one_message),
		TEST(what_fails_in_its_group_enters_nothing),
		TEST(mail_without_keys_is_none_of_its_business),
		TEST(refused_recipients_are_only_looked_up),
		TEST(a_copy_of_what_came_to_nothing_is_none),
		TEST(a_copy_of_a_lost_body_is_delivered),
		TEST(the_window_ends_after_fourteen_days),
		TEST(the_window_does_not_go_by_the_wall_clock),
		TEST(pruning_takes_a_bounded_number_at_a_time),
		TEST(the_secret_is_made_once),
		TEST(visitors_do_not_make_secrets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
