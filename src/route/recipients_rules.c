#include "recipients_rules.h"

#include <stdlib.h>

#include "postern/words.h"

static int
rule_order(const void *a, const void *b)
{
	const struct rule *x = a, *y = b;
	int order = span_cmp(x->key, y->key);

	if (order == 0)
		order = (int)x->rewrite - (int)y->rewrite;
	return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

/* Sorted, and of equal ones only the first. */
static size_t
settle(struct rule *v, size_t n)
{
	size_t kept = 0;

	if (n > 1)
		qsort(v, n, sizeof(*v), rule_order);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || v[kept - 1].rewrite != v[i].rewrite ||
				!span_eq(v[kept - 1].key, v[i].key))
			v[kept++] = v[i];
	}
	return kept;
}

static bool
target_of(struct arena *arena, struct span text, struct rule_target *out)
{
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);
	AUTO(buf_done) struct buf key = BUF_MAX(ADDRESS_SIZE);
	struct address a;

	if (!address_parse(arena, text, &a) || !address_wire(&wire, &a) ||
			!address_key(&key, &a))
		return false;
	*out = (struct rule_target){ arena_dup(arena, buf_span(&wire)),
		arena_dup(arena, buf_span(&key)), address_utf8(&a) };
	return out->wire.p && out->key.p;
}

/* "*@domain": the domain, canonical, in the arena. */
static bool
star_domain(struct arena *arena, struct span text, struct span *out)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];

	if (!span_starts(text, SPAN("*@")) || !domain_canon(span_skip(text, 2), domain))
		return false;
	*out = arena_dup(arena, span_of(domain));
	return out->p;
}

static bool
targets_of(struct arena *arena, const struct recipients_rule *from, struct rule *out)
{
	out->to = arena_alloc(arena, (from->n + 1) * sizeof(*out->to));
	for (size_t i = 0; out->to && i < from->n; i++)
		out->n += target_of(arena, from->to[i], &out->to[out->n]);
	return out->n > 0;
}

static bool
domain_rule(struct arena *arena, const struct recipients_rule *from, struct rule *out)
{
	if (!star_domain(arena, out->match, &out->key))
		return false;
	out->rewrite = from->n == 1 && star_domain(arena, from->to[0], &out->other);
	return out->rewrite || targets_of(arena, from, out);
}

static bool
address_rule(struct arena *arena, const struct recipients_rule *from, struct rule *out)
{
	struct rule_target match;

	if (!target_of(arena, out->match, &match))
		return false;
	out->key = match.key;
	return targets_of(arena, from, out);
}

static bool
text_rule(struct arena *arena, const struct recipients_rule *from, struct rule *out)
{
	AUTO(buf_done) struct buf text = BUF_MAX(3 * WORDS_MAX);

	if (out->match.n > WORDS_MAX || !words_fold(&text, out->match) || text.n == 0)
		return false;
	out->key = arena_dup(arena, buf_span(&text));
	return out->key.p && targets_of(arena, from, out);
}

/* What a text begins with is its neighbour before, or what that begins with. */
static void
link_texts(struct recipients_rules *r)
{
	for (size_t i = 0; i < r->n_texts; i++) {
		size_t within = i > 0 ? i - 1 : NO_TEXT;

		while (within != NO_TEXT &&
				!span_starts(r->texts[i].key, r->texts[within].key))
			within = r->text_within[within];
		r->text_within[i] = within;
	}
}

const struct recipients_rules *
recipients_rules_new(struct arena *arena, const struct recipients_rule *v, size_t n,
		size_t *left_out)
{
	struct recipients_rules *r = arena_alloc(arena, sizeof(*r));

	*left_out = 0;
	if (!r)
		return NULL;
	r->addresses = arena_alloc(arena, (n + 1) * sizeof(*r->addresses));
	r->domains = arena_alloc(arena, (n + 1) * sizeof(*r->domains));
	r->texts = arena_alloc(arena, (n + 1) * sizeof(*r->texts));
	r->text_within = arena_alloc(arena, (n + 1) * sizeof(*r->text_within));
	if (!r->addresses || !r->domains || !r->texts || !r->text_within)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct span match = span_trim(v[i].match);
		struct rule rule = { .index = r->n, .match = arena_dup(arena, match) };

		if (span_starts(match, SPAN("*@")) && domain_rule(arena, &v[i], &rule))
			r->domains[r->n_domains++] = rule;
		else if (span_find(match, '@') < match.n &&
				address_rule(arena, &v[i], &rule))
			r->addresses[r->n_addresses++] = rule;
		else if (span_find(match, '@') == match.n &&
				text_rule(arena, &v[i], &rule))
			r->texts[r->n_texts++] = rule;
		else
			(*left_out)++;
		r->n = r->n_addresses + r->n_domains + r->n_texts;
	}
	r->n_addresses = settle(r->addresses, r->n_addresses);
	r->n_domains = settle(r->domains, r->n_domains);
	r->n_texts = settle(r->texts, r->n_texts);
	link_texts(r);
	return r;
}

static int
key_order(const void *a, const void *b)
{
	const struct rule *x = a, *y = b;
	int order = span_cmp(x->key, y->key);

	return order != 0 ? order : (int)x->rewrite - (int)y->rewrite;
}

static const struct rule *
find(const struct rule *v, size_t n, struct span key, bool rewrite)
{
	const struct rule wanted = { .key = key, .rewrite = rewrite };

	return n > 0 ? bsearch(&wanted, v, n, sizeof(*v), key_order) : NULL;
}

const struct rule *
rules_address(const struct recipients_rules *rules, struct span key)
{
	return rules ? find(rules->addresses, rules->n_addresses, key, false) : NULL;
}

const struct rule *
rules_domain(const struct recipients_rules *rules, struct span domain, bool rewrite)
{
	return rules ? find(rules->domains, rules->n_domains, domain, rewrite) : NULL;
}

/* The last text that does not sort behind s, or NO_TEXT. */
static size_t
text_before(const struct recipients_rules *rules, struct span s)
{
	size_t low = 0, high = rules->n_texts;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (span_cmp(rules->texts[mid].key, s) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 ? low - 1 : NO_TEXT;
}

const struct rule *
rules_text(const struct recipients_rules *rules, struct span text)
{
	const struct rule *first = NULL;

	for (size_t at = 0; rules && rules->n_texts > 0 && at < text.n; at++) {
		struct span rest = span_skip(text, at);

		if (!words_bound(text, at))
			continue;
		for (size_t i = text_before(rules, rest); i != NO_TEXT;
				i = rules->text_within[i]) {
			const struct rule *rule = &rules->texts[i];

			if (span_starts(rest, rule->key) &&
					words_bound(text, at + rule->key.n) &&
					(!first || rule->index < first->index))
				first = rule;
		}
	}
	return first;
}

const struct rule *
rules_exact_text(const struct recipients_rules *rules, struct span text)
{
	return rules && text.n > 0 ? find(rules->texts, rules->n_texts, text, false)
				   : NULL;
}
