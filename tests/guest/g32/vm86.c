// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtual-8086 mode as monitors of the 386 use it, with and without the virtual-mode
 * extensions, and segmentation: limits, gates, conforming code, strings of port I/O.
 */
#include "lib/lib.h"
#include "lib/guest32.h"

#define V86_GPA		0x7000		/* CS, DS, ES and SS are 0x700 */
#define V86_VM		0x20000
#define V86_VIF		0x80000
#define IOPL3		0x3000

/* TSS, interrupt redirection bitmap, I/O bitmap and its last byte */
static struct {
	u8 tss[104], redirect[32], io[8192], end;
} __attribute__((packed)) big;

u32 back_esp;
static struct frame32 seen;
static u32 emulated, popped_flags;

static void leave(struct frame32 *f)
{
	seen = *f;
	asm volatile("mov %0, %%ds\n\tmov %0, %%es\n\tmov %1, %%esp\n\tret" :: "r"(0x10), "m"(back_esp));
}

static void big_tss(void)
{
	u32 t = (u32)&big;

	memcpy(big.tss, tss32, 104);
	*(u16 *)(big.tss + 102) = 104 + 32;
	big.end = 0xff;
	gdt[0x88 / 8] = 0x0000890000000000ull | (sizeof(big) - 1) | (u64)(t & 0xffffff) << 16 | (u64)(t >> 24) << 56;
	asm volatile("ltr %0" :: "r"((u16)0x88));
}

static void v86(const char *code, u32 bytes, u32 flags)
{
	memcpy(opaque(V86_GPA), code, bytes);
	seen.vec = 0xff;
	asm volatile("pusha\n\tpush $1f\n\tmov %%esp, back_esp\n\t"
		     "push $0x700\n\tpush $0x700\n\tpush $0x700\n\tpush $0x700\n\tpush $0x700\n\tpush $0xff0\n\t"
		     "push %0\n\tpush $0x700\n\tpush $0\n\tiret\n1:\tpopa\n\t"
		     "mov $0x10, %%eax\n\tmov %%eax, %%fs\n\tmov %%eax, %%gs"
		     :: "r"(flags | V86_VM | 2) : "eax", "memory");
}

#define V86(code, flags)	v86(code, sizeof(code) - 1, flags)

static u16 v86_pop(struct frame32 *f)
{
	u16 v = r16((f->ss << 4) + (u16)f->esp);

	f->esp = (f->esp & 0xffff0000) | (u16)(f->esp + 2);
	return v;
}

static void v86_push(struct frame32 *f, u16 v)
{
	f->esp = (f->esp & 0xffff0000) | (u16)(f->esp - 2);
	w16((f->ss << 4) + (u16)f->esp, v);
}

/* What the guest of the monitor may not do itself; HLT is its end. */
static void monitor(struct frame32 *f)
{
	u8 *ip = opaque((f->cs << 4) + f->eip);
	u16 flags;

	if (*ip == 0xf4 || f->err)
		leave(f);
	if (emulated++ > 20)
		leave(f);		/* it turns in circles */
	switch (*ip) {
	case 0x9c:	/* PUSHF */
		v86_push(f, f->eflags | IOPL3);
		f->eip++;
		break;
	case 0x9d:	/* POPF */
		popped_flags = v86_pop(f);
		f->eip++;
		break;
	case 0xfa:	/* CLI, STI */
	case 0xfb:
		f->eip++;
		break;
	case 0xcd:	/* INT n */
		v86_push(f, f->eflags);
		v86_push(f, f->cs);
		v86_push(f, f->eip + 2);
		f->eip = r16(ip[1] * 4);
		f->cs = r16(ip[1] * 4 + 2);
		break;
	case 0xcf:	/* IRET */
		f->eip = v86_pop(f);
		f->cs = v86_pop(f);
		flags = v86_pop(f);
		f->eflags = (f->eflags & ~0xfffu) | (flags & 0xdff) | 2;
		break;
	default:
		leave(f);
	}
}

/* Code at 700:0, the handler of INT 30h at 700:80. */
static void handler_30(void)
{
	/* inc %bx; cpuid; iret */
	memcpy(opaque(V86_GPA + 0x80), "\x43\x53\x0f\xa2\x5b\xcf", 6);
	w16(0x30 * 4, 0x80);
	w16(0x30 * 4 + 2, 0x700);
}

