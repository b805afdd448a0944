/* loop_stamp: X-Postern-Loop, by which a message that comes back is known (E10).
 *
 *	X-Postern-Loop: gw=ID; mb=ACCOUNT; mac=HMAC
 *
 * gw names this gateway, mb the account, both as a few digits of an HMAC, so that a
 * stamp tells strangers nothing. mac is of the Message-ID and one recipient: nobody
 * else can make one, and a stamp says nothing about other recipients. */
#ifndef POSTERN_LOOP_STAMP_H
#define POSTERN_LOOP_STAMP_H

#include <stdint.h>

#include "postern/buf.h"
#include "postern/store.h"

enum {
	LOOP_GW_SIZE = 17, /* hexadecimal digits and a NUL */
	LOOP_MB_SIZE = 13,
	LOOP_MAC_SIZE = 33,
};

struct loop_key {
	uint8_t secret[STORE_SECRET_SIZE];
	char gw[LOOP_GW_SIZE];
};

/* Makes gw from the secret. */
void loop_key_init(struct loop_key *k);
void loop_account(const struct loop_key *k, struct span account, char mb[LOOP_MB_SIZE]);
void loop_mac(const struct loop_key *k, struct span message_id, struct span recipient,
		char mac[LOOP_MAC_SIZE]);
/* Appends the whole line. */
bool loop_stamp_print(struct buf *out, const struct loop_key *k, const char *mb,
		const char *mac) __attribute__((warn_unused_result));
/* Reads the body of one; *mac is set when it is written as ours are and names this
 * gateway. Whether it is ours, the mac itself must tell. */
bool loop_stamp_read(const struct loop_key *k, struct span body, struct span *mac);

#endif
