// SPDX-License-Identifier: GPL-2.0-only
/* Debug registers, breakpoints, single step. */
#include "lib/lib.h"

static volatile u64 dbs, db_rip, db_dr6, rips[64];

static void db(struct frame *f)
{
	db_dr6 = RDDR(6);
	db_rip = f->rip;
	if (dbs < 64)
		rips[dbs] = f->rip;
	dbs++;
	f->rflags |= 0x10000;		/* RF: past an instruction breakpoint */
	WRDR(6, 0xffff0ff0);
}

GUEST(dr_kept, 0, 1)
{
	u64 i;

	CHECK_EQ(RDDR(6), 0xffff0ff0);
	CHECK_EQ(RDDR(7), 0x400);
	WRDR(0, 0x1111111111);
	WRDR(1, 0xffff800022222222);
	WRDR(2, 0x3333333333);
	WRDR(3, 0x4444444444);
	WRDR(7, 0x400);
	for (i = 0; i < 5; i++) {
		HC(HC_SLEEP, 1000);
		CHECK_EQ(RDDR(0), 0x1111111111);
		CHECK_EQ(RDDR(1), 0xffff800022222222);
		CHECK_EQ(RDDR(2), 0x3333333333);
		CHECK_EQ(RDDR(3), 0x4444444444);
	}
	CHECK_EQ(TRYI("mov %0, %%dr7", "r"(1ull << 32)), 13);
	CHECK_EQ(TRYI("mov %0, %%dr6", "r"(1ull << 32)), 13);
	CHECK_EQ(RDDR(7), 0x400);
	/* DR4, DR5 are DR6, DR7 unless CR4.DE */
	asm volatile("mov %%db4, %0" : "=r"(i));
	CHECK_EQ(i, RDDR(6));
	WRCR(4, RDCR(4) | 8);
	CHECK_EQ(TRYC("mov %%db4, %%rax", ("rax"), "i"(0)), 6);
	WRCR(4, RDCR(4) & ~8ul);
}

GUEST(db_exec_breakpoint, 0, 1)
{
	u64 at;

	on(1, db);
	asm volatile("lea 1f(%%rip), %0\n\tmov %0, %%dr0\n\tmov $0x402, %%eax\n\tmov %%rax, %%dr7\n\t"
		     "nop\n1:\tnop\n\tmov $0x400, %%eax\n\tmov %%rax, %%dr7" : "=&r"(at) :: "rax", "memory");
	CHECK_EQ(dbs, 1);
	CHECK_EQ(db_rip, at);
	CHECK_EQ(db_dr6 & 0xf, 1);
}

GUEST(db_data_breakpoint, 0, 1)
{
	static volatile u64 word;

	on(1, db);
	WRDR(1, (u64)&word);
	WRDR(7, 0x400 | 8 | 0xdull << 20);	/* G1, write, 4 bytes */
	(void)word;
	CHECK_EQ(dbs, 0);
	w32((u64)&word, 1);
	CHECK_EQ(dbs, 1);
	CHECK_EQ(db_dr6 & 0xf, 2);
	w8((u64)&word + 3, 1);
	CHECK_EQ(dbs, 2);
	w8((u64)&word + 4, 1);
	CHECK_EQ(dbs, 2);
	WRDR(7, 0x400);
	w32((u64)&word, 2);
	CHECK_EQ(dbs, 2);
}

GUEST(db_after_exits, 0, 1)
{
	static volatile u64 word;

	/* a breakpoint set before trips to user space still works after them */
	on(1, db);
	WRDR(0, (u64)&word);
	WRDR(7, 0x402 | 0xdull << 16);
	HC(HC_SLEEP, 2000);
	CHECK_EQ(RDDR(7) & 0x000f0002, 0x000d0002);
	w32((u64)&word, 1);
	WRDR(7, 0x400);
	CHECK_EQ(dbs, 1);
}

/* Runs the instructions under TF; dbs then counts the steps. */
#define STEP(insn, ...) asm volatile("pushf; orl $0x100, (%%rsp); popf\n\t" insn "\n\t"	\
		"pushf; andl $~0x100, (%%rsp); popf" :: __VA_ARGS__ : "memory", "rax", "rbx", "rcx", "rdx")
/* steps of STEP(""): pushf, andl, popf */
#define STEPS_OVERHEAD 3

GUEST(step_plain, 0, 1)
{
	on(1, db);
	STEP("nop; nop; nop", "i"(0));
	CHECK_EQ(dbs, STEPS_OVERHEAD + 3);
	CHECK_EQ(db_dr6 & 0x4000, 0x4000);
}

GUEST(step_cpuid, 0, 1)
{
	on(1, db);
	STEP("xor %%eax, %%eax; cpuid; nop", "i"(0));
	CHECK_EQ(dbs, STEPS_OVERHEAD + 3);
	CHECK_EQ(rips[1], rips[0] + 2);
	CHECK_EQ(rips[2], rips[1] + 1);
}

GUEST(step_out, 0, 1)
{
	on(1, db);
	STEP("mov $0x1000, %%edx; out %%al, %%dx; nop; in %%dx, %%al; nop", "i"(0));
	CHECK_EQ(dbs, STEPS_OVERHEAD + 5);
	CHECK_EQ(rips[1], rips[0] + 1);
	CHECK_EQ(rips[2], rips[1] + 1);
}

GUEST(step_mmio, 0, 1)
{
	on(1, db);
	STEP("mov %%eax, (%%rsi); nop; mov (%%rsi), %%eax; nop", "S"((u64)MMIO_GPA));
	CHECK_EQ(dbs, STEPS_OVERHEAD + 4);
	CHECK_EQ(rips[1], rips[0] + 1);
	CHECK_EQ(rips[2], rips[1] + 2);
}

GUEST(step_msr, 0, 1)
{
	on(1, db);
	STEP("mov $0x277, %%ecx; rdmsr; wrmsr; nop", "i"(0));
	CHECK_EQ(dbs, STEPS_OVERHEAD + 4);
}

GUEST(step_rep_outs, 0, 1)
{
	u64 i, same = 0;

	/* a string instruction traps after each iteration, RIP staying until the last */
	on(1, db);
	STEP("mov $0x1000, %%edx; mov $3, %%ecx; rep outsb; nop", "S"((u64)FREE_GPA));
	CHECK_EQ(dbs, STEPS_OVERHEAD + 6);
	for (i = 1; i < dbs && i < 64; i++)
		same += rips[i] == rips[i - 1];
	CHECK_EQ(same, 2);
}

GUEST(db_general_detect, 0, 1)
{
	if (on_tcg())
		skip("TCG has no general detect");
	on(1, db);
	WRDR(7, 0x2400);
	asm volatile("mov %%dr0, %%rax" ::: "rax");
	CHECK_EQ(dbs, 1);
	CHECK_EQ(db_dr6 & 0x2000, 0x2000);
	CHECK_EQ(RDDR(7) & 0x2000, 0);
}
