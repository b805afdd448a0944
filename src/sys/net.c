#include "postern/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "postern/num.h"
#include "sockaddr.h"

_Static_assert(sizeof(((struct net_addr *)0)->path) ==
				sizeof(((struct sockaddr_un *)0)->sun_path),
		"a path has the room the kernel has");

static void
net_set_ip6(struct net_addr *out, const uint8_t ip[16], uint16_t port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	*out = (struct net_addr){ .port = port };
	if (memcmp(ip, mapped, sizeof(mapped)) == 0) {
		out->family = NET_IP4;
		memcpy(out->ip, ip + 12, 4);
	} else {
		out->family = NET_IP6;
		memcpy(out->ip, ip, 16);
	}
}

bool
net_addr_parse(struct span text, uint16_t port, struct net_addr *out)
{
	char word[INET6_ADDRSTRLEN];
	uint8_t ip[16];

	if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']') {
		text = span_first(span_skip(text, 1), text.n - 2);
		if (span_find(text, ':') == text.n && span_find(text, '.') < text.n)
			return false; /* brackets are for IPv6 only */
	}
	if (text.n == 0 || text.n >= sizeof(word) || span_find(text, '\0') < text.n)
		return false;
	memcpy(word, text.p, text.n);
	word[text.n] = '\0';
	if (inet_pton(AF_INET, word, ip) == 1) {
		*out = (struct net_addr){ .family = NET_IP4, .port = port };
		memcpy(out->ip, ip, 4);
		return true;
	}
	if (inet_pton(AF_INET6, word, ip) == 1) {
		net_set_ip6(out, ip, port);
		return true;
	}
	return false;
}

bool
net_addr_unix(struct span path, struct net_addr *out)
{
	if (path.n == 0 || path.p[0] != '/' || path.n >= sizeof(out->path) ||
			span_find(path, '\0') < path.n)
		return false;
	*out = (struct net_addr){ .family = NET_UNIX };
	memcpy(out->path, path.p, path.n);
	return true;
}

void
net_addr_text(const struct net_addr *a, char out[NET_TEXT_SIZE])
{
	out[0] = '\0';
	switch (a->family) {
	case NET_IP4:
		(void)inet_ntop(AF_INET, a->ip, out, NET_TEXT_SIZE);
		break;
	case NET_IP6:
		(void)inet_ntop(AF_INET6, a->ip, out, NET_TEXT_SIZE);
		break;
	case NET_UNIX:
		(void)snprintf(out, NET_TEXT_SIZE, "%s", a->path);
		break;
	case NET_NONE:
		break;
	}
}

void
net_addr_literal(const struct net_addr *a, char out[NET_TEXT_SIZE])
{
	char text[INET6_ADDRSTRLEN];

	if (a->family == NET_IP4 && inet_ntop(AF_INET, a->ip, text, sizeof(text)))
		(void)snprintf(out, NET_TEXT_SIZE, "[%s]", text);
	else if (a->family == NET_IP6 && inet_ntop(AF_INET6, a->ip, text, sizeof(text)))
		(void)snprintf(out, NET_TEXT_SIZE, "[IPv6:%s]", text);
	else
		(void)snprintf(out, NET_TEXT_SIZE, "[127.0.0.1]");
}

bool
net_addr_within(const struct net_addr *a, struct span range)
{
	struct net_addr net;
	uint64_t bits = 0;
	struct span rest = range;
	struct span head = span_until(&rest, '/');
	bool prefixed = head.n < range.n;

	if (!net_addr_parse(head, 0, &net))
		return false;
	unsigned all = net.family == NET_IP4 ? 32 : 128;
	/* "::ffff:0:0/96" and narrower are written for IPv6 and kept as IPv4. */
	bool mapped = net.family == NET_IP4 && span_find(head, ':') < head.n;
	if (prefixed && !num_u64(rest, mapped ? 128 : all, &bits))
		return false;
	if (prefixed && mapped && bits < 96)
		return false;
	if (!prefixed)
		bits = all;
	else if (mapped)
		bits -= 96;
	if (a->family != net.family)
		return false;

	size_t whole = (size_t)(bits / 8);
	unsigned part = (unsigned)(bits % 8);
	if (memcmp(a->ip, net.ip, whole) != 0)
		return false;
	return part == 0 ||
			((a->ip[whole] ^ net.ip[whole]) & (0xff00u >> part) & 0xffu) ==
			0;
}

