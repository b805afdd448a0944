/* retime: mail that waits is due earlier than it was put off to. A clock that was set back
 * would hold it for as long as it was ahead; a policy that has a domain again has what waited
 * for it (left.c) go on. */
#include "retime.h"

static void
retimed(void *host, struct store_job *job)
{
	struct retime *t = host;

	t->busy = false;
	/* What failed was told with the job; the next start, or its schedule, has it. */
	if (job->result == STORE_DONE && t->job.changed > 0)
		dispatch_refresh(t->d);
	if (t->again)
		retime_by(t, t->latest_ms);
}

void
retime_init(struct retime *t, struct dispatch *d, struct span hop)
{
	*t = (struct retime){ .d = d, .hop = hop };
}

void
retime_by(struct retime *t, int64_t latest_ms)
{
	t->latest_ms = latest_ms;
	t->again = t->busy;
	if (t->busy)
		return;
	t->busy = true;
	t->job = (struct retiming){
		.job = { .work = STORE_RETIME, .done = retimed, .host = t },
		.hop = t->hop,
		.latest_ms = latest_ms
	};
	list_init(&t->job.job.link);
	jobs_add(t->d->all.hub->jobs, &t->job.job);
}
