/* The small types everything else stands on. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "postern/arena.h"
#include "postern/date.h"
#include "postern/enc.h"
#include "postern/err.h"
#include "postern/list.h"
#include "postern/map.h"
#include "postern/num.h"
#include "postern/qid.h"

static void
test_span_cuts(void **state)
{
	struct span s = SPAN("MAIL FROM:<a@b>  SIZE=3");

	(void)state;
	assert_true(span_eq(span_word(&s), SPAN("MAIL")));
	assert_true(span_eq(span_word(&s), SPAN("FROM:<a@b>")));
	assert_true(span_eq(s, SPAN("SIZE=3")));
	assert_true(span_eq(span_until(&s, '='), SPAN("SIZE")));
	assert_true(span_eq(s, SPAN("3")));
	assert_true(span_eq(span_until(&s, '='), SPAN("3")));
	assert_int_equal(s.n, 0);
	assert_int_equal(span_rfind(SPAN("a@b@c"), '@'), 3);
	assert_true(span_eq(span_trim(SPAN(" \t x y\r\n")), SPAN("x y")));
	assert_true(span_cmp(SPAN("a"), SPAN("ab")) < 0);
	assert_true(span_cmp(SPAN("b"), SPAN("ab")) > 0);
	assert_true(span_ends_nocase(SPAN("a.Contoso.TEST"), SPAN(".contoso.test")));
}

static void
test_buf_has_a_ceiling(void **state)
{
	AUTO(buf_done) struct buf b = BUF_MAX(10);

	(void)state;
	assert_true(buf_add(&b, SPAN("12345678")));
	assert_false(buf_add(&b, SPAN("90x")));
	assert_int_equal(b.n, 8);
	assert_string_equal(buf_cstr(&b), "12345678");
	assert_true(buf_addf(&b, "%d", 90));
	assert_null(buf_cstr(&b));
	buf_drop(&b, 3);
	assert_true(span_eq(buf_span(&b), SPAN("4567890")));
}

static void
test_buf_prints_long_lines_whole(void **state)
{
	AUTO(buf_done) struct buf b = BUF_MAX(5000);
	char long_text[3001];

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_true(buf_addf(&b, "%s!", long_text));
	assert_int_equal(b.n, 3001);
	assert_int_equal(b.p[3000], '!');
}

static void
test_arena_has_a_ceiling(void **state)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(10000);

	(void)state;
	struct span copy = arena_dup(&a, SPAN("hello"));
	assert_true(span_eq(copy, SPAN("hello")));
	assert_int_equal(copy.p[5], '\0');
	assert_non_null(arena_alloc(&a, 9000));
	assert_null(arena_alloc(&a, 2000));
	assert_null(arena_dup(&a, (struct span){ "x", SIZE_MAX }).p);
	assert_string_equal(arena_str(&a, SPAN("still")), "still");
}

static void
test_numbers(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t want;
	} sizes[] = {
		{ "0", true, 0 },
		{ "50M", true, 50UL << 20 },
		{ "64K", true, 65536 },
		{ "1G", true, 1UL << 30 },
		{ "18446744073709551615", true, UINT64_MAX },
		{ "18446744073709551616", false, 0 },
		{ "17179869184G", false, 0 },
		{ "", false, 0 },
		{ "K", false, 0 },
		{ "-1", false, 0 },
		{ "1 K", false, 0 },
		{ "5k", false, 0 },
	};
	uint64_t n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		n = 77;
		assert_int_equal(num_size(span_of(sizes[i].text), UINT64_MAX, &n),
				sizes[i].ok);
		assert_int_equal(n, sizes[i].ok ? sizes[i].want : 77);
	}
	assert_true(num_duration(SPAN("7d"), UINT64_MAX, &n) && n == 604800);
	assert_true(num_duration(SPAN("0"), UINT64_MAX, &n) && n == 0);
	assert_false(num_duration(SPAN("7"), UINT64_MAX, &n));
	assert_false(num_duration(SPAN("25h"), 86400, &n));

	char out[24];
	num_duration_print(5400, out);
	assert_string_equal(out, "90m");
	num_size_print(65536, out);
	assert_string_equal(out, "64K");
	num_size_print(0, out);
	assert_string_equal(out, "0");
}

static void
test_dates(void **state)
{
	char text[DATE_RFC5322_SIZE], iso[DATE_ISO_SIZE];
	int64_t back = 0;

	(void)state;
	date_rfc5322(1025269200, text);
	assert_string_equal(text, "Fri, 28 Jun 2002 13:00:00 +0000");
	date_rfc5322(951782400, text);
	assert_string_equal(text, "Tue, 29 Feb 2000 00:00:00 +0000");
	date_rfc5322(INT64_MAX, text);
	assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 +0000");
	date_rfc5322(-5, text);
	assert_string_equal(text, "Thu, 1 Jan 1970 00:00:00 +0000");
	for (int64_t ms = 0; ms < 4102444800000; ms += 86399999 * 17L) {
		date_iso(ms, iso);
		assert_true(date_iso_parse(span_of(iso), &back));
		assert_int_equal(back, ms);
	}
	assert_true(date_iso_parse(SPAN("2026-11-22"), &back));
	date_iso(back, iso);
	assert_string_equal(iso, "2026-11-22T00:00:00.000Z");
	assert_false(date_iso_parse(SPAN("2026-13-22"), &back));
	assert_false(date_iso_parse(SPAN("2026-11-22T1"), &back));
}

static void
test_map_finds_what_was_put(void **state)
{
	static char keys[2000][8];
	struct map m;

	(void)state;
	map_init(&m, 1, 2);
	assert_null(map_get(&m, SPAN("x")));
	for (size_t i = 0; i < 2000; i++) {
		(void)snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
		assert_null(map_put(&m, span_of(keys[i]), keys[i]));
	}
	for (size_t i = 0; i < 2000; i += 3)
		assert_ptr_equal(map_del(&m, span_of(keys[i])), keys[i]);
	for (size_t i = 0; i < 2000; i++)
		assert_ptr_equal(map_get(&m, span_of(keys[i])),
				i % 3 == 0 ? NULL : keys[i]);
	assert_ptr_equal(map_put(&m, SPAN("k1"), &m), keys[1]);
	size_t at = 0, seen = 0;
	while (map_next(&m, &at))
		seen++;
	assert_int_equal(seen, m.n);
	assert_int_equal(seen, 1333);
	map_done(&m);
}

struct item {
	int n;
	struct list link;
};

static void
test_list_keeps_order(void **state)
{
	struct list head;
	struct item items[3] = { { .n = 1 }, { .n = 2 }, { .n = 3 } };
	int sum = 0;

	(void)state;
	list_init(&head);
	for (size_t i = 0; i < 3; i++)
		list_add(&head, &items[i].link);
	LIST_EACH (link, &head) {
		struct item *it = LIST_ITEM(link, struct item, link);
		sum = sum * 10 + it->n;
		if (it->n == 2)
			list_del(link);
	}
	assert_int_equal(sum, 123);
	assert_ptr_equal(head.next->next, &items[2].link);
	list_del(&items[1].link);
	assert_false(list_empty(&head));
}

static void
test_base64(void **state)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" },
		{ "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };
	static const char *const bad[] = { "Zg=", "Zg",
		"Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm 9" };

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		AUTO(buf_done) struct buf b = BUF_MAX(100);
		AUTO(buf_done) struct buf back = BUF_MAX(100);
		assert_true(enc_base64(&b, span_of(pairs[i][0])));
		assert_string_equal(buf_cstr(&b), pairs[i][1]);
		assert_true(dec_base64(&back, buf_span(&b)));
		assert_string_equal(buf_cstr(&back), pairs[i][0]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		AUTO(buf_done) struct buf b = BUF_MAX(100);
		assert_false(dec_base64(&b, span_of(bad[i])));
		assert_int_equal(b.n, 0);
	}
}

static void
test_text_is_tamed(void **state)
{
	AUTO(buf_done) struct buf b = BUF_MAX(1000);

	(void)state;
	assert_true(enc_plain(&b,
			SPAN("a\r\nb\x1b[2J \xc3\xa9 \xff \xe2\x80\xae \\ \xc2\x9b")));
	assert_string_equal(buf_cstr(&b),
			"a\\x0d\\x0ab\\x1b[2J \xc3\xa9 \\xff \\xe2\\x80\\xae \\x5c \\xc2\\x9b");
	buf_clear(&b);
	assert_true(enc_lines(&b, SPAN("one\r\ntwo \\ \x1b\n")));
	assert_string_equal(buf_cstr(&b), "one\ntwo \\ \\x1b\n");
	buf_clear(&b);
	assert_true(enc_json(&b, SPAN("q\"\\\n\xff\xe2\x80\xa8")));
	assert_string_equal(buf_cstr(&b), "\"q\\\"\\\\\\u000a\\ufffd\\u2028\"");
	assert_int_equal(utf8_len(SPAN("\xed\xa0\x80")), 0);
	assert_int_equal(utf8_len(SPAN("\xc0\x80")), 0);
	assert_int_equal(utf8_len(SPAN("\xf0\x9f\x98\x80")), 4);
}

static void
test_xtext(void **state)
{
	AUTO(buf_done) struct buf b = BUF_MAX(100);
	AUTO(buf_done) struct buf back = BUF_MAX(100);

	(void)state;
	assert_true(enc_xtext(&b, SPAN("a+b=c d")));
	assert_string_equal(buf_cstr(&b), "a+2Bb+3Dc+20d");
	assert_true(dec_xtext(&back, buf_span(&b)));
	assert_string_equal(buf_cstr(&back), "a+b=c d");
	assert_false(dec_xtext(&back, SPAN("a+0Ab")));
	assert_false(dec_xtext(&back, SPAN("a+00")));
	assert_false(dec_xtext(&back, SPAN("a+7F")));
	assert_false(dec_xtext(&back, SPAN("a+2")));
	assert_false(dec_xtext(&back, SPAN("a+2b")));
}

static void
test_qid(void **state)
{
	static const uint64_t ids[] = { 0, 1, 31, 32, UINT64_MAX, 0x0123456789abcdef };
	char text[QID_SIZE], last[QID_SIZE] = "";
	uint64_t back;

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		qid_print(ids[i], text);
		assert_true(qid_parse(span_of(text), &back));
		assert_int_equal(back, ids[i]);
	}
	for (uint64_t id = 1; id < UINT64_MAX / 7; id *= 7) {
		qid_print(id, text);
		assert_true(strcmp(last, text) < 0);
		memcpy(last, text, sizeof(last));
	}
	assert_true(qid_parse(SPAN("000000000000l"), &back) && back == 1);
	assert_false(qid_parse(SPAN("G000000000000"), &back));
	assert_false(qid_parse(SPAN("000000000000"), &back));
	assert_false(qid_parse(SPAN("00000000000U0"), &back));
}

static void
test_err_is_complete(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_false(err_errno(&e, 4055, 2, "open %s", "x"));
	assert_string_equal(err_words(2), "No such file or directory");
	assert_string_equal(err_words(-1), "unknown error");
	assert_string_equal(e.text, "open x: No such file or directory");
	assert_int_equal(e.event, 4055);
	assert_false(err_set(NULL, 1, "nobody listens"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_span_cuts),
		cmocka_unit_test(test_buf_has_a_ceiling),
		cmocka_unit_test(test_buf_prints_long_lines_whole),
		cmocka_unit_test(test_arena_has_a_ceiling),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_map_finds_what_was_put),
		cmocka_unit_test(test_list_keeps_order),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_text_is_tamed),
		cmocka_unit_test(test_xtext),
		cmocka_unit_test(test_qid),
		cmocka_unit_test(test_err_is_complete),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
