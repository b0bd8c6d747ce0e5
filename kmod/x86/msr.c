// SPDX-License-Identifier: GPL-2.0-only
/*
 * Model-specific registers: one switch to read, one to write.  Which of them the
 * guest reaches without an exit is the vendor's choice; their values live in the
 * neutral state either way.
 */
#include <linux/bits.h>
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/sched/stat.h>
#include <linux/uaccess.h>
#include <asm/apicdef.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>
#include <asm/msr-index.h>
#include <asm/mtrr.h>

#include "../lamina.h"
#include "../backend.h"

#define LM_MTRR_CAP	(LM_MTRR_VAR | BIT(8) | BIT(10))	/* fixed ranges, write-combining */

#define MSR_AMD_EVNTSEL0	0xc0010000	/* K7's: four selectors, four counters */
#define MSR_AMD_PERFCTR3	0xc0010007
#define MSR_AMD_SYSCFG		0xc0010010
#define MSR_AMD_VM_CR		0xc0010114
#define MSR_AMD_BU_CFG2		0xc001102a
#define MSR_AMD_EX_CFG		0xc001102c
#define MSR_AMD_DE_CFG		0xc0011029
#define MSR_AMD_DC_CFG		0xc0011022
#define MSR_AMD_TSEG_ADDR	0xc0010112
#define MSR_AMD_TSEG_MASK	0xc0010113
#define MSR_AMD_MMIO_CFG	0xc0010058
#define MSR_AMD_INT_PENDING	0xc0010055
#define MSR_AMD_NB_CFG		0xc001001f
#define MSR_AMD_PATCH_LOADER	0xc0010020
#define MSR_AMD_CLK_CTL		0xc001001b
#define MSR_AMD_HSAVE_PA	0xc0010117

#define HWCR_MC_STATUS_WR	BIT_ULL(18)
#define HWCR_TSC_FREQ_SEL	BIT_ULL(24)	/* the TSC counts at the rate of P0 */

/* ARCH_CAPABILITIES: statements of immunity that hold for a guest as well. */
#define LM_ARCH_CAPS	(ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_RSBA | \
			 ARCH_CAP_SKIP_VMENTRY_L1DFLUSH | ARCH_CAP_SSB_NO | ARCH_CAP_MDS_NO | \
			 ARCH_CAP_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO | ARCH_CAP_SBDR_SSDP_NO | \
			 ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO | ARCH_CAP_FB_CLEAR | \
			 ARCH_CAP_RRSBA | ARCH_CAP_PBRSB_NO)

/* ---- memory types ---- */

/* UC, WC, WT, WP, WB; PAT also has UC- (7) (APM vol. 2, 7.7.1, 7.8.1). */
static bool lm_memtype_valid(u8 type, bool pat)
{
	return type < 8 && (BIT(type) & (pat ? 0xf3 : 0x73));
}

/**
 * lm_pat_valid - may the PAT MSR have this value?
 * @pat: eight types of a byte each
 */
bool lm_pat_valid(u64 pat)
{
	unsigned int i;

	for (i = 0; i < 8; i++, pat >>= 8)
		if (!lm_memtype_valid(pat & 0xff, true))
			return false;
	return true;
}

/* The numbers are listed here alone. */
#define LM_CASE_MTRR MSR_MTRRfix64K_00000:				\
	case MSR_MTRRfix16K_80000:					\
	case MSR_MTRRfix16K_A0000:					\
	case MSR_MTRRfix4K_C0000 ... MSR_MTRRfix4K_F8000:		\
	case MSR_MTRRdefType:						\
	case MTRRphysBase_MSR(0) ... MTRRphysMask_MSR(LM_MTRR_VAR - 1)
#define LM_CASE_MCE	MSR_IA32_MCG_CAP ... MSR_IA32_MCG_CTL:		\
	case MSR_IA32_MC0_CTL ... MSR_IA32_MC0_CTL + 4 * LM_MCE_BANKS - 1

