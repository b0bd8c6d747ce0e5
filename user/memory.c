// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's RAM: one private anonymous mapping, which the host's kernel fills, swaps, merges and
 * makes huge as it does for any process.
 */
#include <errno.h>
#include <sys/mman.h>

#include "machine.h"
#include "tool.h"

#define HUGE 0x200000ull

/**
 * memory_init() - reserve the RAM; no page of it is there yet
 * @mem: to fill in
 * @size: bytes, a multiple of the page size
 *
 * Return: 0, or -1 with a message.
 */
int memory_init(struct guest_memory *mem, uint64_t size)
{
	mem->low = size < HOLE_START ? size : HOLE_START;
	mem->high = size - mem->low;
	/* Room to align: a huge page must be aligned in the guest and in the process alike. */
	mem->map_size = size + HUGE;
	mem->map = mmap(NULL, mem->map_size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem->map == MAP_FAILED) {
		mem->map = NULL;
		return fail_errno("cannot reserve %llu MiB of memory for the guest",
				  (unsigned long long)size >> 20);
	}
	mem->base = (uint8_t *)align_up((uintptr_t)mem->map, HUGE);
	/* Advice only: without huge pages the guest is slower and nothing else. */
	madvise(mem->map, mem->map_size, MADV_HUGEPAGE);
	return 0;
}

/** memory_free() - give the RAM back */
void memory_free(struct guest_memory *mem)
{
	if (mem->map)
		munmap(mem->map, mem->map_size);
	mem->map = NULL;
}
