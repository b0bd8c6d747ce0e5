// SPDX-License-Identifier: GPL-2.0-only
/* The dirty log: its ioctls with right and wrong arguments, and what they say of a guest's writes. */
#include "api.h"

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

const struct test dirty_tests[] = {
	{ "clear-args", clear_args }, { "clear-plain", clear_plain }, { "dirty-manual", manual },
	{ "dirty-initially-set", initially_set }, { "dirty-initially-set-large", initially_set_large },
	{ NULL, NULL },
};
