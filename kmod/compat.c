// SPDX-License-Identifier: GPL-2.0-only
/*
 * Differences between kernels that need more than an inline.
 */
#include <linux/entry-kvm.h>
#include <linux/kvm_host.h>
#include <asm/mce.h>
#include <asm/processor-flags.h>
#include <asm/ptrace.h>

#include "compat.h"

/*
 * The kernel's function for task work, rescheduling and the rest before a guest
 * is entered is exported for KVM's vCPUs alone: on a signal it notes the exit in
 * the vCPU.  This one is nobody's; all notes go there and are never read.
 */
static struct kvm_run lm_no_run;
static struct kvm_vcpu lm_no_vcpu = { .run = &lm_no_run };

/**
 * lm_task_work - serve signals, rescheduling, task work, live patching, the freezer
 *
 * Context: may sleep.
 * Return: 0 or -EINTR
 */
int lm_task_work(void)
{
	return xfer_to_guest_mode_handle_work(&lm_no_vcpu);
}

/**
 * lm_machine_check - hand a machine check that ended the guest's run to the host
 *
 * As if user space had run: what the kernel cannot recover there ends this process,
 * while from its own code it would have to panic.
 *
 * Context: interrupts off, on the CPU that had it.
 */
void lm_machine_check(void)
{
#ifdef CONFIG_X86_MCE
	struct pt_regs regs = {
		.cs = 3,
		.flags = X86_EFLAGS_IF,
	};

	do_machine_check(&regs);
#endif
}
