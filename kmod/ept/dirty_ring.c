// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty ring: each vCPU tells in a ring that user space maps which pages it wrote.
 *
 * The bitmap of the slot is there as well and says which pages are in a ring, so a page
 * is there once.  User space harvests entries in order and marks them; who resets takes the
 * bit away, then the right to write, then flushes, in the order of dirty.c.
 *
 * User space can write the entries, so only the flags are ever looked at, each once,
 * and what a reset reads is checked like an argument.  The indexes are ours.
 */
#include <linux/log2.h>
#include <linux/nospec.h>
#include <linux/vmalloc.h>

#include "tree.h"

#define LM_RING_MAX		65536	/* entries */
/* Entries that are left when a ring counts as full: for what is written without entering. */
#define LM_RING_RESERVED	64
#define LM_RING_CPU_LOG		512	/* and for what the CPU has logged by then */

static u32 lm_ring_reserved(const struct lm_vm *vm)
{
	const struct lm_npt_format *f = vm->mem.format;

	return LM_RING_RESERVED + (f->log & f->write ? 0 : LM_RING_CPU_LOG);
}

/**
 * lm_dirty_ring_limit - what KVM_CAP_DIRTY_LOG_RING answers
 *
 * Return: bytes that a ring may have at most
 */
int lm_dirty_ring_limit(void)
{
	return LM_RING_MAX * sizeof(struct kvm_dirty_gfn);
}

/**
 * lm_dirty_ring_enable - KVM_CAP_DIRTY_LOG_RING
 * @vm: the VM; its lock is taken
 * @bytes: of each ring
 *
 * Return: 0; -EINVAL: not a power of two, too small, there are vCPUs, or it is on already;
 * -E2BIG; -EBUSY: there are disks, which write without a vCPU
 */
int lm_dirty_ring_enable(struct lm_vm *vm, u64 bytes)
{
	int r = 0;

	if (!is_power_of_2(bytes) || bytes < PAGE_SIZE ||
	    bytes < lm_ring_reserved(vm) * sizeof(struct kvm_dirty_gfn))
		return -EINVAL;
	if (bytes > lm_dirty_ring_limit())
		return -E2BIG;
	mutex_lock(&vm->lock);
	if (vm->nr_vcpus || vm->mem.ring_bytes) {
		r = -EINVAL;
		goto out;
	}
	WRITE_ONCE(vm->mem.ring_bytes, bytes);
	smp_mb();	/* pairs with lm_vm_create_blk(): one of the two sees the other */
	if (atomic_read(&vm->nr_blks)) {
		WRITE_ONCE(vm->mem.ring_bytes, 0);
		r = -EBUSY;
	}
out:
	mutex_unlock(&vm->lock);
	return r;
}

/**
 * lm_dirty_ring_init - the ring of a new vCPU, if the VM has rings
 * @vcpu: the vCPU; vm->lock is held
 *
 * Return: 0 or -ENOMEM
 */
int lm_dirty_ring_init(struct lm_vcpu *vcpu)
{
	struct lm_dirty_ring *ring = &vcpu->ring;
	u32 bytes = vcpu->vm->mem.ring_bytes;

	if (!bytes)
		return 0;
	ring->gfn = __vmalloc(bytes, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!ring->gfn)
		return -ENOMEM;
	ring->size = bytes / sizeof(*ring->gfn);
	ring->limit = ring->size - lm_ring_reserved(vcpu->vm);
	return 0;
}

/**
 * lm_dirty_ring_free - undo lm_dirty_ring_init()
 * @vcpu: the vCPU
 */
void lm_dirty_ring_free(struct lm_vcpu *vcpu)
{
	vfree(vcpu->ring.gfn);
	vcpu->ring.gfn = NULL;
}

/**
 * lm_dirty_ring_page - what user space maps
 * @vcpu: the vCPU
 * @pgoff: page of the ring
 *
 * Return: the page, or NULL: the ring does not reach so far
 */
struct page *lm_dirty_ring_page(struct lm_vcpu *vcpu, unsigned long pgoff)
{
	if (!vcpu->ring.gfn || pgoff >= vcpu->vm->mem.ring_bytes >> PAGE_SHIFT)
		return NULL;
	return vmalloc_to_page((void *)vcpu->ring.gfn + (pgoff << PAGE_SHIFT));
}

