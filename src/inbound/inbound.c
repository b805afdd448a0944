/* inbound: the door of this room. Those who bring mail, clients and files, begin and end
 * together. */
#include <stdlib.h>

#include "pickups.h"
#include "session.h"

struct inbound *
inbound_new(const struct inbound_options *o, struct err *err)
{
	struct inbound *in = calloc(1, sizeof(*in));

	if (!in)
		abort();
	in->hub = o->hub;
	in->queued = o->queued;
	in->host = o->host;
	in->loop_key = o->loop_key;
	list_init(&in->sessions);
	list_init(&in->dirty);
	clients_init(&in->clients);
	in->pickups = pickups_new(in, err);
	if (!in->pickups || !listen_begin(in, o, err)) {
		inbound_free(in);
		return NULL;
	}
	return in;
}

void
inbound_start(struct inbound *in)
{
	pickups_start(in->pickups);
}

void
inbound_stop(struct inbound *in)
{
	listen_end(in);
	LIST_EACH (link, &in->sessions)
		session_end(LIST_ITEM(link, struct session, link),
				SMTP_REFUSE_SHUTDOWN);
	pickups_leave(in->pickups);
}

void
inbound_join(struct inbound *in)
{
	if (in)
		pickups_stop(in->pickups);
}

void
inbound_free(struct inbound *in)
{
	if (!in)
		return;
	pickups_free(in->pickups);
	listen_end(in);
	LIST_EACH (link, &in->sessions)
		session_free(LIST_ITEM(link, struct session, link));
	clients_done(&in->clients);
	free(in);
}

static bool
sessions_quiet(const struct inbound *in)
{
	LIST_EACH (link, &in->sessions)
		if (!LIST_ITEM(link, struct session, link)->closing)
			return false;
	return true;
}

bool
inbound_quiet(const struct inbound *in)
{
	return sessions_quiet(in) && pickups_quiet(in->pickups);
}

unsigned
inbound_internal(const struct inbound *in)
{
	return (unsigned)in->n_internal;
}

size_t
inbound_sessions(const struct inbound *in)
{
	return in->n;
}

/* ---- what the store answered ---- */

void
inbound_flush(struct inbound *in)
{
	if (!in)
		return; /* it never came to be */
	LIST_EACH (link, &in->dirty) {
		struct session *s = LIST_ITEM(link, struct session, dirty);

		list_del(link);
		if (session_settle(s))
			session_resume(s);
	}
	if (in->full && in->pending < PENDING_MAX / 2) {
		in->full = false;
		LIST_EACH (link, &in->sessions)
			session_resume(LIST_ITEM(link, struct session, link));
	}
}

/* ---- time ---- */

void
inbound_tick(struct inbound *in)
{
	int64_t now = loop_now_ms(in->hub->loop);

	listen_tick(in);
	LIST_EACH (link, &in->sessions)
		session_tick(LIST_ITEM(link, struct session, link), now);
}
