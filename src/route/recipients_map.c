/* What addresses become (E6): exact address, address without its tag, domain alias,
 * text rule, List-Id rule, wildcard. One pass: what a rule gives is not asked again;
 * lists are expanded by the relay. */
#include "recipients_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/directory.h"
#include "postern/must.h"
#include "postern/policy.h"
#include "postern/words.h"

enum { WHY_MAX = 400 };

struct span
scan_key(struct scan *s, size_t i)
{
	struct look *look = &s->looks[i];
	AUTO(buf_done) struct buf key = BUF_MAX(ADDRESS_SIZE);

	if (!look->key.p && address_key(&key, &s->list.v[i]))
		look->key = arena_dup(s->arena, buf_span(&key));
	return look->key;
}

/* ---- which rule ---- */

/* What parts a tag from the user in addresses of the domain (E5). */
static struct span
delimiters(const struct scan *s, struct span domain)
{
	const struct directory *d = s->account->directory;
	const struct policy_domain *row =
			d ? policy_find(directory_policies(d), domain) : NULL;

	return row ? row->subaddress : SPAN("+");
}

/* The key with what stands from `end` to `at`, its @, cut out. */
static struct span
cut_local(char out[ADDRESS_SIZE], struct span key, size_t end, size_t at)
{
	MUST(key.n <= ADDRESS_SIZE && end <= at && at < key.n);
	memcpy(out, key.p, end);
	memcpy(out + end, key.p + at, key.n - at);
	return (struct span){ out, end + key.n - at };
}

/* The last delimiter in the local part before `end`, or 0: there is none behind a user. */
static size_t
tag_before(struct span key, struct span delims, size_t end)
{
	if (key.n == 0 || key.p[0] == '"')
		return 0;
	while (end > 0 && span_find(delims, key.p[end]) == delims.n)
		end--;
	return end;
}

/* What rules are asked about one address. */
struct asked {
	struct span key, local, domain; /* local as in the key, its tag off */
	size_t at; /* of the @ in the key */
	bool known; /* the directory has it */
	bool known_bare; /* ... without its tag */
	bool strange; /* there are known recipients, and it is none of them */
};

static void
ask_directory(const struct scan *s, size_t i, struct asked *a)
{
	const struct directory *d = s->account->directory;
	struct directory_match match;

	if (!d || directory_size(d) == 0)
		return;
	if (!directory_find(d, s->list.v[i].local, a->domain, &match))
		a->strange = true;
	else if (match.without_tag)
		a->known_bare = true;
	else
		a->known = true;
}

static const struct rule *
text_rule(struct scan *s, size_t i, const struct asked *a)
{
	AUTO(buf_done) struct buf text = BUF_MAX(3 * WORDS_MAX);
	const struct recipients_rules *rules = s->account->rules;

	if (rules->n_texts == 0)
		return NULL;
	const struct rule *rule = rules_exact_text(rules, a->local);
	if (!rule && s->list.v[i].text.n > 0 && words_fold(&text, s->list.v[i].text))
		rule = rules_text(rules, buf_span(&text));
	return rule;
}

/* Past a comment or a quoted string that begins at s; 0: it does not end. */
static size_t
enclosed(struct span s)
{
	bool quoted = s.p[0] == '"';
	size_t depth = 1;

	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '(' && !quoted)
			depth++;
		else if (s.p[i] == (quoted ? '"' : ')') && --depth == 0)
			return i + 1;
	}
	return 0;
}

bool
scan_angle(struct angles *a, struct span *out)
{
	while (a->rest.n > 0) {
		char c = a->rest.p[0];
		size_t past = (c == '(' || c == '"') && !a->plain ? enclosed(a->rest)
								  : 1;

		a->plain = a->plain || past == 0;
		if (c == '<') {
			a->rest = span_skip(a->rest, 1);
			*out = span_trim(span_until(&a->rest, '>'));
			return true;
		}
		a->rest = span_skip(a->rest, past > 0 ? past : 1);
	}
	return false;
}

struct span
scan_list_id(const struct scan *s)
{
	struct angles all = { .rest = s->list_id };
	struct span id = span_trim(s->list_id);

	while (scan_angle(&all, &id))
		;
	return id;
}

