#include "postern/fingerprint.h"

#include <stdlib.h>
#include <string.h>

#include "postern/buf.h"
#include "postern/gleaner.h"
#include "postern/trace.h"

enum {
	PART_FROM,
	PART_DATE,
	PART_SUBJECT,
	PART_MESSAGE_ID,
	PARTS,
	ORIGIN = PARTS, /* the lowest Received: where and when it set out */
	STAMP,
};

static const struct span names[] = {
	[PART_FROM] = { SPAN_INIT("From") },
	[PART_DATE] = { SPAN_INIT("Date") },
	[PART_SUBJECT] = { SPAN_INIT("Subject") },
	[PART_MESSAGE_ID] = { SPAN_INIT("Message-ID") },
	[ORIGIN] = { SPAN_INIT("Received") },
	[STAMP] = { SPAN_INIT("X-Postern-Loop") },
};

enum {
	NAMES = sizeof(names) / sizeof(names[0]),
	/* Ours stand on top of whatever others have put there: the first few gateways
	 * with the most stamps that one writes. */
	STAMPS_MAX = 64,
	STAMP_SIZE = 128, /* with room for a little more than ours have */
	WORDS = 128, /* octets of a field that show whether it names anything */
};

struct fingerprint {
	struct gleaner watch;
	bool whole;
	/* Of each field, all that came of it: a chain over the digests of its bodies. */
	uint8_t parts[PARTS][DIGEST_SIZE];
	uint8_t origin[DIGEST_SIZE]; /* of the last one's body alone */
	bool has[ORIGIN + 1]; /* it says something (names_one) */
	char words[WORDS]; /* of the open part, as far as they are looked at */
	size_t words_n;
	size_t open; /* the part whose body `field` is taking; NAMES: none */
	struct digest *field, *body;
	struct buf stamps;
	unsigned n_stamps;
	size_t stamp; /* where the last of them begins */
};

struct fingerprint *
fingerprint_new(bool whole)
{
	struct fingerprint *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	gleaner_init(&f->watch, names, NAMES);
	f->whole = whole;
	f->open = NAMES;
	f->stamps = BUF_MAX(STAMPS_MAX * STAMP_SIZE);
	if (whole) {
		f->field = digest_new();
		f->body = digest_new();
	}
	return f;
}

void
fingerprint_free(struct fingerprint *f)
{
	if (!f)
		return;
	digest_free(f->field);
	digest_free(f->body);
	buf_done(&f->stamps);
	free(f);
}

/* Does it tell one mail from the next? A date has digits in it, and a clock that was
 * never set says 1970. */
static bool
names_one(size_t field, struct span said)
{
	bool digits = false;

	if (field == PART_MESSAGE_ID)
		return trace_id_names(said);
	if (field != PART_DATE)
		return said.n > 0;
	for (size_t i = 0; i < said.n; i++) {
		if (span_starts(span_skip(said, i), SPAN("1970")))
			return false;
		digits = digits || (said.p[i] >= '1' && said.p[i] <= '9');
	}
	return digits;
}

static void
field_ends(struct fingerprint *f)
{
	uint8_t one[DIGEST_SIZE];

	if (f->open < NAMES &&
			names_one(f->open, (struct span){ f->words, f->words_n }))
		f->has[f->open] = true;
	f->words_n = 0;

	if (f->open == ORIGIN)
		digest_end(f->field, f->origin);
	size_t open = f->open;
	f->open = NAMES;
	if (open >= PARTS)
		return;

	uint8_t *part = f->parts[open];
	digest_end(f->field, one);
	digest_add(f->field, (struct span){ (const char *)part, DIGEST_SIZE });
	digest_add(f->field, (struct span){ (const char *)one, DIGEST_SIZE });
	digest_end(f->field, part);
}

static void
part_bit(struct fingerprint *f, const struct gleaner_bit *bit)
{
	if (!f->whole)
		return;
	if (bit->begins) {
		field_ends(f);
		f->open = bit->field;
		return;
	}
	if (bit->parted)
		digest_add(f->field, SPAN(" "));
	digest_add(f->field, bit->bytes);
	struct span seen = span_first(bit->bytes, WORDS - f->words_n);
	memcpy(f->words + f->words_n, seen.p, seen.n);
	f->words_n += seen.n;
}

static void
stamp_bit(struct fingerprint *f, const struct gleaner_bit *bit)
{
	f->n_stamps += bit->begins;
	if (f->n_stamps > STAMPS_MAX)
		return;
	if (bit->begins) {
		f->stamp = f->stamps.n;
		(void)!buf_addc(&f->stamps, '\n');
	} else if (f->stamps.n - f->stamp + bit->bytes.n + 1 < STAMP_SIZE) {
		/* What does not fit is no stamp of ours. */
		(void)!(!bit->parted || buf_addc(&f->stamps, ' '));
		(void)!buf_add(&f->stamps, bit->bytes);
	}
}

void
fingerprint_add(struct fingerprint *f, struct span piece)
{
	struct gleaner_bit bit;
	size_t n = gleaner_feed(&f->watch, piece);

	while (gleaner_next(&f->watch, &bit)) {
		if (bit.field == STAMP)
			stamp_bit(f, &bit);
		else
			part_bit(f, &bit);
	}
	if (f->whole && n < piece.n)
		digest_add(f->body, span_skip(piece, n));
}

bool
fingerprint_end(struct fingerprint *f, uint8_t out[DIGEST_SIZE])
{
	uint8_t body[DIGEST_SIZE];

	if (!f->whole)
		return false;
	field_ends(f);
	digest_end(f->body, body);
	for (size_t i = 0; i < PARTS; i++)
		digest_add(f->field,
				(struct span){ (const char *)f->parts[i],
						DIGEST_SIZE });
	digest_add(f->field, (struct span){ (const char *)body, DIGEST_SIZE });
	/* Two alarms of one machine may be equal to the last octet and are two mails all
	 * the same. Where neither Message-ID nor Date tells them apart, it is the first
	 * server that took them: all copies of one mail have its line in common. */
	if (!f->has[PART_MESSAGE_ID] && !f->has[PART_DATE] && f->has[ORIGIN])
		digest_add(f->field,
				(struct span){ (const char *)f->origin, DIGEST_SIZE });
	digest_end(f->field, out);
	return true;
}

struct span
fingerprint_stamps(const struct fingerprint *f)
{
	return buf_span(&f->stamps);
}
