/* status: one screen. What runs, what waits, what takes room, and what to look at first. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accounts.h"
#include "policies.h"
#include "postern/clock.h"
#include "postern/date.h"
#include "postern/file.h"
#include "postern/lock.h"
#include "postern/queue.h"
#include "postern/relay.h"

enum {
	HOUR_MS = 3600 * 1000,
	DAY_MS = 24 * HOUR_MS,
	OVERDUE = 10, /* intervals without a poll */
	NAMES_MOST = 10000000,
	LOOK_MAX = 32,
};

/* Files of a directory, or one file. */
struct weight {
	const char *name, *path; /* in JSON; below the state directory */
	uint64_t files, octets, new; /* new: of the last day */
};

enum { DATABASE, LOG, SPOOL, BADMAIL, EVIDENCE, DROP, EVENTS, WEIGHTS };

struct status {
	struct cli *c;
	struct arena arena;
	int64_t now_ms;
	pid_t service; /* 0: none runs */
	struct poll_result *polls;
	size_t n_polls;
	size_t ok, failing, held, never;
	size_t aside; /* messages set aside, of all accounts */
	struct queue_heap heaps[QUEUE_HEAPS];
	struct weight weights[WEIGHTS];
	uint64_t badmail_items, badmail_new;
	bool room_known;
	uint64_t free, floor;
	struct span look[LOOK_MAX]; /* what to look at first, most urgent first */
	size_t n_look;
};

static void look_at(struct status *s, const char *fmt, ...)
		__attribute__((format(printf, 2, 3)));

static void
look_at(struct status *s, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (s->n_look < LOOK_MAX)
		s->look[s->n_look++] = arena_dup(&s->arena, span_of(text));
}

/* ---- what there is ---- */

static void
weigh_file(const struct status *s, int dir, const char *name, struct weight *w)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
		return;
	w->files++;
	w->octets += (uint64_t)st.st_blocks * 512;
	w->new += s->now_ms - (int64_t)st.st_mtime * 1000 < DAY_MS;
}

/* What is not there weighs nothing. only: the end of the names that count; "": any. */
static void
weigh(struct status *s, int state, const char *only, struct weight *w)
{
	struct file_names names;
	AUTO(fd_done) int dir = -1;
	struct stat st;

	if (fstatat(state, w->path, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	if (S_ISREG(st.st_mode)) {
		weigh_file(s, state, w->path, w);
		return;
	}
	dir = dir_open(state, w->path, NULL);
	if (dir < 0 || !dir_names(dir, NAMES_MOST, &names, NULL))
		return;
	for (size_t i = 0; i < names.n; i++)
		if (*only == '\0' ||
				span_ends_nocase(
						span_of(names.names[i]), span_of(only)))
			weigh_file(s, dir, names.names[i], w);
	file_names_done(&names);
}

static void
weigh_all(struct status *s)
{
	static const struct weight all[WEIGHTS] = {
		[DATABASE] = { "database", "postern.db", 0, 0, 0 },
		[LOG] = { "log", "postern.db-wal", 0, 0, 0 },
		[SPOOL] = { "spool", "spool", 0, 0, 0 },
		[BADMAIL] = { "badmail", "Badmail", 0, 0, 0 },
		[EVIDENCE] = { "evidence", "evidence", 0, 0, 0 },
		[DROP] = { "drop", "Drop", 0, 0, 0 },
		[EVENTS] = { "events", "events.jsonl", 0, 0, 0 },
	};
	struct weight older = { "events", "events.jsonl.1", 0, 0, 0 };
	struct weight items = { "badmail", "Badmail", 0, 0, 0 };
	const char *path = s->c->conf->server.state;
	AUTO(fd_done) int state = dir_open(AT_FDCWD, path, NULL);
	uint64_t total;

	memcpy(s->weights, all, sizeof(all));
	for (size_t i = 0; state >= 0 && i < WEIGHTS; i++)
		weigh(s, state, "", &s->weights[i]);
	if (state >= 0) {
		weigh(s, state, "", &older);
		weigh(s, state, ".BDP", &items);
	}
	s->weights[EVENTS].octets += older.octets;
	s->badmail_items = items.files;
	s->badmail_new = items.new;
	s->room_known = file_space(path, &s->free, &total, NULL);
	s->floor = relay_least_free(s->c->conf, path);
}

static uint64_t
weight_of_all(const struct status *s)
{
	uint64_t total = 0;

	for (size_t i = 0; i < WEIGHTS; i++)
		total += s->weights[i].octets;
	return total;
}

/* The collector holds it until somebody says otherwise. */
static bool
is_held(const struct poll_result *p)
{
	return !p->ok &&
			(p->event == EVENT_UIDL_STORM ||
					p->event == EVENT_FIRST_REACH_NOBODY ||
					p->event == EVENT_ACCOUNT_SUSPENDED ||
					p->event == EVENT_TARGET_DISABLED);
}

static void
look_at_account(struct status *s, const struct conf_account *a)
{
	const struct poll_result *p = cli_poll_of(s->polls, s->n_polls, a->name);
	int64_t most = a->every_s * 1000 * OVERDUE;
	char when[DATE_ISO_SIZE];

	if (!p) {
		s->never++;
		return;
	}
	s->ok += p->ok;
	if (is_held(p)) {
		s->held++;
		look_at(s,
				"account %s is held: " SPAN_FMT
				"; see: postern accounts show %s",
				a->name, SPAN_ARG(span_first(p->text, 200)), a->name);
	} else if (!p->ok) {
		s->failing++;
		look_at(s,
				"account %s fails: " SPAN_FMT
				"; see: postern accounts show %s",
				a->name, SPAN_ARG(span_first(p->text, 200)), a->name);
	} else if (s->now_ms - p->ended_ms > (most > DAY_MS ? most : DAY_MS)) {
		date_iso(p->ended_ms, when);
		look_at(s, "account %s was polled last at %s%s", a->name, when,
				s->service ? "" : "; no service runs");
	}
}

/* Only what is set aside: a pause is over before anybody could do something. */
static bool
look_at_troubles(struct status *s, struct reader *r, const char *account,
		struct err *err)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(16 * 1024 * 1024);
	AUTO(buf_done) struct buf text = BUF_MAX(512);
	struct fetch_memory m;

	if (!cli_memory_read(r, account, &a, &m, err))
		return false;
	s->aside += m.aside;
	if (m.suspended && cli_suspension_print(&text, &m))
		look_at(s, "account %s is %s; see: postern accounts show %s", account,
				buf_cstr(&text), account);
	buf_clear(&text);
	if (m.aside > 0 && cli_troubles_print(&text, m.aside, 0, m.again_ms))
		look_at(s, "account %s: %s; see: postern accounts show %s", account,
				buf_cstr(&text), account);
	return true;
}

static uint64_t
messages_in(const struct status *s, enum queue_state state)
{
	uint64_t n = 0;

	for (size_t i = 0; i < QUEUE_HEAPS; i++)
		n += s->heaps[i].state == state ? s->heaps[i].messages : 0;
	return n;
}

static uint64_t
unrouted(const struct status *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < QUEUE_HEAPS; i++)
		n += s->heaps[i].unrouted;
	return n;
}

