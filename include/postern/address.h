/* address: e-mail addresses as header fields spell them, compared and sent.
 *
 * One reader for everything that comes from a header: RFC 5322 with its obsolete
 * forms, and what real mail adds to them (RECIPIENTS.md E4). It is total (any
 * bytes are a field body), linear, without recursion, and recovers member by
 * member: a broken one never hides a sound one. Encoded words are never decoded.
 *
 * An address is two values, not a text: `local` without quoting, `domain` as it
 * was spelled but without comments, folds and one trailing dot. address_print
 * writes them so that reading what it wrote gives the same two values. */
#ifndef POSTERN_ADDRESS_H
#define POSTERN_ADDRESS_H

#include "postern/arena.h"
#include "postern/buf.h"

enum {
	ADDRESS_LOCAL_MAX = 64, /* RFC 5321 4.5.3.1.1 */
	ADDRESS_DOMAIN_MAX = 255, /* 4.5.3.1.2 */
	ADDRESS_SIZE = 2 * ADDRESS_LOCAL_MAX + 2 + 1 + ADDRESS_DOMAIN_MAX +
			1, /* printed, with NUL */
	ADDRESS_LIST_MAX = 10000, /* members read from one header, E3 */
};

enum address_kind {
	ADDRESS_FULL, /* local and domain */
	ADDRESS_NAME, /* one bare word: local only, for the account's default domain (E4) */
	ADDRESS_TEXT, /* words that are no address: text only, for alias rules */
	ADDRESS_BAD, /* holds an @ but cannot be read: raw only (event 4039) */
};

struct address {
	enum address_kind kind;
	bool loose; /* other words stood before it without angle brackets: "list bob@x" */
	struct span local; /* without quoting; may hold any byte but control bytes */
	struct span domain; /* atoms and dots as spelled, or a literal with its brackets */
	struct span text; /* the display text before the angle, else the last comment, raw; or empty */
	struct span raw; /* the whole member as it stands in the field */
};

/* Members of one or several fields. Spans point into the field bodies or into
 * the arena, so both must outlive the list. */
struct address_list {
	struct arena *arena;
	struct address *v;
	size_t n, cap;
	size_t max; /* members kept; those beyond it are only counted */
	size_t total; /* members seen */
};

/* An empty list; max is usually ADDRESS_LIST_MAX. */
void address_list_init(struct address_list *list, struct arena *arena, size_t max);
/* Reads a field body, folds and all, and appends its members in order. Groups
 * are flattened, routes dropped (RFC 5322 4.4), ";" taken as a separator. */
void address_read(struct address_list *list, struct span body);

/* One address that somebody typed (configuration, command line, SMTP path):
 * local@domain and nothing else, no comment, no white space outside quotes.
 * Strict: what address_refused refuses is refused here. out's spans point
 * into text or the arena. */
bool address_parse(struct arena *arena, struct span text, struct address *out);

/* Canonical spelling: local part quoted only where it holds other bytes than
 * atext and dots, domain as spelled. */
bool address_print(struct buf *out, const struct address *a)
		__attribute__((warn_unused_result));
/* What is sent in an envelope (E5): local part in its own case, domain lower-case
 * as A-labels. Only for an address that address_refused accepts. */
bool address_wire(struct buf *out, const struct address *a)
		__attribute__((warn_unused_result));
/* What is compared (E5): as the wire form with the local part in lower case (ASCII). */
bool address_key(struct buf *out, const struct address *a)
		__attribute__((warn_unused_result));
/* The local part as an envelope spells it, without its quoting, for whoever compares it or
 * names a folder after it: `"ann"` and ann are one (E5). Points into spelled, or into room.
 * What is longer than an envelope may have it comes back as it is. */
struct span address_unquote(struct span spelled, char room[ADDRESS_LOCAL_MAX]);
/* And back, in its one spelling: quoted only where it has to be (RFC 5321 4.1.2). */
bool address_print_local(struct buf *out, struct span local)
		__attribute__((warn_unused_result));

/* Why this address may not stand in an SMTP envelope, or NULL when it may: bytes
 * below 0x21, 0x7f, < or >, bytes that are not UTF-8, too long, no usable domain
 * (FAULTS H01). The text is static and completes the sentence "the address ...". */
const char *address_refused(const struct address *a);
/* True when the address needs SMTPUTF8: its local part is not ASCII. The domain
 * never does, it is sent as A-labels. */
bool address_utf8(const struct address *a);

/* May this be the alias of a recipient: 1 to ADDRESS_LOCAL_MAX ASCII letters, digits,
 * dots and what else a dot-atom may hold? */
bool address_is_alias(struct span s);

/* The form domains are compared in: lower-case A-labels (UTS 46, not
 * transitional), one trailing dot trimmed; a literal in lower case with its
 * brackets. False for what is no domain: empty labels, bytes other than letters,
 * digits, "-" and "_", labels over 63, and non-ASCII labels that would turn
 * into plain ASCII (full-width look-alikes, ideographic full stops). */
bool domain_canon(struct span spelled, char out[ADDRESS_DOMAIN_MAX + 1]);

/* A set of domains to ask "is it one of ours": exact names, and "*.name" for
 * every subdomain of name (not name itself). Lives in the arena it was made in. */
struct domains {
	struct span *exact, *under; /* canonical, sorted */
	size_t n_exact, n_under;
};

/* False when an entry is no domain (*out_bad is set to it) or the arena is full
 * (*out_bad is empty). The entries may be freed afterwards. */
bool domains_init(struct domains *set, struct arena *arena, const struct span *entries,
		size_t n, struct span *out_bad);
bool domains_have(const struct domains *set, struct span spelled);
/* The same for a name that domain_canon wrote. */
bool domains_have_canon(const struct domains *set, struct span canonical);

#endif
