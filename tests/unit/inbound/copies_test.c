/* E18: properties of what becomes of collected messages, by the relay's own path from
 * MAIL to the commit. (3) Copies in any order, over any accounts, with restarts and
 * kills between: each recipient has each mail exactly once. (1) As many recipients are
 * settled as were determined. POSTERN_SEED repeats a run, POSTERN_ORDERS says how many. */
#include "letter.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "copies.h"
#include "postern/body.h"

enum {
	ORDERS = 1000,
	ORDERS_EACH = 20, /* in one state: what is in it already does not matter */
	COPIES = 50,
	MAILS = 5,
	CONTENTS = 2 * MAILS, /* each of them with the footer of a list, or without */
	PEOPLE = 6,
	ACCOUNTS = 3,
	GROUP = 9, /* messages in one commit, less than that */
	TEXT = 2048,
	LARGE = 100 * 1024, /* bodies that go through the spool */
};

static unsigned long order;
static uint64_t before; /* the last queue id of the order before */

static int
set_up(void **state)
{
	static const struct policy_domain ours = {
		.domain = { SPAN_INIT("contoso.test") },
		.authoritative = true,
		.policy = { SPAN_INIT("test") },
	};

	*state = gate_new(&(struct directory_rows){ .domains = &ours, .n_domains = 1 });
	return 0;
}

static int
tear_down(void **state)
{
	gate_free(*state);
	return 0;
}

static uint64_t
draw(struct gate *g, uint64_t below)
{
	return gate_draw(g, below);
}

/* Some in one commit. False: one of them is not durable. */
static bool
letters_commit(struct gate *g, const struct gate_letter *const *l, size_t n)
{
	struct mail *m[GROUP];
	struct list jobs;
	bool good = true;

	list_init(&jobs);
	for (size_t i = 0; i < n; i++) {
		m[i] = gate_mail(g, l[i]);
		list_add(&jobs, &m[i]->job.job.link);
	}
	store_run(g->hub.store, &jobs);
	for (size_t i = 0; i < n; i++) {
		good &= m[i]->job.job.result == STORE_DONE ||
				m[i]->job.job.result == STORE_HAD;
		mail_free(g->in, m[i]);
	}
	return good;
}

/* ---- (3) ---- */

struct copy {
	struct gate_letter letter;
	size_t content;
	bool for_person[PEOPLE];
	char text[TEXT];
};

static struct copy copies[COPIES];
static bool wanted[CONTENTS][PEOPLE];

/* Mails 0 and 1 differ by their bodies alone, 2 has no Message-ID, 3 no Date. */
static void
copy_write(struct gate *g, struct copy *c)
{
	size_t mail = c->content / 2;
	static const char *const trace[] = { "", "Received: by a; Mon\r\n",
		"Delivered-To: global\r\nX-Spam: no\r\n" };
	static const char *const folds[] = { " ", "\r\n\t", "  " };
	char id[96] = "", date[64] = "";

	if (mail != 2)
		(void)snprintf(id, sizeof(id),
				"Message-ID: <%zu.%lu@nwtraders.test>\r\n",
				mail > 0 ? mail - 1 : 0, order);
	if (mail != 3)
		(void)snprintf(date, sizeof(date), "Date: Mon, 05 Jan 2026 %lu\r\n",
				order);
	bool below = draw(g, 2);
	int n = snprintf(c->text, TEXT,
			"%s%sFrom: max@nwtraders.test\r\n%sSubject:%slist\r\n%s\r\nText %zu.\r\n%s",
			trace[draw(g, 3)], below ? "" : id, date, folds[draw(g, 3)],
			below ? id : "", mail,
			c->content % 2 ? "-- \r\nfooter\r\n" : "");
	assert_in_range(n, 1, TEXT - 1);
	c->letter.text = (struct span){ c->text, (size_t)n };
}

static void
copy_make(struct gate *g, struct copy *c, size_t number)
{
	size_t mail, one = draw(g, PEOPLE);
	bool every = draw(g, 3) ==
			0; /* without an envelope header: all in its header */

	memset(c, 0, sizeof(*c));
	c->content = draw(g, CONTENTS);
	mail = c->content / 2;
	(void)snprintf(c->letter.account, sizeof(c->letter.account), "isp%d",
			(int)draw(g, ACCOUNTS));
	(void)snprintf(c->letter.uidl, sizeof(c->letter.uidl), "%zu.%lu", number,
			order);
	copy_write(g, c);
	for (size_t i = 0; i < PEOPLE; i++) {
		bool named = (i + mail) % 3 != 0; /* in the header of that mail */

		if (!(every ? named : i == one))
			continue;
		c->for_person[i] = wanted[c->content][i] = true;
		char *to = c->letter.to[c->letter.n++];
		(void)snprintf(to, sizeof(c->letter.to[0]),
				draw(g, 2) ? "person%zu@contoso.test"
					   : "Person%zu@Contoso.TEST",
				i);
	}
}

