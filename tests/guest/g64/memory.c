// SPDX-License-Identifier: GPL-2.0-only
/* Slots that come, go, move and change; dirty log; code that changes itself. */
#include "lib/lib.h"

#define S SLOT_GPA

static u64 pool(u64 off) { return HC(HC_PEEK_POOL, off); }

GUEST(slot_create_delete, 0, 1)
{
	u64 i;

	for (i = 0; i < 30; i++) {
		MUST(!HC(HC_SLOT, 3, S, 0x20000, 0, 0));
		w64(S + i * 4096, i + 1000);
		CHECK_EQ(pool(i * 4096), i + 1000);
		MUST(!HC(HC_SLOT, 3, S, 0, 0, 0));
		CHECK_EQ(r32(S + i * 4096), 0xffffffff);	/* MMIO now */
	}
	/* the memory kept what was written */
	MUST(!HC(HC_SLOT, 3, S, 0x20000, 0, 0));
	for (i = 0; i < 30; i++)
		CHECK_EQ(r64(S + i * 4096), i + 1000);
}

GUEST(slot_move, 0, 1)
{
	MUST(!HC(HC_SLOT, 3, S, 0x10000, 0, 0));
	w64(S + 0x1000, 42);
	MUST(!HC(HC_SLOT, 3, S + 0x100000, 0x10000, 0, 0));
	CHECK_EQ(r64(S + 0x101000), 42);
	CHECK_EQ(r64(S + 0x1000), ~0ull);
	w64(S + 0x101000, 43);
	MUST(!HC(HC_SLOT, 3, S, 0x10000, 0, 0));
	CHECK_EQ(r64(S + 0x1000), 43);
	/* another piece of memory behind the same address: only by delete and create */
	CHECK(HC(HC_SLOT, 3, S, 0x10000, 0, 0x20000) < 0);
	MUST(!HC(HC_SLOT, 3, S, 0, 0, 0));
	HC(HC_POKE_POOL, 0x21000, 77);
	MUST(!HC(HC_SLOT, 3, S, 0x10000, 0, 0x20000));
	CHECK_EQ(r64(S + 0x1000), 77);
}

GUEST(slot_two_views, 0, 1)
{
	/* the same memory at two addresses */
	MUST(!HC(HC_SLOT, 3, S, 0x10000, 0, 0));
	MUST(!HC(HC_SLOT, 4, S + 0x400000, 0x10000, 0, 0));
	w64(S + 8, 0x1234);
	CHECK_EQ(r64(S + 0x400008), 0x1234);
	w64(S + 0x400008, 0x5678);
	CHECK_EQ(r64(S + 8), 0x5678);
}

GUEST(slot_readonly, 0, 1)
{
	struct hostcall c = { HC_LOG_GET, { 0 }, 0 };

	if (HC(HC_CAP, 81) <= 0)
		skip("no KVM_CAP_READONLY_MEM");
	HC(HC_POKE_POOL, 0x1000, 0x1122334455667788);
	MUST(!HC(HC_SLOT, 3, S, 0x10000, 2, 0));
	CHECK_EQ(r64(S + 0x1000), 0x1122334455667788);
	HC(HC_LOG_RESET);
	w32(S + 0x1000, 0xdead);
	CHECK_EQ(HC(HC_LOG_COUNT), 1);
	hostcall_p(&c);
	CHECK_EQ(c.a[0], S + 0x1000);
	CHECK_EQ(c.a[1], 0xdead);
	CHECK_EQ(c.a[2], 4);
	CHECK_EQ(c.a[3], 1);
	CHECK_EQ(r64(S + 0x1000), 0x1122334455667788);
	CHECK_EQ(pool(0x1000), 0x1122334455667788);
	/* read-modify-write: read from memory, write exits */
	HC(HC_LOG_RESET);
	asm volatile("addl $1, (%0)" :: "r"((u64)S + 0x1000));
	CHECK_EQ(HC(HC_LOG_COUNT), 1);
	c.a[0] = 0;
	hostcall_p(&c);
	CHECK_EQ(c.a[1], 0x55667789);
	/* code can be run from it */
	HC(HC_POKE_POOL, 0x2000, 0xc3);
	asm volatile("call *%0" :: "r"((u64)S + 0x2000));
	/* a page that was never read before */
	HC(HC_LOG_RESET);
	w8(S + 0x5000, 9);
	CHECK_EQ(HC(HC_LOG_COUNT), 1);
	CHECK_EQ(r8(S + 0x5000), 0);
}

