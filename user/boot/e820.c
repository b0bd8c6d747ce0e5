// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory map that the kernel is told.
 */
#include "boot.h"

enum { RAM = 1, RESERVED = 2 };

/**
 * e820_build() - list what guest-physical memory is
 * @mem: the RAM
 * @ranges: filled in, ascending
 *
 * Return: the number of ranges.
 */
unsigned int e820_build(const struct guest_memory *mem, struct e820_range ranges[E820_MAX])
{
	unsigned int n = 0;

	ranges[n++] = (struct e820_range){ 0, LOW_RAM_END, RAM };
	/* The legacy hole and our ACPI tables. */
	ranges[n++] = (struct e820_range){ LOW_RAM_END, HIGH_MEMORY - LOW_RAM_END, RESERVED };
	ranges[n++] = (struct e820_range){ HIGH_MEMORY, mem->low - HIGH_MEMORY, RAM };
	ranges[n++] = (struct e820_range){ IDENTITY_MAP_ADDRESS, HOLE_END - IDENTITY_MAP_ADDRESS,
					   RESERVED };
	if (mem->high)
		ranges[n++] = (struct e820_range){ HOLE_END, mem->high, RAM };
	return n;
}
