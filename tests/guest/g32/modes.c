// SPDX-License-Identifier: GPL-2.0-only
/* 32-bit modes: both kinds of paging, 16-bit segments, VM86, rings. */
#include "lib/lib.h"
#include "lib/guest32.h"

static u32 pd[1024] __attribute__((aligned(4096))), pt[1024] __attribute__((aligned(4096)));
static u64 pdpt[4] __attribute__((aligned(4096))), pae_pd[4][512] __attribute__((aligned(4096)));
static u64 pae_pt[512] __attribute__((aligned(4096)));

static void paging_on(void)
{
	int i;

	for (i = 0; i < 1024; i++)
		pd[i] = (u32)i << 22 | 0x87;
	WRCR(4, RDCR(4) | 0x10);		/* 4 MiB pages */
	WRCR(3, pd);
	WRCR(0, RDCR(0) | 0x80010000);
}

static void pae_on(void)
{
	u32 i;

	for (i = 0; i < 2048; i++)
		pae_pd[i / 512][i % 512] = (u64)i << 21 | 0x87;
	for (i = 0; i < 4; i++)
		pdpt[i] = (u32)pae_pd[i] | 1;
	WRCR(4, RDCR(4) | 0x20);
	WRCR(3, pdpt);
	WRCR(0, RDCR(0) | 0x80010000);
}

GUEST(p32_exceptions, 0, 1)
{
	CHECK_EQ(TRYI("div %%ebx", "a"(1), "b"(0), "d"(0)), 0);
	CHECK_EQ(TRYI("ud2", "i"(0)), 6);
	CHECK_EQ(TRYI("int3", "i"(0)), 3);
	CHECK_EQ(TRYI("movb $0x7f, %%al; addb $1, %%al; into", "a"(0)), 4);
	CHECK_EQ(TRYI("mov %0, %%es", "r"(0x40)), 11);
	CHECK_EQ(last.err, 0x40);
	CHECK_EQ(TRYI("mov %0, %%es", "r"(0x1000)), 13);
	CHECK_EQ(last.err, 0x1000);
	CHECK_EQ(TRYI("mov %0, %%ss", "r"(0)), 13);
	CHECK_EQ(TRYI("mov %0, %%cr0", "r"(0x80000010)), 13);	/* PG without PE */
	CHECK_EQ(TRYI("rdmsr", "c"(0xdeadbeef)), 13);
	if (!on_tcg()) {
		static const u32 bounds[2] = { 1, 5 };

		CHECK_EQ(TRYI("bound %0, (%1)", "r"(9), "r"(bounds)), 5);
	}
}

GUEST(p32_paging, 0, 1)
{
	u32 va = 0x40000000;

	paging_on();
	CHECK_EQ(RDCR(3), (u32)pd);
	w32(FREE_GPA, 0x1234);
	pt[0] = FREE_GPA | 3;
	pt[1] = FREE_GPA | 1;
	pd[va >> 22] = (u32)pt | 7;
	asm volatile("invlpg (%0)" :: "r"(va));
	CHECK_EQ(r32(va), 0x1234);
	w32(va, 0x5678);
	CHECK_EQ(r32(FREE_GPA), 0x5678);
	CHECK_EQ(pt[0] & 0x60, 0x60);
	CHECK_EQ(TRYI("movl %0, (%1)", "r"(1), "r"(va + 4096)), 14);
	CHECK_EQ(last.err, 3);
	CHECK_EQ(last.cr2, va + 4096);
	CHECK_EQ(TRYI("movl (%0), %%eax", "c"(va + 8192), "a"(0)), 14);
	CHECK_EQ(last.err, 0);
	/* MMIO through a small page */
	HC(HC_MMIO_POKE, 0, 0x99);
	pt[3] = MMIO_GPA | 3;
	CHECK_EQ(r32(va + 3 * 4096), 0x99);
	asm volatile("lock incl (%0)" :: "r"(va + 3 * 4096));
	CHECK_EQ((u32)HC(HC_MMIO_PEEK, 0), 0x9a);
}

GUEST(p32_pae, 0, 1)
{
	u32 va = 0x40000000;

	pae_on();
	pae_pt[0] = FREE_GPA | 3;
	pae_pt[2] = FREE_GPA | 3 | 1ull << 63;
	pae_pd[1][0] = (u32)pae_pt | 7;
	asm volatile("invlpg (%0)" :: "r"(va));
	w32(va, 0xabcd);
	CHECK_EQ(r32(FREE_GPA), 0xabcd);
	CHECK_EQ(TRYI("movl %0, (%1)", "r"(1), "r"(va + 4096)), 14);
	CHECK_EQ(last.err, 2);
	/* NX needs EFER.NXE */
	CHECK_EQ(TRYI("movl (%0), %%eax", "c"(va + 8192), "a"(0)), 14);
	CHECK_EQ(last.err | on_tcg(), 9);
	wrmsr(0xc0000080, 0x800);
	asm volatile("invlpg (%0)" :: "r"(va + 8192));
	CHECK_EQ(TRYI("movl (%0), %%eax", "c"(va + 8192), "a"(0)), NOTRAP);
	/* a change of a PDPTE counts with the next CR3 load */
	pdpt[1] = (u32)pae_pd[0] | 1;
	WRCR(3, pdpt);
	w32(FREE_GPA, 0x4711);
	CHECK_EQ(r32(va + FREE_GPA), 0x4711);
	/* PAE off with paging on is allowed here, reserved PDPTE bits are not */
	if (!on_tcg()) {
		pdpt[2] |= 6;
		CHECK_EQ(TRYI("mov %0, %%cr3", "r"(pdpt)), 13);
	}
}

