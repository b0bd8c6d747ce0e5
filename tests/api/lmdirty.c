// SPDX-License-Identifier: GPL-2.0-only
/*
 * lmdirty: no page that was written is missing in the dirty log.
 *
 * Two vCPUs write all over their memory: with stores and locked instructions, by string
 * input from a port and by moves from a device, which the module's executor carries out. Their
 * page tables get accessed and dirty bits, and the kernel writes clock and steal time. Meanwhile
 * the log is harvested, each reported page is copied, and the host collapses, splits and
 * swaps pages. Again and again the vCPUs stop: after one last harvest the copy must be the
 * memory, byte by byte.
 *
 * Modes: get (KVM_GET_DIRTY_LOG), clear (by hand, in pieces), full (the same, and the log
 * begins full), ring.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest64.h"

#define CPUS		2
#define RING_BYTES	0x4000u
#define RING_ENTRIES	(RING_BYTES / sizeof(struct kvm_dirty_gfn))
#define KVM_MSR_CLOCK	0x4b564d01
#define KVM_MSR_STEAL	0x4b564d03
#define KVM_MSR_PV_EOI	0x4b564d04

static const char *device = "/dev/lamina";
static bool no_xsave, ring_mode, manual;
static size_t size = 8ul << 20;
static int rounds = 12;

/* Slot 0 is low memory, slot 1 the data. */
static struct area {
	uint8_t *mem, *copy;
	size_t size;
	uint64_t *bits;
} area[2];

static struct cpu {
	int fd;
	struct kvm_run *run;
	struct kvm_dirty_gfn *ring;
	unsigned int at;
	pthread_t thread;
} cpu[CPUS];

static int vm;
static pthread_barrier_t barrier;
static pthread_mutex_t harvest_lock = PTHREAD_MUTEX_INITIALIZER;
static volatile bool stop, over;
static unsigned long reported;

/* RDI: first page of the vCPU's half, RSI: number of pages, R8: seed; R9 counts. */
asm(".pushsection .rodata\n"
    ".global guest_start, guest_end\n"
    "guest_start:\n"
    "	mov $6364136223846793005, %r15\n"
    "	mov %rdi, %r14\n"
    "1:	imul %r15, %r8\n"
    "	add $12345, %r8\n"
    "	inc %r9\n"
    "	mov %r8, %rax\n"
    "	shr $33, %rax\n"
    "	xor %edx, %edx\n"
    "	div %rsi\n"
    "	lea (%r14,%rdx), %r10\n"
    "	shl $12, %r10\n"
    "	mov $0x40000000, %eax\n"
    "	add %rax, %r10\n"
    "	mov %r8, %rax\n"
    "	shr $20, %rax\n"
    "	and $0xfff, %eax\n"
    "	add %rax, %r10\n"			/* may cross the page's end */
    "	mov %r8, %rax\n"
    "	shr $59, %rax\n"
    "	cmp $26, %eax\n"
    "	jae 3f\n"
    "	cmp $22, %eax\n"
    "	jae 2f\n"
    "	mov %r9, (%r10)\n"
    "	jmp 1b\n"
    "2:	and $-8, %r10\n"
    "	lock xadd %r9, (%r10)\n"
    "	jmp 1b\n"
    "3:	mov %rsi, %r12\n"
    "	mov %r10, %rdi\n"
    "	cmp $30, %eax\n"
    "	jae 4f\n"
    "	mov $0x40, %edx\n"			/* the PIT's counter */
    "	mov $24, %ecx\n"
    "	rep insb\n"
    "	jmp 5f\n"
    "4:	mov $0xfee00020, %esi\n"		/* the LAPIC */
    "	movsl\n"
    "5:	mov %r12, %rsi\n"
    "	jmp 1b\n"
    "guest_end:\n"
    ".popsection\n");
extern const uint8_t guest_start[], guest_end[];

static void die(const char *what)
{
	printf("not ok lmdirty - %s: %s\n", what, strerror(errno));
	exit(1);
}

static void need(long r, const char *what)
{
	if (r < 0)
		die(what);
}

