// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtio's PCI transport (Virtio 1.2, 4.1): the registers of a modern device, all in BAR 0.
 *
 * A driver that breaks the rules, or gives rings that are not whole in RAM, finds DEVICE_NEEDS_RESET set
 * and the device stopped; only a reset helps then.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../boot/boot.h"
#include "../machine.h"
#include "../tool.h"
#include "virtio.h"

/* BAR 0. A page each, so that another page table could map one without the others. */
#define COMMON 0x0000u
#define ISR 0x1000u
#define DEVICE 0x2000u
#define NOTIFY 0x3000u
#define MSIX 0x4000u
#define BAR_SIZE 0x8000u
#define NOTIFY_STEP 4u		/* each queue's doorbell has an address of its own */

#define VENDOR 0x1af4
#define DEVICE_BASE 0x1040	/* a modern device's id is this plus the virtio id */

#define ISR_QUEUE 1
#define ISR_CONFIG 2

static struct virtio *to_virtio(struct pci_device *dev)
{
	return (struct virtio *)dev;
}

/* ---- rings ---- */

static bool in_ram(const struct virtqueue *q, uint64_t gpa, uint64_t len, uint64_t align)
{
	return !(gpa % align) && guest_at(&q->v->pci.m->memory, gpa, len);
}

static bool ring_is_good(const struct virtqueue *q)
{
	uint64_t n = q->size;

	if (virtio_has(q->v, VIRTIO_F_RING_PACKED))
		return n && n <= q->max && in_ram(q, q->desc, 16 * n, 16) &&
		       in_ram(q, q->driver, 4, 4) && in_ram(q, q->device, 4, 4);
	return n && n <= q->max && !(n & (n - 1)) && in_ram(q, q->desc, 16 * n, 16) &&
	       in_ram(q, q->driver, 6 + 2 * n, 2) && in_ram(q, q->device, 6 + 8 * n, 4);
}

/* ---- doorbells ---- */

static int hang_doorbell(struct virtqueue *q, uint64_t address)
{
	const struct virtio *v = q->v;

	return v->ops->doorbell ? v->ops->doorbell(q->v, q, address) :
				  doorbell_add(v->pci.m, address, q->kick);
}

static void set_doorbell(struct virtqueue *q, uint64_t address)
{
	if (q->doorbell == address)
		return;
	if (q->doorbell && q->v->ops->doorbell)
		q->v->ops->doorbell(q->v, q, 0);
	else if (q->doorbell)
		doorbell_del(q->v->pci.m, q->doorbell, q->kick);
	q->doorbell = 0;
	/* If it cannot be, the write comes to virtio_write(). */
	if (address && !hang_doorbell(q, address))
		q->doorbell = address;
}

static void update_doorbells(struct virtio *v)
{
	unsigned int i;

	for (i = 0; i < v->nr_queues; i++) {
		struct virtqueue *q = &v->queues[i];

		set_doorbell(q, v->running && q->enabled && v->pci.bar ?
				v->pci.bar + NOTIFY + i * NOTIFY_STEP : 0);
	}
}

static void on_kick(struct watch *w)
{
	struct virtqueue *q = (struct virtqueue *)((char *)w - offsetof(struct virtqueue, watch));
	uint64_t count;

	if (read(q->kick, &count, sizeof(count)) == sizeof(count))
		q->v->ops->notify(q->v, q);
}

static void ring_doorbell(struct virtqueue *q)
{
	uint64_t one = 1;

	/* It can only fail when the counter is full: it is heard anyway. */
	if (write(q->kick, &one, sizeof(one)) < 0)
		return;
}

/* ---- life ---- */

static void stop(struct virtio *v)
{
	uint64_t count;
	unsigned int i;

	if (!v->running)
		return;
	v->running = false;
	update_doorbells(v);
	for (i = 0; i < v->nr_queues; i++)
		loop_watch(v->pci.m, &v->queues[i].watch, false);
	if (v->ops->stop)
		v->ops->stop(v);
	/* A kick that nobody served is for rings that are gone. */
	for (i = 0; i < v->nr_queues; i++) {
		while (read(v->queues[i].kick, &count, sizeof(count)) > 0)
			;
	}
}

static void interrupt(const struct pci_irq *irq)
{
	uint64_t one = 1;

	if (write(irq->fd, &one, sizeof(one)) < 0)
		return;		/* full: it is pending anyway */
}

/**
 * virtio_broken() - the driver did what it must not: stop until it resets the device
 * @v: the device
 * @why: for the user
 */
