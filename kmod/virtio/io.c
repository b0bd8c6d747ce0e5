// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests of the disk, from the ring to the file and back.
 *
 *   lm_blk_take        in the thread of the vCPU that rang, or in a worker
 *     lm_blk_begin     header, checks, pages pinned
 *     lm_blk_rw        to the file: at once if it need not wait, else in a worker
 *   lm_blk_rw_done     wherever the file's answer comes from, interrupts included
 *     lm_blk_end       status, used ring, interrupt; pages let go
 */
#include <linux/cred.h>
#include <linux/falloc.h>
#include <linux/kthread.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "../monitor/trace.h"
#include "blk.h"

#define LM_SECTOR_SHIFT	9

/* When a queue is looked at again whose ring could not be pinned for want of memory. */
#define LM_BLK_RETRY	(HZ / 10)

/* How many pages are let go of in an interrupt: 1 MiB of data. */
#define LM_BLK_LIGHT_PAGES	256

/* One line in the log for each kind of trouble and device. */
static bool lm_blk_first(struct lm_blk *blk, enum lm_blk_warned what)
{
	return !test_and_set_bit(what, &blk->warned);
}

/* ---- how much of guest memory ---- */

/* One more may go beyond the limit, so that a large request need not wait for more than a small one. */
static bool lm_blk_try_charge(struct lm_blk *blk, u32 pages)
{
	int held = atomic_read(&blk->pages);

	do {
		if (held >= LM_BLK_PAGES)
			return false;
	} while (!atomic_try_cmpxchg(&blk->pages, &held, held + pages));
	return true;
}

/* False: lm_blk_uncharge() will have the queue looked at again. */
static bool lm_blk_charge(struct lm_blk_queue *q, u32 pages)
{
	struct lm_blk *blk = q->blk;

	if (lm_blk_try_charge(blk, pages))
		return true;
	set_bit(q - blk->queue, &blk->starved);
	smp_mb__after_atomic();	/* the wish before the last look; lm_blk_uncharge() does it the other way */
	return lm_blk_try_charge(blk, pages);
}

/* Any context. */
static void lm_blk_uncharge(struct lm_blk *blk, u32 pages)
{
	unsigned long starved;
	unsigned int i;

	if (atomic_sub_return(pages, &blk->pages) >= LM_BLK_PAGES || !READ_ONCE(blk->starved))
		return;
	starved = xchg(&blk->starved, 0);
	for_each_set_bit(i, &starved, LAMINA_BLK_QUEUES)
		lm_blk_look_later(&blk->queue[i], 0);
}

/* ---- giving back ---- */

static void lm_blk_count(struct lamina_blk_stats *s, u32 type, u8 status, u32 bytes)
{
	switch (type) {
	case VIRTIO_BLK_T_IN:
		s->reads++;
		s->read_bytes += bytes;
		break;
	case VIRTIO_BLK_T_OUT:
		s->writes++;
		s->written_bytes += bytes;
		break;
	case VIRTIO_BLK_T_FLUSH:
		s->flushes++;
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		s->discards++;
		break;
	default:
		s->others++;
	}
	if (status != VIRTIO_BLK_S_OK)
		s->errors++;
}

/* ring.lock held. */
static void lm_blk_interrupt(struct lm_blk_queue *q)
{
	const struct lamina_blk_irq *irq = &q->irq;
	struct lm_vm *vm = q->blk->vm;
	struct kvm_msi msi;

	q->stats.irqs++;
	switch (irq->kind) {
	case LAMINA_BLK_IRQ_GSI:
		lm_irq_line(vm, irq->gsi, 1, LM_SRC_USER);
		lm_irq_line(vm, irq->gsi, 0, LM_SRC_USER);
		break;
	case LAMINA_BLK_IRQ_MSI:
		msi = (struct kvm_msi) { .address_lo = irq->address_lo,
					 .address_hi = irq->address_hi, .data = irq->data };
		lm_irq_signal_msi(vm, &msi);
		break;
	case LAMINA_BLK_IRQ_EVENTFD:
		lm_eventfd_signal(q->irq_fd);
		break;
	}
}

