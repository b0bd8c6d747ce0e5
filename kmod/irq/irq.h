/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts: LAPIC, IOAPIC, the PIC pair, PIT, routing, irqfd and ioeventfd,
 * and the bus that finds a device by its port or address.
 *
 * All entry points named "section" run with interrupts off inside a vCPU's
 * section; those named "any" run in any context (hardirq included): the locks are
 * raw spinlocks taken with interrupts off.
 */
#ifndef LM_IRQ_H
#define LM_IRQ_H

#include <linux/atomic.h>
#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct lm_vm;
struct lm_vcpu;
struct lm_lapic;
struct lm_ioapic;
struct lm_pic;
struct lm_pit;
struct lm_routing;
struct lm_bus;
struct lm_zones;
struct seq_file;

#define LM_MAX_APIC_ID	1024	/* APIC ids are vCPU ids: LM_MAX_VCPU_ID */
#define LM_MAX_IRQFDS	8192
#define LM_MAX_IOEVENTFDS 8192

/* Who drives an interrupt line: it is high while one of them holds it high. */
enum lm_irq_source {
	LM_SRC_USER,		/* KVM_IRQ_LINE, irqfd */
	LM_SRC_RESAMPLE,	/* irqfds with KVM_IRQFD_FLAG_RESAMPLE */
	LM_SRC_PIT,
	LM_SRC_MAX = 8,
};

struct lm_irq {
	struct lm_ioapic *ioapic;	/* set once together with pic (l); NULL: user space has them */
	struct lm_pic *pic;
	struct lm_pit *pit;		/* set once (l); smp_load_acquire */
	struct lm_routing __rcu *routing;
	struct lm_bus __rcu *pio_bus;	/* ioeventfds on ports */
	struct lm_bus __rcu *mmio_bus;	/* ioeventfds on addresses */
	struct lm_zones __rcu *zones;	/* where writes may wait, or NULL (under lock) */
	struct kvm_coalesced_mmio_ring *ring; /* (c) a page that user space maps; under ring_lock */
	raw_spinlock_t ring_lock;
	atomic64_t any_gen;		/* lm_doorbells_moved(); 0: no doorbell yet that could be known */
	bool decode_any;		/* set once: the CPU's word on lengths does not count here */
	struct list_head irqfds;	/* under irqfds_lock */
	unsigned int nr_irqfds;		/* under irqfds_lock */
	spinlock_t irqfds_lock;		/* inside an eventfd's wait queue lock */
	struct list_head resamplers;	/* irqfds with a resamplefd: RCU, writers under lock */
	struct mutex lock;		/* irqfd, ioeventfd, routing updates */
	bool in_kernel;			/* LAPICs and routes are here (l, read with READ_ONCE) */
	bool user_ioapic;		/* split: user space wants to know of level EOIs (l) */
	bool x2apic_format;		/* KVM_CAP_X2APIC_API: 32-bit ids in MSIs, KVM_GET_LAPIC */
	bool no_broadcast_quirk;	/* KVM_CAP_X2APIC_API: id 255 is everybody to xAPICs alone */
	bool released;			/* VM file closed: no new irqfds (under lock) */
	u16 by_apic_id[LM_MAX_APIC_ID];	/* lm_vcpu.index + 1, or 0; checked at use */
};

/**
 * struct lm_known_bell - a store to a doorbell of any width whose instruction was decoded
 * @key: lm_known_key() of the doorbell and the instruction's length
 * @rip: of the instruction
 * @gen: lm_irq.any_gen for which that holds
 * @ctx: whom it signals; in a section with that generation it is there
 */
struct lm_known_bell {
	u64 key, rip, gen;
	struct eventfd_ctx *ctx;
};

#define LM_KNOWN_BELLS	4	/* a vCPU, a power of two */

/*
 * What a write to an address means may have changed: slots, doorbells, where an APIC
 * is.  Called after the change was published, and before anything that only the old
 * meaning needs is freed.
 */
static inline void lm_doorbells_moved(struct lm_irq *irq)
{
	atomic64_inc_not_zero(&irq->any_gen);
}

#define LM_BELL_RUNG	0

