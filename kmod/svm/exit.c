// SPDX-License-Identifier: GPL-2.0-only
/*
 * Enter the guest and translate its exit to the neutral one.
 */
#include <uapi/asm/debugreg.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "../lamina.h"
#include "../ept/flush.h"
#include "../monitor/trace.h"
#include "../section.h"
#include "debug.h"
#include "vmcb.h"

/* The guest cannot change these without an exit, since every write is intercepted. */
#define SVM_S_OURS	(LM_S_CR4 | LM_S_EFER | LM_S_PAT)

/* Exits that carry nothing but their kind. */
static const u8 svm_plain[0x90] = {
	[SVM_EXIT_DR_READ ... SVM_EXIT_EXC - 1] = LM_EXIT_DR + 1,
	[SVM_EXIT_INTR] = LM_EXIT_INTR + 1,
	[SVM_EXIT_NMI] = LM_EXIT_INTR + 1,
	[SVM_EXIT_SMI] = LM_EXIT_INTR + 1,
	[SVM_EXIT_INIT] = LM_EXIT_INTR + 1,
	[SVM_EXIT_VINTR] = LM_EXIT_IRQ_WINDOW + 1,
	[SVM_EXIT_RDPMC] = LM_EXIT_RDPMC + 1,
	[SVM_EXIT_CPUID] = LM_EXIT_CPUID + 1,
	[SVM_EXIT_IRET] = LM_EXIT_NMI_WINDOW + 1,
	[SVM_EXIT_INVD] = LM_EXIT_INVD + 1,
	[SVM_EXIT_PAUSE] = LM_EXIT_PAUSE + 1,
	[SVM_EXIT_HLT] = LM_EXIT_HLT + 1,
	[SVM_EXIT_INVLPGA] = LM_EXIT_UD + 1,
	[SVM_EXIT_SHUTDOWN] = LM_EXIT_SHUTDOWN + 1,
	[SVM_EXIT_VMRUN] = LM_EXIT_UD + 1,
	[SVM_EXIT_VMMCALL] = LM_EXIT_HYPERCALL + 1,
	[SVM_EXIT_VMLOAD ... SVM_EXIT_SKINIT] = LM_EXIT_UD + 1,
	[SVM_EXIT_RDTSCP] = LM_EXIT_UD + 1,
	[SVM_EXIT_WBINVD] = LM_EXIT_INVD + 1,
	[SVM_EXIT_MONITOR] = LM_EXIT_MWAIT + 1,
	[SVM_EXIT_XSETBV] = LM_EXIT_XSETBV + 1,
	[SVM_EXIT_RDPRU] = LM_EXIT_UD + 1,
};

static __always_inline void svm_exit_io(struct lm_exit *e, const struct svm_control *c, u64 rip)
{
	u32 info = c->exit_info1;

	e->kind = LM_EXIT_IO;
	e->insn_len = c->exit_info2 - rip;
	e->io.port = info >> 16;
	e->io.size = (info >> 4) & 7;
	e->io.in = info & BIT(0);
	e->io.string = info & BIT(2);
}

static __always_inline void svm_exit_npf(struct lm_exit *e, const struct svm_control *c)
{
	u64 info = c->exit_info1;

	e->kind = LM_EXIT_NPF;
	e->npf.gpa = c->exit_info2;
	e->npf.write = info & BIT(1);
	e->npf.exec = info & BIT(4);
	e->npf.table = info & BIT_ULL(33);
	e->npf.apic = false;
	e->npf.delivery = c->exit_int_info & LM_EV_VALID;
	if (lm_caps.decode_assists && !e->npf.exec) {
		e->nr_bytes = c->nr_bytes & 15;
		memcpy(e->bytes, c->bytes, sizeof(c->bytes));
	}
}

/* The selective intercept is a write of CR0. */
static void svm_exit_cr(struct lm_exit *e, const struct svm_control *c, u32 code)
{
	e->kind = LM_EXIT_CR;
	e->cr.known = lm_caps.decode_assists && (c->exit_info1 & SVM_CR_VALID);
	e->cr.nr = code == SVM_EXIT_CR0_SEL ? 0 : code & 15;
	e->cr.write = code >= SVM_EXIT_CR_WRITE;
	e->cr.gpr = c->exit_info1 & 15;
}

