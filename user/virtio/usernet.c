// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's own network, 10.0.2.0/24, by libslirp: DHCP, a name server (10.0.2.3) and a way out through sockets of
 * this process (the host itself is 10.0.2.2). It takes no rights and no interface of the host.
 *
 * libslirp says each time anew what it waits for. That is kept in an epoll set, one watch of the loop, to which
 * only differences are told; a timer in it stands for the timeout. All runs in the loop's thread or under io_lock.
 * The library is opened only here: guests without such a network do not have it in memory.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "../loop.h"
#include "../machine.h"
#include "../tool.h"
#include "usernet.h"

#define PACKET_MAX 2048		/* more than any frame without offloads */
#define NETWORK 0x0a000200	/* 10.0.2.0/24 */

/**
 * struct known - what the epoll set knows of a descriptor
 * @round: when libslirp last asked for it
 * @events: what for; 0: it is not in the set
 */
struct known {
	unsigned int round;
	uint32_t events;
};

/**
 * struct usernet - one network
 * @m: the machine
 * @slirp: the library's part
 * @deliver, @to: take a packet for the guest
 * @watch: the epoll set
 * @timer: in it, for timeouts
 * @deadline_ns: when it fires; 0: it has
 * @fds: what libslirp waits for, @nr of @room
 * @before: what it waited for the round before, @nr_before
 * @known: by descriptor, @nr_known
 * @round: counts
 */
struct usernet {
	struct machine *m;
	Slirp *slirp;
	void (*deliver)(void *to, const void *packet, size_t len);
	void *to;
	struct watch watch;
	int timer;
	int64_t deadline_ns;
	struct pollfd *fds, *before;
	unsigned int nr, nr_before, room;
	struct known *known;
	unsigned int nr_known;
	unsigned int round;
};

static struct {
	void *library;
	__typeof__(&slirp_new) create;
	__typeof__(&slirp_cleanup) cleanup;
	__typeof__(&slirp_input) input;
	__typeof__(&slirp_pollfds_fill) fill;
	__typeof__(&slirp_pollfds_poll) poll;
	__typeof__(&slirp_add_hostfwd) forward;
} lib;

static const struct symbol symbols[] = {
	{ "slirp_new", &lib.create },
	{ "slirp_cleanup", &lib.cleanup },
	{ "slirp_input", &lib.input },
	{ "slirp_pollfds_fill", &lib.fill },
	{ "slirp_pollfds_poll", &lib.poll },
	{ "slirp_add_hostfwd", &lib.forward },
};

/**
 * usernet_prepare() - open the library; it stays open: what it is made of cannot be unloaded
 *
 * Return: 0, or -1 with a message.
 */
int usernet_prepare(void)
{
	if (!lib.library)
		lib.library = dlopen("libslirp.so.0", RTLD_NOW);
	if (!lib.library)
		return fail("libslirp does not open (%s): install it with 'sudo apt-get install libslirp0'",
			    dlerror());
	return resolve(lib.library, "libslirp", symbols, ARRAY_SIZE(symbols));
}

/* ---- what it waits for ---- */

static bool grow(void **array, size_t size, unsigned int *room, unsigned int least)
{
	unsigned int now = least + least / 2 + 16;
	uint8_t *bigger = reallocarray(*array, now, size);

	if (!bigger)
		return false;
	memset(bigger + *room * size, 0, (now - *room) * size);
	*array = bigger;
	*room = now;
	return true;
}

static bool make_room(struct usernet *u)
{
	unsigned int other = u->room;

	return u->nr < u->room ||
	       (grow((void **)&u->before, sizeof(*u->before), &other, u->nr + 1) &&
		grow((void **)&u->fds, sizeof(*u->fds), &u->room, u->nr + 1));
}

static int add_poll(int fd, int events, void *opaque)
{
	static const struct {
		int theirs;
		short ours;
	} bits[] = {
		{ SLIRP_POLL_IN, POLLIN }, { SLIRP_POLL_OUT, POLLOUT }, { SLIRP_POLL_PRI, POLLPRI },
		{ SLIRP_POLL_ERR, POLLERR }, { SLIRP_POLL_HUP, POLLHUP },
	};
	struct usernet *u = opaque;
	struct pollfd *p;
	unsigned int i;

	if (!make_room(u))
		return -1;
	p = &u->fds[u->nr];
	*p = (struct pollfd){ .fd = fd };
	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		if (events & bits[i].theirs)
			p->events |= bits[i].ours;
	}
	return (int)u->nr++;
}

