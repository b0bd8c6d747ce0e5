// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's paravirtual clock, wall clock, steal time and end of interrupt: areas in
 * guest memory that the guest reads without an exit.
 *
 * The clock is the raw monotonic clock plus the time slept, plus an offset.  Raw,
 * since the guest runs on from a TSC value at a constant rate.  While the
 * host's TSC is stable and all vCPUs read the same TSC, all pages name one
 * pair (TSC, time), taken once: the clock is then monotonic across vCPUs and the
 * pages say so.  Otherwise each page gets a pair of its own and the guest guards
 * against going backwards.
 */
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <asm/kvm_para.h>
#include <asm/pvclock-abi.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>

#include "../lamina.h"

#define LM_PV_ADDR(msr)		((msr) & ~1ull)

/* A pair of host TSC and host clock. */
static void lm_clock_snap(u64 *tsc, s64 *base)
{
	u64 before = rdtsc_ordered();

	*base = ktime_to_ns(ktime_get_raw()) + ktime_to_ns(ktime_mono_to_any(0, TK_OFFS_BOOT));
	*tsc = before + (rdtsc_ordered() - before) / 2;
}

/* Under clock_lock: the KVM clock at that moment. */
static u64 lm_clock_at(const struct lm_vm_x86 *vx, u64 tsc, s64 base)
{
	if (!vx->ref_valid)
		return base + vx->clock_offset_ns;
	return vx->ref_ns + pvclock_scale_delta(tsc - vx->ref_tsc, vx->host_mul, vx->host_shift);
}

/* Under clock_lock: no common pair any more; go on from what was shown, not from the raw clock. */
static void lm_clock_unref(struct lm_vm_x86 *vx, u64 tsc, s64 base)
{
	if (vx->ref_valid && !check_tsc_unstable())
		vx->clock_offset_ns = lm_clock_at(vx, tsc, base) - base;
	vx->ref_valid = false;
}

/* Under clock_lock: does everybody count from one pair?  Takes it if need be. */
static bool lm_clock_master(struct lm_vm *vm, u64 tsc, s64 base)
{
	struct lm_vm_x86 *vx = &vm->x86;

	if (check_tsc_unstable() || !lm_tsc_matched(vm)) {
		lm_clock_unref(vx, tsc, base);
		return false;
	}
	if (!vx->ref_valid) {
		vx->ref_ns = lm_clock_at(vx, tsc, base);
		vx->ref_tsc = tsc;
		vx->ref_valid = true;
	}
	return true;
}

void lm_clock_init(struct lm_vm *vm)
{
	struct lm_vm_x86 *vx = &vm->x86;
	u64 tsc;
	s64 base;

	raw_spin_lock_init(&vx->clock_lock);
	lm_time_scale((u64)tsc_khz * 1000, &vx->host_mul, &vx->host_shift);
	vx->default_tsc_khz = tsc_khz;
	lm_clock_snap(&tsc, &base);
	vx->clock_offset_ns = -base;
}

/**
 * lm_clock_changed - every vCPU must write its page anew
 * @vm: the VM
 * @self: the caller's vCPU, or NULL
 */
void lm_clock_changed(struct lm_vm *vm, struct lm_vcpu *self)
{
	struct lm_vcpu *v;
	int i;

	if (self)
		lm_request(self, LM_REQ_CLOCK);
	lm_for_each_vcpu(i, v, vm) {
		if (v == self || !(READ_ONCE(v->x86.pv_time) & 1))
			continue;
		lm_request(v, LM_REQ_CLOCK);
		lm_kick(v);
	}
}

/**
 * lm_clock_hold - the host goes to sleep; go on from what was shown, with a new pair
 * @vm: the VM
 *
 * Return: the host's TSC at which the clock was held
 */
