/* relay: birth, life and end of the role. */
#include "postern/relay.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "room.h"

#include "postern/clock.h"
#include "postern/file.h"
#include "postern/log.h"

enum {
	TICK_MS = 1000, /* while there is work */
	TICK_LEAST_MS = 50,
	REST_MS = 30 * 1000, /* the longest nap of the tick */
	GOODBYE_MS = 300, /* `once`: for the peers' answers to QUIT */
};

/* ---- ending ---- */

static bool
all_quiet(const struct relay *r)
{
	return inbound_quiet(r->inbound) && outbound_quiet(r->outbound) &&
			control_quiet(r->control) && policyload_quiet(r->policyload) &&
			jobs_under_way(r->hub.jobs) == 0;
}

static void
look_done(void *role)
{
	struct relay *r = role;

	/* The loop goes round once more: whoever calls is in the middle of something. */
	if (r->hub.stopping ||
			(r->hub.once && __atomic_load_n(&r->fetched, __ATOMIC_ACQUIRE)))
		loop_timer_set(r->done, 0);
}

static void
done_due(void *host)
{
	struct relay *r = host;

	if (r->hub.stopping) {
		/* Clients that were told may take a moment to hear it, not more. */
		if (all_quiet(r) && (inbound_sessions(r->inbound) == 0 || r->goodbye))
			loop_stop(r->hub.loop);
		else if (all_quiet(r)) {
			r->goodbye = true;
			loop_timer_set(r->done, GOODBYE_MS);
		}
		return;
	}
	if (inbound_internal(r->inbound) > 0 || !all_quiet(r) ||
			!outbound_nothing_due(r->outbound))
		return;
	if (!r->tidied) {
		r->tidied = true;
		control_tidy(r->control);
		outbound_tidy(r->outbound);
	} else if (outbound_disconnected(r->outbound) || r->goodbye)
		loop_stop(r->hub.loop);
	else if (!r->goodbye) {
		r->goodbye = true;
		loop_timer_set(r->done, GOODBYE_MS);
	}
}

static void
stop_begin(struct relay *r)
{
	if (r->hub.stopping)
		return;
	r->hub.stopping = true;
	loop_timer_set(r->limit, STOP_LIMIT_MS);
	inbound_stop(r->inbound);
	outbound_stop(r->outbound);
	look_done(r);
}

static void
limit_passed(void *host)
{
	struct relay *r = host;

	loop_stop(r->hub.loop); /* what is left is attempted again at the next start */
}

static void
fail(void *role, const struct err *e)
{
	struct relay *r = role;

	if (!r->has_failed)
		r->failed = *e;
	r->has_failed = true;
	stop_begin(r);
}

static void
signalled(void *host, int signo)
{
	(void)signo;
	stop_begin(host);
}

static void
woken(void *host)
{
	struct relay *r = host;

	if (__atomic_load_n(&r->stop_asked, __ATOMIC_ACQUIRE))
		stop_begin(r);
	look_done(r);
}

void
relay_stop(struct relay *r)
{
	__atomic_store_n(&r->stop_asked, 1, __ATOMIC_RELEASE);
	loop_wake(r->wake);
}

void
relay_fetched(struct relay *r)
{
	__atomic_store_n(&r->fetched, 1, __ATOMIC_RELEASE);
	loop_wake(r->wake);
}

/* ---- time ---- */

static void
tick_in(struct relay *r, int64_t ms)
{
	r->tick_at_ms = loop_now_ms(r->hub.loop) + ms;
	loop_timer_set(r->tick, ms);
}

static void
tick_due(void *host)
{
	struct relay *r = host;

	health_space(r);
	bool busy = inbound_sessions(r->inbound) > 0 ||
			outbound_leases(r->outbound) > 0 ||
			outbound_unsettled(r->outbound) || r->space_low;
	clockwatch_tick(r);
	health_look(r);
	renew_tick(r);
	inbound_tick(r->inbound);
	if (!r->hub.stopping)
		control_tick(r->control);
	outbound_tick(r->outbound);
	int64_t wait = busy ? TICK_MS : outbound_wait(r->outbound, REST_MS);
	tick_in(r, wait < TICK_LEAST_MS ? TICK_LEAST_MS : wait);
	look_done(r);
}

