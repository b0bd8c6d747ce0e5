// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's TSC: host TSC, scaled where the hardware can, plus an offset.
 */
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/preempt.h>
#include <linux/smp.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>

#include "../lamina.h"
#include "../backend.h"

#define LM_TSC_TOLERANCE_PPM	250	/* as KVM: closer than that counts as equal */

/**
 * lm_time_scale - factors that turn cycles into nanoseconds
 * @hz: cycles a second
 * @mul: ns = ((cycles << shift) * mul) >> 32
 * @shift: may be negative
 */
void lm_time_scale(u64 hz, u32 *mul, s8 *shift)
{
	u64 ns = NSEC_PER_SEC;

	*shift = 0;
	while (hz <= ns) {
		hz <<= 1;
		++*shift;
	}
	while (hz > 2 * ns) {
		ns <<= 1;
		--*shift;
	}
	*mul = min_t(u64, mul_u64_u64_div_u64(ns, 1ull << 32, hz), U32_MAX);
}

static u64 lm_tsc_scale(const struct lm_x86 *x, u64 host_tsc)
{
	if (likely(!x->tsc_ratio))
		return host_tsc;
	return mul_u64_u64_shr(host_tsc, x->tsc_ratio, lm_caps.tsc_frac_bits);
}

/**
 * lm_tsc_to_guest - what the guest's TSC was when the host's was so
 * @vcpu: the vCPU
 * @host_tsc: the host's
 */
u64 lm_tsc_to_guest(struct lm_vcpu *vcpu, u64 host_tsc)
{
	return lm_tsc_scale(&vcpu->x86, host_tsc) + vcpu->x86.tsc_offset;
}

/**
 * lm_tsc_read - the guest's TSC now
 * @vcpu: the vCPU
 */
u64 lm_tsc_read(struct lm_vcpu *vcpu)
{
	return lm_tsc_to_guest(vcpu, rdtsc_ordered());
}

/**
 * lm_guest_tsc_to_ns - how long so many guest cycles take
 * @vcpu: the vCPU
 * @cycles: a difference
 */
u64 lm_guest_tsc_to_ns(struct lm_vcpu *vcpu, u64 cycles)
{
	const struct lm_x86 *x = &vcpu->x86;

	/* centuries; more would overflow the shift */
	if (unlikely(cycles >> 56))
		cycles = BIT_ULL(56);
	return pvclock_scale_delta(cycles, x->tsc_mul, x->tsc_shift);
}

static u64 lm_ns_to_cycles(u64 ns, u64 khz)
{
	u32 rest_ns;
	u64 ms = div_u64_rem(ns, NSEC_PER_MSEC, &rest_ns);

	return ms * khz + div_u64(rest_ns * khz, NSEC_PER_MSEC);
}

/**
 * lm_tsc_matched - do all vCPUs read the same TSC?
 * @vm: the VM
 */
bool lm_tsc_matched(struct lm_vm *vm)
{
	struct lm_vcpu *first = lm_vcpu_get(vm, 0), *v;
	int i;

	lm_for_each_vcpu(i, v, vm)
		if (READ_ONCE(v->x86.tsc_offset) != READ_ONCE(first->x86.tsc_offset) ||
		    READ_ONCE(v->x86.tsc_khz) != READ_ONCE(first->x86.tsc_khz))
			return false;
	return true;
}

static void lm_tsc_to_vendor(struct lm_vcpu *vcpu)
{
	if (!vcpu->hw)
		return;			/* the vendor's vcpu_init takes the values over */
	preempt_disable();
	lm_backend_tsc(vcpu);
	preempt_enable();
	if (vcpu->lapic)
		lm_lapic_timer_tsc_changed(vcpu);
}

static void lm_tsc_set_offset(struct lm_vcpu *vcpu, u64 offset)
{
	if (vcpu->x86.tsc_offset == offset)
		return;
	WRITE_ONCE(vcpu->x86.tsc_offset, offset);
	lm_tsc_to_vendor(vcpu);
	lm_clock_changed(vcpu->vm, vcpu);
}

/**
 * lm_tsc_near - is a written TSC value meant to be the one that others have?
 * @val: written
 * @expected: what a vCPU written before reads now
 * @hz: cycles a second
 */
bool lm_tsc_near(u64 val, u64 expected, u64 hz)
{
	s64 diff = val - expected;

	return diff < (s64)hz && -diff < (s64)hz;
}

