#include <string.h>

#include "postern/conf_rows.h"
#include "postern/enc.h"
#include "postern/must.h"
#include "rows.h"

struct walk {
	void (*each)(void *host, const struct conf_setting *s);
	void *host;
	struct buf path;
};

static void
setting(struct walk *w, const struct row *row, bool later)
{
	char least[24], most[24];
	struct buf preset = BUF_MAX(400);
	bool number = kinds[row->kind].print != NULL && !(row->flags & ROW_LIST);
	bool list = (row->flags & ROW_LIST) != 0, fits = true;

	if (row->preset)
		fits = buf_addf(&preset, list ? "[ %s ]" : "%s", row->preset);
	MUST(fits);
	if (number) {
		kinds[row->kind].print(row->least, least);
		kinds[row->kind].print(row->most, most);
	}
	w->each(w->host,
			&(struct conf_setting){
					.path = buf_cstr(&w->path),
					.preset = row->preset ? buf_cstr(&preset)
							      : NULL,
					.unit = kinds[row->kind].unit,
					.least = number ? least : NULL,
					.most = number ? most : NULL,
					.says = row->says,
					.required = (row->flags & ROW_REQUIRED) != 0,
					.later = later || (row->flags & ROW_LATER),
			});
	buf_done(&preset);
}

/* Goes down the table, not any input. */
static void
walk(struct walk *w, const struct section *s, bool later)
{
	size_t was = w->path.n;

	for (const struct row *row = s->rows; row->name; row++) {
		bool below = later || (row->flags & ROW_LATER);
		bool fits = buf_addf(&w->path, "%s%s", was > 0 ? "." : "", row->name);
		MUST(fits);
		if (row->section) {
			if (row->kind == ROW_MAP)
				fits = buf_addf(&w->path, ".%s",
						row->section->key_word);
			else if (row->flags & ROW_LIST)
				fits = buf_add(&w->path, SPAN("[]"));
			MUST(fits);
			walk(w, row->section, below);
		} else {
			setting(w, row, below);
		}
		w->path.n = was;
	}
}

void
conf_settings_each(void (*each)(void *host, const struct conf_setting *s), void *host)
{
	struct walk w = { .each = each, .host = host, .path = BUF_MAX(1000) };

	walk(&w, &conf_section, false);
	buf_done(&w.path);
}

struct printer {
	struct buf *out;
	bool ok, json;
	size_t n;
};

static void
print_line(struct printer *p, const struct conf_setting *s)
{
	const char *preset = s->preset ? s->preset
			: s->required  ? "(required)"
				       : "(unset)";

	p->ok = p->ok &&
			buf_addf(p->out, "# %s%s\n# %s", s->says,
					s->later ? " Not available yet in this version."
						 : "",
					s->unit);
	if (s->least)
		p->ok = p->ok && buf_addf(p->out, ", %s to %s", s->least, s->most);
	p->ok = p->ok &&
			buf_addf(p->out, "\n%s%s: %s\n\n", s->later ? "# " : "",
					s->path, preset);
}

static void
print_json(struct printer *p, const struct conf_setting *s)
{
	p->ok = p->ok &&
			buf_add(p->out,
					p->n > 0 ? SPAN(",\n{\"key\":")
						 : SPAN("[{\"key\":")) &&
			enc_json(p->out, span_of(s->path)) &&
			buf_add(p->out, SPAN(",\"default\":"));
	if (s->preset)
		p->ok = p->ok && enc_json(p->out, span_of(s->preset));
	else
		p->ok = p->ok && buf_add(p->out, SPAN("null"));
	p->ok = p->ok && buf_add(p->out, SPAN(",\"unit\":")) &&
			enc_json(p->out, span_of(s->unit)) &&
			buf_add(p->out, SPAN(",\"text\":")) &&
			enc_json(p->out, span_of(s->says)) &&
			buf_addf(p->out, ",\"required\":%s,\"available\":%s}",
					s->required ? "true" : "false",
					s->later ? "false" : "true");
}

static void
print_setting(void *host, const struct conf_setting *s)
{
	struct printer *p = host;

	if (p->json)
		print_json(p, s);
	else
		print_line(p, s);
	p->n++;
}

bool
conf_defaults_print(struct buf *out)
{
	struct printer p = { .out = out, .ok = true };

	conf_settings_each(print_setting, &p);
	return p.ok;
}

bool
conf_defaults_json(struct buf *out)
{
	struct printer p = { .out = out, .ok = true, .json = true };

	conf_settings_each(print_setting, &p);
	return p.ok && buf_add(out, SPAN("]\n"));
}
