// SPDX-License-Identifier: GPL-2.0-only
/* Writes that wait in a ring which user space shares: coalesced MMIO and port I/O. */
#include "api.h"
#include <sys/eventfd.h>

#define MMIO	0xa0000u	/* no memory here */
#define RING_MAX ((4096 - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

static struct kvm_coalesced_mmio_ring *ring;

static int zone(unsigned long what, uint64_t addr, uint32_t size, uint32_t pio)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size, .pio = pio };

	return ioctl(e.vm, what, &z);
}

#define ADD(addr, size, pio) zone(KVM_REGISTER_COALESCED_MMIO, addr, size, pio)
#define DEL(addr, size, pio) zone(KVM_UNREGISTER_COALESCED_MMIO, addr, size, pio)

static void guest(void)
{
	make_vm();
	e.ram = mmap(NULL, MMIO, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	OK(slot(0, 0, 0, MMIO, e.ram));
	make_vcpu();
	ring = (void *)((char *)e.run + cap(KVM_CAP_COALESCED_MMIO) * 4096);
}

/* Runs from 0x1000 in real mode with DS, ES = MMIO / 16 and what else is in registers. */
static void start(const char *bytes, size_t n, const struct kvm_regs *regs)
{
	struct kvm_regs r = *regs;
	struct kvm_sregs s;

	code(0x1000, bytes, n);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_GET_SREGS, &s));
	s.ds.base = s.es.base = MMIO;
	s.ds.selector = s.es.selector = MMIO >> 4;
	OK(ioctl(e.vcpu, KVM_SET_SREGS, &s));
	r.rip = 0x1000;
	r.rflags = 2;
	OK(ioctl(e.vcpu, KVM_SET_REGS, &r));
}

static void run_io(unsigned int port)
{
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.port, port);
}

static void run_mmio(uint64_t addr)
{
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_MMIO);
	IS(e.run->mmio.phys_addr, addr);
}

static void entry(unsigned int i, uint64_t addr, uint32_t bytes, uint32_t pio, uint64_t val)
{
	struct kvm_coalesced_mmio *m = &ring->coalesced_mmio[i];

	IS(m->phys_addr, addr);
	IS(m->len, bytes);
	IS(m->pio, pio);
	IS(memcmp(m->data, &val, bytes), 0);
}

static void args(void)
{
	int i, r = 0;

	guest();
	IS(cap(KVM_CAP_COALESCED_MMIO), 2);
	IS(cap(KVM_CAP_COALESCED_PIO), 1);
	TRUE(e.run_size >= 3 * 4096);
	ERR(ADD(MMIO, 0x1000, 2), EINVAL);
	ERR(DEL(MMIO, 0x1000, 2), EINVAL);
	ERR(ioctl(e.vm, KVM_REGISTER_COALESCED_MMIO, BAD_PTR), EFAULT);
	ERR(ioctl(e.vm, KVM_UNREGISTER_COALESCED_MMIO, BAD_PTR), EFAULT);
	OK(DEL(MMIO, 0x1000, 0));		/* there need be none */
	OK(ADD(MMIO, 0x1000, 0));
	OK(ADD(MMIO, 0x1000, 0));		/* nor but one */
	OK(ADD(~0ull, ~0u, 0));
	OK(DEL(MMIO, 4, 0));
	for (i = 0; i < 1100 && !r; i++)
		r = ADD(0x1000 * i, 8, i & 1);
	IS(r, -1);
	IS(errno, ENOSPC);
	for (i = 0; i < 1100; i++)
		OK(DEL(0x1000 * i, 8, i & 1));
	OK(ADD(0, 1, 1));
}

/* mov %al, (0x10); mov %eax, (0x20); mov (0x10), %al; out %al, $0x10 */
static const char stores[] = "\xa2\x10\x00\x66\xa3\x20\x00\xa0\x10\x00\xe6\x10";

static void mmio(void)
{
	const struct kvm_regs r = { .rax = 0x11223344 };

	guest();
	/* before there is a zone each write exits */
	start(stores, sizeof(stores) - 1, &r);
	run_mmio(MMIO + 0x10);
	IS(e.run->mmio.is_write, 1);
	OK(ADD(MMIO + 0x10, 0x14, 0));
	start(stores, sizeof(stores) - 1, &r);
	run_mmio(MMIO + 0x10);			/* the read */
	IS(e.run->mmio.is_write, 0);
	IS(ring->first, 0);
	IS(ring->last, 2);
	entry(0, MMIO + 0x10, 1, 0, 0x44);
	entry(1, MMIO + 0x20, 4, 0, 0x11223344);
	e.run->mmio.data[0] = 0x55;
	run_io(0x10);
	IS(((uint8_t *)e.run)[e.run->io.data_offset], 0x55);
	/* one that lies only partly inside does not wait; nor does another bus's */
	ring->first = ring->last = 0;
	OK(DEL(MMIO + 0x18, 1, 0));
	OK(ADD(MMIO + 0x10, 0x13, 0));
	OK(ADD(MMIO, 0x1000, 1));
	start(stores, sizeof(stores) - 1, &r);
	run_mmio(MMIO + 0x20);
	IS(e.run->mmio.is_write, 1);
	IS(e.run->mmio.len, 4);
	IS(ring->last, 1);
	/* gone */
	OK(DEL(MMIO + 0x10, 0x13, 0));
	start(stores, sizeof(stores) - 1, &r);
	run_mmio(MMIO + 0x10);
	IS(ring->last, 1);
}

