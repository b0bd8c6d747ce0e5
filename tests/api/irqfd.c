// SPDX-License-Identifier: GPL-2.0-only
/* Interrupt controllers and what is attached by file descriptors. */
#include "api.h"
#include <glob.h>
#include <poll.h>
#include <sys/eventfd.h>

static void chips(void)
{
	struct kvm_irqchip c = { .chip_id = 0 }, d;
	struct kvm_pit_state2 p, q;
	struct kvm_pit_config pit = { 0 };

	make_vm();
	ERR2(ioctl(e.vm, KVM_GET_IRQCHIP, &c), ENXIO, EINVAL);
	ERR(ioctl(e.vm, KVM_GET_PIT2, &p), ENXIO);
	OK(ioctl(e.vm, KVM_CREATE_IRQCHIP, 0));
	ERR(ioctl(e.vm, KVM_CREATE_IRQCHIP, 0), EEXIST);
	OK(ioctl(e.vm, KVM_CREATE_PIT2, &pit));
	ERR(ioctl(e.vm, KVM_CREATE_PIT2, &pit), EEXIST);
	OK(ioctl(e.vm, KVM_GET_IRQCHIP, &c));
	c.chip.pic.imr = 0xa5;
	c.chip.pic.irq_base = 0x20;
	OK(ioctl(e.vm, KVM_SET_IRQCHIP, &c));
	memset(&d, 0, sizeof(d));
	OK(ioctl(e.vm, KVM_GET_IRQCHIP, &d));
	IS(d.chip.pic.imr, 0xa5);
	IS(d.chip.pic.irq_base, 0x20);
	c.chip_id = 2;
	OK(ioctl(e.vm, KVM_GET_IRQCHIP, &c));
	IS(c.chip.ioapic.redirtbl[5].fields.mask, 1);
	c.chip.ioapic.redirtbl[5].bits = 0x0100000000010055;
	OK(ioctl(e.vm, KVM_SET_IRQCHIP, &c));
	d.chip_id = 2;
	OK(ioctl(e.vm, KVM_GET_IRQCHIP, &d));
	IS(d.chip.ioapic.redirtbl[5].bits, 0x0100000000010055);
	c.chip_id = 3;
	ERR(ioctl(e.vm, KVM_GET_IRQCHIP, &c), EINVAL);
	ERR(ioctl(e.vm, KVM_SET_IRQCHIP, &c), EINVAL);
	OK(ioctl(e.vm, KVM_GET_PIT2, &p));
	p.channels[0].mode = 2;
	p.channels[0].count = 0x1234;
	OK(ioctl(e.vm, KVM_SET_PIT2, &p));
	OK(ioctl(e.vm, KVM_GET_PIT2, &q));
	IS(q.channels[0].mode, 2);
	IS(q.channels[0].count, 0x1234);
	ERR(ioctl(e.vm, KVM_SET_PIT2, BAD_PTR), EFAULT);
	ERR(ioctl(e.vm, KVM_SET_IRQCHIP, BAD_PTR), EFAULT);
}

static void irq_line(void)
{
	struct kvm_irq_level l = { .irq = 5, .level = 1 };

	make_vm();
	ERR2(ioctl(e.vm, KVM_IRQ_LINE, &l), ENXIO, EINVAL);
	make_chips();
	OK(ioctl(e.vm, KVM_IRQ_LINE, &l));
	l.level = 0;
	OK(ioctl(e.vm, KVM_IRQ_LINE, &l));
	OK(ioctl(e.vm, KVM_IRQ_LINE_STATUS, &l));
	ERR(ioctl(e.vm, KVM_IRQ_LINE, BAD_PTR), EFAULT);
	l.irq = 100000;			/* no such line: no crash, whatever the answer */
	ioctl(e.vm, KVM_IRQ_LINE, &l);
}

static int route(uint32_t n, uint32_t flags, struct kvm_irq_routing_entry *entries)
{
	struct kvm_irq_routing *r = calloc(1, sizeof(*r) + (n ? n : 1) * sizeof(*entries));
	int ret;

	r->nr = n;
	r->flags = flags;
	if (entries && n < 5000)
		memcpy(r->entries, entries, n * sizeof(*entries));
	ret = ioctl(e.vm, KVM_SET_GSI_ROUTING, r);
	free(r);
	return ret;
}

