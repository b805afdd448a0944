/* Notices about mail that could not be delivered, as text. */
#include "postern/failure.h"

#include "postern/date.h"
#include "postern/enc.h"
#include "postern/header.h"

enum {
	RECIPIENTS_OCTETS = 20 * 1024, /* of the list; what is left out is counted */
	HEADER_OCTETS = 16 * 1024, /* attached */
	LINE_MOST = 990, /* RFC 5322 2.1.1 has 998 */
};

static bool
is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/* ---- the header of the notice ---- */

static bool
print_top(struct buf *out, const struct failure_letter *l, const char *subject,
		struct span trace)
{
	char date[DATE_RFC5322_SIZE];

	date_rfc5322(l->at_s, date);
	bool ok = buf_addf(out,
			"From: Mail gateway <" SPAN_FMT ">\r\nTo: <" SPAN_FMT ">\r\n",
			SPAN_ARG(l->from), SPAN_ARG(l->to));
	ok = ok && buf_addf(out, "Subject: %s", subject);
	if (ok && trace.n > 0)
		ok = buf_addf(out, " (" SPAN_FMT ")", SPAN_ARG(trace));
	return ok &&
			buf_addf(out,
					"\r\nDate: %s\r\nMessage-ID: <" SPAN_FMT
					"@" SPAN_FMT
					">\r\nAuto-Submitted: auto-replied\r\n",
					date, SPAN_ARG(l->id), SPAN_ARG(l->hostname)) &&
			buf_addf(out,
					"X-Postern-Notice: " SPAN_FMT
					"\r\nMIME-Version: 1.0\r\n",
					SPAN_ARG(l->hostname));
}

static bool
print_part(struct buf *out, const char *type, struct span text)
{
	return buf_addf(out,
			       "Content-Type: %s\r\n"
			       "Content-Transfer-Encoding: %s\r\n\r\n",
			       type, is_ascii(text) ? "7bit" : "8bit") &&
			buf_add(out, text);
}

/* ---- in words ---- */

static bool
print_failure(struct buf *out, const struct failure *f)
{
	bool ok = buf_add(out, SPAN("  ")) && enc_plain(out, f->recipient) &&
			buf_add(out, SPAN("\r\n"));

	if (f->tried.n > 0)
		ok = ok &&
				buf_addf(out,
						"    was tried for " SPAN_FMT
						" and is given up. The last answer:\r\n",
						SPAN_ARG(f->tried));
	ok = ok && buf_add(out, SPAN("    ")) && enc_plain(out, f->host) &&
			buf_add(out,
					f->host.n > 0 ? SPAN(" said:\r\n    ")
						      : SPAN("")) &&
			enc_plain(out, f->reply.n > 0 ? f->reply : SPAN("no answer"));
	return ok && buf_add(out, SPAN("\r\n\r\n"));
}

/* As many as fit; a list that is too long ends whole. */
static bool
print_failures(struct buf *out, const struct failure_report *r)
{
	size_t from = out->n, i = 0;

	for (; i < r->n && out->n - from < RECIPIENTS_OCTETS; i++)
		if (!print_failure(out, &r->v[i]))
			return false;
	return i == r->n || buf_addf(out, "  and %zu more\r\n\r\n", r->n - i);
}

static bool
print_advice(struct buf *out, const struct failure_report *r)
{
	const struct span id = r->trace;
	bool ok = buf_addf(out,
			"What to do:\r\n\r\n"
			"  postern trace " SPAN_FMT "\r\n"
			"    tells where it came from and what every server said\r\n",
			SPAN_ARG(id));

	if (!r->badmail)
		return ok &&
				buf_addf(out,
						"  postern queue show " SPAN_FMT "\r\n"
						"    the whole message is kept in the queue, since "
						"badmail.enabled is false\r\n",
						SPAN_ARG(id));
	return ok &&
			buf_addf(out,
					"  postern badmail show " SPAN_FMT "\r\n"
					"    the whole message is kept there\r\n"
					"  postern badmail replay " SPAN_FMT "\r\n"
					"    sends it again, once the reason is mended, to those "
					"who did not get it;\r\n"
					"    with --to ADDRESS to somebody else\r\n",
					SPAN_ARG(id), SPAN_ARG(id));
}

