// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC: registers through the xAPIC page and the x2APIC MSRs, priority,
 * acknowledge and EOI.  What comes in from elsewhere is in deliver.c, the timer in
 * lapic_timer.c.
 *
 * Only the vCPU's own thread changes registers, so the short paths (TPR, EOI,
 * reads) take no lock and no locked operation.  Other CPUs touch IRR, TMR,
 * irr_pending, esr_pending and init_sipi, all by atomic operations.
 *
 * SDM vol. 3, chapter 11; APM vol. 2, chapter 16.
 */
#include <linux/bitops.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <asm/apicdef.h>
#include <asm/msr-index.h>

#include <linux/seq_file.h>

#include "../backend.h"
#include "chips.h"

/* Version 0x14 with six LVT entries: no CMCI, no suppressed EOI broadcast. */
#define LM_LVR			0x00050014u
#define LM_SPIV_RESET		0xffu
#define LM_SPIV_BITS		0x3ffu
#define LM_LVT_RO		(BIT(12) | APIC_LVT_REMOTE_IRR)
#define LM_ICR_RESERVED		(GENMASK(31, 20) | GENMASK(17, 16) | BIT(13))
#define LM_BASE_BITS		(MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE | MSR_IA32_APICBASE_BSP)
#define LM_X2APIC_FIRST		0x800

/* Registers by number (offset / 16). */
#define R(off)			BIT_ULL((off) >> 4)
#define R8(off)			(0xffull << ((off) >> 4))
#define LM_REGS_LVT		(R(APIC_LVTT) | R(APIC_LVTTHMR) | R(APIC_LVTPC) |	\
				 R(APIC_LVT0) | R(APIC_LVT1) | R(APIC_LVTERR))
#define LM_X2_READ		(R(APIC_ID) | R(APIC_LVR) | R(APIC_TASKPRI) | R(APIC_PROCPRI) | \
				 R(APIC_LDR) | R(APIC_SPIV) | R8(APIC_ISR) | R8(APIC_TMR) |	\
				 R8(APIC_IRR) | R(APIC_ESR) | R(APIC_ICR) | LM_REGS_LVT |	\
				 R(APIC_TMICT) | R(APIC_TMCCT) | R(APIC_TDCR))
#define LM_X_READ		(LM_X2_READ | R(APIC_ARBPRI) | R(APIC_DFR) | R(APIC_ICR2))
#define LM_X2_WRITE		(R(APIC_TASKPRI) | R(APIC_EOI) | R(APIC_SPIV) | R(APIC_ESR) |	\
				 R(APIC_ICR) | LM_REGS_LVT | R(APIC_TMICT) | R(APIC_TDCR) |	\
				 R(APIC_SELF_IPI))

/* ---- IRR and ISR ---- */

static int lm_vec_highest(const struct lm_lapic *l, unsigned int base)
{
	int w;

	for (w = 7; w >= 0; w--) {
		u32 v = lm_reg(l, base + w * 16);

		if (v)
			return w * 32 + __fls(v);
	}
	return -1;
}

static void lm_isr_set(struct lm_lapic *l, u8 vector)
{
	unsigned int w = vector >> 5;

	lm_reg_set(l, APIC_ISR + w * 16, lm_reg(l, APIC_ISR + w * 16) | BIT(vector & 31));
	l->isr_words |= BIT(w);
	l->isr_highest = vector;
}

static void lm_isr_clear(struct lm_lapic *l, u8 vector)
{
	unsigned int w = vector >> 5;
	u32 v = lm_reg(l, APIC_ISR + w * 16) & ~BIT(vector & 31);

	lm_reg_set(l, APIC_ISR + w * 16, v);
	if (!v) {
		l->isr_words &= ~BIT(w);
		if (!l->isr_words) {
			l->isr_highest = -1;
			return;
		}
		w = __fls(l->isr_words);
		v = lm_reg(l, APIC_ISR + w * 16);
	}
	l->isr_highest = w * 32 + __fls(v);
}

int lm_lapic_irr_highest(const struct lm_lapic *l)
{
	return lm_vec_highest(l, APIC_IRR);
}

/* What the caches say of ISR, after the CPU may have changed it. */
static void lm_isr_rescan(struct lm_lapic *l)
{
	unsigned int w;

	l->isr_words = 0;
	for (w = 0; w < 8; w++)
		if (lm_reg(l, APIC_ISR + w * 16))
			l->isr_words |= BIT(w);
	l->isr_highest = lm_vec_highest(l, APIC_ISR);
}

/**
 * lm_lapic_pull() - take posted vectors over into IRR
 * @l: with hw; its vCPU's thread, which is not in the guest
 */
