#include <arpa/inet.h>
#include <string.h>

#include "postern/address.h"
#include "postern/conf_load.h"
#include "postern/enc.h"
#include "postern/must.h"
#include "postern/num.h"
#include "values.h"

enum {
	NAME_MAX_LEN = 64,
	SOCKET_MAX = 107, /* sun_path with its NUL */
	PINS_MAX = 8,
};

static bool
no(const char **why, const char *what)
{
	*why = what;
	return false;
}

static const char *
keep(struct arena *a, struct span s)
{
	const char *p = arena_str(a, s);

	MUST(p);
	return p;
}

bool
conf_name_ok(struct span text)
{
	if (text.n == 0 || text.n > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		char c = ascii_lower(text.p[i]);
		bool sound = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!sound && (i == 0 || (c != '.' && c != '_' && c != '-')))
			return false;
	}
	return true;
}

bool
pins_ok(struct span text)
{
	unsigned n = 0;
	bool ok;

	do {
		struct buf raw = BUF_MAX(64);
		struct span pin = span_trim(span_until(&text, ';'));

		ok = ++n <= PINS_MAX && span_starts(pin, SPAN("sha256//")) &&
				dec_base64(&raw, span_skip(pin, 8)) && raw.n == 32;
		buf_done(&raw);
	} while (ok && text.n > 0);
	return ok;
}

bool
ip_parse(struct span text, uint8_t out[16], bool *ip4)
{
	char z[INET6_ADDRSTRLEN];
	struct in_addr four;
	struct in6_addr six;

	if (text.n == 0 || text.n >= sizeof(z) || memchr(text.p, '\0', text.n))
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	if (inet_pton(AF_INET, z, &four) == 1) {
		memset(out, 0, 10);
		out[10] = out[11] = 0xff;
		memcpy(out + 12, &four, 4);
		*ip4 = true;
		return true;
	}
	if (inet_pton(AF_INET6, z, &six) != 1)
		return false;
	memcpy(out, &six, 16);
	*ip4 = false;
	return true;
}

