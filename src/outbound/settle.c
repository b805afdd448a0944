/* settle: what became of recipients, into the store and into the log.
 *
 * Events are said when the store has the results: what they tell is then true
 * after a power cut too. */
#include "settle.h"

#include <stdio.h>
#include <string.h>

#include "notice.h"

#include "postern/clock.h"
#include "postern/date.h"
#include "postern/log.h"
#include "postern/qid.h"

enum {
	TRANSACTION_MAX = 100, /* E12: more recipients were split */
	UNSETTLED_MAX = 10, /* failures of the store in a row, a second apart */
};

void
settling_init(struct settling *s, struct hub *hub, const struct settling_calls *calls,
		void *host)
{
	*s = (struct settling){ .hub = hub, .calls = calls, .host = host };
	list_init(&s->unsettled);
	settling_renew(s);
}

void
settling_renew(struct settling *s)
{
	s->retry = (struct retry){ .waits = s->hub->conf->delivery.retry,
		.expire_s = s->hub->conf->delivery.expire_s };
}

/* ---- verdicts ---- */

/* E17's word for it. */
static struct span
reason_of(const struct verdict *v)
{
	if (strcmp(v->esc, "5.1.1") == 0)
		return SPAN("unknown-user");
	if (strcmp(v->esc, "5.4.6") == 0)
		return SPAN("loop");
	return SPAN("general");
}

/* The words without the code in front of them, as the store keeps them. */
static struct span
words_of(const struct verdict *v)
{
	struct span s = span_of(v->text);
	char code[16];
	int n = snprintf(code, sizeof(code), "%d", v->code);

	if (v->code != 0 && n > 0 && span_starts(s, (struct span){ code, (size_t)n }))
		s = span_trim(span_skip(s, (size_t)n));
	if (v->esc[0] != '\0' && !span_starts(s, span_of(v->esc)) && v->code == 0)
		return (struct span){ NULL, s.n }; /* the enhanced code goes in front */
	return s;
}

static struct span
keep_reply(struct lease *l, const struct verdict *v)
{
	char line[sizeof(v->esc) + sizeof(v->text) + 2];
	struct span s = words_of(v);

	if (!s.p) {
		int n = snprintf(line, sizeof(line), "%s %s", v->esc, v->text);
		s = (struct span){ line, n > 0 ? strlen(line) : 0 };
	}
	if (!span_eq(s, l->last_reply)) {
		l->last_reply = lease_words(l, s);
	}
	return l->last_reply;
}

static void
deferred(const struct lease *l, const struct queue_recipient *to,
		struct settle_recipient *out)
{
	int64_t now = clock_wall_ms();
	uint16_t jitter;

	clock_random(&jitter, sizeof(jitter));
	out->state = QUEUE_QUEUED;
	out->next_try_ms = retry_next(&l->settling->retry, to->attempts + 1,
			l->m->arrived_ms, now, jitter);
	if (out->next_try_ms == RETRY_EXPIRED) {
		out->state = QUEUE_BOUNCED;
		out->reason = SPAN("expired");
	}
}

void
settle_verdict(struct lease *l, size_t recipient, const struct verdict *v)
{
	const struct queue_recipient *to = &l->m->recipients[recipient];
	struct settle_recipient *out = &l->results[recipient];

	if (!l->open[recipient])
		return;
	l->open[recipient] = false;
	l->left--;
	out->attempted = true;
	out->code = v->code;
	out->host = l->host;
	out->reply = keep_reply(l, v);
	switch (v->fate) {
	case FATE_DELIVERED:
		out->state = QUEUE_DELIVERED;
		break;
	case FATE_DEFERRED:
		deferred(l, to, out);
		break;
	case FATE_BOUNCED:
		out->state = QUEUE_BOUNCED;
		out->reason = reason_of(v);
		break;
	}
	if (out->state == QUEUE_BOUNCED) {
		out->hop = SPAN(QUEUE_HOP_BADMAIL);
		out->next_try_ms = clock_wall_ms();
	}
}

void
settle_all(struct lease *l, const struct verdict *v)
{
	for (size_t i = 0; i < l->m->n && l->left > 0; i++)
		settle_verdict(l, i, v);
}

