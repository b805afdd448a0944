/* The memory of the directory, and whose an address or an alias is in it. */
#include "directory_in.h"

#include <string.h>

#include "postern/must.h"

void *
directory_take(struct directory *d, size_t n)
{
	void *p = arena_alloc(&d->arena, n);

	MUST(p);
	return p;
}

struct span
directory_keep(struct directory *d, struct span s)
{
	struct span kept = arena_dup(&d->arena, s);

	MUST(kept.p);
	return kept;
}

struct span
directory_keep_lower(struct directory *d, struct span s)
{
	struct span lower = directory_fold(&d->arena, s);

	MUST(lower.p);
	return lower;
}

struct span
directory_key(struct span local, struct span domain, char out[DIRECTORY_KEY_MAX])
{
	if (local.n == 0 || local.n > ADDRESS_LOCAL_MAX || domain.n == 0 ||
			domain.n > ADDRESS_DOMAIN_MAX)
		return (struct span){ "", 0 };
	for (size_t i = 0; i < local.n; i++)
		out[i] = ascii_lower(local.p[i]);
	out[local.n] = '@';
	memcpy(out + local.n + 1, domain.p, domain.n);
	return (struct span){ out, local.n + 1 + domain.n };
}

const struct directory_entry *
directory_alias(const struct directory *d, struct span alias)
{
	char lower[ADDRESS_LOCAL_MAX];

	if (alias.n == 0 || alias.n > sizeof(lower))
		return NULL;
	for (size_t i = 0; i < alias.n; i++)
		lower[i] = ascii_lower(alias.p[i]);
	return map_get(&d->by_alias, (struct span){ lower, alias.n });
}

const struct directory_entry *
directory_find(const struct directory *d, struct span local, struct span domain,
		struct directory_match *out)
{
	char key[DIRECTORY_KEY_MAX];
	struct directory_match match = { .tag = { "", 0 } };
	const struct directory_entry *found =
			map_get(&d->by_address, directory_key(local, domain, key));
	const struct policy_domain *row =
			found ? NULL : policy_find(d->domains, domain);

	for (size_t i = row && row->subaddress.n > 0 ? local.n : 0; !found && i > 1;
			i--) {
		if (span_find(row->subaddress, local.p[i - 1]) == row->subaddress.n)
			continue;
		found = map_get(&d->by_address,
				directory_key(span_first(local, i - 1), domain, key));
		match = (struct directory_match){ true, span_skip(local, i - 1) };
	}
	if (found && out)
		*out = match;
	return found;
}
