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

#define LOG(bitmap, gpa) ((bitmap)[(gpa) >> 18] >> ((gpa) >> 12 & 63) & 1)

/* A read into two slots at once is in the dirty logs of both, and of no third page. */
void blk_dirty_slots(void)
{
	uint64_t low[4] = { 0 }, high[4] = { 0 };
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = low };
	const uint32_t half = 1 << 19;
	unsigned int i;

	setup(make_image(), FEATURES, 0);
	OK(slot(0, 0, 0, 0, NULL));
	OK(slot(0, KVM_MEM_LOG_DIRTY_PAGES, 0, half, e.ram));
	OK(slot(1, KVM_MEM_LOG_DIRTY_PAGES, half, half, e.ram + half));
	IS(request(VIRTIO_BLK_T_IN, 0, half - 8192, 20480, true), 0);
	OK(set_state(LAMINA_BLK_STATE_STOPPED));
	OK(ioctl(e.vm, KVM_GET_DIRTY_LOG, &log));
	log = (struct kvm_dirty_log) { .slot = 1, .dirty_bitmap = high };
	OK(ioctl(e.vm, KVM_GET_DIRTY_LOG, &log));
	for (i = 0; i < 5; i++) {
		IS(LOG(low, half - 4096 * (5 - i)), i >= 3);
		IS(LOG(high, 4096 * i), i < 3);
	}
}
