/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The objects of Lamina: a VM, a vCPU, the neutral state of a vCPU, the
 * neutral exit, and the one table of operations that a vendor (svm/, vmx/)
 * provides.  Everything above the vendor speaks in these terms alone.
 *
 * Legend for the fields of the structures below, as the comments give it:
 *   (c) constant after creation
 *   (l) lm_vm.lock
 *   (v) lm_vcpu.mutex: the thread that runs the vCPU or its ioctl
 *   (s) written inside the vCPU's loaded section (interrupts off), by its thread
 *   (a) atomic; any context
 *   (r) RCU for readers, lm_vm.lock for writers
 */
#ifndef LM_LAMINA_H
#define LM_LAMINA_H

#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/kvm.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rcuwait.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <asm/msr-index.h>

#include "compat.h"
#include "ept/ept.h"
#include "irq/irq.h"
#include "names.h"
#include "x86/insn.h"
#include "x86/x86.h"

struct lm_vm;
struct lm_vcpu;

#define LM_MAX_VCPUS	256	/* xAPIC and x2APIC IDs below 255 plus one */
#define LM_MAX_VCPU_ID	1024
#define LM_MAX_ROUTES	4096	/* KVM_SET_GSI_ROUTING, as KVM on x86 */

/**
 * enum lm_result - what a handler of an exit answers
 * @LM_DONE: handled; enter the guest again
 * @LM_USER: lm_vcpu.run describes an exit for user space
 * @LM_NEED: nothing was changed; fault in lm_vcpu.need and call again
 * @LM_HALT: the vCPU waits for an event
 * @LM_AGAIN: leave the section, serve what is pending, and come back
 *
 * Negative values are errors that KVM_RUN returns.
 */
enum lm_result {
	LM_DONE,
	LM_USER,
	LM_NEED,
	LM_HALT,
	LM_AGAIN,
};

/* Groups of neutral state, read from the hardware's save area on demand. */
#define LM_S_RIP	BIT(0)
#define LM_S_RSP	BIT(1)
#define LM_S_RFLAGS	BIT(2)
#define LM_S_CR0	BIT(3)
#define LM_S_CR2	BIT(4)
#define LM_S_CR3	BIT(5)
#define LM_S_CR4	BIT(6)
#define LM_S_EFER	BIT(7)
#define LM_S_CS		BIT(8)
#define LM_S_SS		BIT(9)
#define LM_S_SEGS	BIT(10)	/* FS GS LDTR TR */
#define LM_S_DT		BIT(11)	/* GDTR, IDTR */
#define LM_S_DR		BIT(12)	/* DR6, DR7 */
#define LM_S_SYSCALL	BIT(13)	/* STAR … SYSENTER_EIP, KERNEL_GS_BASE */
#define LM_S_SHADOW	BIT(14)	/* interrupt shadow */
#define LM_S_PAT	BIT(15)
#define LM_S_PDPTRS	BIT(16)	/* only where lm_caps.pdptrs */
#define LM_S_DATA	BIT(17)	/* DS ES */
#define LM_S_MODE	BIT(18)	/* L and D/B of CS, DPL of SS: in attr of these, which may be void else */
#define LM_S_ALL	GENMASK(18, 0)

enum lm_seg_index { LM_ES, LM_CS, LM_SS, LM_DS, LM_FS, LM_GS, LM_LDTR, LM_TR, LM_SEGS };

/*
 * A segment register.  attr holds the descriptor's type, S, DPL, P (bits 7:0)
 * and AVL, L, D/B, G (bits 11:8).  limit is in bytes, already scaled by G.  This
 * is also the VMCB's form (APM vol. 2, 15.5.1).
 */
struct lm_seg {
	u16 sel;
	u16 attr;
	u32 limit;
	u64 base;
};

#define LM_SEG_TYPE	0x000f
#define LM_SEG_S	0x0010
#define LM_SEG_DPL_SHIFT 5
#define LM_SEG_DPL	0x0060
#define LM_SEG_P	0x0080
#define LM_SEG_AVL	0x0100
#define LM_SEG_L	0x0200
#define LM_SEG_DB	0x0400
#define LM_SEG_G	0x0800

