#include "tree.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "postern/enc.h"
#include "postern/must.h"

enum { ROUNDS_MAX = 16 }; /* broken lines put aside in one file */

struct builder {
	struct arena *arena;
	struct conf_faults *faults;
	const char *file;
	struct node *open[TREE_DEPTH_MAX];
	struct node *key[TREE_DEPTH_MAX]; /* of the open map, waiting for its value */
	unsigned depth;
	size_t nodes;
	struct node *root;
	bool over; /* nothing more is wanted */
	unsigned told; /* line of the last fault of the YAML itself */
};

static void
fault(struct conf_faults *faults, const char *file, struct conf_mark mark,
		const char *text, const char *hint)
{
	conf_faults_add(faults,
			&(struct conf_fault){
					.file = file,
					.mark = mark,
					.text = text,
					.hint = hint,
			});
}

static struct conf_mark
mark_of(const yaml_mark_t *m)
{
	return (struct conf_mark){ (unsigned)m->line + 1, (unsigned)m->column + 1 };
}

static struct conf_mark
mark_at(struct span text, size_t at)
{
	struct conf_mark m = { 1, 1 };

	for (size_t i = 0; i < at && i < text.n; i++) {
		if (text.p[i] == '\n') {
			m.line++;
			m.column = 1;
		} else if (((unsigned char)text.p[i] & 0xc0) != 0x80) {
			m.column++;
		}
	}
	return m;
}

bool
scalar_is_null(const struct node *n)
{
	return !n->quoted &&
			(n->text.n == 0 || span_eq(n->text, SPAN("~")) ||
					span_eq_nocase(n->text, SPAN("null")));
}

/* libyaml would read these too, but an editor that writes them is better told. */
static bool
bytes_ok(struct span text, const char *file, struct conf_faults *faults)
{
	if (text.n > CONF_TEXT_MAX) {
		fault(faults, file, (struct conf_mark){ 0 },
				"the file is larger than 4M", NULL);
		return false;
	}
	if (span_starts(text, SPAN("\xff\xfe")) ||
			span_starts(text, SPAN("\xfe\xff"))) {
		fault(faults, file, (struct conf_mark){ 1, 1 },
				"the file is UTF-16, not UTF-8", "save it as UTF-8");
		return false;
	}
	for (size_t i = 0; i < text.n;) {
		size_t n = utf8_len(span_skip(text, i));
		if (n == 0 || text.p[i] == '\0') {
			fault(faults, file, mark_at(text, i),
					n == 0 ? "a byte that is not UTF-8 text"
					       : "a NUL byte",
					"save the file as UTF-8 text");
			return false;
		}
		i += n;
	}
	return true;
}

static struct node *
node_new(struct builder *b, const yaml_event_t *ev, enum node_kind kind)
{
	if (++b->nodes > TREE_NODES_MAX) {
		fault(b->faults, b->file, mark_of(&ev->start_mark),
				"too many values in one file", NULL);
		b->over = true;
		return NULL;
	}
	struct node *n = arena_alloc(b->arena, sizeof(*n));
	MUST(n);
	n->kind = kind;
	n->mark = mark_of(&ev->start_mark);
	return n;
}

/* Hangs n where it belongs: root, list, key or value. */
static void
node_put(struct builder *b, struct node *n)
{
	if (b->depth == 0) {
		b->root = n;
		return;
	}
	struct node *parent = b->open[b->depth - 1];
	struct node **key = &b->key[b->depth - 1];
	MUST(parent);
	if (parent->kind == NODE_MAP && *key) {
		(*key)->value = n;
		*key = NULL;
		return;
	}
	if (parent->kind == NODE_MAP)
		*key = n;
	if (parent->last)
		parent->last->next = n;
	else
		parent->first = n;
	parent->last = n;
	parent->n++;
}

static void
node_open(struct builder *b, const yaml_event_t *ev, enum node_kind kind)
{
	if (b->depth == TREE_DEPTH_MAX) {
		fault(b->faults, b->file, mark_of(&ev->start_mark), "nested too deeply",
				NULL);
		b->over = true;
		return;
	}
	struct node *n = node_new(b, ev, kind);
	if (!n)
		return;
	node_put(b, n);
	b->key[b->depth] = NULL;
	b->open[b->depth++] = n;
}

