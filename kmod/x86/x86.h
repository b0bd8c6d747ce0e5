/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a vCPU is, whoever runs it: CPUID, MSRs, control registers, FPU and
 * XSAVE state, TSC and pvclock, events, the walk of the guest's own page table.
 */
#ifndef LM_X86_H
#define LM_X86_H

#include <linux/jump_label.h>
#include <linux/kvm.h>
#include <linux/spinlock_types.h>
#include <linux/types.h>
#include <asm/special_insns.h>

struct lm_vm;
struct lm_vcpu;
struct lm_msr_filter;
struct fxregs_state;

#define LM_MAX_CPUID	256
#define LM_MAX_XSAVE	8192	/* without AMX; checked at load against CPUID 0xd */
#define LM_MCE_BANKS	32
#define LM_MCE_BANKS_DEFAULT 8		/* without KVM_X86_SETUP_MCE */
#define LM_MCE_CAP	(MCG_CTL_P | MCG_SER_P)	/* bits of MCG_CAP that it takes */
#define LM_MTRR_VAR	8

struct lm_cpuid {
	u32 nr;
	struct kvm_cpuid_entry2 entry[];
};

struct lm_x86 {
	struct lm_cpuid *cpuid;		/* replaced under vcpu->mutex */
	u16 index_basic[0x20];		/* leaf → entry + 1, first subleaf */
	u16 index_ext[0x24];
	const struct kvm_cpuid_entry2 *cpuid_last;	/* the last answer that never changes */
	u64 cpuid_last_key;		/* leaf, subleaf << 32 */
	/* derived from CPUID */
	u64 cr4_reserved;		/* bits whose setting is #GP */
	u64 efer_reserved;
	u64 xcr0_supported;
	u64 spec_ctrl_supported;	/* bits of SPEC_CTRL, 0: no such MSR */
	u8 maxphyaddr;
	u64 pa_reserved;		/* physical address bits 51:maxphyaddr */
	u32 pv_features;		/* KVM_FEATURE_* as user space set them */
	bool pv_enforced;		/* KVM_CAP_ENFORCE_PV_FEATURE_CPUID */
	bool has_xsave, has_rdtscp, has_pcid, has_nx, has_1g, has_long, has_smep, has_smap, has_pku;
	bool has_xsaves, has_pse36, has_ibpb, has_flush_l1d, has_arch_caps, has_tsc_adjust;
	bool told_mwait;		/* CPUID lists MONITOR and MWAIT */
	bool amd;			/* the guest's vendor: rules that differ */

	void *fpu;			/* XSAVE area of the guest, 64-byte aligned */
	bool fpu_loaded;		/* the CPU's registers are current, not the area */
	bool fpu_host;			/* the host's area holds user space's registers meanwhile */
	u64 xcr0, xss;
	u64 xcr0_run;			/* what XCR0 holds in the section */
	bool xcrs_differ;		/* there XCR0 or XSS is not, or may not be, the host's */
	u32 pkru, host_pkru;
	u64 tsc_aux;
	u64 spec_ctrl;
	u8 cr8;				/* the LAPIC's TPR 7:4 if there is one in the kernel */
	u64 apic_base_msr;		/* kept equal to the LAPIC's, if there is one */
	u64 misc_enable, mtrr_def;
	u64 mtrr_fixed[11], mtrr_var[2 * LM_MTRR_VAR];
	u64 mcg_status, mcg_ctl, mce_bank[4 * LM_MCE_BANKS];
	u64 mcg_cap;
	u64 arch_caps, microcode, platform_info;
	u64 osvw_length, osvw_status;
	u64 hwcr, de_cfg;

	u64 tsc_offset;
	u64 tsc_khz;			/* of the guest */
	u64 tsc_ratio;			/* as the hardware takes it, 0 if not scaled */
	u64 tsc_adjust;
	u32 tsc_mul;			/* guest cycles → ns, as in the pvclock page */
	s8 tsc_shift;
	u64 left_tsc, left_ns;		/* guest's TSC and time at the last leave, unstable hosts */

	/* KVM's paravirtual areas: guest physical addresses and enable bits */
	u64 pv_time, pv_eoi, pv_steal, pv_poll;
	u64 steal_last;
	bool pv_eoi_pending;
	bool pv_preempted;		/* the steal time area says so, and may ask for a flush */
	bool pv_stopped;		/* the next clock page says that the guest was stopped */

