/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Virtio devices on PCI (Virtio 1.2, chapter 4.1): what they share.
 *
 * A device is one file here: it embeds struct virtio first, fills in @ops, @offered and @config, calls
 * virtio_init() with the sizes of its queues, and at last virtio_plug(). Registers, negotiation, reset,
 * interrupts and doorbells are done in transport.c, which checks all that the guest writes:
 *
 *   guest sets FEATURES_OK      @features is what both want; fixed until the reset
 *   guest enables a queue       its rings are whole and within RAM: virtqueue.desc, .driver, .device
 *   guest sets DRIVER_OK        ops->start(): rings and features can be used from here ...
 *   reset, or something wrong   ops->stop(): ... to here; nobody may touch a ring after it
 *
 * Each queue has two eventfds. The guest's doorbell signals virtqueue.kick without leaving the kernel;
 * what is signalled on virtqueue.irq.fd interrupts the guest. A data plane in the kernel is given both
 * (vhost: SET_VRING_KICK and SET_VRING_CALL; a device of the module likewise) together with the rings'
 * addresses, guest-physical or as pointers from vq_ring(). A device served by this process sets
 * ops->notify instead, and uses vq_pop(), vq_push() and vq_signal() of queue.c. One whose doorbells are
 * answered in the module has ops->doorbell besides.
 *
 * All callbacks run with the machine's io_lock held: a device needs no lock of its own.
 *
 * What the user asks for is a struct device_kind: see there.
 */
#ifndef LAMINA_VIRTIO_H
#define LAMINA_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>

#include "../dev/pci.h"
#include "../loop.h"

struct machine;
struct virtio;

#define VIRTIO_FEATURE(bit) (1ull << (bit))
#define VIRTIO_MOST_QUEUES (PCI_VECTORS - 1)	/* one vector is for the configuration */
#define VIRTIO_QUEUE_MAX 1024			/* largest ring */

/**
 * struct virtqueue - one queue
 * @v: its device
 * @index: its number
 * @max: largest size that the device offers
 * @size: the guest's choice; a power of two, for packed rings any number
 * @enabled: the guest has enabled it; @size and the addresses are good and stay
 * @desc: guest-physical address of the descriptors (packed: of the ring)
 * @driver: of the driver's area: available ring (packed: event suppression)
 * @device: of the device's area: used ring (packed: event suppression)
 * @kick: eventfd, the guest's doorbell; not blocking
 * @irq: its interrupt; @irq.fd is an eventfd, not blocking
 * @watch: waits for @kick if ops->notify is set
 * @doorbell: guest-physical address that signals @kick, or 0
 * @next_avail, @next_used: for queue.c
 * @signalled: the last used index that vq_signal() looked at
 */
struct virtqueue {
	struct virtio *v;
	unsigned int index;
	uint16_t max, size;
	bool enabled;
	uint64_t desc, driver, device;
	int kick;
	struct pci_irq irq;
	struct watch watch;
	uint64_t doorbell;
	uint16_t next_avail, next_used, signalled;
};

/**
 * struct virtio_ops - a kind of device; what is not needed may be missing
 * @id: virtio device id
 * @class: PCI class
 * @start: DRIVER_OK: begin to use the queues that are enabled. -1 with a message: the device needs reset
 * @stop: stop at once, after a @start that succeeded
 * @notify: the guest rang @q's doorbell; called once after @start for each queue, too. Without it the
 *	kicks are the kernel's
 * @doorbell: have a guest's writes to an address be @q's doorbell (0: no longer), in place of an ioeventfd for
 *	virtqueue.kick. -1: they reach @notify as others do
 * @config_write: the guest writes device configuration; without it that is ignored
 * @describe: what there is to tell of it besides, KEY=VALUE lines
 * @free: close and free what it has besides the struct itself; stopped and unplugged already
 */
struct virtio_ops {
	uint16_t id;
	uint32_t class;
	int (*start)(struct virtio *v);
	void (*stop)(struct virtio *v);
	void (*notify)(struct virtio *v, struct virtqueue *q);
	int (*doorbell)(struct virtio *v, struct virtqueue *q, uint64_t address);
	void (*config_write)(struct virtio *v, uint32_t offset, const void *data, unsigned int size);
	void (*describe)(const struct virtio *v, FILE *out);
	void (*free)(struct virtio *v);
};

