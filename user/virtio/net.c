// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network card (Virtio 1.2, 5.1) on a tap of the host, or on a network of its own (usernet.c). A tap's packets are
 * carried by the kernel's vhost-net; where it is not there, this process does.
 */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vhost.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../machine.h"
#include "../sandbox.h"
#include "../tool.h"
#include "tap.h"
#include "usernet.h"
#include "vhost.h"

#define PCI_CLASS_ETHERNET 0x020000
#define VHOST_NET "/dev/vhost-net"
#define RX 0
#define TX 1
#define QUEUE_SIZE 256
#define HEADER sizeof(struct virtio_net_hdr_mrg_rxbuf)
#define BATCH 64		/* packets in a row, before others have their turn */
#define MAX_FORWARDS 16
#define HOW "give tap=NAME[,bridge=NAME][,mac=ADDRESS], or user[,mac=ADDRESS][,forward=tcp:PORT:PORT]"

/* What the tap does for both. */
#define OFFLOADS (VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM) | \
		  VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6) | \
		  VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_ECN) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) | \
		  VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO6) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_ECN))
/* What vhost may do with the rings; this process does VIRTIO_RINGS. */
#define VHOST_RINGS (VIRTIO_RINGS | VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF))

/**
 * struct net_config - what the user asked for
 * @user: a network of its own
 * @tap, @bridge: interfaces of the host; @bridge may be NULL
 * @mac: address, all zero: make one up
 * @forwards: with @user, @nr_forwards ports of the host
 * @text: holds the strings
 */
struct net_config {
	bool user;
	const char *tap, *bridge;
	uint8_t mac[6];
	struct usernet_forward forwards[MAX_FORWARDS];
	unsigned int nr_forwards;
	char text[];
};

/**
 * struct net - a card
 * @v: the virtio device
 * @tap: the tap's descriptor, or -1
 * @user: the network of its own, or NULL
 * @vhost: the kernel's part, if @vhost.fd is not -1
 * @watch: waits for packets, without vhost
 * @links: waits for news of the host's interfaces: the tap may go
 * @name: the tap's
 * @config: what the guest reads
 */
struct net {
	struct virtio v;
	int tap;
	struct usernet *user;
	struct vhost vhost;
	struct watch watch, links;
	const char *name;
	struct virtio_net_config config;
};

static struct net *to_net(struct virtio *v)
{
	return (struct net *)v;
}

/* ---- a tap that is taken away ---- */

static void check_tap(struct net *net)
{
	struct ifreq ifr;

	if (!(net->config.status & VIRTIO_NET_S_LINK_UP) || !ioctl(net->tap, TUNGETIFF, &ifr))
		return;
	note("%s: the tap %s is gone: the guest's link is down until it is started again",
	     net->v.name, net->name);
	net->config.status = 0;
	virtio_config_changed(&net->v);
}

static void on_link(struct watch *w)
{
	struct net *net = (struct net *)((char *)w - offsetof(struct net, links));
	char news[256];

	/* What they say does not matter; asking the tap is simpler. */
	while (recv(w->fd, news, sizeof(news), MSG_TRUNC) > 0 || errno == ENOBUFS)
		;
	check_tap(net);
}

static int watch_links(struct net *net)
{
	struct sockaddr_nl all = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

	net->links = (struct watch){ .fd = fd, .ready = on_link };
	if (fd < 0 || bind(fd, (struct sockaddr *)&all, sizeof(all)))
		return fail_errno("cannot listen to the kernel about its network");
	return loop_watch(net->v.pci.m, &net->links, true);
}

/* ---- without vhost: the packets come through here ---- */

/* Write into what the guest gave, from byte @at on. It may be cut anywhere. */
static void scatter(const struct vq_chain *chain, size_t at, const void *data, size_t len)
{
	unsigned int i;

	for (i = chain->out; i < chain->out + chain->in && len; i++) {
		const struct iovec *iov = &chain->iov[i];
		size_t part;

		if (at >= iov->iov_len) {
			at -= iov->iov_len;
			continue;
		}
		part = iov->iov_len - at < len ? iov->iov_len - at : len;
		memcpy((uint8_t *)iov->iov_base + at, data, part);
		data = (const uint8_t *)data + part;
		len -= part;
		at = 0;
	}
}

/* One packet in each buffer, so the header says: one buffer. */
static void set_num_buffers(const struct vq_chain *chain)
{
	static const uint8_t one[2] = { 1, 0 };

	scatter(chain, offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers), one, sizeof(one));
}

