// SPDX-License-Identifier: GPL-2.0-only
/* The local APIC: registers, timer, x2APIC; PIT counters; TSC. */
#include "lib/lib.h"

static volatile u64 hits[256];
static void count(struct frame *f)
{
	hits[f->vec]++;
	eoi();
}

#define WAIT(cond, n) ({ u64 e_ = rdtsc() + ms(n); while (!(cond) && rdtsc() < e_) cpu_relax(); (cond); })

static void regs(void)
{
	CHECK_EQ(apic_rd(APIC_VER) & 0xff, 0x14);
	CHECK((apic_rd(APIC_VER) >> 16 & 0xff) >= 5);
	apic_on();
	CHECK_EQ(apic_rd(APIC_SVR), 0x1ff);
	apic_wr(APIC_LVTT, 0x20045);
	CHECK_EQ(apic_rd(APIC_LVTT), 0x20045);
	apic_wr(APIC_LVTERR, 0x10000 | 0x47);
	CHECK_EQ(apic_rd(APIC_LVTERR), 0x10047);
	apic_wr(APIC_TDCR, 0xb);
	CHECK_EQ(apic_rd(APIC_TDCR), 0xb);
	apic_wr(APIC_TDCR, 0x3);
	CHECK_EQ(apic_rd(APIC_TDCR), 0x3);
	apic_wr(APIC_TPR, 0x35);
	CHECK_EQ(apic_rd(APIC_TPR) & 0xf0, 0x30);
	CHECK_EQ(apic_rd(APIC_PPR) & 0xf0, 0x30);
	apic_wr(APIC_TPR, 0);
	CHECK_EQ(apic_rd(APIC_PPR), 0);
	/* software disable masks every LVT entry */
	apic_wr(APIC_LVTT, 0x45);
	apic_wr(APIC_SVR, 0xff);
	CHECK_EQ(apic_rd(APIC_LVTT), 0x10045);
	apic_wr(APIC_LVTT, 0x45);
	CHECK_EQ(apic_rd(APIC_LVTT), 0x10045);
	apic_on();
}

GUEST(apic_regs, 0, 1)
{
	CHECK_EQ(apic_rd(APIC_LVTT), 0x10000);
	CHECK_EQ(apic_rd(APIC_DFR), 0xffffffff);
	CHECK_EQ(apic_rd(APIC_ID) >> 24, 0);
	regs();
	apic_wr(APIC_LDR, 0x12345678);
	CHECK_EQ(apic_rd(APIC_LDR), 0x12000000);
	apic_wr(APIC_DFR, 0x0);
	CHECK_EQ(apic_rd(APIC_DFR), 0x0fffffff);
}

GUEST(apic_moved_off, 0, 1)
{
	u64 b = rdmsr(0x1b);

	/* disabled: CPUID says so, and the page is ordinary MMIO elsewhere */
	wrmsr(0x1b, b & ~0x800ull);
	CHECK_EQ(has_cpuid(1, EDX, 9), 0);
	wrmsr(0x1b, b);
	CHECK_EQ(has_cpuid(1, EDX, 9), 1);
	CHECK_EQ(apic_rd(APIC_VER) & 0xff, 0x14);
}

GUEST(apic_error, 0, 1)
{
	apic_on();
	apic_wr(APIC_ESR, 0);
	CHECK_EQ(apic_rd(APIC_ESR), 0);
	on(0x48, count);
	apic_wr(APIC_LVTERR, 0x48);
	apic_wr(APIC_ESR, 0);
	CHECK_EQ(apic_rd(APIC_ESR), 0);
}

GUEST(x2apic_regs, F_X2APIC, 1)
{
	u64 v;

	if (!has_cpuid(1, ECX, 21))
		skip("no x2APIC");
	CHECK_EQ(try_rdmsr(0x802, &v), 13);	/* not enabled yet */
	apic_x2();
	regs();
	CHECK_EQ(rdmsr(0x802), 0);
	CHECK_EQ(rdmsr(0x80d), 1);		/* LDR: cluster 0, bit 0 */
	CHECK_EQ(try_wrmsr(0x802, 1), 13);
	CHECK_EQ(try_wrmsr(0x80d, 1), 13);
	CHECK_EQ(try_rdmsr(0x80e, &v), 13);	/* no DFR */
	CHECK_EQ(try_rdmsr(0x831, &v), 13);	/* no ICR2 */
	CHECK_EQ(try_rdmsr(0x80b, &v), 13);	/* EOI is write only */
	CHECK_EQ(try_wrmsr(0x808, 1ull << 32), 13);
	CHECK_EQ(try_wrmsr(0x80f, 1ull << 33), 13);
	CHECK_EQ(try_wrmsr(0x83f, 0x140), 13);
	on(0x4a, count);
	sti();
	wrmsr(0x83f, 0x4a);			/* self IPI */
	CHECK(WAIT(hits[0x4a] == 1, 100));
	wrmsr(0x830, 0x44000 | 0x4a);
	CHECK(WAIT(hits[0x4a] == 2, 100));
	wrmsr(0x830, 0x4a);
	CHECK(WAIT(hits[0x4a] == 3, 100));
	cli();
}

