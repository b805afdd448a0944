/* The conversations of tests/talks/smtp, held with the receiving engine at every split.
 *
 * A talk is a file of lines. "C:" the client says it, with CRLF (none when the line ends
 * in a backslash); "S:" the server must have said exactly these lines since; "H:" the
 * host must have noted exactly these; "answer TICKET yes|no" tells what became of a
 * message; "end" ends the session from our side; "options" before all else. Lines that
 * follow each other are sent in one flight, cut at every size. Escapes: \r \n \xNN \\,
 * and {cN} for N times the character c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "host.h"
#include "postern/must.h"
#include "postern/num.h"
#include "talk.h"

static const char *talks;

struct talk {
	const char *name;
	struct host host;
	struct buf says; /* not sent yet */
	size_t heard, noted; /* checked so far */
	size_t step;
	unsigned line;
};

static void
send_flight(struct talk *t)
{
	if (t->says.n == 0)
		return;
	size_t used = host_feed(&t->host, buf_span(&t->says), t->step);
	if (used < t->says.n && smtp_server_why(t->host.engine) == SMTP_REFUSALS &&
			!t->host.closed)
		fail_msg("%s:%u: the engine did not take all at step %zu", t->name,
				t->line, t->step);
	buf_clear(&t->says);
	host_drain(&t->host);
}

/* The next line of `all` behind *from must be `want`. */
static void
expect(struct talk *t, struct buf *all, size_t *from, struct span want)
{
	struct span rest = span_skip(buf_span(all), *from);
	struct span got = span_first(rest, span_find(rest, '\n'));

	*from += got.n + (got.n < rest.n);
	got = span_trim(got);
	want = span_trim(want);
	if (!span_eq(got, want))
		fail_msg("%s:%u: step %zu\n got: " SPAN_FMT "\nwant: " SPAN_FMT,
				t->name, t->line, t->step, SPAN_ARG(got),
				SPAN_ARG(want));
}

static void
expect_silence(struct talk *t)
{
	if (t->heard < t->host.heard.n || t->noted < t->host.diary.n)
		fail_msg("%s:%u: step %zu: unexpected: " SPAN_FMT SPAN_FMT, t->name,
				t->line, t->step,
				SPAN_ARG(span_skip(buf_span(&t->host.heard), t->heard)),
				SPAN_ARG(span_skip(
						buf_span(&t->host.diary), t->noted)));
}

static void
open_host(struct talk *t, struct span options)
{
	struct smtp_server_options o = {
		.hostname = SPAN("mx.test"),
		.peer = SPAN("192.0.2.1"),
		.now_s = 1025244000,
	};

	bool early = false; /* the greeting is not taken yet */

	while (options.n > 0) {
		struct span value = span_word(&options);
		struct span name = span_until(&value, '=');
		uint64_t n = 0;

		MUST(value.n == 0 || num_u64(value, UINT32_MAX, &n));
		if (span_eq(name, SPAN("internal")))
			o.internal = true;
		else if (span_eq(name, SPAN("early")))
			early = true;
		else if (span_eq(name, SPAN("size")))
			o.size_limit = n;
		else if (span_eq(name, SPAN("recipients")))
			o.max_recipients = (uint32_t)n;
		else if (span_eq(name, SPAN("errors")))
			o.max_errors = (uint32_t)n;
		else
			fail_msg("%s: unknown option", t->name);
	}
	host_open(&t->host, &o);
	if (!early)
		host_drain(&t->host);
}

static void
hold_answer(struct talk *t, struct span line)
{
	uint64_t ticket = 0;

	MUST(num_u64(span_word(&line), 1000, &ticket));
	smtp_server_committed(t->host.engine, ticket,
			span_eq(line, SPAN("yes"))
					? (struct smtp_reply){ 250, "2.6.0", "durable" }
					: smtp_refuse(SMTP_REFUSE_STORE));
	host_answer(&t->host);
	host_drain(&t->host);
}

