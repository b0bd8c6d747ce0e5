// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a tap, puts it into a bridge and brings it up. The kernel removes it when its descriptor closes,
 * whatever way this process ends; one that was made to stay (ip tuntap add) stays.
 *
 * libnl is opened only here and closed again: guests without a network need not have it in memory.
 */
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <netlink/errno.h>
#include <netlink/route/link.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../tool.h"
#include "tap.h"

static struct {
	void *library;
	__typeof__(&nl_socket_alloc) socket_alloc;
	__typeof__(&nl_socket_free) socket_free;
	__typeof__(&nl_connect) connect;
	__typeof__(&nl_geterror) geterror;
	__typeof__(&rtnl_link_get_kernel) get;
	__typeof__(&rtnl_link_alloc) alloc;
	__typeof__(&rtnl_link_put) put;
	__typeof__(&rtnl_link_set_flags) set_flags;
	__typeof__(&rtnl_link_set_master) set_master;
	__typeof__(&rtnl_link_change) change;
	__typeof__(&rtnl_link_get_ifindex) ifindex;
	__typeof__(&rtnl_link_get_type) type;
} nl;

static const struct symbol symbols[] = {
	{ "nl_socket_alloc", &nl.socket_alloc },
	{ "nl_socket_free", &nl.socket_free },
	{ "nl_connect", &nl.connect },
	{ "nl_geterror", &nl.geterror },
	{ "rtnl_link_get_kernel", &nl.get },
	{ "rtnl_link_alloc", &nl.alloc },
	{ "rtnl_link_put", &nl.put },
	{ "rtnl_link_set_flags", &nl.set_flags },
	{ "rtnl_link_set_master", &nl.set_master },
	{ "rtnl_link_change", &nl.change },
	{ "rtnl_link_get_ifindex", &nl.ifindex },
	{ "rtnl_link_get_type", &nl.type },
};

static int open_netlink(void)
{
	nl.library = dlopen("libnl-route-3.so.200", RTLD_NOW);
	if (!nl.library)
		return fail("libnl-route does not open (%s): install it with 'sudo apt-get install libnl-route-3-200'",
			    dlerror());
	if (resolve(nl.library, "libnl", symbols, ARRAY_SIZE(symbols))) {
		dlclose(nl.library);
		return -1;
	}
	return 0;
}

/* The index of a bridge; 0 for none; -1 with a message. */
static int find_bridge(struct nl_sock *sock, const char *name)
{
	struct rtnl_link *link;
	const char *type;
	int err, index;

	if (!name)
		return 0;
	err = nl.get(sock, 0, name, &link);
	if (err == -NLE_NODEV || err == -NLE_OBJ_NOTFOUND)
		return fail("there is no bridge %s: make it with 'sudo ip link add %s type bridge && sudo ip link set %s up'",
			    name, name, name);
	if (err)
		return fail("cannot look for the bridge %s: %s", name, nl.geterror(err));
	type = nl.type(link);
	index = type && !strcmp(type, "bridge") ? nl.ifindex(link) : -1;
	nl.put(link);
	return index > 0 ? index : fail("%s is a network interface but no bridge", name);
}

static int change(struct nl_sock *sock, const char *name, const char *bridge)
{
	int err, master = find_bridge(sock, bridge);
	struct rtnl_link *link, *wanted;

	if (master < 0)
		return -1;
	err = nl.get(sock, 0, name, &link);
	if (err)
		return fail("cannot find the tap %s: %s", name, nl.geterror(err));
	wanted = nl.alloc();
	if (!wanted) {
		nl.put(link);
		return fail("out of memory");
	}
	nl.set_flags(wanted, IFF_UP);
	if (master)
		nl.set_master(wanted, master);
	err = nl.change(sock, link, wanted, 0);
	nl.put(wanted);
	nl.put(link);
	if (!err)
		return 0;
	if (err == -NLE_PERM && bridge)
		return fail("no permission to put %s into the bridge %s: run as root, or give this program the capability CAP_NET_ADMIN",
			    name, bridge);
	if (err == -NLE_PERM)
		return fail("no permission to bring %s up: do it with 'sudo ip link set %s up', or run as root",
			    name, name);
	return fail("cannot bring %s up: %s", name, nl.geterror(err));
}

