// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: memory slots and the dirty log.
 */
#include "fixture.h"

static struct lm_slots *t_slots(struct t_vm *t)
{
	return rcu_dereference_protected(t->vm.mem.slots, 1);
}

static struct lm_slot *t_search(struct t_vm *t, u64 gfn)
{
	return lm_slot_find(t->vcpu[0], t_slots(t), gfn);
}

static void refusals(struct kunit *test)
{
	static const struct {
		struct kvm_userspace_memory_region r;
		int ret;
	} cases[] = {
		{ { 0, 0, 0x1000, 0x1000, T_HVA }, 0 },
		{ { 1, 0, 0x2001, 0x1000, T_HVA }, -EINVAL },
		{ { 1, 0, 0x2000, 0x1800, T_HVA }, -EINVAL },
		{ { 1, 0, 0x2000, 0x1000, T_HVA + 1 }, -EINVAL },
		{ { 1, 4, 0x2000, 0x1000, T_HVA }, -EINVAL },		/* unknown flag */
		{ { 1, ~0u, 0x2000, 0x1000, T_HVA }, -EINVAL },
		{ { LM_MAX_SLOTS, 0, 0x2000, 0x1000, T_HVA }, -EINVAL },
		{ { 1 << 16, 0, 0x2000, 0x1000, T_HVA }, -EINVAL },	/* another address space */
		{ { 1, 0, ~0xfffull, 0x1000, T_HVA }, -EINVAL },	/* wraps */
		{ { 1, 0, ~0xfffull, 0x2000, T_HVA }, -EINVAL },
		{ { 1, 0, 0x2000, ~0xfffull, T_HVA }, -EINVAL },
		{ { 1, 0, 0x2000, 0x1000, ~0xfffull }, -EINVAL },	/* user addresses of the kernel */
		{ { 1, 0, 0x2000, 0x1000, 1ull << 47 }, -EINVAL },
		{ { 1, 0, 0x2000, 0x1000, 0xffff888000000000ull }, -EINVAL },
		{ { 1, 0, 0, 1ull << 43, 0 }, -EINVAL },		/* too many pages */
		{ { 1, 0, 1ull << 48, 0x1000, T_HVA }, -EINVAL },	/* beyond physical addresses */
		{ { 1, 0, (1ull << 48) - 0x1000, 0x1000, T_HVA }, 0 },
		{ { 1, 0, 0, 0, 0 }, 0 },				/* delete it */
		{ { 1, 0, 0, 0, 0 }, -EINVAL },				/* there is none */
		{ { 2, 0, 0x1000, 0x1000, T_HVA }, -EEXIST },
		{ { 2, 0, 0, 0x2000, T_HVA }, -EEXIST },
		{ { 2, 0, 0, 0x100000, T_HVA }, -EEXIST },
		{ { 2, 0, 0, 0x1000, T_HVA }, 0 },			/* touching is fine */
		{ { 0, 0, 0x1000, 0x1000, T_HVA }, 0 },			/* nothing new */
		{ { 0, 0, 0x1000, 0x2000, T_HVA }, -EINVAL },		/* other size */
		{ { 0, 0, 0x1000, 0x1000, T_HVA + 0x1000 }, -EINVAL },	/* other memory */
		{ { 0, KVM_MEM_READONLY, 0x1000, 0x1000, T_HVA }, -EINVAL },
		{ { 0, 0, 0, 0x1000, T_HVA }, -EEXIST },		/* moved onto another */
		{ { 0, KVM_MEM_LOG_DIRTY_PAGES, 0x1000, 0x1000, T_HVA }, 0 },
		{ { 0, 0, 0x5000, 0x1000, T_HVA }, 0 },			/* moved */
	};
	struct t_vm *t = test->priv;
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		u32 nr = t_slots(t)->nr;
		int ret = lm_mem_set_slot(&t->vm, &cases[i].r);

		KUNIT_EXPECT_EQ_MSG(test, ret, cases[i].ret, "case %d", i);
		if (ret)
			KUNIT_EXPECT_EQ(test, t_slots(t)->nr, nr);
	}
	KUNIT_EXPECT_EQ(test, t_slots(t)->nr, 2u);
	KUNIT_EXPECT_TRUE(test, t_search(t, 5) && !t_search(t, 5)->dirty);
	KUNIT_EXPECT_PTR_EQ(test, t_search(t, 1), (struct lm_slot *)NULL);
}

