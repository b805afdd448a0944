#include "unrouted_match.h"

#include "postern/aliasstore.h"

enum { MEMBERS = 1000, MEMORY = 4 * 1024 * 1024 };

/* RFC 2919: a phrase, then the id in angle brackets; some write the id alone. */
static bool
list_id(struct span header, struct buf *out)
{
	struct header_field f;

	if (!header_find(header, SPAN("List-Id"), &f))
		return false;
	struct span id = f.body;
	size_t open = span_rfind(id, '<');

	if (open < id.n)
		id = span_skip(id, open + 1);
	id = span_trim(span_first(id, span_find(id, '>')));
	for (size_t i = 0; i < id.n; i++) {
		if (id.p[i] <= ' ' || id.p[i] == 0x7f)
			return false;
	}
	return id.n > 0 && id.n <= ALIAS_MATCH_MAX && buf_add(out, id);
}

static bool
is_foreign(const struct address *a, const struct domains *served)
{
	return a->kind == ADDRESS_FULL && !(served && domains_have(served, a->domain));
}

static bool
foreign(const struct address_list *list, const struct domains *served, struct buf *out)
{
	size_t begin = out->n;

	for (size_t i = 0; i < list->n; i++) {
		if (!is_foreign(&list->v[i], served) || address_refused(&list->v[i]))
			continue;
		if (address_wire(out, &list->v[i]) && out->n - begin <= ALIAS_MATCH_MAX)
			return true;
		out->n = begin;
	}
	return false;
}

/* Display text without its quotes (unless they were taken off before), folds and runs of
 * blanks. False when that leaves nothing, or more than a rule may hold. */
static bool
plain_text(struct span raw, bool quotes, struct buf *out)
{
	size_t begin = out->n;
	bool blank = false, quoted = false;

	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (quotes && quoted && c == '\\' && i + 1 < raw.n) {
			c = raw.p[++i];
		} else if (quotes && c == '"') {
			quoted = !quoted;
			continue;
		}
		if ((unsigned char)c <= ' ' || c == 0x7f) {
			blank = out->n > begin;
			continue;
		}
		if ((blank && !buf_addc(out, ' ')) || !buf_addc(out, c))
			return false;
		blank = false;
	}
	return out->n > begin && out->n - begin <= ALIAS_MATCH_MAX;
}

static bool
has_encoded_word(struct span text)
{
	for (size_t i = 0; i + 1 < text.n; i++) {
		if (text.p[i] == '=' && text.p[i + 1] == '?')
			return true;
	}
	return false;
}

static enum unrouted_kind
text_of(const struct address *a, struct buf *out)
{
	size_t begin = out->n;
	bool bare = a->text.n == 0 && a->kind == ADDRESS_NAME;
	struct span text = bare ? a->local : a->text;

	if (text.n == 0)
		text = a->raw;
	if (!plain_text(text, !bare, out)) {
		out->n = begin;
		return UNROUTED_NOTHING;
	}
	if (has_encoded_word(text)) {
		out->n = begin;
		return UNROUTED_ENCODED;
	}
	return UNROUTED_TEXT;
}

enum unrouted_kind
unrouted_match(struct span header, const struct domains *served, struct buf *out)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(MEMORY);
	struct address_list list, to;
	struct header_scan scan;
	struct header_field f;
	size_t begin = out->n;

	if (list_id(header, out))
		return UNROUTED_LIST;
	out->n = begin;
	address_list_init(&list, &a, MEMBERS);
	address_list_init(&to, &a, MEMBERS);
	header_scan_init(&scan, header);
	while (header_next(&scan, &f)) {
		if (f.kind != HEADER_FIELD)
			continue;
		if (header_is(&f, SPAN("To")))
			address_read(&to, f.body);
		if (header_is(&f, SPAN("To")) || header_is(&f, SPAN("Cc")))
			address_read(&list, f.body);
	}
	if (foreign(&list, served, out))
		return UNROUTED_RECIPIENT;
	return to.n > 0 ? text_of(&to.v[0], out) : UNROUTED_NOTHING;
}

const char *
unrouted_kind_words(enum unrouted_kind kind)
{
	switch (kind) {
	case UNROUTED_LIST:
		return "whose List-Id is";
	case UNROUTED_RECIPIENT:
		return "with this address in To or Cc:";
	case UNROUTED_TEXT:
		return "with this text in To or Cc:";
	case UNROUTED_NOTHING:
	case UNROUTED_ENCODED:
		break;
	}
	return "that matches";
}
