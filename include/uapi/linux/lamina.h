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
 * @name: printable ASCII without blanks and '/', ended by a 0 and padded with zeros
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
 * @nr_fds: descriptors in @fds; an answer carries none.  read: fewer than were sent if
 *	the reader cannot have them
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
 * @reason: a few printable words for those who watch, or empty; padded with zeros
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
/*
 * On a VM's descriptor: tell those who watch.  STOPPED and CRASHED are the last word.
 * EINVAL: state, flags, reason; EBUSY: the VM has ended.
 */
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

/*
 * ---- Devices in the module ----
 *
 * They are made by KVM_CREATE_DEVICE with a type of this file and set up through
 * KVM_SET_DEVICE_ATTR on the descriptor that it returns.  Closing that descriptor ends
 * the device: what is in flight is waited for, doorbells and interrupts are taken away.
 * At the end of a process that may be done a bit later.
 * KVM_HAS_DEVICE_ATTR says which attributes there are.
 */

/* Far above KVM's own types (KVM_DEV_TYPE_*). */
#define LAMINA_DEV_TYPE_BLK	0x4c4d0001u

/*
 * ---- LAMINA_DEV_TYPE_BLK: the data plane of a virtio disk (virtio 1.x, split and packed rings) ----
 *
 * Configuration space, feature negotiation and the interrupt table are the business
 * of the process that makes the device; it hands over what the driver chose, then
 * starts the queues.  kvm_device_attr.group is LAMINA_BLK_GROUP.
 */
#define LAMINA_BLK_GROUP	0

/* kvm_device_attr.attr; (s)et, (g)et; those with * only while the device is stopped */
#define LAMINA_BLK_BACKING	1	/* s*  struct lamina_blk_backing */
#define LAMINA_BLK_SERIAL	2	/* s*  char[LAMINA_BLK_SERIAL_BYTES], padded with zeros */
#define LAMINA_BLK_FEATURES	3	/* gs* __u64: get what is offered, set what is negotiated */
#define LAMINA_BLK_EVENT	4	/* s   __s32: eventfd signalled when a reset is needed, or -1 */
#define LAMINA_BLK_INFO		5	/* g   struct lamina_blk_info */
#define LAMINA_BLK_QUEUE	6	/* gs* struct lamina_blk_queue */
#define LAMINA_BLK_DOORBELL	7	/* s   struct lamina_blk_doorbell */
#define LAMINA_BLK_IRQ		8	/* s   struct lamina_blk_irq */
#define LAMINA_BLK_STATE	9	/* gs  __u32 LAMINA_BLK_STATE_* */
#define LAMINA_BLK_STATS	10	/* g   struct lamina_blk_stats */
#define LAMINA_BLK_KICK		11	/* s   __u32: as if this queue's doorbell had been rung */

#define LAMINA_BLK_DEVICES	64	/* of a VM at most */
#define LAMINA_BLK_QUEUES	16	/* queues of a device at most */
#define LAMINA_BLK_QUEUE_SIZE	1024	/* entries of a queue at most */
#define LAMINA_BLK_MAX_BYTES	(16u << 20)	/* of data in one request */
#define LAMINA_BLK_MAX_RANGES	64	/* of one discard or write-zeroes request */
#define LAMINA_BLK_MAX_DISCARD	0x200000	/* sectors in a range of a discard: 1 GiB */
#define LAMINA_BLK_MAX_ZEROES	0x20000	/* likewise of a write-zeroes request: 64 MiB */
#define LAMINA_BLK_SERIAL_BYTES	20

/**
 * struct lamina_blk_backing - where the data is
 * @fd: a regular file or a block device; the device holds it from now on.  It is used as
 *	it was opened: with O_DIRECT or through the page cache.  Its size now is the
 *	capacity, in whole sectors of 512 bytes.
 * @flags: LAMINA_BLK_RDONLY
 *
 * EBADF: no descriptor, or not open for what is asked; EINVAL: another kind of file.
 */
struct lamina_blk_backing {
	__s32 fd;
	__u32 flags;
};

#define LAMINA_BLK_RDONLY	1u

/**
 * struct lamina_blk_info - what the driver is to be told of the disk
 * @capacity: in sectors of 512 bytes
 * @block_size: requests should be multiples of it (with O_DIRECT: must), in bytes
 * @flags: LAMINA_BLK_RDONLY
 */
struct lamina_blk_info {
	__u64 capacity;
	__u32 block_size;
	__u32 flags;
	__u64 reserved[4];
};

