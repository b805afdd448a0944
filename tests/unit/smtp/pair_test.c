/* The sending engine against the receiving engine, with a wire of random pieces between
 * them and commits that finish in random order. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "host.h"
#include "postern/must.h"
#include "postern/smtp_client.h"

enum { MESSAGES = 400, MOST = 6, LARGE = 200000 };

struct message {
	struct smtp_client_out out;
	struct smtp_collect collect;
	struct span to[MOST];
	struct buf body;
	size_t given;
	unsigned told[MOST]; /* verdicts */
	unsigned done;
};

struct pair {
	struct smtp_client *client;
	struct host host;
	struct message messages[MESSAGES];
	size_t sent, settled;
	uint64_t seed;
	uint64_t committed; /* tickets below are answered */
	struct buf to_client, to_server;
	bool internal;
};

static unsigned
chance(struct pair *p, unsigned n)
{
	p->seed = p->seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(p->seed >> 33) % n;
}

static void
make(struct pair *p, size_t i)
{
	struct message *m = &p->messages[i];
	size_t n = chance(p, 20) == 0 ? chance(p, LARGE) : chance(p, 300);
	static const char letters[] = "ab\r\n.\r\n\0\xe9x";

	m->body = BUF_MAX(LARGE);
	m->out.mark = 1000 + i;
	m->out.sender = chance(p, 3) ? SPAN("later@x.test") : SPAN("s@x.test");
	m->out.recipients = m->to;
	m->out.n = p->internal ? chance(p, MOST) : 1 + chance(p, MOST - 1);
	for (size_t k = 0; k < m->out.n; k++)
		m->to[k] = chance(p, 4) ? SPAN("u@d.test") : SPAN("no@d.test");
	for (size_t k = 0; k < n; k++)
		MUST(buf_addc(&m->body, letters[chance(p, sizeof(letters) - 1)]));
	m->out.size = n;
	m->out.eight_bit = m->out.bare = m->out.nul = true;
	if (p->internal) {
		m->collect = (struct smtp_collect){ .account = SPAN("con/to so"),
			.uidl = SPAN("U\xff/1"),
			.provider = SPAN("pop.test"),
			.ip = SPAN("192.0.2.7"),
			.tls = true,
			.print = 0x1f,
			.copies = chance(p, 2) == 0 };
		if (m->out.n > 0 && chance(p, 3) == 0)
			m->collect.fallback = SPAN("no-recipients");
		if (m->out.n == 0 && chance(p, 2))
			m->collect.hold = SPAN("unrouted");
		else if (m->out.n == 0)
			m->collect.badmail = SPAN("no-recipients");
		m->out.collect = &m->collect;
		if (chance(p, 2))
			m->out.route = SPAN("{\"a\":[\r\n]}");
	}
}

static void
take_facts(struct pair *p)
{
	struct smtp_fact f;

	while (smtp_client_next(p->client, &f)) {
		struct message *m = &p->messages[f.mark >= 1000 ? f.mark - 1000 : 0];
		bool refused;

		switch (f.kind) {
		case SMTP_FACT_RECIPIENT:
			refused = m->to[f.recipient].p[0] == 'n';
			assert_int_equal(m->done, 0);
			m->told[f.recipient]++;
			assert_int_equal(f.verdict->fate,
					refused ? FATE_BOUNCED : FATE_DELIVERED);
			break;
		case SMTP_FACT_MESSAGE:
			assert_int_equal(f.mark, 1000 + p->settled);
			p->settled++;
			m->done++;
			for (size_t k = 0; k < m->out.n; k++)
				assert_int_equal(m->told[k], 1);
			if (p->internal)
				assert_int_equal(f.verdict->fate, FATE_DELIVERED);
			break;
		case SMTP_FACT_OVER:
			fail_msg("over: %s", f.verdict->text);
			break;
		case SMTP_FACT_GREETED:
		case SMTP_FACT_CAPS:
		case SMTP_FACT_EXCHANGE:
			break;
		}
	}
}

