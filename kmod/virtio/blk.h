/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The disk: a device of a VM, its queues, and one request.  Private to kmod/virtio/.
 *
 * Locks, outermost first: lm_blk.lock (attributes), lm_irq.lock, lm_blk_queue.take (one
 * at a time takes requests), lm_ring.lock (giving back; any context).
 */
#ifndef LM_BLK_H
#define LM_BLK_H

#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/refcount.h>
#include <linux/uio.h>
#include <linux/virtio_blk.h>
#include <linux/workqueue.h>
#include <linux/lamina.h>

#include "../lamina.h"
#include "ring.h"

struct lm_blk;

struct lm_blk_queue {
	struct lm_blk *blk;
	struct lm_bell bell;
	struct mutex take;
	bool running;			/* take */
	struct lm_ring ring;		/* num 0: not used */
	struct lm_chain chain;		/* (take) scratch */
	struct delayed_work work;	/* what a vCPU's thread has left over */
	atomic_t inflight;		/* requests that are not freed yet */
	struct kvm_ioeventfd where;	/* lm_blk.lock; the doorbell */
	bool hung;			/* lm_blk.lock; the doorbell is there */
	struct lamina_blk_irq irq;	/* ring.lock */
	struct eventfd_ctx *irq_fd;	/* ring.lock */
	struct lamina_blk_stats stats;	/* ring.lock */
};

struct lm_blk {
	struct lm_vm *vm;
	u32 id;				/* for log and traces */
	struct mutex lock;
	struct file *file;		/* lock, while stopped; NULL: none yet */
	const struct cred *cred;	/* who made the device; workers act for them */
	u64 capacity;			/* sectors */
	bool rdonly;
	bool running;			/* lock; all queues do */
	bool busy;			/* lock; it runs, or was stopped by who did not wait */
	bool broken;			/* needs a reset; set once by anybody */
	bool dying;			/* closed: what has not begun is not done any more */
	unsigned long warned;		/* bits: said once in the log */
	u64 features;
	char serial[LAMINA_BLK_SERIAL_BYTES];
	spinlock_t event_lock;
	struct eventfd_ctx *event;	/* event_lock */
	struct workqueue_struct *wq;
	wait_queue_head_t idle;
	atomic_t pages;			/* of guest memory that requests hold */
	unsigned long starved;		/* queues with a request that waits for some of them */
	struct dentry *debugfs;
	struct work_struct end;
	struct completion ended;
	refcount_t users;		/* of this memory, at the end: who closes it, and @end */
	struct lm_blk_queue queue[LAMINA_BLK_QUEUES];
};

/**
 * struct lm_blk_req - a request under way
 * @iocb: what the file gets
 * @ret: what the file answered
 * @refs: who submits and who completes; the later one of them goes on with the answer
 * @work: carried out by a worker, or only freed by one
 * @q: its queue
 * @pos: of the first byte in the file
 * @charged: what it holds of lm_blk.pages
 * @bytes: of data
 * @done: of these, completed
 * @token: for lm_ring_push()
 * @type: VIRTIO_BLK_T_*
 * @status_at: guest address of the status byte
 * @status: its page
 * @nr_bv: pages of the data
 * @nr_seg: @seg is what was written in the guest, for the dirty log
 * @nr_range: of a discard or write-zeroes
 * @writers: the file system's freeze protection is held
 */
struct lm_blk_req {
	struct kiocb iocb;
	long ret;
	atomic_t refs;
	struct work_struct work;
	struct lm_blk_queue *q;
	u64 pos;
	u32 charged;
	u32 bytes, done;
	struct lm_token token;
	u16 nr_range;
	u32 type;
	u64 status_at;
	struct bio_vec status;
	u32 nr_bv, nr_seg;
	bool writers;
	struct bio_vec *bv;
	struct lm_vseg *seg;
	struct virtio_blk_discard_write_zeroes range[];	/* or bv[] and seg[] */
};

/*
 * How many pages of guest memory the requests of a disk hold.  When as many are held,
 * what comes next stays in the ring until some are given back.  These are 64 MiB, four
 * requests of the largest size, which keeps any host's disk busy.  And one page may be
 * named in all of them, in all disks of a VM: this times LAMINA_BLK_DEVICES stays below
 * what a page's count can bear (2^31, and 1,024 for each time it is pinned).
 */
#define LM_BLK_PAGES	16384

/* What has been said in the log. */
enum lm_blk_warned {
	LM_BLK_WARN_BROKEN,
	LM_BLK_WARN_SHRUNK,
	LM_BLK_WARN_ERROR,
};

/* blk.c */
void lm_blk_break(struct lm_blk *blk, const char *why);
static inline void lm_blk_look_later(struct lm_blk_queue *q, unsigned long delay)
{
	/* What is due now does not wait for what was put off. */
	if (delay)
		queue_delayed_work(q->blk->wq, &q->work, delay);
	else
		mod_delayed_work(q->blk->wq, &q->work, 0);
}

/* io.c */
void lm_blk_take(struct lm_blk_queue *q, bool worker);
void lm_blk_drain_work(struct work_struct *work);

#endif
