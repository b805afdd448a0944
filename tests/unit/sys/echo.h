/* A server of streams on a thread of its own, for dialling to. */
#ifndef TESTS_ECHO_H
#define TESTS_ECHO_H

#include <stdbool.h>
#include <stdint.h>

#include "postern/tls.h"

struct echo;

/* Listens on address (port 0: any). It sends back what it gets; a line
 * "QUIT\n" ends the connection after what was written; "STLS\n" is answered by
 * "+OK\n" and TLS, if it has a context; "MUTE\n" makes it silent; "BIG\n" gives
 * 3,000,000 bytes; "LATER\n" pauses reading for 50 ms. implicit: TLS from the first byte. */
struct echo *echo_start(const char *address, struct tls *tls, bool implicit);
uint16_t echo_port(const struct echo *e);
int echo_last_end(const struct echo *e); /* enum stream_end of the last closed, -1 */
const char *echo_last_words(const struct echo *e);
unsigned echo_open(const struct echo *e);
void echo_stop(struct echo *e);

#endif
