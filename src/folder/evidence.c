#include "postern/evidence.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "letter.h"
#include "postern/file.h"
#include "postern/log.h"

enum { DAY_S = 24 * 3600, NAMES_MOST = 1000000 };

struct item {
	const char *name;
	int64_t at_s;
};

static int
older(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return (x->at_s > y->at_s) - (x->at_s < y->at_s);
}

/* One of the future is young from now on. */
static int64_t
time_of(int dir, const char *name, int64_t now_s)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return now_s;
	if (st.st_mtime > now_s + DAY_S) {
		file_set_time(dir, name, now_s);
		return now_s;
	}
	return st.st_mtime;
}

static bool
remove_some(int dir, const struct item *all, size_t n, const struct evidence_limits *l,
		bool *more, struct err *err)
{
	int64_t now_s = l->steady_ms / 1000;
	size_t gone = 0;

	for (size_t i = 0; i < n; i++) {
		int64_t age = now_s - all[i].at_s;
		bool old = l->keep_s > 0 && age > 0 && (uint64_t)age > l->keep_s;

		if (!old && n - i <= l->most)
			return true;
		if (gone++ == EVIDENCE_AT_ONCE) {
			*more = true;
			return true;
		}
		if (unlinkat(dir, all[i].name, 0) != 0 && errno != ENOENT)
			return err_errno(err, EVENT_FOLDER_FAULT, errno,
					"cannot remove evidence/%s", all[i].name);
		log_event(EVENT_EVIDENCE_PRUNED,
				FIELDS(f_str("file", all[i].name),
						f_str("id", all[i].name),
						f_str("why",
								old ? "older than badmail.keep"
								    : "there is too much of it")));
	}
	return true;
}

bool
evidence_prune(const char *state, const struct evidence_limits *l, bool *more,
		struct err *err)
{
	struct file_names names;
	AUTO(fd_done) int at = dir_open(AT_FDCWD, state, err);
	AUTO(fd_done) int dir = -1;

	*more = false;
	if (at < 0)
		return folder_fault(err);
	if (faccessat(at, "evidence", F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
			errno == ENOENT)
		return true;
	dir = dir_open(at, "evidence", err);
	if (dir < 0 || !dir_names(dir, NAMES_MOST, &names, err))
		return folder_fault(err);
	struct item *all = calloc(names.n + 1, sizeof(*all));
	if (!all)
		abort();
	for (size_t i = 0; i < names.n; i++)
		all[i] = (struct item){ names.names[i],
			time_of(dir, names.names[i], l->steady_ms / 1000) };
	qsort(all, names.n, sizeof(*all), older);
	bool ok = remove_some(dir, all, names.n, l, more, err);
	free(all);
	file_names_done(&names);
	return ok;
}
