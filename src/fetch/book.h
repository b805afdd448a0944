/* book: the directory for all polls of a pool. Loaded again only when its version
 * has moved; a poll keeps the one it began with. Any thread. */
#ifndef FETCH_BOOK_H
#define FETCH_BOOK_H

#include "postern/directory.h"
#include "postern/err.h"

struct book;
struct reader;

struct book *book_new(void);
void book_free(struct book *b); /* nobody holds one any more; NULL is fine */
/* The directory as the reader sees it now; NULL and *err. To be given back. */
const struct directory *book_take(struct book *b, struct reader *r, struct err *err);
void book_give(struct book *b, const struct directory *d); /* NULL is fine */

#endif
