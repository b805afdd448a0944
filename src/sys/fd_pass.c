/* fd_pass: descriptors on their way to another process. */
#include "postern/fd_pass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "postern/must.h"

union room {
	char bytes[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
	struct cmsghdr align;
};

bool
fd_pass_pair(int ends[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			    ends) == 0)
		return true;
	return err_errno(err, 0, errno, "cannot make a pair of sockets");
}

bool
fd_pass_send(int end, const int *fds, size_t n, struct err *err)
{
	union room room = { 0 };
	char byte = 0;
	struct iovec one = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &one, .msg_iovlen = 1 };

	MUST(n <= FD_PASS_MAX);
	if (n > 0) {
		m.msg_control = room.bytes;
		m.msg_controllen = CMSG_SPACE(n * sizeof(*fds));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(*fds));
		memcpy(CMSG_DATA(c), fds, n * sizeof(*fds));
	}
	for (;;) {
		if (sendmsg(end, &m, MSG_NOSIGNAL) == 1)
			return true;
		if (errno != EINTR)
			return err_errno(err, 0, errno, "cannot hand the sockets over");
	}
}

/* One parcel; -1: there is no more. */
static int
receive(int end, int fds[FD_PASS_MAX])
{
	union room room;
	char byte;
	struct iovec one = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &one,
		.msg_iovlen = 1,
		.msg_control = room.bytes,
		.msg_controllen = sizeof(room.bytes) };
	ssize_t got;

	do
		got = recvmsg(end, &m, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got != 1)
		return -1;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(*fds);
	memcpy(fds, CMSG_DATA(c), n * sizeof(*fds));
	return (int)n;
}

int
fd_pass_last(int end, int fds[FD_PASS_MAX])
{
	int next[FD_PASS_MAX], n = -1, got;

	while ((got = receive(end, next)) >= 0) {
		for (int i = 0; i < n; i++)
			(void)close(fds[i]);
		memcpy(fds, next, (size_t)got * sizeof(*fds));
		n = got;
	}
	return n;
}
