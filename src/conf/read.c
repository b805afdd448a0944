#include "read.h"

#include <stdio.h>
#include <string.h>

#include "postern/map.h"
#include "postern/must.h"
#include "rows.h"

/* Goes down to a key; leave with reader_up(r, what it returned). */
static size_t
reader_down(struct reader *r, const char *dot, struct span key)
{
	size_t was = r->where_n;
	size_t room = sizeof(r->where) - was;
	int n = snprintf(r->where + was, room, "%s%.*s", was > 0 ? dot : "",
			(int)span_first(key, 100).n, key.p ? key.p : "");

	r->where_n = was + ((size_t)n < room ? (size_t)n : room - 1);
	return was;
}

static void
reader_up(struct reader *r, size_t was)
{
	r->where_n = was;
	r->where[was] = '\0';
}

static size_t
rows_count(const struct section *s)
{
	size_t n = 0;

	while (s->rows[n].name)
		n++;
	return n;
}

static const struct row *
row_find(const struct section *s, struct span name)
{
	for (const struct row *row = s->rows; row->name; row++) {
		if (span_eq(name, span_of(row->name)))
			return row;
	}
	return NULL;
}

static void
path_down(struct buf *path, const char *word)
{
	bool fits = buf_addf(path, "%s%s", path->n > 0 ? "." : "", word);

	MUST(fits);
}

/* Where else in the file a key of that name would be known: "delivery.expire".
 * Goes down the table, not the input. */
static bool
elsewhere(const struct section *s, struct span name, struct buf *path)
{
	size_t was = path->n;

	for (const struct row *row = s->rows; row->name; row++) {
		path_down(path, row->name);
		if (span_eq(name, span_of(row->name)))
			return true;
		if (row->section && row->kind == ROW_MAP)
			path_down(path, row->section->key_word);
		if (row->section && elsewhere(row->section, name, path))
			return true;
		path->n = was;
	}
	return false;
}

static void
key_unknown(struct reader *r, const struct section *s, const struct node *key)
{
	const char *names[40];
	size_t n = rows_count(s);
	struct buf hint = BUF_MAX(1000);
	bool fits = true;

	if (r->faults->n == CONF_FAULTS_MAX) { /* spares the search */
		r->faults->errors++;
		r->faults->more++;
		return;
	}
	MUST(n <= sizeof(names) / sizeof(names[0]));
	for (size_t i = 0; i < n; i++)
		names[i] = s->rows[i].name;
	const char *near = nearest(key->text, names, n);
	if (near) {
		fits = buf_addf(&hint, "did you mean \"%s\"?", near);
	} else if (elsewhere(&conf_section, key->text, &hint)) {
		struct buf path = hint;
		hint = BUF_MAX(1000);
		fits = buf_addf(&hint, "it belongs at %s", buf_cstr(&path));
		buf_done(&path);
	} else {
		for (size_t i = 0; i < n && fits; i++)
			fits = buf_addf(&hint, "%s%s",
					i > 0 ? ", " : "known here: ", names[i]);
	}
	MUST(fits);
	reader_fault(r, key, buf_cstr(&hint), "unknown key \"%.*s\"%s%s",
			(int)span_first(key->text, 200).n, key->text.p,
			r->where_n > 0 ? " in " : "", r->where);
	buf_done(&hint);
}

/* Says which keys come twice; such a key counts as it stood first. */
static void
keys_twice(struct reader *r, const struct node *map)
{
	struct map seen;

	map_init(&seen, 0, 0);
	for (const struct node *k = map->first; k; k = k->next) {
		if (k->kind != NODE_SCALAR) {
			reader_fault(r, k, "quote a key that begins with { or [",
					"a key must be plain text");
			continue;
		}
		const struct node *first = map_get(&seen, k->text);
		if (first)
			reader_fault(r, k, NULL,
					"the key \"%.*s\" was given already in line %u",
					(int)span_first(k->text, 200).n, k->text.p,
					first->mark.line);
		else
			(void)map_put(&seen, k->text, (void *)(uintptr_t)k);
	}
	map_done(&seen);
}

/* One value of a row's kind. */
static void
read_one(struct reader *r, const struct row *row, const struct node *n,
		struct conf_mark mark, void *place)
{
	const struct section *s = row->section;

