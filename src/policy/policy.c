#include "postern/policy.h"

#include <stdlib.h>
#include <string.h>

#include "postern/map.h"
#include "postern/must.h"

struct policy_set {
	struct policy_domain
			*rows; /* distinct, sorted by domain, exact before subdomains */
	size_t n;
	struct map exact, under;
	struct arena arena; /* the rows' texts */
};

static int
by_domain(const void *a, const void *b)
{
	const struct policy_domain *x = a, *y = b;
	int order = span_cmp(x->domain, y->domain);

	return order ? order : (int)x->subdomains - (int)y->subdomains;
}

/* Does x come before y when both list the same domain? */
static bool
is_earlier(const struct policy_domain *x, const struct policy_domain *y)
{
	bool x_last = span_eq(x->policy, SPAN("default"));
	bool y_last = span_eq(y->policy, SPAN("default"));

	if (x_last != y_last)
		return y_last;
	if (x->priority != y->priority)
		return x->priority < y->priority;
	return span_cmp(x->policy, y->policy) < 0;
}

static size_t
texts_size(const struct policy_domain *rows, size_t n)
{
	size_t size = 1;

	for (size_t i = 0; i < n; i++)
		size += rows[i].domain.n + rows[i].policy.n + rows[i].subaddress.n + 3;
	return size;
}

struct policy_set *
policy_new(const struct policy_domain *rows, size_t n)
{
	struct policy_set *set = calloc(1, sizeof(*set));

	if (!set)
		abort();
	set->rows = calloc(n + 1, sizeof(*set->rows));
	if (!set->rows)
		abort();
	set->arena = ARENA_MAX(texts_size(rows, n));
	for (size_t i = 0; i < n; i++) {
		struct policy_domain *to = &set->rows[i];
		*to = rows[i];
		to->domain = arena_dup(&set->arena, rows[i].domain);
		to->policy = arena_dup(&set->arena, rows[i].policy);
		to->subaddress = arena_dup(&set->arena, rows[i].subaddress);
		MUST(to->domain.p && to->policy.p && to->subaddress.p);
	}
	qsort(set->rows, n, sizeof(*set->rows), by_domain);

	for (size_t i = 0; i < n; i++) {
		struct policy_domain *row = &set->rows[i];
		struct policy_domain *last = set->n > 0 ? &set->rows[set->n - 1] : NULL;
		if (!last || by_domain(last, row) != 0)
			set->rows[set->n++] = *row;
		else if (is_earlier(row, last))
			*last = *row;
	}
	/* Keys come from the administrator and are fixed here: no seed needed. */
	map_init(&set->exact, 0, 0);
	map_init(&set->under, 0, 0);
	for (size_t i = 0; i < set->n; i++) {
		struct policy_domain *row = &set->rows[i];
		(void)map_put(row->subdomains ? &set->under : &set->exact, row->domain,
				row);
	}
	return set;
}

void
policy_free(struct policy_set *set)
{
	if (!set)
		return;
	map_done(&set->exact);
	map_done(&set->under);
	arena_done(&set->arena);
	free(set->rows);
	free(set);
}

size_t
policy_size(const struct policy_set *set)
{
	return set->n;
}

const struct policy_domain *
policy_at(const struct policy_set *set, size_t i)
{
	MUST(i < set->n);
	return &set->rows[i];
}

const struct policy_domain *
policy_find(const struct policy_set *set, struct span domain)
{
	const struct policy_domain *row = map_get(&set->exact, domain);

	/* A literal has no subdomains. The longest suffix comes first. */
	if (row || set->under.n == 0 || (domain.n > 0 && domain.p[0] == '['))
		return row;
	for (size_t dot = span_find(domain, '.'); dot < domain.n;
			dot = span_find(domain, '.')) {
		domain = span_skip(domain, dot + 1);
		row = map_get(&set->under, domain);
		if (row)
			return row;
	}
	return NULL;
}

struct policy_answer
policy_decide(const struct policy_set *set, struct span local, struct span domain)
{
	static const struct policy_answer yes = {
		.accepted = true, .code = 250, .esc = "2.1.5"
	};
	static const struct policy_answer no = {
		.accepted = false, .code = 550, .esc = "5.7.1"
	};
	struct policy_answer answer = yes;

	if (domain.n == 0)
		return span_eq_nocase(local, SPAN("postmaster")) ? yes : no;
	answer.row = local.n > 0 ? policy_find(set, domain) : NULL;
	return answer.row ? answer : no;
}

bool
policy_reply(const struct policy_answer *answer, struct span recipient, struct buf *out)
{
	return buf_addf(out, "%d %s %s", answer->code, answer->esc,
			       answer->accepted ? "" : "Unable to relay for ") &&
			buf_add(out, recipient);
}
