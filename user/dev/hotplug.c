// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hot-plug of PCI devices by ACPI: three registers behind methods of the DSDT (boot/acpi.c), a bit for each
 * place of the bus, and a general-purpose event that says that there is something in the first two:
 *
 *   UP    a device came: read, and cleared by that
 *   DOWN  the host wants it back: likewise
 *   EJECT the guest has let go of it (_EJ0): written
 *
 * All of it is guarded by io_lock.
 */
#include <stdlib.h>

#include "../machine.h"
#include "dev.h"

#define UP 0
#define DOWN 4
#define EJECT 8

struct hotplug {
	struct pio_device dev;
	struct machine *m;
	uint32_t up, down;
};

static uint32_t take(struct hotplug *h, uint32_t *bits)
{
	uint32_t value;

	pthread_mutex_lock(&h->m->io_lock);
	value = *bits;
	*bits = 0;
	pthread_mutex_unlock(&h->m->io_lock);
	return value;
}

static uint32_t hotplug_in(struct pio_device *dev, unsigned int offset, unsigned int size)
{
	struct hotplug *h = (struct hotplug *)dev;

	if (size != 4)
		return 0;
	if (offset == UP)
		return take(h, &h->up);
	return offset == DOWN ? take(h, &h->down) : 0;
}

static void hotplug_out(struct pio_device *dev, unsigned int offset, unsigned int size,
			uint32_t value)
{
	struct hotplug *h = (struct hotplug *)dev;
	unsigned int slot;

	if (offset != EJECT || size != 4)
		return;
	pthread_mutex_lock(&h->m->io_lock);
	for (slot = 1; slot < PCI_SLOTS; slot++) {
		if (value & 1u << slot)
			machine_ejected(h->m, slot);
	}
	pthread_mutex_unlock(&h->m->io_lock);
}

/**
 * hotplug_came() - a place has a device now; io_lock is held
 * @h: the registers
 * @slot: the place
 */
void hotplug_came(struct hotplug *h, unsigned int slot)
{
	h->up |= 1u << slot;
	acpi_pm_raise(h->m->pm);
}

/**
 * hotplug_want() - ask the guest to let go of a device, which may be gone already; io_lock is held
 * @h: the registers
 * @slot: its place
 */
void hotplug_want(struct hotplug *h, unsigned int slot)
{
	h->down |= 1u << slot;
	acpi_pm_raise(h->m->pm);
}

/**
 * hotplug_new() - put the registers into a machine
 * @m: the machine, which frees them
 *
 * Return: the device, or NULL without memory.
 */
struct hotplug *hotplug_new(struct machine *m)
{
	struct hotplug *h = calloc(1, sizeof(*h));

	if (!h || machine_own(m, h))
		return NULL;
	h->m = m;
	h->dev.base = PORT_HOTPLUG;
	h->dev.count = EJECT + 4;
	h->dev.in = hotplug_in;
	h->dev.out = hotplug_out;
	pio_add(machine_ports(m), &h->dev);
	return h;
}
