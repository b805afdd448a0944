/* jobs: what goes to the store thread, and what comes back from it. */
#include "postern/jobs.h"

#include <stdlib.h>

struct jobs {
	struct store_port *port;
	const struct jobs_calls *calls;
	void *host;
	struct list out; /* not handed over yet */
	struct loop_wake *bell;
	struct loop_timer *flush;
	size_t under_way;
	bool closing; /* the store has ended: nothing is taken any more */
};

static void
ring(void *arg)
{
	struct jobs *j = arg; /* on the store thread: the bell is all it may touch */

	loop_wake(j->bell);
}

/* Nothing is logged about it: nobody was promised anything. */
static void
not_taken(struct store_job *job)
{
	job->result = STORE_FAILED;
	err_set(&job->err, 0, "the relay is stopping");
	job->done(job->host, job);
}

static void
take_back(struct jobs *j)
{
	struct list done;

	list_init(&done);
	store_port_take(j->port, &done);
	LIST_EACH (link, &done) {
		struct store_job *job = LIST_ITEM(link, struct store_job, link);

		list_del(link);
		j->under_way--;
		j->calls->result(j->host, job);
		job->done(job->host, job);
	}
	j->calls->batch_over(j->host);
}

static void
woken(void *host)
{
	struct jobs *j = host;

	take_back(j);
	jobs_flush(j);
}

static void
flush_due(void *host)
{
	jobs_flush(host);
}

struct jobs *
jobs_new(struct loop *loop, struct store *s, const struct jobs_calls *calls, void *host)
{
	struct jobs *j = calloc(1, sizeof(*j));

	if (!j)
		abort();
	j->calls = calls;
	j->host = host;
	list_init(&j->out);
	j->bell = loop_wake_new(loop, woken, j);
	j->flush = loop_timer_new(loop, flush_due, j);
	j->port = store_port_new(s, ring, j);
	return j;
}

void
jobs_free(struct jobs *j)
{
	if (!j)
		return;
	j->closing = true;
	take_back(j);
	LIST_EACH (link, &j->out) {
		struct store_job *job = LIST_ITEM(link, struct store_job, link);

		list_del(link);
		j->under_way--;
		not_taken(job);
	}
	store_port_free(j->port);
	loop_timer_free(j->flush);
	loop_wake_free(j->bell);
	free(j);
}

void
jobs_add(struct jobs *j, struct store_job *job)
{
	if (j->closing) {
		not_taken(job);
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
		store_port_submit(j->port, &j->out);
}

size_t
jobs_under_way(const struct jobs *j)
{
	return j->under_way;
}
