/* A provider that confirms deletions and keeps the messages: when that is told, and what is left
 * alone from then on. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../src/fetch/print.h"
#include "../../../src/fetch/session.h"
#include "check.h"
#include "journal.h"
#include "postern/clock.h"
#include "postern/log.h"

/* Lines of the journal that hold this word. */
static unsigned
told(const char *word)
{
	char line[1000];
	FILE *f = fopen(journal, "r");
	unsigned n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += strstr(line, word) != NULL;
	if (f)
		(void)fclose(f);
	return n;
}

bool
pop_print_size_is(uint64_t print, uint64_t octets)
{
	return print == octets;
}

static void
it_is_told_once(void **state)
{
	struct fetch_memo m = { .kept_rounds = 0 };
	struct fetch_poll p = { .memo = &m, .name = SPAN("contoso") };
	struct pop_session s = { .poll = &p, .kept_again = 3 };
	int64_t before = clock_wall_ms();

	(void)state;
	pop_kept_judge(&s);
	assert_int_equal(m.kept_rounds, 1);
	assert_true(m.kept_ms >= before);
	assert_int_equal(m.kept_try_ms, m.kept_ms);
	assert_int_equal(told("4014"), 0);

	m.kept_ms = m.kept_try_ms = 1700000000000;
	s.kept_again = 2;
	pop_kept_judge(&s);
	assert_int_equal(m.kept_rounds, 2);
	assert_int_equal(m.kept_ms, 1700000000000); /* since then */
	assert_true(m.kept_try_ms >= before);
	assert_int_equal(told("4014"), 1);
	for (int i = 0; i < 2000; i++)
		pop_kept_judge(&s);
	assert_int_equal(m.kept_rounds, 1000);
	assert_int_equal(told("4014"), 1);

	/* Those that were left today say nothing; when none is there any more, it is over. */
	s.kept_again = 0;
	s.kept_left = 1;
	pop_kept_judge(&s);
	assert_int_equal(m.kept_rounds, 1000);
	assert_int_equal(m.kept_ms, 1700000000000);
	s.kept_left = 0;
	pop_kept_judge(&s);
	assert_int_equal(m.kept_rounds, 0);
	assert_int_equal(m.kept_ms, 0);
	assert_int_equal(m.kept_try_ms, 0);
}

static void
what_was_deleted_in_vain_is_left(void **state)
{
	struct fetch_memo m = { .kept_rounds = MEMO_ROUNDS - 1,
		.kept_try_ms = clock_wall_ms() };
	struct fetch_poll p = { .memo = &m, .name = SPAN("contoso") };
	struct pop_message messages[] = {
		{ .known = POP_SETTLED, .print = 7, .octets = 7 },
		{ .known = POP_SETTLED, .print = 7, .octets = 8 }, /* another one */
		{ .known = POP_COMMITTED, .print = 7, .octets = 7 },
		{ .known = POP_SETTLED, .print = 0, .octets = 0 }, /* who knows */
		{ .known = POP_UNKNOWN, .print = 9, .octets = 9 },
		{ .known = POP_SETTLED, .print = 9, .octets = 9 },
		{ .known = POP_SETTLED,
				.print = 9,
				.octets = 9 }, /* behind the listing */
	};
	struct pop_session s = {
		.poll = &p, .messages = messages, .listing = { .n = 6 }
	};

	(void)state;
	pop_kept_mark(&s);
	assert_int_equal(s.kept_left, 0);
	m.kept_rounds = MEMO_ROUNDS;
	pop_kept_mark(&s);
	assert_int_equal(s.kept_left, 2);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(messages[i].kept, i == 0 || i == 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_told_once),
		cmocka_unit_test(what_was_deleted_in_vain_is_left),
	};
	struct err err;
	int fd;

	(void)snprintf(journal, sizeof(journal), "/tmp/postern-kept-XXXXXX");
	fd = mkstemp(journal);
	if (fd < 0 || !log_open(&(struct log_options){ .to = journal }, &err))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	log_close();
	(void)unlink(journal);
	return failed;
}
