// SPDX-License-Identifier: GPL-2.0-only
/*
 * The disk as a device: made by KVM_CREATE_DEVICE, set up by attributes
 * (include/uapi/linux/lamina.h), ended by closing its descriptor.  Requests are in io.c.
 */
#include <linux/anon_inodes.h>
#include <linux/blkdev.h>
#include <linux/cred.h>
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/virtio_config.h>

#include "blk.h"
#include "virtio.h"

/* How many requests of one device workers carry out at a time. */
#define LM_BLK_WORKERS	32

/* What rings and requests here can do, and what only concerns who shows the device. */
#define LM_BLK_FEATURES							\
	(BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_RING_PACKED) |		\
	 BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |				\
	 BIT_ULL(VIRTIO_RING_F_EVENT_IDX) | BIT_ULL(VIRTIO_BLK_F_FLUSH) |	\
	 BIT_ULL(VIRTIO_BLK_F_DISCARD) | BIT_ULL(VIRTIO_BLK_F_WRITE_ZEROES) |	\
	 BIT_ULL(VIRTIO_BLK_F_RO) | BIT_ULL(VIRTIO_BLK_F_MQ) |			\
	 BIT_ULL(VIRTIO_BLK_F_SEG_MAX) | BIT_ULL(VIRTIO_BLK_F_SIZE_MAX) |	\
	 BIT_ULL(VIRTIO_BLK_F_BLK_SIZE) | BIT_ULL(VIRTIO_BLK_F_TOPOLOGY) |	\
	 BIT_ULL(VIRTIO_BLK_F_GEOMETRY))

static atomic_t lm_blk_ids = ATOMIC_INIT(0);
static struct workqueue_struct *lm_blk_ends;

#define for_each_queue(q, blk) \
	for ((q) = (blk)->queue; (q) < (blk)->queue + LAMINA_BLK_QUEUES; (q)++)

static struct lm_blk_queue *lm_blk_queue_at(struct lm_blk *blk, u32 index)
{
	if (index >= LAMINA_BLK_QUEUES)
		return NULL;
	return &blk->queue[array_index_nospec(index, LAMINA_BLK_QUEUES)];
}

/**
 * lm_blk_break - the driver broke the rules: the device needs a reset
 * @blk: the device
 * @why: for the log, once
 *
 * Context: any.
 */
void lm_blk_break(struct lm_blk *blk, const char *why)
{
	unsigned long flags;

	spin_lock_irqsave(&blk->event_lock, flags);
	WRITE_ONCE(blk->broken, true);
	if (blk->event)
		lm_eventfd_signal(blk->event);
	spin_unlock_irqrestore(&blk->event_lock, flags);
	if (!test_and_set_bit(LM_BLK_WARN_BROKEN, &blk->warned))
		pr_warn_ratelimited("disk %u of process %d needs a reset: %s\n", blk->id,
				    blk->vm->owner, why);
}

/* ---- start and stop ---- */

/*
 * A worker may stand in a fault of the owner's memory or in its file for as long as
 * another thread of the owner likes, which serves a userfaultfd or a file system.  So
 * who waits for workers can be killed: what they wait for ends with the owner.
 */
static int lm_blk_set_running(struct lm_blk *blk, bool running)
{
	struct lm_blk_queue *q;

	/* Nobody is between the look at it and what follows. */
	for_each_queue(q, blk) {
		if (mutex_lock_killable(&q->take))
			return -EINTR;
		q->running = running;
		mutex_unlock(&q->take);
	}
	blk->running = running;
	return 0;
}

static bool lm_blk_idle(struct lm_blk *blk)
{
	struct lm_blk_queue *q;

	for_each_queue(q, blk)
		if (atomic_read(&q->inflight))
			return false;
	return true;
}

/* Waits for what is in flight; afterwards nothing is pinned.  -EINTR: killed. */
static int lm_blk_stop(struct lm_blk *blk)
{
	struct lm_blk_queue *q;

	if (!blk->busy)
		return 0;
	if (lm_blk_set_running(blk, false) || wait_event_killable(blk->idle, lm_blk_idle(blk)))
		return -EINTR;
	for_each_queue(q, blk)
		lm_ring_unpin(&q->ring);
	blk->busy = false;
	return 0;
}

