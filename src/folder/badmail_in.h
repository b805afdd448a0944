/* badmail_in: what the two files of Badmail share. */
#ifndef FOLDER_BADMAIL_IN_H
#define FOLDER_BADMAIL_IN_H

#include "letter.h"
#include "postern/badmail.h"
#include "postern/file.h"

enum { BADMAIL_NAME = 32, BADMAIL_JSON_MAX = 64 * 1024 * 1024 };

struct badmail {
	struct batch batch;
	uint64_t keep_s, max_bytes;
	uint64_t *pending; /* the messages of the batch */
	size_t n, cap;
};

/* "ID.EXT", or ".ID.EXT.tmp" with end ".tmp". */
const char *badmail_reason_words(enum badmail_reason r); /* a sentence */
void badmail_name(
		uint64_t qid, const char *ext, const char *end, char out[BADMAIL_NAME]);
/* The names of all BDP files, oldest message first. */
bool badmail_names(struct badmail *b, struct file_names *out, struct err *err);

/* The item that a letter of that message joins: *item is NULL when there is none, or
 * what is there is broken and will be written anew. False: that cannot be told now. */
bool badmail_joins(struct badmail *b, uint64_t qid, struct badmail_item **item,
		struct err *err);

#endif
