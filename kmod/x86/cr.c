// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control and debug registers, EFER and XCR0: what may be written when, and what
 * follows from it (APM vol. 2, 3.1; SDM vol. 3, 2.5).
 */
#include <linux/bits.h>
#include <linux/sched.h>
#include <asm/apicdef.h>
#include <asm/debugreg.h>
#include <asm/fpu/types.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "../irq/chips.h"
#include "../lamina.h"

#define LM_CR0_KNOWN	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | \
			 X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | \
			 X86_CR0_PG)

/* A change of these voids what the TLB holds (SDM vol. 3, 4.10.4.1). */
#define LM_CR0_FLUSH	(X86_CR0_PG | X86_CR0_WP | X86_CR0_PE)
#define LM_CR4_FLUSH	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP | \
			 X86_CR4_SMAP | X86_CR4_LA57 | X86_CR4_PKE)

#define LM_CR3_NOFLUSH	BIT_ULL(63)

/**
 * lm_guest_tlb_flush - the guest's translations may be stale
 * @vcpu: the vCPU, by its own thread
 *
 * No generation of the nested page table is 0: the next entry flushes the tag.
 */
void lm_guest_tlb_flush(struct lm_vcpu *vcpu)
{
	vcpu->flush.gen = 0;
}

/**
 * lm_canonical - does this linear address exist?
 * @vcpu: the vCPU
 * @linear: the address
 */
bool lm_canonical(struct lm_vcpu *vcpu, u64 linear)
{
	unsigned int shift = lm_cr4(vcpu) & X86_CR4_LA57 ? 64 - 57 : 64 - 48;

	return (u64)((s64)(linear << shift) >> shift) == linear;
}

static bool lm_cr0_valid(u64 val)
{
	if (val >> 32)
		return false;
	if ((val & X86_CR0_PG) && !(val & X86_CR0_PE))
		return false;
	return !(val & X86_CR0_NW) || (val & X86_CR0_CD);
}

/* Turning paging on with EFER.LME set enters long mode, turning it off leaves it. */
static int lm_cr0_paging(struct lm_vcpu *vcpu, u64 val)
{
	u64 efer = lm_efer(vcpu);

	if (val & X86_CR0_PG) {
		if (!(efer & EFER_LME))
			return 0;
		if (!(lm_cr4(vcpu) & X86_CR4_PAE) || (lm_seg(vcpu, LM_CS)->attr & LM_SEG_L))
			return 1;
		lm_set_efer(vcpu, efer | EFER_LMA);
		return 0;
	}
	if (lm_cr4(vcpu) & X86_CR4_PCIDE)
		return 1;
	if (!(efer & EFER_LMA))
		return 0;
	if (lm_seg(vcpu, LM_CS)->attr & LM_SEG_L)
		return 1;
	lm_set_efer(vcpu, efer & ~(u64)EFER_LMA);
	return 0;
}

/* CR0, CR3, CR4 or EFER changed in software: PAE's top entries may be others now. */
static void lm_pdptrs_changed(struct lm_vcpu *vcpu)
{
	if (lm_caps.pdptrs)
		lm_request(vcpu, LM_REQ_PDPTRS);
}

static u64 lm_pdptr_reserved(const struct lm_vcpu *vcpu)
{
	return GENMASK_ULL(63, 52) | vcpu->x86.pa_reserved | 0x1e6;
}

/**
 * lm_pdptrs_load - read PAE's four top entries, which are registers (SDM vol. 3, 4.4.1)
 * @vcpu: in its section
 *
 * An entry with reserved bits counts as not present; the MOV that loads it is #GP
 * on a CPU.
 */
