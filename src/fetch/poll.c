#include "poll.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hand.h"
#include "hours.h"
#include "look.h"
#include "mailbox.h"
#include "postern/accountstore.h"
#include "postern/clock.h"
#include "postern/date.h"
#include "postern/event.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/origin.h"
#include "session.h"
#include "suspend.h"
#include "tell.h"

enum { SERVERS_MAX = 16 };

/* "ADDRESS:PORT" for the resolver, NULL at the end; in one piece of memory. */
static const char *const *
dns_servers(const struct conf_hosts *hosts)
{
	size_t n = hosts->n < SERVERS_MAX ? hosts->n : SERVERS_MAX;
	enum { TEXT = 80 };

	if (n == 0)
		return NULL;

	char **list = calloc(n + 1, sizeof(*list) + TEXT);
	if (!list)
		abort();
	char *text = (char *)(list + n + 1);
	for (size_t i = 0; i < n; i++, text += TEXT) {
		const struct conf_host *h = &hosts->p[i];
		bool v6 = strchr(h->name, ':') != NULL;

		list[i] = text;
		(void)snprintf(text, TEXT, v6 ? "[%s]:%u" : "%s:%u", h->name, h->port);
	}
	return (const char *const *)list;
}

void
fetch_setup_init(struct fetch_setup *s, const struct conf *conf, const char *state)
{
	*s = (struct fetch_setup){
		.conf = conf,
		.state = file_path(state, ""),
		.socket = file_path(state, "run/relay.sock"),
		.control = file_path(state, "run/relay.ctl"),
		.dns = {
			.servers = dns_servers(&conf->dns.servers),
			.timeout_ms = conf->dns.timeout_s * 1000,
		},
	};
	s->limits = (struct fetch_limits){
		.greeting_ms = 30000,
		.idle_ms = 120000,
		.rate_ms = 60000,
		.session_ms = 30 * 60000,
	};
	clock_random(s->seed, sizeof(s->seed));
	s->book = book_new();
}

void
fetch_setup_done(struct fetch_setup *s)
{
	union {
		const char *const *in;
		void *out;
	} servers = { .in = s->dns.servers };

	free(servers.out);
	book_free(s->book);
	free(s->socket);
	free(s->control);
	free(s->state);
	*s = (struct fetch_setup){ 0 };
}

struct tls *
fetch_tls_new(const struct conf_account *a, struct err *err)
{
	return tls_client_new(
			&(struct tls_policy){
					.verify = true,
					.ca_file = a->tls_ca,
					.pin = a->tls_pin,
			},
			err);
}

/* ---- how it ended ---- */

/* The next logon comes when the pause is over; but whether it would be another one now is
 * looked at as often as ever. */
static void
schedule_suspended(struct fetch_poll *p)
{
	int64_t left = p->memo->logon_ms - clock_wall_ms();
	int64_t every = p->account->every_s * 1000;

	p->due_ms = clock_mono_ms() + (left < every ? left : every);
	p->next_ms = hours_open_ms(&p->account->window, p->memo->logon_ms);
}

static void
schedule(struct fetch_poll *p)
{
	if (!p->result.failed && p->word != SCHEDULE_HERE)
		p->word = SCHEDULE_NO_WORD; /* of a refusal that did not matter */
	if (p->result.error.event == EVENT_ACCOUNT_REFUSES &&
			p->word == SCHEDULE_NO_WORD)
		p->word = SCHEDULE_SYS_TEMP;
	p->next_ms = p->due_ms = 0;
	if (!p->scheduled)
		return;
	if (fetch_memo_suspended(p->memo, clock_wall_ms())) {
		schedule_suspended(p);
		return;
	}

	const struct schedule_poll poll = {
		.every_ms = p->account->every_s * 1000,
		.took_ms = (int64_t)p->result.ms,
		.failed = p->result.failed,
		.word = p->word,
		.failures = p->memo->failures,
		.login_delay_ms = (int64_t)p->login_delay_s * 1000,
	};
	int64_t wait = schedule_wait_ms(&poll);

	p->due_ms = clock_mono_ms() + wait;
	p->next_ms = hours_open_ms(&p->account->window, clock_wall_ms() + wait);
}

static void
remember(struct fetch_poll *p)
{
	struct fetch_memo *m = p->memo;

	if (!p->result.failed) {
		m->failures = 0;
		return;
	}
	/* Where the relay, the disk or the directory is to blame, the provider need not be
	 * spared. */
	if (p->result.error.event != EVENT_SUBMISSION_DEFERRED &&
			p->result.error.event != EVENT_TARGET_DISABLED &&
			p->result.error.event < 9000)
		m->failures++;
	if (!p->logon_refused)
		return;
	m->refusals++;
	if (m->refusals >= MEMO_REFUSALS)
		m->logon_ms = clock_wall_ms() + fetch_memo_suspension_ms(m->refusals);
}

