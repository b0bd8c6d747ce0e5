/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a vCPU is, whoever runs it: CPUID, MSRs, control registers, FPU and
 * XSAVE state, TSC and pvclock, events, the walk of the guest's own page table.
 */
#ifndef LM_X86_H
#define LM_X86_H

#include <linux/kvm.h>
#include <linux/types.h>

struct lm_vm;
struct lm_vcpu;
struct fxregs_state;

#define LM_MAX_CPUID	256
#define LM_MAX_XSAVE	8192	/* without AMX; checked at load against CPUID 0xd */

struct lm_cpuid {
	u32 nr;
	struct kvm_cpuid_entry2 entry[];
};

struct lm_x86 {
	struct lm_cpuid *cpuid;		/* replaced under vcpu->mutex */
	u16 index_basic[0x20];		/* leaf → entry + 1, first subleaf */
	u16 index_ext[0x24];
	/* derived from CPUID */
	u64 cr4_reserved;		/* bits whose setting is #GP */
	u64 efer_reserved;
	u64 xcr0_supported;
	u8 maxphyaddr;
	u64 pa_reserved;		/* physical address bits above maxphyaddr */
	bool has_xsave, has_rdtscp, has_pcid, has_nx, has_1g, has_long, has_smep, has_smap, has_pku;

	void *fpu;			/* XSAVE area of the guest, 64-byte aligned */
	u64 xcr0, xss;
	u32 pkru;
	u64 tsc_aux;
	u64 spec_ctrl;
	u64 apic_base_msr;		/* without an in-kernel LAPIC */
	u64 misc_enable, mtrr_def;
	u64 mtrr_fixed[11], mtrr_var[16];
	u64 mcg_status, mcg_ctl, mce_bank[32];
	u64 mcg_cap;
	u64 smbase_unused;
	u64 arch_caps, microcode, platform_info;
	u64 osvw_length, osvw_status;

	u64 tsc_offset;
	u64 tsc_khz;			/* of the guest */
	u64 tsc_ratio;			/* as the hardware takes it, 0 if not scaled */
	u64 tsc_adjust;

	/* KVM's paravirtual areas: guest physical addresses and enable bits */
	u64 pv_time, pv_eoi, pv_steal, pv_async, pv_poll;
	u64 steal_last;
	bool pv_eoi_pending;
};

struct lm_vm_x86 {
	raw_spinlock_t clock_lock;
	s64 clock_offset_ns;		/* KVM clock = boot clock + offset */
	u64 wall_clock_msr;
	u32 wall_version;
	u64 default_tsc_khz;
	u64 last_tsc_write, last_tsc_ns, last_tsc_offset;	/* TSC write matching of vCPUs */
};

int lm_x86_setup(void);			/* at load: host features, XSAVE size; 0 or errno */
void lm_x86_vm_init(struct lm_vm *vm);
int lm_x86_init(struct lm_vcpu *vcpu);
void lm_x86_free(struct lm_vcpu *vcpu);
void lm_x86_reset(struct lm_vcpu *vcpu, bool init);	/* power-on or INIT values of all of vcpu->st too (APM vol. 2, 14.1.3) */

/* ---- cpuid.c ---- */
int lm_cpuid_supported(struct kvm_cpuid2 __user *arg);
int lm_cpuid_set(struct lm_vcpu *vcpu, struct kvm_cpuid2 *hdr, const struct kvm_cpuid_entry2 *entries);
int lm_cpuid_get(struct lm_vcpu *vcpu, struct kvm_cpuid2 __user *arg);
const struct kvm_cpuid_entry2 *lm_cpuid_find(struct lm_vcpu *vcpu, u32 leaf, u32 sub);
void lm_cpuid_exec(struct lm_vcpu *vcpu);		/* EAX, ECX in → EAX…EDX out (section; the exit's whole work but RIP) */
bool lm_cpuid_pv(struct lm_vcpu *vcpu, unsigned int feature);	/* KVM_FEATURE_* announced */

/* ---- msr.c: 0 done, 1 → #GP, LM_NEED, negative errno; section or ioctl (host: no reserved-bit rules of the guest's CPUID) ---- */
int lm_msr_read(struct lm_vcpu *vcpu, u32 msr, u64 *val, bool host);
int lm_msr_write(struct lm_vcpu *vcpu, u32 msr, u64 val, bool host);
int lm_msr_index_list(struct kvm_msr_list __user *arg);
int lm_msr_feature_list(struct kvm_msr_list __user *arg);

