// SPDX-License-Identifier: GPL-2.0-only
/* Real mode at work: interrupts, big segments, string I/O, trips to other modes. */
#include "lib/lib.h"
#include "lib/guest16.h"

GUEST(r16_unreal_mmio, 0, 1)
{
	HC(HC_MMIO_POKE, 0, 0x8877665544332211);
	unreal();
	CHECK_EQ(r8(MMIO_GPA), 0x11);
	CHECK_EQ(r16(MMIO_GPA + 1), 0x3322);
	CHECK_EQ(r32(MMIO_GPA + 4), 0x88776655);
	w32(MMIO_GPA, 0xdeadbeef);
	w16(MMIO_GPA + 4, 0x1234);
	w8(MMIO_GPA + 6, 0x56);
	CHECK_EQ(HC(HC_MMIO_PEEK, 0), 0x88561234deadbeef);
	asm volatile("addl $1, (%0)" :: "r"(MMIO_GPA) : "memory");
	CHECK_EQ((u32)HC(HC_MMIO_PEEK, 0), 0xdeadbef0);
	/* RAM above 1 MiB */
	w32(FREE_GPA, 0x600dcafe);
	CHECK_EQ((u32)HC(HC_READ_PHYS, FREE_GPA), 0x600dcafe);
}

GUEST(r16_segments, 0, 1)
{
	u32 v;

	/* base = selector * 16, kept over exits */
	w32(0x9000, 0x11223344);
	asm volatile("mov %1, %%fs\n\tmov $0x1000, %%bx\n\tmovl %%fs:(%%bx), %0"
		     : "=r"(v) : "r"(0x800) : "ebx");
	CHECK_EQ(v, 0x11223344);
	HC(HC_HLT_COUNT);
	asm volatile("mov $0x1000, %%bx\n\tmovl %%fs:(%%bx), %0" : "=r"(v) :: "ebx");
	CHECK_EQ(v, 0x11223344);
	asm volatile("mov %%fs, %0" : "=r"(v));
	CHECK_EQ(v & 0xffff, 0x800);
}

GUEST(r16_pio, 0, 1)
{
	u32 si, di, cx;
	static u8 buf[16] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	outb(PORT_DEV, 0x12);
	outw(PORT_DEV + 2, 0x3456);
	outl(PORT_DEV + 4, 0x789abcde);
	CHECK_EQ(HC(HC_PIO_PEEK, 0) >> 16, 0x789abcde3456);
	CHECK_EQ(inl(PORT_DEV + 4), 0x789abcde);
	CHECK_EQ(inw(PORT_DEV + 2), 0x3456);
	CHECK_EQ(inb(PORT_DEV), 0x12);
	HC(HC_LOG_RESET);
	/* 16-bit SI and CX: the upper halves stay */
	si = 0xabcd0000 | (u32)buf;
	cx = 0x12340004;
	asm volatile("rep outsb" : "+S"(si), "+c"(cx) : "d"(PORT_DEV + 8) : "memory");
	CHECK_EQ(HC(HC_LOG_COUNT), 4);
	CHECK_EQ(cx, 0x12340000);
	CHECK_EQ(si, 0xabcd0000 | ((u32)buf + 4));
	HC(HC_PIO_POKE, 0x10, 0x5566);
	di = (u32)buf;
	cx = 3;
	asm volatile("rep insw" : "+D"(di), "+c"(cx) : "d"(PORT_DEV + 0x10) : "memory");
	CHECK_EQ(cx & 0xffff, 0);
	CHECK_EQ(buf[0] | buf[5] << 8, 0x5566);
	CHECK_EQ(buf[6], 7);
	/* through ES with a base */
	di = 0x800;
	cx = 2;
	asm volatile("mov %2, %%es\n\trep insb\n\tmov %3, %%es"
		     : "+D"(di), "+c"(cx) : "r"(0x100), "r"(0), "d"(PORT_DEV + 0x10) : "memory");
	CHECK_EQ(r16(0x1800) & 0xffff, 0x6666);
}

GUEST(r16_cpuid_msr, 0, 1)
{
	u32 r[4];

	cpuid(0x40000000, 0, r);
	CHECK_EQ(r[1], 0x4b4d564b);
	wrmsr(0x277, 0x0007010600070106);
	CHECK_EQ(rdmsr(0x277), 0x0007010600070106);
	ivt_init();
	CHECK_EQ(TRYI("rdmsr", "c"(0xdeadbeef)), 13);
	CHECK_EQ(TRYI("vmcall", "a"(1), "b"(0)), NOTRAP);
	CHECK_EQ(TRYI("vmmcall", "a"(1), "b"(0)), NOTRAP);
}

static void eoi_pic(void)
{
	outb(0x20, 0x20);
}

GUEST(r16_pit_irq, 0, 1)
{
	u64 end;

	ivt_init();
	pic_init(0x08, 0x70, 0xfe, 0xff);
	pit_mode(0, 2, 11932);
	end = rdtsc() + ms(3000);
	while (trap_count[8] < 5 && rdtsc() < end) {
		asm volatile("sti; nop; nop; cli" ::: "memory");
		eoi_pic();
	}
	CHECK(trap_count[8] >= 5);
	/* and it wakes HLT */
	trap_count[8] = 0;
	eoi_pic();
	sti_hlt();
	cli();
	eoi_pic();
	CHECK(trap_count[8] >= 1);
}

