// SPDX-License-Identifier: GPL-2.0-only
/* CPUID, XSAVE and the paravirtual leaves. */
#include "lib/lib.h"

GUEST(cpuid_basic, 0, 1)
{
	struct hostcall h = { HC_CPUID_HOST, { 0 }, 0 };
	u32 r[4];

	hostcall_p(&h);
	cpuid(0, 0, r);
	CHECK_EQ(r[1], h.a[1]);		/* the host's vendor */
	CHECK_EQ(r[2], h.a[2]);
	CHECK_EQ(r[3], h.a[3]);
	CHECK(r[0] >= 1);
	h = (struct hostcall) { HC_CPUID_HOST, { 1 }, 0 };
	hostcall_p(&h);
	cpuid(1, 0, r);
	CHECK_EQ(r[0], h.a[0]);
	CHECK(r[2] >> 31);		/* hypervisor */
	CHECK_EQ(r[1] >> 24, 0);	/* APIC ID */
	CHECK_EQ(r[3] & 0x07808111, 0x07808111 & h.a[3]);
	/* nothing that the host's CPU lacks, but what software provides */
	CHECK_EQ(r[2] & ~h.a[2] & ~(1u << 31 | 1u << 24 | 1u << 21), 0);
	cpuid(0x80000000, 0, r);
	CHECK(r[0] >= 0x80000008);
	cpuid(0x80000001, 0, r);
	CHECK(r[3] >> 29 & 1);		/* long mode */
	CHECK(r[3] >> 20 & 1);		/* NX */
}

GUEST(cpuid_kvm_leaf, 0, 1)
{
	u32 r[4];

	cpuid(0x40000000, 0, r);
	CHECK(r[0] >= 0x40000001);
	CHECK_EQ(r[1], 0x4b4d564b);	/* KVMKVMKVM */
	CHECK_EQ(r[2], 0x564b4d56);
	CHECK_EQ(r[3], 0x4d);
}

GUEST(cpuid_no_hv, F_NOHV, 1)
{
	u32 r[4];

	CHECK_EQ(has_cpuid(1, ECX, 31), 0);
	cpuid(0x40000001, 0, r);
	CHECK_EQ(r[0], 0);
}

GUEST(cpuid_out_of_range, 0, 1)
{
	u32 max[4], r[4];

	/* AMD: zeros; Intel: the highest basic leaf */
	cpuid(0, 0, max);
	cpuid(max[0] + 1, 0, r);
	if (INFO->vendor == 'A')
		CHECK_EQ(r[0] | r[1] | r[2] | r[3], 0);
	cpuid(0x80001234, 0, r);
	if (INFO->vendor == 'A')
		CHECK_EQ(r[0] | r[1] | r[2] | r[3], 0);
}

GUEST(cpuid_upper_halves, 0, 1)
{
	u64 a = 0xffffffff00000000, b = ~0ull, c = 0xffffffff00000000, d = ~0ull;

	/* the upper halves are cleared */
	asm volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
	CHECK_EQ((a | b | c | d) >> 32, 0);
}

GUEST(cpuid_osxsave, F_XSAVE, 1)
{
	if (!has_cpuid(1, ECX, 26))
		skip("no XSAVE");
	CHECK_EQ(has_cpuid(1, ECX, 27), 0);
	WRCR(4, RDCR(4) | 1 << 18);
	CHECK_EQ(has_cpuid(1, ECX, 27), 1);
	WRCR(4, RDCR(4) & ~(1ul << 18));
	CHECK_EQ(has_cpuid(1, ECX, 27), 0);
}

#define TRY_XSETBV(i, v) TRYI("xsetbv", "c"(i), "a"((u32)(v)), "d"((u32)((u64)(v) >> 32)))

static u64 xgetbv(void)
{
	u32 a, d;

	asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
	return a | (u64)d << 32;
}

