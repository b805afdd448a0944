/* Another configuration for a relay that runs: all of it is taken, or nothing is. What is opened
 * for it is the test's. */
#include "role.h"

#include <fcntl.h>

#include "postern/fd_pass.h"

static struct conf next[3];
static struct conf *offered; /* what is read when it is asked for */
static const struct conf *dropped[8];
static size_t n_dropped;
static int pipes[2]; /* sockets that came with it; -1: none did */
static bool log_fails, dns_fails, idle;
static char servers[3]; /* their addresses are who they are */
static const void *freed[8];
static size_t n_freed;
static struct {
	unsigned sockets, divided, schedules, min_free, dns;
	size_t n;
} did;

int __wrap_fd_pass_last(int from, int fds[FD_PASS_MAX]);
struct dns *__wrap_parts_dns(
		struct loop *loop, const struct conf_dns *c, struct err *err);
void __wrap_dns_free(struct dns *d);
bool __wrap_dns_idle(const struct dns *d);
void __wrap_inbound_sockets(struct inbound *in, const int *fds, size_t n);
void __wrap_parts_divide(struct hub *hub);
void __wrap_outbound_renew(struct outbound *o);
void __wrap_store_min_free(struct store *s, uint64_t octets);

int
__wrap_fd_pass_last(int from, int fds[FD_PASS_MAX])
{
	assert_int_equal(from, 77);
	if (pipes[0] < 0)
		return -1;
	fds[0] = pipes[0];
	fds[1] = pipes[1];
	return 2;
}

struct dns *
__wrap_parts_dns(struct loop *loop, const struct conf_dns *c, struct err *err)
{
	(void)loop, (void)c;
	if (dns_fails) {
		err_set(err, 0, "no resolver");
		return NULL;
	}
	return (struct dns *)&servers[++did.dns];
}

void
__wrap_dns_free(struct dns *d)
{
	if (d)
		freed[n_freed++] = d;
}

bool
__wrap_dns_idle(const struct dns *d)
{
	(void)d;
	return idle;
}

void
__wrap_inbound_sockets(struct inbound *in, const int *fds, size_t n)
{
	(void)in;
	did.sockets++;
	did.n = n;
	assert_int_equal(fds[0], pipes[0]);
}

void
__wrap_parts_divide(struct hub *hub)
{
	(void)hub;
	did.divided++;
}

void
__wrap_outbound_renew(struct outbound *o)
{
	(void)o;
	did.schedules++;
}

void
__wrap_store_min_free(struct store *s, uint64_t octets)
{
	(void)s, (void)octets;
	did.min_free++;
}

static struct conf *
reload(void *host)
{
	assert_ptr_equal(host, &offered);
	return offered;
}

static void
drop(struct conf *c)
{
	dropped[n_dropped++] = c;
}

static bool
log_as(const struct conf *c, struct err *err)
{
	assert_ptr_equal(c, offered);
	return !log_fails || err_set(err, 0, "no log");
}

static int
begin(void **state)
{
	(void)role_up(state);
	struct gate *g = *state;

	renew_init(&role,
			&(struct relay_options){ .conf = g->conf,
					.reload = reload,
					.drop = drop,
					.log = log_as,
					.host = &offered,
					.sockets_fd = 77 });
	for (size_t i = 0; i < 3; i++)
		next[i] = *g->conf;
	offered = &next[0];
	n_dropped = n_freed = 0;
	log_fails = dns_fails = idle = false;
	pipes[0] = pipes[1] = -1;
	memset(&did, 0, sizeof(did));
	role.hub.dns = (struct dns *)&servers[0];
	g->hurries = 0;
	return 0;
}

static int
end(void **state)
{
	return role_down(state);
}

static bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static const struct conf_listen elsewhere[] = {
	{ .address = { .name = "127.0.0.1", .port = 2525 } },
	{ .address = { .name = "127.0.0.1", .port = 2526 } },
	{ .address = { .name = "127.0.0.2", .port = 2525 } },
	{ .address = { .name = "127.0.0.1", .port = 2525 }, .tls = true },
};
static const struct conf_host resolvers[] = {
	{ .name = "192.0.2.53", .port = 53 },
	{ .name = "192.0.2.53", .port = 54 },
	{ .name = "192.0.2.54", .port = 53 },
};

static void
what_is_taken_counts_at_once(void **state)
{
	struct gate *g = *state;
	struct err err = { 0 };
	const struct nexthop_table *hops = role.hub.routes;

	next[0].smtp.max_hops = 7;
	next[0].delivery.expire_s = g->conf->delivery.expire_s + 7;
	assert_true(renew(&role, &err));
	assert_int_equal(did.schedules, 1);
	assert_int_equal(role.hub.conf->smtp.max_hops, 7);
	assert_ptr_equal(role.hub.conf, &role.renewal.mixed);
	assert_true(role.hub.routes && role.hub.routes != hops);
	assert_int_equal(did.min_free, 1);
	assert_int_equal(did.divided, 1);
	assert_int_equal(did.sockets + did.dns, 0);
	assert_int_equal(n_dropped + n_freed, 0); /* the first is not ours to drop */
	offered = &next[1];
	assert_true(renew(&role, &err));
	assert_int_equal(n_dropped, 1);
	assert_ptr_equal(dropped[0], &next[0]);
	renew_end(&role);
	assert_int_equal(n_dropped, 2);
	assert_ptr_equal(dropped[1], &next[1]);
	assert_int_equal(n_freed, 1);
	assert_ptr_equal(freed[0], &servers[0]);
}

