// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: what CPUID offers and answers, the values that registers may have, and
 * the arithmetic of clocks.
 */
#include <kunit/test.h>
#include <linux/slab.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/pvclock.h>

#include "../../kmod/lamina.h"

#define INTEL_B	0x756e6547
#define AMD_B	0x68747541

static struct lm_vcpu *t_vcpu(struct kunit *test)
{
	struct lm_vcpu *vcpu = kunit_kzalloc(test, sizeof(*vcpu), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, vcpu);
	vcpu->vm = kunit_kzalloc(test, sizeof(*vcpu->vm), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vcpu->vm);
	vcpu->valid = LM_S_ALL;
	vcpu->x86.apic_base_msr = 0xfee00800;
	return vcpu;
}

static int t_set(struct lm_vcpu *vcpu, const struct kvm_cpuid_entry2 *e, u32 nr)
{
	struct kvm_cpuid2 hdr = { .nent = nr };

	return lm_cpuid_set(vcpu, &hdr, e);
}

static void t_exec(struct lm_vcpu *vcpu, u32 leaf, u32 sub)
{
	vcpu->st.gpr[LM_RAX] = 0xdead000000000000ull | leaf;
	vcpu->st.gpr[LM_RCX] = 0xdead000000000000ull | sub;
	vcpu->st.gpr[LM_RBX] = ~0ull;
	vcpu->st.gpr[LM_RDX] = ~0ull;
	lm_cpuid_exec(vcpu);
}

#define T_REGS(test, v, a, b, c, d) do {				\
	KUNIT_EXPECT_EQ(test, (v)->st.gpr[LM_RAX], (u64)(a));		\
	KUNIT_EXPECT_EQ(test, (v)->st.gpr[LM_RBX], (u64)(b));		\
	KUNIT_EXPECT_EQ(test, (v)->st.gpr[LM_RCX], (u64)(c));		\
	KUNIT_EXPECT_EQ(test, (v)->st.gpr[LM_RDX], (u64)(d));		\
} while (0)

static const struct kvm_cpuid_entry2 t_table[] = {
	{ .function = 0x80000000, .eax = 0x80000008, .ebx = 5 },
	{ .function = 4, .index = 1, .flags = 1, .eax = 41, .ebx = 42 },
	{ .function = 0, .eax = 0xb, .ebx = INTEL_B },
	{ .function = 4, .index = 0, .flags = 1, .eax = 31, .ebx = 32 },
	{ .function = 0xb, .index = 0, .flags = 1, .eax = 1, .ebx = 2, .ecx = 3, .edx = 7 },
	{ .function = 0xb, .index = 1, .flags = 1, .eax = 11, .ebx = 12, .ecx = 13, .edx = 7 },
	{ .function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b,
	  .ecx = 0x564b4d56, .edx = 0x4d },
	{ .function = 0x40000001, .eax = 0x48 },
	{ .function = 0x80000008, .eax = 0x3028 },
};

static void exec_index(struct kunit *test)
{
	struct lm_vcpu *v = t_vcpu(test);

	KUNIT_ASSERT_EQ(test, t_set(v, t_table, ARRAY_SIZE(t_table)), 0);
	t_exec(v, 0, 0);
	T_REGS(test, v, 0xb, INTEL_B, 0, 0);
	/* a leaf without subleaves ignores ECX */
	t_exec(v, 0, 9);
	T_REGS(test, v, 0xb, INTEL_B, 0, 0);
	t_exec(v, 4, 0);
	T_REGS(test, v, 31, 32, 0, 0);
	t_exec(v, 4, 1);
	T_REGS(test, v, 41, 42, 0, 0);
	t_exec(v, 4, 2);
	T_REGS(test, v, 0, 0, 0, 0);
	t_exec(v, 0x80000000, 0);
	T_REGS(test, v, 0x80000008, 5, 0, 0);
	t_exec(v, 0x40000001, 0);
	T_REGS(test, v, 0x48, 0, 0, 0);
	/* beyond the last level: the level asked for, and the APIC id */
	t_exec(v, 0xb, 0x102);
	T_REGS(test, v, 0, 0, 2, 7);
	KUNIT_EXPECT_TRUE(test, lm_cpuid_pv(v, 3));
	KUNIT_EXPECT_FALSE(test, lm_cpuid_pv(v, 5));
	KUNIT_EXPECT_EQ(test, v->x86.maxphyaddr, 40);
	KUNIT_EXPECT_EQ(test, v->x86.pa_reserved, GENMASK_ULL(51, 40));
	lm_x86_free(v);
}

