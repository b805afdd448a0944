/* A state directory of its own for each test, and short ways to fill it. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "postern/arena.h"
#include "postern/body.h"
#include "postern/buf.h"
#include "postern/origin.h"
#include "postern/qid.h"
#include "postern/queue.h"

#define NOW INT64_C(1700000000000)

struct state {
	char dir[64];
	struct store *store;
	struct store_recovery found;
	struct arena arena;
	struct err err;
};

static inline int
fixture_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static inline struct store *
fixture_open(struct state *t, bool service)
{
	struct store_options o = {
		.service = service, .now_ms = NOW, .busy_ms = 20000
	};
	memset(&t->err, 0, sizeof t->err);
	t->store = store_open(t->dir, &o, &t->found, &t->err);
	return t->store;
}

/* The directory, and nothing in it. */
static inline struct state *
fixture_make(void)
{
	struct state *t = calloc(1, sizeof *t);
	assert_non_null(t);
	snprintf(t->dir, sizeof t->dir, "%s/postern-store-XXXXXX",
			access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(t->dir));
	t->arena = ARENA_MAX(64 * 1024 * 1024);
	return t;
}

static inline int
fixture_set_up(void **state)
{
	struct state *t = *state = fixture_make();
	if (!fixture_open(t, true))
		fail_msg("%s", t->err.text);
	return 0;
}

static inline int
fixture_tear_down(void **state)
{
	struct state *t = *state;
	store_close(t->store);
	arena_done(&t->arena);
	nftw(t->dir, fixture_remove, 8, FTW_DEPTH | FTW_PHYS);
	free(t);
	return 0;
}

static inline void
fixture_reopen(struct state *t)
{
	store_close(t->store);
	if (!fixture_open(t, true))
		fail_msg("%s", t->err.text);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_set_up, fixture_tear_down)

static const struct submission_recipient fixture_to = {
	.address = { SPAN_INIT("ann@contoso.test") },
	.hop = { SPAN_INIT("drop") },
	.state = QUEUE_QUEUED,
};

static inline struct submission
fixture_message(struct state *t, const char *uidl)
{
	return (struct submission){
		.job = { .work = STORE_SUBMIT },
		.id = store_new_id(t->store, NOW),
		.account = uidl ? SPAN("isp") : (struct span){ 0 },
		.uidl = span_of(uidl),
		.source = SPAN("pop.isp.test [192.0.2.1]"),
		.sender = SPAN("eve@nwtraders.test"),
		.message_id = SPAN("<one@nwtraders.test>"),
		.arrived_ms = NOW,
		.top = SPAN("Received: by gw\r\n"),
		.body = SPAN("Subject: x\r\n\r\nbody\r\n"),
		.spool_fd = -1,
		.route = SPAN("{\"kept\":1}"),
		.recipients = &fixture_to,
		.n = 1,
	};
}

static inline enum store_result
fixture_do(struct state *t, struct store_job *job)
{
	struct list jobs;
	list_init(&jobs);
	list_add(&jobs, &job->link);
	store_run(t->store, &jobs);
	return job->result;
}

static inline uint64_t
fixture_submit(struct state *t, const char *uidl)
{
	struct submission sub = fixture_message(t, uidl);
	if (fixture_do(t, &sub.job) != STORE_DONE)
		fail_msg("%s", sub.job.err.text);
	return sub.id;
}

static inline bool
fixture_settle(struct state *t, uint64_t id, struct settle_recipient r)
{
	struct settlement set = { .job = { .work = STORE_SETTLE },
		.id = id,
		.at_ms = NOW + 5,
		.recipients = &r,
		.n = 1 };
	if (fixture_do(t, &set.job) != STORE_DONE)
		fail_msg("%s", set.job.err.text);
	return set.settled;
}

/* Due messages of a hop; how many. */
static inline size_t
fixture_due(struct state *t, const char *hop, int64_t now_ms, struct queue_message **m)
{
	struct queue_due want = { .hop = span_of(hop),
		.now_ms = now_ms,
		.messages = 100,
		.recipients = 100 };
	size_t n;
	if (!queue_due(store_reader(t->store), &want, &t->arena, m, &n, &t->err))
		fail_msg("%s", t->err.text);
	return n;
}

static inline struct queue_story
fixture_show(struct state *t, uint64_t id)
{
	struct queue_story story;
	bool found;
	if (!queue_show(store_reader(t->store), id, &t->arena, &story, &found, &t->err))
		fail_msg("%s", t->err.text);
	assert_true(found);
	return story;
}

static inline bool
fixture_spool_has(struct state *t, uint64_t id)
{
	char name[QID_SIZE], path[128];
	qid_print(id, name);
	snprintf(path, sizeof path, "%s/spool/%s", t->dir, name);
	return access(path, F_OK) == 0;
}

static inline void
assert_span(struct span got, const char *want)
{
	if (!span_eq(got, span_of(want)))
		fail_msg("got \"" SPAN_FMT "\", want \"%s\"", SPAN_ARG(got), want);
}

#endif
