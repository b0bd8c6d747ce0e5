/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual machine control structure (SDM vol. 3, 25 and appendix B): access to
 * its fields, and the private objects of the VMX backend.  Field encodings and
 * control bits are the kernel's, asm/vmx.h.
 */
#ifndef LM_VMX_VMCS_H
#define LM_VMX_VMCS_H

#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/types.h>
#include <asm/asm.h>
#include <asm/desc_defs.h>
#include <asm/vmx.h>

struct lm_tag_pool;
struct lm_seg;
struct lm_vcpu;
struct vmx_debug;

/* The region's header (25.2); the rest is the CPU's. */
struct vmx_vmcs {
	u32 revision;
	u32 abort;
	u8 data[];
};

void lm_vmx_write_failed(u64 field, u64 val);

static __always_inline u64 vmx_read(u64 field)
{
	u64 val;

	asm volatile("vmread %1, %0" : "=r" (val) : "r" (field) : "cc");
	return val;
}

static __always_inline void vmx_write(u64 field, u64 val)
{
	asm goto("vmwrite %1, %0\n\t"
		 "jbe %l[failed]"
		 : : "r" (field), "rm" (val) : "cc", "memory" : failed);
	return;
failed:
	lm_vmx_write_failed(field, val);
}

/* Each answers true if the CPU refused (VMfail: CF or ZF). */
static __always_inline bool vmx_vmptrld(u64 pa)
{
	bool failed;

	asm volatile("vmptrld %1" : "=@ccbe" (failed) : "m" (pa) : "memory");
	return failed;
}

static __always_inline bool vmx_vmclear(u64 pa)
{
	bool failed;

	asm volatile("vmclear %1" : "=@ccbe" (failed) : "m" (pa) : "memory");
	return failed;
}

/* 31.3: what is invalidated */
#define VMX_INV_SINGLE	1
#define VMX_INV_ALL	2

static __always_inline bool vmx_invept(u64 type, u64 eptp)
{
	struct { u64 eptp, zero; } d = { eptp, 0 };
	bool failed;

	asm volatile("invept %1, %2" : "=@ccbe" (failed) : "m" (d), "r" (type) : "memory");
	return failed;
}

static __always_inline bool vmx_invvpid(u64 type, u16 vpid)
{
	struct { u64 vpid, linear; } d = { vpid, 0 };
	bool failed;

	asm volatile("invvpid %1, %2" : "=@ccbe" (failed) : "m" (d), "r" (type) : "memory");
	return failed;
}

/* MSRs that a VMCS loads at entries and exits, aligned to 16 bytes (25.7.2, 25.8.2). */
#define VMX_PERF_MSRS	16

struct vmx_msr_lists {
	struct vmx_msr_entry guest[VMX_PERF_MSRS];
	struct vmx_msr_entry host[VMX_PERF_MSRS];
};

/* What update(), tsc() and the first load leave for the next entry to write. */
#define VMX_TODO_INIT	BIT(0)
#define VMX_TODO_UPDATE	BIT(1)
#define VMX_TODO_TSC	BIT(2)

/**
 * struct lm_hw - the VMX part of a vCPU; all fields (s) or (v)
 * @vmcs: its region, one page; @vmcs_pa its address
 * @cpu: where the VMCS is active, or -1; @node: in that CPU's list
 * @launched: VMRESUME rather than VMLAUNCH
 * @fresh: the region was never cleared
 * @loaded: the section is loaded
 * @todo: VMX_TODO_*
 * @pin, @proc, @proc2, @entry, @exceptions: what these fields of the VMCS hold
 * @vpid: likewise
 * @tags: those of @cpu
 * @eptp: the root of the nested table as EPT_POINTER takes it
 * @cr4_owned: bits of CR4 that the guest changes without an exit
 * @msr_bitmap: MSRs without an exit, one page
 * @x2apic: the bitmap lets MSRs of the x2APIC through
 * @pml: the CPU's log of dirty pages, one page, or NULL
 * @tpr_threshold, @eoi_exit: what these fields hold
 * @timer: what the preemption timer was set for last, 0: never
 * @msr_lists: MSRs of the host's counters, NULL on a host without; @nr_msrs are loaded
 * @perf_host, @perf_guest: what the PERF_GLOBAL_CTRL fields hold
 * @pebs: the host uses PEBS, which must have ended before an entry
 * @host_rsp, @host_cr3, @host_cr4, @host_fs_base: what HOST_* hold
 * @host_debugctl: the host's, which an exit clears
 * @host_kernel_gs: the host's MSR while the guest's is in the CPU
 * @star, @lstar, @sfmask: what these MSRs hold, if @syscall_loaded
 * @ds, @es, @fs, @gs, @ldt: the host's selectors, which an exit makes null; @selectors:
 *	the first four
 * @syscall_loaded: the guest's SYSCALL MSRs are in the CPU
 * @dr6_loaded: DR6 is the guest's
 * @debug: with debug_state
 * @l1d_flush: more than the shortest exits touched secrets since the last entry
 */
