/* group: jobs that share a transaction and its sync; where one is at fault, it alone fails. */
#include <string.h>

#include "postern/crash.h"
#include "postern/thread.h"
#include "state.h"

static bool
job_do(struct store *s, struct store_job *job)
{
	switch (job->work) {
	case STORE_SUBMIT:
		return submit_do(s, LIST_ITEM(job, struct submission, job), &job->err);
	case STORE_SETTLE:
		return settle_do(s, LIST_ITEM(job, struct settlement, job), &job->err);
	case STORE_DIGEST:
		return digest_do(s, LIST_ITEM(job, struct notice_digest, job),
				&job->err);
	case STORE_PRUNE:
		return prune_do(s, LIST_ITEM(job, struct pruning, job), &job->err);
	case STORE_RETIME:
		return retime_do(s, LIST_ITEM(job, struct retiming, job), &job->err);
	case STORE_ORIGINS:
	case STORE_POLLED:
		break;
	}
	return origins_do(s, job, &job->err);
}

/* The same so that its failure undoes only itself. */
static bool
job_do_alone(struct store *s, struct store_job *job)
{
	if (!transaction_word(s, SQL_SAVEPOINT, "savepoint", &job->err))
		return false;
	size_t removed = s->removed.n;
	if (job_do(s, job))
		return transaction_word(s, SQL_RELEASE, "savepoint", &job->err);
	if (db_trouble(s->self.db.rc) != STORE_SOUND)
		return false;
	s->removed.n = removed;
	names_forget(&s->accounts);
	names_forget(&s->hops);
	job->decided = true;
	job->result = STORE_FAILED;
	job->err.event = job->err.event ? job->err.event : EVENT_DATABASE_TROUBLE;
	return transaction_word(s, SQL_ROLLBACK_TO, "savepoint", &job->err) &&
			transaction_word(s, SQL_RELEASE, "savepoint", &job->err);
}

/* A commit failed on the disk: the log may hold it whole even so, and whoever reads it
 * from the start (the next service) finds it done. Its spool files must stay then. */
static void
doubt(struct store *s, struct list *jobs)
{
	if (!transaction_distrusts(db_trouble(s->self.db.rc)))
		return;
	LIST_EACH (at, jobs) {
		const struct submission *sub =
				LIST_ITEM(at, struct submission, job.link);
		if (sub->job.work == STORE_SUBMIT && !sub->job.decided &&
				sub->spool_fd >= 0)
			spool_doubt(s, sub->id);
	}
}

/* All jobs that are not decided, in one transaction. False: rolled back, db.rc and
 * *e say why. */
static bool
transaction(struct store *s, struct list *jobs, bool alone, struct err *e)
{
	bool arriving = false;
	if (!transaction_begin(s, e))
		return false;
	LIST_EACH (at, jobs) {
		struct store_job *job = LIST_ITEM(at, struct store_job, link);
		if (job->decided)
			continue;
		job->result = STORE_DONE;
		arriving |= job->work == STORE_SUBMIT;
		if (!(alone ? job_do_alone(s, job) : job_do(s, job))) {
			*e = job->err;
			transaction_undo(s);
			return false;
		}
	}
	if (transaction_commit(s, arriving, e))
		return true;
	doubt(s, jobs);
	transaction_undo(s);
	return false;
}

static size_t
undecided(struct list *jobs)
{
	size_t n = 0;
	LIST_EACH (at, jobs)
		n += !LIST_ITEM(at, struct store_job, link)->decided;
	return n;
}

static void
decide(struct list *jobs, bool submissions_only, enum store_trouble t,
		const struct err *e)
{
	const enum store_result result = t == STORE_DISK_FULL ? STORE_FULL
			: t == STORE_LOCKED		      ? STORE_BUSY
							      : STORE_FAILED;
	LIST_EACH (at, jobs) {
		struct store_job *job = LIST_ITEM(at, struct store_job, link);
		if (job->decided || (submissions_only && job->work != STORE_SUBMIT))
			continue;
		job->decided = true;
		job->result = result;
		job->trouble = t;
		job->err = *e;
		job->err.event = e->event ? e->event : EVENT_DATABASE_TROUBLE;
	}
}

static void
ended(struct store *s, enum store_trouble t, const struct err *e)
{
	if (t == STORE_DAMAGED && s->service)
		place_suspect(s->dir);
	if (transaction_distrusts(t))
		transaction_reopen(s);
	transaction_feel(s, t, e);
}

/* Spool files that nobody needs now. After a failed disk a file may yet belong to a
 * commit that turns out to be whole when the log is read again: it is left to the
 * sweep. */
static void
files_removed(struct store *s)
{
	if (s->removed.n > 0)
		crash_point("store: body removed, before unlink");
	for (size_t i = 0; i < s->removed.n; i += sizeof(uint64_t)) {
		uint64_t id;
		memcpy(&id, s->removed.p + i, sizeof id);
		spool_unlink(s, id);
	}
	buf_clear(&s->removed);
}

/* On a full disk what is settled needs the log anew: it is written back first, so that it can
 * begin again, and each job is a transaction of its own, as small as can be. False: some are
 * not decided, db.rc and *e say why. */
