/* Does a message carry loop stamps of this gateway for those who would get it (E10)? */
#include "explain.h"
#include "postern/header.h"
#include "postern/loop_stamp.h"
#include "postern/store.h"

enum { STAMPS_MAX = 64 }; /* that are looked at, from the top, as the relay does */

/* Those of the header that are written as ours are. */
static size_t
stamps_of(const struct loop_key *k, struct span header, struct span macs[STAMPS_MAX])
{
	struct header_scan scan;
	struct header_field f;
	size_t n = 0, seen = 0;

	header_scan_init(&scan, header);
	while (seen < STAMPS_MAX && header_next(&scan, &f)) {
		if (!header_is(&f, SPAN("X-Postern-Loop")))
			continue;
		seen++;
		n += loop_stamp_read(k, span_trim(f.body), &macs[n]);
	}
	return n;
}

static bool
is_stamped(const struct loop_key *k, struct span message_id, struct span address,
		const struct span macs[STAMPS_MAX], size_t n)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(4096);
	char mac[LOOP_MAC_SIZE];

	loop_mac(k, message_id, directory_fold(&a, address), mac);
	for (size_t i = 0; i < n; i++) {
		if (span_eq(macs[i], span_of(mac)))
			return true;
	}
	return false;
}

bool
explain_stamps(struct reader *reader, struct span header, const struct recipients *r,
		const struct answers *all, struct buf *out)
{
	AUTO(buf_done) struct buf id = BUF_MAX(2048);
	struct span macs[STAMPS_MAX];
	struct loop_key key = { 0 };
	size_t i, n, before = out->n;
	const json_t *one;
	struct err err;

	/* One that has none is given another each time. */
	if (!reader || r->message_id.n == 0 ||
			!store_secret(reader, "loop", key.secret, &err) ||
			!buf_addf(&id, "<" SPAN_FMT ">", SPAN_ARG(r->message_id)))
		return false;
	loop_key_init(&key);
	n = stamps_of(&key, header, macs);
	if (n == 0)
		return false;
	json_array_foreach(all->recipients, i, one)
	{
		struct span to = span_of(
				json_string_value(json_object_get(one, "address")));

		if (is_stamped(&key, buf_span(&id), to, macs, n) &&
				(!buf_add(out,
						 out->n > before ? SPAN(", ")
								 : SPAN("")) ||
						!buf_add(out, to)))
			return false;
	}
	return out->n > before;
}
