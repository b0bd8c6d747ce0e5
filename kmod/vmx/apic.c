// SPDX-License-Identifier: GPL-2.0-only
/*
 * The LAPIC in the CPU (SDM vol. 3, 30): the page of registers of irq/lapic.c is the
 * virtual-APIC page.  The CPU reads and writes most registers there, and with
 * virtual-interrupt delivery moves vectors from IRR to ISR and ends them without an
 * exit.  This works without posted interrupts: what others send waits in
 * lm_lapic.posted until the vCPU's thread, kicked, brings it here.
 */
#include <asm/apicdef.h>
#include <asm/msr-index.h>

#include "../irq/chips.h"
#include "vmcs.h"

#define APIC_CTLS	(SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES | \
			 SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE | \
			 SECONDARY_EXEC_APIC_REGISTER_VIRT | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)

#define APIC_NR(off)	((off) >> 4)
#define APIC_BIT(off)	BIT_ULL(APIC_NR(off))

/*
 * Registers that RDMSR may read from the page: those that it always holds, so not
 * the timer's current count, and not ICR, whose halves lie apart there.
 */
#define X2_READS	(APIC_BIT(APIC_ID) | APIC_BIT(APIC_LVR) | APIC_BIT(APIC_TASKPRI) |	\
			 APIC_BIT(APIC_PROCPRI) | APIC_BIT(APIC_LDR) | APIC_BIT(APIC_SPIV) |	\
			 GENMASK_ULL(APIC_NR(APIC_IRR) + 7, APIC_NR(APIC_ISR)) |		\
			 APIC_BIT(APIC_ESR) | GENMASK_ULL(APIC_NR(APIC_LVTERR), APIC_NR(APIC_LVTT)) | \
			 APIC_BIT(APIC_TMICT) | APIC_BIT(APIC_TDCR))
#define X2_MSRS		0x800

static void vmx_x2apic_bitmap(struct lm_hw *hw, bool direct)
{
	unsigned long *reads = (unsigned long *)hw->msr_bitmap;
	unsigned long *writes = (unsigned long *)(hw->msr_bitmap + 0x800);
	unsigned int i;

	for (i = 0; i < 64; i++) {
		__set_bit(X2_MSRS + i, reads);
		__set_bit(X2_MSRS + i, writes);
		if (direct && (X2_READS >> i & 1))
			__clear_bit(X2_MSRS + i, reads);
	}
	if (!direct)
		return;
	__clear_bit(X2_MSRS + APIC_NR(APIC_TASKPRI), writes);
	__clear_bit(X2_MSRS + APIC_NR(APIC_EOI), writes);
	__clear_bit(X2_MSRS + APIC_NR(APIC_SELF_IPI), writes);
}

/**
 * lm_vmx_apic_controls - what the CPU does of the LAPIC in its present mode
 * @vcpu: its VMCS is current
 * @proc2: secondary controls
 *
 * Return: @proc2 with those of the APIC as they should be
 */
u32 lm_vmx_apic_controls(struct lm_vcpu *vcpu, u32 proc2)
{
	struct lm_hw *hw = vcpu->hw;
	struct lm_lapic *l = vcpu->lapic;
	bool x2 = l && l->hw && l->x2apic;

	proc2 &= ~APIC_CTLS;
	if (!l || !l->hw)
		return proc2;
	proc2 |= SECONDARY_EXEC_APIC_REGISTER_VIRT | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;
	if (x2)
		proc2 |= lm_vmx_caps.proc2 & SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE;
	else if (l->mmio == APIC_DEFAULT_PHYS_BASE)
		proc2 |= SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES;
	x2 = proc2 & SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE;
	if (x2 != hw->x2apic) {
		hw->x2apic = x2;
		vmx_x2apic_bitmap(hw, x2);
	}
	return proc2;
}

/**
 * lm_vmx_apic_init - the fields that stay
 * @vcpu: its VMCS is current for the first time
 * @proc: primary controls as they were chosen
 *
 * Return: primary controls that go with them
 */
