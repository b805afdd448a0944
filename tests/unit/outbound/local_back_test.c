/* What the folder thread brings back of a message is settled: written, put off, without a place,
 * damaged or gone, for all of its recipients or for one. What it writes to is stood in for. */
#include "hand.h"

#include "local.h"

#include "postern/body.h"
#include "postern/maildir.h"

static struct {
	bool gone, damaged; /* the body */
	unsigned homeless; /* bits: recipients without a place */
	int write_fails_at; /* the n-th; 0: never */
	int writes;
	bool sync_fails;
} world;

struct reader *__wrap_reader_open(const char *dir, struct err *e);
void __wrap_reader_close(struct reader *r);
struct body *__wrap_body_find(struct reader *r, uint64_t id, bool *gone, struct err *e);
struct body_lay __wrap_body_lay(const struct body *b);
void __wrap_body_close(struct body *b);
bool __wrap_maildir_expand(struct span pattern, struct span address, struct buf *out,
		struct err *err);
bool __wrap_maildir_write(struct maildir *m, const char *path, uint64_t qid,
		uint64_t seq, const struct letter_body *body, struct err *err);
bool __wrap_maildir_sync(struct maildir *m, struct err *err);
void __wrap_jobs_flush(struct jobs *j);

struct reader *
__wrap_reader_open(const char *dir, struct err *e)
{
	(void)dir, (void)e;
	return (struct reader *)&world;
}

void
__wrap_reader_close(struct reader *r)
{
	(void)r;
}

struct body *
__wrap_body_find(struct reader *r, uint64_t id, bool *gone, struct err *e)
{
	(void)r, (void)id;
	*gone = world.gone;
	if (world.damaged)
		err_set(e, 5009, "its end is missing");
	return world.gone || world.damaged ? NULL : (struct body *)&world;
}

struct body_lay
__wrap_body_lay(const struct body *b)
{
	(void)b;
	return (struct body_lay){ .held = SPAN("A: b\r\n\r\nx\r\n"), .fd = -1 };
}

void
__wrap_body_close(struct body *b)
{
	(void)b;
}

bool
__wrap_maildir_expand(struct span pattern, struct span address, struct buf *out,
		struct err *err)
{
	unsigned n = (unsigned)(address.p[1] - '0'); /* u0@h.test, u1@... */

	(void)pattern;
	if (world.homeless & 1u << n)
		return err_set(err, 0, "there is no folder for it");
	return buf_addf(out, "/m/u%u", n);
}

bool
__wrap_maildir_write(struct maildir *m, const char *path, uint64_t qid, uint64_t seq,
		const struct letter_body *body, struct err *err)
{
	(void)m, (void)path, (void)qid, (void)seq, (void)body;
	return ++world.writes != world.write_fails_at ||
			err_set(err, 0, "the folder takes nothing");
}

bool
__wrap_maildir_sync(struct maildir *m, struct err *err)
{
	(void)m;
	return !world.sync_fails || err_set(err, 0, "the folder cannot be synced");
}

void
__wrap_jobs_flush(struct jobs *j)
{
	(void)j;
}

static struct local *w;

static int
up(void **state)
{
	struct err err = { 0 };

	(void)set_up(state);
	struct gate *g = *state;
	memset(&world, 0, sizeof(world));
	g->hub.share.drops = g->hub.share.maildirs = 1;
	w = local_new(&g->hub, &err);
	if (!w)
		fail_msg("%s", err.text);
	return 0;
}

static int
down(void **state)
{
	local_free(w);
	return tear_down(state);
}

/* A message for three goes to the thread, and comes back. */
static void
deliver(struct gate *g, struct hand *h)
{
	struct list leases;

	hand_take(g, h, "maildir:/m/%u", 3);
	assert_int_equal(h->l->at->to.kind, NEXTHOP_MAILDIR);
	list_init(&leases);
	list_add(&leases, &h->l->link);
	local_deliver(w, &leases);
	while (!local_quiet(w))
		gate_turn(g, 20);
}

static void
each_recipient_has_what_became_of_his_letter(void **state)
{
	static const struct {
		unsigned homeless;
		int write_fails_at;
		bool sync_fails, damaged;
		enum queue_state want[3];
		unsigned told; /* 5107 */
	} cases[] = {
		{ .want = { QUEUE_DELIVERED, QUEUE_DELIVERED, QUEUE_DELIVERED } },
		{ .homeless = 2,
				.want = { QUEUE_DELIVERED, QUEUE_BOUNCED,
						QUEUE_DELIVERED } },
		/* Some of it is not there: all of it comes again, also who has no place. */
		{ .homeless = 1,
				.write_fails_at = 2,
				.want = { QUEUE_QUEUED, QUEUE_QUEUED, QUEUE_QUEUED },
				.told = 1 },
		{ .homeless = 1,
				.sync_fails = true,
				.want = { QUEUE_QUEUED, QUEUE_QUEUED, QUEUE_QUEUED },
				.told = 1 },
		{ .damaged = true,
				.want = { QUEUE_BOUNCED, QUEUE_BOUNCED,
						QUEUE_BOUNCED } },
	};
	struct gate *g = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct hand h;

		memset(&world, 0, sizeof(world));
		world.homeless = cases[i].homeless;
		world.write_fails_at = cases[i].write_fails_at;
		world.sync_fails = cases[i].sync_fails;
		world.damaged = cases[i].damaged;
		forget(g);
		deliver(g, &h);
		assert_int_equal(h.l->left, 0);
		for (size_t k = 0; k < 3; k++) {
			const struct settle_recipient *out = &h.l->results[k];

			if (out->state != cases[i].want[k])
				fail_msg("case %zu, recipient %zu: %d", i, k,
						(int)out->state);
			assert_true(out->attempted);
			if (out->state == QUEUE_BOUNCED)
				assert_true(span_starts(out->reply,
						cases[i].damaged ? SPAN("5.3.0 ")
								 : SPAN("5.1.3 ")));
			if (out->state == QUEUE_QUEUED)
				assert_true(span_starts(out->reply, SPAN("4.3.0 ")));
		}
		assert_int_equal(h.l->damage.n > 0, cases[i].damaged);
		assert_true(span_eq(h.l->host, SPAN("maildir:/m/%u")));
		TOLD(cases[i].told, "\"id\":5107");
		assert_false(list_empty(&handed));
		list_del(&h.l->job.job.link);
		hop_release(h.l);
	}
}

/* It was settled meanwhile: there is nothing to record. */
static void
what_is_gone_is_forgotten(void **state)
{
	struct gate *g = *state;
	static struct hand h;

	world.gone = true;
	deliver(g, &h);
	assert_true(list_empty(&handed));
	assert_int_equal(g->d->all.leases, 0);
	TOLD(0, "\"id\"");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, up, down)
	const struct CMUnitTest tests[] = {
		TEST(each_recipient_has_what_became_of_his_letter),
		TEST(what_is_gone_is_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