/*
 * User space writes the TSCs of its vCPUs one after the other and means them to
 * be equal: a value within a second of what the last written vCPU reads by now,
 * or 0 as at creation, gets that vCPU's offset.
 */
static void lm_tsc_write_host(struct lm_vcpu *vcpu, u64 val)
{
	struct lm_vm_x86 *vx = &vcpu->vm->x86;
	struct lm_x86 *x = &vcpu->x86;
	u64 now = ktime_get_boottime_ns(), tsc, offset, expected;
	unsigned long flags;
	bool match = false;

	raw_spin_lock_irqsave(&vx->clock_lock, flags);
	tsc = lm_tsc_scale(x, rdtsc_ordered());
	offset = val - tsc;
	if (vx->last_tsc_khz == x->tsc_khz) {
		expected = vx->last_tsc_write + lm_ns_to_cycles(now - vx->last_tsc_ns, x->tsc_khz);
		match = !val || lm_tsc_near(val, expected, x->tsc_khz * 1000);
		if (match && !check_tsc_unstable())
			offset = vx->last_tsc_offset;
		else if (match)
			offset = expected - tsc;
	}
	if (!match) {
		vx->last_tsc_write = val;
		vx->last_tsc_ns = now;
		vx->last_tsc_khz = x->tsc_khz;
	}
	vx->last_tsc_offset = offset;
	raw_spin_unlock_irqrestore(&vx->clock_lock, flags);
	lm_tsc_set_offset(vcpu, offset);
}

/**
 * lm_tsc_offset_write - user space gives the TSC's offset itself (KVM_VCPU_TSC_OFFSET)
 * @vcpu: not in its section
 * @offset: the guest's TSC less the host's, scaled one
 *
 * vCPUs that are written, or made, after it by value are compared with what this one reads.
 */
void lm_tsc_offset_write(struct lm_vcpu *vcpu, u64 offset)
{
	struct lm_vm_x86 *vx = &vcpu->vm->x86;
	struct lm_x86 *x = &vcpu->x86;
	unsigned long flags;

	raw_spin_lock_irqsave(&vx->clock_lock, flags);
	vx->last_tsc_write = lm_tsc_scale(x, rdtsc_ordered()) + offset;
	vx->last_tsc_ns = ktime_get_boottime_ns();
	vx->last_tsc_khz = x->tsc_khz;
	vx->last_tsc_offset = offset;
	raw_spin_unlock_irqrestore(&vx->clock_lock, flags);
	lm_tsc_set_offset(vcpu, offset);
}

/**
 * lm_tsc_write - a write of the TSC
 * @vcpu: the vCPU
 * @val: its new value
 * @host: by user space: vCPUs written with like values stay in step
 *
 * A guest's own write moves IA32_TSC_ADJUST by the same amount (SDM vol. 3, 17.17.3).
 */
void lm_tsc_write(struct lm_vcpu *vcpu, u64 val, bool host)
{
	u64 delta;

	if (host) {
		lm_tsc_write_host(vcpu, val);
		return;
	}
	delta = val - lm_tsc_read(vcpu);
	vcpu->x86.tsc_adjust += delta;
	lm_tsc_set_offset(vcpu, vcpu->x86.tsc_offset + delta);
}

/**
 * lm_tsc_adjust_write - a write of IA32_TSC_ADJUST
 * @vcpu: the vCPU
 * @val: its new value
 * @host: by user space, which sets the TSC by itself
 */
void lm_tsc_adjust_write(struct lm_vcpu *vcpu, u64 val, bool host)
{
	u64 delta = val - vcpu->x86.tsc_adjust;

	vcpu->x86.tsc_adjust = val;
	if (!host)
		lm_tsc_set_offset(vcpu, vcpu->x86.tsc_offset + delta);
}

static int lm_tsc_ratio(u64 khz, u64 *ratio)
{
	u64 r;

	/* Too fast to be expressed; khz and tsc_khz are 32 bits wide. */
	if (khz >> (64 - min_t(int, lm_caps.tsc_frac_bits, 32)) ||
	    !tsc_khz || khz / tsc_khz >= BIT_ULL(16))
		return -EINVAL;
	r = mul_u64_u64_div_u64(khz, BIT_ULL(lm_caps.tsc_frac_bits), tsc_khz);
	if (!r || r > lm_caps.tsc_max_ratio)
		return -EINVAL;
	*ratio = r;
	return 0;
}

