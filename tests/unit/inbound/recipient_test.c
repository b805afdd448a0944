/* What messages take from the directory. It may be replaced between any two turns of the
 * loop: what was taken into a message on its way in, or into a notice, outlives it; the old
 * one is freed, and the sanitizer sees who still reads there. */
#include "door.h"

#include "notice.h"

static const struct policy_domain domains[] = {
	{ .domain = { SPAN_INIT("contoso.test") },
			.authoritative = true,
			.policy = { SPAN_INIT("p") },
			.reject_unknown = true,
			.subaddress = { SPAN_INIT("+") } },
	{ .domain = { SPAN_INIT("open.test") },
			.authoritative = true,
			.policy = { SPAN_INIT("p") } },
};
static const struct directory_template templates[] = {
	{ { SPAN_INIT("%m@contoso.test") }, true },
	{ { SPAN_INIT("%m@open.test") }, false },
};
static const struct directory_policy policy = {
	.name = { SPAN_INIT("p") }, .addresses = templates, .n_addresses = 2
};
static const struct span members[] = { { SPAN_INIT("ann") }, { SPAN_INIT("bob") },
	{ SPAN_INIT("far@away.test") } };
static const struct directory_row people[] = {
	{ .alias = { SPAN_INIT("admin") } },
	{ .alias = { SPAN_INIT("ann") } },
	{ .alias = { SPAN_INIT("bob") } },
	{ .alias = { SPAN_INIT("sales") }, .members = { members, 3 } },
};
static const struct directory_rows full = { people, 4, &policy, 1, domains, 2 };
static const struct directory_rows other = { .domains = domains, .n_domains = 1 };

static int
set_up(void **state)
{
	struct gate *g = gate_new(&full);

	gate_fresh(g);
	door_open(g);
	g->hub.reader = store_reader(g->hub.store);
	*state = g;
	return 0;
}

static int
tear_down(void **state)
{
	gate_free(*state);
	return 0;
}

static bool
same(struct span got, const char *want)
{
	if (span_eq(got, span_of(want)))
		return true;
	print_message("got \"" SPAN_FMT "\", want \"%s\"\n", SPAN_ARG(got), want);
	return false;
}

static int
ask(struct gate *g, struct mail *m, const char *address)
{
	struct smtp_path path;
	char text[SMTP_TEXT_SIZE];

	assert_true(smtp_mailbox_parse(span_of(address), &path));
	return mail_rcpt(g->in, m, &path, text).code;
}

static void
commit(struct gate *g, struct mail *m)
{
	struct list jobs;

	list_init(&jobs);
	list_add(&jobs, &m->job.job.link);
	store_run(g->hub.store, &jobs);
	assert_int_equal(m->job.job.result, STORE_DONE);
}

/* Each kind of answer to RCPT; then the rest of the message under another directory. */
static void
a_message_under_way_keeps_its_recipients(void **state)
{
	struct gate *g = *state;
	static const char *const said[] = { "ann@open.test", "Bob+x@contoso.test",
		"sales@contoso.test", "Some@open.test", "postmaster@contoso.test",
		"nobody@contoso.test" };
	static const struct {
		const char *address, *asked, *reason;
		bool list;
	} want[] = {
		{ "ann@contoso.test", "ann@open.test", "", false },
		{ "bob+x@contoso.test", "", "", false },
		{ "bob@contoso.test", "sales@contoso.test", "", true },
		{ "far@away.test", "sales@contoso.test", "", true },
		{ "Some@open.test", "", "", false },
		{ "admin@contoso.test", "postmaster@contoso.test", "", false },
		{ "nobody@contoso.test", "", "unknown-user", false },
	};
	const struct mail_client client = { .internal = true, .esmtp = true };
	const struct smtp_mail begin = { .collected = true,
		.collect = { .account = SPAN("isp"), .uidl = SPAN("1") } };
	struct mail *m = mail_new(g->in, &begin, &client);
	struct smtp_path path;
	char text[SMTP_TEXT_SIZE];

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		assert_true(smtp_mailbox_parse(span_of(said[i]), &path));
		(void)mail_rcpt(g->in, m, &path, text);
		gate_directory(g, &full);
	}
	/* The list again, by the new directory: nobody a second time. */
	assert_true(smtp_mailbox_parse(span_of("Sales@contoso.test"), &path));
	assert_int_equal(mail_rcpt(g->in, m, &path, text).code, SMTP_YES.code);
	gate_directory(g, &other);
	assert_int_equal(mail_body(g->in, m, SPAN("Date: x\r\n\r\ny\r\n")).code, 0);
	assert_int_equal(mail_whole(g->in, m, &(struct smtp_commit){ .size = 8 },
					 &client)
					 .code,
			0);
	commit(g, m);
	assert_int_equal(m->job.n, sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < m->job.n; i++) {
		const struct submission_recipient *to = &m->job.recipients[i];

		assert_true(same(to->address, want[i].address));
		assert_true(same(to->asked, want[i].asked));
		assert_true(same(to->reason, want[i].reason));
		assert_int_equal(to->asked_list, want[i].list);
		assert_true(to->hop.n > 0);
	}
	mail_free(g->in, m);
}

