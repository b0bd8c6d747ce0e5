// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: the walk of a guest's page table, over a memory of a few pages.
 */
#include <kunit/test.h>
#include <linux/slab.h>
#include <asm/processor-flags.h>

/* The source itself, over a memory of our own. */
#define lm_gpa_read		t_gpa_read
#define lm_gpa_cmpxchg		t_gpa_cmpxchg
#define lm_walk			t_walk
#define lm_access		t_access
#define lm_linear_read		t_linear_read
#define lm_fetch		t_fetch
#include "../../kmod/x86/paging.c"

#define T_PAGES	16
#define T_HOLE	0x100000u	/* no memory from here on */

static struct {
	u8 mem[T_PAGES * PAGE_SIZE] __aligned(8);
	u64 need;		/* page that is absent on the host, 0: none */
	unsigned int writes;
	unsigned int lose;	/* so many exchanges lose */
} *t;

int t_gpa_read(struct lm_vcpu *vcpu, u64 gpa, void *buf, unsigned int bytes)
{
	if (gpa + bytes > sizeof(t->mem))
		return LM_USER;
	if (t->need && gpa >> 12 == t->need >> 12)
		return LM_NEED;
	memcpy(buf, t->mem + gpa, bytes);
	return LM_DONE;
}

int t_gpa_cmpxchg(struct lm_vcpu *vcpu, u64 gpa, u64 *old, u64 new, unsigned int bytes)
{
	if (t->lose) {
		t->lose--;
		return LM_AGAIN;
	}
	if (memcmp(t->mem + gpa, old, bytes))
		return LM_AGAIN;
	memcpy(t->mem + gpa, &new, bytes);
	t->writes++;
	return LM_DONE;
}

#define U	7ull		/* present, writable, user */
#define S	3ull		/* present, writable */
#define RO	1ull

static void t_put(u64 gpa, u64 val)
{
	memcpy(t->mem + gpa, &val, 8);
}

static u64 t_get(u64 gpa)
{
	u64 val;

	memcpy(&val, t->mem + gpa, 8);
	return val;
}

static void t_put32(u64 gpa, u32 val)
{
	memcpy(t->mem + gpa, &val, 4);
}

#define LINEAR	0x0000008040602123ull	/* index 1, 1, 3, 2 */

/* Tables at 0x1000 to 0x4000 in falling levels, a fifth level at 0x5000. */
static void t_long(struct lm_vcpu *vcpu)
{
	memset(t, 0, sizeof(*t));
	vcpu->st.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
	vcpu->st.cr4 = X86_CR4_PAE;
	vcpu->st.efer = EFER_LME | EFER_LMA | EFER_NX;
	vcpu->st.cr3 = 0x1000;
	vcpu->st.rflags = 2;
	t_put(0x1008, 0x2000 | U);
	t_put(0x2008, 0x3000 | U);
	t_put(0x3018, 0x4000 | U);
	t_put(0x4010, 0x7000 | U);
}

static int t_init(struct kunit *test)
{
	struct lm_vcpu *vcpu = kunit_kzalloc(test, sizeof(*vcpu), GFP_KERNEL);

	t = kvzalloc(sizeof(*t), GFP_KERNEL);
	if (!t || !vcpu)
		return -ENOMEM;
	vcpu->valid = LM_S_ALL;
	vcpu->x86.pa_reserved = GENMASK_ULL(51, 40);
	vcpu->x86.has_1g = true;
	vcpu->x86.has_pse36 = true;
	test->priv = vcpu;
	t_long(vcpu);
	return 0;
}

static void t_exit(struct kunit *test)
{
	kvfree(t);
	t = NULL;
}

static void t_ok(struct kunit *test, u64 linear, u32 access, u64 want)
{
	u64 gpa = ~0ull;
	u32 error = 0;

	KUNIT_EXPECT_EQ(test, t_walk(test->priv, linear, access, &gpa, &error), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, gpa, want);
}