struct lm_dtr {
	u64 base;
	u32 limit;
};

#define LM_GPRS		16	/* in encoding order, enum in x86/insn.h */

/* The neutral state of a vCPU.  enter.S knows the offset of gpr[]. */
struct lm_state {
	u64 gpr[LM_GPRS];
	u64 rip;
	u64 rflags;
	u64 cr0, cr2, cr3, cr4, efer;
	u64 pdptr[4];
	struct lm_seg seg[LM_SEGS];
	struct lm_dtr gdt, idt;
	u64 dr[4], dr6, dr7;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 pat;
	u32 shadow;	/* LM_SHADOW_NONE, _STI, _MOVSS of x86/insn.h */
};

enum lm_exit_kind {
	LM_EXIT_INTR,		/* a host interrupt or NMI is pending */
	LM_EXIT_NPF,
	LM_EXIT_IO,
	LM_EXIT_MSR,
	LM_EXIT_CPUID,
	LM_EXIT_HLT,
	LM_EXIT_HYPERCALL,
	LM_EXIT_IRQ_WINDOW,
	LM_EXIT_NMI_WINDOW,
	LM_EXIT_CR,
	LM_EXIT_DR,
	LM_EXIT_EXCEPTION,
	LM_EXIT_XSETBV,
	LM_EXIT_INVD,		/* INVD, WBINVD */
	LM_EXIT_PAUSE,
	LM_EXIT_MWAIT,		/* MONITOR, MWAIT */
	LM_EXIT_RDPMC,
	LM_EXIT_UD,		/* an instruction that the guest does not have: #UD */
	LM_EXIT_EOI,		/* the CPU ended an interrupt that others must hear of */
	LM_EXIT_APIC_WRITE,	/* the CPU stored into a register of the LAPIC */
	LM_EXIT_TIMER,		/* lm_vcpu.exit_tsc has come */
	LM_EXIT_DIRTY,		/* the CPU's log of dirty pages is full */
	LM_EXIT_TASK_SWITCH,
	LM_EXIT_SHUTDOWN,
	LM_EXIT_FAIL_ENTRY,
	LM_EXIT_UNKNOWN,
	LM_EXIT_KINDS,
};

/**
 * struct lm_io - the accesses of one instruction that user space must answer
 * @frag: each access to a device in the order in which the instruction makes them
 * @nr: how many of @frag are known; the last one is in progress if @pending
 * @cursor: the next one that the instruction, executed again, will ask for
 * @pending: frag[nr - 1] waits for user space
 * @msr: it is no device but an MSR; @error: and user space wants #GP
 *
 * An instruction whose access ends in user space is executed again from its
 * start after each answer; the answered accesses are replayed from here.
 */
struct lm_io {
	struct {
		u64 addr;
		u8 bytes;
		bool write, port;
		u16 count;	/* elements of a string input */
		u8 data[8];
	} frag[12];
	u8 nr, cursor;
	bool pending;
	bool msr, error;
};

/*
 * What the bytes at some RIP decoded to.  The bytes themselves are the key, so an
 * entry cannot be stale.
 */
struct lm_insn_cached {
	u64 words[2];
	u64 key;		/* lm_insn_key(); ~0: empty */
	struct lm_insn insn;
};

#define LM_INSN_CACHE	8	/* entries a vCPU, a power of two */

/**
 * struct lm_exit - one neutral exit
 * @kind: enum lm_exit_kind
 * @insn_len: length of the instruction, 0 where the hardware did not say
 * @nr_bytes: number of valid @bytes
 * @maybe_len: of an NPF: what the CPU says of its length, see exit/doorbell.c; 0: nothing
 * @bytes: instruction bytes from CS:RIP on, where the hardware fetched them
 * @code: the vendor's own exit code, for tracing and counters
 */
