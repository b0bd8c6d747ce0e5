// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI bus (PCI local bus specification 3.0; PCI Express base specification for the memory-mapped
 * access): a host bridge at 00:00.0 and the devices that are plugged. Configuration space is reached
 * through ports 0xcf8 and 0xcfc and through memory at ECAM_ADDRESS. The byte port 0xcf9 between those
 * ports is the reset register.
 */
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../boot/boot.h"
#include "../machine.h"
#include "dev.h"
#include "pci.h"

#define ENABLE 0x80000000u
#define DATA (0xcfc - PORT_PCI)
#define RESET (PORT_RESET - PORT_PCI)
#define RESET_CPU 0x04u
#define NO_LINE 0xff

struct pci {
	struct pio_device ports;
	struct machine *m;
	uint32_t address;
	uint8_t reset;
	unsigned int raised[PCI_INTX_LINES];	/* how many devices hold the line up */
	struct pci_device *slots[PCI_SLOTS];
	uint32_t kept;		/* places where no device is put */
	struct pci_device bridge;
};

static uint16_t word(const struct pci_device *dev, unsigned int reg)
{
	return (uint16_t)(dev->config[reg] | dev->config[reg + 1] << 8);
}

static void put(uint8_t *to, uint64_t value, unsigned int bytes)
{
	memcpy(to, &value, bytes);	/* little-endian, as we are */
}

/* ---- interrupts ---- */

static unsigned int gsi_of(const struct pci_device *dev, unsigned int vector)
{
	return PCI_FIRST_MSI + dev->slot * PCI_VECTORS + vector;
}

static uint16_t msix_control(const struct pci_device *dev)
{
	return dev->msix_cap ? word(dev, dev->msix_cap + PCI_MSIX_FLAGS) : 0;
}

