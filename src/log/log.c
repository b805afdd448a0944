#include "postern/log.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/file.h"
#include "postern/must.h"
#include "postern/thread.h"
#include "record.h"

enum {
	JOURNAL_MAX = 64 * 1024 * 1024, /* then it is moved to events.jsonl.1 */
	ROTATE_EVERY = 256, /* records between two looks at the size */
	PATIENCE_MS = 100, /* for a sink that has begun to take a record */
};

enum sink { SINK_NONE, SINK_STDERR, SINK_FILE, SINK_SYSLOG, SINK_JOURNALD };

/* The one thing that belongs to the process and not to a thread: everybody
 * speaks into it. `mutex` guards the sinks, which may be others from one record to the next. */
static struct {
	struct mutex *mutex;
	enum sink sink;
	_Atomic bool json, open;
	_Atomic unsigned level;
	struct file_log *file, *journal;
	unsigned written;
	_Atomic uint64_t lost;
	bool sink_loses, journal_loses; /* 9008 was said for the present gap */
} the;

static enum sink
sink_of(const char *to)
{
	if (!to)
		return SINK_NONE;
	if (strcmp(to, "stderr") == 0)
		return SINK_STDERR;
	if (strcmp(to, "syslog") == 0)
		return SINK_SYSLOG;
	return strcmp(to, "journald") == 0 ? SINK_JOURNALD : SINK_FILE;
}

static void
sinks_close(void)
{
	if (the.sink == SINK_SYSLOG)
		closelog();
	file_log_close(the.file);
	file_log_close(the.journal);
	the.file = the.journal = NULL;
	the.sink = SINK_NONE;
}

bool
log_open(const struct log_options *o, struct err *err)
{
	enum sink sink = sink_of(o->to);
	struct file_log *file = NULL, *journal = NULL;

	if (sink == SINK_FILE && !(file = file_log_open(o->to, 0640, err)))
		return false;
	if (o->journal && !(journal = file_log_open(o->journal, 0640, err))) {
		file_log_close(file);
		return false;
	}
	if (!the.open)
		the.mutex = mutex_new();
	mutex_lock(the.mutex);
	sinks_close();
	the.sink = sink;
	the.json = o->json;
	the.level = o->level;
	the.file = file;
	the.journal = journal;
	the.open = true;
	if (sink == SINK_SYSLOG)
		openlog("postern", LOG_PID | LOG_NDELAY, LOG_MAIL);
	mutex_unlock(the.mutex);
	return true;
}

void
log_close(void)
{
	if (!the.open)
		return;
	the.open = false;
	sinks_close();
	mutex_free(the.mutex);
	the.mutex = NULL;
}

bool
log_wants(unsigned level)
{
	return the.open && level <= the.level;
}

uint64_t
log_lost(void)
{
	return atomic_load(&the.lost);
}

/* Writes without ever waiting for a reader that has stopped: a pipe that takes
 * nothing gets nothing, one that has begun gets a moment to go on. */
static bool
write_patiently(int fd, struct span bytes)
{
	int wait_ms = 0;

	while (bytes.n > 0) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		if (poll(&p, 1, wait_ms) != 1 || !(p.revents & POLLOUT))
			return false;
		size_t piece = bytes.n < 4096 ? bytes.n
					      : 4096; /* what POLLOUT promises */
		ssize_t n = write(fd, bytes.p, piece);
		if (n <= 0)
			return false;
		bytes = span_skip(bytes, (size_t)n);
		wait_ms = PATIENCE_MS;
	}
	return true;
}

static int
priority_of(char severity)
{
	switch (severity) {
	case 'C':
		return LOG_CRIT;
	case 'E':
		return LOG_ERR;
	case 'W':
		return LOG_WARNING;
	default:
		return LOG_INFO;
	}
}

