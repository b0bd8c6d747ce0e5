// SPDX-License-Identifier: GPL-2.0-only
/*
 * The server of shared directories (user/virtio/p9.c), asked by a client that plays by no rules; built with the
 * address sanitizer. Nothing outside the directory is ever reached or changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../../user/virtio/p9.h"
#include "test.h"

#define ROUNDS 200000
#define ROOT 1u
#define NONE 0xffffffffu

static struct p9 *server;
static struct p9_counters counters;
static uint8_t message[4096], answer[16384];
static size_t len;
static uint32_t seed = 1;

static uint32_t chance(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

static void add(uint64_t value, unsigned int size)
{
	memcpy(message + len, &value, size);
	len += size;
}

static void add_string(const char *text)
{
	add(strlen(text), 2);
	memcpy(message + len, text, strlen(text));
	len += strlen(text);
}

static void begin(unsigned int type)
{
	len = 0;
	add(0, 4);
	add(type, 1);
	add(7, 2);
}

/* Pieces of all sizes, also of none. */
static unsigned int cut(uint8_t *at, size_t size, struct iovec *iov, unsigned int most)
{
	unsigned int n = 0;

	while (size && n < most - 1) {
		size_t part = chance() % 3 ? size : chance() % 9;

		part = part < size ? part : size;
		iov[n++] = (struct iovec){ .iov_base = at, .iov_len = part };
		at += part;
		size -= part;
	}
	if (size)
		iov[n++] = (struct iovec){ .iov_base = at, .iov_len = size };
	return n;
}

static size_t send_raw(size_t room)
{
	struct iovec out[64], in[64];
	unsigned int nr_out = cut(message, len, out, 64), nr_in = cut(answer, room, in, 64);

	return p9_serve(server, out, nr_out, in, nr_in, &counters);
}

/* 0, or the errno of the answer; -1: none */
static int ask(void)
{
	uint32_t size = (uint32_t)len, err;
	size_t got;

	memcpy(message, &size, sizeof(size));
	got = send_raw(sizeof(answer));
	memcpy(&size, answer, sizeof(size));
	if (got < 7 || size != got)
		return -1;
	if (answer[4] == message[4] + 1)
		return 0;
	memcpy(&err, answer + 7, sizeof(err));
	return answer[4] == 7 && got == 11 ? (int)err : -1;
}

static int attach(uint32_t fid)
{
	begin(104);
	add(fid, 4);
	add(NONE, 4);
	add_string("");
	add_string("");
	add(0, 4);
	return ask();
}

static int walk(uint32_t from, uint32_t to, const char *first, const char *second)
{
	begin(110);
	add(from, 4);
	add(to, 4);
	add(!!first + !!second, 2);
	if (first)
		add_string(first);
	if (second)
		add_string(second);
	return ask();
}

static int lopen(uint32_t fid, uint32_t flags)
{
	begin(12);
	add(fid, 4);
	add(flags, 4);
	return ask();
}

static int clunk(uint32_t fid)
{
	begin(120);
	add(fid, 4);
	return ask();
}

static int create(uint32_t fid, const char *name)
{
	begin(14);
	add(fid, 4);
	add_string(name);
	add(O_RDWR, 4);
	add(06755, 4);
	add(0, 4);
	return ask();
}

static int mknod_of(const char *name, uint32_t mode)
{
	begin(18);
	add(ROOT, 4);
	add_string(name);
	add(mode, 4);
	add(1, 4);
	add(3, 4);
	add(0, 4);
	return ask();
}

static int rename_to(const char *old, const char *new)
{
	begin(74);
	add(ROOT, 4);
	add_string(old);
	add(ROOT, 4);
	add_string(new);
	return ask();
}

static int unlink_name(const char *name, uint32_t flags)
{
	begin(76);
	add(ROOT, 4);
	add_string(name);
	add(flags, 4);
	return ask();
}

static int make_link(uint32_t fid, const char *name)
{
	begin(70);
	add(ROOT, 4);
	add(fid, 4);
	add_string(name);
	return ask();
}

static int io(unsigned int type, uint32_t fid, uint64_t offset, uint32_t count)
{
	begin(type);
	add(fid, 4);
	add(offset, 8);
	add(count, 4);
	return ask();
}

static int version(void)
{
	begin(100);
	add(8192, 4);
	add_string("9P2000.L");
	return ask();
}

