/* check --online: is there somebody behind a route? No mail is sent. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "postern/clock.h"
#include "postern/dial.h"
#include "postern/smtp_client.h"

enum { DNS_SERVERS = 16 };

static void
say(struct greeting *out, bool ok, const char *text)
{
	out->ok = ok;
	(void)snprintf(out->text, sizeof(out->text), "%s", text);
}

/* ---- SMTP and LMTP ---- */

/* The first line of what was heard. */
static void
hear(struct greeting *out, struct span heard)
{
	struct span first = span_until(&heard, '\n');
	size_t n = first.n < sizeof(out->text) - 1 ? first.n : sizeof(out->text) - 1;

	if (n > 0)
		memcpy(out->text, first.p, n);
	out->text[n] = '\0';
}

static bool
send_all(struct dial *d, struct smtp_client *s)
{
	for (;;) {
		struct span out = smtp_client_output(s);
		if (out.n == 0)
			return true;
		ssize_t n = dial_write(d, out.p, out.n);
		if (n < 0)
			return false;
		smtp_client_sent(s, (size_t)n);
	}
}

/* True while there is more to hear. */
static bool
take_facts(struct smtp_client *s, const char *self, struct greeting *out)
{
	struct smtp_fact f;

	while (smtp_client_next(s, &f)) {
		if (f.kind == SMTP_FACT_GREETED)
			hear(out, f.heard);
		/* E10 (e): by its name, as the relay would see it. */
		if (f.kind == SMTP_FACT_GREETED &&
				span_starts_nocase(f.heard, span_of(self)))
			smtp_client_lost(s,
					"cannot connect to self: this relay answers there");
		if (f.kind == SMTP_FACT_CAPS) {
			out->ok = true;
			smtp_client_quit(s);
		}
		if (f.kind == SMTP_FACT_OVER && !out->ok)
			say(out, false, f.verdict->text);
	}
	return !smtp_client_over(s);
}

static void
talk(struct dial *d, struct smtp_client *s, const char *self, struct greeting *out)
{
	char in[4096];
	struct span have = SPAN("");
	int stuck = 0;

	while (stuck < 2 && take_facts(s, self, out) && send_all(d, s)) {
		if (have.n == 0) {
			ssize_t n = dial_read(d, in, sizeof(in));
			if (n < 0)
				break;
			have = (struct span){ in, (size_t)n };
		}
		size_t used = smtp_client_feed(s, have);
		stuck = used > 0 ? 0 : stuck + 1; /* a fact may wait first */
		have = span_skip(have, used);
	}
	if (smtp_client_over(s))
		return;
	/* What comes of QUIT does not matter. */
	if (!out->ok)
		say(out, false, dial_error(d));
}

static void
greet_server(const struct cli *c, const struct conf_hop *to, struct greeting *out)
{
	char text[DNS_SERVERS][300];
	const char *servers[DNS_SERVERS + 1] = { NULL };
	const struct conf_hosts *dns = &c->conf->dns.servers;
	size_t n = dns->n < DNS_SERVERS ? dns->n : DNS_SERVERS;
	struct err err = { 0 };
	enum dial_end why;

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(text[i], sizeof(text[i]),
				strchr(dns->p[i].name, ':') ? "[%s]:%u" : "%s:%u",
				dns->p[i].name, dns->p[i].port);
		servers[i] = text[i];
	}
	const struct dns_setup setup = { .servers = n > 0 ? servers : NULL,
		.timeout_ms = c->conf->dns.timeout_s * 1000 };
	struct dial *d = dial_open(
			&(struct dial_to){
					.host = to->host.name,
					.port = (uint16_t)to->host.port,
					.unix_path = to->path,
					.connect_ms = CHECK_ROUTE_MS,
					.idle_ms = CHECK_ROUTE_MS,
					.deadline_ms = clock_mono_ms() + CHECK_ROUTE_MS,
					.dns = &setup,
			},
			&why, &err);
	if (!d) {
		say(out, false, err.text);
		return;
	}
	struct smtp_client *s = smtp_client_new(&(struct smtp_client_options){
			.hostname = span_of(c->conf->server.hostname),
			.lmtp = to->kind != CONF_HOP_SMTP,
	});
	char self[300];
	(void)snprintf(self, sizeof(self), "220 %s Postern ESMTP ",
			c->conf->server.hostname);
	talk(d, s, self, out);
	smtp_client_free(s);
	dial_close(d);
}

/* ---- folders ---- */

/* Cuts the last part off; false when nothing is left. */
static bool
parent(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || strcmp(path, "/") == 0)
		return false;
	slash[slash == path ? 1 : 0] = '\0';
	return true;
}

/* The folder, or the nearest one above it that is there, has to be writable; what
 * is missing is made when mail comes. Of a Maildir only what stands before the first
 * part that depends on the recipient can be looked at. */
static void
try_folder(const char *pattern, struct greeting *out)
{
	char path[4096];
	bool whole = strlen(pattern) < sizeof(path), exists = true;

	(void)snprintf(path, sizeof(path), "%s", pattern);
	char *percent = strchr(path, '%');
	if (percent) {
		*percent = '\0';
		whole = whole && parent(path);
	}
	while (whole && faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) != 0 &&
			errno == ENOENT) {
		exists = false;
		whole = parent(path);
	}
	if (!whole) {
		say(out, false, "there is no such folder, and it cannot be made");
		return;
	}
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0;
	int no = errno;
	if (fd >= 0)
		(void)close(fd);
	out->ok = ok;
	(void)snprintf(out->text, sizeof(out->text), "%s%s: %.400s",
			ok ? "can be written to" : "cannot be written to, ",
			ok ? exists ? "" : "; the folder is made when mail comes"
			   : err_words(no),
			path);
}

void
cli_greet(const struct cli *c, const struct conf_hop *to, struct greeting *out)
{
	*out = (struct greeting){ 0 };
	switch (to->kind) {
	case CONF_HOP_DROP:
		try_folder(to->path ? to->path : cli_path(c, "Drop"), out);
		break;
	case CONF_HOP_MAILDIR:
		try_folder(to->path, out);
		break;
	case CONF_HOP_SMTP:
	case CONF_HOP_LMTP:
	case CONF_HOP_LMTP_UNIX:
		greet_server(c, to, out);
		break;
	case CONF_HOP_MX:
	case CONF_HOP_ETRN:
		say(out, false, "this kind of route cannot be greeted");
		break;
	}
}
