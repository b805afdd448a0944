/* The head of a Pickup file: envelope, and what is no part of the message. */
#include "postern/pickup.h"

#include <stdio.h>
#include <string.h>

#include "postern/address.h"
#include "postern/trace.h"

enum { WORDS_MAX = 80 }; /* of the file's own, in `why` */

/* One file as it is read. */
struct reading {
	struct pickup *out;
	struct arena *arena;
	struct span head;
	bool whole;
	bool has_sender, has_recipients; /* from the X- lines */
	bool resent; /* the header has Resent- fields: they count */
	struct span *recipients;
	size_t cap;
	struct pickup_cut *cuts;
	size_t cuts_cap;
};

static enum pickup_step
bad(struct reading *r, const char *what, struct span words)
{
	struct buf why = { .p = r->out->why,
		.cap = sizeof(r->out->why),
		.max = sizeof(r->out->why) - 1 };

	(void)!buf_addf(&why, "it %s", what);
	(void)!buf_add(&why, span_first(words, WORDS_MAX));
	why.p[why.n] = '\0';
	return PICKUP_BAD;
}

/* Room for one more, by doubling; NULL when the arena is full. */
static void *
grown(struct arena *a, void *old, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return old;

	size_t more = *cap > 0 ? *cap * 2 : 8;
	void *p = arena_alloc(a, more * size);
	if (p && old && n > 0)
		memcpy(p, old, n * size);
	if (p)
		*cap = more;
	return p;
}

static enum pickup_step
add_recipient(struct reading *r, struct span address)
{
	struct pickup *out = r->out;

	if (out->n == PICKUP_RECIPIENTS_MAX)
		return bad(r, "has more than 10000 recipients", SPAN(""));
	struct span *v = grown(r->arena, r->recipients, out->n, &r->cap, sizeof(*v));
	if (!v || !address.p)
		return bad(r, "has an envelope that is too long", SPAN(""));
	r->recipients = v;
	v[out->n++] = address;
	out->recipients = v;
	return PICKUP_ONE;
}

static enum pickup_step
add_cut(struct reading *r, struct span what)
{
	struct pickup *out = r->out;
	uint64_t at = (uint64_t)(what.p - r->head.p);

	if (what.n == 0)
		return PICKUP_ONE;
	if (r->cuts && out->n_cuts > 0) {
		struct pickup_cut *last = &r->cuts[out->n_cuts - 1];

		if (last->at + last->n == at) {
			last->n += what.n;
			return PICKUP_ONE;
		}
	}
	struct pickup_cut *v =
			grown(r->arena, r->cuts, out->n_cuts, &r->cuts_cap, sizeof(*v));
	if (!v)
		return bad(r, "has too many Bcc fields", SPAN(""));
	r->cuts = v;
	v[out->n_cuts++] = (struct pickup_cut){ at, what.n };
	out->cuts = v;
	return PICKUP_ONE;
}

/* ---- addresses ---- */

