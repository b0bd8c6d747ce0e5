// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_RUN: the loop from entry to exit, what is served between sections, and
 * the sleep of a halted vCPU.
 *
 *   lm_vcpu_run            until user space is wanted
 *     lm_outside           may sleep: signals, work of the task, INIT/SIPI, halt
 *     lm_inside            the section: requests, enter, handle, again
 *     lm_bells_serve       may sleep: devices whose doorbell was rung in there
 *     lm_mem_need          may sleep: fault in what a handler asked for
 */
#include <linux/kvm_para.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/smp.h>
#include <asm/cpu.h>

#include "lamina.h"
#include "backend.h"
#include "compat.h"
#include "irq/chips.h"
#include "section.h"
#define CREATE_TRACE_POINTS
#include "monitor/trace.h"

static unsigned int halt_poll_ns = 200000;
module_param(halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns, "longest poll of a halted vCPU before it sleeps, in ns; 0: never");

#define LM_HALT_POLL_START_NS	10000

/*
 * The host's pending interrupt ends the guest's run at the first boundary between
 * instructions.  A guest can keep away from any: by an event whose delivery exits each
 * time (#AC on the stack of #AC's handler), or by interrupt windows, whose exits
 * go before external interrupts (SDM vol. 3, 26.2).  So after that many
 * entries in a row that deliver something the host has its turn in any case.
 */
#define LM_EVENTS_PER_WINDOW	64

void lm_state_get(struct lm_vcpu *vcpu, u32 groups)
{
	static_call(lm_op_get)(vcpu, groups);
}

/**
 * lm_wake - wake a halted vCPU
 * @vcpu: the vCPU
 *
 * Context: any.
 */
void lm_wake(struct lm_vcpu *vcpu)
{
	rcuwait_wake_up(&vcpu->wait);
}

/**
 * lm_kick - make a vCPU look at its requests
 * @vcpu: the vCPU; the request was set with lm_request() before
 *
 * Context: any.
 */
void lm_kick(struct lm_vcpu *vcpu)
{
	int cpu = READ_ONCE(vcpu->cpu);
	int me;

	if (cpu < 0) {
		lm_wake(vcpu);
		return;
	}
	me = get_cpu();
	/* On our own CPU this is a handler or a window of that very section: it looks before it enters. */
	if (cpu != me && cpu_online(cpu)) {
		vcpu->stat.kicks++;
		lm_send_reschedule(cpu);
	}
	put_cpu();
}

/* ---- halt ---- */

/* Has a vCPU that does not run a reason to? */
static bool lm_runnable(struct lm_vcpu *vcpu)
{
	if (vcpu->lapic && lm_lapic_init_sipi_pending(vcpu))
		return true;
	if (vcpu->mp_state != KVM_MP_STATE_HALTED)
		return false;
	return READ_ONCE(vcpu->pv_unhalted) || lm_events_runnable(vcpu);
}

static bool lm_halt_poll(struct lm_vcpu *vcpu)
{
	u64 end;

	/* A guest that polls by itself has asked for none. */
	if (!vcpu->halt_poll_ns || !(vcpu->x86.pv_poll & 1))
		return false;
	end = ktime_get_ns() + vcpu->halt_poll_ns;
	do {
		if (lm_runnable(vcpu)) {
			vcpu->stat.halt_polled++;
			return true;
		}
		cpu_relax();
		/* Who would wake us may be waiting for this very CPU. */
	} while (single_task_running() && !need_resched() && !signal_pending(current) &&
		 ktime_get_ns() < end);
	return false;
}

/* A wake-up that came soon after the poll ended pays for a longer one; a long sleep for none. */
static void lm_halt_adapt(struct lm_vcpu *vcpu, u64 slept_ns)
{
	unsigned int max = READ_ONCE(halt_poll_ns);

	if (slept_ns > max)
		vcpu->halt_poll_ns = 0;
	else if (!vcpu->halt_poll_ns)
		vcpu->halt_poll_ns = min_t(u64, LM_HALT_POLL_START_NS, max);
	else
		vcpu->halt_poll_ns = min_t(u64, vcpu->halt_poll_ns * 2, max);
}

static void lm_halt(struct lm_vcpu *vcpu)
{
	u64 start;

	vcpu->stat.halts++;
	lm_lapic_timer_halt(vcpu);
	if (lm_runnable(vcpu) || lm_halt_poll(vcpu))
		return;
	start = ktime_get_ns();
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (lm_runnable(vcpu) || signal_pending(current))
			break;
		schedule();
	}
	finish_rcuwait(&vcpu->wait);
	lm_halt_adapt(vcpu, ktime_get_ns() - start);
}

