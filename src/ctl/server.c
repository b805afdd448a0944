#include <stdlib.h>
#include <unistd.h>

#include "postern/ctl.h"
#include "postern/list.h"
#include "postern/loop.h"
#include "postern/stream.h"

struct ctl_server {
	struct loop *loop;
	struct loop_listen *listen;
	const struct ctl_calls *calls;
	void *host;
	struct list peers;
};

struct ctl_peer {
	struct ctl_server *server;
	struct stream *stream;
	struct buf in; /* a frame that came in pieces */
	struct list link;
};

static void
peer_free(struct ctl_peer *p)
{
	list_del(&p->link);
	stream_free(p->stream);
	buf_done(&p->in);
	free(p);
}

static void
peer_gone(struct ctl_peer *p)
{
	p->server->calls->gone(p->server->host, p);
	peer_free(p);
}

static size_t
on_bytes(void *host, struct span in)
{
	struct ctl_peer *p = host;
	struct ctl_server *s = p->server;

	/* Frames may be longer than what the stream keeps for us. */
	if (!buf_add(&p->in, in)) {
		peer_gone(p);
		return in.n;
	}
	for (;;) {
		struct span left = buf_span(&p->in), body;
		enum ctl_kind kind;
		enum ctl_step step = ctl_unframe(&left, &kind, &body);
		if (step == CTL_MORE)
			return in.n;
		if (step == CTL_BROKEN) {
			peer_gone(p);
			return in.n;
		}
		s->calls->said(s->host, p, kind, body);
		buf_drop(&p->in, p->in.n - left.n);
	}
}

static void
on_closed(void *host, enum stream_end why, const char *words)
{
	(void)why;
	(void)words;
	peer_gone(host);
}

static const struct stream_calls peer_calls = { .bytes = on_bytes,
	.closed = on_closed };

static void
on_accepted(void *host, int fd, const struct loop_peer *from)
{
	struct ctl_server *s = host;

	if (from->uid != 0 && from->uid != geteuid()) {
		(void)close(fd);
		return;
	}
	struct ctl_peer *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->server = s;
	p->in = BUF_MAX(2 * CTL_BODY_MAX);
	list_add(&s->peers, &p->link);
	p->stream = stream_new(s->loop, fd, &peer_calls, p);
}

struct ctl_server *
ctl_server_new(struct loop *l, const char *path, const struct ctl_calls *calls,
		void *host, struct err *err)
{
	int fd = listen_open(path, err);

	if (fd < 0)
		return NULL;

	struct ctl_server *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->loop = l;
	s->calls = calls;
	s->host = host;
	list_init(&s->peers);
	s->listen = loop_listen_new(l, fd, on_accepted, NULL, s);
	return s;
}

void
ctl_server_free(struct ctl_server *s)
{
	if (!s)
		return;
	LIST_EACH (link, &s->peers)
		peer_free(LIST_ITEM(link, struct ctl_peer, link));
	loop_listen_free(s->listen);
	free(s);
}

bool
ctl_reply(struct ctl_peer *p, enum ctl_kind kind, struct span body)
{
	AUTO(buf_done) struct buf frame = BUF_MAX(CTL_BODY_MAX + 16);

	return ctl_frame(&frame, kind, body) &&
			stream_write(p->stream, buf_span(&frame));
}
