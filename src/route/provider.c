#include "postern/provider.h"

#include <stdio.h>
#include <string.h>

#include "postern/num.h"

enum {
	USUAL = 2, /* messages: what one alone has is not the provider's habit */
	LEARN_NAMES = PROVIDER_LEARN - PROVIDER_LEARN_HOPS,
};

bool
provider_known(const struct provider_habits *p)
{
	return p->seen >= PROVIDER_LEARN;
}

unsigned
provider_hops(const struct provider_habits *p)
{
	unsigned with = 0, k = PROVIDER_HOPS - 1;

	if (p->seen < PROVIDER_LEARN_HOPS)
		return 0;
	/* A sender can make them more, never fewer. */
	for (; k > 1; k--) {
		with += p->hops[k];
		if (with * 10 >= PROVIDER_LEARN_HOPS * 9)
			break;
	}
	return k;
}

struct span
provider_host(const struct provider_habits *p)
{
	bool always = p->seen >= PROVIDER_LEARN_HOPS &&
			p->same * 10 >= PROVIDER_LEARN_HOPS * 9;

	return always ? span_of(p->host) : SPAN("");
}

static const struct provider_header *
header_of(const struct provider_habits *p, struct span name)
{
	for (size_t i = 0; i < p->n; i++) {
		if (span_eq_nocase(span_of(p->headers[i].name), name))
			return &p->headers[i];
	}
	return NULL;
}

static unsigned
slot_of(unsigned times)
{
	return times < PROVIDER_TIMES ? times : PROVIDER_TIMES - 1;
}

static unsigned
messages_with(const struct provider_header *h)
{
	unsigned n = 0;

	for (size_t i = 1; h && i < PROVIDER_TIMES; i++)
		n += h->times[i];
	return n;
}

bool
provider_always(const struct provider_habits *p, struct span name)
{
	return provider_known(p) &&
			messages_with(header_of(p, name)) * 10 >= LEARN_NAMES * 9;
}

/* Does it mark its mail in one way, by some header or by none? A mailbox filled from
 * here and there has no habits that anything could be unlike. */
static bool
is_steady(const struct provider_habits *p)
{
	unsigned with = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (provider_always(p, span_of(p->headers[i].name)))
			return true;
		with += messages_with(&p->headers[i]);
	}
	return with < USUAL;
}

bool
provider_writes(const struct provider_habits *p, struct span name)
{
	return !provider_known(p) || messages_with(header_of(p, name)) >= USUAL ||
			!is_steady(p);
}

bool
provider_usual(const struct provider_habits *p, struct span name, unsigned times)
{
	const struct provider_header *h = header_of(p, name);

	return !provider_always(p, name) || h->times[slot_of(times)] >= USUAL;
}

/* ---- learning ---- */

static void
keep(char *to, size_t room, struct span text)
{
	text = span_first(text, room - 1);
	if (text.n > 0)
		memcpy(to, text.p, text.n);
	to[text.n] = '\0';
}

static struct provider_header *
header_add(struct provider_habits *p, struct span name)
{
	const struct provider_header *known = header_of(p, name);

	if (known)
		return &p->headers[known - p->headers];
	if (p->n == PROVIDER_NAMES || name.n == 0 || name.n > PROVIDER_NAME_MAX)
		return NULL;
	struct provider_header *h = &p->headers[p->n++];
	*h = (struct provider_header){ .name = "" };
	keep(h->name, sizeof(h->name), name);
	return h;
}

static void
learn_hops(struct provider_habits *p, const struct provider_seen *seen)
{
	unsigned k = seen->hops < PROVIDER_HOPS ? seen->hops : PROVIDER_HOPS - 1;

	if (p->host[0] == '\0' && seen->by.n > 0)
		keep(p->host, sizeof(p->host), seen->by);
	p->same += seen->beside || (p->seen == 0 && seen->by.n > 0);
	p->hops[k]++;
}

void
provider_learn(struct provider_habits *p, const struct provider_seen *seen)
{
	if (provider_known(p)) {
		p->strange = seen->strange ? p->strange + 1 : 0;
		if (p->strange >= PROVIDER_STRANGE)
			*p = (struct provider_habits){ .seen = 0 };
		return;
	}
	if (p->seen < PROVIDER_LEARN_HOPS)
		learn_hops(p, seen);
	for (size_t i = 0; p->seen >= PROVIDER_LEARN_HOPS && i < seen->n; i++) {
		struct provider_header *h = header_add(p, seen->v[i].name);

		if (h && seen->v[i].times > 0)
			h->times[slot_of(seen->v[i].times)]++;
	}
	p->seen++;
}

/* ---- as text ---- */

bool
provider_print(const struct provider_habits *p, struct buf *out)
{
	if (p->seen == 0)
		return true;
	bool ok = buf_addf(out, "provider seen %u %u\n", p->seen, p->strange) &&
			buf_addf(out, "provider hops %u %s", p->same,
					p->host[0] ? p->host : "-");
	for (size_t i = 0; ok && i < PROVIDER_HOPS; i++)
		ok = buf_addf(out, " %u", p->hops[i]);
	ok = ok && buf_addc(out, '\n');
	for (size_t i = 0; ok && i < p->n; i++) {
		const struct provider_header *h = &p->headers[i];

		ok = buf_addf(out, "provider header %s %u %u %u\n", h->name,
				h->times[1], h->times[2], h->times[3]);
	}
	return ok;
}

static unsigned
number(struct span *line, unsigned most)
{
	uint64_t n;

	return num_u64(span_word(line), most, &n) ? (unsigned)n : 0;
}

void
provider_read(struct provider_habits *p, struct span line)
{
	struct span what = span_word(&line);

	if (span_eq(what, SPAN("seen"))) {
		p->seen = number(&line, PROVIDER_LEARN);
		p->strange = number(&line, PROVIDER_STRANGE);
	} else if (span_eq(what, SPAN("hops"))) {
		p->same = number(&line, PROVIDER_LEARN_HOPS);
		struct span host = span_word(&line);
		if (!span_eq(host, SPAN("-")))
			keep(p->host, sizeof(p->host), host);
		for (size_t i = 0; i < PROVIDER_HOPS; i++)
			p->hops[i] = (uint8_t)number(&line, PROVIDER_LEARN_HOPS);
	} else if (span_eq(what, SPAN("header"))) {
		struct provider_header *h = header_add(p, span_word(&line));
		for (size_t i = 1; h && i < PROVIDER_TIMES; i++)
			h->times[i] = (uint8_t)number(&line, LEARN_NAMES);
	}
}
