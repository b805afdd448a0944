/* poll: asks the service to collect now, and tells how that goes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"
#include "postern/ctl.h"

enum {
	SHOWN = 8, /* accounts under way with a line of their own */
	NARROW = 40, /* columns, where the terminal does not tell */
};

struct progress {
	struct span account, words;
	uint64_t listed, collected, octets, finished, failed;
};

static bool
read_progress(struct span body, struct progress *p)
{
	return ctl_get_span(&body, &p->account) && ctl_get_span(&body, &p->words) &&
			ctl_get_u64(&body, &p->listed) &&
			ctl_get_u64(&body, &p->collected) &&
			ctl_get_u64(&body, &p->octets) &&
			ctl_get_u64(&body, &p->finished) &&
			ctl_get_u64(&body, &p->failed);
}

/* What is shown of the polls under way: below the lines of those that are over, one
 * line each, drawn anew with every word from the service. */
struct screen {
	bool terminal;
	size_t columns;
	struct running {
		char name[65];
		uint64_t listed, collected, octets;
	} * running;
	size_t n, cap;
	size_t drawn; /* lines */
};

static void
screen_init(struct screen *s, bool terminal)
{
	struct winsize size = { 0 };

	*s = (struct screen){ .terminal = terminal, .columns = NARROW };
	if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
		s->columns = size.ws_col - 1u; /* a full line would wrap */
}

static void
screen_wipe(struct screen *s)
{
	if (s->drawn > 0)
		(void)printf("\r\033[%zuA\033[J", s->drawn);
	s->drawn = 0;
}

static void
screen_draw(struct screen *s)
{
	for (size_t i = 0; i < s->n && i < SHOWN; i++) {
		const struct running *r = &s->running[i];
		AUTO(buf_done) struct buf text = BUF_MAX(512);

		(void)!buf_addf(&text,
				"%s: %" PRIu64 " of %" PRIu64 " collected, %" PRIu64
				" octets",
				r->name, r->collected, r->listed, r->octets);
		cli_print_span(stdout, buf_span(&text), s->columns);
		(void)putchar('\n');
		s->drawn++;
	}
	if (s->n > SHOWN) {
		(void)printf("and %zu more\n", s->n - SHOWN);
		s->drawn++;
	}
}

/* The account's place among those under way, or n. */
static size_t
screen_find(const struct screen *s, struct span account)
{
	size_t i = 0;

	while (i < s->n && !span_eq(span_of(s->running[i].name), account))
		i++;
	return i;
}

static void
screen_note(struct screen *s, const struct progress *p)
{
	size_t i = screen_find(s, p->account);

	if (p->finished) {
		if (i < s->n)
			memmove(s->running + i, s->running + i + 1,
					(--s->n - i) * sizeof(*s->running));
		return;
	}
	if (i == s->n) {
		if (p->account.n >= sizeof(s->running->name))
			return;
		if (s->n == s->cap) {
			s->cap = s->cap ? s->cap * 2 : 16;
			struct running *more =
					realloc(s->running, s->cap * sizeof(*more));
			if (!more)
				abort();
			s->running = more;
		}
		s->running[i] = (struct running){ 0 };
		memcpy(s->running[i].name, p->account.p, p->account.n);
		s->n++;
	}
	s->running[i].listed = p->listed;
	s->running[i].collected = p->collected;
	s->running[i].octets = p->octets;
}

static json_t *
progress_json(const struct progress *p)
{
	return json_pack("{s:o,s:I,s:I,s:I,s:b,s:o}", "name", cli_json_span(p->account),
			"listed", (json_int_t)p->listed, "collected",
			(json_int_t)p->collected, "octets", (json_int_t)p->octets,
			"failed", p->failed != 0, "result", cli_json_span(p->words));
}

static void
show_progress(struct cli *c, struct screen *s, const struct progress *p, json_t *list)
{
	if (c->json) {
		if (p->finished)
			(void)json_array_append_new(list, progress_json(p));
		return;
	}
	screen_wipe(s);
	if (p->finished) {
		cli_print_span(stdout, p->account, 0);
		(void)printf(": %" PRIu64 " of %" PRIu64 " collected, %" PRIu64
			     " octets: %s",
				p->collected, p->listed, p->octets,
				p->failed ? "failed: " : "");
		cli_print_span(stdout, p->words, 0);
		(void)putchar('\n');
	}
	if (s->terminal) {
		screen_note(s, p);
		screen_draw(s);
	}
	(void)fflush(stdout);
}

static int
follow(struct cli *c, struct ctl_client *fetch, struct screen *screen, json_t *list)
{
	enum {
		SILENCE_MS = 35 * 60 * 1000
	}; /* a session may take 30 minutes for one message */
	bool failed = false;
	enum ctl_kind kind;
	struct span body, reason;
	struct err err = { 0 };

	for (;;) {
		struct progress p = { 0 };
		if (!ctl_receive(fetch, SILENCE_MS, &kind, &body, &err))
			return cli_fail(CLI_LATER, "%s", err.text);
		if (kind == CTL_OK)
			return failed ? CLI_FAILED : CLI_DONE;
		if (kind == CTL_FAILED)
			return cli_fail(CLI_FAILED, SPAN_FMT,
					SPAN_ARG(ctl_get_span(&body, &reason)
									? reason
									: SPAN("refused")));
		if (kind != CTL_PROGRESS || !read_progress(body, &p))
			return cli_fail(CLI_FAILED,
					"the service sent something unexpected");
		failed = failed || (p.finished && p.failed);
		show_progress(c, screen, &p, list);
	}
}

int
cli_poll(struct cli *c)
{
	AUTO(buf_done) struct buf body = BUF_MAX(CTL_BODY_MAX);
	struct err err = { 0 };
	bool ok;

	if (!cli_options(c, NULL, 0, 10000))
		return CLI_USAGE;
	if (!cli_conf(c))
		return CLI_CONFIG;
	ok = ctl_put_u64(&body, (uint64_t)c->argc);
	for (int i = 0; i < c->argc; i++) {
		if (!conf_account_find(c->conf, c->argv[i]))
			return cli_fail(CLI_USAGE, "there is no account %s",
					c->argv[i]);
		ok = ok && ctl_put_span(&body, span_of(c->argv[i]));
	}

	if (!cli_state_readable(c))
		return CLI_FAILED;
	struct ctl_client *fetch =
			ctl_connect(cli_path(c, "run/fetch.ctl"), 5000, &err);
	if (!fetch)
		return cli_fail(CLI_LATER,
				"no service runs on %s; postern once collects without one",
				c->conf->server.state);
	json_t *list = json_array();
	struct screen screen;
	int status = CLI_FAILED;
	screen_init(&screen, isatty(STDOUT_FILENO) && !c->json);
	if (!ok || !ctl_send(fetch, CTL_POLL, buf_span(&body), &err))
		(void)cli_fail(0, "%s", err.text);
	else
		status = follow(c, fetch, &screen, list);
	free(screen.running);
	ctl_client_free(fetch);
	if (c->json)
		(void)cli_print_json(list);
	else
		json_decref(list);
	return status;
}
