/* Who receives: a header is scanned, E1's levels are asked in turn, and what was
 * thought of every candidate is told. */
#include "postern/recipients.h"

#include "recipients_scan.h"

#include <stdio.h>

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
		c->why = look->why ? look->why : scan_left_because(s, look->source);
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
		scan_fact(s,
				(struct recipients_fact){
						.event = EVENT_NOBODY_FOUND_HELD });
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
	scan_fact(s,
			(struct recipients_fact){ .event = EVENT_NOBODY_FOUND,
					.text = out->v[0] });
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
	judge_all(s);
	enum found found = scan_levels(s);
	scan_sender(s);
	tell_candidates(s);
	if (found != FOUND_SOME)
		nobody(s);
}

void
recipients_decide_told(const struct recipients_account *account,
		const struct recipients_envelope *envelope, struct span block,
		struct arena *arena, struct recipients *out)
{
	struct scan s = {
		.account = account, .told = envelope, .arena = arena, .out = out
	};

	*out = (struct recipients){ .outcome = RECIPIENTS_FOUND };
	scan_header(&s, block);
	if (account->user)
		decide_user(&s);
	else
		decide_global(&s);
	if (out->outcome == RECIPIENTS_FOUND)
		scan_fact(&s,
				(struct recipients_fact){
						.event = EVENT_RECIPIENTS_DETERMINED,
						.name = out->source,
						.n = out->n,
						.m = out->ignored });
}

void
recipients_decide(const struct recipients_account *account, struct span block,
		struct arena *arena, struct recipients *out)
{
	recipients_decide_told(account, NULL, block, arena, out);
}
