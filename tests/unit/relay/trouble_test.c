/* The relay and a store that returns each result: what the client hears, what becomes of
 * verdicts that cannot be recorded, and when the role ends. */
#include "check.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "postern/conf_load.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/policystore.h"
#include "postern/relay.h"
#include "postern/store.h"
#include "postern/thread.h"

enum { WAIT_MS = 20 * 1000, SECOND_MS = 1000, SHORT_MS = 10, STOP_MS = 10 * 1000 };

/* ---- the store, as it is told ---- */

struct script {
	atomic_int work; /* of the jobs that fail: an enum store_work */
	atomic_int times; /* how many groups fail yet */
	enum store_trouble trouble; /* STORE_SOUND: the job is at fault */
	bool over;
};

static struct script script;
static atomic_int failed, broken; /* groups; those in a row */
static atomic_int ails; /* an enum store_trouble, as of the last group */
static atomic_int passed_ms; /* on the clock of the loop */
static atomic_bool low; /* the disk is below its floor */

struct store;
struct loop;
struct loop_timer;
void __real_group_run(struct store *s, struct list *jobs);
void __wrap_group_run(struct store *s, struct list *jobs);
struct store_health __real_store_health(struct store *s);
struct store_health __wrap_store_health(struct store *s);
void __real_loop_timer_set(struct loop_timer *t, int64_t ms);
void __wrap_loop_timer_set(struct loop_timer *t, int64_t ms);
int64_t __real_loop_now_ms(const struct loop *l);
int64_t __wrap_loop_now_ms(const struct loop *l);
bool __wrap_store_space_look(struct store *s);

/* Those that are meant to fail move to `some`. */
static void
take_meant(struct list *jobs, struct list *some)
{
	LIST_EACH (at, jobs)
		if ((int)LIST_ITEM(at, struct store_job, link)->work == script.work) {
			list_del(at);
			list_add(some, at);
		}
}

void
__wrap_group_run(struct store *s, struct list *jobs)
{
	struct list some;

	list_init(&some);
	if (script.times > 0)
		take_meant(jobs, &some);
	if (!list_empty(jobs))
		__real_group_run(s, jobs);
	if (list_empty(&some)) {
		broken = 0;
		ails = STORE_SOUND;
		return;
	}
	/* Mail that is put off below the floor ails nobody: no group was tried. */
	bool floor = script.trouble == STORE_DISK_FULL && script.work == STORE_SUBMIT;
	ails = floor ? STORE_SOUND : (int)script.trouble;
	script.times--;
	failed++;
	broken += script.trouble > STORE_LOCKED;
	LIST_EACH (at, &some) {
		struct store_job *job = LIST_ITEM(at, struct store_job, link);
		job->trouble = script.trouble;
		job->result = script.trouble == STORE_DISK_FULL	 ? STORE_FULL
				: script.trouble == STORE_LOCKED ? STORE_BUSY
								 : STORE_FAILED;
		err_set(&job->err, 9005, "the store was told to fail");
		list_del(at);
		list_add(jobs, at);
	}
}

struct store_health
__wrap_store_health(struct store *s)
{
	struct store_health h = { .trouble = (enum store_trouble)ails,
		.broken = (uint64_t)broken,
		.over = ails != STORE_SOUND && script.over };

	(void)s;
	err_set(&h.err, 9005, "the store was told to fail");
	return h;
}

/* A second of the relay's passes in no time, and the time that stopping may take in ten times
 * that. */
void
__wrap_loop_timer_set(struct loop_timer *t, int64_t ms)
{
	__real_loop_timer_set(t,
			ms == SECOND_MS			? SHORT_MS
					: ms == STOP_MS ? 10 * SHORT_MS
							: ms);
}

int64_t
__wrap_loop_now_ms(const struct loop *l)
{
	return __real_loop_now_ms(l) + passed_ms;
}

bool
__wrap_store_space_look(struct store *s)
{
	(void)s;
	return low;
}

/* ---- a relay ---- */

struct bench {
	char dir[64], journal[96];
	struct conf *conf;
	struct relay *relay;
	struct thread *thread;
	uint16_t port;
	int listener, client;
	bool ok;
	struct err err;
};

static void
read_conf(struct bench *b)
{
	char text[1024], path[128];
	struct conf_faults *faults = calloc(1, sizeof(*faults));

	(void)snprintf(text, sizeof(text),
			"server:\n  hostname: gw.contoso.test\n  state: %s\n"
			"smtp:\n  listen: [ \"127.0.0.1:0\" ]\n",
			b->dir);
	(void)snprintf(path, sizeof(path), "%s/postern.yaml", b->dir);
	conf_faults_init(faults);
	b->conf = conf_parse(
			&(struct conf_source){ .text = span_of(text), .path = path },
			faults);
	conf_faults_done(faults);
	free(faults);
	assert_non_null(b->conf);
}

