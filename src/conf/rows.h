/* rows: what a key is called, what it holds and where that goes.
 *
 * A section is the keys of one mapping and the struct they fill. The reader,
 * the schema and the list of presets all walk these rows; nothing else in the
 * program knows a key by name. */
#ifndef CONF_ROWS_H
#define CONF_ROWS_H

#include "read.h"

enum row_kind {
	ROW_TEXT,
	ROW_BOOL,
	ROW_COUNT, /* unsigned */
	ROW_SIZE, /* uint64_t */
	ROW_TIME, /* int64_t seconds */
	ROW_KEEP, /* int64_t seconds or CONF_KEEP_FOREVER */
	ROW_WORD, /* an enum; see words */
	ROW_PATH,
	ROW_HOSTNAME,
	ROW_NAME, /* of a policy */
	ROW_ADDRESS, /* of mail */
	ROW_RECIPIENT, /* an address, or the alias of a recipient */
	ROW_DOMAIN,
	ROW_FIELD, /* name of a header field */
	ROW_HOST,
	ROW_RESOLVER,
	ROW_LISTEN,
	ROW_CIDR,
	ROW_HOP,
	ROW_PIN, /* of a public key */
	ROW_SECRET,
	ROW_ENVELOPE,
	ROW_UNROUTED,
	ROW_LOG_TO,
	ROW_TEMPLATE,
	ROW_TAGS, /* characters that part a sub-address */
	ROW_WINDOW,
	ROW_GROUP, /* a mapping of known keys */
	ROW_MAP, /* a mapping of free keys, each a GROUP */
	ROW_KINDS
};

enum {
	ROW_REQUIRED = 1,
	ROW_LATER = 2, /* not available yet */
	ROW_LIST = 4, /* a list of that kind */
	ROW_STAR = 16, /* a domain, or *.DOMAIN */
};

struct word {
	const char *name;
	int value;
	bool later;
};

struct row {
	const char *name;
	enum row_kind kind;
	unsigned flags;
	size_t at;
	const char *preset; /* as in a file; items of a list by ", "; NULL: unset */
	uint64_t least, most; /* numbers; of a text its length; of a list its items */
	const struct word *words; /* ends with name NULL */
	const struct section *section; /* ROW_GROUP, ROW_MAP, lists of ROW_GROUP */
	const char *says;
};

enum key_kind { KEY_NONE, KEY_NAME, KEY_DOMAIN };

struct section {
	const struct row *rows; /* ends with name NULL */
	size_t size; /* of the struct */
	bool shorthand; /* a lone text stands for the first key */
	/* Of a ROW_MAP: what its keys are and where they and their marks go. */
	enum key_kind key;
	const char *key_word; /* "NAME" */
	size_t key_at, subdomains_at, mark_at;
	/* What no single row can know; keys are the mapping's, or NULL. */
	void (*check)(struct reader *r, const struct node *map, struct conf_mark mark,
			void *place);
};

/* What all kinds have in common. */
struct kind {
	const char *unit; /* for people */
	const char *json; /* the value's JSON Schema, without braces; NULL: made by hand */
	size_t size; /* of one value */
	uint64_t item_most; /* `most` of one item of a list */
	/* Writes a bound; NULL: the kind has none to show. */
	void (*print)(uint64_t bound, char out[24]);
	bool (*read)(struct reader *r, const struct row *row, const struct node *n,
			void *place);
};

extern const struct section conf_section, policy_section;
extern const struct kind kinds[ROW_KINDS];

#endif
