// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty log: KVM_GET_DIRTY_LOG.
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
 */
void lm_mem_logged(struct lm_vcpu *vcpu, u64 gpa)
{
	u64 gfn = gpa >> PAGE_SHIFT;
	struct lm_slot *slot = lm_slot_find(vcpu, lm_slots_section(vcpu), gfn);

	if (slot)
		lm_slot_mark(slot, gfn);
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

static void lm_dirty_take(struct lm_zap *z, const struct lm_slot *slot, unsigned long *bits)
{
	u64 words = BITS_TO_LONGS(slot->npages);
	u64 i, first, last, gfn;

	for (i = 0; i < words; i++) {
		if (!READ_ONCE(slot->dirty[i]))
			continue;
		bits[i] = xchg(&slot->dirty[i], 0);	/* a full barrier: before the leaves are looked at */
		if (!bits[i])
			continue;
		first = __ffs(bits[i]);
		last = __fls(bits[i]);
		gfn = slot->gfn + i * BITS_PER_LONG;
		/* Pages in between that are not in the log are clean, or the CPU is just at it. */
		lm_zap_write(z, gfn + first, gfn + last + 1);
	}
}

static int lm_get_dirty_log(struct lm_vm *vm, struct kvm_dirty_log *log)
{
	struct lm_slots *slots = rcu_dereference_protected(vm->mem.slots,
							   lockdep_is_held(&vm->lock));
	struct lm_slot *slot = lm_slot_by_id(slots, log->slot);
	struct lm_zap z = { .vm = vm, .may_resched = true };
	unsigned long *bits;
	size_t bytes;
	int ret = 0;

	if (!slot || !slot->dirty)
		return -ENOENT;
	bytes = BITS_TO_LONGS(slot->npages) * sizeof(long);
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
 * Return: 0, -EINVAL for a bad slot number, -ENOENT if it keeps no log, -EFAULT
 */
int lm_mem_get_dirty_log(struct lm_vm *vm, struct kvm_dirty_log *log)
{
	int ret;

	if (log->slot >= LM_MAX_SLOTS)
		return -EINVAL;
	mutex_lock(&vm->lock);
	ret = lm_get_dirty_log(vm, log);
	mutex_unlock(&vm->lock);
	return ret;
}
