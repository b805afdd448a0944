#include "postern/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool
err_set(struct err *e, int event, const char *fmt, ...)
{
	if (!e)
		return false;

	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	e->event = event;
	return false;
}

bool
err_errno(struct err *e, int event, int no, const char *fmt, ...)
{
	if (!e)
		return false;

	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	e->event = event;

	size_t n = strlen(e->text);
	(void)snprintf(e->text + n, sizeof(e->text) - n, ": %s", err_words(no));
	return false;
}

const char *
err_words(int no)
{
	const char *words = strerrordesc_np(no);

	return words ? words : "unknown error";
}

struct verdict
verdict_make(enum fate fate, int code, const char *esc, const char *fmt, ...)
{
	struct verdict v = { .fate = fate, .code = code };
	va_list ap;

	(void)snprintf(v.esc, sizeof(v.esc), "%s", esc);
	va_start(ap, fmt);
	(void)vsnprintf(v.text, sizeof(v.text), fmt, ap);
	va_end(ap);
	return v;
}