/* ---- outside the section ---- */

/* INIT and SIPI that arrived; the vCPU's mutex held, outside the section. */
void lm_vcpu_take_init_sipi(struct lm_vcpu *vcpu)
{
	struct lm_seg *cs = &vcpu->st.seg[LM_CS];
	u8 vector;

	clear_bit(LM_REQ_LAPIC, &vcpu->requests);
	/* What arrives after this look sets the request again. */
	smp_mb__after_atomic();
	if (lm_lapic_take_init(vcpu)) {
		lm_x86_reset(vcpu, true);
		lm_lapic_reset(vcpu, true);
		WRITE_ONCE(vcpu->mp_state, vcpu->id == vcpu->vm->bsp_id ?
			   KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED);
	}
	/* One that nobody waits for is dropped (SDM vol. 3, 10.4.4.1). */
	if (!lm_lapic_take_sipi(vcpu, &vector) || vcpu->mp_state != KVM_MP_STATE_INIT_RECEIVED)
		return;
	lm_need_state(vcpu, LM_S_CS);
	cs->sel = vector << 8;
	cs->base = vector << 12;
	lm_mark_state(vcpu, LM_S_CS);
	lm_set_rip(vcpu, 0);
	WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_RUNNABLE);
}

/* The guest waits for another of its vCPUs, whose thread waits for a CPU perhaps. */
static noinline void lm_yield(struct lm_vcpu *vcpu)
{
	struct lm_vcpu *to = vcpu->yield_to;
	struct task_struct *task;

	vcpu->yield_to = NULL;
	spin_lock(&to->task_lock);
	task = to->task;
	if (task)
		get_task_struct(task);
	spin_unlock(&to->task_lock);
	if (!task)
		return;
	yield_to(task, true);
	put_task_struct(task);
}

/* 0: go on; negative: KVM_RUN returns it. */
static int lm_outside(struct lm_vcpu *vcpu)
{
	int r;

	/* Off for this task from now on; a host that allows none has sent it SIGBUS. */
	if (unlikely(vcpu->split_lock)) {
		vcpu->split_lock = false;
		lm_host_split_lock(lm_rip(vcpu));
	}
	if (unlikely(vcpu->yield_to))
		lm_yield(vcpu);
	for (;;) {
		if (signal_pending(current))
			return -EINTR;
		if (lm_task_work_pending()) {
			r = lm_task_work();
			if (r)
				return r;
		}
		if (test_bit(LM_REQ_LAPIC, &vcpu->requests))
			lm_vcpu_take_init_sipi(vcpu);
		if (vcpu->mp_state == KVM_MP_STATE_RUNNABLE)
			return 0;
		/* It halted with the flag's page away, which is there now: look at it first. */
		if (vcpu->mp_state == KVM_MP_STATE_HALTED && vcpu->x86.pv_eoi_pending)
			return 0;
		lm_halt(vcpu);
		if (vcpu->mp_state == KVM_MP_STATE_HALTED && lm_runnable(vcpu)) {
			WRITE_ONCE(vcpu->pv_unhalted, false);
			WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_RUNNABLE);
			set_bit(LM_REQ_EVENT, &vcpu->requests);
		}
	}
}

/* ---- inside the section ---- */

