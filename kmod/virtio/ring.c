// SPDX-License-Identifier: GPL-2.0-only
/*
 * Split rings: descriptors are taken and checked, used ones given back.
 *
 * Virtio 1.2, 2.7.  The available ring is flags, index, entries of 2 bytes and
 * used_event; the used ring flags, index, entries of 8 bytes and avail_event.
 */
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/mm.h>

#include "../lamina.h"
#include "ring.h"

#define LM_RING_IDX		2u
#define LM_RING_ENTRIES		4u
#define LM_AVAIL_EVENT(num)	(LM_RING_ENTRIES + 8 * (num))	/* in the used ring */
#define LM_USED_EVENT(num)	(LM_RING_ENTRIES + 2 * (num))	/* in the available ring */

/**
 * lm_ring_check - can this be a ring?
 * @num: entries
 * @desc: guest address of the descriptors
 * @avail: of the available ring
 * @used: of the used ring
 *
 * Whether memory is there is seen when it is used.
 *
 * Return: 0 or -EINVAL
 */
int lm_ring_check(u32 num, u64 desc, u64 avail, u64 used)
{
	const u64 end = U64_MAX - PAGE_SIZE - 16 * LM_RING_MAX;

	if (num > LM_RING_MAX || !is_power_of_2(num))
		return -EINVAL;
	if (desc % 16 || avail % 2 || used % 4)
		return -EINVAL;
	return desc > end || avail > end || used > end ? -EINVAL : 0;
}

/* ---- pinned part ---- */

static int lm_ring_pin(struct lm_ring *r)
{
	u64 want = r->avail + (r->event_idx ? LM_USED_EVENT(r->num) : 0);
	int nr = lm_outside_pin(r->vm, r->used, LM_AVAIL_EVENT(r->num) + 2, true, r->page);
	int err;

	if (nr < 0)
		return nr;
	/* For writing, so that it stays the page that the guest writes. */
	err = lm_outside_pin(r->vm, want, 2, true, &r->want);
	if (err < 0) {
		lm_outside_unpin(r->page, nr, false);
		return err;
	}
	r->nr_pages = nr;
	return 0;
}

/**
 * lm_ring_get - keep the ring ready for giving back
 * @r: the ring; one caller at a time
 *
 * Context: may sleep; in the owner's address space
 * Return: 0, or -EFAULT, -EINTR, -ENOMEM
 */
int lm_ring_get(struct lm_ring *r)
{
	bool pinned;
	int err;

	spin_lock_irq(&r->lock);
	pinned = r->nr_pages;
	if (pinned)
		r->users++;
	spin_unlock_irq(&r->lock);
	if (pinned)
		return 0;
	/* No user, so nobody looks at what this fills. */
	err = lm_ring_pin(r);
	if (!err)
		r->users = 1;
	return err;
}

/**
 * lm_ring_put - the counterpart of lm_ring_get() and of each request
 * @r: the ring, its lock held
 *
 * Context: any.
 * Return: true: the caller must have lm_ring_unpin() called where one can sleep
 */
bool lm_ring_put(struct lm_ring *r)
{
	if (--r->users)
		return false;
	if (!lm_outside_still_dirty(r->page, r->nr_pages) || !PageDirty(r->want.bv_page))
		return true;
	lm_outside_unpin(r->page, r->nr_pages, false);
	lm_outside_unpin(&r->want, 1, false);
	r->nr_pages = 0;
	return false;
}

/**
 * lm_ring_full - are as many requests under way as there are descriptors?
 * @r: the ring; the caller has it by lm_ring_get()
 *
 * The lock makes it exact: who was given back is not counted.
 */
bool lm_ring_full(struct lm_ring *r)
{
	bool full;

	spin_lock_irq(&r->lock);
	full = r->users > r->num;
	spin_unlock_irq(&r->lock);
	return full;
}

/**
 * lm_ring_unpin - let go of the pages if nobody needs them
 * @r: the ring; not while somebody is in lm_ring_get()
 *
 * Context: may sleep.
 */
void lm_ring_unpin(struct lm_ring *r)
{
	u32 nr = 0;

	spin_lock_irq(&r->lock);
	if (!r->users)
		swap(nr, r->nr_pages);
	spin_unlock_irq(&r->lock);
	if (!nr)
		return;
	lm_outside_unpin(r->page, nr, true);
	lm_outside_unpin(&r->want, 1, false);
}

/* A place in the used ring.  Its fields are aligned and lie in one page each. */
static void *lm_used_at(struct lm_ring *r, u32 off)
{
	u32 at = offset_in_page(r->used) + off;

	return page_address(r->page[at >> PAGE_SHIFT].bv_page) + offset_in_page(at);
}

/* ---- taking ---- */

/* How far has the driver filled the ring?  1: there is something. */
static int lm_ring_look(struct lm_ring *r)
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

static int lm_chain_add(struct lm_chain *c, u64 gpa, u32 len, bool write)
{
	if (gpa + len < gpa)
		return -EINVAL;
	if (write) {
		c->in_bytes += len;
	} else {
		/* What the device reads comes first. */
		if (c->nr != c->nr_out)
			return -EINVAL;
		c->out_bytes += len;
	}
	if (!len)
		return 0;
	c->seg[c->nr++] = (struct lm_vseg) { gpa, len };
	if (!write)
		c->nr_out = c->nr;
	return 0;
}

/* A table of @entries descriptors at @table, of which no more than that can be in a chain. */
struct lm_desc_table {
	u64 at;
	u32 entries, left;
	bool indirect;
};

