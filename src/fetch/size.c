/* How long a message is beside what LIST says. Many servers only guess there (P04), and
 * some hand out less than there is: cut at a size of their own (P06), or the header alone
 * for the first RETR after TOP. So what is short is asked for again, and the same
 * twice is believed: at once where little is missing, at the next poll where it is much.
 * By how much LIST was off is remembered, so the next ones cost nothing. What has no
 * body at all is always asked for again. */
#include "message.h"

enum {
	LITTLE = 16 * 1024, /* beside a quarter of the message */
	SAME_FOR_ALL = 1024, /* off by no more than that: lines that LIST counts too many */
	SHARE_MAX = 250, /* of a thousand */
	ASK_MOST = 2, /* more, in one session */
};

static uint64_t
slack(const struct fetch_memo *m, uint64_t listed)
{
	uint64_t share = listed / 1000 * m->off_share;

	return share > m->off_octets ? share : m->off_octets;
}

static void
learn(struct fetch_memo *m, uint64_t off, uint64_t listed)
{
	uint64_t share = off / (listed / 1000 + 1) + 1;

	if (off <= SAME_FOR_ALL)
		m->off_octets = off > m->off_octets ? (unsigned)off : m->off_octets;
	else if (share <= SHARE_MAX && share > m->off_share)
		m->off_share = (unsigned)share;
}

enum reading_size
reading_size(struct reading *r)
{
	struct pop_session *s = r->s;
	struct pop_message *message = &s->messages[r->i];
	struct fetch_memo *memo = s->poll->memo;
	uint64_t listed = s->listing.items[r->i].octets;
	uint64_t off = listed > r->octets ? listed - r->octets : 0;
	bool asked = message->asked > 0, much = off > listed / 4 + LITTLE;

	if (off == 0 || (r->octets > s->head.n && off <= slack(memo, listed)))
		return SIZE_FITS;
	struct memo_message *m =
			fetch_memo_get(memo, pop_listing_uid(&s->listing, r->i));
	bool same = m ? m->octets == r->octets : asked;
	if (m)
		m->octets = r->octets;
	if (same && (!much || !asked)) {
		learn(memo, off, listed);
		return SIZE_FITS;
	}
	if (same || message->asked == ASK_MOST)
		return SIZE_SHORT;
	message->asked++;
	message->again = true;
	return SIZE_AGAIN;
}