GUEST(slot_flags_change, 0, 1)
{
	if (HC(HC_CAP, 81) <= 0)
		skip("no KVM_CAP_READONLY_MEM");
	/* read only on or off cannot change in place */
	MUST(!HC(HC_SLOT, 3, S, 0x10000, 0, 0));
	w64(S, 1);
	CHECK_EQ(HC(HC_SLOT, 3, S, 0x10000, 2, 0), -22);
	w64(S, 2);
	CHECK_EQ(pool(0), 2);
}

static u64 dirty[64];
static void get_dirty(u64 slot)
{
	memset(dirty, 0, sizeof(dirty));
	MUST(!HC(HC_DIRTY, slot, (u64)dirty, sizeof(dirty)));
}

GUEST(dirty_log, 0, 1)
{
	u64 i;

	/* 256 pages */
	MUST(!HC(HC_SLOT, 3, S, 0x100000, 1, 0));
	get_dirty(3);
	for (i = 0; i < 4; i++)
		CHECK_EQ(dirty[i], 0);
	w8(S + 0x3000, 1);
	w8(S + 0x45000, 1);
	r8(S + 0x7000);
	get_dirty(3);
	CHECK_EQ(dirty[0], 1ull << 3);
	CHECK_EQ(dirty[1], 1ull << 5);
	CHECK_EQ(dirty[2] | dirty[3], 0);
	/* got is cleared; a second write to the same page is seen again */
	get_dirty(3);
	CHECK_EQ(dirty[0] | dirty[1], 0);
	w8(S + 0x3001, 2);
	asm volatile("lock incb (%0)" :: "r"((u64)S + 0x45000));
	w64(S + 0x7ffc, 3);		/* two pages with one write */
	get_dirty(3);
	CHECK_EQ(dirty[0], 1ull << 3 | 1ull << 7 | 1ull << 8);
	CHECK_EQ(dirty[1], 1ull << 5);
	/* a write by the module or the client's emulation counts too: string I/O */
	{
		u64 di = S + 0x9ffe, cx = 4;

		asm volatile("rep insb" : "+D"(di), "+c"(cx) : "d"(PORT_DEV) : "memory");
	}
	get_dirty(3);
	CHECK_EQ(dirty[0], 1ull << 9 | 1ull << 10);
	/* logging off and on */
	MUST(!HC(HC_SLOT, 3, S, 0x100000, 0, 0));
	w8(S + 0x3000, 4);
	CHECK(HC(HC_DIRTY, 3, (u64)dirty, sizeof(dirty)) < 0);
	MUST(!HC(HC_SLOT, 3, S, 0x100000, 1, 0));
	get_dirty(3);
	CHECK_EQ(dirty[0], 0);
	w8(S + 0x3000, 5);
	get_dirty(3);
	CHECK_EQ(dirty[0], 8);
}

/* More than a CPU's own log holds (512 pages): all, every other page, the others. */
GUEST(dirty_log_many, 0, 1)
{
	static const u64 masks[] = { ~0ull, 0x5555555555555555, 0xaaaaaaaaaaaaaaaa, 0 };
	u64 i, round;

	MUST(!HC(HC_SLOT, 3, S, 0x800000, 1, 0));
	for (round = 0; round < 4; round++) {
		for (i = 0; i < 2048; i++) {
			if (masks[round] >> (i & 63) & 1)
				w8(S + i * 4096, 1);
			else
				r8(S + i * 4096);
		}
		get_dirty(3);
		for (i = 0; i < 32; i++)
			CHECK_EQ(dirty[i], masks[round]);
	}
}

static volatile u64 dirty_turn;
static void dirty_writer(int me)
{
	u64 i;

	(void)me;
	for (i = 1; i <= 200; i++) {
		while (dirty_turn != i)
			cpu_relax();
		w64(S + (i & 63) * 4096, i);
		dirty_turn = 0;
	}
}

/* What another vCPU wrote before the log is read is in it, though it never leaves the guest. */
GUEST(dirty_log_smp, 0, 2)
{
	u64 i;

	MUST(!HC(HC_SLOT, 3, S, 0x40000, 1, 0));
	start_aps(dirty_writer);
	for (i = 1; i <= 200; i++) {
		dirty_turn = i;
		while (dirty_turn)
			cpu_relax();
		get_dirty(3);
		CHECK_EQ(dirty[0], 1ull << (i & 63));
	}
}

