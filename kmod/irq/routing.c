// SPDX-License-Identifier: GPL-2.0-only
/*
 * Routing: what a GSI means.  It is one or several pins of the chips, or one MSI.
 * The table is replaced as a whole; readers may be in any context.
 */
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "chips.h"

#ifndef KVM_MAX_IRQ_ROUTES
#define KVM_MAX_IRQ_ROUTES	4096
#endif

/* ---- MSI ---- */

/**
 * lm_msi_decode() - the message that a write to 0xfeexxxxx stands for
 * @vm: for the format of ids above 255
 * @lo: address
 * @hi: its high half: bits 31:8 of the id, if user space asked for that format
 * @data: data
 * @m: where to
 *
 * SDM vol. 3, 11.11.
 */
void lm_msi_decode(const struct lm_vm *vm, u32 lo, u32 hi, u32 data, struct lm_msg *m)
{
	*m = (struct lm_msg) {
		.dest = lo >> 12 & 0xff,
		.logical = lo >> 2 & 1,
		.lowest = lo >> 3 & 1,
		.vector = data,
		.mode = data & APIC_DM_FIXED_MASK,
		.level = data >> 15 & 1,
	};
	if (vm->irq.x2apic_format)
		m->dest |= hi & ~0xffu;
	if (m->dest == LM_DEST_XAPIC_ALL && !vm->irq.no_broadcast_quirk)
		m->dest = LM_DEST_ALL;
}

/* With 32-bit ids, bits 7:0 of the high half mean nothing and must not be set. */
static bool lm_msi_valid(const struct lm_vm *vm, u32 hi)
{
	return !vm->irq.x2apic_format || !(hi & 0xff);
}

/**
 * lm_irq_signal_msi() - KVM_SIGNAL_MSI
 * @vm: the VM
 * @msi: the message
 *
 * Return: 1 and more delivered, 0 blocked by the guest, -EINVAL.
 */
int lm_irq_signal_msi(struct lm_vm *vm, const struct kvm_msi *msi)
{
	struct lm_msg m;
	int r;

	if (!lm_irq_ready(&vm->irq) || msi->flags || !lm_msi_valid(vm, msi->address_hi))
		return -EINVAL;
	lm_msi_decode(vm, msi->address_lo, msi->address_hi, msi->data, &m);
	r = lm_irq_deliver(vm, &m);
	return max(r, 0);
}

/* ---- lines ---- */

/* One route of a GSI; the status as KVM_IRQ_LINE_STATUS has it. */
int lm_route_send(struct lm_vm *vm, const struct lm_route *r, int level, int source)
{
	struct lm_msg m;

	if (r->type == KVM_IRQ_ROUTING_MSI) {
		if (!level)
			return -1;
		lm_msi_decode(vm, r->lo, r->hi, r->data, &m);
		return lm_irq_deliver(vm, &m);
	}
	if (r->chip == KVM_IRQCHIP_IOAPIC)
		return lm_ioapic_line(vm->irq.ioapic, r->pin, source, level);
	return lm_pic_line(vm->irq.pic, r->chip * 8 + r->pin, source, level);
}

/**
 * lm_irq_line() - a source raises or lowers a GSI
 * @vm: the VM
 * @gsi: any value; without a route nothing happens
 * @level: nonzero: asserted
 * @source: enum lm_irq_source
 *
 * Any context.
 *
 * Return: 1 or more delivered, 0 merged, -1 masked or unknown.
 */
int lm_irq_line(struct lm_vm *vm, u32 gsi, int level, int source)
{
	const struct lm_routing *t;
	int sum = -1, r;
	u32 i;

	source = array_index_nospec(source & (LM_SRC_MAX - 1), LM_SRC_MAX);
	rcu_read_lock();
	t = rcu_dereference(vm->irq.routing);
	if (t && gsi < t->nr_gsi) {
		gsi = array_index_nospec(gsi, t->nr_gsi);
		for (i = t->index[gsi]; i < t->index[gsi + 1]; i++) {
			r = lm_route_send(vm, &t->route[i], level, source);
			if (r >= 0)
				sum = r + max(sum, 0);
		}
	}
	rcu_read_unlock();
	return sum;
}

static s32 lm_pin_gsi(const struct lm_routing *t, unsigned int chip, unsigned int pin)
{
	return t ? t->chip_gsi[chip][pin] : -1;
}

