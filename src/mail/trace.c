#include "postern/trace.h"

#include "address_lex.h"
#include "postern/date.h"
#include "postern/header.h"

unsigned
trace_hops(struct span header)
{
	struct header_scan s;
	struct header_field f;
	unsigned hops = 0;

	header_scan_init(&s, header);
	while (header_next(&s, &f))
		hops += header_is(&f, SPAN("Received"));
	return hops;
}

/* One octet of a header line, up to where it is known whether it is a Received field. */
static void
hop_octet(struct trace_hop_count *c, char byte)
{
	static const char name[] = "received";
	bool blank = byte == ' ' || byte == '\t';

	if (c->place == HOP_LINE) {
		c->at = 0;
		if (byte == '\r') {
			c->place = HOP_CR;
			return;
		}
	}
	if (c->at < sizeof(name) - 1) {
		bool same = c->place != HOP_CR && ascii_lower(byte) == name[c->at];
		c->at++;
		c->place = same ? HOP_NAME : HOP_REST;
	} else if (blank) {
		c->place = HOP_BLANK;
	} else {
		c->hops += byte == ':';
		c->place = HOP_REST;
	}
}

void
trace_hops_feed(struct trace_hop_count *c, struct span piece)
{
	for (size_t i = 0; i < piece.n && c->place != HOP_BODY; i++) {
		if (piece.p[i] == '\n') {
			bool empty = c->place == HOP_LINE || c->place == HOP_CR;
			c->place = empty ? HOP_BODY : HOP_LINE;
		} else if (c->place ==
				HOP_REST) { /* the only place where time is spent */
			i += span_find(span_skip(piece, i), '\n') - 1;
		} else {
			hop_octet(c, piece.p[i]);
		}
	}
}

enum word_kind { WORD_END, WORD_TEXT, WORD_ANGLE, WORD_COMMA, WORD_SEMI };

struct word {
	enum word_kind kind;
	struct span s;
};

/* The next word of a Received body: what stands between blanks, comments, commas
 * and semicolons, or a whole angle with what is in it. */
static struct word
word_next(struct lexer *lx)
{
	struct token t = lexer_next(lx);
	struct word w = { WORD_TEXT, t.s };

	if (t.kind == TOKEN_END)
		w.kind = WORD_END;
	else if (t.kind == TOKEN_COMMA)
		w.kind = WORD_COMMA;
	else if (t.kind == TOKEN_SEMI)
		w.kind = WORD_SEMI;
	else if (t.kind == TOKEN_LT)
		w.kind = WORD_ANGLE;
	while (w.kind == WORD_ANGLE && t.kind != TOKEN_GT && t.kind != TOKEN_END)
		t = lexer_next(lx);
	while (w.kind == WORD_TEXT) {
		struct lexer ahead = *lx;
		struct token next = lexer_next(&ahead);

		if (next.blank || next.kind == TOKEN_END || next.kind == TOKEN_COMMA ||
				next.kind == TOKEN_SEMI || next.kind == TOKEN_LT)
			break;
		*lx = ahead;
		t = next;
	}
	w.s.n = (size_t)(t.s.p - w.s.p) + t.s.n;
	return w;
}

enum clause { CLAUSE_NONE, CLAUSE_FROM, CLAUSE_BY, CLAUSE_FOR, CLAUSE_OTHER };

static enum clause
clause_of(struct span word)
{
	static const struct {
		struct span name;
		enum clause clause;
	} clauses[] = {
		{ { SPAN_INIT("from") }, CLAUSE_FROM },
		{ { SPAN_INIT("by") }, CLAUSE_BY },
		{ { SPAN_INIT("for") }, CLAUSE_FOR },
		{ { SPAN_INIT("via") }, CLAUSE_OTHER },
		{ { SPAN_INIT("with") }, CLAUSE_OTHER },
		{ { SPAN_INIT("id") }, CLAUSE_OTHER },
	};

	for (size_t i = 0; i < sizeof(clauses) / sizeof(*clauses); i++) {
		if (span_eq_nocase(word, clauses[i].name))
			return clauses[i].clause;
	}
	return CLAUSE_NONE;
}

/* "for <a>" or "for a", and the lists that some write. */
static void
for_clause(struct lexer *lx, struct address_list *to, struct trace_received *out)
{
	for (;;) {
		struct lexer ahead = *lx;
		struct word w = word_next(&ahead);

		if (w.kind != WORD_TEXT && w.kind != WORD_ANGLE)
			return;
		*lx = ahead;
		/* An angle that holds several, or words beside one, or never closes, counts as
		 * what it holds. */
		size_t before = to ? to->total : 0, members = 1;
		if (to) {
			address_read(to, w.s);
			if (to->total > before + 1)
				members = to->total - before;
			else if (to->n > 0 && to->v[to->n - 1].loose)
				members = 2;
		}
		out->recipients += members;
		w = word_next(&ahead);
		if (w.kind != WORD_COMMA)
			return;
		*lx = ahead;
	}
}

/* What stood before "by" is what the sender said of itself, in HELO, and no clause: the
 * list becomes what it was. */
static void
by_clause(struct span host, struct address_list *to, const struct address_list *before,
		struct trace_received *out)
{
	out->by = host;
	out->recipients = 0;
	if (to) {
		to->n = before->n;
		to->total = before->total;
	}
}

