// SPDX-License-Identifier: GPL-2.0-only
/* Tests of the LAPIC: registers, priorities, messages, modes, timer, saved state. */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <asm/msr-index.h>

#include "irq_vm.h"

#define EN	((u64)MSR_IA32_APICBASE_ENABLE)
#define X2	((u64)X2APIC_ENABLE)

static int lm_lapic_init4(struct kunit *test)
{
	lm_test_irq_vm(test, 4);
	return 0;
}

static void lm_lapic_test_reset(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	u64 base;

	KUNIT_EXPECT_EQ(test, lm_test_apic_read(t->v[1], APIC_ID), 1u << 24);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(t->v[1], APIC_LVR), 0x00050014u);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(t->v[1], APIC_SPIV), 0xffu);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(t->v[1], APIC_DFR), ~0u);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(t->v[1], APIC_LVT0), 0x10000u);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(t->v[0], APIC_LVT0), 0x700u);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_read(t->v[0], MSR_IA32_APICBASE, &base), 0);
	KUNIT_EXPECT_EQ(test, base, 0xfee00900ull);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_read(t->v[1], MSR_IA32_APICBASE, &base), 0);
	KUNIT_EXPECT_EQ(test, base, 0xfee00800ull);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(t->v[0]), -1);
}

static void lm_lapic_test_disabled(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_msg m = { .dest = 1, .vector = 0x41 };

	/* Disabled by SVR: fixed interrupts are refused, LVTs stay masked. */
	KUNIT_EXPECT_EQ(test, lm_irq_deliver(t->vm, &m), -1);
	lm_test_apic_write(t->v[1], APIC_LVTERR, 0x33);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(t->v[1], APIC_LVTERR), 0x10033u);
	lm_test_apic_enable(t);
	lm_test_apic_write(t->v[1], APIC_LVTERR, 0x33);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(t->v[1], APIC_LVTERR), 0x33u);
	KUNIT_EXPECT_EQ(test, lm_irq_deliver(t->vm, &m), 1);
	KUNIT_EXPECT_EQ(test, lm_irq_deliver(t->vm, &m), 0);
	lm_test_apic_write(t->v[1], APIC_SPIV, 0xff);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(t->v[1], APIC_LVTERR), 0x10033u);
}

static void lm_lapic_test_priority(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];

	lm_test_apic_enable(t);
	lm_test_apic_write(v, APIC_ICR, APIC_DEST_SELF | 0x31);
	KUNIT_EXPECT_TRUE(test, test_bit(LM_REQ_EVENT, &v->requests));
	lm_test_apic_write(v, APIC_ICR, APIC_DEST_SELF | 0xf2);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_IRR + 0x10), BIT(0x11));
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), 0xf2);
	lm_test_apic_write(v, APIC_TASKPRI, 0xf0);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), -1);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), -1);
	KUNIT_EXPECT_EQ(test, lm_read_cr8(v), 15ull);
	clear_bit(LM_REQ_EVENT, &v->requests);
	lm_lapic_set_tpr(v, 3);
	KUNIT_EXPECT_TRUE(test, test_bit(LM_REQ_EVENT, &v->requests));
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0xf2);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_PROCPRI), 0xf0u);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_ISR + 0x70), BIT(0x12));
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), -1);
	lm_test_apic_write(v, APIC_EOI, 0);
	/* 0x31 is in the class of the task priority 0x30: held back. */
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_PROCPRI), 0x30u);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), -1);
	lm_test_apic_write(v, APIC_TASKPRI, 0x2f);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x31);
	/* Nesting: the higher one first, EOIs in turn. */
	lm_test_apic_write(v, APIC_ICR, APIC_DEST_SELF | 0x3f);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), -1);
	lm_test_apic_write(v, APIC_ICR, APIC_DEST_SELF | 0x40);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x40);
	KUNIT_EXPECT_EQ(test, lm_lapic_isr_highest(v), 0x40);
	lm_test_apic_write(v, APIC_EOI, 0);
	KUNIT_EXPECT_EQ(test, lm_lapic_isr_highest(v), 0x31);
	lm_test_apic_write(v, APIC_EOI, 0);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x3f);
	KUNIT_EXPECT_EQ(test, lm_lapic_isr_highest(v), -1);
	lm_test_apic_write(v, APIC_EOI, 0);	/* spurious */
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), -1);
	KUNIT_EXPECT_FALSE(test, v->lapic->irr_pending);
}

