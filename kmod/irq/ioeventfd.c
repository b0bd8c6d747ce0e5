// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells: a guest's write to a port or an address that signals an eventfd
 * (ioeventfd), or that a device in the module answers in the vCPU's own thread as
 * soon as it has left the section (struct lm_bell).
 *
 * Each of the two buses is a hash table with open addressing, at most half full,
 * replaced as a whole: a look-up is a multiplication and mostly one comparison, and
 * takes no lock.  A write that finds nothing costs as much.
 */
#include <linux/eventfd.h>
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/wait_bit.h>

#include "chips.h"

enum lm_doorbell_kind {
	LM_DOORBELL_FREE,
	LM_DOORBELL_EVENTFD,
	LM_DOORBELL_BELL,
};

#define LM_DOORBELL_GONE	0xff	/* no write has this width: the place is passed over */

struct lm_doorbell {
	union {
		void *target;
		struct eventfd_ctx *ctx;	/* the table holds a reference */
		struct lm_bell *bell;
	};
	u64 addr;
	u64 match;			/* value that must be written */
	u8 bytes;			/* 0: any width, or LM_DOORBELL_GONE */
	bool any;			/* any value */
	u8 kind;			/* enum lm_doorbell_kind */
};

struct lm_bus {
	u32 nr;				/* that are live; irq.lock */
	u8 bits;			/* log2 of the number of places */
	u32 mask;			/* number of places - 1 */
	struct lm_doorbell place[];
};

/*
 * One that is rung already waits in some vCPU's list, and is taken off it before the
 * device looks at its queue: that look serves this write too.
 */
static void lm_bell_ring(struct lm_vcpu *vcpu, struct lm_bell *bell)
{
	if (test_and_set_bit(LM_BELL_RUNG, &bell->flags))
		return;
	atomic_inc(&bell->users);
	llist_add(&bell->node, &vcpu->bells);
	lm_request(vcpu, LM_REQ_BELL);
}

/**
 * lm_bells_serve() - answer the doorbells that this vCPU rang
 * @vcpu: its mutex held, outside the section
 */
void lm_bells_serve(struct lm_vcpu *vcpu)
{
	struct lm_bell *bell, *next;

	clear_bit(LM_REQ_BELL, &vcpu->requests);
	llist_for_each_entry_safe(bell, next, llist_del_all(&vcpu->bells), node) {
		clear_bit(LM_BELL_RUNG, &bell->flags);
		smp_mb__after_atomic();		/* before the queue is looked at */
		bell->answer(bell);
		if (atomic_dec_and_test(&bell->users))
			wake_up_var(&bell->users);
	}
}

/**
 * lm_bus_write() - a guest's write; signals who waits for it
 * @vcpu: who writes, in its section
 * @bus: ports or addresses
 * @addr: where to
 * @bytes: 1, 2, 4 or 8
 * @val: value, zero-extended
 *
 * Return: true if somebody was signalled.
 */
bool lm_bus_write(struct lm_vcpu *vcpu, const struct lm_bus *bus, u64 addr, unsigned int bytes,
		  u64 val)
{
	const struct lm_doorbell *d;
	u32 i, mask = bus->mask;

	for (i = hash_64(addr, bus->bits);; i++) {
		d = &bus->place[i & mask];
		if (d->kind == LM_DOORBELL_FREE)
			return false;
		if (d->addr == addr && (d->bytes == bytes || !d->bytes) &&
		    (d->any || d->match == val))
			break;
	}
	if (unlikely(d->kind == LM_DOORBELL_BELL))
		lm_bell_ring(vcpu, d->bell);
	else
		lm_eventfd_signal(d->ctx);
	return true;
}

/**
 * lm_bus_any() - the event that every write to an address signals
 * @bus: ports or addresses
 * @addr: the address
 *
 * Return: the event of an ioeventfd of any width, or NULL.
 */
struct eventfd_ctx *lm_bus_any(const struct lm_bus *bus, u64 addr)
{
	const struct lm_doorbell *d;
	u32 i;

	for (i = hash_64(addr, bus->bits);; i++) {
		d = &bus->place[i & bus->mask];
		if (d->kind == LM_DOORBELL_FREE)
			return NULL;
		if (d->kind == LM_DOORBELL_EVENTFD && d->addr == addr && !d->bytes)
			return d->ctx;
	}
}

static bool lm_doorbell_live(const struct lm_doorbell *d)
{
	return d->kind && d->bytes != LM_DOORBELL_GONE;
}

static void lm_bus_put(struct lm_bus *bus, const struct lm_doorbell *d)
{
	u32 i = hash_64(d->addr, bus->bits);

	while (bus->place[i & bus->mask].kind)
		i++;
	bus->place[i & bus->mask] = *d;
	bus->nr++;
}

