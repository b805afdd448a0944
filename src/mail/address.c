/* The reader of address lists: tokens to members, one state machine, no
 * recursion. Words before an angle address are display text, whatever they
 * look like, so addresses found without angles stay revocable until their
 * member ends. */
#include "postern/address.h"

#include "address_lex.h"

#include <string.h>

/* How far an addr-spec has come. */
enum at {
	AT_NONE,
	AT_LOCAL,
	AT_LOCAL_DOT,
	AT_SIGN,
	AT_DOMAIN,
	AT_DOMAIN_DOT,
	AT_LITERAL,
	AT_BROKEN, /* cannot become an address before the next blank */
};

struct spec {
	enum at at;
	bool sign; /* an @ was seen */
	bool exact; /* the parts stand in one piece and can be borrowed */
	const char *local, *local_end;
	const char *domain, *domain_end;
};

struct reader {
	struct address_list *list;
	struct lexer lx;
	struct spec spec;
	const char *begin; /* of the member */
	const char *words_begin; /* of what stands since the last angle address */
	size_t first, first_total; /* list->n and list->total when the member began */
	size_t revocable,
			revocable_total; /* entries from here on fall when an angle follows */
	size_t words; /* words before the spec */
	bool bad; /* something with an @ could not be read */
};

void
address_list_init(struct address_list *list, struct arena *arena, size_t max)
{
	*list = (struct address_list){ .arena = arena, .max = max };
}

static struct address *
list_add(struct address_list *list)
{
	list->total++;
	if (list->n == list->max)
		return NULL;
	if (list->n == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 8;
		struct address *v = arena_alloc(list->arena, cap * sizeof(*v));

		if (!v)
			return NULL;
		if (list->n > 0)
			memcpy(v, list->v, list->n * sizeof(*v));
		list->v = v;
		list->cap = cap;
	}
	list->v[list->n] = (struct address){ .kind = ADDRESS_FULL };
	return &list->v[list->n++];
}

/* Appends the value of a quoted string: quoted pairs resolved, folds gone. A control
 * byte is no part of an address, a CR that ends no line among them. */
static bool
unquote(char **out, struct span quoted)
{
	const char *p = quoted.p + 1, *end = quoted.p + quoted.n - 1;

	for (; p < end; p++) {
		if (*p == '\\' && end - p > 1)
			p++;
		if (*p == '\n' || (*p == '\r' && end - p > 1 && p[1] == '\n'))
			continue;
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return false;
		*(*out)++ = *p;
	}
	return true;
}

/* A local part or domain without quotes, comments and folds. */
static bool
join(struct arena *arena, struct span region, struct span *out)
{
	char *p = arena_alloc(arena, region.n + 1);
	struct lexer lx;

	if (!p)
		return false;
	*out = (struct span){ p, 0 };
	lexer_init(&lx, region);
	for (struct token t = lexer_next(&lx); t.kind != TOKEN_END;
			t = lexer_next(&lx)) {
		if (t.kind == TOKEN_QUOTED) {
			if (!unquote(&p, t.s))
				return false;
			continue;
		}
		for (size_t i = 0; i < t.s.n; i++) {
			if (!byte_is_blank(t.s.p[i]))
				*p++ = t.s.p[i];
		}
	}
	out->n = (size_t)(p - out->p);
	return true;
}

static struct span
between(const char *from, const char *to)
{
	return (struct span){ from, (size_t)(to - from) };
}

static bool
spec_whole(const struct spec *s)
{
	return s->at == AT_DOMAIN || s->at == AT_DOMAIN_DOT || s->at == AT_LITERAL;
}

/* A trailing dot goes, and the quotes of 'ann@contoso.test', as Outlook writes a
 * name it does not know. Until nothing changes: reading the result again must
 * give the same. */
static void
trim(struct address *a)
{
	while (a->domain.n > 1) {
		char last = a->domain.p[a->domain.n - 1];
		bool prime = last == '\'' && a->local.n > 1 && a->local.p[0] == '\'';

		if (!prime && last != '.')
			return;
		if (prime)
			a->local = span_skip(a->local, 1);
		a->domain.n--;
	}
}

