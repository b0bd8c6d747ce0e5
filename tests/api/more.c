// SPDX-License-Identifier: GPL-2.0-only
/* What clients ask for beyond the basics: registers in the shared page, MSR exits, counters. */
#include "api.h"
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>

static void full(void)
{
	make_vm();
	make_chips();
	make_ram();
	make_vcpu();
}

static int enable(int fd, uint32_t c, uint64_t arg)
{
	struct kvm_enable_cap e = { .cap = c, .args = { arg } };

	return ioctl(fd, KVM_ENABLE_CAP, &e);
}

static void need_cap(int c)
{
	if (cap(c) <= 0)
		skip("not there");
}

static void sync_regs(void)
{
	struct kvm_sync_regs *s;
	struct kvm_regs r;

	full();
	need_cap(KVM_CAP_SYNC_REGS);
	IS(cap(KVM_CAP_SYNC_REGS), KVM_SYNC_X86_VALID_FIELDS);
	s = &e.run->s.regs;
	code(0x1000, "\xe6\x10\xe6\x11\xe6\x12", 6);	/* out %al, $0x10; ... */
	real_mode(e.vcpu, 0x1000);
	e.run->kvm_valid_regs = 1 << 8;
	ERR(ioctl(e.vcpu, KVM_RUN, 0), EINVAL);
	e.run->kvm_valid_regs = 0;
	e.run->kvm_dirty_regs = 1 << 8;
	ERR(ioctl(e.vcpu, KVM_RUN, 0), EINVAL);
	e.run->kvm_dirty_regs = 0;
	e.run->kvm_valid_regs = KVM_SYNC_X86_VALID_FIELDS;
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x10);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	IS(memcmp(&r, &s->regs, sizeof(r)), 0);
	IS(s->sregs.cs.base, 0);
	IS(s->events.nmi.pending, 0);
	/* what is marked is taken, what is not is not */
	s->regs.rax = 0x77;
	s->sregs.cr2 = 0x1234;
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(((uint8_t *)e.run)[e.run->io.data_offset], 0);
	s->regs.rax = 0x78;
	e.run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x12);
	IS(((uint8_t *)e.run)[e.run->io.data_offset], 0x78);
	IS(e.run->kvm_dirty_regs, 0);
	/* a bad value is refused as by its ioctl */
	s->sregs.cr4 = 1ull << 40;
	e.run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	ERR(ioctl(e.vcpu, KVM_RUN, 0), EINVAL);
}

static void sregs2(void)
{
	struct kvm_sregs2 a, b;
	struct kvm_sregs old;

	full();
	need_cap(KVM_CAP_SREGS2);
	OK(ioctl(e.vcpu, KVM_GET_SREGS2, &a));
	OK(ioctl(e.vcpu, KVM_GET_SREGS, &old));
	IS(memcmp(&a, &old, offsetof(struct kvm_sregs2, flags)), 0);
	IS(a.flags, 0);
	a.cr2 = 0x4242;
	OK(ioctl(e.vcpu, KVM_SET_SREGS2, &a));
	OK(ioctl(e.vcpu, KVM_GET_SREGS2, &b));
	IS(b.cr2, 0x4242);
	a.flags = 2;
	ERR(ioctl(e.vcpu, KVM_SET_SREGS2, &a), EINVAL);
	a.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;	/* without PAE */
	ERR(ioctl(e.vcpu, KVM_SET_SREGS2, &a), EINVAL);
	ERR(ioctl(e.vcpu, KVM_SET_SREGS2, BAD_PTR), EFAULT);
	ERR(ioctl(e.vcpu, KVM_GET_SREGS2, BAD_PTR), EFAULT);
}

