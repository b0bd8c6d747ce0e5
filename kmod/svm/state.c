// SPDX-License-Identifier: GPL-2.0-only
/*
 * Neutral state ↔ VMCB, and the guest's part of the CPU that VMRUN does not
 * switch: FS, GS, TR, LDTR and the syscall MSRs (VMLOAD, VMSAVE).
 */
#include <asm/msr.h>
#include <asm/pgtable.h>
#include <asm/processor-flags.h>

#include "../compat.h"
#include "../lamina.h"
#include "vmcb.h"

#define CR0_HIDDEN	(X86_CR0_CD | X86_CR0_NW)
#define SVM_TSC_RATIO	0xc0000104
#define SVM_TSC_RATIO_ONE (1ull << 32)

static __always_inline void svm_get_seg(struct lm_seg *to, const struct svm_seg *from)
{
	BUILD_BUG_ON(sizeof(*to) != sizeof(*from) ||
		     offsetof(struct lm_seg, attr) != offsetof(struct svm_seg, attr) ||
		     offsetof(struct lm_seg, limit) != offsetof(struct svm_seg, limit));
	memcpy(to, from, sizeof(*to));
	to->attr &= 0xfff;
}

static __always_inline void svm_put_seg(struct svm_seg *to, const struct lm_seg *from)
{
	memcpy(to, from, sizeof(*to));
}

/*
 * WRGSBASE faults where VMLOAD extends the sign, and it runs where nothing can
 * handle a fault: the base comes from user space.
 */
static u64 svm_canonical(u64 base)
{
	unsigned int shift = boot_cpu_has(X86_FEATURE_LA57) && pgtable_l5_enabled() ? 7 : 16;

	return (s64)(base << shift) >> shift;
}

/* Write what VMLOAD put into the CPU back to the VMCB; GS.base is the host's there now. */
static void svm_save_guest(struct lm_hw *hw)
{
	if (hw->saved)
		return;
	svm_vmsave(hw->vmcb_pa);
	hw->vmcb->s.gs.base = hw->gs.guest;
	hw->saved = true;
}

/* What most handlers that look at the guest's memory need: one straight copy. */
#define SVM_S_CHEAP	(LM_S_CR0 | LM_S_CR3 | LM_S_CS | LM_S_SS | LM_S_MODE)

/* With constant groups the tests are the compiler's. */
static __always_inline void svm_copy_cheap(struct lm_vcpu *vcpu, u32 groups)
{
	struct lm_hw *hw = vcpu->hw;
	struct svm_save *s = &hw->vmcb->s;
	struct lm_state *st = &vcpu->st;

	if (groups & LM_S_CR0)
		st->cr0 = (s->cr0 & ~CR0_HIDDEN) | hw->cr0_hidden;
	if (groups & LM_S_CR3)
		st->cr3 = s->cr3;
	if (groups & LM_S_CS)
		svm_get_seg(&st->seg[LM_CS], &s->cs);
	if (groups & LM_S_SS) {
		svm_get_seg(&st->seg[LM_SS], &s->ss);
		/* The CPL field rules, whatever the CPU left in SS.DPL (15.5.1). */
		st->seg[LM_SS].attr &= ~LM_SEG_DPL;
		st->seg[LM_SS].attr |= s->cpl << LM_SEG_DPL_SHIFT;
	}
	vcpu->valid |= groups & SVM_S_CHEAP;
}