int lm_pdptrs_load(struct lm_vcpu *vcpu)
{
	u64 pdptr[4], reserved = lm_pdptr_reserved(vcpu);
	unsigned int i;
	int r;

	if (!(lm_cr0(vcpu) & X86_CR0_PG) || !(lm_cr4(vcpu) & X86_CR4_PAE) ||
	    (lm_efer(vcpu) & EFER_LMA))
		return LM_DONE;
	r = lm_gpa_read(vcpu, lm_cr3(vcpu) & 0xffffffe0, pdptr, sizeof(pdptr));
	if (r == LM_USER)
		memset(pdptr, 0, sizeof(pdptr));
	else if (r)
		return r;
	for (i = 0; i < ARRAY_SIZE(pdptr); i++)
		vcpu->st.pdptr[i] = (pdptr[i] & 1) && !(pdptr[i] & reserved) ? pdptr[i] : 0;
	lm_mark_state(vcpu, LM_S_PDPTRS);
	return LM_DONE;
}

/**
 * lm_write_cr0 - MOV to CR0, LMSW, CLTS
 * @vcpu: the vCPU
 * @val: new value
 */
int lm_write_cr0(struct lm_vcpu *vcpu, u64 val)
{
	u64 old = lm_cr0(vcpu);

	if (!lm_cr0_valid(val))
		return 1;
	val = (val & LM_CR0_KNOWN) | X86_CR0_ET;
	if (((val ^ old) & X86_CR0_PG) && lm_cr0_paging(vcpu, val))
		return 1;
	lm_set_cr0(vcpu, val);
	if ((val ^ old) & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW))
		lm_pdptrs_changed(vcpu);
	if ((val ^ old) & LM_CR0_FLUSH)
		lm_guest_tlb_flush(vcpu);
	return 0;
}

static bool lm_cr3_valid(struct lm_vcpu *vcpu, u64 val)
{
	/* outside long mode the CPU looks at 32 bits only */
	return !(lm_efer(vcpu) & EFER_LMA) ||
	       !(val & (vcpu->x86.pa_reserved | GENMASK_ULL(63, 52)));
}

/**
 * lm_write_cr3 - MOV to CR3
 * @vcpu: the vCPU
 * @val: new value
 */
int lm_write_cr3(struct lm_vcpu *vcpu, u64 val)
{
	bool keep = false;

	if (lm_cr4(vcpu) & X86_CR4_PCIDE) {
		keep = val & LM_CR3_NOFLUSH;
		val &= ~LM_CR3_NOFLUSH;
	}
	if (!lm_cr3_valid(vcpu, val))
		return 1;
	lm_set_cr3(vcpu, val);
	lm_pdptrs_changed(vcpu);
	if (!keep)
		lm_guest_tlb_flush(vcpu);
	return 0;
}

/**
 * lm_write_cr4 - MOV to CR4
 * @vcpu: the vCPU
 * @val: new value
 */
int lm_write_cr4(struct lm_vcpu *vcpu, u64 val)
{
	u64 old = lm_cr4(vcpu), changed = val ^ old;
	bool lma = lm_efer(vcpu) & EFER_LMA;

	if (val & vcpu->x86.cr4_reserved)
		return 1;
	if (lma && (!(val & X86_CR4_PAE) || (changed & X86_CR4_LA57)))
		return 1;
	if ((changed & val & X86_CR4_PCIDE) && (!lma || (lm_cr3(vcpu) & 0xfff)))
		return 1;
	lm_set_cr4(vcpu, val);
	if (changed & LM_CR4_FLUSH) {
		lm_pdptrs_changed(vcpu);
		lm_guest_tlb_flush(vcpu);
	}
	if (changed & X86_CR4_OSXSAVE)
		lm_fpu_xcr0_update(vcpu);
	return 0;
}

/**
 * lm_write_cr8 - MOV to CR8
 * @vcpu: the vCPU
 * @val: new value
 */
int lm_write_cr8(struct lm_vcpu *vcpu, u64 val)
{
	if (val & ~0xfull)
		return 1;
	if (vcpu->lapic)
		lm_lapic_set_tpr(vcpu, val);
	else
		vcpu->x86.cr8 = val;
	return 0;
}

