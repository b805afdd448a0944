#include "hosts.h"

#include "postern/must.h"

void
host_limit_init(struct host_limit *h, unsigned workers, bool others)
{
	unsigned most = others ? workers - (workers + 3) / 4 : workers;

	most = most > 0 ? most : 1;
	*h = (struct host_limit){
		.most = most,
		.allowed = most < HOST_FIRST ? most : HOST_FIRST,
	};
}

bool
host_limit_room(const struct host_limit *h)
{
	return h->running < h->allowed;
}

unsigned
host_limit_begin(struct host_limit *h)
{
	h->running++;
	return h->cuts;
}

void
host_limit_end(struct host_limit *h, unsigned begun, enum host_said said)
{
	MUST(h->running > 0);
	h->running--;
	if (said == HOST_GOOD && h->allowed < h->most) {
		h->allowed++;
	} else if (said == HOST_STRAINED && begun == h->cuts) {
		h->allowed = h->allowed > 1 ? h->allowed / 2 : 1;
		h->cuts++;
	}
}

bool
host_key(const struct conf_host *host, struct buf *out)
{
	for (const char *p = host->name; *p; p++)
		if (!buf_addc(out, ascii_lower(*p)))
			return false;
	return buf_addf(out, ":%u", host->port);
}
