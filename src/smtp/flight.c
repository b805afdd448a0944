/* What the sending engine writes: commands in flights, bodies in chunks or with dots. */
#include <string.h>

#include "collect.h"
#include "postern/address.h"
#include "postern/must.h"
#include "postern/smtp_path.h"
#include "sending.h"

static void
add(struct smtp_client *c, struct span s)
{
	/* There is room: nothing is begun past OUT_PAUSE. */
	MUST(buf_add(&c->out.b, s));
	c->wrote += s.n;
}

/* A command ends here; `line` is what the transcript shows of it. */
static void
command_ends(struct smtp_client *c, struct span line)
{
	uint64_t end = c->wrote;

	MUST(buf_add(&c->ends.b, (struct span){ (const char *)&end, sizeof(end) }));
	c->expected++;
	if (c->transcript)
		MUST(buf_add(&c->said.b, line) && buf_addc(&c->said.b, '\n'));
}

static void
command(struct smtp_client *c, struct span line)
{
	add(c, line);
	add(c, SPAN("\r\n"));
	command_ends(c, line);
}

void
flight_greet(struct smtp_client *c, bool esmtp)
{
	AUTO(buf_done) struct buf line = BUF_MAX(512);
	struct span verb = !esmtp ? SPAN("HELO ")
			: c->lmtp ? SPAN("LHLO ")
				  : SPAN("EHLO ");

	MUST(buf_add(&line, verb) && buf_add(&line, span_of(c->hostname)));
	command(c, buf_span(&line));
	c->phase = esmtp ? PHASE_EHLO : PHASE_HELO;
}

/* What goes between the <> of a command: the address, its domain as A-labels. *utf8: it
 * needs SMTPUTF8 even so. False: it is no address. */
static bool
print_address(struct span address, struct buf *out, bool *utf8)
{
	char canon[ADDRESS_DOMAIN_MAX + 1];
	struct smtp_path path;

	if (!smtp_mailbox_parse(address, &path))
		return false;
	*utf8 = smtp_is_utf8(path.local);
	if (!smtp_is_utf8(path.domain))
		return buf_add(out, address);
	return domain_canon(path.domain, canon) && buf_add(out, path.local) &&
			buf_addc(out, '@') && buf_add(out, span_of(canon));
}

static struct span
body_parameter(const struct smtp_client *c, const struct under_way *u)
{
	if (c->no_body)
		return SPAN("");
	if (u->binary)
		return SPAN(" BODY=BINARYMIME");
	return u->m.eight_bit ? SPAN(" BODY=8BITMIME") : SPAN("");
}

/* What becomes of a collected message in which nobody was found. */
static bool
write_word(struct buf *line, const char *name, struct span reason)
{
	return reason.n == 0 || (buf_add(line, span_of(name)) && buf_add(line, reason));
}

static void
write_mail(struct smtp_client *c, struct under_way *u)
{
	char space[2048];
	struct buf line = { .p = space, .cap = sizeof(space), .max = sizeof(space) };
	const struct smtp_collect *from = u->m.collect;
	bool high;
	bool ok = buf_add(&line, SPAN("MAIL FROM:<")) &&
			(u->m.sender.n == 0 ||
					print_address(u->m.sender, &line, &high)) &&
			buf_addc(&line, '>');
	size_t shown = line.n;

	if (c->caps.sized && u->m.size > 0)
		ok = ok && buf_addf(&line, " SIZE=%ju", (uintmax_t)u->m.size);
	u->plain = c->no_body;
	ok = ok && buf_add(&line, body_parameter(c, u)) &&
			(!u->utf8 || buf_add(&line, SPAN(" SMTPUTF8")));
	if (c->internal && from) {
		ok = ok && buf_add(&line, SPAN(" XCOLLECT=")) &&
				collect_print(&line, from);
		ok = ok && write_word(&line, " XBADMAIL=", from->badmail) &&
				write_word(&line, " XHOLD=", from->hold) &&
				write_word(&line, " XFALLBACK=", from->fallback);
		if (from->copies)
			ok = ok && buf_add(&line, SPAN(" XDEDUP=NO"));
	}
	/* Sender and origin were checked when the message came. */
	MUST(ok);
	add(c, buf_span(&line));
	add(c, SPAN("\r\n"));
	command_ends(c,
			c->internal ? span_first(buf_span(&line), shown)
				    : buf_span(&line));
	u->mail_out = true;
	u->written++;
}

