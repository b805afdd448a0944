#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "postern/file.h"
#include "sockaddr.h"

bool
sockaddr_unix(struct span path, struct net_addr *out, int *dir, struct err *err)
{
	char text[PATH_MAX];
	size_t slash = span_rfind(path, '/');

	*dir = -1;
	if (net_addr_unix(path, out))
		return true;
	if (path.n == 0 || path.p[0] != '/' || path.n >= sizeof(text) ||
			span_find(path, '\0') < path.n)
		return err_set(err, 0, SPAN_FMT " is no path of a socket",
				SPAN_ARG(path));
	(void)snprintf(text, sizeof(text), SPAN_FMT, SPAN_ARG(span_first(path, slash)));
	AUTO(fd_done) int fd = open(text, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, 0, errno, "cannot open the directory %s", text);
	int n = snprintf(text, sizeof(text), "/proc/self/fd/%d/" SPAN_FMT, fd,
			SPAN_ARG(span_skip(path, slash + 1)));
	if (n < 0 || !net_addr_unix((struct span){ text, (size_t)n }, out))
		return err_set(err, 0, SPAN_FMT " is too long for the path of a socket",
				SPAN_ARG(path));
	*dir = fd_take(&fd);
	return true;
}
