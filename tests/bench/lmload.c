// SPDX-License-Identifier: GPL-2.0-only
/*
 * lmload: what a Linux guest does to its devices while they are measured. Under icount
 * the TSC counts the instructions of all that runs on the host's one CPU.
 *
 *   lmload disk DEVICE DEPTH READS     4K random reads around the page cache, by io_uring
 *   lmload net INTERFACE SEGMENT N     frames to nobody: of 1,500 bytes, or of 45 SEGMENTs
 *                                      of TCP that the host's side may take as one
 *
 * Each does a tenth first that is not counted, and prints "load: VALUE": TSC cycles for one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#define BLOCK		4096u
#define MAX_DEPTH	256u
#define SEGMENTS	45u	/* of 1,448 bytes: close to the 64 KiB that IP can have */

static void die(const char *what)
{
	fprintf(stderr, "lmload: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- disk ---- */

struct ring {
	int fd, file;
	unsigned int depth, *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	uint8_t *buf;
	uint64_t blocks, random;
};

static void ring_open(struct ring *r)
{
	struct io_uring_params p = { 0 };
	size_t sq, cq;
	uint8_t *map;

	r->fd = syscall(__NR_io_uring_setup, r->depth, &p);
	if (r->fd < 0)
		die("io_uring_setup");
	sq = p.sq_off.array + p.sq_entries * sizeof(unsigned int);
	cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	map = mmap(NULL, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		   r->fd, IORING_OFF_SQ_RING);
	r->sqe = mmap(NULL, p.sq_entries * sizeof(*r->sqe), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQES);
	r->buf = mmap(NULL, r->depth * BLOCK, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (map == MAP_FAILED || r->sqe == MAP_FAILED || r->buf == MAP_FAILED)
		die("mmap");
	r->sq_tail = (void *)(map + p.sq_off.tail);
	r->sq_mask = (void *)(map + p.sq_off.ring_mask);
	r->sq_array = (void *)(map + p.sq_off.array);
	r->cq_head = (void *)(map + p.cq_off.head);
	r->cq_tail = (void *)(map + p.cq_off.tail);
	r->cq_mask = (void *)(map + p.cq_off.ring_mask);
	r->cqe = (void *)(map + p.cq_off.cqes);
}

static void ring_read(struct ring *r, unsigned int slot)
{
	unsigned int tail = *r->sq_tail, i = tail & *r->sq_mask;

	r->random = r->random * 6364136223846793005ull + 1442695040888963407ull;
	r->sqe[i] = (struct io_uring_sqe) {
		.opcode = IORING_OP_READ, .fd = r->file, .len = BLOCK, .user_data = slot,
		.addr = (uintptr_t)(r->buf + slot * BLOCK),
		.off = (r->random >> 33) % r->blocks * BLOCK,
	};
	r->sq_array[i] = i;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
}

/* As many as @reads, @depth of them at a time. */
static void ring_run(struct ring *r, unsigned int reads)
{
	unsigned int begun, done = 0, new = r->depth;

	for (begun = 0; begun < r->depth; begun++)
		ring_read(r, begun);
	while (done < reads) {
		if (syscall(__NR_io_uring_enter, r->fd, new, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
			die("io_uring_enter");
		new = 0;
		while (*r->cq_head != __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE)) {
			struct io_uring_cqe *c = &r->cqe[*r->cq_head & *r->cq_mask];

			if (c->res != (int)BLOCK) {
				errno = -c->res;
				die("read");
			}
			done++;
			if (begun < reads) {
				ring_read(r, c->user_data);
				begun++;
				new++;
			}
			__atomic_store_n(r->cq_head, *r->cq_head + 1, __ATOMIC_RELEASE);
		}
	}
}

static double load_disk(const char *device, unsigned int depth, unsigned int reads)
{
	struct ring r = { .depth = depth, .random = 1 };
	uint64_t bytes, t;

	if (!depth || depth > MAX_DEPTH || reads < 10 * depth) {
		errno = EINVAL;
		die("numbers");
	}
	r.file = open(device, O_RDONLY | O_DIRECT);
	if (r.file < 0 || ioctl(r.file, BLKGETSIZE64, &bytes))
		die(device);
	r.blocks = bytes / BLOCK;
	ring_open(&r);
	ring_run(&r, reads / 10);
	t = __rdtsc();
	ring_run(&r, reads);
	return (double)(__rdtsc() - t) / reads;
}

/* ---- network ---- */

struct frame {
	struct virtio_net_hdr net;
	struct ether_header ether;
	struct iphdr ip;
	struct tcphdr tcp;
	uint8_t data[SEGMENTS * 1460];
} __attribute__((packed));

/* Returns its length. */
static size_t make_frame(struct frame *f, unsigned int segment)
{
	size_t data = segment ? SEGMENTS * segment : 1500 - sizeof(f->ip) - sizeof(f->tcp);

	memset(f, 0, sizeof(*f));
	if (segment)
		f->net = (struct virtio_net_hdr) {
			.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.hdr_len = offsetof(struct frame, data) - sizeof(f->net), .gso_size = segment,
			.csum_start = sizeof(f->ether) + sizeof(f->ip),
			.csum_offset = offsetof(struct tcphdr, check),
		};
	memcpy(f->ether.ether_dhost, "\x02\0\0\0\0\x07", 6);	/* nobody's */
	memcpy(f->ether.ether_shost, "\x02\0\0\0\0\x08", 6);
	f->ether.ether_type = htons(ETHERTYPE_IP);
	f->ip = (struct iphdr) {
		.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP,
		.tot_len = htons(sizeof(f->ip) + sizeof(f->tcp) + data),
		.saddr = htonl(0x0a090002), .daddr = htonl(0x0a090001),
	};
	f->tcp.doff = 5;
	f->tcp.ack = 1;
	return offsetof(struct frame, data) + data;
}

static void send_frames(int fd, const struct frame *f, size_t len, unsigned int n)
{
	while (n) {
		if (send(fd, f, len, 0) == (ssize_t)len)
			n--;
		else if (errno != ENOBUFS)
			die("send");
	}
}

static double load_net(const char *interface, unsigned int segment, unsigned int n)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(interface) };
	static struct frame frame;
	int one = 1, fd;
	size_t len;
	uint64_t t;

	if (segment > 1460) {
		errno = EINVAL;
		die("segment");
	}
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || bind(fd, (void *)&to, sizeof(to)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)))
		die(interface);
	len = make_frame(&frame, segment);
	send_frames(fd, &frame, len, n / 10);
	t = __rdtsc();
	send_frames(fd, &frame, len, n);
	return (double)(__rdtsc() - t) / n;
}

int main(int argc, char **argv)
{
	double v;

	if (argc == 5 && !strcmp(argv[1], "disk")) {
		v = load_disk(argv[2], atoi(argv[3]), atoi(argv[4]));
	} else if (argc == 5 && !strcmp(argv[1], "net")) {
		v = load_net(argv[2], atoi(argv[3]), atoi(argv[4]));
	} else {
		fprintf(stderr, "lmload disk DEVICE DEPTH READS | net INTERFACE SEGMENT N\n");
		return 2;
	}
	printf("load: %.1f\n", v);
	return 0;
}
