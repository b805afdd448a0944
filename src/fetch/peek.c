/* The header of a message without the message: TOP, or RETR where there is none. */
#include <stdio.h>

#include "dots.h"
#include "session.h"

enum { PEEK_SLACK = 2 * HEADER_MAX };

bool
pop_peek_send(struct pop_session *s, size_t i)
{
	char line[48];

	(void)snprintf(line, sizeof(line),
			s->caps.top ? "TOP %zu 0\r\n" : "RETR %zu\r\n", i + 1);
	return pop_command(s, line);
}

/* The rest of the answer behind its +OK; what follows the header leads nowhere. */
static bool
read_header(struct pop_session *s)
{
	struct pop_dots dots = { .lenient = s->wire.lenient };
	struct header_end end = { 0 };

	buf_clear(&s->head);
	while (dots.place != DOTS_OVER) {
		struct span have = pop_have(&s->wire), in = have, out;

		if (have.n == 0)
			return pop_lost(s);
		while (in.n > 0 && dots.place != DOTS_OVER) {
			pop_dots_next(&dots, &in, &out);
			if (end.found)
				continue;
			size_t n = header_end_feed(&end, out);
			(void)!buf_add(&s->head,
					span_first(span_first(out, n),
							s->head.max - s->head.n));
		}
		pop_take(&s->wire, have.n - in.n);
	}
	return true;
}

bool
pop_peek_read(struct pop_session *s, size_t i, bool *got)
{
	struct span text;

	*got = false;
	s->low.quota = PEEK_SLACK + (s->caps.top ? 0 : 2 * s->listing.items[i].octets);
	switch (pop_status(&s->wire, &text)) {
	case POP_OK:
		*got = read_header(s);
		return *got;
	case POP_ERR:
		return true;
	case POP_ODD:
		return pop_out_of_step(s, text);
	case POP_LOST:
		break;
	}
	return pop_lost(s);
}