/* "from (192.0.2.1) by host": HELO was not said, and "by" is no host but the next clause. */
static bool
from_nobody(struct span value, struct lexer ahead)
{
	if (clause_of(value) != CLAUSE_BY)
		return false;
	struct word host = word_next(&ahead);

	return host.kind == WORD_TEXT && clause_of(host.s) == CLAUSE_NONE;
}

void
trace_read(struct span body, struct address_list *to, struct trace_received *out)
{
	const struct address_list before = to ? *to : (struct address_list){ .n = 0 };
	struct lexer lx;

	*out = (struct trace_received){ .recipients = 0 };
	lexer_init(&lx, body);
	for (struct word w = word_next(&lx); w.kind != WORD_END; w = word_next(&lx)) {
		enum clause clause = w.kind == WORD_TEXT ? clause_of(w.s) : CLAUSE_NONE;
		struct lexer ahead = lx;

		if (clause == CLAUSE_NONE)
			continue;
		if (clause == CLAUSE_FOR) {
			for_clause(&lx, to, out);
			continue;
		}
		/* The word behind belongs to the clause, even if it reads "for". */
		w = word_next(&ahead);
		if (w.kind != WORD_TEXT && w.kind != WORD_ANGLE)
			continue;
		if (clause == CLAUSE_FROM && from_nobody(w.s, ahead))
			continue;
		lx = ahead;
		if (clause == CLAUSE_FROM && out->from.n == 0)
			out->from = w.s;
		if (clause == CLAUSE_BY)
			by_clause(w.s, to, &before, out);
	}
}

/* "<>" and nothing else, comments and blanks aside. */
static bool
is_null_path(struct span body)
{
	static const enum token_kind want[] = { TOKEN_LT, TOKEN_GT, TOKEN_END };
	struct lexer lx;

	lexer_init(&lx, body);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		if (lexer_next(&lx).kind != want[i])
			return false;
	}
	return true;
}

enum trace_path
trace_return_path(struct arena *arena, struct span body, struct address *out)
{
	struct address_list list;

	if (is_null_path(body))
		return TRACE_PATH_NULL;
	address_list_init(&list, arena, 2);
	address_read(&list, body);
	if (list.n != 1 || list.total != 1 || list.v[0].kind != ADDRESS_FULL ||
			list.v[0].loose)
		return TRACE_PATH_BAD;
	*out = list.v[0];
	return TRACE_PATH_ADDRESS;
}

static bool
is_printable(char c)
{
	return (unsigned char)c > 0x20 && c != 0x7f;
}

bool
trace_id_names(struct span body)
{
	struct span left = span_first(body, span_find(body, '@'));

	for (size_t i = 0; i < left.n; i++) {
		char c = ascii_lower(left.p[i]);

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
				(unsigned char)c >= 0x80)
			return true;
	}
	return false;
}

struct span
trace_message_id(struct arena *arena, struct span body)
{
	struct span id = span_trim(body);
	size_t open = span_find(id, '<'), n = 0;
	bool angle = open < id.n;

	if (angle) {
		id = span_skip(id, open + 1);
		id = span_trim(span_first(id, span_find(id, '>')));
	}
	while (n < id.n && is_printable(id.p[n]))
		n++;
	if (n == id.n || !angle)
		return span_first(id, n);

	/* Blanks and folds inside are not part of it (RFC 5322 obs-id-left). */
	char *p = arena_alloc(arena, id.n);
	if (!p)
		return span_first(id, n);
	for (size_t i = n = 0; i < id.n; i++) {
		if (is_printable(id.p[i]))
			p[n++] = id.p[i];
		else if (!byte_is_blank(id.p[i]))
			break;
	}
	return (struct span){ p, n };
}

bool
trace_name_ok(struct span name)
{
	bool literal = name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']';
	struct span s = literal ? (struct span){ name.p + 1, name.n - 2 } : name;

	if (name.n == 0 || name.n > 255)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = ascii_lower(s.p[i]);

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
				c == '-')
			continue;
		if (c != (literal ? ':' : '_'))
			return false;
	}
	return true;
}

bool
trace_print(struct buf *out, const struct trace_stamp *t)
{
	struct span from = trace_name_ok(t->from) ? t->from : SPAN("unknown");
	bool six = span_find(t->ip, ':') < t->ip.n;
	char date[DATE_RFC5322_SIZE];
	size_t n = out->n;

	date_rfc5322(t->at_s, date);
	bool ok = buf_addf(out, "Received: from " SPAN_FMT, SPAN_ARG(from));
	if (ok && t->ip.n > 0)
		ok = buf_addf(out, " (%s[%s" SPAN_FMT "])",
				t->unverified ? "unverified " : "", six ? "IPv6:" : "",
				SPAN_ARG(t->ip));
	ok = ok &&
			buf_addf(out,
					" by " SPAN_FMT " with " SPAN_FMT
					"%s id " SPAN_FMT,
					SPAN_ARG(t->by), SPAN_ARG(t->with),
					t->collected ? " (Postern)" : "",
					SPAN_ARG(t->id));
	if (ok && t->recipient.n > 0)
		ok = buf_addf(out, " for <" SPAN_FMT ">", SPAN_ARG(t->recipient));
	ok = ok && buf_addf(out, "; %s\r\n", date);
	if (!ok)
		out->n = n;
	return ok;
}
