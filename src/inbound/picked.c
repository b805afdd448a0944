/* picked: the thread of the Pickup folder. It claims files, reads them into messages,
 * writes what is none to Badmail, and removes what is durable. All that blocks on the
 * disk is here; what a message needs of the queue is done by the loop (pickups.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pickups.h"

#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/qid.h"
#include "postern/smtp_path.h"

enum {
	FIRST = 64 * 1024, /* read at first of each file */
	PIECE = 128 * 1024,
};

struct picked *
picked_new(enum picked_task task)
{
	struct picked *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->task = task;
	p->claim.fd = p->spool_fd = -1;
	p->arena = ARENA_MAX(PICKUP_MEMORY);
	p->head = BUF_MAX(PICKUP_HEAD_MAX + PIECE);
	p->body = BUF_MAX(BODY_BLOB_MAX);
	p->gather = BUF_MAX(PIECE);
	heading_init(&p->heading);
	list_init(&p->link);
	return p;
}

void
picked_free(struct picked *p)
{
	fd_done(&p->claim.fd);
	fd_done(&p->spool_fd);
	buf_done(&p->head);
	buf_done(&p->body);
	buf_done(&p->gather);
	heading_done(&p->heading);
	sum_free(p->sum);
	arena_done(&p->arena);
	free(p->hostname);
	free(p);
}

static void
post(struct pickups *w, struct picked *p)
{
	if (mailbox_post(w->from_thread, &p->link))
		loop_wake(w->bell);
}

/* An err without an event is one of that folder. */
static void
say_failed(const char *folder, const struct err *err)
{
	if (err->event != 0)
		log_err(err, (struct span){ NULL, 0 }, (struct span){ NULL, 0 });
	else
		log_event(EVENT_FOLDER_FAULT,
				FIELDS(f_str("path", folder), f_str("err", err->text)));
}

static bool
leaving(struct pickups *w)
{
	return __atomic_load_n(&w->leaving, __ATOMIC_ACQUIRE);
}

/* ---- the head ---- */

static bool
wants_more(struct picked *p, size_t want, struct err *err)
{
	if (want > p->claim.size)
		want = (size_t)p->claim.size;
	size_t n = want - p->head.n;
	char *room = buf_room(&p->head, n);
	ssize_t got = room ? fd_read_at(p->claim.fd, room, n, p->head.n) : -1;

	if (got < 0 || (size_t)got < n)
		return err_set(err, EVENT_PICKUP_UNREADABLE,
				"it became shorter, or cannot be read");
	buf_grown(&p->head, n);
	return true;
}

/* Reads twice as much each time, so that all of it stays linear. False: *err. */
static bool
head_read(struct picked *p, struct span host, enum pickup_step *step, struct err *err)
{
	for (size_t want = FIRST;; want *= 2) {
		if (!wants_more(p, want, err))
			return false;
		arena_done(&p->arena);
		*step = pickup_read(&p->file, &p->arena, buf_span(&p->head),
				p->head.n == p->claim.size, host);
		if (*step != PICKUP_MORE)
			return true;
	}
}

static bool
fits(struct picked *p, struct span address)
{
	struct smtp_path path;

	if (smtp_mailbox_parse(address, &path))
		return true;
	struct buf why = { .p = p->file.why,
		.cap = sizeof(p->file.why),
		.max = sizeof(p->file.why) - 1 };
	(void)!buf_add(&why, SPAN("it names what may not stand in an envelope: "));
	(void)!buf_add(&why, span_first(address, 80));
	why.p[why.n] = '\0';
	return false;
}

static bool
envelope_fits(struct picked *p)
{
	if (p->file.sender.n > 0 && !fits(p, p->file.sender))
		return false;
	for (size_t i = 0; i < p->file.n; i++)
		if (!fits(p, p->file.recipients[i]))
			return false;
	return true;
}

/* ---- the message ---- */

static bool
spool_out(struct picked *p, struct span bytes, struct err *err)
{
	if (!spool_write(p->spool_fd, bytes, &p->spool_size, err))
		return false;
	sum_add(p->sum, bytes);
	return true;
}

static bool
gather_out(struct picked *p, struct err *err)
{
	bool ok = p->gather.n == 0 || spool_out(p, buf_span(&p->gather), err);

	buf_clear(&p->gather);
	return ok;
}

