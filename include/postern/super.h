/* super: the process that starts the others and keeps them running.
 *
 * It binds the listening sockets, forks one process for each role, restarts a
 * role that ended with a growing pause, and passes on signals. It never touches
 * mail. Single-threaded, so that forking is safe. */
#ifndef POSTERN_SUPER_H
#define POSTERN_SUPER_H

#include <stddef.h>
#include <stdint.h>

#include "postern/err.h"

struct conf;

enum { SUPER_DAMAGED = 74 }; /* exit status of a role: what it lives on is damaged */

/* What a role gets. */
struct super_role_args {
	const struct conf *conf;
	const char *state;
	const int *listeners; /* sockets of smtp.listen, in that order */
	size_t listeners_n;
	int ready_fd; /* one byte, then close, when the role can be spoken to */
	/* Where the sockets of another configuration come, before `renew` asks for it:
	 * fd_pass_last. -1: for a role without `renew`. */
	int sockets_fd;
	/* Another number each time super itself, or a configuration, begins: two processes
	 * of a role that have it in common, and the first one ended by itself. */
	uint64_t life;
	/* For a role that takes another configuration while it runs: as in super_options. */
	struct conf *(*reload)(void *host);
	void (*drop)(struct conf *conf);
	void *host;
};

struct super_role {
	const char *name; /* "relay", "fetch": also the process title */
	/* Runs in the role's process until SIGTERM; its result is the exit status. 78
	 * means that the configuration cannot be carried out: no restart helps. With
	 * SUPER_DAMAGED a few are tried, then everything ends. */
	int (*run)(const struct super_role_args *args);
	/* Has the running role take the configuration that is in the file now; when this
	 * returns it has. False and *err: it must end and begin again with it. NULL: always so. */
	bool (*renew)(const struct conf *conf, struct err *err);
};

struct super_options {
	const struct super_role *
			roles; /* started in this order, each when the one before is ready */
	size_t n;
	/* A new configuration, or NULL when it has faults (they have been said). The one
	 * before is freed by `drop` when no role uses it any more. */
	struct conf *(*reload)(void *host);
	void (*drop)(struct conf *conf);
	/* Opens log and whatever else depends on the configuration; before the roles. */
	bool (*prepare)(void *host, const struct conf *conf, struct err *err);
	void *host;
};

/* Until SIGTERM or SIGINT; owns conf. The lock of the state is held by the
 * caller. Returns the exit status: 0, 1, or 78. */
int super_run(struct conf *conf, const struct super_options *o);

#endif
