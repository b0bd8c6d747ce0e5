// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk of the guest's own page table, and reads through it, in the section
 * (APM vol. 2, 5; SDM vol. 3, 4).  The walk is restartable: it changes accessed
 * and dirty bits last, and setting them twice does no harm.
 */
#include <linux/bits.h>
#include <linux/kernel.h>
#include <asm/pgtable_types.h>
#include <asm/pkru.h>
#include <asm/processor-flags.h>
#include <asm/msr-index.h>

#include "../lamina.h"

#define PT_P		BIT_ULL(0)
#define PT_W		BIT_ULL(1)
#define PT_U		BIT_ULL(2)
#define PT_A		BIT_ULL(5)
#define PT_D		BIT_ULL(6)
#define PT_PS		BIT_ULL(7)
#define PT_NX		BIT_ULL(63)
#define PT_ADDR		GENMASK_ULL(51, 12)

#define LM_PF_P		BIT(0)
#define LM_PF_W		BIT(1)
#define LM_PF_U		BIT(2)
#define LM_PF_RSVD		BIT(3)
#define LM_PF_ID		BIT(4)
#define LM_PF_PK		BIT(5)

#define LM_WALK_TRIES	4

/**
 * struct lm_pt_walk - one walk
 * @cr0: as the vCPU has it
 * @cr4: likewise
 * @efer: likewise
 * @access: LM_ACC_*
 * @reserved: bits that no entry may have
 * @size: of an entry, 4 or 8
 * @top: highest level
 * @level: of the leaf
 * @gpa: where entry [level - 1] lies
 * @pte: the entries read
 */
struct lm_pt_walk {
	u64 cr0, cr4, efer;
	u32 access;
	u64 reserved;
	u8 size, top, level;
	u64 gpa[5], pte[5];
};

static __always_inline int lm_pte_read(struct lm_vcpu *vcpu, u64 gpa, u64 *pte, unsigned int size)
{
	int r;

	*pte = 0;
	r = lm_gpa_read(vcpu, gpa, pte, size);
	if (unlikely(r == LM_USER)) {
		/* nothing answers there: the bus floats */
		*pte = size == 8 ? ~0ull : U32_MAX;
		r = LM_DONE;
	}
	return r;
}

static u32 lm_walk_error(const struct lm_pt_walk *w, u32 error)
{
	if (w->access & LM_ACC_WRITE)
		error |= LM_PF_W;
	if (w->access & LM_ACC_USER)
		error |= LM_PF_U;
	/* reported only where the CPU can tell instruction fetches apart (APM vol. 2, 8.4.2) */
	if ((w->access & LM_ACC_EXEC) &&
	    ((w->cr4 & X86_CR4_SMEP) || ((w->efer & EFER_NX) && (w->cr4 & X86_CR4_PAE))))
		error |= LM_PF_ID;
	return error;
}

/* Protection keys: for data in user pages of long mode (APM vol. 2, 5.6.7). */
static bool lm_pkey_denies(const struct lm_pt_walk *w, u64 leaf, u32 pkru)
{
	unsigned int key = (leaf >> 59) & 15;

	if (!(w->cr4 & X86_CR4_PKE) || !(w->efer & EFER_LMA) || (w->access & LM_ACC_EXEC))
		return false;
	if (!__pkru_allows_read(pkru, key))
		return true;
	return (w->access & LM_ACC_WRITE) && !__pkru_allows_write(pkru, key) &&
	       ((w->access & LM_ACC_USER) || (w->cr0 & X86_CR0_WP));
}

/* Is this access allowed?  @all: AND of all entries, @any: OR; 0 or the error bits. */
static u32 lm_walk_denied(struct lm_vcpu *vcpu, const struct lm_pt_walk *w, u64 all, u64 any)
{
	u32 acc = w->access;

	if ((acc & LM_ACC_EXEC) && (any & PT_NX) && (w->efer & EFER_NX))
		return LM_PF_P;
	if ((acc & LM_ACC_USER) && !(all & PT_U))
		return LM_PF_P;
	if ((acc & LM_ACC_WRITE) && !(all & PT_W) &&
	    ((acc & LM_ACC_USER) || (w->cr0 & X86_CR0_WP)))
		return LM_PF_P;
	if (!(all & PT_U))
		return 0;
	if (!(acc & LM_ACC_USER)) {
		if ((acc & LM_ACC_EXEC) && (w->cr4 & X86_CR4_SMEP))
			return LM_PF_P;
		/* AC lifts SMAP for explicit accesses alone */
		if (!(acc & LM_ACC_EXEC) && (w->cr4 & X86_CR4_SMAP) &&
		    ((acc & LM_ACC_SYS) || !(lm_rflags(vcpu) & X86_EFLAGS_AC)))
			return LM_PF_P;
	}
	if (unlikely(lm_pkey_denies(w, w->pte[w->level - 1], vcpu->x86.pkru)))
		return LM_PF_P | LM_PF_PK;
	return 0;
}