static void timer(void)
{
	u64 i, n, t;
	u32 a, b;

	on(0x50, count);
	apic_on();
	apic_wr(APIC_TDCR, 0xb);		/* divide by 1 */
	/* the count runs down, with interrupts masked */
	apic_wr(APIC_LVTT, 0x10050);
	apic_wr(APIC_TMICT, 0xffffffff);
	a = apic_rd(APIC_TMCCT);
	delay(ms(1));
	b = apic_rd(APIC_TMCCT);
	CHECK(b < a);
	CHECK(a <= 0xffffffff);
	CHECK_EQ(apic_rd(APIC_TMICT), 0xffffffff);
	apic_wr(APIC_TMICT, 0);
	CHECK_EQ(apic_rd(APIC_TMCCT), 0);
	/* one shot: exactly one */
	apic_wr(APIC_LVTT, 0x50);
	apic_wr(APIC_TMICT, 1000000);
	sti();
	CHECK(WAIT(hits[0x50] == 1, 1000));
	CHECK_EQ(apic_rd(APIC_TMCCT), 0);
	delay(ms(3));
	CHECK_EQ(hits[0x50], 1);
	/* it wakes HLT */
	for (i = 2; i < 12; i++) {
		cli();
		apic_wr(APIC_TMICT, 500000);
		sti_hlt();
		CHECK_EQ(hits[0x50], i);
	}
	/* periodic: keeps coming, stops when told */
	n = hits[0x50];
	apic_wr(APIC_LVTT, 0x20050);
	apic_wr(APIC_TMICT, 1000000);
	CHECK(WAIT(hits[0x50] >= n + 5, 2000));
	apic_wr(APIC_TMICT, 0);
	delay(ms(1));
	n = hits[0x50];
	delay(ms(5));
	CHECK_EQ(hits[0x50], n);
	cli();
	/* masked: nothing even when it expires */
	apic_wr(APIC_LVTT, 0x10050);
	apic_wr(APIC_TMICT, 1000);
	delay(ms(1));
	CHECK_EQ(apic_bit(APIC_IRR, 0x50), 0);
	/* the rate: 1 ns a tick; within a factor of two of the TSC (emulators are coarse) */
	apic_wr(APIC_TMICT, 0xffffffff);
	t = rdtsc();
	a = apic_rd(APIC_TMCCT);
	delay(ms(20));
	b = apic_rd(APIC_TMCCT);
	t = (rdtsc() - t) * 1000 / INFO->tsc_khz;	/* microseconds */
	CHECK((a - b) / 1000 > t / 2);
	CHECK((a - b) / 1000 < t * 2);
	apic_wr(APIC_TMICT, 0);
}

GUEST(apic_timer, 0, 1)
{
	timer();
}

GUEST(x2apic_eoi_value, F_X2APIC, 1)
{
	/* APM 2, 16.11: a WRMSR of anything but 0 to EOI is a #GP (KVM takes it) */
	if (!has_cpuid(1, ECX, 21))
		skip("no x2APIC");
	apic_x2();
	CHECK_EQ(try_wrmsr(0x80b, 0), NOTRAP);
	CHECK_EQ(try_wrmsr(0x80b, 1), 13);
}

GUEST(x2apic_timer, F_X2APIC, 1)
{
	if (!has_cpuid(1, ECX, 21))
		skip("no x2APIC");
	apic_x2();
	timer();
}

