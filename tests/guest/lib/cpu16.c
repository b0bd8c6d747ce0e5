// SPDX-License-Identifier: GPL-2.0-only
/* Real-mode guests: vectors and big segments. */
#include "lib.h"
#include "guest16.h"

volatile u32 fixup, trap_count[256];
volatile u16 last_vec, last_ip;
extern char ivt_stubs[];

void ivt_init(void)
{
	volatile u32 *ivt = (void *)0;
	int i;

	asm("" : "+r"(ivt));
	for (i = 0; i < 256; i++)
		ivt[i] = (u32)ivt_stubs + 8 * i;
}

static const u64 gdt16[] __attribute__((aligned(8))) = {
	0, 0x00cf92000000ffff, 0x00009a000000ffff,
};

void unreal(void)
{
	struct { u16 limit; u32 base; } __attribute__((packed)) d = { 23, (u32)gdt16 };

	asm volatile("lgdtl %0\n\t"
		     "mov %%cr0, %%eax\n\tor $1, %%al\n\tmov %%eax, %%cr0\n\tjmp 1f\n1:\n\t"
		     "mov $8, %%cx\n\tmov %%cx, %%ds\n\tmov %%cx, %%es\n\tmov %%cx, %%fs\n\t"
		     "mov %%cx, %%gs\n\tmov %%cx, %%ss\n\t"
		     "and $0xfe, %%al\n\tmov %%eax, %%cr0\n\tjmp 2f\n2:\n\t"
		     "xor %%cx, %%cx\n\tmov %%cx, %%ds\n\tmov %%cx, %%es\n\tmov %%cx, %%fs\n\t"
		     "mov %%cx, %%gs\n\tmov %%cx, %%ss"
		     :: "m"(d) : "eax", "ecx", "memory");
}
