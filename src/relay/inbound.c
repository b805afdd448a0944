/* inbound: listeners, limits, and what the store answered to those connected.
 *
 * Sessions stay in step with memory: when too much waits for the store, nobody is
 * read until it has caught up. */
#include "inbound.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/log.h"

/* ---- accepting ---- */

static size_t
same_client(const struct inbound *in, const struct net_addr *addr)
{
	size_t n = 0;

	LIST_EACH (link, &in->sessions) {
		const struct session *s = LIST_ITEM(link, struct session, link);

		n += !s->internal && net_addr_same(&s->addr, addr);
	}
	return n;
}

/* Over a limit: 421 and the door, without an engine's worth of memory. */
static const char *
limit_passed(struct inbound *in, const struct net_addr *addr, int64_t *max)
{
	const struct conf_limits *limits = &in->r->conf->smtp.limits;

	if (in->n - in->n_internal >= in->r->share.clients) {
		*max = (int64_t)in->r->share.clients;
		return "connections";
	}
	if (limits->connections_per_client > 0 &&
			same_client(in, addr) >= limits->connections_per_client) {
		*max = limits->connections_per_client;
		return "connections of one client";
	}
	return NULL;
}

static void
session_begin(struct session *s, const char *limit, int64_t max)
{
	if (limit) {
		log_event(7013,
				FIELDS(f_str("client", s->ip), f_str("limit", limit),
						f_num("max", max)));
		smtp_server_end(s->engine, SMTP_REFUSE_CLIENTS);
	}
	(void)session_settle(s);
}

static void
refused(void *host, int no)
{
	struct inbound *in = host;

	if (in->too_many_told)
		return;
	in->too_many_told = true;
	log_event(7013,
			FIELDS(f_str("client", "-"), f_str("limit", err_words(no)),
					f_num("max", (int64_t)in->n)));
}

/* Those who were told to go take a descriptor until they have gone. Where the rest of the
 * limit begins, which is for others than clients, nobody waits for them. */
static bool
no_room(const struct inbound *in, int fd)
{
	return (size_t)fd + in->r->share.kept >= in->r->descriptors;
}

static void
turned_away(struct inbound *in, int fd)
{
	AUTO(buf_done) struct buf text = BUF_MAX(1024);

	refused(in, EMFILE);
	if (buf_addf(&text, "421 4.3.2 %s Too many connections\r\n",
			    in->r->conf->server.hostname))
		(void)!write(fd, text.p, text.n);
	(void)close(fd);
}

static void
accepted(void *host, int fd, const struct loop_peer *peer)
{
	struct inbound *in = host;
	int64_t max = 0;

	if (no_room(in, fd)) {
		turned_away(in, fd);
		return;
	}
	const char *limit = limit_passed(in, &peer->addr, &max);

	session_begin(session_new(in, fd, peer, false), limit, max);
}

static void
accepted_internal(void *host, int fd, const struct loop_peer *peer)
{
	struct inbound *in = host;

	/* Only our own processes: XCOLLECT is believed. */
	if (peer->uid != geteuid() && peer->uid != 0) {
		(void)close(fd);
		return;
	}
	session_begin(session_new(in, fd, peer, true), NULL, 0);
}

/* ---- birth and end ---- */

static void
listener_add(struct inbound *in, int fd)
{
	in->listeners[in->listeners_n++] =
			loop_listen_new(in->r->loop, fd, accepted, refused, in);
}

static bool
listen_tcp(struct inbound *in, const struct relay_options *o, struct err *err)
{
	const struct conf_listens *l = &in->r->conf->smtp.listen;

	for (size_t i = 0; i < l->n && in->listeners_n < INBOUND_LISTENERS; i++) {
		const struct conf_host *at = &l->p[i].address;
		char text[320];
		int fd;

		if (strcmp(at->name, "::") == 0)
			(void)snprintf(text, sizeof(text), "*:%u", at->port);
		else if (strchr(at->name, ':'))
			(void)snprintf(text, sizeof(text), "[%s]:%u", at->name,
					at->port);
		else
			(void)snprintf(text, sizeof(text), "%s:%u", at->name, at->port);
		if (o->listeners)
			fd = i < o->listeners_n ? o->listeners[i] : -1;
		else
			fd = listen_open(text, err);
		if (fd < 0) {
			if (o->listeners)
				continue;
			err->event = 115;
			return false;
		}
		listener_add(in, fd);
	}
	return true;
}

/* Who waits in the queue of a socket that stays is greeted by its new copy. */
void
inbound_sockets(struct inbound *in, const int *fds, size_t n)
{
	for (size_t i = 0; i < in->listeners_n; i++)
		loop_listen_free(in->listeners[i]);
	in->listeners_n = 0;
	for (size_t i = 0; i < n; i++)
		listener_add(in, fds[i]);
}

struct inbound *
inbound_new(struct relay *r, const struct relay_options *o, struct err *err)
{
	struct inbound *in = calloc(1, sizeof(*in));
	char path[PATH_MAX + 32];

	if (!in)
		abort();
	in->r = r;
	list_init(&in->sessions);
	list_init(&in->dirty);
	(void)snprintf(path, sizeof(path), "unix:%s/run/relay.sock", r->state);
	int fd = listen_open(path, err);
	if (fd < 0) {
		inbound_free(in);
		return NULL;
	}
	in->socket = loop_listen_new(r->loop, fd, accepted_internal, refused, in);
	/* `once` serves nobody but its own collectors. */
	if (!r->once && !listen_tcp(in, o, err)) {
		inbound_free(in);
		return NULL;
	}
	return in;
}

static void
listeners_free(struct inbound *in)
{
	for (size_t i = 0; i < in->listeners_n; i++)
		loop_listen_free(in->listeners[i]);
	in->listeners_n = 0;
	if (in->socket)
		loop_listen_free(in->socket);
	in->socket = NULL;
}

void
inbound_free(struct inbound *in)
{
	if (!in)
		return;
	listeners_free(in);
	LIST_EACH (link, &in->sessions)
		session_free(LIST_ITEM(link, struct session, link));
	free(in);
}

void
inbound_stop(struct inbound *in)
{
	in->stopping = true;
	listeners_free(in);
	LIST_EACH (link, &in->sessions)
		session_end(LIST_ITEM(link, struct session, link),
				SMTP_REFUSE_SHUTDOWN);
}

bool
inbound_quiet(const struct inbound *in)
{
	LIST_EACH (link, &in->sessions)
		if (!LIST_ITEM(link, struct session, link)->closing)
			return false;
	return true;
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
	if (in->full && in->r->pending < PENDING_MAX / 2) {
		in->full = false;
		LIST_EACH (link, &in->sessions)
			session_resume(LIST_ITEM(link, struct session, link));
	}
}

/* ---- time ---- */

void
inbound_tick(struct inbound *in)
{
	int64_t now = loop_now_ms(in->r->loop);

	in->too_many_told = false;
	LIST_EACH (link, &in->sessions)
		session_tick(LIST_ITEM(link, struct session, link), now);
}
