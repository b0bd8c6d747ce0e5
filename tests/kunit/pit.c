// SPDX-License-Identifier: GPL-2.0-only
/* Tests of the 8254: counting, latches, gates, and channel 0's interrupt. */
#include <linux/delay.h>

#include "irq_vm.h"

#define PIN2	(0x10 + 2 * 2)

static int lm_pit_init1(struct kunit *test)
{
	struct kvm_pit_config cfg = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct lm_irq_vm *t = lm_test_irq_vm(test, 1);

	lm_test_apic_enable(t);
	KUNIT_ASSERT_EQ(test, lm_irq_create_pit(t->vm, &cfg), 0);
	KUNIT_ASSERT_EQ(test, lm_irq_create_pit(t->vm, &cfg), -EEXIST);
	return 0;
}

static u16 lm_pit_read16(struct lm_vcpu *v, u16 port)
{
	u8 lo = lm_test_in(v, port);

	return lo | lm_test_in(v, port) << 8;
}

static void lm_pit_load16(struct lm_vcpu *v, u16 port, u16 count)
{
	lm_test_out(v, port, count);
	lm_test_out(v, port, count >> 8);
}

static void lm_pit_test_count(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	s64 from, start, end, to;
	u16 a, b;

	/* channel 2, mode 0: counts down at 1.193 MHz */
	lm_test_out(v, 0x61, 0x01);
	lm_test_out(v, 0x43, 0xb0);
	lm_pit_load16(v, 0x42, 0xffff);
	from = ktime_get();
	lm_test_out(v, 0x43, 0x80);
	a = lm_pit_read16(v, 0x42);
	start = ktime_get();
	udelay(300);
	end = ktime_get();
	lm_test_out(v, 0x43, 0x80);
	b = lm_pit_read16(v, 0x42);
	to = ktime_get();
	KUNIT_EXPECT_GE(test, (u16)(a - b) + 1ull, (end - start) * 1193ull / 1000000);
	if (to - from < 40 * NSEC_PER_MSEC)
		KUNIT_EXPECT_LE(test, (u16)(a - b) * 1ull, (to - from) * 1194ull / 1000000 + 2);
	/* 10 ms, then OUT goes up and stays */
	lm_pit_load16(v, 0x42, 11932);
	from = ktime_get();
	a = lm_test_in(v, 0x61);
	if (ktime_get() - from < 9 * NSEC_PER_MSEC)
		KUNIT_EXPECT_EQ(test, a & 0x21, 0x01);
	while (ktime_get() - from < 11 * NSEC_PER_MSEC)
		cpu_relax();
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x61) & 0x21, 0x21);
}

static void lm_pit_test_latch(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	u16 a, b, c;
	int try;
	s64 from;

	lm_test_out(v, 0x61, 0x01);
	/* Once without a long pause, within which the count might wrap. */
	for (try = 0; try < 20; try++) {
		lm_test_out(v, 0x43, 0xb0);
		from = ktime_get();
		lm_pit_load16(v, 0x42, 0xffff);
		lm_test_out(v, 0x43, 0x80);
		lm_test_out(v, 0x43, 0xe8);	/* status, which is read first */
		lm_test_in(v, 0x42);
		udelay(200);
		lm_test_out(v, 0x43, 0x80);	/* ignored: one is latched */
		a = lm_pit_read16(v, 0x42);
		lm_test_out(v, 0x43, 0x80);	/* unlatched bytes are of two moments */
		b = lm_pit_read16(v, 0x42);
		lm_test_out(v, 0x43, 0x80);
		c = lm_pit_read16(v, 0x42);
		if (ktime_get() - from < 40 * NSEC_PER_MSEC)
			break;
	}
	KUNIT_EXPECT_GE(test, a - b, 100);
	KUNIT_EXPECT_LE(test, c, b);
}

static void lm_pit_test_readback(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	u8 status;

	lm_test_out(v, 0x61, 0x01);
	lm_test_out(v, 0x43, 0xb1);		/* word, mode 0, BCD */
	lm_pit_load16(v, 0x42, 0xffff);
	lm_test_out(v, 0x43, 0xe8);		/* status of channel 2 */
	status = lm_test_in(v, 0x42);
	KUNIT_EXPECT_EQ(test, status, 0x31);
	/* status and count at once: status first */
	lm_test_out(v, 0x43, 0xc8);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x42), 0x31);
	KUNIT_EXPECT_GT(test, lm_pit_read16(v, 0x42), 0x8000);
	/* modes 6 and 7 are 2 and 3; low byte alone */
	lm_test_out(v, 0x43, 0x9e);
	lm_test_out(v, 0x42, 0x80);
	lm_test_out(v, 0x43, 0xe8);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x42) & 0x7f, 0x16);
	KUNIT_EXPECT_LE(test, lm_test_in(v, 0x42), 0x80);
}

