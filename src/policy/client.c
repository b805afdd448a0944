#include <arpa/inet.h>
#include <string.h>

#include "postern/policy.h"

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* An address as 16 bytes, IPv4 as v4-mapped; false for anything else. */
static bool
address_bytes(struct span text, uint8_t out[16])
{
	char z[INET6_ADDRSTRLEN];

	text = span_first(text, span_find(text, '%'));
	if (text.n == 0 || text.n >= sizeof(z) || memchr(text.p, '\0', text.n))
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	memcpy(out, mapped, sizeof(mapped));
	return inet_pton(AF_INET, z, out + 12) == 1 || inet_pton(AF_INET6, z, out) == 1;
}

static bool
is_within(const struct conf_cidr *net, const uint8_t address[16])
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;

	/* ::/0 is every IPv6 address; IPv4 clients have networks of their own. */
	if (memcmp(address, mapped, 12) == 0 && memcmp(net->address, mapped, 12) != 0)
		return false;
	if (memcmp(net->address, address, whole) != 0)
		return false;
	return rest == 0 || (net->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

bool
policy_may_relay(const struct conf_cidrs *nets, struct span address)
{
	uint8_t bytes[16];

	if (nets->n == 0 || !address_bytes(address, bytes))
		return false;
	for (size_t i = 0; i < nets->n; i++) {
		if (is_within(&nets->p[i], bytes))
			return true;
	}
	return false;
}
