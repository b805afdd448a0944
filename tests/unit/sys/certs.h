/* Certificates for tests, made on the spot. */
#ifndef TESTS_CERTS_H
#define TESTS_CERTS_H

#include <stdbool.h>

struct cert;

/* Issued by `by`, or by itself. san: "DNS:localhost,IP:127.0.0.1" or NULL. Valid
 * from..to days from now. */
struct cert *cert_make(const char *cn, const char *san, const struct cert *by, int from,
		int to);
void cert_free(struct cert *c);
/* Writes PATH.pem and PATH.key. */
void cert_write(const struct cert *c, const char *path);
void cert_pin(const struct cert *c, char out[64]);

#endif
