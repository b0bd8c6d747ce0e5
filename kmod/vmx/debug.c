// SPDX-License-Identifier: GPL-2.0-only
/*
 * debug_state: what the module believes to be in the VMCS, and in the host behind it,
 * compared with the truth at each entry.
 */
#include <linux/slab.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>

#include "../x86/debug.h"
#include "debug.h"
#include "vmcs.h"

DEFINE_STATIC_KEY_FALSE(lm_vmx_debug);

/* Fields of the VMCS of which struct lm_hw has a copy, if a control makes them count. */
static const struct vmx_copy {
	const char *name;
	u16 off, size;
	u32 field;
	u32 proc, proc2;
} vmx_copies[] = {
#define COPY_IF(member, field, proc, proc2) { #field, offsetof(struct lm_hw, member), \
	sizeof_field(struct lm_hw, member), field, proc, proc2 }
#define COPY(member, field) COPY_IF(member, field, 0, 0)
	COPY(pin, PIN_BASED_VM_EXEC_CONTROL),
	COPY(proc, CPU_BASED_VM_EXEC_CONTROL),
	COPY(proc2, SECONDARY_VM_EXEC_CONTROL),
	COPY(entry, VM_ENTRY_CONTROLS),
	COPY(exceptions, EXCEPTION_BITMAP),
	COPY(eptp, EPT_POINTER),
	COPY(host_rsp, HOST_RSP),
	COPY(host_cr3, HOST_CR3),
	COPY(host_cr4, HOST_CR4),
	COPY(host_fs_base, HOST_FS_BASE),
	COPY_IF(vpid, VIRTUAL_PROCESSOR_ID, 0, SECONDARY_EXEC_ENABLE_VPID),
	COPY_IF(tpr_threshold, TPR_THRESHOLD, CPU_BASED_TPR_SHADOW, 0),
	COPY_IF(eoi_exit[0], EOI_EXIT_BITMAP0, 0, SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY),
	COPY_IF(eoi_exit[1], EOI_EXIT_BITMAP1, 0, SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY),
	COPY_IF(eoi_exit[2], EOI_EXIT_BITMAP2, 0, SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY),
	COPY_IF(eoi_exit[3], EOI_EXIT_BITMAP3, 0, SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY),
#undef COPY
#undef COPY_IF
};

static const char *vmx_wrong_copy(struct lm_hw *hw)
{
	const struct vmx_copy *c;

	for (c = vmx_copies; c < vmx_copies + ARRAY_SIZE(vmx_copies); c++) {
		u64 val = 0;

		if ((c->proc & ~hw->proc) || (c->proc2 & ~hw->proc2))
			continue;
		memcpy(&val, (void *)hw + c->off, c->size);
		if (vmx_read(c->field) != val)
			return c->name;
	}
	return NULL;
}

/* What an exit would load, and what the host has. */
static const char *vmx_wrong_host(void)
{
	struct desc_ptr gdt, idt;
	u64 fs, gs, esp;

	native_store_gdt(&gdt);
	store_idt(&idt);
	rdmsrl(MSR_FS_BASE, fs);
	rdmsrl(MSR_GS_BASE, gs);
	rdmsrl(MSR_IA32_SYSENTER_ESP, esp);
	return vmx_read(HOST_CR3) != __native_read_cr3() ? "HOST_CR3" :
	       vmx_read(HOST_CR4) != native_read_cr4() ? "HOST_CR4" :
	       vmx_read(HOST_FS_BASE) != fs ? "HOST_FS_BASE" :
	       vmx_read(HOST_GS_BASE) != gs ? "HOST_GS_BASE" :
	       vmx_read(HOST_GDTR_BASE) != gdt.address ? "HOST_GDTR_BASE" :
	       vmx_read(HOST_IDTR_BASE) != idt.address ? "HOST_IDTR_BASE" :
	       vmx_read(HOST_TR_BASE) != lm_vmx_tr_base() ? "HOST_TR_BASE" :
	       vmx_read(HOST_IA32_SYSENTER_ESP) != esp ? "HOST_IA32_SYSENTER_ESP" : NULL;
}

/* Guest state that is not in groups: derived, or current in the neutral state at all times. */
static const char *vmx_wrong_guest(struct lm_vcpu *vcpu)
{
	const struct lm_state *st = &vcpu->st;
	struct lm_hw *hw = vcpu->hw;
	u64 star, lstar, sfmask;

	if ((vmx_read(CR0_READ_SHADOW) ^ st->cr0) & vmx_read(CR0_GUEST_HOST_MASK))
		return "CR0_READ_SHADOW";
	if (vmx_read(CR4_GUEST_HOST_MASK) != ~hw->cr4_owned)
		return "CR4_GUEST_HOST_MASK";
	if ((vmx_read(CR4_READ_SHADOW) ^ st->cr4) & ~hw->cr4_owned)
		return "CR4_READ_SHADOW";
	if (vmx_read(GUEST_IA32_EFER) != st->efer)
		return "GUEST_IA32_EFER";
	if (vmx_read(GUEST_IA32_PAT) != st->pat)
		return "GUEST_IA32_PAT";
	if (vmx_read(TSC_OFFSET) != vcpu->x86.tsc_offset)
		return "TSC_OFFSET";
	if (!(st->efer & EFER_SCE))
		return NULL;
	rdmsrl(MSR_STAR, star);
	rdmsrl(MSR_LSTAR, lstar);
	rdmsrl(MSR_SYSCALL_MASK, sfmask);
	return star != st->star || lstar != st->lstar || sfmask != st->sfmask ?
	       "an MSR of SYSCALL" : NULL;
}

