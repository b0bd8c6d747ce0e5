// SPDX-License-Identifier: GPL-2.0-only
/* Tests of the IOAPIC: redirection, edge and level, EOI, saved state. */
#include "irq_vm.h"

#define RTE(pin)	(0x10 + 2 * (pin))

static int lm_ioapic_init2(struct kunit *test)
{
	lm_test_apic_enable(lm_test_irq_vm(test, 2));
	return 0;
}

static void lm_ioapic_test_registers(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	u64 val = 0;

	KUNIT_EXPECT_EQ(test, lm_test_ioapic_read(v, 1), 0x00170011u);
	lm_test_ioapic_write(v, 0, 0xff000000);
	KUNIT_EXPECT_EQ(test, lm_test_ioapic_read(v, 0), 0x0f000000u);
	KUNIT_EXPECT_EQ(test, lm_test_ioapic_read(v, RTE(5)), 0x10000u);
	/* Read-only bits and bits that do not exist stay 0. */
	lm_test_ioapic_write(v, RTE(5), ~0u);
	lm_test_ioapic_write(v, RTE(5) + 1, ~0u);
	KUNIT_EXPECT_EQ(test, lm_test_ioapic_read(v, RTE(5)), 0x1afffu);
	KUNIT_EXPECT_EQ(test, lm_test_ioapic_read(v, RTE(5) + 1), 0xff000000u);
	KUNIT_EXPECT_EQ(test, lm_test_ioapic_read(v, RTE(24)), 0u);
	lm_test_ioapic_write(v, RTE(24), 0x12345);
	lm_test_ioapic_write(v, 0xff, 0x12345);
	KUNIT_EXPECT_EQ(test, lm_test_ioapic_read(v, 0xff), 0u);
	local_irq_disable();
	KUNIT_EXPECT_EQ(test, lm_mmio_dev(v, LM_IOAPIC_BASE + 0x20, 4, false, &val), LM_DONE);
	KUNIT_EXPECT_EQ(test, lm_mmio_dev(v, LM_IOAPIC_BASE + 0x100, 4, false, &val), LM_USER);
	local_irq_enable();
}

static void lm_ioapic_test_edge(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];

	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 20, 1, 0), -1);	/* masked */
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 20, 0, 0), 1);
	lm_test_ioapic_write(v, RTE(20), 0x51);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), -1);	/* an edge while masked is lost */
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 20, 1, 0), 1);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 20, 1, 0), 0);	/* no edge */
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x51);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), -1);
	lm_irq_line(t->vm, 20, 0, 0);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 20, 1, 0), 1);
	lm_irq_line(t->vm, 20, 0, 0);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 20, 1, 0), 0);	/* merged in IRR */
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x51);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), -1);
}

static void lm_ioapic_test_level(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[1];

	lm_test_ioapic_write(v, RTE(17) + 1, 1 << 24);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 17, 1, 0), -1);
	lm_test_ioapic_write(v, RTE(17), 0x8000 | 0x62);	/* opened while high */
	KUNIT_EXPECT_EQ(test, lm_test_ioapic_read(v, RTE(17)), 0xc062u);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 17, 1, 1), 0);	/* in service */
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x62);
	/* Still high: again after the EOI. */
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x62);
	lm_irq_line(t->vm, 17, 0, 0);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x62);
	lm_irq_line(t->vm, 17, 0, 1);	/* the second source lets go too */
	lm_test_apic_write(v, APIC_EOI, 0);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), -1);
	KUNIT_EXPECT_EQ(test, lm_test_ioapic_read(v, RTE(17)), 0x8062u);
	/* Guests without an EOI register make it edge for a moment. */
	lm_irq_line(t->vm, 17, 1, 0);
	KUNIT_EXPECT_EQ(test, lm_test_ioapic_read(v, RTE(17)), 0xc062u);
	lm_irq_line(t->vm, 17, 0, 0);
	lm_test_ioapic_write(v, RTE(17), 0x10062);
	lm_test_ioapic_write(v, RTE(17), 0x8062);
	KUNIT_EXPECT_EQ(test, lm_test_ioapic_read(v, RTE(17)), 0x8062u);
	/* The same vector by edge later does not broadcast its EOI. */
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x62);
	lm_lapic_post(v->lapic, 0x62, false);
	KUNIT_EXPECT_EQ(test, lm_test_apic_read(v, APIC_TMR + 0x30), 0u);
}