static void
apply_policy(struct bench *b)
{
	const struct policystore_domain d = { .name = SPAN("contoso.test"),
		.authoritative = true };
	struct store *s = store_open(b->dir,
			&(struct store_options){ .now_ms = 1000000 }, NULL, &b->err);

	assert_non_null(s);
	assert_true(policystore_add_domain(s, SPAN("test"), 10, &d, NULL, &b->err));
	store_close(s);
}

static void
run(void *arg)
{
	struct bench *b = arg;

	b->ok = relay_run(b->relay, &b->err);
}

static void
listen_somewhere(struct bench *b)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(at);

	b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(b->listener, (struct sockaddr *)&at, n), 0);
	assert_int_equal(listen(b->listener, 8), 0);
	assert_int_equal(getsockname(b->listener, (struct sockaddr *)&at, &n), 0);
	b->port = ntohs(at.sin_port);
}

static void
start(struct bench *b, bool once)
{
	listen_somewhere(b);
	b->relay = relay_new(&(struct relay_options){ .conf = b->conf,
					     .state = b->dir,
					     .listeners = &b->listener,
					     .listeners_n = 1,
					     .once = once,
					     .ready_fd = -1 },
			&b->err);
	if (!b->relay)
		fail_msg("%s", b->err.text);
	if (once)
		(void)close(b->listener);
	b->thread = thread_start("relay", 1024 * 1024, run, b, &b->err);
	assert_non_null(b->thread);
}

static int
set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	(void)snprintf(b->dir, sizeof(b->dir), "%s/postern-relay-XXXXXX",
			access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(b->dir));
	(void)snprintf(b->journal, sizeof(b->journal), "%s/events", b->dir);
	script.times = failed = broken = ails = passed_ms = 0;
	script.over = low = false;
	b->client = -1;
	if (!log_open(&(struct log_options){ .to = b->journal, .level = 3 }, &b->err))
		fail_msg("%s", b->err.text);
	read_conf(b);
	apply_policy(b);
	*state = b;
	return 0;
}

/* Ends by itself, or as it is asked; whether it went well. */
static bool
ended(struct bench *b, bool asked)
{
	if (asked)
		relay_stop(b->relay);
	thread_join(b->thread);
	b->thread = NULL;
	return b->ok;
}

static int
tear_down(void **state)
{
	struct bench *b = *state;
	char command[128];

	if (b->thread)
		(void)ended(b, true);
	if (b->client >= 0)
		(void)close(b->client);
	script.times = 0;
	relay_free(b->relay);
	conf_free(b->conf);
	log_close();
	(void)snprintf(command, sizeof(command), "rm -rf %s", b->dir);
	assert_int_equal(system(command), 0);
	free(b);
	return 0;
}

static void
reply(struct bench *b, char line[2048])
{
	size_t n = 0;

	for (;;) {
		if (read(b->client, &line[n], 1) != 1)
			fail_msg("no reply");
		if (line[n] != '\n' && n < 2046) {
			n++;
			continue;
		}
		line[n] = '\0';
		if (n > 3 && line[3] != '-')
			return;
		n = 0;
	}
}

static void
expect(struct bench *b, const char *code)
{
	char line[2048];

	reply(b, line);
	if (strncmp(line, code, 3) != 0)
		fail_msg("got \"%s\", want %s", line, code);
}

static void
say(struct bench *b, const char *text, const char *code)
{
	assert_true(fd_write_all(b->client, span_of(text)));
	expect(b, code);
}

static void
connect_to(struct bench *b)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons(b->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = WAIT_MS / 1000 };

	b->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(b->client, (struct sockaddr *)&at, sizeof(at)), 0);
	(void)setsockopt(b->client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	expect(b, "220");
	say(b, "EHLO client.test\r\n", "250");
}

static void
submit(struct bench *b, const char *code)
{
	say(b, "MAIL FROM:<a@b.test>\r\n", "250");
	say(b, "RCPT TO:<ann@contoso.test>\r\n", "250");
	say(b, "DATA\r\n", "354");
	say(b, "Subject: x\r\n\r\nx\r\n.\r\n", code);
}

static size_t
dropped(const struct bench *b)
{
	char path[128];
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%s/Drop", b->dir);
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));)
		n += span_ends_nocase(span_of(e->d_name), SPAN(".eml"));
	if (d)
		(void)closedir(d);
	return n;
}

