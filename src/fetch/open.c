/* From nothing to a session that has logged on, over verified TLS where that is
 * configured. */
#include <stdlib.h>

#include "postern/clock.h"
#include "postern/log.h"
#include "postern/num.h"
#include "sasl.h"
#include "session.h"

enum {
	CONNECT_MS = 15000,
	LOOK_MS = 15000, /* for who waits at a terminal */
	GREETING_QUOTA = 4096,
	LOGON_QUOTA = 64 * 1024,
	CAPA_LINES = 100,
	LOGIN_DELAY_MAX = 365 * 24 * 3600,
};

static void
log_tls(struct pop_session *s)
{
	struct tls_facts facts;

	if (log_wants(3) && dial_tls_facts(s->low.dial, &facts))
		log_event(EVENT_TLS_NEGOTIATED,
				FIELDS(f_span("account", s->poll->name),
						f_str("host",
								s->poll->account->server
										.name),
						f_str("version", facts.version),
						f_str("cipher", facts.cipher)));
}

/* What a failed handshake is about: 8004 the certificate, 8005 the pin, 8002. */
static bool
tls_failed(struct pop_session *s, enum dial_end why, const struct err *err)
{
	int event = EVENT_CONNECT_ACCOUNT_FAILED;

	s->poll->end = why;
	if (why == DIAL_PIN)
		event = EVENT_PIN_CHANGED;
	else if (why == DIAL_CERTIFICATE)
		event = EVENT_CERTIFICATE_INVALID;
	else if (why == DIAL_TLS)
		event = EVENT_TLS_FAILED;
	return pop_fail(s, event, "%s", err->text);
}

static bool
dial_server(struct pop_session *s)
{
	const struct conf_account *a = s->poll->account;
	struct dial_to to = {
		.host = a->server.name,
		.port = (uint16_t)a->server.port,
		.tls = a->tls == CONF_TLS_IMPLICIT ? s->poll->tls : NULL,
		.connect_ms = CONNECT_MS,
		.idle_ms = s->poll->look_only ? LOOK_MS
					      : s->poll->setup->limits.greeting_ms,
		.cancel = s->poll->cancel,
		.dns = &s->poll->setup->dns,
	};
	enum dial_end why;
	struct err err = { 0 };

	if (a->tls != CONF_TLS_NONE && !s->poll->tls)
		return pop_fail(s, EVENT_TLS_FAILED, "%s", s->poll->tls_error.text);
	s->low.dial = s->poll->connected;
	s->poll->connected = NULL;
	if (!s->low.dial)
		s->low.dial = dial_open(&to, &why, &err);
	if (!s->low.dial)
		return tls_failed(s, why, &err);
	pop_progress(s);
	net_addr_text(dial_peer(s->low.dial), s->ip);
	return true;
}

/* What was said in place of +OK: by whatever stands there. */
static void
greeting_of(const struct pop_session *s, char out[160])
{
	const MMAPString *line = s->pop->pop3_stream_buffer;
	struct span said = span_of(s->pop->pop3_response);
	size_t n = 0;

	if (said.n == 0 && line)
		said = (struct span){ line->str, line->len };
	if (said.n == 0)
		said = SPAN("nonsense");
	for (; n < said.n && n < 159 && said.p[n] != '\n'; n++)
		out[n] = ring_tame(said.p[n]);
	out[n] = '\0';
}

static bool
connect_server(struct pop_session *s)
{
	mailstream *stream;

	if (!dial_server(s))
		return false;
	stream = pop_low_stream(&s->low);
	if (!stream)
		abort();
	pop_init(&s->wire, stream);
	s->wire.ring = &s->poll->ring;
	s->wire.awaits = &s->low.awaits;
	s->low.rate_ms = s->poll->setup->limits.rate_ms;
	s->low.patience_ms = 2 * s->poll->setup->limits.session_ms;
	s->low.quota = GREETING_QUOTA;
	s->stage = POP_AT_GREETING;

	int rc = mailpop3_connect(s->pop, stream);
	if (rc != MAILPOP3_NO_ERROR) {
		if (pop_low_bad(&s->low) || dial_why(s->low.dial) != DIAL_OK)
			return pop_fail(s, EVENT_CONNECT_ACCOUNT_FAILED,
					"no greeting: %s", pop_low_error(&s->low));
		char said[160];

		greeting_of(s, said);
		return pop_fail(s, EVENT_CONNECT_ACCOUNT_FAILED,
				"the server greets with: %s", said);
	}
	ring_add(&s->poll->ring, clock_mono_ms(), "S",
			span_of(s->pop->pop3_response ? s->pop->pop3_response : "+OK"));
	/* Nobody asked for anything yet (P09). */
	if (pop_early(&s->wire))
		return pop_fail(s, EVENT_UNEXPECTED_RESPONSE,
				"the server speaks before it is asked");
	dial_set_idle(s->low.dial, s->poll->setup->limits.idle_ms);
	log_tls(s);
	return true;
}

