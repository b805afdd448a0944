/* mpop's configuration: one statement a line, `defaults` and `account NAME [: BASE,
 * ...]` begin blocks. A block begins as a copy of the defaults; what its bases say is
 * then said again in it. */
#include <string.h>

#include "postern/num.h"
#include "rc.h"

enum { SAID_AGAIN_MAX = 500 * 1000 };

struct said {
	struct said *next;
	struct span word, arg;
	unsigned line;
};

struct block {
	struct rc_draft d;
	struct said *first, *last;
	struct span twin; /* it is but another name for this account */
	bool tls, starttls;
	uint64_t skipsize, killsize; /* 0: off */
};

struct mpop {
	struct rc_reader *r;
	struct block *now; /* NULL: before the first account or defaults */
	struct block defaults;
	struct rc_notes *notes; /* of the block; NULL while a base is said again */
	unsigned said_again;
	struct map blocks; /* by name */
	struct list_of_blocks {
		struct list_of_blocks *next;
		struct block b;
	} * first, *last;
	unsigned line;
	const char *start; /* of the line, for columns */
};

static const struct rc_reason reasons[] = {
	{ "source_ip", "the system chooses the address to connect from" },
	{ "proxy_host", "connections are made directly, without a proxy" },
	{ "proxy_port", "connections are made directly, without a proxy" },
	{ "timeout", "timeouts are fixed" },
	{ "pipelining", "used where the server offers it" },
	{ "ntlmdomain", "there is no NTLM" },
	{ "tls_crl_file", "revocation lists are not read" },
	{ "tls_key_file", "there are no client certificates" },
	{ "tls_cert_file", "there are no client certificates" },
	{ "tls_priorities", "the system's TLS policy holds" },
	{ "tls_force_sslv3", "the system's TLS policy holds" },
	{ "tls_min_dh_prime_bits", "the system's TLS policy holds" },
	{ "tls_host_override", "the certificate must be for the name in server" },
	{ "tls_fingerprint",
			"a fingerprint of the certificate; tls_pin is one of its key, and must be made anew" },
	{ "filter", "there are no filters" },
	{ "eval", "the command was not run; write what it says" },
	{ NULL, NULL },
};

static struct conf_mark
mark_at(const struct mpop *m, const char *p)
{
	return (struct conf_mark){ m->line, (unsigned)(p - m->start) + 1 };
}

/* on, off or nothing, which is on. */
static bool
on_off(struct mpop *m, struct span arg, bool *out)
{
	if (arg.n == 0 || span_eq(arg, SPAN("on")))
		*out = true;
	else if (span_eq(arg, SPAN("off")))
		*out = false;
	else
		return rc_fault_at(m->r, mark_at(m, arg.p), "expected on or off");
	return true;
}

static bool
size_of(struct mpop *m, struct span arg, uint64_t *out, bool *off)
{
	uint64_t unit = 1, n;

	*off = span_eq(arg, SPAN("off"));
	if (*off)
		return true;
	struct span digits = arg;
	char last = '\0';

	if (digits.n > 0)
		last = ascii_lower(digits.p[digits.n - 1]);
	if (last == 'k' || last == 'm') {
		unit = last == 'k' ? 1024 : UINT64_C(1024) * 1024;
		digits.n--;
	}
	if (!num_u64(digits, UINT64_C(1) << 40, &n))
		return rc_fault_at(m->r, mark_at(m, arg.p), "expected off or a size");
	*out = n * unit;
	return true;
}

