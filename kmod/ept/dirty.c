// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty log: KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG.
 *
 * What holds at any time: a page that can be written without our notice has its bit
 * set, and a large leaf is there only while all its pages have theirs
 * (KVM_DIRTY_LOG_INITIALLY_SET begins so; else a log begins without large leaves).
 *
 * Order: take the bits away, then the write rights of the pages they name, then
 * flush.  A fault that makes a page writable claims the leaf, sets the bit and
 * installs the leaf: if we took that bit, we meet claim or leaf and zap it; if
 * we did not, it is there for the next call.
 *
 * Where the CPU logs pages itself (format.log), pages stay writable and lose their
 * dirty bit instead.  What the CPU logged waits with the vCPU until it leaves its
 * section, the log is full, or somebody reads the bitmap.
 */
#include <linux/bitops.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../backend.h"
#include "tree.h"

/**
 * lm_mem_logged - a page is in the CPU's log
 * @vcpu: in its section
 * @gpa: of the page
 *
 * While a slot moves, nobody knows whether the CPU logged the page before or after.
 */
void lm_mem_logged(struct lm_vcpu *vcpu, u64 gpa)
{
	struct lm_mem *mem = &vcpu->vm->mem;
	u64 gfn = gpa >> PAGE_SHIFT;
	struct lm_slot *slot = lm_slot_find(vcpu, lm_slots_section(vcpu), gfn);
	struct lm_slots *old = rcu_dereference_check(mem->old_slots, 1);

	if (slot)
		lm_slot_mark(vcpu, slot, gfn);
	if (likely(!old))
		return;
	slot = lm_slot_search(old, gfn);
	if (slot)
		lm_slot_mark(vcpu, slot, gfn);
}

static void lm_dirty_collect_here(void *vm)
{
	struct lm_vcpu *vcpu = this_cpu_read(lm_current);

	if (vcpu && vcpu->vm == vm)
		lm_backend->dirty(vcpu);
}

/**
 * lm_dirty_collect - bring what the CPUs logged so far into the bitmaps
 * @vm: the VM; its lock is taken
 */
void lm_dirty_collect(struct lm_vm *vm)
{
	const struct lm_npt_format *f = vm->mem.format;

	if (!(f->log & f->write))
		lm_sections_call(vm, lm_dirty_collect_here);
}

static void lm_dirty_give_back(const struct lm_slot *slot, const unsigned long *bits)
{
	u64 bit;

	for_each_set_bit(bit, bits, slot->npages)
		set_bit(bit, slot->dirty);
}

/* The pages of word @i of the bitmap that are in @taken, whose bits are cleared already. */
static void lm_dirty_protect(struct lm_zap *z, const struct lm_slot *slot, u64 i,
			     unsigned long taken)
{
	u64 gfn = slot->gfn + i * BITS_PER_LONG;

	/* Pages in between that are not in the log are clean, or the CPU is just at it. */
	lm_zap_write(z, gfn + __ffs(taken), gfn + __fls(taken) + 1);
}

static void lm_dirty_take(struct lm_zap *z, const struct lm_slot *slot, unsigned long *bits)
{
	u64 i, words = BITS_TO_LONGS(slot->npages);

	for (i = 0; i < words; i++) {
		if (!READ_ONCE(slot->dirty[i]))
			continue;
		bits[i] = xchg(&slot->dirty[i], 0);	/* a full barrier: before the leaves are looked at */
		if (bits[i])
			lm_dirty_protect(z, slot, i, bits[i]);
	}
}

/* The slot whose log is meant, or NULL; vm->lock held. */
struct lm_slot *lm_dirty_slot(struct lm_vm *vm, u32 id)
{
	struct lm_slots *slots = rcu_dereference_protected(vm->mem.slots,
							   lockdep_is_held(&vm->lock));
	struct lm_slot *slot = lm_slot_by_id(slots, id);

	return slot && slot->dirty ? slot : NULL;
}

