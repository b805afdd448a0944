#include "postern/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "connect.h"
#include "dial_in.h"
#include "postern/clock.h"
#include "postern/file.h"
#include "sockaddr.h"
#include "tls_io.h"

enum {
	CONNECT_PRESET_MS = 30000,
	IDLE_PRESET_MS = 60000,
	PARTS_AT_ONCE = 64,
	RECORD = 15 * 1024
};

struct dial {
	int fd;
	struct tls_io *tls;
	struct dial_cancel *cancel;
	int64_t connect_ms, idle_ms, deadline_ms;
	struct net_addr peer;
	uint64_t in, out;
	enum dial_end why;
	struct err said;
};

static const char *const end_names[] = {
	[DIAL_OK] = "ok",
	[DIAL_NO_NAME] = "no such name",
	[DIAL_DNS] = "name service failed",
	[DIAL_REFUSED] = "cannot connect",
	[DIAL_EOF] = "connection closed by the other side",
	[DIAL_RESET] = "connection broken",
	[DIAL_IDLE] = "timed out",
	[DIAL_DEADLINE] = "took too long",
	[DIAL_CANCELLED] = "cancelled",
	[DIAL_CERTIFICATE] = "certificate not accepted",
	[DIAL_PIN] = "key is not the pinned one",
	[DIAL_TLS] = "TLS failed",
	[DIAL_SYSTEM] = "system error",
};

const char *
dial_end_name(enum dial_end end)
{
	return end_names[end];
}

/* Notes why it is over, once; gives false to return. */
static bool
dial_end(struct dial *d, enum dial_end why, const char *words)
{
	d->why = why;
	if (words && *words)
		(void)err_set(&d->said, 0, "%s: %s", end_names[why], words);
	else
		(void)err_set(&d->said, 0, "%s", end_names[why]);
	return false;
}

static bool
dial_broke(struct dial *d, int no)
{
	return dial_end(d,
			no == EMFILE || no == ENOBUFS || no == ENOMEM ? DIAL_SYSTEM
								      : DIAL_RESET,
			err_words(no));
}

static bool
dial_alive(struct dial *d)
{
	if (d->cancel && atomic_load(&d->cancel->called))
		return dial_end(d, DIAL_CANCELLED, NULL);
	if (d->deadline_ms > 0 && clock_mono_ms() >= d->deadline_ms)
		return dial_end(d, DIAL_DEADLINE, NULL);
	return true;
}

/* Waits for the fd within the idle limit and the deadline. */
static bool
dial_poll(struct dial *d, short events, int64_t until_ms)
{
	for (;;) {
		if (!dial_alive(d))
			return false;
		int64_t now = clock_mono_ms(), wait = until_ms - now;

		if (wait <= 0)
			return dial_end(d, DIAL_IDLE, NULL);
		if (d->deadline_ms > 0 && d->deadline_ms - now < wait)
			wait = d->deadline_ms - now;
		struct pollfd fds[2] = {
			{ .fd = d->fd, .events = events },
			{ .fd = d->cancel ? d->cancel->fd : -1, .events = POLLIN },
		};
		int ready = poll(fds, 2, wait > 60000 ? 60000 : (int)wait);
		if (ready < 0 && errno != EINTR)
			return dial_broke(d, errno);
		if (ready > 0 && fds[0].revents)
			return true;
	}
}

static int64_t
dial_idle_end(const struct dial *d)
{
	return clock_mono_ms() + d->idle_ms;
}

static bool
dial_tls_ended(struct dial *d, enum tls_step step)
{
	switch (step) {
	case TLS_EOF:
		return dial_end(d, DIAL_EOF, NULL);
	case TLS_CUT:
		return dial_end(d, DIAL_RESET, tls_io_words(d->tls));
	case TLS_CERT:
		return dial_end(d,
				tls_io_pin_failed(d->tls) ? DIAL_PIN : DIAL_CERTIFICATE,
				tls_io_words(d->tls));
	case TLS_OK:
	case TLS_WANT_READ:
	case TLS_WANT_WRITE:
	case TLS_BAD:
		break;
	}
	return dial_end(d, DIAL_TLS, tls_io_words(d->tls));
}