static void
hold_line(struct talk *t, struct span line)
{
	if (span_starts(line, SPAN("#")) || line.n == 0)
		return;
	if (!t->host.engine) {
		bool options = span_starts(line, SPAN("options "));

		open_host(t, options ? span_skip(line, 8) : SPAN(""));
		if (options)
			return;
	}

	struct span rest = span_skip(line, line.n < 3 ? line.n : 3);
	if (span_starts(line, SPAN("C:"))) {
		bool part = rest.n > 0 && rest.p[rest.n - 1] == '\\';

		if (t->says.n == 0)
			expect_silence(t);
		talk_unescape(&t->says, span_first(rest, rest.n - part));
		if (!part)
			MUST(buf_add(&t->says, SPAN("\r\n")));
		return;
	}
	send_flight(t);
	if (span_starts(line, SPAN("S: "))) {
		expect(t, &t->host.heard, &t->heard, rest);
	} else if (span_starts(line, SPAN("H: "))) {
		/* The diary is escaped; only the repetition is ours. */
		expect(t, &t->host.diary, &t->noted, rest);
	} else if (span_starts(line, SPAN("answer "))) {
		expect_silence(t);
		hold_answer(t, span_skip(line, 7));
	} else if (span_eq(line, SPAN("end"))) {
		smtp_server_end(t->host.engine, SMTP_REFUSE_SHUTDOWN);
		host_answer(&t->host);
		host_drain(&t->host);
	} else {
		fail_msg("%s:%u: what is this?", t->name, t->line);
	}
}

static void
hold(const char *name, struct span text, size_t step)
{
	struct talk t = { .name = name, .says = BUF_MAX(1 << 26), .step = step };

	while (text.n > 0) {
		t.line++;
		hold_line(&t, span_until(&text, '\n'));
	}
	send_flight(&t);
	expect_silence(&t);
	buf_done(&t.says);
	host_done(&t.host);
}

static void
test_talks(void **state)
{
	(void)state;
	assert_true(talk_each(talks, hold) >= 10);
}

/* S01: everything that looks a little like CRLF.CRLF, at every split. */
static void
test_near_misses(void **state)
{
	static const char *const ends[] = { "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n",
		"\r.\r\n", "\r\n.\r", "\r\r\n.\r\r\n", "\r\n.\r\r\n", "\r\n\r.\r\n",
		"\r\n.\n\r\n", "\n\r\n.\n", "\n\n.\r\n", "\r\n. \r\n", "\r\n .\r\n",
		"\r\n.x\r\n", "\r\n..\r\n", "\r\n.\t\r\n", "\n.", "\r.", "\r\n.\v\r\n",
		"\r\n.\f\r\n", "\n\r.\n\r" };
	static const char nul_a[] = "\r\n\0.\r\n", nul_b[] = "\r\n.\0\r\n",
			  nul_c[] = "\r\n.\r\0\n";
	struct span all[sizeof(ends) / sizeof(ends[0]) + 3];
	size_t n = 0;

	(void)state;
	for (; n < sizeof(ends) / sizeof(ends[0]); n++)
		all[n] = span_of(ends[n]);
	all[n++] = (struct span){ nul_a, sizeof(nul_a) - 1 };
	all[n++] = (struct span){ nul_b, sizeof(nul_b) - 1 };
	all[n++] = (struct span){ nul_c, sizeof(nul_c) - 1 };

	for (size_t i = 0; i < n; i++) {
		AUTO(buf_done) struct buf says = BUF_MAX(4096);

		MUST(buf_add(&says, SPAN("body")) && buf_add(&says, all[i]) &&
				buf_add(&says,
						SPAN("MAIL FROM:<smug@x.test>\r\nRCPT TO:<u@d.test>\r\n"
						     "DATA\r\nsmuggled\r\n.\r\n")));
		for (size_t step = 1; step <= says.n; step++) {
			struct host h;
			struct smtp_server_options o = { .hostname = SPAN("mx.test") };

			host_open(&h, &o);
			host_drain(&h);
			(void)host_feed(&h, SPAN("EHLO a\r\n"), 99);
			host_drain(&h);
			(void)host_feed(&h,
					SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
					99);
			host_drain(&h);
			assert_int_equal(host_feed(&h, buf_span(&says), step), says.n);
			host_drain(&h);
			/* One message or none, and never a second sender. */
			assert_true(h.commits <= 1);
			assert_false(smtp_server_in_body(h.engine));
			MUST(buf_addc(&h.diary, '\0'));
			assert_null(strstr(h.diary.p, "mail <smug"));
			host_done(&h);
		}
	}
}

/* ---- random walks against an automaton of a few lines (S09) ---- */

