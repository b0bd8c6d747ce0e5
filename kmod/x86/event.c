// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions, NMIs and interrupts: what waits, which goes first, and what to do
 * with one whose delivery an exit interrupted.
 */
#include <linux/bitops.h>
#include <asm/kvm.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "../backend.h"

#define LM_CONTRIBUTORY	(BIT(X86_TRAP_DE) | BIT(X86_TRAP_TS) | BIT(X86_TRAP_NP) | \
			 BIT(X86_TRAP_SS) | BIT(X86_TRAP_GP))
/* These push an error code (APM vol. 2, 8.2). */
#define LM_HAS_ERROR	(BIT(X86_TRAP_DF) | BIT(X86_TRAP_TS) | BIT(X86_TRAP_NP) | \
			 BIT(X86_TRAP_SS) | BIT(X86_TRAP_GP) | BIT(X86_TRAP_PF) | BIT(X86_TRAP_AC))
/* Not faults: RIP is past the instruction, so RF is not set in what is pushed. */
#define LM_NOT_FAULT	(BIT(X86_TRAP_DB) | BIT(X86_TRAP_BP) | BIT(X86_TRAP_OF) | \
			 BIT(X86_TRAP_DF) | BIT(X86_TRAP_MC))

static u64 lm_event_exc(u8 vector, bool has_error, u32 error)
{
	u64 e = LM_EV_VALID | LM_EV_EXC | vector;

	if (has_error)
		e |= LM_EV_ERROR | (u64)error << 32;
	return e;
}

static bool lm_is_exc(u64 event)
{
	return (event & LM_EV_VALID) && (event & LM_EV_TYPE) == LM_EV_EXC;
}

/**
 * lm_exception_merge - what a second exception makes of a first one
 * @first: vector whose delivery raised the second
 * @second: vector
 */
enum lm_merge lm_exception_merge(u8 first, u8 second)
{
	bool contributory = BIT(second & 31) & LM_CONTRIBUTORY;

	if (first == X86_TRAP_DF)
		return contributory || second == X86_TRAP_PF ? LM_MERGE_TRIPLE : LM_MERGE_NEW;
	if (first == X86_TRAP_PF)
		return contributory || second == X86_TRAP_PF ? LM_MERGE_DF : LM_MERGE_NEW;
	if (BIT(first & 31) & LM_CONTRIBUTORY)
		return contributory ? LM_MERGE_DF : LM_MERGE_NEW;
	return LM_MERGE_NEW;
}

/**
 * lm_queue_exception - raise an exception in the guest
 * @vcpu: the vCPU
 * @vector: 0 to 31, not 2
 * @has_error: an error code is pushed; ignored in real mode
 * @error: the code
 * @payload: CR2 of a #PF, DR6 bits of a #DB; they are set when it is delivered
 *
 * Raised while another is being delivered, the two make a double fault or a
 * shutdown as on a CPU.
 */
void lm_queue_exception(struct lm_vcpu *vcpu, u8 vector, bool has_error, u32 error, u64 payload)
{
	struct lm_events *ev = &vcpu->ev;
	u64 first = ev->exc ? ev->exc : lm_is_exc(ev->inflight) ? ev->inflight : 0;

	lm_request(vcpu, LM_REQ_EVENT);
	if (lm_is_exc(ev->inflight))
		ev->inflight = 0;
	if (first) {
		switch (lm_exception_merge(first & LM_EV_VECTOR, vector)) {
		case LM_MERGE_TRIPLE:
			ev->exc = 0;
			lm_request(vcpu, LM_REQ_TRIPLE_FAULT);
			return;
		case LM_MERGE_DF:
			vector = X86_TRAP_DF;
			has_error = true;
			error = 0;
			payload = 0;
			break;
		case LM_MERGE_NEW:
			break;
		}
	}
	if (!(lm_cr0(vcpu) & X86_CR0_PE))
		has_error = false;
	ev->exc = lm_event_exc(vector, has_error, error);
	ev->exc_payload = payload;
}

/**
 * lm_inject_gp - raise #GP
 * @vcpu: the vCPU
 * @error: the code, mostly 0
 */
void lm_inject_gp(struct lm_vcpu *vcpu, u32 error)
{
	lm_queue_exception(vcpu, X86_TRAP_GP, true, error, 0);
}