/* ---- cr.c: 0 or 1 (#GP); update the neutral state and the vendor ---- */
int lm_write_cr0(struct lm_vcpu *vcpu, u64 val);
int lm_write_cr3(struct lm_vcpu *vcpu, u64 val);
int lm_write_cr4(struct lm_vcpu *vcpu, u64 val);
int lm_write_cr8(struct lm_vcpu *vcpu, u64 val);
int lm_write_efer(struct lm_vcpu *vcpu, u64 val, bool host);
int lm_write_xcr0(struct lm_vcpu *vcpu, u32 index, u64 val);
int lm_write_dr(struct lm_vcpu *vcpu, unsigned int nr, u64 val);	/* 0, or queues #UD/#GP/#DB and 1 */
u64 lm_read_dr(struct lm_vcpu *vcpu, unsigned int nr);
int lm_sregs_get(struct lm_vcpu *vcpu, struct kvm_sregs *s);
int lm_sregs_set(struct lm_vcpu *vcpu, const struct kvm_sregs *s);	/* -EINVAL for impossible states */

/* ---- fpu.c ---- */
void lm_fpu_enter(struct lm_vcpu *vcpu);	/* kernel_fpu_begin, XCR0, PKRU, XRSTOR */
void lm_fpu_leave(struct lm_vcpu *vcpu);
int lm_fpu_get(struct lm_vcpu *vcpu, struct kvm_fpu *f);
int lm_fpu_set(struct lm_vcpu *vcpu, const struct kvm_fpu *f);
int lm_xsave_get(struct lm_vcpu *vcpu, struct kvm_xsave *x);
int lm_xsave_set(struct lm_vcpu *vcpu, const struct kvm_xsave *x);
int lm_xcrs_get(struct lm_vcpu *vcpu, struct kvm_xcrs *x);
int lm_xcrs_set(struct lm_vcpu *vcpu, const struct kvm_xcrs *x);
void lm_xmm_read(struct lm_vcpu *vcpu, unsigned int nr, void *buf16);	/* section: FPU is loaded in the CPU */
void lm_xmm_write(struct lm_vcpu *vcpu, unsigned int nr, const void *buf16);

/* ---- tsc.c, pvclock.c ---- */
u64 lm_tsc_read(struct lm_vcpu *vcpu);			/* guest's TSC now */
u64 lm_tsc_to_guest(struct lm_vcpu *vcpu, u64 host_tsc);
void lm_tsc_write(struct lm_vcpu *vcpu, u64 val, bool host);
int lm_tsc_set_khz(struct lm_vcpu *vcpu, u32 khz);
u64 lm_guest_tsc_to_ns(struct lm_vcpu *vcpu, u64 cycles);	/* for the LAPIC's deadline timer */
int lm_clock_get(struct lm_vm *vm, struct kvm_clock_data *c);
int lm_clock_set(struct lm_vm *vm, const struct kvm_clock_data *c);
int lm_pvclock_update(struct lm_vcpu *vcpu);		/* LM_REQ_CLOCK in the section: LM_DONE or LM_NEED */
int lm_steal_update(struct lm_vcpu *vcpu);		/* LM_REQ_STEAL */
int lm_pv_eoi_arm(struct lm_vcpu *vcpu);		/* before entry, after injecting the only interrupt in service */
bool lm_pv_eoi_taken(struct lm_vcpu *vcpu);

/* ---- event.c ---- */
void lm_queue_exception(struct lm_vcpu *vcpu, u8 vector, bool has_error, u32 error, u64 payload); /* merges to #DF and triple fault */
void lm_inject_gp(struct lm_vcpu *vcpu, u32 error);
void lm_inject_ud(struct lm_vcpu *vcpu);
void lm_inject_pf(struct lm_vcpu *vcpu, u64 addr, u32 error);
int lm_events_prepare(struct lm_vcpu *vcpu);	/* section, before entry: choose inject, windows; LM_DONE, LM_AGAIN (shutdown, halt) */
void lm_events_exited(struct lm_vcpu *vcpu, u64 inflight, u8 len);	/* vendor found an undelivered event */
bool lm_events_runnable(struct lm_vcpu *vcpu);	/* does a halted vCPU have a reason to run? */
int lm_vcpu_events_get(struct lm_vcpu *vcpu, struct kvm_vcpu_events *e);
int lm_vcpu_events_set(struct lm_vcpu *vcpu, const struct kvm_vcpu_events *e);

/* ---- paging.c: the guest's own page table, in the section ---- */
#define LM_ACC_WRITE	BIT(1)
#define LM_ACC_USER	BIT(2)
#define LM_ACC_EXEC	BIT(4)
/*
 * LM_DONE: *gpa is valid.  LM_NEED.  1 << 8 | … never: a fault answers LM_FAULT
 * (below) after it stored the page fault's error code in *error (nothing is queued).
 */
#define LM_FAULT	16
int lm_walk(struct lm_vcpu *vcpu, u64 linear, u32 access, u64 *gpa, u32 *error);

/* Linear memory in the section; crosses pages; LM_DONE, LM_NEED, LM_FAULT (#PF recorded in *error, address in *addr). */
int lm_fetch(struct lm_vcpu *vcpu, u64 linear, void *buf, unsigned int bytes, unsigned int *got);

#endif
