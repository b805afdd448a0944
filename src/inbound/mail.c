/* mail: one message on its way in, from MAIL to the answer of the store. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copies.h"

#include "postern/address.h"
#include "postern/clock.h"
#include "postern/log.h"
#include "postern/qid.h"
#include "postern/smtp_body.h"
#include "postern/trace.h"

enum {
	GATHER = 128 * 1024, /* small pieces are written to the spool together */
	PIECE_LARGE = 32 * 1024,
	MESSAGE_ID_MAX =
			900, /* longer ones are not worth keeping: RFC 5322 has 998 a line */
	MAIL_MEMORY = 256 * 1024, /* beside what each recipient may take */
	RECIPIENT_MEMORY = 2048,
	/* What the members of lists may take: enough for the longest addresses, so that a
	 * list is never taken in part. */
	LIST_MEMORY = STORE_RECIPIENTS_MAX * 640,
};

static uint32_t
most_recipients(const struct inbound *in, const struct mail_client *client)
{
	return client->internal ? STORE_RECIPIENTS_MAX
				: in->hub->conf->smtp.limits.recipients;
}

/* As it is kept and sent: the domain as A-labels (E5). The engine saw that it has some. */
struct span
mail_wire(struct mail *m, const struct smtp_path *path)
{
	char canon[ADDRESS_DOMAIN_MAX + 1];

	if (!smtp_is_utf8(path->domain) || !domain_canon(path->domain, canon))
		return mail_keep(m, path->mailbox);

	struct span domain = span_of(canon);
	char *p = arena_alloc(&m->arena, path->local.n + 1 + domain.n);
	if (!p)
		return (struct span){ NULL, 1 };
	memcpy(p, path->local.p, path->local.n);
	p[path->local.n] = '@';
	memcpy(p + path->local.n + 1, domain.p, domain.n);
	return (struct span){ p, path->local.n + 1 + domain.n };
}

struct mail *
mail_new(struct inbound *in, const struct smtp_mail *said,
		const struct mail_client *client)
{
	struct mail *m = calloc(1, sizeof(*m));

	if (!m)
		abort();
	m->arena = ARENA_MAX(MAIL_MEMORY + LIST_MEMORY +
			(size_t)most_recipients(in, client) * RECIPIENT_MEMORY);
	m->head = BUF_MAX(BODY_BLOB_MAX);
	m->gather = BUF_MAX(GATHER + PIECE_LARGE);
	m->top = BUF_MAX(4096);
	heading_init(&m->heading);
	list_init(&m->link);
	list_init(&m->job.job.link);
	m->began_ms = loop_now_ms(in->hub->loop);
	m->relay_client = client->may_relay;
	recipient_begin(in, m);
	m->job.job.work = STORE_SUBMIT;
	m->job.id = store_new_id(in->hub->store, clock_wall_ms());
	m->job.spool_fd = -1;
	m->job.sender = mail_wire(m, &said->sender);
	m->utf8 = said->utf8;
	m->collected = said->collected;
	if (said->collected) {
		m->job.account = mail_keep(m, said->collect.account);
		m->job.uidl = mail_keep(m, said->collect.uidl);
		m->job.print = said->collect.print;
		m->provider = mail_keep(m, said->collect.provider);
		m->ip = mail_keep(m, said->collect.ip);
		m->tls = said->collect.tls;
		m->badmail = mail_keep(m, said->collect.badmail);
		m->hold = mail_keep(m, said->collect.hold);
		m->fallback = mail_keep(m, said->collect.fallback);
		copies_begin(m, !said->collect.copies);
	} else {
		m->provider = mail_keep(m, client->helo);
		m->ip = mail_keep(m, client->ip);
		m->tls = client->tls;
	}
	m->counted = true;
	store_about_to_end(in->hub->store, 1);
	return m;
}

void
mail_uncount(struct inbound *in, struct mail *m)
{
	if (m->counted)
		store_about_to_end(in->hub->store, -1);
	m->counted = false;
}

size_t
mail_weight(const struct mail *m)
{
	return m->head.cap + m->gather.cap;
}

void
mail_free(struct inbound *in, struct mail *m)
{
	if (!m)
		return;
	mail_uncount(in, m);
	list_del(&m->link);
	if (m->job.spool_fd >= 0)
		(void)close(m->job.spool_fd);
	copies_end(m);
	sum_free(m->sum);
	heading_done(&m->heading);
	buf_done(&m->head);
	buf_done(&m->gather);
	buf_done(&m->top);
	recipient_end(m);
	arena_done(&m->arena);
	free(m);
}

void
mail_drop(struct inbound *in, struct mail *m)
{
	if (!m)
		return;
	in->receiving -= mail_weight(m);
	if (m->job.spool_fd >= 0)
		spool_remove(in->hub->store, m->job.id);
	mail_free(in, m);
}

