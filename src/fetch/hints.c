#include "hints.h"

#include <string.h>

static bool
says(const struct hint_fault *f, const char *what)
{
	return f->words.n > 0 &&
			memmem(f->words.p, f->words.n, what, strlen(what)) != NULL;
}

bool
hint_sentence(const struct hint_fault *f, const char *stage, struct buf *out)
{
	bool ok = true;

	if (f->event == EVENT_LOGON_REFUSED && says(f, "-ERR"))
		ok = buf_add(out, SPAN("the server refused the logon: "));
	else if (f->event == EVENT_MAILBOX_IN_USE && says(f, "-ERR"))
		ok = buf_add(out, SPAN("the mailbox is in use: "));
	else if (f->event == EVENT_UNEXPECTED_RESPONSE)
		ok = buf_addf(out, "unexpected answer at %s: ", stage ? stage : "-");
	return ok && buf_add(out, f->words);
}

/* ---- the connection ---- */

static const char *
usual_port(const struct conf_account *a)
{
	return a->tls == CONF_TLS_IMPLICIT ? "995" : "110";
}

static bool
hint_unreached(const struct conf_account *a, const struct hint_fault *f,
		struct buf *out)
{
	switch (f->end) {
	case DIAL_NO_NAME:
		return buf_add(out, SPAN("check the name in server"));
	case DIAL_DNS:
		return buf_add(out,
				SPAN("no name server answers: check dns.servers or "
				     "/etc/resolv.conf"));
	case DIAL_REFUSED:
		return buf_addf(out,
				"nobody listens there: check the name and the port in "
				"server (%s is usual here), and the firewall",
				usual_port(a));
	case DIAL_IDLE:
	case DIAL_DEADLINE:
		if (f->connected)
			return buf_add(out,
					SPAN("the server took the connection and fell "
					     "silent; if it stays so, check the port"));
		return buf_addf(out,
				"no answer at all: a firewall may drop the packets, or "
				"server names another machine or port (%s is usual here)",
				usual_port(a));
	case DIAL_EOF:
	case DIAL_RESET:
		return buf_add(out,
				SPAN("the server hung up: it may be overloaded, refuse this "
				     "address, or speak another protocol on this port"));
	case DIAL_OK:
	case DIAL_CANCELLED:
	case DIAL_CERTIFICATE:
	case DIAL_PIN:
	case DIAL_TLS:
	case DIAL_SYSTEM:
		break;
	}
	return true;
}

/* ---- TLS ---- */

static bool
hint_certificate(const struct conf_account *a, const struct hint_fault *f,
		struct buf *out)
{
	if (says(f, "has expired"))
		return buf_add(out,
				SPAN("the provider has to renew it; check this machine's "
				     "clock, too. tls_pin would trust its key whatever the date"));
	if (says(f, "is not valid before"))
		return buf_add(out, SPAN("check this machine's clock"));
	if (says(f, "hostname mismatch"))
		return buf_add(out,
				SPAN("if that is the provider's server, give it in server by "
				     "a name that the certificate has"));
	if (a->tls_ca)
		return buf_addf(out,
				"its issuer is not in %s: put the issuer's certificate "
				"there",
				a->tls_ca);
	return buf_add(out,
			SPAN("its issuer is not known to this system: set tls_ca to a file "
			     "with the issuer's certificate, or tls_pin"));
}

/* The words name the key that was found. */
static bool
hint_pin(const struct hint_fault *f, struct buf *out)
{
	const char *at = memmem(f->words.p, f->words.n, "sha256//", 8);
	struct span found = SPAN("");

	if (at) {
		found = span_skip(f->words, (size_t)(at - f->words.p));
		found = span_first(found, span_find(found, ','));
	}
	return buf_add(out,
			       SPAN("ask the provider whether the key was changed; if so, set "
				    "tls_pin to ")) &&
			(found.n > 0 ? buf_add(out, found)
				     : buf_add(out, SPAN("the new one")));
}

