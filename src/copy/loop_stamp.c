#include "postern/loop_stamp.h"

#include <string.h>

#include "postern/digest.h"

/* One key for three purposes: the first octet says which. */
enum { OF_GATEWAY = 'g', OF_ACCOUNT = 'a', OF_MESSAGE = 'm' };

enum { WORDS_MAX = 2048 }; /* a Message-ID and an address: both have a ceiling */

/* The first size - 1 digits of it. The words are parted by NUL, which occurs in
 * neither: a Message-ID is printable, an address too. */
static void
mac_of(const struct loop_key *k, char what, struct span a, struct span b, char *out,
		size_t size)
{
	AUTO(buf_done) struct buf words = BUF_MAX(WORDS_MAX);
	uint8_t sum[DIGEST_SIZE];
	char hex[DIGEST_HEX_SIZE];

	(void)!(buf_addc(&words, what) && buf_add(&words, a) &&
			buf_addc(&words, '\0') && buf_add(&words, b));
	digest_hmac((struct span){ (const char *)k->secret, sizeof(k->secret) },
			buf_span(&words), sum);
	digest_hex(sum, hex);
	memcpy(out, hex, size - 1);
	out[size - 1] = '\0';
}

void
loop_key_init(struct loop_key *k)
{
	mac_of(k, OF_GATEWAY, SPAN(""), SPAN(""), k->gw, sizeof(k->gw));
}

void
loop_account(const struct loop_key *k, struct span account, char mb[LOOP_MB_SIZE])
{
	mac_of(k, OF_ACCOUNT, account, SPAN(""), mb, LOOP_MB_SIZE);
}

void
loop_mac(const struct loop_key *k, struct span message_id, struct span recipient,
		char mac[LOOP_MAC_SIZE])
{
	mac_of(k, OF_MESSAGE, message_id, recipient, mac, LOOP_MAC_SIZE);
}

bool
loop_stamp_print(struct buf *out, const struct loop_key *k, const char *mb,
		const char *mac)
{
	return buf_addf(out, "X-Postern-Loop: gw=%s; mb=%s; mac=%s\r\n", k->gw, mb,
			mac);
}

/* "NAME=DIGITS", so many digits, and then a ";" or the end. */
static bool
part_cut(struct span *s, const char *name, size_t digits, struct span *out)
{
	struct span part = span_trim(span_until(s, ';'));

	if (!span_starts(part, span_of(name)))
		return false;
	*out = span_skip(part, strlen(name));
	return out->n == digits;
}

bool
loop_stamp_read(const struct loop_key *k, struct span body, struct span *mac)
{
	struct span gw, mb, sum;

	if (!part_cut(&body, "gw=", LOOP_GW_SIZE - 1, &gw) ||
			!span_eq(gw, span_of(k->gw)) ||
			!part_cut(&body, "mb=", LOOP_MB_SIZE - 1, &mb) ||
			!part_cut(&body, "mac=", LOOP_MAC_SIZE - 1, &sum) || body.n > 0)
		return false;
	*mac = sum;
	return true;
}
