// SPDX-License-Identifier: GPL-2.0-only
/* The first steps in 64-bit mode. */
#include "lib/lib.h"

GUEST(hello, 0, 1)
{
	put("");
}

GUEST(hello_noirqchip, F_NOIRQCHIP, 1)
{
}

GUEST(hostcall_works, 0, 1)
{
	CHECK_EQ(HC(HC_MMIO_POKE, 8, 0x1122334455667788), 0x1122334455667788);
	CHECK_EQ(HC(HC_MMIO_PEEK, 8), 0x1122334455667788);
	CHECK_EQ(HC(9999), -38);
}

GUEST(smp_start2, 0, 2)
{
	extern void nothing(int);

	start_aps(nothing);
	CHECK_EQ(cpus_started, 1);
}

GUEST(smp_start4, 0, 4)
{
	extern void nothing(int);

	start_aps(nothing);
	CHECK_EQ(cpus_started, 3);
}

void nothing(int cpu)
{
}

GUEST(triple_fault, F_SHUTDOWN, 1)
{
	struct { u16 l; u64 b; } __attribute__((packed)) d = { 0, 0 };

	asm volatile("lidt %0; ud2" :: "m"(d));
}

GUEST(jump_into_hole, F_EMULFAIL, 1)
{
	asm volatile("jmp *%0" :: "r"((u64)HOLE_GPA));
}

/* An event that cannot be delivered must not be tried again for ever. */
GUEST(stack_in_hole, F_DELIVERY, 1)
{
	asm volatile("mov %0, %%rsp; ud2" :: "r"((u64)HOLE_GPA + 0x800));
}

GUEST(idt_in_hole, F_DELIVERY, 1)
{
	struct { u16 l; u64 b; } __attribute__((packed)) d = { 0xfff, HOLE_GPA };

	asm volatile("lidt %0; ud2" :: "m"(d));
}

GUEST(loop_cli, F_HANG, 1)
{
	cli();
	for (;;)
		BARRIER();
}

GUEST(loop_pause, F_HANG, 1)
{
	for (;;)
		cpu_relax();
}

GUEST(loop_cpuid, F_HANG, 1)
{
	u32 r[4];

	for (;;)
		cpuid(0, 0, r);
}

GUEST(hlt_cli, F_HANGHLT, 1)
{
	cli();
	for (;;)
		asm volatile("hlt");
}