static void
scalar(struct builder *b, const yaml_event_t *ev)
{
	struct node *n = node_new(b, ev, NODE_SCALAR);

	if (!n)
		return;
	n->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	n->text = arena_dup(b->arena,
			(struct span){ (const char *)ev->data.scalar.value,
					ev->data.scalar.length });
	MUST(n->text.p);
	node_put(b, n);
}

/* Anchors, aliases and tags make a reader's work unbounded or its types
 * surprising; a configuration needs none of them. */
static void
no_extras(struct builder *b, const yaml_event_t *ev, const yaml_char_t *anchor,
		const yaml_char_t *tag)
{
	if (anchor)
		fault(b->faults, b->file, mark_of(&ev->start_mark),
				"anchors (&NAME) are not allowed",
				"write the value out");
	if (tag)
		fault(b->faults, b->file, mark_of(&ev->start_mark),
				"tags (!TYPE) are not allowed",
				"quote a value that begins with \"!\"");
}

static void
event(struct builder *b, const yaml_event_t *ev, bool *second)
{
	switch (ev->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (*second) {
			fault(b->faults, b->file, mark_of(&ev->start_mark),
					"a second document begins here",
					"remove the line \"---\"");
			b->over = true;
		}
		*second = true;
		break;
	case YAML_ALIAS_EVENT:
		fault(b->faults, b->file, mark_of(&ev->start_mark),
				"aliases (*NAME) are not allowed",
				"write the value out; quote a value that begins with \"*\"");
		scalar(b,
				&(yaml_event_t){
						.start_mark = ev->start_mark,
						.data.scalar.value =
								(yaml_char_t[]){ "" },
				});
		break;
	case YAML_SCALAR_EVENT:
		no_extras(b, ev, ev->data.scalar.anchor, ev->data.scalar.tag);
		scalar(b, ev);
		break;
	case YAML_SEQUENCE_START_EVENT:
		no_extras(b, ev, ev->data.sequence_start.anchor,
				ev->data.sequence_start.tag);
		node_open(b, ev, NODE_LIST);
		break;
	case YAML_MAPPING_START_EVENT:
		no_extras(b, ev, ev->data.mapping_start.anchor,
				ev->data.mapping_start.tag);
		node_open(b, ev, NODE_MAP);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		break;
	case YAML_STREAM_END_EVENT:
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	default:
		break;
	}
}

static struct span
line_of(struct span text, size_t line)
{
	while (line > 0 && text.n > 0) {
		size_t end = span_find(text, '\n');
		text = span_skip(text, end < text.n ? end + 1 : text.n);
		line--;
	}
	return span_first(text, span_find(text, '\n'));
}

static bool
blank(struct span line)
{
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] != ' ' && line.p[i] != '\r')
			return false;
	}
	return true;
}

/* A quote or bracket was opened in an earlier line: that is where to look. */
static bool
is_unclosed(const yaml_parser_t *yaml)
{
	const char *c = yaml->context;

	return c && (strstr(c, "flow") || strstr(c, "quoted")) &&
			yaml->context_mark.line < yaml->problem_mark.line;
}

/* Makes the broken line harmless, so that what follows it is checked as well:
 * tabs become spaces, anything else is put aside. False: cannot be helped. */
static bool
mend(char *text, size_t n, const yaml_parser_t *yaml)
{
	struct span whole = { text, n };
	struct span line = line_of(whole, yaml->problem_mark.line);
	bool tabs = span_find(line, '\t') < line.n;

	if (yaml->error == YAML_READER_ERROR)
		return false;
	if (!tabs && (is_unclosed(yaml) || blank(line)))
		line = line_of(whole, yaml->context_mark.line);
	if (blank(line))
		return false;
	for (char *p = text + (line.p - text), *end = p + line.n; p < end; p++) {
		if (tabs ? *p == '\t' : *p != '\r')
			*p = ' ';
	}
	return true;
}

