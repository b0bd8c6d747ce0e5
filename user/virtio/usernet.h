/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A network without the host's: libslirp answers the guest's packets and speaks for it through ordinary sockets.
 */
#ifndef LAMINA_USERNET_H
#define LAMINA_USERNET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct machine;
struct usernet;

/**
 * struct usernet_forward - a port of the host that leads to one of the guest
 * @udp: UDP, else TCP
 * @host: address and port of the host
 * @guest_port: port of the guest, at USERNET_GUEST
 */
struct usernet_forward {
	bool udp;
	struct sockaddr_in host;
	in_port_t guest_port;
};

#define USERNET_GUEST 0x0a00020f	/* 10.0.2.15, what the guest gets by DHCP first */

int usernet_parse_forward(const char *text, struct usernet_forward *forward);
int usernet_prepare(void);
struct usernet *usernet_open(struct machine *m,
			     void (*deliver)(void *to, const void *packet, size_t len), void *to);
int usernet_add_forward(struct usernet *u, const struct usernet_forward *forward);
void usernet_send(struct usernet *u, const struct iovec *iov, unsigned int count, size_t skip);
void usernet_sent(struct usernet *u);
void usernet_close(struct usernet *u);

#endif