bool
conf_cidr_parse(struct span text, struct conf_cidr *out, const char **why)
{
	static const char expected[] = "a network: ADDRESS or ADDRESS/BITS";
	struct conf_cidr net;
	struct span bits = text, address = span_until(&bits, '/');
	uint64_t n;
	bool ip4;

	if (!ip_parse(address, net.address, &ip4))
		return no(why, expected);
	if (address.n == text.n)
		n = ip4 ? 32 : 128;
	else if (!num_u64(bits, ip4 ? 32 : 128, &n))
		return no(why,
				ip4 ? "an IPv4 network with 0 to 32 bits"
				    : "an IPv6 network with 0 to 128 bits");
	net.bits = (unsigned)n + (ip4 ? 96 : 0);
	for (unsigned i = net.bits; i < 128; i++)
		net.address[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
	*out = net;
	return true;
}

/* Mail and POP3 servers have names; what ends in digits is an address gone wrong. */
static bool
host_name(struct span text, char out[ADDRESS_DOMAIN_MAX + 1])
{
	if (text.n > 0 && text.p[0] == '[')
		return false;
	if (!domain_canon(text, out))
		return false;
	struct span name = span_of(out);
	size_t dot = span_rfind(name, '.');
	struct span last = dot < name.n ? span_skip(name, dot + 1) : name;
	for (size_t i = 0; i < last.n; i++) {
		if (last.p[i] < '0' || last.p[i] > '9')
			return true;
	}
	return false;
}

/* Cuts ":PORT" off the end, and brackets. False: a stray bracket. */
static bool
host_split(struct span text, struct span *host, struct span *port, bool *bracketed)
{
	size_t colon = span_rfind(text, ':');

	*port = (struct span){ NULL, 0 };
	*bracketed = text.n > 0 && text.p[0] == '[';
	if (*bracketed) {
		size_t end = span_find(text, ']');
		if (end == text.n || (end + 1 < text.n && text.p[end + 1] != ':'))
			return false;
		*host = span_skip(span_first(text, end), 1);
		if (end + 1 < text.n) {
			*port = span_skip(text, end + 2);
			return port->n > 0;
		}
		return true;
	}
	/* Two colons and no brackets: a bare IPv6 address. */
	if (colon == text.n || span_find(text, ':') != colon) {
		*host = text;
		return true;
	}
	*host = span_first(text, colon);
	*port = span_skip(text, colon + 1);
	return port->n > 0;
}

bool
conf_host_parse(struct span text, struct arena *a, struct conf_host *out,
		const char **why)
{
	static const char expected[] =
			"HOST or HOST:PORT, with a host name, an IPv4 address or an [IPv6 address]";
	char canon[ADDRESS_DOMAIN_MAX + 1];
	uint8_t ip[16];
	uint64_t n = 0;
	bool bracketed, ip4;
	struct span host, port;

	if (!host_split(text, &host, &port, &bracketed))
		return no(why, expected);
	if (port.n > 0 && (!num_u64(port, 65535, &n) || n == 0))
		return no(why, "HOST:PORT with a port from 1 to 65535");

	bool literal = ip_parse(host, ip, &ip4);
	if (!literal && (bracketed || !host_name(host, canon)))
		return no(why, expected);
	out->name = keep(a, literal ? host : span_of(canon));
	out->literal = literal;
	out->port = (unsigned)n;
	return true;
}

bool
listen_parse(struct span text, struct arena *a, struct conf_host *out, const char **why)
{
	static const char expected[] =
			"ADDRESS:PORT, [IPv6 ADDRESS]:PORT, *:PORT or localhost:PORT";
	uint8_t ip[16];
	uint64_t n;
	bool bracketed, ip4;
	struct span host, port;

	if (!host_split(text, &host, &port, &bracketed) || port.n == 0)
		return no(why, expected);
	if (!num_u64(port, 65535, &n))
		return no(why, "ADDRESS:PORT with a port from 0 to 65535");
	if (!bracketed && span_eq(host, SPAN("*")))
		host = SPAN("::");
	else if (!bracketed && span_eq_nocase(host, SPAN("localhost")))
		host = SPAN("127.0.0.1");
	if (!ip_parse(host, ip, &ip4))
		return no(why, expected);
	*out = (struct conf_host){
		.name = keep(a, host), .port = (unsigned)n, .literal = true
	};
	return true;
}

bool
conf_domain_parse(struct span text, struct arena *a, const char **domain,
		bool *subdomains, const char **why)
{
	char canon[ADDRESS_DOMAIN_MAX + 1];
	bool star = span_starts(text, SPAN("*."));
	struct span name = span_skip(text, star ? 2 : 0);

	if ((star && name.n > 0 && name.p[0] == '[') || !domain_canon(name, canon))
		return no(why, "a domain, or *.DOMAIN for the names below it");
	*domain = keep(a, span_of(canon));
	*subdomains = star;
	return true;
}

static bool
path_ok(struct span path)
{
	for (size_t i = 0; i < path.n; i++) {
		if ((unsigned char)path.p[i] < 0x20 || path.p[i] == 0x7f)
			return false;
	}
	return path.n > 0 && path.n <= CONF_PATH_MAX;
}

static const char *
resolve(struct arena *a, const char *dir, struct span path)
{
	struct span from = span_of(path.p[0] == '/' ? "" : dir);
	char *p = arena_alloc(a, from.n + path.n + 1);

	MUST(p);
	if (from.n > 0)
		memcpy(p, from.p, from.n);
	memcpy(p + from.n, path.p, path.n);
	return p;
}

static bool
maildir_ok(struct span path)
{
	for (size_t i = 0; i < path.n; i++) {
		if (path.p[i] != '%')
			continue;
		if (++i == path.n || !memchr("du%", path.p[i], 3))
			return false;
	}
	return true;
}

/* A path after "drop:", "maildir:" or "lmtp:". */
static bool
hop_path(struct span path, const char *dir, struct arena *a, struct conf_hop *out,
		const char **why)
{
	if (!path_ok(path))
		return no(why, "a path after the colon");
	if (out->kind == CONF_HOP_MAILDIR && !maildir_ok(path))
		return no(why, "maildir:/PATH where % stands only in %d (domain), %u (user) and %%");
	const char *resolved = resolve(a, dir, path);
	if (out->kind == CONF_HOP_LMTP_UNIX && strlen(resolved) > SOCKET_MAX)
		return no(why, "lmtp:/SOCKET with a path of at most 107 bytes");
	out->path = resolved;
	return true;
}

static bool
hop_host(struct span host, struct arena *a, struct conf_hop *out, const char **why)
{
	bool lmtp = out->kind == CONF_HOP_LMTP;

	if (!conf_host_parse(host, a, &out->host, why))
		return no(why,
				lmtp ? "lmtp:HOST:PORT or lmtp:/SOCKET"
				     : "smtp:HOST[:PORT]");
	if (out->host.port == 0 && lmtp)
		return no(why, "lmtp:HOST:PORT (LMTP has no port of its own) or lmtp:/SOCKET");
	if (out->host.port == 0)
		out->host.port = 25;
	return true;
}

bool
conf_hop_parse(struct span text, const char *dir, struct arena *a, struct conf_hop *out,
		const char **why)
{
	enum takes { NOTHING, PATH, HOST };
	static const struct {
		struct span begins; /* the word, with its colon when more follows */
		enum conf_hop_kind kind;
		enum takes takes;
	} hops[] = {
		{ { SPAN_INIT("drop") }, CONF_HOP_DROP, NOTHING },
		{ { SPAN_INIT("mx") }, CONF_HOP_MX, NOTHING },
		{ { SPAN_INIT("etrn") }, CONF_HOP_ETRN, NOTHING },
		{ { SPAN_INIT("drop:") }, CONF_HOP_DROP, PATH },
		{ { SPAN_INIT("maildir:") }, CONF_HOP_MAILDIR, PATH },
		{ { SPAN_INIT("lmtp:/") }, CONF_HOP_LMTP_UNIX, PATH },
		{ { SPAN_INIT("lmtp:") }, CONF_HOP_LMTP, HOST },
		{ { SPAN_INIT("smtp:") }, CONF_HOP_SMTP, HOST },
	};
	struct conf_hop hop = { .kind = CONF_HOP_DROP };
	size_t colon = span_find(text, ':');
	struct span value = span_skip(text, colon < text.n ? colon + 1 : text.n);

	for (size_t i = 0; i < sizeof(hops) / sizeof(hops[0]); i++) {
		if (hops[i].takes == NOTHING ? !span_eq(text, hops[i].begins)
					     : !span_starts(text, hops[i].begins))
			continue;
		hop.kind = hops[i].kind;
		if ((hops[i].takes == PATH && !hop_path(value, dir, a, &hop, why)) ||
				(hops[i].takes == HOST &&
						!hop_host(value, a, &hop, why)))
			return false;
		*out = hop;
		return true;
	}
	return no(why,
			"smtp:HOST[:PORT], lmtp:HOST:PORT, lmtp:/SOCKET, "
			"maildir:/PATH/%d/%u, drop, drop:/DIR, mx or etrn");
}

bool
field_name_ok(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == ':')
			return false;
	}
	return s.n > 0 && s.n <= 76;
}