static void t_fault(struct kunit *test, u64 linear, u32 access, u32 want)
{
	u32 error = ~0u;
	u64 gpa;

	KUNIT_EXPECT_EQ(test, t_walk(test->priv, linear, access, &gpa, &error), LM_FAULT);
	KUNIT_EXPECT_EQ(test, error, want);
}

#define W	LM_ACC_WRITE
#define USR	LM_ACC_USER
#define X	LM_ACC_EXEC

static void paging_off(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	vcpu->st.cr0 = X86_CR0_PE;
	t_ok(test, 0x123456789ull, W | USR, 0x23456789);
}

static void four_levels(struct kunit *test)
{
	t_ok(test, LINEAR, 0, 0x7123);
	t_ok(test, LINEAR, USR, 0x7123);
	t_ok(test, LINEAR, USR | X, 0x7123);
	t_ok(test, LINEAR | 0xffff000000000000ull, W, 0x7123);
}

static void accessed_dirty(struct kunit *test)
{
	t_ok(test, LINEAR, 0, 0x7123);
	KUNIT_EXPECT_EQ(test, t_get(0x1008), 0x2027ull);
	KUNIT_EXPECT_EQ(test, t_get(0x2008), 0x3027ull);
	KUNIT_EXPECT_EQ(test, t_get(0x3018), 0x4027ull);
	KUNIT_EXPECT_EQ(test, t_get(0x4010), 0x7027ull);
	KUNIT_EXPECT_EQ(test, t->writes, 4u);
	t_ok(test, LINEAR, 0, 0x7123);
	KUNIT_EXPECT_EQ(test, t->writes, 4u);
	t_ok(test, LINEAR, W, 0x7123);
	KUNIT_EXPECT_EQ(test, t->writes, 5u);
	KUNIT_EXPECT_EQ(test, t_get(0x4010), 0x7067ull);
	KUNIT_EXPECT_EQ(test, t_get(0x3018), 0x4027ull);
	t_ok(test, LINEAR, W | USR, 0x7123);
	KUNIT_EXPECT_EQ(test, t->writes, 5u);
}

static void fault_marks_nothing(struct kunit *test)
{
	t_put(0x4010, 0x7000 | RO);
	t_fault(test, LINEAR, W | USR, 7);
	KUNIT_EXPECT_EQ(test, t->writes, 0u);
}

static void races(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;
	u32 error;
	u64 gpa;

	t->lose = 2;
	t_ok(test, LINEAR, 0, 0x7123);
	t_long(vcpu);
	t->lose = 1000;
	KUNIT_EXPECT_EQ(test, t_walk(vcpu, LINEAR, 0, &gpa, &error), (int)LM_AGAIN);
	t_long(vcpu);
	t->need = 0x3000;
	KUNIT_EXPECT_EQ(test, t_walk(vcpu, LINEAR, 0, &gpa, &error), (int)LM_NEED);
	KUNIT_EXPECT_EQ(test, t->writes, 0u);
}

static void not_present(struct kunit *test)
{
	static const u64 entry[] = { 0x1008, 0x2008, 0x3018, 0x4010 };
	struct lm_vcpu *vcpu = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(entry); i++) {
		t_long(vcpu);
		t_put(entry[i], t_get(entry[i]) & ~1ull);
		t_fault(test, LINEAR, 0, 0);
		t_fault(test, LINEAR, W, 2);
		t_fault(test, LINEAR, USR, 4);
		t_fault(test, LINEAR, USR | X, 0x14);
		vcpu->st.efer &= ~(u64)EFER_NX;
		t_fault(test, LINEAR, USR | X, 4);
		vcpu->st.cr4 |= X86_CR4_SMEP;
		t_fault(test, LINEAR, USR | X, 0x14);
	}
}