/* mov $0x55, %dx; out %al, (%dx); out %eax, (%dx); in (%dx), %al; out %al, $0x10 */
static const char outs[] = "\xba\x55\x00\xee\x66\xef\xec\xe6\x10";

static void ports(void)
{
	const struct kvm_regs r = { .rax = 0xa1b2c3d4 };

	guest();
	OK(ADD(0x54, 5, 1));
	start(outs, sizeof(outs) - 1, &r);
	run_io(0x55);
	IS(e.run->io.direction, KVM_EXIT_IO_IN);
	IS(ring->last, 2);
	entry(0, 0x55, 1, 1, 0xd4);
	entry(1, 0x55, 4, 1, 0xa1b2c3d4);
	run_io(0x10);
}

static void strings(void)
{
	const struct kvm_regs r = { .rdx = 0x55, .rcx = 9, .rsi = 0x2000, .rax = 7 };
	/* rep outsb %cs:; mov $4, %cx; rep stosb; out %al, $0x10 */
	static const char bytes[] = "\xf3\x2e\x6e\xb9\x04\x00\xf3\xaa\xe6\x10";
	unsigned int i;

	guest();
	OK(ADD(0x55, 1, 1));
	OK(ADD(MMIO, 0x1000, 0));
	memcpy(e.ram + 0x2000, "abcdefghi", 9);
	start(bytes, sizeof(bytes) - 1, &r);
	run_io(0x10);
	IS(ring->last, 13);
	for (i = 0; i < 9; i++)
		entry(i, 0x55, 1, 1, 'a' + i);
	for (i = 0; i < 4; i++)
		entry(9 + i, MMIO + i, 1, 0, 7);
}

/* A device in the module, and an eventfd, come first. */
static void others_first(void)
{
	struct kvm_ioeventfd d = { .addr = MMIO + 0x10, .len = 1 };
	const struct kvm_regs r = { .rax = 0x11223344 };

	make_vm();
	make_chips();
	e.ram = mmap(NULL, MMIO, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	OK(slot(0, 0, 0, MMIO, e.ram));
	make_vcpu();
	ring = (void *)((char *)e.run + 2 * 4096);
	OK(ADD(0, 0x10000, 1));
	OK(ADD(MMIO, 0x1000, 0));
	d.fd = eventfd(0, EFD_NONBLOCK);
	OK(ioctl(e.vm, KVM_IOEVENTFD, &d));
	start("\xe6\x21\xe6\x22\xa2\x10\x00\xa2\x11\x00\xec", 11, &r);	/* PIC; another port; ... ; in */
	run_io(0);
	IS(ring->last, 2);
	entry(0, 0x22, 1, 1, 0x44);
	entry(1, MMIO + 0x11, 1, 0, 0x44);
}

/* out %al, $0x55; inc %al; jmp back */
static const char endless[] = "\xe6\x55\xfe\xc0\xeb\xfa";

static void full(void)
{
	const struct kvm_regs r = { .rax = 0 };
	uint32_t first;
	unsigned int i, n;

	guest();
	OK(ADD(0x55, 1, 1));
	/* wherever the reader is, all places but one are used, and then the write exits */
	for (first = 0; first < RING_MAX; first += 13) {
		ring->first = ring->last = first;
		start(endless, sizeof(endless) - 1, &r);
		run_io(0x55);
		n = (ring->last + RING_MAX - first) % RING_MAX;
		if (!strcmp(device, "/dev/lamina"))
			IS(n, RING_MAX - 1);
		for (i = 0; i < n; i++)
			entry((first + i) % RING_MAX, 0x55, 1, 1, i);
		IS(((uint8_t *)e.run)[e.run->io.data_offset], n);
	}
}

/* What user space writes into the page does no harm to the kernel. */
static void garbage(void)
{
	static const uint32_t bad[] = { RING_MAX, RING_MAX + 1, 0x7fffffff, 0x80000000, ~0u };
	const struct kvm_regs r = { .rax = 1 };
	unsigned int i;

	guest();
	OK(ADD(0x55, 1, 1));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(ring, 0xff, 4096);
		ring->first = 0;
		ring->last = bad[i];
		start("\xe6\x55\xe6\x10", 4, &r);
		run_io(0x55);
		IS(ring->last, bad[i]);
		run_io(0x10);
		ring->first = bad[i];
		ring->last = 0;
		start("\xe6\x55\xe6\x10", 4, &r);
		OK(ioctl(e.vcpu, KVM_RUN, 0));
		IS(e.run->exit_reason, KVM_EXIT_IO);
	}
	for (i = 0; i < 1024 - 2; i++)
		IS(((uint32_t *)ring)[2 + i] == ~0u || i < 6, 1);
}

const struct test coalesced_tests[] = {
	{ "coalesced-args", args }, { "coalesced-mmio", mmio }, { "coalesced-ports", ports },
	{ "coalesced-strings", strings }, { "coalesced-others-first", others_first },
	{ "coalesced-full", full }, { "coalesced-garbage", garbage },
	{ NULL, NULL },
};