static void lm_pit_test_gate(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	u16 a, b;

	lm_test_out(v, 0x61, 0x00);
	lm_test_out(v, 0x43, 0xb0);
	lm_pit_load16(v, 0x42, 0xf000);
	a = lm_pit_read16(v, 0x42);
	udelay(300);
	KUNIT_EXPECT_EQ(test, lm_pit_read16(v, 0x42), a);	/* held */
	lm_test_out(v, 0x61, 0x03);
	KUNIT_EXPECT_EQ(test, lm_test_in(v, 0x61) & 0x23, 0x03);
	udelay(300);
	b = lm_pit_read16(v, 0x42);
	KUNIT_EXPECT_LT(test, b, a);
	lm_test_out(v, 0x61, 0x00);
	a = lm_pit_read16(v, 0x42);
	udelay(300);
	KUNIT_EXPECT_EQ(test, lm_pit_read16(v, 0x42), a);
	/* the refresh bit toggles */
	a = 0;
	for (b = 0; b < 1000 && a != 3; b++) {
		a |= lm_test_in(v, 0x61) & 0x10 ? 1 : 2;
		udelay(1);
	}
	KUNIT_EXPECT_EQ(test, a, 3);
}

/* Ticks served within that time.  A busy host may be late: for upper bounds alone. */
static unsigned int lm_pit_ticks(struct lm_vcpu *v, unsigned int ms)
{
	ktime_t end = ktime_add_ms(ktime_get(), ms);
	unsigned int n = 0;

	do {
		n += lm_test_serve(v) == 0x70;
		cond_resched();
	} while (ktime_before(ktime_get(), end));
	return n;
}

/* Serves that many, however long it takes (nearly): for lower bounds. */
static unsigned int lm_pit_await(struct lm_vcpu *v, unsigned int want)
{
	ktime_t end = ktime_add_ms(ktime_get(), 5000);
	unsigned int n = 0;

	while (n < want && ktime_before(ktime_get(), end)) {
		n += lm_test_serve(v) == 0x70;
		cond_resched();
	}
	return n;
}

/* Serves nothing until that many wait. */
static void lm_pit_pile_up(struct lm_irq_vm *t, unsigned int want)
{
	ktime_t end = ktime_add_ms(ktime_get(), 5000);

	while (READ_ONCE(t->vm->irq.pit->pending) < want && ktime_before(ktime_get(), end))
		cond_resched();
}

static void lm_pit_test_irq(struct kunit *test)
{
	struct kvm_reinject_control keep = { .pit_reinject = 1 }, drop = {};
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	unsigned int n;
	ktime_t start;

	lm_test_out(v, 0x21, 0xff);
	lm_test_ioapic_write(v, PIN2, 0x70);
	/* one shot, 1 ms */
	lm_test_out(v, 0x43, 0x30);
	lm_pit_load16(v, 0x40, 1193);
	KUNIT_EXPECT_EQ(test, lm_pit_await(v, 1), 1u);
	KUNIT_EXPECT_EQ(test, lm_pit_ticks(v, 10), 0u);
	/* 500 Hz */
	lm_test_out(v, 0x43, 0x34);
	start = ktime_get();
	lm_pit_load16(v, 0x40, 2386);
	KUNIT_EXPECT_EQ(test, lm_pit_await(v, 20), 20u);
	KUNIT_EXPECT_GE(test, ktime_ms_delta(ktime_get(), start), 39);
	/* A guest that was away gets at once what it missed; or just one. */
	lm_pit_pile_up(t, 30);
	for (n = 0; n < 1000 && lm_test_serve(v) == 0x70; n++)
		;
	KUNIT_EXPECT_GE(test, n, 30u);
	KUNIT_EXPECT_LT(test, n, 1000u);
	KUNIT_EXPECT_EQ(test, lm_pit_reinject(t->vm, &drop), 0);
	mdelay(50);
	start = ktime_get();
	for (n = 0; n < 1000 && lm_test_serve(v) == 0x70; n++)
		;
	KUNIT_EXPECT_LE(test, n, 2u + (u32)ktime_ms_delta(ktime_get(), start) / 2);
	KUNIT_EXPECT_EQ(test, lm_pit_reinject(t->vm, &keep), 0);
	/* What happens while the pin is masked is gone. */
	lm_pit_pile_up(t, 10);
	lm_test_ioapic_write(v, PIN2, 0x10070);
	lm_test_ioapic_write(v, PIN2, 0x70);
	KUNIT_EXPECT_LE(test, t->vm->irq.pit->pending, 5u);
	KUNIT_EXPECT_EQ(test, lm_pit_await(v, 5), 5u);
	/* A control word stops it; the smallest period is bounded. */
	lm_test_out(v, 0x43, 0x34);
	while (lm_test_serve(v) == 0x70)
		;
	KUNIT_EXPECT_EQ(test, lm_pit_ticks(v, 20), 0u);
	lm_pit_load16(v, 0x40, 1);
	KUNIT_EXPECT_GE(test, t->vm->irq.pit->period, (u64)LM_TIMER_MIN_NS);
}

