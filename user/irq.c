// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts and doorbells of the machine: what a GSI means (KVM_SET_GSI_ROUTING), eventfds whose signal
 * is an interrupt (KVM_IRQFD), eventfds that a guest's write signals (KVM_IOEVENTFD).
 *
 * The table of routes changes under io_lock, but for its beginning.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "dev/pci.h"
#include "machine.h"
#include "tool.h"

#define PINS 24
#define MOST_ROUTES (2 * PINS + PCI_SLOTS * PCI_VECTORS)

static void add_pin(struct kvm_irq_routing *r, unsigned int gsi, unsigned int chip, unsigned int pin)
{
	struct kvm_irq_routing_entry *e = &r->entries[r->nr++];

	e->gsi = gsi;
	e->type = KVM_IRQ_ROUTING_IRQCHIP;
	e->u.irqchip.irqchip = chip;
	e->u.irqchip.pin = pin;
}

/**
 * irq_init() - wire the interrupt controllers
 * @m: the machine, which has them
 *
 * The PIT is on pin 2 of the I/O APIC, as on a PC; every other line on its own number.
 *
 * Return: 0, or -1 with a message.
 */
int irq_init(struct machine *m)
{
	unsigned int gsi;

	m->routing = calloc(1, sizeof(*m->routing) + MOST_ROUTES * sizeof(m->routing->entries[0]));
	if (!m->routing)
		return fail("out of memory");
	for (gsi = 0; gsi < PINS; gsi++) {
		if (gsi == 2)
			continue;
		if (gsi < 16)
			add_pin(m->routing, gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER :
							   KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
		add_pin(m->routing, gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : 2);
	}
	if (ioctl(m->vm_fd, KVM_SET_GSI_ROUTING, m->routing) < 0)
		return fail_errno("cannot wire the interrupts");
	return 0;
}

static struct kvm_irq_routing_entry *find_msi(struct kvm_irq_routing *r, unsigned int gsi)
{
	unsigned int i;

	for (i = 0; i < r->nr; i++) {
		if (r->entries[i].type == KVM_IRQ_ROUTING_MSI && r->entries[i].gsi == gsi)
			return &r->entries[i];
	}
	return NULL;
}

/**
 * irq_route_msi() - say what message a GSI stands for
 * @m: the machine
 * @gsi: which
 * @address: where the message goes
 * @data: what it says
 *
 * Return: 0, or -1 when there can be no such message; the GSI means nothing then.
 */
int irq_route_msi(struct machine *m, unsigned int gsi, uint64_t address, uint32_t data)
{
	struct kvm_irq_routing_entry *e = find_msi(m->routing, gsi);
	struct kvm_irq_routing_entry new = { .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI };

	new.u.msi.address_lo = (uint32_t)address;
	new.u.msi.address_hi = (uint32_t)(address >> 32);
	new.u.msi.data = data;
	if (e && !memcmp(e, &new, sizeof(new)))
		return 0;
	if (!e && m->routing->nr == MOST_ROUTES)
		return -1;
	if (!e)
		e = &m->routing->entries[m->routing->nr++];
	*e = new;
	if (!ioctl(m->vm_fd, KVM_SET_GSI_ROUTING, m->routing))
		return 0;
	irq_unroute(m, gsi);
	return -1;
}

/** irq_unroute() - forget a GSI's message; nothing may be attached to it */
void irq_unroute(struct machine *m, unsigned int gsi)
{
	struct kvm_irq_routing_entry *e = find_msi(m->routing, gsi);

	/* The module may keep it until the next change: no one signals it. */
	if (e)
		*e = m->routing->entries[--m->routing->nr];
}

static int irqfd(struct machine *m, unsigned int gsi, int fd, uint32_t flags)
{
	struct kvm_irqfd args = { .fd = (uint32_t)fd, .gsi = gsi, .flags = flags };

	return ioctl(m->vm_fd, KVM_IRQFD, &args);
}

/**
 * irq_attach() - make an eventfd's signals interrupts; one that waits is delivered now
 * @m: the machine
 * @gsi: which interrupt
 * @fd: the eventfd
 *
 * Return: 0 or -1.
 */
int irq_attach(struct machine *m, unsigned int gsi, int fd)
{
	return irqfd(m, gsi, fd, 0);
}

/** irq_detach() - let an eventfd's signals wait in it */
void irq_detach(struct machine *m, unsigned int gsi, int fd)
{
	irqfd(m, gsi, fd, KVM_IRQFD_FLAG_DEASSIGN);
}

static int ioeventfd(struct machine *m, uint64_t address, int fd, uint32_t flags)
{
	/* Of any length: the write's value says nothing that its address does not. */
	struct kvm_ioeventfd args = { .addr = address, .fd = fd, .flags = flags };

	return ioctl(m->vm_fd, KVM_IOEVENTFD, &args);
}

/**
 * doorbell_add() - have a guest's writes to an address signal an eventfd
 * @m: the machine
 * @address: guest-physical
 * @fd: the eventfd
 *
 * Return: 0, or -1: then the writes reach the device as others do.
 */
int doorbell_add(struct machine *m, uint64_t address, int fd)
{
	return ioeventfd(m, address, fd, 0);
}

/** doorbell_del() - no longer */
void doorbell_del(struct machine *m, uint64_t address, int fd)
{
	ioeventfd(m, address, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}
