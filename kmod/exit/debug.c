// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_SET_GUEST_DEBUG: user space stops, steps and watches the guest.
 *
 * A single step is the CPU's TF, set for one entry and taken back after it, so that
 * the guest finds no trace of it: an event that an entry delivers pushes RFLAGS, so such
 * an entry goes without TF and ends before the handler's first instruction, which is the
 * step's end.  Faults are intercepted meanwhile and delivered that way.  PUSHF is
 * executed in software.  INT n, INT3, INTO, INT1 and SYSCALL alone take TF along; the
 * step over them ends when the flags that they stored come back.
 *
 * An instruction that a handler has executed is a step too, with no trap of the CPU's.
 */
#include <uapi/asm/debugreg.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "../backend.h"
#include "../compat.h"
#include "../irq/chips.h"
#include "exit.h"

/**
 * lm_debug_dr6 - what the CPU finds in DR6 at an entry
 * @vcpu: the vCPU, LM_S_DR valid
 */
u64 lm_debug_dr6(const struct lm_vcpu *vcpu)
{
	return lm_debug_owns_dr(vcpu) ? LM_DR6_FIXED : vcpu->st.dr6;
}

/**
 * lm_debug_dr7 - what the CPU finds in DR7 at an entry
 * @vcpu: the vCPU, LM_S_DR valid
 *
 * An access to a debug register exits in any case, and general detect is looked at there.
 */
u64 lm_debug_dr7(const struct lm_vcpu *vcpu)
{
	if (!lm_debug_owns_dr(vcpu))
		return vcpu->st.dr7;
	return (lm_debug_hw_bp(vcpu) ? vcpu->dbg.dr7 : vcpu->st.dr7) & ~DR_GENERAL_DETECT;
}

/* Faults but #DF, whose delivery pushes the flags; #DB, #UD and #AC exit anyway. */
#define LM_DEBUG_FAULTS	(BIT(X86_TRAP_DE) | BIT(X86_TRAP_BR) | BIT(X86_TRAP_NM) | BIT(X86_TRAP_TS) | \
			 BIT(X86_TRAP_NP) | BIT(X86_TRAP_SS) | BIT(X86_TRAP_GP) | \
			 BIT(X86_TRAP_PF) | BIT(X86_TRAP_MF) | BIT(X86_TRAP_XF))

/**
 * lm_debug_exceptions - which exceptions exit for user space's sake
 * @vcpu: the vCPU
 */
u32 lm_debug_exceptions(const struct lm_vcpu *vcpu)
{
	u32 exceptions = 0;

	if (vcpu->dbg.control & KVM_GUESTDBG_USE_SW_BP)
		exceptions |= BIT(X86_TRAP_BP);
	if (vcpu->dbg.control & KVM_GUESTDBG_SINGLESTEP)
		exceptions |= LM_DEBUG_FAULTS;
	return exceptions;
}

/**
 * lm_debug_no_irq - does this entry keep interrupts back whatever RFLAGS.IF says?
 * @vcpu: in its section
 */
bool lm_debug_no_irq(const struct lm_vcpu *vcpu)
{
	return vcpu->dbg.armed || (vcpu->dbg.control & KVM_GUESTDBG_BLOCKIRQ);
}

/**
 * lm_exit_debug - end KVM_RUN with KVM_EXIT_DEBUG
 * @vcpu: in its section
 * @vector: #DB or #BP
 * @dr6: the bits of DR6 that this #DB sets
 */
int lm_exit_debug(struct lm_vcpu *vcpu, u8 vector, u64 dr6)
{
	struct kvm_debug_exit_arch *arch = &vcpu->run->debug.arch;
	unsigned int i;

	vcpu->dbg.away = false;
	vcpu->dbg.delivered = false;
	vcpu->dbg.stepped = false;
	lm_need_state(vcpu, LM_S_CS | LM_S_RIP | LM_S_EFER | LM_S_MODE | LM_S_DR);
	/* A CPU may report matches that are not enabled (SDM vol. 3, 18.2.3). */
	for (i = 0; i < 4; i++)
		if (!(lm_debug_dr7(vcpu) >> (2 * i) & 3))
			dr6 &= ~BIT_ULL(i);
	vcpu->run->exit_reason = KVM_EXIT_DEBUG;
	memset(arch, 0, sizeof(*arch));
	arch->exception = vector;
	arch->pc = lm_st_code(&vcpu->st);
	arch->dr6 = vector == X86_TRAP_DB ? dr6 | LM_DR6_FIXED : vcpu->st.dr6;
	arch->dr7 = lm_debug_hw_bp(vcpu) ? vcpu->dbg.dr7 : vcpu->st.dr7;
	return LM_USER;
}

/**
 * lm_debug_report - end KVM_RUN with a step that is done
 * @vcpu: in its section
 */
int lm_debug_report(struct lm_vcpu *vcpu)
{
	return lm_exit_debug(vcpu, X86_TRAP_DB, DR_STEP);
}

/* ---- before an entry ---- */

