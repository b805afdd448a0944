/* recipient: whom a message on its way in is for, from RCPT to the addresses that
 * the directory gives. */
#include <stdlib.h>
#include <string.h>

#include "room.h"

#include "postern/address.h"
#include "postern/clock.h"
#include "postern/must.h"

enum {
	RECIPIENTS_LINEAR = 8, /* duplicates are looked for one by one up to here */
	RESOLVE_MEMORY = 16 * 1024 * 1024, /* while one address is resolved */
	/* Members of lists in all the mails at hand: past it, clients come again. */
	EXPANDED_MAX = 500000,
};

struct submission_recipient *
recipient_room(struct mail *m)
{
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
	return &m->recipients[m->job.n];
}

/* E5: domains as A-labels, local parts without case. */
static bool
same_recipient(struct span a, struct span b)
{
	return span_eq_nocase(a, b);
}

/* What the map keeps of row i; never NULL. */
static void *
mark_of(size_t i)
{
	return (void *)(uintptr_t)(i + 1);
}

/* The row of this recipient; NULL: there is none yet. */
static struct submission_recipient *
seen_before(const struct mail *m, struct span key)
{
	for (size_t i = 0; i < m->job.n && i < RECIPIENTS_LINEAR; i++)
		if (same_recipient(m->keys[i], key))
			return &m->recipients[i];
	const void *mark = m->seen_map ? map_get(&m->seen, key) : NULL;
	return mark ? &m->recipients[(uintptr_t)mark - 1] : NULL;
}

/* The next row is this recipient's. The key lives in the arena. */
static void
seen_next(struct mail *m, struct span key)
{
	if (m->job.n < RECIPIENTS_LINEAR) {
		m->keys[m->job.n] = key;
		return;
	}
	if (!m->seen_map) {
		uint64_t seed[2];

		clock_random(seed, sizeof(seed));
		map_init(&m->seen, seed[0], seed[1]);
		m->seen_map = true;
		for (size_t i = 0; i < RECIPIENTS_LINEAR; i++)
			(void)map_put(&m->seen, m->keys[i], mark_of(i));
	}
	(void)map_put(&m->seen, key, mark_of(m->job.n));
}

/* Without the code, as the store keeps it. */
struct span
recipient_reply(struct mail *m, const struct smtp_reply *reply)
{
	struct buf b = BUF_MAX(SMTP_TEXT_SIZE + 16);
	struct span s = { "", 0 };

	if (buf_addf(&b, "%s %s", reply->esc ? reply->esc : "",
			    reply->text ? reply->text : ""))
		s = mail_keep(m, span_trim(buf_span(&b)));
	buf_done(&b);
	return s;
}

/* The canonical form, in lower case, for telling duplicates. */
static struct span
key_of(struct mail *m, const struct address *a)
{
	char *p = arena_alloc(&m->arena, a->local.n + 1 + a->domain.n);

	if (!p)
		return (struct span){ NULL, 0 };
	for (size_t i = 0; i < a->local.n; i++)
		p[i] = ascii_lower(a->local.p[i]);
	p[a->local.n] = '@';
	if (a->domain.n > 0)
		memcpy(p + a->local.n + 1, a->domain.p, a->domain.n);
	return (struct span){ p, a->local.n + 1 + a->domain.n };
}

/* Remembers the recipient with what was decided about it. One that was refused, and that
 * a list leads to, gets it all the same, whichever was named first. */
static bool
remember(struct mail *m, struct submission_recipient what, struct span key)
{
	if (!key.p || !what.address.p || m->job.n >= STORE_RECIPIENTS_MAX)
		return false;
	struct submission_recipient *before = seen_before(m, key);
	if (before) {
		if (before->state == QUEUE_REFUSED && what.state == QUEUE_QUEUED)
			*before = what;
		return true;
	}
	seen_next(m, key);
	*recipient_room(m) = what;
	m->job.n++;
	return true;
}

/* ---- what the directory says ---- */

/* One RCPT while it is answered. */
struct rcpt {
	struct span said;
	struct span mailbox; /* the same in its one spelling, or who the bare postmaster is */
	struct address to; /* local without quoting, domain canonical; empty: bare */
	struct span key;
	char local[ADDRESS_LOCAL_MAX];
	char domain[ADDRESS_DOMAIN_MAX + 1];
	bool valid;
	bool bare; /* "postmaster" alone was said */
};

/* As it is kept and sent (E5): the domain as A-labels, the local part without quotes that
 * it does not need. */
static struct span
spelling(struct mail *m, const struct smtp_path *to, struct span local)
{
	AUTO(buf_done) struct buf b = BUF_MAX(ADDRESS_SIZE);
	struct span mailbox = smtp_is_utf8(to->domain) ? mail_wire(m, to) : to->mailbox;

	if (!mailbox.p || local.p == to->local.p)
		return mailbox;
	if (!address_print_local(&b, local) ||
			!buf_add(&b, span_skip(mailbox, to->local.n)))
		return (struct span){ NULL, 1 };
	struct span kept = mail_keep(m, buf_span(&b));
	return kept.p ? kept : (struct span){ NULL, 1 };
}

