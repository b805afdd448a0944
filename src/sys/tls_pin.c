/* Pins: the key of a peer in place of a certificate authority. */
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "postern/buf.h"
#include "postern/digest.h"
#include "postern/enc.h"
#include "tls_in.h"

/* Cuts one pin off *text and decodes it. */
bool
tls_pin_cut(struct span *text, uint8_t out[32])
{
	AUTO(buf_done) struct buf raw = BUF_MAX(64);
	struct span pin = span_trim(span_until(text, ';'));

	if (!span_starts(pin, SPAN("sha256//")) ||
			!dec_base64(&raw, span_skip(pin, 8)) || raw.n != 32)
		return false;
	if (out)
		memcpy(out, raw.p, 32);
	return true;
}

bool
tls_pin_valid(struct span text)
{
	size_t n = 0;

	do {
		if (++n > TLS_PINS_MAX || !tls_pin_cut(&text, NULL))
			return false;
	} while (text.n > 0);
	return true;
}

bool
tls_pin_matches(const struct tls *t, X509 *cert, char found[64])
{
	AUTO(buf_done) struct buf text = BUF_MAX(64);
	uint8_t sum[DIGEST_SIZE];
	unsigned char *der = NULL;
	int n = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;
	bool matches = false;

	(void)snprintf(found, 64, "none");
	if (n <= 0)
		return false;
	struct span key = { (const char *)der, (size_t)n };
	digest_of(&key, 1, sum);
	OPENSSL_free(der);
	for (size_t i = 0; i < t->n_pins; i++)
		matches = matches || memcmp(sum, t->pins[i], sizeof(sum)) == 0;
	if (buf_add(&text, SPAN("sha256//")) &&
			enc_base64(&text,
					(struct span){ (const char *)sum,
							sizeof(sum) }) &&
			buf_cstr(&text))
		memcpy(found, text.p, text.n + 1);
	return matches;
}
