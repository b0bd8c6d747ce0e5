// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it took to start a guest is not needed to run it: most of the process's memory, which may
 * live for months, would be code that ran once.
 */
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tool.h"

#define PAGE_BYTES		4096ul
#define PAGEMAP_OF_FILE		(1ull << 61)
#define PAGEMAP_THERE		(3ull << 62)	/* in memory or swapped out */

/* Only what is the file's comes back by itself: not a page with a probe or a debugger's breakpoint. */
static bool all_of_file(int pagemap, uintptr_t start, uintptr_t end)
{
	uint64_t entry[64];
	ssize_t got, i;

	while (start < end) {
		size_t pages = (end - start) / PAGE_BYTES;

		if (pages > ARRAY_SIZE(entry))
			pages = ARRAY_SIZE(entry);
		got = pread(pagemap, entry, pages * sizeof(entry[0]),
			    (off_t)(start / PAGE_BYTES * sizeof(entry[0])));
		if (got != (ssize_t)(pages * sizeof(entry[0])))
			return false;
		for (i = 0; i < (ssize_t)pages; i++)
			if ((entry[i] & PAGEMAP_THERE) && !(entry[i] & PAGEMAP_OF_FILE))
				return false;
		start += pages * PAGE_BYTES;
	}
	return true;
}

static int trim_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	const int *pagemap = arg;
	uintptr_t start, end;
	unsigned int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		__auto_type ph = &info->dlpi_phdr[i];

		if (ph->p_type != PT_LOAD || (ph->p_flags & PF_W))
			continue;
		start = (info->dlpi_addr + ph->p_vaddr) & ~(PAGE_BYTES - 1);
		end = align_up(info->dlpi_addr + ph->p_vaddr + ph->p_memsz, PAGE_BYTES);
		if (all_of_file(*pagemap, start, end))
			madvise((void *)start, end - start, MADV_DONTNEED);
	}
	return 0;
}

/**
 * trim() - let go of the memory that only starting took: free heap, and code, which comes back page
 * by page when it is run
 */
void trim(void)
{
	int pagemap = hold_open(PAGEMAP, O_RDONLY);

	malloc_trim(0);
	if (pagemap < 0)
		return;
	dl_iterate_phdr(trim_object, &pagemap);
	hold_close(pagemap);
}
