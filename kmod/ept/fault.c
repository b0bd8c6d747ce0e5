// SPDX-License-Identifier: GPL-2.0-only
/*
 * The nested page fault.
 *
 * It runs in the vCPU's section, with interrupts off, takes no lock, and is
 * sound only in this order:
 *
 *  1. find the slot; walk to the leaf;
 *  2. claim the leaf: cmpxchg to a pending value of this vCPU's own;
 *  3. are the slots still the same?  Is no invalidation over this address under
 *     way?  (Who invalidates says so before it zaps, and a zap clears claims.)
 *  4. read the host's own page table, which says what is mapped, how large, and
 *     with which rights;
 *  5. cmpxchg the claim to the new leaf, or back to what was there.
 *
 * If something was zapped since step 2, the claim is gone and step 5 fails.
 * If it was zapped before, step 3 sees it or the host's entry has changed
 * already.  A claim on a present leaf (to make it writable) remembers that TLBs
 * may hold the old leaf, so a zap of the claim flushes them.  Going from
 * read-only to writable needs no flush: a CPU that faults on a stale entry
 * walks again (APM vol. 2, 5.5.2; 15.25.10).
 *
 * A writable leaf needs a host entry that is writable *and* dirty: the guest's
 * writes set no bit in the host's page table, but whoever cleans that bit later
 * invalidates first, and we are asked again.  A young host entry is not needed.
 *
 * The host's page table is safe to walk with interrupts off, as for
 * get_user_pages_fast(): tables are freed after an IPI or an RCU grace period.
 */
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched/signal.h>

#include "tree.h"

struct lm_fault {
	struct lm_vcpu *vcpu;
	struct lm_slots *slots;
	struct lm_slot *slot;
	u64 gfn;
	unsigned long hva;
	bool write;
};

/* ---- the host's page table ---- */

static bool lm_walk_mm(struct mm_struct *mm, unsigned long hva, struct lm_host_page *hp)
{
	pgd_t *pgdp, pgd;
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;
	pmd_t *pmdp, pmd;
	pte_t pte;

	pgdp = pgd_offset(mm, hva);
	pgd = READ_ONCE(*pgdp);
	if (!(pgd_val(pgd) & _PAGE_PRESENT))
		return false;
	p4dp = p4d_offset_lockless(pgdp, pgd, hva);
	p4d = READ_ONCE(*p4dp);
	if (!(p4d_val(p4d) & _PAGE_PRESENT))
		return false;
	pudp = pud_offset_lockless(p4dp, p4d, hva);
	pud = READ_ONCE(*pudp);
	hp->val = pud_val(pud);
	if (!(hp->val & _PAGE_PRESENT))
		return false;
	if (hp->val & _PAGE_PSE) {
		hp->level = 3;
		hp->pfn = pud_pfn(pud) + ((hva & ~PUD_MASK) >> PAGE_SHIFT);
		return true;
	}
	pmdp = pmd_offset_lockless(pudp, pud, hva);
	pmd = READ_ONCE(*pmdp);
	hp->val = pmd_val(pmd);
	if (!(hp->val & _PAGE_PRESENT))
		return false;
	if (hp->val & _PAGE_PSE) {
		hp->level = 2;
		hp->pfn = pmd_pfn(pmd) + ((hva & ~PMD_MASK) >> PAGE_SHIFT);
		return true;
	}
	/* pte_offset_map() is for the kernel alone in later versions; on x86-64 nothing needs mapping. */
	pte = READ_ONCE(*((pte_t *)pmd_page_vaddr(pmd) + pte_index(hva)));
	hp->val = pte_val(pte);
	if (!(hp->val & _PAGE_PRESENT))
		return false;
	hp->level = 1;
	hp->pfn = pte_pfn(pte);
	return true;
}

static bool lm_walk_host(struct lm_mem *mem, struct mm_struct *mm, unsigned long hva,
			 struct lm_host_page *hp)
{
#ifdef LM_KUNIT
	if (mem->test_host)
		return mem->test_host(mem, hva, hp) && (hp->val & _PAGE_PRESENT);
#endif
	return lm_walk_mm(mm, hva, hp) && (hp->val & _PAGE_USER);
}

static bool lm_host_writable(const struct lm_host_page *hp)
{
	return (hp->val & (_PAGE_RW | _PAGE_DIRTY)) == (_PAGE_RW | _PAGE_DIRTY);
}

/* PAT << 2 | PCD << 1 | PWT */
static unsigned int lm_host_memtype(const struct lm_host_page *hp)
{
	u64 pat = hp->level > 1 ? _PAGE_PAT_LARGE : _PAGE_PAT;

	return (hp->val & pat ? 4 : 0) | (hp->val & _PAGE_PCD ? 2 : 0) |
	       (hp->val & _PAGE_PWT ? 1 : 0);
}

