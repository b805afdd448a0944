#include "copies.h"

#include <string.h>

#include "postern/fingerprint.h"

#include "postern/address.h"
#include "postern/date.h"
#include "postern/log.h"
#include "postern/qid.h"
#include "postern/smtp_path.h"

enum {
	STAMPED_MAX = 16, /* recipients; more would be told by the length of the header */
	CANON_MAX = 512,
};

void
copies_begin(struct mail *m, bool dedup)
{
	/* A notice of ours is no mail that could come twice: its origin sees to that. Nor did
	 * it come from anywhere that it could go round by. */
	if (m->job.uidl.n > 0 && m->job.uidl.p[0] == ' ')
		return;
	m->print = fingerprint_new(dedup && m->badmail.n == 0);
}

void
copies_body(struct mail *m, struct span piece)
{
	if (m->print)
		fingerprint_add(m->print, piece);
}

void
copies_end(struct mail *m)
{
	fingerprint_free(m->print);
	m->print = NULL;
}

/* E5's form for comparing, in `out`. False: the address cannot be read. */
static bool
canonical(struct span address, struct buf *out)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	struct smtp_path path;

	buf_clear(out);
	if (!smtp_mailbox_parse(address, &path))
		return false;
	domain[0] = '\0';
	if (path.domain.n > 0 && !domain_canon(path.domain, domain))
		return false;
	for (size_t i = 0; i < path.local.n; i++)
		if (!buf_addc(out, ascii_lower(path.local.p[i])))
			return false;
	return buf_addc(out, '@') && buf_add(out, span_of(domain));
}

/* ---- loop stamps ---- */

/* Is one of the stamps for this recipient? */
static bool
came_back(const struct inbound *in, struct span stamps, const char *mac)
{
	struct span found;

	while (stamps.n > 0)
		if (loop_stamp_read(&in->loop_key, span_until(&stamps, '\n'), &found) &&
				digest_same(found, span_of(mac)))
			return true;
	return false;
}

static void
refuse_loop(struct mail *m, struct submission_recipient *to)
{
	struct buf text = BUF_MAX(1024);

	to->state = QUEUE_REFUSED;
	to->hop = SPAN(QUEUE_HOP_BADMAIL);
	to->code = 554;
	to->reason = SPAN("loop");
	to->reply = SPAN("5.4.6 Loop");
	if (buf_addf(&text, "5.4.6 It carries this gateway's loop stamp for " SPAN_FMT,
			    SPAN_ARG(to->address))) {
		struct span kept = arena_dup(&m->arena, buf_span(&text));
		if (kept.p)
			to->reply = kept;
	}
	buf_done(&text);
}

static void
look_for_loops(struct inbound *in, struct mail *m)
{
	struct span stamps = fingerprint_stamps(m->print);
	AUTO(buf_done) struct buf canon = BUF_MAX(CANON_MAX);
	char mac[LOOP_MAC_SIZE];

	for (size_t i = 0; stamps.n > 0 && i < m->job.n; i++) {
		struct submission_recipient *to = &m->recipients[i];

		if (to->state != QUEUE_QUEUED || !canonical(to->address, &canon))
			continue;
		loop_mac(&in->loop_key, m->job.message_id, buf_span(&canon), mac);
		if (came_back(in, stamps, mac))
			refuse_loop(m, to);
	}
}

/* By mac: who comes first in the header, or was hidden from it, is not told. */
static void
put_in_order(char macs[][LOOP_MAC_SIZE], size_t n)
{
	char x[LOOP_MAC_SIZE];

	for (size_t i = 1; i < n; i++) {
		memcpy(x, macs[i], sizeof(x));
		size_t k = i;
		for (; k > 0 && memcmp(macs[k - 1], x, sizeof(x)) > 0; k--)
			memcpy(macs[k], macs[k - 1], sizeof(x));
		memcpy(macs[k], x, sizeof(x));
	}
}

static void
put_stamps(struct inbound *in, struct mail *m)
{
	AUTO(buf_done) struct buf canon = BUF_MAX(CANON_MAX);
	char macs[STAMPED_MAX][LOOP_MAC_SIZE], mb[LOOP_MB_SIZE];
	size_t n = 0;

	for (size_t i = 0; i < m->job.n; i++) {
		const struct submission_recipient *to = &m->recipients[i];

		if (to->state != QUEUE_QUEUED || !canonical(to->address, &canon))
			continue;
		if (n == STAMPED_MAX)
			return;
		loop_mac(&in->loop_key, m->job.message_id, buf_span(&canon), macs[n++]);
	}
	put_in_order(macs, n);
	loop_account(&in->loop_key, m->job.account, mb);
	for (size_t i = 0; i < n; i++)
		(void)!loop_stamp_print(&m->top, &in->loop_key, mb, macs[i]);
	m->job.top = buf_span(&m->top);
}

