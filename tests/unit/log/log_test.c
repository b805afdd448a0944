/* What is said comes out once, whole, and cannot be forged. */
#include "postern/log.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "postern/buf.h"
#include "postern/event.h"
#include "postern/journal.h"

static char dir[] = "/tmp/postern-log-XXXXXX";
static char text_path[64], journal_path[64];

static int
make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(text_path, sizeof(text_path), "%s/log", dir);
	(void)snprintf(journal_path, sizeof(journal_path), "%s/events.jsonl", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	(void)unlink(text_path);
	(void)unlink(journal_path);
	return rmdir(dir);
}

static void
open_fresh(unsigned level)
{
	const struct log_options o = {
		.to = text_path, .level = level, .journal = journal_path
	};
	struct err err = { 0 };

	(void)unlink(text_path);
	(void)unlink(journal_path);
	assert_true(log_open(&o, &err));
}

static void
read_text(char *out, size_t size)
{
	FILE *f = fopen(text_path, "re");

	assert_non_null(f);
	size_t n = fread(out, 1, size - 1, f);
	out[n] = '\0';
	(void)fclose(f);
}

static void
test_catalogue_is_in_order_and_complete(void **state)
{
	size_t n;
	const struct event *all = event_all(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		assert_true(i == 0 || all[i - 1].id < all[i].id);
		assert_ptr_equal(event_find(all[i].id), &all[i]);
		assert_non_null(strchr("IWEC", all[i].severity));
		assert_true(all[i].level <= 3);
		assert_true(strlen(all[i].text) > 0 && strlen(all[i].means) > 0);
		assert_true(strlen(all[i].advice) > 0);
		for (size_t k = i + 1; k < n; k++)
			assert_string_not_equal(all[i].name, all[k].name);
	}
	assert_null(event_find(4033 + 10000));
	assert_null(event_find(4099));
}

static void
test_the_two_shapes(void **state)
{
	AUTO(buf_done) struct buf words = BUF_MAX(10000);

	(void)state;
	assert_true(log_words(&words, 4032,
			FIELDS(f_str("ndr", "504"), f_str("error", "00000000"),
					f_str("reply", "550 5.7.1 Unable to relay for recipient@contoso.com"),
					f_str("recipient", "recipient@contoso.com"),
					f_str("host", "server.corp.contoso.com"))));
	assert_string_equal(buf_cstr(&words),
			"A recipient has been processed. Recipient information:\n"
			"NDR Status Code: 504\n"
			"Error Code: 00000000\n"
			"SMTP Reply: 550 5.7.1 Unable to relay for recipient@contoso.com\n"
			"SMTP Name: recipient@contoso.com\n"
			"SMTP Host: server.corp.contoso.com");
	buf_clear(&words);
	assert_true(log_words(&words, 4022,
			FIELDS(f_lines("transcript",
					SPAN("<G>: 220 x\r\n<C>: EHLO y\n<S>: 250-x\n250 OK")))));
	assert_string_equal(buf_cstr(&words),
			"The SMTP session transcript was:\n<G>: 220 x\n<C>: EHLO y\n<S>: 250-x\n250 OK");
}

static void
test_text_form(void **state)
{
	char text[8192];

	(void)state;
	open_fresh(0);
	log_event(4032, FIELDS(f_str("account", "contoso"), f_str("id", "x y=1")));
	log_event_at(4032, 'E', 0,
			FIELDS(f_str("account", "contoso"), f_str("id", "x y=1"),
					f_str("reply", "550 a\r\nTIME E0 event=1 forged"),
					f_str("recipient", "\x1b[2J"),
					f_num("ndr", 504)));
	log_close();
	read_text(text, sizeof(text));
	const char *space = strchr(text, ' ');
	assert_non_null(space);
	assert_string_equal(space,
			" E0 event=4032 account=contoso id=x\\x20y\\x3d1 A recipient has been processed. "
			"Recipient information:\n  NDR Status Code: 504\n  Error Code: -\n"
			"  SMTP Reply: 550 a\\x0d\\x0aTIME E0 event=1 forged\n  SMTP Name: \\x1b[2J\n"
			"  SMTP Host: -\n");
}

