/* outbound: the door of this room. */
#include "postern/outbound.h"

#include <stdlib.h>

#include "dispatch.h"
#include "left.h"
#include "local.h"
#include "notice.h"
#include "retime.h"

#include "postern/clock.h"

struct outbound {
	struct hub *hub;
	struct dispatch dispatch;
	struct local *local;
	struct retime all, left; /* of everything; of what waits for a policy */
};

struct outbound *
outbound_new(struct hub *hub, struct err *err)
{
	struct outbound *o = calloc(1, sizeof(*o));

	if (!o)
		abort();
	o->hub = hub;
	dispatch_init(&o->dispatch, hub);
	retime_init(&o->all, &o->dispatch, (struct span){ NULL, 0 });
	retime_init(&o->left, &o->dispatch, SPAN(HOP_LEFT));
	o->local = o->dispatch.all.local = local_new(hub, err);
	if (!o->local) {
		outbound_free(o);
		return NULL;
	}
	return o;
}

void
outbound_start(struct outbound *o)
{
	dispatch_start(&o->dispatch);
	retime_by(&o->left, clock_wall_ms());
}

void
outbound_stop(struct outbound *o)
{
	dispatch_stop(&o->dispatch);
}

void
outbound_join(struct outbound *o)
{
	if (!o)
		return;
	local_free(o->local);
	o->local = o->dispatch.all.local = NULL;
}

void
outbound_shut(struct outbound *o)
{
	if (o)
		dispatch_shut(&o->dispatch);
}

bool
outbound_end(struct outbound *o, struct err *err)
{
	return settle_end(&o->dispatch.all.settling, err);
}

void
outbound_free(struct outbound *o)
{
	if (!o)
		return;
	outbound_join(o);
	dispatch_done(&o->dispatch);
	free(o);
}

/* ---- what changes ---- */

void
outbound_queued(struct outbound *o, struct span hop)
{
	dispatch_nudge(&o->dispatch, hop);
}

void
outbound_refresh(struct outbound *o)
{
	dispatch_refresh(&o->dispatch);
}

void
outbound_reconsider(struct outbound *o)
{
	dispatch_reconsider(&o->dispatch);
	retime_by(&o->left, clock_wall_ms());
}

void
outbound_renew(struct outbound *o)
{
	settling_renew(&o->dispatch.all.settling);
}

void
outbound_retime(struct outbound *o)
{
	retime_by(&o->all,
			retry_latest(&o->dispatch.all.settling.retry, clock_wall_ms()));
}

void
outbound_tidy(struct outbound *o)
{
	local_tidy(o->local);
}

void
outbound_tick(struct outbound *o)
{
	struct settling *s = &o->dispatch.all.settling;

	if (!o->hub->stopping) {
		dispatch_tick(&o->dispatch);
		local_tick(o->local);
		notices_tick(s);
	}
	if (!list_empty(&s->unsettled))
		settle_tick(s);
}

/* ---- what is asked ---- */

bool
outbound_quiet(const struct outbound *o)
{
	return o->dispatch.all.leases == 0 && local_quiet(o->local);
}

size_t
outbound_leases(const struct outbound *o)
{
	return o->dispatch.all.leases;
}

bool
outbound_unsettled(const struct outbound *o)
{
	return !list_empty(&o->dispatch.all.settling.unsettled);
}

bool
outbound_nothing_due(struct outbound *o)
{
	return dispatch_nothing_due(&o->dispatch);
}

bool
outbound_disconnected(const struct outbound *o)
{
	return o->dispatch.all.sessions == 0;
}

int64_t
outbound_wait(const struct outbound *o, int64_t most)
{
	return dispatch_wait(&o->dispatch, most);
}
