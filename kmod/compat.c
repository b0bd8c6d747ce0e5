// SPDX-License-Identifier: GPL-2.0-only
/*
 * Differences between kernels that need more than an inline.
 */
#include <linux/kvm_host.h>
#include <linux/syscore_ops.h>
#include <asm/mce.h>
#include <asm/processor-flags.h>
#include <asm/ptrace.h>

#include "compat.h"

#ifdef LM_HAVE_ENTRY_VIRT
static int lm_handle_work(void)
{
	return xfer_to_guest_mode_handle_work();
}
#else
/*
 * Up to 6.18 the kernel's function for task work, rescheduling and the rest before a
 * guest is entered is made for KVM's vCPUs alone: on a signal it notes the exit in
 * the vCPU.  This one is nobody's; all notes go there and are never read.
 */
static struct kvm_run lm_no_run;
static struct kvm_vcpu lm_no_vcpu = { .run = &lm_no_run };

static int lm_handle_work(void)
{
	return xfer_to_guest_mode_handle_work(&lm_no_vcpu);
}
#endif

/**
 * lm_task_work - serve signals, rescheduling, task work, live patching, the freezer
 *
 * Context: may sleep.
 * Return: 0 or -EINTR
 */
int lm_task_work(void)
{
	return lm_handle_work();
}

/* From 6.19 on the callbacks are apart from the list's node, and have an argument. */
static int (*lm_syscore_suspend_fn)(void);
static void (*lm_syscore_resume_fn)(void);

#ifdef LM_HAVE_SYSCORE_DATA
static int lm_syscore_suspend(void *data)
{
	return lm_syscore_suspend_fn();
}

static void lm_syscore_resume(void *data)
{
	lm_syscore_resume_fn();
}

static const struct syscore_ops lm_syscore_ops = {
	.suspend = lm_syscore_suspend,
	.resume = lm_syscore_resume,
};

static struct syscore lm_syscore = { .ops = &lm_syscore_ops };
#define register_syscore_ops(s)		register_syscore(s)
#define unregister_syscore_ops(s)	unregister_syscore(s)
#else
static int lm_syscore_suspend(void)
{
	return lm_syscore_suspend_fn();
}

static void lm_syscore_resume(void)
{
	lm_syscore_resume_fn();
}

static struct syscore_ops lm_syscore = {
	.suspend = lm_syscore_suspend,
	.resume = lm_syscore_resume,
};
#endif

/**
 * lm_syscore_register - be called around suspend, on the last CPU with interrupts off
 * @suspend: before; not 0 stops it
 * @resume: after
 */
void lm_syscore_register(int (*suspend)(void), void (*resume)(void))
{
	lm_syscore_suspend_fn = suspend;
	lm_syscore_resume_fn = resume;
	register_syscore_ops(&lm_syscore);
}

void lm_syscore_unregister(void)
{
	unregister_syscore_ops(&lm_syscore);
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
