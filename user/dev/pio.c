// SPDX-License-Identifier: GPL-2.0-only
/*
 * Port I/O: finds the device behind a port. A port without one floats: reads are all ones.
 */
#include <string.h>

#include "dev.h"

/**
 * pio_add() - put a device on the bus
 * @bus: the bus
 * @dev: the device; stays the caller's
 */
void pio_add(struct pio_bus *bus, struct pio_device *dev)
{
	struct pio_device **at = &bus->first;

	pthread_mutex_init(&dev->lock, NULL);
	while (*at)
		at = &(*at)->next;
	dev->next = NULL;
	*at = dev;
}

static struct pio_device *find(struct pio_bus *bus, uint16_t port)
{
	struct pio_device *dev;

	for (dev = bus->first; dev; dev = dev->next) {
		if ((uint16_t)(port - dev->base) < dev->count)
			return dev;
	}
	return NULL;
}

static void access_one(struct pio_bus *bus, uint16_t port, uint8_t *data, unsigned int size,
		       bool is_write)
{
	struct pio_device *dev = find(bus, port);
	unsigned int offset, i;
	uint32_t value = 0;

	if (!dev && size == 1) {
		if (!is_write)
			*data = 0xff;
		return;
	}
	offset = dev ? (uint16_t)(port - dev->base) : 0;
	if (size > 1 && (!dev || dev->bytes || offset + size > dev->count)) {
		for (i = 0; i < size; i++)
			access_one(bus, (uint16_t)(port + i), data + i, 1, is_write);
		return;
	}
	pthread_mutex_lock(&dev->lock);
	if (is_write) {
		memcpy(&value, data, size);
		dev->out(dev, offset, size, value);
	} else {
		value = dev->in(dev, offset, size);
		memcpy(data, &value, size);
	}
	pthread_mutex_unlock(&dev->lock);
}

/**
 * pio_access() - carry out one exit's port access
 * @bus: the ports
 * @port: which
 * @data: @count items of @size bytes, to read or to fill
 * @size: 1, 2 or 4
 * @count: more than one for string instructions
 * @is_write: OUT or IN
 */
void pio_access(struct pio_bus *bus, uint16_t port, void *data, unsigned int size,
		unsigned int count, bool is_write)
{
	uint8_t *at = data;

	for (; count; count--, at += size)
		access_one(bus, port, at, size, is_write);
}
