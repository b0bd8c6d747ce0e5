/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory: slots over user addresses, one nested radix tree for both
 * vendors, the MMU notifier that keeps it true, the dirty log, and the object
 * that decides on TLB flushes.
 *
 * What other parts call is here; what the files of this directory share is in
 * tree.h.
 */
#ifndef LM_EPT_H
#define LM_EPT_H

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/jump_label.h>
#include <linux/kvm.h>
#include <linux/mmu_notifier.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

struct lm_vm;
struct lm_vcpu;
struct lm_host_page;

#define LM_MAX_SLOTS	512

struct lm_slot {
	u64 gfn;
	u64 npages;
	unsigned long hva;
	u32 id;
	u32 flags;			/* KVM_MEM_* */
	unsigned long *dirty;		/* one bit a page, or NULL */
};

/*
 * Sorted by gfn, replaced as a whole, never changed.  Readers are sections
 * (interrupts off), hold lm_vm.lock, or hold a reference (the notifier).
 */
struct lm_slots {
	struct rcu_head rcu;
	refcount_t users;
	u32 nr;
	u64 gen;			/* of the VM's arrays: no other has it */
	unsigned long hva_min, hva_max;	/* hull of all slots, hva_max exclusive */
	struct lm_slot slot[];
};

/*
 * What decides on flushes.  gen counts invalidations of the tree; a vCPU whose
 * lm_flush_cpu.gen differs flushes its tag before it enters.
 */
struct lm_flush {
	atomic64_t gen;
	atomic_t unflushed;		/* zaps that took something present away and did not flush yet */
	spinlock_t lock;		/* done, cpus */
	u64 done;			/* every invalidation up to this gen reached every CPU */
	cpumask_var_t cpus;
};

/*
 * The tags (ASIDs or VPIDs) of one CPU.  Only that CPU touches it, with
 * interrupts off.  A tag is handed out once in a generation.
 */
struct lm_tag_pool {
	u64 gen;
	u32 next, min, max;
};

struct lm_flush_cpu {
	u64 gen;			/* lm_flush.gen that this vCPU's tag is clean of, 0: flush */
	u64 seen;			/* lm_flush.gen at the last flush */
	bool nested;			/* the last flush was for the nested table, not the guest's own alone */
	u64 pool_gen;			/* generation of pool that asid is of */
	const struct lm_tag_pool *pool;	/* the CPU that asid belongs to */
	u32 asid;
};

#define LM_TABLE_CACHE	16

struct lm_tlb;

/* The part of a vCPU that guest memory needs. */
struct lm_mem_cpu {
	u64 *table[LM_TABLE_CACHE];	/* zeroed pages for the tree (v: filled, s: used) */
	u32 nr_tables;
	u32 last;			/* (s) index of the slot that was hit last */
	u64 hole_gfn, hole_gen;		/* (s) no slot of that array is there */
	bool need_tables;		/* (s) with LM_NEED: only @table is short */
	bool need_wait;			/* (s) with LM_NEED: for the end of an invalidation */
	bool need_apic_off;		/* (s) with LM_NEED: lm_apic_page_off() */
	struct lm_tlb *tlb;		/* (s) the model TLB of debug_tlb, or NULL */
};

/*
 * A vCPU's ring of dirty pages.  Both indexes only grow; modulo the size they say where.
 */
struct lm_dirty_ring {
	struct kvm_dirty_gfn *gfn;	/* (c) shared with user space, or NULL */
	u32 size, limit;		/* (c) entries; with that many it counts as full */
	u32 pushed;			/* (s) others read */
	u32 reset;			/* lm_vm.lock; the section reads */
};

/* What an encoding must say; filled by ept/npt.c and ept/ept.c. */
struct lm_npt_format {
	u64 present;			/* any of these set: present */
	u64 leaf;			/* bits of every leaf but those below */
	u64 write, accessed, dirty, large;
	u64 log;			/* what the dirty log takes away: @dirty alone if the CPU logs */
	u64 table;			/* bits of a pointer to a table */
	u64 addr_mask;
	u64 memtype[2][8];		/* [large][PAT << 2 | PCD << 1 | PWT of the host's entry] */
	bool by_root;			/* the TLB tags translations by the root, whatever the vCPU's tag */
	bool age_by_fault;		/* the CPU sets no accessed bit: a page ages by being taken away */
};

