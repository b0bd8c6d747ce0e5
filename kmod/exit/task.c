// SPDX-License-Identifier: GPL-2.0-only
/*
 * Task switches through a TSS: CALL and JMP to one or to a task gate, IRET with NT set,
 * events by a task gate in the IDT.  VMX knows none in the guest (SDM vol. 3, 26.4.2),
 * and SVM's are intercepted to be the same.  SDM vol. 3, 8.3; APM vol. 2, 12.3.
 *
 * A CPU reads the new task's segments after the switch is committed.  Here all is read
 * first, by the new task's CR3 where that counts, and what a fault leaves of the new task
 * is made beforehand.  So the handler is restartable like any other: it reads; makes sure
 * that all it will write is there; writes, the new TSS's busy bit last, since nothing
 * else shows to a second run; then changes registers, which cannot fail.
 */
#include <uapi/asm/debugreg.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "exit.h"

/* In the order in which the CPU qualifies them (table 8-1), each needs those before. */
static const u8 lm_task_order[] = { LM_LDTR, LM_CS, LM_SS, LM_ES, LM_DS, LM_FS, LM_GS };

/* 32-bit TSS (figure 8-2): what a switch writes is one block. */
struct lm_tss32 {
	u32 link;
	u32 stacks[6];
	u32 cr3;
	u32 eip, eflags;
	u32 gpr[8];
	u32 sel[6];		/* ES, CS, SS, DS, FS, GS, as in enum lm_seg_index */
	u32 ldt;
	u16 trap, io_map;
} __packed;

/* 16-bit TSS (figure 8-10). */
struct lm_tss16 {
	u16 link;
	u16 stacks[6];
	u16 ip, flags;
	u16 gpr[8];
	u16 sel[4];
	u16 ldt;
} __packed;

#define LM_TASK_IRET	1	/* lm_exit.task.reason */
#define LM_TASK_JMP	2
#define LM_TASK_GATE	3

#define LM_TSS_BUSY	0x2	/* of the descriptor's type */
#define LM_TSS_32	0x8

#define LM_TASK_FLAGS	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | X86_EFLAGS_SF | \
			 X86_EFLAGS_TF | X86_EFLAGS_IF | X86_EFLAGS_DF | X86_EFLAGS_OF | X86_EFLAGS_IOPL | \
			 X86_EFLAGS_NT | X86_EFLAGS_RF | X86_EFLAGS_VM | X86_EFLAGS_AC | X86_EFLAGS_VIF | \
			 X86_EFLAGS_VIP | X86_EFLAGS_ID)

/* Blocks of the TSSs, one bit each of descriptors, the error code: twice where pages end. */
#define LM_TASK_WRITES	16

/*
 * One switch under way.  A fault met is kept in vector, error and cr2; nobody has been
 * told of it yet.
 */
struct lm_task {
	struct lm_vcpu *vcpu;
	u8 reason;
	u16 ext;			/* EXT of error codes: no instruction did it */
	u8 vector;
	u32 error;
	u64 cr2;

	struct lm_seg tr;		/* the new task's */
	struct lm_seg seg[LM_SEGS];
	u32 gpr[8], eip, eflags, cr3;
	bool new_cr3, trap;
	u8 cpl;

	union {
		struct {
			u32 eip, eflags, gpr[8], sel[6];
		} old32;
		struct {
			u16 ip, flags, gpr[8], sel[4];
		} old16;
	};
	u16 link;
	u8 old_type, new_type;
	u8 types[LM_SEGS];
	u32 code;			/* what is pushed */

	unsigned int nr_writes;
	struct {
		u64 gpa;
		const void *from;
		u8 bytes;
	} write[LM_TASK_WRITES];
};

static int lm_task_fault(struct lm_task *t, u8 vector, u16 sel)
{
	t->vector = vector;
	t->error = (sel & 0xfffc) | t->ext;
	return LM_FAULT;
}

