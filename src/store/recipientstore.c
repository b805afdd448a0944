#include "postern/recipientstore.h"

#include <string.h>

#include "postern/policystore.h"
#include "state.h"

enum { LOAD_MAX = 1024 * 1024 * 1024 };

static const char reading[] = "cannot read the recipients";
static const char writing[] = "cannot write the recipients";

/* ---- reading ---- */

struct text_row {
	struct span alias, text;
};

/* Gives each recipient its texts; both come sorted by alias. */
static bool
texts_of(struct reader *r, enum sql which, struct arena *a, struct directory_row *rows,
		size_t n, struct err *e)
{
	struct rows found = { .size = sizeof(struct text_row) };
	struct query q = query_of(&r->db, which);

	while (query_row(&q)) {
		struct text_row *t = rows_add(&found, a);
		if (t) {
			t->alias = query_copy(&q, 0, a);
			t->text = query_copy(&q, 1, a);
		} else {
			q.rc = SQLITE_NOMEM;
		}
	}
	if (!query_end(&q, reading, e))
		return false;

	struct span *texts = arena_alloc(a, (found.n + 1) * sizeof(*texts));
	const struct text_row *t = found.p;
	size_t at = 0;
	if (!texts)
		return err_set(e, EVENT_DATABASE_TROUBLE,
				"there are too many recipients");
	for (size_t i = 0; i < n; i++) {
		struct directory_texts *to = which == SQL_DIRECTORY_GROUPS
				? &rows[i].groups
				: &rows[i].members;

		to->v = texts + at;
		for (; at < found.n && span_eq_nocase(t[at].alias, rows[i].alias); at++)
			texts[at] = t[at].text;
		to->n = (size_t)(texts + at - to->v);
	}
	return true;
}

static bool
load(struct reader *r, struct arena *a, struct directory_row **out, size_t *n,
		struct err *e)
{
	struct rows rows = { .size = sizeof **out };
	struct query q = query_of(&r->db, SQL_DIRECTORY);

	while (query_row(&q)) {
		struct directory_row *row = rows_add(&rows, a);
		if (!row || rows.n > DIRECTORY_ENTRIES_MAX) {
			q.rc = SQLITE_NOMEM;
			continue;
		}
		row->alias = query_copy(&q, 0, a);
		row->given = query_copy(&q, 1, a);
		row->surname = query_copy(&q, 2, a);
		row->display = query_copy(&q, 3, a);
		row->primary = query_copy(&q, 4, a);
	}
	*out = rows.p;
	*n = rows.n;
	return query_end(&q, reading, e) &&
			texts_of(r, SQL_DIRECTORY_GROUPS, a, rows.p, rows.n, e) &&
			texts_of(r, SQL_DIRECTORY_MEMBERS, a, rows.p, rows.n, e);
}

bool
recipientstore_load(struct reader *r, struct arena *a, struct directory_row **out,
		size_t *n, struct err *e)
{
	bool ours;

	*n = 0;
	if (!ask_snapshot(r, &ours, e))
		return false;
	return ask_snapshot_end(r, ours, load(r, a, out, n, e));
}

/* The policies as the policy room wants them. */
static bool
policy_rows(const struct policystore_policy *p, size_t n, struct arena *a,
		struct directory_rows *out)
{
	struct directory_policy *policies = arena_alloc(a, (n + 1) * sizeof(*policies));
	size_t n_domains = 0, at = 0;

	for (size_t i = 0; i < n; i++)
		n_domains += p[i].n_domains;
	struct policy_domain *domains =
			arena_alloc(a, (n_domains + 1) * sizeof(*domains));
	for (size_t i = 0; policies && domains && i < n; i++) {
		unsigned priority = p[i].priority < 0	     ? 0
				: p[i].priority > UINT32_MAX ? UINT32_MAX
							     : (unsigned)p[i].priority;
		struct directory_template *t =
				arena_alloc(a, (p[i].n_addresses + 1) * sizeof(*t));

		if (!t)
			return false;
		for (size_t k = 0; k < p[i].n_addresses; k++)
			t[k] = (struct directory_template){ p[i].addresses[k].text,
				p[i].addresses[k].primary };
		policies[i] = (struct directory_policy){
			.name = p[i].name,
			.priority = priority,
			.german = p[i].german,
			.groups = { p[i].groups, p[i].n_groups },
			.addresses = t,
			.n_addresses = p[i].n_addresses,
		};
		for (size_t k = 0; k < p[i].n_domains; k++) {
			const struct policystore_domain *d = &p[i].domains[k];
			domains[at++] = (struct policy_domain){
				.domain = d->name,
				.subdomains = d->subdomains,
				.authoritative = d->authoritative,
				.policy = p[i].name,
				.priority = priority,
				.reject_unknown = d->reject_unknown,
				.subaddress = d->subaddress,
				.by_hand = d->by_hand,
			};
		}
	}
	out->policies = policies;
	out->n_policies = n;
	out->domains = domains;
	out->n_domains = at;
	return policies && domains;
}

bool
recipientstore_rows(struct reader *r, struct arena *a, struct directory_rows *out,
		uint64_t *version, struct err *e)
{
	struct directory_row *recipients = NULL;
	struct policystore_policy *p = NULL;
	size_t n = 0;
	bool ours;

	*out = (struct directory_rows){ 0 };
	if (!ask_snapshot(r, &ours, e))
		return false;
	bool good = policystore_load(r, a, &p, &n, version, e) &&
			load(r, a, &recipients, &out->n_recipients, e);
	out->recipients = recipients;
	if (!ask_snapshot_end(r, ours, good))
		return false;
	return policy_rows(p, n, a, out) ||
			err_set(e, EVENT_DATABASE_TROUBLE,
					"there are too many policy domains");
}

