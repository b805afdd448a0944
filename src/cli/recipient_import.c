/* The file of `recipient import`: every fault of it, or its rows. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "postern/csv.h"
#include "postern/file.h"
#include "postern/map.h"
#include "recipients.h"

enum {
	FILE_MAX = 64 * 1024 * 1024,
	NAMES_MAX = 64, /* columns of a header line */
};

static const char *const names[DIRECTORY_COLUMNS] = { "alias", "given", "surname",
	"display", "primary", "groups", "members" };

struct import {
	const char *path;
	struct arena *a;
	struct conf_faults *faults;
	const struct directory *known;
	struct csv csv;
	enum directory_column columns[NAMES_MAX]; /* of the header line */
	size_t n_columns;
	struct directory_row *rows;
	struct conf_mark *marks; /* of the rows' aliases */
	size_t n, cap;
	struct map aliases, primaries; /* in lower case -> the line */
	bool full; /* of the arena: said once */
};

static void __attribute__((format(printf, 4, 5)))
fault(struct import *in, struct conf_mark mark, bool warning, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conf_faults_add(in->faults,
			&(struct conf_fault){ .warning = warning,
					.file = in->path,
					.mark = mark,
					.text = text });
}

static void
too_large(struct import *in)
{
	if (!in->full)
		fault(in, (struct conf_mark){ 0 }, false, "the file is too large");
	in->full = true;
}

/* ---- the header line ---- */

static void
header_name(struct import *in, const struct csv_field *f)
{
	struct span name = span_trim(f->text);
	size_t i = 0;

	while (i < DIRECTORY_COLUMNS && !span_eq_nocase(name, span_of(names[i])))
		i++;
	if (f->fault)
		fault(in, f->mark, false, "%s", f->fault);
	else if (i == DIRECTORY_COLUMNS)
		fault(in, f->mark, false,
				"\"%.*s\" is no column: alias,given,surname,display,primary,groups,members, separated by commas",
				(int)span_first(name, 100).n, name.p);
	else if (in->n_columns == NAMES_MAX)
		fault(in, f->mark, false, "more than 64 columns");
	for (size_t k = 0; k < in->n_columns; k++) {
		if (i < DIRECTORY_COLUMNS && in->columns[k] == (enum directory_column)i)
			fault(in, f->mark, false, "the column %s is there already",
					names[i]);
	}
	if (in->n_columns < NAMES_MAX)
		in->columns[in->n_columns++] = (enum directory_column)i;
}

static bool
read_header(struct import *in)
{
	struct csv_field f = { .last = false };
	bool alias = false;

	while (!f.last && csv_next(&in->csv, in->a, &f))
		header_name(in, &f);
	for (size_t i = 0; i < in->n_columns; i++)
		alias = alias || in->columns[i] == DIRECTORY_ALIAS;
	if (!alias)
		fault(in, (struct conf_mark){ 1, 1 }, false,
				"the first line names the columns, and alias is not among them");
	return in->faults->errors == 0;
}

/* ---- values ---- */

static bool
is_gap(char c)
{
	return c == ' ' || c == ';' || c == '\t' || c == '\r' || c == '\n';
}

/* Several in one field, separated by blanks or ";". */
static struct directory_texts
split(struct import *in, const struct csv_field *f, enum directory_column what,
		size_t most)
{
	struct span s = f->text;
	size_t n = 0, cap = 0;

	for (size_t i = 0; i < s.n; i++)
		cap += !is_gap(s.p[i]) && (i == 0 || is_gap(s.p[i - 1]));
	if (cap > most)
		fault(in, f->mark, false, "%zu %s, there may be %zu", cap, names[what],
				most);
	struct span *v = arena_alloc(in->a, (cap + 1) * sizeof(*v));
	if (!v) {
		too_large(in);
		return (struct directory_texts){ NULL, 0 };
	}
	while (s.n > 0) {
		size_t end = 0;

		while (end < s.n && !is_gap(s.p[end]))
			end++;
		struct span one = span_first(s, end);
		s = span_skip(s, end < s.n ? end + 1 : end);
		if (one.n == 0)
			continue;
		const char *why = directory_fault(what, one);
		if (why)
			fault(in, f->mark, false, "%s: \"%.*s\": %s", names[what],
					(int)span_first(one, 100).n, one.p, why);
		v[n++] = one;
	}
	return (struct directory_texts){ v, n };
}

static void
set_value(struct import *in, enum directory_column what, const struct csv_field *f,
		struct directory_row *row)
{
	struct span *const texts[DIRECTORY_COLUMNS] = {
		[DIRECTORY_ALIAS] = &row->alias,
		[DIRECTORY_GIVEN] = &row->given,
		[DIRECTORY_SURNAME] = &row->surname,
		[DIRECTORY_DISPLAY] = &row->display,
		[DIRECTORY_PRIMARY] = &row->primary,
	};

	if (what == DIRECTORY_GROUP) {
		row->groups = split(in, f, what, DIRECTORY_GROUPS_MAX);
		return;
	}
	if (what == DIRECTORY_MEMBER) {
		row->members = split(in, f, what, DIRECTORY_MEMBERS_MAX);
		return;
	}
	struct span value = span_trim(f->text);
	const char *why = directory_fault(what, value);
	if (why)
		fault(in, f->mark, false, "%s: \"%.*s\": %s", names[what],
				(int)span_first(value, 100).n, value.p, why);
	else if (what == DIRECTORY_PRIMARY && value.n > 0)
		value = directory_wire(in->a, value);
	if (value.n > 0 && !value.p)
		too_large(in);
	*texts[what] = value;
}