static int lm_task_pf(struct lm_task *t, u64 la, u32 error)
{
	t->vector = X86_TRAP_PF;
	t->error = error;
	t->cr2 = la;
	return LM_FAULT;
}

/* Others keep changing the page table: a turn later. */
static int lm_task_again(struct lm_task *t, int r)
{
	if (r != LM_AGAIN)
		return r;
	t->vcpu->mem.need_tables = true;
	return LM_NEED;
}

static int lm_task_read(struct lm_task *t, u64 la, void *buf, unsigned int bytes)
{
	unsigned int got;
	int r = lm_linear_read(t->vcpu, la, buf, bytes, LM_ACC_SYS, &got);

	if (r == LM_FAULT)
		return lm_task_pf(t, t->vcpu->x86.fault_addr, t->vcpu->x86.fault_error);
	return lm_task_again(t, r);
}

/* Have @bytes bytes from @from written at the end, which cannot fault then. */
static int lm_task_plan(struct lm_task *t, u64 la, const void *from, unsigned int bytes, u32 access)
{
	unsigned int part;
	u32 error;
	u64 gpa;
	int r;

	for (; bytes; la += part, from += part, bytes -= part) {
		la = (u32)la;
		part = min_t(unsigned int, bytes, PAGE_SIZE - offset_in_page(la));
		r = lm_walk(t->vcpu, la, LM_ACC_WRITE | access, &gpa, &error);
		if (r == LM_FAULT)
			return lm_task_pf(t, la, error);
		if (r == LM_DONE)
			r = lm_gpa_probe_write(t->vcpu, gpa, part);
		if (r)
			return lm_task_again(t, r);
		if (WARN_ON_ONCE(t->nr_writes == LM_TASK_WRITES))
			return LM_USER;
		t->write[t->nr_writes].gpa = gpa;
		t->write[t->nr_writes].from = from;
		t->write[t->nr_writes++].bytes = part;
	}
	return LM_DONE;
}

/* Backwards: what was planned first is what a second run would stumble over. */
static int lm_task_write(struct lm_task *t)
{
	unsigned int i;
	int r;

	for (i = t->nr_writes; i--; ) {
		r = lm_gpa_write(t->vcpu, t->write[i].gpa, t->write[i].from, t->write[i].bytes);
		if (r)
			return r;
	}
	return LM_DONE;
}

/* ---- descriptors ---- */

static void lm_task_unpack(struct lm_seg *s, u16 sel, u64 desc)
{
	s->sel = sel;
	s->attr = (desc >> 40 & 0xff) | (desc >> 52 & 0xf) << 8;
	s->base = (desc >> 16 & 0xffffff) | (desc >> 56) << 24;
	s->limit = (desc & 0xffff) | (desc >> 32 & 0xf0000);
	if (s->attr & LM_SEG_G)
		s->limit = s->limit << 12 | 0xfff;
}

static unsigned int lm_task_dpl(const struct lm_seg *s)
{
	return (s->attr & LM_SEG_DPL) >> LM_SEG_DPL_SHIFT;
}

/* Where @sel's descriptor is, by the GDT and the new task's LDT; false: out of limits. */
static bool lm_task_at(struct lm_task *t, u16 sel, u64 *la)
{
	const struct lm_seg *ldt = &t->seg[LM_LDTR];
	u32 limit = t->vcpu->st.gdt.limit;
	u64 base = t->vcpu->st.gdt.base;

	if (sel & 4) {
		if (!(ldt->attr & LM_SEG_P))
			return false;
		limit = ldt->limit;
		base = ldt->base;
	}
	*la = (u32)(base + (sel & ~7));
	return (sel | 7) <= limit;
}

/* @vector is raised where there is no such descriptor. */
static int lm_task_desc(struct lm_task *t, u16 sel, u8 vector, struct lm_seg *s, u64 *la)
{
	u64 desc;
	int r;

	if (!lm_task_at(t, sel, la))
		return lm_task_fault(t, vector, sel);
	r = lm_task_read(t, *la, &desc, sizeof(desc));
	if (r == LM_DONE)
		lm_task_unpack(s, sel, desc);
	return r;
}

