#include "switch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int mutate_chosen, mutate_count;
unsigned char *mutate_reached;

__attribute__((constructor)) static void
mutate_start(void)
{
	const char *n = getenv("POSTERN_MUTANT"), *path = getenv("POSTERN_REACHED");
	struct stat st;

	mutate_chosen = n ? (int)strtol(n, NULL, 10) : 0;
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_size > 0) {
		void *p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
				MAP_SHARED, fd, 0);
		if (p != MAP_FAILED) {
			mutate_reached = p;
			mutate_count = (int)st.st_size;
		}
	}
	(void)close(fd);
}
