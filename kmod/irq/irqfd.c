// SPDX-License-Identifier: GPL-2.0-only
/*
 * irqfd: an eventfd whose signal is an interrupt.
 *
 * The wait queue's callback injects at once, in whatever context the signal came
 * from; every lock of the controllers allows that.  With a second eventfd, for level
 * interrupts, the line stays up until the guest's EOI, which signals it (resample).
 *
 * Life: assign and deassign run under lm_irq.lock.  Whoever takes an irqfd off the
 * list (deassign, the VM's end, or the eventfd's end, which comes in atomic context)
 * queues its one work item, which unhooks and frees it.  Deassign and release flush
 * the queue, so that nothing outlives the VM.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "chips.h"

struct lm_irqfd {
	struct lm_vm *vm;
	u32 gsi;
	struct eventfd_ctx *ctx;
	struct eventfd_ctx *resample;	/* or NULL */
	wait_queue_entry_t wait;
	poll_table pt;
	struct list_head node;		/* lm_irq.irqfds; empty: on its way out */
	struct list_head resample_node;	/* lm_irq.resamplers */
	struct work_struct shutdown;
};

static struct workqueue_struct *lm_irqfd_wq;

int lm_irq_setup(void)
{
	lm_irqfd_wq = alloc_workqueue("lamina-irqfd", WQ_UNBOUND, 0);
	return lm_irqfd_wq ? 0 : -ENOMEM;
}

void lm_irq_teardown(void)
{
	if (lm_irqfd_wq)
		destroy_workqueue(lm_irqfd_wq);
	lm_irqfd_wq = NULL;
}

/* There is no queue yet where KUnit runs its suites: before the module's init. */
void lm_irqfd_flush(void)
{
	if (lm_irqfd_wq)
		flush_workqueue(lm_irqfd_wq);
}

static void lm_irqfd_inject(struct lm_irqfd *f)
{
	if (f->resample) {
		lm_irq_line(f->vm, f->gsi, 1, LM_SRC_RESAMPLE);
		return;
	}
	lm_irq_line(f->vm, f->gsi, 1, LM_SRC_USER);
	lm_irq_line(f->vm, f->gsi, 0, LM_SRC_USER);
}

/* irqfds_lock held.  The work frees it. */
static void lm_irqfd_deactivate(struct lm_irqfd *f)
{
	list_del_init(&f->node);
	f->vm->irq.nr_irqfds--;
	queue_work(lm_irqfd_wq, &f->shutdown);
}

/* The eventfd's wait queue lock is held, interrupts are off. */
static int lm_irqfd_wake(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct lm_irqfd *f = container_of(wait, struct lm_irqfd, wait);
	__poll_t events = key_to_poll(key);
	unsigned long flags;
	u64 count;

	if (events & EPOLLIN) {
		eventfd_ctx_do_read(f->ctx, &count);
		lm_irqfd_inject(f);
	}
	if (events & EPOLLHUP) {
		spin_lock_irqsave(&f->vm->irq.irqfds_lock, flags);
		if (!list_empty(&f->node))
			lm_irqfd_deactivate(f);
		spin_unlock_irqrestore(&f->vm->irq.irqfds_lock, flags);
	}
	return 0;
}

static void lm_irqfd_hook(struct file *file, wait_queue_head_t *wqh, poll_table *pt)
{
	add_wait_queue(wqh, &container_of(pt, struct lm_irqfd, pt)->wait);
}

/* ---- resampling ---- */

/**
 * lm_irqfd_resample() - the guest ended the service of a level interrupt
 * @vm: the VM
 * @gsi: which
 *
 * The line goes down before the owners hear of it: those that still want it raise
 * it again.  They share one source, so once is enough.
 */
void lm_irqfd_resample(struct lm_vm *vm, u32 gsi)
{
	struct lm_irqfd *f;
	bool lowered = false;

	rcu_read_lock();
	list_for_each_entry_rcu(f, &vm->irq.resamplers, resample_node) {
		if (f->gsi != gsi)
			continue;
		if (!lowered)
			lm_irq_line(vm, gsi, 0, LM_SRC_RESAMPLE);
		lowered = true;
		lm_eventfd_signal(f->resample);
	}
	rcu_read_unlock();
}

/* Off the list; the line goes down with the last one of its GSI. */
static void lm_irqfd_unresample(struct lm_irqfd *f)
{
	struct lm_irq *irq = &f->vm->irq;
	struct lm_irqfd *other;
	bool last = true;

	mutex_lock(&irq->lock);
	list_del_rcu(&f->resample_node);
	list_for_each_entry(other, &irq->resamplers, resample_node)
		if (other->gsi == f->gsi)
			last = false;
	if (last)
		lm_irq_line(f->vm, f->gsi, 0, LM_SRC_RESAMPLE);
	mutex_unlock(&irq->lock);
	synchronize_rcu_expedited();
}

/* ---- life ---- */

static void lm_irqfd_free(struct lm_irqfd *f)
{
	if (f->resample)
		eventfd_ctx_put(f->resample);
	if (f->ctx)
		eventfd_ctx_put(f->ctx);
	kfree(f);
}