/* The next few groups; how many copies that were. */
static size_t
some_groups(struct gate *g, size_t at, size_t groups)
{
	size_t begin = at;

	for (; groups > 0 && at < COPIES; groups--) {
		const struct gate_letter *l[GROUP];
		size_t n = 0, want = 1 + draw(g, GROUP - 1);

		for (; n < want && at < COPIES; n++)
			l[n] = &copies[at++].letter;
		if (!letters_commit(g, l, n))
			return SIZE_MAX;
	}
	return at - begin;
}

/* A process of its own does some and dies: after a commit, or at any moment. Nobody
 * heard its answers, so all of it comes again. */
static void
die_at_it(struct gate *g, size_t at)
{
	int status, ready[2];
	char byte = 0;

	gate_close(g);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		gate_open(g);
		(void)!write(ready[1], &byte, 1);
		size_t n = some_groups(g, at, 1 + draw(g, 3));
		_exit(n == SIZE_MAX ? 1 : 0); /* without closing anything */
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	(void)close(ready[0]);
	(void)close(ready[1]);
	if (draw(g, 4) > 0) {
		struct timespec wait = { 0, (long)draw(g, 4000) * 1000 };

		(void)nanosleep(&wait, NULL);
		(void)kill(pid, SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) != 0);
	(void)draw(g, 2);
	gate_open(g);
}

static void
check_order(struct gate *g, uint64_t seed)
{
	struct arena a = ARENA_MAX(16 * 1024 * 1024);
	struct queue_message *m;
	struct err err = { 0 };
	size_t n, has[CONTENTS][PEOPLE] = { { 0 } };

	if (!queue_list(store_reader(g->hub.store),
			    &(struct queue_filter){ .after = before, .limit = 1000 },
			    &a, &m, &n, &err))
		fail_msg("%s", err.text);
	if (n != COPIES)
		fail_msg("POSTERN_SEED=%llu: %zu of %d are here",
				(unsigned long long)seed, n, COPIES);
	for (size_t i = 0; i < n; i++) {
		const struct copy *c = &copies[strtoul(m[i].uidl.p, NULL, 10)];
		bool open = false;

		assert_int_equal(m[i].n, c->letter.n);
		for (size_t k = 0; k < m[i].n; k++) {
			const struct queue_recipient *to = &m[i].recipients[k];
			size_t person = (size_t)(to->address.p[6] - '0');

			assert_true(person < PEOPLE && c->for_person[person]);
			has[c->content][person] += to->state == QUEUE_QUEUED;
			open |= to->state == QUEUE_QUEUED;
			assert_true(to->state == QUEUE_QUEUED ||
					to->state == QUEUE_DUPLICATE);
		}
		assert_int_equal(m[i].body, open);
		before = m[i].id;
	}
	for (size_t c = 0; c < CONTENTS; c++)
		for (size_t p = 0; p < PEOPLE; p++)
			if (has[c][p] != wanted[c][p])
				fail_msg("POSTERN_SEED=%llu: person %zu has content %zu %zu times",
						(unsigned long long)seed, p, c,
						has[c][p]);
	arena_done(&a);
}

static void
each_recipient_has_each_mail_once(void **state)
{
	struct gate *g = *state;
	const char *says = getenv("POSTERN_ORDERS");
	unsigned long orders = says ? strtoul(says, NULL, 10) : ORDERS;
	size_t restarts = 0, deaths = 0;

	for (order = 0; order < orders; order++) {
		uint64_t seed = g->chance;

		memset(wanted, 0, sizeof(wanted));
		if (order % ORDERS_EACH == 0) {
			gate_fresh(g);
			door_open(g);
			before = 0;
		}
		for (size_t i = 0; i < COPIES; i++)
			copy_make(g, &copies[i], i);
		for (size_t at = 0; at < COPIES;) {
			if (draw(g, 50) == 0) {
				die_at_it(g, at);
				deaths++;
			} else if (draw(g, 18) == 0) {
				gate_close(g);
				gate_open(g);
				restarts++;
			}
			size_t did = some_groups(g, at, 1);
			assert_true(did != SIZE_MAX);
			at += did;
		}
		check_order(g, seed);
	}
	print_message("%lu orders, %zu restarts, %zu deaths\n", orders, restarts,
			deaths);
}

