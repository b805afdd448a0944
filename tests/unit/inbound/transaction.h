/* A message from MAIL to the answer, without a client. The group of tests includes it once. */
#ifndef TESTS_INBOUND_TRANSACTION_H
#define TESTS_INBOUND_TRANSACTION_H

#include "told.h"

#include "door.h"

#include "postern/file.h"

static int about_to_end; /* what the store was told so far */
void __wrap_store_about_to_end(struct store *s, int change);

void
__wrap_store_about_to_end(struct store *s, int change)
{
	(void)s;
	about_to_end += change;
}

static const struct mail_client lan = { .helo = { SPAN_INIT("pc.test") },
	.ip = { SPAN_INIT("192.0.2.7") },
	.esmtp = true,
	.may_relay = true };
static const struct mail_client fetcher = { .internal = true, .esmtp = true };

static inline struct smtp_mail
collected(const char *uidl)
{
	return (struct smtp_mail){ .collected = true,
		.collect = { .account = SPAN("acc"),
				.uidl = span_of(uidl),
				.print = 77,
				.provider = SPAN("pop.isp.test"),
				.ip = SPAN("192.0.2.1") } };
}

static inline struct mail *
begin(struct gate *g, const struct smtp_mail *said, const struct mail_client *client,
		size_t n)
{
	struct mail *m = mail_new(g->in, said, client);
	char to[40], text[SMTP_TEXT_SIZE];
	struct smtp_path path;

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(to, sizeof(to), "u%zu@contoso.test", i);
		assert_true(smtp_mailbox_parse(span_of(to), &path));
		assert_int_equal(mail_rcpt(g->in, m, &path, text).code, 250);
	}
	return m;
}

static inline struct smtp_reply
whole(struct gate *g, struct mail *m, const struct mail_client *client)
{
	return mail_whole(g->in, m, &(struct smtp_commit){ 0 }, client);
}

static inline void
say(struct gate *g, struct mail *m, const char *text)
{
	assert_int_equal(mail_body(g->in, m, span_of(text)).code, 0);
}

static inline void
spool_path(const struct gate *g, uint64_t id, char path[120])
{
	char qid[QID_SIZE];

	qid_print(id, qid);
	(void)snprintf(path, 120, "%s/spool/%s", g->dir, qid);
}

static inline bool
spooled(const struct gate *g, uint64_t id)
{
	char path[120];

	spool_path(g, id, path);
	return access(path, F_OK) == 0;
}

static inline void
is(struct span got, const char *want)
{
	if (!span_eq(got, span_of(want)))
		fail_msg("got \"" SPAN_FMT "\", want \"%s\"", SPAN_ARG(got), want);
}

static inline bool
has(struct span text, const char *words)
{
	return text.n > 0 && memmem(text.p, text.n, words, strlen(words));
}

static inline void
octets(char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		text[i] = (char)('a' + (i * 7 + i / 251) % 26);
}

static inline int
set_up(void **state)
{
	(void)told_up(state);
	door_open(*state);
	return 0;
}

#define IN_DOOR(f) cmocka_unit_test_setup_teardown(f, set_up, told_down)

#endif