static void
what_cannot_be_taken_changes_nothing(void **state)
{
	static const char *const why[] = { "the configuration cannot be read",
		"server.state is another now", "smtp.listen is another now",
		"no resolver", "no log" };
	struct gate *g = *state;

	for (unsigned i = 0; i < 5; i++) {
		struct err err = { 0 };
		const struct nexthop_table *hops = role.hub.routes;

		next[0] = *g->conf;
		next[0].smtp.max_hops = 7;
		offered = i == 0 ? NULL : &next[0];
		n_dropped = n_freed = 0;
		if (i == 1)
			next[0].server.state = "/elsewhere";
		if (i == 2)
			next[0].smtp.listen = (struct conf_listens){ elsewhere, 1 };
		if (i >= 3) {
			next[0].dns.servers = (struct conf_hosts){ resolvers, 1 };
			assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
		}
		dns_fails = i == 3;
		log_fails = i == 4;
		assert_false(renew(&role, &err));
		assert_string_equal(err.text, why[i]);
		assert_int_equal(n_dropped, i > 0);
		assert_true(role.hub.conf->smtp.max_hops != 7);
		assert_ptr_equal(role.hub.routes, hops);
		assert_ptr_equal(role.hub.dns, &servers[0]);
		assert_int_equal(n_freed, i == 4); /* what was opened for it */
		assert_int_equal(did.sockets + did.divided + did.min_free, 0);
		if (i >= 3)
			assert_false(is_open(pipes[0]) || is_open(pipes[1]));
	}
	role.renewal.reload = NULL;
	struct err err = { 0 };
	assert_false(renew(&role, &err));
}

/* Sockets are taken where the addresses are others; else those that came are closed. */
static void
sockets_are_taken_for_other_addresses(void **state)
{
	(void)state;

	role.renewal.mixed.smtp.listen = (struct conf_listens){ elsewhere, 1 };
	for (unsigned i = 0; i < 6; i++) {
		struct err err = { 0 };
		struct conf *c = offered = &next[i % 3];
		const bool other = i > 1;

		/* None, the same, another port, another address, TLS, one more. */
		c->smtp.listen = (struct conf_listens){
			elsewhere + (i < 2 || i == 5 ? 0 : i - 1), i == 5 ? 2 : 1
		};
		pipes[0] = pipes[1] = -1;
		if (i > 0)
			assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
		did.sockets = 0;
		role.renewal.taken = NULL;
		assert_true(renew(&role, &err));
		assert_int_equal(did.sockets, other);
		if (other)
			assert_int_equal(did.n, 2);
		if (i > 0) {
			assert_int_equal(is_open(pipes[0]), other);
			assert_int_equal(is_open(pipes[1]), other);
		}
		if (other) {
			(void)close(pipes[0]);
			(void)close(pipes[1]);
		}
		role.renewal.mixed.smtp.listen = (struct conf_listens){ elsewhere, 1 };
	}
}

/* Who was asked by those before is answered by them: they go when they are idle. */
static void
resolvers_before_are_kept_while_they_are_asked(void **state)
{
	struct gate *g = *state;
	struct err err = { 0 };

	role.renewal.mixed.dns.servers = (struct conf_hosts){ resolvers, 1 };
	for (unsigned i = 0; i < 5; i++) {
		struct conf *c = offered = &next[i % 3];

		/* The same, another port, another address, one more, another patience. */
		c->dns.servers = (struct conf_hosts){ resolvers + (i < 3 ? i : 0),
			i == 3 ? 2 : 1 };
		c->dns.timeout_s = g->conf->dns.timeout_s + (i == 4);
		n_freed = 0;
		did.dns = 0;
		g->hurries = 0;
		role.hub.dns = (struct dns *)&servers[0];
		role.renewal.taken = NULL;
		assert_true(renew(&role, &err));
		assert_int_equal(did.dns, i > 0);
		assert_ptr_equal(role.hub.dns, &servers[i > 0]);
		assert_int_equal(g->hurries, i > 0); /* so that it is looked at soon */
		idle = false;
		renew_tick(&role);
		assert_int_equal(n_freed, 0);
		idle = true;
		renew_tick(&role);
		assert_int_equal(n_freed, i > 0);
		if (i > 0)
			assert_ptr_equal(freed[0], &servers[0]);
		renew_tick(&role);
		assert_int_equal(n_freed, i > 0);
		role.renewal.mixed.dns.servers = (struct conf_hosts){ resolvers, 1 };
	}
	/* At the end all go. */
	offered = &next[0];
	next[0].dns.servers = (struct conf_hosts){ resolvers, 2 };
	did.dns = 0;
	role.hub.dns = (struct dns *)&servers[0];
	assert_true(renew(&role, &err));
	n_freed = 0;
	renew_end(&role);
	assert_int_equal(n_freed, 2);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(what_is_taken_counts_at_once),
		TEST(what_cannot_be_taken_changes_nothing),
		TEST(sockets_are_taken_for_other_addresses),
		TEST(resolvers_before_are_kept_while_they_are_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
