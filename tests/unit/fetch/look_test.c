/* A session that only looks: what it notes, whom it hands the unique-ids to, and what it asks a
 * port that did not answer as it should. */
#include "../../../src/fetch/look.h"

#include <stdlib.h>
#include <string.h>

#include "../../../src/fetch/hints.h"
#include "check.h"

enum { UIDS = 25000 };

static struct {
	struct conf_account account;
	struct fetch_setup setup;
	struct fetch_poll poll;
	struct fetch_adopter adopter;
	struct fetch_look look;
	struct pop_session s;
	struct hint_fault fault; /* what hints were asked about */
	size_t taken, calls, progress, fail_at;
	bool names_why;
	const char *greets; /* the other end: NULL: nobody is there */
	size_t read_at;
	bool asked_tls, asked_clear;
} w;

bool __wrap_dial_tls_facts(const struct dial *d, struct tls_facts *out);
struct span __wrap_pop_listing_uid(const struct pop_listing *l, size_t i);
void __wrap_pop_progress(struct pop_session *s);
struct dial *__wrap_dial_open(
		const struct dial_to *to, enum dial_end *why, struct err *err);
ssize_t __wrap_dial_read(struct dial *d, void *p, size_t n);
void __wrap_dial_set_deadline(struct dial *d, int64_t at_ms);
void __wrap_dial_close(struct dial *d);
bool __wrap_hint_sentence(
		const struct hint_fault *f, const char *stage, struct buf *out);
bool __wrap_hint_for(const struct conf_account *a, const struct hint_fault *f,
		struct buf *out);

bool
__wrap_dial_tls_facts(const struct dial *d, struct tls_facts *out)
{
	(void)d, (void)out;
	return true;
}

/* The i-th is "u" and its place in the order of unique-ids, backwards. */
struct span
__wrap_pop_listing_uid(const struct pop_listing *l, size_t i)
{
	static char names[UIDS][24];

	(void)l;
	(void)snprintf(names[i], sizeof(names[i]), "u%zu", i);
	return span_of(names[i]);
}

void
__wrap_pop_progress(struct pop_session *s)
{
	(void)s;
	w.progress++;
}

struct dial *
__wrap_dial_open(const struct dial_to *to, enum dial_end *why, struct err *err)
{
	(void)why, (void)err;
	assert_string_equal(to->host, "pop.test");
	assert_int_equal(to->port, 995);
	assert_true(to->connect_ms > 0 && to->idle_ms > 0);
	*(to->tls ? &w.asked_tls : &w.asked_clear) = true;
	w.read_at = 0;
	return w.greets ? (struct dial *)(void *)&w : NULL;
}

/* Octet by octet. */
ssize_t
__wrap_dial_read(struct dial *d, void *p, size_t n)
{
	assert_ptr_equal(d, &w);
	assert_true(n > 0);
	if (!w.greets[w.read_at])
		return -1;
	*(char *)p = w.greets[w.read_at++];
	return 1;
}

void
__wrap_dial_set_deadline(struct dial *d, int64_t at_ms)
{
	assert_ptr_equal(d, &w);
	assert_true(at_ms > 0);
}

void
__wrap_dial_close(struct dial *d)
{
	assert_true(!d || d == (struct dial *)(void *)&w);
}

bool
__wrap_hint_sentence(const struct hint_fault *f, const char *stage, struct buf *out)
{
	w.fault = *f;
	return buf_addf(out, "the sentence at %s", stage ? stage : "the beginning");
}

bool
__wrap_hint_for(const struct conf_account *a, const struct hint_fault *f,
		struct buf *out)
{
	assert_ptr_equal(a, &w.account);
	(void)f;
	return buf_addf(out, "the hint");
}

static bool
take(void *host, const struct span *uidls, size_t n, struct err *err)
{
	assert_ptr_equal(host, &w);
	assert_true(n > 0 && n <= FETCH_ADOPT_BATCH);
	w.calls++;
	if (w.calls == w.fail_at)
		return w.names_why ? err_set(err, 9006, "it is not ours")
				   : err_set(err, 0, "the relay is gone");
	for (size_t i = 0; i < n; i++) {
		char want[24];

		(void)snprintf(want, sizeof(want), "u%zu",
				w.s.listing.named - 1 - (w.taken + i));
		assert_true(span_eq(uidls[i], span_of(want)));
	}
	w.taken += n;
	return true;
}

