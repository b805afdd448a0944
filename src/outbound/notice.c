/* notice: who is told that collected mail could not be delivered (E9, SPEC promise 4).
 *
 * Nobody outside: the postmaster of the recipient's domain, or ours, when the relay would
 * take mail for them and they are not the ones who failed. The notice is queued in the
 * transaction that settles the attempt (postern/notice.h); the message itself goes to
 * Badmail as ever. Nothing is written about a notice, nor about what was refused at RCPT. */
#include "notice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/address.h"
#include "postern/body.h"
#include "postern/clock.h"
#include "postern/failure.h"
#include "postern/header.h"
#include "postern/log.h"
#include "postern/must.h"
#include "postern/qid.h"
#include "postern/smtp_path.h"

enum {
	PICKS_MAX = 32, /* domains of one settlement that are looked at */
	LETTER_MEMORY = 256 * 1024, /* beside its text */
	TARGETS_MAX = 100, /* of a postmaster who is a list */
	LOOK_MS = 60 * 1000, /* for windows that are over */
	LOOK_MEMORY = 64 * 1024,
};

/* One message to one postmaster. */
struct letter {
	struct letter *next;
	struct notice notice;
	struct span address; /* whom it is written to */
	struct submission_recipient *to; /* whom that leads to */
	size_t n_to;
	struct arena arena;
	struct buf text;
};

/* Who is told about recipients of a domain. */
struct pick {
	char domain[ADDRESS_DOMAIN_MAX + 1];
	struct letter *letter; /* NULL: nobody can be */
};

/* About the recipients of one lease. */
struct notices {
	struct letter *letters; /* its own */
	struct pick picks[PICKS_MAX];
	size_t n;
};

/* A notice about notices. */
struct digest {
	struct notice_digest job;
	struct letter *letter;
	struct buf postmaster;
};

static void
letter_free(struct letter *l)
{
	if (!l)
		return;
	arena_done(&l->arena);
	buf_done(&l->text);
	free(l);
}

void
notices_free(struct notices *all)
{
	if (!all)
		return;
	while (all->letters) {
		struct letter *l = all->letters;

		all->letters = l->next;
		letter_free(l);
	}
	free(all);
}

/* ---- whom ---- */

static bool
failed(const struct lease *l, size_t i)
{
	const struct settle_recipient *out = &l->results[i];

	return !l->open[i] && out->attempted && out->state == QUEUE_BOUNCED;
}

static bool
domain_of(struct span address, char canon[ADDRESS_DOMAIN_MAX + 1])
{
	struct smtp_path path;

	return smtp_mailbox_parse(address, &path) && path.domain.n > 0 &&
			domain_canon(path.domain, canon);
}

static bool
has_failed(const struct lease *l, struct span address)
{
	for (size_t i = 0; i < l->m->n; i++)
		if (failed(l, i) &&
				span_eq_nocase(l->m->recipients[i].address, address))
			return true;
	return false;
}

/* Whom mail for its address would reach, as at RCPT; 0: nobody. All of it in the letter's
 * arena: the store reads it later, and the directory may be another one by then. */
static size_t
targets_of(struct settling *s, struct letter *l)
{
	const struct rcpt_rules rules = hub_rules(s->hub);
	struct smtp_path path;
	struct rcpt rc;

	if (!smtp_mailbox_parse(l->address, &path) ||
			!rcpt_decide(&rules, &path, false, &l->arena, &rc) ||
			!rc.accepted)
		return 0;
	size_t n = rc.n < TARGETS_MAX ? rc.n : TARGETS_MAX;
	l->to = arena_alloc(&l->arena, n * sizeof(*l->to));
	for (size_t i = 0; l->to && i < n; i++) {
		const struct nexthop *hop = rcpt_hop(&rules, rc.v[i].domain);

		l->to[i] = (struct submission_recipient){
			.address = arena_dup(&l->arena, rc.v[i].address),
			.hop = arena_dup(&l->arena, span_of(hop->key)),
			.state = QUEUE_QUEUED,
		};
		if (!l->to[i].hop.p || !l->to[i].address.p)
			return 0;
	}
	return l->to ? n : 0;
}