GUEST(dirty_log_page_tables, 0, 1)
{
	u64 va = 0x40000000, *pt = (u64 *)(S + 0x1000), i;

	/* accessed and dirty bits that the CPU sets in guest page tables make them dirty */
	MUST(!HC(HC_SLOT, 3, S, 0x10000, 0, 0));
	pte_of(va);
	for (i = 0; i < 512; i++)
		pt[i] = (FREE_GPA + i * 4096) | 3;
	((u64 *)r64(PDPT_GPA + 8))[0] = 0;
	w64((r64(PDPT_GPA + 8) & ~0xfffull), (u64)pt | 7);
	WRCR(3, RDCR(3));
	r8(va);
	MUST(!HC(HC_SLOT, 3, S, 0x10000, 1, 0));
	get_dirty(3);
	w8(va, 1);
	get_dirty(3);
	CHECK_EQ(dirty[0], 2);
	CHECK_EQ(pt[0] & 0x60, 0x60);
}

static volatile u64 ap_stop, ap_rounds, ap_bad;
static void slot_writer(int cpu)
{
	while (!ap_stop) {
		volatile u64 *p = (void *)(u64)(S + 0x2000 + cpu * 8);
		u64 v = *p;

		/* either the memory (what this CPU wrote) or the hole */
		if (v != ap_rounds && v != ~0ull)
			ap_bad++;
		*p = ap_rounds + 1;
		ap_rounds++;
		*p = ap_rounds;
		cpu_relax();
	}
	ap_stop = 2;
}

GUEST(slot_churn_smp, 0, 2)
{
	int i;

	/*
	 * One CPU reads and writes a slot while the other deletes and makes it
	 * again. A write into the hole is lost, so the value may be old: only
	 * count what could never have been written.
	 */
	apic_on();
	start_aps(slot_writer);
	for (i = 0; i < 100; i++) {
		MUST(!HC(HC_SLOT, 3, S, 0x10000, 0, 0));
		delay(ms(1));
		MUST(!HC(HC_SLOT, 3, S, 0, 0, 0));
	}
	ap_stop = 1;
	CHECK(wait_for(&ap_stop, 2, 5000));
	CHECK(ap_rounds > 10);
}

GUEST(smc_same_page, 0, 1)
{
	u8 *p = (void *)(u64)FREE_GPA;
	u64 i;
	u32 v;

	/* mov $imm, %eax; ret */
	for (i = 0; i < 200; i++) {
		p[0] = 0xb8;
		*(volatile u32 *)(p + 1) = i;
		p[5] = 0xc3;
		asm volatile("call *%1" : "=a"(v) : "r"(p) : "memory");
		MUST(v == i);
	}
}

GUEST(smc_exiting, 0, 1)
{
	u8 *p = (void *)(u64)FREE_GPA;
	u32 i, v;

	/* a port access that changes into CPUID and back at the same address */
	for (i = 0; i < 50; i++) {
		memcpy(p, "\xec\x90\xc3", 3);		/* in; nop; ret */
		HC(HC_PIO_POKE, 0, i);
		asm volatile("call *%1" : "=a"(v) : "r"(p), "d"(PORT_DEV) : "memory");
		CHECK_EQ(v & 0xff, i);
		memcpy(p, "\x0f\xa2\xc3", 3);		/* cpuid; ret */
		asm volatile("call *%1" : "=a"(v) : "r"(p), "0"(0x40000000), "c"(0) : "rbx", "rdx", "memory");
		CHECK(v >= 0x40000001);
		memcpy(p, "\x8b\x03\xc3", 3);		/* mov (%rbx), %eax: MMIO; ret */
		HC(HC_MMIO_POKE, 0, i + 5);
		asm volatile("call *%1" : "=a"(v) : "r"(p), "b"((u64)MMIO_GPA) : "memory");
		CHECK_EQ(v, i + 5);
	}
}

