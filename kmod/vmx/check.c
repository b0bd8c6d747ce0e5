// SPDX-License-Identifier: GPL-2.0-only
/*
 * The manual's rules for VM entries (SDM vol. 3, 27.2 and 27.3) over the current
 * VMCS.  A CPU says at most in which chapter a broken rule stands; this names it.
 * Run before each entry with vmx_check=1, and with the dump of an entry that failed.
 */
#include <linux/printk.h>
#include <asm/msr.h>
#include <asm/pgtable.h>
#include <asm/processor-flags.h>

#include "../lamina.h"
#include "vmcs.h"

#define RFLAGS_RESERVED	(GENMASK_ULL(63, 22) | BIT_ULL(15) | BIT_ULL(5) | BIT_ULL(3))
#define VMX_AR_RESERVED	(GENMASK(31, 17) | GENMASK(11, 8))
#define VMX_AR_S		BIT(4)
#define VMX_AR_P		BIT(7)
#define VMX_AR_L		BIT(13)
#define VMX_AR_DB		BIT(14)
#define VMX_AR_G		BIT(15)

struct vmx_check {
	u64 cr0, cr3, cr4, efer, rflags;
	u32 pin, proc, proc2, entry, exit;
	bool long_mode, v86, ok;
};

static void vmx_rule(struct vmx_check *c, bool holds, const char *rule)
{
	if (likely(holds))
		return;
	c->ok = false;
	pr_err_ratelimited("VM entry rule broken: %s\n", rule);
}

#define RULE(holds, rule)	vmx_rule(c, holds, rule)

static bool vmx_canonical(u64 addr)
{
	unsigned int shift = pgtable_l5_enabled() ? 64 - 57 : 64 - 48;

	return (u64)((s64)(addr << shift) >> shift) == addr;
}

static bool vmx_page(u64 pa)
{
	return !(pa & ~PAGE_MASK) && !(pa >> boot_cpu_data.x86_phys_bits);
}

static bool vmx_allowed(u32 msr, u32 val)
{
	u32 must, may;

	rdmsr(msr, must, may);
	return !(must & ~val) && !(val & ~may);
}

/* 27.2.1.1 and 27.2.1.2 */
static void vmx_check_controls(struct vmx_check *c)
{
	u64 eptp = vmx_read(EPT_POINTER);

	RULE(vmx_allowed(MSR_IA32_VMX_TRUE_PINBASED_CTLS, c->pin), "27.2.1.1 pin-based controls");
	RULE(vmx_allowed(MSR_IA32_VMX_TRUE_PROCBASED_CTLS, c->proc),
	     "27.2.1.1 primary processor-based controls");
	RULE(vmx_allowed(MSR_IA32_VMX_PROCBASED_CTLS2, c->proc2), "27.2.1.1 secondary controls");
	RULE(vmx_allowed(MSR_IA32_VMX_TRUE_EXIT_CTLS, c->exit), "27.2.1.2 VM-exit controls");
	RULE(vmx_allowed(MSR_IA32_VMX_TRUE_ENTRY_CTLS, c->entry), "27.2.1.3 VM-entry controls");
	RULE(vmx_read(CR3_TARGET_COUNT) <= 4, "27.2.1.1 CR3-target count");
	RULE(vmx_page(vmx_read(MSR_BITMAP)), "27.2.1.1 MSR bitmap address");
	RULE((c->pin & PIN_BASED_NMI_EXITING) || !(c->pin & PIN_BASED_VIRTUAL_NMIS),
	     "27.2.1.1 virtual NMIs without NMI exiting");
	RULE((c->pin & PIN_BASED_VIRTUAL_NMIS) || !(c->proc & CPU_BASED_NMI_WINDOW_EXITING),
	     "27.2.1.1 NMI-window exiting without virtual NMIs");
	RULE(!(c->proc2 & SECONDARY_EXEC_ENABLE_VPID) || vmx_read(VIRTUAL_PROCESSOR_ID),
	     "27.2.1.1 VPID 0");
	RULE(!(eptp & GENMASK_ULL(11, 7)) && vmx_page(eptp & PAGE_MASK), "27.2.1.1 EPT pointer");
	if (c->proc & CPU_BASED_TPR_SHADOW) {
		u64 apic = vmx_read(VIRTUAL_APIC_PAGE_ADDR);
		u32 threshold = vmx_read(TPR_THRESHOLD);

		RULE(vmx_page(apic), "27.2.1.1 virtual-APIC address");
		if (!(c->proc2 & SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY))
			RULE(threshold <= 15, "27.2.1.1 TPR threshold");
		if (vmx_page(apic) && !(c->proc2 & (SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY |
						    SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES)))
			RULE(threshold <= (*(u32 *)(__va(apic) + 0x80) >> 4 & 15),
			     "27.2.1.1 TPR threshold above VTPR");
	} else {
		RULE(!(c->proc2 & (SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE |
				   SECONDARY_EXEC_APIC_REGISTER_VIRT |
				   SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)),
		     "27.2.1.1 APIC virtualisation without a TPR shadow");
	}
	RULE(!(c->proc2 & SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY) ||
	     (c->pin & PIN_BASED_EXT_INTR_MASK),
	     "27.2.1.1 virtual-interrupt delivery without external-interrupt exiting");
	RULE((c->proc2 & (SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE |
			  SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES)) !=
	     (SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE | SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES),
	     "27.2.1.1 both x2APIC mode and APIC accesses virtualised");
	RULE(!(c->pin & PIN_BASED_POSTED_INTR) ||
	     ((c->proc2 & SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY) &&
	      (c->exit & VM_EXIT_ACK_INTR_ON_EXIT) && vmx_read(POSTED_INTR_NV) <= 255 &&
	      !(vmx_read(POSTED_INTR_DESC_ADDR) & 63)), "27.2.1.1 posted interrupts");
	RULE(!(c->proc2 & SECONDARY_EXEC_ENABLE_PML) || vmx_page(vmx_read(PML_ADDRESS)),
	     "27.2.1.1 PML address");
	RULE((c->pin & PIN_BASED_VMX_PREEMPTION_TIMER) ||
	     !(c->exit & VM_EXIT_SAVE_VMX_PREEMPTION_TIMER),
	     "27.2.1.2 the preemption timer is saved but not active");
}

