/* parts: what is made for a configuration, at birth and when there is another. */
#include <stdio.h>
#include <string.h>

#include "room.h"

#include "postern/file.h"
#include "postern/log.h"

enum { DNS_SERVERS = 16 };

/* 1.5 times the largest message, but never more than a tenth of the disk. */
uint64_t
relay_least_free(const struct conf *conf, const char *state)
{
	uint64_t want = conf->smtp.limits.message / 2 * 3, left, total;

	if (file_space(state, &left, &total, NULL) && want > total / 10)
		want = total / 10;
	return want;
}

struct dns *
parts_dns(struct loop *loop, const struct conf_dns *c, struct err *err)
{
	char text[DNS_SERVERS][80];
	const char *servers[DNS_SERVERS + 1] = { NULL };
	size_t n = 0;

	for (; n < c->servers.n && n < DNS_SERVERS; n++) {
		const struct conf_host *s = &c->servers.p[n];

		(void)snprintf(text[n], sizeof(text[n]),
				strchr(s->name, ':') ? "[%s]:%u" : "%s:%u", s->name,
				s->port);
		servers[n] = text[n];
	}
	return dns_new(loop,
			&(struct dns_setup){ .servers = n > 0 ? servers : NULL,
					.timeout_ms = c->timeout_s * 1000 },
			err);
}

/* A thousand clients need more than a thousand descriptors. */
void
parts_divide(struct hub *hub)
{
	size_t clients = hub->conf->smtp.limits.connections;
	size_t outgoing = hub->conf->delivery.connections;

	hub->descriptors = descriptors_raise();
	descriptors_divide(hub->descriptors, hub->once, clients, outgoing, &hub->share);
	if (hub->share.outgoing < outgoing ||
			(!hub->once && hub->share.clients < clients))
		log_event(EVENT_CONNECTIONS_FITTED,
				FIELDS(f_num("limit", (int64_t)hub->descriptors),
						f_num("clients",
								(int64_t)hub->share
										.clients),
						f_num("asked", (int64_t)clients),
						f_num("outgoing",
								(int64_t)hub->share
										.outgoing),
						f_num("wanted", (int64_t)outgoing)));
}