struct lm_exit {
	u8 kind;
	u8 insn_len;
	u8 nr_bytes;
	bool single;		/* the executor: npf.gpa is where the memory operand is */
	bool to_user;		/* the executor: done but for user space, which has its last write */
	u8 maybe_len;
	u32 code;
	u64 data;		/* the executor: what a MOV moves */
	union {
		u8 bytes[16];
		u64 words[2];
	};
	union {
		struct {
			u16 port;
			u8 size;	/* 1, 2, 4 bytes */
			bool in, string;
		} io;
		struct {
			u64 gpa;
			bool write, exec;
			bool table;	/* while walking the guest's own page table */
			bool apic;	/* the LAPIC's page, which is mapped and yet exits */
			bool delivery;	/* while an event was delivered: no instruction did it */
		} npf;
		struct {
			bool write;
		} msr;
		struct {
			u8 nr;		/* control or debug register */
			u8 gpr;
			bool write;
			bool known;	/* all of this is valid (decode assist) */
			bool clts, lmsw;
			u16 source;	/* of LMSW, wherever it was */
		} cr;
		struct {
			u8 vector;
			bool has_error;
			u32 error;
			u64 payload;	/* #PF: CR2, #DB: DR6 bits */
		} exception;
		struct {
			u16 sel;
			u8 reason;	/* 0 CALL, 1 IRET, 2 JMP, 3 gate in the IDT */
			bool soft;	/* an instruction did it, and RIP is still there */
			bool has_error;
			u32 error;
			u32 event;	/* of a gate: what was being delivered, LM_EV_* form */
		} task;
		bool mwait;		/* MWAIT rather than MONITOR */
		u8 vector;		/* EOI */
		u16 apic_reg;		/* APIC_WRITE: offset */
		u64 reason;		/* FAIL_ENTRY, UNKNOWN: for user space */
	};
};

/*
 * An event to deliver at entry, or found undelivered at exit.  Vector 7:0,
 * type 10:8, error code valid 11, valid 31, error code 63:32; both vendors
 * use this form (APM vol. 2, 15.20; SDM vol. 3, 25.8.3 differ in types 4 to 6).
 */
#define LM_EV_VECTOR	0xffull
#define LM_EV_TYPE	0x700ull
#define LM_EV_INTR	0x000ull
#define LM_EV_NMI	0x200ull
#define LM_EV_EXC	0x300ull
#define LM_EV_SOFT	0x400ull	/* INT n; INT3 and INTO are LM_EV_EXC with soft set */
#define LM_EV_ERROR	BIT_ULL(11)
#define LM_EV_VALID	BIT_ULL(31)

/**
 * struct lm_events - what waits to be delivered to the guest (v, s)
 * @exc: an exception raised by a handler, LM_EV_* form, 0 if none
 * @exc_payload: CR2 for #PF, DR6 bits for #DB, set when it is delivered
 * @inflight: an event whose delivery an exit interrupted; goes first
 * @inflight_len: length of the instruction that caused @inflight if soft
 * @soft_rip: if this entry injects a #BP or #OF of user space, the RIP behind it
 * @nmi_pending: NMIs that wait (at most 2: one in service, one latched)
 * @nmi_masked: from delivery of an NMI to its IRET
 * @user_irq: vector from KVM_INTERRUPT, or -1
 */
struct lm_events {
	u64 exc;
	u64 exc_payload;
	u64 inflight;
	u8 inflight_len;
	u64 soft_rip;
	atomic_t nmi_pending;
	bool nmi_masked;
	int user_irq;
};

/* Requests to a vCPU: set_bit, then lm_kick().  Served outside or at entry. */
enum lm_request {
	LM_REQ_EVENT,		/* look at interrupts and events again */
	LM_REQ_CLOCK,		/* write the guest's pvclock page */
	LM_REQ_STEAL,		/* write the steal time area */
	LM_REQ_LAPIC,		/* INIT or SIPI arrived */
	LM_REQ_TRIPLE_FAULT,
	LM_REQ_PDPTRS,		/* read PAE's top entries from memory again (lm_caps.pdptrs) */
	LM_REQ_FILTER,		/* the VM's MSR filter changed: backend.update */
	LM_REQ_IOAPIC_EOI,	/* tell user space's IOAPIC of lm_vcpu.ioapic_eoi */
	LM_REQ_VAPIC,		/* there is a word to keep in step with the LAPIC; stays set */
	LM_REQ_BELL,		/* doorbells of devices were rung: leave the section and answer them */
	LM_REQ_RING,		/* the dirty ring was nearly full: user space first */
	LM_REQ_STOP,		/* the machine goes down; never cleared */
};

