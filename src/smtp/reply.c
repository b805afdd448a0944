#include "postern/smtp_reply.h"

#include <string.h>

#include "postern/must.h"
#include "postern/qid.h"
#include "postern/smtp_path.h"

/* Words as Exchange says them where it has a reply of the kind. */
static const struct smtp_reply refusals[SMTP_REFUSALS] = {
	[SMTP_REFUSE_VERB] = { 500, "5.3.3", "Unrecognized command" },
	[SMTP_REFUSE_LINE] = { 500, "5.5.2", "Command has bytes that no command has" },
	[SMTP_REFUSE_LONG] = { 500, "5.5.2", "Line too long" },
	[SMTP_REFUSE_NOT_HERE] = { 502, "5.5.1", "Command not implemented" },
	[SMTP_REFUSE_NEED_HELLO] = { 503, "5.5.2", "Send hello first." },
	[SMTP_REFUSE_NEED_MAIL] = { 503, "5.5.2", "Need mail command." },
	[SMTP_REFUSE_NEED_RCPT] = { 503, "5.5.2", "Need Rcpt command." },
	[SMTP_REFUSE_HAVE_MAIL] = { 503, "5.5.2", "Sender already specified" },
	[SMTP_REFUSE_ORDER] = { 503, "5.5.1", "Bad sequence of commands" },
	[SMTP_REFUSE_MIXED] = { 503, "5.5.1", "BDAT and DATA do not mix" },
	[SMTP_REFUSE_DOMAIN] = { 501, "5.5.4", "Invalid domain name" },
	[SMTP_REFUSE_ARGUMENT] = { 501, "5.5.4", "Invalid arguments" },
	[SMTP_REFUSE_SENDER] = { 501, "5.1.7", "Invalid Address" },
	[SMTP_REFUSE_RECIPIENT] = { 501, "5.1.3", "Invalid Address" },
	[SMTP_REFUSE_UTF8] = { 553, "5.6.7",
			"Address is not ASCII, and SMTPUTF8 was not asked for" },
	[SMTP_REFUSE_PARAMETER] = { 555, "5.5.4", "Parameter not recognized" },
	[SMTP_REFUSE_RECIPIENTS] = { 452, "4.5.3", "Too many recipients" },
	[SMTP_REFUSE_SIZE] = { 552, "5.3.4",
			"Message size exceeds fixed maximum message size" },
	[SMTP_REFUSE_BARE] = { 550, "5.6.11",
			"Message has a bare CR, a bare LF or a NUL, which are illegal" },
	[SMTP_REFUSE_ROUTE] = { 552, "5.3.4", "Route record too large" },
	[SMTP_REFUSE_SYNC] = { 554, "5.5.0", "SMTP protocol synchronization error" },
	[SMTP_REFUSE_ERRORS] = { 421, "4.7.0", "Too many errors, closing" },
	[SMTP_REFUSE_FOREIGN] = { 421, "4.7.0", "This is not your protocol, closing" },
	[SMTP_REFUSE_RELAY] = { 550, "5.7.1", "Unable to relay for" },
	[SMTP_REFUSE_NO_ROUTE] = { 550, "5.4.4", "No route leads to" },
	[SMTP_REFUSE_UNKNOWN] = { 550, "5.1.1", "User unknown" },
	[SMTP_REFUSE_LIST] = { 550, "5.2.4", "Mailing list leads to nobody:" },
	[SMTP_REFUSE_MEMBERS] = { 554, "5.5.3",
			"Too many recipients, with the members of" },
	[SMTP_REFUSE_HOPS] = { 554, "5.4.6",
			"Hop count exceeded - possible mail loop" },
	[SMTP_REFUSE_BUSY] = { 452, "4.3.1", "Insufficient system resources" },
	[SMTP_REFUSE_STORE] = { 451, "4.3.0",
			"Message could not be queued, try later" },
	[SMTP_REFUSE_SHUTDOWN] = { 421, "4.3.2", "Service is shutting down" },
	[SMTP_REFUSE_IDLE] = { 421, "4.4.2", "Connection timed out" },
	[SMTP_REFUSE_CLIENTS] = { 421, "4.3.2", "Too many connections" },
	[SMTP_REFUSE_MESSAGES] = { 421, "4.7.0", "Too many messages in one session" },
};

