/* local: the folder thread. It writes Drop, Maildir and Badmail, which block on
 * the disk, in batches with one directory sync for each folder; the loop thread
 * settles what it has written.
 *
 * A lease given to it is read here and written nowhere: results come back in
 * parcels, whose memory is their own. */
#include "local.h"

#include <stdlib.h>
#include <string.h>

#include "drops.h"

#include "postern/badmail.h"
#include "postern/body.h"
#include "postern/clock.h"
#include "postern/evidence.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/maildir.h"
#include "postern/thread.h"

enum {
	BATCH = 256, /* messages written before the folders are synced */
	PARCEL_MEMORY = 16 * 1024 * 1024,
	PATH_BYTES_MAX = 4096,
	PRUNE_MS = 3600 * 1000,
	AGAIN_MS = 60 * 1000, /* Badmail could not be written */
};

enum task { TASK_DELIVER, TASK_PRUNE, TASK_END };

/* One lease on its way through the thread. */
struct parcel {
	struct list link;
	enum task task;
	struct lease *l;
	struct arena arena;
	bool gone; /* the message is settled already */
	bool written; /* in the batch; its sync decides */
	bool deferred;
	bool more; /* is to be pruned */
	uint64_t keep_s, max; /* of badmail, as the configuration is now */
	bool damaged; /* its stored body is, as `harm` says */
	struct err harm;
	struct err err; /* why it is deferred */
	struct err *bounced; /* Maildir: recipients without a place, event 0: fine; or NULL */
	struct drop_at *drop; /* while its batch lasts; or NULL */
};

struct local {
	struct hub *hub;
	struct thread *thread;
	struct mailbox *in, *out;
	struct loop_wake *bell;
	size_t under_way; /* leases */
	bool pruning;
	int64_t pruned_ms; /* monotonic */
	char *badmail_path, *drop_path;

	/* the thread's own */
	struct reader *reader;
	struct drops *drops;
	struct maildir *maildir;
	struct badmail *badmail;
	bool maildir_used, badmail_used;
};

/* ---- on the folder thread ---- */

static bool
reader_ready(struct local *w, struct err *err)
{
	if (!w->reader)
		w->reader = reader_open(w->hub->state, err);
	return w->reader;
}

/* The folder that a lease goes to, as the log names it. */
static const char *
folder_of(const struct local *w, const struct parcel *p)
{
	if (p->l->at->badmail)
		return w->badmail_path;
	return p->l->at->to.path ? p->l->at->to.path : w->drop_path;
}

static bool
write_drop(struct local *w, struct parcel *p, const struct letter_body *body)
{
	const struct queue_message *m = p->l->m;
	struct span *to = arena_alloc(&p->arena, m->n * sizeof(*to));

	if (!to)
		return err_set(&p->err, 0, "too many recipients");
	for (size_t i = 0; i < m->n; i++)
		to[i] = m->recipients[i].address;
	return drops_write(w->drops, folder_of(w, p),
			&(struct letter){ .qid = m->id,
					.sender = m->sender,
					.recipients = to,
					.n_recipients = m->n,
					.steady_ms = store_steady_ms(w->hub->store),
					.body = *body },
			&p->drop, &p->err);
}

static bool
write_maildir(struct local *w, struct parcel *p, const struct letter_body *body)
{
	const struct queue_message *m = p->l->m;
	struct span pattern = span_of(p->l->at->to.path);
	struct buf path = BUF_MAX(PATH_BYTES_MAX);
	bool ok = true;

	p->bounced = arena_alloc(&p->arena, m->n * sizeof(*p->bounced));
	if (!p->bounced)
		return err_set(&p->err, 0, "too many recipients");
	w->maildir_used = true;
	for (size_t i = 0; i < m->n && ok; i++) {
		struct err err = { 0 };

		buf_clear(&path);
		const char *at = maildir_expand(pattern, m->recipients[i].address,
						 &path, &err)
				? buf_cstr(&path)
				: NULL;
		if (!at) { /* no place for such a name: nothing that waiting would mend */
			p->bounced[i] = err;
			p->bounced[i].event = EVENT_FOLDER_MISSING;
			continue;
		}
		ok = maildir_write(w->maildir, at, m->id, m->recipients[i].seq, body,
				&p->err);
	}
	buf_done(&path);
	return ok;
}

