#include "postern/routing.h"

#include "postern/policystore.h"

enum { ROUTING_MAX = 32 * 1024 * 1024 };

bool
routing_domains_load(struct reader *reader, struct arena *arena,
		struct routing_domains *out, struct err *err)
{
	struct policystore_policy *all = NULL;
	uint64_t version;
	size_t n = 0, count = 0, done = 0;

	if (!policystore_load(reader, arena, &all, &n, &version, err))
		return false;
	for (size_t i = 0; i < n; i++)
		count += all[i].n_domains;
	struct span *names = arena_alloc(arena, (count + 1) * sizeof(*names));
	if (!names)
		return err_set(err, 0, "there are too many policy domains");
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < all[i].n_domains; k++) {
			const struct policystore_domain *d = &all[i].domains[k];
			AUTO(buf_done) struct buf name = BUF_MAX(1024);
			if (!buf_addf(&name, "%s" SPAN_FMT, d->subdomains ? "*." : "",
					    SPAN_ARG(d->name)))
				continue;
			names[done] = arena_dup(arena, buf_span(&name));
			if (!names[done++].p)
				return err_set(err, 0,
						"there are too many policy domains");
		}
	}
	*out = (struct routing_domains){ names, done };
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
		const struct routing_domains *policy, struct err *err)
{
	struct span bad;

	*r = (struct routing){ .arena = ARENA_MAX(ROUTING_MAX) };
	if (!domains_init(&r->policy, &r->arena, policy->v, policy->n, &bad) ||
			!served_domains(r, a, policy->v, policy->n)) {
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
		.smtputf8 = true,
		.default_domain = span_of(a->default_domain),
		.unrouted = unrouted_of(a->unrouted.kind),
		.unrouted_address = span_of(a->unrouted.address),
		.postmaster = span_of(conf->server.postmaster),
	};
	return true;
}

void
routing_done(struct routing *r)
{
	arena_done(&r->arena);
}
