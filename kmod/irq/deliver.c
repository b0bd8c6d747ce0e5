// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupt messages: from an LAPIC's ICR, the IOAPIC and MSIs to the LAPICs that
 * their destination names.  Any context, no locks: the target's IRR is set by a
 * locked operation, and the vCPU is kicked or woken.
 *
 * APIC ids are vCPU ids and never change (the xAPIC's id register is read-only
 * here, as on current processors), so a physical destination is a table look-up.
 *
 * SDM vol. 3, 11.6 and 11.12.10.
 */
#include <linux/bitops.h>

#include "chips.h"

/**
 * lm_lapic_post() - request a fixed interrupt
 * @l: the target
 * @vector: which; below 16 is a receive error
 * @level: level-triggered
 *
 * Return: 1 new, 0 merged with one that waits, -1 refused.
 */
int lm_lapic_post(struct lm_lapic *l, u8 vector, bool level)
{
	unsigned long *tmr = lm_vec_word(l, APIC_TMR, vector);
	unsigned int bit = vector & 31;

	if (unlikely(!READ_ONCE(l->enabled)))
		return -1;
	if (unlikely(vector < 16)) {
		lm_lapic_error(l, APIC_ESR_RECVILL);
		return -1;
	}
	if (unlikely(level != test_bit(bit, tmr))) {
		if (level)
			set_bit(bit, tmr);
		else
			clear_bit(bit, tmr);
	}
	if (l->hw) {
		bool waits = test_bit(bit, lm_vec_word(l, APIC_IRR, vector));

		if (test_and_set_bit(vector, l->posted))
			return 0;
		lm_request(l->vcpu, LM_REQ_EVENT);
		lm_kick(l->vcpu);
		return !waits;
	}
	if (test_and_set_bit(bit, lm_vec_word(l, APIC_IRR, vector)))
		return 0;
	WRITE_ONCE(l->irr_pending, true);
	lm_request(l->vcpu, LM_REQ_EVENT);
	lm_kick(l->vcpu);
	return 1;
}

/* Note an error for ESR, and raise the error interrupt on its first occurrence. */
void lm_lapic_error(struct lm_lapic *l, u32 bit)
{
	u32 lvt = lm_reg(l, APIC_LVTERR);

	if (test_and_set_bit(__ffs(bit), &l->esr_pending))
		return;
	if (!(lvt & APIC_LVT_MASKED) && (lvt & APIC_VECTOR_MASK) >= 16)
		lm_lapic_post(l, lvt & APIC_VECTOR_MASK, false);
}

/* INIT and SIPI are taken by the vCPU's thread, outside the section. */
static int lm_lapic_wake(struct lm_vcpu *vcpu)
{
	lm_request(vcpu, LM_REQ_LAPIC);
	lm_kick(vcpu);
	return 1;
}

/**
 * lm_lapic_accept() - a message has arrived at its target
 * @vcpu: the target
 * @m: the message
 *
 * Return: 1 taken, 0 merged, -1 refused.
 */
int lm_lapic_accept(struct lm_vcpu *vcpu, const struct lm_msg *m)
{
	struct lm_lapic *l = vcpu->lapic;

	if (unlikely(!l || !READ_ONCE(l->present)))
		return -1;
	if (likely(m->mode == APIC_DM_FIXED))
		return lm_lapic_post(l, m->vector, m->level);
	switch (m->mode) {
	case APIC_DM_LOWEST:
		WRITE_ONCE(l->arb, l->arb + 1);
		return lm_lapic_post(l, m->vector, m->level);
	case APIC_DM_NMI:
		lm_vcpu_nmi(vcpu);
		return 1;
	case APIC_DM_INIT:
		/* A start-up message from before the INIT is void. */
		atomic_set(&l->init_sipi, LM_INIT_PENDING);
		return lm_lapic_wake(vcpu);
	case APIC_DM_STARTUP:
		WRITE_ONCE(l->sipi_vector, m->vector);
		smp_wmb();	/* pairs with lm_lapic_take_sipi() */
		atomic_or(LM_SIPI_PENDING, &l->init_sipi);
		return lm_lapic_wake(vcpu);
	default:
		/* SMM is not offered, and ExtINT comes by wire from the PIC. */
		return -1;
	}
}

/**
 * lm_lapic_take_init() - was there an INIT?
 * @vcpu: the vCPU, its own thread
 *
 * Return: true once per INIT.
 */
bool lm_lapic_take_init(struct lm_vcpu *vcpu)
{
	return vcpu->lapic &&
	       (atomic_fetch_andnot(LM_INIT_PENDING, &vcpu->lapic->init_sipi) & LM_INIT_PENDING);
}

/**
 * lm_lapic_take_sipi() - was there a start-up message?
 * @vcpu: the vCPU, its own thread
 * @vector: its page number
 *
 * A processor that does not wait for one drops it: take it and do nothing.
 *
 * Return: true once per message.
 */
