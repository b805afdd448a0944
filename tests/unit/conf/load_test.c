#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/conf_load.h"

static struct conf_faults faults;

static struct conf *
parse(const char *text)
{
	conf_faults_done(&faults);
	conf_faults_init(&faults);
	return conf_parse(
			&(struct conf_source){
					.text = span_of(text),
					.path = "etc/postern.yaml",
					.hostname = "machine.test",
			},
			&faults);
}

/* All faults as they are printed; for messages of failing tests too. */
static const char *
said(void)
{
	static struct buf out = { .max = 1 << 20 };

	buf_clear(&out);
	for (size_t i = 0; i < faults.n; i++)
		assert_true(conf_fault_print(&faults.list[i], &out));
	return buf_cstr(&out);
}

static void
has(const char *part)
{
	if (!strstr(said(), part))
		fail_msg("wanted \"%s\", got:\n%s", part, said());
}

#define ACCOUNT \
	"accounts: { a: { type: global, server: s.test, user: u, password: { env: P }, "
#define PIN "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define PERSON \
	"accounts: { a: { type: user, server: s.test, user: u, password: { env: P }, " \
	"recipient: a@x.test, "

static void
everything_has_its_place(void **state)
{
	(void)state;
	struct conf *c = parse(
			"server: { hostname: GW.Contoso.Test, state: st, postmaster: P@Contoso.TEST, user: pn }\n"
			"policies: [ p/*.yaml, /abs.yaml ]\n"
			"accounts:\n"
			"  one:\n"
			"    { type: global, server: 'pop.isp.test:1100', tls: starttls, tls_ca: ca.pem,\n"
			"      user: ü, password: { file: s/one }, auth: plain, domains: [ B\303\234CHER.test, '*.x.test' ],\n"
			"      envelope: [ X-Envelope-To, X-Rcpt ], trusted_hops: 2, provider_hosts: [ mx.Google.com, '*.google.com' ], unrouted: Help@x.test, every: 10s,\n"
			"      keep: 7d, max_size: 64K, oversize: skip, max_per_session: 7 }\n"
			"  two:\n"
			"    { type: user, server: '[::1]', user: j, password: { command: [ pass, show, j ] },\n"
			"      recipient: jane.doe, keep: forever, auth: user }\n"
			"smtp: { listen: [ '127.0.0.1:2525', { address: '[::]:0' }, '127.0.0.1:2526', '[::]:0' ], relay_from: [ 192.168.2.7/24, fe80::/10 ],\n"
			"  limits: { message: 1M, recipients: 100, messages_per_session: 3, connections: 4, connections_per_client: 5,\n"
			"    errors: 6, idle: 1h }, max_hops: 9 }\n"
			"delivery: { retry: [ 1s, 2m ], expire: 5d, connections: 11, connections_per_host: 3, routes: {\n"
			"  A.test: { to: 'lmtp:/run/l' }, '*.a.test': { to: 'smtp:[10.0.0.1]:26' }, b.test: { to: 'drop:d' } } }\n"
			"badmail: { enabled: false, keep: 1h, max: 1G }\n"
			"dns: { servers: [ '127.0.0.1:5353', '::1' ], timeout: 2s }\n"
			"log: { to: log/events, format: json, level: 3 }\n");
	if (!c)
		fail_msg("%s", said());
	assert_string_equal(c->server.hostname, "gw.contoso.test");
	assert_string_equal(c->server.state, "etc/st");
	assert_string_equal(c->server.postmaster, "P@contoso.test");
	assert_string_equal(c->server.user, "pn");
	assert_string_equal(c->policies.p[0], "etc/p/*.yaml");
	assert_string_equal(c->policies.p[1], "/abs.yaml");

	const struct conf_account *a = conf_account_find(c, "one");
	assert_non_null(a);
	assert_int_equal(a->type, CONF_GLOBAL);
	assert_int_equal(a->mark.line, 4);
	assert_int_equal(a->mark.column, 3);
	assert_string_equal(a->server.name, "pop.isp.test");
	assert_int_equal(a->server.port, 1100);
	assert_int_equal(a->tls, CONF_TLS_STARTTLS);
	assert_string_equal(a->tls_ca, "etc/ca.pem");
	assert_string_equal(a->user, "ü");
	assert_int_equal(a->password.kind, SECRET_FILE);
	assert_string_equal(a->password.text, "etc/s/one");
	assert_int_equal(a->auth, CONF_AUTH_PLAIN);
	assert_int_equal(a->domains.n, 2);
	assert_string_equal(a->domains.p[0], "xn--bcher-kva.test");
	assert_string_equal(a->domains.p[1], "*.x.test");
	assert_int_equal(a->envelope.mode, CONF_ENVELOPE_NAMED);
	assert_string_equal(a->envelope.names.p[1], "X-Rcpt");
	assert_int_equal(a->trusted_hops, 2);
	assert_int_equal(a->provider_hosts.n, 2);
	assert_string_equal(a->provider_hosts.p[0], "mx.google.com");
	assert_string_equal(a->provider_hosts.p[1], "*.google.com");
	assert_int_equal(a->unrouted.kind, CONF_UNROUTED_ADDRESS);
	assert_string_equal(a->unrouted.address, "Help@x.test");
	assert_int_equal(a->every_s, 10);
	assert_int_equal(a->keep_s, 7 * 86400);
	assert_int_equal(a->max_size, 65536);
	assert_int_equal(a->max_per_session, 7);

	a = &c->accounts.p[1];
	assert_int_equal(a->type, CONF_USER);
	assert_string_equal(a->server.name, "::1");
	assert_true(a->server.literal);
	assert_int_equal(a->server.port, 995);
	assert_int_equal(a->password.kind, SECRET_COMMAND);
	assert_string_equal(a->password.argv[2], "j");
	assert_null(a->password.argv[3]);
	assert_int_equal(a->keep_s, CONF_KEEP_FOREVER);
	assert_string_equal(a->recipient, "jane.doe");
	assert_null(conf_account_find(c, "three"));

	assert_int_equal(c->smtp.listen.n, 4);
	assert_string_equal(c->smtp.listen.p[1].address.name, "::");
	assert_int_equal(c->smtp.listen.p[0].address.port, 2525);
	assert_int_equal(c->smtp.relay_from.p[0].bits, 120);
	assert_int_equal(c->smtp.relay_from.p[0].address[15], 0);
	assert_int_equal(c->smtp.relay_from.p[1].bits, 10);
	assert_int_equal(c->smtp.limits.message, 1 << 20);
	assert_int_equal(c->smtp.limits.idle_s, 3600);
	assert_int_equal(c->smtp.limits.errors, 6);
	assert_int_equal(c->smtp.max_hops, 9);
	assert_int_equal(c->delivery.retry.n, 2);
	assert_int_equal(c->delivery.retry.p[1], 120);
	assert_int_equal(c->delivery.expire_s, 5 * 86400);
	assert_int_equal(c->delivery.routes.n, 3);
	assert_string_equal(c->delivery.routes.p[0].domain, "a.test");
	assert_int_equal(c->delivery.routes.p[0].to.kind, CONF_HOP_LMTP_UNIX);
	assert_true(c->delivery.routes.p[1].subdomains);
	assert_true(c->delivery.routes.p[1].to.host.literal);
	assert_int_equal(c->delivery.routes.p[1].to.host.port, 26);
	assert_string_equal(c->delivery.routes.p[2].to.path, "etc/d");
	assert_false(c->badmail.enabled);
	assert_int_equal(c->badmail.max, 1 << 30);
	assert_int_equal(c->dns.servers.p[0].port, 5353);
	assert_int_equal(c->dns.servers.p[1].port, 53);
	assert_int_equal(c->dns.timeout_s, 2);
	assert_int_equal(c->log.to.kind, CONF_LOG_FILE);
	assert_string_equal(c->log.to.path, "etc/log/events");
	assert_int_equal(c->log.format, CONF_LOG_JSON);
	assert_int_equal(c->log.level, 3);
	conf_free(c);
}

