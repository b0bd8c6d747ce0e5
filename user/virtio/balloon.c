// SPDX-License-Identifier: GPL-2.0-only
/*
 * A balloon (Virtio 1.2, 5.5): memory that the guest gives back, because it is asked to, or (page reporting)
 * because it is free just now. What comes back is empty; what is touched again is there again, filled
 * with zeros: so nothing has to be done when the guest takes memory out of the balloon.
 */
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../boot/boot.h"
#include "../machine.h"
#include "../tool.h"
#include "virtio.h"

#define PCI_CLASS_MEMORY 0x050000
#define QUEUE_SIZE 128
#define MOST_STATS 32
#define PAGE ((uint64_t)1 << VIRTIO_BALLOON_PFN_SHIFT)

/* The queues are counted without those whose feature was not agreed on. */
enum { INFLATE, DEFLATE, OTHERS };

/**
 * struct balloon - the device
 * @v: the virtio device
 * @config: what the guest reads, but for config.actual, which it writes
 * @held: a buffer for statistics waits at @head
 * @stats: what the guest told last, by tag; @told has a bit for each that is known
 * @reported: bytes of free pages that were given back
 */
struct balloon {
	struct virtio v;
	struct virtio_balloon_config config;
	bool held;
	uint16_t head;
	uint32_t told;
	uint64_t stats[VIRTIO_BALLOON_S_NR];
	uint64_t reported;
};

static struct balloon *to_balloon(struct virtio *v)
{
	return (struct balloon *)v;
}

/* Give whole pages back to the host; those in a huge page too. */
static void give_back(uint8_t *at, uint64_t len)
{
	uint64_t start = align_up((uintptr_t)at, PAGE), end = align_down((uintptr_t)at + len, PAGE);

	if (start < end)
		madvise((void *)start, end - start, MADV_DONTNEED);
}

/* ---- inflate and deflate: page frame numbers ---- */

struct run {
	uint64_t first, pages;
};

static void end_run(struct virtio *v, struct run *run)
{
	uint8_t *at = guest_at(&v->pci.m->memory, run->first * PAGE, run->pages * PAGE);

	if (run->pages && at)
		give_back(at, run->pages * PAGE);
	run->pages = 0;
}

/* Neighbours go in one piece, whichever way they are counted. */
static void add_page(struct virtio *v, struct run *run, uint32_t pfn)
{
	/* What is not memory is not the balloon's. */
	if (!guest_at(&v->pci.m->memory, pfn * PAGE, PAGE))
		return;
	if (run->pages && pfn == run->first + run->pages) {
		run->pages++;
	} else if (run->pages && pfn + 1ull == run->first) {
		run->first--;
		run->pages++;
	} else {
		end_run(v, run);
		run->first = pfn;
		run->pages = 1;
	}
}

static void inflate(struct virtio *v, const struct vq_chain *chain)
{
	struct run run = { 0 };
	size_t at;
	unsigned int i;
	uint32_t pfn;

	for (i = 0; i < chain->out; i++) {
		for (at = 0; at + sizeof(pfn) <= chain->iov[i].iov_len; at += sizeof(pfn)) {
			memcpy(&pfn, (uint8_t *)chain->iov[i].iov_base + at, sizeof(pfn));
			add_page(v, &run, pfn);
		}
	}
	end_run(v, &run);
}

/* ---- statistics: the guest's buffer is kept until they are wanted anew ---- */

static void read_stats(struct balloon *b, const struct vq_chain *chain)
{
	struct virtio_balloon_stat stat;
	size_t at;

	if (!chain->out)
		return;
	for (at = 0; at + sizeof(stat) <= chain->iov[0].iov_len && at < MOST_STATS * sizeof(stat);
	     at += sizeof(stat)) {
		memcpy(&stat, (uint8_t *)chain->iov[0].iov_base + at, sizeof(stat));
		if (stat.tag >= VIRTIO_BALLOON_S_NR)
			continue;
		b->stats[stat.tag] = stat.val;
		b->told |= 1u << stat.tag;
	}
}

static void keep_stats(struct balloon *b, struct virtqueue *q, const struct vq_chain *chain)
{
	/* A driver has one such buffer; what it gives beyond that goes back. */
	if (b->held)
		vq_push(q, b->head, 0);
	read_stats(b, chain);
	b->held = true;
	b->head = chain->head;
}

static void want_stats(struct balloon *b)
{
	struct virtqueue *q = &b->v.queues[OTHERS];

	if (!b->held || !b->v.running)
		return;
	b->held = false;
	vq_push(q, b->head, 0);
	vq_signal(q);
}

/* ---- free pages, as the guest's allocator finds them ---- */

static void report(struct balloon *b, const struct vq_chain *chain)
{
	unsigned int i;

	for (i = chain->out; i < chain->out + chain->in; i++)
		give_back(chain->iov[i].iov_base, chain->iov[i].iov_len);
	b->reported += chain->in_len;
}