static struct dial *
dial_new(int fd, int64_t idle_ms, struct dial_cancel *cancel)
{
	struct dial *d = calloc(1, sizeof(*d));

	if (!d)
		abort();
	d->fd = fd;
	d->cancel = cancel;
	d->idle_ms = idle_ms > 0 ? idle_ms : IDLE_PRESET_MS;
	d->connect_ms = CONNECT_PRESET_MS;
	return d;
}

struct dial *
dial_from_fd(int fd, int64_t idle_ms, struct dial_cancel *cancel)
{
	return dial_new(fd, idle_ms, cancel);
}

static bool
dial_handshake(struct dial *d, int64_t until_ms)
{
	for (;;) {
		enum tls_step step = tls_io_handshake(d->tls);

		if (step == TLS_OK)
			return true;
		if (step != TLS_WANT_READ && step != TLS_WANT_WRITE)
			return dial_tls_ended(d, step);
		if (!dial_poll(d, step == TLS_WANT_READ ? POLLIN : POLLOUT, until_ms))
			return false;
	}
}

bool
dial_starttls(struct dial *d, struct tls *tls, const char *name, struct err *err)
{
	if (d->tls)
		return err_set(err, 0, "TLS is already there");
	if (d->why != DIAL_OK)
		return err_set(err, 0, "%s", d->said.text);
	d->tls = tls_io_new(tls, d->fd, name, &d->peer);
	return dial_handshake(d, clock_mono_ms() + d->connect_ms) ||
			err_set(err, 0, "%s", d->said.text);
}

static enum dial_end
dial_resolve(const struct dial_to *to, int64_t until, struct net_addr *addrs, size_t *n,
		int *dir, struct err *err)
{
	if (!to->host) {
		*n = 1;
		return sockaddr_unix(span_of(to->unix_path), &addrs[0], dir, err)
				? DIAL_OK
				: DIAL_REFUSED;
	}

	int bell = to->cancel ? to->cancel->fd : -1;
	const struct dns_question q = { to->host, to->port, until, bell };
	switch (dns_wait(to->dns, &q, addrs, n, err)) {
	case DNS_FOUND:
		return DIAL_OK;
	case DNS_NO_NAME:
	case DNS_NO_DATA:
		return DIAL_NO_NAME;
	case DNS_TEMPORARY:
		break;
	}
	if (to->cancel && dial_cancelled(to->cancel)) {
		(void)err_set(err, 0, "%s", end_names[DIAL_CANCELLED]);
		return DIAL_CANCELLED;
	}
	return DIAL_DNS;
}

static enum dial_end
dial_connect_failed(
		const struct dial_to *to, const struct connect_try *t, struct err *err)
{
	char at[NET_TEXT_SIZE] = "";

	if (t->no == ECANCELED) {
		(void)err_set(err, 0, "%s", end_names[DIAL_CANCELLED]);
		return DIAL_CANCELLED;
	}
	if (t->peer)
		net_addr_text(t->peer, at);
	if (to->host)
		(void)err_errno(err, 0, t->no, "cannot connect to %s (%s) port %u",
				to->host, at, to->port);
	else
		(void)err_errno(err, 0, t->no, "cannot connect to %s", to->unix_path);
	switch (t->no) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return DIAL_SYSTEM;
	default:
		return DIAL_REFUSED;
	}
}

static int
dial_connect(const struct dial_to *to, int64_t until, struct net_addr *peer,
		enum dial_end *why, struct err *err)
{
	struct net_addr addrs[DNS_ADDRS_MAX];
	size_t n = DNS_ADDRS_MAX;

	AUTO(fd_done) int dir = -1; /* of a socket with a long path */

	*why = dial_resolve(to, until, addrs, &n, &dir, err);
	if (*why != DIAL_OK)
		return -1;
	struct connect_try t = {
		.addrs = addrs,
		.n = n,
		.until_ms = until,
		.cancel_fd = to->cancel ? to->cancel->fd : -1,
	};
	int fd = connect_first(&t);
	if (fd < 0)
		*why = dial_connect_failed(to, &t, err);
	else
		*peer = *t.peer;
	return fd;
}