u64 lm_clock_hold(struct lm_vm *vm)
{
	struct lm_vm_x86 *vx = &vm->x86;
	unsigned long flags;
	u64 tsc;
	s64 base;

	raw_spin_lock_irqsave(&vx->clock_lock, flags);
	lm_clock_snap(&tsc, &base);
	lm_clock_unref(vx, tsc, base);
	raw_spin_unlock_irqrestore(&vx->clock_lock, flags);
	return tsc;
}

static u64 lm_clock_now(struct lm_vm *vm, u64 *tsc, bool *stable)
{
	unsigned long flags;
	s64 base;
	u64 ns;

	raw_spin_lock_irqsave(&vm->x86.clock_lock, flags);
	lm_clock_snap(tsc, &base);
	*stable = lm_clock_master(vm, *tsc, base);
	ns = lm_clock_at(&vm->x86, *tsc, base);
	raw_spin_unlock_irqrestore(&vm->x86.clock_lock, flags);
	return ns;
}

/**
 * lm_clock_get - KVM_GET_CLOCK
 * @vm: the VM
 * @c: result
 */
int lm_clock_get(struct lm_vm *vm, struct kvm_clock_data *c)
{
	bool stable;
	u64 tsc;

	memset(c, 0, sizeof(*c));
	c->clock = lm_clock_now(vm, &tsc, &stable);
	c->realtime = ktime_get_real_ns();
	c->flags = KVM_CLOCK_REALTIME;
	if (stable) {
		c->host_tsc = tsc;
		c->flags |= KVM_CLOCK_TSC_STABLE | KVM_CLOCK_HOST_TSC;
	}
	return 0;
}

/**
 * lm_clock_set - KVM_SET_CLOCK
 * @vm: the VM
 * @c: the user's value; with KVM_CLOCK_REALTIME the time since then is added
 */
int lm_clock_set(struct lm_vm *vm, const struct kvm_clock_data *c)
{
	const u32 known = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	struct lm_vm_x86 *vx = &vm->x86;
	u64 clock = c->clock, tsc, real;
	unsigned long flags;
	s64 base;

	if (c->flags & ~known)
		return -EINVAL;
	real = ktime_get_real_ns();
	if ((c->flags & KVM_CLOCK_REALTIME) && real > c->realtime)
		clock += real - c->realtime;

	raw_spin_lock_irqsave(&vx->clock_lock, flags);
	lm_clock_snap(&tsc, &base);
	vx->clock_offset_ns = clock - base;
	vx->ref_valid = false;
	raw_spin_unlock_irqrestore(&vx->clock_lock, flags);
	lm_clock_changed(vm, NULL);
	return 0;
}

/*
 * The version protocol: odd while the rest is in flux.  What fails half-way
 * leaves it odd, so that readers wait, and is written again as a whole.
 */
static int lm_write_versioned(struct lm_vcpu *vcpu, u64 gpa, void *area, unsigned int bytes)
{
	u32 *version = area, old;
	int r;

	r = lm_gpa_read(vcpu, gpa, &old, sizeof(old));
	if (r)
		return r;
	*version = old | 1;
	if (*version == old)
		*version += 2;
	r = lm_gpa_write(vcpu, gpa, version, sizeof(*version));
	if (r)
		return r;
	smp_wmb();	/* pairs with the guest's virt_rmb() */
	r = lm_gpa_write(vcpu, gpa + sizeof(*version), version + 1, bytes - sizeof(*version));
	if (r)
		return r;
	smp_wmb();	/* likewise */
	++*version;
	return lm_gpa_write(vcpu, gpa, version, sizeof(*version));
}

/**
 * lm_pvclock_update - serve LM_REQ_CLOCK
 * @vcpu: in its section
 *
 * LM_DONE or LM_NEED.  An address without memory behind it turns the area off.
 */
