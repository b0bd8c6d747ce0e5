// SPDX-License-Identifier: GPL-2.0-only
/* lmfuzz: the calls, and how their arguments are made up. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/lamina.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fuzz.h"
#include "genl.h"

#define ENTRIES 128
#define RING_BYTES 4096

struct world world;

union arg {
	uint8_t room[32768];
	uint64_t words[4096];
	struct kvm_cpuid2 cpuid;
	struct kvm_msrs msrs;
	struct kvm_msr_list list;
	struct kvm_irq_routing routing;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_userspace_memory_region region;
	struct kvm_irqfd irqfd;
	struct kvm_ioeventfd ioeventfd;
	struct kvm_coalesced_mmio_zone zone;
	struct kvm_enable_cap cap;
	struct kvm_irqchip irqchip;
	struct kvm_irq_level level;
	struct kvm_msi msi;
	struct kvm_interrupt interrupt;
	struct kvm_msr_filter filter;
	struct kvm_create_device create;
	struct kvm_guest_debug debug;
	struct kvm_signal_mask mask;
	struct kvm_x86_mce mce;
	struct lamina_name name;
	struct lamina_message message;
	struct lamina_state state;
};

/**
 * struct call - one step as it is carried out
 * @t: the VM
 * @n: the number of the vCPU, or of another object
 * @random: the state of its random numbers
 * @arg: of the ioctl
 */
struct call {
	struct target *t;
	unsigned int n;
	uint64_t random;
	union arg *arg;
};

/* ---- numbers that may matter ---- */

static uint64_t rnd(struct call *c, uint64_t below)
{
	return next_random(&c->random) % below;
}

static uint64_t an_address(struct call *c)
{
	static const uint64_t of[] = {
		0, 0x1000, RAM_BYTES, 0x200000, 0xa0000, 0xfee00000, 0xfec00000, 0xd0000000, 1ull << 32, 1ull << 39,
		1ull << 47, 1ull << 52, ~0xfffull,
	};
	uint64_t at = of[rnd(c, LENGTH(of))];

	switch (rnd(c, 4)) {
	case 0:
		return at;
	case 1:
		return at + rnd(c, 0x10000);
	case 2:
		return rnd(c, RAM_BYTES);
	default:
		return at + (rnd(c, 64) << 12);
	}
}

static uint64_t a_value(struct call *c)
{
	switch (rnd(c, 8)) {
	case 0:
		return ~0ull;
	case 1:
		return 1ull << rnd(c, 64);
	case 2:
		return next_random(&c->random);
	case 3:
		return an_address(c);
	default:
		return rnd(c, 16);
	}
}

static uint32_t an_msr(struct call *c)
{
	static const uint32_t of[] = {
		0x10, 0x1b, 0x3a, 0x3b, 0x48, 0x49, 0xfe, 0x10a, 0x174, 0x175, 0x176, 0x179, 0x17a, 0x17b, 0x1a0, 0x1d9,
		0x200, 0x20f, 0x250, 0x277, 0x2ff, 0x400, 0x401, 0x47f, 0x6e0, 0x802, 0x808, 0x80b, 0x830, 0x838, 0xda0,
		0x40000000, 0x40000001, 0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03, 0x4b564d04, 0x4b564d05,
		0x4b564d06, 0x4b564d07, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000084, 0xc0000100, 0xc0000102,
		0xc0000103, 0xc0010015, 0xc001001f, 0xc0010114, 0xc0010117, 0xc0011029,
	};

	return rnd(c, 8) ? of[rnd(c, LENGTH(of))] : next_random(&c->random);
}

static int an_event(struct call *c)
{
	return rnd(c, 16) ? world.event[rnd(c, EVENTS)] : (int)a_value(c);
}

/* Some bytes of what is right already become wrong. */
static void spoil(struct call *c, size_t size)
{
	unsigned int times = rnd(c, 6);
	uint64_t value;

	while (size && times--) {
		size_t width = 1u << rnd(c, 4);

		value = a_value(c);
		if (width <= size)
			memcpy(c->arg->room + rnd(c, size / width) * width, &value, width);
	}
}

static void fill(struct call *c, size_t size)
{
	size_t i;

	for (i = 0; i < (size + 7) / 8; i++)
		c->arg->words[i] = rnd(c, 2) ? 0 : a_value(c);
}

/* ---- arguments that have a form ---- */

static void region(struct call *c)
{
	c->arg->region = (struct kvm_userspace_memory_region){
		.slot = rnd(c, 8) ? rnd(c, 5) : a_value(c),
		.flags = rnd(c, 3) ? rnd(c, 4) : 0,
		.guest_phys_addr = rnd(c, 4) ? rnd(c, 8) << 20 : an_address(c),
		.memory_size = rnd(c, 3) ? (rnd(c, 4) << 20 | rnd(c, 4) << 12) : a_value(c),
		.userspace_addr = (uintptr_t)world.ram + (rnd(c, 3) << 20),
	};
}

