// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registers of a vCPU as user space gets and sets them: by ioctls, and through the
 * page that it shares with KVM_RUN (KVM_CAP_SYNC_REGS).
 */
#include "backend.h"

/**
 * lm_get_regs - KVM_GET_REGS
 * @vcpu: not in its section
 * @regs: result
 */
int lm_get_regs(struct lm_vcpu *vcpu, struct kvm_regs *regs)
{
	const u64 *g = vcpu->st.gpr;

	lm_need_state(vcpu, LM_S_RIP | LM_S_RSP | LM_S_RFLAGS);
	regs->rax = g[LM_RAX];
	regs->rbx = g[LM_RBX];
	regs->rcx = g[LM_RCX];
	regs->rdx = g[LM_RDX];
	regs->rsi = g[LM_RSI];
	regs->rdi = g[LM_RDI];
	regs->rsp = g[LM_RSP];
	regs->rbp = g[LM_RBP];
	regs->r8 = g[8];
	regs->r9 = g[9];
	regs->r10 = g[10];
	regs->r11 = g[11];
	regs->r12 = g[12];
	regs->r13 = g[13];
	regs->r14 = g[14];
	regs->r15 = g[15];
	regs->rip = vcpu->st.rip;
	regs->rflags = vcpu->st.rflags;
	return 0;
}

/**
 * lm_set_regs - KVM_SET_REGS
 * @vcpu: not in its section
 * @regs: the user's values
 */
int lm_set_regs(struct lm_vcpu *vcpu, const struct kvm_regs *regs)
{
	u64 *g = vcpu->st.gpr;

	/* What was in progress is of the old place; at the same one it goes on. */
	if (regs->rip != lm_rip(vcpu)) {
		lm_io_abandon(vcpu);
		vcpu->dbg.stepped = false;
	}
	g[LM_RAX] = regs->rax;
	g[LM_RBX] = regs->rbx;
	g[LM_RCX] = regs->rcx;
	g[LM_RDX] = regs->rdx;
	g[LM_RSI] = regs->rsi;
	g[LM_RDI] = regs->rdi;
	g[LM_RSP] = regs->rsp;
	g[LM_RBP] = regs->rbp;
	g[8] = regs->r8;
	g[9] = regs->r9;
	g[10] = regs->r10;
	g[11] = regs->r11;
	g[12] = regs->r12;
	g[13] = regs->r13;
	g[14] = regs->r14;
	g[15] = regs->r15;
	vcpu->st.rip = regs->rip;
	vcpu->st.rflags = regs->rflags | X86_EFLAGS_FIXED;
	lm_mark_state(vcpu, LM_S_RIP | LM_S_RSP | LM_S_RFLAGS);
	/* An exception that a handler raised belongs to the instruction of the old RIP. */
	vcpu->ev.exc = 0;
	lm_request(vcpu, LM_REQ_EVENT);
	return 0;
}

/**
 * lm_get_debugregs - KVM_GET_DEBUGREGS
 * @vcpu: not in its section
 * @d: result
 */
int lm_get_debugregs(struct lm_vcpu *vcpu, struct kvm_debugregs *d)
{
	memset(d, 0, sizeof(*d));
	lm_need_state(vcpu, LM_S_DR);
	memcpy(d->db, vcpu->st.dr, sizeof(d->db));
	d->dr6 = vcpu->st.dr6;
	d->dr7 = vcpu->st.dr7;
	return 0;
}

/**
 * lm_set_debugregs - KVM_SET_DEBUGREGS
 * @vcpu: not in its section
 * @d: the user's values
 *
 * Return: 0 or -EINVAL
 */
int lm_set_debugregs(struct lm_vcpu *vcpu, const struct kvm_debugregs *d)
{
	if (d->flags || d->dr6 >> 32 || d->dr7 >> 32)
		return -EINVAL;
	memcpy(vcpu->st.dr, d->db, sizeof(d->db));
	vcpu->st.dr6 = d->dr6;
	vcpu->st.dr7 = d->dr7;
	lm_mark_state(vcpu, LM_S_DR);
	/* Breakpoints that are enabled must be in the CPU from the next entry on. */
	if ((d->dr7 & LM_DR7_ENABLED) && !vcpu->dr_loaded && !lm_debug_hw_bp(vcpu)) {
		vcpu->dr_loaded = true;
		lm_backend_update(vcpu);
	}
	return 0;
}

/* ---- KVM_CAP_SYNC_REGS ---- */

/**
 * lm_sync_check - may this KVM_RUN go on with these masks?
 * @run: the shared page
 *
 * Return: 0, or -EINVAL for a bit that is not known
 */
int lm_sync_check(const struct kvm_run *run)
{
	u64 bits = READ_ONCE(run->kvm_valid_regs) | READ_ONCE(run->kvm_dirty_regs);

	return bits & ~(u64)KVM_SYNC_X86_VALID_FIELDS ? -EINVAL : 0;
}

/**
 * lm_sync_in - take what user space has changed in the shared page
 * @vcpu: not in its section
 *
 * Each structure is copied once before it is looked at.  What was taken is no longer
 * marked, and nothing is after an error.
 */
noinline_for_stack int lm_sync_in(struct lm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 dirty = READ_ONCE(run->kvm_dirty_regs);
	union {
		struct kvm_regs regs;
		struct kvm_sregs sregs;
		struct kvm_vcpu_events events;
	} u;
	int r;

	if (dirty & KVM_SYNC_X86_REGS) {
		memcpy(&u.regs, &run->s.regs.regs, sizeof(u.regs));
		lm_set_regs(vcpu, &u.regs);
		run->kvm_dirty_regs &= ~KVM_SYNC_X86_REGS;
	}
	if (dirty & KVM_SYNC_X86_SREGS) {
		memcpy(&u.sregs, &run->s.regs.sregs, sizeof(u.sregs));
		r = lm_sregs_set(vcpu, &u.sregs);
		if (r)
			return r;
		run->kvm_dirty_regs &= ~KVM_SYNC_X86_SREGS;
	}
	if (dirty & KVM_SYNC_X86_EVENTS) {
		memcpy(&u.events, &run->s.regs.events, sizeof(u.events));
		r = lm_vcpu_events_set(vcpu, &u.events);
		if (r)
			return r;
		run->kvm_dirty_regs &= ~KVM_SYNC_X86_EVENTS;
	}
	return 0;
}

/**
 * lm_sync_out - show user space the registers that it asked for
 * @vcpu: not in its section
 */
void lm_sync_out(struct lm_vcpu *vcpu)
{
	struct kvm_sync_regs *s = &vcpu->run->s.regs;
	u64 valid = READ_ONCE(vcpu->run->kvm_valid_regs);

	BUILD_BUG_ON(sizeof(struct kvm_sync_regs) > SYNC_REGS_SIZE_BYTES);
	/* First, since it brings the CR2 of a waiting page fault into its register. */
	if (valid & KVM_SYNC_X86_EVENTS)
		lm_vcpu_events_get(vcpu, &s->events);
	if (valid & KVM_SYNC_X86_REGS)
		lm_get_regs(vcpu, &s->regs);
	if (valid & KVM_SYNC_X86_SREGS)
		lm_sregs_get(vcpu, &s->sregs);
}
