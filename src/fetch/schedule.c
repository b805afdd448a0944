#include "schedule.h"

#include <stdlib.h>

#include "memo.h"
#include "postern/must.h"

enum {
	SOON_MS = 60 * 1000, /* [IN-USE], [SYS/TEMP]: the first try */
	SOON_GROWS = 4, /* ... up to so many times `every` */
	DELAY_MS = 5 * 60 * 1000, /* [LOGIN-DELAY] without a number */
	AT_ONCE = 8, /* first polls that do not wait */
	APART_MS = 10, /* the others come one after the other */
};

void
schedule_init(struct schedule *s, size_t accounts)
{
	*s = (struct schedule){
		.due_ms = calloc(accounts + 1, sizeof(*s->due_ms)),
		.heap = calloc(accounts + 1, sizeof(*s->heap)),
		.place = calloc(accounts + 1, sizeof(*s->place)),
	};
	if (!s->due_ms || !s->heap || !s->place)
		abort();
}

void
schedule_done(struct schedule *s)
{
	free(s->due_ms);
	free(s->heap);
	free(s->place);
	*s = (struct schedule){ 0 };
}

static void
put(struct schedule *s, size_t at, uint32_t account)
{
	s->heap[at] = account;
	s->place[account] = (uint32_t)at + 1;
}

static bool
sooner(const struct schedule *s, uint32_t a, uint32_t b)
{
	/* Of two that are due together always the same one. */
	return s->due_ms[a] != s->due_ms[b] ? s->due_ms[a] < s->due_ms[b] : a < b;
}

static void
rise(struct schedule *s, size_t at, uint32_t account)
{
	while (at > 0) {
		uint32_t above = s->heap[(at - 1) / 2];

		if (!sooner(s, account, above))
			break;
		put(s, at, above);
		at = (at - 1) / 2;
	}
	put(s, at, account);
}

static void
sink(struct schedule *s, size_t at, uint32_t account)
{
	for (size_t below; (below = 2 * at + 1) < s->n; at = below) {
		if (below + 1 < s->n && sooner(s, s->heap[below + 1], s->heap[below]))
			below++;
		if (!sooner(s, s->heap[below], account))
			break;
		put(s, at, s->heap[below]);
	}
	put(s, at, account);
}

static void
settle(struct schedule *s, size_t at, uint32_t account)
{
	if (at > 0 && sooner(s, account, s->heap[(at - 1) / 2]))
		rise(s, at, account);
	else
		sink(s, at, account);
}

void
schedule_set(struct schedule *s, size_t account, int64_t due_ms)
{
	s->due_ms[account] = due_ms;
	if (s->place[account] > 0)
		settle(s, s->place[account] - 1, (uint32_t)account);
	else
		rise(s, s->n++, (uint32_t)account);
}

void
schedule_remove(struct schedule *s, size_t account)
{
	size_t place = s->place[account];

	if (place == 0)
		return;
	s->place[account] = 0;
	uint32_t last = s->heap[--s->n];
	if (place - 1 < s->n)
		settle(s, place - 1, last);
}

bool
schedule_first(const struct schedule *s, size_t *account, int64_t *due_ms)
{
	if (s->n == 0)
		return false;
	*account = s->heap[0];
	*due_ms = s->due_ms[s->heap[0]];
	return true;
}

enum schedule_word
schedule_word(struct span text)
{
	static const struct {
		struct span code;
		enum schedule_word word;
	} words[] = {
		{ { SPAN_INIT("[IN-USE]") }, SCHEDULE_IN_USE },
		{ { SPAN_INIT("[LOGIN-DELAY]") }, SCHEDULE_LOGIN_DELAY },
		{ { SPAN_INIT("[SYS/TEMP]") }, SCHEDULE_SYS_TEMP },
	};

	text = span_trim(text);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_starts_nocase(text, words[i].code))
			return words[i].word;
	return SCHEDULE_NO_WORD;
}

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int64_t
schedule_wait_ms(const struct schedule_poll *p)
{
	/* A server may ask for much; for more than an hour it has to ask again. */
	int64_t delay = least(p->login_delay_ms, SCHEDULE_HOUR_MS);
	int64_t soon = fetch_memo_wait_ms(least(p->every_ms, SOON_MS), p->failures);

	if (!p->failed)
		return most(0, most(p->every_ms, delay) - p->took_ms);
	switch (p->word) {
	case SCHEDULE_IN_USE:
	case SCHEDULE_HERE:
	case SCHEDULE_SYS_TEMP:
		return most(least(soon, SOON_GROWS * p->every_ms), delay);
	case SCHEDULE_LOGIN_DELAY:
		delay = delay > 0 ? delay : DELAY_MS;
		return fetch_memo_wait_ms(most(p->every_ms, delay), p->failures);
	case SCHEDULE_NO_WORD:
		break;
	}
	return most(fetch_memo_wait_ms(p->every_ms, p->failures), delay);
}

int64_t
schedule_first_ms(size_t account, size_t n, int64_t every_ms)
{
	MUST(account < n);
	if (account < AT_ONCE || every_ms <= 0)
		return 0;
	return (int64_t)(account - AT_ONCE + 1) * APART_MS % every_ms;
}