static void lm_ioapic_test_destination(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	unsigned int i;

	lm_test_ioapic_write(t->v[0], RTE(22), 0x71);
	lm_test_ioapic_write(t->v[0], RTE(22) + 1, 0xff000000);
	lm_irq_line(t->vm, 22, 1, 0);
	lm_irq_line(t->vm, 22, 0, 0);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, lm_test_serve(t->v[i]), 0x71);
	for (i = 0; i < 2; i++)
		lm_test_apic_write(t->v[i], APIC_LDR, BIT(24 + i));
	lm_test_ioapic_write(t->v[0], RTE(22) + 1, 0x02000000);
	lm_test_ioapic_write(t->v[0], RTE(22), 0x800 | 0x100 | 0x72);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 22, 1, 0), 1);
	KUNIT_EXPECT_EQ(test, lm_test_serve(t->v[0]), -1);
	KUNIT_EXPECT_EQ(test, lm_test_serve(t->v[1]), 0x72);
	lm_irq_line(t->vm, 22, 0, 0);
	/* nobody there */
	lm_test_ioapic_write(t->v[0], RTE(22) + 1, 0x30000000);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 22, 1, 0), -1);
	/* NMI by pin */
	lm_irq_line(t->vm, 22, 0, 0);
	lm_test_ioapic_write(t->v[0], RTE(22) + 1, 0x01000000);
	lm_test_ioapic_write(t->v[0], RTE(22), 0x400);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 22, 1, 0), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->v[1]->ev.nmi_pending), 1);
}

static void lm_ioapic_test_state(struct kunit *test)
{
	struct kvm_irqchip *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, c);
	lm_test_ioapic_write(v, RTE(3), 0x53);
	lm_test_ioapic_write(v, RTE(9), 0x8000 | 0x59);
	lm_irq_line(t->vm, 3, 1, 0);
	lm_irq_line(t->vm, 9, 1, 0);
	lm_irq_line(t->vm, 12, 1, 0);	/* masked edge, waits */
	c->chip_id = KVM_IRQCHIP_IOAPIC;
	KUNIT_EXPECT_EQ(test, lm_irqchip_get(t->vm, c), 0);
	KUNIT_EXPECT_EQ(test, c->chip.ioapic.irr, (u32)(BIT(9) | BIT(12)));
	KUNIT_EXPECT_EQ(test, c->chip.ioapic.redirtbl[9].bits, 0xc059ull);
	KUNIT_EXPECT_EQ(test, c->chip.ioapic.base_address, LM_IOAPIC_BASE);
	lm_irq_line(t->vm, 9, 0, 0);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x59);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x53);
	KUNIT_EXPECT_EQ(test, lm_irqchip_set(t->vm, c), 0);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), -1);	/* nothing twice */
	memset(&c->chip, 0xff, sizeof(c->chip));
	c->chip.ioapic.irr = 0;
	c->chip.ioapic.base_address = LM_IOAPIC_BASE;
	KUNIT_EXPECT_EQ(test, lm_irqchip_set(t->vm, c), 0);
	KUNIT_EXPECT_EQ(test, lm_irqchip_get(t->vm, c), 0);
	KUNIT_EXPECT_EQ(test, c->chip.ioapic.ioregsel, 0xffu);
	KUNIT_EXPECT_EQ(test, c->chip.ioapic.id, 0xfu);
	for (i = 0; i < LM_IOAPIC_PINS; i++)
		KUNIT_EXPECT_EQ(test, c->chip.ioapic.redirtbl[i].bits & ~LM_RTE_ALL, 0ull);
	c->chip_id = 3;
	KUNIT_EXPECT_EQ(test, lm_irqchip_get(t->vm, c), -EINVAL);
	KUNIT_EXPECT_EQ(test, lm_irqchip_set(t->vm, c), -EINVAL);
}

static struct kunit_case lm_ioapic_cases[] = {
	KUNIT_CASE(lm_ioapic_test_registers),
	KUNIT_CASE(lm_ioapic_test_edge),
	KUNIT_CASE(lm_ioapic_test_level),
	KUNIT_CASE(lm_ioapic_test_destination),
	KUNIT_CASE(lm_ioapic_test_state),
	{}
};

static struct kunit_suite lm_ioapic_suite = {
	.name = "lamina-ioapic",
	.init = lm_ioapic_init2,
	.exit = lm_test_irq_vm_exit,
	.test_cases = lm_ioapic_cases,
};
kunit_test_suite(lm_ioapic_suite);
