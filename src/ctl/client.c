#include <stdlib.h>

#include "postern/clock.h"
#include "postern/ctl.h"
#include "postern/dial.h"

struct ctl_client {
	struct dial *dial;
	struct buf in, out;
	size_t used; /* bytes of `in` that belong to the frame given out last */
};

struct ctl_client *
ctl_connect(const char *path, int64_t wait_ms, struct err *err)
{
	const struct dial_to to = { .unix_path = path, .connect_ms = wait_ms };
	enum dial_end why = DIAL_OK;
	struct dial *d = dial_open(&to, &why, err);

	if (!d)
		return NULL;

	struct ctl_client *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->dial = d;
	c->in = BUF_MAX(2 * CTL_BODY_MAX);
	c->out = BUF_MAX(2 * CTL_BODY_MAX);
	return c;
}

void
ctl_client_free(struct ctl_client *c)
{
	if (!c)
		return;
	dial_close(c->dial);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}

bool
ctl_send(struct ctl_client *c, enum ctl_kind kind, struct span body, struct err *err)
{
	buf_clear(&c->out);
	if (!ctl_frame(&c->out, kind, body))
		return err_set(err, 0, "a control message of %zu octets is too long",
				body.n);

	struct span whole = buf_span(&c->out);
	return dial_send(c->dial, &whole, 1) ||
			err_set(err, 0, "the control connection: %s",
					dial_error(c->dial));
}

bool
ctl_receive(struct ctl_client *c, int64_t wait_ms, enum ctl_kind *kind,
		struct span *body, struct err *err)
{
	buf_drop(&c->in, c->used);
	c->used = 0;
	/* The dial's own patience is shorter than some answers take. */
	dial_set_idle(c->dial, wait_ms);
	dial_set_deadline(c->dial, clock_mono_ms() + wait_ms);
	for (;;) {
		struct span in = buf_span(&c->in);
		enum ctl_step step = ctl_unframe(&in, kind, body);
		if (step == CTL_ONE) {
			c->used = c->in.n - in.n;
			return true;
		}
		char *room = step == CTL_MORE ? buf_room(&c->in, 65536) : NULL;
		if (!room)
			return err_set(err, 0,
					"the service sent a broken control message");
		ssize_t n = dial_read(c->dial, room, 65536);
		if (n <= 0)
			return err_set(err, 0, "the control connection: %s",
					dial_error(c->dial));
		buf_grown(&c->in, (size_t)n);
	}
}

bool
ctl_ask(struct ctl_client *c, enum ctl_kind kind, struct span body, struct err *err)
{
	enum { ANSWER_MS = 30000 };
	enum ctl_kind answer;
	struct span words, reason;

	if (!ctl_send(c, kind, body, err) ||
			!ctl_receive(c, ANSWER_MS, &answer, &words, err))
		return false;
	if (answer == CTL_OK)
		return true;
	if (answer == CTL_FAILED && ctl_get_span(&words, &reason))
		return err_set(err, 0, SPAN_FMT, SPAN_ARG(span_first(reason, 200)));
	return err_set(err, 0, "the service gave an answer that fits no question");
}