	if (row->kind != ROW_GROUP) {
		(void)kinds[row->kind].read(r, row, n, place);
		return;
	}
	if (s->mark_at > 0)
		memcpy((char *)place + s->mark_at, &mark, sizeof(mark));
	if (node_is_null(n)) {
		read_section(r, s, NULL, mark, place);
	} else if (n->kind == NODE_MAP) {
		read_section(r, s, n, mark, place);
	} else if (n->kind == NODE_SCALAR && s->shorthand) {
		struct node key = { .kind = NODE_SCALAR, .mark = n->mark };
		struct node value = *n,
			    map = { .kind = NODE_MAP, .mark = n->mark, .n = 1 };
		key.text = span_of(s->rows[0].name);
		key.value = &value;
		value.next = NULL;
		map.first = map.last = &key;
		read_section(r, s, &map, mark, place);
	} else {
		reader_fault(r, n, NULL, "%s: expected a mapping of keys", r->where);
		read_section(r, s, NULL, (struct conf_mark){ 0 }, place);
	}
}

/* All list structs are a pointer and a count; the pointer's bytes are copied,
 * whatever it points to. */
struct any_list {
	void *p;
	size_t n;
};

static void
list_set(void *place, void *p, size_t n)
{
	memcpy((char *)place + offsetof(struct any_list, p), &p, sizeof(p));
	memcpy((char *)place + offsetof(struct any_list, n), &n, sizeof(n));
}

static void
read_list(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	struct row item = *row;
	size_t size = row->section ? row->section->size : kinds[row->kind].size;
	unsigned at = 0;

	struct node lone = { .kind = NODE_LIST, .n = 1 }, copy;

	if (node_is_null(n) && row->least == 0)
		return;
	if (!node_is_null(n) && n->kind != NODE_LIST) {
		/* One value stands for a list of one. */
		copy = *n;
		copy.next = NULL;
		lone.mark = n->mark;
		lone.first = lone.last = &copy;
		n = &lone;
	}
	if (!n || n->kind != NODE_LIST) {
		reader_fault(r, n, "write it in brackets: [ FIRST, SECOND ]",
				"%s: expected a list", r->where);
		return;
	}
	if (n->n < row->least || n->n > row->most) {
		reader_fault(r, n, NULL, "%s: expected %llu to %llu items, not %zu",
				r->where, (unsigned long long)row->least,
				(unsigned long long)row->most, n->n);
		return;
	}
	if (n->n == 0)
		return;
	item.flags &= ~(unsigned)ROW_LIST;
	item.least = 1;
	item.most = kinds[row->kind].item_most;
	char *p = reader_take(r, n->n * size);
	list_set(place, p, n->n);
	for (const struct node *i = n->first; i; i = i->next, at++) {
		char index[24] = "";
		if (n != &lone)
			(void)snprintf(index, sizeof(index), "[%u]", at + 1);
		size_t was = reader_down(r, "", span_of(index));
		read_one(r, &item, i, i->mark, p + at * size);
		reader_up(r, was);
	}
}

/* The key of a map: a name, or a domain with or without "*.". */
static void
read_key(struct reader *r, const struct section *s, const struct node *key, void *place)
{
	const char *text = NULL, *why = NULL;
	bool subdomains = false;

	if (s->key == KEY_NAME && conf_name_ok(key->text)) {
		text = reader_keep(r, key->text);
	} else if (s->key == KEY_NAME) {
		reader_fault(r, key,
				"1 to 64 letters, digits, \".\", \"_\" and \"-\"; "
				"the first a letter or digit",
				"\"%.*s\" cannot be a name",
				(int)span_first(key->text, 100).n, key->text.p);
	} else if (!conf_domain_parse(key->text, r->arena, &text, &subdomains, &why)) {
		reader_fault(r, key, NULL, "\"%.*s\" is not %s",
				(int)span_first(key->text, 200).n, key->text.p, why);
	} else {
		memcpy((char *)place + s->subdomains_at, &subdomains,
				sizeof(subdomains));
	}
	memcpy((char *)place + s->key_at, &text, sizeof(text));
	if (s->mark_at > 0)
		memcpy((char *)place + s->mark_at, &key->mark, sizeof(key->mark));
}

static const char *
key_of(const struct section *s, const char *place)
{
	const char *text;

	memcpy(&text, place + s->key_at, sizeof(text));
	return text;
}

