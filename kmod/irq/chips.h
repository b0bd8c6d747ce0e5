/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the interrupt controllers know of each other: their state, the form of
 * an interrupt message, and the calls between them.  Private to kmod/irq/ and its
 * tests.
 *
 * Locks, outermost first: lm_irq.lock, an eventfd's wait queue, irqfds_lock,
 * lm_pit.lock, then one of lm_pic.lock and lm_ioapic.lock; each of the raw ones is
 * dropped before another controller, an eventfd or an acknowledge hook is called,
 * but for messages from the IOAPIC to LAPICs, which take no lock.
 */
#ifndef LM_IRQ_CHIPS_H
#define LM_IRQ_CHIPS_H

#include <asm/apicdef.h>
#include <linux/nospec.h>
#include <linux/workqueue.h>

#include "../lamina.h"

/* What an access of 1, 2, 4 or 8 bytes moves, without a call or a local array. */
static __always_inline u64 lm_load(const void *p, unsigned int bytes)
{
	switch (bytes) {
	case 4:
		return get_unaligned((const u32 *)p);
	case 1:
		return *(const u8 *)p;
	case 2:
		return get_unaligned((const u16 *)p);
	default:
		return get_unaligned((const u64 *)p);
	}
}

static __always_inline void lm_store(void *p, unsigned int bytes, u64 val)
{
	switch (bytes) {
	case 4:
		put_unaligned((u32)val, (u32 *)p);
		break;
	case 1:
		*(u8 *)p = val;
		break;
	case 2:
		put_unaligned((u16)val, (u16 *)p);
		break;
	default:
		put_unaligned(val, (u64 *)p);
	}
}

/* ---- coalesced.c ---- */

int lm_coalesced_init(struct lm_irq *irq);
void lm_coalesced_free(struct lm_irq *irq);
int lm_coalesced_write(struct lm_vcpu *vcpu, const struct lm_zones *zones, u64 addr,
		       unsigned int bytes, u64 val, bool pio);

/* ---- messages ---- */

#define LM_DEST_ALL	(~0u)
#define LM_DEST_XAPIC_ALL 0xffu		/* to an LAPIC in xAPIC mode everybody, too */
#define LM_NO_MMIO	((u64)PAGE_MASK)	/* a page where no guest has anything */

/**
 * struct lm_msg - an interrupt message on the system bus
 * @dest: destination id; LM_DEST_ALL is everybody, in either format
 * @vector: 16 to 255, or the start-up page of a SIPI
 * @mode: delivery mode, bits 10:8 as APIC_DM_* give them
 * @logical: @dest is a logical id
 * @level: level-triggered: the EOI is told to the IOAPIC
 * @x2: sent by an LAPIC in x2APIC mode: a logical @dest is cluster and mask
 * @lowest: one of several targets is enough (MSI redirection hint)
 */
struct lm_msg {
	u32 dest;
	u8 vector;
	u16 mode;
	bool logical, level, x2, lowest;
};

/* Chips may be made while others look: what a pointer or flag says is there is complete. */
static __always_inline bool lm_irq_ready(const struct lm_irq *irq)
{
	return smp_load_acquire(&irq->in_kernel);	/* pairs with lm_irq_create_chips() */
}

static __always_inline struct lm_pit *lm_irq_pit(const struct lm_irq *irq)
{
	return smp_load_acquire(&irq->pit);	/* pairs with lm_irq_create_pit() */
}

/* PIC and IOAPIC are here as well. */
static __always_inline bool lm_irq_has_chips(const struct lm_irq *irq)
{
	return lm_irq_ready(irq) && irq->pic;
}

int lm_irq_deliver(struct lm_vm *vm, const struct lm_msg *m);
void lm_msi_decode(const struct lm_vm *vm, u32 lo, u32 hi, u32 data, struct lm_msg *m);

static inline struct lm_vcpu *lm_vcpu_by_apic_id(struct lm_vm *vm, u32 id)
{
	struct lm_vcpu *v;
	unsigned int n;

	if (id >= LM_MAX_APIC_ID)
		return NULL;
	n = READ_ONCE(vm->irq.by_apic_id[array_index_nospec(id, LM_MAX_APIC_ID)]);
	if (!n)
		return NULL;
	v = lm_vcpu_get(vm, n - 1);
	return v && v->id == id ? v : NULL;
}

