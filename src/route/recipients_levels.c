/* The levels of E1, one function each, tried in order. A level marks the members it
 * takes; what stands against the others is kept with them, for `explain` and
 * `trace`. */
#include "recipients_scan.h"

#include <stdlib.h>

#include "postern/words.h"

static bool
picks_init(struct scan *s, struct picks *p)
{
	*p = (struct picks){ .v = arena_alloc(s->arena,
					     (s->list.n + 1) * sizeof(*p->v)) };
	s->full = s->full || !p->v;
	return p->v;
}

static void
own_keys(struct scan *s)
{
	const struct span own[] = { s->account->login, s->account->address };

	if (s->own_known)
		return;
	s->own_known = true;
	for (size_t i = 0; i < 2; i++) {
		AUTO(buf_done) struct buf key = BUF_MAX(ADDRESS_SIZE);
		struct address a;

		if (own[i].n > 0 && address_parse(s->arena, own[i], &a) &&
				address_key(&key, &a))
			s->own[i] = arena_dup(s->arena, buf_span(&key));
	}
}

/* The account's own login or mailbox, which Postfix and qmail write where the
 * recipient should be (E1.2). A login that is no address is met in Delivered-To
 * only, as the local part: elsewhere it may be somebody's name. */
static bool
is_own(struct scan *s, const struct source *src, size_t i)
{
	struct span login = s->account->login, key = scan_key(s, i);

	own_keys(s);
	for (size_t k = 0; k < 2; k++) {
		if (s->own[k].n > 0 && span_eq(s->own[k], key))
			return true;
	}
	return login.n > 0 && s->own[0].n == 0 &&
			span_eq_nocase(src->header, SPAN("Delivered-To")) &&
			span_eq_nocase(s->list.v[i].local, login);
}

/* Adds what a field of the trusted zone says to the picks. */
static void
pick_envelope(struct scan *s, const struct source *src, struct picks *p)
{
	for (size_t i = src->first; i < src->end; i++) {
		struct look *look = &s->looks[i];

		if (s->list.v[i].kind != ADDRESS_FULL || look->why)
			continue;
		if (s->list.v[i].loose)
			look->why = "E1.2: several words, not an address";
		else if (is_own(s, src, i))
			look->why = "E1.2: the account's own address";
		else
			p->v[p->n++] = i;
	}
}