/**
 * tap_set_up() - bring a tap up, in a bridge
 * @name: the tap
 * @bridge: the bridge, or NULL
 *
 * Return: 0, or -1 with a message.
 */
int tap_set_up(const char *name, const char *bridge)
{
	struct nl_sock *sock;
	int err;

	if (open_netlink())
		return -1;
	sock = nl.socket_alloc();
	if (!sock) {
		err = fail("out of memory");
	} else {
		err = nl.connect(sock, 0 /* NETLINK_ROUTE */);
		if (err)
			fail("cannot ask the kernel about its network: %s", nl.geterror(err));
		else
			err = change(sock, name, bridge);
		nl.socket_free(sock);
	}
	dlclose(nl.library);
	return err ? -1 : 0;
}

static int refused(const char *name)
{
	switch (errno) {
	case EPERM:
		return fail("no permission to make the tap %s: run as root, or have it made with 'sudo ip tuntap add %s mode tap vnet_hdr user $USER'",
			    name, name);
	case EBUSY:
		return fail("the tap %s is in use: choose another name, or end the program that uses it",
			    name);
	case EINVAL:
		return fail("%s is a network interface but no tap that can be used: choose another name",
			    name);
	default:
		return fail_errno("cannot make the tap %s", name);
	}
}

/**
 * tap_open() - make a tap, or open one that was made to stay
 * @name: its name
 *
 * Packets have a header of 12 bytes before them, that of virtio-net.
 *
 * Return: its file descriptor, not blocking; or -1 with a message.
 */
int tap_open(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int size = sizeof(struct virtio_net_hdr_mrg_rxbuf);
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return fail("there is no /dev/net/tun: load its driver with 'sudo modprobe tun'");
	if (fd < 0)
		return fail_errno("cannot open /dev/net/tun");
	memcpy(ifr.ifr_name, name, strlen(name));
	if (ioctl(fd, TUNSETIFF, &ifr))
		refused(name);
	else if (ioctl(fd, TUNSETVNETHDRSZ, &size))
		fail_errno("cannot set the tap %s up", name);
	else
		return fd;
	close(fd);
	return -1;
}

/**
 * tap_statistics() - what an interface has counted
 * @name: the interface
 * @stats: to fill in
 *
 * Return: 0, or -1 without a message.
 */
int tap_statistics(const char *name, struct rtnl_link_stats64 *stats)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
		struct rtattr attr;
		char name[IFNAMSIZ];
	} ask = {
		.head = { .nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST },
		.attr = { .rta_len = RTA_LENGTH(IFNAMSIZ), .rta_type = IFLA_IFNAME },
	};
	union {
		struct nlmsghdr head;
		uint8_t room[8192];
	} got;
	const struct rtattr *attr;
	ssize_t len = -1;
	int left, fd;

	snprintf(ask.name, sizeof(ask.name), "%s", name);
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return -1;
	if (send(fd, &ask, sizeof(ask), 0) == sizeof(ask))
		len = recv(fd, &got, sizeof(got), 0);
	close(fd);
	if (len < 0 || !NLMSG_OK(&got.head, (size_t)len) || got.head.nlmsg_type != RTM_NEWLINK)
		return -1;
	left = (int)IFLA_PAYLOAD(&got.head);
	for (attr = IFLA_RTA(NLMSG_DATA(&got.head)); RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type != IFLA_STATS64 || RTA_PAYLOAD(attr) < sizeof(*stats))
			continue;
		memcpy(stats, RTA_DATA(attr), sizeof(*stats));
		return 0;
	}
	return -1;
}

/**
 * tap_check_name() - can an interface be called that?
 * @name: the name
 *
 * Return: 0, or -1 with a message.
 */
int tap_check_name(const char *name)
{
	size_t i, len = strlen(name);

	/* A name with % is a pattern for the kernel. */
	for (i = 0; i < len; i++) {
		if (!isgraph((unsigned char)name[i]) || strchr("/:%", name[i]))
			break;
	}
	if (len && i == len && len < IFNAMSIZ && strcmp(name, ".") && strcmp(name, ".."))
		return 0;
	return fail("'%s' is not a name for a network interface", name);
}
