/* What a decision costs: CPU microseconds for common headers, and how it grows with
 * headers as an enemy writes them. Prints tables for RESULTS.md.
 *
 *   meson setup BUILD -Dbuildtype=release -Dtests=false
 *   ninja -C BUILD tests/bench/decide && BUILD/tests/bench/decide */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "postern/must.h"
#include "postern/recipients.h"

static struct arena setup_arena = { .max = 1 << 27 };
static struct domains served;

static const char common[] =
		"Return-Path: <max@nwtraders.test>\r\n"
		"X-Original-To: ann@contoso.test\r\n"
		"Delivered-To: contoso@pop.isp.test\r\n"
		"Received: from mx2.isp.test (mx2.isp.test [192.0.2.7])\r\n"
		"\tby store1.isp.test (Postfix) with ESMTPS id 4F7D21234\r\n"
		"\tfor <ann@contoso.test>; Mon,  5 Jan 2026 10:00:02 +0000 (UTC)\r\n"
		"Received: from mail.nwtraders.test (mail.nwtraders.test [198.51.100.4])\r\n"
		"\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n"
		"\tby mx2.isp.test (Postfix) with ESMTPS id 1F7D21234\r\n"
		"\tfor <ann@contoso.test>; Mon,  5 Jan 2026 10:00:01 +0000 (UTC)\r\n"
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=nwtraders.test;\r\n"
		"\th=from:to:subject:date:message-id; bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN=;\r\n"
		"\tb=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR\r\n"
		"Received: by mail.nwtraders.test (Postfix, from userid 1000)\r\n"
		"\tid 8F7D21234; Mon,  5 Jan 2026 10:00:00 +0000 (UTC)\r\n"
		"From: Max Benson <max@nwtraders.test>\r\n"
		"To: Ann Lee <ann@contoso.test>, Bob <bob@contoso.test>\r\n"
		"Cc: Dora <dora@fabrikam.test>, Ext <x@else.test>\r\n"
		"Subject: Quarterly figures\r\n"
		"Date: Mon, 5 Jan 2026 10:00:00 +0000\r\n"
		"Message-ID: <20260105100000.8F7D21234@mail.nwtraders.test>\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=utf-8\r\n"
		"Content-Transfer-Encoding: 8bit\r\n"
		"X-Mailer: Something 1.0\r\n"
		"\r\n";

