/* listen: the sockets that clients and our own collector come by, and who is let in. */
#include "session.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/log.h"

/* ---- accepting ---- */

/* Over a limit: 421 and the door, without an engine's worth of memory. */
static const char *
limit_passed(struct inbound *in, const struct net_addr *addr, int64_t *max)
{
	char ip[NET_TEXT_SIZE];
	const struct conf_limits *limits = &in->hub->conf->smtp.limits;

	if (in->n - in->n_internal >= in->hub->share.clients) {
		*max = (int64_t)in->hub->share.clients;
		return "connections";
	}
	net_addr_text(addr, ip);
	if (limits->connections_per_client > 0 &&
			clients_sessions(&in->clients, ip) >=
					limits->connections_per_client) {
		*max = limits->connections_per_client;
		return "connections of one client";
	}
	return NULL;
}

static void
session_begin(struct session *s, const char *limit, int64_t max)
{
	if (limit) {
		log_event(EVENT_LIMIT_REACHED,
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
	log_event(EVENT_LIMIT_REACHED,
			FIELDS(f_str("client", "-"), f_str("limit", err_words(no)),
					f_num("max", (int64_t)in->n)));
}

/* Those who were told to go take a descriptor until they have gone. Where the rest of the
 * limit begins, which is for others than clients, nobody waits for them. */
static bool
no_room(const struct inbound *in, int fd)
{
	return (size_t)fd + in->hub->share.kept >= in->hub->descriptors;
}

static void
turned_away(struct inbound *in, int fd)
{
	AUTO(buf_done) struct buf text = BUF_MAX(1024);

	refused(in, EMFILE);
	if (buf_addf(&text, "421 4.3.2 %s Too many connections\r\n",
			    in->hub->conf->server.hostname))
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
			loop_listen_new(in->hub->loop, fd, accepted, refused, in);
}

static bool
listen_tcp(struct inbound *in, const struct inbound_options *o, struct err *err)
{
	const struct conf_listens *l = &in->hub->conf->smtp.listen;

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
			err->event = EVENT_BIND_FAILED;
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

bool
listen_begin(struct inbound *in, const struct inbound_options *o, struct err *err)
{
	char path[PATH_MAX + 32];

	(void)snprintf(path, sizeof(path), "unix:%s/run/relay.sock", in->hub->state);
	int fd = listen_open(path, err);
	if (fd < 0)
		return false;
	in->socket = loop_listen_new(in->hub->loop, fd, accepted_internal, refused, in);
	/* `once` serves nobody but its own collectors. */
	return in->hub->once || listen_tcp(in, o, err);
}

void
listen_end(struct inbound *in)
{
	for (size_t i = 0; i < in->listeners_n; i++)
		loop_listen_free(in->listeners[i]);
	in->listeners_n = 0;
	if (in->socket)
		loop_listen_free(in->socket);
	in->socket = NULL;
}

void
listen_tick(struct inbound *in)
{
	in->too_many_told = false; /* once between two ticks */
}