/* Edge 34: needless quotes make no other address, for whichever door. */
static void
a_local_part_has_one_spelling(void **state)
{
	struct gate *g = *state;
	static const char *const said[] = { "\"some\"@open.test", "Some@open.test",
		"some@OPEN.test", "\"so\\me\"@open.test", "\"ann lee\"@open.test",
		"\"ann\\ lee\"@open.test", "\"ANN+x\"@contoso.test",
		"\"nobody\"@contoso.test", "nobody@contoso.test",
		"\"post\\master\"@contoso.test" };
	static const char *const want[] = { "some@open.test", "\"ann lee\"@open.test",
		"ann+x@contoso.test", "nobody@contoso.test", "admin@contoso.test" };
	const struct mail_client client = { .internal = true, .esmtp = true };
	const struct smtp_mail begin = { .collected = true,
		.collect = { .account = SPAN("isp"), .uidl = SPAN("1") } };
	struct mail *m = mail_new(g->in, &begin, &client);

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		(void)ask(g, m, said[i]);
	assert_int_equal(m->job.n, sizeof(want) / sizeof(want[0]));
	for (size_t i = 0; i < m->job.n; i++)
		assert_true(same(m->recipients[i].address, want[i]));
	mail_free(g->in, m);
}

/* One that bounced, leased by hand. */
struct failed {
	struct destination at;
	struct lease lease;
	struct queue_message m;
	struct queue_recipient to;
	struct settle_recipient result;
	bool open;
};

static void
failed_make(struct failed *f, uint64_t id, const char *address)
{
	*f = (struct failed){
		.m = { .id = id,
				.account = SPAN("isp"),
				.uidl = SPAN("1"),
				.recipients = &f->to,
				.n = 1 },
		.to = { .address = span_of(address), .state = QUEUE_QUEUED },
		.result = { .state = QUEUE_BOUNCED,
				.attempted = true,
				.code = 550,
				.reply = SPAN("5.1.1 nobody"),
				.hop = SPAN("badmail") },
	};
	f->lease = (struct lease){
		.at = &f->at, .m = &f->m, .results = &f->result, .open = &f->open
	};
}

/* postmaster@ is a person of the directory, by way of the server's; a list; one that
 * goes as it is; and there are several under way at once. */
