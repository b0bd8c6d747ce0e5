// SPDX-License-Identifier: GPL-2.0-only
/*
 * A disk (Virtio 1.2, 5.2). The data plane is in the module (<linux/lamina.h>): a queue's doorbell and
 * its requests never come here. This file opens and locks the image, says what the disk is like, and
 * hands over what the driver chose.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/lamina.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../machine.h"
#include "../tool.h"
#include "virtio.h"

#define PCI_CLASS_STORAGE 0x010000
#define QUEUE_SIZE 256
#define SEGMENTS (QUEUE_SIZE - 2)	/* a chain has a header and a status too */
#define SEGMENT_SIZE 65536		/* SEGMENTS of it are less than LAMINA_BLK_MAX_BYTES */

struct blk_config {
	bool ro, direct, split;
	char serial[LAMINA_BLK_SERIAL_BYTES + 1];
	char path[];
};

/**
 * struct blk - a disk
 * @v: the device
 * @config: what the driver reads
 * @device: of the module; holds the image
 * @image: the same file, and its lock
 * @event: eventfd: the module found a ring that makes no sense
 * @watch: waits for it
 */
struct blk {
	struct virtio v;
	struct virtio_blk_config config;
	int device, image;
	struct watch watch;
};

static struct blk *to_blk(struct virtio *v)
{
	return (struct blk *)v;
}

static int attribute(struct blk *b, unsigned long call, uint64_t which, void *value)
{
	struct kvm_device_attr attr = {
		.group = LAMINA_BLK_GROUP, .attr = which, .addr = (uintptr_t)value,
	};

	return ioctl(b->device, call, &attr);
}

static int set(struct blk *b, uint64_t which, void *value)
{
	return attribute(b, KVM_SET_DEVICE_ATTR, which, value);
}

static int get(struct blk *b, uint64_t which, void *value)
{
	return attribute(b, KVM_GET_DEVICE_ATTR, which, value);
}

static int set_state(struct blk *b, uint32_t state)
{
	return set(b, LAMINA_BLK_STATE, &state);
}

/* ---- while the guest runs ---- */

/* @q's doorbell is at @address now, or nowhere if that is 0. */
static int blk_doorbell(struct virtio *v, struct virtqueue *q, uint64_t address)
{
	struct lamina_blk_doorbell bell = {
		.index = q->index, .addr = address, .flags = address ? 0 : LAMINA_BLK_DOORBELL_NONE,
	};

	return set(to_blk(v), LAMINA_BLK_DOORBELL, &bell);
}

/* A kick that did not come by the doorbell. */
static void blk_notify(struct virtio *v, struct virtqueue *q)
{
	uint32_t index = q->index;

	set(to_blk(v), LAMINA_BLK_KICK, &index);
}

static int start_queue(struct blk *b, const struct virtqueue *q)
{
	uint16_t first = virtio_has(&b->v, VIRTIO_F_RING_PACKED) ? LAMINA_BLK_WRAP : 0;
	struct lamina_blk_queue queue = {
		.index = q->index, .size = q->size,
		.desc = q->desc, .driver = q->driver, .device = q->device,
		.last_avail = first, .last_used = first,
	};
	struct lamina_blk_irq irq = {
		.index = q->index, .kind = LAMINA_BLK_IRQ_EVENTFD, .fd = q->irq.fd,
	};

	return set(b, LAMINA_BLK_QUEUE, &queue) || set(b, LAMINA_BLK_IRQ, &irq) ? -1 : 0;
}

static int blk_start(struct virtio *v)
{
	struct blk *b = to_blk(v);
	uint64_t features = v->features;
	unsigned int i;

	if (set_state(b, LAMINA_BLK_STATE_RESET) || set(b, LAMINA_BLK_FEATURES, &features))
		return fail_errno("%s: the module refuses it", v->name);
	for (i = 0; i < v->nr_queues; i++) {
		if (v->queues[i].enabled && start_queue(b, &v->queues[i]))
			return fail_errno("%s: the module refuses queue %u", v->name, i);
	}
	if (set_state(b, LAMINA_BLK_STATE_RUNNING))
		return fail_errno("%s: it cannot be started", v->name);
	return 0;
}

