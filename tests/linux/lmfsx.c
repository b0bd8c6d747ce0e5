// SPDX-License-Identifier: GPL-2.0-only
/*
 * lmfsx: does a file keep what is written to it?
 *
 *   lmfsx run FILE SEED OPERATIONS   random operations on one file, in all ways that a file is read
 *                                    and written, each result compared with what it must be
 *   lmfsx log FILE SEED              without end: some random blocks, fsync, "fsx: synced ROUND"
 *   lmfsx check FILE SEED ROUND      what "log" had synced is there, or what it wrote later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK		4096u
#define MOST		(2u << 20)	/* bytes of the file */
#define SPAN		(128u << 10)	/* bytes of one operation */
#define LOG_BLOCKS	512u
#define LOG_ROUND	8u		/* blocks in a round */

static uint64_t state;

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (state >> 33) % below;
}

static void die(const char *what)
{
	printf("fsx: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- run ---- */

static struct {
	const char *name;
	int fd, direct;
	uint8_t *want, *buf;
	uint32_t size;
	unsigned int ops;
} file;

static void compare(const char *how, const uint8_t *got, uint32_t at, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		if (got[i] == file.want[at + i])
			continue;
		printf("fsx: %s: operation %u (%s): byte %u is %#x, not %#x\n", file.name, file.ops, how,
		       at + i, got[i], file.want[at + i]);
		exit(1);
	}
}

static void fill(uint32_t at, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		file.want[at + i] = draw(256);
	if (at + len > file.size)
		file.size = at + len;
}

/* A range of the file, of whole blocks if need be; 0: there is none. */
static uint32_t range(uint32_t *at, uint32_t align)
{
	uint32_t len = 1 + draw(SPAN), size = file.size & ~(align - 1);

	if (!size)
		return 0;
	*at = draw(size) & ~(align - 1);
	len = (len + align - 1) & ~(align - 1);
	return len < size - *at ? len : size - *at;
}

static void do_write(int fd, uint32_t align, const char *how)
{
	uint32_t at = draw(MOST - SPAN - BLOCK) & ~(align - 1);
	uint32_t len = (1 + draw(SPAN) + align - 1) & ~(align - 1);

	fill(at, len);
	memcpy(file.buf, file.want + at, len);
	if (pwrite(fd, file.buf, len, at) != (ssize_t)len)
		die(how);
}

static void do_read(int fd, uint32_t align, const char *how)
{
	uint32_t at, len = range(&at, align);

	if (!len)
		return;
	memset(file.buf, 0xa5, len);
	if (pread(fd, file.buf, len, at) != (ssize_t)len)
		die(how);
	compare(how, file.buf, at, len);
}

static void do_map(bool write)
{
	uint32_t at, len = range(&at, 1);
	uint8_t *map;

	if (!len)
		return;
	map = mmap(NULL, file.size, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
	if (map == MAP_FAILED)
		die("mmap");
	if (write) {
		fill(at, len);
		memcpy(map + at, file.want + at, len);
		if (draw(2) && msync(map, file.size, MS_SYNC))
			die("msync");
	} else {
		compare("mapped read", map + at, at, len);
	}
	munmap(map, file.size);
}

static void do_truncate(void)
{
	uint32_t size = draw(MOST);

	if (ftruncate(file.fd, size))
		die("truncate");
	if (size < file.size)
		memset(file.want + size, 0, file.size - size);
	file.size = size;
}

static void do_zero(int mode, const char *how)
{
	uint32_t at, len = range(&at, 1);

	if (!len)
		return;
	if (fallocate(file.fd, mode | FALLOC_FL_KEEP_SIZE, at, len))
		die(how);
	memset(file.want + at, 0, len);
}

/* What is read next comes from the disk. */
static void do_forget(void)
{
	if (fsync(file.fd) || posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED))
		die("fsync");
}

static void do_operation(void)
{
	switch (draw(12)) {
	case 0: case 1: do_write(file.fd, 1, "write"); break;
	case 2: do_write(file.direct, BLOCK, "direct write"); break;
	case 3: case 4: do_read(file.fd, 1, "read"); break;
	case 5: do_read(file.direct, BLOCK, "direct read"); break;
	case 6: do_map(true); break;
	case 7: do_map(false); break;
	case 8: do_truncate(); break;
	case 9: do_zero(FALLOC_FL_PUNCH_HOLE, "punch"); break;
	case 10: do_zero(FALLOC_FL_ZERO_RANGE, "zero range"); break;
	default: do_forget();
	}
}

static int run(const char *name, unsigned int ops)
{
	file.name = name;
	file.fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	file.direct = open(name, O_RDWR | O_DIRECT);
	file.want = calloc(1, MOST);
	if (file.fd < 0 || file.direct < 0 || !file.want ||
	    posix_memalign((void **)&file.buf, BLOCK, MOST))
		die(name);
	for (file.ops = 0; file.ops < ops; file.ops++)
		do_operation();
	do_forget();
	if (pread(file.fd, file.buf, MOST, 0) != (ssize_t)file.size)
		die("the whole");
	compare("the whole", file.buf, 0, file.size);
	printf("fsx: %s: %u operations, %u bytes right\n", name, ops, file.size);
	return 0;
}

/* ---- log and check ---- */

/* What round @round writes to block @at. */
static void make_block(uint64_t *block, uint32_t seed, uint32_t round, uint32_t at)
{
	uint64_t v = ((uint64_t)seed << 32 | round) * 0x9e3779b97f4a7c15ull + at;

	block[0] = (uint64_t)at << 32 | round;
	for (uint32_t i = 1; i < BLOCK / 8; i++) {
		v = v * 6364136223846793005ull + 1442695040888963407ull;
		block[i] = v ^ v >> 29;
	}
}

static void write_log(const char *name, uint32_t seed)
{
	uint64_t block[BLOCK / 8];
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);

	if (fd < 0)
		die(name);
	for (uint32_t round = 1;; round++) {
		for (uint32_t i = 0; i < LOG_ROUND; i++) {
			uint32_t at = draw(LOG_BLOCKS);

			make_block(block, seed, round, at);
			if (pwrite(fd, block, BLOCK, (off_t)at * BLOCK) != BLOCK)
				die("write");
		}
		if (fsync(fd))
			die("fsync");
		printf("fsx: synced %u\n", round);
		fflush(stdout);
	}
}

