// SPDX-License-Identifier: GPL-2.0-only
/*
 * Side-channel measures of a host CPU when another VM comes onto it.  What must
 * happen at each exit (return stack, registers) is in the vendor's enter.S.
 */
#include <linux/cpu.h>
#include <linux/jump_label.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <asm/cpufeature.h>
#include <asm/nospec-branch.h>
#include <asm/msr.h>
#include <asm/segment.h>

#include "lamina.h"
#include "mitigate.h"

static DEFINE_STATIC_KEY_FALSE(lm_ibpb);
DEFINE_PER_CPU(u64, lm_last_vm);

/* What VERW is given: any selector will do, a writable data segment's is the quickest. */
const u16 lm_verw_sel = __KERNEL_DS;

/*
 * As the kernel chose: it sets USE_IBPB where IBPB exists and mitigations are on.
 * From 6.16 on it tells its choice to KVM alone; then wherever mitigations are on.
 */
void lm_mitigate_setup(void)
{
#ifdef X86_FEATURE_USE_IBPB
	if (boot_cpu_has(X86_FEATURE_USE_IBPB))
#else
	if (boot_cpu_has(X86_FEATURE_IBPB) && !cpu_mitigations_off())
#endif
		static_branch_enable(&lm_ibpb);
}

/* Another VM than the last comes onto this CPU. */
void lm_mitigate_switch(struct lm_vcpu *vcpu)
{
	this_cpu_write(lm_last_vm, vcpu->vm->id);
	if (static_branch_unlikely(&lm_ibpb))
		wrmsrl(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
}
