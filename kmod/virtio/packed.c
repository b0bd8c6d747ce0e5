// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packed rings: descriptors are taken and checked, used ones given back in their place.
 *
 * Virtio 1.2, 2.8.  There is one ring.  The driver makes the descriptors of a request
 * available from one place on; the device writes one descriptor for the whole request
 * at its own place, and leaves as many behind it as the request had.  Two flags say
 * whose a descriptor is; what they mean changes with each lap, as the wrap counters of
 * both sides do.  A structure of each side says when it wants to be told.
 */
#include <linux/errno.h>
#include <linux/mm.h>

#include "../lamina.h"
#include "ring.h"

#define LM_DESC_AVAIL	BIT(VRING_PACKED_DESC_F_AVAIL)
#define LM_DESC_USED	BIT(VRING_PACKED_DESC_F_USED)

/* @n descriptors on, of at most as many as the ring has. */
static u16 lm_packed_step(const struct lm_ring *r, u16 at, u32 n)
{
	u32 place = lm_packed_place(at) + n;

	if (place < r->num)
		return (at & LM_PACKED_WRAP) | place;
	return (~at & LM_PACKED_WRAP) | (place - r->num);
}

static u64 lm_packed_desc(const struct lm_ring *r, u16 at)
{
	return r->desc + sizeof(struct vring_packed_desc) * lm_packed_place(at);
}

/* What giving back writes, and where the driver says whether it wants to be told. */
void lm_packed_areas(const struct lm_ring *r, struct lm_vseg *used, struct lm_vseg *want)
{
	*used = (struct lm_vseg) { r->desc, sizeof(struct vring_packed_desc) * r->num };
	*want = (struct lm_vseg) { r->avail, sizeof(struct vring_packed_desc_event) };
}

/* ---- taking ---- */

/* 1: the next descriptor is the device's. */
static int lm_packed_look(const struct lm_ring *r)
{
	u64 at = lm_packed_desc(r, r->last_avail);
	bool wrap = r->last_avail & LM_PACKED_WRAP;
	__le16 raw;
	u16 flags;
	int err;

	err = lm_outside_read16(r->vm, at + offsetof(struct vring_packed_desc, flags), (u16 *)&raw);
	if (err)
		return err;
	flags = le16_to_cpu(raw);
	if (!!(flags & LM_DESC_AVAIL) != wrap || !!(flags & LM_DESC_USED) == wrap)
		return 0;
	smp_rmb();	/* the flags before the rest, as the driver wrote them */
	return 1;
}

/* All of the table that @d points at: its descriptors come one after the other (2.8.7). */
static int lm_packed_indirect(const struct lm_ring *r, struct lm_chain *c, u64 addr, u32 len)
{
	u32 i, entries = len / sizeof(struct vring_packed_desc);
	struct vring_packed_desc d;
	u16 flags;
	int err;

	if (!r->indirect || !entries || len % sizeof(d) || entries > r->num || addr + len < addr)
		return -EINVAL;
	for (i = 0; i < entries; i++) {
		err = lm_outside_copy(r->vm, addr + sizeof(d) * i, &d, sizeof(d), false);
		if (err)
			return err;
		flags = le16_to_cpu(d.flags);
		if (flags & VRING_DESC_F_INDIRECT)
			return -EINVAL;
		err = lm_chain_add(c, le64_to_cpu(d.addr), le32_to_cpu(d.len),
				   flags & VRING_DESC_F_WRITE);
		if (err)
			return err;
	}
	return 0;
}

/* As lm_ring_next(). */
int lm_packed_next(struct lm_ring *r, struct lm_chain *c)
{
	struct vring_packed_desc d;
	u16 at = r->last_avail, flags;
	u64 addr;
	u32 len;
	int err;

	err = lm_packed_look(r);
	if (err <= 0)
		return err;
	do {
		if (c->token.descs == r->num)
			return -ELOOP;
		err = lm_outside_copy(r->vm, lm_packed_desc(r, at), &d, sizeof(d), false);
		if (err)
			return err;
		addr = le64_to_cpu(d.addr);
		len = le32_to_cpu(d.len);
		flags = le16_to_cpu(d.flags);
		if (!(flags & VRING_DESC_F_INDIRECT))
			err = lm_chain_add(c, addr, len, flags & VRING_DESC_F_WRITE);
		else if (c->token.descs || (flags & VRING_DESC_F_NEXT))	/* 2.8.19 */
			err = -EINVAL;
		else
			err = lm_packed_indirect(r, c, addr, len);
		if (err)
			return err;
		c->token.descs++;
		at = lm_packed_step(r, at, 1);
	} while (flags & VRING_DESC_F_NEXT);
	c->token.id = le16_to_cpu(d.id);	/* the last one's counts */
	r->last_avail = at;
	return 1;
}

void lm_packed_undo(struct lm_ring *r, struct lm_token token)
{
	/* Back is forward by the rest of the ring, but a lap earlier. */
	r->last_avail = lm_packed_step(r, r->last_avail, r->num - token.descs) ^ LM_PACKED_WRAP;
}

/* As lm_ring_rearm(). */
int lm_packed_rearm(struct lm_ring *r)
{
	u32 event = r->last_avail | VRING_PACKED_EVENT_FLAG_DESC << 16;
	int err;

	if (r->event_idx) {
		err = lm_outside_write32(r->vm, r->used, (__force u32)cpu_to_le32(event));
		if (err)
			return err;
		smp_mb();	/* the wish before the look; the driver does it the other way */
	}
	return lm_packed_look(r);
}

/* ---- giving back ---- */

/* Is what the driver waits for one of the @n descriptors from @old on? */
static bool lm_packed_wanted(const struct lm_ring *r, u32 event, u16 old, u32 n)
{
	u32 at = lm_packed_place(event);

	switch (event >> 16 & 3) {
	case VRING_PACKED_EVENT_FLAG_DISABLE:
		return false;
	case VRING_PACKED_EVENT_FLAG_DESC:
		if (!r->event_idx)
			return true;
		/* In the next lap; one that is long past may look so and cost an interrupt. */
		if ((event ^ old) & LM_PACKED_WRAP)
			at += r->num;
		return at >= lm_packed_place(old) && at < lm_packed_place(old) + n;
	default:
		return true;
	}
}

/* As lm_ring_push(). */
bool lm_packed_push(struct lm_ring *r, struct lm_token token, u32 len)
{
	u16 old = r->last_used, flags = old & LM_PACKED_WRAP ? LM_DESC_AVAIL | LM_DESC_USED : 0;
	u32 off = sizeof(struct vring_packed_desc) * lm_packed_place(old);
	struct vring_packed_desc *d = lm_ring_at(r, r->desc, off);
	__le32 event;

	WRITE_ONCE(d->id, cpu_to_le16(token.id));
	WRITE_ONCE(d->len, cpu_to_le32(len));
	smp_wmb();	/* these, and all that the request wrote, before the flags */
	WRITE_ONCE(d->flags, cpu_to_le16(len ? flags | VRING_DESC_F_WRITE : flags));
	r->last_used = lm_packed_step(r, old, token.descs);
	lm_outside_mark(r->vm, r->desc + off, sizeof(*d));
	smp_mb();	/* the flags before the driver's wish; it does it the other way */
	event = READ_ONCE(*(__le32 *)lm_ring_want(r));
	return lm_packed_wanted(r, le32_to_cpu(event), old, token.descs);
}
