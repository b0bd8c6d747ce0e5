// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control handles: requests from whoever found a VM by name to the process that owns
 * it, with descriptors.
 *
 * A request lives as long as its sender waits in LAMINA_CALL, so what all the world
 * can make the kernel hold is bounded by its threads and LAMINA_MAX_CALLS, and no
 * cycle of descriptors that hold each other can be left in a queue.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "lamina.h"
#include "compat.h"

/**
 * struct lm_call - one request; on its sender's ident and all under its lock
 * @node: in lm_ident.calls
 * @msg: the request, then the answer
 * @file: what goes with it
 * @pid: of the sender
 * @uid: of the sender
 * @taken: the owner has read it
 * @done: it is answered, or will never be; read without the lock too
 * @error: what LAMINA_CALL answers then
 */
struct lm_call {
	struct list_head node;
	struct lamina_message msg;
	struct file *file[LAMINA_MAX_FDS];
	struct pid *pid;
	kuid_t uid;
	bool taken;
	bool done;
	int error;
};

/* ---- the sender ---- */

static void lm_call_put_files(struct lm_call *call)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(call->file); i++)
		if (call->file[i])
			fput(call->file[i]);
}

static int lm_call_get_files(struct lm_call *call)
{
	unsigned int i;

	for (i = 0; i < call->msg.nr_fds; i++) {
		call->file[i] = fget(call->msg.fds[i]);
		if (!call->file[i])
			return -EBADF;
	}
	return 0;
}

static int lm_call_check(const struct lamina_message *msg)
{
	unsigned int i;

	if (msg->id || msg->flags || msg->pid || msg->uid || msg->len > LAMINA_DATA_BYTES ||
	    msg->nr_fds > LAMINA_MAX_FDS || msg->timeout_ms > LAMINA_MAX_TIMEOUT_MS)
		return -EINVAL;
	for (i = msg->nr_fds; i < LAMINA_MAX_FDS; i++)
		if (msg->fds[i])
			return -EINVAL;
	return 0;
}

static int lm_call_queue(struct lm_ident *ident, struct lm_call *call)
{
	int r = 0;

	mutex_lock(&ident->lock);
	if (ident->gone)
		r = -ESTALE;
	else if (!ident->owned)
		r = -ENOTCONN;
	else if (ident->nr_calls >= LAMINA_MAX_CALLS)
		r = -EBUSY;
	if (!r) {
		call->msg.id = ++ident->next_call;
		list_add_tail(&call->node, &ident->calls);
		ident->nr_calls++;
		ident->nr_new++;
		wake_up(&ident->owner);
	}
	mutex_unlock(&ident->lock);
	return r;
}

/* Wait, take the call back, and say how it ended. */
static int lm_call_wait(struct lm_ident *ident, struct lm_call *call)
{
	unsigned long limit = msecs_to_jiffies(call->msg.timeout_ms);
	long left;
	int r;

	left = wait_event_interruptible_timeout(ident->callers, READ_ONCE(call->done), limit);

	mutex_lock(&ident->lock);
	list_del(&call->node);
	ident->nr_calls--;
	if (!call->taken)
		ident->nr_new--;
	if (call->done)
		r = call->error;
	else
		r = left < 0 ? -EINTR : -ETIMEDOUT;
	mutex_unlock(&ident->lock);
	return r;
}

static int lm_call(struct lm_ident *ident, struct lamina_message __user *arg)
{
	struct lm_call *call = kzalloc(sizeof(*call), GFP_KERNEL_ACCOUNT);
	int r;

	if (!call)
		return -ENOMEM;
	call->pid = task_tgid(current);
	call->uid = current_euid();
	r = copy_from_user(&call->msg, arg, sizeof(call->msg)) ? -EFAULT : 0;
	if (!r)
		r = lm_call_check(&call->msg);
	if (!r)
		r = lm_call_get_files(call);
	if (!r)
		r = lm_call_queue(ident, call);
	if (!r)
		r = lm_call_wait(ident, call);
	lm_call_put_files(call);
	if (!r && copy_to_user(arg, &call->msg, sizeof(call->msg)))
		r = -EFAULT;
	kfree(call);
	return r;
}

static void lm_call_end(struct lm_call *call, int error)
{
	call->error = error;
	WRITE_ONCE(call->done, true);	/* who sees it takes the lock before it looks further */
}

