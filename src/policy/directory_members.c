/* Lists: their members looked up once, and whom an address leads to. */
#include "directory_in.h"

#include <stdlib.h>
#include <string.h>

#include "postern/must.h"

/* ---- linking ---- */

/* A full address that is nobody's: the administrator wrote it, so mail goes there. */
static bool
address_member(struct directory *d, const struct address *a, struct span domain,
		struct member *out)
{
	char room[DIRECTORY_KEY_MAX];
	struct span key = directory_key(a->local, domain, room);
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);

	if (key.n == 0 || !address_wire(&wire, a))
		return false;
	out->target = (struct directory_target){
		.address = directory_keep(d, buf_span(&wire)),
		.domain = directory_keep(d, domain),
		.key = directory_keep(d, key),
	};
	return true;
}

static bool tagged(const struct entry *e, struct span tag, struct arena *arena,
		struct directory_target *out);

/* False: it is nobody, or somebody without an address. */
static bool
look_up(struct directory *d, struct span text, struct member *out)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(16384);
	char domain[ADDRESS_DOMAIN_MAX + 1];
	struct directory_match match = { .without_tag = false };
	const struct entry *found;
	struct address parsed;

	if (span_find(text, '@') == text.n) {
		found = (const struct entry *)directory_alias(d, text);
	} else {
		if (!address_parse(&a, text, &parsed) ||
				!domain_canon(parsed.domain, domain))
			return false;
		found = (const struct entry *)directory_find(
				d, parsed.local, span_of(domain), &match);
		if (!found)
			return address_member(d, &parsed, span_of(domain), out);
	}
	if (!found)
		return false;
	if (found->e.list)
		out->list = found;
	else if (!match.without_tag ||
			!tagged(found, match.tag, &d->arena, &out->target))
		out->target = found->target;
	return found->e.list || out->target.address.n > 0;
}

void
directory_link(struct directory *d)
{
	for (size_t i = 0; i < d->n; i++) {
		struct entry *e = &d->v[i];

		e->members = directory_take(
				d, (e->e.members.n + 1) * sizeof(*e->members));
		for (size_t k = 0; k < e->e.members.n; k++) {
			if (look_up(d, e->e.members.v[k], &e->members[e->n_members]))
				e->n_members++;
			else
				e->unknown++;
		}
	}
}

/* ---- resolving ---- */

/* jane.doe+news@contoso.test, or without its tag when that would be no address. False: the
 * arena is full. */
static bool
tagged(const struct entry *e, struct span tag, struct arena *arena,
		struct directory_target *out)
{
	char text[ADDRESS_LOCAL_MAX], room[DIRECTORY_KEY_MAX];
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);

	*out = e->target;
	if (out->address.n == 0 || e->local.n + tag.n > sizeof(text))
		return true;
	memcpy(text, e->local.p, e->local.n);
	memcpy(text + e->local.n, tag.p, tag.n);
	const struct address a = {
		.kind = ADDRESS_FULL,
		.local = { text, e->local.n + tag.n },
		.domain = e->target.domain,
	};
	if (address_refused(&a) || !address_wire(&wire, &a))
		return true;
	*out = (struct directory_target){
		.address = arena_dup(arena, buf_span(&wire)),
		.domain = e->target.domain,
		.key = arena_dup(arena, directory_key(a.local, a.domain, room)),
	};
	return out->address.p && out->key.p;
}

/* The lists that one leads to, itself first, level by level. */
struct lists {
	const struct entry **v;
	size_t n;
	unsigned char *seen; /* by place, one bit each */
	bool too_deep;
};

static bool
see(struct lists *all, const struct entry *list)
{
	unsigned char bit = (unsigned char)(1u << list->at % 8);
	bool was = all->seen[list->at / 8] & bit;

	all->seen[list->at / 8] |= bit;
	return !was;
}

