// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI configuration through ports 0xcf8 and 0xcfc (PCI local bus specification 3.0, 3.2.2.3.2): a host
 * bridge at 00:00.0 and nothing else. The byte port 0xcf9 inside the address is the reset register.
 */
#include <stdlib.h>
#include <string.h>

#include "../machine.h"
#include "dev.h"

#define ENABLE 0x80000000u
#define DATA (0xcfc - PORT_PCI)
#define RESET (PORT_RESET - PORT_PCI)
#define RESET_CPU 0x04u

struct pci {
	struct pio_device dev;
	struct machine *m;
	uint32_t address;
	uint8_t reset;
};

/* Red Hat's number for a virtual host bridge; class 06 00. No capability, no resource. */
static const uint8_t host_bridge[64] = {
	[0x00] = 0x36, 0x1b, 0x08, 0x00,
	[0x0a] = 0x00, 0x06,
};

static uint32_t pci_in(struct pio_device *dev, unsigned int offset, unsigned int size)
{
	struct pci *pci = (struct pci *)dev;
	uint32_t value = 0xffffffff;
	unsigned int reg;

	if (offset == RESET && size == 1)
		return pci->reset;
	if (offset < DATA)
		return pci->address >> offset * 8;
	if (!(pci->address & ENABLE) || (pci->address & 0x00ffff00))
		return value;
	reg = (pci->address & 0xfc) + (offset - DATA);
	value = 0;
	if (reg + size <= sizeof(host_bridge))
		memcpy(&value, host_bridge + reg, size);
	return value;
}

static void pci_out(struct pio_device *dev, unsigned int offset, unsigned int size, uint32_t value)
{
	struct pci *pci = (struct pci *)dev;

	if (offset == 0 && size == 4) {
		pci->address = value & 0x80fffffc;
	} else if (offset == RESET && size == 1) {
		pci->reset = (uint8_t)(value & 0x02);
		if (value & RESET_CPU)
			machine_stop(pci->m, STOP_RESET);
	}
}

/**
 * pci_add() - put the host bridge and the reset register into a machine
 * @m: the machine; frees the device with itself
 *
 * Return: 0, or -1 without memory.
 */
int pci_add(struct machine *m)
{
	struct pci *pci = calloc(1, sizeof(*pci));

	if (!pci)
		return -1;
	pci->m = m;
	pci->dev.base = PORT_PCI;
	pci->dev.count = 8;
	pci->dev.in = pci_in;
	pci->dev.out = pci_out;
	pio_add(machine_ports(m), &pci->dev);
	return machine_own(m, pci);
}
