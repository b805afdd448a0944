/* Deletions owed: what a session collected that ended before QUIT was confirmed. The next
 * one deletes it without RETR (P07). But the server may have carried QUIT out, and given
 * the unique-id to what came since; so where it has TOP the header is compared with the
 * print first, at the price of one flight. Another message is collected. So it is with what
 * was deleted and is listed again. */
#include <stdlib.h>

#include "print.h"
#include "session.h"

enum { WINDOW = 1000 };

/* Deleted with QUIT confirmed, and listed again: the deletion came undone (kept.c), or the
 * unique-id is another message's now. */
static bool
undone(const struct pop_message *m)
{
	return m->fate == POP_VERIFY && m->known == POP_SETTLED;
}

static bool
to_prove(const struct pop_session *s, size_t i)
{
	const struct pop_message *m = &s->messages[i];
	bool owed = m->fate == POP_DELETE && s->poll->account->keep_s == 0;

	return m->print != 0 && (owed || undone(m));
}

static bool
prove(struct pop_session *s, size_t i)
{
	struct pop_message *m = &s->messages[i];
	struct span head;
	bool got;

	if (!pop_peek_read(s, i, &got))
		return false;
	if (!got)
		return true;
	head = buf_span(&s->head);
	bool same = pop_print_compare(m->print, head, m->octets) == PRINT_SAME;
	if (undone(m)) {
		/* Two alarms whose header tells nothing are two mails: RETR decides. */
		if (!same || !pop_print_tells(head))
			return true;
		m->fate = POP_DELETE;
		s->plan.verify--;
		s->plan.delete ++;
		s->kept_again++;
	} else if (!same) {
		m->fate = POP_VERIFY;
		s->plan.delete --;
		s->plan.verify++;
	}
	return true;
}

/* From *at on, a window of them. */
static bool
prove_some(struct pop_session *s, size_t *at)
{
	size_t most = s->caps.pipelining ? WINDOW : 1, n = 0, end = *at;

	for (; end < s->listing.n && n < most; end++) {
		if (!to_prove(s, end))
			continue;
		if (!pop_peek_send(s, end))
			return false;
		n++;
	}
	if (n > 0 && !pop_flush(s))
		return false;
	for (; *at < end; *at += 1)
		if (to_prove(s, *at) && !prove(s, *at))
			return false;
	return true;
}

bool
pop_owed_prove(struct pop_session *s)
{
	if (!s->caps.top || s->plan.delete + s->plan.verify == 0)
		return true;
	s->stage = POP_AT_RETR;
	for (size_t at = 0; at < s->listing.n; pop_progress(s))
		if (!prove_some(s, &at))
			return false;
	return true;
}