void lm_lapic_pull(struct lm_lapic *l)
{
	unsigned long bits;
	unsigned int i, w;

	for (i = 0; i < ARRAY_SIZE(l->posted); i++) {
		if (!READ_ONCE(l->posted[i]))
			continue;
		bits = xchg(&l->posted[i], 0);
		for (w = 2 * i; bits; w++, bits >>= 32)
			lm_reg_set(l, APIC_IRR + w * 16, lm_reg(l, APIC_IRR + w * 16) | (u32)bits);
	}
	lm_isr_rescan(l);
}

/* After registers came from elsewhere: what the caches say of IRR and ISR. */
static void lm_lapic_rescan(struct lm_lapic *l)
{
	lm_isr_rescan(l);
	WRITE_ONCE(l->irr_pending, true);	/* the next acknowledge finds out */
	lm_lapic_recheck(l);
}

static int lm_lapic_deliverable(const struct lm_lapic *l)
{
	int irr = lm_vec_highest(l, APIC_IRR);

	return irr >= 0 && (irr & 0xf0) > (lm_lapic_ppr(l) & 0xf0) ? irr : -1;
}

/* INTR is up, and this vCPU takes it: from the PIC, or from user space that has one. */
static bool lm_extint(const struct lm_lapic *l)
{
	const struct lm_pic *pic = l->vcpu->vm->irq.pic;

	if (likely(!l->takes_pic))
		return false;
	return pic ? READ_ONCE(pic->output) : l->vcpu->ev.user_irq >= 0;
}

/* The vector that goes with it, or -1. */
static int lm_extint_ack(struct lm_vcpu *vcpu)
{
	struct lm_pic *pic = vcpu->vm->irq.pic;
	int vector;

	if (!pic) {
		vector = vcpu->ev.user_irq;
		vcpu->ev.user_irq = -1;
		return vector;
	}
	vector = lm_pic_ack(pic);
	/* With automatic EOI INTR may have stayed up, which is no new edge. */
	if (READ_ONCE(pic->output))
		set_bit(LM_REQ_EVENT, &vcpu->requests);
	return vector;
}

/**
 * lm_irq_user_pic() - does INTR of this vCPU come from user space?
 * @vcpu: the vCPU, its own thread
 *
 * Return: true without a PIC in the kernel, unless the LAPIC keeps INTR out.
 */
bool lm_irq_user_pic(struct lm_vcpu *vcpu)
{
	return !vcpu->vm->irq.pic && (!vcpu->lapic || vcpu->lapic->takes_pic);
}

/**
 * lm_irq_pending() - is there an interrupt that the vCPU could take?
 * @vcpu: the vCPU, its own thread
 *
 * The vCPU's own masks (IF, shadow) are the caller's business.
 *
 * Return: a vector, 256 if the PIC must be asked, or -1.
 */
int lm_irq_pending(struct lm_vcpu *vcpu)
{
	struct lm_lapic *l = vcpu->lapic;

	if (unlikely(!l))
		return vcpu->ev.user_irq;
	if (unlikely(lm_extint(l)))
		return 256;
	if (l->hw)
		lm_lapic_pull(l);
	else if (likely(!READ_ONCE(l->irr_pending)))
		return -1;
	return lm_lapic_deliverable(l);
}

/**
 * lm_irq_to_inject() - is there an interrupt that an entry must inject?
 * @vcpu: the vCPU, its own thread
 *
 * Return: as lm_irq_pending().
 */
int lm_irq_to_inject(struct lm_vcpu *vcpu)
{
	struct lm_lapic *l = vcpu->lapic;

	if (!l || !l->hw)
		return lm_irq_pending(vcpu);
	return unlikely(lm_extint(l)) ? 256 : -1;
}

/**
 * lm_irq_ack() - acknowledge what lm_irq_pending() found
 * @vcpu: the vCPU, its own thread
 *
 * Return: the vector to deliver, or -1 if it has gone in the meantime.
 */
