#include "postern/crash.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool crash_armed;

static const char *crash_name; /* NULL: any */
static size_t crash_name_len;
static unsigned long crash_at; /* 0: never */
static const char *crash_trace;
static atomic_ulong crash_passed;
static int crash_signal = SIGKILL;

/* Before main: the environment is still whole and there is one thread. */
__attribute__((constructor)) static void
crash_arm(void)
{
	const char *want = getenv("POSTERN_CRASH");

	const char *by = getenv("POSTERN_CRASH_SIGNAL");

	crash_trace = getenv("POSTERN_CRASH_TRACE");
	if (by && *by)
		crash_signal = (int)strtol(by, NULL, 10);
	if (want && *want) {
		const char *mark = strchr(want, '#');

		crash_name_len = mark ? (size_t)(mark - want) : strlen(want);
		crash_name = crash_name_len > 0 ? want : NULL;
		crash_at = mark ? strtoul(mark + 1, NULL, 10) : 1;
	}
	crash_armed = crash_at > 0 || crash_trace;
}

void
crash_here(const char *name)
{
	size_t n = strlen(name);

	if (crash_trace) {
		int fd = open(crash_trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
				0600);
		char line[128];

		if (fd >= 0 && n < sizeof(line)) {
			memcpy(line, name, n);
			line[n] = '\n';
			ssize_t put = write(fd, line, n + 1);
			(void)put; /* a trace that cannot be written is only shorter */
		}
		if (fd >= 0)
			(void)close(fd);
	}
	if (crash_at == 0)
		return;
	if (crash_name && (n != crash_name_len || memcmp(name, crash_name, n) != 0))
		return;
	if (atomic_fetch_add(&crash_passed, 1) + 1 == crash_at)
		(void)raise(crash_signal);
}
