// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets between the host and the guest (Virtio 1.2, 5.10), by the kernel's vhost-vsock.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "../tool.h"
#include "vhost.h"

#define PCI_CLASS_COMMUNICATION 0x078000
#define VHOST_VSOCK "/dev/vhost-vsock"
#define QUEUE_SIZE 128
#define DATA_QUEUES 2		/* receive, transmit; the third is for events, which never come */

struct vsock {
	struct virtio v;
	struct vhost vhost;
	struct virtio_vsock_config config;
};

static struct vsock *to_vsock(struct virtio *v)
{
	return (struct vsock *)v;
}

static int set_running(struct vsock *vsock, int running)
{
	return ioctl(vsock->vhost.fd, VHOST_VSOCK_SET_RUNNING, &running);
}

static int vsock_start(struct virtio *v)
{
	struct vsock *vsock = to_vsock(v);

	if (vhost_start(&vsock->vhost, v, DATA_QUEUES))
		return -1;
	return set_running(vsock, 1) ? fail_errno("vhost does not start") : 0;
}

static void vsock_stop(struct virtio *v)
{
	set_running(to_vsock(v), 0);
}

static void vsock_describe(const struct virtio *v, FILE *out)
{
	const struct vsock *vsock = (const struct vsock *)v;

	fprintf(out, "cid=%llu\n", (unsigned long long)vsock->config.guest_cid);
}

static void vsock_free(struct virtio *v)
{
	vhost_close(&to_vsock(v)->vhost);
}

static const struct virtio_ops vsock_ops = {
	.id = VIRTIO_ID_VSOCK,
	.class = PCI_CLASS_COMMUNICATION,
	.start = vsock_start,
	.stop = vsock_stop,
	.describe = vsock_describe,
	.free = vsock_free,
};

static void *vsock_parse(const char *text)
{
	unsigned long *cid = malloc(sizeof(*cid));

	/* 0 to 2 mean the hypervisor, oneself and the host. */
	if (!cid)
		fail("out of memory");
	else if (!text)
		fail("which address? Give a number from 3 on");
	else if (!parse_number(text, 3, 0xfffffffe, cid))
		return cid;
	free(cid);
	return NULL;
}

static int vsock_open(const void *config)
{
	int fd = open(VHOST_VSOCK, O_RDWR | O_CLOEXEC);

	(void)config;
	if (fd < 0 && (errno == ENOENT || errno == ENODEV))
		return fail("there is no " VHOST_VSOCK ": load its driver with 'sudo modprobe vhost_vsock'");
	return fd < 0 ? fail_errno("cannot open " VHOST_VSOCK) : fd;
}

static int vsock_set_up(struct virtio *v, struct machine *m, const void *config, int fd)
{
	static const uint16_t sizes[] = { QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE };
	uint64_t cid = *(const unsigned long *)config;
	struct vsock *vsock = to_vsock(v);

	vsock->vhost.fd = fd;
	vsock->config.guest_cid = cid;
	v->config = &vsock->config;
	v->config_size = sizeof(vsock->config);
	if (virtio_init(v, m, &vsock_ops, sizes, ARRAY_SIZE(sizes)))
		return -1;
	if (vhost_use(&vsock->vhost, m, fd, VHOST_VSOCK))
		return -1;
	if (ioctl(vsock->vhost.fd, VHOST_VSOCK_SET_GUEST_CID, &cid)) {
		if (errno == EADDRINUSE)
			return fail("the vsock CID %llu is in use: choose another one",
				    (unsigned long long)cid);
		return fail_errno("cannot have the vsock CID %llu", (unsigned long long)cid);
	}
	v->offered = vsock->vhost.features & (VIRTIO_RINGS | VIRTIO_FEATURE(VIRTIO_VSOCK_F_SEQPACKET));
	return virtio_plug(v);
}

const struct device_kind vsock_kind = {
	.option = "vsock",
	.size = sizeof(struct vsock),
	.parse = vsock_parse,
	.open = vsock_open,
	.set_up = vsock_set_up,
};
