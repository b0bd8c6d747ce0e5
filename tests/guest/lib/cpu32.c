// SPDX-License-Identifier: GPL-2.0-only
/* 32-bit guests: descriptor tables and traps. */
#include "lib.h"
#include "guest32.h"

struct gate32 idt32[256] __attribute__((aligned(4096)));
struct last last;
u32 fixup;
u32 tss32[26] __attribute__((aligned(128)));
volatile u32 trap_count[256];
extern char trap_stubs[], gdt_end[], stack_top[];
static handler32_t handlers[256];

void idt_gate(int vec, u32 target, int type, u16 sel)
{
	idt32[vec] = (struct gate32) { target, sel, 0, type, target >> 16 };
}

void on32(int vec, handler32_t h)
{
	handlers[vec] = h;
}

void trap(struct frame32 *f)
{
	trap_count[f->vec & 0xff]++;
	if (handlers[f->vec & 0xff]) {
		handlers[f->vec & 0xff](f);
		return;
	}
	if (fixup) {
		last = (struct last) { f->vec, f->err, RDCR(2), f->eip, f->eflags, f->cs };
		f->eip = fixup;
		fixup = 0;
		return;
	}
	put("trap ");
	puthex(f->vec);
	put(" err ");
	puthex(f->err);
	put(" at ");
	puthex(f->cs);
	put(":");
	puthex(f->eip);
	put(" cr2 ");
	puthex(RDCR(2));
	put("; ");
	fatal_("cpu32.c", __LINE__, "unexpected trap");
}

void cpu_init(void)
{
	struct { u16 limit; u32 base; } __attribute__((packed)) d;
	u32 t = (u32)tss32;
	int i;

	for (i = 0; i < 256; i++)
		idt_gate(i, (u32)trap_stubs + 16 * i, 0x8e, 0x18);
	tss32[1] = (u32)stack_top - 16384;
	tss32[2] = 0x10;
	tss32[25] = 104 << 16;
	gdt[0x80 / 8] = 0x0000890000000067ull | (u64)(t & 0xffffff) << 16 | (u64)(t >> 24) << 56;
	d.limit = gdt_end - (char *)gdt - 1;
	d.base = (u32)gdt;
	asm volatile("lgdt %0\n\tljmp $0x18, $1f\n1:\n\t"
		     "mov %1, %%ds\n\tmov %1, %%es\n\tmov %1, %%ss\n\tmov %1, %%fs\n\tmov %1, %%gs\n\t"
		     "ltr %2" :: "m"(d), "r"(0x10), "r"((u16)0x80) : "memory");
	d.limit = sizeof(idt32) - 1;
	d.base = (u32)idt32;
	asm volatile("lidt %0" :: "m"(d));
}
