#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peers.h"

struct talk {
	struct provider *p;
	int fd;
	char in[65536];
	size_t have;
	bool dead;
	bool deleted[MAILS_MAX];
	size_t map[MAILS_MAX], n; /* numbers of this session */
};

static void
put(struct talk *t, const char *p, size_t n)
{
	long room = t->p->cut_at < 0 ? (long)n : t->p->cut_at - t->p->sent;

	if (t->dead)
		return;
	if (room < (long)n) {
		n = room > 0 ? (size_t)room : 0;
		t->dead = true;
	}
	for (size_t at = 0; at < n;) {
		unsigned drip = t->p->drip_us;

		if (drip > 0)
			(void)usleep(drip);
		ssize_t k = send(t->fd, p + at, drip > 0 ? 1 : n - at, MSG_NOSIGNAL);
		if (k <= 0) {
			t->dead = true;
			return;
		}
		at += (size_t)k;
	}
	t->p->sent += (long)n;
}

static void
say(struct talk *t, const char *text)
{
	put(t, text, strlen(text));
}

static void
multi_line(struct talk *t, const struct buf *data)
{
	bool bol = true;

	say(t, "+OK\r\n");
	for (size_t i = 0; i < data->n;) {
		size_t n = span_find(span_skip(buf_span(data), i), '\n') + 1;

		n = i + n > data->n ? data->n - i : n;
		if (bol && data->p[i] == '.')
			say(t, ".");
		put(t, data->p + i, n);
		bol = n >= 2 && data->p[i + n - 2] == '\r';
		i += n;
	}
	if (data->n > 0 && !(bol && data->p[data->n - 1] == '\n'))
		say(t, "\r\n");
	say(t, ".\r\n");
}

static void
listing(struct talk *t, bool uids)
{
	say(t, "+OK\r\n");
	for (size_t i = 0; i < t->n; i++) {
		const struct provider_mail *m = &t->p->mails[t->map[i]];
		char line[80];

		if (uids)
			(void)snprintf(line, sizeof(line), "%zu %s\r\n", i + 1, m->uid);
		else
			(void)snprintf(line, sizeof(line), "%zu %zu\r\n", i + 1,
					m->data.n);
		say(t, line);
	}
	say(t, ".\r\n");
}

static void
bye(struct talk *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->deleted[i])
			t->p->mails[t->map[i]].gone = true;
	say(t, "+OK\r\n");
	t->dead = true;
}

static bool
begins(const char *line, const char *verb)
{
	return strncasecmp(line, verb, strlen(verb)) == 0;
}

static bool
scripted(struct talk *t, const char *line)
{
	const struct provider_line *l = t->p->script;

	(void)pthread_mutex_lock(&t->p->lock);
	if (!buf_addf(&t->p->heard, "%s\n", line))
		abort();
	(void)pthread_mutex_unlock(&t->p->lock);
	while (l && l->line && strcmp(l->line, line) != 0)
		l++;
	if (!l || !l->line)
		return false;
	say(t, l->reply);
	return true;
}

static void
command(struct talk *t, const char *line)
{
	struct provider *p = t->p;
	size_t number = strlen(line) > 5 ? (size_t)atol(line + 5) : 0;

	const char *verb = p->verb, *reply = p->reply, *caps = p->caps;

	if (scripted(t, line))
		return;
	if (p->pause_us > 0)
		(void)usleep(p->pause_us);
	if (verb && begins(line, verb) && !reply)
		return;
	if (verb && begins(line, verb)) {
		say(t, reply);
		t->dead = t->dead || reply[0] == '\0';
	} else if (begins(line, "CAPA") && caps) {
		say(t, "+OK\r\n");
		say(t, caps);
		say(t, ".\r\n");
	} else if (begins(line, "USER") || begins(line, "PASS")) {
		say(t, "+OK\r\n");
	} else if (begins(line, "LIST")) {
		listing(t, false);
	} else if (begins(line, "UIDL ") && number >= 1 && number <= t->n) {
		char one[80];

		(void)snprintf(one, sizeof(one), "+OK %zu %s\r\n", number,
				p->mails[t->map[number - 1]].uid);
		say(t, one);
	} else if (begins(line, "UIDL") && !p->no_uidl) {
		listing(t, true);
	} else if (begins(line, "RETR") && number >= 1 && number <= t->n) {
		p->retrieved++;
		multi_line(t, &p->mails[t->map[number - 1]].data);
	} else if (begins(line, "DELE") && number >= 1 && number <= t->n) {
		t->deleted[number - 1] = true;
		say(t, "+OK\r\n");
	} else if (begins(line, "QUIT")) {
		bye(t);
	} else {
		say(t, "-ERR what?\r\n");
	}
}

