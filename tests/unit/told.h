/* A gate whose jobs stay in the hands of the test; what is logged stands in the journal of its
 * state. The group of tests includes it once and wraps jobs_add. */
#ifndef TESTS_TOLD_H
#define TESTS_TOLD_H

#include "gate.h"

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
told_up(void **state)
{
	struct gate *g = gate_new(&rows);
	struct err err = { 0 };
	char path[100];

	gate_fresh(g);
	g->hub.state = g->dir;
	g->hub.reader = store_reader(g->hub.store);
	(void)snprintf(path, sizeof(path), "%s/told", g->dir);
	assert_true(log_open(
			&(struct log_options){ .level = 3, .journal = path }, &err));
	list_init(&handed);
	g->failures = 0;
	*state = g;
	return 0;
}

static inline int
told_down(void **state)
{
	struct gate *g = *state;

	log_close();
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

#endif
