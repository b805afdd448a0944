#include "postern/nexthop.h"

#include <stdlib.h>
#include <string.h>

#include "postern/buf.h"
#include "postern/map.h"
#include "postern/must.h"

enum {
	KEY_MAX = 3200, /* a path at most, and the word before it */
	ARENA_LIMIT = 1 << 30, /* the configuration's own bounds are far below */
};

struct nexthop_table {
	struct nexthop *hops; /* one for each route */
	struct map exact, under; /* domain to hop */
	struct nexthop drop, none;
	struct arena arena;
};

static const char *
copy(struct arena *a, const char *text)
{
	if (!text)
		return NULL;
	const char *p = arena_str(a, span_of(text));
	MUST(p);
	return p;
}

static const char *
key_make(struct arena *a, const struct nexthop *hop)
{
	static const char *const words[] = {
		[NEXTHOP_NONE] = "none",
		[NEXTHOP_DROP] = "drop",
		[NEXTHOP_MAILDIR] = "maildir",
		[NEXTHOP_SMTP] = "smtp",
		[NEXTHOP_LMTP_TCP] = "lmtp",
		[NEXTHOP_LMTP_UNIX] = "lmtp",
	};
	struct buf key = BUF_MAX(KEY_MAX + KEY_MAX);
	bool fits = buf_add(&key, span_of(words[hop->kind]));

	if (hop->host) {
		bool six = strchr(hop->host, ':') != NULL;
		fits = fits &&
				buf_addf(&key, six ? ":[%s]:%u" : ":%s:%u", hop->host,
						hop->port);
	} else if (hop->path) {
		fits = fits && buf_addf(&key, ":%s", hop->path);
	}
	MUST(fits);
	const char *text = copy(a, buf_cstr(&key));
	buf_done(&key);
	return text;
}

static void
hop_make(struct arena *a, const struct conf_hop *to, struct nexthop *out)
{
	static const enum nexthop_kind kinds[] = {
		[CONF_HOP_DROP] = NEXTHOP_DROP,
		[CONF_HOP_MAILDIR] = NEXTHOP_MAILDIR,
		[CONF_HOP_SMTP] = NEXTHOP_SMTP,
		[CONF_HOP_LMTP] = NEXTHOP_LMTP_TCP,
		[CONF_HOP_LMTP_UNIX] = NEXTHOP_LMTP_UNIX,
		/* Not available yet: conf refuses them. */
		[CONF_HOP_MX] = NEXTHOP_NONE,
		[CONF_HOP_ETRN] = NEXTHOP_NONE,
	};

	*out = (struct nexthop){
		.kind = kinds[to->kind],
		.host = copy(a, to->host.name),
		.literal = to->host.literal,
		.port = to->host.port,
		.path = copy(a, to->path),
	};
	out->key = key_make(a, out);
}

struct nexthop_table *
nexthop_table_new(const struct conf_routes *routes)
{
	struct nexthop_table *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->hops = calloc(routes->n + 1, sizeof(*t->hops));
	if (!t->hops)
		abort();
	t->arena = ARENA_MAX(ARENA_LIMIT);
	t->drop = (struct nexthop){ .kind = NEXTHOP_DROP, .key = "drop" };
	t->none = (struct nexthop){ .kind = NEXTHOP_NONE, .key = "none" };
	/* The keys are the administrator's: no seed needed. */
	map_init(&t->exact, 0, 0);
	map_init(&t->under, 0, 0);
	for (size_t i = 0; i < routes->n; i++) {
		const struct conf_route *route = &routes->p[i];
		hop_make(&t->arena, &route->to, &t->hops[i]);
		(void)map_put(route->subdomains ? &t->under : &t->exact,
				span_of(copy(&t->arena, route->domain)), &t->hops[i]);
	}
	return t;
}

void
nexthop_table_free(struct nexthop_table *t)
{
	if (!t)
		return;
	map_done(&t->exact);
	map_done(&t->under);
	arena_done(&t->arena);
	free(t->hops);
	free(t);
}

const struct nexthop *
nexthop_find(const struct nexthop_table *t, struct span domain, bool policy_domain)
{
	const struct nexthop *hop = map_get(&t->exact, domain);
	struct span rest = domain;

	if (domain.n == 0)
		return &t->drop;
	if (hop)
		return hop;
	/* The longest suffix first; a literal has none. */
	while (t->under.n > 0 && domain.p[0] != '[') {
		size_t dot = span_find(rest, '.');
		if (dot == rest.n)
			break;
		rest = span_skip(rest, dot + 1);
		hop = map_get(&t->under, rest);
		if (hop)
			return hop;
	}
	return policy_domain ? &t->drop : &t->none;
}

bool
nexthop_parse(struct span text, struct arena *a, struct nexthop *out, struct err *err)
{
	struct conf_hop hop;
	const char *why;

	if (text.n > KEY_MAX)
		return err_set(err, 0, "a next hop of %zu bytes", text.n);
	if (span_eq(text, SPAN("none"))) {
		*out = (struct nexthop){ .kind = NEXTHOP_NONE, .key = "none" };
		return true;
	}
	if (!conf_hop_parse(text, "", a, &hop, &why))
		return err_set(err, 0, "\"%.*s\" is not %s",
				(int)span_first(text, 60).n, text.p, why);
	hop_make(a, &hop, out);
	return true;
}

struct verdict
nexthop_none_verdict(struct span domain)
{
	return verdict_make(FATE_BOUNCED, 0, "5.4.4", "no route to %.*s",
			(int)span_first(domain, 255).n, domain.p);
}
