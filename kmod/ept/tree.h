/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of guest memory share: the radix tree and its walks, the slots.
 *
 * An entry of the tree is empty (0), a pointer to a table, a leaf, or *pending*:
 * claimed by a vCPU that resolves a fault.  A pending entry is not present to the
 * hardware.  It carries the index of its vCPU, so that a vCPU that was zapped
 * and overtaken meanwhile cannot take another's claim for its own, and WAS if
 * it replaced a leaf that TLBs may still hold.
 */
#ifndef LM_TREE_H
#define LM_TREE_H

#include <linux/mem_encrypt.h>
#include <linux/mm.h>

#include "../lamina.h"

/*
 * The vCPU's index sits below the address field and the address is 0: what a CPU
 * might load speculatively through such an entry is the page at 0 (L1TF).
 */
#define LM_PENDING		BIT_ULL(58)
#define LM_PENDING_WAS		BIT_ULL(57)
#define LM_PENDING_SHIFT	3

#define LM_TABLE_ENTRIES	512

/* Pages that one entry of @level maps; level 1 holds 4K leaves. */
static inline u64 lm_level_pages(int level)
{
	return 1ull << (9 * (level - 1));
}

static inline unsigned int lm_level_index(u64 gfn, int level)
{
	return (gfn >> (9 * (level - 1))) & (LM_TABLE_ENTRIES - 1);
}

static inline bool lm_entry_present(const struct lm_mem *mem, u64 e)
{
	return e & mem->format->present;
}

static inline bool lm_entry_pending(const struct lm_mem *mem, u64 e)
{
	return !lm_entry_present(mem, e) && (e & LM_PENDING);
}

/* May a TLB hold what @e maps? */
static inline bool lm_entry_cached(const struct lm_mem *mem, u64 e)
{
	return lm_entry_present(mem, e) || (e & LM_PENDING_WAS);
}

static inline bool lm_entry_table(const struct lm_mem *mem, u64 e, int level)
{
	return level > 1 && lm_entry_present(mem, e) && !(e & mem->format->large);
}

static inline u64 *lm_entry_to_table(const struct lm_mem *mem, u64 e)
{
	return __va(__sme_clr(e & mem->format->addr_mask));
}

/* A place in the tree: the entry of @level for a gfn, and what was read there. */
struct lm_pos {
	u64 *entry;
	u64 val;
	int level;
};

/* ---- tree.c ---- */
u64 *lm_table_alloc(void);
int lm_tables_fill(struct lm_mem_cpu *mc, u32 min);
void lm_tables_drop(struct lm_mem_cpu *mc);
void lm_tree_find(const struct lm_mem *mem, u64 gfn, struct lm_pos *pos);
int lm_tree_extend(struct lm_vcpu *vcpu, u64 gfn, int level, struct lm_pos *pos);
void lm_tree_free(struct lm_mem *mem);
long lm_tree_bound(const struct lm_mem *mem, const struct lm_slots *slots);

/**
 * struct lm_zap - takes rights away from a range of the tree, then flushes
 * @vm: whose tree
 * @may_resched: the caller may be preempted voluntarily
 * @flush: something was taken away that TLBs may hold
 * @tables: unlinked tables, chained through page->private, to be freed after the flush
 */
struct lm_zap {
	struct lm_vm *vm;
	bool may_resched;
	bool flush;
	struct page *tables;
};

void lm_zap_range(struct lm_zap *z, u64 gfn, u64 end);
void lm_zap_write(struct lm_zap *z, u64 gfn, u64 end);
bool lm_zap_finish(struct lm_zap *z);
bool lm_tree_age(struct lm_mem *mem, u64 gfn, u64 end, bool clear);

/* ---- fault.c ---- */

/*
 * One entry of the host's page table.
 * @val: the raw entry; @pfn: the 4K page that backs the address; @level: 1, 2, 3
 */
struct lm_host_page {
	u64 val;
	u64 pfn;
	int level;
};

