/* health: what the state of the store means to the relay.
 *
 * A full disk and a lock pass: what cannot be recorded waits, nothing is attempted twice,
 * and mail that comes is put off. A disk that fails, or a database that is damaged, is
 * opened anew by a new process when it goes on; one whose files were taken away, at once. */
#include "room.h"

#include "postern/file.h"
#include "postern/log.h"

enum {
	BROKEN_MAX = 5, /* groups in a row */
	/* How long `once` waits, since whoever called it waits too. */
	ONCE_LOCKED_MS = 60 * 1000,
	ONCE_MS = 10 * 1000,
	/* Trouble that comes and goes is told so often at most. */
	TELL_AGAIN_MS = 10 * 1000,
};

static void
begin(struct relay *r, enum store_trouble trouble, const struct err *e)
{
	int64_t now = loop_now_ms(r->hub.loop);

	if (trouble == r->trouble)
		return;
	if (r->trouble == STORE_SOUND)
		r->trouble_since_ms = now;
	r->trouble = trouble;
	if (trouble == r->trouble_told && now - r->trouble_told_ms < TELL_AGAIN_MS)
		return;
	r->trouble_told = trouble;
	r->trouble_told_ms = now;
	if (!r->has_failed) /* else the end of the role says it */
		log_err(e, (struct span){ NULL, 0 }, (struct span){ NULL, 0 });
}

void
health_space(struct relay *r)
{
	uint64_t left = 0, total;
	bool low = store_space_look(r->hub.store);

	if (low == r->space_low)
		return;
	r->space_low = low;
	(void)file_space(r->hub.state, &left, &total, NULL);
	log_event(low ? EVENT_DISK_LOW : EVENT_DISK_OK,
			FIELDS(f_str("path", r->hub.state),
					f_num("free", (int64_t)left)));
}

/* True when mail was put off since the disk is below its floor, which 6004 tells. A disk that
 * has room and takes nothing even so (a quota, a reserve) is trouble as any other. */
static bool
told_as_low(struct relay *r, const struct store_job *job)
{
	if (job->trouble != STORE_DISK_FULL || job->work != STORE_SUBMIT)
		return false;
	health_space(r);
	return r->space_low;
}

void
health_job(struct relay *r, const struct store_job *job)
{
	if (job->result == STORE_DONE || job->result == STORE_HAD)
		return;
	if (job->trouble == STORE_SOUND)
		log_err(&job->err, (struct span){ NULL, 0 }, (struct span){ NULL, 0 });
	else if (!told_as_low(r, job))
		begin(r, job->trouble, &job->err);
}

void
health_look(struct relay *r)
{
	const struct store_health h = store_health(r->hub.store);

	if (h.trouble == STORE_SOUND) {
		r->trouble = STORE_SOUND;
		return;
	}
	begin(r, h.trouble, &h.err);

	int64_t waited_ms = loop_now_ms(r->hub.loop) - r->trouble_since_ms;
	int64_t most_ms = h.trouble == STORE_LOCKED ? ONCE_LOCKED_MS : ONCE_MS;
	if (h.over || h.broken >= BROKEN_MAX ||
			(r->hub.once && outbound_unsettled(r->outbound) &&
					waited_ms > most_ms))
		pulse_fail(&r->hub.pulse, &h.err);
}
