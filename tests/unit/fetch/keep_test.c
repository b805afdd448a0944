/* DELE or not: `keep` beside everything that may be known of a message; and what a relay
 * may answer that is no 250. */
#include <sqlite3.h>

#include "world.h"

enum { WEEK_S = 7 * 24 * 3600 };

/* What is known of its origin, changed behind the collector's back. */
static void
change_origin(struct world *w, const char *what)
{
	char path[96], sql[256];
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/postern.db", w->dir);
	(void)snprintf(sql, sizeof(sql),
			"UPDATE origin SET %s WHERE uidl = 'uid-%05zu'", what, w->put);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	(void)sqlite3_busy_timeout(db, 5000);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_changes(db), 1);
	(void)sqlite3_close(db);
}

enum knowledge {
	NOTHING,
	COMMITTED,
	COMMITTED_LONG_AGO,
	RESIZED, /* LIST says another size, the message is the same */
	RESIZED_LONG_AGO,
	COMMITTED_ANOTHER, /* the unique-id is another message's now */
	SETTLED,
	SETTLED_ANOTHER,
	ADOPTED,
	KEYLESS, /* there are no unique-ids: its content is known */
};

static void
know(struct world *w, enum knowledge what)
{
	static const struct provider_line resized[] = {
		{ "LIST", "+OK\r\n1 12345\r\n.\r\n" }, { NULL, NULL }
	};
	struct buf *data = &w->provider.mails[w->provider.n - 1].data;

	if (what == COMMITTED_LONG_AGO || what == RESIZED_LONG_AGO)
		change_origin(w, "committed_ms = committed_ms - 8 * 86400000");
	if (what == SETTLED || what == SETTLED_ANOTHER)
		change_origin(w, "settled = 1");
	if (what == ADOPTED)
		change_origin(w, "settled = 2, print = 0, id = 0");
	if (what == RESIZED || what == RESIZED_LONG_AGO)
		w->provider.script = resized;
	if (what == COMMITTED_ANOTHER || what == SETTLED_ANOTHER) {
		buf_clear(data);
		assert_true(buf_addf(data,
				"To: ann@contoso.test\r\nMessage-ID: <other-%zu@x.test>\r\n"
				"\r\nanother one\r\n",
				w->put));
	}
}

static void
test_keep_and_what_is_known_decide_together(void **state)
{
	static const int64_t keeps[] = { 0, WEEK_S, CONF_KEEP_FOREVER };
	static const struct {
		const char *says;
		enum knowledge known;
		bool collected; /* now */
		bool retrieved;
		bool deleted[3]; /* with keep: 0, 7d, forever */
	} rows[] = {
		{ "new", NOTHING, true, true, { true, false, false } },
		{ "committed", COMMITTED, false, false, { true, false, false } },
		{ "committed long ago", COMMITTED_LONG_AGO, false, false,
				{ true, true, false } },
		{ "of another size", RESIZED, false, true, { true, false, false } },
		{ "of another size, long ago", RESIZED_LONG_AGO, false, true,
				{ true, true, false } },
		{ "another under a kept unique-id", COMMITTED_ANOTHER, true, true,
				{ true, false, false } },
		{ "deleted before", SETTLED, false, true, { true, true, false } },
		{ "another under a used unique-id", SETTLED_ANOTHER, true, true,
				{ true, false, false } },
		{ "adopted", ADOPTED, false, false, { false, false, false } },
		{ "known by its content", KEYLESS, false, true,
				{ true, false, false } },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t k = 0; k < 3; k++) {
			w->provider.no_uidl = rows[i].known == KEYLESS;
			w->provider.caps = w->provider.no_uidl
					? "USER\r\n"
					: "UIDL\r\nPIPELINING\r\nUSER\r\n";
			put_some(w, 1);
			w->account.keep_s = CONF_KEEP_FOREVER;
			if (rows[i].known != NOTHING)
				assert_int_equal(poll_once(w).collected, 1);
			know(w, rows[i].known);
			w->account.keep_s = keeps[k];
			w->provider.retrieved = 0;
			struct fetch_result r = poll_once(w);
			struct provider_mail *m = &w->provider.mails[w->provider.n - 1];

			if (r.failed || r.collected != rows[i].collected ||
					m->gone != rows[i].deleted[k] ||
					(w->provider.retrieved > 0) !=
							rows[i].retrieved)
				fail_msg("%s, keep %lld: failed %d, collected %d, deleted %d, retrieved %u",
						rows[i].says, (long long)keeps[k],
						r.failed, (int)r.collected,
						(int)m->gone, w->provider.retrieved);
			m->gone = true;
			w->provider.script = NULL;
		}
	}
}

/* Whoever listens there, mail is given to our relay only. */
static void
test_a_listener_without_xcollect_gets_nothing(void **state)
{
	struct world *w = *state;

	put_some(w, 3);
	w->relay.foreign = true;
	struct fetch_result r = poll_once(w);
	assert_true(r.failed);
	assert_int_equal(r.error.event, 4024);
	assert_int_equal(w->relay.mails, 0);
	assert_int_equal(provider_left(&w->provider), 3);
	assert_false(provider_heard(&w->provider, "DELE"));
	w->relay.foreign = false;
	assert_int_equal(poll_once(w).collected, 3);
	assert_int_equal(provider_left(&w->provider), 0);
}