GUEST(code_cross_page, 0, 1)
{
	u64 va = 0x40000000, n;
	u32 v;

	/* instructions that exit, with every split over two pages that are not adjacent */
	map4k(va, FREE_GPA, 3);
	map4k(va + 4096, FREE_GPA + 0x5000, 3);
	for (n = 1; n <= 6; n++) {
		static const u8 code[] = { 0x8b, 0x04, 0x25, 0x08, 0x00, 0x00, 0xd0, 0xc3 };
		u64 i;

		/* mov 0xffffffffd0000008 is not identity mapped: use a segment-free form */
		for (i = 0; i < sizeof(code); i++)
			w8(va + 4096 - n + i, code[i]);
		w8(va + 4096 - n, 0x67);		/* 32-bit address: 0xd0000008 */
		w8(va + 4096 - n + 1, 0x8b);
		w8(va + 4096 - n + 2, 0x04);
		w8(va + 4096 - n + 3, 0x25);
		w32(va + 4096 - n + 4, MMIO_GPA + 8);
		w8(va + 4096 - n + 8, 0xc3);
		HC(HC_MMIO_POKE, 8, 0x100 + n);
		asm volatile("call *%1" : "=a"(v) : "r"(va + 4096 - n) : "memory");
		CHECK_EQ(v, 0x100 + n);
	}
	/* cpuid and out split */
	w8(va + 4095, 0x0f);
	w16(va + 4096, 0xc3a2);
	asm volatile("call *%1" : "=a"(v) : "r"(va + 4095), "0"(0x40000000), "c"(0) : "rbx", "rdx", "memory");
	CHECK(v >= 0x40000001);
	w8(va + 4095, 0xe6);
	w16(va + 4096, 0xc3ed);
	asm volatile("call *%0" :: "r"(va + 4095), "a"(1) : "memory");
}

GUEST(code_cross_not_present, 0, 1)
{
	u64 va = 0x40000000;

	/* the second half is missing: #PF with CR2 at the second page */
	map4k(va, FREE_GPA, 3);
	map4k(va + 4096, 0, 0);
	w8(va + 4094, 0x8b);
	w8(va + 4095, 0x04);
	CHECK_EQ(TRYC("lea 76f(%%rip), %%rax\n\tjmp *%0\n76:", ("rax"), "r"(va + 4094)), 14);
	CHECK_EQ(this_cpu()->cr2, va + 4096);
	/* fetch: bit 4 only with NX enabled, which it is */
	CHECK_EQ(this_cpu()->err, 0x10);
	CHECK_EQ(this_cpu()->rip, va + 4094);
}

GUEST(code_before_hole, 0, 1)
{
	u64 va = 0x40000000;
	u32 v;

	/* an exiting instruction that ends exactly where memory ends and MMIO begins */
	map4k(va, FREE_GPA, 3);
	map4k(va + 4096, MMIO_GPA, 3);
	w8(va + 4095, 0xc3);
	w16(va + 4093, 0xa20f);		/* cpuid; ret */
	asm volatile("call *%1" : "=a"(v) : "r"(va + 4093), "0"(0x40000000), "c"(0) : "rbx", "rdx", "memory");
	CHECK(v >= 0x40000001);
	HC(HC_MMIO_POKE, 0x10, 0x4321);
	w16(va + 4093, 0x038b);		/* mov (%rbx), %eax; ret */
	asm volatile("call *%1" : "=a"(v) : "r"(va + 4093), "b"((u64)MMIO_GPA + 0x10) : "memory");
	CHECK_EQ(v, 0x4321);
}

GUEST(ram_dontneed, 0, 1)
{
	u64 i;

	/* the host throws pages away: they read as zero, then hold again */
	for (i = 0; i < 64; i++)
		w64(FREE_GPA + i * 4096, i + 1);
	MUST(!HC(HC_DONTNEED, FREE_GPA, 64 * 4096));
	for (i = 0; i < 64; i++)
		CHECK_EQ(r64(FREE_GPA + i * 4096), 0);
	for (i = 0; i < 64; i++)
		w64(FREE_GPA + i * 4096, i + 2);
	for (i = 0; i < 64; i++)
		CHECK_EQ(HC(HC_READ_PHYS, FREE_GPA + i * 4096), i + 2);
}

GUEST(ram_every_page, 0, 1)
{
	u64 p, bad = 0;

	/* all of the free RAM, each page with a value of its own */
	for (p = FREE_GPA; p < RAM_SIZE; p += 4096)
		w64(p + (p >> 12 & 0xff) * 8, p * 3 + 1);
	for (p = FREE_GPA; p < RAM_SIZE; p += 4096)
		bad += r64(p + (p >> 12 & 0xff) * 8) != p * 3 + 1;
	CHECK_EQ(bad, 0);
	for (p = FREE_GPA; p < RAM_SIZE; p += 64 * 4096)
		CHECK_EQ(HC(HC_READ_PHYS, p + (p >> 12 & 0xff) * 8), p * 3 + 1);
}

GUEST(beyond_ram, 0, 1)
{
	/* a hole next to RAM */
	CHECK_EQ(r32(S + 0x8000000), 0xffffffff);
	w32(S + 0x8000000, 1);
	CHECK_EQ(r32(S + 0x8000000), 0xffffffff);
}
