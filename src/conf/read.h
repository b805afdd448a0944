/* read: fills structs from a tree by their rows. */
#ifndef CONF_READ_H
#define CONF_READ_H

#include "tree.h"

struct section;
struct row;

enum { WHERE_MAX = 400 };

struct reader {
	struct arena *arena; /* the result's */
	struct conf_faults *faults;
	const char *file;
	const char *dir; /* of the file, with its slash; "" for the working directory */
	const char *hostname;
	bool cut; /* parts may be missing: nothing is said of what is not there */
	struct conf_mark here; /* the key at hand, for values that are not there */
	char where[WHERE_MAX]; /* "accounts.contoso.every" */
	size_t where_n;
};

/* A fault at n (NULL: at the key at hand), and false. */
bool reader_fault(struct reader *r, const struct node *n, const char *hint,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));
bool reader_warn(struct reader *r, const struct node *n, const char *hint,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void *reader_take(struct reader *r, size_t n); /* zeroed; never NULL */
const char *reader_keep(struct reader *r, struct span s); /* a copy; never NULL */
/* "expected WHAT, not TEXT": a fault. */
bool not_that(struct reader *r, const struct node *n, const char *what);
/* Puts a copy of s where a text belongs. Always true. */
bool reader_text(struct reader *r, struct span s, void *place);
/* The path of a file named in the configuration. */
const char *reader_path(struct reader *r, struct span s);

/* Every preset first, then what map (may be NULL) says. */
void read_section(struct reader *r, const struct section *s, const struct node *map,
		struct conf_mark mark, void *place);
/* The key node of that name, or NULL. */
const struct node *map_key(const struct node *map, const char *name);

/* A plain, single text; else a fault says what was expected. */
bool scalar_text(struct reader *r, const struct node *n, size_t most, const char *what,
		struct span *out);

/* The name nearest to `text` among n, or NULL when none is near. */
const char *nearest(struct span text, const char *const *names, size_t n);

#endif