static void blk_stop(struct virtio *v)
{
	set_state(to_blk(v), LAMINA_BLK_STATE_RESET);
}

static void on_event(struct watch *w)
{
	struct blk *b = (struct blk *)((char *)w - offsetof(struct blk, watch));
	uint64_t count;

	if (read(w->fd, &count, sizeof(count)) == sizeof(count) && b->v.running)
		virtio_broken(&b->v, "its driver gave the module a ring that makes no sense");
}

static void blk_free(struct virtio *v)
{
	struct blk *b = to_blk(v);

	if (b->watch.on)
		loop_watch(v->pci.m, &b->watch, false);
	if (b->device >= 0)
		close(b->device);
	if (b->image >= 0)
		close(b->image);
	if (b->watch.fd >= 0)
		close(b->watch.fd);
}

/* What the counters are called, in the order in which they lie in struct lamina_blk_stats. */
static const char *const counters[] = {
	"reads", "writes", "flushes", "discards", "others", "errors", "read_bytes", "written_bytes",
	"kicks", "deferred", "irqs",
};

static void blk_describe(const struct virtio *v, FILE *out)
{
	struct blk *b = (struct blk *)v;
	char link[64], path[200];
	union {
		struct lamina_blk_stats stats;
		uint64_t count[ARRAY_SIZE(counters)];
	} now;
	ssize_t i, len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", b->image);
	len = readlink(link, path, sizeof(path));
	for (i = 0; i < len; i++) {
		if (path[i] == '\n')
			path[i] = '?';
	}
	if (len > 0)
		fprintf(out, "file=%.*s\n", (int)len, path);
	if (get(b, LAMINA_BLK_STATS, &now.stats))
		return;
	for (i = 0; i < (ssize_t)ARRAY_SIZE(counters); i++)
		fprintf(out, "%s=%llu\n", counters[i], (unsigned long long)now.count[i]);
}

static const struct virtio_ops blk_ops = {
	.id = VIRTIO_ID_BLOCK,
	.class = PCI_CLASS_STORAGE,
	.start = blk_start,
	.stop = blk_stop,
	.doorbell = blk_doorbell,
	.notify = blk_notify,
	.describe = blk_describe,
	.free = blk_free,
};

/* ---- making one ---- */

static int parse_word(struct blk_config *c, const char *word, size_t len)
{
	static const char serial[] = "serial=";

	if (len == 2 && !memcmp(word, "ro", 2)) {
		c->ro = true;
	} else if (len == 6 && !memcmp(word, "direct", 6)) {
		c->direct = true;
	} else if (len == 5 && !memcmp(word, "split", 5)) {
		c->split = true;
	} else if (len > strlen(serial) && !memcmp(word, serial, strlen(serial))) {
		len -= strlen(serial);
		if (len > LAMINA_BLK_SERIAL_BYTES)
			return fail("a serial number has at most %d characters",
				    LAMINA_BLK_SERIAL_BYTES);
		memcpy(c->serial, word + strlen(serial), len);
	} else {
		return fail("'%.*s' is not known: FILE[,ro][,direct][,split][,serial=S]", (int)len, word);
	}
	return 0;
}

static void *blk_parse(const char *text)
{
	size_t len = text ? strcspn(text, ",") : 0;
	struct blk_config *c = calloc(1, sizeof(*c) + len + 1);

	if (!c || !len) {
		fail(c ? "no file: FILE[,ro][,direct][,split][,serial=S]" : "out of memory");
		free(c);
		return NULL;
	}
	memcpy(c->path, text, len);
	for (text += len; *text; text += len) {
		text++;
		len = strcspn(text, ",");
		if (parse_word(c, text, len)) {
			free(c);
			return NULL;
		}
	}
	return c;
}