/* A packet from the network of its own; without a buffer for it, it is lost as on a wire. */
static void deliver(void *to, const void *packet, size_t len)
{
	static const struct virtio_net_hdr_mrg_rxbuf header = { .num_buffers = 1 };
	struct net *net = to;
	struct virtqueue *q = &net->v.queues[RX];
	struct vq_chain chain;

	if (!vq_pop(q, &chain))
		return;
	if (chain.in_len < HEADER + len) {
		virtio_broken(&net->v, "a buffer that holds no packet");
		return;
	}
	scatter(&chain, 0, &header, sizeof(header));
	scatter(&chain, HEADER, packet, len);
	vq_push(q, chain.head, (uint32_t)(HEADER + len));
	vq_signal(q);
}

static void receive(struct net *net)
{
	struct virtqueue *q = &net->v.queues[RX];
	struct vq_chain chain;
	unsigned int n;
	ssize_t got;

	for (n = 0; n < BATCH; n++) {
		if (!vq_pop(q, &chain)) {
			/* No buffer: the tap keeps its packets until the guest's next kick. */
			loop_watch(net->v.pci.m, &net->watch, false);
			break;
		}
		if (chain.in_len < HEADER) {
			virtio_broken(&net->v, "a buffer that holds no packet");
			return;
		}
		got = readv(net->tap, chain.iov + chain.out, (int)chain.in);
		if (got < (ssize_t)HEADER) {
			/* None: the chain is for the next one. A tap that is gone is always readable. */
			q->next_avail--;
			if (got >= 0 || errno != EAGAIN)
				loop_watch(net->v.pci.m, &net->watch, false);
			break;
		}
		set_num_buffers(&chain);
		vq_push(q, chain.head, (uint32_t)got);
	}
	vq_signal(q);
}

static void on_packet(struct watch *w)
{
	receive((struct net *)((char *)w - offsetof(struct net, watch)));
}

/* As on a wire: what the other end does not take is lost. */
static void transmit_one(struct net *net, const struct vq_chain *chain)
{
	if (net->user)
		usernet_send(net->user, chain->iov, chain->out, HEADER);
	else if (writev(net->tap, chain->iov, (int)chain->out) < 0)
		return;
}

static void transmit(struct net *net)
{
	struct virtqueue *q = &net->v.queues[TX];
	struct vq_chain chain;
	unsigned int n;

	for (n = 0; n < BATCH && vq_pop(q, &chain); n++) {
		transmit_one(net, &chain);
		vq_push(q, chain.head, 0);
	}
	vq_signal(q);
	if (net->user)
		usernet_sent(net->user);
	if (n == BATCH)
		vq_again(q);
}

static void net_notify(struct virtio *v, struct virtqueue *q)
{
	struct net *net = to_net(v);

	if (q->index == TX) {
		transmit(net);
		return;
	}
	if (!net->user && loop_watch(v->pci.m, &net->watch, true))
		virtio_broken(v, fail_text());
}

/* ---- both ---- */

static unsigned int offloads(const struct virtio *v)
{
	static const struct {
		unsigned int feature, flag;
	} table[] = {
		{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM },
		{ VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
		{ VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
	};
	unsigned int i, flags = 0;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		if (virtio_has(v, table[i].feature))
			flags |= table[i].flag;
	}
	return flags;
}

static int set_backend(struct net *net, unsigned int queue, int fd)
{
	struct vhost_vring_file file = { .index = queue, .fd = fd };

	return ioctl(net->vhost.fd, VHOST_NET_SET_BACKEND, &file);
}

static void net_stop(struct virtio *v)
{
	struct net *net = to_net(v);

	if (net->vhost.fd < 0) {
		loop_watch(v->pci.m, &net->watch, false);
		return;
	}
	set_backend(net, RX, -1);
	set_backend(net, TX, -1);
}

static int net_start(struct virtio *v)
{
	struct net *net = to_net(v);

	if (net->user)
		return 0;
	/* Segments without checksums make no sense to the tap either: EINVAL. */
	if (ioctl(net->tap, TUNSETOFFLOAD, offloads(v)))
		return fail_errno("the tap refuses its features");
	if (net->vhost.fd < 0)
		return 0;
	if (vhost_start(&net->vhost, v, 2))
		return -1;
	if (!set_backend(net, RX, net->tap) && !set_backend(net, TX, net->tap))
		return 0;
	fail_errno("vhost refuses the tap");
	net_stop(v);
	return -1;
}

/* The host's view of the tap, turned round: what it receives, the guest has sent. */
static void net_describe(const struct virtio *v, FILE *out)
{
	const struct net *net = (const struct net *)v;
	const uint8_t *mac = net->config.mac;
	struct rtnl_link_stats64 stats;

	fprintf(out, "%s=%s\nmac=%02x:%02x:%02x:%02x:%02x:%02x\ncarried_by=%s\n",
		net->user ? "network" : "tap", net->user ? "user" : net->name, mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5], net->vhost.fd < 0 ? "process" : "vhost");
	if (net->user || tap_statistics(net->name, &stats))
		return;
	fprintf(out, "rx_packets=%llu\nrx_bytes=%llu\ntx_packets=%llu\ntx_bytes=%llu\n",
		stats.tx_packets, stats.tx_bytes, stats.rx_packets, stats.rx_bytes);
}

