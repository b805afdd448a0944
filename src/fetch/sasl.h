/* sasl: the words by which we prove who we are, for any protocol. Dry.
 *
 * The builders append to *out and fail, leaving nothing that matters, at its
 * limit; SASL_RESPONSE_MAX always suffices. What they write holds the secret in one
 * form or another: the owner gives *out its whole room beforehand (sasl_room), so
 * that growing leaves no copy behind, and wipes it. */
#ifndef FETCH_SASL_H
#define FETCH_SASL_H

#include "postern/buf.h"
#include "postern/conf.h"
#include "postern/digest.h"

enum {
	SASL_ARGUMENT_MAX = 255, /* a user name, a password */
	SASL_TOKEN_MAX = 16 * 1024,
	SASL_RESPONSE_MAX = 32 * 1024, /* in base64, with a token of 16 KB */
};

struct sasl_user {
	struct span name;
	const char *host; /* OAUTHBEARER names where it is going */
	unsigned port;
};

/* What stands in a server's list: false for mechanisms we do not have. */
bool sasl_mechanism(struct span word, enum conf_auth *out);
/* "CRAM-MD5"; USER and APOP are there too. */
const char *sasl_name(enum conf_auth how);

/* Room for all that may come. */
void sasl_room(struct buf *out);

/* RFC 4616, in base64. */
bool sasl_plain(struct span user, struct span password, struct buf *out)
		__attribute__((warn_unused_result));
/* RFC 2195: challenge and answer in base64. False also when the challenge is no
 * base64, is empty, or this machine has no MD5. */
bool sasl_cram_md5(struct span user, struct span password, struct span challenge,
		struct buf *out) __attribute__((warn_unused_result));
/* RFC 1939 section 7. False where this machine has no MD5. */
bool sasl_apop(struct span timestamp, struct span password,
		char out[DIGEST_MD5_HEX_SIZE]) __attribute__((warn_unused_result));
/* Is that the msg-id of RFC 822 that APOP's greeting has to hold, and nothing else?
 * Others may have been chosen to find the password out (CVE-2007-1558). */
bool sasl_timestamp_ok(struct span timestamp);
/* The initial response of Google's and Microsoft's XOAUTH2, in base64. */
bool sasl_xoauth2(const struct sasl_user *user, struct span token, struct buf *out)
		__attribute__((warn_unused_result));
/* RFC 7628 section 3.1, in base64. */
bool sasl_oauthbearer(const struct sasl_user *user, struct span token, struct buf *out)
		__attribute__((warn_unused_result));
/* Visible ASCII up to SASL_TOKEN_MAX: what a command says that has no token to
 * give is not sent. */
bool sasl_token_ok(struct span token);

/* Does text repeat the secret, or 12 octets of it? A shorter one counts as a whole,
 * and below 8 not at all: it could be any word. */
bool sasl_repeats(struct span text, struct span secret);

#endif