/* As many as there may be, made in an odd order; then removed in another. */
static void many(struct kunit *test)
{
	struct t_vm *t = test->priv;
	struct lm_slots *s;
	u32 i, id;

	for (i = 0; i < LM_MAX_SLOTS; i++) {
		id = i * 201 % LM_MAX_SLOTS;
		KUNIT_ASSERT_EQ(test, t_slot(t, id, 16 + 4 * id, 1 + id % 4, T_HVA + id * 0x10000ul,
					     0), 0);
	}
	s = t_slots(t);
	KUNIT_EXPECT_EQ(test, s->nr, (u32)LM_MAX_SLOTS);
	KUNIT_EXPECT_EQ(test, s->hva_min, T_HVA);
	KUNIT_EXPECT_EQ(test, s->hva_max, T_HVA + (LM_MAX_SLOTS - 1) * 0x10000ul + 0x4000);
	for (i = 1; i < s->nr; i++)
		KUNIT_EXPECT_GE(test, s->slot[i].gfn, s->slot[i - 1].gfn + s->slot[i - 1].npages);
	for (i = 0; i < 4 * LM_MAX_SLOTS + 32; i++) {
		struct lm_slot *slot = t_search(t, i);
		bool in = i >= 16 && i < 16 + 4 * LM_MAX_SLOTS && i % 4 <= (i - 16) / 4 % 4;

		KUNIT_EXPECT_EQ_MSG(test, !!slot, in, "gfn %u", i);
		if (slot)
			KUNIT_EXPECT_EQ(test, slot->id, (i - 16) / 4);
	}
	for (i = 0; i < LM_MAX_SLOTS; i++) {
		id = i * 77 % LM_MAX_SLOTS;
		KUNIT_ASSERT_EQ(test, t_slot(t, id, 0, 0, 0, 0), 0);
		KUNIT_EXPECT_PTR_EQ(test, t_search(t, 16 + 4 * id), (struct lm_slot *)NULL);
	}
	KUNIT_EXPECT_EQ(test, t_slots(t)->nr, 0u);
	KUNIT_EXPECT_EQ(test, t_slots(t)->hva_max, 0ul);
}

/* Moves must not leave tables behind, or the bound would be reached one day. */
static void moves(struct kunit *test)
{
	struct t_vm *t = test->priv;
	int i;

	KUNIT_ASSERT_EQ(test, t_slot(t, 1, 0, 16, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 3, true), (int)LM_DONE);
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, 0x100000, 16, T_HVA, 0), 0);
	for (i = 1; i < 200; i++) {
		u64 gfn = 0x100000 + i * 0x40000ull;

		KUNIT_EXPECT_EQ(test, t_fault(t, 0, gfn - 0x40000 + 5, true), (int)LM_DONE);
		KUNIT_ASSERT_EQ(test, t_slot(t, 0, gfn, 16, T_HVA, 0), 0);
		KUNIT_EXPECT_EQ(test, t_fault(t, 0, gfn - 0x40000 + 5, true), (int)LM_USER);
		KUNIT_EXPECT_LE(test, atomic_long_read(&t->vm.mem.table_pages), 6l);
	}
	/* By less than its size: the part that stays is another page now. */
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, 0x100000, 16, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x100008, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf_pfn(t, 0x100008), T_PFN + 8);
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, 0x100004, 16, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x100008, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf_pfn(t, 0x100008), T_PFN + 4);
	/* The neighbour kept what it had. */
	KUNIT_EXPECT_EQ(test, t_leaf_pfn(t, 3), T_PFN + 3);
}

static void deletion(struct kunit *test)
{
	struct t_vm *t = test->priv;
	struct lm_slots *held;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, 0x400, 512, T_HVA, 0), 0);
	KUNIT_ASSERT_EQ(test, t_slot(t, 1, 0x600, 512, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x5ff, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x600, true), (int)LM_DONE);
	held = lm_slots_get(&t->vm.mem.slots);
	t->flushes = 0;
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, 0, 0, 0, 0), 0);
	KUNIT_EXPECT_GE(test, t->flushes, 1);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x5ff).val, 0ull);
	KUNIT_EXPECT_TRUE(test, t_leaf(t, 0x600).val);
	/* Who took a reference may go on reading. */
	KUNIT_EXPECT_EQ(test, held->nr, 2u);
	lm_slots_put(held);
	/* Creating needs no flush. */
	t->flushes = 0;
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, 0x400, 512, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t->flushes, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&t->vm.mem.table_pages), 4l);
}

