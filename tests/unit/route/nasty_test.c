/* Who gets a message, in nasty.tsv: one header a line, what is decided of it, and why.
 *
 * The account collects for contoso.test and fabrikam.test from pop.isp.test, its login is
 * "contoso", its address catchall@contoso.test, its provider adds one Received. Settings
 * change that: k=HOPS bottom mode=strict|none names=HEADER strip=TEXT login=NAME
 * default=DOMAIN unrouted=hold utf8 user=ADDRESS rules=MATCH>TARGET;... (spelled without
 * commas, which part settings). With `from` the envelope sender is told, with "!" when
 * nobody may be notified; else "source: recipients" in their order.
 *
 * \{isp} is the provider's Received, \{isp-for A} one with a for-clause, \{sender} one
 * that the sender wrote. */
#include "table.h"

#include "postern/directory.h"
#include "postern/recipients.h"

static const char *path;

enum { RULES_MAX = 8 };

struct setting {
	struct arena arena;
	struct domains served, hosts;
	struct directory *people;
	struct recipients_account account;
	struct span name, strip;
	struct recipients_rule rules[RULES_MAX];
	struct span targets[RULES_MAX];
	bool sender;
};

static void
setting_rules(struct setting *s, struct span v)
{
	size_t n = 0, left_out;

	for (; v.n > 0 && n < RULES_MAX; n++) {
		struct span to = span_until(&v, ';');

		s->rules[n] = (struct recipients_rule){ span_until(&to, '>'),
			&s->targets[n], 1 };
		s->targets[n] = to;
	}
	assert_int_equal(v.n, 0);
	s->account.rules = recipients_rules_new(&s->arena, s->rules, n, &left_out);
	assert_non_null(s->account.rules);
	assert_int_equal(left_out, 0);
}

static void
setting_hosts(struct setting *s, struct span v)
{
	struct span names[4], bad;
	size_t n = 0;

	for (; v.n > 0 && n < 4; n++)
		names[n] = span_until(&v, ';');
	assert_true(domains_init(&s->hosts, &s->arena, names, n, &bad));
	s->account.hosts = &s->hosts;
}

static void
setting_one(struct setting *s, struct span v)
{
	struct recipients_account *a = &s->account;
	struct span key = span_until(&v, '=');

	if (span_eq(key, SPAN("k"))) {
		a->trusted_hops = (unsigned)(v.p[0] - '0');
	} else if (span_eq(key, SPAN("fixed"))) {
		a->hops_fixed = true;
	} else if (span_eq(key, SPAN("hosts"))) {
		setting_hosts(s, v);
	} else if (span_eq(key, SPAN("bottom"))) {
		a->bottom = true;
	} else if (span_eq(key, SPAN("mode"))) {
		a->mode = span_eq(v, SPAN("strict")) ? RECIPIENTS_STRICT
						     : RECIPIENTS_NONE;
	} else if (span_eq(key, SPAN("names"))) {
		s->name = v;
		a->mode = RECIPIENTS_NAMES;
		a->names = &s->name;
		a->n_names = 1;
	} else if (span_eq(key, SPAN("strip"))) {
		s->strip = v;
		a->strip = &s->strip;
		a->n_strip = 1;
	} else if (span_eq(key, SPAN("login"))) {
		a->login = v;
	} else if (span_eq(key, SPAN("default"))) {
		a->default_domain = v;
	} else if (span_eq(key, SPAN("unrouted"))) {
		a->unrouted = UNROUTED_HOLD;
	} else if (span_eq(key, SPAN("utf8"))) {
		a->smtputf8 = true;
	} else if (span_eq(key, SPAN("user"))) {
		a->user = true;
		a->target = v;
	} else if (span_eq(key, SPAN("rules"))) {
		setting_rules(s, v);
	} else if (span_eq(key, SPAN("from"))) {
		s->sender = true;
	} else {
		assert_true(span_eq(key, SPAN(".")));
	}
}

