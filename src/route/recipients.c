/* Who receives: the levels of RECIPIENTS.md E1, one function each, tried in
 * order. A level marks the members it takes; what stands against the others is
 * kept with them, for `explain` and `trace`. */
#include "postern/recipients.h"

#include "recipients_scan.h"

#include <stdio.h>
#include <stdlib.h>

enum found {
	FOUND_NOBODY, /* the next level is asked */
	FOUND_SOME,
	FOUND_STOP, /* nobody, and no other level may be asked */
};

/* Members that a level takes, in order. */
struct picks {
	size_t *v;
	size_t n;
};

static bool
picks_init(struct scan *s, struct picks *p)
{
	*p = (struct picks){ .v = arena_alloc(s->arena,
					     (s->list.n + 1) * sizeof(*p->v)) };
	s->full = s->full || !p->v;
	return p->v;
}

/* What speaks against an address whatever field it stands in; NULL: nothing. */
static const char *
judge(const struct scan *s, const struct address *a)
{
	char domain[ADDRESS_DOMAIN_MAX + 1], text[128];

	if (!domain_canon(a->domain, domain))
		return "E11: no usable domain";
	if (!s->account->served ||
			!domains_have_canon(s->account->served, span_of(domain)))
		return "E11: not in the account's domains";
	const char *refused = address_refused(a);
	if (refused) {
		(void)snprintf(text, sizeof(text), "H01: %s", refused);
		const char *why = arena_str(s->arena, span_of(text));
		return why ? why : "H01: it may not stand in an envelope";
	}
	if (address_utf8(a) && !s->account->smtputf8)
		return "E5: its local part needs SMTPUTF8 (5.6.7)";
	return NULL;
}

static struct span
key_of(struct scan *s, size_t i)
{
	struct look *look = &s->looks[i];
	AUTO(buf_done) struct buf key = BUF_MAX(ADDRESS_SIZE);

	if (!look->key.p && address_key(&key, &s->list.v[i]))
		look->key = arena_dup(s->arena, buf_span(&key));
	return look->key;
}

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

/* The keys of the picks, sorted; of equal ones the first comes first. */
static struct keyed *
keys_sorted(struct scan *s, const struct picks *p)
{
	struct keyed *keys = arena_alloc(s->arena, (p->n + 1) * sizeof(*keys));

	if (!keys)
		return NULL;
	for (size_t i = 0; i < p->n; i++)
		keys[i] = (struct keyed){ key_of(s, p->v[i]), p->v[i] };
	if (p->n > 1)
		qsort(keys, p->n, sizeof(*keys), keyed_order);
	return keys;
}

/* Makes recipients of the picks: each once, in the order found (E6). */
static enum found
take(struct scan *s, const struct picks *p, const char *why)
{
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);
	struct recipients *out = s->out;

	if (p->n == 0)
		return FOUND_NOBODY;
	struct keyed *keys = keys_sorted(s, p);
	out->v = arena_alloc(s->arena, p->n * sizeof(*out->v));
	if (!keys || !out->v) {
		s->full = true;
		return FOUND_NOBODY;
	}
	for (size_t i = 0; i < p->n; i++) {
		struct look *look = &s->looks[keys[i].at];

		look->kept = keys[i].key.n > 0 &&
				(i == 0 || !span_eq(keys[i].key, keys[i - 1].key));
		look->why = look->kept ? why : "E6: the same recipient again";
	}
	for (size_t i = 0; i < p->n; i++) {
		if (!s->looks[p->v[i]].kept)
			continue;
		buf_clear(&wire);
		if (!address_wire(&wire, &s->list.v[p->v[i]]))
			continue;
		struct span text = arena_dup(s->arena, buf_span(&wire));
		if (!text.p) {
			s->full = true;
			break;
		}
		out->v[out->n++] = text;
		out->utf8 = out->utf8 || address_utf8(&s->list.v[p->v[i]]);
	}
	return out->n > 0 ? FOUND_SOME : FOUND_NOBODY;
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
	struct span login = s->account->login, key = key_of(s, i);

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

