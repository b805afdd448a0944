/* A provider that confirms deletions and keeps the messages. What is listed again under its
 * unique-id, with its size and its header, is the message that was deleted, so it is deleted
 * once more. After MEMO_ROUNDS sessions of that somebody is told (4014), and from then on such
 * messages are left where they are, by the listing alone; once a day it is tried again. */
#include "postern/clock.h"
#include "postern/date.h"
#include "postern/log.h"
#include "print.h"
#include "session.h"

void
pop_kept_mark(struct pop_session *s)
{
	if (!fetch_memo_leaves_kept(s->poll->memo, clock_wall_ms()))
		return;
	for (size_t i = 0; i < s->listing.n; i++) {
		struct pop_message *m = &s->messages[i];

		m->kept = m->known == POP_SETTLED && m->print != 0 &&
				pop_print_size_is(m->print, m->octets);
		s->kept_left += m->kept;
	}
}

void
pop_kept_judge(struct pop_session *s)
{
	struct fetch_memo *m = s->poll->memo;
	char since[DATE_ISO_SIZE];

	if (s->kept_again == 0) {
		if (s->kept_left == 0)
			m->kept_ms = m->kept_try_ms = m->kept_rounds = 0;
		return;
	}
	m->kept_try_ms = clock_wall_ms();
	if (m->kept_rounds == 0)
		m->kept_ms = m->kept_try_ms;
	if (m->kept_rounds < 1000)
		m->kept_rounds++;
	if (m->kept_rounds != MEMO_ROUNDS)
		return;
	date_iso(m->kept_ms, since);
	log_event(EVENT_DELETIONS_UNDONE,
			FIELDS(f_span("account", s->poll->name),
					f_num("messages", (int64_t)s->kept_again),
					f_str("since", since)));
}