/* ---- the ledger ---- */

/* Queued ones are looked up and entered. One that came back is only looked up: where
 * it is the very message that we delivered, it is a copy like any other. */
static bool
wants_key(const struct submission_recipient *to)
{
	return to->state == QUEUE_QUEUED ||
			(to->state == QUEUE_REFUSED &&
					span_eq(to->reason, SPAN("loop")));
}

static void
make_keys(struct mail *m)
{
	uint8_t print[DIGEST_SIZE], sum[DIGEST_SIZE];
	AUTO(buf_done) struct buf canon = BUF_MAX(CANON_MAX);

	if (!fingerprint_end(m->print, print))
		return;
	m->job.copy_of = arena_alloc(&m->arena, m->job.n * sizeof(*m->job.copy_of));
	if (!m->job.copy_of)
		return; /* twice is better than not at all */

	struct digest *d = digest_new();
	for (size_t i = 0; i < m->job.n; i++) {
		struct submission_recipient *to = &m->recipients[i];

		if (!wants_key(to) || !canonical(to->address, &canon))
			continue;
		digest_add(d, buf_span(&canon));
		digest_add(d, (struct span){ (const char *)print, sizeof(print) });
		digest_end(d, sum);
		to->key = arena_dup(&m->arena,
				(struct span){ (const char *)sum, STORE_KEY_SIZE });
		if (!to->key.p)
			to->key.n = 0;
	}
	digest_free(d);
}

void
copies_whole(struct inbound *in, struct mail *m)
{
	if (!m->print)
		return;
	look_for_loops(in, m);
	make_keys(m);
	put_stamps(in, m);
}

/* ---- what became of it ---- */

bool
copies_is(const struct mail *m, size_t i)
{
	return m->job.copy_of && m->job.copy_of[i] != 0;
}

size_t
copies_left(const struct mail *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->job.n; i++)
		n += !copies_is(m, i);
	return n;
}

static void
say_copy(const struct mail *m, size_t i, const struct queue_source *from)
{
	char qid[QID_SIZE], first[QID_SIZE], when[DATE_ISO_SIZE];
	uint64_t id = m->job.copy_of[i];

	qid_print(m->job.id, qid);
	qid_print(id, first);
	/* The id has no more than the order where the clock was ahead. History may have
	 * forgotten the rest. */
	date_iso(from->arrived_ms ? from->arrived_ms : (int64_t)(id >> 16), when);
	log_event(EVENT_COPY_SUPPRESSED,
			FIELDS(f_span("account", m->job.account), f_str("id", qid),
					f_span("message_id", m->job.message_id),
					f_span("recipient", m->recipients[i].address),
					f_str("when", when),
					f_span("via",
							from->account.n > 0
									? from->account
									: SPAN("-")),
					f_str("first", first)));
}

static void
say_loop(const struct mail *m, const struct submission_recipient *to)
{
	char qid[QID_SIZE];

	qid_print(m->job.id, qid);
	log_event(EVENT_LOOP_STAMP,
			FIELDS(f_span("account", m->job.account), f_str("id", qid),
					f_span("uidl", m->job.uidl),
					f_span("recipient", to->address)));
}

void
copies_say(struct inbound *in, const struct mail *m)
{
	struct arena a = ARENA_MAX(STORE_NAME_MAX + 64);
	struct queue_source from = { SPAN(""), 0 };
	uint64_t known = 0;

	for (size_t i = 0; i < m->job.n; i++) {
		const struct submission_recipient *to = &m->recipients[i];
		uint64_t id = m->job.copy_of ? m->job.copy_of[i] : 0;

		if (id == 0 && to->state == QUEUE_REFUSED &&
				span_eq(to->reason, SPAN("loop")))
			say_loop(m, to);
		if (id == 0 || !log_wants(1))
			continue;
		if (id != known) { /* the recipients of one copy mostly had one first */
			arena_done(&a);
			(void)queue_source(in->hub->reader, id, &a, &from, NULL);
			known = id;
		}
		say_copy(m, i, &from);
	}
	arena_done(&a);
}