/* The place of a fixed-range MTRR in lm_x86.mtrr_fixed, or -1. */
static int lm_mtrr_fixed(u32 msr)
{
	switch (msr) {
	case MSR_MTRRfix64K_00000:
		return 0;
	case MSR_MTRRfix16K_80000:
	case MSR_MTRRfix16K_A0000:
		return 1 + msr - MSR_MTRRfix16K_80000;
	case MSR_MTRRfix4K_C0000 ... MSR_MTRRfix4K_F8000:
		return 3 + msr - MSR_MTRRfix4K_C0000;
	default:
		return -1;
	}
}

/**
 * lm_mtrr_valid - may an MTRR have this value?
 * @msr: variable, fixed or default type
 * @val: the value
 * @maxphyaddr: width of physical addresses
 */
bool lm_mtrr_valid(u32 msr, u64 val, u8 maxphyaddr)
{
	u64 high = maxphyaddr < 64 ? ~0ull << maxphyaddr : 0;
	unsigned int i;

	if (msr - MTRRphysBase_MSR(0) < 2 * LM_MTRR_VAR) {
		if (msr & 1)			/* mask */
			return !(val & (high | 0x7ff));
		return !(val & (high | 0xf00)) && lm_memtype_valid(val & 0xff, false);
	}
	if (msr == MSR_MTRRdefType)
		return !(val & ~0xcffull) && lm_memtype_valid(val & 0xff, false);
	for (i = 0; i < 8; i++, val >>= 8)	/* fixed */
		if (!lm_memtype_valid(val & 0xff, false))
			return false;
	return true;
}

static u64 *lm_mtrr_slot(struct lm_x86 *x, u32 msr)
{
	u32 var = msr - MTRRphysBase_MSR(0);
	int fixed;

	if (var < ARRAY_SIZE(x->mtrr_var))
		return &x->mtrr_var[array_index_nospec(var, ARRAY_SIZE(x->mtrr_var))];
	if (msr == MSR_MTRRdefType)
		return &x->mtrr_def;
	fixed = lm_mtrr_fixed(msr);
	if (fixed < 0)
		return NULL;
	return &x->mtrr_fixed[array_index_nospec(fixed, ARRAY_SIZE(x->mtrr_fixed))];
}

/* ---- neutral state ---- */

static u64 *lm_state_msr(struct lm_vcpu *vcpu, u32 msr, u32 *group)
{
	struct lm_state *st = &vcpu->st;

	*group = LM_S_SYSCALL;
	switch (msr) {
	case MSR_FS_BASE:
		*group = LM_S_SEGS;
		return &st->seg[LM_FS].base;
	case MSR_GS_BASE:
		*group = LM_S_SEGS;
		return &st->seg[LM_GS].base;
	case MSR_KERNEL_GS_BASE:
		return &st->kernel_gs_base;
	case MSR_STAR:
		return &st->star;
	case MSR_LSTAR:
		return &st->lstar;
	case MSR_CSTAR:
		return &st->cstar;
	case MSR_SYSCALL_MASK:
		return &st->sfmask;
	case MSR_IA32_SYSENTER_CS:
		return &st->sysenter_cs;
	case MSR_IA32_SYSENTER_ESP:
		return &st->sysenter_esp;
	case MSR_IA32_SYSENTER_EIP:
		return &st->sysenter_eip;
	default:
		return NULL;
	}
}

static u64 lm_sign_extend(struct lm_vcpu *vcpu, u64 val)
{
	unsigned int shift = lm_cr4(vcpu) & X86_CR4_LA57 ? 64 - 57 : 64 - 48;

	return (s64)(val << shift) >> shift;
}

static int lm_state_msr_write(struct lm_vcpu *vcpu, u32 msr, u64 val)
{
	u32 group;
	u64 *slot = lm_state_msr(vcpu, msr, &group);

	switch (msr) {
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
	case MSR_LSTAR:
	case MSR_CSTAR:
		if (!lm_canonical(vcpu, val))
			return 1;
		break;
	case MSR_IA32_SYSENTER_ESP:
	case MSR_IA32_SYSENTER_EIP:
		/* #GP on Intel; AMD keeps 32 bits (APM vol. 2, 6.1.2), which is canonical */
		if (!lm_canonical(vcpu, val)) {
			if (!vcpu->x86.amd)
				return 1;
			val = lm_sign_extend(vcpu, val);
		}
		break;
	case MSR_SYSCALL_MASK:
		val = (u32)val;
		break;
	}
	lm_need_state(vcpu, group);
	*slot = val;
	lm_mark_state(vcpu, group);
	return 0;
}

