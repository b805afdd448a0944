/* Policy files into the store: what they say is put there, what no file says any more is
 * taken back, and what an administrator added by hand stays. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policies.h"
#include "postern/log.h"

enum { ROOM = 64 * 1024 * 1024 };

/* One file as the store keeps it; everything in the arena. */
static bool
row_of(const struct policy_doc *d, enum policystore_source source, struct arena *a,
		struct policystore_policy *out)
{
	char *path = realpath(d->path, NULL);
	struct policystore_policy p = {
		.name = span_of(d->name),
		.source = source,
		.file = arena_dup(a, span_of(path ? path : d->path)),
		.priority = d->priority,
		.german = d->spelling == POLICY_SPELLING_GERMAN,
		.n_groups = d->match.groups.n,
		.n_addresses = d->addresses.n,
		.n_domains = d->domains.n,
		.groups = arena_alloc(a, d->match.groups.n * sizeof(*p.groups)),
		.addresses = arena_alloc(a, d->addresses.n * sizeof(*p.addresses)),
		.domains = arena_alloc(a, d->domains.n * sizeof(*p.domains)),
	};

	free(path);
	if (!p.file.p || !p.groups || !p.addresses || !p.domains)
		return false;
	for (size_t i = 0; i < p.n_groups; i++)
		p.groups[i] = span_of(d->match.groups.p[i]);
	for (size_t i = 0; i < p.n_addresses; i++) {
		p.addresses[i].text = span_of(d->addresses.p[i].text);
		p.addresses[i].primary = d->addresses.p[i].primary;
	}
	for (size_t i = 0; i < p.n_domains; i++) {
		const struct policy_doc_domain *from = &d->domains.p[i];
		p.domains[i] = (struct policystore_domain){ span_of(from->domain),
			from->subdomains, from->authoritative,
			from->unknown == POLICY_UNKNOWN_REJECT,
			span_of(from->subaddress), false };
	}
	*out = p;
	return true;
}

bool
policy_files_rows(const struct policy_files *f, struct arena *a,
		struct policystore_policy **out, struct err *err)
{
	enum policystore_source source =
			f->named ? POLICYSTORE_NAMED : POLICYSTORE_CONFIGURED;

	*out = arena_alloc(a, (f->n + 1) * sizeof(**out));
	for (size_t i = 0; *out && i < f->n; i++) {
		if (!row_of(f->docs[i], source, a, &(*out)[i]))
			*out = NULL;
	}
	return *out || err_set(err, 0, "the policies are too large");
}

/* ---- what no file says any more ---- */

struct loaded {
	struct policystore_policy *v;
	size_t n;
};

static bool
load(struct store *s, struct arena *a, struct loaded *out, struct err *err)
{
	uint64_t version;

	return policystore_load(store_reader(s), a, &out->v, &out->n, &version, err);
}

static bool
among(const struct policy_files *f, struct span name)
{
	for (size_t i = 0; i < f->n; i++)
		if (span_eq(span_of(f->docs[i]->name), name))
			return true;
	return false;
}

static bool
file_is_gone(struct span file)
{
	AUTO(buf_done) struct buf path = BUF_MAX(8192);

	return buf_add(&path, file) && buf_cstr(&path) && access(path.p, F_OK) != 0 &&
			errno == ENOENT;
}

/* Where a pattern of `policies:` matches nothing the files may be away for a while, or the
 * path mistyped: then nothing is taken back. */
static bool
is_over(const struct policy_files *f, const struct policystore_policy *p)
{
	if (p->source == POLICYSTORE_NAMED)
		return !among(f, p->name) && file_is_gone(p->file);
	return p->source == POLICYSTORE_CONFIGURED && !f->named && !f->partial &&
			!among(f, p->name);
}

static bool
has_domain(const struct loaded *all, const struct policystore_domain *d)
{
	for (size_t i = 0; i < all->n; i++)
		for (size_t k = 0; k < all->v[i].n_domains; k++)
			if (all->v[i].domains[k].subdomains == d->subdomains &&
					span_eq(all->v[i].domains[k].name, d->name))
				return true;
	return false;
}

/* An event for each domain that is ours no longer. */
static void
tell_gone(const struct loaded *before, const struct loaded *now)
{
	for (size_t i = 0; i < before->n; i++) {
		const struct policystore_policy *p = &before->v[i];

		for (size_t k = 0; k < p->n_domains; k++) {
			AUTO(buf_done) struct buf name = BUF_MAX(1024);

			if (has_domain(now, &p->domains[k]))
				continue;
			(void)!buf_addf(&name, "%s" SPAN_FMT,
					p->domains[k].subdomains ? "*." : "",
					SPAN_ARG(p->domains[k].name));
			log_event(EVENT_DOMAIN_TAKEN_BACK,
					FIELDS(f_span("domain", buf_span(&name)),
							f_span("policy", p->name),
							f_span("path",
									p->file.n ? p->file
										  : SPAN("no file"))));
		}
	}
}

bool
policy_files_apply(struct store *s, const struct policy_files *f, uint64_t *changed,
		struct err *err)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(ROOM);
	struct loaded before = { 0 }, now = { 0 };
	struct policystore_policy *rows;
	size_t n = 0;

	if (!policy_files_rows(f, &a, &rows, err) || !load(s, &a, &before, err))
		return false;
	struct span *over = arena_alloc(&a, (before.n + 1) * sizeof(*over));
	if (!over)
		return err_set(err, 0, "the policies are too large");
	for (size_t i = 0; i < before.n; i++)
		if (is_over(f, &before.v[i]))
			over[n++] = before.v[i].name;
	if (!policystore_apply(s, rows, f->n, changed, err) ||
			!policystore_take_back(s, over, n, err) ||
			!load(s, &a, &now, err))
		return false;
	if (changed)
		*changed += n;
	tell_gone(&before, &now);
	return true;
}
