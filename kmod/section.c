// SPDX-License-Identifier: GPL-2.0-only
/*
 * The loaded section: what belongs to the guest while it runs, and what the
 * host must find again afterwards.  Each _enter has its _leave; nothing between
 * them sleeps.  Interrupts are off but in the vendor's window().
 */
#include <linux/hw_breakpoint.h>
#include <linux/kdebug.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/vtime.h>
#include <asm/debugreg.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "lamina.h"
#include "backend.h"
#include "compat.h"
#include "mitigate.h"
#include "section.h"

DEFINE_STATIC_KEY_FALSE(lm_count_guest);

/* ---- debug registers: DR7 and DR6 are the vendor's, DR0-3 are switched here ---- */

static void lm_dr_load(const struct lm_vcpu *vcpu)
{
	const u64 *dr = lm_debug_hw_bp(vcpu) ? vcpu->dbg.dr : vcpu->st.dr;

	set_debugreg(dr[0], 0);
	set_debugreg(dr[1], 1);
	set_debugreg(dr[2], 2);
	set_debugreg(dr[3], 3);
}

/*
 * The host's breakpoints, if it has any, are kept by perf per CPU; read them
 * from the CPU since that bookkeeping is not for modules.
 */
static noinline void lm_dr_switch_in(struct lm_vcpu *vcpu)
{
	struct lm_host_dr *host = this_cpu_ptr(&lm_host_dr);

	host->active = hw_breakpoint_active();
	if (host->active) {
		get_debugreg(host->dr[0], 0);
		get_debugreg(host->dr[1], 1);
		get_debugreg(host->dr[2], 2);
		get_debugreg(host->dr[3], 3);
		get_debugreg(host->dr7, 7);
		set_debugreg(0, 7);
	}
	if (vcpu->dr_loaded)
		lm_dr_load(vcpu);
}

static noinline void lm_dr_switch_out(struct lm_vcpu *vcpu)
{
	struct lm_host_dr *host = this_cpu_ptr(&lm_host_dr);

	/* Those of user space stay until it takes them back. */
	if (vcpu->dr_loaded && !lm_debug_hw_bp(vcpu)) {
		get_debugreg(vcpu->st.dr[0], 0);
		get_debugreg(vcpu->st.dr[1], 1);
		get_debugreg(vcpu->st.dr[2], 2);
		get_debugreg(vcpu->st.dr[3], 3);
		/* With no breakpoint enabled the next section can do without. */
		if (!(lm_dr7(vcpu) & LM_DR7_ENABLED)) {
			vcpu->dr_loaded = false;
			lm_backend_update(vcpu);
		}
	}
	if (host->active) {
		host->active = false;
		set_debugreg(host->dr[0], 0);
		set_debugreg(host->dr[1], 1);
		set_debugreg(host->dr[2], 2);
		set_debugreg(host->dr[3], 3);
		set_debugreg(host->dr7, 7);
	}
}

static __always_inline void lm_dr_enter(struct lm_vcpu *vcpu)
{
	if (unlikely(vcpu->dr_loaded || hw_breakpoint_active()))
		lm_dr_switch_in(vcpu);
}

static __always_inline void lm_dr_leave(struct lm_vcpu *vcpu)
{
	if (unlikely(vcpu->dr_loaded || this_cpu_read(lm_host_dr.active)))
		lm_dr_switch_out(vcpu);
}

/**
 * lm_dr_use - the guest touched a debug register: give it the real ones
 * @vcpu: in its section
 */
void lm_dr_use(struct lm_vcpu *vcpu)
{
	lm_dr_load(vcpu);
	vcpu->dr_loaded = true;
	lm_backend_update(vcpu);
}

/* ---- TSC_AUX: read by RDTSCP and RDPID, in user space of the host too ---- */

static void lm_tsc_aux_enter(struct lm_vcpu *vcpu)
{
	if (vcpu->x86.has_rdtscp && vcpu->x86.tsc_aux != this_cpu_read(lm_host_tsc_aux))
		wrmsrl(MSR_TSC_AUX, vcpu->x86.tsc_aux);
}

static void lm_tsc_aux_leave(struct lm_vcpu *vcpu)
{
	if (vcpu->x86.has_rdtscp && vcpu->x86.tsc_aux != this_cpu_read(lm_host_tsc_aux))
		wrmsrl(MSR_TSC_AUX, this_cpu_read(lm_host_tsc_aux));
}

