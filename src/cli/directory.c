/* The directory, as it is and as it would be with policy files applied; and what the
 * relay would answer for an address. */
#include "directory.h"

#include <stdlib.h>
#include <string.h>

#include "postern/address.h"
#include "postern/map.h"
#include "postern/recipientstore.h"
#include "postern/smtp_path.h"
#include "postern/smtp_reply.h"

enum { ROWS_MAX = 1024 * 1024 * 1024 };

/* ---- rows ---- */

static void
policy_of(const struct policy_doc *d, struct arena *a, struct directory_policy *out)
{
	struct directory_template *t =
			arena_alloc(a, (d->addresses.n + 1) * sizeof(*t));
	struct span *groups = arena_alloc(a, (d->match.groups.n + 1) * sizeof(*groups));

	if (!t || !groups)
		abort();
	for (size_t i = 0; i < d->addresses.n; i++)
		t[i] = (struct directory_template){ span_of(d->addresses.p[i].text),
			d->addresses.p[i].primary };
	for (size_t i = 0; i < d->match.groups.n; i++)
		groups[i] = span_of(d->match.groups.p[i]);
	*out = (struct directory_policy){
		.name = span_of(d->name),
		.priority = d->priority,
		.german = d->spelling == POLICY_SPELLING_GERMAN,
		.groups = { groups, d->match.groups.n },
		.addresses = t,
		.n_addresses = d->addresses.n,
	};
}

static struct policy_domain
domain_of(const struct policy_doc *d, size_t i)
{
	const struct policy_doc_domain *from = &d->domains.p[i];

	return (struct policy_domain){
		.domain = span_of(from->domain),
		.subdomains = from->subdomains,
		.authoritative = from->authoritative,
		.policy = span_of(d->name),
		.priority = d->priority,
		.reject_unknown = from->unknown == POLICY_UNKNOWN_REJECT,
		.subaddress = span_of(from->subaddress),
	};
}

static bool
in_file(const struct policy_doc *d, const struct policy_domain *row)
{
	for (size_t i = 0; i < d->domains.n; i++)
		if (d->domains.p[i].subdomains == row->subdomains &&
				span_eq(span_of(d->domains.p[i].domain), row->domain))
			return true;
	return false;
}

/* Policies of the files stand in place of those with their names. */
void
directory_overlay(const struct policy_files *f, struct arena *a,
		struct directory_rows *rows)
{
	size_t n_domains = rows->n_domains, n = 0, m = 0;
	struct map names;

	for (size_t i = 0; i < f->n; i++)
		n_domains += f->docs[i]->domains.n;
	struct directory_policy *policies = arena_alloc(
			a, (rows->n_policies + f->n + 1) * sizeof(*policies));
	struct policy_domain *domains =
			arena_alloc(a, (n_domains + 1) * sizeof(*domains));
	if (!policies || !domains)
		abort();
	map_init(&names, 0, 0);
	for (size_t i = 0; i < f->n; i++) {
		const struct policy_doc *d = f->docs[i];

		(void)map_put(&names, span_of(d->name), f->docs[i]);
		policy_of(d, a, &policies[n++]);
		for (size_t k = 0; k < d->domains.n; k++)
			domains[m++] = domain_of(d, k);
	}
	for (size_t i = 0; i < rows->n_policies; i++) {
		if (!map_get(&names, rows->policies[i].name))
			policies[n++] = rows->policies[i];
	}
	for (size_t i = 0; i < rows->n_domains; i++) {
		const struct policy_domain *row = &rows->domains[i];
		const struct policy_doc *d = map_get(&names, row->policy);

		if (!d || (row->by_hand && !in_file(d, row)))
			domains[m++] = *row;
	}
	map_done(&names);
	rows->policies = policies;
	rows->n_policies = n;
	rows->domains = domains;
	rows->n_domains = m;
}

struct directory *
directory_would(struct reader *r, const struct policy_files *f, struct err *err)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(ROWS_MAX);
	struct directory_rows rows = { 0 };
	uint64_t version;

	if (r && !recipientstore_rows(r, &a, &rows, &version, err))
		return NULL;
	directory_overlay(f, &a, &rows);
	return directory_new(&rows);
}

struct directory *
directory_known(struct reader *r, const struct policy_files *f)
{
	struct err err = { 0 };
	struct directory *d = directory_would(r, f, &err);

	if (!d) {
		(void)cli_fail(0, "%s", err.text);
		d = directory_would(NULL, f, &err);
	}
	return d;
}