/* ---- before the commit: what goes wrong is the old task's ---- */

static unsigned int lm_task_tss_limit(u16 attr)
{
	return attr & LM_TSS_32 ? sizeof(struct lm_tss32) - 1 : sizeof(struct lm_tss16) - 1;
}

/* The upper half of table 8-1. */
static int lm_task_new_tss(struct lm_task *t, u16 sel)
{
	bool iret = t->reason == LM_TASK_IRET;
	struct lm_seg *tr = &t->tr;
	u8 want = iret ? 1 | LM_TSS_BUSY : 1;
	u64 la;
	int r;

	if (!(sel & 0xfffc) || (sel & 4))
		return lm_task_fault(t, iret ? X86_TRAP_TS : X86_TRAP_GP, sel);
	r = lm_task_desc(t, sel, iret ? X86_TRAP_TS : X86_TRAP_GP, tr, &la);
	if (r)
		return r;
	if ((tr->attr & (LM_SEG_S | LM_SEG_TYPE) & ~LM_TSS_32) != want)
		return lm_task_fault(t, iret ? X86_TRAP_TS : X86_TRAP_GP, sel);
	if (!(tr->attr & LM_SEG_P))
		return lm_task_fault(t, X86_TRAP_NP, sel);
	if (tr->limit < lm_task_tss_limit(tr->attr))
		return lm_task_fault(t, X86_TRAP_TS, sel);
	if (iret)
		return LM_DONE;
	/* The first of all writes: see lm_task_write(). */
	t->new_type = tr->attr | LM_TSS_BUSY;
	return lm_task_plan(t, la + 5, &t->new_type, 1, LM_ACC_SYS);
}

static int lm_task_read_new32(struct lm_task *t, u16 *sel)
{
	struct lm_tss32 tss;
	unsigned int i;
	int r;

	r = lm_task_read(t, t->tr.base, &tss, sizeof(tss));
	if (r)
		return r;
	for (i = 0; i < 8; i++)
		t->gpr[i] = tss.gpr[i];
	for (i = 0; i < 6; i++)
		sel[i] = tss.sel[i];
	sel[LM_LDTR] = tss.ldt;
	t->eip = tss.eip;
	t->eflags = tss.eflags & LM_TASK_FLAGS;
	t->trap = tss.trap & 1;
	t->cr3 = tss.cr3;
	t->new_cr3 = lm_cr0(t->vcpu) & X86_CR0_PG;
	return LM_DONE;
}

/* It has no FS, GS and CR3; the upper halves of registers are not defined. */
static int lm_task_read_new16(struct lm_task *t, u16 *sel)
{
	struct lm_tss16 tss;
	unsigned int i;
	int r;

	r = lm_task_read(t, t->tr.base, &tss, sizeof(tss));
	if (r)
		return r;
	for (i = 0; i < 8; i++)
		t->gpr[i] = tss.gpr[i];
	for (i = 0; i < 4; i++)
		sel[i] = tss.sel[i];
	sel[LM_FS] = 0;
	sel[LM_GS] = 0;
	sel[LM_LDTR] = tss.ldt;
	t->eip = tss.ip;
	t->eflags = tss.flags & LM_TASK_FLAGS;
	return LM_DONE;
}

/* The old task is to run an instruction again that has faulted: no breakpoint shall hit on it. */
static bool lm_task_after_fault(const struct lm_task *t)
{
	const struct lm_exit *e = &t->vcpu->exit;
	u8 vector = e->task.event & LM_EV_VECTOR;

	return t->reason == LM_TASK_GATE && !e->task.soft &&
	       (e->task.event & LM_EV_TYPE) == LM_EV_EXC && vector != X86_TRAP_DB &&
	       vector != X86_TRAP_DF && vector != X86_TRAP_MC;
}