static int
span_order(const void *a, const void *b)
{
	return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

static struct span *
keys_sorted(struct scan *s, const struct picks *p)
{
	struct span *keys = arena_alloc(s->arena, (p->n + 1) * sizeof(*keys));

	for (size_t i = 0; keys && i < p->n; i++)
		keys[i] = scan_key(s, p->v[i]);
	if (keys && p->n > 1)
		qsort(keys, p->n, sizeof(*keys), span_order);
	return keys;
}

/* Do both name the same recipients? */
static bool
same_set(struct scan *s, const struct picks *a, const struct picks *b)
{
	const struct span *x = keys_sorted(s, a), *y = keys_sorted(s, b);
	size_t i = 0, k = 0;

	if (!x || !y)
		return false;
	while (i < a->n && k < b->n) {
		struct span key = x[i];

		if (!span_eq(key, y[k]))
			return false;
		while (i < a->n && span_eq(x[i], key))
			i++;
		while (k < b->n && span_eq(y[k], key))
			k++;
	}
	return i == a->n && k == b->n;
}

/* Gathers what the trusted fields of one kind say. Two that disagree are no
 * evidence at all (E2): *agree is false then. */
static bool
gather(struct scan *s, enum role role, size_t name, struct picks *all, bool *agree)
{
	struct picks first = { .n = 0 };

	*agree = true;
	if (!picks_init(s, all))
		return false;
	for (size_t i = 0; i < s->n_sources; i++) {
		const struct source *src = &s->sources[i];
		size_t before = all->n;

		if (src->role != role || src->name != name || !scan_trusted(s, src))
			continue;
		if (role == ROLE_RECEIVED && (!src->provider || !src->single))
			continue;
		pick_envelope(s, src, all);
		struct picks here = { all->v + before, all->n - before };
		if (here.n == 0)
			continue;
		if (first.n == 0)
			first = here;
		else if (!same_set(s, &first, &here))
			*agree = false;
	}
	return all->n > 0;
}

static void
disagree(struct scan *s, const struct picks *p, struct span name, size_t n)
{
	for (size_t i = 0; i < p->n; i++)
		s->looks[p->v[i]].why = "E2: ambiguous, two fields disagree";
	scan_fact(s,
			(struct recipients_fact){ .event = EVENT_ENVELOPE_UNTRUSTED,
					.name = name,
					.n = n });
}

/* An envelope header that would have counted above the provider's Received
 * lines, but stands below them: the sender may have written it. */
static void
tell_untrusted(struct scan *s)
{
	for (size_t i = 0; i < s->n_sources; i++) {
		const struct source *src = &s->sources[i];
		bool counts = src->role == ROLE_ENVELOPE && !scan_trusted(s, src) &&
				src->name >= s->first_name && src->name < s->last_name;

		for (size_t k = src->first; counts && k < src->end; k++) {
			if (s->list.v[k].kind != ADDRESS_FULL || s->looks[k].why ||
					s->list.v[k].loose)
				continue;
			scan_fact(s,
					(struct recipients_fact){
							.event = EVENT_ENVELOPE_UNTRUSTED,
							.name = s->names[src->name],
							.n = scan_all(s, src->name) });
			return;
		}
	}
}

/* Not as this provider does it: nothing of this header counts (E2). */
static void
refuse_strange(struct scan *s, size_t name, const char *why)
{
	for (size_t i = 0; i < s->n_sources; i++) {
		const struct source *src = &s->sources[i];

		if (src->role != ROLE_ENVELOPE || src->name != name ||
				!scan_trusted(s, src))
			continue;
		for (size_t k = src->first; k < src->end; k++) {
			if (s->list.v[k].kind == ADDRESS_FULL && !s->looks[k].why)
				s->looks[k].why = why;
		}
	}
	s->out->seen.strange = true;
	scan_fact(s,
			(struct recipients_fact){ .event = EVENT_ENVELOPE_UNTRUSTED,
					.name = s->names[name],
					.n = scan_inside(s, name) });
}

enum habit { HABIT_USUAL, HABIT_FOREIGN, HABIT_COUNT };

/* Is the header there as the provider is known to write it? */
static enum habit
habit_of(const struct scan *s, size_t name)
{
	const struct provider_habits *p = s->account->learned;
	bool named = s->account->mode == RECIPIENTS_NAMES;

	if (!p || !provider_known(p))
		return HABIT_USUAL;
	if (!provider_writes(p, s->names[name]))
		return named ? HABIT_USUAL
			     : HABIT_FOREIGN; /* the administrator knows */
	return provider_usual(p, s->names[name], scan_inside(s, name)) ? HABIT_USUAL
								       : HABIT_COUNT;
}

/* A header that was always there is missing, or the configured one is. */
static void
tell_missing(struct scan *s)
{
	const struct provider_habits *p = s->account->learned;

	for (size_t name = s->first_name; name < s->last_name; name++) {
		bool always = p && provider_always(p, s->names[name]);

		if (scan_inside(s, name) > 0) {
			if (!p || !provider_known(p) || always)
				return;
			continue;
		}
		if (!always && s->account->mode != RECIPIENTS_NAMES)
			continue;
		s->out->seen.strange = s->out->seen.strange || always;
		scan_fact(s,
				(struct recipients_fact){
						.event = EVENT_ENVELOPE_MISSING,
						.name = s->names[name] });
		return;
	}
}

static enum found
level_envelope(struct scan *s)
{
	bool strict = s->account->mode == RECIPIENTS_STRICT, agree;
	enum found nobody = strict ? FOUND_STOP : FOUND_NOBODY;
	struct picks p;

	for (size_t name = s->first_name; name < s->last_name; name++) {
		unsigned inside = scan_inside(s, name);
		if (inside == 0)
			continue;

		enum habit habit = habit_of(s, name);
		if (habit == HABIT_FOREIGN) {
			refuse_strange(s, name,
					"E2: the provider does not write this header");
			continue;
		}
		if (habit == HABIT_COUNT) {
			refuse_strange(s, name,
					"E2: not as often as the provider writes it");
			return nobody;
		}
		if (!gather(s, ROLE_ENVELOPE, name, &p, &agree))
			continue;
		if (!agree) {
			disagree(s, &p, s->names[name], inside);
			return nobody;
		}
		s->out->source = s->names[name];
		return scan_take(s, &p, "E1.2: in the provider's envelope header")
				? FOUND_SOME
				: FOUND_NOBODY;
	}
	tell_untrusted(s);
	tell_missing(s);
	return nobody;
}

static enum found
level_received(struct scan *s)
{
	struct picks p;
	bool agree;

	if (!gather(s, ROLE_RECEIVED, 0, &p, &agree))
		return FOUND_NOBODY;
	if (!agree) {
		disagree(s, &p, SPAN("Received"), p.n);
		return FOUND_NOBODY;
	}
	s->out->source = SPAN("received-for");
	return scan_take(s, &p, "E1.3: in the provider's Received line") ? FOUND_SOME
									 : FOUND_NOBODY;
}

/* Picks every member that nothing speaks against. */
static enum found
take_role(struct scan *s, enum role role, bool top, const char *why)
{
	struct picks p;

	if (!picks_init(s, &p))
		return FOUND_NOBODY;
	for (size_t i = 0; i < s->list.n; i++) {
		const struct source *src = s->looks[i].source;

		if (src->role == role && src->top == top && !s->looks[i].why &&
				s->list.v[i].kind == ADDRESS_FULL)
			p.v[p.n++] = i;
	}
	return p.n > 0 && scan_take(s, &p, why) ? FOUND_SOME : FOUND_NOBODY;
}

static enum found
level_told(struct scan *s)
{
	s->out->source = SPAN("*ENV");
	return take_role(s, ROLE_TOLD, false, "E1.1: the server itself says so");
}

static enum found
level_resent(struct scan *s)
{
	s->out->source = SPAN("resent-to");
	return take_role(s, ROLE_RESENT, true, "E1.4: in the topmost resent block");
}

static enum found
level_visible(struct scan *s)
{
	if (s->resent_named)
		return FOUND_NOBODY; /* E1.4: they replace To and Cc */
	s->out->source = SPAN("to-cc");
	enum found found = take_role(s, ROLE_VISIBLE, false, "E1.5: in To, Cc or Bcc");
	if (found == FOUND_SOME)
		return found;
	s->out->source = SPAN("apparently-to");
	return take_role(s, ROLE_APPARENTLY, false, "E1.5: in Apparently-To");
}

/* ---- level 6: alias rules ---- */

/* The rule for one member of To or Cc, whatever it is: an address that is not ours,
 * a bare name, words. */
static const struct rule *
member_rule(struct scan *s, size_t i)
{
	AUTO(buf_done) struct buf text = BUF_MAX(3 * WORDS_MAX);
	const struct recipients_rules *rules = s->account->rules;
	const struct address *a = &s->list.v[i];
	const struct rule *rule = NULL;
	struct span words = a->text;

	if (a->kind == ADDRESS_FULL && rules->n_addresses > 0)
		rule = rules_address(rules, scan_key(s, i));
	if (a->kind == ADDRESS_NAME)
		words = a->local;
	if (!rule && rules->n_texts > 0 && words.n > 0 && words_fold(&text, words))
		rule = rules_text(rules, buf_span(&text));
	return rule;
}

/* The member as a person sees it. */
static struct span
member_text(const struct address *a)
{
	return span_first(span_trim(a->raw), 256);
}

static bool
apply_members(struct scan *s)
{
	enum role role = s->resent_named ? ROLE_RESENT : ROLE_VISIBLE;

	for (size_t i = 0; i < s->list.n && !s->full; i++) {
		const struct source *src = s->looks[i].source;
		const struct rule *rule =
				src->role == role && src->top == s->resent_named
				? member_rule(s, i)
				: NULL;

		if (rule && !rule->rewrite)
			scan_apply(s, rule, member_text(&s->list.v[i]), i);
	}
	return scan_settle(s);
}

/* The first address that List-Post names (RFC 2369: several URLs, the preferred one
 * first). */
static const struct rule *
post_rule(struct scan *s)
{
	AUTO(buf_done) struct buf key = BUF_MAX(ADDRESS_SIZE);
	struct angles all = { .rest = s->list_post };
	struct span url;
	struct address a;

	while (scan_angle(&all, &url)) {
		if (!span_starts_nocase(url, SPAN("mailto:")))
			continue;
		url = span_skip(url, 7);
		url = span_first(url, span_find(url, '?'));
		return address_parse(s->arena, url, &a) && address_key(&key, &a)
				? rules_address(s->account->rules, buf_span(&key))
				: NULL;
	}
	return NULL;
}

static bool
apply_list(struct scan *s)
{
	const struct rule *rule = scan_list_rule(s);

	if (!rule)
		rule = post_rule(s);
	if (!rule)
		return false;
	struct span text = s->list_id.p ? scan_list_id(s) : span_trim(s->list_post);
	scan_apply(s, rule, span_first(text, 256), (size_t)NOBODY);
	return scan_settle(s);
}

static enum found
level_alias(struct scan *s)
{
	if (!s->account->rules || s->account->rules->n == 0)
		return FOUND_NOBODY;
	s->out->source = SPAN("alias");
	if (apply_members(s))
		return FOUND_SOME;
	s->out->source = SPAN("list-id");
	return apply_list(s) ? FOUND_SOME : FOUND_NOBODY;
}

static const struct level {
	unsigned number; /* as in E1 */
	enum found (*ask)(struct scan *);
} levels[] = {
	{ 1, level_told },
	{ 2, level_envelope },
	{ 3, level_received },
	{ 4, level_resent },
	{ 5, level_visible },
	{ 6, level_alias },
};

enum found
scan_levels(struct scan *s)
{
	enum found found = FOUND_NOBODY;

	for (size_t i = 0;
			found == FOUND_NOBODY && i < sizeof(levels) / sizeof(*levels);
			i++) {
		found = levels[i].ask(s);
		if (found == FOUND_SOME)
			s->out->level = levels[i].number;
	}
	return found;
}

const char *
scan_left_because(const struct scan *s, const struct source *src)
{
	unsigned level = s->out->level;
	bool trusted = scan_trusted(s, src);

	if (src->role == ROLE_ENVELOPE &&
			(src->name < s->first_name || src->name >= s->last_name))
		return "E1.2: the account does not use this header";
	if (!trusted && src->role == ROLE_ENVELOPE && s->account->bottom)
		return "E2: not the last field of the header";
	if (!trusted && (src->role == ROLE_ENVELOPE || src->role == ROLE_RECEIVED))
		return "E2: not above the provider's Received lines";
	if (src->role == ROLE_RECEIVED && !src->single)
		return "E1.3: the for-clause names several";
	if (src->role == ROLE_RECEIVED && !src->provider)
		return "E1.3: the by host is not the provider's";
	if (src->role == ROLE_RESENT && !src->top)
		return "E1.4: not in the topmost resent block";
	if (s->account->mode == RECIPIENTS_STRICT && level == 0)
		return "E1.2: strict, only the envelope header counts";
	if (src->role >= ROLE_VISIBLE && level != 5 && s->resent_named &&
			(level == 0 || level == 4 || level == 6))
		return "E1.4: replaced by the resent block";
	return "E1: a source before it decided";
}