/* ---- harvest ---- */

static void copy_page(struct area *a, size_t page)
{
	memcpy(a->copy + (page << 12), a->mem + (page << 12), 4096);
	reported++;
}

static void copy_marked(struct area *a)
{
	size_t i;

	for (i = 0; i < a->size >> 12; i++)
		if (a->bits[i / 64] >> i % 64 & 1)
			copy_page(a, i);
}

static void clear_by_hand(unsigned int slot)
{
	size_t pages = area[slot].size >> 12, at, n;

	for (at = 0; at < pages; at += n) {
		n = 64 * (1 + random() % 8);
		n = n < pages - at ? n : pages - at;
		struct kvm_clear_dirty_log c = { .slot = slot, .first_page = at, .num_pages = n,
						 .dirty_bitmap = area[slot].bits + at / 64 };

		need(ioctl(vm, KVM_CLEAR_DIRTY_LOG, &c), "CLEAR_DIRTY_LOG");
	}
}

static void harvest_bitmaps(void)
{
	unsigned int slot;

	for (slot = 0; slot < 2; slot++) {
		struct kvm_dirty_log d = { .slot = slot, .dirty_bitmap = area[slot].bits };

		need(ioctl(vm, KVM_GET_DIRTY_LOG, &d), "GET_DIRTY_LOG");
		if (manual)
			clear_by_hand(slot);
		copy_marked(&area[slot]);
	}
}

