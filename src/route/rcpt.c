/* rcpt: what RCPT is answered, and where mail for the address goes. */
#include "postern/rcpt.h"

#include <string.h>

#include "postern/address.h"
#include "postern/policy.h"

/* ---- the address ---- */

/* As it was said, read. */
struct asked {
	struct smtp_path
			path; /* the postmaster's, where he was asked for by that word alone */
	char local[ADDRESS_LOCAL_MAX];
	char domain[ADDRESS_DOMAIN_MAX + 1];
	struct address to; /* local part without quoting, domain canonical; empty: bare */
	bool valid; /* the domain is one */
};

static void
asked_read(const struct rcpt_rules *rules, const struct smtp_path *path,
		struct asked *out)
{
	out->path = *path;
	if (path->domain.n == 0 && rules->postmaster.n > 0)
		(void)smtp_mailbox_parse(rules->postmaster, &out->path);
	out->domain[0] = '\0';
	out->valid = out->path.domain.n == 0 ||
			domain_canon(out->path.domain, out->domain);
	out->to = (struct address){ .kind = ADDRESS_FULL,
		.local = address_unquote(out->path.local, out->local),
		.domain = out->valid ? span_of(out->domain) : out->path.domain };
}

/* In its one spelling (E5), which is the mailbox itself where nothing is to be changed. */
static struct span
asked_mailbox(const struct asked *k, struct arena *a)
{
	AUTO(buf_done) struct buf b = BUF_MAX(ADDRESS_SIZE);
	bool labels = k->valid && smtp_is_utf8(k->path.domain);
	bool quotes = k->to.local.p != k->path.local.p;
	struct span domain = labels ? k->to.domain : k->path.domain;

	if (!labels && !quotes)
		return k->path.mailbox;
	if (!(quotes ? address_print_local(&b, k->to.local)
		     : buf_add(&b, k->path.local)) ||
			(domain.n > 0 && (!buf_addc(&b, '@') || !buf_add(&b, domain))))
		return (struct span){ NULL, 1 };
	return arena_dup(a, buf_span(&b));
}

static struct span
asked_key(const struct asked *k, struct arena *a)
{
	const struct address *to = &k->to;
	char *p = arena_alloc(a, to->local.n + 1 + to->domain.n);

	if (!p)
		return (struct span){ NULL, 0 };
	for (size_t i = 0; i < to->local.n; i++)
		p[i] = ascii_lower(to->local.p[i]);
	p[to->local.n] = '@';
	if (to->domain.n > 0)
		memcpy(p + to->local.n + 1, to->domain.p, to->domain.n);
	return (struct span){ p, to->local.n + 1 + to->domain.n };
}

/* ---- the decision ---- */

static bool
refuse(struct rcpt *out, enum smtp_refusal why)
{
	out->why = why;
	return true;
}

/* It goes along the route of its domain, as it is. */
static bool
as_is(const struct rcpt_rules *rules, const struct asked *k, struct arena *a,
		struct rcpt *out)
{
	struct directory_target *self = arena_alloc(a, sizeof(*self));

	if (!self)
		return false;
	*self = (struct directory_target){
		.address = out->mailbox,
		.domain = arena_dup(a, k->to.domain),
		.key = out->key,
	};
	/* 250 would be a promise that nobody can keep. */
	if (rcpt_hop(rules, k->to.domain)->kind == NEXTHOP_NONE)
		return refuse(out, SMTP_REFUSE_NO_ROUTE);
	out->accepted = true;
	out->v = self;
	out->n = 1;
	return k->to.domain.n == 0 || self->domain.p;
}

static bool
resolved(struct rcpt *out)
{
	const struct directory_resolved *to = &out->decision.to;

	out->accepted = true;
	out->list = to->entry && to->entry->list ? to->entry : NULL;
	out->v = to->v;
	out->n = to->n;
	return true;
}

/* The bare postmaster of a server that has none is somebody even so (RFC 5321 4.5.1). */
static bool
bare_postmaster(const struct rcpt_rules *rules, const struct address *to)
{
	return to->domain.n == 0 &&
			policy_decide(directory_policies(rules->directory), to->local,
					to->domain)
					.accepted;
}

bool
rcpt_decide(const struct rcpt_rules *rules, const struct smtp_path *path,
		bool may_relay, struct arena *a, struct rcpt *out)
{
	struct asked k;

	asked_read(rules, path, &k);
	*out = (struct rcpt){ .said = path->mailbox, .bare = path->domain.n == 0 };
	out->mailbox = asked_mailbox(&k, a);
	out->key = asked_key(&k, a);
	if (!out->mailbox.p || !out->key.p)
		return false;
	if (!k.valid)
		return refuse(out, SMTP_REFUSE_RELAY);
	if (!directory_decide(rules->directory, &k.to, rules->postmaster, a,
			    &out->decision))
		return false;
	switch (out->decision.outcome) {
	case DIRECTORY_UNKNOWN:
		return refuse(out, SMTP_REFUSE_UNKNOWN);
	case DIRECTORY_NOBODY:
		return refuse(out, SMTP_REFUSE_LIST);
	case DIRECTORY_RESOLVED:
		return resolved(out);
	case DIRECTORY_FOREIGN:
		if (!may_relay && !bare_postmaster(rules, &k.to))
			return refuse(out, SMTP_REFUSE_RELAY);
		break;
	case DIRECTORY_AS_IS:
		break;
	}
	return as_is(rules, &k, a, out);
}

/* ---- its parts ---- */

bool
rcpt_is_ours(const struct directory *d, struct span domain)
{
	return domain.n == 0 || policy_find(directory_policies(d), domain);
}

const struct nexthop *
rcpt_hop(const struct rcpt_rules *rules, struct span domain)
{
	return nexthop_find(
			rules->routes, domain, rcpt_is_ours(rules->directory, domain));
}

/* Which of the refusals that RCPT knows name the address? */
static bool
names_address(enum smtp_refusal why)
{
	return why == SMTP_REFUSE_RELAY || why == SMTP_REFUSE_NO_ROUTE ||
			why == SMTP_REFUSE_UNKNOWN || why == SMTP_REFUSE_LIST ||
			why == SMTP_REFUSE_MEMBERS;
}

struct smtp_reply
rcpt_reply(enum smtp_refusal why, struct span said, char text[SMTP_TEXT_SIZE])
{
	return names_address(why) ? smtp_refuse_for(why, said, text) : smtp_refuse(why);
}

const char *
rcpt_reason(enum smtp_refusal why)
{
	if (why == SMTP_REFUSE_RELAY)
		return "relay-denied";
	if (why == SMTP_REFUSE_UNKNOWN)
		return "unknown-user";
	return why == SMTP_REFUSE_HOPS ? "hop-count" : "general";
}