GUEST(r16_noirqchip_hlt, F_NOIRQCHIP, 1)
{
	int i;

	ivt_init();
	for (i = 1; i <= 10; i++) {
		HC(HC_INJECT_ON_HLT, 0x40);
		sti_hlt();
		cli();
		CHECK_EQ(trap_count[0x40], i);
	}
}

GUEST(r16_nmi, 0, 1)
{
	ivt_init();
	HC(HC_NMI, 0);
	asm volatile("nop; nop");
	CHECK_EQ(trap_count[2], 1);
}

/* gdt for the trips: 64-bit code, flat data, 32-bit code, 16-bit code and data */
static const u64 gdt_trip[] __attribute__((aligned(8))) = {
	0, 0x00af9a000000ffff, 0x00cf92000000ffff, 0x00cf9a000000ffff,
	0x00009a000000ffff, 0x000092000000ffff,
};
struct { u16 limit; u32 base; } __attribute__((packed)) gdtr = { 47, (u32)gdt_trip };
u32 trip;

#define BACK_TO_REAL							\
	"ljmpl $0x20, $81f\n\t.code16\n81:\tmov $0x28, %%ax\n\t"	\
	"mov %%ax, %%ds\n\tmov %%ax, %%es\n\tmov %%ax, %%ss\n\t"	\
	"mov %%cr0, %%eax\n\tand $0x7ffffffe, %%eax\n\tmov %%eax, %%cr0\n\t"	\
	"ljmpl $0, $82f\n82:\txor %%ax, %%ax\n\tmov %%ax, %%ds\n\t"	\
	"mov %%ax, %%es\n\tmov %%ax, %%ss\n\t.code16gcc\n\t"

GUEST(r16_to_pm32_and_back, 0, 1)
{
	u32 i;

	for (i = 1; i <= 20; i++) {
		asm volatile("cli\n\tlgdtl gdtr\n\tmov %%cr0, %%eax\n\tor $1, %%eax\n\tmov %%eax, %%cr0\n\t"
			     "ljmpl $0x18, $80f\n\t.code32\n80:\tmov $0x10, %%ax\n\tmov %%ax, %%ds\n\t"
			     "mov %%ax, %%ss\n\tmov %%ax, %%es\n\tincl trip\n\t"
			     "movl $0x55aa55aa, 0x800000\n\txor %%eax, %%eax\n\tcpuid\n\t"
			     BACK_TO_REAL
			     ::: "eax", "ebx", "ecx", "edx", "memory");
		CHECK_EQ(trip, i);
	}
	CHECK_EQ((u32)HC(HC_READ_PHYS, 0x800000), 0x55aa55aa);
}

u32 trip64;
GUEST(r16_to_long_and_back, 0, 1)
{
	u32 i, *pml4 = (u32 *)0x10000;

	asm("" : "+r"(pml4));
	/* stack, code and data of the trip lie in the first 2 MiB; SP is below 64 KiB */
	asm volatile("mov $0x1000, %%ax; mov %%ax, %%es" ::: "eax");
	for (i = 0; i < 3 * 1024; i++)
		asm volatile("movl $0, %%es:(%0)" :: "b"(i * 4) : "memory");
	asm volatile("movl $0x11007, %%es:0; movl $0x12007, %%es:0x1000; movl $0x87, %%es:0x2000" ::: "memory");
	asm volatile("xor %%ax, %%ax; mov %%ax, %%es" ::: "eax");
	for (i = 1; i <= 20; i++) {
		asm volatile("cli\n\tlgdtl gdtr\n\t"
			     "mov %%cr4, %%eax\n\tor $0x20, %%eax\n\tmov %%eax, %%cr4\n\t"
			     "mov $0x10000, %%eax\n\tmov %%eax, %%cr3\n\t"
			     "mov $0xc0000080, %%ecx\n\trdmsr\n\tor $0x100, %%eax\n\twrmsr\n\t"
			     "mov %%cr0, %%eax\n\tor $0x80000001, %%eax\n\tmov %%eax, %%cr0\n\t"
			     "ljmpl $8, $80f\n\t.code64\n80:\tmov $0x10, %%eax\n\tmov %%eax, %%ds\n\t"
			     "mov %%eax, %%ss\n\t"
			     "movabs $0x123456789, %%rax\n\tshr $32, %%rax\n\tmov $trip64, %%ebx\n\tadd %%eax, (%%rbx)\n\t"
			     /* 64 -> compatibility mode -> paging off -> real */
			     "pushq $0x18\n\tmov $83f, %%eax\n\tpush %%rax\n\tlretq\n\t"
			     ".code32\n83:\tmov %%cr0, %%eax\n\tand $0x7fffffff, %%eax\n\tmov %%eax, %%cr0\n\t"
			     "mov $0xc0000080, %%ecx\n\trdmsr\n\tand $~0x100, %%eax\n\twrmsr\n\t"
			     BACK_TO_REAL
			     "mov %%cr4, %%eax\n\tand $~0x20, %%eax\n\tmov %%eax, %%cr4\n\t"
			     ::: "eax", "ebx", "ecx", "edx", "memory");
		CHECK_EQ(trip64, i);
		CHECK_EQ(rdmsr(0xc0000080), 0);
		CHECK_EQ(RDCR(0) & 0x80000001, 0);
	}
}

GUEST(r16_triple, F_SHUTDOWN, 1)
{
	struct { u16 l; u32 b; } __attribute__((packed)) d = { 0, 0 };

	asm volatile("lidtl %0; int $0x30" :: "m"(d));
}

GUEST(r16_loop, F_HANG, 1)
{
	cli();
	for (;;)
		BARRIER();
}
