/* Who has which address: own ones, those of templates, and numbers for two alike. */
#include "directory_in.h"

#include <stdlib.h>
#include <string.h>

#include "postern/template.h"

enum {
	NUMBERED_MAX = 57, /* octets of a local part that a number is put behind */
	NUMBERED_SIZE = ADDRESS_LOCAL_MAX,
};

/* A policy with templates that can be read. */
struct rules {
	const struct directory_policy *policy;
	const struct directory_template **t; /* in their order */
	struct span *domains; /* canonical, of each */
	size_t n;
	size_t primary; /* which of them is the primary; n: none */
};

struct giving {
	struct directory *d;
	struct rules *rules; /* in the order they are tried */
	size_t n;
	struct map groups; /* name in lower case -> the first rules that name it */
	struct rules *everybody; /* the first rules without groups */
	struct map counters; /* base@domain -> the last number given */
	struct rules **of; /* by entry; NULL: none matched */
};

static int
by_turn(const void *a, const void *b)
{
	const struct directory_policy *x = *(const struct directory_policy *const *)a;
	const struct directory_policy *y = *(const struct directory_policy *const *)b;
	bool x_last = span_eq(x->name, SPAN("default"));
	bool y_last = span_eq(y->name, SPAN("default"));

	if (x_last != y_last)
		return x_last ? 1 : -1;
	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return span_cmp(x->name, y->name);
}

/* ---- policies ---- */

static void
read_templates(struct directory *d, const struct directory_policy *p, struct rules *out)
{
	size_t n = p->n_addresses < DIRECTORY_TEMPLATES_MAX ? p->n_addresses
							    : DIRECTORY_TEMPLATES_MAX;
	char domain[ADDRESS_DOMAIN_MAX + 1];
	size_t at;

	*out = (struct rules){ .policy = p };
	out->t = directory_take(d, (n + 1) * sizeof(const void *));
	out->domains = directory_take(d, (n + 1) * sizeof(*out->domains));
	out->primary = SIZE_MAX;
	for (size_t i = 0; i < n; i++) {
		const struct directory_template *t = &p->addresses[i];

		if (template_fault(t->text, &at) ||
				!domain_canon(template_domain(t->text), domain))
			continue;
		if (t->primary && out->primary == SIZE_MAX)
			out->primary = out->n;
		out->t[out->n] = t;
		out->domains[out->n++] = directory_keep(d, span_of(domain));
	}
}

static void
read_policies(struct giving *g, const struct directory_rows *rows)
{
	const struct directory_policy **sorted =
			calloc(rows->n_policies + 1, sizeof(const void *));

	if (!sorted)
		abort();
	for (size_t i = 0; i < rows->n_policies; i++)
		sorted[i] = &rows->policies[i];
	qsort(sorted, rows->n_policies, sizeof(const void *), by_turn);
	g->rules = directory_take(g->d, (rows->n_policies + 1) * sizeof(*g->rules));
	for (size_t i = 0; i < rows->n_policies; i++) {
		struct rules *r = &g->rules[g->n];

		read_templates(g->d, sorted[i], r);
		if (r->n == 0)
			continue; /* one of domains only gives nobody an address */
		g->n++;
		for (size_t k = 0; k < r->policy->groups.n; k++) {
			struct span group = directory_keep_lower(
					g->d, r->policy->groups.v[k]);
			if (!map_get(&g->groups, group))
				(void)map_put(&g->groups, group, r);
		}
		if (r->policy->groups.n == 0 && !g->everybody)
			g->everybody = r;
	}
	free(sorted);
}

static struct rules *
rules_for(struct giving *g, const struct entry *e)
{
	struct rules *best = g->everybody;

	for (size_t i = 0; i < e->e.groups.n; i++) {
		struct rules *r = map_get(&g->groups,
				directory_keep_lower(g->d, e->e.groups.v[i]));
		if (r && (!best || r < best))
			best = r;
	}
	return best;
}

/* ---- addresses ---- */

static void
collided(struct directory *d, const struct directory_collision *what)
{
	if (d->n_collisions == d->cap_collisions) {
		size_t cap = d->cap_collisions ? d->cap_collisions * 2 : 16;
		struct directory_collision *more =
				realloc(d->collisions, cap * sizeof(*more));

		if (!more)
			abort();
		d->collisions = more;
		d->cap_collisions = cap;
	}
	d->collisions[d->n_collisions++] = *what;
}

static struct span
join(struct directory *d, struct span local, struct span domain)
{
	char *p = directory_take(d, local.n + 1 + domain.n + 1);

	memcpy(p, local.p, local.n);
	p[local.n] = '@';
	memcpy(p + local.n + 1, domain.p, domain.n);
	return (struct span){ p, local.n + 1 + domain.n };
}

/* The last number given for addresses that begin like this one. */
static size_t *
counter_of(struct giving *g, struct span base, struct span domain)
{
	char key[DIRECTORY_KEY_MAX];
	struct span wanted = directory_key(base, domain, key);
	size_t *counter = map_get(&g->counters, wanted);

	if (counter)
		return counter;
	counter = directory_take(g->d, sizeof(*counter));
	*counter = 1;
	(void)map_put(&g->counters, directory_keep(g->d, wanted), counter);
	return counter;
}

