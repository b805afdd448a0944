#include "suspend.h"

#include <stdio.h>

#include "postern/clock.h"
#include "postern/date.h"
#include "postern/log.h"
#include "postern/secret_read.h"

enum { SECRET_ROOM = 64 * 1024 };

/* What a command gives as a token is another one each time. */
static bool
tells(const struct conf_account *a)
{
	return a->password.kind != SECRET_NONE || a->token.kind != SECRET_COMMAND;
}

unsigned
suspend_check(const struct conf_account *a, struct span secret)
{
	char settings[80];

	(void)snprintf(settings, sizeof(settings), "\n%u\n%d\n%d\n", a->server.port,
			(int)a->tls, (int)a->auth);

	const struct span parts[] = { span_of(a->server.name), span_of(settings),
		span_of(a->user), SPAN("\n"), tells(a) ? secret : SPAN("") };
	return fetch_memo_check(parts, sizeof(parts) / sizeof(parts[0]));
}

/* Not the same as what was refused. What cannot be read is nothing to try. */
static bool
is_new(const struct fetch_poll *p)
{
	const struct conf_account *a = p->account;
	struct buf secret = BUF_MAX(SECRET_ROOM);
	struct err err = { 0 };
	bool ok = !tells(a) ||
			secret_read(a->password.kind != SECRET_NONE ? &a->password
								    : &a->token,
					&secret, &err);
	bool is = ok && suspend_check(a, buf_span(&secret)) != p->memo->refused;

	secret_done(&secret);
	return is;
}

bool
suspend_passes(struct fetch_poll *p)
{
	const struct fetch_memo *m = p->memo;
	AUTO(buf_done) struct buf words = BUF_MAX(1024);
	char next[DATE_ISO_SIZE];

	if (p->asked || p->look_only || !fetch_memo_suspended(m, clock_wall_ms()) ||
			is_new(p))
		return true;
	date_iso(m->logon_ms, next);
	if (log_words(&words, EVENT_ACCOUNT_SUSPENDED,
			    FIELDS(f_span("account", p->name),
					    f_num("attempts", m->refusals),
					    f_str("next", next))))
		(void)err_set(&p->result.error, EVENT_ACCOUNT_SUSPENDED, "%s",
				buf_cstr(&words));
	return false;
}
