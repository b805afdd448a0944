/* check: files and folders that the configuration names. Nothing is made or changed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "check.h"
#include "postern/conf_load.h"

static void __attribute__((format(printf, 5, 6)))
fault(const struct cli *c, struct conf_faults *faults, struct conf_mark mark,
		const char *hint, const char *fmt, ...)
{
	char text[PATH_MAX + 400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conf_faults_add(faults,
			&(struct conf_fault){ .file = c->conf_path,
					.mark = mark,
					.text = text,
					.hint = hint });
}

/* 0, or why the file cannot be read. */
static int
unreadable(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	return faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0 ? 0 : errno;
}

static void
check_readable(const struct cli *c, struct conf_faults *faults, struct conf_mark mark,
		const char *what, const char *path)
{
	int no = path ? unreadable(path) : 0;

	if (no != 0)
		fault(c, faults, mark, "correct the path, or put the file there",
				"%s: cannot read %s: %s", what, path, err_words(no));
}

/* The part of the path that is there: itself, or the nearest folder above it. */
static void
nearest_there(const char *path, char out[PATH_MAX])
{
	(void)snprintf(out, PATH_MAX, "%s", path);
	while (faccessat(AT_FDCWD, out, F_OK, AT_EACCESS) != 0 && errno == ENOENT) {
		char *slash = strrchr(out, '/');

		if (!slash) {
			(void)snprintf(out, PATH_MAX, ".");
			return;
		}
		slash[slash == out ? 1 : 0] = '\0';
		if (slash == out)
			return;
	}
}

/* Folders that only the kernel fills. */
static bool
kernels_own(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 &&
			(fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
					fs.f_type == CGROUP2_SUPER_MAGIC ||
					fs.f_type == DEBUGFS_MAGIC);
}

/* 0, or why nothing can be made in the folder. */
static int
unwritable(const char *path)
{
	struct statvfs fs;
	struct stat st;

	if (stat(path, &st) != 0)
		return errno;
	if (!S_ISDIR(st.st_mode))
		return ENOTDIR;
	if (kernels_own(path))
		return EPERM;
	if (statvfs(path, &fs) == 0 && fs.f_flag & ST_RDONLY)
		return EROFS;
	return faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

static void
check_state_folder(const struct cli *c, struct conf_faults *faults)
{
	const char *state = c->conf->server.state;
	const struct conf_mark nowhere = { 0 };
	char there[PATH_MAX];

	nearest_there(state, there);
	int no = strlen(state) < PATH_MAX ? unwritable(there) : ENAMETOOLONG;
	if (no == 0)
		return;
	if (strcmp(there, state) == 0)
		fault(c, faults, nowhere,
				"it belongs to the user that the service runs as",
				"server.state: %s cannot be used: %s", state,
				err_words(no));
	else
		fault(c, faults, nowhere,
				"make it, and give it to the user that the service runs as",
				"server.state: %s cannot be made in %s: %s", state,
				there, err_words(no));
}

void
cli_check_files(struct cli *c, struct conf_faults *faults)
{
	for (size_t i = 0; i < c->conf->accounts.n; i++) {
		const struct conf_account *a = &c->conf->accounts.p[i];
		char what[128];

		(void)snprintf(what, sizeof(what), "account %s: tls_ca", a->name);
		check_readable(c, faults, a->mark, what, a->tls_ca);
	}
	check_readable(c, faults, (struct conf_mark){ 0 }, "smtp.tls.certificate",
			c->conf->smtp.tls.certificate);
	check_readable(c, faults, (struct conf_mark){ 0 }, "smtp.tls.key",
			c->conf->smtp.tls.key);
	check_readable(c, faults, (struct conf_mark){ 0 }, "smtp.auth_users",
			c->conf->smtp.auth_users);
	check_state_folder(c, faults);
}