static bool
spec_values(struct arena *arena, const struct spec *s, struct address *a)
{
	a->local = between(s->local, s->local_end);
	if (!s->exact && !join(arena, a->local, &a->local))
		return false;
	if (!spec_whole(s))
		return true;
	a->domain = between(s->domain, s->domain_end);
	if (!s->exact && !join(arena, a->domain, &a->domain))
		return false;
	trim(a);
	return true;
}

/* The spec is complete, or as complete as it will get. */
static void
spec_end(struct reader *r, bool angle)
{
	struct spec *s = &r->spec;
	struct address values = { .kind = ADDRESS_FULL };

	if (spec_whole(s)) {
		if (spec_values(r->list->arena, s, &values)) {
			struct address *a = list_add(r->list);

			values.loose = !angle && r->words > 0;
			if (a)
				*a = values;
		} else {
			r->bad = true;
		}
		r->words = 0;
	} else if (s->sign) {
		r->bad = true;
	} else if (s->at != AT_NONE) {
		r->words++;
	}
	*s = (struct spec){ .exact = true };
}

static void
spec_begin(struct spec *s, const struct token *t)
{
	*s = (struct spec){
		.at = t->kind == TOKEN_DOT ? AT_LOCAL_DOT : AT_LOCAL,
		.exact = t->kind != TOKEN_QUOTED,
		.local = t->s.p,
		.local_end = t->s.p + t->s.n,
	};
}

static void
spec_break(struct spec *s, const struct token *t)
{
	s->at = AT_BROKEN;
	s->sign = s->sign || t->kind == TOKEN_AT;
}

/* A token that goes on with the spec; false when it cannot belong to it. */
static bool
spec_take(struct spec *s, const struct token *t)
{
	const char *end = t->s.p + t->s.n;
	bool word = t->kind == TOKEN_ATOM || t->kind == TOKEN_QUOTED;

	switch (s->at) {
	case AT_LOCAL:
	case AT_LOCAL_DOT:
		if (t->kind == TOKEN_AT) {
			s->at = AT_SIGN;
			s->sign = true;
		} else if (t->kind == TOKEN_DOT || (word && s->at == AT_LOCAL_DOT)) {
			s->at = t->kind == TOKEN_DOT ? AT_LOCAL_DOT : AT_LOCAL;
			s->local_end = end;
		} else {
			return false;
		}
		break;
	case AT_SIGN:
		if (t->kind != TOKEN_ATOM && t->kind != TOKEN_LITERAL)
			return false;
		s->at = t->kind == TOKEN_ATOM ? AT_DOMAIN : AT_LITERAL;
		s->domain = t->s.p;
		s->domain_end = end;
		break;
	case AT_DOMAIN:
		if (t->kind != TOKEN_DOT)
			return false;
		s->at = AT_DOMAIN_DOT;
		s->domain_end = end;
		break;
	case AT_DOMAIN_DOT:
		if (t->kind != TOKEN_ATOM)
			return false;
		s->at = AT_DOMAIN;
		s->domain_end = end;
		break;
	case AT_NONE:
	case AT_LITERAL:
	case AT_BROKEN:
	default:
		return false;
	}
	if (t->blank || t->kind == TOKEN_QUOTED || t->kind == TOKEN_LITERAL)
		s->exact = false;
	return true;
}

/* A quote, bracket or colon too many behind a whole address: <ann@contoso.test">. It is
 * passed over where nothing but blanks follows. */
static bool
spec_stray(struct spec *s, const struct token *t)
{
	bool stray = t->kind == TOKEN_STRAY || t->kind == TOKEN_COLON ||
			(t->kind == TOKEN_BAD && *t->s.p == '"');

	if (!stray || !spec_whole(s))
		return false;
	s->at = AT_LITERAL;
	return true;
}