static void translate(void)
{
	struct kvm_translation t = { .linear_address = 0x5678 };
	uint32_t *pd = (uint32_t *)(e.ram + 0x2000);
	struct kvm_sregs s;

	full();
	OK(ioctl(e.vcpu, KVM_TRANSLATE, &t));
	IS(t.valid, 1);
	IS(t.physical_address, 0x5678);
	/* one page of 4 MiB at 0x800000, and nothing else */
	pd = (uint32_t *)(e.ram + 0x2000);
	pd[2] = 0x83;
	OK(ioctl(e.vcpu, KVM_GET_SREGS, &s));
	s.cr3 = 0x2000;
	s.cr4 |= 0x10;
	s.cr0 = 0x80000011;
	OK(ioctl(e.vcpu, KVM_SET_SREGS, &s));
	t.linear_address = 0x812345;
	OK(ioctl(e.vcpu, KVM_TRANSLATE, &t));
	IS(t.valid, 1);
	IS(t.physical_address, 0x12345);
	t.linear_address = 0x5678;
	OK(ioctl(e.vcpu, KVM_TRANSLATE, &t));
	IS(t.valid, 0);
	ERR(ioctl(e.vcpu, KVM_TRANSLATE, BAD_PTR), EFAULT);
}

static void xsave2(void)
{
	static struct kvm_xsave a[4], b[4];

	full();
	need_cap(KVM_CAP_XSAVE2);
	IS(cap(KVM_CAP_XSAVE2), sizeof(struct kvm_xsave));
	OK(ioctl(e.vcpu, KVM_GET_XSAVE2, a));
	OK(ioctl(e.vcpu, KVM_GET_XSAVE, b));
	IS(memcmp(a, b, 4096), 0);
	IS(a[1].region[0], 0);		/* nothing behind what was promised */
	ERR(ioctl(e.vcpu, KVM_GET_XSAVE2, BAD_PTR), EFAULT);
}

/* Reads the picture of @fd and answers the value with this name, or -1. */
static int64_t stat_value(int fd, const char *id, const char *name)
{
	struct kvm_stats_header *h;
	static char buf[65536];
	ssize_t n = pread(fd, buf, sizeof(buf), 0);
	size_t size, i;

	h = (struct kvm_stats_header *)buf;
	TRUE(n > (ssize_t)sizeof(*h));
	TRUE(strstr(buf + h->id_offset, id) != NULL);
	size = sizeof(struct kvm_stats_desc) + h->name_size;
	IS(n, h->data_offset + h->num_desc * 8);
	for (i = 0; i < h->num_desc; i++) {
		struct kvm_stats_desc *d = (void *)(buf + h->desc_offset + i * size);

		if (!strcmp(d->name, name))
			return *(int64_t *)(buf + h->data_offset + d->offset);
	}
	return -1;
}

static void stats_fd(void)
{
	int vm, vcpu;
	char c;

	full();
	need_cap(KVM_CAP_BINARY_STATS_FD);
	OK(vm = ioctl(e.vm, KVM_GET_STATS_FD, NULL));
	OK(vcpu = ioctl(e.vcpu, KVM_GET_STATS_FD, NULL));
	if (!strcmp(device, "/dev/lamina")) {
		IS(stat_value(vm, "kvm-", "vcpus"), 1);
		IS(stat_value(vm, "kvm-", "memory_bytes"), 1 << 20);
		IS(stat_value(vcpu, "/vcpu-0", "user_exits"), 0);
	}
	code(0x1000, "\xe6\x10", 2);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	if (!strcmp(device, "/dev/lamina")) {
		IS(stat_value(vcpu, "/vcpu-0", "user_exits"), 1);
		IS(stat_value(vcpu, "/vcpu-0", "io"), 1);
		IS(stat_value(vcpu, "/vcpu-0", "halts"), 0);
	}
	IS(pread(vcpu, &c, 1, 1 << 20), 0);
	ERR(write(vcpu, &c, 1), EBADF);
	/* they outlive their objects */
	munmap(e.run, e.run_size);
	close(e.vcpu);
	close(e.vm);
	IS(pread(vm, &c, 1, 0), 1);
	IS(pread(vcpu, &c, 1, 0), 1);
	close(vcpu);
	close(vm);
}