struct dial *
dial_open(const struct dial_to *to, enum dial_end *why, struct err *err)
{
	int64_t limit = to->connect_ms > 0 ? to->connect_ms : CONNECT_PRESET_MS;
	int64_t until = clock_mono_ms() + limit;
	struct net_addr peer;

	if (to->deadline_ms > 0 && to->deadline_ms < until)
		until = to->deadline_ms;
	int fd = dial_connect(to, until, &peer, why, err);
	if (fd < 0)
		return NULL;

	struct dial *d = dial_new(fd, to->idle_ms, to->cancel);
	d->connect_ms = limit;
	d->deadline_ms = to->deadline_ms;
	d->peer = peer;
	if (!to->tls)
		return d;
	d->tls = tls_io_new(to->tls, fd, to->host, &peer);
	if (dial_handshake(d, until))
		return d;
	*why = d->why;
	(void)err_set(err, 0, "TLS with %s port %u: %s",
			to->host ? to->host : to->unix_path, to->port, d->said.text);
	dial_close(d);
	return NULL;
}

void
dial_close(struct dial *d)
{
	if (!d)
		return;
	if (d->tls)
		tls_io_goodbye(d->tls);
	tls_io_free(d->tls);
	fd_done(&d->fd);
	free(d);
}

/* One try: > 0 bytes, 0: not now (*events says what for), -1: the end. */
static ssize_t
dial_try_read(struct dial *d, void *p, size_t n, short *events)
{
	size_t got = 0;

	if (d->why != DIAL_OK)
		return -1;
	*events = POLLIN;
	if (d->tls) {
		enum tls_step step = tls_io_read(d->tls, p, n, &got);

		if (step == TLS_WANT_WRITE)
			*events = POLLOUT;
		if (step == TLS_WANT_READ || step == TLS_WANT_WRITE)
			return 0;
		if (step != TLS_OK) {
			(void)dial_tls_ended(d, step);
			return -1;
		}
	} else {
		ssize_t rc;

		do
			rc = recv(d->fd, p, n, 0);
		while (rc < 0 && errno == EINTR);
		if (rc < 0 && errno == EAGAIN)
			return 0;
		if (rc <= 0) {
			(void)(rc == 0 ? dial_end(d, DIAL_EOF, NULL)
				       : dial_broke(d, errno));
			return -1;
		}
		got = (size_t)rc;
	}
	d->in += got;
	return (ssize_t)got;
}

ssize_t
dial_read(struct dial *d, void *p, size_t n)
{
	int64_t until = 0;

	for (;;) {
		short events;
		if (!dial_alive(d))
			return -1;
		ssize_t got = dial_try_read(d, p, n, &events);

		if (got != 0)
			return got;
		if (until == 0)
			until = dial_idle_end(d);
		if (!dial_poll(d, events, until))
			return -1;
	}
}

ssize_t
dial_read_now(struct dial *d, void *p, size_t n)
{
	short events;

	return dial_try_read(d, p, n, &events);
}

static ssize_t
dial_try_write(struct dial *d, struct iovec *iov, size_t n, short *events)
{
	size_t put = 0;

	if (d->why != DIAL_OK)
		return -1;
	*events = POLLOUT;
	if (d->tls) {
		enum tls_step step =
				tls_io_write(d->tls, iov->iov_base, iov->iov_len, &put);

		if (step == TLS_WANT_READ)
			*events = POLLIN;
		if (step == TLS_WANT_READ || step == TLS_WANT_WRITE)
			return 0;
		if (step != TLS_OK) {
			(void)dial_tls_ended(d, step);
			return -1;
		}
	} else {
		struct msghdr m = { .msg_iov = iov, .msg_iovlen = n };
		ssize_t rc;

		do
			rc = sendmsg(d->fd, &m, MSG_NOSIGNAL);
		while (rc < 0 && errno == EINTR);
		if (rc < 0 && errno == EAGAIN)
			return 0;
		if (rc < 0) {
			(void)dial_broke(d, errno);
			return -1;
		}
		put = (size_t)rc;
	}
	d->out += put;
	return (ssize_t)put;
}

static ssize_t
dial_put(struct dial *d, struct iovec *iov, size_t n)
{
	int64_t until = 0;

	for (;;) {
		short events;
		if (!dial_alive(d))
			return -1;
		ssize_t put = dial_try_write(d, iov, n, &events);

		if (put != 0)
			return put;
		if (until == 0)
			until = dial_idle_end(d);
		if (!dial_poll(d, events, until))
			return -1;
	}
}

static struct iovec
dial_iovec(struct span s)
{
	/* The kernel and OpenSSL only read; iovec was made before const. */
	return (struct iovec){ .iov_base = (void *)(uintptr_t)s.p, .iov_len = s.n };
}

