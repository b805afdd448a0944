/* What both halves of the relay stand on, without sockets and threads, on a state of its own.
 * The group of tests includes it once. */
#ifndef TESTS_GATE_H
#define TESTS_GATE_H

#include "check.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/conf_load.h"
#include "postern/file.h"
#include "postern/hub.h"
#include "postern/log.h"
#include "postern/qid.h"

struct inbound;
struct dispatch;

struct gate {
	char dir[64];
	struct hub hub;
	struct inbound *in; /* of the tests that have one: inbound/door.h */
	struct dispatch *d; /* likewise: outbound/hand.h */
	struct conf *conf;
	uint64_t chance;
	unsigned failures, hurries, looks; /* what its parts asked of the role */
};

static inline void
gate_failed(void *role, const struct err *e)
{
	struct gate *g = role;

	(void)e;
	g->failures++;
}

static inline void
gate_hurries(void *role)
{
	struct gate *g = role;

	g->hurries++;
}

static inline void
gate_looks(void *role)
{
	struct gate *g = role;

	g->looks++;
}

static inline void
gate_result(void *host, const struct store_job *job)
{
	(void)host, (void)job;
}

static inline void
gate_batch_over(void *host)
{
	(void)host;
}

static const struct jobs_calls gate_jobs = { .result = gate_result,
	.batch_over = gate_batch_over };

static inline uint64_t
gate_draw(struct gate *g, uint64_t below)
{
	g->chance = g->chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (g->chance >> 33) % below;
}

static inline void
gate_open(struct gate *g)
{
	struct err err = { 0 };

	g->hub.store = store_open(g->dir,
			&(struct store_options){
					.service = true, .now_ms = clock_wall_ms() },
			NULL, &err);
	if (!g->hub.store)
		fail_msg("%s", err.text);
}

static inline void
gate_close(struct gate *g)
{
	store_close(g->hub.store);
	g->hub.store = NULL;
}

static inline int
gate_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

static inline void
gate_empty(struct gate *g)
{
	if (g->dir[0])
		(void)nftw(g->dir, gate_remove, 8, FTW_DEPTH | FTW_PHYS);
	g->dir[0] = '\0';
}

/* A new state, in memory where there is a place for that: a thousand are made. */
static inline void
gate_fresh(struct gate *g)
{
	const char *tmp = getenv("TMPDIR");

	gate_close(g);
	gate_empty(g);
	if (access("/dev/shm", W_OK) == 0)
		tmp = "/dev/shm";
	(void)snprintf(g->dir, sizeof(g->dir), "%.40s/postern-XXXXXX",
			tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(g->dir));
	gate_open(g);
}

/* Another directory, as when a word of the command line wakes the relay. */
static inline void
gate_directory(struct gate *g, const struct directory_rows *rows)
{
	directory_free(g->hub.directory);
	g->hub.directory = directory_new(rows);
	g->hub.policies = directory_policies(g->hub.directory);
}

static inline struct gate *
gate_new(const struct directory_rows *rows)
{
	static const char text[] = "server:\n  hostname: gw.contoso.test\n"
				   "  state: /var/lib/postern\n"
				   "  postmaster: admin@contoso.test\n"
				   "smtp: { limits: { recipients: 100 } }\n";
	struct gate *g = calloc(1, sizeof(*g));
	struct conf_faults faults;
	struct err err = { 0 };
	const char *seed = getenv("POSTERN_SEED");

	assert_non_null(g);
	conf_faults_init(&faults);
	g->conf = conf_parse(&(struct conf_source){ .text = span_of(text),
					     .path = "postern.yaml" },
			&faults);
	conf_faults_done(&faults);
	assert_non_null(g->conf);
	g->hub.conf = g->conf;
	g->hub.pulse = (struct pulse){ .role = g,
		.hurry = gate_hurries,
		.look = gate_looks,
		.give_up = gate_failed };
	g->hub.loop = loop_new(&err);
	g->hub.routes = nexthop_table_new(&g->conf->delivery.routes);
	gate_directory(g, rows);
	g->chance = seed ? strtoull(seed, NULL, 10) : (uint64_t)clock_mono_us();
	print_message("POSTERN_SEED=%llu\n", (unsigned long long)g->chance);
	return g;
}

static inline void
gate_free(struct gate *g)
{
	gate_close(g);
	gate_empty(g);
	directory_free(g->hub.directory);
	nexthop_table_free(g->hub.routes);
	loop_free(g->hub.loop);
	conf_free(g->conf);
	free(g);
}

static inline void
gate_step(void *loop)
{
	loop_stop(loop);
}

/* The loop goes round for so long, and with all that is ready then. */
static inline void
gate_turn(struct gate *g, int64_t ms)
{
	struct err err = { 0 };
	struct loop_timer *t = loop_timer_new(g->hub.loop, gate_step, g->hub.loop);

	loop_timer_set(t, ms);
	assert_true(loop_run(g->hub.loop, &err));
	loop_timer_free(t);
}

#endif
