/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM as others see it: its identity, which control handles hold instead of it.
 */
#ifndef LM_NAMES_H
#define LM_NAMES_H

#include <linux/cred.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/wait.h>
#include <linux/lamina.h>

struct file;
struct lm_vm;
struct net;

/**
 * struct lm_ident - outlives the VM while a control handle or owner descriptor is open
 * @users: the VM, its handles and its owner descriptor
 * @uid: the user who made the VM
 * @ns: in which user namespace
 * @name: guarded by lm_vms_lock; empty without one
 * @lock: guards what follows
 * @gone: the VM has ended
 * @owned: somebody has the owner descriptor
 * @calls: struct lm_call of those who wait in LAMINA_CALL, in order
 * @nr_calls: how many
 * @nr_new: of them, which the owner has not read; read without the lock too
 * @next_call: number of the next
 * @callers: they wait here, and who polls a handle
 * @owner: the owner waits here
 */
struct lm_ident {
	refcount_t users;
	kuid_t uid;
	struct user_namespace *ns;
	char name[LAMINA_NAME_BYTES];
	struct mutex lock;
	bool gone;
	bool owned;
	struct list_head calls;
	unsigned int nr_calls;
	unsigned int nr_new;
	u64 next_call;
	wait_queue_head_t callers;
	wait_queue_head_t owner;
};

/* What the netlink family tells of a VM beyond its ident; guarded by lm_vms_lock. */
struct lm_life {
	u32 state;		/* LAMINA_STATE_*; read without the lock too */
	char reason[LAMINA_NAME_BYTES];
	struct pid *pid;	/* (c) of the process that made it */
	struct net *net;	/* (c) its network namespace */
	u64 started;		/* boot time of the first KVM_RUN, in ns */
};

/* names.c */
int lm_names_init(struct lm_vm *vm);
void lm_names_free(struct lm_vm *vm);
void lm_names_add(struct lm_vm *vm);
void lm_names_remove(struct lm_vm *vm);
void lm_ident_put(struct lm_ident *ident);
bool lm_vm_alive(const struct lm_vm *vm);
bool lm_ident_readable(const struct lm_ident *ident, const struct file *opener);
int lm_name_ioctl(struct lm_vm *vm, const struct lamina_name __user *arg);
int lm_open_ioctl(const struct lamina_name __user *arg);
int lm_state_ioctl(struct lm_vm *vm, const struct lamina_state __user *arg);
void lm_vm_runs(struct lm_vm *vm);

/* control.c */
int lm_control_handle(struct lm_ident *ident);
int lm_control_own(struct lm_ident *ident);
void lm_control_gone(struct lm_ident *ident);

/* monitor/netlink.c */
int lm_netlink_init(void);
void lm_netlink_exit(void);
void lm_netlink_event(struct lm_vm *vm, u32 event);

#endif
