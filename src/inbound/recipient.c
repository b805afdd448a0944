/* recipient: whom a message on its way in is for. route/rcpt and route/roll decide; the rows
 * are made here, as the store is to have them. */
#include <stdlib.h>
#include <string.h>

#include "mail.h"

#include "postern/address.h"
#include "postern/clock.h"
#include "postern/must.h"

enum { RESOLVE_MEMORY = 16 * 1024 * 1024 /* while one address is resolved */ };

/* ---- rows ---- */

/* The row, which may be the next one. */
static struct submission_recipient *
row_room(struct mail *m, size_t row)
{
	if (row < m->job.n)
		return &m->recipients[row];
	if (m->job.n == 0) {
		m->recipients = &m->one;
		m->cap = 1;
	} else if (m->job.n == m->cap) {
		size_t cap = m->cap * 4;
		struct submission_recipient *more = calloc(cap, sizeof(*more));

		if (!more)
			abort();
		MUST(m->recipients != NULL);
		memcpy(more, m->recipients, m->job.n * sizeof(*more));
		if (m->recipients != &m->one)
			free(m->recipients);
		m->recipients = more;
		m->cap = cap;
	}
	return &m->recipients[m->job.n++];
}

/* Most recipients go where the one before goes, and were asked for as the same list. What is
 * kept lives as long as the mail: the routes and the directory may be others by then. */
static struct span
kept_again(struct mail *m, struct span before, struct span s)
{
	if (s.n == 0)
		return (struct span){ "", 0 };
	return span_eq(before, s) ? before : mail_keep(m, s);
}

/* Without the code, as the store keeps it. */
static struct span
reply_kept(struct mail *m, enum smtp_refusal why, struct span said, int *code)
{
	AUTO(buf_done) struct buf b = BUF_MAX(SMTP_TEXT_SIZE + 16);
	char text[SMTP_TEXT_SIZE];
	struct smtp_reply reply = rcpt_reply(why, said, text);

	*code = reply.code;
	if (!buf_addf(&b, "%s %s", reply.esc ? reply.esc : "",
			    reply.text ? reply.text : ""))
		return (struct span){ NULL, 0 };
	return mail_keep(m, span_trim(buf_span(&b)));
}

/* It is held until somebody says who gets it (E13), or goes to Badmail. */
static void
nobody(const struct mail *m, struct submission_recipient *out)
{
	bool held = m->hold.n > 0;

	out->state = held ? QUEUE_HELD : QUEUE_REFUSED;
	out->hop = held ? SPAN(QUEUE_HOP_UNROUTED) : SPAN(QUEUE_HOP_BADMAIL);
	out->reason = held		    ? m->hold
			: m->badmail.n > 0  ? m->badmail
			: m->fallback.n > 0 ? m->fallback
					    : SPAN("no-recipients");
}

/* A collected message, and a Pickup file, is kept for those who are refused, too: Badmail,
 * replayable (E11). A fallback that may not be used leaves it without a recipient (E13). */
static bool
refused(struct mail *m, const struct roll_entry *e, struct submission_recipient *out)
{
	out->state = QUEUE_REFUSED;
	out->hop = SPAN(QUEUE_HOP_BADMAIL);
	out->reply = reply_kept(m, e->why, e->said, &out->code);
	out->reason = m->fallback.n > 0 ? m->fallback : span_of(rcpt_reason(e->why));
	return out->reply.p;
}

static bool
put(void *host, size_t row, const struct roll_entry *e)
{
	struct mail *m = host;
	const struct submission_recipient first = { .hop = { "", 0 } };
	const struct submission_recipient *last =
			m->job.n > 0 ? &m->recipients[m->job.n - 1] : &first;
	struct submission_recipient what = { .address = mail_keep(m, e->address) };

	if (!what.address.p)
		return false;
	if (e->refused) {
		if (!refused(m, e, &what))
			return false;
	} else if (e->hop) {
		what.hop = kept_again(m, last->hop, span_of(e->hop->key));
		what.asked = kept_again(m, last->asked, e->asked);
		what.asked_list = e->asked_list;
		if (!what.hop.p || !what.asked.p)
			return false;
	} else {
		nobody(m, &what);
	}
	*row_room(m, row) = what;
	return true;
}