GUEST(vm86_monitor, 0, 1)
{
	on32(13, monitor);
	big_tss();
	handler_30();
	/* xor %bx, %bx; pushf; cli; int $0x30; int $0x30; sti; popf; hlt */
	V86("\x31\xdb\x9c\xfa\xcd\x30\xcd\x30\xfb\x9d\xf4", 0x200);
	CHECK_EQ(seen.vec, 13);
	CHECK_EQ(seen.err, 0);
	CHECK_EQ(seen.eip, 10);
	CHECK_EQ(emulated, 8);
	CHECK_EQ(seen.ebx & 0xffff, 2);
	CHECK_EQ(popped_flags & (IOPL3 | 0x200), IOPL3 | 0x200);
	CHECK_EQ(seen.esp & 0xffff, 0xff0);
	CHECK(seen.eflags & V86_VM);
}

/* With IOPL 3 they are the CPU's, but INT n still goes to the IDT. */
GUEST(vm86_iopl3, 0, 1)
{
	on32(13, leave);
	on32(0x31, leave);
	big_tss();
	/* pushf; cli; pushf; pop %ax; sti; pushf; pop %cx; popf; hlt */
	V86("\x9c\xfa\x9c\x58\xfb\x9c\x59\x9d\xf4", IOPL3 | 0x200);
	CHECK_EQ(seen.vec, 13);
	CHECK_EQ(seen.eip, 8);
	CHECK_EQ(seen.eax & 0x200, 0);
	CHECK_EQ(seen.ecx & 0x200, 0x200);
	CHECK_EQ(seen.eflags & (V86_VM | IOPL3), V86_VM | IOPL3);
	/* POPF moves neither IOPL nor VM: push $0; popf; hlt */
	V86("\x6a\x00\x9d\xf4", IOPL3 | 0x200);
	CHECK_EQ(seen.eip, 3);
	CHECK_EQ(seen.eflags & (V86_VM | IOPL3 | 0x200), V86_VM | IOPL3);
	/* by a gate of DPL 0 it is #GP, by one of DPL 3 an interrupt */
	V86("\xcd\x31\xf4", IOPL3);
	CHECK_EQ(seen.vec, 13);
	CHECK_EQ(seen.err, 0x31 << 3 | 2);
	idt32[0x31].type = 0xee;
	V86("\xcd\x31\xf4", IOPL3);
	CHECK_EQ(seen.vec, 0x31);
	CHECK_EQ(seen.eip, 2);
	CHECK_EQ(seen.cs, 0x700);
}

GUEST(vm86_vme, 0, 1)
{
	if (!has_cpuid(1, EDX, 1))
		skip("no VME");
	on32(13, leave);
	on32(0x31, leave);
	big_tss();
	handler_30();
	WRCR(4, RDCR(4) | 1);
	memset(big.redirect, 0xff, 32);
	big.redirect[6] = 0xfe;		/* 30h to the 8086's own table */
	/* xor %bx, %bx; int $0x30; int $0x30; hlt */
	V86("\x31\xdb\xcd\x30\xcd\x30\xf4", IOPL3 | 0x200);
	CHECK_EQ(seen.vec, 13);
	CHECK_EQ(seen.eip, 6);
	CHECK_EQ(seen.ebx & 0xffff, 2);
	CHECK_EQ(seen.esp & 0xffff, 0xff0);
	/* IOPL 0 as well, and IRET there */
	V86("\x31\xdb\xcd\x30\xcd\x30\xf4", 0x200);
	CHECK_EQ(seen.eip, 6);
	CHECK_EQ(seen.ebx & 0xffff, 2);
	/* 31h to the IDT: #GP with IOPL 0 */
	idt32[0x31].type = 0xee;
	V86("\xcd\x31\xf4", 0x200);
	CHECK_EQ(seen.vec, 13);
	CHECK_EQ(seen.eip, 0);
	V86("\xcd\x31\xf4", IOPL3 | 0x200);
	CHECK_EQ(seen.vec, 0x31);
	/* with IOPL 0 VIF stands for IF: sti; pushf; pop %ax; cli; pushf; pop %cx; sti; hlt */
	V86("\xfb\x9c\x58\xfa\x9c\x59\xfb\xf4", 0x200);
	CHECK_EQ(seen.eip, 7);
	CHECK_EQ(seen.eax & (0x200 | IOPL3), 0x200 | IOPL3);
	CHECK_EQ(seen.ecx & (0x200 | IOPL3), IOPL3);
	CHECK_EQ(seen.eflags & (V86_VIF | 0x200 | IOPL3), V86_VIF | 0x200);
	/* and STI is for the monitor while an interrupt of its waits (VIP) */
	V86("\xfb\xf4", 0x100200);
	CHECK_EQ(seen.vec, 13);
	CHECK_EQ(seen.eip, 0);
	WRCR(4, RDCR(4) & ~1ul);
}