static bool
print_words(struct buf *out, const struct failure_report *r)
{
	bool ok = buf_add(out, SPAN("A message that was collected from the mailbox ")) &&
			enc_plain(out, r->account) &&
			buf_addf(out, "\r\ncould not be delivered to %s:\r\n\r\n",
					r->n == 1 ? "this recipient"
						  : "these recipients");

	ok = ok && print_failures(out, r) && buf_add(out, SPAN("Its sender, <")) &&
			enc_plain(out, r->sender) &&
			buf_add(out,
					SPAN(">, was not told: no report about collected mail\r\n"
					     "ever goes outside. Its trace id is ")) &&
			buf_add(out, r->trace) && buf_add(out, SPAN(".\r\n\r\n"));
	ok = ok && print_advice(out, r);
	if (r->header.n == 0)
		return ok && buf_add(out, SPAN("\r\nIts header could not be read just now.\r\n"));
	return ok && buf_add(out, SPAN("\r\nIts header is attached.\r\n"));
}

/* ---- the header of the message ---- */

/* A line that no next hop takes offence at, and that is not mistaken for our boundary.
 * The exact bytes are where the message is. */
static bool
print_line(struct buf *out, struct span line)
{
	bool ok = true;
	size_t column = 0;

	for (size_t i = 0; i < line.n && ok; i++) {
		if (line.p[i] == '\r' || line.p[i] == '\0')
			continue;
		if (column == 0 && line.p[i] == '-')
			ok = buf_addc(out, ' ');
		if (column++ == LINE_MOST) {
			ok = buf_add(out, SPAN("\r\n "));
			column = 1;
		}
		ok = ok && buf_addc(out, line.p[i]);
	}
	return ok && (column == 0 || buf_add(out, SPAN("\r\n")));
}

static bool
print_header(struct buf *out, struct span header)
{
	struct span rest = span_first(header, HEADER_OCTETS);
	bool ok = true;

	while (ok && rest.n > 0)
		ok = print_line(out, span_until(&rest, '\n'));
	return ok &&
			(header.n <= HEADER_OCTETS ||
					buf_add(out, SPAN("X-Postern-Cut: there is more of it\r\n")));
}

/* ---- the door ---- */

bool
failure_print(struct buf *out, const struct failure_letter *l,
		const struct failure_report *r)
{
	AUTO(buf_done) struct buf part = BUF_MAX(FAILURE_NOTICE_MAX);
	bool ok = print_top(out, l, "Collected mail could not be delivered",
				  r->trace) &&
			buf_addf(out,
					"Content-Type: multipart/mixed; boundary=\"=_" SPAN_FMT
					"\"\r\n\r\n",
					SPAN_ARG(l->id));

	ok = ok && print_words(&part, r) &&
			buf_addf(out, "--=_" SPAN_FMT "\r\n", SPAN_ARG(l->id)) &&
			print_part(out, "text/plain; charset=utf-8", buf_span(&part));
	if (ok && r->header.n > 0) {
		buf_clear(&part);
		ok = print_header(&part, r->header) &&
				buf_addf(out, "\r\n--=_" SPAN_FMT "\r\n",
						SPAN_ARG(l->id)) &&
				print_part(out, "text/rfc822-headers", buf_span(&part));
	}
	return ok && buf_addf(out, "\r\n--=_" SPAN_FMT "--\r\n", SPAN_ARG(l->id));
}

bool
failure_print_more(struct buf *out, const struct failure_letter *l, uint64_t more,
		int64_t since_s)
{
	char since[DATE_RFC5322_SIZE];

	date_rfc5322(since_s, since);
	return print_top(out, l, "More collected mail could not be delivered",
			       SPAN("")) &&
			buf_add(out,
					SPAN("Content-Type: text/plain; charset=us-ascii\r\n"
					     "Content-Transfer-Encoding: 7bit\r\n\r\n")) &&
			buf_addf(out,
					"Since %s,\r\n%llu more failures of collected mail "
					"were not told one by one: a\r\n"
					"postmaster gets one notice about a message, and at most "
					"20 within an hour.\r\n\r\n",
					since, (unsigned long long)more) &&
			buf_add(out,
					SPAN("What to do:\r\n\r\n"
					     "  postern badmail list\r\n"
					     "    lists what is kept, with its reason\r\n"
					     "  postern events --id 3012\r\n"
					     "    lists the recipients who did not get theirs\r\n"));
}

bool
failure_is_notice(struct span header, struct span hostname)
{
	struct header_field f;

	return header_find(header, SPAN("X-Postern-Notice"), &f) &&
			span_eq_nocase(span_trim(f.body), hostname);
}
