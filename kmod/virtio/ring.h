/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device's side of a virtio ring in guest memory, split or packed (virtio 1.2, 2.7
 * and 2.8).  ring.c is what callers see; split.c and packed.c know the layouts.
 *
 * Taking is serialised by the caller and reads through the owner's mapping, so it
 * runs in the owner's address space.  Giving back happens wherever a request ends,
 * interrupts included, so what it writes (the used ring; of a packed one all) and the
 * field that says whether an interrupt is wanted are pinned while anybody may give
 * back, and only then.
 *
 * Everything in a ring is the driver's, who may be hostile: each descriptor is copied
 * once and checked in the copy.
 */
#ifndef LM_RING_H
#define LM_RING_H

#include <linux/bits.h>
#include <linux/bvec.h>
#include <linux/lamina.h>
#include <linux/mm.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/virtio_ring.h>

struct lm_vm;

#define LM_RING_MAX	1024
#define LM_RING_PAGES	5	/* 16 * LM_RING_MAX bytes, wherever they begin */

/* In a packed ring a place has the wrap counter with it. */
#define LM_PACKED_WRAP	BIT(VRING_PACKED_EVENT_F_WRAP_CTR)

struct lm_vseg {
	u64 gpa;
	u32 len;
};

/**
 * struct lm_token - what lm_ring_push() must be told of a request
 * @id: the driver's name for it; split: its first descriptor
 * @descs: packed: how many descriptors of the ring it has
 */
struct lm_token {
	u16 id, descs;
};

/**
 * struct lm_chain - the buffers of one request
 * @seg: those that the device reads, then those that it writes; 2 * ring size of room
 * @first: the first one not yet used up
 * @nr_out: end of those to read
 * @nr: end of all
 * @out_bytes: left to read
 * @in_bytes: left to write
 * @token: for lm_ring_push()
 */
struct lm_chain {
	struct lm_vseg *seg;
	u32 first, nr_out, nr;
	u64 out_bytes, in_bytes;
	struct lm_token token;
};

/*
 * (t) who takes, one at a time; (p) @lock; the rest does not change while the ring is
 * in use.
 */
struct lm_ring {
	struct lm_vm *vm;
	u32 num;			/* entries; split: a power of two */
	bool packed, event_idx, indirect;	/* negotiated */
	u64 desc, avail, used;		/* guest addresses; packed: the ring, the driver's wish, ours */
	u16 last_avail;			/* (t) next entry to take; packed: with LM_PACKED_WRAP */
	u16 seen_avail;			/* (t) split: how far the driver had filled it */
	spinlock_t lock;
	u16 last_used;			/* (p) next entry to fill; packed: with LM_PACKED_WRAP */
	u32 users;			/* (p) who may give back; 0: not needed pinned */
	u32 nr_pages;			/* (p) of @page, 0: not pinned */
	struct bio_vec page[LM_RING_PAGES];	/* (p) what giving back writes */
	struct bio_vec want;		/* (p) the driver's word on interrupts */
};

int lm_ring_check(const struct lamina_blk_queue *args, bool packed);
void lm_ring_set_up(struct lm_ring *r, const struct lamina_blk_queue *args, bool packed);
int lm_ring_get(struct lm_ring *r);
bool lm_ring_put(struct lm_ring *r);
bool lm_ring_full(struct lm_ring *r);
void lm_ring_unpin(struct lm_ring *r);
int lm_ring_next(struct lm_ring *r, struct lm_chain *c);
void lm_ring_undo(struct lm_ring *r, const struct lm_chain *c);
int lm_ring_rearm(struct lm_ring *r);
bool lm_ring_push(struct lm_ring *r, struct lm_token token, u32 len);

int lm_chain_add(struct lm_chain *c, u64 gpa, u32 len, bool write);
int lm_chain_pull(struct lm_vm *vm, struct lm_chain *c, void *buf, u32 bytes);
int lm_chain_last(struct lm_chain *c, u64 *gpa);

/* Between ring.c and the layouts. */
void lm_split_areas(const struct lm_ring *r, struct lm_vseg *used, struct lm_vseg *want);
int lm_split_next(struct lm_ring *r, struct lm_chain *c);
void lm_split_undo(struct lm_ring *r);
int lm_split_rearm(struct lm_ring *r);
bool lm_split_push(struct lm_ring *r, struct lm_token token, u32 len);

void lm_packed_areas(const struct lm_ring *r, struct lm_vseg *used, struct lm_vseg *want);
int lm_packed_next(struct lm_ring *r, struct lm_chain *c);
void lm_packed_undo(struct lm_ring *r, struct lm_token token);
int lm_packed_rearm(struct lm_ring *r);
bool lm_packed_push(struct lm_ring *r, struct lm_token token, u32 len);

static inline u32 lm_packed_place(u16 at)
{
	return at & (LM_PACKED_WRAP - 1);
}

/* In the area at @base that is pinned.  Fields are aligned and lie in one page each. */
static inline void *lm_ring_at(const struct lm_ring *r, u64 base, u32 off)
{
	u32 at = offset_in_page(base) + off;

	return page_address(r->page[at >> PAGE_SHIFT].bv_page) + offset_in_page(at);
}

static inline void *lm_ring_want(const struct lm_ring *r)
{
	return page_address(r->want.bv_page) + r->want.bv_offset;
}

#endif
