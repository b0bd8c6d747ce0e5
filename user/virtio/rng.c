// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entropy (Virtio 1.2, 5.4): random bytes from the host's kernel.
 */
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/random.h>

#include "../tool.h"
#include "virtio.h"

#define PCI_CLASS_OTHER 0x00ff00
#define ONCE 4096		/* bytes for one request: a driver asks again if it wants more */

static void rng_notify(struct virtio *v, struct virtqueue *q)
{
	struct vq_chain chain;
	unsigned int i, n;
	size_t left, len;
	ssize_t got;

	(void)v;
	for (n = 0; n < q->size && vq_pop(q, &chain); n++) {
		left = chain.in_len < ONCE ? chain.in_len : ONCE;
		len = 0;
		for (i = chain.out; i < chain.out + chain.in && left; i++) {
			size_t part = chain.iov[i].iov_len < left ? chain.iov[i].iov_len : left;

			got = getrandom(chain.iov[i].iov_base, part, 0);
			if (got < 0)
				break;
			len += (size_t)got;
			left -= (size_t)got;
			if ((size_t)got < part)
				break;
		}
		vq_push(q, chain.head, (uint32_t)len);
	}
	vq_signal(q);
	/* A guest that never stops asking does not keep others waiting. */
	if (n == q->size)
		vq_again(q);
}

static const struct virtio_ops rng_ops = {
	.id = VIRTIO_ID_RNG,
	.class = PCI_CLASS_OTHER,
	.notify = rng_notify,
};

static void *rng_parse(const char *text)
{
	if (text) {
		fail("--rng takes no argument");
		return NULL;
	}
	return malloc(1);
}

static int rng_set_up(struct virtio *v, struct machine *m, const void *config, int fd)
{
	static const uint16_t sizes[] = { 64 };

	(void)config;
	(void)fd;
	v->offered = VIRTIO_RINGS;
	return virtio_init(v, m, &rng_ops, sizes, ARRAY_SIZE(sizes)) ? -1 : virtio_plug(v);
}

const struct device_kind rng_kind = {
	.option = "rng",
	.size = sizeof(struct virtio),
	.parse = rng_parse,
	.set_up = rng_set_up,
};