static void memory(struct call *c)
{
	unsigned int half = rnd(c, 2) << 21;

	region(c);
	c->arg->region.flags = rnd(c, 2);
	c->arg->region.slot = !!half;
	c->arg->region.guest_phys_addr = half;
	c->arg->region.memory_size = RAM_BYTES / 2;
	c->arg->region.userspace_addr = (uintptr_t)world.ram + half;
}

static void routes(struct call *c)
{
	unsigned int i, n = rnd(c, 40);

	c->arg->routing.nr = n;
	c->arg->routing.flags = !rnd(c, 16);
	for (i = 0; i < n; i++) {
		struct kvm_irq_routing_entry *e = &c->arg->routing.entries[i];

		e->gsi = rnd(c, 30);
		e->type = 1 + rnd(c, 2);
		if (e->type == KVM_IRQ_ROUTING_MSI) {
			e->u.msi.address_lo = 0xfee00000 | (next_random(&c->random) & 0xfffff);
			e->u.msi.data = rnd(c, 0x10000);
		} else {
			e->u.irqchip.irqchip = rnd(c, 3);
			e->u.irqchip.pin = rnd(c, 24);
		}
		if (!rnd(c, 16))
			e->type = a_value(c);
	}
}

static void irqfd(struct call *c)
{
	c->arg->irqfd = (struct kvm_irqfd){
		.fd = an_event(c), .gsi = rnd(c, 8) ? rnd(c, 26) : a_value(c), .flags = rnd(c, 4),
		.resamplefd = an_event(c),
	};
}

static void ioeventfd(struct call *c)
{
	c->arg->ioeventfd = (struct kvm_ioeventfd){
		.datamatch = rnd(c, 4), .addr = rnd(c, 2) ? 0x80 : an_address(c), .len = rnd(c, 16) ? 1 << rnd(c, 4) >> 1 : 3,
		.fd = an_event(c), .flags = rnd(c, 8),
	};
}

static void zone(struct call *c)
{
	c->arg->zone = (struct kvm_coalesced_mmio_zone){
		.addr = rnd(c, 2) ? 0x80 : an_address(c), .size = rnd(c, 4) ? rnd(c, 64) : a_value(c), .pio = rnd(c, 9) / 4,
	};
}

static void vm_cap(struct call *c)
{
	static const uint32_t of[] = {
		KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X86_TRIPLE_FAULT_EVENT, KVM_CAP_DIRTY_LOG_RING,
		KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_X2APIC_API,
		KVM_CAP_DISABLE_QUIRKS, KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_MAX_VCPU_ID, KVM_CAP_MSR_PLATFORM_INFO,
		KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_X86_DISABLE_EXITS, KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
	};

	c->arg->cap.cap = rnd(c, 16) ? of[rnd(c, LENGTH(of))] : a_value(c);
	c->arg->cap.args[0] = rnd(c, 3) ? rnd(c, 32) : a_value(c);
	if (c->arg->cap.cap == KVM_CAP_DIRTY_LOG_RING || c->arg->cap.cap == KVM_CAP_DIRTY_LOG_RING_ACQ_REL)
		c->arg->cap.args[0] = RING_BYTES << rnd(c, 6);
	c->arg->cap.flags = !rnd(c, 16);
}

static void cpuid(struct call *c)
{
	c->arg->cpuid.nent = ENTRIES;
	ioctl(world.sys, KVM_GET_SUPPORTED_CPUID, c->arg);
	if (!rnd(c, 3))
		spoil(c, 8 + c->arg->cpuid.nent % (ENTRIES + 1) * sizeof(struct kvm_cpuid_entry2));
}

static void cpuid_room(struct call *c)
{
	c->arg->cpuid.nent = rnd(c, 2) ? ENTRIES : rnd(c, ENTRIES);
}

static void msrs(struct call *c)
{
	unsigned int i, n = rnd(c, 12);

	c->arg->msrs.nmsrs = rnd(c, 32) ? n : a_value(c);
	for (i = 0; i < n; i++) {
		c->arg->msrs.entries[i].index = an_msr(c);
		c->arg->msrs.entries[i].data = a_value(c);
	}
}

static void list(struct call *c)
{
	c->arg->list.nmsrs = rnd(c, 2) ? 1000 : rnd(c, 100);
}

static void filter(struct call *c)
{
	unsigned int i;

	c->arg->filter.flags = rnd(c, 2);
	for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++) {
		if (rnd(c, 4))
			continue;
		c->arg->filter.ranges[i] = (struct kvm_msr_filter_range){
			.flags = rnd(c, 9) / 2, .nmsrs = rnd(c, 8) ? rnd(c, 0x400) : a_value(c), .base = an_msr(c),
			.bitmap = world.ram + rnd(c, 4096),
		};
	}
}

static void device(struct call *c)
{
	c->arg->create.type = rnd(c, 8) ? LAMINA_DEV_TYPE_BLK : a_value(c);
	c->arg->create.flags = rnd(c, 8) ? 0 : rnd(c, 3);
}

static void message(struct call *c)
{
	unsigned int i;

	c->arg->message.timeout_ms = rnd(c, 20);
	c->arg->message.len = rnd(c, 16) ? rnd(c, LAMINA_DATA_BYTES + 1) : a_value(c);
	c->arg->message.nr_fds = rnd(c, 16) ? rnd(c, LAMINA_MAX_FDS + 1) : a_value(c);
	for (i = 0; i < LAMINA_MAX_FDS; i++)
		c->arg->message.fds[i] = rnd(c, 8) ? an_event(c) : c->t->vm;
}