GUEST(xsetbv_rules, F_XSAVE, 1)
{
	u32 r[4];

	if (!has_cpuid(1, ECX, 26))
		skip("no XSAVE");
	if (!on_tcg())		/* intercepts before it checks CR4.OSXSAVE */
		CHECK_EQ(TRY_XSETBV(0, 1), 6);
	WRCR(4, RDCR(4) | 1 << 18);
	CHECK_EQ(xgetbv(), 1);
	cpuid(0xd, 0, r);
	CHECK_EQ(r[0] & 3, 3);
	CHECK_EQ(TRY_XSETBV(0, 0), 13);			/* x87 is not optional */
	CHECK_EQ(TRY_XSETBV(0, 5), 13);			/* AVX without SSE */
	CHECK_EQ(TRY_XSETBV(1, 1), 13);
	CHECK_EQ(TRY_XSETBV(0, 1ull << 63 | 3), 13);
	CHECK_EQ(TRY_XSETBV(0, 3 | (~(u64)r[0] & 0xfffffff8 & -(~(u64)r[0] & 0xfffffff8))), 13);
	CHECK_EQ(xgetbv(), 1);
	CHECK_EQ(TRY_XSETBV(0, 3), NOTRAP);
	CHECK_EQ(xgetbv(), 3);
	if (r[0] & 4) {
		u32 s3, s7;

		cpuid(0xd, 0, r);
		s3 = r[1];
		CHECK_EQ(s3, 576);
		CHECK_EQ(TRY_XSETBV(0, 7), NOTRAP);
		cpuid(0xd, 0, r);
		s7 = r[1];
		CHECK_EQ(s7, 832);
	}
}

GUEST(avx_kept, F_XSAVE, 1)
{
	static u64 in[4] = { 0x1111, 0x2222, 0x3333, 0x4444 }, out[4];
	u64 i;

	if (!has_cpuid(1, ECX, 28))
		skip("no AVX");
	WRCR(4, RDCR(4) | 1 << 18);
	CHECK_EQ(TRY_XSETBV(0, 7), NOTRAP);
	asm volatile("vmovdqu %0, %%ymm7" :: "m"(in));
	for (i = 0; i < 20; i++) {
		u32 r[4];

		HC(HC_SLEEP, 500);
		cpuid(0, 0, r);
		asm volatile("vmovdqu %%ymm7, %0" : "=m"(out));
		CHECK_EQ(memcmp(in, out, sizeof(in)), 0);
	}
}

GUEST(sse_kept, 0, 1)
{
	static u64 in[2] = { 0x123456789abcdef0, 0xfedcba9876543210 }, out[2];
	u32 mxcsr = 0x3f80, m2;
	u16 cw = 0x027f, cw2;
	u64 i;

	asm volatile("movdqu %0, %%xmm5; ldmxcsr %1; fninit; fldcw %2; fldpi"
		     :: "m"(in), "m"(mxcsr), "m"(cw));
	for (i = 0; i < 20; i++) {
		HC(HC_SLEEP, 500);	/* the client and its libc use XMM registers */
		asm volatile("movdqu %%xmm5, %0; stmxcsr %1; fnstcw %2"
			     : "=m"(out), "=m"(m2), "=m"(cw2));
		CHECK_EQ(memcmp(in, out, sizeof(in)), 0);
		CHECK_EQ(m2, mxcsr);
		CHECK_EQ(cw2, cw);
	}
	asm volatile("fldpi; fcompp; fnstsw %0" : "=a"(cw2));
	CHECK_EQ(cw2 & 0x4500, 0x4000);		/* equal */
}

/* Paravirtual parts: each only if the leaf announces it. */
static int pv(int bit)
{
	u32 r[4];

	cpuid(0x40000000, 0, r);
	if (r[1] != 0x4b4d564b)
		return 0;
	cpuid(0x40000001, 0, r);
	return r[0] >> bit & 1;
}

GUEST(hypercall_both, 0, 1)
{
	s64 r;

	/* KVM_HC_VAPIC_POLL_IRQ (1) does nothing and answers 0 */
	asm volatile("vmmcall" : "=a"(r) : "a"(1ull), "b"(0) : "memory");
	CHECK_EQ(r, 0);
	asm volatile("vmcall" : "=a"(r) : "a"(1ull), "b"(0) : "memory");
	CHECK_EQ(r, 0);
	asm volatile("vmmcall" : "=a"(r) : "a"(9999ull), "b"(0) : "memory");
	CHECK_EQ(r, -1000);		/* KVM_ENOSYS */
	asm volatile("vmcall" : "=a"(r) : "a"(9999ull), "b"(0) : "memory");
	CHECK_EQ(r, -1000);
}

struct pvti {
	u32 version, pad;
	u64 tsc, ns;
	u32 mul;
	signed char shift;
	u8 flags, pad2[2];
};
static struct pvti ti[4] __attribute__((aligned(64)));

