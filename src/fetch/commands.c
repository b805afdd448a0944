/* Commands out, answers in, and how a session fails. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "postern/clock.h"
#include "postern/crash.h"
#include "session.h"

const char *
pop_stage_name(enum pop_stage stage)
{
	static const char *const names[] = {
		[POP_AT_CONNECT] = "CONNECT",
		[POP_AT_GREETING] = "GREETING",
		[POP_AT_STLS] = "STLS",
		[POP_AT_CAPA] = "CAPA",
		[POP_AT_LOGON] = "LOGON",
		[POP_AT_LIST] = "LIST",
		[POP_AT_UIDL] = "UIDL",
		[POP_AT_RETR] = "RETR",
		[POP_AT_DELE] = "DELE",
		[POP_AT_QUIT] = "QUIT",
		[POP_AT_END] = "END",
	};
	return names[stage];
}

bool
pop_fail(struct pop_session *s, int event, const char *fmt, ...)
{
	char text[sizeof(s->err.text)];
	va_list ap;

	if (s->err.event != 0)
		return false;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(&s->err, event, "%s", text);
}

bool
pop_lost(struct pop_session *s)
{
	return pop_fail(s, EVENT_UNEXPECTED_RESPONSE, "%s", pop_low_error(&s->low));
}

bool
pop_odd(struct pop_session *s, struct span line)
{
	return pop_fail(s, EVENT_UNEXPECTED_RESPONSE, "\"" SPAN_FMT "\"",
			SPAN_ARG(span_first(line, 160)));
}

bool
pop_refused(struct pop_session *s, int event, struct span text)
{
	s->poll->word = schedule_word(text);
	return pop_fail(s, event, "-ERR " SPAN_FMT, SPAN_ARG(span_first(text, 200)));
}

bool
pop_pass_over(struct pop_session *s)
{
	struct span text;

	switch (pop_status(&s->wire, &text)) {
	case POP_OK:
	case POP_ERR:
		return true;
	case POP_ODD:
		return pop_odd(s, text);
	case POP_LOST:
		break;
	}
	return pop_lost(s);
}

/* A command as it may be shown: what is not known to be harmless is not shown. */
static struct span
shown(struct span line)
{
	static const struct {
		struct span verb, instead;
	} rows[] = {
		{ { SPAN_INIT("CAPA") }, { NULL, 0 } },
		{ { SPAN_INIT("STLS") }, { NULL, 0 } },
		{ { SPAN_INIT("UTF8") }, { NULL, 0 } },
		{ { SPAN_INIT("USER") }, { NULL, 0 } },
		{ { SPAN_INIT("LIST") }, { NULL, 0 } },
		{ { SPAN_INIT("STAT") }, { NULL, 0 } },
		{ { SPAN_INIT("UIDL") }, { NULL, 0 } },
		{ { SPAN_INIT("TOP") }, { NULL, 0 } },
		{ { SPAN_INIT("RETR") }, { NULL, 0 } },
		{ { SPAN_INIT("DELE") }, { NULL, 0 } },
		{ { SPAN_INIT("NOOP") }, { NULL, 0 } },
		{ { SPAN_INIT("QUIT") }, { NULL, 0 } },
		{ { SPAN_INIT("PASS") }, { SPAN_INIT("PASS ***") } },
		{ { SPAN_INIT("APOP") }, { SPAN_INIT("APOP ***") } },
		{ { SPAN_INIT("AUTH") }, { SPAN_INIT("AUTH ***") } },
	};
	struct span rest = line, verb = span_word(&rest);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (span_eq(verb, rows[i].verb))
			return rows[i].instead.n ? rows[i].instead : line;
	return SPAN("***");
}

bool
pop_command(struct pop_session *s, const char *text)
{
	size_t n = strlen(text);

	if (n > 2) /* not the end of a line that came in parts */
		ring_add(&s->poll->ring, clock_mono_ms(), "C",
				shown(span_trim((struct span){ text, n })));
	return mailstream_write(s->wire.stream, text, n) == (ssize_t)n || pop_lost(s);
}

bool
pop_flush(struct pop_session *s)
{
	return mailstream_flush(s->wire.stream) >= 0 || pop_lost(s);
}

void
pop_progress(struct pop_session *s)
{
	if (s->low.dial)
		dial_set_deadline(s->low.dial,
				clock_mono_ms() + s->poll->setup->limits.session_ms);
	s->moved = 0;
}

bool
pop_time_is_up(const struct pop_session *s, bool retrieves)
{
	int64_t ms = s->poll->setup->limits.session_ms;

	if (retrieves && atomic_load(s->poll->ending))
		return true;
	return pop_low_crawls(&s->low, retrieves ? ms : ms + ms / 2);
}

/* Sends QUIT, unless it went out behind the last command already. */
bool
pop_say_quit(struct pop_session *s)
{
	if (s->quit_sent)
		return true;
	crash_point("fetch: before QUIT");
	s->quit_sent = pop_command(s, "QUIT\r\n");
	return s->quit_sent;
}