static void lm_debug_deliver(struct lm_vcpu *vcpu)
{
	struct lm_guest_debug *d = &vcpu->dbg;

	d->delivering = true;
	d->rip = lm_rip(vcpu);
	d->rsp = lm_rsp(vcpu);
	/* It waits until the event is delivered, and ends the run there. */
	lm_send_reschedule(raw_smp_processor_id());
}

/* Does the CPU find an interrupt in its LAPIC that it delivers first? */
static bool lm_debug_delivers(struct lm_vcpu *vcpu)
{
	if (vcpu->inject)
		return true;
	if ((vcpu->dbg.control & KVM_GUESTDBG_BLOCKIRQ) || !vcpu->lapic || !vcpu->lapic->hw)
		return false;
	lm_need_state(vcpu, LM_S_RFLAGS | LM_S_SHADOW);
	return (vcpu->st.rflags & X86_EFLAGS_IF) && vcpu->st.shadow == LM_SHADOW_NONE &&
	       lm_irq_pending(vcpu) >= 0;
}

/*
 * Look at the instruction that is to be stepped.  LM_DONE: the CPU shall do it; LM_AGAIN:
 * it has raised an exception or is done; LM_NEED.
 */
static int lm_debug_peek(struct lm_vcpu *vcpu)
{
	const struct lm_insn *insn;
	u64 rip = lm_rip(vcpu);
	int r;

	vcpu->dbg.op = LM_OP_UNKNOWN;
	vcpu->exit.nr_bytes = 0;
	vcpu->exit.kind = LM_EXIT_UNKNOWN;
	r = lm_insn_at_rip(vcpu, &insn);
	if (r != LM_DONE)
		return r == LM_USER ? LM_DONE : r;
	vcpu->dbg.op = insn->id;
	if (insn->id != LM_OP_PUSHF)
		return LM_DONE;
	r = lm_emulate(vcpu);
	if (r == LM_NEED)
		return r;
	if (r == LM_DONE && (lm_rip(vcpu) != rip || vcpu->ev.exc))
		return LM_AGAIN;
	lm_io_abandon(vcpu);	/* on a stack that is a device, or for a monitor: the CPU's */
	return LM_DONE;
}

/*
 * TF and a shadow: the CPU takes the step of the instruction that made it as pending,
 * and delivers it at once behind STI, but holds it back for one more instruction
 * behind MOV SS (SDM vol. 3, 27.7.3): so the shadow is shown as that of MOV SS.
 */
static void lm_debug_arm(struct lm_vcpu *vcpu)
{
	struct lm_guest_debug *d = &vcpu->dbg;

	lm_need_state(vcpu, LM_S_RIP | LM_S_RFLAGS | LM_S_SHADOW);
	d->armed = true;
	d->rip = vcpu->st.rip;
	d->tf = vcpu->st.rflags & X86_EFLAGS_TF;
	d->sti = vcpu->st.shadow == LM_SHADOW_STI;
	lm_set_rflags(vcpu, vcpu->st.rflags | X86_EFLAGS_TF);
	if (vcpu->st.shadow)
		vcpu->st.shadow = LM_SHADOW_MOVSS;
	/* In any case: an exit may have left a step as pending (SDM vol. 3, 28.3.4). */
	lm_mark_state(vcpu, LM_S_SHADOW);
}

/**
 * lm_debug_prepare - the last before the entry of a vCPU that user space debugs
 * @vcpu: in its section; events are chosen
 *
 * Return: LM_DONE: enter; LM_NEED; LM_USER: user space has its step; LM_AGAIN
 */
int lm_debug_prepare(struct lm_vcpu *vcpu)
{
	struct lm_guest_debug *d = &vcpu->dbg;
	int r;

	if (lm_debug_owns_dr(vcpu)) {
		lm_need_state(vcpu, LM_S_DR);
		vcpu->dirty |= LM_S_DR;		/* DR6 begins anew */
	}
	if ((d->control & KVM_GUESTDBG_SINGLESTEP) && !d->away) {
		if (lm_debug_delivers(vcpu)) {
			lm_debug_deliver(vcpu);
		} else {
			r = lm_debug_peek(vcpu);
			if (r == LM_AGAIN && !vcpu->ev.exc)
				return lm_debug_report(vcpu);
			if (r)
				return r;
			lm_debug_arm(vcpu);
		}
	}
	if (vcpu->lapic)
		lm_backend_apic(vcpu);
	return LM_DONE;
}

/* ---- after the exit ---- */

/* What the instruction itself loads into RFLAGS is the guest's. */
static bool lm_debug_loads_tf(u8 op)
{
	return op == LM_OP_POPF || op == LM_OP_IRET || op == LM_OP_SYSRET;
}

static bool lm_debug_takes_tf(u8 op)
{
	return op == LM_OP_INT || op == LM_OP_INT3 || op == LM_OP_INTO || op == LM_OP_INT1 ||
	       op == LM_OP_SYSCALL;
}