/* All 240 vectors at once come back highest first. */
static void lm_lapic_test_all_vectors(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	int i;

	lm_test_apic_enable(t);
	for (i = 0; i < 256; i++)
		KUNIT_EXPECT_EQ(test, lm_lapic_post(v->lapic, i, false), i < 16 ? -1 : 1);
	for (i = 255; i >= 16; i--)
		KUNIT_EXPECT_EQ(test, lm_test_serve(v), i);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), -1);
}

static u32 lm_takers(struct lm_irq_vm *t)
{
	u32 mask = 0, i;

	for (i = 0; i < t->nr; i++)
		if (lm_test_serve(t->v[i]) >= 0)
			mask |= BIT(i);
	return mask;
}

static u32 lm_send(struct lm_irq_vm *t, u32 icr, u32 dest)
{
	lm_test_apic_write(t->v[1], APIC_ICR2, dest << 24);
	lm_test_apic_write(t->v[1], APIC_ICR, icr | 0x55);
	return lm_takers(t);
}

static void lm_lapic_test_destinations(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	unsigned int i;

	lm_test_apic_enable(t);
	KUNIT_EXPECT_EQ(test, lm_send(t, 0, 2), BIT(2));
	KUNIT_EXPECT_EQ(test, lm_send(t, 0, 9), 0u);
	KUNIT_EXPECT_EQ(test, lm_send(t, 0, 0xff), 0xfu);
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DEST_SELF, 0), BIT(1));
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DEST_ALLINC, 0), 0xfu);
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DEST_ALLBUT, 0), 0xdu);
	/* flat */
	for (i = 0; i < 4; i++)
		lm_test_apic_write(t->v[i], APIC_LDR, BIT(24 + i));
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DEST_LOGICAL, 0x0a), 0xau);
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DEST_LOGICAL, 0xf0), 0u);
	/* cluster: two of two */
	for (i = 0; i < 4; i++) {
		lm_test_apic_write(t->v[i], APIC_DFR, 0x0fffffff);
		lm_test_apic_write(t->v[i], APIC_LDR, (i / 2) << 28 | BIT(24 + i % 2));
	}
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DEST_LOGICAL, 0x03), 0x3u);
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DEST_LOGICAL, 0x12), 0x8u);
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DEST_LOGICAL, 0x2f), 0u);
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DEST_LOGICAL, 0xff), 0xfu);
}

static void lm_lapic_test_lowest(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	unsigned int i;
	u32 seen = 0;

	lm_test_apic_enable(t);
	for (i = 0; i < 4; i++) {
		lm_test_apic_write(t->v[i], APIC_LDR, BIT(24 + i));
		lm_test_apic_write(t->v[i], APIC_TASKPRI, i == 2 ? 0x10 : 0x20);
	}
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DEST_LOGICAL | APIC_DM_LOWEST, 0x0f), BIT(2));
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DEST_LOGICAL | APIC_DM_LOWEST, 0x0e), BIT(2));
	lm_test_apic_write(t->v[2], APIC_TASKPRI, 0x20);
	/* Equal ones take turns. */
	for (i = 0; i < 8; i++) {
		u32 one = lm_send(t, APIC_DEST_LOGICAL | APIC_DM_LOWEST, 0x0b);

		KUNIT_EXPECT_EQ(test, hweight32(one), 1u);
		seen |= one;
	}
	KUNIT_EXPECT_EQ(test, seen, 0xbu);
}

