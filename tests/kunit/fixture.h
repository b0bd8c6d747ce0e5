/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM for tests of guest memory: the real slots, tree and faults over a host
 * page table that the test makes up.  A hook runs while a fault reads that
 * table, which is the middle of its protocol: there the races are staged.
 */
#ifndef LM_TEST_FIXTURE_H
#define LM_TEST_FIXTURE_H

#include <kunit/test.h>
#include <linux/slab.h>

#include "ept/tree.h"

#define T_HVA		0x40000000ul
#define T_PAGES		2048u		/* 8 MiB */
#define T_PFN		0x100000ull
#define T_VCPUS		2

#define T_RO		(_PAGE_PRESENT | _PAGE_USER)
#define T_CLEAN		(T_RO | _PAGE_RW)
#define T_RW		(T_CLEAN | _PAGE_DIRTY)

struct t_vm {
	struct lm_vm vm;
	struct lm_vcpu *vcpu[T_VCPUS];
	u64 flags[T_PAGES];	/* host entry of each page: T_*, cache bits; 0 absent */
	u64 pfn[T_PAGES];
	u8 level[T_PAGES];
	void (*hook)(struct t_vm *t);
	int hook_skip;		/* host walks before the hook runs, once */
	int flushes;
	u64 seen;		/* for hooks to leave something for the test */
};

static inline bool t_host(struct lm_mem *mem, unsigned long hva, struct lm_host_page *hp)
{
	struct t_vm *t = container_of(mem, struct t_vm, vm.mem);
	unsigned long i = (hva - T_HVA) >> PAGE_SHIFT;

	if (i < T_PAGES)
		*hp = (struct lm_host_page){ t->flags[i], t->pfn[i], t->level[i] };
	else
		*hp = (struct lm_host_page){ };
	/* After the read: what the fault knows is out of date. */
	if (t->hook && !t->hook_skip--) {
		void (*hook)(struct t_vm *t) = t->hook;

		t->hook = NULL;
		hook(t);
	}
	return hp->val;
}

static inline void t_flush(struct lm_mem *mem)
{
	container_of(mem, struct t_vm, vm.mem)->flushes++;
}

static inline void t_map(struct t_vm *t, u32 first, u32 n, u64 flags, u8 level)
{
	u32 i;

	for (i = first; i < first + n; i++) {
		t->flags[i] = flags;
		t->level[i] = level;
	}
}

static inline void t_hook(struct t_vm *t, void (*hook)(struct t_vm *t), int skip)
{
	t->hook_skip = skip;
	t->hook = hook;
}

static inline int t_slot(struct t_vm *t, u32 id, u64 gfn, u64 pages, unsigned long hva, u32 flags)
{
	struct kvm_userspace_memory_region r = {
		.slot = id, .flags = flags, .guest_phys_addr = gfn << PAGE_SHIFT,
		.memory_size = pages << PAGE_SHIFT, .userspace_addr = hva,
	};

	return lm_mem_set_slot(&t->vm, &r);
}

/* A fault with the page cache of the vCPU kept full. */
static inline int t_fault(struct t_vm *t, int vcpu, u64 gfn, bool write)
{
	lm_tables_fill(&t->vcpu[vcpu]->mem, 0);
	return lm_mem_fault(t->vcpu[vcpu], gfn << PAGE_SHIFT, write, false);
}

static inline struct lm_pos t_leaf(struct t_vm *t, u64 gfn)
{
	struct lm_pos pos;

	lm_tree_find(&t->vm.mem, gfn, &pos);
	return pos;
}

static inline u64 t_leaf_pfn(struct t_vm *t, u64 gfn)
{
	struct lm_pos pos = t_leaf(t, gfn);
	u64 pages = lm_level_pages(pos.level);

	return (((pos.val & GENMASK_ULL(51, 12)) >> PAGE_SHIFT) & ~(pages - 1)) | (gfn & (pages - 1));
}

/* What the host does around a change of its page table. */
static inline void t_inv_start(struct t_vm *t, u32 first, u32 n)
{
	struct lm_zap z = { .vm = &t->vm };
	unsigned long start = T_HVA + first * PAGE_SIZE;

	lm_inv_begin(&t->vm.mem, start, start + n * PAGE_SIZE);
	lm_zap_hva(&z, start, start + n * PAGE_SIZE);
	lm_zap_finish(&z);
}

static inline void t_inv_end(struct t_vm *t)
{
	lm_inv_end(&t->vm.mem);
}

static inline void t_exit(struct kunit *test)
{
	struct t_vm *t = test->priv;
	int i;

	if (!t)
		return;
	for (i = 0; i < T_VCPUS; i++)
		lm_mem_vcpu_free(t->vcpu[i]);
	lm_mem_teardown(&t->vm);
}

static inline int t_init(struct kunit *test)
{
	struct t_vm *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	int i;

	if (!t)
		return -ENOMEM;
	/* KUnit runs the suites before the module has looked at the CPU. */
	if (!lm_caps.phys_bits)
		lm_caps.phys_bits = boot_cpu_data.x86_phys_bits;
	if (!lm_caps.npt)
		lm_caps.npt = &lm_npt;
	mutex_init(&t->vm.lock);
	if (lm_mem_setup(&t->vm))
		return -ENOMEM;
	t->vm.mem.levels = 4;
	t->vm.mem.large_levels = 3;
	t->vm.mem.max_gfn = 1ull << 36;
	t->vm.mem.test_host = t_host;
	t->vm.mem.test_flush = t_flush;
	for (i = 0; i < T_VCPUS; i++) {
		t->vcpu[i] = kunit_kzalloc(test, sizeof(struct lm_vcpu), GFP_KERNEL);
		if (!t->vcpu[i])
			return -ENOMEM;
		t->vcpu[i]->vm = &t->vm;
		t->vcpu[i]->index = i;
		t->vcpu[i]->cpu = -1;
		t->vm.vcpu[i] = t->vcpu[i];
	}
	t->vm.nr_vcpus = T_VCPUS;
	for (i = 0; i < T_PAGES; i++)
		t->pfn[i] = T_PFN + i;
	t_map(t, 0, T_PAGES, T_RW, 1);
	test->priv = t;
	return 0;
}

#endif