static void name(struct call *c)
{
	snprintf(c->arg->name.name, sizeof(c->arg->name.name), "fuzz-%d-%u", rnd(c, 2) ? getpid() : 0, (unsigned int)rnd(c, 3));
	if (!rnd(c, 8))
		spoil(c, sizeof(c->arg->name));
	if (!rnd(c, 4))
		c->arg->name = (struct lamina_name){ .id = rnd(c, 200), .flags = rnd(c, 4) };
}

static void state(struct call *c)
{
	c->arg->state.state = rnd(c, 6);
	strcpy(c->arg->state.reason, "why not");
	if (!rnd(c, 4))
		spoil(c, sizeof(c->arg->state));
}

static void mask(struct call *c)
{
	c->arg->mask.len = rnd(c, 8) ? 8 : a_value(c);
	/* Not SIGUSR1, which wakes: the run would never end. */
	c->arg->mask.sigset[0] = rnd(c, 2) ? 0xf0 : 0;
}

static void interrupt(struct call *c)
{
	c->arg->interrupt.irq = rnd(c, 260);
}

static void level(struct call *c)
{
	c->arg->level.irq = rnd(c, 8) ? rnd(c, 26) : a_value(c);
	c->arg->level.level = rnd(c, 2);
}

static void msi(struct call *c)
{
	c->arg->msi.address_lo = 0xfee00000 | (next_random(&c->random) & 0xfffff);
	c->arg->msi.data = rnd(c, 0x10000);
	c->arg->msi.flags = !rnd(c, 16);
}

static void chip(struct call *c)
{
	c->arg->irqchip.chip_id = rnd(c, 4);
}

static void debug(struct call *c)
{
	fill(c, sizeof(c->arg->debug));
	c->arg->debug.control = rnd(c, 8) | rnd(c, 32) << 16;
}

static void mce(struct call *c)
{
	fill(c, sizeof(c->arg->mce));
	c->arg->mce.bank = rnd(c, 34);
	c->arg->mce.status |= 1ull << 63;
}

static void word(struct call *c)
{
	c->arg->words[0] = a_value(c);
}

static void anything(struct call *c)
{
	fill(c, 512);
}

/* ---- more than an ioctl ---- */

static int take(int *fd, int new)
{
	int old;

	if (new < 0)
		return -1;
	old = __atomic_exchange_n(fd, new, __ATOMIC_RELAXED);
	if (old >= 0)
		close(old);
	return new;
}

static int create_vm(struct call *c)
{
	return take(&c->t->vm, ioctl(world.sys, KVM_CREATE_VM, rnd(c, 16) ? 0 : a_value(c)));
}