/* Real-mode code that accesses MSR @n, then says what came: #GP is port 0x13. */
static void msr_code(uint32_t n, bool write)
{
	static const char rd[] = "\x66\xb9....\x0f\x32\xe6\x10\xe6\x11";
	static const char wr[] = "\x66\xb9....\x0f\x30\xe6\x10\xe6\x11";

	code(0x1000, write ? wr : rd, 12);
	memcpy(e.ram + 0x1002, &n, 4);
	*(uint32_t *)(e.ram + 13 * 4) = 0x1100;		/* vector of #GP */
	code(0x1100, "\xe6\x13", 2);
	real_mode(e.vcpu, 0x1000);
}

#define NO_MSR 0x474f4f00

static void msr_exits(void)
{
	struct kvm_regs r;

	full();
	need_cap(KVM_CAP_X86_USER_SPACE_MSR);
	ERR(enable(e.vm, KVM_CAP_X86_USER_SPACE_MSR, 1 << 20), EINVAL);
	/* not asked for: #GP as on any CPU */
	msr_code(NO_MSR, false);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.port, 0x13);
	OK(enable(e.vm, KVM_CAP_X86_USER_SPACE_MSR,
		  KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL));
	msr_code(NO_MSR, false);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_X86_RDMSR);
	IS(e.run->msr.index, NO_MSR);
	IS(e.run->msr.reason, KVM_MSR_EXIT_REASON_UNKNOWN);
	e.run->msr.data = 0x1122334455667788;
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x10);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	IS(r.rax, 0x55667788);
	IS(r.rdx, 0x11223344);
	/* with immediate_exit the answer is taken, and no more */
	msr_code(NO_MSR, true);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_X86_WRMSR);
	e.run->immediate_exit = 1;
	ERR(ioctl(e.vcpu, KVM_RUN, 0), EINTR);
	e.run->immediate_exit = 0;
	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	IS(r.rip, 0x1008);
	/* an error is #GP, once */
	msr_code(NO_MSR, true);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_X86_WRMSR);
	e.run->msr.error = 1;
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.port, 0x13);
	/* a known MSR with an impossible value: PAT with type 2 */
	msr_code(0x277, true);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	r.rax = 2;
	OK(ioctl(e.vcpu, KVM_SET_REGS, &r));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_X86_WRMSR);
	IS(e.run->msr.reason, KVM_MSR_EXIT_REASON_INVAL);
	IS(e.run->msr.data, 2);
}