bool
net_addr_loopback(const struct net_addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	switch (a->family) {
	case NET_IP4:
		return a->ip[0] == 127;
	case NET_IP6:
		return memcmp(a->ip, one, sizeof(one)) == 0;
	case NET_UNIX:
		return true;
	case NET_NONE:
		break;
	}
	return false;
}

bool
net_addr_same(const struct net_addr *a, const struct net_addr *b)
{
	if (a->family != b->family)
		return false;
	return a->family == NET_UNIX ? strcmp(a->path, b->path) == 0
				     : memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool
net_host_port(struct span text, uint16_t preset, struct span *host, uint16_t *port)
{
	uint64_t number = preset;
	struct span name = text, digits = { 0 };
	size_t colon = span_rfind(text, ':');
	bool numbered = false;

	if (text.n > 0 && text.p[0] == '[') {
		size_t end = span_find(text, ']');

		if (end == text.n)
			return false;
		name = span_first(span_skip(text, 1), end - 1);
		digits = span_skip(text, end + 1);
		if (digits.n > 0 && digits.p[0] != ':')
			return false;
		numbered = digits.n > 0;
		if (numbered)
			digits = span_skip(digits, 1);
	} else if (colon < text.n && span_find(text, ':') == colon) {
		name = span_first(text, colon);
		digits = span_skip(text, colon + 1);
		numbered = true;
	} /* several colons and no brackets: IPv6 without a port */

	if (name.n == 0 || (numbered && !num_u64(digits, 65535, &number)))
		return false;
	*host = name;
	*port = (uint16_t)number;
	return true;
}

socklen_t
sockaddr_from(const struct net_addr *a, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	switch (a->family) {
	case NET_IP4: {
		struct sockaddr_in *in = (struct sockaddr_in *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip, 4);
		return sizeof(*in);
	}
	case NET_IP6: {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(a->port);
		in6->sin6_scope_id = a->scope;
		memcpy(&in6->sin6_addr, a->ip, 16);
		return sizeof(*in6);
	}
	case NET_UNIX: {
		struct sockaddr_un *un = (struct sockaddr_un *)out;

		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, a->path, sizeof(un->sun_path));
		return sizeof(*un);
	}
	case NET_NONE:
		break;
	}
	return 0;
}

void
sockaddr_to(const struct sockaddr_storage *ss, socklen_t n, struct net_addr *out)
{
	*out = (struct net_addr){ 0 };
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

		out->family = NET_IP4;
		out->port = ntohs(in->sin_port);
		memcpy(out->ip, &in->sin_addr, 4);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

		net_set_ip6(out, in6->sin6_addr.s6_addr, ntohs(in6->sin6_port));
		out->scope = in6->sin6_scope_id;
	} else if (ss->ss_family == AF_UNIX) {
		const struct sockaddr_un *un = (const struct sockaddr_un *)ss;
		size_t at = offsetof(struct sockaddr_un, sun_path);

		out->family = NET_UNIX;
		if (n > at)
			(void)snprintf(out->path, sizeof(out->path), "%.*s",
					(int)(n - at), un->sun_path);
	}
}

int
sockaddr_socket(const struct net_addr *a)
{
	int family = a->family == NET_IP4      ? AF_INET
			: a->family == NET_IP6 ? AF_INET6
					       : AF_UNIX;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd >= 0 && family != AF_UNIX) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	}
	return fd;
}
