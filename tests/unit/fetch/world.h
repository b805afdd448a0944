/* A provider, a relay with the real store, and an account between them. */
#ifndef TESTS_FETCH_WORLD_H
#define TESTS_FETCH_WORLD_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "peers.h"
#include "postern/clock.h"
#include "postern/conf.h"
#include "postern/fetch.h"
#include "postern/log.h"

struct world {
	char dir[64], journal[96];
	struct provider provider;
	struct relay_stub relay;
	struct conf_account account;
	const char *domains[1];
	struct conf conf;
	struct fetch_limits limits; /* idle_ms 0: the usual ones */
	atomic_bool idle;
	size_t put;
};

static inline int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static inline int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err;

	(void)snprintf(w->dir, sizeof(w->dir), "%s/postern-fetch-XXXXXX",
			access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(w->dir))
		return -1;
	(void)snprintf(w->journal, sizeof(w->journal), "%s/events", w->dir);
	if (!log_open(&(struct log_options){ .to = w->journal, .level = 3 }, &err))
		return -1;
	provider_open(&w->provider);
	relay_stub_open(&w->relay, w->dir);
	w->domains[0] = "contoso.test";
	w->account = (struct conf_account){
		.name = "contoso",
		.server = { .name = "127.0.0.1",
				.port = w->provider.port,
				.literal = true },
		.tls = CONF_TLS_NONE,
		.user = "user",
		.password = { .kind = SECRET_VALUE, .text = "secret" },
		.domains = { w->domains, 1 },
		.trusted_hops = 1,
		.every_s = 300,
		.max_size = 50 * 1024 * 1024,
		.max_per_session = 500,
	};
	w->conf = (struct conf){
		.server = { .hostname = "gw.contoso.test",
				.state = w->dir,
				.postmaster = "postmaster@contoso.test" },
		.accounts = { &w->account, 1 },
		.dns = { .timeout_s = 5 },
	};
	*state = w;
	return 0;
}

static inline int
teardown(void **state)
{
	struct world *w = *state;

	provider_close(&w->provider);
	relay_stub_close(&w->relay);
	log_close();
	(void)nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

static inline void
on_idle(void *host)
{
	struct world *w = host;

	atomic_store(&w->idle, true);
}

static inline struct fetch_pool *
new_pool(struct world *w)
{
	struct fetch_options o = { .conf = &w->conf,
		.state = w->dir,
		.idle = on_idle,
		.host = w,
		.limits = w->limits.idle_ms ? &w->limits : NULL };
	struct err err;
	struct fetch_pool *pool = fetch_pool_new(&o, &err);

	assert_non_null(pool);
	return pool;
}

static inline struct fetch_result
poll_by(struct world *w, struct fetch_pool *pool)
{
	struct fetch_result r = { 0 };
	const size_t first = 0;

	atomic_store(&w->idle, false);
	fetch_pool_poll(pool, &first, 1, false);
	while (!atomic_load(&w->idle))
		(void)usleep(200);
	assert_true(fetch_pool_result(pool, 0, &r));
	assert_true(r.finished);
	return r;
}

static inline struct fetch_result
poll_once(struct world *w)
{
	struct fetch_pool *pool = new_pool(w);
	struct fetch_result r = poll_by(w, pool);

	fetch_pool_free(pool);
	return r;
}

static inline void
put(struct world *w, const char *text)
{
	char uid[32];

	(void)snprintf(uid, sizeof(uid), "uid-%05zu", ++w->put);
	provider_put(&w->provider, uid, span_of(text));
}

static inline void
put_some(struct world *w, int n)
{
	for (int i = 0; i < n; i++) {
		char text[200];

		(void)snprintf(text, sizeof(text),
				"To: ann@contoso.test\r\nMessage-ID: <%zu@x.test>\r\n\r\nThe number %zu\r\n.\r\n",
				w->put, w->put);
		put(w, text);
	}
}

static inline bool
logged(struct world *w, const char *word)
{
	char line[4096];
	FILE *f = fopen(w->journal, "r");
	bool found = false;

	assert_non_null(f);
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, word) != NULL;
	(void)fclose(f);
	return found;
}

/* Every origin is there once, and in the order of the mailbox. */
static inline void
check_all_here_once(struct world *w, size_t n)
{
	assert_int_equal(w->relay.n, n);
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			assert_string_not_equal(
					w->relay.got[i].uid, w->relay.got[k].uid);
}

/* What the relay got below the one line of ours on top, which says this. */
static inline struct span
below_ours(struct world *w, size_t i, const char *says)
{
	struct span got = buf_span(&w->relay.got[i].data);
	struct span line = span_until(&got, '\n');

	assert_true(span_starts(line, SPAN("X-Postern-Route: ")));
	line = span_skip(line, strlen("X-Postern-Route: "));
	assert_true(line.n > 0 && line.p[line.n - 1] == '\r');
	if (!span_eq(span_first(line, line.n - 1), span_of(says)))
		fail_msg("\"" SPAN_FMT "\" instead of \"%s\"", SPAN_ARG(line), says);
	return got;
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