static int create_vcpu(struct call *c)
{
	unsigned long id = rnd(c, 16) ? c->n : a_value(c);
	int fd = ioctl(c->t->vm, KVM_CREATE_VCPU, id);
	void *run;

	if (take(&c->t->vcpu[c->n], fd) < 0)
		return -1;
	run = mmap(NULL, world.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* The old one stays mapped, since another thread may be looking at it. */
	if (run != MAP_FAILED)
		__atomic_store_n(&c->t->run[c->n], run, __ATOMIC_RELAXED);
	return fd;
}

/* Into flat 32-bit code, real mode as it is, or anywhere. */
static int start_vcpu(struct call *c)
{
	struct kvm_regs regs = { .rip = 0x1000 + rnd(c, 64) * 64, .rflags = 2 | rnd(c, 2) << 9, .rsp = 0x9000 };
	struct kvm_segment flat = { .limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .g = 1, .db = 1 };
	struct kvm_sregs sregs;
	int fd = c->t->vcpu[c->n];

	regs.rax = a_value(c);
	regs.rcx = rnd(c, 2) ? an_msr(c) : rnd(c, 8);
	regs.rdx = rnd(c, 3) ? 0x80 : a_value(c);
	regs.rdi = an_address(c);
	regs.rsi = an_address(c);
	if (ioctl(fd, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = flat;
	sregs.cs = flat;
	sregs.cs.type = 11;
	sregs.cs.selector = 8;
	sregs.cr0 = (sregs.cr0 & ~(1ull << 31)) | 1;
	if (!rnd(c, 3)) {	/* 64-bit: the tables that world_make() made */
		sregs.cs.db = 0;
		sregs.cs.l = 1;
		sregs.cr3 = 0x10000;
		sregs.cr4 = 0x20;
		sregs.efer = 0x500;
		sregs.cr0 = 0x80000001;
	}
	if (rnd(c, 8))
		ioctl(fd, KVM_SET_SREGS, &sregs);
	return ioctl(fd, KVM_SET_REGS, &regs);
}

static int run_vcpu(struct call *c)
{
	struct kvm_run *run = (void *)c->t->run[c->n];
	unsigned int times = 1 + rnd(c, 12);
	int r = -1;

	while (times--) {
		if (run) {
			run->immediate_exit = !rnd(c, 16);
			run->request_interrupt_window = !rnd(c, 8);
			run->kvm_dirty_regs = rnd(c, 8) ? 0 : a_value(c);
			run->kvm_valid_regs = rnd(c, 8) ? 0 : rnd(c, 9);
			if (!rnd(c, 8))
				run->cr8 = rnd(c, 18);
			if (!rnd(c, 8))
				((uint64_t *)run)[4 + rnd(c, 500)] = a_value(c);
		}
		r = ioctl(c->t->vcpu[c->n], KVM_RUN, rnd(c, 64) ? 0 : a_value(c));
		if (r)
			break;
	}
	return r;
}

static int touch_run(struct call *c)
{
	uint64_t *run = (void *)c->t->run[c->n];

	if (!run)
		return -1;
	run[rnd(c, world.run_size / 8)] = a_value(c);
	return 0;
}

static int map_ring(struct call *c)
{
	void *at = mmap(NULL, RING_BYTES, rnd(c, 8), rnd(c, 8) ? MAP_SHARED : MAP_PRIVATE, c->t->vcpu[c->n],
			KVM_DIRTY_LOG_PAGE_OFFSET * 4096 + (rnd(c, 8) ? 0 : rnd(c, 400) * 4096));
	struct kvm_dirty_gfn *ring = at;
	unsigned int i;

	if (at == MAP_FAILED)
		return -1;
	/* The page may not be there. */
	if (!madvise(at, RING_BYTES, MADV_POPULATE_WRITE)) {
		for (i = 0; i < RING_BYTES / sizeof(*ring); i++) {
			if (ring[i].flags)
				ring[i].flags = rnd(c, 16) ? KVM_DIRTY_GFN_F_RESET : a_value(c);
		}
	}
	return munmap(at, RING_BYTES);
}

static int dirty_log(struct call *c)
{
	struct kvm_dirty_log log = { .slot = rnd(c, 5), .dirty_bitmap = c->arg->room };

	return ioctl(c->t->vm, KVM_GET_DIRTY_LOG, &log);
}

static int clear_log(struct call *c)
{
	struct kvm_clear_dirty_log log = {
		.slot = rnd(c, 5), .first_page = rnd(c, 4) ? rnd(c, 8) * 64 : a_value(c),
		.num_pages = rnd(c, 4) ? 64 + rnd(c, 8) * 64 : a_value(c), .dirty_bitmap = c->arg->room,
	};

	memset(c->arg->room, next_random(&c->random), 4096);
	return ioctl(c->t->vm, KVM_CLEAR_DIRTY_LOG, &log);
}

static int tsc_attr(struct call *c)
{
	static const unsigned long of[] = { KVM_HAS_DEVICE_ATTR, KVM_GET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR };
	struct kvm_device_attr attr = {
		.group = rnd(c, 9) / 8, .attr = rnd(c, 9) / 8, .addr = (uintptr_t)c->arg,
	};

	c->arg->words[0] = a_value(c);
	return ioctl(c->t->vcpu[c->n], of[rnd(c, 3)], &attr);
}

static int create_device(struct call *c)
{
	device(c);
	if (ioctl(c->t->vm, KVM_CREATE_DEVICE, c->arg) || c->arg->create.flags)
		return -1;
	return take(&c->t->device, c->arg->create.fd);
}

/* Mostly an attribute of a disk, with a value that may do. */
static int disk_attr(struct call *c)
{
	static const unsigned long of[] = { KVM_HAS_DEVICE_ATTR, KVM_GET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR };
	struct kvm_device_attr attr = { .attr = 1 + rnd(c, 12), .addr = (uintptr_t)c->arg, .group = !rnd(c, 32) };
	struct lamina_blk_queue queue = {
		.index = rnd(c, 3), .size = 1u << rnd(c, 9), .desc = 0x20000 + rnd(c, 4) * 0x1000,
		.driver = 0x24000 + rnd(c, 4) * 0x1000, .device = 0x28000 + rnd(c, 4) * 0x1000,
	};
	struct lamina_blk_backing backing = { rnd(c, 8) ? world.image : an_event(c), rnd(c, 2) };
	struct lamina_blk_irq irq = {
		.index = rnd(c, 3), .kind = rnd(c, 4), .gsi = rnd(c, 24), .fd = an_event(c), .address_lo = 0xfee00000,
		.data = 0x41,
	};
	struct lamina_blk_doorbell bell = { .index = rnd(c, 3), .addr = rnd(c, 2) ? 0x80 : an_address(c), .flags = rnd(c, 8) };

	word(c);
	switch (attr.attr) {
	case LAMINA_BLK_BACKING:
		memcpy(c->arg, &backing, sizeof(backing));
		break;
	case LAMINA_BLK_FEATURES:
		c->arg->words[0] = 1ull << 32 | rnd(c, 4) << 33 | (next_random(&c->random) & 0x7fff);
		break;
	case LAMINA_BLK_EVENT:
		c->arg->words[0] = an_event(c);
		break;
	case LAMINA_BLK_QUEUE:
		memcpy(c->arg, &queue, sizeof(queue));
		break;
	case LAMINA_BLK_DOORBELL:
		memcpy(c->arg, &bell, sizeof(bell));
		break;
	case LAMINA_BLK_IRQ:
		memcpy(c->arg, &irq, sizeof(irq));
		break;
	case LAMINA_BLK_STATE:
	case LAMINA_BLK_KICK:
		c->arg->words[0] = rnd(c, 3);
		break;
	}
	if (!rnd(c, 8))
		spoil(c, 64);
	return ioctl(c->t->device, of[rnd(c, 4)], &attr);
}

/* From nothing to a disk that runs. */
static int whole_disk(struct call *c)
{
	struct kvm_create_device create = { .type = LAMINA_DEV_TYPE_BLK };
	struct lamina_blk_backing backing = { .fd = world.image };
	struct lamina_blk_queue queue = { .size = 64, .desc = 0x20000, .driver = 0x24000, .device = 0x28000 };
	struct lamina_blk_doorbell bell = { .addr = 0xd0000000 };
	uint64_t features = 1ull << 32;
	uint32_t on = LAMINA_BLK_STATE_RUNNING;
	struct kvm_device_attr attr[] = {
		{ .attr = LAMINA_BLK_BACKING, .addr = (uintptr_t)&backing },
		{ .attr = LAMINA_BLK_FEATURES, .addr = (uintptr_t)&features },
		{ .attr = LAMINA_BLK_QUEUE, .addr = (uintptr_t)&queue },
		{ .attr = LAMINA_BLK_DOORBELL, .addr = (uintptr_t)&bell },
		{ .attr = LAMINA_BLK_STATE, .addr = (uintptr_t)&on },
	};
	unsigned int i;

	if (ioctl(c->t->vm, KVM_CREATE_DEVICE, &create))
		return -1;
	take(&c->t->device, create.fd);
	for (i = 0; i < LENGTH(attr); i++)
		ioctl(create.fd, KVM_SET_DEVICE_ATTR, &attr[i]);
	return 0;
}

/* A ring of requests that are mostly right, then its bell. */
static int disk_requests(struct call *c)
{
	struct { uint64_t addr; uint32_t len; uint16_t flags, next; } d;
	struct kvm_device_attr attr = { .attr = LAMINA_BLK_KICK, .addr = (uintptr_t)c->arg };
	uint16_t *avail = (uint16_t *)(world.ram + 0x24000);
	unsigned int i;

	for (i = 0; i < 64; i++) {
		d.addr = 0x30000 + rnd(c, 64) * 512;
		d.len = i % 3 == 1 ? rnd(c, 5) * 512 : i % 3 ? 1 : 16;
		d.flags = i % 3 < 2 ? 1 | rnd(c, 2) << 1 : 2;
		d.next = i + 1;
		if (!rnd(c, 32)) {
			d.flags = a_value(c);
			d.next = a_value(c);
			d.len = a_value(c);
		}
		memcpy(world.ram + 0x20000 + i * sizeof(d), &d, sizeof(d));
		avail[2 + i] = rnd(c, 22) * 3;
	}
	avail[1] = rnd(c, 2) ? avail[1] + rnd(c, 20) : a_value(c);
	c->arg->words[0] = 0;
	return ioctl(c->t->device, KVM_SET_DEVICE_ATTR, &attr);
}

static int stats(struct call *c)
{
	int fd = ioctl(rnd(c, 2) ? c->t->vm : c->t->vcpu[c->n], KVM_GET_STATS_FD, NULL);

	if (take(&c->t->stats, fd) < 0)
		fd = c->t->stats;
	return pread(fd, c->arg->room, rnd(c, sizeof(*c->arg)), rnd(c, 2) ? 0 : rnd(c, 4096));
}

static int own(struct call *c)
{
	return take(&c->t->owner, ioctl(c->t->vm, LAMINA_OWN, rnd(c, 16) ? 0 : a_value(c)));
}

static int open_name(struct call *c)
{
	name(c);
	return take(&c->t->handle, ioctl(world.sys, LAMINA_OPEN, c->arg));
}

static int answer(struct call *c)
{
	struct pollfd fd = { .fd = c->t->owner, .events = POLLIN };
	unsigned int i;

	if (poll(&fd, 1, 2) <= 0 || !(fd.revents & POLLIN))
		return -1;
	if (read(fd.fd, &c->arg->message, rnd(c, 8) ? sizeof(c->arg->message) : rnd(c, 700)) < (long)sizeof(c->arg->message))
		return -1;
	for (i = 0; i < c->arg->message.nr_fds && i < LAMINA_MAX_FDS; i++)
		close(c->arg->message.fds[i]);
	c->arg->message.nr_fds = 0;
	if (!rnd(c, 8))
		spoil(c, sizeof(c->arg->message));
	return write(fd.fd, &c->arg->message, sizeof(c->arg->message));
}

static int netlink(struct call *c)
{
	int fd = world.netlink, r;

	word(c);
	r = genl_send(fd, rnd(c, 16) ? (uint64_t)world.family : a_value(c), rnd(c, 4) ? NLM_F_DUMP : rnd(c, 0x800),
		      rnd(c, 5), c->arg, rnd(c, 3) * 4);
	while (recv(fd, c->arg, sizeof(*c->arg), MSG_DONTWAIT) > 0)
		;
	return r;
}

static int events(struct call *c)
{
	uint64_t one = 1;
	int fd = world.event[rnd(c, EVENTS)];

	return rnd(c, 2) ? write(fd, &one, 8) : read(fd, &one, 8);
}

/* What the host does with the guest's memory. */
static int madness(struct call *c)
{
	static const int of[] = { MADV_DONTNEED, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_PAGEOUT, MADV_COLD, MADV_MERGEABLE, MADV_UNMERGEABLE };
	uint8_t *at = world.ram + (0x40 + rnd(c, RAM_BYTES / 4096 - 0x40)) * 4096;
	size_t left = world.ram + RAM_BYTES - at, len = rnd(c, left) + 1;

	if (!rnd(c, 4)) {
		mprotect(at, len, PROT_READ);
		return mprotect(at, len, PROT_READ | PROT_WRITE);
	}
	return madvise(at, len, of[rnd(c, LENGTH(of))]);
}

static int close_one(struct call *c)
{
	int *of[] = { &c->t->vm, &c->t->vcpu[c->n], &c->t->device, &c->t->stats, &c->t->owner, &c->t->handle };
	int fd;

	/* Half of the time all goes on. */
	if (rnd(c, 2))
		return 0;
	fd = __atomic_exchange_n(of[rnd(c, LENGTH(of))], -1, __ATOMIC_RELAXED);
	return fd < 0 ? -1 : close(fd);
}

static int wrong_number(struct call *c)
{
	int of[] = { world.sys, c->t->vm, c->t->vcpu[c->n], c->t->device, c->t->handle };

	fill(c, 512);
	return ioctl(of[rnd(c, LENGTH(of))], _IOC(rnd(c, 4), KVMIO, rnd(c, 256), rnd(c, 2) ? rnd(c, 64) : rnd(c, 5000)), c->arg);
}

/* ---- the table ---- */

enum on { SYS, VM, VCPU, HANDLE };

/**
 * struct op - what a step may do
 * @code: an ioctl, on
 * @on: what, with an argument that
 * @fill: makes up; or that
 * @get: gave before, with some of it spoilt; or a number if there is neither
 * @run: or this
 */
struct op {
	const char *name;
	unsigned long code;
	enum on on;
	void (*fill)(struct call *c);
	unsigned long get;
	int (*run)(struct call *c);
};

#define NUMBER(code, on) { #code, code, on }
#define FILL(code, on, fill) { #code, code, on, fill }
#define SET(code, on, fill, get) { #code, code, on, fill, get }
#define DO(fn) { #fn, .run = fn }

static const struct op ops[] = {
	/* What the others need is there more often. */
	DO(create_vm), DO(create_vcpu), DO(create_vcpu), DO(create_vcpu), DO(start_vcpu), DO(start_vcpu), DO(start_vcpu),
	DO(run_vcpu), DO(run_vcpu), DO(run_vcpu), DO(run_vcpu), DO(run_vcpu), DO(run_vcpu), DO(run_vcpu), DO(run_vcpu),
	FILL(KVM_SET_USER_MEMORY_REGION, VM, memory), FILL(KVM_SET_USER_MEMORY_REGION, VM, memory),
	NUMBER(KVM_CREATE_IRQCHIP, VM), NUMBER(KVM_CREATE_IRQCHIP, VM),
	FILL(KVM_SET_CPUID2, VCPU, cpuid), FILL(KVM_SET_CPUID2, VCPU, cpuid),

	NUMBER(KVM_GET_API_VERSION, SYS), NUMBER(KVM_CHECK_EXTENSION, SYS), NUMBER(KVM_GET_VCPU_MMAP_SIZE, SYS),
	FILL(KVM_GET_SUPPORTED_CPUID, SYS, cpuid_room), FILL(KVM_GET_EMULATED_CPUID, SYS, cpuid_room),
	FILL(KVM_GET_MSR_INDEX_LIST, SYS, list), FILL(KVM_GET_MSR_FEATURE_INDEX_LIST, SYS, list),
	FILL(KVM_GET_MSRS, SYS, msrs), FILL(KVM_X86_GET_MCE_CAP_SUPPORTED, SYS, word),
	FILL(LAMINA_SET_NAME, SYS, name),

	FILL(KVM_SET_USER_MEMORY_REGION, VM, region), NUMBER(KVM_RESET_DIRTY_RINGS, VM), NUMBER(KVM_SET_TSS_ADDR, VM),
	FILL(KVM_SET_IDENTITY_MAP_ADDR, VM, word), NUMBER(KVM_SET_BOOT_CPU_ID, VM), FILL(KVM_CREATE_PIT2, VM, anything),
	FILL(KVM_CREATE_PIT2, VM, NULL), FILL(KVM_IRQ_LINE, VM, level), FILL(KVM_IRQ_LINE_STATUS, VM, level),
	FILL(KVM_SET_GSI_ROUTING, VM, routes), FILL(KVM_SIGNAL_MSI, VM, msi), FILL(KVM_IRQFD, VM, irqfd),
	FILL(KVM_IRQFD, VM, irqfd), FILL(KVM_IOEVENTFD, VM, ioeventfd), FILL(KVM_IOEVENTFD, VM, ioeventfd),
	FILL(KVM_REGISTER_COALESCED_MMIO, VM, zone), FILL(KVM_UNREGISTER_COALESCED_MMIO, VM, zone),
	FILL(KVM_GET_IRQCHIP, VM, chip), SET(KVM_SET_IRQCHIP, VM, chip, KVM_GET_IRQCHIP),
	FILL(KVM_GET_PIT2, VM, anything), SET(KVM_SET_PIT2, VM, NULL, KVM_GET_PIT2),
	FILL(KVM_REINJECT_CONTROL, VM, anything), FILL(KVM_GET_CLOCK, VM, anything),
	SET(KVM_SET_CLOCK, VM, NULL, KVM_GET_CLOCK), FILL(KVM_ENABLE_CAP, VM, vm_cap), FILL(KVM_ENABLE_CAP, VM, vm_cap),
	NUMBER(KVM_SET_TSC_KHZ, VM), NUMBER(KVM_GET_TSC_KHZ, VM), NUMBER(KVM_SET_NR_MMU_PAGES, VM),
	NUMBER(KVM_GET_NR_MMU_PAGES, VM), FILL(KVM_X86_SET_MSR_FILTER, VM, filter), FILL(LAMINA_SET_NAME, VM, name),
	FILL(LAMINA_SET_STATE, VM, state), NUMBER(KVM_CHECK_EXTENSION, VM),

	FILL(KVM_GET_REGS, VCPU, NULL), SET(KVM_SET_REGS, VCPU, NULL, KVM_GET_REGS),
	SET(KVM_SET_SREGS, VCPU, NULL, KVM_GET_SREGS), SET(KVM_SET_SREGS, VCPU, NULL, KVM_GET_SREGS),
	SET(KVM_SET_SREGS2, VCPU, NULL, KVM_GET_SREGS2), FILL(KVM_TRANSLATE, VCPU, word),
	SET(KVM_SET_FPU, VCPU, NULL, KVM_GET_FPU), SET(KVM_SET_XSAVE, VCPU, NULL, KVM_GET_XSAVE),
	FILL(KVM_GET_XSAVE2, VCPU, NULL), SET(KVM_SET_XCRS, VCPU, NULL, KVM_GET_XCRS),
	SET(KVM_SET_DEBUGREGS, VCPU, NULL, KVM_GET_DEBUGREGS), FILL(KVM_SET_GUEST_DEBUG, VCPU, debug),
	FILL(KVM_GET_MSRS, VCPU, msrs), FILL(KVM_SET_MSRS, VCPU, msrs), FILL(KVM_SET_MSRS, VCPU, msrs),
	FILL(KVM_SET_CPUID, VCPU, anything), FILL(KVM_GET_CPUID2, VCPU, cpuid_room),
	SET(KVM_SET_LAPIC, VCPU, NULL, KVM_GET_LAPIC), SET(KVM_SET_MP_STATE, VCPU, NULL, KVM_GET_MP_STATE),
	SET(KVM_SET_VCPU_EVENTS, VCPU, NULL, KVM_GET_VCPU_EVENTS), FILL(KVM_INTERRUPT, VCPU, interrupt),
	{ "KVM_NMI", KVM_NMI, VCPU, NULL }, NUMBER(KVM_KVMCLOCK_CTRL, VCPU),
	FILL(KVM_TPR_ACCESS_REPORTING, VCPU, anything), FILL(KVM_SET_VAPIC_ADDR, VCPU, word),
	FILL(KVM_X86_SETUP_MCE, VCPU, word), FILL(KVM_X86_SET_MCE, VCPU, mce), FILL(KVM_SET_SIGNAL_MASK, VCPU, mask),
	NUMBER(KVM_GET_TSC_KHZ, VCPU), NUMBER(KVM_SET_TSC_KHZ, VCPU), FILL(KVM_ENABLE_CAP, VCPU, vm_cap),
	FILL(LAMINA_CALL, HANDLE, message),

	DO(touch_run), DO(map_ring), DO(dirty_log), DO(clear_log), DO(tsc_attr), DO(create_device), DO(disk_attr),
	DO(disk_attr), DO(whole_disk), DO(disk_requests), DO(stats), DO(own), DO(open_name), DO(answer), DO(netlink),
	DO(events), DO(madness), DO(madness), DO(close_one), DO(wrong_number),
};

static int the_fd(const struct call *c, enum on on)
{
	switch (on) {
	case SYS:
		return world.sys;
	case VM:
		return c->t->vm;
	case VCPU:
		return c->t->vcpu[c->n];
	default:
		return c->t->handle;
	}
}

const char *step_name(const struct step *s)
{
	return ops[s->op % LENGTH(ops)].name;
}

/**
 * step_run - carry one step out
 * @s: the step
 *
 * What it answers is of no interest.
 */
void step_run(const struct step *s)
{
	static __thread union arg room;
	const struct op *op = &ops[s->op % LENGTH(ops)];
	struct call c = { .t = &world.t[s->vm % VMS], .n = s->obj % VCPUS, .random = s->seed, .arg = &room };
	void *arg = &room;
	int fd;

	memset(&room, 0, sizeof(room));
	if (op->run) {
		op->run(&c);
		return;
	}
	fd = the_fd(&c, op->on);
	if (op->fill)
		op->fill(&c);
	if (op->get) {
		ioctl(fd, op->get, arg);
		spoil(&c, _IOC_SIZE(op->code));
	}
	if (!op->fill && !op->get && !_IOC_SIZE(op->code))
		arg = (void *)(rnd(&c, 4) ? 0 : a_value(&c));
	else if (!rnd(&c, 64))
		arg = (void *)0x1000;
	ioctl(fd, op->code, arg);
}

/* ---- the start ---- */

/* Bits of code that exit, write, fault and halt, in 64 places of 64 bytes. */
static void make_code(uint64_t *random)
{
	static const char *const bits[] = {
		"\x0f\xa2", "\xe6\x80", "\xe4\x80", "\xee", "\xec", "\xf4", "\x0f\x32", "\x0f\x30", "\x0f\x01\xd9",
		"\x0f\x01\xc1", "\x89\x07", "\x8b\x06", "\xa4", "\xf3\xa4", "\xf3\x6e", "\xf3\x6c", "\xab", "\xfb", "\xfa",
		"\xcc", "\xcd\x20", "\x0f\x20\xc0", "\x0f\x22\xc0", "\x0f\x22\xe0", "\x0f\x22\xd8", "\x0f\x01\x3f", "\x0f\x09",
		"\x0f\x31", "\xf3\x90", "\xf0\x01\x07", "\x0f\xc7\x0f", "\x0f\x23\xf8", "\x0f\x21\xf0", "\xcf", "\x9c\x9d",
		"\x83\xc7\x40", "\x81\xc7\x01\x10\x10\x01", "\x66\x0f\x6f\x07", "\x0f\x05", "\x0f\x0b", "\x0f\x01\x17",
		"\x0f\x00\xd8", "\x8e\xd8", "\x50\x58", "\x31\xd2", "\x0f\x01\xd1", "\x0f\xae\x07", "\x0f\x06", "\xd8\x07",
		"\x87\x07", "\x0f\xb0\x07", "\x0f\xc0\x07", "\x40\x90", "\xb9\x30\x08\x90\x90",
	};
	unsigned int i;

	for (i = 0; i < 64; i++) {
		uint8_t *at = world.ram + 0x1000 + i * 64;
		unsigned int len = 0;

		while (len < 54) {
			const char *bit = bits[next_random(random) % LENGTH(bits)];

			memcpy(at + len, bit, strlen(bit));
			len += strlen(bit);
		}
		at[len] = 0xeb;	/* back to the start */
		at[len + 1] = 0 - len - 2;
	}
}

static void make_tables(void)
{
	uint64_t *pml4 = (uint64_t *)(world.ram + 0x10000), *pdpt = pml4 + 512, *pd = pdpt + 512;
	unsigned int i;

	pml4[0] = 0x11007;
	for (i = 0; i < 4; i++)
		pdpt[i] = (uint64_t)i << 30 | 0x87;
	pdpt[0] = 0x12007;
	for (i = 0; i < 512; i++)
		pd[i] = (uint64_t)i << 21 | 0x87;
}

/**
 * world_make - what a round begins with: memory with code, two VMs, the first one complete
 * @seed: of the code
 */
void world_make(uint64_t seed)
{
	unsigned int i, j;

	world.sys = open("/dev/lamina", O_RDWR | O_CLOEXEC);
	if (world.sys < 0)
		_exit(3);
	world.run_size = ioctl(world.sys, KVM_GET_VCPU_MMAP_SIZE, 0);
	world.ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	world.image = memfd_create("image", MFD_CLOEXEC);
	if (world.ram == MAP_FAILED || ftruncate(world.image, 64 << 10))
		_exit(3);
	for (i = 0; i < EVENTS; i++)
		world.event[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	world.netlink = genl_open();
	world.family = genl_family(world.netlink);
	make_code(&seed);
	make_tables();
	for (i = 0; i < VMS; i++) {
		struct target *t = &world.t[i];
		struct call c = { .t = t, .random = seed + i };

		t->vm = ioctl(world.sys, KVM_CREATE_VM, 0);
		for (j = 0; j < VCPUS; j++)
			t->vcpu[j] = -1;
		t->device = t->stats = t->owner = t->handle = -1;
		if (i && seed & 1)
			continue;
		if (seed & 2)
			ioctl(t->vm, KVM_CREATE_IRQCHIP, 0);
		for (j = 0; j < 2; j++) {
			struct kvm_userspace_memory_region r = {
				.slot = j, .flags = seed >> 2 & 1, .guest_phys_addr = j << 21, .memory_size = RAM_BYTES / 2,
				.userspace_addr = (uintptr_t)world.ram + (j << 21),
			};

			ioctl(t->vm, KVM_SET_USER_MEMORY_REGION, &r);
		}
		create_vcpu(&c);
		start_vcpu(&c);
	}
}
