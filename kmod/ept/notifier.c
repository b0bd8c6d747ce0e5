// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MMU notifier: what the host does to the owner's memory happens to the
 * guest's first.  An invalidation is counted in before it zaps, so that faults
 * that come between keep off (fault.c), and counted out when the host is done.
 *
 * The callbacks never sleep but for cond_resched(), so non-blockable ranges
 * need no case of their own.  Slots are read through a reference: the walk may
 * be long.
 *
 * A slot update may run meanwhile.  It shows old_slots before it publishes the
 * new ones and takes old_slots away after it has zapped and flushed; we read
 * slots first and old_slots second, and so cannot miss a slot that vCPUs used.
 * For a slot that is newer than what we read, faults see our count.
 */
#include <linux/mmu_notifier.h>

#include "tree.h"

/**
 * lm_inv_begin - count an invalidation in
 * @mem: guest memory
 * @start: first user address
 * @end: address after the last
 */
void lm_inv_begin(struct lm_mem *mem, unsigned long start, unsigned long end)
{
	spin_lock(&mem->inv_lock);
	if (!mem->inv_count) {
		WRITE_ONCE(mem->inv_start, start);
		WRITE_ONCE(mem->inv_end, end);
	} else {
		WRITE_ONCE(mem->inv_start, min(mem->inv_start, start));
		WRITE_ONCE(mem->inv_end, max(mem->inv_end, end));
	}
	smp_wmb();	/* pairs with lm_inv_covers() */
	WRITE_ONCE(mem->inv_count, mem->inv_count + 1);
	spin_unlock(&mem->inv_lock);
	smp_mb();	/* counted in before any leaf is looked at; pairs with the claim */
}

/**
 * lm_inv_end - count an invalidation out
 * @mem: guest memory
 */
void lm_inv_end(struct lm_mem *mem)
{
	spin_lock(&mem->inv_lock);
	if (!WARN_ON_ONCE(!mem->inv_count))
		/* After the host's change; pairs with lm_fault_resolve(). */
		smp_store_release(&mem->inv_count, mem->inv_count - 1);
	spin_unlock(&mem->inv_lock);
	if (wq_has_sleeper(&mem->inv_wait))
		wake_up_all(&mem->inv_wait);
}

#define LM_INV_SPIN	200

/**
 * lm_inv_wait - wait until no invalidation is under way
 * @mem: guest memory
 *
 * To retry at once would take CPU time from whoever invalidates, who may be
 * preempted or wait for a lock (fork invalidates for as long as it copies).
 * Returns early for a signal, and after some time in any case.
 */
void lm_inv_wait(struct lm_mem *mem)
{
	int i;

	for (i = 0; i < LM_INV_SPIN; i++) {
		if (!READ_ONCE(mem->inv_count))
			return;
		cpu_relax();
	}
	wait_event_interruptible_timeout(mem->inv_wait, !READ_ONCE(mem->inv_count), HZ / 10);
}

/* The part of @slot that [*start, *end) covers, in guest frames.  False: none. */
static bool lm_slot_range(const struct lm_slot *slot, unsigned long start, unsigned long end,
			  u64 *gfn, u64 *gfn_end)
{
	unsigned long last = slot->hva + (slot->npages << PAGE_SHIFT);

	start = max(start, slot->hva);
	end = min(end, last);
	if (start >= end)
		return false;
	*gfn = slot->gfn + ((start - slot->hva) >> PAGE_SHIFT);
	*gfn_end = slot->gfn + ((end - slot->hva + PAGE_SIZE - 1) >> PAGE_SHIFT);
	return true;
}

static void lm_zap_slots(struct lm_zap *z, struct lm_slots __rcu **from,
			 unsigned long start, unsigned long end)
{
	struct lm_slots *slots = lm_slots_get(from);
	u64 gfn, gfn_end;
	u32 i;

	if (!slots)
		return;
	if (start < slots->hva_max && end > slots->hva_min)
		for (i = 0; i < slots->nr; i++)
			if (lm_slot_range(&slots->slot[i], start, end, &gfn, &gfn_end))
				lm_zap_range(z, gfn, gfn_end);
	lm_slots_put(slots);
}

/**
 * lm_zap_hva - zap what is mapped from a range of user addresses
 * @z: the zap
 * @start: first user address
 * @end: address after the last
 */
void lm_zap_hva(struct lm_zap *z, unsigned long start, unsigned long end)
{
	struct lm_mem *mem = &z->vm->mem;

	lm_zap_slots(z, &mem->slots, start, end);
	smp_rmb();	/* pairs with the publication in slots.c */
	lm_zap_slots(z, &mem->old_slots, start, end);
}

static struct lm_vm *lm_mn_vm(struct mmu_notifier *mn)
{
	return container_of(mn, struct lm_vm, mem.mn);
}

static int lm_mn_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct lm_zap z = { .vm = lm_mn_vm(mn), .may_resched = mmu_notifier_range_blockable(range) };

	lm_inv_begin(&z.vm->mem, range->start, range->end);
	lm_zap_hva(&z, range->start, range->end);
	lm_zap_finish(&z);
	return 0;
}

static void lm_mn_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	lm_inv_end(&lm_mn_vm(mn)->mem);
}

static int lm_mn_age(struct mmu_notifier *mn, unsigned long start, unsigned long end, bool clear)
{
	struct lm_mem *mem = &lm_mn_vm(mn)->mem;
	struct lm_slots *slots = lm_slots_get(&mem->slots);
	u64 gfn, gfn_end;
	int young = 0;
	u32 i;

	if (!slots)
		return 0;
	for (i = 0; i < slots->nr; i++)
		if (lm_slot_range(&slots->slot[i], start, end, &gfn, &gfn_end))
			young |= lm_tree_age(mem, gfn, gfn_end, clear);
	lm_slots_put(slots);
	return young;
}

/* Called with a page table lock held, for each page that reclaim looks at: no flush, see lm_tree_age(). */
static lm_young lm_mn_clear_flush_young(struct mmu_notifier *mn, struct mm_struct *mm,
					unsigned long start, unsigned long end)
{
	return lm_mn_age(mn, start, end, true);
}

static lm_young lm_mn_clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
				  unsigned long start, unsigned long end)
{
	return lm_mn_age(mn, start, end, true);
}

static lm_young lm_mn_test_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long addr)
{
	return lm_mn_age(mn, addr, addr + 1, false);
}

/*
 * The owner's memory goes away, though somebody may hold the VM's file still: a child
 * with its descriptors.  Nobody can run or serve the VM any more, so its handles are
 * stale.  What lm_control_gone() locks is never held over anything that waits for this.
 */
static void lm_mn_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct lm_zap z = { .vm = lm_mn_vm(mn), .may_resched = true };
	struct lm_mem *mem = &z.vm->mem;

	WRITE_ONCE(mem->dead, true);
	smp_mb();	/* no thread of the mm is left; before the last look at the leaves all the same */
	lm_zap_range(&z, 0, lm_level_pages(mem->levels + 1));
	lm_zap_finish(&z);
	lm_control_gone(z.vm->ident);
}

const struct mmu_notifier_ops lm_notifier_ops = {
	.invalidate_range_start = lm_mn_start,
	.invalidate_range_end = lm_mn_end,
	.clear_flush_young = lm_mn_clear_flush_young,
	.clear_young = lm_mn_clear_young,
	.test_young = lm_mn_test_young,
	.release = lm_mn_release,
};
