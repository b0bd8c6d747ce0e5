// SPDX-License-Identifier: GPL-2.0-only
/* MSRs: those that keep a value, those that refuse one. */
#include "lib/lib.h"

static void keeps(u32 i, u64 v)
{
	u64 old, now;

	if (try_rdmsr(i, &old) != NOTRAP) {
		put("rdmsr ");
		puthex(i);
		put(" traps; ");
		CHECK(0);
		return;
	}
	CHECK_EQ(try_wrmsr(i, v), NOTRAP);
	CHECK_EQ(try_rdmsr(i, &now), NOTRAP);
	if (now != v) {
		puthex(i);
		CHECK_EQ(now, v);
	}
	try_wrmsr(i, old);
}

GUEST(msr_keep, 0, 1)
{
	keeps(0x174, 0x08);			/* SYSENTER_CS */
	keeps(0x175, 0x12345678);
	keeps(0x176, 0x12345678);
	keeps(0xc0000081, 0x0023001000000000);	/* STAR */
	keeps(0xc0000082, 0xffff800012345678);
	keeps(0xc0000083, 0xffff800012345678);
	keeps(0xc0000084, 0x47700);
	keeps(0xc0000100, 0x00007f0012345678);	/* FS_BASE */
	keeps(0xc0000101, 0xffff800012345678);	/* GS_BASE */
	keeps(0xc0000102, 0xffff888012345678);	/* KERNEL_GS_BASE */
	keeps(0x277, 0x0007010600070106);	/* PAT */
	keeps(0x2ff, 0xc06);			/* MTRRdefType */
	keeps(0x250, 0x0606060606060606);
	keeps(0x200, 0x0000000080000006);
	keeps(0x201, 0x0000000f80000800);
}

GUEST(msr_swapgs, 0, 1)
{
	wrmsr(0xc0000101, 0x1111000);
	wrmsr(0xc0000102, 0x2222000);
	HC(HC_HLT_COUNT);			/* through user space and back */
	asm volatile("swapgs");
	CHECK_EQ(rdmsr(0xc0000101), 0x2222000);
	CHECK_EQ(rdmsr(0xc0000102), 0x1111000);
	HC(HC_HLT_COUNT);
	asm volatile("swapgs");
	CHECK_EQ(rdmsr(0xc0000101), 0x1111000);
}

GUEST(msr_refuse, 0, 1)
{
	u64 v;

	CHECK_EQ(try_rdmsr(0xdeadbeef, &v), 13);
	CHECK_EQ(try_wrmsr(0xdeadbeef, 0), 13);
	CHECK_EQ(try_rdmsr(0x3ffff, &v), 13);
	if (!on_tcg()) {	/* no exit, and TCG checks nothing */
		CHECK_EQ(try_wrmsr(0xc0000082, 0x0000800000000000), 13);
		CHECK_EQ(try_wrmsr(0xc0000083, 0x0000800000000000), 13);
		CHECK_EQ(try_wrmsr(0xc0000102, 0x0000800000000000), 13);
		CHECK_EQ(try_wrmsr(0xc0000100, 0x0000800000000000), 13);
		CHECK_EQ(try_wrmsr(0xc0000101, 0x0000800000000000), 13);
	}
	CHECK_EQ(try_wrmsr(0x277, 2), 13);			/* PAT type 2 is reserved */
	CHECK_EQ(try_wrmsr(0x277, 0x0800000000000000), 13);
	CHECK_EQ(try_wrmsr(0xfe, 0), 13);			/* MTRRcap is read only */
	CHECK_EQ(try_wrmsr(0x1b, 1ull << 50), 13);		/* APIC_BASE reserved */
	CHECK_EQ(try_wrmsr(0x2ff, 0x2), 13);			/* MTRR type 2 */
	CHECK_EQ(try_wrmsr(0x250, 0x02), 13);
}

GUEST(msr_apic_base, 0, 1)
{
	u64 b = rdmsr(0x1b);

	CHECK_EQ(b, 0xfee00900);	/* enabled, boot CPU */
	if (has_cpuid(1, ECX, 21)) {
		CHECK_EQ(try_wrmsr(0x1b, (b & ~0x800ull) | 0x400), 13);	/* EXTD without EN */
		wrmsr(0x1b, b | 0x400);
		CHECK_EQ(rdmsr(0x1b), b | 0x400);
		CHECK_EQ(try_wrmsr(0x1b, b), 13);	/* x2APIC -> xAPIC not directly */
		wrmsr(0x1b, b & ~0xc00ull);
		CHECK_EQ(rdmsr(0x1b), b & ~0xc00ull);
		CHECK_EQ(try_wrmsr(0x1b, b | 0x400), 13);	/* off -> x2APIC neither */
		wrmsr(0x1b, b);
	}
	CHECK_EQ(rdmsr(0x1b), b);
}

GUEST(msr_as_client_sees, 0, 1)
{
	/* a value the guest wrote is what KVM_GET_MSRS answers */
	wrmsr(0xc0000082, 0xffff800000001234);
	CHECK_EQ(HC(HC_GET_MSR, 0xc0000082), 0xffff800000001234);
	wrmsr(0xc0000102, 0x5678000);
	CHECK_EQ(HC(HC_GET_MSR, 0xc0000102), 0x5678000);
	wrmsr(0xc0000100, 0x9abc000);
	CHECK_EQ(HC(HC_GET_MSR, 0xc0000100), 0x9abc000);
	wrmsr(0x277, 0x0007040600070406);
	CHECK_EQ(HC(HC_GET_MSR, 0x277), 0x0007040600070406);
	wrmsr(0x175, 0x4444);
	CHECK_EQ(HC(HC_GET_MSR, 0x175), 0x4444);
}
