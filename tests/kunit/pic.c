// SPDX-License-Identifier: GPL-2.0-only
/* Tests of the 8259A pair and its way to the processors. */
#include "irq_vm.h"

static void lm_pic_program(struct lm_vcpu *v, u8 icw4)
{
	lm_test_out(v, 0x20, 0x11);
	lm_test_out(v, 0x21, 0x30);
	lm_test_out(v, 0x21, 0x04);
	lm_test_out(v, 0x21, icw4);
	lm_test_out(v, 0xa0, 0x11);
	lm_test_out(v, 0xa1, 0x38);
	lm_test_out(v, 0xa1, 0x02);
	lm_test_out(v, 0xa1, icw4 & ~0x10);
}

static int lm_pic_init2(struct kunit *test)
{
	lm_pic_program(lm_test_irq_vm(test, 2)->v[0], 1);
	return 0;
}

static void lm_pulse(struct lm_irq_vm *t, u32 gsi)
{
	lm_irq_line(t->vm, gsi, 1, 0);
	lm_irq_line(t->vm, gsi, 0, 0);
}

static void lm_pic_test_basic(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];

	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), -1);
	clear_bit(LM_REQ_EVENT, &v->requests);
	lm_pulse(t, 4);
	KUNIT_EXPECT_TRUE(test, test_bit(LM_REQ_EVENT, &v->requests));
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), 256);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(t->v[1]), -1);	/* LINT0 of the other is masked */
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x20), 0x10);	/* IRR */
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x34);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), -1);
	lm_test_out(v, 0x20, 0x0b);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x20), 0x10);	/* ISR */
	lm_pulse(t, 6);		/* lower priority: waits */
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), -1);
	lm_pulse(t, 1);		/* higher: nests */
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x31);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x20), 0x12);
	lm_test_out(v, 0x20, 0x20);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x20), 0x10);
	lm_test_out(v, 0x20, 0x64);	/* specific, 4 */
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x36);
	lm_test_out(v, 0x20, 0x20);
	/* masked */
	lm_test_out(v, 0x21, 0x08);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x21), 0x08);
	KUNIT_EXPECT_EQ(test, lm_irq_line(t->vm, 3, 1, 0), -1);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), -1);
	lm_test_out(v, 0x21, 0);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x33);
}

static void lm_pic_test_cascade(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];

	lm_pulse(t, 10);
	lm_pulse(t, 12);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x3a);
	lm_test_out(v, 0x20, 0x0b);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x20), 0x04);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), -1);
	lm_test_out(v, 0xa0, 0x20);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), -1);	/* the master still serves input 2 */
	lm_test_out(v, 0x20, 0x20);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x3c);
	lm_test_out(v, 0xa0, 0x20);
	lm_test_out(v, 0x20, 0x20);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), -1);
	/* A request that the slave takes back leaves nothing behind. */
	lm_test_out(v, 0x4d1, 0xff);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x4d1), 0xde);
	lm_irq_line(t->vm, 11, 1, 0);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), 256);
	lm_irq_line(t->vm, 11, 0, 0);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), -1);
}

static void lm_pic_test_level(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];

	lm_test_out(v, 0x4d0, 0xff);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x4d0), 0xf8);
	lm_irq_line(t->vm, 5, 1, 0);
	lm_irq_line(t->vm, 5, 1, 1);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x35);
	lm_test_out(v, 0x20, 0x20);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x35);	/* still high */
	lm_irq_line(t->vm, 5, 0, 0);
	lm_test_out(v, 0x20, 0x20);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x35);	/* by the other source */
	lm_irq_line(t->vm, 5, 0, 1);
	lm_test_out(v, 0x20, 0x20);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), -1);
}

static void lm_pic_test_modes(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];

	/* poll */
	lm_pulse(t, 7);
	lm_test_out(v, 0x20, 0x0c);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x20), 0x87);
	lm_test_out(v, 0x20, 0x20);
	lm_test_out(v, 0x20, 0x0c);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x20), 0);
	/* rotation: 3 becomes the lowest, so 4 beats 1 */
	lm_test_out(v, 0x20, 0xc3);
	lm_pulse(t, 1);
	lm_pulse(t, 4);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x34);
	lm_test_out(v, 0x20, 0xa0);	/* ends 4 and makes it the lowest */
	lm_pulse(t, 4);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x31);
	lm_test_out(v, 0x20, 0x20);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x34);
	lm_test_out(v, 0x20, 0x20);
	lm_test_out(v, 0x20, 0xc7);
	/* special mask mode: the masked one in service does not hold others back */
	lm_pulse(t, 3);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x33);
	lm_test_out(v, 0x21, 0x08);
	lm_test_out(v, 0x20, 0x68);
	lm_pulse(t, 6);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x36);
	lm_test_out(v, 0x20, 0x20);	/* ends 6, cannot reach 3 */
	lm_test_out(v, 0x20, 0x0b);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x20), 0x08);
	/* automatic end */
	lm_pic_program(v, 3);
	lm_pulse(t, 6);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x36);
	lm_test_out(v, 0x20, 0x0b);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x20), 0);
	/* special fully nested: a better input of the slave gets through */
	lm_pic_program(v, 0x11);
	lm_pulse(t, 12);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x3c);
	lm_pulse(t, 9);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x39);
}