static void
a_token_stands_for_the_password(void **state)
{
	(void)state;
	static const struct {
		const char *auth;
		enum conf_auth want;
	} rows[] = { { "auto", CONF_AUTH_AUTO }, { "xoauth2", CONF_AUTH_XOAUTH2 },
		{ "oauthbearer", CONF_AUTH_OAUTHBEARER } };

	for (size_t i = 0; i < 3; i++) {
		char text[400];
		(void)snprintf(text, sizeof(text),
				"accounts: { a: { type: global, server: s.test, user: u, auth: %s, "
				"tls_pin: '" PIN "; " PIN
				"', token: { command: [ give, it ] } } }",
				rows[i].auth);
		struct conf *c = parse(text);
		if (!c || faults.n > 0)
			fail_msg("%s", said());
		const struct conf_account *a = &c->accounts.p[0];
		assert_int_equal(a->auth, rows[i].want);
		assert_int_equal(a->password.kind, SECRET_NONE);
		assert_int_equal(a->token.kind, SECRET_COMMAND);
		assert_string_equal(a->token.argv[1], "it");
		assert_string_equal(a->tls_pin, PIN "; " PIN);
		conf_free(c);
	}
}

static void
presets_are_those_of_the_contract(void **state)
{
	(void)state;
	struct conf *c = parse(ACCOUNT "} }");
	assert_non_null(c);
	assert_int_equal(faults.n, 0);
	assert_string_equal(c->server.hostname, "machine.test");
	assert_string_equal(c->server.state, "/var/lib/postern");
	assert_null(c->server.postmaster);
	assert_int_equal(c->policies.n, 0);
	assert_int_equal(c->accounts.p[0].tls, CONF_TLS_IMPLICIT);
	assert_int_equal(c->accounts.p[0].auth, CONF_AUTH_AUTO);
	assert_int_equal(c->accounts.p[0].envelope.mode, CONF_ENVELOPE_AUTO);
	assert_int_equal(c->accounts.p[0].trusted_hops, 1);
	assert_int_equal(c->accounts.p[0].unrouted.kind, CONF_UNROUTED_POSTMASTER);
	assert_int_equal(c->accounts.p[0].every_s, 300);
	assert_int_equal(c->accounts.p[0].keep_s, 0);
	assert_int_equal(c->accounts.p[0].max_size, 50 << 20);
	assert_int_equal(c->accounts.p[0].max_per_session, 500);
	assert_int_equal(c->smtp.listen.n, 0);
	assert_int_equal(c->smtp.limits.message, 50 << 20);
	assert_int_equal(c->smtp.limits.recipients, 1000);
	assert_int_equal(c->smtp.limits.messages_per_session, 1000);
	assert_int_equal(c->smtp.limits.connections, 1000);
	assert_int_equal(c->smtp.limits.connections_per_client, 50);
	assert_int_equal(c->smtp.limits.errors, 10);
	assert_int_equal(c->smtp.limits.idle_s, 300);
	assert_int_equal(c->smtp.max_hops, 50);
	assert_int_equal(c->delivery.retry.n, 4);
	assert_int_equal(c->delivery.retry.p[0], 15 * 60);
	assert_int_equal(c->delivery.retry.p[3], 4 * 3600);
	assert_int_equal(c->delivery.expire_s, 2 * 86400);
	assert_int_equal(c->delivery.delay_notice_s, 12 * 3600);
	assert_int_equal(c->delivery.connections, 100);
	assert_int_equal(c->delivery.connections_per_host, 10);
	assert_true(c->badmail.enabled);
	assert_int_equal(c->badmail.keep_s, 30 * 86400);
	assert_int_equal(c->badmail.max, INT64_C(10) << 30);
	assert_int_equal(c->dns.timeout_s, 5);
	assert_int_equal(c->log.to.kind, CONF_LOG_STDERR);
	assert_int_equal(c->log.level, 0);
	conf_free(c);
}