static void svm_exit_exception(struct lm_exit *e, const struct svm_vmcb *vmcb, u32 code)
{
	const struct svm_control *c = &vmcb->c;

	e->kind = LM_EXIT_EXCEPTION;
	e->exception.vector = code - SVM_EXIT_EXC;
	/* #DF, #TS to #PF, #AC push one (APM vol. 2, 8.2) */
	e->exception.has_error = BIT(e->exception.vector) & 0x27d00;
	e->exception.error = c->exit_info1;
	/* The CPU has set DR6; delivery replaces what a #DB defines by the payload. */
	e->exception.payload = e->exception.vector == X86_TRAP_DB ?
		vmcb->s.dr6 & (DR_TRAP_BITS | DR_STEP | DR_SWITCH | BIT(13)) : c->exit_info2;
}

static void svm_exit_task(struct lm_exit *e, const struct svm_control *c)
{
	u64 info = c->exit_info2;	/* 15.14.1 */
	u32 soft;

	e->kind = LM_EXIT_TASK_SWITCH;
	e->task.sel = c->exit_info1;
	e->task.reason = info & BIT_ULL(36) ? 1 : info & BIT_ULL(38) ? 2 :
			 c->exit_int_info & LM_EV_VALID ? 3 : 0;
	e->task.has_error = info & BIT_ULL(44);
	e->task.error = info;
	e->task.event = e->task.reason == 3 ? c->exit_int_info : 0;
	soft = e->task.event & (LM_EV_TYPE | LM_EV_VECTOR);
	e->task.soft = e->task.reason != 3 || (soft & LM_EV_TYPE) == LM_EV_SOFT;
	/* INT3 and INTO: one byte, also where user space has delivered them. */
	if (soft == (LM_EV_EXC | X86_TRAP_BP) || soft == (LM_EV_EXC | X86_TRAP_OF)) {
		e->task.soft = true;
		e->insn_len = 1;
	}
}

static noinline void svm_translate_rare(struct lm_vcpu *vcpu, const struct svm_control *c, u32 code)
{
	struct lm_exit *e = &vcpu->exit;

	switch (code) {
	case SVM_EXIT_CR_READ ... SVM_EXIT_DR_READ - 1:
	case SVM_EXIT_CR0_SEL:
		svm_exit_cr(e, c, code);
		break;
	case SVM_EXIT_EXC + X86_TRAP_MC:
		/* The host's: window() hands it on. */
		e->kind = LM_EXIT_INTR;
		vcpu->hw->mce = true;
		break;
	case SVM_EXIT_EXC ... SVM_EXIT_EXC + X86_TRAP_MC - 1:
	case SVM_EXIT_EXC + X86_TRAP_MC + 1 ... SVM_EXIT_EXC + 31:
		svm_exit_exception(e, vcpu->hw->vmcb, code);
		break;
	case SVM_EXIT_MWAIT:
	case SVM_EXIT_MWAIT + 1:
		e->kind = LM_EXIT_MWAIT;
		e->mwait = true;
		break;
	case SVM_EXIT_TASK:
		svm_exit_task(e, c);
		break;
	case SVM_EXIT_INVALID:
		e->kind = LM_EXIT_FAIL_ENTRY;
		e->reason = c->exit_code;
		break;
	default:
		e->kind = LM_EXIT_UNKNOWN;
		e->reason = code;
		break;
	}
}

/* First what is frequent: it needs no call. */
static __always_inline void svm_translate(struct lm_vcpu *vcpu, const struct svm_control *c, u64 rip)
{
	struct lm_exit *e = &vcpu->exit;
	u32 code = c->exit_code;

	e->code = code;
	e->nr_bytes = 0;
	e->insn_len = lm_caps.nrips && c->next_rip ? c->next_rip - rip : 0;
	if (code < ARRAY_SIZE(svm_plain) && svm_plain[code]) {
		e->kind = svm_plain[code] - 1;
	} else if (code == SVM_EXIT_NPF) {
		svm_exit_npf(e, c);
	} else if (code == SVM_EXIT_IOIO) {
		svm_exit_io(e, c, rip);
	} else if (code == SVM_EXIT_MSR) {
		e->kind = LM_EXIT_MSR;
		e->msr.write = c->exit_info1 & 1;
	} else {
		svm_translate_rare(vcpu, c, code);
	}
}

/*
 * NMIs stay masked until the IRET that ends the handler has run.  Its intercept
 * comes before; if an NMI waits, step over it with TF so that the NMI comes
 * right after, else any later exit with another RIP shows that it is done.
 *
 * SVM has no window for NMIs.  One that this entry's event keeps back comes after
 * an interrupt to ourselves, which ends the run when the event is delivered; one
 * kept back by a shadow after the window for interrupts, or if those are off
 * after a step.
 */