/* ---- the fault ---- */

static int lm_fault_need(const struct lm_fault *f)
{
	f->vcpu->need.hva = f->hva;
	f->vcpu->need.write = f->write;
	return LM_NEED;
}

/* The highest level that slot and encoding allow for a page that the host maps at @level. */
static int lm_fault_level(const struct lm_fault *f, int level)
{
	const struct lm_slot *slot = f->slot;
	struct lm_mem *mem = &f->vcpu->vm->mem;

	if (slot->dirty)
		return 1;
	for (level = min(level, mem->large_levels); level > 1; level--) {
		u64 pages = lm_level_pages(level);
		u64 first = f->gfn & ~(pages - 1);

		if ((f->gfn ^ (f->hva >> PAGE_SHIFT)) & (pages - 1))
			continue;
		if (first >= slot->gfn && first + pages <= slot->gfn + slot->npages)
			break;
	}
	return level;
}

static bool lm_leaf_suffices(const struct lm_mem *mem, u64 leaf, bool write)
{
	return lm_entry_present(mem, leaf) && (!write || (leaf & mem->format->write));
}

/* Steps 3 and 4: what should the claimed entry of @level become? */
static int lm_fault_resolve(const struct lm_fault *f, int level, u64 *leaf)
{
	struct lm_vm *vm = f->vcpu->vm;
	struct lm_mem *mem = &vm->mem;
	const struct lm_npt_format *fmt = mem->format;
	u64 pages = lm_level_pages(level);
	unsigned long hva = f->hva & ~((pages << PAGE_SHIFT) - 1);
	struct lm_host_page hp;
	bool write;

	if (rcu_access_pointer(mem->slots) != f->slots)
		return LM_AGAIN;
	if (lm_inv_covers(mem, hva, hva + (pages << PAGE_SHIFT))) {
		f->vcpu->mem.need_wait = true;
		return LM_NEED;
	}
	smp_rmb();	/* pairs with lm_inv_end(): counted out after the host's change */
	if (!lm_walk_host(mem, vm->mm, f->hva, &hp))
		return lm_fault_need(f);
	write = lm_host_writable(&hp);
	if (f->write && !write)
		return lm_fault_need(f);
	/* The host went to smaller pages since the level was chosen. */
	if (hp.level < level)
		return LM_AGAIN;
	if (f->slot->flags & KVM_MEM_READONLY)
		write = false;
	/* Before the leaf is there: who clears the log later finds leaf or claim and zaps it. */
	if (f->slot->dirty && f->write)
		lm_slot_mark(f->vcpu, f->slot, f->gfn);
	*leaf = ((hp.pfn & ~(pages - 1)) << PAGE_SHIFT) | (hp.val & sme_me_mask) |
		fmt->leaf | fmt->memtype[level > 1][lm_host_memtype(&hp)];
	if (level > 1)
		*leaf |= fmt->large;
	if (write)
		*leaf |= fmt->write | fmt->dirty;
	if (f->slot->dirty && !f->write)
		*leaf &= ~fmt->log;
	return LM_DONE;
}

/* Steps 2 to 5 for the entry at @pos, which is no table. */
static int lm_fault_leaf(const struct lm_fault *f, struct lm_pos *pos)
{
	struct lm_mem *mem = &f->vcpu->vm->mem;
	u64 old = pos->val;
	u64 leaf = old;
	u64 mine;
	int r;

	if (lm_leaf_suffices(mem, old, f->write)) {
		if (static_branch_unlikely(&lm_debug_tlb))
			lm_tlb_note(f->vcpu, f->gfn, old, pos->level);
		return LM_DONE;
	}
	/* Another vCPU is at it, with interrupts off: by the time we fault again, it is done. */
	if (lm_entry_pending(mem, old))
		return LM_DONE;

	mine = LM_PENDING | (u64)f->vcpu->index << LM_PENDING_SHIFT;
	if (lm_entry_cached(mem, old))
		mine |= LM_PENDING_WAS;
	if (cmpxchg(pos->entry, old, mine) != old)
		return LM_DONE;

	r = lm_fault_resolve(f, pos->level, &leaf);
	if (cmpxchg(pos->entry, mine, leaf) != mine)
		return r == LM_DONE ? LM_AGAIN : r;
	if (static_branch_unlikely(&lm_debug_tlb) && r == LM_DONE)
		lm_tlb_note(f->vcpu, f->gfn, leaf, pos->level);
	return r;
}