static void net_free(struct virtio *v)
{
	struct net *net = to_net(v);

	loop_watch(v->pci.m, &net->links, false);
	if (net->links.fd >= 0)
		close(net->links.fd);
	vhost_close(&net->vhost);
	usernet_close(net->user);
	if (net->tap >= 0)
		close(net->tap);
}

static const struct virtio_ops vhost_ops = {
	.id = VIRTIO_ID_NET,
	.class = PCI_CLASS_ETHERNET,
	.start = net_start,
	.stop = net_stop,
	.describe = net_describe,
	.free = net_free,
};

static const struct virtio_ops user_ops = {
	.id = VIRTIO_ID_NET,
	.class = PCI_CLASS_ETHERNET,
	.start = net_start,
	.stop = net_stop,
	.describe = net_describe,
	.notify = net_notify,
	.free = net_free,
};

/* ---- making one ---- */

static int parse_mac(const char *text, uint8_t mac[6])
{
	static const uint8_t zero[6];
	int used = 0;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5], &used) == 6 && used == 17 && !text[used] && !(mac[0] & 1) &&
	    memcmp(mac, zero, sizeof(zero)))
		return 0;
	return fail("'%s' is not the address of a network card: give for example mac=52:54:00:12:34:56",
		    text);
}

static int add_forward(struct net_config *config, const char *text)
{
	if (config->nr_forwards == MAX_FORWARDS)
		return fail("more than %d ports are too many", MAX_FORWARDS);
	return usernet_parse_forward(text, &config->forwards[config->nr_forwards++]);
}

static int parse_name(const char **name, const char *value)
{
	*name = value;
	return tap_check_name(value);
}

static int parse_word(struct net_config *config, int key, const char *value)
{
	switch (key) {
	case 0:
		return parse_name(&config->tap, value);
	case 1:
		return parse_name(&config->bridge, value);
	case 2:
		return parse_mac(value, config->mac);
	default:
		return add_forward(config, value);
	}
}

static int parse_into(struct net_config *config)
{
	static char *const keys[] = { "tap", "bridge", "mac", "forward", "user", NULL };
	char *at = config->text, *value, *word;
	int key;

	while (*at) {
		word = at;
		key = getsubopt(&at, keys, &value);
		if (key < 0)
			return fail("there is no '%s': " HOW, word);
		if (key == 4 && !value)
			config->user = true;
		else if (key == 4 || !value)
			return fail(value ? "'%s' takes no value" : "'%s' needs a value", keys[key]);
		else if (parse_word(config, key, value))
			return -1;
	}
	if (config->user && (config->tap || config->bridge))
		return fail("a network of its own has no tap and no bridge: " HOW);
	if (config->nr_forwards && !config->user)
		return fail("ports are forwarded to a network of its own alone: " HOW);
	return config->tap || config->user ? 0 : fail("which tap? " HOW);
}

static void *net_parse(const char *text)
{
	struct net_config *config;

	if (!text)
		text = "";
	config = calloc(1, sizeof(*config) + strlen(text) + 1);
	if (!config) {
		fail("out of memory");
		return NULL;
	}
	memcpy(config->text, text, strlen(text));
	if (!parse_into(config))
		return config;
	free(config);
	return NULL;
}

static uint64_t hash(uint64_t value, const char *text)
{
	for (; *text; text++)
		value = (value ^ (uint8_t)*text) * 0x100000001b3ull;	/* FNV-1a */
	return value;
}

/* Read once: later nothing may be open to this process. */
static const char *host_id(void)
{
	static char id[64];

	if (!id[0])
		read_line(id, sizeof(id), "/etc/machine-id");
	return id;
}