static int
event_of(enum badmail_reason reason)
{
	switch ((int)reason) {
	case BADMAIL_RELAY_DENIED:
		return EVENT_RECIPIENT_PROCESSED;
	case BADMAIL_HOP_COUNT:
		return EVENT_HOP_COUNT;
	case BADMAIL_EXPIRED:
		return EVENT_EXPIRED;
	case BADMAIL_LOOP:
		return EVENT_LOOP_STAMP;
	case BADMAIL_UNKNOWN_USER:
	case BADMAIL_GENERAL:
		return EVENT_DELIVERY_REFUSED;
	default:
		return EVENT_BADMAIL;
	}
}

static enum badmail_reason
reason_of(const struct queue_recipient *to)
{
	enum badmail_reason reason;

	return badmail_reason_parse(to->reason, &reason) ? reason : BADMAIL_GENERAL;
}

static void
badmail_row(struct parcel *p, const struct queue_recipient *to,
		struct badmail_recipient *row)
{
	struct buf reply = BUF_MAX(1024);
	struct span status = { to->reply.p, span_find(to->reply, ' ') };

	row->address = to->address;
	row->attempts = to->attempts;
	row->status = status.n >= 5 && status.n < 12 && status.p[1] == '.' ? status
									   : SPAN("");
	if (to->code == 0 ||
			!buf_addf(&reply, "%d " SPAN_FMT, to->code,
					SPAN_ARG(to->reply)))
		row->reply = to->reply;
	else
		row->reply = arena_dup(&p->arena, buf_span(&reply));
	buf_clear(&reply);
	if (p->damaged &&
			!span_starts(to->reply,
					SPAN("5.3.0 the stored body is damaged")) &&
			buf_addf(&reply,
					SPAN_FMT
					" (of the body this is what is left: %s)",
					SPAN_ARG(row->reply), p->harm.text))
		row->reply = arena_dup(&p->arena, buf_span(&reply));
	buf_done(&reply);
}

/* One letter for each reason among the recipients; they join in one item. */
static bool
write_badmail(struct local *w, struct parcel *p, const struct letter_body *body)
{
	const struct queue_message *m = p->l->m;
	struct badmail_recipient *rows = arena_alloc(&p->arena, m->n * sizeof(*rows));

	if (!rows)
		return err_set(&p->err, 0, "too many recipients");
	w->badmail_used = true;
	for (int reason = 0; reason < BADMAIL_REASONS; reason++) {
		size_t n = 0;

		for (size_t i = 0; i < m->n; i++)
			if ((int)reason_of(&m->recipients[i]) == reason)
				badmail_row(p, &m->recipients[i], &rows[n++]);
		if (n == 0)
			continue;
		if (n == 1 && rows[0].address.n == 0)
			n = 0; /* nobody was found: the letter has no recipient */
		const struct badmail_letter letter = {
			.qid = m->id,
			.reason = (enum badmail_reason)reason,
			.event = event_of((enum badmail_reason)reason),
			.time_ms = clock_wall_ms(),
			.steady_ms = store_steady_ms(w->hub->store),
			.sender = m->sender,
			.recipients = rows,
			.n_recipients = n,
			.message_id = m->message_id,
			.account = m->account,
			.uidl = m->uidl,
			.body = *body,
		};
		if (!badmail_write(w->badmail, &letter, &p->err))
			return false;
	}
	return true;
}

static bool
in_badmail(const struct parcel *p)
{
	return p->l->at->badmail;
}

static bool
body_write(struct local *w, struct parcel *p, const struct body *b)
{
	struct body_lay lay = body_lay(b);
	const struct letter_body body = { .parts = &lay.held,
		.n_parts = 1,
		.fd = lay.fd,
		.fd_size = lay.fd >= 0 ? lay.fd_size : 0,
		.fd_sum = lay.fd_sum };

	if (in_badmail(p))
		return write_badmail(w, p, &body);
	if (p->l->at->to.kind == NEXTHOP_MAILDIR)
		return write_maildir(w, p, &body);
	return write_drop(w, p, &body);
}

/* Badmail takes what is left of it. */
static bool
left_write(struct local *w, struct parcel *p)
{
	p->err = (struct err){ 0 };
	struct body *b = body_open_left(w->reader, p->l->m->id, &p->err);
	bool ok = b && body_write(w, p, b);

	body_close(b);
	return ok;
}

static void
parcel_write(struct local *w, struct parcel *p)
{
	struct body *b = reader_ready(w, &p->err)
			? body_find(w->reader, p->l->m->id, &p->gone, &p->err)
			: NULL;
	bool ok = b && body_write(w, p, b);

	body_close(b);
	p->damaged = !ok && p->err.event == EVENT_BODY_DAMAGED;
	if (p->damaged) {
		p->harm = p->err;
		ok = in_badmail(p) && left_write(w, p);
	}
	p->written = ok;
	p->deferred = !ok && !p->gone && (!p->damaged || in_badmail(p));
}

