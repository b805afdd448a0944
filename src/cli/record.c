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

/* provider_print's lines. */
static void
read_learned(struct record *r)
{
	struct span text = text_of(r->json, "learned");

	r->has_learned = text.n > 0;
	while (text.n > 0) {
		struct span line = span_until(&text, '\n');

		if (span_eq(span_word(&line), SPAN("provider")))
			provider_read(&r->learned, line);
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
	json_int_t received = json_integer_value(json_object_get(r.json, "received"));
	r.received = received > 0 && received < INT32_MAX ? (unsigned)received : 0;
	r.source = text_of(r.json, "source");
	r.rule = text_of(r.json, "rule");
	r.reason = text_of(r.json, "reason");
	r.account = text_of(r.json, "account");
	r.header = text_of(r.json, "header");
	r.told.to = text_of(r.json, "envelope_to");
	r.has_header = json_is_string(json_object_get(r.json, "header"));
	json_int_t seen =
			json_integer_value(json_object_get(r.json, "candidate_count"));
	r.n_seen = seen > 0 ? (size_t)seen : 0;
	read_learned(&r);
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
record_hops(const struct queue_recipient *r)
{
	return r->attempts == 0 && span_eq(r->reason, SPAN("hop-count"));
}

bool
record_nobody(const struct queue_recipient *r)
{
	return r->address.n == 0;
}

/* Code and words, as the relay said them. */
static struct span
reply_of(const struct queue_recipient *r, struct arena *a)
{
	AUTO(buf_done) struct buf reply = BUF_MAX(4096);

	return buf_addf(&reply, "%d ", r->code) && buf_add(&reply, r->reply)
			? arena_dup(a, buf_span(&reply))
			: SPAN("");
}

bool
record_sentence(const struct record *r, const struct queue_message *m, struct arena *a,
		struct buf *out)
{
	struct span *accepted = arena_alloc(a, (m->n + 1) * sizeof(*accepted));
	struct words_refused *refused = arena_alloc(a, (m->n + 1) * sizeof(*refused));
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
		.n_seen = r->n_seen,
	};

	if (!accepted || !refused)
		return false;
	for (size_t i = 0; i < m->n; i++) {
		const struct queue_recipient *to = &m->recipients[i];

		if (record_hops(to))
			d.hops = r->received;
		if (record_nobody(to))
			continue;
		if (record_refused(to))
			refused[d.n_refused++] = (struct words_refused){ to->address,
				reply_of(to, a), to->reason };
		else
			accepted[d.n_accepted++] = to->address;
	}
	return words_sentence(&d, out);
}