/* Requests that the section can serve itself. */
static int lm_serve(struct lm_vcpu *vcpu)
{
	int r;

	if (test_bit(LM_REQ_STOP, &vcpu->requests))
		return -EIO;
	if (unlikely(test_bit(LM_REQ_RING, &vcpu->requests))) {
		if (lm_dirty_ring_full(vcpu)) {
			vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
			return LM_USER;
		}
		clear_bit(LM_REQ_RING, &vcpu->requests);
	}
	if (test_bit(LM_REQ_TRIPLE_FAULT, &vcpu->requests)) {
		clear_bit(LM_REQ_TRIPLE_FAULT, &vcpu->requests);
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return LM_USER;
	}
	if (test_and_clear_bit(LM_REQ_IOAPIC_EOI, &vcpu->requests)) {
		vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
		vcpu->run->eoi.vector = vcpu->ioapic_eoi;
		return LM_USER;
	}
	if (vcpu->requests & (BIT(LM_REQ_LAPIC) | BIT(LM_REQ_BELL)))
		return LM_AGAIN;
	if (test_and_clear_bit(LM_REQ_CLOCK, &vcpu->requests)) {
		r = lm_pvclock_update(vcpu);
		if (r) {
			set_bit(LM_REQ_CLOCK, &vcpu->requests);
			return r;
		}
	}
	if (test_and_clear_bit(LM_REQ_STEAL, &vcpu->requests)) {
		r = lm_steal_update(vcpu);
		if (r) {
			set_bit(LM_REQ_STEAL, &vcpu->requests);
			return r;
		}
	}
	if (test_bit(LM_REQ_PDPTRS, &vcpu->requests)) {
		r = lm_pdptrs_load(vcpu);
		if (r)
			return r;
		clear_bit(LM_REQ_PDPTRS, &vcpu->requests);
	}
	if (test_and_clear_bit(LM_REQ_FILTER, &vcpu->requests))
		lm_backend_update(vcpu);
	if (unlikely(test_bit(LM_REQ_VAPIC, &vcpu->requests))) {
		r = lm_vapic_sync(vcpu);
		if (r)
			return r;
	}
	if (!test_bit(LM_REQ_EVENT, &vcpu->requests))
		return LM_DONE;
	if (unlikely(++vcpu->nr_events > LM_EVENTS_PER_WINDOW)) {
		lm_section_window(vcpu);
		if (lm_task_work_pending())
			return LM_AGAIN;
	}
	/* Last, and the entry follows: what it chose to inject has left the controllers. */
	return lm_events_prepare(vcpu);
}

static __always_inline void lm_enter(struct lm_vcpu *vcpu)
{
	trace_lm_entry(vcpu);
	lm_backend_enter(vcpu);
	trace_lm_exit(vcpu);
	vcpu->stat.by_kind[vcpu->exit.kind]++;
}

/* The same for a vCPU that user space debugs. */
static noinline int lm_enter_debugged(struct lm_vcpu *vcpu)
{
	int r = lm_debug_prepare(vcpu);

	if (r)
		return r;
	lm_enter(vcpu);
	lm_debug_left(vcpu);
	r = lm_debug_handle(vcpu);
	if (r == LM_NEED)
		vcpu->retry = true;
	return r;
}

static int lm_enter_once(struct lm_vcpu *vcpu)
{
	int r;

	if (unlikely(lm_task_work_pending()))
		return LM_AGAIN;
	if (unlikely(READ_ONCE(vcpu->requests))) {
		r = lm_serve(vcpu);
		if (r)
			return r;
	}
	if (unlikely(vcpu->dbg.control))
		return lm_enter_debugged(vcpu);
	lm_enter(vcpu);
	r = lm_handle_exit(vcpu);
	if (unlikely(r != LM_DONE) && r == LM_NEED)
		vcpu->retry = true;
	return r;
}

/* Did this thread wait for a CPU since the guest was told last, or are others told that it does? */
static bool lm_steal_due(struct lm_vcpu *vcpu)
{
	return (vcpu->x86.pv_steal & KVM_MSR_ENABLED) &&
	       (vcpu->x86.pv_preempted || current->sched_info.run_delay != vcpu->x86.steal_last);
}

static bool lm_steal_loses_cpu(struct lm_vcpu *vcpu, int r)
{
	return (vcpu->x86.pv_steal & KVM_MSR_ENABLED) &&
	       (r == LM_HALT || (r == LM_AGAIN && need_resched())) &&
	       !test_bit(LM_REQ_RING, &vcpu->requests);
}

/* Run until something needs the world outside; vcpu->retry: the last exit first. */
static int lm_inside(struct lm_vcpu *vcpu)
{
	int r = lm_section_enter(vcpu);

	if (r)
		return r;
	if (unlikely(lm_steal_due(vcpu)))
		set_bit(LM_REQ_STEAL, &vcpu->requests);
	if (unlikely(vcpu->retry)) {
		vcpu->retry = false;
		r = vcpu->dbg.control ? lm_debug_handle(vcpu) : lm_handle_exit(vcpu);
		if (unlikely(r == LM_NEED))
			vcpu->retry = true;
		/* An answer was brought in with immediate_exit: the guest does not go on. */
		if (r == LM_DONE && lm_immediate_exit(vcpu->run))
			r = -EINTR;
	}
	if (unlikely(vcpu->dbg.stepped) && r == LM_DONE)
		r = lm_debug_report(vcpu);
	if (unlikely(vcpu->mp_state != KVM_MP_STATE_RUNNABLE) && r == LM_DONE)
		r = vcpu->mp_state == KVM_MP_STATE_HALTED ? LM_HALT : LM_AGAIN;
	while (r == LM_DONE)
		r = lm_enter_once(vcpu);
	/* An interrupt that the guest ended by its flag must not keep it asleep. */
	if (unlikely(vcpu->x86.pv_eoi_pending) && r != LM_NEED && lm_pv_eoi_sync(vcpu) == LM_NEED &&
	    r == LM_HALT) {
		WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_HALTED);
		r = LM_NEED;
	}
	/* What cannot be had now is asked for at the next entry. */
	if (unlikely(test_bit(LM_REQ_VAPIC, &vcpu->requests)) && r != LM_NEED &&
	    !test_bit(LM_REQ_RING, &vcpu->requests))
		lm_vapic_sync(vcpu);
	if (unlikely(lm_steal_loses_cpu(vcpu, r)))
		lm_steal_preempted(vcpu);
	lm_section_leave(vcpu);
	return r;
}

