// SPDX-License-Identifier: GPL-2.0-only
/*
 * Neutral state ↔ VMCS.  Every group is read by VMREAD when a handler asks for it
 * and written by VMWRITE when it is dirty; what the guest cannot change without an
 * exit (EFER, PAT, the SYSCALL MSRs) is always current in the neutral state.
 */
#include <linux/smp.h>
#include <asm/debugreg.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>

#include "../lamina.h"
#include "../backend.h"
#include "vmcs.h"

/*
 * Bits of CR0 that the guest changes without an exit.  CD and NW are kept from
 * the CPU, NE must be set in VMX operation, PE and PG change more than themselves.
 */
#define CR0_OWNED	(X86_CR0_TS | X86_CR0_MP | X86_CR0_EM | X86_CR0_WP | X86_CR0_AM)
#define CR0_HIDDEN	(X86_CR0_CD | X86_CR0_NW)

/* AR bytes have AVL, L, D/B and G four bits further up (25.4.1, table 25-2). */
u32 lm_vmx_ar(const struct lm_seg *s, enum lm_seg_index i)
{
	u32 attr = s->attr, limit = s->limit;

	if (!(attr & LM_SEG_P))
		return (attr & 0xff) | (attr & 0xf00) << 4 | VMX_AR_UNUSABLE;
	/* Entries want the accessed and busy bits set, and G as the limit needs it (27.3.1.2). */
	if (i != LM_LDTR)
		attr |= 1;
	if (limit >> 20)
		attr |= LM_SEG_G;
	else if ((limit & 0xfff) != 0xfff)
		attr &= ~LM_SEG_G;
	return (attr & 0xff) | (attr & 0xf00) << 4;
}

static void vmx_put_seg(const struct lm_seg *s, enum lm_seg_index i)
{
	vmx_write(GUEST_ES_SELECTOR + 2 * i, s->sel);
	vmx_write(GUEST_ES_BASE + 2 * i, s->base);
	vmx_write(GUEST_ES_LIMIT + 2 * i, s->limit);
	vmx_write(GUEST_ES_AR_BYTES + 2 * i, lm_vmx_ar(s, i));
}

static __always_inline u16 vmx_attr(u32 ar)
{
	return (ar & 0xff) | (ar >> 4 & 0xf00);
}

static __always_inline void vmx_get_seg(struct lm_state *st, enum lm_seg_index i)
{
	u32 ar = vmx_read(GUEST_ES_AR_BYTES + 2 * i);
	struct lm_seg *s = &st->seg[i];

	s->sel = vmx_read(GUEST_ES_SELECTOR + 2 * i);
	s->base = vmx_read(GUEST_ES_BASE + 2 * i);
	s->limit = vmx_read(GUEST_ES_LIMIT + 2 * i);
	s->attr = vmx_attr(ar);
	/* DPL of an unusable SS still is the CPL. */
	if (unlikely(ar & VMX_AR_UNUSABLE))
		s->attr &= ~LM_SEG_P;
}

static __always_inline void vmx_get_attr(struct lm_state *st, enum lm_seg_index i)
{
	st->seg[i].attr = vmx_attr(vmx_read(GUEST_ES_AR_BYTES + 2 * i));
}

/* A handler may have written one of the two: it must not be read over. */
static noinline void vmx_get_mode_other(struct lm_vcpu *vcpu)
{
	if (!(vcpu->valid & LM_S_CS))
		vmx_get_attr(&vcpu->st, LM_CS);
	if (!(vcpu->valid & LM_S_SS))
		vmx_get_attr(&vcpu->st, LM_SS);
}

static __always_inline void vmx_get_mode(struct lm_vcpu *vcpu)
{
	if (unlikely(vcpu->valid & (LM_S_CS | LM_S_SS))) {
		vmx_get_mode_other(vcpu);
		return;
	}
	vmx_get_attr(&vcpu->st, LM_CS);
	vmx_get_attr(&vcpu->st, LM_SS);
}

static void vmx_get_syscall(struct lm_vcpu *vcpu)
{
	struct lm_state *st = &vcpu->st;

	st->sysenter_cs = vmx_read(GUEST_SYSENTER_CS);
	st->sysenter_esp = vmx_read(GUEST_SYSENTER_ESP);
	st->sysenter_eip = vmx_read(GUEST_SYSENTER_EIP);
	/* Unloaded, it was read when the section ended. */
	if (vcpu->hw->loaded)
		rdmsrl(MSR_KERNEL_GS_BASE, st->kernel_gs_base);
}

