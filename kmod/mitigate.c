// SPDX-License-Identifier: GPL-2.0-only
/*
 * Side-channel measures of a host CPU when another VM comes onto it.  What must
 * happen at each exit (return stack, registers) is in the vendor's enter.S.
 */
#include <linux/jump_label.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <asm/cpufeature.h>
#include <asm/nospec-branch.h>
#include <asm/msr.h>

#include "lamina.h"
#include "mitigate.h"

static DEFINE_STATIC_KEY_FALSE(lm_ibpb);
static DEFINE_PER_CPU(u64, lm_last_vm);

/* As the kernel chose: it sets USE_IBPB where IBPB exists and mitigations are on. */
void lm_mitigate_setup(void)
{
	if (boot_cpu_has(X86_FEATURE_USE_IBPB))
		static_branch_enable(&lm_ibpb);
}

/**
 * lm_mitigate_enter - another VM's branch predictions must not steer this one
 * @vcpu: the vCPU whose section begins; interrupts off
 */
void lm_mitigate_enter(struct lm_vcpu *vcpu)
{
	if (this_cpu_read(lm_last_vm) == vcpu->vm->id)
		return;
	this_cpu_write(lm_last_vm, vcpu->vm->id);
	if (static_branch_unlikely(&lm_ibpb))
		wrmsrl(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
}

/**
 * lm_mitigate_leave - the guest's predictions must not steer its VMM either
 * @vcpu: the vCPU whose section ends; interrupts off
 *
 * VMSCAPE: the kernel does the IBPB itself when this thread goes to user space.
 */
void lm_mitigate_leave(struct lm_vcpu *vcpu)
{
#ifdef X86_FEATURE_IBPB_EXIT_TO_USER
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
#endif
}
