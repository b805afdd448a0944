/* A new account whose first messages all come to nobody is mistaken about its domains, its
 * recipients or its provider's habits: everything else there would go the same way, into
 * Badmail or to the postmaster. So after MEMO_FIRST of them it is held (4018), and nothing
 * that this session brought is deleted, until somebody says `accounts resume`. A global
 * account is held from the start while no policy domain exists. */
#include "postern/accountstore.h"
#include "postern/event.h"
#include "postern/log.h"
#include "postern/policy.h"
#include "session.h"

/* Logs the hold when it begins; gives false to return. */
static bool
hold(struct pop_session *s, uint64_t n, const char *why, bool told)
{
	const struct field fields[] = {
		f_span("account", s->poll->name),
		f_span("id", s->poll->name),
		f_num("messages", (int64_t)n),
		f_str("why", why),
		{ 0 },
	};
	AUTO(buf_done) struct buf words = BUF_MAX(1024);
	const char *text;

	if (!told)
		log_event(EVENT_FIRST_REACH_NOBODY, fields);
	if (log_words(&words, EVENT_FIRST_REACH_NOBODY, fields) &&
			(text = buf_cstr(&words)))
		(void)pop_fail(s, EVENT_FIRST_REACH_NOBODY, "%s", text);
	return false;
}

static const char *
why_nobody(const struct fetch_memo *m)
{
	switch (m->nobody_why) {
	case MEMO_NOBODY_REFUSED:
		return "the policies refused every recipient";
	case MEMO_NOBODY_FOUND:
		return "no recipient was found in any of them";
	default:
		return "no recipient was found, or the policies refused every one";
	}
}

/* Did somebody say that it goes on? */
static bool
resumed(struct pop_session *s)
{
	struct fetch_memo *m = s->poll->memo;
	struct err err = { 0 };
	uint64_t times;

	if (!accountstore_resumed(s->poll->reader, s->poll->name, &times, &err)) {
		log_err(&err, s->poll->name, SPAN(""));
		return false;
	}
	if (times < m->held_at)
		return false;
	m->held_at = 0;
	m->newcomer = false;
	return true;
}

/* More is known here than was counted: sessions that were killed brought it, to whom is not
 * remembered. That is no account of which the first messages came to nobody. */
static bool
has_a_past(const struct pop_session *s)
{
	return s->listing.n - s->known.unknown > s->poll->memo->nobody;
}

bool
pop_newcomer_pass(struct pop_session *s)
{
	struct fetch_memo *m = s->poll->memo;
	bool told = m->domainless;

	/* No state yet: nothing to go by. */
	if (!s->poll->reader || !s->poll->directory) {
		m->newcomer = false;
		return true;
	}
	m->newcomer = m->newcomer && !has_a_past(s);
	if (m->held_at > 0 && !resumed(s))
		return hold(s, m->nobody, why_nobody(m), true);
	m->domainless = s->poll->account->type == CONF_GLOBAL && s->known.unknown > 0 &&
			policy_size(directory_policies(s->poll->directory)) == 0;
	return !m->domainless ||
			hold(s, s->known.unknown, "no policy domain exists", told);
}

size_t
pop_newcomer_more(const struct pop_session *s)
{
	const struct fetch_memo *m = s->poll->memo;

	if (!m->newcomer)
		return SIZE_MAX;
	return m->nobody < MEMO_FIRST ? MEMO_FIRST - m->nobody : 0;
}

void
pop_newcomer_count(struct pop_session *s, const struct fetch_flight *f)
{
	struct fetch_memo *m = s->poll->memo;
	bool unrouted = f->collect.badmail.n + f->collect.hold.n +
					f->collect.fallback.n >
			0;

	if (!m->newcomer)
		return;
	if (unrouted ? s->poll->account->unrouted_fixed : f->accepted > 0) {
		m->newcomer = false;
		return;
	}
	m->nobody++;
	m->nobody_why |= unrouted ? MEMO_NOBODY_FOUND : MEMO_NOBODY_REFUSED;
}

bool
pop_newcomer_judge(struct pop_session *s)
{
	struct fetch_memo *m = s->poll->memo;
	struct err err = { 0 };
	uint64_t times;

	if (pop_newcomer_more(s) > 0)
		return true;
	if (!accountstore_resumed(s->poll->reader, s->poll->name, &times, &err))
		return pop_fail(s, err.event, "%s", err.text);
	m->held_at = times + 1;
	return hold(s, m->nobody, why_nobody(m), false);
}
