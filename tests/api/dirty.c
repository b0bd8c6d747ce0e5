// SPDX-License-Identifier: GPL-2.0-only
/* The dirty log: its ioctls with right and wrong arguments, and what they say of a guest's writes. */
#include "api.h"
#include <linux/lamina.h>

#define DATA_GPA	0x40000		/* slot 1; pages from here on are the guest's data */
#define DATA_PAGES	100		/* no multiple of 64 */
#define WORDS		2

static uint8_t *data;
static uint64_t bits[WORDS];

static int enable(uint32_t c, uint64_t arg)
{
	struct kvm_enable_cap ec = { .cap = c, .args = { arg } };

	return ioctl(e.vm, KVM_ENABLE_CAP, &ec);
}

static void *mem(size_t n)
{
	return mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int log_slot(uint32_t flags)
{
	return slot(1, flags, DATA_GPA, DATA_PAGES << 12, data);
}

static int get(void)
{
	struct kvm_dirty_log d = { .slot = 1, .dirty_bitmap = bits };

	memset(bits, 0xa5, sizeof(bits));
	return ioctl(e.vm, KVM_GET_DIRTY_LOG, &d);
}

static int clear(uint64_t first, uint32_t num, void *p)
{
	struct kvm_clear_dirty_log c = { .slot = 1, .first_page = first, .num_pages = num, .dirty_bitmap = p };

	return ioctl(e.vm, KVM_CLEAR_DIRTY_LOG, &c);
}

/* mov %bx, %ds; mov %al, 0; out %al, $0x10; jmp back */
static const char write_page[] = "\x8e\xdb\xa2\x00\x00\xe6\x10\xeb\xf7";

static void guest(void)
{
	make_vm();
	data = mem(DATA_PAGES << 12);
	e.ram = mem(DATA_GPA);
	OK(slot(0, 0, 0, DATA_GPA, e.ram));
}

static void start(void)
{
	make_vcpu();
	code(0x1000, write_page, sizeof(write_page) - 1);
	real_mode(e.vcpu, 0x1000);
}

/* The guest writes @val to the first byte of data page @page. */
static void touch(unsigned int page, uint8_t val)
{
	struct kvm_regs r;

	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	r.rbx = (DATA_GPA >> 4) + (page << 8);
	r.rax = val;
	OK(ioctl(e.vcpu, KVM_SET_REGS, &r));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.port, 0x10);
	IS(data[page << 12], val);
}

static void clear_args(void)
{
	uint64_t all[WORDS] = { ~0ull, ~0ull };
	struct kvm_clear_dirty_log c = { .slot = 40000, .dirty_bitmap = all };

	guest();
	IS(cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2), 3);
	ERR(enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 4), EINVAL);
	ERR(enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_INITIALLY_SET), EINVAL);
	ERR(clear(0, 64, all), ENOENT);			/* no such slot */
	OK(log_slot(0));
	ERR(clear(0, 64, all), ENOENT);			/* keeps no log */
	OK(log_slot(KVM_MEM_LOG_DIRTY_PAGES));
	ERR(ioctl(e.vm, KVM_CLEAR_DIRTY_LOG, &c), EINVAL);
	c.slot = 0x10001;				/* another address space */
	ERR2(ioctl(e.vm, KVM_CLEAR_DIRTY_LOG, &c), EINVAL, ENOENT);
	ERR(ioctl(e.vm, KVM_CLEAR_DIRTY_LOG, BAD_PTR), EFAULT);
	ERR(clear(1, 63, all), EINVAL);			/* not aligned */
	ERR(clear(32, 64, all), EINVAL);
	ERR(clear(0, 63, all), EINVAL);			/* ends within a word that goes on */
	ERR(clear(0, 99, all), EINVAL);
	ERR(clear(0, 101, all), EINVAL);		/* longer than the slot */
	ERR(clear(0, 128, all), EINVAL);
	ERR(clear(64, 37, all), EINVAL);
	ERR(clear(64, 64, all), EINVAL);
	ERR(clear(128, 0, all), EINVAL);		/* begins beyond it */
	ERR(clear(~63ull, 64, all), EINVAL);		/* wraps */
	ERR(clear(~63ull, 164, all), EINVAL);
	ERR(clear(1ull << 63, 0, all), EINVAL);
	ERR(clear(0, 64, BAD_PTR), EFAULT);
	OK(clear(0, 100, all));
	OK(clear(0, 64, all));
	OK(clear(64, 36, all));
	OK(clear(64, 0, BAD_PTR));			/* nothing to read */
	OK(get());
	IS(bits[0] | bits[1], 0);
}