static void lm_lapic_test_init_sipi_nmi(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[2];
	u8 page = 0;

	KUNIT_EXPECT_FALSE(test, lm_lapic_init_sipi_pending(v));
	lm_send(t, APIC_DM_STARTUP, 2);
	KUNIT_EXPECT_FALSE(test, lm_lapic_init_sipi_pending(v));	/* it runs */
	v->mp_state = KVM_MP_STATE_INIT_RECEIVED;
	KUNIT_EXPECT_TRUE(test, lm_lapic_init_sipi_pending(v));
	/* An INIT makes an older start-up message void. */
	lm_send(t, APIC_DM_INIT | APIC_INT_LEVELTRIG | APIC_INT_ASSERT, 2);
	KUNIT_EXPECT_TRUE(test, test_bit(LM_REQ_LAPIC, &v->requests));
	KUNIT_EXPECT_FALSE(test, lm_lapic_take_sipi(v, &page));
	KUNIT_EXPECT_TRUE(test, lm_lapic_take_init(v));
	KUNIT_EXPECT_FALSE(test, lm_lapic_take_init(v));
	/* De-assert does nothing. */
	lm_send(t, APIC_DM_INIT | APIC_INT_LEVELTRIG, 2);
	KUNIT_EXPECT_FALSE(test, lm_lapic_init_sipi_pending(v));
	lm_send(t, APIC_DM_STARTUP, 2);
	KUNIT_EXPECT_TRUE(test, lm_lapic_take_sipi(v, &page));
	KUNIT_EXPECT_EQ(test, page, 0x55);
	KUNIT_EXPECT_FALSE(test, lm_lapic_take_sipi(v, &page));
	lm_send(t, APIC_DM_NMI, 3);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->v[3]->ev.nmi_pending), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->v[2]->ev.nmi_pending), 0);
	/* SMI and reserved modes go nowhere. */
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DM_SMI, 2), 0u);
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DM_REMRD, 2), 0u);
	KUNIT_EXPECT_EQ(test, lm_send(t, APIC_DM_EXTINT, 2), 0u);
}

static void lm_lapic_test_errors(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];

	lm_test_apic_enable(t);
	lm_test_apic_write(v, APIC_LVTERR, 0x77);
	lm_test_apic_write(v, APIC_ICR, APIC_DEST_SELF | 0x0f);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x77);
	lm_test_apic_write(v, APIC_ICR, APIC_DEST_SELF | 0x0e);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), -1);	/* noted already */
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_ESR), 0u);
	lm_test_apic_write(v, APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_ESR), (u32)APIC_ESR_SENDILL);
	lm_test_apic_write(v, APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_ESR), 0u);
	lm_test_apic_read(v, 0x2a0);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x77);
	lm_test_apic_write(v, APIC_ESR, 0);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_ESR), (u32)APIC_ESR_ILLREGA);
	/* An error vector that is itself illegal must not recurse. */
	lm_test_apic_write(v, APIC_LVTERR, 0x03);
	lm_test_apic_write(v, APIC_ICR, APIC_DEST_SELF | 0x02);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), -1);
}