/* A mailbox of so many messages, `named` of them with a unique-id. */
static void
listed(size_t n, size_t named)
{
	free(w.s.listing.order);
	memset(&w, 0, sizeof(w));
	w.account = (struct conf_account){ .name = "contoso",
		.server = { .name = "pop.test", .port = 995 } };
	w.poll.account = &w.account;
	w.poll.setup = &w.setup;
	w.adopter = (struct fetch_adopter){ take, &w };
	w.s.poll = &w.poll;
	w.s.listing.n = n;
	w.s.listing.named = named;
	w.s.listing.order = calloc(named + 1, sizeof(*w.s.listing.order));
	assert_non_null(w.s.listing.order);
	for (size_t i = 0; i < named; i++)
		w.s.listing.order[i] = (uint32_t)(named - 1 - i);
}

static void
what_the_server_is_like_is_noted(void **state)
{
	(void)state;
	listed(3, 3);
	assert_true(look_session(&w.s)); /* nobody wants to know */
	w.poll.look = &w.look;
	w.s.logged_on = CONF_AUTH_PLAIN;
	w.s.caps.heard = w.s.caps.uidl = true;
	w.poll.login_delay_s = 60;
	w.s.listing.octets = 4711;
	w.s.listing.unnamed = 2;
	assert_true(look_session(&w.s));
	assert_true(w.look.tls && w.look.capa && w.look.uidl);
	assert_false(w.look.top || w.look.pipelining);
	assert_string_equal(w.look.mechanism, "PLAIN");
	assert_int_equal(w.look.login_delay_s, 60);
	assert_int_equal(w.look.octets, 4711);
	assert_int_equal(w.look.unnamed, 2);
	w.s.logged_on = CONF_AUTH_USER;
	w.s.caps.heard = w.s.caps.uidl = false;
	w.s.caps.top = w.s.caps.pipelining = true;
	assert_true(look_session(&w.s));
	assert_string_equal(w.look.mechanism, "USER and PASS");
	assert_true(w.look.top && w.look.pipelining);
	assert_false(w.look.capa || w.look.uidl);
}