static void svm_step(struct lm_vcpu *vcpu, bool tf)
{
	struct lm_hw *hw = vcpu->hw;

	hw->step = true;
	hw->step_rip = lm_rip(vcpu);
	hw->step_tf = tf && !(lm_rflags(vcpu) & X86_EFLAGS_TF);
	if (!hw->step_tf)
		return;
	vcpu->st.rflags |= X86_EFLAGS_TF;
	hw->vmcb->s.rflags = vcpu->st.rflags;
}

/* Is the window for interrupts wanted for an NMI? */
static bool svm_nmi_window(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	struct svm_control *c = &hw->vmcb->c;

	if (vcpu->ev.nmi_masked && !hw->step)
		c->misc1 |= SVM_I1_IRET;
	else
		c->misc1 &= ~SVM_I1_IRET;
	if (likely(!vcpu->want_nmi_window) || vcpu->ev.nmi_masked || hw->step)
		return false;
	if (c->event_inj) {
		lm_send_reschedule(raw_smp_processor_id());
		return false;
	}
	if (lm_rflags(vcpu) & X86_EFLAGS_IF)
		return true;
	svm_step(vcpu, true);
	return false;
}

/* An exit after a step began: is the instruction done?  Hides the #DB of our own TF. */
static void svm_step_check(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	bool iret = vcpu->ev.nmi_masked;
	bool trap = hw->step_tf && vcpu->exit.kind == LM_EXIT_EXCEPTION &&
		    vcpu->exit.exception.vector == X86_TRAP_DB;
	bool done = trap || vcpu->st.rip != hw->step_rip;

	hw->step = false;
	vcpu->entry_work = true;
	lm_request(vcpu, LM_REQ_EVENT);
	if (done)
		vcpu->ev.nmi_masked = false;
	/* IRET has loaded the flags of its frame, everything else leaves ours. */
	if (hw->step_tf && !(iret && done))
		lm_set_rflags(vcpu, vcpu->st.rflags & ~(u64)X86_EFLAGS_TF);
	if (trap) {
		vcpu->exit.kind = LM_EXIT_INTR;
		lm_set_dr6(vcpu, lm_dr6(vcpu) & ~(u64)DR_STEP);
	}
}

/*
 * lm_events_prepare() or the end of a window changed what this entry needs.
 * EVENTINJ's types are the neutral ones (15.20).
 */
static noinline void svm_entry_work(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	struct svm_control *c = &hw->vmcb->c;

	vcpu->entry_work = false;
	if (vcpu->inject)
		trace_lm_inject(vcpu);
	c->event_inj = vcpu->inject;
	vcpu->inject = 0;
	/* What the CPU pushes for #BP and #OF, if it knows the field (15.20). */
	if (lm_caps.nrips)
		c->next_rip = lm_rip(vcpu);
	/* A dummy virtual interrupt of the highest priority, intercepted (15.21.4). */
	if (svm_nmi_window(vcpu) || vcpu->want_irq_window) {
		c->vintr |= SVM_V_IRQ | SVM_V_PRIO_MAX | SVM_V_IGN_TPR;
		c->misc1 |= SVM_I1_VINTR;
	} else {
		c->vintr &= ~(SVM_V_IRQ | SVM_V_PRIO_MAX | SVM_V_IGN_TPR);
		c->misc1 &= ~SVM_I1_VINTR;
	}
	hw->clean &= ~(SVM_CLEAN_TPR | SVM_CLEAN_I);
}

static __always_inline void svm_flush(struct lm_vcpu *vcpu, struct lm_hw *hw,
				      struct svm_control *c)
{
	enum lm_flush_how how = lm_flush_decide(vcpu, hw->tags, lm_caps.flush_by_asid);

	if (likely(how == LM_FLUSH_NONE && c->asid == vcpu->flush.asid))
		return;
	if (c->asid != vcpu->flush.asid) {
		c->asid = vcpu->flush.asid;
		hw->clean &= ~SVM_CLEAN_ASID;
	}
	if (how == LM_FLUSH_ALL)
		c->tlb_control = SVM_TLB_ALL;
	else if (how == LM_FLUSH_TAG)
		c->tlb_control = SVM_TLB_ASID;
}

