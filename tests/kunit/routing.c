// SPDX-License-Identifier: GPL-2.0-only
/* Tests of GSI routing and of MSIs. */
#include "irq_vm.h"

static int lm_routing_init2(struct kunit *test)
{
	lm_test_apic_enable(lm_test_irq_vm(test, 2));
	return 0;
}

static struct kvm_irq_routing_entry lm_pin(u32 gsi, u32 chip, u32 pin)
{
	return (struct kvm_irq_routing_entry) {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

static struct kvm_irq_routing_entry lm_msi(u32 gsi, u32 lo, u32 data)
{
	return (struct kvm_irq_routing_entry) {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = lo, .data = data },
	};
}

static int lm_set(struct lm_irq_vm *t, u32 nr, const struct kvm_irq_routing_entry *e)
{
	struct kvm_irq_routing hdr = { .nr = nr };

	return lm_irq_set_routing(t->vm, &hdr, e);
}

static void lm_routing_test_default(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	unsigned int pin;

	lm_test_out(v, 0x21, 0xff);
	for (pin = 0; pin < 24; pin++)
		lm_test_ioapic_write(v, 0x10 + 2 * pin, 0x40 + pin);
	for (pin = 3; pin < 24; pin++) {
		KUNIT_EXPECT_GE(test, lm_irq_line(t->vm, pin, 1, 0), 1);
		KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x40 + pin);
	}
	/* the timer is on pins 0 and 2 */
	KUNIT_EXPECT_GE(test, lm_irq_line(t->vm, 0, 1, 0), 2);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x42);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x40);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 24, 1, 0), -1);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, ~0u, 1, 0), -1);
	/* a source out of range is one of the others: the line stays up */
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 23, 0, -1), 0);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 23, 0, 0), 1);
}

static void lm_routing_test_set(struct kunit *test)
{
	struct kvm_irq_routing_entry e[4];
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];

	lm_test_ioapic_write(v, 0x10 + 2 * 5, 0x55);
	e[0] = lm_msi(4095, 0xfee01000, 0x91);
	e[1] = lm_pin(7, KVM_IRQCHIP_IOAPIC, 5);
	e[2] = lm_pin(7, KVM_IRQCHIP_PIC_SLAVE, 1);
	e[3] = lm_msi(0, 0xfee00000, 0x92);
	KUNIT_ASSERT_EQ(test, lm_set(t, 4, e), 0);
	KUNIT_EXPECT_GE(test, lm_irq_line(t->vm, 7, 1, 0), 1);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x55);
	KUNIT_EXPECT_EQ(test, t->vm->irq.pic->chip[1].irr, 2);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 4095, 1, 0), 1);
	KUNIT_EXPECT_EQ(test, lm_test_serve(t->v[1]), 0x91);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 4095, 0, 0), -1);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 0, 1, 0), 1);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x92);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 5, 1, 0), -1);	/* the default is gone */
	KUNIT_EXPECT_EQ(test, lm_set(t, 0, NULL), 0);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 7, 1, 0), -1);
}

