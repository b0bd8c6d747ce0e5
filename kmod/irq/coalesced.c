// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes that wait: a guest's write to a zone that user space has registered goes into a
 * ring that it shares with us, and the guest goes on.  User space takes what is there when
 * it looks next, at the latest before it answers an exit.  When the ring is full, the write
 * exits like any other.
 *
 * User space can write the whole page, so each index is read once and checked, and what
 * is in the entries is never read back.
 */
#include <linux/gfp.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "chips.h"

#define LM_MAX_ZONES	1000	/* as many as KVM's buses have devices */

/* Replaced as a whole; who looks is in a section. */
struct lm_zones {
	struct rcu_head rcu;
	u32 nr;
	struct kvm_coalesced_mmio_zone zone[];
};

static bool lm_zone_covers(const struct kvm_coalesced_mmio_zone *z, u64 addr, u32 bytes, bool pio)
{
	return z->pio == pio && addr - z->addr <= z->size && bytes <= z->size - (addr - z->addr);
}

static bool lm_coalesced_put(struct kvm_coalesced_mmio_ring *ring, u64 addr, unsigned int bytes,
			     u64 val, bool pio)
{
	u32 first = READ_ONCE(ring->first), last = READ_ONCE(ring->last), next;
	struct kvm_coalesced_mmio *e;

	if (last >= KVM_COALESCED_MMIO_MAX)
		return false;
	next = last + 1 == KVM_COALESCED_MMIO_MAX ? 0 : last + 1;
	if (next == first)
		return false;
	e = &ring->coalesced_mmio[array_index_nospec(last, KVM_COALESCED_MMIO_MAX)];
	e->phys_addr = addr;
	e->len = bytes;
	e->pio = pio;
	memcpy(e->data, &val, sizeof(val));
	smp_store_release(&ring->last, next);	/* user space sees the entry with the index */
	return true;
}

/**
 * lm_coalesced_write() - a guest's write that no device in the module took
 * @vcpu: who writes, in its section
 * @zones: of its VM
 * @addr: port or guest physical address
 * @bytes: 1, 2, 4 or 8
 * @val: value; what is above @bytes does not count
 * @pio: a port
 *
 * Return: LM_DONE: it waits in the ring; LM_USER: it is for user space now.
 */
int lm_coalesced_write(struct lm_vcpu *vcpu, const struct lm_zones *zones, u64 addr,
		       unsigned int bytes, u64 val, bool pio)
{
	struct lm_irq *irq = &vcpu->vm->irq;
	bool put;
	u32 i;

	for (i = 0; i < zones->nr; i++)
		if (lm_zone_covers(&zones->zone[i], addr, bytes, pio))
			break;
	if (i == zones->nr)
		return LM_USER;
	raw_spin_lock(&irq->ring_lock);
	put = lm_coalesced_put(irq->ring, addr, bytes, val & (U64_MAX >> (64 - 8 * bytes)), pio);
	raw_spin_unlock(&irq->ring_lock);
	return put ? LM_DONE : LM_USER;
}

/*
 * A copy of @old without those that cover @drop, and with @add; each may be NULL.  In the end
 * NULL if nothing is left.
 */
static int lm_zones_copy(const struct lm_zones *old, const struct kvm_coalesced_mmio_zone *drop,
			 const struct kvm_coalesced_mmio_zone *add, struct lm_zones **new)
{
	u32 i, nr = (old ? old->nr : 0) + !!add;
	struct lm_zones *z;

	*new = NULL;
	if (!nr)
		return 0;
	if (nr > LM_MAX_ZONES)
		return -ENOSPC;
	z = kvzalloc(struct_size(z, zone, nr), GFP_KERNEL_ACCOUNT);
	if (!z)
		return -ENOMEM;
	for (i = 0; old && i < old->nr; i++)
		if (!drop || !lm_zone_covers(&old->zone[i], drop->addr, drop->size, drop->pio))
			z->zone[z->nr++] = old->zone[i];
	if (add)
		z->zone[z->nr++] = *add;
	if (z->nr)
		*new = z;
	else
		kvfree(z);
	return 0;
}

/**
 * lm_coalesced_zone() - KVM_REGISTER_COALESCED_MMIO, KVM_UNREGISTER_COALESCED_MMIO
 * @vm: the VM
 * @zone: as copied in
 * @add: register it; else each one that covers it goes, and there need be none
 *
 * Return: 0; -EINVAL: neither memory nor ports; -ENOSPC; -ENOMEM.
 */
int lm_coalesced_zone(struct lm_vm *vm, const struct kvm_coalesced_mmio_zone *zone, bool add)
{
	struct lm_irq *irq = &vm->irq;
	struct lm_zones *old, *new;
	int r;

	if (zone->pio > 1)
		return -EINVAL;
	mutex_lock(&irq->lock);
	old = rcu_dereference_protected(irq->zones, lockdep_is_held(&irq->lock));
	r = lm_zones_copy(old, add ? NULL : zone, add ? zone : NULL, &new);
	if (!r)
		rcu_assign_pointer(irq->zones, new);
	mutex_unlock(&irq->lock);
	/* A section has interrupts off, which RCU waits for. */
	if (!r && old)
		kvfree_rcu(old, rcu);
	return r;
}

/**
 * lm_coalesced_init() - the ring of a new VM
 * @irq: of the VM
 *
 * Return: 0 or -ENOMEM.
 */
int lm_coalesced_init(struct lm_irq *irq)
{
	raw_spin_lock_init(&irq->ring_lock);
	irq->ring = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return irq->ring ? 0 : -ENOMEM;
}

/**
 * lm_coalesced_free() - undo lm_coalesced_init(), and drop the zones
 * @irq: of a VM whose vCPUs do not run any more
 *
 * A page that is still mapped goes with its mapping.
 */
void lm_coalesced_free(struct lm_irq *irq)
{
	free_page((unsigned long)irq->ring);
	irq->ring = NULL;
	kvfree(rcu_dereference_protected(irq->zones, true));
	RCU_INIT_POINTER(irq->zones, NULL);
}