static void
test_journal_reads_back(void **state)
{
	struct journal_filter f = { .level = 3 };
	struct journal_entry e;
	struct err err = { 0 };

	(void)state;
	open_fresh(3);
	log_event(4003,
			FIELDS(f_str("account", "a"),
					f_str("reply", "-ERR \xff\"no\"\n")));
	log_event(4001, FIELDS(f_str("account", "b"), f_num("listed", 7)));
	log_event(2003,
			FIELDS(f_str("account", "b"), f_str("id", "ID1"),
					f_str("uidl", "u")));
	log_close();

	struct journal *j = journal_open(journal_path, &f, &err);
	assert_non_null(j);
	assert_true(journal_next(j, &e));
	assert_int_equal(e.id, 4003);
	assert_int_equal(e.severity, 'E');
	assert_string_equal(e.name, "logon-refused");
	assert_true(span_eq(e.text,
			SPAN("Account a: the server refused the logon: -ERR \\xff\"no\"\\x0a.")));
	json_t *object = json_loadb(e.line.p, e.line.n, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(object, "reply")),
			"-ERR \xef\xbf\xbd\"no\"\n");
	json_decref(object);
	assert_true(journal_next(j, &e));
	assert_true(journal_next(j, &e));
	assert_true(span_eq(e.trace, SPAN("ID1")));
	assert_false(journal_next(j, &e));
	journal_close(j);

	f = (struct journal_filter){ .account = SPAN("b"), .level = 1 };
	j = journal_open(journal_path, &f, &err);
	assert_true(journal_next(j, &e));
	assert_int_equal(e.id, 4001);
	assert_true(journal_next(j, &e));
	assert_false(journal_next(j, &e));
	journal_close(j);
}

static void
test_levels_keep_quiet(void **state)
{
	char text[8192];

	(void)state;
	open_fresh(1);
	assert_true(log_wants(1));
	assert_false(log_wants(2));
	log_event(4000, FIELDS(f_str("account", "quiet")));
	log_event(4001, FIELDS(f_str("account", "loud")));
	log_close();
	assert_false(log_wants(0));
	read_text(text, sizeof(text));
	assert_null(strstr(text, "quiet"));
	assert_non_null(strstr(text, "loud"));
}

/* A reader that has stopped must not stop the mail. */
static void
test_a_full_pipe_loses_events_not_time(void **state)
{
	const struct log_options o = { .to = "stderr", .level = 3, .journal = NULL };
	struct err err = { 0 };
	int ends[2], saved = dup(STDERR_FILENO);
	uint64_t lost;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	assert_true(log_open(&o, &err));
	lost = log_lost();
	for (int i = 0; i < 2000; i++)
		log_event(4003,
				FIELDS(f_str("account", "a"),
						f_str("reply", "-ERR no such luck")));
	log_close();
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	assert_true(log_lost() - lost > 500);
	(void)close(saved);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static size_t
count_of(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

/* Of two places one is full: the other tells it, once. */
static void
test_what_one_sink_lost_the_other_tells(void **state)
{
	char text[8192];
	struct log_options o = { .to = text_path, .level = 3, .journal = "/dev/full" };
	struct err err = { 0 };

	(void)state;
	for (int turned = 0; turned < 2; turned++) {
		(void)unlink(text_path);
		assert_true(log_open(&o, &err));
		for (int i = 0; i < 3; i++)
			log_event(4001, FIELDS(f_str("account", "loud")));
		log_close();
		read_text(text, sizeof(text));
		assert_int_equal(count_of(text, turned ? "\"id\":9008" : "event=9008"),
				1);
		assert_non_null(strstr(text, turned ? "the log" : "events.jsonl"));
		assert_int_equal(count_of(text, "No space left on device"), turned + 1);
		o = (struct log_options){
			.to = "/dev/full", .level = 3, .journal = text_path
		};
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_catalogue_is_in_order_and_complete),
		cmocka_unit_test(test_the_two_shapes),
		cmocka_unit_test(test_text_form),
		cmocka_unit_test(test_journal_reads_back),
		cmocka_unit_test(test_levels_keep_quiet),
		cmocka_unit_test(test_a_full_pipe_loses_events_not_time),
		cmocka_unit_test(test_what_one_sink_lost_the_other_tells),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
