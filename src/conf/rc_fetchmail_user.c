/* A user of fetchmail's configuration, and the account that becomes of it. */
#include "rc_fetchmail.h"

static enum conf_pop_tls
tls_of(struct fetchmail *f, const struct fm_user *u)
{
	if (u->ssl)
		return CONF_TLS_IMPLICIT;
	if (u->sslproto_said && u->sslproto.n == 0) {
		rc_note(f->r, &f->user.notes, u->ssl_line,
				"no TLS: the password is sent openly, as before; try tls: implicit or starttls");
		return CONF_TLS_NONE;
	}
	rc_note(f->r, &f->user.notes, 0,
			"fetchmail used STLS where the server offered it; it is required now, and without it nothing is collected");
	return CONF_TLS_STARTTLS;
}

static void
recipients_of(struct fetchmail *f, struct rc_draft *d)
{
	const struct fm_user *u = &f->user;
	const struct fm_server *s = &f->server;
	bool many = u->star || u->locals > 1 || s->proto == PROTO_SDPS;

	d->a.type = many ? CONF_GLOBAL : CONF_USER;
	if (!many) {
		d->recipient = u->recipient.n > 0 ? u->recipient : u->local;
		d->domain = u->domain;
		if (u->maps)
			rc_note(f->r, &f->user.notes, u->locals_line,
					"NAME=NAME has no effect on a mailbox of one user");
		return;
	}
	d->domains = s->domains;
	if (s->proto == PROTO_SDPS)
		d->a.envelope.mode = CONF_ENVELOPE_SDPS;
	else if (s->no_envelope)
		d->a.envelope.mode = CONF_ENVELOPE_NONE;
	else if (s->envelope.n > 0 && !span_eq_nocase(s->envelope, SPAN("Received")) &&
			!span_eq_nocase(s->envelope, SPAN("Received:")))
		d->envelope = s->envelope;
	d->strip = s->qvirtual;
	if (!u->star && u->locals > 1)
		rc_note(f->r, &f->user.notes, u->locals_line,
				"mail came for %u local users only; here the recipient policies say who may receive",
				u->locals);
	if (u->maps)
		rc_note(f->r, &f->user.notes, u->locals_line,
				"the renaming NAME=NAME is not done; addresses stay as they are");
	if (u->recipient.n > 0)
		rc_note(f->r, &f->user.notes, u->line,
				"smtpname: everybody gets mail at the address it was sent to");
}

bool
fm_end_user(struct fetchmail *f)
{
	const struct fm_user *u = &f->user;
	const struct fm_server *s = &f->server;

	f->has_user = false;
	f->had_user = true;
	if (s->proto == PROTO_OTHER) {
		rc_note(f->r, &f->r->notes, u->line ? u->line : s->line,
				"poll %.*s: protocol %.*s; only POP3 mailboxes are collected",
				(int)span_first(s->name, 80).n, s->name.p,
				(int)span_first(s->proto_word, 20).n, s->proto_word.p);
		return true;
	}

	struct rc_draft d = { .server = s->via.n > 0 ? s->via : s->name,
		.user = u->name };
	struct rc_account *a = &d.a;
	a->line = u->line;
	a->idle = s->idle;
	a->ids_host2 = s->via.n > 0 && s->name.n < 256 ? s->name.p : NULL;
	a->server.port = s->port;
	a->tls = tls_of(f, u);
	a->tls_ca = u->tls_ca.n > 0 ? u->tls_ca.p : NULL;
	a->auth = s->proto == PROTO_APOP ? CONF_AUTH_APOP : s->auth;
	a->password = u->password;
	a->password_kind = u->password ? RC_PASSWORD_INLINE : RC_PASSWORD_NONE;
	a->password_line = u->password_line;
	a->keep_s = u->keep ? CONF_KEEP_FOREVER : 0;
	a->max_size = u->limit;
	a->max_per_session = (unsigned)u->per_session;
	a->every_s = s->interval > 0 ? s->interval : 1; /* polls, until the end */
	if (u->keep && u->fetchall)
		rc_note(f->r, &f->user.notes, u->fetchall_line,
				"fetchall: a message that stays at the server is collected once, not each time");
	if (s->proto == PROTO_UNSAID || s->proto == PROTO_AUTO)
		rc_note(f->r, &f->user.notes, s->line,
				"no protocol is said: taken for POP3; fetchmail tried IMAP first");
	recipients_of(f, &d);
	d.notes = f->user.notes;
	return rc_account_end(f->r, &d);
}

void
fm_begin_user(struct fetchmail *f, unsigned line)
{
	f->user = f->user_defaults;
	f->user.line = line;
	f->user.notes = f->server.notes;
	f->server.notes = (struct rc_notes){ 0 };
	f->has_user = true;
}
