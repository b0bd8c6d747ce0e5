/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the 9P server share: p9.c serves requests, p9_message.c reads and writes messages.
 */
#ifndef LAMINA_P9_IMPL_H
#define LAMINA_P9_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "p9.h"

#define MESSAGE_MAX 8192u	/* all but data: two paths fit */
#define DIRENTS 32768
#define QID_SIZE 13u
#define BUCKETS 256
#define MAX_IOV 256

/**
 * struct fid - a name of the client's for a file
 * @next: in its bucket
 * @number: the client's
 * @fd: the file; O_PATH, unless @open
 * @uid: who it is for
 */
struct fid {
	struct fid *next;
	uint32_t number;
	int fd;
	uint32_t uid;
	bool open;
};

/**
 * struct p9 - a server
 * @root: the directory
 * @ro: nothing in it may be changed
 * @dev: its file system
 * @msize: largest message
 * @fids: the fids; no new one while all servers together have @max_fids
 */
struct p9 {
	int root;
	bool ro;
	dev_t dev;
	uint32_t msize;
	struct fid *fids[BUCKETS];
	unsigned int max_fids;
	uint8_t message[MESSAGE_MAX], reply[MESSAGE_MAX];
	uint8_t dirents[DIRENTS] __attribute__((aligned(8)));	/* of struct dirent64 */
};

/**
 * struct request - one of them
 * @at, @end: what is not read of the message yet
 * @bad: it has less in it, or other things, than it should
 * @reply: where the reply goes on
 * @data: bytes that were put behind the reply, straight into the client's memory
 */
struct request {
	struct p9 *s;
	uint8_t *at, *end;
	bool bad;
	uint8_t *reply;
	size_t data;
	const struct iovec *out, *in;
	unsigned int nr_out, nr_in;
	size_t out_len, in_len;
	struct p9_counters *counters;
};

/* Numbers are little-endian, as here. What is not there is 0 or "", and makes the request bad. */
uint64_t p9_get(struct request *r, unsigned int size);
uint32_t p9_get32(struct request *r);
const char *p9_get_string(struct request *r);
const char *p9_get_name(struct request *r);
void p9_put(struct request *r, uint64_t value, unsigned int size);
void p9_put_string(struct request *r, const char *text, size_t len);
void p9_put_qid(struct request *r, mode_t mode, dev_t dev, ino_t ino);
int p9_put_qid_of(struct request *r, int fd);

/* Pieces of the client's memory. */
int p9_slice(const struct iovec *iov, unsigned int count, size_t skip, size_t len, struct iovec *part);
size_t p9_total(const struct iovec *iov, unsigned int count);
void p9_scatter(const struct request *r, size_t at, const uint8_t *data, size_t len);

#endif