/* ---- LAPIC ---- */

/*
 * An unmasked periodic timer costs the host an interrupt a period, whether the
 * guest runs or not.  The limit is what KVM uses.
 */
#define LM_TIMER_MIN_NS	(200 * NSEC_PER_USEC)

struct lm_lapic_timer {
	struct hrtimer hrt;
	u64 period;		/* ns: initial count times divider */
	ktime_t target;		/* next expiry; 0: not counting */
	u64 deadline;		/* TSC of the guest; 0: disarmed */
	u32 lvtt, tdcr;		/* as last obeyed: with hw the registers may be ahead */
};

/*
 * With @hw the CPU itself moves vectors from IRR to ISR and ends them, in the page
 * of registers and without locks, while the guest runs.  So nobody else writes IRR:
 * messages go to @posted, and the vCPU's thread takes them over before an entry.
 */
struct lm_lapic {
	u8 *regs;		/* (c) one page as the hardware lays it out; IRR and TMR (a) */
	struct lm_vcpu *vcpu;	/* (c) */
	u64 mmio;		/* page of the xAPIC's registers, or LM_NO_MMIO (v) */
	s16 isr_highest;	/* vector, or -1 (v) */
	u8 isr_words;		/* which of the eight words of ISR are not zero (v) */
	bool irr_pending;	/* false: IRR is empty (a); means nothing with hw */
	bool hw;		/* (c) */
	unsigned long posted[256 / BITS_PER_LONG]; /* vectors that wait to get into IRR, with hw (a) */
	bool takes_pic;		/* LINT0 is ExtINT, or the APIC is off (v) */
	bool enabled;		/* by APIC_BASE and by SVR (v) */
	bool present;		/* by APIC_BASE (v) */
	bool x2apic;		/* (v) */
	u64 base;		/* APIC_BASE (v) */
	u64 vapic;		/* guest address of the word of vapic.c, 0: none (v) */
	u8 vapic_tpr;		/* TPR as that word had it last (v) */
	atomic_t init_sipi;	/* LM_INIT_PENDING, LM_SIPI_PENDING */
	u8 sipi_vector;
	unsigned long esr_pending; /* errors since ESR was written (a) */
	u32 arb;		/* lowest-priority messages taken: breaks ties */
	struct lm_lapic_timer timer;
};

#define LM_INIT_PENDING	1
#define LM_SIPI_PENDING	2

static inline u32 lm_reg(const struct lm_lapic *l, unsigned int off)
{
	return READ_ONCE(*(u32 *)(l->regs + off));
}

/* As CR8 shows it. */
static inline u64 lm_lapic_tpr(const struct lm_lapic *l)
{
	return lm_reg(l, APIC_TASKPRI) >> 4 & 15;
}

static inline u64 lm_read_cr8(const struct lm_vcpu *vcpu)
{
	return vcpu->lapic ? lm_lapic_tpr(vcpu->lapic) : vcpu->x86.cr8;
}

static inline void lm_reg_set(struct lm_lapic *l, unsigned int off, u32 val)
{
	WRITE_ONCE(*(u32 *)(l->regs + off), val);
}

/* ISR, TMR and IRR are eight words of 32 vectors, 16 bytes apart. */
static inline unsigned long *lm_vec_word(struct lm_lapic *l, unsigned int base, u8 vector)
{
	return (unsigned long *)(l->regs + base + (vector >> 5) * 16);
}

static inline u8 lm_lapic_ppr(const struct lm_lapic *l)
{
	u8 tpr = lm_reg(l, APIC_TASKPRI);
	u8 isr = l->isr_highest < 0 ? 0 : l->isr_highest;

	return (tpr & 0xf0) >= (isr & 0xf0) ? tpr : isr & 0xf0;
}

/* The vCPU's own thread changed what may be delivered: look again before entry. */
static inline void lm_lapic_recheck(struct lm_lapic *l)
{
	if (l->hw || READ_ONCE(l->irr_pending))
		set_bit(LM_REQ_EVENT, &l->vcpu->requests);
}