static u64 pv_ns(volatile struct pvti *t)
{
	u64 d, ns;
	u32 v;

	do {
		v = t->version;
		BARRIER();
		d = rdtsc() - t->tsc;
		d = t->shift < 0 ? d >> -t->shift : d << t->shift;
		ns = t->ns + (u64)((__uint128_t)d * t->mul >> 32);
		BARRIER();
	} while ((v & 1) || v != t->version);
	return ns;
}

GUEST(kvmclock, 0, 1)
{
	volatile struct { u32 version, sec, nsec; } *wc = (void *)alloc_page();
	u64 a, b, h[4], i;

	if (!pv(3))
		skip("not announced");
	wrmsr(0x4b564d00, (u64)wc);
	CHECK_EQ(wc->version & 1, 0);
	CHECK(wc->version != 0);
	CHECK(wc->sec > 1000 || on_tcg());
	CHECK(wc->nsec < 1000000000);
	wrmsr(0x4b564d01, (u64)&ti[0] | 1);
	HC(HC_HLT_COUNT);
	CHECK(ti[0].version != 0);
	CHECK(ti[0].mul != 0);
	/* the host's own choice of a clock says whether the TSC can be trusted */
	CHECK_EQ(ti[0].flags & 1, INFO->host_tsc);
	b = 0;
	for (i = 0; i < 2000; i++) {
		a = pv_ns(&ti[0]);
		MUST(a >= b);
		b = a;
		if (!(i & 127))
			HC(HC_SLEEP, 300);
	}
	/* its rate is the host's monotonic clock's, within 20 %; a pause may come between any two */
	h[0] = HC(HC_MONO_NS);
	a = pv_ns(&ti[0]);
	h[1] = HC(HC_MONO_NS);
	HC(HC_SLEEP, 100000);
	h[2] = HC(HC_MONO_NS);
	b = pv_ns(&ti[0]);
	h[3] = HC(HC_MONO_NS);
	CHECK((b - a) * 10 > (h[2] - h[1]) * 8);
	CHECK((b - a) * 10 < (h[3] - h[0]) * 12);
	CHECK_EQ(rdmsr(0x4b564d01), (u64)&ti[0] | 1);
	wrmsr(0x4b564d01, 0);
}

static volatile u64 turn, worst, latest;
static void clock_cpu(int cpu)
{
	u64 n, now;

	wrmsr(0x4b564d01, (u64)&ti[cpu] | 1);
	asm volatile("cpuid" : : "a"(0), "c"(0) : "rbx", "rdx");
	for (n = 0; n < 300; n++) {
		while (turn % INFO->cpus != (u64)cpu)
			cpu_relax();
		now = pv_ns(&ti[cpu]);
		if (now < latest && latest - now > worst)
			worst = latest - now;
		latest = now;
		turn++;
	}
}

GUEST(kvmclock_smp, 0, 2)
{
	if (!pv(3))
		skip("not announced");
	apic_on();
	start_aps(clock_cpu);
	clock_cpu(0);
	CHECK(wait_for(&turn, 600, 5000));
	CHECK_EQ(ti[0].flags & 1, INFO->host_tsc);
	CHECK_EQ(ti[1].flags & 1, INFO->host_tsc);
	/* with the stable bit it is monotonic across vCPUs as it is */
	if ((ti[0].flags & ti[1].flags & 1))
		CHECK_EQ(worst, 0);
	else
		CHECK(worst < 10000000);
}

static volatile u64 got;
static void pv_eoi_handler(struct frame *f)
{
	extern volatile u32 eoi_word;

	got++;
	if (eoi_word & 1) {
		eoi_word &= ~1u;	/* single CPU: no lock needed for the test */
		return;
	}
	eoi();
}
volatile u32 eoi_word __attribute__((aligned(8)));

GUEST(pv_eoi, 0, 1)
{
	u64 i;

	if (!pv(6))
		skip("not announced");
	on(0x55, pv_eoi_handler);
	apic_on();
	wrmsr(0x4b564d04, (u64)&eoi_word | 1);
	sti();
	for (i = 1; i <= 20; i++) {
		apic_icr(0, 0x44055);
		CHECK(wait_for(&got, i, 100));
		HC(HC_HLT_COUNT);
		CHECK_EQ(apic_bit(APIC_ISR, 0x55), 0);
	}
	cli();
	wrmsr(0x4b564d04, 0);
}

static volatile u32 *eoi_page;
static volatile u64 by_flag;
static void pv_eoi_page_handler(struct frame *f)
{
	got++;
	by_flag = *eoi_page & 1;
	if (by_flag)
		*eoi_page &= ~1u;
	else
		eoi();
}