extern const struct lm_npt_format lm_npt;
extern struct lm_npt_format lm_ept;
void lm_ept_setup(u64 pat, bool ad, bool pml);

struct lm_mem {
	struct lm_slots __rcu *slots;
	struct lm_slots __rcu *old_slots;	/* while an update zaps: what it replaces */
	struct mmu_notifier mn;
	const struct lm_npt_format *format;	/* (c) */
	u64 *root;				/* (c) */
	int levels;				/* (c) */
	int large_levels;			/* (c) highest level of a leaf */
	u64 max_gfn;				/* (c) exclusive */
	void *apic_page;			/* (c) behind the LAPIC's registers, or NULL */
	bool apic_off;				/* never map it again */
	bool dead;				/* the mm is gone */
	bool logs;				/* a slot keeps a dirty log, or did; sections read it */
	u32 ring_bytes;				/* of each vCPU's dirty ring, or 0; set before there are vCPUs */
	u64 manual_log;				/* KVM_DIRTY_LOG_*, of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 */
	struct lm_flush flush;
	atomic_long_t table_pages;
	long max_table_pages;
	/* invalidations under way: count and the union of their hva ranges */
	spinlock_t inv_lock;
	int inv_count;
	unsigned long inv_start, inv_end;
	wait_queue_head_t inv_wait;
#ifdef LM_KUNIT
	/* a host page table made up by a test, in place of vm->mm's */
	bool (*test_host)(struct lm_mem *mem, unsigned long hva, struct lm_host_page *hp);
	void (*test_flush)(struct lm_mem *mem);
	u8 *test_ram;		/* and guest memory for devices, from address 0 */
	u64 test_ram_size;
#endif
};

int lm_mem_init(struct lm_vm *vm);
void lm_mem_destroy(struct lm_vm *vm);	/* no vCPU runs any more; before the vCPUs are freed */
int lm_mem_vcpu_init(struct lm_vcpu *vcpu);
void lm_mem_vcpu_free(struct lm_vcpu *vcpu);
void lm_apic_page_off(struct lm_vm *vm);

/* KVM_SET_USER_MEMORY_REGION; takes vm->lock. */
int lm_mem_set_slot(struct lm_vm *vm, const struct kvm_userspace_memory_region *r);
int lm_mem_get_dirty_log(struct lm_vm *vm, const struct kvm_dirty_log *log);
int lm_mem_clear_dirty_log(struct lm_vm *vm, const struct kvm_clear_dirty_log *log);
void lm_mem_logged(struct lm_vcpu *vcpu, u64 gpa);	/* section: the CPU's log has this page */
u64 lm_mem_size(struct lm_vm *vm);

/* KVM_CAP_DIRTY_LOG_RING: ept/dirty_ring.c. */
int lm_dirty_ring_limit(void);
int lm_dirty_ring_enable(struct lm_vm *vm, u64 bytes);
int lm_dirty_ring_init(struct lm_vcpu *vcpu);
void lm_dirty_ring_free(struct lm_vcpu *vcpu);
struct page *lm_dirty_ring_page(struct lm_vcpu *vcpu, unsigned long pgoff);
bool lm_dirty_ring_full(const struct lm_vcpu *vcpu);
int lm_dirty_ring_reset(struct lm_vm *vm);

/*
 * lm_mem_fault - resolve a nested page fault; in the section, interrupts off
 *
 * LM_DONE: mapped (or somebody else did): enter again.  LM_NEED: something must
 * be done outside the section, lm_mem_need() knows what.  LM_AGAIN: an
 * invalidation or a slot update came in between.  LM_USER: no slot (or a write
 * to a read-only one): MMIO.  -ENOMEM: more page tables than the slots can need.
 * -EIO: the owner's memory is gone.
 */
