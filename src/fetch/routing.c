#include "postern/routing.h"

#include "postern/address.h"
#include "postern/aliasstore.h"

enum { ROUTING_MAX = 32 * 1024 * 1024 };

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
	return err_set(err, EVENT_TARGET_DISABLED, "%s", a->recipient);
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

/* False: no memory. */
static bool
provider_hosts(struct routing *r, const struct conf_account *a)
{
	struct span bad, *names;

	names = arena_alloc(&r->arena, (a->provider_hosts.n + 1) * sizeof(*names));
	for (size_t i = 0; names && i < a->provider_hosts.n; i++)
		names[i] = span_of(a->provider_hosts.p[i]);
	return names &&
			domains_init(&r->hosts, &r->arena, names, a->provider_hosts.n,
					&bad);
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
	case CONF_ENVELOPE_SDPS:
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

/* Texts as spans, in the arena; NULL when it is full, or for none. */
static const struct span *
texts_of(struct routing *r, const struct conf_texts *texts)
{
	struct span *v = texts->n > 0 ? arena_alloc(&r->arena, texts->n * sizeof(*v))
				      : NULL;

	for (size_t i = 0; v && i < texts->n; i++)
		v[i] = span_of(texts->p[i]);
	return v;
}

/* The configured rules and those that somebody made, ready to be asked. */
static bool
rules_init(struct routing *r, const struct conf_account *a, struct reader *reader,
		struct err *err)
{
	AUTO(arena_done) struct arena stored = ARENA_MAX(ROUTING_MAX);
	struct aliasstore_rule *made = NULL;
	size_t n = a->aliases.n, n_made = 0, left_out;

	if (reader && a->type == CONF_GLOBAL &&
			!aliasstore_load(reader, span_of(a->name), &stored, &made,
					&n_made, err))
		return false;
	if (n + n_made == 0)
		return true;
	struct recipients_rule *v = arena_alloc(&stored, (n + n_made) * sizeof(*v));
	for (size_t i = 0; v && i < n; i++) {
		const struct conf_alias *from = &a->aliases.p[i];

		v[i] = (struct recipients_rule){ span_of(from->match),
			texts_of(r, &from->to), from->to.n };
	}
	for (size_t i = 0; v && i < n_made; i++)
		v[n + i] = (struct recipients_rule){ made[i].match, &made[i].target,
			1 };
	if (v)
		r->account.rules = recipients_rules_new(
				&r->arena, v, n + n_made, &left_out);
	return r->account.rules ||
			err_set(err, 0, "account %s: its alias rules are too many",
					a->name);
}

bool
routing_init(struct routing *r, const struct conf *conf, const struct conf_account *a,
		const struct directory *d, struct reader *reader, struct err *err)
{
	struct span bad, *names;
	size_t n;

	*r = (struct routing){ .arena = ARENA_MAX(ROUTING_MAX) };
	if (!policy_domains(r, d ? directory_policies(d) : NULL, &names, &n) ||
			!domains_init(&r->policy, &r->arena, names, n, &bad) ||
			!served_domains(r, a, names, n) || !provider_hosts(r, a)) {
		routing_done(r);
		return err_set(err, 0,
				"account %s: a domain in its lists or in the policies is none",
				a->name);
	}
	r->account = (struct recipients_account){
		.name = span_of(a->name),
		.user = a->type == CONF_USER,
		.target = span_of(a->recipient),
		.served = &r->served,
		.policy = &r->policy,
		.directory = d,
		.first_domain = a->domains.n > 0 ? span_of(a->domains.p[0]) : SPAN(""),
		.mode = mode_of(a->envelope.mode),
		.names = r->names,
		.n_names = envelope_names(r, a),
		.trusted_hops = a->trusted_hops,
		.hops_fixed = a->trusted_hops_fixed,
		.hosts = a->provider_hosts.n > 0 ? &r->hosts : NULL,
		.bottom = a->envelope_position == CONF_ENVELOPE_BOTTOM,
		.strip = texts_of(r, &a->envelope_strip),
		.n_strip = a->envelope_strip.n,
		.login = span_of(a->user),
		.provider = span_of(a->server.name),
		.smtputf8 = true,
		.default_domain = span_of(a->default_domain),
		.unrouted = unrouted_of(a->unrouted.kind),
		.unrouted_address = span_of(a->unrouted.address),
		.postmaster = span_of(conf->server.postmaster),
	};
	if (a->envelope_strip.n > 0 && !r->account.strip) {
		routing_done(r);
		return err_set(err, 0, "account %s: envelope_strip is too large",
				a->name);
	}
	if (!rules_init(r, a, reader, err)) {
		routing_done(r);
		return false;
	}
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