/**
 * struct lm_guest_debug - KVM_SET_GUEST_DEBUG (v)
 * @control: KVM_GUESTDBG_*, 0 if it is not enabled
 * @dr: breakpoints of user space, with KVM_GUESTDBG_USE_HW_BP
 * @dr7: and what they are
 * @rip, @rsp: where the instruction or event of this entry found the guest
 * @op: enum lm_op of the instruction
 * @armed: this entry runs with TF set for user space
 * @tf: what the guest's own TF is meanwhile
 * @sti: the shadow of an STI was shown to the CPU as another
 * @delivering: this entry delivers an event; it ends before the handler's first instruction
 * @delivered: it has arrived
 * @away: the instruction took TF along into memory, and ends with what brings it back
 * @stepped: a step is done that user space has not heard of
 *
 * In vcpu->st RFLAGS, DR6 and DR7 are the guest's own at all times but within an entry.
 */
struct lm_guest_debug {
	u32 control;
	u64 dr[4], dr7;
	u64 rip, rsp;
	u8 op;
	bool armed, tf, sti;
	bool delivering, delivered;
	bool away, stepped;
};

#define LM_GUESTDBG	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP | \
			 KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | \
			 KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_BLOCKIRQ)

struct lm_vcpu_stat {
	u64 by_kind[LM_EXIT_KINDS];
	u64 guest_tsc;		/* cycles between entry and exit, when enabled */
	u64 user_exits;
	u64 need_faults;
	u64 doorbells_known;	/* rung without a look at the instruction */
	u64 halts, halt_polled;
	u64 kicks;
	u64 irq_injected, nmi_injected;
	u64 flushes;
};

struct lm_vcpu {
	struct lm_vm *vm;		/* (c) */
	int id;				/* (c) vCPU id = initial APIC id */
	int index;			/* (c) place in lm_vm.vcpu[] */
	struct kvm_run *run;		/* (c) shared with user space: read once */
	void *pio_data;			/* (c) the page after run */
	struct mutex mutex;

	struct lm_state st;		/* (v) with valid and dirty */
	u32 valid;			/* (v) groups of st that are current */
	u32 dirty;			/* (v) groups of st to write back at entry */
	struct lm_exit exit;		/* (s) */
	struct lm_insn_cached insn[LM_INSN_CACHE]; /* (s) */
	struct lm_known_bell known[LM_KNOWN_BELLS]; /* (s) */
	struct lm_events ev;		/* (v) */
	u64 inject;			/* (s) event for this entry */
	u8 inject_len;			/* (s) instruction length for a soft event */
	bool want_irq_window;		/* (s) exit when an interrupt can be taken */
	bool want_nmi_window;		/* (s) */
	bool entry_work;		/* (s) the next entry has an event or another window to set */
	unsigned int nr_events;		/* (s) entries with work of that kind since the last window() */

	unsigned long requests;		/* (a) enum lm_request */
	struct llist_head bells;	/* (s) rung by this vCPU, struct lm_bell */
	int cpu;			/* (s) the CPU whose section holds us, else -1; others read */
	int last_cpu;			/* (s) the CPU of the last section */
	u32 mp_state;			/* (v) KVM_MP_STATE_*; others read */
	struct rcuwait wait;		/* halted here */
	bool split_lock;		/* (v) the host's #AC for one of the guest's: see lm_outside() */
	bool pv_unhalted;		/* the next HLT ends at once; any thread sets it */
	u64 halt_poll_ns;		/* (v) current adaptive window */
	struct {
		unsigned long hva;
		bool write;
	} need;				/* (s) with LM_NEED */