int lm_irq_ack(struct lm_vcpu *vcpu)
{
	struct lm_lapic *l = vcpu->lapic;
	int vector;

	if (unlikely(!l))
		return lm_extint_ack(vcpu);
	if (unlikely(lm_extint(l))) {
		vector = lm_extint_ack(vcpu);
		if (vector >= 0)
			return vector;
	}
	if (l->hw)
		return -1;
	vector = lm_lapic_deliverable(l);
	if (vector < 0) {
		if (lm_vec_highest(l, APIC_IRR) >= 0)
			return -1;
		/* Empty: say so, then look once more (a sender sets the bit first). */
		WRITE_ONCE(l->irr_pending, false);
		smp_mb();	/* pairs with the locked operation of lm_lapic_post() */
		if (lm_vec_highest(l, APIC_IRR) >= 0)
			WRITE_ONCE(l->irr_pending, true);
		return -1;
	}
	/*
	 * The locked clear_bit() orders irr_pending before the scan: a sender whose
	 * bit the scan misses writes irr_pending after us.
	 */
	WRITE_ONCE(l->irr_pending, false);
	clear_bit(vector & 31, lm_vec_word(l, APIC_IRR, vector));
	smp_mb__after_atomic();	/* pairs with the one of lm_lapic_post() */
	if (lm_vec_highest(l, APIC_IRR) >= 0)
		WRITE_ONCE(l->irr_pending, true);
	lm_isr_set(l, vector);
	return vector;
}

/**
 * lm_lapic_eoi() - end of interrupt
 * @vcpu: the vCPU, its own thread
 */
void lm_lapic_eoi(struct lm_vcpu *vcpu)
{
	struct lm_lapic *l = vcpu->lapic;
	int vector;

	if (l->hw)
		lm_isr_rescan(l);
	vector = l->isr_highest;
	if (unlikely(vector < 0))
		return;
	lm_isr_clear(l, vector);
	lm_lapic_eoi_done(vcpu, vector);
	lm_lapic_recheck(l);
}

/**
 * lm_lapic_eoi_done() - an interrupt has ended: tell the IOAPIC if it wants to know
 * @vcpu: the vCPU, its own thread; user space's IOAPIC hears of it before the next entry
 * @vector: no longer in service
 */
void lm_lapic_eoi_done(struct lm_vcpu *vcpu, u8 vector)
{
	bool level = lm_reg(vcpu->lapic, APIC_TMR + (vector >> 5) * 16) & BIT(vector & 31);
	struct lm_irq *irq = &vcpu->vm->irq;

	if (unlikely(!irq->ioapic)) {
		if (level && irq->user_ioapic) {
			vcpu->ioapic_eoi = vector;
			set_bit(LM_REQ_IOAPIC_EOI, &vcpu->requests);
		}
		return;
	}
	if (unlikely(level || test_bit(vector, irq->ioapic->eoi_map)))
		lm_ioapic_eoi(irq->ioapic, vector, level);
}

/**
 * lm_lapic_isr_highest() - the vector in service
 * @vcpu: the vCPU, its own thread
 *
 * Return: a vector, or -1.
 */
int lm_lapic_isr_highest(struct lm_vcpu *vcpu)
{
	return vcpu->lapic ? vcpu->lapic->isr_highest : -1;
}

/**
 * lm_lapic_isr_plain() - may the EOI of the vector in service be late?
 * @vcpu: the vCPU, its own thread
 *
 * Return: true if just one vector is in service, nothing else waits in IRR, and no
 * other device wants to know of the EOI.
 */
bool lm_lapic_isr_plain(struct lm_vcpu *vcpu)
{
	struct lm_ioapic *io = vcpu->vm->irq.ioapic;
	struct lm_lapic *l = vcpu->lapic;
	int v;

	if (!l || l->isr_highest < 0 || READ_ONCE(l->irr_pending))
		return false;
	v = l->isr_highest;
	if (hweight8(l->isr_words) != 1 || hweight32(lm_reg(l, APIC_ISR + (v >> 5) * 16)) != 1)
		return false;
	return !(lm_reg(l, APIC_TMR + (v >> 5) * 16) & BIT(v & 31)) &&
	       !(io && test_bit(v, io->eoi_map));
}

/* ---- registers ---- */

/* What depends on APIC_BASE, SVR and LVT0. */
static void lm_lapic_derive(struct lm_lapic *l)
{
	u32 lvt0 = lm_reg(l, APIC_LVT0);
	bool on = l->base & MSR_IA32_APICBASE_ENABLE;
	bool x2 = on && (l->base & X2APIC_ENABLE);
	u64 mmio = on && !x2 ? l->base & GENMASK_ULL(51, 12) : LM_NO_MMIO;

	/* Which accesses the CPU answers depends on the mode. */
	if (l->hw && l->vcpu->hw && (on != l->present || x2 != l->x2apic))
		lm_backend_update(l->vcpu);
	WRITE_ONCE(l->present, on);
	WRITE_ONCE(l->x2apic, x2);
	WRITE_ONCE(l->enabled, on && (lm_reg(l, APIC_SPIV) & APIC_SPIV_APIC_ENABLED));
	if (l->mmio != mmio) {
		l->mmio = mmio;
		lm_doorbells_moved(&l->vcpu->vm->irq);
	}
	WRITE_ONCE(l->takes_pic, !on || (!(lvt0 & APIC_LVT_MASKED) &&
					 (lvt0 & APIC_DM_FIXED_MASK) == APIC_DM_EXTINT));
	if (l->takes_pic)
		set_bit(LM_REQ_EVENT, &l->vcpu->requests);
}