/* ring.lock held.  A broken device is silent, until it is reset. */
static void lm_blk_push(struct lm_blk_queue *q, struct lm_token token, u32 type, u8 status,
			u32 bytes, u32 in)
{
	lm_blk_count(&q->stats, type, status, bytes);
	if (!READ_ONCE(q->blk->broken) && lm_ring_push(&q->ring, token, in))
		lm_blk_interrupt(q);
}

/* Answer a request that never began.  In the owner's address space. */
static void lm_blk_answer(struct lm_blk_queue *q, u64 status_at, u32 type, u8 status, u32 in)
{
	struct lm_token token = q->chain.token;

	trace_lm_blk_done(q->blk->id, q - q->blk->queue, token.id, status);
	if (lm_outside_copy(q->blk->vm, status_at, &status, 1, true)) {
		lm_blk_break(q->blk, "a status byte outside memory");
		return;
	}
	spin_lock_irq(&q->ring.lock);
	lm_blk_push(q, token, type, status, 0, in + 1);
	spin_unlock_irq(&q->ring.lock);
}

static void lm_blk_req_free(struct lm_blk_req *req)
{
	struct lm_blk *blk = req->q->blk;
	u32 pages = req->charged;

	kvfree(req);
	lm_blk_uncharge(blk, pages);
}

static void lm_blk_free(struct lm_blk_req *req)
{
	struct lm_blk_queue *q = req->q;
	struct lm_blk *blk = q->blk;

	lm_blk_req_free(req);
	/* The device may go as soon as inflight is 0; its end waits for RCU. */
	rcu_read_lock();
	if (atomic_dec_and_test(&q->inflight))
		wake_up(&blk->idle);
	rcu_read_unlock();
}

/* Here one may sleep, and nobody waits for long. */
static void lm_blk_free_work(struct work_struct *work)
{
	struct lm_blk_req *req = container_of(work, struct lm_blk_req, work);

	lm_outside_unpin(req->bv, req->nr_bv, req->type == VIRTIO_BLK_T_IN);
	lm_outside_unpin(&req->status, 1, true);
	lm_blk_free(req);
}

/*
 * Can it be freed at once, in an interrupt if need be?  Pages whose file wrote them
 * back meanwhile must be marked again, and memory from vmalloc be unmapped: both may
 * sleep.  Many pages take long.
 */
static bool lm_blk_is_light(const struct lm_blk_req *req)
{
	if (req->nr_bv > LM_BLK_LIGHT_PAGES || is_vmalloc_addr(req))
		return false;
	if (req->type == VIRTIO_BLK_T_IN && !lm_outside_still_dirty(req->bv, req->nr_bv))
		return false;
	return lm_outside_still_dirty(&req->status, 1);
}

static void lm_blk_unpin(struct lm_blk_req *req)
{
	if (!lm_blk_is_light(req)) {
		INIT_WORK(&req->work, lm_blk_free_work);
		queue_work(req->q->blk->wq, &req->work);
		return;
	}
	lm_outside_unpin(req->bv, req->nr_bv, false);
	lm_outside_unpin(&req->status, 1, false);
	lm_blk_free(req);
}

/* Any context. */
static void lm_blk_end(struct lm_blk_req *req, u8 status)
{
	struct lm_blk_queue *q = req->q;
	struct lm_vm *vm = q->blk->vm;
	u32 i, in = req->type == VIRTIO_BLK_T_IN ? req->done : 0;
	unsigned long flags;

	trace_lm_blk_done(q->blk->id, q - q->blk->queue, req->token.id, status);
	*(u8 *)(page_address(req->status.bv_page) + req->status.bv_offset) = status;
	for (i = 0; i < req->nr_seg; i++)
		lm_outside_mark(vm, req->seg[i].gpa, req->seg[i].len);
	lm_outside_mark(vm, req->status_at, 1);

	spin_lock_irqsave(&q->ring.lock, flags);
	lm_blk_push(q, req->token, req->type, status, req->done, in + 1);
	if (lm_ring_put(&q->ring))
		lm_blk_look_later(q, 0);
	spin_unlock_irqrestore(&q->ring.lock, flags);
	lm_blk_unpin(req);
}

/* ---- the file ---- */

static void lm_blk_defer(struct lm_blk_req *req)
{
	unsigned long flags;

	spin_lock_irqsave(&req->q->ring.lock, flags);
	req->q->stats.deferred++;
	spin_unlock_irqrestore(&req->q->ring.lock, flags);
	queue_work(req->q->blk->wq, &req->work);
}

