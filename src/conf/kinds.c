#include "kinds.h"

#include <stdio.h>
#include <string.h>

#include "postern/address.h"
#include "postern/must.h"
#include "postern/num.h"
#include "values.h"

static bool
read_text(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct span s;

	if (!scalar_text(r, n, row->most, "a text", &s))
		return false;
	if (s.n < row->least)
		return reader_fault(r, n, NULL, "%s is empty", r->where);
	return reader_text(r, s, place);
}

static bool
read_path(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct span s;

	(void)row;
	if (!scalar_text(r, n, CONF_PATH_MAX, "a path", &s))
		return false;
	if (s.n == 0)
		return reader_fault(
				r, n, NULL, "%s is empty; expected a path", r->where);
	const char *path = reader_path(r, s);
	memcpy(place, &path, sizeof(path));
	return true;
}

static bool
read_bool(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct span s;
	bool value;

	(void)row;
	if (!scalar_text(r, n, 255, "true or false", &s))
		return false;
	if (span_eq(s, SPAN("true")))
		value = true;
	else if (span_eq(s, SPAN("false")))
		value = false;
	else
		return not_that(r, n, "true or false");
	memcpy(place, &value, sizeof(value));
	return true;
}

/* Of a number that could be read: within the row's bounds? */
static bool
within(struct reader *r, const struct row *row, const struct node *n, uint64_t value)
{
	char bound[24];
	bool less = value < row->least;

	if (!less && value <= row->most)
		return true;
	kinds[row->kind].print(less ? row->least : row->most, bound);
	return reader_fault(r, n, NULL, "%s: must be at %s %s, not %.*s", r->where,
			less ? "least" : "most", bound, (int)span_first(n->text, 40).n,
			n->text.p);
}

static void
count_print(uint64_t n, char out[24])
{
	(void)snprintf(out, 24, "%llu", (unsigned long long)n);
}

static bool
read_count(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct span s;
	uint64_t value;

	if (!scalar_text(r, n, 255, "a number", &s))
		return false;
	if (!num_u64(s, UINT64_MAX, &value))
		return not_that(r, n, "a number");
	if (!within(r, row, n, value))
		return false;
	unsigned small = (unsigned)value;
	memcpy(place, &small, sizeof(small));
	return true;
}

static bool
read_size(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	static const char what[] = "a size such as 64K, 50M or 10G";
	struct span s;
	uint64_t value;

	if (!scalar_text(r, n, 255, what, &s))
		return false;
	if (!num_size(s, UINT64_MAX, &value))
		return not_that(r, n, what);
	if (!within(r, row, n, value))
		return false;
	memcpy(place, &value, sizeof(value));
	return true;
}

static bool
read_time(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	static const char what[] = "a duration such as 30s, 5m, 2h or 7d";
	struct span s;
	uint64_t value;

	if (!scalar_text(r, n, 255, what, &s))
		return false;
	if (!num_duration(s, UINT64_MAX, &value))
		return not_that(r, n, what);
	if (!within(r, row, n, value))
		return false;
	int64_t seconds = (int64_t)value;
	memcpy(place, &seconds, sizeof(seconds));
	return true;
}

static bool
read_keep(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	static const char what[] = "a duration such as 7d, 0, or forever";
	struct span s;
	uint64_t value;
	int64_t seconds = CONF_KEEP_FOREVER;

	if (!scalar_text(r, n, 255, what, &s))
		return false;
	if (!span_eq(s, SPAN("forever"))) {
		if (!num_duration(s, UINT64_MAX, &value))
			return not_that(r, n, what);
		if (!within(r, row, n, value))
			return false;
		seconds = (int64_t)value;
	}
	memcpy(place, &seconds, sizeof(seconds));
	return true;
}

/* The nearest of the words, as a hint. */
static const char *
word_near(const struct row *row, struct span s, char out[80])
{
	const char *names[16];
	size_t n = 0;

	for (const struct word *w = row->words; w->name; w++) {
		MUST(n < sizeof(names) / sizeof(names[0]));
		names[n++] = w->name;
	}
	const char *near = nearest(s, names, n);
	if (!near)
		return NULL;
	(void)snprintf(out, 80, "did you mean \"%s\"?", near);
	return out;
}

