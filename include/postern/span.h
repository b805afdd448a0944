/* span: a borrowed run of bytes. Never owns, need not end in NUL.
 *
 * An empty span may have any p, NULL too; only n says that it is empty. */
#ifndef POSTERN_SPAN_H
#define POSTERN_SPAN_H

#include <stdbool.h>
#include <stddef.h>

struct span {
	const char *p;
	size_t n;
};

/* In a static table: { SPAN_INIT("EHLO") }. Anywhere else: SPAN("EHLO"). */
#define SPAN_INIT(lit) (lit), sizeof(lit) - 1
#define SPAN(lit) ((struct span){ SPAN_INIT(lit) })
#define SPAN_FMT "%.*s"
#define SPAN_ARG(s) (int)(s).n, (s).p

struct span span_of(const char *cstr); /* NULL gives the empty span */
bool span_eq(struct span a, struct span b);
bool span_eq_nocase(struct span a, struct span b); /* ASCII letters only */
/* Order of unsigned bytes, a shorter run before its extensions. */
int span_cmp(struct span a, struct span b);
bool span_starts(struct span s, struct span with);
bool span_starts_nocase(struct span s, struct span with);
bool span_ends_nocase(struct span s, struct span with);
/* Place of the first c in s, or s.n when there is none. */
size_t span_find(struct span s, char c);
size_t span_rfind(struct span s, char c); /* of the last c, or s.n */
struct span span_skip(struct span s, size_t n); /* without its first n <= s.n bytes */
struct span span_first(struct span s, size_t n); /* at most its first n bytes */
struct span span_trim(struct span s); /* without SP, TAB, CR, LF at both ends */
/* Cuts the first word off *s and returns it; *s keeps the rest, unpadded. */
struct span span_word(struct span *s);
/* Cuts off what stands before the first c; *s keeps what stands after it. */
struct span span_until(struct span *s, char c);

char ascii_lower(char c);

#endif
