// SPDX-License-Identifier: GPL-2.0-only
/*
 * TLB flushes: when, whose, and how to know that they are over.
 *
 * lm_flush_all() counts an invalidation (lm_flush.gen) and interrupts every CPU
 * that holds a vCPU of the VM in its section.  A section runs with interrupts
 * off but in windows between two guest runs, so when the call returns, the
 * guest was left and each handler that ran has finished.  Each entry compares
 * counts and flushes.  A section that begins publishes its CPU, then looks at
 * the count; we count, then look at the CPUs (full barriers on both sides): one
 * of the two sees the other.  So one primitive is both the TLB flush and the
 * grace period for what handlers read.
 *
 * Callers that come together share: who holds the lock serves all counts that
 * were made before it read gen.
 *
 * Tags (ASIDs on SVM, VPIDs on VMX) are handed out per CPU in ascending order.
 * A tag is used by one vCPU only within a generation of its pool; when they are
 * used up, the generation changes and all tags of this CPU are flushed.  A vCPU
 * that comes to another CPU takes a fresh tag there; what it left behind is
 * unreachable.  On VMX translations from EPT alone are tagged by the EPT root and
 * not by VPID (SDM vol. 3, 29.4.1): there LM_FLUSH_RETAG calls for INVEPT, and
 * LM_FLUSH_TAG for INVEPT only if lm_flush_cpu.nested says so.
 */
#include <linux/hash.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "../monitor/trace.h"
#include "flush.h"
#include "tree.h"

bool lm_debug_tlb_wanted;
module_param_named(debug_tlb, lm_debug_tlb_wanted, bool, 0444);
MODULE_PARM_DESC(debug_tlb, "keep a model of each vCPU's TLB and check it at every entry (slow)");

DEFINE_STATIC_KEY_FALSE(lm_debug_tlb);

int lm_flush_init(struct lm_flush *flush)
{
	spin_lock_init(&flush->lock);
	atomic64_set(&flush->gen, 1);
	atomic_set(&flush->unflushed, 0);
	flush->done = 1;
	return zalloc_cpumask_var(&flush->cpus, GFP_KERNEL_ACCOUNT) ? 0 : -ENOMEM;
}

void lm_flush_free(struct lm_flush *flush)
{
	free_cpumask_var(flush->cpus);
}

/* That the interrupt was taken is all that counts. */
static void lm_flush_ack(void *unused)
{
}

static void lm_flush_kick(struct lm_vm *vm, smp_call_func_t func)
{
	struct cpumask *cpus = vm->mem.flush.cpus;
	struct lm_vcpu *vcpu;
	int i;

	cpumask_clear(cpus);
	lm_for_each_vcpu(i, vcpu, vm) {
		int cpu = READ_ONCE(vcpu->cpu);

		if (cpu >= 0)
			cpumask_set_cpu(cpu, cpus);
	}
	/* Not this CPU: who is in a section does not get here. */
	smp_call_function_many(cpus, func, vm, true);
#ifdef LM_KUNIT
	if (vm->mem.test_flush)
		vm->mem.test_flush(&vm->mem);
#endif
}

/**
 * lm_flush_all - take every vCPU out of the guest and have it flush
 * @vm: whose vCPUs
 *
 * Context: interrupts on, outside of sections.  May be called under spinlocks
 * that no handler takes.
 */
void lm_flush_all(struct lm_vm *vm)
{
	struct lm_flush *flush = &vm->mem.flush;
	u64 mine = atomic64_inc_return(&flush->gen);

	lockdep_assert_irqs_enabled();
	spin_lock(&flush->lock);
	if (flush->done < mine) {
		u64 gen = atomic64_read(&flush->gen);

		smp_mb();	/* whoever counted up to gen did so before we look at the CPUs */
		lm_flush_kick(vm, lm_flush_ack);
		trace_lm_flush_all(gen, vm->nr_vcpus);
		flush->done = gen;
	}
	spin_unlock(&flush->lock);
}

/**
 * lm_sections_call - run a function on each CPU that is in a section of the VM
 * @vm: its argument
 * @func: runs in the section's window, or after its end
 *
 * Context: as lm_flush_all().
 */