static void
auth_of(struct mpop *m, struct span arg)
{
	static const struct {
		const char *word;
		enum conf_auth auth;
	} known[] = {
		{ "", CONF_AUTH_AUTO },
		{ "on", CONF_AUTH_AUTO },
		{ "user", CONF_AUTH_USER },
		{ "plain", CONF_AUTH_PLAIN },
		{ "login", CONF_AUTH_LOGIN },
		{ "apop", CONF_AUTH_APOP },
		{ "cram-md5", CONF_AUTH_CRAM_MD5 },
		{ "xoauth2", CONF_AUTH_XOAUTH2 },
		{ "oauthbearer", CONF_AUTH_OAUTHBEARER },
	};

	m->now->d.a.auth = CONF_AUTH_AUTO;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (span_eq_nocase(arg, span_of(known[i].word))) {
			m->now->d.a.auth = known[i].auth;
			return;
		}
	}
	rc_note(m->r, m->notes, m->line,
			"auth %.*s: there is no such method here; auto is taken",
			(int)span_first(arg, 40).n, arg.p);
}

static void
command_of(struct mpop *m, struct span arg)
{
	struct rc_account *a = &m->now->d.a;
	const char **argv = rc_take(m->r, 4 * sizeof(*argv));

	argv[0] = "sh";
	argv[1] = "-c";
	argv[2] = rc_keep(m->r, arg);
	a->argv = argv;
	a->password_kind = RC_PASSWORD_COMMAND;
	a->password_line = m->line;
}

/* ---- statements of an account ---- */

static bool
about_server(struct mpop *m, struct span word, struct span arg, bool *mine)
{
	struct rc_draft *d = &m->now->d;
	uint64_t n;

	if (span_eq(word, SPAN("host"))) {
		d->server = arg;
	} else if (span_eq(word, SPAN("port"))) {
		if (!num_u64(arg, 65535, &n) || n == 0)
			return rc_fault_at(m->r, mark_at(m, arg.p),
					"expected a port from 1 to 65535");
		d->a.server.port = (unsigned)n;
	} else if (span_eq(word, SPAN("tls"))) {
		return on_off(m, arg, &m->now->tls);
	} else if (span_eq(word, SPAN("tls_starttls"))) {
		return on_off(m, arg, &m->now->starttls);
	} else if (span_eq(word, SPAN("tls_trust_file"))) {
		d->a.tls_ca = arg.n == 0 || span_eq(arg, SPAN("system"))
				? NULL
				: rc_keep(m->r, arg);
		if (arg.n == 0)
			rc_note(m->r, m->notes, m->line,
					"tls_trust_file: the certificate is checked all the same, against the system's");
	} else if (span_eq(word, SPAN("tls_certcheck")) ||
			span_eq(word, SPAN("tls_nocertcheck"))) {
		bool on = false, no = word.p[4] == 'n';
		if (!on_off(m, arg, &on))
			return false;
		if (on == no)
			rc_note(m->r, m->notes, m->line,
					"tls_certcheck off: certificates are always checked; tls_ca names the provider's own");
	} else {
		*mine = false;
	}
	return true;
}

static bool
about_login(struct mpop *m, struct span word, struct span arg, bool *mine)
{
	struct rc_draft *d = &m->now->d;

	if (span_eq(word, SPAN("user"))) {
		d->user = arg;
	} else if (span_eq(word, SPAN("auth"))) {
		auth_of(m, arg);
	} else if (span_eq(word, SPAN("password"))) {
		d->a.password_kind = arg.n > 0 ? RC_PASSWORD_INLINE : RC_PASSWORD_NONE;
		d->a.password = rc_keep(m->r, arg);
		d->a.password_line = m->line;
	} else if (span_eq(word, SPAN("passwordeval"))) {
		if (arg.n > 0)
			command_of(m, arg);
		else if (d->a.password_kind == RC_PASSWORD_COMMAND)
			d->a.password_kind = RC_PASSWORD_NONE;
	} else {
		*mine = false;
	}
	return true;
}

static bool
about_size(struct mpop *m, struct span word, struct span arg, bool *mine)
{
	struct block *b = m->now;
	bool off = false;

	if (span_eq(word, SPAN("skipsize"))) {
		if (!size_of(m, arg, &b->skipsize, &off))
			return false;
		b->skipsize = off ? 0 : b->skipsize;
		if (!off && b->skipsize == 0)
			rc_note(m->r, m->notes, m->line,
					"skipsize 0: mpop collected nothing at all; here it is no limit");
	} else if (span_eq(word, SPAN("killsize"))) {
		if (!size_of(m, arg, &b->killsize, &off))
			return false;
		b->killsize = off ? 0 : b->killsize;
		if (!off)
			rc_note(m->r, m->notes, m->line,
					"killsize: larger messages are left at the server, never deleted uncollected");
	} else {
		*mine = false;
	}
	return true;
}