static void
hurry(void *role)
{
	struct relay *r = role;

	if (r->tick_at_ms > loop_now_ms(r->hub.loop) + TICK_MS)
		tick_in(r, TICK_MS);
}

/* ---- the store ---- */

static void
job_result(void *host, const struct store_job *job)
{
	health_job(host, job);
}

static void
batch_over(void *host)
{
	struct relay *r = host;

	health_look(r);
	inbound_flush(r->inbound);
	look_done(r);
}

static const struct jobs_calls jobs_calls = { .result = job_result,
	.batch_over = batch_over };

/* ---- birth ---- */

static void
say_recovery(const struct store_recovery *found)
{
	if (found->unclean)
		log_event(EVENT_RECOVERED,
				FIELDS(f_num("queued", (int64_t)found->queued),
						f_num("resumed",
								(int64_t)found->resumed),
						f_num("verified",
								(int64_t)found->verified),
						f_num("badmail",
								(int64_t)found->damaged)));
}

static void
directory_changed(void *host)
{
	struct relay *r = host;

	outbound_reconsider(r->outbound);
}

static bool
state_open(struct relay *r, struct err *err)
{
	struct store_recovery found = { 0 };
	char run[PATH_MAX + 32];

	(void)snprintf(run, sizeof(run), "%s/run", r->hub.state);
	if (!dir_make_path(run, 0700, err))
		return false;
	r->hub.store = store_open(r->hub.state,
			&(struct store_options){ .service = true,
					.min_free = relay_least_free(
							r->hub.conf, r->hub.state),
					.now_ms = clock_wall_ms() },
			&found, err);
	r->trouble = found.trouble;
	if (!r->hub.store)
		return false;
	say_recovery(&found);
	r->clock.away_ms = found.away_ms;
	r->hub.reader = reader_open(r->hub.state, err);
	r->policyload = policyload_new(&r->hub, directory_changed, r);
	return r->hub.reader && policyload_first(r->policyload, err) &&
			store_start(r->hub.store, err);
}

/* What inbound and outbound are joined by. */
static void
queued(void *host, struct span hop)
{
	struct relay *r = host;

	outbound_queued(r->outbound, hop);
}

static bool
parts_open(struct relay *r, const struct relay_options *o, struct err *err)
{
	struct hub *hub = &r->hub;
	struct inbound_options in = { .hub = hub,
		.listeners = o->listeners,
		.listeners_n = o->listeners_n,
		.queued = queued,
		.host = r };

	hub->jobs = jobs_new(hub->loop, hub->store, &jobs_calls, r);
	hub->dns = parts_dns(hub->loop, &hub->conf->dns, err);
	if (!hub->dns)
		return false;
	hub->routes = nexthop_table_new(&hub->conf->delivery.routes);
	r->outbound = outbound_new(hub, err);
	if (!r->outbound)
		return false;
	r->control = control_new(r, err);
	if (!r->control)
		return false;
	if (!store_secret(store_reader(hub->store), "loop", in.loop_key.secret, err))
		return false;
	loop_key_init(&in.loop_key);
	r->inbound = inbound_new(&in, err);
	return r->inbound;
}

