#include "shim.h"

#include <sqlite3.h>
#include <stddef.h>
#include <string.h>

struct shim shim;

struct file {
	sqlite3_file base;
	bool log;
	_Alignas(sqlite3_int64) char real[];
};

static sqlite3_vfs *under;
static sqlite3_vfs vfs;

static sqlite3_file *
real(sqlite3_file *f)
{
	return (sqlite3_file *)((struct file *)f)->real;
}

static int
fate(sqlite3_file *f, enum shim_call call)
{
	shim.calls++;
	if (shim.seen)
		shim.seen(call, ((struct file *)f)->log);
	if (shim.fail_at == 0 || shim.calls < shim.fail_at ||
			(shim.calls > shim.fail_at && !shim.for_good))
		return SQLITE_OK;
	shim.failed++;
	if (shim.code != 0)
		return shim.code;
	return call == SHIM_WRITE ? SQLITE_IOERR_WRITE : SQLITE_IOERR_FSYNC;
}

static int
on_close(sqlite3_file *f)
{
	return real(f)->pMethods->xClose(real(f));
}

static int
on_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return real(f)->pMethods->xRead(real(f), p, n, at);
}

static int
on_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	int rc = fate(f, SHIM_WRITE);
	return rc ? rc : real(f)->pMethods->xWrite(real(f), p, n, at);
}

static int
on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return real(f)->pMethods->xTruncate(real(f), size);
}

static int
on_sync(sqlite3_file *f, int flags)
{
	int rc = fate(f, SHIM_SYNC);
	return rc ? rc : real(f)->pMethods->xSync(real(f), flags);
}

static int
on_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return real(f)->pMethods->xFileSize(real(f), size);
}

static int
on_lock(sqlite3_file *f, int lock)
{
	return real(f)->pMethods->xLock(real(f), lock);
}

static int
on_unlock(sqlite3_file *f, int lock)
{
	return real(f)->pMethods->xUnlock(real(f), lock);
}

static int
on_reserved(sqlite3_file *f, int *out)
{
	return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

static int
on_control(sqlite3_file *f, int op, void *arg)
{
	return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int
on_sector(sqlite3_file *f)
{
	return real(f)->pMethods->xSectorSize(real(f));
}

static int
on_device(sqlite3_file *f)
{
	return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int
on_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
}

static int
on_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real(f)->pMethods->xShmLock(real(f), at, n, flags);
}

static void
on_shm_barrier(sqlite3_file *f)
{
	real(f)->pMethods->xShmBarrier(real(f));
}

static int
on_shm_unmap(sqlite3_file *f, int delete)
{
	return real(f)->pMethods->xShmUnmap(real(f), delete);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = on_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_size,
	.xLock = on_lock,
	.xUnlock = on_unlock,
	.xCheckReservedLock = on_reserved,
	.xFileControl = on_control,
	.xSectorSize = on_sector,
	.xDeviceCharacteristics = on_device,
	.xShmMap = on_shm_map,
	.xShmLock = on_shm_lock,
	.xShmBarrier = on_shm_barrier,
	.xShmUnmap = on_shm_unmap,
};

static int
on_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	(void)v;
	((struct file *)f)->log = flags & SQLITE_OPEN_WAL;
	int rc = under->xOpen(under, name, real(f), flags, out);
	f->pMethods = real(f)->pMethods ? &methods : NULL;
	return rc;
}

void
shim_install(void)
{
	under = sqlite3_vfs_find(NULL);
	vfs = *under;
	vfs.zName = "shim";
	vfs.szOsFile += (int)offsetof(struct file, real);
	vfs.xOpen = on_open;
	vfs.pNext = NULL;
	sqlite3_vfs_register(&vfs, 1);
}

void
shim_fail(long at, int code, bool for_good)
{
	shim = (struct shim){ .fail_at = at, .code = code, .for_good = for_good };
}