static int get_revents(int index, void *opaque)
{
	const struct usernet *u = opaque;
	short got = index >= 0 && (unsigned int)index < u->nr ? u->fds[index].revents : 0;

	return (got & POLLIN ? SLIRP_POLL_IN : 0) | (got & POLLOUT ? SLIRP_POLL_OUT : 0) |
	       (got & POLLPRI ? SLIRP_POLL_PRI : 0) | (got & POLLERR ? SLIRP_POLL_ERR : 0) |
	       (got & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void want(struct usernet *u, const struct pollfd *p)
{
	struct epoll_event event = { .events = (uint32_t)p->events, .data.fd = p->fd };
	unsigned int fd = (unsigned int)p->fd;
	struct known *k;

	if (fd >= u->nr_known &&
	    !grow((void **)&u->known, sizeof(*u->known), &u->nr_known, fd + 1))
		return;
	k = &u->known[fd];
	k->round = u->round;
	if (k->events == event.events)
		return;
	if (!epoll_ctl(u->watch.fd, k->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, p->fd, &event))
		k->events = event.events;
}

static void forget(struct usernet *u, int fd)
{
	struct known *k = (unsigned int)fd < u->nr_known ? &u->known[fd] : NULL;

	if (!k || !k->events)
		return;
	epoll_ctl(u->watch.fd, EPOLL_CTL_DEL, fd, NULL);
	k->events = 0;
}

static int64_t clock_ns(void *opaque)
{
	struct timespec now;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/*
 * Only to an earlier time, until it has come: libslirp's clock and its own timers go on
 * there alone, and a guest that keeps sending must not keep it from that.
 */
static void set_timer(struct usernet *u, uint32_t ms)
{
	int64_t at = ms == UINT32_MAX ? INT64_MAX : clock_ns(NULL) + ms * 1000000ll;
	struct itimerspec when = { 0 };

	if (u->deadline_ns && at >= u->deadline_ns)
		return;
	u->deadline_ns = at;
	if (ms != UINT32_MAX)
		when.it_value = (struct timespec){ .tv_sec = ms / 1000,
						   .tv_nsec = ms % 1000 * 1000000 + 1 };
	timerfd_settime(u->timer, 0, &when, NULL);
}

/**
 * usernet_sent() - after packets of the guest: libslirp may wait for other things now
 * @u: the network
 */
void usernet_sent(struct usernet *u)
{
	struct pollfd *spare = u->before;
	uint32_t timeout = UINT32_MAX;
	unsigned int i;

	u->before = u->fds;
	u->nr_before = u->nr;
	u->fds = spare;
	u->nr = 0;
	u->round++;
	lib.fill(u->slirp, &timeout, add_poll, u);
	for (i = 0; i < u->nr; i++)
		want(u, &u->fds[i]);
	for (i = 0; i < u->nr_before; i++) {
		unsigned int fd = (unsigned int)u->before[i].fd;

		if (fd < u->nr_known && u->known[fd].round != u->round)
			forget(u, (int)fd);
	}
	set_timer(u, timeout);
}

static void on_ready(struct watch *w)
{
	struct usernet *u = (struct usernet *)((char *)w - offsetof(struct usernet, watch));
	int got = poll(u->fds, u->nr, 0);

	lib.poll(u->slirp, got < 0, get_revents, u);
	u->deadline_ns = 0;
	usernet_sent(u);
}

/* ---- what it calls ---- */

static ssize_t send_packet(const void *packet, size_t len, void *opaque)
{
	struct usernet *u = opaque;

	u->deliver(u->to, packet, len);
	return (ssize_t)len;
}

/* What a guest does wrong is its own business. */
static void guest_error(const char *msg, void *opaque)
{
	(void)msg;
	(void)opaque;
}

/* Timers are for IPv6 alone, which this network does not have. */
static void *timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
	(void)cb;
	(void)cb_opaque;
	return opaque;
}

static void timer_free(void *timer, void *opaque)
{
	(void)timer;
	(void)opaque;
}

static void timer_mod(void *timer, int64_t expire_time, void *opaque)
{
	(void)timer;
	(void)expire_time;
	(void)opaque;
}

static void on_opened(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

/* It will be closed; another may have its number soon. */
static void on_closing(int fd, void *opaque)
{
	forget(opaque, fd);
}

static void on_room(void *opaque)
{
	(void)opaque;
}

static const struct SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = on_opened,
	.unregister_poll_fd = on_closing,
	.notify = on_room,
};

/* ---- the life of one ---- */

static int set_up(struct usernet *u)
{
	const SlirpConfig config = {
		.version = 1,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(NETWORK),
		.vnetmask.s_addr = htonl(0xffffff00),
		.vhost.s_addr = htonl(NETWORK + 2),
		.vnameserver.s_addr = htonl(NETWORK + 3),
		.vdhcp_start.s_addr = htonl(USERNET_GUEST),
		.vhostname = u->m->config->name,
	};
	struct epoll_event event = { .events = EPOLLIN };

	if (usernet_prepare())
		return -1;
	u->watch = (struct watch){ .fd = epoll_create1(EPOLL_CLOEXEC), .ready = on_ready };
	u->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (u->watch.fd < 0 || u->timer < 0 ||
	    epoll_ctl(u->watch.fd, EPOLL_CTL_ADD, u->timer, &event))
		return fail_errno("cannot wait for sockets");
	u->slirp = lib.create(&config, &callbacks, u);
	if (!u->slirp)
		return fail("libslirp cannot be used");
	usernet_sent(u);
	return loop_watch(u->m, &u->watch, true);
}

/**
 * usernet_open() - make a network
 * @m: the machine
 * @deliver: takes a packet for the guest; with io_lock held
 * @to: its first argument
 *
 * Return: the network, or NULL with a message.
 */
struct usernet *usernet_open(struct machine *m,
			     void (*deliver)(void *to, const void *packet, size_t len), void *to)
{
	struct usernet *u = calloc(1, sizeof(*u));

	if (!u) {
		fail("out of memory");
		return NULL;
	}
	u->m = m;
	u->deliver = deliver;
	u->to = to;
	u->watch.fd = u->timer = -1;
	if (!set_up(u))
		return u;
	usernet_close(u);
	return NULL;
}

/** usernet_close() - end a network, with all its connections; NULL is none */
void usernet_close(struct usernet *u)
{
	if (!u)
		return;
	loop_watch(u->m, &u->watch, false);
	if (u->slirp)
		lib.cleanup(u->slirp);
	if (u->watch.fd >= 0)
		close(u->watch.fd);
	if (u->timer >= 0)
		close(u->timer);
	free(u->fds);
	free(u->before);
	free(u->known);
	free(u);
}

/**
 * usernet_send() - the guest sends a packet
 * @u: the network
 * @iov: the packet, @count pieces
 * @skip: bytes of it that are none
 */
void usernet_send(struct usernet *u, const struct iovec *iov, unsigned int count, size_t skip)
{
	uint8_t packet[PACKET_MAX];
	size_t len = 0, part;
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		part = iov[i].iov_len - skip;
		if (part > sizeof(packet) - len)
			return;		/* no frame: as on a wire, it is lost */
		memcpy(packet + len, (const uint8_t *)iov[i].iov_base + skip, part);
		len += part;
		skip = 0;
	}
	lib.input(u->slirp, packet, (int)len);
}

/* ---- ports of the host ---- */

static int parse_port(const char *text, in_port_t *port)
{
	unsigned long number;

	if (parse_number(text, 1, 65535, &number))
		return -1;
	*port = htons((uint16_t)number);
	return 0;
}

/**
 * usernet_parse_forward() - read PROTOCOL:[ADDRESS:]PORT:PORT
 * @text: that; the first port is the host's, at 127.0.0.1 without an address
 * @forward: filled in
 *
 * Return: 0, or -1 with a message.
 */
int usernet_parse_forward(const char *text, struct usernet_forward *forward)
{
	char protocol[8], address[16] = "127.0.0.1", host[8], guest[8];
	int used = 0;

	*forward = (struct usernet_forward){ .host.sin_family = AF_INET };
	if (sscanf(text, "%7[a-z]:%7[0-9]:%7[0-9]%n", protocol, host, guest, &used) < 3)
		used = 0;
	if (!used && sscanf(text, "%7[a-z]:%15[0-9.]:%7[0-9]:%7[0-9]%n", protocol, address, host, guest,
			    &used) < 4)
		used = 0;
	forward->udp = used && !strcmp(protocol, "udp");
	if (!used || text[used] || (!forward->udp && strcmp(protocol, "tcp")) ||
	    !inet_aton(address, &forward->host.sin_addr))
		return fail("'%s' leads nowhere: give for example forward=tcp:8080:80, the host's port first",
			    text);
	return parse_port(host, &forward->host.sin_port) ||
	       parse_port(guest, &forward->guest_port) ? -1 : 0;
}

/**
 * usernet_add_forward() - have a port of the host lead to the guest
 * @u: the network
 * @forward: which
 *
 * Return: 0, or -1 with a message.
 */
int usernet_add_forward(struct usernet *u, const struct usernet_forward *forward)
{
	struct in_addr guest = { .s_addr = htonl(USERNET_GUEST) };
	unsigned int port = ntohs(forward->host.sin_port);

	if (!lib.forward(u->slirp, forward->udp, forward->host.sin_addr, (int)port, guest,
			 ntohs(forward->guest_port))) {
		usernet_sent(u);
		return 0;
	}
	if (errno == EADDRINUSE)
		return fail("port %u of the host is in use: choose another one", port);
	if (errno == EACCES)
		return fail("no permission for port %u of the host: choose one from 1024 on", port);
	return fail_errno("cannot have port %u of the host", port);
}
