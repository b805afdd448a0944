/* template: address templates of recipient policies, as Exchange had them.
 *
 *	%m alias      %g given name      %s surname      %d display name
 *	%i initial: of the second given name, or of the only one
 *	%1g .. %9g    the first letters of a value; so %1s, %1m, %1d
 *	%rxy          x becomes y in every value behind it; the same twice: left out
 *	%%            a percent sign
 *
 * A letter with a usual spelling in ASCII is spelled so (é e, ø o, ß ss, ü u; with
 * `german` ü ue), unless %r gives another for it ("%rüv"). What else may not stand in an
 * unquoted local part is left out: blanks, brackets, letters of other scripts. Dots at the ends and two in a
 * row go too, so that "%g.%s" is "Lee" where there is no given name. First
 * letters are counted in what is left. The case of the names is kept. */
#ifndef POSTERN_TEMPLATE_H
#define POSTERN_TEMPLATE_H

#include "postern/address.h"

enum { TEMPLATE_MAX = 400 }; /* octets of one template */

struct template_names {
	struct span alias, given, surname, display; /* UTF-8; empty: none */
	bool german;
};

/* What is wrong with it ("%x is no code of a template", static), *at the octet where
 * that begins; NULL: nothing. The domain is not looked at. */
const char *template_fault(struct span text, size_t *at);
/* What stands behind the last @. */
struct span template_domain(struct span text);
/* The local part for these names, and its length; 0: it gives none. What is longer
 * than a local part may be is cut. *left_out: so was a letter, for want of a spelling; may be
 * NULL. For a template without fault. */
size_t template_local(struct span text, const struct template_names *names,
		char out[ADDRESS_LOCAL_MAX], bool *left_out);

#endif