static void rights(struct kunit *test)
{
	static const u64 entry[] = { 0x1008, 0x2008, 0x3018, 0x4010 };
	struct lm_vcpu *vcpu = test->priv;
	unsigned int i;

	/* each level can take each right away */
	for (i = 0; i < ARRAY_SIZE(entry); i++) {
		t_long(vcpu);
		t_put(entry[i], t_get(entry[i]) & ~4ull);
		t_fault(test, LINEAR, USR, 5);
		t_ok(test, LINEAR, W, 0x7123);
		t_long(vcpu);
		t_put(entry[i], t_get(entry[i]) & ~2ull);
		t_fault(test, LINEAR, USR | W, 7);
		t_fault(test, LINEAR, W, 3);
		t_ok(test, LINEAR, USR, 0x7123);
		vcpu->st.cr0 &= ~(u64)X86_CR0_WP;
		t_ok(test, LINEAR, W, 0x7123);
		t_fault(test, LINEAR, USR | W, 7);
		t_long(vcpu);
		t_put(entry[i], t_get(entry[i]) | BIT_ULL(63));
		t_fault(test, LINEAR, USR | X, 0x15);
		t_fault(test, LINEAR, X, 0x11);
		t_ok(test, LINEAR, USR | W, 0x7123);
	}
}

static void smep_smap(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	vcpu->st.cr4 |= X86_CR4_SMEP | X86_CR4_SMAP;
	t_fault(test, LINEAR, X, 0x11);
	t_fault(test, LINEAR, 0, 1);
	t_fault(test, LINEAR, W, 3);
	t_ok(test, LINEAR, USR | X, 0x7123);
	t_ok(test, LINEAR, USR | W, 0x7123);
	vcpu->st.rflags |= X86_EFLAGS_AC;
	t_ok(test, LINEAR, W, 0x7123);
	t_fault(test, LINEAR, X, 0x11);
	t_fault(test, LINEAR, LM_ACC_SYS, 1);
	/* a supervisor's page is no matter of either */
	t_put(0x2008, 0x3000 | S);
	vcpu->st.rflags = 2;
	t_ok(test, LINEAR, W, 0x7123);
	t_ok(test, LINEAR, X, 0x7123);
}

static void reserved(struct kunit *test)
{
	static const u64 entry[] = { 0x1008, 0x2008, 0x3018, 0x4010 };
	struct lm_vcpu *vcpu = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(entry); i++) {
		t_long(vcpu);
		t_put(entry[i], t_get(entry[i]) | BIT_ULL(40));
		t_fault(test, LINEAR, 0, 9);
		t_long(vcpu);
		vcpu->st.efer &= ~(u64)EFER_NX;
		t_put(entry[i], t_get(entry[i]) | BIT_ULL(63));
		t_fault(test, LINEAR, USR | W, 0xf);
		t_long(vcpu);
		t_put(entry[i], t_get(entry[i]) | GENMASK_ULL(62, 52) | GENMASK_ULL(11, 9));
		t_ok(test, LINEAR, 0, 0x7123);
	}
	t_long(vcpu);
	t_put(0x1008, t_get(0x1008) | BIT(7));
	t_fault(test, LINEAR, 0, 9);
	/* a table where no memory is reads as ones */
	t_long(vcpu);
	t_put(0x3018, T_HOLE | U);
	t_fault(test, LINEAR, 0, 9);
}

static void large_pages(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	t_put(0x3018, 0x12200000 | U | BIT(7) | BIT(12));
	t_ok(test, LINEAR, W | USR, 0x12202123);
	KUNIT_EXPECT_EQ(test, t_get(0x3018), 0x12201000ull | U | BIT(7) | 0x60);
	t_put(0x3018, 0x12202000 | U | BIT(7));
	t_fault(test, LINEAR, 0, 9);
	t_put(0x2008, 0x240000000ull | U | BIT(7));
	t_ok(test, LINEAR, 0, 0x240602123ull);
	t_put(0x2008, 0x240000000ull | U | BIT(7) | BIT(29));
	t_fault(test, LINEAR, 0, 9);
	vcpu->x86.has_1g = false;
	t_put(0x2008, 0x240000000ull | U | BIT(7));
	t_fault(test, LINEAR, 0, 9);
}

