#include "postern/policystore.h"

#include "state.h"

/* ---- reading ---- */

/* A row of each kind from its query's columns. */
typedef void row_reader(struct query *q, struct arena *a, void *row);

static void
read_policy(struct query *q, struct arena *a, void *row)
{
	struct policystore_policy *p = row;
	p->name = query_copy(q, 0, a);
	p->priority = query_get(q, 1);
	p->source = (enum policystore_source)query_get(q, 2);
	p->file = query_copy(q, 3, a);
	p->german = query_get(q, 4) != 0;
}

static void
read_group(struct query *q, struct arena *a, void *row)
{
	struct span *name = row;
	*name = query_copy(q, 0, a);
}

static void
read_address(struct query *q, struct arena *a, void *row)
{
	struct policystore_address *x = row;
	x->text = query_copy(q, 0, a);
	x->primary = query_get(q, 1) != 0;
}

static void
read_domain(struct query *q, struct arena *a, void *row)
{
	struct policystore_domain *d = row;
	d->name = query_copy(q, 0, a);
	d->subdomains = query_get(q, 1) != 0;
	d->authoritative = query_get(q, 2) != 0;
	d->reject_unknown = query_get(q, 3) != 0;
	d->subaddress = query_copy(q, 4, a);
	d->by_hand = query_get(q, 5) != 0;
}

/* The rest of a query whose values are bound. */
static bool
all_of(struct query q, row_reader *read, struct rows *rows, struct arena *a,
		struct err *e)
{
	while (query_row(&q)) {
		void *row = rows_add(rows, a);
		if (row)
			read(&q, a, row);
		else
			q.rc = SQLITE_NOMEM;
	}
	return query_end(&q, "cannot read the policies", e);
}

static struct query
of_policy(struct reader *r, enum sql which, struct span name)
{
	struct query q = query_of(&r->db, which);
	query_text(&q, name);
	return q;
}

static bool
load_parts(struct reader *r, struct policystore_policy *p, struct arena *a,
		struct err *e)
{
	struct rows groups = { .size = sizeof *p->groups };
	struct rows addresses = { .size = sizeof *p->addresses };
	struct rows domains = { .size = sizeof *p->domains };
	if (!all_of(of_policy(r, SQL_POLICY_GROUPS, p->name), read_group, &groups, a,
			    e) ||
			!all_of(of_policy(r, SQL_POLICY_ADDRESSES, p->name),
					read_address, &addresses, a, e) ||
			!all_of(of_policy(r, SQL_POLICY_DOMAINS, p->name), read_domain,
					&domains, a, e))
		return false;
	p->groups = groups.p;
	p->n_groups = groups.n;
	p->addresses = addresses.p;
	p->n_addresses = addresses.n;
	p->domains = domains.p;
	p->n_domains = domains.n;
	return true;
}

bool
policystore_version(struct reader *r, uint64_t *version, struct err *e)
{
	struct query q = query_of(&r->db, SQL_VERSION_GET);
	*version = query_row(&q) ? (uint64_t)query_get(&q, 0) : 0;
	return query_end(&q, "cannot read the policies", e);
}

bool
policystore_load(struct reader *r, struct arena *a, struct policystore_policy **out,
		size_t *n, uint64_t *version, struct err *e)
{
	struct rows rows = { .size = sizeof **out };
	bool ours;
	*n = 0;
	if (!ask_snapshot(r, &ours, e))
		return false;
	bool good = policystore_version(r, version, e) &&
			all_of(query_of(&r->db, SQL_POLICIES), read_policy, &rows, a,
					e);
	for (size_t i = 0; good && i < rows.n; i++)
		good = load_parts(r, (struct policystore_policy *)rows.p + i, a, e);
	*out = rows.p;
	*n = rows.n;
	return ask_snapshot_end(r, ours, good);
}

/* ---- writing ---- */

static bool
wrote(struct query *q, struct err *e)
{
	return query_run(q, "cannot write the policies", e);
}

