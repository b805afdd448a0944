/* Messages in hand without a next hop, on a relay without sockets and threads; what is logged
 * stands in the journal of its state. The group of tests includes it once. */
#ifndef TESTS_RELAY_HAND_H
#define TESTS_RELAY_HAND_H

#include "gate.h"

#include "dispatch.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/qid.h"

enum { DAY_MS = 24 * 3600 * 1000, MOST = 120 };

static struct list handed; /* what goes to the store: each test answers for it */
void __wrap_jobs_add(struct jobs *j, struct store_job *job);

void
__wrap_jobs_add(struct jobs *j, struct store_job *job)
{
	(void)j;
	list_add(&handed, &job->link);
}

static const struct policy_domain domains[] = {
	{ .domain = { SPAN_INIT("contoso.test") }, .authoritative = true },
};
static const struct directory_rows rows = { .domains = domains, .n_domains = 1 };

static inline int
set_up(void **state)
{
	struct gate *g = gate_new(&rows);
	struct err err = { 0 };
	char path[100];

	gate_fresh(g);
	g->r.state = g->dir;
	g->r.reader = store_reader(g->r.store);
	g->r.dispatch = dispatch_new(&g->r);
	list_init(&g->r.unsettled);
	(void)snprintf(path, sizeof(path), "%s/told", g->dir);
	assert_true(log_open(
			&(struct log_options){ .level = 3, .journal = path }, &err));
	list_init(&handed);
	g->failures = 0;
	*state = g;
	return 0;
}

static inline int
tear_down(void **state)
{
	struct gate *g = *state;

	log_close();
	settle_free(&g->r);
	dispatch_free(g->r.dispatch);
	gate_free(g);
	return 0;
}

/* How often that stands in the log, and it is empty again. */
static inline size_t
told(const struct gate *g, const char *words)
{
	AUTO(buf_done) struct buf got = BUF_MAX(1024 * 1024);
	char path[100];
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%s/told", g->dir);
	assert_true(file_read(AT_FDCWD, path, 0, &got, NULL));
	for (const char *at = buf_cstr(&got); (at = strstr(at, words)); at++)
		n++;
	return n;
}

static inline void
forget(const struct gate *g)
{
	char path[100];

	(void)snprintf(path, sizeof(path), "%s/told", g->dir);
	assert_int_equal(truncate(path, 0), 0);
}

#define TOLD(n, words) \
	do { \
		if (told(g, words) != (n)) \
			fail_msg("%zu of %s", told(g, words), words); \
	} while (0)

/* ---- a message in hand ---- */

struct hand {
	struct queue_message m;
	struct queue_recipient *to;
	struct hop *hop;
	struct lease *l; /* it ends with what the store says */
};

static inline void
hand_take(struct gate *g, struct hand *h, const char *hop, size_t n)
{
	static char address[MOST][40];
	struct batch *b = calloc(1, sizeof(*b));
	struct lease *l = calloc(1, sizeof(*l));

	*h = (struct hand){ .m = { .id = store_new_id(g->r.store, clock_wall_ms()),
					    .sender = SPAN("s@x.test"),
					    .arrived_ms = clock_wall_ms(),
					    .n = n } };
	b->arena = ARENA_MAX(1024 * 1024);
	h->m.recipients = h->to = arena_alloc(&b->arena, n * sizeof(*h->to));
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(address[i], sizeof(address[i]), "u%zu@h.test", i);
		h->to[i] = (struct queue_recipient){ .address = span_of(address[i]),
			.seq = (uint32_t)i + 7,
			.state = QUEUE_QUEUED };
	}
	h->hop = hop_new(g->r.dispatch, span_of(hop));
	b->refs = 1;
	l->hop = h->hop;
	l->batch = b;
	l->m = &h->m;
	l->words = ARENA_MAX(1024 * 1024);
	l->results = calloc(n, sizeof(*l->results));
	l->open = malloc(n);
	assert_non_null(l->open);
	memset(l->open, 1, n);
	l->left = n;
	l->host = SPAN("h.test:25");
	list_init(&l->link);
	list_init(&l->job.job.link);
	g->r.dispatch->leases++;
	h->l = l;
}

static inline struct verdict
answer(enum fate fate, int code, const char *esc, const char *text)
{
	return verdict_make(fate, code, esc, "%s", text);
}

/* How often an event was told with all of these. */
static inline size_t
event(const struct gate *g, int id, const char *one, const char *two, const char *three)
{
	AUTO(buf_done) struct buf got = BUF_MAX(1024 * 1024);
	char path[100], key[30];
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%s/told", g->dir);
	(void)snprintf(key, sizeof(key), "\"id\":%d,", id);
	assert_true(file_read(AT_FDCWD, path, 0, &got, NULL));
	assert_true(buf_addc(&got, '\0'));
	for (char *at = got.p, *line; (line = strsep(&at, "\n"));)
		n += strstr(line, key) && strstr(line, one) && strstr(line, two) &&
				strstr(line, three);
	return n;
}

#define IN_GATE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

#endif
