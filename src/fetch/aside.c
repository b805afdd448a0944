/* Messages that will not come: each is asked for again after growing pauses, and one that
 * failed for three days is set aside with what is known of it (memo.h). The rest of the
 * mailbox goes on meanwhile. */
#include <stdio.h>
#include <sys/stat.h>

#include "postern/clock.h"
#include "postern/date.h"
#include "postern/digest.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/num.h"
#include "session.h"

enum { EVIDENCE_MAX = 16 * 1024, EVIDENCE_RING = 8 * 1024 };

/* "evidence/ACCOUNT-DIGEST.txt": the same for the same message, so it is one file. */
static void
file_name(struct pop_session *s, size_t i, char out[160])
{
	struct span parts[] = { s->poll->name, SPAN("/"),
		pop_listing_uid(&s->listing, i) };
	uint8_t sum[DIGEST_SIZE];
	char hex[DIGEST_HEX_SIZE];

	digest_of(parts, 3, sum);
	digest_hex(sum, hex);
	(void)snprintf(out, 160, "%.*s-%.16s.txt",
			(int)(s->poll->name.n < 100 ? s->poll->name.n : 100),
			s->poll->name.p, hex);
}

static bool
print_evidence(struct pop_session *s, size_t i, struct span why, struct buf *out)
{
	struct buf ring = BUF_MAX(POLL_SESSION_MAX);
	struct span said;
	bool ok = buf_addf(out,
			"Account: " SPAN_FMT "\nServer: %s\nUnique-id: " SPAN_FMT
			"\nMessage number: %zu\nOctets as listed: %llu\nWhat happened last: ",
			SPAN_ARG(s->poll->name), s->poll->account->server.name,
			SPAN_ARG(pop_listing_uid(&s->listing, i)), i + 1,
			(unsigned long long)s->listing.items[i].octets);

	for (size_t k = 0; ok && k < why.n; k++)
		ok = buf_addc(out, ring_tame(why.p[k]));
	ok = ok && buf_add(out, SPAN("\n\nThe end of the session:\n")) &&
			ring_print(&s->poll->ring, &ring);
	said = buf_span(&ring);
	if (said.n > EVIDENCE_RING)
		said = span_skip(said, said.n - EVIDENCE_RING);
	ok = ok && buf_add(out, said);
	buf_done(&ring);
	return ok;
}

/* Below the state directory; path gets where, or why not. */
static void
keep_evidence(struct pop_session *s, size_t i, struct span why, struct buf *path)
{
	struct buf text = BUF_MAX(EVIDENCE_MAX);
	struct err err = { 0 };
	char name[160];
	AUTO(fd_done) int state = -1;
	AUTO(fd_done) int dir = -1;

	file_name(s, i, name);
	state = dir_open(AT_FDCWD, s->poll->setup->state, &err);
	if (state >= 0)
		dir = dir_make(state, "evidence", 0700, &err);
	if (dir >= 0 && print_evidence(s, i, why, &text) &&
			file_write_atomic(dir, name, 0600, buf_span(&text), &err)) {
		file_set_time(dir, name, pop_steady_ms(s->poll->reader) / 1000);
		(void)!buf_addf(path, "%sevidence/%s", s->poll->setup->state, name);
	} else
		(void)!buf_addf(path, "none (%s)", err.text);
	buf_done(&text);
}

static void
say_aside(struct pop_session *s, size_t i, struct memo_message *m, struct span why)
{
	AUTO(buf_done) struct buf trace = BUF_MAX(1024);
	AUTO(buf_done) struct buf path = BUF_MAX(1024);
	char next[DATE_ISO_SIZE];

	if (m->aside || !pop_trace(s, i, &trace))
		return;
	m->aside = true;
	keep_evidence(s, i, why, &path);
	date_iso(m->next_ms, next);
	log_event(EVENT_SET_ASIDE,
			FIELDS(f_span("account", s->poll->name),
					f_span("id", buf_span(&trace)),
					f_span("uidl", pop_listing_uid(&s->listing, i)),
					f_num("attempts", m->attempts),
					f_span("path", buf_span(&path)),
					f_str("next", next)));
}

void
pop_attempt_failed(struct pop_session *s, size_t i, struct span why)
{
	struct memo_message *m =
			fetch_memo_get(s->poll->memo, pop_listing_uid(&s->listing, i));

	if (m && fetch_memo_failed(m, clock_wall_ms()))
		say_aside(s, i, m, why);
}

void
pop_set_aside(struct pop_session *s, size_t i, struct span why)
{
	struct memo_message *m =
			fetch_memo_get(s->poll->memo, pop_listing_uid(&s->listing, i));

	if (!m)
		return;
	(void)fetch_memo_failed(m, clock_wall_ms());
	say_aside(s, i, m, why);
	fetch_memo_set_aside(m, clock_wall_ms());
}

void
pop_not_retrieved(struct pop_session *s, size_t i, struct span why)
{
	AUTO(buf_done) struct buf trace = BUF_MAX(1024);
	struct span uid = pop_listing_uid(&s->listing, i);
	const struct memo_message *m = fetch_memo_find(s->poll->memo, uid);
	unsigned attempt = m ? m->attempts + 1 : 1;
	char next[DATE_ISO_SIZE];

	s->poll->result.failures++;
	/* 4011 first, then what follows from it. */
	if (pop_trace(s, i, &trace)) {
		date_iso(clock_wall_ms() + fetch_memo_pause_ms(attempt), next);
		log_event(EVENT_RETRIEVE_FAILED,
				FIELDS(f_span("account", s->poll->name),
						f_span("id", buf_span(&trace)),
						f_span("uidl", uid),
						f_span("reply", why),
						f_num("attempt", attempt),
						f_num("attempts",
								attempt > MEMO_ATTEMPTS
										? attempt
										: MEMO_ATTEMPTS),
						f_str("next", next)));
	}
	pop_attempt_failed(s, i, why);
	fetch_poll_publish(s->poll);
}

void
pop_say_oversize(struct pop_session *s, size_t i, const char *action)
{
	struct buf trace = BUF_MAX(1024);
	struct memo_message *m =
			fetch_memo_get(s->poll->memo, pop_listing_uid(&s->listing, i));
	char max[24];

	if (m && m->told)
		return;
	if (m)
		m->told = true;
	num_size_print(s->poll->account->max_size, max);
	if (pop_trace(s, i, &trace))
		log_event(EVENT_OVERSIZE,
				FIELDS(f_span("account", s->poll->name),
						f_span("id", buf_span(&trace)),
						f_span("uidl",
								pop_listing_uid(&s->listing,
										i)),
						f_num("bytes",
								(int64_t)s->messages[i]
										.octets),
						f_str("max", max),
						f_str("action", action)));
	buf_done(&trace);
}
