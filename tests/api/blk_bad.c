// SPDX-License-Identifier: GPL-2.0-only
/* The disk in the module: hostile rings, noise, and ends with requests in flight. */
#define _GNU_SOURCE
#include "blk.h"
#include <linux/userfaultfd.h>
#include <sys/syscall.h>

/* ---- hostile drivers ---- */

static void bad_head(void) { offer(NUM); }
static void bad_index(void) { offer(0); avail()->idx = NUM + 1; }
static void bad_next(void) { put(0, HDR, 16, VRING_DESC_F_NEXT, NUM); offer(0); }
static void bad_loop(void)
{
	put(0, HDR, 16, VRING_DESC_F_NEXT, 1);
	put(1, DATA, 512, VRING_DESC_F_NEXT, 0);
	offer(0);
}
static void bad_wrap(void) { put(0, -8ull, 16, 0, 0); offer(0); }
static void bad_order(void)
{
	put(0, HDR, 16, VRING_DESC_F_NEXT, 1);
	put(1, STATUS, 1, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
	put(2, DATA, 512, 0, 0);
	offer(0);
}
static void bad_short(void)
{
	put(0, HDR, 15, VRING_DESC_F_NEXT, 1);
	put(1, STATUS, 1, VRING_DESC_F_WRITE, 0);
	offer(0);
}
static void bad_no_status(void) { put(0, HDR, 16, 0, 0); offer(0); }
static void bad_header_memory(void)
{
	put(0, 1ull << 40, 16, VRING_DESC_F_NEXT, 1);
	put(1, STATUS, 1, VRING_DESC_F_WRITE, 0);
	offer(0);
}
static void bad_status_memory(void)
{
	header(HDR, VIRTIO_BLK_T_FLUSH, 0);
	put(0, HDR, 16, VRING_DESC_F_NEXT, 1);
	put(1, 1 << 20, 1, VRING_DESC_F_WRITE, 0);
	offer(0);
}
static void bad_indirect_next(void)
{
	put(0, TABLE, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
	offer(0);
}
static void bad_indirect_length(void) { put(0, TABLE, 33, VRING_DESC_F_INDIRECT, 0); offer(0); }
static void bad_indirect_empty(void) { put(0, TABLE, 0, VRING_DESC_F_INDIRECT, 0); offer(0); }
static void bad_indirect_long(void)
{
	put(0, TABLE, 16 * (PACKED_NUM + 1), VRING_DESC_F_INDIRECT, 0);
	offer(0);
}
static void bad_indirect_memory(void) { put(0, 1 << 20, 32, VRING_DESC_F_INDIRECT, 0); offer(0); }
static void bad_indirect_twice(void)
{
	table(0, TABLE, 32, VRING_DESC_F_INDIRECT);
	put(0, TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	offer(0);
}
static void bad_indirect_loop(void)
{
	struct vring_desc in = { HDR, 16, VRING_DESC_F_NEXT, 0 };

	memcpy(e.ram + TABLE, &in, sizeof(in));
	put(0, TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	offer(0);
}
static void bad_indirect_order(void)
{
	table(0, STATUS, 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT);
	table(1, HDR, 16, 0);
	put(0, TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	offer(0);
}
/* Of a packed ring: it may have chains or tables, not a table in a chain. */
static void bad_indirect_late(void)
{
	table(0, STATUS, 1, VRING_DESC_F_WRITE);
	put(0, HDR, 16, VRING_DESC_F_NEXT, 1);
	put(1, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	offer(0);
}

void blk_hostile(void)
{
	static const struct {
		void (*lay)(void);
		bool split, packed;
	} bad[] = {
		{ bad_head, true, false }, { bad_index, true, false }, { bad_next, true, false },
		{ bad_loop, true, true }, { bad_wrap, true, true }, { bad_order, true, true },
		{ bad_short, true, true }, { bad_no_status, true, true },
		{ bad_header_memory, true, true }, { bad_status_memory, true, true },
		{ bad_indirect_next, true, true }, { bad_indirect_length, true, true },
		{ bad_indirect_empty, true, true }, { bad_indirect_long, true, true },
		{ bad_indirect_memory, true, true }, { bad_indirect_twice, true, true },
		{ bad_indirect_loop, true, false }, { bad_indirect_order, true, true },
		{ bad_indirect_late, false, true },
	};
	unsigned int i;

	setup(make_image(), FEATURES | INDIRECT, 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!(packed ? bad[i].packed : bad[i].split))
			continue;
		bad[i].lay();
		kick();
		check_(heard(d.event) == 1, __FILE__, __LINE__, "the case of that number", i, -1);
		IS(state(), LAMINA_BLK_STATE_RUNNING | LAMINA_BLK_STATE_NEEDS_RESET);
		TRUE(!ready());
		kick();				/* it stands still */
		TRUE(!ready());
		OK(set_state(LAMINA_BLK_STATE_RESET));
		IS(state(), LAMINA_BLK_STATE_STOPPED);
		start(FEATURES | INDIRECT);
		IS(request(VIRTIO_BLK_T_IN, 0, DATA, 512, true), 0);
		OK(set_state(LAMINA_BLK_STATE_RESET));
		start(FEATURES | INDIRECT);
	}
	/* an indirect table that was not negotiated; a ring without memory */
	OK(set_state(LAMINA_BLK_STATE_RESET));
	start(FEATURES);
	put(0, TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	offer(0);
	kick();
	IS(heard(d.event), 1);
	IS(state(), LAMINA_BLK_STATE_RUNNING | LAMINA_BLK_STATE_NEEDS_RESET);
	for (i = 0; i < 3; i++) {
		struct lamina_blk_queue q = { .index = 0 };

		OK(set_state(LAMINA_BLK_STATE_RESET));
		/* this has the device ask for a doorbell, too */
		start(FEATURES | EVENT);
		OK(set_state(LAMINA_BLK_STATE_STOPPED));
		OK(get(LAMINA_BLK_QUEUE, &q));
		*(i == 0 ? &q.desc : i == 1 ? &q.driver : &q.device) = 1ull << 40;
		OK(set(LAMINA_BLK_QUEUE, &q));
		OK(set_state(LAMINA_BLK_STATE_RUNNING));
		offer(0);
		kick();
		TRUE(heard(d.event) >= 1);	/* perhaps of the worker at the start, and before */
		OK(set_state(LAMINA_BLK_STATE_STOPPED));
		IS(state(), LAMINA_BLK_STATE_NEEDS_RESET);
	}
}

static uint32_t seed = 1;
static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

/* Rings of noise that is mostly near to what is right. */
static void noise(void)
{
	static const uint64_t where[] = { HDR, STATUS, DATA, TABLE, DESC, USED, AVAIL, 0xfff00,
					  1 << 20, 0, -16ull, 1ull << 51 };
	static const uint32_t length[] = { 0, 1, 16, 32, 48, 511, 512, 513, 4096, 65536, 1 << 25, ~0u };
	static const uint32_t types[] = { 0, 0, 1, 1, 4, 8, 11, 13, 99 };
	int i, n = 1 + rnd(NUM);
	struct vring_desc t;

	for (i = 0; i < 2 * NUM; i++) {
		t.addr = where[rnd(rnd(3) ? 3 : 12)] + (rnd(3) ? 0 : rnd(64));
		t.len = length[rnd(12)];
		t.flags = rnd(4);
		t.next = rnd(8) ? (i + 1u) % NUM : rnd(NUM + 2);
		if (!rnd(6)) {
			t.addr = TABLE;
			t.len = 16 * rnd(NUM + 2);
			t.flags = VRING_DESC_F_INDIRECT;
		}
		if (i < NUM)
			put(i, t.addr, t.len, t.flags, t.next);
		else
			table(i - NUM, t.addr, t.len, t.flags);
	}
	for (i = 0; i < NUM; i += 3)
		if (rnd(3)) {
			put(i, HDR, 16, VRING_DESC_F_NEXT, i + 1);
			put(i + 1, DATA, 512 << rnd(4), VRING_DESC_F_NEXT | rnd(2) * 2, i + 2);
			put(i + 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
		}
	header(HDR, types[rnd(9)], rnd(4) ? rnd(SECTORS) : ~0ull);
	while (n--)
		offer(rnd(16) ? rnd(NUM / 3) * 3 : rnd(packed ? NUM : NUM + 1));
	if (!rnd(20))
		avail()->idx += rnd(40);	/* packed: the driver's wish */
	if (packed && !rnd(20))			/* a descriptor that is anything */
		for (i = 0; i < 4; i++)
			((uint32_t *)packed_desc(rnd(PACKED_NUM)))[rnd(4)] = rnd(~0u);
}

void blk_fuzz(void)
{
	uint64_t f = FEATURES | INDIRECT | EVENT | 1ull << VIRTIO_BLK_F_DISCARD |
		     1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	long i, broke = 0;

	alarm(0);
	setup(make_image(), f, 0);
	for (i = 0; i < fuzz_rounds; i++) {
		noise();
		kick();
		/* one in two without waiting for what is in flight */
		if (rnd(2) && !(state() & LAMINA_BLK_STATE_NEEDS_RESET))
			continue;
		broke += !!(state() & LAMINA_BLK_STATE_NEEDS_RESET);
		OK(set_state(LAMINA_BLK_STATE_RESET));
		start(rnd(3) ? f : FEATURES);
	}
	TRUE(broke > 0 && broke < fuzz_rounds);
	OK(set_state(LAMINA_BLK_STATE_RESET));
	start(FEATURES);
	IS(request(VIRTIO_BLK_T_IN, 0, DATA, 512, true), 0);
}

/* ---- ends ---- */

static void flood(void)
{
	int i;

	header(HDR, VIRTIO_BLK_T_OUT, 0);
	for (i = 0; i < 5; i++) {
		put(3 * i, HDR, 16, VRING_DESC_F_NEXT, 3 * i + 1);
		put(3 * i + 1, DATA + i * 0x10000, 0x10000, VRING_DESC_F_NEXT, 3 * i + 2);
		put(3 * i + 2, STATUS + i, 1, VRING_DESC_F_WRITE, 0);
		offer(3 * i);
	}
	kick();
}

static int any_disk(int nr)
{
	int n = 0;

	while (disks[n])
		n++;
	return n ? open_disk(disks[nr % n]) : make_image();
}

void blk_stop(void)
{
	struct lamina_blk_queue q = { };
	int i, j;

	setup(any_disk(1), FEATURES, 0);
	for (i = 0; i < 20; i++) {
		flood();
		OK(set_state(LAMINA_BLK_STATE_STOPPED));
		/* what was taken was answered before that returned */
		OK(get(LAMINA_BLK_QUEUE, &q));
		IS(q.last_used, q.last_avail);
		while (ready())
			TRUE(complete());
		IS(used_place(), q.last_used);
		offer(0);
		kick();					/* nobody answers */
		TRUE(!ready());
		OK(set(LAMINA_BLK_QUEUE, &q));
		OK(set_state(LAMINA_BLK_STATE_RUNNING));
		/* found at the start */
		while (d.used != d.avail)
			TRUE(complete());
		IS(used_place(), avail_place());
		for (j = 0; j < 5; j++)
			IS(e.ram[STATUS + j], 0);
	}
}

void blk_closed(void)
{
	int i;

	for (i = 0; i < 10; i++) {
		setup(any_disk(i), FEATURES, 0);
		flood();
		OK(close(d.fd));
		real_mode(e.vcpu, 0x1000);		/* the port belongs to nobody again */
		OK(ioctl(e.vcpu, KVM_RUN, 0));
		IS(e.run->io.port, PORT);
		close(e.vcpu);
		close(e.vm);
		close(e.sys);
		munmap(e.ram, 1 << 20);
	}
	setup(any_disk(0), FEATURES, 0);
	flood();
	OK(close(e.vm));		/* the vCPU and the device hold the VM */
	OK(close(e.vcpu));
	for (i = 0; i < 5; i++)
		TRUE(complete());
}

void blk_killed(void)
{
	int i, status;
	pid_t pid;

	for (i = 0; i < 20; i++) {
		pid = fork();
		if (!pid) {
			setup(any_disk(i), FEATURES, 0);
			flood();
			kill(getpid(), SIGKILL);
		}
		IS(waitpid(pid, &status, 0), pid);
		IS(status, SIGKILL);
	}
}

/* A child whose worker stands in a fault that only the child itself could end. */
static int stand_in_fault(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register r = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct pollfd p = { .events = POLLIN };

	setup(make_image(), FEATURES, 0);
	OK(set_state(LAMINA_BLK_STATE_RESET));
	/* a descriptor that is closed after the disk's */
	p.fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (p.fd < 0)
		return -1;
	OK(ioctl(p.fd, UFFDIO_API, &api));
	clear_rings();
	r.range.start = (uintptr_t)e.ram + AVAIL;
	r.range.len = 4096;
	OK(madvise(e.ram + AVAIL, 4096, MADV_DONTNEED));
	OK(ioctl(p.fd, UFFDIO_REGISTER, &r));
	OK(queue(0));
	OK(set_state(LAMINA_BLK_STATE_RUNNING));
	IS(poll(&p, 1, 20000), 1);
	return 0;
}

/*
 * An owner can be killed while a worker of its disk waits for a userfaultfd of the owner's own: in the
 * middle of nothing, of a stop, and of closing the disk.
 */
void blk_own_fault(void)
{
	int i, status, p[2];
	pid_t pid;
	char c;

	for (i = 0; i < 3; i++) {
		OK(pipe(p));
		pid = fork();
		if (!pid) {
			alarm(0);
			if (stand_in_fault())
				_exit(77);
			IS(write(p[1], "", 1), 1);
			if (i == 1)
				set_state(LAMINA_BLK_STATE_STOPPED);
			else if (i == 2)
				close(d.fd);
			else
				pause();
			_exit(78);	/* it should not have come back */
		}
		close(p[1]);
		if (read(p[0], &c, 1) == 1)
			usleep(200000);	/* it may sleep by then */
		kill(pid, SIGKILL);
		IS(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
			skip("no userfaultfd");
		IS(status, SIGKILL);
		close(p[0]);
	}
}

void blk_forked(void)
{
	int status;
	pid_t pid;

	setup(make_image(), FEATURES, 0);
	pid = fork();
	if (!pid) {
		uint32_t s;

		_exit(!(get(LAMINA_BLK_STATE, &s) < 0 && errno == EIO));
	}
	waitpid(pid, &status, 0);
	IS(status, 0);
}
