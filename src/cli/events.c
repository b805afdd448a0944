#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "postern/clock.h"
#include "postern/date.h"
#include "postern/event.h"
#include "postern/journal.h"
#include "postern/num.h"

/* EVENTS.md, "Two shapes to keep to the letter". */
static void
print_shape(const struct journal_entry *e)
{
	(void)printf("EVENT ID: %d\n", e->id);
	cli_print_lines(stdout, e->text);
	(void)putchar('\n');
}

static void
print_entry(const struct cli *c, const struct journal_filter *f,
		const struct journal_entry *e)
{
	AUTO(buf_done) struct buf line = BUF_MAX(1024 * 1024);

	if (c->json) {
		(void)fwrite(e->line.p, 1, e->line.n, stdout);
		(void)putchar('\n');
	} else if (f->id != 0) {
		print_shape(e);
	} else if (journal_print(&line, e)) {
		cli_print_lines(stdout, buf_span(&line));
	}
}

/* A moment, or an age such as 7d. */
static bool
read_since(const char *text, int64_t *out_ms)
{
	uint64_t ago_s;

	if (num_duration(span_of(text), INT32_MAX, &ago_s)) {
		*out_ms = clock_wall_ms() - (int64_t)ago_s * 1000;
		return true;
	}
	return date_iso_parse(span_of(text), out_ms);
}

static bool
read_filter(struct journal_filter *f, const char *id, const char *account,
		const char *since, const char *level)
{
	uint64_t n;

	*f = (struct journal_filter){ .account = span_of(account), .level = 3 };
	if (id) {
		if (!num_u64(span_of(id), 99999, &n) || !event_find((int)n)) {
			(void)cli_fail(0,
					"there is no event %s, see postern events catalog",
					id);
			return false;
		}
		f->id = (int)n;
	}
	if (since && !read_since(since, &f->since_ms)) {
		(void)cli_fail(0,
				"--since takes 2026-11-22, 2026-11-22T16:57:00 (UTC) or an age "
				"such as 7d, not %s",
				since);
		return false;
	}
	if (level) {
		if (!num_u64(span_of(level), 3, &n)) {
			(void)cli_fail(0, "--level takes 0 to 3, not %s", level);
			return false;
		}
		f->level = (unsigned)n;
	}
	return true;
}

/* How many entries stand before the last ten: who begins to follow sees those, as
 * with tail. */
static size_t
before_last(const char *path, const struct journal_filter *f)
{
	enum { SHOWN = 10 };
	struct journal *j = journal_open(path, f, NULL);
	struct journal_entry e;
	size_t n = 0;

	while (j && journal_next(j, &e))
		n++;
	journal_close(j);
	return n > SHOWN ? n - SHOWN : 0;
}

int
cli_events(struct cli *c)
{
	const char *id = NULL, *account = NULL, *since = NULL, *level = NULL;
	bool follow = false;
	const struct cli_option options[] = { { "--follow", NULL, &follow },
		{ "--id", &id, NULL }, { "--account", &account, NULL },
		{ "--since", &since, NULL }, { "--level", &level, NULL }, { 0 } };
	struct journal_filter filter;
	struct journal_entry entry;
	struct err err = { 0 };

	if (!cli_options(c, options, 0, 0) ||
			!read_filter(&filter, id, account, since, level))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;

	const char *path = cli_path(c, "events.jsonl");
	size_t skip = follow && !since ? before_last(path, &filter) : 0;
	struct journal *j = journal_open(path, &filter, &err);
	if (!j)
		return cli_fail(CLI_FAILED, "%s", err.text);
	while (skip > 0 && journal_next(j, &entry))
		skip--;
	do {
		while (journal_next(j, &entry))
			print_entry(c, &filter, &entry);
		if (fflush(stdout) != 0 || ferror(stdout))
			break;
		const struct timespec pause = { 0, 200 * 1000 * 1000 };
		if (follow)
			(void)nanosleep(&pause, NULL);
	} while (follow);
	journal_close(j);
	return CLI_DONE;
}

static const char *
severity_word(char severity)
{
	switch (severity) {
	case 'C':
		return "critical";
	case 'E':
		return "error";
	case 'W':
		return "warning";
	default:
		return "information";
	}
}

static json_t *
event_json(const struct event *e)
{
	return json_pack("{s:i,s:s,s:s,s:i,s:s,s:s,s:s}", "id", e->id, "name", e->name,
			"severity", severity_word(e->severity), "level", (int)e->level,
			"text", e->text, "means", e->means, "advice", e->advice);
}

int
cli_events_explain(struct cli *c)
{
	uint64_t id;

	if (!cli_options(c, NULL, 1, 1))
		return CLI_USAGE;

	const struct event *e = num_u64(span_of(c->argv[0]), 99999, &id)
			? event_find((int)id)
			: NULL;
	if (!e)
		return cli_fail(CLI_FAILED,
				"there is no event %s, see postern events catalog",
				c->argv[0]);
	if (c->json)
		return cli_print_json(event_json(e));
	(void)printf("%d %s (%s, level %u)\n\n%s\n\nMeaning: %s\nWhat to do: %s\n",
			e->id, e->name, severity_word(e->severity), e->level, e->text,
			e->means, e->advice);
	return CLI_DONE;
}

int
cli_events_catalog(struct cli *c)
{
	size_t n;
	const struct event *all = event_all(&n);

	if (!cli_options(c, NULL, 0, 0))
		return CLI_USAGE;
	if (c->json) {
		json_t *list = json_array();
		for (size_t i = 0; i < n; i++)
			(void)json_array_append_new(list, event_json(&all[i]));
		return cli_print_json(list);
	}

	static const char *const titles[] = { ">id", "sev", "name", "text" };
	struct cli_table t;
	cli_table_init(&t, titles, 4);
	for (size_t i = 0; i < n; i++) {
		char sev[4];
		(void)snprintf(sev, sizeof(sev), "%c%u", all[i].severity,
				all[i].level % 10);
		struct span text = span_of(all[i].text);
		const char *const row[] = { cli_cell_num(&t, (uint64_t)all[i].id),
			cli_cell(&t, span_of(sev)), all[i].name,
			cli_cell(&t, span_first(text, span_find(text, '\n'))) };
		cli_table_row(&t, row);
	}
	cli_table_print(&t);
	return CLI_DONE;
}
