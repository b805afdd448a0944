/* What waits at the provider: LIST and UIDL are asked for and read, in one flight where the
 * server can, one by one where it cannot; and where it refuses LIST, STAT tells whether there
 * is nothing to list. */
#include <string.h>

#include "postern/log.h"
#include "postern/num.h"
#include "session.h"

static bool
list_rows(struct pop_session *s)
{
	struct err err = { 0 };

	if (pop_listing_read_sizes(&s->listing, &s->wire, &err))
		return true;
	return err.event ? pop_fail(s, err.event, "%s", err.text) : pop_lost(s);
}

static bool
read_list(struct pop_session *s)
{
	struct span text;

	s->stage = POP_AT_LIST;
	switch (pop_status(&s->wire, &text)) {
	case POP_OK:
		break;
	case POP_ERR:
		s->listing_refused = true;
		text = span_first(text, sizeof(s->list_said) - 1);
		memcpy(s->list_said, text.p, text.n);
		s->list_said[text.n] = '\0';
		return true;
	case POP_ODD:
		return pop_odd(s, text);
	case POP_LOST:
		return pop_lost(s);
	}
	return list_rows(s);
}

static bool
read_uidl(struct pop_session *s)
{
	struct span text;
	struct err err = { 0 };

	s->stage = POP_AT_UIDL;
	switch (pop_status(&s->wire, &text)) {
	case POP_OK:
		break;
	case POP_ERR:
		/* Where it has unique-ids but will not tell them now, going by content
		 * would bring everything that was kept a second time. */
		if (s->caps.uidl && s->listing.n > 0)
			return pop_refused(s, EVENT_UNEXPECTED_RESPONSE, text);
		pop_listing_no_uids(&s->listing);
		return true;
	case POP_ODD:
		return pop_odd(s, text);
	case POP_LOST:
		return pop_lost(s);
	}
	if (pop_listing_read_uids(&s->listing, &s->wire, &err))
		return true;
	if (s->listing_refused) /* there are some: that is what went wrong */
		return pop_refused(s, EVENT_UNEXPECTED_RESPONSE, span_of(s->list_said));
	return err.event ? pop_fail(s, err.event, "%s", err.text) : pop_lost(s);
}

/* LIST, and UIDL unless LIST shows that there is nothing to be named. */
static bool
ask_listing(struct pop_session *s)
{
	bool slowly = s->listing_asked || !s->caps.pipelining;
	enum pop_flight how = s->listing_asked ? pop_fast_wait(s) : FLIGHT_LOST;

	if (how == FLIGHT_ENDED)
		return false;
	if (how != FLIGHT_LOST)
		return (how == FLIGHT_LATE ? list_rows(s) : read_list(s)) &&
				read_uidl(s) && pop_fast_landed(s, how);
	if (!pop_command(s, "LIST\r\n"))
		return false;
	if (!slowly)
		return pop_command(s, "UIDL\r\n") && pop_flush(s) && read_list(s) &&
				read_uidl(s);
	if (!pop_flush(s) || !read_list(s))
		return false;
	return s->listing.n == 0 ||
			(pop_command(s, "UIDL\r\n") && pop_flush(s) && read_uidl(s));
}

/* LIST was refused: some servers do so where there is nothing to list. STAT tells. */
static bool
is_empty(struct pop_session *s)
{
	struct span text;
	uint64_t n;

	s->stage = POP_AT_LIST;
	if (!pop_command(s, "STAT\r\n") || !pop_flush(s))
		return false;
	switch (pop_status(&s->wire, &text)) {
	case POP_OK:
		if (num_u64(span_word(&text), LISTING_MESSAGES, &n) && n == 0)
			return true;
		break;
	case POP_ERR:
		break;
	case POP_ODD:
		return pop_odd(s, text);
	case POP_LOST:
		return pop_lost(s);
	}
	return pop_refused(s, EVENT_UNEXPECTED_RESPONSE, span_of(s->list_said));
}

bool
pop_survey(struct pop_session *s)
{
	s->stage = POP_AT_LIST;
	s->low.quota = 3 * (uint64_t)LISTING_BYTES;
	if (!ask_listing(s) || (s->listing_refused && !is_empty(s)))
		return false;
	if (pop_early(&s->wire))
		return pop_fail(s, EVENT_UNEXPECTED_RESPONSE,
				"the server speaks before it is asked");
	pop_listing_sort(&s->listing);
	if (s->listing.unnamed > 0)
		log_event(EVENT_UIDL_UNUSABLE,
				FIELDS(f_span("account", s->poll->name),
						f_num("duplicates",
								(int64_t)s->listing
										.twins)));
	return true;
}
