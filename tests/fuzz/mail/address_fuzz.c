/* Any bytes are a field body. What is read, printed and read again is the same,
 * and what may stand in an envelope holds nothing that could end a line there. */
#include "postern/address.h"
#include "postern/must.h"
#include "postern/trace.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_envelope(struct arena *arena, const struct address *a)
{
	AUTO(buf_done) struct buf wire = BUF_MAX(ADDRESS_SIZE);
	AUTO(buf_done) struct buf key = BUF_MAX(ADDRESS_SIZE);
	AUTO(buf_done) struct buf again = BUF_MAX(ADDRESS_SIZE);
	struct address b;

	MUST(address_wire(&wire, a) && address_key(&key, a));
	for (size_t i = 0; i < wire.n; i++)
		MUST((unsigned char)wire.p[i] > 0x20 && wire.p[i] != 0x7f &&
				wire.p[i] != '<' && wire.p[i] != '>');
	MUST(wire.n <= 254);
	MUST(address_parse(arena, buf_span(&wire), &b));
	MUST(span_eq(b.local, a->local));
	MUST(address_key(&again, &b) && span_eq(buf_span(&again), buf_span(&key)));
}

static void
check_address(struct arena *arena, const struct address *a)
{
	AUTO(buf_done) struct buf text = BUF_MAX(1 << 22);
	struct address_list list;

	MUST(address_print(&text, a));
	address_list_init(&list, arena, 2);
	address_read(&list, buf_span(&text));
	MUST(list.n == 1 && list.total == 1 && list.v[0].kind == ADDRESS_FULL);
	MUST(span_eq(list.v[0].local, a->local) &&
			span_eq(list.v[0].domain, a->domain));
	if (!address_refused(a))
		check_envelope(arena, a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena_done) struct arena arena = ARENA_MAX(1 << 24);
	struct span body = { (const char *)data, n };
	struct address_list list;
	struct trace_received received;
	struct address a;

	address_list_init(&list, &arena, 1000);
	address_read(&list, body);
	trace_read(body, &list, &received);
	for (size_t i = 0; i < list.n; i++) {
		if (list.v[i].kind == ADDRESS_FULL)
			check_address(&arena, &list.v[i]);
	}
	if (trace_return_path(&arena, body, &a) == TRACE_PATH_ADDRESS)
		check_address(&arena, &a);
	if (address_parse(&arena, body, &a))
		check_envelope(&arena, &a);
	struct span id = trace_message_id(&arena, body);
	for (size_t i = 0; i < id.n; i++)
		MUST((unsigned char)id.p[i] > 0x20 && id.p[i] != 0x7f);
	(void)trace_name_ok(body);
	return 0;
}
