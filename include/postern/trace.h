/* trace: Received, Return-Path and Message-ID: counted, read, written. */
#ifndef POSTERN_TRACE_H
#define POSTERN_TRACE_H

#include <stdint.h>

#include "postern/address.h"

/* How many Received fields the header has (RFC 5321 6.3). */
unsigned trace_hops(struct span header);

/* The same while a message passes piece by piece, however long its header is. Starts
 * zeroed; what follows the header costs nothing. */
struct trace_hop_count {
	unsigned hops;
	unsigned at; /* octets of "Received" that the line has so far */
	enum { HOP_LINE, HOP_CR, HOP_NAME, HOP_BLANK, HOP_REST, HOP_BODY } place;
};

void trace_hops_feed(struct trace_hop_count *c, struct span piece);

/* What the clauses of one Received field say (RFC 5321 4.4). Comments are not
 * looked into: "by" and "for" in them are the sender's words. */
struct trace_received {
	struct span by; /* host as spelled, or empty */
	struct span from;
	size_t recipients; /* members of the for-clause, addresses or not */
};

/* Reads a Received body. The last "by" is the host's own, and a "for" before it is the
 * sender's word (HELO). The addresses of the for-clause are appended to `to`
 * (NULL: nobody wants them); "<multiple recipients>" and names without a domain
 * give none. */
void trace_read(struct span body, struct address_list *to, struct trace_received *out);

enum trace_path {
	TRACE_PATH_BAD, /* no address can be read */
	TRACE_PATH_NULL, /* <> */
	TRACE_PATH_ADDRESS,
};

/* Reads a Return-Path body; out is set for TRACE_PATH_ADDRESS only. */
enum trace_path trace_return_path(
		struct arena *arena, struct span body, struct address *out);
/* The identifier in a Message-ID body: what stands between < and > without blanks,
 * else the first word. Opaque, whatever it looks like, but printable: a control
 * byte ends it. Empty when there is none. Points into body or the arena. */
struct span trace_message_id(struct arena *arena, struct span body);
/* Does it name a message? Something has to stand before the "@": "<>", "<@>" and
 * "<@host>" are as good as none. */
bool trace_id_names(struct span body);

/* Our own Received line. Every span but `from` is ours and trusted. */
struct trace_stamp {
	struct span from; /* provider or EHLO name; what is no name becomes "unknown" */
	struct span ip; /* in text; empty: left out (unix socket) */
	struct span by; /* our host name */
	struct span with; /* POP3, POP3S, ESMTP, ESMTPS, ESMTPSA, LMTP, ... */
	struct span id; /* queue id */
	struct span recipient; /* printed wire form; only when there is exactly one, else empty */
	bool collected; /* or a file: "(Postern)" stands after `with` (E15) */
	bool unverified; /* EHLO name and address disagree (smtp reverse_dns) */
	int64_t at_s;
};

/* Appends one line with its CRLF. */
bool trace_print(struct buf *out, const struct trace_stamp *stamp)
		__attribute__((warn_unused_result));
/* May this EHLO argument stand in a header: a host name or an address literal,
 * at most 255 bytes (FAULTS S19)? */
bool trace_name_ok(struct span name);

#endif