/**
 * lm_inject_ud - raise #UD
 * @vcpu: the vCPU
 */
void lm_inject_ud(struct lm_vcpu *vcpu)
{
	lm_queue_exception(vcpu, X86_TRAP_UD, false, 0, 0);
}

/**
 * lm_inject_pf - raise #PF
 * @vcpu: the vCPU
 * @addr: linear address, for CR2
 * @error: as lm_walk() gave it
 */
void lm_inject_pf(struct lm_vcpu *vcpu, u64 addr, u32 error)
{
	lm_queue_exception(vcpu, X86_TRAP_PF, true, error, addr);
}

/**
 * lm_vcpu_nmi - an NMI arrives; any context
 * @vcpu: the vCPU
 *
 * One may be in service or about to be, one more is latched.
 */
void lm_vcpu_nmi(struct lm_vcpu *vcpu)
{
	atomic_add_unless(&vcpu->ev.nmi_pending, 1, 2);
	lm_request(vcpu, LM_REQ_EVENT);
	lm_kick(vcpu);
}

/* ---- before an entry ---- */

/* CR2 and DR6 change when the exception is delivered, not when it is raised. */
static void lm_deliver_payload(struct lm_vcpu *vcpu)
{
	struct lm_events *ev = &vcpu->ev;

	switch (ev->exc & LM_EV_VECTOR) {
	case X86_TRAP_PF:
		lm_set_cr2(vcpu, ev->exc_payload);
		break;
	case X86_TRAP_DB:
		/* B0-B3 are those of this #DB; BD, BS, BT gather (SDM vol. 3, 17.2.3) */
		lm_set_dr6(vcpu, (lm_dr6(vcpu) & ~0xfull) | (ev->exc_payload & 0xe00f));
		lm_set_dr7(vcpu, lm_dr7(vcpu) & ~BIT_ULL(13));	/* GD */
		break;
	}
	ev->exc_payload = 0;
}

/* What lm_deliver_payload() would not change any more. */
static u64 lm_delivered_payload(struct lm_vcpu *vcpu, u8 vector)
{
	switch (vector) {
	case X86_TRAP_PF:
		return lm_cr2(vcpu);
	case X86_TRAP_DB:
		return lm_dr6(vcpu) & 0xe00f;
	default:
		return 0;
	}
}

/* An event that was chosen but did not arrive; an interrupt may wait there already. */
static void lm_put_back(struct lm_vcpu *vcpu, u64 event, u8 len)
{
	struct lm_events *ev = &vcpu->ev;

	lm_request(vcpu, LM_REQ_EVENT);
	if (lm_is_exc(event) && ev->inflight) {
		ev->exc = event;
		ev->exc_payload = lm_delivered_payload(vcpu, event & LM_EV_VECTOR);
		return;
	}
	/* an NMI that did not arrive masks nothing yet */
	if ((event & LM_EV_TYPE) == LM_EV_NMI)
		ev->nmi_masked = false;
	ev->inflight = event;
	ev->inflight_len = len;
}

static void lm_inject_exception(struct lm_vcpu *vcpu, u64 event)
{
	u8 vector = event & LM_EV_VECTOR;

	/* the image that a fault pushes has RF set, lest a breakpoint hits again */
	if (!(BIT(vector & 31) & LM_NOT_FAULT))
		lm_set_rflags(vcpu, lm_rflags(vcpu) | X86_EFLAGS_RF);
	/* INT3 and INTO are traps of one byte: only user space queues them, with RIP before */
	if (vector == X86_TRAP_BP || vector == X86_TRAP_OF) {
		lm_set_rip(vcpu, lm_rip(vcpu) + 1);
		vcpu->ev.soft_rip = vcpu->st.rip;
		lm_request(vcpu, LM_REQ_EVENT);		/* forget that before the next entry */
	}
	/* Real mode pushes none, whatever user space asked for (SDM vol. 3, 26.2.1.3). */
	if ((event & LM_EV_ERROR) && !(lm_cr0(vcpu) & X86_CR0_PE))
		event &= ~LM_EV_ERROR & GENMASK_ULL(31, 0);
	vcpu->inject = event;
	vcpu->inject_len = 0;
}

