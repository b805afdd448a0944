#include <string.h>

#include "postern/conf_load.h"
#include "postern/enc.h"
#include "postern/must.h"

enum { FAULT_TEXT_MAX = 600 };

void
conf_faults_init(struct conf_faults *f)
{
	memset(f, 0, sizeof(*f));
	/* Three texts a fault, each escaped: four bytes for one at worst. */
	f->arena = ARENA_MAX((size_t)CONF_FAULTS_MAX * 3 * (FAULT_TEXT_MAX * 4 + 64));
}

void
conf_faults_done(struct conf_faults *f)
{
	arena_done(&f->arena);
	f->n = f->errors = f->more = 0;
}

/* A copy that is safe to print on one line. */
static const char *
kept(struct conf_faults *f, const char *text)
{
	struct buf plain = BUF_MAX(FAULT_TEXT_MAX * 4 + 8);
	struct span s = span_first(span_of(text), FAULT_TEXT_MAX);

	/* Text with a backslash of our own (an escape we made) stays readable. */
	bool fits = enc_plain(&plain, s);
	MUST(fits);
	char *copy = arena_str(&f->arena, buf_span(&plain));
	MUST(copy);
	buf_done(&plain);
	return copy;
}

void
conf_faults_add(struct conf_faults *f, const struct conf_fault *fault)
{
	if (!fault->warning)
		f->errors++;
	if (f->n == CONF_FAULTS_MAX) {
		f->more++;
		return;
	}
	struct conf_fault *to = &f->list[f->n++];
	*to = *fault;
	/* One file is named by many faults in a row. */
	const char *same = f->n > 1 ? to[-1].file : NULL;
	const char *file = fault->file ? fault->file : "";
	to->file = same && strcmp(same, file) == 0 ? same : kept(f, file);
	to->text = kept(f, fault->text);
	to->hint = fault->hint ? kept(f, fault->hint) : NULL;
	to->account = fault->account ? kept(f, fault->account) : NULL;
	to->domain = fault->domain ? kept(f, fault->domain) : NULL;
}

bool
conf_fault_print(const struct conf_fault *fault, struct buf *out)
{
	const char *level = fault->warning ? "warning" : "error";
	bool ok;

	if (fault->mark.line > 0)
		ok = buf_addf(out, "%s:%u:%u: %s: %s", fault->file, fault->mark.line,
				fault->mark.column, level, fault->text);
	else
		ok = buf_addf(out, "%s: %s: %s", fault->file, level, fault->text);
	if (ok && fault->event)
		ok = buf_addf(out, " (event %d)", fault->event);
	ok = ok && buf_addc(out, '\n');
	if (ok && fault->hint)
		ok = buf_addf(out, "    hint: %s\n", fault->hint);
	return ok;
}