void lm_sections_call(struct lm_vm *vm, smp_call_func_t func)
{
	spin_lock(&vm->mem.flush.lock);
	lm_flush_kick(vm, func);
	spin_unlock(&vm->mem.flush.lock);
}

/**
 * lm_tag_pool_init - (re)start the tags of a CPU
 * @pool: the pool; zeroed memory before its first use
 * @min: lowest tag
 * @max: highest tag
 *
 * The first entry afterwards answers LM_FLUSH_ALL.  Not to be called while a
 * vCPU is in its section on this CPU.
 */
void lm_tag_pool_init(struct lm_tag_pool *pool, u32 min, u32 max)
{
	pool->gen++;
	pool->min = min;
	pool->max = max;
	pool->next = max + 1;
}

/**
 * lm_flush_slow - the rest of lm_flush_decide()
 * @vcpu: in its section
 * @pool: tags of this CPU
 * @by_asid: a single tag can be flushed
 */
enum lm_flush_how lm_flush_slow(struct lm_vcpu *vcpu, struct lm_tag_pool *pool, bool by_asid)
{
	struct lm_flush_cpu *f = &vcpu->flush;
	enum lm_flush_how how = LM_FLUSH_RETAG;

	/* Read before the flush: an invalidation after this line is answered next time. */
	f->gen = atomic64_read(&vcpu->vm->mem.flush.gen);
	f->nested = f->seen != f->gen;
	f->seen = f->gen;
	vcpu->stat.flushes++;
	if (by_asid && f->pool == pool && f->pool_gen == pool->gen)
		return LM_FLUSH_TAG;
	if (pool->next > pool->max) {
		pool->next = pool->min;
		pool->gen++;
		how = LM_FLUSH_ALL;
	}
	f->asid = pool->next++;
	f->pool = pool;
	f->pool_gen = pool->gen;
	return how;
}

/* ---- debug_tlb ---- */

#define LM_TLB_BITS	7
#define LM_TLB_TAGS	32

/*
 * What the vCPU's TLB may hold: each translation that a fault answered with, and
 * after a flush what the tree has for the same frame, as the CPU may fetch it
 * again.  Direct-mapped; an entry that is pushed out is no longer watched.
 */
struct lm_tlb {
	int cpu;			/* where and under which tag it entered last */
	u32 tag;
	struct {
		u64 gfn;
		u64 leaf;		/* 0: unused */
		int level;
	} e[1 << LM_TLB_BITS];
};

/* Whose translations each tag of a CPU may have; direct-mapped like the above. */
struct lm_tag_user {
	u64 who;			/* 0: nobody since the last flush */
	u32 tag;
};

static DEFINE_PER_CPU(struct lm_tag_user [LM_TLB_TAGS], lm_tag_users);

int lm_tlb_init(struct lm_vcpu *vcpu)
{
	if (!lm_debug_tlb_wanted)
		return 0;
	vcpu->mem.tlb = kvzalloc(sizeof(*vcpu->mem.tlb), GFP_KERNEL_ACCOUNT);
	if (!vcpu->mem.tlb)
		return -ENOMEM;
	static_branch_inc(&lm_debug_tlb);
	return 0;
}

void lm_tlb_free(struct lm_vcpu *vcpu)
{
	if (!vcpu->mem.tlb)
		return;
	static_branch_dec(&lm_debug_tlb);
	kvfree(vcpu->mem.tlb);
	vcpu->mem.tlb = NULL;
}

/**
 * lm_tlb_note - from now on the vCPU's TLB may hold a leaf
 * @vcpu: in its section
 * @gfn: the guest frame that faulted
 * @leaf: the leaf
 * @level: its level
 */
void lm_tlb_note(struct lm_vcpu *vcpu, u64 gfn, u64 leaf, int level)
{
	struct lm_tlb *tlb = vcpu->mem.tlb;
	u32 i = hash_64(gfn, LM_TLB_BITS);

	if (!tlb)
		return;
	tlb->e[i].gfn = gfn;
	tlb->e[i].leaf = leaf;
	tlb->e[i].level = level;
}