struct verdict
settle_damage(struct lease *l, const char *how)
{
	if (l->damage.n == 0)
		l->damage = lease_words(l, span_of(how));
	return verdict_make(FATE_BOUNCED, 0, "5.3.0",
			"the stored body is damaged (" SPAN_FMT ")",
			SPAN_ARG(l->damage));
}

void
settle_badmail(struct lease *l, bool written, int64_t again_ms)
{
	for (size_t i = 0; i < l->m->n; i++) {
		struct settle_recipient *out = &l->results[i];

		out->attempted =
				false; /* its last reply stays what the next hop said */
		out->state = written ? QUEUE_BADMAIL : l->m->recipients[i].state;
		out->next_try_ms = clock_wall_ms() + again_ms;
		l->open[i] = false;
	}
	l->left = 0;
}

/* ---- to the store ---- */

void
settle_lease(struct lease *l)
{
	struct settling *s = l->settling;

	l->job.job.work = STORE_SETTLE;
	l->job.job.done = settle_done;
	l->job.job.host = s;
	l->job.id = l->m->id;
	l->job.at_ms = clock_wall_ms();
	l->job.recipients = l->results;
	l->job.n = l->m->n;
	l->job.damage = l->damage;
	for (size_t i = 0; i < l->m->n; i++)
		l->results[i].untouched = l->open[i];
	notices_make(s, l);
	jobs_add(s->hub->jobs, &l->job.job);
}

/* ---- events ---- */

struct told {
	const struct lease *l;
	char qid[QID_SIZE];
	char reply[640];
	struct field account, id;
};

static void
told_reply(struct told *t, const struct settle_recipient *out)
{
	struct buf b = {
		.p = t->reply, .cap = sizeof(t->reply), .max = sizeof(t->reply) - 1
	};

	if (out->code != 0)
		(void)!buf_addf(&b, "%d ", out->code);
	(void)!buf_add(&b, span_first(out->reply, b.max - b.n));
	t->reply[b.n] = '\0';
}

/* EVENTS.md: the RFC 3463 digits without dots. */
static void
ndr_of(const struct settle_recipient *out, char ndr[8])
{
	size_t n = 0;

	for (size_t i = 0; i < out->reply.n && n < 7; i++)
		if (out->reply.p[i] >= '0' && out->reply.p[i] <= '9')
			ndr[n++] = out->reply.p[i];
		else if (out->reply.p[i] != '.')
			break;
	ndr[n] = '\0';
	if (n < 3)
		(void)snprintf(ndr, 8, "%s", "550");
}

static void
say_processed(struct told *t, struct span address, const struct settle_recipient *out)
{
	bool good = out->state == QUEUE_DELIVERED;
	char ndr[8] = "0";

	if (good && !log_wants(3))
		return;
	if (!good)
		ndr_of(out, ndr);
	log_event_at(EVENT_RECIPIENT_PROCESSED, good ? 'I' : 'E', good ? 3 : 0,
			FIELDS(t->account, t->id, f_str("ndr", ndr),
					f_str("error", "00000000"),
					f_str("reply", t->reply),
					f_span("recipient", address),
					f_span("host", out->host)));
}

static void
say_deferred(struct told *t, const struct queue_recipient *to,
		const struct settle_recipient *out)
{
	char next[DATE_ISO_SIZE];

	date_iso(out->next_try_ms, next);
	log_event(EVENT_DEFERRED,
			FIELDS(t->account, t->id, f_span("recipient", to->address),
					f_str("reply", t->reply), f_str("next", next),
					f_str("step", retry_step(to->attempts + 1)),
					f_span("host", out->host)));
}

static void
say_bounced(struct told *t, const struct queue_recipient *to,
		const struct settle_recipient *out)
{
	char age[32];
	int64_t s = (clock_wall_ms() - t->l->m->arrived_ms) / 1000;

	if (span_eq(out->reason, SPAN("expired"))) {
		(void)snprintf(age, sizeof(age), "%lld h %lld min",
				(long long)(s / 3600), (long long)(s / 60 % 60));
		log_event(EVENT_EXPIRED,
				FIELDS(t->account, t->id,
						f_span("recipient", to->address),
						f_str("age", age),
						f_str("reply", t->reply)));
		return;
	}
	say_processed(t, to->address, out);
	log_event(EVENT_DELIVERY_REFUSED,
			FIELDS(t->account, t->id, f_str("reply", t->reply),
					f_span("recipient", to->address),
					f_span("host", out->host)));
}