static __always_inline void vmx_get_shadow(struct lm_vcpu *vcpu)
{
	BUILD_BUG_ON(LM_SHADOW_STI != VMX_BLOCK_STI || LM_SHADOW_MOVSS != VMX_BLOCK_MOVSS);
	/* Never both (27.3.1.5). */
	vcpu->st.shadow = vmx_read(GUEST_INTERRUPTIBILITY_INFO) &
			  (VMX_BLOCK_STI | VMX_BLOCK_MOVSS);
}

static void vmx_get_dr(struct lm_vcpu *vcpu)
{
	unsigned long dr6;

	if (unlikely(lm_debug_owns_dr(vcpu)))
		return;
	vcpu->st.dr7 = vmx_read(GUEST_DR7);
	if (vcpu->hw->dr6_loaded) {
		get_debugreg(dr6, 6);
		vcpu->st.dr6 = dr6;
	}
}

/* What handlers ask for most: to end an instruction, also by its mode; to read it, under paging. */
#define VMX_S_USUAL	(LM_S_RIP | LM_S_RFLAGS | LM_S_SHADOW)
#define VMX_S_MODE	(VMX_S_USUAL | LM_S_MODE)
#define VMX_S_INSN	(VMX_S_MODE | LM_S_CR0)
#define VMX_S_PAGING	(LM_S_CR3 | LM_S_CR4)
#define VMX_S_MORE	(VMX_S_INSN | VMX_S_PAGING | LM_S_RSP | LM_S_CS | LM_S_SS | LM_S_DATA)

static noinline void vmx_get_rare(struct lm_vcpu *vcpu, u32 groups)
{
	struct lm_state *st = &vcpu->st;
	unsigned int i;

	if (groups & LM_S_SEGS) {
		vmx_get_seg(st, LM_FS);
		vmx_get_seg(st, LM_GS);
		vmx_get_seg(st, LM_LDTR);
		vmx_get_seg(st, LM_TR);
	}
	if (groups & LM_S_DT) {
		st->gdt.base = vmx_read(GUEST_GDTR_BASE);
		st->gdt.limit = vmx_read(GUEST_GDTR_LIMIT);
		st->idt.base = vmx_read(GUEST_IDTR_BASE);
		st->idt.limit = vmx_read(GUEST_IDTR_LIMIT);
	}
	if (groups & LM_S_DR)
		vmx_get_dr(vcpu);
	if (groups & LM_S_SYSCALL)
		vmx_get_syscall(vcpu);
	/* A guest with PAE loads them with CR3, without an exit. */
	if (groups & LM_S_PDPTRS)
		for (i = 0; i < ARRAY_SIZE(st->pdptr); i++)
			st->pdptr[i] = vmx_read(GUEST_PDPTR0 + 2 * i);
}

/* The VMCS is current.  Where @groups is constant nothing is left but its reads. */
static __always_inline void vmx_get(struct lm_vcpu *vcpu, u32 groups)
{
	struct lm_state *st = &vcpu->st;
	u64 owned;

	if (groups & LM_S_RIP)
		st->rip = vmx_read(GUEST_RIP);
	if (groups & LM_S_RFLAGS)
		st->rflags = vmx_read(GUEST_RFLAGS);
	if (groups & LM_S_SHADOW)
		vmx_get_shadow(vcpu);
	if (groups & LM_S_MODE)
		vmx_get_mode(vcpu);
	vcpu->valid |= groups;
	if (groups & LM_S_CR0)
		st->cr0 = (st->cr0 & ~CR0_OWNED) | (vmx_read(GUEST_CR0) & CR0_OWNED);
	if (groups & LM_S_CR3)
		st->cr3 = vmx_read(GUEST_CR3);
	if (groups & LM_S_CR4) {
		owned = vcpu->hw->cr4_owned;
		st->cr4 = (st->cr4 & ~owned) | (vmx_read(GUEST_CR4) & owned);
	}
	if (!(groups & ~(VMX_S_INSN | VMX_S_PAGING)))
		return;
	if (groups & LM_S_RSP)
		st->gpr[LM_RSP] = vmx_read(GUEST_RSP);
	if (groups & LM_S_CS)
		vmx_get_seg(st, LM_CS);
	if (groups & LM_S_SS)
		vmx_get_seg(st, LM_SS);
	if (groups & LM_S_DATA) {
		vmx_get_seg(st, LM_DS);
		vmx_get_seg(st, LM_ES);
	}
	if (groups & ~VMX_S_MORE)
		vmx_get_rare(vcpu, groups);
}

