/* roll: the recipients of one message, from the answers to its RCPTs. */
#include "postern/roll.h"

#include <string.h>

void
roll_init(struct roll *l, const struct roll_calls *calls, void *host, struct arena *a,
		size_t most, bool keeps)
{
	*l = (struct roll){
		.calls = calls, .host = host, .arena = a, .most = most, .keeps = keeps
	};
}

void
roll_done(struct roll *l)
{
	if (l->mapped)
		map_done(&l->rows);
	map_done(&l->lists);
}

/* ---- which row is whose ---- */

enum { NOBODY_YET = -1 };

/* What the map keeps of a row; never NULL. */
static void *
row_mark(size_t row, bool refused)
{
	return (void *)(uintptr_t)((row + 1) << 1 | refused);
}

/* The row of this key, and whether it is refused; NOBODY_YET. */
static int64_t
row_find(const struct roll *l, struct span key, bool *refused)
{
	for (size_t i = 0; i < l->n && i < ROLL_FIRST; i++)
		if (span_eq(l->first[i], key)) {
			*refused = l->refused[i];
			return (int64_t)i;
		}
	uintptr_t mark = l->mapped ? (uintptr_t)map_get(&l->rows, key) : 0;
	*refused = mark & 1;
	return mark ? (int64_t)(mark >> 1) - 1 : NOBODY_YET;
}

/* The key lives in the arena. */
static void
row_mark_as(struct roll *l, size_t row, struct span key, bool refused)
{
	if (row < ROLL_FIRST) {
		l->first[row] = key;
		l->refused[row] = refused;
		return;
	}
	if (!l->mapped) {
		uint64_t seed[2];

		l->calls->seed(l->host, seed);
		map_init(&l->rows, seed[0], seed[1]);
		l->mapped = true;
	}
	(void)map_put(&l->rows, key, row_mark(row, refused));
}

/* Whoever is there already stays as he is, but for one who was refused and is not now. */
static bool
entry_add(struct roll *l, struct span key, const struct roll_entry *e)
{
	bool was_refused;
	int64_t was = row_find(l, key, &was_refused);
	size_t row = was == NOBODY_YET ? l->n : (size_t)was;

	if (was != NOBODY_YET && (!was_refused || e->refused))
		return true;
	if (row >= l->most)
		return false;
	struct span kept = arena_dup(l->arena, key);
	if (!kept.p || !l->calls->put(l->host, row, e))
		return false;
	row_mark_as(l, row, kept, e->refused);
	l->n += was == NOBODY_YET;
	return true;
}

/* ---- what was decided ---- */

static bool
refuse(struct roll *l, const struct rcpt *rc, enum smtp_refusal as,
		enum smtp_refusal *why)
{
	const struct roll_entry e = {
		/* of the bare postmaster, the word alone: he is nobody else */
		.address = rc->bare ? rc->said : rc->mailbox,
		.refused = true,
		.why = as,
		.said = rc->said,
	};

	*why = as;
	if (l->keeps && !entry_add(l, rc->key, &e)) /* he must not be left out */
		*why = SMTP_REFUSE_RECIPIENTS;
	return false;
}

/* Others may take those who are too many for this message; where there are no others for
 * it, they are refused for good. */
static bool
no_room(struct roll *l, const struct rcpt *rc, enum smtp_refusal *why)
{
	if (l->keeps)
		return refuse(l, rc, SMTP_REFUSE_MEMBERS, why);
	*why = SMTP_REFUSE_RECIPIENTS;
	return false;
}

/* Beside those there are; lists may have members in common. */
static bool
all_fit(const struct roll *l, const struct rcpt *rc)
{
	size_t n = l->n;
	bool refused;

	if (n + rc->n <= l->most)
		return true;
	for (size_t i = 0; i < rc->n && n <= l->most; i++)
		n += row_find(l, rc->v[i].key, &refused) == NOBODY_YET;
	return n <= l->most;
}

/* Members of a list that is new here. False: *why. */
static bool
members_fit(struct roll *l, const struct rcpt *rc, enum smtp_refusal *why)
{
	/* Lists that overlap: waiting for other messages would not make room for it. */
	if (l->members + rc->n > ROLL_MEMBERS_MAX)
		return no_room(l, rc, why);
	if (l->calls->members && !l->calls->members(l->host, rc->n)) {
		*why = SMTP_REFUSE_BUSY;
		return false;
	}
	l->members += rc->n;
	return true;
}

static bool
take_all(struct roll *l, const struct rcpt_rules *rules, const struct rcpt *rc)
{
	for (size_t i = 0; i < rc->n; i++) {
		const struct directory_target *t = &rc->v[i];
		bool other = !span_eq(t->key, rc->key), refused;

		/* Nothing is made for him: lists may have all their members in common. */
		if (row_find(l, t->key, &refused) != NOBODY_YET && !refused)
			continue;
		const struct roll_entry e = {
			.address = t->address,
			.asked = other ? rc->mailbox : (struct span){ "", 0 },
			.asked_list = other && rc->list,
			.hop = rcpt_hop(rules, t->domain),
		};
		if (!entry_add(l, t->key, &e))
			return false;
	}
	return true;
}

bool
roll_take(struct roll *l, const struct rcpt_rules *rules, const struct rcpt *rc,
		enum smtp_refusal *why)
{
	if (!rc->accepted)
		return refuse(l, rc, rc->why, why);
	if (rc->list && map_get(&l->lists, rc->list->alias))
		return true;
	if (!all_fit(l, rc))
		return no_room(l, rc, why);
	if (rc->list && !members_fit(l, rc, why))
		return false;
	*why = SMTP_REFUSE_RECIPIENTS;
	if (!take_all(l, rules, rc))
		return false;
	/* The directory may be another one before the message is whole. */
	struct span alias = rc->list ? arena_dup(l->arena, rc->list->alias)
				     : (struct span){ "", 0 };
	if (alias.n > 0)
		(void)map_put(&l->lists, alias, l);
	return true;
}

bool
roll_nobody(struct roll *l, const struct rcpt *rc, enum smtp_refusal *why)
{
	const struct roll_entry e = { .address = rc->mailbox };

	*why = SMTP_REFUSE_RECIPIENTS;
	return entry_add(l, rc->key, &e);
}

bool
roll_hops(struct roll *l, unsigned hops, unsigned most)
{
	if (hops <= most)
		return false;
	for (size_t i = 0; i < l->n; i++)
		l->calls->refuse(l->host, i, SMTP_REFUSE_HOPS);
	return true;
}
