/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that Lamina builds on.  Each difference is
 * one compile probe in Kbuild (LM_HAVE_*) and one small inline here, with a word
 * on when it can go.
 */
#ifndef LM_COMPAT_H
#define LM_COMPAT_H

#include <linux/entry-kvm.h>
#include <linux/file.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <asm/reboot.h>
#include <asm/tlbflush.h>

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
 * CR4 with the kernel's shadow of it kept right.  Up to 6.18 these are for every
 * module; later kernels keep them for KVM, and VMX then needs another way.
 */
static inline void lm_cr4_set(unsigned long mask)
{
	cr4_set_bits(mask);
}

static inline void lm_cr4_clear(unsigned long mask)
{
	cr4_clear_bits(mask);
}

/* Signals, rescheduling, task work (live patching, io_uring, the freezer): is any of it due? */
static __always_inline bool lm_task_work_pending(void)
{
	return READ_ONCE(current_thread_info()->flags) & XFER_TO_GUEST_MODE_WORK;
}

int lm_task_work(void);
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

static inline void lm_send_reschedule(int cpu)
{
	smp_send_reschedule(cpu);
}

#endif