/**
 * struct lm_bell - a doorbell of a device in the module
 * @answer: called in the thread of the vCPU that wrote, outside its section, before it
 *	does anything else; may sleep, but must not wait for a vCPU
 * @node: in lm_vcpu.bells while rung
 * @flags: LM_BELL_RUNG
 * @users: vCPUs that will call or are in @answer
 */
struct lm_bell {
	void (*answer)(struct lm_bell *bell);
	struct llist_node node;
	unsigned long flags;
	atomic_t users;
};

/* Some kernels take a count (always 1 for us), later ones do not: probe in Kbuild. */
static inline void lm_eventfd_signal(struct eventfd_ctx *ctx)
{
#ifdef LM_HAVE_EVENTFD_SIGNAL_COUNT
	eventfd_signal(ctx, 1);
#else
	eventfd_signal(ctx);
#endif
}

/* ---- module ---- */
int lm_irq_setup(void);				/* at load: the work queue of irqfds */
void lm_irq_teardown(void);			/* at unload: waits for its last work */

/* ---- VM ---- */
int lm_irq_init(struct lm_vm *vm);
/*
 * Sleepable; no vCPU runs.  To be called while vm->vcpu[] is still there: the
 * PIT's timer and irqfds reach vCPUs until this returns.  Then lm_lapic_free().
 */
void lm_irq_destroy(struct lm_vm *vm);
void lm_irq_release(struct lm_vm *vm);		/* VM file closed: drop irqfds and ioeventfds */
int lm_irq_create_chips(struct lm_vm *vm);	/* KVM_CREATE_IRQCHIP; vm->lock held */
int lm_irq_split(struct lm_vm *vm, u32 pins);	/* KVM_CAP_SPLIT_IRQCHIP */
bool lm_irq_user_pic(struct lm_vcpu *vcpu);	/* INTR of this vCPU comes from user space */
/* KVM_CREATE_PIT2; vm->lock held */
int lm_irq_create_pit(struct lm_vm *vm, const struct kvm_pit_config *cfg);
/* KVM_IRQ_LINE[_STATUS]: any; the status as KVM has it: 1 delivered, 0 coalesced, -1 masked */
int lm_irq_line(struct lm_vm *vm, u32 gsi, int level, int source);
int lm_irq_set_routing(struct lm_vm *vm, const struct kvm_irq_routing *hdr,
		       const struct kvm_irq_routing_entry *entries);
int lm_irq_signal_msi(struct lm_vm *vm, const struct kvm_msi *msi);
int lm_irqfd(struct lm_vm *vm, const struct kvm_irqfd *args);
int lm_ioeventfd(struct lm_vm *vm, const struct kvm_ioeventfd *args);
int lm_bell_add(struct lm_vm *vm, struct lm_bell *bell, const struct kvm_ioeventfd *where);
void lm_bell_del(struct lm_vm *vm, struct lm_bell *bell, const struct kvm_ioeventfd *where);
void lm_bells_serve(struct lm_vcpu *vcpu);
int lm_coalesced_zone(struct lm_vm *vm, const struct kvm_coalesced_mmio_zone *zone, bool add);
struct eventfd_ctx *lm_mmio_any_doorbell(struct lm_vcpu *vcpu, u64 gpa);
int lm_irqchip_get(struct lm_vm *vm, struct kvm_irqchip *chip);
int lm_irqchip_set(struct lm_vm *vm, const struct kvm_irqchip *chip);
int lm_pit_get(struct lm_vm *vm, struct kvm_pit_state2 *ps);
int lm_pit_set(struct lm_vm *vm, const struct kvm_pit_state2 *ps);
int lm_pit_reinject(struct lm_vm *vm, const struct kvm_reinject_control *c);

/*
 * ---- Section: devices in the kernel ----
 * LM_DONE: handled, or a write that waits in the ring.  LM_USER: no device of ours there.
 * bytes is 1, 2, 4 or 8; *val little-endian in the low bytes.
 */
int lm_pio_out(struct lm_vcpu *vcpu, u16 port, unsigned int bytes, u32 val);
int lm_pio_in(struct lm_vcpu *vcpu, u16 port, unsigned int bytes, u32 *val);
int lm_mmio_dev(struct lm_vcpu *vcpu, u64 gpa, unsigned int bytes, bool write, void *val);

