// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control block of a vCPU: creation, what is intercepted, and its dump.
 */
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>

#include "../lamina.h"
#include "debug.h"
#include "vmcb.h"

#define SVM_MSRPM_ORDER		1	/* 8 KiB, contiguous (15.11) */

/* MSRs that VMLOAD and VMSAVE keep per guest: no exit for these. */
static const u32 svm_direct_msrs[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
};

/* Two bits an MSR, read then write; three ranges of 8K MSRs, 2 KiB each (15.11). */
static void svm_msr_direct(u8 *map, u32 msr, bool no_read, bool no_write)
{
	u32 base, bit;

	if (msr <= 0x1fff)
		base = 0;
	else if (msr >= 0xc0000000 && msr <= 0xc0001fff)
		base = 0x800;
	else if (msr >= 0xc0010000 && msr <= 0xc0011fff)
		base = 0x1000;
	else
		return;
	bit = (msr & 0x1fff) * 2;
	map[base + bit / 8] &= ~(3 << (bit % 8));
	map[base + bit / 8] |= (no_read | no_write << 1) << (bit % 8);
}

/* Those that the guest has without an exit, but for what a filter takes away. */
static void svm_direct(struct lm_vcpu *vcpu)
{
	unsigned int i;
	u32 msr;

	for (i = 0; i < ARRAY_SIZE(svm_direct_msrs); i++) {
		msr = svm_direct_msrs[i];
		svm_msr_direct(vcpu->hw->msrpm, msr,
			       lm_msr_filtered(vcpu->vm, msr, KVM_MSR_FILTER_READ),
			       lm_msr_filtered(vcpu->vm, msr, KVM_MSR_FILTER_WRITE));
	}
}

int lm_svm_vcpu_init(struct lm_vcpu *vcpu)
{
	struct svm_control *c;
	struct lm_hw *hw;
	unsigned int i;

	hw = kzalloc(sizeof(*hw), GFP_KERNEL_ACCOUNT);
	if (!hw)
		return -ENOMEM;
	hw->vmcb = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!hw->vmcb)
		goto free_hw;
	if (lm_svm_debug_init(hw))
		goto free_vmcb;
	hw->msrpm = (void *)__get_free_pages(GFP_KERNEL_ACCOUNT, SVM_MSRPM_ORDER);
	if (!hw->msrpm)
		goto free_debug;
	memset(hw->msrpm, 0xff, PAGE_SIZE << SVM_MSRPM_ORDER);
	for (i = 0; i < ARRAY_SIZE(svm_direct_msrs); i++)
		svm_msr_direct(hw->msrpm, svm_direct_msrs[i], false, false);
	hw->vmcb_pa = __sme_set(virt_to_phys(hw->vmcb));
	hw->saved = true;
	hw->clean_after = lm_caps.clean_bits ? SVM_CLEAN_ALL : 0;
	vcpu->hw = hw;

	c = &hw->vmcb->c;
	c->iopm_pa = lm_svm_iopm_pa;
	c->msrpm_pa = __sme_set(virt_to_phys(hw->msrpm));
	c->vintr = SVM_V_INTR_MASKING;
	c->np = SVM_NP_ENABLE;
	c->n_cr3 = __sme_set(virt_to_phys(vcpu->vm->mem.root));
	lm_svm_tsc(vcpu);
	lm_svm_update(vcpu);
	return 0;

free_debug:
	kfree(hw->debug);
free_vmcb:
	free_page((unsigned long)hw->vmcb);
free_hw:
	kfree(hw);
	return -ENOMEM;
}

void lm_svm_vcpu_free(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;

	if (!hw)
		return;
	free_pages((unsigned long)hw->msrpm, SVM_MSRPM_ORDER);
	free_page((unsigned long)hw->vmcb);
	kfree(hw->debug);
	kfree(hw);
	vcpu->hw = NULL;
}

/*
 * lm_svm_update - recompute what is intercepted
 *
 * CR0: with nested paging the guest may own its CR0 but for CD and NW, which
 * the CPU runs without; the selective intercept sees every write that changes
 * more than TS and MP (15.9).  While CD or NW are set as the guest believes,
 * its reads must be answered too; so with CR4's MCE while it is clear as the guest
 * believes.  CR4 is watched since it holds bits that the guest's CPUID may lack; CR3
 * is the guest's alone.  CR8
 * is the LAPIC's TPR: reads find it in V_TPR.
 */
