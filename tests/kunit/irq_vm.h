/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM with interrupt controllers and vCPUs that nobody runs: what the tests of
 * kmod/irq/ work on.
 */
#ifndef LM_TEST_IRQ_VM_H
#define LM_TEST_IRQ_VM_H

#include <kunit/test.h>
#include <linux/math64.h>
#include <linux/slab.h>
#include <asm/tsc.h>

#include "../../kmod/irq/chips.h"

struct lm_irq_vm {
	struct lm_vm *vm;
	struct lm_vcpu *v[4];
	unsigned int nr;
};

/* CPUID with nothing but leaf 1: x2APIC and the deadline timer. */
static inline void lm_test_cpuid(struct kunit *test, struct lm_vcpu *v)
{
	struct lm_cpuid *c = kunit_kzalloc(test, struct_size(c, entry, 1), GFP_KERNEL);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, c);
	c->nr = 1;
	c->entry[0].function = 1;
	c->entry[0].ecx = BIT(21) | BIT(24);
	v->x86.cpuid = c;
	v->x86.index_basic[1] = 1;
	/* ns = cycles * 10^6 / kHz, as pvclock_scale_delta() takes it */
	v->x86.tsc_khz = tsc_khz;
	v->x86.tsc_shift = 1;
	v->x86.tsc_mul = div_u64(1000000ull << 31, tsc_khz);
}

static inline struct lm_irq_vm *lm_test_irq_vm(struct kunit *test, unsigned int nr)
{
	struct lm_irq_vm *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	struct lm_vcpu *v;
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, t);
	t->vm = kunit_kzalloc(test, sizeof(*t->vm), GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, t->vm);
	test->priv = t;
	KUNIT_ASSERT_EQ(test, lm_irq_init(t->vm), 0);
	KUNIT_ASSERT_EQ(test, lm_irq_create_chips(t->vm), 0);
	for (i = 0; i < nr; i++) {
		v = kunit_kzalloc(test, sizeof(*v), GFP_KERNEL);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, v);
		v->vm = t->vm;
		v->id = i;
		v->index = i;
		v->cpu = -1;
		v->ev.user_irq = -1;
		rcuwait_init(&v->wait);
		lm_test_cpuid(test, v);
		KUNIT_ASSERT_EQ(test, lm_lapic_create(v), 0);
		t->v[i] = v;
		t->vm->vcpu[i] = v;
		smp_store_release(&t->vm->nr_vcpus, i + 1);	/* as the core publishes it */
		t->nr = i + 1;
	}
	return t;
}

/* For kunit_suite.exit: also after a failed assertion. */
static inline void lm_test_irq_vm_exit(struct kunit *test)
{
	struct lm_irq_vm *t = test->priv;
	unsigned int i;

	if (!t || !t->vm)
		return;
	lm_irq_destroy(t->vm);
	for (i = 0; i < t->nr; i++)
		lm_lapic_free(t->v[i]);
}

/* ---- a guest's accesses, as from its section ---- */

static inline void lm_test_apic_write(struct lm_vcpu *v, unsigned int off, u32 val)
{
	local_irq_disable();
	lm_mmio_dev(v, APIC_DEFAULT_PHYS_BASE + off, 4, true, &val);
	local_irq_enable();
}

static inline u32 lm_test_apic_read(struct lm_vcpu *v, unsigned int off)
{
	u32 val = 0xdeadbeef;

	local_irq_disable();
	lm_mmio_dev(v, APIC_DEFAULT_PHYS_BASE + off, 4, false, &val);
	local_irq_enable();
	return val;
}

/* Software enable, as every kernel does first. */
static inline void lm_test_apic_enable(struct lm_irq_vm *t)
{
	unsigned int i;

	for (i = 0; i < t->nr; i++) {
		lm_test_apic_write(t->v[i], APIC_SPIV, APIC_SPIV_APIC_ENABLED | 0xff);
		lm_test_apic_write(t->v[i], APIC_LVT0, APIC_LVT_MASKED);
	}
}

static inline void lm_test_out(struct lm_vcpu *v, u16 port, u8 byte)
{
	local_irq_disable();
	lm_pio_out(v, port, 1, byte);
	local_irq_enable();
}

static inline u8 lm_test_in(struct lm_vcpu *v, u16 port)
{
	u32 val = 0;

	local_irq_disable();
	lm_pio_in(v, port, 1, &val);
	local_irq_enable();
	return val;
}

static inline void lm_test_ioapic_write(struct lm_vcpu *v, u8 reg, u32 val)
{
	u32 sel = reg;

	local_irq_disable();
	lm_mmio_dev(v, LM_IOAPIC_BASE, 4, true, &sel);
	lm_mmio_dev(v, LM_IOAPIC_BASE + 0x10, 4, true, &val);
	local_irq_enable();
}

static inline u32 lm_test_ioapic_read(struct lm_vcpu *v, u8 reg)
{
	u32 sel = reg, val = 0xdeadbeef;

	local_irq_disable();
	lm_mmio_dev(v, LM_IOAPIC_BASE, 4, true, &sel);
	lm_mmio_dev(v, LM_IOAPIC_BASE + 0x10, 4, false, &val);
	local_irq_enable();
	return val;
}

static inline int lm_test_ack(struct lm_vcpu *v)
{
	int vector;

	local_irq_disable();
	vector = lm_irq_ack(v);
	local_irq_enable();
	return vector;
}

/* Acknowledge and end it. */
static inline int lm_test_serve(struct lm_vcpu *v)
{
	int vector = lm_test_ack(v);

	if (vector >= 0)
		lm_test_apic_write(v, APIC_EOI, 0);
	return vector;
}

#endif
