/* RETRs that were refused: is it the message, or the account?
 *
 * A provider whose quota is used up, whose mail store is away or that wants a pause refuses
 * everything, or everything from some message on. That counts against no message (4016).
 * One that is refused while others come after it is in trouble by itself (4011), and so is
 * a single one: it is known for that from then on. */
#include <stdlib.h>

#include "postern/log.h"
#include "reply.h"
#include "session.h"

struct refusal {
	size_t i;
	struct span text; /* in the session's arena */
};

/* Most are the same as the one before. Where the arena is full, they are taken for that. */
static struct span
keep(struct pop_session *s, struct span text)
{
	struct span before = s->n_refusals > 0 ? s->refusals[s->n_refusals - 1].text
					       : SPAN("");

	if (s->n_refusals > 0 && span_eq(before, text))
		return before;
	struct span kept = arena_dup(&s->words, text);
	return kept.p ? kept : before;
}

void
pop_refusal(struct pop_session *s, size_t i, struct span text)
{
	if (s->n_refusals == s->cap_refusals) {
		s->cap_refusals = s->cap_refusals ? s->cap_refusals * 2 : 64;
		s->refusals = realloc(
				s->refusals, s->cap_refusals * sizeof(*s->refusals));
		if (!s->refusals)
			abort();
	}

	struct span kept = keep(s, text);
	s->refusals[s->n_refusals++] = (struct refusal){ i, kept };
}

void
pop_refusals_theirs(struct pop_session *s)
{
	for (size_t k = 0; k < s->n_refusals; k++)
		pop_not_retrieved(s, s->refusals[k].i, s->refusals[k].text);
	s->n_refusals = 0;
	arena_done(&s->words);
}

/* Several that never failed before, or one that says itself what it is about. */
static bool
is_the_accounts(const struct pop_session *s)
{
	size_t fresh = 0, which = 0;

	for (size_t k = 0; k < s->n_refusals; k++) {
		if (s->messages[s->refusals[k].i].blamed)
			continue;
		which = k;
		fresh++;
	}
	return fresh > 1 ||
			(fresh == 1 && reply_is_of_account(s->refusals[which].text));
}

void
pop_refusals_end(struct pop_session *s)
{
	struct fetch_poll *p = s->poll;

	if (s->n_refusals == 0)
		return;
	if (!is_the_accounts(s)) {
		pop_refusals_theirs(s);
		return;
	}
	s->refused = true;
	p->refused = s->n_refusals;
	p->result.failures += s->n_refusals;
	(void)err_set(&p->refusal, EVENT_ACCOUNT_REFUSES, "-ERR " SPAN_FMT,
			SPAN_ARG(span_first(s->refusals[0].text, 200)));
	s->n_refusals = 0;
	arena_done(&s->words);
	fetch_poll_publish(p);
}