bool lm_lapic_take_sipi(struct lm_vcpu *vcpu, u8 *vector)
{
	struct lm_lapic *l = vcpu->lapic;

	if (!l || !(atomic_fetch_andnot(LM_SIPI_PENDING, &l->init_sipi) & LM_SIPI_PENDING))
		return false;
	*vector = READ_ONCE(l->sipi_vector);
	return true;
}

/**
 * lm_lapic_init_sipi_pending() - is there a reason to call the two above?
 * @vcpu: the vCPU
 *
 * Guests send two start-up messages; the second finds a processor that runs, waits
 * for none and must not be woken by it.
 *
 * Return: true for an INIT, and for a start-up message that is waited for.
 */
bool lm_lapic_init_sipi_pending(struct lm_vcpu *vcpu)
{
	int pending = vcpu->lapic ? atomic_read(&vcpu->lapic->init_sipi) : 0;

	return (pending & LM_INIT_PENDING) ||
	       (pending && READ_ONCE(vcpu->mp_state) == KVM_MP_STATE_INIT_RECEIVED);
}

/* ---- destinations ---- */

static bool lm_match_logical(const struct lm_lapic *l, u32 dest)
{
	u32 id = l->vcpu->id, ldr;

	if (READ_ONCE(l->x2apic))
		return dest >> 16 == id >> 4 && (dest & BIT(id & 15));
	if (dest > 0xff)
		return false;
	ldr = lm_reg(l, APIC_LDR) >> 24;
	if (lm_reg(l, APIC_DFR) >> 28 == 0xf)		/* flat */
		return dest & ldr;
	return dest >> 4 == ldr >> 4 && (dest & ldr & 0xf);
}

static bool lm_match(const struct lm_lapic *l, const struct lm_msg *m)
{
	if (!l || !READ_ONCE(l->present))
		return false;
	if (m->dest == LM_DEST_ALL || (m->dest == LM_DEST_XAPIC_ALL && !READ_ONCE(l->x2apic)))
		return true;
	return m->logical ? lm_match_logical(l, m->dest) : m->dest == l->vcpu->id;
}

static int lm_add(int sum, int r)
{
	return r < 0 ? sum : sum < 0 ? r : sum + r;
}

/* Of several targets the one with the lowest priority, then the one that took fewest. */
static bool lm_lower(const struct lm_lapic *a, const struct lm_lapic *b)
{
	u8 pa = lm_lapic_ppr(a) >> 4, pb = lm_lapic_ppr(b) >> 4;

	return pa != pb ? pa < pb : (s32)(READ_ONCE(a->arb) - READ_ONCE(b->arb)) < 0;
}

static noinline int lm_deliver_scan(struct lm_vm *vm, const struct lm_msg *m)
{
	bool lowest = m->lowest || m->mode == APIC_DM_LOWEST;
	struct lm_vcpu *v, *best = NULL;
	struct lm_msg one;
	int i, r = -1;

	lm_for_each_vcpu(i, v, vm) {
		if (!lm_match(v->lapic, m))
			continue;
		if (!lowest)
			r = lm_add(r, lm_lapic_accept(v, m));
		else if (READ_ONCE(v->lapic->enabled) && (!best || lm_lower(v->lapic, best->lapic)))
			best = v;
	}
	if (!best)
		return r;
	one = *m;
	if (one.mode == APIC_DM_FIXED)
		one.mode = APIC_DM_LOWEST;	/* for the count of ties */
	return lm_lapic_accept(best, &one);
}

static int lm_deliver_cluster(struct lm_vm *vm, const struct lm_msg *m)
{
	unsigned long mask = m->dest & 0xffff;
	u32 first = m->dest >> 16 << 4;
	struct lm_vcpu *v;
	int bit, r = -1;

	for_each_set_bit(bit, &mask, 16) {
		v = lm_vcpu_by_apic_id(vm, first + bit);
		if (v && lm_lapic_x2apic(v))
			r = lm_add(r, lm_lapic_accept(v, m));
	}
	return r;
}

/**
 * lm_irq_deliver() - send a message to those that it names
 * @vm: the VM; vCPUs do not go away meanwhile
 * @m: the message
 *
 * Return: number of targets that took it, 0 if it was merged everywhere, -1 if
 * nobody took it.
 */
int lm_irq_deliver(struct lm_vm *vm, const struct lm_msg *m)
{
	struct lm_vcpu *v;

	if (likely(!m->logical && m->dest != LM_DEST_ALL && m->dest != LM_DEST_XAPIC_ALL)) {
		v = lm_vcpu_by_apic_id(vm, m->dest);
		return v ? lm_lapic_accept(v, m) : -1;
	}
	if (m->logical && m->x2 && m->dest != LM_DEST_ALL && m->mode != APIC_DM_LOWEST)
		return lm_deliver_cluster(vm, m);
	return lm_deliver_scan(vm, m);
}