static bool
members(void *host, size_t n)
{
	struct mail *m = host;

	if (*m->members + n > ROLL_MEMBERS_MAX)
		return false;
	*m->members += n;
	return true;
}

static void
seed(void *host, uint64_t number[2])
{
	(void)host;
	clock_random(number, 2 * sizeof(*number));
}

static void
refuse(void *host, size_t row, enum smtp_refusal why)
{
	struct mail *m = host;
	struct submission_recipient *to = &m->recipients[row];

	if (to->state != QUEUE_QUEUED && to->state != QUEUE_HELD)
		return;
	to->state = QUEUE_REFUSED;
	to->hop = SPAN(QUEUE_HOP_BADMAIL);
	to->reply = reply_kept(m, why, to->address, &to->code);
	to->reason = span_of(rcpt_reason(why));
}

static const struct roll_calls calls = {
	.put = put, .members = members, .seed = seed, .refuse = refuse
};

/* ---- the door of this file ---- */

void
recipient_begin(struct inbound *in, struct mail *m)
{
	m->members = &in->members;
	roll_init(&m->roll, &calls, m, &m->arena, STORE_RECIPIENTS_MAX, false);
}

void
recipient_end(struct mail *m)
{
	*m->members -= m->roll.members;
	roll_done(&m->roll);
	if (m->recipients != &m->one)
		free(m->recipients);
}

bool
recipient_hops(struct mail *m, unsigned hops, unsigned most)
{
	if (!roll_hops(&m->roll, hops, most))
		return true;
	if (m->hold.n > 0) { /* somebody would only send it on its way again */
		m->hold = SPAN("");
		m->badmail = span_of(rcpt_reason(SMTP_REFUSE_HOPS));
	}
	return false;
}

void
recipient_none(struct mail *m)
{
	struct submission_recipient *to = row_room(m, 0);

	*to = (struct submission_recipient){ .address = { "", 0 } };
	nobody(m, to);
}

static struct smtp_reply
answer(struct inbound *in, struct mail *m, const struct smtp_path *path, char *text)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(RESOLVE_MEMORY);
	const struct rcpt_rules rules = hub_rules(in->hub);
	enum smtp_refusal why;
	struct rcpt rc;

	m->roll.keeps = m->collected || m->picked;
	if (!rcpt_decide(&rules, path, m->relay_client, &a, &rc))
		return smtp_refuse(SMTP_REFUSE_BUSY);
	/* The collector may have decided that nobody gets it. */
	bool taken = m->badmail.n > 0 || m->hold.n > 0
			? roll_nobody(&m->roll, &rc, &why)
			: roll_take(&m->roll, &rules, &rc, &why);
	return taken ? SMTP_YES : rcpt_reply(why, rc.said, text);
}

/* Of whom there is nothing is told (S25): only whether RCPT would take the domain. */
struct smtp_reply
mail_vrfy(const struct inbound *in, const struct smtp_path *path, bool may_relay,
		char *text)
{
	char canon[ADDRESS_DOMAIN_MAX + 1] = "";

	if (may_relay || path->domain.n == 0 ||
			(domain_canon(path->domain, canon) &&
					rcpt_is_ours(in->hub->directory,
							span_of(canon))))
		return SMTP_YES;
	return smtp_refuse_for(SMTP_REFUSE_RELAY, path->mailbox, text);
}

struct smtp_reply
mail_rcpt(struct inbound *in, struct mail *m, const struct smtp_path *path, char *text)
{
	struct smtp_reply reply = answer(in, m, path, text);

	m->put_off = m->put_off || (reply.code >= 400 && reply.code < 500);
	return reply;
}