static void
empty_sections_and_files_are_fine(void **state)
{
	(void)state;
	static const char *const texts[] = { "", "# nothing\n", "---\n",
		"server:\naccounts:\nsmtp: ~\ndelivery:\n  routes:\n",
		"policies: []\nsmtp: { listen: [], relay_from: }\n",
		"log: { to: stderr }\r\n" };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct conf *c = parse(texts[i]);
		if (!c)
			fail_msg("%s: %s", texts[i], said());
		conf_free(c);
	}
}

static void
one_file_with_ten_mistakes_names_all_ten(void **state)
{
	(void)state;
	struct conf *c = parse("server:\n"
			       "  hostnme: gw.contoso.test\n" /* 1 */
			       "accounts:\n"
			       "  contoso:\n"
			       "    type: globl\n" /* 2 */
			       "    server: pop.isp.test:70000\n" /* 3 */
			       "    tls: implict\n" /* 4 */
			       "    user: contoso\n"
			       "    password: hunter2\n" /* 5 */
			       "    every: 5s\n" /* 6 */
			       "    every: 10s\n" /* 7 */
			       "smtp:\n"
			       "  limits: { message: 50MB }\n" /* 8 */
			       "\tmax_hops: 20\n" /* 9 */
			       "delivery:\n"
			       "  smart_host: x.test\n"); /* 10 */
	assert_null(c);
	assert_int_equal(faults.errors, 10);
	assert_int_equal(faults.n, 10);
	has("etc/postern.yaml:2:3: error: unknown key \"hostnme\" in server\n    hint: did you mean \"hostname\"?\n");
	has("etc/postern.yaml:5:11: error: accounts.contoso.type: expected one of global, user, not \"globl\"\n");
	has("etc/postern.yaml:6:13: error: accounts.contoso.server: expected HOST:PORT");
	has("etc/postern.yaml:7:10: error: accounts.contoso.tls: ");
	has("    hint: did you mean \"implicit\"?\n");
	has("etc/postern.yaml:9:15: error: accounts.contoso.password: ");
	has("etc/postern.yaml:10:12: error: accounts.contoso.every: must be at least 10s, not 5s\n");
	has("etc/postern.yaml:11:5: error: the key \"every\" was given already in line 10\n");
	has("etc/postern.yaml:13:22: error: smtp.limits.message: expected a size");
	has("etc/postern.yaml:14:1: error: not valid YAML");
	has("etc/postern.yaml:16:3: error: delivery.smart_host is not available yet in this version\n");
	assert_null(strstr(said(), "hunter2"));
	for (size_t i = 1; i < faults.n; i++)
		assert_true(faults.list[i - 1].mark.line < faults.list[i].mark.line);
}