static void lm_lapic_set_ids(struct lm_lapic *l)
{
	u32 id = l->vcpu->id;

	if (!l->x2apic) {
		lm_reg_set(l, APIC_ID, id << 24);
		return;
	}
	lm_reg_set(l, APIC_ID, id);
	lm_reg_set(l, APIC_LDR, (id >> 4) << 16 | BIT(id & 15));
}

static bool lm_cpuid_ecx1(struct lm_vcpu *vcpu, unsigned int bit)
{
	const struct kvm_cpuid_entry2 *e = lm_cpuid_find(vcpu, 1, 0);

	return e && (e->ecx & BIT(bit));
}

static u32 lm_lvt_bits(struct lm_lapic *l, unsigned int off)
{
	switch (off) {
	case APIC_LVTT:
		return APIC_VECTOR_MASK | APIC_LVT_MASKED | APIC_LVT_TIMER_PERIODIC |
		       (lm_cpuid_ecx1(l->vcpu, 24) ? APIC_LVT_TIMER_TSCDEADLINE : 0);
	case APIC_LVTTHMR:
	case APIC_LVTPC:
		return APIC_VECTOR_MASK | APIC_DM_FIXED_MASK | APIC_LVT_MASKED;
	case APIC_LVT0:
	case APIC_LVT1:
		return APIC_VECTOR_MASK | APIC_DM_FIXED_MASK | BIT(13) | APIC_LVT_LEVEL_TRIGGER |
		       APIC_LVT_MASKED;
	default:
		return APIC_VECTOR_MASK | APIC_LVT_MASKED;
	}
}

static void lm_lvt_write(struct lm_lapic *l, unsigned int off, u32 val)
{
	val &= lm_lvt_bits(l, off);
	/* A disabled APIC keeps its LVTs masked (SDM vol. 3, 11.4.7.2). */
	if (!(lm_reg(l, APIC_SPIV) & APIC_SPIV_APIC_ENABLED))
		val |= APIC_LVT_MASKED;
	if (off == APIC_LVTT) {
		lm_timer_set_lvt(l, val);
		return;
	}
	lm_reg_set(l, off, val);
	if (off == APIC_LVT0)
		lm_lapic_derive(l);
}

static void lm_spiv_write(struct lm_lapic *l, u32 val)
{
	static const u16 lvts[] = { APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0, APIC_LVT1,
				    APIC_LVTERR };
	unsigned int i;

	lm_reg_set(l, APIC_SPIV, val & LM_SPIV_BITS);
	if (!(val & APIC_SPIV_APIC_ENABLED))
		for (i = 0; i < ARRAY_SIZE(lvts); i++)
			lm_lvt_write(l, lvts[i], lm_reg(l, lvts[i]));
	lm_lapic_derive(l);
}

static u32 lm_lapic_read(struct lm_lapic *l, unsigned int off)
{
	if (unlikely(off == APIC_TMCCT))
		return lm_timer_count(l);
	if (unlikely(off == APIC_PROCPRI)) {
		if (l->hw)
			lm_isr_rescan(l);
		return lm_lapic_ppr(l);
	}
	return lm_reg(l, off);
}

void lm_lapic_set_tpr8(struct lm_lapic *l, u8 val)
{
	lm_reg_set(l, APIC_TASKPRI, val);
	l->vcpu->x86.cr8 = val >> 4;
	lm_lapic_recheck(l);
}

/* Writes other than EOI and TPR, which the callers know by themselves. */
static noinline void lm_lapic_write(struct lm_lapic *l, unsigned int off, u32 val)
{
	switch (off) {
	case APIC_LDR:
		lm_reg_set(l, off, val & GENMASK(31, 24));
		break;
	case APIC_DFR:
		lm_reg_set(l, off, val | GENMASK(27, 0));
		break;
	case APIC_SPIV:
		lm_spiv_write(l, val);
		break;
	case APIC_ESR:
		lm_reg_set(l, off, xchg(&l->esr_pending, 0));
		break;
	case APIC_ICR:
		val &= ~(LM_ICR_RESERVED | BIT(12));
		lm_reg_set(l, off, val);
		lm_lapic_icr(l, val, lm_reg(l, APIC_ICR2) >> 24);
		break;
	case APIC_ICR2:
		lm_reg_set(l, off, val & GENMASK(31, 24));
		break;
	case APIC_LVTT:
	case APIC_LVTTHMR:
	case APIC_LVTPC:
	case APIC_LVT0:
	case APIC_LVT1:
	case APIC_LVTERR:
		lm_lvt_write(l, off, val);
		break;
	case APIC_TMICT:
		lm_timer_start(l, val);
		break;
	case APIC_TDCR:
		lm_timer_set_divide(l, val & 0xb);
		break;
	case APIC_ID:		/* read-only, as on current processors */
		lm_lapic_set_ids(l);
		break;
	case APIC_LVR:
	case APIC_PROCPRI:
	case APIC_TMCCT:
		break;
	default:
		lm_lapic_error(l, APIC_ESR_ILLREGA);
	}
}

