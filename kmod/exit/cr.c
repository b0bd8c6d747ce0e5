// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control and debug registers.
 */
#include <uapi/asm/debugreg.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "../backend.h"
#include "../irq/chips.h"
#include "exit.h"

/* What the access was, from the CPU or from the instruction itself. */
struct lm_cr_access {
	u8 nr, gpr, len;
	bool write, lmsw, clts, smsw;
	u16 source;	/* of LMSW */
};

static int lm_cr_decode(struct lm_vcpu *vcpu, struct lm_cr_access *a)
{
	const struct lm_exit *e = &vcpu->exit;
	const struct lm_insn *insn;
	int r;

	memset(a, 0, sizeof(*a));
	if (e->cr.known && e->insn_len) {
		a->nr = e->cr.nr;
		a->gpr = e->cr.gpr;
		a->write = e->cr.write;
		a->clts = e->cr.clts;
		a->lmsw = e->cr.lmsw;
		a->source = e->cr.source;
		a->len = e->insn_len;
		return LM_DONE;
	}
	r = lm_insn_at_rip(vcpu, &insn);
	if (r)
		return r;
	a->len = insn->len;
	switch (insn->id) {
	case LM_OP_MOV_CR:
	case LM_OP_MOV_TO_CR:
		a->nr = insn->reg;
		a->gpr = insn->rm;
		a->write = insn->id == LM_OP_MOV_TO_CR;
		return LM_DONE;
	case LM_OP_CLTS:
		a->clts = true;
		a->write = true;
		return LM_DONE;
	case LM_OP_LMSW:
	case LM_OP_SMSW:
		/* A memory operand needs the executor, which has no such operation yet. */
		if (insn->flags & LM_INSN_MEM)
			return lm_user_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
		a->gpr = insn->rm;
		a->lmsw = insn->id == LM_OP_LMSW;
		a->smsw = !a->lmsw;
		a->write = a->lmsw;
		if (a->lmsw)
			a->source = lm_gpr(vcpu, a->gpr);
		if (a->smsw && insn->op_bytes == 2)
			a->nr = 2;
		return LM_DONE;
	default:
		return lm_user_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
	}
}

static int lm_cr_write(struct lm_vcpu *vcpu, const struct lm_cr_access *a)
{
	u64 val = lm_gpr(vcpu, a->gpr);

	if (!lm_is_64(vcpu))
		val = (u32)val;
	if (a->clts)
		return lm_write_cr0(vcpu, lm_cr0(vcpu) & ~X86_CR0_TS);
	if (a->lmsw)	/* PE can be set, not cleared (APM vol. 3, LMSW) */
		return lm_write_cr0(vcpu, (lm_cr0(vcpu) & ~0xeull) | (a->source & 0xf));
	switch (a->nr) {
	case 0:
		return lm_write_cr0(vcpu, val);
	case 3:
		return lm_write_cr3(vcpu, val);
	case 4:
		return lm_write_cr4(vcpu, val);
	case 8:
		return lm_write_cr8(vcpu, val);
	default:
		return 1;
	}
}

static void lm_cr_read(struct lm_vcpu *vcpu, const struct lm_cr_access *a)
{
	u64 val;

	if (a->smsw) {
		val = lm_cr0(vcpu);
		if (a->nr == 2)
			val = (lm_gpr(vcpu, a->gpr) & ~0xffffull) | (u16)val;
		lm_set_gpr(vcpu, a->gpr, val);
		return;
	}
	switch (a->nr) {
	case 0:
		val = lm_cr0(vcpu);
		break;
	case 3:
		val = lm_cr3(vcpu);
		break;
	case 4:
		val = lm_cr4(vcpu);
		break;
	default:
		val = lm_read_cr8(vcpu);
		break;
	}
	lm_set_gpr(vcpu, a->gpr, val);
}

/**
 * lm_exit_cr - MOV CRn, CLTS, LMSW, SMSW
 * @vcpu: in its section
 */
int lm_exit_cr(struct lm_vcpu *vcpu)
{
	struct lm_cr_access a;
	bool user_tpr;
	u64 old;
	int r;

	r = lm_cr_decode(vcpu, &a);
	if (r)
		return r == LM_AGAIN ? LM_DONE : r;
	if (!a.write) {
		lm_cr_read(vcpu, &a);
		lm_advance(vcpu, a.len);
		return LM_DONE;
	}
	old = vcpu->x86.cr8;
	r = lm_cr_write(vcpu, &a);
	if (r) {
		lm_inject_gp(vcpu, 0);
		return LM_DONE;
	}
	lm_advance(vcpu, a.len);
	/* Without an in-kernel LAPIC, user space must know of a lower priority. */
	user_tpr = a.nr == 8 && !vcpu->lapic && !a.clts && !a.lmsw && vcpu->x86.cr8 < old;
	if (!user_tpr)
		return LM_DONE;
	vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
	return LM_USER;
}

/**
 * lm_exit_dr - the first touch of a debug register in this section
 * @vcpu: in its section
 *
 * Nothing is emulated: the guest gets the registers and executes it again.
 * While user space debugs the guest, the registers are user space's and the
 * guest's own are only stored.
 */
int lm_exit_dr(struct lm_vcpu *vcpu)
{
	const struct lm_insn *insn;
	int r;

	if (likely(!lm_debug_owns_dr(vcpu))) {
		lm_dr_use(vcpu);
		return LM_DONE;
	}
	/* General detect of user space; the guest's own is lm_check_dr()'s. */
	if (lm_debug_hw_bp(vcpu) && (vcpu->dbg.dr7 & DR_GENERAL_DETECT))
		return lm_exit_debug(vcpu, X86_TRAP_DB, DR_ACCESS);
	r = lm_insn_at_rip(vcpu, &insn);
	if (r)
		return r == LM_AGAIN ? LM_DONE : r;
	if (insn->id == LM_OP_MOV_TO_DR) {
		if (lm_write_dr(vcpu, insn->reg, lm_gpr(vcpu, insn->rm)))
			return LM_DONE;
		/* Breakpoints of the guest's own work while it is single-stepped. */
		if (!vcpu->dr_loaded && (lm_debug_dr7(vcpu) & LM_DR7_ENABLED))
			lm_dr_use(vcpu);
	} else {
		if (lm_check_dr(vcpu, insn->reg))
			return LM_DONE;
		lm_set_gpr(vcpu, insn->rm, lm_read_dr(vcpu, insn->reg));
	}
	lm_advance(vcpu, insn->len);
	return LM_DONE;
}
