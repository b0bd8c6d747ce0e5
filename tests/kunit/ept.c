// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: nested page faults and zaps, one by one and against each other.
 */
#include <linux/prandom.h>

#include "fixture.h"

#define GFN	0x400u		/* 4 MiB: aligned to 2 MiB, as T_HVA is */

static void map_and_upgrade(struct kunit *test)
{
	struct t_vm *t = test->priv;
	struct lm_pos pos;
	u64 gen;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	t->flags[3] = T_RO;
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 3, false), (int)LM_DONE);
	pos = t_leaf(t, GFN + 3);
	KUNIT_EXPECT_EQ(test, pos.level, 1);
	KUNIT_EXPECT_EQ(test, pos.val, ((T_PFN + 3) << PAGE_SHIFT) | 0x25);
	/* One read-only page does not make its neighbour anything. */
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 2).val, 0ull);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 4).val, 0ull);

	/* A write to what the host holds read-only: ask the host, leave the leaf. */
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 3, true), (int)LM_NEED);
	KUNIT_EXPECT_EQ(test, t->vcpu[0]->need.hva, T_HVA + 3 * PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, t->vcpu[0]->need.write);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 3).val, pos.val);

	/* Writable but clean is not enough. */
	t->flags[3] = T_CLEAN;
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 3, true), (int)LM_NEED);
	t->flags[3] = T_RW;
	gen = atomic64_read(&t->vm.mem.flush.gen);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 3, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 3).val, ((T_PFN + 3) << PAGE_SHIFT) | 0x67);
	/* More rights need no flush. */
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&t->vm.mem.flush.gen), gen);
	/* The other vCPU's fault of the same moment is spurious. */
	KUNIT_EXPECT_EQ(test, t_fault(t, 1, GFN + 3, true), (int)LM_DONE);
}

static void absent_and_mmio(struct kunit *test)
{
	struct t_vm *t = test->priv;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, 16, T_HVA, 0), 0);
	KUNIT_ASSERT_EQ(test, t_slot(t, 1, GFN + 16, 16, T_HVA, KVM_MEM_READONLY), 0);
	t->flags[5] = 0;
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 5, false), (int)LM_NEED);
	KUNIT_EXPECT_EQ(test, t->vcpu[0]->need.hva, T_HVA + 5 * PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, t->vcpu[0]->need.write);
	/* With the table in place it is the claim that has to be undone. */
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 4, false), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 5, false), (int)LM_NEED);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 5).val, 0ull);
	/* PROT_NONE of NUMA balancing: not present, though the pfn is there. */
	t->flags[5] = _PAGE_PROTNONE | _PAGE_USER;
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 5, false), (int)LM_NEED);

	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN - 1, false), (int)LM_USER);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 32, true), (int)LM_USER);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, ~0ull >> PAGE_SHIFT, true), (int)LM_USER);

	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 16, true), (int)LM_USER);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 16, false), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 16).val & 2, 0ull);
	t->vm.mem.dead = true;
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN, false), -EIO);
}

static void large_pages(struct kunit *test)
{
	struct t_vm *t = test->priv;
	struct lm_pos pos;

	t_map(t, 0, T_PAGES, T_RW | _PAGE_PSE, 2);
	/* Frames 0x300 to 0xaff over 2 MiB pages that begin at T_HVA, congruent modulo 2 MiB: the edges stay small. */
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, 0x300, 1024, T_HVA + 256 * PAGE_SIZE, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x301, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x301).level, 1);
	KUNIT_EXPECT_EQ(test, t_leaf_pfn(t, 0x301), T_PFN + 257);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x437, true), (int)LM_DONE);
	pos = t_leaf(t, 0x437);
	KUNIT_EXPECT_EQ(test, pos.level, 2);
	KUNIT_EXPECT_EQ(test, pos.val, ((T_PFN + 512) << PAGE_SHIFT) | 0xe7);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x6ff, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x6ff).level, 1);

	/* Not congruent: small everywhere, and the right frames. */
	KUNIT_ASSERT_EQ(test, t_slot(t, 1, 0x1000, 1024, T_HVA + PAGE_SIZE, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x1001, false), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x1001).level, 1);
	KUNIT_EXPECT_EQ(test, t_leaf_pfn(t, 0x1001), T_PFN + 2);

	/* A host page of 1 GiB in a smaller slot gives 2 MiB. */
	t_map(t, 0, T_PAGES, T_RW | _PAGE_PSE, 3);
	KUNIT_ASSERT_EQ(test, t_slot(t, 2, 0x2000, 1024, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x2201, false), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x2201).level, 2);
	KUNIT_EXPECT_EQ(test, t_leaf_pfn(t, 0x2201), T_PFN + 513);
}

