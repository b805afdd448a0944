/* enc: encodings between bytes and harmless text.
 *
 * The writers append to a buf and fail, changing nothing that matters, when
 * its limit is reached. */
#ifndef POSTERN_ENC_H
#define POSTERN_ENC_H

#include <stdint.h>

#include "postern/buf.h"

bool enc_base64(struct buf *out, struct span bytes) __attribute__((warn_unused_result));
/* Strict RFC 4648 with padding; false on anything else. */
bool dec_base64(struct buf *out, struct span text) __attribute__((warn_unused_result));
bool enc_hex(struct buf *out, struct span bytes) __attribute__((warn_unused_result));
/* For logs, events and terminals: valid UTF-8 text stays; C0, DEL, C1, bidi and
 * line-separator characters, the backslash and bytes that are not UTF-8 become
 * \xNN. One value stays one line. */
bool enc_plain(struct buf *out, struct span bytes) __attribute__((warn_unused_result));
/* The same without escaping the backslash twice over, but with every LF kept:
 * for texts of several lines such as transcripts. CR before LF is dropped. */
bool enc_lines(struct buf *out, struct span bytes) __attribute__((warn_unused_result));
/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
bool enc_json(struct buf *out, struct span bytes) __attribute__((warn_unused_result));
/* RFC 3461 section 4 xtext. The reader refuses what encodes a control byte. */
bool enc_xtext(struct buf *out, struct span bytes) __attribute__((warn_unused_result));
bool dec_xtext(struct buf *out, struct span text) __attribute__((warn_unused_result));
/* Length of the valid UTF-8 sequence at the start of s, 0 when there is none. */
size_t utf8_len(struct span s);
/* The character of such a sequence, all of s. */
uint32_t utf8_code(struct span s);
/* Does it move the cursor, turn the text around or end a line? */
bool enc_is_unruly(uint32_t c);

#endif
