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

static void rng_free(struct virtio *v)
{
	free(v);
}

static const struct virtio_ops rng_ops = {
	.id = VIRTIO_ID_RNG,
	.class = PCI_CLASS_OTHER,
	.notify = rng_notify,
	.free = rng_free,
};

static void *rng_parse(const char *text)
{
	if (text) {
		fail("--rng takes no argument");
		return NULL;
	}
	return malloc(1);
}

static struct virtio *rng_create(struct machine *m, const void *config, int fd)
{
	static const uint16_t sizes[] = { 64 };
	struct virtio *v = calloc(1, sizeof(*v));

	(void)config;
	(void)fd;
	if (!v) {
		fail("out of memory");
		return NULL;
	}
	v->offered = VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |
		     VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX);
	if (!virtio_init(v, m, &rng_ops, sizes, ARRAY_SIZE(sizes)) && !virtio_plug(v))
		return v;
	virtio_free(v);
	return NULL;
}

const struct device_kind rng_kind = {
	.option = "rng",
	.parse = rng_parse,
	.create = rng_create,
};