static void
look_at_queue(struct status *s)
{
	uint64_t held = messages_in(s, QUEUE_HELD), open = unrouted(s), old = 0;

	if (open > 0)
		look_at(s,
				"%" PRIu64
				" messages are for nobody; see: postern unrouted list",
				open);
	if (held > open)
		look_at(s,
				"%" PRIu64
				" messages are held; see: postern queue list --status held",
				held - open);
	for (size_t i = 0; i < QUEUE_HEAPS; i++)
		if (s->heaps[i].state != QUEUE_HELD)
			old += s->heaps[i].messages - s->heaps[i].of_day;
	if (old > 0)
		look_at(s,
				"%" PRIu64
				" messages wait for more than a day; see: postern queue list",
				old);
	if (s->badmail_new > 0)
		look_at(s,
				"%" PRIu64
				" messages went to Badmail in the last day; see: postern badmail list",
				s->badmail_new);
}

static bool
gather(struct status *s, struct err *err)
{
	bool nothing, ok = true;
	struct reader *r = cli_reader_open(s->c, &nothing);

	if (!r && !nothing)
		return false;
	s->service = lock_holder(s->c->conf->server.state, NULL);
	if (s->service < 0)
		s->service = 0;
	if (r)
		ok = poll_results(r, &s->arena, &s->polls, &s->n_polls, err) &&
				queue_heaps(r, s->now_ms, s->heaps, err);
	for (size_t i = 0; r && ok && i < s->c->conf->accounts.n; i++)
		ok = look_at_troubles(s, r, s->c->conf->accounts.p[i].name, err);
	reader_close(r);
	if (!ok)
		return cli_fail(0, "%s", err->text) != 0;
	weigh_all(s);
	if (s->room_known && s->free < s->floor)
		look_at(s, "the disk is nearly full: no mail is taken; make room on it");
	for (size_t i = 0; i < s->c->conf->accounts.n; i++)
		look_at_account(s, &s->c->conf->accounts.p[i]);
	look_at_queue(s);
	return true;
}

/* ---- to be read ---- */

static const char *
heap_name(const struct queue_heap *h)
{
	return h->deferred ? "deferred" : queue_state_name(h->state);
}