/* The first of ann.lee2, ann.lee3 ... that is free. Numbers only rise, so this is
 * linear in the number of addresses. */
static struct span
numbered(struct giving *g, struct span local, struct span domain,
		char out[NUMBERED_SIZE])
{
	struct span base = span_first(local, NUMBERED_MAX);
	size_t *counter = counter_of(g, base, domain);
	char key[DIRECTORY_KEY_MAX], digits[8];

	memcpy(out, base.p, base.n);
	for (;;) {
		size_t n = 0, number = ++*counter;

		for (; number > 0 && n < sizeof(digits); number /= 10)
			digits[n++] = (char)('0' + number % 10);
		for (size_t i = 0; i < n && base.n + i < NUMBERED_SIZE; i++)
			out[base.n + i] = digits[n - 1 - i];
		struct span found = { out, base.n + n };
		if (!map_get(&g->d->by_address, directory_key(found, domain, key)))
			return found;
	}
}

/* Puts the address behind those the entry has; the first is the primary. */
static void
have(struct giving *g, struct entry *e, struct span local, struct span domain)
{
	char room[DIRECTORY_KEY_MAX];
	struct span key = directory_keep(g->d, directory_key(local, domain, room));
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);
	const struct address a = { .local = local, .domain = domain };

	/* Of an address that is none (an own one is looked at by the store) nothing comes. */
	if (key.n == 0 || !address_wire(&wire, &a))
		return;
	struct span address = directory_keep(g->d, buf_span(&wire));
	if (e->e.n_addresses == 0) {
		e->local = directory_keep(g->d, local);
		e->target = (struct directory_target){
			.address = address,
			.domain = directory_keep(g->d, domain),
			.key = key,
		};
	}
	e->addresses[e->e.n_addresses++] = address;
	(void)map_put(&g->d->by_address, key, e);
}

static void
give_template(struct giving *g, struct entry *e, const struct rules *r, size_t i)
{
	const struct template_names names = { e->e.alias, e->e.given, e->e.surname,
		e->e.display, r->policy->german };
	char text[ADDRESS_LOCAL_MAX], room[NUMBERED_SIZE], key[DIRECTORY_KEY_MAX];
	bool left_out;
	size_t n = template_local(r->t[i]->text, &names, text, &left_out);
	struct span local = { text, n };
	struct span domain = r->domains[i];

	e->e.left_out |= left_out;
	if (local.n == 0)
		return;
	const struct entry *holder =
			map_get(&g->d->by_address, directory_key(local, domain, key));
	if (holder == e)
		return;
	if (!holder) {
		have(g, e, local, domain);
		return;
	}
	struct span other = numbered(g, local, domain, room);
	have(g, e, other, domain);
	collided(g->d,
			&(struct directory_collision){
					.entry = &e->e,
					.holder = &holder->e,
					.wanted = join(g->d, local, domain),
					.got = join(g->d, other, domain),
			});
}

static void
give_own(struct giving *g, struct entry *e)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(16384);
	char domain[ADDRESS_DOMAIN_MAX + 1], key[DIRECTORY_KEY_MAX];
	struct span wanted = e->e.primary;
	struct address parsed;

	if (wanted.n == 0 || !address_parse(&a, wanted, &parsed) ||
			!domain_canon(parsed.domain, domain))
		return;
	const struct entry *holder = map_get(&g->d->by_address,
			directory_key(parsed.local, span_of(domain), key));
	if (!holder) {
		have(g, e, parsed.local, span_of(domain));
		e->e.own = e->e.n_addresses > 0;
		return;
	}
	collided(g->d,
			&(struct directory_collision){
					.entry = &e->e,
					.holder = &holder->e,
					.wanted = wanted,
			});
}

static void
give_all(struct giving *g)
{
	struct directory *d = g->d;

	for (size_t i = 0; i < d->n; i++) {
		struct entry *e = &d->v[i];
		struct rules *r = g->of[i] = rules_for(g, e);

		e->addresses = directory_take(
				d, (1 + (r ? r->n : 0)) * sizeof(*e->addresses));
		e->e.policy = r ? directory_keep(d, r->policy->name)
				: (struct span){ "", 0 };
		give_own(g, e);
	}
	for (size_t i = 0; i < d->n; i++) {
		const struct rules *r = g->of[i];
		if (r && r->primary < r->n)
			give_template(g, &d->v[i], r, r->primary);
	}
	for (size_t i = 0; i < d->n; i++) {
		const struct rules *r = g->of[i];
		for (size_t t = 0; r && t < r->n; t++) {
			if (t != r->primary)
				give_template(g, &d->v[i], r, t);
		}
	}
}

void
directory_give(struct directory *d, const struct directory_rows *rows)
{
	struct giving g = { .d = d };

	map_init(&g.groups, 0, 0);
	map_init(&g.counters, 0, 0);
	g.of = calloc(d->n + 1, sizeof(struct rules *));
	if (!g.of)
		abort();
	read_policies(&g, rows);
	give_all(&g);
	for (size_t i = 0; i < d->n; i++) {
		d->v[i].e.addresses = d->v[i].addresses;
		d->v[i].e.primary = d->v[i].target.address;
	}
	free(g.of);
	map_done(&g.groups);
	map_done(&g.counters);
}
