// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: neutral state written to a VMCB has its clean bits cleared, and the
 * checks of debug_state would notice if not.  No SVM is needed for that.
 */
#include <asm/processor-flags.h>

#include "fixture.h"
#include "svm/debug.h"

struct t_svm {
	struct lm_vcpu vcpu;
	struct lm_hw hw;
	struct svm_vmcb vmcb, cached;
	struct lm_state scratch;
};

static int t_svm_init(struct kunit *test)
{
	struct t_svm *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	if (!t)
		return -ENOMEM;
	t->hw.vmcb = &t->vmcb;
	t->hw.saved = true;
	t->vcpu.hw = &t->hw;
	t->vcpu.vm = kunit_kzalloc(test, sizeof(*t->vcpu.vm), GFP_KERNEL);
	if (!t->vcpu.vm)
		return -ENOMEM;
	test->priv = t;
	return 0;
}

/* Another value in every field of the state; bits that the CPU fixes stay. */
static void t_change(struct lm_state *st)
{
	int i;

	st->rip++;
	st->gpr[LM_RSP]++;
	st->rflags ^= X86_EFLAGS_IF;
	st->cr0 ^= X86_CR0_TS;
	st->cr2++;
	st->cr3 ^= PAGE_SIZE;
	st->cr4 ^= X86_CR4_PGE;
	st->efer ^= EFER_SCE;
	for (i = 0; i < LM_SEGS; i++)
		st->seg[i].base++;
	st->gdt.base++;
	st->idt.base++;
	st->dr6 ^= 1;
	st->dr7 ^= 1;
	st->star++;
	st->sysenter_eip++;
	st->shadow = !st->shadow;
	st->pat++;
}

/* Not on SVM; a part of CS and SS. */
#define T_NO_FIELDS	(LM_S_PDPTRS | LM_S_MODE)
/* Groups that the CPU reads at each VMRUN or VMLOAD. */
#define T_NEVER_CACHED	(LM_S_RIP | LM_S_RSP | LM_S_RFLAGS | LM_S_SEGS | LM_S_SYSCALL | LM_S_SHADOW)

static void put_is_unclean(struct kunit *test)
{
	struct t_svm *t = test->priv;
	unsigned int bit;

	for (bit = 0; bit < fls(LM_S_ALL); bit++) {
		u32 group = BIT(bit);

		if (group & T_NO_FIELDS)
			continue;
		t->cached = t->vmcb;
		t->hw.clean = SVM_CLEAN_ALL;
		memset(&t->vcpu.st, 0, sizeof(t->vcpu.st));	/* as the VMCB is */
		t_change(&t->vcpu.st);
		t->vcpu.dirty = group;
		lm_svm_put(&t->vcpu);
		KUNIT_EXPECT_NE_MSG(test, memcmp(&t->cached, &t->vmcb, sizeof(t->vmcb)), 0,
				    "group %x", group);
		KUNIT_EXPECT_STREQ(test, lm_svm_unclean(&t->cached, &t->vmcb, t->hw.clean) ?: "", "");
		/* and if it had kept its bit: */
		if (group & ~T_NEVER_CACHED)
			KUNIT_EXPECT_TRUE_MSG(test, !!lm_svm_unclean(&t->cached, &t->vmcb,
								     SVM_CLEAN_ALL),
					      "group %x", group);
	}
}

static void stale_cache_shows(struct kunit *test)
{
	struct t_svm *t = test->priv;
	unsigned int bit;

	t_change(&t->vcpu.st);
	t->vcpu.dirty = LM_S_ALL;
	lm_svm_put(&t->vcpu);
	t->vcpu.valid = 0;
	lm_svm_get(&t->vcpu, LM_S_ALL);
	KUNIT_EXPECT_STREQ(test, lm_svm_uncached(&t->vcpu, &t->scratch) ?: "", "");
	for (bit = 0; bit < fls(LM_S_ALL); bit++) {
		if (BIT(bit) & T_NO_FIELDS)
			continue;
		t->vcpu.valid = BIT(bit);
		t_change(&t->vcpu.st);
		KUNIT_EXPECT_TRUE_MSG(test, !!lm_svm_uncached(&t->vcpu, &t->scratch),
				      "group %x", BIT(bit));
		/* What is not said to be valid does not matter, and nothing is changed. */
		t->vcpu.valid = LM_S_ALL & ~BIT(bit);
		t_change(&t->vcpu.st);
		t->vcpu.valid = 0;
		KUNIT_EXPECT_STREQ(test, lm_svm_uncached(&t->vcpu, &t->scratch) ?: "", "");
		lm_svm_get(&t->vcpu, LM_S_ALL);
	}
}

static struct kunit_case svm_cases[] = {
	KUNIT_CASE(put_is_unclean),
	KUNIT_CASE(stale_cache_shows),
	{}
};

static struct kunit_suite lm_svm_suite = {
	.name = "lamina-svm",
	.init = t_svm_init,
	.test_cases = svm_cases,
};
kunit_test_suite(lm_svm_suite);
