#include "record.h"

enum { CANDIDATES_MAX = 10000 };

static struct span
text_of(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return json_is_string(v)
			? (struct span){ json_string_value(v), json_string_length(v) }
			: SPAN("");
}

static bool
outcome_of(struct span word, enum recipients_outcome *out)
{
	static const struct {
		struct span word;
		enum recipients_outcome outcome;
	} all[] = {
		{ { SPAN_INIT("found") }, RECIPIENTS_FOUND },
		{ { SPAN_INIT("fallback") }, RECIPIENTS_FALLBACK },
		{ { SPAN_INIT("hold") }, RECIPIENTS_HOLD },
		{ { SPAN_INIT("badmail") }, RECIPIENTS_BADMAIL },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (span_eq(word, all[i].word)) {
			*out = all[i].outcome;
			return true;
		}
	}
	return false;
}

static void
read_candidates(struct record *r, struct arena *a)
{
	const json_t *list = json_object_get(r->json, "candidates"), *one;
	size_t n = json_array_size(list), i;

	n = n < CANDIDATES_MAX ? n : CANDIDATES_MAX;
	r->candidates = arena_alloc(a, (n + 1) * sizeof(*r->candidates));
	json_array_foreach(list, i, one)
	{
		if (!r->candidates || i == n)
			return;
		const char *why = json_string_value(json_object_get(one, "why"));
		r->candidates[r->n_candidates++] = (struct recipients_candidate){
			.address = text_of(one, "address"),
			.header = text_of(one, "header"),
			.kept = json_is_true(json_object_get(one, "kept")),
			.why = why ? why : "",
		};
	}
}

bool
record_read(struct span route, struct arena *a, struct record *out)
{
	/* A header may hold NUL, and so may what was taken from it. */
	struct record r = { .json = json_loadb(route.p ? route.p : "", route.n,
					    JSON_ALLOW_NUL, NULL) };
	json_int_t level = json_integer_value(json_object_get(r.json, "level"));

	if (!json_is_object(r.json) ||
			!outcome_of(text_of(r.json, "outcome"), &r.outcome)) {
		json_decref(r.json);
		return false;
	}
	r.user = span_eq(text_of(r.json, "type"), SPAN("user"));
	r.cut = json_is_true(json_object_get(r.json, "cut"));
	r.level = level > 0 && level < 100 ? (unsigned)level : 0;
	r.source = text_of(r.json, "source");
	r.rule = text_of(r.json, "rule");
	r.reason = text_of(r.json, "reason");
	r.account = text_of(r.json, "account");
	r.header = text_of(r.json, "header");
	r.told.to = text_of(r.json, "envelope_to");
	read_candidates(&r, a);
	*out = r;
	return true;
}

void
record_done(struct record *r)
{
	json_decref(r->json);
	*r = (struct record){ 0 };
}

bool
record_refused(const struct queue_recipient *r)
{
	return r->attempts == 0 && r->code >= 500 && r->address.n > 0;
}

bool
record_nobody(const struct queue_recipient *r)
{
	return r->address.n == 0;
}

bool
record_sentence(const struct record *r, const struct queue_message *m, struct arena *a,
		struct buf *out)
{
	AUTO(buf_done) struct buf refusal = BUF_MAX(4096);
	struct span *accepted = arena_alloc(a, (m->n + 1) * sizeof(*accepted));
	struct span *refused = arena_alloc(a, (m->n + 1) * sizeof(*refused));
	struct words_decision d = {
		.past = true,
		.user = r->user,
		.outcome = r->outcome,
		.level = r->level,
		.source = r->source,
		.rule = r->rule,
		.account = r->account,
		.accepted = accepted,
		.refused = refused,
		.candidates = r->candidates,
		.n_candidates = r->n_candidates,
	};

	if (!accepted || !refused)
		return false;
	for (size_t i = 0; i < m->n; i++) {
		const struct queue_recipient *to = &m->recipients[i];

		if (record_nobody(to))
			continue;
		if (!record_refused(to)) {
			accepted[d.n_accepted++] = to->address;
			continue;
		}
		if (d.n_refused == 0) {
			d.badmail = to->reason;
			if (buf_addf(&refusal, "%d ", to->code) &&
					buf_add(&refusal, to->reply))
				d.refusal = buf_span(&refusal);
		}
		refused[d.n_refused++] = to->address;
	}
	return words_sentence(&d, out);
}