static noinline void vmx_get_any(struct lm_vcpu *vcpu, u32 groups)
{
	vmx_get(vcpu, groups);
}

/*
 * Outside the section the VMCS may be active on another CPU, and is current on
 * none for sure.  With VMX off, as the machine goes down, the old values stay.
 */
static noinline void vmx_get_outside(struct lm_vcpu *vcpu, u32 groups)
{
	struct lm_hw *hw = vcpu->hw;
	unsigned long flags;

	for (;;) {
		if (READ_ONCE(hw->cpu) != raw_smp_processor_id())
			lm_vmx_leave_cpu(vcpu);
		local_irq_save(flags);
		if (hw->cpu < 0 || hw->cpu == smp_processor_id())
			break;
		local_irq_restore(flags);	/* moved in between */
	}
	if (likely(this_cpu_read(lm_cpu_is_on))) {
		lm_vmx_use(hw);
		vmx_get_any(vcpu, groups);
		/* The next section looks at last_cpu alone. */
		if (vcpu->last_cpu != smp_processor_id())
			lm_vmx_clear(hw);
	}
	vcpu->valid |= groups;
	local_irq_restore(flags);
}

void lm_vmx_get(struct lm_vcpu *vcpu, u32 groups)
{
	if (unlikely(!vcpu->hw->loaded))
		vmx_get_outside(vcpu, groups);
	else if (likely(groups == VMX_S_USUAL))
		vmx_get(vcpu, VMX_S_USUAL);
	else if (groups == VMX_S_MODE)
		vmx_get(vcpu, VMX_S_MODE);
	else if (groups == VMX_S_INSN)
		vmx_get(vcpu, VMX_S_INSN);
	else if (groups == VMX_S_PAGING)
		vmx_get(vcpu, VMX_S_PAGING);
	else if (groups == LM_S_CS)
		vmx_get(vcpu, LM_S_CS);
	else
		vmx_get_any(vcpu, groups);
}

/* ---- writing ---- */

static void vmx_put_cr0(struct lm_vcpu *vcpu)
{
	u64 cr0 = vcpu->st.cr0;

	vmx_write(GUEST_CR0, (cr0 & ~CR0_HIDDEN) | lm_vmx_caps.cr0_fixed);
	vmx_write(CR0_READ_SHADOW, cr0);
	vmx_write(CR0_GUEST_HOST_MASK, ~CR0_OWNED);
}

/* With MCE clear in the guest a machine check would be a shutdown, not an exit. */
static void vmx_put_cr4(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	u64 cr4 = vcpu->st.cr4;

	vmx_write(GUEST_CR4, cr4 | lm_vmx_caps.cr4_fixed | (hw->host_cr4 & X86_CR4_MCE));
	vmx_write(CR4_READ_SHADOW, cr4);
}

static void vmx_put_efer(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	u32 entry = hw->entry & ~VM_ENTRY_IA32E_MODE;

	if (vcpu->st.efer & EFER_LMA)
		entry |= VM_ENTRY_IA32E_MODE;
	if (entry != hw->entry) {
		hw->entry = entry;
		vmx_write(VM_ENTRY_CONTROLS, entry);
	}
	vmx_write(GUEST_IA32_EFER, vcpu->st.efer);
}

/*
 * A single step waits behind a shadow as a pending debug exception; entries want
 * the two to agree (27.3.1.5), and a shadow that software ended takes it along.
 */
static void vmx_put_shadow(struct lm_vcpu *vcpu)
{
	u32 shadow = vcpu->st.shadow, info = 0;
	u64 pending = vmx_read(GUEST_PENDING_DBG_EXCEPTIONS) & ~(u64)DR_STEP;

	if (shadow == LM_SHADOW_STI)
		info = VMX_BLOCK_STI;
	else if (shadow == LM_SHADOW_MOVSS)
		info = VMX_BLOCK_MOVSS;
	if (info && (lm_rflags(vcpu) & X86_EFLAGS_TF))
		pending |= DR_STEP;
	if (vcpu->ev.nmi_masked)
		info |= VMX_BLOCK_NMI;
	vmx_write(GUEST_INTERRUPTIBILITY_INFO, info);
	vmx_write(GUEST_PENDING_DBG_EXCEPTIONS, pending);
}

static void vmx_put_segs(const struct lm_state *st, u32 groups)
{
	unsigned int i;

	for (i = 0; i < LM_SEGS; i++)
		if (groups & lm_seg_group(i) & (LM_S_DATA | LM_S_SEGS))
			vmx_put_seg(&st->seg[i], i);
}