struct bad {
	const char *text;
	const char *want; /* part of what is printed */
};

static const struct bad bads[] = {
	/* the YAML itself */
	{ "- a\n", ":1:1: error: expected keys and their values" },
	{ "server: [\n", ":1:9: error: server: expected a mapping" },
	{ "server: {\n", "not valid YAML" },
	{ "server:\n  state: 'x\nlogg: 1\n", ":2:10: error: not valid YAML" },
	{ "smtp:\n  listen: [ '127.0.0.1:1'\nlogg: 1\n",
			":2:11: error: not valid YAML" },
	{ "server:\n\tstate: x\n", ":2:1: error: not valid YAML" },
	{ "server:\n\tstate: x\n", "hint: YAML does not take tabs here" },
	{ "server:\n\tstate: x\nlogg: 1\n", ":3:1: error: unknown key \"logg\"" },
	{ "server: { state: a: b }\n", "not valid YAML" },
	{ "server: &a { state: x }\n", ":1:9: error: anchors" },
	{ "server: *a\n", ":1:9: error: aliases" },
	{ "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", ":2:8: error: aliases" },
	{ "server: !!python/object:os.system {}\n", ":1:9: error: tags" },
	{ "server: !x {}\n", ":1:9: error: tags" },
	{ "log: {}\n---\nlog: {}\n", ":2:1: error: a second document" },
	{ "? [ a ]\n: b\n", ":1:3: error: a key must be plain text" },
	{ "<<: { a: b }\n", ":1:1: error: unknown key \"<<\"" },
	{ "[[[[[[[[[[[[[[[[[[[[[[[[\n", "nested too deeply" },
	{ "server: { state: \xff }\n", ":1:18: error: a byte that is not UTF-8" },
	{ "\xff\xfel\x01", ":1:1: error: the file is UTF-16" },
	{ "log: { to: \x01 }\n", ":1:12: error: not valid YAML" },
	/* keys */
	{ "acounts: {}\n", "hint: did you mean \"accounts\"?" },
	{ "expire: 2d\n", "hint: it belongs at delivery.expire" },
	{ ACCOUNT "tls_pn: x } }", "hint: did you mean \"tls_pin\"?" },
	{ "smtp: { every: 5m }\n", "hint: it belongs at accounts.NAME.every" },
	{ "server: { zzzzzzzz: 1 }\n",
			"hint: known here: hostname, state, postmaster, user" },
	{ "server: { state: a, state: b }\n",
			":1:21: error: the key \"state\" was given already in line 1" },
	{ "log: {}\nlog: {}\n",
			":2:1: error: the key \"log\" was given already in line 1" },
	{ "accounts: { \"a b\": {} }\n", ":1:13: error: \"a b\" cannot be a name" },
	{ "accounts: { .a: {} }\n", "cannot be a name" },
	{ "delivery: { routes: { \"a..b\": { to: drop } } }\n",
			":1:23: error: \"a..b\" is not a domain" },
	{ "delivery: { routes: { \"*\": { to: drop } } }\n", "is not a domain" },
	{ "delivery:\n  routes:\n    a.test: { to: drop }\n    A.TEST: { to: drop }\n",
			":4:5: error: the domain of \"A.TEST\" was given already in line 3" },
	{ "accounts: [ a ]\n", ":1:11: error: accounts: expected a mapping" },
	{ "accounts: { a: 3 }\n", ":1:16: error: accounts.a: expected a mapping" },
	/* values */
	{ "server: { hostname: 'a b' }\n",
			":1:21: error: server.hostname: expected a full host name" },
	{ "server: { hostname: 10.0.0.1 }\n", "a full host name" },
	{ "server: { hostname: }\n", "server.hostname has no value" },
	{ "server: { hostname: [ a ] }\n", "not a list" },
	{ "server: { postmaster: ann }\n", "a full mail address" },
	{ "server: { postmaster: 'ann@x.test, b@x.test' }\n", "a full mail address" },
	{ "server: { state: '' }\n", "server.state is empty" },
	{ "server: { user: \"a\\nb\" }\n", "control character (byte 0x0a)" },
	{ ACCOUNT "every: 9s } }", "must be at least 10s, not 9s" },
	{ ACCOUNT "every: 300 } }", "a duration such as" },
	{ ACCOUNT "every: 9999999999999999999999d } }", "a duration such as" },
	{ ACCOUNT "every: 400d } }", "must be at most 366d" },
	{ ACCOUNT "keep: -1 } }", "a duration such as 7d, 0, or forever" },
	{ ACCOUNT "max_size: 5T } }", "a size such as" },
	{ ACCOUNT "max_size: 1 } }", "must be at least 1K" },
	{ ACCOUNT "trusted_hops: -1 } }", "expected a number" },
	{ ACCOUNT "trusted_hops: 4294967297 } }", "must be at most 50" },
	{ ACCOUNT "max_per_session: 0 } }", "must be at least 1" },
	{ ACCOUNT "domains: [] } }", "expected 1 to 1000 items, not 0" },
	{ ACCOUNT "domains: [ 'a@b' ] } }",
			"accounts.a.domains[1]: expected a domain" },
	{ ACCOUNT "envelope: 'X Y' } }", "the name of a header field" },
	{ ACCOUNT "envelope: [] } }", "1 to 16 header fields" },
	{ ACCOUNT "envelope: strickt } }",
			"warning: accounts.a.envelope: \"strickt\" is taken as the name" },
	{ ACCOUNT "unrouted: nobody } }",
			"postmaster, hold, badmail or a mail address" },
	{ ACCOUNT "unrouted: a@ } }", "a full mail address" },
	{ "accounts: { a: { type: global, server: 'h:0', user: u, password: { env: P } } }",
			"a port from 1 to 65535" },
	{ "accounts: { a: { type: global, server: 10.0.0.256, user: u, password: { env: P } } }",
			"a host name" },
	{ "smtp: { listen: [ '2525' ] }",
			"smtp.listen[1].address: expected ADDRESS:PORT" },
	{ "smtp: { listen: [ 'host.test:25' ] }", "expected ADDRESS:PORT" },
	{ "smtp: { listen: [ {} ] }", "smtp.listen[1]: \"address\" is missing" },
	{ "smtp: { listen: [ '127.0.0.1:25',\n '127.0.0.1:25' ] }",
			":2:2: error: smtp.listen: 127.0.0.1 port 25 was given already in line 1" },
	{ "smtp: { relay_from: [ 10.0.0.0/33 ] }",
			"an IPv4 network with 0 to 32 bits" },
	{ "smtp: { relay_from: [ '::/129' ] }", "an IPv6 network" },
	{ "smtp: { relay_from: [ contoso.test ] }", "a network" },
	{ "smtp: { limits: { errors: 0 } }", "smtp.limits.errors: must be at least 1" },
	{ "delivery: { retry: [] }", "1 to 16 items" },
	{ "delivery: { retry: [ 0 ] }", "delivery.retry[1]: must be at least 1s" },
	{ "delivery: { retry: { a: b } }", "delivery.retry: expected a duration" },
	{ "delivery: { routes: { a.test: {} } }",
			"delivery.routes.a.test: \"to\" is missing" },
	{ "delivery: { routes: { a.test: { to: 'lmtp:host' } } }", "lmtp:HOST:PORT" },
	{ "delivery: { routes: { a.test: { to: 'maildir:/m/%x' } } }",
			"%d (domain), %u (user)" },
	{ "delivery: { connections: 2, connections_per_host: 3 }",
			":1:29: warning: delivery.connections_per_host" },
	{ "badmail: { enabled: yes }", "expected true or false, not \"yes\"" },
	{ "dns: { servers: [ ns.test ] }", "the address of a name server" },
	{ "dns: { timeout: 0 }", "must be at least 1s" },
	{ "log: { level: 4 }", "must be at most 3" },
	{ "log: { format: xml }", "one of text, json" },
	/* secrets */
	{ "accounts: { a: { type: global, server: s, user: u, password: geheim } }",
			"password: expected one place" },
	{ "accounts: { a: { type: global, server: s, user: u, password: {} } }",
			"expected one place" },
	{ "accounts: { a: { type: global, server: s, user: u, password: { env: A, file: b } } }",
			"expected one place" },
	{ "accounts: { a: { type: global, server: s, user: u, password: { flie: b } } }",
			"did you mean \"file\"?" },
	{ "accounts: { a: { type: global, server: s, user: u, password: { env: 1A } } }",
			"environment variable" },
	{ "accounts: { a: { type: global, server: s, user: u, password: { command: pass } } }",
			"a list of the program" },
	{ "accounts: { a: { type: global, server: s, user: u, password: { command: [] } } }",
			"a list of the program" },
	{ "accounts: { a: { type: global, server: s, user: u, password: { credential: ../x } } }",
			"without a path" },
	{ "accounts: { a: { type: global, server: s, user: u, password: { value: \"a\\rb\" } } }",
			"control character" },
	{ "accounts: { a: { type: global, server: s, user: u, password: { value: x } } }",
			"warning: accounts.a.password: the secret stands" },
	/* what belongs together */
	{ "accounts:\n  a: { server: s, user: u, password: { env: P } }",
			":2:3: error: accounts.a: \"type\" is missing" },
	{ "accounts:\n  a:\n", ":2:3: error: accounts.a: \"server\" is missing" },
	{ "accounts: { a: { type: global, server: s, user: u } }",
			"\"password\" is missing" },
	{ "accounts: { a: { type: user, server: s, user: u, password: { env: P } } }",
			"a user account needs \"recipient\"" },
	{ ACCOUNT "recipient: a@x.test } }", "\"recipient\" belongs to user accounts" },
	{ PERSON "domains: [ x.test ] } }", "\"domains\" belongs to global accounts" },
	{ PERSON "envelope: auto } }", "\"envelope\" belongs to global accounts" },
	{ PERSON "unrouted: badmail } }", "\"unrouted\" belongs to global accounts" },
	{ ACCOUNT "tls: none, tls_ca: x } }", "\"tls_ca\" has no use with tls: none" },
	{ ACCOUNT "tls: none, tls_pin: '" PIN "' } }",
			"\"tls_pin\" has no use with tls: none" },
	{ ACCOUNT "tls_pin: sha256//short } }",
			"accounts.a.tls_pin: expected sha256//BASE64" },
	{ ACCOUNT "tls_pin: '" PIN ";" PIN ";x' } }", "expected sha256//BASE64" },
	{ ACCOUNT "auth: xoauth2 } }",
			":1:13: error: accounts.a: \"token\" is missing\n" },
	{ ACCOUNT "auth: oauthbearer } }", "hint: token: { command: [" },
	{ ACCOUNT "auth: cram-md5, token: { env: T } } }",
			"accounts.a: \"token\" has no use with this auth" },
	{ "accounts: { a: { type: global, server: s, user: u, auth: plain } }",
			"accounts.a: \"password\" is missing\n" },
	{ ACCOUNT "tls: none } }",
			"warning: accounts.a: password and mail cross the network unprotected" },
	{ "accounts:\n  a: { type: user, server: s, user: u, password: { env: P }, recipient: a@x.test }\n"
	  "  b: { type: user, server: 'S:995', user: u, password: { env: P }, recipient: b@x.test }\n",
			":3:3: warning: accounts.b is the same mailbox as accounts.a" },
	{ "accounts: { a: { type: user, server: s, user: u, password: { env: P }, recipient: 'ja ne' } }",
			":1:83: error: accounts.a.recipient: expected the alias of a recipient, or a mail address, not \"ja ne\"" },
	/* not yet */
	{ "smtp: { listen: [ { address: '[::]:465', tls: implicit } ] }",
			"implicit is not available yet in this version" },
	{ "delivery: { routes: { a.test: { to: mx } } }",
			"mx is not available yet in this version" },
	{ "delivery: { routes: { a.test: { to: etrn } } }",
			"etrn is not available yet in this version" },
	{ "delivery: { routes: { a.test: { to: drop, tls: required } } }",
			"delivery.routes.a.test.tls is not available yet in this version" },
	{ "web: { listen: '127.0.0.1:1' }",
			":1:1: error: web is not available yet in this version" },
};

