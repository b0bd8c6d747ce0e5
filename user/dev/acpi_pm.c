// SPDX-License-Identifier: GPL-2.0-only
/*
 * ACPI's fixed hardware: the power button's event, the sleep control that turns the machine off, and the
 * 3.58 MHz timer (ACPI specification, 4.8.3); and a block of general-purpose events (4.8.4.1), of which
 * hot-plug's is the only one. ACPI mode is always on: there is no SMI command port.
 */
#include <stdlib.h>
#include <time.h>

#include "../machine.h"
#include "dev.h"

#define PWRBTN 0x0100u		/* in PM1 status and enable */
#define STATUS_BITS 0x8731u
#define SCI_EN 0x0001u
#define SLP_TYPE(v) ((v) >> 10 & 7)
#define SLP_EN 0x2000u
#define PM_TIMER_HZ 3579545u

struct acpi_pm {
	struct pio_device dev;
	struct machine *m;
	uint16_t status, enable, control;
	uint8_t gpe_status, gpe_enable;
	uint8_t gpe_wanted;	/* was enabled once: systems disable an event while they handle it */
	bool line;
};

static void update_line(struct acpi_pm *pm)
{
	bool level = (pm->status & pm->enable) || (pm->gpe_status & pm->gpe_enable);

	if (level == pm->line)
		return;
	pm->line = level;
	machine_irq(pm->m, IRQ_SCI, level);
}

static uint32_t timer_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)((uint64_t)now.tv_sec * PM_TIMER_HZ +
			  (uint64_t)now.tv_nsec * PM_TIMER_HZ / 1000000000u);
}

static uint32_t pm_in(struct pio_device *dev, unsigned int offset, unsigned int size)
{
	struct acpi_pm *pm = (struct acpi_pm *)dev;
	uint32_t value = 0;

	(void)size;
	switch (offset & ~3u) {
	case PORT_PM1_EVENT - PORT_PM1_EVENT:
		value = pm->status | (uint32_t)pm->enable << 16;
		break;
	case PORT_PM1_CONTROL - PORT_PM1_EVENT:
		value = pm->control | SCI_EN;
		break;
	case PORT_PM_TIMER - PORT_PM1_EVENT:
		value = timer_now();
		break;
	case PORT_GPE0 - PORT_PM1_EVENT:
		value = pm->gpe_status | (uint32_t)pm->gpe_enable << 8;
		break;
	}
	return value >> (offset & 3) * 8;
}

static void pm_out(struct pio_device *dev, unsigned int offset, unsigned int size, uint32_t value)
{
	struct acpi_pm *pm = (struct acpi_pm *)dev;

	switch (offset) {
	case PORT_PM1_EVENT - PORT_PM1_EVENT:
		pm->status &= (uint16_t)~(value & STATUS_BITS);	/* ones clear */
		if (size == 4)
			pm->enable = (uint16_t)(value >> 16);
		break;
	case PORT_PM1_EVENT + 2 - PORT_PM1_EVENT:
		pm->enable = (uint16_t)value;
		break;
	case PORT_PM1_CONTROL - PORT_PM1_EVENT:
		pm->control = (uint16_t)(value & ~SLP_EN);
		if ((value & SLP_EN) && SLP_TYPE(value) == S5_TYPE)
			machine_stop(pm->m, STOP_POWER_OFF);
		break;
	case PORT_GPE0 - PORT_PM1_EVENT:
		pm->gpe_status &= (uint8_t)~value;
		if (size > 1)
			pm->gpe_enable = (uint8_t)(value >> 8);
		break;
	case PORT_GPE0 + 1 - PORT_PM1_EVENT:
		pm->gpe_enable = (uint8_t)value;
		break;
	}
	pm->gpe_wanted |= pm->gpe_enable;
	update_line(pm);
}

/**
 * acpi_pm_press_power() - press the power button: ask the guest's system to end
 * @pm: the device
 */
void acpi_pm_press_power(struct acpi_pm *pm)
{
	pthread_mutex_lock(&pm->dev.lock);
	pm->status |= PWRBTN;
	update_line(pm);
	pthread_mutex_unlock(&pm->dev.lock);
}

/**
 * acpi_pm_raise() - raise the event of hot-plug
 * @pm: the device
 */
void acpi_pm_raise(struct acpi_pm *pm)
{
	pthread_mutex_lock(&pm->dev.lock);
	pm->gpe_status |= 1 << GPE_HOTPLUG;
	update_line(pm);
	pthread_mutex_unlock(&pm->dev.lock);
}

/**
 * acpi_pm_listens() - has the guest's system asked for the event of hot-plug?
 * @pm: the device
 */
bool acpi_pm_listens(struct acpi_pm *pm)
{
	bool listens;

	pthread_mutex_lock(&pm->dev.lock);
	listens = pm->gpe_wanted & 1 << GPE_HOTPLUG;
	pthread_mutex_unlock(&pm->dev.lock);
	return listens;
}

/**
 * acpi_pm_new() - put the fixed hardware into a machine
 * @m: the machine
 *
 * Return: the device, or NULL without memory.
 */
struct acpi_pm *acpi_pm_new(struct machine *m)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));

	if (!pm)
		return NULL;
	pm->m = m;
	pm->dev.base = PORT_PM1_EVENT;
	pm->dev.count = PORT_GPE0 + 2 - PORT_PM1_EVENT;
	pm->dev.in = pm_in;
	pm->dev.out = pm_out;
	pio_add(machine_ports(m), &pm->dev);
	return pm;
}

/** acpi_pm_free() - free the device */
void acpi_pm_free(struct acpi_pm *pm)
{
	free(pm);
}
