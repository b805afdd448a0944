/* err, verdict: the two kinds of failure, kept apart.
 *
 * struct err is what went wrong here, on this machine. struct verdict is what
 * became of one recipient; it is a result and never an error of ours. */
#ifndef POSTERN_ERR_H
#define POSTERN_ERR_H

#include <stdbool.h>

#include "postern/event_id.h"

struct err {
	int event; /* enum event_id: what it will be logged under; EVENT_NONE: none yet */
	char text[240]; /* complete: may be shown as it is */
};

/* Fills *e (NULL: nobody wants to know) and returns false, so that a function
 * can end with `return err_set(...)`. Text past the end is cut. */
bool err_set(struct err *e, int event, const char *fmt, ...)
		__attribute__((format(printf, 3, 4)));
/* The same with ": " and the words of errno value `no` behind the text. */
bool err_errno(struct err *e, int event, int no, const char *fmt, ...)
		__attribute__((format(printf, 4, 5)));

/* The words of an errno value, as strerror has them but safe in every thread.
 * Lives for ever, never NULL. */
const char *err_words(int no);

enum fate { FATE_DELIVERED, FATE_DEFERRED, FATE_BOUNCED };

struct verdict {
	enum fate fate;
	int code; /* RFC 5321 reply code; 0 when no server spoke */
	char esc[12]; /* RFC 3463, "2.0.0" */
	char text[512]; /* the reply as it came, one line, or our own words */
};

/* A verdict with its words; text past the end is cut. */
struct verdict verdict_make(enum fate fate, int code, const char *esc, const char *fmt,
		...) __attribute__((format(printf, 4, 5)));

#endif
