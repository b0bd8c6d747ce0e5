// SPDX-License-Identifier: GPL-2.0-only
/* The disk in the module: what it asks of the host, and how much of it at most. */
#define _GNU_SOURCE
#include "blk.h"
#include <sys/inotify.h>

/* Somebody who watches the image sees what the guest does, as with any other access. */
void blk_watched(void)
{
	char path[32];
	int file = make_image(), watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct inotify_event ev[4];

	if (watch < 0)
		skip("no inotify");
	setup(file, FEATURES, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	OK(inotify_add_watch(watch, path, IN_ACCESS | IN_MODIFY));
	IS(request(VIRTIO_BLK_T_IN, 0, DATA, 512, true), 0);
	OK(set_state(LAMINA_BLK_STATE_STOPPED));
	IS(read(watch, ev, sizeof(ev)), sizeof(ev[0]));
	IS(ev[0].mask, IN_ACCESS);
	OK(set_state(LAMINA_BLK_STATE_RUNNING));
	IS(request(VIRTIO_BLK_T_OUT, 0, DATA, 512, false), 0);
	OK(set_state(LAMINA_BLK_STATE_STOPPED));
	IS(read(watch, ev, sizeof(ev)), sizeof(ev[0]));
	IS(ev[0].mask, IN_MODIFY);
}
