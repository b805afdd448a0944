#include "memo.h"

#include <stdlib.h>
#include <string.h>

#include "postern/digest.h"
#include "postern/num.h"
#include "postern/secret_read.h"

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS };

/* Asked for so long, a message is set aside. */
static const int64_t patience_ms = 3 * (int64_t)DAY_MS;

static uint64_t
digest(struct span text)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (size_t i = 0; i < text.n; i++)
		h = (h ^ (unsigned char)text.p[i]) * UINT64_C(0x100000001b3);
	return h;
}

unsigned
fetch_memo_check(const struct span *parts, size_t n)
{
	uint8_t sum[DIGEST_SIZE];

	digest_of(parts, n, sum);
	unsigned check = (unsigned)sum[0] << 8 | sum[1];
	secret_wipe(sum, sizeof(sum));
	return check ? check : 1;
}

void
fetch_memo_init(struct fetch_memo *m, const uint64_t seed[2])
{
	*m = (struct fetch_memo){ .newcomer = true };
	map_init(&m->messages, seed[0], seed[1]);
	m->kept = digest(SPAN(""));
}

void
fetch_memo_done(struct fetch_memo *m)
{
	size_t at = 0;

	for (struct map_slot *slot; (slot = map_next(&m->messages, &at));)
		free(slot->value);
	map_done(&m->messages);
}

struct memo_message *
fetch_memo_find(const struct fetch_memo *m, struct span uid)
{
	return m->messages.n > 0 && uid.n > 0 ? map_get(&m->messages, uid) : NULL;
}

struct memo_message *
fetch_memo_get(struct fetch_memo *m, struct span uid)
{
	struct memo_message *known = fetch_memo_find(m, uid);

	if (known || uid.n == 0 || m->messages.n >= MEMO_MESSAGES)
		return known;
	known = calloc(1, sizeof(*known) + uid.n);
	if (!known)
		abort();
	known->uid_n = uid.n;
	memcpy(known->uid, uid.p, uid.n);
	map_put(&m->messages, (struct span){ known->uid, uid.n }, known);
	return known;
}

void
fetch_memo_forget(struct fetch_memo *m, struct span uid)
{
	if (fetch_memo_find(m, uid))
		free(map_del(&m->messages, uid));
}

void
fetch_memo_sweep(struct fetch_memo *m, bool (*listed)(void *host, struct span uid),
		void *host)
{
	struct memo_message **gone =
			calloc(m->messages.n + 1, sizeof(struct memo_message *));
	size_t at = 0, n = 0;

	if (!gone)
		abort();
	for (struct map_slot *slot; (slot = map_next(&m->messages, &at));) {
		struct memo_message *msg = slot->value;

		if (!listed(host, (struct span){ msg->uid, msg->uid_n }))
			gone[n++] = msg;
	}
	for (size_t i = 0; i < n; i++)
		fetch_memo_forget(m, (struct span){ gone[i]->uid, gone[i]->uid_n });
	free(gone);
}

/* ---- when a message is asked for again ---- */

int64_t
fetch_memo_pause_ms(unsigned attempts)
{
	/* Most of what fails once is here a moment later. */
	static const int64_t pauses[] = { 0, 5 * MINUTE_MS, 15 * MINUTE_MS,
		30 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS, 4 * HOUR_MS, 6 * HOUR_MS };
	enum { LAST = sizeof(pauses) / sizeof(pauses[0]) - 1 };

	if (attempts == 0)
		return 0;
	return pauses[attempts - 1 < LAST ? attempts - 1 : LAST];
}

/* A clock that was ahead may have set a moment that is years away. */
static bool
is_past(int64_t moment_ms, int64_t wall_ms)
{
	int64_t left = moment_ms - wall_ms;

	return left <= 0 || left > DAY_MS;
}

bool
fetch_memo_failed(struct memo_message *m, int64_t wall_ms)
{
	int64_t passed = m->last_ms > 0 ? wall_ms - m->last_ms : 0;

	if (passed > 0)
		m->waited_ms += passed < DAY_MS ? passed : DAY_MS;
	m->attempts++;
	m->last_ms = wall_ms;

	bool aside = m->aside || m->waited_ms >= patience_ms;
	m->next_ms = wall_ms + (aside ? DAY_MS : fetch_memo_pause_ms(m->attempts));
	return aside;
}