/* It stays at the provider, somebody is told, and it is not asked for again at once. */
static void
test_what_the_relay_refuses_for_good_is_never_deleted(void **state)
{
	struct world *w = *state;
	struct fetch_pool *pool = new_pool(w);

	put_some(w, 1);
	w->relay.refuses = true;
	for (int i = 0; i < 2; i++) {
		struct fetch_result r = poll_by(w, pool);
		assert_int_equal(r.failures, 1);
		assert_int_equal(r.collected, 0);
	}
	assert_true(logged(w, "event=4025"));
	w->provider.retrieved = 0;
	put_some(w, 1);
	w->relay.refuses = false;
	assert_int_equal(poll_by(w, pool).collected, 1);
	assert_int_equal(w->provider.retrieved, 1);
	assert_int_equal(provider_left(&w->provider), 1);
	fetch_pool_free(pool);
}

/* The relay goes away after it has taken it and before it says so: nothing is deleted,
 * and the next poll finds that it is here. */
static void
test_a_relay_that_dies_before_its_250(void **state)
{
	struct world *w = *state;

	for (int pipelining = 0; pipelining < 2; pipelining++) {
		w->provider.caps = pipelining ? "UIDL\r\nPIPELINING\r\nUSER\r\n"
					      : "UIDL\r\nUSER\r\n";
		put_some(w, 1);
		w->relay.dies = true;
		struct fetch_result r = poll_once(w);
		assert_true(r.failed);
		assert_int_equal(r.error.event, 4024);
		assert_int_equal(r.collected, 0);
		assert_int_equal(provider_left(&w->provider), 1);
		w->relay.dies = false;
		w->provider.retrieved = 0;
		r = poll_once(w);
		assert_false(r.failed);
		assert_int_equal(r.deleted, 1);
		assert_int_equal(w->provider.retrieved, 0);
	}
	check_all_here_once(w, 2);
}

/* A message that is put off is not here. */
static void
test_only_a_250_is_one(void **state)
{
	struct world *w = *state;

	for (int pipelining = 0; pipelining < 2; pipelining++) {
		w->provider.caps = pipelining ? "UIDL\r\nPIPELINING\r\nUSER\r\n"
					      : "UIDL\r\nUSER\r\n";
		put_some(w, 3);
		w->relay.put_off = w->relay.n + 1;
		struct fetch_result r = poll_once(w);
		assert_true(r.failed);
		assert_int_equal(r.error.event, 4024);
		assert_int_equal(r.deleted, 0);
		assert_int_equal(provider_left(&w->provider), 3);
		w->relay.put_off = 0;
		w->provider.retrieved = 0;
		r = poll_once(w);
		assert_false(r.failed);
		assert_int_equal(w->provider.retrieved, 2);
		assert_int_equal(provider_left(&w->provider), 0);
	}
	check_all_here_once(w, 6);
}

/* Much less came than LIST says, and the same again: told, left, and believed at the next
 * poll (P04, P06). */
static void
test_what_is_much_too_short_is_told_and_left(void **state)
{
	static const struct provider_line listed[] = {
		{ "LIST", "+OK\r\n1 100000\r\n.\r\n" }, { NULL, NULL }
	};
	struct world *w = *state;
	struct fetch_pool *pool = new_pool(w);

	put_some(w, 1);
	w->provider.script = listed;
	struct fetch_result r = poll_by(w, pool);
	assert_false(r.failed);
	assert_int_equal(r.collected, 0);
	assert_int_equal(r.failures, 1);
	assert_int_equal(w->provider.retrieved, 2);
	assert_true(logged(w, "event=4011") &&
			logged(w, " of the 100000 octets of LIST"));
	assert_int_equal(provider_left(&w->provider), 1);
	assert_int_equal(poll_by(w, pool).collected, 1);
	assert_int_equal(provider_left(&w->provider), 0);
	check_all_here_once(w, 1);
	fetch_pool_free(pool);
}

/* RFC 6856 section 4: a notice in place of the message is no message, however long it is. */
static void
test_a_notice_of_the_server_is_not_collected(void **state)
{
	struct world *w = *state;

	for (int large = 0; large < 2; large++) {
		struct buf text = BUF_MAX(1024 * 1024);

		assert_true(buf_add(&text,
				SPAN("To: ann@contoso.test\r\n"
				     "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
				     "--x\r\nContent-Type: message/global\r\n\r\n")));
		for (int i = 0; large && i < 3000; i++)
			assert_true(buf_addf(&text, "%098d\r\n", i));
		provider_put(&w->provider, large ? "large" : "small", buf_span(&text));
		put_some(w, 1);
		struct fetch_result r = poll_once(w);
		assert_false(r.failed);
		assert_int_equal(r.collected, 1);
		assert_int_equal(r.failures, 1 + large);
		assert_int_equal(provider_left(&w->provider), 1 + (size_t)large);
		assert_true(logged(w, "a notice of its own"));
		buf_done(&text);
	}
	check_all_here_once(w, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WORLD(test_keep_and_what_is_known_decide_together),
		IN_WORLD(test_a_listener_without_xcollect_gets_nothing),
		IN_WORLD(test_what_the_relay_refuses_for_good_is_never_deleted),
		IN_WORLD(test_a_relay_that_dies_before_its_250),
		IN_WORLD(test_only_a_250_is_one),
		IN_WORLD(test_what_is_much_too_short_is_told_and_left),
		IN_WORLD(test_a_notice_of_the_server_is_not_collected),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
