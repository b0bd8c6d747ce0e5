/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that Lamina builds on.  Each difference is
 * one compile probe in Kbuild (LM_HAVE_*) and one small inline here, with a word
 * on when it can go.
 */
#ifndef LM_COMPAT_H
#define LM_COMPAT_H

#include <linux/file.h>
#include <linux/kvm.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <asm/cpu.h>
#include <asm/msr.h>
#include <asm/perf_event.h>
#include <asm/reboot.h>
#include <asm/tlbflush.h>
#include <asm/vmx.h>
/* These moved: in 7.0 from <asm/processor.h>, in 6.19 from entry-kvm.h, in 6.12 from <asm/>. */
#ifdef LM_HAVE_CPUID_API
#include <asm/cpuid/api.h>
#endif
#ifdef LM_HAVE_ENTRY_VIRT
#include <linux/entry-virt.h>
#else
#include <linux/entry-kvm.h>
#endif
#ifdef LM_HAVE_LINUX_UNALIGNED
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

/* Called so from 6.8 on. */
#ifndef SECONDARY_EXEC_ENABLE_XSAVES
#define SECONDARY_EXEC_ENABLE_XSAVES	SECONDARY_EXEC_XSAVES
#endif

/*
 * Panic and crash kernels: the kernel calls one function on each CPU that turns
 * virtualisation off.  There is one slot, and KVM's vendor modules hold it from
 * load, so it is ours only while they are not loaded.  Kernels without it turn
 * virtualisation off by themselves.
 */
#ifdef LM_HAVE_EMERGENCY_CB
static inline void lm_emergency_register(void (*off)(void))
{
	cpu_emergency_register_virt_callback(off);
}

static inline void lm_emergency_unregister(void (*off)(void))
{
	cpu_emergency_unregister_virt_callback(off);
}
#else
static inline void lm_emergency_register(void (*off)(void)) { }
static inline void lm_emergency_unregister(void (*off)(void)) { }
#endif

/*
 * Who holds off the freezing of a file system under a write?  From 6.8 on
 * vfs_iocb_iter_write() itself, before that its caller.  Its arguments stayed, so
 * the probe is for file_write_not_started(), which came with that change.
 */
#ifdef LM_HAVE_VFS_HOLDS_FREEZER
#define LM_VFS_HOLDS_FREEZER	true
#else
#define LM_VFS_HOLDS_FREEZER	false
#endif

/*
 * CR4.VMXE with the kernel's shadow of CR4 kept right: without it a later write of CR4
 * would be #GP.  From 6.19 on that is KVM's alone, and VMX is refused at load.  The
 * kernel also tells Intel PT of VMX then, by itself.
 */
#ifdef LM_KVM_ONLY_CR4_UPDATE_IRQSOFF
#define LM_MAY_USE_VMX	false
static inline void lm_vmxe_set(void) { }
static inline void lm_vmxe_clear(void) { }
static inline void lm_pt_handle_vmx(int on) { }
#else
#define LM_MAY_USE_VMX	true
static inline void lm_vmxe_set(void)
{
	cr4_set_bits(X86_CR4_VMXE);
}

static inline void lm_vmxe_clear(void)
{
	cr4_clear_bits(X86_CR4_VMXE);
}

static inline void lm_pt_handle_vmx(int on)
{
	intel_pt_handle_vmx(on);
}
#endif

/* perf's "exclude_guest" on SVM is asked for by name, for perf may be without AMD; not where it is KVM's. */
#ifdef LM_KVM_ONLY_AMD_PMU_ENABLE_VIRT
#define LM_MAY_USE_AMD_PMU	false
#else
#define LM_MAY_USE_AMD_PMU	true
#endif

/* Which MSRs of perf differ in a guest: for VMX, which needs the above too. */
static inline struct perf_guest_switch_msr *lm_perf_guest_get_msrs(int *nr)
{
#ifdef LM_KVM_ONLY_PERF_GUEST_GET_MSRS
	*nr = 0;
	return NULL;
#else
	return perf_guest_get_msrs(nr, NULL);
#endif
}

/*
 * A split lock of the guest's: off for this task from now on, or SIGBUS.  Where the
 * kernel's way is KVM's alone it is SIGBUS.
 */
static inline void lm_host_split_lock(unsigned long rip)
{
#ifdef LM_KVM_ONLY_HANDLE_GUEST_SPLIT_LOCK
	send_sig(SIGBUS, current, 0);
#else
	handle_guest_split_lock(rip);
#endif
}

/* Called so up to 6.15; that these are macros there tells. */
#ifdef rdmsrq
#define rdmsrl(msr, val)	rdmsrq(msr, val)
#define wrmsrl(msr, val)	wrmsrq(msr, val)
#define rdmsrl_safe(msr, val)	rdmsrq_safe(msr, val)
#define wrmsrl_safe(msr, val)	wrmsrq_safe(msr, val)
#endif

/* What the notifiers that ask whether memory was used return; from 7.1 on bool. */
#ifdef LM_HAVE_YOUNG_BOOL
#define lm_young	bool
#else
#define lm_young	int
#endif

/* Signals, rescheduling, task work (live patching, io_uring, the freezer): is any of it due? */
static __always_inline bool lm_task_work_pending(void)
{
	return READ_ONCE(current_thread_info()->flags) & XFER_TO_GUEST_MODE_WORK;
}

int lm_task_work(void);
void lm_syscore_register(int (*suspend)(void), void (*resume)(void));
void lm_syscore_unregister(void);
void lm_machine_check(void);

/* A descriptor for @file in the caller's table; from 6.7 on there is one more argument. */
static inline int lm_receive_fd(struct file *file)
{
#ifdef LM_HAVE_RECEIVE_FD_UFD
	return receive_fd(file, NULL, O_CLOEXEC);
#else
	return receive_fd(file, O_CLOEXEC);
#endif
}

/*
 * From 6.4 on smp_send_reschedule() is a macro around a tracepoint, and this is what
 * it calls.  Needed while 6.1 is.
 */
static inline void lm_send_reschedule(int cpu)
{
#ifdef LM_HAVE_ARCH_SEND_RESCHEDULE
	arch_smp_send_reschedule(cpu);
#else
	smp_send_reschedule(cpu);
#endif
}

/* To RCU a turn in a guest is a turn in user space.  Up to 6.10 it asks for the CPU. */
static __always_inline void lm_rcu_note_guest(void)
{
#ifdef LM_HAVE_RCU_NOTE_CPU
	rcu_virt_note_context_switch(smp_processor_id());
#else
	rcu_virt_note_context_switch();
#endif
}

/* From 6.11 on the kernel gives this field another name in its own code. */
static __always_inline bool lm_immediate_exit(const struct kvm_run *run)
{
#ifdef LM_HAVE_IMMEDIATE_EXIT
	return READ_ONCE(run->immediate_exit);
#else
	return READ_ONCE(run->immediate_exit__unsafe);
#endif
}

#endif