static void
write_route(struct smtp_client *c, struct under_way *u)
{
	char space[40];
	struct buf line = { .p = space, .cap = sizeof(space), .max = sizeof(space) };

	MUST(buf_addf(&line, "XROUTE %zu\r\n", u->m.route.n));
	add(c, buf_span(&line));
	add(c, u->m.route);
	command_ends(c, SPAN(""));
	u->route_out = true;
	u->written++;
}

static void
write_rcpt(struct smtp_client *c, struct under_way *u)
{
	char space[320];
	struct buf line = { .p = space, .cap = sizeof(space), .max = sizeof(space) };
	struct span to = u->m.recipients[u->rcpt_out];
	bool high = false;

	/* Whatever stands in the queue: only an address goes out as one (H01), and only
	 * one that the peer can read. */
	MUST(buf_add(&line, SPAN("RCPT TO:<")));
	if (!print_address(to, &line, &high)) {
		u->states.p[u->rcpt_out++] = R_INVALID;
		return;
	}
	if (high && !u->utf8) {
		u->states.p[u->rcpt_out++] = R_UTF8;
		return;
	}
	MUST(buf_addc(&line, '>') &&
			(!(u->m.no_notify && c->caps.dsn) ||
					buf_add(&line, SPAN(" NOTIFY=NEVER"))));
	command(c, buf_span(&line));
	u->rcpt_out++;
	u->asked++;
	u->written++;
}

void
flight_stop(struct smtp_client *c, struct under_way *u)
{
	u->writing = W_DONE;
	c->rset |= u->mail_out && !u->end_out;
}

static void
end_message(struct smtp_client *c, struct under_way *u)
{
	u->end_out = true;
	u->end = c->wrote;
	u->written++;
	u->writing = W_DONE;
}

void
flight_lone_dot(struct smtp_client *c, struct under_way *u)
{
	command(c, SPAN("."));
	end_message(c, u);
}

/* Is it certain that nobody will get the message in this transaction? */
static bool
hopeless(const struct smtp_client *c, const struct under_way *u)
{
	bool answered = u->answers == u->asked;
	bool nobody = u->accepted == 0 && !(c->internal && u->m.collect);

	return u->dead || (nobody && answered);
}

/* All RCPTs are written. False: nothing can be written yet. */
static bool
begin_body(struct smtp_client *c, struct under_way *u)
{
	if (hopeless(c, u)) {
		flight_stop(c, u);
		return true;
	}
	if (u->bdat) {
		if (!u->eager && u->answers < u->asked)
			return false;
		u->writing = W_BODY;
		return true;
	}
	command(c, SPAN("DATA"));
	u->data_out = true;
	u->written++;
	u->writing = W_GO;
	return true;
}

/* One step of the newest message. False: it has to wait for a reply or its body. */
static bool
write_step(struct smtp_client *c, struct under_way *u)
{
	if (u->dead && u->writing < W_GO) {
		flight_stop(c, u);
		return true;
	}
	switch (u->writing) {
	case W_RSET:
		if (c->rset) {
			command(c, SPAN("RSET"));
			u->rset_out = true;
			u->written++;
			c->rset = false;
		}
		u->writing = W_MAIL;
		return true;
	case W_MAIL:
		write_mail(c, u);
		u->writing = W_ROUTE;
		return true;
	case W_ROUTE:
		if (c->internal && u->m.route.n > 0 && u->m.route.n <= CHUNK_MAX)
			write_route(c, u);
		u->writing = W_RCPT;
		return true;
	case W_RCPT:
		if (u->rcpt_out < u->m.n)
			write_rcpt(c, u);
		else
			u->writing = W_BEGIN;
		return true;
	case W_BEGIN:
		return begin_body(c, u);
	case W_BODY:
		if (u->bdat && hopeless(c, u)) {
			flight_stop(c, u);
			return true;
		}
		return false;
	case W_GO:
	case W_DONE:
		break;
	}
	return false;
}