	struct lm_io io;		/* (v) */
	bool retry;			/* (v) call the handler of exit again before entering */
	bool dr_loaded;			/* (v) the guest uses DR0-3: they are in the CPU in its section */
	u64 tsc_entered;		/* (s) with count_guest: host TSC at entry */
	u64 exit_tsc;			/* (v) with lm_caps.tsc_exit: exit at this host TSC; 0: never */
	sigset_t sigmask;		/* (v) */
	bool sigmask_set;

	struct lm_lapic *lapic;		/* (c) NULL without an in-kernel irqchip */
	u8 ioapic_eoi;			/* (v) vector, with LM_REQ_IOAPIC_EOI */
	bool report_tpr;		/* (v) user space hears of accesses to the xAPIC's TPR */
	struct lm_x86 x86;		/* (v) cpuid, msr, fpu, tsc, pv areas */
	struct lm_flush_cpu flush;	/* (s) ASID or VPID and generations */
	struct lm_mem_cpu mem;		/* (v, s) table-page cache, last slot, model TLB */
	struct lm_guest_debug dbg;	/* (v) */
	struct lm_dirty_ring ring;

	struct lm_hw *hw;		/* (c) the vendor's part */
	struct lm_vcpu_stat stat;	/* (s) */
	struct task_struct *task;	/* (v) the last thread that ran it; changed under task_lock */
	spinlock_t task_lock;		/* guards task against readers that do not hold the mutex */
	struct lm_vcpu *yield_to;	/* (v) who shall have this thread's CPU, or NULL */
	struct dentry *debugfs;
};

struct lm_vm {
	refcount_t users;		/* the VM's file and each vCPU file */
	u64 id;				/* (c) never used twice */
	struct mm_struct *mm;		/* (c) */
	struct mutex lock;
	struct lm_mem mem;		/* slots, nested page table, notifier, flush */
	struct lm_vcpu *vcpu[LM_MAX_VCPUS]; /* (l) set once; read with READ_ONCE */
	u32 bsp_id;			/* (l) vCPU id of the boot processor */
	int nr_vcpus;			/* (l) published with release after vcpu[] */
	struct lm_irq irq;		/* irqchips, routing, irqfd, ioeventfd */
	struct lm_vm_x86 x86;		/* clock, TSC rate, MSR defaults */
	u64 tss_addr, identity_map_addr; /* (l) */
	u32 nr_mmu_pages;		/* as user space set it */
	u32 max_vcpu_id;		/* (l) KVM_CAP_MAX_VCPU_ID, 0: not set */
	struct lm_ident *ident;		/* (c) name and control handles: names.h */
	struct lm_life life;		/* what others are told of it */
	atomic_t nr_blks;		/* disks */
	pid_t owner;			/* (c) for names in debugfs */
	struct list_head node;		/* on lm_vms */
	struct dentry *debugfs;
};

/**
 * struct lm_caps - what the vendor found on this host (constant after load)
 */
struct lm_caps {
	u8 phys_bits;
	const struct lm_npt_format *npt;	/* how the nested page table is encoded */
	u8 npt_levels;		/* of its walk */
	u8 large_levels;	/* highest level of a leaf: 1 4K, 2 2M, 3 1G */
	bool pdptrs;		/* PAE's four top entries are registers, loaded with CR3 */
	bool amd_insns;		/* instructions are read by AMD's rules, where the vendors differ */
	bool nrips, decode_assists, flush_by_asid, clean_bits, vgif;
	bool maybe_len;		/* it has a word on the length of instructions that met an NPF */
	bool tsc_scaling;
	u8 tsc_frac_bits;
	u64 tsc_max_ratio;
	u32 nr_asids;
	bool apic_hw;		/* the CPU delivers interrupts from the LAPIC's registers */
	bool tsc_exit;		/* the CPU leaves the guest at a TSC of the host's */
	bool spec_ctrl;		/* the CPU switches SPEC_CTRL with the guest */
	bool xsave;		/* XSETBV is intercepted and XCR0 can be switched */
};

