/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LM_MITIGATE_H
#define LM_MITIGATE_H

#include <asm/nospec-branch.h>

struct lm_vcpu;

void lm_mitigate_setup(void);
void lm_mitigate_enter(struct lm_vcpu *vcpu);
void lm_mitigate_leave(struct lm_vcpu *vcpu);

/*
 * CPUs that MDS does not concern but MMIO stale data does: a guest may have device
 * registers in its memory, so the buffers are cleared before each entry.
 */
static __always_inline void lm_mitigate_mmio(void)
{
#ifdef LM_HAVE_MMIO_STALE
	if (static_branch_unlikely(&mmio_stale_data_clear))
		mds_clear_cpu_buffers();
#endif
}

#endif
