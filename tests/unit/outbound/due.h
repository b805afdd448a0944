/* Mail in the queue and next hops to look at it, on a relay without sockets and threads; those
 * who would talk or write are stood in for. The group of tests includes it once. */
#ifndef TESTS_OUTBOUND_DUE_H
#define TESTS_OUTBOUND_DUE_H

#include "hand.h"

#include "left.h"
#include "local.h"
#include "smtp_carrier.h"

#include "postern/queue.h"

/* ---- those who work ---- */

static struct {
	size_t delivered, opened, poked; /* leases to the folder thread; sessions */
	struct list leases;
	bool queue_fails, hops_fail, spent; /* reading the queue; the disk */
	size_t idle_closed;
	size_t queue_room[2], queue_asked; /* what was asked for */
} world;

void __wrap_local_deliver(struct local *w, struct list *leases);
void __wrap_smtp_carrier_open(const struct smtp_carrier_setup *o);
void __wrap_smtp_carriers_poke(struct list *all);
bool __real_queue_due(struct reader *r, const struct queue_due *q, struct arena *a,
		struct queue_message **out, size_t *n, struct err *err);
bool __wrap_queue_due(struct reader *r, const struct queue_due *q, struct arena *a,
		struct queue_message **out, size_t *n, struct err *err);

void
__wrap_local_deliver(struct local *w, struct list *leases)
{
	(void)w;
	LIST_EACH (link, leases) {
		list_del(link);
		list_add(&world.leases, link);
		world.delivered++;
	}
}

void
__wrap_smtp_carrier_open(const struct smtp_carrier_setup *o)
{
	(void)o;
	world.opened++;
}

void
__wrap_smtp_carriers_poke(struct list *all)
{
	(void)all;
	world.poked++;
}

bool
__wrap_queue_due(struct reader *r, const struct queue_due *q, struct arena *a,
		struct queue_message **out, size_t *n, struct err *err)
{
	if (world.queue_asked < 2)
		world.queue_room[world.queue_asked] = q->messages;
	world.queue_asked++;
	if (world.queue_fails)
		return err_set(err, 9005, "the queue cannot be read");
	return __real_queue_due(r, q, a, out, n, err);
}

bool __real_queue_hops(struct reader *r, struct arena *a, struct queue_hop **out,
		size_t *n, struct err *err);
bool __wrap_queue_hops(struct reader *r, struct arena *a, struct queue_hop **out,
		size_t *n, struct err *err);
bool __wrap_store_space_spent(struct store *s);
void __wrap_smtp_carriers_idle_close(struct list *all);

bool
__wrap_queue_hops(struct reader *r, struct arena *a, struct queue_hop **out, size_t *n,
		struct err *err)
{
	return world.hops_fail ? err_set(err, 9005, "the next hops cannot be read")
			       : __real_queue_hops(r, a, out, n, err);
}

bool
__wrap_store_space_spent(struct store *s)
{
	(void)s;
	return world.spent;
}

void
__wrap_smtp_carriers_idle_close(struct list *all)
{
	(void)all;
	world.idle_closed++;
}

static inline int
look_up(void **state)
{
	static const char text[] =
			"server: { hostname: gw.contoso.test, state: /var/lib/postern }\n"
			"delivery:\n"
			"  routes:\n"
			"    h.test: { to: 'smtp:h.test:25' }\n"
			"    other.test: { to: 'smtp:other.test:25' }\n"
			"    contoso.test: { to: 'smtp:h.test:25' }\n";
	struct conf_faults faults;

	assert_int_equal(set_up(state), 0);
	struct gate *g = *state;
	conf_faults_init(&faults);
	struct conf *c = conf_parse(&(struct conf_source){ .text = span_of(text),
						    .path = "/etc/p.yaml" },
			&faults);
	assert_non_null(c);
	conf_faults_done(&faults);
	nexthop_table_free(g->hub.routes);
	g->hub.routes = nexthop_table_new(&c->delivery.routes);
	conf_free(c);
	g->hub.share.outgoing = 100;
	memset(&world, 0, sizeof(world));
	list_init(&world.leases);
	return 0;
}

static inline void
leases_free(struct list *all)
{
	LIST_EACH (link, all)
		hop_release(LIST_ITEM(link, struct lease, link));
}

static inline int
look_down(void **state)
{
	LIST_EACH (link, &handed) {
		struct store_job *job = LIST_ITEM(link, struct store_job, link);

		list_del(link);
		if (job->work == STORE_SETTLE)
			hop_release(LIST_ITEM(LIST_ITEM(job, struct settlement, job),
					struct lease, job));
	}
	leases_free(&world.leases);
	return tear_down(state);
}

/* A message for each of these, on that hop. */
static inline uint64_t
queued(struct gate *g, const char *hop, const char *const *to, size_t n, unsigned flags)
{
	struct submission_recipient all[8];
	struct list jobs;

	for (size_t i = 0; i < n; i++)
		all[i] = (struct submission_recipient){ .address = span_of(to[i]),
			.hop = span_of(hop),
			.state = QUEUE_QUEUED };
	struct submission sub = { .job = { .work = STORE_SUBMIT },
		.id = store_new_id(g->hub.store, clock_wall_ms()),
		.sender = SPAN("s@x.test"),
		.arrived_ms = clock_wall_ms(),
		.flags = flags,
		.top = SPAN(""),
		.body = SPAN("A: b\r\n\r\nx\r\n"),
		.spool_fd = -1,
		.recipients = all,
		.n = n };
	list_init(&jobs);
	list_init(&sub.job.link);
	list_add(&jobs, &sub.job.link);
	store_run(g->hub.store, &jobs);
	assert_int_equal(sub.job.result, STORE_DONE);
	return sub.id;
}

/* The one lease that went to the store. */
static inline struct lease *
settled_one(void)
{
	assert_false(list_empty(&handed));
	assert_ptr_equal(handed.next->next, &handed);
	struct store_job *job = LIST_ITEM(handed.next, struct store_job, link);
	assert_int_equal(job->work, STORE_SETTLE);
	return LIST_ITEM(LIST_ITEM(job, struct settlement, job), struct lease, job);
}

static inline struct hop *
hop_due(struct gate *g, const char *key)
{
	struct hop *h = hop_made(g->d, key);

	h->wake_ms = 0;
	return h;
}

#define DUE(f) cmocka_unit_test_setup_teardown(f, look_up, look_down)

#endif
