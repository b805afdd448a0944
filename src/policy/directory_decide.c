/* The answer to RCPT, for the relay and for whoever asks what it would say. */
#include "directory_in.h"

/* The server's postmaster stands in: its own recipients where it is one. */
static bool
stand_in(const struct directory *d, struct span postmaster, struct arena *arena,
		struct directory_decision *out)
{
	char domain[ADDRESS_DOMAIN_MAX + 1], key[DIRECTORY_KEY_MAX];
	struct address a;

	if (postmaster.n == 0)
		return true;
	if (!address_parse(arena, postmaster, &a)) /* the configuration has read it */
		return false;
	if (!domain_canon(a.domain, domain) ||
			!policy_find(d->domains, span_of(domain)))
		return true;
	if (directory_resolve_address(d, postmaster, arena, &out->to)) {
		out->outcome = DIRECTORY_RESOLVED;
		out->postmaster = true;
		return true;
	}
	struct directory_target *v = arena_alloc(arena, sizeof(*v));
	if (out->to.entry || !v)
		return false;
	*v = (struct directory_target){
		.address = directory_wire(arena, postmaster),
		.domain = arena_dup(arena, span_of(domain)),
		.key = arena_dup(arena, directory_key(a.local, span_of(domain), key)),
	};
	out->to = (struct directory_resolved){ .v = v, .n = 1 };
	out->outcome = DIRECTORY_RESOLVED;
	out->postmaster = true;
	return v->address.p && v->domain.p && v->key.p;
}

bool
directory_decide(const struct directory *d, const struct address *to,
		struct span postmaster, struct arena *arena,
		struct directory_decision *out)
{
	struct directory_match match = { .without_tag = false };
	bool reject;

	*out = (struct directory_decision){ .outcome = DIRECTORY_FOREIGN };
	out->row = to->local.n > 0 ? policy_find(d->domains, to->domain) : NULL;
	if (!out->row)
		return true;
	out->outcome = DIRECTORY_AS_IS;
	reject = out->row->authoritative && out->row->reject_unknown;

	const struct directory_entry *entry =
			directory_find(d, to->local, to->domain, &match);
	if (entry) {
		if (!directory_resolve(d, entry, &match, arena, &out->to))
			return false;
		out->outcome = DIRECTORY_RESOLVED;
	} else if (reject && span_eq_nocase(to->local, SPAN("postmaster"))) {
		if (!stand_in(d, postmaster, arena, out))
			return false;
	} else if (reject) {
		out->outcome = DIRECTORY_UNKNOWN;
	}
	if (out->outcome == DIRECTORY_RESOLVED && out->to.n == 0)
		out->outcome = DIRECTORY_NOBODY;
	return true;
}
