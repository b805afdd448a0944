/* oversize: notice. The recipients of a message that is too large get its header and
 * a note in place of its body; the message itself stays at the provider. The notice
 * has an origin of its own, so it comes once, and the message still comes whole when
 * max_size is raised. */
#include <stdio.h>

#include "known.h"
#include "message.h"
#include "postern/num.h"

/* Fields that speak of a body that is not here. */
static bool
of_the_body(const struct header_field *f)
{
	static const struct span names[] = {
		{ SPAN_INIT("MIME-Version") },
		{ SPAN_INIT("DKIM-Signature") },
		{ SPAN_INIT("Lines") },
	};

	if (span_starts_nocase(f->name, SPAN("Content-")) ||
			span_starts_nocase(f->name, SPAN("ARC-")))
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (header_is(f, names[i]))
			return true;
	return false;
}

/* The header of the notice, from that of the message. */
static bool
print_header(struct pop_session *s, size_t i, struct buf *out)
{
	struct header_scan scan;
	struct header_field f;

	header_scan_init(&scan, buf_span(&s->head));
	while (header_next(&scan, &f)) {
		if (f.kind == HEADER_FIELD && of_the_body(&f))
			continue;
		if (f.kind == HEADER_MBOX || !span_find(f.raw, '\n'))
			continue;
		if (!buf_add(out, f.raw))
			return false;
	}
	if (out->n > 0 && out->p[out->n - 1] != '\n' && !buf_add(out, SPAN("\r\n")))
		return false;
	return buf_addf(out,
			"X-Postern-Oversize: %llu\r\nMIME-Version: 1.0\r\n"
			"Content-Type: text/plain; charset=us-ascii\r\n"
			"Content-Transfer-Encoding: 7bit\r\n\r\n",
			(unsigned long long)s->messages[i].octets);
}

static bool
print_note(struct pop_session *s, size_t i, struct buf *out)
{
	const struct conf_account *a = s->poll->account;
	const char *postmaster = s->poll->setup->conf->server.postmaster;
	char max[24];

	num_size_print(a->max_size, max);
	return buf_addf(out,
			       "This message has %llu octets. That is more than the %s that are\r\n"
			       "collected from the mailbox %s at %s, so only\r\n"
			       "its header is delivered here.\r\n\r\n"
			       "The whole message is still at the provider. It can be read there, for\r\n"
			       "example by web mail. ",
			       (unsigned long long)s->messages[i].octets, max, a->name,
			       a->server.name) &&
			buf_addf(out,
					"To have messages of this size delivered, ask\r\n"
					"%s to raise max_size of the account %s.\r\n",
					postmaster ? postmaster : "your administrator",
					a->name);
}

static bool
deliver(struct pop_session *s, size_t i, struct span key)
{
	struct buf text = BUF_MAX(4096), head = BUF_MAX(HEADER_MAX);
	struct reading r = { .s = s, .i = i, .key = key };
	bool ok = print_header(s, i, &head) && print_note(s, i, &text);

	buf_clear(&s->out);
	buf_clear(&s->head);
	/* A header that leaves no room for ours: its recipients are not told. */
	if (ok && buf_add(&s->head, buf_span(&head))) {
		r.octets = head.n + text.n;
		ok = reading_decide(&r, false) && reading_add(&r, buf_span(&text)) &&
				reading_end(&r);
		if (ok)
			pop_say_oversize(s, i, "header-only");
	} else {
		ok = true;
		pop_say_oversize(s, i, "skip");
	}
	buf_done(&text);
	buf_done(&head);
	return ok;
}

bool
pop_notices(struct pop_session *s)
{
	struct buf key = BUF_MAX(KNOWN_KEY_MAX);
	bool ok = true, got;

	for (size_t i = 0;
			ok && s->plan.notice > 0 && i < s->listing.n && !s->relay_down;
			i++) {
		if (s->messages[i].fate != POP_NOTICE)
			continue;
		/* Without a name of its own it would be told again and again. */
		if (!pop_known_notice_key(pop_listing_uid(&s->listing, i), &key)) {
			pop_say_oversize(s, i, "skip");
			continue;
		}
		ok = pop_sdps_ask(s, i) && pop_peek_send(s, i) && pop_flush(s) &&
				pop_peek_read(s, i, &got) &&
				(!got || deliver(s, i, buf_span(&key)));
		pop_progress(s);
	}
	buf_done(&key);
	return ok;
}
