/* A relay without sockets and threads: what is between MAIL and the commit, on a state of
 * its own. The group of tests includes it once. */
#ifndef TESTS_RELAY_GATE_H
#define TESTS_RELAY_GATE_H

#include "check.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/conf_load.h"
#include "room.h"

enum {
	GATE_TO = 12, /* recipients of a letter */
	GATE_PIECE = 400, /* octets that a body comes by, at most */
	GATE_PIECE_LARGE = 100 * 1024, /* the same of large ones */
};

struct gate {
	char dir[64];
	struct relay r;
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

	g->r.store = store_open(g->dir,
			&(struct store_options){
					.service = true, .now_ms = clock_wall_ms() },
			NULL, &err);
	if (!g->r.store ||
			!store_secret(store_reader(g->r.store), "loop",
					g->r.loop_key.secret, &err))
		fail_msg("%s", err.text);
	loop_key_init(&g->r.loop_key);
}

static inline void
gate_close(struct gate *g)
{
	store_close(g->r.store);
	g->r.store = NULL;
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
	directory_free(g->r.directory);
	g->r.directory = directory_new(rows);
	g->r.policies = directory_policies(g->r.directory);
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
	g->r.conf = g->conf;
	g->r.pulse = (struct pulse){ .role = g,
		.hurry = gate_hurries,
		.look = gate_looks,
		.give_up = gate_failed };
	g->r.loop = loop_new(&err);
	g->r.hops = nexthop_table_new(&g->conf->delivery.routes);
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
	directory_free(g->r.directory);
	nexthop_table_free(g->r.hops);
	loop_free(g->r.loop);
	conf_free(g->conf);
	free(g);
}

/* ---- one message, as the collector hands it over ---- */

struct gate_letter {
	char account[16], uidl[48];
	struct span text;
	char to[GATE_TO][40];
	size_t n;
	bool nobody, copies; /* what the collector decided */
};

static inline struct mail *
gate_mail(struct gate *g, const struct gate_letter *l)
{
	const struct mail_client client = { .internal = true, .esmtp = true };
	const struct smtp_mail said = { .collected = true,
		.collect = { .account = span_of(l->account),
				.uidl = span_of(l->uidl),
				.provider = SPAN("pop.isp.test"),
				.ip = SPAN("192.0.2.1"),
				.copies = l->copies,
				.badmail = l->nobody ? SPAN("no-recipients")
						     : SPAN("") } };
	struct mail *m = mail_new(&g->r, &said, &client);
	struct span rest = l->text;

	for (size_t i = 0; i < l->n; i++) {
		char text[SMTP_TEXT_SIZE];
		struct smtp_path path;

		assert_true(smtp_mailbox_parse(span_of(l->to[i]), &path));
		(void)mail_rcpt(&g->r, m, &path, text);
	}
	while (rest.n > 0) {
		uint64_t most = rest.n > 8 * GATE_PIECE ? GATE_PIECE_LARGE : GATE_PIECE;
		struct span piece = span_first(rest, 1 + gate_draw(g, most));

		assert_int_equal(mail_body(&g->r, m, piece).code, 0);
		rest = span_skip(rest, piece.n);
	}
	assert_int_equal(
			mail_whole(&g->r, m, &(struct smtp_commit){ .size = l->text.n },
					&client)
					.code,
			0);
	return m;
}

#endif