static void lm_debug_own_tf(struct lm_vcpu *vcpu)
{
	u64 rflags = lm_rflags(vcpu) & ~(u64)X86_EFLAGS_TF;

	lm_set_rflags(vcpu, vcpu->dbg.tf ? rflags | X86_EFLAGS_TF : rflags);
}

static void lm_debug_disarm(struct lm_vcpu *vcpu, bool trap)
{
	struct lm_guest_debug *d = &vcpu->dbg;
	bool moved = lm_rip(vcpu) != d->rip;

	d->armed = false;
	lm_need_state(vcpu, LM_S_RFLAGS | LM_S_SHADOW);
	if (vcpu->st.shadow && !moved && !trap && d->sti)
		vcpu->st.shadow = LM_SHADOW_STI;
	lm_mark_state(vcpu, LM_S_SHADOW);
	if (moved && !trap) {
		d->away = lm_debug_takes_tf(d->op);
		if (d->away)
			return;
		/* An exit after the instruction that is its cause; MOV SS has none. */
		d->delivered = vcpu->st.shadow == LM_SHADOW_NONE;
	}
	if (!trap || !lm_debug_loads_tf(d->op))
		lm_debug_own_tf(vcpu);
}

/**
 * lm_debug_left - the guest was left: what is the guest's, and what was user space's?
 * @vcpu: in its section, before the exit's handler
 */
void lm_debug_left(struct lm_vcpu *vcpu)
{
	const struct lm_exit *e = &vcpu->exit;
	struct lm_guest_debug *d = &vcpu->dbg;
	bool trap = e->kind == LM_EXIT_EXCEPTION && e->exception.vector == X86_TRAP_DB &&
		    (e->exception.payload & DR_STEP);

	if (d->armed) {
		lm_debug_disarm(vcpu, trap);
	} else if (d->away && trap) {
		lm_debug_own_tf(vcpu);
	} else if (d->delivering) {
		d->delivering = false;
		d->delivered = lm_rip(vcpu) != d->rip || lm_rsp(vcpu) != d->rsp;
	}
}

/**
 * lm_debug_handle - lm_handle_exit(), and what it did may be a step
 * @vcpu: in its section
 *
 * An instruction is done when RIP has moved on or, if it is repeated, its count.
 */
int lm_debug_handle(struct lm_vcpu *vcpu)
{
	struct lm_guest_debug *d = &vcpu->dbg;
	u64 rip = lm_rip(vcpu), rcx = vcpu->st.gpr[LM_RCX];
	int r = lm_handle_exit(vcpu);

	if (!(d->control & KVM_GUESTDBG_SINGLESTEP) || d->away || r < 0 || r == LM_NEED)
		return r;
	if (r == LM_USER && vcpu->run->exit_reason == KVM_EXIT_DEBUG)
		return r;
	if (!d->delivered && rip == lm_rip(vcpu) && rcx == vcpu->st.gpr[LM_RCX])
		return r;
	d->delivered = false;
	if (r == LM_USER) {	/* user space has something to do first */
		d->stepped = true;
		return r;
	}
	if (r == LM_HALT)
		WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_HALTED);
	return lm_debug_report(vcpu);
}

/**
 * lm_set_guest_debug - KVM_SET_GUEST_DEBUG
 * @vcpu: not in its section
 * @dbg: what user space wants
 *
 * Return: 0; -EINVAL for a bit that is not known; -EBUSY: an exception to inject, and one
 * waits already
 */
int lm_set_guest_debug(struct lm_vcpu *vcpu, const struct kvm_guest_debug *dbg)
{
	const struct lm_events *ev = &vcpu->ev;
	struct lm_guest_debug *d = &vcpu->dbg;
	u32 control = dbg->control;

	if (control & ~LM_GUESTDBG)
		return -EINVAL;
	if (control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		if (ev->exc || (ev->inflight & LM_EV_TYPE) == LM_EV_EXC)
			return -EBUSY;
		lm_queue_exception(vcpu, control & KVM_GUESTDBG_INJECT_DB ? X86_TRAP_DB :
				   X86_TRAP_BP, false, 0, 0);
	}
	/* By the rules that were. */
	lm_need_state(vcpu, LM_S_DR | LM_S_RFLAGS | LM_S_SHADOW);
	memset(d, 0, sizeof(*d));
	if (control & KVM_GUESTDBG_ENABLE)
		d->control = control & ~(KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP);
	if (lm_debug_hw_bp(vcpu)) {
		memcpy(d->dr, dbg->arch.debugreg, sizeof(d->dr));
		d->dr7 = (dbg->arch.debugreg[7] & LM_DR7_WRITABLE) | LM_DR7_FIXED;
	}
	lm_mark_state(vcpu, LM_S_DR | LM_S_SHADOW);
	vcpu->dr_loaded = lm_debug_dr7(vcpu) & LM_DR7_ENABLED;
	lm_backend_update(vcpu);
	lm_request(vcpu, LM_REQ_EVENT);
	return 0;
}
