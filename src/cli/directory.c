/* The directory, as it is and as it would be with policy files applied; and what the
 * relay would answer for an address. */
#include "directory.h"

#include <stdlib.h>
#include <string.h>

#include "postern/address.h"
#include "postern/map.h"
#include "postern/recipientstore.h"

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

/* As RCPT may say it, or as people type it: with a comment, with white space. */
static bool
read_path(struct arena *a, struct span text, struct smtp_path *out)
{
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);
	struct address typed;

	if (smtp_mailbox_parse(text, out))
		return out->domain.n > 0;
	if (!address_parse(a, text, &typed) || !address_wire(&wire, &typed))
		return false;
	struct span kept = arena_dup(a, buf_span(&wire));
	return kept.p && smtp_mailbox_parse(kept, out) && out->domain.n > 0;
}

static bool
print_reply(const struct rcpt *rc, struct span asked, struct buf *out)
{
	char text[SMTP_TEXT_SIZE];

	if (rc->accepted)
		return buf_addf(out, "250 2.1.5 ") && buf_add(out, asked);
	struct smtp_reply r = rcpt_reply(rc->why, asked, text);
	return buf_addf(out, "%d %s %s", r.code, r.esc, r.text);
}

bool
directory_ask(const struct rcpt_rules *rules, struct span address, struct arena *a,
		struct directory_said *out)
{
	AUTO(buf_done) struct buf reply = BUF_MAX(4096);
	char canon[ADDRESS_DOMAIN_MAX + 1];
	struct smtp_path path;

	*out = (struct directory_said){ .asked = address };
	if (!read_path(a, address, &path) || !domain_canon(path.domain, canon) ||
			!rcpt_decide(rules, &path, false, a, &out->rcpt) ||
			!print_reply(&out->rcpt, address, &reply))
		return false;
	out->reply = arena_dup(a, buf_span(&reply));
	return out->reply.p;
}

const char *
directory_found(const struct directory_said *s)
{
	const struct directory_decision *d = &s->rcpt.decision;

	if (d->postmaster)
		return "postmaster";
	if (!d->to.entry)
		return d->row ? "unknown" : "foreign";
	if (d->to.entry->list)
		return "list";
	return d->to.match.without_tag ? "without-tag" : "exact";
}