/* ---- what is never a copy ---- */

static struct queue_message
only_message(struct gate *g, struct arena *a, size_t want)
{
	struct queue_message *m;
	struct err err = { 0 };
	size_t n;

	assert_true(queue_list(store_reader(g->hub.store),
			&(struct queue_filter){ .limit = 100 }, a, &m, &n, &err));
	assert_int_equal(n, want);
	return m[n - 1];
}

static bool
stored_has(struct gate *g, uint64_t id, const char *text)
{
	struct err err = { 0 };
	struct body *b = body_open(store_reader(g->hub.store), id, &err);
	struct span piece = { "", 1 };
	bool has = false;

	assert_non_null(b);
	while (piece.n > 0 && body_next(b, &piece, &err))
		has = has || memmem(piece.p, piece.n, text, strlen(text));
	body_close(b);
	return has;
}

/* The collector's own notes (" notice UIDL"), and accounts with `dedup: false`: they enter
 * nothing, and nothing is suppressed. Notes have no stamps either. */
static void
what_is_no_copy_is_delivered_each_time(void **state)
{
	struct gate *g = *state;
	static const struct {
		const char *uidl; /* a number is put behind it */
		bool copies, stamped, suppressed;
	} cases[] = {
		{ " notice a", false, false, false },
		{ " notice b", false, false, false },
		{ "c", true, true, false },
		{ "d", true, true, false },
		{ "e", false, true, false }, /* the first that the ledger knows */
		{ "f", false, true, true },
		{ " notice g", false, false, false },
		{ "h", true, true, false },
	};
	static struct gate_letter l = {
		.account = "isp", .to = { "person1@contoso.test" }, .n = 1
	};
	struct arena a = ARENA_MAX(16 * 1024 * 1024);

	l.text = SPAN("Date: Mon\r\nMessage-ID: <same@x>\r\n\r\nsame\r\n");
	gate_fresh(g);
	door_open(g);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct gate_letter *one = &l;

		(void)snprintf(l.uidl, sizeof(l.uidl), "%s", cases[i].uidl);
		l.copies = cases[i].copies;
		assert_true(letters_commit(g, &one, 1));
		struct queue_message m = only_message(g, &a, i + 1);
		assert_int_equal(m.recipients[0].state,
				cases[i].suppressed ? QUEUE_DUPLICATE : QUEUE_QUEUED);
		if (!cases[i].suppressed)
			assert_int_equal(stored_has(g, m.id, "X-Postern-Loop:"),
					cases[i].stamped);
	}
	arena_done(&a);
}

/* ---- (1) ---- */

enum { MESSAGES = 400 };

/* What the relay is told is what has to be settled; the same address twice is one. */
static size_t
letter_random(struct gate *g, struct gate_letter *l, char *text, size_t number)
{
	bool seen[2][PEOPLE] = { { false } };
	size_t determined = 0, n = 0;

	memset(l, 0, sizeof(*l));
	(void)snprintf(l->account, sizeof(l->account), "isp%d", (int)draw(g, ACCOUNTS));
	(void)snprintf(l->uidl, sizeof(l->uidl), "%zu", number);
	l->nobody = draw(g, 10) == 0;
	for (size_t want = draw(g, PEOPLE * 2); l->n < want; l->n++) {
		size_t who = draw(g, PEOPLE), foreign = draw(g, 4) == 0;

		(void)snprintf(l->to[l->n], sizeof(l->to[0]),
				foreign ? "person%zu@nwtraders.test"
					: "person%zu@contoso.test",
				who);
		determined += !seen[foreign][who];
		seen[foreign][who] = true;
	}
	for (size_t hops = draw(g, 5) == 0 ? 60 : 1; hops > 0; hops--)
		n += (size_t)snprintf(text + n, LARGE - n, "Received: by a; Mon\r\n");
	n += (size_t)snprintf(text + n, LARGE - n,
			"Date: Mon\r\nMessage-ID: <%d@b>\r\n\r\nbody\r\n",
			(int)draw(g, 20));
	if (draw(g, 20) == 0) {
		memset(text + n, 'x', LARGE - n);
		n = LARGE;
	}
	l->text = (struct span){ text, n };
	return determined > 0 ? determined : 1;
}

