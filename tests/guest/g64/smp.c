// SPDX-License-Identifier: GPL-2.0-only
/* Several vCPUs: bring-up, IPIs of all kinds, shared memory, TLB shoot-down. */
#include "lib/lib.h"

static volatile u64 hits[4][256], ready, go, done_;
#define ALL(vec) (hits[0][vec] + hits[1][vec] + hits[2][vec] + hits[3][vec])
#define WAIT(cond, n) ({ u64 e_ = rdtsc() + ms(n); while (!(cond) && rdtsc() < e_) cpu_relax(); (cond); })

static void count(struct frame *f)
{
	hits[this_cpu()->id][f->vec]++;
	eoi();
}

static void sleeper(int cpu)
{
	if (x2apic)
		wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
	apic_on();
	apic_wr(APIC_LVT0, 0x10000);
	if (!x2apic) {
		apic_wr(APIC_DFR, 0xffffffff);
		apic_wr(APIC_LDR, 1u << (24 + this_cpu()->apic_id));
	}
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		sti_hlt();
}

static void bring_up(void)
{
	on(0x60, count);
	on(0x61, count);
	on(0x62, count);
	apic_on();
	if (!x2apic)
		apic_wr(APIC_LDR, 1u << 24);
	start_aps(sleeper);
	MUST(wait_for(&ready, INFO->cpus - 1, 5000));
	delay(ms(5));
	sti();
}

/* cpus[] number of an APIC ID */
static int by_apic(u32 id)
{
	u32 i;

	for (i = 0; i < INFO->cpus; i++)
		if (cpus[i].apic_id == id)
			return i;
	return 0;
}

static void physical_ipis(void)
{
	u32 id, i;

	for (id = 0; id < INFO->cpus; id++) {
		u64 before = hits[by_apic(id)][0x60], all = ALL(0x60);

		apic_icr(id, 0x4060);
		CHECK(WAIT(hits[by_apic(id)][0x60] == before + 1, 2000));
		CHECK_EQ(ALL(0x60), all + 1);
	}
	for (i = 1; i <= 20; i++) {
		apic_icr(0, 0xc4061);			/* all but self */
		CHECK(WAIT(ALL(0x61) == i * (INFO->cpus - 1), 2000));
	}
	CHECK_EQ(hits[0][0x61], 0);
	apic_icr(0, 0x84062);				/* all */
	CHECK(WAIT(ALL(0x62) == INFO->cpus, 2000));
}

GUEST(ipi_xapic, 0, 4)
{
	u64 all;
	int i;

	bring_up();
	physical_ipis();
	/* broadcast by destination 0xff */
	all = ALL(0x60);
	apic_icr(0xff, 0x4060);
	CHECK(WAIT(ALL(0x60) == all + 4, 2000));
	/* logical, flat: CPUs 1 and 3 */
	all = ALL(0x61);
	apic_icr(0xa, 0x4861);
	CHECK(WAIT(ALL(0x61) == all + 2, 2000));
	/* lowest priority: exactly one of them each time */
	for (i = 1; i <= 10; i++) {
		all = ALL(0x62);
		apic_icr(0xe, 0x4962);
		CHECK(WAIT(ALL(0x62) == all + 1, 2000));
		delay(ms(1));
		CHECK_EQ(ALL(0x62), all + 1);
	}
	/* nobody */
	all = ALL(0x60);
	apic_icr(9, 0x4060);
	delay(ms(2));
	CHECK_EQ(ALL(0x60), all);
	/* an MSI to CPU 2, and by logical mode to CPU 1 */
	all = hits[by_apic(2)][0x61];
	CHECK(HC(HC_MSI, 0xfee02000, 0x4061) > 0);
	CHECK(WAIT(hits[by_apic(2)][0x61] == all + 1, 2000));
	all = hits[by_apic(1)][0x61];
	CHECK(HC(HC_MSI, 0xfee0200c, 0x4061) > 0);
	CHECK(WAIT(hits[by_apic(1)][0x61] == all + 1, 2000));
}

GUEST(ipi_x2apic, F_X2APIC, 4)
{
	u64 all;

	if (!has_cpuid(1, ECX, 21))
		skip("no x2APIC");
	apic_x2();
	bring_up();
	physical_ipis();
	/* logical: cluster 0, bits 1 and 3 */
	all = ALL(0x61);
	apic_icr(0xa, 0x4861);
	CHECK(WAIT(ALL(0x61) == all + 2, 2000));
	all = ALL(0x60);
	apic_icr(0xffffffff, 0x4060);
	CHECK(WAIT(ALL(0x60) == all + 4, 2000));
	all = ALL(0x62);
	apic_icr(0x10001, 0x4862);	/* cluster 1: nobody */
	delay(ms(2));
	CHECK_EQ(ALL(0x62), all);
}

static void cluster_sleeper(int cpu)
{
	apic_on();
	apic_wr(APIC_LVT0, 0x10000);
	apic_wr(APIC_DFR, 0x0fffffff);
	apic_wr(APIC_LDR, (this_cpu()->apic_id / 2) << 28 | (1u << (24 + this_cpu()->apic_id % 2)));
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		sti_hlt();
}

GUEST(ipi_cluster, 0, 4)
{
	u64 all;

	on(0x60, count);
	apic_on();
	apic_wr(APIC_DFR, 0x0fffffff);
	apic_wr(APIC_LDR, 1u << 24);
	start_aps(cluster_sleeper);
	MUST(wait_for(&ready, 3, 5000));
	sti();
	all = ALL(0x60);
	apic_icr(0x13, 0x4860);			/* cluster 1: CPUs 2 and 3 */
	CHECK(WAIT(ALL(0x60) == all + 2, 2000));
	CHECK_EQ(hits[by_apic(2)][0x60], 1);
	CHECK_EQ(hits[by_apic(3)][0x60], 1);
	apic_icr(0x02, 0x4860);			/* cluster 0: CPU 1 */
	CHECK(WAIT(hits[by_apic(1)][0x60] == 1, 2000));
	CHECK_EQ(ALL(0x60), 3);
}

