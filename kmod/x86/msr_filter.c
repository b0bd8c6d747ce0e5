// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_X86_SET_MSR_FILTER: which MSRs a guest may read and write, by ranges with a bit
 * for each, and what happens to those in no range.
 *
 * The filter is replaced as a whole.  Handlers look at it with interrupts off.  MSRs that the
 * CPU lets the guest have without an exit are taken back by the vendor's update(), which
 * each vCPU runs before it enters again (LM_REQ_FILTER).
 */
#include <linux/bitmap.h>
#include <linux/nospec.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "../backend.h"

struct lm_msr_range {
	u32 base, nr;
	u32 flags;			/* KVM_MSR_FILTER_READ, _WRITE: which accesses it is for */
	unsigned long *allowed;
};

struct lm_msr_filter {
	bool deny;			/* MSRs in no range */
	unsigned int nr;
	struct lm_msr_range range[KVM_MSR_FILTER_MAX_RANGES];
};

DEFINE_STATIC_KEY_FALSE(lm_msr_specials);	/* some VM has a filter or user-space exits, or had */

static void lm_filter_destroy(struct lm_msr_filter *f)
{
	unsigned int i;

	for (i = 0; f && i < f->nr; i++)
		kfree(f->range[i].allowed);
	kfree(f);
}

static bool lm_filter_denies(const struct lm_msr_filter *f, u32 msr, u32 access)
{
	const struct lm_msr_range *r;

	for (r = f->range; r < f->range + f->nr; r++)
		if (msr - r->base < r->nr && (r->flags & access))
			return !test_bit(array_index_nospec(msr - r->base, r->nr), r->allowed);
	return f->deny;
}

/**
 * lm_msr_filtered - is the guest refused this MSR?
 * @vm: the VM
 * @msr: its number
 * @access: KVM_MSR_FILTER_READ or KVM_MSR_FILTER_WRITE
 *
 * The x2APIC's are always allowed.
 *
 * Context: any.
 */
bool lm_msr_filtered(struct lm_vm *vm, u32 msr, u32 access)
{
	const struct lm_msr_filter *f;
	bool denied;

	if (msr >= 0x800 && msr <= 0x8ff)
		return false;
	rcu_read_lock();
	f = rcu_dereference(vm->x86.msr_filter);
	denied = f && lm_filter_denies(f, msr, access);
	rcu_read_unlock();
	return denied;
}

static int lm_filter_range(struct lm_msr_filter *f, const struct kvm_msr_filter_range *from)
{
	struct lm_msr_range *r = &f->range[f->nr];
	size_t bytes = BITS_TO_LONGS(from->nmsrs) * sizeof(long);

	if (!from->nmsrs)
		return 0;
	if ((from->flags & ~(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)) || !from->flags ||
	    bytes > KVM_MSR_FILTER_MAX_BITMAP_SIZE)
		return -EINVAL;
	/* Not memdup_user(), which charges nobody for what stays as long as the VM. */
	r->allowed = kmalloc(bytes, GFP_KERNEL_ACCOUNT);
	if (!r->allowed)
		return -ENOMEM;
	if (copy_from_user(r->allowed, (void __user *)from->bitmap, bytes)) {
		kfree(r->allowed);
		return -EFAULT;
	}
	r->base = from->base;
	r->nr = from->nmsrs;
	r->flags = from->flags;
	f->nr++;
	return 0;
}

static struct lm_msr_filter *lm_filter_make(const struct kvm_msr_filter *from)
{
	struct lm_msr_filter *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	unsigned int i;
	int r = 0;

	if (!f)
		return ERR_PTR(-ENOMEM);
	f->deny = from->flags & KVM_MSR_FILTER_DEFAULT_DENY;
	for (i = 0; i < ARRAY_SIZE(from->ranges) && !r; i++)
		r = lm_filter_range(f, &from->ranges[i]);
	/* To refuse all there must be an exception at least. */
	if (!r && f->deny && !f->nr)
		r = -EINVAL;
	if (!r)
		return f;
	lm_filter_destroy(f);
	return ERR_PTR(r);
}

/**
 * lm_msr_filter_set - KVM_X86_SET_MSR_FILTER
 * @vm: the VM
 * @arg: struct kvm_msr_filter
 *
 * Return: 0, -EINVAL, -EFAULT, -ENOMEM; after 0 no guest goes on by the old filter
 */
int lm_msr_filter_set(struct lm_vm *vm, void __user *arg)
{
	struct lm_msr_filter *f, *old;
	struct kvm_msr_filter from;
	struct lm_vcpu *vcpu;
	int i;

	if (copy_from_user(&from, arg, sizeof(from)))
		return -EFAULT;
	if (from.flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	f = lm_filter_make(&from);
	if (IS_ERR(f))
		return PTR_ERR(f);
	static_branch_enable(&lm_msr_specials);
	mutex_lock(&vm->lock);
	old = rcu_replace_pointer(vm->x86.msr_filter, f, lockdep_is_held(&vm->lock));
	lm_for_each_vcpu(i, vcpu, vm) {
		lm_request(vcpu, LM_REQ_FILTER);
		lm_kick(vcpu);
	}
	lm_flush_all(vm);	/* returns when all have left their guests */
	mutex_unlock(&vm->lock);
	/* Not call_rcu(): callers in a loop would pile them up. */
	if (old)
		synchronize_rcu();
	lm_filter_destroy(old);
	return 0;
}

/**
 * lm_msr_filter_free - the VM is gone
 * @vm: no vCPU is left
 */
void lm_msr_filter_free(struct lm_vm *vm)
{
	lm_filter_destroy(rcu_dereference_protected(vm->x86.msr_filter, 1));
}
