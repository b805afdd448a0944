/* Any bytes as a configuration and as a policy file: never a crash, a result
 * exactly when there is no error, and every fault lies inside the file. */
#include <stdint.h>
#include <string.h>

#include "postern/conf_load.h"
#include "postern/must.h"

static struct conf_faults faults;

static void
faults_are_sound(struct span text)
{
	struct buf out = BUF_MAX(1 << 22);
	size_t lines = 1;

	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n' || text.p[i] == '\r' ||
				(unsigned char)text.p[i] >= 0x80;
	MUST(faults.n <= CONF_FAULTS_MAX);
	MUST(faults.more == 0 || faults.n == CONF_FAULTS_MAX);
	for (size_t i = 0; i < faults.n; i++) {
		const struct conf_fault *f = &faults.list[i];
		MUST(f->mark.line <= lines + 1);
		MUST(f->mark.line > 0 || text.n > CONF_TEXT_MAX);
		MUST(f->mark.column <= text.n + 2);
		MUST(!strchr(f->text, '\n') && *f->text);
		bool fits = conf_fault_print(f, &out);
		MUST(fits);
	}
	buf_done(&out);
}

/* What comes out of a sound file can be relied on by every room. */
static void
conf_is_sound(const struct conf *c)
{
	MUST(c->server.hostname && c->server.state);
	MUST(c->delivery.retry.n >= 1 && c->delivery.expire_s > 0);
	for (size_t i = 0; i < c->accounts.n; i++) {
		const struct conf_account *a = &c->accounts.p[i];
		MUST(a->name && a->server.name && a->server.port > 0 && a->user);
		MUST(a->password.kind != SECRET_NONE && a->every_s >= 10);
		MUST((a->type == CONF_USER) == (a->recipient != NULL));
		MUST(!strpbrk(a->user, "\r\n") && strlen(a->user) <= 255);
		MUST(conf_account_find(c, a->name) == a);
	}
	for (size_t i = 0; i < c->delivery.routes.n; i++) {
		const struct conf_route *r = &c->delivery.routes.p[i];
		MUST(r->domain && *r->domain);
		MUST(r->to.kind != CONF_HOP_SMTP ||
				(r->to.host.name && r->to.host.port > 0));
	}
	for (size_t i = 0; i < c->smtp.listen.n; i++)
		MUST(c->smtp.listen.p[i].address.name &&
				c->smtp.listen.p[i].mark.line > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span text = { (const char *)data, n };
	struct conf_source src = { .text = text, .path = "/etc/postern/postern.yaml" };

	conf_faults_init(&faults);
	struct conf *c = conf_parse(&src, &faults);
	MUST((c != NULL) == (faults.errors == 0));
	if (c)
		conf_is_sound(c);
	faults_are_sound(text);
	conf_free(c);
	conf_faults_done(&faults);

	conf_faults_init(&faults);
	struct policy_doc *d = policy_doc_parse(&src, &faults);
	MUST((d != NULL) == (faults.errors == 0));
	if (d) {
		MUST(d->name && d->domains.n > 0);
		for (size_t i = 0; i < d->domains.n; i++)
			MUST(d->domains.p[i].domain && *d->domains.p[i].domain);
	}
	faults_are_sound(text);
	policy_doc_free(d);
	conf_faults_done(&faults);
	return 0;
}
