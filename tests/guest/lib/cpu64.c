// SPDX-License-Identifier: GPL-2.0-only
/* 64-bit guests: descriptor tables, traps, application CPUs, page tables. */
#include "lib.h"

struct cpu cpus[MAX_CPUS];
struct idt_gate idt[256] __attribute__((aligned(4096)));
volatile u32 cpus_started;	/* how many took their number */
static volatile u32 aps_ready;
void (*volatile ap_fn)(int cpu);
extern char trap_stubs[], ap_code[], ap_code_end[], gdt_end[];
static handler_t handlers[256];
static u64 heap = 0x600000;

void idt_raw(int vec, void *target, int type, int ist, u16 sel)
{
	u64 t = (u64)target;

	idt[vec] = (struct idt_gate) { t, sel, ist, type, t >> 16, t >> 32, 0 };
}

void on(int vec, handler_t h)
{
	handlers[vec] = h;
}

/* Called by every stub. */
void trap(struct frame *f)
{
	struct cpu *c = this_cpu();

	c->count[f->vec & 0xff]++;
	if (handlers[f->vec]) {
		handlers[f->vec](f);
		return;
	}
	if (c->fixup) {
		c->vec = f->vec;
		c->err = f->err;
		c->rip = f->rip;
		c->rflags = f->rflags;
		c->cr2 = RDCR(2);
		c->dr6 = f->vec == 1 ? RDDR(6) : 0;
		f->rip = c->fixup;
		f->rflags &= ~0x100ul;
		c->fixup = 0;
		return;
	}
	if (f->vec >= 32) {	/* unexpected interrupt: note it by count only */
		eoi();
		return;
	}
	put("trap ");
	puthex(f->vec);
	put(" err ");
	puthex(f->err);
	put(" rip ");
	puthex(f->rip);
	put(" cr2 ");
	puthex(RDCR(2));
	put("; ");
	fatal_("cpu64.c", __LINE__, "unexpected trap");
}

void set_ist(int n, void *top)
{
	memcpy((char *)this_cpu()->tss + 36 + (n - 1) * 8, &top, 8);
}

void cpu_init(u32 id)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) d;
	struct cpu *c = &cpus[id];
	u64 t = (u64)c->tss;
	u64 *desc = &gdt[TSS_SEL / 8 + 2 * id];
	u32 r[4];
	int i;

	/* each stub starts on a multiple of 16 */
	if (!id)
		for (i = 0; i < 256; i++)
			idt_raw(i, trap_stubs + 16 * i, 0x8e, 0, CODE64);
	c->id = id;
	desc[0] = 0x0000890000000067ull | (t & 0xffffff) << 16 | (t >> 24 & 0xff) << 56;
	desc[1] = t >> 32;
	d.limit = gdt_end - (char *)gdt - 1;
	d.base = (u64)gdt;
	asm volatile("lgdt %0\n\t"
		     "pushq %1\n\tpushq $1f\n\tlretq\n1:\n\t"
		     "mov %2, %%ds\n\tmov %2, %%es\n\tmov %2, %%ss\n\t"
		     "xor %%eax, %%eax\n\tmov %%eax, %%fs\n\tmov %%eax, %%gs\n\t"
		     "ltr %3"
		     :: "m"(d), "i"(CODE64), "r"(DATA64), "r"((u16)(TSS_SEL + 16 * id))
		     : "rax", "memory");
	d.limit = sizeof(idt) - 1;
	d.base = (u64)idt;
	asm volatile("lidt %0" :: "m"(d));
	cpuid(1, 0, r);
	c->apic_id = r[1] >> 24;
}

void ap_main(int id)
{
	__atomic_fetch_add(&aps_ready, 1, __ATOMIC_SEQ_CST);
	while (!ap_fn)
		cpu_relax();
	ap_fn(id);
	for (;;)
		asm volatile("hlt");
}

/* INIT, SIPI, SIPI to all others; each then calls fn(cpu). */
void start_aps(void (*fn)(int cpu))
{
	u64 end;

	ap_fn = fn;
	memcpy((void *)SIPI_GPA, ap_code, ap_code_end - ap_code);
	apic_icr(0, 0xc4500);
	delay(ms(10));
	apic_icr(0, 0xc4600 | SIPI_GPA >> 12);
	delay(ms(1));
	apic_icr(0, 0xc4600 | SIPI_GPA >> 12);
	end = rdtsc() + ms(8000);
	while (aps_ready < INFO->cpus - 1 && rdtsc() < end)
		cpu_relax();
	MUST(aps_ready == INFO->cpus - 1);
}

u64 alloc_page(void)
{
	u64 p = heap;

	heap += 4096;
	memset((void *)p, 0, 4096);
	return p;
}

/* The 4 KiB entry for va; its 2 MiB page is split when needed. */
u64 *pte_of(u64 va)
{
	u64 *t = (u64 *)PML4_GPA;
	int level, i;

	for (level = 3; level; level--) {
		u64 *e = &t[va >> (12 + 9 * level) & 511];

		if (!(*e & 1)) {
			*e = alloc_page() | 7;
		} else if (*e & 0x80) {
			u64 *n = (u64 *)alloc_page();
			u64 old = *e;

			for (i = 0; i < 512; i++)
				n[i] = ((old & ~0x1fff80ull) + i * 4096ull) | (old & 0x7f);
			*e = (u64)n | 7;
		}
		t = (u64 *)(*e & 0xffffffffff000ull);
	}
	return &t[va >> 12 & 511];
}

void map4k(u64 va, u64 pa, u64 bits)
{
	*pte_of(va) = pa | bits;
	invlpg(va);
}

u64 try_rdmsr(u32 i, u64 *v)
{
	u32 a = 0, d = 0;
	u64 t = TRYO("rdmsr", ("+a"(a), "+d"(d)), "c"(i));

	*v = a | (u64)d << 32;
	return t;
}