static bool
in_maildir(const struct parcel *p)
{
	return p->l->at->to.kind == NEXTHOP_MAILDIR;
}

static void
not_synced(struct list *batch, bool (*those)(const struct parcel *),
		const struct err *err)
{
	LIST_EACH (link, batch) {
		struct parcel *p = LIST_ITEM(link, struct parcel, link);

		if (!p->written || !those(p))
			continue;
		p->deferred = true;
		p->err = *err;
	}
}

static void
drops_not_synced(struct list *batch)
{
	LIST_EACH (link, batch) {
		struct parcel *p = LIST_ITEM(link, struct parcel, link);
		const struct err *err =
				p->written && p->drop ? drop_at_failed(p->drop) : NULL;

		if (err) {
			p->deferred = true;
			p->err = *err;
		}
	}
}

/* What a folder could not take, once for each folder of the batch. An err with an event
 * of its own speaks of the message. */
static void
say_untaken(const struct local *w, struct list *batch)
{
	struct untaken {
		const char *folder, *why;
		int64_t n;
	} all[BATCH];
	size_t n = 0;

	LIST_EACH (link, batch) {
		const struct parcel *p = LIST_ITEM(link, struct parcel, link);
		size_t i = 0;

		if (!p->deferred || p->err.event != 0)
			continue;
		const char *folder = folder_of(w, p);
		while (i < n && strcmp(all[i].folder, folder) != 0)
			i++;
		if (i == n)
			all[n++] = (struct untaken){ folder, p->err.text, 0 };
		all[i].n++;
	}
	for (size_t i = 0; i < n; i++)
		log_event(EVENT_FOLDER_UNWRITABLE,
				FIELDS(f_str("path", all[i].folder),
						f_str("err", all[i].why),
						f_num("count", all[i].n)));
}

/* One sync for each folder that was written to; what it fails for is not there. */
static void
batch_sync(struct local *w, struct list *batch)
{
	struct err err = { 0 };

	drops_sync(w->drops);
	drops_not_synced(batch);
	drops_end(w->drops);
	if (w->maildir_used && !maildir_sync(w->maildir, &err))
		not_synced(batch, in_maildir, &err);
	if (w->badmail_used && !badmail_sync(w->badmail, &err))
		not_synced(batch, in_badmail, &err);
	w->maildir_used = w->badmail_used = false;
	say_untaken(w, batch);
}

static void
batch_post(struct local *w, struct list *batch)
{
	bool ring = false;

	LIST_EACH (link, batch) {
		list_del(link);
		ring |= mailbox_post(w->out, link);
	}
	if (ring)
		loop_wake(w->bell);
}

static void
prune(struct local *w, struct parcel *p)
{
	int64_t now = store_steady_ms(w->hub->store);
	const struct evidence_limits limits = {
		.steady_ms = now, .keep_s = p->keep_s, .most = EVIDENCE_MOST
	};
	bool more = false;

	badmail_limits(w->badmail, p->keep_s, p->max);
	if (!badmail_prune(w->badmail, now, &p->more, &p->err))
		log_event(EVENT_FOLDER_FAULT,
				FIELDS(f_str("path", w->badmail_path),
						f_str("err", p->err.text)));
	if (!evidence_prune(w->hub->state, &limits, &more, &p->err))
		log_event(EVENT_FOLDER_FAULT,
				FIELDS(f_str("path", "evidence"),
						f_str("err", p->err.text)));
	p->more |= more;
}

static void
folder_thread(void *arg)
{
	struct local *w = arg;
	bool end = false;

	while (!end) {
		struct list work, batch;
		size_t n = 0;

		list_init(&work);
		list_init(&batch);
		(void)mailbox_take_all(w->in, &work, -1);
		LIST_EACH (link, &work) {
			struct parcel *p = LIST_ITEM(link, struct parcel, link);

			list_del(link);
			list_add(&batch, link);
			if (p->task == TASK_DELIVER)
				parcel_write(w, p);
			else if (p->task == TASK_PRUNE)
				prune(w, p);
			else
				end = true;
			if (++n % BATCH == 0) {
				batch_sync(w, &batch);
				batch_post(w, &batch);
			}
		}
		batch_sync(w, &batch);
		batch_post(w, &batch);
	}
	reader_close(w->reader);
	w->reader = NULL;
}

/* ---- on the loop thread ---- */