static u32 lm_ring_used(const struct lm_dirty_ring *ring)
{
	/* Pairs with the release in lm_ring_reset(): the entry is free before it counts as such. */
	return ring->pushed - smp_load_acquire(&ring->reset);
}

/**
 * lm_dirty_ring_full - must user space harvest before the vCPU may enter?
 * @vcpu: in its section
 */
bool lm_dirty_ring_full(const struct lm_vcpu *vcpu)
{
	return lm_ring_used(&vcpu->ring) >= vcpu->ring.limit;
}

/* In the section; its window counts. */
static bool lm_ring_push(struct lm_vcpu *vcpu, u32 slot, u64 offset)
{
	struct lm_dirty_ring *ring = &vcpu->ring;
	u32 used = lm_ring_used(ring);
	struct kvm_dirty_gfn *e;

	if (unlikely(used >= ring->size))	/* more than the reserve without an entry: user space's doing */
		return false;
	e = &ring->gfn[ring->pushed & (ring->size - 1)];
	e->slot = slot;
	e->offset = offset;
	/* Whoever sees the flag sees the entry. */
	smp_store_release(&e->flags, KVM_DIRTY_GFN_F_DIRTY);
	/* After the flag: who resets looks no further than here. */
	smp_store_release(&ring->pushed, ring->pushed + 1);
	if (used + 1 >= ring->limit)
		set_bit(LM_REQ_RING, &vcpu->requests);
	return true;
}

/**
 * lm_slot_log - a page in a slot with a log is, or is about to be, written
 * @vcpu: who writes, in its section; NULL: a device, of a VM without rings
 * @slot: the slot
 * @gfn: the page
 */
void lm_slot_log(struct lm_vcpu *vcpu, const struct lm_slot *slot, u64 gfn)
{
	u64 bit = gfn - slot->gfn;

	/* A write of ours before the look at the bit: who takes the bit sees the write. */
	smp_mb();
	if (test_bit(bit, slot->dirty) || test_and_set_bit(bit, slot->dirty))
		return;
	if (vcpu && vcpu->ring.gfn && !lm_ring_push(vcpu, slot->id, bit))
		clear_bit(bit, slot->dirty);
}

/* An entry as user space left it: perhaps of a slot that is gone, perhaps nonsense. */
static void lm_ring_protect(struct lm_zap *z, u32 id, u64 offset)
{
	struct lm_slot *slot = lm_dirty_slot(z->vm, id);

	if (!slot || offset >= slot->npages)
		return;
	offset = array_index_nospec(offset, slot->npages);
	clear_bit(offset, slot->dirty);
	smp_mb__after_atomic();		/* before the leaf is looked at */
	lm_zap_write(z, slot->gfn + offset, slot->gfn + offset + 1);
}

static int lm_ring_reset(struct lm_zap *z, struct lm_dirty_ring *ring)
{
	/* Pairs with the release in lm_ring_push(). */
	u32 end = smp_load_acquire(&ring->pushed);
	struct kvm_dirty_gfn *e;
	int nr = 0;
	u64 offset;
	u32 slot;

	while (ring->reset != end) {
		e = &ring->gfn[ring->reset & (ring->size - 1)];
		/* The flag before what it is about. */
		if (!(smp_load_acquire(&e->flags) & KVM_DIRTY_GFN_F_RESET))
			break;
		slot = READ_ONCE(e->slot);
		offset = READ_ONCE(e->offset);
		WRITE_ONCE(e->flags, 0);
		lm_ring_protect(z, slot, offset);
		/* Free before it counts as such. */
		smp_store_release(&ring->reset, ring->reset + 1);
		nr++;
	}
	return nr;
}

/**
 * lm_dirty_ring_reset - KVM_RESET_DIRTY_RINGS
 * @vm: the VM; its lock is taken
 *
 * Return: how many entries of all rings had been harvested; -EINVAL: there are no rings
 */
int lm_dirty_ring_reset(struct lm_vm *vm)
{
	struct lm_zap z = { .vm = vm, .may_resched = true };
	struct lm_vcpu *vcpu;
	int i, nr = 0;

	mutex_lock(&vm->lock);
	if (!vm->mem.ring_bytes) {
		nr = -EINVAL;
		goto out;
	}
	lm_for_each_vcpu(i, vcpu, vm)
		nr += lm_ring_reset(&z, &vcpu->ring);
	if (nr)
		lm_zap_finish(&z);
out:
	mutex_unlock(&vm->lock);
	return nr;
}