/* How often it stands in the journal. */
static size_t
said(const struct bench *b, const char *words)
{
	AUTO(buf_done) struct buf text = BUF_MAX(1024 * 1024);
	size_t n = 0;

	if (!file_read(AT_FDCWD, b->journal, 0, &text, NULL))
		return 0;
	for (struct span s = buf_span(&text); s.n > 0; s = span_skip(s, 1)) {
		const char *at = memmem(s.p, s.n, words, strlen(words));
		if (!at)
			break;
		n++;
		s = span_skip(s, (size_t)(at - s.p));
	}
	return n;
}

static void
wait_said(const struct bench *b, const char *words)
{
	for (int i = 0; i < WAIT_MS / 10; i++) {
		if (said(b, words) > 0)
			return;
		(void)poll(NULL, 0, 10);
	}
	fail_msg("\"%s\" was not said", words);
}

static void
wait_failed(int n)
{
	for (int i = 0; i < WAIT_MS / 5 && failed < n; i++)
		(void)poll(NULL, 0, 5);
	assert_true(failed >= n);
}

/* Until the relay has looked whether there is room again. */
static void
wait_taken(struct bench *b)
{
	char line[2048];

	for (int i = 0; i < WAIT_MS / 10; i++) {
		assert_true(fd_write_all(b->client, SPAN("MAIL FROM:<a@b.test>\r\n")));
		reply(b, line);
		bool taken = strncmp(line, "250", 3) == 0;
		assert_true(fd_write_all(b->client, SPAN("RSET\r\n")));
		expect(b, "250");
		if (taken)
			return;
		(void)poll(NULL, 0, 10);
	}
	fail_msg("no mail is taken");
}

static void
will_fail(enum store_work work, enum store_trouble trouble, int times)
{
	script.work = work;
	script.trouble = trouble;
	script.times = times;
}

/* ---- tests ---- */

static void
each_result_has_its_reply_and_its_event(void **state)
{
	static const struct {
		enum store_trouble trouble;
		const char *code;
		size_t events; /* so far */
	} rows[] = {
		{ STORE_DISK_FULL, "452", 1 },
		{ STORE_LOCKED, "451", 2 },
		{ STORE_DISK_FAILS, "451", 3 },
		{ STORE_DAMAGED, "451", 4 },
		{ STORE_SOUND, "451", 5 },
	};
	struct bench *b = *state;

	start(b, false);
	connect_to(b);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		will_fail(STORE_SUBMIT, rows[i].trouble, 1);
		submit(b, rows[i].code);
		wait_taken(b);
		submit(b, "250");
		assert_int_equal(said(b, "event=9005"), rows[i].events);
	}
	assert_true(ended(b, true));
}

static void
mail_put_off_below_the_floor_is_told_as_low_space_only(void **state)
{
	struct bench *b = *state;

	start(b, false);
	connect_to(b);
	will_fail(STORE_SUBMIT, STORE_DISK_FULL, 1);
	low = true;
	submit(b, "452");
	assert_int_equal(said(b, "event=6004"), 1);
	assert_int_equal(said(b, "event=9005"), 0);
	low = false;
	wait_said(b, "event=6005");
	assert_true(ended(b, true));
}

static void
a_failure_that_goes_on_is_told_once_and_ends_the_role(void **state)
{
	struct bench *b = *state;

	start(b, false);
	connect_to(b);
	will_fail(STORE_SUBMIT, STORE_DISK_FAILS, 1000);
	for (int i = 0; i < 5; i++)
		submit(b, "451");
	assert_false(ended(b, false));
	assert_int_equal(b->err.event, 9005);
	assert_int_equal(said(b, "event=9005"), 1);
}

static void
one_whose_files_were_taken_ends_at_once(void **state)
{
	struct bench *b = *state;

	start(b, false);
	connect_to(b);
	script.over = true;
	will_fail(STORE_SUBMIT, STORE_MOVED, 1000);
	submit(b, "451");
	assert_false(ended(b, false));
}

static void
a_verdict_waits_for(struct bench *b, enum store_trouble trouble)
{
	start(b, false);
	connect_to(b);
	will_fail(STORE_SETTLE, trouble, 20);
	submit(b, "250");
	wait_failed(20); /* twice as often as a store that is well would be asked */
	wait_said(b, "event=5003");
	assert_int_equal(dropped(b), 1);
	assert_int_equal(said(b, "event=9005"), 1);
	assert_int_equal(said(b, "event=5003"), 1);
	assert_true(ended(b, true));
}