GUEST(ipi_ioapic_to_ap, 0, 2)
{
	bring_up();
	pic_init(0x20, 0x28, 0xff, 0xff);
	ioapic_redir(11, 1ull << 56 | 0x61);
	HC(HC_LINE, 11, 1);
	CHECK(WAIT(hits[1][0x61] == 1, 2000));
	HC(HC_LINE, 11, 0);
	CHECK_EQ(hits[0][0x61], 0);
}

static volatile u64 counter, atomic_counter;
static void counting(int cpu)
{
	int i;

	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	while (!go)
		cpu_relax();
	for (i = 0; i < 20000; i++) {
		__atomic_fetch_add(&atomic_counter, 1, __ATOMIC_SEQ_CST);
		if (!(i & 1023))
			asm volatile("cpuid" :: "a"(0), "c"(0) : "rbx", "rdx");
	}
	__atomic_fetch_add(&done_, 1, __ATOMIC_SEQ_CST);
}

GUEST(smp_atomic, 0, 4)
{
	apic_on();
	start_aps(counting);
	MUST(wait_for(&ready, 3, 5000));
	go = 1;
	counting(0);
	CHECK(wait_for(&done_, 4, 10000));
	CHECK_EQ(atomic_counter, 80000);
	(void)counter;
}

#define VA 0x40000000ull
static volatile u64 shoot, acked, stale;
static void shoot_handler(struct frame *f)
{
	invlpg(VA);
	__atomic_fetch_add(&acked, 1, __ATOMIC_SEQ_CST);
	eoi();
}

static void tlb_reader(int cpu)
{
	apic_on();
	apic_wr(APIC_LVT0, 0x10000);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	sti();
	for (;;) {
		u64 a = shoot, v, b;

		v = r64(VA);
		BARRIER();
		b = shoot;
		/* no change under way at either end: must be the current page */
		if (a == b && !(a & 1) && v != a / 2)
			stale++;
	}
}

GUEST(tlb_shootdown, 0, 4)
{
	u64 i, want;

	on(0x70, shoot_handler);
	map4k(VA, FREE_GPA, 3);
	w64(FREE_GPA, 0);
	apic_on();
	start_aps(tlb_reader);
	MUST(wait_for(&ready, 3, 5000));
	for (i = 1; i <= 60; i++) {
		u64 page = FREE_GPA + (i & 7) * 4096;

		w64(page, i);
		shoot = 2 * i - 1;		/* under way */
		want = acked + 3;
		*pte_of(VA) = page | 3;
		invlpg(VA);
		apic_icr(0, 0xc4070);
		if (!wait_for(&acked, want, 3000)) {
			CHECK(!"no answer to the shoot-down");
			return;
		}
		shoot = 2 * i;
		CHECK_EQ(r64(VA), i);
	}
	CHECK_EQ(stale, 0);
}

static volatile u64 init_runs;
static void init_target(int cpu)
{
	__atomic_fetch_add(&init_runs, 1, __ATOMIC_SEQ_CST);
	for (;;)
		cpu_relax();		/* interrupts off: only INIT ends this */
}

GUEST(smp_init_again, 0, 2)
{
	apic_on();
	start_aps(init_target);
	CHECK(wait_for(&init_runs, 1, 2000));
	/* INIT resets the running CPU, SIPI starts it over (a second stack is used) */
	apic_icr(cpus[1].apic_id, 0x4500);
	delay(ms(10));
	CHECK_EQ(init_runs, 1);
	apic_icr(cpus[1].apic_id, 0x4600 | SIPI_GPA >> 12);
	CHECK(wait_for(&init_runs, 2, 3000));
	/* a SIPI to a CPU that runs is ignored */
	apic_icr(cpus[1].apic_id, 0x4600 | SIPI_GPA >> 12);
	delay(ms(10));
	CHECK_EQ(init_runs, 2);
}

static volatile u64 ping, nmi_hits;
static void nmi(struct frame *f)
{
	nmi_hits++;
}
static void cli_loop(int cpu)
{
	cli();
	ready = 1;
	for (;;)
		cpu_relax();
}

GUEST(smp_nmi_to_looping, 0, 2)
{
	u64 i;

	on(2, nmi);
	apic_on();
	start_aps(cli_loop);
	MUST(wait_for(&ready, 1, 2000));
	for (i = 1; i <= 10; i++) {
		apic_icr(1, 0x4400);
		CHECK(wait_for(&nmi_hits, i, 2000));
	}
	(void)ping;
}

static volatile u64 pp;
static void pong_handler(struct frame *f)
{
	pp++;
	eoi();
}
static void ponger(int cpu)
{
	u64 last = 0;

	apic_on();
	apic_wr(APIC_LVT0, 0x10000);
	ready = 1;
	for (;;) {
		cli();
		while (pp == last)
			sti_hlt(), cli();
		last = pp;
		done_ = last;
	}
}

GUEST(smp_wakeups, 0, 2)
{
	u64 i;

	/* 300 wake-ups of a halted CPU, none lost */
	on(0x71, pong_handler);
	apic_on();
	start_aps(ponger);
	MUST(wait_for(&ready, 1, 2000));
	for (i = 1; i <= 300; i++) {
		apic_icr(1, 0x4071);
		MUST(wait_for(&done_, i, 3000));
	}
}

GUEST(smp_all_loop, F_HANG, 2)
{
	apic_on();
	start_aps(init_target);
	cli();
	for (;;)
		BARRIER();
}
