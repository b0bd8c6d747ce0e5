// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control structure of a vCPU: creation, what is intercepted, and its dump.
 */
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <asm/segment.h>
#include <asm/trapnr.h>

#include "../lamina.h"
#include "debug.h"
#include "vmcs.h"

/* MSRs that the VMCS or the section keeps per guest: no exit for these. */
static const u32 vmx_direct_msrs[] = {
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/* What guests may change in CR4 without a look, if their CPUID has it. */
#define CR4_OWNED	(X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PGE | X86_CR4_PCE | \
			 X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_FSGSBASE)

/* A PAUSE within so many cycles of the last is of the same loop, which ends after so many. */
#define PLE_GAP_CYCLES		128
#define PLE_WINDOW_CYCLES	4096

#define EPTP_WB		6
#define EPTP_AD		BIT_ULL(6)

void lm_vmx_write_failed(u64 field, u64 val)
{
	pr_err_ratelimited("VMWRITE of %#llx to field %#llx was refused (error %llu)\n",
			   val, field, vmx_read(VM_INSTRUCTION_ERROR));
}

/* Four bitmaps of 1 KiB: reads of low and high MSRs, then writes (25.6.9). */
static void vmx_msr_direct(u8 *map, u32 msr, bool no_read, bool no_write)
{
	unsigned int low = msr <= 0x1fff ? 0 : 0x400;

	__assign_bit(msr & 0x1fff, (unsigned long *)(map + low), no_read);
	__assign_bit(msr & 0x1fff, (unsigned long *)(map + 0x800 + low), no_write);
}

/* Those that the guest has without an exit, but for what a filter takes away. */
static void vmx_direct(struct lm_vcpu *vcpu)
{
	unsigned int i;
	u32 msr;

	for (i = 0; i < ARRAY_SIZE(vmx_direct_msrs); i++) {
		msr = vmx_direct_msrs[i];
		vmx_msr_direct(vcpu->hw->msr_bitmap, msr,
			       lm_msr_filtered(vcpu->vm, msr, KVM_MSR_FILTER_READ),
			       lm_msr_filtered(vcpu->vm, msr, KVM_MSR_FILTER_WRITE));
	}
}

int lm_vmx_vcpu_init(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw;
	unsigned int i;

	hw = kzalloc(sizeof(*hw), GFP_KERNEL_ACCOUNT);
	if (!hw)
		return -ENOMEM;
	hw->vmcs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!hw->vmcs)
		goto free_hw;
	hw->msr_bitmap = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!hw->msr_bitmap)
		goto free_vmcs;
	if (lm_vmx_caps.perf) {
		hw->msr_lists = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
		if (!hw->msr_lists)
			goto free_bitmap;
	}
	if (lm_vmx_caps.proc2 & SECONDARY_EXEC_ENABLE_PML) {
		hw->pml = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
		if (!hw->pml)
			goto free_lists;
	}
	if (lm_vmx_debug_init(hw))
		goto free_pml;
	memset(hw->msr_bitmap, 0xff, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(vmx_direct_msrs); i++)
		vmx_msr_direct(hw->msr_bitmap, vmx_direct_msrs[i], false, false);
	hw->vmcs->revision = lm_vmx_caps.revision;
	hw->vmcs_pa = virt_to_phys(hw->vmcs);
	hw->cpu = -1;
	hw->fresh = true;
	hw->eptp = virt_to_phys(vcpu->vm->mem.root) | EPTP_WB | (vcpu->vm->mem.levels - 1) << 3 |
		   (lm_vmx_caps.ept_ad ? EPTP_AD : 0);
	hw->todo = VMX_TODO_INIT | VMX_TODO_UPDATE | VMX_TODO_TSC;
	vcpu->hw = hw;
	return 0;

free_pml:
	free_page((unsigned long)hw->pml);
free_lists:
	free_page((unsigned long)hw->msr_lists);
free_bitmap:
	free_page((unsigned long)hw->msr_bitmap);
free_vmcs:
	free_page((unsigned long)hw->vmcs);