struct directory *
directory_now(struct cli *c, struct reader *r, struct err *err)
{
	struct directory *d = NULL;
	uint64_t version;

	if (r)
		return directory_load(r, &d, &version, err) ? d : NULL;

	struct policy_files files = policy_files_quietly(c);
	d = directory_would(NULL, &files, err);
	policy_files_done(&files);
	return d;
}

/* ---- what the relay would say ---- */

static bool
print_reply(enum directory_outcome outcome, struct span address, struct buf *out)
{
	static const enum smtp_refusal why[] = {
		[DIRECTORY_FOREIGN] = SMTP_REFUSE_RELAY,
		[DIRECTORY_UNKNOWN] = SMTP_REFUSE_UNKNOWN,
		[DIRECTORY_NOBODY] = SMTP_REFUSE_LIST,
	};
	char text[SMTP_TEXT_SIZE];

	if (outcome == DIRECTORY_AS_IS || outcome == DIRECTORY_RESOLVED)
		return buf_addf(out, "250 2.1.5 ") && buf_add(out, address);
	struct smtp_reply r = smtp_refuse_for(why[outcome], address, text);
	return buf_addf(out, "%d %s %s", r.code, r.esc, r.text);
}

/* As somebody types it, or as RCPT may say it: white space in quotes and all. */
static bool
read_address(struct arena *a, struct span text, struct address *out)
{
	char room[ADDRESS_LOCAL_MAX];
	struct smtp_path path;

	if (address_parse(a, text, out))
		return true;
	if (!smtp_mailbox_parse(text, &path) || path.domain.n == 0)
		return false;
	*out = (struct address){ .kind = ADDRESS_FULL,
		.local = arena_dup(a, address_unquote(path.local, room)),
		.domain = path.domain };
	return out->local.p;
}

bool
directory_ask(const struct directory *d, const struct conf *conf, struct span address,
		struct arena *a, struct directory_said *out)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	AUTO(buf_done) struct buf reply = BUF_MAX(4096);
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);
	struct address parsed;

	*out = (struct directory_said){ .asked = address };
	if (!read_address(a, address, &parsed) || !domain_canon(parsed.domain, domain))
		return false;
	struct directory_target *self = arena_alloc(a, sizeof(*self));
	parsed.domain = arena_dup(a, span_of(domain));
	if (!self || !parsed.domain.p ||
			!directory_decide(d, &parsed, span_of(conf->server.postmaster),
					a, &out->decision) ||
			!print_reply(out->decision.outcome, address, &reply))
		return false;
	out->reply = arena_dup(a, buf_span(&reply));
	out->accepted = out->decision.outcome >= DIRECTORY_AS_IS;
	if (!address_wire(&wire, &parsed))
		return false;
	*self = (struct directory_target){
		.address = arena_dup(a, buf_span(&wire)),
		.domain = parsed.domain,
	};
	out->key = self->key = directory_fold(a, self->address);
	if (out->decision.outcome == DIRECTORY_AS_IS) {
		out->v = self;
		out->n = 1;
	} else if (out->accepted) {
		out->v = out->decision.to.v;
		out->n = out->decision.to.n;
	}
	return out->reply.p && self->address.p && self->key.p;
}

const struct nexthop *
directory_hop(const struct directory *d, const struct nexthop_table *routes,
		const struct directory_target *t)
{
	return nexthop_find(routes, t->domain,
			policy_find(directory_policies(d), t->domain) != NULL);
}

const char *
directory_refusal(const struct directory_said *s)
{
	switch (s->decision.outcome) {
	case DIRECTORY_UNKNOWN:
		return "unknown-user";
	case DIRECTORY_NOBODY:
		return "general";
	case DIRECTORY_FOREIGN:
	case DIRECTORY_AS_IS:
	case DIRECTORY_RESOLVED:
		break;
	}
	return "relay-denied";
}

const char *
directory_found(const struct directory_said *s)
{
	const struct directory_decision *d = &s->decision;

	if (d->postmaster)
		return "postmaster";
	if (!d->to.entry)
		return d->row ? "unknown" : "foreign";
	if (d->to.entry->list)
		return "list";
	return d->to.match.without_tag ? "without-tag" : "exact";
}