extern struct lm_caps lm_caps;
extern bool lm_debug_dump;

/**
 * struct lm_backend - the only door between a vendor and the rest
 *
 * All but setup, teardown, vcpu_init, vcpu_free and leave_cpu run with preemption
 * off; load, enter, window and unload inside the section with interrupts off.
 * get, update and tsc run there and in ioctls.
 */
struct lm_backend {
	const char *name;
	const char *busy;			/* what may hold the CPU, and the way out */
	int (*setup)(void);			/* probe features; 0 or errno with one log line */
	void (*teardown)(void);
	int (*cpu_on)(void);			/* this CPU, interrupts off */
	void (*cpu_off)(void);
	int (*vcpu_init)(struct lm_vcpu *vcpu);
	void (*vcpu_free)(struct lm_vcpu *vcpu);
	/* Another CPU is next: nothing of the vCPU stays in this or any; sleeps; may be NULL. */
	void (*leave_cpu)(struct lm_vcpu *vcpu);
	void (*load)(struct lm_vcpu *vcpu);	/* section begins */
	void (*unload)(struct lm_vcpu *vcpu);	/* section ends */
	void (*enter)(struct lm_vcpu *vcpu);	/* dirty state in, run, fill vcpu->exit */
	void (*window)(struct lm_vcpu *vcpu);	/* let the host take interrupts and NMIs */
	void (*get)(struct lm_vcpu *vcpu, u32 groups);	/* save area → st; sets valid */
	void (*update)(struct lm_vcpu *vcpu);	/* CPUID, CR or debug set-up changed: intercepts, MSR bitmap */
	void (*tsc)(struct lm_vcpu *vcpu);	/* write TSC offset and ratio */
	/* Section: what waits in the LAPIC changed; NULL if the CPU knows nothing of it. */
	void (*apic)(struct lm_vcpu *vcpu);
	/* Section: lm_mem_logged() for each page that the CPU logged; NULL if it logs none. */
	void (*dirty)(struct lm_vcpu *vcpu);
	void (*dump)(struct lm_vcpu *vcpu);	/* the save area to the log, on failed entries */
};

extern const struct lm_backend lm_svm;
extern const struct lm_backend lm_vmx;

/* ---- neutral state ---- */

void lm_state_get(struct lm_vcpu *vcpu, u32 groups);	/* run.c: calls backend.get */

static __always_inline void lm_need_state(struct lm_vcpu *vcpu, u32 groups)
{
	if (unlikely(groups & ~vcpu->valid))
		lm_state_get(vcpu, groups & ~vcpu->valid);
}

static __always_inline void lm_mark_state(struct lm_vcpu *vcpu, u32 groups)
{
	vcpu->valid |= groups;
	vcpu->dirty |= groups;
}

#define LM_STATE_ACCESSORS(name, field, group)				\
static __always_inline u64 lm_##name(struct lm_vcpu *vcpu)		\
{									\
	lm_need_state(vcpu, group);					\
	return vcpu->st.field;						\
}									\
static __always_inline void lm_set_##name(struct lm_vcpu *vcpu, u64 v)	\
{									\
	vcpu->st.field = v;						\
	lm_mark_state(vcpu, group);					\
}

LM_STATE_ACCESSORS(rip, rip, LM_S_RIP)
LM_STATE_ACCESSORS(rsp, gpr[LM_RSP], LM_S_RSP)
LM_STATE_ACCESSORS(rflags, rflags, LM_S_RFLAGS)
LM_STATE_ACCESSORS(cr0, cr0, LM_S_CR0)
LM_STATE_ACCESSORS(cr2, cr2, LM_S_CR2)
LM_STATE_ACCESSORS(cr3, cr3, LM_S_CR3)
LM_STATE_ACCESSORS(cr4, cr4, LM_S_CR4)
LM_STATE_ACCESSORS(efer, efer, LM_S_EFER)
LM_STATE_ACCESSORS(pat, pat, LM_S_PAT)
LM_STATE_ACCESSORS(dr6, dr6, LM_S_DR)
LM_STATE_ACCESSORS(dr7, dr7, LM_S_DR)