void lm_lapic_pull(struct lm_lapic *l);
int lm_lapic_irr_highest(const struct lm_lapic *l);
int lm_lapic_post(struct lm_lapic *l, u8 vector, bool level);
int lm_lapic_accept(struct lm_vcpu *vcpu, const struct lm_msg *m);
bool lm_lapic_lint0(struct lm_vcpu *vcpu);
void lm_lapic_icr(struct lm_lapic *l, u32 icr, u32 dest);
void lm_lapic_error(struct lm_lapic *l, u32 bit);
void lm_lapic_set_tpr8(struct lm_lapic *l, u8 val);
void lm_tpr_report(struct lm_vcpu *vcpu, bool write);
void lm_lapic_mmio(struct lm_lapic *l, unsigned int off, unsigned int bytes, bool write, void *val);

void lm_timer_init(struct lm_lapic *l);
void lm_timer_stop(struct lm_lapic *l);
void lm_timer_start(struct lm_lapic *l, u32 count);
void lm_timer_set_lvt(struct lm_lapic *l, u32 lvtt);
void lm_timer_set_divide(struct lm_lapic *l, u32 tdcr);
void lm_timer_set_deadline(struct lm_lapic *l, u64 tsc);
void lm_timer_restore(struct lm_lapic *l, u32 count, u32 left);
u32 lm_timer_count(struct lm_lapic *l);
u32 lm_timer_left(struct lm_lapic *l);

static inline bool lm_timer_deadline_mode(const struct lm_lapic *l)
{
	return (lm_reg(l, APIC_LVTT) & GENMASK(18, 17)) == APIC_LVT_TIMER_TSCDEADLINE;
}

/* ---- IOAPIC ---- */

#define LM_IOAPIC_BASE	0xfec00000ull
#define LM_IOAPIC_SIZE	0x100
#define LM_IOAPIC_PINS	KVM_IOAPIC_NUM_PINS

#define LM_RTE_VECTOR	0xffull
#define LM_RTE_MODE	0x700ull
#define LM_RTE_LOGICAL	BIT_ULL(11)
#define LM_RTE_STATUS	BIT_ULL(12)
#define LM_RTE_POLARITY	BIT_ULL(13)
#define LM_RTE_REMOTE_IRR BIT_ULL(14)
#define LM_RTE_LEVEL	BIT_ULL(15)
#define LM_RTE_MASKED	BIT_ULL(16)
#define LM_RTE_DEST_SHIFT 56
#define LM_RTE_RO	(LM_RTE_STATUS | LM_RTE_REMOTE_IRR)
#define LM_RTE_ALL	(GENMASK_ULL(16, 0) | GENMASK_ULL(63, 56))

struct lm_ioapic {
	raw_spinlock_t lock;
	struct lm_vm *vm;
	u64 base;
	u32 sel;
	u32 id;
	u32 irr;		/* lines that are high */
	u32 delivered;		/* edges of irr that were sent on */
	u8 sources[LM_IOAPIC_PINS];	/* who holds a line high: BIT(enum lm_irq_source) */
	u64 rte[LM_IOAPIC_PINS];
	unsigned long eoi_map[4];	/* vectors of edge pins whose EOI the PIT waits for */
};

struct lm_ioapic *lm_ioapic_create(struct lm_vm *vm);
int lm_ioapic_line(struct lm_ioapic *io, unsigned int pin, unsigned int source, bool level);
void lm_ioapic_eoi(struct lm_ioapic *io, u8 vector, bool level);
void lm_ioapic_mmio(struct lm_ioapic *io, unsigned int off, unsigned int bytes, bool write,
		    void *val);
void lm_ioapic_get(struct lm_ioapic *io, struct kvm_ioapic_state *s);
void lm_ioapic_set(struct lm_ioapic *io, const struct kvm_ioapic_state *s);

/* ---- PIC ---- */

struct lm_pic {
	raw_spinlock_t lock;
	struct lm_vm *vm;
	bool output;		/* INTR to the processors; read without the lock */
	bool raised;		/* output rose since the lock was taken */
	u16 acked;		/* pins whose ISR bit was cleared since then */
	u8 unmasked;		/* pin 0 was unmasked since then */
	u8 sources[16];
	struct kvm_pic_state chip[2];
};

