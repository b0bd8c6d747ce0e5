// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory slots, and the set-up and end of a VM's memory.
 *
 * The array of slots is replaced as a whole.  Order of an update:
 *
 *  1. old_slots = the old array (the notifier looks at both);
 *  2. publish the new array: faults that began before see the change when they
 *     look again after their claim;
 *  3. zap what went away, and with it the hole around it, so that no table is
 *     left behind that no slot needs;
 *  4. flush, which also waits for handlers that use the old array;
 *  5. old_slots = NULL; drop the old array.
 *
 * Creating a slot needs none of 3 and 4, so that firmware and VMMs that build
 * up hundreds of slots pay only for a copy of the array.
 */
#include <linux/bitmap.h>
#include <linux/cpu.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "tree.h"

static bool no_large_pages;
module_param(no_large_pages, bool, 0444);
MODULE_PARM_DESC(no_large_pages, "map guest memory in 4K pages alone (debug)");

#define LM_SLOT_FLAGS	(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)
#define LM_SLOT_PAGES	((1ull << 31) - 1)	/* as in KVM: fits an int */

/**
 * lm_slot_search - find a slot by guest frame
 * @slots: the slots, or NULL
 * @gfn: guest frame
 *
 * Return: the slot or NULL
 */
struct lm_slot *lm_slot_search(struct lm_slots *slots, u64 gfn)
{
	u32 lo = 0, hi = slots ? slots->nr : 0;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;
		struct lm_slot *slot = &slots->slot[mid];

		if (gfn < slot->gfn)
			hi = mid;
		else if (gfn - slot->gfn >= slot->npages)
			lo = mid + 1;
		else
			return slot;
	}
	return NULL;
}

/**
 * lm_slot_by_id - find a slot by its number
 * @slots: the slots, protected by lm_vm.lock
 * @id: number
 */
struct lm_slot *lm_slot_by_id(struct lm_slots *slots, u32 id)
{
	u32 i;

	for (i = 0; i < slots->nr; i++)
		if (slots->slot[i].id == id)
			return &slots->slot[i];
	return NULL;
}

/**
 * lm_slots_get - take a reference to an array that may be replaced any time
 * @from: where it is published
 *
 * Return: the array or NULL
 */
struct lm_slots *lm_slots_get(struct lm_slots __rcu **from)
{
	struct lm_slots *slots;

	rcu_read_lock();
	do {
		slots = rcu_dereference(*from);
	} while (slots && !refcount_inc_not_zero(&slots->users));
	rcu_read_unlock();
	return slots;
}

/**
 * lm_slots_put - give a reference back
 * @slots: the array
 */
void lm_slots_put(struct lm_slots *slots)
{
	if (refcount_dec_and_test(&slots->users))
		kvfree_rcu(slots, rcu);
}

/**
 * lm_mem_size - how much memory the guest has
 * @vm: the VM
 *
 * Return: bytes in all slots
 */
u64 lm_mem_size(struct lm_vm *vm)
{
	struct lm_slots *slots = lm_slots_get(&vm->mem.slots);
	u64 pages = 0;
	u32 i;

	for (i = 0; slots && i < slots->nr; i++)
		pages += slots->slot[i].npages;
	if (slots)
		lm_slots_put(slots);
	return pages << PAGE_SHIFT;
}

static struct lm_slots *lm_slots_alloc(u32 nr)
{
	struct lm_slots *slots = kvzalloc(struct_size(slots, slot, nr), GFP_KERNEL_ACCOUNT);

	if (!slots)
		return NULL;
	refcount_set(&slots->users, 1);
	slots->hva_min = ULONG_MAX;
	return slots;
}

static void lm_slots_append(struct lm_slots *slots, const struct lm_slot *slot)
{
	slots->slot[slots->nr++] = *slot;
	slots->hva_min = min(slots->hva_min, slot->hva);
	slots->hva_max = max(slots->hva_max, slot->hva + (slot->npages << PAGE_SHIFT));
}

/* A copy of @old without @drop and with @add; either may be NULL. */
static struct lm_slots *lm_slots_build(const struct lm_slots *old, const struct lm_slot *drop,
				       const struct lm_slot *add)
{
	struct lm_slots *new = lm_slots_alloc(old->nr + 1);
	u32 i;

	if (!new)
		return NULL;
	new->gen = old->gen + 1;
	for (i = 0; i < old->nr; i++) {
		if (&old->slot[i] == drop)
			continue;
		if (add && add->gfn < old->slot[i].gfn) {
			lm_slots_append(new, add);
			add = NULL;
		}
		lm_slots_append(new, &old->slot[i]);
	}
	if (add)
		lm_slots_append(new, add);
	return new;
}

static bool lm_slots_overlap(const struct lm_slots *slots, const struct lm_slot *but,
			     u64 gfn, u64 end)
{
	u32 i;

	for (i = 0; i < slots->nr; i++) {
		const struct lm_slot *s = &slots->slot[i];

		if (s != but && gfn < s->gfn + s->npages && end > s->gfn)
			return true;
	}
	return false;
}