static void test_names(void)
{
	CHECK("no way up", walk(ROOT, 2, "..", NULL) == EINVAL);
	CHECK("no way up and down again", walk(ROOT, 2, "..", "outside") == EINVAL);
	CHECK("no path for a name", walk(ROOT, 2, "../outside", NULL) == EINVAL);
	CHECK("no absolute path", walk(ROOT, 2, "/etc", NULL) == EINVAL);
	CHECK("no name", walk(ROOT, 2, "", NULL) == EINVAL);
	CHECK("up from below: half a walk, and no fid", !walk(ROOT, 2, "sub", "..") && clunk(2) == EBADF);
	CHECK("a link is a link", !walk(ROOT, 2, "link", NULL) && answer[9] == 0x02);
	CHECK("which is not opened", lopen(2, O_RDONLY) == EACCES);
	CHECK("nor gone through", walk(2, 3, "passwd", NULL) == ENOTDIR && !clunk(2));
	CHECK("a link on the way", !walk(ROOT, 2, "linkdir", "passwd") && clunk(2) == EBADF);
	CHECK("create: a path", create(ROOT, "../new") == EINVAL);
	CHECK("create: through a link", !walk(ROOT, 2, NULL, NULL) && create(2, "link") == EACCES && !clunk(2));
	CHECK("rename: out", rename_to("file", "../file") == EINVAL);
	CHECK("rename: in", rename_to("../outside", "file") == EINVAL);
	CHECK("remove: a path", unlink_name("../outside", 0) == EINVAL);
	CHECK("remove: the directory itself", unlink_name(".", AT_REMOVEDIR) == EINVAL);
	CHECK("a hard link to what a link names", !walk(ROOT, 2, "link", NULL) && !make_link(2, "hard") &&
	      !clunk(2) && !walk(ROOT, 2, "hard", NULL) && answer[9] == 0x02 && !clunk(2));
	CHECK("no device", mknod_of("null", S_IFCHR | 0666) == EPERM);
	CHECK("no disk", mknod_of("disk", S_IFBLK | 0666) == EPERM);
	CHECK("a pipe, which is not opened", !mknod_of("pipe", S_IFIFO | 0666) && !walk(ROOT, 2, "pipe", NULL) &&
	      lopen(2, O_RDONLY) == EACCES && !clunk(2));
}

static void test_fids(void)
{
	struct stat st;

	CHECK("a fid that is not there", walk(9, 2, NULL, NULL) == EINVAL && clunk(9) == EBADF);
	CHECK("a fid that is there", walk(ROOT, ROOT, "sub", NULL) == 0 && clunk(ROOT) == 0 && !attach(ROOT) &&
	      attach(ROOT) == EBADF && !walk(ROOT, 2, NULL, NULL) && walk(ROOT, 2, NULL, NULL) == EBADF);
	CHECK("create", !create(2, "made") && !stat("made", &st) && (st.st_mode & 07777) == (0755 & ~022));
	CHECK("open twice", lopen(2, O_RDONLY) == EBADF);
	CHECK("walk from an open one", walk(2, 3, NULL, NULL) == EINVAL);
	CHECK("write more than there is", io(118, 2, 0, 100) == EINVAL);
	CHECK("write at a negative place", io(118, 2, 1ull << 63, 0) == EINVAL);
	CHECK("read at a negative place", io(116, 2, 1ull << 63, 10) == EINVAL);
	CHECK("read beyond the end", !io(116, 2, 1000, NONE) && !answer[7]);
	CHECK("a file is no directory", io(40, 2, 0, 1000) == ENOTDIR && !clunk(2));
	CHECK("read what is not open", io(116, ROOT, 0, 10) == EBADF);
	CHECK("read a directory", !walk(ROOT, 2, NULL, NULL) && !lopen(2, O_RDONLY) && io(116, 2, 0, 10) == EISDIR);
	CHECK("no room for a name", io(40, 2, 0, 8) == EINVAL && !io(40, 2, 0, 8000) && !clunk(2));
	CHECK("a request that is not there", (begin(200), ask()) == EOPNOTSUPP && (begin(21), ask()) == EOPNOTSUPP);
	begin(110);
	CHECK("a message that ends early", ask() == EINVAL);
	begin(104);
	add(5, 4);
	add(NONE, 4);
	add(65535, 2);
	CHECK("a string that ends early", ask() == EINVAL);
	len = 3;
	CHECK("no message", send_raw(100) == 0);
	begin(120);
	memcpy(message, "\xff\xff\xff\xff", 4);
	CHECK("a length that is too much", send_raw(100) == 0);
	begin(120);
	CHECK("no room for an answer", send_raw(10) == 0);
	memcpy(message, "\x13\0\0", 4);
	begin(24);
	add(ROOT, 4);
	add(~0ull, 8);
	memcpy(message, "\x13\0\0", 4);
	CHECK("little room for an answer", send_raw(20) == 11 && answer[7] == EMSGSIZE);
}

