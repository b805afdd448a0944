/* The fast way in. Where the last session with the same server, user and password
 * went well and CAPA had PIPELINING, nothing is asked that is known: USER, PASS, LIST
 * and UIDL go out together, behind the greeting (RFC 2449 section 6.6). Not after a
 * refusal, a change of password or an odd answer: the stray commands behind a failed
 * PASS look like an attack. What CAPA said counts for a day.
 *
 * Some servers lose what stands behind PASS in the same packet, since another program
 * takes over there (Courier, Perdition); others do not bear it at all. So the answer to
 * LIST is waited for for a few round trips only, and a flight that failed where the slow
 * way works is not tried again for weeks. */
#include <stdio.h>

#include "postern/clock.h"
#include "postern/secret_read.h"
#include "session.h"

enum {
	DAY_MS = 24 * 3600 * 1000,
	PASSWORD_ROOM = 64 * 1024,
	FLIGHT_QUOTA = 64 * 1024,
	TRIPS = 4, /* for so many the answer to LIST is waited for, within these: */
	LIST_LEAST_MS = 500,
	LIST_MOST_MS = 10000,
};

unsigned
pop_check(const struct pop_session *s, struct span password)
{
	const struct conf_account *a = s->poll->account;
	const struct span parts[] = { span_of(a->server.name), SPAN("\n"),
		span_of(a->user), SPAN("\n"), password };

	return fetch_memo_check(parts, sizeof(parts) / sizeof(parts[0]));
}

unsigned
pop_server_check(const struct pop_session *s)
{
	const struct conf_account *a = s->poll->account;
	char port[24];

	(void)snprintf(port, sizeof(port), ":%u", (unsigned)a->server.port);
	const struct span parts[] = { span_of(a->server.name), span_of(port) };
	return fetch_memo_check(parts, 2);
}

bool
pop_fast(const struct pop_session *s)
{
	const struct conf_account *a = s->poll->account;
	const struct fetch_memo *m = s->poll->memo;
	const unsigned want = MEMO_PIPELINING | MEMO_EARLY | MEMO_USER | MEMO_UIDL;
	int64_t now_ms = clock_wall_ms(), age = now_ms - m->heard_ms;

	return m->proven && (m->caps & want) == want && age >= 0 && age < DAY_MS &&
			!fetch_memo_alone(m, now_ms) &&
			!fetch_memo_grounded(m, now_ms) && !s->poll->look_only &&
			a->password.kind != SECRET_NONE &&
			(a->auth == CONF_AUTH_AUTO || a->auth == CONF_AUTH_USER);
}

void
pop_fast_caps(struct pop_session *s)
{
	unsigned caps = s->poll->memo->caps;

	s->caps = (struct pop_caps){
		.pipelining = caps & MEMO_PIPELINING,
		.uidl = caps & MEMO_UIDL,
		.top = caps & MEMO_TOP,
		.user = caps & MEMO_USER,
		.sdps = caps & MEMO_SDPS,
		.utf8 = caps & MEMO_UTF8,
		.login_delay_s = s->poll->memo->login_delay_s,
	};
	s->poll->login_delay_s = s->caps.login_delay_s;
}

/* All commands in one write. */
static bool
fly(struct pop_session *s, struct span password)
{
	bool ok = (!s->caps.utf8 || pop_command(s, "UTF8\r\n")) &&
			pop_user_pass_write(s, password) &&
			pop_command(s, "LIST\r\n") && pop_command(s, "UIDL\r\n") &&
			pop_flush_secret(s);
	int64_t began_ms = clock_mono_ms();

	s->listing_asked = true;
	ok = ok && (!s->caps.utf8 || pop_pass_over(s)) &&
			pop_user_pass_read(s, password);
	s->trip_ms = clock_mono_ms() - began_ms;
	return ok && pop_user_pass_read(s, password);
}

/* Refused for now, which has nothing to do with how we came. */
static bool
busy(const struct pop_session *s)
{
	return s->err.event == EVENT_CONNECT_ACCOUNT_FAILED ||
			s->err.event == EVENT_MAILBOX_IN_USE;
}

bool
pop_fast_logon(struct pop_session *s, bool *changed)
{
	struct buf password = BUF_MAX(PASSWORD_ROOM);
	bool ok = pop_password(s, &password);

	s->check = ok ? pop_check(s, buf_span(&password)) : 0;
	*changed = ok && s->check != s->poll->memo->check;
	if (ok && !*changed) {
		s->low.quota = FLIGHT_QUOTA;
		/* Until this session went well, too. */
		s->poll->memo->proven = false;
		s->poll->memo->flights_lost++;
		ok = fly(s, buf_span(&password));
		if (!ok && busy(s))
			s->poll->memo->flights_lost--;
	}
	secret_done(&password);
	return ok;
}

static void
ground(struct fetch_memo *m)
{
	m->grounded_until_ms = clock_wall_ms() + MEMO_HABIT_MS;
	m->flights_lost = 0;
}

static int64_t
patience(const struct pop_session *s)
{
	int64_t ms = TRIPS * s->trip_ms;

	if (ms < LIST_LEAST_MS)
		return LIST_LEAST_MS;
	return ms < LIST_MOST_MS ? ms : LIST_MOST_MS;
}

/* The probe is a question whose answer is -ERR, so it cannot be taken for that to LIST:
 * a message that no mailbox has. */
enum pop_flight
pop_fast_wait(struct pop_session *s)
{
	struct span text;

	if (pop_early(&s->wire) || dial_wait(s->low.dial, patience(s)))
		return FLIGHT_CAME;
	if (!pop_command(s, "LIST 2147483647\r\n") || !pop_flush(s))
		return FLIGHT_ENDED;
	switch (pop_status(&s->wire, &text)) {
	case POP_OK:
		return FLIGHT_LATE;
	case POP_ERR:
		ground(s->poll->memo);
		s->listing_asked = false;
		return FLIGHT_LOST;
	case POP_ODD:
		(void)pop_odd(s, text);
		return FLIGHT_ENDED;
	case POP_LOST:
		break;
	}
	(void)pop_lost(s);
	return FLIGHT_ENDED;
}

bool
pop_fast_landed(struct pop_session *s, enum pop_flight how)
{
	s->poll->memo->flights_lost = 0;
	return how != FLIGHT_LATE || pop_pass_over(s); /* the probe's turn */
}

void
pop_fast_remember(struct pop_session *s)
{
	struct fetch_memo *m = s->poll->memo;

	if (m->flights_lost >= MEMO_FLIGHTS)
		ground(m); /* the slow way works */
	if (s->caps.heard) {
		m->caps = (s->caps.pipelining ? MEMO_PIPELINING : 0u) |
				(s->caps.uidl ? MEMO_UIDL : 0u) |
				(s->caps.top ? MEMO_TOP : 0u) |
				(s->caps.user ? MEMO_USER : 0u) |
				(s->caps.sdps ? MEMO_SDPS : 0u) |
				(s->caps.early ? MEMO_EARLY : 0u) |
				(s->caps.utf8 ? MEMO_UTF8 : 0u);
		m->heard_ms = clock_wall_ms();
		m->login_delay_s = s->caps.login_delay_s;
	}
	m->check = s->check;
	m->proven = s->check != 0;
}
