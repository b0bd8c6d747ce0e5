// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instruction bytes at RIP, for CPUs that do not hand them over, and what they
 * decoded to when they were met before.
 *
 * The usual case, 4-level paging or none with every table and the code in one
 * slot and no right in doubt, is read in a single user access section.  All else
 * goes the long way through lm_fetch(), which also knows the faults.
 */
#include <linux/nospec.h>
#include <linux/uaccess.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "../ept/tree.h"

#define PT_P	BIT_ULL(0)
#define PT_U	BIT_ULL(2)
#define PT_A	BIT_ULL(5)
#define PT_PS	BIT_ULL(7)
#define PT_NX	BIT_ULL(63)
#define PT_ADDR	GENMASK_ULL(51, 12)

#define LM_QUICK_BYTES	16	/* read as two words, so one more than an instruction has */

/* The slot that was hit last, as bytes. */
struct lm_quick {
	void __user *mem;
	u64 base, size;
};

/*
 * Where 16 bytes at @at lie in the slot.  The slot's range was checked when it was
 * made; the mask keeps a guest from steering a speculative read past its end.
 */
#define LM_QUICK_USER(q, at, end) ({					\
	u64 o = (at) - (q)->base;					\
									\
	if (unlikely(o > (q)->size - LM_QUICK_BYTES))			\
		goto end;						\
	(u64 __user *)((q)->mem + array_index_nospec(o, (q)->size - LM_QUICK_BYTES + 1)); \
})

/* Long mode with 4 levels; the walk of anything else is not worth a second form. */
static __always_inline bool lm_quick_paging(struct lm_vcpu *vcpu, u64 linear)
{
	return (vcpu->st.efer & EFER_LMA) && !(vcpu->st.cr4 & X86_CR4_LA57) &&
	       (u64)((s64)(linear << 16) >> 16) == linear;
}

/* In the access section: the guest physical address of code, or -1: ask lm_fetch(). */
static __always_inline u64 lm_quick_walk(struct lm_vcpu *vcpu, const struct lm_quick *q, u64 linear)
{
	u64 bad = vcpu->x86.pa_reserved | PT_NX, all = ~0ull;
	u64 at = vcpu->st.cr3 & PT_ADDR, pte = 0;
	unsigned int shift = 39;

	if (!lm_quick_paging(vcpu, linear))
		goto end;
	for (;;) {
		u64 __user *p = LM_QUICK_USER(q, at + ((linear >> shift) & 511) * sizeof(pte), end);

		unsafe_get_user(pte, p, end);
		if ((pte & (PT_P | PT_A | bad)) != (PT_P | PT_A))
			goto end;
		all &= pte;
		at = pte & PT_ADDR;
		if (shift == PAGE_SHIFT)
			break;
		shift -= 9;
		if (!(pte & PT_PS))
			continue;
		/* 2M alone: bits 20:13 are reserved, 12 is PAT. */
		if (shift != PAGE_SHIFT || (pte & GENMASK_ULL(20, 13)))
			goto end;
		at = (pte & GENMASK_ULL(51, 21)) | (linear & GENMASK_ULL(20, 12));
		break;
	}
	if ((vcpu->st.seg[LM_SS].attr & LM_SEG_DPL) == LM_SEG_DPL ? !(all & PT_U) :
	    (all & PT_U) && (vcpu->st.cr4 & X86_CR4_SMEP))
		goto end;
	return at | (linear & ~PAGE_MASK);
end:
	return ~0ull;
}

/* And the shadow, which the end of the instruction asks for. */
#define LM_QUICK_STATE	(LM_S_RIP | LM_S_RFLAGS | LM_S_CR0 | LM_S_EFER | LM_S_MODE | LM_S_SHADOW)
#define LM_QUICK_PAGING	(LM_S_CR3 | LM_S_CR4)

static noinline void lm_quick_more(struct lm_vcpu *vcpu)
{
	const struct lm_state *st = &vcpu->st;
	u32 more = 0;

	if (st->cr0 & X86_CR0_PG)
		more |= LM_QUICK_PAGING;
	if (!lm_st_is_64(st))
		more |= LM_S_CS;
	lm_need_state(vcpu, more);
}

/* What lm_quick_bytes() and lm_insn_key() look at; where each read costs, not more. */
static __always_inline void lm_quick_state(struct lm_vcpu *vcpu)
{
	lm_need_state(vcpu, LM_QUICK_STATE);
	if (~vcpu->valid & (LM_QUICK_PAGING | LM_S_CS))
		lm_quick_more(vcpu);
}