	/* what made the last lm_fetch or lm_linear_read answer LM_FAULT */
	u64 fault_addr;
	u32 fault_error;
};

struct lm_vm_x86 {
	raw_spinlock_t clock_lock;
	s64 clock_offset_ns;		/* KVM clock = boot clock + offset */
	bool ref_valid;			/* all vCPUs count from this pair: */
	u64 ref_tsc, ref_ns;		/* host TSC, KVM clock */
	u64 suspend_tsc;		/* the host's when it went to sleep */
	u32 host_mul;			/* host cycles → ns */
	s8 host_shift;
	u64 wall_clock_msr;
	u64 default_tsc_khz;
	u64 last_tsc_write, last_tsc_ns, last_tsc_offset;	/* TSC write matching of vCPUs */
	u64 last_tsc_khz;
	struct lm_msr_filter __rcu *msr_filter;	/* written under vm->lock, or NULL */
	u32 user_msr;			/* KVM_MSR_EXIT_REASON_*; any thread sets it */
	bool no_platform_info;		/* guests may not read it; any thread sets it */
	u64 disabled_quirks;		/* KVM_X86_QUIRK_*; any thread sets it */
	u64 disabled_exits;		/* KVM_X86_DISABLE_EXITS_*; before there are vCPUs */
	bool exception_payload, triple_fault_event; /* in KVM_GET_VCPU_EVENTS; likewise */
};

int lm_x86_setup(void);			/* at load, after backend.setup: 0 or errno */
void lm_x86_teardown(void);
void lm_x86_vm_init(struct lm_vm *vm);
int lm_x86_init(struct lm_vcpu *vcpu);
void lm_x86_free(struct lm_vcpu *vcpu);
/* power-on or INIT values of all of vcpu->st too (APM vol. 2, 14.1.3) */
void lm_x86_reset(struct lm_vcpu *vcpu, bool init);
void lm_x86_suspend(struct lm_vm *vm);	/* host goes to sleep: interrupts off, one CPU */
void lm_x86_resume(struct lm_vm *vm);	/* for each VM after it woke, before tasks run */

/* ---- mce.c ---- */
int lm_mce_read(struct lm_vcpu *vcpu, u32 msr, u64 *val, bool host);
int lm_mce_write(struct lm_vcpu *vcpu, u32 msr, u64 val, bool host);
void lm_mce_reset(struct lm_vcpu *vcpu);
int lm_mce_setup(struct lm_vcpu *vcpu, const u64 *cap);
int lm_mce_inject(struct lm_vcpu *vcpu, const struct kvm_x86_mce *mce);

/* ---- cpuid.c ---- */
int lm_cpuid_emulated(struct kvm_cpuid2 __user *arg);
int lm_cpuid_supported(struct kvm_cpuid2 __user *arg);
/* Afterwards the caller runs backend.update, as intercepts may depend on features. */
int lm_cpuid_set(struct lm_vcpu *vcpu, struct kvm_cpuid2 *hdr,
		 const struct kvm_cpuid_entry2 *entries);
int lm_cpuid_get(struct lm_vcpu *vcpu, struct kvm_cpuid2 __user *arg);
const struct kvm_cpuid_entry2 *lm_cpuid_find(struct lm_vcpu *vcpu, u32 leaf, u32 sub);
/* EAX, ECX in → EAX…EDX out (section; the exit's whole work but RIP) */
void lm_cpuid_exec(struct lm_vcpu *vcpu);
bool lm_cpuid_pv(struct lm_vcpu *vcpu, unsigned int feature);	/* KVM_FEATURE_* announced */
/* X86_FEATURE_* that the guest sees and the module offers; slow */
bool lm_cpuid_has(struct lm_vcpu *vcpu, unsigned int feature);
void lm_cpuid_setup(void);
u64 lm_efer_reserved_host(void);
bool lm_cpuid_offers(unsigned int feature);		/* X86_FEATURE_* that any guest may have */
/* host's leaf → what the module offers of it */
void lm_cpuid_filter(struct kvm_cpuid_entry2 *e);

/*
 * ---- msr.c ----
 * 0 done, 1 → #GP, LM_NEED (a guest's write); section or ioctl (host: what the guest's CPUID
 * hides is there all the same).
 */