/* An empty letter to that address, when mail for it would be accepted. */
static struct letter *
letter_to(struct settling *s, struct span address)
{
	char canon[ADDRESS_DOMAIN_MAX + 1];
	struct address to = { .kind = ADDRESS_FULL };
	struct letter *l = calloc(1, sizeof(*l));

	if (!l)
		abort();
	l->arena = ARENA_MAX(LETTER_MEMORY);
	l->text = BUF_MAX(FAILURE_NOTICE_MAX);
	if (address_parse(&l->arena, address, &to) && domain_canon(to.domain, canon)) {
		AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);

		to.domain = arena_dup(&l->arena, span_of(canon));
		if (address_wire(&wire, &to))
			l->address = arena_dup(&l->arena, buf_span(&wire));
		if (l->address.p)
			l->n_to = targets_of(s, l);
	}
	l->notice.postmaster = l->address;
	if (l->n_to > 0)
		return l;
	letter_free(l);
	return NULL;
}

/* Domains with the same postmaster share one letter. */
static struct letter *
letter_join(struct notices *all, struct letter *l)
{
	for (struct letter *old = all->letters; old; old = old->next)
		if (span_eq_nocase(old->address, l->address)) {
			letter_free(l);
			return old;
		}
	l->next = all->letters;
	all->letters = l;
	return l;
}

static bool
leads_to_failed(const struct lease *l, const struct letter *letter)
{
	bool failed = has_failed(l, letter->address);

	for (size_t i = 0; i < letter->n_to; i++)
		failed = failed || has_failed(l, letter->to[i].address);
	return failed;
}

static struct letter *
letter_for(struct settling *s, const struct lease *l, struct notices *all,
		const char *domain)
{
	AUTO(buf_done) struct buf own = BUF_MAX(ADDRESS_SIZE);
	struct span ours = span_of(s->hub->conf->server.postmaster);
	struct letter *letter = NULL;

	if (buf_addf(&own, "postmaster@%s", domain) && !has_failed(l, buf_span(&own)))
		letter = letter_to(s, buf_span(&own));
	if (!letter && ours.n > 0)
		letter = letter_to(s, ours);
	if (letter && leads_to_failed(l, letter)) {
		letter_free(letter);
		return NULL;
	}
	return letter ? letter_join(all, letter) : NULL;
}

static struct pick *
pick_find(struct notices *all, struct span address)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];

	if (!domain_of(address, domain))
		return NULL;
	for (size_t i = 0; i < all->n; i++)
		if (strcmp(all->picks[i].domain, domain) == 0)
			return &all->picks[i];
	return NULL;
}

/* Each domain with somebody who failed, once. */
static void
picks_make(struct settling *s, const struct lease *l, struct notices *all)
{
	for (size_t i = 0; i < l->m->n && all->n < PICKS_MAX; i++) {
		struct span address = l->m->recipients[i].address;
		struct pick *p = &all->picks[all->n];

		if (!failed(l, i) || pick_find(all, address) ||
				!domain_of(address, p->domain))
			continue;
		p->letter = letter_for(s, l, all, p->domain);
		all->n++;
	}
}

/* ---- what ---- */

/* What cannot be read now leaves a notice without the subject, and the event of it. Of what is
 * damaged the settlement tells. */
static void
header_unread(const struct lease *l, const struct err *err)
{
	char id[QID_SIZE];

	if (err->event == EVENT_BODY_DAMAGED)
		return;
	qid_print(l->m->id, id);
	log_err(err, l->m->account, span_of(id));
}

/* As much of the message as may be its header. */
static void
header_read(struct settling *s, const struct lease *l, struct buf *out)
{
	struct err err = { 0 };
	struct body *b = body_open_left(s->hub->reader, l->m->id, &err);
	struct span piece = { "", 1 };
	bool read = b != NULL;

	while (read && piece.n > 0 && out->n < out->max) {
		read = body_next(b, &piece, &err);
		if (!read)
			break;
		if (!buf_add(out, span_first(piece, out->max - out->n)))
			break;
		if (header_length(buf_span(out)) < out->n)
			break;
	}
	body_close(b);
	if (!read)
		header_unread(l, &err);
	out->n = header_length(buf_span(out));
}

static struct span
reply_text(struct arena *a, const struct settle_recipient *out)
{
	AUTO(buf_done) struct buf text = BUF_MAX(1024);

	if (out->code == 0 ||
			!buf_addf(&text, "%d " SPAN_FMT, out->code,
					SPAN_ARG(out->reply)))
		return out->reply;
	return arena_dup(a, buf_span(&text));
}

