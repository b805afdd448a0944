/* import: the accounts of fetchmail, getmail and mpop. */
#include "import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/address.h"
#include "postern/file.h"
#include "postern/secret_read.h"

/* The folder with its slash, from the root: what is printed may be moved elsewhere. */
static const char *
folder_of(struct import *im)
{
	AUTO(buf_done) struct buf b = BUF_MAX(16384);
	char *whole = realpath(im->path, NULL);
	struct span s = span_of(whole ? whole : "./");

	bool ok = buf_add(&b, span_first(s, span_rfind(s, '/') + 1));
	free(whole);
	const char *kept = ok ? arena_str(&im->arena, buf_span(&b)) : NULL;
	return kept ? kept : "./";
}

/* Of this machine, for local names; what nobody can be meant by, when it has none. */
static const char *
own_domain(void)
{
	static char host[256];

	if (gethostname(host, sizeof(host) - 1) != 0)
		return "example.invalid";
	const char *dot = strchr(host, '.');
	char canon[ADDRESS_DOMAIN_MAX + 1];
	return dot && strchr(dot + 1, '.') && domain_canon(span_of(dot + 1), canon)
			? dot + 1
			: "example.invalid";
}

static bool
same_secret(const char *path, const char *password)
{
	AUTO(secret_done) struct buf there = BUF_MAX(65536 * 2);
	const struct secret s = { .kind = SECRET_FILE, .text = path };

	return secret_read(&s, &there, NULL) &&
			span_eq(buf_span(&there), span_of(password));
}

/* A new file of ours, or one that says the same. */
static bool
write_secret(int dir, const char *folder, const struct rc_account *a)
{
	AUTO(buf_done) struct buf path = BUF_MAX(8192);
	AUTO(fd_done)
	int fd = openat(dir, a->name,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	const struct span parts[] = { span_of(a->password), SPAN("\n") };

	if (!buf_addf(&path, "%s/%s", folder, a->name) || !buf_cstr(&path))
		return false;
	if (fd < 0 && errno == EEXIST) {
		if (same_secret(path.p, a->password))
			return true;
		(void)cli_fail(0,
				"%s is there already, with another text; it was left as it is",
				path.p);
		return false;
	}
	if (fd >= 0 && fd_write_parts(fd, parts, 2) && fsync(fd) == 0)
		return true;
	(void)cli_fail(0, "cannot write %s: %s", path.p, err_words(errno));
	if (fd >= 0)
		(void)unlinkat(dir, a->name, 0);
	return false;
}

static bool
write_secrets(struct import *im)
{
	struct err err = { 0 };
	bool ok = true;

	if (!dir_make_path(im->secrets, 0700, &err)) {
		(void)cli_fail(0, "%s", err.text);
		return false;
	}
	char *whole = realpath(im->secrets, NULL);
	AUTO(fd_done) int dir = dir_open(AT_FDCWD, whole ? whole : im->secrets, &err);
	if (dir < 0) {
		free(whole);
		(void)cli_fail(0, "%s", err.text);
		return false;
	}
	const char *kept = whole ? arena_str(&im->arena, span_of(whole)) : NULL;
	free(whole);
	im->secrets = kept ? kept : im->secrets;
	for (const struct rc_account *a = im->file->accounts; a; a = a->next) {
		if (a->password_kind == RC_PASSWORD_INLINE && !a->idle)
			ok = write_secret(dir, im->secrets, a) && ok;
	}
	if (!dir_sync(dir, &err)) {
		(void)cli_fail(0, "%s", err.text);
		ok = false;
	}
	return ok;
}

static int
print_all(struct import *im, int status)
{
	size_t n = 0;

	for (const struct rc_account *a = im->file->accounts; a; a = a->next)
		n += !a->idle;
	if (im->c->json) {
		json_t *j = import_json(im);
		if (im->state)
			(void)json_object_set(j, "state", im->state);
		(void)cli_print_json(j);
	} else {
		import_print_yaml(im, stdout);
	}
	import_print_notes(im, stderr);
	if (n == 0)
		return cli_fail(CLI_FAILED,
				"%s: there is no account that could be carried over",
				im->path);
	return status;
}

static int
import_file(struct import *im, bool state)
{
	AUTO(secret_done) struct buf text = BUF_MAX(RC_TEXT_MAX + 1);
	struct rc_fault fault = { .text = "" };
	struct err err = { 0 };

	/* All room at once: no copy of a password is left behind by growing. */
	if (!buf_room(&text, RC_TEXT_MAX) ||
			!file_read(AT_FDCWD, im->path, FILE_REGULAR, &text, &err))
		return cli_fail(CLI_FAILED, "%s", err.text);
	im->folder = folder_of(im);
	const struct rc_source src = { im->format, buf_span(&text), im->domain };
	im->file = rcfile_parse(&src, &fault);
	if (!im->file)
		return cli_fail(CLI_CONFIG, "%s:%u:%u: error: %s", im->path,
				fault.mark.line, fault.mark.column, fault.text);

	int status = im->secrets && !write_secrets(im) ? CLI_FAILED : CLI_DONE;
	int taken = state ? import_state(im) : CLI_DONE;
	return print_all(im, taken != CLI_DONE ? taken : status);
}

static int
import(struct cli *c, enum rc_format format)
{
	struct import im = {
		.c = c, .format = format, .arena = ARENA_MAX(64 * 1024 * 1024)
	};
	bool state = false;
	const struct cli_option options[] = { { "--state", NULL, &state },
		{ "--ids", &im.ids, NULL }, { "--secrets", &im.secrets, NULL },
		{ "--domain", &im.domain, NULL }, { 0 } };
	char canon[ADDRESS_DOMAIN_MAX + 1];

	if (!cli_options(c, options, 1, 1))
		return CLI_USAGE;
	if (im.domain && !domain_canon(span_of(im.domain), canon))
		return cli_fail(CLI_USAGE, "--domain: %s is not a domain", im.domain);
	if (im.ids && !state)
		return cli_fail(CLI_USAGE, "--ids goes with --state");
	if (!im.domain)
		im.domain = own_domain();
	im.path = c->argv[0];
	int status = import_file(&im, state);
	rcfile_free(im.file);
	json_decref(im.state);
	arena_done(&im.arena);
	return status;
}

int
cli_import_fetchmailrc(struct cli *c)
{
	return import(c, RC_FETCHMAIL);
}

int
cli_import_getmailrc(struct cli *c)
{
	return import(c, RC_GETMAIL);
}

int
cli_import_mpoprc(struct cli *c)
{
	return import(c, RC_MPOP);
}
