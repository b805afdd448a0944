#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "postern/buf.h"
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
	memcpy(text, path.p, slash);
	text[slash] = '\0';
	AUTO(fd_done) int fd = open(text, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, 0, errno, "cannot open the directory %s", text);
	AUTO(buf_done) struct buf near = BUF_MAX(sizeof(text));
	if (!buf_addf(&near, "/proc/self/fd/%d/", fd) ||
			!buf_add(&near, span_skip(path, slash + 1)) ||
			!net_addr_unix(buf_span(&near), out))
		return err_set(err, 0, SPAN_FMT " is too long for the path of a socket",
				SPAN_ARG(path));
	*dir = fd_take(&fd);
	return true;
}