/* NULL, *err and *trouble: that of the store, if it was its. */
static struct relay *
make(const struct relay_options *o, enum store_trouble *trouble, struct err *err)
{
	struct relay *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	renew_init(r, o);
	r->hub.state = o->state;
	r->hub.once = o->once;
	r->hub.hold = o->hold;
	r->ready_fd = o->ready_fd;
	r->hub.pulse = (struct pulse){
		.role = r, .hurry = hurry, .look = look_done, .give_up = fail
	};
	parts_divide(&r->hub);
	r->hub.loop = loop_new(err);
	if (!r->hub.loop || !state_open(r, err)) {
		*trouble = r->trouble;
		relay_free(r);
		return NULL;
	}
	r->tick = loop_timer_new(r->hub.loop, tick_due, r);
	r->limit = loop_timer_new(r->hub.loop, limit_passed, r);
	r->done = loop_timer_new(r->hub.loop, done_due, r);
	r->wake = loop_wake_new(r->hub.loop, woken, r);
	r->signals[0] = loop_signal_new(r->hub.loop, SIGTERM, signalled, r);
	r->signals[1] = loop_signal_new(r->hub.loop, SIGINT, signalled, r);
	if (!parts_open(r, o, err)) {
		relay_free(r);
		return NULL;
	}
	return r;
}

struct relay *
relay_new(const struct relay_options *o, struct err *err)
{
	enum store_trouble ignored;

	return make(o, &ignored, err);
}

/* First those who have results end, then the store, which does what it was given, then
 * what waited for it is told. */
static void
wind_up(struct relay *r)
{
	outbound_join(r->outbound);
	inbound_join(r->inbound);
	r->hub.stopping = true;
	outbound_shut(r->outbound);
	if (r->hub.jobs)
		jobs_flush(r->hub.jobs);
	if (r->hub.store)
		store_stop(r->hub.store);
	jobs_free(r->hub.jobs);
	r->hub.jobs = NULL;
}

bool
relay_run(struct relay *r, struct err *err)
{
	clockwatch_start(r);
	outbound_start(r->outbound);
	inbound_start(r->inbound);
	tick_in(r, 0);
	if (r->ready_fd >= 0) {
		(void)!write(r->ready_fd, "", 1);
		fd_done(&r->ready_fd);
	}

	bool ok = loop_run(r->hub.loop, err);
	wind_up(r);
	if (!outbound_end(r->outbound, err))
		return false;
	if (ok && r->has_failed) {
		*err = r->failed;
		ok = false;
	}
	return ok;
}

void
relay_summary(const struct relay *r, struct relay_summary *out)
{
	*out = r->hub.sum;
}

void
relay_free(struct relay *r)
{
	if (!r)
		return;
	wind_up(r);
	inbound_free(r->inbound);
	outbound_free(r->outbound);
	policyload_free(r->policyload);
	control_free(r->control);
	nexthop_table_free(r->hub.routes);
	directory_free(r->hub.directory);
	renew_end(r);
	for (size_t i = 0; i < 2; i++)
		if (r->signals[i])
			loop_signal_free(r->signals[i]);
	if (r->wake)
		loop_wake_free(r->wake);
	if (r->tick)
		loop_timer_free(r->tick);
	if (r->limit)
		loop_timer_free(r->limit);
	if (r->done)
		loop_timer_free(r->done);
	reader_close(r->hub.reader);
	if (r->hub.store)
		store_close(r->hub.store);
	fd_done(&r->ready_fd);
	loop_free(r->hub.loop);
	free(r);
}

/* Why the role cannot begin, or go on. */
static void
say_ended(const struct err *err)
{
	if (err->event != 0)
		log_err(err, (struct span){ NULL, 0 }, (struct span){ NULL, 0 });
	else
		log_event(EVENT_WORKER_STUCK,
				FIELDS(f_str("worker", "relay"),
						f_str("err", err->text)));
}

int
relay_role(const struct relay_options *o)
{
	struct err err = { 0 };
	enum store_trouble trouble = STORE_SOUND;
	struct relay *r = make(o, &trouble, &err);

	if (!r) {
		say_ended(&err);
		return err.event == EVENT_BIND_FAILED	   ? 78
				: trouble == STORE_DAMAGED ? RELAY_EXIT_DAMAGED
							   : 1;
	}
	bool ok = relay_run(r, &err);
	trouble = r->trouble;
	relay_free(r);
	if (!ok && trouble == STORE_SOUND) /* else it was told when it began */
		say_ended(&err);
	return ok ? 0 : trouble == STORE_DAMAGED ? RELAY_EXIT_DAMAGED : 1;
}