void virtio_broken(struct virtio *v, const char *why)
{
	bool told = v->status & VIRTIO_CONFIG_S_NEEDS_RESET;

	stop(v);
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (told)
		return;
	note("%s: stopped until the guest resets it: %s", v->name, why);
	/* 2.1.2: the driver is told if it has said that it is there. */
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_config_changed(v);
}

/** virtio_config_changed() - tell the driver that the device configuration is another now */
void virtio_config_changed(struct virtio *v)
{
	v->generation++;
	interrupt(&v->irq);
}

static void start(struct virtio *v)
{
	unsigned int i;

	v->running = true;
	for (i = 0; i < v->nr_queues; i++) {
		struct virtqueue *q = &v->queues[i];

		q->next_avail = q->next_used = q->signalled = 0;
	}
	if (v->ops->start && v->ops->start(v)) {
		v->running = false;
		virtio_broken(v, fail_text());
		return;
	}
	update_doorbells(v);
	for (i = 0; v->ops->notify && i < v->nr_queues; i++) {
		struct virtqueue *q = &v->queues[i];

		if (!q->enabled)
			continue;
		if (loop_watch(v->pci.m, &q->watch, true)) {
			virtio_broken(v, fail_text());
			return;
		}
		/* What the guest put in before must not wait for its next kick. */
		ring_doorbell(q);
	}
}

static void reset(struct virtio *v)
{
	uint64_t count;
	unsigned int i;

	stop(v);
	v->status = 0;
	v->features = v->driver_features = 0;
	pci_irq_set_vector(&v->irq, PCI_NO_VECTOR);
	for (i = 0; i < v->nr_queues; i++) {
		struct virtqueue *q = &v->queues[i];

		q->enabled = false;
		q->size = q->max;
		q->desc = q->driver = q->device = 0;
		pci_irq_set_vector(&q->irq, PCI_NO_VECTOR);
		while (read(q->irq.fd, &count, sizeof(count)) > 0)
			;
	}
	while (read(v->irq.fd, &count, sizeof(count)) > 0)
		;
	pci_take_isr(&v->pci);
}

/* ---- the common configuration ---- */

