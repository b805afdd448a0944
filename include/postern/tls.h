/* tls: what is trusted, and how that is said.
 *
 * A context is made once per policy and shared by all its connections, from
 * any thread. It must outlive them. TLS 1.2 at least; no renegotiation; a cut
 * stream is an error, not an end. The sessions themselves live in stream and
 * dial. Resumption: clients keep tickets per context and peer, so never
 * across policies; servers bind them to their context. */
#ifndef POSTERN_TLS_H
#define POSTERN_TLS_H

#include <stdint.h>

#include "postern/err.h"
#include "postern/span.h"

struct tls;

struct tls_policy {
	/* false: any certificate will do (opportunistic TLS, RFC 7435). */
	bool verify;
	/* PEM file of the authorities; NULL: the system's. */
	const char *ca_file;
	/* "sha256//BASE64" of the public key, several separated by ';' (as curl has
	 * it); NULL: none. With a pin and no ca_file the key alone is the identity:
	 * chain, name and dates are not looked at. With both, both must hold. */
	const char *pin;
};

/* NULL and *err when a file cannot be read or a pin is no pin. */
struct tls *tls_client_new(const struct tls_policy *policy, struct err *err);
/* Certificate chain and key in PEM files; they must belong together. */
struct tls *tls_server_new(const char *certificate, const char *key, struct err *err);
void tls_free(struct tls *t);
/* Days until the server's certificate expires, rounded down; negative: it has. */
int tls_server_days_left(const struct tls *t);
/* Is text a well formed pin? */
bool tls_pin_valid(struct span text);

/* What was negotiated, for Received, event 8001 and `check --online`. */
struct tls_facts {
	const char *version; /* "TLSv1.3" */
	const char *cipher; /* "TLS_AES_256_GCM_SHA384" */
	bool resumed;
	bool verified; /* the peer is who it should be, by chain and name or by pin */
	/* The peer's certificate: valid until then (seconds since 1970; 0: it has none),
	 * and the common names of its owner and its issuer, tamed. */
	int64_t expires_s;
	char owner[256], issuer[256];
};

#endif