#define LM_FAULT_MMIO	LM_USER
int lm_mem_fault(struct lm_vcpu *vcpu, u64 gpa, bool write, bool exec);

/* Sleepable, outside the section: do what LM_NEED asked for. 0, -EFAULT, -ENOMEM, -EINTR. */
int lm_mem_need(struct lm_vcpu *vcpu);

/*
 * Guest physical memory from inside the section: LM_DONE, LM_NEED, or LM_USER if
 * no slot backs it (MMIO).  May cross pages; all or nothing for writes.
 */
int lm_gpa_read(struct lm_vcpu *vcpu, u64 gpa, void *buf, unsigned int bytes);
int lm_gpa_write(struct lm_vcpu *vcpu, u64 gpa, const void *buf, unsigned int bytes);
/* Atomic compare and exchange of 1, 2, 4, 8 bytes, naturally aligned; LM_AGAIN if it lost. */
int lm_gpa_cmpxchg(struct lm_vcpu *vcpu, u64 gpa, u64 *old, u64 new, unsigned int bytes);
int lm_gpa_probe_write(struct lm_vcpu *vcpu, u64 gpa, unsigned int bytes);
bool lm_gpa_is_ram(struct lm_vcpu *vcpu, u64 gpa, bool write);

/* Guest physical memory for devices, outside the section: ept/outside.c. */
struct bio_vec;
int lm_outside_copy(struct lm_vm *vm, u64 gpa, void *buf, u32 bytes, bool write);
int lm_outside_read16(struct lm_vm *vm, u64 gpa, u16 *val);
int lm_outside_write32(struct lm_vm *vm, u64 gpa, u32 val);
int lm_outside_pin(struct lm_vm *vm, u64 gpa, u32 bytes, bool write, struct bio_vec *bv);
void lm_outside_unpin(const struct bio_vec *bv, int nr, bool written);
bool lm_outside_still_dirty(const struct bio_vec *bv, int nr);
void lm_outside_mark(struct lm_vm *vm, u64 gpa, u32 bytes);

/*
 * Every vCPU in a section leaves guest mode, and flushes before it enters again.
 * Returns when all handlers that ran have finished.  May be called with mmap_lock
 * and spinlocks of the mm held; interrupts on.
 */
void lm_flush_all(struct lm_vm *vm);
/* Run @func on each CPU that is in a section of the VM; context as above. */
void lm_sections_call(struct lm_vm *vm, smp_call_func_t func);

/**
 * enum lm_flush_how - what an entry must do about its TLB tag
 * @LM_FLUSH_NONE: nothing; the tag is the one of the last entry on this CPU
 * @LM_FLUSH_RETAG: lm_flush_cpu.asid is new and was never used: write it, no flush
 * @LM_FLUSH_TAG: same asid; flush it
 * @LM_FLUSH_ALL: lm_flush_cpu.asid is new; flush every tag of this CPU
 *
 * The answer is given once: who gets it must carry it out at the very next
 * entry on this CPU.
 */
enum lm_flush_how {
	LM_FLUSH_NONE,
	LM_FLUSH_RETAG,
	LM_FLUSH_TAG,
	LM_FLUSH_ALL,
};

void lm_tag_pool_init(struct lm_tag_pool *pool, u32 min, u32 max);
enum lm_flush_how lm_flush_slow(struct lm_vcpu *vcpu, struct lm_tag_pool *pool, bool by_asid);

/*
 * debug_tlb: a model of what the vCPU's TLB may hold, checked at each entry
 * against what the vendor really does.
 */
extern bool lm_debug_tlb_wanted;
DECLARE_STATIC_KEY_FALSE(lm_debug_tlb);
void lm_tlb_enter(struct lm_vcpu *vcpu, u32 tag, enum lm_flush_how did);

/* lm_flush_decide(), lm_flush_self(): in flush.h, which needs struct lm_vcpu. */

#endif
