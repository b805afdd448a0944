/* The verbs: one table, which alone knows when a verb is welcome and how long its
 * line may be. */
#include <stdio.h>
#include <string.h>

#include "postern/enc.h"
#include "postern/must.h"
#include "postern/num.h"
#include "session.h"

/* RFC 5321 4.1.3, looser: what may stand in a Received field without harm. */
static bool
is_helo(struct span name)
{
	if (name.n == 0 || name.n > 255)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char low = ascii_lower(name.p[i]);

		if (!((low >= 'a' && low <= 'z') || (low >= '0' && low <= '9') ||
				    (low != '\0' && strchr("-._:[]", low))))
			return false;
	}
	return true;
}

static bool
greet(struct smtp_server *s, struct span arg, bool esmtp)
{
	struct span name = span_word(&arg);

	if (!is_helo(name) || arg.n > 0) {
		session_refuse(s, SMTP_REFUSE_DOMAIN);
		return false;
	}
	memcpy(s->helo, name.p, name.n);
	s->helo[name.n] = '\0';
	s->esmtp = esmtp;
	session_void(s, ST_READY);
	s->drain = true;
	return true;
}

static void
on_ehlo(struct smtp_server *s, struct span arg)
{
	char size[40] = "250-SIZE\r\n";
	char lines[REPLY_MAX];

	if (!greet(s, arg, true))
		return;
	if (s->size_limit > 0)
		(void)snprintf(size, sizeof(size), "250-SIZE %ju\r\n",
				(uintmax_t)s->size_limit);
	int n = snprintf(lines, sizeof(lines),
			"250-%s Hello [%s]\r\n"
			"%s"
			"250-PIPELINING\r\n"
			"250-ENHANCEDSTATUSCODES\r\n"
			"250-8BITMIME\r\n"
			"250-BINARYMIME\r\n"
			"250-CHUNKING\r\n"
			"250-SMTPUTF8\r\n"
			"250-VRFY\r\n"
			"250-HELP\r\n"
			"%s"
			"250 OK\r\n",
			s->hostname, s->peer, size,
			s->internal ? "250-XCOLLECT\r\n" : "");
	session_say_raw(s, (struct span){ lines, (size_t)n });
}

static void
on_helo(struct smtp_server *s, struct span arg)
{
	char line[REPLY_MAX];

	if (!greet(s, arg, false))
		return;
	int n = snprintf(line, sizeof(line), "250 %s Hello [%s]\r\n", s->hostname,
			s->peer);
	session_say_raw(s, (struct span){ line, (size_t)n });
}

static void
on_mail(struct smtp_server *s, struct span arg)
{
	struct smtp_mail mail;
	enum smtp_refusal why = mail_parse(s, arg, &mail);

	if (why == SMTP_REFUSALS)
		s->ask = (struct smtp_question){ .kind = SMTP_ASK_MAIL, .mail = mail };
	else
		session_refuse(s, why);
}

static void
on_rcpt(struct smtp_server *s, struct span arg)
{
	struct smtp_path path;

	if (!span_starts_nocase(arg, SPAN("TO:"))) {
		session_refuse(s, SMTP_REFUSE_ARGUMENT);
		return;
	}
	arg = span_trim(span_skip(arg, 3));
	if (!smtp_path_cut(&arg, false, &path) || (arg.n > 0 && arg.p[0] != ' '))
		session_refuse(s, SMTP_REFUSE_RECIPIENT);
	else if (span_trim(arg).n > 0)
		session_refuse(s, SMTP_REFUSE_PARAMETER);
	else if (path.utf8 && !s->utf8)
		session_refuse(s, SMTP_REFUSE_UTF8);
	else if (s->recipients >= s->max_recipients)
		session_say(s, smtp_refuse(SMTP_REFUSE_RECIPIENTS));
	else
		s->ask = (struct smtp_question){ .kind = SMTP_ASK_RCPT, .path = path };
}