/* A token outside angles that is part of words or of an addr-spec. */
static void
bare_token(struct reader *r, const struct token *t)
{
	struct spec *s = &r->spec;
	bool word = t->kind == TOKEN_ATOM || t->kind == TOKEN_QUOTED;

	if (spec_take(s, t) || spec_stray(s, t))
		return;
	if (t->kind == TOKEN_BAD && t->blank && spec_whole(s)) {
		/* What stands apart takes no address away. */
		spec_end(r, false);
	}
	if (word && (s->at == AT_NONE || s->at == AT_LOCAL || t->blank) &&
			s->at != AT_SIGN) {
		spec_end(r, false);
		spec_begin(s, t);
	} else if (t->kind == TOKEN_DOT && s->at == AT_NONE) {
		spec_begin(s, t);
	} else {
		spec_break(s, t);
	}
}

/* Past "@a,@b:" of a route, whose first @ was read. Returns the token behind it;
 * *whole is false when the route has no end. */
static struct token
route_skip(struct lexer *lx, bool *whole)
{
	struct token t = lexer_next(lx);

	while (t.kind == TOKEN_ATOM || t.kind == TOKEN_DOT || t.kind == TOKEN_AT ||
			t.kind == TOKEN_COMMA || t.kind == TOKEN_LITERAL)
		t = lexer_next(lx);
	*whole = t.kind == TOKEN_COLON;
	return *whole ? lexer_next(lx) : t;
}

/* One token inside an angle. */
static void
angle_token(struct spec *s, const struct token *t)
{
	if (s->at == AT_NONE &&
			(t->kind == TOKEN_ATOM || t->kind == TOKEN_QUOTED ||
					t->kind == TOKEN_DOT)) {
		spec_begin(s, t);
	} else if (t->kind == TOKEN_COLON && s->at == AT_LOCAL) {
		*s = (struct spec){ .exact = true }; /* <mailto:ann@contoso.test> */
	} else if (!spec_take(s, t) && !spec_stray(s, t)) {
		/* Words behind a whole address are ignored, another @ is not. */
		if (!spec_whole(s) || !t->blank || t->kind == TOKEN_AT)
			spec_break(s, t);
		else
			s->at = AT_LITERAL;
	}
}

/* Reads what stands in <>, and the > if there is one. The token that ended it
 * too early is returned: the member ends there, or the body. */
static enum token_kind
angle_read(struct reader *r)
{
	struct token t = lexer_next(&r->lx);
	bool whole = true;

	r->spec = (struct spec){ .exact = true };
	if (t.kind == TOKEN_AT)
		t = route_skip(&r->lx, &whole);
	if (!whole)
		r->spec = (struct spec){ .at = AT_BROKEN, .sign = true };
	for (;; t = lexer_next(&r->lx)) {
		if (t.kind == TOKEN_LT) { /* <<ann@contoso.test>> */
			r->spec = (struct spec){ .exact = true };
			continue;
		}
		if (t.kind == TOKEN_GT || t.kind == TOKEN_COMMA ||
				t.kind == TOKEN_SEMI || t.kind == TOKEN_END)
			break;
		angle_token(&r->spec, &t);
	}
	return t.kind;
}

static void
member_begin(struct reader *r, const char *at)
{
	r->begin = r->words_begin = at;
	r->first = r->revocable = r->list->n;
	r->first_total = r->revocable_total = r->list->total;
	r->words = 0;
	r->bad = false;
	r->lx.comment = (struct span){ NULL, 0 };
	r->spec = (struct spec){ .exact = true };
}

static void
revoke(struct reader *r)
{
	r->list->n = r->revocable;
	r->list->total = r->revocable_total;
	r->bad = false;
}

/* Words and one address in angles. */
static enum token_kind
angle_member(struct reader *r, const struct token *lt)
{
	struct span text = span_trim(between(r->words_begin, lt->s.p));
	bool name = false;
	struct address values = { .kind = ADDRESS_NAME };

	spec_end(r, false);
	size_t n = r->list->n, total = r->list->total;
	revoke(r);
	size_t before = r->list->n;
	enum token_kind end = angle_read(r);
	if (end == TOKEN_END && r->spec.at == AT_NONE) {
		/* "ann@contoso.test<" with nothing behind: no angle at all. */
		r->list->n = n;
		r->list->total = total;
		return end;
	}
	if (r->spec.at == AT_LOCAL || r->spec.at == AT_LOCAL_DOT)
		name = spec_values(r->list->arena, &r->spec, &values);
	if (name) {
		struct address *a = list_add(r->list);

		if (a)
			*a = values;
		r->spec = (struct spec){ .exact = true };
	} else {
		spec_end(r, true);
	}
	if (r->list->n > before)
		r->list->v[before].text = text;
	r->words = 0;
	r->revocable = r->list->n;
	r->revocable_total = r->list->total;
	r->words_begin = r->lx.p;
	return end;
}