static void
say_success(const struct fetch_poll *p)
{
	const struct fetch_result *r = &p->result;

	log_event(EVENT_POLL_FINISHED,
			FIELDS(f_span("account", p->name), f_span("id", p->name),
					f_num("listed", (int64_t)r->listed),
					f_num("new", (int64_t)r->fresh),
					f_num("collected", (int64_t)r->collected),
					f_num("deleted", (int64_t)r->deleted),
					f_num("skipped", (int64_t)r->skipped),
					f_num("failed", (int64_t)r->failures),
					f_num("bytes", (int64_t)r->octets),
					f_num("ms", (int64_t)r->ms)));
}

/* 4004 mends itself at the next poll, so it is told quietly (level 1); but where no
 * next one comes, or it goes on, somebody has to know. */
static void
log_failure(const struct fetch_poll *p, const struct field *fields)
{
	bool passing = p->result.error.event == EVENT_MAILBOX_IN_USE && p->scheduled &&
			p->memo->failures < 3;
	const struct event *e = event_find(p->result.error.event);

	if (e)
		log_event_at(e->id, e->severity, passing ? e->level : 0, fields);
}

/* When, or "-" where nobody knows. */
static void
next_poll(const struct fetch_poll *p, char out[DATE_ISO_SIZE])
{
	if (p->next_ms > 0)
		date_iso(p->next_ms, out);
	else
		(void)snprintf(out, DATE_ISO_SIZE, "%s", "-");
}

/* 4016 of a poll that went well otherwise. */
static void
say_refused(const struct fetch_poll *p)
{
	char next[DATE_ISO_SIZE];

	next_poll(p, next);
	log_event(EVENT_ACCOUNT_REFUSES,
			FIELDS(f_span("account", p->name), f_span("id", p->name),
					f_num("messages", (int64_t)p->refused),
					f_str("reply", p->refusal.text),
					f_str("next", next)));
}

static void
say_suspended(const struct fetch_poll *p)
{
	char next[DATE_ISO_SIZE];

	date_iso(p->memo->logon_ms, next);
	log_event(EVENT_ACCOUNT_SUSPENDED,
			FIELDS(f_span("account", p->name), f_span("id", p->name),
					f_num("attempts", p->memo->refusals),
					f_str("next", next)));
}

/* Says why under its event, and puts the whole sentence into the result. */
static void
say_failure(struct fetch_poll *p)
{
	struct err *e = &p->result.error;
	char next[DATE_ISO_SIZE];

	next_poll(p, next);
	const struct field fields[] = {
		f_span("account", p->name),
		f_span("id", p->name),
		f_str("host", p->account->server.name),
		f_str("err", e->text),
		f_str(e->event == EVENT_TARGET_DISABLED ? "recipient" : "reply",
				e->text),
		f_str("state", p->stage ? p->stage : "-"),
		f_num("attempt", (int64_t)p->memo->failures),
		f_num("attempts", (int64_t)p->memo->refusals),
		f_str("next", next),
		f_num("messages", (int64_t)p->refused),
		{ 0 },
	};
	bool tls = e->event / 1000 == 8;
	bool told = e->event == EVENT_QUIT_UNCONFIRMED ||
			e->event == EVENT_UIDL_STORM ||
			e->event == EVENT_FIRST_REACH_NOBODY; /* by the session, with counts */
	struct buf words = BUF_MAX(4096);
	const char *text;

	if (e->event == 0)
		e->event = EVENT_CONNECT_ACCOUNT_FAILED;
	if (p->look)
		look_failed(p);
	if (!p->look_only && !told)
		log_failure(p, fields);
	if (!p->look_only && tls)
		log_event(EVENT_CONNECT_ACCOUNT_FAILED, fields);
	if (!p->look_only && p->logon_refused && p->memo->refusals == MEMO_REFUSALS)
		say_suspended(p);
	if (!told && log_words(&words, e->event, fields) && (text = buf_cstr(&words)))
		(void)err_set(e, e->event, "%s", text);
	buf_done(&words);
}

/* What is left at the provider for its troubles, and until when. */
static void
count_troubles(struct fetch_poll *p)
{
	struct memo_troubles t;

	fetch_memo_troubles(p->memo, &t);
	p->result.refused_all = p->refused;
	p->result.aside = t.aside;
	p->result.waiting = t.waiting;
	p->result.again_ms = t.again_ms;
}

/* ---- carrying it out ---- */

/* What an earlier process remembered. */
static bool
remember_again(struct fetch_poll *p, struct err *err)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(POLL_MEMO_MAX + 4096);
	struct span text;

	if (p->memo->loaded)
		return true;
	if (p->reader && !poll_memo(p->reader, p->name, &a, &text, err))
		return false;
	p->memo->loaded = true;
	if (p->reader)
		fetch_memo_read(p->memo, text);
	return true;
}