static void lm_calls_end(struct lm_ident *ident, int error)
{
	struct lm_call *call;

	list_for_each_entry(call, &ident->calls, node) {
		call->taken = true;
		if (!call->done)
			lm_call_end(call, error);
	}
	WRITE_ONCE(ident->nr_new, 0);
	wake_up_all(&ident->callers);
	wake_up_all(&ident->owner);
}

/**
 * lm_control_gone - the VM or its owner's memory has ended: its handles are stale
 * @ident: of the VM
 *
 * May be called twice.
 */
void lm_control_gone(struct lm_ident *ident)
{
	mutex_lock(&ident->lock);
	ident->gone = true;
	lm_calls_end(ident, -ESTALE);
	mutex_unlock(&ident->lock);
}

/* ---- the handle ---- */

static long lm_handle_ioctl(struct file *file, unsigned int ioctl, unsigned long arg)
{
	if (ioctl != LAMINA_CALL)
		return -ENOTTY;
	return lm_call(file->private_data, (void __user *)arg);
}

static __poll_t lm_handle_poll(struct file *file, poll_table *wait)
{
	struct lm_ident *ident = file->private_data;

	poll_wait(file, &ident->callers, wait);
	return READ_ONCE(ident->gone) ? EPOLLHUP : 0;
}

static int lm_handle_release(struct inode *inode, struct file *file)
{
	lm_ident_put(file->private_data);
	return 0;
}

static const struct file_operations lm_handle_fops = {
	.owner = THIS_MODULE,
	.release = lm_handle_release,
	.unlocked_ioctl = lm_handle_ioctl,
	.poll = lm_handle_poll,
	.llseek = noop_llseek,
};

/**
 * lm_control_handle - make a control handle
 * @ident: what it is for; the reference is handed over
 *
 * Return: a descriptor or an errno
 */
