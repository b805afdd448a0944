/* A message on its way to the relay: its octets, and what becomes of it. */
#include <string.h>

#include "message.h"
#include "postern/clock.h"
#include "postern/date.h"
#include "postern/log.h"

/* "250 2.6.0 <...> Queued mail for delivery, id QUEUEID" */
static struct span
queue_id(struct span reply)
{
	size_t space = span_rfind(reply, ' ');

	return space < reply.n ? span_skip(reply, space + 1) : SPAN("");
}

/* What its unique-id was another message's for is still to be known. */
static void
forget_troubles(struct pop_session *s, size_t i)
{
	struct span uid = pop_listing_uid(&s->listing, i);

	fetch_memo_forget(s->poll->memo, uid);
	if (s->messages[i].changed) {
		struct memo_message *m = fetch_memo_get(s->poll->memo, uid);
		if (m)
			m->verified = true;
	}
}

/* 4034: what `unrouted` calls it is known when it is durable. */
static void
say_held(struct pop_session *s, const struct fetch_flight *f, struct span id)
{
	log_event(EVENT_NOBODY_FOUND_HELD,
			FIELDS(f_span("account", s->poll->name), f_span("id", id),
					f_span("uidl", f->collect.uidl),
					f_span("unrouted", id)));
}

static void
collected(struct pop_session *s, struct fetch_flight *f, const struct verdict *v)
{
	struct fetch_result *r = &s->poll->result;
	bool had = strcmp(v->esc, SMTP_ESC_HAD) == 0;

	s->fresh++;
	if (!had && f->collect.hold.n > 0)
		say_held(s, f, queue_id(span_of(v->text)));
	if (f->notice) {
		r->notices++;
		return;
	}
	s->messages[f->index].durable = s->poll->account->keep_s == 0;
	if (had) {
		r->known++;
	} else {
		r->collected++;
		r->octets += f->octets;
		r->recipients += f->accepted;
		r->refused += f->refused;
		pop_newcomer_count(s, f);
	}
	forget_troubles(s, f->index);
	if (!had && log_wants(1))
		log_event(EVENT_MESSAGE_COLLECTED,
				FIELDS(f_span("account", s->poll->name),
						f_span("id", queue_id(span_of(v->text))),
						f_span("uidl", f->collect.uidl),
						f_num("bytes", (int64_t)f->octets)));
	if (s->poll->account->keep_s > 0 && log_wants(2)) {
		char until[DATE_ISO_SIZE];

		date_iso(clock_wall_ms() + s->poll->account->keep_s * 1000, until);
		log_event(EVENT_MESSAGE_KEPT,
				FIELDS(f_span("account", s->poll->name),
						f_span("id", f->trace),
						f_span("uidl", f->collect.uidl),
						f_str("until", until)));
	}
}

void
pop_message_settled(void *host, struct fetch_flight *f, const struct verdict *v)
{
	struct pop_session *s = host;

	if (f->abandoned)
		return;
	switch (v->fate) {
	case FATE_DELIVERED:
		collected(s, f, v);
		break;
	case FATE_DEFERRED:
		s->relay_down = true;
		(void)pop_fail(s, EVENT_SUBMISSION_DEFERRED, "%s", v->text);
		break;
	case FATE_BOUNCED:
		s->poll->result.failures++;
		log_event(EVENT_SUBMISSION_REFUSED,
				FIELDS(f_span("account", s->poll->name),
						f_span("id", f->trace),
						f_str("reply", v->text),
						f_str("disposition",
								"left at the provider")));
		pop_attempt_failed(s, f->index, span_of(v->text));
		break;
	}
	fetch_poll_publish(s->poll);
}

static bool
relay_failed(struct pop_session *s, const char *why)
{
	s->relay_down = true;
	return pop_fail(s, EVENT_SUBMISSION_DEFERRED, "%s", why);
}

static bool
begin(struct reading *r)
{
	struct pop_session *s = r->s;
	struct err err;

	if (!s->submit)
		s->submit = fetch_submit_open(
				&(struct fetch_submit_options){
						.socket = s->poll->setup->socket,
						.hostname = span_of(
								s->poll->setup->conf
										->server
										.hostname),
						.account = s->poll->name,
						.cancel = s->poll->cancel,
						.ring = &s->poll->ring,
						.settled = pop_message_settled,
						.host = s,
				},
				&err);
	if (!s->submit)
		return relay_failed(s, err.text);
	r->begun = true;
	return fetch_submit_begin(s->submit, r->flight) ||
			relay_failed(s, fetch_submit_error(s->submit));
}

static bool
push(struct reading *r, bool last)
{
	struct pop_session *s = r->s;

	if (!r->begun && reading_replaced(r, buf_span(&s->out))) {
		r->replaced = r->drop = true;
		buf_clear(&s->out);
		return true;
	}
	if (!r->begun && !begin(r))
		return false;
	r->flight->octets = r->octets;
	if (!fetch_submit_body(s->submit, buf_span(&s->out), last))
		return relay_failed(s, fetch_submit_error(s->submit));
	buf_clear(&s->out);
	return true;
}

bool
reading_add(struct reading *r, struct span bytes)
{
	struct buf *out = &r->s->out;

	while (bytes.n > 0 && !r->drop) {
		struct span now = span_first(bytes, out->max - out->n);

		if (!buf_add(out, now))
			return false;
		bytes = span_skip(bytes, now.n);
		if (out->n == out->max && !push(r, false))
			return false;
	}
	return true;
}

bool
reading_give_up(struct reading *r, const char *why)
{
	struct pop_session *s = r->s;

	if (r->begun) {
		r->flight->abandoned = true;
		fetch_submit_abandon(s->submit, why);
		fetch_submit_close(s->submit);
		s->submit = NULL;
	}
	fetch_flight_free(r->flight);
	r->flight = NULL;
	return false;
}

bool
reading_end(struct reading *r)
{
	if (!push(r, true))
		return reading_give_up(r, "the relay failed");
	if (r->flight->over)
		fetch_flight_free(r->flight);
	else
		r->flight->reading = false;
	return true;
}