/* Answers for everything that is due: what is refused or bounced goes to Badmail. */
static size_t
settle_some(struct gate *g, const char *hop)
{
	struct arena a = ARENA_MAX(16 * 1024 * 1024);
	const struct queue_due want = { .hop = span_of(hop),
		.now_ms = INT64_MAX >> 17,
		.messages = 1 + draw(g, 20),
		.recipients = 1 + draw(g, PEOPLE) };
	struct settle_recipient r[PEOPLE];
	struct queue_message *m;
	struct err err = { 0 };
	size_t n;

	if (!queue_due(store_reader(g->hub.store), &want, &a, &m, &n, &err))
		fail_msg("%s", err.text);
	for (size_t i = 0; i < n; i++) {
		struct settlement set = { .job = { .work = STORE_SETTLE },
			.id = m[i].id,
			.at_ms = clock_wall_ms(),
			.recipients = r,
			.n = m[i].n };
		struct list jobs;

		for (size_t k = 0; k < m[i].n; k++) {
			bool badmail = m[i].recipients[k].state != QUEUE_QUEUED;

			r[k] = (struct settle_recipient){ .seq = m[i].recipients[k].seq,
				.state = badmail	     ? QUEUE_BADMAIL
						: draw(g, 3) ? QUEUE_DELIVERED
							     : QUEUE_BOUNCED,
				.attempted = !badmail,
				.reason = badmail ? SPAN("") : SPAN("general"),
				.hop = SPAN("") };
			if (r[k].state == QUEUE_BOUNCED)
				r[k].hop = SPAN(QUEUE_HOP_BADMAIL);
		}
		list_init(&jobs);
		list_add(&jobs, &set.job.link);
		store_run(g->hub.store, &jobs);
		assert_int_equal(set.job.result, STORE_DONE);
	}
	arena_done(&a);
	return n;
}

static void
as_many_are_settled_as_were_determined(void **state)
{
	struct gate *g = *state;
	static char texts[GROUP][LARGE];
	static struct gate_letter letters[GROUP];
	static size_t determined[MESSAGES];
	size_t at = 0;

	gate_fresh(g);
	door_open(g);
	while (at < MESSAGES) {
		const struct gate_letter *l[GROUP];
		size_t n = 0, want = 1 + draw(g, GROUP - 1);

		for (; n < want && at < MESSAGES; n++, at++) {
			determined[at] = letter_random(g, &letters[n], texts[n], at);
			l[n] = &letters[n];
		}
		assert_true(letters_commit(g, l, n));
		if (draw(g, 3) == 0)
			(void)settle_some(g, draw(g, 2) ? "drop" : QUEUE_HOP_BADMAIL);
		if (draw(g, 20) == 0) {
			gate_close(g);
			gate_open(g);
		}
	}
	while (settle_some(g, "drop") + settle_some(g, QUEUE_HOP_BADMAIL) > 0)
		;

	struct arena a = ARENA_MAX(64 * 1024 * 1024);
	struct queue_message *m;
	struct err err = { 0 };
	size_t n, copied = 0;
	assert_true(queue_list(store_reader(g->hub.store),
			&(struct queue_filter){ .limit = 2 * MESSAGES }, &a, &m, &n,
			&err));
	assert_int_equal(n, MESSAGES);
	for (size_t i = 0; i < n; i++) {
		size_t number = strtoul(m[i].uidl.p, NULL, 10);

		if (m[i].n != determined[number])
			fail_msg("message %zu: %zu recipients of %zu", number, m[i].n,
					determined[number]);
		for (size_t k = 0; k < m[i].n; k++) {
			assert_true(m[i].recipients[k].state > QUEUE_HELD);
			copied += m[i].recipients[k].state == QUEUE_DUPLICATE;
		}
		assert_false(m[i].body);
	}
	assert_true(copied > 0);
	arena_done(&a);
	char spool[96];
	(void)snprintf(spool, sizeof(spool), "%s/spool", g->dir);
	assert_int_equal(rmdir(spool), 0); /* nothing lies there */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_recipient_has_each_mail_once),
		cmocka_unit_test(what_is_no_copy_is_delivered_each_time),
		cmocka_unit_test(as_many_are_settled_as_were_determined),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
