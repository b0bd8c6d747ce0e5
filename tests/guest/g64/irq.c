// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts: PIC, IOAPIC, MSI, priorities, windows, NMI. */
#include "lib/lib.h"

static volatile u64 hits[256];
static volatile u64 last_vec, last_rip;

static void count(struct frame *f)
{
	hits[f->vec]++;
	last_vec = f->vec;
	last_rip = f->rip;
	if (f->vec >= 0x30)
		eoi();
}

static void listen(int from, int to)
{
	for (; from <= to; from++)
		on(from, count);
}

static void count_pic(struct frame *f)
{
	hits[f->vec]++;
	last_vec = f->vec;
	if (f->vec == 0x2c && hits[0x2c] == 3)
		HC(HC_LINE, 12, 0);	/* before the EOI, or it never ends */
	if (f->vec >= 0x28)
		outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

#define WAIT(cond, n) ({ u64 e_ = rdtsc() + ms(n); while (!(cond) && rdtsc() < e_) cpu_relax(); (cond); })

GUEST(irq_self_ipi, 0, 1)
{
	listen(0x30, 0xff);
	apic_on();
	apic_icr(0, 0x4041);		/* physical, to ourselves */
	CHECK_EQ(hits[0x41], 0);	/* not with IF clear */
	CHECK_EQ(apic_bit(APIC_IRR, 0x41), 1);
	sti_nop();
	CHECK_EQ(hits[0x41], 1);
	CHECK_EQ(apic_bit(APIC_IRR, 0x41), 0);
	CHECK_EQ(apic_bit(APIC_ISR, 0x41), 0);
	apic_icr(0, 0x44042);		/* shorthand self */
	CHECK(WAIT(hits[0x42] == 1, 100));
	apic_icr(0, 0x84043);		/* all including self */
	CHECK(WAIT(hits[0x43] == 1, 100));
	apic_icr(0, 0xc4044);		/* all but self */
	delay(ms(1));
	CHECK_EQ(hits[0x44], 0);
	cli();
}

GUEST(irq_priority, 0, 1)
{
	int i;

	listen(0x30, 0xff);
	apic_on();
	for (i = 0; i < 4; i++) {
		static const u8 v[] = { 0x51, 0x91, 0x31, 0x71 };

		apic_icr(0, 0x44000 | v[i]);
	}
	for (i = 0; i < 4; i++) {
		sti_nop();
		cli();
	}
	CHECK_EQ(hits[0x31] + hits[0x51] + hits[0x71] + hits[0x91], 4);
	CHECK_EQ(last_vec, 0x31);	/* the lowest class last */
	/* TPR masks classes at or below it */
	apic_wr(APIC_TPR, 0x50);
	apic_icr(0, 0x44051);
	apic_icr(0, 0x44061);
	sti_nop();
	CHECK_EQ(hits[0x61], 1);
	CHECK_EQ(hits[0x51], 1);
	CHECK_EQ(apic_bit(APIC_IRR, 0x51), 1);
	CHECK_EQ(apic_rd(APIC_PPR) & 0xf0, 0x50);
	asm volatile("mov %0, %%cr8" :: "r"(4ull));
	asm volatile("nop; nop");
	CHECK_EQ(hits[0x51], 2);
	cli();
}

static volatile u64 in_low, nested_seen, high_then;
static void low_first(struct frame *f)
{
	in_low = 1;
	CHECK_EQ(apic_bit(APIC_ISR, 0x41), 1);
	CHECK_EQ(apic_rd(APIC_PPR) & 0xf0, 0x40);
	apic_icr(0, 0x44045);		/* same class: must wait */
	apic_icr(0, 0x44061);		/* higher: nests */
	sti_nop();
	cli();
	high_then = hits[0x61];
	nested_seen = hits[0x45];
	eoi();
	in_low = 0;
}

GUEST(irq_nesting, 0, 1)
{
	listen(0x30, 0xff);
	on(0x41, low_first);
	apic_on();
	apic_icr(0, 0x44041);
	sti_nop();
	asm volatile("nop");
	cli();
	CHECK_EQ(high_then, 1);
	CHECK_EQ(nested_seen, 0);
	CHECK_EQ(hits[0x45], 1);
}

GUEST(irq_sti_shadow, 0, 1)
{
	u64 want;

	/*
	 * One instruction runs after STI before the interrupt. TCG drops the
	 * shadow at VMRUN, so that on an emulated host this holds only when
	 * no exit falls between.
	 */
	listen(0x30, 0xff);
	apic_on();
	apic_icr(0, 0x44050);
	asm volatile("lea 1f(%%rip), %0; sti; nop; 1: nop; cli" : "=r"(want) :: "memory");
	CHECK_EQ(hits[0x50], 1);
	if (!on_tcg())
		CHECK_EQ(last_rip, want);
}

GUEST(irq_sti_cli, 0, 1)
{
	/* sti; cli lets nothing in */
	listen(0x30, 0xff);
	apic_on();
	if (on_tcg())
		skip("TCG drops the interrupt shadow at VMRUN");
	apic_icr(0, 0x44050);
	asm volatile("sti; cli; nop; nop" ::: "memory");
	CHECK_EQ(hits[0x50], 0);
	sti_nop();
	cli();
	CHECK_EQ(hits[0x50], 1);
}

GUEST(irq_sti_hlt, 0, 1)
{
	int i;

	listen(0x30, 0xff);
	apic_on();
	for (i = 1; i <= 50; i++) {
		HC(HC_MSI_LATER, 0xfee00000, 0x4050, 200 * (i & 7));
		sti_hlt();
		cli();
		CHECK_EQ(hits[0x50], i);
	}
}

GUEST(irq_hlt_pending, 0, 1)
{
	/* an interrupt that is pending already must end HLT at once */
	listen(0x30, 0xff);
	apic_on();
	apic_icr(0, 0x44051);
	sti_hlt();
	cli();
	CHECK_EQ(hits[0x51], 1);
}

GUEST(irq_msi, 0, 1)
{
	listen(0x30, 0xff);
	apic_on();
	CHECK(HC(HC_MSI, 0xfee00000, 0x4055) > 0);
	CHECK_EQ(apic_bit(APIC_IRR, 0x55), 1);
	CHECK_EQ(apic_bit(APIC_TMR, 0x55), 0);
	sti_nop();
	CHECK_EQ(hits[0x55], 1);
	/* to an APIC that is not there */
	CHECK_EQ(HC(HC_MSI, 0xfee07000, 0x4056), 0);
	/* all of them (broadcast) */
	CHECK(HC(HC_MSI, 0xfeeff000, 0x4057) > 0);
	CHECK(WAIT(hits[0x57] == 1, 100));
	cli();
}

GUEST(irq_pic_pit, 0, 1)
{
	u64 n;

	on(0x20, count_pic);
	on(0x28, count_pic);
	apic_on();
	apic_wr(APIC_LVT0, 0x700);		/* ExtINT */
	pic_init(0x20, 0x28, 0xfe, 0xff);
	CHECK_EQ(inb(0x21), 0xfe);
	CHECK_EQ(inb(0xa1), 0xff);
	pit_mode(0, 2, 11932);			/* 100 Hz */
	sti();
	CHECK(WAIT(hits[0x20] >= 5, 2000));
	n = hits[0x20];
	outb(0x21, 0xff);
	delay(ms(30));
	CHECK(hits[0x20] <= n + 1);
	cli();
	/* virtual wire off: the PIC is not heard */
	apic_wr(APIC_LVT0, 0x10700);
	n = hits[0x20];
	outb(0x21, 0xfe);
	sti();
	delay(ms(30));
	CHECK_EQ(hits[0x20], n);
	cli();
}

GUEST(irq_pic_regs, 0, 1)
{
	apic_on();
	apic_wr(APIC_LVT0, 0x700);
	pic_init(0x20, 0x28, 0xff, 0xff);
	outb(0x20, 0x0a);			/* read IRR */
	CHECK_EQ(inb(0x20) & 0x20, 0);
	HC(HC_LINE, 5, 1);
	CHECK_EQ(inb(0x20) & 0x20, 0x20);
	HC(HC_LINE, 5, 0);
	outb(0x20, 0x0b);			/* read ISR */
	CHECK_EQ(inb(0x20), 0);
	/* an edge through the slave: IRQ 12, vector 0x2c */
	on(0x2c, count_pic);
	outb(0x21, 0xfb);
	outb(0xa1, 0xef);
	HC(HC_LINE, 12, 1);
	HC(HC_LINE, 12, 0);
	HC(HC_LINE, 12, 1);
	sti_nop();
	CHECK(WAIT(hits[0x2c] == 1, 100));
	delay(ms(1));
	CHECK_EQ(hits[0x2c], 1);
	HC(HC_LINE, 12, 0);
	/* ELCR: level now, interrupts as long as the line is up */
	outb(0x4d1, 0x10);
	CHECK_EQ(inb(0x4d1), 0x10);
	hits[0x2c] = 0;
	HC(HC_LINE, 12, 1);
	CHECK(WAIT(hits[0x2c] >= 3, 100));
	delay(ms(1));
	CHECK_EQ(hits[0x2c], 3);
	cli();
	outb(0x4d0, 0xff);
	CHECK_EQ(inb(0x4d0), 0xf8);		/* 0, 1, 2 cannot be level */
}

GUEST(irq_pic_spurious, 0, 1)
{
	/* a line that falls again before the acknowledge: IRQ 7 */
	on(0x25, count_pic);
	on(0x27, count_pic);
	apic_on();
	apic_wr(APIC_LVT0, 0x700);
	pic_init(0x20, 0x28, 0, 0xff);
	HC(HC_LINE, 5, 1);
	HC(HC_LINE, 5, 0);
	sti_nop();
	delay(ms(2));
	cli();
	CHECK(hits[0x25] + hits[0x27] <= 1);
}

static volatile u64 irr_in_handler, lvl_hits, lower_at;
static void level_handler(struct frame *f)
{
	lvl_hits++;
	irr_in_handler = ioapic_entry(10);
	if (lvl_hits == lower_at)
		HC(HC_LINE, 10, 0);
	eoi();
}

GUEST(irq_ioapic_level, 0, 1)
{
	on(0x60, level_handler);
	pic_init(0x20, 0x28, 0xff, 0xff);	/* the lines reach it as well */
	apic_on();
	CHECK_EQ(ioapic_rd(1) & 0xff00ff, 0x170011);
	ioapic_redir(10, 0x8060);		/* level, fixed, to APIC 0 */
	CHECK_EQ(ioapic_entry(10) & 0xff, 0x60);
	lower_at = 1;
	HC(HC_LINE, 10, 1);
	sti_nop();
	CHECK(WAIT(lvl_hits == 1, 100));
	CHECK(irr_in_handler & 0x4000);		/* remote IRR until EOI */
	CHECK_EQ(ioapic_entry(10) & 0x4000, 0);
	delay(ms(1));
	CHECK_EQ(lvl_hits, 1);
	/* the line stays up: it comes again after each EOI */
	lvl_hits = 0;
	lower_at = 4;
	HC(HC_LINE, 10, 1);
	CHECK(WAIT(lvl_hits == 4, 100));
	delay(ms(1));
	CHECK_EQ(lvl_hits, 4);
	cli();
	/* masked: raised but not delivered; on unmasking it is */
	ioapic_wr(0x10 + 20, 0x18060);
	lvl_hits = 0;
	lower_at = 1;
	HC(HC_LINE, 10, 1);
	sti_nop();
	delay(ms(1));
	CHECK_EQ(lvl_hits, 0);
	ioapic_wr(0x10 + 20, 0x8060);
	CHECK(WAIT(lvl_hits == 1, 100));
	cli();
}

GUEST(irq_ioapic_edge, 0, 1)
{
	listen(0x30, 0xff);
	pic_init(0x20, 0x28, 0xff, 0xff);
	apic_on();
	ioapic_redir(11, 0x61);
	sti();
	HC(HC_LINE, 11, 1);
	CHECK(WAIT(hits[0x61] == 1, 100));
	HC(HC_LINE, 11, 1);			/* no edge */
	delay(ms(1));
	CHECK_EQ(hits[0x61], 1);
	HC(HC_LINE, 11, 0);
	HC(HC_LINE, 11, 1);
	CHECK(WAIT(hits[0x61] == 2, 100));
	HC(HC_LINE, 11, 0);
	cli();
}

GUEST(irq_ioapic_regs, 0, 1)
{
	int i;

	ioapic_wr(0, 0x0f000000);
	CHECK_EQ(ioapic_rd(0) & 0x0f000000, 0x0f000000);
	for (i = 0; i < 24; i++) {
		CHECK_EQ(ioapic_entry(i) & 0x10000, 0x10000);	/* masked at reset */
		ioapic_redir(i, 0x0500000000010030ull + i);
	}
	for (i = 0; i < 24; i++)
		CHECK_EQ(ioapic_entry(i), 0x0500000000010030ull + i);
	/* delivery status and remote IRR are read only */
	ioapic_wr(0x10, 0x15030);
	CHECK_EQ(ioapic_entry(0) & 0x5000, 0);
}

static volatile u64 nmis, nmi_nested;
static void nmi_handler(struct frame *f)
{
	nmis++;
	if (nmis == 1) {
		/* a second one must wait for IRET */
		HC(HC_NMI, 0);
		asm volatile("nop; nop; nop");
		nmi_nested = nmis;
	}
}

GUEST(nmi_blocking, 0, 1)
{
	on(2, nmi_handler);
	HC(HC_NMI, 0);
	asm volatile("nop; nop");
	CHECK(WAIT(nmis == 2, 100));
	CHECK_EQ(nmi_nested, 1);
	CHECK_EQ(nmis, 2);
}

static volatile u64 nmi_rip;
static void nmi_where(struct frame *f)
{
	nmi_rip = f->rip;
}

static void skip_injected(struct frame *f)
{
	hits[f->vec]++;
}

/* An NMI that comes with an exception is taken when that is delivered, not some time later. */
GUEST(nmi_after_exception, 0, 1)
{
	extern char trap_stubs[];
	int i;

	on(2, nmi_where);
	on(6, skip_injected);
	for (i = 1; i <= 20; i++) {
		nmi_rip = 0;
		CHECK_EQ(HC(HC_EXC_PAYLOAD, 6, 0, 0, 1), 0);
		CHECK_EQ(hits[6], (u64)i);
		CHECK_EQ(nmi_rip, (u64)trap_stubs + 6 * 16);
	}
}

GUEST(nmi_with_if_clear, 0, 1)
{
	int i;

	on(2, count);
	cli();
	for (i = 1; i <= 20; i++) {
		HC(HC_NMI, 0);
		CHECK(WAIT(hits[2] == (u64)i, 100));
	}
}

GUEST(nmi_wakes_hlt, 0, 1)
{
	int i;

	on(2, count);
	apic_on();
	cli();
	for (i = 1; i <= 10; i++) {
		/* two MSIs of type NMI, as the first may come before the HLT */
		HC(HC_MSI_LATER, 0xfee00000, 0x4400, 3000);
		HC(HC_MSI_LATER, 0xfee00000, 0x4400, 40000);
		asm volatile("hlt");
		CHECK(hits[2] > 2 * (u64)(i - 1));
		CHECK(WAIT(hits[2] == 2 * (u64)i, 1000));
	}
}

GUEST(nmi_by_icr, 0, 1)
{
	on(2, count);
	apic_on();
	apic_icr(0, 0x4400);
	CHECK(WAIT(hits[2] == 1, 100));
}

GUEST(nmi_lvt1_lint, 0, 1)
{
	on(2, count);
	apic_on();
	apic_wr(APIC_LVT1, 0x10400);
	CHECK_EQ(apic_rd(APIC_LVT1), 0x10400);
	apic_wr(APIC_LVT1, 0x400);
	CHECK_EQ(apic_rd(APIC_LVT1), 0x400);
}

GUEST(noirqchip_interrupt, F_NOIRQCHIP, 1)
{
	int i;

	on(0x40, count_pic);
	for (i = 1; i <= 20; i++) {
		HC(HC_INJECT_ON_HLT, 0x40);
		sti_hlt();
		cli();
		CHECK_EQ(hits[0x40], i);
	}
	CHECK_EQ(HC(HC_HLT_COUNT), 20);
}

GUEST(noirqchip_window, F_NOIRQCHIP, 1)
{
	int i;

	on(0x41, count_pic);
	for (i = 1; i <= 20; i++) {
		cli();
		HC(HC_INJECT_WINDOW, 0x41);
		asm volatile("nop; nop");
		CHECK_EQ(hits[0x41], i - 1);
		sti_nop();
		CHECK(WAIT(hits[0x41] == (u64)i, 100));
	}
	cli();
}

GUEST(irq_during_exits, 0, 1)
{
	u32 r[4];
	u64 end;

	/* interrupts from another thread while this one exits all the time */
	listen(0x30, 0xff);
	apic_on();
	sti();
	HC(HC_MSI_LATER, 0xfee00000, 0x4070, 100);
	HC(HC_MSI_LATER, 0xfee00000, 0x4071, 1000);
	HC(HC_MSI_LATER, 0xfee00000, 0x4072, 2000);
	HC(HC_KICK, 0, 20, 300);
	end = rdtsc() + ms(1000);
	while (!(hits[0x70] && hits[0x71] && hits[0x72]) && rdtsc() < end)
		cpuid(0, 0, r);
	CHECK_EQ(hits[0x70], 1);
	CHECK_EQ(hits[0x71], 1);
	CHECK_EQ(hits[0x72], 1);
	cli();
}