static void msr_filter(void)
{
	static uint64_t none, all = ~0ull;
	struct kvm_msr_filter f = { 0 };

	full();
	need_cap(KVM_CAP_X86_MSR_FILTER);
	f.flags = 1 << 5;
	ERR(ioctl(e.vm, KVM_X86_SET_MSR_FILTER, &f), EINVAL);
	f.flags = KVM_MSR_FILTER_DEFAULT_DENY;		/* and no exception */
	ERR(ioctl(e.vm, KVM_X86_SET_MSR_FILTER, &f), EINVAL);
	f.flags = KVM_MSR_FILTER_DEFAULT_ALLOW;
	f.ranges[0] = (struct kvm_msr_filter_range) { .flags = 8, .nmsrs = 1, .base = 0x277,
						      .bitmap = (uint8_t *)&none };
	ERR(ioctl(e.vm, KVM_X86_SET_MSR_FILTER, &f), EINVAL);
	f.ranges[0].flags = KVM_MSR_FILTER_READ;
	f.ranges[0].nmsrs = 1 << 20;
	ERR(ioctl(e.vm, KVM_X86_SET_MSR_FILTER, &f), EINVAL);
	f.ranges[0].nmsrs = 1;
	f.ranges[0].bitmap = BAD_PTR;
	ERR(ioctl(e.vm, KVM_X86_SET_MSR_FILTER, &f), EFAULT);
	ERR(ioctl(e.vm, KVM_X86_SET_MSR_FILTER, BAD_PTR), EFAULT);

	/* PAT may be read no more, FS_BASE, for which the CPU needs no exit, not written */
	f.ranges[0].bitmap = (uint8_t *)&none;
	f.ranges[1] = (struct kvm_msr_filter_range) { .flags = KVM_MSR_FILTER_WRITE, .nmsrs = 1,
						      .base = 0xc0000100, .bitmap = (uint8_t *)&none };
	OK(ioctl(e.vm, KVM_X86_SET_MSR_FILTER, &f));
	msr_code(0x277, false);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x13);
	msr_code(0xc0000100, true);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x13);
	msr_code(0xc0000100, false);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x10);
	/* user space can be asked */
	OK(enable(e.vm, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER));
	msr_code(0xc0000100, true);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_X86_WRMSR);
	IS(e.run->msr.reason, KVM_MSR_EXIT_REASON_FILTER);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x10);
	/* refuse all but one */
	f.flags = KVM_MSR_FILTER_DEFAULT_DENY;
	f.ranges[0].bitmap = (uint8_t *)&all;
	f.ranges[1].nmsrs = 0;
	OK(ioctl(e.vm, KVM_X86_SET_MSR_FILTER, &f));
	OK(enable(e.vm, KVM_CAP_X86_USER_SPACE_MSR, 0));
	msr_code(0x277, false);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x10);
	msr_code(0x174, false);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x13);
	/* and lift it */
	memset(&f, 0, sizeof(f));
	OK(ioctl(e.vm, KVM_X86_SET_MSR_FILTER, &f));
	msr_code(0x174, true);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x10);
}

static void tsc_offset(void)
{
	struct kvm_device_attr a = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET };
	struct { struct kvm_msrs h; struct kvm_msr_entry e; } m = { .h.nmsrs = 1, .e.index = 0x10 };
	uint64_t offset = 0, first;

	full();
	need_cap(KVM_CAP_VCPU_ATTRIBUTES);
	a.addr = (uintptr_t)&offset;
	OK(ioctl(e.vcpu, KVM_HAS_DEVICE_ATTR, &a));
	OK(ioctl(e.vcpu, KVM_GET_DEVICE_ATTR, &a));
	IS(ioctl(e.vcpu, KVM_GET_MSRS, &m), 1);
	first = m.e.data;
	offset += 1ull << 50;
	OK(ioctl(e.vcpu, KVM_SET_DEVICE_ATTR, &a));
	IS(ioctl(e.vcpu, KVM_GET_MSRS, &m), 1);
	TRUE(m.e.data - first >= 1ull << 50 && m.e.data - first < 1ull << 51);
	a.addr = 8;
	ERR(ioctl(e.vcpu, KVM_SET_DEVICE_ATTR, &a), EFAULT);
	ERR(ioctl(e.vcpu, KVM_GET_DEVICE_ATTR, &a), EFAULT);
	a.attr = 99;
	ERR(ioctl(e.vcpu, KVM_HAS_DEVICE_ATTR, &a), ENXIO);
	ERR(ioctl(e.vcpu, KVM_GET_DEVICE_ATTR, &a), ENXIO);
	ERR(ioctl(e.vcpu, KVM_SET_DEVICE_ATTR, &a), ENXIO);
}

static void cpuid_old(void)
{
	struct { struct kvm_cpuid h; struct kvm_cpuid_entry e[2]; } c = { .h.nent = 2 };
	struct { struct kvm_cpuid2 h; struct kvm_cpuid_entry2 e[4]; } d = { .h.nent = 4 };

	full();
	c.e[0] = (struct kvm_cpuid_entry) { .function = 0, .eax = 1, .ebx = 0x68747541 };
	c.e[1] = (struct kvm_cpuid_entry) { .function = 1, .eax = 0x12345 };
	OK(ioctl(e.vcpu, KVM_SET_CPUID, &c));
	OK(ioctl(e.vcpu, KVM_GET_CPUID2, &d));
	IS(d.e[0].ebx, 0x68747541);
	IS(d.e[1].eax, 0x12345);
	IS(d.e[1].index, 0);
	c.h.nent = 100000;
	ERR(ioctl(e.vcpu, KVM_SET_CPUID, &c), E2BIG);
	ERR(ioctl(e.vcpu, KVM_SET_CPUID, BAD_PTR), EFAULT);
}