/* Without the capability GET takes the bits; CLEAR can be used all the same. */
static void clear_plain(void)
{
	uint64_t mask[WORDS] = { 1ull << 5 };

	guest();
	OK(log_slot(KVM_MEM_LOG_DIRTY_PAGES));
	start();
	touch(5, 1);
	touch(7, 1);
	OK(clear(0, 64, mask));
	OK(get());
	IS(bits[0], 1ull << 7);
	touch(5, 2);
	touch(7, 2);
	touch(99, 2);
	OK(get());
	IS(bits[0], 1ull << 5 | 1ull << 7);
	IS(bits[1], 1ull << 35);
	OK(get());
	IS(bits[0] | bits[1], 0);
}

static void manual(void)
{
	uint64_t mask[WORDS] = { 0 }, all[WORDS] = { ~0ull, ~0ull };

	guest();
	OK(enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE));
	OK(log_slot(KVM_MEM_LOG_DIRTY_PAGES));
	start();
	OK(get());
	IS(bits[0] | bits[1], 0);
	touch(3, 1);
	touch(70, 1);
	OK(get());
	IS(bits[0], 1ull << 3);
	IS(bits[1], 1ull << 6);
	OK(get());						/* it takes nothing */
	IS(bits[0], 1ull << 3);
	IS(bits[1], 1ull << 6);
	mask[0] = 1ull << 6;					/* what page 70 has in the second word */
	OK(clear(64, 36, mask));
	OK(get());
	IS(bits[0], 1ull << 3);
	IS(bits[1], 0);
	touch(3, 2);
	touch(70, 2);
	OK(get());
	IS(bits[0], 1ull << 3);
	IS(bits[1], 1ull << 6);
	/* bits beyond the slot and of clean pages do no harm */
	OK(clear(0, 100, all));
	OK(get());
	IS(bits[0] | bits[1], 0);
	touch(3, 3);
	touch(99, 3);
	OK(get());
	IS(bits[0], 1ull << 3);
	IS(bits[1], 1ull << 35);
	/* off and on again: a new log */
	OK(log_slot(0));
	OK(log_slot(KVM_MEM_LOG_DIRTY_PAGES));
	OK(get());
	IS(bits[0] | bits[1], 0);
}

static void initially_set(void)
{
	uint64_t all[WORDS] = { ~0ull, ~0ull };

	guest();
	OK(log_slot(0));
	start();
	touch(1, 1);
	touch(65, 1);
	OK(enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET));
	OK(log_slot(KVM_MEM_LOG_DIRTY_PAGES));
	OK(get());
	IS(bits[0], ~0ull);
	IS(bits[1], (1ull << 36) - 1);
	OK(clear(0, 64, all));
	OK(get());
	IS(bits[0], 0);
	IS(bits[1], (1ull << 36) - 1);
	touch(1, 2);						/* its leaf was writable all the time */
	OK(get());
	IS(bits[0], 2);
	OK(clear(64, 36, all));
	touch(65, 2);
	OK(get());
	IS(bits[0], 2);
	IS(bits[1], 2);
	/* a slot that begins with a log */
	OK(slot(1, 0, 0, 0, NULL));
	OK(log_slot(KVM_MEM_LOG_DIRTY_PAGES));
	OK(get());
	IS(bits[0], ~0ull);
	IS(bits[1], (1ull << 36) - 1);
}

/* A large page that is there before the log begins full: its first clean page splits it. */
static void initially_set_large(void)
{
	const uint64_t big = 2ul << 20;
	struct kvm_dirty_log d = { .slot = 1 };
	uint64_t map[8], one[8] = { 2 };
	struct kvm_clear_dirty_log c = { .slot = 1, .num_pages = 512, .dirty_bitmap = one };
	uint8_t *p = mem(2 * big);
	struct kvm_sregs s;

	guest();
	p = (uint8_t *)(((uintptr_t)p + big - 1) & ~(big - 1));
	madvise(p, big, MADV_HUGEPAGE);
	memset(p, 0, big);
	data = p;
	OK(slot(1, 0, 4 * big, big, p));
	start();
	OK(ioctl(e.vcpu, KVM_GET_SREGS, &s));
	s.ds.base = 4 * big;
	OK(ioctl(e.vcpu, KVM_SET_SREGS, &s));
	/* movb $1, 0x1000; out; movb $2, 0x2000; out; movb $3, 0x1000; out */
	code(0x1000, "\xc6\x06\x00\x10\x01\xe6\x10\xc6\x06\x00\x20\x02\xe6\x10\xc6\x06\x00\x10\x03\xe6\x10", 21);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	OK(enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET));
	OK(slot(1, KVM_MEM_LOG_DIRTY_PAGES, 4 * big, big, p));
	OK(ioctl(e.vm, KVM_CLEAR_DIRTY_LOG, &c));
	d.dirty_bitmap = map;
	OK(ioctl(e.vm, KVM_GET_DIRTY_LOG, &d));
	IS(map[0], ~2ull);
	IS(map[7], ~0ull);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	OK(ioctl(e.vm, KVM_GET_DIRTY_LOG, &d));
	IS(map[0], ~2ull);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	OK(ioctl(e.vm, KVM_GET_DIRTY_LOG, &d));
	IS(map[0], ~0ull);
	IS(p[0x1000], 3);
}