/* Zap [gfn, end) and as much around it as no slot covers. */
static void lm_zap_hole(struct lm_zap *z, const struct lm_slots *slots, u64 gfn, u64 end)
{
	u64 lo = 0, hi = lm_level_pages(z->vm->mem.levels + 1);
	u32 i;

	for (i = 0; i < slots->nr; i++) {
		u64 s = slots->slot[i].gfn;
		u64 e = s + slots->slot[i].npages;

		/* One that moved by less than its size overlaps its old range. */
		if (s < end)
			lo = max(lo, min(e, gfn));
		if (e > gfn)
			hi = min(hi, max(s, end));
	}
	lm_zap_range(z, lo, hi);
}

static bool lm_region_valid(const struct lm_mem *mem, const struct kvm_userspace_memory_region *r)
{
	u64 size = r->memory_size, gpa = r->guest_phys_addr, hva = r->userspace_addr;

	/* The upper half of slot is an address space; there is one. */
	if ((r->flags & ~LM_SLOT_FLAGS) || r->slot >= LM_MAX_SLOTS)
		return false;
	if (!PAGE_ALIGNED(size) || !PAGE_ALIGNED(gpa) || !PAGE_ALIGNED(hva))
		return false;
	if (gpa + size < gpa || hva + size < hva || (size >> PAGE_SHIFT) > LM_SLOT_PAGES)
		return false;
	if (hva + size > TASK_SIZE_MAX || !access_ok((void __user *)(unsigned long)hva, size))
		return false;
	return !size || (gpa + size) >> PAGE_SHIFT <= mem->max_gfn;
}

/* Each page has its bit at first, so there is nothing to take notice of yet. */
static bool lm_log_begins_full(const struct lm_mem *mem)
{
	return !mem->ring_bytes && (mem->manual_log & KVM_DIRTY_LOG_INITIALLY_SET);
}

static void lm_slot_zap(struct lm_zap *z, const struct lm_slots *new, const struct lm_slot *was,
			const struct lm_slot *now)
{
	u64 end = was->gfn + was->npages;

	if (!now || now->gfn != was->gfn)
		lm_zap_hole(z, new, was->gfn, end);
	else if (!now->dirty)
		lm_zap_range(z, was->gfn, end);
	else if (!lm_log_begins_full(&z->vm->mem))
		lm_zap_write(z, was->gfn, end);
}

/* Steps 1 to 5.  @was is in the old array, or NULL; @now is the slot that follows it, or NULL. */
static int lm_slots_replace(struct lm_vm *vm, struct lm_slot *was, const struct lm_slot *now)
{
	struct lm_mem *mem = &vm->mem;
	struct lm_slots *old = rcu_dereference_protected(mem->slots, lockdep_is_held(&vm->lock));
	struct lm_slots *new = lm_slots_build(old, was, now);
	struct lm_zap z = { .vm = vm, .may_resched = true };
	long bound;

	if (!new)
		return -ENOMEM;
	/* Twice: a table that was unlinked counts until it is flushed. */
	bound = 2 * lm_tree_bound(mem, new) + LM_TABLE_CACHE;
	WRITE_ONCE(mem->max_table_pages, max(bound, mem->max_table_pages));

	if (now && now->dirty)
		WRITE_ONCE(mem->logs, true);
	rcu_assign_pointer(mem->old_slots, old);
	rcu_assign_pointer(mem->slots, new);
	lm_doorbells_moved(&vm->irq);
	smp_mb();	/* published before any leaf is looked at; pairs with the claim */
	if (was) {
		lm_slot_zap(&z, new, was, now);
		if (!lm_zap_finish(&z))
			lm_flush_all(vm);
		/* Tables that handlers linked on their way to a claim that failed. */
		lm_slot_zap(&z, new, was, now);
		lm_zap_finish(&z);
	}
	/* What is in the CPUs' logs has the old addresses. */
	if (was && was->dirty)
		lm_dirty_collect(vm);
	rcu_assign_pointer(mem->old_slots, NULL);
	WRITE_ONCE(mem->max_table_pages, bound);
	if (was && was->dirty && (!now || was->dirty != now->dirty)) {
		synchronize_rcu_expedited();	/* devices that mark: lm_outside_mark() */
		kvfree(was->dirty);
	}
	lm_slots_put(old);
	return 0;
}

static unsigned long *lm_log_alloc(const struct lm_vm *vm, u64 npages)
{
	unsigned long *bits = kvcalloc(BITS_TO_LONGS(npages), sizeof(long), GFP_KERNEL_ACCOUNT);

	if (bits && lm_log_begins_full(&vm->mem))
		bitmap_set(bits, 0, npages);
	return bits;
}

