// SPDX-License-Identifier: GPL-2.0-only
/*
 * RDMSR and WRMSR.
 */
#include "../monitor/trace.h"
#include "exit.h"

/*
 * What the guest may not do, or what is not there, is #GP, unless user space wants to
 * hear of it: then RIP stays, and the instruction ends when the answer has come.
 */
static noinline int lm_msr_refused(struct lm_vcpu *vcpu, u32 msr, u64 val, u32 reason)
{
	struct kvm_run *run = vcpu->run;
	struct lm_io *io = &vcpu->io;

	if (!(READ_ONCE(vcpu->vm->x86.user_msr) & reason)) {
		lm_inject_gp(vcpu, 0);
		return LM_DONE;
	}
	run->exit_reason = vcpu->exit.msr.write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	run->msr.error = 0;
	memset(run->msr.pad, 0, sizeof(run->msr.pad));
	run->msr.reason = reason;
	run->msr.index = msr;
	run->msr.data = val;
	io->nr = 1;
	io->msr = true;
	io->pending = true;
	return LM_USER;
}

/* User space has answered: lm_io_answered() put it into the list. */
static int lm_msr_answered(struct lm_vcpu *vcpu, unsigned int len)
{
	struct lm_io *io = &vcpu->io;
	u64 *gpr = vcpu->st.gpr, val;

	memcpy(&val, io->frag[0].data, sizeof(val));
	io->nr = 0;
	io->msr = false;
	if (io->error) {
		lm_inject_gp(vcpu, 0);
		return LM_DONE;
	}
	if (!vcpu->exit.msr.write) {
		gpr[LM_RAX] = (u32)val;
		gpr[LM_RDX] = val >> 32;
	}
	lm_advance(vcpu, len);
	return LM_DONE;
}

/* @r: what the MSR's access answered, not 0 */
static noinline int lm_msr_result(struct lm_vcpu *vcpu, int r, u32 msr, u64 val)
{
	if (r == LM_NEED || r < 0)
		return r;
	return lm_msr_refused(vcpu, msr, val, r == LM_MSR_UNKNOWN ? KVM_MSR_EXIT_REASON_UNKNOWN :
							      KVM_MSR_EXIT_REASON_INVAL);
}

static int lm_rdmsr(struct lm_vcpu *vcpu, unsigned int len)
{
	u64 *gpr = vcpu->st.gpr, val;
	u32 msr = gpr[LM_RCX];
	int r = lm_msr_read(vcpu, msr, &val, false);

	trace_lm_msr(vcpu, msr, val, false, r);
	if (unlikely(r))
		return lm_msr_result(vcpu, r, msr, 0);
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
		return lm_msr_result(vcpu, r, msr, val);
	lm_advance(vcpu, len);
	return LM_DONE;
}

/* With a filter, or an answer of user space: LM_AGAIN if neither has a say. */
static noinline int lm_msr_special(struct lm_vcpu *vcpu, unsigned int len)
{
	const u64 *gpr = vcpu->st.gpr;
	bool write = vcpu->exit.msr.write;
	u64 val = write ? (u32)gpr[LM_RAX] | gpr[LM_RDX] << 32 : 0;

	if (vcpu->io.nr)
		return lm_msr_answered(vcpu, len);
	if (!lm_msr_filtered(vcpu->vm, gpr[LM_RCX],
			     write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ))
		return LM_AGAIN;
	return lm_msr_refused(vcpu, gpr[LM_RCX], val, KVM_MSR_EXIT_REASON_FILTER);
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
	int len = lm_insn_len(vcpu), r;

	if (unlikely(len <= 0))
		return -len == LM_AGAIN ? LM_DONE : -len;
	if (static_branch_unlikely(&lm_msr_specials)) {
		r = lm_msr_special(vcpu, len);
		if (r != LM_AGAIN)
			return r;
	}
	return vcpu->exit.msr.write ? lm_wrmsr(vcpu, len) : lm_rdmsr(vcpu, len);
}