/* A table of what is in @old but @without, with room for one more. */
static struct lm_bus *lm_bus_copy(const struct lm_bus *old, const struct lm_doorbell *without)
{
	u32 nr = old ? old->nr : 0, bits = order_base_2(max(2 * (nr + 1), 8u)), i;
	struct lm_bus *bus;

	bus = kvzalloc(struct_size(bus, place, BIT(bits)), GFP_KERNEL_ACCOUNT);
	if (!bus)
		return NULL;
	bus->bits = bits;
	bus->mask = BIT(bits) - 1;
	for (i = 0; old && i <= old->mask; i++)
		if (lm_doorbell_live(&old->place[i]) && &old->place[i] != without)
			lm_bus_put(bus, &old->place[i]);
	return bus;
}

/* Two that one write could mean. */
static bool lm_doorbell_collides(const struct lm_doorbell *a, const struct lm_doorbell *b)
{
	if (a->addr != b->addr)
		return false;
	if (!a->bytes || !b->bytes)
		return true;
	return a->bytes == b->bytes && (a->any || b->any || a->match == b->match);
}

static bool lm_doorbell_same(const struct lm_doorbell *a, const struct lm_doorbell *b)
{
	return a->target == b->target && a->addr == b->addr && a->bytes == b->bytes &&
	       a->any == b->any && (a->any || a->match == b->match);
}

static const struct lm_doorbell *lm_bus_find(const struct lm_bus *bus, const struct lm_doorbell *d,
					     bool (*like)(const struct lm_doorbell *,
							  const struct lm_doorbell *))
{
	u32 i;

	if (!bus)
		return NULL;
	for (i = hash_64(d->addr, bus->bits);; i++) {
		const struct lm_doorbell *p = &bus->place[i & bus->mask];

		if (!p->kind)
			return NULL;
		if (lm_doorbell_live(p) && like(p, d))
			return p;
	}
}

/* lm_irq.lock held.  Afterwards nobody uses the old table. */
static void lm_bus_publish(struct lm_irq *irq, struct lm_bus __rcu **bus, struct lm_bus *new)
{
	struct lm_bus *old = rcu_replace_pointer(*bus, new, true);

	lm_doorbells_moved(irq);
	if (!old)
		return;
	synchronize_rcu_expedited();
	kvfree(old);
}

static int lm_doorbell_add(struct lm_irq *irq, struct lm_bus __rcu **slot,
			   const struct lm_doorbell *d)
{
	struct lm_bus *old = rcu_dereference_protected(*slot, lockdep_is_held(&irq->lock));
	struct lm_bus *new;

	if (irq->released)
		return -ENODEV;
	if (lm_bus_find(old, d, lm_doorbell_collides))
		return -EEXIST;
	if (old && old->nr >= LM_MAX_IOEVENTFDS)
		return -ENOSPC;
	new = lm_bus_copy(old, NULL);
	if (!new)
		return -ENOMEM;
	lm_bus_put(new, d);
	/* From now on vCPUs look out for what lm_doorbell_known() can do. */
	if (lm_caps.maybe_len && slot == &irq->mmio_bus && !d->bytes)
		atomic64_inc(&irq->any_gen);
	lm_bus_publish(irq, slot, new);
	return 0;
}

static int lm_doorbell_del(struct lm_irq *irq, struct lm_bus __rcu **slot,
			   const struct lm_doorbell *d)
{
	struct lm_bus *old = rcu_dereference_protected(*slot, lockdep_is_held(&irq->lock));
	const struct lm_doorbell *p = lm_bus_find(old, d, lm_doorbell_same);
	struct lm_bus *new = NULL;

	if (!p)
		return -ENOENT;
	if (old->nr > 1) {
		new = lm_bus_copy(old, p);
		if (!new)
			return -ENOMEM;
	}
	lm_bus_publish(irq, slot, new);
	eventfd_ctx_put(d->ctx);	/* the table's reference */
	return 0;
}

/* The bus that @args is about, and the doorbell but for its target. */
static struct lm_bus __rcu **lm_doorbell_of(struct lm_irq *irq, const struct kvm_ioeventfd *args,
					    struct lm_doorbell *d)
{
	*d = (struct lm_doorbell) {
		.addr = args->addr,
		.bytes = args->len,
		.match = args->datamatch,
		.any = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
	};
	return args->flags & KVM_IOEVENTFD_FLAG_PIO ? &irq->pio_bus : &irq->mmio_bus;
}

static int lm_doorbell_check(const struct kvm_ioeventfd *args)
{
	if (args->len > 8 || (args->len && !is_power_of_2(args->len)))
		return -EINVAL;
	if (args->addr + args->len < args->addr)
		return -EINVAL;
	if (args->flags & ~(KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO))
		return -EINVAL;
	if (!args->len && (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH))
		return -EINVAL;
	return 0;
}

