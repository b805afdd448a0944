/* X-Postern-Loop: written, read, and not to be had by others (E10). */
#include "check.h"

#include <string.h>

#include "postern/loop_stamp.h"

static struct loop_key
key_of(char c)
{
	struct loop_key k;

	memset(k.secret, c, sizeof(k.secret));
	loop_key_init(&k);
	return k;
}

static void
what_is_written_is_read(void **state)
{
	AUTO(buf_done) struct buf line = BUF_MAX(1024);
	struct loop_key k = key_of('k');
	char mb[LOOP_MB_SIZE], mac[LOOP_MAC_SIZE];
	struct span found;

	(void)state;
	loop_account(&k, SPAN("isp"), mb);
	loop_mac(&k, SPAN("<1@b>"), SPAN("ann@contoso.test"), mac);
	assert_true(loop_stamp_print(&line, &k, mb, mac));
	assert_true(line.n < 100);
	struct span s = buf_span(&line), name = span_until(&s, ':');
	assert_true(span_eq(name, SPAN("X-Postern-Loop")));
	assert_true(loop_stamp_read(&k, span_trim(s), &found));
	assert_true(span_eq(found, span_of(mac)));
	assert_int_equal(strspn(mac, "0123456789abcdef"), 32);
	/* Another gateway's is not read at all. */
	struct loop_key other = key_of('o');
	assert_false(loop_stamp_read(&other, span_trim(s), &found));
}

static void
every_part_makes_another_mac(void **state)
{
	struct loop_key k = key_of('k'), other = key_of('o');
	char mac[6][LOOP_MAC_SIZE];

	(void)state;
	loop_mac(&k, SPAN("<1@b>"), SPAN("ann@contoso.test"), mac[0]);
	loop_mac(&k, SPAN("<2@b>"), SPAN("ann@contoso.test"), mac[1]);
	loop_mac(&k, SPAN("<1@b>"), SPAN("bob@contoso.test"), mac[2]);
	loop_mac(&other, SPAN("<1@b>"), SPAN("ann@contoso.test"), mac[3]);
	loop_mac(&k, SPAN("<1@b>ann"), SPAN("@contoso.test"), mac[4]);
	loop_mac(&k, SPAN(""), SPAN(""), mac[5]);
	for (size_t i = 0; i < 6; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(mac[i], mac[j]);
	char a[LOOP_MB_SIZE], b[LOOP_MB_SIZE];
	loop_account(&k, SPAN("a"), a);
	loop_account(&k, SPAN("b"), b);
	assert_string_not_equal(a, b);
}

static void
broken_ones_are_not_read(void **state)
{
	static const char *const cases[] = {
		"",
		";",
		"gw=",
		"gw=%s",
		"gw=%s; mb=0123456789ab",
		"gw=%s; mb=0123456789ab; mac=",
		"gw=%s; mb=0123456789ab; mac=0123456789abcdef0123456789abcde",
		"gw=%s; mb=0123456789ab; mac=0123456789abcdef0123456789abcdef0",
		"gw=%s; mb=0123456789ab; mac=0123456789abcdef0123456789abcdef; x=y",
		"gw=%s; mb=0123456789a; mac=0123456789abcdef0123456789abcdef",
		"gw=%s mb=0123456789ab mac=0123456789abcdef0123456789abcdef",
		"mb=0123456789ab; gw=%s; mac=0123456789abcdef0123456789abcdef",
		"gw=0%s; mb=0123456789ab; mac=0123456789abcdef0123456789abcdef",
		"GW=%s; mb=0123456789ab; mac=0123456789abcdef0123456789abcdef",
	};
	struct loop_key k = key_of('k');

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO(buf_done) struct buf b = BUF_MAX(1024);
		struct span s = span_of(cases[i]), found = { NULL, 0 };

		while (s.n > 0) { /* "%s" is the gateway's name */
			struct span before = span_first(s, span_find(s, '%'));

			assert_true(buf_add(&b, before));
			s = span_skip(s, before.n);
			if (s.n > 0 && buf_add(&b, span_of(k.gw)))
				s = span_skip(s, 2);
		}
		if (loop_stamp_read(&k, buf_span(&b), &found) || found.p)
			fail_msg("\"%s\" was read", cases[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(every_part_makes_another_mac),
		cmocka_unit_test(broken_ones_are_not_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
