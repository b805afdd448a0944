/* What the relay would say to each recipient of a decision. */
#include <string.h>

#include "explain.h"
#include "postern/clock.h"
#include "postern/smtp_reply.h"

static void
refuse_one(struct answers *all, struct span address, struct span key, struct span reply,
		const char *reason)
{
	json_t *one = json_pack("{s:o,s:o}", "address", cli_json_span(address), "reply",
			cli_json_span(reply));

	(void)map_put(&all->seen, key, one);
	(void)json_array_append_new(all->refused, one);
	(void)json_array_append_new(all->reasons, json_string(reason));
}

/* A list leads to somebody who was refused before: he gets it all the same. */
static void
not_refused(struct answers *all, const json_t *was)
{
	const json_t *one;
	size_t i;

	json_array_foreach(all->refused, i, one)
	{
		if (one != was)
			continue;
		(void)json_array_remove(all->refused, i);
		(void)json_array_remove(all->reasons, i);
		return;
	}
}

static void
accept_one(struct answers *all, struct span asked, const struct directory_target *t)
{
	json_t *one = json_pack("{s:o,s:s}", "address", cli_json_span(t->address),
			"route", directory_hop(all->directory, all->routes, t)->key);

	if (!span_eq_nocase(t->address, asked))
		(void)json_object_set_new(one, "asked", cli_json_span(asked));
	(void)json_array_append_new(all->recipients, one);
}

static void
answer_one(struct answers *all, struct span address, bool fallback, struct arena *a)
{
	struct directory_said said;

	if (!directory_ask(all->directory, all->conf, address, a, &said))
		return;
	if (!said.accepted && !map_get(&all->seen, said.key))
		refuse_one(all, address, said.key, said.reply,
				fallback ? "no-recipients" : directory_refusal(&said));
	for (size_t i = 0; i < said.n; i++) {
		const struct directory_target *t = &said.v[i];
		const void *was = map_put(&all->seen, t->key, all);

		if (was == all)
			continue;
		if (was)
			not_refused(all, was);
		accept_one(all, address, t);
	}
}

/* What the relay says when the header is here: nobody gets it. */
static void
refuse_for_hops(struct answers *all)
{
	const struct smtp_reply hops = smtp_refuse(SMTP_REFUSE_HOPS);
	AUTO(buf_done) struct buf reply = BUF_MAX(1024);
	const json_t *one;
	size_t i;

	(void)!buf_addf(&reply, "%d %s %s", hops.code, hops.esc, hops.text);
	json_array_foreach(all->recipients, i, one)
	{
		(void)json_array_append_new(all->refused,
				json_pack("{s:O,s:o}", "address",
						json_object_get(one, "address"),
						"reply",
						cli_json_span(buf_span(&reply))));
		(void)json_array_append_new(all->reasons, json_string("hop-count"));
	}
	(void)json_array_clear(all->recipients);
}

void
answers_open(struct answers *all, struct cli *c, struct directory *d)
{
	*all = (struct answers){ .conf = c->conf,
		.directory = d,
		.routes = nexthop_table_new(&c->conf->delivery.routes) };
}

void
answers_close(struct answers *all)
{
	json_decref(all->recipients);
	json_decref(all->refused);
	json_decref(all->reasons);
	nexthop_table_free(all->routes);
	directory_free(all->directory);
	*all = (struct answers){ 0 };
}

void
explain_answers(struct answers *all, const struct recipients *r)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(256 * 1024 * 1024);
	uint64_t seed[2];

	json_decref(all->recipients);
	json_decref(all->refused);
	json_decref(all->reasons);
	all->recipients = json_array();
	all->refused = json_array();
	all->reasons = json_array();
	all->hops = r->received > all->conf->smtp.max_hops;
	clock_random(seed, sizeof(seed));
	map_init(&all->seen, seed[0], seed[1]);
	for (size_t i = 0; i < r->n; i++)
		answer_one(all, r->v[i], r->outcome == RECIPIENTS_FALLBACK, &a);
	map_done(&all->seen);
	if (all->hops)
		refuse_for_hops(all);
}

bool
explain_hops(const struct answers *all, const struct recipients *r)
{
	const json_t *reason;
	size_t i;

	if (all->hops && r->outcome == RECIPIENTS_HOLD)
		return true;
	json_array_foreach(all->reasons, i, reason)
	{
		if (strcmp(json_string_value(reason), "hop-count") == 0)
			return true;
	}
	return false;
}

size_t
explain_addresses(const json_t *list, struct arena *a, struct span **out)
{
	size_t n = json_array_size(list), done = 0, i;
	const json_t *one;

	*out = arena_alloc(a, (n + 1) * sizeof(**out));
	json_array_foreach(list, i, one)
	{
		const char *address =
				json_string_value(json_object_get(one, "address"));
		if (*out && address)
			(*out)[done++] = span_of(address);
	}
	return done;
}
