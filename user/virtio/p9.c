// SPDX-License-Identifier: GPL-2.0-only
/*
 * A server of 9P2000.L, the protocol that Linux's 9p file system speaks, for one directory.
 *
 * What a client can name is a fid, and a fid is a descriptor: an O_PATH one until the file is opened. A step of a
 * walk goes from a descriptor by one name, which is no link to follow and neither ".." nor a path. So nothing
 * outside the directory can be reached, whatever is renamed meanwhile and whatever links say: those are the
 * client's to follow, in its own world.
 *
 * One thread calls it. That thread has a umask of its own, and makes files as the user whom the client names, if
 * this process may (root's alone).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../tool.h"
#include "p9_impl.h"

#define HEADER 7u		/* size, type, tag */
#define DATA_HEADER (HEADER + 4)
#define WRITE_HEADER (HEADER + 16)
#define LEAST_MSIZE 4096u
#define MOST_MSIZE (1u << 20)
#define MAX_NAMES 16
#define LONGEST_NAME 255u
#define MOST_FIDS 32768u
#define SPARE_FDS 256u		/* descriptors that others in this process may need */
#define V9FS_MAGIC 0x01021997

enum {
	T_LERROR = 6, T_STATFS = 8, T_LOPEN = 12, T_LCREATE = 14, T_SYMLINK = 16, T_MKNOD = 18,
	T_READLINK = 22, T_GETATTR = 24, T_SETATTR = 26, T_READDIR = 40, T_FSYNC = 50, T_LOCK = 52,
	T_GETLOCK = 54, T_LINK = 70, T_MKDIR = 72, T_RENAMEAT = 74, T_UNLINKAT = 76, T_VERSION = 100,
	T_ATTACH = 104, T_FLUSH = 108, T_WALK = 110, T_READ = 116, T_WRITE = 118, T_CLUNK = 120,
	T_REMOVE = 122, T_END = 128,
};

enum {
	SET_MODE = 0x1, SET_UID = 0x2, SET_GID = 0x4, SET_SIZE = 0x8, SET_ATIME = 0x10,
	SET_MTIME = 0x20, SET_THIS_ATIME = 0x80, SET_THIS_MTIME = 0x100,
};

/* ---- fids ---- */

/* Of all servers together, for they share the process's descriptors. */
static atomic_uint all_fids;

static struct fid **find(struct p9 *s, uint32_t number)
{
	struct fid **f = &s->fids[number % BUCKETS];

	while (*f && (*f)->number != number)
		f = &(*f)->next;
	return f;
}

static struct fid *get_fid(struct request *r)
{
	uint32_t number = p9_get32(r);
	struct fid *f = r->bad ? NULL : *find(r->s, number);

	if (!f)
		r->bad = true;
	return f;
}

/* Takes the descriptor. */
static int add_fid(struct p9 *s, uint32_t number, int fd, uint32_t uid)
{
	struct fid **at = find(s, number), *f;

	if (fd < 0)
		return -errno;
	f = *at || all_fids >= s->max_fids ? NULL : malloc(sizeof(*f));
	if (!f) {
		close(fd);
		return *at ? -EBADF : -ENFILE;
	}
	*f = (struct fid){ .number = number, .fd = fd, .uid = uid };
	*at = f;
	all_fids++;
	return 0;
}

static void drop_fid(struct fid **at)
{
	struct fid *f = *at;

	*at = f->next;
	close(f->fd);
	free(f);
	all_fids--;
}

/* The way to a file that is open, or O_PATH, here: it ends there whatever the file is. */
struct way {
	char path[32];
};

static struct way way_to(int fd)
{
	struct way way;

	snprintf(way.path, sizeof(way.path), "/proc/self/fd/%d", fd);
	return way;
}