bool
mail_route(struct mail *m, struct span route)
{
	m->job.route = mail_keep(m, route);
	return route.n == 0 || m->job.route.p;
}

/* ---- body ---- */

static struct smtp_reply
spool_failed(struct inbound *in, struct mail *m, const struct err *e)
{
	if (!in->spool_told) { /* once, until a write succeeds again */
		log_err(e, m->job.account, (struct span){ NULL, 0 });
		in->spool_told = true;
	}
	return smtp_refuse(SMTP_REFUSE_BUSY);
}

static struct smtp_reply
spool_out(struct inbound *in, struct mail *m, struct span bytes)
{
	struct err e = { 0 };

	if (!spool_write(m->job.spool_fd, bytes, &m->job.spool_size, &e))
		return spool_failed(in, m, &e);
	sum_add(m->sum, bytes);
	in->spool_told = false;
	return SMTP_LATER;
}

/* What was in memory goes to the file. */
static struct smtp_reply
spool_begin(struct inbound *in, struct mail *m)
{
	struct err e = { 0 };

	mail_uncount(in, m); /* this one will take a while */
	m->job.spool_fd = spool_create(in->hub->store, m->job.id, &e);
	if (m->job.spool_fd < 0)
		return spool_failed(in, m, &e);
	m->job.spool_sum = m->sum = sum_new();

	struct smtp_reply reply = spool_out(in, m, buf_span(&m->head));
	buf_done(&m->head);
	return reply;
}

static struct smtp_reply
gather_out(struct inbound *in, struct mail *m)
{
	if (m->gather.n == 0)
		return SMTP_LATER;

	struct smtp_reply reply = spool_out(in, m, buf_span(&m->gather));
	buf_clear(&m->gather);
	return reply;
}

static struct smtp_reply
body_add(struct inbound *in, struct mail *m, struct span piece)
{
	if (m->job.spool_fd < 0) {
		if (piece.n <= BODY_BLOB_MAX - m->head.n &&
				in->receiving < RECEIVING_MAX &&
				buf_add(&m->head, piece))
			return SMTP_LATER;
		struct smtp_reply reply = spool_begin(in, m);
		if (reply.code != 0)
			return reply;
	}
	if (m->gather.n == 0 && piece.n >= PIECE_LARGE)
		return spool_out(in, m, piece);
	while (piece.n > 0) {
		size_t n = GATHER - m->gather.n < piece.n ? GATHER - m->gather.n
							  : piece.n;

		(void)!buf_add(&m->gather, span_first(piece, n));
		piece = span_skip(piece, n);
		if (m->gather.n == GATHER) {
			struct smtp_reply reply = gather_out(in, m);
			if (reply.code != 0)
				return reply;
		}
	}
	return SMTP_LATER;
}

struct smtp_reply
mail_body(struct inbound *in, struct mail *m, struct span piece)
{
	size_t before = mail_weight(m);
	struct smtp_reply reply = body_add(in, m, piece);

	copies_body(m, piece);
	heading_feed(&m->heading, piece);
	trace_hops_feed(&m->hops, piece);
	in->receiving += mail_weight(m) - before;
	return reply;
}

/* ---- the whole of it ---- */

/* Its own, or one made from the queue id: stable whatever happens (H07). */
static void
find_message_id(struct inbound *in, struct mail *m)
{
	struct buf b = BUF_MAX(MESSAGE_ID_MAX + 2);
	struct span id = heading_get(&m->heading, HEADING_MESSAGE_ID);
	char qid[QID_SIZE];

	if (m->heading.cut[HEADING_MESSAGE_ID] && span_find(id, '>') == id.n)
		id.n = 0; /* its end is not here */
	if (id.n > 0)
		id = trace_message_id(&m->arena, id);
	qid_print(m->job.id, qid);
	if (id.n == 0 || id.n > MESSAGE_ID_MAX) {
		if (buf_addf(&b, "<%s@%s>", qid, in->hub->conf->server.hostname))
			m->job.message_id = mail_keep(m, buf_span(&b));
	} else if (buf_addc(&b, '<') && buf_add(&b, id) && buf_addc(&b, '>')) {
		m->job.message_id = mail_keep(m, buf_span(&b));
	}
	buf_done(&b);
}

static void
stamp(struct inbound *in, struct mail *m, const struct mail_client *client)
{
	char qid[QID_SIZE];
	const char *with = "SMTP";

	qid_print(m->job.id, qid);
	if (m->collected)
		with = m->tls ? "POP3S" : "POP3";
	else if (m->picked)
		with = "local";
	else if (m->utf8) /* RFC 6531 4.3 */
		with = m->tls ? "UTF8SMTPS" : "UTF8SMTP";
	else if (client->esmtp)
		with = m->tls ? "ESMTPS" : "ESMTP";
	/* `for` only with exactly one recipient: RFC 5321 7.2, E12. */
	bool one = m->job.n == 1 && m->recipients[0].state == QUEUE_QUEUED;
	(void)!trace_print(&m->top,
			&(struct trace_stamp){ .from = m->provider,
					.ip = m->ip,
					.by = span_of(in->hub->conf->server.hostname),
					.with = span_of(with),
					.id = span_of(qid),
					.recipient = one ? m->recipients[0].address
							 : (struct span){ NULL, 0 },
					.collected = m->collected || m->picked,
					.at_s = m->job.arrived_ms / 1000 });
	m->job.top = buf_span(&m->top);
}

