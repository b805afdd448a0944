#include "postern/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "postern/must.h"

struct digest {
	EVP_MD_CTX *ctx;
};

/* Fetched once: looking it up costs more than a short digest. */
static const EVP_MD *
digest_kind(void)
{
	static _Atomic(EVP_MD *) kept;
	EVP_MD *md = atomic_load(&kept);

	if (!md) {
		EVP_MD *none = NULL;

		md = EVP_MD_fetch(NULL, "SHA256", NULL);
		MUST(md);
		if (!atomic_compare_exchange_strong(&kept, &none, md)) {
			EVP_MD_free(md);
			md = none;
		}
	}
	return md;
}

struct digest *
digest_new(void)
{
	struct digest *d = calloc(1, sizeof(*d));

	if (!d)
		abort();
	d->ctx = EVP_MD_CTX_new();
	MUST(d->ctx && EVP_DigestInit_ex2(d->ctx, digest_kind(), NULL) == 1);
	return d;
}

void
digest_add(struct digest *d, struct span bytes)
{
	if (bytes.n > 0)
		MUST(EVP_DigestUpdate(d->ctx, bytes.p, bytes.n) == 1);
}

void
digest_end(struct digest *d, uint8_t out[DIGEST_SIZE])
{
	unsigned n = 0;

	MUST(EVP_DigestFinal_ex(d->ctx, out, &n) == 1 && n == DIGEST_SIZE);
	MUST(EVP_DigestInit_ex2(d->ctx, NULL, NULL) == 1);
}

void
digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

void
digest_of(const struct span *parts, size_t n, uint8_t out[DIGEST_SIZE])
{
	struct digest *d = digest_new();

	for (size_t i = 0; i < n; i++)
		digest_add(d, parts[i]);
	digest_end(d, out);
	digest_free(d);
}

void
digest_hmac(struct span key, struct span bytes, uint8_t out[DIGEST_SIZE])
{
	unsigned n = 0;

	MUST(key.n <= 1u << 16);
	MUST(HMAC(digest_kind(), key.n > 0 ? key.p : "", (int)key.n,
			(const unsigned char *)bytes.p, bytes.n, out, &n));
	MUST(n == DIGEST_SIZE);
}

void
digest_hex(const uint8_t in[DIGEST_SIZE], char out[DIGEST_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		out[2 * i] = digits[in[i] >> 4];
		out[2 * i + 1] = digits[in[i] & 15];
	}
	out[(size_t)2 * DIGEST_SIZE] = '\0';
}

bool
digest_same(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}