/* ---- lines ---- */

/* Tells when somebody above has the same; else remembers it. */
static void
once(struct import *in, struct map *seen, struct span value, const char *what)
{
	struct span key = directory_fold(in->a, value);
	const struct conf_mark mark = in->marks[in->n];
	struct conf_mark *line = arena_alloc(in->a, sizeof(*line));

	if (!key.p || !line) {
		too_large(in);
		return;
	}
	const struct conf_mark *was = map_get(seen, key);
	if (was) {
		fault(in, mark, false, "the %s %.*s is in line %u already", what,
				(int)value.n, value.p, was->line);
		return;
	}
	*line = mark;
	(void)map_put(seen, key, line);
}

static bool
room_for_row(struct import *in)
{
	if (in->n < in->cap)
		return true;
	if (in->n >= DIRECTORY_ENTRIES_MAX) {
		fault(in, in->csv.mark, false, "more than %d recipients",
				DIRECTORY_ENTRIES_MAX);
		return false;
	}
	in->cap = in->cap ? in->cap * 2 : 256;
	in->rows = realloc(in->rows, in->cap * sizeof(*in->rows));
	in->marks = realloc(in->marks, in->cap * sizeof(*in->marks));
	if (!in->rows || !in->marks)
		abort();
	return true;
}

/* False at the end of the file. */
static bool
read_line(struct import *in)
{
	struct directory_row row = { .alias = { "", 0 } };
	struct csv_field f = { .last = false };
	struct conf_mark begin = in->csv.mark;
	size_t n = 0;
	bool empty = true;

	if (!room_for_row(in))
		return false;
	in->marks[in->n] = begin;
	while (!f.last) {
		if (!csv_next(&in->csv, in->a, &f))
			return false;
		empty = empty && f.text.n == 0 && f.last && n == 0;
		if (f.fault)
			fault(in, f.mark, false, "%s", f.fault);
		else if (n < in->n_columns && !empty)
			set_value(in, in->columns[n], &f, &row);
		if (n < in->n_columns && in->columns[n] == DIRECTORY_ALIAS)
			in->marks[in->n] = f.mark;
		n++;
	}
	if (empty)
		return true;
	if (n != in->n_columns)
		fault(in, begin, false, "%zu fields, but the first line names %zu", n,
				in->n_columns);
	if (row.alias.n > 0)
		once(in, &in->aliases, row.alias, "alias");
	if (row.primary.n > 0)
		once(in, &in->primaries, row.primary, "primary address");
	in->rows[in->n++] = row;
	return !in->full;
}

/* ---- beside what is known ---- */

static bool
in_file(struct import *in, struct span alias)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(4096);
	struct span key = directory_fold(&a, alias);

	return key.p && map_get(&in->aliases, key);
}

static void
check_primaries(struct import *in)
{
	for (size_t i = 0; i < directory_size(in->known); i++) {
		const struct directory_entry *e = directory_at(in->known, i);
		struct span key = e->own ? directory_fold(in->a, e->primary)
					 : (struct span){ NULL, 0 };
		const struct conf_mark *line =
				key.p ? map_get(&in->primaries, key) : NULL;

		if (line && !in_file(in, e->alias))
			fault(in, *line, false,
					"the primary address %.*s is that of %.*s already",
					(int)e->primary.n, e->primary.p,
					(int)e->alias.n, e->alias.p);
	}
}

/* A member may come with a later file, so this is no error. */
static void
check_members(struct import *in)
{
	for (size_t i = 0; i < in->n; i++) {
		const struct directory_texts *m = &in->rows[i].members;

		for (size_t k = 0; k < m->n; k++) {
			if (span_find(m->v[k], '@') == m->v[k].n &&
					!in_file(in, m->v[k]) &&
					!directory_alias(in->known, m->v[k]))
				fault(in, in->marks[i], true,
						"the member %.*s is no recipient",
						(int)m->v[k].n, m->v[k].p);
		}
	}
}

bool
recipients_read(const char *path, const struct directory *known, struct arena *a,
		struct directory_row **rows, size_t *n, struct conf_faults *faults)
{
	struct import in = { .path = path, .a = a, .faults = faults, .known = known };
	AUTO(buf_done) struct buf text = BUF_MAX(FILE_MAX);
	struct err err = { 0 };

	if (!file_read(AT_FDCWD, path, FILE_REGULAR, &text, &err)) {
		fault(&in, (struct conf_mark){ 0 }, false, "%s", err.text);
		return false;
	}
	struct span all = arena_dup(a, buf_span(&text));
	if (!all.p) {
		too_large(&in);
		return false;
	}
	map_init(&in.aliases, 0, 0);
	map_init(&in.primaries, 0, 0);
	csv_init(&in.csv, all);
	if (read_header(&in)) {
		while (read_line(&in))
			;
		check_primaries(&in);
		check_members(&in);
	}
	*rows = arena_alloc(a, (in.n + 1) * sizeof(**rows));
	if (!*rows)
		too_large(&in);
	else if (in.n > 0)
		memcpy(*rows, in.rows, in.n * sizeof(**rows));
	*n = in.n;
	free(in.rows);
	free(in.marks);
	map_done(&in.aliases);
	map_done(&in.primaries);
	return faults->errors == 0;
}
