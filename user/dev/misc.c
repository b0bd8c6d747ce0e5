// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports that answer little: the keyboard controller, of which only its reset line exists, and the POST
 * port that kernels write to for a short delay.
 */
#include <stdlib.h>

#include "../machine.h"
#include "dev.h"

#define KBD_STATUS 4		/* offset of port 0x64 from 0x60 */
#define KBD_PULSE_RESET 0xfe

struct misc {
	struct pio_device kbd_data, kbd_command, post;
	struct machine *m;
};

static uint32_t read_zero(struct pio_device *dev, unsigned int offset, unsigned int size)
{
	(void)dev;
	(void)offset;
	(void)size;
	return 0;
}

static void write_nothing(struct pio_device *dev, unsigned int offset, unsigned int size,
			  uint32_t value)
{
	(void)dev;
	(void)offset;
	(void)size;
	(void)value;
}

static void kbd_out(struct pio_device *dev, unsigned int offset, unsigned int size, uint32_t value)
{
	struct misc *misc = (struct misc *)((char *)dev - offsetof(struct misc, kbd_command));

	(void)offset;
	(void)size;
	if (value == KBD_PULSE_RESET)
		machine_stop(misc->m, STOP_RESET);
}

static void add(struct machine *m, struct pio_device *dev, uint16_t port,
		void (*out)(struct pio_device *, unsigned int, unsigned int, uint32_t))
{
	dev->base = port;
	dev->count = 1;
	dev->bytes = true;
	dev->in = read_zero;
	dev->out = out;
	pio_add(machine_ports(m), dev);
}

/**
 * misc_add() - put the small ports into a machine
 * @m: the machine; frees them with itself
 *
 * Return: 0, or -1 without memory.
 */
int misc_add(struct machine *m)
{
	struct misc *misc = calloc(1, sizeof(*misc));

	if (!misc)
		return -1;
	misc->m = m;
	add(m, &misc->post, 0x80, write_nothing);
	add(m, &misc->kbd_data, 0x60, write_nothing);
	add(m, &misc->kbd_command, 0x64, kbd_out);
	return machine_own(m, misc);
}