/* ---- ICR ---- */

static void lm_icr_shorthand(struct lm_lapic *l, u32 shorthand, struct lm_msg *m)
{
	struct lm_vcpu *v;
	int i;

	if (shorthand == APIC_DEST_SELF) {
		lm_lapic_accept(l->vcpu, m);
		return;
	}
	lm_for_each_vcpu(i, v, l->vcpu->vm)
		if (v != l->vcpu || shorthand == APIC_DEST_ALLINC)
			lm_lapic_accept(v, m);
}

/**
 * lm_lapic_icr() - a write of the interrupt command register
 * @l: the sender, its vCPU's thread
 * @icr: low half
 * @dest: destination in the sender's format
 */
void lm_lapic_icr(struct lm_lapic *l, u32 icr, u32 dest)
{
	u32 shorthand = icr & APIC_DEST_ALLBUT;
	struct lm_msg m = {
		.vector = icr & APIC_VECTOR_MASK,
		.mode = icr & APIC_DM_FIXED_MASK,
		.logical = icr & APIC_DEST_LOGICAL,
		.dest = dest,
		.x2 = l->x2apic,
	};

	/* INIT level de-assert, which no processor of today heeds. */
	if (unlikely(m.mode == APIC_DM_INIT && (icr & APIC_INT_LEVELTRIG) &&
		     !(icr & APIC_INT_ASSERT)))
		return;
	if (unlikely(m.vector < 16 && m.mode <= APIC_DM_LOWEST)) {
		lm_lapic_error(l, APIC_ESR_SENDILL);
		return;
	}
	if (shorthand) {
		lm_icr_shorthand(l, shorthand, &m);
		return;
	}
	if (!m.x2 && dest == LM_DEST_XAPIC_ALL)
		m.dest = LM_DEST_ALL;
	lm_irq_deliver(l->vcpu->vm, &m);
}

/**
 * lm_lapic_pv_ipi() - the hypercall KVM_HC_SEND_IPI
 * @vcpu: the sender
 * @low: targets from @min on, a bit each
 * @high: the next 64 (32 outside long mode)
 * @min: lowest APIC id
 * @icr: vector and delivery mode
 * @long_mode: width of the bitmaps
 *
 * Return: number of targets, or -KVM_EINVAL.
 */
int lm_lapic_pv_ipi(struct lm_vcpu *vcpu, u64 low, u64 high, u32 min, u64 icr, bool long_mode)
{
	unsigned int width = long_mode ? 64 : 32, half, bit;
	unsigned long mask[2] = { low, high };
	struct lm_msg m = {
		.vector = icr & APIC_VECTOR_MASK,
		.mode = icr & APIC_DM_FIXED_MASK,
	};
	struct lm_vcpu *v;
	int r, sent = 0;

	if (icr & (APIC_DEST_LOGICAL | APIC_DEST_ALLBUT))
		return -EINVAL;
	for (half = 0; half < 2; half++) {
		for_each_set_bit(bit, &mask[half], width) {
			u64 id = (u64)min + half * width + bit;

			v = id < LM_MAX_APIC_ID ? lm_vcpu_by_apic_id(vcpu->vm, id) : NULL;
			if (!v)
				continue;
			r = lm_lapic_accept(v, &m);
			sent += r > 0;
		}
	}
	return sent;
}

/* ---- local sources ---- */

/**
 * lm_lapic_lvt_deliver() - raise a local interrupt
 * @vcpu: the vCPU
 * @reg: its LVT entry (APIC_LVTPC, …)
 *
 * Return: 1, 0, or -1 if masked.
 */
int lm_lapic_lvt_deliver(struct lm_vcpu *vcpu, u32 reg)
{
	struct lm_lapic *l = vcpu->lapic;
	struct lm_msg m = {};
	u32 lvt;

	if (!l)
		return -1;
	lvt = lm_reg(l, reg);
	if (lvt & APIC_LVT_MASKED)
		return -1;
	m.vector = lvt & APIC_VECTOR_MASK;
	m.mode = lvt & APIC_DM_FIXED_MASK;
	if (m.mode != APIC_DM_FIXED && m.mode != APIC_DM_NMI)
		return -1;
	return lm_lapic_accept(vcpu, &m);
}

/**
 * lm_lapic_lint0() - the PIC's INTR, wired to LINT0, went up
 * @vcpu: a vCPU
 *
 * Return: true if this vCPU takes it as ExtINT.
 */
bool lm_lapic_lint0(struct lm_vcpu *vcpu)
{
	struct lm_lapic *l = vcpu->lapic;

	if (!l)
		return false;
	if (!READ_ONCE(l->takes_pic)) {
		lm_lapic_lvt_deliver(vcpu, APIC_LVT0);
		return false;
	}
	lm_request(vcpu, LM_REQ_EVENT);
	lm_kick(vcpu);
	return true;
}