static void lm_blk_complain(struct lm_blk *blk, long err)
{
	if (lm_blk_first(blk, LM_BLK_WARN_ERROR))
		pr_warn_ratelimited("disk %u of process %d: the image answers with error %ld\n", blk->id,
				    blk->vm->owner, err);
}

/* It ends before where it ended when it became the disk. */
static void lm_blk_shrunk(struct lm_blk *blk)
{
	if (lm_blk_first(blk, LM_BLK_WARN_SHRUNK))
		pr_warn_ratelimited("disk %u of process %d: the image is shorter than it was: %lld bytes of %llu\n",
				    blk->id, blk->vm->owner, i_size_read(blk->file->f_mapping->host),
				    blk->capacity << LM_SECTOR_SHIFT);
}

/* The counterparts of aio's: what protects a file system from being frozen under a write. */
static bool lm_blk_write_begin(struct lm_blk_req *req, bool nowait)
{
	struct inode *inode = file_inode(req->iocb.ki_filp);

	if (LM_VFS_HOLDS_FREEZER || req->type != VIRTIO_BLK_T_OUT || !S_ISREG(inode->i_mode))
		return true;
	if (!nowait)
		sb_start_write(inode->i_sb);
	else if (!sb_start_write_trylock(inode->i_sb))
		return false;
	/* It may be another thread that ends it. */
	__sb_writers_release(inode->i_sb, SB_FREEZE_WRITE);
	req->writers = true;
	return true;
}

static void lm_blk_write_end(struct lm_blk_req *req)
{
	struct inode *inode = file_inode(req->iocb.ki_filp);

	if (!req->writers)
		return;
	req->writers = false;
	__sb_writers_acquired(inode->i_sb, SB_FREEZE_WRITE);
	sb_end_write(inode->i_sb);
}

