/* sdps: *ENV N, by which some servers tell the envelope of a message (E1 level 1).
 *
 * SDPS was Demon Internet's dialect of POP3; fetchmail and getmail speak it too. The
 * answer has several lines: the third is the sender, the fourth the recipient. */
#include <stdio.h>

#include "postern/log.h"
#include "session.h"

enum {
	LINE_SENDER = 2,
	LINE_RECIPIENT = 3,
	LINES_MAX = 32,
	SDPS_QUOTA = LINES_MAX * WIRE_LINE + POP_STREAM_BUFFER,
};

bool
pop_sdps_wanted(const struct pop_session *s)
{
	const struct conf_account *a = s->poll->account;

	return a->type == CONF_GLOBAL && a->envelope.mode != CONF_ENVELOPE_NONE &&
			(s->caps.sdps || a->envelope.mode == CONF_ENVELOPE_SDPS);
}

/* A line that is no envelope is none; what it means is for the decision to say. */
static void
keep(struct buf *out, struct span line)
{
	buf_clear(out);
	(void)!buf_add(out, span_trim(line));
}

static bool
read_answer(struct pop_session *s)
{
	struct span line;
	unsigned n = 0;
	bool lost;

	while (pop_item(&s->wire, &line, &lost)) {
		if (n == LINE_SENDER)
			keep(&s->told_from, line);
		else if (n == LINE_RECIPIENT)
			keep(&s->told_to, line);
		if (++n > LINES_MAX || s->wire.cut)
			return pop_fail(s, EVENT_UNEXPECTED_RESPONSE,
					"the answer to *ENV is too long");
	}
	if (lost)
		return pop_lost(s);
	s->told = n > LINE_RECIPIENT && s->told_to.n > 0;
	return true;
}

bool
pop_sdps_ask(struct pop_session *s, size_t i)
{
	struct span text;
	char line[48];

	s->told = false;
	if (!pop_sdps_wanted(s))
		return true;
	(void)snprintf(line, sizeof(line), "*ENV %zu\r\n", i + 1);
	s->low.quota = SDPS_QUOTA;
	if (!pop_command(s, line) || !pop_flush(s))
		return false;
	enum pop_answer answer = pop_status(&s->wire, &text);
	if (!pop_in_step(s, answer, text, false))
		return false;
	if (answer == POP_OK)
		return read_answer(s);
	/* The header is asked. */
	log_event(EVENT_ENVELOPE_MISSING,
			FIELDS(f_span("account", s->poll->name),
					f_str("header", "*ENV"),
					f_span("uidl", pop_key(s, i))));
	return true;
}
