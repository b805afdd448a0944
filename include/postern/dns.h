/* dns: names to addresses, on a loop (dns_lookup) or waiting (dns_wait).
 *
 * Honours /etc/hosts and the search list of resolv.conf. UDP first, TCP when
 * an answer was cut; when TCP cannot be had, what the cut answer held is used,
 * and nothing in it is a temporary failure, never "no such name". IP literals
 * are answered without any server. */
#ifndef POSTERN_DNS_H
#define POSTERN_DNS_H

#include <stddef.h>
#include <stdint.h>

#include "postern/err.h"
#include "postern/net.h"

struct dns;
struct dns_query;
struct loop;

enum dns_answer {
	DNS_FOUND,
	DNS_NO_NAME, /* the name does not exist: final */
	DNS_NO_DATA, /* it exists and has no address: final */
	DNS_TEMPORARY, /* time-out, SERVFAIL, nobody there: ask again later */
};

struct dns_setup {
	const char *const *
			servers; /* "ADDRESS[:PORT]", NULL at the end; NULL: resolv.conf */
	int64_t timeout_ms; /* per try of a server; 0: 5 s */
};

enum { DNS_ADDRS_MAX = 32 };

/* Strings of the setup are copied. NULL and *err on a server that is none. */
struct dns *dns_new(struct loop *l, const struct dns_setup *setup, struct err *err);
bool dns_idle(const struct dns *d); /* no query waits for its answer */
void dns_free(struct dns *d); /* pending queries end without being answered */
/* Calls `answered` once, from the loop, never from inside this call. The
 * addresses (in order of preference, at most DNS_ADDRS_MAX) are valid during the
 * call only; `words` says what went wrong, for the log. The query is gone after
 * the call. */
struct dns_query *dns_lookup(struct dns *d, const char *host, uint16_t port,
		void (*answered)(void *host, enum dns_answer answer,
				const struct net_addr *addrs, size_t n,
				const char *words),
		void *hosting);
void dns_cancel(struct dns_query *q); /* it will not be answered */

struct dns_question {
	const char *host;
	uint16_t port; /* for the addresses found */
	int64_t deadline_ms; /* monotonic */
	int cancel_fd; /* no longer wanted when it becomes readable; < 0: none */
};

/* The same for a thread that may block. *n is the room in addrs, and then how
 * many were found. */
enum dns_answer dns_wait(const struct dns_setup *setup, const struct dns_question *q,
		struct net_addr *addrs, size_t *n, struct err *err);

#endif