static bool
read_word(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct buf what = BUF_MAX(400);
	char hint[80];
	struct span s;
	bool fits = true;

	for (const struct word *w = row->words; w->name && fits; w++) {
		if (!w->later)
			fits = buf_addf(&what, "%s%s", what.n > 0 ? ", " : "one of ",
					w->name);
	}
	MUST(fits);
	bool found = scalar_text(r, n, 255, buf_cstr(&what), &s);
	if (found) {
		const struct word *w = row->words;
		while (w->name && !span_eq(s, span_of(w->name)))
			w++;
		if (!w->name)
			found = reader_fault(r, n, word_near(row, s, hint),
					"%s: expected %s, not \"%.*s\"", r->where,
					buf_cstr(&what), (int)span_first(s, 120).n,
					s.p);
		else if (w->later)
			found = reader_fault(r, n, buf_cstr(&what),
					"%s: %s is not available yet in this version",
					r->where, w->name);
		else
			memcpy(place, &(int){ w->value }, sizeof(int));
	}
	buf_done(&what);
	return found;
}

static bool
read_hostname(struct reader *r, const struct row *row, const struct node *n,
		void *place)
{
	struct conf_host host;
	struct span s;
	const char *why;

	(void)row;
	if (!scalar_text(r, n, 255, "a full host name", &s))
		return false;
	if (!conf_host_parse(s, r->arena, &host, &why) || host.literal || host.port > 0)
		return not_that(r, n, "a full host name such as gw.example.com");
	memcpy(place, &host.name, sizeof(host.name));
	return true;
}

static bool
read_name(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct span s;

	(void)row;
	if (!scalar_text(r, n, 255, "a name", &s))
		return false;
	if (!conf_name_ok(s))
		return not_that(r, n,
				"1 to 64 letters, digits, \".\", \"_\" and \"-\"");
	return reader_text(r, s, place);
}

static bool
read_recipient(struct reader *r, const struct row *row, const struct node *n,
		void *place)
{
	static const char what[] = "the alias of a recipient, or a mail address";
	struct span s;

	if (!scalar_text(r, n, ADDRESS_SIZE, what, &s))
		return false;
	if (span_find(s, '@') < s.n)
		return read_address(r, row, n, place);
	return address_is_alias(s) ? reader_text(r, s, place) : not_that(r, n, what);
}

static bool
read_domain(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	char canon[2 + ADDRESS_DOMAIN_MAX + 1] = "*.";
	struct span s;

	if (!scalar_text(r, n, 1000, "a domain", &s))
		return false;
	bool star = (row->flags & ROW_STAR) && span_starts(s, SPAN("*."));
	if (!domain_canon(span_skip(s, star ? 2 : 0), canon + 2))
		return not_that(r, n,
				row->flags & ROW_STAR ? "a domain or *.DOMAIN"
						      : "a domain");
	return reader_text(r, span_of(star ? canon : canon + 2), place);
}

static bool
read_field(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct span s;

	(void)row;
	if (!scalar_text(r, n, 255, "the name of a header field", &s))
		return false;
	if (!field_name_ok(s))
		return not_that(r, n, "the name of a header field");
	return reader_text(r, s, place);
}

static bool
read_host(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct conf_host host;
	struct span s;
	const char *why;

	if (!scalar_text(r, n, 300, "HOST or HOST:PORT", &s))
		return false;
	if (!conf_host_parse(s, r->arena, &host, &why))
		return not_that(r, n, why);
	if (row->kind == ROW_RESOLVER) {
		if (!host.literal)
			return not_that(r, n,
					"the address of a name server, ADDRESS or ADDRESS:PORT");
		if (host.port == 0)
			host.port = 53;
	}
	memcpy(place, &host, sizeof(host));
	return true;
}

static bool
read_listen(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct conf_host host;
	struct span s;
	const char *why;

	(void)row;
	if (!scalar_text(r, n, 300, "ADDRESS:PORT", &s))
		return false;
	if (!listen_parse(s, r->arena, &host, &why))
		return not_that(r, n, why);
	memcpy(place, &host, sizeof(host));
	return true;
}

static bool
read_cidr(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct conf_cidr net;
	struct span s;
	const char *why;

	(void)row;
	if (!scalar_text(r, n, 255, "a network", &s))
		return false;
	if (!conf_cidr_parse(s, &net, &why))
		return not_that(r, n, why);
	memcpy(place, &net, sizeof(net));
	return true;
}

static bool
read_hop(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct conf_hop hop;
	struct span s;
	const char *why;

	(void)row;
	if (!scalar_text(r, n, CONF_PATH_MAX, "a next hop", &s))
		return false;
	if (!conf_hop_parse(s, r->dir, r->arena, &hop, &why))
		return not_that(r, n, why);
	if (hop.kind == CONF_HOP_MX || hop.kind == CONF_HOP_ETRN)
		return reader_fault(r, n, NULL,
				"%s: %.*s is not available yet in this version",
				r->where, (int)s.n, s.p);
	memcpy(place, &hop, sizeof(hop));
	return true;
}