static noinline void svm_get_some(struct lm_vcpu *vcpu, u32 groups)
{
	struct lm_hw *hw = vcpu->hw;
	struct svm_save *s = &hw->vmcb->s;
	struct lm_state *st = &vcpu->st;

	/* A handler may have written some already: those must not be read over. */
	if (groups & LM_S_MODE)
		groups |= (LM_S_CS | LM_S_SS) & ~vcpu->valid;
	svm_copy_cheap(vcpu, groups);
	if (groups & (LM_S_SEGS | LM_S_SYSCALL))
		svm_save_guest(hw);
	if (groups & LM_S_RIP)
		st->rip = s->rip;
	if (groups & LM_S_RSP)
		st->gpr[LM_RSP] = s->rsp;
	if (groups & LM_S_RFLAGS)
		st->rflags = s->rflags;
	if (groups & LM_S_CR2)
		st->cr2 = s->cr2;
	if (groups & LM_S_CR4)
		st->cr4 = s->cr4 & ~hw->cr4_hidden;
	if (groups & LM_S_EFER)
		st->efer = s->efer & ~EFER_SVME;
	if (groups & LM_S_DATA) {
		svm_get_seg(&st->seg[LM_DS], &s->ds);
		svm_get_seg(&st->seg[LM_ES], &s->es);
	}
	if (groups & LM_S_SEGS) {
		svm_get_seg(&st->seg[LM_FS], &s->fs);
		svm_get_seg(&st->seg[LM_GS], &s->gs);
		svm_get_seg(&st->seg[LM_LDTR], &s->ldtr);
		svm_get_seg(&st->seg[LM_TR], &s->tr);
	}
	if (groups & LM_S_DT) {
		st->gdt.base = s->gdtr.base;
		st->gdt.limit = s->gdtr.limit;
		st->idt.base = s->idtr.base;
		st->idt.limit = s->idtr.limit;
	}
	if ((groups & LM_S_DR) && !lm_debug_owns_dr(vcpu)) {
		st->dr6 = s->dr6;
		st->dr7 = s->dr7;
	}
	if (groups & LM_S_SYSCALL) {
		st->star = s->star;
		st->lstar = s->lstar;
		st->cstar = s->cstar;
		st->sfmask = s->sfmask;
		st->kernel_gs_base = s->kernel_gs_base;
		st->sysenter_cs = s->sysenter_cs;
		st->sysenter_esp = s->sysenter_esp;
		st->sysenter_eip = s->sysenter_eip;
	}
	if (groups & LM_S_SHADOW)
		st->shadow = hw->vmcb->c.int_state & SVM_INT_SHADOW ?
			     LM_SHADOW_STI : 0;
	if (groups & LM_S_PAT)
		st->pat = s->g_pat;
	vcpu->valid |= groups;
}

void lm_svm_get(struct lm_vcpu *vcpu, u32 groups)
{
	if (likely(!(groups & ~SVM_S_CHEAP) && !(vcpu->valid & SVM_S_CHEAP)))
		svm_copy_cheap(vcpu, SVM_S_CHEAP);
	else
		svm_get_some(vcpu, groups);
}

/* Bits that the CPU has otherwise than the guest believes: its reads exit while there are any. */
static void svm_hide(struct lm_vcpu *vcpu, u64 *was, u64 hidden)
{
	if (hidden == *was)
		return;
	*was = hidden;
	lm_svm_update(vcpu);
}

static void svm_put_cr0(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;

	hw->vmcb->s.cr0 = vcpu->st.cr0 & ~CR0_HIDDEN;
	svm_hide(vcpu, &hw->cr0_hidden, vcpu->st.cr0 & CR0_HIDDEN);
}

static void svm_put_cr4(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	u64 hidden = native_read_cr4() & ~vcpu->st.cr4 & X86_CR4_MCE;

	hw->vmcb->s.cr4 = vcpu->st.cr4 | hidden;
	svm_hide(vcpu, &hw->cr4_hidden, hidden);
}

/* What VMLOAD takes: into the VMCB, and from there into the CPU if the section is loaded. */
static void svm_put_vmload(struct lm_vcpu *vcpu, u32 groups)
{
	struct lm_hw *hw = vcpu->hw;
	struct svm_save *s = &hw->vmcb->s;
	struct lm_state *st = &vcpu->st;

	svm_save_guest(hw);
	if (groups & LM_S_SEGS) {
		svm_put_seg(&s->fs, &st->seg[LM_FS]);
		svm_put_seg(&s->gs, &st->seg[LM_GS]);
		svm_put_seg(&s->ldtr, &st->seg[LM_LDTR]);
		svm_put_seg(&s->tr, &st->seg[LM_TR]);
	}
	if (groups & LM_S_SYSCALL) {
		s->star = st->star;
		s->lstar = st->lstar;
		s->cstar = st->cstar;
		s->sfmask = st->sfmask;
		s->kernel_gs_base = st->kernel_gs_base;
		s->sysenter_cs = st->sysenter_cs;
		s->sysenter_esp = st->sysenter_esp;
		s->sysenter_eip = st->sysenter_eip;
	}
	hw->gs.guest = svm_canonical(s->gs.base);
	if (hw->loaded)
		lm_svm_vmload_guest(hw->vmcb_pa);
}

/**
 * lm_svm_put - write the dirty groups of the neutral state to the VMCB
 * @vcpu: the vCPU, its section loaded
 */
