/* reader: what reading a configuration needs of its ground: faults, memory, plain texts. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "postern/must.h"
#include "read.h"

static void __attribute__((format(printf, 5, 0)))
say(struct reader *r, struct conf_mark mark, bool warning, const char *hint,
		const char *fmt, va_list ap)
{
	char text[600];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	conf_faults_add(r->faults,
			&(struct conf_fault){
					.warning = warning,
					.file = r->file,
					.mark = mark,
					.text = text,
					.hint = hint,
			});
}

bool
reader_fault(struct reader *r, const struct node *n, const char *hint, const char *fmt,
		...)
{
	va_list ap;

	va_start(ap, fmt);
	say(r, n ? n->mark : r->here, false, hint, fmt, ap);
	va_end(ap);
	return false;
}

bool
reader_warn(struct reader *r, const struct node *n, const char *hint, const char *fmt,
		...)
{
	va_list ap;

	va_start(ap, fmt);
	say(r, n ? n->mark : r->here, true, hint, fmt, ap);
	va_end(ap);
	return false;
}

/* The arena's limit is far beyond what CONF_TEXT_MAX and the rows' bounds can
 * ask for, so that it cannot be met by input. */
void *
reader_take(struct reader *r, size_t n)
{
	void *p = arena_alloc(r->arena, n);

	MUST(p);
	return p;
}

const char *
reader_keep(struct reader *r, struct span s)
{
	const char *p = arena_str(r->arena, s);

	MUST(p);
	return p;
}

const char *
reader_path(struct reader *r, struct span s)
{
	if (s.n > 0 && s.p[0] == '/')
		return reader_keep(r, s);

	struct span dir = span_of(r->dir);
	char *path = reader_take(r, dir.n + s.n + 1);
	memcpy(path, dir.p, dir.n);
	memcpy(path + dir.n, s.p, s.n);
	return path;
}

bool
scalar_text(struct reader *r, const struct node *n, size_t most, const char *what,
		struct span *out)
{
	if (node_is_null(n))
		return reader_fault(r, n, NULL, "%s has no value; expected %s",
				r->where, what);
	if (n->kind != NODE_SCALAR)
		return reader_fault(r, n, NULL, "%s: expected %s, not a %s", r->where,
				what, n->kind == NODE_LIST ? "list" : "mapping");
	if (n->text.n > most)
		return reader_fault(r, n, NULL, "%s: longer than %zu bytes", r->where,
				most);
	for (size_t i = 0; i < n->text.n; i++) {
		unsigned char c = (unsigned char)n->text.p[i];
		if (c < 0x20 || c == 0x7f)
			return reader_fault(r, n, NULL,
					"%s: holds a control character (byte 0x%02x)",
					r->where, c);
	}
	*out = n->text;
	return true;
}

const struct node *
map_key(const struct node *map, const char *name)
{
	if (!map || map->kind != NODE_MAP)
		return NULL;
	for (const struct node *k = map->first; k; k = k->next) {
		if (k->kind == NODE_SCALAR && span_eq(k->text, span_of(name)))
			return k;
	}
	return NULL;
}

bool
not_that(struct reader *r, const struct node *n, const char *what)
{
	return reader_fault(r, n, NULL, "%s: expected %s, not \"%.*s\"%s", r->where,
			what, (int)span_first(n->text, 120).n, n->text.p,
			n->text.n > 120 ? "..." : "");
}

bool
reader_text(struct reader *r, struct span s, void *place)
{
	const char *text = reader_keep(r, s);

	memcpy(place, &text, sizeof(text));
	return true;
}
