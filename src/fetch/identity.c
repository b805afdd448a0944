/* Which message it is: by its unique-id where that can be believed, else by its
 * content (FAULTS P02). */
#include <stdio.h>

#include "message.h"
#include "postern/digest.h"
#include "postern/origin.h"
#include "print.h"

enum { KEY_SIZE = sizeof("sha256::") + DIGEST_HEX_SIZE + 24 };

static void
content_key(struct reading *r)
{
	struct span head = buf_span(&r->s->head);
	uint8_t sum[DIGEST_SIZE];
	char hex[DIGEST_HEX_SIZE], key[KEY_SIZE];

	digest_of(&head, 1, sum);
	digest_hex(sum, hex);
	(void)snprintf(key, sizeof(key), "sha256:%s:%llu", hex,
			(unsigned long long)r->s->listing.items[r->i].octets);
	pop_set_key(r->s, r->i, key);
}

/* A message known by its content: was it here before? */
static bool
look_for_key(struct reading *r)
{
	struct pop_session *s = r->s;
	enum origin_state state = ORIGIN_NEW;
	int64_t since_ms = 0;
	struct err err = { 0 };

	content_key(r);
	if (!s->poll->reader)
		return true;
	if (!origin_look(s->poll->reader, s->poll->name, pop_key(s, r->i), &state, NULL,
			    &err) ||
			!origin_since(s->poll->reader, s->poll->name, pop_key(s, r->i),
					&since_ms, &err))
		return pop_fail(s, err.event ? err.event : EVENT_DATABASE_TROUBLE, "%s",
				err.text);
	if (state == ORIGIN_NEW)
		return true;

	int64_t keep_s = s->poll->account->keep_s;
	r->drop = true;
	s->messages[r->i].durable = keep_s == 0 ||
			(keep_s > 0 &&
					pop_steady_ms(s->poll->reader) - since_ms >=
							keep_s * 1000);
	return true;
}

/* It is the message that its unique-id stood for. One that was deleted before is to be
 * deleted again; one that was only listed with another size goes by its age. */
static void
known_after_all(struct pop_session *s, size_t i)
{
	struct pop_message *m = &s->messages[i];
	int64_t keep_s = s->poll->account->keep_s;
	struct memo_message *memo;

	pop_set_key(s, i, NULL);
	s->kept_again += m->known == POP_SETTLED;
	if (!m->changed) {
		m->durable = keep_s >= 0;
		return;
	}
	m->durable = keep_s >= 0 &&
			pop_steady_ms(s->poll->reader) / 1000 -
							(int64_t)m->committed_s >=
					keep_s;
	memo = fetch_memo_get(s->poll->memo, pop_listing_uid(&s->listing, i));
	if (memo)
		memo->verified = true;
}

/* Its unique-id was another one's, or is it the same? The print kept with the origin
 * decides. In doubt it is collected: a mail twice is better than a mail that is nowhere,
 * and for two weeks the relay knows copies by all their octets (E7). */
static enum pop_likeness
likeness(const struct pop_session *s, size_t i)
{
	const struct pop_message *m = &s->messages[i];
	struct span head = buf_span(&s->head);
	enum pop_likeness is =
			pop_print_compare(m->print, head, s->listing.items[i].octets);

	if (m->known == POP_SETTLED && !pop_print_tells(head))
		return PRINT_OTHER;
	if (is == PRINT_HEADER && m->changed && pop_known_recounted(&s->known))
		return PRINT_SAME;
	return is;
}

bool
reading_name(struct reading *r)
{
	struct pop_session *s = r->s;

	if (s->messages[r->i].fate != POP_VERIFY)
		return pop_listing_uid(&s->listing, r->i).n > 0 || look_for_key(r);
	switch (likeness(s, r->i)) {
	case PRINT_SAME:
		r->drop = true;
		known_after_all(s, r->i);
		return true;
	case PRINT_HEADER: /* LIST may have told wrong, now or then */
		r->doubt = true;
		break;
	case PRINT_OTHER:
		break;
	}
	return look_for_key(r);
}

bool
reading_is_known(struct reading *r)
{
	if (!r->doubt || r->drop ||
			!pop_print_size_is(r->s->messages[r->i].print, r->octets))
		return false;
	known_after_all(r->s, r->i);
	r->s->poll->result.known++;
	return true;
}
