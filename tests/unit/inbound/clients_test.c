/* How many sessions each address has: counted while it has any, and nothing stays of it. */
#include "check.h"

#include <stdio.h>

#include "clients.h"

static void
each_address_is_counted_by_itself(void **state)
{
	enum { ADDRESSES = 40 };
	struct client *first[ADDRESSES], *second[ADDRESSES];
	struct clients c;
	char ip[40];

	(void)state;
	clients_init(&c);
	assert_int_equal(clients_sessions(&c, "192.0.2.1"), 0);
	for (unsigned i = 0; i < ADDRESSES; i++) {
		(void)snprintf(ip, sizeof(ip), "2001:db8::%x", i);
		first[i] = clients_join(&c, ip);
		assert_int_equal(clients_sessions(&c, ip), 1);
		second[i] = clients_join(&c, ip);
		assert_ptr_equal(first[i], second[i]);
		assert_int_equal(clients_sessions(&c, ip), 2);
	}
	assert_int_equal(c.by_ip.n, ADDRESSES);
	for (unsigned i = 0; i < ADDRESSES; i++) {
		(void)snprintf(ip, sizeof(ip), "2001:db8::%x", i);
		clients_leave(&c, first[i]);
		assert_int_equal(clients_sessions(&c, ip), 1);
		clients_leave(&c, second[i]);
		assert_int_equal(clients_sessions(&c, ip), 0);
	}
	assert_int_equal(c.by_ip.n, 0);
	clients_done(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_address_is_counted_by_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