static void lm_prepare_exception(struct lm_vcpu *vcpu)
{
	struct lm_events *ev = &vcpu->ev;

	/* #DF comes with the CR2 of the #PF that led to it; its own payload is void */
	lm_deliver_payload(vcpu);
	lm_inject_exception(vcpu, ev->exc);
	ev->exc = 0;
	if (likely(!ev->inflight))
		return;
	/* An interrupted NMI is pending again; an interrupt waits for IF, which this clears. */
	if ((ev->inflight & LM_EV_TYPE) == LM_EV_NMI) {
		ev->inflight = 0;
		atomic_add_unless(&ev->nmi_pending, 1, 2);
	} else {
		vcpu->want_irq_window = true;
	}
}

static bool lm_irq_allowed(struct lm_vcpu *vcpu)
{
	lm_need_state(vcpu, LM_S_RFLAGS | LM_S_SHADOW);
	return (vcpu->st.rflags & X86_EFLAGS_IF) && vcpu->st.shadow == LM_SHADOW_NONE;
}

static bool lm_nmi_allowed(struct lm_vcpu *vcpu)
{
	if (vcpu->ev.nmi_masked)
		return false;
	lm_need_state(vcpu, LM_S_SHADOW);
	return vcpu->st.shadow == LM_SHADOW_NONE;
}

/* Deliver again; an interrupt must wait if an exception's handler runs with IF clear now. */
static void lm_prepare_inflight(struct lm_vcpu *vcpu)
{
	struct lm_events *ev = &vcpu->ev;
	u64 type = ev->inflight & LM_EV_TYPE;

	if (type == LM_EV_INTR && !lm_irq_allowed(vcpu)) {
		vcpu->want_irq_window = true;
		return;
	}
	if (type == LM_EV_NMI)
		ev->nmi_masked = true;
	if (type == LM_EV_EXC) {
		lm_inject_exception(vcpu, ev->inflight);
	} else {
		vcpu->inject = ev->inflight;
		vcpu->inject_len = ev->inflight_len;
	}
	ev->inflight = 0;
}

static void lm_prepare_irq(struct lm_vcpu *vcpu)
{
	int vector;

	if (unlikely(vcpu->dbg.control & KVM_GUESTDBG_BLOCKIRQ))
		return;
	if (lm_irq_to_inject(vcpu) < 0) {
		if (lm_events_user_window(vcpu))
			vcpu->want_irq_window = true;
		return;
	}
	if (vcpu->inject || vcpu->ev.inflight || !lm_irq_allowed(vcpu)) {
		vcpu->want_irq_window = true;
		return;
	}
	vector = lm_irq_ack(vcpu);
	if (vector < 0)
		return;
	vcpu->inject = LM_EV_VALID | LM_EV_INTR | (u8)vector;
	vcpu->inject_len = 0;
	vcpu->stat.irq_injected++;
	vcpu->want_irq_window = lm_irq_to_inject(vcpu) >= 0 || lm_events_user_window(vcpu);
	if ((vcpu->x86.pv_eoi & 1) && !vcpu->want_irq_window && lm_lapic_isr_plain(vcpu))
		lm_pv_eoi_arm(vcpu);	/* not armed, the guest exits at its EOI as ever */
}

static void lm_prepare_nmi(struct lm_vcpu *vcpu)
{
	struct lm_events *ev = &vcpu->ev;

	if (likely(!atomic_read(&ev->nmi_pending)) ||
	    (vcpu->dbg.control & KVM_GUESTDBG_BLOCKIRQ))
		return;
	/* With one in service only one is latched (APM vol. 2, 8.2.3). */
	if (ev->nmi_masked)
		atomic_cmpxchg(&ev->nmi_pending, 2, 1);
	if (!vcpu->inject && lm_nmi_allowed(vcpu)) {
		atomic_dec(&ev->nmi_pending);
		ev->nmi_masked = true;
		vcpu->inject = LM_EV_VALID | LM_EV_NMI | X86_TRAP_NMI;
		vcpu->inject_len = 0;
		vcpu->stat.nmi_injected++;
	}
	vcpu->want_nmi_window = atomic_read(&ev->nmi_pending);
	/* No window tells that this entry's event or a shadow is over: look at the next exit. */
	if (vcpu->want_nmi_window && !ev->nmi_masked)
		lm_request(vcpu, LM_REQ_EVENT);
}