GUEST(apic_timer_deadline, 0, 1)
{
	u64 i, d;

	if (!has_cpuid(1, ECX, 24))
		skip("no TSC deadline");
	on(0x51, count);
	apic_on();
	wrmsr(0x6e0, rdtsc() + ms(1));		/* not in this mode: ignored */
	CHECK_EQ(rdmsr(0x6e0), 0);
	apic_wr(APIC_LVTT, 0x40051);
	for (i = 1; i <= 10; i++) {
		cli();
		d = rdtsc() + ms(1);
		wrmsr(0x6e0, d);
		CHECK(rdmsr(0x6e0) == d || rdtsc() >= d);
		sti_hlt();
		CHECK_EQ(hits[0x51], i);
		CHECK(rdtsc() >= d);
		CHECK_EQ(rdmsr(0x6e0), 0);
	}
	/* the same for a CPU that does not halt */
	sti();
	for (; i <= 20; i++) {
		d = rdtsc() + ms(1);
		wrmsr(0x6e0, d);
		CHECK(WAIT(hits[0x51] == i, 100));
		CHECK(rdtsc() >= d);
		CHECK_EQ(rdmsr(0x6e0), 0);
	}
	/* in the past: at once */
	wrmsr(0x6e0, 1);
	CHECK(WAIT(hits[0x51] == 21, 100));
	/* zero disarms */
	wrmsr(0x6e0, rdtsc() + ms(3));
	wrmsr(0x6e0, 0);
	delay(ms(6));
	CHECK_EQ(hits[0x51], 21);
	/* the count register reads 0 and its initial value is ignored */
	apic_wr(APIC_TMICT, 1000);
	delay(ms(1));
	CHECK_EQ(hits[0x51], 21);
	CHECK_EQ(apic_rd(APIC_TMCCT), 0);
	cli();
}

GUEST(pit_counters, 0, 1)
{
	u16 a, b;
	u64 e;

	pit_mode(2, 0, 0xffff);
	outb(0x61, inb(0x61) | 1);		/* gate on, speaker off */
	a = pit_read(2);
	delay(ms(2));
	b = pit_read(2);
	CHECK(b < a);
	CHECK((u16)(a - b) > 1193);
	/* terminal count raises OUT, seen in port 0x61 bit 5 */
	outb(0x61, inb(0x61) & ~3);
	pit_mode(2, 0, 2000);
	outb(0x61, (inb(0x61) & ~2) | 1);
	e = rdtsc() + ms(500);
	while (!(inb(0x61) & 0x20) && rdtsc() < e)
		;
	CHECK(inb(0x61) & 0x20);
	/* read-back: status of channel 2 = mode 0, access lo/hi */
	outb(0x43, 0xe8);
	CHECK_EQ(inb(0x42) & 0x3f, 0x30);
	/* rate generator on channel 0 reloads */
	pit_mode(0, 2, 1193);
	delay(ms(5));
	a = pit_read(0);
	CHECK(a <= 1193);
}

GUEST(tsc_monotonic, 0, 1)
{
	u64 a, b = rdtsc(), base;
	u32 r[4];
	int i;

	for (i = 0; i < 2000; i++) {
		a = rdtsc();
		MUST(a >= b);
		b = a;
		if (!(i & 63))
			cpuid(0, 0, r);
	}
	/* writing it moves it */
	base = 1ull << 50;
	wrmsr(0x10, base);
	a = rdtsc();
	CHECK(a >= base);
	CHECK(a < base + ms(2000));
	wrmsr(0x10, 0);
	CHECK(rdtsc() < ms(2000));
}

GUEST(tsc_adjust, 0, 1)
{
	u64 a, b;

	if (!has_cpuid(7, EBX, 1))
		skip("no TSC_ADJUST");
	a = rdtsc();
	wrmsr(0x3b, rdmsr(0x3b) + (1ull << 45));
	b = rdtsc();
	CHECK(b - a >= 1ull << 45);
	CHECK(b - a < (1ull << 45) + ms(2000));
	CHECK_EQ(rdmsr(0x3b), 1ull << 45);
}

GUEST(tsc_aux, 0, 1)
{
	u32 c, a, d;
	u64 v;

	if (!has_cpuid(0x80000001, EDX, 27)) {
		CHECK_EQ(TRYC("rdtscp", ("rax", "rcx", "rdx"), "i"(0)) != NOTRAP || on_tcg(), 1);
		CHECK_EQ(try_rdmsr(0xc0000103, &v), 13);
		return;
	}
	wrmsr(0xc0000103, 0x12345678);
	HC(HC_HLT_COUNT);
	asm volatile("rdtscp" : "=a"(a), "=c"(c), "=d"(d));
	CHECK_EQ(c, 0x12345678);
	CHECK_EQ(rdmsr(0xc0000103), 0x12345678);
}