/* Switches that say nothing when they stand as they do here. */
static bool
about_switch(struct mpop *m, struct span word, struct span arg, bool *mine)
{
	static const struct rc_reason when_off[] = {
		{ "only_new", "a message is collected once, not each time" },
		{ "received_header", "a Received line is always added" },
		{ NULL, NULL },
	};
	const char *says = rc_reason_find(when_off, word);
	bool keep = span_eq(word, SPAN("keep")), on = false;

	*mine = keep || says;
	if (!*mine)
		return true;
	if (!on_off(m, arg, &on))
		return false;
	if (keep)
		m->now->d.a.keep_s = on ? CONF_KEEP_FOREVER : 0;
	else if (!on)
		rc_note(m->r, m->notes, m->line, SPAN_FMT " off: %s", SPAN_ARG(word),
				says);
	return true;
}

static bool
about_mail(struct mpop *m, struct span word, struct span arg, bool *mine)
{
	if (span_eq(word, SPAN("delivery")))
		rc_note(m->r, m->notes, m->line,
				"delivery %.*s: where mail goes is said by delivery.routes",
				(int)span_first(span_first(arg, span_find(arg, ' ')),
						20)
						.n,
				arg.p);
	else if (span_eq(word, SPAN("uidls_file")))
		m->now->d.a.ids_file = arg.n > 0 ? rc_keep(m->r, arg) : NULL;
	else
		*mine = false;
	return true;
}

static bool
statement(struct mpop *m, struct span word, struct span arg)
{
	bool (*const about[])(struct mpop *, struct span, struct span, bool *) = {
		about_server, about_login, about_size, about_switch, about_mail
	};

	for (size_t i = 0; i < 5; i++) {
		bool mine = true;
		if (!about[i](m, word, arg, &mine))
			return false;
		if (mine)
			return true;
	}
	if (span_eq(word, SPAN("socket"))) {
		rc_note(m->r, m->notes, m->line,
				"socket: a server has a name or an address");
		return true;
	}
	const char *says = rc_reason_find(reasons, word);
	if (!says)
		return rc_fault_at(m->r, mark_at(m, word.p),
				"unknown statement \"%.*s\"",
				(int)span_first(word, 60).n, word.p);
	rc_note(m->r, m->notes, m->line, SPAN_FMT ": %s", SPAN_ARG(word), says);
	return true;
}

/* ---- blocks ---- */

static struct block
fresh(void)
{
	struct block b = { .starttls = true };

	b.d.a.type = CONF_USER;
	return b;
}

static void
remember(struct mpop *m, struct block *b, const struct said *what)
{
	struct said *one = rc_take(m->r, sizeof(*one));

	*one = *what;
	one->next = NULL;
	if (b->last)
		b->last->next = one;
	else
		b->first = one;
	b->last = one;
}

static bool
say_again(struct mpop *m, const struct block *base)
{
	unsigned line = m->line;

	m->notes = NULL;
	for (const struct said *s = base->first; s; s = s->next) {
		if (++m->said_again > SAID_AGAIN_MAX)
			return rc_fault_at(m->r, (struct conf_mark){ line, 1 },
					"too much is inherited");
		m->line = s->line;
		remember(m, m->now, s);
		if (!statement(m, s->word, s->arg))
			return false;
	}
	m->line = line;
	return true;
}

