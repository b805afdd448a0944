#include "postern/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "postern/must.h"

enum { MD5_SIZE = 16 };

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

static void
hex(const uint8_t *in, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[in[i] >> 4];
		*out++ = digits[in[i] & 15];
	}
	*out = '\0';
}

void
digest_hex(const uint8_t in[DIGEST_SIZE], char out[DIGEST_HEX_SIZE])
{
	hex(in, DIGEST_SIZE, out);
}

/* Not kept: a logon needs it once. */
static EVP_MD *
md5(void)
{
	return EVP_MD_fetch(NULL, "MD5", NULL);
}

bool
digest_md5_hex(const struct span *parts, size_t n, char out[DIGEST_MD5_HEX_SIZE])
{
	uint8_t sum[MD5_SIZE];
	EVP_MD *md = md5();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = md && ctx && EVP_DigestInit_ex2(ctx, md, NULL) == 1;

	for (size_t i = 0; ok && i < n; i++)
		ok = parts[i].n == 0 ||
				EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, sum, NULL) == 1;
	if (ok)
		hex(sum, sizeof(sum), out);
	EVP_MD_CTX_free(ctx);
	EVP_MD_free(md);
	return ok;
}

bool
digest_hmac_md5_hex(struct span key, struct span bytes, char out[DIGEST_MD5_HEX_SIZE])
{
	uint8_t sum[MD5_SIZE];
	EVP_MD *md = md5();

	MUST(key.n <= 1u << 16);
	bool ok = md &&
			HMAC(md, key.n > 0 ? key.p : "", (int)key.n,
					(const unsigned char *)(bytes.n > 0 ? bytes.p
									    : ""),
					bytes.n, sum, NULL);
	if (ok)
		hex(sum, sizeof(sum), out);
	EVP_MD_free(md);
	return ok;
}

bool
digest_same(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}
