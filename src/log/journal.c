#include "postern/journal.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "postern/date.h"
#include "record.h"

struct journal {
	char *path, *older; /* older: PATH.1, read first */
	struct journal_filter filter;
	FILE *file;
	bool in_older;
	char *line;
	size_t line_cap;
	json_t *object; /* of the entry that was given out */
};

static FILE *
open_quietly(const char *path)
{
	return fopen(path, "re");
}

struct journal *
journal_open(const char *path, const struct journal_filter *f, struct err *err)
{
	struct journal *j = calloc(1, sizeof(*j));
	size_t n = strlen(path);

	if (!j)
		abort();
	j->path = strdup(path);
	j->older = calloc(1, n + 3);
	if (!j->path || !j->older)
		abort();
	memcpy(j->older, path, n);
	memcpy(j->older + n, ".1", 2);
	j->filter = *f;
	j->file = open_quietly(j->older);
	j->in_older = j->file != NULL;
	if (!j->file)
		j->file = open_quietly(path);
	if (!j->file && errno != ENOENT) {
		err_errno(err, 0, errno, "cannot read the journal %s", path);
		journal_close(j);
		return NULL;
	}
	return j;
}

/* Reads the next line; behind the older half comes the present file, and a
 * present file that was moved away under us is followed by the new one. */
static bool
next_line(struct journal *j, size_t *out_n)
{
	for (;;) {
		if (!j->file && !(j->file = open_quietly(j->path)))
			return false;
		long before = ftell(j->file);
		ssize_t n = getline(&j->line, &j->line_cap, j->file);
		if (n > 0 && j->line[n - 1] == '\n') {
			*out_n = (size_t)n;
			return true;
		}
		/* The end, or a line that is still being written. */
		clearerr(j->file);
		(void)fseek(j->file, before < 0 ? 0 : before, SEEK_SET);

		struct stat here, there;
		bool moved = stat(j->path, &there) == 0 &&
				fstat(fileno(j->file), &here) == 0 &&
				(here.st_ino != there.st_ino ||
						here.st_dev != there.st_dev);
		if (!j->in_older && !moved)
			return false;
		(void)fclose(j->file);
		j->file = NULL;
		j->in_older = false;
	}
}

static struct span
string_of(const json_t *o, const char *key)
{
	const json_t *s = json_object_get(o, key);

	return json_is_string(s)
			? (struct span){ json_string_value(s), json_string_length(s) }
			: SPAN("");
}

/* Written as it is, whatever is escaped in JSON. */
static bool
plain(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\')
			return false;
	return s.n > 0;
}

/* Looking for the words costs a small part of reading the JSON, and most lines of a long
 * journal are about something else. */
static bool
may_pass(const struct journal *j, struct span line)
{
	const struct span want[] = { j->filter.account, j->filter.trace };

	for (size_t i = 0; i < 2; i++)
		if (plain(want[i]) && !memmem(line.p, line.n, want[i].p, want[i].n))
			return false;
	return true;
}

static bool
read_entry(struct journal *j, size_t n, struct journal_entry *out)
{
	json_decref(j->object);
	j->object = json_loadb(j->line, n, JSON_ALLOW_NUL, NULL);
	const json_t *id = json_object_get(j->object, "id");
	const json_t *level = json_object_get(j->object, "level");
	struct span severity = string_of(j->object, "severity");

	if (!json_is_integer(id) || !json_is_integer(level) || severity.n != 1)
		return false;
	*out = (struct journal_entry){
		.id = (int)json_integer_value(id),
		.level = (unsigned)json_integer_value(level),
		.severity = severity.p[0],
		.name = string_of(j->object, "name").p,
		.text = string_of(j->object, "text"),
		.account = string_of(j->object, "account"),
		.trace = string_of(j->object, "trace"),
		.line = { j->line, n - 1 },
	};
	return date_iso_parse(string_of(j->object, "time"), &out->time_ms);
}

bool
journal_next(struct journal *j, struct journal_entry *out)
{
	const struct journal_filter *f = &j->filter;
	size_t n;

	while (next_line(j, &n)) {
		struct journal_entry e;
		if (!may_pass(j, (struct span){ j->line, n }) ||
				!read_entry(j, n, &e) ||
				(f->id != 0 && f->id != e.id) ||
				e.time_ms < f->since_ms || e.level > f->level ||
				(f->account.n > 0 && !span_eq(f->account, e.account)) ||
				(f->trace.n > 0 && !span_eq(f->trace, e.trace)))
			continue;
		*out = e;
		return true;
	}
	return false;
}

void
journal_close(struct journal *j)
{
	if (!j)
		return;
	if (j->file)
		(void)fclose(j->file);
	json_decref(j->object);
	free(j->line);
	free(j->path);
	free(j->older);
	free(j);
}