/**
 * lm_lapic_written() - the CPU has stored a guest's write, as it came, in a register
 * @vcpu: in its section
 * @off: the register
 */
void lm_lapic_written(struct lm_vcpu *vcpu, unsigned int off)
{
	struct lm_lapic *l = vcpu->lapic;
	u32 val;

	off = array_index_nospec(off & 0x3f0, 0x400);
	val = lm_reg(l, off);
	/* What these do depends on what they held. */
	if (off == APIC_LVTT)
		lm_reg_set(l, off, l->timer.lvtt);
	else if (off == APIC_TDCR)
		lm_reg_set(l, off, l->timer.tdcr);
	if (off == APIC_TASKPRI)
		lm_lapic_set_tpr8(l, val);
	else if (l->x2apic && off == APIC_SELF_IPI)
		lm_lapic_icr(l, APIC_DEST_SELF | val, 0);
	else
		lm_lapic_write(l, off, val);
}

/**
 * lm_lapic_mmio() - access to the xAPIC's page
 * @l: the LAPIC of the vCPU that runs
 * @off: offset in the page
 * @bytes: 1, 2, 4 or 8
 * @write: direction
 * @val: value, little-endian
 *
 * Registers are 32 bits wide on a 128-bit grid.  A narrower read gives its part of
 * the register; other writes than aligned ones of 32 bits are ignored.
 */
void lm_lapic_mmio(struct lm_lapic *l, unsigned int off, unsigned int bytes, bool write,
		   void *val)
{
	unsigned int reg = off & ~15u;
	u64 out = 0;

	if (unlikely(l->vcpu->report_tpr) && reg == APIC_TASKPRI)
		lm_tpr_report(l->vcpu, write);
	if (write) {
		if (unlikely(bytes != 4 || off != reg))
			return;
		if (reg == APIC_EOI)
			lm_lapic_eoi(l->vcpu);
		else if (reg == APIC_TASKPRI)
			lm_lapic_set_tpr8(l, *(u32 *)val);
		else
			lm_lapic_write(l, reg, *(u32 *)val);
		return;
	}
	if (likely(reg < 0x400 && ((LM_X_READ >> (reg >> 4)) & 1)))
		out = lm_lapic_read(l, array_index_nospec(reg, 0x400));
	else if (reg != APIC_EOI)
		lm_lapic_error(l, APIC_ESR_ILLREGA);
	off &= 15;
	out = off < 4 ? out >> (off * 8) : 0;
	lm_store(val, bytes, out);
}

/* ---- MSRs ---- */

static int lm_x2apic_read(struct lm_lapic *l, u32 msr, u64 *val)
{
	unsigned int nr = msr - LM_X2APIC_FIRST;

	if (!l->x2apic || nr >= 64)
		return 1;
	nr = array_index_nospec(nr, 64);
	if (!((LM_X2_READ >> nr) & 1))
		return 1;
	*val = lm_lapic_read(l, nr << 4);
	if (nr == APIC_ICR >> 4)
		*val |= (u64)lm_reg(l, APIC_ICR2) << 32;
	return 0;
}

/* Reserved bits that are set are #GP (SDM vol. 3, 11.12.1.3). */
static u64 lm_x2apic_reserved(struct lm_lapic *l, unsigned int off)
{
	switch (off) {
	case APIC_EOI:
	case APIC_ESR:
		return ~0ull;
	case APIC_TASKPRI:
	case APIC_SELF_IPI:
		return ~0xffull;
	case APIC_SPIV:
		return ~(u64)LM_SPIV_BITS;
	case APIC_ICR:
		return LM_ICR_RESERVED;
	case APIC_TMICT:
		return GENMASK_ULL(63, 32);
	case APIC_TDCR:
		return ~0xbull;
	default:
		return ~(u64)(lm_lvt_bits(l, off) | LM_LVT_RO);
	}
}

