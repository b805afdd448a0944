#include "postern/words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <uniconv.h>

#include "postern/enc.h"

/* ---- encoded words, RFC 2047 ---- */

/* The charsets that are read, as iconv calls them. Only these: a header does not choose
 * which of the system's converters it is run through. NULL: not one of them. */
static const char *
charset_of(struct span name)
{
	static const char *const known[] = { "UTF-8", "US-ASCII", "ISO-8859-1",
		"ISO-8859-2", "ISO-8859-3", "ISO-8859-4", "ISO-8859-5", "ISO-8859-6",
		"ISO-8859-7", "ISO-8859-8", "ISO-8859-9", "ISO-8859-10", "ISO-8859-13",
		"ISO-8859-14", "ISO-8859-15", "ISO-8859-16", "windows-1250",
		"windows-1251", "windows-1252", "windows-1253", "windows-1254",
		"windows-1255", "windows-1256", "windows-1257", "windows-1258",
		"KOI8-R", "KOI8-U", "TIS-620", "GB2312", "GBK", "GB18030", "Big5",
		"EUC-JP", "Shift_JIS", "ISO-2022-JP", "EUC-KR" };

	name = span_first(name, span_find(name, '*')); /* RFC 2231: a language */
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (span_eq_nocase(name, span_of(known[i])))
			return known[i];
	}
	return NULL;
}

/* UTF-8 stays in bytes: some cut a character in two words. */
static bool
add_text(struct buf *out, const char *charset, struct span bytes)
{
	if (bytes.n == 0 || strcmp(charset, "UTF-8") == 0 ||
			strcmp(charset, "US-ASCII") == 0)
		return buf_add(out, bytes);

	size_t n = 0;
	uint8_t *text = u8_conv_from_encoding(
			charset, iconveh_error, bytes.p, bytes.n, NULL, NULL, &n);
	bool ok = text && buf_add(out, (struct span){ (const char *)text, n });
	free(text);
	return ok;
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
add_q(struct buf *out, struct span text)
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
		if (!buf_addc(out, (char)c))
			return false;
	}
	return true;
}

static bool
add_b(struct buf *out, struct span text)
{
	AUTO(buf_done) struct buf padded = BUF_MAX(WORDS_MAX + 4);

	while (text.n > 0 && text.p[text.n - 1] == '=')
		text.n--;
	if (!buf_add(&padded, text))
		return false;
	while (padded.n % 4 != 0) {
		if (!buf_addc(&padded, '='))
			return false;
	}
	return dec_base64(out, buf_span(&padded));
}

/* "=?charset?Q?text?=" at the start of *in: decoded and taken off. */
static bool
take_encoded(struct span *in, struct buf *out)
{
	AUTO(buf_done) struct buf bytes = BUF_MAX(WORDS_MAX);
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

	const char *charset = charset_of(name);
	struct span text = span_first(rest, end);
	size_t before = out->n;
	bool ok = charset &&
			((how == 'q' && add_q(&bytes, text)) ||
					(how == 'b' && add_b(&bytes, text))) &&
			add_text(out, charset, buf_span(&bytes));
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
		size_t begin = out->n;
		if (take_encoded(&raw, out)) {
			/* Blanks between two of them are not part of the text. */
			if (after_encoded && begin > before) {
				memmove(out->p + before, out->p + begin,
						out->n - begin);
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

/* What is not UTF-8 becomes U+FFFD. */
static bool
mend(struct buf *out, struct span text)
{
	while (text.n > 0) {
		size_t n = utf8_len(text);

		if (!buf_add(out, n > 0 ? span_first(text, n) : SPAN("\357\277\275")))
			return false;
		text = span_skip(text, n > 0 ? n : 1);
	}
	return true;
}

bool
words_fold(struct buf *out, struct span raw)
{
	AUTO(buf_done) struct buf text = BUF_MAX(3 * WORDS_MAX + 8);
	AUTO(buf_done) struct buf whole = BUF_MAX(9 * WORDS_MAX + 24);
	size_t n = 0;

	if (!plain(&text, span_first(raw, WORDS_MAX)) ||
			!mend(&whole, span_trim(buf_span(&text))))
		return false;
	if (whole.n == 0)
		return true;
	uint8_t *folded = u8_casefold((const uint8_t *)whole.p, whole.n, NULL,
			UNINORM_NFKC, NULL, &n);
	bool ok = folded && buf_add(out, (struct span){ (const char *)folded, n });
	free(folded);
	return ok;
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
