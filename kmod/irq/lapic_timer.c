// SPDX-License-Identifier: GPL-2.0-only
/*
 * The LAPIC's timer on an hrtimer: one-shot, periodic, TSC deadline.  A deadline is
 * the CPU's business while the vCPU runs, where the CPU can leave the guest at a TSC
 * (lm_vcpu.exit_tsc), and an hrtimer's once it halts.  In between, preempted or in
 * user space, nobody waits for it: the next entry exits at once.
 *
 * The timer counts at 1 GHz, so an initial count times the divider is a number of
 * nanoseconds.  The callback runs in hard interrupt context, sets IRR and wakes or
 * kicks the vCPU itself.  All else runs in the vCPU's thread, which cancels before it
 * changes what the callback reads.
 *
 * SDM vol. 3, 11.5.4.
 */
#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "chips.h"

/* Longest deadline that is converted, so that the product fits: months. */
#define LM_DEADLINE_MAX	BIT_ULL(55)

static bool lm_timer_periodic(const struct lm_lapic *l)
{
	return (lm_reg(l, APIC_LVTT) & GENMASK(18, 17)) == APIC_LVT_TIMER_PERIODIC;
}

static u32 lm_timer_divide(const struct lm_lapic *l)
{
	u32 tdcr = lm_reg(l, APIC_TDCR);

	return 1u << ((((tdcr & 3) | (tdcr & 8) >> 1) + 1) & 7);
}

static u64 lm_timer_period(const struct lm_lapic *l, u32 count)
{
	u64 ns = (u64)count * lm_timer_divide(l);

	if (lm_timer_periodic(l) && ns < LM_TIMER_MIN_NS)
		ns = LM_TIMER_MIN_NS;
	return ns;
}

static void lm_timer_fire(struct lm_lapic *l)
{
	u32 lvtt = lm_reg(l, APIC_LVTT);

	if (lm_timer_deadline_mode(l))
		WRITE_ONCE(l->timer.deadline, 0);
	if (!(lvtt & APIC_LVT_MASKED))
		lm_lapic_post(l, lvtt & APIC_VECTOR_MASK, false);
}

static enum hrtimer_restart lm_timer_expired(struct hrtimer *hrt)
{
	struct lm_lapic *l = container_of(hrt, struct lm_lapic, timer.hrt);

	lm_timer_fire(l);
	if (!lm_timer_periodic(l) || (lm_reg(l, APIC_LVTT) & APIC_LVT_MASKED))
		return HRTIMER_NORESTART;
	hrtimer_forward_now(hrt, ns_to_ktime(l->timer.period));
	WRITE_ONCE(l->timer.target, hrtimer_get_expires(hrt));
	return HRTIMER_RESTART;
}

void lm_timer_init(struct lm_lapic *l)
{
	lm_hrtimer_setup(&l->timer.hrt, lm_timer_expired, HRTIMER_MODE_ABS_PINNED_HARD);
}

void lm_timer_stop(struct lm_lapic *l)
{
	hrtimer_cancel(&l->timer.hrt);
	l->timer.target = 0;
	l->timer.deadline = 0;
	l->vcpu->exit_tsc = 0;
}

/* Nobody would notice a masked periodic timer: it counts without an interrupt. */
static void lm_timer_arm(struct lm_lapic *l)
{
	if (lm_timer_periodic(l) && (lm_reg(l, APIC_LVTT) & APIC_LVT_MASKED))
		return;
	hrtimer_start(&l->timer.hrt, l->timer.target, HRTIMER_MODE_ABS_PINNED_HARD);
}

static void lm_timer_run(struct lm_lapic *l, u32 count, u64 left)
{
	l->timer.period = lm_timer_period(l, count);
	l->timer.target = ktime_add_ns(ktime_get(), left);
	lm_timer_arm(l);
}

/**
 * lm_timer_start() - a write of the initial count
 * @l: the LAPIC, its vCPU's thread
 * @count: the count, 0 stops
 */