static void
converse(struct talk *t)
{
	for (size_t i = 0; i < t->p->n; i++)
		if (!t->p->mails[i].gone)
			t->map[t->n++] = i;
	say(t, t->p->greeting);
	while (!t->dead) {
		char *end = memchr(t->in, '\n', t->have);

		if (end) {
			size_t n = (size_t)(end - t->in) + 1;
			char line[512] = "";

			memcpy(line, t->in, n < 500 ? n : 500);
			t->have -= n;
			memmove(t->in, t->in + n, t->have);
			if (t->have > 0)
				t->p->ahead++;
			line[strcspn(line, "\r\n")] = '\0';
			command(t, line);
			continue;
		}
		ssize_t k = recv(t->fd, t->in + t->have, sizeof(t->in) - t->have, 0);
		if (k <= 0)
			break;
		t->have += (size_t)k;
	}
}

static void *
serve(void *arg)
{
	struct provider *p = arg;

	for (;;) {
		int fd = accept(p->fd, NULL, NULL);
		struct talk *t;

		if (fd < 0)
			return NULL;
		(void)setsockopt(
				fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
		p->sent = 0;
		p->sessions++;
		t = calloc(1, sizeof(*t));
		t->p = p;
		t->fd = fd;
		converse(t);
		free(t);
		(void)close(fd);
	}
}

void
provider_open(struct provider *p)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t n = sizeof(at);

	memset(p, 0, sizeof(*p));
	p->caps = "UIDL\r\nPIPELINING\r\nUSER\r\n";
	p->greeting = "+OK ready\r\n";
	p->cut_at = -1;
	p->heard = BUF_MAX(16 * 1024 * 1024);
	(void)pthread_mutex_init(&p->lock, NULL);
	p->mails = calloc(MAILS_MAX, sizeof(*p->mails));
	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(p->fd, (struct sockaddr *)&at, n) != 0 || listen(p->fd, 16) != 0 ||
			getsockname(p->fd, (struct sockaddr *)&at, &n) != 0)
		abort();
	p->port = ntohs(at.sin_port);
	if (pthread_create(&p->thread, NULL, serve, p) != 0)
		abort();
}

void
provider_put(struct provider *p, const char *uid, struct span data)
{
	struct provider_mail *m = &p->mails[p->n];

	(void)snprintf(m->uid, sizeof(m->uid), "%s", uid);
	m->data = BUF_MAX(64 * 1024 * 1024);
	if (!buf_add(&m->data, data))
		abort();
	p->n++;
}

bool
provider_heard(struct provider *p, const char *begin)
{
	bool found = false;

	(void)pthread_mutex_lock(&p->lock);
	struct span rest = buf_span(&p->heard);
	while (!found && rest.n > 0)
		found = span_starts(span_until(&rest, '\n'), span_of(begin));
	(void)pthread_mutex_unlock(&p->lock);
	return found;
}

size_t
provider_left(const struct provider *p)
{
	size_t left = 0;

	for (size_t i = 0; i < p->n; i++)
		left += p->mails[i].gone ? 0 : 1;
	return left;
}

void
provider_close(struct provider *p)
{
	(void)shutdown(p->fd, SHUT_RDWR);
	(void)pthread_join(p->thread, NULL);
	(void)close(p->fd);
	for (size_t i = 0; i < p->n; i++)
		buf_done(&p->mails[i].data);
	free(p->mails);
	buf_done(&p->heard);
	(void)pthread_mutex_destroy(&p->lock);
}
