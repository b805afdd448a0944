#include "postern/thread.h"

#include <poll.h>
#include <stdlib.h>

#include "check.h"
#include "postern/clock.h"
#include "postern/loop.h"

enum { POSTERS = 4, EACH = 20000 };

struct item {
	struct list link;
	int poster, number;
};

static struct mailbox *box;

static void
post_many(void *arg)
{
	int poster = *(int *)arg;

	for (int i = 0; i < EACH; i++) {
		struct item *item = calloc(1, sizeof(*item));

		if (!item)
			abort();
		item->poster = poster;
		item->number = i;
		(void)mailbox_post(box, &item->link);
	}
}

static void
test_all_arrive_in_order(void **state)
{
	struct thread *t[POSTERS];
	int id[POSTERS], next[POSTERS] = { 0 }, total = 0;

	(void)state;
	box = mailbox_new();
	for (int i = 0; i < POSTERS; i++) {
		id[i] = i;
		t[i] = thread_start("poster", 64 * 1024, post_many, &id[i], NULL);
		assert_non_null(t[i]);
	}
	while (total < POSTERS * EACH) {
		struct list got;

		list_init(&got);
		assert_true(mailbox_take_all(box, &got, 5000));
		LIST_EACH (link, &got) {
			struct item *item = LIST_ITEM(link, struct item, link);

			assert_int_equal(item->number, next[item->poster]++);
			total++;
			list_del(link);
			free(item);
		}
	}
	for (int i = 0; i < POSTERS; i++)
		thread_join(t[i]);
	mailbox_free(box);
}

static void
poke_later(void *arg)
{
	(void)poll(NULL, 0, 50);
	mailbox_poke(arg);
}

static void
test_waits_and_wakes(void **state)
{
	struct item one = { 0 }, two = { 0 };
	struct list got;
	int64_t began = clock_mono_ms();

	(void)state;
	list_init(&got);
	box = mailbox_new();
	assert_false(mailbox_take_all(box, &got, 0));
	assert_false(mailbox_take_all(box, &got, 50));
	assert_in_range(clock_mono_ms() - began, 45, 1000);
	assert_true(mailbox_post(box, &one.link));
	assert_false(mailbox_post(box, &two.link));
	assert_true(mailbox_take_all(box, &got, 0));
	assert_ptr_equal(got.next, &one.link);
	assert_ptr_equal(got.prev, &two.link);
	struct item three = { 0 };
	assert_true(mailbox_post(box, &three.link));
	assert_true(mailbox_take_all(box, &got, -1));
	assert_ptr_equal(got.prev, &three.link);
	assert_ptr_equal(two.link.next, &three.link);

	struct thread *t = thread_start("poke", 0, poke_later, box, NULL);
	began = clock_mono_ms();
	assert_false(mailbox_take_all(box, &got, 5000));
	assert_in_range(clock_mono_ms() - began, 20, 2000);
	thread_join(t);
	/* A poke before the wait is not lost. */
	mailbox_poke(box);
	began = clock_mono_ms();
	assert_false(mailbox_take_all(box, &got, 5000));
	assert_in_range(clock_mono_ms() - began, 0, 1000);
	mailbox_free(box);
}

struct bell {
	struct loop *loop;
	struct loop_wake *wake;
	int heard;
};

static void
ring(void *arg)
{
	for (int i = 0; i < 1000; i++)
		loop_wake(arg);
}

static void
heard(void *host)
{
	struct bell *b = host;

	b->heard++;
}

static void
test_bell_of_the_loop(void **state)
{
	struct bell b = { .loop = loop_new(NULL) };

	(void)state;
	b.wake = loop_wake_new(b.loop, heard, &b);
	struct thread *t = thread_start("ring", 0, ring, b.wake, NULL);
	thread_join(t);
	(void)loop_round(b.loop, 0);
	(void)loop_round(b.loop, 0);
	assert_int_equal(b.heard, 1); /* a thousand rings, one look */
	loop_wake(b.wake);
	(void)loop_round(b.loop, 1000);
	assert_int_equal(b.heard, 2);
	loop_wake_free(b.wake);
	loop_free(b.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_arrive_in_order),
		cmocka_unit_test(test_waits_and_wakes),
		cmocka_unit_test(test_bell_of_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
