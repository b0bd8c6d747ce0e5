// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interrupt controllers of a VM as a whole: creation and end, the bus that finds
 * the device behind a port or an address, and the state that user space saves.
 */
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "chips.h"

/**
 * lm_irq_init() - a VM without chips
 * @vm: zeroed
 *
 * Return: 0 or -ENOMEM.
 */
int lm_irq_init(struct lm_vm *vm)
{
	struct lm_irq *irq = &vm->irq;

	INIT_LIST_HEAD(&irq->irqfds);
	INIT_LIST_HEAD(&irq->resamplers);
	spin_lock_init(&irq->irqfds_lock);
	mutex_init(&irq->lock);
	return lm_coalesced_init(irq);
}

/**
 * lm_irq_release() - the VM's file is closed
 * @vm: the VM, whose vCPUs may still run
 *
 * Sleeps.  No eventfd signals it any more, and it signals none.  May be called
 * twice.
 */
void lm_irq_release(struct lm_vm *vm)
{
	lm_irqfd_release(vm);
	lm_ioeventfd_release(vm);
}

/**
 * lm_irq_destroy() - free the chips
 * @vm: no vCPU runs; vm->vcpu[] is still there
 *
 * Sleeps.
 */
void lm_irq_destroy(struct lm_vm *vm)
{
	struct lm_irq *irq = &vm->irq;

	lm_irq_release(vm);
	lm_pit_free(irq->pit);
	lm_routing_free(vm);
	lm_coalesced_free(irq);
	kfree(irq->ioapic);
	kfree(irq->pic);
	irq->pit = NULL;
	irq->ioapic = NULL;
	irq->pic = NULL;
}

/**
 * lm_irq_create_chips() - KVM_CREATE_IRQCHIP
 * @vm: the VM, its lock held; it has no vCPUs yet (the caller's check)
 *
 * Return: 0, -EEXIST, -ENOMEM.
 */
int lm_irq_create_chips(struct lm_vm *vm)
{
	struct lm_irq *irq = &vm->irq;

	if (irq->in_kernel)
		return -EEXIST;
	irq->ioapic = lm_ioapic_create(vm);
	irq->pic = lm_pic_create(vm);
	if (!irq->ioapic || !irq->pic || lm_routing_default(vm)) {
		kfree(irq->ioapic);
		kfree(irq->pic);
		irq->ioapic = NULL;
		irq->pic = NULL;
		return -ENOMEM;
	}
	smp_store_release(&irq->in_kernel, true);	/* the chips before the flag */
	return 0;
}

/**
 * lm_irq_split() - KVM_CAP_SPLIT_IRQCHIP: LAPICs here, PIC and IOAPIC in user space
 * @vm: the VM
 * @pins: of the IOAPIC: that many GSIs from 0 on are its; with any, EOIs of level
 *	interrupts go to user space
 *
 * All routes are MSIs, and there are none at first.
 *
 * Return: 0; -EEXIST: there is an irqchip, or a vCPU; -EINVAL.
 */