static int lm_set_slot(struct lm_vm *vm, const struct kvm_userspace_memory_region *r)
{
	struct lm_slots *slots = rcu_dereference_protected(vm->mem.slots,
							   lockdep_is_held(&vm->lock));
	struct lm_slot *was = lm_slot_by_id(slots, r->slot);
	struct lm_slot now = {
		.gfn = r->guest_phys_addr >> PAGE_SHIFT,
		.npages = r->memory_size >> PAGE_SHIFT,
		.hva = r->userspace_addr,
		.id = r->slot,
		.flags = r->flags,
	};
	int ret;

	if (!now.npages)
		return was ? lm_slots_replace(vm, was, NULL) : -EINVAL;
	if (was) {
		if (was->hva != now.hva || was->npages != now.npages ||
		    ((was->flags ^ now.flags) & KVM_MEM_READONLY))
			return -EINVAL;
		if (was->gfn == now.gfn && was->flags == now.flags)
			return 0;
		/* What the CPU logged meanwhile would be two pages of a ring that has room for one. */
		if (vm->mem.ring_bytes && was->gfn != now.gfn && was->gfn < now.gfn + now.npages &&
		    now.gfn < was->gfn + was->npages)
			return -EINVAL;
	}
	if (lm_slots_overlap(slots, was, now.gfn, now.gfn + now.npages))
		return -EEXIST;
	if (now.flags & KVM_MEM_LOG_DIRTY_PAGES) {
		now.dirty = was && was->dirty ? was->dirty : lm_log_alloc(vm, now.npages);
		if (!now.dirty)
			return -ENOMEM;
	}
	ret = lm_slots_replace(vm, was, &now);
	if (ret && !(was && was->dirty))
		kvfree(now.dirty);
	return ret;
}

/**
 * lm_mem_set_slot - KVM_SET_USER_MEMORY_REGION
 * @vm: the VM; its lock is taken
 * @r: the region, a copy that user space cannot change
 *
 * Return: 0, -EINVAL, -EEXIST if it overlaps another, -ENOMEM
 */
int lm_mem_set_slot(struct lm_vm *vm, const struct kvm_userspace_memory_region *r)
{
	int ret;

	if (!lm_region_valid(&vm->mem, r))
		return -EINVAL;
	mutex_lock(&vm->lock);
	ret = lm_set_slot(vm, r);
	mutex_unlock(&vm->lock);
	return ret;
}

/*
 * On these CPUs a guest that changes the size of a page under its own feet can raise a
 * machine check that ends the host (CVE-2018-12207); with 4K leaves it cannot.
 */
static bool lm_itlb_multihit(void)
{
	return boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off();
}

/* All but the notifier. */
int lm_mem_setup(struct lm_vm *vm)
{
	struct lm_mem *mem = &vm->mem;
	struct lm_slots *slots;

	spin_lock_init(&mem->inv_lock);
	init_waitqueue_head(&mem->inv_wait);
	mem->format = lm_caps.npt;
	mem->levels = lm_caps.npt_levels;
	mem->large_levels = no_large_pages || lm_itlb_multihit() ? 1 : lm_caps.large_levels;
	mem->max_gfn = 1ull << (min_t(int, lm_caps.phys_bits, PAGE_SHIFT + 9 * mem->levels) -
				PAGE_SHIFT);
	if (lm_flush_init(&mem->flush))
		return -ENOMEM;
	slots = lm_slots_alloc(0);
	mem->root = lm_table_alloc();
	if (!slots || !mem->root || lm_apic_page_init(mem)) {
		kvfree(slots);
		free_page((unsigned long)mem->root);
		mem->root = NULL;
		lm_flush_free(&mem->flush);
		return -ENOMEM;
	}
	atomic_long_set(&mem->table_pages, 1);
	mem->max_table_pages = LM_TABLE_CACHE;
	RCU_INIT_POINTER(mem->slots, slots);
	return 0;
}

void lm_mem_teardown(struct lm_vm *vm)
{
	struct lm_mem *mem = &vm->mem;
	struct lm_slots *slots = rcu_dereference_protected(mem->slots, 1);
	u32 i;

	if (!slots)
		return;
	lm_tree_free(mem);
	lm_apic_page_free(mem);
	for (i = 0; i < slots->nr; i++)
		kvfree(slots->slot[i].dirty);
	RCU_INIT_POINTER(mem->slots, NULL);
	lm_slots_put(slots);
	lm_flush_free(&mem->flush);
}

/**
 * lm_mem_init - the memory of a new VM
 * @vm: the VM, zeroed; vm->mm is the caller's
 *
 * Return: 0 or errno, with everything undone
 */
int lm_mem_init(struct lm_vm *vm)
{
	int ret = lm_mem_setup(vm);

	if (ret)
		return ret;
	vm->mem.mn.ops = &lm_notifier_ops;
	ret = mmu_notifier_register(&vm->mem.mn, vm->mm);
	if (ret)
		lm_mem_teardown(vm);
	return ret;
}

/**
 * lm_mem_destroy - free the memory of a VM
 * @vm: the VM: lm_mem_init() has succeeded, no vCPU runs any more, none is freed yet
 *
 * May sleep.  Pages are freed by RCU: the module must rcu_barrier() before it goes.
 */
void lm_mem_destroy(struct lm_vm *vm)
{
	mmu_notifier_unregister(&vm->mem.mn, vm->mm);
	lm_mem_teardown(vm);
}
