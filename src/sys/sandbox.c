#include "postern/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "postern/buf.h"
#include "postern/file.h"
#include "postern/num.h"

/* Newer than Debian 12's headers. */
static const uint64_t right_truncate = 1ULL << 14; /* from ABI 3 */

enum { PASSWD_ROOM = 8192 };

bool
sandbox_start(struct err *err)
{
	const struct rlimit none = { 0, 0 };

	(void)umask(077);
	/* Open numbers 0 to 2: a socket must not become somebody's stderr. */
	for (;;) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return err_errno(err, 0, errno, "cannot open /dev/null");
		if (fd <= 2)
			continue;
		if (dup2(fd, 0) != 0) {
			(void)close(fd);
			return err_errno(err, 0, errno, "cannot close stdin");
		}
		(void)close(fd);
		break;
	}
	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return err_errno(err, 0, errno, "cannot forbid core files");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return err_errno(err, 0, errno, "cannot become undumpable");
	return true;
}

bool
sandbox_lookup(const char *user, unsigned *uid, unsigned *gid, struct err *err)
{
	char room[PASSWD_ROOM];
	struct passwd pw, *found = NULL;
	struct span number = span_skip(span_of(user), 1);
	uint64_t id[2];

	if (user[0] == '#') {
		if (!num_u64(span_until(&number, ':'), UINT32_MAX - 1, &id[0]) ||
				!num_u64(number, UINT32_MAX - 1, &id[1]))
			return err_set(err, 0, "there is no user %s", user);
		*uid = (unsigned)id[0];
		*gid = (unsigned)id[1];
		return true;
	}
	int no = getpwnam_r(user, &pw, room, sizeof(room), &found);

	if (no != 0)
		return err_errno(err, 0, no, "cannot look up the user %s", user);
	if (!found)
		return err_set(err, 0, "there is no user %s", user);
	*uid = pw.pw_uid;
	*gid = pw.pw_gid;
	return true;
}

bool
sandbox_user(const char *user, struct err *err)
{
	unsigned uid = 0, gid = 0;

	if (user) {
		if (!sandbox_lookup(user, &uid, &gid, err))
			return false;
		if (geteuid() != 0 && geteuid() != uid)
			return err_set(err, 0, "only root can become the user %s",
					user);
		if (geteuid() == 0 && uid != 0) {
			if ((user[0] == '#' ? setgroups(0, NULL)
					    : initgroups(user, gid)) != 0 ||
					setresgid(gid, gid, gid) != 0 ||
					setresuid(uid, uid, uid) != 0)
				return err_errno(err, 0, errno,
						"cannot become the user %s", user);
			/* There must be no way back. */
			if (setuid(0) == 0 || geteuid() != uid)
				return err_set(err, 0,
						"the rights of root are still there");
			(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		}
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_errno(err, 0, errno, "cannot give up new privileges");
	return true;
}

static uint64_t
sandbox_rights(int abi)
{
	uint64_t all = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
			LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
			LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
			LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
			LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
			LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
			LANDLOCK_ACCESS_FS_MAKE_SYM;

	if (abi >= 2)
		all |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		all |= right_truncate;
	return all;
}

static bool
sandbox_allow(int rules, const char *path, uint64_t rights, struct err *err)
{
	const uint64_t of_files = LANDLOCK_ACCESS_FS_EXECUTE |
			LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
			right_truncate;
	AUTO(fd_done) int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && (errno == ENOENT || errno == EACCES || errno == ENOTDIR))
		return true;
	if (fd < 0 || fstat(fd, &st) != 0)
		return err_errno(err, 0, errno, "cannot open %s", path);
	struct landlock_path_beneath_attr rule = {
		.allowed_access = S_ISDIR(st.st_mode) ? rights : rights & of_files,
		.parent_fd = fd,
	};
	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule,
			    0) != 0)
		return err_errno(err, 0, errno, "Landlock does not take %s", path);
	return true;
}

bool
sandbox_files(const char *const *rw, const char *const *ro, bool exec, int *abi,
		struct err *err)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			LANDLOCK_CREATE_RULESET_VERSION);

	*abi = version > 0 ? (int)version : 0;
	if (version <= 0)
		return true; /* this kernel has none, or it is switched off */

	uint64_t all = sandbox_rights(*abi);
	uint64_t write = all &
			~(uint64_t)(LANDLOCK_ACCESS_FS_EXECUTE |
					LANDLOCK_ACCESS_FS_MAKE_CHAR |
					LANDLOCK_ACCESS_FS_MAKE_BLOCK);
	uint64_t look = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	struct landlock_ruleset_attr attr = { .handled_access_fs = all };
	AUTO(fd_done)
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	if (rules < 0)
		return err_errno(err, 0, errno, "cannot make a Landlock ruleset");
	if (exec)
		look |= LANDLOCK_ACCESS_FS_EXECUTE;
	for (size_t i = 0; rw && rw[i]; i++)
		if (!sandbox_allow(rules, rw[i], write, err))
			return false;
	for (size_t i = 0; ro && ro[i]; i++)
		if (!sandbox_allow(rules, ro[i], look, err))
			return false;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
			syscall(SYS_landlock_restrict_self, rules, 0) != 0)
		return err_errno(err, 0, errno, "cannot enforce the Landlock rules");
	return true;
}