static int lm_x2apic_write(struct lm_lapic *l, u32 msr, u64 val)
{
	unsigned int nr = msr - LM_X2APIC_FIRST;
	unsigned int off = nr << 4;

	if (!l->x2apic || nr >= 64 || !((LM_X2_WRITE >> nr) & 1))
		return 1;
	if (val & lm_x2apic_reserved(l, off))
		return 1;
	switch (off) {
	case APIC_EOI:
		lm_lapic_eoi(l->vcpu);
		break;
	case APIC_TASKPRI:
		lm_lapic_set_tpr8(l, val);
		break;
	case APIC_SELF_IPI:
		lm_lapic_icr(l, APIC_DEST_SELF | (u32)val, 0);
		break;
	case APIC_ICR:
		val &= ~BIT_ULL(12);
		lm_reg_set(l, APIC_ICR, val);
		lm_reg_set(l, APIC_ICR2, val >> 32);
		lm_lapic_icr(l, val, val >> 32);
		break;
	default:
		lm_lapic_write(l, off, val);
	}
	return 0;
}

static void lm_lapic_clear(struct lm_lapic *l);

static int lm_base_write(struct lm_lapic *l, u64 val, bool host)
{
	struct lm_vcpu *vcpu = l->vcpu;
	u64 allowed = LM_BASE_BITS | (GENMASK_ULL(51, 12) & ~vcpu->x86.pa_reserved);
	u64 mode = val & (MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE);
	u64 old = l->base & (MSR_IA32_APICBASE_ENABLE | X2APIC_ENABLE);

	if (!lm_cpuid_ecx1(vcpu, 21))
		allowed &= ~(u64)X2APIC_ENABLE;
	if ((val & ~allowed) || mode == X2APIC_ENABLE)
		return 1;
	/* SDM vol. 3, 11.12.5: out of x2APIC only through off, and into it only from xAPIC. */
	if (!host && mode != old) {
		if ((old & X2APIC_ENABLE) && mode)
			return 1;
		if (!old && (mode & X2APIC_ENABLE))
			return 1;
	}
	l->base = val;
	lm_lapic_derive(l);
	if (mode != old) {
		if (!mode)
			lm_lapic_clear(l);
		else if (l->x2apic)
			lm_reg_set(l, APIC_ICR2, 0);
		lm_lapic_set_ids(l);
		lm_lapic_derive(l);
	}
	return 0;
}

/**
 * lm_lapic_msr_read() - APIC_BASE, TSC_DEADLINE and the x2APIC's MSRs
 * @vcpu: the vCPU, its own thread
 * @msr: which
 * @val: where to
 *
 * Return: 0, or 1 for #GP.
 */
int lm_lapic_msr_read(struct lm_vcpu *vcpu, u32 msr, u64 *val)
{
	struct lm_lapic *l = vcpu->lapic;

	if (!l)
		return 1;
	if (msr == MSR_IA32_APICBASE) {
		*val = l->base;
		return 0;
	}
	if (msr == MSR_IA32_TSC_DEADLINE) {
		*val = lm_timer_deadline_mode(l) ? READ_ONCE(l->timer.deadline) : 0;
		return 0;
	}
	return lm_x2apic_read(l, msr, val);
}

/**
 * lm_lapic_msr_write() - APIC_BASE, TSC_DEADLINE and the x2APIC's MSRs
 * @vcpu: the vCPU, its own thread
 * @msr: which
 * @val: new value
 * @host: for user space: any consistent mode may follow any other
 *
 * Return: 0, or 1 for #GP.
 */
int lm_lapic_msr_write(struct lm_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	struct lm_lapic *l = vcpu->lapic;

	if (!l)
		return 1;
	if (msr == MSR_IA32_APICBASE)
		return lm_base_write(l, val, host);
	if (msr == MSR_IA32_TSC_DEADLINE) {
		lm_timer_set_deadline(l, val);
		return 0;
	}
	return lm_x2apic_write(l, msr, val);
}

void lm_lapic_set_tpr(struct lm_vcpu *vcpu, u64 cr8)
{
	if (vcpu->lapic)
		lm_lapic_set_tpr8(vcpu->lapic, (cr8 & 15) << 4);
}

bool lm_lapic_is_at(struct lm_vcpu *vcpu, u64 gpa)
{
	return vcpu->lapic && vcpu->lapic->mmio == gpa;
}

bool lm_lapic_x2apic(struct lm_vcpu *vcpu)
{
	return vcpu->lapic && READ_ONCE(vcpu->lapic->x2apic);
}

bool lm_lapic_enabled(struct lm_vcpu *vcpu)
{
	return vcpu->lapic && READ_ONCE(vcpu->lapic->enabled);
}

