#include "hand.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "postern/file.h"

enum { HAND_UID = 255 };

struct name {
	_Atomic uint32_t n; /* 0: nothing */
	char text[HAND_UID];
};

struct page {
	struct name held;
	struct {
		struct name uid;
		uint32_t times;
	} blamed[HAND_BLAMED];
	uint64_t life; /* of the process that held it */
	_Atomic uint32_t fault; /* and that died of a fault with it */
};

struct hand {
	struct page *page;
	char *path;
};

static _Thread_local struct page *mine;
static const int faults[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE };
enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };
static struct sigaction before[FAULTS];

/* Notes it, and lets the process die as it would have. */
static void
on_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (mine && atomic_load(&mine->held.n) > 0)
		atomic_store(&mine->fault, 1);
	for (size_t i = 0; i < FAULTS; i++)
		if (faults[i] == sig)
			(void)sigaction(sig, &before[i], NULL);
	/* What the kernel reports comes again when the thread goes on. */
	if (info->si_code <= 0)
		(void)raise(sig);
}

void
hand_watch(void)
{
	static atomic_flag watching = ATOMIC_FLAG_INIT;
	struct sigaction act = { .sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_NODEFER };

	if (atomic_flag_test_and_set(&watching))
		return;
	for (size_t i = 0; i < FAULTS; i++)
		(void)sigaction(faults[i], &act, &before[i]);
}

static struct page *
map(const char *path)
{
	AUTO(fd_done)
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
			0600);
	void *p = MAP_FAILED;

	/* A page of a hole is found out when it is written to, with SIGBUS if the disk is
	 * full: the blocks are there before. */
	if (fd >= 0 && posix_fallocate(fd, 0, sizeof(struct page)) == 0)
		p = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED,
				fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

static struct span
read_name(const struct name *from)
{
	uint32_t n = atomic_load(&from->n);

	/* The file is ours, but nothing in it is believed. */
	return (struct span){ from->text, n <= HAND_UID ? n : 0 };
}

static void
write_name(struct name *to, struct span uid)
{
	atomic_store(&to->n, 0);
	if (uid.n == 0 || uid.n > HAND_UID)
		return;
	memcpy(to->text, uid.p, uid.n);
	atomic_store(&to->n, (uint32_t)uid.n);
}

/* Threads have all signals blocked; a fault that is blocked passes the handler by. */
static void
hear_faults(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < FAULTS; i++)
		(void)sigaddset(&set, faults[i]);
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void
blame(struct page *p, uint64_t life)
{
	bool guilty = atomic_load(&p->fault) != 0 || (life != 0 && p->life == life);
	struct span uid = guilty ? read_name(&p->held) : SPAN("");

	for (size_t i = 0; uid.n > 0 && i < HAND_BLAMED; i++) {
		struct span known = read_name(&p->blamed[i].uid);

		if (known.n > 0 && !span_eq(known, uid))
			continue;
		if (known.n == 0) {
			p->blamed[i].times = 0;
			write_name(&p->blamed[i].uid, uid);
		}
		p->blamed[i].times++;
		break;
	}
	atomic_store(&p->held.n, 0);
	atomic_store(&p->fault, 0);
	p->life = life;
}

struct hand *
hand_open(const char *state, struct span account, uint64_t life)
{
	struct hand *h = calloc(1, sizeof(*h));

	if (!h ||
			asprintf(&h->path, "%s/run/hand." SPAN_FMT, state,
					SPAN_ARG(account)) < 0)
		abort();
	h->page = map(h->path);
	if (!h->page) {
		free(h->path);
		free(h);
		return NULL;
	}
	blame(h->page, life);
	mine = h->page;
	hear_faults();
	return h;
}

unsigned
hand_blamed(const struct hand *h, size_t i, struct span *uid)
{
	if (!h || i >= HAND_BLAMED)
		return 0;
	*uid = read_name(&h->page->blamed[i].uid);
	return uid->n > 0 ? h->page->blamed[i].times : 0;
}

void
hand_take(struct hand *h, struct span uid)
{
	if (h)
		write_name(&h->page->held, uid);
}

void
hand_drop(struct hand *h)
{
	if (h)
		atomic_store(&h->page->held.n, 0);
}

void
hand_close(struct hand *h)
{
	if (!h)
		return;
	hand_drop(h);
	mine = NULL;
	(void)munmap(h->page, sizeof(*h->page));
	(void)unlink(h->path);
	free(h->path);
	free(h);
}