static void
on_data(struct smtp_server *s, struct span arg)
{
	if (arg.n > 0) {
		session_refuse(s, SMTP_REFUSE_ARGUMENT);
		return;
	}
	if (s->body == SMTP_BODY_BINARYMIME) {
		session_refuse(s, SMTP_REFUSE_MIXED);
		return;
	}
	s->mode = MODE_DATA;
	s->dots = (struct smtp_dots){ 0 };
	/* The dots look for bare CR and LF here. */
	s->scan = (struct smtp_scan){ .bare = true };
	s->drain = true;
	session_say_raw(s, SPAN("354 Start mail input; end with <CRLF>.<CRLF>\r\n"));
}

/* Why this chunk cannot be taken, or SMTP_REFUSALS. */
static enum smtp_refusal
chunk_refusal(const struct smtp_server *s)
{
	switch (s->state) {
	case ST_START:
		return SMTP_REFUSE_NEED_HELLO;
	case ST_READY:
		return SMTP_REFUSE_NEED_MAIL;
	case ST_MAIL:
		return SMTP_REFUSE_NEED_RCPT;
	case ST_FAILED:
		return SMTP_REFUSE_ORDER;
	case ST_RCPT:
	case ST_CHUNK:
		break;
	case ST_ANY:
		MUST(false);
	}
	if (s->size_limit > 0 &&
			(s->left > s->size_limit || s->size > s->size_limit - s->left))
		return SMTP_REFUSE_SIZE;
	return SMTP_REFUSALS;
}

/* Its octets follow whatever we think of it, so they are always read (S08). */
static void
on_bdat(struct smtp_server *s, struct span arg)
{
	uint64_t n;
	struct span count = span_word(&arg);
	bool last = span_eq_nocase(arg, SPAN("LAST"));

	if ((arg.n > 0 && !last) || !num_u64(count, INT64_MAX, &n)) {
		session_refuse(s, SMTP_REFUSE_ARGUMENT);
		if (s->state & (ST_MAIL | ST_RCPT | ST_CHUNK))
			session_void(s, ST_FAILED);
		return;
	}
	s->left = n;
	s->last = last;

	enum smtp_refusal why = chunk_refusal(s);
	if (why != SMTP_REFUSALS) {
		session_fail(s, smtp_refuse(why));
	} else if (s->state == ST_RCPT) {
		s->state = ST_CHUNK;
		s->scan = (struct smtp_scan){ 0 };
	}
	s->mode = MODE_CHUNK;
	if (n == 0)
		session_chunk_done(s);
}

static void
on_xroute(struct smtp_server *s, struct span arg)
{
	uint64_t n;

	if (!s->internal) {
		session_refuse(s, SMTP_REFUSE_VERB);
		return;
	}
	if (!num_u64(arg, INT64_MAX, &n)) {
		session_refuse(s, SMTP_REFUSE_ARGUMENT);
		return;
	}
	s->left = n;
	s->mode = MODE_ROUTE;
	if (s->state != ST_RCPT || !s->collected || s->routed)
		session_fail(s, smtp_refuse(SMTP_REFUSE_ORDER));
	else if (n > ROUTE_MAX)
		session_fail(s, smtp_refuse(SMTP_REFUSE_ROUTE));
	if (n == 0)
		session_route_done(s, SPAN(""));
}

static void
on_rset(struct smtp_server *s, struct span arg)
{
	(void)arg;
	if (s->state != ST_START)
		session_void(s, ST_READY);
	session_say_raw(s, SPAN("250 2.0.0 Resetting\r\n"));
}

static void
on_noop(struct smtp_server *s, struct span arg)
{
	(void)arg;
	session_say_raw(s, SPAN("250 2.0.0 OK\r\n"));
}

/* RFC 6531 3.7.4: VRFY says it behind its argument. */
static bool
cut_smtputf8(const struct smtp_server *s, struct span *arg)
{
	static const struct span word = { SPAN_INIT(" SMTPUTF8") };

	if (!s->esmtp || arg->n < word.n ||
			!span_eq_nocase(span_skip(*arg, arg->n - word.n), word))
		return false;
	*arg = span_trim(span_first(*arg, arg->n - word.n));
	return true;
}