static void
every_mistake_has_its_words_and_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		struct conf *c = parse(bads[i].text);
		bool warning = strstr(bads[i].want, "warning: ") != NULL;
		if (!strstr(said(), bads[i].want))
			fail_msg("%s\nwanted \"%s\", got:\n%s", bads[i].text,
					bads[i].want, said());
		if ((c != NULL) != warning)
			fail_msg("%s\nshould %sbe usable:\n%s", bads[i].text,
					warning ? "" : "not ", said());
		conf_free(c);
	}
}

/* One fault may not drag others behind it. */
static void
one_mistake_is_one_fault(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"server:\n  hostname: gw.test\n\tstate: x\n  postmaster: p@x.test\nlog: { level: 1 }\n",
		"accounts:\n  a:\n    type: global\n    server: [ s.test\n    user: u\n    password: { env: P }\n",
		"server: 3\n",
		"accounts: { a: 3 }\n",
		"delivery: { routes: { a.test: { to: x } } }\n",
		"accounts: { a: { type: wrong, server: s, user: u, password: { env: P } } }\n",
		ACCOUNT "every: 5 } }",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_null(parse(texts[i]));
		if (faults.errors != 1)
			fail_msg("%s\n%s", texts[i], said());
	}
}

static void
names_and_texts_end_at_255_bytes(void **state)
{
	(void)state;
	char text[1000], user[300];
	memset(user, 'u', sizeof(user));
	user[255] = '\0';
	(void)snprintf(text, sizeof(text),
			"accounts: { a: { type: global, server: s, user: %s, password: { env: P } } }",
			user);
	struct conf *c = parse(text);
	assert_non_null(c);
	conf_free(c);
	user[255] = 'u';
	user[256] = '\0';
	(void)snprintf(text, sizeof(text),
			"accounts: { a: { type: global, server: s, user: %s, password: { env: P } } }",
			user);
	assert_null(parse(text));
	has("accounts.a.user: longer than 255 bytes");
}

