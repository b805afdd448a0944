/* policyload: the recipient policies of the database, as the policy room wants
 * them. Read again only when their version has moved. */
#include <stdlib.h>

#include "room.h"

#include "postern/policystore.h"

enum { POLICY_MEMORY_MAX = 16 * 1024 * 1024 };

static struct policy_set *
set_of(const struct policystore_policy *p, size_t n)
{
	size_t rows_n = 0, at = 0;

	for (size_t i = 0; i < n; i++)
		rows_n += p[i].n_domains;

	struct policy_domain *rows = calloc(rows_n + 1, sizeof(*rows));
	if (!rows)
		abort();
	for (size_t i = 0; i < n; i++) {
		int64_t priority = p[i].priority;

		if (priority < 0)
			priority = 0;
		if (priority > UINT32_MAX)
			priority = UINT32_MAX;
		for (size_t k = 0; k < p[i].n_domains; k++) {
			const struct policystore_domain *d = &p[i].domains[k];

			rows[at++] = (struct policy_domain){
				.domain = d->name,
				.subdomains = d->subdomains,
				.authoritative = d->authoritative,
				.policy = p[i].name,
				.priority = (unsigned)priority,
			};
		}
	}

	struct policy_set *set = policy_new(rows, rows_n);
	free(rows);
	return set;
}

bool
policyload(struct relay *r, struct err *err)
{
	uint64_t version = 0;

	if (!policystore_version(r->reader, &version, err))
		return false;
	if (r->policies && version == r->policy_version)
		return true;

	struct arena arena = ARENA_MAX(POLICY_MEMORY_MAX);
	struct policystore_policy *p = NULL;
	size_t n = 0;
	bool ok = policystore_load(r->reader, &arena, &p, &n, &version, err);
	if (ok) {
		struct policy_set *set = set_of(p, n);

		policy_free(r->policies);
		r->policies = set;
		r->policy_version = version;
	}
	arena_done(&arena);
	return ok;
}