/* 27.2.1.3: the event to inject */
static void vmx_check_event(struct vmx_check *c)
{
	u32 info = vmx_read(VM_ENTRY_INTR_INFO_FIELD), type = info >> 8 & 7, vector = info & 0xff;
	u32 block = vmx_read(GUEST_INTERRUPTIBILITY_INFO);
	bool error = info & BIT(11);

	if (!(info & BIT(31)))
		return;
	RULE(type != 1 && type != 7, "27.2.1.3 interruption type");
	RULE(!(info & GENMASK(30, 12)), "27.2.1.3 reserved bits of the interruption information");
	RULE(type != 2 || vector == 2, "27.2.1.3 an NMI's vector is 2");
	RULE(type != 3 || vector <= 31, "27.2.1.3 an exception's vector is below 32");
	RULE(error == (type == 3 && (c->cr0 & X86_CR0_PE) && (BIT(vector & 31) & 0x27d00)),
	     "27.2.1.3 deliver-error-code");
	if (type >= 4)
		RULE(vmx_read(VM_ENTRY_INSTRUCTION_LEN) <= 15, "27.2.1.3 instruction length");
	if (type == 0) {
		RULE(c->rflags & X86_EFLAGS_IF, "27.3.1.4 an interrupt is injected with IF clear");
		RULE(!(block & (VMX_BLOCK_STI | VMX_BLOCK_MOVSS)),
		     "27.3.1.5 an interrupt is injected in a shadow");
	}
	if (type == 2) {
		RULE(!(block & VMX_BLOCK_MOVSS), "27.3.1.5 an NMI is injected behind MOV SS");
		RULE(!(c->pin & PIN_BASED_VIRTUAL_NMIS) || !(block & VMX_BLOCK_NMI),
		     "27.3.1.5 an NMI is injected while NMIs are blocked");
	}
}

