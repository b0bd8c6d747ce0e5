// SPDX-License-Identifier: GPL-2.0-only
/*
 * debug_assists and debug_state: what a CPU with decode assists and clean bits
 * does, on one without them; and what the module believes, compared with the
 * VMCB at each entry.
 *
 * The truth about clean bits is a copy of the VMCB as the last exit left it: what
 * the CPU may have cached (APM vol. 2, 15.15).  A field that differs from the copy
 * while its bit is set is a change that hardware would not see.
 */
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <asm/processor-flags.h>

#include "../exit/exit.h"
#include "../x86/debug.h"
#include "debug.h"
#include "vmcb.h"

static bool debug_assists;
module_param(debug_assists, bool, 0444);
MODULE_PARM_DESC(debug_assists, "decode in software what this CPU lacks the assists for, then use it");

DEFINE_STATIC_KEY_FALSE(lm_svm_debug);

/* What the CPU itself has; lm_caps says what is used. */
static bool cpu_nrips, cpu_assists, cpu_clean, cpu_flushbyasid;

#define SVM_F(field, bit) { #field, offsetof(struct svm_vmcb, field), \
	sizeof_field(struct svm_vmcb, field), SVM_CLEAN_##bit }

/* 15.15.3; FS, GS, LDTR and TR are VMLOAD's and not cached. */
static const struct lm_field svm_clean_fields[] = {
	SVM_F(c.cr, I), SVM_F(c.dr, I), SVM_F(c.exceptions, I), SVM_F(c.misc1, I),
	SVM_F(c.misc2, I), SVM_F(c.misc3, I), SVM_F(c.pause_threshold, I),
	SVM_F(c.pause_count, I), SVM_F(c.tsc_offset, I),
	SVM_F(c.iopm_pa, IOPM), SVM_F(c.msrpm_pa, IOPM),
	SVM_F(c.asid, ASID),
	SVM_F(c.vintr, TPR),
	SVM_F(c.np, NP), SVM_F(c.n_cr3, NP), SVM_F(s.g_pat, NP),
	SVM_F(s.cr0, CR), SVM_F(s.cr3, CR), SVM_F(s.cr4, CR), SVM_F(s.efer, CR),
	SVM_F(s.dr6, DR), SVM_F(s.dr7, DR),
	SVM_F(s.gdtr, DT), SVM_F(s.idtr, DT),
	SVM_F(s.cs, SEG), SVM_F(s.ss, SEG), SVM_F(s.ds, SEG), SVM_F(s.es, SEG), SVM_F(s.cpl, SEG),
	SVM_F(s.cr2, CR2),
};

/**
 * lm_svm_unclean - is something marked clean that was changed?
 * @cached: the VMCB as the CPU may know it
 * @now: as it is
 * @clean: the clean bits
 *
 * Return: NULL, or the field's name
 */
const char *lm_svm_unclean(const struct svm_vmcb *cached, const struct svm_vmcb *now, u32 clean)
{
	return lm_fields_differ(svm_clean_fields, ARRAY_SIZE(svm_clean_fields), cached, now, clean);
}

/**
 * lm_svm_uncached - is neutral state said to be valid that the VMCB has otherwise?
 * @vcpu: in its section, nothing dirty
 * @scratch: memory for a copy
 *
 * Return: NULL, or the field's name
 */
const char *lm_svm_uncached(struct lm_vcpu *vcpu, struct lm_state *scratch)
{
	u32 valid = vcpu->valid;
	const char *wrong;

	*scratch = vcpu->st;
	vcpu->valid = 0;		/* or it would not be read again */
	lm_svm_get(vcpu, valid);
	/* The VMCB knows one kind of shadow, and RFLAGS has a bit that is always 1. */
	scratch->shadow = scratch->shadow ? LM_SHADOW_STI : LM_SHADOW_NONE;
	scratch->rflags |= X86_EFLAGS_FIXED;
	wrong = lm_state_differ(scratch, &vcpu->st, valid & ~lm_debug_stored(vcpu));
	vcpu->st = *scratch;
	vcpu->valid = valid;
	return wrong;
}

/* Before the vCPU enters: nothing may be changed after this. */
static void svm_check_entry(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	struct svm_debug *d = hw->debug;
	const struct svm_control *c = &hw->vmcb->c;
	const char *wrong;

	WARN_ONCE(hw->clean && d->cpu != raw_smp_processor_id(),
		  "lamina: vCPU %d has clean bits %x from another CPU\n", vcpu->id, hw->clean);
	wrong = lm_svm_unclean(&d->vmcb, hw->vmcb, hw->clean);
	WARN_ONCE(wrong, "lamina: vCPU %d: %s changed, its clean bit is set (%x)\n",
		  vcpu->id, wrong, hw->clean);
	wrong = lm_svm_uncached(vcpu, &d->st);
	WARN_ONCE(wrong, "lamina: vCPU %d: cached %s is not what the VMCB has\n", vcpu->id, wrong);
	WARN_ONCE(c->tsc_offset != vcpu->x86.tsc_offset ||
		  c->n_cr3 != __sme_set(virt_to_phys(vcpu->vm->mem.root)),
		  "lamina: vCPU %d: TSC offset or nested CR3 is not what the VMCB has\n", vcpu->id);
	d->cpu = raw_smp_processor_id();
}

