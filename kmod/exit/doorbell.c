// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells of any width, rung by an instruction that is known already.
 *
 * Such a doorbell wants neither the width nor the value of what is written, so of the
 * instruction only its length matters.  Intel's CPUs are said to write it into the VMCS
 * at such exits, but the manual promises that for other ones alone (SDM vol. 3, 28.2.5).
 * So the field is never believed by itself:
 *
 *  - The first time, an instruction is read and decoded as ever.  If it is a plain MOV
 *    and the CPU says the same length, then RIP, doorbell and length are kept.
 *  - Later a write to this doorbell from this RIP, for which the CPU says this very
 *    length, is that instruction: it is not read again.
 *  - Once the CPU says another length than the decoder, nothing is kept in this VM any
 *    more.  In this VM alone, since a guest that changes its code between the exit and
 *    the decoder's look can bring that about, and must not slow down others.
 *
 * So a field that holds nonsense leads to the long way, or to the right length.  What
 * remains is a guest that puts another instruction of the same length there: it writes to
 * the same doorbell, which is signalled, and whatever else it does (a second operand, a
 * result, flags, the repetition of a string instruction, the half of the access that lies
 * in the page before) is left out.  That harms nobody but this guest, which gets as much
 * from KVM.  Nothing outside the vCPU's RIP depends on the length.
 */
#include "../irq/irq.h"
#include "../monitor/trace.h"
#include "exit.h"

static __always_inline u64 lm_known_key(const struct lm_exit *e)
{
	return e->npf.gpa | (u64)e->maybe_len << 56;
}

static __always_inline struct lm_known_bell *lm_known_place(struct lm_vcpu *vcpu, u64 key)
{
	/* Doorbells of one device are 2 or 4 bytes apart, or a page. */
	return &vcpu->known[(key >> 2 ^ key >> PAGE_SHIFT) & (LM_KNOWN_BELLS - 1)];
}

/**
 * lm_exit_npf_write - a nested fault of which the CPU says a length
 * @vcpu: in its section
 *
 * If it is the store to a doorbell that is known, signal that and skip the store.
 */
int lm_exit_npf_write(struct lm_vcpu *vcpu)
{
	const struct lm_exit *e = &vcpu->exit;
	u64 key = lm_known_key(e);
	const struct lm_known_bell *k = lm_known_place(vcpu, key);

	if (likely(k->key != key) || k->gen != (u64)atomic64_read(&vcpu->vm->irq.any_gen) ||
	    e->npf.table || e->npf.delivery || vcpu->io.nr)
		return lm_exit_npf_any(vcpu);
	lm_need_state(vcpu, LM_S_RIP | LM_S_RFLAGS | LM_S_SHADOW);
	/* With AC the CPU may have an alignment check to make, which comes after the fault. */
	if (k->rip != vcpu->st.rip || (vcpu->st.rflags & X86_EFLAGS_AC))
		return lm_exit_npf_any(vcpu);
	trace_lm_npf(vcpu, LM_FAULT_MMIO);
	lm_eventfd_signal(k->ctx);
	vcpu->stat.doorbells_known++;
	lm_advance_known(vcpu, e->maybe_len);
	return LM_DONE;
}

/**
 * lm_doorbell_learn - a MOV to a device was executed: keep it if it rang such a doorbell
 * @vcpu: in its section, RIP still on the instruction
 * @len: its length
 */
void lm_doorbell_learn(struct lm_vcpu *vcpu, unsigned int len)
{
	const struct lm_exit *e = &vcpu->exit;
	struct lm_irq *irq = &vcpu->vm->irq;
	u64 key = lm_known_key(e);
	u64 gen = atomic64_read(&irq->any_gen);
	struct eventfd_ctx *ctx;

	if (READ_ONCE(irq->decode_any))
		return;
	/* Who changes any of what follows counts up afterwards. */
	smp_rmb();
	ctx = lm_mmio_any_doorbell(vcpu, e->npf.gpa);
	if (!ctx || lm_gpa_is_ram(vcpu, e->npf.gpa, false))
		return;
	if (len != e->maybe_len) {
		WRITE_ONCE(irq->decode_any, true);
		lm_doorbells_moved(irq);
		pr_info_once("a doorbell's store has %u bytes, but %u by the CPU's word: such instructions are decoded each time\n",
			     len, e->maybe_len);
		return;
	}
	*lm_known_place(vcpu, key) = (struct lm_known_bell) {
		.key = key,
		.rip = vcpu->st.rip,
		.gen = gen,
		.ctx = ctx,
	};
}
