// SPDX-License-Identifier: GPL-2.0-only
/*
 * Machine checks: the banks of MSRs, and errors that user space puts there.  The host's
 * own errors are the host's; what concerns a guest reaches it through its owner, which
 * hears of them by SIGBUS.
 *
 * SDM vol. 3, chapter 16; APM vol. 2, chapter 9.
 */
#include <linux/nospec.h>
#include <asm/mce.h>
#include <asm/msr-index.h>
#include <asm/trapnr.h>

#include "../lamina.h"

#define HWCR_MC_STATUS_WR	BIT_ULL(18)

/* What a bank holds, four MSRs each. */
enum { LM_MC_CTL, LM_MC_STATUS, LM_MC_ADDR, LM_MC_MISC, LM_MC_REGS };

static u32 lm_mce_banks(const struct lm_x86 *x)
{
	return min_t(u32, x->mcg_cap & MCG_BANKCNT_MASK, LM_MCE_BANKS);
}

static u64 *lm_mce_slot(struct lm_x86 *x, u32 msr)
{
	u32 i = msr - MSR_IA32_MC0_CTL;

	if (i >= LM_MC_REGS * lm_mce_banks(x))
		return NULL;
	return &x->mce_bank[array_index_nospec(i, ARRAY_SIZE(x->mce_bank))];
}

/**
 * lm_mce_read - MCG_CAP, MCG_STATUS, MCG_CTL and the banks
 * @vcpu: the vCPU
 * @msr: which
 * @val: where to
 * @host: for user space
 *
 * Return: 0, or 1 for #GP
 */
int lm_mce_read(struct lm_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	struct lm_x86 *x = &vcpu->x86;
	u64 *slot;

	switch (msr) {
	case MSR_IA32_MCG_CAP:
		*val = x->mcg_cap;
		return 0;
	case MSR_IA32_MCG_STATUS:
		*val = x->mcg_status;
		return 0;
	case MSR_IA32_MCG_CTL:
		*val = x->mcg_ctl;
		return host || (x->mcg_cap & MCG_CTL_P) ? 0 : 1;
	}
	slot = lm_mce_slot(x, msr);
	if (!slot)
		return 1;
	*val = *slot;
	return 0;
}

static int lm_mce_bank_write(struct lm_x86 *x, u32 msr, u64 val, bool host)
{
	u64 *slot = lm_mce_slot(x, msr);

	if (!slot)
		return 1;
	switch ((msr - MSR_IA32_MC0_CTL) % LM_MC_REGS) {
	case LM_MC_CTL:
		/* all or nothing; old kernels clear bit 10 (GART) and bit 0 on AMD */
		if (!host && val && (val | BIT(10) | 1) != ~0ull)
			return 1;
		break;
	case LM_MC_STATUS:
		/* status is cleared, and set only to test (APM vol. 2, 9.3.2.2) */
		if (!host && val && !(x->amd && (x->hwcr & HWCR_MC_STATUS_WR)))
			return 1;
		break;
	}
	*slot = val;
	return 0;
}

/**
 * lm_mce_write - MCG_STATUS, MCG_CTL and the banks
 * @vcpu: the vCPU
 * @msr: which
 * @val: new value
 * @host: for user space
 *
 * Return: 0, or 1 for #GP
 */
int lm_mce_write(struct lm_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	struct lm_x86 *x = &vcpu->x86;

	switch (msr) {
	case MSR_IA32_MCG_CAP:
		return 1;
	case MSR_IA32_MCG_STATUS:
		x->mcg_status = val;
		return 0;
	case MSR_IA32_MCG_CTL:
		/* User space may write back the zero that it reads where there is none. */
		if (!(x->mcg_cap & MCG_CTL_P) ? !host || val : val && val != ~0ull)
			return 1;
		x->mcg_ctl = val;
		return 0;
	default:
		return lm_mce_bank_write(x, msr, val, host);
	}
}

/**
 * lm_mce_reset - power-on
 * @vcpu: the vCPU
 */
void lm_mce_reset(struct lm_vcpu *vcpu)
{
	vcpu->x86.mcg_status = 0;
	memset(vcpu->x86.mce_bank, 0, sizeof(vcpu->x86.mce_bank));
}

/**
 * lm_mce_setup - KVM_X86_SETUP_MCE
 * @vcpu: the vCPU, its mutex held
 * @cap: MCG_CAP: a number of banks, and what LM_MCE_CAP has
 *
 * Return: 0, or -EINVAL
 */
int lm_mce_setup(struct lm_vcpu *vcpu, const u64 *cap)
{
	struct lm_x86 *x = &vcpu->x86;
	u32 nr = *cap & MCG_BANKCNT_MASK, i;

	/* MCG_EXT_CNT (23:16) says what a log holds, and nothing here keeps one. */
	if (!nr || nr > LM_MCE_BANKS || (*cap & ~(LM_MCE_CAP | MCG_BANKCNT_MASK | MCG_EXT_CNT_MASK)))
		return -EINVAL;
	x->mcg_cap = *cap;
	x->mcg_ctl = *cap & MCG_CTL_P ? ~0ull : 0;
	for (i = 0; i < nr; i++)
		x->mce_bank[i * LM_MC_REGS + LM_MC_CTL] = ~0ull;
	return 0;
}

/* Would the CPU raise #MC for an uncorrected error?  SDM vol. 3, 16.3.1.3 and 16.3.2.1. */
static bool lm_mce_reported(const struct lm_x86 *x, const u64 *bank)
{
	return (!(x->mcg_cap & MCG_CTL_P) || x->mcg_ctl == ~0ull) && bank[LM_MC_CTL] == ~0ull;
}

/**
 * lm_mce_inject - KVM_X86_SET_MCE: an error happens
 * @vcpu: the vCPU, its mutex held
 * @mce: bank and what it is to hold
 *
 * An uncorrected error is #MC, or a shutdown if one is in service or CR4.MCE is clear.
 * A corrected one is only logged.  One that finds the bank full is lost, and the bank
 * says so; an uncorrected error takes the place of what was there.
 *
 * Return: 0, or -EINVAL
 */
int lm_mce_inject(struct lm_vcpu *vcpu, const struct kvm_x86_mce *mce)
{
	struct lm_x86 *x = &vcpu->x86;
	bool uncorrected = mce->status & MCI_STATUS_UC;
	u64 over = 0, *bank;

	if (mce->bank >= lm_mce_banks(x) || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = &x->mce_bank[array_index_nospec(mce->bank, LM_MCE_BANKS) * LM_MC_REGS];
	if (uncorrected && !lm_mce_reported(x, bank))
		return 0;
	if (uncorrected && ((x->mcg_status & MCG_STATUS_MCIP) || !(lm_cr4(vcpu) & X86_CR4_MCE))) {
		lm_request(vcpu, LM_REQ_TRIPLE_FAULT);
		return 0;
	}
	if (bank[LM_MC_STATUS] & MCI_STATUS_VAL)
		over = MCI_STATUS_OVER;
	if (!uncorrected && over && (bank[LM_MC_STATUS] & MCI_STATUS_UC)) {
		bank[LM_MC_STATUS] |= over;
		return 0;
	}
	bank[LM_MC_STATUS] = mce->status | over;
	bank[LM_MC_ADDR] = mce->addr;
	bank[LM_MC_MISC] = mce->misc;
	if (uncorrected) {
		x->mcg_status = mce->mcg_status;
		lm_queue_exception(vcpu, X86_TRAP_MC, false, 0, 0);
	}
	return 0;
}