int lm_control_handle(struct lm_ident *ident)
{
	int fd = anon_inode_getfd("lamina-handle", &lm_handle_fops, ident, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		lm_ident_put(ident);
	return fd;
}

/* ---- the owner ---- */

static struct lm_call *lm_call_next(struct lm_ident *ident)
{
	struct lm_call *call;

	list_for_each_entry(call, &ident->calls, node)
		if (!call->taken)
			return call;
	return NULL;
}

static struct lm_call *lm_call_by_id(struct lm_ident *ident, u64 id)
{
	struct lm_call *call;

	list_for_each_entry(call, &ident->calls, node)
		if (call->msg.id == id && call->taken && !call->done)
			return call;
	return NULL;
}

/* Copy the next request, with references to its files: 1, 0 if the VM is gone, -EAGAIN. */
static int lm_owner_take(struct lm_ident *ident, struct lm_call *copy)
{
	struct lm_call *call;
	unsigned int i;
	int r = 1;

	mutex_lock(&ident->lock);
	call = lm_call_next(ident);
	if (call) {
		call->taken = true;
		ident->nr_new--;
		*copy = *call;
		for (i = 0; i < call->msg.nr_fds; i++)
			get_file(call->file[i]);
		copy->msg.pid = pid_vnr(call->pid);
	} else {
		r = ident->gone ? 0 : -EAGAIN;
	}
	mutex_unlock(&ident->lock);
	return r;
}

/* It did not reach the owner: the next read gets it. */
static void lm_owner_give_back(struct lm_ident *ident, u64 id)
{
	struct lm_call *call;

	mutex_lock(&ident->lock);
	call = lm_call_by_id(ident, id);
	if (call) {
		call->taken = false;
		ident->nr_new++;
		wake_up(&ident->owner);
	}
	mutex_unlock(&ident->lock);
}

/*
 * The message goes out first without descriptors, which could not be taken back: their
 * numbers may have been closed and used again by another thread.  What the reader
 * cannot have, for want of room or by a security module's word, is left out.
 */
static int lm_owner_deliver(struct lm_call *copy, char __user *buf)
{
	struct lamina_message *msg = &copy->msg;
	unsigned int i, nr = msg->nr_fds;
	int fd;

	msg->uid = from_kuid_munged(current_user_ns(), copy->uid);
	msg->timeout_ms = 0;
	msg->nr_fds = 0;
	memset(msg->fds, 0, sizeof(msg->fds));
	if (copy_to_user(buf, msg, sizeof(*msg)))
		return -EFAULT;
	for (i = 0; i < nr; i++) {
		fd = lm_receive_fd(copy->file[i]);
		if (fd < 0)
			break;
		msg->fds[msg->nr_fds++] = fd;
	}
	/* It was there a moment ago. Who takes it away has the descriptors, and does not know. */
	if (msg->nr_fds && copy_to_user(buf, msg, sizeof(*msg)))
		pr_debug("a message's descriptors are not told\n");
	return sizeof(*msg);
}

static ssize_t lm_owner_read(struct file *file, char __user *buf, size_t count, loff_t *pos)
{
	struct lm_ident *ident = file->private_data;
	struct lm_call *copy;
	ssize_t r;

	if (count < sizeof(struct lamina_message))
		return -EINVAL;
	/* Another program that was handed this descriptor shall not be given files. */
	if (file->f_cred != current_cred())
		return -EPERM;
	copy = kmalloc(sizeof(*copy), GFP_KERNEL_ACCOUNT);
	if (!copy)
		return -ENOMEM;
	for (;;) {
		r = lm_owner_take(ident, copy);
		if (r != -EAGAIN || file->f_flags & O_NONBLOCK)
			break;
		r = wait_event_interruptible(ident->owner,
					     READ_ONCE(ident->gone) || READ_ONCE(ident->nr_new));
		if (r)
			break;
	}
	if (r > 0) {
		r = lm_owner_deliver(copy, buf);
		if (r == -EFAULT)
			lm_owner_give_back(ident, copy->msg.id);
		lm_call_put_files(copy);
	}
	kfree(copy);
	return r;
}

static ssize_t lm_owner_write(struct file *file, const char __user *buf, size_t count,
			      loff_t *pos)
{
	struct lm_ident *ident = file->private_data;
	struct lamina_message *msg;
	struct lm_call *call;
	ssize_t r = count;

	if (count != sizeof(*msg))
		return -EINVAL;
	if (file->f_cred != current_cred())
		return -EPERM;
	msg = memdup_user(buf, sizeof(*msg));
	if (IS_ERR(msg))
		return PTR_ERR(msg);
	if (msg->flags || msg->timeout_ms || msg->pid || msg->uid || msg->nr_fds ||
	    memchr_inv(msg->fds, 0, sizeof(msg->fds)) || msg->len > LAMINA_DATA_BYTES) {
		r = -EINVAL;
		goto out;
	}
	mutex_lock(&ident->lock);
	call = lm_call_by_id(ident, msg->id);
	if (call) {
		call->msg = *msg;
		lm_call_end(call, 0);
		wake_up_all(&ident->callers);
	} else {
		r = -ENOENT;
	}
	mutex_unlock(&ident->lock);
out:
	kfree(msg);
	return r;
}

static __poll_t lm_owner_poll(struct file *file, poll_table *wait)
{
	struct lm_ident *ident = file->private_data;
	__poll_t events;

	poll_wait(file, &ident->owner, wait);
	mutex_lock(&ident->lock);
	events = ident->gone ? EPOLLHUP : ident->nr_new ? EPOLLIN | EPOLLRDNORM : 0;
	mutex_unlock(&ident->lock);
	return events | EPOLLOUT | EPOLLWRNORM;
}

static int lm_owner_release(struct inode *inode, struct file *file)
{
	struct lm_ident *ident = file->private_data;

	mutex_lock(&ident->lock);
	ident->owned = false;
	lm_calls_end(ident, -ENOTCONN);
	mutex_unlock(&ident->lock);
	lm_ident_put(ident);
	return 0;
}

static const struct file_operations lm_owner_fops = {
	.owner = THIS_MODULE,
	.release = lm_owner_release,
	.read = lm_owner_read,
	.write = lm_owner_write,
	.poll = lm_owner_poll,
	.llseek = noop_llseek,
};

/**
 * lm_control_own - LAMINA_OWN
 * @ident: of the VM
 *
 * Return: a descriptor or an errno
 */
int lm_control_own(struct lm_ident *ident)
{
	int fd;

	mutex_lock(&ident->lock);
	if (ident->owned) {
		mutex_unlock(&ident->lock);
		return -EBUSY;
	}
	ident->owned = true;
	mutex_unlock(&ident->lock);
	refcount_inc(&ident->users);
	fd = anon_inode_getfd("lamina-owner", &lm_owner_fops, ident, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		mutex_lock(&ident->lock);
		ident->owned = false;
		lm_calls_end(ident, -ENOTCONN);
		mutex_unlock(&ident->lock);
		lm_ident_put(ident);
	}
	return fd;
}