/* A vCPU that has run stays the CPU that it was. */
static void cpuid_after_run(void)
{
	struct { struct kvm_cpuid2 h; struct kvm_cpuid_entry2 e[256]; } c = { .h.nent = 256 };

	full();
	code(0x1000, "\xe6\x10\xe6\x11", 4);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_GET_CPUID2, &c));
	OK(ioctl(e.vcpu, KVM_SET_CPUID2, &c));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	OK(ioctl(e.vcpu, KVM_SET_CPUID2, &c));		/* nothing new */
	c.e[0].ebx ^= 1;
	ERR(ioctl(e.vcpu, KVM_SET_CPUID2, &c), EINVAL);
	c.e[0].ebx ^= 1;
	c.h.nent--;
	ERR(ioctl(e.vcpu, KVM_SET_CPUID2, &c), EINVAL);
}

static void emulated_cpuid(void)
{
	struct { struct kvm_cpuid2 h; struct kvm_cpuid_entry2 e[256]; } c = { .h.nent = 256 };

	make_vm();
	need_cap(KVM_CAP_EXT_EMUL_CPUID);
	OK(ioctl(e.sys, KVM_GET_EMULATED_CPUID, &c));
	TRUE(c.h.nent < 256);
	c.h.nent = 0;
	ERR(ioctl(e.sys, KVM_GET_EMULATED_CPUID, &c), E2BIG);
	ERR(ioctl(e.sys, KVM_GET_EMULATED_CPUID, BAD_PTR), EFAULT);
}

static void vm_numbers(void)
{
	make_vm();
	ERR(ioctl(e.vm, KVM_SET_NR_MMU_PAGES, 19), EINVAL);
	OK(ioctl(e.vm, KVM_SET_NR_MMU_PAGES, 64));
	IS(ioctl(e.vm, KVM_GET_NR_MMU_PAGES, 0), 64);
	ERR(enable(e.vm, KVM_CAP_MAX_VCPU_ID, cap(KVM_CAP_MAX_VCPU_ID) + 1), EINVAL);
	OK(enable(e.vm, KVM_CAP_MAX_VCPU_ID, 2));
	ERR(enable(e.vm, KVM_CAP_MAX_VCPU_ID, 3), EINVAL);
	ERR(ioctl(e.vm, KVM_CREATE_VCPU, 2), EINVAL);
	OK(ioctl(e.vm, KVM_CREATE_VCPU, 1));
}

static void platform_info(void)
{
	full();
	msr_code(0xce, false);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x10);
	ERR(enable(e.vm, KVM_CAP_MSR_PLATFORM_INFO, 1 << 30), EINVAL);
	OK(enable(e.vm, KVM_CAP_MSR_PLATFORM_INFO, 0));
	msr_code(0xce, false);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x13);
}

static void enforce_pv(void)
{
	struct { struct kvm_cpuid2 h; struct kvm_cpuid_entry2 e[1]; } c = { .h.nent = 1 };

	full();
	OK(ioctl(e.vcpu, KVM_SET_CPUID2, &c));
	msr_code(0x4b564d03, false);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x10);
	OK(enable(e.vcpu, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1));
	msr_code(0x4b564d03, false);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x13);
	msr_code(0x4b564d03, true);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.port, 0x13);
}

