/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LM_MITIGATE_H
#define LM_MITIGATE_H

#include <linux/types.h>
#include <asm/nospec-branch.h>

#include "lamina.h"

DECLARE_PER_CPU(u64, lm_last_vm);	/* id of the VM whose section was the last here */

extern const u16 lm_verw_sel;

void lm_mitigate_setup(void);
void lm_mitigate_switch(struct lm_vcpu *vcpu);

/**
 * lm_mitigate_enter - another VM's branch predictions must not steer this one
 * @vcpu: the vCPU whose section begins; interrupts off
 */
static __always_inline void lm_mitigate_enter(struct lm_vcpu *vcpu)
{
	if (unlikely(this_cpu_read(lm_last_vm) != vcpu->vm->id))
		lm_mitigate_switch(vcpu);
}

/**
 * lm_mitigate_leave - the guest's predictions must not steer its VMM either
 *
 * VMSCAPE: the kernel does the IBPB itself when this thread goes to user space.
 * Interrupts off.
 */
static __always_inline void lm_mitigate_leave(void)
{
#ifdef X86_FEATURE_IBPB_EXIT_TO_USER
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
#endif
}

/*
 * CPUs that MDS does not concern but MMIO stale data does: a guest may have device
 * registers in its memory, so the buffers are cleared before each entry.  From 7.0 on a
 * feature says so, which enter.S asks.
 */
static __always_inline void lm_mitigate_mmio(void)
{
#if defined(LM_HAVE_MMIO_STALE)
	if (static_branch_unlikely(&mmio_stale_data_clear))
		asm volatile("verw %0" : : "m" (lm_verw_sel) : "cc");
#elif defined(LM_HAVE_CPU_BUF_VM_CLEAR)
	if (static_branch_unlikely(&cpu_buf_vm_clear))
		asm volatile("verw %0" : : "m" (lm_verw_sel) : "cc");
#elif !defined(X86_FEATURE_CLEAR_CPU_BUF_VM_MMIO)
#error "this kernel says in a new way whether MMIO stale data wants CPU buffers cleared"
#endif
}

#endif