static void routing(void)
{
	struct kvm_irq_routing_entry r[3] = {
		{ .gsi = 4, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { 2, 4 } },
		{ .gsi = 4, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { 0, 4 } },
		{ .gsi = 30, .type = KVM_IRQ_ROUTING_MSI, .u.msi = { .address_lo = 0xfee00000, .data = 0x4055 } },
	};
	int max;

	make_vm();
	max = cap(KVM_CAP_IRQ_ROUTING);
	TRUE(max >= 1024);
	make_chips();
	OK(route(3, 0, r));
	OK(route(0, 0, NULL));
	ERR(route(3, 1, r), EINVAL);			/* flags */
	ERR(route(max + 1, 0, NULL), EINVAL);
	r[0].type = 77;
	ERR(route(3, 0, r), EINVAL);
	r[0].type = KVM_IRQ_ROUTING_IRQCHIP;
	r[0].u.irqchip.pin = 24;
	ERR(route(3, 0, r), EINVAL);
	r[0].u.irqchip.pin = 4;
	r[0].u.irqchip.irqchip = 3;
	ERR(route(3, 0, r), EINVAL);
	r[0].u.irqchip.irqchip = 2;
	r[0].gsi = max;
	ERR(route(3, 0, r), EINVAL);
	r[0].gsi = 4;
	r[0].flags = 0x80;
	ERR(route(3, 0, r), EINVAL);
	r[0].flags = 0;
	/* two routes of one GSI to the same chip */
	r[1].u.irqchip.irqchip = 2;
	ERR(route(3, 0, r), EINVAL);
	r[1].u.irqchip.irqchip = 0;
	OK(route(3, 0, r));
}

static void irqfd(void)
{
	struct kvm_irqfd f = { .gsi = 5 };
	int ev;
	int p[2];

	make_vm();
	OK(ev = eventfd(0, EFD_CLOEXEC));
	f.fd = ev;
	ERR2(ioctl(e.vm, KVM_IRQFD, &f), EINVAL, ENODEV);	/* no chip yet */
	make_chips();
	f.fd = 9999;
	ERR(ioctl(e.vm, KVM_IRQFD, &f), EBADF);
	OK(pipe(p));
	f.fd = p[0];
	ERR(ioctl(e.vm, KVM_IRQFD, &f), EINVAL);
	f.fd = ev;
	f.flags = 0x80;
	ERR(ioctl(e.vm, KVM_IRQFD, &f), EINVAL);
	f.flags = 0;
	OK(ioctl(e.vm, KVM_IRQFD, &f));
	ERR(ioctl(e.vm, KVM_IRQFD, &f), EBUSY);		/* the same eventfd twice */
	f.flags = KVM_IRQFD_FLAG_DEASSIGN;
	OK(ioctl(e.vm, KVM_IRQFD, &f));
	OK(ioctl(e.vm, KVM_IRQFD, &f));				/* gone already: no error */
	f.flags = 0;
	OK(ioctl(e.vm, KVM_IRQFD, &f));
	/* resample needs a second descriptor */
	f.flags = KVM_IRQFD_FLAG_RESAMPLE;
	f.resamplefd = 9999;
	ERR(ioctl(e.vm, KVM_IRQFD, &f), EBADF);
	ERR(ioctl(e.vm, KVM_IRQFD, BAD_PTR), EFAULT);
}

static void irqfd_delivers(void)
{
	struct kvm_irq_routing_entry r = {
		.gsi = 30, .type = KVM_IRQ_ROUTING_MSI, .u.msi = { .address_lo = 0xfee00000, .data = 0x4020 },
	};
	struct kvm_irqfd f = { .gsi = 30 };
	struct kvm_lapic_state l;
	uint64_t one = 1;
	int i;

	make_vm();
	make_chips();
	make_ram();
	make_vcpu();
	OK(route(1, 0, &r));
	OK(f.fd = eventfd(0, EFD_CLOEXEC));
	OK(ioctl(e.vm, KVM_IRQFD, &f));
	OK(ioctl(e.vcpu, KVM_GET_LAPIC, &l));
	*(uint32_t *)(l.regs + 0xf0) = 0x1ff;
	OK(ioctl(e.vcpu, KVM_SET_LAPIC, &l));
	*(uint32_t *)(e.ram + 0x20 * 4) = 0x1100;
	code(0x1100, "\xe6\x55\xf4", 3);		/* out %al, $0x55 */
	/*
	 * push %ax; pop %ax; mov 0, %al; sti; hlt; jmp: the stack and the vectors are
	 * mapped before the delivery, in which Bochs may lose the interrupt otherwise
	 */
	code(0x1000, "\x50\x58\xa0\x00\x00\xfb\xf4\xeb\xfd", 9);
	for (i = 0; i < 3; i++) {
		real_mode(e.vcpu, 0x1000);
		IS(write(f.fd, &one, 8), 8);
		OK(ioctl(e.vcpu, KVM_RUN, 0));
		IS(e.run->exit_reason, KVM_EXIT_IO);
		IS(e.run->io.port, 0x55);
		/* acknowledged: forget it, as the guest makes no EOI */
		OK(ioctl(e.vcpu, KVM_GET_LAPIC, &l));
		IS(*(uint32_t *)(l.regs + 0x110) & 1, 1);
		memset(l.regs + 0x100, 0, 0x80);
		OK(ioctl(e.vcpu, KVM_SET_LAPIC, &l));
	}
}

