/* pickups: mail that comes as files (SPEC section 6). The thread behind picked.c finds
 * and reads them; here each becomes a transaction like a client's, with relay rights:
 * whoever may put a file of ours into that folder may send mail to anybody.
 *
 * Files are taken by slices, and the next slice waits until the last one is durable
 * and removed: a heap of files never keeps others' mail waiting. */
#include "pickups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/date.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/origin.h"
#include "postern/qid.h"
#include "postern/watch.h"

enum {
	LOOK_MS = 5 * 1000, /* where nothing tells that there is something new */
	LOOK_LEAST_MS = 250, /* between looks that were asked for */
	BUSY_MS = 200, /* the store has enough to do */
	AGAIN_MS = 30 * 1000, /* what could not be queued */
	/* `once` waits for files that are being written, but not for ever. */
	ONCE_MS = 30 * 1000,
	UNCLAIM_MEMORY = 64 * 1024 * 1024,
};

/* Claims whose files are removed, on their way out of the store. */
struct unclaim {
	struct origin_change job;
	struct arena arena;
};

/* ---- when to look ---- */

static void
look_in(struct pickups *w, int64_t ms)
{
	if (!w->in->hub->stopping)
		loop_timer_set(w->timer, ms);
}

static bool
in_time(const struct pickups *w)
{
	return !w->in->hub->once || loop_now_ms(w->in->hub->loop) < w->give_up_ms;
}

static void
look_due(void *host)
{
	struct pickups *w = host;
	struct inbound *in = w->in;

	if (w->slice || in->hub->stopping)
		return; /* it is asked again when these are done */
	if (store_space_look(in->hub->store)) { /* files stay where they are */
		w->passed = true;
		look_in(w, LOOK_MS);
		pulse_look(&in->hub->pulse);
		return;
	}
	if (in->pending > PENDING_MAX / 2) {
		look_in(w, BUSY_MS);
		return;
	}

	struct picked *p = picked_new(PICKED_LOOK);
	int64_t now = loop_now_ms(in->hub->loop);
	p->badmail_enabled = in->hub->conf->badmail.enabled;
	p->max_size = in->hub->conf->smtp.limits.message;
	p->hostname = strdup(in->hub->conf->server.hostname);
	if (!p->hostname)
		abort();
	p->again = w->again && now >= w->again_at_ms;
	if (p->again)
		w->again = false;
	w->looking = w->slice = true;
	w->news = false;
	(void)mailbox_post(w->to_thread, &p->link);
}

static void watch_ready(void *host, int bits);

/* Without it, the clock has to do. */
static void
watch_begin(struct pickups *w)
{
	if (w->watch)
		return;
	w->watch_fd = watch_open(w->path, NULL);
	if (w->watch_fd < 0)
		return;
	w->watch = loop_watch_new(w->in->hub->loop, w->watch_fd, watch_ready, w);
	loop_watch_want(w->watch, LOOP_READ);
}

/* A slice is done with: when is the next? */
static void
slice_over(struct pickups *w)
{
	int64_t wait = LOOK_MS;

	if (!w->slice || w->looking || w->in_hand > 0)
		return;
	w->slice = false;
	watch_begin(w); /* the folder may have been made anew */
	if (w->waiting)
		wait = w->ready_ms - loop_now_ms(w->in->hub->loop);
	if (w->news || wait < LOOK_LEAST_MS)
		wait = LOOK_LEAST_MS;
	look_in(w, w->more ? 0 : wait);
	pulse_look(&w->in->hub->pulse);
}

static void
looked(struct pickups *w, const struct picked *p)
{
	w->looking = false;
	w->more = p->look.more;
	w->waiting = !p->look.more && p->look.wait_ms > 0;
	w->passed = w->passed || !p->look.more;
	w->in->hub->sum.badmail += p->badmail;
	w->in->hub->sum.badmail_failed += p->badmail_failed;
	if (p->failed) {
		w->again = true;
		w->again_at_ms = loop_now_ms(w->in->hub->loop) + AGAIN_MS;
	}
	w->ready_ms = loop_now_ms(w->in->hub->loop) + p->look.wait_ms;
}

static void
watch_ready(void *host, int bits)
{
	struct pickups *w = host;

	(void)bits;
	w->news = true;
	if (!watch_drain(w->watch_fd)) { /* the folder has gone */
		loop_watch_free(w->watch);
		w->watch = NULL;
		fd_done(&w->watch_fd);
	}
	if (!w->slice && !w->waiting)
		look_in(w, LOOK_LEAST_MS);
}

