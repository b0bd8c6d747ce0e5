/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The PCI bus: one root with bus 0, 31 places for devices of one function each.
 *
 * A device embeds struct pci_device, calls pci_init(), adds capabilities, sets @bar_size and its
 * callbacks, and is put into a free place by pci_plug(). Configuration space, BAR 0 and MSI-X are then
 * done here: the device says which eventfds are interrupts (struct pci_irq), and signals them. A signal
 * goes to the guest without this process if MSI-X is on and the vector is open; it waits in the eventfd
 * while the vector is masked; without MSI-X it sets a bit of @isr and raises the INTx line.
 *
 * All callbacks run with the machine's io_lock held, and whoever calls into here from another thread
 * than a callback's takes it. Before the machine runs there is no need.
 */
#ifndef LAMINA_PCI_H
#define LAMINA_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../loop.h"

struct machine;
struct pci_device;

#define PCI_SLOTS 32
#define PCI_VECTORS 32		/* at most so many MSI-X vectors a device */
#define PCI_FIRST_MSI 24	/* GSI of the first place's first vector */
#define PCI_INTX_GSI 16		/* INTx lines are GSIs 16 to 23 */
#define PCI_INTX_LINES 8
#define PCI_BAR_MAX 0x10000u	/* largest BAR */
#define PCI_CONFIG_SIZE 256
#define PCI_NO_VECTOR 0xffff

/**
 * struct pci_irq - a reason for a device to interrupt
 * @fd: eventfd; a signal is an interrupt. The device makes and closes it
 * @isr: without MSI-X: the bit it sets in the device's @isr
 * @vector: MSI-X vector or PCI_NO_VECTOR; changed by pci_irq_set_vector()
 * @dev, @next, @gsi, @watch: of pci.c; @gsi is that to which @fd is attached, or 0
 */
struct pci_irq {
	int fd;
	uint8_t isr;
	uint16_t vector;
	struct pci_device *dev;
	struct pci_irq *next;
	unsigned int gsi;
	struct watch watch;
};

/** struct pci_msix - one entry of the MSI-X table, as the guest sees it */
struct pci_msix {
	uint32_t address_lo, address_hi, data, control;
};

/**
 * struct pci_ops - a device's callbacks; all but @read and @write may be missing
 * @read: read @size (1, 2, 4 or 8) bytes at @offset into BAR 0, into @data
 * @write: write
 * @moved: BAR 0 is at @bar now, or nowhere if that is 0
 * @config_read: configuration bytes from @reg on will be read: bring them up to date
 * @config_written: they were written
 */
struct pci_ops {
	void (*read)(struct pci_device *dev, uint32_t offset, void *data, unsigned int size);
	void (*write)(struct pci_device *dev, uint32_t offset, const void *data, unsigned int size);
	void (*moved)(struct pci_device *dev);
	void (*config_read)(struct pci_device *dev, unsigned int reg, unsigned int size);
	void (*config_written)(struct pci_device *dev, unsigned int reg, unsigned int size);
};

/**
 * struct pci_device - a device
 * @m: its machine
 * @ops: its callbacks
 * @bar_size: size of BAR 0 (64-bit memory), a power of two from 4 KiB to PCI_BAR_MAX; 0 without
 * @bar: where BAR 0 answers now; 0: nowhere
 * @isr: reasons for the INTx line to be up; pci_take_isr() reads and clears it
 * @slot: its place, once plugged
 * @config: configuration space
 * @writable: bits of it that the guest can change
 * @msix: the table, @vectors entries
 * @msix_cap, @msix_table: where the capability is in @config and the table (and at once behind it, on the
 *	next multiple of 8, the pending bits) in BAR 0
 * @irqs: its interrupts
 * @line: level that it gives its INTx line
 * @next_cap, @last_cap: for pci_add_capability()
 */
struct pci_device {
	struct machine *m;
	const struct pci_ops *ops;
	uint32_t bar_size;
	uint64_t bar;
	uint8_t isr;
	unsigned int slot;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE];
	struct pci_msix *msix;
	unsigned int vectors;
	unsigned int msix_cap;
	uint32_t msix_table;
	struct pci_irq *irqs;
	bool line;
	unsigned int next_cap, last_cap;
};

/**
 * struct pci_identity - the registers that name a device
 * @class: base class, subclass, interface
 */
struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class;
	uint8_t revision;
};

void pci_init(struct pci_device *dev, struct machine *m, const struct pci_identity *id,
	      const struct pci_ops *ops);
unsigned int pci_add_capability(struct pci_device *dev, void *cap, unsigned int size);
int pci_add_msix(struct pci_device *dev, unsigned int vectors, uint32_t table);
void pci_add_irq(struct pci_device *dev, struct pci_irq *irq);
int pci_plug(struct pci_device *dev);
void pci_unplug(struct pci_device *dev);

void pci_irq_set_vector(struct pci_irq *irq, uint16_t vector);
uint8_t pci_take_isr(struct pci_device *dev);

/* For the machine. */
struct pci;
struct pci *pci_new(struct machine *m);
void pci_free(struct pci *pci);
void pci_keep_free(struct pci *pci, unsigned int slot, bool keep);
bool pci_mmio(struct pci *pci, uint64_t address, void *data, unsigned int size, bool is_write);

#endif
