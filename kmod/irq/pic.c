// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two 8259A interrupt controllers of a PC, the slave on the master's input 2,
 * with the edge/level registers at ports 0x4d0 and 0x4d1.  INTR goes to LINT0 of the
 * LAPICs, or straight to a processor whose LAPIC is off.
 *
 * The state is kept in the form that KVM_GET_IRQCHIP hands out.
 */
#include <linux/bitops.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "chips.h"

#define LM_CASCADE	2

/*
 * Drop the lock; then tell whom it concerns what happened while it was held.
 * Those call back into this controller.
 */
static void lm_pic_unlock(struct lm_pic *pic, unsigned long flags)
	__releases(&pic->lock)
{
	unsigned long acked = pic->acked;
	bool raised = pic->raised && pic->output;
	bool unmasked = pic->unmasked;
	struct lm_vcpu *v;
	unsigned int pin;
	int i;

	pic->acked = 0;
	pic->raised = false;
	pic->unmasked = 0;
	raw_spin_unlock_irqrestore(&pic->lock, flags);

	if (raised)
		lm_for_each_vcpu(i, v, pic->vm)
			if (lm_lapic_lint0(v))
				break;
	for_each_set_bit(pin, &acked, 16)
		lm_irq_acked(pic->vm, pin >> 3, pin & 7);
	if (unmasked)
		lm_irq_unmasked(pic->vm, KVM_IRQCHIP_PIC_MASTER, 0);
}

/* Place in the order of priority of the first request in mask: 0 to 7, or 8. */
static unsigned int lm_pic_first(const struct kvm_pic_state *s, u8 mask)
{
	unsigned int p = s->priority_add & 7;

	return mask ? __ffs((u8)(mask >> p | mask << (8 - p))) : 8;
}

/* The request that a chip passes on, or -1: it must beat what is in service. */
static int lm_pic_request(const struct lm_pic *pic, unsigned int n)
{
	const struct kvm_pic_state *s = &pic->chip[n];
	unsigned int first = lm_pic_first(s, s->irr & ~s->imr);
	u8 isr = s->isr;

	if (first == 8)
		return -1;
	if (s->special_mask)
		isr &= ~s->imr;
	/* The slave may ask again while the master serves it. */
	if (n == 0 && s->special_fully_nested_mode)
		isr &= ~BIT(LM_CASCADE);
	if (first >= lm_pic_first(s, isr))
		return -1;
	return (first + s->priority_add) & 7;
}

/* The slave's INT is the master's input 2; the master's is INTR. */
static void lm_pic_update(struct lm_pic *pic)
{
	struct kvm_pic_state *m = &pic->chip[0];
	bool out;

	if (lm_pic_request(pic, 1) >= 0)
		m->irr |= BIT(LM_CASCADE);
	else
		m->irr &= ~BIT(LM_CASCADE);
	out = lm_pic_request(pic, 0) >= 0;
	if (out && !pic->output)
		pic->raised = true;
	WRITE_ONCE(pic->output, out);
}

static void lm_pic_clear_isr(struct lm_pic *pic, unsigned int n, unsigned int irq)
{
	pic->chip[n].isr &= ~BIT(irq);
	pic->acked |= BIT(n * 8 + irq);
}

/* INTA for a request of a chip. */
static void lm_pic_inta(struct lm_pic *pic, unsigned int n, unsigned int irq)
{
	struct kvm_pic_state *s = &pic->chip[n];

	s->isr |= BIT(irq);
	if (!(s->elcr & BIT(irq)))
		s->irr &= ~BIT(irq);
	if (!s->auto_eoi)
		return;
	if (s->rotate_on_auto_eoi)
		s->priority_add = (irq + 1) & 7;
	lm_pic_clear_isr(pic, n, irq);
}

static int lm_pic_input(struct kvm_pic_state *s, unsigned int irq, bool level)
{
	u8 mask = BIT(irq);
	int r = 1;

	if (!level) {
		s->last_irr &= ~mask;
		if (s->elcr & mask)
			s->irr &= ~mask;
	} else if ((s->elcr & mask) || !(s->last_irr & mask)) {
		r = !(s->irr & mask);
		s->irr |= mask;
		s->last_irr |= mask;
	}
	return s->imr & mask ? -1 : r;
}

/**
 * lm_pic_line() - a source raises or lowers an input
 * @pic: the pair
 * @pin: 0 to 15
 * @source: enum lm_irq_source
 * @level: asserted
 *
 * Return: as KVM_IRQ_LINE_STATUS wants it: 1 delivered, 0 merged, -1 masked.
 */
