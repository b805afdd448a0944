/* The storm breaker: a provider that gives old messages new unique-ids (a move to
 * another server, a restored backup) would have everything collected twice. Where a
 * listing looks like that, the headers of a sample are compared with what was
 * collected; if most are known, nothing is collected until somebody says so (4009). */
#include <stdlib.h>

#include "postern/event.h"
#include "postern/log.h"
#include "print.h"
#include "session.h"

enum {
	SAMPLE = 20,
	WHOLE_MAX = 256 * 1024, /* without TOP: of messages up to this only */
};

static bool
eligible(const struct pop_session *s, size_t i)
{
	return s->messages[i].known == POP_UNKNOWN &&
			(s->caps.top || s->messages[i].octets <= WHOLE_MAX);
}

/* Up to SAMPLE messages, spread over the whole listing. */
static size_t
choose(const struct pop_session *s, size_t sample[SAMPLE])
{
	size_t all = 0, seen = 0, n = 0;

	for (size_t i = 0; i < s->listing.n; i++)
		all += eligible(s, i);
	for (size_t i = 0; i < s->listing.n && n < SAMPLE; i++) {
		if (!eligible(s, i))
			continue;
		if (seen * SAMPLE >= n * all)
			sample[n++] = i;
		seen++;
	}
	return n;
}

static bool
look(struct pop_session *s, const size_t *sample, size_t n, size_t *hits)
{
	bool got;

	*hits = 0;
	for (size_t i = 0; s->caps.pipelining && i < n; i++)
		if (!pop_peek_send(s, sample[i]))
			return false;
	if (s->caps.pipelining && !pop_flush(s))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!s->caps.pipelining &&
				(!pop_peek_send(s, sample[i]) || !pop_flush(s)))
			return false;
		if (!pop_peek_read(s, sample[i], &got))
			return false;
		if (got && pop_known_print(&s->known, pop_print(buf_span(&s->head), 0)))
			*hits += 1;
	}
	return true;
}

static bool
hold(struct pop_session *s, size_t hits)
{
	size_t n = s->listing.n;
	const struct field fields[] = {
		f_span("account", s->poll->name),
		f_span("id", s->poll->name),
		f_num("percent", (int64_t)(s->known.unknown * 100 / n)),
		f_num("listed", (int64_t)n),
		f_num("known", (int64_t)hits),
		{ 0 },
	};
	struct buf words = BUF_MAX(1024);
	const char *text;

	if (!s->poll->memo->held)
		log_event(EVENT_UIDL_STORM, fields);
	s->poll->memo->held = true;
	if (log_words(&words, EVENT_UIDL_STORM, fields) && (text = buf_cstr(&words)))
		(void)pop_fail(s, EVENT_UIDL_STORM, "%s", text);
	buf_done(&words);
	return false;
}

bool
pop_storm_pass(struct pop_session *s)
{
	size_t sample[SAMPLE], n, hits;

	if (pop_known_blank(&s->known))
		return hold(s, s->known.blank);

	if (pop_known_storm(&s->known)) {
		n = choose(s, sample);
		if (!look(s, sample, n, &hits))
			return false;
		if (n > 0 && 2 * hits >= n)
			return hold(s, hits);
	}
	s->poll->memo->held = false;
	return true;
}
