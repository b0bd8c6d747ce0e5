/* SPDX-License-Identifier: GPL-2.0-only */
/* Generic netlink without a library: just enough for a message of the family lamina. */
#ifndef GENL_H
#define GENL_H

#include <linux/genetlink.h>
#include <linux/lamina.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct genl_message {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	uint8_t data[64];
};

static inline int genl_open(void)
{
	struct timeval soon = { .tv_usec = 50000 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
	return fd;
}

static inline long genl_send(int fd, uint16_t family, uint16_t flags, uint8_t cmd, const void *data, size_t len)
{
	struct genl_message m = {
		.nl = { .nlmsg_len = NLMSG_LENGTH(sizeof(m.genl) + len), .nlmsg_type = family,
			.nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = 1 },
		.genl = { .cmd = cmd, .version = 1 },
	};

	memcpy(m.data, data, len);
	return send(fd, &m, m.nl.nlmsg_len, 0);
}

/* The number of the family lamina, which the controller tells; negative if it does not. */
static inline int genl_family(int fd)
{
	struct {
		struct nlattr head;
		char name[sizeof(LAMINA_GENL_NAME) + 1];
	} ask = { { NLA_HDRLEN + sizeof(LAMINA_GENL_NAME), CTRL_ATTR_FAMILY_NAME }, LAMINA_GENL_NAME };
	union {
		struct nlmsghdr nl;
		uint8_t bytes[4096];
	} got;
	long len, at = NLMSG_LENGTH(GENL_HDRLEN);

	if (genl_send(fd, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, &ask, sizeof(ask)) < 0)
		return -1;
	len = recv(fd, &got, sizeof(got), 0);
	if (len < at || got.nl.nlmsg_type != GENL_ID_CTRL)
		return -1;
	while (at + NLA_HDRLEN <= len) {
		struct nlattr a;

		memcpy(&a, got.bytes + at, sizeof(a));
		if (a.nla_type == CTRL_ATTR_FAMILY_ID) {
			uint16_t id;

			memcpy(&id, got.bytes + at + NLA_HDRLEN, sizeof(id));
			return id;
		}
		if (a.nla_len < NLA_HDRLEN)
			break;
		at += NLA_ALIGN(a.nla_len);
	}
	return -1;
}

#endif
