/* tls_io: one TLS session over a non-blocking fd, for stream and dial. */
#ifndef SYS_TLS_IO_H
#define SYS_TLS_IO_H

#include "postern/net.h"
#include "postern/tls.h"

struct tls_io;

enum tls_step {
	TLS_OK,
	TLS_WANT_READ, /* again when the fd is readable */
	TLS_WANT_WRITE,
	TLS_EOF, /* the peer said goodbye properly */
	TLS_CUT, /* the connection ended or broke under the session */
	TLS_CERT, /* the peer is not who it should be */
	TLS_BAD, /* anything else */
};

/* fd stays the caller's. name and peer: clients only, else NULL. */
struct tls_io *tls_io_new(
		struct tls *t, int fd, const char *name, const struct net_addr *peer);
enum tls_step tls_io_handshake(struct tls_io *io);
enum tls_step tls_io_read(struct tls_io *io, void *p, size_t n, size_t *got);
enum tls_step tls_io_write(struct tls_io *io, const void *p, size_t n, size_t *put);
/* Decrypted bytes that wait inside, which the fd will not tell of. */
bool tls_io_pending(const struct tls_io *io);
void tls_io_goodbye(struct tls_io *io); /* sends close_notify if it can at once */
void tls_io_free(struct tls_io *io);
/* A TLS_CERT was about the pin. */
bool tls_io_pin_failed(const struct tls_io *io);
/* Why the last step was TLS_CUT, TLS_CERT or TLS_BAD. */
const char *tls_io_words(const struct tls_io *io);
void tls_io_facts(const struct tls_io *io, struct tls_facts *out);

#endif
