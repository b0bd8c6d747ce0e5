/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What vmx/debug.c checks, for a development machine.
 */
#ifndef LM_VMX_DEBUG_H
#define LM_VMX_DEBUG_H

#include <linux/jump_label.h>

#include "../lamina.h"

/**
 * struct vmx_debug - the debug_state of one vCPU
 * @st: scratch
 */
struct vmx_debug {
	struct lm_state st;
};

DECLARE_STATIC_KEY_FALSE(lm_vmx_debug);

void lm_vmx_debug_setup(void);
int lm_vmx_debug_init(struct lm_hw *hw);
void lm_vmx_debug_entry(struct lm_vcpu *vcpu, enum lm_flush_how flushed);
void lm_vmx_debug_exit(struct lm_vcpu *vcpu);

#endif