static bool
has_control(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

/* As it is sent; p is NULL when there is no memory, n 0 when it may not be sent. */
static struct span
wire_of(struct reading *r, const struct address *a)
{
	char room[ADDRESS_SIZE];
	struct buf b = { .p = room, .cap = sizeof(room), .max = sizeof(room) - 1 };

	if (a->kind != ADDRESS_FULL || address_refused(a) || !address_wire(&b, a))
		return (struct span){ "", 0 };
	return arena_dup(r->arena, buf_span(&b));
}

/* Some software writes "To: undisclosed-recipients" without the group's ":;". */
static bool
is_nobody(const struct address *a)
{
	return a->kind != ADDRESS_FULL &&
			span_starts_nocase(span_trim(a->raw), SPAN("undisclosed"));
}

static enum pickup_step
add_list(struct reading *r, struct span body)
{
	struct address_list list;

	address_list_init(&list, r->arena, ADDRESS_LIST_MAX);
	address_read(&list, body);
	if (list.total > list.n)
		return bad(r, "has more than 10000 recipients", SPAN(""));
	for (size_t i = 0; i < list.n; i++) {
		const struct address *a = &list.v[i];
		struct span wire = wire_of(r, a);

		/* RFC 5321 4.5.1: the one local part that may stand alone. */
		if (a->kind == ADDRESS_NAME &&
				span_eq_nocase(a->local, SPAN("postmaster")))
			wire = a->local;
		if (is_nobody(a))
			continue;
		if (wire.p && wire.n == 0)
			return bad(r, "has a recipient that is no address: ",
					span_trim(a->raw));
		if (add_recipient(r, wire) != PICKUP_ONE)
			return PICKUP_BAD;
	}
	return PICKUP_ONE;
}

/* The first address that may stand in an envelope, or nothing. */
static struct span
first_of(struct reading *r, struct span body)
{
	struct span wire = { NULL, 0 };
	struct address_list list;

	address_list_init(&list, r->arena, ADDRESS_LIST_MAX);
	address_read(&list, body);
	for (size_t i = 0; i < list.n && wire.n == 0; i++)
		wire = wire_of(r, &list.v[i]);
	return wire;
}

/* ---- the X- lines ---- */

/* Without the angle brackets around all of it. */
static struct span
unwrapped(struct span s)
{
	s = span_trim(s);
	if (s.n >= 2 && s.p[0] == '<' && s.p[s.n - 1] == '>')
		s = span_trim((struct span){ s.p + 1, s.n - 2 });
	return s;
}

static enum pickup_step
x_sender(struct reading *r, struct span value)
{
	struct span text = unwrapped(value);
	struct address a;

	if (r->has_sender)
		return PICKUP_ONE;
	if (span_trim(value).n == 0)
		return bad(r, "has an X-Sender line without an address", SPAN(""));
	/* As it was spelled, so that it comes back into Drop like that. */
	if (text.n > 0 && !address_parse(r->arena, text, &a)) {
		struct span wire = first_of(r, value);

		if (wire.n > 0)
			text = wire;
		else if (has_control(text))
			return bad(r, "has an X-Sender that is no address: ", text);
	}
	r->out->sender = text;
	r->has_sender = true;
	return PICKUP_ONE;
}

/* One address; several with commas between them are welcome too. What cannot be read
 * here is left to the reader of envelopes, which knows what may be sent. */
static enum pickup_step
x_receiver(struct reading *r, struct span value)
{
	struct span text = unwrapped(value);
	struct address_list list;
	struct address a;

	r->has_recipients = true;
	if (text.n == 0)
		return bad(r, "has an X-Receiver line without an address", SPAN(""));
	if (address_parse(r->arena, text, &a))
		return add_recipient(r, text);
	address_list_init(&list, r->arena, ADDRESS_LIST_MAX);
	address_read(&list, value);
	bool all = list.n > 0;
	for (size_t i = 0; i < list.n && all; i++)
		all = list.v[i].kind == ADDRESS_FULL && !address_refused(&list.v[i]);
	if (all)
		return add_list(r, value);
	if (has_control(text))
		return bad(r, "has an X-Receiver that is no address: ", text);
	return add_recipient(r, text);
}

/* Octets of the block go to *n. */
static enum pickup_step
read_block(struct reading *r, size_t *n)
{
	const struct span sender = SPAN("X-Sender:"), receiver = SPAN("X-Receiver:");

	for (*n = 0;;) {
		struct span line = span_skip(r->head, *n);
		size_t length = span_find(line, '\n');
		bool ended = length < line.n;

		if (!ended && !r->whole && *n + length < PICKUP_BLOCK_MAX)
			return PICKUP_MORE;
		line = span_first(line, length);
		bool is_sender = span_starts_nocase(line, sender);
		if (!is_sender && !span_starts_nocase(line, receiver))
			return PICKUP_ONE;
		if (*n + length >= PICKUP_BLOCK_MAX)
			return bad(r, "has an envelope that is too long", SPAN(""));
		r->out->enveloped = true;
		enum pickup_step step = is_sender
				? x_sender(r, span_skip(line, sender.n))
				: x_receiver(r, span_skip(line, receiver.n));
		if (step != PICKUP_ONE)
			return step;
		*n += length + ended;
	}
}

/* ---- the header ---- */

/* Is it the field of that name, of the fields that count? */
static bool
counts(const struct reading *r, const struct header_field *f, struct span name)
{
	struct span own = f->name;

	if (f->kind != HEADER_FIELD)
		return false;
	if (r->resent) {
		if (!span_starts_nocase(own, SPAN("Resent-")))
			return false;
		own = span_skip(own, 7);
	}
	return span_eq_nocase(own, name);
}

static bool
is_recipients(const struct reading *r, const struct header_field *f)
{
	return counts(r, f, SPAN("To")) || counts(r, f, SPAN("Cc")) ||
			counts(r, f, SPAN("Bcc"));
}

/* RFC 5322 3.6.6: each resending puts its set on top. The first is over at a field of
 * another kind, or where something that comes once comes again. */
struct set {
	bool begun, over;
	bool from, sender, date, id;
};

static bool
again(bool *seen)
{
	bool was = *seen;

	*seen = true;
	return was;
}

static bool
in_set(struct reading *r, struct set *set, const struct header_field *f)
{
	bool resent = f->kind == HEADER_FIELD &&
			span_starts_nocase(f->name, SPAN("Resent-"));

	if (!r->resent)
		return true;
	if (!resent) {
		set->over = set->over || set->begun;
		return false;
	}
	set->begun = true;
	if (counts(r, f, SPAN("From")))
		set->over = set->over || again(&set->from);
	else if (counts(r, f, SPAN("Sender")))
		set->over = set->over || again(&set->sender);
	else if (counts(r, f, SPAN("Date")))
		set->over = set->over || again(&set->date);
	else if (counts(r, f, SPAN("Message-ID")))
		set->over = set->over || again(&set->id);
	return !set->over;
}

static bool
has_resent(struct span message)
{
	struct header_scan s;
	struct header_field f;

	header_scan_init(&s, message);
	while (header_next(&s, &f))
		if (f.kind == HEADER_FIELD &&
				span_starts_nocase(f.name, SPAN("Resent-")))
			return true;
	return false;
}

/* One field of the header, for the recipients. */
static enum pickup_step
field_recipients(struct reading *r, const struct header_field *f, bool in)
{
	bool bcc = header_is(f, SPAN("Bcc")) || header_is(f, SPAN("Resent-Bcc"));

	if (bcc && add_cut(r, f->raw) != PICKUP_ONE)
		return PICKUP_BAD;
	if (!in || !is_recipients(r, f))
		return PICKUP_ONE;
	if (f->cut)
		return bad(r, "has a field of recipients that is too long: ", f->name);
	return add_list(r, f->body);
}

static void
field_lacks(struct reading *r, const struct header_field *f)
{
	if (header_is(f, SPAN("Date")))
		r->out->lacks_date = false;
	if (header_is(f, SPAN("Message-ID")))
		r->out->lacks_id = false;
}

/* Sender, or From as long as there was none. */
static bool
is_author(const struct header_field *f, struct span so_far)
{
	return header_is(f, SPAN("Sender")) ||
			(so_far.n == 0 && header_is(f, SPAN("From")));
}

/* A Resent- field that makes a set of its own; Resent-Bcc alone makes none. */
static bool
resends(const struct header_field *f)
{
	return f->kind == HEADER_FIELD &&
			span_starts_nocase(f->name, SPAN("Resent-")) &&
			!header_is(f, SPAN("Resent-Bcc"));
}

/* What the X- lines did not say. */
static enum pickup_step
read_header(struct reading *r, struct span message)
{
	struct header_scan s;
	struct header_field f;
	struct set set = { 0 };
	/* Of a resending that has nothing but Resent-Bcc the author counts. */
	bool bcc_only = true;
	struct span sender = { NULL, 0 }, from = { NULL, 0 }, author = { NULL, 0 };

	r->resent = has_resent(message);
	r->out->lacks_date = r->out->lacks_id = !r->out->enveloped;
	header_scan_init(&s, message);
	while (header_next(&s, &f)) {
		/* What parts the messages of an mbox file is part of none. */
		if (f.kind == HEADER_MBOX && !r->out->enveloped)
			(void)add_cut(r, f.raw);
		bool in = in_set(r, &set, &f);
		field_lacks(r, &f);
		if (!r->has_recipients && field_recipients(r, &f, in) != PICKUP_ONE)
			return PICKUP_BAD;
		if (in && sender.n == 0 && counts(r, &f, SPAN("Sender")))
			sender = first_of(r, f.body);
		if (in && from.n == 0 && counts(r, &f, SPAN("From")))
			from = first_of(r, f.body);
		bcc_only = bcc_only && !resends(&f);
		if (r->resent && is_author(&f, author))
			author = first_of(r, f.body);
	}
	if (r->has_sender)
		return PICKUP_ONE;
	r->out->sender = sender.n > 0 ? sender
			: from.n > 0  ? from
			: bcc_only    ? author
				      : from;
	if (r->out->sender.n == 0)
		return bad(r, "has no originator: neither X-Sender nor Sender nor From",
				SPAN(""));
	return PICKUP_ONE;
}

/* Our own Received line stands on top, before or behind lines of our own. */
static bool
is_ours(const struct reading *r, struct span message, struct span host)
{
	struct header_scan s;
	struct header_field f;
	struct trace_received t;

	if (!r->has_sender || !r->has_recipients || r->out->text)
		return false;
	header_scan_init(&s, message);
	while (header_next(&s, &f)) {
		if (f.kind == HEADER_FIELD &&
				span_starts_nocase(f.name, SPAN("X-Postern-")))
			continue;
		if (!header_is(&f, SPAN("Received")))
			return false;
		trace_read(f.body, NULL, &t);
		return span_eq_nocase(t.by, host);
	}
	return false;
}

static bool
is_text(struct span head)
{
	size_t lf = span_find(head, '\n');

	return lf < head.n && (lf == 0 || head.p[lf - 1] != '\r');
}

enum pickup_step
pickup_read(struct pickup *out, struct arena *arena, struct span head, bool whole,
		struct span host)
{
	struct reading r = { .out = out, .arena = arena, .head = head, .whole = whole };
	size_t block = 0;

	*out = (struct pickup){ .text = is_text(head) };
	enum pickup_step step = read_block(&r, &block);
	if (step != PICKUP_ONE)
		return step;

	struct span message = span_skip(head, block);
	struct header_end end = { .found = false };
	(void)header_end_feed(&end, span_first(message, HEADER_MAX));
	bool open = !end.found && !(whole && message.n <= HEADER_MAX);
	if (open && message.n < HEADER_MAX)
		return PICKUP_MORE;
	if (add_cut(&r, span_first(head, block)) != PICKUP_ONE)
		return PICKUP_BAD;
	if (!r.has_sender || !r.has_recipients) {
		if (open)
			return bad(&r, "has a header of more than 1 MiB", SPAN(""));
		if (read_header(&r, message) != PICKUP_ONE)
			return PICKUP_BAD;
	}
	if (out->n == 0)
		return bad(&r, "has no recipients", SPAN(""));
	out->ours = is_ours(&r, message, host);
	return PICKUP_ONE;
}
