// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: the decision on TLB flushes, against a model of the TLBs.
 *
 * The model: CPUs with tagged TLBs that forget nothing by themselves, and
 * guests of several VMs.  A page of a VM has a version; zapping it makes a new
 * one, and the flush that must follow counts.  A guest that uses a page fills
 * its CPU's TLB under its tag, or hits what is there.  A hit of an old version,
 * or of another VM's page, is what must never happen.  The mutations at the end
 * show that the model would notice.
 */
#include <linux/delay.h>
#include <linux/prandom.h>
#include <linux/smp.h>

#include "ept/flush.h"
#include "fixture.h"

#define M_CPUS	3
#define M_VMS	2
#define M_VCPUS	5	/* of each VM */
#define M_PAGES	6
#define M_TAGS	8

enum mutation { M_NONE, M_DROP_TAG, M_DROP_ALL, M_DROP_COUNT, M_DROP_RETAG };

struct m_entry {
	int vm;			/* -1: empty */
	u32 version;
};

struct model {
	struct lm_tag_pool pool[M_CPUS];
	struct m_entry tlb[M_CPUS][M_TAGS][M_PAGES];
	struct lm_vm *vm[M_VMS];
	struct lm_vcpu *vcpu[M_VMS][M_VCPUS];
	u32 version[M_VMS][M_PAGES];
	struct rnd_state rnd;
	u32 stale, entries, flushes, hits;
};

static u32 m_random(struct model *m, u32 n)
{
	return prandom_u32_state(&m->rnd) % n;
}

static void m_forget(struct model *m, int cpu, int first, int last)
{
	int tag, page;

	for (tag = first; tag <= last; tag++)
		for (page = 0; page < M_PAGES; page++)
			m->tlb[cpu][tag][page].vm = -1;
}

static void m_use(struct model *m, int cpu, u32 tag, int vm, int page)
{
	struct m_entry *e = &m->tlb[cpu][tag][page];

	if (e->vm < 0) {
		e->vm = vm;
		e->version = m->version[vm][page];
		return;
	}
	m->hits++;
	m->stale += e->vm != vm || e->version != m->version[vm][page];
}

static void m_enter(struct model *m, bool by_asid, enum mutation mut)
{
	int cpu = m_random(m, M_CPUS), vm = m_random(m, M_VMS);
	struct lm_vcpu *vcpu = m->vcpu[vm][m_random(m, M_VCPUS)];
	u32 before = vcpu->flush.asid;
	enum lm_flush_how how;
	int i;

	/* vCPUs stay on their CPU most of the time. */
	if (m_random(m, 4))
		cpu = vcpu->last_cpu;
	vcpu->last_cpu = cpu;
	how = lm_flush_decide(vcpu, &m->pool[cpu], by_asid);
	if (how == LM_FLUSH_ALL && mut != M_DROP_ALL)
		m_forget(m, cpu, 0, M_TAGS - 1);
	if (how == LM_FLUSH_TAG && mut != M_DROP_TAG)
		m_forget(m, cpu, vcpu->flush.asid, vcpu->flush.asid);
	if (how == LM_FLUSH_RETAG && mut == M_DROP_RETAG)
		vcpu->flush.asid = before;
	m->entries++;
	m->flushes += how == LM_FLUSH_ALL || how == LM_FLUSH_TAG;
	for (i = 0; i < 3; i++)
		m_use(m, cpu, vcpu->flush.asid % M_TAGS, vm, m_random(m, M_PAGES));
}

static void m_run(struct model *m, bool by_asid, enum mutation mut, u32 steps)
{
	while (steps--) {
		u32 what = m_random(m, 100);
		int vm = m_random(m, M_VMS);

		if (what < 10) {
			m->version[vm][m_random(m, M_PAGES)]++;
			if (mut != M_DROP_COUNT)
				atomic64_inc(&m->vm[vm]->mem.flush.gen);
		} else if (what == 10) {
			/* A CPU goes and comes: others may have used tags there. */
			int cpu = m_random(m, M_CPUS);

			m_forget(m, cpu, 0, M_TAGS - 1);
			m->tlb[cpu][1 + m_random(m, M_TAGS - 1)][0] = (struct m_entry){ M_VMS, 0 };
			lm_tag_pool_init(&m->pool[cpu], 1, M_TAGS - 1);
		} else {
			m_enter(m, by_asid, mut);
		}
	}
}

static struct model *m_new(struct kunit *test)
{
	struct model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	int i, j;