/* 27.2.2 to 27.2.4 */
static void vmx_check_host(struct vmx_check *c)
{
	u64 cr0 = vmx_read(HOST_CR0), cr4 = vmx_read(HOST_CR4), efer = vmx_read(HOST_IA32_EFER);

	RULE((cr0 & (X86_CR0_PG | X86_CR0_PE | X86_CR0_NE)) ==
	     (X86_CR0_PG | X86_CR0_PE | X86_CR0_NE), "27.2.2 host CR0");
	RULE((cr4 & (X86_CR4_PAE | X86_CR4_VMXE)) == (X86_CR4_PAE | X86_CR4_VMXE),
	     "27.2.2 host CR4");
	RULE(vmx_canonical(vmx_read(HOST_IA32_SYSENTER_ESP)) &&
	     vmx_canonical(vmx_read(HOST_IA32_SYSENTER_EIP)), "27.2.2 host SYSENTER addresses");
	RULE((efer & (EFER_LMA | EFER_LME)) == (EFER_LMA | EFER_LME), "27.2.2 host EFER");
	RULE(!((vmx_read(HOST_CS_SELECTOR) | vmx_read(HOST_SS_SELECTOR) |
		vmx_read(HOST_DS_SELECTOR) | vmx_read(HOST_ES_SELECTOR) |
		vmx_read(HOST_FS_SELECTOR) | vmx_read(HOST_GS_SELECTOR) |
		vmx_read(HOST_TR_SELECTOR)) & 7), "27.2.3 RPL and TI of host selectors");
	RULE(vmx_read(HOST_CS_SELECTOR) && vmx_read(HOST_TR_SELECTOR), "27.2.3 host CS or TR null");
	RULE(vmx_canonical(vmx_read(HOST_FS_BASE)) && vmx_canonical(vmx_read(HOST_GS_BASE)) &&
	     vmx_canonical(vmx_read(HOST_TR_BASE)) && vmx_canonical(vmx_read(HOST_GDTR_BASE)) &&
	     vmx_canonical(vmx_read(HOST_IDTR_BASE)), "27.2.3 host bases");
	RULE(vmx_canonical(vmx_read(HOST_RIP)), "27.2.4 host RIP");
}

/* 27.3.1.1 */
static void vmx_check_registers(struct vmx_check *c)
{
	u64 fixed0 = lm_vmx_caps.cr0_fixed;
	u64 fixed1;
	u64 pat = vmx_read(GUEST_IA32_PAT);

	RULE(!(fixed0 & ~c->cr0), "27.3.1.1 CR0 fixed bits");
	RULE(!(c->cr0 & X86_CR0_PG) || (c->cr0 & X86_CR0_PE), "27.3.1.1 CR0.PG without PE");
	rdmsrl(MSR_IA32_VMX_CR4_FIXED1, fixed1);
	RULE(!(lm_vmx_caps.cr4_fixed & ~c->cr4) && !(c->cr4 & ~fixed1),
	     "27.3.1.1 CR4 fixed bits");
	RULE(!vmx_read(GUEST_IA32_DEBUGCTL), "27.3.1.1 DEBUGCTL");
	RULE(!c->long_mode || ((c->cr0 & X86_CR0_PG) && (c->cr4 & X86_CR4_PAE)),
	     "27.3.1.1 IA-32e mode without paging or PAE");
	RULE(c->long_mode || !(c->cr4 & X86_CR4_PCIDE), "27.3.1.1 CR4.PCIDE outside IA-32e mode");
	RULE(!(c->cr3 >> boot_cpu_data.x86_phys_bits), "27.3.1.1 CR3");
	RULE(!(vmx_read(GUEST_DR7) >> 32), "27.3.1.1 DR7");
	RULE(vmx_canonical(vmx_read(GUEST_SYSENTER_ESP)) &&
	     vmx_canonical(vmx_read(GUEST_SYSENTER_EIP)), "27.3.1.1 SYSENTER addresses");
	RULE(lm_pat_valid(pat), "27.3.1.1 PAT");
	RULE(!(c->efer & ~(u64)(EFER_SCE | EFER_LME | EFER_LMA | EFER_NX)),
	     "27.3.1.1 EFER reserved bits");
	RULE(!!(c->efer & EFER_LMA) == c->long_mode, "27.3.1.1 EFER.LMA");
	RULE(!(c->cr0 & X86_CR0_PG) || !(c->efer & EFER_LMA) == !(c->efer & EFER_LME),
	     "27.3.1.1 EFER.LME");
}