void
fetch_memo_set_aside(struct memo_message *m, int64_t wall_ms)
{
	m->aside = true;
	m->last_ms = wall_ms;
	m->next_ms = wall_ms + DAY_MS;
}

bool
fetch_memo_due(const struct memo_message *m, int64_t wall_ms)
{
	return is_past(m->next_ms, wall_ms);
}

bool
fetch_memo_not_deleted(struct memo_message *m, unsigned most, int64_t wall_ms)
{
	m->deletes++;
	if (m->deletes < most)
		return false;
	m->delete_ms = wall_ms + DAY_MS;
	return true;
}

bool
fetch_memo_may_delete(const struct memo_message *m, int64_t wall_ms)
{
	return is_past(m->delete_ms, wall_ms);
}

bool
fetch_memo_leaves_kept(const struct fetch_memo *m, int64_t wall_ms)
{
	return m->kept_rounds >= MEMO_ROUNDS &&
			!is_past(m->kept_try_ms + DAY_MS, wall_ms);
}

/* ---- what waits ---- */

void
fetch_memo_troubles(const struct fetch_memo *m, struct memo_troubles *out)
{
	size_t at = 0;

	*out = (struct memo_troubles){ 0 };
	for (struct map_slot *slot; (slot = map_next(&m->messages, &at));) {
		const struct memo_message *msg = slot->value;

		if (msg->attempts == 0 && !msg->aside)
			continue;
		out->aside += msg->aside;
		out->waiting += !msg->aside;
		if (out->again_ms == 0 || msg->next_ms < out->again_ms)
			out->again_ms = msg->next_ms;
	}
}

/* ---- the server's habits ---- */

void
fetch_memo_at(struct fetch_memo *m, unsigned server)
{
	if (m->server != 0 && m->server != server) {
		m->alone_until_ms = 0;
		m->grounded_until_ms = 0;
		m->flights_lost = 0;
		m->off_octets = m->off_share = 0;
	}
	m->server = server;
}

/* More than that is left only of what a clock set that was ahead. */
static bool
not_yet(int64_t until_ms, int64_t wall_ms)
{
	int64_t left = until_ms - wall_ms;

	return left > 0 && left <= MEMO_HABIT_MS;
}

bool
fetch_memo_alone(const struct fetch_memo *m, int64_t wall_ms)
{
	return not_yet(m->alone_until_ms, wall_ms);
}

bool
fetch_memo_grounded(const struct fetch_memo *m, int64_t wall_ms)
{
	return not_yet(m->grounded_until_ms, wall_ms);
}

/* ---- as text: a line for each fact, "KEY VALUE..." ---- */

static bool
put_number(struct buf *out, const char *key, uint64_t n)
{
	return n == 0 || buf_addf(out, "%s %llu\n", key, (unsigned long long)n);
}

static bool
put_newcomer(struct buf *out, const struct fetch_memo *m)
{
	return m->newcomer ? buf_addf(out, "newcomer %u %u\n", m->nobody, m->nobody_why)
			   : buf_addf(out, "newcomer -\n");
}

static bool
put_message(struct buf *out, const struct memo_message *m)
{
	return buf_addf(out, "message %.*s %u %u %d %d %d %llu %d", (int)m->uid_n,
			       m->uid, m->attempts, m->crashes, m->told, m->aside,
			       m->verified, (unsigned long long)m->octets,
			       m->suspect) &&
			buf_addf(out, " %llu %lld %lld %lld %u %lld\n",
					(unsigned long long)m->listed,
					(long long)m->last_ms, (long long)m->next_ms,
					(long long)m->waited_ms, m->deletes,
					(long long)m->delete_ms);
}

static void
end_pauses(struct memo_message *m)
{
	m->next_ms = m->delete_ms = 0;
}

