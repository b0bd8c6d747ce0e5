/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the vendor calls right around the world switch.
 */
#ifndef LM_SECTION_H
#define LM_SECTION_H

#include <linux/context_tracking.h>
#include <linux/jump_label.h>
#include <asm/msr.h>

#include "lamina.h"

DECLARE_STATIC_KEY_FALSE(lm_count_guest);
extern struct notifier_block lm_section_die_nb;

/* Nothing between these two may use RCU or trace: with nohz_full the CPU counts as idle to RCU. */
static __always_inline void lm_guest_enter(struct lm_vcpu *vcpu)
{
	lm_pkru_guest(vcpu);
	if (static_branch_unlikely(&lm_count_guest))
		vcpu->tsc_entered = rdtsc();
	if (context_tracking_enabled())
		context_tracking_guest_enter();
}

static __always_inline void lm_guest_exit(struct lm_vcpu *vcpu)
{
	if (context_tracking_enabled())
		context_tracking_guest_exit();
	if (static_branch_unlikely(&lm_count_guest))
		vcpu->stat.guest_tsc += rdtsc() - vcpu->tsc_entered;
	lm_pkru_host(vcpu);
}

#endif
