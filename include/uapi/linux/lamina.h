/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What /dev/lamina has beyond the KVM API of <linux/kvm.h>.
 * Padding, reserved fields and unknown flags must be zero.
 */
#ifndef _UAPI_LINUX_LAMINA_H
#define _UAPI_LINUX_LAMINA_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * ---- Guests by name ----
 *
 * A VM may have a name, one of its kind for a user and user namespace (those of the
 * process that made the VM).  Whoever may look it up gets a control handle: a
 * descriptor that holds neither the VM nor its memory, and over which requests and
 * descriptors go to the process that listens on the VM's owner descriptor.
 *
 * "May" is: the same user in the same user namespace, or CAP_SYS_ADMIN over it.
 */
#define LAMINA_IOC		0xbe

#define LAMINA_NAME_BYTES	64	/* with the 0 at the end */
#define LAMINA_DATA_BYTES	512
#define LAMINA_MAX_FDS		4
#define LAMINA_MAX_CALLS	16	/* that wait for one owner */
#define LAMINA_MAX_TIMEOUT_MS	60000

/**
 * struct lamina_name - for LAMINA_SET_NAME and LAMINA_OPEN
 * @id: which VM: the number that the netlink family shows.  SET_NAME on a VM's
 *	descriptor: 0.  OPEN: 0 unless LAMINA_BY_ID
 * @flags: LAMINA_BY_ID, LAMINA_BY_UID (OPEN only)
 * @uid: with LAMINA_BY_UID, whose name it is
 * @name: printable ASCII without blanks and '/', ended by a 0
 */
struct lamina_name {
	__u64 id;
	__u32 flags;
	__u32 uid;
	char name[LAMINA_NAME_BYTES];
};

#define LAMINA_BY_ID	1u	/* the name is empty */
#define LAMINA_BY_UID	2u

/**
 * struct lamina_message - a request to the owner, and the answer to it
 * @id: of the request, given by the module; the answer repeats it.  CALL: 0
 * @flags: 0
 * @timeout_ms: CALL: how long to wait, at most LAMINA_MAX_TIMEOUT_MS; else 0
 * @pid: read: the process that asks, as the reader sees it
 * @uid: read: its user, likewise
 * @len: bytes of @data
 * @nr_fds: descriptors in @fds; an answer carries none
 * @fds: read: already installed in the reader's table, closed on exec
 * @data: what it means is between the two
 */
struct lamina_message {
	__u64 id;
	__u32 flags;
	__u32 timeout_ms;
	__u32 pid;
	__u32 uid;
	__u32 len;
	__u32 nr_fds;
	__s32 fds[LAMINA_MAX_FDS];
	__u8 data[LAMINA_DATA_BYTES];
};

/**
 * struct lamina_state - what the owner says of its VM
 * @state: LAMINA_STATE_RUNNING, _PAUSED, _STOPPED or _CRASHED
 * @flags: 0
 * @reason: a few printable words for those who watch, or empty
 */
struct lamina_state {
	__u32 state;
	__u32 flags;
	char reason[LAMINA_NAME_BYTES];
};

#define LAMINA_STATE_CREATED	0u	/* until the first KVM_RUN */
#define LAMINA_STATE_RUNNING	1u
#define LAMINA_STATE_PAUSED	2u
#define LAMINA_STATE_STOPPED	3u
#define LAMINA_STATE_CRASHED	4u

/*
 * On a VM's descriptor (EIO in another address space, as for all of its ioctls), or
 * with an id on /dev/lamina (ENOENT: no such VM; EPERM).  A VM that has a name gets
 * the new one.  EINVAL: id, flags, uid, name; EEXIST: the name is taken.
 */
#define LAMINA_SET_NAME		_IOW(LAMINA_IOC, 0x01, struct lamina_name)
/*
 * On /dev/lamina: a control handle.  EINVAL: id, flags, name; ENOENT; EPERM.
 * It polls EPOLLHUP once the VM is gone.
 */
