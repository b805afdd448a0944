/* The conversations of tests/talks/smtp_client, held with the sending engine while the
 * peer's bytes come cut at every size.
 *
 * "message MARK SENDER RECIPIENT,... WORDS" queues a message (words: size=N, 8bit, bare, utf8,
 * quiet);
 * "B:" is its body. "S:" the peer says it, with CRLF (none when the line ends in a
 * backslash); "C:" the client must have written exactly these lines since; "F:" it must
 * have told exactly these facts. "lost TEXT", "abandon TEXT", "quit" are the host's.
 * "stall" and "flow" stop and start the taking of output. "options" before all else. */
#include "postern/smtp_client.h"

#include <string.h>

#include "check.h"
#include "host.h"
#include "postern/must.h"
#include "postern/num.h"
#include "talk.h"

static const char *talks;

enum { MESSAGES = 8, RECIPIENTS = 8 };

struct message {
	struct smtp_client_out out;
	struct span to[RECIPIENTS];
	struct buf body;
	size_t given;
};

struct talk {
	const char *name;
	unsigned line;
	size_t step;
	struct smtp_client *engine;
	struct message messages[MESSAGES];
	size_t queued, sent;
	struct buf says; /* by the peer, not fed yet */
	struct buf wrote, diary;
	size_t read, noted; /* checked so far */
	bool stalled;
};

static void
note_verdict(struct talk *t, const struct smtp_fact *f)
{
	static const char *const fates[] = { "delivered", "deferred", "bounced" };

	MUST(buf_addf(&t->diary, " %s %d %s %s%s%s%s\n", fates[f->verdict->fate],
			f->verdict->code, f->verdict->esc, f->verdict->text,
			f->again ? " (again)" : "", f->in_doubt ? " (in doubt)" : "",
			f->changed ? " (changed)" : ""));
}

static void
note(struct talk *t, const struct smtp_fact *f)
{
	const struct smtp_client_caps *caps = smtp_client_caps(t->engine);
	uintmax_t mark = (uintmax_t)f->mark;

	switch (f->kind) {
	case SMTP_FACT_GREETED:
		MUST(buf_add(&t->diary, SPAN("greeted\n")));
		break;
	case SMTP_FACT_CAPS:
		MUST(buf_addf(&t->diary, "caps%s%s%s%s",
				caps->pipelining ? " pipelining" : "",
				caps->chunking ? " chunking" : "",
				caps->eight_bit ? " 8bitmime" : "",
				caps->binary ? " binarymime" : ""));
		if (caps->sized)
			MUST(buf_addf(&t->diary, " size=%ju",
					(uintmax_t)caps->size_limit));
		MUST(buf_addc(&t->diary, '\n'));
		break;
	case SMTP_FACT_RECIPIENT:
		MUST(buf_addf(&t->diary, "rcpt %ju.%zu", mark, f->recipient));
		note_verdict(t, f);
		break;
	case SMTP_FACT_MESSAGE:
		MUST(buf_addf(&t->diary, "message %ju", mark));
		note_verdict(t, f);
		break;
	case SMTP_FACT_EXCHANGE:
		MUST(buf_add(&t->diary, f->greeting ? SPAN("<G>: ") : SPAN("<C>: ")));
		host_escape(&t->diary, f->said);
		MUST(buf_add(&t->diary, f->greeting ? SPAN("") : SPAN(" <S>: ")));
		host_escape(&t->diary, f->heard);
		MUST(buf_addc(&t->diary, '\n'));
		break;
	case SMTP_FACT_OVER:
		MUST(buf_add(&t->diary, f->clean ? SPAN("over, clean") : SPAN("over")));
		note_verdict(t, f);
		break;
	}
}

static bool
give_body(struct talk *t)
{
	if (t->sent == 0 || !smtp_client_wants_body(t->engine))
		return false;

	struct message *m = &t->messages[t->sent - 1];
	m->given += smtp_client_body(
			t->engine, span_skip(buf_span(&m->body), m->given), true);
	return true;
}

/* All that can be done without the peer. */
static void
work(struct talk *t)
{
	struct smtp_fact f;
	bool more = true;

	while (more) {
		more = false;
		while (smtp_client_next(t->engine, &f)) {
			note(t, &f);
			more = true;
		}
		if (t->sent < t->queued && smtp_client_may_send(t->engine)) {
			smtp_client_send(t->engine, &t->messages[t->sent++].out);
			more = true;
		}
		more = give_body(t) || more;
		struct span out = smtp_client_output(t->engine);
		if (out.n > 0 && !t->stalled) {
			MUST(buf_add(&t->wrote, out));
			smtp_client_sent(t->engine, out.n);
			more = true;
		}
	}
}

static void
feed(struct talk *t)
{
	size_t at = 0;

	while (at < t->says.n) {
		size_t end = (at / t->step + 1) * t->step;
		struct span in =
				span_first(span_skip(buf_span(&t->says), at), end - at);
		size_t n = smtp_client_feed(t->engine, in);

		at += n;
		work(t);
		if (smtp_client_over(t->engine))
			break;
	}
	buf_clear(&t->says);
}

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
	if (t->read < t->wrote.n || t->noted < t->diary.n)
		fail_msg("%s:%u: step %zu: unexpected: " SPAN_FMT SPAN_FMT, t->name,
				t->line, t->step,
				SPAN_ARG(span_skip(buf_span(&t->wrote), t->read)),
				SPAN_ARG(span_skip(buf_span(&t->diary), t->noted)));
}