static bool
same_domain(const struct policystore_domain *a, const struct policystore_domain *b)
{
	return span_eq(a->name, b->name) && a->subdomains == b->subdomains &&
			a->authoritative == b->authoritative &&
			a->reject_unknown == b->reject_unknown &&
			span_eq(a->subaddress, b->subaddress);
}

static bool
has_domain(const struct policystore_policy *p, const struct policystore_domain *d)
{
	for (size_t i = 0; i < p->n_domains; i++)
		if (p->domains[i].subdomains == d->subdomains &&
				span_eq(p->domains[i].name, d->name))
			return true;
	return false;
}

static size_t
by_hand(const struct policystore_policy *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_domains; i++)
		n += p->domains[i].by_hand;
	return n;
}

bool
policystore_same(const struct policystore_policy *old,
		const struct policystore_policy *p)
{
	if (old->priority != p->priority || old->german != p->german ||
			old->n_groups != p->n_groups ||
			old->n_addresses != p->n_addresses ||
			old->n_domains - by_hand(old) != p->n_domains)
		return false;
	for (size_t i = 0; i < p->n_groups; i++)
		if (!span_eq(old->groups[i], p->groups[i]))
			return false;
	for (size_t i = 0; i < p->n_addresses; i++)
		if (!span_eq(old->addresses[i].text, p->addresses[i].text) ||
				old->addresses[i].primary != p->addresses[i].primary)
			return false;
	for (size_t i = 0; i < p->n_domains; i++) {
		bool there = false;
		for (size_t k = 0; k < old->n_domains && !there; k++)
			there = !old->domains[k].by_hand &&
					same_domain(&old->domains[k], &p->domains[i]);
		if (!there)
			return false;
	}
	return true;
}

static bool
put_domain(struct store *s, enum sql how, struct span policy,
		const struct policystore_domain *d, struct err *e)
{
	struct query q = of_policy(&s->self, how, policy);
	query_text(&q, d->name);
	query_int(&q, d->subdomains);
	query_int(&q, d->authoritative);
	query_int(&q, d->reject_unknown);
	query_text(&q, d->subaddress);
	query_int(&q, d->by_hand);
	return wrote(&q, e);
}

/* What is kept of the old one beside the new one. */
static bool
put_by_hand(struct store *s, const struct policystore_policy *old,
		const struct policystore_policy *p, struct err *e)
{
	for (size_t i = 0; old && i < old->n_domains; i++)
		if (old->domains[i].by_hand && !has_domain(p, &old->domains[i]) &&
				!put_domain(s, SQL_POLICY_DOMAIN_PUT, p->name,
						&old->domains[i], e))
			return false;
	return true;
}

/* In place of `old`; NULL: there was none. */
static bool
put(struct store *s, const struct policystore_policy *old,
		const struct policystore_policy *p, struct err *e)
{
	struct query q = of_policy(&s->self, SQL_POLICY_DELETE, p->name);
	if (!wrote(&q, e))
		return false;
	q = of_policy(&s->self, SQL_POLICY_PUT, p->name);
	query_int(&q, p->priority);
	query_int(&q, p->source);
	query_text(&q, p->file);
	query_int(&q, p->german);
	if (!wrote(&q, e))
		return false;
	for (size_t i = 0; i < p->n_groups; i++) {
		q = of_policy(&s->self, SQL_POLICY_GROUP_PUT, p->name);
		query_int(&q, (int64_t)i);
		query_text(&q, p->groups[i]);
		if (!wrote(&q, e))
			return false;
	}
	for (size_t i = 0; i < p->n_addresses; i++) {
		q = of_policy(&s->self, SQL_POLICY_ADDRESS_PUT, p->name);
		query_int(&q, (int64_t)i);
		query_text(&q, p->addresses[i].text);
		query_int(&q, p->addresses[i].primary);
		if (!wrote(&q, e))
			return false;
	}
	for (size_t i = 0; i < p->n_domains; i++)
		if (!put_domain(s, SQL_POLICY_DOMAIN_PUT, p->name, &p->domains[i], e))
			return false;
	return put_by_hand(s, old, p, e);
}