/* The same host, guest and tap have the same address each time; others have another one. */
static void make_mac(const struct machine *m, const struct net_config *config, uint8_t mac[6])
{
	uint64_t value = 0xcbf29ce484222325ull;
	unsigned int i;

	if (config->mac[0] | config->mac[1] | config->mac[2] | config->mac[3] | config->mac[4] |
	    config->mac[5]) {
		memcpy(mac, config->mac, 6);
		return;
	}
	value = hash(hash(hash(value, host_id()), m->config->name), config->user ? "" : config->tap);
	if (config->user)
		value = (value ^ m->nr_devices) * 0x100000001b3ull;
	for (i = 0; i < 6; i++)
		mac[i] = (uint8_t)(value >> 8 * i);
	mac[0] = (mac[0] & 0xfc) | 2;	/* one card's, given locally */
}

static bool net_opens(const void *config)
{
	return !((const struct net_config *)config)->user;
}

static int net_open(const void *config)
{
	const struct net_config *c = config;
	int fd = tap_open(c->tap);

	if (fd < 0 || !tap_set_up(c->tap, c->bridge))
		return fd;
	close(fd);
	return -1;
}

/* The tap may come from another process. */
static int check_given(struct machine *m, struct net *net)
{
	struct ifreq ifr;

	if (!ioctl(net->tap, TUNGETIFF, &ifr) && (ifr.ifr_flags & IFF_TAP) &&
	    (ifr.ifr_flags & IFF_VNET_HDR))
		return 0;
	if (errno == EBADFD) {
		/* It went while an earlier machine had it, and cannot be made again from here. */
		note("%s: the tap %s is gone: the guest's link stays down", m->config->name, net->name);
		net->config.status = 0;
		return 0;
	}
	return fail("%s is not a tap that can be used", net->name);
}

static int set_up_user(struct net *net, struct machine *m, const struct net_config *config)
{
	unsigned int i;

	net->user = usernet_open(m, deliver, net);
	if (!net->user)
		return -1;
	for (i = 0; i < config->nr_forwards; i++) {
		if (usernet_add_forward(net->user, &config->forwards[i]))
			return -1;
	}
	return 0;
}

static int set_up_tap(struct machine *m, struct net *net)
{
	if (check_given(m, net))
		return -1;
	net->watch = (struct watch){ .fd = net->tap, .ready = on_packet };
	return watch_links(net);
}

static int net_set_up(struct virtio *v, struct machine *m, const void *spec, int fd)
{
	static const uint16_t sizes[] = { QUEUE_SIZE, QUEUE_SIZE };
	const struct net_config *config = spec;
	struct net *net = to_net(v);
	char without[128];
	bool vhost;

	net->tap = fd;
	net->vhost.fd = net->links.fd = -1;
	vhost = !config->user && !vhost_open(&net->vhost, m, VHOST_NET);
	v->config = &net->config;
	v->config_size = sizeof(net->config);
	v->offered = VIRTIO_FEATURE(VIRTIO_NET_F_MAC) | VIRTIO_FEATURE(VIRTIO_NET_F_STATUS);
	v->offered |= config->user ? 0 : OFFLOADS;
	v->offered |= vhost ? VHOST_RINGS & net->vhost.features : VIRTIO_RINGS;
	make_mac(m, config, net->config.mac);
	net->config.status = VIRTIO_NET_S_LINK_UP;
	net->name = config->tap;
	if (!vhost)
		snprintf(without, sizeof(without), "%s", fail_text());
	if (virtio_init(v, m, vhost ? &vhost_ops : &user_ops, sizes, ARRAY_SIZE(sizes)))
		return -1;
	if (config->user ? set_up_user(net, m, config) : set_up_tap(m, net))
		return -1;
	if (virtio_plug(v))
		return -1;
	if (!vhost && !config->user)
		note("%s: %s; this process will carry the packets of %s, which is slower",
		     m->config->name, without, config->tap);
	return 0;
}

static unsigned int net_needs(const void *config)
{
	return net_opens(config) ? 0 : SANDBOX_SOCKETS;
}

/* Cards may come later. */
static int net_prepare(unsigned int allow)
{
	host_id();
	return allow & SANDBOX_SOCKETS ? usernet_prepare() : 0;
}

const struct device_kind net_kind = {
	.option = "net",
	.size = sizeof(struct net),
	.node = VHOST_NET,
	.parse = net_parse,
	.needs = net_needs,
	.prepare = net_prepare,
	.opens = net_opens,
	.open = net_open,
	.set_up = net_set_up,
};
