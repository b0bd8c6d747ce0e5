// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's hypercalls (Documentation/virt/kvm/x86/hypercalls.rst): number in RAX,
 * arguments in RBX, RCX, RDX, RSI, the result in RAX.
 */
#include <linux/kvm_para.h>

#include "../irq/chips.h"
#include "exit.h"

/* A vCPU that spins on a ticket asks for the sleeping holder of it. */
static u64 lm_hc_kick(struct lm_vcpu *vcpu, u32 apic_id)
{
	struct lm_vcpu *v = lm_vcpu_by_apic_id(vcpu->vm, apic_id);

	if (v) {
		WRITE_ONCE(v->pv_unhalted, true);
		smp_mb();		/* pairs with set_current_state() in lm_halt() */
		lm_wake(v);
	}
	return 0;
}

static u64 lm_hypercall(struct lm_vcpu *vcpu, u64 nr, const u64 *a, bool long_mode)
{
	if (lm_cpl(vcpu))
		return -KVM_EPERM;
	switch (nr) {
	case KVM_HC_VAPIC_POLL_IRQ:
		return 0;
	case KVM_HC_KICK_CPU:
		if (!lm_cpuid_pv(vcpu, KVM_FEATURE_PV_UNHALT))
			break;
		return lm_hc_kick(vcpu, a[1]);
	case KVM_HC_SEND_IPI:
		if (!vcpu->lapic || !lm_cpuid_pv(vcpu, KVM_FEATURE_PV_SEND_IPI))
			break;
		return (s64)lm_lapic_pv_ipi(vcpu, a[0], a[1], a[2], a[3], long_mode);
	}
	return -KVM_ENOSYS;
}

/**
 * lm_exit_hypercall - VMMCALL or VMCALL
 * @vcpu: in its section
 */
int lm_exit_hypercall(struct lm_vcpu *vcpu)
{
	u64 *gpr = vcpu->st.gpr;
	bool long_mode = lm_is_64(vcpu);
	u64 a[4] = { gpr[LM_RBX], gpr[LM_RCX], gpr[LM_RDX], gpr[LM_RSI] };
	u64 nr = gpr[LM_RAX];
	int r, i;

	r = lm_skip_insn(vcpu);
	if (r)
		return r == LM_AGAIN ? LM_DONE : r;
	if (!long_mode) {
		nr = (u32)nr;
		for (i = 0; i < 4; i++)
			a[i] = (u32)a[i];
	}
	gpr[LM_RAX] = lm_hypercall(vcpu, nr, a, long_mode);
	if (!long_mode)
		gpr[LM_RAX] = (u32)gpr[LM_RAX];
	return LM_DONE;
}