/* Writers alone, readers together. The lock goes with the last descriptor of this opening. */
static int lock_image(int fd, const struct blk_config *c)
{
	struct flock lock = { .l_type = c->ro ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return fail("%s is in use by another guest%s", c->path,
			    c->ro ? ", which writes it" : ": give ',ro' to both to share it");
	return fail_errno("cannot lock %s", c->path);
}

static int blk_open(const void *config)
{
	const struct blk_config *c = config;
	int flags = (c->ro ? O_RDONLY : O_RDWR) | (c->direct ? O_DIRECT : 0) | O_CLOEXEC;
	struct stat st;
	int fd;

	/* For a block device that is written: nobody has mounted it (O_EXCL). */
	if (!stat(c->path, &st) && S_ISBLK(st.st_mode) && !c->ro)
		flags |= O_EXCL;
	fd = open(c->path, flags | O_NONBLOCK);
	if (fd < 0)
		return errno == EBUSY ? fail("%s is in use by this host", c->path) :
					fail_errno("cannot open %s", c->path);
	if (fstat(fd, &st) || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		fail("%s is neither a file nor a block device", c->path);
	else if (!lock_image(fd, c) && !fcntl(fd, F_SETFL, flags & ~O_NONBLOCK))
		return fd;
	close(fd);
	return -1;
}

static int make_device(struct blk *b, struct machine *m, const struct blk_config *c)
{
	struct kvm_create_device create = { .type = LAMINA_DEV_TYPE_BLK };
	struct lamina_blk_backing backing = { .flags = c->ro ? LAMINA_BLK_RDONLY : 0 };
	char serial[LAMINA_BLK_SERIAL_BYTES];

	if (ioctl(m->vm_fd, KVM_CREATE_DEVICE, &create) < 0)
		return errno == ENODEV || errno == ENOTTY ?
		       fail("%s has no disks: they need the module", m->config->device) :
		       fail_errno("cannot make a disk");
	b->device = (int)create.fd;
	backing.fd = b->image;
	memcpy(serial, c->serial, sizeof(serial));
	b->watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b->watch.ready = on_event;
	if (b->watch.fd < 0 || set(b, LAMINA_BLK_BACKING, &backing) ||
	    set(b, LAMINA_BLK_SERIAL, serial) || set(b, LAMINA_BLK_EVENT, &b->watch.fd))
		return fail_errno("%s cannot be a disk", c->path);
	return loop_watch(m, &b->watch, true);
}

/* What the driver is told. */
static int describe(struct blk *b, const struct blk_config *c, unsigned int queues)
{
	struct lamina_blk_info info;
	struct virtio *v = &b->v;

	if (get(b, LAMINA_BLK_INFO, &info) || get(b, LAMINA_BLK_FEATURES, &v->offered))
		return fail_errno("the module does not describe the disk");
	v->offered &= ~(VIRTIO_FEATURE(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_FEATURE(VIRTIO_BLK_F_GEOMETRY));
	if (c->split)
		v->offered &= ~VIRTIO_FEATURE(VIRTIO_F_RING_PACKED);
	b->config = (struct virtio_blk_config) {
		.capacity = info.capacity,
		.size_max = SEGMENT_SIZE,
		.seg_max = SEGMENTS,
		.blk_size = info.block_size,
		.num_queues = (uint16_t)queues,
		.max_discard_sectors = LAMINA_BLK_MAX_DISCARD,
		.max_discard_seg = LAMINA_BLK_MAX_RANGES,
		.discard_sector_alignment = info.block_size / 512,
		.max_write_zeroes_sectors = LAMINA_BLK_MAX_ZEROES,
		.max_write_zeroes_seg = LAMINA_BLK_MAX_RANGES,
		.write_zeroes_may_unmap = 1,
	};
	v->config = &b->config;
	return 0;
}

static int blk_set_up(struct virtio *v, struct machine *m, const void *config, int fd)
{
	unsigned int queues = m->config->cpus < LAMINA_BLK_QUEUES ? m->config->cpus :
								     LAMINA_BLK_QUEUES;
	uint16_t sizes[LAMINA_BLK_QUEUES];
	struct blk *b = to_blk(v);
	unsigned int i;

	b->image = fd;
	b->device = b->watch.fd = -1;
	v->config_size = sizeof(b->config);
	for (i = 0; i < queues; i++)
		sizes[i] = QUEUE_SIZE;
	if (virtio_init(v, m, &blk_ops, sizes, queues) || make_device(b, m, config) ||
	    describe(b, config, queues))
		return -1;
	return virtio_plug(v);
}

const struct device_kind disk_kind = {
	.option = "disk",
	.size = sizeof(struct blk),
	.parse = blk_parse,
	.open = blk_open,
	.set_up = blk_set_up,
};
