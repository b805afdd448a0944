/* tls_in: what the files of TLS share. */
#ifndef SYS_TLS_IN_H
#define SYS_TLS_IN_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "postern/tls.h"

enum { TLS_PINS_MAX = 8, TLS_KEPT_MAX = 64, TLS_KEY_SIZE = 400 };

struct tls {
	SSL_CTX *ctx;
	bool server;
	bool verify;
	bool pin_only; /* the key alone is the identity */
	uint8_t pins[TLS_PINS_MAX][32];
	size_t n_pins;
	/* Sessions to resume, by peer; several threads dial with one context. */
	struct mutex *lock;
	struct tls_kept {
		char key[TLS_KEY_SIZE];
		SSL_SESSION *session;
		uint64_t used;
	} kept[TLS_KEPT_MAX];
	uint64_t clock;
};

/* The key of this SSL's peer in the table, set by tls_io; NULL: not kept. */
int tls_key_index(void);
/* The tls_io an SSL belongs to. */
int tls_owner_index(void);
SSL_SESSION *tls_take_session(
		struct tls *t, const char *key); /* the caller's, or NULL */
/* Cuts one pin off *text and decodes it. */
bool tls_pin_cut(struct span *text, uint8_t out[32]);
int tls_session_came(SSL *ssl, SSL_SESSION *session); /* for OpenSSL: 1, it is ours */
bool tls_pin_matches(const struct tls *t, X509 *cert, char found[64]);
int tls_verify_step(int ok, X509_STORE_CTX *at); /* in tls_io.c */
/* The first error of OpenSSL's queue in words. */
const char *tls_queue_words(void);

#endif
