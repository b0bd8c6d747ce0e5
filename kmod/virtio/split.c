// SPDX-License-Identifier: GPL-2.0-only
/*
 * Split rings: descriptors are taken and checked, used ones given back.
 *
 * Virtio 1.2, 2.7.  The available ring is flags, index, entries of 2 bytes and
 * used_event; the used ring flags, index, entries of 8 bytes and avail_event.
 */
#include <linux/errno.h>
#include <linux/mm.h>

#include "../lamina.h"
#include "ring.h"

#define LM_RING_IDX		2u
#define LM_RING_ENTRIES		4u
#define LM_AVAIL_EVENT(num)	(LM_RING_ENTRIES + 8 * (num))	/* in the used ring */
#define LM_USED_EVENT(num)	(LM_RING_ENTRIES + 2 * (num))	/* in the available ring */

/* What giving back writes, and where the driver says whether it wants to be told. */
void lm_split_areas(const struct lm_ring *r, struct lm_vseg *used, struct lm_vseg *want)
{
	*used = (struct lm_vseg) { r->used, LM_AVAIL_EVENT(r->num) + 2 };
	*want = (struct lm_vseg) { r->avail + (r->event_idx ? LM_USED_EVENT(r->num) : 0), 2 };
}

/* How far has the driver filled the ring?  1: there is something. */
static int lm_split_look(struct lm_ring *r)
{
	__le16 idx;
	int err;

	err = lm_outside_read16(r->vm, r->avail + LM_RING_IDX, (u16 *)&idx);
	if (err)
		return err;
	if ((u16)(le16_to_cpu(idx) - r->last_avail) > r->num)
		return -EINVAL;
	r->seen_avail = le16_to_cpu(idx);
	smp_rmb();	/* the index before the entries, as the driver wrote them */
	return r->seen_avail != r->last_avail;
}

/* A table of @entries descriptors at @table, of which no more than that can be in a chain. */
struct lm_desc_table {
	u64 at;
	u32 entries, left;
	bool indirect;
};

/* Go on in the table that @d points at (virtio 1.2, 2.7.5.3). */
static int lm_split_indirect(const struct lm_ring *r, struct lm_desc_table *t, u64 addr, u32 len,
			     u16 flags)
{
	u32 entries = len / sizeof(struct vring_desc);

	if (!r->indirect || t->indirect || (flags & VRING_DESC_F_NEXT))
		return -EINVAL;
	if (!entries || len % sizeof(struct vring_desc) || entries > r->num || addr + len < addr)
		return -EINVAL;
	*t = (struct lm_desc_table) { addr, entries, entries, true };
	return 0;
}

static int lm_split_walk(struct lm_ring *r, struct lm_chain *c)
{
	struct lm_desc_table t = { r->desc, r->num, r->num, false };
	struct vring_desc d;
	u16 i = c->token.id, flags;
	u64 addr;
	u32 len;
	int err;

	for (;;) {
		if (i >= t.entries)
			return -EINVAL;
		if (!t.left--)
			return -ELOOP;
		err = lm_outside_copy(r->vm, t.at + sizeof(d) * i, &d, sizeof(d), false);
		if (err)
			return err;
		addr = le64_to_cpu((__force __le64)d.addr);
		len = le32_to_cpu((__force __le32)d.len);
		flags = le16_to_cpu((__force __le16)d.flags);
		if (flags & VRING_DESC_F_INDIRECT) {
			err = lm_split_indirect(r, &t, addr, len, flags);
			i = 0;
		} else {
			err = lm_chain_add(c, addr, len, flags & VRING_DESC_F_WRITE);
			i = le16_to_cpu((__force __le16)d.next);
			if (!(flags & VRING_DESC_F_NEXT))
				return err;
		}
		if (err)
			return err;
	}
}

/* As lm_ring_next(). */
int lm_split_next(struct lm_ring *r, struct lm_chain *c)
{
	__le16 head;
	int err;

	if (r->last_avail == r->seen_avail) {
		err = lm_split_look(r);
		if (err <= 0)
			return err;
	}
	err = lm_outside_read16(r->vm, r->avail + LM_RING_ENTRIES +
				2 * (r->last_avail & (r->num - 1)), (u16 *)&head);
	if (err)
		return err;
	c->token.id = le16_to_cpu(head);
	err = lm_split_walk(r, c);
	if (err)
		return err;
	r->last_avail++;
	return 1;
}

void lm_split_undo(struct lm_ring *r)
{
	r->last_avail--;
}

/* As lm_ring_rearm(). */
int lm_split_rearm(struct lm_ring *r)
{
	__le16 *event;

	if (r->event_idx) {
		event = lm_ring_at(r, r->used, LM_AVAIL_EVENT(r->num));
		WRITE_ONCE(*event, cpu_to_le16(r->last_avail));
		lm_outside_mark(r->vm, r->used + LM_AVAIL_EVENT(r->num), 2);
		smp_mb();	/* the wish before the look; the driver does it the other way */
	}
	return lm_split_look(r);
}

/* As lm_ring_push(). */
bool lm_split_push(struct lm_ring *r, struct lm_token token, u32 len)
{
	u32 off = LM_RING_ENTRIES + 8 * (r->last_used & (r->num - 1));
	__le32 *id = lm_ring_at(r, r->used, off), *bytes = lm_ring_at(r, r->used, off + 4);
	u16 old = r->last_used++, want;

	WRITE_ONCE(*id, cpu_to_le32(token.id));
	WRITE_ONCE(*bytes, cpu_to_le32(len));
	smp_wmb();	/* the entry, and all that the request wrote, before the index */
	WRITE_ONCE(*(__le16 *)lm_ring_at(r, r->used, LM_RING_IDX), cpu_to_le16(r->last_used));
	lm_outside_mark(r->vm, r->used + off, 8);
	lm_outside_mark(r->vm, r->used + LM_RING_IDX, 2);
	smp_mb();	/* the index before the driver's wish; it does it the other way */
	want = le16_to_cpu(READ_ONCE(*(__le16 *)lm_ring_want(r)));
	if (r->event_idx)
		return vring_need_event(want, r->last_used, old);
	return !(want & VRING_AVAIL_F_NO_INTERRUPT);
}