/* ---- slots.c ---- */
struct lm_slot *lm_slot_search(struct lm_slots *slots, u64 gfn);
struct lm_slot *lm_slot_by_id(struct lm_slots *slots, u32 id);
struct lm_slots *lm_slots_get(struct lm_slots __rcu **from);
void lm_slots_put(struct lm_slots *slots);
int lm_mem_setup(struct lm_vm *vm);
void lm_mem_teardown(struct lm_vm *vm);

/* In the section.  No pointer is kept, only an index: it is checked against what is there now. */
static __always_inline struct lm_slot *
lm_slot_find(struct lm_vcpu *vcpu, struct lm_slots *slots, u64 gfn)
{
	u32 i = vcpu->mem.last;
	struct lm_slot *slot;

	if (likely(i < slots->nr && gfn - slots->slot[i].gfn < slots->slot[i].npages))
		return &slots->slot[i];
	slot = lm_slot_search(slots, gfn);
	if (slot)
		vcpu->mem.last = slot - slots->slot;
	return slot;
}

static inline struct lm_slots *lm_slots_section(struct lm_vcpu *vcpu)
{
	/* Interrupts are off, and lm_flush_all() waits for us. */
	return rcu_dereference_check(vcpu->vm->mem.slots, 1);
}

static inline unsigned long lm_slot_hva(const struct lm_slot *slot, u64 gfn)
{
	return slot->hva + ((gfn - slot->gfn) << PAGE_SHIFT);
}

/* ---- dirty.c, dirty_ring.c ---- */
void lm_dirty_collect(struct lm_vm *vm);
struct lm_slot *lm_dirty_slot(struct lm_vm *vm, u32 id);
void lm_slot_log(struct lm_vcpu *vcpu, const struct lm_slot *slot, u64 gfn);

/* A page is, or is about to be, written; see lm_slot_log(). */
static inline void lm_slot_mark(struct lm_vcpu *vcpu, const struct lm_slot *slot, u64 gfn)
{
	if (unlikely(slot->dirty))
		lm_slot_log(vcpu, slot, gfn);
}

/* ---- notifier.c ---- */
extern const struct mmu_notifier_ops lm_notifier_ops;
void lm_inv_begin(struct lm_mem *mem, unsigned long start, unsigned long end);
void lm_inv_end(struct lm_mem *mem);
void lm_inv_wait(struct lm_mem *mem);
void lm_zap_hva(struct lm_zap *z, unsigned long start, unsigned long end);

/*
 * Is an invalidation over [start, end) under way?  Lock-free: one that began
 * before our claim is seen in full, since it wrote its range and count before
 * it zapped and the range only grows while count is not 0.  One that began
 * later is perhaps seen torn, but it zaps our claim.
 */
static inline bool lm_inv_covers(struct lm_mem *mem, unsigned long start, unsigned long end)
{
	if (likely(!READ_ONCE(mem->inv_count)))
		return false;
	smp_rmb();	/* pairs with lm_inv_begin(): the range is written before the count */
	return start < READ_ONCE(mem->inv_end) && end > READ_ONCE(mem->inv_start);
}

/* ---- apic_page.c ---- */
#define LM_APIC_GFN	(APIC_DEFAULT_PHYS_BASE >> PAGE_SHIFT)

int lm_apic_page_init(struct lm_mem *mem);
void lm_apic_page_free(struct lm_mem *mem);
int lm_apic_page_fault(struct lm_vcpu *vcpu);

/* ---- flush.c ---- */
int lm_flush_init(struct lm_flush *flush);
void lm_flush_free(struct lm_flush *flush);
int lm_tlb_init(struct lm_vcpu *vcpu);
void lm_tlb_free(struct lm_vcpu *vcpu);
void lm_tlb_note(struct lm_vcpu *vcpu, u64 gfn, u64 leaf, int level);
const char *lm_tlb_look(struct lm_vcpu *vcpu, u32 tag, enum lm_flush_how did);

#endif
