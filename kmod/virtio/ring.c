// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rings, whatever their layout: which part is pinned and when, and the chains of
 * buffers that come out of them.
 */
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/mm.h>

#include "../lamina.h"
#include "ring.h"

/**
 * lm_ring_check - can this be a ring?
 * @args: size, addresses, where to begin
 * @packed: of this layout
 *
 * Whether memory is there is seen when it is used.
 *
 * Return: 0 or -EINVAL
 */
int lm_ring_check(const struct lamina_blk_queue *args, bool packed)
{
	const u64 end = U64_MAX - PAGE_SIZE - 16 * LM_RING_MAX;

	if (!args->size || args->size > LM_RING_MAX)
		return -EINVAL;
	if (args->desc > end || args->driver > end || args->device > end)
		return -EINVAL;
	if (args->desc % 16 || args->driver % (packed ? 4 : 2) || args->device % 4)
		return -EINVAL;
	if (!packed)
		return is_power_of_2(args->size) ? 0 : -EINVAL;
	return lm_packed_place(args->last_avail) < args->size &&
	       lm_packed_place(args->last_used) < args->size ? 0 : -EINVAL;
}

/**
 * lm_ring_set_up - let a ring begin
 * @r: the ring, not in use
 * @args: what lm_ring_check() found good
 * @packed: likewise
 */
void lm_ring_set_up(struct lm_ring *r, const struct lamina_blk_queue *args, bool packed)
{
	r->num = args->size;
	r->packed = packed;
	r->desc = args->desc;
	r->avail = args->driver;
	r->used = args->device;
	r->last_avail = args->last_avail;
	r->last_used = args->last_used;
}

/* ---- pinned part ---- */

static int lm_ring_pin(struct lm_ring *r)
{
	struct lm_vseg used, want;
	int nr, err;

	if (r->packed)
		lm_packed_areas(r, &used, &want);
	else
		lm_split_areas(r, &used, &want);
	nr = lm_outside_pin(r->vm, used.gpa, used.len, true, r->page);
	if (nr < 0)
		return nr;
	/* For writing, so that it stays the page that the guest writes. */
	err = lm_outside_pin(r->vm, want.gpa, want.len, true, &r->want);
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

/* ---- taking and giving back ---- */

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
	*c = (struct lm_chain) { .seg = c->seg };
	return r->packed ? lm_packed_next(r, c) : lm_split_next(r, c);
}

/**
 * lm_ring_undo - what lm_ring_next() took was not begun: it comes next again
 * @r: the ring, still between lm_ring_get() and lm_ring_put()
 * @c: what was taken
 */
void lm_ring_undo(struct lm_ring *r, const struct lm_chain *c)
{
	if (r->packed)
		lm_packed_undo(r, c->token);
	else
		lm_split_undo(r);
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
	return r->packed ? lm_packed_rearm(r) : lm_split_rearm(r);
}

/**
 * lm_ring_push - give a request back
 * @r: the ring, its lock held, between lm_ring_get() and lm_ring_put()
 * @token: as lm_ring_next() said
 * @len: how many bytes of its buffers were written
 *
 * Context: any.
 * Return: true if the driver wants an interrupt
 */
bool lm_ring_push(struct lm_ring *r, struct lm_token token, u32 len)
{
	return r->packed ? lm_packed_push(r, token, len) : lm_split_push(r, token, len);
}

/* ---- chains ---- */

/**
 * lm_chain_add - one more buffer
 * @c: the chain
 * @gpa: guest address
 * @len: bytes, perhaps none
 * @write: for the device to write
 *
 * Return: 0 or -EINVAL
 */
int lm_chain_add(struct lm_chain *c, u64 gpa, u32 len, bool write)
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