enum place { START, READY, MAIL, RCPT, CHUNK, FAILED };

struct walker {
	enum place at;
};

struct step {
	const char *says;
	int (*goes)(struct walker *); /* returns the code of the reply */
};

static int
go_ehlo(struct walker *w)
{
	w->at = READY;
	return 250;
}

static int
go_mail(struct walker *w)
{
	if (w->at != READY)
		return 503;
	w->at = MAIL;
	return 250;
}

static int
go_rcpt(struct walker *w)
{
	if (w->at != MAIL && w->at != RCPT)
		return 503;
	w->at = RCPT;
	return 250;
}

static int
go_no_rcpt(struct walker *w)
{
	return w->at == MAIL || w->at == RCPT ? 550 : 503;
}

static int
go_chunk(struct walker *w)
{
	if (w->at == RCPT || w->at == CHUNK) {
		w->at = CHUNK;
		return 250;
	}
	if (w->at == MAIL)
		w->at = FAILED;
	return 503;
}

static int
go_last(struct walker *w)
{
	bool taken = w->at == RCPT || w->at == CHUNK;

	if (w->at != START)
		w->at = READY;
	return taken ? 250 : 503;
}

static int
go_bad_chunk(struct walker *w)
{
	if (w->at == MAIL || w->at == RCPT || w->at == CHUNK)
		w->at = FAILED;
	return 501;
}

static int
go_rset(struct walker *w)
{
	if (w->at != START)
		w->at = READY;
	return 250;
}

static int
go_noop(struct walker *w)
{
	(void)w;
	return 250;
}

static int
go_vrfy(struct walker *w)
{
	(void)w;
	return 252;
}

static int
go_junk(struct walker *w)
{
	(void)w;
	return 500;
}

static int
go_data(struct walker *w)
{
	if (w->at != RCPT)
		return 503;
	w->at = READY;
	return 354;
}

static const struct step steps[] = {
	{ "EHLO a\r\n", go_ehlo },
	{ "HELO a\r\n", go_ehlo },
	{ "MAIL FROM:<a@b>\r\n", go_mail },
	{ "mail from:<>\r\n", go_mail },
	{ "RCPT TO:<c@d>\r\n", go_rcpt },
	{ "rcpt to:<Postmaster>\r\n", go_rcpt },
	{ "RCPT TO:<no@d>\r\n", go_no_rcpt },
	{ "BDAT 5\r\nQUIT\n", go_chunk },
	{ "BDAT 0\r\n", go_chunk },
	{ "BDAT 6 LAST\r\nRSET\r\n", go_last },
	{ "BDAT 0 LAST\r\n", go_last },
	{ "BDAT x\r\n", go_bad_chunk },
	{ "BDAT -1 LAST\r\n", go_bad_chunk },
	{ "BDAT 18446744073709551615\r\n", go_bad_chunk },
	{ "RSET\r\n", go_rset },
	{ "NOOP x\r\n", go_noop },
	{ "VRFY <a@b>\r\n", go_vrfy },
	{ "XEXCH50 -1 2\r\n", go_junk },
	{ "MAIL\tFROM:<a@b>\r\n", go_junk },
	{ "DATA\r\n", go_data },
};

static unsigned
next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*seed >> 33);
}

static void
test_random_walks(void **state)
{
	uint64_t seed = 20021128;
	struct smtp_server_options o = { .hostname = SPAN("mx.test"),
		.peer = SPAN("::1") };
	unsigned bodies = 0;

	(void)state;
	for (unsigned walk = 0; walk < 300; walk++) {
		struct walker w = { .at = START };
		struct host h;

		host_open(&h, &o);
		host_drain(&h);
		for (unsigned i = 0; i < 300; i++) {
			const struct step *s = &steps[next_random(&seed) %
					(sizeof(steps) / sizeof(steps[0]))];
			enum place before = w.at;
			int want = s->goes(&w);
			unsigned commits = h.commits;

			/* BINARYMIME is not said, so QUIT\n is a bare LF: 550 at LAST. */
			buf_clear(&h.heard);
			(void)host_feed(&h, span_of(s->says),
					1 + next_random(&seed) % 30);
			host_drain(&h);
			if (want == 354) {
				assert_true(span_starts(
						buf_span(&h.heard), SPAN("354 ")));
				buf_clear(&h.heard);
				(void)host_feed(&h, SPAN("MAIL FROM:<x@y>\r\n.\r\n"),
						7);
				host_drain(&h);
				want = 250;
				bodies++;
			}
			int got = atoi(h.heard.n > 3 ? h.heard.p
						     : "0"); // NOLINT(cert-err34-c)
			if (s->goes == go_last && want == 250 && got == 550)
				want = 550;
			if (got != want)
				fail_msg("walk %u step %u: in %d said %s: got %d, want %d",
						walk, i, before, s->says, got, want);
			/* Only the end of a message with sender and recipient commits. */
			if (h.commits > commits)
				assert_true((s->goes == go_last ||
							    s->goes == go_data) &&
						(before == RCPT || before == CHUNK));
		}
		host_done(&h);
	}
	assert_true(bodies > 50);
}

