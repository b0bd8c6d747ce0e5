/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The handlers of neutral exits.
 *
 * Each runs in the section (interrupts off), reads all it needs first, changes
 * nothing before the last read has succeeded, and answers enum lm_result.
 */
#ifndef LM_EXIT_H
#define LM_EXIT_H

#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "../lamina.h"

int lm_exit_pio(struct lm_vcpu *vcpu);
int lm_exit_npf_any(struct lm_vcpu *vcpu);
int lm_exit_msr(struct lm_vcpu *vcpu);
int lm_exit_hypercall(struct lm_vcpu *vcpu);
int lm_exit_cr(struct lm_vcpu *vcpu);
int lm_exit_dr(struct lm_vcpu *vcpu);
int lm_exit_exception(struct lm_vcpu *vcpu);
int lm_exit_task(struct lm_vcpu *vcpu);
int lm_exit_debug(struct lm_vcpu *vcpu, u8 vector, u64 dr6);

/* insn.c */
unsigned int lm_insn_mode(struct lm_vcpu *vcpu);
int lm_insn_at_rip(struct lm_vcpu *vcpu, const struct lm_insn **insn);
int lm_insn_len_new(struct lm_vcpu *vcpu);
int lm_emulate(struct lm_vcpu *vcpu);
void lm_advance_slow(struct lm_vcpu *vcpu, u64 was);

/**
 * lm_insn_len - length of the instruction that exited
 * @vcpu: in its section
 *
 * Return: the length, or -(LM_NEED, LM_USER, LM_AGAIN) as lm_insn_at_rip() answers
 */
static __always_inline int lm_insn_len(struct lm_vcpu *vcpu)
{
	const struct lm_insn *insn;

	if (likely(vcpu->exit.insn_len))
		return vcpu->exit.insn_len;
	insn = lm_insn_quick(vcpu);
	return likely(insn) ? insn->len : lm_insn_len_new(vcpu);
}

/* RIP, RFLAGS and the shadow are there: see lm_advance(). */
static __always_inline void lm_advance_known(struct lm_vcpu *vcpu, unsigned int len)
{
	struct lm_state *st = &vcpu->st;
	u64 was = st->rip;

	st->rip += len;
	vcpu->dirty |= LM_S_RIP;
	if (unlikely(((st->rip ^ was) >> 32) | st->shadow |
		     (st->rflags & (X86_EFLAGS_TF | X86_EFLAGS_RF))))
		lm_advance_slow(vcpu, was);
}

/**
 * lm_advance - an instruction of @len bytes is done
 * @vcpu: in its section
 * @len: its length
 *
 * RIP moves on, the shadow of the instruction before is over, and TF traps.
 */
static __always_inline void lm_advance(struct lm_vcpu *vcpu, unsigned int len)
{
	lm_need_state(vcpu, LM_S_RIP | LM_S_RFLAGS | LM_S_SHADOW);
	lm_advance_known(vcpu, len);
}

/* doorbell.c */
int lm_exit_npf_write(struct lm_vcpu *vcpu);
void lm_doorbell_learn(struct lm_vcpu *vcpu, unsigned int len);

/* io.c: accesses that may end in user space */
#define LM_PIO_BATCH	1024	/* bytes of a string input that are asked for at once, as KVM does */

void lm_pio_set(struct lm_vcpu *vcpu, u32 val, unsigned int bytes);
int lm_io_store(struct lm_vcpu *vcpu, u64 gpa, void *buf, unsigned int bytes);
int lm_io_single(struct lm_vcpu *vcpu, u64 gpa, void *buf, unsigned int bytes, bool write);
int lm_io_batch(struct lm_vcpu *vcpu, u16 port, void *buf, unsigned int bytes,
		unsigned int *count);
int lm_io_access(struct lm_vcpu *vcpu, u64 addr, void *buf, unsigned int bytes,
		 bool write, bool port);

#endif
