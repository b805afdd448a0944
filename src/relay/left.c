/* left: mail whose domain was taken out of the recipient policies while it was queued (Q12).
 * It would be refused now, so it is not sent on; it waits at a next hop of its own, HOP_LEFT,
 * within the schedule and until it expires, and goes on as soon as a policy has the domain
 * again. Mail of clients that may relay does not depend on policies. */
#include "room.h"

#include "postern/address.h"
#include "postern/clock.h"
#include "postern/log.h"
#include "postern/qid.h"
#include "postern/smtp_path.h"

static bool
ours(const struct relay *r, struct span address)
{
	char canon[ADDRESS_DOMAIN_MAX + 1] = "";
	struct smtp_path path;

	if (!smtp_mailbox_parse(address, &path))
		return false;
	return path.domain.n == 0 ||
			(domain_canon(path.domain, canon) &&
					rcpt_is_ours(r->directory, span_of(canon)));
}

bool
left_waits(const struct relay *r, const struct queue_message *m,
		const struct queue_recipient *to)
{
	/* A list of ours has members elsewhere. */
	return m->flags & MESSAGE_POLICY && !ours(r, to->address) &&
			!(to->asked.n > 0 && ours(r, to->asked));
}

void
left_say(const struct queue_message *m, const struct queue_recipient *to)
{
	char id[QID_SIZE];

	qid_print(m->id, id);
	log_event(5010,
			FIELDS(f_str("id", id), f_span("recipient", to->address),
					f_span("account", m->account)));
}

static void
left_done(void *host, struct store_job *job)
{
	struct relay *r = host;

	r->left_busy = false;
	/* What failed was told by health_job; it is due by its schedule. */
	if (job->result == STORE_DONE && r->left.changed > 0)
		dispatch_refresh(r->dispatch);
	if (r->left_again)
		left_look(r);
}

void
left_look(struct relay *r)
{
	r->left_again = r->left_busy;
	if (r->left_busy)
		return;
	r->left_busy = true;
	r->left = (struct retiming){
		.job = { .work = STORE_RETIME, .done = left_done, .host = r },
		.hop = SPAN(HOP_LEFT),
		.latest_ms = clock_wall_ms()
	};
	list_init(&r->left.job.link);
	jobs_add(r->jobs, &r->left.job);
}
