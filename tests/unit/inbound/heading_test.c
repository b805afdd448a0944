/* What the relay itself reads of a message is the same wherever it stands and however the
 * message comes: in tiny pieces, in one that is too large for memory (edge 28). */
#include "door.h"

static const struct policy_domain domains[] = {
	{ .domain = { SPAN_INIT("contoso.test") }, .authoritative = true },
};
static const struct directory_rows rows = { .domains = domains, .n_domains = 1 };

enum { LARGE = 300 * 1024 };

static int
set_up(void **state)
{
	struct gate *g = gate_new(&rows);

	gate_fresh(g);
	door_open(g);
	*state = g;
	return 0;
}

static int
tear_down(void **state)
{
	gate_free(*state);
	return 0;
}

/* `before` octets of header fields, then those that count, then `after` of body. */
static struct buf
message(size_t before, size_t after)
{
	struct buf b = BUF_MAX(4 * LARGE);

	while (b.n < before)
		assert_true(buf_add(&b, SPAN("Received: by a.test\r\n")));
	assert_true(buf_add(&b,
			SPAN("from : Eve <eve@x.test>\r\nSubject: one\r\n two\r\n"
			     "message-id:\r\n\t<one@x.test>\r\nMessage-ID: <two@x.test>\r\n"
			     "Date: Mon, 30 Nov 2026 21:00:00 +0000\r\n\r\n"
			     "Message-ID: <body@x.test>\r\n")));
	for (size_t n = b.n; b.n < n + after;)
		assert_true(buf_add(&b, SPAN("0123456789\r\n")));
	return b;
}

struct seen {
	char id[64], from[64], subject[64];
	unsigned hops;
	uint8_t key[STORE_KEY_SIZE];
	bool spooled;
};

static void
keep(char out[64], struct span s)
{
	s = span_first(s, 60);
	if (s.n > 0)
		memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}

static struct seen
take(struct gate *g, struct span text, size_t piece, bool crowded)
{
	const struct mail_client client = { .internal = true, .esmtp = true };
	const struct smtp_mail said = { .collected = true,
		.collect = { .account = SPAN("isp"), .uidl = SPAN("1") } };
	size_t others = crowded ? (size_t)RECEIVING_MAX : 0;
	struct mail *m = mail_new(g->in, &said, &client);
	char words[SMTP_TEXT_SIZE];
	struct smtp_path path;
	struct seen s = { 0 };

	g->in->receiving = others;
	assert_true(smtp_mailbox_parse(SPAN("ann@contoso.test"), &path));
	assert_int_equal(mail_rcpt(g->in, m, &path, words).code, 250);
	while (text.n > 0) {
		struct span some = span_first(text, piece);

		assert_int_equal(mail_body(g->in, m, some).code, 0);
		text = span_skip(text, some.n);
	}
	s.hops = m->hops.hops;
	g->conf->smtp.max_hops = 1u << 30;
	assert_int_equal(mail_whole(g->in, m, &(struct smtp_commit){ 0 }, &client).code,
			0);
	keep(s.id, m->job.message_id);
	keep(s.from, heading_get(&m->heading, HEADING_FROM));
	keep(s.subject, heading_get(&m->heading, HEADING_SUBJECT));
	s.spooled = m->job.spool_fd >= 0;
	assert_int_equal(m->recipients[0].key.n, STORE_KEY_SIZE);
	memcpy(s.key, m->recipients[0].key.p, STORE_KEY_SIZE);
	mail_drop(g->in, m);
	assert_int_equal(g->in->receiving, others);
	g->in->receiving = 0;
	return s;
}

static void
what_is_read_of_a_header_is_the_same_however_it_comes(void **state)
{
	static const struct {
		size_t before, after;
	} shapes[] = { { 0, 10 }, { 0, LARGE }, { 3000, LARGE },
		{ 100 * 1024, LARGE } };
	static const size_t pieces[] = { SIZE_MAX, 200 * 1024, 70 * 1024, 4096, 7 };
	struct gate *g = *state;

	for (size_t i = 0; i < 4; i++) {
		struct buf b = message(shapes[i].before, shapes[i].after);
		struct seen first = take(g, buf_span(&b), 4096, false);

		assert_string_equal(first.id, "<one@x.test>");
		assert_string_equal(first.from, "Eve <eve@x.test>");
		assert_string_equal(first.subject, "one two");
		assert_int_equal(first.hops, (shapes[i].before + 20) / 21);
		assert_int_equal(first.spooled, i > 0);
		for (size_t k = 0; k < 10; k++) {
			struct seen s = take(g, buf_span(&b), pieces[k % 5], k >= 5);

			if (k >= 5)
				assert_true(s.spooled);
			s.spooled = first.spooled;
			if (memcmp(&s, &first, sizeof(s)) != 0)
				fail_msg("shape %zu, pieces of %zu: %s %s %s %u", i,
						pieces[k % 5], s.id, s.from, s.subject,
						s.hops);
		}
		buf_done(&b);
	}
}

/* One that never ends is none, and takes no memory; the queue id stands in its place. */
static void
an_id_of_many_octets_is_none(void **state)
{
	struct gate *g = *state;
	struct buf b = BUF_MAX(LARGE);

	assert_true(buf_add(&b, SPAN("Message-ID: <")));
	while (b.n < 5000)
		assert_true(buf_add(&b, SPAN("word ")));
	assert_true(buf_add(&b, SPAN("@x.test>\r\n\r\nx\r\n")));
	struct seen s = take(g, buf_span(&b), 100, false);
	assert_non_null(strstr(s.id, "@gw.contoso.test>"));
	buf_done(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read_of_a_header_is_the_same_however_it_comes),
		cmocka_unit_test(an_id_of_many_octets_is_none),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