static void exec_out_of_range(struct kunit *test)
{
	struct kvm_cpuid_entry2 table[ARRAY_SIZE(t_table)];
	struct lm_vcpu *v = t_vcpu(test);
	static const u32 beyond[] = {
		0xc, 0x1f, 0x20, 0x12345, 0x40000002, 0x80000009, 0xffffffff
	};
	unsigned int i;

	memcpy(table, t_table, sizeof(table));
	KUNIT_ASSERT_EQ(test, t_set(v, table, ARRAY_SIZE(table)), 0);
	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		t_exec(v, beyond[i], 1);
		T_REGS(test, v, 11, 12, 13, 7);
	}
	/* a hole within the range is zero */
	t_exec(v, 2, 0);
	T_REGS(test, v, 0, 0, 0, 0);
	t_exec(v, 0x80000003, 0);
	T_REGS(test, v, 0, 0, 0, 0);

	table[2].ebx = AMD_B;
	KUNIT_ASSERT_EQ(test, t_set(v, table, ARRAY_SIZE(table)), 0);
	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		t_exec(v, beyond[i], 1);
		T_REGS(test, v, 0, 0, 0, 0);
	}
	/* without any table */
	KUNIT_ASSERT_EQ(test, t_set(v, table, 0), 0);
	t_exec(v, 0, 0);
	T_REGS(test, v, 0, 0, 0, 0);
	t_exec(v, 0x40000000, 0);
	T_REGS(test, v, 0, 0, 0, 0);
	lm_x86_free(v);
}

static void exec_dynamic(struct kunit *test)
{
	static const struct kvm_cpuid_entry2 table[] = {
		{ .function = 0, .eax = 0xd, .ebx = AMD_B },
		{ .function = 1, .ebx = 0x800, .ecx = BIT(27), .edx = BIT(9) | 1 },
		{ .function = 7, .flags = 1, .ecx = BIT(4) },
		{ .function = 7, .index = 1, .flags = 1, .ecx = BIT(4) },
	};
	struct lm_vcpu *v = t_vcpu(test);

	KUNIT_ASSERT_EQ(test, t_set(v, table, ARRAY_SIZE(table)), 0);
	t_exec(v, 1, 0);
	T_REGS(test, v, 0, 0x800, 0, BIT(9) | 1);
	v->st.cr4 = X86_CR4_OSXSAVE | X86_CR4_PKE;
	v->x86.apic_base_msr = 0xfee00000;
	t_exec(v, 1, 0);
	T_REGS(test, v, 0, 0x800, BIT(27), 1);
	t_exec(v, 7, 0);
	T_REGS(test, v, 0, 0, BIT(4), 0);
	v->st.cr4 = 0;
	t_exec(v, 7, 0);
	T_REGS(test, v, 0, 0, 0, 0);
	t_exec(v, 7, 1);
	T_REGS(test, v, 0, 0, BIT(4), 0);
	lm_x86_free(v);
}

static void set_refused(struct kunit *test)
{
	struct kvm_cpuid_entry2 e = { .function = 0x80000008, .eax = 0x3028 };
	struct lm_vcpu *v = t_vcpu(test);
	struct kvm_cpuid2 hdr = { .nent = LM_MAX_CPUID + 1 };

	KUNIT_ASSERT_EQ(test, t_set(v, &e, 1), 0);
	KUNIT_EXPECT_EQ(test, lm_cpuid_set(v, &hdr, &e), -E2BIG);
	e.eax = 0x3128;			/* 49 bits of linear address */
	KUNIT_EXPECT_EQ(test, t_set(v, &e, 1), -EINVAL);
	e.eax = 0x3035;			/* 53 bits of physical address */
	KUNIT_EXPECT_EQ(test, t_set(v, &e, 1), -EINVAL);
	e.eax = 0x301f;
	KUNIT_EXPECT_EQ(test, t_set(v, &e, 1), -EINVAL);
	/* what was set stays */
	t_exec(v, 0x80000008, 0);
	T_REGS(test, v, 0x3028, 0, 0, 0);
	lm_x86_free(v);
}