/**
 * lm_tsc_aux_set - the guest wrote TSC_AUX inside its section
 * @vcpu: the vCPU
 * @val: the new value
 */
void lm_tsc_aux_set(struct lm_vcpu *vcpu, u64 val)
{
	vcpu->x86.tsc_aux = val;
	if (READ_ONCE(vcpu->cpu) >= 0 && vcpu->x86.has_rdtscp)
		wrmsrl(MSR_TSC_AUX, val);
}

/* Another CPU than the last; perhaps yet another one after this. */
static noinline void lm_section_move(struct lm_vcpu *vcpu)
{
	if (lm_backend->leave_cpu) {
		local_irq_enable();
		lm_backend->leave_cpu(vcpu);
		local_irq_disable();
	}
	if (vcpu->lapic)
		lm_lapic_timer_migrate(vcpu);
}

/**
 * lm_section_enter - load the guest into this CPU
 * @vcpu: the vCPU, its mutex held
 *
 * Return: 0 with interrupts off; -EIO, nothing changed, if virtualisation is
 * off on this CPU since the machine goes down
 */
int lm_section_enter(struct lm_vcpu *vcpu)
{
	int cpu;

	local_irq_disable();
	if (unlikely(vcpu->last_cpu != raw_smp_processor_id()))
		lm_section_move(vcpu);
	if (unlikely(!this_cpu_read(lm_cpu_is_on))) {
		local_irq_enable();
		return -EIO;
	}
	preempt_disable();	/* in the window, too */
	this_cpu_write(lm_current, vcpu);
	lm_fpu_enter(vcpu);
	cpu = smp_processor_id();
	lm_mitigate_enter(vcpu);
	lm_dr_enter(vcpu);
	lm_tsc_aux_enter(vcpu);
	if (unlikely(vcpu->x86.left_ns))
		lm_tsc_follow(vcpu);
	lm_backend_load(vcpu);
	vcpu->last_cpu = cpu;
	vtime_account_guest_enter();
	/*
	 * Who wants us out sets its request, or counts its flush, before it
	 * reads cpu; we publish cpu before we look at those.
	 */
	smp_store_mb(vcpu->cpu, cpu);
	return 0;
}

static __always_inline void lm_section_unload(struct lm_vcpu *vcpu)
{
	vtime_account_guest_exit();
	lm_backend_unload(vcpu);
	/* All reads and writes of guest memory come before others may see us gone. */
	smp_store_release(&vcpu->cpu, -1);
	lm_mitigate_leave();
	if (unlikely(check_tsc_unstable()))
		lm_tsc_note(vcpu);
	lm_tsc_aux_leave(vcpu);
	lm_dr_leave(vcpu);
	lm_fpu_leave(vcpu);
	this_cpu_write(lm_current, NULL);
	preempt_enable();
}

/**
 * lm_section_leave - give the CPU back to the host
 * @vcpu: the vCPU
 *
 * Returns with interrupts on.
 */
void lm_section_leave(struct lm_vcpu *vcpu)
{
	lm_section_unload(vcpu);
	local_irq_enable();
}

/*
 * A handler oopsed: the kernel ends its thread, and the CPU goes on without
 * interrupts and with the guest's registers if nobody gives it back.  The vCPU's
 * mutex stays locked.
 */
static int lm_section_die(struct notifier_block *nb, unsigned long val, void *data)
{
	struct lm_vcpu *vcpu = this_cpu_read(lm_current);

	if (val == DIE_OOPS && vcpu && READ_ONCE(vcpu->cpu) >= 0)
		lm_section_unload(vcpu);
	return NOTIFY_DONE;
}

struct notifier_block lm_section_die_nb = {
	.notifier_call = lm_section_die,
};

/**
 * lm_section_window - let the host take what interrupted the guest
 * @vcpu: the vCPU, in its section
 */
void lm_section_window(struct lm_vcpu *vcpu)
{
	vcpu->nr_events = 0;
	/* The host may change its breakpoints meanwhile, and they watch what runs then. */
	lm_dr_leave(vcpu);
	/* Nor need the host's softirqs do without the FPU. */
	lm_fpu_leave(vcpu);
	lm_backend_window(vcpu);
	lm_fpu_enter(vcpu);
	lm_dr_enter(vcpu);
	/* Between two exits no RCU reader of ours is left: a quiescent state. */
	if (!context_tracking_enabled_this_cpu())
		lm_rcu_note_guest();
}