/* Edge 11. */
static void
a_verdict_waits_for_a_lock_to_go(void **state)
{
	a_verdict_waits_for(*state, STORE_LOCKED);
}

static void
a_verdict_waits_for_room_on_the_disk(void **state)
{
	a_verdict_waits_for(*state, STORE_DISK_FULL);
}

static void
a_verdict_that_a_sound_store_will_not_have_ends_the_role(void **state)
{
	struct bench *b = *state;

	start(b, false);
	connect_to(b);
	will_fail(STORE_SETTLE, STORE_SOUND, 1000);
	submit(b, "250");
	assert_false(ended(b, false));
	assert_true(failed > 10);
	assert_int_equal(dropped(b), 1);
}

static void
a_verdict_is_tried_again_on_a_failing_disk_before_the_role_ends(void **state)
{
	struct bench *b = *state;

	start(b, false);
	connect_to(b);
	will_fail(STORE_SETTLE, STORE_DISK_FAILS, 1000);
	submit(b, "250");
	assert_false(ended(b, false));
	assert_true(failed >= 5);
	assert_int_equal(dropped(b), 1);
}

/* Edge 11: whoever called it waits too. */
static void
once_waits_for_a_lock_but_not_for_ever(void **state)
{
	struct bench *b = *state;

	start(b, false);
	connect_to(b);
	will_fail(STORE_SETTLE, STORE_LOCKED, 1);
	submit(b, "250");
	wait_said(b, "event=5003");
	assert_true(ended(b, true));
	relay_free(b->relay);
	b->relay = NULL;
	(void)close(b->client);
	b->client = -1;
	(void)close(b->listener);
	failed = 0;
	/* What is still to be delivered by `once` comes by Pickup. */
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/Pickup", b->dir);
	(void)dir_make_path(path, 0700, NULL);
	(void)snprintf(path, sizeof(path), "%s/Pickup/a.eml", b->dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs("X-Sender: <a@b.test>\r\nX-Receiver: <ann@contoso.test>\r\n\r\n"
		    "Subject: y\r\n\r\ny\r\n",
			f);
	(void)fclose(f);
	will_fail(STORE_SETTLE, STORE_LOCKED, 100000);
	start(b, true);
	relay_fetched(b->relay);
	wait_failed(3);
	assert_int_equal(b->err.event, 0); /* it goes on waiting */
	passed_ms = 61 * 1000;
	assert_false(ended(b, false));
	assert_int_equal(b->err.event, 9005);
}

/* Edge 35: each delivery that may come again is named, and the end is no success. */
static void
a_stop_with_verdicts_unrecorded_says_so_and_is_no_success(void **state)
{
	struct bench *b = *state;

	start(b, false);
	connect_to(b);
	will_fail(STORE_SETTLE, STORE_DISK_FULL, INT32_MAX);
	submit(b, "250");
	wait_failed(3);
	submit(b, "250"); /* nothing is begun for it while a verdict is owed */
	assert_false(ended(b, true));
	assert_int_equal(b->err.event, 9005);
	assert_non_null(strstr(b->err.text, "of 1 message "));
	assert_non_null(strstr(b->err.text, "may arrive twice"));
	assert_int_equal(said(b, "event=5011"), 1);
	assert_int_equal(said(b, "event=5003"), 0);
	assert_int_equal(dropped(b), 1);
	relay_free(b->relay);
	b->relay = NULL;
	(void)close(b->client);
	b->client = -1;
	/* The next start has both delivered, once each. */
	script.times = 0;
	start(b, false);
	for (int i = 0; i < WAIT_MS / 10 && said(b, "event=5003") < 2; i++)
		(void)poll(NULL, 0, 10);
	assert_int_equal(said(b, "event=5003"), 2);
	assert_int_equal(dropped(b), 2);
	assert_true(ended(b, true));
}

#define IN_BENCH(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BENCH(each_result_has_its_reply_and_its_event),
		IN_BENCH(mail_put_off_below_the_floor_is_told_as_low_space_only),
		IN_BENCH(a_failure_that_goes_on_is_told_once_and_ends_the_role),
		IN_BENCH(one_whose_files_were_taken_ends_at_once),
		IN_BENCH(a_verdict_waits_for_a_lock_to_go),
		IN_BENCH(a_verdict_waits_for_room_on_the_disk),
		IN_BENCH(a_verdict_that_a_sound_store_will_not_have_ends_the_role),
		IN_BENCH(a_verdict_is_tried_again_on_a_failing_disk_before_the_role_ends),
		IN_BENCH(once_waits_for_a_lock_but_not_for_ever),
		IN_BENCH(a_stop_with_verdicts_unrecorded_says_so_and_is_no_success),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