/* E10 (a), S21. */
static void
say_hops(struct mail *m)
{
	char qid[QID_SIZE];

	qid_print(m->job.id, qid);
	log_event(EVENT_HOP_COUNT,
			FIELDS(f_span("account", m->job.account), f_str("id", qid),
					f_span("from",
							heading_get(&m->heading,
									HEADING_FROM)),
					f_span("subject",
							heading_get(&m->heading,
									HEADING_SUBJECT))));
}

struct smtp_reply
mail_whole(struct inbound *in, struct mail *m, const struct smtp_commit *commit,
		const struct mail_client *client)
{
	struct smtp_reply reply = gather_out(in, m);

	if (reply.code != 0)
		return reply;
	/* What was collected is deleted at the provider once we have it, and nobody comes
	 * again with the rest of its recipients. */
	if (m->collected && m->put_off)
		return smtp_refuse(SMTP_REFUSE_BUSY);
	m->job.arrived_ms = clock_wall_ms();
	if (!recipient_hops(m, m->hops.hops, in->hub->conf->smtp.max_hops)) {
		say_hops(m);
		if (!m->collected && !m->picked)
			return smtp_refuse(SMTP_REFUSE_HOPS);
	}
	if (m->job.n == 0)
		recipient_none(m);
	m->job.recipients = m->recipients;
	m->job.flags = (commit->eight_bit ? MESSAGE_8BIT : 0u) |
			(commit->bare || commit->nul ? MESSAGE_BARE : 0u) |
			(m->utf8 ? MESSAGE_UTF8 : 0u) |
			(m->relay_client ? 0u : MESSAGE_POLICY);
	find_message_id(in, m);
	stamp(in, m, client);
	if (smtp_is_utf8(m->job.top)) /* `for` somebody who is not ASCII */
		m->job.flags |= MESSAGE_8BIT;
	copies_whole(in, m);

	struct buf source = BUF_MAX(1024);
	if (buf_add(&source, m->provider) &&
			(m->ip.n == 0 ||
					buf_addf(&source, " [" SPAN_FMT "]",
							SPAN_ARG(m->ip))))
		m->job.source = mail_keep(m, buf_span(&source));
	buf_done(&source);
	if (m->job.spool_fd < 0)
		m->job.body = m->head.n > 0 ? buf_span(&m->head) : SPAN("");
	m->job.job.result = STORE_FAILED;
	return SMTP_LATER;
}

/* ---- what the store said ---- */

static void
say_queued(struct mail *m)
{
	char qid[QID_SIZE];

	if (!log_wants(1))
		return;
	qid_print(m->job.id, qid);
	struct field id = f_str("id", qid), sender = f_span("sender", m->job.sender);
	if (!m->collected && !m->picked) /* the collector says 2003, Pickup 5101 */
		log_event(EVENT_MESSAGE_RECEIVED,
				FIELDS(id, sender, f_span("host", m->job.source),
						f_num("recipients",
								(int64_t)m->job.n)));
	if (log_wants(2) && copies_left(m) > 0)
		log_event(EVENT_QUEUED,
				FIELDS(f_span("account", m->job.account), id, sender,
						f_num("recipients",
								(int64_t)copies_left(
										m))));
}

struct smtp_reply
mail_answer(struct inbound *in, struct mail *m, char *text)
{
	struct span nudged = { NULL, 0 };

	if (m->job.job.result != STORE_DONE && m->job.spool_fd >= 0)
		spool_remove(in->hub->store, m->job.id);
	switch (m->job.job.result) {
	case STORE_DONE:
		break;
	case STORE_HAD:
		return smtp_have_it();
	case STORE_FULL:
		return smtp_refuse(SMTP_REFUSE_BUSY);
	case STORE_BUSY:
	case STORE_FAILED:
		return smtp_refuse(SMTP_REFUSE_STORE);
	}
	say_queued(m);
	copies_say(in, m);
	for (size_t i = 0; i < m->job.n; i++) {
		const struct submission_recipient *to = &m->recipients[i];

		if (copies_is(m, i)) /* settled: nothing is due for it */
			continue;
		if (to->state == QUEUE_REFUSED && to->code != 0)
			in->hub->sum.refused++;
		if (to->state == QUEUE_HELD || span_eq(to->hop, nudged))
			continue;
		nudged = to->hop;
		in->queued(in->host, nudged);
	}
	return smtp_queued(m->job.message_id, m->job.id, text);
}
