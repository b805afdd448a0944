#include "tell.h"

#include "postern/ctl.h"
#include "postern/enc.h"
#include "postern/log.h"
#include "postern/origin.h"

enum { WAIT_MS = 10000, BATCH = 256 * 1024 };

/* Sends one question; says nothing when nobody is there, since then there is
 * no relay, and the poll has failed for that reason already. */
static bool
ask(struct ctl_client *c, enum ctl_kind kind, const struct buf *body)
{
	struct err err;

	return ctl_ask(c, kind, buf_span(body), &err);
}

static struct ctl_client *
relay(const struct fetch_poll *p)
{
	struct err err;

	return ctl_connect(p->setup->control, WAIT_MS, &err);
}

/* The uidls from *at on, as many as one frame should hold. */
static bool
add_batch(struct buf *list, const struct span *uidls, size_t n, size_t *at,
		size_t *count)
{
	buf_clear(list);
	for (*count = 0; *at < n && list->n < BATCH; *at += 1) {
		if (uidls[*at].n == 0)
			continue;
		if (!ctl_put_span(list, uidls[*at]))
			return false;
		*count += 1;
	}
	return true;
}

void
tell_settled(struct fetch_poll *p, const struct span *uidls, size_t n)
{
	struct buf body = BUF_MAX(CTL_BODY_MAX), list = BUF_MAX(CTL_BODY_MAX);
	struct ctl_client *c = relay(p);
	size_t at = 0, count;
	bool ok = c;

	while (ok && at < n) {
		buf_clear(&body);
		ok = add_batch(&list, uidls, n, &at, &count) &&
				ctl_put_span(&body, p->name) &&
				ctl_put_u64(&body, count) &&
				buf_add(&body, buf_span(&list)) &&
				ask(c, CTL_SETTLED, &body);
	}
	ctl_client_free(c);
	buf_done(&body);
	buf_done(&list);
}

void
tell_listed(struct fetch_poll *p, const struct pop_known *k)
{
	const struct pop_uids *const parts[] = { &k->absent, &k->back, &k->forget };
	enum { PARTS = sizeof(parts) / sizeof(parts[0]) };
	struct buf body = BUF_MAX(CTL_BODY_MAX), list = BUF_MAX(CTL_BODY_MAX);
	struct ctl_client *c = relay(p);
	size_t at[PARTS] = { 0 }, left = k->absent.n + k->back.n + k->forget.n;
	bool ok = c, again = false;

	for (; ok && left > 0; again = true) {
		buf_clear(&body);
		ok = ctl_put_span(&body, p->name) && ctl_put_u64(&body, again);
		for (size_t i = 0; ok && i < PARTS; i++) {
			size_t count, from = at[i];

			/* One kind after the other: a frame holds a full batch of one. */
			if (body.n > BATCH / 2) {
				ok = ctl_put_u64(&body, 0);
				continue;
			}
			ok = add_batch(&list, parts[i]->v, parts[i]->n, &at[i],
					     &count) &&
					ctl_put_u64(&body, count) &&
					buf_add(&body, buf_span(&list));
			left -= at[i] - from;
		}
		ok = ok && ask(c, CTL_LISTED, &body);
	}
	ctl_client_free(c);
	buf_done(&body);
	buf_done(&list);
}

static bool
print_result(const struct fetch_poll *p, int64_t ended_ms, struct buf *json)
{
	const struct fetch_result *r = &p->result;

	return buf_addf(json,
			       "{\"started_ms\":%lld,\"ended_ms\":%lld,\"next_ms\":%lld,"
			       "\"ok\":%s,\"event\":%d,\"text\":",
			       (long long)p->started_ms, (long long)ended_ms,
			       (long long)p->next_ms, r->failed ? "false" : "true",
			       r->failed ? r->error.event : EVENT_POLL_FINISHED) &&
			enc_json(json, span_of(r->failed ? r->error.text : "ok")) &&
			buf_addf(json,
					",\"listed\":%llu,\"collected\":%llu,\"deleted\":%llu,"
					"\"skipped\":%llu,\"failed\":%llu,\"octets\":%llu,"
					"\"waiting\":%llu,\"waiting_octets\":%llu,"
					"\"says\":",
					(unsigned long long)r->listed,
					(unsigned long long)r->collected,
					(unsigned long long)r->deleted,
					(unsigned long long)r->skipped,
					(unsigned long long)r->failures,
					(unsigned long long)r->octets,
					(unsigned long long)p->waiting,
					(unsigned long long)p->waiting_octets) &&
			enc_json(json, buf_span(&p->says)) && buf_addc(json, '}');
}

void
tell_polled(struct fetch_poll *p, int64_t ended_ms)
{
	struct buf body = BUF_MAX(CTL_BODY_MAX), json = BUF_MAX(8 * 1024);
	struct buf memo = BUF_MAX(POLL_MEMO_MAX), session = BUF_MAX(POLL_SESSION_MAX);
	struct ctl_client *c = relay(p);
	bool changed = fetch_memo_print(p->memo, &memo);

	if (c && print_result(p, ended_ms, &json) && ctl_put_span(&body, p->name) &&
			ctl_put_span(&body, buf_span(&json)) &&
			ctl_put_u64(&body, changed) &&
			ctl_put_span(&body, buf_span(&memo)) &&
			ring_print(&p->ring, &session) &&
			ctl_put_span(&body, buf_span(&session)) &&
			ask(c, CTL_POLLED, &body))
		fetch_memo_kept(p->memo);
	buf_done(&memo);
	buf_done(&session);
	ctl_client_free(c);
	buf_done(&body);
	buf_done(&json);
}