/* Flushed, or under another tag where that counts: the guest begins with what the tree has now. */
static void lm_tlb_refill(struct lm_vcpu *vcpu)
{
	const struct lm_mem *mem = &vcpu->vm->mem;
	struct lm_tlb *tlb = vcpu->mem.tlb;
	struct lm_pos pos;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tlb->e); i++) {
		if (!tlb->e[i].leaf)
			continue;
		lm_tree_find(mem, tlb->e[i].gfn, &pos);
		tlb->e[i].leaf = lm_entry_present(mem, pos.val) ? pos.val : 0;
		tlb->e[i].level = pos.level;
	}
}

/* Does the tree still grant all that the TLB may hold? */
static bool lm_tlb_stale(const struct lm_mem *mem, u64 gfn, u64 leaf, int level)
{
	u64 frame = mem->format->addr_mask & ~((lm_level_pages(level) << PAGE_SHIFT) - 1);
	struct lm_pos pos;

	lm_tree_find(mem, gfn, &pos);
	if (!lm_entry_present(mem, pos.val) && (pos.val & LM_PENDING_WAS))
		return false;
	return !lm_entry_present(mem, pos.val) || pos.level != level ||
	       ((pos.val ^ leaf) & frame) || (leaf & mem->format->write & ~pos.val);
}

/*
 * Something stale is all right as long as its zapper still owes the flush: that
 * one waits until we are out.
 */
static bool lm_tlb_any_stale(struct lm_vcpu *vcpu)
{
	struct lm_mem *mem = &vcpu->vm->mem;
	struct lm_tlb *tlb = vcpu->mem.tlb;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tlb->e); i++) {
		if (!tlb->e[i].leaf ||
		    !lm_tlb_stale(mem, tlb->e[i].gfn, tlb->e[i].leaf, tlb->e[i].level))
			continue;
		smp_rmb();	/* a zapper counts itself before it zaps */
		if (!atomic_read(&mem->flush.unflushed) &&
		    atomic64_read(&mem->flush.gen) == vcpu->flush.gen)
			return true;
	}
	return false;
}

/* Takes the tag; false if it still has translations of another user or of an earlier use. */
static bool lm_tlb_take_tag(struct lm_vcpu *vcpu, u32 tag, bool same, enum lm_flush_how did)
{
	struct lm_tag_user *users = *this_cpu_ptr(&lm_tag_users);
	u64 me = vcpu->vm->id << 16 | (vcpu->index + 1);
	struct lm_tag_user *u = &users[tag % LM_TLB_TAGS];
	bool good;

	if (did == LM_FLUSH_ALL)
		memset(users, 0, sizeof(*users) * LM_TLB_TAGS);
	good = did == LM_FLUSH_TAG || !u->who || u->tag != tag || (same && u->who == me);
	u->who = me;
	u->tag = tag;
	return good;
}

/**
 * lm_tlb_look - may this vCPU enter with what its TLB may hold?
 * @vcpu: in its section, about to enter
 * @tag: under which tag
 * @did: what this entry does to the TLB
 *
 * Return: NULL, or what is wrong
 */
const char *lm_tlb_look(struct lm_vcpu *vcpu, u32 tag, enum lm_flush_how did)
{
	struct lm_tlb *tlb = vcpu->mem.tlb;
	int cpu = raw_smp_processor_id();
	bool same = tlb->cpu == cpu && tlb->tag == tag;

	if ((!same && !vcpu->vm->mem.format->by_root) || did == LM_FLUSH_TAG ||
	    did == LM_FLUSH_ALL)
		lm_tlb_refill(vcpu);
	tlb->cpu = cpu;
	tlb->tag = tag;
	if (!lm_tlb_take_tag(vcpu, tag, same, did))
		return "a tag that was used before and not flushed";
	if (lm_tlb_any_stale(vcpu)) {
		memset(tlb->e, 0, sizeof(tlb->e));
		return "a stale translation";
	}
	return NULL;
}

/**
 * lm_tlb_enter - lm_tlb_look() for the vendor, right before the guest runs
 * @vcpu: in its section, after its decision on flushes
 * @tag: the tag that the hardware will use
 * @did: what the hardware will flush
 */
void lm_tlb_enter(struct lm_vcpu *vcpu, u32 tag, enum lm_flush_how did)
{
	const char *wrong = vcpu->mem.tlb ? lm_tlb_look(vcpu, tag, did) : NULL;

	WARN_ONCE(wrong, "lamina: vCPU %d enters with %s\n", vcpu->id, wrong);
}