static double
cpu_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int
number_order(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* CPU microseconds of one decision, its record too if asked: the median of `runs`. */
static double
measure(const struct recipients_account *account, struct span header, bool record,
		unsigned runs)
{
	static double took[1024];

	MUST(runs <= sizeof(took) / sizeof(took[0]));
	for (unsigned i = 0; i < runs; i++) {
		/* Short ones are done many times, so that the clock does not count. */
		unsigned times = header.n < 10000 ? 200 : 1;
		double began = cpu_us();

		for (unsigned k = 0; k < times; k++) {
			AUTO(arena_done)
			struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
			AUTO(buf_done)
			struct buf out = BUF_MAX(RECIPIENTS_RECORD_MAX);
			struct recipients r;

			recipients_decide(account, header, &arena, &r);
			if (record)
				MUST(recipients_record(account, &r, &out));
		}
		took[i] = (cpu_us() - began) / times;
	}
	qsort(took, runs, sizeof(took[0]), number_order);
	return took[runs / 2];
}

/* before, n times `each` (a "#" in it is the number, five digits), after. */
static void
many(struct buf *out, const char *before, const char *each, const char *after,
		unsigned n)
{
	buf_clear(out);
	MUST(buf_add(out, span_of(before)));
	for (unsigned i = 0; i < n; i++) {
		struct span rest = span_of(each);
		struct span first = span_first(rest, span_find(rest, '#'));

		MUST(buf_add(out, first));
		if (first.n < rest.n)
			MUST(buf_addf(out, "%05u", i) &&
					buf_add(out, span_skip(rest, first.n + 1)));
	}
	MUST(buf_add(out, span_of(after)));
}

static const struct growth {
	const char *what, *before, *each, *after;
	unsigned n;
} growths[] = {
	{ "addresses in To", "To: ", "u#@contoso.test,\r\n ", "\r\n\r\n", 10000 },
	{ "the same address again", "To: ", "ann@contoso.test,\r\n ", "\r\n\r\n",
			10000 },
	{ "comments, each in the last one", "To: ", "(", "ann@contoso.test\r\n\r\n",
			50000 },
	{ "comments, one after the other", "To: ", "()", "ann@contoso.test\r\n\r\n",
			50000 },
	{ "header lines of two octets", "To: ann@contoso.test\r\n", "x\n", "\n",
			500000 },
	{ "To fields", "", "To: u#@contoso.test\r\n", "\r\n", 10000 },
	{ "Delivered-To fields", "", "Delivered-To: u#@contoso.test\r\n",
			"Received: from a by mx.isp.test; x\r\n\r\n", 10000 },
	{ "Received fields", "",
			"Received: from a by mx.isp.test for <u@else.test>; #\r\n",
			"\r\n", 15000 },
	{ "angle brackets", "To: ", "<>", " <ann@contoso.test>\r\n\r\n", 100000 },
	{ "groups", "To: ", "g#: a@contoso.test;", "\r\n\r\n", 10000 },
	{ "quoted pairs", "To: \"", "\\\"", "\" <ann@contoso.test>\r\n\r\n", 100000 },
	{ "folds", "To:", "\r\n ", "ann@contoso.test\r\n\r\n", 80000 },
	{ "at signs", "To: ", "a@", "contoso.test\r\n\r\n", 100000 },
	{ "opening angles", "To: ", "<", "ann@contoso.test\r\n\r\n", 100000 },
	{ "semicolons", "To: ", ";", "ann@contoso.test\r\n\r\n", 100000 },
	{ "commas", "To: ", ",", "ann@contoso.test\r\n\r\n", 100000 },
	{ "quotes that never close", "To: ", "\"a,", "ann@contoso.test\r\n\r\n",
			10001 },
	{ "literals that never close", "To: ", "a@[", "ann@contoso.test\r\n\r\n",
			50000 },
	{ "words for an angle", "To: ", "a@b ", "<ann@contoso.test>\r\n\r\n", 50000 },
	{ "for-clauses in a Received", "Received: by mx.isp.test",
			" for <u#@contoso.test>", "\r\n\r\n", 10000 },
	{ "by-clauses in a Received", "Received:", " by b for <u#@else.test>",
			"\r\n\r\n", 8000 },
	{ "from, by and an open angle", "Received:", " from by <", "\r\n\r\n", 25000 },
	{ "the word for", "Received: by mx.isp.test", " for", "\r\n\r\n", 60000 },
	{ "open angles behind for", "Received: by mx.isp.test", " for <", "\r\n\r\n",
			40000 },
	{ "resent blocks", "", "Resent-To: u#@contoso.test\r\nX: x\r\n",
			"To: ann@contoso.test\r\n\r\n", 20000 },
	{ "encoded words", "To: ", "=?utf-8?Q?a?= ", "<ann@contoso.test>\r\n\r\n",
			18000 },
};

/* With RULES alias rules of each kind. */
static const struct growth ruled[] = {
	{ "addresses, and rules", "To: ", "u#@contoso.test,\r\n ", "\r\n\r\n", 10000 },
	{ "names and foreign addresses, and rules", "To: ",
			"A word # and another <u#@else.test>,\r\n ", "\r\n\r\n", 5000 },
	{ "encoded names, and rules", "To: ",
			"=?utf-8?Q?a_word_#?= <x@else.test>,\r\n ", "\r\n\r\n", 5000 },
	{ "angles in List-Id, and rules", "List-Id: ", "<(\"",
			"\r\nTo: x@else.test\r\n\r\n", 80000 },
	{ "comments in List-Post, and rules", "List-Post: ", "(<\\",
			"\r\nTo: x@else.test\r\n\r\n", 80000 },
	{ "List-Id fields, and rules", "", "List-Id: <l#.else.test>\r\n",
			"To: x@else.test\r\n\r\n", 10000 },
	{ "addresses that are several words, and rules",
			"To: ", "a b c d e f g h i j k l m n o p <x@else.test>,\r\n ",
			"\r\n\r\n", 5000 },
};

enum { RULES = 10000 };

/* Addresses, texts of one and of three words. */
static const struct recipients_rules *
rules_many(struct arena *arena)
{
	static struct recipients_rule v[3 * RULES];
	static const struct span to = { SPAN_INIT("boss@contoso.test") };
	size_t left_out;

	for (unsigned i = 0; i < 3 * RULES; i++) {
		char text[64];

		const char *before = i % 3 == 0 ? "rule"
				: i % 3 == 1	? "text"
						: "a word ";

		(void)snprintf(text, sizeof(text), "%s%u%s", before, 100000 + i,
				i % 3 == 0 ? "@contoso.test" : "");
		v[i] = (struct recipients_rule){ arena_dup(arena, span_of(text)), &to,
			1 };
	}
	const struct recipients_rules *rules =
			recipients_rules_new(arena, v, 3 * RULES, &left_out);
	MUST(rules && left_out == 0);
	return rules;
}

static void
grow(const struct recipients_account *account, const struct growth *g)
{
	AUTO(buf_done) struct buf header = BUF_MAX(4 * HEADER_MAX);
	double us[3];

	for (unsigned i = 0; i < 3; i++) {
		many(&header, g->before, g->each, g->after, g->n / 4 << i);
		us[i] = measure(account, buf_span(&header), false, 15);
	}
	(void)printf("| %s | %u | %.2f | %.2f | %.2f | %.1f |\n", g->what, g->n,
			us[0] / 1e3, us[1] / 1e3, us[2] / 1e3, us[2] / us[0]);
}

int
main(void)
{
	const struct span entries[] = { SPAN("contoso.test"), SPAN("fabrikam.test") };
	struct recipients_account account = {
		.name = SPAN("contoso"),
		.served = &served,
		.policy = &served,
		.first_domain = SPAN("contoso.test"),
		.trusted_hops = 1,
		.login = SPAN("contoso"),
		.provider = SPAN("pop.isp.test"),
	};
	struct span bad, header = { common, sizeof(common) - 1 };

	MUST(domains_init(&served, &setup_arena, entries, 2, &bad));
	(void)puts("| a common header (1,690 octets) | CPU microseconds |\n|---|---|");
	(void)printf("| decided by the envelope header | %.1f |\n",
			measure(&account, header, false, 101));
	account.mode = RECIPIENTS_NONE;
	account.provider = SPAN("elsewhere.test");
	(void)printf("| decided by To and Cc | %.1f |\n",
			measure(&account, header, false, 101));
	(void)printf("| the same, and its record written | %.1f |\n",
			measure(&account, header, true, 101));

	account.mode = RECIPIENTS_AUTO;
	account.provider = SPAN("pop.isp.test");
	(void)puts("\n| of these | so many | ms, a quarter of them | half | all | all to a quarter |\n"
		   "|---|---|---|---|---|---|");
	for (size_t i = 0; i < sizeof(growths) / sizeof(growths[0]); i++)
		grow(&account, &growths[i]);
	account.rules = rules_many(&setup_arena);
	for (size_t i = 0; i < sizeof(ruled) / sizeof(ruled[0]); i++)
		grow(&account, &ruled[i]);
	arena_done(&setup_arena);
	return 0;
}