const struct rule *
scan_list_rule(struct scan *s)
{
	AUTO(buf_done) struct buf text = BUF_MAX(3 * WORDS_MAX);

	if (!s->list_asked && s->list_id.p && words_fold(&text, scan_list_id(s)))
		s->list_rule = rules_exact_text(s->account->rules, buf_span(&text));
	s->list_asked = true;
	return s->list_rule;
}

/* The rule of an address without its tag: of the longest user that has one. */
static const struct rule *
bare_rule(const struct recipients_rules *rules, const struct asked *a,
		struct span delims)
{
	size_t end = a->at > 0 ? tag_before(a->key, delims, a->at - 1) : 0;
	const struct rule *rule = NULL;
	char bare[ADDRESS_SIZE];

	for (; end > 0 && !rule; end = tag_before(a->key, delims, end - 1))
		rule = rules_address(rules, cut_local(bare, a->key, end, a->at));
	return rule;
}

/* Could List-Id speak for this member? Not where the provider said whom it is for. */
static bool
may_be_listed(const struct scan *s, size_t i)
{
	enum role role = s->looks[i].source->role;

	return role != ROLE_TOLD && role != ROLE_ENVELOPE && role != ROLE_RECEIVED;
}

/* E6 in its order; NULL: the address stays what it is. */
static const struct rule *
rule_for(struct scan *s, size_t i)
{
	const struct recipients_rules *rules = s->account->rules;
	struct asked a = { .key = scan_key(s, i) };
	const struct rule *rule;

	if (!rules || rules->n == 0)
		return NULL;
	a.at = span_rfind(a.key, '@');
	if (a.at == a.key.n)
		return NULL;
	a.domain = span_skip(a.key, a.at + 1);
	struct span delims = delimiters(s, a.domain);
	a.local = span_first(a.key, a.at);
	for (size_t k = 1; k < a.local.n && a.key.p[0] != '"'; k++) {
		if (span_find(delims, a.local.p[k]) < delims.n)
			a.local.n = k; /* ends the loop: the user alone */
	}
	ask_directory(s, i, &a);

	rule = rules_address(rules, a.key);
	if (rule || a.known)
		return rule;
	rule = bare_rule(rules, &a, delims);
	if (rule || a.known_bare)
		return rule;
	rule = rules_domain(rules, a.domain, true);
	if (!rule)
		rule = text_rule(s, i, &a);
	if (!rule && a.strange && may_be_listed(s, i))
		rule = scan_list_rule(s);
	return rule ? rule : rules_domain(rules, a.domain, false);
}

/* ---- results ---- */

static void
result_add(struct scan *s, struct result r)
{
	if (s->n_results == s->cap_results) {
		size_t cap = s->cap_results ? s->cap_results * 2 : 16;
		struct result *v = arena_alloc(s->arena, cap * sizeof(*v));

		if (!v) {
			s->full = true;
			return;
		}
		if (s->n_results > 0)
			memcpy(v, s->results, s->n_results * sizeof(*v));
		s->results = v;
		s->cap_results = cap;
	}
	s->results[s->n_results++] = r;
}

/* True the first time a rule is applied to this message. */
static bool
first_use(struct scan *s, const struct rule *rule)
{
	if (!s->rule_used)
		s->rule_used = arena_alloc(
				s->arena, s->account->rules->n * sizeof(*s->rule_used));
	if (!s->rule_used) {
		s->full = true;
		return true;
	}
	bool first = !s->rule_used[rule->index];
	s->rule_used[rule->index] = true;
	return first;
}

static void
say_rule(struct scan *s, const struct rule *rule, struct span text, size_t from)
{
	struct span to = rule->n > 0 ? rule->to[0].wire : rule->other;
	char why[WHY_MAX], more[32] = "";

	if (rule->n > 1)
		(void)snprintf(more, sizeof(more), " and %zu more", rule->n - 1);
	scan_fact(s,
			(struct recipients_fact){ .event = EVENT_ALIAS_APPLIED,
					.name = rule->match,
					.text = text,
					.more = to });
	if (from == (size_t)NOBODY)
		return;
	(void)snprintf(why, sizeof(why), "E6: rule \"%.100s\" gives %.200s%s",
			rule->match.p, to.p, more);
	const char *copy = arena_str(s->arena, span_of(why));
	s->looks[from].why = copy ? copy : "E6: an alias rule";
}