ssize_t
dial_write(struct dial *d, const void *p, size_t n)
{
	struct iovec one = dial_iovec((struct span){ p, n });

	if (n == 0)
		return 0;
	return dial_put(d, &one, 1);
}

ssize_t
dial_write_now(struct dial *d, const void *p, size_t n)
{
	struct iovec one = dial_iovec((struct span){ p, n });
	short events;

	return n == 0 ? 0 : dial_try_write(d, &one, 1, &events);
}

bool
dial_wait_both(struct dial *d, int64_t wait_ms)
{
	if (d->why != DIAL_OK)
		return false;
	return dial_poll(d, POLLIN | POLLOUT, clock_mono_ms() + wait_ms);
}

/* TLS: small parts become one record. */
static bool
dial_send_tls(struct dial *d, const struct span *parts, size_t n)
{
	char record[RECORD];
	size_t held = 0;

	for (size_t i = 0; i < n; i++) {
		struct span s = parts[i];

		while (s.n > 0) {
			size_t take = s.n < RECORD - held ? s.n : RECORD - held;

			memcpy(record + held, s.p, take);
			held += take;
			s = span_skip(s, take);
			bool last = i + 1 == n && s.n == 0;
			struct span out = { record, held };
			while (out.n > 0 && (held == RECORD || last)) {
				ssize_t put = dial_write(d, out.p, out.n);
				if (put < 0)
					return false;
				out = span_skip(out, (size_t)put);
			}
			held = out.n;
		}
	}
	/* Empty parts may have stood at the end. */
	struct span out = { record, held };
	while (out.n > 0) {
		ssize_t put = dial_write(d, out.p, out.n);
		if (put < 0)
			return false;
		out = span_skip(out, (size_t)put);
	}
	return true;
}

bool
dial_send(struct dial *d, const struct span *parts, size_t n)
{
	struct iovec iov[PARTS_AT_ONCE];
	size_t skip = 0; /* bytes of parts[0] that are out */

	if (d->tls)
		return dial_send_tls(d, parts, n);
	for (;;) {
		while (n > 0 && skip == parts->n) {
			parts++;
			n--;
			skip = 0;
		}
		if (n == 0)
			return true;
		size_t count = n < PARTS_AT_ONCE ? n : PARTS_AT_ONCE;
		for (size_t i = 0; i < count; i++)
			iov[i] = dial_iovec(i ? parts[i] : span_skip(parts[0], skip));
		ssize_t put = dial_put(d, iov, count);
		if (put < 0)
			return false;
		size_t left = (size_t)put;
		while (n > 0 && left >= parts->n - skip) {
			left -= parts->n - skip;
			parts++;
			n--;
			skip = 0;
		}
		skip += left;
	}
}

bool
dial_wait(struct dial *d, int64_t wait_ms)
{
	if (d->why != DIAL_OK || (d->tls && tls_io_pending(d->tls)))
		return true;
	struct pollfd fds[2] = {
		{ .fd = d->fd, .events = POLLIN },
		{ .fd = d->cancel ? d->cancel->fd : -1, .events = POLLIN },
	};
	return poll(fds, 2, wait_ms > 600000 ? 600000 : (int)wait_ms) > 0;
}

void
dial_hurry(struct dial *d)
{
	const int on = 1;

	/* Not TCP, or no such option: then it only takes longer. */
	(void)setsockopt(d->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

void
dial_set_idle(struct dial *d, int64_t idle_ms)
{
	d->idle_ms = idle_ms;
}

void
dial_set_deadline(struct dial *d, int64_t mono_ms)
{
	d->deadline_ms = mono_ms;
}

int
dial_fd(const struct dial *d)
{
	return d->fd;
}

enum dial_end
dial_why(const struct dial *d)
{
	return d->why;
}

const char *
dial_error(const struct dial *d)
{
	return d->said.text;
}

const struct net_addr *
dial_peer(const struct dial *d)
{
	return &d->peer;
}

bool
dial_is_tls(const struct dial *d)
{
	return d->tls;
}

bool
dial_tls_facts(const struct dial *d, struct tls_facts *out)
{
	if (!d->tls)
		return false;
	tls_io_facts(d->tls, out);
	return true;
}

uint64_t
dial_bytes_in(const struct dial *d)
{
	return d->in;
}

uint64_t
dial_bytes_out(const struct dial *d)
{
	return d->out;
}