/* ---- life ---- */

/* Power-on values; APIC_BASE stays (SDM vol. 3, 11.4.7.1). */
static void lm_lapic_clear(struct lm_lapic *l)
{
	static const u16 lvts[] = { APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0, APIC_LVT1,
				    APIC_LVTERR };
	unsigned int i;

	lm_timer_stop(l);
	/* Not memset(): others may set bits in IRR right now. */
	for (i = 0; i < 0x400; i += 16)
		lm_reg_set(l, i, 0);
	lm_reg_set(l, APIC_LVR, LM_LVR);
	lm_reg_set(l, APIC_DFR, ~0u);
	lm_reg_set(l, APIC_SPIV, LM_SPIV_RESET);
	for (i = 0; i < ARRAY_SIZE(lvts); i++)
		lm_reg_set(l, lvts[i], APIC_LVT_MASKED);
	/* Firmware leaves the boot processor in virtual wire mode; guests rely on it. */
	if ((u32)l->vcpu->id == l->vcpu->vm->bsp_id &&
	    !(l->vcpu->vm->x86.disabled_quirks & KVM_X86_QUIRK_LINT0_REENABLED))
		lm_reg_set(l, APIC_LVT0, APIC_DM_EXTINT);
	l->vcpu->x86.cr8 = 0;
	l->esr_pending = 0;
	l->isr_words = 0;
	l->isr_highest = -1;
	l->timer.lvtt = APIC_LVT_MASKED;
	l->timer.tdcr = 0;
	for (i = 0; i < ARRAY_SIZE(l->posted); i++)
		WRITE_ONCE(l->posted[i], 0);
	lm_lapic_set_ids(l);
	lm_lapic_derive(l);
}

/**
 * lm_lapic_reset() - power-on or INIT
 * @vcpu: the vCPU, its own thread
 * @init: INIT leaves APIC_BASE, and so the mode, alone
 */
void lm_lapic_reset(struct lm_vcpu *vcpu, bool init)
{
	struct lm_lapic *l = vcpu->lapic;

	if (!l)
		return;
	if (!init) {
		l->base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
			  ((u32)vcpu->id == vcpu->vm->bsp_id ? MSR_IA32_APICBASE_BSP : 0);
		lm_lapic_derive(l);
	}
	lm_lapic_clear(l);
}

/**
 * lm_lapic_create() - give a vCPU its LAPIC
 * @vcpu: id and index are set; it is not in vm->vcpu[] yet
 *
 * Return: 0, -EINVAL for an id out of range, or -ENOMEM.
 */
int lm_lapic_create(struct lm_vcpu *vcpu)
{
	struct lm_lapic *l;

	if (vcpu->id < 0 || vcpu->id >= LM_MAX_APIC_ID)
		return -EINVAL;
	l = kzalloc(sizeof(*l), GFP_KERNEL_ACCOUNT);
	if (!l)
		return -ENOMEM;
	l->regs = (u8 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!l->regs) {
		kfree(l);
		return -ENOMEM;
	}
	l->vcpu = vcpu;
	l->hw = lm_caps.apic_hw;
	lm_timer_init(l);
	vcpu->lapic = l;
	lm_lapic_reset(vcpu, false);
	WRITE_ONCE(vcpu->vm->irq.by_apic_id[vcpu->id], vcpu->index + 1);
	return 0;
}

/**
 * lm_lapic_free() - the end of a LAPIC
 * @vcpu: nobody runs it or finds it any more
 *
 * Sleeps: waits for the timer's callback.
 */
void lm_lapic_free(struct lm_vcpu *vcpu)
{
	struct lm_lapic *l = vcpu->lapic;

	if (!l)
		return;
	hrtimer_cancel(&l->timer.hrt);
	vcpu->lapic = NULL;
	free_page((unsigned long)l->regs);
	kfree(l);
}

/**
 * lm_lapic_get() - KVM_GET_LAPIC
 * @vcpu: the vCPU, its mutex held
 * @s: where to
 *
 * Return: 0 or -EINVAL without a LAPIC in the kernel.
 */
int lm_lapic_get(struct lm_vcpu *vcpu, struct kvm_lapic_state *s)
{
	struct lm_lapic *l = vcpu->lapic;
	u32 *r = (u32 *)s->regs;
	u32 left;

	if (!l)
		return -EINVAL;
	/* Before the registers: if it runs out in between, its interrupt is among them. */
	left = lm_timer_left(l);
	if (l->hw)
		lm_lapic_pull(l);
	memcpy(s->regs, l->regs, sizeof(s->regs));
	r[APIC_TMCCT / 4] = left;
	r[APIC_PROCPRI / 4] = lm_lapic_ppr(l);
	/* Without KVM_CAP_X2APIC_API the id has the xAPIC's form in either mode. */
	if (l->x2apic && !vcpu->vm->irq.x2apic_format)
		r[APIC_ID / 4] = (u32)vcpu->id << 24;
	return 0;
}

