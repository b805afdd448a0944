#include "known.h"

#include <stdlib.h>

#include "postern/clock.h"
#include "print.h"

enum { KNOWN_MEMORY = 64 * 1024 * 1024, STORM_LEAST = 20 };

static const struct span notice_prefix = { SPAN_INIT(" notice ") };

int64_t
pop_steady_ms(struct reader *r)
{
	int64_t now;

	return r && reader_steady_ms(r, &now, NULL) ? now : clock_wall_ms();
}

void
pop_known_init(struct pop_known *k)
{
	*k = (struct pop_known){ .arena = ARENA_MAX(KNOWN_MEMORY) };
}

void
pop_known_done(struct pop_known *k)
{
	free(k->prints);
	free(k->absent.v);
	free(k->back.v);
	free(k->forget.v);
	arena_done(&k->arena);
	pop_known_init(k);
}

bool
pop_known_notice_key(struct span uid, struct buf *out)
{
	buf_clear(out);
	return uid.n > 0 && notice_prefix.n + uid.n <= KNOWN_KEY_MAX &&
			buf_add(out, notice_prefix) && buf_add(out, uid);
}

/* What does not fit comes again with the next listing. */
static void
uids_add(struct pop_known *k, struct pop_uids *u, struct span uid)
{
	if (u->n == KNOWN_CHANGES)
		return;
	if (u->n == u->cap) {
		u->cap = u->cap ? u->cap * 2 : 64;
		struct span *v = realloc(u->v, u->cap * sizeof(*v));
		if (!v)
			abort();
		u->v = v;
	}
	struct span kept = arena_dup(&k->arena, uid);
	if (kept.p)
		u->v[u->n++] = kept;
}

static void
print_add(struct pop_known *k, uint64_t print)
{
	if (k->n_prints == k->cap_prints) {
		k->cap_prints = k->cap_prints ? k->cap_prints * 2 : 256;
		uint64_t *v = realloc(k->prints, k->cap_prints * sizeof(*v));
		if (!v)
			abort();
		k->prints = v;
	}
	k->prints[k->n_prints++] = pop_print_fields(print);
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
fill(struct pop_message *m, const struct origin_row *o)
{
	static const uint8_t known[] = {
		[ORIGIN_NEW] = POP_UNKNOWN,
		[ORIGIN_COMMITTED] = POP_COMMITTED,
		[ORIGIN_SETTLED] = POP_SETTLED,
		[ORIGIN_ADOPTED] = POP_ADOPTED,
	};

	m->known = known[o->state];
	m->print = o->print;
	m->committed_s = (uint32_t)(o->committed_ms / 1000);
	m->changed = o->state == ORIGIN_COMMITTED &&
			!pop_print_size_is(o->print, m->octets);
}

/* Its message is listed. */
static void
count(struct pop_known *k, struct pop_message *m, const struct origin_row *o)
{
	fill(m, o);
	k->here += o->state == ORIGIN_COMMITTED;
	k->resized += m->changed;
	k->blank += o->state == ORIGIN_SETTLED && o->print == 0;
}

/* An origin, and whether the listing names it. */
static void
take(struct pop_known *k, const struct origin_row *o, bool listed, bool complete)
{
	bool there = o->state != ORIGIN_SETTLED;

	if (o->print)
		print_add(k, o->print);
	k->kept += there && !o->absent;
	k->vanished += there && !o->absent && !listed;
	if (!complete)
		return;
	if (listed && o->absent)
		uids_add(k, &k->back, o->uidl);
	else if (!listed && !o->absent)
		uids_add(k, &k->absent, o->uidl);
	else if (!listed && o->absent_ms <= k->now_ms - ORIGIN_KEEP_MS)
		uids_add(k, &k->forget, o->uidl);
}

bool
pop_known_look(struct pop_known *k, struct reader *r, struct span account,
		const struct pop_listing *l, struct pop_message *messages,
		struct err *err)
{
	struct origin_row o;
	size_t at = 0, found = 0;

	k->now_ms = pop_steady_ms(r);
	origin_walk(r, account);
	while (origin_walk_next(r, &o)) {
		bool listed = false;

		if (span_starts(o.uidl, notice_prefix)) {
			size_t i = pop_listing_find(
					l, span_skip(o.uidl, notice_prefix.n));
			listed = i < l->n;
			if (listed)
				messages[i].told = true;
			o.state = ORIGIN_SETTLED; /* of no message that is kept there */
			o.print = 0;
		} else {
			while (at < l->named &&
					span_cmp(pop_listing_uid(l, l->order[at]),
							o.uidl) < 0)
				at++;
			listed = at < l->named &&
					span_eq(pop_listing_uid(l, l->order[at]),
							o.uidl);
			if (listed)
				count(k, &messages[l->order[at]], &o);
			found += listed;
		}
		take(k, &o, listed, l->unnamed == 0);
	}
	k->unknown = l->n - found;
	if (k->n_prints > 0)
		qsort(k->prints, k->n_prints, sizeof(*k->prints), by_number);
	return origin_walk_end(r, err);
}

bool
pop_known_print(const struct pop_known *k, uint64_t print)
{
	uint64_t key = pop_print_fields(print);

	return k->n_prints > 0 &&
			bsearch(&key, k->prints, k->n_prints, sizeof(key), by_number);
}

bool
pop_known_recounted(const struct pop_known *k)
{
	return k->resized >= STORM_LEAST && 2 * k->resized >= k->here;
}

bool
pop_known_blank(const struct pop_known *k)
{
	return k->blank >= STORM_LEAST;
}

bool
pop_known_storm(const struct pop_known *k)
{
	if (k->unknown < STORM_LEAST || k->n_prints < STORM_LEAST)
		return false;
	return (k->kept > STORM_LEAST && k->vanished >= k->kept - k->kept / 10) ||
			k->unknown >= k->n_prints / 2;
}