static void vmx_check_code(struct vmx_check *c)
{
	u32 cs = vmx_read(GUEST_CS_AR_BYTES), ss = vmx_read(GUEST_SS_AR_BYTES);
	u32 type = cs & 15, dpl = cs >> 5 & 3, cpl = ss >> 5 & 3;

	RULE(type == 3 || (type & 9) == 9, "27.3.1.2 type of CS");
	RULE(!(cs & VMX_AR_UNUSABLE), "27.3.1.2 CS unusable");
	if (type == 3)
		RULE(!dpl, "27.3.1.2 DPL of a CS that is data");
	else if (type & 4)
		RULE(dpl <= cpl, "27.3.1.2 DPL of conforming CS");
	else
		RULE(dpl == cpl, "27.3.1.2 DPL of CS and SS differ");
	RULE(!c->long_mode || !(cs & VMX_AR_L) || !(cs & VMX_AR_DB), "27.3.1.2 CS has both L and D");
	if (type == 3 || !(c->cr0 & X86_CR0_PE))
		RULE(!cpl, "27.3.1.2 DPL of SS in real mode");
	RULE((ss & VMX_AR_UNUSABLE) || (ss & 15) == 3 || (ss & 15) == 7, "27.3.1.2 type of SS");
}

/* 27.3.1.2: what holds for each of ES, CS, SS, DS, FS, GS that is usable */
static void vmx_check_segment(struct vmx_check *c, unsigned int i)
{
	u32 ar = vmx_read(GUEST_ES_AR_BYTES + 2 * i), limit = vmx_read(GUEST_ES_LIMIT + 2 * i);
	u64 base = vmx_read(GUEST_ES_BASE + 2 * i);

	if (c->v86) {
		RULE(base == vmx_read(GUEST_ES_SELECTOR + 2 * i) << 4, "27.3.1.2 base in v8086 mode");
		RULE(limit == 0xffff && ar == 0xf3, "27.3.1.2 limit or rights in v8086 mode");
		return;
	}
	if (i == LM_FS || i == LM_GS)
		RULE(vmx_canonical(base), "27.3.1.2 base of FS or GS");
	if (ar & VMX_AR_UNUSABLE)
		return;
	if (i != LM_FS && i != LM_GS)
		RULE(!(base >> 32), "27.3.1.2 base of CS, SS, DS or ES above 4 GiB");
	RULE((ar & 1) || i == LM_CS, "27.3.1.2 data segment not accessed");
	RULE(!(ar & 8) || (ar & 2) || i == LM_CS, "27.3.1.2 code segment not readable");
	RULE(ar & VMX_AR_S, "27.3.1.2 system segment in a segment register");
	RULE(ar & VMX_AR_P, "27.3.1.2 segment not present");
	RULE(!(ar & VMX_AR_RESERVED), "27.3.1.2 reserved bits of access rights");
	RULE((limit & 0xfff) == 0xfff || !(ar & VMX_AR_G), "27.3.1.2 G with a limit in bytes");
	RULE(!(limit >> 20) || (ar & VMX_AR_G), "27.3.1.2 limit needs G");
}

static void vmx_check_system_segments(struct vmx_check *c)
{
	u32 tr = vmx_read(GUEST_TR_AR_BYTES), ldtr = vmx_read(GUEST_LDTR_AR_BYTES);
	u32 limit = vmx_read(GUEST_TR_LIMIT);

	RULE(!(vmx_read(GUEST_TR_SELECTOR) & 4), "27.3.1.2 TI of TR");
	RULE(vmx_canonical(vmx_read(GUEST_TR_BASE)), "27.3.1.2 base of TR");
	RULE((tr & 15) == 11 || (!c->long_mode && (tr & 15) == 3), "27.3.1.2 type of TR");
	RULE(!(tr & VMX_AR_S) && (tr & VMX_AR_P) && !(tr & (VMX_AR_RESERVED | VMX_AR_UNUSABLE)),
	     "27.3.1.2 rights of TR");
	RULE((limit & 0xfff) == 0xfff || !(tr & VMX_AR_G), "27.3.1.2 G of TR");
	RULE(!(limit >> 20) || (tr & VMX_AR_G), "27.3.1.2 limit of TR needs G");
	if (ldtr & VMX_AR_UNUSABLE)
		return;
	limit = vmx_read(GUEST_LDTR_LIMIT);
	RULE(!(vmx_read(GUEST_LDTR_SELECTOR) & 4), "27.3.1.2 TI of LDTR");
	RULE(vmx_canonical(vmx_read(GUEST_LDTR_BASE)), "27.3.1.2 base of LDTR");
	RULE((ldtr & 15) == 2 && !(ldtr & VMX_AR_S) && (ldtr & VMX_AR_P) && !(ldtr & VMX_AR_RESERVED),
	     "27.3.1.2 rights of LDTR");
	RULE((limit & 0xfff) == 0xfff || !(ldtr & VMX_AR_G), "27.3.1.2 G of LDTR");
	RULE(!(limit >> 20) || (ldtr & VMX_AR_G), "27.3.1.2 limit of LDTR needs G");
}