static void
queue(struct talk *t, struct span line)
{
	struct message *m = &t->messages[t->queued++];

	MUST(t->queued <= MESSAGES);
	*m = (struct message){ .body = BUF_MAX(1 << 22) };
	MUST(num_u64(span_word(&line), 1000, &m->out.mark));
	m->out.sender = span_word(&line);
	if (span_eq(m->out.sender, SPAN("<>")))
		m->out.sender = SPAN("");
	struct span to = span_word(&line);
	while (to.n > 0) {
		MUST(m->out.n < RECIPIENTS);
		m->to[m->out.n++] = span_until(&to, ',');
	}
	m->out.recipients = m->to;
	while (line.n > 0) {
		struct span word = span_word(&line);

		if (span_eq(word, SPAN("8bit")))
			m->out.eight_bit = true;
		else if (span_eq(word, SPAN("bare")))
			m->out.bare = true;
		else if (span_eq(word, SPAN("utf8")))
			m->out.utf8 = true;
		else if (span_eq(word, SPAN("quiet")))
			m->out.no_notify = true;
		else
			MUST(num_u64(span_skip(word, 5), 1 << 30, &m->out.size));
	}
}

static void
open_engine(struct talk *t, struct span options)
{
	struct smtp_client_options o = { .hostname = SPAN("gw.test") };

	while (options.n > 0) {
		struct span value = span_word(&options);
		struct span name = span_until(&value, '=');
		uint64_t n = 0;

		MUST(value.n == 0 || num_u64(value, 1000, &n));
		o.lmtp |= span_eq(name, SPAN("lmtp"));
		o.internal |= span_eq(name, SPAN("internal"));
		o.transcript |= span_eq(name, SPAN("transcript"));
		if (span_eq(name, SPAN("window")))
			o.window = (unsigned)n;
	}
	t->engine = smtp_client_new(&o);
}

static void
hold_line(struct talk *t, struct span line)
{
	char text[512];

	if (!t->engine) {
		bool options = span_starts(line, SPAN("options "));

		open_engine(t, options ? span_skip(line, 8) : SPAN(""));
		if (options)
			return;
	}

	struct span rest = span_skip(line, line.n < 3 ? line.n : 3);
	if (span_starts(line, SPAN("S:"))) {
		bool part = rest.n > 0 && rest.p[rest.n - 1] == '\\';

		work(t);
		if (t->says.n == 0)
			expect_silence(t);
		talk_unescape(&t->says, span_first(rest, rest.n - part));
		if (!part)
			MUST(buf_add(&t->says, SPAN("\r\n")));
		return;
	}
	feed(t);
	struct span word = span_word(&line);
	MUST(line.n < sizeof(text));
	if (line.n > 0)
		memcpy(text, line.p, line.n);
	text[line.n] = '\0';
	if (span_eq(word, SPAN("message"))) {
		queue(t, line);
		return;
	}
	if (span_eq(word, SPAN("B:"))) {
		talk_unescape(&t->messages[t->queued - 1].body, line);
		return;
	}
	if (span_eq(word, SPAN("lost")))
		smtp_client_lost(t->engine, text);
	else if (span_eq(word, SPAN("abandon")))
		smtp_client_abandon(t->engine, text);
	else if (span_eq(word, SPAN("quit")))
		smtp_client_quit(t->engine);
	else if (span_eq(word, SPAN("stall")) || span_eq(word, SPAN("flow")))
		t->stalled = span_eq(word, SPAN("stall"));
	work(t);
	if (span_eq(word, SPAN("C:"))) {
		AUTO(buf_done) struct buf want = BUF_MAX(1 << 20);

		talk_unescape(&want, rest);
		expect(t, &t->wrote, &t->read, buf_span(&want));
	}
	if (span_eq(word, SPAN("F:")))
		expect(t, &t->diary, &t->noted, rest);
}

static void
hold(const char *name, struct span text, size_t step)
{
	struct talk t = { .name = name,
		.step = step,
		.says = BUF_MAX(1 << 24),
		.wrote = BUF_MAX(1 << 24),
		.diary = BUF_MAX(1 << 24) };

	while (text.n > 0) {
		struct span line = span_until(&text, '\n');

		t.line++;
		if (line.n > 0 && line.p[0] != '#')
			hold_line(&t, line);
	}
	feed(&t);
	expect_silence(&t);
	smtp_client_free(t.engine);
	for (size_t i = 0; i < t.queued; i++)
		buf_done(&t.messages[i].body);
	buf_done(&t.says);
	buf_done(&t.wrote);
	buf_done(&t.diary);
}

static void
test_talks(void **state)
{
	(void)state;
	assert_true(talk_each(talks, hold) >= 10);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_talks),
	};
	talks = argc > 1 ? argv[1] : ".";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