static __always_inline u32 lm_seg_group(enum lm_seg_index s)
{
	return s == LM_CS ? LM_S_CS : s == LM_SS ? LM_S_SS :
	       s == LM_DS || s == LM_ES ? LM_S_DATA : LM_S_SEGS;
}

static __always_inline const struct lm_seg *lm_seg(struct lm_vcpu *vcpu, enum lm_seg_index s)
{
	lm_need_state(vcpu, lm_seg_group(s));
	return &vcpu->st.seg[s];
}

/* RAX to R15 but RSP: always current.  RSP goes through its group. */
static __always_inline u64 lm_gpr(struct lm_vcpu *vcpu, unsigned int n)
{
	if (n == LM_RSP)
		return lm_rsp(vcpu);
	return vcpu->st.gpr[n];
}

static __always_inline void lm_set_gpr(struct lm_vcpu *vcpu, unsigned int n, u64 v)
{
	vcpu->st.gpr[n] = v;
	if (n == LM_RSP)
		lm_mark_state(vcpu, LM_S_RSP);
}

/* CPL is SS.DPL on both vendors (APM vol. 2, 15.5.1 keeps a copy of its own). */
static inline u8 lm_cpl(struct lm_vcpu *vcpu)
{
	lm_need_state(vcpu, LM_S_MODE);
	return (vcpu->st.seg[LM_SS].attr & LM_SEG_DPL) >> LM_SEG_DPL_SHIFT;
}

/* The guest runs 64-bit code.  Of @st: EFER, and with EFER.LMA the mode. */
static __always_inline bool lm_st_is_64(const struct lm_state *st)
{
	return (st->efer & EFER_LMA) && (st->seg[LM_CS].attr & LM_SEG_L);
}

static inline bool lm_is_64(struct lm_vcpu *vcpu)
{
	lm_need_state(vcpu, LM_S_EFER);
	if (!(vcpu->st.efer & EFER_LMA))
		return false;
	lm_need_state(vcpu, LM_S_MODE);
	return lm_st_is_64(&vcpu->st);
}

/* The linear address of CS:RIP.  Of @st: RIP, EFER, the mode, and CS outside 64-bit mode. */
static __always_inline u64 lm_st_code(const struct lm_state *st)
{
	return lm_st_is_64(st) ? st->rip : (u32)(st->rip + st->seg[LM_CS].base);
}

/* #DB, DR6 and DR7 of the CPU are user space's; the guest's own are stored alone. */
static __always_inline bool lm_debug_owns_dr(const struct lm_vcpu *vcpu)
{
	return vcpu->dbg.control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP);
}

/* DR0 to DR3 as well. */
static __always_inline bool lm_debug_hw_bp(const struct lm_vcpu *vcpu)
{
	return vcpu->dbg.control & KVM_GUESTDBG_USE_HW_BP;
}

/* Groups of state that no control block holds then. */
static __always_inline u32 lm_debug_stored(const struct lm_vcpu *vcpu)
{
	return lm_debug_owns_dr(vcpu) ? LM_S_DR : 0;
}

/* Forget the instruction in progress: the vCPU does not go on from there. */
static inline void lm_io_abandon(struct lm_vcpu *vcpu)
{
	vcpu->io.nr = 0;
	vcpu->io.pending = false;
	vcpu->io.msr = false;
	vcpu->retry = false;
	vcpu->exit.nr_bytes = 0;
}

/* ---- run.c ---- */

int lm_vcpu_run(struct lm_vcpu *vcpu);
void lm_kick(struct lm_vcpu *vcpu);	/* out of the guest, awake; any context, irq-safe */
void lm_wake(struct lm_vcpu *vcpu);	/* awake if halted; any context */

static inline void lm_request(struct lm_vcpu *vcpu, enum lm_request req)
{
	set_bit(req, &vcpu->requests);
	smp_mb__after_atomic();		/* pairs with lm_section_enter() */
}