/* 27.3.1.3 to 27.3.1.6 */
static void vmx_check_rest(struct vmx_check *c)
{
	u32 block = vmx_read(GUEST_INTERRUPTIBILITY_INFO), activity = vmx_read(GUEST_ACTIVITY_STATE);
	u64 pending = vmx_read(GUEST_PENDING_DBG_EXCEPTIONS), rip = vmx_read(GUEST_RIP), e;
	u64 reserved = GENMASK_ULL(63, 52) | 0x1e6;
	unsigned int i;

	RULE(vmx_canonical(vmx_read(GUEST_GDTR_BASE)) && vmx_canonical(vmx_read(GUEST_IDTR_BASE)),
	     "27.3.1.3 bases of GDTR, IDTR");
	RULE(!((vmx_read(GUEST_GDTR_LIMIT) | vmx_read(GUEST_IDTR_LIMIT)) >> 16),
	     "27.3.1.3 limits of GDTR, IDTR");
	if (c->long_mode && (vmx_read(GUEST_CS_AR_BYTES) & VMX_AR_L))
		RULE(vmx_canonical(rip), "27.3.1.4 RIP");
	else
		RULE(!(rip >> 32), "27.3.1.4 RIP above 4 GiB outside 64-bit mode");
	RULE(!(c->rflags & RFLAGS_RESERVED) && (c->rflags & X86_EFLAGS_FIXED),
	     "27.3.1.4 RFLAGS reserved bits");
	RULE(!c->v86 || (!c->long_mode && (c->cr0 & X86_CR0_PE)), "27.3.1.4 RFLAGS.VM");
	RULE(activity <= 3, "27.3.1.5 activity state");
	RULE(!(block & ~0x1f), "27.3.1.5 reserved bits of the interruptibility state");
	RULE((block & 3) != 3, "27.3.1.5 blocking by STI and by MOV SS");
	RULE(!(block & VMX_BLOCK_STI) || (c->rflags & X86_EFLAGS_IF),
	     "27.3.1.5 blocking by STI with IF clear");
	RULE(!(pending & ~0x1500full), "27.3.1.5 reserved bits of pending debug exceptions");
	if ((block & 3) || activity == 1)
		RULE(!!(pending & BIT(14)) == !!(c->rflags & X86_EFLAGS_TF),
		     "27.3.1.5 pending single step and TF differ");
	RULE(vmx_read(VMCS_LINK_POINTER) == ~0ull, "27.3.1.5 VMCS link pointer");
	if (!(c->cr0 & X86_CR0_PG) || !(c->cr4 & X86_CR4_PAE) || c->long_mode)
		return;
	for (i = 0; i < 4; i++) {
		e = vmx_read(GUEST_PDPTR0 + 2 * i);
		RULE(!(e & 1) || !(e & reserved), "27.3.1.6 PDPTEs");
	}
}

/**
 * lm_vmx_check - walk the rules over the current VMCS
 *
 * Return: all of them hold
 */
bool lm_vmx_check(void)
{
	struct vmx_check check = {
		.cr0 = vmx_read(GUEST_CR0), .cr3 = vmx_read(GUEST_CR3), .cr4 = vmx_read(GUEST_CR4),
		.efer = vmx_read(GUEST_IA32_EFER), .rflags = vmx_read(GUEST_RFLAGS),
		.pin = vmx_read(PIN_BASED_VM_EXEC_CONTROL),
		.proc = vmx_read(CPU_BASED_VM_EXEC_CONTROL),
		.proc2 = vmx_read(SECONDARY_VM_EXEC_CONTROL),
		.entry = vmx_read(VM_ENTRY_CONTROLS), .exit = vmx_read(VM_EXIT_CONTROLS),
		.ok = true,
	}, *c = &check;
	unsigned int i;

	c->long_mode = c->entry & VM_ENTRY_IA32E_MODE;
	c->v86 = c->rflags & X86_EFLAGS_VM;
	vmx_check_controls(c);
	vmx_check_event(c);
	vmx_check_host(c);
	vmx_check_registers(c);
	if (!c->v86)
		vmx_check_code(c);
	for (i = LM_ES; i <= LM_GS; i++)
		vmx_check_segment(c, i);
	vmx_check_system_segments(c);
	vmx_check_rest(c);
	return c->ok;
}