	if (!m)
		return NULL;
	prandom_seed_state(&m->rnd, 77);
	for (i = 0; i < M_CPUS; i++) {
		m_forget(m, i, 0, M_TAGS - 1);
		/* Dirt of an earlier user under every tag. */
		for (j = 0; j < M_TAGS; j++)
			m->tlb[i][j][j % M_PAGES] = (struct m_entry){ M_VMS, 0 };
		lm_tag_pool_init(&m->pool[i], 1, M_TAGS - 1);
	}
	for (i = 0; i < M_VMS; i++) {
		m->vm[i] = kunit_kzalloc(test, sizeof(struct lm_vm), GFP_KERNEL);
		if (!m->vm[i])
			return NULL;
		atomic64_set(&m->vm[i]->mem.flush.gen, 1);
		for (j = 0; j < M_VCPUS; j++) {
			m->vcpu[i][j] = kunit_kzalloc(test, sizeof(struct lm_vcpu), GFP_KERNEL);
			if (!m->vcpu[i][j])
				return NULL;
			m->vcpu[i][j]->vm = m->vm[i];
		}
	}
	return m;
}

static u32 m_stale(struct kunit *test, bool by_asid, enum mutation mut)
{
	struct model *m = m_new(test);

	KUNIT_EXPECT_TRUE(test, m);
	if (!m)
		return ~0u;
	m_run(m, by_asid, mut, 20000);
	/* The model was not idle, and the TLBs were of use. */
	KUNIT_EXPECT_GT(test, m->entries, 10000u);
	KUNIT_EXPECT_GT(test, m->hits, m->entries / 4);
	return m->stale;
}

static void never_stale(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, m_stale(test, true, M_NONE), 0u);
	KUNIT_EXPECT_EQ(test, m_stale(test, false, M_NONE), 0u);
}

/* Each flush that could be forgotten is noticed. */
static void mutations(struct kunit *test)
{
	KUNIT_EXPECT_GT(test, m_stale(test, true, M_DROP_TAG), 0u);
	KUNIT_EXPECT_GT(test, m_stale(test, true, M_DROP_ALL), 0u);
	KUNIT_EXPECT_GT(test, m_stale(test, false, M_DROP_ALL), 0u);
	KUNIT_EXPECT_GT(test, m_stale(test, true, M_DROP_COUNT), 0u);
	KUNIT_EXPECT_GT(test, m_stale(test, false, M_DROP_COUNT), 0u);
	KUNIT_EXPECT_GT(test, m_stale(test, true, M_DROP_RETAG), 0u);
	KUNIT_EXPECT_GT(test, m_stale(test, false, M_DROP_RETAG), 0u);
}

/* The answers one by one. */
static void answers(struct kunit *test)
{
	struct model *m = m_new(test);
	struct lm_vcpu *a, *b;
	u32 asid;

	KUNIT_ASSERT_TRUE(test, m);
	a = m->vcpu[0][0];
	b = m->vcpu[0][1];
	KUNIT_EXPECT_EQ(test, (int)lm_flush_decide(a, &m->pool[0], true), (int)LM_FLUSH_ALL);
	asid = a->flush.asid;
	KUNIT_EXPECT_EQ(test, (int)lm_flush_decide(a, &m->pool[0], true), (int)LM_FLUSH_NONE);
	KUNIT_EXPECT_EQ(test, (int)lm_flush_decide(b, &m->pool[0], true), (int)LM_FLUSH_RETAG);
	KUNIT_EXPECT_NE(test, b->flush.asid, asid);
	atomic64_inc(&m->vm[0]->mem.flush.gen);
	KUNIT_EXPECT_EQ(test, (int)lm_flush_decide(a, &m->pool[0], true), (int)LM_FLUSH_TAG);
	KUNIT_EXPECT_EQ(test, a->flush.asid, asid);
	KUNIT_EXPECT_EQ(test, (int)lm_flush_decide(a, &m->pool[0], true), (int)LM_FLUSH_NONE);
	/* Its own wish. */
	lm_flush_self(a);
	KUNIT_EXPECT_EQ(test, (int)lm_flush_decide(a, &m->pool[0], true), (int)LM_FLUSH_TAG);
	/* Without flush by ASID a fresh tag does it. */
	lm_flush_self(a);
	KUNIT_EXPECT_EQ(test, (int)lm_flush_decide(a, &m->pool[0], false), (int)LM_FLUSH_RETAG);
	KUNIT_EXPECT_NE(test, a->flush.asid, asid);
	/* There and back: what was left on the first CPU is not used again. */
	asid = a->flush.asid;
	KUNIT_EXPECT_EQ(test, (int)lm_flush_decide(a, &m->pool[1], true), (int)LM_FLUSH_ALL);
	KUNIT_EXPECT_EQ(test, (int)lm_flush_decide(a, &m->pool[0], true), (int)LM_FLUSH_RETAG);
	KUNIT_EXPECT_NE(test, a->flush.asid, asid);
}

/* With no vCPU in a section a flush is a count; callers that come late share. */
static void counts(struct kunit *test)
{
	struct t_vm *t = test->priv;
	u64 gen = atomic64_read(&t->vm.mem.flush.gen);

	lm_flush_all(&t->vm);
	KUNIT_EXPECT_EQ(test, (u64)atomic64_read(&t->vm.mem.flush.gen), gen + 1);
	KUNIT_EXPECT_EQ(test, t->flushes, 1);
	KUNIT_EXPECT_EQ(test, t->vm.mem.flush.done, gen + 1);
	/* Somebody served a count that is still to come: nothing is left to do for it. */
	t->vm.mem.flush.done = gen + 2;
	lm_flush_all(&t->vm);
	KUNIT_EXPECT_EQ(test, t->flushes, 1);
	lm_flush_all(&t->vm);
	KUNIT_EXPECT_EQ(test, t->flushes, 2);
}

