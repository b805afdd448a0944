#include "postern/smtp_path.h"

#include <string.h>

#include "postern/address.h"
#include "postern/enc.h"

enum {
	LOCAL_MAX = 64,
	DOMAIN_MAX = 255,
	PATH_MAX_OCTETS = 256 /* with its <> */,
	LABEL_MAX = 63
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_hex(char c)
{
	char low = ascii_lower(c);

	return is_digit(c) || (low >= 'a' && low <= 'f');
}

static bool
is_let_dig(char c)
{
	char low = ascii_lower(c);

	return is_digit(c) || (low >= 'a' && low <= 'z');
}

/* Of a UTF-8 sequence: which ones may stand here is looked at when all is cut. */
static bool
is_high(char c)
{
	return (unsigned char)c >= 0x80;
}

static bool
is_low(char c)
{
	return !is_high(c);
}

static bool
is_atext(char c)
{
	return is_let_dig(c) || is_high(c) ||
			(c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool
is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

/* Length of the run of such bytes at the start of s. */
static size_t
run(struct span s, bool (*such)(char))
{
	size_t n = 0;

	while (n < s.n && such(s.p[n]))
		n++;
	return n;
}

static bool
is_ipv4(struct span s)
{
	for (unsigned part = 0; part < 4; part++) {
		size_t n = run(s, is_digit);
		unsigned value = 0;

		if (n == 0 || n > 3 || (n > 1 && s.p[0] == '0'))
			return false;
		for (size_t i = 0; i < n; i++)
			value = value * 10 + (unsigned)(s.p[i] - '0');
		if (value > 255)
			return false;
		s = span_skip(s, n);
		if (part < 3) {
			if (s.n == 0 || s.p[0] != '.')
				return false;
			s = span_skip(s, 1);
		}
	}
	return s.n == 0;
}

/* RFC 4291 2.2: eight groups, "::" once for some of them, an IPv4 tail for two. */
static bool
is_ipv6(struct span s)
{
	unsigned groups = 0;
	bool gap = false;

	if (span_starts(s, SPAN("::"))) {
		gap = true;
		s = span_skip(s, 2);
	}
	while (s.n > 0 && groups < 8) {
		size_t n = run(s, is_hex);

		if (n < s.n && s.p[n] == '.') {
			groups += 2;
			return is_ipv4(s) && groups <= 8 && (gap || groups == 8);
		}
		if (n == 0 || n > 4)
			return false;
		groups++;
		s = span_skip(s, n);
		if (s.n == 0)
			break;
		if (span_starts(s, SPAN("::"))) {
			if (gap)
				return false;
			gap = true;
			s = span_skip(s, 2);
		} else if (s.p[0] == ':' && s.n > 1) {
			s = span_skip(s, 1);
		} else {
			return false;
		}
	}
	return s.n == 0 && (gap ? groups < 8 : groups == 8);
}

/* Length of the "[...]" at the start of s, 0 when it is no address literal. */
static size_t
literal_len(struct span s)
{
	size_t end = span_find(s, ']');
	struct span in = span_skip(span_first(s, end), 1);

	if (end == s.n || end + 1 > DOMAIN_MAX)
		return 0;
	if (span_starts_nocase(in, SPAN("IPv6:")))
		return is_ipv6(span_skip(in, 5)) ? end + 1 : 0;
	return is_ipv4(in) ? end + 1 : 0;
}

static bool
is_label(char c)
{
	return is_let_dig(c) || is_high(c) || c == '-' || c == '_';
}

static bool
is_ascii(struct span s)
{
	return !smtp_is_utf8(s);
}

/* Length of the name or literal at the start of s, 0 when there is none. */
static size_t
domain_len(struct span s)
{
	size_t at = 0;

	if (s.n > 0 && s.p[0] == '[')
		return literal_len(s);
	for (;;) {
		struct span label = span_skip(s, at);

		label = span_first(label, run(label, is_label));
		if (label.n == 0 || label.p[0] == '-' || label.p[label.n - 1] == '-')
			return 0;
		if (label.n > LABEL_MAX &&
				is_ascii(label)) /* else its A-label counts */
			return 0;
		at += label.n;
		if (at == s.n || s.p[at] != '.')
			return at > DOMAIN_MAX ? 0 : at;
		at++;
	}
}

/* Length of the local part at the start of s, 0 when there is none. */
static size_t
local_len(struct span s)
{
	size_t at = 0;

	if (s.n > 0 && s.p[0] == '"') {
		for (at = 1; at < s.n && s.p[at] != '"'; at++) {
			/* quoted-pairSMTP: any printable byte behind the backslash */
			if (s.p[at] == '\\' && (++at == s.n || is_high(s.p[at])))
				return 0;
			if (!is_printable(s.p[at]) && !is_high(s.p[at]))
				return 0;
		}
		return at == s.n ? 0 : at + 1;
	}
	for (;;) {
		size_t n = run(span_skip(s, at), is_atext);

		if (n == 0)
			return 0;
		at += n;
		if (at == s.n || s.p[at] != '.')
			return at;
		at++;
	}
}

bool
smtp_is_utf8(struct span s)
{
	return run(s, is_low) < s.n;
}

/* RFC 6531 3.3: UTF-8 as RFC 3629 has it, and domains that are some. */
static bool
utf8_fits(struct span path, const struct smtp_path *p)
{
	char canon[ADDRESS_DOMAIN_MAX + 1];

	for (size_t i = 0; i < path.n;) {
		size_t n = utf8_len(span_skip(path, i));

		if (n == 0)
			return false;
		i += n;
	}
	return is_ascii(p->domain) ||
			(domain_canon(p->domain, canon) &&
					p->local.n + 1 + strlen(canon) <=
							PATH_MAX_OCTETS - 2);
}

/* Cuts local@domain off *s. */
static bool
cut_mailbox(struct span *s, struct smtp_path *out)
{
	size_t local = local_len(*s);

	if (local == 0 || local > LOCAL_MAX || local == s->n || s->p[local] != '@')
		return false;

	struct span rest = span_skip(*s, local + 1);
	size_t domain = domain_len(rest);
	if (domain == 0)
		return false;
	*out = (struct smtp_path){
		.mailbox = { s->p, local + 1 + domain },
		.local = { s->p, local },
		.domain = { rest.p, domain },
	};
	*s = span_skip(rest, domain);
	return true;
}

/* "@a,@b:" is checked and thrown away (RFC 5321 appendix C). */
static bool
cut_route(struct span *s)
{
	if (s->n == 0 || s->p[0] != '@')
		return true;
	for (;;) {
		struct span name = span_skip(*s, 1);
		size_t n = domain_len(name);

		if (n == 0 || n == name.n)
			return false;
		*s = span_skip(name, n + 1);
		if (name.p[n] == ':')
			return true;
		if (name.p[n] != ',' || s->n == 0 || s->p[0] != '@')
			return false;
	}
}

bool
smtp_path_cut(struct span *s, bool reverse, struct smtp_path *out)
{
	struct span in = *s;
	struct smtp_path path = { 0 };

	if (in.n < 2 || in.p[0] != '<')
		return false;
	in = span_skip(in, 1);
	if (reverse && in.p[0] == '>') {
		/* the null path */
	} else if (!reverse && in.n > 10 && in.p[10] == '>' &&
			span_starts_nocase(in, SPAN("postmaster"))) {
		path.mailbox = path.local = span_first(in, 10);
		in = span_skip(in, 10);
	} else if (!cut_route(&in) || !cut_mailbox(&in, &path)) {
		return false;
	}
	if (in.n == 0 || in.p[0] != '>' || (size_t)(in.p + 1 - s->p) > PATH_MAX_OCTETS)
		return false;

	struct span whole = span_first(*s, (size_t)(in.p - s->p));
	path.utf8 = smtp_is_utf8(whole);
	if (path.utf8 && !utf8_fits(whole, &path))
		return false;
	*s = span_skip(in, 1);
	*out = path;
	return true;
}

bool
smtp_mailbox_parse(struct span s, struct smtp_path *out)
{
	struct smtp_path path;

	if (span_eq_nocase(s, SPAN("postmaster"))) {
		*out = (struct smtp_path){ .mailbox = s, .local = s };
		return true;
	}
	if (s.n > PATH_MAX_OCTETS - 2 || !cut_mailbox(&s, &path) || s.n > 0)
		return false;
	path.utf8 = smtp_is_utf8(path.mailbox);
	if (path.utf8 && !utf8_fits(path.mailbox, &path))
		return false;
	*out = path;
	return true;
}

bool
smtp_domain_valid(struct span s)
{
	return s.n > 0 && is_ascii(s) && domain_len(s) == s.n;
}