static void huge_page(struct kunit *test)
{
	struct t_vm *t = test->priv;
	u64 pages = lm_level_pages(3);

	t_map(t, 0, T_PAGES, T_RW | _PAGE_PSE, 3);
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, pages, pages, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, pages + 77, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, pages).level, 3);
	/* T_PFN is aligned to 1 GiB. */
	KUNIT_EXPECT_EQ(test, t_leaf_pfn(t, pages + 77), T_PFN + 77);
	t_inv_start(t, 0, 1);
	KUNIT_EXPECT_EQ(test, t_leaf(t, pages).val, 0ull);
	t_inv_end(t);
	/* A CPU without 1 GiB pages. */
	t->vm.mem.large_levels = 2;
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, pages + 77, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, pages + 77).level, 2);
}

static void memory_types(struct kunit *test)
{
	struct t_vm *t = test->priv;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	t->flags[1] = T_RW | _PAGE_PCD | _PAGE_PWT | _PAGE_PAT;
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 1, false), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 1).val & 0xfff, 0xffull);
	/* In a large entry PAT is bit 12; bit 7 says large. */
	t_map(t, 512, 512, T_RW | _PAGE_PSE | _PAGE_PAT_LARGE, 2);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 515, false), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 515).val & 0x1fff, 0x10e7ull);
	/* A large host page cut to 4K moves PAT to bit 7. */
	t_map(t, 0, 512, T_RW | _PAGE_PSE | _PAGE_PAT_LARGE | _PAGE_PWT, 2);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, false), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 2).level, 1);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 2).val & 0x1fff & ~(T_PFN << PAGE_SHIFT), 0xefull);
}

static void table_limits(struct kunit *test)
{
	struct t_vm *t = test->priv;
	struct lm_mem_cpu *mc = &t->vcpu[0]->mem;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	lm_tables_drop(mc);
	KUNIT_EXPECT_EQ(test, lm_mem_fault(t->vcpu[0], (u64)GFN << PAGE_SHIFT, false, false),
			(int)LM_NEED);
	KUNIT_EXPECT_TRUE(test, mc->need_tables);
	mc->need_tables = false;
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->vm.mem.table_pages), 1l);
	t->vm.mem.max_table_pages = 3;
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN, false), -ENOMEM);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->vm.mem.table_pages), 3l);
	t->vm.mem.max_table_pages = 4;
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN, false), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->vm.mem.table_pages), 4l);
}

/* ---- zaps ---- */

static void zap_and_collapse(struct kunit *test)
{
	struct t_vm *t = test->priv;
	long tables;
	int i;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	for (i = 0; i < 1024; i++)
		KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + i, true), (int)LM_DONE);
	tables = atomic_long_read(&t->vm.mem.table_pages);
	KUNIT_EXPECT_EQ(test, tables, 5l);

	t->flushes = 0;
	t_inv_start(t, 7, 3);
	t_inv_end(t);
	KUNIT_EXPECT_EQ(test, t->flushes, 1);
	for (i = 0; i < 16; i++)
		KUNIT_EXPECT_EQ(test, !t_leaf(t, GFN + i).val, i >= 7 && i < 10);
	/* Nothing there: nothing to flush. */
	t_inv_start(t, 7, 3);
	t_inv_end(t);
	KUNIT_EXPECT_EQ(test, t->flushes, 1);

	/* The host collapses the first 2 MiB: the table goes, the next fault maps large. */
	t_inv_start(t, 0, 512);
	t_map(t, 0, 512, T_RW | _PAGE_PSE, 2);
	t_inv_end(t);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->vm.mem.table_pages), tables - 1);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 9, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 9).level, 2);
	KUNIT_EXPECT_TRUE(test, t_leaf(t, GFN + 512).val);

	/* The host splits it again, all of it or for one page. */
	t_inv_start(t, 100, 1);
	t_map(t, 0, 512, T_RW, 1);
	t_inv_end(t);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 9).val, 0ull);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 9, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 9).level, 1);

	/* All: only the root is left. */
	t_inv_start(t, 0, T_PAGES);
	t_inv_end(t);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 600).val, 0ull);
}