/**
 * lm_tsc_set_khz - KVM_SET_TSC_KHZ
 * @vcpu: the vCPU
 * @khz: the guest's rate, 0 for the host's
 */
int lm_tsc_set_khz(struct lm_vcpu *vcpu, u32 khz)
{
	struct lm_x86 *x = &vcpu->x86;
	u64 host = tsc_khz, slack = div_u64(host * LM_TSC_TOLERANCE_PPM, 1000000);
	u64 ratio = 0, now;
	int r;

	if (!khz)
		khz = host;
	if (khz < host - slack || khz > host + slack) {
		if (!lm_caps.tsc_scaling)
			return -EINVAL;
		r = lm_tsc_ratio(khz, &ratio);
		if (r)
			return r;
	}
	now = lm_tsc_read(vcpu);
	WRITE_ONCE(x->tsc_khz, khz);
	x->tsc_ratio = ratio;
	lm_time_scale((u64)khz * 1000, &x->tsc_mul, &x->tsc_shift);
	/* the value goes on from where it was, at the new rate */
	WRITE_ONCE(x->tsc_offset, now - lm_tsc_scale(x, rdtsc_ordered()));
	lm_tsc_to_vendor(vcpu);
	lm_clock_changed(vcpu->vm, vcpu);
	return 0;
}

/**
 * lm_tsc_init - a new vCPU's TSC: in step with those that are there
 * @vcpu: not yet published
 */
void lm_tsc_init(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;

	if (lm_tsc_set_khz(vcpu, vcpu->vm->x86.default_tsc_khz))
		lm_tsc_set_khz(vcpu, 0);
	x->tsc_offset = 0;
	x->tsc_adjust = 0;
	lm_tsc_write(vcpu, 0, true);
}

/* ---- hosts with an unstable TSC ---- */

/**
 * lm_tsc_follow - on an unstable host: go on from what the guest has seen
 * @vcpu: its section begins, last_cpu still is that of the one before, which was noted
 *
 * CPUs may then disagree; the guest's TSC must still not go backwards.
 */
void lm_tsc_follow(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;
	u64 want, now;

	now = lm_tsc_read(vcpu);
	if (raw_smp_processor_id() == vcpu->last_cpu && now >= x->left_tsc)
		return;
	want = x->left_tsc + lm_ns_to_cycles(ktime_get_boottime_ns() - x->left_ns, x->tsc_khz);
	WRITE_ONCE(x->tsc_offset, x->tsc_offset + want - now);
	lm_tsc_to_vendor(vcpu);
	lm_request(vcpu, LM_REQ_CLOCK);
}

/**
 * lm_tsc_note - on an unstable host: note what the guest has seen
 * @vcpu: in its section, after the last exit
 */
void lm_tsc_note(struct lm_vcpu *vcpu)
{
	/* The first time: the clock's page still says that all is stable. */
	if (!vcpu->x86.left_ns)
		lm_request(vcpu, LM_REQ_CLOCK);
	vcpu->x86.left_tsc = lm_tsc_read(vcpu);
	vcpu->x86.left_ns = ktime_get_boottime_ns();
}

/* ---- suspend ---- */

/**
 * lm_x86_suspend - the host is about to sleep
 * @vm: each VM in turn; its tasks are frozen
 */
void lm_x86_suspend(struct lm_vm *vm)
{
	vm->x86.suspend_tsc = lm_clock_hold(vm);
}

/**
 * lm_x86_resume - the host is back: the TSC has stood still, gone on, or begun from 0
 * @vm: each VM in turn; its tasks are still frozen
 *
 * The guest's TSC stands still in any case, and the clock leaps by the time slept: so
 * a vCPU that still reads another's page from before is behind and not ahead.
 */
void lm_x86_resume(struct lm_vm *vm)
{
	u64 now = rdtsc_ordered(), offset;
	struct lm_vcpu *v;
	int i;

	lm_for_each_vcpu(i, v, vm) {
		offset = v->x86.tsc_offset + lm_tsc_scale(&v->x86, vm->x86.suspend_tsc) -
			 lm_tsc_scale(&v->x86, now);
		WRITE_ONCE(v->x86.tsc_offset, offset);
		lm_tsc_to_vendor(v);
		vm->x86.last_tsc_offset = offset;
	}
	lm_clock_changed(vm, NULL);
}
