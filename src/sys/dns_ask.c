#include "dns_ask.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "postern/buf.h"
#include "sockaddr.h"

enum {
	TIMEOUT_PRESET_MS = 5000,
	TIMEOUT_MOST_MS = 60000,
	TRIES = 2,
	PACKET_LEAST = 12
};

static bool
dns_servers(const struct dns_setup *setup, struct buf *csv, struct err *err)
{
	for (size_t i = 0; setup->servers[i]; i++) {
		struct span host;
		struct net_addr a;
		char text[NET_TEXT_SIZE];
		uint16_t port;

		if (!net_host_port(span_of(setup->servers[i]), 53, &host, &port) ||
				!net_addr_parse(host, port, &a))
			return err_set(err, 0, "\"%s\" is no address of a name server",
					setup->servers[i]);
		net_addr_text(&a, text);
		if (!buf_addf(csv, a.family == NET_IP6 ? "%s[%s]:%u" : "%s%s:%u",
				    i ? "," : "", text, port))
			return err_set(err, 0, "too many name servers");
	}
	return true;
}

bool
dns_channels_open(struct dns_channels *c, const struct dns_setup *setup,
		ares_sock_state_cb changed, void *const *args, struct err *err)
{
	static const struct dns_setup preset;
	AUTO(buf_done) struct buf csv = BUF_MAX(4096);
	struct ares_options o = { 0 };
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;

	*c = (struct dns_channels){ 0 };
	if (!setup)
		setup = &preset;
	if (setup->servers && !dns_servers(setup, &csv, err))
		return false;
	o.timeout = setup->timeout_ms <= 0		      ? TIMEOUT_PRESET_MS
			: setup->timeout_ms > TIMEOUT_MOST_MS ? TIMEOUT_MOST_MS
							      : (int)setup->timeout_ms;
	o.tries = TRIES;
	if (changed) {
		o.sock_state_cb = changed;
		mask |= ARES_OPT_SOCK_STATE_CB;
	}
	for (int i = 0; i < DNS_CHANNELS; i++) {
		o.sock_state_cb_data = changed ? args[i] : NULL;
		o.flags = i == DNS_UDP ? ARES_FLAG_IGNTC : ARES_FLAG_USEVC;
		int rc = ares_init_options(&c->at[i], &o, mask);
		if (rc == ARES_SUCCESS && csv.n > 0)
			rc = ares_set_servers_ports_csv(c->at[i], buf_cstr(&csv));
		if (rc != ARES_SUCCESS) {
			dns_channels_close(c);
			return err_set(err, 0, "name service: %s", ares_strerror(rc));
		}
	}
	return true;
}

void
dns_channels_close(struct dns_channels *c)
{
	for (int i = 0; i < DNS_CHANNELS; i++)
		if (c->at[i])
			ares_destroy(c->at[i]);
	*c = (struct dns_channels){ 0 };
}

static void
dns_leg_add(struct dns_leg *leg, const void *ip)
{
	struct net_addr a = { .port = leg->ask->port };
	struct sockaddr_storage ss = { .ss_family = (sa_family_t)leg->family };

	if (leg->n == sizeof(leg->addrs) / sizeof(leg->addrs[0]))
		return;
	/* By way of the kernel's form, which knows mapped addresses. */
	a.family = leg->family == AF_INET ? NET_IP4 : NET_IP6;
	memcpy(a.ip, ip, leg->family == AF_INET ? 4 : 16);
	socklen_t n = sockaddr_from(&a, &ss);
	sockaddr_to(&ss, n, &leg->addrs[leg->n++]);
}

static int
dns_leg_parse(struct dns_leg *leg, const unsigned char *packet, int n)
{
	enum { MOST = DNS_ADDRS_MAX / 2 };
	struct ares_addrttl four[MOST];
	struct ares_addr6ttl six[MOST];
	int count = MOST;
	int rc = leg->family == AF_INET
			? ares_parse_a_reply(packet, n, NULL, four, &count)
			: ares_parse_aaaa_reply(packet, n, NULL, six, &count);

	leg->n = 0;
	for (int i = 0; rc == ARES_SUCCESS && i < count; i++)
		dns_leg_add(leg,
				leg->family == AF_INET ? (const void *)&four[i].ipaddr
						       : (const void *)&six[i].ip6addr);
	return rc;
}

static void
dns_leg_end(struct dns_leg *leg, int status)
{
	leg->done = true;
	leg->status = status;
	if (leg->n > 0)
		leg->answer = DNS_FOUND;
	else if (status == ARES_ENOTFOUND || status == ARES_EBADNAME)
		leg->answer = DNS_NO_NAME;
	else if (status == ARES_ENODATA || status == ARES_SUCCESS)
		leg->answer = DNS_NO_DATA;
	else
		leg->answer = DNS_TEMPORARY;
	leg->ask->open--;
	leg->ask->moved(leg->ask);
}

