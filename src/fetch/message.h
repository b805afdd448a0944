/* message: one message on its way from the provider to the relay. */
#ifndef FETCH_MESSAGE_H
#define FETCH_MESSAGE_H

#include "postern/header.h"
#include "session.h"

struct reading {
	struct pop_session *s;
	size_t i; /* its place in the listing */
	struct header_end end;
	uint64_t octets;
	struct span key; /* what its origin is called, where that is not pop_key */
	bool decided;
	bool begun;
	bool replaced; /* the server put a notice of its own in its place (replaced.c) */
	bool drop; /* it is here already: its bytes lead nowhere */
	bool doubt; /* here already, if it turns out to have the size it had then */
	struct fetch_flight *flight;
};

/* identity.c: finds out which message it is; `drop` when it is here already. Needs the
 * header. False: the session is over. */
bool reading_name(struct reading *r);
/* It is whole and was in doubt: is it here already after all? Then nothing of it counts. */
bool reading_is_known(struct reading *r);
/* size.c: is it as long as LIST says, as far as that can be believed? */
enum reading_size {
	SIZE_FITS,
	SIZE_AGAIN, /* short of it: it is asked for again in this session */
	SIZE_SHORT, /* and it will not come better: another time */
};
enum reading_size reading_size(struct reading *r);
/* The header in s->head is all there is (open: all that is looked at): decides who gets
 * it and begins to hand it over. */
bool reading_decide(struct reading *r, bool open);
/* More of it for the relay. */
bool reading_add(struct reading *r, struct span bytes);
/* replaced.c: is what has come of it, its header and `start`, a notice of the server? */
bool reading_replaced(const struct reading *r, struct span start);
/* That was all of it. */
bool reading_end(struct reading *r);
/* held.c: it is the last one that ended; whether it was whole is still to be seen. */
void reading_ended(const struct reading *r);
/* Its end waits for that (pop_in_step). */
void reading_hold(const struct reading *r);
/* What the relay has of it is thrown away; those before it are answered first. Gives
 * false to return. */
bool reading_give_up(struct reading *r, const char *why);

#endif