/*
 * The 16 bytes from CS:RIP on, if that is simple; false: nothing was done.  The
 * caller has asked for the state, since nothing may be called inside the access section.
 */
static __always_inline bool lm_quick_bytes(struct lm_vcpu *vcpu, u64 *to)
{
	struct lm_slots *slots = lm_slots_section(vcpu);
	const struct lm_slot *slot;
	u64 __user *p;
	struct lm_quick q;
	u64 at;

	at = lm_st_code(&vcpu->st);
	if (vcpu->mem.last >= slots->nr || (at & ~PAGE_MASK) > PAGE_SIZE - LM_QUICK_BYTES)
		return false;
	slot = &slots->slot[vcpu->mem.last];
	q.base = slot->gfn << PAGE_SHIFT;
	q.size = slot->npages << PAGE_SHIFT;
	q.mem = (void __user *)slot->hva;

	pagefault_disable();
	__uaccess_begin();
	if (vcpu->st.cr0 & X86_CR0_PG)
		at = lm_quick_walk(vcpu, &q, at);
	p = LM_QUICK_USER(&q, at, end);
	unsafe_get_user(to[0], p, end);
	unsafe_get_user(to[1], p + 1, end);
	__uaccess_end();
	pagefault_enable();
	return true;
end:
	__uaccess_end();
	pagefault_enable();
	return false;
}

/**
 * lm_fetch_quick - the 16 bytes from CS:RIP on, if that is simple
 * @vcpu: in its section
 * @to: the result, two words
 *
 * Return: true, or false: nothing was done, ask lm_fetch()
 */
bool lm_fetch_quick(struct lm_vcpu *vcpu, u64 *to)
{
	lm_quick_state(vcpu);
	return lm_quick_bytes(vcpu, to);
}

/* All of the state that bytes are decoded with, see lm_insn_mode(). */
static __always_inline u64 lm_insn_key(const struct lm_vcpu *vcpu)
{
	const struct lm_state *st = &vcpu->st;

	return (u64)(st->seg[LM_CS].attr & (LM_SEG_L | LM_SEG_DB)) << 32 |
	       (st->cr0 & X86_CR0_PE) | (st->efer & EFER_LMA) | (st->rflags & X86_EFLAGS_VM);
}

static __always_inline struct lm_insn_cached *lm_insn_place(struct lm_vcpu *vcpu)
{
	return &vcpu->insn[(vcpu->st.rip ^ vcpu->st.rip >> 4) & (LM_INSN_CACHE - 1)];
}

/**
 * lm_insn_quick - the instruction at RIP, if it was met before
 * @vcpu: in its section
 *
 * The bytes are left in vcpu->exit if they could be read.
 *
 * Return: the instruction, valid until the next is decoded, or NULL
 */
const struct lm_insn *lm_insn_quick(struct lm_vcpu *vcpu)
{
	struct lm_exit *e = &vcpu->exit;
	struct lm_insn_cached *c;

	lm_quick_state(vcpu);
	if (!e->nr_bytes) {
		if (!lm_quick_bytes(vcpu, e->words))
			return NULL;
		e->nr_bytes = LM_INSN_MAX;
	}
	c = lm_insn_place(vcpu);
	if (unlikely(c->words[0] != e->words[0] || c->words[1] != e->words[1] ||
		     c->key != lm_insn_key(vcpu) || e->nr_bytes != LM_INSN_MAX))
		return NULL;
	return &c->insn;
}

/**
 * lm_insn_keep - decode the bytes in vcpu->exit and keep the result
 * @vcpu: in its section
 * @mode: LM_MODE_*
 * @insn: where it is kept; it counts only if all bytes that could matter were there
 *
 * Return: enum lm_insn_status
 */
int lm_insn_keep(struct lm_vcpu *vcpu, unsigned int mode, const struct lm_insn **insn)
{
	struct lm_exit *e = &vcpu->exit;
	struct lm_insn_cached *c;
	int r;

	lm_need_state(vcpu, LM_QUICK_STATE);
	c = lm_insn_place(vcpu);
	r = lm_insn_decode(&c->insn, e->bytes, e->nr_bytes, mode);
	c->words[0] = e->words[0];
	c->words[1] = e->words[1];
	c->key = r == LM_INSN_OK && e->nr_bytes == LM_INSN_MAX ? lm_insn_key(vcpu) : ~0ull;
	*insn = &c->insn;
	return r;
}
