/* digest: SHA-256 and HMAC-SHA-256; MD5 where an old protocol asks for it. Any
 * thread. */
#ifndef POSTERN_DIGEST_H
#define POSTERN_DIGEST_H

#include <stdint.h>

#include "postern/span.h"

enum { DIGEST_SIZE = 32, DIGEST_HEX_SIZE = 65, DIGEST_MD5_HEX_SIZE = 33 };

struct digest;

struct digest *digest_new(void);
void digest_add(struct digest *d, struct span bytes);
/* Gives the digest of all that was added; d is ready for the next one. */
void digest_end(struct digest *d, uint8_t out[DIGEST_SIZE]);
void digest_free(struct digest *d);

/* Of the parts one after another. */
void digest_of(const struct span *parts, size_t n, uint8_t out[DIGEST_SIZE]);
void digest_hmac(struct span key, struct span bytes, uint8_t out[DIGEST_SIZE]);
void digest_hex(const uint8_t in[DIGEST_SIZE],
		char out[DIGEST_HEX_SIZE]); /* lower case */
/* MD5 of the parts one after another, and HMAC-MD5 (RFC 2104), in lower case: for
 * APOP and CRAM-MD5, never to trust anything. False where OpenSSL's policy has
 * no MD5. */
bool digest_md5_hex(const struct span *parts, size_t n, char out[DIGEST_MD5_HEX_SIZE]);
bool digest_hmac_md5_hex(
		struct span key, struct span bytes, char out[DIGEST_MD5_HEX_SIZE]);
/* Equal, in a time that does not depend on where they differ. */
bool digest_same(struct span a, struct span b);

#endif