static void
faults_past_the_hundredth_are_counted(void **state)
{
	(void)state;
	struct buf text = BUF_MAX(CONF_TEXT_MAX + 100);
	for (int i = 0; i < 20000; i++)
		assert_true(buf_addf(&text, "k%d: 1\n", i));
	assert_null(parse(buf_cstr(&text)));
	assert_int_equal(faults.n, CONF_FAULTS_MAX);
	assert_int_equal(faults.errors, 20000);
	assert_int_equal(faults.more, 20000 - CONF_FAULTS_MAX);
	/* Too much of anything is a fault and not a wait. */
	while (text.n < CONF_TEXT_MAX - 1)
		assert_true(buf_addc(&text, text.n % 2 ? '[' : '\n'));
	assert_null(parse(buf_cstr(&text)));
	assert_true(buf_add(&text, SPAN("xx")));
	assert_null(parse(buf_cstr(&text)));
	has("larger than 4M");
	buf_clear(&text);
	assert_true(buf_add(&text, SPAN("policies:\n")));
	for (int i = 0; i < 500001; i++)
		assert_true(buf_add(&text, SPAN("- x\n")));
	assert_null(parse(buf_cstr(&text)));
	has("too many values in one file");
	buf_done(&text);
}

static void
one_value_stands_for_a_list_of_one(void **state)
{
	(void)state;
	struct conf *c = parse(
			"policies: a.yaml\nsmtp: { listen: '127.0.0.1:25' }\ndelivery: { retry: 5m }\n");
	assert_non_null(c);
	assert_int_equal(c->policies.n, 1);
	assert_string_equal(c->policies.p[0], "etc/a.yaml");
	assert_int_equal(c->smtp.listen.n, 1);
	assert_int_equal(c->smtp.listen.p[0].address.port, 25);
	assert_int_equal(c->delivery.retry.p[0], 300);
	conf_free(c);
}

