/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A server of the protocol 9P2000.L for one directory.
 */
#ifndef LAMINA_P9_H
#define LAMINA_P9_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct p9;

/** struct p9_counters - what it has done */
struct p9_counters {
	uint64_t requests, errors, read_bytes, written_bytes;
};

struct p9 *p9_new(int root, bool ro);
void p9_free(struct p9 *s);
void p9_reset(struct p9 *s);
size_t p9_serve(struct p9 *s, const struct iovec *out, unsigned int nr_out, const struct iovec *in,
		unsigned int nr_in, struct p9_counters *counters);

#endif
