/* SPDX-License-Identifier: GPL-2.0-only */
/* Constants that the guests' assembly and C share. */
#ifndef LM_GUEST_DEFS_H
#define LM_GUEST_DEFS_H
#define MAX_CPUS	4
#define STACK_SHIFT	14
#define STACK_SIZE	(1 << STACK_SHIFT)
#define CODE64		0x08
#define DATA64		0x10
#define CODE32		0x18
#define CODE16		0x20
#define DATA16		0x28
#define UCODE64		0x33
#define UDATA64		0x3b
#define DATA_NP		0x40
#define DATA_DOWN	0x48
#define GDT_FREE	0x50
#define TSS_SEL		0x80
#endif