static void lm_lapic_test_mmio(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[3];
	u64 val;

	lm_test_apic_enable(t);
	local_irq_disable();
	val = ~0ull;
	KUNIT_EXPECT_EQ(test, lm_mmio_dev(v, 0xfee00023, 1, false, &val), LM_DONE);
	KUNIT_EXPECT_EQ(test, val, 0xffffffffffffff03ull);
	KUNIT_EXPECT_EQ(test, lm_mmio_dev(v, 0xfee00032, 2, false, &val), LM_DONE);
	KUNIT_EXPECT_EQ(test, val & 0xffff, 5ull);
	KUNIT_EXPECT_EQ(test, lm_mmio_dev(v, 0xfee00028, 4, false, &val), LM_DONE);
	KUNIT_EXPECT_EQ(test, val & 0xffffffff, 0ull);
	KUNIT_EXPECT_EQ(test, lm_mmio_dev(v, 0xfee00ff0, 8, false, &val), LM_DONE);
	KUNIT_EXPECT_EQ(test, val, 0ull);
	/* Only aligned 32-bit writes count. */
	val = 0x50;
	lm_mmio_dev(v, 0xfee00080, 1, true, &val);
	lm_mmio_dev(v, 0xfee00080, 8, true, &val);
	lm_mmio_dev(v, 0xfee00084, 4, true, &val);
	KUNIT_EXPECT_EQ(test, lm_read_cr8(v), 0ull);
	lm_mmio_dev(v, 0xfee00080, 4, true, &val);
	KUNIT_EXPECT_EQ(test, lm_read_cr8(v), 5ull);
	KUNIT_EXPECT_EQ(test, lm_mmio_dev(v, 0xfee01000, 4, false, &val), LM_USER);
	/* Read-only id; moved page. */
	local_irq_enable();
	lm_test_apic_write(v, APIC_ID, 0x12000000);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_ID), 3u << 24);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, MSR_IA32_APICBASE, 0x80000000 | EN, false), 0);
	local_irq_disable();
	KUNIT_EXPECT_EQ(test, lm_mmio_dev(v, 0xfee00080, 4, false, &val), LM_USER);
	KUNIT_EXPECT_EQ(test, lm_mmio_dev(v, 0x80000080, 4, false, &val), LM_DONE);
	local_irq_enable();
	KUNIT_EXPECT_EQ(test, val & 0xff, 0x50ull);
}

static void lm_lapic_test_base(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[1];
	const u64 b = APIC_DEFAULT_PHYS_BASE;
	u64 val;

	v->x86.pa_reserved = GENMASK_ULL(63, 40);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, MSR_IA32_APICBASE, b | EN | 1, false), 1);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, MSR_IA32_APICBASE, b | EN | BIT_ULL(40), true), 1);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, MSR_IA32_APICBASE, b | X2, true), 1);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_read(v, 0x802, &val), 1);	/* xAPIC: no MSRs */
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, MSR_IA32_APICBASE, b | EN | X2, false), 0);
	KUNIT_EXPECT_TRUE(test, lm_lapic_x2apic(v));
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, MSR_IA32_APICBASE, b | EN, false), 1);
	local_irq_disable();
	KUNIT_EXPECT_EQ(test, lm_mmio_dev(v, b + 0x80, 4, false, &val), LM_USER);
	KUNIT_EXPECT_EQ(test, lm_mmio_dev(v, 0x80, 4, false, &val), LM_USER);
	local_irq_enable();
	lm_lapic_set_tpr(v, 5);
	KUNIT_EXPECT_EQ(test, v->x86.cr8, 5);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, MSR_IA32_APICBASE, b, false), 0);
	KUNIT_EXPECT_FALSE(test, lm_lapic_enabled(v));
	KUNIT_EXPECT_EQ(test, v->x86.cr8, 0);	/* the TPR is gone, CR8 with it */
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, MSR_IA32_APICBASE, b | EN | X2, false), 1);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, MSR_IA32_APICBASE, b | EN, false), 0);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_SPIV), 0xffu);
	/* User space may go anywhere at once. */
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, MSR_IA32_APICBASE, b | EN | X2, true), 0);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, MSR_IA32_APICBASE, b | EN, true), 0);
	v->x86.cpuid->entry[0].ecx = 0;
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, MSR_IA32_APICBASE, b | EN | X2, true), 1);
}