/**
 * lm_events_prepare - choose what this entry delivers
 * @vcpu: in its section, LM_REQ_EVENT set
 *
 * Order: an exception, then what an exit interrupted, NMI, interrupt.  An
 * exception goes before an interrupted interrupt since it was raised by its
 * delivery; an interrupted exception it has replaced already.  One event an entry;
 * the rest asks for a window.
 *
 * LM_DONE, LM_AGAIN when the vCPU has shut down, or LM_NEED.
 */
int lm_events_prepare(struct lm_vcpu *vcpu)
{
	struct lm_events *ev = &vcpu->ev;
	int r = lm_pv_eoi_sync(vcpu);

	if (unlikely(r))
		return r;
	clear_bit(LM_REQ_EVENT, &vcpu->requests);
	smp_mb__after_atomic();		/* what comes after this look sets it again */
	vcpu->entry_work = true;
	vcpu->want_irq_window = false;
	vcpu->want_nmi_window = false;
	ev->soft_rip = 0;
	if (unlikely(vcpu->inject)) {	/* called twice for one entry: choose again */
		lm_events_cancel(vcpu);
		clear_bit(LM_REQ_EVENT, &vcpu->requests);
	}
	if (unlikely(test_bit(LM_REQ_TRIPLE_FAULT, &vcpu->requests)))
		return LM_AGAIN;

	if (ev->exc)
		lm_prepare_exception(vcpu);
	else if (unlikely(ev->inflight))
		lm_prepare_inflight(vcpu);
	lm_prepare_nmi(vcpu);
	lm_prepare_irq(vcpu);
	if (vcpu->lapic)
		lm_backend_apic(vcpu);
	return LM_DONE;
}

/* ---- after an exit ---- */

/*
 * INT n, INT3 and INTO: RIP still is at the instruction, so running it again is
 * the same as delivering it again, on both vendors, and needs no instruction
 * length.  Vectors 3 and 4 come from nowhere else but user space.
 */
static bool lm_event_rerun(u64 event)
{
	u64 id = event & (LM_EV_TYPE | LM_EV_VECTOR);

	return (event & LM_EV_TYPE) == LM_EV_SOFT ||
	       id == (LM_EV_EXC | X86_TRAP_BP) || id == (LM_EV_EXC | X86_TRAP_OF);
}

/**
 * lm_events_exited - an exit came while an event was being delivered
 * @vcpu: in its section
 * @inflight: the event, in the form of lm_vcpu.inject
 * @len: length of the instruction that caused it, 0 if none did
 */
void lm_events_exited(struct lm_vcpu *vcpu, u64 inflight, u8 len)
{
	struct lm_events *ev = &vcpu->ev;

	if (!(inflight & LM_EV_VALID))
		return;
	if (lm_event_rerun(inflight)) {
		if (!lm_is_exc(inflight) || !ev->soft_rip || ev->soft_rip != lm_rip(vcpu))
			return;
		/* No instruction raised it: user space did, for this entry. */
		lm_set_rip(vcpu, ev->soft_rip - 1);
	}
	lm_put_back(vcpu, inflight & (GENMASK_ULL(63, 32) | LM_EV_VALID | LM_EV_ERROR |
				      LM_EV_TYPE | LM_EV_VECTOR), len);
}

/**
 * lm_events_cancel - prepared, but the vCPU does not enter
 * @vcpu: in its section or right after it
 */
void lm_events_cancel(struct lm_vcpu *vcpu)
{
	u64 event = vcpu->inject;
	u8 vector = event & LM_EV_VECTOR;

	if (likely(!event))
		return;
	vcpu->inject = 0;
	if (lm_is_exc(event) && (vector == X86_TRAP_BP || vector == X86_TRAP_OF))
		lm_set_rip(vcpu, lm_rip(vcpu) - 1);
	lm_put_back(vcpu, event, vcpu->inject_len);
}

/**
 * lm_events_user_window - does user space wait until it can inject an interrupt?
 * @vcpu: the vCPU, by its own thread
 */
bool lm_events_user_window(struct lm_vcpu *vcpu)
{
	return lm_irq_user_pic(vcpu) && READ_ONCE(vcpu->run->request_interrupt_window);
}

/**
 * lm_events_irq_ready - would an interrupt of user space be delivered at once?
 * @vcpu: the vCPU, by its own thread
 */
