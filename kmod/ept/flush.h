/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The decision on flushes that each entry takes.
 */
#ifndef LM_FLUSH_H
#define LM_FLUSH_H

#include "../lamina.h"

/**
 * lm_flush_decide - what must this entry do about its TLB tag?
 * @vcpu: in its section, interrupts off, about to enter
 * @pool: the tags of this CPU
 * @by_asid: the hardware can flush a single tag; else a fresh tag is the flush
 *
 * Sets vcpu->flush.asid.  To be called after the last look at vcpu->requests:
 * lm_flush_all() counts first and sends its interrupt afterwards, so that a
 * count that is missed here takes the guest out again at once.
 *
 * Return: enum lm_flush_how, to be carried out by this entry
 */
static __always_inline enum lm_flush_how
lm_flush_decide(struct lm_vcpu *vcpu, struct lm_tag_pool *pool, bool by_asid)
{
	const struct lm_flush_cpu *f = &vcpu->flush;

	if (likely(f->gen == (u64)atomic64_read(&vcpu->vm->mem.flush.gen) &&
		   f->pool == pool && f->pool_gen == pool->gen))
		return LM_FLUSH_NONE;
	return lm_flush_slow(vcpu, pool, by_asid);
}

/**
 * lm_flush_self - drop all that this vCPU's tag holds, at its next entry
 * @vcpu: the vCPU, held by the caller
 */
static inline void lm_flush_self(struct lm_vcpu *vcpu)
{
	vcpu->flush.gen = 0;	/* lm_flush.gen starts at 1 */
}

#endif
