// SPDX-License-Identifier: GPL-2.0-only
/* Control registers and EFER: what is kept, what is refused. */
#include "lib/lib.h"

#define TRY_CR(n, v) TRYI("mov %0, %%cr" #n, "r"((u64)(v)))

GUEST(cr0_rules, 0, 1)
{
	u64 cr0 = RDCR(0);

	CHECK_EQ(cr0, 0x80010033);
	if (!on_tcg())			/* no exit, and TCG ignores the upper half */
		CHECK_EQ(TRY_CR(0, cr0 | 1ull << 32), 13);
	CHECK_EQ(TRY_CR(0, cr0 & ~1ull), 13);			/* PG without PE */
	CHECK_EQ(TRY_CR(0, (cr0 | 1u << 29) & ~(1ull << 30)), 13);	/* NW without CD */
	CHECK_EQ(RDCR(0), cr0);
	CHECK_EQ(TRY_CR(0, cr0 | 1u << 30), NOTRAP);		/* CD */
	CHECK_EQ(RDCR(0), cr0 | 1u << 30);
	CHECK_EQ(TRY_CR(0, cr0 | 3u << 29), NOTRAP);
	CHECK_EQ(RDCR(0), cr0 | 3u << 29);
	WRCR(0, cr0);
	WRCR(0, cr0 & ~0x10ul);				/* ET is fixed at 1 */
	CHECK_EQ(RDCR(0), cr0);
	WRCR(0, cr0 & ~0x20ul);				/* NE may go */
	CHECK_EQ(RDCR(0), cr0 & ~0x20ul);
	WRCR(0, cr0);
	/* PG off in 64-bit mode: #GP */
	CHECK_EQ(TRY_CR(0, cr0 & ~0x80000000ull), 13);
	/* LMSW sets PE, cannot clear it */
	asm volatile("lmsw %0" :: "r"((u16)0x3a));
	CHECK_EQ(RDCR(0), cr0 | 8);
	asm volatile("clts");
	CHECK_EQ(RDCR(0), cr0);
}

GUEST(cr3_rules, 0, 1)
{
	u64 cr3 = RDCR(3), big;
	u32 r[4];

	cpuid(0x80000008, 0, r);
	CHECK_EQ(cr3, PML4_GPA);
	CHECK((r[0] & 0xff) >= 32 && (r[0] & 0xff) <= 52);
	if (!on_tcg()) {		/* no exit, and TCG checks no reserved bits */
		big = 1ull << (r[0] & 0xff);
		if ((r[0] & 0xff) < 52)
			CHECK_EQ(TRY_CR(3, cr3 | big), 13);
		CHECK_EQ(TRY_CR(3, cr3 | 1ull << 60), 13);
		CHECK_EQ(TRY_CR(3, cr3 | 1ull << 63), 13);	/* no PCID */
	}
	CHECK_EQ(TRY_CR(3, cr3 | 0x18), NOTRAP);		/* PWT, PCD */
	CHECK_EQ(RDCR(3), cr3 | 0x18);
	WRCR(3, cr3);
}

GUEST(cr4_rules, 0, 1)
{
	u64 cr4 = RDCR(4);

	/* TCG does not intercept reads of CR4, so that the host's MCE shows */
	if (on_tcg())
		cr4 &= ~0x40ull;
	CHECK_EQ(cr4, 0x620);
	CHECK_EQ(TRY_CR(4, cr4 & ~0x20ull), 13);	/* PAE off in long mode */
	CHECK_EQ(TRY_CR(4, cr4 | 1ull << 15), 13);
	CHECK_EQ(TRY_CR(4, cr4 | 1ull << 31), 13);
	CHECK_EQ(TRY_CR(4, cr4 | 1ull << 13), 13);	/* VMXE: no VMX in CPUID */
	if (!has_cpuid(7, EBX, 7))
		CHECK_EQ(TRY_CR(4, cr4 | 1ull << 20), 13);	/* SMEP */
	if (!has_cpuid(7, EBX, 20))
		CHECK_EQ(TRY_CR(4, cr4 | 1ull << 21), 13);	/* SMAP */
	if (!has_cpuid(1, ECX, 26)) {
		CHECK_EQ(TRY_CR(4, cr4 | 1ull << 18), 13);	/* OSXSAVE */
		CHECK_EQ(TRYC("xor %%ecx, %%ecx; xgetbv", ("rax", "rcx", "rdx"), "i"(0)), 6);
	}
	if (!has_cpuid(7, ECX, 2))
		CHECK_EQ(TRY_CR(4, cr4 | 1ull << 11), 13);	/* UMIP */
	if (!has_cpuid(1, ECX, 17))
		CHECK_EQ(TRY_CR(4, cr4 | 1ull << 17), 13);	/* PCIDE */
	CHECK_EQ(TRY_CR(4, cr4 | 0x8c), NOTRAP);	/* PGE, DE, TSD */
	CHECK_EQ(RDCR(4) & ~0x40ull, cr4 | 0x8c);
	WRCR(4, cr4);
	/* MCE reads as it was written, whatever the host does with machine checks */
	WRCR(4, cr4 | 0x40);
	CHECK_EQ(RDCR(4), cr4 | 0x40);
	WRCR(4, cr4);
	if (!on_tcg())
		CHECK_EQ(RDCR(4), cr4);
	/* TSD lets ring 0 alone */
	WRCR(4, cr4 | 4);
	CHECK(rdtsc() != 0);
	WRCR(4, cr4);
}