static noinline int lm_fault_slot(struct lm_vcpu *vcpu, struct lm_slots *slots,
				  struct lm_slot *slot, u64 gfn, bool write)
{
	struct lm_mem *mem = &vcpu->vm->mem;
	struct lm_fault f = {
		.vcpu = vcpu,
		.gfn = gfn,
		.write = write,
		.slots = slots,
		.slot = slot,
	};
	struct lm_host_page hp;
	struct lm_pos pos;
	int r;

	if (write && (f.slot->flags & KVM_MEM_READONLY))
		return LM_USER;
	if (unlikely(READ_ONCE(mem->dead)))
		return -EIO;
	f.hva = lm_slot_hva(f.slot, f.gfn);

	lm_tree_find(mem, f.gfn, &pos);
	/*
	 * With a table down to 4K in place the level is settled.  Else the host
	 * says how large a page it has, a hint that the claim will verify.
	 */
	if (!pos.val && pos.level > 1) {
		if (!lm_walk_host(mem, vcpu->vm->mm, f.hva, &hp) ||
		    (write && !lm_host_writable(&hp)))
			return lm_fault_need(&f);
		r = lm_tree_extend(vcpu, f.gfn, lm_fault_level(&f, hp.level), &pos);
		if (r)
			return r;
	}
	return lm_fault_leaf(&f, &pos);
}

/**
 * lm_mem_fault - resolve a nested page fault
 * @vcpu: in its section, interrupts off
 * @gpa: guest physical address
 * @write: a write is wanted
 * @exec: an instruction fetch is wanted (all that is readable is executable)
 *
 * Return: see ept.h
 */
int lm_mem_fault(struct lm_vcpu *vcpu, u64 gpa, bool write, bool exec)
{
	struct lm_slots *slots = lm_slots_section(vcpu);
	u64 gfn = gpa >> PAGE_SHIFT;
	struct lm_slot *slot;

	/* A device is written to again and again. */
	if (gfn == vcpu->mem.hole_gfn && slots->gen == vcpu->mem.hole_gen)
		return LM_USER;
	slot = lm_slot_find(vcpu, slots, gfn);
	if (slot)
		return lm_fault_slot(vcpu, slots, slot, gfn, write);
	if (gfn != LM_APIC_GFN) {
		vcpu->mem.hole_gfn = gfn;
		vcpu->mem.hole_gen = slots->gen;
	}
	return gfn == LM_APIC_GFN ? lm_apic_page_fault(vcpu) : LM_USER;
}

/**
 * lm_mem_need - do what a handler asked for with LM_NEED
 * @vcpu: outside its section; the caller may sleep
 *
 * The host's own fault path brings the page in: copy on write, swap,
 * userfaultfd and cgroup limits all apply.  It is called rather than provoked
 * by an access, since the address may be a device register with side effects.
 * A write fault also leaves the host's entry dirty.
 *
 * Return: 0, -EFAULT for a bad address, -ENOMEM, -EINTR if a fatal signal is pending
 */
int lm_mem_need(struct lm_vcpu *vcpu)
{
	struct lm_mem_cpu *mc = &vcpu->mem;
	struct mm_struct *mm = vcpu->vm->mm;
	bool unlocked = false;
	int r;

	if (fatal_signal_pending(current))
		return -EINTR;
	r = lm_tables_fill(mc, vcpu->vm->mem.levels);
	if (r)
		return r;
	if (mc->need_tables) {
		mc->need_tables = false;
		return 0;
	}
	if (mc->need_wait) {
		mc->need_wait = false;
		lm_inv_wait(&vcpu->vm->mem);
		return 0;
	}
	if (mc->need_apic_off) {
		mc->need_apic_off = false;
		lm_apic_page_off(vcpu->vm);
		return 0;
	}
	mmap_read_lock(mm);
	r = fixup_user_fault(mm, vcpu->need.hva, vcpu->need.write ? FAULT_FLAG_WRITE : 0,
			     &unlocked);
	mmap_read_unlock(mm);
	return r;
}

/**
 * lm_mem_vcpu_init - the memory part of a new vCPU
 * @vcpu: the vCPU; vcpu->vm and index are set
 *
 * Return: 0 or -ENOMEM; lm_mem_vcpu_free() undoes it in either case
 */
int lm_mem_vcpu_init(struct lm_vcpu *vcpu)
{
	int r = lm_tables_fill(&vcpu->mem, vcpu->vm->mem.levels);

	return r ?: lm_tlb_init(vcpu);
}

/**
 * lm_mem_vcpu_free - undo lm_mem_vcpu_init()
 * @vcpu: the vCPU
 */
void lm_mem_vcpu_free(struct lm_vcpu *vcpu)
{
	lm_tables_drop(&vcpu->mem);
	lm_tlb_free(vcpu);
}