static void
lists_below(const struct directory *d, const struct entry *top, struct lists *out)
{
	*out = (struct lists){
		.v = calloc(d->n_lists + 1, sizeof(const void *)),
		.seen = calloc(d->n / 8 + 1, 1),
	};
	if (!out->v || !out->seen)
		abort();
	(void)see(out, top);
	out->v[out->n++] = top;

	size_t level_end = 1;
	unsigned depth = 0;
	for (size_t i = 0; i < out->n; i++) {
		if (i == level_end) {
			level_end = out->n;
			depth++;
		}
		for (size_t k = 0; k < out->v[i]->n_members; k++) {
			const struct entry *list = out->v[i]->members[k].list;

			if (!list)
				continue;
			if (depth == DIRECTORY_DEPTH_MAX)
				out->too_deep = true;
			else if (see(out, list))
				out->v[out->n++] = list;
		}
	}
}

/* False when there are too many. */
static bool
members_of(const struct entry *list, struct map *seen, struct directory_target *v,
		size_t *n)
{
	for (size_t k = 0; k < list->n_members; k++) {
		const struct member *m = &list->members[k];

		if (m->list || map_get(seen, m->target.key))
			continue;
		if (*n == DIRECTORY_MEMBERS_MAX)
			return false;
		v[*n] = m->target;
		(void)map_put(seen, v[*n].key, &v[*n]);
		++*n;
	}
	return true;
}

static bool
resolve_list(const struct directory *d, const struct entry *top, struct arena *arena,
		struct directory_resolved *out)
{
	struct lists lists;
	struct map seen;
	size_t most = 0;

	lists_below(d, top, &lists);
	out->too_deep = lists.too_deep;
	for (size_t i = 0; i < lists.n; i++) {
		most += lists.v[i]->n_members;
		out->unknown += lists.v[i]->unknown;
	}
	if (most > DIRECTORY_MEMBERS_MAX)
		most = DIRECTORY_MEMBERS_MAX;

	struct directory_target *v = arena_alloc(arena, (most + 1) * sizeof(*v));
	map_init(&seen, 0, 0);
	for (size_t i = 0; v && i < lists.n && !out->too_many; i++)
		out->too_many = !members_of(lists.v[i], &seen, v, &out->n);
	if (out->too_many)
		out->n = 0;
	out->v = v;
	map_done(&seen);
	free(lists.v);
	free(lists.seen);
	return v != NULL;
}

bool
directory_resolve(const struct directory *d, const struct directory_entry *entry,
		const struct directory_match *match, struct arena *arena,
		struct directory_resolved *out)
{
	const struct entry *e = (const struct entry *)entry;

	MUST(e->at < d->n && e == &d->v[e->at]);
	*out = (struct directory_resolved){ .entry = entry };
	if (match)
		out->match = *match;
	if (e->e.list)
		return resolve_list(d, e, arena, out);
	if (e->target.address.n == 0)
		return true;
	out->v = &e->target;
	out->n = 1;
	if (!match || !match->without_tag)
		return true;

	struct directory_target *v = arena_alloc(arena, sizeof(*v));
	if (!v || !tagged(e, match->tag, arena, v))
		return false;
	out->v = v;
	return true;
}

bool
directory_resolve_address(const struct directory *d, struct span address,
		struct arena *arena, struct directory_resolved *out)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	struct directory_match match = { .without_tag = false };
	struct address parsed;

	*out = (struct directory_resolved){ .entry = NULL };
	if (!address_parse(arena, address, &parsed) ||
			!domain_canon(parsed.domain, domain))
		return false;
	const struct directory_entry *entry =
			directory_find(d, parsed.local, span_of(domain), &match);
	return entry && directory_resolve(d, entry, &match, arena, out);
}

bool
directory_describe(const struct directory_resolved *r, struct buf *out)
{
	return buf_addf(out, "%s " SPAN_FMT, r->entry->list ? "list" : "person",
			       SPAN_ARG(r->entry->alias)) &&
			(!r->match.without_tag ||
					buf_addf(out, ", sub-address " SPAN_FMT,
							SPAN_ARG(r->match.tag)));
}