int lm_pvclock_update(struct lm_vcpu *vcpu)
{
	struct lm_vm_x86 *vx = &vcpu->vm->x86;
	struct lm_x86 *x = &vcpu->x86;
	struct pvclock_vcpu_time_info t = {};
	unsigned long flags;
	u64 tsc;
	s64 base;
	int r;

	if (!(x->pv_time & 1))
		return LM_DONE;

	raw_spin_lock_irqsave(&vx->clock_lock, flags);
	lm_clock_snap(&tsc, &base);
	if (lm_clock_master(vcpu->vm, tsc, base)) {
		t.flags = PVCLOCK_TSC_STABLE_BIT;
		tsc = vx->ref_tsc;
	}
	t.system_time = lm_clock_at(vx, tsc, base);
	raw_spin_unlock_irqrestore(&vx->clock_lock, flags);

	/* It stays until the guest's watchdogs have seen it and clear it. */
	if (x->pv_stopped) {
		t.flags |= PVCLOCK_GUEST_STOPPED;
	} else {
		struct pvclock_vcpu_time_info old;

		r = lm_gpa_read(vcpu, LM_PV_ADDR(x->pv_time), &old, sizeof(old));
		if (r == LM_DONE)
			t.flags |= old.flags & PVCLOCK_GUEST_STOPPED;
	}
	t.tsc_timestamp = lm_tsc_to_guest(vcpu, tsc);
	t.tsc_to_system_mul = x->tsc_mul;
	t.tsc_shift = x->tsc_shift;
	r = lm_write_versioned(vcpu, LM_PV_ADDR(x->pv_time), &t, sizeof(t));
	if (r == LM_USER) {
		WRITE_ONCE(x->pv_time, 0);
		return LM_DONE;
	}
	if (r == LM_DONE)
		x->pv_stopped = false;
	return r;
}

/**
 * lm_pvclock_stopped - KVM_KVMCLOCK_CTRL: the guest was stopped by user space
 * @vcpu: the vCPU, its mutex held
 *
 * Its watchdogs learn by a flag in the clock page that the time that passed was not theirs.
 *
 * Return: 0, or -EINVAL: the guest has no clock page
 */
int lm_pvclock_stopped(struct lm_vcpu *vcpu)
{
	if (!(vcpu->x86.pv_time & 1))
		return -EINVAL;
	vcpu->x86.pv_stopped = true;
	lm_request(vcpu, LM_REQ_CLOCK);
	return 0;
}

/**
 * lm_wall_clock_write - the time of day at which the KVM clock was 0
 * @vcpu: in its section
 * @gpa: where the guest wants it
 */
int lm_wall_clock_write(struct lm_vcpu *vcpu, u64 gpa)
{
	struct pvclock_wall_clock w = {};
	bool stable;
	u64 ns, tsc;
	u32 rem;
	int r;

	if (!gpa)
		return LM_DONE;
	ns = ktime_get_real_ns() - lm_clock_now(vcpu->vm, &tsc, &stable);
	w.sec = div_u64_rem(ns, NSEC_PER_SEC, &rem);
	w.nsec = rem;
	r = lm_write_versioned(vcpu, gpa, &w, sizeof(w));
	return r == LM_USER ? LM_DONE : r;
}

#define LM_STEAL_TRIES	4

/*
 * The vCPU has a CPU again.  Another may have asked for a flush of its TLB while it had
 * none, in place of an IPI: the byte is taken back in one step with the look at that bit,
 * so it sees either the one or that an IPI is needed.
 */
static int lm_steal_running(struct lm_vcpu *vcpu, u64 gpa)
{
	u64 flags = KVM_VCPU_PREEMPTED;
	int r = LM_AGAIN, tries;

	for (tries = 0; r == LM_AGAIN && tries < LM_STEAL_TRIES; tries++)
		r = lm_gpa_cmpxchg(vcpu, gpa + offsetof(struct kvm_steal_time, preempted), &flags, 0, 1);
	if (r == LM_AGAIN) {
		vcpu->mem.need_tables = true;	/* a turn later */
		return LM_NEED;
	}
	if (r == LM_NEED)
		return r;
	vcpu->x86.pv_preempted = false;
	if (r != LM_DONE || (flags & KVM_VCPU_FLUSH_TLB))
		lm_guest_tlb_flush(vcpu);
	return r;
}

