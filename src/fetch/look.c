#include "look.h"

#include <stdlib.h>
#include <string.h>

#include "hints.h"
#include "postern/clock.h"
#include "sasl.h"

enum { PROBE_MS = 5000 };

/* ---- what was seen ---- */

static void
note(const struct pop_session *s, struct fetch_look *look)
{
	look->tls = dial_tls_facts(s->low.dial, &look->facts);
	look->mechanism = s->logged_on == CONF_AUTH_USER ? "USER and PASS"
							 : sasl_name(s->logged_on);
	look->capa = s->caps.heard;
	look->pipelining = s->caps.pipelining;
	look->uidl = s->caps.uidl;
	look->top = s->caps.top;
	look->login_delay_s = s->poll->login_delay_s;
	look->octets = s->listing.octets;
	look->unnamed = s->listing.unnamed;
}

static bool
hand_over(struct pop_session *s)
{
	const struct fetch_adopter *to = s->poll->adopt;
	const struct pop_listing *l = &s->listing;
	struct err err = { 0 };
	bool ok = true;

	if (l->n > 0 && l->named == 0)
		return pop_fail(s, EVENT_UIDL_UNUSABLE,
				"the server names its messages by no usable unique-id, so "
				"there is nothing to know them by");

	struct span *uidls = calloc(FETCH_ADOPT_BATCH, sizeof(*uidls));
	if (!uidls)
		abort();
	for (size_t at = 0; ok && at < l->named;) {
		size_t n = 0;

		while (at < l->named && n < FETCH_ADOPT_BATCH)
			uidls[n++] = pop_listing_uid(l, l->order[at++]);
		ok = to->take(to->host, uidls, n, &err);
		pop_progress(s);
	}
	free(uidls);
	return ok ||
			pop_fail(s, err.event ? err.event : EVENT_DATABASE_TROUBLE,
					"%s", err.text);
}

bool
look_session(struct pop_session *s)
{
	if (s->poll->look)
		note(s, s->poll->look);
	return !s->poll->adopt || hand_over(s);
}

/* ---- which port is this? ---- */

/* Waits for a greeting in clear, or for TLS from the first byte. */
static bool
port_speaks(const struct fetch_poll *p, struct tls *tls)
{
	char greeting[3];
	struct dial_to to = {
		.host = p->account->server.name,
		.port = (uint16_t)p->account->server.port,
		.tls = tls,
		.connect_ms = PROBE_MS,
		.idle_ms = PROBE_MS,
		.dns = &p->setup->dns,
	};
	enum dial_end why;
	struct err err = { 0 };
	struct dial *d = dial_open(&to, &why, &err);
	size_t got = 0;

	if (d)
		dial_set_deadline(d, clock_mono_ms() + PROBE_MS);
	while (d && !tls && got < sizeof(greeting)) {
		ssize_t n = dial_read(d, greeting + got, sizeof(greeting) - got);
		if (n < 0)
			break;
		got += (size_t)n;
	}
	bool speaks = d &&
			(tls ||
					(got == sizeof(greeting) &&
							memcmp(greeting, "+OK", got) ==
									0));
	dial_close(d);
	return speaks;
}

static enum hint_port
ask_port(const struct fetch_poll *p)
{
	const struct err *e = &p->result.error;
	bool silent = p->end == DIAL_IDLE || p->end == DIAL_EOF || p->end == DIAL_RESET;
	bool greeting = p->stage &&
			strcmp(p->stage, pop_stage_name(POP_AT_GREETING)) == 0;

	if (p->account->tls == CONF_TLS_IMPLICIT && e->event == EVENT_TLS_FAILED &&
			p->tls)
		return port_speaks(p, NULL) ? HINT_PORT_CLEAR : HINT_PORT_UNKNOWN;
	if (p->account->tls == CONF_TLS_IMPLICIT || !greeting || !silent)
		return HINT_PORT_UNKNOWN;

	struct tls *any = tls_client_new(&(struct tls_policy){ 0 }, NULL);
	bool speaks = any && port_speaks(p, any);
	tls_free(any);
	return speaks ? HINT_PORT_TLS : HINT_PORT_UNKNOWN;
}

static void
keep(char *to, size_t size, struct buf *from)
{
	size_t n = from->n < size - 1 ? from->n : size - 1;

	if (n > 0)
		memcpy(to, from->p, n);
	to[n] = '\0';
	buf_clear(from);
}

void
look_failed(struct fetch_poll *p)
{
	AUTO(buf_done) struct buf text = BUF_MAX(2048);
	struct fetch_look *look = p->look;
	const struct hint_fault fault = {
		.event = p->result.error.event,
		.end = p->end,
		.connected = p->stage &&
				strcmp(p->stage, pop_stage_name(POP_AT_CONNECT)) != 0,
		.port = ask_port(p),
		.words = span_of(p->result.error.text),
	};

	look->end = p->end;
	look->stage = p->stage;
	(void)!hint_sentence(&fault, p->stage, &text);
	keep(look->words, sizeof(look->words), &text);
	(void)!hint_for(p->account, &fault, &text);
	keep(look->hint, sizeof(look->hint), &text);
}