/* Do both name the same recipients? */
static bool
same_set(struct scan *s, const struct picks *a, const struct picks *b)
{
	const struct keyed *x = keys_sorted(s, a), *y = keys_sorted(s, b);
	size_t i = 0, k = 0;

	if (!x || !y)
		return false;
	while (i < a->n && k < b->n) {
		struct span key = x[i].key;

		if (!span_eq(key, y[k].key))
			return false;
		while (i < a->n && span_eq(x[i].key, key))
			i++;
		while (k < b->n && span_eq(y[k].key, key))
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

		if (src->role != role || src->name != name ||
				!scan_trusted(s, src->above))
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
	scan_fact(s, (struct recipients_fact){ .event = 4036, .name = name, .n = n });
}

/* An envelope header that would have counted above the provider's Received
 * lines, but stands below them: the sender may have written it. */
static void
tell_untrusted(struct scan *s)
{
	for (size_t i = 0; i < s->n_sources; i++) {
		const struct source *src = &s->sources[i];
		bool counts = src->role == ROLE_ENVELOPE &&
				!scan_trusted(s, src->above) &&
				src->name >= s->first_name && src->name < s->last_name;

		for (size_t k = src->first; counts && k < src->end; k++) {
			if (s->list.v[k].kind != ADDRESS_FULL || s->looks[k].why ||
					s->list.v[k].loose)
				continue;
			scan_fact(s,
					(struct recipients_fact){ .event = 4036,
							.name = s->names[src->name],
							.n = s->inside[src->name] +
									s->outside[src->name] });
			return;
		}
	}
}

static enum found
level_envelope(struct scan *s)
{
	bool strict = s->account->mode == RECIPIENTS_STRICT, agree;
	unsigned inside = 0;
	struct picks p;

	for (size_t name = s->first_name; name < s->last_name; name++) {
		inside += s->received >= s->account->trusted_hops ? s->inside[name] : 0;
		if (s->inside[name] == 0 || !gather(s, ROLE_ENVELOPE, name, &p, &agree))
			continue;
		if (!agree) {
			disagree(s, &p, s->names[name], s->inside[name]);
			return strict ? FOUND_STOP : FOUND_NOBODY;
		}
		s->out->source = s->names[name];
		return take(s, &p, "E1.2: in the provider's envelope header");
	}
	tell_untrusted(s);
	if (s->account->mode == RECIPIENTS_NAMES && inside == 0 && s->last_name > 0)
		scan_fact(s,
				(struct recipients_fact){
						.event = 4035, .name = s->names[0] });
	return strict ? FOUND_STOP : FOUND_NOBODY;
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
	return take(s, &p, "E1.3: in the provider's Received line");
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
	return take(s, &p, why);
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

static const struct level {
	unsigned number; /* as in E1 */
	enum found (*ask)(struct scan *);
} levels[] = {
	{ 2, level_envelope },
	{ 3, level_received },
	{ 4, level_resent },
	{ 5, level_visible },
};

/* Why a member that no level took and nothing spoke against was left. */
static const char *
left_because(const struct scan *s, const struct source *src)
{
	unsigned level = s->out->level;
	bool trusted = scan_trusted(s, src->above);

	if (src->role == ROLE_ENVELOPE &&
			(src->name < s->first_name || src->name >= s->last_name))
		return "E1.2: the account does not use this header";
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
			(level == 0 || level == 4))
		return "E1.4: replaced by the resent block";
	return "E1: a source before it decided";
}

static void
judge_all(struct scan *s)
{
	for (size_t i = 0; i < s->list.n; i++) {
		if (s->list.v[i].kind == ADDRESS_FULL)
			s->looks[i].why = judge(s, &s->list.v[i]);
	}
}

static void
tell_candidates(struct scan *s)
{
	AUTO(buf_done) struct buf text = BUF_MAX(2 * HEADER_FIELD_MAX + 512);
	struct recipients *out = s->out;

	out->candidates = arena_alloc(
			s->arena, (s->list.n + 1) * sizeof(*out->candidates));
	for (size_t i = 0; out->candidates && i < s->list.n; i++) {
		struct look *look = &s->looks[i];
		struct recipients_candidate *c = &out->candidates[out->n_candidates];

		if (s->list.v[i].kind != ADDRESS_FULL)
			continue;
		buf_clear(&text);
		if (!address_print(&text, &s->list.v[i]))
			continue;
		c->address = arena_dup(s->arena, buf_span(&text));
		if (!c->address.p)
			break;
		c->header = look->source->header;
		c->kept = look->kept;
		c->why = look->why ? look->why : left_because(s, look->source);
		out->n_candidates++;
		out->ignored += !look->kept;
	}
}

/* Takes text as the one fallback recipient, if the relay would. */
static bool
fallback_take(struct scan *s, struct span text)
{
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);
	const struct domains *policy = s->account->policy;
	struct address a;

	if (text.n == 0 || !address_parse(s->arena, text, &a) ||
			(policy && !domains_have(policy, a.domain)) ||
			!address_wire(&wire, &a))
		return false;
	s->out->v = arena_alloc(s->arena, sizeof(*s->out->v));
	struct span copy = arena_dup(s->arena, buf_span(&wire));
	if (!s->out->v || !copy.p)
		return false;
	s->out->v[0] = copy;
	s->out->n = 1;
	return true;
}