/* ---- KVM's own ---- */

/* Under KVM_CAP_ENFORCE_PV_FEATURE_CPUID: is the MSR one that the guest was told of? */
static bool lm_pv_offered(const struct lm_x86 *x, u32 msr)
{
	static const u8 features[] = {
		[MSR_KVM_WALL_CLOCK_NEW & 15] = KVM_FEATURE_CLOCKSOURCE2,
		[MSR_KVM_SYSTEM_TIME_NEW & 15] = KVM_FEATURE_CLOCKSOURCE2,
		[MSR_KVM_ASYNC_PF_EN & 15] = KVM_FEATURE_ASYNC_PF,
		[MSR_KVM_STEAL_TIME & 15] = KVM_FEATURE_STEAL_TIME,
		[MSR_KVM_PV_EOI_EN & 15] = KVM_FEATURE_PV_EOI,
		[MSR_KVM_POLL_CONTROL & 15] = KVM_FEATURE_POLL_CONTROL,
		[MSR_KVM_ASYNC_PF_INT & 15] = KVM_FEATURE_ASYNC_PF_INT,
		[MSR_KVM_ASYNC_PF_ACK & 15] = KVM_FEATURE_ASYNC_PF_INT,
	};

	if (msr == MSR_KVM_WALL_CLOCK || msr == MSR_KVM_SYSTEM_TIME)
		return x->pv_features & BIT(KVM_FEATURE_CLOCKSOURCE);
	return x->pv_features & BIT(features[array_index_nospec(msr & 15, ARRAY_SIZE(features))]);
}

static int lm_pv_read(struct lm_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	struct lm_x86 *x = &vcpu->x86;

	if (unlikely(x->pv_enforced && !host) && !lm_pv_offered(x, msr))
		return 1;
	switch (msr) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*val = READ_ONCE(vcpu->vm->x86.wall_clock_msr);
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*val = x->pv_time;
		return 0;
	case MSR_KVM_STEAL_TIME:
		*val = x->pv_steal;
		return 0;
	case MSR_KVM_PV_EOI_EN:
		*val = x->pv_eoi;
		return 0;
	case MSR_KVM_POLL_CONTROL:
		*val = x->pv_poll;
		return 0;
	case MSR_KVM_ASYNC_PF_EN:
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		*val = 0;		/* not offered, and so off */
		return 0;
	default:
		return 1;
	}
}

static int lm_pv_wall_clock(struct lm_vcpu *vcpu, u64 val, bool host)
{
	/* restored by user space, its page is in the guest's memory already */
	int r = host ? LM_DONE : lm_wall_clock_write(vcpu, val);

	if (r == LM_DONE)
		WRITE_ONCE(vcpu->vm->x86.wall_clock_msr, val);
	return r;
}

static int lm_pv_write(struct lm_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	struct lm_x86 *x = &vcpu->x86;
	int r;

	if (unlikely(x->pv_enforced && !host) && !lm_pv_offered(x, msr))
		return 1;
	switch (msr) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		return lm_pv_wall_clock(vcpu, val, host);
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		WRITE_ONCE(x->pv_time, val);
		lm_request(vcpu, LM_REQ_CLOCK);
		return 0;
	case MSR_KVM_STEAL_TIME:
		if ((val & 0x3e) || ((val & KVM_MSR_ENABLED) && !sched_info_on()))
			return 1;
		x->pv_steal = val;
		/* moved with its memory, it may say so from before */
		x->pv_preempted = val & KVM_MSR_ENABLED;
		/* what this thread waited before is not the guest's loss */
		x->steal_last = current->sched_info.run_delay;
		lm_request(vcpu, LM_REQ_STEAL);
		return 0;
	case MSR_KVM_PV_EOI_EN:
		if (!vcpu->lapic && (val & KVM_MSR_ENABLED))
			return 1;
		if (val & 2)
			return 1;
		/* a handler may write this before it ends its own interrupt: not by an old flag */
		r = host ? 0 : lm_pv_eoi_sync(vcpu);
		if (r)
			return r;
		x->pv_eoi_pending = false;
		x->pv_eoi = val;
		return 0;
	case MSR_KVM_POLL_CONTROL:
		if (val & ~1ull)
			return 1;
		x->pv_poll = val;
		return 0;
	case MSR_KVM_ASYNC_PF_EN:
	case MSR_KVM_ASYNC_PF_INT:
	case MSR_KVM_ASYNC_PF_ACK:
		return val ? 1 : 0;
	default:
		return 1;
	}
}