/**
 * lm_ioeventfd() - KVM_IOEVENTFD
 * @vm: the VM
 * @args: as copied in
 *
 * Return: 0, -EINVAL (width, flags, not an eventfd), -EBADF, -EEXIST (a write could
 * mean two), -ENOENT (nothing like it), -ENOSPC, -ENOMEM.
 */
int lm_ioeventfd(struct lm_vm *vm, const struct kvm_ioeventfd *args)
{
	bool deassign = args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	struct lm_bus __rcu **slot;
	struct lm_doorbell d;
	int err;

	if (!deassign) {
		err = lm_doorbell_check(args);
		if (err)
			return err;
	} else if (args->len > 8) {
		return -ENOENT;
	}
	slot = lm_doorbell_of(&vm->irq, args, &d);
	d.kind = LM_DOORBELL_EVENTFD;
	d.ctx = eventfd_ctx_fdget(args->fd);
	if (IS_ERR(d.ctx))
		return PTR_ERR(d.ctx);
	mutex_lock(&vm->irq.lock);
	err = deassign ? lm_doorbell_del(&vm->irq, slot, &d) :
			 lm_doorbell_add(&vm->irq, slot, &d);
	mutex_unlock(&vm->irq.lock);
	/* An added one keeps the reference. */
	if (deassign || err)
		eventfd_ctx_put(d.ctx);
	return err;
}

/**
 * lm_bell_add() - hang up a device's doorbell
 * @vm: the VM
 * @bell: the doorbell, its answer() set
 * @where: address, width, value and KVM_IOEVENTFD_FLAG_PIO, _DATAMATCH
 *
 * Return: 0, -EINVAL, -EEXIST (a write could mean two), -ENODEV (the VM's file is
 * closed), -ENOSPC, -ENOMEM.
 */
int lm_bell_add(struct lm_vm *vm, struct lm_bell *bell, const struct kvm_ioeventfd *where)
{
	struct lm_bus __rcu **slot;
	struct lm_doorbell d;
	int err = lm_doorbell_check(where);

	if (err)
		return err;
	slot = lm_doorbell_of(&vm->irq, where, &d);
	d.kind = LM_DOORBELL_BELL;
	d.bell = bell;
	mutex_lock(&vm->irq.lock);
	err = lm_doorbell_add(&vm->irq, slot, &d);
	mutex_unlock(&vm->irq.lock);
	return err;
}

/**
 * lm_bell_del() - take a device's doorbell away
 * @vm: the VM
 * @bell: the doorbell
 * @where: as lm_bell_add() had it
 *
 * In place, since the end of a device cannot fail for want of memory.  Sleeps until
 * nobody answers it any more: a vCPU that rang it does so before it does anything
 * else that may sleep.
 */
void lm_bell_del(struct lm_vm *vm, struct lm_bell *bell, const struct kvm_ioeventfd *where)
{
	const struct lm_doorbell *p;
	struct lm_bus __rcu **slot;
	struct lm_doorbell d;
	struct lm_bus *bus;

	slot = lm_doorbell_of(&vm->irq, where, &d);
	d.kind = LM_DOORBELL_BELL;
	d.bell = bell;
	mutex_lock(&vm->irq.lock);
	bus = rcu_dereference_protected(*slot, lockdep_is_held(&vm->irq.lock));
	p = lm_bus_find(bus, &d, lm_doorbell_same);
	if (p) {	/* else the VM's file was closed first */
		WRITE_ONCE(bus->place[p - bus->place].bytes, LM_DOORBELL_GONE);
		bus->nr--;
	}
	mutex_unlock(&vm->irq.lock);
	synchronize_rcu_expedited();
	wait_var_event(&bell->users, !atomic_read(&bell->users));
}

static void lm_bus_drop(struct lm_bus *bus)
{
	u32 i;

	for (i = 0; bus && i <= bus->mask; i++)
		if (bus->place[i].kind == LM_DOORBELL_EVENTFD)
			eventfd_ctx_put(bus->place[i].ctx);
	kvfree(bus);
}

/* The VM's file is closed; lm_irqfd_release() has said so to those who would add. */
void lm_ioeventfd_release(struct lm_vm *vm)
{
	struct lm_irq *irq = &vm->irq;
	struct lm_bus *pio, *mmio;

	mutex_lock(&irq->lock);
	pio = rcu_replace_pointer(irq->pio_bus, NULL, lockdep_is_held(&irq->lock));
	mmio = rcu_replace_pointer(irq->mmio_bus, NULL, lockdep_is_held(&irq->lock));
	lm_doorbells_moved(irq);
	mutex_unlock(&irq->lock);
	if (!pio && !mmio)
		return;
	synchronize_rcu_expedited();
	lm_bus_drop(pio);
	lm_bus_drop(mmio);
}
