#include "tell.h"

#include "postern/ctl.h"
#include "postern/enc.h"
#include "postern/log.h"

enum { WAIT_MS = 10000, BATCH = 512 * 1024 };

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
tell_listed(struct fetch_poll *p, const struct pop_listing *l)
{
	struct buf body = BUF_MAX(CTL_BODY_MAX), list = BUF_MAX(CTL_BODY_MAX);
	struct ctl_client *c = relay(p);
	size_t at = 0;
	bool ok = c;

	do {
		size_t count = 0;

		buf_clear(&list);
		for (; ok && at < l->n && list.n < BATCH; at++, count++)
			ok = ctl_put_span(&list, pop_listing_uid(l, at));
		buf_clear(&body);
		ok = ok && ctl_put_span(&body, p->name) && ctl_put_u64(&body, l->n) &&
				ctl_put_u64(&body, at < l->n) &&
				ctl_put_u64(&body, count) &&
				buf_add(&body, buf_span(&list)) &&
				ask(c, CTL_LISTED, &body);
	} while (ok && at < l->n);
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
			       r->failed ? r->error.event : 4001) &&
			enc_json(json, span_of(r->failed ? r->error.text : "ok")) &&
			buf_addf(json,
					",\"listed\":%llu,\"collected\":%llu,\"deleted\":%llu,"
					"\"skipped\":%llu,\"failed\":%llu,\"octets\":%llu,"
					"\"waiting\":%llu}",
					(unsigned long long)r->listed,
					(unsigned long long)r->collected,
					(unsigned long long)r->deleted,
					(unsigned long long)r->skipped,
					(unsigned long long)r->failures,
					(unsigned long long)r->octets,
					(unsigned long long)p->waiting);
}

void
tell_polled(struct fetch_poll *p, int64_t ended_ms)
{
	struct buf body = BUF_MAX(CTL_BODY_MAX), json = BUF_MAX(8 * 1024);
	struct ctl_client *c = relay(p);

	if (c && print_result(p, ended_ms, &json) && ctl_put_span(&body, p->name) &&
			ctl_put_span(&body, buf_span(&json)))
		(void)ask(c, CTL_POLLED, &body);
	ctl_client_free(c);
	buf_done(&body);
	buf_done(&json);
}