static bool
hint_no_tls(const struct conf_account *a, struct buf *out)
{
	if (a->tls == CONF_TLS_STARTTLS)
		return buf_add(out,
				SPAN("no password was sent. Try tls: implicit with port 995, "
				     "or ask the provider"));
	return buf_add(out, SPAN("no password was sent"));
}

/* ---- the logon ---- */

static bool
hint_logon(const struct conf_account *a, const struct hint_fault *f, struct buf *out)
{
	if (says(f, "cannot be read") || says(f, "there is no token"))
		return buf_add(out,
				SPAN("check where the account's password or token comes "
				     "from: does it exist, and may server.user read it?"));
	if (says(f, "does not offer") || says(f, "offers no way"))
		return buf_add(out,
				SPAN("set auth to a way that the server offers, or to auto"));
	if (!says(f, "-ERR"))
		return true;
	if (says(f, "[SYS/PERM]"))
		return buf_add(out,
				SPAN("the server says that this is for good: POP3 may be "
				     "switched off for the mailbox; ask the provider"));
	if (a->auth == CONF_AUTH_XOAUTH2 || a->auth == CONF_AUTH_OAUTHBEARER)
		return buf_add(out,
				SPAN("check user and token: it may have expired, or be for "
				     "another scope"));
	return buf_add(out,
			SPAN("check user and password; some providers want the whole address "
			     "as user, or a password made for applications"));
}

static bool
hint_later(const struct hint_fault *f, struct buf *out)
{
	if (says(f, "[LOGIN-DELAY]"))
		return buf_add(out,
				SPAN("the server wants a pause between two logons: set every "
				     "to more"));
	if (says(f, "here"))
		return buf_add(out, SPAN("try again when it is over"));
	return buf_add(out,
			SPAN("another client is in the mailbox; a lost connection holds it "
			     "for some minutes"));
}

bool
hint_for(const struct conf_account *a, const struct hint_fault *f, struct buf *out)
{
	if (f->port == HINT_PORT_CLEAR)
		return buf_add(out,
				SPAN("this port speaks without TLS: set tls: starttls, or "
				     "port 995?"));
	if (f->port == HINT_PORT_TLS)
		return buf_add(out,
				SPAN("this port speaks TLS from the first byte: set tls: "
				     "implicit, or port 110?"));
	switch (f->event) {
	case EVENT_CONNECT_ACCOUNT_FAILED:
		if (says(f, "greets with: 220"))
			return buf_addf(out,
					"an SMTP or FTP server answers on this port: server "
					"wants the provider's POP3 port (%s is usual here)",
					usual_port(a));
		if (says(f, "greets with: * "))
			return buf_addf(out,
					"an IMAP server answers on this port: server wants "
					"the provider's POP3 port (%s is usual here)",
					usual_port(a));
		if (says(f, "greets with"))
			return buf_add(out,
					SPAN("the server is there, but does not serve now; "
					     "if it stays so, ask the provider"));
		return hint_unreached(a, f, out);
	case EVENT_LOGON_REFUSED:
		return hint_logon(a, f, out);
	case EVENT_MAILBOX_IN_USE:
		return hint_later(f, out);
	case EVENT_UNEXPECTED_RESPONSE:
		return buf_add(out,
				SPAN("the server does not keep to the protocol; tell the "
				     "provider what it said"));
	case EVENT_TLS_FAILED:
		return buf_add(out,
				SPAN("TLS 1.2 at least is needed; ask the provider, or check "
				     "tls_ca and tls_pin"));
	case EVENT_TLS_MISSING:
		return hint_no_tls(a, out);
	case EVENT_CERTIFICATE_INVALID:
		return hint_certificate(a, f, out);
	case EVENT_PIN_CHANGED:
		return hint_pin(f, out);
	default:
		return true;
	}
}