/* ---- a file becomes a transaction ---- */

/* It stays claimed and comes again. */
static void
put_off(struct pickups *w, struct picked *p)
{
	w->again = true;
	w->again_at_ms = loop_now_ms(w->in->hub->loop) + AGAIN_MS;
	w->in_hand--;
	picked_free(p);
	slice_over(w);
}

static void
say_refused(struct inbound *in, struct span recipient, const struct smtp_reply *reply)
{
	char line[SMTP_TEXT_SIZE + 32];

	(void)snprintf(line, sizeof(line), "%d %s %s", reply->code, reply->esc,
			reply->text);
	log_event_at(EVENT_RECIPIENT_PROCESSED, 'E', 0,
			FIELDS(f_str("ndr", reply->code == 550 ? "504" : "550"),
					f_str("error", "00000000"),
					f_str("reply", line),
					f_span("recipient", recipient),
					f_str("host", in->hub->conf->server.hostname)));
}

/* False: not now. A recipient who is refused is part of the message all the same, as
 * with collected mail: nobody is at the other end to be told. */
static bool
envelope(struct inbound *in, struct mail *m, const struct picked *p)
{
	char text[SMTP_TEXT_SIZE];
	struct smtp_path path;

	for (size_t i = 0; i < p->file.n; i++) {
		if (!smtp_mailbox_parse(p->file.recipients[i], &path))
			return false;
		struct smtp_reply reply = mail_rcpt(in, m, &path, text);
		if (reply.code >= 500)
			say_refused(in, path.mailbox, &reply);
		else if (reply.code >= 400)
			return false;
	}
	return true;
}

static bool
body(struct inbound *in, struct mail *m, struct picked *p)
{
	if (p->spool_fd < 0)
		return mail_body(in, m, buf_span(&p->body)).code == 0;

	m->hops = p->hops;
	heading_done(&m->heading);
	m->heading = p->heading;
	heading_init(&p->heading);
	m->job.spool_sum = m->sum = p->sum;
	p->sum = NULL;
	m->job.id = p->id;
	m->job.spool_fd = fd_take(&p->spool_fd);
	m->job.spool_size = p->spool_size;
	return true;
}

/* RFC 6409 8.2 and 8.3 for what somebody has written and no mail program has sent. What
 * came with an envelope of its own is relayed as it is, and what our Drop wrote has our
 * trace line already: so it comes out of Drop again bit for bit. */
static void
top(struct mail *m, const struct picked *p)
{
	char date[DATE_RFC5322_SIZE];
	size_t n = m->top.n;
	bool ok = true;

	if (p->file.ours)
		buf_clear(&m->top);
	date_rfc5322(m->job.arrived_ms / 1000, date);
	if (p->file.lacks_id)
		ok = buf_addf(&m->top, "Message-ID: " SPAN_FMT "\r\n",
				SPAN_ARG(m->job.message_id));
	if (p->file.lacks_date)
		ok = ok && buf_addf(&m->top, "Date: %s\r\n", date);
	if (!ok)
		m->top.n = n;
	m->job.top = m->top.n > 0 ? buf_span(&m->top) : SPAN("");
}

static void
source(struct mail *m, const struct picked *p)
{
	AUTO(buf_done) struct buf b = BUF_MAX(1024);

	if (buf_addf(&b, "Pickup %s", p->claim.file))
		m->job.source = arena_dup(&m->arena, buf_span(&b));
	if (!m->job.source.p)
		m->job.source = SPAN("Pickup");
}

/* Does an address of the envelope need SMTPUTF8? The file cannot ask for it in words. */
static bool
needs_utf8(const struct picked *p, const struct smtp_path *sender)
{
	struct smtp_path to;
	bool utf8 = sender->utf8;

	for (size_t i = 0; i < p->file.n && !utf8; i++)
		utf8 = smtp_mailbox_parse(p->file.recipients[i], &to) && to.utf8;
	return utf8;
}