void lm_svm_put(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	struct svm_save *s = &hw->vmcb->s;
	struct lm_state *st = &vcpu->st;
	u32 groups = vcpu->dirty;

	vcpu->dirty = 0;
	if (groups & LM_S_RIP)
		s->rip = st->rip;
	if (groups & LM_S_RSP)
		s->rsp = st->gpr[LM_RSP];
	if (groups & LM_S_RFLAGS)
		s->rflags = st->rflags | X86_EFLAGS_FIXED;
	if (groups & LM_S_CR0)
		svm_put_cr0(vcpu);
	if (groups & LM_S_CR2) {
		s->cr2 = st->cr2;
		hw->clean &= ~SVM_CLEAN_CR2;
	}
	if (groups & LM_S_CR3)
		s->cr3 = st->cr3;
	if (groups & LM_S_CR4)
		svm_put_cr4(vcpu);
	if (groups & LM_S_EFER)
		s->efer = st->efer | EFER_SVME;
	if (groups & (LM_S_CR0 | LM_S_CR3 | LM_S_CR4 | LM_S_EFER))
		hw->clean &= ~SVM_CLEAN_CR;
	if (groups & LM_S_CS)
		svm_put_seg(&s->cs, &st->seg[LM_CS]);
	if (groups & LM_S_SS) {
		svm_put_seg(&s->ss, &st->seg[LM_SS]);
		s->cpl = (st->seg[LM_SS].attr & LM_SEG_DPL) >> LM_SEG_DPL_SHIFT;
	}
	if (groups & LM_S_DATA) {
		svm_put_seg(&s->ds, &st->seg[LM_DS]);
		svm_put_seg(&s->es, &st->seg[LM_ES]);
	}
	if (groups & (LM_S_SEGS | LM_S_SYSCALL))
		svm_put_vmload(vcpu, groups);
	if (groups & (LM_S_CS | LM_S_SS | LM_S_DATA))
		hw->clean &= ~SVM_CLEAN_SEG;
	if (groups & LM_S_DT) {
		s->gdtr.base = st->gdt.base;
		s->gdtr.limit = st->gdt.limit;
		s->idtr.base = st->idt.base;
		s->idtr.limit = st->idt.limit;
		hw->clean &= ~SVM_CLEAN_DT;
	}
	if (groups & LM_S_DR) {
		s->dr6 = lm_debug_dr6(vcpu);
		s->dr7 = lm_debug_dr7(vcpu);
		hw->clean &= ~SVM_CLEAN_DR;
	}
	if (groups & LM_S_SHADOW)
		hw->vmcb->c.int_state = st->shadow ? SVM_INT_SHADOW : 0;
	if (groups & LM_S_PAT) {
		s->g_pat = st->pat;
		hw->clean &= ~SVM_CLEAN_NP;
	}
}

/* The host keeps its FS, GS, TR, LDTR and syscall MSRs in the CPU's own area meanwhile. */
void lm_svm_load(struct lm_vcpu *vcpu)
{
	struct svm_cpu *cpu = this_cpu_ptr(&lm_svm_cpu);
	struct lm_hw *hw = vcpu->hw;

	hw->host_pa = cpu->area_pa;
	hw->tags = &cpu->tags;
	if (vcpu->last_cpu != raw_smp_processor_id())
		hw->clean = 0;	/* another CPU ran this VMCB last, or none (15.15.2) */
	if (lm_caps.tsc_scaling && vcpu->x86.tsc_ratio)
		wrmsrl(SVM_TSC_RATIO, vcpu->x86.tsc_ratio);
	svm_vmsave(hw->host_pa);
	svm_clgi();
	hw->gs.host = cpu->area->s.gs.base;
	lm_svm_vmload_guest(hw->vmcb_pa);
	hw->loaded = true;
}

void lm_svm_unload(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;

	svm_save_guest(hw);
	hw->loaded = false;
	lm_svm_vmload_host(hw->host_pa);
	svm_stgi();
	if (lm_caps.tsc_scaling && vcpu->x86.tsc_ratio)
		wrmsrl(SVM_TSC_RATIO, SVM_TSC_RATIO_ONE);
}

/*
 * lm_svm_window - let the host take what is pending
 *
 * The NMI comes at STGI, the interrupt at STI; both want the host's TR.
 */
void lm_svm_window(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;

	svm_save_guest(hw);
	lm_svm_vmload_host(hw->host_pa);
	svm_stgi();
	if (unlikely(hw->mce)) {
		hw->mce = false;
		lm_machine_check();
	}
	local_irq_enable();
	asm volatile("nop");	/* the instruction after STI runs first */
	local_irq_disable();
	svm_clgi();
	/* An interrupt of modify_ldt() may have loaded another LDT. */
	svm_vmsave(hw->host_pa);
	lm_svm_vmload_guest(hw->vmcb_pa);
}