static void set_status(struct virtio *v, uint8_t status)
{
	uint8_t added = status & (uint8_t)~v->status;

	if (!status) {
		reset(v);
		return;
	}
	/* Bits are cleared by a reset alone, and one bit is ours to set. */
	v->status |= status & (uint8_t)~VIRTIO_CONFIG_S_NEEDS_RESET;
	if (added & VIRTIO_CONFIG_S_FAILED)
		stop(v);
	if (added & VIRTIO_CONFIG_S_FEATURES_OK) {
		/* 3.1.1: the driver reads the bit back to see whether we agree. */
		if ((v->driver_features & ~v->offered) ||
		    !(v->driver_features & VIRTIO_FEATURE(VIRTIO_F_VERSION_1)))
			v->status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
		else
			v->features = v->driver_features;
	}
	if (added & VIRTIO_CONFIG_S_DRIVER_OK) {
		if (!(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
			virtio_broken(v, "its driver started it without agreeing on features");
		else
			start(v);
	}
}

static void enable(struct virtqueue *q)
{
	if (!(q->v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		virtio_broken(q->v, "its driver enabled a queue without agreeing on features");
	else if (q->v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_broken(q->v, "its driver enabled a queue of a running device");
	else if (!ring_is_good(q))
		virtio_broken(q->v, "its driver gave a queue that is not whole in memory");
	else
		q->enabled = true;
}

static void set_half(uint64_t *address, unsigned int half, uint32_t value)
{
	memcpy((uint32_t *)address + half, &value, sizeof(value));
}

#define FIELD(field) offsetof(struct virtio_pci_common_cfg, field)

static void write_queue(struct virtqueue *q, uint32_t offset, uint32_t value)
{
	if (offset == FIELD(queue_msix_vector)) {
		pci_irq_set_vector(&q->irq, (uint16_t)value);
		return;
	}
	if (q->enabled) {
		virtio_broken(q->v, "its driver changed a queue that is enabled");
		return;
	}
	switch (offset) {
	case FIELD(queue_size):
		q->size = (uint16_t)value;
		break;
	case FIELD(queue_enable):
		if (value == 1)
			enable(q);
		break;
	case FIELD(queue_desc_lo):
	case FIELD(queue_desc_hi):
		set_half(&q->desc, offset / 4 & 1, value);
		break;
	case FIELD(queue_avail_lo):
	case FIELD(queue_avail_hi):
		set_half(&q->driver, offset / 4 & 1, value);
		break;
	case FIELD(queue_used_lo):
	case FIELD(queue_used_hi):
		set_half(&q->device, offset / 4 & 1, value);
		break;
	}
}

/* The width of the field that begins at @offset and can be written; 0 if none does. */
static unsigned int width(uint32_t offset)
{
	switch (offset) {
	case FIELD(device_feature_select):
	case FIELD(guest_feature_select):
	case FIELD(guest_feature):
	case FIELD(queue_desc_lo):
	case FIELD(queue_desc_hi):
	case FIELD(queue_avail_lo):
	case FIELD(queue_avail_hi):
	case FIELD(queue_used_lo):
	case FIELD(queue_used_hi):
		return 4;
	case FIELD(msix_config):
	case FIELD(queue_select):
	case FIELD(queue_size):
	case FIELD(queue_msix_vector):
	case FIELD(queue_enable):
		return 2;
	case FIELD(device_status):
		return 1;
	default:
		return 0;
	}
}

static void write_common(struct virtio *v, uint32_t offset, const void *data, unsigned int size)
{
	uint32_t value = 0;

	if (size == 8) {	/* both halves of an address */
		write_common(v, offset, data, 4);
		write_common(v, offset + 4, (const uint8_t *)data + 4, 4);
		return;
	}
	if (!size || size != width(offset))
		return;
	memcpy(&value, data, size);
	/* A device that needs reset hears nothing else. */
	if ((v->status & VIRTIO_CONFIG_S_NEEDS_RESET) && offset != FIELD(queue_select) &&
	    !(offset == FIELD(device_status) && !value))
		return;
	switch (offset) {
	case FIELD(device_feature_select):
		v->feature_select[0] = value;
		break;
	case FIELD(guest_feature_select):
		v->feature_select[1] = value;
		break;
	case FIELD(guest_feature):
		if (v->feature_select[1] < 2 && !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
			set_half(&v->driver_features, v->feature_select[1], value);
		break;
	case FIELD(msix_config):
		pci_irq_set_vector(&v->irq, (uint16_t)value);
		break;
	case FIELD(device_status):
		set_status(v, (uint8_t)value);
		break;
	case FIELD(queue_select):
		v->queue_select = (uint16_t)value;
		break;
	default:
		if (v->queue_select < v->nr_queues)
			write_queue(&v->queues[v->queue_select], offset, value);
		break;
	}
}

static void read_common(struct virtio *v, uint32_t offset, void *data, unsigned int size)
{
	struct virtio_pci_common_cfg cfg = {
		.device_feature_select = v->feature_select[0],
		.guest_feature_select = v->feature_select[1],
		.msix_config = v->irq.vector,
		.num_queues = (uint16_t)v->nr_queues,
		.device_status = v->status,
		.config_generation = v->generation,
		.queue_select = v->queue_select,
	};

	if (v->feature_select[0] < 2)
		cfg.device_feature = (uint32_t)(v->offered >> 32 * v->feature_select[0]);
	if (v->feature_select[1] < 2)
		cfg.guest_feature = (uint32_t)(v->driver_features >> 32 * v->feature_select[1]);
	if (v->queue_select < v->nr_queues) {
		const struct virtqueue *q = &v->queues[v->queue_select];

		cfg.queue_size = q->size;
		cfg.queue_msix_vector = q->irq.vector;
		cfg.queue_enable = q->enabled;
		cfg.queue_notify_off = (uint16_t)q->index;
		cfg.queue_desc_lo = (uint32_t)q->desc;
		cfg.queue_desc_hi = (uint32_t)(q->desc >> 32);
		cfg.queue_avail_lo = (uint32_t)q->driver;
		cfg.queue_avail_hi = (uint32_t)(q->driver >> 32);
		cfg.queue_used_lo = (uint32_t)q->device;
		cfg.queue_used_hi = (uint32_t)(q->device >> 32);
	}
	if (offset + size <= sizeof(cfg))
		memcpy(data, (uint8_t *)&cfg + offset, size);
}

/* ---- BAR 0 ---- */

static void virtio_read(struct pci_device *dev, uint32_t offset, void *data, unsigned int size)
{
	struct virtio *v = to_virtio(dev);

	memset(data, 0, size);
	if (offset < ISR)
		read_common(v, offset, data, size);
	else if (offset == ISR)
		*(uint8_t *)data = pci_take_isr(dev);
	else if (offset >= DEVICE && offset - DEVICE + size <= v->config_size)
		memcpy(data, (uint8_t *)v->config + (offset - DEVICE), size);
}

static void virtio_write(struct pci_device *dev, uint32_t offset, const void *data,
			 unsigned int size)
{
	struct virtio *v = to_virtio(dev);

	if (offset < ISR) {
		write_common(v, offset, data, size);
	} else if (offset >= DEVICE && offset - DEVICE + size <= v->config_size) {
		if (v->ops->config_write && !(v->status & VIRTIO_CONFIG_S_NEEDS_RESET))
			v->ops->config_write(v, offset - DEVICE, data, size);
	} else if (offset >= NOTIFY && offset < NOTIFY + v->nr_queues * NOTIFY_STEP) {
		struct virtqueue *q = &v->queues[(offset - NOTIFY) / NOTIFY_STEP];

		if (v->running && q->enabled)
			ring_doorbell(q);
	}
}

static void virtio_moved(struct pci_device *dev)
{
	update_doorbells(to_virtio(dev));
}

/* ---- 4.1.4.9: access to BAR 0 through configuration space, for firmware that cannot map it ---- */

static bool cfg_window(const struct virtio *v, uint32_t *offset, uint32_t *size)
{
	const uint8_t *cap = v->pci.config + v->cfg_cap;

	memcpy(offset, cap + VIRTIO_PCI_CAP_OFFSET, sizeof(*offset));
	memcpy(size, cap + VIRTIO_PCI_CAP_LENGTH, sizeof(*size));
	return !cap[VIRTIO_PCI_CAP_BAR] && (*size == 1 || *size == 2 || *size == 4) &&
	       *offset < MSIX && !(*offset % *size);
}

static bool touches_data(const struct virtio *v, unsigned int reg, unsigned int size)
{
	unsigned int data = v->cfg_cap + sizeof(struct virtio_pci_cap);

	return reg + size > data && reg < data + 4;
}

static void virtio_config_read(struct pci_device *dev, unsigned int reg, unsigned int size)
{
	struct virtio *v = to_virtio(dev);
	uint32_t offset, len;

	if (touches_data(v, reg, size) && cfg_window(v, &offset, &len))
		virtio_read(dev, offset, dev->config + v->cfg_cap + sizeof(struct virtio_pci_cap),
			    len);
}

static void virtio_config_written(struct pci_device *dev, unsigned int reg, unsigned int size)
{
	struct virtio *v = to_virtio(dev);
	uint32_t offset, len;

	if (touches_data(v, reg, size) && cfg_window(v, &offset, &len))
		virtio_write(dev, offset, dev->config + v->cfg_cap + sizeof(struct virtio_pci_cap),
			     len);
}

static const struct pci_ops pci_ops = {
	.read = virtio_read,
	.write = virtio_write,
	.moved = virtio_moved,
	.config_read = virtio_config_read,
	.config_written = virtio_config_written,
};

/* ---- making one ---- */

static int add_capabilities(struct virtio *v)
{
	struct {
		struct virtio_pci_cap cap;
		uint32_t more;
	} cap = { .cap = { .cap_vndr = PCI_CAP_ID_VNDR } };
	const struct {
		uint8_t type;
		uint32_t offset, length, more;
	} parts[] = {
		{ VIRTIO_PCI_CAP_COMMON_CFG, COMMON, sizeof(struct virtio_pci_common_cfg), 0 },
		{ VIRTIO_PCI_CAP_ISR_CFG, ISR, 1, 0 },
		{ VIRTIO_PCI_CAP_DEVICE_CFG, DEVICE, v->config_size, 0 },
		{ VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY, v->nr_queues * NOTIFY_STEP, NOTIFY_STEP },
		{ VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0 },
	};
	unsigned int i, at;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		bool longer = parts[i].type == VIRTIO_PCI_CAP_NOTIFY_CFG ||
			      parts[i].type == VIRTIO_PCI_CAP_PCI_CFG;

		if (parts[i].type == VIRTIO_PCI_CAP_DEVICE_CFG && !v->config_size)
			continue;
		cap.cap.cap_len = sizeof(cap.cap) + (longer ? 4 : 0);
		cap.cap.cfg_type = parts[i].type;
		cap.cap.offset = parts[i].offset;
		cap.cap.length = parts[i].length;
		cap.more = parts[i].more;
		at = pci_add_capability(&v->pci, &cap, cap.cap.cap_len);
		if (!at)
			return -1;
		v->cfg_cap = at;	/* that of the last one */
	}
	v->pci.writable[v->cfg_cap + VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(v->pci.writable + v->cfg_cap + VIRTIO_PCI_CAP_OFFSET, 0xff, 12);
	return pci_add_msix(&v->pci, v->nr_queues + 1, MSIX);
}

static int add_irq(struct virtio *v, struct pci_irq *irq, uint8_t isr)
{
	irq->isr = isr;
	irq->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (irq->fd < 0)
		return -1;
	pci_add_irq(&v->pci, irq);
	return 0;
}

/**
 * virtio_init() - begin to make a device
 * @v: the device, all zero but @offered, @config and @config_size, which may also be set later, before
 *	virtio_plug() (@config_size not)
 * @m: its machine
 * @ops: its kind; @ops->free is called by virtio_free() even after a failure here, so what that looks at is set
 * @sizes: the largest size of each queue, up to VIRTIO_QUEUE_MAX
 * @nr_queues: how many queues, up to VIRTIO_MOST_QUEUES
 *
 * Return: 0, or -1 with a message; virtio_free() is due in both cases.
 */
int virtio_init(struct virtio *v, struct machine *m, const struct virtio_ops *ops,
		const uint16_t *sizes, unsigned int nr_queues)
{
	const struct pci_identity id = {
		.vendor = VENDOR, .device = (uint16_t)(DEVICE_BASE + ops->id), .revision = 1,
		.subsystem_vendor = VENDOR, .subsystem = (uint16_t)(DEVICE_BASE + ops->id),
		.class = ops->class,
	};
	unsigned int i;

	v->ops = ops;
	v->irq.fd = -1;
	pci_init(&v->pci, m, &id, &pci_ops);
	v->pci.bar_size = BAR_SIZE;
	v->queues = calloc(nr_queues, sizeof(*v->queues));
	if (!v->queues)
		return fail("out of memory");
	v->nr_queues = nr_queues;
	for (i = 0; i < nr_queues; i++)
		v->queues[i].kick = v->queues[i].irq.fd = -1;
	for (i = 0; i < nr_queues; i++) {
		struct virtqueue *q = &v->queues[i];

		q->v = v;
		q->index = i;
		q->max = q->size = sizes[i];
		q->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		q->watch = (struct watch){ .fd = q->kick, .ready = on_kick };
		if (q->kick < 0 || add_irq(v, &q->irq, ISR_QUEUE))
			return fail_errno("cannot make an eventfd");
	}
	if (add_irq(v, &v->irq, ISR_CONFIG))
		return fail_errno("cannot make an eventfd");
	if (add_capabilities(v))
		return fail("out of memory");
	return 0;
}

/**
 * virtio_plug() - show the device to the guest
 * @v: the device, complete
 *
 * Return: 0, or -1 with a message.
 */
int virtio_plug(struct virtio *v)
{
	v->offered |= VIRTIO_FEATURE(VIRTIO_F_VERSION_1);
	if (!pci_plug(&v->pci))
		return 0;
	return fail("there is no place for another device: the bus has %d", PCI_SLOTS - 1);
}

/**
 * virtio_free() - stop a device, take it out and free it
 * @v: the device; io_lock is held or the vCPUs do not run
 */
void virtio_free(struct virtio *v)
{
	unsigned int i;

	stop(v);
	pci_unplug(&v->pci);
	for (i = 0; i < v->nr_queues; i++) {
		if (v->queues[i].kick >= 0)
			close(v->queues[i].kick);
		if (v->queues[i].irq.fd >= 0)
			close(v->queues[i].irq.fd);
	}
	if (v->irq.fd >= 0)
		close(v->irq.fd);
	free(v->queues);
	if (v->ops->free)
		v->ops->free(v);
	free(v);
}

/**
 * virtio_new() - make a device and plug it in
 * @kind: its kind
 * @m: its machine
 * @config: what the kind made of the user's words
 * @fd: what kind->open() gave, or -1; taken
 *
 * Return: the device, or NULL with a message.
 */
struct virtio *virtio_new(const struct device_kind *kind, struct machine *m, const void *config, int fd)
{
	struct virtio *v = calloc(1, kind->size);

	if (!v) {
		fail("out of memory");
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	if (!kind->set_up(v, m, config, fd))
		return v;
	virtio_free(v);
	return NULL;
}

/**
 * virtio_find() - find a device by its kind; io_lock is held or the machine is being made
 * @m: the machine
 * @ops: the kind
 *
 * Return: the first such device, or NULL.
 */
struct virtio *virtio_find(const struct machine *m, const struct virtio_ops *ops)
{
	unsigned int i;

	for (i = 0; i < m->nr_devices; i++) {
		if (m->devices[i]->ops == ops)
			return m->devices[i];
	}
	return NULL;
}