int lm_msr_read(struct lm_vcpu *vcpu, u32 msr, u64 *val, bool host);
int lm_msr_write(struct lm_vcpu *vcpu, u32 msr, u64 val, bool host);
int lm_msr_index_list(struct kvm_msr_list __user *arg);
int lm_msr_feature_list(struct kvm_msr_list __user *arg);
int lm_msr_feature_read(u32 msr, u64 *val);		/* KVM_GET_MSRS on /dev/lamina: 0 or 1 */
bool lm_mtrr_valid(u32 msr, u64 val, u8 maxphyaddr);
bool lm_pat_valid(u64 pat);

/* what both answer where no MSR has this number; else as 1 */
#define LM_MSR_UNKNOWN	3

/* ---- msr_filter.c ---- */
DECLARE_STATIC_KEY_FALSE(lm_msr_specials);
bool lm_msr_filtered(struct lm_vm *vm, u32 msr, u32 access);
int lm_msr_filter_set(struct lm_vm *vm, void __user *arg);
void lm_msr_filter_free(struct lm_vm *vm);

#define LM_DR6_FIXED	0xffff0ff0ull
#define LM_DR6_WRITABLE	0x0000e00full
#define LM_DR7_FIXED	0x00000400ull
#define LM_DR7_WRITABLE	0xffff2bffull
#define LM_DR7_ENABLED	0x000000ffull	/* L0 to G3 */
#define DR_GENERAL_DETECT BIT_ULL(13)	/* DR7.GD */
#define DR_ACCESS	BIT_ULL(13)	/* DR6.BD */

/* ---- cr.c: 0 or 1 (#GP); update the neutral state and the vendor ---- */
int lm_write_cr0(struct lm_vcpu *vcpu, u64 val);
int lm_write_cr3(struct lm_vcpu *vcpu, u64 val);
int lm_write_cr4(struct lm_vcpu *vcpu, u64 val);
int lm_write_cr8(struct lm_vcpu *vcpu, u64 val);
int lm_write_efer(struct lm_vcpu *vcpu, u64 val, bool host);
int lm_write_xcr0(struct lm_vcpu *vcpu, u32 index, u64 val);
bool lm_xcr0_valid(u64 supported, u64 val);
/* before a read: 0, or queues #UD/#DB and 1 */
int lm_check_dr(struct lm_vcpu *vcpu, unsigned int nr);
/* 0, or queues #UD/#GP/#DB and 1 */
int lm_write_dr(struct lm_vcpu *vcpu, unsigned int nr, u64 val);
u64 lm_read_dr(struct lm_vcpu *vcpu, unsigned int nr);
int lm_sregs_get(struct lm_vcpu *vcpu, struct kvm_sregs *s);
/* -EINVAL for impossible states */
int lm_sregs_set(struct lm_vcpu *vcpu, const struct kvm_sregs *s);
int lm_sregs2_get(struct lm_vcpu *vcpu, struct kvm_sregs2 *s);
int lm_sregs2_set(struct lm_vcpu *vcpu, const struct kvm_sregs2 *s);
bool lm_canonical(struct lm_vcpu *vcpu, u64 linear);
int lm_pdptrs_load(struct lm_vcpu *vcpu);	/* section: LM_DONE, LM_NEED */
/* The guest's translations may be stale: flush its tag before it runs again. */
void lm_guest_tlb_flush(struct lm_vcpu *vcpu);

/* ---- fpu.c ---- */
int lm_fpu_setup(void);
void lm_fpu_teardown(void);
int lm_fpu_init(struct lm_vcpu *vcpu);
void lm_fpu_free(struct lm_vcpu *vcpu);
void lm_fpu_reset(struct lm_vcpu *vcpu);
void lm_fpu_enter(struct lm_vcpu *vcpu);	/* XRSTOR, XCR0, PKRU */
void lm_fpu_leave(struct lm_vcpu *vcpu);
void lm_fpu_xcr0_update(struct lm_vcpu *vcpu);	/* CR4.OSXSAVE or xcr0 changed */
u64 lm_fpu_host_xcr0(void);			/* components that guests may have */
u32 lm_xstate_size(u64 xcr0, bool compact);
int lm_fpu_get(struct lm_vcpu *vcpu, struct kvm_fpu *f);
int lm_fpu_set(struct lm_vcpu *vcpu, const struct kvm_fpu *f);
int lm_xsave_get(struct lm_vcpu *vcpu, struct kvm_xsave *x);
int lm_xsave_set(struct lm_vcpu *vcpu, const struct kvm_xsave *x);
int lm_xcrs_get(struct lm_vcpu *vcpu, struct kvm_xcrs *x);
int lm_xcrs_set(struct lm_vcpu *vcpu, const struct kvm_xcrs *x);
/* section: FPU is loaded in the CPU */
void lm_xmm_read(struct lm_vcpu *vcpu, unsigned int nr, void *buf16);
void lm_xmm_write(struct lm_vcpu *vcpu, unsigned int nr, const void *buf16);

