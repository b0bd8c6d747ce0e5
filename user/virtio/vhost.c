// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's vhost (linux/vhost.h): it is told where the guest's memory and the rings are, and which
 * eventfds are kicks and calls; from then on packets do not come through this process.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "../machine.h"
#include "../tool.h"
#include "vhost.h"

static int set_memory(struct vhost *vhost, const struct guest_memory *mem)
{
	union {
		struct vhost_memory table;
		uint8_t room[sizeof(struct vhost_memory) + 2 * sizeof(struct vhost_memory_region)];
	} set = { .table.nregions = mem->high ? 2 : 1 };

	set.table.regions[0].memory_size = mem->low;
	set.table.regions[0].userspace_addr = (uintptr_t)mem->base;
	set.table.regions[1].guest_phys_addr = HOLE_END;
	set.table.regions[1].memory_size = mem->high;
	set.table.regions[1].userspace_addr = (uintptr_t)mem->base + mem->low;
	return ioctl(vhost->fd, VHOST_SET_MEM_TABLE, &set);
}

/**
 * vhost_use() - set an open vhost device up for a machine
 * @vhost: to fill in
 * @m: the machine
 * @fd: the vhost device, which may have had a machine of this process before; taken
 * @path: its node, for messages
 *
 * Return: 0, or -1 with errno and a message.
 */
int vhost_use(struct vhost *vhost, struct machine *m, int fd, const char *path)
{
	int err;

	vhost->fd = fd;
	/* EBUSY: it has an owner. If that is another process, what follows is refused. */
	if ((!ioctl(fd, VHOST_SET_OWNER, 0) || errno == EBUSY) &&
	    !ioctl(fd, VHOST_GET_FEATURES, &vhost->features) && !set_memory(vhost, &m->memory))
		return 0;
	fail_errno("cannot set %s up", path);
	err = errno;
	vhost_close(vhost);
	errno = err;
	return -1;
}

/**
 * vhost_open() - open a vhost device for a machine
 * @vhost: to fill in
 * @m: the machine
 * @path: its node
 *
 * Return: 0, or -1 with errno and a message.
 */
int vhost_open(struct vhost *vhost, struct machine *m, const char *path)
{
	vhost->fd = hold_open(path, O_RDWR);
	if (vhost->fd < 0)
		return fail_errno("cannot open %s", path);
	return vhost_use(vhost, m, vhost->fd, path);
}

/** vhost_close() - close it; it stops by that */
void vhost_close(struct vhost *vhost)
{
	if (vhost->fd < 0)
		return;
	/* It may be kept: then it lets go of memory, rings and backend by this. vhost-vsock knows no such thing. */
	ioctl(vhost->fd, VHOST_RESET_OWNER, 0);
	hold_close(vhost->fd);
	vhost->fd = -1;
}

static int set_queue(struct vhost *vhost, struct virtqueue *q)
{
	struct vhost_vring_state state = { .index = q->index, .num = q->size };
	struct vhost_vring_addr addr = { .index = q->index };
	struct vhost_vring_file kick = { .index = q->index, .fd = q->kick };
	struct vhost_vring_file call = { .index = q->index, .fd = q->irq.fd };
	struct vq_ring ring;

	if (!vq_ring(q, &ring)) {
		errno = EFAULT;
		return -1;
	}
	addr.desc_user_addr = (uintptr_t)ring.desc;
	addr.avail_user_addr = (uintptr_t)ring.driver;
	addr.used_user_addr = (uintptr_t)ring.device;
	if (ioctl(vhost->fd, VHOST_SET_VRING_NUM, &state))
		return -1;
	state.num = 0;
	if (ioctl(vhost->fd, VHOST_SET_VRING_BASE, &state) ||
	    ioctl(vhost->fd, VHOST_SET_VRING_ADDR, &addr) ||
	    ioctl(vhost->fd, VHOST_SET_VRING_CALL, &call) ||
	    ioctl(vhost->fd, VHOST_SET_VRING_KICK, &kick))
		return -1;
	return 0;
}

/**
 * vhost_start() - hand the features and the first queues over; the caller starts the backend after it
 * @vhost: the vhost device, whose backend does not run
 * @v: the virtio device
 * @queues: how many queues are vhost's
 *
 * Return: 0, or -1 with a message.
 */
int vhost_start(struct vhost *vhost, struct virtio *v, unsigned int queues)
{
	uint64_t features = v->features & vhost->features;
	unsigned int i;

	for (i = 0; i < queues; i++) {
		if (!v->queues[i].enabled)
			return fail("its driver did not enable all queues");
	}
	if (ioctl(vhost->fd, VHOST_SET_FEATURES, &features))
		return fail_errno("vhost refuses its features");
	for (i = 0; i < queues; i++) {
		if (set_queue(vhost, &v->queues[i]))
			return fail_errno("vhost refuses a queue");
	}
	return 0;
}
