/* copies: what a collected message has to do with those before it. Copies are
 * recognised by the ledger (E7), returning ones by their loop stamp (E10). */
#ifndef INBOUND_COPIES_H
#define INBOUND_COPIES_H

#include "mail.h"

/* A collected message begins, its octets come. */
void copies_begin(struct mail *m, bool dedup);
void copies_body(struct mail *m, struct span piece);
/* It is whole: recipients with a valid stamp are refused, the others get their keys of
 * the ledger, and the stamps go on top. After recipients and Message-ID are known. */
void copies_whole(struct inbound *in, struct mail *m);
/* It is durable: has this recipient had it before, how many are to get it or stand in
 * Badmail... */
bool copies_is(const struct mail *m, size_t i);
size_t copies_left(const struct mail *m);
/* ... and 4041 and 4042 for the others. */
void copies_say(struct inbound *in, const struct mail *m);
void copies_end(struct mail *m);

#endif