static int step(int dir, const char *name)
{
	return openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/* Files are made as the client's user, whose they are then. Without root's rights these calls do nothing. */
static void become(uint32_t uid, uint32_t gid)
{
	setfsgid(gid);
	setfsuid(uid);
}

static void become_self(void)
{
	int before = errno;

	setfsuid(geteuid());
	setfsgid(getegid());
	errno = before;
}

/* A guest's root makes no set-user-ID files for the host's users. */
static mode_t mode_of(uint32_t mode)
{
	return mode & (S_ISVTX | 0777);
}

/* ---- requests: each returns 0 or a negative errno ---- */

static int do_version(struct request *r)
{
	uint32_t msize = p9_get32(r);
	const char *version = p9_get_string(r);
	bool known = !strcmp(version, "9P2000.L");

	if (r->bad || msize < LEAST_MSIZE)
		return -EINVAL;
	p9_reset(r->s);
	r->s->msize = msize < MOST_MSIZE ? msize : MOST_MSIZE;
	p9_put(r, r->s->msize, 4);
	p9_put_string(r, known ? version : "unknown", known ? strlen(version) : strlen("unknown"));
	return 0;
}

static int do_attach(struct request *r)
{
	uint32_t number = p9_get32(r), auth = p9_get32(r), uid;
	const char *tree;
	int err;

	(void)auth;
	p9_get_string(r);
	tree = p9_get_string(r);
	uid = p9_get32(r);
	if (r->bad)
		return -EINVAL;
	if (*tree && strcmp(tree, "/"))
		return -ENOENT;
	err = add_fid(r->s, number, openat(r->s->root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC), uid);
	return err ? err : p9_put_qid_of(r, (*find(r->s, number))->fd);
}

static int do_walk(struct request *r)
{
	struct fid *f = get_fid(r);
	uint32_t number = p9_get32(r);
	unsigned int names = (unsigned int)p9_get(r, 2), done;
	uint8_t *count = r->reply;
	int fd, next, err = 0;

	if (r->bad || names > MAX_NAMES || f->open)
		return -EINVAL;
	if (number != f->number && *find(r->s, number))
		return -EBADF;
	fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	p9_put(r, 0, 2);
	for (done = 0; done < names; done++) {
		const char *name = p9_get_name(r);

		next = r->bad ? -1 : step(fd, name);
		err = r->bad ? -EINVAL : next < 0 ? -errno : p9_put_qid_of(r, next);
		if (next >= 0) {
			close(fd);
			fd = next;
		}
		if (err)
			break;
	}
	memcpy(count, &done, 2);
	/* Part of the way is an answer, but nothing that a fid can stand for. */
	if (done < names) {
		close(fd);
		return done ? 0 : err;
	}
	if (number != f->number)
		return add_fid(r->s, number, fd, f->uid);
	close(f->fd);
	f->fd = fd;
	return 0;
}

static int do_clunk(struct request *r)
{
	struct fid *f = get_fid(r);

	if (r->bad)
		return -EBADF;
	drop_fid(find(r->s, f->number));
	return 0;
}

/* Clients use UNLINKAT; a fid does not know its name. It is gone all the same. */
static int do_remove(struct request *r)
{
	int err = do_clunk(r);

	return err ? err : -EOPNOTSUPP;
}

static int do_flush(struct request *r)
{
	(void)r;
	return 0;		/* what came before is answered */
}

static int do_statfs(struct request *r)
{
	struct fid *f = get_fid(r);
	struct statfs st;
	uint64_t id;

	if (r->bad)
		return -EBADF;
	if (fstatfs(f->fd, &st))
		return -errno;
	memcpy(&id, &st.f_fsid, sizeof(id));
	p9_put(r, V9FS_MAGIC, 4);
	p9_put(r, (uint64_t)st.f_bsize, 4);
	p9_put(r, st.f_blocks, 8);
	p9_put(r, st.f_bfree, 8);
	p9_put(r, st.f_bavail, 8);
	p9_put(r, st.f_files, 8);
	p9_put(r, st.f_ffree, 8);
	p9_put(r, id, 8);
	p9_put(r, (uint64_t)st.f_namelen, 4);
	return 0;
}

static void put_time(struct request *r, const struct timespec *time)
{
	p9_put(r, (uint64_t)time->tv_sec, 8);
	p9_put(r, (uint64_t)time->tv_nsec, 8);
}

static int do_getattr(struct request *r)
{
	struct fid *f = get_fid(r);
	uint64_t wanted = p9_get(r, 8);
	struct stat st;

	if (r->bad)
		return -EBADF;
	if (fstat(f->fd, &st))
		return -errno;
	p9_put(r, wanted & 0x7ff, 8);	/* all that stat() has */
	p9_put_qid(r, st.st_mode, st.st_dev, st.st_ino);
	p9_put(r, st.st_mode, 4);
	p9_put(r, st.st_uid, 4);
	p9_put(r, st.st_gid, 4);
	p9_put(r, st.st_nlink, 8);
	p9_put(r, st.st_rdev, 8);
	p9_put(r, (uint64_t)st.st_size, 8);
	p9_put(r, (uint64_t)st.st_blksize, 8);
	p9_put(r, (uint64_t)st.st_blocks, 8);
	put_time(r, &st.st_atim);
	put_time(r, &st.st_mtim);
	put_time(r, &st.st_ctim);
	memset(r->reply, 0, 32);	/* birth, generation, version: not asked for */
	r->reply += 32;
	return 0;
}

/* Who changes a file that runs with its owner's rights ends that; the kernel lets root keep them. */
static int end_set_id(const struct way *way, const struct stat *st)
{
	if (!S_ISREG(st->st_mode) || !(st->st_mode & (S_ISUID | S_ISGID)))
		return 0;
	return chmod(way->path, mode_of(st->st_mode));
}

static int truncate_to(const struct fid *f, uint64_t size)
{
	struct way way = way_to(f->fd);
	struct stat st;

	if (fstat(f->fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (end_set_id(&way, &st))
		return -errno;
	/* An open file can be written whatever its mode is now. */
	if ((f->open && !ftruncate(f->fd, (off_t)size)) || !truncate(way.path, (off_t)size))
		return 0;
	return -errno;
}

static int change_mode(const struct fid *f, uint32_t mode)
{
	struct way way = way_to(f->fd);
	struct stat st;

	if (fstat(f->fd, &st))
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -EOPNOTSUPP;
	return chmod(way.path, mode_of(mode) | (S_ISDIR(st.st_mode) ? mode & S_ISGID : 0)) ? -errno : 0;
}

static int change_times(const struct fid *f, uint32_t what, const struct timespec *times)
{
	struct way way = way_to(f->fd);
	struct timespec set[2] = { times[0], times[1] };

	if (times[0].tv_nsec < 0 || times[0].tv_nsec > 999999999 || times[1].tv_nsec < 0 ||
	    times[1].tv_nsec > 999999999)
		return -EINVAL;
	if (!(what & SET_THIS_ATIME))
		set[0].tv_nsec = what & SET_ATIME ? UTIME_NOW : UTIME_OMIT;
	if (!(what & SET_THIS_MTIME))
		set[1].tv_nsec = what & SET_MTIME ? UTIME_NOW : UTIME_OMIT;
	return utimensat(AT_FDCWD, way.path, set, 0) ? -errno : 0;
}

static int do_setattr(struct request *r)
{
	struct fid *f = get_fid(r);
	uint32_t what = p9_get32(r), mode = p9_get32(r), uid = p9_get32(r), gid = p9_get32(r);
	uint64_t size = p9_get(r, 8);
	struct timespec times[2];
	unsigned int i;
	int err = 0;

	for (i = 0; i < 2; i++) {
		times[i].tv_sec = (time_t)p9_get(r, 8);
		times[i].tv_nsec = (long)p9_get(r, 8);
	}
	if (r->bad)
		return -EBADF;
	if (what & (SET_UID | SET_GID))
		err = fchownat(f->fd, "", what & SET_UID ? uid : (uid_t)-1,
			       what & SET_GID ? gid : (gid_t)-1, AT_EMPTY_PATH) ? -errno : 0;
	if (!err && (what & SET_MODE))
		err = change_mode(f, mode);
	if (!err && (what & SET_SIZE))
		err = truncate_to(f, size);
	if (!err && (what & (SET_ATIME | SET_MTIME)))
		err = change_times(f, what, times);
	return err;
}

static int open_flags(uint32_t flags)
{
	return (int)(flags & (O_ACCMODE | O_TRUNC | O_APPEND | O_SYNC)) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
}

/* Devices and pipes are opened by the client, and are its own. */
static int reopen(int fd, uint32_t flags)
{
	struct way way = way_to(fd);
	struct stat st;

	if (fstat(fd, &st))
		return -1;
	if (((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)) && end_set_id(&way, &st))
		return -1;
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		return open(way.path, open_flags(flags));
	errno = EACCES;
	return -1;
}

static int opened(struct request *r, struct fid *f, int fd)
{
	int err;

	if (fd < 0)
		return -errno;
	close(f->fd);
	f->fd = fd;
	f->open = true;
	err = p9_put_qid_of(r, fd);
	p9_put(r, 0, 4);		/* no size of I/O but what fits */
	return err;
}

static int do_lopen(struct request *r)
{
	struct fid *f = get_fid(r);
	uint32_t flags = p9_get32(r);

	if (r->bad || f->open)
		return -EBADF;
	if (r->s->ro && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	return opened(r, f, reopen(f->fd, flags));
}

static int create(const struct fid *f, const char *name, uint32_t flags, uint32_t mode, uint32_t gid)
{
	int fd, path;

	become(f->uid, gid);
	fd = openat(f->fd, name, open_flags(flags) | O_CREAT | O_EXCL | O_NOFOLLOW, mode_of(mode));
	become_self();
	if (fd >= 0 || errno != EEXIST || (flags & O_EXCL))
		return fd;
	path = step(f->fd, name);
	if (path < 0)
		return -1;
	fd = reopen(path, flags);
	close(path);
	return fd;
}

static int do_lcreate(struct request *r)
{
	struct fid *f = get_fid(r);
	const char *name = p9_get_name(r);
	uint32_t flags = p9_get32(r), mode = p9_get32(r), gid = p9_get32(r);

	if (r->bad || f->open)
		return -EINVAL;
	return opened(r, f, create(f, name, flags, mode, gid));
}

/* What was made: its qid, or the error. */
static int made(struct request *r, const struct fid *dir, const char *name, int result)
{
	int err, fd;

	become_self();
	if (result)
		return -errno;
	fd = step(dir->fd, name);
	if (fd < 0)
		return -errno;
	err = p9_put_qid_of(r, fd);
	close(fd);
	return err;
}

static int do_mkdir(struct request *r)
{
	struct fid *f = get_fid(r);
	const char *name = p9_get_name(r);
	uint32_t mode = p9_get32(r), gid = p9_get32(r);

	if (r->bad)
		return -EINVAL;
	become(f->uid, gid);
	return made(r, f, name, mkdirat(f->fd, name, mode_of(mode)));
}

static int do_symlink(struct request *r)
{
	struct fid *f = get_fid(r);
	const char *name = p9_get_name(r), *target = p9_get_string(r);
	uint32_t gid = p9_get32(r);

	if (r->bad)
		return -EINVAL;
	become(f->uid, gid);
	return made(r, f, name, symlinkat(target, f->fd, name));
}

/* No devices: they would be the host's. */
static int do_mknod(struct request *r)
{
	struct fid *f = get_fid(r);
	const char *name = p9_get_name(r);
	uint32_t mode = p9_get32(r), major_number = p9_get32(r), minor_number = p9_get32(r), gid = p9_get32(r);

	(void)major_number;
	(void)minor_number;
	if (r->bad)
		return -EINVAL;
	if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
		return -EPERM;
	become(f->uid, gid);
	return made(r, f, name, mknodat(f->fd, name, (mode & S_IFMT) | mode_of(mode), 0));
}

static int do_link(struct request *r)
{
	struct fid *dir = get_fid(r), *f = get_fid(r);
	const char *name = p9_get_name(r);
	struct way way;

	if (r->bad)
		return -EINVAL;
	way = way_to(f->fd);
	return linkat(AT_FDCWD, way.path, dir->fd, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
}

static int do_renameat(struct request *r)
{
	struct fid *from = get_fid(r);
	const char *old = p9_get_name(r);
	struct fid *to = get_fid(r);
	const char *new = p9_get_name(r);

	if (r->bad)
		return -EINVAL;
	return renameat(from->fd, old, to->fd, new) ? -errno : 0;
}

static int do_unlinkat(struct request *r)
{
	struct fid *f = get_fid(r);
	const char *name = p9_get_name(r);
	uint32_t flags = p9_get32(r);

	if (r->bad)
		return -EINVAL;
	return unlinkat(f->fd, name, flags & AT_REMOVEDIR) ? -errno : 0;
}

static int do_readlink(struct request *r)
{
	struct fid *f = get_fid(r);
	char target[4096];
	ssize_t len;

	if (r->bad)
		return -EBADF;
	len = readlinkat(f->fd, "", target, sizeof(target));
	if (len < 0)
		return -errno;
	p9_put_string(r, target, (size_t)len);
	return 0;
}

static int do_fsync(struct request *r)
{
	struct fid *f = get_fid(r);
	uint32_t data_only = p9_get32(r);

	if (r->bad || !f->open)
		return -EBADF;
	return (data_only ? fdatasync(f->fd) : fsync(f->fd)) ? -errno : 0;
}

/* How much of @count has room in the reply. */
static size_t room(const struct request *r, uint32_t count)
{
	size_t most = r->in_len < r->s->msize ? r->in_len : r->s->msize;

	most = most > DATA_HEADER ? most - DATA_HEADER : 0;
	return count < most ? count : most;
}

static int do_read(struct request *r)
{
	struct fid *f = get_fid(r);
	uint64_t offset = p9_get(r, 8);
	uint32_t count = p9_get32(r);
	struct iovec part[MAX_IOV];
	ssize_t got;
	int n;

	if (r->bad || !f->open)
		return -EBADF;
	n = p9_slice(r->in, r->nr_in, DATA_HEADER, room(r, count), part);
	got = preadv(f->fd, part, n, (off_t)offset);
	if (got < 0)
		return -errno;
	p9_put(r, (uint64_t)got, 4);
	r->data = (size_t)got;
	r->counters->read_bytes += (uint64_t)got;
	return 0;
}

static int do_write(struct request *r)
{
	struct fid *f = get_fid(r);
	uint64_t offset = p9_get(r, 8);
	uint32_t count = p9_get32(r);
	struct iovec part[MAX_IOV];
	ssize_t put_bytes;
	int n;

	if (r->bad || !f->open || count > r->out_len - WRITE_HEADER)
		return r->bad || !f->open ? -EBADF : -EINVAL;
	n = p9_slice(r->out, r->nr_out, WRITE_HEADER, count, part);
	put_bytes = pwritev(f->fd, part, n, (off_t)offset);
	if (put_bytes < 0)
		return -errno;
	p9_put(r, (uint64_t)put_bytes, 4);
	r->counters->written_bytes += (uint64_t)put_bytes;
	return 0;
}

/* The entries that getdents() gave, as far as they have room; each names where the next one is. */
static size_t put_entries(struct request *r, size_t bytes, size_t limit)
{
	uint8_t entry[QID_SIZE + 11 + LONGEST_NAME], *reply = r->reply;
	size_t at, done = 0, len;

	for (at = 0; at < bytes; at += ((struct dirent64 *)(r->s->dirents + at))->d_reclen) {
		const struct dirent64 *d = (const struct dirent64 *)(r->s->dirents + at);

		len = strlen(d->d_name);
		/* vfat and others have longer ones; the client's calls could not name them. */
		if (len > LONGEST_NAME)
			continue;
		if (done + QID_SIZE + 11 + len > limit)
			break;
		r->reply = entry;
		p9_put_qid(r, DTTOIF(d->d_type), r->s->dev, d->d_ino);
		p9_put(r, (uint64_t)d->d_off, 8);
		p9_put(r, d->d_type, 1);
		p9_put_string(r, d->d_name, len);
		p9_scatter(r, DATA_HEADER + done, entry, (size_t)(r->reply - entry));
		done += (size_t)(r->reply - entry);
	}
	r->reply = reply;
	return done;
}

static int do_readdir(struct request *r)
{
	struct fid *f = get_fid(r);
	uint64_t offset = p9_get(r, 8);
	uint32_t count = p9_get32(r);
	ssize_t got;

	if (r->bad || !f->open)
		return -EBADF;
	if (lseek(f->fd, (off_t)offset, SEEK_SET) < 0)
		return -errno;
	got = getdents64(f->fd, r->s->dirents, sizeof(r->s->dirents));
	if (got < 0)
		return -errno;
	r->data = put_entries(r, (size_t)got, room(r, count));
	if (got && !r->data)
		return -EINVAL;		/* not even one had room */
	p9_put(r, r->data, 4);
	return 0;
}

static int get_lock(struct request *r, struct flock *lock)
{
	static const short types[] = { F_RDLCK, F_WRLCK, F_UNLCK };
	unsigned int type = (unsigned int)p9_get(r, 1);

	if (type >= ARRAY_SIZE(types))
		return -EINVAL;
	*lock = (struct flock){ .l_type = types[type], .l_whence = SEEK_SET };
	return 0;
}

/* Between guests, and with the host; who waits asks again (Linux's client does). */
static int do_lock(struct request *r)
{
	struct fid *f = get_fid(r);
	struct flock lock;
	int err = get_lock(r, &lock);

	p9_get32(r);		/* flags */
	lock.l_start = (off_t)p9_get(r, 8);
	lock.l_len = (off_t)p9_get(r, 8);
	if (r->bad || err || !f->open)
		return -EBADF;
	if (!fcntl(f->fd, F_OFD_SETLK, &lock))
		p9_put(r, 0, 1);
	else if (errno == EAGAIN || errno == EACCES)
		p9_put(r, 1, 1);	/* somebody has it */
	else
		return -errno;
	return 0;
}

static int do_getlock(struct request *r)
{
	struct fid *f = get_fid(r);
	struct flock lock;
	int err = get_lock(r, &lock);
	uint32_t process;
	const char *client;

	lock.l_start = (off_t)p9_get(r, 8);
	lock.l_len = (off_t)p9_get(r, 8);
	process = p9_get32(r);
	client = p9_get_string(r);
	if (r->bad || err || !f->open)
		return -EBADF;
	if (fcntl(f->fd, F_OFD_GETLK, &lock))
		return -errno;
	p9_put(r, lock.l_type == F_RDLCK ? 0 : lock.l_type == F_WRLCK ? 1 : 2, 1);
	p9_put(r, (uint64_t)lock.l_start, 8);
	p9_put(r, (uint64_t)lock.l_len, 8);
	p9_put(r, process, 4);
	p9_put_string(r, client, strlen(client));
	return 0;
}

/* @changes: a directory that is only to be read refuses it. */
static const struct {
	int (*serve)(struct request *r);
	bool changes;
} requests[T_END] = {
	[T_STATFS] = { do_statfs, false },
	[T_LOPEN] = { do_lopen, false },
	[T_LCREATE] = { do_lcreate, true },
	[T_SYMLINK] = { do_symlink, true },
	[T_MKNOD] = { do_mknod, true },
	[T_READLINK] = { do_readlink, false },
	[T_GETATTR] = { do_getattr, false },
	[T_SETATTR] = { do_setattr, true },
	[T_READDIR] = { do_readdir, false },
	[T_FSYNC] = { do_fsync, false },
	[T_LOCK] = { do_lock, false },
	[T_GETLOCK] = { do_getlock, false },
	[T_LINK] = { do_link, true },
	[T_MKDIR] = { do_mkdir, true },
	[T_RENAMEAT] = { do_renameat, true },
	[T_UNLINKAT] = { do_unlinkat, true },
	[T_VERSION] = { do_version, false },
	[T_ATTACH] = { do_attach, false },
	[T_FLUSH] = { do_flush, false },
	[T_WALK] = { do_walk, false },
	[T_READ] = { do_read, false },
	[T_WRITE] = { do_write, true },
	[T_CLUNK] = { do_clunk, false },
	[T_REMOVE] = { do_remove, false },
};

static int serve(struct request *r, unsigned int type)
{
	if (type >= T_END || !requests[type].serve)
		return -EOPNOTSUPP;
	if (requests[type].changes && r->s->ro)
		return -EROFS;
	return requests[type].serve(r);
}

/**
 * p9_serve() - answer one message
 * @s: the server
 * @out: the message, @nr_out pieces of memory that may change meanwhile
 * @in: room for the answer, @nr_in pieces; none of both more than 256
 * @counters: to be brought up to date
 *
 * Return: how long the answer is; 0 if there can be none.
 */
size_t p9_serve(struct p9 *s, const struct iovec *out, unsigned int nr_out, const struct iovec *in,
		unsigned int nr_in, struct p9_counters *counters)
{
	struct request r = {
		.s = s, .out = out, .in = in, .nr_out = nr_out, .nr_in = nr_in,
		.reply = s->reply + HEADER, .counters = counters,
		.out_len = p9_total(out, nr_out), .in_len = p9_total(in, nr_in),
	};
	struct iovec part[MAX_IOV];
	unsigned int type, tag;
	uint32_t size;
	size_t len = 0;
	int i, n, err;

	n = p9_slice(out, nr_out, 0, MESSAGE_MAX, part);
	for (i = 0; i < n; i++) {
		memcpy(s->message + len, part[i].iov_base, part[i].iov_len);
		len += part[i].iov_len;
	}
	r.at = s->message;
	r.end = s->message + len;
	size = p9_get32(&r);
	type = (unsigned int)p9_get(&r, 1);
	tag = (unsigned int)p9_get(&r, 2);
	counters->requests++;
	if (r.bad || size < HEADER || size > r.out_len || r.in_len < DATA_HEADER ||
	    (size > s->msize && type != T_VERSION))
		return 0;
	if (size < len)
		r.end = s->message + size;
	r.out_len = size;
	err = serve(&r, type);
	if (!err && (size_t)(r.reply - s->reply) > r.in_len)
		err = -EMSGSIZE;
	if (err) {
		counters->errors++;
		type = T_LERROR;
		r.reply = s->reply + HEADER;
		r.data = 0;
		p9_put(&r, (uint64_t)-err, 4);
	}
	len = (size_t)(r.reply - s->reply);
	r.reply = s->reply;
	p9_put(&r, len + r.data, 4);
	p9_put(&r, type + 1, 1);
	p9_put(&r, tag, 2);
	p9_scatter(&r, 0, s->reply, len);
	return len + r.data;
}

/* A fid is a descriptor, and a client holds one for each file that it knows of. */
static unsigned int most_fids(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return SPARE_FDS;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
		getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur > MOST_FIDS + SPARE_FDS)
		return MOST_FIDS;
	return limit.rlim_cur > 2 * SPARE_FDS ? (unsigned int)limit.rlim_cur - SPARE_FDS : SPARE_FDS;
}

/**
 * p9_new() - make a server
 * @root: descriptor of the directory; stays the caller's
 * @ro: nothing may be changed
 *
 * Return: the server, or NULL with a message.
 */
struct p9 *p9_new(int root, bool ro)
{
	struct p9 *s = calloc(1, sizeof(*s));
	struct stat st;

	if (!s || fstat(root, &st)) {
		fail_errno("cannot share a directory");
		free(s);
		return NULL;
	}
	s->root = root;
	s->ro = ro;
	s->dev = st.st_dev;
	s->msize = LEAST_MSIZE;
	s->max_fids = most_fids();
	return s;
}

/** p9_reset() - close all that the client has open */
void p9_reset(struct p9 *s)
{
	unsigned int i;

	for (i = 0; i < BUCKETS; i++) {
		while (s->fids[i])
			drop_fid(&s->fids[i]);
	}
}

/** p9_free() - free a server; NULL is none */
void p9_free(struct p9 *s)
{
	if (!s)
		return;
	p9_reset(s);
	free(s);
}