static bool is_open(const struct pci_device *dev, unsigned int vector)
{
	uint16_t control = msix_control(dev);

	return (control & PCI_MSIX_FLAGS_ENABLE) && !(control & PCI_MSIX_FLAGS_MASKALL) &&
	       vector < dev->vectors &&
	       !(dev->msix[vector].control & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static void update_line(struct pci_device *dev)
{
	bool level = dev->isr && !(word(dev, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE) &&
		     !(msix_control(dev) & PCI_MSIX_FLAGS_ENABLE);
	unsigned int line = dev->slot % PCI_INTX_LINES, *raised = &dev->m->pci->raised[line];

	if (dev->isr)
		dev->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	else
		dev->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	if (level == dev->line)
		return;
	dev->line = level;
	*raised += level ? 1 : -1;
	if (*raised == level)
		machine_irq(dev->m, PCI_INTX_GSI + line, level);
}

/* Without MSI-X, signals come here. */
static void on_signal(struct watch *w)
{
	struct pci_irq *irq = (struct pci_irq *)((char *)w - offsetof(struct pci_irq, watch));
	uint64_t count;

	if (read(irq->fd, &count, sizeof(count)) != sizeof(count))
		return;
	irq->dev->isr |= irq->isr;
	update_line(irq->dev);
}

/* Attach the eventfd to its vector's message while that is open; else its signals wait in it. */
static void update_irq(struct pci_irq *irq)
{
	struct pci_device *dev = irq->dev;
	struct machine *m = dev->m;
	const struct pci_msix *entry;
	unsigned int gsi = 0;
	uint64_t count;
	bool waiting;

	loop_watch(m, &irq->watch, !(msix_control(dev) & PCI_MSIX_FLAGS_ENABLE));
	if (is_open(dev, irq->vector)) {
		entry = &dev->msix[irq->vector];
		gsi = gsi_of(dev, irq->vector);
		/* A message that cannot be is as good as a masked one. */
		if (irq_route_msi(m, gsi, entry->address_lo | (uint64_t)entry->address_hi << 32,
				  entry->data))
			gsi = 0;
	}
	if (irq->gsi == gsi)
		return;
	if (irq->gsi)
		irq_detach(m, irq->gsi, irq->fd);
	irq->gsi = gsi;
	if (!gsi)
		return;
	/* Attaching delivers what waits but leaves it in the eventfd; taken out first it comes once. */
	waiting = read(irq->fd, &count, sizeof(count)) == sizeof(count);
	if (irq_attach(m, irq->gsi, irq->fd)) {
		irq->gsi = 0;
		return;
	}
	count = 1;
	if (waiting && write(irq->fd, &count, sizeof(count)) < 0)
		return;		/* cannot be: it was empty */
}

static void update_irqs(struct pci_device *dev)
{
	struct pci_irq *irq;

	for (irq = dev->irqs; irq; irq = irq->next)
		update_irq(irq);
	update_line(dev);
}

/**
 * pci_add_irq() - tell of an interrupt of a device that is not plugged yet
 * @dev: the device
 * @irq: with @fd (not blocking) and @isr; stays the caller's
 */
void pci_add_irq(struct pci_device *dev, struct pci_irq *irq)
{
	irq->dev = dev;
	irq->vector = PCI_NO_VECTOR;
	irq->gsi = 0;
	irq->watch = (struct watch){ .fd = irq->fd, .ready = on_signal };
	irq->next = dev->irqs;
	dev->irqs = irq;
}

/**
 * pci_irq_set_vector() - choose the MSI-X vector of an interrupt
 * @irq: the interrupt
 * @vector: which; one that is not there counts as PCI_NO_VECTOR
 */
void pci_irq_set_vector(struct pci_irq *irq, uint16_t vector)
{
	irq->vector = vector < irq->dev->vectors ? vector : PCI_NO_VECTOR;
	update_irq(irq);
}

/**
 * pci_take_isr() - read and clear the reasons for INTx, which goes down
 * @dev: the device
 *
 * Return: the reasons.
 */
uint8_t pci_take_isr(struct pci_device *dev)
{
	uint8_t isr = dev->isr;

	dev->isr = 0;
	update_line(dev);
	return isr;
}

/* A bit for each vector that is masked while an eventfd of its holds a signal. */
static uint64_t pending(const struct pci_device *dev)
{
	const struct pci_irq *irq;
	uint64_t bits = 0;

	for (irq = dev->irqs; irq; irq = irq->next) {
		struct pollfd waiting = { .fd = irq->fd, .events = POLLIN };

		if (irq->vector < dev->vectors && !irq->gsi && !irq->watch.on &&
		    poll(&waiting, 1, 0) > 0)
			bits |= 1ull << irq->vector;
	}
	return bits;
}

/* ---- BAR 0 ---- */

static void msix_access(struct pci_device *dev, uint32_t offset, void *data, unsigned int size,
			bool is_write)
{
	uint32_t end = dev->vectors * (uint32_t)sizeof(*dev->msix);
	uint64_t bits;

	if (offset + size > end) {
		bits = pending(dev);
		memset(data, 0, is_write ? 0 : size);
		if (!is_write && offset >= end && offset + size <= end + sizeof(bits))
			memcpy(data, (uint8_t *)&bits + (offset - end), size);
	} else if (is_write) {
		memcpy((uint8_t *)dev->msix + offset, data, size);
		dev->msix[offset / sizeof(*dev->msix)].control &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
		update_irqs(dev);
	} else {
		memcpy(data, (uint8_t *)dev->msix + offset, size);
	}
}

static void bar_access(struct pci_device *dev, uint32_t offset, void *data, unsigned int size,
		       bool is_write)
{
	uint32_t end = dev->msix_table + dev->vectors * (uint32_t)sizeof(*dev->msix) + 8;

	/* What is not aligned reads as ones: no driver does that. */
	if (size > 8 || (size & (size - 1)) || offset % size || offset + size > dev->bar_size) {
		if (!is_write)
			memset(data, 0xff, size);
	} else if (dev->vectors && offset >= dev->msix_table && offset < end) {
		msix_access(dev, offset - dev->msix_table, data, size, is_write);
	} else if (is_write) {
		dev->ops->write(dev, offset, data, size);
	} else {
		dev->ops->read(dev, offset, data, size);
	}
}

/* Where BAR 0 answers; addresses that cannot be, as while its size is asked for, are nowhere. */
static uint64_t decoded(const struct pci_device *dev)
{
	uint64_t bar;

	if (!dev->bar_size || !(word(dev, PCI_COMMAND) & PCI_COMMAND_MEMORY))
		return 0;
	memcpy(&bar, dev->config + PCI_BASE_ADDRESS_0, sizeof(bar));
	bar &= PCI_BASE_ADDRESS_MEM_MASK;
	return bar + dev->bar_size > bar ? bar : 0;
}

/* ---- configuration ---- */

static void config_access(struct pci *pci, unsigned int slot, unsigned int reg, void *data,
			  unsigned int size, bool is_write)
{
	struct pci_device *dev = slot < PCI_SLOTS ? pci->slots[slot] : NULL;
	const uint8_t *bytes = data;
	unsigned int i;

	if (!dev || reg + size > PCI_CONFIG_SIZE) {
		/* Nobody there; or the extended space, where zero says: no capabilities. */
		if (!is_write)
			memset(data, dev ? 0 : 0xff, size);
		return;
	}
	if (!is_write) {
		if (dev->ops && dev->ops->config_read)
			dev->ops->config_read(dev, reg, size);
		memcpy(data, dev->config + reg, size);
		return;
	}
	for (i = 0; i < size; i++) {
		uint8_t mask = dev->writable[reg + i];

		dev->config[reg + i] = (uint8_t)((dev->config[reg + i] & ~mask) | (bytes[i] & mask));
	}
	if (dev->bar != decoded(dev)) {
		dev->bar = decoded(dev);
		if (dev->ops->moved)
			dev->ops->moved(dev);
	}
	update_irqs(dev);
	if (dev->ops && dev->ops->config_written)
		dev->ops->config_written(dev, reg, size);
}

static uint32_t pci_in(struct pio_device *ports, unsigned int offset, unsigned int size)
{
	struct pci *pci = (struct pci *)ports;
	uint32_t value = 0xffffffff;

	if (offset == RESET && size == 1)
		return pci->reset;
	if (offset < DATA)
		return pci->address >> offset * 8;
	/* Bus 0, function 0. */
	if (!(pci->address & ENABLE) || (pci->address & 0x00ff0700))
		return value;
	pthread_mutex_lock(&pci->m->io_lock);
	config_access(pci, pci->address >> 11 & 31, (pci->address & 0xfc) + (offset - DATA), &value,
		      size, false);
	pthread_mutex_unlock(&pci->m->io_lock);
	return value;
}

static void pci_out(struct pio_device *ports, unsigned int offset, unsigned int size, uint32_t value)
{
	struct pci *pci = (struct pci *)ports;

	if (offset == 0 && size == 4) {
		pci->address = value & 0x80fffffc;
	} else if (offset == RESET && size == 1) {
		pci->reset = (uint8_t)(value & 0x02);
		if (value & RESET_CPU)
			machine_stop(pci->m, STOP_RESET);
	} else if (offset >= DATA && (pci->address & ENABLE) && !(pci->address & 0x00ff0700)) {
		pthread_mutex_lock(&pci->m->io_lock);
		config_access(pci, pci->address >> 11 & 31,
			      (pci->address & 0xfc) + (offset - DATA), &value, size, true);
		pthread_mutex_unlock(&pci->m->io_lock);
	}
}

static void ecam_access(struct pci *pci, uint32_t offset, void *data, unsigned int size,
			bool is_write)
{
	unsigned int slot = offset >> 12 & 7 ? PCI_SLOTS : offset >> 15;

	config_access(pci, slot, offset & 0xfff, data, size, is_write);
}

/**
 * pci_mmio() - a guest's access to memory that is not RAM
 * @pci: the bus
 * @address: guest-physical
 * @data: to read or to fill
 * @size: 1 to 8
 * @is_write: which
 *
 * Return: false if no device is there.
 */
bool pci_mmio(struct pci *pci, uint64_t address, void *data, unsigned int size, bool is_write)
{
	struct pci_device *dev = NULL;
	bool found = true;
	unsigned int i;

	pthread_mutex_lock(&pci->m->io_lock);
	if (address >= ECAM_ADDRESS && address - ECAM_ADDRESS < ECAM_SIZE) {
		ecam_access(pci, (uint32_t)(address - ECAM_ADDRESS), data, size, is_write);
	} else {
		for (i = 0; i < PCI_SLOTS; i++) {
			dev = pci->slots[i];
			if (dev && dev->bar && address - dev->bar < dev->bar_size)
				break;
			dev = NULL;
		}
		if (dev)
			bar_access(dev, (uint32_t)(address - dev->bar), data, size, is_write);
		else if (pci->kept && address >= PCI_WINDOW && address < PCI_WINDOW_END)
			/* Linux lets go of a pulled device once its status reads 0, and never of ones. */
			memset(data, 0, is_write ? 0 : size);
		else
			found = false;
	}
	pthread_mutex_unlock(&pci->m->io_lock);
	return found;
}

/* ---- devices ---- */

/**
 * pci_init() - make a device's registers
 * @dev: the device, all zero
 * @m: its machine
 * @id: who it is
 * @ops: its callbacks
 */
void pci_init(struct pci_device *dev, struct machine *m, const struct pci_identity *id,
	      const struct pci_ops *ops)
{
	dev->m = m;
	dev->ops = ops;
	dev->next_cap = PCI_STD_HEADER_SIZEOF;
	dev->last_cap = PCI_CAPABILITY_LIST - PCI_CAP_LIST_NEXT;
	put(dev->config + PCI_VENDOR_ID, id->vendor, 2);
	put(dev->config + PCI_DEVICE_ID, id->device, 2);
	put(dev->config + PCI_SUBSYSTEM_VENDOR_ID, id->subsystem_vendor, 2);
	put(dev->config + PCI_SUBSYSTEM_ID, id->subsystem, 2);
	put(dev->config + PCI_CLASS_REVISION, id->class << 8 | id->revision, 4);
	put(dev->writable + PCI_COMMAND,
	    PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE, 2);
	dev->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	dev->writable[PCI_INTERRUPT_LINE] = 0xff;
}

/**
 * pci_add_capability() - add one to the list
 * @dev: the device
 * @cap: its bytes, of which the second is filled in here
 * @size: how many
 *
 * Return: where it is in configuration space; 0 if there is no room.
 */
unsigned int pci_add_capability(struct pci_device *dev, void *cap, unsigned int size)
{
	unsigned int at = dev->next_cap;

	if (at + size > PCI_CONFIG_SIZE)
		return 0;
	((uint8_t *)cap)[PCI_CAP_LIST_NEXT] = 0;
	memcpy(dev->config + at, cap, size);
	dev->config[dev->last_cap + PCI_CAP_LIST_NEXT] = (uint8_t)at;
	dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	dev->last_cap = at;
	dev->next_cap = (at + size + 3) & ~3u;
	return at;
}

/**
 * pci_add_msix() - add MSI-X
 * @dev: the device
 * @vectors: how many, up to PCI_VECTORS
 * @table: where the table is in BAR 0; a multiple of 8
 *
 * Return: 0 or -1.
 */
int pci_add_msix(struct pci_device *dev, unsigned int vectors, uint32_t table)
{
	uint8_t cap[PCI_CAP_MSIX_SIZEOF] = { PCI_CAP_ID_MSIX };
	unsigned int i;

	put(cap + PCI_MSIX_FLAGS, vectors - 1, 2);
	put(cap + PCI_MSIX_TABLE, table, 4);
	put(cap + PCI_MSIX_PBA, table + vectors * (uint32_t)sizeof(*dev->msix), 4);
	dev->msix = calloc(vectors, sizeof(*dev->msix));
	if (!dev->msix)
		return -1;
	for (i = 0; i < vectors; i++)
		dev->msix[i].control = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	dev->vectors = vectors;
	dev->msix_table = table;
	dev->msix_cap = pci_add_capability(dev, cap, sizeof(cap));
	if (!dev->msix_cap)
		return -1;
	put(dev->writable + dev->msix_cap + PCI_MSIX_FLAGS,
	    PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	return 0;
}

/* As a firmware would: an address for BAR 0, and the interrupt's line. */
static void assign(struct pci_device *dev)
{
	uint64_t bar = PCI_WINDOW + dev->slot * PCI_BAR_MAX;

	if (dev->bar_size) {
		put(dev->config + PCI_BASE_ADDRESS_0, bar | PCI_BASE_ADDRESS_MEM_TYPE_64, 8);
		put(dev->writable + PCI_BASE_ADDRESS_0, ~(uint64_t)(dev->bar_size - 1), 8);
	}
	dev->config[PCI_INTERRUPT_LINE] = dev->irqs ? PCI_INTX_GSI + dev->slot % PCI_INTX_LINES :
						      NO_LINE;
	dev->config[PCI_INTERRUPT_PIN] = dev->irqs ? 1 : 0;
}

/**
 * pci_plug() - put a device into a free place
 * @dev: the device; stays the caller's
 *
 * Return: 0, or -1 when all places are taken.
 */
int pci_plug(struct pci_device *dev)
{
	struct pci *pci = dev->m->pci;
	unsigned int slot;

	for (slot = 1; slot < PCI_SLOTS; slot++) {
		if (pci->slots[slot] || (pci->kept & 1u << slot))
			continue;
		dev->slot = slot;
		assign(dev);
		pci->slots[slot] = dev;
		update_irqs(dev);
		return 0;
	}
	return -1;
}

/**
 * pci_unplug() - take a device out, and free what pci.c made for it
 * @dev: the device, plugged or not
 */
void pci_unplug(struct pci_device *dev)
{
	struct pci_irq *irq;
	unsigned int i;

	/* Neither decoded nor interrupting. */
	memset(dev->config + PCI_COMMAND, 0, 2);
	if (dev->bar) {
		dev->bar = 0;
		dev->ops->moved(dev);
	}
	for (irq = dev->irqs; irq; irq = irq->next) {
		if (irq->gsi)
			irq_detach(dev->m, irq->gsi, irq->fd);
		irq->gsi = 0;
		loop_watch(dev->m, &irq->watch, false);
	}
	pci_take_isr(dev);
	for (i = 0; i < dev->vectors; i++)
		irq_unroute(dev->m, gsi_of(dev, i));
	free(dev->msix);
	dev->msix = NULL;
	dev->vectors = 0;
	if (dev->slot)
		dev->m->pci->slots[dev->slot] = NULL;
	dev->slot = 0;
}

/**
 * pci_keep_free() - put no device into a place, or do so again
 * @pci: the bus
 * @slot: the place
 * @keep: which
 */
void pci_keep_free(struct pci *pci, unsigned int slot, bool keep)
{
	if (keep)
		pci->kept |= 1u << slot;
	else
		pci->kept &= ~(1u << slot);
}

/**
 * pci_new() - put the bus, its host bridge and the reset register into a machine
 * @m: the machine
 *
 * Return: the bus, or NULL without memory.
 */
struct pci *pci_new(struct machine *m)
{
	/* Red Hat's number for a virtual host bridge. No capability, no resource. */
	static const struct pci_identity bridge = {
		.vendor = 0x1b36, .device = 0x0008, .class = 0x060000,
	};
	struct pci *pci = calloc(1, sizeof(*pci));

	if (!pci)
		return NULL;
	pci->m = m;
	m->pci = pci;
	pci_init(&pci->bridge, m, &bridge, NULL);
	memset(pci->bridge.writable, 0, sizeof(pci->bridge.writable));
	pci->slots[0] = &pci->bridge;
	pci->ports.base = PORT_PCI;
	pci->ports.count = 8;
	pci->ports.in = pci_in;
	pci->ports.out = pci_out;
	pio_add(machine_ports(m), &pci->ports);
	return pci;
}

/** pci_free() - free the bus; its devices are gone */
void pci_free(struct pci *pci)
{
	free(pci);
}
