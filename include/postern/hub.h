/* hub: what the two halves of the relay, inbound and outbound, both stand on. The role makes
 * it and owns what it points to; all of it belongs to the loop thread. What goes to another
 * thread says so where it is handed over. */
#ifndef POSTERN_HUB_H
#define POSTERN_HUB_H

#include "postern/conf.h"
#include "postern/descriptors.h"
#include "postern/directory.h"
#include "postern/dns.h"
#include "postern/jobs.h"
#include "postern/loop.h"
#include "postern/nexthop.h"
#include "postern/pulse.h"
#include "postern/rcpt.h"
#include "postern/store.h"
#include "postern/summary.h"

struct hub {
	/* As it is now: another one may stand here after a callback, so nobody keeps what it
	 * points to. */
	const struct conf *conf;
	const char *state; /* the state directory */
	bool once; /* ends when nothing is left to do */
	bool hold; /* delivers nothing */
	bool stopping; /* the role ends: nothing new is begun */
	struct loop *loop;
	struct store *store;
	struct reader *reader; /* the loop thread's */
	struct jobs *jobs;
	struct dns *dns;
	struct directory *directory;
	const struct policy_set *policies; /* the directory's */
	struct nexthop_table *routes;
	size_t descriptors; /* the limit of this process, */
	struct descriptors share; /* and what it is divided into */
	struct pulse pulse; /* what either half may ask of the role */
	struct relay_summary sum;
};

/* What decides about recipients now; as long-lived as the callback that asks. */
static inline struct rcpt_rules
hub_rules(const struct hub *h)
{
	return (struct rcpt_rules){ .directory = h->directory,
		.routes = h->routes,
		.postmaster = span_of(h->conf->server.postmaster) };
}

#endif
