#include "postern/routing.h"

#include "postern/address.h"

enum { ROUTING_MAX = 32 * 1024 * 1024, EV_TARGET_DISABLED = 4046 };

/* The policy domains as texts, "contoso.test" or "*.contoso.test". */
static bool
policy_domains(struct routing *r, const struct policy_set *set, struct span **names,
		size_t *n)
{
	*n = set ? policy_size(set) : 0;
	*names = arena_alloc(&r->arena, (*n + 1) * sizeof(**names));
	for (size_t i = 0; *names && i < *n; i++) {
		const struct policy_domain *d = policy_at(set, i);
		AUTO(buf_done) struct buf name = BUF_MAX(1024);

		if (!buf_addf(&name, "%s" SPAN_FMT, d->subdomains ? "*." : "",
				    SPAN_ARG(d->domain)))
			return false;
		(*names)[i] = arena_dup(&r->arena, buf_span(&name));
		if (!(*names)[i].p)
			return false;
	}
	return *names != NULL;
}

static bool
target_missing(const struct conf_account *a, struct err *err)
{
	return err_set(err, EV_TARGET_DISABLED, "%s", a->recipient);
}

/* E0: the alias, or any address, of a recipient is its primary address. An address
 * that is nobody's stays as it is where the relay would take it along its route, or
 * refuse it by policy (event 4045 has told so). */
static bool
target_of(struct routing *r, const struct conf_account *a, const struct directory *d,
		struct span postmaster, struct err *err)
{
	struct span target = span_of(a->recipient);
	char domain[ADDRESS_DOMAIN_MAX + 1];
	struct directory_decision said;
	struct address parsed;

	if (target.n == 0 || (span_find(target, '@') < target.n && !d))
		return true;
	if (span_find(target, '@') == target.n) {
		const struct directory_entry *e = d ? directory_alias(d, target) : NULL;
		if (!e || e->primary.n == 0)
			return target_missing(a, err);
		target = e->primary;
	}
	if (!address_parse(&r->arena, target, &parsed) ||
			!domain_canon(parsed.domain, domain))
		return true;
	parsed.domain = span_of(domain);
	if (!directory_decide(d, &parsed, postmaster, &r->arena, &said))
		return err_set(err, 0, "account %s: its recipient is too large a list",
				a->name);
	if (said.outcome == DIRECTORY_UNKNOWN || said.outcome == DIRECTORY_NOBODY)
		return target_missing(a, err);
	if (said.outcome == DIRECTORY_RESOLVED && said.to.entry)
		target = said.to.entry->list ? said.to.entry->primary
					     : said.to.v[0].address;
	r->account.target = target;
	return true;
}

static bool
served_domains(struct routing *r, const struct conf_account *a,
		const struct span *policy, size_t n_policy)
{
	struct span bad;

	if (a->domains.n == 0)
		return domains_init(&r->served, &r->arena, policy, n_policy, &bad);

	struct span *names = arena_alloc(&r->arena, a->domains.n * sizeof(*names));
	if (!names)
		return false;
	for (size_t i = 0; i < a->domains.n; i++)
		names[i] = span_of(a->domains.p[i]);
	return domains_init(&r->served, &r->arena, names, a->domains.n, &bad);
}

static enum recipients_mode
mode_of(enum conf_envelope_mode mode)
{
	switch (mode) {
	case CONF_ENVELOPE_STRICT:
		return RECIPIENTS_STRICT;
	case CONF_ENVELOPE_NONE:
		return RECIPIENTS_NONE;
	case CONF_ENVELOPE_NAMED:
		return RECIPIENTS_NAMES;
	case CONF_ENVELOPE_AUTO:
		break;
	}
	return RECIPIENTS_AUTO;
}

static enum recipients_unrouted
unrouted_of(enum conf_unrouted_kind kind)
{
	switch (kind) {
	case CONF_UNROUTED_HOLD:
		return UNROUTED_HOLD;
	case CONF_UNROUTED_BADMAIL:
		return UNROUTED_BADMAIL;
	case CONF_UNROUTED_ADDRESS:
		return UNROUTED_ADDRESS;
	case CONF_UNROUTED_POSTMASTER:
		break;
	}
	return UNROUTED_POSTMASTER;
}

static size_t
envelope_names(struct routing *r, const struct conf_account *a)
{
	size_t n = a->envelope.names.n < 32 ? a->envelope.names.n : 32;

	for (size_t i = 0; i < n; i++)
		r->names[i] = span_of(a->envelope.names.p[i]);
	return n;
}

bool
routing_init(struct routing *r, const struct conf *conf, const struct conf_account *a,
		const struct directory *d, struct err *err)
{
	struct span bad, *names;
	size_t n;

	*r = (struct routing){ .arena = ARENA_MAX(ROUTING_MAX) };
	if (!policy_domains(r, d ? directory_policies(d) : NULL, &names, &n) ||
			!domains_init(&r->policy, &r->arena, names, n, &bad) ||
			!served_domains(r, a, names, n)) {
		routing_done(r);
		return err_set(err, 0,
				"account %s: a domain in its list or in the policies is none",
				a->name);
	}
	r->account = (struct recipients_account){
		.name = span_of(a->name),
		.user = a->type == CONF_USER,
		.target = span_of(a->recipient),
		.served = &r->served,
		.policy = &r->policy,
		.first_domain = a->domains.n > 0 ? span_of(a->domains.p[0]) : SPAN(""),
		.mode = mode_of(a->envelope.mode),
		.names = r->names,
		.n_names = envelope_names(r, a),
		.trusted_hops = a->trusted_hops,
		.login = span_of(a->user),
		.provider = span_of(a->server.name),
		.default_domain = span_of(a->default_domain),
		.unrouted = unrouted_of(a->unrouted.kind),
		.unrouted_address = span_of(a->unrouted.address),
		.postmaster = span_of(conf->server.postmaster),
	};
	if (a->type == CONF_USER && !target_of(r, a, d, r->account.postmaster, err)) {
		routing_done(r);
		return false;
	}
	return true;
}

void
routing_done(struct routing *r)
{
	arena_done(&r->arena);
}
