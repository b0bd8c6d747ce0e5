// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver's side of the one queue, split or packed (virtio 1.2, 2.7 and 2.8). Tests lay chains out in a
 * table by put(), as they are in a split ring; offer() copies one into a packed ring.
 */
#define _GNU_SOURCE
#include "blk.h"

bool packed;

static struct vring_desc *desc(int i)
{
	return (struct vring_desc *)(e.ram + DESC) + i;
}

struct vring_avail *avail(void)
{
	return (struct vring_avail *)(e.ram + AVAIL);
}

volatile struct vring_used *used(void)
{
	return (struct vring_used *)(e.ram + USED);
}

volatile struct vring_packed_desc *packed_desc(int i)
{
	return (struct vring_packed_desc *)(e.ram + PACKED) + i;
}

/* The place after the one at @at, with the wrap counter in its highest bit. */
static uint16_t step(uint16_t at, unsigned int n)
{
	unsigned int place = (at & 0x7fff) + n;

	return place < PACKED_NUM ? (at & 0x8000) | place : (~at & 0x8000) | (place - PACKED_NUM);
}

/* Where this side goes on: what struct lamina_blk_queue says of the other. */
uint16_t avail_place(void)
{
	return packed ? d.avail_place : d.avail;
}

uint16_t used_place(void)
{
	return packed ? d.used_place : d.used;
}

void clear_rings(void)
{
	d.avail = d.used = 0;
	d.avail_place = d.used_place = LAMINA_BLK_WRAP;
	memset(e.ram + DESC, 0, DATA - DESC);
}

int queue(uint32_t index)
{
	struct lamina_blk_queue q = { .index = index, .size = packed ? PACKED_NUM : NUM,
				      .desc = packed ? PACKED : DESC, .driver = AVAIL, .device = USED };

	if (packed)
		q.last_avail = q.last_used = LAMINA_BLK_WRAP;
	return set(LAMINA_BLK_QUEUE, &q);
}

void put(int i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	*desc(i) = (struct vring_desc) { .addr = addr, .len = len, .flags = flags, .next = next };
}

/* The same in an indirect table; the next one is the one behind it. */
void table(int i, uint64_t addr, uint32_t len, uint16_t flags)
{
	if (packed)
		((struct vring_packed_desc *)(e.ram + TABLE))[i] =
			(struct vring_packed_desc) { .addr = addr, .len = len, .flags = flags };
	else
		((struct vring_desc *)(e.ram + TABLE))[i] = (struct vring_desc) {
			.addr = addr, .len = len, .flags = flags, .next = i + 1 };
}

/* A descriptor of a packed ring without the flags that give it to the device, and those. */
uint16_t packed_put(uint16_t at, const struct vring_desc *from, uint16_t id)
{
	volatile struct vring_packed_desc *to = packed_desc(at & 0x7fff);

	to->addr = from->addr;
	to->len = from->len;
	to->id = id;
	return from->flags | (at & 0x8000 ? 1u << VRING_PACKED_DESC_F_AVAIL :
					    1u << VRING_PACKED_DESC_F_USED);
}

static void packed_offer(uint16_t head)
{
	uint16_t flags, first, i = head, n = 0, at = d.avail_place;

	first = packed_put(at, desc(i), head);
	/* from the second on */
	for (; desc(i)->flags & VRING_DESC_F_NEXT && n < PACKED_NUM - 1; n++) {
		i = desc(i)->next % NUM;
		at = step(at, 1);
		flags = packed_put(at, desc(i), head);
		packed_desc(at & 0x7fff)->flags = flags;
	}
	__atomic_store_n(&packed_desc(d.avail_place & 0x7fff)->flags, first, __ATOMIC_RELEASE);
	d.descs[head] = n + 1;
	d.avail_place = step(at, 1);
	d.avail++;
}

void offer(uint16_t head)
{
	if (packed) {
		packed_offer(head);
		return;
	}
	avail()->ring[d.avail % NUM] = head;
	__atomic_store_n(&avail()->idx, ++d.avail, __ATOMIC_RELEASE);
}

/* Is there something that complete() would take? */
bool ready(void)
{
	uint16_t flags, wrap = d.used_place >> 15;

	if (!packed)
		return __atomic_load_n(&used()->idx, __ATOMIC_ACQUIRE) != d.used;
	flags = __atomic_load_n(&packed_desc(d.used_place & 0x7fff)->flags, __ATOMIC_ACQUIRE);
	return (flags >> VRING_PACKED_DESC_F_AVAIL & 1) == wrap &&
	       (flags >> VRING_PACKED_DESC_F_USED & 1) == wrap;
}

static void take(void)
{
	volatile struct vring_packed_desc *p = packed_desc(d.used_place & 0x7fff);

	if (!packed) {
		d.id = used()->ring[d.used % NUM].id;
		d.len = used()->ring[d.used % NUM].len;
		return;
	}
	d.id = p->id;
	d.len = p->len;
	TRUE(d.id < NUM && d.descs[d.id]);
	TRUE(!d.len || (p->flags & VRING_DESC_F_WRITE));
	d.used_place = step(d.used_place, d.descs[d.id]);
}

/* Wait for a request; which one is in d.id, and how much of it was written in d.len. */
bool complete(void)
{
	int i;

	for (i = 0; i < 2000 && !ready(); i++)
		usleep(5000);
	if (!ready())
		return false;
	take();
	d.used++;
	return true;
}

/* ---- when the other side is told ---- */

/* Interrupts: never, or when the request at @place is given back (-1: always). */
void want_none(void)
{
	if (packed)
		*(uint32_t *)(e.ram + AVAIL) = VRING_PACKED_EVENT_FLAG_DISABLE << 16;
	else
		avail()->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

/* When the request that comes @n after those that were completed is given back; all are of one descriptor. */
void want_after(int n)
{
	if (packed)
		*(uint32_t *)(e.ram + AVAIL) = step(d.used_place, n) | VRING_PACKED_EVENT_FLAG_DESC << 16;
	else
		avail()->ring[NUM] = d.used + n;
}

/* Is the next request what the device asks to be told of? (A worker may be a bit late to say so.) */
bool rearmed(void)
{
	volatile uint32_t *device = (uint32_t *)(e.ram + USED);
	volatile uint16_t *event = (uint16_t *)&used()->ring[NUM];
	int i;

	for (i = 0; i < 2000; i++) {
		if (packed && *device == (d.avail_place | VRING_PACKED_EVENT_FLAG_DESC << 16u))
			return true;
		if (!packed && *event == d.avail)
			return true;
		usleep(5000);
	}
	return false;
}