GUEST(cr4_pge_flush, 0, 1)
{
	/* a global page must go when PGE is toggled */
	u64 va = 0x40000000;

	WRCR(4, RDCR(4) | 0x80);
	map4k(va, FREE_GPA, 0x103);
	w64(FREE_GPA, 1);
	w64(FREE_GPA + 4096, 2);
	CHECK_EQ(r64(va), 1);
	*pte_of(va) = (FREE_GPA + 4096) | 0x103;
	WRCR(4, RDCR(4) & ~0x80ul);
	CHECK_EQ(r64(va), 2);
}

GUEST(cr8_tpr, 0, 1)
{
	u64 i;

	apic_on();
	for (i = 0; i < 16; i++) {
		asm volatile("mov %0, %%cr8" :: "r"(i));
		CHECK_EQ(apic_rd(APIC_TPR), i << 4);
		apic_wr(APIC_TPR, (15 - i) << 4);
		CHECK_EQ(RDCR(8), 15 - i);
		CHECK_EQ(apic_rd(APIC_TPR), (15 - i) << 4);
	}
	if (on_tcg())			/* no exit, and TCG takes the low four bits */
		return;
	CHECK_EQ(TRYI("mov %0, %%cr8", "r"(0x10ull)), 13);
	CHECK_EQ(TRYI("mov %0, %%cr8", "r"(1ull << 32)), 13);
}

GUEST(cr2_kept, 0, 1)
{
	u32 r[4];

	asm volatile("mov %0, %%cr2" :: "r"(0x123456789abcull));
	cpuid(0, 0, r);
	HC(HC_HLT_COUNT);
	CHECK_EQ(RDCR(2), 0x123456789abcull);
}

GUEST(efer_rules, 0, 1)
{
	u64 e = rdmsr(0xc0000080);

	CHECK_EQ(e, 0xd00);
	CHECK_EQ(try_wrmsr(0xc0000080, e & ~0x100ull), 13);	/* LME off while paging */
	CHECK_EQ(rdmsr(0xc0000080), e);
	CHECK_EQ(try_wrmsr(0xc0000080, e | 2), 13);
	CHECK_EQ(try_wrmsr(0xc0000080, e | 1ull << 40), 13);
	CHECK_EQ(try_wrmsr(0xc0000080, e | 1), NOTRAP);
	CHECK_EQ(rdmsr(0xc0000080), e | 1);
	/* LMA is not ours to write; a write with it clear changes nothing */
	CHECK_EQ(try_wrmsr(0xc0000080, e & ~0x400ull), NOTRAP);
	CHECK_EQ(rdmsr(0xc0000080), e);
	if (!has_cpuid(0x80000001, ECX, 2))
		CHECK_EQ(try_wrmsr(0xc0000080, e | 0x1000), 13);	/* SVME */
}

GUEST(syscall_sysret, 0, 1)
{
	u64 r = 0;

	wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
	wrmsr(0xc0000081, (u64)CODE64 << 32);
	asm volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %%rdx\n\tshr $32, %%rdx\n\t"
		     "mov $0xc0000082, %%ecx\n\twrmsr\n\t"
		     "mov $0xc0000084, %%ecx\n\tmov $0x40000, %%eax\n\txor %%edx, %%edx\n\twrmsr\n\t"
		     "syscall\n2:\tud2\n1:\t"
		     "lea 2b(%%rip), %%rax\n\tcmp %%rax, %%rcx\n\tsete %b0"
		     : "+b"(r) :: "rax", "rcx", "rdx", "r11", "memory");
	CHECK_EQ(r, 1);
	CHECK_EQ(rdmsr(0xc0000084), 0x40000);
}

GUEST(cr4_upper_half, 0, 1)
{
	/* KVM's emulator cuts the value to 32 bits where decode assists are missing */
	CHECK_EQ(TRY_CR(4, RDCR(4) | 1ull << 40), 13);
}