/* ---- speculation control ---- */

static int lm_spec_ctrl_write(struct lm_vcpu *vcpu, u64 val, bool host)
{
	struct lm_x86 *x = &vcpu->x86;

	/* the value goes into the CPU: no bit that it may lack, whoever writes */
	if ((!host && !x->spec_ctrl_supported) || (val & ~x->spec_ctrl_supported))
		return 1;
	x->spec_ctrl = val;
	lm_backend_update(vcpu);
	return 0;
}

static int lm_pred_cmd(struct lm_vcpu *vcpu, u64 val, bool host)
{
	if ((!host && !vcpu->x86.has_ibpb) || (val & ~(u64)PRED_CMD_IBPB))
		return 1;
	if (!host && val)
		wrmsrl(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	return 0;
}

static int lm_flush_cmd(struct lm_vcpu *vcpu, u64 val, bool host)
{
	if ((!host && !vcpu->x86.has_flush_l1d) || (val & ~(u64)L1D_FLUSH))
		return 1;
	if (!host && val)
		wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
	return 0;
}

/* ---- APIC ---- */

/* The page that the CPU answers for must go before a LAPIC leaves it. */
static int lm_apic_page_leave(struct lm_vcpu *vcpu, u64 val, bool host)
{
	struct lm_mem *mem = &vcpu->vm->mem;
	u64 place = val & (GENMASK_ULL(51, 12) | XAPIC_ENABLE | X2APIC_ENABLE);

	if (!mem->apic_page || READ_ONCE(mem->apic_off) ||
	    place == (APIC_DEFAULT_PHYS_BASE | XAPIC_ENABLE))
		return LM_DONE;
	if (!host) {
		vcpu->mem.need_apic_off = true;
		return LM_NEED;
	}
	lm_apic_page_off(vcpu->vm);
	return LM_DONE;
}

static int lm_apic_base_write(struct lm_vcpu *vcpu, u64 val, bool host)
{
	struct lm_x86 *x = &vcpu->x86;
	int r;

	if (vcpu->lapic) {
		r = lm_apic_page_leave(vcpu, val, host);
		if (r)
			return r;
		if (lm_lapic_msr_write(vcpu, MSR_IA32_APICBASE, val, host))
			return 1;
		return lm_lapic_msr_read(vcpu, MSR_IA32_APICBASE, &x->apic_base_msr);
	}
	/* bits 7:0, 9 and all above the physical address; x2APIC needs the enable bit */
	if (val & (GENMASK_ULL(63, 52) | x->pa_reserved | 0x2ff))
		return 1;
	if ((val & X2APIC_ENABLE) && !(val & XAPIC_ENABLE))
		return 1;
	x->apic_base_msr = val;
	return 0;
}

/* ---- what both CPUs and KVM know, and what means nothing in a guest ---- */

/* Registers that read 0 or a constant. */
static int lm_fixed_read(u32 msr, u64 *val)
{
	switch (msr) {
	case MSR_IA32_PLATFORM_ID:
	case MSR_IA32_EBL_CR_POWERON:
	case MSR_IA32_LASTBRANCHFROMIP:
	case MSR_IA32_LASTBRANCHTOIP:
	case MSR_IA32_LASTINTFROMIP:
	case MSR_IA32_LASTINTTOIP:
	case MSR_IA32_DEBUGCTLMSR:
	case MSR_AMD_SYSCFG:
	case MSR_AMD_TSEG_ADDR:
	case MSR_AMD_TSEG_MASK:
	case MSR_AMD_HSAVE_PA:
	case MSR_AMD_INT_PENDING:
	case MSR_AMD_NB_CFG:
	case MSR_AMD_MMIO_CFG:
	case MSR_AMD_BU_CFG2:
	case MSR_AMD_DC_CFG:
	case MSR_AMD_EX_CFG:
	case MSR_IA32_PERF_CTL:
	case MSR_RAPL_POWER_UNIT:
	case MSR_PP0_ENERGY_STATUS:
	case MSR_PP1_ENERGY_STATUS:
	case MSR_PKG_ENERGY_STATUS:
	case MSR_DRAM_ENERGY_STATUS:
	case MSR_AMD_EVNTSEL0 ... MSR_AMD_PERFCTR3:	/* no PMU: selectors and counters */
	case MSR_P6_PERFCTR0:
	case MSR_P6_PERFCTR1:
	case MSR_P6_EVNTSEL0:
	case MSR_P6_EVNTSEL1:
	case MSR_IA32_P5_MC_ADDR:
	case MSR_IA32_P5_MC_TYPE:
	case MSR_MISC_FEATURES_ENABLES:
	case MSR_IA32_POWER_CTL:
	case MSR_IA32_PERF_CAPABILITIES:
	case MSR_SMI_COUNT:
		*val = 0;
		return 0;
	case MSR_IA32_PERF_STATUS:
		*val = 1000ull | 4ull << 40;	/* a bus ratio that kernels divide by */
		return 0;
	case MSR_FSB_FREQ:
		*val = 3;
		return 0;
	case MSR_EBC_FREQUENCY_ID:
		*val = 1 << 24;
		return 0;
	case MSR_AMD_CLK_CTL:
		*val = 0x20000000;
		return 0;
	case MSR_IA32_BBL_CR_CTL3:
		*val = 0xbe702111;		/* no second-level cache to size */
		return 0;
	case MSR_IA32_FEAT_CTL:
		*val = FEAT_CTL_LOCKED;		/* and nothing enabled */
		return 0;
	case MSR_AMD_VM_CR:
		*val = BIT(4) | BIT(3);		/* SVM disabled, and locked so */
		return 0;
	default:
		return LM_MSR_UNKNOWN;
	}
}

/* Writes that do nothing. */
static int lm_fixed_write(u32 msr, u64 val)
{
	switch (msr) {
	case MSR_AMD_NB_CFG:
	case MSR_AMD_PATCH_LOADER:
	case MSR_AMD_BU_CFG2:
	case MSR_AMD_DC_CFG:
	case MSR_AMD_EX_CFG:
	case MSR_AMD_HSAVE_PA:
	case MSR_IA32_UCODE_WRITE:
	case MSR_IA32_UCODE_REV:
	case MSR_AMD_EVNTSEL0 ... MSR_AMD_PERFCTR3:
	case MSR_P6_PERFCTR0:
	case MSR_P6_PERFCTR1:
	case MSR_P6_EVNTSEL0:
	case MSR_P6_EVNTSEL1:
	case MSR_IA32_POWER_CTL:
	case MSR_IA32_PERF_CTL:
		return 0;
	case MSR_IA32_DEBUGCTLMSR:
		/* last branches and branch steps are recorded for nobody */
		return val & ~(u64)(DEBUGCTLMSR_LBR | DEBUGCTLMSR_BTF) ? 1 : 0;
	case MSR_AMD_MMIO_CFG:
	case MSR_MISC_FEATURES_ENABLES:
	case MSR_IA32_P5_MC_ADDR:
	case MSR_IA32_P5_MC_TYPE:
	case MSR_IA32_PERF_CAPABILITIES:
		return val ? 1 : 0;
	default:
		return LM_MSR_UNKNOWN;
	}
}

static int lm_lapic_range(struct lm_vcpu *vcpu, u32 msr)
{
	if (msr >= 0x800 && msr <= 0x8ff)
		return vcpu->lapic ? 2 : 1;
	if (msr == MSR_IA32_TSC_DEADLINE)
		return vcpu->lapic ? 2 : 0;
	return -1;
}

/* What is neither in struct lm_x86 nor computed. */
static noinline int lm_msr_read_other(struct lm_vcpu *vcpu, u32 msr, u64 *val)
{
	int apic = lm_lapic_range(vcpu, msr);
	u32 group;
	u64 *slot;

	if (apic >= 0)
		return apic == 2 ? lm_lapic_msr_read(vcpu, msr, val) : apic;
	slot = lm_state_msr(vcpu, msr, &group);
	if (!slot)
		return lm_fixed_read(msr, val);
	lm_need_state(vcpu, group);
	*val = *slot;
	return 0;
}

/**
 * lm_msr_read - RDMSR, or KVM_GET_MSRS
 * @vcpu: the vCPU
 * @msr: its number
 * @val: result
 * @host: by user space: what the guest's CPUID hides is still there
 *
 * 0; 1 or LM_MSR_UNKNOWN for #GP.
 */
int lm_msr_read(struct lm_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	struct lm_x86 *x = &vcpu->x86;
	u64 *slot;

	*val = 0;
	switch (msr) {
	case MSR_EFER:
		*val = lm_efer(vcpu);
		return 0;
	case MSR_IA32_CR_PAT:
		*val = lm_pat(vcpu);
		return 0;
	case MSR_IA32_APICBASE:
		*val = x->apic_base_msr;
		return 0;
	case MSR_IA32_TSC:
		*val = lm_tsc_read(vcpu);
		return 0;
	case MSR_IA32_TSC_ADJUST:
		*val = x->tsc_adjust;
		return host || x->has_tsc_adjust ? 0 : 1;
	case MSR_TSC_AUX:
		*val = x->tsc_aux;
		return host || x->has_rdtscp ? 0 : 1;
	case MSR_MTRRcap:
		*val = LM_MTRR_CAP;
		return 0;
	case LM_CASE_MTRR:
		slot = lm_mtrr_slot(x, msr);
		if (!slot)
			return 1;
		*val = *slot;
		return 0;
	case LM_CASE_MCE:
		return lm_mce_read(vcpu, msr, val, host);
	case MSR_IA32_MISC_ENABLE:
		*val = x->misc_enable;
		return 0;
	case MSR_PLATFORM_INFO:
		*val = x->platform_info;
		return !host && READ_ONCE(vcpu->vm->x86.no_platform_info) ? 1 : 0;
	case MSR_IA32_UCODE_REV:
		*val = x->microcode;
		return 0;
	case MSR_IA32_ARCH_CAPABILITIES:
		*val = x->arch_caps;
		return host || x->has_arch_caps ? 0 : 1;
	case MSR_IA32_SPEC_CTRL:
		*val = x->spec_ctrl;
		return host || x->spec_ctrl_supported ? 0 : 1;
	case MSR_IA32_XSS:
		*val = x->xss;
		return host || x->has_xsaves ? 0 : 1;
	case MSR_K7_HWCR:
		*val = x->hwcr;
		return 0;
	case MSR_AMD_DE_CFG:
		*val = x->de_cfg;
		return 0;
	case MSR_AMD64_OSVW_ID_LENGTH:
		*val = x->osvw_length;
		return host || lm_cpuid_has(vcpu, X86_FEATURE_OSVW) ? 0 : 1;
	case MSR_AMD64_OSVW_STATUS:
		*val = x->osvw_status;
		return host || lm_cpuid_has(vcpu, X86_FEATURE_OSVW) ? 0 : 1;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_WALL_CLOCK_NEW ... MSR_KVM_ASYNC_PF_ACK:
		return lm_pv_read(vcpu, msr, val, host);
	default:
		return lm_msr_read_other(vcpu, msr, val);
	}
}

static int lm_hwcr_write(struct lm_x86 *x, u64 val)
{
	/* flush filter, IGNNE, TLB cache: switches of hardware that is not there */
	val &= ~(u64)(BIT(6) | BIT(8) | BIT(3));
	if (val & ~(HWCR_MC_STATUS_WR | HWCR_TSC_FREQ_SEL))
		return 1;
	x->hwcr = val;
	return 0;
}

static int lm_tsc_aux_write(struct lm_vcpu *vcpu, u64 val, bool host)
{
	if (!host && !vcpu->x86.has_rdtscp)
		return 1;
	if (val >> 32) {
		/* reserved on Intel, ignored on AMD */
		if (!vcpu->x86.amd)
			return 1;
		val = (u32)val;
	}
	lm_tsc_aux_set(vcpu, val);
	return 0;
}

/* Stored for user space; a guest may not change what its CPU is. */
static int lm_host_only(u64 *slot, u64 val, bool host)
{
	if (!host)
		return 1;
	*slot = val;
	return 0;
}

/**
 * lm_msr_write - WRMSR, or KVM_SET_MSRS
 * @vcpu: the vCPU
 * @msr: its number
 * @val: new value
 * @host: by user space: what the guest's CPUID hides may still be set
 *
 * 0; 1 or LM_MSR_UNKNOWN for #GP; LM_NEED (a guest's write alone).
 */
int lm_msr_write(struct lm_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	struct lm_x86 *x = &vcpu->x86;
	u64 *slot;
	u32 group;
	int apic = lm_lapic_range(vcpu, msr);

	if (apic >= 0)
		return apic == 2 ? lm_lapic_msr_write(vcpu, msr, val, host) : apic;
	if (lm_state_msr(vcpu, msr, &group))
		return lm_state_msr_write(vcpu, msr, val);

	switch (msr) {
	case MSR_EFER:
		return lm_write_efer(vcpu, val, host);
	case MSR_IA32_CR_PAT:
		if (!lm_pat_valid(val))
			return 1;
		lm_set_pat(vcpu, val);
		return 0;
	case MSR_IA32_APICBASE:
		return lm_apic_base_write(vcpu, val, host);
	case MSR_IA32_TSC:
		lm_tsc_write(vcpu, val, host);
		return 0;
	case MSR_IA32_TSC_ADJUST:
		if (!host && !x->has_tsc_adjust)
			return 1;
		lm_tsc_adjust_write(vcpu, val, host);
		return 0;
	case MSR_TSC_AUX:
		return lm_tsc_aux_write(vcpu, val, host);
	case LM_CASE_MTRR:
		slot = lm_mtrr_slot(x, msr);
		if (!slot || !lm_mtrr_valid(msr, val, x->maxphyaddr))
			return 1;
		*slot = val;
		return 0;
	case LM_CASE_MCE:
		return lm_mce_write(vcpu, msr, val, host);
	case MSR_IA32_MISC_ENABLE:
		x->misc_enable = val;
		return 0;
	case MSR_PLATFORM_INFO:
		/* CPUID faulting (bit 31) is not emulated */
		return val & BIT(31) ? 1 : lm_host_only(&x->platform_info, val, host);
	case MSR_IA32_UCODE_REV:
		if (host)
			x->microcode = val;
		return 0;
	case MSR_IA32_ARCH_CAPABILITIES:
		return lm_host_only(&x->arch_caps, val, host);
	case MSR_IA32_SPEC_CTRL:
		return lm_spec_ctrl_write(vcpu, val, host);
	case MSR_IA32_PRED_CMD:
		return lm_pred_cmd(vcpu, val, host);
	case MSR_IA32_FLUSH_CMD:
		return lm_flush_cmd(vcpu, val, host);
	case MSR_IA32_XSS:
		/* no supervisor states are offered */
		return val || (!host && !x->has_xsaves) ? 1 : 0;
	case MSR_K7_HWCR:
		return lm_hwcr_write(x, val);
	case MSR_AMD_DE_CFG:
		/* LFENCE is serialising whatever is written; reads show what was */
		if (val & ~(u64)BIT(1))
			return 1;
		x->de_cfg = val;
		return 0;
	case MSR_AMD64_OSVW_ID_LENGTH:
		return lm_host_only(&x->osvw_length, val, host);
	case MSR_AMD64_OSVW_STATUS:
		return lm_host_only(&x->osvw_status, val, host);
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_WALL_CLOCK_NEW ... MSR_KVM_ASYNC_PF_ACK:
		return lm_pv_write(vcpu, msr, val, host);
	default:
		return lm_fixed_write(msr, val);
	}
}

/* ---- lists ---- */

/* What user space saves and restores. */
static const u32 lm_msr_saved[] = {
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
	MSR_STAR, MSR_CSTAR, MSR_KERNEL_GS_BASE, MSR_SYSCALL_MASK, MSR_LSTAR,
	MSR_IA32_TSC, MSR_IA32_CR_PAT, MSR_IA32_TSC_ADJUST, MSR_IA32_TSC_DEADLINE,
	MSR_IA32_MISC_ENABLE, MSR_IA32_MCG_STATUS, MSR_IA32_MCG_CTL,
	MSR_PLATFORM_INFO, MSR_MISC_FEATURES_ENABLES, MSR_IA32_UCODE_REV, MSR_K7_HWCR,
	MSR_KVM_SYSTEM_TIME, MSR_KVM_WALL_CLOCK,
	MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_WALL_CLOCK_NEW,
	MSR_KVM_PV_EOI_EN, MSR_KVM_POLL_CONTROL,
};

/* And what it does where the host has the feature. */
static const struct {
	u32 msr;
	unsigned int feature, other;
} lm_msr_if[] = {
	{ MSR_TSC_AUX, X86_FEATURE_RDTSCP, X86_FEATURE_RDPID },
	{ MSR_IA32_SPEC_CTRL, X86_FEATURE_SPEC_CTRL, X86_FEATURE_AMD_IBRS },
	{ MSR_IA32_XSS, X86_FEATURE_XSAVES, X86_FEATURE_XSAVES },
	{ MSR_IA32_ARCH_CAPABILITIES, X86_FEATURE_ARCH_CAPABILITIES,
	  X86_FEATURE_ARCH_CAPABILITIES },
};

static const u32 lm_msr_features[] = {
	MSR_IA32_ARCH_CAPABILITIES, MSR_IA32_UCODE_REV, MSR_PLATFORM_INFO, MSR_AMD_DE_CFG,
};

static int lm_msr_list_out(struct kvm_msr_list __user *arg, const u32 *list, u32 nr)
{
	u32 room;

	if (get_user(room, &arg->nmsrs) || put_user(nr, &arg->nmsrs))
		return -EFAULT;
	if (room < nr)
		return -E2BIG;
	return copy_to_user(arg->indices, list, nr * sizeof(*list)) ? -EFAULT : 0;
}

/**
 * lm_msr_index_list - KVM_GET_MSR_INDEX_LIST
 * @arg: the user's header and room
 */
int lm_msr_index_list(struct kvm_msr_list __user *arg)
{
	u32 list[ARRAY_SIZE(lm_msr_saved) + ARRAY_SIZE(lm_msr_if) + 1];
	u32 i, nr = ARRAY_SIZE(lm_msr_saved);

	memcpy(list, lm_msr_saved, sizeof(lm_msr_saved));
	for (i = 0; i < ARRAY_SIZE(lm_msr_if); i++)
		if (lm_cpuid_offers(lm_msr_if[i].feature) || lm_cpuid_offers(lm_msr_if[i].other))
			list[nr++] = lm_msr_if[i].msr;
	if (sched_info_on())
		list[nr++] = MSR_KVM_STEAL_TIME;
	return lm_msr_list_out(arg, list, nr);
}

/**
 * lm_msr_feature_list - KVM_GET_MSR_FEATURE_INDEX_LIST
 * @arg: the user's header and room
 */
int lm_msr_feature_list(struct kvm_msr_list __user *arg)
{
	return lm_msr_list_out(arg, lm_msr_features, ARRAY_SIZE(lm_msr_features));
}

/**
 * lm_msr_feature_read - the value of a feature MSR that a new vCPU has
 * @msr: its number
 * @val: result
 *
 * 0, or 1 if there is no such feature MSR.
 */
int lm_msr_feature_read(u32 msr, u64 *val)
{
	*val = 0;
	switch (msr) {
	case MSR_IA32_ARCH_CAPABILITIES:
		if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES)) {
			rdmsrl(MSR_IA32_ARCH_CAPABILITIES, *val);
			*val &= LM_ARCH_CAPS;
		}
		return 0;
	case MSR_IA32_UCODE_REV:
		*val = boot_cpu_data.x86_vendor == X86_VENDOR_INTEL ? 0x100000000ull : 0x01000065;
		return 0;
	case MSR_PLATFORM_INFO:
		return 0;
	case MSR_AMD_DE_CFG:
		if (boot_cpu_has(X86_FEATURE_LFENCE_RDTSC))
			*val = BIT(1);
		return 0;
	default:
		return 1;
	}
}