/* ---- the ring ---- */

#define RING_BYTES	0x4000u
#define RING_ENTRIES	(RING_BYTES / sizeof(struct kvm_dirty_gfn))
#define RING_OFFSET	(KVM_DIRTY_LOG_PAGE_OFFSET * 4096l)

static struct kvm_dirty_gfn *ring;

static void ring_guest(void)
{
	guest();
	OK(enable(KVM_CAP_DIRTY_LOG_RING, RING_BYTES));
	OK(log_slot(KVM_MEM_LOG_DIRTY_PAGES));
	start();
	ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, e.vcpu, RING_OFFSET);
	TRUE(ring != MAP_FAILED);
}

static void entry(unsigned int i, uint32_t page)
{
	IS(ring[i].flags, KVM_DIRTY_GFN_F_DIRTY);
	IS(ring[i].slot, 1);
	IS(ring[i].offset, page);
}

static void ring_args(void)
{
	struct kvm_create_device cd = { 0 };
	uint64_t all[WORDS] = { 0 };
	int fd[2];

	guest();
	IS(cap(KVM_CAP_DIRTY_LOG_RING), 1 << 20);
	IS(cap(KVM_CAP_DIRTY_LOG_RING_ACQ_REL), 1 << 20);
	ERR(ioctl(e.vm, KVM_RESET_DIRTY_RINGS, 0), EINVAL);
	ERR(enable(KVM_CAP_DIRTY_LOG_RING, 0), EINVAL);
	ERR(enable(KVM_CAP_DIRTY_LOG_RING, 2048), EINVAL);
	ERR(enable(KVM_CAP_DIRTY_LOG_RING, RING_BYTES + 4096), EINVAL);
	ERR(enable(KVM_CAP_DIRTY_LOG_RING, 2 << 20), E2BIG);
	if (!strcmp(device, "/dev/lamina")) {
		ERR(enable(KVM_CAP_DIRTY_LOG_RING, 1ull << 32 | RING_BYTES), EINVAL);
		cd.type = LAMINA_DEV_TYPE_BLK;
		OK(ioctl(e.vm, KVM_CREATE_DEVICE, &cd));
		ERR(enable(KVM_CAP_DIRTY_LOG_RING, RING_BYTES), EBUSY);
		close(cd.fd);
	}
	OK(enable(KVM_CAP_DIRTY_LOG_RING_ACQ_REL, RING_BYTES));
	ERR(enable(KVM_CAP_DIRTY_LOG_RING, RING_BYTES), EINVAL);	/* once */
	IS(ioctl(e.vm, KVM_RESET_DIRTY_RINGS, 0), 0);
	OK(log_slot(KVM_MEM_LOG_DIRTY_PAGES));
	ERR(get(), ENXIO);
	ERR(clear(0, 100, all), ENXIO);
	if (!strcmp(device, "/dev/lamina"))
		ERR(ioctl(e.vm, KVM_CREATE_DEVICE, &cd), EBUSY);
	start();
	TRUE(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, e.vcpu, RING_OFFSET) == MAP_FAILED);
	TRUE(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, e.vcpu, RING_OFFSET) == MAP_FAILED);
	ring = mmap(NULL, 4096, PROT_READ, MAP_SHARED, e.vcpu, RING_OFFSET + RING_BYTES);
	OK(pipe(fd));
	TRUE(ring == MAP_FAILED || (write(fd[1], ring, 1) < 0 && errno == EFAULT));
	/* too late */
	make_vm();
	make_vcpu();
	ERR(enable(KVM_CAP_DIRTY_LOG_RING, RING_BYTES), EINVAL);
}

