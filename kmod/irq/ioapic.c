// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IOAPIC: 24 pins, each with a redirection entry, at 0xfec00000.  Version 0x11
 * (82093AA), so there is no EOI register: EOIs come from the LAPICs.
 *
 * A pin's line is high while one of its sources holds it high.  The polarity bit is
 * ignored: sources speak of asserted and not asserted.
 */
#include <linux/bitops.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "chips.h"

#define LM_IOAPIC_SEL		0x00
#define LM_IOAPIC_WIN		0x10
#define LM_IOAPIC_VERSION	(0x11 | (LM_IOAPIC_PINS - 1) << 16)

struct lm_ioapic *lm_ioapic_create(struct lm_vm *vm)
{
	struct lm_ioapic *io = kzalloc(sizeof(*io), GFP_KERNEL_ACCOUNT);
	unsigned int i;

	if (!io)
		return NULL;
	raw_spin_lock_init(&io->lock);
	io->vm = vm;
	io->base = LM_IOAPIC_BASE;
	for (i = 0; i < LM_IOAPIC_PINS; i++)
		io->rte[i] = LM_RTE_MASKED;
	return io;
}

/* The PIT is on pin 0 or 2, edge-triggered: its EOIs are wanted too. */
static void lm_ioapic_update_eoi_map(struct lm_ioapic *io)
{
	unsigned long map[4] = {};
	unsigned int pin, i;

	for (pin = 0; pin <= 2; pin += 2)
		if (!(io->rte[pin] & (LM_RTE_MASKED | LM_RTE_LEVEL)))
			__set_bit(io->rte[pin] & LM_RTE_VECTOR, map);
	for (i = 0; i < 4; i++)
		WRITE_ONCE(io->eoi_map[i], map[i]);
}

/* Send what a pin asks for.  1 delivered, 0 merged or in service, -1 masked or refused. */
static int lm_ioapic_service(struct lm_ioapic *io, unsigned int pin)
{
	u64 rte = io->rte[pin];
	u32 dest = rte >> LM_RTE_DEST_SHIFT;
	struct lm_msg m = {
		.vector = rte & LM_RTE_VECTOR,
		.mode = rte & LM_RTE_MODE,
		.logical = rte & LM_RTE_LOGICAL,
		/* NMI, INIT and the like are edges whatever the pin says. */
		.level = (rte & LM_RTE_LEVEL) && (rte & LM_RTE_MODE) <= APIC_DM_LOWEST,
		.dest = dest == LM_DEST_XAPIC_ALL && !READ_ONCE(io->vm->irq.no_broadcast_quirk) ?
			LM_DEST_ALL : dest,
	};
	int r;

	if (rte & LM_RTE_MASKED)
		return -1;
	if (m.level && (rte & LM_RTE_REMOTE_IRR))
		return 0;
	r = lm_irq_deliver(io->vm, &m);
	if (!m.level)
		io->delivered |= BIT(pin);
	else if (r >= 0)
		io->rte[pin] |= LM_RTE_REMOTE_IRR;
	return r;
}

static int lm_ioapic_assert(struct lm_ioapic *io, unsigned int pin)
{
	bool was = io->irr & BIT(pin);

	io->irr |= BIT(pin);
	if (!(io->rte[pin] & LM_RTE_LEVEL)) {
		if (was)
			return 0;	/* no edge */
		io->delivered &= ~BIT(pin);
	}
	return lm_ioapic_service(io, pin);
}

/**
 * lm_ioapic_line() - a source raises or lowers a pin
 * @io: the IOAPIC
 * @pin: below LM_IOAPIC_PINS
 * @source: enum lm_irq_source
 * @level: asserted
 *
 * Return: as KVM_IRQ_LINE_STATUS wants it: 1 delivered, 0 merged, -1 masked.
 */
int lm_ioapic_line(struct lm_ioapic *io, unsigned int pin, unsigned int source, bool level)
{
	unsigned long flags;
	int r = 1;

	raw_spin_lock_irqsave(&io->lock, flags);
	if (level)
		io->sources[pin] |= BIT(source);
	else
		io->sources[pin] &= ~BIT(source);
	if (io->sources[pin]) {
		r = lm_ioapic_assert(io, pin);
	} else {
		io->irr &= ~BIT(pin);
		io->delivered &= ~BIT(pin);
	}
	raw_spin_unlock_irqrestore(&io->lock, flags);
	return r;
}

/**
 * lm_ioapic_eoi() - an LAPIC broadcasts an EOI
 * @io: the IOAPIC
 * @vector: whose service ended
 * @level: it was level-triggered
 *
 * Those who wait for the acknowledge go first, since they may lower the line.
 */
void lm_ioapic_eoi(struct lm_ioapic *io, u8 vector, bool level)
{
	unsigned long flags, pins = 0;
	unsigned int pin;

	raw_spin_lock_irqsave(&io->lock, flags);
	for (pin = 0; pin < LM_IOAPIC_PINS; pin++)
		if ((io->rte[pin] & LM_RTE_VECTOR) == vector)
			__set_bit(pin, &pins);
	raw_spin_unlock_irqrestore(&io->lock, flags);

	for_each_set_bit(pin, &pins, LM_IOAPIC_PINS)
		lm_irq_acked(io->vm, KVM_IRQCHIP_IOAPIC, pin);
	if (!level)
		return;

	raw_spin_lock_irqsave(&io->lock, flags);
	for_each_set_bit(pin, &pins, LM_IOAPIC_PINS) {
		if ((io->rte[pin] & (LM_RTE_VECTOR | LM_RTE_LEVEL)) != (vector | LM_RTE_LEVEL))
			continue;
		io->rte[pin] &= ~LM_RTE_REMOTE_IRR;
		if (io->irr & BIT(pin))
			lm_ioapic_service(io, pin);
	}
	raw_spin_unlock_irqrestore(&io->lock, flags);
}

