#include "postern/words.h"

#include <stdint.h>
#include <string.h>

#include "postern/enc.h"

/* ---- encoded words, RFC 2047 ---- */

enum charset { CHARSET_OTHER, CHARSET_UTF8, CHARSET_LATIN };

static enum charset
charset_of(struct span name)
{
	static const struct {
		struct span name;
		enum charset charset;
	} known[] = {
		{ { SPAN_INIT("utf-8") }, CHARSET_UTF8 },
		{ { SPAN_INIT("us-ascii") }, CHARSET_UTF8 },
		{ { SPAN_INIT("iso-8859-1") }, CHARSET_LATIN },
		{ { SPAN_INIT("iso-8859-15") }, CHARSET_LATIN },
		{ { SPAN_INIT("windows-1252") }, CHARSET_LATIN },
	};

	name = span_first(name, span_find(name, '*')); /* RFC 2231: a language */
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (span_eq_nocase(name, known[i].name))
			return known[i].charset;
	}
	return CHARSET_OTHER;
}

/* The letters in which the three differ are not worth a table: 0x80 to 0x9f are
 * punctuation but for a few, which no rule will hang on. */
static bool
add_byte(struct buf *out, unsigned char c, enum charset charset)
{
	if (charset == CHARSET_LATIN && c >= 0x80)
		return buf_addc(out, (char)(0xc0 | c >> 6)) &&
				buf_addc(out, (char)(0x80 | (c & 0x3f)));
	return buf_addc(out, (char)c);
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
add_q(struct buf *out, struct span text, enum charset charset)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '=' && i + 2 < text.n && hex_value(text.p[i + 1]) >= 0 &&
				hex_value(text.p[i + 2]) >= 0) {
			c = (unsigned char)(hex_value(text.p[i + 1]) * 16 +
					hex_value(text.p[i + 2]));
			i += 2;
		} else if (c == '_') {
			c = ' ';
		}
		if (!add_byte(out, c, charset))
			return false;
	}
	return true;
}

static bool
add_b(struct buf *out, struct span text, enum charset charset)
{
	AUTO(buf_done) struct buf padded = BUF_MAX(WORDS_MAX + 4);
	AUTO(buf_done) struct buf bytes = BUF_MAX(WORDS_MAX);

	while (text.n > 0 && text.p[text.n - 1] == '=')
		text.n--;
	if (!buf_add(&padded, text))
		return false;
	while (padded.n % 4 != 0) {
		if (!buf_addc(&padded, '='))
			return false;
	}
	if (!dec_base64(&bytes, buf_span(&padded)))
		return false;
	for (size_t i = 0; i < bytes.n; i++) {
		if (!add_byte(out, (unsigned char)bytes.p[i], charset))
			return false;
	}
	return true;
}

/* "=?charset?Q?text?=" at the start of *in: decoded and taken off. */
static bool
take_encoded(struct span *in, struct buf *out)
{
	struct span rest = *in;

	if (!span_starts(rest, SPAN("=?")))
		return false;
	rest = span_skip(rest, 2);
	if (span_find(rest, '?') == rest.n)
		return false;
	struct span name = span_until(&rest, '?');
	if (rest.n < 2 || rest.p[1] != '?')
		return false;
	char how = ascii_lower(rest.p[0]);
	rest = span_skip(rest, 2);
	size_t end = span_find(rest, '?');
	if (end + 1 >= rest.n || rest.p[end + 1] != '=')
		return false;

	enum charset charset = charset_of(name);
	struct span text = span_first(rest, end);
	size_t before = out->n;
	bool ok = charset != CHARSET_OTHER &&
			((how == 'q' && add_q(out, text, charset)) ||
					(how == 'b' && add_b(out, text, charset)));
	if (ok)
		*in = span_skip(rest, end + 2);
	else
		out->n = before;
	return ok;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Quoting and encoding undone, folds and runs of blanks made one blank. */
static bool
plain(struct buf *out, struct span raw)
{
	bool after_encoded = false, blank = false;

	while (raw.n > 0) {
		size_t before = out->n;
		char c = raw.p[0];

		if (is_blank(c)) {
			blank = true;
			raw = span_skip(raw, 1);
			continue;
		}
		if (blank && out->n > 0 && !buf_addc(out, ' '))
			return false;
		struct span at = raw;
		if (take_encoded(&raw, out)) {
			/* Blanks between two of them are not part of the text. */
			if (blank && after_encoded && out->n > before + 1) {
				memmove(out->p + before, out->p + before + 1,
						out->n - before - 1);
				out->n--;
			}
			after_encoded = true;
			blank = false;
			continue;
		}
		raw = at;
		after_encoded = blank = false;
		if (c == '\\' && raw.n > 1)
			raw = span_skip(raw, 1);
		if (c != '"' && !buf_addc(out, raw.p[0]))
			return false;
		raw = span_skip(raw, 1);
	}
	return true;
}

/* ---- letters ---- */

static uint32_t
code_of(struct span s, size_t n)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t code = (unsigned char)s.p[0] & first[n];

	for (size_t i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)s.p[i] & 0x3f);
	return code;
}