static int ioev(int fd, uint32_t flags, uint64_t addr, uint32_t len, uint64_t match)
{
	struct kvm_ioeventfd v = { .fd = fd, .flags = flags, .addr = addr, .len = len, .datamatch = match };

	return ioctl(e.vm, KVM_IOEVENTFD, &v);
}

static uint64_t taken(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n = 0;

	if (poll(&p, 1, 0) == 1 && read(fd, &n, 8) != 8)
		return ~0ull;
	return n;
}

static void ioeventfd(void)
{
	int a, b, p[2];

	make_vm();
	make_chips();
	make_ram();
	make_vcpu();
	OK(a = eventfd(0, EFD_CLOEXEC));
	OK(b = eventfd(0, EFD_CLOEXEC));
	OK(pipe(p));
	ERR(ioev(9999, KVM_IOEVENTFD_FLAG_PIO, 0x100, 1, 0), EBADF);
	ERR(ioev(p[0], KVM_IOEVENTFD_FLAG_PIO, 0x100, 1, 0), EINVAL);
	ERR(ioev(a, 0x80, 0x100, 1, 0), EINVAL);
	ERR(ioev(a, KVM_IOEVENTFD_FLAG_PIO, 0x100, 3, 0), EINVAL);
	ERR(ioev(a, KVM_IOEVENTFD_FLAG_PIO, 0x100, 16, 0), EINVAL);
	ERR(ioev(a, 0, ~0ull, 2, 0), EINVAL);			/* wraps */
	ERR(ioev(a, KVM_IOEVENTFD_FLAG_DATAMATCH, 0x100, 0, 0), EINVAL);
	OK(ioev(a, KVM_IOEVENTFD_FLAG_PIO, 0x100, 1, 0));
	ERR(ioev(b, KVM_IOEVENTFD_FLAG_PIO, 0x100, 1, 0), EEXIST);
	ERR(ioev(b, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN, 0x100, 1, 0), ENOENT);
	OK(ioev(a, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN, 0x100, 1, 0));
	ERR(ioev(a, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN, 0x100, 1, 0), ENOENT);
	/* two values of one port, each its own; a third goes to user space */
	OK(ioev(a, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH, 0x100, 1, 1));
	OK(ioev(b, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH, 0x100, 1, 2));
	/* mov $0x100, %dx; mov $1..3, %al; out each; out with 16 bits */
	code(0x1000, "\xba\x00\x01\xb0\x01\xee\xee\xb0\x02\xee\xb0\x03\xee\xb8\x01\x00\xef\xf4", 18);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(((uint8_t *)e.run)[e.run->io.data_offset], 3);
	IS(taken(a), 2);
	IS(taken(b), 1);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);		/* the width must match */
	IS(e.run->io.size, 2);
	IS(taken(a), 0);
	/* memory: mov %al, 0xffff:0x10 = 1 MiB, where nothing is */
	OK(ioev(a, 0, 0x100000, 1, 0));
	code(0x1200, "\xb8\xff\xff\x8e\xd8\xa2\x10\x00\xa2\x11\x00", 11);
	real_mode(e.vcpu, 0x1200);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_MMIO);		/* the one beside it */
	IS(e.run->mmio.phys_addr, 0x100001);
	IS(e.run->mmio.is_write, 1);
	IS(taken(a), 1);
}

/* A line of what debugfs says of vCPU 0 of this process's newest VM, or -1. */
static long long debugfs_counter(const char *name)
{
	char path[64], word[32];
	long long v, found = -1;
	glob_t g;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/debug/lamina/%d-*/vcpu0", getpid());
	if (glob(path, 0, NULL, &g))
		return -1;
	f = fopen(g.gl_pathv[g.gl_pathc - 1], "r");
	while (f && fscanf(f, "%31s %lli\n", word, &v) == 2)
		if (!strcmp(word, name))
			found = v;
	if (f)
		fclose(f);
	globfree(&g);
	return found;
}

/* Stores to doorbells of any width may go without a look at the instruction. */
static bool fast_doorbells(void)
{
	char c = 'Y';
	int fd = open("/sys/module/lamina/parameters/vmx_no_fast_doorbell", O_RDONLY);

	if (fd >= 0 && read(fd, &c, 1) != 1)
		c = 'Y';
	close(fd);
	return c == 'N' && __builtin_cpu_is("intel");
}