static void
read_mechanisms(struct pop_caps *caps, struct span names)
{
	struct span word;
	enum conf_auth how;

	caps->sasl_said = true;
	while ((word = span_word(&names)).n > 0)
		if (sasl_mechanism(word, &how))
			caps->sasl |= 1u << how;
}

static void
read_capability(struct pop_caps *caps, struct span line)
{
	struct span word = span_word(&line);

	if (span_eq_nocase(word, SPAN("PIPELINING")))
		caps->pipelining = true;
	else if (span_eq_nocase(word, SPAN("UIDL")))
		caps->uidl = true;
	else if (span_eq_nocase(word, SPAN("TOP")))
		caps->top = true;
	else if (span_eq_nocase(word, SPAN("STLS")))
		caps->stls = true;
	else if (span_eq_nocase(word, SPAN("USER")))
		caps->user = true;
	else if (span_eq_nocase(word, SPAN("UTF8")))
		caps->utf8 = true;
	else if (span_eq_nocase(word, SPAN("SDPS")) ||
			span_eq_nocase(word, SPAN("*ENV")))
		caps->sdps = true;
	else if (span_eq_nocase(word, SPAN("LOGIN-DELAY")))
		(void)num_u64(span_word(&line), LOGIN_DELAY_MAX, &caps->login_delay_s);
	else if (span_eq_nocase(word, SPAN("SASL")))
		read_mechanisms(caps, line);
}

/* What administrators ask for in CAPA: how long mail stays, how often one may come,
 * and how full the mailbox is, where a server tells (there is no standard for that). */
static void
note_policy(struct pop_session *s, struct span line)
{
	struct span rest = line, word = span_word(&rest);
	struct buf *says = &s->poll->says;
	bool quota = span_starts_nocase(word, SPAN("QUOTA")) ||
			span_starts_nocase(word, SPAN("X-QUOTA")) ||
			span_starts_nocase(word, SPAN("XQUOTA"));

	if (!quota && !span_eq_nocase(word, SPAN("EXPIRE")) &&
			!span_eq_nocase(word, SPAN("LOGIN-DELAY")))
		return;
	if (says->n + line.n + 2 > says->max ||
			(says->n > 0 && !buf_add(says, SPAN(", "))))
		return;
	for (size_t i = 0; i < line.n; i++)
		(void)!buf_addc(says, ring_tame(line.p[i]));
}

static bool
ask_capabilities(struct pop_session *s)
{
	struct span line;
	unsigned lines = 0;
	bool lost;

	s->stage = POP_AT_CAPA;
	s->caps = (struct pop_caps){ 0 };
	s->low.quota = LOGON_QUOTA;
	if (!pop_command(s, "CAPA\r\n") || !pop_flush(s))
		return false;
	switch (pop_status(&s->wire, &line)) {
	case POP_OK:
		break;
	case POP_ERR: /* RFC 1939 knows no CAPA */
		return true;
	case POP_ODD:
		return pop_odd(s, line);
	case POP_LOST:
		return pop_lost(s);
	}
	buf_clear(&s->poll->says);
	while (pop_item(&s->wire, &line, &lost)) {
		ring_add(&s->poll->ring, clock_mono_ms(), "S", line);
		note_policy(s, line);
		if (++lines > CAPA_LINES || s->wire.cut)
			return pop_fail(s, EVENT_UNEXPECTED_RESPONSE,
					"the list of capabilities is too long");
		read_capability(&s->caps, line);
	}
	if (lost)
		return pop_lost(s);
	s->caps.heard = true;
	s->caps.early = s->caps.pipelining && s->logged_on == CONF_AUTH_AUTO;
	if (s->caps.login_delay_s > 0)
		s->poll->login_delay_s = s->caps.login_delay_s;
	return true;
}