static void
size_text(uint64_t octets, char out[32])
{
	static const char *const units[] = { "octets", "KB", "MB", "GB", "TB" };
	double n = (double)octets;
	size_t unit = 0;

	for (; n >= 1024 && unit < 4; unit++)
		n /= 1024;
	(void)snprintf(out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", n, units[unit]);
}

static void
print_queue(const struct status *s)
{
	static const char *const titles[] = { "queue", ">messages", ">of the last hour",
		">of the last day", "oldest" };
	struct cli_table t;
	uint64_t all = 0;

	for (size_t i = 0; i < QUEUE_HEAPS; i++)
		all += s->heaps[i].messages;
	if (all == 0) {
		(void)puts("queue      empty");
		return;
	}
	(void)puts("");
	cli_table_init(&t, titles, 5);
	for (size_t i = 0; i < QUEUE_HEAPS; i++) {
		const struct queue_heap *h = &s->heaps[i];
		const char *const row[] = { heap_name(h), cli_cell_num(&t, h->messages),
			cli_cell_num(&t, h->of_hour), cli_cell_num(&t, h->of_day),
			cli_cell_time(&t, h->oldest_ms) };
		if (h->messages > 0)
			cli_table_row(&t, row);
	}
	cli_table_print(&t);
	(void)puts("");
}

static void
print_screen(const struct status *s)
{
	char size[32], room[32], floor[32];

	if (s->service)
		(void)printf("service    runs (process %d)\n", (int)s->service);
	else
		(void)puts("service    does not run");
	(void)printf("accounts   %zu ok, %zu failing, %zu held, %zu never polled\n",
			s->ok, s->failing, s->held, s->never);
	if (s->aside > 0)
		(void)printf("set aside  %zu messages at the providers\n", s->aside);
	print_queue(s);
	(void)printf("badmail    %" PRIu64 " messages, %" PRIu64 " of the last day\n",
			s->badmail_items, s->badmail_new);
	(void)printf("unrouted   %" PRIu64 "\n", unrouted(s));
	size_text(weight_of_all(s), size);
	(void)printf("state      %s:", size);
	for (size_t i = 0; i < WEIGHTS; i++) {
		size_text(s->weights[i].octets, size);
		(void)printf("%s %s %s", i ? "," : "", s->weights[i].name, size);
	}
	(void)putchar('\n');
	size_text(s->free, room);
	size_text(s->floor, floor);
	if (s->room_known)
		(void)printf("disk       %s free; below %s no mail is taken\n", room,
				floor);
	if (s->n_look > 0)
		(void)puts("\nlook at");
	for (size_t i = 0; i < s->n_look; i++) {
		(void)fputs("  ", stdout);
		cli_print_span(stdout, s->look[i], 0);
		(void)putchar('\n');
	}
}

static json_t *
queue_json(const struct status *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < QUEUE_HEAPS; i++) {
		const struct queue_heap *h = &s->heaps[i];

		if (h->messages > 0)
			(void)json_array_append_new(list,
					json_pack("{s:s,s:I,s:I,s:I,s:o}", "status",
							heap_name(h), "messages",
							(json_int_t)h->messages,
							"last_hour",
							(json_int_t)h->of_hour,
							"last_day",
							(json_int_t)h->of_day, "oldest",
							cli_json_time(h->oldest_ms)));
	}
	return list;
}

static int
print_json(const struct status *s)
{
	json_t *look = json_array(), *state = json_object();

	for (size_t i = 0; i < s->n_look; i++)
		(void)json_array_append_new(look, cli_json_span(s->look[i]));
	for (size_t i = 0; i < WEIGHTS; i++)
		(void)json_object_set_new(state, s->weights[i].name,
				json_integer((json_int_t)s->weights[i].octets));
	(void)json_object_set_new(
			state, "total", json_integer((json_int_t)weight_of_all(s)));
	return cli_print_json(json_pack(
			"{s:b,s:o,s:{s:I,s:I,s:I,s:I,s:I},s:o,s:{s:I,s:I},s:I,s:o,s:{s:o,s:I},s:o}",
			"running", s->service != 0, "pid",
			s->service ? json_integer(s->service) : json_null(), "accounts",
			"ok", (json_int_t)s->ok, "failing", (json_int_t)s->failing,
			"held", (json_int_t)s->held, "never", (json_int_t)s->never,
			"set_aside", (json_int_t)s->aside, "queue", queue_json(s),
			"badmail", "messages", (json_int_t)s->badmail_items, "last_day",
			(json_int_t)s->badmail_new, "unrouted", (json_int_t)unrouted(s),
			"state", state, "disk", "free",
			s->room_known ? json_integer((json_int_t)s->free) : json_null(),
			"floor", (json_int_t)s->floor, "look_at", look));
}

int
cli_status(struct cli *c)
{
	struct status s = { .c = c, .arena = ARENA_MAX(64 * 1024 * 1024) };
	struct err err = { 0 };
	int status = CLI_FAILED;

	if (!cli_options(c, NULL, 0, 0))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;
	s.now_ms = clock_wall_ms();
	if (gather(&s, &err)) {
		if (c->json)
			(void)print_json(&s);
		else
			print_screen(&s);
		status = s.n_look > 0 ? CLI_FAILED : CLI_DONE;
	}
	arena_done(&s.arena);
	return status;
}
