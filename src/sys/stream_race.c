/* Connecting to the first address that answers (RFC 8305). */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "connect.h"
#include "postern/dns.h"
#include "postern/file.h"
#include "postern/must.h"
#include "sockaddr.h"
#include "stream_in.h"

static void race_begin(void *host);

static void
race_won(struct stream *s, struct race_try *t)
{
	int fd = t->fd;

	t->fd = -1;
	stream_race_free(s);
	s->deadline_ms = 0; /* that was for connecting */
	stream_attach(s, fd);
	stream_moved(s);
	stream_enter(s);
	if (s->calls->opened)
		s->calls->opened(s->host);
	if (stream_leave(s))
		stream_advance(s, false);
}

/* Notes why an address did not do; the next one need not wait. */
static void
race_lost(struct stream *s, size_t i, int no)
{
	struct stream_race *r = s->race;
	char at[NET_TEXT_SIZE];

	net_addr_text(&r->addrs[i], at);
	if (r->addrs[i].family == NET_UNIX)
		(void)err_errno(&s->said, 0, no, "%s", at);
	else
		(void)err_errno(&s->said, 0, no, "%s port %u", at, r->addrs[i].port);
	s->peer = r->addrs[i];
	if (r->next < r->n)
		loop_timer_set(r->stagger, 0);
	else if (r->open == 0)
		stream_end(s, STREAM_REFUSED, s->said.text);
}

static void
race_ready(evutil_socket_t fd, short what, void *arg)
{
	struct race_try *t = arg;
	struct stream *s = t->s;
	struct stream_race *r = s->race;
	int no = 0;
	socklen_t len = sizeof(no);

	(void)what;
	if (getsockopt((int)fd, SOL_SOCKET, SO_ERROR, &no, &len) != 0)
		no = errno;
	r->open--;
	if (no == 0) {
		race_won(s, t);
		return;
	}
	event_free(t->ev);
	t->ev = NULL;
	fd_done(&t->fd);
	race_lost(s, (size_t)(t - r->tries), no);
}

static void
race_begin(void *host)
{
	struct stream *s = host;
	struct stream_race *r = s->race;
	size_t i = r->next++;
	struct race_try *t = &r->tries[i];
	struct sockaddr_storage ss;
	socklen_t len = sockaddr_from(&r->addrs[i], &ss);

	t->s = s;
	t->fd = sockaddr_socket(&r->addrs[i]);
	if (t->fd < 0) {
		race_lost(s, i, errno);
		return;
	}
	if (connect(t->fd, (const struct sockaddr *)&ss, len) == 0) {
		race_won(s, t);
		return;
	}
	if (errno != EINPROGRESS && errno != EINTR) {
		int no = errno;

		fd_done(&t->fd);
		race_lost(s, i, no);
		return;
	}
	t->ev = loop_event(s->loop, t->fd, EV_WRITE, race_ready, t);
	MUST(event_add(t->ev, NULL) == 0);
	r->open++;
	if (r->next < r->n)
		loop_timer_set(r->stagger, CONNECT_STAGGER_MS);
}

struct stream *
stream_connect(struct loop *l, const struct net_addr *addrs, size_t n, int64_t limit_ms,
		const struct stream_calls *calls, void *host)
{
	struct stream *s = stream_make(l, calls, host);
	struct stream_race *r = stream_alloc(sizeof(*r));

	MUST(n > 0);
	s->race = r;
	r->n = n < DNS_ADDRS_MAX ? n : DNS_ADDRS_MAX;
	memcpy(r->addrs, addrs, r->n * sizeof(*addrs));
	r->stagger = loop_timer_new(l, race_begin, s);
	stream_set_deadline(s, limit_ms);
	/* Not from inside this call: the host does not know us yet. */
	loop_timer_set(r->stagger, 0);
	return s;
}
