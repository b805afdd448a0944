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
	DNS_SERVERS = 16,
};

/* ---- ending ---- */

static bool
all_quiet(const struct relay *r)
{
	return inbound_quiet(r->inbound) && dispatch_quiet(r->dispatch) &&
			local_quiet(r->local) && control_quiet(r->control) &&
			pickups_quiet(r->pickups) && policyload_quiet(r->policyload) &&
			jobs_under_way(r->jobs) == 0;
}

static void
look_done(void *role)
{
	struct relay *r = role;

	/* The loop goes round once more: whoever calls is in the middle of something. */
	if (r->stopping || (r->once && __atomic_load_n(&r->fetched, __ATOMIC_ACQUIRE)))
		loop_timer_set(r->done, 0);
}

static void
done_due(void *host)
{
	struct relay *r = host;

	if (r->stopping) {
		/* Clients that were told may take a moment to hear it, not more. */
		if (all_quiet(r) && (inbound_sessions(r->inbound) == 0 || r->goodbye))
			loop_stop(r->loop);
		else if (all_quiet(r)) {
			r->goodbye = true;
			loop_timer_set(r->done, GOODBYE_MS);
		}
		return;
	}
	if (inbound_internal(r->inbound) > 0 || !all_quiet(r) ||
			!dispatch_nothing_due(r->dispatch))
		return;
	if (!r->tidied) {
		r->tidied = true;
		control_tidy(r->control);
		local_tidy(r->local);
	} else if (dispatch_disconnected(r->dispatch) || r->goodbye)
		loop_stop(r->loop);
	else if (!r->goodbye) {
		r->goodbye = true;
		loop_timer_set(r->done, GOODBYE_MS);
	}
}

static void
stop_begin(struct relay *r)
{
	if (r->stopping)
		return;
	r->stopping = true;
	loop_timer_set(r->limit, STOP_LIMIT_MS);
	inbound_stop(r->inbound);
	dispatch_stop(r->dispatch);
	pickups_leave(r->pickups);
	look_done(r);
}

static void
limit_passed(void *host)
{
	struct relay *r = host;

	loop_stop(r->loop); /* what is left is attempted again at the next start */
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
	r->tick_at_ms = loop_now_ms(r->loop) + ms;
	loop_timer_set(r->tick, ms);
}

static void
tick_due(void *host)
{
	struct relay *r = host;

	health_space(r);
	bool busy = inbound_sessions(r->inbound) > 0 ||
			dispatch_leases(r->dispatch) > 0 ||
			!list_empty(&r->unsettled) || r->space_low;
	clockwatch_tick(r);
	health_look(r);
	renew_tick(r);
	inbound_tick(r->inbound);
	if (!r->stopping) {
		dispatch_tick(r->dispatch);
		local_tick(r->local);
		control_tick(r->control);
		notices_tick(r);
	}
	if (!list_empty(&r->unsettled))
		settle_tick(r);
	int64_t wait = busy ? TICK_MS : dispatch_wait(r->dispatch, REST_MS);
	tick_in(r, wait < TICK_LEAST_MS ? TICK_LEAST_MS : wait);
	look_done(r);
}