static void vmx_put_syscall(struct lm_vcpu *vcpu)
{
	struct lm_state *st = &vcpu->st;

	vmx_write(GUEST_SYSENTER_CS, st->sysenter_cs);
	vmx_write(GUEST_SYSENTER_ESP, st->sysenter_esp);
	vmx_write(GUEST_SYSENTER_EIP, st->sysenter_eip);
	wrmsrl(MSR_KERNEL_GS_BASE, st->kernel_gs_base);
}

/* What few exits change. */
static noinline void vmx_put_rare(struct lm_vcpu *vcpu, u32 groups)
{
	struct lm_state *st = &vcpu->st;
	unsigned int i;

	if (groups & LM_S_CR0)
		vmx_put_cr0(vcpu);
	if (groups & LM_S_CR3)
		vmx_write(GUEST_CR3, st->cr3);
	if (groups & LM_S_CR4)
		vmx_put_cr4(vcpu);
	if (groups & LM_S_EFER)
		vmx_put_efer(vcpu);
	if (groups & LM_S_CS)
		vmx_put_seg(&st->seg[LM_CS], LM_CS);
	if (groups & LM_S_SS)
		vmx_put_seg(&st->seg[LM_SS], LM_SS);
	if (groups & (LM_S_DATA | LM_S_SEGS))
		vmx_put_segs(st, groups);
	if (groups & LM_S_DT) {
		vmx_write(GUEST_GDTR_BASE, st->gdt.base);
		vmx_write(GUEST_GDTR_LIMIT, st->gdt.limit);
		vmx_write(GUEST_IDTR_BASE, st->idt.base);
		vmx_write(GUEST_IDTR_LIMIT, st->idt.limit);
	}
	if (groups & LM_S_DR) {
		vmx_write(GUEST_DR7, lm_debug_dr7(vcpu));
		lm_vmx_put_dr6(vcpu);
	}
	if (groups & LM_S_SYSCALL)
		vmx_put_syscall(vcpu);
	if (groups & (LM_S_SYSCALL | LM_S_EFER))
		lm_vmx_put_syscall(vcpu);
	if (groups & LM_S_PAT)
		vmx_write(GUEST_IA32_PAT, st->pat);
	if (groups & LM_S_PDPTRS)
		for (i = 0; i < 4; i++)
			vmx_write(GUEST_PDPTR0 + 2 * i, st->pdptr[i]);
}

/**
 * lm_vmx_put - write the dirty groups of the neutral state to the VMCS
 * @vcpu: the vCPU, its section loaded
 */
void lm_vmx_put(struct lm_vcpu *vcpu)
{
	struct lm_state *st = &vcpu->st;
	u32 groups;

	if (unlikely(vcpu->hw->todo))
		lm_vmx_todo(vcpu);
	groups = vcpu->dirty;
	vcpu->dirty = 0;
	if (groups & LM_S_RIP)
		vmx_write(GUEST_RIP, st->rip);
	if (groups == LM_S_RIP)
		return;
	if (groups & (LM_S_RIP | LM_S_SHADOW | LM_S_SS))	/* HLT wants CPL 0 */
		lm_vmx_unhalt(vcpu);
	if (groups & LM_S_RSP)
		vmx_write(GUEST_RSP, st->gpr[LM_RSP]);
	if (groups & LM_S_RFLAGS)
		vmx_write(GUEST_RFLAGS, st->rflags | X86_EFLAGS_FIXED);
	if (groups & LM_S_SHADOW)
		vmx_put_shadow(vcpu);
	/* CR2 is in the CPU: the entry looks. */
	if (groups & ~(LM_S_RIP | LM_S_RSP | LM_S_RFLAGS | LM_S_SHADOW | LM_S_CR2))
		vmx_put_rare(vcpu, groups);
}

/**
 * lm_vmx_dirty - empty the log of dirty pages (29.3.6)
 * @vcpu: in its section
 */
void lm_vmx_dirty(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	u16 last = vmx_read(GUEST_PML_INDEX);	/* the next free one; all ones if full */
	unsigned int i;

	if (last == VMX_PML_FIRST)
		return;
	for (i = (u16)(last + 1); i <= VMX_PML_FIRST; i++)
		lm_mem_logged(vcpu, hw->pml[i]);
	vmx_write(GUEST_PML_INDEX, VMX_PML_FIRST);
}
