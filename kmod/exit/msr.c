// SPDX-License-Identifier: GPL-2.0-only
/*
 * RDMSR and WRMSR.
 */
#include "../monitor/trace.h"
#include "exit.h"

/* Ask user space only through the internal error: what is unknown is #GP, as on hardware. */
static int lm_msr_result(struct lm_vcpu *vcpu, int r)
{
	if (r == LM_NEED || r < 0)
		return r;
	lm_inject_gp(vcpu, 0);
	return LM_DONE;
}

/**
 * lm_exit_msr - the guest executed RDMSR or WRMSR on an MSR that is not its own
 * @vcpu: in its section
 *
 * The length is found before the MSR is touched, since the access may not be
 * repeated; the CPU checked the CPL before it exited.
 */
int lm_exit_msr(struct lm_vcpu *vcpu)
{
	u64 *gpr = vcpu->st.gpr;
	u32 msr = gpr[LM_RCX];
	int len = lm_insn_len(vcpu);
	u64 val = 0;
	int r;

	if (unlikely(len <= 0))
		return -len == LM_AGAIN ? LM_DONE : -len;
	if (vcpu->exit.msr.write) {
		val = (u32)gpr[LM_RAX] | gpr[LM_RDX] << 32;
		r = lm_msr_write(vcpu, msr, val, false);
	} else {
		r = lm_msr_read(vcpu, msr, &val, false);
	}
	trace_lm_msr(vcpu, msr, val, vcpu->exit.msr.write, r);
	if (unlikely(r))
		return lm_msr_result(vcpu, r);
	if (!vcpu->exit.msr.write) {
		gpr[LM_RAX] = (u32)val;
		gpr[LM_RDX] = val >> 32;
	}
	lm_advance(vcpu, len);
	return LM_DONE;
}