static bool
begin_account(struct mpop *m, struct span arg)
{
	struct span bases = arg, name = span_trim(span_until(&bases, ':'));
	struct list_of_blocks *item = rc_take(m->r, sizeof(*item));

	if (name.n == 0)
		return rc_fault_at(m->r, mark_at(m, arg.p), "an account needs a name");
	if (map_get(&m->blocks, name))
		return rc_fault_at(m->r, mark_at(m, name.p),
				"the account \"%.*s\" was given already",
				(int)span_first(name, 60).n, name.p);
	item->b = m->defaults;
	item->b.d.notes = (struct rc_notes){ 0 };
	item->b.d.name = name;
	item->b.d.a.line = m->line;
	m->now = &item->b;
	item->b.twin = span_trim(bases);
	while (bases.n > 0) {
		struct span base = span_trim(span_until(&bases, ','));
		const struct block *from = map_get(&m->blocks, base);
		if (!from)
			return rc_fault_at(m->r, mark_at(m, base.p),
					"there is no account \"%.*s\" above",
					(int)span_first(base, 60).n, base.p);
		if (!say_again(m, from))
			return false;
	}
	if (m->last)
		m->last->next = item;
	else
		m->first = item;
	m->last = item;
	(void)map_put(&m->blocks, name, &item->b);
	m->notes = &item->b.d.notes;
	return true;
}

static struct span
word_of(struct span *s)
{
	size_t n = 0;

	while (n < s->n && s->p[n] != ' ' && s->p[n] != '\t')
		n++;
	struct span word = span_first(*s, n);
	*s = span_trim(span_skip(*s, n));
	return word;
}

static bool
line_of(struct mpop *m, struct span line)
{
	struct span arg = span_trim(line), word;

	if (arg.n == 0 || arg.p[0] == '#')
		return true;
	word = word_of(&arg);
	if (arg.n >= 2 && arg.p[0] == '"' && arg.p[arg.n - 1] == '"')
		arg = (struct span){ arg.p + 1, arg.n - 2 };
	if (span_eq(word, SPAN("defaults"))) {
		m->defaults = fresh();
		m->now = &m->defaults;
		m->notes = &m->r->notes;
		return true;
	}
	if (span_eq(word, SPAN("account")))
		return begin_account(m, arg);
	if (!m->now)
		return rc_fault_at(m->r, mark_at(m, word.p),
				"expected \"defaults\" or \"account NAME\" before \"%.*s\"",
				(int)span_first(word, 60).n, word.p);
	if (m->now != &m->defaults) {
		remember(m, m->now, &(struct said){ NULL, word, arg, m->line });
		m->now->twin.n = 0;
	}
	return statement(m, word, arg);
}

static bool
end_account(struct mpop *m, struct block *b)
{
	struct rc_account *a = &b->d.a;

	/* "account default : work", the usual last line. */
	if (b->twin.n > 0 && span_find(b->twin, ',') == b->twin.n) {
		rc_note(m->r, &m->r->notes, a->line,
				"account %.*s: another name for %.*s, which is collected once",
				(int)span_first(b->d.name, 60).n, b->d.name.p,
				(int)span_first(b->twin, 60).n, b->twin.p);
		return true;
	}
	a->tls = !b->tls	      ? CONF_TLS_NONE
			: b->starttls ? CONF_TLS_STARTTLS
				      : CONF_TLS_IMPLICIT;
	a->max_size = b->skipsize;
	if (b->killsize > 0 && (a->max_size == 0 || b->killsize < a->max_size))
		a->max_size = b->killsize;
	return rc_account_end(m->r, &b->d);
}

bool
rc_mpop(struct rc_reader *r)
{
	struct mpop m = { .r = r, .defaults = fresh(), .notes = &r->notes };
	struct span rest = r->text;
	bool ok = true;

	map_init(&m.blocks, 0, 0);
	while (ok && rest.n > 0) {
		struct span line = span_until(&rest, '\n');
		m.line++;
		m.start = line.p;
		ok = line_of(&m, line);
	}
	for (struct list_of_blocks *b = m.first; ok && b; b = b->next)
		ok = end_account(&m, &b->b);
	map_done(&m.blocks);
	return ok;
}