/**
 * lm_write_efer - a write of EFER
 * @vcpu: the vCPU
 * @val: new value; LMA is the CPU's alone and stays
 * @host: by user space: what the module offers counts, not the guest's mode
 */
int lm_write_efer(struct lm_vcpu *vcpu, u64 val, bool host)
{
	u64 old = lm_efer(vcpu);

	val = (val & ~(u64)EFER_LMA) | (old & EFER_LMA);
	if (val & (host ? lm_efer_reserved_host() : vcpu->x86.efer_reserved))
		return 1;
	if (!host && (lm_cr0(vcpu) & X86_CR0_PG) && ((val ^ old) & EFER_LME))
		return 1;
	lm_set_efer(vcpu, val);
	if ((val ^ old) & EFER_NX)
		lm_guest_tlb_flush(vcpu);
	return 0;
}

/**
 * lm_xcr0_valid - may XCR0 have this value?
 * @supported: components that the vCPU has
 * @val: the value
 */
bool lm_xcr0_valid(u64 supported, u64 val)
{
	u64 avx512 = val & XFEATURE_MASK_AVX512;

	if (!(val & XFEATURE_MASK_FP) || (val & ~supported))
		return false;
	if ((val & XFEATURE_MASK_YMM) && !(val & XFEATURE_MASK_SSE))
		return false;
	return !avx512 || (avx512 == XFEATURE_MASK_AVX512 && (val & XFEATURE_MASK_YMM));
}

/**
 * lm_write_xcr0 - XSETBV
 * @vcpu: the vCPU; CPL and CR4.OSXSAVE were checked by the CPU
 * @index: ECX
 * @val: EDX:EAX
 */
int lm_write_xcr0(struct lm_vcpu *vcpu, u32 index, u64 val)
{
	if (index || !lm_xcr0_valid(vcpu->x86.xcr0_supported | XFEATURE_MASK_FP, val))
		return 1;
	vcpu->x86.xcr0 = val;
	lm_fpu_xcr0_update(vcpu);
	return 0;
}

/* ---- debug registers ---- */

/**
 * lm_check_dr - may the guest touch this debug register now?
 * @vcpu: in its section; CPL was checked by the CPU
 * @nr: register number as encoded
 *
 * 0, or 1 after #UD (SDM vol. 3, 17.2.2) or #DB (17.2.4) was queued.
 */
int lm_check_dr(struct lm_vcpu *vcpu, unsigned int nr)
{
	if (nr > 7 || ((nr == 4 || nr == 5) && (lm_cr4(vcpu) & X86_CR4_DE))) {
		lm_inject_ud(vcpu);
		return 1;
	}
	if (lm_dr7(vcpu) & DR_GENERAL_DETECT) {
		lm_queue_exception(vcpu, X86_TRAP_DB, false, 0, DR_ACCESS);
		return 1;
	}
	return 0;
}

/**
 * lm_write_dr - MOV to a debug register
 * @vcpu: in its section
 * @nr: register number as encoded
 * @val: new value
 *
 * 0, or 1 after an exception was queued.
 */
int lm_write_dr(struct lm_vcpu *vcpu, unsigned int nr, u64 val)
{
	if (lm_check_dr(vcpu, nr))
		return 1;
	if (nr < 4) {
		vcpu->st.dr[nr] = val;
		if (vcpu->dr_loaded && !lm_debug_hw_bp(vcpu))
			set_debugreg(val, nr);
		return 0;
	}
	if (val >> 32) {
		lm_inject_gp(vcpu, 0);
		return 1;
	}
	if (nr & 1)
		lm_set_dr7(vcpu, (val & LM_DR7_WRITABLE) | LM_DR7_FIXED);
	else
		lm_set_dr6(vcpu, (val & LM_DR6_WRITABLE) | LM_DR6_FIXED);
	return 0;
}