/**
 * struct virtio - one device
 * @pci: its place on the bus; pci.m is the machine
 * @ops: its kind
 * @name: for messages, as "net0"
 * @offered: features; VERSION_1 is added
 * @features: what was agreed
 * @config: device configuration as the guest reads it
 * @config_size: its size
 * @nr_queues: number of queues
 * @queues: the queues
 * @running: between start and stop
 * @status, @generation, @select, @driver_features, @queue_select: registers
 * @irq: the interrupt that tells of a changed configuration
 * @cfg_cap: where the capability for access through configuration space is
 */
struct virtio {
	struct pci_device pci;
	const struct virtio_ops *ops;
	char name[16];
	uint64_t offered, features;
	void *config;
	unsigned int config_size;
	unsigned int nr_queues;
	struct virtqueue *queues;
	bool running;
	uint8_t status, generation;
	uint32_t feature_select[2];
	uint64_t driver_features;
	uint16_t queue_select;
	struct pci_irq irq;
	unsigned int cfg_cap;
};

/* What every device has that this process serves. */
#define VIRTIO_RINGS (VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX))

struct device_kind;

struct virtio *virtio_new(const struct device_kind *kind, struct machine *m, const void *config, int fd);
struct virtio *virtio_find(const struct machine *m, const struct virtio_ops *ops);
int virtio_init(struct virtio *v, struct machine *m, const struct virtio_ops *ops,
		const uint16_t *sizes, unsigned int nr_queues);
int virtio_plug(struct virtio *v);
void virtio_free(struct virtio *v);

/* From a device. */
void virtio_broken(struct virtio *v, const char *why);
void virtio_config_changed(struct virtio *v);
static inline bool virtio_has(const struct virtio *v, unsigned int bit)
{
	return v->features & VIRTIO_FEATURE(bit);
}

/* queue.c: split rings, for devices that are served by this process. */
#define VQ_SEGMENTS 256		/* most segments of a chain */

/**
 * struct vq_chain - what the driver put into a queue in one piece
 * @head: its name for vq_push()
 * @iov: the segments: first @out that the device reads, then @in that it writes
 * @out_len, @in_len: bytes of them
 */
struct vq_chain {
	uint16_t head;
	unsigned int out, in;
	size_t out_len, in_len;
	struct iovec iov[VQ_SEGMENTS];
};

/** struct vq_ring - a queue's areas in this process */
struct vq_ring {
	struct vring_desc *desc;
	struct vring_avail *driver;
	struct vring_used *device;
};

bool vq_ring(const struct virtqueue *q, struct vq_ring *ring);
bool vq_pop(struct virtqueue *q, struct vq_chain *chain);
void vq_push(struct virtqueue *q, uint16_t head, uint32_t written);
void vq_signal(struct virtqueue *q);
void vq_again(struct virtqueue *q);

/**
 * struct device_kind - a kind of device that the user can ask for
 * @option: its option is --@option
 * @size: of its struct, which begins with a struct virtio
 * @node: another device of the host that it does better with, or NULL; opened with @open's descriptor
 * @parse: read the option's argument, NULL without one; NULL with a message if it is wrong. The result is
 *	from malloc()
 * @open: a descriptor of what it is made of, opened with the rights of who asks for it; -1 with a message.
 *	Missing if there is no such thing
 * @opens: is there for this one? Missing: always
 * @needs: SANDBOX_*: what this process must be able to do. Missing: nothing more
 * @prepare: open and read what @set_up of any such device would otherwise, before this process shuts itself in; it
 *	is told what will be possible then, SANDBOX_*. -1 with a message. May be missing
 * @set_up: begin with virtio_init(), and end with virtio_plug(); @fd is @open's descriptor, which it takes as soon
 *	as it is called. -1 with a message: virtio_free() follows
 */
struct device_kind {
	const char *option;
	size_t size;
	const char *node;
	void *(*parse)(const char *text);
	int (*open)(const void *config);
	bool (*opens)(const void *config);
	unsigned int (*needs)(const void *config);
	int (*prepare)(unsigned int allow);
	int (*set_up)(struct virtio *v, struct machine *m, const void *config, int fd);
};

extern const struct device_kind net_kind, rng_kind, vsock_kind, disk_kind, balloon_kind,
				console_kind, share_kind;

/* console.c */
bool vconsole_flush(struct machine *m);
int vconsole_receive(struct machine *m, const uint8_t *data, unsigned int len);
void vconsole_resize(struct machine *m, unsigned int columns, unsigned int rows);

/* balloon.c */
const char *balloon_set(struct machine *m, uint64_t memory);

#endif