/* 10^6 chunks, a line without end: memory stays where it is (S04, S08). */
static void
test_floods(void **state)
{
	struct smtp_server_options o = { .hostname = SPAN("mx.test"),
		.max_errors = 10 };
	struct host h;
	static char junk[100000];

	(void)state;
	host_open(&h, &o);
	host_drain(&h);
	(void)host_feed(&h, SPAN("EHLO a\r\n"), 99);
	host_drain(&h);
	(void)host_feed(&h, SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"), 99);
	for (unsigned i = 0; i < 200000; i++) {
		(void)host_feed(&h, SPAN("BDAT 1\r\nxBDAT 0\r\n"), 99);
		host_drain(&h);
		buf_clear(&h.heard);
	}
	(void)host_feed(&h, SPAN("BDAT 0 LAST\r\n"), 99);
	assert_int_equal(h.commits, 1);
	host_drain(&h);
	buf_clear(&h.heard);
	memset(junk, 'x', sizeof(junk));
	(void)host_feed(&h, (struct span){ junk, sizeof(junk) }, 4096);
	assert_true(h.closed);
	assert_true(smtp_server_why(h.engine) == SMTP_REFUSE_LONG);
	host_drain(&h);
	assert_true(span_starts(buf_span(&h.heard), SPAN("421 4.7.0 ")));
	host_done(&h);
}

/* Many commits under way, answered in a wild order: replies leave in order. */
static void
test_tickets_in_order(void **state)
{
	struct smtp_server_options o = { .hostname = SPAN("mx.test"),
		.max_tickets = 16 };
	struct host h;
	AUTO(buf_done) struct buf says = BUF_MAX(65536);
	AUTO(buf_done) struct buf want = BUF_MAX(65536);
	unsigned order[16], answered = 0;
	uint64_t seed = 7;

	(void)state;
	host_open(&h, &o);
	host_drain(&h);
	(void)host_feed(&h, SPAN("EHLO a\r\n"), 99);
	host_drain(&h);
	buf_clear(&h.heard);
	for (unsigned i = 0; i < 40; i++) {
		MUST(buf_addf(&says,
				"MAIL FROM:<later@b%u>\r\nRCPT TO:<c@d>\r\nBDAT 2 LAST\r\nhi",
				i));
		MUST(buf_addf(&want,
				"250 2.1.0 later@b%u....Sender OK\r\n250 2.1.5 c@d\r\n"
				"250 2.6.0 message %u\r\n",
				i, i));
	}
	size_t at = 0;
	while (answered < 40) {
		at += host_feed(&h, span_skip(buf_span(&says), at), 1000);
		unsigned open = smtp_server_tickets(h.engine);
		assert_true(open <= 16);
		for (unsigned i = 0; i < open; i++)
			order[i] = answered + i;
		for (unsigned i = 0; i < open; i++) {
			unsigned j = i + next_random(&seed) % (open - i), k = order[j];
			char text[40];

			order[j] = order[i];
			(void)snprintf(text, sizeof(text), "message %u", k);
			smtp_server_committed(h.engine, k,
					(struct smtp_reply){ 250, "2.6.0", text });
		}
		answered += open;
		host_drain(&h);
	}
	assert_int_equal(at, says.n);
	assert_true(span_eq(buf_span(&h.heard), buf_span(&want)));
	host_done(&h);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_talks),
		cmocka_unit_test(test_near_misses),
		cmocka_unit_test(test_random_walks),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_tickets_in_order),
	};
	talks = argc > 1 ? argv[1] : ".";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