static void
all_unique_ids_are_handed_over_in_their_order(void **state)
{
	static const struct {
		size_t n, calls;
	} cases[] = { { 0, 0 }, { 1, 1 }, { FETCH_ADOPT_BATCH, 1 },
		{ FETCH_ADOPT_BATCH + 1, 2 }, { 2 * FETCH_ADOPT_BATCH, 2 },
		{ UIDS, 3 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		listed(cases[i].n, cases[i].n);
		w.poll.adopt = &w.adopter;
		assert_true(look_session(&w.s));
		assert_int_equal(w.taken, cases[i].n);
		assert_int_equal(w.calls, cases[i].calls);
		assert_int_equal(w.progress, cases[i].calls);
	}
}

static void
messages_without_unique_ids_are_not_adopted(void **state)
{
	(void)state;
	listed(5, 0);
	w.poll.adopt = &w.adopter;
	assert_false(look_session(&w.s));
	assert_int_equal(w.s.err.event, 4008);
	listed(5, 2); /* those that have one are */
	w.poll.adopt = &w.adopter;
	assert_true(look_session(&w.s));
	assert_int_equal(w.taken, 2);
}

static void
an_adoption_that_fails_in_the_middle_ends_the_session(void **state)
{
	(void)state;
	for (size_t nth = 1; nth <= 3; nth++)
		for (int why = 0; why < 2; why++) {
			listed(UIDS, UIDS);
			w.poll.adopt = &w.adopter;
			w.fail_at = nth;
			w.names_why = why;
			assert_false(look_session(&w.s));
			assert_int_equal(w.calls, nth);
			assert_int_equal(w.s.err.event, why ? 9006 : 9005);
		}
}

/* ---- a session that failed ---- */

static void
failed(enum conf_pop_tls tls, enum pop_stage stage, enum dial_end end, int event)
{
	listed(0, 0);
	w.account.tls = tls;
	w.poll.look = &w.look;
	w.poll.stage = pop_stage_name(stage);
	w.poll.end = end;
	(void)err_set(&w.poll.result.error, event, "what it said");
	w.poll.tls = (struct tls *)(void *)&w;
}

static void
words_hint_and_stage_are_kept(void **state)
{
	(void)state;
	failed(CONF_TLS_NONE, POP_AT_LOGON, DIAL_IDLE, 4003);
	look_failed(&w.poll);
	assert_string_equal(w.look.stage, pop_stage_name(POP_AT_LOGON));
	assert_int_equal(w.look.end, DIAL_IDLE);
	assert_string_equal(w.look.hint, "the hint");
	assert_non_null(strstr(w.look.words, "the sentence at "));
	assert_int_equal(w.fault.event, 4003);
	assert_int_equal(w.fault.end, DIAL_IDLE);
	assert_true(w.fault.connected);
	assert_true(span_eq(w.fault.words, SPAN("what it said")));
	failed(CONF_TLS_NONE, POP_AT_CONNECT, DIAL_RESET, 4002);
	look_failed(&w.poll);
	assert_false(w.fault.connected);
	w.poll.stage = NULL; /* it never began */
	look_failed(&w.poll);
	assert_false(w.fault.connected);
	assert_null(w.look.stage);
}

/* A port is asked once more only where it may be another one than it was taken for. */
static void
a_port_that_does_not_answer_is_asked_what_it_speaks(void **state)
{
	static const struct {
		enum conf_pop_tls tls;
		enum pop_stage stage;
		enum dial_end end;
		int event;
		const char *greets;
		enum hint_port port;
		bool tls_asked, clear_asked;
	} cases[] = {
		{ CONF_TLS_IMPLICIT, POP_AT_CONNECT, DIAL_RESET, 8002, "+OK hi",
				HINT_PORT_CLEAR, false, true },
		{ CONF_TLS_IMPLICIT, POP_AT_CONNECT, DIAL_RESET, 8002, "220 hi",
				HINT_PORT_UNKNOWN, false, true },
		{ CONF_TLS_IMPLICIT, POP_AT_CONNECT, DIAL_RESET, 8002, "+O",
				HINT_PORT_UNKNOWN, false, true },
		{ CONF_TLS_IMPLICIT, POP_AT_CONNECT, DIAL_RESET, 8002, NULL,
				HINT_PORT_UNKNOWN, false, true },
		{ CONF_TLS_IMPLICIT, POP_AT_GREETING, DIAL_IDLE, 4002, "+OK hi",
				HINT_PORT_UNKNOWN, false, false },
		{ CONF_TLS_NONE, POP_AT_GREETING, DIAL_IDLE, 4002, "", HINT_PORT_TLS,
				true, false },
		{ CONF_TLS_NONE, POP_AT_GREETING, DIAL_EOF, 4002, "", HINT_PORT_TLS,
				true, false },
		{ CONF_TLS_NONE, POP_AT_GREETING, DIAL_RESET, 4002, "", HINT_PORT_TLS,
				true, false },
		{ CONF_TLS_NONE, POP_AT_GREETING, DIAL_RESET, 4002, NULL,
				HINT_PORT_UNKNOWN, true, false },
		{ CONF_TLS_NONE, POP_AT_GREETING, DIAL_DNS, 4002, "", HINT_PORT_UNKNOWN,
				false, false },
		{ CONF_TLS_NONE, POP_AT_LOGON, DIAL_IDLE, 4003, "", HINT_PORT_UNKNOWN,
				false, false },
		{ CONF_TLS_NONE, POP_AT_CONNECT, DIAL_RESET, 8002, "+OK hi",
				HINT_PORT_UNKNOWN, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		failed(cases[i].tls, cases[i].stage, cases[i].end, cases[i].event);
		w.greets = cases[i].greets;
		look_failed(&w.poll);
		assert_int_equal(w.fault.port, cases[i].port);
		assert_int_equal(w.asked_tls, cases[i].tls_asked);
		assert_int_equal(w.asked_clear, cases[i].clear_asked);
	}
	/* Our own TLS could not even begin: that says nothing of the port. */
	failed(CONF_TLS_IMPLICIT, POP_AT_CONNECT, DIAL_RESET, 8002);
	w.poll.tls = NULL;
	w.greets = "+OK hi";
	look_failed(&w.poll);
	assert_int_equal(w.fault.port, HINT_PORT_UNKNOWN);
	assert_false(w.asked_clear);
}

static int
end(void **state)
{
	(void)state;
	free(w.s.listing.order);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_server_is_like_is_noted),
		cmocka_unit_test(all_unique_ids_are_handed_over_in_their_order),
		cmocka_unit_test(messages_without_unique_ids_are_not_adopted),
		cmocka_unit_test(an_adoption_that_fails_in_the_middle_ends_the_session),
		cmocka_unit_test(words_hint_and_stage_are_kept),
		cmocka_unit_test(a_port_that_does_not_answer_is_asked_what_it_speaks),
	};
	return cmocka_run_group_tests(tests, NULL, end);
}