GUEST(p32_long_rules, 0, 1)
{
	/* LME with PAE clear: setting PG is a #GP */
	int i;

	if (on_tcg())
		skip("TCG hangs");

	for (i = 0; i < 1024; i++)
		pd[i] = (u32)i << 22 | 0x87;
	WRCR(3, pd);
	wrmsr(0xc0000080, 0x100);
	CHECK_EQ(TRYI("mov %0, %%cr0", "r"(RDCR(0) | 0x80000000)), 13);
	wrmsr(0xc0000080, 0);
	CHECK_EQ(RDCR(0) >> 31, 0);
}

u32 v16;
GUEST(p32_code16, 0, 1)
{
	u32 sp;

	/* a 16-bit code segment with base 1 MiB, called far */
	gdt[0x50 / 8] = 0x00009a100000ffffull;
	asm volatile("lcall $0x50, $(80f - 0x100000)\n\tjmp 81f\n\t"
		     ".code16\n80:\tmov $0x12345678, %%eax\n\tshr $16, %%eax\n\tmov %%eax, (%%edi)\n\t"
		     "push %%ecx\n\txor %%eax, %%eax\n\tcpuid\n\tpop %%ecx\n\tlretl\n\t.code32\n81:\n\t"
		     : "=S"(sp) : "D"(&v16) : "eax", "ebx", "ecx", "edx", "memory");
	CHECK_EQ(v16, 0x1234);
}

static u32 user_vec, user_err, user_eip, user_cs, user_flags;
u32 k_esp;
static struct frame32 vm_frame;

static void leave_user(struct frame32 *f)
{
	user_vec = f->vec;
	user_err = f->err;
	user_eip = f->eip;
	user_cs = f->cs;
	user_flags = f->eflags;
	if (f->eflags & 0x20000)
		vm_frame = *f;
	asm volatile("mov %0, %%eax\n\tmov %%eax, %%ds\n\tmov %%eax, %%es\n\tmov %1, %%esp\n\tret"
		     :: "i"(0x10), "m"(k_esp) : "eax");
}

#define ENTER(push)							\
	asm volatile("pusha\n\tpush $1f\n\tmov %%esp, k_esp\n\t" push "\n\tiret\n1:\tpopa\n\t"	\
		     "mov $0x10, %%eax\n\tmov %%eax, %%fs\n\tmov %%eax, %%gs" ::: "eax", "memory")

u8 ucode[64] __attribute__((aligned(64)));
u8 ustack[4096] __attribute__((aligned(4096)));

static void trap_all(handler32_t h)
{
	int i;

	for (i = 0; i < 256; i++)
		on32(i, h);
}

GUEST(p32_ring3, 0, 1)
{
	trap_all(leave_user);
	memcpy(ucode, "\xf4", 1);		/* hlt */
	ENTER("push $0x3b\n\tpush $ustack+4096\n\tpush $0x2\n\tpush $0x33\n\tpush $ucode");
	CHECK_EQ(user_vec, 13);
	CHECK_EQ(user_cs, 0x33);
	CHECK_EQ(user_eip, (u32)ucode);
	memcpy(ucode, "\x0f\xa2\xec", 3);	/* cpuid is allowed, in is not */
	ENTER("push $0x3b\n\tpush $ustack+4096\n\tpush $0x2\n\tpush $0x33\n\tpush $ucode");
	CHECK_EQ(user_vec, 13);
	CHECK_EQ(user_eip, (u32)ucode + 2);
	/* with IOPL 3 it is */
	memcpy(ucode, "\xba\x00\x10\x00\x00\xec\x0f\x0b", 8);
	ENTER("push $0x3b\n\tpush $ustack+4096\n\tpush $0x3002\n\tpush $0x33\n\tpush $ucode");
	CHECK_EQ(user_vec, 6);
	CHECK_EQ(user_eip, (u32)ucode + 6);
}

/*
 * #AC whose delivery on a misaligned stack is #AC, and so on: nothing in the guest ends
 * it, and no instruction comes between.  The host must go on all the same.
 */
GUEST(p32_ac_loop, F_HANG, 1)
{
	if (on_tcg())
		skip("no #AC in TCG");
	trap_all(leave_user);
	idt_gate(17, (u32)ucode, 0xee, 0x33);
	WRCR(0, RDCR(0) | 0x40000);
	memcpy(ucode, "\x50\xeb\xfe", 3);		/* push %eax; jmp . */
	ENTER("push $0x3b\n\tpush $ustack+2049\n\tpush $0x40002\n\tpush $0x33\n\tpush $ucode");
	CHECK(0);
}