/* Who finds a leaf gone whose zapper has not flushed must flush himself. */
static void second_zapper(struct kunit *test)
{
	struct t_vm *t = test->priv;
	struct lm_zap first = { .vm = &t->vm };

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN, true), (int)LM_DONE);
	lm_zap_range(&first, GFN, GFN + 1);
	KUNIT_EXPECT_EQ(test, t->flushes, 0);
	t_inv_start(t, 0, 1);
	KUNIT_EXPECT_EQ(test, t->flushes, 1);
	t_inv_end(t);
	lm_zap_finish(&first);
	KUNIT_EXPECT_EQ(test, t->flushes, 2);
	t_inv_start(t, 0, 1);
	t_inv_end(t);
	KUNIT_EXPECT_EQ(test, t->flushes, 2);
}

/* A table that is unlinked while another zapper takes what hangs below it. */
static void nested_unlink(struct kunit *test)
{
	struct t_vm *t = test->priv;
	struct lm_zap outer = { .vm = &t->vm };
	struct lm_zap inner = { .vm = &t->vm };
	u64 gfn = lm_level_pages(3);
	u64 *pmd_table;
	struct lm_pos pos;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, gfn, T_PAGES, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, gfn, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, gfn + 512, true), (int)LM_DONE);
	pos = t_leaf(t, gfn);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->vm.mem.table_pages), 5l);
	lm_zap_range(&inner, gfn, gfn + 512);
	lm_zap_range(&outer, gfn, 2 * gfn);
	pmd_table = t_leaf(t, gfn).entry;
	KUNIT_EXPECT_EQ(test, *pmd_table, 0ull);
	/* The detached leaf can still be reached by CPUs: it is there until the flush. */
	KUNIT_EXPECT_TRUE(test, *pos.entry);
	lm_zap_finish(&outer);
	lm_zap_finish(&inner);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->vm.mem.table_pages), 2l);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, gfn, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf_pfn(t, gfn), T_PFN);
}

static void accessed_bits(struct kunit *test)
{
	struct t_vm *t = test->priv;
	struct lm_mem *mem = &t->vm.mem;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	KUNIT_EXPECT_FALSE(test, lm_tree_age(mem, GFN, GFN + 8, true));
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 4, true), (int)LM_DONE);
	KUNIT_EXPECT_TRUE(test, lm_tree_age(mem, GFN, GFN + 8, false));
	KUNIT_EXPECT_TRUE(test, lm_tree_age(mem, GFN + 4, GFN + 5, true));
	KUNIT_EXPECT_FALSE(test, lm_tree_age(mem, GFN, GFN + 8, true));
	/* Nothing but the bit has changed. */
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 4).val, ((T_PFN + 4) << PAGE_SHIFT) | 0x47);
	KUNIT_EXPECT_EQ(test, t->flushes, 0);
}

/* ---- races, staged in the middle of a fault ---- */

static void hook_invalidate(struct t_vm *t)
{
	t_inv_start(t, 2, 1);
	t->pfn[2] = T_PFN + 0x999;
	t_inv_end(t);
}

static void race_invalidate(struct kunit *test)
{
	struct t_vm *t = test->priv;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN, false), (int)LM_DONE);
	t_hook(t, hook_invalidate, 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, true), (int)LM_AGAIN);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 2).val, 0ull);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf_pfn(t, GFN + 2), T_PFN + 0x999);
}

static void hook_overtake(struct t_vm *t)
{
	hook_invalidate(t);
	t_fault(t, 1, GFN + 2, false);
}

/* The claim is lost, and another vCPU's answer stands at its place: it must stay. */
static void race_overtaken(struct kunit *test)
{
	struct t_vm *t = test->priv;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN, false), (int)LM_DONE);
	t_hook(t, hook_overtake, 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, true), (int)LM_AGAIN);
	KUNIT_EXPECT_EQ(test, t_leaf_pfn(t, GFN + 2), T_PFN + 0x999);
}

static void hook_see_claim(struct t_vm *t)
{
	t->seen = t_leaf(t, GFN + 2).val;
}

/* Another vCPU got as far as its own claim. */
static void hook_overtaking_claim(struct t_vm *t)
{
	hook_invalidate(t);
	t_hook(t, hook_see_claim, 0);
	t_fault(t, 1, GFN + 2, true);
	WRITE_ONCE(*t_leaf(t, GFN + 2).entry, t->seen);
}

