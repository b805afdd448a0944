/* Any bytes, whole and cut: the receiving engine must neither crash nor differ.
 *
 * The first byte chooses the kind of session and the cut; a byte of 0xff ends a flight
 * and is not sent: there the client has read all replies. */
#include <string.h>

#include "host.h"
#include "postern/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
commit_all(struct host *h, uint64_t *ticket, bool yes)
{
	while (smtp_server_tickets(h->engine) > 0)
		smtp_server_committed(h->engine, (*ticket)++,
				yes ? SMTP_YES : smtp_refuse(SMTP_REFUSE_STORE));
	host_answer(h);
}

static void
hold(struct host *h, struct span in, bool internal, size_t step)
{
	struct smtp_server_options o = { .hostname = SPAN("mx.test"),
		.size_limit = 500,
		.max_recipients = 5,
		.max_errors = 40,
		.max_tickets = 3,
		.internal = internal };
	uint64_t ticket = 0;

	host_open(h, &o);
	host_drain(h);
	while (in.n > 0 && !h->closed) {
		struct span flight = span_until(&in, '\xff');

		for (;;) {
			size_t used = host_feed(h, flight, step);

			flight = span_skip(flight, used);
			if (flight.n == 0 || h->closed)
				break;
			/* The window is full: it moves when messages are durable. */
			MUST(smtp_server_tickets(h->engine) > 0);
			commit_all(h, &ticket, flight.n % 2);
		}
		commit_all(h, &ticket, true);
		host_drain(h);
	}
	smtp_server_end(h->engine, SMTP_REFUSE_IDLE);
	host_answer(h);
	host_drain(h);
	MUST(h->closed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host whole, cut;

	if (size < 1)
		return 0;
	struct span in = { (const char *)data + 1, size - 1 };
	hold(&whole, in, data[0] & 1, in.n + 1);
	hold(&cut, in, data[0] & 1, 1u + data[0] / 2);
	MUST(span_eq(buf_span(&whole.heard), buf_span(&cut.heard)));
	MUST(span_eq(buf_span(&whole.diary), buf_span(&cut.diary)));
	host_done(&whole);
	host_done(&cut);
	return 0;
}
