/* What a crash left in spool/: files that nobody owns, and bodies that are not what was written. */
#include "postern/body.h"
#include "postern/clock.h"
#include "postern/crash.h"
#include "postern/file.h"
#include "postern/must.h"
#include "postern/qid.h"
#include "postern/sum.h"
#include "postern/thread.h"
#include "state.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERIFY_PIECE = 128 * 1024 };

/* The sum of the newest files is looked at after a crash, of so many octets: they are those
 * that it may have torn, and the start does not wait for more (from a disk of 200 MB/s it
 * is a second). Of all others the size is; the sum is whenever one is read for delivery,
 * before its end goes out. */
enum { VERIFY_MOST = 256 * 1024 * 1024 };

static bool
row_there(struct db *db, enum sql which, uint64_t id, bool *there, struct err *e)
{
	struct query q = query_of(db, which);
	query_int(&q, (int64_t)id);
	*there = query_row(&q);
	return query_end(&q, "cannot read the queue", e);
}

/* Older than any session: by the steady clock and by the wall's, since the file has its time
 * from the one, and either may be wrong. A file of the future is young from now on. */
static bool
outlived(struct store *s, const char *name, int64_t steady_ms, int64_t wall_ms)
{
	struct stat st;
	if (fstatat(s->self.spool, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	int64_t then = (int64_t)st.st_mtime * 1000;
	if (then > steady_ms + SPOOL_KEEP_MS && then > wall_ms + SPOOL_KEEP_MS)
		(void)utimensat(s->self.spool, name, NULL, AT_SYMLINK_NOFOLLOW);
	return then < steady_ms - SPOOL_KEEP_MS && then < wall_ms - SPOOL_KEEP_MS;
}

/* Half a message of the service's own: when it starts, and so holds the lock of the state,
 * nobody writes to it any more. Visitors (ids with bit 15) may be at work. */
static bool
forsaken(uint64_t id, bool starting)
{
	return starting && !(id & 0x8000);
}

bool
spool_sweep(struct store *s, bool starting, uint64_t *removed, struct err *e)
{
	int64_t steady_ms = store_steady_ms(s), wall_ms = clock_wall_ms();
	DIR *d = spool_entries(s->self.spool);
	if (!d)
		return err_errno(e, EVENT_DATABASE_TROUBLE, errno,
				"cannot read the spool");
	uint64_t id;
	char name[QID_SIZE];
	bool good = true;
	while (good && spool_next(d, &id, name)) {
		bool open = false, known = false;
		good = row_there(&s->self.db, SQL_BODY_SPOOLED, id, &open, e) &&
				(open ||
						row_there(&s->self.db, SQL_ROUTE_GET,
								id, &known, e));
		if (!good || open)
			continue;
		/* Its message is settled, or its session cannot be alive any more. */
		if (known || forsaken(id, starting) ||
				outlived(s, name, steady_ms, wall_ms)) {
			if (unlinkat(s->self.spool, name, 0) == 0)
				(*removed)++;
		}
	}
	closedir(d);
	return good;
}

static bool
sum_holds(int fd, uint64_t size, struct span sum, struct err *e)
{
	AUTO(buf_done) struct buf piece = BUF_MAX(VERIFY_PIECE);
	char *p = buf_room(&piece, VERIFY_PIECE);
	struct sum *made = sum_new();
	uint8_t got[SUM_SIZE];
	uint64_t at = 0;
	ssize_t n = 0;

	MUST(p);
	while (at < size && (n = fd_read_at(fd, p, VERIFY_PIECE, at)) > 0) {
		sum_add(made, (struct span){ p, (size_t)n });
		at += (uint64_t)n;
	}
	int no = errno;
	sum_get(made, got);
	sum_free(made);
	if (n < 0)
		return err_errno(e, EVENT_DATABASE_TROUBLE, no,
				"cannot read the spool file");
	return span_eq(sum, (struct span){ (const char *)got, sizeof got }) ||
			err_set(e, EVENT_BODY_DAMAGED, BODY_ALTERED);
}

static bool
whole(struct store *s, uint64_t id, uint64_t size, struct span sum, uint64_t *left,
		struct err *e)
{
	AUTO(fd_done) int fd = spool_open_body(s->self.spool, id, size, e);

	if (fd < 0)
		return false;
	if (sum.n != SUM_SIZE || size > *left)
		return true;
	*left -= size;
	return sum_holds(fd, size, sum, e);
}

struct lost {
	uint64_t id;
	char how[160];
};

static bool
lost_write(struct store *s, const struct lost *l, int64_t now_ms, struct err *e)
{
	struct query q = query_of(&s->self.db, SQL_BODY_DAMAGED);
	query_int(&q, (int64_t)l->id);
	query_text(&q, span_of(l->how));
	return query_run(&q, "cannot write the body", e) &&
			damage_due(s, l->id, now_ms, e);
}

/* What is damaged becomes due at once: whoever tries to deliver it says so, and settles it. */
bool
spool_recover(struct store *s, struct store_recovery *found, int64_t now_ms,
		struct err *e)
{
	AUTO(buf_done) struct buf lost = BUF_MAX(SIZE_MAX);
	uint64_t left = found->unclean ? VERIFY_MOST : 0;
	struct query q = query_of(&s->self.db, SQL_SPOOLED_WALK);
	while (query_row(&q)) {
		struct lost l = { .id = (uint64_t)query_get(&q, 0) };
		uint64_t size = (uint64_t)query_get(&q, 1);
		struct err why = { 0 };
		if (whole(s, l.id, size, query_peek(&q, 2), &left, &why)) {
			found->verified++;
		} else if (why.event == EVENT_BODY_DAMAGED) {
			(void)snprintf(l.how, sizeof l.how, "%.159s", why.text);
			MUST(buf_add(&lost,
					(struct span){ (const char *)&l, sizeof l }));
			found->damaged++;
		}
	}
	if (!query_end(&q, "cannot read the queue", e))
		return false;
	if (lost.n > 0) {
		bool good = transaction_begin(s, e);
		for (size_t i = 0; good && i < lost.n; i += sizeof(struct lost)) {
			struct lost l;
			memcpy(&l, lost.p + i, sizeof l);
			good = lost_write(s, &l, now_ms, e);
		}
		if (!transaction_end(s, good, e))
			return false;
	}
	return spool_sweep(s, true, &found->resumed, e);
}