/* Two claims of one leaf differ: the first vCPU must not fill the second's. */
static void race_claims(struct kunit *test)
{
	struct t_vm *t = test->priv;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN, false), (int)LM_DONE);
	t_hook(t, hook_overtaking_claim, 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, true), (int)LM_AGAIN);
	KUNIT_EXPECT_TRUE(test, lm_entry_pending(&t->vm.mem, t->seen));
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 2).val, t->seen);
	/* Who meets another's claim lets it be. */
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 2).val, t->seen);
	t_inv_start(t, 0, 512);
	t_inv_end(t);
}

/* A claim on a present leaf hides a translation that TLBs hold: zapping it must flush. */
static void race_upgrade(struct kunit *test)
{
	struct t_vm *t = test->priv;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	t->flags[2] = T_RO;
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, false), (int)LM_DONE);
	t->flags[2] = T_RW;
	t_hook(t, hook_invalidate, 0);
	t->flushes = 0;
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, true), (int)LM_AGAIN);
	KUNIT_EXPECT_EQ(test, t->flushes, 1);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 2).val, 0ull);
}

static void under_invalidation(struct kunit *test)
{
	struct t_vm *t = test->priv;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN, false), (int)LM_DONE);
	t_inv_start(t, 10, 5);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 9, false), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 10, false), (int)LM_NEED);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 14, false), (int)LM_NEED);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 15, false), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 10).val, 0ull);
	/* To wait for, not to fault in. */
	KUNIT_EXPECT_TRUE(test, t->vcpu[0]->mem.need_wait);
	/* A second one: the union of both until the last is done. */
	t_inv_start(t, 600, 1);
	t_inv_end(t);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 10, false), (int)LM_NEED);
	t_inv_end(t);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 10, false), (int)LM_DONE);
	/* A large page that touches the range anywhere. */
	t_map(t, 512, 512, T_RW | _PAGE_PSE, 2);
	t_inv_start(t, 1023, 1);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 512, false), (int)LM_NEED);
	t_inv_end(t);
}

static void hook_delete_slot(struct t_vm *t)
{
	t_slot(t, 0, GFN, 0, T_HVA, 0);
}

static void hook_readd_slot(struct t_vm *t)
{
	t_slot(t, 0, GFN, 0, T_HVA, 0);
	t_slot(t, 0, GFN, T_PAGES, T_HVA + PAGE_SIZE, 0);
}

/* The slot goes while a fault in it is half done: in the claim, and before it (first host walk). */
static void race_slot(struct kunit *test)
{
	struct t_vm *t = test->priv;
	int skip;

	for (skip = 0; skip < 2; skip++) {
		KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
		t_hook(t, hook_delete_slot, skip);
		/*
		 * In the second round the whole table is unlinked with the claim in
		 * it, which may then be filled: nothing leads there any more.
		 */
		KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, true), (int)(skip ? LM_DONE : LM_AGAIN));
		KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 2).val, 0ull);
		KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, true), (int)LM_USER);
		/* The deletion would wait for the fault and take the tables that it made; in a hook it cannot. */
		KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
		KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, 0, T_HVA, 0), 0);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&t->vm.mem.table_pages), 1l);
	}
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	t_hook(t, hook_readd_slot, 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, true), (int)LM_AGAIN);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf_pfn(t, GFN + 2), T_PFN + 3);
}

static void hook_split(struct t_vm *t)
{
	t_inv_start(t, 0, 512);
	t_map(t, 0, 512, T_RW, 1);
	t_inv_end(t);
}

/* The host's page shrinks between the hint and the claim: no large leaf may result. */
static void race_split(struct kunit *test)
{
	struct t_vm *t = test->priv;
	int skip;

	for (skip = 0; skip < 2; skip++) {
		KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
		t_map(t, 0, 512, T_RW | _PAGE_PSE, 2);
		t_hook(t, hook_split, skip);
		KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, true), (int)LM_AGAIN);
		KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 2).val, 0ull);
		KUNIT_EXPECT_EQ(test, t_fault(t, 0, GFN + 2, true), (int)LM_DONE);
		KUNIT_EXPECT_EQ(test, t_leaf(t, GFN + 2).level, 1);
		KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, 0, T_HVA, 0), 0);
	}
}

/* ---- random sequences ---- */

static struct rnd_state t_rnd;

static u32 t_random(u32 n)
{
	return prandom_u32_state(&t_rnd) % n;
}