static int lm_loop(struct lm_vcpu *vcpu)
{
	int r;

	for (;;) {
		r = lm_inside(vcpu);
		if (unlikely(test_bit(LM_REQ_BELL, &vcpu->requests)))
			lm_bells_serve(vcpu);
		switch (r) {
		case LM_NEED:
			vcpu->stat.need_faults++;
			r = lm_mem_need(vcpu);
			if (r)
				return r;
			break;
		case LM_HALT:
			WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_HALTED);
			break;
		case LM_AGAIN:
			break;
		case LM_USER:
			/* SVM leaves the save area undefined (APM vol. 2, 15.14.3). */
			if (vcpu->run->exit_reason == KVM_EXIT_SHUTDOWN)
				lm_x86_reset(vcpu, true);
			return 0;
		default:
			return r;
		}
		r = lm_outside(vcpu);
		if (r)
			return r;
	}
}

/* What every exit to user space shows. */
static void lm_show_run(struct lm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	bool open = lm_rflags(vcpu) & X86_EFLAGS_IF;

	run->if_flag = open;
	run->cr8 = lm_read_cr8(vcpu);
	run->apic_base = vcpu->x86.apic_base_msr;
	run->flags = 0;
	run->ready_for_interrupt_injection = vcpu->vm->irq.pic || (open && lm_events_irq_ready(vcpu));
}

/* Another thread than the last, or the first. */
static void lm_new_task(struct lm_vcpu *vcpu)
{
	struct task_struct *old = vcpu->task;

	get_task_struct(current);
	spin_lock(&vcpu->task_lock);
	vcpu->task = current;
	spin_unlock(&vcpu->task_lock);
	if (old)
		put_task_struct(old);
	lm_vm_runs(vcpu->vm);
}

/**
 * lm_vcpu_run - KVM_RUN
 * @vcpu: the vCPU, its mutex held; the caller is a thread of the owner
 *
 * Return: 0 with run->exit_reason set, -EINTR (also KVM_EXIT_INTR), or an errno
 */
int lm_vcpu_run(struct lm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	bool immediate;
	int r;

	if (unlikely(READ_ONCE(run->kvm_valid_regs) | READ_ONCE(run->kvm_dirty_regs))) {
		r = lm_sync_check(run);
		if (!r)
			r = lm_sync_in(vcpu);
		if (r)
			return r;
	}
	if (vcpu->io.pending)
		vcpu->retry = lm_io_answered(vcpu);
	if (vcpu->task != current)
		lm_new_task(vcpu);
	if (!vcpu->lapic)
		vcpu->x86.cr8 = READ_ONCE(run->cr8) & 15;
	/* A window may be wanted now, or no longer. */
	if (!vcpu->vm->irq.pic && (READ_ONCE(run->request_interrupt_window) || vcpu->want_irq_window))
		set_bit(LM_REQ_EVENT, &vcpu->requests);
	/* It tells nothing new but what completes the last exit, whose reason stays. */
	immediate = lm_immediate_exit(run);
	if (!immediate)
		run->exit_reason = KVM_EXIT_UNKNOWN;
	if (immediate && !vcpu->retry)
		r = -EINTR;
	else
		r = lm_loop(vcpu);
	/* RIP is still on the instruction: it exits again, unless devices have answered already. */
	if (r && !vcpu->io.nr)
		vcpu->retry = false;
	if (r == -EINTR && !immediate)
		run->exit_reason = KVM_EXIT_INTR;
	vcpu->stat.user_exits++;
	lm_show_run(vcpu);
	if (unlikely(READ_ONCE(run->kvm_valid_regs)))
		lm_sync_out(vcpu);
	return r;
}