static void lm_routing_test_bad(struct kunit *test)
{
	struct kvm_irq_routing hdr = { .nr = 1 };
	struct kvm_irq_routing_entry e[2];
	struct lm_irq_vm *t = test->priv;

	e[0] = lm_pin(3, KVM_IRQCHIP_IOAPIC, 24);
	KUNIT_EXPECT_EQ(test, lm_set(t, 1, e), -EINVAL);
	e[0] = lm_pin(3, KVM_IRQCHIP_PIC_MASTER, 8);
	KUNIT_EXPECT_EQ(test, lm_set(t, 1, e), -EINVAL);
	e[0] = lm_pin(3, 3, 0);
	KUNIT_EXPECT_EQ(test, lm_set(t, 1, e), -EINVAL);
	e[0] = lm_pin(4096, KVM_IRQCHIP_IOAPIC, 1);
	KUNIT_EXPECT_EQ(test, lm_set(t, 1, e), -EINVAL);
	e[0] = lm_pin(~0u, KVM_IRQCHIP_IOAPIC, 1);
	KUNIT_EXPECT_EQ(test, lm_set(t, 1, e), -EINVAL);
	e[0] = lm_pin(3, KVM_IRQCHIP_IOAPIC, 1);
	e[0].flags = 1;
	KUNIT_EXPECT_EQ(test, lm_set(t, 1, e), -EINVAL);
	e[0] = lm_msi(3, 0, 0);
	e[0].flags = 2;
	KUNIT_EXPECT_EQ(test, lm_set(t, 1, e), -EINVAL);
	e[0].flags = 0;
	e[0].type = 4;
	KUNIT_EXPECT_EQ(test, lm_set(t, 1, e), -EINVAL);
	/* twice the same chip, or an MSI besides anything */
	e[0] = lm_pin(3, KVM_IRQCHIP_IOAPIC, 1);
	e[1] = lm_pin(3, KVM_IRQCHIP_IOAPIC, 2);
	KUNIT_EXPECT_EQ(test, lm_set(t, 2, e), -EINVAL);
	e[1] = lm_msi(3, 0xfee00000, 0x40);
	KUNIT_EXPECT_EQ(test, lm_set(t, 2, e), -EINVAL);
	hdr.flags = 1;
	KUNIT_EXPECT_EQ(test, lm_irq_set_routing(t->vm, &hdr, e), -EINVAL);
	hdr = (struct kvm_irq_routing) { .nr = 4097 };
	KUNIT_EXPECT_EQ(test, lm_irq_set_routing(t->vm, &hdr, e), -EINVAL);
	/* and the old table is still there */
	lm_test_ioapic_write(t->v[0], 0x10 + 2 * 20, 0x60);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 20, 1, 0), 1);
}

static void lm_routing_test_msi(struct kunit *test)
{
	struct kvm_msi m = { .address_lo = 0xfee01000, .data = 0x41 };
	struct lm_irq_vm *t = test->priv;

	KUNIT_EXPECT_EQ(test, lm_irq_signal_msi(t->vm, &m), 1);
	KUNIT_EXPECT_EQ(test, lm_irq_signal_msi(t->vm, &m), 0);	/* merged */
	KUNIT_EXPECT_EQ(test, lm_test_serve(t->v[1]), 0x41);
	m.address_lo = 0xfeeff000;
	KUNIT_EXPECT_EQ(test, lm_irq_signal_msi(t->vm, &m), 2);
	KUNIT_EXPECT_EQ(test, lm_test_serve(t->v[0]), 0x41);
	KUNIT_EXPECT_EQ(test, lm_test_serve(t->v[1]), 0x41);
	/* the hint picks one of several */
	m.address_lo = 0xfeeff000 | BIT(3);
	KUNIT_EXPECT_EQ(test, lm_irq_signal_msi(t->vm, &m), 1);
	KUNIT_EXPECT_EQ(test, (lm_test_serve(t->v[0]) == 0x41) + (lm_test_serve(t->v[1]) == 0x41), 1);
	m.address_lo = 0xfee22000;
	KUNIT_EXPECT_EQ(test, lm_irq_signal_msi(t->vm, &m), 0);	/* nobody */
	m.flags = 1;
	KUNIT_EXPECT_EQ(test, lm_irq_signal_msi(t->vm, &m), -EINVAL);
	/* The high half is ignored, unless 32-bit ids were asked for. */
	m = (struct kvm_msi) { .address_lo = 0xfee01000, .address_hi = 0x142, .data = 0x42 };
	KUNIT_EXPECT_EQ(test, lm_irq_signal_msi(t->vm, &m), 1);
	t->vm->irq.x2apic_format = true;
	KUNIT_EXPECT_EQ(test, lm_irq_signal_msi(t->vm, &m), -EINVAL);
	m.address_hi = 0x100;
	KUNIT_EXPECT_EQ(test, lm_irq_signal_msi(t->vm, &m), 0);	/* id 257 */
	m.address_hi = 0xffffff00;
	m.address_lo = 0xfeeff000;
	KUNIT_EXPECT_GE(test, lm_irq_signal_msi(t->vm, &m), 1);
}

static struct kunit_case lm_routing_cases[] = {
	KUNIT_CASE(lm_routing_test_default),
	KUNIT_CASE(lm_routing_test_set),
	KUNIT_CASE(lm_routing_test_bad),
	KUNIT_CASE(lm_routing_test_msi),
	{}
};

static struct kunit_suite lm_routing_suite = {
	.name = "lamina-routing",
	.init = lm_routing_init2,
	.exit = lm_test_irq_vm_exit,
	.test_cases = lm_routing_cases,
};
kunit_test_suite(lm_routing_suite);