static void
a_notice_under_way_keeps_its_targets(void **state)
{
	struct gate *g = *state;
	static const struct directory_row with_list[] = {
		{ .alias = { SPAN_INIT("ann") } },
		{ .alias = { SPAN_INIT("bob") } },
		{ .alias = { SPAN_INIT("postmaster") }, .members = { members, 3 } },
	};
	static const struct directory_rows list = { with_list, 3, &policy, 1, domains,
		2 };
	static const struct {
		const struct directory_rows *rows;
		const char *failed, *told[3];
	} cases[] = {
		{ &full, "x@contoso.test", { "admin@contoso.test" } },
		{ &list, "x@contoso.test",
				{ "ann@contoso.test", "bob@contoso.test",
						"far@away.test" } },
		{ &full, "x@open.test", { "postmaster@open.test" } },
	};
	enum { CASES = sizeof(cases) / sizeof(cases[0]) };
	static struct failed f[CASES];
	struct settling settling;

	settling_init(&settling, &g->hub, NULL, NULL);
	for (size_t i = 0; i < CASES; i++) {
		gate_directory(g, cases[i].rows);
		failed_make(&f[i], store_new_id(g->hub.store, clock_wall_ms()),
				cases[i].failed);
		notices_make(&settling, &f[i].lease);
		assert_non_null(f[i].lease.job.notices);
	}
	gate_directory(g, &other);
	for (size_t i = 0; i < CASES; i++) {
		struct list jobs;
		struct lease *l = &f[i].lease;
		const struct submission *mail = &l->job.notices->mail;

		l->job.job.work = STORE_SETTLE;
		l->job.id = f[i].m.id;
		l->job.at_ms = clock_wall_ms();
		list_init(&jobs);
		list_add(&jobs, &l->job.job.link);
		store_run(g->hub.store, &jobs);
		assert_int_equal(l->job.job.result, STORE_DONE);
		assert_true(l->job.notices->queued);
		for (size_t k = 0; k < mail->n; k++) {
			assert_true(same(
					mail->recipients[k].address, cases[i].told[k]));
			/* It is no copy of anything, and leads back to nobody. */
			assert_int_equal(mail->recipients[k].key.n, 0);
		}
		assert_int_equal(mail->n, cases[i].told[1] ? 3 : 1);
		assert_int_equal(mail->sender.n + mail->account.n, 0);
		assert_null(mail->copy_of);
		notices_free(l->notices);
	}
}

/* However little memory is left to the message: a recipient is in it whole, or was put off
 * to another transaction. */
static void
no_recipient_is_half_taken(void **state)
{
	struct gate *g = *state;
	static const struct {
		const char *said, *address;
		int code;
	} cases[] = {
		{ "Some.body@open.test", "Some.body@open.test", 250 },
		{ "ann@open.test", "ann@contoso.test", 250 },
		{ "ann+longer@contoso.test", "ann+longer@contoso.test", 250 },
		{ "nobody@contoso.test", "nobody@contoso.test", 550 },
		{ "x@else.test", "x@else.test", 550 },
		{ "a@b\xc3\xbc"
		  "cher.test",
				"a@xn--bcher-kva.test", 550 },
		{ "\"\\a\\b\\c\\d\"@b\xc3\xbc"
		  "cher.test",
				"abcd@xn--bcher-kva.test", 550 },
		{ "\"a\\ b\"@b\xc3\xbc"
		  "cher.test",
				"\"a b\"@xn--bcher-kva.test", 550 },
	};
	const struct mail_client client = { .internal = true, .esmtp = true };
	const struct smtp_mail begin = { .utf8 = true,
		.collected = true,
		.collect = { .account = SPAN("isp"), .uidl = SPAN("1") } };
	size_t put_off = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t left = 0; left < 400; left++) {
			struct mail *m = mail_new(g->in, &begin, &client);
			int want = cases[i].code == 250 ? SMTP_YES.code : 550;

			m->arena.max = m->arena.used + left;
			int code = ask(g, m, cases[i].said);
			if (code == 452)
				assert_int_equal(m->job.n, 0);
			else
				assert_int_equal(code, want);
			put_off += code == 452;
			if (m->job.n > 0) {
				assert_int_equal(m->job.n, 1);
				assert_true(same(m->recipients[0].address,
						cases[i].address));
				assert_int_equal(m->roll.first[0].n > 0, true);
			} else {
				assert_int_equal(code, 452);
			}
			mail_free(g->in, m);
		}
	}
	assert_true(put_off > 0);
}

/* Lists of long addresses: together more than one message takes. */
enum { LONG_LISTS = 3, LONG_MOST = 49000, LONG_BOTH = LONG_MOST + 16000 };
static const size_t long_sizes[LONG_LISTS] = { LONG_MOST, LONG_BOTH - LONG_MOST, 1000 };