static void irq_leave(struct frame32 *f)
{
	eoi();
	leave(f);
}

/* An interrupt of the outside finds the guest in its loop, and the frame has all segments. */
GUEST(vm86_irq, 0, 1)
{
	if (INFO->vendor == 'I')
		skip("Bochs: #GP in place of it, why is open");
	apic_on();
	on32(13, leave);
	on32(0x60, irq_leave);
	big_tss();
	apic_wr(APIC_ICR, 0x40060);
	V86("\xeb\xfe", 0x200);
	CHECK_EQ(seen.vec, 0x60);
	CHECK_EQ(seen.eip, 0);
	CHECK_EQ(seen.vds, 0x700);
	CHECK_EQ(seen.ves, 0x700);
	CHECK_EQ(seen.vfs, 0x700);
	CHECK_EQ(seen.vgs, 0x700);
	CHECK(seen.eflags & V86_VM);
}

/* The I/O bitmap decides port by port; what it lets through goes to the device. */
GUEST(vm86_string_io, 0, 1)
{
	on32(13, leave);
	big_tss();
	w32(V86_GPA + 0x200, 0x44332211);
	HC(HC_LOG_RESET);
	/* mov $0x1000, %dx; mov $0x200, %si; mov $4, %cx; rep outsb;
	 * mov $0x210, %di; mov $2, %cx; rep insw; hlt
	 */
	V86("\xba\x00\x10\xbe\x00\x02\xb9\x04\x00\xf3\x6e\xbf\x10\x02\xb9\x02\x00\xf3\x6d\xf4", 0x200);
	CHECK_EQ(seen.eip, 19);
	CHECK_EQ(HC(HC_LOG_COUNT), 6);
	CHECK_EQ((u8)HC(HC_PIO_PEEK, 0), 0x44);
	CHECK_EQ(r16(V86_GPA + 0x210), r16(V86_GPA + 0x212));
	CHECK_EQ(r8(V86_GPA + 0x210), 0x44);
	CHECK_EQ(seen.edi & 0xffff, 0x214);
	CHECK_EQ(seen.ecx & 0xffff, 0);
	/* a word needs both of its bits */
	big.io[0x1000 / 8] = 0x04;
	HC(HC_LOG_RESET);
	/* mov $0x1001, %dx; in %dx, %al; in %dx, %ax; hlt */
	V86("\xba\x01\x10\xec\xed\xf4", 0x200);
	CHECK_EQ(seen.vec, 13);
	CHECK_EQ(seen.eip, 4);
	CHECK_EQ(HC(HC_LOG_COUNT), 1);
}

static void describe(u16 sel, u32 base, u32 limit, u32 attr)
{
	gdt[sel / 8] = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attr & 0xff) << 40 |
		       (u64)(limit >> 16 & 15) << 48 | (u64)(attr >> 8) << 52 | (u64)(base >> 24) << 56;
}