/* Accessed everywhere, dirty in the leaf.  A page table in read-only memory keeps its bits. */
static int lm_walk_mark(struct lm_vcpu *vcpu, struct lm_pt_walk *w)
{
	u64 want = PT_A, old;
	int level, r;

	for (level = w->top; level >= w->level; level--) {
		/* the four pointers of PAE mode have neither bit */
		if (w->size == 8 && w->top == 3 && level == 3)
			continue;
		if (level == w->level && (w->access & LM_ACC_WRITE))
			want |= PT_D;
		old = w->pte[level - 1];
		if ((old & want) == want)
			continue;
		r = lm_gpa_cmpxchg(vcpu, w->gpa[level - 1], &old, old | want, w->size);
		if (r && r != LM_USER)
			return r;
	}
	return LM_DONE;
}

static u64 lm_leaf_gpa(const struct lm_pt_walk *w, u64 pte, u64 linear)
{
	unsigned int bits = 12 + (w->level - 1) * (w->size == 8 ? 9 : 10);
	u64 mask = BIT_ULL(bits) - 1;

	if (w->size == 8)
		return (pte & PT_ADDR & ~mask) | (linear & mask);
	/* 4 MiB page: bits 20:13 are bits 39:32 of the address (PSE36) */
	if (w->level == 2)
		return (pte & 0xffc00000) | (pte & 0x1fe000) << 19 | (linear & mask);
	return (pte & 0xfffff000) | (linear & mask);
}

/* Bits that this entry may not have; a large page's low address bits but PAT. */
static bool lm_pte_reserved(const struct lm_vcpu *vcpu, const struct lm_pt_walk *w, u64 pte,
			    int level)
{
	u64 bad = w->reserved;

	if (w->size == 4) {
		if (level == 2 && (pte & PT_PS) && (w->cr4 & X86_CR4_PSE))
			return pte & (vcpu->x86.has_pse36 ? BIT_ULL(21) : GENMASK_ULL(21, 13));
		return false;
	}
	if (level >= 4)
		bad |= PT_PS;
	else if (level == 3 && w->top == 3)
		/* bits 8:5 too by the manual, but CPUs that walk it like any other set A there */
		bad |= GENMASK_ULL(8, 7) | PT_W | PT_U | GENMASK_ULL(63, 52);
	else if (level == 3 && (pte & PT_PS))
		bad |= vcpu->x86.has_1g ? GENMASK_ULL(29, 13) : PT_PS;
	else if (level == 2 && (pte & PT_PS))
		bad |= GENMASK_ULL(20, 13);
	return pte & bad;
}

static bool lm_pte_leaf(const struct lm_pt_walk *w, u64 pte, int level)
{
	if (level == 1)
		return true;
	if (!(pte & PT_PS))
		return false;
	return w->size == 8 ? level <= 3 : w->cr4 & X86_CR4_PSE;
}

static void lm_walk_init(struct lm_vcpu *vcpu, struct lm_pt_walk *w, u32 access)
{
	lm_need_state(vcpu, LM_S_CR0 | LM_S_CR3 | LM_S_CR4 | LM_S_EFER);
	w->cr0 = vcpu->st.cr0;
	w->cr4 = vcpu->st.cr4;
	w->efer = vcpu->st.efer;
	w->access = access;
	if (likely(w->cr4 & X86_CR4_PAE)) {
		w->size = 8;
		w->reserved = vcpu->x86.pa_reserved;
		if (!(w->efer & EFER_NX))
			w->reserved |= PT_NX;
		if (w->efer & EFER_LMA) {
			w->top = w->cr4 & X86_CR4_LA57 ? 5 : 4;
		} else {
			w->top = 3;
			w->reserved |= GENMASK_ULL(62, 52);
		}
	} else {
		w->size = 4;
		w->top = 2;
		w->reserved = 0;
	}
}

