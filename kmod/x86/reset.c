// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU's x86 state from creation to release, and its values at power-on and
 * after INIT (APM vol. 2, 14.1.3, table 14-1; SDM vol. 3, table 9-1).
 */
#include <linux/bits.h>
#include <linux/slab.h>
#include <asm/apicdef.h>
#include <asm/kvm_para.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "../lamina.h"

#define LM_PAT_RESET	0x0007040600070406ull

/**
 * lm_x86_setup - learn what the host's CPUs let guests have
 *
 * At load, after backend.setup has filled lm_caps.
 */
int lm_x86_setup(void)
{
	int r = lm_fpu_setup();

	if (r)
		return r;
	lm_cpuid_setup();
	return 0;
}

/* At unload; also if lm_x86_setup() failed. */
void lm_x86_teardown(void)
{
	lm_fpu_teardown();
}

/**
 * lm_x86_vm_init - a new VM
 * @vm: zeroed
 */
void lm_x86_vm_init(struct lm_vm *vm)
{
	lm_clock_init(vm);
}

/**
 * lm_x86_init - a new vCPU, before the vendor's vcpu_init and its LAPIC
 * @vcpu: zeroed but for vm, id and index; not yet published
 */
int lm_x86_init(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;
	static const struct kvm_cpuid_entry2 none;
	struct kvm_cpuid2 empty = { .nent = 0 };
	int r;

	r = lm_fpu_init(vcpu);
	if (r)
		return r;
	vcpu->valid = LM_S_ALL;
	r = lm_cpuid_set(vcpu, &empty, &none);
	if (r) {
		lm_fpu_free(vcpu);
		return r;
	}
	lm_msr_feature_read(MSR_IA32_ARCH_CAPABILITIES, &x->arch_caps);
	lm_msr_feature_read(MSR_IA32_UCODE_REV, &x->microcode);
	lm_msr_feature_read(MSR_AMD64_DE_CFG, &x->de_cfg);
	x->mcg_cap = LM_MCE_BANKS_DEFAULT;
	x->osvw_length = 3;		/* errata 298, 400 and 415 are not the guest's concern */
	lm_tsc_init(vcpu);
	lm_x86_reset(vcpu, false);
	return 0;
}

/**
 * lm_x86_free - the end of a vCPU
 * @vcpu: the vCPU; also right after a failed lm_x86_init()
 */
void lm_x86_free(struct lm_vcpu *vcpu)
{
	kvfree(vcpu->x86.cpuid);
	vcpu->x86.cpuid = NULL;
	lm_fpu_free(vcpu);
}

static void lm_reset_segments(struct lm_state *st)
{
	const struct lm_seg data = { .limit = 0xffff, .attr = LM_SEG_P | LM_SEG_S | 3 };
	unsigned int i;

	for (i = 0; i < LM_SEGS; i++)
		st->seg[i] = data;
	st->seg[LM_CS] = (struct lm_seg){
		.sel = 0xf000, .base = 0xffff0000, .limit = 0xffff,
		.attr = LM_SEG_P | LM_SEG_S | 0xb,
	};
	st->seg[LM_LDTR].attr = LM_SEG_P | 2;
	st->seg[LM_TR].attr = LM_SEG_P | 0xb;	/* entries want a busy TSS */
	st->gdt = (struct lm_dtr){ .limit = 0xffff };
	st->idt = (struct lm_dtr){ .limit = 0xffff };
}

/* What INIT leaves alone. */
static void lm_reset_power_on(struct lm_vcpu *vcpu)
{
	struct lm_state *st = &vcpu->st;
	struct lm_x86 *x = &vcpu->x86;

	st->star = 0;
	st->lstar = 0;
	st->cstar = 0;
	st->sfmask = 0;
	st->kernel_gs_base = 0;
	st->sysenter_cs = 0;
	st->sysenter_esp = 0;
	st->sysenter_eip = 0;
	st->pat = LM_PAT_RESET;
	x->apic_base_msr = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
			   (vcpu->id == vcpu->vm->bsp_id ? MSR_IA32_APICBASE_BSP : 0);
	x->tsc_aux = 0;
	x->spec_ctrl = 0;
	x->hwcr = BIT_ULL(24);		/* the TSC counts at the rate of P0, or Linux complains */
	x->misc_enable = MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL | MSR_IA32_MISC_ENABLE_BTS_UNAVAIL;
	x->mtrr_def = 0;
	memset(x->mtrr_fixed, 0, sizeof(x->mtrr_fixed));
	memset(x->mtrr_var, 0, sizeof(x->mtrr_var));
	lm_mce_reset(vcpu);
}

/**
 * lm_x86_reset - power-on or INIT
 * @vcpu: not in its section
 * @init: INIT: FPU, MTRRs, PAT, TSC, most MSRs and the cache bits of CR0 stay
 *
 * The LAPIC, if there is one, is reset too; CS and RIP of an AP come with its SIPI.
 */
void lm_x86_reset(struct lm_vcpu *vcpu, bool init)
{
	const struct kvm_cpuid_entry2 *e = lm_cpuid_find(vcpu, 1, 0);
	struct lm_state *st = &vcpu->st;
	struct lm_x86 *x = &vcpu->x86;
	u64 cache = X86_CR0_CD | X86_CR0_NW;

	if (init) {
		cache &= lm_cr0(vcpu);
		lm_need_state(vcpu, LM_S_ALL);
	}
	memset(st->gpr, 0, sizeof(st->gpr));
	st->gpr[LM_RDX] = e ? e->eax : 0x600;
	st->rip = 0xfff0;
	st->rflags = X86_EFLAGS_FIXED;
	st->cr0 = X86_CR0_ET | cache;
	st->cr2 = 0;
	st->cr3 = 0;
	st->cr4 = 0;
	st->efer = 0;
	lm_reset_segments(st);
	memset(st->dr, 0, sizeof(st->dr));
	st->dr6 = 0xffff0ff0;
	st->dr7 = 0x400;
	st->shadow = LM_SHADOW_NONE;
	if (!init)
		lm_reset_power_on(vcpu);
	lm_mark_state(vcpu, LM_S_ALL);
	lm_io_abandon(vcpu);
	vcpu->pv_unhalted = false;

	x->cr8 = 0;
	WRITE_ONCE(x->pv_time, 0);
	x->pv_steal = 0;
	x->pv_preempted = false;
	x->pv_eoi = 0;
	x->pv_eoi_pending = false;
	x->pv_poll = 1;
	if (init)
		lm_fpu_xcr0_update(vcpu);	/* CR4.OSXSAVE is clear now */
	else
		lm_fpu_reset(vcpu);
	lm_guest_tlb_flush(vcpu);
	lm_events_reset(vcpu);
	if (!vcpu->lapic)
		return;
	lm_lapic_reset(vcpu, init);
	lm_lapic_msr_read(vcpu, MSR_IA32_APICBASE, &x->apic_base_msr);
}
