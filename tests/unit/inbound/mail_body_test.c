/* Where the octets of a message are while it comes, and what is left of it when a disk fails. */
#include "transaction.h"

#include "faults.h"

#include <errno.h>
#include <fcntl.h>

/* ---- where its octets are ---- */

static void
is_in_spool(struct gate *g, struct mail *m, struct span text)
{
	AUTO(buf_done) struct buf got = BUF_MAX(4 * 1024 * 1024);
	char path[120];
	uint8_t sum[SUM_SIZE], of[SUM_SIZE];

	spool_path(g, m->job.id, path);
	assert_true(file_read(AT_FDCWD, path, 0, &got, NULL));
	assert_int_equal(m->job.spool_size, text.n);
	assert_true(span_eq(buf_span(&got), text));
	assert_ptr_equal(m->job.spool_sum, m->sum);
	sum_get(m->sum, sum);
	sum_of(text, of);
	assert_memory_equal(sum, of, sizeof(sum));
}

/* By pieces of any size, each octet once and in its order. */
static void
large_ones_are_in_the_spool_octet_by_octet(void **state)
{
	static const size_t pieces[] = { 70, 1000, 4096, 32 * 1024 - 1, 32 * 1024,
		50000, 128 * 1024, 300 * 1000 };
	enum { ALL = 700 * 1000 };
	struct gate *g = *state;
	char *text = malloc(ALL);

	octets(text, ALL);
	for (size_t i = 0; i < 9; i++) {
		struct mail *m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
		size_t at = 0;

		for (size_t k = 0; at < ALL; k++) { /* in the last round of all sizes */
			size_t n = i < 8 ? pieces[i] : pieces[k * 5 % 8];
			n = n < ALL - at ? n : ALL - at;
			assert_int_equal(mail_body(g->in, m,
							 (struct span){ text + at, n })
							 .code,
					0);
			at += n;
			/* What is weighed is what is in memory, and it is bounded. */
			assert_int_equal(g->in->receiving, mail_weight(m));
			assert_true(mail_weight(m) < 512 * 1024);
		}
		assert_int_equal(about_to_end, 0); /* this one takes a while */
		assert_int_equal(whole(g, m, &lan).code, 0);
		is_in_spool(g, m, (struct span){ text, ALL });
		assert_true(m->job.body.n == 0);
		uint64_t id = m->job.id;
		int fd = m->job.spool_fd;
		mail_drop(g->in, m);
		assert_false(spooled(g, id));
		assert_int_equal(fcntl(fd, F_GETFD), -1);
		assert_int_equal(g->in->receiving, 0);
	}
	free(text);
}

static void
how_much_stays_in_memory(void **state)
{
	struct gate *g = *state;
	char *text = malloc(BODY_BLOB_MAX + 1);

	octets(text, BODY_BLOB_MAX + 1);
	struct mail *m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
	assert_int_equal(about_to_end, 1);
	assert_int_equal(mail_body(g->in, m, (struct span){ text, 10 }).code, 0);
	assert_int_equal(mail_body(g->in, m,
					 (struct span){ text + 10, BODY_BLOB_MAX - 10 })
					 .code,
			0);
	assert_int_equal(m->job.spool_fd, -1);
	assert_int_equal(mail_body(g->in, m, (struct span){ text + BODY_BLOB_MAX, 1 })
					 .code,
			0);
	assert_true(m->job.spool_fd >= 0);
	assert_int_equal(about_to_end, 0);
	assert_int_equal(whole(g, m, &lan).code, 0);
	is_in_spool(g, m, (struct span){ text, BODY_BLOB_MAX + 1 });
	mail_drop(g->in, m);
	assert_int_equal(about_to_end, 0);

	/* Much is being received: small ones go there as well. */
	m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
	g->in->receiving = RECEIVING_MAX - 1;
	assert_int_equal(mail_body(g->in, m, (struct span){ text, 10 }).code, 0);
	assert_int_equal(m->job.spool_fd, -1);
	g->in->receiving = RECEIVING_MAX;
	assert_int_equal(mail_body(g->in, m, (struct span){ text + 10, 10 }).code, 0);
	assert_true(m->job.spool_fd >= 0);
	assert_int_equal(whole(g, m, &lan).code, 0);
	is_in_spool(g, m, (struct span){ text, 20 });
	g->in->receiving = mail_weight(m);
	mail_drop(g->in, m);
	free(text);
}

/* Whichever call fails: the client is told, nothing is left, and it is said once until it
 * works again. */
static void
a_spool_that_fails_loses_nothing_and_is_told_once(void **state)
{
	enum { ALL = 600 * 1000, PIECE = 10 * 1000 };
	struct gate *g = *state;
	char *text = malloc(ALL), spool[100];
	unsigned n = 0, struck = 0;
	bool hit = true;

	(void)snprintf(spool, sizeof(spool), "%s/spool", g->dir);
	octets(text, ALL);
	while (hit) {
		struct smtp_reply reply = SMTP_LATER;
		struct mail *m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
		uint64_t id = m->job.id;

		bool before = n % 2;

		forget(g);
		g->in->spool_told = before;
		faults_begin(spool);
		faults_fail(FAULT_OPEN | FAULT_WRITE, ++n, 1, ENOSPC);
		for (size_t at = 0; at < ALL && reply.code == 0; at += PIECE)
			reply = mail_body(g->in, m, (struct span){ text + at, PIECE });
		if (reply.code == 0)
			reply = whole(g, m, &lan);
		hit = faults_struck();
		faults_end();
		struck += hit;
		assert_int_equal(reply.code, hit ? 452 : 0);
		if (!hit)
			is_in_spool(g, m, (struct span){ text, ALL });
		/* The first write that worked forgot that it was told. */
		assert_int_equal(g->in->spool_told, hit);
		if (hit) /* it is made, and what there was is written */
			TOLD(before && n <= 2 ? 0u : 1u, "\"id\":9005,");
		mail_drop(g->in, m);
		assert_false(spooled(g, id));
		assert_int_equal(g->in->receiving, 0);
		assert_int_equal(about_to_end, 0);
	}
	assert_true(struck >= 4);
	free(text);
}

static void
who_is_about_to_end_is_counted_once(void **state)
{
	struct gate *g = *state;
	struct mail *m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);

	assert_int_equal(about_to_end, 1);
	mail_uncount(g->in, m);
	assert_int_equal(about_to_end, 0);
	mail_uncount(g->in, m);
	assert_int_equal(about_to_end, 0);
	mail_drop(g->in, m);
	assert_int_equal(about_to_end, 0);
	m = begin(g, &(struct smtp_mail){ 0 }, &lan, 1);
	mail_drop(g->in, m);
	assert_int_equal(about_to_end, 0);
	mail_drop(g->in, NULL);
	mail_free(g->in, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DOOR(large_ones_are_in_the_spool_octet_by_octet),
		IN_DOOR(how_much_stays_in_memory),
		IN_DOOR(a_spool_that_fails_loses_nothing_and_is_told_once),
		IN_DOOR(who_is_about_to_end_is_counted_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