/* Neutral state that is said to be valid and that the VMCS has otherwise. */
static const char *vmx_uncached(struct lm_vcpu *vcpu, struct lm_state *scratch)
{
	u32 valid = vcpu->valid;
	const char *wrong;
	unsigned int i;

	*scratch = vcpu->st;
	vcpu->valid = 0;		/* or it would not be read again */
	lm_vmx_get(vcpu, valid);
	scratch->rflags |= X86_EFLAGS_FIXED;
	/* Access rights need not be the same to mean the same. */
	for (i = 0; i < LM_SEGS; i++) {
		if (lm_vmx_ar(&scratch->seg[i], i) == lm_vmx_ar(&vcpu->st.seg[i], i))
			vcpu->st.seg[i].attr = scratch->seg[i].attr;
	}
	wrong = lm_state_differ(scratch, &vcpu->st, valid & ~lm_debug_stored(vcpu));
	vcpu->st = *scratch;
	vcpu->valid = valid;
	return wrong;
}

static u64 vmx_vmptrst(void)
{
	u64 pa;

	asm volatile("vmptrst %0" : "=m" (pa) : : "cc");
	return pa;
}

/**
 * lm_vmx_debug_setup - what the parameters ask for
 */
void lm_vmx_debug_setup(void)
{
	if (lm_debug_state || lm_debug_tlb_wanted || lm_vmx_check_entries)
		static_branch_enable(&lm_vmx_debug);
}

/**
 * lm_vmx_debug_init - memory of one vCPU
 * @hw: its VMX part
 *
 * Return: 0 or -ENOMEM
 */
int lm_vmx_debug_init(struct lm_hw *hw)
{
	if (!lm_debug_state)
		return 0;
	hw->debug = kzalloc(sizeof(*hw->debug), GFP_KERNEL_ACCOUNT);
	return hw->debug ? 0 : -ENOMEM;
}

static void vmx_debug_state(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	const char *wrong;

	WARN_ONCE(hw->cpu != raw_smp_processor_id() || vmx_vmptrst() != hw->vmcs_pa,
		  "lamina: vCPU %d: its VMCS is active on CPU %d\n", vcpu->id, hw->cpu);
	wrong = vmx_wrong_copy(hw) ?: vmx_wrong_host() ?: vmx_wrong_guest(vcpu);
	WARN_ONCE(wrong, "lamina: vCPU %d: %s is not what it should be\n", vcpu->id, wrong);
	wrong = vmx_uncached(vcpu, &hw->debug->st);
	WARN_ONCE(wrong, "lamina: vCPU %d: cached %s is not what the VMCS has\n", vcpu->id, wrong);
}

/**
 * lm_vmx_debug_entry - all is set for the entry
 * @vcpu: in its section; nothing may be changed after this
 * @flushed: what became of translations of the nested table
 */
void lm_vmx_debug_entry(struct lm_vcpu *vcpu, enum lm_flush_how flushed)
{
	if (lm_vmx_check_entries)
		lm_vmx_check();
	if (static_branch_unlikely(&lm_debug_tlb))
		lm_tlb_enter(vcpu, vcpu->hw->vpid, flushed);
	if (lm_debug_state)
		vmx_debug_state(vcpu);
}

/**
 * lm_vmx_debug_exit - the guest was left, nobody has looked at its VMCS yet
 * @vcpu: in its section
 *
 * What the guest cannot change without an exit is current at all times and stays.
 */
void lm_vmx_debug_exit(struct lm_vcpu *vcpu)
{
	u64 cr0_kept, cr4_kept = ~vcpu->hw->cr4_owned;
	struct lm_state *st = &vcpu->st, *old;

	if (!lm_debug_state)
		return;
	cr0_kept = vmx_read(CR0_GUEST_HOST_MASK);
	old = &vcpu->hw->debug->st;
	*old = *st;
	lm_state_poison(st, ~(vcpu->valid | lm_debug_stored(vcpu)));
	st->cr0 = (st->cr0 & ~cr0_kept) | (old->cr0 & cr0_kept);
	st->cr4 = (st->cr4 & ~cr4_kept) | (old->cr4 & cr4_kept);
	st->star = old->star;
	st->lstar = old->lstar;
	st->cstar = old->cstar;
	st->sfmask = old->sfmask;
	if (!vcpu->hw->dr6_loaded)
		st->dr6 = old->dr6;
}
