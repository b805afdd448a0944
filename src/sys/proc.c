#include "postern/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/file.h"

/* stdin and stderr from and to nowhere, stdout to out_fd, a group of its own,
 * no signal blocked or ignored. 0 or an errno. */
static int
proc_spawn(const char *const *argv, int out_fd, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t all, none;

	(void)sigfillset(&all);
	(void)sigemptyset(&none);
	int no = posix_spawn_file_actions_init(&files);
	if (no != 0)
		return no;
	no = posix_spawnattr_init(&attr);
	if (no != 0) {
		(void)posix_spawn_file_actions_destroy(&files);
		return no;
	}
	no = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	if (no == 0)
		no = posix_spawn_file_actions_adddup2(&files, out_fd, 1);
	if (no == 0)
		no = posix_spawn_file_actions_addopen(
				&files, 2, "/dev/null", O_WRONLY, 0);
	(void)posix_spawnattr_setpgroup(&attr, 0);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	(void)posix_spawnattr_setflags(&attr,
			POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
					POSIX_SPAWN_SETSIGDEF);
	if (no == 0)
		/* argv was made before const; nothing writes to it. */
		no = posix_spawnp(pid, argv[0], &files, &attr,
				(char *const *)(uintptr_t)argv, environ);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&files);
	return no;
}

/* Reads what is there, which may be a secret. false: too much of it. */
static bool
proc_drain(int *fd, struct buf *out)
{
	char piece[4096];
	bool fits = true;

	while (fits) {
		ssize_t got = read(*fd, piece, sizeof(piece));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			break;
		if (got <= 0) {
			fd_done(fd);
			break;
		}
		fits = buf_add(out, (struct span){ piece, (size_t)got });
	}
	explicit_bzero(piece, sizeof(piece));
	return fits;
}

/* Until it has ended: true; or a limit was passed: false. */
static bool
proc_watch(const char *name, int pidfd, int *out_fd, int64_t until, struct buf *out,
		struct err *err)
{
	for (;;) {
		int64_t left = until - clock_mono_ms();
		struct pollfd fds[2] = {
			{ .fd = *out_fd, .events = POLLIN },
			{ .fd = pidfd, .events = POLLIN },
		};

		if (left <= 0)
			return err_set(err, 0, "%s did not end in time", name);
		if (poll(fds, 2, left > 60000 ? 60000 : (int)left) < 0 &&
				errno != EINTR)
			return err_errno(err, 0, errno, "cannot wait for %s", name);
		if (*out_fd >= 0 && (fds[0].revents || fds[1].revents) &&
				!proc_drain(out_fd, out))
			return err_set(err, 0, "%s says too much", name);
		if (fds[1].revents)
			return true;
	}
}

bool
proc_run(const char *const *argv, int64_t limit_ms, struct buf *out, int *status,
		struct err *err)
{
	int64_t until = clock_mono_ms() + limit_ms;
	size_t before = out->n;
	int ends[2];
	pid_t pid;

	if (!argv || !argv[0])
		return err_set(err, 0, "no command");
	if (pipe2(ends, O_CLOEXEC) != 0)
		return err_errno(err, 0, errno, "cannot make a pipe");
	AUTO(fd_done) int from = ends[0];
	AUTO(fd_done) int to = ends[1];
	/* Ours only: the program would not expect its stdout to be non-blocking. */
	if (!fd_nonblock(from))
		return err_errno(err, 0, errno, "cannot set up a pipe");
	int no = proc_spawn(argv, to, &pid);
	if (no != 0)
		return err_errno(err, 0, no, "cannot run %s", argv[0]);
	fd_done(&to);

	AUTO(fd_done) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	bool ended = pidfd >= 0
			? proc_watch(argv[0], pidfd, &from, until, out, err)
			: err_errno(err, 0, errno, "cannot wait for %s", argv[0]);
	/* Also when it has ended: what it left running goes with it. Its pid is
	 * ours until waitpid, so the group cannot be somebody else's. */
	(void)kill(-pid, SIGKILL);

	int how = 0;
	while (waitpid(pid, &how, 0) < 0)
		if (errno != EINTR)
			return err_errno(err, 0, errno, "%s is gone without a status",
					argv[0]);
	if (!ended) {
		out->n = before;
		return false;
	}
	*status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
	return true;
}
