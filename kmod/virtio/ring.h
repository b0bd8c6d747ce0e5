/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device's side of a virtio split ring in guest memory (virtio 1.2, 2.7).
 *
 * Taking is serialised by the caller and reads through the owner's mapping, so it
 * runs in the owner's address space.  Giving back happens wherever a request ends,
 * interrupts included, so the used ring and the one field that says whether an
 * interrupt is wanted are pinned while anybody may give back, and only then.
 *
 * Everything in a ring is the driver's, who may be hostile: each descriptor is copied
 * once and checked in the copy.
 */
#ifndef LM_RING_H
#define LM_RING_H

#include <linux/bvec.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/virtio_ring.h>

struct lm_vm;

#define LM_RING_MAX	1024
#define LM_RING_PAGES	4	/* 6 + 8 * LM_RING_MAX bytes, wherever they begin */

struct lm_vseg {
	u64 gpa;
	u32 len;
};

/**
 * struct lm_chain - the buffers of one request
 * @seg: those that the device reads, then those that it writes; 2 * ring size of room
 * @first: the first one not yet used up
 * @nr_out: end of those to read
 * @nr: end of all
 * @out_bytes: left to read
 * @in_bytes: left to write
 * @head: what lm_ring_push() must name
 */
struct lm_chain {
	struct lm_vseg *seg;
	u32 first, nr_out, nr;
	u64 out_bytes, in_bytes;
	u16 head;
};

/*
 * (t) who takes, one at a time; (p) @lock; the rest does not change while the ring is
 * in use.
 */
struct lm_ring {
	struct lm_vm *vm;
	u32 num;			/* entries, a power of two */
	bool event_idx, indirect;	/* negotiated */
	u64 desc, avail, used;		/* guest addresses */
	u16 last_avail;			/* (t) next entry to take */
	u16 seen_avail;			/* (t) how far the driver had filled it */
	spinlock_t lock;
	u16 last_used;			/* (p) next entry to fill */
	u32 users;			/* (p) who may give back; 0: not needed pinned */
	u32 nr_pages;			/* (p) of @page, 0: not pinned */
	struct bio_vec page[LM_RING_PAGES];	/* (p) the used ring */
	struct bio_vec want;		/* (p) the driver's word on interrupts */
};

int lm_ring_check(u32 num, u64 desc, u64 avail, u64 used);
int lm_ring_get(struct lm_ring *r);
bool lm_ring_put(struct lm_ring *r);
bool lm_ring_full(struct lm_ring *r);
void lm_ring_unpin(struct lm_ring *r);
int lm_ring_next(struct lm_ring *r, struct lm_chain *c);
void lm_ring_undo(struct lm_ring *r);
int lm_ring_rearm(struct lm_ring *r);
bool lm_ring_push(struct lm_ring *r, u16 head, u32 len);

int lm_chain_pull(struct lm_vm *vm, struct lm_chain *c, void *buf, u32 bytes);
int lm_chain_last(struct lm_chain *c, u64 *gpa);

#endif