struct lm_pic *lm_pic_create(struct lm_vm *vm);
int lm_pic_line(struct lm_pic *pic, unsigned int pin, unsigned int source, bool level);
int lm_pic_ack(struct lm_pic *pic);
void lm_pic_write(struct lm_pic *pic, u16 port, u8 val);
u8 lm_pic_read(struct lm_pic *pic, u16 port);
void lm_pic_get(struct lm_pic *pic, unsigned int n, struct kvm_pic_state *s);
void lm_pic_set(struct lm_pic *pic, unsigned int n, const struct kvm_pic_state *s);

#define LM_ELCR_MASTER	0xf8	/* IRQ 0, 1 and 2 are edge-triggered for good */
#define LM_ELCR_SLAVE	0xde	/* so are 8 and 13 */

/* ---- PIT ---- */

#define LM_PIT_HZ	1193182ull
#define LM_PIT_MAX_PENDING 1000000

struct lm_pit {
	raw_spinlock_t lock;
	struct lm_vm *vm;
	struct hrtimer hrt;
	u64 period;		/* ns; 0: one shot */
	bool armed;
	bool speaker;		/* port 0x61 is ours */
	bool reinject;
	bool acked;		/* the guest has taken the last tick */
	u32 pending;		/* ticks that it has not seen */
	u32 flags;		/* KVM_PIT_FLAGS_* */
	bool speaker_on;
	s64 frozen[3];		/* when the gate went low */
	struct kvm_pit_channel_state ch[3];
};

struct lm_pit *lm_pit_create(struct lm_vm *vm, bool speaker);
void lm_pit_free(struct lm_pit *pit);
void lm_pit_write(struct lm_pit *pit, u16 port, u8 val);
u8 lm_pit_read(struct lm_pit *pit, u16 port);
void lm_pit_ack(struct lm_pit *pit);
void lm_pit_unmasked(struct lm_pit *pit);
void lm_pit_state_get(struct lm_pit *pit, struct kvm_pit_state2 *ps);
int lm_pit_state_set(struct lm_pit *pit, const struct kvm_pit_state2 *ps);

/* ---- routing ---- */

struct lm_route {
	u32 gsi;
	u8 type;		/* KVM_IRQ_ROUTING_IRQCHIP or _MSI */
	u8 chip, pin;
	u32 lo, hi, data;
};

/* Sorted by gsi; index[g] to index[g + 1] are the routes of g. */
struct lm_routing {
	struct rcu_head rcu;
	u32 nr_gsi;
	s32 chip_gsi[KVM_NR_IRQCHIPS][LM_IOAPIC_PINS];	/* -1: none */
	u32 *index;
	struct lm_route route[];
};

int lm_routing_default(struct lm_vm *vm);
void lm_routing_free(struct lm_vm *vm);
struct lm_routing *lm_routing_build(const struct lm_vm *vm, u32 nr,
				    const struct kvm_irq_routing_entry *e);
int lm_route_send(struct lm_vm *vm, const struct lm_route *r, int level, int source);
/* A chip's pin was acknowledged, or unmasked: for the PIT and resampling irqfds. */
void lm_irq_acked(struct lm_vm *vm, unsigned int chip, unsigned int pin);
void lm_irq_unmasked(struct lm_vm *vm, unsigned int chip, unsigned int pin);

/* ---- irqfd, ioeventfd ---- */

void lm_irqfd_resample(struct lm_vm *vm, u32 gsi);
void lm_irqfd_release(struct lm_vm *vm);
void lm_irqfd_flush(void);
struct eventfd_ctx *lm_bus_any(const struct lm_bus *bus, u64 addr);
bool lm_bus_write(struct lm_vcpu *vcpu, const struct lm_bus *bus, u64 addr, unsigned int bytes,
		  u64 val);
void lm_ioeventfd_release(struct lm_vm *vm);

/* hrtimer_init() became hrtimer_setup(): probe in Kbuild. */
static inline void lm_hrtimer_setup(struct hrtimer *t,
				    enum hrtimer_restart (*fn)(struct hrtimer *),
				    enum hrtimer_mode mode)
{
#ifdef LM_HAVE_HRTIMER_SETUP
	hrtimer_setup(t, fn, CLOCK_MONOTONIC, mode);
#else
	hrtimer_init(t, CLOCK_MONOTONIC, mode);
	t->function = fn;
#endif
}

#endif
