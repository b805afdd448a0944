#include "check.h"

#include "postern/words.h"

static const struct {
	const char *says, *raw, *want;
} folded[] = {
	{ "case and blanks", "  Sales\t Team \r\n of  Contoso ",
			"sales team of contoso" },
	{ "quoting", "\"Sales, \\\"EU\\\"\"", "sales, \"eu\"" },
	{ "Q, underscore and hex", "=?utf-8?Q?Vertrieb_M=C3=BCnchen?=",
			"vertrieb m\303\274nchen" },
	{ "B without padding", "=?UTF-8?b?U2FsZXM?=", "sales" },
	{ "Latin-1", "=?iso-8859-1?q?M=FCLLER?=", "m\303\274ller" },
	{ "a language, RFC 2231", "=?us-ascii*en?q?Sales?=", "sales" },
	{ "the blank between two is not text", "=?utf-8?q?Sa?= \r\n =?utf-8?q?les?= x",
			"sales x" },
	{ "the blank behind one that is empty is not there",
			"=?utf-8?q?"
			"?= =?utf-8?q?Sales?=",
			"sales" },
	{ "the blank to other words is", "a =?utf-8?q?b?= c", "a b c" },
	{ "a character split over two", "=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "\303\274" },
	{ "KOI8-R", "=?koi8-r?B?8NLPxMHWyQ==?=",
			"\320\277\321\200\320\276\320\264\320\260\320\266\320\270" },
	{ "windows-1251", "=?Windows-1251?Q?=CF=D0=CE=C4=C0=C6=C8?=",
			"\320\277\321\200\320\276\320\264\320\260\320\266\320\270" },
	{ "ISO-2022-JP", "=?ISO-2022-JP?B?GyRCMUQ2SBsoQg==?=",
			"\345\226\266\346\245\255" },
	{ "GB2312 beside UTF-8", "=?gb2312?B?z/rK2w==?= =?utf-8?q?_X?=",
			"\351\224\200\345\224\256 x" },
	{ "ISO-8859-15 is not -1", "=?iso-8859-15?q?=A6koda?=", "\305\241koda" },
	{ "not valid in its charset", "=?gb2312?q?=FF=FF?=", "=?gb2312?q?=ff=ff?=" },
	{ "a charset that nobody has", "=?x-martian?q?=C1?=", "=?x-martian?q?=c1?=" },
	{ "one that is not asked for",
			"=?ISO-2022-CN-EXT?q?a?=", "=?iso-2022-cn-ext?q?a?=" },
	{ "a charset with slashes",
			"=?UTF-8//TRANSLIT?q?a?=", "=?utf-8//translit?q?a?=" },
	{ "an accent apart", "Mu\314\210ller", "m\303\274ller" },
	{ "sharp s, ligature, full width", "Stra\303\237e \357\254\201 \357\274\241",
			"strasse fi a" },
	{ "not closed", "=?utf-8?q?abc", "=?utf-8?q?abc" },
	{ "broken base64", "=?utf-8?b?*?=", "=?utf-8?b?*?=" },
	{ "Greek, Cyrillic, Latin Extended", "\316\221 \320\226 \304\214",
			"\316\261 \320\266 \304\215" },
	{ "no UTF-8", "a\377b", "a\357\277\275b" },
	{ "a control byte is no blank", "a\001b", "a\001b" },
	{ "nothing", " \r\n\t", "" },
	{ "a lone backslash", "\\", "\\" },
};

static void
texts_are_folded(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(folded) / sizeof(*folded); i++) {
		AUTO(buf_done) struct buf got = BUF_MAX(3 * WORDS_MAX);

		assert_true(words_fold(&got, span_of(folded[i].raw)));
		if (!span_eq(buf_span(&got), span_of(folded[i].want)))
			fail_msg("%s: got \"" SPAN_FMT "\"", folded[i].says,
					SPAN_ARG(buf_span(&got)));
	}
}

static const struct {
	const char *text, *wanted;
	bool have;
} words[] = {
	{ "sales", "sales", true },
	{ "the sales team", "sales", true },
	{ "presales", "sales", false },
	{ "salesman", "sales", false },
	{ "presales, sales", "sales", true },
	{ "sales@contoso.test", "sales", true },
	{ "m\303\274ller", "ller", false },
	{ "a b", "a b", true },
	{ "(r&d)", "(r&d)", true },
	{ "x", "", false },
	{ "", "x", false },
};

static void
words_stand_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (words_have(span_of(words[i].text), span_of(words[i].wanted)) !=
				words[i].have)
			fail_msg("\"%s\" in \"%s\"", words[i].wanted, words[i].text);
	}
}

static void
long_texts_are_cut(void **state)
{
	AUTO(buf_done) struct buf raw = BUF_MAX(1 << 20), got = BUF_MAX(3 * WORDS_MAX);

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		assert_true(buf_add(&raw, SPAN("\377")));
	assert_true(words_fold(&got, buf_span(&raw)));
	assert_int_equal(got.n, 3 * WORDS_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_folded),
		cmocka_unit_test(words_stand_alone),
		cmocka_unit_test(long_texts_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