/**
 * struct lamina_blk_queue - one queue
 * @index: which, in get too
 * @size: a power of two, of a packed ring any number; 0: the queue is not used
 * @desc: guest address of the descriptors, aligned to 16
 * @driver: of the available ring, aligned to 2; packed: of the driver's event suppression,
 *	aligned to 4
 * @device: of the used ring, aligned to 4; packed: of the device's event suppression
 * @last_avail: the next available entry to take; 0 at the start.  Packed: the place in the
 *	ring, and LAMINA_BLK_WRAP if the wrap counter is 1, as at the start
 * @last_used: the next used entry to fill, likewise
 * @reserved: 0
 *
 * The ring is packed if VIRTIO_F_RING_PACKED is among the features, which are set first:
 * EBUSY for features of the other layout while there is a queue.
 *
 * After LAMINA_BLK_STATE_STOPPED nothing is in flight, and get answers where a new
 * device would go on.
 */
struct lamina_blk_queue {
	__u32 index;
	__u32 size;
	__u64 desc;
	__u64 driver;
	__u64 device;
	__u16 last_avail;
	__u16 last_used;
	__u32 reserved;
};

#define LAMINA_BLK_WRAP		0x8000u

/**
 * struct lamina_blk_doorbell - the write by which the driver says that there is work
 * @index: queue
 * @len: width, 1, 2, 4 or 8 bytes; 0: any
 * @addr: guest physical address, or port with LAMINA_BLK_DOORBELL_PIO
 * @match: with LAMINA_BLK_DOORBELL_MATCH, the value that must be written
 * @flags: LAMINA_BLK_DOORBELL_*
 * @reserved: 0
 *
 * A queue has one doorbell; the new one takes the old one's place.  Before the
 * device is started it does nothing: starting looks at all queues.  EEXIST: an
 * ioeventfd or another doorbell is there.
 */
struct lamina_blk_doorbell {
	__u32 index;
	__u32 len;
	__u64 addr;
	__u64 match;
	__u32 flags;
	__u32 reserved;
};

#define LAMINA_BLK_DOORBELL_PIO		1u
#define LAMINA_BLK_DOORBELL_MATCH	2u
#define LAMINA_BLK_DOORBELL_NONE	4u	/* take it away */

/**
 * struct lamina_blk_irq - how a queue's completions are told
 * @index: queue
 * @kind: LAMINA_BLK_IRQ_*
 * @gsi: pulsed, for LAMINA_BLK_IRQ_GSI
 * @fd: an eventfd, for LAMINA_BLK_IRQ_EVENTFD (a masked vector: its pending bit is with
 *	who has the interrupt table)
 * @address_lo: message, for LAMINA_BLK_IRQ_MSI
 * @address_hi: its upper half
 * @data: its data
 * @reserved: 0
 *
 * GSI and MSI are injected from where the completion arrives; no process is woken.
 * EINVAL for these two without KVM_CREATE_IRQCHIP.
 */
struct lamina_blk_irq {
	__u32 index;
	__u32 kind;
	__u32 gsi;
	__s32 fd;
	__u32 address_lo;
	__u32 address_hi;
	__u32 data;
	__u32 reserved;
};

#define LAMINA_BLK_IRQ_NONE	0u
#define LAMINA_BLK_IRQ_GSI	1u
#define LAMINA_BLK_IRQ_MSI	2u
#define LAMINA_BLK_IRQ_EVENTFD	3u

/*
 * LAMINA_BLK_STATE.  Set: STOPPED waits for what is in flight; RUNNING starts (ENXIO
 * without a backing); RESET stops, forgets queues, features and the need of a reset.
 * Get: STOPPED or RUNNING, with NEEDS_RESET if the driver broke the rules of a ring:
 * its queues then stand still.
 */
#define LAMINA_BLK_STATE_STOPPED	0u
#define LAMINA_BLK_STATE_RUNNING	1u
#define LAMINA_BLK_STATE_RESET		2u
#define LAMINA_BLK_STATE_NEEDS_RESET	0x40u	/* as in virtio's device status */

/**
 * struct lamina_blk_stats - counters since the device was made
 * @reads: requests completed, by kind
 * @writes: likewise
 * @flushes: likewise
 * @discards: discard and write-zeroes
 * @others: GET_ID and unknown types
 * @errors: of all these, not answered with success
 * @read_bytes: bytes read from the backing
 * @written_bytes: bytes written to it
 * @kicks: doorbells that were served
 * @deferred: requests that a worker had to carry out
 * @irqs: interrupts sent
 * @reserved: 0
 */
struct lamina_blk_stats {
	__u64 reads;
	__u64 writes;
	__u64 flushes;
	__u64 discards;
	__u64 others;
	__u64 errors;
	__u64 read_bytes;
	__u64 written_bytes;
	__u64 kicks;
	__u64 deferred;
	__u64 irqs;
	__u64 reserved[5];
};

#endif