struct lm_hw {
	struct vmx_vmcs *vmcs;
	u64 vmcs_pa;
	int cpu;
	struct list_head node;
	bool launched, fresh, loaded;
	bool syscall_loaded, dr6_loaded, l1d_flush, pebs;
	u32 todo;
	u32 pin, proc, proc2, entry, exceptions;
	u32 vpid;
	struct lm_tag_pool *tags;
	u64 eptp;
	u64 cr4_owned;
	u8 *msr_bitmap;
	u64 *pml;
	bool x2apic;
	u32 tpr_threshold;
	u64 eoi_exit[4];
	u64 timer;
	struct vmx_msr_lists *msr_lists;
	u32 nr_msrs;
	u64 perf_host, perf_guest;
	u64 host_rsp, host_cr3, host_cr4, host_fs_base;
	u64 host_debugctl, host_kernel_gs, star, lstar, sfmask;
	union {
		struct {
			u16 ds, es, fs, gs;
		};
		u64 selectors;
	};
	u16 ldt;
	struct vmx_debug *debug;
};

/**
 * struct vmx_caps - the controls that are used on this host (constant after load)
 * @pin ... @entry: the settings of every VMCS; some are changed per vCPU
 * @cr0_fixed, @cr4_fixed: bits that must be 1 in VMX operation
 * @ept: IA32_VMX_EPT_VPID_CAP
 * @revision: of VMCS regions
 * @timer_shift: the preemption timer counts changes of this bit of the TSC
 * @vpid: tags are used
 * @perf: perf counts on this host, so that guests need other values of its MSRs
 * @perf_ctrl: PERF_GLOBAL_CTRL is loaded at entries and exits
 * @ept_ad: the CPU sets accessed and dirty bits of the nested table
 */
struct vmx_caps {
	u32 pin, proc, proc2, exit, entry;
	u64 cr0_fixed, cr4_fixed;
	u64 ept;
	u32 revision;
	u8 timer_shift;
	bool vpid, ept_ad, perf, perf_ctrl;
};

extern struct vmx_caps lm_vmx_caps;
extern bool lm_vmx_check_entries;
DECLARE_STATIC_KEY_FALSE(lm_vmx_l1d);
DECLARE_PER_CPU(struct lm_hw *, lm_vmx_current);	/* whose VMCS is current */
DECLARE_PER_CPU(struct desc_ptr, lm_vmx_gdt);		/* an exit leaves the limit at 64 KiB */

/* caps.c */
int lm_vmx_setup(void);
void lm_vmx_teardown(void);
int lm_vmx_cpu_on(void);
void lm_vmx_cpu_off(void);
void lm_vmx_switch(struct lm_hw *hw);
void lm_vmx_clear(struct lm_hw *hw);
void lm_vmx_leave_cpu(struct lm_vcpu *vcpu);

/**
 * lm_vmx_use - make a VMCS current on this CPU
 * @hw: active here or nowhere
 *
 * Interrupts off.
 */
static __always_inline void lm_vmx_use(struct lm_hw *hw)
{
	if (unlikely(this_cpu_read(lm_vmx_current) != hw))
		lm_vmx_switch(hw);
}

/* vmcs.c */
int lm_vmx_vcpu_init(struct lm_vcpu *vcpu);
void lm_vmx_vcpu_free(struct lm_vcpu *vcpu);
void lm_vmx_update(struct lm_vcpu *vcpu);
void lm_vmx_tsc(struct lm_vcpu *vcpu);
void lm_vmx_todo(struct lm_vcpu *vcpu);
void lm_vmx_dump(struct lm_vcpu *vcpu);
void lm_vmx_unhalt(struct lm_vcpu *vcpu);
void lm_vmx_set_proc(struct lm_hw *hw, u32 proc);

/* host.c */
u64 lm_vmx_tr_base(void);
void lm_vmx_host_cpu(struct lm_hw *hw);
void lm_vmx_host_on(void);
void lm_vmx_host_refresh(struct lm_hw *hw);
void lm_vmx_put_syscall(struct lm_vcpu *vcpu);
void lm_vmx_put_dr6(struct lm_vcpu *vcpu);
void lm_vmx_load(struct lm_vcpu *vcpu);
void lm_vmx_unload(struct lm_vcpu *vcpu);
void lm_vmx_window(struct lm_vcpu *vcpu);

/* apic.c */
u32 lm_vmx_apic_controls(struct lm_vcpu *vcpu, u32 proc2);
u32 lm_vmx_apic_init(struct lm_vcpu *vcpu, u32 proc);
void lm_vmx_apic(struct lm_vcpu *vcpu);
void lm_vmx_exit_apic_access(struct lm_vcpu *vcpu);

/* state.c */
u32 lm_vmx_ar(const struct lm_seg *s, enum lm_seg_index i);
void lm_vmx_get(struct lm_vcpu *vcpu, u32 groups);
void lm_vmx_put(struct lm_vcpu *vcpu);
void lm_vmx_dirty(struct lm_vcpu *vcpu);

/* exit.c */
void lm_vmx_enter(struct lm_vcpu *vcpu);

/* check.c */
bool lm_vmx_check(void);

/* enter.S */
bool lm_vmx_run(u64 *gpr, u64 *host_rsp, bool launched);
void lm_vmx_exit_point(void);

#define VMX_PML_FIRST		511		/* index of the first entry; the log is filled downwards */
#define VMX_TIMER_NEVER		0xffffffff	/* minutes at least, and then an exit for nothing */
#define VMX_AR_UNUSABLE		BIT(16)
#define VMX_BLOCK_STI		BIT(0)
#define VMX_BLOCK_MOVSS		BIT(1)
#define VMX_BLOCK_NMI		BIT(3)

#endif
