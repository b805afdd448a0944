#include "postern/descriptors.h"

#include <sys/resource.h>

enum {
	/* What the relay has open with nobody there and nothing to do: some 32, and a dozen
	 * for the resolver, the control socket and a file that is read just now. */
	OWN = 44,
	OWN_ALONE = OWN + 8, /* the collectors' own beside it */
	OF_WORKER = 12, /* both connections, the database, a name being looked up */
	OF_SESSION = 2, /* the socket, and the file that a large message lies in */
	OF_MAILDIR = 3,
	OF_PICKUP = 2, /* the file that is taken, and where a large one goes */
	LEAST = 2,
};

size_t
descriptors_raise(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		return 1024;
	if (l.rlim_cur < l.rlim_max) {
		rlim_t was = l.rlim_cur;

		l.rlim_cur = l.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &l) != 0)
			l.rlim_cur = was;
	}
	return l.rlim_cur;
}

static size_t
share(size_t room, size_t part, size_t least, size_t most)
{
	size_t n = room / part;

	n = n < most ? n : most;
	return n > least ? n : least;
}

void
descriptors_divide(size_t limit, bool alone, size_t clients, size_t outgoing,
		struct descriptors *out)
{
	size_t own = alone ? OWN_ALONE : OWN;
	size_t room = limit > own ? limit - own : 0;
	struct descriptors d = {
		/* Where they are one process, a worker takes from this room itself. */
		.workers = share(room, alone ? 2 * OF_WORKER : 16, alone ? 1 : LEAST,
				DESCRIPTORS_WORKERS),
		.outgoing = share(room, 16, LEAST, outgoing),
		.drops = share(room, 32, 1, DESCRIPTORS_DROPS),
		.maildirs = share(room, 48, 1, DESCRIPTORS_MAILDIRS),
		.pickups = share(room, 32, LEAST, DESCRIPTORS_PICKUPS),
	};

	d.outgoing = d.outgoing < outgoing ? d.outgoing : outgoing;
	d.kept = OF_SESSION * (d.workers + d.outgoing) + d.drops +
			OF_MAILDIR * d.maildirs + OF_PICKUP * d.pickups;
	size_t left = room > d.kept ? room - d.kept : 0;
	d.clients = share(left, OF_SESSION, 1, clients);
	*out = d;
}