bool
directory_load(struct reader *r, struct directory **out, uint64_t *version,
		struct err *e)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(LOAD_MAX);
	struct directory_rows rows;

	if (!recipientstore_rows(r, &a, &rows, version, e))
		return false;
	*out = directory_new(&rows);
	return true;
}

/* ---- writing ---- */

static bool
same_texts(struct directory_texts a, struct directory_texts b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (!span_eq(a.v[i], b.v[i]))
			return false;
	}
	return true;
}

static bool
same(const struct directory_row *a, const struct directory_row *b)
{
	return span_eq(a->alias, b->alias) && span_eq(a->given, b->given) &&
			span_eq(a->surname, b->surname) &&
			span_eq(a->display, b->display) &&
			span_eq(a->primary, b->primary) &&
			same_texts(a->groups, b->groups) &&
			same_texts(a->members, b->members);
}

static bool
put_texts(struct store *s, enum sql which, struct span alias,
		struct directory_texts texts, struct err *e)
{
	for (size_t i = 0; i < texts.n; i++) {
		struct query q = query_of(&s->self.db, which);

		query_text(&q, alias);
		query_int(&q, (int64_t)i);
		query_text(&q, texts.v[i]);
		if (!query_run(&q, writing, e))
			return false;
	}
	return true;
}

static bool
take_out(struct store *s, struct span alias, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_DIRECTORY_DELETE);

	query_text(&q, alias);
	return query_run(&q, writing, e);
}

static bool
put(struct store *s, const struct directory_row *row, struct err *e)
{
	if (!take_out(s, row->alias, e))
		return false;

	struct query q = query_of(&s->self.db, SQL_DIRECTORY_PUT);
	query_text(&q, row->alias);
	query_text(&q, row->given);
	query_text(&q, row->surname);
	query_text(&q, row->display);
	query_text(&q, row->primary);
	return query_run(&q, writing, e) &&
			put_texts(s, SQL_DIRECTORY_GROUP_PUT, row->alias, row->groups,
					e) &&
			put_texts(s, SQL_DIRECTORY_MEMBER_PUT, row->alias, row->members,
					e);
}

/* Those that are new or different. */
static bool
put_changes(struct store *s, const struct directory_row *rows, size_t n,
		struct recipientstore_change *change, struct err *e)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(LOAD_MAX);
	struct directory_row *old = NULL;
	size_t n_old = 0;
	struct map there;
	bool good = load(&s->self, &a, &old, &n_old, e);

	map_init(&there, 0, 0);
	for (size_t i = 0; good && i < n_old; i++) {
		struct span key = directory_fold(&a, old[i].alias);
		good = key.p ||
				err_set(e, EVENT_DATABASE_TROUBLE,
						"too many recipients");
		if (good)
			(void)map_put(&there, key, &old[i]);
	}
	for (size_t i = 0; good && i < n; i++) {
		struct span key = directory_fold(&a, rows[i].alias);
		const struct directory_row *was = key.p ? map_get(&there, key) : NULL;

		if (was && same(was, &rows[i]))
			continue;
		good = put(s, &rows[i], e);
		change->added += !was;
		change->changed += was != NULL;
	}
	map_done(&there);
	if (good && n_old + change->added > DIRECTORY_ENTRIES_MAX)
		good = err_set(e, 0, "there would be more than %d recipients",
				DIRECTORY_ENTRIES_MAX);
	return good;
}

/* Nobody's own primary address is somebody else's. */
static bool
owns_agree(struct store *s, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_DIRECTORY_SHARED);

	if (query_row(&q)) {
		struct span own = query_peek(&q, 0), one = query_peek(&q, 1),
			    other = query_peek(&q, 2);
		(void)err_set(e, 0,
				SPAN_FMT " would be the primary address of " SPAN_FMT
					 " and of " SPAN_FMT,
				SPAN_ARG(own), SPAN_ARG(one), SPAN_ARG(other));
		(void)query_end(&q, reading, NULL);
		return false;
	}
	return query_end(&q, reading, e);
}

static bool
finish(struct store *s, bool good, bool moved, struct err *e)
{
	if (good && moved) {
		struct query q = query_of(&s->self.db, SQL_VERSION_RAISE);
		good = query_run(&q, writing, e);
	}
	return transaction_end(s, good, e);
}

bool
recipientstore_put(struct store *s, const struct directory_row *rows, size_t n,
		struct recipientstore_change *change, struct err *e)
{
	struct recipientstore_change did = { 0 };

	if (!transaction_begin(s, e))
		return false;
	bool good = put_changes(s, rows, n, &did, e);
	bool moved = did.added + did.changed > 0;
	good = good && (!moved || owns_agree(s, e));
	if (!finish(s, good, moved, e))
		return false;
	*change = did;
	return true;
}

bool
recipientstore_remove(struct store *s, struct span alias, bool *was, struct err *e)
{
	if (!transaction_begin(s, e))
		return false;
	bool good = take_out(s, alias, e);
	bool gone = good && db_changes(&s->self.db) > 0;
	if (!finish(s, good, gone, e))
		return false;
	*was = gone;
	return true;
}