int lm_pic_line(struct lm_pic *pic, unsigned int pin, unsigned int source, bool level)
{
	unsigned long flags;
	int r = -1;

	raw_spin_lock_irqsave(&pic->lock, flags);
	if (level)
		pic->sources[pin] |= BIT(source);
	else
		pic->sources[pin] &= ~BIT(source);
	if (pin != LM_CASCADE) {
		r = lm_pic_input(&pic->chip[pin >> 3], pin & 7, pic->sources[pin]);
		lm_pic_update(pic);
	}
	lm_pic_unlock(pic, flags);
	return r;
}

/**
 * lm_pic_ack() - a processor's INTA cycle
 * @pic: the pair
 *
 * Return: the vector, or -1 if INTR has gone.
 */
int lm_pic_ack(struct lm_pic *pic)
{
	struct kvm_pic_state *m = &pic->chip[0], *s = &pic->chip[1];
	unsigned long flags;
	int irq, vector = -1;

	raw_spin_lock_irqsave(&pic->lock, flags);
	irq = lm_pic_request(pic, 0);
	if (irq >= 0) {
		vector = m->irq_base + irq;
		lm_pic_inta(pic, 0, irq);
		if (irq == LM_CASCADE) {
			irq = lm_pic_request(pic, 1);
			vector = s->irq_base + (irq >= 0 ? irq : 7);	/* 7: spurious */
			if (irq >= 0)
				lm_pic_inta(pic, 1, irq);
		}
		lm_pic_update(pic);
	}
	lm_pic_unlock(pic, flags);
	return vector;
}

static void lm_pic_icw1(struct kvm_pic_state *s, u8 val)
{
	s->init4 = val & 1;
	s->last_irr = 0;
	s->irr &= s->elcr;
	s->imr = 0;
	s->isr = 0;
	s->priority_add = 0;
	s->special_mask = 0;
	s->read_reg_select = 0;
	s->poll = 0;
	s->auto_eoi = 0;
	s->rotate_on_auto_eoi = 0;
	s->special_fully_nested_mode = 0;
	s->init_state = 1;
}

static void lm_pic_ocw2(struct lm_pic *pic, unsigned int n, u8 val)
{
	struct kvm_pic_state *s = &pic->chip[n];
	unsigned int cmd = val >> 5, irq = val & 7, first;
	u8 isr = s->isr;

	switch (cmd) {
	case 0:
	case 4:
		s->rotate_on_auto_eoi = cmd == 4;
		break;
	case 1:		/* end of interrupt */
	case 5:		/* and rotate */
		/* In special mask mode the masked ones are out of reach. */
		if (s->special_mask)
			isr &= ~s->imr;
		first = lm_pic_first(s, isr);
		if (first == 8)
			break;
		irq = (first + s->priority_add) & 7;
		if (cmd == 5)
			s->priority_add = (irq + 1) & 7;
		lm_pic_clear_isr(pic, n, irq);
		break;
	case 3:		/* specific end of interrupt */
	case 7:		/* and rotate */
		if (cmd == 7)
			s->priority_add = (irq + 1) & 7;
		lm_pic_clear_isr(pic, n, irq);
		break;
	case 6:		/* set priority */
		s->priority_add = (irq + 1) & 7;
		break;
	}
}

static void lm_pic_write_command(struct lm_pic *pic, unsigned int n, u8 val)
{
	struct kvm_pic_state *s = &pic->chip[n];

	if (val & 0x10) {
		lm_pic_icw1(s, val);
	} else if (val & 0x08) {
		s->poll = !!(val & 0x04);
		if (val & 0x02)
			s->read_reg_select = val & 1;
		if (val & 0x40)
			s->special_mask = val >> 5 & 1;
	} else {
		lm_pic_ocw2(pic, n, val);
	}
}

static void lm_pic_write_data(struct lm_pic *pic, unsigned int n, u8 val)
{
	struct kvm_pic_state *s = &pic->chip[n];

	switch (s->init_state) {
	case 0:
		if (n == 0 && (s->imr & ~val & 1))
			pic->unmasked = 1;
		s->imr = val;
		break;
	case 1:
		s->irq_base = val & 0xf8;
		s->init_state = 2;
		break;
	case 2:		/* who is whose slave is wired */
		s->init_state = s->init4 ? 3 : 0;
		break;
	case 3:
		s->special_fully_nested_mode = val >> 4 & 1;
		s->auto_eoi = val >> 1 & 1;
		s->init_state = 0;
		break;
	}
}