static struct {
	struct lm_vcpu *vcpu;
	bool begun, over;
} t_section;

/* A handler on another CPU, with interrupts off as in a section. */
static void t_handler(void *unused)
{
	/* As lm_section_enter() and lm_section_leave() do. */
	smp_store_mb(t_section.vcpu->cpu, smp_processor_id());
	WRITE_ONCE(t_section.begun, true);
	mdelay(20);
	WRITE_ONCE(t_section.over, true);
	/* As above. */
	smp_store_release(&t_section.vcpu->cpu, -1);
}

/* A flush returns after what ran in a section has finished. */
static void waits(struct kunit *test)
{
	struct t_vm *t = test->priv;
	unsigned int cpu;

	migrate_disable();
	cpu = cpumask_any_but(cpu_online_mask, smp_processor_id());
	if (cpu < nr_cpu_ids) {
		t_section.vcpu = t->vcpu[1];
		t_section.begun = false;
		t_section.over = false;
		KUNIT_EXPECT_EQ(test, smp_call_function_single(cpu, t_handler, NULL, false), 0);
		while (!READ_ONCE(t_section.begun))
			cpu_relax();
		KUNIT_EXPECT_FALSE(test, READ_ONCE(t_section.over));
		lm_flush_all(&t->vm);
		KUNIT_EXPECT_TRUE(test, READ_ONCE(t_section.over));
	}
	migrate_enable();
	if (cpu >= nr_cpu_ids)
		kunit_skip(test, "one CPU");
}

/* The model TLB of debug_tlb: each of these would be an error on a CPU. */
static void model_tlb(struct kunit *test)
{
	struct t_vm *t = test->priv;
	struct lm_vcpu *a = t->vcpu[0], *b = t->vcpu[1];
	const char *tag = "a tag that was used before and not flushed";

	lm_debug_tlb_wanted = true;
	KUNIT_ASSERT_EQ(test, lm_mem_vcpu_init(a), 0);
	KUNIT_ASSERT_EQ(test, lm_mem_vcpu_init(b), 0);
	lm_debug_tlb_wanted = false;
	KUNIT_ASSERT_EQ(test, t_slot(t, 0, 0, T_PAGES, T_HVA, 0), 0);
	migrate_disable();

	KUNIT_EXPECT_STREQ(test, lm_tlb_look(a, 1, LM_FLUSH_ALL) ?: "", "");
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(a, 1, LM_FLUSH_NONE) ?: "", "");
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(b, 2, LM_FLUSH_RETAG) ?: "", "");
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(b, 1, LM_FLUSH_NONE) ?: "", tag);
	/* Its own tag, after somebody else had it. */
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(a, 1, LM_FLUSH_NONE) ?: "", tag);
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(a, 1, LM_FLUSH_TAG) ?: "", "");
	/* Away and back: what the tag had then was never flushed. */
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(a, 3, LM_FLUSH_RETAG) ?: "", "");
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(a, 1, LM_FLUSH_NONE) ?: "", tag);
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(a, 1, LM_FLUSH_ALL) ?: "", "");
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(b, 3, LM_FLUSH_RETAG) ?: "", "");

	/* A page goes, its flush does not come. */
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 5, true), (int)LM_DONE);
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(a, 1, LM_FLUSH_NONE) ?: "", "");
	a->flush.gen = atomic64_read(&t->vm.mem.flush.gen);
	t_inv_start(t, 5, 1);
	t_inv_end(t);
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(a, 1, LM_FLUSH_NONE) ?: "", "");
	KUNIT_EXPECT_EQ(test, t_fault(t, 0, 5, true), (int)LM_DONE);
	/* The same after a flush: the CPU may have fetched the page again without a fault. */
	a->flush.gen = atomic64_read(&t->vm.mem.flush.gen);
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(a, 1, LM_FLUSH_TAG) ?: "", "");
	t_inv_start(t, 5, 1);
	t_inv_end(t);
	a->flush.gen = atomic64_read(&t->vm.mem.flush.gen);
	KUNIT_EXPECT_STREQ(test, lm_tlb_look(a, 1, LM_FLUSH_NONE) ?: "", "a stale translation");
	migrate_enable();
}

static struct kunit_case flush_cases[] = {
	KUNIT_CASE(never_stale),
	KUNIT_CASE(mutations),
	KUNIT_CASE(answers),
	KUNIT_CASE(counts),
	KUNIT_CASE(waits),
	KUNIT_CASE(model_tlb),
	{}
};

static struct kunit_suite lm_flush_suite = {
	.name = "lamina-flush",
	.init = t_init,
	.exit = t_exit,
	.test_cases = flush_cases,
};
kunit_test_suite(lm_flush_suite);
