/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine that is played: what devices ask of it is noted here. Each test is one program with one file.
 */
#ifndef LAMINA_FAKE_H
#define LAMINA_FAKE_H

#include "../../user/machine.h"
#include "../../user/tool.h"

static struct machine machine = {
	.io_lock = PTHREAD_MUTEX_INITIALIZER,
	.loop_fd = -1,
};
static bool line[24];
static unsigned int notified;

/* What is attached to each GSI, its message, and the one doorbell that matters. */
#define FAKE_GSIS (PCI_FIRST_MSI + PCI_SLOTS * PCI_VECTORS)
static struct {
	int fd;
	uint64_t address;
	uint32_t data;
} gsis[FAKE_GSIS];
static struct {
	uint64_t address;
	int fd;
} doorbells[64];

int machine_own(struct machine *m, void *device)
{
	m->owned[m->owned_count++] = device;
	return 0;
}

void machine_irq(struct machine *m, unsigned int gsi, bool level)
{
	(void)m;
	line[gsi] = level;
}

void machine_notify(struct machine *m)
{
	(void)m;
	notified++;
}

void machine_stop(struct machine *m, enum stop_reason why)
{
	atomic_store(&m->stop, (int)why);
}

/* The place that the guest ejected last. */
static unsigned int ejected;

void machine_ejected(struct machine *m, unsigned int slot)
{
	(void)m;
	ejected = slot;
}

int irq_route_msi(struct machine *m, unsigned int gsi, uint64_t address, uint32_t data)
{
	(void)m;
	if (gsi < PCI_FIRST_MSI || gsi >= FAKE_GSIS || address >> 20 != 0xfee)
		return -1;
	gsis[gsi].address = address;
	gsis[gsi].data = data;
	return 0;
}

void irq_unroute(struct machine *m, unsigned int gsi)
{
	(void)m;
	gsis[gsi].address = 0;
}

int irq_attach(struct machine *m, unsigned int gsi, int fd)
{
	(void)m;
	gsis[gsi].fd = fd;
	return 0;
}

void irq_detach(struct machine *m, unsigned int gsi, int fd)
{
	(void)m;
	if (gsis[gsi].fd == fd)
		gsis[gsi].fd = 0;
}

int doorbell_add(struct machine *m, uint64_t address, int fd)
{
	unsigned int i;

	(void)m;
	for (i = 0; i < ARRAY_SIZE(doorbells) && doorbells[i].address; i++) {
		if (doorbells[i].address == address)
			return -1;
	}
	if (i == ARRAY_SIZE(doorbells))
		return -1;
	doorbells[i].address = address;
	doorbells[i].fd = fd;
	return 0;
}

void doorbell_del(struct machine *m, uint64_t address, int fd)
{
	unsigned int i, last = 0;

	(void)m;
	while (last < ARRAY_SIZE(doorbells) && doorbells[last].address)
		last++;
	for (i = 0; i < last; i++) {
		if (doorbells[i].address != address || doorbells[i].fd != fd)
			continue;
		doorbells[i] = doorbells[last - 1];
		doorbells[last - 1].address = 0;
		return;
	}
}

static inline void out(uint16_t port, uint32_t value, unsigned int size)
{
	pio_access(&machine.ports, port, &value, size, 1, true);
}

static inline uint32_t in(uint16_t port, unsigned int size)
{
	uint32_t value = 0;

	pio_access(&machine.ports, port, &value, size, 1, false);
	return value;
}

static inline int stopped(void)
{
	return atomic_exchange(&machine.stop, STOP_NONE);
}

#endif