static void
retry(void *memo, struct span uid)
{
	fetch_memo_retry(memo, uid);
}

/* What `accounts retry` asked for since the last poll. */
static bool
heed_retries(struct fetch_poll *p, struct err *err)
{
	return accountstore_retries(
			p->reader, p->name, &p->memo->retried, retry, p->memo, err);
}

static bool
prepare(struct fetch_poll *p)
{
	struct err err = { 0 };

	if (p->look_only)
		return true;
	/* Whoever polls has a relay, and the relay has a state: without it nothing is known of
	 * what was collected and whom it is for, so nothing is decided and nothing deleted. */
	p->reader = reader_open(p->setup->state, &err);
	if (p->reader)
		p->directory = book_take(p->setup->book, p->reader, &err);
	if (p->directory && remember_again(p, &err) && heed_retries(p, &err) &&
			routing_init(&p->routing, p->setup->conf, p->account,
					p->directory, p->reader, &err)) {
		p->routing.account.learned = &p->memo->provider;
		return true;
	}
	p->result.error = err;
	if (err.event == 0)
		p->result.error.event = EVENT_DATABASE_TROUBLE;
	return false;
}

/* Messages that were being handled when earlier processes ended. */
static void
take_blame(struct fetch_poll *p)
{
	char next[DATE_ISO_SIZE];
	struct span uid;
	unsigned times;

	p->hand = hand_open(p->setup->state, p->name, p->setup->life);
	for (size_t i = 0; (times = hand_blamed(p->hand, i, &uid)) > 0; i++) {
		struct memo_message *m = fetch_memo_get(p->memo, uid);

		if (!m)
			continue;
		m->crashes += times < MEMO_CRASHES ? times : MEMO_CRASHES;
		if (m->crashes < MEMO_CRASHES)
			continue;

		bool told = m->aside;
		fetch_memo_set_aside(m, clock_wall_ms());
		if (told)
			continue;
		date_iso(m->next_ms, next);
		log_event(EVENT_SET_ASIDE,
				FIELDS(f_span("account", p->name),
						f_span("id", p->name),
						f_span("uidl", uid),
						f_num("attempts", m->crashes),
						f_str("path",
								"none; the collector ended "
								"each time"),
						f_str("next", next)));
	}
}

/* One session per mailbox. Looking into it goes on where there is no state yet. */
static bool
lock_mailbox(struct fetch_poll *p, int *fd)
{
	struct err err = { 0 };

	switch (fetch_mailbox_lock(p->setup->state, p->account,
			!p->look_only || p->adopt, fd, &err)) {
	case MAILBOX_OURS:
		return true;
	case MAILBOX_TAKEN:
		p->word = SCHEDULE_HERE;
		break;
	case MAILBOX_FAILED:
		if (p->look_only && !p->adopt)
			return true;
		break;
	}
	p->result.error = err;
	return false;
}

void
fetch_poll_run(struct fetch_poll *p)
{
	AUTO(fd_done) int lock = -1;
	int64_t began = clock_mono_ms();
	bool more = false, passes = true, ok;

	p->name = span_of(p->account->name);
	p->says = BUF_MAX(512);
	ring_init(&p->ring, began);
	p->started_ms = clock_wall_ms();
	ok = lock_mailbox(p, &lock) && prepare(p) && (passes = suspend_passes(p));
	if (passes && !p->look_only)
		log_event(EVENT_POLL_STARTED,
				FIELDS(f_span("account", p->name),
						f_span("id", p->name)));
	if (ok && !p->look_only)
		take_blame(p);
	if (ok) {
		do
			ok = pop_session_run(p, &more);
		while (ok && more);
	}
	if (!p->look_only) {
		routing_done(&p->routing);
		book_give(p->setup->book, p->directory);
		p->directory = NULL;
		reader_close(p->reader);
		p->reader = NULL;
	}

	p->result.failed = !ok;
	p->result.more = more;
	p->result.ms = (uint64_t)(clock_mono_ms() - began);
	if (passes)
		remember(p);
	count_troubles(p);
	schedule(p);
	if (passes && !ok)
		say_failure(p);
	else if (passes && !p->look_only)
		say_success(p);
	if (p->refused > 0 && p->result.error.event != EVENT_ACCOUNT_REFUSES)
		say_refused(p);
	if (passes && !p->look_only)
		tell_polled(p, clock_wall_ms());
	hand_close(p->hand);
	p->hand = NULL;
	ring_done(&p->ring);
	buf_done(&p->says);
	p->result.finished = true;
	fetch_poll_publish(p);
}