/* The old task as it goes on: behind the instruction of @len bytes, if one did it. */
static int lm_task_save_old(struct lm_task *t, unsigned int len)
{
	const struct lm_state *st = &t->vcpu->st;
	const struct lm_seg *tr = &st->seg[LM_TR];
	u32 flags = st->rflags, ip = st->rip + len;
	unsigned int i;

	if (tr->limit < lm_task_tss_limit(tr->attr))
		return lm_task_fault(t, X86_TRAP_TS, tr->sel);
	if (len)
		flags &= ~(u32)X86_EFLAGS_RF;
	if (lm_task_after_fault(t))
		flags |= X86_EFLAGS_RF;
	if (t->reason == LM_TASK_IRET)
		flags &= ~(u32)X86_EFLAGS_NT;
	if (tr->attr & LM_TSS_32) {
		t->old32.eip = ip;
		t->old32.eflags = flags;
		for (i = 0; i < 8; i++)
			t->old32.gpr[i] = st->gpr[i];
		for (i = 0; i < 6; i++)
			t->old32.sel[i] = st->seg[i].sel;
		return lm_task_plan(t, tr->base + offsetof(struct lm_tss32, eip), &t->old32,
				    sizeof(t->old32), LM_ACC_SYS);
	}
	t->old16.ip = ip;
	t->old16.flags = flags;
	for (i = 0; i < 8; i++)
		t->old16.gpr[i] = st->gpr[i];
	for (i = 0; i < 4; i++)
		t->old16.sel[i] = st->seg[i].sel;
	return lm_task_plan(t, tr->base + offsetof(struct lm_tss16, ip), &t->old16,
			    sizeof(t->old16), LM_ACC_SYS);
}

/* JMP and IRET end the old task, the others nest the new one in it (table 8-2). */
static int lm_task_links(struct lm_task *t)
{
	const struct lm_seg *old = &t->vcpu->st.seg[LM_TR];
	struct lm_seg s;
	u64 la;
	int r;

	if (t->reason == LM_TASK_JMP || t->reason == LM_TASK_IRET) {
		if (!(old->sel & 0xfffc) || (old->sel & 4) || !lm_task_at(t, old->sel, &la))
			return LM_DONE;
		r = lm_task_desc(t, old->sel, X86_TRAP_TS, &s, &la);
		if (r)
			return r;
		t->old_type = s.attr & ~LM_TSS_BUSY;
		return lm_task_plan(t, la + 5, &t->old_type, 1, LM_ACC_SYS);
	}
	t->link = old->sel;
	t->eflags |= X86_EFLAGS_NT;
	return lm_task_plan(t, t->tr.base, &t->link, sizeof(t->link), LM_ACC_SYS);
}

/* INT n by a gate that may not be used so; SVM's intercept may come first. */
static int lm_task_gate(struct lm_task *t, u64 event)
{
	const struct lm_state *st = &t->vcpu->st;
	u8 vector = event & LM_EV_VECTOR;
	struct lm_seg gate;
	u64 desc;
	int r;

	r = lm_task_read(t, (u32)(st->idt.base + vector * 8), &desc, sizeof(desc));
	if (r)
		return r;
	lm_task_unpack(&gate, 0, desc);
	if (lm_cpl(t->vcpu) <= lm_task_dpl(&gate))
		return LM_DONE;
	lm_task_fault(t, X86_TRAP_GP, 0);
	t->error = vector << 3 | 2;
	return LM_FAULT;
}

/* ---- after it: what goes wrong is the new task's ---- */

/* A register that is not usable, with a DPL all the same: SS's is the CPL. */
static void lm_task_no_seg(struct lm_task *t, enum lm_seg_index i, u16 sel)
{
	t->seg[i] = (struct lm_seg) { .sel = sel };
	if (i == LM_SS)
		t->seg[i].attr = t->cpl << LM_SEG_DPL_SHIFT;
}