/* The same through the PIC, whose EOI is the acknowledge. */
static void lm_pit_test_pic(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	unsigned int n;

	lm_test_apic_write(v, APIC_LVT0, APIC_DM_EXTINT);
	lm_test_out(v, 0x20, 0x11);
	lm_test_out(v, 0x21, 0x70);
	lm_test_out(v, 0x21, 0x04);
	lm_test_out(v, 0x21, 0x01);
	lm_test_out(v, 0x43, 0x34);
	lm_pit_load16(v, 0x40, 1193);
	lm_pit_pile_up(t, 30);
	for (n = 0; n < 1000 && lm_test_ack(v) == 0x70; n++)
		lm_test_out(v, 0x20, 0x20);
	KUNIT_EXPECT_GE(test, n, 30u);
	KUNIT_EXPECT_LT(test, n, 1000u);
}

static void lm_pit_test_state(struct kunit *test)
{
	struct kvm_pit_state2 ps, bad;
	struct lm_irq_vm *t = test->priv;
	struct lm_vcpu *v = t->v[0];
	unsigned int i;

	lm_test_ioapic_write(v, PIN2, 0x70);
	lm_test_out(v, 0x21, 0xff);
	lm_test_out(v, 0x43, 0x34);
	lm_pit_load16(v, 0x40, 1193);
	KUNIT_EXPECT_EQ(test, lm_pit_get(t->vm, &ps), 0);
	KUNIT_EXPECT_EQ(test, ps.channels[0].mode, 2);
	KUNIT_EXPECT_EQ(test, ps.channels[0].count, 1193u);
	lm_test_out(v, 0x43, 0x34);
	lm_test_serve(v);
	KUNIT_EXPECT_EQ(test, lm_pit_set(t->vm, &ps), 0);
	KUNIT_EXPECT_EQ(test, lm_pit_await(v, 5), 5u);
	ps.flags = KVM_PIT_FLAGS_HPET_LEGACY;
	KUNIT_EXPECT_EQ(test, lm_pit_set(t->vm, &ps), 0);
	lm_test_serve(v);
	lm_test_serve(v);
	KUNIT_EXPECT_EQ(test, lm_pit_ticks(v, 10), 0u);
	for (i = 0; i < 5; i++) {
		bad = ps;
		switch (i) {
		case 0:
			bad.flags = 4;
			break;
		case 1:
			bad.channels[2].count = 0x10001;
			break;
		case 2:
			bad.channels[1].mode = 6;
			break;
		case 3:
			bad.channels[0].rw_mode = 4;
			break;
		case 4:
			bad.channels[0].write_state = 5;
			break;
		}
		KUNIT_EXPECT_EQ(test, lm_pit_set(t->vm, &bad), -EINVAL);
	}
	/* A count of 0 is 65536. */
	ps.channels[2].count = 0;
	KUNIT_EXPECT_EQ(test, lm_pit_set(t->vm, &ps), 0);
	KUNIT_EXPECT_EQ(test, lm_pit_get(t->vm, &ps), 0);
	KUNIT_EXPECT_EQ(test, ps.channels[2].count, 0x10000u);
}

static struct kunit_case lm_pit_cases[] = {
	KUNIT_CASE(lm_pit_test_count),
	KUNIT_CASE(lm_pit_test_latch),
	KUNIT_CASE(lm_pit_test_readback),
	KUNIT_CASE(lm_pit_test_gate),
	KUNIT_CASE(lm_pit_test_irq),
	KUNIT_CASE(lm_pit_test_pic),
	KUNIT_CASE(lm_pit_test_state),
	{}
};

static struct kunit_suite lm_pit_suite = {
	.name = "lamina-pit",
	.init = lm_pit_init1,
	.exit = lm_test_irq_vm_exit,
	.test_cases = lm_pit_cases,
};
kunit_test_suite(lm_pit_suite);
