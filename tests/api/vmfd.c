// SPDX-License-Identifier: GPL-2.0-only
/* ioctls of the VM: memory slots, vCPU creation, addresses, clock. */
#include "api.h"

static void *mem(size_t n)
{
	return mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void slots_bad(void)
{
	uint8_t *p = mem(1 << 20);
	struct kvm_userspace_memory_region m;

	make_vm();
	ERR(slot(0, 0, 0x800, 0x1000, p), EINVAL);		/* address not aligned */
	ERR(slot(0, 0, 0, 0x800, p), EINVAL);			/* size not aligned */
	ERR(slot(0, 0, 0, 0x1000, p + 1), EINVAL);		/* host address not aligned */
	ERR(slot(0, 4, 0, 0x1000, p), EINVAL);			/* unknown flag */
	ERR(slot(0, 0x80000000, 0, 0x1000, p), EINVAL);
	ERR(slot(100000, 0, 0, 0x1000, p), EINVAL);		/* no such slot number */
	ERR(slot(0x7fffffff, 0, 0, 0x1000, p), EINVAL);
	ERR(slot(0x50000, 0, 0, 0x1000, p), EINVAL);		/* no such address space */
	ERR(slot(0, 0, ~0xfffull, 0x2000, p), EINVAL);		/* wraps */
	ERR(slot(0, 0, 0, 0, p), EINVAL);			/* deletes what is not there */
	ERR(slot(0, 0, 0, 0x1000, (void *)0xffff800000000000), EINVAL);	/* kernel address */
	ERR(ioctl(e.vm, KVM_SET_USER_MEMORY_REGION, BAD_PTR), EFAULT);
	/* too big: more pages than a slot may have */
	ERR(slot(0, 0, 0, 0x8000000000000000ull, p), EINVAL);
	memset(&m, 0, sizeof(m));
	/* nothing of that left a slot: the whole is free */
	OK(slot(0, 0, 0, 1 << 20, p));
}

static void slots_overlap(void)
{
	uint8_t *p = mem(1 << 20);

	make_vm();
	OK(slot(0, 0, 0x10000, 0x10000, p));
	ERR(slot(1, 0, 0x10000, 0x10000, p), EEXIST);
	ERR(slot(1, 0, 0x1f000, 0x10000, p), EEXIST);
	ERR(slot(1, 0, 0x8000, 0x9000, p), EEXIST);
	ERR(slot(1, 0, 0, 0x100000, p), EEXIST);
	OK(slot(1, 0, 0x20000, 0x10000, p));
	OK(slot(2, 0, 0, 0x10000, p));
	/* moving onto another is refused, and the old place stays */
	ERR(slot(1, 0, 0x10000, 0x10000, p), EEXIST);
	ERR(slot(3, 0, 0x20000, 0x1000, p), EEXIST);
	OK(slot(1, 0, 0x30000, 0x10000, p));
	OK(slot(3, 0, 0x20000, 0x1000, p));
	/* size and host address are fixed */
	ERR(slot(1, 0, 0x30000, 0x8000, p), EINVAL);
	ERR(slot(1, 0, 0x30000, 0x20000, p), EINVAL);
	ERR(slot(1, 0, 0x30000, 0x10000, p + 0x1000), EINVAL);
	/* read only cannot be switched */
	ERR(slot(1, KVM_MEM_READONLY, 0x30000, 0x10000, p), EINVAL);
	/* the log can */
	OK(slot(1, KVM_MEM_LOG_DIRTY_PAGES, 0x30000, 0x10000, p));
	OK(slot(1, 0, 0x30000, 0x10000, p));
	OK(slot(1, 0, 0x30000, 0x10000, p));	/* no change at all */
	OK(slot(1, 0, 0, 0, NULL));
	ERR(slot(1, 0, 0, 0, NULL), EINVAL);
	OK(slot(5, KVM_MEM_READONLY, 0x30000, 0x10000, p));
}

static void slots_many(void)
{
	int n, i, max;
	uint8_t *p = mem(1 << 20);

	make_vm();
	max = cap(KVM_CAP_NR_MEMSLOTS);
	n = max < 2000 ? max : 2000;
	for (i = 0; i < n; i++)
		OK(slot(i, 0, 0x100000ull + i * 0x2000ull, 0x1000, p));
	ERR(slot(max, 0, 0x1000, 0x1000, p), EINVAL);
	for (i = 0; i < n; i += 2)
		OK(slot(i, 0, 0, 0, NULL));
	for (i = 0; i < n; i += 2)
		OK(slot(i, 0, 0x100000ull + i * 0x2000ull, 0x1000, p));
	/* high addresses */
	OK(slot(0, 0, 0, 0, NULL));
	OK(slot(0, 0, 1ull << 36, 0x1000, p));
}

static void dirty_log(void)
{
	uint64_t bits[4] = { ~0ull, ~0ull, ~0ull, ~0ull };
	struct kvm_dirty_log d = { .slot = 0, .dirty_bitmap = bits };
	uint8_t *p = mem(1 << 20);

	make_vm();
	ERR(ioctl(e.vm, KVM_GET_DIRTY_LOG, &d), ENOENT);
	OK(slot(0, 0, 0, 1 << 20, p));
	ERR(ioctl(e.vm, KVM_GET_DIRTY_LOG, &d), ENOENT);	/* the log is off */
	OK(slot(0, KVM_MEM_LOG_DIRTY_PAGES, 0, 1 << 20, p));
	OK(ioctl(e.vm, KVM_GET_DIRTY_LOG, &d));
	IS(bits[0] | bits[1] | bits[2] | bits[3], 0);
	d.slot = 40000;
	ERR(ioctl(e.vm, KVM_GET_DIRTY_LOG, &d), EINVAL);
	d.slot = 0;
	d.dirty_bitmap = BAD_PTR;
	ERR(ioctl(e.vm, KVM_GET_DIRTY_LOG, &d), EFAULT);
	ERR(ioctl(e.vm, KVM_GET_DIRTY_LOG, BAD_PTR), EFAULT);
}

static void addresses(void)
{
	uint64_t id = 0xfffbc000;

	make_vm();
	/* on AMD the TSS address is taken and not used */
	OK(ioctl(e.vm, KVM_SET_TSS_ADDR, 0xfffbd000));
	OK(ioctl(e.vm, KVM_SET_IDENTITY_MAP_ADDR, &id));
	ERR(ioctl(e.vm, KVM_SET_IDENTITY_MAP_ADDR, BAD_PTR), EFAULT);
	ERR2(ioctl(e.vm, KVM_SET_TSS_ADDR, 0xfffffffffffff000ul), EINVAL, EFAULT);
	make_vcpu();
	ERR(ioctl(e.vm, KVM_SET_IDENTITY_MAP_ADDR, &id), EINVAL);	/* too late */
}

static void create_vcpu(void)
{
	int a;

	make_vm();
	make_ram();
	ERR(ioctl(e.vm, KVM_CREATE_VCPU, 1 << 20), EINVAL);
	ERR(ioctl(e.vm, KVM_CREATE_VCPU, -1), EINVAL);
	OK(a = ioctl(e.vm, KVM_CREATE_VCPU, 0));
	ERR(ioctl(e.vm, KVM_CREATE_VCPU, 0), EEXIST);
	OK(ioctl(e.vm, KVM_CREATE_VCPU, 3));
	IS(fcntl(a, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	/* the chips come before the vCPUs */
	ERR(ioctl(e.vm, KVM_CREATE_IRQCHIP, 0), EINVAL);
}

static void mmap_vcpu(void)
{
	long size;

	make_vm();
	make_vcpu();
	size = e.run_size;
	/* beyond the end: no mapping, or one that cannot be touched */
	{
		void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, e.vcpu, size);
		int fd[2];

		if (p != MAP_FAILED) {
			OK(pipe(fd));
			ERR(write(fd[1], p, 1), EFAULT);
		}
	}
	/* KVM's vCPU shares its page between mappings */
	{
		struct kvm_run *r = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, e.vcpu, 0);

		TRUE(r != MAP_FAILED);
		r->immediate_exit = 1;
		IS(e.run->immediate_exit, 1);
		r->immediate_exit = 0;
	}
	TRUE(mmap(NULL, 4096, PROT_READ, MAP_SHARED, e.vm, 0) == MAP_FAILED);
	TRUE(mmap(NULL, 4096, PROT_READ, MAP_SHARED, e.sys, 0) == MAP_FAILED);
}

static void clocks(void)
{
	struct kvm_clock_data c = { 0 }, d;

	make_vm();
	OK(ioctl(e.vm, KVM_GET_CLOCK, &c));
	memset(&d, 0, sizeof(d));
	d.clock = 1000000000000ull;
	OK(ioctl(e.vm, KVM_SET_CLOCK, &d));
	OK(ioctl(e.vm, KVM_GET_CLOCK, &c));
	TRUE(c.clock >= 1000000000000ull);
	TRUE(c.clock < 1005000000000ull);
	d.flags = 0x80000000;
	ERR(ioctl(e.vm, KVM_SET_CLOCK, &d), EINVAL);
	ERR(ioctl(e.vm, KVM_SET_CLOCK, BAD_PTR), EFAULT);
	ERR(ioctl(e.vm, KVM_GET_CLOCK, BAD_PTR), EFAULT);
	OK(ioctl(e.vm, KVM_GET_CLOCK, &c));
	TRUE(c.clock < 1010000000000ull);	/* the refused call changed nothing */
}

static int enable(int fd, uint32_t c, uint32_t flags, uint64_t arg)
{
	struct kvm_enable_cap ec = { .cap = c, .flags = flags, .args = { arg } };

	return ioctl(fd, KVM_ENABLE_CAP, &ec);
}

static void enable_cap(void)
{
	make_vm();
	make_vcpu();
	ERR(ioctl(e.vm, KVM_ENABLE_CAP, BAD_PTR), EFAULT);
	ERR(ioctl(e.vcpu, KVM_ENABLE_CAP, BAD_PTR), EFAULT);
	ERR(enable(e.vm, 99999, 0, 0), EINVAL);
	ERR(enable(e.vcpu, 99999, 0, 0), EINVAL);
	/* there, but nothing to enable; of the other descriptor */
	ERR(enable(e.vm, KVM_CAP_IRQCHIP, 0, 0), EINVAL);
	ERR(enable(e.vcpu, KVM_CAP_X2APIC_API, 0, 0), EINVAL);
	ERR(enable(e.vm, KVM_CAP_X2APIC_API, 1, 0), EINVAL);
	ERR(enable(e.vm, KVM_CAP_X2APIC_API, 0, 4), EINVAL);
	IS(cap(KVM_CAP_X2APIC_API), KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	OK(enable(e.vm, KVM_CAP_X2APIC_API, 0, cap(KVM_CAP_X2APIC_API)));
	ERR(enable(e.vm, KVM_CAP_DISABLE_QUIRKS2, 0, 1ull << 40), EINVAL);
	OK(enable(e.vm, KVM_CAP_DISABLE_QUIRKS2, 0, cap(KVM_CAP_DISABLE_QUIRKS2)));
	OK(enable(e.vm, KVM_CAP_DISABLE_QUIRKS, 0, 1ull << 40));
}

static uint32_t lint0(uint64_t quirks_off)
{
	struct kvm_lapic_state s;

	make_vm();
	OK(enable(e.vm, KVM_CAP_DISABLE_QUIRKS2, 0, quirks_off));
	make_chips();
	make_vcpu();
	OK(ioctl(e.vcpu, KVM_GET_LAPIC, &s));
	return *(uint32_t *)(s.regs + 0x350);
}

static void quirk_lint0(void)
{
	IS(lint0(0), 0x700);
	IS(lint0(KVM_X86_QUIRK_LINT0_REENABLED), 0x10000);
}

/* In which vCPUs' IRR a message to id 255 is; both are in xAPIC or in x2APIC mode. */
static unsigned int broadcast(uint64_t flags, bool x2apic)
{
	struct kvm_msi m = { .address_lo = 0xfeeff000, .data = 0x4055 };
	unsigned int i, got = 0;
	int vcpu[2];

	make_vm();
	OK(enable(e.vm, KVM_CAP_X2APIC_API, 0, flags));
	make_chips();
	for (i = 0; i < 2; i++) {
		struct { struct kvm_msrs h; struct kvm_msr_entry e; } base = {
			.h.nmsrs = 1,
			.e = { .index = 0x1b,
			       .data = 0xfee00800 | (i ? 0 : 0x100) | (x2apic ? 0x400 : 0) },
		};
		struct kvm_lapic_state s;

		OK(vcpu[i] = ioctl(e.vm, KVM_CREATE_VCPU, i));
		set_cpuid(vcpu[i]);
		IS(ioctl(vcpu[i], KVM_SET_MSRS, &base), 1);
		OK(ioctl(vcpu[i], KVM_GET_LAPIC, &s));
		*(uint32_t *)(s.regs + 0xf0) = 0x1ff;
		OK(ioctl(vcpu[i], KVM_SET_LAPIC, &s));
	}
	OK(ioctl(e.vm, KVM_SIGNAL_MSI, &m));
	for (i = 0; i < 2; i++) {
		struct kvm_lapic_state s;

		OK(ioctl(vcpu[i], KVM_GET_LAPIC, &s));
		if (*(uint32_t *)(s.regs + 0x220) & 1 << 21)
			got |= 1 << i;
	}
	return got;
}

static void x2apic_broadcast(void)
{
	const uint64_t ids = KVM_X2APIC_API_USE_32BIT_IDS;
	const uint64_t off = KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;

	IS(broadcast(0, true), 3);
	IS(broadcast(ids, true), 3);
	IS(broadcast(off, true), 0);
	IS(broadcast(ids | off, true), 0);
	IS(broadcast(off, false), 3);
	IS(broadcast(ids | off, false), 3);
}

const struct test vm_tests[] = {
	{ "slots-bad", slots_bad }, { "slots-overlap", slots_overlap }, { "slots-many", slots_many },
	{ "dirty-log", dirty_log }, { "addresses", addresses }, { "create-vcpu", create_vcpu },
	{ "mmap-vcpu", mmap_vcpu }, { "clock", clocks }, { "enable-cap", enable_cap },
	{ "quirk-lint0", quirk_lint0 }, { "x2apic-broadcast", x2apic_broadcast },
	{ NULL, NULL },
};