static int check_log(const char *name, uint32_t seed, uint32_t synced)
{
	static uint32_t least[LOG_BLOCKS];
	uint64_t got[BLOCK / 8], want[BLOCK / 8];
	unsigned int later = 0;
	int fd = open(name, O_RDONLY);

	if (fd < 0)
		die(name);
	for (uint32_t round = 1; round <= synced; round++)
		for (uint32_t i = 0; i < LOG_ROUND; i++)
			least[draw(LOG_BLOCKS)] = round;
	for (uint32_t at = 0; at < LOG_BLOCKS; at++) {
		uint32_t round;

		if (!least[at])
			continue;
		if (pread(fd, got, BLOCK, (off_t)at * BLOCK) != BLOCK)
			die("read");
		round = got[0];
		make_block(want, seed, round, at);
		if (memcmp(got, want, BLOCK) || round < least[at]) {
			printf("fsx: block %u is of round %u%s, and was synced in round %u\n", at, round,
			       memcmp(got, want, BLOCK) ? " and wrong" : "", least[at]);
			return 1;
		}
		later += round > synced;
	}
	printf("fsx: all of %u rounds is there, and %u blocks of later ones\n", synced, later);
	return 0;
}

int main(int argc, char **argv)
{
	uint32_t seed = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;

	state = seed;
	if (argc == 5 && !strcmp(argv[1], "run"))
		return run(argv[2], atoi(argv[4]));
	if (argc == 4 && !strcmp(argv[1], "log"))
		write_log(argv[2], seed);
	if (argc == 5 && !strcmp(argv[1], "check"))
		return check_log(argv[2], seed, atoi(argv[4]));
	fprintf(stderr, "lmfsx run FILE SEED OPERATIONS | log FILE SEED | check FILE SEED ROUND\n");
	return 2;
}