/* Two spellings of one domain are the same key. */
static void
keys_same(struct reader *r, const struct section *s, const struct node *n,
		const char *p)
{
	struct map seen[2];
	const struct node *k = n->first;

	map_init(&seen[0], 0, 0);
	map_init(&seen[1], 0, 0);
	for (size_t i = 0; i < n->n; i++, k = k->next, p += s->size) {
		const char *text = key_of(s, p);
		bool subdomains;
		if (!text)
			continue;
		memcpy(&subdomains, p + s->subdomains_at, sizeof(subdomains));
		const struct node *first = map_put(
				&seen[subdomains], span_of(text), (void *)(uintptr_t)k);
		if (first && !span_eq(first->text, k->text))
			reader_fault(r, k, NULL,
					"the domain of \"%.*s\" was given already in line %u",
					(int)k->text.n, k->text.p, first->mark.line);
	}
	map_done(&seen[0]);
	map_done(&seen[1]);
}

static void
read_map(struct reader *r, const struct row *row, const struct node *n, void *place)
{
	const struct section *s = row->section;
	const struct row one = { .name = row->name, .kind = ROW_GROUP, .section = s };
	size_t at = 0;

	if (node_is_null(n))
		return;
	if (n->kind != NODE_MAP) {
		reader_fault(r, n, NULL, "%s: expected a mapping from %s to settings",
				r->where, s->key_word);
		return;
	}
	keys_twice(r, n);
	if (n->n == 0)
		return;
	if (n->n > row->most) {
		reader_fault(r, n, NULL, "%s: more than %llu", r->where,
				(unsigned long long)row->most);
		return;
	}
	char *p = reader_take(r, n->n * s->size);
	list_set(place, p, n->n);
	for (const struct node *k = n->first; k; k = k->next, at++) {
		if (k->kind != NODE_SCALAR)
			continue;
		char *to = p + at * s->size;
		size_t was = reader_down(r, ".", k->text);
		r->here = k->mark;
		read_key(r, s, k, to);
		read_one(r, &one, k->value, k->mark, to);
		reader_up(r, was);
	}
	if (s->key == KEY_DOMAIN)
		keys_same(r, s, n, p);
}

/* The preset goes the way of any value, so that it is written as in a file. */
static void
read_preset(struct reader *r, const struct row *row, void *place)
{
	struct node items[8] = { { .kind = NODE_SCALAR } };
	struct node list = { .kind = NODE_LIST, .first = items };
	struct span rest = span_of(row->preset);

	if (!(row->flags & ROW_LIST)) {
		items[0].text = rest;
		read_one(r, row, &items[0], items[0].mark, place);
		return;
	}
	while (rest.n > 0) {
		MUST(list.n < sizeof(items) / sizeof(items[0]));
		struct node *item = &items[list.n++];
		item->kind = NODE_SCALAR;
		item->text = span_trim(span_until(&rest, ','));
		item->next = rest.n > 0 ? item + 1 : NULL;
		list.last = item;
	}
	read_list(r, row, &list, place);
}

static void
read_row(struct reader *r, const struct row *row, const struct node *key,
		struct conf_mark mark, void *place)
{
	if (key)
		r->here = key->mark;
	if (key && (row->flags & ROW_LATER)) {
		reader_fault(r, key, "remove it",
				"%s is not available yet in this version", r->where);
		key = NULL;
	} else if (!key && (row->flags & ROW_REQUIRED) && mark.line > 0 && !r->cut) {
		struct node section = { .mark = mark };
		size_t parent = r->where_n - span_of(row->name).n;
		reader_fault(r, &section, row->says, "%.*s: \"%s\" is missing",
				(int)(parent > 0 ? parent - 1 : 0), r->where,
				row->name);
	}

	if (row->kind == ROW_MAP) {
		read_map(r, row, key ? key->value : NULL, place);
	} else if (row->kind == ROW_GROUP && !(row->flags & ROW_LIST)) {
		/* A group that is not there has presets, but misses nothing. */
		read_one(r, row, key ? key->value : NULL,
				key ? key->mark : (struct conf_mark){ 0 }, place);
	} else if (!key) {
		if (row->preset)
			read_preset(r, row, place);
	} else if (row->flags & ROW_LIST) {
		read_list(r, row, key->value, place);
	} else {
		read_one(r, row, key->value, key->mark, place);
	}
}

void
read_section(struct reader *r, const struct section *s, const struct node *map,
		struct conf_mark mark, void *place)
{
	if (map) {
		keys_twice(r, map);
		for (const struct node *k = map->first; k; k = k->next) {
			if (k->kind == NODE_SCALAR && !row_find(s, k->text))
				key_unknown(r, s, k);
		}
	}
	for (const struct row *row = s->rows; row->name; row++) {
		size_t was = reader_down(r, ".", span_of(row->name));
		read_row(r, row, map_key(map, row->name), mark,
				(char *)place + row->at);
		reader_up(r, was);
	}
	if (s->check)
		s->check(r, map, mark, place);
}
