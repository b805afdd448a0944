#include "postern/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/inotify.h>
#include <unistd.h>

int
watch_open(const char *path, struct err *err)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0) {
		(void)err_errno(err, 0, errno, "cannot watch directories");
		return -1;
	}
	if (inotify_add_watch(fd, path,
			    IN_CLOSE_WRITE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR |
					    IN_DELETE_SELF | IN_MOVE_SELF) < 0) {
		(void)err_errno(err, 0, errno, "cannot watch %s", path);
		(void)close(fd);
		return -1;
	}
	return fd;
}

bool
watch_drain(int fd)
{
	_Alignas(struct inotify_event) char room[4096];
	bool there = true;
	ssize_t n;

	while ((n = read(fd, room, sizeof(room))) > 0) {
		for (char *p = room; p < room + n;) {
			const struct inotify_event *e = (const void *)p;

			there = there &&
					!(e->mask &
							(IN_DELETE_SELF | IN_MOVE_SELF |
									IN_IGNORED));
			p += sizeof(*e) + e->len;
		}
	}
	return there;
}

bool
watch_has_writer(int fd)
{
	/* A read lease is refused while a writer is there. Should one come before it is
	 * given back, the kernel tells with a signal that nobody minds. */
	if (fcntl(fd, F_SETSIG, SIGURG) != 0)
		return false;
	if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0)
		return errno == EAGAIN;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return false;
}