static bool
start_tls(struct pop_session *s, bool fast)
{
	const struct conf_account *a = s->poll->account;
	struct err err = { 0 };

	s->stage = POP_AT_STLS;
	if (s->caps.heard && !s->caps.stls)
		return pop_fail(s, EVENT_TLS_MISSING, "the server does not offer STLS");
	pop_sync(&s->wire);
	ring_add(&s->poll->ring, clock_mono_ms(), "C", SPAN("STLS"));
	/* Refuses by itself when plain bytes follow the answer (CVE-2020-15953). */
	int rc = mailpop3_stls(s->pop);
	if (rc == MAILPOP3_ERROR_STLS_NOT_SUPPORTED)
		return pop_fail(s, EVENT_TLS_MISSING,
				"the server refuses STLS: -ERR %s",
				s->pop->pop3_response ? s->pop->pop3_response : "");
	if (rc == MAILPOP3_ERROR_SSL || pop_early(&s->wire))
		return pop_fail(s, EVENT_TLS_FAILED,
				"the server speaks in clear behind STLS");
	if (rc != MAILPOP3_NO_ERROR)
		return pop_lost(s);
	if (!dial_starttls(s->low.dial, s->poll->tls, a->server.name, &err))
		return tls_failed(s, dial_why(s->low.dial), &err);
	/* Whatever was learnt in clear is forgotten (RFC 2595 section 4). */
	free(s->pop->pop3_timestamp);
	s->pop->pop3_timestamp = NULL;
	s->wire.framed = false;
	log_tls(s);
	return fast || ask_capabilities(s);
}

/* Without it a server may put a notice of its own in the place of a message whose header
 * holds raw UTF-8. It is only welcome before the logon (RFC 6856 section 2.1). */
static bool
want_utf8(struct pop_session *s)
{
	return !s->caps.utf8 ||
			(pop_command(s, "UTF8\r\n") && pop_flush(s) &&
					pop_pass_over(s));
}

/* With everything asked that a server can tell. */
static bool
log_on_slowly(struct pop_session *s)
{
	s->stage = POP_AT_LOGON;
	s->low.quota = LOGON_QUOTA;
	if (!want_utf8(s))
		return false;
	pop_sync(&s->wire);
	if (!pop_logon(s))
		return false;
	if (pop_early(&s->wire))
		return pop_fail(s, EVENT_UNEXPECTED_RESPONSE,
				"the server speaks before it is asked");
	/* Some tell it only to those who have logged on (RFC 2449 section 5). */
	if (s->caps.heard && !s->caps.pipelining) {
		struct pop_caps before = s->caps;

		if (!ask_capabilities(s))
			return false;
		s->caps.heard = true;
		s->caps.uidl |= before.uidl;
		s->caps.top |= before.top;
		s->caps.user |= before.user;
		/* It belongs before the logon, but what stands behind a proxy may take it
		 * here. */
		if (!before.utf8 && !want_utf8(s))
			return false;
	}
	return true;
}

static bool
log_on(struct pop_session *s)
{
	bool fast = pop_fast(s), changed = false, ok;

	if (!fast && !ask_capabilities(s))
		return false;
	if (s->poll->account->tls == CONF_TLS_STARTTLS && !start_tls(s, fast))
		return false;
	if (fast) {
		pop_fast_caps(s);
		s->stage = POP_AT_LOGON;
		ok = pop_fast_logon(s, &changed);
		if (!ok || !changed)
			return ok;
		if (!ask_capabilities(s))
			return false;
	}
	ok = log_on_slowly(s);
	if (fetch_memo_alone(s->poll->memo, clock_wall_ms()))
		s->caps.pipelining = false;
	return ok;
}

bool
pop_open(struct pop_session *s)
{
	fetch_memo_at(s->poll->memo, pop_server_check(s));
	return connect_server(s) && log_on(s);
}