/**
 * lm_read_dr - the value of a debug register
 * @vcpu: in its section, after lm_check_dr()
 * @nr: register number as encoded
 */
u64 lm_read_dr(struct lm_vcpu *vcpu, unsigned int nr)
{
	unsigned long val;

	if (nr >= 4)
		return nr & 1 ? lm_dr7(vcpu) : lm_dr6(vcpu);
	if (!vcpu->dr_loaded || lm_debug_hw_bp(vcpu))
		return vcpu->st.dr[nr];
	get_debugreg(val, nr);
	return val;
}

/* ---- KVM_GET_SREGS, KVM_SET_SREGS ---- */

static void lm_seg_out(const struct lm_seg *s, struct kvm_segment *k)
{
	memset(k, 0, sizeof(*k));
	k->base = s->base;
	k->limit = s->limit;
	k->selector = s->sel;
	k->type = s->attr & LM_SEG_TYPE;
	k->s = !!(s->attr & LM_SEG_S);
	k->dpl = (s->attr & LM_SEG_DPL) >> LM_SEG_DPL_SHIFT;
	k->present = !!(s->attr & LM_SEG_P);
	k->avl = !!(s->attr & LM_SEG_AVL);
	k->l = !!(s->attr & LM_SEG_L);
	k->db = !!(s->attr & LM_SEG_DB);
	k->g = !!(s->attr & LM_SEG_G);
	k->unusable = !k->present;
}

static void lm_seg_in(struct lm_seg *s, const struct kvm_segment *k)
{
	s->base = k->base;
	s->limit = k->limit;
	s->sel = k->selector;
	s->attr = (k->type & LM_SEG_TYPE) | (k->s ? LM_SEG_S : 0) |
		  (k->dpl & 3) << LM_SEG_DPL_SHIFT |
		  (k->present && !k->unusable ? LM_SEG_P : 0) |
		  (k->avl ? LM_SEG_AVL : 0) | (k->l ? LM_SEG_L : 0) |
		  (k->db ? LM_SEG_DB : 0) | (k->g ? LM_SEG_G : 0);
}

/**
 * lm_sregs_get - KVM_GET_SREGS
 * @vcpu: not in its section
 * @s: result
 */
int lm_sregs_get(struct lm_vcpu *vcpu, struct kvm_sregs *s)
{
	const struct lm_state *st = &vcpu->st;
	u64 event = vcpu->ev.inflight;
	int irq = vcpu->lapic ? -1 : vcpu->ev.user_irq;

	lm_need_state(vcpu, LM_S_CR0 | LM_S_CR2 | LM_S_CR3 | LM_S_CR4 | LM_S_EFER | LM_S_CS |
		      LM_S_SS | LM_S_DATA | LM_S_SEGS | LM_S_DT);
	memset(s, 0, sizeof(*s));
	lm_seg_out(&st->seg[LM_CS], &s->cs);
	lm_seg_out(&st->seg[LM_DS], &s->ds);
	lm_seg_out(&st->seg[LM_ES], &s->es);
	lm_seg_out(&st->seg[LM_FS], &s->fs);
	lm_seg_out(&st->seg[LM_GS], &s->gs);
	lm_seg_out(&st->seg[LM_SS], &s->ss);
	lm_seg_out(&st->seg[LM_TR], &s->tr);
	lm_seg_out(&st->seg[LM_LDTR], &s->ldt);
	s->gdt.base = st->gdt.base;
	s->gdt.limit = st->gdt.limit;
	s->idt.base = st->idt.base;
	s->idt.limit = st->idt.limit;
	s->cr0 = st->cr0;
	s->cr2 = st->cr2;
	s->cr3 = st->cr3;
	s->cr4 = st->cr4;
	s->cr8 = lm_read_cr8(vcpu);
	s->efer = st->efer;
	s->apic_base = vcpu->x86.apic_base_msr;
	if ((event & LM_EV_VALID) && (event & LM_EV_TYPE) == LM_EV_INTR)
		irq = event & LM_EV_VECTOR;
	if (irq >= 0)
		s->interrupt_bitmap[irq / 64] |= BIT_ULL(irq % 64);
	return 0;
}

