// SPDX-License-Identifier: GPL-2.0-only
/*
 * A console (Virtio 1.2, 5.3): one port, hvc0 in a Linux guest. It is on the same terminal as the serial port:
 * both write there, and what is typed comes here as soon as a driver runs.
 */
#include <errno.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../machine.h"
#include "../tool.h"
#include "virtio.h"

#define PCI_CLASS_COMMUNICATION 0x078000
#define QUEUE_SIZE 64
#define RX 0
#define TX 1

/**
 * struct vconsole - the device
 * @v: the virtio device
 * @config: the terminal's size
 * @sized: the driver was told of the size
 * @full: the terminal does not take more just now: vconsole_flush() goes on
 * @chain: what is being written, if @writing: @done bytes of it are
 */
struct vconsole {
	struct virtio v;
	struct virtio_console_config config;
	bool sized, full, writing;
	size_t done;
	struct vq_chain chain;
};

static struct vconsole *to_vconsole(struct virtio *v)
{
	return (struct vconsole *)v;
}

/* Write on; true once all of the chain is out, or nobody will ever take it. */
static bool write_chain(struct vconsole *c, int fd)
{
	size_t skip = c->done;
	unsigned int i;
	ssize_t put;

	for (i = 0; i < c->chain.out; i++) {
		const struct iovec *iov = &c->chain.iov[i];

		while (skip < iov->iov_len) {
			put = write(fd, (const uint8_t *)iov->iov_base + skip, iov->iov_len - skip);
			if (put < 0 && errno == EINTR)
				continue;
			if (put < 0)
				return errno != EAGAIN;
			skip += (size_t)put;
			c->done += (size_t)put;
		}
		skip -= iov->iov_len;
	}
	return true;
}

static void transmit(struct vconsole *c)
{
	struct virtqueue *q = &c->v.queues[TX];
	unsigned int n;

	/* Linux's driver looks at the size when it changes, and only once it has its port. */
	if (!c->sized)
		virtio_config_changed(&c->v);
	c->sized = true;
	c->full = false;
	for (n = 0; n < q->size && (c->writing || vq_pop(q, &c->chain)); n++) {
		if (!c->writing)
			c->done = 0;
		c->writing = true;
		c->full = !write_chain(c, c->v.pci.m->out_fd);
		if (c->full)
			break;
		c->writing = false;
		vq_push(q, c->chain.head, 0);
	}
	vq_signal(q);
	if (c->full)
		machine_notify(c->v.pci.m);
	else if (n == q->size)
		vq_again(q);
}

static void vconsole_notify(struct virtio *v, struct virtqueue *q)
{
	/* There may be room for what is typed. */
	if (q->index == RX)
		machine_notify(v->pci.m);
	else if (!to_vconsole(v)->full)
		transmit(to_vconsole(v));
}

static void vconsole_stop(struct virtio *v)
{
	struct vconsole *c = to_vconsole(v);

	c->sized = c->writing = c->full = false;
}

static const struct virtio_ops vconsole_ops = {
	.id = VIRTIO_ID_CONSOLE,
	.class = PCI_CLASS_COMMUNICATION,
	.stop = vconsole_stop,
	.notify = vconsole_notify,
};

static struct vconsole *find(struct machine *m)
{
	return (struct vconsole *)virtio_find(m, &vconsole_ops);
}

/**
 * vconsole_flush() - write on what the terminal did not take
 * @m: the machine, which may have no such console
 *
 * Return: is there still something?
 */
bool vconsole_flush(struct machine *m)
{
	struct vconsole *c;
	bool full = false;

	pthread_mutex_lock(&m->io_lock);
	c = find(m);
	if (c && c->full)
		transmit(c);
	full = c && c->full;
	pthread_mutex_unlock(&m->io_lock);
	return full;
}

static unsigned int receive(struct vconsole *c, const uint8_t *data, unsigned int len)
{
	struct virtqueue *q = &c->v.queues[RX];
	struct vq_chain chain;
	unsigned int i, n, at = 0;
	size_t part, written;

	for (n = 0; n < q->size && at < len && vq_pop(q, &chain); n++) {
		for (i = chain.out, written = 0; i < chain.out + chain.in && at < len; i++) {
			part = chain.iov[i].iov_len < len - at ? chain.iov[i].iov_len : len - at;
			memcpy(chain.iov[i].iov_base, data + at, part);
			at += (unsigned int)part;
			written += part;
		}
		vq_push(q, chain.head, (uint32_t)written);
	}
	vq_signal(q);
	return at;
}

/**
 * vconsole_receive() - type something
 * @m: the machine
 * @data: the bytes
 * @len: how many
 *
 * Return: how many the guest took, or -1 without such a console and a driver that runs.
 */
int vconsole_receive(struct machine *m, const uint8_t *data, unsigned int len)
{
	struct vconsole *c;
	int took = -1;

	pthread_mutex_lock(&m->io_lock);
	c = find(m);
	if (c && c->v.running)
		took = (int)receive(c, data, len);
	pthread_mutex_unlock(&m->io_lock);
	return took;
}

/**
 * vconsole_resize() - the terminal has this size now
 * @m: the machine, which may have no such console
 * @columns: in characters
 * @rows: likewise
 */
void vconsole_resize(struct machine *m, unsigned int columns, unsigned int rows)
{
	struct vconsole *c;

	pthread_mutex_lock(&m->io_lock);
	c = find(m);
	if (c) {
		c->config.cols = (uint16_t)columns;
		c->config.rows = (uint16_t)rows;
		virtio_config_changed(&c->v);
	}
	pthread_mutex_unlock(&m->io_lock);
}

static void *vconsole_parse(const char *text)
{
	if (text && !strcmp(text, "virtio"))
		return malloc(1);
	fail("there is only 'virtio' besides the serial port, which is always there");
	return NULL;
}

static int vconsole_set_up(struct virtio *v, struct machine *m, const void *config, int fd)
{
	static const uint16_t sizes[] = { QUEUE_SIZE, QUEUE_SIZE };
	struct vconsole *c = to_vconsole(v);

	(void)config;
	(void)fd;
	v->config = &c->config;
	v->config_size = sizeof(c->config);
	v->offered = VIRTIO_RINGS | VIRTIO_FEATURE(VIRTIO_CONSOLE_F_SIZE);
	if (virtio_init(v, m, &vconsole_ops, sizes, ARRAY_SIZE(sizes)))
		return -1;
	if (find(m))
		return fail("it has a console already");
	return virtio_plug(v);
}

const struct device_kind console_kind = {
	.option = "console",
	.size = sizeof(struct vconsole),
	.parse = vconsole_parse,
	.set_up = vconsole_set_up,
};
