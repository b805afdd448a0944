#include "postern/enc.h"

#include <stdint.h>
#include <string.h>

static const char base64_digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char hex_digits[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";

static uint32_t
byte_at(struct span s, size_t at)
{
	return at < s.n ? (unsigned char)s.p[at] : 0;
}

bool
enc_base64(struct buf *out, struct span bytes)
{
	size_t n = (bytes.n + 2) / 3 * 4;
	char *at = n > 0 ? buf_room(out, n) : NULL;

	if (n == 0)
		return true;
	if (!at)
		return false;
	for (size_t i = 0; i < bytes.n; i += 3) {
		uint32_t three = byte_at(bytes, i) << 16 | byte_at(bytes, i + 1) << 8 |
				byte_at(bytes, i + 2);
		*at++ = base64_digits[three >> 18 & 63];
		*at++ = base64_digits[three >> 12 & 63];
		*at++ = base64_digits[three >> 6 & 63];
		*at++ = base64_digits[three & 63];
	}
	if (bytes.n % 3 != 0)
		at[-1] = '=';
	if (bytes.n % 3 == 1)
		at[-2] = '=';
	buf_grown(out, n);
	return true;
}

static int
base64_value(char c)
{
	const char *at = c ? strchr(base64_digits, c) : NULL;

	return at ? (int)(at - base64_digits) : -1;
}

bool
dec_base64(struct buf *out, struct span text)
{
	size_t pad = 0;

	if (text.n % 4 != 0)
		return false;
	while (pad < 2 && text.n > pad && text.p[text.n - 1 - pad] == '=')
		pad++;

	size_t n = text.n / 4 * 3 - pad, digits = text.n - pad;
	char *at = n > 0 ? buf_room(out, text.n / 4 * 3) : NULL;
	uint32_t bits = 0;
	size_t done = 0;

	if (n == 0)
		return text.n == 0;
	if (!at)
		return false;
	for (size_t i = 0; i < digits; i++) {
		int v = base64_value(text.p[i]);
		if (v < 0)
			return false;
		bits = (bits << 6 | (uint32_t)v) & 0xffffff;
		if (i % 4 != 0)
			at[done++] = (char)(bits >> (6 - 2 * (i % 4)) & 0xff);
	}
	/* The bits behind the last byte are zero, or two texts mean one thing. */
	if ((pad == 1 && (bits & 3) != 0) || (pad == 2 && (bits & 15) != 0))
		return false;
	buf_grown(out, n);
	return true;
}

bool
enc_hex(struct buf *out, struct span bytes)
{
	char *at = buf_room(out, bytes.n * 2);

	if (!at)
		return false;
	for (size_t i = 0; i < bytes.n; i++) {
		*at++ = hex_digits[byte_at(bytes, i) >> 4];
		*at++ = hex_digits[byte_at(bytes, i) & 15];
	}
	buf_grown(out, bytes.n * 2);
	return true;
}

/* How long a sequence its first byte announces; 0: none begins so. */
static size_t
utf8_announced(uint32_t lead)
{
	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Well-formed sequences only: no overlong forms, surrogates, or beyond U+10FFFF. */
size_t
utf8_len(struct span s)
{
	uint32_t c = byte_at(s, 0);
	size_t n = utf8_announced(c);

	if (n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((byte_at(s, i) & 0xc0) != 0x80)
			return 0;
	}
	uint32_t second = byte_at(s, 1);
	if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) ||
			(c == 0xf0 && second < 0x90) || (c == 0xf4 && second > 0x8f))
		return 0;
	return n;
}

static uint32_t
utf8_char(struct span s, size_t n)
{
	static const unsigned char lead[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = byte_at(s, 0) & lead[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (byte_at(s, i) & 0x3f);
	return c;
}

uint32_t
utf8_code(struct span s)
{
	return utf8_char(s, s.n);
}

/* Characters that move the cursor, turn the text around or end a line. */
bool
enc_is_unruly(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e ||
			c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
			(c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

static bool
add_escaped(struct buf *out, struct span bytes)
{
	for (size_t i = 0; i < bytes.n; i++) {
		if (!buf_addf(out, "\\x%02x", (unsigned)byte_at(bytes, i)))
			return false;
	}
	return true;
}

/* How many bytes from the start of s need no care at all: the usual case. */
static size_t
plain_run(struct span s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= 0x20 && s.p[n] < 0x7f && s.p[n] != '\\' &&
			s.p[n] != '"')
		n++;
	return n;
}

static bool
enc_text(struct buf *out, struct span s, bool lines)
{
	while (s.n > 0) {
		size_t run = plain_run(s);
		if (!buf_add(out, span_first(s, run)))
			return false;
		s = span_skip(s, run);
		if (s.n == 0)
			return true;

		size_t n = utf8_len(s);
		bool crlf = lines && s.n > 1 && s.p[0] == '\r' && s.p[1] == '\n';
		bool keep = n > 0 && !enc_is_unruly(utf8_char(s, n)) &&
				(lines || s.p[0] != '\\');
		if (n == 0)
			n = 1;
		if (keep || (lines && s.p[0] == '\n')) {
			if (!buf_add(out, span_first(s, n)))
				return false;
		} else if (!crlf && !add_escaped(out, span_first(s, n))) {
			return false;
		}
		s = span_skip(s, n);
	}
	return true;
}

bool
enc_plain(struct buf *out, struct span bytes)
{
	return enc_text(out, bytes, false);
}

bool
enc_lines(struct buf *out, struct span bytes)
{
	return enc_text(out, bytes, true);
}

bool
enc_json(struct buf *out, struct span s)
{
	if (!buf_addc(out, '"'))
		return false;
	while (s.n > 0) {
		size_t run = plain_run(s);
		if (!buf_add(out, span_first(s, run)))
			return false;
		s = span_skip(s, run);
		if (s.n == 0)
			break;

		size_t n = utf8_len(s);
		bool ok;
		if (n == 0) {
			ok = buf_add(out, SPAN("\\ufffd"));
		} else if (s.p[0] == '"' || s.p[0] == '\\') {
			ok = buf_addc(out, '\\') && buf_addc(out, s.p[0]);
		} else if (enc_is_unruly(utf8_char(s, n))) {
			ok = buf_addf(out, "\\u%04x", (unsigned)utf8_char(s, n));
		} else {
			ok = buf_add(out, span_first(s, n));
		}
		if (!ok)
			return false;
		s = span_skip(s, n ? n : 1);
	}
	return buf_addc(out, '"');
}

bool
enc_xtext(struct buf *out, struct span bytes)
{
	for (size_t i = 0; i < bytes.n; i++) {
		char c = bytes.p[i];
		bool ok = c > ' ' && c < 0x7f && c != '+' && c != '='
				? buf_addc(out, c)
				: buf_addc(out, '+') &&
						buf_addc(out,
								hex_upper[byte_at(bytes, i) >>
										4]) &&
						buf_addc(out,
								hex_upper[byte_at(bytes, i) &
										15]);
		if (!ok)
			return false;
	}
	return true;
}

static int
hex_value(char c)
{
	const char *at = c ? strchr(hex_upper, c) : NULL;

	return at ? (int)(at - hex_upper) : -1;
}

bool
dec_xtext(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c <= ' ' || c >= 0x7f || c == '=')
			return false;
		if (c == '+') {
			int high = i + 2 < text.n ? hex_value(text.p[i + 1]) : -1;
			int low = i + 2 < text.n ? hex_value(text.p[i + 2]) : -1;
			if (high < 0 || low < 0 || high < 2 || (high == 7 && low == 15))
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (!buf_addc(out, c))
			return false;
	}
	return true;
}