/**
 * lm_irq_acked() - the guest ended the service of a chip's pin
 * @vm: the VM
 * @chip: KVM_IRQCHIP_*
 * @pin: its pin
 *
 * No lock of a controller may be held.
 */
void lm_irq_acked(struct lm_vm *vm, unsigned int chip, unsigned int pin)
{
	struct lm_pit *pit = lm_irq_pit(&vm->irq);
	s32 gsi;

	if (!pit && list_empty(&vm->irq.resamplers))
		return;
	rcu_read_lock();
	gsi = lm_pin_gsi(rcu_dereference(vm->irq.routing), chip, pin);
	rcu_read_unlock();
	if (gsi < 0)
		return;
	if (pit && gsi == 0)
		lm_pit_ack(pit);
	lm_irqfd_resample(vm, gsi);
}

/**
 * lm_irq_unmasked() - the guest opened a pin that was masked
 * @vm: the VM
 * @chip: KVM_IRQCHIP_*
 * @pin: its pin
 */
void lm_irq_unmasked(struct lm_vm *vm, unsigned int chip, unsigned int pin)
{
	struct lm_pit *pit = lm_irq_pit(&vm->irq);
	s32 gsi;

	if (!pit)
		return;
	rcu_read_lock();
	gsi = lm_pin_gsi(rcu_dereference(vm->irq.routing), chip, pin);
	rcu_read_unlock();
	if (gsi == 0)
		lm_pit_unmasked(pit);
}

/* ---- tables ---- */

static int lm_route_parse(const struct lm_vm *vm, const struct kvm_irq_routing_entry *e,
			  struct lm_route *r)
{
	*r = (struct lm_route) { .gsi = e->gsi, .type = e->type };
	if (e->gsi >= KVM_MAX_IRQ_ROUTES)
		return -EINVAL;
	switch (e->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		if (e->flags || e->u.irqchip.irqchip >= KVM_NR_IRQCHIPS || !vm->irq.pic)
			return -EINVAL;
		if (e->u.irqchip.pin >= (e->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC ?
					 LM_IOAPIC_PINS : 8))
			return -EINVAL;
		r->chip = e->u.irqchip.irqchip;
		r->pin = e->u.irqchip.pin;
		return 0;
	case KVM_IRQ_ROUTING_MSI:
		/* A device id is for architectures that translate by it. */
		if ((e->flags & ~KVM_MSI_VALID_DEVID) || !lm_msi_valid(vm, e->u.msi.address_hi))
			return -EINVAL;
		r->lo = e->u.msi.address_lo;
		r->hi = e->u.msi.address_hi;
		r->data = e->u.msi.data;
		return 0;
	default:
		return -EINVAL;
	}
}

/* A GSI is one MSI, or at most one pin of each chip. */
static bool lm_route_collides(const struct lm_route *a, const struct lm_route *b)
{
	return a->type != KVM_IRQ_ROUTING_IRQCHIP || b->type != KVM_IRQ_ROUTING_IRQCHIP ||
	       a->chip == b->chip;
}

static struct lm_routing *lm_routing_alloc(u32 nr, u32 nr_gsi)
{
	struct lm_routing *t;
	size_t size = struct_size(t, route, nr);

	t = kvzalloc(size + (nr_gsi + 1) * sizeof(u32), GFP_KERNEL_ACCOUNT);
	if (!t)
		return NULL;
	t->nr_gsi = nr_gsi;
	t->index = (void *)t + size;
	memset(t->chip_gsi, 0xff, sizeof(t->chip_gsi));
	return t;
}

/* Counting sort: index[g] runs through the places of g and ends as its end. */
static int lm_routing_fill(const struct lm_vm *vm, struct lm_routing *t, u32 nr,
			   const struct kvm_irq_routing_entry *e)
{
	struct lm_route r;
	u32 i, j, g;
	int err;

	for (i = 0; i < nr; i++)
		t->index[e[i].gsi + 1]++;
	for (g = 0; g < t->nr_gsi; g++)
		t->index[g + 1] += t->index[g];

	for (i = 0; i < nr; i++) {
		err = lm_route_parse(vm, &e[i], &r);
		if (err)
			return err;
		/* Places that are not yet taken have type 0. */
		for (j = t->index[r.gsi]; t->route[j].type; j++)
			if (lm_route_collides(&t->route[j], &r))
				return -EINVAL;
		t->route[j] = r;
		if (r.type == KVM_IRQ_ROUTING_IRQCHIP)
			t->chip_gsi[r.chip][r.pin] = r.gsi;
	}
	return 0;
}