static void
client_works(struct pair *p)
{
	take_facts(p);
	if (p->sent < MESSAGES && smtp_client_may_send(p->client))
		smtp_client_send(p->client, &p->messages[p->sent++].out);
	if (p->sent > 0 && smtp_client_wants_body(p->client)) {
		struct message *m = &p->messages[p->sent - 1];
		struct span rest = span_skip(buf_span(&m->body), m->given);
		struct span piece = span_first(rest, chance(p, 100000));

		m->given += smtp_client_body(p->client, piece, piece.n == rest.n);
	}
	struct span out = span_first(smtp_client_output(p->client), chance(p, 70000));
	MUST(buf_add(&p->to_server, out));
	smtp_client_sent(p->client, out.n);
	take_facts(p);

	struct span in = span_first(buf_span(&p->to_client), 1 + chance(p, 900));
	buf_drop(&p->to_client, smtp_client_feed(p->client, in));
	take_facts(p);
}

static void
server_works(struct pair *p)
{
	struct smtp_server *s = p->host.engine;
	struct span in = span_first(buf_span(&p->to_server), 1 + chance(p, 90000));
	size_t used = 0;

	for (;;) {
		size_t n = smtp_server_feed(s, span_skip(in, used));
		bool asked = smtp_server_ask(s)->kind != SMTP_ASK_NOTHING;

		used += n;
		host_answer(&p->host);
		if (n == 0 && !asked)
			break;
	}
	buf_drop(&p->to_server, used);
	while (smtp_server_tickets(s) > 0 && chance(p, 3) > 0)
		smtp_server_committed(s, p->committed++,
				(struct smtp_reply){ 250, "2.6.0", "durable" });
	struct span out = span_first(smtp_server_output(s), chance(p, 5000));
	MUST(buf_add(&p->to_client, out));
	smtp_server_sent(s, out.n);
}

/* The bodies that the host wrote down are the bodies that were sent, in order. */
static void
check_bodies(struct pair *p)
{
	struct span diary = buf_span(&p->host.diary);
	AUTO(buf_done) struct buf want = BUF_MAX(1 << 24);

	for (size_t i = 0; i < MESSAGES; i++) {
		struct message *m = &p->messages[i];
		bool anybody = p->internal;

		for (size_t k = 0; k < m->out.n; k++)
			anybody |= m->to[k].p[0] != 'n';
		if (!anybody)
			continue;
		struct span line;
		do
			line = span_until(&diary, '\n');
		while (diary.n > 0 && !span_starts(line, SPAN("commit")));
		line = span_skip(line, span_find(line, ':') + 2);
		buf_clear(&want);
		host_escape(&want, buf_span(&m->body));
		assert_true(span_eq(line, buf_span(&want)));
	}
}

static void
run(bool internal, unsigned window, uint64_t seed)
{
	struct smtp_client_options co = { .hostname = SPAN("gw.test"),
		.internal = internal,
		.window = window,
		.transcript = seed & 1 };
	struct smtp_server_options so = { .hostname = SPAN("mx.test"),
		.internal = internal };
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->internal = internal;
	p->seed = seed;
	p->to_client = BUF_MAX(1 << 26);
	p->to_server = BUF_MAX(1 << 26);
	for (size_t i = 0; i < MESSAGES; i++)
		make(p, i);
	p->client = smtp_client_new(&co);
	host_open(&p->host, &so);
	for (unsigned turn = 0; p->settled < MESSAGES; turn++) {
		assert_true(turn < 1000000);
		client_works(p);
		server_works(p);
	}
	assert_int_equal(smtp_client_under_way(p->client), 0);
	check_bodies(p);
	for (size_t i = 0; i < MESSAGES; i++)
		buf_done(&p->messages[i].body);
	smtp_client_free(p->client);
	host_done(&p->host);
	buf_done(&p->to_client);
	buf_done(&p->to_server);
	free(p);
}

static void
test_internal(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++)
		run(true, seed % 2 ? 300 : 1, seed);
}

static void
test_outside(void **state)
{
	(void)state;
	for (uint64_t seed = 11; seed <= 14; seed++)
		run(false, 4, seed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_internal),
		cmocka_unit_test(test_outside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
