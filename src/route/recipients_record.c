/* The route record: what `trace` tells of a decision later, as JSON. */
#include "postern/recipients.h"

#include "postern/enc.h"

enum {
	TAIL = 256, /* room for what closes the object */
	RECIPIENTS_PART = RECIPIENTS_RECORD_MAX / 2,
	VALUE_MAX = 512, /* of one text from outside */
};

static bool
add_text(struct buf *out, const char *name, struct span value)
{
	return buf_addf(out, "\"%s\":", name) &&
			enc_json(out, span_first(value, VALUE_MAX));
}

static bool
add_recipients(struct buf *out, const struct recipients *r, size_t end, bool *cut)
{
	if (!buf_add(out, SPAN(",\"recipients\":[")))
		return false;
	for (size_t i = 0; i < r->n; i++) {
		size_t before = out->n;

		if ((i > 0 && !buf_addc(out, ',')) ||
				!enc_json(out, span_first(r->v[i], VALUE_MAX)) ||
				out->n > end) {
			out->n = before;
			*cut = true;
			break;
		}
	}
	return buf_addc(out, ']');
}

static bool
add_candidate(struct buf *out, const struct recipients_candidate *c)
{
	return buf_addc(out, '{') && add_text(out, "address", c->address) &&
			buf_addc(out, ',') && add_text(out, "header", c->header) &&
			buf_addf(out, ",\"kept\":%s,", c->kept ? "true" : "false") &&
			add_text(out, "why", span_of(c->why)) && buf_addc(out, '}');
}

static bool
add_candidates(struct buf *out, const struct recipients *r, size_t end, bool *cut)
{
	if (!buf_add(out, SPAN(",\"candidates\":[")))
		return false;
	for (size_t i = 0; i < r->n_candidates; i++) {
		size_t before = out->n;

		if ((i > 0 && !buf_addc(out, ',')) ||
				!add_candidate(out, &r->candidates[i]) ||
				out->n > end) {
			out->n = before;
			*cut = true;
			break;
		}
	}
	return buf_addc(out, ']');
}

/* The first alias rule that was applied. */
static bool
add_rule(struct buf *out, const struct recipients *r)
{
	for (size_t i = 0; i < r->n_facts; i++) {
		if (r->facts[i].event == EVENT_ALIAS_APPLIED)
			return buf_addc(out, ',') &&
					add_text(out, "rule", r->facts[i].name);
	}
	return true;
}

static bool
add_told(struct buf *out, const struct recipients *r)
{
	return r->told.n == 0 ||
			(buf_addc(out, ',') && add_text(out, "envelope_to", r->told));
}

/* What is known of the provider, where it counts already. */
static bool
add_learned(struct buf *out, const struct recipients_account *account)
{
	AUTO(buf_done) struct buf text = BUF_MAX(16 * 1024);

	if (!account->learned || account->user ||
			account->learned->seen < PROVIDER_LEARN_HOPS)
		return true;
	return provider_print(account->learned, &text) &&
			buf_add(out, SPAN(",\"learned\":")) &&
			enc_json(out, buf_span(&text));
}

/* For replays; left out where it does not fit, which says that there can be none. */
static bool
add_fields(struct buf *out, const struct recipients_account *account,
		const struct recipients *r, size_t begin)
{
	size_t before = out->n;

	if (r->fields_cut || account->user || r->told.n > VALUE_MAX)
		return true;
	if (!add_told(out, r) || !add_learned(out, account) ||
			!buf_add(out, SPAN(",\"header\":")) ||
			!enc_json(out, r->fields) ||
			out->n - begin >= RECIPIENTS_RECORD_MAX)
		out->n = before;
	return true;
}

bool
recipients_record(const struct recipients_account *account, const struct recipients *r,
		struct buf *out)
{
	static const char *const outcomes[] = {
		[RECIPIENTS_FOUND] = "found",
		[RECIPIENTS_FALLBACK] = "fallback",
		[RECIPIENTS_HOLD] = "hold",
		[RECIPIENTS_BADMAIL] = "badmail",
	};
	size_t begin = out->n;
	bool cut = false;

	bool ok = buf_addc(out, '{') && add_text(out, "account", account->name) &&
			buf_addf(out, ",\"type\":\"%s\",\"outcome\":\"%s\",\"level\":%u,",
					account->user ? "user" : "global",
					outcomes[r->outcome], r->level) &&
			add_text(out, "source", r->source) && buf_addc(out, ',') &&
			add_text(out, "reason", span_of(r->reason)) &&
			buf_addc(out, ',') && add_text(out, "sender", r->sender) &&
			buf_addf(out, ",\"no_notify\":%s,\"received\":%u,\"trusted_hops\":%u,",
					r->no_notify ? "true" : "false", r->received,
					account->trusted_hops) &&
			add_text(out, "message_id", r->message_id) &&
			add_recipients(out, r, begin + RECIPIENTS_PART, &cut) &&
			add_candidates(out, r, begin + RECIPIENTS_RECORD_MAX - TAIL,
					&cut) &&
			buf_addf(out, ",\"recipient_count\":%zu,\"candidate_count\":%zu,\"cut\":%s",
					r->n, r->n_candidates,
					cut ? "true" : "false") &&
			add_rule(out, r) && add_fields(out, account, r, begin) &&
			buf_addc(out, '}');
	if (!ok)
		out->n = begin;
	return ok;
}