static void ring_basic(void)
{
	ring_guest();
	IS(ring[0].flags, 0);
	touch(3, 1);
	touch(70, 1);
	touch(3, 2);		/* known already */
	entry(0, 3);
	entry(1, 70);
	IS(ring[2].flags, 0);
	IS(ioctl(e.vm, KVM_RESET_DIRTY_RINGS, 0), 0);	/* not harvested */
	ring[0].flags |= KVM_DIRTY_GFN_F_RESET;
	IS(ioctl(e.vm, KVM_RESET_DIRTY_RINGS, 0), 1);
	IS(ring[0].flags, 0);
	touch(70, 2);
	IS(ring[2].flags, 0);
	touch(3, 3);
	entry(2, 3);
	/* in order only: the entry behind one that is not harvested stays */
	ring[2].flags = KVM_DIRTY_GFN_F_RESET;
	IS(ioctl(e.vm, KVM_RESET_DIRTY_RINGS, 0), 0);
	ring[1].flags = KVM_DIRTY_GFN_F_RESET;
	IS(ioctl(e.vm, KVM_RESET_DIRTY_RINGS, 0), 2);
	touch(70, 3);
	entry(3, 70);
	/* a log that ends and begins anew, and a slot that is gone when its entry is reset */
	OK(log_slot(0));
	touch(5, 1);
	IS(ring[4].flags, 0);
	OK(log_slot(KVM_MEM_LOG_DIRTY_PAGES));
	touch(5, 2);
	entry(4, 5);
	OK(slot(1, 0, 0, 0, NULL));
	ring[3].flags = ring[4].flags = KVM_DIRTY_GFN_F_RESET;
	IS(ioctl(e.vm, KVM_RESET_DIRTY_RINGS, 0), 2);
}

/* The guest writes to one page after the other, through DS, until the ring is full. */
static unsigned int until_full(uint64_t gpa, unsigned int first)
{
	struct kvm_sregs s;
	unsigned int i;

	for (i = first; i < first + 2 * RING_ENTRIES; i++) {
		OK(ioctl(e.vcpu, KVM_GET_SREGS, &s));
		s.ds.base = gpa + 4096ull * i;
		OK(ioctl(e.vcpu, KVM_SET_SREGS, &s));
		OK(ioctl(e.vcpu, KVM_RUN, 0));
		if (e.run->exit_reason != KVM_EXIT_IO)
			break;
	}
	IS(e.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
	return i;
}

static unsigned int harvest(unsigned int *at, uint8_t *seen)
{
	struct kvm_dirty_gfn *d;
	unsigned int n = 0;

	for (;; n++, (*at)++) {
		d = &ring[*at % RING_ENTRIES];
		if (!(__atomic_load_n(&d->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
			return n;
		IS(d->slot, 2);
		TRUE(d->offset < 4096);
		if (d->offset < 4096)
			seen[d->offset]++;
		d->flags = KVM_DIRTY_GFN_F_RESET;
	}
}

static void ring_full(void)
{
	uint8_t *p = mem(16 << 20), seen[4096] = { 0 };
	unsigned int i, n, at = 0, page = 0;

	ring_guest();
	OK(slot(2, KVM_MEM_LOG_DIRTY_PAGES, 16 << 20, 16 << 20, p));
	code(0x1000, "\xa2\x00\x00\xe6\x10\xeb\xf9", 7);
	real_mode(e.vcpu, 0x1000);
	for (i = 0; i < 3; i++) {
		n = until_full(16 << 20, page);
		TRUE(n > page && n - page < RING_ENTRIES);
		OK(ioctl(e.vcpu, KVM_RUN, 0));			/* still full */
		IS(e.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
		page = n;
		n = harvest(&at, seen);
		IS(ioctl(e.vm, KVM_RESET_DIRTY_RINGS, 0), n);
	}
	/*
	 * What was written is there, and nothing else; a page whose write waited for the reset may
	 * be there before it, too.
	 */
	for (i = 0; i < 4096; i++)
		if (i != page)
			TRUE(i < page ? seen[i] == 1 || seen[i] == 2 : !seen[i]);
}

/* What user space writes into the ring does no harm to the kernel, nor stops the guest for good. */
static void ring_garbage(void)
{
	unsigned int i, n;

	ring_guest();
	for (n = 0; n < 3; n++) {
		for (i = 0; i < 10; i++)
			touch(i, n);
		for (i = 0; i < RING_ENTRIES; i++) {
			ring[i].flags = ~0u;
			ring[i].slot = n == 0 ? ~0u : n == 1 ? 1 : 0;
			ring[i].offset = n == 0 ? i : ~0ull >> i % 64;
		}
		OK(i = ioctl(e.vm, KVM_RESET_DIRTY_RINGS, 0));
		if (!strcmp(device, "/dev/lamina"))
			IS(i, n ? 0 : 10);		/* later ones are in the bitmap still */
	}
	touch(50, 1);
}

const struct test dirty_tests[] = {
	{ "clear-args", clear_args }, { "clear-plain", clear_plain }, { "dirty-manual", manual },
	{ "dirty-initially-set", initially_set }, { "dirty-initially-set-large", initially_set_large },
	{ "dirty-ring-args", ring_args }, { "dirty-ring", ring_basic }, { "dirty-ring-full", ring_full },
	{ "dirty-ring-garbage", ring_garbage },
	{ NULL, NULL },
};
