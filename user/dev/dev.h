/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices of the machine: what a device is, and the devices there are.
 */
#ifndef LAMINA_DEV_H
#define LAMINA_DEV_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct machine;

/* Interrupt lines of the machine (GSIs). */
enum {
	IRQ_COM1 = 4,
	IRQ_RTC = 8,
	IRQ_SCI = 9,
};

/* Ports that more than one file must agree on: the ACPI tables name them too. */
enum {
	PORT_RTC = 0x70,
	PORT_COM1 = 0x3f8,
	PORT_PM1_EVENT = 0x600,
	PORT_PM1_CONTROL = 0x604,
	PORT_PM_TIMER = 0x608,
	PORT_GPE0 = 0x60c,
	PORT_HOTPLUG = 0x610,
	PORT_PCI = 0xcf8,
	PORT_RESET = 0xcf9,
};

#define RESET_VALUE 0x06	/* what ACPI is told to write to PORT_RESET */
#define S5_TYPE 5		/* SLP_TYP of power-off */
#define GPE_HOTPLUG 0		/* the only general-purpose event */

/**
 * struct pio_device - a range of ports and who answers
 * @base: first port
 * @count: number of ports
 * @bytes: the device knows bytes only: wider accesses reach it one byte at a time
 * @lock: held around @in and @out, and taken by the device's timers and inputs
 * @in: read @size bytes at @offset into the range
 * @out: write
 * @next: the next device in the machine's list
 */
struct pio_device {
	uint16_t base;
	uint16_t count;
	bool bytes;
	pthread_mutex_t lock;
	uint32_t (*in)(struct pio_device *dev, unsigned int offset, unsigned int size);
	void (*out)(struct pio_device *dev, unsigned int offset, unsigned int size,
		    uint32_t value);
	struct pio_device *next;
};

/**
 * struct pio_bus - the ports of a machine
 * @first: the devices; looked through in order, so the busiest comes first
 */
struct pio_bus {
	struct pio_device *first;
};

void pio_add(struct pio_bus *bus, struct pio_device *dev);
void pio_access(struct pio_bus *bus, uint16_t port, void *data, unsigned int size,
		unsigned int count, bool is_write);

/* Each device is made for one machine and freed with it. */
struct serial;
struct rtc;
struct acpi_pm;
struct hotplug;

struct serial *serial_new(struct machine *m, int out_fd);
void serial_free(struct serial *s);
unsigned int serial_receive(struct serial *s, const uint8_t *data, unsigned int len);
bool serial_flush(struct serial *s);

struct rtc *rtc_new(struct machine *m);
void rtc_free(struct rtc *r);
int rtc_tick(struct rtc *r);

struct acpi_pm *acpi_pm_new(struct machine *m);
void acpi_pm_free(struct acpi_pm *pm);
void acpi_pm_press_power(struct acpi_pm *pm);
void acpi_pm_raise(struct acpi_pm *pm);
bool acpi_pm_listens(struct acpi_pm *pm);

struct hotplug *hotplug_new(struct machine *m);
void hotplug_came(struct hotplug *h, unsigned int slot);
void hotplug_want(struct hotplug *h, unsigned int slot);

int misc_add(struct machine *m);

#endif