static bool
spool_begin(struct pickups *w, struct picked *p, struct err *err)
{
	p->id = store_new_id(w->in->hub->store, clock_wall_ms());
	p->spool_fd = spool_create(w->in->hub->store, p->id, err);
	if (p->spool_fd < 0)
		return false;
	p->sum = sum_new();
	return spool_out(p, buf_span(&p->body), err);
}

static bool
body_add(struct pickups *w, struct picked *p, struct span piece, struct err *err)
{
	smtp_scan_add(&p->scan, piece);
	trace_hops_feed(&p->hops, piece);
	heading_feed(&p->heading, piece);
	if (p->spool_fd < 0) {
		if (buf_add(&p->body, piece))
			return true;
		if (!spool_begin(w, p, err))
			return false;
	}
	while (piece.n > 0) {
		struct span some = span_first(piece, PIECE - p->gather.n);

		(void)!buf_add(&p->gather, some);
		piece = span_skip(piece, some.n);
		if (p->gather.n == PIECE && !gather_out(p, err))
			return false;
	}
	return true;
}

static bool
body_feed(struct pickups *w, struct picked *p, struct pickup_body *b, struct span in,
		struct err *err)
{
	struct span out;

	while (pickup_body_next(b, &in, &out))
		if (!body_add(w, p, out, err))
			return false;
	return true;
}

static bool
body_read(struct pickups *w, struct picked *p, struct err *err)
{
	struct pickup_body b;
	uint64_t at = p->head.n;

	pickup_body_init(&b, &p->file);
	if (!body_feed(w, p, &b, buf_span(&p->head), err))
		return false;

	AUTO(buf_done) struct buf piece = BUF_MAX(PIECE);
	while (at < p->claim.size) {
		if (leaving(w))
			return err_set(err, 0, "the relay is stopping");
		uint64_t left = p->claim.size - at;
		size_t want = left < PIECE ? (size_t)left : PIECE;
		char *room = buf_room(&piece, want);
		ssize_t got = fd_read_at(p->claim.fd, room, want, at);

		if (got < 0 || (size_t)got < want)
			return err_set(err, EVENT_PICKUP_UNREADABLE,
					"it became shorter, or cannot be read");
		if (!body_feed(w, p, &b, (struct span){ room, want }, err))
			return false;
		at += want;
	}
	if (!body_add(w, p, pickup_body_end(&b), err))
		return false;
	smtp_scan_end(&p->scan);
	return p->spool_fd < 0 || gather_out(p, err);
}

/* ---- what is no message ---- */

static bool
to_badmail(struct pickups *w, struct picked *p, struct err *err)
{
	AUTO(buf_done) struct buf path = BUF_MAX(2 * PIECE);
	const struct span nothing = SPAN("");
	const struct badmail_letter letter = {
		.qid = p->claim.id,
		.reason = BADMAIL_BAD_PICKUP,
		.event = EVENT_PICKUP_UNPARSABLE,
		.time_ms = clock_wall_ms(),
		.steady_ms = store_steady_ms(w->in->hub->store),
		.path = buf_addf(&path, "%s/%s", w->path, p->claim.file)
				? buf_span(&path)
				: (struct span){ "", 0 },
		.body = { .parts = &nothing,
				.n_parts = 1,
				.fd = p->claim.fd,
				.fd_size = p->claim.size },
	};

	return badmail_write(w->badmail, &letter, err);
}

/* ---- a slice ---- */

struct slice {
	struct pickups *w;
	struct picked *look;
	struct list bad; /* in the batch of Badmail */
};

/* What cannot be done now is claimed already, and comes again. */
static void
not_now(struct slice *s, struct picked *p, const struct err *err)
{
	if (err->event == EVENT_PICKUP_UNREADABLE)
		log_event(EVENT_PICKUP_UNREADABLE,
				FIELDS(f_str("file", p->claim.file),
						f_str("err", err->text)));
	else if (!s->look->failed && !leaving(s->w)) /* once for all of a slice */
		say_failed(s->w->badmail_path, err);
	if (p->spool_fd >= 0)
		spool_remove(s->w->in->hub->store, p->id);
	s->look->failed = true;
	picked_free(p);
}

