/* An SMTP carrier with a peer and a hop that are the test's: no sockets, no relay, no queue. The
 * group of tests includes it once. */
#ifndef TESTS_OUTBOUND_CARRIER_H
#define TESTS_OUTBOUND_CARRIER_H

#include "hand.h"

#include "smtp_carrier.h"

enum { BODY_PIECE = 40 };

static const char a_body[] = "Subject: s\r\n\r\none\r\ntwo\r\n";

static struct {
	const struct stream_calls *calls; /* NULL: nobody has connected */
	void *host;
	unsigned freed;
	char said[64 * 1024]; /* what the carrier said since it was asked last */
	size_t n;
} peer;

static struct {
	unsigned asked, cancelled;
	void (*answered)(void *host, enum dns_answer answer,
			const struct net_addr *addrs, size_t n, const char *words);
	void *host;
} names;

/* What the carrier told its hop, and what it may take. */
static struct {
	struct hand *hands;
	size_t n, taken;
	unsigned again, greeted, answered, gone;
	int busy;
	enum carrier_end end;
	struct verdict why;
	bool said_why;
} told_hop;

/* The body: how often it is opened, and where it cannot be read. */
static struct {
	unsigned opened, closed;
	size_t at;
	size_t fails_at; /* 0: nowhere */
	int event;
	bool gone;
} text;

static struct habits habits;
static struct destination to;
static struct list carriers;

struct stream *__wrap_stream_connect(struct loop *l, const struct net_addr *addrs,
		size_t n, int64_t ms, const struct stream_calls *calls, void *host);
void __wrap_stream_set_out_max(struct stream *s, size_t max);
bool __wrap_stream_write(struct stream *s, struct span bytes);
size_t __wrap_stream_pending(const struct stream *s);
void __wrap_stream_free(struct stream *s);
void __wrap_jobs_flush(struct jobs *j);
struct dns_query *__wrap_dns_lookup(struct dns *d, const char *host, uint16_t port,
		void (*answered)(void *host, enum dns_answer answer,
				const struct net_addr *addrs, size_t n,
				const char *words),
		void *hosting);
void __wrap_dns_cancel(struct dns_query *q);
struct body *__wrap_body_find(struct reader *r, uint64_t id, bool *gone, struct err *e);
uint64_t __wrap_body_size(const struct body *b);
bool __wrap_body_next(struct body *b, struct span *out, struct err *e);
void __wrap_body_close(struct body *b);

struct stream *
__wrap_stream_connect(struct loop *l, const struct net_addr *addrs, size_t n,
		int64_t ms, const struct stream_calls *calls, void *host)
{
	(void)l, (void)addrs, (void)n, (void)ms;
	peer.calls = calls;
	peer.host = host;
	return (struct stream *)&peer;
}

void
__wrap_stream_set_out_max(struct stream *s, size_t max)
{
	(void)s, (void)max;
}

bool
__wrap_stream_write(struct stream *s, struct span bytes)
{
	(void)s;
	assert_true(bytes.n < sizeof(peer.said) - peer.n);
	memcpy(peer.said + peer.n, bytes.p, bytes.n);
	peer.n += bytes.n;
	return true;
}

size_t
__wrap_stream_pending(const struct stream *s)
{
	(void)s;
	return 0;
}

void
__wrap_stream_free(struct stream *s)
{
	peer.freed += s != NULL;
}

void
__wrap_jobs_flush(struct jobs *j)
{
	(void)j;
}

struct dns_query *
__wrap_dns_lookup(struct dns *d, const char *host, uint16_t port,
		void (*answered)(void *host, enum dns_answer answer,
				const struct net_addr *addrs, size_t n,
				const char *words),
		void *hosting)
{
	(void)d, (void)port;
	assert_string_equal(host, "h.test");
	names.asked++;
	names.answered = answered;
	names.host = hosting;
	return (struct dns_query *)&names;
}

void
__wrap_dns_cancel(struct dns_query *q)
{
	assert_ptr_equal(q, &names);
	names.cancelled++;
}

struct body *
__wrap_body_find(struct reader *r, uint64_t id, bool *gone, struct err *e)
{
	(void)r, (void)id, (void)e;
	*gone = text.gone;
	text.at = 0;
	if (text.gone)
		return NULL;
	text.opened++;
	return (struct body *)&text;
}

uint64_t
__wrap_body_size(const struct body *b)
{
	(void)b;
	return sizeof(a_body) - 1;
}

