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

/* It spins for a vCPU that the host has taken the CPU from: done outside the section. */
static u64 lm_hc_yield(struct lm_vcpu *vcpu, u32 apic_id)
{
	struct lm_vcpu *v = lm_vcpu_by_apic_id(vcpu->vm, apic_id);

	if (v && v != vcpu && READ_ONCE(v->cpu) < 0 &&
	    READ_ONCE(v->mp_state) == KVM_MP_STATE_RUNNABLE)
		vcpu->yield_to = v;
	return 0;
}

/* @mask: what of a register counts; the mode is there */
static __always_inline u64 lm_hypercall(struct lm_vcpu *vcpu, const u64 *gpr, u64 mask)
{
	if (unlikely(vcpu->st.seg[LM_SS].attr & LM_SEG_DPL))
		return -KVM_EPERM;
	switch (gpr[LM_RAX] & mask) {
	case KVM_HC_VAPIC_POLL_IRQ:
		return 0;
	case KVM_HC_KICK_CPU:
		if (!lm_cpuid_pv(vcpu, KVM_FEATURE_PV_UNHALT))
			break;
		return lm_hc_kick(vcpu, gpr[LM_RCX]);
	case KVM_HC_SCHED_YIELD:
		if (!lm_cpuid_pv(vcpu, KVM_FEATURE_PV_SCHED_YIELD))
			break;
		return lm_hc_yield(vcpu, gpr[LM_RBX]);
	case KVM_HC_SEND_IPI:
		if (!vcpu->lapic || !lm_cpuid_pv(vcpu, KVM_FEATURE_PV_SEND_IPI))
			break;
		return (s64)lm_lapic_pv_ipi(vcpu, gpr[LM_RBX] & mask, gpr[LM_RCX] & mask,
					    gpr[LM_RDX] & mask, gpr[LM_RSI] & mask, mask == ~0ull);
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
	int len = lm_insn_len(vcpu);
	u64 mask;

	if (unlikely(len <= 0))
		return -len == LM_AGAIN ? LM_DONE : -len;
	lm_need_state(vcpu, LM_S_RIP | LM_S_RFLAGS | LM_S_SHADOW | LM_S_MODE | LM_S_EFER);
	lm_advance_known(vcpu, len);
	mask = lm_st_is_64(&vcpu->st) ? ~0ull : U32_MAX;
	gpr[LM_RAX] = lm_hypercall(vcpu, gpr, mask) & mask;
	return unlikely(vcpu->yield_to) ? LM_AGAIN : LM_DONE;
}