free_hw:
	kfree(hw);
	return -ENOMEM;
}

void lm_vmx_vcpu_free(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;

	if (!hw)
		return;
	lm_vmx_leave_cpu(vcpu);
	kfree(hw->debug);
	free_page((unsigned long)hw->pml);
	free_page((unsigned long)hw->msr_lists);
	free_page((unsigned long)hw->msr_bitmap);
	free_page((unsigned long)hw->vmcs);
	kfree(hw);
	vcpu->hw = NULL;
}

/* ---- what the next entry writes ---- */

static void vmx_init_host(void)
{
	u64 val;

	vmx_write(HOST_CR0, read_cr0());
	vmx_write(HOST_CS_SELECTOR, __KERNEL_CS);
	vmx_write(HOST_SS_SELECTOR, __KERNEL_DS);
	vmx_write(HOST_DS_SELECTOR, 0);
	vmx_write(HOST_ES_SELECTOR, 0);
	vmx_write(HOST_FS_SELECTOR, 0);
	vmx_write(HOST_GS_SELECTOR, 0);
	vmx_write(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmx_write(HOST_RIP, (unsigned long)lm_vmx_exit_point);
	rdmsrl(MSR_IA32_SYSENTER_CS, val);
	vmx_write(HOST_IA32_SYSENTER_CS, val);
	rdmsrl(MSR_IA32_SYSENTER_EIP, val);
	vmx_write(HOST_IA32_SYSENTER_EIP, val);
	rdmsrl(MSR_IA32_CR_PAT, val);
	vmx_write(HOST_IA32_PAT, val);
	rdmsrl(MSR_EFER, val);
	vmx_write(HOST_IA32_EFER, val);
}

/*
 * The first time that the VMCS is current.  VMCLEAR leaves what it holds
 * undefined, so every field that a control makes count is written (25.11.3).
 */
static void vmx_init(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;

	vmx_init_host();
	hw->pin = lm_vmx_caps.pin;
	hw->entry = lm_vmx_caps.entry & ~VM_ENTRY_IA32E_MODE;
	hw->proc = lm_vmx_caps.proc & ~(CPU_BASED_INTR_WINDOW_EXITING |
					CPU_BASED_NMI_WINDOW_EXITING);
	if (vcpu->vm->x86.disabled_exits & KVM_X86_DISABLE_EXITS_HLT)
		hw->proc &= ~CPU_BASED_HLT_EXITING;
	if (vcpu->vm->x86.disabled_exits & KVM_X86_DISABLE_EXITS_MWAIT)
		hw->proc &= ~(CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING);
	hw->proc = lm_vmx_apic_init(vcpu, hw->proc);
	vmx_write(PIN_BASED_VM_EXEC_CONTROL, hw->pin);
	vmx_write(CPU_BASED_VM_EXEC_CONTROL, hw->proc);
	vmx_write(VM_EXIT_CONTROLS, lm_vmx_caps.exit);
	vmx_write(VM_ENTRY_CONTROLS, hw->entry);
	vmx_write(VM_EXIT_MSR_STORE_COUNT, 0);
	vmx_write(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmx_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
	if (hw->msr_lists) {
		hw->nr_msrs = 0;
		vmx_write(VM_ENTRY_MSR_LOAD_ADDR, virt_to_phys(hw->msr_lists->guest));
		vmx_write(VM_EXIT_MSR_LOAD_ADDR, virt_to_phys(hw->msr_lists->host));
	}
	if (lm_vmx_caps.perf_ctrl) {
		vmx_write(HOST_IA32_PERF_GLOBAL_CTRL, hw->perf_host);
		vmx_write(GUEST_IA32_PERF_GLOBAL_CTRL, hw->perf_guest);
	}
	if (hw->pin & PIN_BASED_VMX_PREEMPTION_TIMER)
		vmx_write(VMX_PREEMPTION_TIMER_VALUE, VMX_TIMER_NEVER);
	vmx_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	vmx_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmx_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmx_write(CR3_TARGET_COUNT, 0);
	vmx_write(MSR_BITMAP, virt_to_phys(hw->msr_bitmap));
	vmx_write(EPT_POINTER, hw->eptp);
	if (hw->pml) {
		vmx_write(PML_ADDRESS, virt_to_phys(hw->pml));
		vmx_write(GUEST_PML_INDEX, VMX_PML_FIRST);
	}
	if (lm_vmx_caps.proc2 & SECONDARY_EXEC_ENABLE_XSAVES)
		vmx_write(XSS_EXIT_BITMAP, 0);
	/* Enclaves are the host's: all of ENCLS exits. */
	if (lm_vmx_caps.proc2 & SECONDARY_EXEC_ENCLS_EXITING)
		vmx_write(ENCLS_EXITING_BITMAP, ~0ull);
	if (lm_vmx_caps.proc2 & SECONDARY_EXEC_PAUSE_LOOP_EXITING) {
		vmx_write(PLE_GAP, PLE_GAP_CYCLES);
		vmx_write(PLE_WINDOW, PLE_WINDOW_CYCLES);
	}
	vmx_write(VMCS_LINK_POINTER, ~0ull);
	vmx_write(GUEST_IA32_DEBUGCTL, 0);
	vmx_write(GUEST_ACTIVITY_STATE, 0);
	vmx_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	lm_vmx_host_refresh(hw);	/* the lists' lengths, which were void */
	vcpu->dirty |= LM_S_ALL & ~LM_S_PDPTRS;
}

/**
 * lm_vmx_set_proc - the primary processor-based controls
 * @hw: its VMCS is current
 * @proc: the new value
 */
void lm_vmx_set_proc(struct lm_hw *hw, u32 proc)
{
	if (proc == hw->proc)
		return;
	hw->proc = proc;
	vmx_write(CPU_BASED_VM_EXEC_CONTROL, proc);
}

/**
 * lm_vmx_unhalt - the guest is not in HLT, or no longer
 * @vcpu: in its section
 *
 * Where HLT does not exit, the VMCS keeps that it halted, with RIP behind it: an event or
 * another RIP ends that, and not every event may be injected in that state (27.3.1.5).
 */
void lm_vmx_unhalt(struct lm_vcpu *vcpu)
{
	if (unlikely(vcpu->vm->x86.disabled_exits & KVM_X86_DISABLE_EXITS_HLT))
		vmx_write(GUEST_ACTIVITY_STATE, 0);
}

static u32 vmx_proc2(struct lm_vcpu *vcpu)
{
	u32 proc2 = lm_vmx_caps.proc2;

	/* #UD in guests that do not have them. */
	if (!vcpu->x86.has_rdtscp)
		proc2 &= ~SECONDARY_EXEC_ENABLE_RDTSCP;
	if (!lm_cpuid_has(vcpu, X86_FEATURE_INVPCID))
		proc2 &= ~SECONDARY_EXEC_ENABLE_INVPCID;
	if (!vcpu->x86.has_xsaves)
		proc2 &= ~SECONDARY_EXEC_ENABLE_XSAVES;
	if (!vcpu->x86.tsc_ratio)
		proc2 &= ~SECONDARY_EXEC_TSC_SCALING;
	if (vcpu->vm->x86.disabled_exits & KVM_X86_DISABLE_EXITS_PAUSE)
		proc2 &= ~SECONDARY_EXEC_PAUSE_LOOP_EXITING;
	return lm_vmx_apic_controls(vcpu, proc2);
}

/*
 * What is intercepted.  #MC is the host's; #AC and #DB could loop in the CPU; #UD
 * may be VMMCALL.
 */
static void vmx_todo_update(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	u64 owned = CR4_OWNED & ~vcpu->x86.cr4_reserved;
	u32 exc = BIT(X86_TRAP_MC) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_UD) | BIT(X86_TRAP_DB);
	u32 proc2 = vmx_proc2(vcpu);

	/* The guest's DR0-3 are in the CPU only once it has used them. */
	if (vcpu->dr_loaded && !lm_debug_owns_dr(vcpu))
		lm_vmx_set_proc(hw, hw->proc & ~CPU_BASED_MOV_DR_EXITING);
	else
		lm_vmx_set_proc(hw, hw->proc | CPU_BASED_MOV_DR_EXITING);
	if (vcpu->dr_loaded && !hw->dr6_loaded) {
		lm_need_state(vcpu, LM_S_DR);
		vcpu->dirty |= LM_S_DR;
	}
	exc |= lm_debug_exceptions(vcpu);
	if (exc != hw->exceptions) {
		hw->exceptions = exc;
		vmx_write(EXCEPTION_BITMAP, exc);
	}
	if (proc2 != hw->proc2) {
		hw->proc2 = proc2;
		vmx_write(SECONDARY_VM_EXEC_CONTROL, proc2);
	}
	if (static_branch_unlikely(&lm_msr_specials))
		vmx_direct(vcpu);
	if (owned != hw->cr4_owned) {
		lm_need_state(vcpu, LM_S_CR4);
		hw->cr4_owned = owned;
		vmx_write(CR4_GUEST_HOST_MASK, ~owned);
		vcpu->dirty |= LM_S_CR4;
	}
}

static void vmx_todo_tsc(struct lm_vcpu *vcpu)
{
	vmx_write(TSC_OFFSET, vcpu->x86.tsc_offset);
	if (vcpu->x86.tsc_ratio)
		vmx_write(TSC_MULTIPLIER, vcpu->x86.tsc_ratio);
}

/**
 * lm_vmx_todo - write what was left for the next entry
 * @vcpu: its section is loaded
 */
void lm_vmx_todo(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	u32 todo = hw->todo;

	hw->todo = 0;
	if (todo & VMX_TODO_INIT)
		vmx_init(vcpu);
	/* The multiplier's control goes with the ratio. */
	if (todo)
		vmx_todo_update(vcpu);
	if (todo & VMX_TODO_TSC)
		vmx_todo_tsc(vcpu);
	/* The first entry: what waits in the LAPIC was looked at before there was a VMCS. */
	if (todo & VMX_TODO_INIT)
		lm_vmx_apic(vcpu);
}

void lm_vmx_update(struct lm_vcpu *vcpu)
{
	vcpu->hw->todo |= VMX_TODO_UPDATE;
}

void lm_vmx_tsc(struct lm_vcpu *vcpu)
{
	vcpu->hw->todo |= VMX_TODO_TSC;
}

/* ---- the dump ---- */

#define VMX_FIELD(name)	{ #name, name }

/* In the order of the manual's sections 25.4 to 25.9. */
static const struct {
	const char *name;
	u32 field;
} vmx_dumped[] = {
	VMX_FIELD(VM_INSTRUCTION_ERROR), VMX_FIELD(VM_EXIT_REASON), VMX_FIELD(EXIT_QUALIFICATION),
	VMX_FIELD(VM_EXIT_INTR_INFO), VMX_FIELD(VM_EXIT_INTR_ERROR_CODE),
	VMX_FIELD(IDT_VECTORING_INFO_FIELD), VMX_FIELD(VM_EXIT_INSTRUCTION_LEN),
	VMX_FIELD(GUEST_PHYSICAL_ADDRESS), VMX_FIELD(GUEST_LINEAR_ADDRESS),
	VMX_FIELD(GUEST_RIP), VMX_FIELD(GUEST_RSP), VMX_FIELD(GUEST_RFLAGS),
	VMX_FIELD(GUEST_CR0), VMX_FIELD(GUEST_CR3), VMX_FIELD(GUEST_CR4), VMX_FIELD(GUEST_DR7),
	VMX_FIELD(CR0_READ_SHADOW), VMX_FIELD(CR0_GUEST_HOST_MASK),
	VMX_FIELD(CR4_READ_SHADOW), VMX_FIELD(CR4_GUEST_HOST_MASK),
	VMX_FIELD(GUEST_IA32_EFER), VMX_FIELD(GUEST_IA32_PAT), VMX_FIELD(GUEST_IA32_DEBUGCTL),
	VMX_FIELD(GUEST_PDPTR0), VMX_FIELD(GUEST_PDPTR1), VMX_FIELD(GUEST_PDPTR2),
	VMX_FIELD(GUEST_PDPTR3),
	VMX_FIELD(GUEST_GDTR_BASE), VMX_FIELD(GUEST_GDTR_LIMIT),
	VMX_FIELD(GUEST_IDTR_BASE), VMX_FIELD(GUEST_IDTR_LIMIT),
	VMX_FIELD(GUEST_INTERRUPTIBILITY_INFO), VMX_FIELD(GUEST_ACTIVITY_STATE),
	VMX_FIELD(GUEST_PENDING_DBG_EXCEPTIONS), VMX_FIELD(VMCS_LINK_POINTER),
	VMX_FIELD(GUEST_SYSENTER_CS), VMX_FIELD(GUEST_SYSENTER_ESP), VMX_FIELD(GUEST_SYSENTER_EIP),
	VMX_FIELD(PIN_BASED_VM_EXEC_CONTROL), VMX_FIELD(CPU_BASED_VM_EXEC_CONTROL),
	VMX_FIELD(SECONDARY_VM_EXEC_CONTROL), VMX_FIELD(EXCEPTION_BITMAP),
	VMX_FIELD(VM_ENTRY_CONTROLS), VMX_FIELD(VM_EXIT_CONTROLS),
	VMX_FIELD(VM_ENTRY_INTR_INFO_FIELD), VMX_FIELD(VM_ENTRY_EXCEPTION_ERROR_CODE),
	VMX_FIELD(VM_ENTRY_INSTRUCTION_LEN), VMX_FIELD(VM_ENTRY_MSR_LOAD_COUNT),
	VMX_FIELD(VM_EXIT_MSR_LOAD_COUNT), VMX_FIELD(VM_EXIT_MSR_STORE_COUNT),
	VMX_FIELD(EPT_POINTER), VMX_FIELD(MSR_BITMAP), VMX_FIELD(TSC_OFFSET),
	VMX_FIELD(HOST_RIP), VMX_FIELD(HOST_RSP), VMX_FIELD(HOST_CR0), VMX_FIELD(HOST_CR3),
	VMX_FIELD(HOST_CR4), VMX_FIELD(HOST_IA32_EFER), VMX_FIELD(HOST_IA32_PAT),
	VMX_FIELD(HOST_CS_SELECTOR), VMX_FIELD(HOST_SS_SELECTOR), VMX_FIELD(HOST_TR_SELECTOR),
	VMX_FIELD(HOST_FS_BASE), VMX_FIELD(HOST_GS_BASE), VMX_FIELD(HOST_TR_BASE),
	VMX_FIELD(HOST_GDTR_BASE), VMX_FIELD(HOST_IDTR_BASE),
	VMX_FIELD(HOST_IA32_SYSENTER_CS), VMX_FIELD(HOST_IA32_SYSENTER_ESP),
	VMX_FIELD(HOST_IA32_SYSENTER_EIP),
};

void lm_vmx_dump(struct lm_vcpu *vcpu)
{
	static const char names[LM_SEGS][5] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr" };
	unsigned int i;

	pr_err("VMCS of vCPU %d:\n", vcpu->id);
	for (i = 0; i < ARRAY_SIZE(vmx_dumped); i++)
		pr_err("  %-28s %016llx\n", vmx_dumped[i].name, vmx_read(vmx_dumped[i].field));
	for (i = 0; i < LM_SEGS; i++)
		pr_err("  %-4s sel %04llx ar %05llx limit %08llx base %016llx\n", names[i],
		       vmx_read(GUEST_ES_SELECTOR + 2 * i), vmx_read(GUEST_ES_AR_BYTES + 2 * i),
		       vmx_read(GUEST_ES_LIMIT + 2 * i), vmx_read(GUEST_ES_BASE + 2 * i));
	lm_vmx_check();
}