static void lm_lapic_test_x2apic(struct kunit *test)
{
	static const u16 no_read[] = { 0x800, 0x801, 0x809, 0x80b, 0x80c, 0x80e, 0x829, 0x82f,
				       0x831, 0x83a, 0x83f, 0x840, 0x8ff };
	static const u16 no_write[] = { 0x802, 0x803, 0x809, 0x80a, 0x80d, 0x80e, 0x810, 0x818,
					0x820, 0x82f, 0x831, 0x839, 0x840, 0x8ff };
	static const struct { u16 msr; u64 val; } bad[] = {
		{ 0x808, 0x100 }, { 0x80b, 1 }, { 0x80f, 0x1000 }, { 0x828, 1 },
		{ 0x830, 1 << 20 }, { 0x830, 1 << 13 }, { 0x832, 1 << 19 }, { 0x832, 1ull << 32 },
		{ 0x835, 1 << 11 }, { 0x837, 0x700 }, { 0x838, 1ull << 32 }, { 0x83e, 4 },
		{ 0x83f, 0x100 },
	};
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[2];
	unsigned int i;
	u64 val;

	lm_test_apic_enable(t);
	for (i = 0; i < 4; i++)
		KUNIT_ASSERT_EQ(test, lm_lapic_msr_write(t->v[i], MSR_IA32_APICBASE,
				APIC_DEFAULT_PHYS_BASE | EN | X2, false), 0);
	for (i = 0; i < ARRAY_SIZE(no_read); i++)
		KUNIT_EXPECT_EQ_MSG(test, lm_lapic_msr_read(v, no_read[i], &val), 1, "%x", no_read[i]);
	for (i = 0; i < ARRAY_SIZE(no_write); i++)
		KUNIT_EXPECT_EQ_MSG(test, lm_lapic_msr_write(v, no_write[i], 0, false), 1,
				    "%x", no_write[i]);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_EQ_MSG(test, lm_lapic_msr_write(v, bad[i].msr, bad[i].val, false), 1,
				    "%x", bad[i].msr);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_read(v, 0x802, &val), 0);
	KUNIT_EXPECT_EQ(test, val, 2ull);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_read(v, 0x80d, &val), 0);
	KUNIT_EXPECT_EQ(test, val, 4ull);
	/* physical, broadcast, logical cluster, self */
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, 0x830, 1ull << 32 | 0x61, false), 0);
	KUNIT_EXPECT_EQ(test, lm_test_ack(t->v[1]), 0x61);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(t->v[1], 0x80b, 0, false), 0);
	KUNIT_EXPECT_EQ(test, lm_lapic_isr_highest(t->v[1]), -1);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, 0x830, 0xffull << 32 | 0x62, false), 0);
	KUNIT_EXPECT_EQ(test, lm_test_ack(t->v[1]), -1);	/* an id like others here */
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, 0x830, 0x5ull << 32 | BIT(11) | 0x63, false), 0);
	KUNIT_EXPECT_EQ(test, lm_test_ack(t->v[0]), 0x63);
	KUNIT_EXPECT_EQ(test, lm_test_ack(t->v[1]), -1);
	KUNIT_EXPECT_EQ(test, lm_test_ack(t->v[2]), 0x63);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, 0x830, 0x1ffffull << 32 | BIT(11) | 0x64, false), 0);
	KUNIT_EXPECT_EQ(test, lm_test_ack(t->v[3]), -1);	/* next cluster */
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, 0x830, ~0ull << 32 | 0x75, false), 0);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, lm_test_ack(t->v[i]), 0x75);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(v, 0x83f, 0x86, false), 0);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x86);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_read(v, 0x830, &val), 0);
	KUNIT_EXPECT_EQ(test, val, ~0ull << 32 | 0x75);
}

static void lm_lapic_test_pv_ipi(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;

	lm_test_apic_enable(t);
	KUNIT_EXPECT_EQ(test, lm_lapic_pv_ipi(t->v[0], 0x6, 0, 1, 0x90, true), 2);
	KUNIT_EXPECT_EQ(test, lm_takers(t), 0xcu);
	/* Outside long mode the second word starts 32 above. */
	KUNIT_EXPECT_EQ(test, lm_lapic_pv_ipi(t->v[0], ~0ull << 32, 0, 0, 0x90, false), 0);
	KUNIT_EXPECT_EQ(test, lm_lapic_pv_ipi(t->v[0], ~0ull, ~0ull, 0, 0x90, true), 4);
	lm_takers(t);
	KUNIT_EXPECT_EQ(test, lm_lapic_pv_ipi(t->v[0], ~0ull, ~0ull, ~0u, 0x90, true), 0);
	KUNIT_EXPECT_LT(test, lm_lapic_pv_ipi(t->v[0], 1, 0, 0, APIC_DEST_LOGICAL | 0x90, true), 0);
	KUNIT_EXPECT_EQ(test, lm_lapic_pv_ipi(t->v[0], 2, 0, 0, APIC_DM_NMI, true), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->v[1]->ev.nmi_pending), 1);
}