static void lm_pic_test_lint0(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];

	/* Fixed mode: the rising edge of INTR is a vector of the LAPIC's own. */
	lm_test_apic_enable(t);
	lm_test_apic_write(v, APIC_LVT0, 0x44);
	lm_pulse(t, 4);
	KUNIT_EXPECT_EQ(test, lm_test_serve(v), 0x44);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), -1);
	/* Masked: nothing. */
	lm_test_apic_write(v, APIC_LVT0, APIC_LVT_MASKED | APIC_DM_EXTINT);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), -1);
	lm_test_apic_write(v, APIC_LVT0, APIC_DM_EXTINT);
	KUNIT_EXPECT_EQ(test, lm_irq_pending(v), 256);
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x34);
	/* No APIC at all: straight to the processor. */
	lm_test_out(v, 0x20, 0x20);
	lm_pulse(t, 3);
	lm_test_ack(v);
	lm_test_out(v, 0x20, 0x20);
	KUNIT_EXPECT_EQ(test, lm_lapic_msr_write(t->v[1], 0x1b, 0xfee00000, false), 0);
	lm_test_apic_write(v, APIC_LVT0, APIC_LVT_MASKED);
	lm_pulse(t, 3);
	KUNIT_EXPECT_TRUE(test, test_bit(LM_REQ_EVENT, &t->v[1]->requests));
	KUNIT_EXPECT_EQ(test, lm_test_ack(t->v[1]), 0x33);
}

static void lm_pic_test_state(struct kunit *test)
{
	struct kvm_irqchip *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	u32 val;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, c);
	lm_pulse(t, 4);
	c->chip_id = KVM_IRQCHIP_PIC_MASTER;
	KUNIT_EXPECT_EQ(test, lm_irqchip_get(t->vm, c), 0);
	KUNIT_EXPECT_EQ(test, c->chip.pic.irr, 0x10);
	KUNIT_EXPECT_EQ(test, c->chip.pic.irq_base, 0x30);
	lm_test_ack(v);
	clear_bit(LM_REQ_EVENT, &v->requests);
	KUNIT_EXPECT_EQ(test, lm_irqchip_set(t->vm, c), 0);
	KUNIT_EXPECT_TRUE(test, test_bit(LM_REQ_EVENT, &v->requests));
	KUNIT_EXPECT_EQ(test, lm_test_ack(v), 0x34);
	memset(&c->chip, 0xff, sizeof(c->chip));
	for (c->chip_id = 0; c->chip_id < 2; c->chip_id++)
		KUNIT_EXPECT_EQ(test, lm_irqchip_set(t->vm, c), 0);
	c->chip_id = KVM_IRQCHIP_PIC_SLAVE;
	KUNIT_EXPECT_EQ(test, lm_irqchip_get(t->vm, c), 0);
	KUNIT_EXPECT_EQ(test, c->chip.pic.priority_add, 7);
	KUNIT_EXPECT_EQ(test, c->chip.pic.irq_base, 0xf8);
	KUNIT_EXPECT_EQ(test, c->chip.pic.init_state, 3);
	KUNIT_EXPECT_EQ(test, c->chip.pic.elcr, 0xde);
	KUNIT_EXPECT_LT(test, lm_test_ack(v), 256);
	/* A wide access is two of a byte. */
	lm_pic_program(v, 1);
	val = 0xa5f8;
	local_irq_disable();
	KUNIT_EXPECT_EQ(test, lm_pio_out(v, 0x4d0, 2, val), LM_DONE);
	val = ~0u;
	KUNIT_EXPECT_EQ(test, lm_pio_in(v, 0x4d0, 2, &val), LM_DONE);
	local_irq_enable();
	KUNIT_EXPECT_EQ(test, val, 0x84f8u);
}

static struct kunit_case lm_pic_cases[] = {
	KUNIT_CASE(lm_pic_test_basic),
	KUNIT_CASE(lm_pic_test_cascade),
	KUNIT_CASE(lm_pic_test_level),
	KUNIT_CASE(lm_pic_test_modes),
	KUNIT_CASE(lm_pic_test_lint0),
	KUNIT_CASE(lm_pic_test_state),
	{}
};

static struct kunit_suite lm_pic_suite = {
	.name = "lamina-pic",
	.init = lm_pic_init2,
	.exit = lm_test_irq_vm_exit,
	.test_cases = lm_pic_cases,
};
kunit_test_suite(lm_pic_suite);
