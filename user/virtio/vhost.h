/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's vhost: data planes of virtio devices in the host's kernel.
 */
#ifndef LAMINA_VHOST_H
#define LAMINA_VHOST_H

#include <stdint.h>

#include "virtio.h"

/**
 * struct vhost - one vhost device
 * @fd: its file descriptor, or -1
 * @features: what it can do
 */
struct vhost {
	int fd;
	uint64_t features;
};

int vhost_use(struct vhost *vhost, struct machine *m, int fd, const char *path);
int vhost_open(struct vhost *vhost, struct machine *m, const char *path);
void vhost_close(struct vhost *vhost);
int vhost_start(struct vhost *vhost, struct virtio *v, unsigned int queues);

#endif