void lm_svm_update(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	struct svm_control *c = &hw->vmcb->c;

	c->cr = BIT(16 + 4) | BIT(16 + 8);
	if (hw->cr0_hidden)
		c->cr |= BIT(0) | BIT(16);
	if (hw->cr4_hidden)
		c->cr |= BIT(4);
	/* The guest's DR0-3 are in the CPU only once it has used them. */
	c->dr = vcpu->dr_loaded && !lm_debug_owns_dr(vcpu) ? 0 : 0xffffffff;
	/* #MC is the host's; #AC and #DB could loop in the CPU; #UD may be VMCALL. */
	c->exceptions = BIT(18) | BIT(17) | BIT(6) | BIT(1) | lm_debug_exceptions(vcpu);
	/* The windows' intercepts are enter()'s. */
	c->misc1 = (c->misc1 & (SVM_I1_VINTR | SVM_I1_IRET)) |
		   SVM_I1_INTR | SVM_I1_NMI | SVM_I1_SMI | SVM_I1_INIT | SVM_I1_CR0_SEL |
		   SVM_I1_RDPMC | SVM_I1_CPUID | SVM_I1_INVD | SVM_I1_HLT | SVM_I1_INVLPGA |
		   SVM_I1_IOIO | SVM_I1_MSR | SVM_I1_TASK | SVM_I1_SHUTDOWN;
	c->misc2 = SVM_I2_VMRUN | SVM_I2_VMMCALL | SVM_I2_VMLOAD | SVM_I2_VMSAVE |
		   SVM_I2_STGI | SVM_I2_CLGI | SVM_I2_SKINIT | SVM_I2_WBINVD |
		   SVM_I2_MONITOR | SVM_I2_MWAIT | SVM_I2_XSETBV | SVM_I2_RDPRU;
	/* PAUSE is not intercepted anyway. */
	if (vcpu->vm->x86.disabled_exits & KVM_X86_DISABLE_EXITS_HLT)
		c->misc1 &= ~SVM_I1_HLT;
	if (vcpu->vm->x86.disabled_exits & KVM_X86_DISABLE_EXITS_MWAIT)
		c->misc2 &= ~(SVM_I2_MONITOR | SVM_I2_MWAIT);
	/* TSC_AUX is the host's then. */
	if (!vcpu->x86.has_rdtscp)
		c->misc2 |= SVM_I2_RDTSCP;
	c->misc3 = SVM_I3_INVLPGB_ILLEGAL | SVM_I3_MCOMMIT;
	/* The CPU switches it (15.5.1, V_SPEC_CTRL); writes exit all the same. */
	if (lm_caps.spec_ctrl)
		hw->vmcb->s.spec_ctrl = vcpu->x86.spec_ctrl;
	if (static_branch_unlikely(&lm_msr_specials))
		svm_direct(vcpu);
	hw->clean &= ~(SVM_CLEAN_I | SVM_CLEAN_IOPM);
}

void lm_svm_tsc(struct lm_vcpu *vcpu)
{
	vcpu->hw->vmcb->c.tsc_offset = vcpu->x86.tsc_offset;
	vcpu->hw->clean &= ~SVM_CLEAN_I;
}

static void svm_dump_seg(const char *name, const struct svm_seg *s)
{
	pr_err("  %s sel %04x attr %04x limit %08x base %016llx\n",
	       name, s->sel, s->attr, s->limit, s->base);
}

void lm_svm_dump(struct lm_vcpu *vcpu)
{
	const struct svm_control *c = &vcpu->hw->vmcb->c;
	const struct svm_save *s = &vcpu->hw->vmcb->s;

	pr_err("VMCB of vCPU %d: exit_code %llx exit_info1 %llx exit_info2 %llx exit_int_info %llx\n",
	       vcpu->id, c->exit_code, c->exit_info1, c->exit_info2, c->exit_int_info);
	pr_err("  event_inj %llx vintr %llx int_state %llx asid %u tlb %u n_cr3 %llx clean %x\n",
	       c->event_inj, c->vintr, c->int_state, c->asid, c->tlb_control, c->n_cr3, c->clean);
	pr_err("  rip %llx rsp %llx rflags %llx rax %llx cr0 %llx cr2 %llx cr3 %llx cr4 %llx\n",
	       s->rip, s->rsp, s->rflags, s->rax, s->cr0, s->cr2, s->cr3, s->cr4);
	pr_err("  efer %llx dr6 %llx dr7 %llx cpl %u g_pat %llx\n",
	       s->efer, s->dr6, s->dr7, s->cpl, s->g_pat);
	svm_dump_seg("es", &s->es);
	svm_dump_seg("cs", &s->cs);
	svm_dump_seg("ss", &s->ss);
	svm_dump_seg("ds", &s->ds);
	svm_dump_seg("fs", &s->fs);
	svm_dump_seg("gs", &s->gs);
	svm_dump_seg("gdtr", &s->gdtr);
	svm_dump_seg("ldtr", &s->ldtr);
	svm_dump_seg("idtr", &s->idtr);
	svm_dump_seg("tr", &s->tr);
}