static bool
has_room(const struct smtp_client *c)
{
	return sink_left(&c->out) < OUT_PAUSE && sink_left(&c->said) < SAID_PAUSE;
}

void
flight_pump(struct smtp_client *c)
{
	if (c->phase != PHASE_OPEN)
		return;
	if (c->next > c->first) {
		struct under_way *u = at(c, c->next - 1);

		while (has_room(c) && (c->caps.pipelining || c->expected == 0)) {
			if (!write_step(c, u))
				break;
		}
	} else if (c->quit && c->expected == 0) {
		command(c, SPAN("QUIT"));
		c->phase = PHASE_QUIT;
	}
}

/* ---- bodies ---- */

bool
smtp_client_wants_body(const struct smtp_client *c)
{
	if (c->phase != PHASE_OPEN || c->next == c->first || !has_room(c))
		return false;

	const struct under_way *u = at(c, c->next - 1);
	if (u->writing != W_BODY)
		return false;
	return !u->bdat ||
			(!hopeless(c, u) && (c->caps.pipelining || c->expected == 0));
}

static size_t
write_dots(struct smtp_client *c, struct under_way *u, struct span bytes, bool last)
{
	struct span in = span_first(bytes, NORMALISED_MAX);
	size_t took = in.n;
	struct span piece;

	while (smtp_stuff_next(&u->stuff, &in, &piece))
		add(c, piece);
	if (last && took == bytes.n) {
		add(c, smtp_stuff_end(&u->stuff));
		command_ends(c, SPAN("."));
		end_message(c, u);
	}
	return took;
}

/* The same with its bare CRs and LFs made CRLF. */
static struct span
normalised(struct smtp_client *c, struct under_way *u, struct span chunk, bool last)
{
	struct span piece;

	buf_clear(&c->scratch);
	while (smtp_stuff_next(&u->stuff, &chunk, &piece))
		MUST(buf_add(&c->scratch, piece));
	if (last)
		MUST(buf_add(&c->scratch, smtp_stuff_end(&u->stuff)));
	return buf_span(&c->scratch);
}

static size_t
write_chunk(struct smtp_client *c, struct under_way *u, struct span bytes, bool last)
{
	char space[48];
	struct buf line = { .p = space, .cap = sizeof(space), .max = sizeof(space) };
	struct span chunk = span_first(bytes, u->exact ? CHUNK_MAX : NORMALISED_MAX);
	size_t took = chunk.n;

	last = last && took == bytes.n;
	if (!u->exact)
		chunk = normalised(c, u, chunk, last);
	if (chunk.n == 0 && !last)
		return took;
	MUST(buf_addf(&line, "BDAT %zu%s", chunk.n, last ? " LAST" : ""));
	add(c, buf_span(&line));
	add(c, SPAN("\r\n"));
	add(c, chunk);
	command_ends(c, buf_span(&line));
	if (last) {
		end_message(c, u);
	} else {
		u->chunks_out++;
		u->written++;
	}
	return took;
}

size_t
smtp_client_body(struct smtp_client *c, struct span bytes, bool last)
{
	size_t took = 0;

	for (;;) {
		flight_pump(c);
		if (!smtp_client_wants_body(c) || (took == bytes.n && !last))
			return took;

		struct under_way *u = at(c, c->next - 1);
		struct span rest = span_skip(bytes, took);
		size_t n = u->bdat ? write_chunk(c, u, rest, last)
				   : write_dots(c, u, rest, last);

		if (u->m.nul && !u->binary && !u->nul)
			u->nul = span_find(span_first(rest, n), '\0') < n;
		took += n;
		if (u->writing == W_DONE)
			return took;
	}
}

bool
smtp_client_body_done(const struct smtp_client *c)
{
	return c->next == c->first || at(c, c->next - 1)->writing == W_DONE;
}