static void
dns_leg_answered(void *arg, int status, int timeouts, unsigned char *packet, int n)
{
	struct dns_leg *leg = arg;
	bool cut = packet && n >= PACKET_LEAST && (packet[2] & 0x02);
	bool said = status == ARES_SUCCESS || status == ARES_ENODATA ||
			status == ARES_ENOTFOUND;

	(void)timeouts;
	if (leg->channel == DNS_TCP && !said) {
		/* TCP cannot be had: what the cut answer held must do, and if it held
		 * nothing, nothing is known. */
		dns_leg_end(leg, leg->n > 0 ? ARES_SUCCESS : ARES_ESERVFAIL);
		return;
	}
	leg->n = 0;
	if (status == ARES_SUCCESS && packet)
		status = dns_leg_parse(leg, packet, n);
	if (cut && said && leg->channel == DNS_UDP && !leg->ask->whole) {
		/* Which name of the search list this was is not known here. */
		dns_leg_end(leg, leg->n > 0 ? ARES_SUCCESS : ARES_ESERVFAIL);
		return;
	}
	if (cut && said && leg->channel == DNS_UDP) {
		leg->channel = DNS_TCP;
		ares_query(leg->ask->channels->at[DNS_TCP], leg->ask->name, ns_c_in,
				leg->family == AF_INET ? ns_t_a : ns_t_aaaa,
				dns_leg_answered, leg);
		return;
	}
	dns_leg_end(leg, status);
}

static bool
dns_ask_hosts(struct dns_ask *ask)
{
	bool any = false;

	for (size_t i = 0; i < 2; i++) {
		struct dns_leg *leg = &ask->legs[i];
		struct hostent *h = NULL;
		int rc = ares_gethostbyname_file(
				ask->channels->at[DNS_UDP], ask->name, leg->family, &h);

		for (size_t k = 0; rc == ARES_SUCCESS && h->h_addr_list[k]; k++)
			dns_leg_add(leg, h->h_addr_list[k]);
		if (h)
			ares_free_hostent(h);
		any = any || leg->n > 0;
	}
	return any;
}

static void
dns_ask_settle(struct dns_ask *ask)
{
	for (size_t i = 0; i < 2; i++) {
		ask->legs[i].done = true;
		ask->legs[i].answer = ask->legs[i].n > 0 ? DNS_FOUND : DNS_NO_DATA;
	}
}

bool
dns_ask_known(struct dns_ask *ask)
{
	static const uint8_t one4[4] = { 127, 0, 0, 1 }, one6[16] = { [15] = 1 };
	struct span name = span_of(ask->name);
	struct net_addr literal;

	for (size_t i = 0; i < 2; i++)
		ask->legs[i] = (struct dns_leg){ .ask = ask,
			.family = i ? AF_INET : AF_INET6 };
	if (net_addr_parse(name, ask->port, &literal)) {
		struct dns_leg *leg = &ask->legs[literal.family == NET_IP4];

		leg->addrs[leg->n++] = literal;
		dns_ask_settle(ask);
		return true;
	}
	if (ask->channels && dns_ask_hosts(ask)) {
		dns_ask_settle(ask);
		return true;
	}
	/* RFC 6761 section 6.3 */
	if (span_eq_nocase(name, SPAN("localhost")) ||
			span_ends_nocase(name, SPAN(".localhost"))) {
		dns_leg_add(&ask->legs[0], one6);
		dns_leg_add(&ask->legs[1], one4);
		dns_ask_settle(ask);
		return true;
	}
	return false;
}

void
dns_ask_start(struct dns_ask *ask)
{
	ask->whole = span_find(span_of(ask->name), '.') < strlen(ask->name);
	/* Both are counted before the first is asked: c-ares may answer at once. */
	ask->open = 2;
	for (size_t i = 0; i < 2; i++) {
		struct dns_leg *leg = &ask->legs[i];
		int type = leg->family == AF_INET ? ns_t_a : ns_t_aaaa;

		if (ask->whole)
			ares_query(ask->channels->at[DNS_UDP], ask->name, ns_c_in, type,
					dns_leg_answered, leg);
		else
			ares_search(ask->channels->at[DNS_UDP], ask->name, ns_c_in,
					type, dns_leg_answered, leg);
	}
}

bool
dns_ask_found(const struct dns_ask *ask)
{
	return ask->legs[0].n + ask->legs[1].n > 0 &&
			(ask->legs[0].done || ask->legs[1].done);
}

static enum dns_answer
dns_ask_failure(const struct dns_ask *ask, struct err *words)
{
	const struct dns_leg *six = &ask->legs[0], *four = &ask->legs[1];

	for (size_t i = 0; i < 2; i++) {
		const struct dns_leg *leg = &ask->legs[i];

		if (leg->done && leg->answer != DNS_TEMPORARY)
			continue;
		(void)err_set(words, 0, "no answer about %s: %s", ask->name,
				leg->done ? ares_strerror(leg->status) : "timed out");
		return DNS_TEMPORARY;
	}
	if (six->answer == DNS_NO_NAME && four->answer == DNS_NO_NAME) {
		(void)err_set(words, 0, "the name %s does not exist", ask->name);
		return DNS_NO_NAME;
	}
	(void)err_set(words, 0, "the name %s has no address", ask->name);
	return DNS_NO_DATA;
}

enum dns_answer
dns_ask_result(const struct dns_ask *ask, struct net_addr *addrs, size_t max, size_t *n,
		struct err *words)
{
	size_t count = 0;

	for (size_t i = 0; i < DNS_ADDRS_MAX / 2; i++)
		for (size_t k = 0; k < 2; k++)
			if (ask->legs[k].done && i < ask->legs[k].n && count < max)
				addrs[count++] = ask->legs[k].addrs[i];
	*n = count;
	return count > 0 ? DNS_FOUND : dns_ask_failure(ask, words);
}
