#include "wire.h"

#include <string.h>

#include "postern/clock.h"

void
pop_init(struct pop_wire *w, mailstream *stream)
{
	*w = (struct pop_wire){ .stream = stream };
}

struct span
pop_have(struct pop_wire *w)
{
	mailstream *s = w->stream;

	if (w->at == s->read_buffer_len) {
		w->at = 0;
		s->read_buffer_len = 0;
		if (mailstream_feed_read_buffer(s) <= 0)
			return (struct span){ NULL, 0 };
	}
	return (struct span){ s->read_buffer + w->at, s->read_buffer_len - w->at };
}

void
pop_take(struct pop_wire *w, size_t n)
{
	w->at += n;
}

/* Without the CR of its CRLF. */
static struct span
line_end(struct pop_wire *w, struct span line)
{
	w->bare = line.n == 0 || line.p[line.n - 1] != '\r';
	return span_first(line, line.n - (w->bare ? 0 : 1));
}

static void
line_keep(struct pop_wire *w, struct span piece)
{
	size_t room = sizeof(w->line) - w->line_n;

	if (piece.n > room) {
		w->cut = true;
		piece = span_first(piece, room);
	}
	if (piece.n > 0)
		memcpy(w->line + w->line_n, piece.p, piece.n);
	w->line_n += piece.n;
}

bool
pop_line(struct pop_wire *w, struct span *out)
{
	w->line_n = 0;
	w->cut = false;
	for (;;) {
		struct span have = pop_have(w);
		if (have.n == 0)
			return false;

		size_t lf = span_find(have, '\n');
		pop_take(w, lf < have.n ? lf + 1 : lf);
		if (lf < have.n && w->line_n == 0 && lf <= WIRE_LINE) {
			*out = line_end(w, span_first(have, lf));
			return true;
		}
		line_keep(w, span_first(have, lf));
		if (lf < have.n) {
			*out = line_end(w, (struct span){ w->line, w->line_n });
			return true;
		}
	}
}

enum pop_answer
pop_status(struct pop_wire *w, struct span *text)
{
	struct span line;
	enum pop_answer is = POP_ODD;

	*text = SPAN("");
	if (w->awaits && !pop_early(w))
		*w->awaits = true;
	if (!pop_line(w, &line))
		return POP_LOST;
	*text = line;
	if (w->ring)
		ring_add(w->ring, clock_mono_ms(), "S", line);
	if (w->cut || span_find(line, '\0') < line.n)
		return POP_ODD;
	if (span_starts(line, SPAN("+OK")))
		is = POP_OK;
	else if (span_starts(line, SPAN("-ERR")))
		is = POP_ERR;
	else
		return POP_ODD;

	struct span rest = span_skip(line, is == POP_OK ? 3 : 4);
	if (rest.n > 0 && rest.p[0] != ' ' && rest.p[0] != '\t')
		return POP_ODD;
	if (!w->framed) {
		w->framed = true;
		w->lenient = w->bare;
	} else if (w->bare && !w->lenient) {
		return POP_ODD;
	}
	*text = span_trim(rest);
	return is;
}

bool
pop_item(struct pop_wire *w, struct span *out, bool *lost)
{
	*lost = !pop_line(w, out);
	if (*lost)
		return false;
	if (out->n == 1 && out->p[0] == '.' && !w->cut && (!w->bare || w->lenient))
		return false;
	if (out->n > 0 && out->p[0] == '.')
		*out = span_skip(*out, 1);
	return true;
}

bool
pop_early(const struct pop_wire *w)
{
	return w->at < w->stream->read_buffer_len;
}

void
pop_sync(struct pop_wire *w)
{
	mailstream *s = w->stream;
	size_t left = s->read_buffer_len - w->at;

	if (left > 0 && w->at > 0)
		memmove(s->read_buffer, s->read_buffer + w->at, left);
	s->read_buffer_len = left;
	w->at = 0;
}
