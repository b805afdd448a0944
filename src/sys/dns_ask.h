/* dns_ask: one question about addresses, driven by c-ares, for the loop and for
 * threads that wait. */
#ifndef SYS_DNS_ASK_H
#define SYS_DNS_ASK_H

#include <ares.h>

#include "postern/dns.h"

enum { DNS_UDP, DNS_TCP, DNS_CHANNELS, DNS_GRACE_MS = 300 };

/* Two channels to the same servers: the first takes cut answers as they come,
 * the second asks again by TCP. */
struct dns_channels {
	ares_channel at[DNS_CHANNELS];
};

/* `changed` (may be NULL): c-ares wants an fd watched otherwise from now on; it
 * gets args[DNS_UDP] or args[DNS_TCP]. */
bool dns_channels_open(struct dns_channels *c, const struct dns_setup *setup,
		ares_sock_state_cb changed, void *const *args, struct err *err);
void dns_channels_close(struct dns_channels *c); /* answers what is open */

struct dns_leg {
	struct dns_ask *ask;
	int family; /* AF_INET, AF_INET6 */
	int channel; /* it is asking on */
	bool done;
	enum dns_answer answer;
	int status; /* ARES_* */
	struct net_addr addrs[DNS_ADDRS_MAX / 2];
	size_t n;
};

struct dns_ask {
	struct dns_channels *channels;
	char name[256];
	uint16_t port;
	bool whole; /* it has a dot: the search list is not for it */
	struct dns_leg legs[2]; /* IPv6, IPv4 */
	unsigned open; /* legs c-ares still holds */
	void (*moved)(struct dns_ask *ask); /* a leg is done */
};

/* Answers without asking anybody: literals, hosts file, localhost. */
bool dns_ask_known(struct dns_ask *ask);
void dns_ask_start(struct dns_ask *ask);
/* Addresses are there, though perhaps not yet of both families. */
bool dns_ask_found(const struct dns_ask *ask);
/* What came of it; families in turn, IPv6 first (RFC 8305 section 4). */
enum dns_answer dns_ask_result(const struct dns_ask *ask, struct net_addr *addrs,
		size_t max, size_t *n, struct err *words);

#endif