static void five_levels(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	vcpu->st.cr4 |= X86_CR4_LA57;
	vcpu->st.cr3 = 0x5000;
	t_put(0x5018, 0x1000 | U);
	t_ok(test, LINEAR | 3ull << 48, W, 0x7123);
	t_fault(test, LINEAR, 0, 0);
	t_put(0x5018, 0x1000 | U | BIT(7));
	t_fault(test, LINEAR | 3ull << 48, 0, 9);
}

static void protection_keys(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	vcpu->st.cr4 |= X86_CR4_PKE;
	t_put(0x4010, 0x7000 | U | 5ull << 59);
	vcpu->x86.pkru = 2u << 10;		/* key 5: no writes */
	t_ok(test, LINEAR, USR, 0x7123);
	t_fault(test, LINEAR, USR | W, 0x27);
	t_fault(test, LINEAR, W, 0x23);
	vcpu->st.cr0 &= ~(u64)X86_CR0_WP;
	t_ok(test, LINEAR, W, 0x7123);
	vcpu->x86.pkru = 1u << 10;		/* no access */
	t_fault(test, LINEAR, USR, 0x25);
	t_fault(test, LINEAR, 0, 0x21);
	t_ok(test, LINEAR, USR | X, 0x7123);
	/* not for a supervisor's page */
	t_put(0x4010, 0x7000 | S | 5ull << 59);
	t_ok(test, LINEAR, W, 0x7123);
	vcpu->st.cr4 &= ~(u64)X86_CR4_PKE;
	t_put(0x4010, 0x7000 | U | 5ull << 59);
	t_ok(test, LINEAR, USR | W, 0x7123);
}

static void pae(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	vcpu->st.efer = EFER_NX;
	vcpu->st.cr3 = 0x5020;
	/* index 2, 3, 2 */
	t_put(0x5030, 0x3000 | 1);
	t_ok(test, 0x80602123ull, USR | W, 0x7123);
	/* the pointer itself is left alone */
	KUNIT_EXPECT_EQ(test, t_get(0x5030), 0x3001ull);
	KUNIT_EXPECT_EQ(test, t_get(0x3018), 0x4027ull);
	t_put(0x5030, 0x3000 | 3);
	t_fault(test, 0x80602123ull, 0, 9);
	t_put(0x5030, 0x3000 | 1 | BIT(7));
	t_fault(test, 0x80602123ull, 0, 9);
	t_put(0x5030, 0x3000 | 1);
	t_put(0x4010, 0x7000 | U | BIT_ULL(52));
	t_fault(test, 0x80602123ull, 0, 9);
	t_put(0x4010, 0x7000 | U | BIT_ULL(63));
	t_fault(test, 0x80602123ull, X, 0x11);
	t_put(0x3018, 0x240200000ull | U | BIT(7));
	t_ok(test, 0x80602123ull, W, 0x240202123ull);
}

static void two_levels(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;

	vcpu->st.efer = 0;
	vcpu->st.cr4 = 0;
	vcpu->st.cr3 = 0x1018;		/* PCD and PWT */
	/* index 0x201, 2 */
	t_put32(0x1804, 0x4000 | U);
	t_put32(0x4008, 0x7000 | U);
	t_put32(0x400c, 0xdeadbeef);
	t_ok(test, 0x80402123ull, USR | W, 0x7123);
	KUNIT_EXPECT_EQ(test, t_get(0x4008), 0xdeadbeef00007067ull);
	KUNIT_EXPECT_EQ(test, (u32)t_get(0x1804), 0x4027u);
	/* PS means nothing without PSE */
	t_put32(0x1804, 0x4000 | U | BIT(7));
	t_ok(test, 0x80402123ull, 0, 0x7123);
	vcpu->st.cr4 = X86_CR4_PSE;
	t_put32(0x1804, 0x00c00000 | U | BIT(7));
	t_ok(test, 0x80402123ull, 0, 0x00c02123);
	/* PSE36: bits 20:13 are 39:32; bit 21 is reserved */
	t_put32(0x1804, 0x00c00000 | U | BIT(7) | 0x12 << 13);
	t_ok(test, 0x80402123ull, 0, 0x1200c02123ull);
	t_put32(0x1804, 0x00c00000 | U | BIT(7) | BIT(21));
	t_fault(test, 0x80402123ull, 0, 9);
	vcpu->x86.has_pse36 = false;
	t_put32(0x1804, 0x00c00000 | U | BIT(7) | 0x12 << 13);
	t_fault(test, 0x80402123ull, W, 0xb);
}