/* E13: account fallback, domain postmaster, global postmaster, Badmail. */
static void
nobody(struct scan *s)
{
	AUTO(buf_done) struct buf local = BUF_MAX(ADDRESS_SIZE);
	const struct recipients_account *a = s->account;
	struct recipients *out = s->out;

	out->level = 7;
	out->source = SPAN("fallback");
	out->reason = "no-recipients";
	out->outcome = RECIPIENTS_BADMAIL;
	if (a->unrouted == UNROUTED_BADMAIL)
		return;
	if (a->unrouted == UNROUTED_HOLD) {
		out->outcome = RECIPIENTS_HOLD;
		scan_fact(s, (struct recipients_fact){ .event = 4034 });
		return;
	}
	bool found = a->unrouted == UNROUTED_ADDRESS &&
			fallback_take(s, a->unrouted_address);
	if (!found && a->first_domain.n > 0)
		found = buf_add(&local, SPAN("postmaster@")) &&
				buf_add(&local, a->first_domain) &&
				fallback_take(s, buf_span(&local));
	if (!found)
		found = fallback_take(s, a->postmaster);
	if (!found)
		return;
	out->outcome = RECIPIENTS_FALLBACK;
	scan_fact(s, (struct recipients_fact){ .event = 4033, .text = out->v[0] });
}

/* E0: the mapping decides, whatever the header says. */
static void
decide_user(struct scan *s)
{
	s->out->source = SPAN("account");
	s->out->outcome = RECIPIENTS_FOUND;
	scan_sender(s);
	/* The target is configuration: whether the relay takes it is not asked here. */
	struct recipients_account any = *s->account;
	const struct recipients_account *account = s->account;
	any.policy = NULL;
	s->account = &any;
	bool taken = fallback_take(s, any.target);
	s->account = account;
	if (!taken)
		nobody(s);
}

static void
decide_global(struct scan *s)
{
	enum found found = FOUND_NOBODY;

	judge_all(s);
	for (size_t i = 0;
			found == FOUND_NOBODY && i < sizeof(levels) / sizeof(*levels);
			i++) {
		found = levels[i].ask(s);
		if (found == FOUND_SOME)
			s->out->level = levels[i].number;
	}
	scan_sender(s);
	tell_candidates(s);
	if (found != FOUND_SOME)
		nobody(s);
}

void
recipients_decide(const struct recipients_account *account, struct span block,
		struct arena *arena, struct recipients *out)
{
	struct scan s = { .account = account, .arena = arena, .out = out };

	*out = (struct recipients){ .outcome = RECIPIENTS_FOUND };
	scan_header(&s, block);
	if (account->user)
		decide_user(&s);
	else
		decide_global(&s);
	if (out->outcome == RECIPIENTS_FOUND)
		scan_fact(&s,
				(struct recipients_fact){ .event = 4030,
						.name = out->source,
						.n = out->n,
						.m = out->ignored });
}

/* "co.uk" and its like: hosts below them are strangers to each other. */
static bool
is_registry(struct span parent)
{
	static const struct span seconds[] = {
		{ SPAN_INIT("ac") },
		{ SPAN_INIT("co") },
		{ SPAN_INIT("com") },
		{ SPAN_INIT("edu") },
		{ SPAN_INIT("gov") },
		{ SPAN_INIT("ne") },
		{ SPAN_INIT("net") },
		{ SPAN_INIT("or") },
		{ SPAN_INIT("org") },
	};
	struct span top = parent, second = span_until(&top, '.');

	if (span_find(top, '.') < top.n)
		return false;
	if (top.n == 0)
		return true;
	for (size_t i = 0; top.n == 2 && i < sizeof(seconds) / sizeof(*seconds); i++) {
		if (span_eq(second, seconds[i]))
			return true;
	}
	return false;
}

bool
recipients_is_provider(struct span provider, struct span host)
{
	char ours[ADDRESS_DOMAIN_MAX + 1], theirs[ADDRESS_DOMAIN_MAX + 1];

	if (provider.n == 0 || host.n == 0 || !domain_canon(provider, ours) ||
			!domain_canon(host, theirs))
		return false;
	struct span parent = span_of(ours), name = span_of(theirs);
	if (span_eq(parent, name))
		return true;
	struct span first = span_until(&parent, '.');
	if (first.n == 0 || is_registry(parent) ||
			(parent.p[parent.n - 1] >= '0' &&
					parent.p[parent.n - 1] <= '9'))
		return false;
	return name.n > parent.n + 1 && span_ends_nocase(name, parent) &&
			name.p[name.n - parent.n - 1] == '.';
}