static void
pick_bad(struct slice *s, struct picked *p)
{
	struct err err = { 0 };

	if (!s->look->badmail_enabled) {
		char why[sizeof(p->file.why) + 80];

		(void)snprintf(why, sizeof(why), "%s, and badmail.enabled is false",
				p->file.why);
		intake_put_back(s->w->intake, &p->claim, why);
		picked_free(p);
		return;
	}
	if (to_badmail(s->w, p, &err)) {
		list_add(&s->bad, &p->link);
	} else {
		s->look->badmail_failed++;
		not_now(s, p, &err);
	}
}

static void
pick(struct slice *s, struct picked *p)
{
	struct err err = { 0 };
	enum pickup_step step;

	if (!head_read(p, span_of(s->look->hostname), &step, &err)) {
		not_now(s, p, &err);
		return;
	}
	if (step == PICKUP_BAD || !envelope_fits(p)) {
		pick_bad(s, p);
		return;
	}
	if (!body_read(s->w, p, &err)) {
		not_now(s, p, &err);
		return;
	}
	crash_point("pickup: read");
	buf_done(&p->gather);
	post(s->w, p);
}

static void
bad_done(struct slice *s)
{
	struct err err = { 0 };
	bool ok = badmail_sync(s->w->badmail, &err);
	char id[QID_SIZE];

	crash_point("pickup: in Badmail");
	LIST_EACH (link, &s->bad) {
		struct picked *p = LIST_ITEM(link, struct picked, link);

		list_del(link);
		if (!ok) {
			s->look->badmail_failed++;
			not_now(s, p, &err);
			continue;
		}
		qid_print(p->claim.id, id);
		log_event(EVENT_PICKUP_UNPARSABLE,
				FIELDS(f_str("file", p->claim.file),
						f_str("err", p->file.why),
						f_str("badmail", id)));
		s->look->badmail++;
		(void)intake_remove(s->w->intake, &p->claim);
		picked_free(p);
	}
	if (ok && !intake_sync(s->w->intake, &err))
		say_failed(s->w->path, &err);
}

static void
look(struct pickups *w, struct picked *l)
{
	struct slice s = { .w = w, .look = l };
	struct claim *claims = calloc(PICKUP_SLICE, sizeof(*claims));

	if (!claims)
		abort();
	list_init(&s.bad);
	intake_limit(w->intake, l->max_size);
	if (l->again)
		intake_again(w->intake);
	size_t n = intake_take(w->intake, claims, w->in->hub->share.pickups, &l->look);
	for (size_t i = 0; i < n; i++) {
		struct picked *p = picked_new(PICKED_MAIL);

		p->claim = claims[i];
		if (leaving(w))
			picked_free(p);
		else
			pick(&s, p);
	}
	if (!list_empty(&s.bad))
		bad_done(&s);
	free(claims);
	post(w, l); /* behind the files of its slice */
}

/* ---- the thread ---- */

/* All that were queued meanwhile, with one sync. A file that stays is known by its
 * claim, which therefore stays too. */
static void
remove_queued(struct pickups *w, struct list *queued)
{
	struct err err = { 0 };

	LIST_EACH (link, queued) {
		struct picked *p = LIST_ITEM(link, struct picked, link);

		p->removed = intake_remove(w->intake, &p->claim);
	}
	crash_point("pickup: before sync");
	bool ok = intake_sync(w->intake, &err);
	if (!ok)
		say_failed(w->path, &err);
	crash_point("pickup: removed");
	LIST_EACH (link, queued) {
		struct picked *p = LIST_ITEM(link, struct picked, link);

		list_del(link);
		p->removed = p->removed && ok;
		p->task = PICKED_REMOVED;
		post(w, p);
	}
}

void
picked_thread(void *arg)
{
	struct pickups *w = arg;
	bool end = false;

	while (!end) {
		struct list work, queued;

		list_init(&work);
		list_init(&queued);
		(void)mailbox_take_all(w->to_thread, &work, -1);
		LIST_EACH (link, &work) {
			struct picked *p = LIST_ITEM(link, struct picked, link);

			list_del(link);
			if (p->task == PICKED_QUEUED) {
				list_add(&queued, link);
			} else if (p->task == PICKED_LOOK) {
				look(w, p);
			} else {
				end = true;
				picked_free(p);
			}
		}
		if (!list_empty(&queued))
			remove_queued(w, &queued);
	}
}