static void fetch_across(struct kunit *test)
{
	struct lm_vcpu *vcpu = test->priv;
	unsigned int got;
	u8 buf[15];

	/* the next linear page lies elsewhere */
	t_put(0x4018, 0x9000 | U);
	memset(t->mem + 0x7ff8, 0x11, 8);
	memset(t->mem + 0x8000, 0x22, 16);
	memset(t->mem + 0x9000, 0x33, 16);
	KUNIT_EXPECT_EQ(test, t_fetch(vcpu, LINEAR - 0x123 + 0xff8, buf, 15, &got), (int)LM_DONE);
	KUNIT_EXPECT_EQ(test, got, 15u);
	KUNIT_EXPECT_EQ(test, buf[7], 0x11);
	KUNIT_EXPECT_EQ(test, buf[8], 0x33);
	/* no right to execute there */
	t_put(0x4018, 0x9000 | U | BIT_ULL(63));
	KUNIT_EXPECT_EQ(test, t_fetch(vcpu, LINEAR - 0x123 + 0xff8, buf, 15, &got), LM_FAULT);
	KUNIT_EXPECT_EQ(test, got, 8u);
	KUNIT_EXPECT_EQ(test, vcpu->x86.fault_addr, LINEAR - 0x123 + 0x1000);
	KUNIT_EXPECT_EQ(test, vcpu->x86.fault_error, 0x11u);
	t->need = 0x7000;
	KUNIT_EXPECT_EQ(test, t_fetch(vcpu, LINEAR, buf, 15, &got), (int)LM_NEED);
	KUNIT_EXPECT_EQ(test, got, 0u);
	t->need = 0;
	t_put(0x4010, T_HOLE | U);
	KUNIT_EXPECT_EQ(test, t_fetch(vcpu, LINEAR, buf, 15, &got), (int)LM_USER);
	/* CPL 3 */
	t_put(0x4010, 0x7000 | S);
	vcpu->st.seg[LM_SS].attr = LM_SEG_DPL;
	KUNIT_EXPECT_EQ(test, t_fetch(vcpu, LINEAR, buf, 15, &got), LM_FAULT);
	KUNIT_EXPECT_EQ(test, vcpu->x86.fault_error, 0x15u);
}

static struct kunit_case paging_cases[] = {
	KUNIT_CASE(paging_off),
	KUNIT_CASE(four_levels),
	KUNIT_CASE(accessed_dirty),
	KUNIT_CASE(fault_marks_nothing),
	KUNIT_CASE(races),
	KUNIT_CASE(not_present),
	KUNIT_CASE(rights),
	KUNIT_CASE(smep_smap),
	KUNIT_CASE(reserved),
	KUNIT_CASE(large_pages),
	KUNIT_CASE(five_levels),
	KUNIT_CASE(protection_keys),
	KUNIT_CASE(pae),
	KUNIT_CASE(two_levels),
	KUNIT_CASE(fetch_across),
	{}
};

static struct kunit_suite paging_suite = {
	.name = "lm_paging",
	.init = t_init,
	.exit = t_exit,
	.test_cases = paging_cases,
};

kunit_test_suite(paging_suite);