/* Go on in the table that @d points at (virtio 1.2, 2.7.5.3). */
static int lm_chain_indirect(const struct lm_ring *r, struct lm_desc_table *t, u64 addr, u32 len,
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

static int lm_chain_walk(struct lm_ring *r, struct lm_chain *c)
{
	struct lm_desc_table t = { r->desc, r->num, r->num, false };
	struct vring_desc d;
	u16 i = c->head, flags;
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
			err = lm_chain_indirect(r, &t, addr, len, flags);
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

/**
 * lm_ring_next - take the next request
 * @r: the ring, between lm_ring_get() and lm_ring_put()
 * @c: where to; @c->seg is the caller's
 *
 * Context: may sleep; in the owner's address space
 * Return: 1, 0 if there is none, or the driver broke the rules: -EINVAL (index, flags,
 * order), -ELOOP, -EFAULT (no memory there)
 */
int lm_ring_next(struct lm_ring *r, struct lm_chain *c)
{
	__le16 head;
	int err;

	if (r->last_avail == r->seen_avail) {
		err = lm_ring_look(r);
		if (err <= 0)
			return err;
	}
	err = lm_outside_read16(r->vm, r->avail + LM_RING_ENTRIES +
				2 * (r->last_avail & (r->num - 1)), (u16 *)&head);
	if (err)
		return err;
	*c = (struct lm_chain) { .seg = c->seg, .head = le16_to_cpu(head) };
	err = lm_chain_walk(r, c);
	if (err)
		return err;
	r->last_avail++;
	return 1;
}

/**
 * lm_ring_undo - what lm_ring_next() took was not begun: it comes next again
 * @r: the ring, still between lm_ring_get() and lm_ring_put()
 */
void lm_ring_undo(struct lm_ring *r)
{
	r->last_avail--;
}

/**
 * lm_ring_rearm - ask for a doorbell with the next request
 * @r: the ring, between lm_ring_get() and lm_ring_put()
 *
 * Context: may sleep; in the owner's address space
 * Return: 1 if there is something already, 0, or an error as lm_ring_next()
 */
int lm_ring_rearm(struct lm_ring *r)
{
	__le16 *event;

	if (r->event_idx) {
		event = lm_used_at(r, LM_AVAIL_EVENT(r->num));
		WRITE_ONCE(*event, cpu_to_le16(r->last_avail));
		lm_outside_mark(r->vm, r->used + LM_AVAIL_EVENT(r->num), 2);
		smp_mb();	/* the wish before the look; the driver does it the other way */
	}
	return lm_ring_look(r);
}

/* ---- giving back ---- */

/**
 * lm_ring_push - give a request back
 * @r: the ring, its lock held, between lm_ring_get() and lm_ring_put()
 * @head: as lm_ring_next() said
 * @len: how many bytes of its buffers were written
 *
 * Context: any.
 * Return: true if the driver wants an interrupt
 */
bool lm_ring_push(struct lm_ring *r, u16 head, u32 len)
{
	u32 off = LM_RING_ENTRIES + 8 * (r->last_used & (r->num - 1));
	__le32 *id = lm_used_at(r, off), *bytes = lm_used_at(r, off + 4);
	u16 old = r->last_used++, want;

	WRITE_ONCE(*id, cpu_to_le32(head));
	WRITE_ONCE(*bytes, cpu_to_le32(len));
	smp_wmb();	/* the entry, and all that the request wrote, before the index */
	WRITE_ONCE(*(__le16 *)lm_used_at(r, LM_RING_IDX), cpu_to_le16(r->last_used));
	lm_outside_mark(r->vm, r->used + off, 8);
	lm_outside_mark(r->vm, r->used + LM_RING_IDX, 2);
	smp_mb();	/* the index before the driver's wish; it does it the other way */
	want = le16_to_cpu(READ_ONCE(*(__le16 *)(page_address(r->want.bv_page) +
						 r->want.bv_offset)));
	if (r->event_idx)
		return vring_need_event(want, r->last_used, old);
	return !(want & VRING_AVAIL_F_NO_INTERRUPT);
}

/* ---- chains ---- */

/**
 * lm_chain_pull - copy from the front of what the device reads
 * @vm: the VM; the caller runs in its owner's address space
 * @c: the chain
 * @buf: where to
 * @bytes: how many
 *
 * Return: 0, -EINVAL if there is less, -EFAULT
 */
int lm_chain_pull(struct lm_vm *vm, struct lm_chain *c, void *buf, u32 bytes)
{
	struct lm_vseg *s;
	u32 n;
	int err;

	if (bytes > c->out_bytes)
		return -EINVAL;
	c->out_bytes -= bytes;
	for (; bytes; bytes -= n, buf += n) {
		s = &c->seg[c->first];
		n = min(bytes, s->len);
		err = lm_outside_copy(vm, s->gpa, buf, n, false);
		if (err)
			return err;
		s->gpa += n;
		s->len -= n;
		if (!s->len)
			c->first++;
	}
	return 0;
}

/**
 * lm_chain_last - take the last byte of what the device writes off the chain
 * @c: the chain
 * @gpa: its guest address
 *
 * Return: 0, or -EINVAL if there is none
 */
int lm_chain_last(struct lm_chain *c, u64 *gpa)
{
	struct lm_vseg *s;

	if (!c->in_bytes)
		return -EINVAL;
	c->in_bytes--;
	s = &c->seg[c->nr - 1];
	*gpa = s->gpa + --s->len;
	if (!s->len)
		c->nr--;
	return 0;
}