static void filter(struct kunit *test)
{
	struct kvm_cpuid_entry2 e;
	u32 leaf;

	/* a host that has everything */
	for (leaf = 0; leaf < 0x24; leaf++) {
		memset(&e, 0xff, sizeof(e));
		e.function = leaf;
		e.index = 0;
		lm_cpuid_filter(&e);
		switch (leaf) {
		case 1:
			KUNIT_EXPECT_EQ(test, e.ebx, 0xff00u);
			/* not VMX, SMX, MONITOR, DS, PDCM, DCA, deadline timer, OSXSAVE */
			KUNIT_EXPECT_EQ(test, e.ecx & GENMASK(8, 2), 0u);
			KUNIT_EXPECT_EQ(test, e.ecx & (BIT(15) | BIT(18) | BIT(24) | BIT(27)), 0u);
			KUNIT_EXPECT_EQ(test, e.ecx & (BIT(21) | BIT(31)), BIT(21) | BIT(31));
			/* not DS, ACPI, HTT, TM, PBE */
			KUNIT_EXPECT_EQ(test, e.edx & (BIT(21) | BIT(22)), 0u);
			KUNIT_EXPECT_EQ(test, e.edx & (BIT(28) | BIT(29) | BIT(31)), 0u);
			KUNIT_EXPECT_EQ(test, e.edx & BIT(9), BIT(9));
			break;
		case 7:
			KUNIT_EXPECT_EQ(test, e.eax, 1u);
			/* SGX, HLE, CQM, MPX, RTM, PQE, PT */
			KUNIT_EXPECT_EQ(test, e.ebx & (BIT(2) | BIT(4) | BIT(12) | BIT(14) |
				BIT(11) | BIT(15) | BIT(25)), 0u);
			KUNIT_EXPECT_EQ(test, e.ebx & BIT(1), BIT(1));
			/* WAITPKG, shadow stacks, OSPKE */
			KUNIT_EXPECT_EQ(test, e.ecx & (BIT(5) | BIT(7) | BIT(4)), 0u);
			/* AMX, IBT */
			KUNIT_EXPECT_EQ(test, e.edx & (BIT(22) | BIT(24) | BIT(25) | BIT(20)), 0u);
			break;
		case 5:
		case 0xa:
		case 0x12:
		case 0x14:
		case 0x1d:
		case 0x1e:
			KUNIT_EXPECT_EQ(test, e.eax | e.ebx | e.ecx | e.edx, 0u);
			break;
		}
	}
	memset(&e, 0xff, sizeof(e));
	e.function = 0x80000001;
	e.index = 0;
	lm_cpuid_filter(&e);
	/* SVM, extended APIC, IBS, SKINIT, WDT, LWP, the PMUs */
	KUNIT_EXPECT_EQ(test, e.ecx & (BIT(2) | BIT(3) | BIT(10) | BIT(12) | BIT(13) | BIT(15) |
		BIT(23) | BIT(24) | BIT(28)), 0u);
	memset(&e, 0xff, sizeof(e));
	e.function = 0x8000000a;
	e.index = 0;
	lm_cpuid_filter(&e);
	KUNIT_EXPECT_EQ(test, e.eax | e.ebx | e.ecx | e.edx, 0u);
}

/* SPEC_CTRL's bits are offered if the vendor's CPU switches it, and only those are written. */
static void spec_ctrl(struct kunit *test)
{
	const u32 bits = BIT(14) | BIT(15) | BIT(24);		/* IBRS, STIBP, SSBD */
	u32 *host = &boot_cpu_data.x86_capability[CPUID_8000_0008_EBX];
	struct kvm_cpuid_entry2 e = { .function = 0x80000008, .ebx = ~0u };
	struct lm_vcpu *v = t_vcpu(test);
	bool had = lm_caps.spec_ctrl;
	u32 old = *host;

	*host |= bits;
	lm_caps.spec_ctrl = true;
	lm_cpuid_filter(&e);
	KUNIT_EXPECT_EQ(test, e.ebx & bits, bits);
	e.ebx = ~0u;
	lm_caps.spec_ctrl = false;
	lm_cpuid_filter(&e);
	KUNIT_EXPECT_EQ(test, e.ebx & bits, 0u);
	lm_caps.spec_ctrl = had;
	*host = old;

	KUNIT_EXPECT_EQ(test, lm_msr_write(v, MSR_IA32_SPEC_CTRL, 0, false), 1);
	v->x86.spec_ctrl_supported = SPEC_CTRL_IBRS | SPEC_CTRL_SSBD;
	KUNIT_EXPECT_EQ(test, lm_msr_write(v, MSR_IA32_SPEC_CTRL, SPEC_CTRL_SSBD, false), 0);
	KUNIT_EXPECT_EQ(test, lm_msr_write(v, MSR_IA32_SPEC_CTRL, SPEC_CTRL_STIBP, false), 1);
	KUNIT_EXPECT_EQ(test, lm_msr_write(v, MSR_IA32_SPEC_CTRL, SPEC_CTRL_STIBP, true), 1);
	KUNIT_EXPECT_EQ(test, v->x86.spec_ctrl, (u64)SPEC_CTRL_SSBD);
}