/*
 * Right around the guest: with protection keys of its own the guest has PKRU
 * while it runs, the host's user mappings need the host's in between.
 */
static __always_inline void __lm_pkru_guest(struct lm_x86 *x)
{
	if (unlikely(x->has_pku) && x->pkru != x->host_pkru)
		wrpkru(x->pkru);
}

static __always_inline void __lm_pkru_host(struct lm_x86 *x)
{
	if (likely(!x->has_pku))
		return;
	x->pkru = rdpkru();
	if (x->pkru != x->host_pkru)
		wrpkru(x->host_pkru);
}

#define lm_pkru_guest(vcpu)	__lm_pkru_guest(&(vcpu)->x86)
#define lm_pkru_host(vcpu)	__lm_pkru_host(&(vcpu)->x86)

/* ---- tsc.c, pvclock.c ---- */
void lm_tsc_init(struct lm_vcpu *vcpu);
u64 lm_tsc_read(struct lm_vcpu *vcpu);			/* guest's TSC now */
u64 lm_tsc_to_guest(struct lm_vcpu *vcpu, u64 host_tsc);
void lm_tsc_offset_write(struct lm_vcpu *vcpu, u64 offset);
void lm_tsc_write(struct lm_vcpu *vcpu, u64 val, bool host);
void lm_tsc_adjust_write(struct lm_vcpu *vcpu, u64 val, bool host);
int lm_tsc_set_khz(struct lm_vcpu *vcpu, u32 khz);	/* 0 or -EINVAL */
u64 lm_guest_tsc_to_ns(struct lm_vcpu *vcpu, u64 cycles);	/* for the LAPIC's deadline timer */
bool lm_tsc_matched(struct lm_vm *vm);			/* all vCPUs read the same TSC */
void lm_time_scale(u64 hz, u32 *mul, s8 *shift);	/* cycles of hz → ns */
bool lm_tsc_near(u64 val, u64 expected, u64 hz);
/* On hosts whose TSC is unstable only: keep the guest's from going backwards.  In the section. */
void lm_tsc_follow(struct lm_vcpu *vcpu);
void lm_tsc_note(struct lm_vcpu *vcpu);

void lm_clock_init(struct lm_vm *vm);
/* LM_REQ_CLOCK for all, kicks all but @self */
void lm_clock_changed(struct lm_vm *vm, struct lm_vcpu *self);
u64 lm_clock_hold(struct lm_vm *vm);		/* the host goes to sleep */
int lm_clock_get(struct lm_vm *vm, struct kvm_clock_data *c);
int lm_clock_set(struct lm_vm *vm, const struct kvm_clock_data *c);
int lm_wall_clock_write(struct lm_vcpu *vcpu, u64 gpa);	/* section: LM_DONE or LM_NEED */
/* LM_REQ_CLOCK in the section: LM_DONE or LM_NEED */
int lm_pvclock_update(struct lm_vcpu *vcpu);
/* LM_REQ_STEAL: after the vCPU's thread was off its CPU */
int lm_pvclock_stopped(struct lm_vcpu *vcpu);	/* KVM_KVMCLOCK_CTRL */
int lm_steal_update(struct lm_vcpu *vcpu);
void lm_steal_preempted(struct lm_vcpu *vcpu);	/* section: its thread loses the CPU or waits */
/*
 * PV EOI.  lm_events_prepare() lets the guest end the only interrupt in service by clearing a flag
 * in memory, and lm_pv_eoi_sync() carries that over to the LAPIC: before the vCPU halts and before
 * user space sees it.
 */
int lm_pv_eoi_arm(struct lm_vcpu *vcpu);		/* LM_DONE armed; else not */
int lm_pv_eoi_sync(struct lm_vcpu *vcpu);		/* LM_DONE or LM_NEED */