static int lm_blk_start(struct lm_blk *blk)
{
	struct lm_blk_queue *q;
	int err;

	if (!blk->file)
		return -ENXIO;
	if (blk->running)
		return 0;
	err = lm_blk_stop(blk);
	if (err)
		return err;
	for_each_queue(q, blk) {
		q->ring.event_idx = blk->features & BIT_ULL(VIRTIO_RING_F_EVENT_IDX);
		q->ring.indirect = blk->features & BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC);
		q->ring.seen_avail = q->ring.last_avail;
	}
	blk->busy = true;
	err = lm_blk_set_running(blk, true);
	if (err)
		return err;
	/* The driver may have rung before. */
	for_each_queue(q, blk)
		if (q->ring.num)
			lm_blk_look_later(q, 0);
	return 0;
}

static void lm_blk_queue_clear(struct lm_blk_queue *q)
{
	kvfree(q->chain.seg);
	q->chain.seg = NULL;
	q->ring.num = 0;
}

static int lm_blk_reset(struct lm_blk *blk)
{
	struct lm_blk_queue *q;
	int err = lm_blk_stop(blk);

	if (err)
		return err;
	for_each_queue(q, blk)
		lm_blk_queue_clear(q);
	blk->features = 0;
	WRITE_ONCE(blk->broken, false);
	return 0;
}

/* ---- attributes ---- */

static int lm_blk_check_file(const struct file *file, bool rdonly)
{
	const struct inode *inode = file->f_mapping->host;

	if (!S_ISREG(inode->i_mode) && !S_ISBLK(inode->i_mode))
		return -EINVAL;
	if (!(file->f_mode & FMODE_READ) || (!rdonly && !(file->f_mode & FMODE_WRITE)))
		return -EBADF;
	if (!file->f_op->read_iter || (!rdonly && !file->f_op->write_iter))
		return -EINVAL;
	return !rdonly && (file->f_flags & O_APPEND) ? -EINVAL : 0;
}

static int lm_blk_set_backing(struct lm_blk *blk, const struct lamina_blk_backing *b)
{
	bool rdonly = b->flags & LAMINA_BLK_RDONLY;
	struct file *file;
	int err;

	if (b->flags & ~LAMINA_BLK_RDONLY)
		return -EINVAL;
	file = fget(b->fd);
	if (!file)
		return -EBADF;
	err = lm_blk_check_file(file, rdonly);
	if (err) {
		fput(file);
		return err;
	}
	if (blk->file)
		fput(blk->file);
	blk->file = file;
	blk->rdonly = rdonly;
	blk->capacity = i_size_read(file->f_mapping->host) >> SECTOR_SHIFT;
	blk->warned = 0;
	return 0;
}

static int lm_blk_get_info(struct lm_blk *blk, struct lamina_blk_info *info)
{
	struct block_device *bdev = NULL;
	struct inode *inode;

	if (!blk->file)
		return -ENXIO;
	inode = blk->file->f_mapping->host;
	if (S_ISBLK(inode->i_mode))
		bdev = I_BDEV(inode);
	else if (blk->file->f_flags & O_DIRECT)
		bdev = inode->i_sb->s_bdev;
	*info = (struct lamina_blk_info) {
		.capacity = blk->capacity,
		.block_size = bdev ? bdev_logical_block_size(bdev) : SECTOR_SIZE,
		.flags = blk->rdonly ? LAMINA_BLK_RDONLY : 0,
	};
	return 0;
}

static u64 lm_blk_offered(const struct lm_blk *blk)
{
	u64 writing = BIT_ULL(VIRTIO_BLK_F_DISCARD) | BIT_ULL(VIRTIO_BLK_F_WRITE_ZEROES);

	return LM_BLK_FEATURES & ~(blk->rdonly ? writing : BIT_ULL(VIRTIO_BLK_F_RO));
}

/* Its rings are laid out as the features say. */
static int lm_blk_set_features(struct lm_blk *blk, u64 features)
{
	struct lm_blk_queue *q;

	if (features & ~lm_blk_offered(blk))
		return -EINVAL;
	if ((features ^ blk->features) & BIT_ULL(VIRTIO_F_RING_PACKED))
		for_each_queue(q, blk)
			if (q->ring.num)
				return -EBUSY;
	blk->features = features;
	return 0;
}