static void
on_vrfy(struct smtp_server *s, struct span arg)
{
	bool utf8 = cut_smtputf8(s, &arg);
	struct span inner = arg;
	struct smtp_path path;

	if (span_starts(inner, SPAN("<")) && inner.p[inner.n - 1] == '>')
		inner = span_first(span_skip(inner, 1), inner.n - 2);
	if (smtp_mailbox_parse(inner, &path)) {
		if (path.utf8 && !utf8) {
			session_refuse(s, SMTP_REFUSE_UTF8);
			return;
		}
		s->ask = (struct smtp_question){ .kind = SMTP_ASK_VRFY, .path = path };
		return;
	}
	if (arg.n == 0)
		session_refuse(s, SMTP_REFUSE_ARGUMENT);
	else if (span_find(arg, '@') < arg.n)
		session_refuse(s, SMTP_REFUSE_RECIPIENT);
	else
		session_say_raw(s,
				SPAN("252 2.1.5 Cannot VRFY user, but will take message "
				     "and attempt delivery\r\n"));
}

static void
on_help(struct smtp_server *s, struct span arg)
{
	(void)arg;
	session_say_raw(s,
			SPAN("214-2.0.0 This server supports the following commands:\r\n"
			     "214 2.0.0 HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP "
			     "QUIT\r\n"));
}

static void
on_quit(struct smtp_server *s, struct span arg)
{
	char text[SMTP_TEXT_SIZE];

	if (arg.n > 0) {
		session_refuse(s, SMTP_REFUSE_ARGUMENT);
		return;
	}
	(void)snprintf(text, sizeof(text), "%s Service closing transmission channel",
			s->hostname);
	session_void(s, ST_READY);
	session_say(s, (struct smtp_reply){ 221, "2.0.0", text });
	session_over(s, SMTP_REFUSALS);
}

static void
on_not_here(struct smtp_server *s, struct span arg)
{
	(void)arg;
	session_refuse(s, SMTP_REFUSE_NOT_HERE);
}

/* A browser was sent here (S15): whatever follows is not for us. */
static void
on_foreign(struct smtp_server *s, struct span arg)
{
	(void)arg;
	session_say(s, smtp_refuse(SMTP_REFUSE_FOREIGN));
	session_void(s, s->state);
	session_over(s, SMTP_REFUSE_FOREIGN);
}

enum { SHORT = 512, PATHS = 1024, INTERNAL = LINE_MAX_INTERNAL };