static void lm_lapic_test_state(struct kunit *test)
{
	struct kvm_lapic_state *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[1];
	u32 *r;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, s);
	r = (u32 *)s->regs;
	lm_test_apic_enable(t);
	lm_lapic_post(v->lapic, 0x45, false);
	lm_lapic_post(v->lapic, 0x93, true);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x93);
	KUNIT_EXPECT_EQ(test, lm_lapic_get(v, s), 0);
	lm_lapic_reset(v, false);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), -1);
	KUNIT_EXPECT_EQ(test, lm_lapic_set(v, s), 0);
	KUNIT_EXPECT_EQ(test, lm_lapic_isr_highest(v), 0x93);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_TMR + 0x40), BIT(0x13));
	lm_test_apic_write(v, APIC_EOI, 0);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x45);
	/* Nonsense is cut down to what a guest could have made. */
	memset(s->regs, 0xff, sizeof(s->regs));
	KUNIT_EXPECT_EQ(test, lm_lapic_set(v, s), 0);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_ID), 1u << 24);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_LVR), 0x00050014u);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_ISR), 0xffff0000u);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_TASKPRI), 0xffu);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_TDCR), 0xbu);
	KUNIT_EXPECT_EQ(test, lm_lapic_isr_highest(v), 255);
	memset(s->regs, 0, sizeof(s->regs));
	KUNIT_EXPECT_EQ(test, lm_lapic_set(v, s), 0);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), -1);
	/* In x2APIC mode the id must be the vCPU's. */
	lm_lapic_msr_write(v, MSR_IA32_APICBASE, APIC_DEFAULT_PHYS_BASE | EN | X2, true);
	KUNIT_EXPECT_EQ(test, lm_lapic_get(v, s), 0);
	KUNIT_EXPECT_EQ(test, r[APIC_ID / 4], 1u << 24);
	KUNIT_EXPECT_EQ(test, lm_lapic_set(v, s), 0);
	r[APIC_ID / 4] = 7 << 24;
	KUNIT_EXPECT_EQ(test, lm_lapic_set(v, s), -EINVAL);
}

/* ---- timer ---- */

/* Serves that many, however long it takes (nearly): for lower bounds. */
static unsigned int lm_await(struct lm_vcpu *v, unsigned int want, int vector)
{
	ktime_t end = ktime_add_ms(ktime_get(), 5000);
	unsigned int n = 0;

	while (n < want && ktime_before(ktime_get(), end)) {
		n += lm_test_serve(v) == vector;
		cond_resched();
	}
	return n;
}

/* Interrupts taken in that time.  A busy host may be late: for upper bounds alone. */
static unsigned int lm_count_for(struct lm_vcpu *v, unsigned int ms, int vector, struct kunit *test)
{
	ktime_t end = ktime_add_ms(ktime_get(), ms);
	unsigned int n = 0;
	int got;

	do {
		got = lm_test_serve(v);
		if (got >= 0) {
			KUNIT_EXPECT_EQ(test, got, vector);
			n++;
		}
		cond_resched();
	} while (ktime_before(ktime_get(), end));
	return n;
}