bool lm_events_irq_ready(struct lm_vcpu *vcpu)
{
	const struct lm_events *ev = &vcpu->ev;

	return lm_irq_user_pic(vcpu) && ev->user_irq < 0 && !ev->exc && !ev->inflight && !vcpu->inject &&
	       lm_irq_allowed(vcpu);
}

/**
 * lm_events_runnable - has a halted vCPU a reason to run?
 * @vcpu: the vCPU, by its own thread
 *
 * An interrupt counts only while RFLAGS.IF lets it in.
 */
bool lm_events_runnable(struct lm_vcpu *vcpu)
{
	struct lm_events *ev = &vcpu->ev;

	if (READ_ONCE(vcpu->requests) & BIT(LM_REQ_TRIPLE_FAULT))
		return true;
	if (ev->exc || ev->inflight)
		return true;
	if (atomic_read(&ev->nmi_pending) && !ev->nmi_masked)
		return true;
	if (vcpu->lapic && lm_lapic_init_sipi_pending(vcpu))
		return true;
	return lm_irq_pending(vcpu) >= 0 && (lm_rflags(vcpu) & X86_EFLAGS_IF);
}

void lm_events_reset(struct lm_vcpu *vcpu)
{
	struct lm_events *ev = &vcpu->ev;

	ev->exc = 0;
	ev->exc_payload = 0;
	ev->inflight = 0;
	ev->inflight_len = 0;
	atomic_set(&ev->nmi_pending, 0);
	ev->nmi_masked = false;
	ev->user_irq = -1;
	vcpu->inject = 0;
	vcpu->want_irq_window = false;
	vcpu->want_nmi_window = false;
	clear_bit(LM_REQ_TRIPLE_FAULT, &vcpu->requests);
	lm_request(vcpu, LM_REQ_EVENT);
}

/* ---- KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS ---- */

/* The two have the same numbers the other way round. */
static u8 lm_shadow_swap(u32 shadow)
{
	BUILD_BUG_ON(KVM_X86_SHADOW_INT_MOV_SS != 1 || KVM_X86_SHADOW_INT_STI != 2);
	BUILD_BUG_ON(LM_SHADOW_STI != 1 || LM_SHADOW_MOVSS != 2);
	return shadow == 1 ? 2 : shadow == 2 ? 1 : 0;
}

/**
 * lm_vcpu_events_get - KVM_GET_VCPU_EVENTS
 * @vcpu: not in its section
 * @e: result
 */
