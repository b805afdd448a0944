/* Both ends of the collector, on threads of their own: a provider that does what
 * it is told, and a relay made of the real receiving engine and the real store. */
#ifndef TESTS_FETCH_PEERS_H
#define TESTS_FETCH_PEERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "postern/buf.h"

enum { MAILS_MAX = 4000 };

struct provider_mail {
	char uid[32];
	struct buf data;
	atomic_bool gone;
};

/* A line as it comes, and what it gets. */
struct provider_line {
	const char *line, *reply;
};

struct provider {
	int fd;
	uint16_t port;
	pthread_t thread;
	struct provider_mail *mails;
	size_t n;
	_Atomic(const char *) caps; /* lines with CRLF; NULL: CAPA is refused */
	atomic_bool no_uidl; /* UIDL is refused */
	_Atomic(const char *)
			verb; /* a command that begins so gets this reply, "": is cut */
	_Atomic(const char *) reply; /* NULL: none at all */
	atomic_uint pause_us; /* before each answer */
	atomic_uint drip_us; /* before each octet */
	_Atomic(const char *) greeting;
	_Atomic(const struct provider_line *)
			script; /* before all else; ends with NULL */
	pthread_mutex_t lock;
	struct buf heard; /* every line, each with LF; under the lock */
	atomic_long cut_at; /* octets after which the connection is cut; < 0: never */
	atomic_long sent; /* in the last session */
	atomic_uint sessions, retrieved;
	atomic_uint ahead; /* commands that came before the last one was answered */
};

void provider_open(struct provider *p);
void provider_put(struct provider *p, const char *uid, struct span data);
/* Did it get a line that begins so? */
bool provider_heard(struct provider *p, const char *begin);
size_t provider_left(const struct provider *p);
void provider_close(struct provider *p);

struct relayed {
	char uid[256];
	struct buf data;
	char recipients[512];
	char badmail[64];
};

struct relay_stub {
	int fd;
	const char *state;
	struct store *store; /* the thread's */
	pthread_t thread;
	struct relayed *got; /* durable, in order */
	size_t n;
	atomic_size_t had; /* origins that came again */
	atomic_bool busy; /* MAIL is put off */
	atomic_bool foreign; /* it does not offer XCOLLECT */
	atomic_bool refuses; /* the whole message, for good */
	atomic_bool dies; /* once a message is durable, before it says so */
	atomic_uint mails; /* MAIL commands */
	atomic_size_t put_off; /* > 0: so many commits are done, then 451 */
};

void relay_stub_open(struct relay_stub *r, const char *state);
void relay_stub_settle(struct relay_stub *r, const char *account, const char *uid);
void relay_stub_close(struct relay_stub *r);

#endif