static int lm_blk_set_queue(struct lm_blk *blk, const struct lamina_blk_queue *args)
{
	struct lm_blk_queue *q = lm_blk_queue_at(blk, args->index);
	bool packed = blk->features & BIT_ULL(VIRTIO_F_RING_PACKED);
	struct lm_vseg *seg;

	if (!q || args->reserved)
		return -EINVAL;
	if (!args->size) {
		lm_blk_queue_clear(q);
		return 0;
	}
	if (lm_ring_check(args, packed))
		return -EINVAL;
	seg = kvmalloc_array(2 * args->size, sizeof(*seg), GFP_KERNEL_ACCOUNT);
	if (!seg)
		return -ENOMEM;
	lm_blk_queue_clear(q);
	q->chain.seg = seg;
	lm_ring_set_up(&q->ring, args, packed);
	return 0;
}

static int lm_blk_get_queue(struct lm_blk *blk, struct lamina_blk_queue *args)
{
	struct lm_blk_queue *q = lm_blk_queue_at(blk, args->index);
	struct lm_ring *r;

	if (!q || args->reserved)
		return -EINVAL;
	r = &q->ring;
	*args = (struct lamina_blk_queue) { .index = args->index };
	if (!r->num)
		return 0;
	args->size = r->num;
	args->desc = r->desc;
	args->driver = r->avail;
	args->device = r->used;
	args->last_avail = READ_ONCE(r->last_avail);
	args->last_used = READ_ONCE(r->last_used);
	return 0;
}

static void lm_blk_unhang(struct lm_blk_queue *q)
{
	if (q->hung)
		lm_bell_del(q->blk->vm, &q->bell, &q->where);
	q->hung = false;
}