/* ---- assists ---- */

/* The next RIP comes with intercepts of instructions (15.7.1), the bytes with #NPF on data (15.8.4). */
static bool svm_exit_is_insn(u32 code)
{
	return code < SVM_EXIT_EXC || (code >= SVM_EXIT_CR0_SEL && code <= SVM_EXIT_MSR) ||
	       (code >= SVM_EXIT_VMRUN && code <= SVM_EXIT_RDPRU);
}

/*
 * Up to 15 bytes at RIP, but none beyond the page: a CPU stops there as well if
 * the next one is away, and who uses them must cope.
 */
static unsigned int svm_fetch(struct lm_vcpu *vcpu, u64 *words)
{
	unsigned int want, got;
	u64 linear;

	if (lm_fetch_quick(vcpu, words))
		return LM_INSN_MAX;
	linear = lm_st_code(&vcpu->st);
	want = min_t(unsigned int, LM_INSN_MAX, PAGE_SIZE - offset_in_page(linear));
	lm_fetch(vcpu, linear, words, want, &got);
	return got;
}

/* TCG calls a read of any control register one of CR0. */
static void svm_fill_cr(struct svm_control *c, const struct lm_insn *insn)
{
	if (insn->id != LM_OP_MOV_CR && insn->id != LM_OP_MOV_TO_CR)
		return;
	c->exit_info1 = SVM_CR_VALID | insn->rm;
	if (c->exit_code != SVM_EXIT_CR0_SEL)
		c->exit_code = insn->reg +
			(insn->id == LM_OP_MOV_CR ? SVM_EXIT_CR_READ : SVM_EXIT_CR_WRITE);
}

static void svm_fill_assists(struct lm_vcpu *vcpu)
{
	struct svm_control *c = &vcpu->hw->vmcb->c;
	u32 code = c->exit_code, valid = vcpu->valid;
	bool npf = code == SVM_EXIT_NPF && !(c->exit_info1 & BIT(4));
	unsigned int mode, nr;
	struct lm_insn insn;
	u64 words[2];

	if (!cpu_nrips)
		c->next_rip = 0;
	if (!cpu_assists)
		c->nr_bytes = 0;
	if (!npf && !svm_exit_is_insn(code))
		return;
	mode = lm_insn_mode(vcpu);
	nr = svm_fetch(vcpu, words);
	if (npf && !cpu_assists) {
		c->nr_bytes = nr;
		memcpy(c->bytes, words, nr);
	}
	if (!npf && lm_insn_decode(&insn, (u8 *)words, nr, mode) == LM_INSN_OK) {
		if (!cpu_nrips)
			c->next_rip = vcpu->st.rip + insn.len;
		if (!cpu_assists)
			svm_fill_cr(c, &insn);
	}
	/* What was read for this is the handlers' to read. */
	vcpu->valid = valid;
}

/* ---- the door to exit.c ---- */

/**
 * lm_svm_debug_setup - pretend to have what the parameters ask for
 */
void lm_svm_debug_setup(void)
{
	cpu_nrips = lm_caps.nrips;
	cpu_assists = lm_caps.decode_assists;
	cpu_clean = lm_caps.clean_bits;
	cpu_flushbyasid = lm_caps.flush_by_asid;
	/* svm_no_flushbyasid stands: each flush takes another ASID then. */
	if (debug_assists) {
		lm_caps.nrips = true;
		lm_caps.decode_assists = true;
		lm_caps.flush_by_asid = !lm_svm_no_flushbyasid;
	}
	if (lm_debug_state)
		lm_caps.clean_bits = true;
	if (debug_assists || lm_debug_state)
		static_branch_enable(&lm_svm_debug);
}

/**
 * lm_svm_debug_init - memory of one vCPU
 * @hw: its SVM part
 *
 * Return: 0 or -ENOMEM
 */
int lm_svm_debug_init(struct lm_hw *hw)
{
	if (!lm_debug_state)
		return 0;
	hw->debug = kzalloc(sizeof(*hw->debug), GFP_KERNEL_ACCOUNT);
	return hw->debug ? 0 : -ENOMEM;
}

/**
 * lm_svm_debug_entry - all is set for VMRUN
 * @vcpu: in its section
 */
void lm_svm_debug_entry(struct lm_vcpu *vcpu)
{
	struct svm_control *c = &vcpu->hw->vmcb->c;

	if (lm_debug_state)
		svm_check_entry(vcpu);
	if (!cpu_clean)
		c->clean = 0;
	if (!cpu_flushbyasid && c->tlb_control == SVM_TLB_ASID)
		c->tlb_control = SVM_TLB_ALL;
}

/**
 * lm_svm_debug_exit - the guest was left, nobody has looked at its VMCB yet
 * @vcpu: in its section
 */
void lm_svm_debug_exit(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;

	if (debug_assists)
		svm_fill_assists(vcpu);
	if (!lm_debug_state)
		return;
	hw->debug->vmcb = *hw->vmcb;
	lm_state_poison(&vcpu->st, ~(vcpu->valid | lm_debug_stored(vcpu)));
}