static void
task_post(struct local *w, enum task task, struct lease *l)
{
	const struct conf_badmail *c = &w->hub->conf->badmail;
	struct parcel *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->task = task;
	p->l = l;
	p->keep_s = c->keep_s > 0 ? (uint64_t)c->keep_s : 0;
	p->max = c->max;
	p->arena = ARENA_MAX(PARCEL_MEMORY);
	list_init(&p->link);
	(void)mailbox_post(w->in, &p->link);
}

static void
parcel_back(struct local *w, struct parcel *p)
{
	struct lease *l = p->l;
	struct verdict v = { 0 };

	if (p->gone) {
		settle_forget(l);
		return;
	}
	if (p->deferred && p->err.event != 0) /* else its folder was named already */
		log_err(&p->err, l->m->account, (struct span){ NULL, 0 });
	if (p->damaged)
		v = settle_damage(l, p->harm.text);
	if (l->at->badmail) {
		w->hub->sum.badmail_failed += p->deferred;
		settle_badmail(l, !p->deferred, AGAIN_MS);
		settle_lease(l);
		return;
	}
	l->attempted = true;
	l->host = l->at->key;
	for (size_t i = 0; p->bounced && !p->deferred && i < l->m->n; i++) {
		if (p->bounced[i].event == 0)
			continue;
		v = verdict_make(FATE_BOUNCED, 0, "5.1.3", "%s", p->bounced[i].text);
		settle_verdict(l, i, &v);
	}
	if (p->deferred)
		v = verdict_make(FATE_DEFERRED, 0, "4.3.0", "%s", p->err.text);
	else if (!p->damaged)
		v = verdict_make(FATE_DELIVERED, 0, "2.0.0", "written");
	settle_all(l, &v);
	settle_lease(l);
}

/* The rest comes at the next tick, or with the next run. */
static void
pruned(struct local *w, bool more)
{
	w->pruning = false;
	if (more)
		w->pruned_ms = loop_now_ms(w->hub->loop) - PRUNE_MS;
}

static void
woken(void *host)
{
	struct local *w = host;
	struct list done;

	list_init(&done);
	(void)mailbox_take_all(w->out, &done, 0);
	LIST_EACH (link, &done) {
		struct parcel *p = LIST_ITEM(link, struct parcel, link);

		list_del(link);
		if (p->task == TASK_DELIVER) {
			w->under_way--;
			parcel_back(w, p);
		} else if (p->task == TASK_PRUNE) {
			pruned(w, p->more);
		}
		arena_done(&p->arena);
		free(p);
	}
	jobs_flush(w->hub->jobs);
	pulse_look(&w->hub->pulse);
}

struct local *
local_new(struct hub *hub, struct err *err)
{
	struct local *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->hub = hub;
	w->badmail_path = file_path(hub->state, "Badmail");
	w->drop_path = file_path(hub->state, "Drop");
	w->pruned_ms = loop_now_ms(hub->loop); /* never in the first hour */
	w->in = mailbox_new();
	w->out = mailbox_new();
	w->bell = loop_wake_new(hub->loop, woken, w);
	w->drops = drops_new(hub->share.drops);
	w->maildir = maildir_new(hub->share.maildirs);
	w->badmail = badmail_open(w->badmail_path, 0, 0, err);
	if (w->badmail)
		w->thread = thread_start("folders", 1024 * 1024, folder_thread, w, err);
	if (!w->thread) {
		local_free(w);
		return NULL;
	}
	return w;
}

void
local_free(struct local *w)
{
	if (!w)
		return;
	if (w->thread) {
		task_post(w, TASK_END, NULL);
		thread_join(w->thread);
		woken(w);
	}
	drops_free(w->drops);
	maildir_free(w->maildir);
	badmail_close(w->badmail);
	loop_wake_free(w->bell);
	mailbox_free(w->in);
	mailbox_free(w->out);
	free(w->badmail_path);
	free(w->drop_path);
	free(w);
}

void
local_deliver(struct local *w, struct list *leases)
{
	LIST_EACH (link, leases) {
		list_del(link);
		w->under_way++;
		task_post(w, TASK_DELIVER, LIST_ITEM(link, struct lease, link));
	}
}

bool
local_quiet(const struct local *w)
{
	return w->under_way == 0 && !w->pruning;
}

void
local_tidy(struct local *w)
{
	if (w->pruning)
		return;
	w->pruning = true;
	w->pruned_ms = loop_now_ms(w->hub->loop);
	task_post(w, TASK_PRUNE, NULL);
}

void
local_tick(struct local *w)
{
	if (!w->hub->once && loop_now_ms(w->hub->loop) - w->pruned_ms >= PRUNE_MS)
		local_tidy(w);
}