/*
 * ---- event.c ----
 * The rule: lm_events_prepare() must run before an entry if LM_REQ_EVENT is set, and only then.
 * It clears the request and leaves what cannot be delivered yet to a window (want_irq_window,
 * want_nmi_window); the exit of a window sets the request again.  (An NMI that a shadow or this
 * entry's event keeps back leaves it set: enter, and look again after the exit.)  So whoever makes something
 * deliverable sets LM_REQ_EVENT: a new interrupt or NMI, a lower TPR, an EOI with more pending,
 * the IRET that ends an NMI, KVM_SET_REGS (RFLAGS), _SREGS, _VCPU_EVENTS, _MP_STATE, KVM_INTERRUPT.
 * vcpu->inject is 0 outside prepare … entry; whoever does not enter after all calls
 * lm_events_cancel().
 */
/* merges to #DF and triple fault */
void lm_queue_exception(struct lm_vcpu *vcpu, u8 vector, bool has_error, u32 error, u64 payload);
void lm_inject_gp(struct lm_vcpu *vcpu, u32 error);
void lm_inject_ud(struct lm_vcpu *vcpu);
void lm_inject_pf(struct lm_vcpu *vcpu, u64 addr, u32 error);
/* section, before entry: LM_DONE; LM_AGAIN: a triple fault waits; LM_NEED */
int lm_events_prepare(struct lm_vcpu *vcpu);
void lm_events_cancel(struct lm_vcpu *vcpu);	/* prepared, but not entered */
/* vendor found an undelivered event */
void lm_events_exited(struct lm_vcpu *vcpu, u64 inflight, u8 len);
bool lm_events_user_window(struct lm_vcpu *vcpu);	/* user space waits until it can inject */
bool lm_events_irq_ready(struct lm_vcpu *vcpu);	/* would a KVM_INTERRUPT be delivered at once? */
bool lm_events_runnable(struct lm_vcpu *vcpu);	/* does a halted vCPU have a reason to run? */
int lm_vcpu_events_get(struct lm_vcpu *vcpu, struct kvm_vcpu_events *e);
int lm_vcpu_events_set(struct lm_vcpu *vcpu, const struct kvm_vcpu_events *e);
void lm_events_reset(struct lm_vcpu *vcpu);

/* What two exceptions in a row make (APM vol. 2, 8.2.9, table 8-4). */
enum lm_merge { LM_MERGE_NEW, LM_MERGE_DF, LM_MERGE_TRIPLE };
enum lm_merge lm_exception_merge(u8 first, u8 second);

/* ---- paging.c: the guest's own page table, in the section ---- */
#define LM_ACC_WRITE	BIT(1)
#define LM_ACC_USER	BIT(2)
#define LM_ACC_EXEC	BIT(4)
#define LM_ACC_SYS	BIT(8)	/* implicit supervisor access (IDT, GDT, TSS) whatever the CPL */
/*
 * LM_DONE: *gpa is valid.  LM_NEED, LM_AGAIN.  A fault answers LM_FAULT after it stored
 * the page fault's error code in *error (nothing is queued).
 */
#define LM_FAULT	16
int lm_walk(struct lm_vcpu *vcpu, u64 linear, u32 access, u64 *gpa, u32 *error);
u32 lm_access(struct lm_vcpu *vcpu);	/* LM_ACC_USER at CPL 3, else 0 */

/*
 * Linear memory in the section; crosses pages.  LM_DONE; else *got bytes (less than asked) were
 * read before the trouble: LM_NEED, LM_AGAIN, LM_USER (no memory there), LM_FAULT (#PF:
 * x86.fault_addr, x86.fault_error; nothing is queued).
 */
int lm_linear_read(struct lm_vcpu *vcpu, u64 linear, void *buf, unsigned int bytes, u32 access,
		   unsigned int *got);
bool lm_fetch_quick(struct lm_vcpu *vcpu, u64 *to);	/* fetch.c */
const struct lm_insn *lm_insn_quick(struct lm_vcpu *vcpu);
int lm_insn_keep(struct lm_vcpu *vcpu, unsigned int mode, const struct lm_insn **insn);
int lm_fetch(struct lm_vcpu *vcpu, u64 linear, void *buf, unsigned int bytes, unsigned int *got);

#endif