static volatile u64 woken;
static void pv_eoi_timer(struct frame *f)
{
	woken++;
	eoi();
}

/* A HLT waits though the host has just taken the flag's page away. */
GUEST(pv_eoi_page_away, 0, 1)
{
	u64 i, armed = 0;

	if (!pv(6))
		skip("not announced");
	eoi_page = (void *)alloc_page();
	on(0x55, pv_eoi_page_handler);
	on(0x66, pv_eoi_timer);
	apic_on();
	apic_wr(APIC_TDCR, 0xb);
	apic_wr(APIC_LVTT, 0x66);
	wrmsr(0x4b564d04, (u64)eoi_page | 1);
	MUST(!HC(HC_DONTNEED_LATER, (u64)eoi_page, 4096, 4000, 20));
	for (i = 1; i <= 50; i++) {
		apic_wr(APIC_TMICT, ms(3));
		apic_icr(0, 0x44055);
		*eoi_page = 0;		/* the page is there for the flag to be set */
		asm volatile("sti; nop; nop; cli" ::: "memory");
		CHECK_EQ(got, i);
		armed += by_flag;
		delay(ms(1) / 2);	/* and away for the HLT */
		if (woken < i)
			asm volatile("sti; hlt; cli" ::: "memory");
		CHECK_EQ(woken, i);
	}
	if (!armed)
		skip("the flag was never armed");
	wrmsr(0x4b564d04, 0);
}

GUEST(pv_steal_time, 0, 1)
{
	volatile struct { u64 steal; u32 version, flags; u8 pre, pad[47]; } *st = (void *)alloc_page();

	if (!pv(5))
		skip("not announced");
	CHECK_EQ(try_wrmsr(0x4b564d03, (u64)st | 2), 13);
	wrmsr(0x4b564d03, (u64)st | 1);
	HC(HC_SLEEP, 1000);
	HC(HC_SLEEP, 1000);
	CHECK_EQ(st->version & 1, 0);
	CHECK(st->version != 0);
	CHECK_EQ(st->pre, 0);
	CHECK(st->steal < 1000000000000ull);
	wrmsr(0x4b564d03, 0);
}

static volatile u64 ipi_hits[4];
static void ipi_handler(struct frame *f)
{
	ipi_hits[this_cpu()->id]++;
	eoi();
}

static volatile u64 waiting;
static void ipi_waiter(int cpu)
{
	apic_on();
	__atomic_fetch_add(&waiting, 1, __ATOMIC_SEQ_CST);
	for (;;)
		sti_hlt();
}

GUEST(pv_send_ipi, 0, 4)
{
	s64 r;

	if (!pv(11))
		skip("not announced");
	on(0x66, ipi_handler);
	apic_on();
	start_aps(ipi_waiter);
	CHECK(wait_for(&waiting, 3, 5000));
	asm volatile("vmmcall" : "=a"(r)
		     : "a"(10ull), "b"(0xeull), "c"(0ull), "d"(0ull), "S"(0x66ull) : "memory");
	CHECK(r >= 0);
	CHECK(wait_for(&ipi_hits[1], 1, 2000));
	CHECK(wait_for(&ipi_hits[2], 1, 2000));
	CHECK(wait_for(&ipi_hits[3], 1, 2000));
	CHECK_EQ(ipi_hits[0], 0);
}

static volatile u64 parked, woken;
static void park(int cpu)
{
	cli();
	apic_on();
	parked = 1;
	asm volatile("hlt");	/* interrupts off: only a kick ends this */
	woken = 1;
}

GUEST(pv_unhalt, 0, 2)
{
	s64 r;
	u64 i;

	if (!pv(7))
		skip("not announced");
	apic_on();
	start_aps(park);
	CHECK(wait_for(&parked, 1, 5000));
	delay(ms(20));
	CHECK_EQ(woken, 0);
	for (i = 0; i < 3 && !woken; i++) {
		asm volatile("vmmcall" : "=a"(r) : "a"(5ull), "b"(0ull), "c"(1ull) : "memory");
		CHECK_EQ(r, 0);
		wait_for(&woken, 1, 1000);
	}
	CHECK_EQ(woken, 1);
}

static volatile u64 turns, stop_spin;
static void spin(int cpu)
{
	turns = 1;
	while (!stop_spin) {
		turns++;
		asm volatile("pause");	/* Bochs: no interrupt ends a guest that was entered with IF clear */
	}
}