void lm_timer_start(struct lm_lapic *l, u32 count)
{
	if (lm_timer_deadline_mode(l))
		return;
	lm_timer_stop(l);
	lm_reg_set(l, APIC_TMICT, count);
	if (count)
		lm_timer_run(l, count, lm_timer_period(l, count));
}

/**
 * lm_timer_restore() - start as it was when its state was saved
 * @l: the LAPIC, its vCPU's thread; LVTT and TDCR are set
 * @count: initial count
 * @left: current count
 */
void lm_timer_restore(struct lm_lapic *l, u32 count, u32 left)
{
	lm_reg_set(l, APIC_TMICT, count);
	lm_reg_set(l, APIC_TMCCT, 0);
	if (lm_timer_deadline_mode(l) || !count)
		return;
	left = min(left, count);
	if (left || lm_timer_periodic(l))
		lm_timer_run(l, count, left ? (u64)left * lm_timer_divide(l) :
					      lm_timer_period(l, count));
}

/* Move a target that has passed to the next period. */
static void lm_timer_catch_up(struct lm_lapic *l)
{
	u64 late = ktime_to_ns(ktime_sub(ktime_get(), l->timer.target));

	if ((s64)late >= 0)
		l->timer.target = ktime_add_ns(l->timer.target,
					       (div64_u64(late, l->timer.period) + 1) *
					       l->timer.period);
}

/**
 * lm_timer_set_lvt() - a write of the timer's LVT entry
 * @l: the LAPIC, its vCPU's thread
 * @lvtt: allowed bits alone
 *
 * Going to or from deadline mode disarms (SDM vol. 3, 11.5.4.1).
 */
void lm_timer_set_lvt(struct lm_lapic *l, u32 lvtt)
{
	u32 old = lm_reg(l, APIC_LVTT);
	bool was_periodic = lm_timer_periodic(l);

	if (!((old ^ lvtt) & (GENMASK(18, 17) | APIC_LVT_MASKED))) {
		lm_reg_set(l, APIC_LVTT, lvtt);
		l->timer.lvtt = lvtt;
		return;
	}
	hrtimer_cancel(&l->timer.hrt);
	lm_reg_set(l, APIC_LVTT, lvtt);
	l->timer.lvtt = lvtt;
	if ((old ^ lvtt) & APIC_LVT_TIMER_TSCDEADLINE) {
		lm_timer_stop(l);
		lm_reg_set(l, APIC_TMICT, 0);
		return;
	}
	if (lm_timer_deadline_mode(l)) {
		lm_timer_set_deadline(l, l->timer.deadline);
		return;
	}
	if (!l->timer.target)
		return;
	if (was_periodic) {
		lm_timer_catch_up(l);
	} else if (!ktime_after(l->timer.target, ktime_get())) {
		l->timer.target = 0;	/* one shot, fired: it stands at 0 */
		return;
	}
	l->timer.period = lm_timer_period(l, lm_reg(l, APIC_TMICT));
	lm_timer_arm(l);
}

/**
 * lm_timer_set_divide() - a write of the divide configuration
 * @l: the LAPIC, its vCPU's thread
 * @tdcr: allowed bits alone
 *
 * A running count goes on from where it is, at the new rate.
 */
void lm_timer_set_divide(struct lm_lapic *l, u32 tdcr)
{
	u32 left;

	if (tdcr == lm_reg(l, APIC_TDCR))
		return;
	left = lm_timer_count(l);
	hrtimer_cancel(&l->timer.hrt);
	lm_reg_set(l, APIC_TDCR, tdcr);
	l->timer.tdcr = tdcr;
	if (left)
		lm_timer_run(l, lm_reg(l, APIC_TMICT), (u64)left * lm_timer_divide(l));
}

static void lm_timer_wait(struct lm_lapic *l, u64 cycles)
{
	hrtimer_start(&l->timer.hrt, ktime_add_ns(ktime_get(), lm_guest_tsc_to_ns(l->vcpu, cycles)),
		      HRTIMER_MODE_ABS_PINNED_HARD);
}

/**
 * lm_timer_set_deadline() - a write of TSC_DEADLINE
 * @l: the LAPIC, its vCPU's thread
 * @tsc: when to fire, in the guest's TSC; 0 disarms
 *
 * Ignored in other modes (SDM vol. 3, 11.5.4.1).
 */