/**
 * lm_routing_build() - check routes and make a table of them
 * @vm: the VM
 * @nr: number of routes
 * @e: the routes
 *
 * Return: the table, or ERR_PTR(-EINVAL), ERR_PTR(-ENOMEM).
 */
struct lm_routing *lm_routing_build(const struct lm_vm *vm, u32 nr,
				    const struct kvm_irq_routing_entry *e)
{
	struct lm_routing *t;
	u32 i, nr_gsi = 0;
	int err;

	for (i = 0; i < nr; i++) {
		if (e[i].gsi >= KVM_MAX_IRQ_ROUTES)
			return ERR_PTR(-EINVAL);
		nr_gsi = max(nr_gsi, e[i].gsi + 1);
	}
	t = lm_routing_alloc(nr, nr_gsi);
	if (!t)
		return ERR_PTR(-ENOMEM);
	err = lm_routing_fill(vm, t, nr, e);
	if (err) {
		kvfree(t);
		return ERR_PTR(err);
	}
	return t;
}

/* When this returns, nobody uses the old table. */
static void lm_routing_replace(struct lm_vm *vm, struct lm_routing *new)
{
	struct lm_routing *old;

	mutex_lock(&vm->irq.lock);
	old = rcu_replace_pointer(vm->irq.routing, new, lockdep_is_held(&vm->irq.lock));
	mutex_unlock(&vm->irq.lock);
	if (!old)
		return;
	synchronize_rcu_expedited();
	kvfree(old);
}

/**
 * lm_irq_set_routing() - KVM_SET_GSI_ROUTING
 * @vm: the VM
 * @hdr: number and flags, as copied in
 * @entries: as many routes
 *
 * Return: 0, -EINVAL, -ENOMEM.
 */
int lm_irq_set_routing(struct lm_vm *vm, const struct kvm_irq_routing *hdr,
		       const struct kvm_irq_routing_entry *entries)
{
	struct lm_routing *t;

	if (!lm_irq_ready(&vm->irq) || hdr->nr > KVM_MAX_IRQ_ROUTES || hdr->flags)
		return -EINVAL;
	t = lm_routing_build(vm, hdr->nr, entries);
	if (IS_ERR(t))
		return PTR_ERR(t);
	lm_routing_replace(vm, t);
	return 0;
}

/**
 * lm_routing_default() - routes of a new VM
 * @vm: the VM; its chips are there
 *
 * GSIs 0 to 15 are the PIC's inputs and the IOAPIC's pins, 16 to 23 pins alone.
 * The timer's GSI 0 also reaches pin 2, where firmware tables of PCs say it is.
 *
 * Return: 0 or -ENOMEM.
 */
int lm_routing_default(struct lm_vm *vm)
{
	struct lm_routing *t = lm_routing_alloc(LM_IOAPIC_PINS + 16 + 1, LM_IOAPIC_PINS);
	struct lm_route *r;
	u32 g;

	if (!t)
		return -ENOMEM;
	r = t->route;
	for (g = 0; g < LM_IOAPIC_PINS; g++) {
		t->index[g] = r - t->route;
		if (g < 16) {
			*r++ = (struct lm_route) { .gsi = g, .type = KVM_IRQ_ROUTING_IRQCHIP,
						   .chip = g / 8, .pin = g % 8 };
			t->chip_gsi[g / 8][g % 8] = g;
		}
		*r++ = (struct lm_route) { .gsi = g, .type = KVM_IRQ_ROUTING_IRQCHIP,
					   .chip = KVM_IRQCHIP_IOAPIC, .pin = g };
		t->chip_gsi[KVM_IRQCHIP_IOAPIC][g] = g;
		if (g == 0)
			*r++ = (struct lm_route) { .gsi = g, .type = KVM_IRQ_ROUTING_IRQCHIP,
						   .chip = KVM_IRQCHIP_IOAPIC, .pin = 2 };
	}
	t->index[g] = r - t->route;
	t->chip_gsi[KVM_IRQCHIP_IOAPIC][2] = 0;
	lm_routing_replace(vm, t);
	return 0;
}

void lm_routing_free(struct lm_vm *vm)
{
	kvfree(rcu_dereference_protected(vm->irq.routing, true));
	RCU_INIT_POINTER(vm->irq.routing, NULL);
}
