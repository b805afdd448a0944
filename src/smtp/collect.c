#include "collect.h"

#include "postern/enc.h"

static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int
digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* RFC 4648 section 5, without padding; spare bits must be zero. */
static bool
base64url_read(struct buf *out, struct span text)
{
	unsigned bits = 0, n = 0;

	for (size_t i = 0; i < text.n; i++) {
		int v = digit_value(text.p[i]);

		if (v < 0)
			return false;
		bits = (bits << 6 | (unsigned)v) & 0xfff;
		n += 6;
		if (n >= 8) {
			n -= 8;
			if (!buf_addc(out, (char)(bits >> n & 0xff)))
				return false;
		}
	}
	return n < 6 && (bits & ((1u << n) - 1)) == 0;
}

static bool
base64url_write(struct buf *out, struct span bytes)
{
	unsigned bits = 0, n = 0;

	for (size_t i = 0; i < bytes.n; i++) {
		bits = (bits << 8 | (unsigned char)bytes.p[i]) & 0xfff;
		n += 8;
		for (; n >= 6; n -= 6) {
			if (!buf_addc(out, digits[bits >> (n - 6) & 63]))
				return false;
		}
	}
	return n == 0 || buf_addc(out, digits[bits << (6 - n) & 63]);
}

static bool
is_part(struct span s, size_t most)
{
	if (s.n == 0 || s.n > most)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '/')
			return false;
	}
	return true;
}

/* Nothing is no print. */
static bool
print_read(struct span text, uint64_t *out)
{
	uint64_t v = 0;

	if (text.n > 16)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		unsigned digit = c >= '0' && c <= '9'  ? (unsigned)(c - '0')
				: c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
						       : 16;

		if (digit == 16)
			return false;
		v = v << 4 | digit;
	}
	*out = v;
	return text.n == 0 || v != 0;
}

bool
collect_reason_valid(struct span reason)
{
	return is_part(reason, COLLECT_REASON_MAX);
}

bool
collect_parse(struct span value, struct buf *decoded, struct smtp_collect *out)
{
	struct span account = span_until(&value, '/');
	struct span uidl = span_until(&value, '/');
	struct span provider = span_until(&value, '/');
	struct span ip = span_until(&value, '/');
	struct span protocol = span_until(&value, '/');
	bool tls = span_eq_nocase(protocol, SPAN("POP3S"));
	size_t from = decoded->n;

	/* Room for all first: what is decoded must not move. */
	if (!buf_room(decoded, COLLECT_DECODED_MAX))
		return false;
	if (account.n == 0 || account.n > 3 * COLLECT_ACCOUNT_MAX ||
			!dec_xtext(decoded, account) ||
			decoded->n - from > COLLECT_ACCOUNT_MAX)
		return false;
	size_t middle = decoded->n;
	if (uidl.n == 0 || uidl.n > COLLECT_UIDL_MAX * 4 / 3 + 1 ||
			!base64url_read(decoded, uidl) ||
			decoded->n - middle > COLLECT_UIDL_MAX)
		return false;
	if (!is_part(provider, COLLECT_HOST_MAX) || !is_part(ip, COLLECT_IP_MAX) ||
			(!tls && !span_eq_nocase(protocol, SPAN("POP3"))) ||
			!print_read(value, &out->print))
		return false;
	out->account = (struct span){ decoded->p + from, middle - from };
	out->uidl = (struct span){ decoded->p + middle, decoded->n - middle };
	out->provider = provider;
	out->ip = ip;
	out->tls = tls;
	return true;
}

/* xtext lets '/' through; here it parts the parts. */
static bool
account_write(struct buf *out, struct span account)
{
	while (account.n > 0) {
		struct span piece = span_first(account, span_find(account, '/'));

		account = span_skip(account, piece.n);
		if (!enc_xtext(out, piece))
			return false;
		if (account.n > 0) {
			account = span_skip(account, 1);
			if (!buf_add(out, SPAN("+2F")))
				return false;
		}
	}
	return true;
}

unsigned
collect_words(const struct smtp_collect *c)
{
	unsigned n = c->badmail.n > 0;

	n += c->hold.n > 0;
	n += c->fallback.n > 0;
	return n;
}

static bool
words_valid(const struct smtp_collect *c)
{
	return collect_words(c) <= 1 &&
			(c->badmail.n == 0 || collect_reason_valid(c->badmail)) &&
			(c->hold.n == 0 || collect_reason_valid(c->hold)) &&
			(c->fallback.n == 0 || collect_reason_valid(c->fallback));
}

bool
collect_valid(const struct smtp_collect *c)
{
	for (size_t i = 0; i < c->account.n; i++) {
		/* xtext readers refuse an encoded control byte */
		if ((unsigned char)c->account.p[i] < ' ' || c->account.p[i] == 0x7f)
			return false;
	}
	return c->account.n > 0 && c->account.n <= COLLECT_ACCOUNT_MAX &&
			c->uidl.n > 0 && c->uidl.n <= COLLECT_UIDL_MAX &&
			is_part(c->provider, COLLECT_HOST_MAX) &&
			is_part(c->ip, COLLECT_IP_MAX) && words_valid(c);
}

bool
collect_print(struct buf *out, const struct smtp_collect *c)
{
	return account_write(out, c->account) && buf_addc(out, '/') &&
			base64url_write(out, c->uidl) && buf_addc(out, '/') &&
			buf_add(out, c->provider) && buf_addc(out, '/') &&
			buf_add(out, c->ip) &&
			buf_add(out, c->tls ? SPAN("/POP3S") : SPAN("/POP3")) &&
			(c->print == 0 ||
					buf_addf(out, "/%llx",
							(unsigned long long)c->print));
}