static void
broken(const yaml_parser_t *yaml, struct span text, struct builder *b)
{
	char words[300];
	struct span line = line_of(text, yaml->problem_mark.line);
	struct conf_mark mark = mark_of(&yaml->problem_mark);
	const char *problem = yaml->problem ? yaml->problem : "unreadable";
	const char *hint = "check indentation, quotes and brackets here and just above";

	if (yaml->error == YAML_READER_ERROR)
		mark = mark_at(text, yaml->problem_offset);
	else if (is_unclosed(yaml))
		mark = mark_of(&yaml->context_mark);
	(void)snprintf(words, sizeof(words), "not valid YAML: %s%s%s", problem,
			yaml->context ? ", " : "", yaml->context ? yaml->context : "");
	if (span_find(line, '\t') < line.n)
		hint = "YAML does not take tabs here: indent with spaces";
	else if (strstr(problem, "mapping values"))
		hint = "a value that holds \": \" must stand in quotes";
	/* A mended line may break once more, and is then put aside. */
	if (mark.line != b->told)
		fault(b->faults, b->file, mark, words, hint);
	b->told = mark.line;
}

static void
parser_init(yaml_parser_t *yaml, struct span text)
{
	/* A byte order mark is no part of the first line: its columns would be one too many. */
	if (span_starts(text, SPAN("\xef\xbb\xbf")))
		text = span_skip(text, 3);
	if (!yaml_parser_initialize(yaml))
		abort();
	yaml_parser_set_encoding(yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(
			yaml, (const unsigned char *)(text.p ? text.p : ""), text.n);
}

/* The next event; false at the end of what can be read. */
static bool
parser_next(yaml_parser_t *yaml, yaml_event_t *ev)
{
	if (yaml_parser_parse(yaml, ev))
		return ev->type != YAML_STREAM_END_EVENT;
	if (yaml->error == YAML_MEMORY_ERROR)
		abort();
	return false;
}

/* Reads without building anything, until the YAML breaks: then says so. True
 * when there is no more to find. */
static bool
scan(char *text, size_t n, struct builder *b, bool *cut)
{
	yaml_parser_t yaml;
	yaml_event_t ev;
	int depth = 0;
	size_t nodes = 0;
	bool done = true;

	parser_init(&yaml, (struct span){ text, n });
	while (depth <= TREE_DEPTH_MAX && nodes <= TREE_NODES_MAX &&
			parser_next(&yaml, &ev)) {
		if (ev.type == YAML_SEQUENCE_START_EVENT ||
				ev.type == YAML_MAPPING_START_EVENT)
			depth++;
		if (ev.type == YAML_SEQUENCE_END_EVENT ||
				ev.type == YAML_MAPPING_END_EVENT)
			depth--;
		nodes++;
		yaml_event_delete(&ev);
	}
	if (yaml.error != YAML_NO_ERROR) {
		*cut = true;
		broken(&yaml, (struct span){ text, n }, b);
		done = !mend(text, n, &yaml);
	}
	yaml_parser_delete(&yaml);
	return done;
}

static void
build(struct span text, struct builder *b)
{
	yaml_parser_t yaml;
	yaml_event_t ev;
	bool second = false;

	parser_init(&yaml, text);
	while (!b->over && parser_next(&yaml, &ev)) {
		event(b, &ev, &second);
		yaml_event_delete(&ev);
	}
	yaml_parser_delete(&yaml);
}

void
tree_read(struct span text, const char *file, struct arena *arena,
		struct conf_faults *faults, struct tree *out)
{
	struct builder b = { .arena = arena, .faults = faults, .file = file };
	struct buf work = BUF_MAX(CONF_TEXT_MAX + 1);

	*out = (struct tree){ .cut = true };
	if (!bytes_ok(text, file, faults))
		return;
	out->cut = false;
	if (text.n == 0)
		return;
	bool kept = buf_add(&work, text);
	MUST(kept && work.p);
	for (int round = 0; round < ROUNDS_MAX; round++) {
		if (scan(work.p, work.n, &b, &out->cut))
			break;
	}
	build(buf_span(&work), &b);
	out->root = b.root;
	out->cut |= b.over;
	buf_done(&work);
}