/* Combinations that no sequence of instructions can reach, and that entries would refuse. */
static bool lm_sregs_valid(struct lm_vcpu *vcpu, const struct kvm_sregs *s)
{
	const struct lm_x86 *x = &vcpu->x86;

	if (!lm_cr0_valid(s->cr0) || (s->cr4 & x->cr4_reserved) ||
	    (s->efer & lm_efer_reserved_host()))
		return false;
	if ((s->efer & EFER_LME) && (s->cr0 & X86_CR0_PG)) {
		if (!(s->cr4 & X86_CR4_PAE) || !(s->efer & EFER_LMA))
			return false;
		if (s->cr3 & (x->pa_reserved | GENMASK_ULL(63, 52)))
			return false;
	} else if ((s->efer & EFER_LMA) || s->cs.l) {
		return false;
	}
	if ((s->cr4 & X86_CR4_PCIDE) && !(s->efer & EFER_LMA))
		return false;
	return !(s->cr8 & ~0xfull);
}

static void lm_sregs_event(struct lm_vcpu *vcpu, const struct kvm_sregs *s)
{
	unsigned int i;
	int irq = -1;

	for (i = 0; i < ARRAY_SIZE(s->interrupt_bitmap) && irq < 0; i++)
		if (s->interrupt_bitmap[i])
			irq = i * 64 + __ffs64(s->interrupt_bitmap[i]);
	if (irq < 0)
		return;
	if (vcpu->lapic)
		vcpu->ev.inflight = LM_EV_VALID | LM_EV_INTR | (u8)irq;
	else
		vcpu->ev.user_irq = irq;
}

/**
 * lm_sregs_set - KVM_SET_SREGS
 * @vcpu: not in its section
 * @s: the user's values
 */
int lm_sregs_set(struct lm_vcpu *vcpu, const struct kvm_sregs *s)
{
	struct lm_state *st = &vcpu->st;
	bool flush;

	if (!lm_sregs_valid(vcpu, s))
		return -EINVAL;
	if (s->apic_base != vcpu->x86.apic_base_msr &&
	    lm_msr_write(vcpu, MSR_IA32_APICBASE, s->apic_base, true))
		return -EINVAL;

	lm_need_state(vcpu, LM_S_CR0 | LM_S_CR3 | LM_S_CR4 | LM_S_EFER);
	flush = st->cr0 != s->cr0 || st->cr3 != s->cr3 || st->cr4 != s->cr4 || st->efer != s->efer;
	lm_seg_in(&st->seg[LM_CS], &s->cs);
	lm_seg_in(&st->seg[LM_DS], &s->ds);
	lm_seg_in(&st->seg[LM_ES], &s->es);
	lm_seg_in(&st->seg[LM_FS], &s->fs);
	lm_seg_in(&st->seg[LM_GS], &s->gs);
	lm_seg_in(&st->seg[LM_SS], &s->ss);
	lm_seg_in(&st->seg[LM_TR], &s->tr);
	lm_seg_in(&st->seg[LM_LDTR], &s->ldt);
	/* the CPU marks the TSS in use; clients leave it free */
	st->seg[LM_TR].attr |= 2;
	st->gdt = (struct lm_dtr){ .base = s->gdt.base, .limit = s->gdt.limit };
	st->idt = (struct lm_dtr){ .base = s->idt.base, .limit = s->idt.limit };
	st->cr0 = (s->cr0 & LM_CR0_KNOWN) | X86_CR0_ET;
	st->cr2 = s->cr2;
	st->cr3 = s->cr3;
	st->cr4 = s->cr4;
	st->efer = s->efer;
	lm_mark_state(vcpu, LM_S_CR0 | LM_S_CR2 | LM_S_CR3 | LM_S_CR4 | LM_S_EFER | LM_S_CS |
		      LM_S_SS | LM_S_DATA | LM_S_SEGS | LM_S_DT);
	lm_write_cr8(vcpu, s->cr8);
	lm_fpu_xcr0_update(vcpu);
	lm_pdptrs_changed(vcpu);
	if (flush)
		lm_guest_tlb_flush(vcpu);
	lm_sregs_event(vcpu, s);
	lm_request(vcpu, LM_REQ_EVENT);
	/* user space that resets a halted vCPU does not say that it runs */
	if (lm_rip(vcpu) == 0xfff0 && s->cs.selector == 0xf000 && s->cs.base == 0xffff0000 &&
	    !(s->cr0 & X86_CR0_PE) && vcpu->id == vcpu->vm->bsp_id)
		WRITE_ONCE(vcpu->mp_state, KVM_MP_STATE_RUNNABLE);
	return 0;
}

