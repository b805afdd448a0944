#include "postern/policyload.h"

#include <stdlib.h>

#include "postern/policystore.h"
#include "postern/recipientstore.h"
#include "postern/thread.h"

struct policyload {
	struct hub *hub;
	void (*changed)(void *host);
	void *host;
	uint64_t have; /* the version that stands in the hub */
	struct loop_wake *bell;
	struct thread *thread; /* NULL: nothing is being read */
	struct list asked; /* since it began; for them it is read once more */
	struct list waiting; /* for the end of it */

	/* the thread's, while there is one */
	struct directory *loaded;
	uint64_t version;
	struct err err;
};

static void
exchange(struct policyload *p, struct directory *loaded, uint64_t version)
{
	directory_free(p->hub->directory);
	p->hub->directory = loaded;
	p->hub->policies = directory_policies(loaded);
	p->have = version;
}

bool
policyload_first(struct policyload *p, struct err *err)
{
	struct directory *loaded = NULL;
	uint64_t version = 0;

	if (!directory_load(p->hub->reader, &loaded, &version, err))
		return false;
	exchange(p, loaded, version);
	return true;
}

static void
answer(struct list *those, const struct err *failed)
{
	LIST_EACH (link, those) {
		struct policy_wait *w = LIST_ITEM(link, struct policy_wait, link);

		list_del(link);
		w->in(w, failed);
	}
}

/* ---- the thread ---- */

static void
read_all(void *arg)
{
	struct policyload *p = arg;
	struct reader *reader = reader_open(p->hub->state, &p->err);

	if (reader && !directory_load(reader, &p->loaded, &p->version, &p->err))
		p->loaded = NULL;
	reader_close(reader);
	loop_wake(p->bell);
}

/* ---- on the loop thread ---- */

static void
begin(struct policyload *p)
{
	struct err err = { 0 };
	uint64_t version = 0;
	bool ok = policystore_version(p->hub->reader, &version, &err);

	if (!ok || version == p->have) {
		answer(&p->asked, ok ? NULL : &err);
		return;
	}
	p->loaded = NULL;
	p->err = (struct err){ 0 };
	p->thread = thread_start("directory", 1024 * 1024, read_all, p, &err);
	if (!p->thread) {
		answer(&p->asked, &err);
		return;
	}
	LIST_EACH (link, &p->asked) {
		list_del(link);
		list_add(&p->waiting, link);
	}
}

static void
ended(void *host)
{
	struct policyload *p = host;

	if (!p->thread)
		return;
	thread_join(p->thread);
	p->thread = NULL;
	if (p->loaded) {
		exchange(p, p->loaded, p->version);
		p->changed(p->host);
	}
	answer(&p->waiting, p->loaded ? NULL : &p->err);
	if (!list_empty(&p->asked))
		begin(p);
	pulse_look(&p->hub->pulse);
}

void
policyload_look(struct policyload *p, struct policy_wait *w)
{
	list_add(&p->asked, &w->link);
	if (!p->thread)
		begin(p);
}

bool
policyload_quiet(const struct policyload *p)
{
	return !p->thread;
}

struct policyload *
policyload_new(struct hub *hub, void (*changed)(void *host), void *host)
{
	struct policyload *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->hub = hub;
	p->changed = changed;
	p->host = host;
	list_init(&p->asked);
	list_init(&p->waiting);
	p->bell = loop_wake_new(hub->loop, ended, p);
	return p;
}

void
policyload_free(struct policyload *p)
{
	if (!p)
		return;
	thread_join(p->thread);
	if (p->thread)
		directory_free(p->loaded);
	loop_wake_free(p->bell);
	free(p);
}