GUEST(p32_vm86, 0, 1)
{
	u8 *code = (u8 *)0x7000;

	asm("" : "+r"(code));
	trap_all(leave_user);
	/* mov $0x700, %ax; mov %ax, %ds; mov %ds:0x100, %bx; cpuid; int $0x21 */
	memcpy(code, "\xb8\x00\x07\x8e\xd8\x8b\x1e\x00\x01\x89\xde\xcd\x21", 13);
	w16(0x7100, 0x4242);
	ENTER("push $0\n\tpush $0\n\tpush $0x700\n\tpush $0\n\tpush $0x700\n\tpush $0xff0\n\t"
	      "push $0x20002\n\tpush $0x700\n\tpush $0");
	/* IOPL 0: INT n is a #GP */
	CHECK_EQ(user_vec, 13);
	CHECK(user_flags & 0x20000);
	CHECK_EQ(user_cs, 0x700);
	CHECK_EQ(user_eip, 11);
	CHECK_EQ(vm_frame.esi & 0xffff, 0x4242);
	CHECK_EQ(vm_frame.vds, 0x700);
	CHECK_EQ(vm_frame.ss, 0x700);
	/* an exit from VM86 with I/O allowed by IOPL does not help: the bitmap decides */
	memcpy(code, "\xba\x00\x10\xec\xcc", 5);
	ENTER("push $0\n\tpush $0\n\tpush $0x700\n\tpush $0\n\tpush $0x700\n\tpush $0xff0\n\t"
	      "push $0x23002\n\tpush $0x700\n\tpush $0");
	CHECK_EQ(user_vec, 13);
	CHECK_EQ(user_eip, 3);
	/* a page of zero bits in the bitmap: allowed */
	{
		static u8 tss_big[104 + 8192 + 1];
		u32 t = (u32)tss_big;

		memcpy(tss_big, tss32, 104);
		*(u16 *)(tss_big + 102) = 104;
		tss_big[104 + 8192] = 0xff;
		gdt[0x88 / 8] = 0x0000890000002068ull | (u64)(t & 0xffffff) << 16 | (u64)(t >> 24) << 56;
		asm volatile("ltr %0" :: "r"((u16)0x88));
		HC(HC_PIO_POKE, 0, 0x5a);
		idt32[3].type = 0xee;
		ENTER("push $0\n\tpush $0\n\tpush $0x700\n\tpush $0\n\tpush $0x700\n\tpush $0xff0\n\t"
		      "push $0x23002\n\tpush $0x700\n\tpush $0");
		CHECK_EQ(user_vec, 3);
		CHECK_EQ(user_eip, 5);
		CHECK_EQ(vm_frame.eax & 0xff, 0x5a);
	}
}

GUEST(p32_string_io_segments, 0, 1)
{
	u32 si = 0, cx = 4;

	/* OUTS through a segment with a base, address size 32 */
	gdt[0x50 / 8] = 0x00cf92800000ffffull;		/* base 0x800000 */
	w32(FREE_GPA, 0x04030201);
	HC(HC_LOG_RESET);
	asm volatile("mov %2, %%gs\n\trep outsb %%gs:(%%esi), %%dx"
		     : "+S"(si), "+c"(cx) : "r"(0x50), "d"(PORT_DEV) : "memory");
	CHECK_EQ(cx, 0);
	CHECK_EQ(si, 4);
	CHECK_EQ(HC(HC_LOG_COUNT), 4);
	CHECK_EQ((u8)HC(HC_PIO_PEEK, 0), 4);
}

GUEST(p32_sysenter, 0, 1)
{
	u32 ok = 0;

	if (!has_cpuid(1, EDX, 11))
		skip("no SYSENTER");
	wrmsr(0x174, 0x18);
	wrmsr(0x175, (u32)stack_top - 8192);
	asm volatile("mov $1f, %%eax\n\txor %%edx, %%edx\n\tmov $0x176, %%ecx\n\twrmsr\n\t"
		     "mov %%esp, %%ebx\n\tsysenter\n\tud2\n1:\tmov %%ebx, %%esp\n\tmov $1, %0\n\t"
		     "mov $0x10, %%eax\n\tmov %%eax, %%ss"
		     : "+S"(ok) :: "eax", "ebx", "ecx", "edx", "memory");
	CHECK_EQ(ok, 1);
}

GUEST(p32_cr_rules, 0, 1)
{
	u32 cr4 = RDCR(4);

	CHECK_EQ(TRYI("mov %0, %%cr4", "r"(cr4 | 1u << 31)), 13);
	CHECK_EQ(TRYI("mov %0, %%cr4", "r"(cr4 | 1u << 15)), 13);
	CHECK_EQ(TRYI("mov %0, %%cr0", "r"(0x20000031)), 13);	/* NW without CD */
	CHECK_EQ(TRYI("mov %0, %%cr4", "r"(cr4 | 0x90)), NOTRAP);
	CHECK_EQ(RDCR(4), cr4 | 0x90);
	CHECK_EQ(RDCR(0), 0x31);
}