/* REP INS asks for many at once, but only for RAM, upwards and within a page. */
static void string_in(void)
{
	uint8_t *data;
	struct kvm_regs r;

	full();
	data = (uint8_t *)e.run;
	code(0x1000, "\xf3\x6d\xf4", 3);	/* rep insw; hlt */
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	r.rdx = 0x80;
	r.rdi = 0x3ffa;
	r.rcx = 5;
	OK(ioctl(e.vcpu, KVM_SET_REGS, &r));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.count, 3);
	IS(e.run->io.size, 2);
	memcpy(data + e.run->io.data_offset, "123456", 6);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(memcmp(e.ram + 0x3ffa, "123456", 6), 0);
	IS(e.run->io.count, 2);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	IS(r.rcx, 2);
	IS(r.rdi, 0x4000);
	/* user space takes one back: the other is dropped */
	r.rcx = 1;
	OK(ioctl(e.vcpu, KVM_SET_REGS, &r));
	memcpy(data + e.run->io.data_offset, "abcd", 4);
	e.run->immediate_exit = 1;
	ERR(ioctl(e.vcpu, KVM_RUN, 0), EINTR);
	e.run->immediate_exit = 0;
	IS(memcmp(e.ram + 0x4000, "ab\0\0", 4), 0);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	IS(r.rip, 0x1002);
	/* downwards: one by one */
	r.rip = 0x1000;
	r.rcx = 2;
	r.rflags |= 0x400;
	OK(ioctl(e.vcpu, KVM_SET_REGS, &r));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.count, 1);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* A guest that halts in the CPU leaves it for a signal alone, and goes on with an NMI. */
static void disable_exits(void)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval t = { .it_value.tv_usec = 300000 };
	int bits;

	make_vm();
	make_ram();
	bits = cap(KVM_CAP_X86_DISABLE_EXITS);
	if (bits <= 0)
		skip("not there");
	IS(bits & ~KVM_X86_DISABLE_VALID_EXITS, 0);
	ERR(enable(e.vm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_VALID_EXITS + 1), EINVAL);
	if (!(bits & KVM_X86_DISABLE_EXITS_MWAIT))
		ERR(enable(e.vm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_MWAIT), EINVAL);
	OK(enable(e.vm, KVM_CAP_X86_DISABLE_EXITS, bits));
	make_vcpu();
	ERR(enable(e.vm, KVM_CAP_X86_DISABLE_EXITS, bits), EINVAL);
	((uint32_t *)e.ram)[2] = 0x2000;
	/* with interrupts on: Bochs takes none of the host's otherwise */
	code(0x1000, "\xfb\xf4\xeb\xfc", 4);	/* sti; hlt; jmp . - 2 */
	code(0x2000, "\xe6\x10\xfb\xf4\xeb\xfc", 6);	/* out %al, $0x10; sti; hlt; jmp . - 2 */
	real_mode(e.vcpu, 0x1000);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
	ERR(ioctl(e.vcpu, KVM_RUN, 0), EINTR);
	IS(e.run->exit_reason, KVM_EXIT_INTR);
	OK(ioctl(e.vcpu, KVM_NMI, 0));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.port, 0x10);
	/* another RIP ends the halt */
	setitimer(ITIMER_REAL, &t, NULL);
	ERR(ioctl(e.vcpu, KVM_RUN, 0), EINTR);
	real_mode(e.vcpu, 0x2000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
}

const struct test more_tests[] = {
	{ "sync-regs", sync_regs }, { "sregs2", sregs2 }, { "translate", translate },
	{ "xsave2", xsave2 }, { "stats-fd", stats_fd }, { "msr-exits", msr_exits },
	{ "msr-filter", msr_filter }, { "tsc-offset", tsc_offset }, { "cpuid-old", cpuid_old },
	{ "cpuid-after-run", cpuid_after_run }, { "emulated-cpuid", emulated_cpuid },
	{ "vm-numbers", vm_numbers }, { "platform-info", platform_info },
	{ "enforce-pv", enforce_pv }, { "string-in", string_in },
	{ "disable-exits", disable_exits },
	{ NULL, NULL },
};