void
fetch_memo_retry(struct fetch_memo *m, struct span uid)
{
	struct memo_message *one = uid.n > 0 ? fetch_memo_find(m, uid) : NULL;
	size_t at = 0;

	if (one)
		end_pauses(one);
	if (uid.n > 0)
		return;
	m->logon_ms = 0;
	for (struct map_slot *slot; (slot = map_next(&m->messages, &at));)
		end_pauses(slot->value);
}

bool
fetch_memo_print(struct fetch_memo *m, struct buf *out)
{
	size_t at = 0;

	bool ok = put_number(out, "failures", m->failures) &&
			put_number(out, "refusals", m->refusals) &&
			put_number(out, "server", m->server) &&
			put_number(out, "alone", (uint64_t)m->alone_until_ms) &&
			put_number(out, "grounded", (uint64_t)m->grounded_until_ms) &&
			put_number(out, "flights", m->flights_lost) &&
			put_number(out, "off-octets", m->off_octets) &&
			put_number(out, "off-share", m->off_share) &&
			put_number(out, "check", m->check) &&
			put_number(out, "refused", m->refused) &&
			put_number(out, "logon", (uint64_t)m->logon_ms) &&
			put_number(out, "kept", (uint64_t)m->kept_ms) &&
			put_number(out, "rounds", m->kept_rounds) &&
			put_number(out, "tried", (uint64_t)m->kept_try_ms) &&
			put_number(out, "proven", m->proven) &&
			put_number(out, "heard", (uint64_t)m->heard_ms) &&
			put_number(out, "delay", m->login_delay_s) &&
			put_number(out, "caps", m->caps) &&
			put_number(out, "held", m->held) && put_newcomer(out, m) &&
			put_number(out, "held_at", m->held_at) &&
			put_number(out, "retried", m->retried) &&
			put_number(out, "domainless", m->domainless) &&
			provider_print(&m->provider, out);
	for (struct map_slot *slot; ok && (slot = map_next(&m->messages, &at));) {
		size_t before = out->n;

		ok = put_message(out, slot->value);
		if (!ok)
			out->n = before;
	}
	m->printed = digest(buf_span(out));
	/* What was never read must not be overwritten. */
	return m->loaded && m->printed != m->kept;
}

void
fetch_memo_kept(struct fetch_memo *m)
{
	m->kept = m->printed;
}

static uint64_t
get_number(struct span *line, uint64_t max)
{
	uint64_t n;

	return num_u64(span_word(line), max, &n) ? n : 0;
}

static void
read_newcomer(struct fetch_memo *m, struct span line)
{
	uint64_t nobody;

	m->newcomer = num_u64(span_word(&line), MEMO_FIRST, &nobody);
	m->nobody = m->newcomer ? (unsigned)nobody : 0;
	m->nobody_why = m->newcomer ? (unsigned)get_number(&line, 3) : 0;
}

static void
read_message(struct fetch_memo *m, struct span line)
{
	struct memo_message *msg = fetch_memo_get(m, span_word(&line));

	if (!msg)
		return;
	msg->attempts = (unsigned)get_number(&line, 1000);
	msg->crashes = (unsigned)get_number(&line, 1000);
	msg->told = get_number(&line, 1);
	msg->aside = get_number(&line, 1);
	msg->verified = get_number(&line, 1);
	msg->octets = get_number(&line, INT64_MAX);
	msg->suspect = get_number(&line, 1);
	msg->listed = get_number(&line, INT64_MAX);
	msg->last_ms = (int64_t)get_number(&line, INT64_MAX);
	msg->next_ms = (int64_t)get_number(&line, INT64_MAX);
	msg->waited_ms = (int64_t)get_number(&line, INT64_MAX / 2);
	msg->deletes = (unsigned)get_number(&line, 1000);
	msg->delete_ms = (int64_t)get_number(&line, INT64_MAX);
}