static const struct verb {
	struct span name;
	unsigned welcome; /* states in which it may be said */
	unsigned longest; /* line, with its CRLF; internal sessions may always use INTERNAL */
	void (*run)(struct smtp_server *, struct span arg);
	bool utf8; /* its argument may be more than ASCII */
} verbs[] = {
	{ { SPAN_INIT("RCPT") }, ST_MAIL | ST_RCPT, PATHS, on_rcpt, true },
	{ { SPAN_INIT("MAIL") }, ST_READY, PATHS, on_mail, true },
	{ { SPAN_INIT("BDAT") }, ST_ANY, SHORT, on_bdat, false },
	{ { SPAN_INIT("XROUTE") }, ST_ANY, SHORT, on_xroute, false },
	{ { SPAN_INIT("DATA") }, ST_RCPT, SHORT, on_data, false },
	{ { SPAN_INIT("EHLO") }, ST_ANY, SHORT, on_ehlo, false },
	{ { SPAN_INIT("HELO") }, ST_ANY, SHORT, on_helo, false },
	{ { SPAN_INIT("RSET") }, ST_ANY, SHORT, on_rset, false },
	{ { SPAN_INIT("NOOP") }, ST_ANY, SHORT, on_noop, false },
	{ { SPAN_INIT("QUIT") }, ST_ANY, SHORT, on_quit, false },
	{ { SPAN_INIT("VRFY") }, ST_ANY, SHORT, on_vrfy, true },
	{ { SPAN_INIT("HELP") }, ST_ANY, SHORT, on_help, false },
	{ { SPAN_INIT("EXPN") }, ST_ANY, SHORT, on_not_here, true },
	{ { SPAN_INIT("SEND") }, ST_ANY, SHORT, on_not_here, false },
	{ { SPAN_INIT("SOML") }, ST_ANY, SHORT, on_not_here, false },
	{ { SPAN_INIT("SAML") }, ST_ANY, SHORT, on_not_here, false },
	{ { SPAN_INIT("TURN") }, ST_ANY, SHORT, on_not_here, false },
	{ { SPAN_INIT("STARTTLS") }, ST_ANY, SHORT, on_not_here, false },
	{ { SPAN_INIT("AUTH") }, ST_ANY, PATHS, on_not_here, false },
	{ { SPAN_INIT("ETRN") }, ST_ANY, SHORT, on_not_here, false },
	{ { SPAN_INIT("ATRN") }, ST_ANY, SHORT, on_not_here, false },
	{ { SPAN_INIT("GET") }, ST_ANY, INTERNAL, on_foreign, false },
	{ { SPAN_INIT("POST") }, ST_ANY, INTERNAL, on_foreign, false },
	{ { SPAN_INIT("HEAD") }, ST_ANY, INTERNAL, on_foreign, false },
	{ { SPAN_INIT("PUT") }, ST_ANY, INTERNAL, on_foreign, false },
	{ { SPAN_INIT("DELETE") }, ST_ANY, INTERNAL, on_foreign, false },
	{ { SPAN_INIT("OPTIONS") }, ST_ANY, INTERNAL, on_foreign, false },
	{ { SPAN_INIT("CONNECT") }, ST_ANY, INTERNAL, on_foreign, false },
	{ { SPAN_INIT("TRACE") }, ST_ANY, INTERNAL, on_foreign, false },
	{ { SPAN_INIT("PATCH") }, ST_ANY, INTERNAL, on_foreign, false },
	{ { SPAN_INIT("PRI") }, ST_ANY, INTERNAL, on_foreign, false },
};

/* Why a verb is not welcome now. Only MAIL, RCPT and DATA ever are not. */
static enum smtp_refusal
out_of_order(enum state state, const struct verb *v)
{
	switch (state) {
	case ST_START:
		return SMTP_REFUSE_NEED_HELLO;
	case ST_READY:
		return SMTP_REFUSE_NEED_MAIL;
	case ST_MAIL:
		return v->run == on_mail ? SMTP_REFUSE_HAVE_MAIL
					 : SMTP_REFUSE_NEED_RCPT;
	case ST_RCPT:
		return SMTP_REFUSE_HAVE_MAIL;
	case ST_CHUNK:
		return v->run == on_data ? SMTP_REFUSE_MIXED : SMTP_REFUSE_ORDER;
	case ST_FAILED:
	case ST_ANY:
		break;
	}
	return SMTP_REFUSE_ORDER;
}

/* `utf8`: RFC 6531 lets it into the arguments of this verb; what else is over 127 never
 * stands in a command. */
static bool
is_clean(struct span line, bool utf8)
{
	for (size_t i = 0; i < line.n;) {
		bool high = (unsigned char)line.p[i] >= 0x80;
		size_t n = high ? utf8_len(span_skip(line, i)) : 1;

		if (n == 0 || (high ? !utf8 : line.p[i] < ' ' || line.p[i] > '~'))
			return false;
		i += n;
	}
	return true;
}

void
command_run(struct smtp_server *s, struct span line)
{
	struct span rest = line;
	struct span name = span_word(&rest);

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const struct verb *v = &verbs[i];

		if (!span_eq_nocase(name, v->name))
			continue;
		if (line.n + 2 > (s->internal ? (unsigned)INTERNAL : v->longest))
			session_refuse(s, SMTP_REFUSE_LONG);
		else if (!is_clean(line, v->utf8))
			session_refuse(s, SMTP_REFUSE_LINE);
		else if (v->welcome & s->state)
			v->run(s, span_trim(rest));
		else
			session_refuse(s, out_of_order(s->state, v));
		return;
	}
	session_refuse(s, is_clean(line, false) ? SMTP_REFUSE_VERB : SMTP_REFUSE_LINE);
}