/* Port strings end where their segment does, with what came before done. */
GUEST(seg_string_io_limit, 0, 1)
{
	u32 di = 0, cx = 8, si = 2, i;

	describe(0x50, FREE_GPA, 3, 0x492);
	HC(HC_PIO_POKE, 0, 0x5a);
	for (i = 0; i < 8; i++)
		w8(FREE_GPA + i, 0);
	asm volatile("mov %0, %%es" :: "r"(0x50));
	CHECK_EQ(TRYO("rep insb", ("+D"(di), "+c"(cx)), "d"(PORT_DEV)), 13);
	asm volatile("mov %0, %%es" :: "r"(0x10));
	CHECK_EQ(di, 4);
	CHECK_EQ(cx, 4);
	CHECK_EQ(r32(FREE_GPA), 0x5a5a5a5a);
	CHECK_EQ(r32(FREE_GPA + 4), 0);
	cx = 3;
	HC(HC_LOG_RESET);
	asm volatile("mov %0, %%gs" :: "r"(0x50));
	CHECK_EQ(TRYO("rep outsb %%gs:(%%esi), %%dx", ("+S"(si), "+c"(cx)), "d"(PORT_DEV)), 13);
	CHECK_EQ(si, 4);
	CHECK_EQ(cx, 1);
	CHECK_EQ(HC(HC_LOG_COUNT), 2);
	/* into code, which nobody may write */
	di = (u32)seg_string_io_limit;
	cx = 1;
	asm volatile("mov %0, %%gs" :: "r"(0x10));
	describe(0x50, 0, 0xfffff, 0xc9a);
	asm volatile("mov %0, %%es" :: "r"(0x50));
	CHECK_EQ(TRYO("rep insb", ("+D"(di), "+c"(cx)), "d"(PORT_DEV)), 13);
	asm volatile("mov %0, %%es" :: "r"(0x10));
	CHECK_EQ(cx, 1);
}

/* Devices behind segments: a base, a limit, one that grows down. */
GUEST(seg_mmio, 0, 1)
{
	u32 v;

	HC(HC_MMIO_POKE, 8, 0x99887766);
	describe(0x50, MMIO_GPA, 0xf, 0x492);
	asm volatile("mov %0, %%gs" :: "r"(0x50));
	asm volatile("mov %%gs:8, %0" : "=r"(v));
	CHECK_EQ(v, 0x99887766);
	describe(0x58, MMIO_GPA, 7, 0x496);		/* from 8 on */
	asm volatile("mov %0, %%fs" :: "r"(0x58));
	asm volatile("mov %%fs:8, %0" : "=r"(v));
	CHECK_EQ(v, 0x99887766);
	if (!on_tcg()) {
		CHECK_EQ(TRYI("mov %%gs:14, %%eax", "a"(0)), 13);
		CHECK_EQ(TRYI("mov %%fs:6, %%eax", "a"(0)), 13);
		/* 16 bits: up to 64 KiB */
		describe(0x58, MMIO_GPA, 7, 0x096);
		asm volatile("mov %0, %%fs" :: "r"(0x58));
		CHECK_EQ(TRYI("mov %%fs:0xfffe, %%eax", "a"(0)), 13);
		CHECK_EQ(TRYI("mov %%fs:0xfffc, %%eax", "a"(0)), NOTRAP);
	}
	asm volatile("mov %0, %%gs\n\tmov %0, %%fs" :: "r"(0x10));
}

/* Ring 3 through call gates of both widths, with arguments, and through conforming code. */
u32 gate_args[2], gate_cs, gate_out, conforming_cs;
void gate_32(void);
void gate_16(void);
void conforming(void);
void gate_user(void);
void gate_user_end(void);
asm("gate_32:\n\tpush %ds\n\tpush %eax\n\tmov $0x10, %eax\n\tmov %eax, %ds\n\tmov 16(%esp), %eax\n\t"
	"mov %eax, gate_args\n\tmov 20(%esp), %eax\n\tmov %eax, gate_args + 4\n\tmov %cs, %eax\n\t"
	"mov %eax, gate_cs\n\tpush %ebx\n\tpush %ecx\n\tpush %edx\n\txor %eax, %eax\n\tcpuid\n\t"
	"pop %edx\n\tpop %ecx\n\tpop %ebx\n\tpop %eax\n\tpop %ds\n\tlret $8\n"
	"conforming:\n\tpush %eax\n\tpush %ebx\n\tpush %ecx\n\tpush %edx\n\txor %eax, %eax\n\tcpuid\n\t"
	"mov %cs, %eax\n\tmov %eax, conforming_cs\n\tpop %edx\n\tpop %ecx\n\tpop %ebx\n\tpop %eax\n\tlret\n"
	"gate_user:\n\tpush $0x2222\n\tpush $0x1111\n\tlcall $0x53, $0\n\tlcall $0x60, $conforming\n\t"
	"mov %cs, %eax\n\tmov %esp, %ecx\n\tint3\ngate_user_end:");