/* What the server is like. False: the key is none of these. */
static bool
read_habit(struct fetch_memo *m, struct span key, struct span line)
{
	if (span_eq(key, SPAN("alone")))
		m->alone_until_ms = (int64_t)get_number(&line, INT64_MAX);
	else if (span_eq(key, SPAN("server")))
		m->server = (unsigned)get_number(&line, 0xffff);
	else if (span_eq(key, SPAN("grounded")))
		m->grounded_until_ms = (int64_t)get_number(&line, INT64_MAX);
	else if (span_eq(key, SPAN("flights")))
		m->flights_lost = (unsigned)get_number(&line, 1000);
	else if (span_eq(key, SPAN("off-octets")))
		m->off_octets = (unsigned)get_number(&line, UINT16_MAX);
	else if (span_eq(key, SPAN("off-share")))
		m->off_share = (unsigned)get_number(&line, 1000);
	else if (span_eq(key, SPAN("proven")))
		m->proven = get_number(&line, 1);
	else if (span_eq(key, SPAN("heard")))
		m->heard_ms = (int64_t)get_number(&line, INT64_MAX);
	else if (span_eq(key, SPAN("delay")))
		m->login_delay_s = get_number(&line, UINT32_MAX);
	else if (span_eq(key, SPAN("caps")))
		m->caps = (unsigned)get_number(&line, 0xff);
	else
		return false;
	return true;
}

void
fetch_memo_read(struct fetch_memo *m, struct span text)
{
	m->kept = digest(text);
	/* What older programs remember is of accounts that are known. */
	m->newcomer = text.n == 0;
	while (text.n > 0) {
		struct span line = span_until(&text, '\n'), key = span_word(&line);

		if (read_habit(m, key, line))
			continue;
		if (span_eq(key, SPAN("failures")))
			m->failures = (unsigned)get_number(&line, 1000000);
		else if (span_eq(key, SPAN("refusals")))
			m->refusals = (unsigned)get_number(&line, 1000000);
		else if (span_eq(key, SPAN("check")))
			m->check = (unsigned)get_number(&line, 0xffff);
		else if (span_eq(key, SPAN("refused")))
			m->refused = (unsigned)get_number(&line, 0xffff);
		else if (span_eq(key, SPAN("logon")))
			m->logon_ms = (int64_t)get_number(&line, INT64_MAX);
		else if (span_eq(key, SPAN("kept")))
			m->kept_ms = (int64_t)get_number(&line, INT64_MAX);
		else if (span_eq(key, SPAN("retried")))
			m->retried = get_number(&line, INT64_MAX);
		else if (span_eq(key, SPAN("rounds")))
			m->kept_rounds = (unsigned)get_number(&line, 1000000);
		else if (span_eq(key, SPAN("tried")))
			m->kept_try_ms = (int64_t)get_number(&line, INT64_MAX);
		else if (span_eq(key, SPAN("held")))
			m->held = get_number(&line, 1);
		else if (span_eq(key, SPAN("newcomer")))
			read_newcomer(m, line);
		else if (span_eq(key, SPAN("held_at")))
			m->held_at = get_number(&line, INT64_MAX);
		else if (span_eq(key, SPAN("domainless")))
			m->domainless = get_number(&line, 1);
		else if (span_eq(key, SPAN("provider")))
			provider_read(&m->provider, line);
		else if (span_eq(key, SPAN("message")))
			read_message(m, line);
	}
}

int64_t
fetch_memo_suspension_ms(unsigned refusals)
{
	enum { MOST_MS = 6 * HOUR_MS };
	int64_t wait = 15 * MINUTE_MS;

	for (unsigned i = MEMO_REFUSALS; i < refusals && wait < MOST_MS; i++)
		wait *= 2;
	return wait < MOST_MS ? wait : MOST_MS;
}

bool
fetch_memo_suspended(const struct fetch_memo *m, int64_t wall_ms)
{
	return m->refusals >= MEMO_REFUSALS && !is_past(m->logon_ms, wall_ms);
}

int64_t
fetch_memo_wait_ms(int64_t every_ms, unsigned failures)
{
	int64_t limit = every_ms > HOUR_MS ? every_ms : HOUR_MS;
	int64_t wait = every_ms;

	for (unsigned i = 1; i < failures && wait < limit; i++)
		wait *= 2;
	return wait < limit ? wait : limit;
}
