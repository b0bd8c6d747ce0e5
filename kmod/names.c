// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMs by name, for other processes: who may find one, its name, its state.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/nsproxy.h>
#include <linux/pid.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
#include <net/net_namespace.h>

#include "lamina.h"

static atomic64_t lm_vm_ids = ATOMIC64_INIT(0);

/* ---- who may ---- */

static bool lm_same_user(const struct lm_ident *ident, const struct cred *cred)
{
	return uid_eq(ident->uid, cred->euid) && ident->ns == cred->user_ns;
}

static bool lm_may_open(const struct lm_ident *ident)
{
	return lm_same_user(ident, current_cred()) || ns_capable(ident->ns, CAP_SYS_ADMIN);
}

/**
 * lm_ident_readable - may who opened this file see the VM?
 * @ident: of the VM
 * @opener: the file
 */
bool lm_ident_readable(const struct lm_ident *ident, const struct file *opener)
{
	return lm_same_user(ident, opener->f_cred) ||
	       file_ns_capable(opener, ident->ns, CAP_SYS_ADMIN);
}

/* ---- the ident's life ---- */

/**
 * lm_names_init - give a new VM its identity: that of the calling process
 * @vm: the VM
 *
 * Return: 0 or -ENOMEM
 */
int lm_names_init(struct lm_vm *vm)
{
	struct lm_ident *ident = kzalloc(sizeof(*ident), GFP_KERNEL_ACCOUNT);

	if (!ident)
		return -ENOMEM;
	refcount_set(&ident->users, 1);
	ident->uid = current_euid();
	ident->ns = get_user_ns(current_user_ns());
	mutex_init(&ident->lock);
	INIT_LIST_HEAD(&ident->calls);
	init_waitqueue_head(&ident->callers);
	init_waitqueue_head(&ident->owner);
	vm->ident = ident;
	vm->id = atomic64_inc_return(&lm_vm_ids);
	vm->life.pid = get_pid(task_tgid(current));
	vm->life.net = get_net(current->nsproxy->net_ns);
	return 0;
}

/**
 * lm_ident_put - give a reference to an identity back
 * @ident: the identity
 */
void lm_ident_put(struct lm_ident *ident)
{
	if (!refcount_dec_and_test(&ident->users))
		return;
	put_user_ns(ident->ns);
	mutex_destroy(&ident->lock);
	kfree(ident);
}

/**
 * lm_names_free - the end of lm_names_init()
 * @vm: the VM, on no list
 */
void lm_names_free(struct lm_vm *vm)
{
	put_pid(vm->life.pid);
	put_net(vm->life.net);
	lm_ident_put(vm->ident);
}

/**
 * lm_names_add - from now on the VM can be found
 * @vm: the VM
 *
 * The list is in the order of ids, by which a dump finds its place again.
 */
void lm_names_add(struct lm_vm *vm)
{
	struct lm_vm *before;

	mutex_lock(&lm_vms_lock);
	list_for_each_entry_reverse(before, &lm_vms, node)
		if (before->id < vm->id)
			break;
	list_add(&vm->node, &before->node);
	lm_netlink_event(vm, LAMINA_EVENT_CREATED);
	mutex_unlock(&lm_vms_lock);
}

/**
 * lm_names_remove - the VM ends: take it from the list, its handles become stale
 * @vm: the VM
 */
void lm_names_remove(struct lm_vm *vm)
{
	mutex_lock(&lm_vms_lock);
	list_del(&vm->node);
	lm_netlink_event(vm, LAMINA_EVENT_GONE);
	mutex_unlock(&lm_vms_lock);
	lm_control_gone(vm->ident);
}

/* ---- names ---- */

/* Descriptors in a child of the owner may keep a VM when its memory is gone: nobody can use it. */
bool lm_vm_alive(const struct lm_vm *vm)
{
	return atomic_read(&vm->mm->mm_users);
}