static noinline void lm_pic_write_chip(struct lm_pic *pic, u16 port, u8 val)
{
	unsigned int n = port >> 7 & 1;
	unsigned long flags;

	raw_spin_lock_irqsave(&pic->lock, flags);
	if (port & 1)
		lm_pic_write_data(pic, n, val);
	else
		lm_pic_write_command(pic, n, val);
	lm_pic_update(pic);
	lm_pic_unlock(pic, flags);
}

/**
 * lm_pic_write() - OUT to one of the ports
 * @pic: the pair
 * @port: 0x20, 0x21, 0xa0, 0xa1, 0x4d0 or 0x4d1
 * @val: the byte
 */
void lm_pic_write(struct lm_pic *pic, u16 port, u8 val)
{
	struct kvm_pic_state *elcr = &pic->chip[port & 1];

	/* It matters when an input changes next: one byte, no lock. */
	if (port >> 4 == 0x4d)
		WRITE_ONCE(elcr->elcr, val & elcr->elcr_mask);
	else
		lm_pic_write_chip(pic, port, val);
}

/* A read in poll mode is the INTA: bit 7 and the level, or 0. */
static u8 lm_pic_poll(struct lm_pic *pic, unsigned int n)
{
	int irq = lm_pic_request(pic, n);

	pic->chip[n].poll = 0;
	if (irq < 0)
		return 0;
	lm_pic_inta(pic, n, irq);
	lm_pic_update(pic);
	return 0x80 | irq;
}

/**
 * lm_pic_read() - IN from one of the ports
 * @pic: the pair
 * @port: 0x20, 0x21, 0xa0, 0xa1, 0x4d0 or 0x4d1
 *
 * Return: the byte.
 */
u8 lm_pic_read(struct lm_pic *pic, u16 port)
{
	unsigned int n = port >> 7 & 1;
	struct kvm_pic_state *s = &pic->chip[n];
	unsigned long flags;
	u8 val;

	if (port >> 4 == 0x4d)
		return READ_ONCE(pic->chip[port & 1].elcr);
	raw_spin_lock_irqsave(&pic->lock, flags);
	if (s->poll)
		val = lm_pic_poll(pic, n);
	else if (port & 1)
		val = s->imr;
	else
		val = s->read_reg_select ? s->isr : s->irr;
	lm_pic_unlock(pic, flags);
	return val;
}

struct lm_pic *lm_pic_create(struct lm_vm *vm)
{
	struct lm_pic *pic = kzalloc(sizeof(*pic), GFP_KERNEL_ACCOUNT);

	if (!pic)
		return NULL;
	raw_spin_lock_init(&pic->lock);
	pic->vm = vm;
	pic->chip[0].elcr_mask = LM_ELCR_MASTER;
	pic->chip[1].elcr_mask = LM_ELCR_SLAVE;
	return pic;
}

void lm_pic_get(struct lm_pic *pic, unsigned int n, struct kvm_pic_state *s)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&pic->lock, flags);
	*s = pic->chip[n];
	raw_spin_unlock_irqrestore(&pic->lock, flags);
}

/* Whatever user space says, the fields stay in their ranges. */
void lm_pic_set(struct lm_pic *pic, unsigned int n, const struct kvm_pic_state *s)
{
	struct kvm_pic_state *d = &pic->chip[n];
	u8 elcr_mask = n ? LM_ELCR_SLAVE : LM_ELCR_MASTER;
	unsigned long flags;

	raw_spin_lock_irqsave(&pic->lock, flags);
	*d = (struct kvm_pic_state) {
		.last_irr = s->last_irr,
		.irr = s->irr,
		.imr = s->imr,
		.isr = s->isr,
		.priority_add = s->priority_add & 7,
		.irq_base = s->irq_base & 0xf8,
		.read_reg_select = s->read_reg_select & 1,
		.poll = !!s->poll,
		.special_mask = !!s->special_mask,
		.init_state = s->init_state & 3,
		.auto_eoi = !!s->auto_eoi,
		.rotate_on_auto_eoi = !!s->rotate_on_auto_eoi,
		.special_fully_nested_mode = !!s->special_fully_nested_mode,
		.init4 = !!s->init4,
		.elcr = s->elcr & elcr_mask,
		.elcr_mask = elcr_mask,
	};
	WRITE_ONCE(pic->output, false);	/* so that a request counts as risen */
	lm_pic_update(pic);
	lm_pic_unlock(pic, flags);
}