void
scan_apply(struct scan *s, const struct rule *rule, struct span text, size_t from)
{
	if (!first_use(s, rule)) {
		if (from != (size_t)NOBODY)
			s->looks[from].why = "E6: the same alias rule again";
		return;
	}
	for (size_t i = 0; i < rule->n; i++) {
		if (!rule->to[i].utf8 || s->account->smtputf8)
			result_add(s,
					(struct result){ rule->to[i].key,
							rule->to[i].wire, from,
							rule->to[i].utf8 });
	}
	say_rule(s, rule, text, from);
}

/* *@old to *@new: only the domain is another one. */
static void
apply_rewrite(struct scan *s, const struct rule *rule, size_t i)
{
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);
	AUTO(buf_done) struct buf key = BUF_MAX(ADDRESS_SIZE);
	struct address a = s->list.v[i];

	a.domain = rule->other;
	if (address_refused(&a) || !address_wire(&wire, &a) || !address_key(&key, &a)) {
		s->looks[i].why = "E6: too long in the other domain";
		return;
	}
	struct result r = { arena_dup(s->arena, buf_span(&key)),
		arena_dup(s->arena, buf_span(&wire)), i, address_utf8(&a) };
	if (!r.key.p || !r.wire.p) {
		s->full = true;
		return;
	}
	result_add(s, r);
	say_rule(s, rule, s->list.v[i].raw, i);
}

static void
map_one(struct scan *s, size_t i, const char *why)
{
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);
	const struct address *a = &s->list.v[i];
	const struct rule *rule = rule_for(s, i);

	if (rule && rule->rewrite) {
		apply_rewrite(s, rule, i);
		return;
	}
	if (rule) {
		scan_apply(s, rule, a->raw, i);
		return;
	}
	struct result r = { .key = scan_key(s, i), .from = i, .utf8 = address_utf8(a) };
	if (r.key.n == 0 || !address_wire(&wire, a))
		return;
	r.wire = arena_dup(s->arena, buf_span(&wire));
	if (!r.wire.p) {
		s->full = true;
		return;
	}
	s->looks[i].why = why;
	result_add(s, r);
}

/* ---- recipients ---- */

struct keyed {
	struct span key;
	size_t at;
};

static int
keyed_order(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;
	int order = span_cmp(x->key, y->key);

	return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

/* Empties the key of every result that an earlier one is the same as. */
static bool
results_once(struct scan *s)
{
	struct keyed *keys = arena_alloc(s->arena, (s->n_results + 1) * sizeof(*keys));

	if (!keys)
		return false;
	for (size_t i = 0; i < s->n_results; i++)
		keys[i] = (struct keyed){ s->results[i].key, i };
	if (s->n_results > 1)
		qsort(keys, s->n_results, sizeof(*keys), keyed_order);
	for (size_t i = 1; i < s->n_results; i++) {
		if (span_eq(keys[i].key, keys[i - 1].key))
			s->results[keys[i].at].key = SPAN("");
	}
	return true;
}

bool
scan_settle(struct scan *s)
{
	struct recipients *out = s->out;

	if (s->n_results == 0)
		return false;
	out->v = arena_alloc(s->arena, s->n_results * sizeof(*out->v));
	if (!out->v || !results_once(s)) {
		s->full = true;
		return false;
	}
	for (size_t i = 0; i < s->n_results; i++) {
		const struct result *r = &s->results[i];

		if (r->key.n == 0)
			continue;
		out->v[out->n++] = r->wire;
		out->utf8 = out->utf8 || r->utf8;
		if (r->from != (size_t)NOBODY)
			s->looks[r->from].kept = true;
	}
	for (size_t i = 0; i < s->n_results; i++) {
		const struct result *r = &s->results[i];

		if (r->from != (size_t)NOBODY && !s->looks[r->from].kept)
			s->looks[r->from].why = "E6: the same recipient again";
	}
	return out->n > 0;
}

bool
scan_take(struct scan *s, const struct picks *p, const char *why)
{
	for (size_t i = 0; i < p->n && !s->full; i++)
		map_one(s, p->v[i], why);
	return scan_settle(s);
}