static int lm_get_dirty_log(struct lm_vm *vm, const struct kvm_dirty_log *log)
{
	struct lm_slot *slot = lm_dirty_slot(vm, log->slot);
	struct lm_zap z = { .vm = vm, .may_resched = true };
	unsigned long *bits;
	size_t bytes;
	int ret = 0;

	if (!slot)
		return -ENOENT;
	bytes = BITS_TO_LONGS(slot->npages) * sizeof(long);
	if (vm->mem.manual_log & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE) {
		lm_dirty_collect(vm);
		return copy_to_user(log->dirty_bitmap, slot->dirty, bytes) ? -EFAULT : 0;
	}
	bits = kvzalloc(bytes, GFP_KERNEL_ACCOUNT);
	if (!bits)
		return -ENOMEM;
	lm_dirty_collect(vm);
	lm_dirty_take(&z, slot, bits);
	lm_zap_finish(&z);
	if (copy_to_user(log->dirty_bitmap, bits, bytes)) {
		lm_dirty_give_back(slot, bits);
		ret = -EFAULT;
	}
	kvfree(bits);
	return ret;
}

/**
 * lm_mem_get_dirty_log - KVM_GET_DIRTY_LOG
 * @vm: the VM; its lock is taken
 * @log: slot and user address of the bitmap
 *
 * Return: 0, -EINVAL for a bad slot number, -ENOENT if it keeps no log, -ENXIO if the VM
 * has rings instead, -EFAULT
 */
int lm_mem_get_dirty_log(struct lm_vm *vm, const struct kvm_dirty_log *log)
{
	int ret;

	if (log->slot >= LM_MAX_SLOTS)
		return -EINVAL;
	mutex_lock(&vm->lock);
	ret = vm->mem.ring_bytes ? -ENXIO : lm_get_dirty_log(vm, log);
	mutex_unlock(&vm->lock);
	return ret;
}

/* Does the range lie in the slot, and end at a whole word or with the slot? */
static bool lm_clear_range_valid(const struct lm_slot *slot, const struct kvm_clear_dirty_log *log)
{
	u64 left;

	if (log->first_page > slot->npages)
		return false;
	left = slot->npages - log->first_page;
	return log->num_pages == left || (log->num_pages < left && !(log->num_pages & 63));
}

static int lm_clear_dirty_log(struct lm_vm *vm, const struct kvm_clear_dirty_log *log)
{
	struct lm_slot *slot = lm_dirty_slot(vm, log->slot);
	struct lm_zap z = { .vm = vm, .may_resched = true };
	u64 i, words = BITS_TO_LONGS(log->num_pages), first = log->first_page / BITS_PER_LONG;
	unsigned long *bits;

	if (!slot)
		return -ENOENT;
	if (!lm_clear_range_valid(slot, log))
		return -EINVAL;
	bits = kvmalloc_array(words, sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!bits)
		return -ENOMEM;
	if (copy_from_user(bits, log->dirty_bitmap, words * sizeof(long))) {
		kvfree(bits);
		return -EFAULT;
	}
	for (i = 0; i < words; i++) {
		atomic_long_t *word = (atomic_long_t *)&slot->dirty[first + i];

		if (!bits[i])
			continue;
		/* A full barrier, as in lm_dirty_take(); what is beyond the slot's end was never set. */
		bits[i] &= atomic_long_fetch_andnot(bits[i], word);
		if (bits[i])
			lm_dirty_protect(&z, slot, first + i, bits[i]);
	}
	lm_zap_finish(&z);
	kvfree(bits);
	return 0;
}

/**
 * lm_mem_clear_dirty_log - KVM_CLEAR_DIRTY_LOG
 * @vm: the VM; its lock is taken
 * @log: slot, range and user address of the bitmap
 *
 * A page that the CPU has logged meanwhile, and nobody collected, stays dirty: a write that
 * user space has not seen yet.
 *
 * Return: 0, -EINVAL for a bad slot number or range, -ENOENT if it keeps no log, -ENXIO
 * if the VM has rings instead, -EFAULT, -ENOMEM
 */
int lm_mem_clear_dirty_log(struct lm_vm *vm, const struct kvm_clear_dirty_log *log)
{
	int ret;

	if (log->slot >= LM_MAX_SLOTS || (log->first_page & 63))
		return -EINVAL;
	mutex_lock(&vm->lock);
	ret = vm->mem.ring_bytes ? -ENXIO : lm_clear_dirty_log(vm, log);
	mutex_unlock(&vm->lock);
	return ret;
}
