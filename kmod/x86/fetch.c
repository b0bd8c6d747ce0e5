// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instruction bytes at RIP, for CPUs that do not hand them over.
 *
 * The usual case, 4-level paging or none with every table and the code in one
 * slot and no right in doubt, is read in a single user access section.  All else
 * goes the long way through lm_fetch(), which also knows the faults.
 */
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

/* Long mode with 4 levels; the walk of anything else is not worth a second form. */
static __always_inline bool lm_quick_paging(struct lm_vcpu *vcpu, u64 linear)
{
	return (vcpu->st.efer & EFER_LMA) && !(vcpu->st.cr4 & X86_CR4_LA57) &&
	       (u64)((s64)(linear << 16) >> 16) == linear;
}

/**
 * lm_fetch_quick - the 16 bytes from a linear address on, if that is simple
 * @vcpu: in its section
 * @linear: CS base plus RIP
 * @to: the result, two words
 *
 * Return: true, or false: nothing was done, ask lm_fetch()
 */
bool lm_fetch_quick(struct lm_vcpu *vcpu, u64 linear, u64 *to)
{
	struct lm_slots *slots = lm_slots_section(vcpu);
	u64 bad = vcpu->x86.pa_reserved | PT_NX, all = ~0ull;
	u64 base, size, at, pte = 0;
	const struct lm_slot *slot;
	unsigned int shift = 39;
	void __user *mem;

	if (vcpu->mem.last >= slots->nr || (linear & ~PAGE_MASK) > PAGE_SIZE - LM_QUICK_BYTES)
		return false;
	/* Nothing may be called inside the access section. */
	lm_need_state(vcpu, LM_S_CR0 | LM_S_CR3 | LM_S_CR4 | LM_S_EFER | LM_S_SS);
	slot = &slots->slot[vcpu->mem.last];
	base = slot->gfn << PAGE_SHIFT;
	size = slot->npages << PAGE_SHIFT;
	mem = (void __user *)slot->hva;

	pagefault_disable();
	if (!user_access_begin(mem, size))
		goto out;
	if (!(vcpu->st.cr0 & X86_CR0_PG)) {
		at = (u32)linear;
		goto read;
	}
	if (!lm_quick_paging(vcpu, linear))
		goto end;
	at = vcpu->st.cr3 & PT_ADDR;
	for (;;) {
		at += ((linear >> shift) & 511) * sizeof(pte) - base;
		if (at >= size)
			goto end;
		unsafe_get_user(pte, (u64 __user *)(mem + at), end);
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
	at |= linear & ~PAGE_MASK;
read:
	at -= base;
	if (at >= size)
		goto end;
	unsafe_get_user(to[0], (u64 __user *)(mem + at), end);
	unsafe_get_user(to[1], (u64 __user *)(mem + at + 8), end);
	user_access_end();
	pagefault_enable();
	return true;
end:
	user_access_end();
out:
	pagefault_enable();
	return false;
}