static bool
to_sink(struct buf *line, const struct record *r, struct err *err)
{
	const char *text;

	switch (the.sink) {
	case SINK_NONE:
		return true;
	case SINK_STDERR:
		if (write_patiently(STDERR_FILENO, buf_span(line)))
			return true;
		return err_set(err, 0, "standard error takes nothing more");
	case SINK_FILE:
		return file_log_add(the.file, buf_span(line), err);
	case SINK_SYSLOG:
		text = buf_cstr(line);
		syslog(priority_of(r->severity), "%s", text ? text : "");
		return true;
	case SINK_JOURNALD:
		text = buf_cstr(line);
		if (sd_journal_send("MESSAGE=%s", text ? text : "", "PRIORITY=%i",
				    priority_of(r->severity), "POSTERN_EVENT=%i",
				    r->event->id, "POSTERN_NAME=%s", r->event->name,
				    NULL) == 0)
			return true;
		return err_set(err, 0, "journald takes nothing");
	}
	return false;
}

/* Whatever level is wanted, so that the one sink tells what became of the other. */
static void
say_lost(bool in_journal, const char *what, uint64_t lost, const char *why)
{
	const struct field *fields = FIELDS(f_num("count", (int64_t)lost),
			f_str("sink", what), f_str("err", why));
	AUTO(buf_done) struct buf words = BUF_MAX(RECORD_MAX);
	AUTO(buf_done) struct buf line = BUF_MAX(RECORD_MAX * 2);
	const struct event *e = event_find(EVENT_LOG_LOST);
	if (!log_words(&words, EVENT_LOG_LOST, fields))
		return;
	const struct record r = { clock_wall_ms(), e, e->severity, e->level,
		buf_span(&words), fields };
	struct err ignored; /* both are gone: there is nobody to tell */
	if (!(in_journal || the.json ? record_json(&line, &r) : record_text(&line, &r)))
		return;
	if (in_journal)
		(void)file_log_add(the.journal, buf_span(&line), &ignored);
	else
		(void)to_sink(&line, &r, &ignored);
}

/* Counts, and says once per gap in the one that something is missing in the other. */
static void
count_lost(bool journal, const struct err *err)
{
	uint64_t lost = atomic_fetch_add(&the.lost, 1) + 1;
	bool *loses = journal ? &the.journal_loses : &the.sink_loses;

	if (!*loses && (journal || the.journal))
		say_lost(!journal, journal ? "events.jsonl" : "the log", lost,
				err->text);
	*loses = true;
}

static void
emit(const struct record *r)
{
	AUTO(buf_done) struct buf json = BUF_MAX(RECORD_MAX * 8);
	AUTO(buf_done) struct buf text = BUF_MAX(RECORD_MAX * 2);
	struct err err = { 0 };
	bool as_json = the.json;
	bool ok = record_json(&json, r) && (as_json || record_text(&text, r));

	MUST(ok);
	mutex_lock(the.mutex);
	if (the.journal) {
		if (file_log_add(the.journal, buf_span(&json), &err))
			the.journal_loses = false;
		else
			count_lost(true, &err);
		if (++the.written % ROTATE_EVERY == 0)
			(void)file_log_rotate(the.journal, JOURNAL_MAX, 1, NULL);
	}
	if (to_sink(as_json ? &json : &text, r, &err))
		the.sink_loses = false;
	else
		count_lost(false, &err);
	mutex_unlock(the.mutex);
}

/* A failure that nobody gave an event is a fault of ours, but it must be heard of. */
static const struct event *
event_of(int id)
{
	const struct event *e = event_find(id);

#ifdef POSTERN_STRICT
	MUST(e);
#endif
	return e ? e : event_find(EVENT_UNNAMED_FAILURE);
}

void
log_event_at(int id, char severity, unsigned level, const struct field *fields)
{
	const struct event *e = event_of(id);

	if (e->id != id) {
		severity = e->severity;
		level = e->level;
	}
	if (!log_wants(level))
		return;

	AUTO(buf_done) struct buf words = BUF_MAX(RECORD_MAX);
	(void)log_words(&words, e->id, fields); /* past the limit the tail is lost */
	struct record r = { clock_wall_ms(), e, severity, level, buf_span(&words),
		fields };
	emit(&r);
}

void
log_event(int id, const struct field *fields)
{
	const struct event *e = event_of(id);

	log_event_at(e->id, e->severity, e->level, fields);
}

void
log_err(const struct err *e, struct span account, struct span id)
{
	log_event(e->event,
			FIELDS(f_span("account", account), f_span("id", id),
					f_str("err", e->text)));
}