/* ---- KVM_GET_SREGS2, KVM_SET_SREGS2: PAE's top entries in place of an interrupt ---- */

static bool lm_pae_paging(u64 cr0, u64 cr4, u64 efer)
{
	return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) && !(efer & EFER_LMA);
}

/**
 * lm_sregs2_get - KVM_GET_SREGS2
 * @vcpu: not in its section
 * @s: result; with entries only where the CPU has them in registers
 */
int lm_sregs2_get(struct lm_vcpu *vcpu, struct kvm_sregs2 *s)
{
	struct lm_state *st = &vcpu->st;
	struct kvm_sregs old;

	BUILD_BUG_ON(offsetof(struct kvm_sregs, interrupt_bitmap) !=
		     offsetof(struct kvm_sregs2, flags));
	lm_sregs_get(vcpu, &old);
	memset(s, 0, sizeof(*s));
	memcpy(s, &old, offsetof(struct kvm_sregs2, flags));
	if (!lm_caps.pdptrs || !lm_pae_paging(st->cr0, st->cr4, st->efer) ||
	    test_bit(LM_REQ_PDPTRS, &vcpu->requests))
		return 0;
	lm_need_state(vcpu, LM_S_PDPTRS);
	memcpy(s->pdptrs, st->pdptr, sizeof(s->pdptrs));
	s->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	return 0;
}

/**
 * lm_sregs2_set - KVM_SET_SREGS2
 * @vcpu: not in its section
 * @s: the user's values; where the CPU has no registers for the entries, memory rules
 *
 * Return: 0, or -EINVAL
 */
int lm_sregs2_set(struct lm_vcpu *vcpu, const struct kvm_sregs2 *s)
{
	bool pdptrs = s->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	struct kvm_sregs old = {};
	unsigned int i;
	int r;

	if (s->flags & ~KVM_SREGS2_FLAGS_PDPTRS_VALID)
		return -EINVAL;
	if (pdptrs && !lm_pae_paging(s->cr0, s->cr4, s->efer))
		return -EINVAL;
	for (i = 0; pdptrs && i < ARRAY_SIZE(s->pdptrs); i++)
		if ((s->pdptrs[i] & 1) && (s->pdptrs[i] & lm_pdptr_reserved(vcpu)))
			return -EINVAL;		/* entries would refuse it */
	memcpy(&old, s, offsetof(struct kvm_sregs2, flags));
	r = lm_sregs_set(vcpu, &old);
	if (r || !pdptrs || !lm_caps.pdptrs)
		return r;
	memcpy(vcpu->st.pdptr, s->pdptrs, sizeof(s->pdptrs));
	lm_mark_state(vcpu, LM_S_PDPTRS);
	clear_bit(LM_REQ_PDPTRS, &vcpu->requests);
	return 0;
}
