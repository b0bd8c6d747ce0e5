// SPDX-License-Identifier: GPL-2.0-only
/*
 * For 32-bit guests that write the xAPIC's task priority often, and CPUs that exit each
 * time: user space hears of such accesses (KVM_TPR_ACCESS_REPORTING), and replaces the
 * instructions by ones that use a word of guest memory, which is kept in step with the
 * LAPIC here (KVM_SET_VAPIC_ADDR):
 *
 *	bits 7:0	TPR; the guest writes it
 *	bits 15:8	priority class of the interrupt in service
 *	bits 31:24	highest vector that is requested
 *
 * A guest that lowers its priority below what is requested makes the hypercall
 * KVM_HC_VAPIC_POLL_IRQ.
 */
#include "chips.h"

/**
 * lm_vapic_set() - KVM_SET_VAPIC_ADDR
 * @vcpu: the vCPU, its mutex held
 * @va: address in guest memory, or 0 for an end
 *
 * Return: 0, or -EINVAL: no LAPIC, no memory there
 */
int lm_vapic_set(struct lm_vcpu *vcpu, const struct kvm_vapic_addr *va)
{
	struct lm_lapic *l = vcpu->lapic;
	u32 word;

	if (!l)
		return -EINVAL;
	if (va->vapic_addr && lm_outside_copy(vcpu->vm, va->vapic_addr, &word, sizeof(word), false))
		return -EINVAL;
	l->vapic = va->vapic_addr;
	if (!l->vapic) {
		clear_bit(LM_REQ_VAPIC, &vcpu->requests);
		return 0;
	}
	/* The guest's word counts from the first entry on. */
	l->vapic_tpr = lm_reg(l, APIC_TASKPRI);
	lm_request(vcpu, LM_REQ_VAPIC);
	return 0;
}

/**
 * lm_vapic_sync() - bring the LAPIC and the guest's word into step
 * @vcpu: in its section
 *
 * Before each entry, and before somebody else asks for the TPR.
 *
 * Return: LM_DONE or LM_NEED
 */
int lm_vapic_sync(struct lm_vcpu *vcpu)
{
	struct lm_lapic *l = vcpu->lapic;
	int irr, r;
	u32 old, new;

	if (!l || !l->vapic)
		return LM_DONE;
	r = lm_gpa_read(vcpu, l->vapic, &old, sizeof(old));
	if (r)
		return r == LM_USER ? LM_DONE : r;
	if ((u8)old != l->vapic_tpr)
		lm_lapic_set_tpr8(l, old);
	if (l->hw)
		lm_lapic_pull(l);
	irr = lm_lapic_irr_highest(l);
	new = (u8)lm_reg(l, APIC_TASKPRI);
	if (l->isr_highest >= 0)
		new |= (l->isr_highest & 0xf0) << 8;
	if (irr >= 0)
		new |= (u32)irr << 24;
	r = new == old ? LM_DONE : lm_gpa_write(vcpu, l->vapic, &new, sizeof(new));
	if (r && r != LM_USER)
		return r;
	l->vapic_tpr = new;
	return LM_DONE;
}

/**
 * lm_tpr_reporting() - KVM_TPR_ACCESS_REPORTING
 * @vcpu: the vCPU, its mutex held
 * @ctl: on or off; flags must be 0
 *
 * Return: 0, or -EINVAL
 */
int lm_tpr_reporting(struct lm_vcpu *vcpu, const struct kvm_tpr_access_ctl *ctl)
{
	if (ctl->flags)
		return -EINVAL;
	if (vcpu->lapic)
		vcpu->report_tpr = ctl->enabled;
	return 0;
}

/**
 * lm_tpr_report() - the guest has accessed the TPR in the xAPIC's page: tell user space
 * @vcpu: in its section; the instruction is executed to its end first
 * @write: direction
 */
void lm_tpr_report(struct lm_vcpu *vcpu, bool write)
{
	vcpu->run->exit_reason = KVM_EXIT_TPR_ACCESS;
	vcpu->run->tpr_access.rip = lm_rip(vcpu);
	vcpu->run->tpr_access.is_write = write;
	vcpu->exit.to_user = true;
}
