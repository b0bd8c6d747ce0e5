/* SPDX-License-Identifier: GPL-2.0-only */
/* A disk in the module and its queue, as the tests of it share them. */
#ifndef LM_API_BLK_H
#define LM_API_BLK_H
#include "api.h"
#include <linux/lamina.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PORT	0x100		/* the doorbell */
#define DONE	0x55		/* where the guest says that it has rung */
#define NUM	16		/* entries of the queue */
#define DESC	0x10000		/* of a split ring; chains for a packed one */
#define AVAIL	0x11000
#define USED	0x12000
#define HDR	0x13000
#define STATUS	0x13f00
#define TABLE	0x14000		/* an indirect table */
#define PACKED	0x15ff0		/* a packed ring; its second descriptor is in the next page */
#define PACKED_NUM 17		/* need not be a power of two */
#define DATA	0x20000
#define SECTORS	2048		/* 1 MiB */

#define FEATURES (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_BLK_F_FLUSH)
#define INDIRECT (1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT	(1ull << VIRTIO_RING_F_EVENT_IDX)
#define RING_PACKED (1ull << VIRTIO_F_RING_PACKED)

/*
 * The disk under test, and how far its one queue is: requests that were offered and completed, in a
 * packed ring their places and how many descriptors each has; the last one completed.
 */
struct blk {
	int fd, file, irq, event;
	uint16_t avail, used;
	uint16_t avail_place, used_place, descs[NUM];
	uint32_t id, len;
};
extern struct blk d;

/* blk_ring.c */
extern bool packed;		/* which layout start() chooses */
struct vring_avail *avail(void);
volatile struct vring_used *used(void);
volatile struct vring_packed_desc *packed_desc(int i);
uint16_t packed_put(uint16_t at, const struct vring_desc *from, uint16_t id);
uint16_t avail_place(void);
uint16_t used_place(void);
void clear_rings(void);
int queue(uint32_t index);
void put(int i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);
void table(int i, uint64_t addr, uint32_t len, uint16_t flags);
void offer(uint16_t head);
bool ready(void);
bool complete(void);
void want_none(void);
void want_after(int n);
bool rearmed(void);

/* blk.c */
int set(uint64_t which, void *p);
int get(uint64_t which, void *p);
int set_state(uint32_t state);
uint32_t state(void);
struct lamina_blk_stats stats(void);
uint64_t taken(int fd);
uint64_t heard(int fd);
int make_image(void);
int open_disk(const char *name);
void start(uint64_t features);
void setup(int file, uint64_t features, uint32_t flags);
void kick(void);
void header(uint64_t at, uint32_t type, uint64_t sector);
int request(uint32_t type, uint64_t sector, uint64_t data, uint32_t bytes, bool in);
int range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags);

/* blk_bad.c */
void blk_hostile(void);
void blk_fuzz(void);
void blk_stop(void);
void blk_closed(void);
void blk_killed(void);
void blk_own_fault(void);
void blk_forked(void);

/* blk_limits.c */
void blk_watched(void);
void blk_dirty_slots(void);
void blk_budget(void);
void blk_ranges(void);
void blk_devices(void);
void blk_charged(void);

#endif