/* Returns true if an acknowledge of the pin may have been lost: opened, or a new vector. */
static bool lm_ioapic_write_rte(struct lm_ioapic *io, unsigned int pin, bool high, u32 val)
{
	u64 old = io->rte[pin], new;

	if (high)
		new = (u32)old | (u64)val << 32;
	else
		new = (old & GENMASK_ULL(63, 32)) | (val & ~(u32)LM_RTE_RO) | (old & LM_RTE_RO);
	new &= LM_RTE_ALL;
	/*
	 * Without an EOI register, guests end a level interrupt by making the pin
	 * edge-triggered for a moment.
	 */
	if (!(new & LM_RTE_LEVEL))
		new &= ~LM_RTE_REMOTE_IRR;
	io->rte[pin] = new;
	lm_ioapic_update_eoi_map(io);
	if ((new & LM_RTE_LEVEL) && (io->irr & BIT(pin)))
		lm_ioapic_service(io, pin);
	return ((old & ~new) & LM_RTE_MASKED) || ((old ^ new) & LM_RTE_VECTOR);
}

static void lm_ioapic_write(struct lm_ioapic *io, u32 val)
{
	unsigned long flags;
	bool unmasked = false;
	unsigned int pin = 0;

	raw_spin_lock_irqsave(&io->lock, flags);
	switch (io->sel) {
	case 0:
		io->id = val >> 24 & 0xf;
		break;
	case 0x10 ... 0x10 + 2 * LM_IOAPIC_PINS - 1:
		pin = array_index_nospec((io->sel - 0x10) / 2, LM_IOAPIC_PINS);
		unmasked = lm_ioapic_write_rte(io, pin, io->sel & 1, val);
		break;
	}
	raw_spin_unlock_irqrestore(&io->lock, flags);
	if (unmasked)
		lm_irq_unmasked(io->vm, KVM_IRQCHIP_IOAPIC, pin);
}

static u32 lm_ioapic_read(struct lm_ioapic *io)
{
	unsigned long flags;
	unsigned int pin;
	u32 val = 0;

	raw_spin_lock_irqsave(&io->lock, flags);
	switch (io->sel) {
	case 0:			/* id */
	case 2:			/* arbitration id */
		val = io->id << 24;
		break;
	case 1:
		val = LM_IOAPIC_VERSION;
		break;
	case 0x10 ... 0x10 + 2 * LM_IOAPIC_PINS - 1:
		pin = array_index_nospec((io->sel - 0x10) / 2, LM_IOAPIC_PINS);
		val = io->sel & 1 ? io->rte[pin] >> 32 : io->rte[pin];
		break;
	}
	raw_spin_unlock_irqrestore(&io->lock, flags);
	return val;
}

/**
 * lm_ioapic_mmio() - access to the IOAPIC's registers
 * @io: the IOAPIC
 * @off: offset from its base, below LM_IOAPIC_SIZE
 * @bytes: 1, 2, 4 or 8
 * @write: direction
 * @val: value, little-endian
 */
void lm_ioapic_mmio(struct lm_ioapic *io, unsigned int off, unsigned int bytes, bool write,
		    void *val)
{
	u64 v = 0;

	if (write) {
		v = lm_load(val, bytes);
		if (off == LM_IOAPIC_SEL)
			WRITE_ONCE(io->sel, v & 0xff);
		else if (off == LM_IOAPIC_WIN)
			lm_ioapic_write(io, v);
		return;
	}
	if (off == LM_IOAPIC_SEL)
		v = READ_ONCE(io->sel);
	else if (off == LM_IOAPIC_WIN)
		v = lm_ioapic_read(io);
	lm_store(val, bytes, v);
}

void lm_ioapic_get(struct lm_ioapic *io, struct kvm_ioapic_state *s)
{
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&io->lock, flags);
	s->base_address = io->base;
	s->ioregsel = io->sel;
	s->id = io->id;
	/* Edges that went out already must not go out again where this is restored. */
	s->irr = io->irr & ~io->delivered;
	s->pad = 0;
	for (i = 0; i < LM_IOAPIC_PINS; i++)
		s->redirtbl[i].bits = io->rte[i];
	raw_spin_unlock_irqrestore(&io->lock, flags);
}

void lm_ioapic_set(struct lm_ioapic *io, const struct kvm_ioapic_state *s)
{
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&io->lock, flags);
	WRITE_ONCE(io->base, s->base_address);
	lm_doorbells_moved(&io->vm->irq);
	io->sel = s->ioregsel & 0xff;
	io->id = s->id & 0xf;
	io->irr = 0;
	io->delivered = 0;
	for (i = 0; i < LM_IOAPIC_PINS; i++)
		io->rte[i] = s->redirtbl[i].bits & LM_RTE_ALL;
	lm_ioapic_update_eoi_map(io);
	for (i = 0; i < LM_IOAPIC_PINS; i++)
		if (s->irr & BIT(i))
			lm_ioapic_assert(io, i);
	raw_spin_unlock_irqrestore(&io->lock, flags);
}
