/* A peer can say something false, but nothing that breaks the reader. */
#include <string.h>

#include "check.h"
#include "postern/ctl.h"

static void
test_frames_survive_any_split(void **state)
{
	AUTO(buf_done) struct buf body = BUF_MAX(1000);
	AUTO(buf_done) struct buf wire = BUF_MAX(10000);

	(void)state;
	assert_true(ctl_put_u64(&body, 0x0123456789abcdefU) &&
			ctl_put_span(&body, SPAN("uidl\0x")));
	assert_true(ctl_frame(&wire, CTL_SETTLED, buf_span(&body)));
	assert_true(ctl_frame(&wire, CTL_OK, SPAN("")));
	for (size_t cut = 0; cut < wire.n; cut++) {
		struct span in = { wire.p, cut }, got;
		enum ctl_kind kind;
		size_t frames = 0;
		while (ctl_unframe(&in, &kind, &got) == CTL_ONE)
			frames++;
		assert_int_equal(frames, cut >= body.n + 5);
	}
	struct span in = buf_span(&wire), got, uidl;
	enum ctl_kind kind;
	uint64_t n;
	assert_int_equal(ctl_unframe(&in, &kind, &got), CTL_ONE);
	assert_int_equal(kind, CTL_SETTLED);
	assert_true(ctl_get_u64(&got, &n) && ctl_get_span(&got, &uidl));
	assert_true(n == 0x0123456789abcdefU && span_eq(uidl, SPAN("uidl\0x")) &&
			got.n == 0);
	assert_int_equal(ctl_unframe(&in, &kind, &got), CTL_ONE);
	assert_int_equal(kind, CTL_OK);
	assert_int_equal(in.n, 0);
}

static void
test_lies_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} broken[] = {
		{ "\0\0\0\0\1", 5 }, /* no kind */
		{ "\1\0\0\0\0", 5 }, /* kind 0 */
		{ "\1\0\0\0\x63", 5 }, /* kind 99 */
		{ "\xff\xff\xff\xff\1", 5 }, /* 4 GB */
	};
	enum ctl_kind kind;
	struct span body, out;
	uint64_t n = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct span in = { broken[i].bytes, broken[i].n };
		assert_int_equal(ctl_unframe(&in, &kind, &body), CTL_BROKEN);
	}
	struct span lie = { "\xff\xff\xff\xff\xff\xff\xff\xff-", 9 };
	assert_false(ctl_get_span(&lie, &out));
	assert_int_equal(lie.n, 9);
	struct span small = SPAN("1234567");
	assert_false(ctl_get_u64(&small, &n));
	assert_int_equal(n, 7);
}

static void
test_the_ceiling_holds(void **state)
{
	AUTO(buf_done) struct buf wire = BUF_MAX(4 * CTL_BODY_MAX);
	static char zeros[CTL_BODY_MAX + 1];

	(void)state;
	assert_true(ctl_frame(&wire, CTL_OK, (struct span){ zeros, CTL_BODY_MAX }));
	assert_false(ctl_frame(
			&wire, CTL_OK, (struct span){ zeros, CTL_BODY_MAX + 1 }));
	struct span in = buf_span(&wire), body;
	enum ctl_kind kind;
	assert_int_equal(ctl_unframe(&in, &kind, &body), CTL_ONE);
	assert_int_equal(body.n, CTL_BODY_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_survive_any_split),
		cmocka_unit_test(test_lies_are_refused),
		cmocka_unit_test(test_the_ceiling_holds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