/* What keeps @s from being this register: a vector, 0 if nothing (table 8-1). */
static u8 lm_task_refuses(const struct lm_task *t, enum lm_seg_index i, const struct lm_seg *s)
{
	unsigned int dpl = lm_task_dpl(s), rpl = s->sel & 3;
	bool code = s->attr & 8, conforming = code && (s->attr & 4), rw = s->attr & 2;

	if (i == LM_LDTR)
		return (s->attr & (LM_SEG_S | LM_SEG_TYPE)) == 2 && (s->attr & LM_SEG_P) ?
		       0 : X86_TRAP_TS;
	if (!(s->attr & LM_SEG_S))
		return X86_TRAP_TS;
	switch (i) {
	case LM_CS:
		if (!code || (conforming ? dpl > rpl : dpl != rpl))
			return X86_TRAP_TS;
		return s->attr & LM_SEG_P ? 0 : X86_TRAP_NP;
	case LM_SS:
		if (code || !rw || rpl != t->cpl || dpl != t->cpl)
			return X86_TRAP_TS;
		return s->attr & LM_SEG_P ? 0 : X86_TRAP_SS;
	default:
		if ((code && !rw) || (!conforming && dpl < max_t(unsigned int, rpl, t->cpl)))
			return X86_TRAP_TS;
		return s->attr & LM_SEG_P ? 0 : X86_TRAP_NP;
	}
}

static int lm_task_load(struct lm_task *t, enum lm_seg_index i, u16 sel)
{
	struct lm_seg s;
	u8 vector;
	u64 la;
	int r;

	if (!(sel & 0xfffc)) {
		if (i == LM_CS || i == LM_SS)
			return lm_task_fault(t, X86_TRAP_TS, sel);
		lm_task_no_seg(t, i, sel);
		return LM_DONE;
	}
	if (i == LM_LDTR && (sel & 4))
		return lm_task_fault(t, X86_TRAP_TS, sel);
	r = lm_task_desc(t, sel, X86_TRAP_TS, &s, &la);
	if (r)
		return r;
	vector = lm_task_refuses(t, i, &s);
	if (vector)
		return lm_task_fault(t, vector, sel);
	if (i != LM_LDTR && !(s.attr & 1)) {
		s.attr |= 1;
		t->types[i] = s.attr;
		r = lm_task_plan(t, la + 5, &t->types[i], 1, LM_ACC_SYS);
		if (r)
			return r;
	}
	if (i == LM_CS)
		t->cpl = sel & 3;
	t->seg[i] = s;
	return LM_DONE;
}

static void lm_task_vm86(struct lm_task *t, const u16 *sel)
{
	unsigned int i;

	for (i = LM_ES; i <= LM_GS; i++)
		t->seg[i] = (struct lm_seg) {
			.sel = sel[i], .base = sel[i] << 4, .limit = 0xffff,
			.attr = LM_SEG_P | LM_SEG_DPL | LM_SEG_S | 3,
		};
	t->cpl = 3;
}

/*
 * A register after one that faulted has its selector and cannot be used.  Until CS could be
 * loaded the new task runs with the least privilege, so that a fault finds another stack than
 * the one that the task itself has set: its code is a segment of level 3 that nothing is
 * fetched from.  A fault of SS leaves one that is void.
 */
static int lm_task_segments(struct lm_task *t, const u16 *sel)
{
	unsigned int n;
	int r;

	t->cpl = 3;
	for (n = 0; n < ARRAY_SIZE(lm_task_order); n++)
		lm_task_no_seg(t, lm_task_order[n], sel[lm_task_order[n]]);
	t->seg[LM_CS].sel |= 3;
	t->seg[LM_CS].limit = ~0u;
	t->seg[LM_CS].attr = LM_SEG_P | LM_SEG_S | LM_SEG_DPL | LM_SEG_DB | LM_SEG_G | 0xb;
	if (t->eflags & X86_EFLAGS_VM)
		lm_task_vm86(t, sel);
	r = lm_task_load(t, LM_LDTR, sel[LM_LDTR]);
	if (r || (t->eflags & X86_EFLAGS_VM))
		return r;
	for (n = 1; n < ARRAY_SIZE(lm_task_order) && r == LM_DONE; n++) {
		r = lm_task_load(t, lm_task_order[n], sel[lm_task_order[n]]);
		if (lm_task_order[n] == LM_CS && r == LM_DONE)
			lm_task_no_seg(t, LM_SS, sel[LM_SS]);
	}
	return r;
}