void lm_timer_set_deadline(struct lm_lapic *l, u64 tsc)
{
	struct lm_vcpu *vcpu = l->vcpu;
	u64 host, now, left;

	if (!lm_timer_deadline_mode(l))
		return;
	hrtimer_cancel(&l->timer.hrt);
	vcpu->exit_tsc = 0;
	l->timer.deadline = tsc;
	if (!tsc)
		return;
	host = rdtsc_ordered();
	now = lm_tsc_to_guest(vcpu, host);
	if (tsc <= now) {
		lm_timer_fire(l);
		return;
	}
	left = min(tsc - now, LM_DEADLINE_MAX);
	if (lm_caps.tsc_exit && !vcpu->x86.tsc_ratio && !check_tsc_unstable())
		vcpu->exit_tsc = host + left;
	else
		lm_timer_wait(l, left);
}

/**
 * lm_lapic_timer_exit() - the CPU left the guest for lm_vcpu.exit_tsc, or shortly before
 * @vcpu: the vCPU, in its section
 */
void lm_lapic_timer_exit(struct lm_vcpu *vcpu)
{
	if (!vcpu->exit_tsc || rdtsc_ordered() < vcpu->exit_tsc)
		return;
	vcpu->exit_tsc = 0;
	lm_timer_fire(vcpu->lapic);
}

/**
 * lm_lapic_timer_halt() - the vCPU halts: its deadline must wake it
 * @vcpu: the vCPU, its own thread, outside the section
 */
void lm_lapic_timer_halt(struct lm_vcpu *vcpu)
{
	u64 at = vcpu->exit_tsc, now;

	if (likely(!at))
		return;
	now = rdtsc_ordered();
	vcpu->exit_tsc = 0;
	if (at > now)
		lm_timer_wait(vcpu->lapic, at - now);
	else
		lm_timer_fire(vcpu->lapic);
}

/**
 * lm_lapic_timer_tsc_changed() - the guest's TSC jumped or changed its rate
 * @vcpu: the vCPU, its own thread
 */
void lm_lapic_timer_tsc_changed(struct lm_vcpu *vcpu)
{
	if (vcpu->lapic && lm_timer_deadline_mode(vcpu->lapic))
		lm_timer_set_deadline(vcpu->lapic, vcpu->lapic->timer.deadline);
}

/* The current count; 0 if the timer does not run. */
u32 lm_timer_count(struct lm_lapic *l)
{
	u32 count = lm_reg(l, APIC_TMICT);
	ktime_t target = READ_ONCE(l->timer.target);
	s64 left;

	if (!count || !target || lm_timer_deadline_mode(l))
		return 0;
	left = ktime_to_ns(ktime_sub(target, ktime_get()));
	if (left <= 0) {
		if (!lm_timer_periodic(l))
			return 0;
		left = l->timer.period - (u64)-left % l->timer.period;
	}
	return min_t(u64, left / lm_timer_divide(l), count);
}

/**
 * lm_timer_left() - the current count to save, for lm_timer_restore()
 * @l: the LAPIC, its vCPU's mutex held
 *
 * Return: as lm_timer_count(), but never 0 while the interrupt is still to come: a timer that
 * is restored with 0 left has had it, and a guest that waits for it would wait for ever.
 */
u32 lm_timer_left(struct lm_lapic *l)
{
	u32 count = lm_timer_count(l);

	if (count || lm_timer_deadline_mode(l))
		return count;
	return hrtimer_active(&l->timer.hrt);
}

/**
 * lm_lapic_timer_migrate() - the vCPU runs on another CPU now
 * @vcpu: the vCPU, in its section
 *
 * The timer follows, so that its interrupt is at once the kick.
 */
void lm_lapic_timer_migrate(struct lm_vcpu *vcpu)
{
	struct lm_lapic *l = vcpu->lapic;

	if (l && hrtimer_cancel(&l->timer.hrt))
		hrtimer_start_expires(&l->timer.hrt, HRTIMER_MODE_ABS_PINNED_HARD);
}