int lm_vcpu_events_get(struct lm_vcpu *vcpu, struct kvm_vcpu_events *e)
{
	struct lm_events *ev = &vcpu->ev;
	u64 exc = ev->exc ? ev->exc : lm_is_exc(ev->inflight) ? ev->inflight : 0;
	const struct lm_vm_x86 *vx = &vcpu->vm->x86;
	u64 type = ev->inflight & LM_EV_TYPE;
	bool valid = ev->inflight & LM_EV_VALID;
	bool payload = READ_ONCE(vx->exception_payload);
	u8 vector = exc & LM_EV_VECTOR;

	memset(e, 0, sizeof(*e));
	/*
	 * Without KVM_CAP_EXCEPTION_PAYLOAD an exception that waits is reported as
	 * injected, and its payload is in its register then.
	 */
	if (ev->exc && !payload) {
		lm_deliver_payload(vcpu);
		ev->exc_payload = lm_delivered_payload(vcpu, vector);
	} else if (ev->exc) {
		e->exception_has_payload = vector == X86_TRAP_PF || vector == X86_TRAP_DB;
		e->exception_payload = ev->exc_payload;
	}
	if (exc) {
		e->exception.pending = ev->exc && payload;
		e->exception.injected = !e->exception.pending;
		e->exception.nr = vector;
		e->exception.has_error_code = !!(exc & LM_EV_ERROR);
		e->exception.error_code = exc >> 32;
	}
	if (valid && type == LM_EV_INTR) {
		e->interrupt.injected = 1;
		e->interrupt.nr = ev->inflight & LM_EV_VECTOR;
	} else if (!vcpu->lapic && ev->user_irq >= 0) {
		e->interrupt.injected = 1;
		e->interrupt.nr = ev->user_irq;
	}
	lm_need_state(vcpu, LM_S_SHADOW);
	e->interrupt.shadow = lm_shadow_swap(vcpu->st.shadow);
	e->nmi.injected = valid && type == LM_EV_NMI;
	e->nmi.pending = atomic_read(&ev->nmi_pending);
	e->nmi.masked = ev->nmi_masked;
	e->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (payload)
		e->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (READ_ONCE(vx->triple_fault_event)) {
		e->triple_fault.pending = test_bit(LM_REQ_TRIPLE_FAULT, &vcpu->requests);
		e->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
	return 0;
}

/* Does an exception wait, with a payload perhaps?  Else it may be injected. */
static bool lm_events_pending(const struct kvm_vcpu_events *e)
{
	return (e->flags & KVM_VCPUEVENT_VALID_PAYLOAD) && e->exception.pending;
}

static int lm_vcpu_events_check(struct lm_vcpu *vcpu, const struct kvm_vcpu_events *e)
{
	const struct lm_vm_x86 *vx = &vcpu->vm->x86;
	u32 known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
		    KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;

	if (READ_ONCE(vx->exception_payload))
		known |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (READ_ONCE(vx->triple_fault_event))
		known |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	if (e->flags & ~known)
		return -EINVAL;
	if ((e->exception.injected || lm_events_pending(e)) &&
	    (e->exception.nr > 31 || e->exception.nr == X86_TRAP_NMI))
		return -EINVAL;
	if ((e->flags & KVM_VCPUEVENT_VALID_SHADOW) &&
	    (e->interrupt.shadow & ~(KVM_X86_SHADOW_INT_MOV_SS | KVM_X86_SHADOW_INT_STI)))
		return -EINVAL;
	/* there is no system management mode */
	if ((e->flags & KVM_VCPUEVENT_VALID_SMM) &&
	    (e->smi.smm || e->smi.pending || e->smi.smm_inside_nmi))
		return -EINVAL;
	return 0;
}

/**
 * lm_vcpu_events_set - KVM_SET_VCPU_EVENTS
 * @vcpu: not in its section
 * @e: the user's values
 */
int lm_vcpu_events_set(struct lm_vcpu *vcpu, const struct kvm_vcpu_events *e)
{
	struct lm_events *ev = &vcpu->ev;
	int r = lm_vcpu_events_check(vcpu, e);

	if (r)
		return r;
	ev->exc = 0;
	ev->exc_payload = 0;
	ev->inflight = 0;
	ev->inflight_len = 0;
	if (e->exception.injected || lm_events_pending(e)) {
		bool has_error = e->exception.has_error_code &&
				 (BIT(e->exception.nr) & LM_HAS_ERROR);

		ev->exc = lm_event_exc(e->exception.nr, has_error, e->exception.error_code);
		ev->exc_payload = lm_events_pending(e) && e->exception_has_payload ?
				  e->exception_payload :
				  lm_delivered_payload(vcpu, e->exception.nr);
	}
	if (e->nmi.injected)
		ev->inflight = LM_EV_VALID | LM_EV_NMI | X86_TRAP_NMI;
	else if (e->interrupt.injected && !e->interrupt.soft && vcpu->lapic)
		ev->inflight = LM_EV_VALID | LM_EV_INTR | e->interrupt.nr;
	if (!vcpu->lapic)
		ev->user_irq = e->interrupt.injected && !e->interrupt.soft ? e->interrupt.nr : -1;
	if (e->flags & KVM_VCPUEVENT_VALID_SHADOW) {
		u8 shadow = e->interrupt.shadow;

		/* one field holds one of them: MOV SS blocks more */
		if (shadow & KVM_X86_SHADOW_INT_MOV_SS)
			shadow = KVM_X86_SHADOW_INT_MOV_SS;
		vcpu->st.shadow = lm_shadow_swap(shadow);
		lm_mark_state(vcpu, LM_S_SHADOW);
	}
	if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		atomic_set(&ev->nmi_pending, min_t(u8, e->nmi.pending, 2));
	ev->nmi_masked = e->nmi.masked;
	if (e->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) {
		if (e->triple_fault.pending)
			lm_request(vcpu, LM_REQ_TRIPLE_FAULT);
		else
			clear_bit(LM_REQ_TRIPLE_FAULT, &vcpu->requests);
	}
	lm_request(vcpu, LM_REQ_EVENT);
	return 0;
}