static int lm_walk_once(struct lm_vcpu *vcpu, struct lm_pt_walk *w, u64 linear, u64 *gpa,
			u32 *error)
{
	u64 table = vcpu->st.cr3, all = ~0ull, any = 0, pte, index;
	unsigned int bits = w->size == 8 ? 9 : 10;
	bool pdpte;
	u32 denied;
	int level, r;

	table &= w->size == 8 && w->top > 3 ? PT_ADDR : w->top == 3 ? 0xffffffe0 : 0xfffff000;
	for (level = w->top; ; level--) {
		pdpte = w->top == 3 && level == 3;
		index = linear >> (12 + (level - 1) * bits);
		index &= pdpte ? 3 : BIT(bits) - 1;
		w->gpa[level - 1] = table + index * w->size;
		r = lm_pte_read(vcpu, w->gpa[level - 1], &pte, w->size);
		if (unlikely(r))
			return r;
		w->pte[level - 1] = pte;
		if (unlikely(!(pte & PT_P))) {
			*error = lm_walk_error(w, 0);
			return LM_FAULT;
		}
		if (unlikely(lm_pte_reserved(vcpu, w, pte, level))) {
			*error = lm_walk_error(w, LM_PF_P | LM_PF_RSVD);
			return LM_FAULT;
		}
		/* PAE's four pointers say nothing on rights */
		if (!pdpte)
			all &= pte;
		any |= pte;
		if (lm_pte_leaf(w, pte, level))
			break;
		table = pte & (w->size == 8 ? PT_ADDR : 0xfffff000);
	}
	w->level = level;
	denied = lm_walk_denied(vcpu, w, all, any);
	if (unlikely(denied)) {
		*error = lm_walk_error(w, denied);
		return LM_FAULT;
	}
	*gpa = lm_leaf_gpa(w, pte, linear);
	/* everything accessed already, and dirty if need be: the common case */
	if (likely((all & PT_A) && (!(w->access & LM_ACC_WRITE) || (pte & PT_D))))
		return LM_DONE;
	return lm_walk_mark(vcpu, w);
}

/**
 * lm_walk - linear to guest physical
 * @vcpu: in its section
 * @linear: canonical linear address
 * @access: LM_ACC_*
 * @gpa: result
 * @error: the page fault's error code, with LM_FAULT
 *
 * LM_DONE, LM_NEED, LM_FAULT, or LM_AGAIN if other vCPUs keep changing the table.
 */
int lm_walk(struct lm_vcpu *vcpu, u64 linear, u32 access, u64 *gpa, u32 *error)
{
	struct lm_pt_walk w;
	int tries, r = LM_AGAIN;

	if (!(lm_cr0(vcpu) & X86_CR0_PG)) {
		*gpa = (u32)linear;
		return LM_DONE;
	}
	lm_walk_init(vcpu, &w, access);
	for (tries = 0; r == LM_AGAIN && tries < LM_WALK_TRIES; tries++)
		r = lm_walk_once(vcpu, &w, linear, gpa, error);
	return r;
}

/**
 * lm_access - the kind of access that the guest's code makes now
 * @vcpu: in its section
 */
u32 lm_access(struct lm_vcpu *vcpu)
{
	return lm_cpl(vcpu) == 3 ? LM_ACC_USER : 0;
}

/**
 * lm_linear_read - read linear memory
 * @vcpu: in its section
 * @linear: where; wraps at 4 GiB outside long mode
 * @buf: result
 * @bytes: how many
 * @access: LM_ACC_*
 * @got: how many were read before the answer was not LM_DONE
 */
int lm_linear_read(struct lm_vcpu *vcpu, u64 linear, void *buf, unsigned int bytes, u32 access,
		   unsigned int *got)
{
	unsigned int chunk;
	u32 error;
	u64 gpa;
	int r;

	*got = 0;
	while (bytes) {
		if (!(lm_efer(vcpu) & EFER_LMA))
			linear = (u32)linear;
		chunk = min_t(unsigned int, bytes, PAGE_SIZE - (linear & ~PAGE_MASK));
		r = lm_walk(vcpu, linear, access, &gpa, &error);
		if (r == LM_FAULT) {
			vcpu->x86.fault_addr = linear;
			vcpu->x86.fault_error = error;
		}
		if (r)
			return r;
		r = lm_gpa_read(vcpu, gpa, buf, chunk);
		if (r)
			return r;
		*got += chunk;
		buf += chunk;
		linear += chunk;
		bytes -= chunk;
	}
	return LM_DONE;
}

/**
 * lm_fetch - read instruction bytes
 * @vcpu: in its section
 * @linear: CS base plus RIP
 * @buf: result
 * @bytes: at most 15
 * @got: how many there are; fewer if the answer is not LM_DONE
 *
 * As lm_linear_read(); the bytes before the trouble may suffice to decode.
 */
int lm_fetch(struct lm_vcpu *vcpu, u64 linear, void *buf, unsigned int bytes, unsigned int *got)
{
	return lm_linear_read(vcpu, linear, buf, bytes, lm_access(vcpu) | LM_ACC_EXEC, got);
}