static void
rcpt_read(const struct relay *r, struct mail *m, const struct smtp_path *path,
		struct rcpt *out)
{
	struct smtp_path to = *path;

	/* RFC 5321 4.5.1: the bare postmaster is somebody here. */
	if (to.domain.n == 0 && r->conf->server.postmaster)
		(void)smtp_mailbox_parse(span_of(r->conf->server.postmaster), &to);
	*out = (struct rcpt){ .said = path->mailbox, .bare = path->domain.n == 0 };
	out->valid = to.domain.n == 0 || domain_canon(to.domain, out->domain);
	out->to.kind = ADDRESS_FULL;
	out->to.local = address_unquote(to.local, out->local);
	out->mailbox = spelling(m, &to, out->to.local);
	out->to.domain = out->valid ? span_of(out->domain) : to.domain;
	out->key = key_of(m, &out->to);
}

/* In the mail's memory: the routes may be others before it is whole. Most recipients go
 * where the one before goes. */
static struct span
hop_kept(struct mail *m, const struct nexthop *to)
{
	struct span key = span_of(to->key);
	struct span last = m->job.n > 0 ? m->recipients[m->job.n - 1].hop : key;

	return m->job.n > 0 && span_eq(last, key) ? last : mail_keep(m, key);
}

static struct smtp_reply
refused(struct mail *m, const struct rcpt *rc, enum smtp_refusal why, char *text)
{
	static const char *const reasons[SMTP_REFUSALS] = {
		[SMTP_REFUSE_RELAY] = "relay-denied",
		[SMTP_REFUSE_NO_ROUTE] = "general",
		[SMTP_REFUSE_UNKNOWN] = "unknown-user",
		[SMTP_REFUSE_LIST] = "general",
		[SMTP_REFUSE_MEMBERS] = "general",
	};
	struct smtp_reply reply = smtp_refuse_for(why, rc->said, text);

	/* A collected message is kept all the same: Badmail, replayable (E11). A fallback
	 * that may not be used leaves it without a recipient (E13). From a Pickup file there is
	 * nobody to refuse it to. */
	if (!m->collected && !m->picked)
		return reply;
	const struct submission_recipient what = {
		.address = mail_keep(m, rc->bare ? rc->said : rc->mailbox),
		.hop = SPAN(HOP_BADMAIL),
		.state = QUEUE_REFUSED,
		.code = reply.code,
		.reply = recipient_reply(m, &reply),
		.reason = m->fallback.n > 0 ? m->fallback : span_of(reasons[why]),
	};
	if (!remember(m, what, rc->key)) /* it must not be left out */
		return smtp_refuse(SMTP_REFUSE_RECIPIENTS);
	return reply;
}

/* Too many for this message. There may be others for them, but what was collected, or
 * lies in a file, is one message. */
static struct smtp_reply
no_room(struct mail *m, const struct rcpt *rc, char *text)
{
	return m->collected || m->picked ? refused(m, rc, SMTP_REFUSE_MEMBERS, text)
					 : smtp_refuse(SMTP_REFUSE_RECIPIENTS);
}

/* Whether they fit beside those there are; lists may have members in common. */
static bool
fit(struct mail *m, const struct directory_resolved *to)
{
	size_t n = m->job.n;

	if (n + to->n <= STORE_RECIPIENTS_MAX)
		return true;
	for (size_t i = 0; i < to->n && n <= STORE_RECIPIENTS_MAX; i++)
		n += !seen_before(m, to->v[i].key);
	return n <= STORE_RECIPIENTS_MAX;
}

/* Everybody whom the address leads to. */
static struct smtp_reply
resolved(struct relay *r, struct mail *m, const struct rcpt *rc,
		const struct directory_resolved *to, char *text)
{
	const struct directory_entry *list =
			to->entry && to->entry->list ? to->entry : NULL;
	struct span asked = { "", 0 };

	if (list && map_get(&m->lists, list->alias))
		return SMTP_YES;
	if (!fit(m, to))
		return no_room(m, rc, text);
	if (list) {
		/* Lists that overlap: waiting for others would not make room for it. */
		if (m->expanded + to->n > EXPANDED_MAX)
			return no_room(m, rc, text);
		if (r->expanded + to->n > EXPANDED_MAX)
			return smtp_refuse(SMTP_REFUSE_BUSY);
		m->expanded += to->n;
		r->expanded += to->n;
	}
	for (size_t i = 0; i < to->n; i++) {
		const struct directory_target *t = &to->v[i];
		bool other = !span_eq(t->key, rc->key);
		const struct submission_recipient *before = seen_before(m, t->key);

		/* Nothing is kept for it: lists may have all their members in common. */
		if (before && before->state == QUEUE_QUEUED)
			continue;
		if (other && asked.n == 0)
			asked = mail_keep(m, rc->mailbox);
		/* The directory may be another one before the message is whole. */
		const struct submission_recipient what = {
			.address = mail_keep(m, t->address),
			.hop = hop_kept(m, hop_route(r, t->domain)),
			.asked = other ? asked : (struct span){ "", 0 },
			.asked_list = other && list,
		};
		if (!remember(m, what, mail_keep(m, t->key)))
			return smtp_refuse(SMTP_REFUSE_RECIPIENTS);
	}
	struct span alias = list ? mail_keep(m, list->alias) : (struct span){ "", 0 };
	if (alias.n > 0)
		(void)map_put(&m->lists, alias, m);
	return SMTP_YES;
}

