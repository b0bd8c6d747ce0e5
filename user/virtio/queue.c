// SPDX-License-Identifier: GPL-2.0-only
/*
 * Split rings (Virtio 1.2, 2.7), for devices that this process serves.
 *
 * The guest may change any byte at any time: each is read once, and checked after that. What makes no
 * sense stops the device (virtio_broken()).
 */
#include <string.h>
#include <unistd.h>

#include "../boot/boot.h"
#include "../machine.h"
#include "virtio.h"

#define READ(x) (*(const volatile __typeof__(x) *)&(x))

/**
 * vq_ring() - a queue's areas in this process
 * @q: an enabled queue of a running device, with a split ring
 * @ring: filled in
 *
 * Return: false if they are not in RAM (any more).
 */
bool vq_ring(const struct virtqueue *q, struct vq_ring *ring)
{
	const struct guest_memory *mem = &q->v->pci.m->memory;

	ring->desc = guest_at(mem, q->desc, 16ull * q->size);
	ring->driver = guest_at(mem, q->driver, 6 + 2ull * q->size);
	ring->device = guest_at(mem, q->device, 6 + 8ull * q->size);
	return ring->desc && ring->driver && ring->device;
}

static struct vring_desc descriptor(const struct vring_desc *at)
{
	struct vring_desc d = {
		.addr = READ(at->addr), .len = READ(at->len),
		.flags = READ(at->flags), .next = READ(at->next),
	};

	return d;
}

static const char *add_segment(struct virtqueue *q, struct vq_chain *c, const struct vring_desc *d)
{
	bool in = d->flags & VRING_DESC_F_WRITE;
	struct iovec *iov = &c->iov[c->out + c->in];

	if (!in && c->in)
		return "a buffer to read comes after one to write";
	if (c->out + c->in == VQ_SEGMENTS)
		return "a chain of too many buffers";
	iov->iov_base = guest_at(&q->v->pci.m->memory, d->addr, d->len);
	iov->iov_len = d->len;
	if (!iov->iov_base)
		return "a buffer that is not in memory";
	*(in ? &c->in : &c->out) += 1;
	*(in ? &c->in_len : &c->out_len) += d->len;
	return NULL;
}

/* Follow a chain, or what an indirect descriptor points at; NULL or what is wrong. */
static const char *follow(struct virtqueue *q, struct vq_chain *c, const struct vring_desc *table,
			  uint32_t count, uint16_t at, bool indirect)
{
	const struct vring_desc *inner;
	const char *wrong = NULL;
	struct vring_desc d;
	uint32_t steps;

	for (steps = 0; steps < count; steps++) {
		if (at >= count)
			return "a descriptor that is not there";
		d = descriptor(&table[at]);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (indirect || (d.flags & VRING_DESC_F_NEXT) || !d.len || d.len % sizeof(d) ||
			    !virtio_has(q->v, VIRTIO_RING_F_INDIRECT_DESC))
				return "a wrong indirect descriptor";
			inner = guest_at(&q->v->pci.m->memory, d.addr, d.len);
			if (!inner)
				return "an indirect table that is not in memory";
			return follow(q, c, inner, d.len / (uint32_t)sizeof(d), 0, true);
		}
		wrong = add_segment(q, c, &d);
		if (wrong || !(d.flags & VRING_DESC_F_NEXT))
			return wrong;
		at = d.next;
	}
	return "a chain without an end";
}

/* Is there more? If not, ask for a kick when there is. */
static bool more(struct virtqueue *q, struct vq_ring *ring, uint16_t *avail)
{
	uint16_t *event = (void *)&ring->device->ring[q->size];

	*avail = __atomic_load_n(&ring->driver->idx, __ATOMIC_ACQUIRE);
	if (*avail != q->next_avail || !virtio_has(q->v, VIRTIO_RING_F_EVENT_IDX))
		return *avail != q->next_avail;
	__atomic_store_n(event, q->next_avail, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	*avail = __atomic_load_n(&ring->driver->idx, __ATOMIC_ACQUIRE);
	return *avail != q->next_avail;
}

/**
 * vq_pop() - take the next chain out of a queue
 * @q: the queue
 * @chain: filled in
 *
 * Return: false if there is none, or if the device is stopped because the queue makes no sense.
 */
bool vq_pop(struct virtqueue *q, struct vq_chain *chain)
{
	const char *wrong;
	struct vq_ring ring;
	uint16_t avail;

	if (!q->enabled || !q->v->running)
		return false;
	if (!vq_ring(q, &ring)) {
		virtio_broken(q->v, "a queue is not in memory");
		return false;
	}
	if (!more(q, &ring, &avail))
		return false;
	if ((uint16_t)(avail - q->next_avail) > q->size) {
		virtio_broken(q->v, "a queue holds more than its size");
		return false;
	}
	chain->out = chain->in = 0;
	chain->out_len = chain->in_len = 0;
	chain->head = READ(ring.driver->ring[q->next_avail % q->size]);
	wrong = follow(q, chain, ring.desc, q->size, chain->head, false);
	if (wrong) {
		virtio_broken(q->v, wrong);
		return false;
	}
	q->next_avail++;
	return true;
}

/**
 * vq_push() - give a chain back
 * @q: the queue; the device runs
 * @head: from the chain
 * @written: how many bytes were written, from the first one on
 */
void vq_push(struct virtqueue *q, uint16_t head, uint32_t written)
{
	struct vring_used_elem *used;
	struct vq_ring ring;

	if (!vq_ring(q, &ring))
		return;
	used = &ring.device->ring[q->next_used++ % q->size];
	used->id = head;
	used->len = written;
	__atomic_store_n(&ring.device->idx, q->next_used, __ATOMIC_RELEASE);
}

/** vq_signal() - interrupt the guest for what was pushed, if it wants to know */
void vq_signal(struct virtqueue *q)
{
	uint16_t before = q->signalled, event;
	uint64_t one = 1;
	struct vq_ring ring;
	bool wanted;

	if (!q->v->running || before == q->next_used || !vq_ring(q, &ring))
		return;
	q->signalled = q->next_used;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = READ(ring.driver->ring[q->size]);
	if (virtio_has(q->v, VIRTIO_RING_F_EVENT_IDX))
		wanted = vring_need_event(event, q->next_used, before);
	else
		wanted = !(READ(ring.driver->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	if (wanted && write(q->irq.fd, &one, sizeof(one)) < 0)
		return;		/* full: it is pending anyway */
}

/** vq_again() - have ops->notify called again, after others had their turn */
void vq_again(struct virtqueue *q)
{
	uint64_t one = 1;

	if (write(q->kick, &one, sizeof(one)) < 0)
		return;		/* full: it is due anyway */
}