/* What the file answered; any context. */
static void lm_blk_rw_result(struct lm_blk_req *req, long ret)
{
	struct lm_blk *blk = req->q->blk;
	bool nowait = req->iocb.ki_flags & IOCB_NOWAIT;

	lm_blk_write_end(req);
	if (ret < 0) {
		/* A file system has several ways to say "not now", and a signal is the vCPU's. */
		if (nowait) {
			lm_blk_defer(req);
			return;
		}
		lm_blk_complain(blk, ret);
		lm_blk_end(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	req->done += min_t(unsigned long, ret, req->bytes - req->done);
	if (req->done == req->bytes) {
		lm_blk_end(req, VIRTIO_BLK_S_OK);
	} else if (ret) {
		lm_blk_defer(req);	/* a part; the next try says why */
	} else {
		lm_blk_shrunk(blk);
		lm_blk_end(req, VIRTIO_BLK_S_IOERR);
	}
}

static void lm_blk_rw_put(struct lm_blk_req *req)
{
	if (atomic_dec_and_test(&req->refs))
		lm_blk_rw_result(req, req->ret);
}

static void lm_blk_rw_done(struct kiocb *iocb, long ret)
{
	struct lm_blk_req *req = container_of(iocb, struct lm_blk_req, iocb);

	req->ret = ret;
	lm_blk_rw_put(req);
}

/* Does the file promise that what it cannot do at once it refuses? */
static bool lm_blk_may_try(const struct lm_blk *blk)
{
	return blk->file->f_mode & FMODE_NOWAIT;
}

/* Read or write what is not done yet. */
static void lm_blk_rw(struct lm_blk_req *req, bool nowait)
{
	struct lm_blk *blk = req->q->blk;
	bool out = req->type == VIRTIO_BLK_T_OUT;
	struct kiocb *iocb = &req->iocb;
	struct iov_iter iter;
	ssize_t ret;

	init_sync_kiocb(iocb, blk->file);
	iocb->ki_flags &= ~IOCB_APPEND;	/* F_SETFL may come any time */
	iocb->ki_pos = req->pos + req->done;
	iocb->ki_complete = lm_blk_rw_done;
	if (nowait)
		iocb->ki_flags |= IOCB_NOWAIT;
	/* Without the flush command, what was written is durable when that is said. */
	if (out)
		iocb->ki_flags |= blk->features & BIT_ULL(VIRTIO_BLK_F_FLUSH) ?
				  IOCB_WRITE : IOCB_WRITE | IOCB_DSYNC;
	/* Memory safety does not need this look: it makes a shrunken image fail in writes too. */
	if (i_size_read(blk->file->f_mapping->host) < req->pos + req->bytes) {
		lm_blk_rw_result(req, 0);
		return;
	}
	if (!lm_blk_write_begin(req, nowait)) {
		lm_blk_defer(req);
		return;
	}
	iov_iter_bvec(&iter, out ? WRITE : READ, req->bv, req->nr_bv, req->bytes);
	iov_iter_advance(&iter, req->done);
	/* File systems go on with the iocb after they have queued it, as aio lets them. */
	atomic_set(&req->refs, 2);
	ret = out ? vfs_iocb_iter_write(blk->file, iocb, &iter) :
		    vfs_iocb_iter_read(blk->file, iocb, &iter);
	if (ret == -EIOCBQUEUED)
		lm_blk_rw_put(req);
	else
		lm_blk_rw_result(req, ret);
}

/* Zeros, where the file system knows no other way. */
static int lm_blk_zero_range(struct lm_blk *blk, u64 pos, u64 bytes)
{
	struct iov_iter iter;
	struct bio_vec bv[16];
	struct kiocb iocb;
	ssize_t ret;
	int i;

	for (i = 0; i < ARRAY_SIZE(bv); i++)
		bv[i] = (struct bio_vec) { ZERO_PAGE(0), PAGE_SIZE, 0 };
	while (bytes && !READ_ONCE(blk->dying)) {
		u64 n = min_t(u64, bytes, ARRAY_SIZE(bv) * PAGE_SIZE);

		init_sync_kiocb(&iocb, blk->file);
		iocb.ki_pos = pos;
		iocb.ki_flags &= ~IOCB_APPEND;
		iocb.ki_flags |= IOCB_WRITE;
		iov_iter_bvec(&iter, WRITE, bv, ARRAY_SIZE(bv), n);
		if (!LM_VFS_HOLDS_FREEZER)
			file_start_write(blk->file);
		ret = vfs_iocb_iter_write(blk->file, &iocb, &iter);
		if (!LM_VFS_HOLDS_FREEZER)
			file_end_write(blk->file);
		if (ret <= 0)
			return ret ? ret : -EIO;
		pos += ret;
		bytes -= ret;
		cond_resched();
	}
	return bytes ? -ECANCELED : 0;
}

static int lm_blk_range(struct lm_blk *blk, u32 type, u64 pos, u64 bytes, bool unmap)
{
	int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int zero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	int err;

	if (!bytes)
		return 0;
	err = vfs_fallocate(blk->file, type == VIRTIO_BLK_T_DISCARD || unmap ? punch : zero, pos,
			    bytes);
	if (err == -EOPNOTSUPP && type == VIRTIO_BLK_T_WRITE_ZEROES)
		err = lm_blk_zero_range(blk, pos, bytes);
	return err;
}

static u8 lm_blk_ranges(struct lm_blk_req *req)
{
	struct lm_blk *blk = req->q->blk;
	bool discard = req->type == VIRTIO_BLK_T_DISCARD;
	u32 max = discard ? LAMINA_BLK_MAX_DISCARD : LAMINA_BLK_MAX_ZEROES;
	u64 pos, bytes;
	u32 i, flags;
	int err;

	for (i = 0; i < req->nr_range; i++) {
		if (READ_ONCE(blk->dying))
			return VIRTIO_BLK_S_IOERR;
		pos = le64_to_cpu(req->range[i].sector);
		bytes = le32_to_cpu(req->range[i].num_sectors);
		flags = le32_to_cpu(req->range[i].flags);
		if (flags & ~(discard ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
			return VIRTIO_BLK_S_UNSUPP;
		if (bytes > max || pos > blk->capacity || bytes > blk->capacity - pos)
			return VIRTIO_BLK_S_IOERR;
		err = lm_blk_range(blk, req->type, pos << LM_SECTOR_SHIFT,
				   bytes << LM_SECTOR_SHIFT, flags);
		if (err == -EOPNOTSUPP)
			return VIRTIO_BLK_S_UNSUPP;
		if (err) {
			lm_blk_complain(blk, err);
			return VIRTIO_BLK_S_IOERR;
		}
	}
	if (!discard && !(blk->features & BIT_ULL(VIRTIO_BLK_F_FLUSH)) && vfs_fsync(blk->file, 1))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

/* A worker acts for who made the device, and what it allocates is charged to the VM's owner. */
struct lm_blk_role {
	const struct cred *cred;
	struct mem_cgroup *memcg, *outer;
};

static void lm_blk_role_take(struct lm_blk_role *role, struct lm_blk *blk)
{
	role->cred = override_creds(blk->cred);
	role->memcg = get_mem_cgroup_from_mm(blk->vm->mm);
	role->outer = set_active_memcg(role->memcg);
}

static void lm_blk_role_leave(struct lm_blk_role *role)
{
	set_active_memcg(role->outer);
	mem_cgroup_put(role->memcg);
	revert_creds(role->cred);
}

/* A request in a worker. */
static void lm_blk_work(struct work_struct *work)
{
	struct lm_blk_req *req = container_of(work, struct lm_blk_req, work);
	struct lm_blk *blk = req->q->blk;
	struct lm_blk_role role;
	int err;

	/* Nobody waits for it, but its owner's end does. */
	if (READ_ONCE(blk->dying)) {
		lm_blk_end(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	lm_blk_role_take(&role, blk);
	switch (req->type) {
	case VIRTIO_BLK_T_FLUSH:
		err = vfs_fsync(blk->file, 1);
		if (err)
			lm_blk_complain(blk, err);
		lm_blk_end(req, err ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		lm_blk_end(req, lm_blk_ranges(req));
		break;
	default:
		lm_blk_rw(req, false);
	}
	lm_blk_role_leave(&role);
}

/* ---- taking ---- */

static u32 lm_blk_pages(const struct lm_vseg *seg, u32 nr)
{
	u32 i, pages = 0;

	for (i = 0; i < nr; i++)
		pages += DIV_ROUND_UP(offset_in_page(seg[i].gpa) + (u64)seg[i].len, PAGE_SIZE);
	return pages;
}

/*
 * A request for @pages of data with @room behind it, its status byte pinned.
 * -EDQUOT: the disk holds as much as it may, and will come back to the queue.
 */
static struct lm_blk_req *lm_blk_req_alloc(struct lm_blk_queue *q, u32 type, u64 status_at,
					   u32 pages, size_t room)
{
	u32 charged = pages + 1;
	struct lm_blk_req *req;
	int r;

	if (!lm_blk_charge(q, charged))
		return ERR_PTR(-EDQUOT);
	req = kvmalloc(sizeof(*req) + room, GFP_KERNEL_ACCOUNT);
	if (!req) {
		lm_blk_uncharge(q->blk, charged);
		return ERR_PTR(-ENOMEM);
	}
	memset(req, 0, sizeof(*req));
	req->q = q;
	req->charged = charged;
	req->type = type;
	req->token = q->chain.token;
	req->status_at = status_at;
	INIT_WORK(&req->work, lm_blk_work);
	r = lm_outside_pin(q->blk->vm, status_at, 1, true, &req->status);
	if (r < 0) {
		lm_blk_req_free(req);
		return ERR_PTR(r);
	}
	return req;
}

/* A request that was not started. */
static void lm_blk_req_drop(struct lm_blk_req *req)
{
	lm_outside_unpin(&req->status, 1, false);
	lm_blk_req_free(req);
}

/* From here on lm_blk_end() must be reached. */
static void lm_blk_req_start(struct lm_blk_req *req)
{
	atomic_inc(&req->q->inflight);
	spin_lock_irq(&req->q->ring.lock);
	req->q->ring.users++;
	spin_unlock_irq(&req->q->ring.lock);
}

static int lm_blk_req_pin(struct lm_blk_req *req, const struct lm_vseg *seg, u32 nr)
{
	bool in = req->type == VIRTIO_BLK_T_IN;
	u32 i;
	int r;

	for (i = 0; i < nr; i++) {
		r = lm_outside_pin(req->q->blk->vm, seg[i].gpa, seg[i].len, in,
				   req->bv + req->nr_bv);
		if (r < 0) {
			lm_outside_unpin(req->bv, req->nr_bv, false);
			return r;
		}
		req->nr_bv += r;
	}
	return 0;
}

/* 0: under way or answered; a status for the caller to answer with; negative: broken. */
static int lm_blk_begin_rw(struct lm_blk_queue *q, u32 type, u64 sector, u64 status_at)
{
	struct lm_chain *c = &q->chain;
	struct lm_blk *blk = q->blk;
	bool in = type == VIRTIO_BLK_T_IN;
	u64 bytes = in ? c->in_bytes : c->out_bytes;
	const struct lm_vseg *seg = c->seg + (in ? c->nr_out : c->first);
	u32 nr = in ? c->nr - c->nr_out : c->nr_out - c->first;
	struct lm_blk_req *req;
	u32 pages;
	int err;

	trace_lm_blk_request(blk->id, q - blk->queue, c->token.id, type, sector, bytes);
	if (bytes > LAMINA_BLK_MAX_BYTES || bytes % BIT(LM_SECTOR_SHIFT) || (!in && blk->rdonly))
		return VIRTIO_BLK_S_IOERR;
	if (sector > blk->capacity || bytes >> LM_SECTOR_SHIFT > blk->capacity - sector)
		return VIRTIO_BLK_S_IOERR;
	pages = lm_blk_pages(seg, nr);
	req = lm_blk_req_alloc(q, type, status_at, pages,
			       pages * sizeof(struct bio_vec) + nr * sizeof(*seg));
	if (IS_ERR(req))
		return PTR_ERR(req) == -ENOMEM ? VIRTIO_BLK_S_IOERR : PTR_ERR(req);
	req->bv = (void *)req->range;
	req->seg = (void *)(req->bv + pages);
	req->pos = sector << LM_SECTOR_SHIFT;
	req->bytes = bytes;
	err = lm_blk_req_pin(req, seg, nr);
	if (err) {
		lm_blk_req_drop(req);
		return VIRTIO_BLK_S_IOERR;
	}
	if (in) {
		req->nr_seg = nr;
		memcpy(req->seg, seg, nr * sizeof(*seg));
	}
	lm_blk_req_start(req);
	if (lm_blk_may_try(blk))
		lm_blk_rw(req, true);
	else
		lm_blk_defer(req);
	return 0;
}

/* Flush, discard, write-zeroes: always in a worker.  As lm_blk_begin_rw(). */
static int lm_blk_begin_other(struct lm_blk_queue *q, u32 type, u64 status_at)
{
	struct lm_chain *c = &q->chain;
	struct lm_blk *blk = q->blk;
	struct lm_blk_req *req;
	u32 nr = 0;

	trace_lm_blk_request(blk->id, q - blk->queue, c->token.id, type, 0, c->out_bytes);
	if (type != VIRTIO_BLK_T_FLUSH) {
		nr = c->out_bytes / sizeof(req->range[0]);
		if (!nr || c->out_bytes % sizeof(req->range[0]) || nr > LAMINA_BLK_MAX_RANGES ||
		    blk->rdonly)
			return VIRTIO_BLK_S_IOERR;
	}
	req = lm_blk_req_alloc(q, type, status_at, 0, nr * sizeof(req->range[0]));
	if (IS_ERR(req))
		return PTR_ERR(req) == -ENOMEM ? VIRTIO_BLK_S_IOERR : PTR_ERR(req);
	req->nr_range = nr;
	if (lm_chain_pull(blk->vm, c, req->range, nr * sizeof(req->range[0]))) {
		lm_blk_req_drop(req);
		return VIRTIO_BLK_S_IOERR;
	}
	lm_blk_req_start(req);
	lm_blk_defer(req);
	return 0;
}

/* GET_ID: up to 20 bytes, without an end if there are as many. */
static int lm_blk_id(struct lm_blk_queue *q, u64 status_at)
{
	struct lm_chain *c = &q->chain;
	u32 i, n, off = 0;

	trace_lm_blk_request(q->blk->id, q - q->blk->queue, c->token.id, VIRTIO_BLK_T_GET_ID, 0,
			     c->in_bytes);
	for (i = c->nr_out; i < c->nr && off < sizeof(q->blk->serial); i++, off += n) {
		n = min_t(u32, c->seg[i].len, sizeof(q->blk->serial) - off);
		if (lm_outside_copy(q->blk->vm, c->seg[i].gpa, q->blk->serial + off, n, true))
			return VIRTIO_BLK_S_IOERR;
	}
	lm_blk_answer(q, status_at, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_S_OK, off);
	return 0;
}

/* The request in q->chain.  Negative: the driver broke the rules. */
static int lm_blk_begin(struct lm_blk_queue *q)
{
	struct virtio_blk_outhdr hdr;
	u64 status_at;
	u32 type;
	int r;

	if (lm_ring_full(&q->ring))
		return -EBUSY;
	r = lm_chain_pull(q->blk->vm, &q->chain, &hdr, sizeof(hdr));
	if (!r)
		r = lm_chain_last(&q->chain, &status_at);
	if (r)
		return r;
	type = le32_to_cpu((__force __le32)hdr.type);
	switch (type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		r = lm_blk_begin_rw(q, type, le64_to_cpu((__force __le64)hdr.sector), status_at);
		break;
	case VIRTIO_BLK_T_FLUSH:
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		r = lm_blk_begin_other(q, type, status_at);
		break;
	case VIRTIO_BLK_T_GET_ID:
		r = lm_blk_id(q, status_at);
		break;
	default:
		r = VIRTIO_BLK_S_UNSUPP;
	}
	if (r > 0)
		lm_blk_answer(q, status_at, type, r, 0);
	return min(r, 0);
}

/* At most so many requests in a row, so that a vCPU's thread gets back to its guest. */
static int lm_blk_take_some(struct lm_blk_queue *q)
{
	u32 left = q->ring.num;
	int r;

	while (left--) {
		r = lm_ring_next(&q->ring, &q->chain);
		if (!r)
			r = lm_ring_rearm(&q->ring);
		else if (r > 0)
			r = lm_blk_begin(q) ?: 1;
		if (r == -EDQUOT) {
			lm_ring_undo(&q->ring, &q->chain);
			return 0;
		}
		if (r <= 0)
			return r;
		if (READ_ONCE(q->blk->broken))
			return 0;
		/* A pause, a stop or a timer of the owner's must not wait for the disk. */
		if (signal_pending(current))
			return 1;
		cond_resched();
	}
	return 1;
}

/**
 * lm_blk_take - take what is in a queue
 * @q: the queue
 * @worker: in a worker, which may wait for others; else in a vCPU's thread
 *
 * Context: may sleep; in the owner's address space
 */
void lm_blk_take(struct lm_blk_queue *q, bool worker)
{
	struct lm_blk *blk = q->blk;
	int r;

	if (worker) {
		mutex_lock(&q->take);
	} else if (!mutex_trylock(&q->take)) {
		lm_blk_look_later(q, 0);
		return;
	}
	if (!q->running || READ_ONCE(blk->broken) || !q->ring.num)
		goto out;
	r = lm_ring_get(&q->ring);
	if (r == -ENOMEM) {	/* the host's fault, not the driver's */
		lm_blk_look_later(q, LM_BLK_RETRY);
		goto out;
	}
	if (r)
		goto broken;
	r = lm_blk_take_some(q);
	spin_lock_irq(&q->ring.lock);
	q->stats.kicks++;
	if (lm_ring_put(&q->ring) || r > 0)
		lm_blk_look_later(q, 0);
	spin_unlock_irq(&q->ring.lock);
broken:
	/* A process that is being killed cannot fault its memory in. */
	if (r < 0 && r != -EINTR && !fatal_signal_pending(current))
		lm_blk_break(blk, r == -EFAULT ? "a ring outside memory" : "a malformed ring");
out:
	mutex_unlock(&q->take);
}

/* What a vCPU's thread left over: pages to let go, more requests. */
void lm_blk_drain_work(struct work_struct *work)
{
	struct lm_blk_queue *q = container_of(work, struct lm_blk_queue, work.work);
	struct mm_struct *mm = q->blk->vm->mm;
	struct lm_blk_role role;

	if (mmget_not_zero(mm)) {
		lm_blk_role_take(&role, q->blk);
		kthread_use_mm(mm);
		lm_blk_take(q, true);
		kthread_unuse_mm(mm);
		lm_blk_role_leave(&role);
		mmput(mm);
	}
	mutex_lock(&q->take);
	lm_ring_unpin(&q->ring);
	mutex_unlock(&q->take);
}
