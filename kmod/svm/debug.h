/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What svm/debug.c checks and pretends, for a development machine.
 */
#ifndef LM_SVM_DEBUG_H
#define LM_SVM_DEBUG_H

#include <linux/jump_label.h>

#include "../lamina.h"
#include "vmcb.h"

/**
 * struct svm_debug - the debug_state of one vCPU
 * @vmcb: its control block as the last exit left it
 * @st: scratch
 * @cpu: where it entered last
 */
struct svm_debug {
	struct svm_vmcb vmcb;
	struct lm_state st;
	int cpu;
};

DECLARE_STATIC_KEY_FALSE(lm_svm_debug);
extern bool lm_svm_no_flushbyasid;	/* caps.c */

void lm_svm_debug_setup(void);
int lm_svm_debug_init(struct lm_hw *hw);
void lm_svm_debug_entry(struct lm_vcpu *vcpu);
void lm_svm_debug_exit(struct lm_vcpu *vcpu);
const char *lm_svm_unclean(const struct svm_vmcb *cached, const struct svm_vmcb *now, u32 clean);
const char *lm_svm_uncached(struct lm_vcpu *vcpu, struct lm_state *scratch);

#endif
