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

static int lm_rdmsr(struct lm_vcpu *vcpu, unsigned int len)
{
	u64 *gpr = vcpu->st.gpr, val;
	u32 msr = gpr[LM_RCX];
	int r = lm_msr_read(vcpu, msr, &val, false);

	trace_lm_msr(vcpu, msr, val, false, r);
	if (unlikely(r))
		return lm_msr_result(vcpu, r);
	gpr[LM_RAX] = (u32)val;
	gpr[LM_RDX] = val >> 32;
	lm_advance(vcpu, len);
	return LM_DONE;
}

static int lm_wrmsr(struct lm_vcpu *vcpu, unsigned int len)
{
	const u64 *gpr = vcpu->st.gpr;
	u64 val = (u32)gpr[LM_RAX] | gpr[LM_RDX] << 32;
	u32 msr = gpr[LM_RCX];
	int r = lm_msr_write(vcpu, msr, val, false);

	trace_lm_msr(vcpu, msr, val, true, r);
	if (unlikely(r))
		return lm_msr_result(vcpu, r);
	lm_advance(vcpu, len);
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
	int len = lm_insn_len(vcpu);

	if (unlikely(len <= 0))
		return -len == LM_AGAIN ? LM_DONE : -len;
	return vcpu->exit.msr.write ? lm_wrmsr(vcpu, len) : lm_rdmsr(vcpu, len);
}