static void
long_lists(struct gate *g)
{
	static char names[LONG_LISTS][LONG_MOST][ADDRESS_SIZE];
	static struct span list_members[LONG_LISTS][LONG_MOST];
	struct directory_row rows[LONG_LISTS] = { { .alias = SPAN("one") },
		{ .alias = SPAN("two") }, { .alias = SPAN("three") } };
	char label[61], domain[ADDRESS_DOMAIN_MAX];

	memset(label, 'd', 60);
	label[60] = '\0';
	(void)snprintf(domain, sizeof(domain), "%s.%s.%s.test", label, label, label);
	for (size_t k = 0; k < LONG_LISTS; k++) {
		for (size_t i = 0; i < long_sizes[k]; i++) {
			(void)snprintf(names[k][i], ADDRESS_SIZE, "%zu.%060zu@%s", k, i,
					domain);
			list_members[k][i] = span_of(names[k][i]);
		}
		rows[k].members = (struct directory_texts){ list_members[k],
			long_sizes[k] };
	}
	gate_directory(g,
			&(struct directory_rows){
					rows, LONG_LISTS, &policy, 1, domains, 2 });
}

/* What does not fit into the message is refused whole, however often it is asked for, and
 * nothing of it is kept, nor counted where others would have to wait for it. */
static void
a_list_is_taken_whole_or_not_at_all(void **state)
{
	struct gate *g = *state;
	const struct mail_client client = { .ip = SPAN("192.0.2.1"), .esmtp = true };
	const struct smtp_mail begin = { .utf8 = false };

	long_lists(g);
	struct mail *m = mail_new(g->in, &begin, &client);
	assert_int_equal(ask(g, m, "one@contoso.test"), SMTP_YES.code);
	assert_int_equal(ask(g, m, "two@contoso.test"), SMTP_YES.code);
	assert_int_equal(m->job.n, LONG_BOTH);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(ask(g, m, "three@contoso.test"), 452);
		assert_int_equal(m->job.n, LONG_BOTH);
	}
	assert_int_equal(g->in->members, LONG_BOTH);
	/* Another one has room for it meanwhile. */
	struct mail *next = mail_new(g->in, &begin, &client);
	assert_int_equal(ask(g, next, "three@contoso.test"), SMTP_YES.code);
	assert_int_equal(next->job.n, 1000);
	mail_free(g->in, m);
	mail_free(g->in, next);
	assert_int_equal(g->in->members, 0);
}

/* Edge 32: who is in two lists is one recipient, and does not count twice against the most that
 * a message may have. */
static void
lists_that_overlap_count_each_member_once(void **state)
{
	struct gate *g = *state;
	const struct mail_client client = { .ip = SPAN("192.0.2.1"), .esmtp = true };
	const struct smtp_mail begin = { .utf8 = false };

	long_lists(g);
	struct mail *m = mail_new(g->in, &begin, &client);
	assert_int_equal(ask(g, m, "one@contoso.test"), SMTP_YES.code);
	assert_int_equal(ask(g, m, "two@contoso.test"), SMTP_YES.code);
	map_done(&m->roll.lists); /* as if they were members of another list */
	map_init(&m->roll.lists, 1, 2);
	assert_int_equal(ask(g, m, "one@contoso.test"), SMTP_YES.code);
	assert_int_equal(m->job.n, LONG_BOTH);
	assert_int_equal(ask(g, m, "three@contoso.test"), 452);
	assert_int_equal(m->job.n, LONG_BOTH);
	mail_free(g->in, m);
}

static const struct mail_client collector = { .internal = true, .esmtp = true };
static const struct smtp_mail a_collected_one = { .collected = true,
	.collect = { .account = { SPAN_INIT("isp") }, .uidl = { SPAN_INIT("1") } } };

static int
whole(struct gate *g, struct mail *m)
{
	return mail_whole(g->in, m, &(struct smtp_commit){ .size = 8 }, &collector)
			.code;
}

/* It is deleted at the provider once we have it: nobody of it comes in another transaction. */
static void
what_is_collected_waits_for_all_its_recipients(void **state)
{
	struct gate *g = *state;
	static const char *const first[] = { "ann@contoso.test", "nobody@contoso.test",
		NULL };

	for (size_t i = 0; i < 3; i++) {
		struct mail *m = mail_new(g->in, &a_collected_one, &collector);

		if (first[i])
			(void)ask(g, m, first[i]);
		g->in->members += 1000000; /* by other messages */
		assert_int_equal(ask(g, m, "sales@contoso.test"), 452);
		g->in->members -= 1000000;
		assert_int_equal(whole(g, m), 452);
		mail_drop(g->in, m);

		m = mail_new(g->in, &a_collected_one, &collector);
		assert_int_equal(ask(g, m, "sales@contoso.test"), SMTP_YES.code);
		assert_int_equal(whole(g, m), 0);
		mail_drop(g->in, m);
	}
}