static void lm_lapic_test_timer(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	ktime_t start;
	u32 a, b;

	lm_test_apic_enable(t);
	lm_test_apic_write(v, APIC_TDCR, 0xb);		/* by 1 */
	lm_test_apic_write(v, APIC_LVTT, 0xe1);
	lm_test_apic_write(v, APIC_TMICT, 2000000);	/* 2 ms */
	a = lm_test_apic_read(v, APIC_TMCCT);
	b = lm_test_apic_read(v, APIC_TMCCT);
	KUNIT_EXPECT_LE(test, a, 2000000u);
	KUNIT_EXPECT_LE(test, b, a);
	KUNIT_EXPECT_EQ(test, lm_await(v, 1, 0xe1), 1u);
	KUNIT_EXPECT_EQ(test, lm_count_for(v, 10, 0xe1, test), 0u);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_TMCCT), 0u);
	/* masked: counts, but does not interrupt */
	lm_test_apic_write(v, APIC_LVTT, APIC_LVT_MASKED | 0xe1);
	lm_test_apic_write(v, APIC_TMICT, 1000000000);
	KUNIT_EXPECT_NE(test, lm_test_apic_read(v, APIC_TMCCT), 0u);
	lm_test_apic_write(v, APIC_TMICT, 1000000);
	KUNIT_EXPECT_EQ(test, lm_count_for(v, 5, 0xe1, test), 0u);
	/* stopped by 0 */
	lm_test_apic_write(v, APIC_LVTT, 0xe1);
	lm_test_apic_write(v, APIC_TMICT, 50000000);
	lm_test_apic_write(v, APIC_TMICT, 0);
	KUNIT_EXPECT_EQ(test, lm_count_for(v, 60, 0xe1, test), 0u);
	/* periodic, 2 ms at divider 2; then masked and open again */
	lm_test_apic_write(v, APIC_TDCR, 0);
	lm_test_apic_write(v, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | 0xe2);
	start = ktime_get();
	lm_test_apic_write(v, APIC_TMICT, 1000000);
	KUNIT_EXPECT_EQ(test, lm_await(v, 20, 0xe2), 20u);
	KUNIT_EXPECT_GE(test, ktime_ms_delta(ktime_get(), start), 38);
	lm_test_apic_write(v, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | APIC_LVT_MASKED | 0xe2);
	lm_test_serve(v);
	KUNIT_EXPECT_EQ(test, lm_count_for(v, 10, 0xe2, test), 0u);
	KUNIT_EXPECT_NE(test, lm_test_apic_read(v, APIC_TMCCT), 0u);
	lm_test_apic_write(v, APIC_LVTT, APIC_LVT_TIMER_PERIODIC | 0xe2);
	KUNIT_EXPECT_EQ(test, lm_await(v, 3, 0xe2), 3u);
	/* a period of one count does not storm the host */
	lm_test_apic_write(v, APIC_TMICT, 1);
	KUNIT_EXPECT_GE(test, v->lapic->timer.period, (u64)LM_TIMER_MIN_NS);
	lm_test_apic_write(v, APIC_SPIV, 0xff);
	lm_test_serve(v);
	KUNIT_EXPECT_EQ(test, lm_count_for(v, 5, 0xe2, test), 0u);
}

