/* A session, for the files that deal with those who are connected. */
#ifndef RELAY_INBOUND_H
#define RELAY_INBOUND_H

#include "postern/net.h"
#include "postern/stream.h"
#include "room.h"

struct session {
	struct list link;
	struct list dirty; /* on inbound's list while the engine has news */
	struct inbound *in;
	struct stream *stream;
	struct smtp_server *engine;
	struct mail *mail; /* the transaction that is open */
	struct list waiting; /* mails that the store has */
	struct net_addr addr;
	char ip[NET_TEXT_SIZE];
	bool internal, may_relay;
	bool paused; /* not read: the window is full, or memory is */
	bool clogged; /* our output does not get away */
	bool ended; /* the client says no more */
	bool closing;
	bool in_body;
	unsigned messages;
	unsigned bare; /* of them refused for bare line ends, as far as it was told */
	int64_t stamp_ms; /* monotonic: something useful happened */
	uint64_t moved; /* octets of bodies since then */
};

#endif