/**
 * lm_lapic_set() - KVM_SET_LAPIC
 * @vcpu: the vCPU, its mutex held
 * @s: new registers; bits that no guest could have set are dropped
 *
 * Return: 0 or -EINVAL (no LAPIC, or an x2APIC id that is not the vCPU's).
 */
int lm_lapic_set(struct lm_vcpu *vcpu, const struct kvm_lapic_state *s)
{
	static const u16 copied[] = { APIC_TASKPRI, APIC_ESR, APIC_ICR, APIC_ICR2 };
	static const u16 lvts[] = { APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0, APIC_LVT1, APIC_LVTERR };
	struct lm_lapic *l = vcpu->lapic;
	const u32 *r = (const u32 *)s->regs;
	unsigned int i;
	u64 deadline;
	u32 id, want;

	if (!l)
		return -EINVAL;
	id = r[APIC_ID / 4];
	want = vcpu->vm->irq.x2apic_format ? vcpu->id : (u32)vcpu->id << 24;
	if (l->x2apic && id != want)
		return -EINVAL;

	deadline = l->timer.deadline;
	lm_timer_stop(l);
	for (i = 0; i < ARRAY_SIZE(copied); i++)
		lm_reg_set(l, copied[i], r[copied[i] / 4]);
	lm_reg_set(l, APIC_TASKPRI, r[APIC_TASKPRI / 4] & 0xff);
	l->vcpu->x86.cr8 = (r[APIC_TASKPRI / 4] & 0xff) >> 4;
	lm_reg_set(l, APIC_LDR, r[APIC_LDR / 4] & GENMASK(31, 24));
	lm_reg_set(l, APIC_DFR, r[APIC_DFR / 4] | GENMASK(27, 0));
	lm_reg_set(l, APIC_SPIV, r[APIC_SPIV / 4] & LM_SPIV_BITS);
	for (i = 0; i < 8 * 16; i += 16) {
		/* Vectors below 16 do not exist. */
		u32 mask = i ? ~0u : GENMASK(31, 16);

		lm_reg_set(l, APIC_ISR + i, r[(APIC_ISR + i) / 4] & mask);
		lm_reg_set(l, APIC_TMR + i, r[(APIC_TMR + i) / 4] & mask);
		lm_reg_set(l, APIC_IRR + i, r[(APIC_IRR + i) / 4] & mask);
	}
	/* Not through lm_lvt_write(): at reset LVT0 is open although SVR says disabled. */
	for (i = 0; i < ARRAY_SIZE(lvts); i++)
		lm_reg_set(l, lvts[i], r[lvts[i] / 4] & lm_lvt_bits(l, lvts[i]));
	lm_reg_set(l, APIC_TDCR, r[APIC_TDCR / 4] & 0xb);
	lm_reg_set(l, APIC_LVTT, r[APIC_LVTT / 4] & lm_lvt_bits(l, APIC_LVTT));
	l->timer.tdcr = lm_reg(l, APIC_TDCR);
	l->timer.lvtt = lm_reg(l, APIC_LVTT);
	lm_lapic_set_ids(l);
	lm_lapic_derive(l);
	lm_lapic_rescan(l);
	lm_timer_restore(l, r[APIC_TMICT / 4], r[APIC_TMCCT / 4]);
	lm_timer_set_deadline(l, deadline);	/* an MSR, not one of these registers */
	return 0;
}

/**
 * lm_lapic_show() - what is pending and in service, for debugfs
 * @vcpu: the vCPU; it may run meanwhile
 * @m: where to
 */
void lm_lapic_show(struct lm_vcpu *vcpu, struct seq_file *m)
{
	const struct lm_lapic *l = vcpu->lapic;
	int i;

	seq_printf(m, "tpr %x\n", lm_reg(l, APIC_TASKPRI));
	for (i = 7; i >= 0; i--)
		seq_printf(m, "%s%08x", i == 7 ? "irr " : "", lm_reg(l, APIC_IRR + i * 16));
	for (i = 7; i >= 0; i--)
		seq_printf(m, "%s%08x", i == 7 ? "\nisr " : "", lm_reg(l, APIC_ISR + i * 16));
	seq_printf(m, "\nirr_pending %d\n", READ_ONCE(l->irr_pending));
}
