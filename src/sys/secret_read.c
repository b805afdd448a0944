#include "postern/secret_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postern/file.h"
#include "postern/proc.h"

enum { SECRET_MAX = 64 * 1024, COMMAND_MS = 10000 };

void
secret_wipe(void *p, size_t n)
{
	if (n > 0)
		explicit_bzero(p, n);
}

void
secret_done(struct buf *b)
{
	/* All of it: what was longer before may still lie behind the end. */
	if (b->p)
		secret_wipe(b->p, b->cap);
	buf_done(b);
}

/* Room for all that may come, so that no copy is left behind by growing. */
static bool
secret_room(struct buf *b)
{
	return buf_room(b, SECRET_MAX) != NULL;
}

static bool
secret_command(const struct secret *s, struct buf *raw, struct err *err)
{
	int status = 0;

	if (!proc_run(s->argv, COMMAND_MS, raw, &status, err))
		return false;
	if (status != 0)
		return err_set(err, 0, "%s failed with status %d", s->argv[0], status);
	return true;
}

static bool
secret_credential(const struct secret *s, struct buf *raw, struct err *err)
{
	AUTO(buf_done) struct buf path = BUF_MAX(4096);
	const char *dir = getenv("CREDENTIALS_DIRECTORY");

	if (!dir || !*dir)
		return err_set(err, 0,
				"credential %s: CREDENTIALS_DIRECTORY is not set",
				s->text);
	if (!s->text[0] || s->text[0] == '.' || strchr(s->text, '/'))
		return err_set(err, 0, "\"%s\" is no name of a credential", s->text);
	if (!buf_addf(&path, "%s/%s", dir, s->text) || !buf_cstr(&path))
		return err_set(err, 0, "credential %s: its path is too long", s->text);
	/* systemd's own directory is private; its files are 0400 of our user or,
	 * with an ACL, of root. */
	return file_read(AT_FDCWD, buf_cstr(&path), FILE_REGULAR, raw, err);
}

static bool
secret_fetch(const struct secret *s, struct buf *raw, struct err *err)
{
	const char *text = NULL;

	switch (s->kind) {
	case SECRET_FILE:
		return file_read(AT_FDCWD, s->text, FILE_PRIVATE, raw, err);
	case SECRET_COMMAND:
		return secret_command(s, raw, err);
	case SECRET_CREDENTIAL:
		return secret_credential(s, raw, err);
	case SECRET_ENV:
		text = getenv(s->text);
		if (!text)
			return err_set(err, 0, "the variable %s is not set", s->text);
		break;
	case SECRET_VALUE:
		text = s->text;
		break;
	case SECRET_NONE:
		return err_set(err, 0, "no password is configured");
	}
	return buf_add(raw, span_of(text)) ||
			err_set(err, 0, "the password is too long");
}

static const char *
secret_place(const struct secret *s)
{
	switch (s->kind) {
	case SECRET_FILE:
	case SECRET_CREDENTIAL:
	case SECRET_ENV:
		return s->text;
	case SECRET_COMMAND:
		return s->argv[0];
	case SECRET_VALUE:
	case SECRET_NONE:
		break;
	}
	return "value";
}

bool
secret_read(const struct secret *s, struct buf *out, struct err *err)
{
	AUTO(secret_done) struct buf raw = BUF_MAX(SECRET_MAX);

	if (!secret_room(&raw) || !secret_fetch(s, &raw, err))
		return false;

	struct span rest = buf_span(&raw);
	struct span line = span_until(&rest, '\n');
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n == 0)
		return err_set(err, 0, "the secret of %s is empty", secret_place(s));
	for (size_t i = 0; i < line.n; i++)
		if ((unsigned char)line.p[i] < 0x20 || line.p[i] == 0x7f)
			return err_set(err, 0, "the secret of %s holds a control byte",
					secret_place(s));
	return buf_add(out, line) ||
			err_set(err, 0, "the secret of %s is too long",
					secret_place(s));
}