static void test_ro(void)
{
	p9_free(server);
	server = p9_new(open(".", O_PATH), true);
	version();
	attach(ROOT);
	CHECK("read only: open", !walk(ROOT, 2, "file", NULL) && lopen(2, O_RDWR) == EROFS &&
	      lopen(2, O_RDONLY | O_TRUNC) == EROFS && !lopen(2, O_RDONLY));
	CHECK("read only: the rest", create(ROOT, "new") == EROFS && mknod_of("new", S_IFREG) == EROFS &&
	      rename_to("file", "new") == EROFS && unlink_name("file", 0) == EROFS && make_link(2, "new") == EROFS &&
	      io(118, 2, 0, 0) == EROFS && (begin(26), ask()) == EROFS && (begin(16), ask()) == EROFS &&
	      (begin(72), ask()) == EROFS);
}

/* Requests with sense in half of their parts. */
static void storm(void)
{
	static const unsigned int types[] = {
		8, 12, 14, 16, 18, 22, 24, 26, 30, 40, 50, 52, 54, 70, 72, 74, 76, 104, 110, 110, 116, 118, 120,
	};
	static const char *const names[] = {
		"file", "sub", "..", ".", "link", "linkdir", "a", "b", "../outside", "/", "", "pipe",
	};
	uint32_t size;
	unsigned int n;

	begin(types[chance() % (sizeof(types) / sizeof(types[0]))]);
	for (n = chance() % 8; n; n--) {
		switch (chance() % 4) {
		case 0:
			add(chance() % 8, 4);
			break;
		case 1:
			add_string(names[chance() % (sizeof(names) / sizeof(names[0]))]);
			break;
		case 2:
			add(chance() % 4, 2);
			break;
		default:
			add((uint64_t)chance() << (chance() % 40), 1u << chance() % 4);
			break;
		}
	}
	size = (uint32_t)len + (chance() % 20 ? 0 : chance() % 64 - 32);
	memcpy(message, &size, sizeof(size));
	send_raw(chance() % 10 ? 4096 : chance() % 64);
}

int main(int argc, char **argv)
{
	struct stat before, after;
	unsigned int i;

	/* Beside it: what must not be touched. */
	if (argc != 2 || chdir(argv[1]) || mkdir("dir", 0777) || close(open("outside", O_CREAT | O_RDWR, 0600)) ||
	    stat("outside", &before) || chdir("dir") || mkdir("sub", 0777) ||
	    close(open("file", O_CREAT | O_RDWR, 0644)) || symlink("/etc/passwd", "link") ||
	    symlink("/etc", "linkdir")) {
		perror("p9");
		return 1;
	}
	umask(022);
	server = p9_new(open(".", O_PATH), false);
	CHECK("another version", (begin(100), add(8192, 4), add_string("9P2000.u"), ask()) == 0 &&
	      !memcmp(answer + 13, "unknown", 7));
	CHECK("too short messages", (begin(100), add(100, 4), add_string("9P2000.L"), ask()) == EINVAL);
	CHECK("the version", version() == 0);
	CHECK("another tree", (begin(104), add(ROOT, 4), add(NONE, 4), add_string(""), add_string("/etc"), add(0, 4),
			       ask()) == ENOENT);
	CHECK("attach", attach(ROOT) == 0);
	test_names();
	test_fids();
	for (i = 0; i < ROUNDS; i++) {
		if (!(i % 16)) {
			attach(ROOT);
			walk(ROOT, 2 + chance() % 6, chance() % 2 ? "file" : "sub", NULL);
			lopen(2 + chance() % 6, O_RDWR);
		}
		storm();
	}
	version();
	CHECK("a storm: it still answers", attach(ROOT) == 0);
	CHECK("what is outside is as it was", !stat("../outside", &after) && before.st_ino == after.st_ino &&
	      before.st_ctim.tv_sec == after.st_ctim.tv_sec && before.st_ctim.tv_nsec == after.st_ctim.tv_nsec &&
	      access("../file", F_OK) && access("../new", F_OK));
	close(open("file", O_CREAT | O_RDWR, 0644));
	test_ro();
	p9_free(server);
	return failed;
}
