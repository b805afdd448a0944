#include "transcript.h"

void
transcript_init(struct transcript *t, bool all, size_t max)
{
	*t = (struct transcript){
		.said = BUF_MAX(max),
		.part = BUF_MAX(max / 4),
		.all = all,
	};
}

static bool
add_line(struct buf *b, const char *tag, struct span text)
{
	return buf_add(b, span_of(tag)) && buf_add(b, text) && buf_addc(b, '\n');
}

void
transcript_add(struct transcript *t, struct span said, struct span heard)
{
	size_t before = t->part.n;
	bool fits = said.n == 0 ? add_line(&t->part, "<G>: ", span_trim(heard))
				: add_line(&t->part, "<C>: ", span_trim(said)) &&
					add_line(&t->part, "<S>: ", span_trim(heard));

	if (!fits) {
		t->part.n = before;
		t->left_out++;
	}
	if (heard.n > 0 && (heard.p[0] == '4' || heard.p[0] == '5'))
		t->part_refused = true;
}

void
transcript_cut(struct transcript *t, bool keep)
{
	if ((keep || t->all || t->part_refused) &&
			!buf_add(&t->said, buf_span(&t->part)))
		t->left_out++;
	t->refused = t->refused || t->part_refused;
	t->part_refused = false;
	buf_clear(&t->part);
}

void
transcript_done(struct transcript *t)
{
	buf_done(&t->said);
	buf_done(&t->part);
}