/* The new task's stack has the event's error code, in its own width. */
static int lm_task_push(struct lm_task *t, u32 code)
{
	const struct lm_seg *ss = &t->seg[LM_SS];
	unsigned int bytes = t->tr.attr & LM_TSS_32 ? 4 : 2;
	u32 sp = t->gpr[LM_RSP] - bytes, top = sp;
	bool down = !(t->eflags & X86_EFLAGS_VM) && (ss->attr & 0xc) == 4;

	if (!(ss->attr & LM_SEG_DB))
		top = (u16)sp;
	if (down ? top <= ss->limit || top + bytes - 1 < top :
	    top > ss->limit || ss->limit - top < bytes - 1)
		return lm_task_fault(t, X86_TRAP_SS, 0);
	t->gpr[LM_RSP] = ss->attr & LM_SEG_DB ? sp : (t->gpr[LM_RSP] & 0xffff0000) | top;
	t->code = code;
	return lm_task_plan(t, ss->base + top, &t->code, bytes, t->cpl == 3 ? LM_ACC_USER : 0);
}

/* With the new task's CR3 in place. */
static int lm_task_arrive(struct lm_task *t, const u16 *sel)
{
	const struct lm_exit *e = &t->vcpu->exit;
	int r = lm_task_segments(t, sel);

	if (r == LM_DONE && e->task.has_error)
		r = lm_task_push(t, e->task.error);
	return r;
}

/* ---- the switch ---- */

/* Nothing here fails. */
static void lm_task_commit(struct lm_task *t)
{
	struct lm_vcpu *vcpu = t->vcpu;
	struct lm_state *st = &vcpu->st;
	unsigned int i;

	for (i = 0; i < 8; i++)
		st->gpr[i] = t->gpr[i];
	for (i = LM_ES; i <= LM_LDTR; i++)
		st->seg[i] = t->seg[i];
	t->tr.attr |= LM_TSS_BUSY;
	st->seg[LM_TR] = t->tr;
	st->rip = t->eip;
	st->rflags = t->eflags | X86_EFLAGS_FIXED;
	st->shadow = LM_SHADOW_NONE;
	lm_mark_state(vcpu, LM_S_RIP | LM_S_RSP | LM_S_RFLAGS | LM_S_CS | LM_S_SS | LM_S_DATA |
		      LM_S_SEGS | LM_S_SHADOW);
	if (t->new_cr3)
		lm_write_cr3(vcpu, t->cr3);
	lm_set_cr0(vcpu, lm_cr0(vcpu) | X86_CR0_TS);
	lm_set_dr7(vcpu, lm_dr7(vcpu) & ~0x55ull);	/* L0 to L3 (SDM vol. 3, 18.2.4) */
	vcpu->exit.nr_bytes = 0;
	lm_request(vcpu, LM_REQ_EVENT);
}

static bool lm_task_same_event(u64 a, u64 b)
{
	return a && !((a ^ b) & (LM_EV_TYPE | LM_EV_VECTOR));
}

/*
 * The event that the task gate was for is no longer in flight, also where its delivery has
 * faulted: an interrupt is lost then, and an exception is what the fault adds to (table 7-5).
 * Another that waits meanwhile stays.
 */