u32 lm_vmx_apic_init(struct lm_vcpu *vcpu, u32 proc)
{
	struct lm_hw *hw = vcpu->hw;
	unsigned int i;

	proc &= ~CPU_BASED_TPR_SHADOW;
	if (!vcpu->lapic || !(lm_vmx_caps.proc & CPU_BASED_TPR_SHADOW))
		return proc;
	vmx_write(VIRTUAL_APIC_PAGE_ADDR, virt_to_phys(vcpu->lapic->regs));
	vmx_write(TPR_THRESHOLD, 0);
	if (vcpu->lapic->hw) {
		vmx_write(APIC_ACCESS_ADDR, virt_to_phys(vcpu->vm->mem.apic_page));
		vmx_write(GUEST_INTR_STATUS, 0);
		for (i = 0; i < 4; i++) {
			hw->eoi_exit[i] = 0;
			vmx_write(EOI_EXIT_BITMAP0 + 2 * i, 0);
		}
	}
	/* MOV to and from CR8 use the page's TPR. */
	proc &= ~(CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING);
	return proc | CPU_BASED_TPR_SHADOW;
}

/* 30.1.4: an EOI that the IOAPIC or the PIT waits for must exit. */
static void vmx_eoi_exits(struct lm_vcpu *vcpu)
{
	const struct lm_ioapic *io = vcpu->vm->irq.ioapic;
	struct lm_lapic *l = vcpu->lapic;
	struct lm_hw *hw = vcpu->hw;
	unsigned int i;
	u64 bits;

	for (i = 0; i < 4; i++) {
		bits = lm_reg(l, APIC_TMR + 32 * i) |
		       (u64)lm_reg(l, APIC_TMR + 32 * i + 16) << 32;
		if (io)
			bits |= READ_ONCE(io->eoi_map[i]);
		if (unlikely(bits != hw->eoi_exit[i])) {
			hw->eoi_exit[i] = bits;
			vmx_write(EOI_EXIT_BITMAP0 + 2 * i, bits);
		}
	}
}

/*
 * Without virtual-interrupt delivery: have a CR8 that lets the highest waiting
 * vector in exit (30.1.2).
 */
static void vmx_tpr_threshold(struct lm_vcpu *vcpu)
{
	struct lm_lapic *l = vcpu->lapic;
	struct lm_hw *hw = vcpu->hw;
	int irr = READ_ONCE(l->irr_pending) ? lm_lapic_irr_highest(l) : -1;
	u32 tpr = lm_reg(l, APIC_TASKPRI) >> 4 & 15, threshold = 0;

	if (irr >= 0 && irr >> 4 <= tpr)
		threshold = irr >> 4;
	if (threshold == hw->tpr_threshold)
		return;
	hw->tpr_threshold = threshold;
	vmx_write(TPR_THRESHOLD, threshold);
}

/**
 * lm_vmx_apic - bring what waits in the LAPIC to the CPU
 * @vcpu: in its section, before an entry
 *
 * RVI and SVI are the highest vectors of IRR and ISR (25.4.2); the entry itself
 * evaluates them (27.6.4).
 */
void lm_vmx_apic(struct lm_vcpu *vcpu)
{
	struct lm_lapic *l = vcpu->lapic;
	int irr, isr;
	u16 status;

	if (!(vcpu->hw->proc & CPU_BASED_TPR_SHADOW))
		return;
	if (!l->hw) {
		vmx_tpr_threshold(vcpu);
		return;
	}
	lm_lapic_pull(l);
	vmx_eoi_exits(vcpu);
	irr = unlikely(lm_debug_no_irq(vcpu)) ? -1 : lm_lapic_irr_highest(l);
	isr = l->isr_highest;
	status = (irr < 0 ? 0 : irr) | (isr < 0 ? 0 : isr) << 8;
	if (status != (u16)vmx_read(GUEST_INTR_STATUS))
		vmx_write(GUEST_INTR_STATUS, status);
}

/* Table 28-6: an access that the CPU does not answer itself; the instruction is executed. */
void lm_vmx_exit_apic_access(struct lm_vcpu *vcpu)
{
	struct lm_exit *e = &vcpu->exit;
	u64 q = vmx_read(EXIT_QUALIFICATION);
	unsigned int type = q >> 12 & 15;

	e->kind = LM_EXIT_NPF;
	e->maybe_len = 0;
	e->npf.gpa = APIC_DEFAULT_PHYS_BASE | (q & 0xfff);
	e->npf.apic = true;
	e->npf.write = type == 1;
	e->npf.exec = type == 2 || type == 15;
	e->npf.table = false;
}
