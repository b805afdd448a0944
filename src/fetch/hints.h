/* hints: what an administrator can do about a session that failed. Dry. */
#ifndef FETCH_HINTS_H
#define FETCH_HINTS_H

#include "postern/buf.h"
#include "postern/conf.h"
#include "postern/dial.h"

/* What was found when the port was asked once more. */
enum hint_port {
	HINT_PORT_UNKNOWN,
	HINT_PORT_CLEAR, /* it greets in clear */
	HINT_PORT_TLS, /* it takes TLS from the first byte */
};

struct hint_fault {
	int event; /* 4002, 4003, 8004... */
	enum dial_end end;
	bool connected; /* TCP was there, and TLS where it is implicit */
	enum hint_port port;
	struct span words; /* of the error, without its event's sentence */
};

/* The sentence for people: the words, and what they are about. */
bool hint_sentence(const struct hint_fault *f, const char *stage, struct buf *out);
/* What to do about it; appends nothing where nobody knows. False: out is full. */
bool hint_for(const struct conf_account *a, const struct hint_fault *f,
		struct buf *out);

#endif