static void
say_recipient(struct settling *s, struct told *t, size_t i)
{
	const struct queue_recipient *to = &t->l->m->recipients[i];
	const struct settle_recipient *out = &t->l->results[i];
	const bool counts = !(t->l->m->flags &
			MESSAGE_NOTICE); /* else it is not mail that came */

	if (!out->attempted)
		return;
	told_reply(t, out);
	switch ((int)out->state) {
	case QUEUE_DELIVERED:
		s->hub->sum.delivered += counts;
		if (log_wants(1))
			log_event(EVENT_DELIVERED,
					FIELDS(t->account, t->id,
							f_span("recipient",
									to->address),
							f_span("host", out->host),
							f_str("reply", t->reply),
							f_num("ms", clock_wall_ms() - t->l->m->arrived_ms)));
		say_processed(t, to->address, out);
		break;
	case QUEUE_QUEUED:
		s->hub->sum.deferred += counts;
		say_deferred(t, to, out);
		break;
	case QUEUE_BOUNCED:
		s->hub->sum.refused += counts;
		say_bounced(t, to, out);
		break;
	default:
		break;
	}
}

/* What 4044 is about. */
static const char *
found_in(const struct lease *l)
{
	if (!l->nul)
		return "bare CR or LF";
	return l->changed ? "bare CR or LF, and NUL, which went out as it is"
			  : "NUL, which went out as it is";
}

static void
say_message(struct settling *s, struct told *t)
{
	const struct lease *l = t->l;
	int64_t delivered = 0, undeliverable = 0;

	for (size_t i = 0; i < l->m->n; i++) {
		delivered += l->results[i].attempted &&
				l->results[i].state == QUEUE_DELIVERED;
		undeliverable += l->results[i].attempted &&
				l->results[i].state == QUEUE_BOUNCED;
	}
	if (l->attempted && log_wants(1))
		log_event(EVENT_DELIVERY_ATTEMPTED,
				FIELDS(t->account, t->id,
						f_span("sender", l->m->sender),
						f_span("host", l->host),
						f_num("delivered", delivered),
						f_num("undeliverable", undeliverable)));
	if (l->changed || l->nul)
		log_event(EVENT_LINE_ENDS_MENDED,
				FIELDS(t->account, t->id, f_span("host", l->host),
						f_str("found", found_in(l))));
	if (l->parts > 1 && l->m->n > TRANSACTION_MAX && s->split != l->m->id) {
		s->split = l->m->id;
		log_event(EVENT_TOO_MANY_RECIPIENTS,
				FIELDS(t->account, t->id,
						f_num("recipients", (int64_t)l->m->n),
						f_num("max", TRANSACTION_MAX),
						f_num("parts", (int64_t)l->parts)));
	}
}

static void
say_damage(const struct settling *s, const struct told *t)
{
	char disp[160];

	(void)snprintf(disp, sizeof(disp), "what is left of it %s%s",
			s->hub->conf->badmail.enabled ? "goes to Badmail"
						      : "stays in the queue",
			t->l->job.again ? ", and the next poll collects it again where the provider still has it"
					: "");
	log_event(EVENT_BODY_DAMAGED,
			FIELDS(t->account, t->id, f_span("how", t->l->damage),
					f_str("disp", disp)));
}