u8 gate_stack[4096] __attribute__((aligned(16)));

GUEST(seg_call_gates, 0, 1)
{
	u32 g = (u32)gate_32;

	idt32[3].type = 0xee;
	on32(3, leave);
	on32(13, leave);
	gdt[0x50 / 8] = (g & 0xffff) | 0x18 << 16 | 2ull << 32 | 0xecull << 40 | (u64)(g >> 16) << 48;
	describe(0x60, 0, 0xfffff, 0xc9e);
	asm volatile("pusha\n\tpush $1f\n\tmov %%esp, back_esp\n\tmov $0x3b, %%eax\n\tmov %%eax, %%ds\n\t"
		     "push $0x3b\n\tpush $gate_stack + 4096\n\tpush $2\n\tpush $0x33\n\tpush $gate_user\n\tiret\n"
		     "1:\tpopa" ::: "memory");
	CHECK_EQ(seen.vec, 3);
	CHECK_EQ(seen.err, 0);
	CHECK_EQ(seen.eip, (u32)gate_user_end);
	CHECK_EQ(gate_args[0], 0x1111);
	CHECK_EQ(gate_args[1], 0x2222);
	CHECK_EQ(gate_cs, 0x18);
	CHECK_EQ(conforming_cs, 0x63);
	CHECK_EQ(seen.eax & 0xffff, 0x33);
	CHECK_EQ(seen.ecx, (u32)gate_stack + 4096);
	/* a gate that ring 3 may not use */
	gdt[0x50 / 8] = (g & 0xffff) | 0x18 << 16 | 2ull << 32 | 0x8cull << 40 | (u64)(g >> 16) << 48;
	asm volatile("pusha\n\tpush $1f\n\tmov %%esp, back_esp\n\tmov $0x3b, %%eax\n\tmov %%eax, %%ds\n\t"
		     "push $0x3b\n\tpush $gate_stack + 4096\n\tpush $2\n\tpush $0x33\n\tpush $gate_user\n\tiret\n"
		     "1:\tpopa" ::: "memory");
	CHECK_EQ(seen.vec, 13);
	CHECK_EQ(seen.err, 0x50);
}

/* Port strings of 16-bit protected mode: SI, DI and CX are words, and bases count. */
GUEST(seg_string_io_16, 0, 1)
{
	u32 si, di, cx;

	describe(0x50, IMAGE_GPA, 0xffff, 0x09a);
	describe(0x58, FREE_GPA, 0xffff, 0x092);
	w32(FREE_GPA + 0x100, 0xddccbbaa);
	HC(HC_LOG_RESET);
	asm volatile("push %%ds\n\tpush %%es\n\tmov $0x58, %%eax\n\tmov %%eax, %%ds\n\tmov %%eax, %%es\n\t"
		     "lcall $0x50, $(80f - 0x100000)\n\tjmp 81f\n\t.code16\n80:\tmov $0x1000, %%dx\n\t"
		     "mov $0xabcd0100, %%esi\n\tmov $0x12340004, %%ecx\n\trep outsb\n\t"
		     "mov $0xabcd0200, %%edi\n\tmov $2, %%cx\n\trep insw\n\tlretl\n\t.code32\n"
		     "81:\tpop %%es\n\tpop %%ds"
		     : "=S"(si), "=D"(di), "=c"(cx) :: "eax", "edx", "memory");
	CHECK_EQ(si, 0xabcd0104);
	CHECK_EQ(di, 0xabcd0204);
	CHECK_EQ(cx, 0x12340000);
	CHECK_EQ((u8)HC(HC_PIO_PEEK, 0), 0xdd);
	CHECK_EQ(r8(FREE_GPA + 0x200), 0xdd);
	CHECK_EQ(r16(FREE_GPA + 0x200), r16(FREE_GPA + 0x202));
	CHECK_EQ(r32(FREE_GPA + 0x204), 0);
}
