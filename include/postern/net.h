/* net: where a peer is, as a plain value. Dry in itself. */
#ifndef POSTERN_NET_H
#define POSTERN_NET_H

#include <stdint.h>

#include "postern/span.h"

enum net_family { NET_NONE, NET_IP4, NET_IP6, NET_UNIX };

/* IPv4 in IPv6 (::ffff:a.b.c.d) is always kept as NET_IP4. */
struct net_addr {
	enum net_family family;
	uint16_t port; /* host order */
	uint32_t scope; /* of link-local IPv6 addresses */
	uint8_t ip[16]; /* 4 or 16 bytes, network order */
	char path[108]; /* unix only, NUL at the end */
};

enum { NET_TEXT_SIZE = 112 };

/* Reads "192.0.2.1", "2001:db8::1", "[2001:db8::1]" (no names, no port). */
bool net_addr_parse(struct span text, uint16_t port, struct net_addr *out);
/* An absolute path of a unix socket; false when it is too long (107). */
bool net_addr_unix(struct span path, struct net_addr *out);
/* Without the port: "192.0.2.1", "2001:db8::1", or the path. */
void net_addr_text(const struct net_addr *a, char out[NET_TEXT_SIZE]);
/* As RFC 5321 section 4.1.3 has it: "[192.0.2.1]", "[IPv6:2001:db8::1]";
 * "[127.0.0.1]" for a unix socket, whose peer is this machine. */
void net_addr_literal(const struct net_addr *a, char out[NET_TEXT_SIZE]);
/* Is it in "192.168.2.0/24", "2001:db8::/32" or equal to a bare address? false
 * for a text that is neither. */
bool net_addr_within(const struct net_addr *a, struct span range);
bool net_addr_loopback(const struct net_addr *a); /* unix sockets too */
/* Same address; ports are not looked at. */
bool net_addr_same(const struct net_addr *a, const struct net_addr *b);
/* Is it one of this machine's? Asks the kernel. */
bool net_addr_here(const struct net_addr *a);
/* Cuts "HOST:PORT", "[V6]:PORT", "HOST", "[V6]", "V6" into host (without the
 * brackets) and port (preset when there is none). false on anything else. */
bool net_host_port(
		struct span text, uint16_t preset, struct span *host, uint16_t *port);

#endif
