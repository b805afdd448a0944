/* The fast way in. Where the last session with the same server, user and password
 * went well and CAPA had PIPELINING, nothing is asked that is known: USER, PASS, LIST
 * and UIDL go out together, behind the greeting (RFC 2449 section 6.6). Not after a
 * refusal, a change of password or an odd answer: the stray commands behind a failed
 * PASS look like an attack. What CAPA said counts for a day. */
#include "postern/clock.h"
#include "postern/digest.h"
#include "postern/secret_read.h"
#include "session.h"

enum { DAY_MS = 24 * 3600 * 1000, PASSWORD_ROOM = 64 * 1024, FLIGHT_QUOTA = 64 * 1024 };

unsigned
pop_check(const struct pop_session *s, struct span password)
{
	const struct conf_account *a = s->poll->account;
	const struct span parts[] = { span_of(a->server.name), SPAN("\n"),
		span_of(a->user), SPAN("\n"), password };
	uint8_t sum[DIGEST_SIZE];

	digest_of(parts, sizeof(parts) / sizeof(parts[0]), sum);
	unsigned check = (unsigned)sum[0] << 8 | sum[1];
	secret_wipe(sum, sizeof(sum));
	return check ? check : 1;
}

bool
pop_fast(const struct pop_session *s)
{
	const struct conf_account *a = s->poll->account;
	const struct fetch_memo *m = s->poll->memo;
	const unsigned want = MEMO_PIPELINING | MEMO_USER | MEMO_UIDL;
	int64_t age = clock_wall_ms() - m->heard_ms;

	return m->proven && (m->caps & want) == want && age >= 0 && age < DAY_MS &&
			!fetch_memo_alone(m, clock_wall_ms()) && !s->poll->look_only &&
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
		.login_delay_s = s->poll->memo->login_delay_s,
	};
	s->poll->login_delay_s = s->caps.login_delay_s;
}

/* Four commands, one write. */
static bool
fly(struct pop_session *s, struct span password)
{
	bool ok = pop_user_pass_write(s, password) && pop_command(s, "LIST\r\n") &&
			pop_command(s, "UIDL\r\n") && pop_flush_secret(s);

	s->listing_asked = true;
	return ok && pop_user_pass_read(s, password) && pop_user_pass_read(s, password);
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
		ok = fly(s, buf_span(&password));
	}
	secret_done(&password);
	return ok;
}

void
pop_fast_remember(struct pop_session *s)
{
	struct fetch_memo *m = s->poll->memo;

	if (s->caps.heard) {
		m->caps = (s->caps.pipelining ? MEMO_PIPELINING : 0u) |
				(s->caps.uidl ? MEMO_UIDL : 0u) |
				(s->caps.top ? MEMO_TOP : 0u) |
				(s->caps.user ? MEMO_USER : 0u) |
				(s->caps.sdps ? MEMO_SDPS : 0u);
		m->heard_ms = clock_wall_ms();
		m->login_delay_s = s->caps.login_delay_s;
	}
	m->check = s->check;
	m->proven = s->check != 0;
}