static struct span
tried_text(struct arena *a, const struct lease *l, const struct settle_recipient *out)
{
	char text[40];
	int64_t minutes = (clock_wall_ms() - l->m->arrived_ms) / 60000;

	if (!span_eq(out->reason, SPAN("expired")))
		return (struct span){ "", 0 };
	(void)snprintf(text, sizeof(text), "%lld h %lld min", (long long)(minutes / 60),
			(long long)(minutes % 60));
	return arena_dup(a, span_of(text));
}

/* The letter's submission, but for its text. */
static void
letter_seal(struct settling *s, struct letter *l, uint64_t id)
{
	struct submission *mail = &l->notice.mail;
	AUTO(buf_done) struct buf name = BUF_MAX(512);
	char qid[QID_SIZE];

	qid_print(id, qid);
	if (buf_addf(&name, "<%s@%s>", qid, s->hub->conf->server.hostname))
		mail->message_id = arena_dup(&l->arena, buf_span(&name));
	mail->id = id;
	mail->source = SPAN("this gateway");
	mail->arrived_ms = clock_wall_ms();
	mail->flags = MESSAGE_NOTICE;
	mail->body = buf_span(&l->text);
	mail->spool_fd = -1;
	mail->recipients = l->to;
	mail->n = l->text.n > 0 ? l->n_to : 0;
	if (smtp_is_utf8(mail->body))
		mail->flags |= MESSAGE_8BIT;
	for (size_t i = 0; i < l->n_to; i++) {
		if (smtp_is_utf8(l->to[i].address))
			mail->flags |= MESSAGE_UTF8;
	}
}

static struct failure_letter
letter_top(const struct settling *s, const struct letter *l, const char *qid)
{
	struct span ours = span_of(s->hub->conf->server.postmaster);

	return (struct failure_letter){
		.hostname = span_of(s->hub->conf->server.hostname),
		.from = ours.n > 0 ? ours : l->address,
		.to = l->address,
		.id = span_of(qid),
		.at_s = clock_wall_ms() / 1000,
	};
}

/* The text of a letter: those who failed and whose postmaster it goes to. */
static void
letter_write(struct settling *s, const struct lease *l, struct notices *all,
		struct letter *letter, struct span header)
{
	struct arena arena = ARENA_MAX(16 * 1024 * 1024);
	struct failure *v = calloc(l->m->n, sizeof(*v));
	uint64_t id = store_new_id(s->hub->store, clock_wall_ms());
	char trace[QID_SIZE], qid[QID_SIZE];
	size_t n = 0;

	if (!v)
		abort();
	for (size_t i = 0; i < l->m->n; i++) {
		const struct settle_recipient *out = &l->results[i];
		const struct pick *p = failed(l, i)
				? pick_find(all, l->m->recipients[i].address)
				: NULL;

		if (p && p->letter == letter)
			v[n++] = (struct failure){
				.recipient = l->m->recipients[i].address,
				.host = out->host,
				.reply = reply_text(&arena, out),
				.tried = tried_text(&arena, l, out),
			};
	}
	qid_print(l->m->id, trace);
	qid_print(id, qid);
	struct failure_letter top = letter_top(s, letter, qid);
	const struct failure_report report = {
		.trace = span_of(trace),
		.account = l->m->account,
		.sender = l->m->sender,
		.v = v,
		.n = n,
		.badmail = s->hub->conf->badmail.enabled,
		.header = header,
	};
	if (!failure_print(&letter->text, &top, &report))
		buf_clear(&letter->text); /* the store counts it */
	letter_seal(s, letter, id);
	free(v);
	arena_done(&arena);
}

/* ---- for settle.c ---- */

static bool
is_told_of(const struct lease *l)
{
	/* The collector's own note about a message that is too large (" notice UIDL"). */
	if (l->m->account.n == 0 || l->m->flags & MESSAGE_NOTICE ||
			span_starts(l->m->uidl, SPAN(" ")) || l->at->badmail)
		return false;
	for (size_t i = 0; i < l->m->n; i++)
		if (failed(l, i))
			return true;
	return false;
}

void
notices_make(struct settling *s, struct lease *l)
{
	AUTO(buf_done) struct buf header = BUF_MAX(BODY_BLOB_MAX);

	if (!is_told_of(l))
		return;
	l->notices = calloc(1, sizeof(*l->notices));
	if (!l->notices)
		abort();
	header_read(s, l, &header);
	/* A notice of ours came back by the provider. */
	if (failure_is_notice(
			    buf_span(&header), span_of(s->hub->conf->server.hostname)))
		return;
	picks_make(s, l, l->notices);
	for (struct letter *letter = l->notices->letters; letter;
			letter = letter->next) {
		letter_write(s, l, l->notices, letter, buf_span(&header));
		letter->notice.next = l->job.notices;
		l->job.notices = &letter->notice;
	}
}

