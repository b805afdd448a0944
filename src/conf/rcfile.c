#include "postern/rcfile.h"

#include <stdlib.h>
#include <string.h>

#include "rc.h"

enum {
	ARENA_LIMIT = 512 * 1024 *
			1024 /* more than RC_TEXT_MAX of text can fill, see rc.h */
};

struct rc_file *
rcfile_parse(const struct rc_source *src, struct rc_fault *fault)
{
	static bool (*const readers[])(struct rc_reader *) = {
		[RC_FETCHMAIL] = rc_fetchmail,
		[RC_GETMAIL] = rc_getmail,
		[RC_MPOP] = rc_mpop,
	};
	struct rc_file *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->arena = ARENA_MAX(ARENA_LIMIT);
	struct rc_reader r = {
		.file = f, .text = src->text, .domain = src->domain, .fault = fault
	};
	map_init(&r.names, 0, 0);

	bool ok;
	const char *nul =
			src->text.n > 0 ? memchr(src->text.p, '\0', src->text.n) : NULL;
	if (src->text.n > RC_TEXT_MAX) {
		ok = rc_fault_at(&r, (struct conf_mark){ 1, 1 }, "longer than %d bytes",
				RC_TEXT_MAX);
	} else if (nul) {
		struct conf_mark at = { 1, 1 };
		for (const char *p = src->text.p; p < nul; p++) {
			at.column = *p == '\n' ? 1 : at.column + 1;
			at.line += *p == '\n';
		}
		ok = rc_fault_at(&r, at, "a NUL byte: this is no text");
	} else {
		ok = readers[src->format](&r);
	}
	map_done(&r.names);
	if (!ok) {
		rcfile_free(f);
		return NULL;
	}
	f->notes = r.notes.first;
	return f;
}

void
rcfile_free(struct rc_file *f)
{
	if (!f)
		return;
	for (struct rc_account *a = f->accounts; a; a = a->next) {
		/* Kept once and shared where it is inherited: written here all the same. */
		if (a->password)
			explicit_bzero((char *)(uintptr_t)a->password,
					strlen(a->password));
	}
	arena_done(&f->arena);
	free(f);
}
