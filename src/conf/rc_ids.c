#include <string.h>

#include "postern/rcfile.h"

/* "USER@HOST UIDL". Either may hold an @, so the blank divides them, and the last @
 * before it user from host. */
static bool
fetchmail(struct span line, struct rc_id *out)
{
	struct span rest = span_trim(line);
	struct span who = span_until(&rest, ' ');
	size_t at = span_rfind(who, '@');

	rest = span_trim(rest);
	if (at == 0 || at + 1 >= who.n || rest.n == 0)
		return false;
	out->user = span_first(who, at);
	out->host = span_skip(who, at + 1);
	out->uidl = span_first(rest, span_find(rest, ' '));
	return true;
}

static bool
getmail(struct span line, struct rc_id *out)
{
	size_t nul = span_find(line, '\0');

	if (nul == line.n)
		return false;
	out->uidl = span_trim(span_first(line, nul));
	return true;
}

/* " NUMBER HOST USER"; the user may hold blanks. */
static bool
mpop_head(struct rc_ids *ids, struct span line)
{
	struct span rest = span_trim(line);

	(void)span_until(&rest, ' ');
	ids->host = span_until(&rest, ' ');
	ids->user = rest;
	return ids->host.n > 0 && ids->user.n > 0;
}

bool
rc_ids_next(struct rc_ids *ids, struct rc_id *out)
{
	while (ids->rest.n > 0) {
		struct span line = span_until(&ids->rest, '\n');
		struct rc_id id = { .host = ids->host, .user = ids->user };
		bool ok;

		ids->line++;
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (span_trim(line).n == 0)
			continue;
		if (ids->format == RC_MPOP && line.p[0] == ' ') {
			if (!mpop_head(ids, line)) {
				ids->host = ids->user = SPAN("");
				ids->bad++;
			}
			continue;
		}
		/* A UIDL may begin with #; a comment stands before the first list. */
		if (ids->format == RC_MPOP && line.p[0] == '#' && ids->host.n == 0)
			continue;
		if (ids->format == RC_FETCHMAIL) {
			ok = fetchmail(line, &id);
		} else if (ids->format == RC_GETMAIL) {
			ok = getmail(line, &id);
		} else {
			id.uidl = line;
			ok = id.host.n > 0;
		}
		if (ok && id.uidl.n > 0) {
			*out = id;
			return true;
		}
		ids->bad++;
	}
	return false;
}

bool
rc_ids_of(enum rc_format format, const struct rc_id *id, const struct rc_account *a)
{
	struct span user = span_of(a->user);

	if (format == RC_GETMAIL)
		return true;
	/* fetchmail compares users without case, mpop does not. */
	if (format == RC_FETCHMAIL ? !span_eq_nocase(id->user, user)
				   : !span_eq(id->user, user))
		return false;
	return span_eq_nocase(id->host, span_of(a->ids_host)) ||
			(a->ids_host2 &&
					span_eq_nocase(id->host,
							span_of(a->ids_host2)));
}

const char *
rc_getmail_ids_name(const struct rc_account *a, struct arena *arena)
{
	AUTO(buf_done) struct buf name = BUF_MAX(2048), out = BUF_MAX(2048);
	unsigned port = a->server.port != 0	      ? a->server.port
			: a->tls == CONF_TLS_IMPLICIT ? 995
						      : 110;

	if (!buf_addf(&name, "oldmail-%s-%u-%s", a->ids_host, port, a->user))
		return NULL;
	for (size_t i = 0; i < name.n; i++) {
		bool odd = strchr("/:;<>|", name.p[i]) != NULL;
		if (odd && i > 0 && strchr("/:;<>|", name.p[i - 1]))
			continue; /* a run of them is one - */
		if (!buf_add(&out, odd ? SPAN("-") : (struct span){ &name.p[i], 1 }))
			return NULL;
	}
	return arena_str(arena, buf_span(&out));
}
