#include "print.h"

#include "postern/digest.h"
#include "postern/header.h"
#include "postern/trace.h"

enum {
	SIZE_BITS = 20,
	HEADER_BITS = 20,
	MARKS_MOST = 512, /* octets of fields that a server adds by itself */
	MARKS_MORE = 16, /* and of line ends that come with them (mailutils) */
};

static const uint64_t size_bits = (UINT64_C(1) << SIZE_BITS) - 1;
static const uint64_t header_bits = ((UINT64_C(1) << HEADER_BITS) - 1) << SIZE_BITS;

static uint64_t
first_bits(const uint8_t sum[DIGEST_SIZE])
{
	uint64_t bits = 0;

	for (size_t i = 0; i < sizeof(bits); i++)
		bits = bits << 8 | sum[i];
	return bits;
}

/* Of From, Date, Subject and Message-ID, the first of each. */
static uint64_t
of_four(struct span header)
{
	static const struct span names[] = {
		{ SPAN_INIT("From") },
		{ SPAN_INIT("Date") },
		{ SPAN_INIT("Subject") },
		{ SPAN_INIT("Message-ID") },
	};
	enum { NAMES = sizeof(names) / sizeof(names[0]) };
	struct span parts[2 * NAMES];
	struct header_scan scan;
	struct header_field f;
	uint8_t sum[DIGEST_SIZE];

	for (size_t i = 0; i < NAMES; i++) {
		parts[2 * i] = SPAN("");
		parts[2 * i + 1] = SPAN("\n"); /* no field's body holds a bare one */
	}
	header_scan_init(&scan, header);
	while (header_next(&scan, &f))
		for (size_t i = 0; i < NAMES && f.kind == HEADER_FIELD; i++)
			if (parts[2 * i].n == 0 && header_is(&f, names[i]))
				parts[2 * i] = span_trim(f.body);
	digest_of(parts, 2 * NAMES, sum);
	return first_bits(sum);
}

/* What a server notes in the message of its mailbox. */
static bool
is_mark(const struct header_field *f)
{
	static const struct span names[] = {
		{ SPAN_INIT("Status") },
		{ SPAN_INIT("X-Status") },
		{ SPAN_INIT("X-UIDL") },
		{ SPAN_INIT("X-UID") },
		{ SPAN_INIT("X-Keywords") },
		{ SPAN_INIT("X-IMAP") },
		{ SPAN_INIT("X-IMAPbase") },
		{ SPAN_INIT("Content-Length") },
		{ SPAN_INIT("Lines") },
	};

	if (f->kind != HEADER_FIELD)
		return f->kind == HEADER_MBOX;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (header_is(f, names[i]))
			return true;
	return span_starts_nocase(f->name, SPAN("X-Mozilla-")) ||
			span_starts_nocase(f->name, SPAN("X-Evolution"));
}

/* Of all of it but what servers change; *marks: octets of what they add. */
static uint64_t
of_all(struct span header, uint64_t *marks)
{
	struct digest *d = digest_new();
	struct header_scan scan;
	struct header_field f;
	uint8_t sum[DIGEST_SIZE];

	*marks = 0;
	header_scan_init(&scan, header);
	while (header_next(&scan, &f)) {
		if (is_mark(&f))
			*marks += f.raw.n;
		else if (f.kind != HEADER_FIELD ||
				!span_starts_nocase(f.name, SPAN("Content-")))
			digest_add(d, f.raw);
	}
	digest_end(d, sum);
	digest_free(d);
	return first_bits(sum);
}

static uint64_t
join(uint64_t four, uint64_t all, uint64_t octets)
{
	uint64_t print = (four & ~header_bits & ~size_bits) | (all & header_bits) |
			(octets & size_bits);

	return print ? print : 1;
}

uint64_t
pop_print(struct span header, uint64_t octets)
{
	uint64_t marks;

	return join(of_four(header), of_all(header, &marks), octets);
}

bool
pop_print_size_is(uint64_t print, uint64_t octets)
{
	return print == 0 || (print & size_bits) == (octets & size_bits);
}

/* Its marks may have come, or changed, since the print was made. */
static bool
size_fits(uint64_t print, uint64_t octets, uint64_t marks)
{
	if (pop_print_size_is(print, octets))
		return true;
	return marks > 0 && marks <= octets &&
			((print - (octets - marks) + MARKS_MORE) & size_bits) <=
			MARKS_MOST + MARKS_MORE;
}

static bool
has_message_id(struct span header)
{
	struct header_field f;

	return header_find(header, SPAN("Message-ID"), &f) && trace_id_names(f.body);
}

enum pop_likeness
pop_print_compare(uint64_t print, struct span header, uint64_t octets)
{
	uint64_t four = of_four(header), marks;
	uint64_t all = of_all(header, &marks);
	bool now = ((print ^ join(four, all, 0)) & ~size_bits) == 0;
	bool old = ((print ^ four) & ~size_bits) == 0 && has_message_id(header);

	if (print == 0 || (!now && !old))
		return PRINT_OTHER;
	return size_fits(print, octets, marks) ? PRINT_SAME : PRINT_HEADER;
}

bool
pop_print_tells(struct span header)
{
	struct header_field f;

	return has_message_id(header) ||
			(header_find(header, SPAN("Date"), &f) &&
					span_trim(f.body).n > 0) ||
			header_find(header, SPAN("Received"), &f);
}

uint64_t
pop_print_fields(uint64_t print)
{
	return print & ~header_bits & ~size_bits;
}