static bool
one_by_one(struct store *s, struct list *jobs, struct err *e)
{
	bool good = true;
	struct list all, one;
	list_init(&all);
	list_init(&one);
	LIST_EACH (at, jobs) {
		struct store_job *job = LIST_ITEM(at, struct store_job, link);
		list_del(at);
		if (good && !job->decided) {
			list_add(&one, at);
			good = transaction_ready(s, e);
			if (good)
				space_write_back(s);
			good = good && transaction(s, &one, true, e);
			job->decided = job->decided || good;
			list_del(at);
			files_removed(s);
		}
		list_add(&all, at);
	}
	LIST_EACH (at, &all) {
		list_del(at);
		list_add(jobs, at);
	}
	return good;
}

/* One transaction, and where a job is at fault, a second one that leaves it out. */
static void
transact(struct store *s, struct list *jobs)
{
	struct err e = { 0 };
	enum store_trouble t = STORE_SOUND;
	bool done = transaction(s, jobs, false, &e);
	if (!done) {
		t = db_trouble(s->self.db.rc);
		if (t == STORE_DISK_FULL) { /* deliveries go on: they make room */
			decide(jobs, true, t, &e);
			atomic_store(&s->low, true);
		} else if (t != STORE_SOUND) {
			decide(jobs, false, t, &e);
		}
		done = undecided(jobs) > 0 && transaction(s, jobs, true, &e);
		if (!done && undecided(jobs) > 0 &&
				db_trouble(s->self.db.rc) == STORE_DISK_FULL)
			done = one_by_one(s, jobs, &e);
	}
	if (!done && undecided(jobs) > 0) {
		t = db_trouble(s->self.db.rc);
		decide(jobs, false, t, &e);
	}
	ended(s, done ? STORE_SOUND : t, &e);
}

static void
files_after(struct store *s, struct list *jobs)
{
	files_removed(s);
	LIST_EACH (at, jobs) {
		const struct submission *sub =
				LIST_ITEM(at, struct submission, job.link);
		if (sub->job.work == STORE_SUBMIT && sub->spool_fd >= 0 &&
				(sub->job.result == STORE_HAD ||
						sub->job.result == STORE_FULL))
			spool_unlink(s, sub->id);
		const struct pruning *p = LIST_ITEM(at, struct pruning, job.link);
		uint64_t swept = 0;
		if (p->job.work == STORE_PRUNE && p->job.result == STORE_DONE &&
				!p->more)
			(void)spool_sweep(
					s, false, &swept, NULL); /* comes round again */
	}
}

static void
count(struct store *s, struct list *jobs)
{
	uint64_t n[STORE_FAILED + 1] = { 0 }, submitted = 0, all = 0;
	LIST_EACH (at, jobs) {
		const struct store_job *job = LIST_ITEM(at, struct store_job, link);
		n[job->result]++;
		all++;
		submitted += job->work == STORE_SUBMIT && job->result == STORE_DONE;
	}
	atomic_fetch_add(&s->groups, n[STORE_DONE] > 0);
	atomic_fetch_add(&s->jobs, all);
	atomic_fetch_add(&s->submitted, submitted);
	atomic_fetch_add(&s->had, n[STORE_HAD]);
	atomic_fetch_add(&s->failed, n[STORE_FULL] + n[STORE_BUSY] + n[STORE_FAILED]);
}

uint64_t
group_octets(struct store_job *job)
{
	const struct submission *sub = LIST_ITEM(job, struct submission, job);
	return job->work == STORE_SUBMIT
			? sub->body.n + sub->top.n + sub->route.n + 100 * sub->n
			: 0;
}

/* False: new mail finds no room, or would take what settling needs. */
static bool
room_for(struct store *s, struct list *jobs)
{
	uint64_t octets = 0;
	size_t n = 0;
	LIST_EACH (at, jobs) {
		struct store_job *job = LIST_ITEM(at, struct store_job, link);
		octets += group_octets(job);
		n += job->work == STORE_SUBMIT;
	}
	return n == 0 || (!store_space_look(s) && space_for_group(s, octets, n));
}

/* The look at the files comes first: a log that was taken away is neither full nor to be
 * allocated. */
static void
run(struct store *s, struct list *jobs)
{
	static const struct err low = { .text = "the disk is nearly full" };
	struct err e = { 0 };
	if (!transaction_ready(s, &e)) {
		enum store_trouble t = db_trouble(s->self.db.rc);
		decide(jobs, false, t, &e);
		ended(s, t, &e);
		return;
	}
	if (!room_for(s, jobs))
		decide(jobs, true, STORE_DISK_FULL, &low);
	if (!spool_sync(s, jobs, &e))
		transaction_feel(s, STORE_DISK_FAILS, &e);
	if (undecided(jobs) > 0)
		transact(s, jobs);
}

void
group_run(struct store *s, struct list *jobs)
{
	LIST_EACH (at, jobs) {
		struct store_job *job = LIST_ITEM(at, struct store_job, link);
		job->result = STORE_DONE;
		job->err = (struct err){ 0 };
		job->trouble = STORE_SOUND;
		job->decided = false;
		if (job->work != STORE_SUBMIT)
			continue;
		if (!submit_check(LIST_ITEM(job, struct submission, job), &job->err)) {
			job->decided = true;
			job->result = STORE_FAILED;
		}
	}
	if (undecided(jobs) > 0)
		run(s, jobs);
	files_after(s, jobs);
	count(s, jobs);
}

void
store_run(struct store *s, struct list *jobs)
{
	group_run(s, jobs);
	(void)space_tidy(s);
}
