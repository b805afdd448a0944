/* Many accounts: whose turn it is, and what one host may take from the others. */
#include "../../../src/fetch/pool.h"

#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "peers.h"
#include "postern/conf.h"
#include "postern/log.h"
#include "postern/store.h"

enum { HANGING = 300, GOOD = 20, ALL = HANGING + GOOD };

struct world {
	char dir[64];
	struct provider provider;
	int silent; /* accepts, and never greets */
	struct conf_account accounts[ALL];
	char names[ALL][16];
	struct conf conf;
	atomic_bool idle;
	atomic_uint told;
};

static int
listen_silently(uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&at, n) != 0 || listen(fd, ALL) != 0 ||
			getsockname(fd, (struct sockaddr *)&at, &n) != 0)
		abort();
	*port = ntohs(at.sin_port);
	return fd;
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char path[100];
	struct err err;
	uint16_t silent;

	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/postern-pool-XXXXXX");
	if (!mkdtemp(w->dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/run", w->dir);
	if (mkdir(path, 0700) != 0)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/events", w->dir);
	if (!log_open(&(struct log_options){ .to = path, .level = 3 }, &err))
		return -1;
	/* Without a state nothing would be collected. */
	struct store *st = store_open(
			w->dir, &(struct store_options){ .service = true }, NULL, &err);
	if (!st)
		return -1;
	store_close(st);
	provider_open(&w->provider);
	w->silent = listen_silently(&silent);
	for (size_t i = 0; i < ALL; i++) {
		bool hangs = i < HANGING;

		(void)snprintf(w->names[i], sizeof(w->names[i]), "a%zu", i);
		w->accounts[i] = (struct conf_account){
			.name = w->names[i],
			.server = { .name = "127.0.0.1",
					.port = hangs ? silent : w->provider.port,
					.literal = true },
			.tls = CONF_TLS_NONE,
			.user = w->names[i],
			.password = { .kind = SECRET_VALUE, .text = "secret" },
			.every_s = 300,
			.max_size = 1024,
			.max_per_session = 500,
		};
	}
	w->conf = (struct conf){
		.server = { .hostname = "gw.contoso.test",
				.state = w->dir,
				.postmaster = "postmaster@contoso.test" },
		.accounts = { w->accounts, ALL },
		.dns = { .timeout_s = 5 },
	};
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;
	char command[100];

	provider_close(&w->provider);
	(void)close(w->silent);
	log_close();
	(void)snprintf(command, sizeof(command), "rm -rf %s", w->dir);
	if (system(command) != 0)
		return -1;
	free(w);
	return 0;
}

static void
on_idle(void *host)
{
	struct world *w = host;

	atomic_store(&w->idle, true);
}

static void
on_ended(void *host)
{
	struct world *w = host;

	atomic_fetch_add(&w->told, 1);
}

static struct fetch_pool *
new_pool(struct world *w, unsigned workers)
{
	struct fetch_options o = { .conf = &w->conf,
		.state = w->dir,
		.workers = workers,
		.idle = on_idle,
		.host = w };
	struct err err;
	struct fetch_pool *pool = fetch_pool_new(&o, &err);

	assert_non_null(pool);
	atomic_store(&w->idle, false);
	atomic_store(&w->told, 0);
	return pool;
}

static void
poll_from(struct fetch_pool *pool, size_t first, size_t n)
{
	size_t accounts[ALL];

	for (size_t i = 0; i < n; i++)
		accounts[i] = first + i;
	fetch_pool_poll(pool, accounts, n, false);
}

static size_t
finished(struct fetch_pool *pool, size_t first, size_t n)
{
	struct fetch_result r;
	size_t count = 0;

	for (size_t i = first; i < first + n; i++)
		count += fetch_pool_result(pool, i, &r) && r.finished && !r.failed;
	return count;
}

/* How many came; they stay open meanwhile, since others would come in their place. */
static size_t
connections(const struct world *w)
{
	int fds[ALL];
	size_t n = 0;

	while (n < ALL && (fds[n] = accept(w->silent, NULL, NULL)) >= 0)
		n++;
	for (size_t i = 0; i < n; i++)
		(void)close(fds[i]);
	return n;
}

static size_t
threads(void)
{
	DIR *d = opendir("/proc/self/task");
	size_t n = 0;

	while (readdir(d))
		n++;
	(void)closedir(d);
	return n - 2;
}

/* The accounts behind 300 that hang are polled while those still hang. */
static void
a_hanging_host_does_not_starve_the_others(void **state)
{
	static const unsigned crews[] = { 0, 8, 2 };
	static const size_t most[] = { 64, 6, 1 };
	struct world *w = *state;

	for (size_t i = 0; i < 3; i++) {
		struct fetch_pool *pool = new_pool(w, crews[i]);

		poll_from(pool, 0, ALL);
		/* A result is there a moment before its poll is over. */
		while (finished(pool, HANGING, GOOD) < GOOD ||
				fetch_pool_busy(pool) > HANGING)
			(void)usleep(200);
		assert_int_equal(finished(pool, 0, HANGING), 0);
		assert_int_equal(fetch_pool_busy(pool), HANGING);
		/* They hang where they are, and no more than may. */
		assert_in_range(connections(w), 1, most[i]);
		fetch_pool_cancel(pool);
		while (!fetch_pool_idle(pool))
			(void)usleep(200);
		fetch_pool_free(pool);
		(void)connections(w);
	}
}

static void
all_are_polled_by_few(void **state)
{
	struct world *w = *state;
	struct fetch_pool *pool = new_pool(w, 3);
	size_t ended[7], n, all = 0;
	bool seen[ALL] = { false };

	fetch_pool_schedule(pool, on_ended);
	poll_from(pool, HANGING, GOOD);
	poll_from(pool, HANGING, GOOD); /* they wait already, or are under way */
	while (!atomic_load(&w->idle))
		(void)usleep(200);
	assert_int_equal(finished(pool, HANGING, GOOD), GOOD);
	/* Each that ended is handed over once, however often it ended. */
	while ((n = fetch_pool_ended(pool, ended, 7)) > 0) {
		for (size_t i = 0; i < n; i++) {
			assert_in_range(ended[i], HANGING, ALL - 1);
			assert_false(seen[ended[i]]);
			seen[ended[i]] = true;
			all++;
		}
	}
	assert_int_equal(all, GOOD);
	assert_true(atomic_load(&w->told) >= GOOD);
	fetch_pool_free(pool);
}

/* None has to be there for accounts that wait for their time. */
static void
workers_come_and_go(void **state)
{
	struct world *w = *state;
	size_t before = threads();
	struct fetch_pool *pool = new_pool(w, 0);

	assert_int_equal(threads(), before + 1);
	poll_from(pool, 0, HANGING);
	while (threads() < before + 64)
		(void)usleep(200);
	poll_from(pool, HANGING, GOOD);
	while (finished(pool, HANGING, GOOD) < GOOD)
		(void)usleep(200);
	for (int fd; (fd = accept(w->silent, NULL, NULL)) >= 0 ||
			!fetch_pool_idle(pool);)
		if (fd >= 0)
			(void)close(fd);
	while (threads() > before + 1)
		(void)usleep(1000);
	/* And they come again. */
	poll_from(pool, HANGING, GOOD);
	atomic_store(&w->idle, false);
	while (!atomic_load(&w->idle))
		(void)usleep(200);
	assert_int_equal(finished(pool, HANGING, GOOD), GOOD);
	fetch_pool_free(pool);
	assert_int_equal(threads(), before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
				a_hanging_host_does_not_starve_the_others, setup,
				teardown),
		cmocka_unit_test_setup_teardown(all_are_polled_by_few, setup, teardown),
		cmocka_unit_test_setup_teardown(workers_come_and_go, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