static void
say_badmail(struct settling *s, struct told *t)
{
	const struct queue_message *m = t->l->m;
	bool written = false;
	struct span reason = { NULL, 0 };

	for (size_t i = 0; i < m->n; i++)
		if (!t->l->open[i] && t->l->results[i].state == QUEUE_BADMAIL) {
			written = true;
			if (m->recipients[i].reason.n > 0)
				reason = m->recipients[i].reason;
		}
	if (!written && !s->hub->conf->badmail.enabled)
		log_event(EVENT_HELD,
				FIELDS(t->account, t->id, f_str("recipient", "-"),
						f_str("why", "badmail.enabled is false")));
	if (!written)
		return;
	if (m->flags & MESSAGE_NOTICE)
		s->hub->sum.notices_lost++;
	else
		s->hub->sum.badmail++;
	log_event(EVENT_BADMAIL,
			FIELDS(t->account, t->id,
					f_span("reason",
							reason.n > 0 ? reason
								     : SPAN("general")),
					f_str("badmail", t->qid)));
}

/* ---- back from the store ---- */

/* The verdict is known and must not get lost: it stays leased and comes again, and
 * until then no other attempt is begun. Only a crash before that repeats the attempt. How
 * long a store in trouble is waited for is health.c's; one that is well and will not have
 * it is opened anew by a new process. */
static void
not_settled(struct settling *s, struct lease *l)
{
	const struct store_job *job = &l->job.job;

	list_add(&s->unsettled, &l->link);
	s->owed += !l->owed;
	l->owed = true;
	if (s->tries > UNSETTLED_MAX && job->trouble == STORE_SOUND)
		pulse_fail(&s->hub->pulse, &job->err);
}

void
settle_done(void *host, struct store_job *done)
{
	struct settlement *job = LIST_ITEM(done, struct settlement, job);
	struct lease *l = LIST_ITEM(job, struct lease, job);
	struct settling *s = host;
	struct told t = { .l = l };

	qid_print(l->m->id, t.qid);
	t.account = f_span("account", l->m->account);
	t.id = f_str("id", t.qid);
	if (job->job.result != STORE_DONE) {
		not_settled(s, l);
		return;
	}
	s->tries = 0;
	if (job->damage_new)
		say_damage(s, &t);
	s->owed -= l->owed; /* the look that follows may begin something */
	if (l->at->badmail) {
		say_badmail(s, &t);
	} else {
		for (size_t i = 0; i < l->m->n; i++)
			if (!l->open[i])
				say_recipient(s, &t, i);
		say_message(s, &t);
		notices_settled(s, l, t.account, t.id);
	}
	s->calls->settled(s->host, l);
}

void
settle_forget(struct lease *l)
{
	l->settling->calls->forgotten(l->settling->host, l);
}

void
settle_tick(struct settling *s)
{
	s->tries++;
	LIST_EACH (link, &s->unsettled) {
		struct lease *l = LIST_ITEM(link, struct lease, link);

		list_del(link);
		jobs_add(s->hub->jobs, &l->job.job);
	}
}

/* It was delivered, and no one will know. */
static void
say_unrecorded(const struct lease *l)
{
	struct told t = { .l = l };

	qid_print(l->m->id, t.qid);
	for (size_t i = 0; i < l->m->n; i++) {
		const struct settle_recipient *out = &l->results[i];

		if (!out->attempted || out->state != QUEUE_DELIVERED)
			continue;
		told_reply(&t, out);
		log_event(EVENT_VERDICT_UNRECORDED,
				FIELDS(f_span("account", l->m->account),
						f_str("id", t.qid),
						f_span("recipient",
								l->m->recipients[i]
										.address),
						f_span("host", out->host),
						f_str("reply", t.reply),
						f_str("err", l->job.job.err.text)));
	}
}

bool
settle_end(struct settling *s, struct err *err)
{
	if (s->owed == 0)
		return true;

	const struct err *why =
			&LIST_ITEM(s->unsettled.next, struct lease, link)->job.job.err;
	LIST_EACH (link, &s->unsettled)
		say_unrecorded(LIST_ITEM(link, struct lease, link));
	bool one = s->owed == 1;
	return err_set(err, EVENT_DATABASE_TROUBLE,
			"what became of %zu message%s could not be recorded (%s): "
			"%s attempted again and may arrive twice",
			s->owed, one ? "" : "s", why->text, one ? "it is" : "they are");
}

void
settle_free(struct settling *s)
{
	LIST_EACH (link, &s->unsettled)
		settle_forget(LIST_ITEM(link, struct lease, link));
}