int lm_irq_split(struct lm_vm *vm, u32 pins)
{
	struct lm_irq *irq = &vm->irq;
	int r = -EEXIST;

	if (pins > LM_MAX_ROUTES)
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (!irq->in_kernel && !vm->nr_vcpus) {
		irq->user_ioapic = pins;
		smp_store_release(&irq->in_kernel, true);	/* that before the flag */
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

/**
 * lm_irq_create_pit() - KVM_CREATE_PIT2
 * @vm: the VM, its lock held
 * @cfg: as copied in
 *
 * Return: 0, -EEXIST, -ENOENT (no chips), -EINVAL (flags), -ENOMEM.
 */
int lm_irq_create_pit(struct lm_vm *vm, const struct kvm_pit_config *cfg)
{
	struct lm_pit *pit;

	if (vm->irq.pit)
		return -EEXIST;
	if (!vm->irq.pic)
		return -ENOENT;
	if (cfg->flags & ~KVM_PIT_SPEAKER_DUMMY)
		return -EINVAL;
	pit = lm_pit_create(vm, cfg->flags & KVM_PIT_SPEAKER_DUMMY);
	if (!pit)
		return -ENOMEM;
	smp_store_release(&vm->irq.pit, pit);	/* complete before it is seen */
	return 0;
}

/* ---- bus ---- */

#define LM_NO_DEVICE	(-1)
#define LM_PIO_LAST	0x4d1	/* no chip of ours is further up */

/* One byte to or from one of our ports: what was read (0 for writes), or LM_NO_DEVICE. */
static __always_inline int lm_pio_byte(struct lm_irq *irq, u16 port, bool write, u8 val)
{
	struct lm_pit *pit;

	switch (port) {
	case 0x20:
	case 0x21:
	case 0xa0:
	case 0xa1:
	case 0x4d0:
	case 0x4d1:
		if (!write)
			return lm_pic_read(irq->pic, port);
		lm_pic_write(irq->pic, port, val);
		return 0;
	case 0x61:
	case 0x40 ... 0x43:
		pit = lm_irq_pit(irq);
		if (!pit || (port == 0x61 && !pit->speaker))
			return LM_NO_DEVICE;
		if (!write)
			return lm_pit_read(pit, port);
		lm_pit_write(pit, port, val);
		return 0;
	}
	return LM_NO_DEVICE;
}

/* These devices are eight bits wide: the bus splits what is wider. */
static noinline int lm_pio_out_wide(struct lm_irq *irq, u16 port, unsigned int bytes, u32 val)
{
	unsigned int i;

	for (i = 0; i < bytes; i++)
		if (lm_pio_byte(irq, port + i, true, val >> (8 * i)) == LM_NO_DEVICE && i == 0)
			return LM_USER;
	return LM_DONE;
}

static int lm_pio_in_wide(struct lm_irq *irq, u16 port, unsigned int bytes, u32 *val)
{
	unsigned int i;
	u32 in = 0;
	int byte;

	for (i = 0; i < bytes; i++) {
		byte = lm_pio_byte(irq, port + i, false, 0);
		if (byte == LM_NO_DEVICE && i == 0)
			return LM_USER;
		in |= (u32)(u8)byte << (8 * i);
	}
	*val = in;
	return LM_DONE;
}

/* A write that nobody here took. */
static __always_inline int lm_coalesce(struct lm_vcpu *vcpu, u64 addr, unsigned int bytes, u64 val,
				       bool pio)
{
	const struct lm_zones *zones = rcu_dereference_sched(vcpu->vm->irq.zones);

	return likely(!zones) ? LM_USER : lm_coalesced_write(vcpu, zones, addr, bytes, val, pio);
}

/**
 * lm_pio_out() - a guest's write to a port
 * @vcpu: the vCPU, in its section
 * @port: the port
 * @bytes: 1, 2 or 4
 * @val: the value; what is above @bytes does not count
 *
 * Return: LM_DONE, or LM_USER if no device of ours is there and the write may not wait.
 */
int lm_pio_out(struct lm_vcpu *vcpu, u16 port, unsigned int bytes, u32 val)
{
	struct lm_irq *irq = &vcpu->vm->irq;
	/* The section has interrupts off: that is its RCU read side. */
	const struct lm_bus *bus = rcu_dereference_sched(irq->pio_bus);

	if (bus && lm_bus_write(vcpu, bus, port, bytes, val & (U32_MAX >> (32 - 8 * bytes))))
		return LM_DONE;
	if (port > LM_PIO_LAST || !lm_irq_has_chips(irq))
		return lm_coalesce(vcpu, port, bytes, val, true);
	if (unlikely(bytes != 1)) {
		if (lm_pio_out_wide(irq, port, bytes, val) == LM_DONE)
			return LM_DONE;
	} else if (lm_pio_byte(irq, port, true, val) != LM_NO_DEVICE) {
		return LM_DONE;
	}
	return lm_coalesce(vcpu, port, bytes, val, true);
}

/**
 * lm_pio_in() - a guest's read of a port
 * @vcpu: the vCPU, in its section
 * @port: the port
 * @bytes: 1, 2 or 4
 * @val: the result
 *
 * Return: LM_DONE, or LM_USER if no device of ours is there.
 */
int lm_pio_in(struct lm_vcpu *vcpu, u16 port, unsigned int bytes, u32 *val)
{
	struct lm_irq *irq = &vcpu->vm->irq;

	if (port > LM_PIO_LAST || !lm_irq_has_chips(irq))
		return LM_USER;
	return lm_pio_in_wide(irq, port, bytes, val);
}

/**
 * lm_mmio_dev() - a guest's access to an address without memory
 * @vcpu: the vCPU, in its section
 * @gpa: the address
 * @bytes: 1, 2, 4 or 8
 * @write: direction
 * @val: value, little-endian
 *
 * Return: LM_DONE, or LM_USER if no device of ours is there and it may not wait.
 */
int lm_mmio_dev(struct lm_vcpu *vcpu, u64 gpa, unsigned int bytes, bool write, void *val)
{
	struct lm_irq *irq = &vcpu->vm->irq;
	struct lm_lapic *l = vcpu->lapic;
	const struct lm_bus *bus;
	u64 off;

	if (likely(l)) {
		if (gpa - l->mmio < PAGE_SIZE) {
			lm_lapic_mmio(l, gpa & ~PAGE_MASK, bytes, write, val);
			return LM_DONE;
		}
	}
	if (likely(l && irq->ioapic)) {
		off = gpa - READ_ONCE(irq->ioapic->base);
		if (off < LM_IOAPIC_SIZE) {
			lm_ioapic_mmio(irq->ioapic, off, bytes, write, val);
			return LM_DONE;
		}
	}
	if (!write)
		return LM_USER;
	bus = rcu_dereference_sched(irq->mmio_bus);
	if (bus && lm_bus_write(vcpu, bus, gpa, bytes, lm_load(val, bytes)))
		return LM_DONE;
	return lm_coalesce(vcpu, gpa, bytes, lm_load(val, bytes), false);
}

/**
 * lm_mmio_any_doorbell() - whom does any write to this address signal?
 * @vcpu: the vCPU, in its section
 * @gpa: the address
 *
 * Return: the event, if all that lm_mmio_dev() would do for a write of whatever width and
 * value is to signal it; else NULL.
 */
struct eventfd_ctx *lm_mmio_any_doorbell(struct lm_vcpu *vcpu, u64 gpa)
{
	struct lm_irq *irq = &vcpu->vm->irq;
	const struct lm_bus *bus = rcu_dereference_sched(irq->mmio_bus);
	struct lm_lapic *l = vcpu->lapic;

	if (l && gpa - l->mmio < PAGE_SIZE)
		return NULL;
	if (l && irq->ioapic && gpa - READ_ONCE(irq->ioapic->base) < LM_IOAPIC_SIZE)
		return NULL;
	return bus ? lm_bus_any(bus, gpa) : NULL;
}

/* ---- state ---- */

/**
 * lm_irqchip_get() - KVM_GET_IRQCHIP
 * @vm: the VM
 * @chip: chip_id in, state out
 *
 * Return: 0, -ENXIO without chips, -EINVAL for an unknown one.
 */
int lm_irqchip_get(struct lm_vm *vm, struct kvm_irqchip *chip)
{
	struct lm_irq *irq = &vm->irq;

	if (!lm_irq_has_chips(irq))
		return -ENXIO;
	memset(&chip->chip, 0, sizeof(chip->chip));
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
		lm_pic_get(irq->pic, 0, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_PIC_SLAVE:
		lm_pic_get(irq->pic, 1, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		lm_ioapic_get(irq->ioapic, &chip->chip.ioapic);
		return 0;
	default:
		return -EINVAL;
	}
}

/**
 * lm_irqchip_set() - KVM_SET_IRQCHIP
 * @vm: the VM
 * @chip: chip_id and state; fields out of range are cut to it
 *
 * Return: 0, -ENXIO without chips, -EINVAL for an unknown one.
 */
int lm_irqchip_set(struct lm_vm *vm, const struct kvm_irqchip *chip)
{
	struct lm_irq *irq = &vm->irq;

	if (!lm_irq_has_chips(irq))
		return -ENXIO;
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
		lm_pic_set(irq->pic, 0, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_PIC_SLAVE:
		lm_pic_set(irq->pic, 1, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		lm_ioapic_set(irq->ioapic, &chip->chip.ioapic);
		return 0;
	default:
		return -EINVAL;
	}
}

/**
 * lm_pit_get() - KVM_GET_PIT2
 * @vm: the VM
 * @ps: where to
 *
 * Return: 0, or -ENXIO without a PIT.
 */
int lm_pit_get(struct lm_vm *vm, struct kvm_pit_state2 *ps)
{
	struct lm_pit *pit = lm_irq_pit(&vm->irq);

	if (!pit)
		return -ENXIO;
	lm_pit_state_get(pit, ps);
	return 0;
}

/**
 * lm_pit_set() - KVM_SET_PIT2
 * @vm: the VM
 * @ps: the state
 *
 * Return: 0, -ENXIO without a PIT, -EINVAL for values that no PIT has.
 */
int lm_pit_set(struct lm_vm *vm, const struct kvm_pit_state2 *ps)
{
	struct lm_pit *pit = lm_irq_pit(&vm->irq);

	return pit ? lm_pit_state_set(pit, ps) : -ENXIO;
}

/**
 * lm_pit_reinject() - KVM_REINJECT_CONTROL
 * @vm: the VM
 * @c: keep ticks that come while the last one is not acknowledged, or not
 *
 * Return: 0, or -ENXIO without a PIT.
 */
int lm_pit_reinject(struct lm_vm *vm, const struct kvm_reinject_control *c)
{
	struct lm_pit *pit = lm_irq_pit(&vm->irq);

	if (!pit)
		return -ENXIO;
	WRITE_ONCE(pit->reinject, !!c->pit_reinject);
	lm_pit_unmasked(pit);
	return 0;
}