static void balloon_notify(struct virtio *v, struct virtqueue *q)
{
	bool stats = q->index == OTHERS && virtio_has(v, VIRTIO_BALLOON_F_STATS_VQ);
	struct balloon *b = to_balloon(v);
	struct vq_chain chain;
	unsigned int n;

	for (n = 0; n < q->size && vq_pop(q, &chain); n++) {
		if (stats) {
			keep_stats(b, q, &chain);
			continue;
		}
		if (q->index == INFLATE)
			inflate(v, &chain);
		else if (q->index != DEFLATE && virtio_has(v, VIRTIO_BALLOON_F_REPORTING))
			report(b, &chain);
		vq_push(q, chain.head, 0);
	}
	vq_signal(q);
	/* A guest that never stops does not keep others waiting. */
	if (n == q->size)
		vq_again(q);
}

static void balloon_write(struct virtio *v, uint32_t offset, const void *data, unsigned int size)
{
	if (offset == offsetof(struct virtio_balloon_config, actual) && size == 4)
		memcpy(&to_balloon(v)->config.actual, data, size);
}

static void balloon_stop(struct virtio *v)
{
	struct balloon *b = to_balloon(v);

	/* A new driver begins with an empty balloon. */
	b->held = false;
	b->told = 0;
	b->config.actual = 0;
}

static void balloon_describe(const struct virtio *v, FILE *out)
{
	static const char *const names[VIRTIO_BALLOON_S_NR] = {
		[VIRTIO_BALLOON_S_SWAP_IN] = "swap_in",
		[VIRTIO_BALLOON_S_SWAP_OUT] = "swap_out",
		[VIRTIO_BALLOON_S_MAJFLT] = "major_faults",
		[VIRTIO_BALLOON_S_MINFLT] = "minor_faults",
		[VIRTIO_BALLOON_S_MEMFREE] = "free",
		[VIRTIO_BALLOON_S_MEMTOT] = "total",
		[VIRTIO_BALLOON_S_AVAIL] = "available",
		[VIRTIO_BALLOON_S_CACHES] = "caches",
	};
	struct balloon *b = (struct balloon *)v;
	unsigned int i;

	fprintf(out, "target=%llu\nballoon=%llu\nreported=%llu\n",
		(unsigned long long)(v->pci.m->config->memory - b->config.num_pages * PAGE),
		(unsigned long long)(b->config.actual * PAGE), (unsigned long long)b->reported);
	for (i = 0; i < VIRTIO_BALLOON_S_NR; i++) {
		if (names[i] && b->told & 1u << i)
			fprintf(out, "%s=%llu\n", names[i], (unsigned long long)b->stats[i]);
	}
	/* For who asks next. */
	want_stats(b);
}

static const struct virtio_ops balloon_ops = {
	.id = VIRTIO_ID_BALLOON,
	.class = PCI_CLASS_MEMORY,
	.stop = balloon_stop,
	.notify = balloon_notify,
	.config_write = balloon_write,
	.describe = balloon_describe,
};

/**
 * balloon_set() - ask the guest to make do with less memory, or to take it back; io_lock is held
 * @m: the machine
 * @memory: how many bytes it shall keep
 *
 * Return: NULL, or why not.
 */
const char *balloon_set(struct machine *m, uint64_t memory)
{
	struct virtio *v = virtio_find(m, &balloon_ops);

	if (!v)
		return "it has no balloon: start it with --balloon, or attach one with 'lamina attach'";
	if (!v->running)
		return "its system has no driver for the balloon, or has not got that far yet";
	if (memory > m->config->memory || memory % PAGE)
		return "it has not so much memory, or these are not whole pages";
	to_balloon(v)->config.num_pages = (uint32_t)((m->config->memory - memory) / PAGE);
	virtio_config_changed(v);
	return NULL;
}

static void *balloon_parse(const char *text)
{
	if (text) {
		fail("a balloon takes no argument");
		return NULL;
	}
	return malloc(1);
}

static int balloon_set_up(struct virtio *v, struct machine *m, const void *config, int fd)
{
	static const uint16_t sizes[] = { QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE };
	struct balloon *b = to_balloon(v);

	(void)config;
	(void)fd;
	v->config = &b->config;
	v->config_size = sizeof(b->config);
	v->offered = VIRTIO_RINGS | VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ) |
		     VIRTIO_FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
		     VIRTIO_FEATURE(VIRTIO_BALLOON_F_REPORTING);
	if (virtio_init(v, m, &balloon_ops, sizes, ARRAY_SIZE(sizes)))
		return -1;
	if (virtio_find(m, &balloon_ops))
		return fail("it has a balloon already");
	return virtio_plug(v);
}

const struct device_kind balloon_kind = {
	.option = "balloon",
	.size = sizeof(struct balloon),
	.parse = balloon_parse,
	.set_up = balloon_set_up,
};