/* Nor does it stay in the way of all behind it: who never fits is put into Badmail. */
static void
a_list_too_many_of_what_is_collected_is_refused(void **state)
{
	struct gate *g = *state;

	long_lists(g);
	struct mail *m = mail_new(g->in, &a_collected_one, &collector);
	assert_int_equal(ask(g, m, "one@contoso.test"), SMTP_YES.code);
	assert_int_equal(ask(g, m, "two@contoso.test"), SMTP_YES.code);
	assert_int_equal(ask(g, m, "three@contoso.test"), 554);
	assert_int_equal(m->job.n, LONG_BOTH + 1);
	const struct submission_recipient *last = &m->recipients[LONG_BOTH];
	assert_int_equal(last->state, QUEUE_REFUSED);
	assert_true(same(last->address, "three@contoso.test"));
	assert_true(same(last->reason, "general"));
	assert_true(same(last->reply,
			"5.5.3 Too many recipients, with the members of "
			"three@contoso.test"));
	assert_int_equal(whole(g, m), 0);
	mail_drop(g->in, m);
}

/* Edge 32: lists that overlap may have more members than all mails together may have in
 * hand (500,000). Such a message would never fit, so it is not put off. */
static void
lists_that_overlap_beyond_what_fits_are_refused(void **state)
{
	struct gate *g = *state;
	struct mail *m = mail_new(g->in, &a_collected_one, &collector);

	assert_int_equal(ask(g, m, "ann@contoso.test"), SMTP_YES.code);
	m->roll.members = g->in->members =
			500000; /* by its other lists, the same people */
	assert_int_equal(ask(g, m, "sales@contoso.test"), 554);
	assert_int_equal(m->job.n, 2);
	assert_int_equal(m->recipients[1].state, QUEUE_REFUSED);
	assert_int_equal(whole(g, m),
			0); /* Ann has it, the list's copy goes to Badmail */
	mail_drop(g->in, m);
	assert_int_equal(g->in->members, 0);
}

/* Members that are there already take no memory again. */
static void
a_list_of_those_who_have_it_keeps_nothing_more(void **state)
{
	struct gate *g = *state;
	struct mail *m = mail_new(g->in, &a_collected_one, &collector);

	assert_int_equal(ask(g, m, "sales@contoso.test"), SMTP_YES.code);
	size_t n = m->job.n, used = m->arena.used;
	map_done(&m->roll.lists); /* as if it were another list */
	map_init(&m->roll.lists, 1, 2);
	assert_int_equal(ask(g, m, "sales@contoso.test"), SMTP_YES.code);
	assert_int_equal(m->job.n, n);
	assert_in_range(m->arena.used - used, 0, 40); /* its own name */
	mail_drop(g->in, m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
				lists_that_overlap_count_each_member_once, set_up,
				tear_down),
		cmocka_unit_test_setup_teardown(
				lists_that_overlap_beyond_what_fits_are_refused, set_up,
				tear_down),
		cmocka_unit_test_setup_teardown(
				a_list_of_those_who_have_it_keeps_nothing_more, set_up,
				tear_down),
		cmocka_unit_test_setup_teardown(
				a_local_part_has_one_spelling, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
				a_message_under_way_keeps_its_recipients, set_up,
				tear_down),
		cmocka_unit_test_setup_teardown(a_notice_under_way_keeps_its_targets,
				set_up, tear_down),
		cmocka_unit_test_setup_teardown(
				a_list_is_taken_whole_or_not_at_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
				no_recipient_is_half_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
				what_is_collected_waits_for_all_its_recipients, set_up,
				tear_down),
		cmocka_unit_test_setup_teardown(
				a_list_too_many_of_what_is_collected_is_refused, set_up,
				tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
