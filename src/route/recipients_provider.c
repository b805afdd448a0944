/* Whose host is this? */
#include "postern/recipients.h"

/* "co.uk" and its like: hosts below them are strangers to each other. */
static bool
is_registry(struct span parent)
{
	static const struct span seconds[] = {
		{ SPAN_INIT("ac") },
		{ SPAN_INIT("co") },
		{ SPAN_INIT("com") },
		{ SPAN_INIT("edu") },
		{ SPAN_INIT("gov") },
		{ SPAN_INIT("ne") },
		{ SPAN_INIT("net") },
		{ SPAN_INIT("or") },
		{ SPAN_INIT("org") },
	};
	struct span top = parent, second = span_until(&top, '.');

	if (span_find(top, '.') < top.n)
		return false;
	if (top.n == 0)
		return true;
	for (size_t i = 0; top.n == 2 && i < sizeof(seconds) / sizeof(*seconds); i++) {
		if (span_eq(second, seconds[i]))
			return true;
	}
	return false;
}

bool
recipients_is_provider(struct span provider, struct span host)
{
	char ours[ADDRESS_DOMAIN_MAX + 1], theirs[ADDRESS_DOMAIN_MAX + 1];

	if (provider.n == 0 || host.n == 0 || !domain_canon(provider, ours) ||
			!domain_canon(host, theirs))
		return false;
	struct span parent = span_of(ours), name = span_of(theirs);
	if (span_eq(parent, name))
		return true;
	struct span first = span_until(&parent, '.');
	if (first.n == 0 || is_registry(parent) ||
			(parent.p[parent.n - 1] >= '0' &&
					parent.p[parent.n - 1] <= '9'))
		return false;
	return name.n > parent.n + 1 && span_ends_nocase(name, parent) &&
			name.p[name.n - parent.n - 1] == '.';
}