/* The host changes something, around it an invalidation as it has to be. */
static void random_change(struct t_vm *t)
{
	static const u64 flags[] = { 0, T_RO, T_CLEAN, T_RW, T_RW };
	u64 f = flags[t_random(ARRAY_SIZE(flags))];
	u32 first = t_random(T_PAGES), n = 1 + t_random(16), i;

	if (t_random(4) == 0) {
		first &= ~511u;
		n = 512;
	}
	n = min(n, T_PAGES - first);
	/* A change to a part of a large page splits it. */
	if (n < 512) {
		u32 lo = first & ~511u, hi = ((first + n - 1) | 511) + 1;

		t_inv_start(t, lo, hi - lo);
		for (i = lo; i < hi; i++) {
			t->level[i] = 1;
			t->flags[i] &= ~_PAGE_PSE;
		}
		t_inv_end(t);
	}
	t_inv_start(t, first, n);
	if (n == 512 && f && t_random(2)) {
		t_map(t, first, n, f | _PAGE_PSE, 2);
		for (i = first; i < first + n; i++)
			t->pfn[i] = T_PFN + i;
	} else {
		t_map(t, first, n, f, 1);
		for (i = first; i < first + n; i++)
			t->pfn[i] = T_PFN + 0x10000 + t_random(0x10000);
	}
	t_inv_end(t);
}

/* Whatever the tree maps, the host maps the same, with at least its rights. */
static u32 tree_lies(struct t_vm *t, u64 gfn, u64 pages, u32 offset)
{
	u32 lies = 0;
	u64 i;

	for (i = 0; i < pages; i++) {
		struct lm_pos pos = t_leaf(t, gfn + i);
		u32 h = i + offset;

		if (!(pos.val & 1))
			continue;
		lies += !(t->flags[h] & _PAGE_PRESENT) || t_leaf_pfn(t, gfn + i) != t->pfn[h] ||
			pos.level > t->level[h] ||
			((pos.val & 2) && (t->flags[h] & T_RW) != T_RW);
	}
	return lies;
}

static void random_faults(struct kunit *test)
{
	struct t_vm *t = test->priv;
	u32 round, done = 0;

	prandom_seed_state(&t_rnd, 0x1a41);
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, T_PAGES, T_HVA, 0), 0);
	/* The same memory once more elsewhere, shifted: no large pages there. */
	KUNIT_ASSERT_EQ(test, t_slot(t, 1, 0x10000, T_PAGES - 1, T_HVA + PAGE_SIZE, 0), 0);
	for (round = 0; round < 4000; round++) {
		u32 page = t_random(T_PAGES - 1);
		u64 gfn = t_random(2) ? GFN + page : 0x10000 + page;

		if (t_random(4) == 0)
			t_hook(t, random_change, t_random(2));
		else if (t_random(8) == 0)
			random_change(t);
		done += t_fault(t, t_random(T_VCPUS), gfn, t_random(2)) == LM_DONE;
		t->hook = NULL;
		if (round % 64 == 0) {
			KUNIT_EXPECT_EQ(test, tree_lies(t, GFN, T_PAGES, 0), 0u);
			KUNIT_EXPECT_EQ(test, tree_lies(t, 0x10000, T_PAGES - 1, 1), 0u);
		}
	}
	KUNIT_EXPECT_GT(test, done, 500u);
	KUNIT_EXPECT_EQ(test, t->vm.mem.inv_count, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->vm.mem.flush.unflushed), 0);
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, GFN, 0, T_HVA, 0), 0);
	KUNIT_ASSERT_EQ(test, t_slot(t, 1, 0x10000, 0, T_HVA, 0), 0);
	/* No slot, no table but the root. */
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->vm.mem.table_pages), 1l);
}

static struct kunit_case ept_cases[] = {
	KUNIT_CASE(map_and_upgrade),
	KUNIT_CASE(absent_and_mmio),
	KUNIT_CASE(large_pages),
	KUNIT_CASE(huge_page),
	KUNIT_CASE(memory_types),
	KUNIT_CASE(table_limits),
	KUNIT_CASE(zap_and_collapse),
	KUNIT_CASE(second_zapper),
	KUNIT_CASE(nested_unlink),
	KUNIT_CASE(accessed_bits),
	KUNIT_CASE(race_invalidate),
	KUNIT_CASE(race_overtaken),
	KUNIT_CASE(race_claims),
	KUNIT_CASE(race_upgrade),
	KUNIT_CASE(under_invalidation),
	KUNIT_CASE(race_slot),
	KUNIT_CASE(race_split),
	KUNIT_CASE(random_faults),
	{}
};

static struct kunit_suite lm_ept_suite = {
	.name = "lamina-ept",
	.init = t_init,
	.exit = t_exit,
	.test_cases = ept_cases,
};
kunit_test_suite(lm_ept_suite);