static bool
read_pin(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	static const char what[] = "sha256//BASE64, the SHA-256 digest of the server's "
				   "public key, or several of them separated by \";\"";
	struct span s;

	(void)row;
	if (!scalar_text(r, n, 500, what, &s))
		return false;
	return pins_ok(s) ? reader_text(r, s, place) : not_that(r, n, what);
}

#define STRING "\"type\":\"string\""

const struct kind kinds[ROW_KINDS] = {
	[ROW_TEXT] = { "text", STRING, sizeof(char *), 255, NULL, read_text },
	[ROW_BOOL] = { "true or false", "\"type\":\"boolean\"", sizeof(bool), 0, NULL,
			read_bool },
	[ROW_COUNT] = { "number", "\"type\":\"integer\"", sizeof(unsigned), 1000000,
			count_print, read_count },
	[ROW_SIZE] = { "size",
			"\"type\":[\"string\",\"integer\"],\"pattern\":\"^[0-9]+[KMG]?$\",\"minimum\":0",
			sizeof(uint64_t), UINT64_MAX, num_size_print, read_size },
	[ROW_TIME] = { "duration",
			"\"type\":[\"string\",\"integer\"],\"pattern\":\"^(0|[0-9]+[smhd])$\",\"maximum\":0",
			sizeof(int64_t), 30 * 86400, num_duration_print, read_time },
	[ROW_KEEP] = { "duration or forever",
			"\"type\":[\"string\",\"integer\"],\"pattern\":\"^(0|[0-9]+[smhd]|forever)$\",\"maximum\":0",
			sizeof(int64_t), 0, num_duration_print, read_keep },
	[ROW_WORD] = { "word", NULL, sizeof(int), 0, NULL, read_word },
	[ROW_PATH] = { "path", STRING, sizeof(char *), 0, NULL, read_path },
	[ROW_HOSTNAME] = { "host name", STRING, sizeof(char *), 0, NULL,
			read_hostname },
	[ROW_NAME] = { "name",
			STRING ",\"pattern\":\"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$\"",
			sizeof(char *), 0, NULL, read_name },
	[ROW_ADDRESS] = { "mail address", STRING ",\"pattern\":\"@\"", sizeof(char *),
			0, NULL, read_address },
	[ROW_RECIPIENT] = { "alias or mail address", STRING ",\"minLength\":1",
			sizeof(char *), 0, NULL, read_recipient },
	[ROW_DOMAIN] = { "domain", STRING, sizeof(char *), 0, NULL, read_domain },
	[ROW_FIELD] = { "header field", STRING, sizeof(char *), 0, NULL, read_field },
	[ROW_HOST] = { "host[:port]", STRING, sizeof(struct conf_host), 0, NULL,
			read_host },
	[ROW_RESOLVER] = { "address[:port]", STRING, sizeof(struct conf_host), 0, NULL,
			read_host },
	[ROW_LISTEN] = { "address:port", STRING ",\"pattern\":\":[0-9]+$\"",
			sizeof(struct conf_host), 0, NULL, read_listen },
	[ROW_CIDR] = { "network", STRING, sizeof(struct conf_cidr), 0, NULL,
			read_cidr },
	[ROW_HOP] = { "next hop",
			STRING ",\"pattern\":\"^(drop|(smtp|lmtp|maildir|drop):.+)$\"",
			sizeof(struct conf_hop), 0, NULL, read_hop },
	[ROW_PIN] = { "key digest",
			STRING ",\"pattern\":\"^ *sha256//[A-Za-z0-9+/]{43}= *"
			       "(; *sha256//[A-Za-z0-9+/]{43}= *)*;?$\"",
			sizeof(char *), 0, NULL, read_pin },
	[ROW_SECRET] = { "place of a secret", NULL, sizeof(struct secret), 0, NULL,
			read_secret },
	[ROW_ENVELOPE] = { "auto, strict, none, sdps, header field(s)", NULL,
			sizeof(struct conf_envelope), 0, NULL, read_envelope },
	[ROW_UNROUTED] = { "postmaster, hold, badmail or mail address",
			STRING ",\"pattern\":\"^(postmaster|hold|badmail|.+@.+)$\"",
			sizeof(struct conf_unrouted), 0, NULL, read_unrouted },
	[ROW_LOG_TO] = { "stderr, syslog, journald or path", STRING,
			sizeof(struct conf_log_to), 0, NULL, read_log_to },
	[ROW_TEMPLATE] = { "address template", NULL, sizeof(struct policy_template), 0,
			NULL, read_template },
	[ROW_TAGS] = { "characters", STRING ",\"maxLength\":8", sizeof(char *), 0, NULL,
			read_tags },
	[ROW_WINDOW] = { "days and hours", STRING ",\"pattern\":\"[0-9]\"",
			sizeof(struct conf_window), 0, NULL, read_window },
};
