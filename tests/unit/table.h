/* Tables of cases, one a line, columns parted by one tab; the first line names them.
 * In a column stand \r \n \t \\ \ooo for bytes, \{N:TEXT} for TEXT N times, and \{NAME}
 * or \{NAME ARGUMENT} for what the test writes there. */
#ifndef TESTS_TABLE_H
#define TESTS_TABLE_H

#include "check.h"

#include "postern/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_COLUMNS = 16 };

struct table {
	char *text, *at;
	char *column[TABLE_COLUMNS]; /* NULL: the line has none there */
	size_t line;
};

/* What \{NAME ARGUMENT} stands for. */
typedef void table_word(struct buf *out, struct span name, struct span argument);

static inline bool
table_next(struct table *t)
{
	char *line = t->at;

	if (*line == '\0')
		return false;
	char *end = strchr(line, '\n');
	assert_non_null(end);
	*end = '\0';
	t->at = end + 1;
	t->line++;
	for (size_t i = 0; i < TABLE_COLUMNS; i++) {
		char *tab = line ? strchr(line, '\t') : NULL;

		if (tab)
			*tab++ = '\0';
		t->column[i] = line;
		line = tab;
	}
	return true;
}

/* All of a file, with a NUL behind it; the caller frees it. */
static inline char *
table_slurp(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");

	if (!f)
		fail_msg("cannot read %s", path);
	(void)fseek(f, 0, SEEK_END);
	*n = (size_t)ftell(f);
	rewind(f);
	char *text = malloc(*n + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, *n, f), *n);
	text[*n] = '\0';
	(void)fclose(f);
	return text;
}

static inline void
table_open(struct table *t, const char *path)
{
	size_t n;

	*t = (struct table){ .text = table_slurp(path, &n) };
	t->at = t->text;
	assert_true(table_next(t));
}

static inline void
table_close(struct table *t)
{
	free(t->text);
}

static inline const char *
table_byte(struct buf *out, const char *p)
{
	static const char names[] = "rnt\\", bytes[] = "\r\n\t\\";
	const char *name = strchr(names, *p);

	if (*p >= '0' && *p <= '3') {
		assert_true(buf_addc(out,
				(char)((p[0] - '0') << 6 | (p[1] - '0') << 3 |
						(p[2] - '0'))));
		return p + 3;
	}
	assert_true(*p != '\0' && name != NULL);
	assert_true(buf_addc(out, bytes[name - names]));
	return p + 1;
}

/* The bytes of a column; \{...} is not for this one. */
static inline void
table_bytes(struct buf *out, struct span s, bool bytes)
{
	for (const char *p = s.p; p < s.p + s.n;) {
		if (*p == '\\' && bytes)
			p = table_byte(out, p + 1);
		else
			assert_true(buf_addc(out, *p++));
	}
}

/* Writes a column with its escapes expanded; without `bytes` only \{...} is. */
static inline void
table_expand(struct buf *out, const char *column, bool bytes, table_word *word)
{
	for (const char *open; (open = strstr(column, "\\{")) != NULL;) {
		const char *close = strchr(open, '}');
		assert_non_null(close);
		struct span in = { open + 2, (size_t)(close - open - 2) };
		const char *mark = memchr(in.p, in.p[0] <= '9' ? ':' : ' ', in.n);
		struct span name = mark ? span_first(in, (size_t)(mark - in.p)) : in;
		struct span rest = mark ? span_skip(in, name.n + 1) : SPAN("");

		table_bytes(out, (struct span){ column, (size_t)(open - column) },
				bytes);
		if (word && in.p[0] > '9')
			word(out, name, rest);
		for (unsigned long n = strtoul(in.p, NULL, 10); n > 0; n--)
			table_bytes(out, rest, bytes);
		column = close + 1;
	}
	table_bytes(out, span_of(column), bytes);
}

/* Is s one of the words of `words`? "." is none. */
static inline bool
table_has(struct span s, const char *words)
{
	struct span all = span_of(words);

	if (span_eq(all, SPAN(".")))
		return false;
	while (all.n > 0) {
		struct span bad = span_word(&all), rest = s;

		while (rest.n > 0) {
			if (span_eq(span_word(&rest), bad))
				return true;
		}
	}
	return false;
}

#endif