static void
with_a_working_directory_paths_are_absolute(void **state)
{
	(void)state;
	static const char *const files[][2] = {
		{ "etc/p.yaml", "/home/x/etc/st" },
		{ "p.yaml", "/home/x/st" },
		{ "/etc/p.yaml", "/etc/st" },
	};
	for (size_t i = 0; i < 3; i++) {
		conf_faults_done(&faults);
		conf_faults_init(&faults);
		struct conf *c = conf_parse(
				&(struct conf_source){
						.text = SPAN("server: { state: st }\nlog: { to: /abs }\n"),
						.path = files[i][0],
						.cwd = "/home/x",
				},
				&faults);
		assert_non_null(c);
		assert_string_equal(c->server.state, files[i][1]);
		assert_string_equal(c->log.to.path, "/abs");
		conf_free(c);
	}
}

static void
texts_from_the_file_cannot_break_a_line(void **state)
{
	(void)state;
	assert_null(parse("\"a\\nb\\e[31m\": 1\n"));
	assert_int_equal(faults.n, 1);
	assert_null(strchr(faults.list[0].text, '\n'));
	assert_null(strchr(faults.list[0].text, '\033'));
}

/* For event 1002. */
static void
changes_are_counted_by_setting(void **state)
{
	static const struct {
		const char *was, *now;
		size_t n;
	} rows[] = {
		{ "", "", 0 },
		{ "", "log: { level: 1 }\n", 1 },
		{ "log: { level: 1 }\n", "", 1 },
		{ "log: { level: 1 }\n", "log:\n  level: 1 # the same\n", 0 },
		{ "log: { level: 1 }\n", "log: { level: 2 }\n", 1 },
		{ "log: { level: 1 }\n", "log: { format: json }\n", 2 },
		{ "policies: [ a, b ]\n", "policies: [ b, a ]\n", 1 },
		{ "policies: [ a, b ]\n", "policies: [ ab ]\n", 1 },
		{ "smtp: { listen: [ '[::1]:1' ] }\n",
				"smtp: { listen: [ { address: '[::1]:1' } ] }\n", 1 },
		{ ACCOUNT "every: 1m } }\n", ACCOUNT "every: 2m } }\n", 1 },
		{ ACCOUNT "every: 1m } }\n", "log: { level: 0 }\n", 6 },
		{ "delivery: { retry: [ 1m ] }\nlog: { level: 1 }\n",
				"badmail: { keep: 1d }\ndelivery: { retry: [ 2m ] }\n",
				3 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct conf *was = parse(rows[i].was), *now = parse(rows[i].now);

		if (!was || !now || conf_changes(was, now) != rows[i].n)
			fail_msg("row %zu: %s", i, said());
		conf_free(was);
		conf_free(now);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_has_its_place),
		cmocka_unit_test(changes_are_counted_by_setting),
		cmocka_unit_test(a_token_stands_for_the_password),
		cmocka_unit_test(presets_are_those_of_the_contract),
		cmocka_unit_test(empty_sections_and_files_are_fine),
		cmocka_unit_test(one_file_with_ten_mistakes_names_all_ten),
		cmocka_unit_test(every_mistake_has_its_words_and_place),
		cmocka_unit_test(one_mistake_is_one_fault),
		cmocka_unit_test(names_and_texts_end_at_255_bytes),
		cmocka_unit_test(faults_past_the_hundredth_are_counted),
		cmocka_unit_test(one_value_stands_for_a_list_of_one),
		cmocka_unit_test(with_a_working_directory_paths_are_absolute),
		cmocka_unit_test(texts_from_the_file_cannot_break_a_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