/* To a vCPU that runs, to itself, to nobody: the guest goes on, and so does the other. */
GUEST(pv_yield, 0, 2)
{
	u64 i, to, before;
	s64 r;

	if (!pv(13))
		skip("not announced");
	apic_on();
	start_aps(spin);
	while (!turns)
		cpu_relax();
	for (i = 0; i < 100; i++) {
		to = i % 4 == 3 ? 200 : i & 1;
		asm volatile("vmmcall" : "=a"(r) : "a"(11ull), "b"(to) : "memory");
		CHECK_EQ(r, 0);
	}
	before = turns;
	while (turns == before)
		asm volatile("vmmcall" : "=a"(r) : "a"(11ull), "b"(1ull) : "memory");
	stop_spin = 1;
}

/* ---- a vCPU that is halted flushes its TLB before it runs, and needs no IPI for it ---- */

static volatile struct { u64 steal; u32 version, flags; u8 pre, pad[47]; } *steal;
static volatile u64 flush_ready, flush_go, flush_seen, flush_pre;
static u64 flush_va = 0x700000000;

static void flush_ap(int cpu)
{
	u64 i;

	wrmsr(0x4b564d03, (u64)steal | 1);
	apic_on();
	for (i = 1; i <= 3; i++) {
		flush_seen = r64(flush_va);	/* into the TLB */
		flush_pre = steal->pre;
		flush_ready = i;
		for (cli(); flush_go < i; cli())
			sti_hlt();
	}
	flush_seen = r64(flush_va);
	flush_pre = steal->pre;
	flush_ready = i;
	for (;;)
		sti_hlt();
}

GUEST(pv_tlb_flush, 0, 2)
{
	u64 page[2] = { alloc_page(), alloc_page() }, i, end, flushes;
	u8 was;

	if (!pv(5) || !pv(9))
		skip("not announced");
	on(0x66, ipi_handler);
	apic_on();
	steal = (void *)alloc_page();
	w64(page[0], 0x1000);
	w64(page[1], 0x1001);
	map4k(flush_va, page[0], 3);
	start_aps(flush_ap);
	for (i = 1; i <= 3; i++) {
		CHECK(wait_for(&flush_ready, i, 5000));
		CHECK_EQ(flush_seen, 0x1000 | ((i - 1) & 1));
		CHECK_EQ(flush_pre, 0);
		end = rdtsc() + ms(5000);
		while (steal->pre != 1 && rdtsc() < end)
			cpu_relax();
		map4k(flush_va, page[i & 1], 3);
		flushes = HC(HC_STAT, 1, STAT_FLUSHES);
		was = 1;
		CHECK(__atomic_compare_exchange_n(&steal->pre, &was, 3, 0, __ATOMIC_SEQ_CST,
						  __ATOMIC_SEQ_CST));
		flush_go = i;
		apic_icr(this_cpu()->apic_id ^ 1, 0x4066);
		CHECK(wait_for(&flush_ready, i + 1, 5000));
		CHECK((u64)HC(HC_STAT, 1, STAT_FLUSHES) > flushes);
	}
	CHECK_EQ(flush_seen, 0x1001);
	CHECK_EQ(flush_pre, 0);
}

/* Who polls by himself wants none of the host; a host that polls long shows it: see guests.sh. */
GUEST(pv_poll_control, 0, 1)
{
	u64 i, polled;

	if (!pv(12))
		skip("not announced");
	on(0x66, ipi_handler);
	apic_on();
	apic_wr(APIC_LVTT, 0x66);
	apic_wr(APIC_TDCR, 0xb);
	CHECK_EQ(rdmsr(0x4b564d05), 1);
	CHECK_EQ(try_wrmsr(0x4b564d05, 2), 13);
	wrmsr(0x4b564d05, 0);
	CHECK_EQ(rdmsr(0x4b564d05), 0);
	polled = HC(HC_STAT, 0, STAT_HALT_POLLED);
	for (i = 1; i <= 20; i++) {
		apic_wr(APIC_TMICT, 100000);
		sti_hlt();
		cli();
		CHECK_EQ(ipi_hits[0], i);
	}
	CHECK_EQ(HC(HC_STAT, 0, STAT_HALT_POLLED), polled);
	CHECK((u64)HC(HC_STAT, 0, STAT_HALTS) >= 20);
	wrmsr(0x4b564d05, 1);
}
