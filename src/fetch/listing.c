#include "listing.h"

#include <stdlib.h>

#include "postern/num.h"

void
pop_listing_init(struct pop_listing *l)
{
	*l = (struct pop_listing){ .uids = BUF_MAX(LISTING_BYTES) };
}

void
pop_listing_done(struct pop_listing *l)
{
	free(l->items);
	free(l->order);
	buf_done(&l->uids);
	pop_listing_init(l);
}

struct span
pop_listing_uid(const struct pop_listing *l, size_t i)
{
	if (l->items[i].uid_n == 0)
		return SPAN("");
	return (struct span){ l->uids.p + l->items[i].uid_at, l->items[i].uid_n };
}

static void
push(struct pop_listing *l, uint64_t octets)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 64;
		struct pop_listed *items = realloc(l->items, l->cap * sizeof(*items));
		if (!items)
			abort();
		l->items = items;
	}
	l->items[l->n++] = (struct pop_listed){ .octets = octets };
	if (__builtin_add_overflow(l->octets, octets, &l->octets))
		l->octets = UINT64_MAX;
}

static bool
odd(struct err *err, const char *what, struct span line)
{
	return err_set(err, EVENT_UNEXPECTED_RESPONSE, "%s: \"" SPAN_FMT "\"", what,
			SPAN_ARG(span_first(line, 100)));
}

/* Some servers begin with an empty row, or end with one. */
static bool
is_blank(struct span line)
{
	return span_trim(line).n == 0;
}

bool
pop_listing_read_sizes(struct pop_listing *l, struct pop_wire *w, struct err *err)
{
	struct span line, word;
	uint64_t number, octets, bytes = 0;
	bool lost;

	while (pop_item(w, &line, &lost)) {
		struct span rest = line;

		bytes += line.n + 2;
		word = span_word(&rest);
		if (w->cut || bytes > LISTING_BYTES || l->n == LISTING_MESSAGES)
			return odd(err, "LIST is too long", line);
		if (is_blank(line))
			continue;
		if (!num_u64(word, LISTING_MESSAGES, &number) || number != l->n + 1)
			return odd(err, "LIST has a wrong message number", line);
		word = span_word(&rest);
		if (!num_u64(word, INT64_MAX, &octets))
			return odd(err, "LIST has a wrong size", line);
		push(l, octets);
	}
	return lost ? err_set(err, 0, "the connection was lost in LIST") : true;
}

static bool
uid_ok(struct span uid)
{
	for (size_t i = 0; i < uid.n; i++) {
		if (uid.p[i] < 0x21 || uid.p[i] > 0x7e)
			return false;
	}
	return uid.n > 0 && uid.n <= LISTING_UID;
}

bool
pop_listing_read_uids(struct pop_listing *l, struct pop_wire *w, struct err *err)
{
	struct span line, word;
	uint64_t number;
	size_t i = 0, blanks = 0;
	bool lost;

	while (pop_item(w, &line, &lost)) {
		struct span rest = line;

		blanks += is_blank(line);
		if (blanks > LISTING_MESSAGES)
			return odd(err, "UIDL is too long", line);
		if (is_blank(line))
			continue;
		i++;
		word = span_until(&rest, ' ');
		if (!num_u64(word, LISTING_MESSAGES, &number) || number != i ||
				i > l->n)
			return odd(err, "UIDL names another message than LIST", line);
		rest = span_trim(rest);
		if (!uid_ok(rest)) { /* a line that was cut is too long for that, too */
			l->unnamed++;
			continue;
		}
		l->items[i - 1].uid_at = (uint32_t)l->uids.n;
		l->items[i - 1].uid_n = (uint16_t)rest.n;
		if (!buf_add(&l->uids, rest))
			return odd(err, "UIDL is too long", line);
	}
	if (lost)
		return err_set(err, 0, "the connection was lost in UIDL");
	if (i != l->n)
		return err_set(err, EVENT_UNEXPECTED_RESPONSE,
				"UIDL names %zu messages, LIST %zu", i, l->n);
	return true;
}

void
pop_listing_no_uids(struct pop_listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		l->items[i].uid_n = 0;
	l->unnamed = l->n;
}

static int
by_uid(const void *a, const void *b, void *arg)
{
	const struct pop_listing *l = arg;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	int order = span_cmp(pop_listing_uid(l, i), pop_listing_uid(l, k));

	return order ? order : (i > k) - (i < k);
}

static bool
same_uid(const struct pop_listing *l, size_t i, size_t k)
{
	return span_eq(pop_listing_uid(l, l->order[i]),
			pop_listing_uid(l, l->order[k]));
}

void
pop_listing_sort(struct pop_listing *l)
{
	size_t n = 0, kept = 0, end;

	free(l->order);
	l->order = malloc((l->n + 1) * sizeof(*l->order));
	if (!l->order)
		abort();
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].uid_n > 0)
			l->order[n++] = (uint32_t)i;
	qsort_r(l->order, n, sizeof(*l->order), by_uid, l);
	for (size_t i = 0; i < n; i = end) {
		for (end = i + 1; end < n && same_uid(l, i, end); end++)
			;
		if (end == i + 1) {
			l->order[kept++] = l->order[i];
			continue;
		}
		for (size_t k = i; k < end; k++)
			l->items[l->order[k]].uid_n = 0;
		l->unnamed += end - i;
		l->twins += end - i;
	}
	l->named = kept;
}

size_t
pop_listing_find(const struct pop_listing *l, struct span uid)
{
	size_t low = 0, high = l->named;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = span_cmp(pop_listing_uid(l, l->order[middle]), uid);

		if (order == 0)
			return l->order[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return l->n;
}
