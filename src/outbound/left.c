/* left: mail whose domain was taken out of the recipient policies while it was queued (Q12).
 * It would be refused now, so it is not sent on; it waits at a next hop of its own, HOP_LEFT,
 * within the schedule and until it expires, and goes on as soon as a policy has the domain
 * again. Mail of clients that may relay does not depend on policies. */
#include "left.h"

#include "postern/address.h"
#include "postern/clock.h"
#include "postern/log.h"
#include "postern/qid.h"
#include "postern/smtp_path.h"

static bool
ours(const struct hub *hub, struct span address)
{
	char canon[ADDRESS_DOMAIN_MAX + 1] = "";
	struct smtp_path path;

	if (!smtp_mailbox_parse(address, &path))
		return false;
	return path.domain.n == 0 ||
			(domain_canon(path.domain, canon) &&
					rcpt_is_ours(hub->directory, span_of(canon)));
}

bool
left_waits(const struct hub *hub, const struct queue_message *m,
		const struct queue_recipient *to)
{
	/* A list of ours has members elsewhere. */
	return m->flags & MESSAGE_POLICY && !ours(hub, to->address) &&
			!(to->asked.n > 0 && ours(hub, to->asked));
}

void
left_say(const struct queue_message *m, const struct queue_recipient *to)
{
	char id[QID_SIZE];

	qid_print(m->id, id);
	log_event(EVENT_DOMAIN_LEFT,
			FIELDS(f_str("id", id), f_span("recipient", to->address),
					f_span("account", m->account)));
}