static bool
bare_postmaster(const struct relay *r, const struct address *a)
{
	return a->domain.n == 0 &&
			policy_decide(r->policies, a->local, a->domain).accepted;
}

static struct smtp_reply
decided(struct relay *r, struct mail *m, const struct rcpt *rc, struct arena *a,
		char *text)
{
	const struct span postmaster = span_of(r->conf->server.postmaster);
	struct directory_decision d;

	if (!directory_decide(r->directory, &rc->to, postmaster, a, &d))
		return smtp_refuse(SMTP_REFUSE_BUSY);
	switch (d.outcome) {
	case DIRECTORY_UNKNOWN:
		return refused(m, rc, SMTP_REFUSE_UNKNOWN, text);
	case DIRECTORY_NOBODY:
		return refused(m, rc, SMTP_REFUSE_LIST, text);
	case DIRECTORY_RESOLVED:
		return resolved(r, m, rc, &d.to, text);
	case DIRECTORY_FOREIGN:
		if (!m->relay_client && !bare_postmaster(r, &rc->to))
			return refused(m, rc, SMTP_REFUSE_RELAY, text);
		break;
	case DIRECTORY_AS_IS:
		break;
	}
	const struct nexthop *to = hop_route(r, rc->to.domain);
	if (to->kind == NEXTHOP_NONE) /* 250 would be a promise that nobody can keep */
		return refused(m, rc, SMTP_REFUSE_NO_ROUTE, text);
	const struct submission_recipient what = {
		.address = mail_keep(m, rc->mailbox),
		.hop = hop_kept(m, to),
	};
	return remember(m, what, rc->key) ? SMTP_YES
					  : smtp_refuse(SMTP_REFUSE_RECIPIENTS);
}

/* Nobody gets it: it is held until somebody says who (E13), or goes to Badmail. */
void
recipient_nobody(const struct mail *m, struct submission_recipient *out)
{
	bool held = m->hold.n > 0;

	out->state = held ? QUEUE_HELD : QUEUE_REFUSED;
	out->hop = held ? SPAN(HOP_UNROUTED) : SPAN(HOP_BADMAIL);
	out->reason = held		    ? m->hold
			: m->badmail.n > 0  ? m->badmail
			: m->fallback.n > 0 ? m->fallback
					    : SPAN("no-recipients");
}

static struct smtp_reply
answer(struct relay *r, struct mail *m, const struct smtp_path *path, char *text)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(RESOLVE_MEMORY);
	struct rcpt rc;

	rcpt_read(r, m, path, &rc);
	if (!rc.key.p)
		return smtp_refuse(SMTP_REFUSE_RECIPIENTS);
	if (m->badmail.n == 0 && m->hold.n == 0)
		return rc.valid ? decided(r, m, &rc, &a, text)
				: refused(m, &rc, SMTP_REFUSE_RELAY, text);

	/* The collector has decided: nobody gets it. */
	struct submission_recipient what = { .address = mail_keep(m, rc.mailbox) };
	recipient_nobody(m, &what);
	return remember(m, what, rc.key) ? SMTP_YES
					 : smtp_refuse(SMTP_REFUSE_RECIPIENTS);
}

/* Of whom there is nothing is told (S25): only whether RCPT would take the domain. */
struct smtp_reply
mail_vrfy(const struct relay *r, const struct smtp_path *path, bool may_relay,
		char *text)
{
	char canon[ADDRESS_DOMAIN_MAX + 1] = "";

	if (may_relay || path->domain.n == 0 ||
			(domain_canon(path->domain, canon) &&
					hop_is_ours(r, span_of(canon))))
		return SMTP_YES;
	return smtp_refuse_for(SMTP_REFUSE_RELAY, path->mailbox, text);
}

struct smtp_reply
mail_rcpt(struct relay *r, struct mail *m, const struct smtp_path *path, char *text)
{
	struct smtp_reply reply = answer(r, m, path, text);

	m->put_off = m->put_off || (reply.code >= 400 && reply.code < 500);
	return reply;
}