static void xcr0(struct kunit *test)
{
	const u64 all = 0x2e7;

	KUNIT_EXPECT_TRUE(test, lm_xcr0_valid(all, 1));
	KUNIT_EXPECT_TRUE(test, lm_xcr0_valid(all, 3));
	KUNIT_EXPECT_TRUE(test, lm_xcr0_valid(all, 7));
	KUNIT_EXPECT_TRUE(test, lm_xcr0_valid(all, 0xe7));
	KUNIT_EXPECT_TRUE(test, lm_xcr0_valid(all, 0x201));
	KUNIT_EXPECT_FALSE(test, lm_xcr0_valid(all, 0));
	KUNIT_EXPECT_FALSE(test, lm_xcr0_valid(all, 2));
	KUNIT_EXPECT_FALSE(test, lm_xcr0_valid(all, 5));
	KUNIT_EXPECT_FALSE(test, lm_xcr0_valid(all, 0xe3));
	KUNIT_EXPECT_FALSE(test, lm_xcr0_valid(all, 0x67));
	KUNIT_EXPECT_FALSE(test, lm_xcr0_valid(all, 0x60007));
	KUNIT_EXPECT_FALSE(test, lm_xcr0_valid(3, 7));
}

static void memory_types(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, lm_pat_valid(0x0007040600070406ull));
	KUNIT_EXPECT_TRUE(test, lm_pat_valid(0x0107050600070106ull));
	KUNIT_EXPECT_FALSE(test, lm_pat_valid(0x0007040600070402ull));
	KUNIT_EXPECT_FALSE(test, lm_pat_valid(0x0307040600070406ull));
	KUNIT_EXPECT_FALSE(test, lm_pat_valid(0x0807040600070406ull));
	KUNIT_EXPECT_TRUE(test, lm_mtrr_valid(0x2ff, 0xc06, 40));
	KUNIT_EXPECT_FALSE(test, lm_mtrr_valid(0x2ff, 0xc07, 40));
	KUNIT_EXPECT_FALSE(test, lm_mtrr_valid(0x2ff, 0x1c06, 40));
	KUNIT_EXPECT_TRUE(test, lm_mtrr_valid(0x250, 0x0606060606060606ull, 40));
	KUNIT_EXPECT_FALSE(test, lm_mtrr_valid(0x250, 0x0706060606060606ull, 40));
	KUNIT_EXPECT_TRUE(test, lm_mtrr_valid(0x200, 0xc0000006, 40));
	KUNIT_EXPECT_FALSE(test, lm_mtrr_valid(0x200, 0xc0000106, 40));
	KUNIT_EXPECT_FALSE(test, lm_mtrr_valid(0x200, BIT_ULL(40), 40));
	KUNIT_EXPECT_TRUE(test, lm_mtrr_valid(0x201, 0xffc0000800ull, 40));
	KUNIT_EXPECT_FALSE(test, lm_mtrr_valid(0x201, 0xffc0000801ull, 40));
}

static void time_scale(struct kunit *test)
{
	static const u64 hz[] = { 1000000, 999999999, NSEC_PER_SEC, 1000000001, 2399998000ull,
				  5000000000ull, 19200000 };
	unsigned int i;
	u32 mul;
	s8 shift;

	for (i = 0; i < ARRAY_SIZE(hz); i++) {
		u64 ns;

		lm_time_scale(hz[i], &mul, &shift);
		/* an hour, to a microsecond */
		ns = pvclock_scale_delta(hz[i] * 3600, mul, shift);
		KUNIT_EXPECT_LE(test, ns, 3600ull * NSEC_PER_SEC + 1000);
		KUNIT_EXPECT_GE(test, ns, 3600ull * NSEC_PER_SEC - 1000);
		KUNIT_EXPECT_GE(test, mul, 1u << 31);
	}
	KUNIT_EXPECT_TRUE(test, lm_tsc_near(1000, 900, 200));
	KUNIT_EXPECT_TRUE(test, lm_tsc_near(900, 1000, 200));
	KUNIT_EXPECT_FALSE(test, lm_tsc_near(1200, 1000, 200));
	KUNIT_EXPECT_FALSE(test, lm_tsc_near(0, 1000, 200));
}

static struct kunit_case cpuid_cases[] = {
	KUNIT_CASE(exec_index),
	KUNIT_CASE(exec_out_of_range),
	KUNIT_CASE(exec_dynamic),
	KUNIT_CASE(set_refused),
	KUNIT_CASE(filter),
	KUNIT_CASE(spec_ctrl),
	KUNIT_CASE(xcr0),
	KUNIT_CASE(memory_types),
	KUNIT_CASE(time_scale),
	{}
};

static struct kunit_suite cpuid_suite = {
	.name = "lm_cpuid",
	.test_cases = cpuid_cases,
};

kunit_test_suite(cpuid_suite);