/* ---- LAPIC ---- */
int lm_lapic_create(struct lm_vcpu *vcpu);	/* id and index are set; not yet in vm->vcpu[] */
void lm_lapic_free(struct lm_vcpu *vcpu);	/* sleepable */
void lm_lapic_reset(struct lm_vcpu *vcpu, bool init);
void lm_lapic_show(struct lm_vcpu *vcpu, struct seq_file *m);
int lm_lapic_get(struct lm_vcpu *vcpu, struct kvm_lapic_state *s);
int lm_lapic_set(struct lm_vcpu *vcpu, const struct kvm_lapic_state *s);
/* APIC_BASE, 0x800–0x8ff, TSC_DEADLINE: 0 or 1 (#GP); section or ioctl with vcpu->mutex held */
int lm_lapic_msr_read(struct lm_vcpu *vcpu, u32 msr, u64 *val);
int lm_lapic_msr_write(struct lm_vcpu *vcpu, u32 msr, u64 val, bool host);
void lm_lapic_set_tpr(struct lm_vcpu *vcpu, u64 cr8);
void lm_lapic_timer_migrate(struct lm_vcpu *vcpu); /* section entered on another CPU */
bool lm_lapic_is_at(struct lm_vcpu *vcpu, u64 gpa);	/* its page of registers */
bool lm_lapic_x2apic(struct lm_vcpu *vcpu);
bool lm_lapic_enabled(struct lm_vcpu *vcpu);
void lm_lapic_eoi(struct lm_vcpu *vcpu);		/* section: as a write to the EOI register */
int lm_lapic_isr_highest(struct lm_vcpu *vcpu);	/* vector in service, or -1 */
/* Does its EOI concern this LAPIC alone?  Then PV EOI may skip it. */
bool lm_lapic_isr_plain(struct lm_vcpu *vcpu);
/* The guest's TSC was written or scaled: the deadline moves. */
void lm_lapic_timer_tsc_changed(struct lm_vcpu *vcpu);
void lm_lapic_timer_exit(struct lm_vcpu *vcpu);		/* section: lm_vcpu.exit_tsc has come */
void lm_lapic_timer_halt(struct lm_vcpu *vcpu);		/* its thread is about to sleep */
int lm_lapic_lvt_deliver(struct lm_vcpu *vcpu, u32 reg);	/* APIC_LVTPC etc.; any */
int lm_vapic_set(struct lm_vcpu *vcpu, const struct kvm_vapic_addr *va);
int lm_vapic_sync(struct lm_vcpu *vcpu);	/* section: LM_DONE or LM_NEED */
int lm_tpr_reporting(struct lm_vcpu *vcpu, const struct kvm_tpr_access_ctl *ctl);
/* KVM_HC_SEND_IPI */
int lm_lapic_pv_ipi(struct lm_vcpu *vcpu, u64 low, u64 high, u32 min, u64 icr, bool long_mode);

/*
 * Interrupt arbitration, section (and lm_irq_pending also from the halt loop).
 * Highest-priority deliverable vector of LAPIC (above PPR) or ExtINT of the PIC
 * (LVT0 rules), else the user's KVM_INTERRUPT vector.
 */
/* Vector or -1; nothing is acknowledged (256 = ExtINT from the PIC). */
int lm_irq_pending(struct lm_vcpu *vcpu);
int lm_irq_to_inject(struct lm_vcpu *vcpu);	/* of these what the CPU does not deliver itself */
/* Section: the CPU has ended an interrupt; has stored into a register. */
void lm_lapic_eoi_done(struct lm_vcpu *vcpu, u8 vector);
void lm_lapic_written(struct lm_vcpu *vcpu, unsigned int off);
/* Acknowledges; vector or -1. */
int lm_irq_ack(struct lm_vcpu *vcpu);

/* INIT/SIPI that arrived, as taken by the vCPU's own thread outside the section (LM_REQ_LAPIC). */
bool lm_lapic_take_init(struct lm_vcpu *vcpu);
bool lm_lapic_take_sipi(struct lm_vcpu *vcpu, u8 *vector);
bool lm_lapic_init_sipi_pending(struct lm_vcpu *vcpu);

/* Provided by the core for irq/: NMI to a vCPU from LAPIC (any). */
void lm_vcpu_nmi(struct lm_vcpu *vcpu);

#endif