/* Members without an address still say something: a bare name, words, or that
 * they cannot be read. */
static void
member_rest(struct reader *r, struct span raw)
{
	struct address rest = { .kind = ADDRESS_TEXT };

	if (r->bad)
		rest.kind = ADDRESS_BAD;
	else if (raw.n == 0 || r->words == 0)
		return;
	struct address *a = list_add(r->list);
	if (a)
		*a = rest;
}

static void
member_end(struct reader *r, const char *end)
{
	struct span raw = span_trim(between(r->begin, end));
	struct address_list *list = r->list;
	bool name = r->words == 0 && !r->bad && list->n == r->first &&
			(r->spec.at == AT_LOCAL || r->spec.at == AT_LOCAL_DOT);
	struct address values = { .kind = ADDRESS_NAME };

	if (name && spec_values(list->arena, &r->spec, &values)) {
		struct address *a = list_add(list);

		if (a)
			*a = values;
	} else {
		spec_end(r, false);
		if (list->n == r->first)
			member_rest(r, raw);
	}
	for (size_t i = r->first; i < list->n; i++) {
		list->v[i].raw = raw;
		if (list->v[i].kind == ADDRESS_TEXT)
			list->v[i].text = raw;
		else if (list->v[i].text.n == 0)
			list->v[i].text = r->lx.comment;
	}
}

/* The name of a group is a phrase: behind an address a colon opens none (E3). Only an
 * empty group, "recipients@host:;", still is one: a server completed its name. */
static bool
opens_group(const struct reader *r)
{
	struct lexer ahead = r->lx;

	if (spec_whole(&r->spec))
		return lexer_next(&ahead).kind == TOKEN_SEMI;
	return r->list->total == r->first_total;
}

/* What stood before the colon was the name of a group; else what follows it is none of
 * the member's: passed over to where the member ends. */
static void
colon(struct reader *r)
{
	struct lexer ahead;

	if (opens_group(r)) {
		revoke(r);
		member_begin(r, r->lx.p);
		return;
	}
	spec_end(r, false);
	for (;;) {
		ahead = r->lx;
		enum token_kind kind = lexer_next(&ahead).kind;

		if (kind == TOKEN_COMMA || kind == TOKEN_SEMI || kind == TOKEN_END)
			return;
		r->lx = ahead;
	}
}

void
address_read(struct address_list *list, struct span body)
{
	struct reader r = { .list = list };

	if (body.n == 0)
		return;
	lexer_init(&r.lx, body);
	member_begin(&r, body.p);
	for (;;) {
		struct token t = lexer_next(&r.lx);
		enum token_kind kind =
				t.kind == TOKEN_LT ? angle_member(&r, &t) : t.kind;

		switch (kind) {
		case TOKEN_END:
			member_end(&r, r.lx.end);
			return;
		case TOKEN_COMMA:
		case TOKEN_SEMI:
			member_end(&r, r.lx.p - 1);
			member_begin(&r, r.lx.p);
			break;
		case TOKEN_COLON:
			colon(&r);
			break;
		case TOKEN_GT:
			if (t.kind == TOKEN_LT)
				break; /* the end of the angle just read */
			spec_end(&r, false);
			break;
		case TOKEN_STRAY:
			spec_end(&r, false);
			break;
		case TOKEN_ATOM:
		case TOKEN_QUOTED:
		case TOKEN_LITERAL:
		case TOKEN_DOT:
		case TOKEN_AT:
		case TOKEN_LT:
		case TOKEN_BAD:
		default:
			bare_token(&r, &t);
			break;
		}
	}
}
