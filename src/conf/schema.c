#include "postern/conf_rows.h"
#include "postern/enc.h"
#include "rows.h"

/* Writes the schema; after the first add that does not fit, nothing more. */
struct writer {
	struct buf *out;
	bool ok;
};

static void
put(struct writer *w, const char *text)
{
	w->ok = w->ok && buf_add(w->out, span_of(text));
}

static void
put_json(struct writer *w, const char *text)
{
	w->ok = w->ok && enc_json(w->out, span_of(text));
}

static void put_section(struct writer *w, const struct section *s);

static void
put_secret(struct writer *w)
{
	put(w,
			"\"type\":\"object\",\"additionalProperties\":false,\"minProperties\":1,\"maxProperties\":1,"
			"\"properties\":{\"file\":{\"type\":\"string\"},\"env\":{\"type\":\"string\"},"
			"\"command\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"string\"}},"
			"\"credential\":{\"type\":\"string\"},\"value\":{\"type\":\"string\"}}");
}

static void
put_words(struct writer *w, const struct word *words)
{
	bool first = true;

	put(w, "\"enum\":[");
	for (; words->name; words++) {
		if (words->later)
			continue;
		put(w, first ? "" : ",");
		put_json(w, words->name);
		first = false;
	}
	put(w, "]");
}

static void
put_bounds(struct writer *w, const struct row *row)
{
	if (row->kind == ROW_COUNT && !(row->flags & ROW_LIST))
		w->ok = w->ok &&
				buf_addf(w->out, ",\"minimum\":%llu,\"maximum\":%llu",
						(unsigned long long)row->least,
						(unsigned long long)row->most);
	if (row->kind == ROW_TEXT && !(row->flags & ROW_LIST))
		w->ok = w->ok &&
				buf_addf(w->out,
						",\"minLength\":%llu,\"maxLength\":%llu",
						(unsigned long long)row->least,
						(unsigned long long)row->most);
}

/* The schema of one value of the row's kind, without its braces. */
static void
put_value(struct writer *w, const struct row *row)
{
	switch ((int)row->kind) {
	case ROW_WORD:
		put_words(w, row->words);
		break;
	case ROW_SECRET:
		put_secret(w);
		break;
	case ROW_ENVELOPE:
		put(w, "\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"string\"}}]");
		break;
	case ROW_TEMPLATE:
		put(w,
				"\"anyOf\":[{\"type\":\"string\",\"pattern\":\"@\"},{\"type\":\"object\",\"additionalProperties\":false,"
				"\"required\":[\"primary\"],\"properties\":{\"primary\":{\"type\":\"string\",\"pattern\":\"@\"}}}]");
		break;
	case ROW_GROUP:
		if (row->section->shorthand) {
			put(w, "\"anyOf\":[{");
			put(w, kinds[row->section->rows[0].kind].json);
			put(w, "},{");
		}
		put_section(w, row->section);
		put(w, row->section->shorthand ? "}]" : "");
		break;
	case ROW_MAP:
		put(w, "\"type\":[\"object\",\"null\"],\"additionalProperties\":{");
		put_section(w, row->section);
		put(w, "}");
		break;
	default:
		put(w, kinds[row->kind].json);
		break;
	}
	put_bounds(w, row);
}

static void
put_default(struct writer *w, const struct row *row)
{
	struct span rest = span_of(row->preset);

	put(w, ",\"default\":");
	if (row->flags & ROW_LIST) {
		put(w, "[");
		while (w->ok && rest.n > 0) {
			w->ok = enc_json(w->out, span_trim(span_until(&rest, ',')));
			put(w, rest.n > 0 ? "," : "");
		}
		put(w, "]");
	} else if (row->kind == ROW_BOOL || row->kind == ROW_COUNT) {
		put(w, row->preset);
	} else {
		put_json(w, row->preset);
	}
}

static void
put_row(struct writer *w, const struct row *row)
{
	put_json(w, row->name);
	put(w, ":{\"description\":");
	if (row->flags & ROW_LATER) {
		struct buf says = BUF_MAX(1000);
		w->ok = w->ok &&
				buf_addf(&says, "%s Not available yet in this version.",
						row->says) &&
				enc_json(w->out, buf_span(&says));
		buf_done(&says);
		put(w, ",\"not\":{}}");
		return;
	}
	put_json(w, row->says);
	put(w, ",");
	if (row->flags & ROW_LIST) {
		w->ok = w->ok &&
				buf_addf(w->out,
						"\"anyOf\":[{\"type\":\"array\",\"minItems\":%llu,\"maxItems\":%llu,\"items\":{",
						(unsigned long long)row->least,
						(unsigned long long)row->most);
		put_value(w, row);
		put(w, "}},{"); /* one value stands for a list of one */
		put_value(w, row);
		put(w, "}]");
	} else {
		put_value(w, row);
	}
	if (row->preset)
		put_default(w, row);
	put(w, "}");
}

/* Goes down the table, not any input. */
static void
put_section(struct writer *w, const struct section *s)
{
	bool first = true;

	put(w, "\"type\":[\"object\",\"null\"],\"additionalProperties\":false,\"properties\":{");
	for (const struct row *row = s->rows; row->name; row++) {
		put(w, row == s->rows ? "\n" : ",\n");
		put_row(w, row);
	}
	put(w, "}");
	for (const struct row *row = s->rows; row->name; row++) {
		if (!(row->flags & ROW_REQUIRED))
			continue;
		put(w, first ? ",\"required\":[" : ",");
		put_json(w, row->name);
		first = false;
	}
	put(w, first ? "" : "]");
}

bool
conf_schema_print(struct buf *out)
{
	struct writer w = { .out = out, .ok = true };

	put(&w, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"Postern configuration\",\n");
	put_section(&w, &conf_section);
	put(&w, "}\n");
	return w.ok;
}