/* ---- dirty log ---- */

static bool t_dirty(struct t_vm *t, u64 gfn)
{
	struct lm_slot *slot = t_search(t, gfn);

	return test_bit(gfn - slot->gfn, slot->dirty);
}

static void dirty_log(struct kunit *test)
{
	struct t_vm *t = test->priv;
	struct lm_zap z = { .vm = &t->vm };

	t_map(t, 0, 512, T_RW | _PAGE_PSE, 2);
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, 0x400, 1024, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x401, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x601, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x401).level, 2);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x601).level, 1);

	/* On: large leaves go, small ones lose their write bit, TLBs are flushed. */
	t->flushes = 0;
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, 0x400, 1024, T_HVA, KVM_MEM_LOG_DIRTY_PAGES), 0);
	KUNIT_EXPECT_GE(test, t->flushes, 1);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x401).val, 0ull);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x601).val, ((T_PFN + 513) << PAGE_SHIFT) | 0x25);

	/* A read maps without the right to write, though the host has it; a write is logged. */
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x402, false), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x402).level, 1);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x402).val & 2, 0ull);
	KUNIT_EXPECT_FALSE(test, t_dirty(t, 0x402));
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x402, true), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x402).val & 2, 2ull);
	KUNIT_EXPECT_TRUE(test, t_dirty(t, 0x402));
	KUNIT_EXPECT_FALSE(test, t_dirty(t, 0x403));

	/* What the log's reader does for a page: afterwards a write is seen again. */
	clear_bit(2, t_search(t, 0x402)->dirty);
	t->flushes = 0;
	lm_zap_write(&z, 0x402, 0x403);
	lm_zap_finish(&z);
	KUNIT_EXPECT_EQ(test, t->flushes, 1);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x402).val & 0x43, 1ull);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x402, true), (int)LM_DONE);
	KUNIT_EXPECT_TRUE(test, t_dirty(t, 0x402));

	/* Off: large pages come back. */
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, 0x400, 1024, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x402, false), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x402).level, 2);
}

static void hook_read_log(struct t_vm *t)
{
	struct lm_zap z = { .vm = &t->vm };

	bitmap_zero(t_search(t, 0x400)->dirty, 1024);
	lm_zap_write(&z, 0x402, 0x403);
	lm_zap_finish(&z);
}

static void hook_log_on(struct t_vm *t)
{
	t_slot(t, 0, 0x400, 1024, T_HVA, KVM_MEM_LOG_DIRTY_PAGES);
}

/* A page is never writable without its bit, whenever the log is read or begun. */
static void dirty_races(struct kunit *test)
{
	struct t_vm *t = test->priv;
	int r;

	KUNIT_ASSERT_EQ(test, t_slot(t, 0, 0x400, 1024, T_HVA, 0), 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x400, false), (int)LM_DONE);
	t_hook(t, hook_log_on, 0);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x402, true), (int)LM_AGAIN);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x402).val, 0ull);
	t_hook(t, hook_read_log, 0);
	r = t_fault(t, 0, 0x402, true);
	KUNIT_EXPECT_EQ(test, r, (int)LM_AGAIN);
	KUNIT_EXPECT_EQ(test, t_leaf(t, 0x402).val & 2, 0ull);
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 0x402, true), (int)LM_DONE);
	KUNIT_EXPECT_TRUE(test, t_dirty(t, 0x402));
}

static struct kunit_case slots_cases[] = {
	KUNIT_CASE(refusals),
	KUNIT_CASE(many),
	KUNIT_CASE(moves),
	KUNIT_CASE(deletion),
	KUNIT_CASE(dirty_log),
	KUNIT_CASE(dirty_races),
	{}
};

static struct kunit_suite lm_slots_suite = {
	.name = "lamina-slots",
	.init = t_init,
	.exit = t_exit,
	.test_cases = slots_cases,
};
kunit_test_suite(lm_slots_suite);