/* Ends a change: the version moves only when something did. */
static bool
finish(struct store *s, bool good, bool moved, struct err *e)
{
	if (good && moved) {
		struct query q = query_of(&s->self.db, SQL_VERSION_RAISE);
		good = wrote(&q, e);
	}
	return transaction_end(s, good, e);
}

/* The policy of that name, or NULL. */
static bool
look(struct store *s, struct span name, struct arena *a,
		const struct policystore_policy **out, struct err *e)
{
	struct rows rows = { .size = sizeof(struct policystore_policy) };
	*out = NULL;
	if (!all_of(query_of(&s->self.db, SQL_POLICIES), read_policy, &rows, a, e))
		return false;
	for (size_t i = 0; i < rows.n; i++) {
		struct policystore_policy *p = (struct policystore_policy *)rows.p + i;
		if (!span_eq(p->name, name))
			continue;
		*out = p;
		return load_parts(&s->self, p, a, e);
	}
	return true;
}

static bool
apply_one(struct store *s, const struct policystore_policy *p, uint64_t *moved,
		struct err *e)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(SIZE_MAX);
	const struct policystore_policy *old;
	if (!look(s, p->name, &a, &old, e))
		return false;
	bool same = old && policystore_same(old, p);
	*moved += !same;
	if (same && old->source == p->source && span_eq(old->file, p->file))
		return true;
	return put(s, old, p, e);
}

bool
policystore_apply(struct store *s, const struct policystore_policy *p, size_t n,
		uint64_t *changed, struct err *e)
{
	uint64_t moved = 0;
	if (!transaction_begin(s, e))
		return false;
	bool good = true;
	for (size_t i = 0; good && i < n; i++)
		good = apply_one(s, &p[i], &moved, e);
	if (changed)
		*changed = moved;
	return finish(s, good, moved > 0, e);
}

static bool
take_back_one(struct store *s, struct span name, struct err *e)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(SIZE_MAX);
	const struct policystore_policy *old;
	if (!look(s, name, &a, &old, e))
		return false;
	if (!old)
		return true;
	const struct policystore_policy rest = { .name = name,
		.priority = old->priority };
	if (by_hand(old) > 0)
		return put(s, old, &rest, e);
	struct query q = of_policy(&s->self, SQL_POLICY_DELETE, name);
	return wrote(&q, e);
}

bool
policystore_take_back(
		struct store *s, const struct span *names, size_t n, struct err *e)
{
	bool good = true;
	if (n == 0)
		return true;
	if (!transaction_begin(s, e))
		return false;
	for (size_t i = 0; good && i < n; i++)
		good = take_back_one(s, names[i], e);
	return finish(s, good, true, e);
}

bool
policystore_remove(struct store *s, struct span name, bool *was, struct err *e)
{
	if (!transaction_begin(s, e))
		return false;
	struct query q = of_policy(&s->self, SQL_POLICY_DELETE, name);
	bool good = wrote(&q, e);
	*was = good && db_changes(&s->self.db) > 0;
	return finish(s, good, *was, e);
}

bool
policystore_add_domain(struct store *s, struct span policy, int64_t priority,
		const struct policystore_domain *d, bool *added, struct err *e)
{
	struct policystore_domain row = *d;
	if (!transaction_begin(s, e))
		return false;
	struct query q = of_policy(&s->self, SQL_POLICY_MAKE, policy);
	query_int(&q, priority);
	row.by_hand = true;
	bool good = wrote(&q, e) &&
			put_domain(s, SQL_POLICY_DOMAIN_ADD, policy, &row, e);
	bool was_new = good && db_changes(&s->self.db) > 0;
	if (added)
		*added = was_new;
	return finish(s, good, was_new, e);
}

bool
policystore_remove_domain(struct store *s, struct span domain, bool subdomains,
		uint64_t *was, struct err *e)
{
	if (!transaction_begin(s, e))
		return false;
	struct query q = query_of(&s->self.db, SQL_POLICY_DOMAIN_DELETE);
	query_text(&q, domain);
	query_int(&q, subdomains);
	bool good = wrote(&q, e);
	*was = good ? db_changes(&s->self.db) : 0;
	return finish(s, good, *was > 0, e);
}