#define LAMINA_OPEN		_IOW(LAMINA_IOC, 0x02, struct lamina_name)
/*
 * On a control handle: ask the owner and wait for the answer, which comes in the
 * same structure.  ESTALE: the VM is gone; ENOTCONN: nobody listens (any longer);
 * EBUSY: LAMINA_MAX_CALLS wait; ETIMEDOUT; EINTR: a signal came; EBADF: fds;
 * EINVAL.  After ETIMEDOUT, EINTR and ENOTCONN the request may have been served.
 */
#define LAMINA_CALL		_IOWR(LAMINA_IOC, 0x03, struct lamina_message)
/*
 * On a VM's descriptor: the owner descriptor, one at a time (EBUSY).  It polls
 * EPOLLIN when a request waits; read() takes one struct lamina_message (0 at the end
 * of the VM), write() answers one (ENOENT: who asked does not wait any more).
 */
#define LAMINA_OWN		_IO(LAMINA_IOC, 0x04)
/* On a VM's descriptor: tell those who watch.  EINVAL: state, flags, reason. */
#define LAMINA_SET_STATE	_IOW(LAMINA_IOC, 0x05, struct lamina_state)

/*
 * ---- The generic netlink family ----
 *
 * LAMINA_CMD_GET, as a dump without attributes, answers with a message for each VM
 * that the opener of the socket may see.  Life-cycle events come as LAMINA_CMD_EVENT
 * to the multicast group in the network namespace of the VM's creator and in the
 * first one: the attributes up to LAMINA_A_REASON.  Pids and uids in them are those
 * of the creator's own namespaces, or of the first ones.
 */
#define LAMINA_GENL_NAME	"lamina"
#define LAMINA_GENL_VERSION	1
#define LAMINA_GENL_EVENTS	"events"

enum lamina_cmd {
	LAMINA_CMD_UNSPEC,
	LAMINA_CMD_GET,
	LAMINA_CMD_EVENT,
};

enum lamina_attr {
	LAMINA_A_UNSPEC,
	LAMINA_A_PAD,
	LAMINA_A_ID,		/* u64: never used twice */
	LAMINA_A_NAME,		/* string; absent without a name */
	LAMINA_A_PID,		/* u32: the process that made it */
	LAMINA_A_UID,		/* u32: its user */
	LAMINA_A_STATE,		/* u32: LAMINA_STATE_* */
	LAMINA_A_EVENT,		/* u32: LAMINA_EVENT_*; in events */
	LAMINA_A_REASON,	/* string; absent without one */
	LAMINA_A_VCPUS,		/* u32 */
	LAMINA_A_MEMORY,	/* u64: bytes in memory slots */
	LAMINA_A_UPTIME,	/* u64: ms since the first KVM_RUN, the host's sleep included */
	/* u64, counted over all vCPUs */
	LAMINA_A_EXITS,		/* exits from the guest */
	LAMINA_A_USER_EXITS,	/* returns from KVM_RUN */
	LAMINA_A_HALTS,
	LAMINA_A_IRQS,		/* interrupts injected */
	LAMINA_A_NMIS,
	LAMINA_A_FAULTS,	/* memory that had to be faulted in on the host */
	LAMINA_A_FLUSHES,	/* TLB flushes at entry */
	LAMINA_A_TABLE_PAGES,	/* pages in nested page tables, now */
	__LAMINA_A_MAX,
};

#define LAMINA_A_MAX (__LAMINA_A_MAX - 1)

enum lamina_event {
	LAMINA_EVENT_CREATED = 1,
	LAMINA_EVENT_NAMED,
	LAMINA_EVENT_RUNNING,	/* for the first time, or again */
	LAMINA_EVENT_PAUSED,
	LAMINA_EVENT_STOPPED,	/* its owner says so, and why */
	LAMINA_EVENT_CRASHED,	/* likewise */
	LAMINA_EVENT_GONE,	/* the last descriptor was closed */
};

/* ---- Devices in the module: KVM_CREATE_DEVICE ---- */

#endif