static void
say_recipient(struct lease *l, size_t i, struct field account, struct field id)
{
	const struct pick *p = pick_find(l->notices, l->m->recipients[i].address);
	const struct letter *letter = p ? p->letter : NULL;
	AUTO(buf_done) struct buf why = BUF_MAX(1024);

	(void)!buf_add(&why, SPAN("collected mail, "));
	if (!letter)
		(void)!buf_add(&why, SPAN("and no postmaster can be told"));
	else
		(void)!buf_addf(&why, SPAN_FMT " %s", SPAN_ARG(letter->address),
				letter->notice.queued
						? "is told"
						: "has had enough notices and is told "
						  "the number within the hour");
	log_event(EVENT_NDR_SUPPRESSED,
			FIELDS(account, id,
					f_span("recipient",
							l->m->recipients[i].address),
					f_span("why", buf_span(&why))));
}

void
notices_settled(struct settling *s, struct lease *l, struct field account,
		struct field id)
{
	if (!l->notices)
		return;
	for (size_t i = 0; i < l->m->n; i++)
		if (failed(l, i))
			say_recipient(l, i, account, id);
	for (const struct notice *n = l->job.notices; n; n = n->next) {
		char qid[QID_SIZE];

		if (!n->queued)
			continue;
		qid_print(n->mail.id, qid);
		log_event(EVENT_NDR_COPIED,
				FIELDS(account, id, f_span("address", n->postmaster),
						f_str("notice", qid)));
		for (size_t i = 0; i < n->mail.n; i++)
			s->calls->queued(s->host, n->mail.recipients[i].hop);
	}
}

/* ---- digests ---- */

static void
digested(void *host, struct store_job *done)
{
	struct settling *s = host;
	struct notice_digest *job = LIST_ITEM(done, struct notice_digest, job);
	struct digest *d = LIST_ITEM(job, struct digest, job);

	s->digests--;
	if (job->queued && done->result == STORE_DONE)
		for (size_t i = 0; i < d->letter->n_to; i++)
			s->calls->queued(s->host, d->letter->to[i].hop);
	letter_free(d->letter);
	buf_done(&d->postmaster);
	free(d);
}

static void
digest_send(struct settling *s, const struct notice_count *about)
{
	struct digest *d = calloc(1, sizeof(*d));
	uint64_t id = store_new_id(s->hub->store, clock_wall_ms());
	char qid[QID_SIZE];

	if (!d)
		abort();
	d->job = (struct notice_digest){
		.job = { .work = STORE_DIGEST, .done = digested, .host = s },
		.about = *about,
		.at_ms = clock_wall_ms(),
	};
	list_init(&d->job.job.link);
	d->postmaster = BUF_MAX(1024);
	(void)!buf_add(&d->postmaster, about->postmaster);
	d->job.about.postmaster = buf_span(&d->postmaster);
	qid_print(id, qid);
	d->letter = letter_to(s, about->postmaster);
	if (d->letter) {
		struct failure_letter top = letter_top(s, d->letter, qid);

		if (!failure_print_more(&d->letter->text, &top, about->more,
				    about->began_ms / 1000))
			buf_clear(&d->letter->text);
		letter_seal(s, d->letter, id);
		d->job.mail = d->letter->notice.mail;
	}
	jobs_add(s->hub->jobs, &d->job.job);
}

void
notices_tick(struct settling *s)
{
	struct arena arena = ARENA_MAX(LOOK_MEMORY);
	struct notice_count *v = NULL;
	struct err err = { 0 };
	size_t n = 0;
	int64_t now = loop_now_ms(s->hub->loop);

	if (s->digests > 0 || now < s->digest_at_ms)
		return;
	s->digest_at_ms = now + LOOK_MS;
	if (!notice_due(s->hub->reader, clock_wall_ms(), &arena, &v, &n, &err))
		log_err(&err, (struct span){ NULL, 0 }, (struct span){ NULL, 0 });
	for (size_t i = 0; i < n; i++)
		digest_send(s, &v[i]);
	s->digests = n;
	arena_done(&arena);
}
