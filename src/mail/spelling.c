/* spelling: how letters of the Latin script are usually written in ASCII. */
#include "spelling.h"

#include "postern/enc.h"

/* Blocks of Unicode; a word for each character from `first` on, "-" where there is none. */
/* clang-format off */
static const struct block {
	uint32_t first, end;
	const char *words;
} blocks[] = {
	{ 0x00c0, 0x0180,
			"A A A A A A Ae C E E E E I I I I D N O O O O O - O U U U U Y Th ss a a a a a a ae c "
			"e e e e i i i i d n o o o o o - o u u u u y th y A a A a A a C c C c C c C c D d D "
			"d E e E e E e E e E e G g G g G g G g H h H h I i I i I i I i I i Ij ij J j K k k L "
			"l L l L l L l L l N n N n N n n N n O o O o O o Oe oe R r R r R r S s S s S s S s T "
			"t T t T t U u U u U u U u U u U u W w Y y Y Z z Z z Z z s " },
	{ 0x01cd, 0x01dd,
			"A a I i O o U u U u U u U u U u " },
	{ 0x0218, 0x021c,
			"S s T t " },
	{ 0x1e00, 0x1f00,
			"A a B b B b B b C c D d D d D d D d D d E e E e E e E e E e F f G g H h H h H h H h "
			"H h I i I i K k K k K k L l L l L l L l M m M m M m N n N n N n N n O o O o O o O o "
			"P p P p R r R r R r R r S s S s S s S s S s T t T t T t T t U u U u U u U u U u V v "
			"V v W w W w W w W w W w X x X x Y y Z z Z z Z z h t w y - - - - Ss - A a A a A a A "
			"a A a A a A a A a A a A a A a A a E e E e E e E e E e E e E e E e I i I i O o O o O "
			"o O o O o O o O o O o O o O o O o O o U u U u U u U u U u U u U u Y y Y y Y y Y y - "
			"- - - - - " },
};
/* clang-format on */

/* The words that differ in German. */
static const struct {
	uint32_t c;
	const char *word;
} german[] = {
	{ 0x00c4, "Ae" },
	{ 0x00d6, "Oe" },
	{ 0x00dc, "Ue" },
	{ 0x00e4, "ae" },
	{ 0x00f6, "oe" },
	{ 0x00fc, "ue" },
};

enum { MARK_FIRST = 0x0300, MARK_LAST = 0x036f };

bool
spelling_is_mark(struct span one)
{
	uint32_t c = utf8_code(one);

	return c >= MARK_FIRST && c <= MARK_LAST;
}

struct span
spelling_of(struct span one, bool in_german)
{
	uint32_t c = utf8_code(one);

	for (size_t i = 0; in_german && i < sizeof(german) / sizeof(german[0]); i++)
		if (german[i].c == c)
			return span_of(german[i].word);
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		if (c < blocks[i].first || c >= blocks[i].end)
			continue;
		struct span words = span_of(blocks[i].words), word = SPAN("");
		for (uint32_t at = blocks[i].first; at <= c; at++)
			word = span_word(&words);
		return span_eq(word, SPAN("-")) ? SPAN("") : word;
	}
	return SPAN("");
}
