#include "record.h"

#include <inttypes.h>

#include "postern/date.h"
#include "postern/enc.h"

/* `id` is the event's number in JSON, so the trace id goes by another name. */
static struct span
json_name(const struct field *f)
{
	struct span name = span_of(f->name);

	return span_eq(name, SPAN("id")) ? SPAN("trace") : name;
}

static bool
add_json_field(struct buf *out, const struct field *f)
{
	if (!buf_addc(out, ',') || !enc_json(out, json_name(f)) || !buf_addc(out, ':'))
		return false;
	return f->kind == FIELD_NUM ? buf_addf(out, "%" PRId64, f->num)
				    : enc_json(out, f->text);
}

bool
record_json(struct buf *out, const struct record *r)
{
	char when[DATE_ISO_SIZE];

	date_iso(r->time_ms, when);
	if (!buf_addf(out, "{\"time\":\"%s\",\"id\":%d,\"level\":%u,\"severity\":\"%c\",\"name\":\"%s\"",
			    when, r->event->id, r->level, r->severity,
			    r->event->name) ||
			!buf_add(out, SPAN(",\"text\":")) || !enc_json(out, r->words))
		return false;
	for (const struct field *f = r->fields; f->kind != FIELD_END; f++) {
		if (!add_json_field(out, f))
			return false;
	}
	return buf_add(out, SPAN("}\n"));
}

/* A value that cannot be taken for another one: no spaces, no '=' of its own. */
static bool
add_value(struct buf *out, struct span value)
{
	AUTO(buf_done) struct buf tame = BUF_MAX(4096);

	if (value.n == 0)
		return buf_addc(out, '-');
	if (!enc_plain(&tame, span_first(value, 512)))
		return false;
	for (size_t i = 0; i < tame.n; i++) {
		char c = tame.p[i];
		bool ok = c == ' '	   ? buf_add(out, SPAN("\\x20"))
				: c == '=' ? buf_add(out, SPAN("\\x3d"))
					   : buf_addc(out, c);
		if (!ok)
			return false;
	}
	return true;
}

bool
journal_print(struct buf *out, const struct journal_entry *e)
{
	char when[DATE_ISO_SIZE];
	struct span words = e->text;
	bool first = true;

	date_iso(e->time_ms, when);
	if (!buf_addf(out, "%s %c%u event=%d account=", when, e->severity, e->level,
			    e->id) ||
			!add_value(out, e->account) || !buf_add(out, SPAN(" id=")) ||
			!add_value(out, e->trace) || !buf_addc(out, ' '))
		return false;
	while (words.n > 0) {
		struct span line = span_until(&words, '\n');
		if ((!first && !buf_add(out, SPAN("  "))) || !buf_add(out, line) ||
				!buf_addc(out, '\n'))
			return false;
		first = false;
	}
	return true;
}

static struct span
text_of(const struct field *fields, const char *name)
{
	for (const struct field *f = fields; f->kind != FIELD_END; f++) {
		if (f->kind == FIELD_TEXT && span_eq(span_of(f->name), span_of(name)))
			return f->text;
	}
	return SPAN("");
}

bool
record_text(struct buf *out, const struct record *r)
{
	const struct journal_entry e = {
		.time_ms = r->time_ms,
		.id = r->event->id,
		.severity = r->severity,
		.level = r->level,
		.text = r->words,
		.account = text_of(r->fields, "account"),
		.trace = text_of(r->fields, "id"),
	};

	return journal_print(out, &e);
}