bool
__wrap_body_next(struct body *b, struct span *out, struct err *e)
{
	size_t left = sizeof(a_body) - 1 - text.at;

	(void)b;
	if (text.fails_at > 0 && text.at >= text.fails_at)
		return err_set(e, text.event, "the disk does not read");
	size_t n = text.fails_at > 0 && text.fails_at < left ? text.fails_at : left;
	*out = (struct span){ a_body + text.at, n };
	text.at += n;
	return true;
}

void
__wrap_body_close(struct body *b)
{
	text.closed += b != NULL;
}

/* ---- the hop ---- */

static inline struct lease *
hop_take(struct hop *h)
{
	(void)h;
	return told_hop.taken < told_hop.n ? told_hop.hands[told_hop.taken++].l : NULL;
}

static inline void
hop_again(struct hop *h)
{
	(void)h;
	told_hop.again++;
}

static inline void
hop_busy(struct hop *h, bool busy)
{
	(void)h;
	told_hop.busy += busy ? 1 : -1;
}

static inline void
hop_greeted(struct hop *h)
{
	(void)h;
	told_hop.greeted++;
}

static inline void
hop_answered(struct hop *h)
{
	(void)h;
	told_hop.answered++;
}

static inline void
hop_gone(struct hop *h, enum carrier_end end, const struct verdict *why)
{
	(void)h;
	told_hop.gone++;
	told_hop.end = end;
	told_hop.said_why = why != NULL;
	if (why)
		told_hop.why = *why;
}

static const struct carrier_calls hop_calls = {
	.take = hop_take,
	.again = hop_again,
	.busy = hop_busy,
	.greeted = hop_greeted,
	.answered = hop_answered,
	.gone = hop_gone,
};

static inline int
carrier_up(void **state)
{
	(void)set_up(state);
	memset(&peer, 0, sizeof(peer));
	memset(&names, 0, sizeof(names));
	memset(&told_hop, 0, sizeof(told_hop));
	memset(&text, 0, sizeof(text));
	habits = (struct habits){ 0 };
	list_init(&carriers);
	return 0;
}

/* Those that were handed to the store end here. */
static inline int
carrier_down(void **state)
{
	smtp_carriers_stop(&carriers, true);
	assert_true(list_empty(&carriers));
	assert_int_equal(text.opened, text.closed);
	assert_int_equal(told_hop.busy, 0);
	LIST_EACH (link, &handed) {
		struct store_job *job = LIST_ITEM(link, struct store_job, link);

		list_del(link);
		hop_release(LIST_ITEM(LIST_ITEM(job, struct settlement, job),
				struct lease, job));
	}
	for (size_t i = told_hop.taken; i < told_hop.n; i++)
		hop_release(told_hop.hands[i].l);
	return tear_down(state);
}

/* Opens a carrier to that host for these messages, one for each number of recipients. */
static inline void
carry(struct gate *g, const char *host, struct hand *hands, const size_t *recipients,
		size_t n)
{
	static char name[40];

	(void)snprintf(name, sizeof(name), "%s", host);
	to = (struct destination){
		.to = { .kind = NEXTHOP_SMTP, .host = name, .port = 25 }
	};
	for (size_t i = 0; i < n; i++)
		hand_take(g, &hands[i], "smtp:h.test:25", recipients[i]);
	told_hop.hands = hands;
	told_hop.n = n;
	smtp_carrier_open(&(struct smtp_carrier_setup){ .hub = &g->hub,
			.hop = n > 0 ? hands[0].hop : NULL,
			.calls = &hop_calls,
			.to = &to.to,
			.habits = &habits,
			.all = &carriers });
	gate_turn(g, 1);
}

/* The peer says that; what the carrier says next stands in peer.said. */
static inline void
hears(const char *words)
{
	peer.n = 0;
	assert_int_equal(peer.calls->bytes(peer.host, span_of(words)), strlen(words));
	peer.said[peer.n] = '\0';
}

static inline void
said(const char *words)
{
	if (!strstr(peer.said, words))
		fail_msg("\"%s\" is not in \"%s\"", words, peer.said);
}

/* Connected, greeted, and asked for extensions. */
static inline void
meets(const char *extensions)
{
	char words[200];

	assert_non_null(peer.calls);
	peer.calls->opened(peer.host);
	hears("220 h.test ESMTP\r\n");
	said("EHLO gw.contoso.test\r\n");
	(void)snprintf(words, sizeof(words), "250%ch.test\r\n%s%s%s",
			*extensions ? '-' : ' ', *extensions ? "250 " : "", extensions,
			*extensions ? "\r\n" : "");
	hears(words);
	assert_int_equal(told_hop.greeted, 1);
}

#define CARRIED(f) cmocka_unit_test_setup_teardown(f, carrier_up, carrier_down)

#endif
