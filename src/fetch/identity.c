/* Which message it is: by its unique-id where that can be believed, else by its
 * content (FAULTS P02). */
#include <stdio.h>

#include "message.h"
#include "postern/digest.h"
#include "postern/origin.h"
#include "postern/queue.h"
#include "postern/trace.h"

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

/* Its unique-id named a message that was deleted. The same again, or another? */
static bool
same_as_before(struct reading *r, bool *same)
{
	struct pop_session *s = r->s;
	struct arena arena = ARENA_MAX(4 * 1024 * 1024);
	struct queue_story story;
	struct header_field f;
	struct err err = { 0 };
	bool found = false, ok;

	*same = false;
	ok = queue_show(s->poll->reader, s->messages[r->i].id, &arena, &story, &found,
			&err);
	if (ok && found && header_find(buf_span(&s->head), SPAN("Message-ID"), &f)) {
		struct span now = trace_message_id(&arena, f.body);
		struct span then = trace_message_id(&arena, story.message.message_id);
		*same = now.n > 0 && span_eq(now, then);
	}
	arena_done(&arena);
	return ok || pop_fail(s, err.event ? err.event : 9005, "%s", err.text);
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
		return pop_fail(s, err.event ? err.event : 9005, "%s", err.text);
	if (state == ORIGIN_NEW)
		return true;

	int64_t keep_s = s->poll->account->keep_s;
	r->drop = true;
	s->messages[r->i].durable = keep_s == 0 ||
			(keep_s > 0 && pop_steady_ms(s->poll->reader) - since_ms >=
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

bool
reading_name(struct reading *r)
{
	struct pop_session *s = r->s;
	bool same;

	if (s->messages[r->i].fate == POP_VERIFY) {
		if (!same_as_before(r, &same))
			return false;
		if (!same)
			return look_for_key(r);
		r->drop = true;
		known_after_all(s, r->i);
		return true;
	}
	return pop_listing_uid(&s->listing, r->i).n > 0 || look_for_key(r);
}