static void lm_irqfd_shutdown(struct work_struct *work)
{
	struct lm_irqfd *f = container_of(work, struct lm_irqfd, shutdown);
	u64 count;

	/* Takes the wait queue's lock: no callback runs from here on. */
	eventfd_ctx_remove_wait_queue(f->ctx, &f->wait, &count);
	if (f->resample)
		lm_irqfd_unresample(f);
	lm_irqfd_free(f);
}

static struct lm_irqfd *lm_irqfd_alloc(struct lm_vm *vm, const struct kvm_irqfd *args,
				       struct file *file)
{
	struct lm_irqfd *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	struct eventfd_ctx *ctx;

	if (!f)
		return ERR_PTR(-ENOMEM);
	f->vm = vm;
	f->gsi = args->gsi;
	INIT_LIST_HEAD(&f->node);
	INIT_LIST_HEAD(&f->resample_node);
	INIT_WORK(&f->shutdown, lm_irqfd_shutdown);
	init_waitqueue_func_entry(&f->wait, lm_irqfd_wake);
	init_poll_funcptr(&f->pt, lm_irqfd_hook);

	ctx = eventfd_ctx_fileget(file);
	if (IS_ERR(ctx))
		goto fail;
	f->ctx = ctx;
	if (args->flags & KVM_IRQFD_FLAG_RESAMPLE) {
		ctx = eventfd_ctx_fdget(args->resamplefd);
		if (IS_ERR(ctx))
			goto fail;
		f->resample = ctx;
	}
	return f;

fail:
	lm_irqfd_free(f);
	return ERR_CAST(ctx);
}

/* lm_irq.lock held: onto the list, unless the eventfd is on it already. */
static int lm_irqfd_add(struct lm_irqfd *f)
{
	struct lm_irq *irq = &f->vm->irq;
	struct lm_irqfd *other;
	int err = 0;

	spin_lock_irq(&irq->irqfds_lock);
	if (irq->nr_irqfds >= LM_MAX_IRQFDS)
		err = -ENOSPC;
	list_for_each_entry(other, &irq->irqfds, node)
		if (other->ctx == f->ctx)
			err = -EBUSY;
	if (!err) {
		list_add_tail(&f->node, &irq->irqfds);
		irq->nr_irqfds++;
	}
	spin_unlock_irq(&irq->irqfds_lock);
	return err;
}

static int lm_irqfd_assign(struct lm_vm *vm, const struct kvm_irqfd *args)
{
	struct lm_irq *irq = &vm->irq;
	struct file *file;
	struct lm_irqfd *f;
	int err;

	if (!lm_irq_ready(irq))
		return -EINVAL;
	/* Who has the IOAPIC hears of the EOI, and resamples. */
	if ((args->flags & KVM_IRQFD_FLAG_RESAMPLE) && !lm_irq_has_chips(irq))
		return -EINVAL;
	file = fget(args->fd);
	if (!file)
		return -EBADF;
	f = lm_irqfd_alloc(vm, args, file);
	if (IS_ERR(f)) {
		err = PTR_ERR(f);
		goto out;
	}

	mutex_lock(&irq->lock);
	err = irq->released ? -ENODEV : lm_irqfd_add(f);
	if (!err) {
		if (f->resample)
			list_add_rcu(&f->resample_node, &irq->resamplers);
		/* The file is held: it cannot hang up before the hook is there. */
		if (vfs_poll(file, &f->pt) & EPOLLIN)
			lm_irqfd_inject(f);
	}
	mutex_unlock(&irq->lock);
	if (err)
		lm_irqfd_free(f);
out:
	fput(file);
	return err;
}

static int lm_irqfd_deassign(struct lm_vm *vm, const struct kvm_irqfd *args)
{
	struct lm_irq *irq = &vm->irq;
	struct eventfd_ctx *ctx = eventfd_ctx_fdget(args->fd);
	struct lm_irqfd *f, *next;

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	mutex_lock(&irq->lock);
	spin_lock_irq(&irq->irqfds_lock);
	list_for_each_entry_safe(f, next, &irq->irqfds, node)
		if (f->ctx == ctx && f->gsi == args->gsi)
			lm_irqfd_deactivate(f);
	spin_unlock_irq(&irq->irqfds_lock);
	mutex_unlock(&irq->lock);
	eventfd_ctx_put(ctx);
	lm_irqfd_flush();
	return 0;
}

/**
 * lm_irqfd() - KVM_IRQFD
 * @vm: the VM
 * @args: as copied in
 *
 * Return: 0, -EINVAL (flags, not an eventfd, no chips yet), -EBADF, -EBUSY (eventfd
 * in use), -ENOSPC, -ENOMEM.
 */
int lm_irqfd(struct lm_vm *vm, const struct kvm_irqfd *args)
{
	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return lm_irqfd_deassign(vm, args);
	return lm_irqfd_assign(vm, args);
}

/* The VM's file is closed.  Also waits for those whose eventfd closed just before. */
void lm_irqfd_release(struct lm_vm *vm)
{
	struct lm_irq *irq = &vm->irq;
	struct lm_irqfd *f, *next;

	mutex_lock(&irq->lock);
	irq->released = true;
	spin_lock_irq(&irq->irqfds_lock);
	list_for_each_entry_safe(f, next, &irq->irqfds, node)
		lm_irqfd_deactivate(f);
	spin_unlock_irq(&irq->irqfds_lock);
	mutex_unlock(&irq->lock);
	lm_irqfd_flush();
}
