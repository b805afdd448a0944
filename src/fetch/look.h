/* look: what a session that only looks has seen, and what becomes of it. */
#ifndef FETCH_LOOK_H
#define FETCH_LOOK_H

#include "session.h"

/* After the listing: notes what the server is like, hands over the unique-ids to who
 * wants them. False with s->err. */
bool look_session(struct pop_session *s);
/* The poll failed, p->result.error is as the session left it: the words are noted,
 * and the hint. */
void look_failed(struct fetch_poll *p);
/* One look, blocking. */
bool look_once(const struct conf *conf, size_t account, const struct fetch_adopter *to,
		struct fetch_result *result, struct fetch_look *look);

#endif
