/* Whatever lies in Pickup: addresses hold no control byte, and a file in pieces is the
 * file in one piece. Whatever message our Drop wrote: Pickup reads it as it was, and Drop
 * writes the same file again (E18, 9). */
#include "postern/drop.h"
#include "postern/file.h"
#include "postern/must.h"
#include "postern/pickup.h"
#include "postern/qid.h"
#include "postern/smtp_path.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOST SPAN("gw.test")
#define TRACE SPAN("Received: from a by gw.test with ESMTP id 1; now\r\n")

enum { MANY = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char folder[] = "/dev/shm/postern-fuzz-XXXXXX";

static void
sweep(void)
{
	(void)rmdir(folder);
}

static struct drop *
drop_here(void)
{
	static struct drop *d;
	struct err err = { 0 };

	if (!d) {
		MUST(mkdtemp(folder));
		(void)atexit(sweep);
		d = drop_open(folder, 0, &err);
		MUST(d);
	}
	return d;
}

static void
check_address(struct span a)
{
	for (size_t i = 0; i < a.n; i++)
		MUST((unsigned char)a.p[i] >= 0x20 && a.p[i] != 0x7f);
}

static void
feed(struct buf *out, struct pickup_body *b, struct span in)
{
	struct span piece;

	while (pickup_body_next(b, &in, &piece))
		MUST(piece.n > 0 && buf_add(out, piece));
	MUST(in.n == 0);
}

static void
message_of(struct buf *out, const struct pickup *file, struct span all, size_t cut)
{
	struct pickup_body b;

	buf_clear(out);
	pickup_body_init(&b, file);
	feed(out, &b, span_first(all, cut));
	feed(out, &b, span_skip(all, cut));
	MUST(b.at == all.n);
	MUST(buf_add(out, pickup_body_end(&b)));
}

static bool
same(const struct pickup *a, const struct pickup *b)
{
	return a->n == b->n && span_eq(a->sender, b->sender) &&
			a->n_cuts == b->n_cuts && a->ours == b->ours &&
			a->text == b->text;
}

static enum pickup_step
read_file(struct pickup *p, struct arena *arena, struct span all, size_t cut)
{
	AUTO(arena_done) struct arena other = ARENA_MAX(PICKUP_MEMORY);
	AUTO(buf_done) struct buf whole = BUF_MAX(1 << 24);
	AUTO(buf_done) struct buf split = BUF_MAX(1 << 24);
	struct pickup part;
	enum pickup_step first, step = pickup_read(p, arena, all, true, HOST);

	first = pickup_read(&part, &other, span_first(all, cut), false, HOST);
	MUST(step != PICKUP_MORE && (first == PICKUP_MORE || first == step));
	if (step != PICKUP_ONE)
		return step;
	MUST(first != PICKUP_ONE || same(p, &part));
	MUST(p->n > 0);
	check_address(p->sender);
	for (size_t i = 0; i < p->n; i++)
		check_address(p->recipients[i]);
	message_of(&whole, p, all, 0);
	message_of(&split, p, all, cut);
	MUST(span_eq(buf_span(&whole), buf_span(&split)));
	return step;
}

static void
write_drop(struct buf *out, uint64_t qid, struct span sender, const struct span *to,
		size_t n, struct span message)
{
	struct err err = { 0 };
	char id[QID_SIZE], path[80];
	const struct letter l = { .qid = qid,
		.sender = sender,
		.recipients = to,
		.n_recipients = n,
		.body = { .parts = &message, .n_parts = 1, .fd = -1 } };

	MUST(drop_write(drop_here(), &l, &err) && drop_sync(drop_here(), &err));
	qid_print(qid, id);
	(void)snprintf(path, sizeof(path), "%s/%s.eml", folder, id);
	buf_clear(out);
	MUST(file_read(AT_FDCWD, path, 0, out, &err));
	MUST(unlink(path) == 0);
}

/* Those that may stand in an envelope: others never get into the queue. */
static size_t
fitting(const struct pickup *p, struct span *out)
{
	struct smtp_path path;
	size_t n = 0;

	for (size_t i = 0; i < p->n && n < MANY; i++)
		if (smtp_mailbox_parse(p->recipients[i], &path))
			out[n++] = p->recipients[i];
	return n;
}

static void
check_drop(struct span sender, const struct span *to, size_t n, struct span message,
		size_t cut)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(PICKUP_MEMORY);
	AUTO(buf_done) struct buf first = BUF_MAX(1 << 24);
	AUTO(buf_done) struct buf second = BUF_MAX(1 << 24);
	AUTO(buf_done) struct buf got = BUF_MAX(1 << 24);
	struct pickup p;

	write_drop(&first, 1, sender, to, n, message);
	struct span file = buf_span(&first);
	MUST(read_file(&p, &arena, file, cut % (file.n + 1)) == PICKUP_ONE);
	MUST(p.ours && span_eq(p.sender, sender));
	message_of(&got, &p, file, cut % (file.n + 1));
	MUST(span_eq(buf_span(&got), message));
	write_drop(&second, 2, p.sender, p.recipients, p.n, buf_span(&got));
	MUST(span_eq(file, buf_span(&second)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(PICKUP_MEMORY);
	AUTO(buf_done) struct buf message = BUF_MAX(1 << 24);
	const struct span ann = SPAN("ann@contoso.test");
	struct span to[MANY], sender = SPAN("");
	struct smtp_path path;
	struct pickup p;
	size_t count = 0;

	if (n < 2)
		return 0;
	struct span all = { (const char *)data + 2, n - 2 };
	size_t cut = (size_t)data[0] << 8 | data[1];
	if (read_file(&p, &arena, all, cut % (all.n + 1)) == PICKUP_ONE) {
		count = fitting(&p, to);
		if (smtp_mailbox_parse(p.sender, &path))
			sender = p.sender;
	}
	MUST(buf_add(&message, TRACE) && buf_add(&message, all));
	check_drop(sender, count > 0 ? to : &ann, count > 0 ? count : 1,
			buf_span(&message), cut);
	return 0;
}