/* Doorbells of any width: each way of ringing them, again and again from one place. */
static void ioeventfd_any(void)
{
	static const char loop[] =
		"\xb8\xff\xff\x8e\xd8"		/* mov $0xffff, %ax; mov %ax, %ds */
		"\xb9\x05\x00"			/* mov $5, %cx */
		"\xa2\x10\x00"			/* 1: mov %al, 0x10 */
		"\x66\xc7\x06\x14\x00\x01\x02\x03\x04"	/* movl $0x4030201, 0x14 */
		"\xe2\xf2"			/* loop 1b */
		"\xf4";				/* hlt */
	struct kvm_userspace_memory_region slot = {
		.slot = 7, .guest_phys_addr = 0x100000, .memory_size = 4096,
	};
	struct kvm_regs regs;
	uint8_t *page;
	int a, b, i;

	make_vm();
	make_ram();
	make_vcpu();
	OK(a = eventfd(0, EFD_CLOEXEC));
	OK(b = eventfd(0, EFD_CLOEXEC));
	OK(ioev(a, 0, 0x100000, 0, 0));
	OK(ioev(a, 0, 0x100004, 0, 0));
	code(0x1000, loop, sizeof(loop) - 1);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_HLT);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &regs));
	IS(regs.rip, 0x1000 + sizeof(loop) - 1);
	IS(regs.rcx, 0);
	IS(taken(a), 10);
	/* each of the two is decoded once or twice */
	if (!strcmp(device, "/dev/lamina") && debugfs_counter("exits") >= 0)
		IS(debugfs_counter("doorbells_known") > 0, fast_doorbells());

	/* another event in its place: the code is known, and must not signal the old one */
	OK(ioev(a, KVM_IOEVENTFD_FLAG_DEASSIGN, 0x100000, 0, 0));
	OK(ioev(b, 0, 0x100000, 0, 0));
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_HLT);
	IS(taken(a), 5);
	IS(taken(b), 5);

	/* none: user space has the writes, with their data */
	OK(ioev(b, KVM_IOEVENTFD_FLAG_DEASSIGN, 0x100000, 0, 0));
	OK(ioev(a, KVM_IOEVENTFD_FLAG_DEASSIGN, 0x100004, 0, 0));
	real_mode(e.vcpu, 0x1000);
	for (i = 0; i < 10; i++) {
		OK(ioctl(e.vcpu, KVM_RUN, 0));
		IS(e.run->exit_reason, KVM_EXIT_MMIO);
		IS(e.run->mmio.len, i & 1 ? 4 : 1);
		IS(e.run->mmio.data[0], i & 1 ? 1 : 0xff);
	}
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_HLT);

	/* memory there: it goes before the doorbell */
	OK(ioev(a, 0, 0x100000, 0, 0));
	OK(ioev(a, 0, 0x100004, 0, 0));
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(taken(a), 10);
	page = aligned_alloc(4096, 4096);
	memset(page, 0, 4096);
	slot.userspace_addr = (uintptr_t)page;
	OK(ioctl(e.vm, KVM_SET_USER_MEMORY_REGION, &slot));
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_HLT);
	IS(taken(a), 0);
	IS(page[0], 0xff);
	IS(page[4], 1);
	slot.memory_size = 0;
	OK(ioctl(e.vm, KVM_SET_USER_MEMORY_REGION, &slot));
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(taken(a), 10);

	/* another instruction of another length at a known place */
	code(0x1008, "\x66\xa3\x10\x00\x90\x90", 6);	/* mov %eax, 0x10; nop; nop */
	code(0x100e, "\x90\x90\x90\x90\x90\x90", 6);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_HLT);
	IS(taken(a), 5);

	/* a string instruction writes as often as RCX says */
	code(0x1200, "\xb8\xff\xff\x8e\xc0\xb9\x03\x00\xbf\x10\x00\x66\xf3\xab\xf4", 15);
	real_mode(e.vcpu, 0x1200);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	for (i = 0; e.run->exit_reason == KVM_EXIT_MMIO; i++)
		OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_HLT);
	IS(i, 1);
	IS(taken(a), 2);
	free(page);
}

static void signal_msi(void)
{
	struct kvm_msi m = { .address_lo = 0xfee00000, .data = 0x4044 };

	make_vm();
	make_chips();
	make_vcpu();
	TRUE(ioctl(e.vm, KVM_SIGNAL_MSI, &m) >= 0);
	m.flags = 0x80;
	ERR(ioctl(e.vm, KVM_SIGNAL_MSI, &m), EINVAL);
	ERR(ioctl(e.vm, KVM_SIGNAL_MSI, BAD_PTR), EFAULT);
}

const struct test irq_tests[] = {
	{ "chips", chips }, { "irq-line", irq_line }, { "routing", routing }, { "irqfd", irqfd },
	{ "irqfd-delivers", irqfd_delivers }, { "ioeventfd", ioeventfd },
	{ "ioeventfd-any", ioeventfd_any }, { "signal-msi", signal_msi },
	{ NULL, NULL },
};