struct smtp_reply
smtp_refuse(enum smtp_refusal why)
{
	return refusals[why];
}

/* Puts the parts one behind the other; what does not fit is cut. */
static void
join(char text[SMTP_TEXT_SIZE], struct span a, struct span b, struct span c)
{
	const struct span parts[] = { a, b, c };
	size_t at = 0;

	for (size_t i = 0; i < 3; i++) {
		struct span part = span_first(parts[i], SMTP_TEXT_MAX - at);

		if (part.n > 0)
			memcpy(text + at, part.p, part.n);
		at += part.n;
	}
	text[at] = '\0';
}

struct smtp_reply
smtp_refuse_for(enum smtp_refusal why, struct span address, char text[SMTP_TEXT_SIZE])
{
	struct smtp_reply r = refusals[why];

	join(text, span_of(r.text), SPAN(" "), address);
	r.text = text;
	return r;
}

struct smtp_reply
smtp_queued(struct span message_id, uint64_t queue_id, char text[SMTP_TEXT_SIZE])
{
	char id[QID_SIZE];

	qid_print(queue_id, id);
	/* A Message-ID is as long as its writer likes; the queue id must stay. RFC 6531 3.7.4.2
	 * has UTF-8 in replies only where the client asked for it. */
	if (message_id.n == 0 || message_id.n > 256 || smtp_is_utf8(message_id))
		join(text, SPAN("Queued mail for delivery, id "), span_of(id),
				SPAN(""));
	else
		join(text, message_id, SPAN(" Queued mail for delivery, id "),
				span_of(id));
	return (struct smtp_reply){ 250, "2.6.0", text };
}

struct smtp_reply
smtp_have_it(void)
{
	return (struct smtp_reply){ 250, SMTP_ESC_HAD, "already have it" };
}

/* Control bytes have no place in a line. */
static char
shown(char c)
{
	if ((unsigned char)c < 0x20 || c == 0x7f)
		return '?';
	return c;
}

bool
smtp_reply_print(struct buf *out, struct smtp_reply r)
{
	size_t esc = r.esc ? strlen(r.esc) : 0;
	size_t text = r.text ? strnlen(r.text, SMTP_TEXT_MAX) : 0;
	char *p = buf_room(out, 4 + esc + 1 + text + 2);
	char *at = p;

	MUST(r.code >= 200 && r.code <= 599);
	if (!p)
		return false;
	*at++ = (char)('0' + r.code / 100);
	*at++ = (char)('0' + r.code / 10 % 10);
	*at++ = (char)('0' + r.code % 10);
	*at++ = ' ';
	if (esc > 0) {
		memcpy(at, r.esc, esc);
		at += esc;
		*at++ = ' ';
	}
	for (size_t i = 0; i < text; i++)
		*at++ = shown(r.text[i]);
	*at++ = '\r';
	*at++ = '\n';
	buf_grown(out, (size_t)(at - p));
	return true;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Length of an RFC 3463 code of this class at the start of s, or 0. */
static size_t
esc_len(struct span s, char class)
{
	size_t i = 0;

	if (s.n < 5 || s.p[0] != class)
		return 0;
	for (unsigned part = 0; part < 3; part++) {
		if (part > 0 && (i >= s.n || s.p[i++] != '.'))
			return 0;
		size_t from = i;
		while (i < s.n && i - from < 3 && is_digit(s.p[i]))
			i++;
		if (i == from)
			return 0;
	}
	return i == s.n || s.p[i] == ' ' ? i : 0;
}

/* The line is whole, without its CRLF. SMTP_ONE when it is the last of a reply. */
static enum smtp_step
take_line(struct smtp_reader *r, struct span line)
{
	if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' || !is_digit(line.p[1]) ||
			!is_digit(line.p[2]))
		return SMTP_BAD;

	int code = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + line.p[2] - '0';
	if (r->lines > 0 && code != r->code)
		return SMTP_BAD;
	r->code = code;
	r->lines++;
	/* RFC 5321 4.2.1: the text, and the space before it, may be missing. */
	if (line.n == 3 || line.p[3] == ' ')
		return SMTP_ONE;
	return line.p[3] == '-' ? SMTP_MORE : SMTP_BAD;
}

