/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory: slots over user addresses, one nested radix tree for both
 * vendors, the MMU notifier that keeps it true, the dirty log, and the object
 * that decides on TLB flushes.
 */
#ifndef LM_EPT_H
#define LM_EPT_H

#include <linux/atomic.h>
#include <linux/kvm.h>
#include <linux/mmu_notifier.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct lm_vm;
struct lm_vcpu;

#define LM_MAX_SLOTS	512

struct lm_slot {
	u64 gfn;
	u64 npages;
	unsigned long hva;
	u32 id;
	u32 flags;			/* KVM_MEM_* */
	unsigned long *dirty;		/* one bit a page, or NULL */
};

/* Sorted by gfn, replaced as a whole; readers are sections (interrupts off) or hold lm_vm.lock. */
struct lm_slots {
	struct rcu_head rcu;
	u32 nr;
	struct lm_slot *slot[];
};

/*
 * What decides on flushes.  gen counts invalidations of the tree; a vCPU whose
 * lm_flush_cpu.gen differs flushes its tag before it enters.
 */
struct lm_flush {
	atomic64_t gen;
};

struct lm_flush_cpu {
	u64 gen;		/* lm_flush.gen that this vCPU's tag is clean of */
	u64 asid_gen;		/* generation of the CPU's pool that asid is of */
	u32 asid;
	int cpu;		/* CPU that asid belongs to */
};

/* What an encoding must say; filled by ept/npt.c and ept/ept.c. */
struct lm_npt_format {
	u64 present, read, write, exec, accessed, dirty, large;
	u64 addr_mask;
	u64 table_bits;		/* for a pointer to a table */
	u64 (*memtype)(u64 host_pte, bool is_ram);
};

struct lm_mem {
	struct lm_slots __rcu *slots;
	struct mmu_notifier mn;
	const struct lm_npt_format *format;	/* (c) */
	u64 *root;				/* (c) */
	int levels;				/* (c) */
	struct lm_flush flush;
	atomic_long_t table_pages;
	long max_table_pages;
	/* invalidations under way: count and the union of their hva ranges */
	spinlock_t inv_lock;
	int inv_count;
	unsigned long inv_start, inv_end;
	u64 inv_seq;
};

int lm_mem_init(struct lm_vm *vm);
void lm_mem_destroy(struct lm_vm *vm);	/* no vCPU runs any more */

/* KVM_SET_USER_MEMORY_REGION; takes vm->lock. */
int lm_mem_set_slot(struct lm_vm *vm, const struct kvm_userspace_memory_region *r);
int lm_mem_get_dirty_log(struct lm_vm *vm, struct kvm_dirty_log *log);

/*
 * lm_mem_fault - resolve a nested page fault; in the section, interrupts off
 *
 * LM_DONE: mapped (or somebody else did): enter again.  LM_NEED: the host page
 * is absent (or not writable): vcpu->need says which address.  LM_USER: no slot
 * (or a write to a read-only one): MMIO.  -EFAULT: the host address is bad.
 */
#define LM_FAULT_MMIO	LM_USER
int lm_mem_fault(struct lm_vcpu *vcpu, u64 gpa, bool write, bool exec);

/* Sleepable, outside the section: make vcpu->need present. 0, -EFAULT, -EINTR. */
int lm_mem_need(struct lm_vcpu *vcpu);

/*
 * Guest physical memory from inside the section: LM_DONE, LM_NEED, or LM_USER if
 * no slot backs it (MMIO).  May cross pages; all or nothing for writes.
 */
int lm_gpa_read(struct lm_vcpu *vcpu, u64 gpa, void *buf, unsigned int bytes);
int lm_gpa_write(struct lm_vcpu *vcpu, u64 gpa, const void *buf, unsigned int bytes);
/* Atomic compare and exchange of 1, 2, 4, 8 bytes, naturally aligned; LM_AGAIN if it lost. */
int lm_gpa_cmpxchg(struct lm_vcpu *vcpu, u64 gpa, u64 *old, u64 new, unsigned int bytes);
bool lm_gpa_is_ram(struct lm_vcpu *vcpu, u64 gpa, bool write);

/*
 * Every vCPU in a section leaves guest mode, and flushes before it enters again.
 * Returns when all handlers that ran have finished.  May be called with mmap_lock
 * and spinlocks of the mm held; interrupts on.
 */
void lm_flush_all(struct lm_vm *vm);


#endif