/* ---- section.c ---- */

int lm_section_enter(struct lm_vcpu *vcpu);
void lm_section_leave(struct lm_vcpu *vcpu);

/* ---- exit/: one handler for each kind, called inside the section ---- */

int lm_handle_exit(struct lm_vcpu *vcpu);	/* exit/exit.c */
int lm_skip_insn(struct lm_vcpu *vcpu);	/* RIP past the instruction: LM_DONE or LM_NEED */
bool lm_io_answered(struct lm_vcpu *vcpu);	/* user space has answered the access in progress */
int lm_user_error(struct lm_vcpu *vcpu, u32 suberror);	/* KVM_EXIT_INTERNAL_ERROR */

/* ---- exit/debug.c: KVM_SET_GUEST_DEBUG ---- */

int lm_set_guest_debug(struct lm_vcpu *vcpu, const struct kvm_guest_debug *dbg);
u64 lm_debug_dr6(const struct lm_vcpu *vcpu);
u64 lm_debug_dr7(const struct lm_vcpu *vcpu);
int lm_debug_prepare(struct lm_vcpu *vcpu);
void lm_debug_left(struct lm_vcpu *vcpu);
int lm_debug_handle(struct lm_vcpu *vcpu);
int lm_debug_report(struct lm_vcpu *vcpu);
u32 lm_debug_exceptions(const struct lm_vcpu *vcpu);
bool lm_debug_no_irq(const struct lm_vcpu *vcpu);

/* ---- virtio/blk.c ---- */

struct file *lm_blk_create(struct lm_vm *vm);

/* ---- cap.c ---- */

int lm_check_extension(struct lm_vm *vm, long ext);
int lm_vm_enable_cap(struct lm_vm *vm, const void __user *arg);
int lm_vcpu_enable_cap(struct lm_vcpu *vcpu, const void __user *arg);

/* ---- regs.c ---- */

int lm_get_regs(struct lm_vcpu *vcpu, struct kvm_regs *regs);
int lm_set_regs(struct lm_vcpu *vcpu, const struct kvm_regs *regs);
int lm_get_debugregs(struct lm_vcpu *vcpu, struct kvm_debugregs *d);
int lm_set_debugregs(struct lm_vcpu *vcpu, const struct kvm_debugregs *d);
int lm_sync_check(const struct kvm_run *run);
int lm_sync_in(struct lm_vcpu *vcpu);
void lm_sync_out(struct lm_vcpu *vcpu);

/* ---- vm.c, vcpu.c, main.c ---- */

extern struct mutex lm_vms_lock;	/* guards lm_vms and what names.h says */
extern struct list_head lm_vms;

struct lm_vm *lm_vm_get(struct lm_vm *vm);
void lm_vm_put(struct lm_vm *vm);
int lm_vm_create(unsigned long type);
int lm_vcpu_create(struct lm_vm *vm, u32 id);
void lm_vcpu_destroy(struct lm_vcpu *vcpu);
int lm_hardware_enable(void);
void lm_hardware_disable(void);
void lm_vms_suspend(void);
void lm_vms_resumed(void);
void lm_vms_stop(void);
void lm_vcpu_take_init_sipi(struct lm_vcpu *vcpu);

/* struct kvm_run, data of port accesses, the VM's ring of writes that wait */
#define LM_VCPU_MMAP_SIZE	(3 * PAGE_SIZE)

static inline struct lm_vcpu *lm_vcpu_get(struct lm_vm *vm, int index)
{
	return READ_ONCE(vm->vcpu[index]);
}

static inline int lm_vcpu_count(struct lm_vm *vm)
{
	/* Pairs with the release in lm_vcpu_publish(). */
	return smp_load_acquire(&vm->nr_vcpus);
}

#define lm_for_each_vcpu(i, v, vm)						\
	for ((i) = 0; (i) < lm_vcpu_count(vm) && ((v) = lm_vcpu_get(vm, i)); (i)++)

#endif
