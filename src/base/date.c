#include "postern/date.h"

#include <inttypes.h>
#include <stdio.h>

#include "postern/num.h"

static const char *const day_names[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri",
	"Sat" };
static const char *const month_names[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

static const int64_t year_10000 = 253402300800;

struct moment {
	unsigned year, month, day, weekday, hour, minute, second; /* month from 1 */
};

/* Days since 1970-01-01 of a date of the Gregorian calendar, counted in years
 * that begin in March, so that the leap day is the last. */
static int64_t
days_from(unsigned year, unsigned month, unsigned day)
{
	int64_t y = (int64_t)year - (month <= 2);
	int64_t era = y / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 +
			(int64_t)day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
			day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static struct moment
moment_of(int64_t unix_s)
{
	if (unix_s < 0)
		unix_s = 0;
	if (unix_s >= year_10000)
		unix_s = year_10000 - 1;

	int64_t days = unix_s / 86400;
	unsigned left = (unsigned)(unix_s % 86400);
	int64_t z = days + 719468;
	int64_t era = z / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);

	return (struct moment){
		.year = (unsigned)(yoe + era * 400 + (month <= 2)),
		.month = month,
		.day = (unsigned)(doy - (153 * mp + 2) / 5 + 1),
		.weekday = (unsigned)((days + 4) % 7),
		.hour = left / 3600,
		.minute = left / 60 % 60,
		.second = left % 60,
	};
}

void
date_rfc5322(int64_t unix_s, char out[DATE_RFC5322_SIZE])
{
	struct moment m = moment_of(unix_s);

	(void)snprintf(out, DATE_RFC5322_SIZE, "%s, %u %s %u %02u:%02u:%02u +0000",
			day_names[m.weekday], m.day, month_names[m.month - 1], m.year,
			m.hour, m.minute, m.second);
}

void
date_iso(int64_t unix_ms, char out[DATE_ISO_SIZE])
{
	struct moment m = moment_of(unix_ms / 1000);

	(void)snprintf(out, DATE_ISO_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
			m.year % 10000, m.month % 100, m.day % 100, m.hour % 100,
			m.minute % 100, m.second % 100,
			(unsigned)(unix_ms > 0 ? unix_ms % 1000 : 0));
}

/* Takes exactly `width` digits and the separator that must follow them, if any. */
static bool
take(struct span *s, size_t width, uint64_t max, char then, unsigned *out)
{
	uint64_t n;

	if (s->n < width || !num_u64(span_first(*s, width), max, &n))
		return false;
	*s = span_skip(*s, width);
	if (then) {
		if (s->n == 0 || s->p[0] != then)
			return false;
		*s = span_skip(*s, 1);
	}
	*out = (unsigned)n;
	return true;
}

bool
date_iso_parse(struct span s, int64_t *out_unix_ms)
{
	unsigned year, month, day, hour = 0, minute = 0, second = 0, ms = 0;

	if (s.n > 0 && s.p[s.n - 1] == 'Z')
		s.n--;
	if (!take(&s, 4, 9999, '-', &year) || !take(&s, 2, 12, '-', &month) ||
			!take(&s, 2, 31, 0, &day) || year < 1970 || month < 1 ||
			day < 1)
		return false;
	if (s.n > 0) {
		if (s.p[0] != 'T' && s.p[0] != ' ')
			return false;
		s = span_skip(s, 1);
		if (!take(&s, 2, 23, ':', &hour) || !take(&s, 2, 59, 0, &minute))
			return false;
	}
	if (s.n > 0 && s.p[0] == ':') {
		s = span_skip(s, 1);
		if (!take(&s, 2, 60, 0, &second))
			return false;
	}
	if (s.n == 4 && s.p[0] == '.') {
		s = span_skip(s, 1);
		if (!take(&s, 3, 999, 0, &ms))
			return false;
	}
	if (s.n > 0)
		return false;
	*out_unix_ms = ((days_from(year, month, day) * 24 + hour) * 60 + minute) *
					60000 +
			(int64_t)second * 1000 + ms;
	return true;
}