static struct mail *
transaction(struct inbound *in, struct picked *p)
{
	const struct mail_client client = {
		.helo = span_of(in->hub->conf->server.hostname),
		.internal = true,
		.may_relay = true
	};
	struct smtp_mail said = { .body = SMTP_BODY_BINARYMIME };
	const struct smtp_commit commit = {
		.eight_bit = p->scan.eight_bit, .bare = p->scan.bare, .nul = p->scan.nul
	};

	if (p->file.sender.n > 0)
		(void)smtp_mailbox_parse(p->file.sender, &said.sender);
	said.utf8 = needs_utf8(p, &said.sender);
	struct mail *m = mail_new(in, &said, &client);
	m->picked = p;
	m->job.claim = span_of(p->claim.name);
	if (!envelope(in, m, p) || !body(in, m, p) ||
			mail_whole(in, m, &commit, &client).code != 0) {
		mail_drop(in, m);
		return NULL;
	}
	top(m, p);
	source(m, p);
	return m;
}

static void
submitted(void *host, struct store_job *job)
{
	struct mail *m = LIST_ITEM(job, struct mail, job.job);
	struct pickups *w = host;
	struct inbound *in = w->in;
	struct picked *p = m->picked;
	enum store_result result = job->result;
	char text[SMTP_TEXT_SIZE], id[QID_SIZE];

	(void)mail_answer(in, m, text);
	in->pending -= mail_weight(m);
	qid_print(m->job.id, id);
	if (result == STORE_HAD) /* by whom a crash stopped before it was told */
		qid_print(m->job.had, id);
	if ((result == STORE_DONE || result == STORE_HAD) && log_wants(1))
		log_event(EVENT_PICKUP_ACCEPTED,
				FIELDS(f_str("file", p->claim.file), f_str("id", id)));
	mail_free(in, m);
	crash_point("pickup: queued");
	if (result != STORE_DONE && result != STORE_HAD) {
		put_off(w, p);
		return;
	}
	p->task = PICKED_QUEUED;
	if (w->thread)
		(void)mailbox_post(w->to_thread, &p->link);
	else /* we are ending: at the next start it is found to be here already */
		picked_free(p);
}

static void
submit(struct pickups *w, struct picked *p)
{
	struct inbound *in = w->in;
	struct mail *m = transaction(in, p);

	if (!m) {
		if (p->spool_fd >= 0)
			spool_remove(in->hub->store, p->id);
		put_off(w, p);
		return;
	}
	buf_done(&p->body);
	buf_done(&p->head); /* the envelope was copied */
	in->receiving -= mail_weight(m);
	in->pending += mail_weight(m);
	mail_uncount(in, m);
	m->job.job.done = submitted;
	m->job.job.host = w;
	jobs_add(in->hub->jobs, &m->job.job);
}

/* ---- claims that are over ---- */

static void
unclaimed(void *host, struct store_job *job)
{
	struct unclaim *u = host;

	(void)job; /* one that could not be forgotten is harmless, and is at the next start */
	arena_done(&u->arena);
	free(u);
}

static void
unclaim(struct pickups *w, const struct span *names, size_t n)
{
	struct unclaim *u = calloc(1, sizeof(*u));

	if (!u)
		abort();
	u->arena = ARENA_MAX(UNCLAIM_MEMORY);
	struct span *kept = arena_alloc(&u->arena, n * sizeof(*kept));
	for (size_t i = 0; kept && i < n; i++)
		if ((kept[u->job.n] = arena_dup(&u->arena, names[i])).p)
			u->job.n++;
	u->job.job.work = STORE_ORIGINS;
	u->job.job.done = unclaimed;
	u->job.job.host = u;
	u->job.act = ORIGIN_ACT_UNCLAIM;
	u->job.account = SPAN(ORIGIN_CLAIMS);
	u->job.uidls = kept;
	list_init(&u->job.job.link);
	jobs_add(w->in->hub->jobs, &u->job.job);
}

/* Claims whose file is gone, left by a crash between the two. Those of files that are
 * still there must stay. */
static void
forget_old(struct pickups *w)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(UNCLAIM_MEMORY);
	struct span *names = NULL;
	size_t n = 0, cap = 0;
	struct origin_row row;
	AUTO(fd_done) int dir = dir_open(AT_FDCWD, w->work, NULL);

	origin_walk(w->in->hub->reader, SPAN(ORIGIN_CLAIMS));
	while (dir >= 0 && origin_walk_next(w->in->hub->reader, &row)) {
		char *name = arena_str(&arena, row.uidl);

		if (!name || faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		if (n == cap) {
			cap = cap > 0 ? cap * 2 : 64;
			names = realloc(names, cap * sizeof(*names));
			if (!names)
				abort();
		}
		names[n++] = (struct span){ name, row.uidl.n };
	}
	(void)origin_walk_end(w->in->hub->reader, NULL);
	if (n > 0)
		unclaim(w, names, n);
	free(names);
}