static void lm_task_event_over(struct lm_task *t, bool faulted)
{
	u64 event = t->vcpu->exit.task.event;
	struct lm_events *ev = &t->vcpu->ev;

	if (t->reason != LM_TASK_GATE)
		return;
	if ((event & LM_EV_TYPE) == LM_EV_NMI)
		ev->nmi_masked = true;
	if (faulted && (event & LM_EV_TYPE) == LM_EV_EXC)
		return;
	if (lm_task_same_event(ev->exc, event)) {
		ev->exc = 0;
		ev->exc_payload = 0;
	} else if (lm_task_same_event(ev->inflight, event)) {
		ev->inflight = 0;
	}
}

/* The new task is there.  IRET ends the masking of NMIs. */
static void lm_task_arrived(struct lm_task *t, bool faulted)
{
	struct lm_vcpu *vcpu = t->vcpu;

	if (t->reason == LM_TASK_IRET)
		vcpu->ev.nmi_masked = false;
	lm_task_event_over(t, faulted);
	/* An exception stays for what the fault adds to it. */
	if (!faulted || (vcpu->ev.inflight & LM_EV_TYPE) != LM_EV_EXC)
		vcpu->ev.inflight = 0;
	if (faulted)
		lm_queue_exception(vcpu, t->vector, true, t->error, t->cr2);
	else if (t->trap)
		lm_queue_exception(vcpu, X86_TRAP_DB, false, 0, DR_SWITCH);
}

static int lm_task_leave(struct lm_task *t, u16 *sel, unsigned int len)
{
	const struct lm_exit *e = &t->vcpu->exit;
	int r = LM_DONE;

	if (e->task.soft && (e->task.event & LM_EV_TYPE) == LM_EV_SOFT)
		r = lm_task_gate(t, e->task.event);
	if (!r)
		r = lm_task_new_tss(t, e->task.sel);
	if (!r)
		r = t->tr.attr & LM_TSS_32 ? lm_task_read_new32(t, sel) : lm_task_read_new16(t, sel);
	if (!r)
		r = lm_task_save_old(t, len);
	return r ? r : lm_task_links(t);
}

static int lm_task_switch(struct lm_task *t, unsigned int len)
{
	struct lm_vcpu *vcpu = t->vcpu;
	u64 cr3 = lm_cr3(vcpu);
	u16 sel[LM_SEGS];
	bool faulted;
	int r;

	r = lm_task_leave(t, sel, len);
	if (r == LM_FAULT) {
		lm_task_event_over(t, true);
		lm_queue_exception(vcpu, t->vector, true, t->error, t->cr2);
	}
	if (r)
		return r;

	if (t->new_cr3)
		vcpu->st.cr3 = t->cr3;
	r = lm_task_arrive(t, sel);
	vcpu->st.cr3 = cr3;
	faulted = r == LM_FAULT;
	if (r && !faulted)
		return r;
	r = lm_task_write(t);
	if (r)
		return r;
	lm_task_commit(t);
	lm_task_arrived(t, faulted);
	return LM_DONE;
}

/**
 * lm_exit_task - a task switch
 * @vcpu: in its section
 *
 * Return: LM_DONE, also if it raised an exception; LM_NEED; LM_USER if a table lies in no memory
 */
int lm_exit_task(struct lm_vcpu *vcpu)
{
	const struct lm_exit *e = &vcpu->exit;
	struct lm_task t = { .vcpu = vcpu, .reason = e->task.reason };
	int len = 0, r;

	lm_need_state(vcpu, LM_S_ALL & ~(LM_S_SYSCALL | LM_S_PAT | LM_S_PDPTRS | LM_S_EFER | LM_S_CR2));
	if (e->task.soft) {
		len = lm_insn_len(vcpu);
		if (len <= 0)
			return -len;
	}
	t.ext = !e->task.soft;
	r = lm_task_switch(&t, len);
	if (r == LM_FAULT)
		return LM_DONE;
	return r == LM_USER ? lm_user_error(vcpu, KVM_INTERNAL_ERROR_EMULATION) : r;
}