static void lm_lapic_test_deadline(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	u64 val;

	lm_test_apic_enable(t);
	lm_lapic_msr_write(v, MSR_IA32_TSC_DEADLINE, 1, false);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_read(v, MSR_IA32_TSC_DEADLINE, &val), 0);
	KUNIT_EXPECT_EQ(test, val, 0ull);		/* not in that mode */
	lm_test_apic_write(v, APIC_LVTT, APIC_LVT_TIMER_TSCDEADLINE | 0xe3);
	lm_test_apic_write(v, APIC_TMICT, 12345);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_TMICT), 0u);
	lm_lapic_msr_write(v, MSR_IA32_TSC_DEADLINE, 1, false);	/* long past */
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0xe3);
	lm_lapic_msr_write(v, MSR_IA32_TSC_DEADLINE, lm_tsc_read(v) + tsc_khz * 100ull, false);
	lm_lapic_msr_read(v, MSR_IA32_TSC_DEADLINE, &val);
	KUNIT_EXPECT_NE(test, val, 0ull);
	KUNIT_EXPECT_EQ(test, lm_await(v, 1, 0xe3), 1u);
	KUNIT_EXPECT_EQ(test, lm_count_for(v, 5, 0xe3, test), 0u);
	lm_lapic_msr_read(v, MSR_IA32_TSC_DEADLINE, &val);
	KUNIT_EXPECT_EQ(test, val, 0ull);
	/* far away, then disarmed, then out of the mode */
	lm_lapic_msr_write(v, MSR_IA32_TSC_DEADLINE, ~0ull, false);
	KUNIT_EXPECT_EQ(test, lm_count_for(v, 3, 0xe3, test), 0u);
	lm_lapic_msr_write(v, MSR_IA32_TSC_DEADLINE, lm_tsc_read(v) + tsc_khz * 50ull, false);
	lm_lapic_msr_write(v, MSR_IA32_TSC_DEADLINE, 0, false);
	KUNIT_EXPECT_EQ(test, lm_count_for(v, 60, 0xe3, test), 0u);
	lm_lapic_msr_write(v, MSR_IA32_TSC_DEADLINE, lm_tsc_read(v) + tsc_khz * 50ull, false);
	lm_test_apic_write(v, APIC_LVTT, 0xe3);
	KUNIT_EXPECT_EQ(test, lm_count_for(v, 60, 0xe3, test), 0u);
}

/* ---- senders on other CPUs ---- */

struct lm_poster {
	struct lm_lapic *l;
	unsigned long new;
	bool done;
};

static int lm_poster(void *arg)
{
	struct lm_poster *p = arg;
	int i;

	for (i = 0; i < 200000; i++) {
		if (lm_lapic_post(p->l, 0x20 + i % 0xd0, false) > 0)
			p->new++;
		if (!(i & 0xff))
			cond_resched();
	}
	smp_store_release(&p->done, true);	/* after the counts */
	return 0;
}

/* What was set must be seen: irr_pending never says "empty" for good when it is not. */
static void lm_lapic_test_no_lost_irq(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_poster p = { .l = t->v[0]->lapic };
	unsigned long taken = 0;
	struct task_struct *task;

	lm_test_apic_enable(t);
	task = kthread_run(lm_poster, &p, "lm-poster");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	while (!smp_load_acquire(&p.done)) {	/* pairs with lm_poster() */
		while (lm_irq_pending(t->v[0]) >= 0)
			taken += lm_test_serve(t->v[0]) >= 0;
		cond_resched();
	}
	while (lm_irq_pending(t->v[0]) >= 0)
		taken += lm_test_serve(t->v[0]) >= 0;
	KUNIT_EXPECT_EQ(test, taken, p.new);
}

static struct kunit_case lm_lapic_cases[] = {
	KUNIT_CASE(lm_lapic_test_reset),
	KUNIT_CASE(lm_lapic_test_disabled),
	KUNIT_CASE(lm_lapic_test_priority),
	KUNIT_CASE(lm_lapic_test_all_vectors),
	KUNIT_CASE(lm_lapic_test_destinations),
	KUNIT_CASE(lm_lapic_test_lowest),
	KUNIT_CASE(lm_lapic_test_init_sipi_nmi),
	KUNIT_CASE(lm_lapic_test_errors),
	KUNIT_CASE(lm_lapic_test_mmio),
	KUNIT_CASE(lm_lapic_test_base),
	KUNIT_CASE(lm_lapic_test_x2apic),
	KUNIT_CASE(lm_lapic_test_pv_ipi),
	KUNIT_CASE(lm_lapic_test_state),
	KUNIT_CASE(lm_lapic_test_timer),
	KUNIT_CASE(lm_lapic_test_deadline),
	KUNIT_CASE(lm_lapic_test_no_lost_irq),
	{}
};

static struct kunit_suite lm_lapic_suite = {
	.name = "lamina-lapic",
	.init = lm_lapic_init4,
	.exit = lm_test_irq_vm_exit,
	.test_cases = lm_lapic_cases,
};
kunit_test_suite(lm_lapic_suite);