static int harvest_ring(struct cpu *c)
{
	struct kvm_dirty_gfn *d;
	int n = 0;

	for (;; n++, c->at++) {
		d = &c->ring[c->at % RING_ENTRIES];
		if (!(__atomic_load_n(&d->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
			return n;
		if (d->slot > 1 || d->offset >= area[d->slot].size >> 12)
			die("an entry of no page");
		area[d->slot].bits[d->offset / 64] |= 1ull << d->offset % 64;
		__atomic_store_n(&d->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
}

static void harvest_rings(void)
{
	int i, n = 0;

	for (i = 0; i < 2; i++)
		memset(area[i].bits, 0, area[i].size >> 15);
	for (i = 0; i < CPUS; i++)
		n += harvest_ring(&cpu[i]);
	if (ioctl(vm, KVM_RESET_DIRTY_RINGS, 0) != n)
		die("RESET_DIRTY_RINGS does not answer what was harvested");
	for (i = 0; i < 2; i++)
		copy_marked(&area[i]);
}

static void harvest(void)
{
	pthread_mutex_lock(&harvest_lock);
	if (ring_mode)
		harvest_rings();
	else
		harvest_bitmaps();
	pthread_mutex_unlock(&harvest_lock);
}

/* ---- vCPUs ---- */

static __thread struct cpu *self;

static void on_usr1(int sig)
{
	(void)sig;
	if (self)
		self->run->immediate_exit = 1;
}

static void *run(void *arg)
{
	struct cpu *c = arg;

	self = c;
	for (;;) {
		if (stop) {
			pthread_barrier_wait(&barrier);		/* everybody has stopped */
			pthread_barrier_wait(&barrier);		/* go on */
			if (over)
				return NULL;
			c->run->immediate_exit = 0;
		}
		if (ioctl(c->fd, KVM_RUN, 0)) {
			if (errno != EINTR && errno != EAGAIN)
				die("KVM_RUN");
			continue;
		}
		if (c->run->exit_reason == KVM_EXIT_DIRTY_RING_FULL) {
			harvest();
			continue;
		}
		errno = c->run->exit_reason;
		die("exit to user space");
	}
}

static void stop_all(void)
{
	int i;

	stop = true;
	for (i = 0; i < CPUS; i++)
		pthread_kill(cpu[i].thread, SIGUSR1);
	pthread_barrier_wait(&barrier);
	stop = false;
}

static void set_msr(int fd, uint32_t index, uint64_t data)
{
	struct { struct kvm_msrs h; struct kvm_msr_entry e; } m = {
		.h.nmsrs = 1, .e = { .index = index, .data = data },
	};

	if (ioctl(fd, KVM_SET_MSRS, &m) != 1)
		printf("# MSR %x is not there\n", index);
}

static void make_cpu(int sys, int id)
{
	size_t half = (size >> 12) / 2, own = id * half;
	struct kvm_regs r = { .rip = 0x1000, .rflags = 0x202, .rdi = own, .rsi = half - 4, .r8 = 7 + id };
	uint64_t pv = DATA_GPA + ((own + half - 2) << 12);
	struct cpu *c = &cpu[id];

	c->fd = make_vcpu(sys, vm, id, no_xsave, &c->run);
	if (ring_mode) {
		c->ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd,
			       KVM_DIRTY_LOG_PAGE_OFFSET * 4096l);
		if (c->ring == MAP_FAILED)
			die("mmap of the ring");
	}
	need(ioctl(c->fd, KVM_SET_REGS, &r), "SET_REGS");
	need(ioctl(c->fd, KVM_SET_MP_STATE, &(struct kvm_mp_state) { KVM_MP_STATE_RUNNABLE }), "SET_MP_STATE");
	set_msr(c->fd, KVM_MSR_CLOCK, pv | 1);
	set_msr(c->fd, KVM_MSR_STEAL, (pv + 0x100) | 1);
	set_msr(c->fd, KVM_MSR_PV_EOI, (pv + 0x200) | 1);
}

/* 4K pages for the data, so that the CPU and the executor set bits in many tables. */
static void page_tables(void)
{
	uint64_t *t = (uint64_t *)(area[0].mem + 0x10000), *pt = (uint64_t *)(area[0].mem + 0x20000);
	size_t i;

	t[0] = 0x11007;
	t[512] = 0x12007;			/* PDPT: the first GiB, the data's, the last */
	t[513] = 0x13007;
	t[515] = 0x14007;
	t[1024] = 0x87;
	for (i = 0; i < size >> 21; i++)
		t[1536 + i] = 0x20007 + i * 0x1000;
	for (i = 0; i < size >> 12; i++)
		pt[i] = (DATA_GPA + (i << 12)) | 7;
	t[2048 + 503] = 0xfee00087;		/* 2 MiB around the LAPIC */
}

/* ---- the host ---- */

static void disturb(unsigned int what)
{
	size_t at = ((size_t)random() % (size >> 12)) << 12, big = at & ~((2ul << 20) - 1);
	uint8_t *p = area[1].mem;

	switch (what % 4) {
	case 0:
		madvise(p + big, 2 << 20, MADV_HUGEPAGE);
		madvise(p + big, 2 << 20, MADV_COLLAPSE);
		break;
	case 1:
		/* Of other rights, so that a large page is split, but writable: a vCPU may be at it. */
		mprotect(p + at, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
		mprotect(p + at, 4096, PROT_READ | PROT_WRITE);
		break;
	case 2:
		madvise(p + at, 4096, MADV_PAGEOUT);
		break;
	default:
		madvise(p + big, 2 << 20, MADV_PAGEOUT);
	}
}

/* ---- a run ---- */

static void make_area(unsigned int slot, uint64_t gpa, size_t bytes, uint32_t flags)
{
	struct kvm_userspace_memory_region m = {
		.slot = slot, .guest_phys_addr = gpa, .memory_size = bytes, .flags = flags,
	};
	struct area *a = &area[slot];
	uint8_t *p;

	if (!a->mem) {
		p = mmap(NULL, bytes + (2 << 20), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			die("mmap");
		a->mem = (uint8_t *)(((uintptr_t)p + (2 << 20) - 1) & ~((2ul << 20) - 1));
		a->copy = calloc(1, bytes);
		a->bits = calloc(1, bytes >> 15);
		a->size = bytes;
	}
	m.userspace_addr = (uintptr_t)a->mem;
	need(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &m), "SET_USER_MEMORY_REGION");
}

static void enable(uint32_t c, uint64_t arg)
{
	struct kvm_enable_cap ec = { .cap = c, .args = { arg } };

	need(ioctl(vm, KVM_ENABLE_CAP, &ec), "ENABLE_CAP");
}

/* The first page that differs, or -1. */
static long differs(const struct area *a)
{
	size_t i;

	for (i = 0; i < a->size; i += 4096)
		if (memcmp(a->mem + i, a->copy + i, 4096))
			return i >> 12;
	return -1;
}

static int one(const char *mode)
{
	int sys, i, j, bad = 0;
	long page;

	ring_mode = !strcmp(mode, "ring");
	manual = !strcmp(mode, "clear") || !strcmp(mode, "full");
	need(sys = open(device, 2), "open");
	need(vm = ioctl(sys, KVM_CREATE_VM, 0), "CREATE_VM");
	ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000);
	need(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "CREATE_IRQCHIP");
	need(ioctl(vm, KVM_CREATE_PIT2, &(struct kvm_pit_config) { 0 }), "CREATE_PIT2");
	if (ring_mode)
		enable(KVM_CAP_DIRTY_LOG_RING, RING_BYTES);
	if (manual)
		enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, !strcmp(mode, "full") ? 3 : 1);
	make_area(0, 0, LOW_SIZE, 0);
	make_area(1, DATA_GPA, size, 0);
	page_tables();
	memcpy(area[0].mem + 0x1000, guest_start, guest_end - guest_start);
	pthread_barrier_init(&barrier, NULL, CPUS + 1);
	for (i = 0; i < CPUS; i++)
		make_cpu(sys, i);
	stop = true;
	for (i = 0; i < CPUS; i++)
		pthread_create(&cpu[i].thread, NULL, run, &cpu[i]);
	pthread_barrier_wait(&barrier);
	stop = false;
	/* The first snapshot; from here on only the log tells what to copy. */
	make_area(0, 0, LOW_SIZE, KVM_MEM_LOG_DIRTY_PAGES);
	make_area(1, DATA_GPA, size, KVM_MEM_LOG_DIRTY_PAGES);
	for (i = 0; i < 2; i++)
		memcpy(area[i].copy, area[i].mem, area[i].size);
	for (i = 0; i < rounds && !bad; i++) {
		/* the kernel writes to the clock page before the guest goes on */
		for (j = 0; j < CPUS; j++)
			ioctl(cpu[j].fd, KVM_KVMCLOCK_CTRL, 0);
		pthread_barrier_wait(&barrier);
		for (j = 0; j < 6; j++) {
			usleep(5000);
			disturb(random());
			harvest();
		}
		stop_all();
		harvest();
		for (j = 0; j < 2; j++) {
			page = differs(&area[j]);
			if (page < 0)
				continue;
			printf("not ok dirty-%s - round %d: page %ld of slot %d was written and not reported\n",
			       mode, i, page, j);
			bad = 1;
		}
	}
	over = true;
	pthread_barrier_wait(&barrier);
	for (i = 0; i < CPUS; i++)
		pthread_join(cpu[i].thread, NULL);
	if (!bad && !reported) {
		printf("not ok dirty-%s - nothing was reported\n", mode);
		bad = 1;
	}
	if (!bad)
		printf("ok dirty-%s: %lu pages in %d rounds\n", mode, reported, rounds);
	return bad;
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "device", 1, NULL, 'd' }, { "no-xsave", 0, NULL, 'x' }, { "rounds", 1, NULL, 'r' },
		{ "size", 1, NULL, 's' }, { NULL, 0, NULL, 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (o == 'd')
			device = optarg;
		else if (o == 'x')
			no_xsave = true;
		else if (o == 'r')
			rounds = atoi(optarg);
		else if (o == 's')
			size = strtoul(optarg, NULL, 0) << 20;
		else
			return 2;
	}
	if (optind + 1 != argc)
		return 2;
	sigaction(SIGUSR1, &(struct sigaction) { .sa_handler = on_usr1 }, NULL);	/* no SA_RESTART */
	setvbuf(stdout, NULL, _IOLBF, 0);
	return one(argv[optind]);
}