static void
tell(const struct smtp_reader *r, struct smtp_heard *out)
{
	*out = (struct smtp_heard){ .code = r->code, .raw = buf_span(&r->raw) };

	struct span first = out->raw;
	first = span_first(first, span_find(first, '\n'));
	first = span_skip(first, first.n < 4 ? first.n : 4);
	size_t n = esc_len(first, (char)('0' + r->code / 100));
	if (n > 0)
		memcpy(out->esc, first.p, n);
}

/* As much of the line as is kept; false past the ceiling. */
static bool
keep(struct smtp_reader *r, struct span piece)
{
	size_t have = r->raw.n - r->line;
	struct span kept = span_first(piece, SMTP_REPLY_LINE_MAX - 1 - have);

	r->octets += piece.n;
	if (piece.n > 0)
		r->cr = piece.p[piece.n - 1] == '\r';
	r->cut |= kept.n < piece.n;
	return r->octets <= SMTP_REPLY_OCTETS_MAX && buf_add(&r->raw, kept);
}

/* Another line follows. */
static bool
next_line(struct smtp_reader *r)
{
	if (r->lines >= SMTP_REPLY_LINES_MAX)
		r->raw.n = r->line;
	else if (!buf_addc(&r->raw, '\n'))
		return false;
	r->line = r->raw.n;
	r->cr = r->cut = false;
	return true;
}

enum smtp_step
smtp_reader_feed(struct smtp_reader *r, struct span *in, struct smtp_heard *out)
{
	if (r->done) {
		buf_clear(&r->raw);
		r->line = 0;
		r->lines = 0;
		r->octets = 0;
		r->cr = r->cut = false;
		r->done = false;
	}
	while (in->n > 0) {
		size_t upto = span_find(*in, '\n');
		bool whole = upto < in->n;

		if (!keep(r, span_first(*in, upto)))
			return SMTP_BAD;
		*in = span_skip(*in, upto + whole);
		if (!whole)
			return SMTP_MORE;
		if (!r->cr)
			return SMTP_BAD;
		r->raw.n -= !r->cut;
		switch (take_line(r,
				(struct span){ r->raw.p + r->line,
						r->raw.n - r->line })) {
		case SMTP_BAD:
			return SMTP_BAD;
		case SMTP_ONE:
			r->done = true;
			tell(r, out);
			return SMTP_ONE;
		case SMTP_MORE:
			if (!next_line(r))
				return SMTP_BAD;
		}
	}
	return SMTP_MORE;
}

void
smtp_reader_done(struct smtp_reader *r)
{
	buf_done(&r->raw);
}

/* The text of a later line, without code and repeated enhanced code. */
static struct span
later_text(struct span line, struct span esc)
{
	line = span_skip(line, line.n < 4 ? line.n : 4);
	if (esc.n > 0 && span_starts(line, esc))
		line = span_skip(line, esc.n);
	while (line.n > 0 && line.p[0] == ' ')
		line = span_skip(line, 1);
	return line;
}

void
smtp_heard_line(const struct smtp_heard *h, char *text, size_t size)
{
	struct span rest = h->raw;
	struct span line = span_until(&rest, '\n');
	size_t at = 0;

	for (;;) {
		for (size_t i = 0; i < line.n && at + 1 < size; i++)
			text[at++] = shown(line.p[i]);
		if (rest.n == 0)
			break;
		line = later_text(span_until(&rest, '\n'), span_of(h->esc));
		if (line.n > 0 && at + 1 < size)
			text[at++] = ' ';
	}
	text[at] = '\0';
	if (at > 3)
		text[3] = ' '; /* the dash of a first line that is not the last */
}

struct verdict
smtp_heard_verdict(const struct smtp_heard *h)
{
	struct verdict v = { .code = h->code };

	switch (h->code / 100) {
	case 2:
		v.fate = FATE_DELIVERED;
		break;
	case 5:
		v.fate = h->code == 503 ? FATE_DEFERRED : FATE_BOUNCED;
		break;
	default:
		v.fate = FATE_DEFERRED;
		break;
	}
	if (h->esc[0])
		memcpy(v.esc, h->esc, sizeof(v.esc));
	else
		memcpy(v.esc,
				(char[]){ (char)('0' + h->code / 100), '.', '0', '.',
						'0', '\0' },
				6);
	smtp_heard_line(h, v.text, sizeof(v.text));
	return v;
}
