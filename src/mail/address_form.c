/* Addresses as text: printed, sent, compared, refused. */
#include "postern/address.h"

#include "address_lex.h"
#include "postern/enc.h"

#include <string.h>

/* RFC 5321 Dot-string, or (loosely) atext and dots in any order, as docomo.ne.jp
 * gave them out. */
static bool
unquoted_ok(struct span local, bool strict)
{
	if (local.n == 0)
		return false;
	for (size_t i = 0; i < local.n; i++) {
		bool dot = local.p[i] == '.';

		if (!dot && !byte_is_atext(local.p[i]))
			return false;
		if (strict && dot &&
				(i == 0 || i + 1 == local.n || local.p[i + 1] == '.'))
			return false;
	}
	return true;
}

static bool
local_print(struct buf *out, struct span local, bool strict)
{
	if (unquoted_ok(local, strict))
		return buf_add(out, local);

	bool ok = buf_addc(out, '"');
	for (size_t i = 0; ok && i < local.n; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			ok = buf_addc(out, '\\');
		ok = ok && buf_addc(out, local.p[i]);
	}
	return ok && buf_addc(out, '"');
}

static size_t
local_wire_length(struct span local)
{
	size_t n = local.n;

	if (unquoted_ok(local, true))
		return n;
	for (size_t i = 0; i < local.n; i++)
		n += local.p[i] == '"' || local.p[i] == '\\';
	return n + 2;
}

struct span
address_unquote(struct span spelled, char room[ADDRESS_LOCAL_MAX])
{
	size_t n = 0;

	if (spelled.n < 2 || spelled.n > ADDRESS_LOCAL_MAX || spelled.p[0] != '"' ||
			spelled.p[spelled.n - 1] != '"')
		return spelled;
	struct span in = { spelled.p + 1, spelled.n - 2 };
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '\\' && i + 1 < in.n)
			i++;
		room[n++] = in.p[i];
	}
	return (struct span){ room, n };
}

bool
address_print_local(struct buf *out, struct span local)
{
	return local_print(out, local, true);
}

bool
address_is_alias(struct span s)
{
	bool good = s.n > 0 && s.n <= ADDRESS_LOCAL_MAX;

	for (size_t i = 0; i < s.n; i++)
		good = good && (unsigned char)s.p[i] < 0x80 &&
				(s.p[i] == '.' || byte_is_atext(s.p[i]));
	return good;
}

bool
address_print(struct buf *out, const struct address *a)
{
	size_t n = out->n;

	if (local_print(out, a->local, false) &&
			(a->domain.n == 0 ||
					(buf_addc(out, '@') &&
							buf_add(out, a->domain))))
		return true;
	out->n = n;
	return false;
}

bool
address_wire(struct buf *out, const struct address *a)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	size_t n = out->n;

	if (domain_canon(a->domain, domain) && local_print(out, a->local, true) &&
			buf_addc(out, '@') && buf_add(out, span_of(domain)))
		return true;
	out->n = n;
	return false;
}

bool
address_key(struct buf *out, const struct address *a)
{
	size_t n = out->n;

	if (!address_wire(out, a))
		return false;
	for (; n < out->n; n++)
		out->p[n] = ascii_lower(out->p[n]);
	return true;
}

bool
address_utf8(const struct address *a)
{
	for (size_t i = 0; i < a->local.n; i++) {
		if ((unsigned char)a->local.p[i] >= 0x80)
			return true;
	}
	return false;
}

const char *
address_refused(const struct address *a)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];

	if (a->kind != ADDRESS_FULL || a->domain.n == 0)
		return "has no domain";
	if (a->local.n == 0)
		return "has an empty local part";
	for (size_t i = 0; i < a->local.n;) {
		unsigned char c = (unsigned char)a->local.p[i];
		size_t n = c < 0x80 ? 1 : utf8_len(span_skip(a->local, i));

		if (n == 0)
			return "has a local part that is not UTF-8";
		if (c < 0x21 || c == 0x7f || c == '<' || c == '>')
			return "has a byte that no envelope may hold";
		i += n;
	}
	size_t local = local_wire_length(a->local);
	if (local > ADDRESS_LOCAL_MAX)
		return "has a local part over 64 octets";
	if (!domain_canon(a->domain, domain))
		return "has no usable domain";
	/* RFC 5321 4.5.3.1.3: a path has 256 octets, its <> among them. */
	if (local + 1 + strlen(domain) > 254)
		return "is over 254 octets";
	return NULL;
}

bool
address_parse(struct arena *arena, struct span text, struct address *out)
{
	struct address_list list;
	struct lexer lx;

	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return false;
	}
	lexer_init(&lx, text);
	for (struct token t = lexer_next(&lx);; t = lexer_next(&lx)) {
		if (t.blank)
			return false;
		if (t.kind == TOKEN_END)
			break;
		if (t.kind != TOKEN_ATOM && t.kind != TOKEN_DOT && t.kind != TOKEN_AT &&
				t.kind != TOKEN_QUOTED && t.kind != TOKEN_LITERAL)
			return false;
	}
	address_list_init(&list, arena, 2);
	address_read(&list, text);
	if (list.n != 1 || list.total != 1 || list.v[0].loose ||
			address_refused(&list.v[0]))
		return false;
	*out = list.v[0];
	return true;
}