/* Printable, ended by a 0, and zeros behind it. */
static bool lm_text_good(const char *text, size_t size)
{
	size_t len = strnlen(text, size), i;

	for (i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return len < size && !memchr_inv(text + len, 0, size - len);
}

static bool lm_name_good(const char *name)
{
	return name[0] && name[0] != '#' && lm_text_good(name, LAMINA_NAME_BYTES) && !strpbrk(name, "/ ");
}

/* lm_vms_lock held, here and below. */
static struct lm_vm *lm_vm_by_name(const char *name, kuid_t uid, const struct user_namespace *ns)
{
	struct lm_vm *vm;

	list_for_each_entry(vm, &lm_vms, node)
		if (uid_eq(vm->ident->uid, uid) && vm->ident->ns == ns &&
		    !strcmp(vm->ident->name, name) && lm_vm_alive(vm))
			return vm;
	return NULL;
}

static struct lm_vm *lm_vm_by_id(u64 id)
{
	struct lm_vm *vm;

	list_for_each_entry(vm, &lm_vms, node)
		if (vm->id == id && lm_vm_alive(vm))
			return vm;
	return NULL;
}

static int lm_vm_set_name(struct lm_vm *vm, const char *name)
{
	struct lm_ident *ident = vm->ident;
	struct lm_vm *other = lm_vm_by_name(name, ident->uid, ident->ns);

	if (other == vm)
		return 0;
	if (other)
		return -EEXIST;
	strscpy(ident->name, name, sizeof(ident->name));
	lm_netlink_event(vm, LAMINA_EVENT_NAMED);
	return 0;
}

/**
 * lm_name_ioctl - LAMINA_SET_NAME
 * @vm: the VM, or NULL on /dev/lamina
 * @arg: the name
 *
 * Return: 0 or an errno
 */
int lm_name_ioctl(struct lm_vm *vm, const struct lamina_name __user *arg)
{
	struct lamina_name n;
	int r;

	if (copy_from_user(&n, arg, sizeof(n)))
		return -EFAULT;
	if (n.flags || n.uid || !n.id == !vm || !lm_name_good(n.name))
		return -EINVAL;
	mutex_lock(&lm_vms_lock);
	if (!vm)
		vm = lm_vm_by_id(n.id);
	if (!vm)
		r = -ENOENT;
	else if (n.id && !lm_may_open(vm->ident))
		r = -EPERM;
	else
		r = lm_vm_set_name(vm, n.name);
	mutex_unlock(&lm_vms_lock);
	return r;
}

static struct lm_vm *lm_vm_find(const struct lamina_name *n)
{
	struct user_namespace *ns = current_user_ns();
	kuid_t uid = current_euid();
	struct lm_vm *vm;

	if (n->flags & LAMINA_BY_ID)
		return lm_vm_by_id(n->id);
	if (!(n->flags & LAMINA_BY_UID))
		return lm_vm_by_name(n->name, uid, ns);
	uid = make_kuid(ns, n->uid);
	vm = lm_vm_by_name(n->name, uid, ns);
	if (vm || !uid_valid(uid))
		return vm;
	/* Of that user in a namespace below ours. */
	list_for_each_entry(vm, &lm_vms, node)
		if (uid_eq(vm->ident->uid, uid) && !strcmp(vm->ident->name, n->name) &&
		    lm_vm_alive(vm) && ns_capable(vm->ident->ns, CAP_SYS_ADMIN))
			return vm;
	return NULL;
}

/**
 * lm_open_ioctl - LAMINA_OPEN
 * @arg: which VM
 *
 * Return: a descriptor or an errno
 */
int lm_open_ioctl(const struct lamina_name __user *arg)
{
	struct lm_ident *ident = NULL;
	struct lamina_name n;
	struct lm_vm *vm;
	int r = 0;

	if (copy_from_user(&n, arg, sizeof(n)))
		return -EFAULT;
	if (n.flags & ~(LAMINA_BY_ID | LAMINA_BY_UID) ||
	    n.flags == (LAMINA_BY_ID | LAMINA_BY_UID) ||
	    !n.id == !!(n.flags & LAMINA_BY_ID) || (n.uid && !(n.flags & LAMINA_BY_UID)) ||
	    (n.flags & LAMINA_BY_ID ? !!memchr_inv(n.name, 0, sizeof(n.name)) : !lm_name_good(n.name)))
		return -EINVAL;
	mutex_lock(&lm_vms_lock);
	vm = lm_vm_find(&n);
	if (!vm) {
		r = -ENOENT;
	} else if (!lm_may_open(vm->ident)) {
		r = -EPERM;
	} else {
		ident = vm->ident;
		refcount_inc(&ident->users);
	}
	mutex_unlock(&lm_vms_lock);
	return r ? r : lm_control_handle(ident);
}

/* ---- states ---- */

/* lm_vms_lock held. */
static void lm_vm_enter_state(struct lm_vm *vm, u32 state, const char *reason)
{
	static const u8 events[] = {
		[LAMINA_STATE_RUNNING] = LAMINA_EVENT_RUNNING,
		[LAMINA_STATE_PAUSED] = LAMINA_EVENT_PAUSED,
		[LAMINA_STATE_STOPPED] = LAMINA_EVENT_STOPPED,
		[LAMINA_STATE_CRASHED] = LAMINA_EVENT_CRASHED,
	};

	WRITE_ONCE(vm->life.state, state);
	if (!vm->life.started && state == LAMINA_STATE_RUNNING)
		vm->life.started = ktime_get_boottime_ns();
	strscpy(vm->life.reason, reason, sizeof(vm->life.reason));
	lm_netlink_event(vm, events[state]);
}

/**
 * lm_vm_runs - a thread is about to run one of the VM's vCPUs for the first time
 * @vm: the VM
 */
void lm_vm_runs(struct lm_vm *vm)
{
	if (READ_ONCE(vm->life.state) != LAMINA_STATE_CREATED)
		return;
	mutex_lock(&lm_vms_lock);
	/* Another vCPU may have come first, or the owner may have said more. */
	if (vm->life.state == LAMINA_STATE_CREATED)
		lm_vm_enter_state(vm, LAMINA_STATE_RUNNING, "");
	mutex_unlock(&lm_vms_lock);
}

/**
 * lm_state_ioctl - LAMINA_SET_STATE
 * @vm: the VM
 * @arg: the state
 *
 * Return: 0, -EINVAL, -EFAULT, or -EBUSY if the VM has ended
 */
int lm_state_ioctl(struct lm_vm *vm, const struct lamina_state __user *arg)
{
	struct lamina_state s;
	int r = 0;

	if (copy_from_user(&s, arg, sizeof(s)))
		return -EFAULT;
	if (s.state < LAMINA_STATE_RUNNING || s.state > LAMINA_STATE_CRASHED || s.flags ||
	    !lm_text_good(s.reason, sizeof(s.reason)))
		return -EINVAL;
	mutex_lock(&lm_vms_lock);
	/* Once it has ended, nothing else comes: who says more has been overtaken. */
	if (vm->life.state >= LAMINA_STATE_STOPPED)
		r = -EBUSY;
	else
		lm_vm_enter_state(vm, s.state, s.reason);
	mutex_unlock(&lm_vms_lock);
	return r;
}
