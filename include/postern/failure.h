/* failure: what the postmaster is told when collected mail could not be delivered
 * (RECIPIENTS.md E9): a message in words, with the header of the other one attached.
 *
 * Its sender is never told: collected mail causes no report to the outside. The notice
 * has the null sender, Auto-Submitted (RFC 3834), and X-Postern-Notice, by which this
 * gateway knows its own when one comes back. Bytes from outside that are no text are
 * escaped; of many recipients or a long header only the first are printed, so that it
 * fits in FAILURE_NOTICE_MAX. */
#ifndef POSTERN_FAILURE_H
#define POSTERN_FAILURE_H

#include <stdint.h>

#include "postern/buf.h"

enum { FAILURE_NOTICE_MAX = 64 * 1024 };

/* Whom a notice goes from and to. */
struct failure_letter {
	struct span hostname; /* ours */
	struct span from, to; /* addresses */
	struct span id; /* its own queue id, for Message-ID and boundary */
	int64_t at_s;
};

/* One recipient who does not get it. */
struct failure {
	struct span recipient;
	struct span host; /* who said so; empty: nobody, we did */
	struct span reply; /* in its words, with the code */
	struct span tried; /* how long, "48 h 0 min"; empty: it was refused at once */
};

struct failure_report {
	struct span trace; /* the queue id of what failed */
	struct span account; /* where it was collected */
	struct span sender; /* its envelope sender; empty: null */
	const struct failure *v;
	size_t n;
	bool badmail; /* it goes to Badmail; else it stays in the queue */
	struct span header; /* of it; empty: it cannot be read */
};

bool failure_print(struct buf *out, const struct failure_letter *letter,
		const struct failure_report *report)
		__attribute__((warn_unused_result));
/* The notice about notices: `more` were not written since then. */
bool failure_print_more(struct buf *out, const struct failure_letter *letter,
		uint64_t more, int64_t since_s) __attribute__((warn_unused_result));
/* Is this the header of a notice that the gateway of this name wrote? */
bool failure_is_notice(struct span header, struct span hostname);

#endif
