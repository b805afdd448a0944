#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dial_in.h"
#include "postern/file.h"

struct dial_cancel *
dial_cancel_new(struct err *err)
{
	struct dial_cancel *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (c->fd < 0) {
		(void)err_errno(err, 0, errno, "cannot make an eventfd");
		free(c);
		return NULL;
	}
	return c;
}

void
dial_cancel_now(struct dial_cancel *c)
{
	const uint64_t one = 1;
	int no = errno;

	if (!atomic_exchange(&c->called, true)) {
		ssize_t put = write(c->fd, &one, sizeof(one));
		(void)put;
	}
	errno = no;
}

bool
dial_cancelled(const struct dial_cancel *c)
{
	return atomic_load(&c->called);
}

void
dial_cancel_reset(struct dial_cancel *c)
{
	uint64_t rings;
	ssize_t got = read(c->fd, &rings, sizeof(rings));

	(void)got;
	atomic_store(&c->called, false);
}

void
dial_cancel_free(struct dial_cancel *c)
{
	if (!c)
		return;
	fd_done(&c->fd);
	free(c);
}