static int lm_blk_set_doorbell(struct lm_blk *blk, const struct lamina_blk_doorbell *args)
{
	struct lm_blk_queue *q = lm_blk_queue_at(blk, args->index);
	u32 all = LAMINA_BLK_DOORBELL_PIO | LAMINA_BLK_DOORBELL_MATCH | LAMINA_BLK_DOORBELL_NONE;
	int err;

	if (!q || args->reserved || (args->flags & ~all))
		return -EINVAL;
	lm_blk_unhang(q);
	if (args->flags & LAMINA_BLK_DOORBELL_NONE)
		return 0;
	q->where = (struct kvm_ioeventfd) {
		.datamatch = args->match,
		.addr = args->addr,
		.len = args->len,
		.flags = (args->flags & LAMINA_BLK_DOORBELL_PIO ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (args->flags & LAMINA_BLK_DOORBELL_MATCH ?
			  KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
	};
	err = lm_bell_add(blk->vm, &q->bell, &q->where);
	q->hung = !err;
	return err;
}

static int lm_blk_set_irq(struct lm_blk *blk, const struct lamina_blk_irq *args)
{
	struct lm_blk_queue *q = lm_blk_queue_at(blk, args->index);
	struct eventfd_ctx *fd = NULL;
	bool chips;

	if (!q || args->reserved || args->kind > LAMINA_BLK_IRQ_EVENTFD)
		return -EINVAL;
	chips = smp_load_acquire(&blk->vm->irq.in_kernel); /* pairs with lm_irq_create_chips() */
	if ((args->kind == LAMINA_BLK_IRQ_GSI || args->kind == LAMINA_BLK_IRQ_MSI) && !chips)
		return -EINVAL;
	if (args->kind == LAMINA_BLK_IRQ_EVENTFD) {
		fd = eventfd_ctx_fdget(args->fd);
		if (IS_ERR(fd))
			return PTR_ERR(fd);
	}
	spin_lock_irq(&q->ring.lock);
	q->irq = *args;
	swap(q->irq_fd, fd);
	spin_unlock_irq(&q->ring.lock);
	if (fd)
		eventfd_ctx_put(fd);
	return 0;
}

static int lm_blk_set_event(struct lm_blk *blk, s32 fd)
{
	struct eventfd_ctx *ctx = fd == -1 ? NULL : eventfd_ctx_fdget(fd);

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	spin_lock_irq(&blk->event_lock);
	swap(blk->event, ctx);
	spin_unlock_irq(&blk->event_lock);
	if (ctx)
		eventfd_ctx_put(ctx);
	return 0;
}

static int lm_blk_set_state(struct lm_blk *blk, u32 state)
{
	switch (state) {
	case LAMINA_BLK_STATE_STOPPED:
		return lm_blk_stop(blk);
	case LAMINA_BLK_STATE_RUNNING:
		return lm_blk_start(blk);
	case LAMINA_BLK_STATE_RESET:
		return lm_blk_reset(blk);
	default:
		return -EINVAL;
	}
}

/* A doorbell that came another way, in a thread of the owner. */
static int lm_blk_kick(struct lm_blk *blk, u32 index)
{
	struct lm_blk_queue *q = lm_blk_queue_at(blk, index);

	if (!q)
		return -EINVAL;
	lm_blk_take(q, false);
	return 0;
}

static void lm_blk_sum(struct lm_blk *blk, struct lamina_blk_stats *sum)
{
	struct lm_blk_queue *q;
	u64 *to = (u64 *)sum, *from;
	unsigned int i;

	memset(sum, 0, sizeof(*sum));
	for_each_queue(q, blk) {
		from = (u64 *)&q->stats;
		spin_lock_irq(&q->ring.lock);
		for (i = 0; i < sizeof(*sum) / sizeof(*to); i++)
			to[i] += from[i];
		spin_unlock_irq(&q->ring.lock);
	}
}

union lm_blk_arg {
	struct lamina_blk_backing backing;
	char serial[LAMINA_BLK_SERIAL_BYTES];
	u64 features;
	s32 event;
	struct lamina_blk_info info;
	struct lamina_blk_queue queue;
	struct lamina_blk_doorbell doorbell;
	struct lamina_blk_irq irq;
	u32 state;
	u32 kick;
	struct lamina_blk_stats stats;
};

/* What each attribute moves, whether it can be set and got, and set while running. */
static const struct {
	u16 bytes;
	bool set, get, live;
} lm_blk_attrs[] = {
	[LAMINA_BLK_BACKING] = { sizeof(struct lamina_blk_backing), .set = true },
	[LAMINA_BLK_SERIAL] = { LAMINA_BLK_SERIAL_BYTES, .set = true },
	[LAMINA_BLK_FEATURES] = { sizeof(u64), .set = true, .get = true },
	[LAMINA_BLK_EVENT] = { sizeof(s32), .set = true, .live = true },
	[LAMINA_BLK_INFO] = { sizeof(struct lamina_blk_info), .get = true },
	[LAMINA_BLK_QUEUE] = { sizeof(struct lamina_blk_queue), .set = true, .get = true },
	[LAMINA_BLK_DOORBELL] = { sizeof(struct lamina_blk_doorbell), .set = true, .live = true },
	[LAMINA_BLK_IRQ] = { sizeof(struct lamina_blk_irq), .set = true, .live = true },
	[LAMINA_BLK_STATE] = { sizeof(u32), .set = true, .get = true, .live = true },
	[LAMINA_BLK_STATS] = { sizeof(struct lamina_blk_stats), .get = true },
	[LAMINA_BLK_KICK] = { sizeof(u32), .set = true, .live = true },
};

static int lm_blk_set(struct lm_blk *blk, u64 attr, const union lm_blk_arg *arg)
{
	switch (attr) {
	case LAMINA_BLK_BACKING:
		return lm_blk_set_backing(blk, &arg->backing);
	case LAMINA_BLK_SERIAL:
		memcpy(blk->serial, arg->serial, sizeof(blk->serial));
		return 0;
	case LAMINA_BLK_FEATURES:
		return lm_blk_set_features(blk, arg->features);
	case LAMINA_BLK_EVENT:
		return lm_blk_set_event(blk, arg->event);
	case LAMINA_BLK_QUEUE:
		return lm_blk_set_queue(blk, &arg->queue);
	case LAMINA_BLK_DOORBELL:
		return lm_blk_set_doorbell(blk, &arg->doorbell);
	case LAMINA_BLK_IRQ:
		return lm_blk_set_irq(blk, &arg->irq);
	case LAMINA_BLK_KICK:
		return lm_blk_kick(blk, arg->kick);
	default:
		return lm_blk_set_state(blk, arg->state);
	}
}

static int lm_blk_get(struct lm_blk *blk, u64 attr, union lm_blk_arg *arg)
{
	switch (attr) {
	case LAMINA_BLK_FEATURES:
		arg->features = lm_blk_offered(blk);
		return 0;
	case LAMINA_BLK_INFO:
		return lm_blk_get_info(blk, &arg->info);
	case LAMINA_BLK_QUEUE:
		return lm_blk_get_queue(blk, &arg->queue);
	case LAMINA_BLK_STATE:
		arg->state = blk->running ? LAMINA_BLK_STATE_RUNNING : LAMINA_BLK_STATE_STOPPED;
		if (READ_ONCE(blk->broken))
			arg->state |= LAMINA_BLK_STATE_NEEDS_RESET;
		return 0;
	default:
		lm_blk_sum(blk, &arg->stats);
		return 0;
	}
}

static long lm_blk_attr(struct lm_blk *blk, unsigned int ioctl, const struct kvm_device_attr *a)
{
	void __user *p = u64_to_user_ptr(a->addr);
	union lm_blk_arg arg = { };
	u32 bytes, i;
	int err;

	if (a->flags)
		return -EINVAL;
	if (a->group != LAMINA_BLK_GROUP || a->attr >= ARRAY_SIZE(lm_blk_attrs))
		return -ENXIO;
	i = array_index_nospec(a->attr, ARRAY_SIZE(lm_blk_attrs));
	bytes = lm_blk_attrs[i].bytes;
	if (!bytes)
		return -ENXIO;
	if (ioctl == KVM_HAS_DEVICE_ATTR)
		return 0;
	if (!(ioctl == KVM_SET_DEVICE_ATTR ? lm_blk_attrs[i].set : lm_blk_attrs[i].get))
		return -ENXIO;
	if ((ioctl == KVM_SET_DEVICE_ATTR || i == LAMINA_BLK_QUEUE) && copy_from_user(&arg, p, bytes))
		return -EFAULT;
	if (mutex_lock_interruptible(&blk->lock))
		return -EINTR;
	if (ioctl == KVM_GET_DEVICE_ATTR)
		err = lm_blk_get(blk, i, &arg);
	else if (blk->busy && !lm_blk_attrs[i].live)
		err = -EBUSY;
	else
		err = lm_blk_set(blk, i, &arg);
	mutex_unlock(&blk->lock);
	if (!err && ioctl == KVM_GET_DEVICE_ATTR && copy_to_user(p, &arg, bytes))
		return -EFAULT;
	return err;
}

static long lm_blk_ioctl(struct file *file, unsigned int ioctl, unsigned long arg)
{
	struct lm_blk *blk = file->private_data;
	struct kvm_device_attr attr;

	if (blk->vm->mm != current->mm)
		return -EIO;
	switch (ioctl) {
	case KVM_SET_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_HAS_DEVICE_ATTR:
		if (copy_from_user(&attr, (void __user *)arg, sizeof(attr)))
			return -EFAULT;
		return lm_blk_attr(blk, ioctl, &attr);
	default:
		return -ENOTTY;
	}
}

/* ---- life ---- */

static int lm_blk_stats_show(struct seq_file *m, void *unused)
{
	static const char * const names[] = {
		"reads", "writes", "flushes", "discards", "others", "errors", "read_bytes",
		"written_bytes", "kicks", "deferred", "irqs",
	};
	struct lamina_blk_stats sum;
	struct lm_blk *blk = m->private;
	unsigned int i;

	lm_blk_sum(blk, &sum);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		seq_printf(m, "%s %llu\n", names[i], ((u64 *)&sum)[i]);
	seq_printf(m, "running %d\n", READ_ONCE(blk->running));
	seq_printf(m, "needs_reset %d\n", READ_ONCE(blk->broken));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(lm_blk_stats);

static void lm_blk_put(struct lm_blk *blk)
{
	if (refcount_dec_and_test(&blk->users))
		kvfree(blk);
}

/* All of it but the memory.  In a worker, which nobody kills, or before it ever ran. */
static void lm_blk_destroy(struct lm_blk *blk)
{
	struct lm_blk_queue *q;

	WRITE_ONCE(blk->dying, true);
	debugfs_remove(blk->debugfs);
	mutex_lock(&blk->lock);
	for_each_queue(q, blk)
		lm_blk_unhang(q);
	lm_blk_reset(blk);
	mutex_unlock(&blk->lock);
	for_each_queue(q, blk)
		cancel_delayed_work_sync(&q->work);
	/* The last request may have its hand on blk->idle still. */
	synchronize_rcu();
	destroy_workqueue(blk->wq);
	for_each_queue(q, blk)
		if (q->irq_fd)
			eventfd_ctx_put(q->irq_fd);
	if (blk->event)
		eventfd_ctx_put(blk->event);
	if (blk->file)
		fput(blk->file);
	/* A kernel thread's is put off: who waits is to find the image free. */
	flush_delayed_fput();
	put_cred(blk->cred);
	atomic_dec(&blk->vm->nr_blks);
	lm_vm_put(blk->vm);
	complete(&blk->ended);
	lm_blk_put(blk);
}

#define LM_BLK_LAST_WAIT	HZ	/* jiffies that the end of a process waits for a disk's */

static void lm_blk_end_work(struct work_struct *work)
{
	lm_blk_destroy(container_of(work, struct lm_blk, end));
}

/*
 * Closing waits for the end, but not for long where it keeps others from being closed that
 * a worker may wait for: at a process's end; and not at all in a kernel thread that closes
 * for all.
 */
static int lm_blk_release(struct inode *inode, struct file *file)
{
	struct lm_blk *blk = file->private_data;

	WRITE_ONCE(blk->dying, true);
	queue_work(lm_blk_ends, &blk->end);
	if (current->flags & PF_EXITING)
		wait_for_completion_timeout(&blk->ended, LM_BLK_LAST_WAIT);
	else if (!(current->flags & PF_KTHREAD))
		wait_for_completion_killable(&blk->ended);
	lm_blk_put(blk);
	return 0;
}

static const struct file_operations lm_blk_fops = {
	.owner = THIS_MODULE,
	.release = lm_blk_release,
	.unlocked_ioctl = lm_blk_ioctl,
	.llseek = noop_llseek,
};

static void lm_blk_rung(struct lm_bell *bell)
{
	lm_blk_take(container_of(bell, struct lm_blk_queue, bell), false);
}

static void lm_blk_queue_init(struct lm_blk *blk, struct lm_blk_queue *q)
{
	q->blk = blk;
	q->bell.answer = lm_blk_rung;
	mutex_init(&q->take);
	q->ring.vm = blk->vm;
	spin_lock_init(&q->ring.lock);
	INIT_DELAYED_WORK(&q->work, lm_blk_drain_work);
}

static struct lm_blk *lm_blk_alloc(struct lm_vm *vm)
{
	struct lm_blk *blk = kvzalloc(sizeof(*blk), GFP_KERNEL_ACCOUNT);
	struct lm_blk_queue *q;

	if (!blk)
		return NULL;
	blk->id = atomic_inc_return(&lm_blk_ids);
	blk->wq = alloc_workqueue("lamina-blk%u", WQ_UNBOUND | WQ_FREEZABLE, LM_BLK_WORKERS, blk->id);
	if (!blk->wq) {
		kvfree(blk);
		return NULL;
	}
	blk->vm = lm_vm_get(vm);
	blk->cred = get_current_cred();
	mutex_init(&blk->lock);
	spin_lock_init(&blk->event_lock);
	init_waitqueue_head(&blk->idle);
	INIT_WORK(&blk->end, lm_blk_end_work);
	init_completion(&blk->ended);
	refcount_set(&blk->users, 2);
	for_each_queue(q, blk)
		lm_blk_queue_init(blk, q);
	return blk;
}

/**
 * lm_blk_create - KVM_CREATE_DEVICE with LAMINA_DEV_TYPE_BLK
 * @vm: the VM
 *
 * Return: its file, or -ENOSPC (LAMINA_BLK_DEVICES), -ENOMEM, -ENFILE
 */
struct file *lm_blk_create(struct lm_vm *vm)
{
	struct lm_blk *blk;
	struct file *file;
	char name[16];

	if (!atomic_add_unless(&vm->nr_blks, 1, LAMINA_BLK_DEVICES))
		return ERR_PTR(-ENOSPC);
	blk = lm_blk_alloc(vm);
	if (!blk) {
		atomic_dec(&vm->nr_blks);
		return ERR_PTR(-ENOMEM);
	}
	snprintf(name, sizeof(name), "blk%u", blk->id);
	blk->debugfs = debugfs_create_file(name, 0400, vm->debugfs, blk, &lm_blk_stats_fops);
	file = anon_inode_getfile("lamina-blk", &lm_blk_fops, blk, O_RDWR);
	if (IS_ERR(file)) {
		lm_blk_destroy(blk);
		lm_blk_put(blk);
	}
	return file;
}

/**
 * lm_blk_setup - when the module is loaded
 *
 * Return: 0 or -ENOMEM
 */
int lm_blk_setup(void)
{
	lm_blk_ends = alloc_workqueue("lamina-blk-ends", WQ_UNBOUND, WQ_UNBOUND_MAX_ACTIVE);
	return lm_blk_ends ? 0 : -ENOMEM;
}

/**
 * lm_blk_teardown - when the module goes: no device is open, but some may be ending
 */
void lm_blk_teardown(void)
{
	destroy_workqueue(lm_blk_ends);
}
