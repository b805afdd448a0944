/* jobs: what goes to the store thread, and what comes back.
 *
 * One port for the whole loop thread. Jobs are handed over in batches, one per
 * callback that made any, so that the store can commit them as one group. */
#include <stdlib.h>

#include "room.h"

struct jobs {
	struct relay *r;
	struct list out; /* not handed over yet */
	struct loop_wake *bell;
	struct loop_timer *flush;
	size_t under_way; /* added and not back */
	bool closing; /* the store has ended: nothing is taken any more */
};

static void
ring(void *arg)
{
	struct jobs *j = arg; /* on the store thread: the bell is all it may touch */

	loop_wake(j->bell);
}

static void
job_back(struct relay *r, struct store_job *job)
{
	struct mail *m;

	switch (job->work) {
	case STORE_SUBMIT:
		m = (struct mail *)LIST_ITEM(job, struct submission, job);
		if (m->picked)
			pickups_done(r->pickups, m);
		else
			inbound_done(r->inbound, m);
		break;
	case STORE_SETTLE:
		settle_done(r, LIST_ITEM(job, struct settlement, job));
		break;
	case STORE_DIGEST:
		notices_digested(r, LIST_ITEM(job, struct notice_digest, job));
		break;
	case STORE_ORIGINS:
		if (!pickups_unclaimed(job))
			control_done(r->control, job);
		break;
	case STORE_RETIME:
		clockwatch_done(r, LIST_ITEM(job, struct retiming, job));
		break;
	case STORE_POLLED:
	case STORE_PRUNE:
		control_done(r->control, job);
		break;
	}
}

static void
not_taken(struct jobs *j, struct store_job *job)
{
	job->result = STORE_FAILED;
	err_set(&job->err, 0, "the relay is stopping"); /* told to nobody */
	job_back(j->r, job);
}

static void
take_back(struct jobs *j)
{
	struct list done;

	list_init(&done);
	store_port_take(j->r->port, &done);
	LIST_EACH (link, &done) {
		struct store_job *job = LIST_ITEM(link, struct store_job, link);

		list_del(link);
		j->under_way--;
		health_job(j->r, job);
		job_back(j->r, job);
	}
	health_look(j->r);
	inbound_flush(j->r->inbound);
}

static void
woken(void *host)
{
	struct jobs *j = host;

	take_back(j);
	jobs_flush(j);
	relay_look_done(j->r);
}

static void
flush_due(void *host)
{
	jobs_flush(host);
}

struct jobs *
jobs_new(struct relay *r, struct err *err)
{
	struct jobs *j = calloc(1, sizeof(*j));

	if (!j)
		abort();
	j->r = r;
	list_init(&j->out);
	j->bell = loop_wake_new(r->loop, woken, j);
	j->flush = loop_timer_new(r->loop, flush_due, j);
	r->port = store_port_new(r->store, ring, j);
	if (!r->port) {
		err_set(err, 9005, "no port to the store");
		jobs_free(j);
		return NULL;
	}
	return j;
}

void
jobs_free(struct jobs *j)
{
	if (!j)
		return;
	if (j->r->port) {
		/* The store thread has ended: what it did is told; what it was not given
		 * fails, since nobody was promised anything. */
		j->closing = true;
		take_back(j);
		LIST_EACH (link, &j->out) {
			struct store_job *job = LIST_ITEM(link, struct store_job, link);

			list_del(link);
			j->under_way--;
			not_taken(j, job);
		}
		store_port_free(j->r->port);
		j->r->port = NULL;
	}
	loop_timer_free(j->flush);
	loop_wake_free(j->bell);
	free(j);
}

void
jobs_add(struct jobs *j, struct store_job *job)
{
	if (j->closing) {
		not_taken(j, job);
		return;
	}
	list_add(&j->out, &job->link);
	j->under_way++;
	if (!loop_timer_pending(j->flush))
		loop_timer_set(j->flush, 0);
}

void
jobs_flush(struct jobs *j)
{
	if (!list_empty(&j->out))
		store_port_submit(j->r->port, &j->out);
}

size_t
jobs_under_way(const struct jobs *j)
{
	return j->under_way;
}