/* ---- from the thread ---- */

static void
woken(void *host)
{
	struct pickups *w = host;
	struct span names[PICKUP_SLICE];
	struct picked *removed[PICKUP_SLICE];
	struct list done;
	size_t n = 0, n_names = 0;

	list_init(&done);
	(void)mailbox_take_all(w->from_thread, &done, 0);
	LIST_EACH (link, &done) {
		struct picked *p = LIST_ITEM(link, struct picked, link);

		list_del(link);
		if (p->task == PICKED_MAIL) {
			w->in_hand++;
			submit(w, p);
		} else if (p->task == PICKED_REMOVED) {
			w->in_hand--;
			removed[n++] = p; /* never more than a slice holds */
			if (p->removed)
				names[n_names++] = span_of(p->claim.name);
		} else {
			looked(w, p);
			picked_free(p);
		}
	}
	if (n_names > 0)
		unclaim(w, names, n_names);
	while (n > 0)
		picked_free(removed[--n]);
	slice_over(w);
	jobs_flush(w->in->hub->jobs);
}

/* ---- birth and end ---- */

static uint64_t
next_claim(void *host)
{
	struct pickups *w = host;

	return store_new_id(w->in->hub->store, clock_wall_ms());
}

struct pickups *
pickups_new(struct inbound *in, struct err *err)
{
	struct pickups *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->in = in;
	w->watch_fd = -1;
	w->path = file_path(in->hub->state, "Pickup");
	w->work = file_path(in->hub->state, "run/pickup");
	w->badmail_path = file_path(in->hub->state, "Badmail");
	w->to_thread = mailbox_new();
	w->from_thread = mailbox_new();
	w->bell = loop_wake_new(in->hub->loop, woken, w);
	w->timer = loop_timer_new(in->hub->loop, look_due, w);
	w->badmail = badmail_open(w->badmail_path, 0, 0, err);
	w->intake = intake_open(&(struct intake_options){ .path = w->path,
						.work = w->work,
						.new_id = next_claim,
						.host = w },
			err);
	if (w->badmail && w->intake)
		w->thread = thread_start("pickup", 1024 * 1024, picked_thread, w, err);
	if (!w->thread) {
		pickups_free(w);
		return NULL;
	}
	watch_begin(w);
	return w;
}

void
pickups_start(struct pickups *w)
{
	w->give_up_ms = loop_now_ms(w->in->hub->loop) + ONCE_MS;
	forget_old(w);
	look_in(w, 0);
}

bool
pickups_quiet(const struct pickups *w)
{
	if (w->looking || w->in_hand > 0)
		return false;
	if (w->in->hub->stopping)
		return true;
	/* `once` takes what lies there: each file that is ready, or soon will be. */
	return w->passed && !w->more && (!w->waiting || !in_time(w));
}

void
pickups_leave(struct pickups *w)
{
	__atomic_store_n(&w->leaving, 1, __ATOMIC_RELEASE);
}

void
pickups_stop(struct pickups *w)
{
	if (!w || !w->thread)
		return;
	pickups_leave(w);
	(void)mailbox_post(w->to_thread, &picked_new(PICKED_END)->link);
	thread_join(w->thread);
	w->thread = NULL;
	woken(w);
}

void
pickups_free(struct pickups *w)
{
	struct list left;

	if (!w)
		return;
	pickups_stop(w);
	list_init(&left);
	(void)mailbox_take_all(w->from_thread, &left, 0);
	LIST_EACH (link, &left) {
		list_del(link);
		picked_free(LIST_ITEM(link, struct picked, link));
	}
	loop_watch_free(w->watch);
	fd_done(&w->watch_fd);
	intake_close(w->intake);
	badmail_close(w->badmail);
	loop_timer_free(w->timer);
	loop_wake_free(w->bell);
	mailbox_free(w->to_thread);
	mailbox_free(w->from_thread);
	free(w->path);
	free(w->work);
	free(w->badmail_path);
	free(w);
}