static void
hurry(void *role)
{
	struct relay *r = role;

	if (r->tick_at_ms > loop_now_ms(r->loop) + TICK_MS)
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

/* 1.5 times the largest message, but never more than a tenth of the disk. */
uint64_t
relay_least_free(const struct conf *conf, const char *state)
{
	uint64_t want = conf->smtp.limits.message / 2 * 3, left, total;

	if (file_space(state, &left, &total, NULL) && want > total / 10)
		want = total / 10;
	return want;
}

static void
say_recovery(const struct store_recovery *found)
{
	if (found->unclean)
		log_event(1004,
				FIELDS(f_num("queued", (int64_t)found->queued),
						f_num("resumed",
								(int64_t)found->resumed),
						f_num("verified",
								(int64_t)found->verified),
						f_num("badmail",
								(int64_t)found->damaged)));
}

static bool
state_open(struct relay *r, struct err *err)
{
	struct store_recovery found = { 0 };
	char run[PATH_MAX + 32];

	(void)snprintf(run, sizeof(run), "%s/run", r->state);
	if (!dir_make_path(run, 0700, err))
		return false;
	r->store = store_open(r->state,
			&(struct store_options){ .service = true,
					.min_free = relay_least_free(r->conf, r->state),
					.now_ms = clock_wall_ms() },
			&found, err);
	r->trouble = found.trouble;
	if (!r->store)
		return false;
	say_recovery(&found);
	r->clock.away_ms = found.away_ms;
	if (!store_secret(store_reader(r->store), "loop", r->loop_key.secret, err))
		return false;
	loop_key_init(&r->loop_key);
	r->reader = reader_open(r->state, err);
	return r->reader && policyload_first(r, err) && store_start(r->store, err);
}

struct dns *
relay_dns(struct relay *r, const struct conf_dns *c, struct err *err)
{
	char text[DNS_SERVERS][80];
	const char *servers[DNS_SERVERS + 1] = { NULL };
	size_t n = 0;

	for (; n < c->servers.n && n < DNS_SERVERS; n++) {
		const struct conf_host *s = &c->servers.p[n];

		(void)snprintf(text[n], sizeof(text[n]),
				strchr(s->name, ':') ? "[%s]:%u" : "%s:%u", s->name,
				s->port);
		servers[n] = text[n];
	}
	return dns_new(r->loop,
			&(struct dns_setup){ .servers = n > 0 ? servers : NULL,
					.timeout_ms = c->timeout_s * 1000 },
			err);
}

static bool
rooms_open(struct relay *r, const struct relay_options *o, struct err *err)
{
	r->policyload = policyload_new(r);
	r->jobs = jobs_new(r->loop, r->store, &jobs_calls, r);
	r->dns = relay_dns(r, &r->conf->dns, err);
	if (!r->dns)
		return false;
	r->hops = nexthop_table_new(&r->conf->delivery.routes);
	r->dispatch = dispatch_new(r);
	r->local = local_new(r, err);
	if (!r->local)
		return false;
	r->control = control_new(r, err);
	if (!r->control)
		return false;
	r->pickups = pickups_new(r, err);
	if (!r->pickups)
		return false;
	r->inbound = inbound_new(r, o, err);
	return r->inbound;
}

/* A thousand clients need more than a thousand descriptors. */
void
relay_divide(struct relay *r)
{
	size_t clients = r->conf->smtp.limits.connections;
	size_t outgoing = r->conf->delivery.connections;

	r->descriptors = descriptors_raise();
	descriptors_divide(r->descriptors, r->once, clients, outgoing, &r->share);
	if (r->share.outgoing < outgoing || (!r->once && r->share.clients < clients))
		log_event(1008,
				FIELDS(f_num("limit", (int64_t)r->descriptors),
						f_num("clients",
								(int64_t)r->share
										.clients),
						f_num("asked", (int64_t)clients),
						f_num("outgoing",
								(int64_t)r->share
										.outgoing),
						f_num("wanted", (int64_t)outgoing)));
}

/* NULL, *err and *trouble: that of the store, if it was its. */
static struct relay *
make(const struct relay_options *o, enum store_trouble *trouble, struct err *err)
{
	struct relay *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	renew_init(r, o);
	r->state = o->state;
	r->once = o->once;
	r->hold = o->hold;
	r->ready_fd = o->ready_fd;
	r->pulse = (struct pulse){
		.role = r, .hurry = hurry, .look = look_done, .give_up = fail
	};
	list_init(&r->unsettled);
	relay_divide(r);
	r->loop = loop_new(err);
	if (!r->loop || !state_open(r, err)) {
		*trouble = r->trouble;
		relay_free(r);
		return NULL;
	}
	r->tick = loop_timer_new(r->loop, tick_due, r);
	r->limit = loop_timer_new(r->loop, limit_passed, r);
	r->done = loop_timer_new(r->loop, done_due, r);
	r->wake = loop_wake_new(r->loop, woken, r);
	r->signals[0] = loop_signal_new(r->loop, SIGTERM, signalled, r);
	r->signals[1] = loop_signal_new(r->loop, SIGINT, signalled, r);
	if (!rooms_open(r, o, err)) {
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
	local_free(r->local);
	r->local = NULL;
	pickups_stop(r->pickups);
	if (r->dispatch)
		dispatch_shut(r->dispatch);
	if (r->jobs)
		jobs_flush(r->jobs);
	if (r->store)
		store_stop(r->store);
	jobs_free(r->jobs);
	r->jobs = NULL;
}

bool
relay_run(struct relay *r, struct err *err)
{
	clockwatch_start(r);
	dispatch_start(r->dispatch);
	left_look(r);
	pickups_start(r->pickups);
	tick_in(r, 0);
	if (r->ready_fd >= 0) {
		(void)!write(r->ready_fd, "", 1);
		fd_done(&r->ready_fd);
	}

	bool ok = loop_run(r->loop, err);
	wind_up(r);
	if (!settle_end(r, err))
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
	*out = r->sum;
}

void
relay_free(struct relay *r)
{
	if (!r)
		return;
	wind_up(r);
	pickups_free(r->pickups);
	inbound_free(r->inbound);
	settle_free(r);
	dispatch_free(r->dispatch);
	policyload_free(r->policyload);
	control_free(r->control);
	nexthop_table_free(r->hops);
	directory_free(r->directory);
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
	reader_close(r->reader);
	if (r->store)
		store_close(r->store);
	fd_done(&r->ready_fd);
	loop_free(r->loop);
	free(r);
}

/* Why the role cannot begin, or go on. */
static void
say_ended(const struct err *err)
{
	if (err->event != 0)
		log_err(err, (struct span){ NULL, 0 }, (struct span){ NULL, 0 });
	else
		log_event(1005,
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
		return err.event == 115			   ? 78
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