/**
 * lm_steal_preempted - tell the other vCPUs that this one has no CPU
 * @vcpu: in its section, which ends
 *
 * It takes no interrupts meanwhile, so they need send none for the flush of a TLB. Where the
 * page is away nothing is told, which is true as well.
 */
void lm_steal_preempted(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;
	u8 flag = KVM_VCPU_PREEMPTED;

	if (!(x->pv_steal & KVM_MSR_ENABLED) || x->pv_preempted)
		return;
	if (lm_gpa_write(vcpu, (x->pv_steal & ~63ull) + offsetof(struct kvm_steal_time, preempted),
			 &flag, 1) == LM_DONE)
		x->pv_preempted = true;
}

/**
 * lm_steal_update - serve LM_REQ_STEAL: add the time that the thread waited for a CPU
 * @vcpu: in its section
 */
int lm_steal_update(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;
	u64 gpa = x->pv_steal & ~63ull, run_delay;
	struct {
		u64 steal;
		u32 version, flags;
	} s;
	int r;

	if (!(x->pv_steal & KVM_MSR_ENABLED))
		return LM_DONE;
	if (x->pv_preempted) {
		r = lm_steal_running(vcpu, gpa);
		if (r)
			goto out;
	}
	run_delay = current->sched_info.run_delay;
	r = lm_gpa_read(vcpu, gpa, &s, sizeof(s));
	if (r)
		goto out;
	/* another thread may run this vCPU now */
	if (run_delay > x->steal_last)
		s.steal += run_delay - x->steal_last;
	/*
	 * One field alone matters to the reader, and it is written at once: no
	 * odd phase is needed, and the write is all or nothing.
	 */
	s.version = (s.version | 1) + 1;
	s.flags = 0;
	r = lm_gpa_write(vcpu, gpa, &s, sizeof(s));
	if (r == LM_DONE)
		x->steal_last = run_delay;
out:
	if (r != LM_USER)
		return r;
	x->pv_steal = 0;
	return LM_DONE;
}

/* ---- PV EOI: one byte, bit 0: the guest need not write to its LAPIC ---- */

/**
 * lm_pv_eoi_arm - let the guest end the interrupt in service without an exit
 * @vcpu: in its section
 *
 * Only right while one edge-triggered interrupt is in service and none waits.
 */
int lm_pv_eoi_arm(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;
	u8 one = 1;
	int r;

	if (!(x->pv_eoi & KVM_MSR_ENABLED))
		return LM_USER;
	if (x->pv_eoi_pending)
		return LM_DONE;
	r = lm_gpa_write(vcpu, LM_PV_ADDR(x->pv_eoi), &one, 1);
	if (r == LM_DONE)
		x->pv_eoi_pending = true;
	return r;
}

/**
 * lm_pv_eoi_sync - the LAPIC's state must be exact now
 * @vcpu: in its section
 *
 * Before interrupts are arbitrated, before the vCPU halts, and before user
 * space sees it.  LM_DONE or LM_NEED.
 */
int lm_pv_eoi_sync(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;
	u8 flag, zero = 0;
	int r;

	if (likely(!x->pv_eoi_pending))
		return LM_DONE;
	r = lm_gpa_read(vcpu, LM_PV_ADDR(x->pv_eoi), &flag, 1);
	if (!r && (flag & 1)) {
		/* not yet: the guest shall exit for this one */
		r = lm_gpa_write(vcpu, LM_PV_ADDR(x->pv_eoi), &zero, 1);
		flag = r ? 0 : 1;
	}
	if (r && r != LM_USER)
		return r;
	x->pv_eoi_pending = false;
	if (!r && !(flag & 1))
		lm_lapic_eoi(vcpu);
	return LM_DONE;
}