static void
setting_open(struct setting *s, const char *column)
{
	static const struct span entries[] = { { SPAN_INIT("contoso.test") },
		{ SPAN_INIT("fabrikam.test") } };
	const struct policy_domain domains[] = {
		{ .domain = entries[0], .policy = SPAN("p"), .subaddress = SPAN("+") },
	};
	struct span bad, all = span_of(column);

	*s = (struct setting){ .arena = ARENA_MAX(1 << 20) };
	assert_true(domains_init(&s->served, &s->arena, entries, 2, &bad));
	s->people = directory_new(
			&(struct directory_rows){ .domains = domains, .n_domains = 1 });
	assert_non_null(s->people);
	s->account = (struct recipients_account){
		.name = SPAN("contoso"),
		.served = &s->served,
		.policy = &s->served,
		.first_domain = SPAN("contoso.test"),
		.trusted_hops = 1,
		.login = SPAN("contoso"),
		.address = SPAN("catchall@contoso.test"),
		.provider = SPAN("pop.isp.test"),
		.directory = s->people,
		.postmaster = SPAN("post@fabrikam.test"),
	};
	while (all.n > 0)
		setting_one(s, span_until(&all, ','));
}

static void
setting_close(struct setting *s)
{
	directory_free(s->people);
	arena_done(&s->arena);
}

static void
write_word(struct buf *out, struct span name, struct span argument)
{
	if (span_eq(name, SPAN("isp"))) {
		assert_true(buf_add(out,
				SPAN("Received: from a.test by mx.isp.test; Mon\n")));
	} else if (span_eq(name, SPAN("sender"))) {
		assert_true(buf_add(out,
				SPAN("Received: from z by a.test"
				     " for <eve@contoso.test>; Mon\n")));
	} else {
		assert_true(span_eq(name, SPAN("isp-for")));
		assert_true(buf_addf(out,
				"Received: from a.test by mx.isp.test id 1\n"
				"\tfor <" SPAN_FMT ">; Mon\n",
				SPAN_ARG(argument)));
	}
}

/* A decision as the table spells it; bytes outside blank to ~ as \ooo. */
static void
tell(struct buf *out, const struct recipients *r, bool sender)
{
	static const char *const outcomes[] = { "", "fallback ", "hold ", "badmail " };
	AUTO(buf_done) struct buf raw = BUF_MAX(1 << 20);

	if (sender) {
		assert_true(buf_add(&raw, r->sender.n > 0 ? r->sender : SPAN("<>")));
		assert_true(buf_add(&raw, span_of(r->no_notify ? " !" : "")));
	} else {
		assert_true(buf_addf(&raw, "%s" SPAN_FMT ":", outcomes[r->outcome],
				SPAN_ARG(r->source)));
		for (size_t i = 0; i < r->n; i++)
			assert_true(buf_addc(&raw, ' ') && buf_add(&raw, r->v[i]));
	}
	for (size_t i = 0; i < raw.n; i++) {
		unsigned char c = (unsigned char)raw.p[i];

		if (c < ' ' || c > '~' || c == '\\')
			assert_true(buf_addf(out, "\\%03o", c));
		else
			assert_true(buf_addc(out, (char)c));
	}
}

static void
every_header_is_decided_as_it_says(void **state)
{
	struct table t;
	size_t rows = 0, right = 0;

	(void)state;
	table_open(&t, path);
	while (table_next(&t)) {
		AUTO(arena_done) struct arena arena = ARENA_MAX(RECIPIENTS_ARENA_MAX);
		AUTO(buf_done) struct buf header = BUF_MAX(1 << 21);
		AUTO(buf_done) struct buf want = BUF_MAX(1 << 20);
		AUTO(buf_done) struct buf got = BUF_MAX(1 << 20);
		struct setting s;
		struct recipients r;

		rows++;
		assert_non_null(t.column[4]);
		setting_open(&s, t.column[1]);
		table_expand(&header, t.column[2], true, write_word);
		table_expand(&want, t.column[3], false, NULL);
		recipients_decide(&s.account, buf_span(&header), &arena, &r);
		tell(&got, &r, s.sender);
		if (span_eq(buf_span(&got), buf_span(&want)))
			right++;
		else
			print_message("line %zu: %s: %.200s: want %s, got %.200s (%s)\n",
					t.line, t.column[1], t.column[2], t.column[3],
					buf_cstr(&got), t.column[4]);
		setting_close(&s);
	}
	table_close(&t);
	assert_int_equal(right, rows);
	assert_true(rows > 150);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_header_is_decided_as_it_says),
	};

	if (argc < 2)
		return 1;
	path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