/* For the model TLB: not what was decided but what the VMCB says. */
static enum lm_flush_how svm_flushes(const struct svm_control *c)
{
	return c->tlb_control == SVM_TLB_ALL ? LM_FLUSH_ALL :
	       c->tlb_control == SVM_TLB_ASID ? LM_FLUSH_TAG : LM_FLUSH_NONE;
}

/*
 * VMRUN refused the state (15.5.1).  Nothing says that it flushed before it
 * looked, and the event was not delivered: both are still to be done.
 */
static noinline void svm_entry_failed(struct lm_vcpu *vcpu, u32 tlb_control, u64 event)
{
	if (tlb_control == SVM_TLB_ALL)
		lm_tag_pool_init(vcpu->hw->tags, 1, lm_caps.nr_asids - 1);
	lm_flush_self(vcpu);
	lm_events_exited(vcpu, event, 0);
}

void lm_svm_enter(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	struct svm_vmcb *vmcb = hw->vmcb;
	struct svm_control *c = &vmcb->c;

	if (likely(vcpu->dirty == LM_S_RIP)) {
		vmcb->s.rip = vcpu->st.rip;
		vcpu->dirty = 0;
	} else if (vcpu->dirty) {
		lm_svm_put(vcpu);
	}
	if (unlikely(vcpu->entry_work))
		svm_entry_work(vcpu);
	/* What the guest reads as CR8 (15.21.2). */
	if (unlikely((u8)c->vintr != vcpu->x86.cr8)) {
		c->vintr = (c->vintr & ~SVM_V_TPR) | vcpu->x86.cr8;
		hw->clean &= ~SVM_CLEAN_TPR;
	}
	svm_flush(vcpu, hw, c);
	vmcb->s.rax = vcpu->st.gpr[LM_RAX];
	c->clean = hw->clean;
	if (static_branch_unlikely(&lm_debug_tlb))
		lm_tlb_enter(vcpu, c->asid, svm_flushes(c));
	if (static_branch_unlikely(&lm_svm_debug))
		lm_svm_debug_entry(vcpu);

	lm_guest_enter(vcpu);
	lm_svm_vmrun(vcpu->st.gpr, hw->vmcb_pa, &hw->gs);
	lm_guest_exit(vcpu);

	hw->saved = false;
	hw->clean = hw->clean_after;
	vcpu->st.gpr[LM_RAX] = vmcb->s.rax;
	vcpu->st.gpr[LM_RSP] = vmcb->s.rsp;
	vcpu->st.rip = vmcb->s.rip;
	vcpu->st.rflags = vmcb->s.rflags;
	vcpu->st.shadow = c->int_state & SVM_INT_SHADOW;	/* LM_SHADOW_STI or _NONE */
	vcpu->valid = LM_S_RIP | LM_S_RSP | LM_S_RFLAGS | LM_S_SHADOW | SVM_S_OURS;
	if (static_branch_unlikely(&lm_svm_debug))
		lm_svm_debug_exit(vcpu);

	svm_translate(vcpu, c, vmcb->s.rip);
	if (unlikely(vcpu->exit.kind == LM_EXIT_FAIL_ENTRY))
		svm_entry_failed(vcpu, c->tlb_control, c->event_inj);
	else if (unlikely(c->exit_int_info & LM_EV_VALID))
		lm_events_exited(vcpu, c->exit_int_info, 0);
	/* Both held for one entry. */
	c->tlb_control = SVM_TLB_NONE;
	c->event_inj = 0;
	if (unlikely(hw->step)) {
		svm_step_check(vcpu);
	} else if (unlikely(vcpu->exit.kind == LM_EXIT_NMI_WINDOW)) {
		svm_step(vcpu, atomic_read(&vcpu->ev.nmi_pending));
		vcpu->entry_work = true;
	}
}

const struct lm_backend lm_svm = {
	.name = "SVM",
	.busy = "stop it first",
	.setup = lm_svm_setup,
	.teardown = lm_svm_teardown,
	.cpu_on = lm_svm_cpu_on,
	.cpu_off = lm_svm_cpu_off,
	.vcpu_init = lm_svm_vcpu_init,
	.vcpu_free = lm_svm_vcpu_free,
	.load = lm_svm_load,
	.unload = lm_svm_unload,
	.enter = lm_svm_enter,
	.window = lm_svm_window,
	.get = lm_svm_get,
	.update = lm_svm_update,
	.tsc = lm_svm_tsc,
	.dump = lm_svm_dump,
};