static uint32_t
lower(uint32_t c)
{
	bool latin = c >= 0xc0 && c <= 0xde && c != 0xd7;
	bool greek = c >= 0x391 && c <= 0x3a9;
	bool cyrillic = c >= 0x410 && c <= 0x42f;

	if ((c >= 'A' && c <= 'Z') || latin || greek || cyrillic)
		return c + 0x20;
	if (c >= 0x400 && c <= 0x40f)
		return c + 0x50;
	/* Latin Extended-A: pairs; which of the two is upper changes twice. */
	if ((c >= 0x100 && c <= 0x137) || (c >= 0x14a && c <= 0x177))
		return c | 1;
	if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
		return c + (c & 1);
	return c;
}

static bool
add_code(struct buf *out, uint32_t c)
{
	if (c < 0x80)
		return buf_addc(out, (char)c);
	if (c < 0x800)
		return buf_addc(out, (char)(0xc0 | c >> 6)) &&
				buf_addc(out, (char)(0x80 | (c & 0x3f)));
	if (c < 0x10000)
		return buf_addc(out, (char)(0xe0 | c >> 12)) &&
				buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f))) &&
				buf_addc(out, (char)(0x80 | (c & 0x3f)));
	return buf_addc(out, (char)(0xf0 | c >> 18)) &&
			buf_addc(out, (char)(0x80 | (c >> 12 & 0x3f))) &&
			buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f))) &&
			buf_addc(out, (char)(0x80 | (c & 0x3f)));
}

bool
words_fold(struct buf *out, struct span raw)
{
	AUTO(buf_done) struct buf text = BUF_MAX(2 * WORDS_MAX + 8);

	if (!plain(&text, span_first(raw, WORDS_MAX)))
		return false;
	for (struct span s = span_trim(buf_span(&text)); s.n > 0;) {
		size_t n = utf8_len(s);

		if (!add_code(out, n > 0 ? lower(code_of(s, n)) : 0xfffd))
			return false;
		s = span_skip(s, n > 0 ? n : 1);
	}
	return true;
}

/* Bytes of non-ASCII characters count as letters. */
static bool
is_word(char c)
{
	c = ascii_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			(unsigned char)c >= 0x80;
}

bool
words_bound(struct span text, size_t at)
{
	return at == 0 || at >= text.n || !is_word(text.p[at - 1]) ||
			!is_word(text.p[at]);
}

bool
words_have(struct span text, struct span wanted)
{
	if (wanted.n == 0)
		return false;
	for (struct span s = text; s.n >= wanted.n; s = span_skip(s, 1)) {
		const char *at = memmem(s.p, s.n, wanted.p, wanted.n);

		if (!at)
			return false;
		s = span_skip(s, (size_t)(at - s.p));
		size_t begin = (size_t)(at - text.p);
		if (words_bound(text, begin) && words_bound(text, begin + wanted.n))
			return true;
	}
	return false;
}
