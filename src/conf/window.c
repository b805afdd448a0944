#include "postern/window.h"

#include <string.h>

#include "postern/must.h"
#include "postern/num.h"

enum { DAYS = 7, DAY_TEXT_MIN = 3 };

static const char *const days[DAYS] = { "monday", "tuesday", "wednesday", "thursday",
	"friday", "saturday", "sunday" };

/* One byte a minute, on the stack while a text is read. */
struct week {
	bool open[WINDOW_WEEK];
};

struct part {
	unsigned days; /* a bit each, Monday is bit 0 */
	unsigned from, to; /* minutes of the day; to <= from: of the next one */
};

static bool
day_find(struct span s, unsigned *day)
{
	for (unsigned i = 0; i < DAYS; i++) {
		struct span full = span_of(days[i]);

		if (span_eq_nocase(s, full) ||
				span_eq_nocase(s, span_first(full, DAY_TEXT_MIN))) {
			*day = i;
			return true;
		}
	}
	return false;
}

/* "Mon" or "Fri-Mon". */
static bool
days_read(struct span s, unsigned *mask)
{
	struct span first, rest = s;
	unsigned from, to;

	first = span_trim(span_until(&rest, '-'));
	if (!day_find(first, &from))
		return false;
	to = from;
	if (span_find(s, '-') < s.n && !day_find(span_trim(rest), &to))
		return false;
	for (unsigned i = from;; i = (i + 1) % DAYS) {
		*mask |= 1u << i;
		if (i == to)
			return true;
	}
}

static bool
time_read(struct span s, unsigned *minute)
{
	struct span rest = s, hour = span_until(&rest, ':');
	uint64_t h, m;

	if (hour.n == 0 || hour.n > 2 || rest.n != 2 || !num_u64(hour, 24, &h) ||
			!num_u64(rest, 59, &m) || (h == 24 && m > 0))
		return false;
	*minute = (unsigned)(h * 60 + m);
	return true;
}

static bool
hours_read(struct span s, struct part *p, const char **why)
{
	struct span rest = s, from = span_trim(span_until(&rest, '-'));

	*why = "hours such as 07:00-20:00";
	if (!time_read(from, &p->from) || !time_read(span_trim(rest), &p->to))
		return false;
	*why = "hours that begin before 24:00";
	if (p->from == WINDOW_DAY)
		return false;
	*why = "hours that end at another time than they begin; "
	       "the whole day is 00:00-24:00";
	return p->from != p->to;
}

/* Where the hours begin: at the first digit. */
static size_t
digit_at(struct span s)
{
	size_t i = 0;

	while (i < s.n && (s.p[i] < '0' || s.p[i] > '9'))
		i++;
	return i;
}

static bool
part_read(struct span s, struct part *p, const char **why)
{
	size_t at = digit_at(s);
	struct span word = span_trim(span_first(s, at));

	*why = "days and hours such as Mon-Fri 07:00-20:00";
	if (s.n == 0)
		return false;
	if (word.n > 0) {
		*why = "a day (Mon, Tue, ...) or days (Mon-Fri)";
		if (!days_read(word, &p->days))
			return false;
	}
	p->from = p->to = 0;
	return at == s.n || hours_read(span_skip(s, at), p, why);
}

static void
part_set(struct week *w, const struct part *p)
{
	unsigned n = p->to > p->from ? p->to - p->from : WINDOW_DAY - p->from + p->to;

	for (unsigned day = 0; day < DAYS; day++) {
		unsigned at = day * WINDOW_DAY + p->from;
		unsigned here = WINDOW_WEEK - at < n ? WINDOW_WEEK - at : n;

		if (p->days != 0 && !(p->days & 1u << day))
			continue;
		memset(w->open + at, true, here);
		memset(w->open, true, n - here); /* Sunday night */
	}
}

static size_t
hours_count(const struct week *w)
{
	size_t n = 0;

	for (unsigned i = 0; i < WINDOW_WEEK; i++)
		n += w->open[i] && (i == 0 || !w->open[i - 1]);
	return n;
}

static void
hours_keep(const struct week *w, struct arena *a, struct conf_window *out)
{
	size_t n = hours_count(w);
	struct conf_hours *list = arena_alloc(a, n * sizeof(*list));

	MUST(list);
	*out = (struct conf_window){ list, n };
	for (unsigned i = 0; i < WINDOW_WEEK; i++) {
		if (!w->open[i])
			continue;
		list->from = (uint16_t)i;
		while (i < WINDOW_WEEK && w->open[i])
			i++;
		list->to = (uint16_t)i;
		list++;
	}
}

/* False: it was the last one. */
static bool
part_cut(struct span *rest, struct span *part)
{
	size_t comma = span_find(*rest, ','), semicolon = span_find(*rest, ';');
	size_t n = comma < semicolon ? comma : semicolon;
	bool more = n < rest->n;

	*part = span_trim(span_first(*rest, n));
	*rest = span_skip(*rest, more ? n + 1 : n);
	return more;
}

bool
window_parse(struct span text, struct arena *a, struct conf_window *out,
		struct span *wrong, const char **why)
{
	struct week week = { { false } };
	struct part part = { 0 };
	struct span rest = text;
	bool more, named = false;

	do {
		more = part_cut(&rest, wrong);
		if (!part_read(*wrong, &part, why))
			return false;
		*why = "days before these hours, since the others have theirs";
		if (named && part.days == 0)
			return false;
		named = named || part.days != 0;
		if (part.from == part.to)
			continue; /* days only: the next part goes on with them */
		part_set(&week, &part);
		part.days = 0;
	} while (more);
	*why = "hours behind these days, such as 07:00-20:00";
	if (part.days != 0)
		return false;
	hours_keep(&week, a, out);
	return true;
}

unsigned
window_wait(const struct conf_window *w, unsigned minute)
{
	for (size_t i = 0; i < w->n; i++) {
		if (minute < w->p[i].from)
			return w->p[i].from - minute;
		if (minute < w->p[i].to)
			return 0;
	}
	return w->n > 0 ? WINDOW_WEEK - minute + w->p[0].from : 0;
}
