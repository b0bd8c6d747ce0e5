// SPDX-License-Identifier: GPL-2.0-only
/* ioctls of a vCPU: what is set comes back; what is wrong changes nothing. */
#define _GNU_SOURCE
#include "api.h"
#include <asm/prctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void full(void)
{
	make_vm();
	make_chips();
	make_ram();
	make_vcpu();
}

static void regs(void)
{
	struct kvm_regs a, b;
	uint64_t *p = (uint64_t *)&a;
	size_t i;

	full();
	OK(ioctl(e.vcpu, KVM_GET_REGS, &a));
	IS(a.rip, 0xfff0);		/* reset */
	IS(a.rflags, 2);
	for (i = 0; i < sizeof(a) / 8; i++)
		p[i] = 0x1111111111111111ull * (i & 15) + i;
	a.rip = 0x12345;
	a.rflags = 0x246;
	OK(ioctl(e.vcpu, KVM_SET_REGS, &a));
	OK(ioctl(e.vcpu, KVM_GET_REGS, &b));
	IS(memcmp(&a, &b, sizeof(a)), 0);
	ERR(ioctl(e.vcpu, KVM_SET_REGS, BAD_PTR), EFAULT);
	ERR(ioctl(e.vcpu, KVM_GET_REGS, BAD_PTR), EFAULT);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &b));
	IS(memcmp(&a, &b, sizeof(a)), 0);
}

static void sregs(void)
{
	struct kvm_sregs a, b, bad;

	full();
	OK(ioctl(e.vcpu, KVM_GET_SREGS, &a));
	IS(a.cs.selector, 0xf000);
	IS(a.cs.base, 0xffff0000);
	IS(a.cr0, 0x60000010);
	IS(a.efer, 0);
	IS(a.apic_base, 0xfee00900);
	a.fs.base = 0x123456000;
	a.gs.base = 0xffff800000001000;
	a.gdt.base = 0x7000;
	a.gdt.limit = 0x7f;
	a.idt.base = 0x8000;
	a.idt.limit = 0x3ff;
	a.cr2 = 0xabcdef;
	a.cr8 = 5;
	a.cr3 = 0x9000;
	a.ds = (struct kvm_segment) { .base = 0x1000, .limit = 0xffffffff, .selector = 0x10, .type = 3,
				      .present = 1, .s = 1, .g = 1, .db = 1 };
	OK(ioctl(e.vcpu, KVM_SET_SREGS, &a));
	OK(ioctl(e.vcpu, KVM_GET_SREGS, &b));
	IS(memcmp(&a.ds, &b.ds, sizeof(a.ds)), 0);
	IS(b.fs.base, a.fs.base);
	IS(b.gs.base, a.gs.base);
	IS(b.gdt.base, 0x7000);
	IS(b.gdt.limit, 0x7f);
	IS(b.idt.limit, 0x3ff);
	IS(b.cr2, 0xabcdef);
	IS(b.cr8, 5);
	IS(b.cr3, 0x9000);
	/* paging without protection, long mode without PAE */
	bad = a;
	bad.cr0 = 0x80000010;
	bad.efer = 0;
	bad.cr3 = 0x5000;
	ERR(ioctl(e.vcpu, KVM_SET_SREGS, &bad), EINVAL);
	bad = a;
	bad.cr0 = 0x80000011;
	bad.efer = 0x500;
	bad.cr4 = 0;
	ERR(ioctl(e.vcpu, KVM_SET_SREGS, &bad), EINVAL);
	bad = a;
	bad.cr4 = 1ull << 40;
	ERR(ioctl(e.vcpu, KVM_SET_SREGS, &bad), EINVAL);
	bad = a;
	bad.apic_base = 1ull << 60;
	ERR(ioctl(e.vcpu, KVM_SET_SREGS, &bad), EINVAL);
	OK(ioctl(e.vcpu, KVM_GET_SREGS, &b));
	IS(b.cr3, 0x9000);
	IS(b.cr0, a.cr0);
	ERR(ioctl(e.vcpu, KVM_SET_SREGS, BAD_PTR), EFAULT);
	ERR(ioctl(e.vcpu, KVM_GET_SREGS, BAD_PTR), EFAULT);
}

static void fpu(void)
{
	struct kvm_fpu a, b;

	full();
	OK(ioctl(e.vcpu, KVM_GET_FPU, &a));
	/* As after FNINIT, or as after RESET (APM vol. 2, table 14-1). */
	TRUE(a.fcw == 0x37f || a.fcw == 0x40);
	memset(a.xmm, 0x5a, sizeof(a.xmm));
	memset(a.fpr, 0, sizeof(a.fpr));
	a.fpr[0][0] = 7;
	a.fcw = 0x27f;
	OK(ioctl(e.vcpu, KVM_SET_FPU, &a));
	OK(ioctl(e.vcpu, KVM_GET_FPU, &b));
	IS(b.fcw, 0x27f);
	IS(memcmp(a.xmm, b.xmm, sizeof(a.xmm)), 0);
	IS(b.fpr[0][0], 7);
	ERR(ioctl(e.vcpu, KVM_SET_FPU, BAD_PTR), EFAULT);
}

static void xsave(void)
{
	struct kvm_xsave a, b;
	struct kvm_xcrs x;

	full();
	if (no_xsave)
		skip("XSAVE is hidden");
	OK(ioctl(e.vcpu, KVM_GET_XSAVE, &a));
	a.region[24 / 4] = 0x1f80;
	a.region[160 / 4] = 0x12345678;		/* XMM0 */
	a.region[512 / 4] |= 3;			/* XSTATE_BV */
	OK(ioctl(e.vcpu, KVM_SET_XSAVE, &a));
	OK(ioctl(e.vcpu, KVM_GET_XSAVE, &b));
	IS(b.region[160 / 4], 0x12345678);
	IS(b.region[512 / 4] & 2, 2);
	/* MXCSR with reserved bits, an unknown component */
	a.region[24 / 4] = 0xffff0000;
	ERR(ioctl(e.vcpu, KVM_SET_XSAVE, &a), EINVAL);
	a.region[24 / 4] = 0x1f80;
	a.region[516 / 4] = 0x40000000;
	ERR(ioctl(e.vcpu, KVM_SET_XSAVE, &a), EINVAL);
	OK(ioctl(e.vcpu, KVM_GET_XSAVE, &b));
	IS(b.region[160 / 4], 0x12345678);
	OK(ioctl(e.vcpu, KVM_GET_XCRS, &x));
	IS(x.nr_xcrs, 1);
	IS(x.xcrs[0].xcr, 0);
	IS(x.xcrs[0].value & 1, 1);
	x.xcrs[0].value = 3;
	OK(ioctl(e.vcpu, KVM_SET_XCRS, &x));
	x.xcrs[0].value = 2;			/* without x87 */
	ERR(ioctl(e.vcpu, KVM_SET_XCRS, &x), EINVAL);
	x.nr_xcrs = 17;
	ERR(ioctl(e.vcpu, KVM_SET_XCRS, &x), EINVAL);
	OK(ioctl(e.vcpu, KVM_GET_XCRS, &x));
	IS(x.xcrs[0].value, 3);
}

static void debugregs(void)
{
	struct kvm_debugregs a = { 0 }, b;

	full();
	OK(ioctl(e.vcpu, KVM_GET_DEBUGREGS, &a));
	IS(a.dr6, 0xffff0ff0);
	IS(a.dr7, 0x400);
	a.db[0] = 0x1000;
	a.db[3] = 0x4000;
	a.dr7 = 0x455;
	OK(ioctl(e.vcpu, KVM_SET_DEBUGREGS, &a));
	OK(ioctl(e.vcpu, KVM_GET_DEBUGREGS, &b));
	IS(b.db[0], 0x1000);
	IS(b.db[3], 0x4000);
	IS(b.dr7, 0x455);
	a.dr7 = 1ull << 33;
	a.db[0] = 9;
	ERR(ioctl(e.vcpu, KVM_SET_DEBUGREGS, &a), EINVAL);
	a.dr7 = 0x400;
	a.dr6 = 1ull << 33;
	ERR(ioctl(e.vcpu, KVM_SET_DEBUGREGS, &a), EINVAL);
	a.dr6 = 0xffff0ff0;
	a.flags = 1;
	ERR(ioctl(e.vcpu, KVM_SET_DEBUGREGS, &a), EINVAL);
	OK(ioctl(e.vcpu, KVM_GET_DEBUGREGS, &b));
	IS(b.db[0], 0x1000);
}

static void msrs(void)
{
	struct { struct kvm_msrs h; struct kvm_msr_entry e[4]; } m = { .h.nmsrs = 3 };

	full();
	m.e[0] = (struct kvm_msr_entry) { .index = 0xc0000081, .data = 0x23001000000000 };
	m.e[1] = (struct kvm_msr_entry) { .index = 0x174, .data = 8 };
	m.e[2] = (struct kvm_msr_entry) { .index = 0x277, .data = 0x0007010600070106 };
	IS(ioctl(e.vcpu, KVM_SET_MSRS, &m), 3);
	m.e[0].data = m.e[1].data = m.e[2].data = 1;
	IS(ioctl(e.vcpu, KVM_GET_MSRS, &m), 3);
	IS(m.e[0].data, 0x23001000000000);
	IS(m.e[1].data, 8);
	IS(m.e[2].data, 0x0007010600070106);
	/* stops at the first that is wrong and says how many it did */
	m.e[1] = (struct kvm_msr_entry) { .index = 0xdeadbeef };
	IS(ioctl(e.vcpu, KVM_GET_MSRS, &m), 1);
	m.e[1] = (struct kvm_msr_entry) { .index = 0x277, .data = 2 };
	m.e[2] = (struct kvm_msr_entry) { .index = 0x174, .data = 0x99 };
	IS(ioctl(e.vcpu, KVM_SET_MSRS, &m), 1);
	m.h.nmsrs = 1;
	m.e[0].index = 0x174;
	IS(ioctl(e.vcpu, KVM_GET_MSRS, &m), 1);
	IS(m.e[0].data, 8);
	m.h.nmsrs = 0;
	IS(ioctl(e.vcpu, KVM_GET_MSRS, &m), 0);
	m.h.nmsrs = 1 << 30;
	ERR(ioctl(e.vcpu, KVM_GET_MSRS, &m), E2BIG);
	ERR(ioctl(e.vcpu, KVM_SET_MSRS, BAD_PTR), EFAULT);
}

static void lapic(void)
{
	struct kvm_lapic_state l, k;

	full();
	OK(ioctl(e.vcpu, KVM_GET_LAPIC, &l));
	IS(*(uint32_t *)(l.regs + 0x20), 0);
	IS(*(uint32_t *)(l.regs + 0x30) & 0xff, 0x14);
	IS(*(uint32_t *)(l.regs + 0xf0), 0xff);
	*(uint32_t *)(l.regs + 0xf0) = 0x1ff;
	*(uint32_t *)(l.regs + 0x80) = 0x30;
	*(uint32_t *)(l.regs + 0x350) = 0x700;
	OK(ioctl(e.vcpu, KVM_SET_LAPIC, &l));
	OK(ioctl(e.vcpu, KVM_GET_LAPIC, &k));
	IS(*(uint32_t *)(k.regs + 0xf0), 0x1ff);
	IS(*(uint32_t *)(k.regs + 0x80), 0x30);
	IS(*(uint32_t *)(k.regs + 0x350), 0x700);
	ERR(ioctl(e.vcpu, KVM_SET_LAPIC, BAD_PTR), EFAULT);
	ERR(ioctl(e.vcpu, KVM_GET_LAPIC, BAD_PTR), EFAULT);
}

/* A timer that has run out but for its interrupt is saved as one that has yet to. */
static void lapic_timer(void)
{
	struct kvm_lapic_state l, k;
	uint32_t left;
	int i;

	full();
	OK(ioctl(e.vcpu, KVM_GET_LAPIC, &l));
	*(uint32_t *)(l.regs + 0xf0) = 0x1ff;
	*(uint32_t *)(l.regs + 0x320) = 0x66;		/* one shot */
	*(uint32_t *)(l.regs + 0x3e0) = 0xb;
	*(uint32_t *)(l.regs + 0x380) = 1 << 30;
	for (i = 0; i < 500; i++) {
		*(uint32_t *)(l.regs + 0x390) = 1 + i * 40;
		OK(ioctl(e.vcpu, KVM_SET_LAPIC, &l));
		OK(ioctl(e.vcpu, KVM_GET_LAPIC, &k));
		left = *(uint32_t *)(k.regs + 0x390);
		if (!left)
			IS(*(uint32_t *)(k.regs + 0x230) >> 6 & 1, 1);		/* IRR of 0x66 */
	}
}

static void no_lapic(void)
{
	struct kvm_lapic_state l = { 0 };
	struct kvm_interrupt irq = { 0x40 };

	make_vm();
	make_ram();
	make_vcpu();
	ERR(ioctl(e.vcpu, KVM_GET_LAPIC, &l), EINVAL);
	ERR(ioctl(e.vcpu, KVM_SET_LAPIC, &l), EINVAL);
	irq.irq = 256;
	ERR(ioctl(e.vcpu, KVM_INTERRUPT, &irq), EINVAL);
	irq.irq = 0x40;
	OK(ioctl(e.vcpu, KVM_INTERRUPT, &irq));
	/* and with one, KVM_INTERRUPT is refused */
	e = (struct env) { 0 };
	make_vm();
	make_chips();
	make_vcpu();
	ERR(ioctl(e.vcpu, KVM_INTERRUPT, &irq), ENXIO);
}

static void mp_state(void)
{
	struct kvm_mp_state m;
	int ap;

	full();
	OK(ioctl(e.vcpu, KVM_GET_MP_STATE, &m));
	IS(m.mp_state, KVM_MP_STATE_RUNNABLE);
	OK(ap = ioctl(e.vm, KVM_CREATE_VCPU, 1));
	OK(ioctl(ap, KVM_GET_MP_STATE, &m));
	IS(m.mp_state, KVM_MP_STATE_UNINITIALIZED);
	m.mp_state = KVM_MP_STATE_HALTED;
	OK(ioctl(ap, KVM_SET_MP_STATE, &m));
	OK(ioctl(ap, KVM_GET_MP_STATE, &m));
	IS(m.mp_state, KVM_MP_STATE_HALTED);
	m.mp_state = 99;
	ERR(ioctl(ap, KVM_SET_MP_STATE, &m), EINVAL);
	ERR(ioctl(ap, KVM_SET_MP_STATE, BAD_PTR), EFAULT);
	OK(ioctl(ap, KVM_GET_MP_STATE, &m));
	IS(m.mp_state, KVM_MP_STATE_HALTED);
}

static void vcpu_events(void)
{
	struct kvm_vcpu_events a, b;

	full();
	OK(ioctl(e.vcpu, KVM_GET_VCPU_EVENTS, &a));
	IS(a.exception.injected, 0);
	IS(a.nmi.masked, 0);
	a.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	a.nmi.masked = 1;
	a.nmi.pending = 1;
	a.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	OK(ioctl(e.vcpu, KVM_SET_VCPU_EVENTS, &a));
	OK(ioctl(e.vcpu, KVM_GET_VCPU_EVENTS, &b));
	IS(b.nmi.masked, 1);
	IS(b.nmi.pending, 1);
	TRUE(b.interrupt.shadow != 0);
	a = b;
	a.exception.injected = 1;
	a.exception.nr = 13;
	a.exception.has_error_code = 1;
	a.exception.error_code = 0x18;
	OK(ioctl(e.vcpu, KVM_SET_VCPU_EVENTS, &a));
	OK(ioctl(e.vcpu, KVM_GET_VCPU_EVENTS, &b));
	IS(b.exception.injected, 1);
	IS(b.exception.nr, 13);
	IS(b.exception.error_code, 0x18);
	a.exception.nr = 32;
	ERR(ioctl(e.vcpu, KVM_SET_VCPU_EVENTS, &a), EINVAL);
	a.exception.nr = 2;			/* an NMI is no exception */
	ERR(ioctl(e.vcpu, KVM_SET_VCPU_EVENTS, &a), EINVAL);
	a.exception.nr = 13;
	a.flags = 0x80000000;
	ERR(ioctl(e.vcpu, KVM_SET_VCPU_EVENTS, &a), EINVAL);
	OK(ioctl(e.vcpu, KVM_GET_VCPU_EVENTS, &b));
	IS(b.exception.nr, 13);
}

static int enable(uint32_t c, uint64_t arg)
{
	struct kvm_enable_cap ec = { .cap = c, .args = { arg } };

	return ioctl(e.vm, KVM_ENABLE_CAP, &ec);
}

/* An exception that waits keeps its payload apart, once the client asked for that. */
static void exception_payload(void)
{
	struct kvm_vcpu_events a;
	struct kvm_sregs s;

	full();
	OK(ioctl(e.vcpu, KVM_GET_VCPU_EVENTS, &a));
	IS(a.flags & (KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT), 0);
	a.flags = KVM_VCPUEVENT_VALID_PAYLOAD;
	ERR(ioctl(e.vcpu, KVM_SET_VCPU_EVENTS, &a), EINVAL);
	a.flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	ERR(ioctl(e.vcpu, KVM_SET_VCPU_EVENTS, &a), EINVAL);
	OK(enable(KVM_CAP_EXCEPTION_PAYLOAD, 1));
	OK(enable(KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1));
	memset(&a, 0, sizeof(a));
	a.flags = KVM_VCPUEVENT_VALID_PAYLOAD;
	a.exception.pending = 1;
	a.exception.nr = 14;
	a.exception.has_error_code = 1;
	a.exception_has_payload = 1;
	a.exception_payload = 0x12345000;
	OK(ioctl(e.vcpu, KVM_SET_VCPU_EVENTS, &a));
	OK(ioctl(e.vcpu, KVM_GET_SREGS, &s));
	IS(s.cr2, 0);
	OK(ioctl(e.vcpu, KVM_GET_VCPU_EVENTS, &a));
	IS(a.flags & (KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT),
	   KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	IS(a.exception.pending, 1);
	IS(a.exception.injected, 0);
	IS(a.exception_payload, 0x12345000);
	/* delivered: #PF's handler at 0x1100, and CR2 */
	memcpy(e.ram + 4 * 14, "\x00\x11\0\0", 4);
	code(0x1000, SPIN, 4);
	code(0x1100, "\xe6\x10", 2);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_SET_VCPU_EVENTS, &a));	/* setting registers dropped it */
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	OK(ioctl(e.vcpu, KVM_GET_SREGS, &s));
	IS(s.cr2, 0x12345000);

	OK(ioctl(e.vcpu, KVM_GET_VCPU_EVENTS, &a));
	IS(a.exception.pending | a.exception.injected | a.triple_fault.pending, 0);
	a.triple_fault.pending = 1;
	OK(ioctl(e.vcpu, KVM_SET_VCPU_EVENTS, &a));
	OK(ioctl(e.vcpu, KVM_GET_VCPU_EVENTS, &a));
	IS(a.triple_fault.pending, 1);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_SHUTDOWN);
}

/* The guest is told that it was stopped, and clears the flag itself. */
static void clock_stopped(void)
{
	struct { struct kvm_msrs h; struct kvm_msr_entry e; } m = {
		.h.nmsrs = 1, .e = { .index = 0x4b564d01, .data = 0x9001 },
	};

	full();
	set_cpuid(e.vcpu);
	ERR(ioctl(e.vcpu, KVM_KVMCLOCK_CTRL, 0), EINVAL);
	IS(ioctl(e.vcpu, KVM_SET_MSRS, &m), 1);
	code(0x1000, "\xe6\x10\xe6\x10\xe6\x10", 6);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.ram[0x9000 + 29] & 2, 0);
	OK(ioctl(e.vcpu, KVM_KVMCLOCK_CTRL, 0));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.ram[0x9000 + 29] & 2, 2);
}

static void cpuid2(void)
{
	struct { struct kvm_cpuid2 h; struct kvm_cpuid_entry2 e[256]; } c = { .h.nent = 256 }, d;

	full();
	OK(ioctl(e.sys, KVM_GET_SUPPORTED_CPUID, &c));
	OK(ioctl(e.vcpu, KVM_SET_CPUID2, &c));
	memset(&d, 0, sizeof(d));
	d.h.nent = 256;
	OK(ioctl(e.vcpu, KVM_GET_CPUID2, &d));
	TRUE(d.h.nent == c.h.nent || d.h.nent == 256);	/* KVM 6.1 leaves it */
	IS(d.e[0].ebx, c.e[0].ebx);
	d.h.nent = 1;
	ERR(ioctl(e.vcpu, KVM_GET_CPUID2, &d), E2BIG);
	c.h.nent = 100000;
	ERR(ioctl(e.vcpu, KVM_SET_CPUID2, &c), E2BIG);
	ERR(ioctl(e.vcpu, KVM_SET_CPUID2, BAD_PTR), EFAULT);
}

static void tsc_khz(void)
{
	long khz;

	full();
	khz = ioctl(e.vcpu, KVM_GET_TSC_KHZ, 0);
	TRUE(khz > 10000);
	OK(ioctl(e.vcpu, KVM_SET_TSC_KHZ, khz));
	IS(ioctl(e.vcpu, KVM_GET_TSC_KHZ, 0), khz);
	/* slower than the hardware needs scaling */
	if (cap(KVM_CAP_TSC_CONTROL) <= 0)
		ERR(ioctl(e.vcpu, KVM_SET_TSC_KHZ, khz / 4), EINVAL);
	IS(ioctl(e.vcpu, KVM_GET_TSC_KHZ, 0), khz);
}

static uint64_t msr_of(uint32_t index)
{
	struct { struct kvm_msrs h; struct kvm_msr_entry e; } m = { .h.nmsrs = 1, .e.index = index };

	IS(ioctl(e.vcpu, KVM_GET_MSRS, &m), 1);
	return m.e.data;
}

static uint64_t host_tsc(void)
{
	uint32_t low, high;

	asm volatile("lfence; rdtsc; lfence" : "=a" (low), "=d" (high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static uint64_t guest_tsc(void)
{
	struct kvm_regs r;

	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_HLT);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	return r.rdx << 32 | r.rax;
}

/* A guest's TSC at @num / @den of the host's rate: between two of its reads it counts that share. */
static void scaled(long khz, unsigned int num, unsigned int den)
{
	uint64_t before, after, from, to, first, second;

	OK(ioctl(e.vcpu, KVM_SET_TSC_KHZ, khz * num / den));
	IS(ioctl(e.vcpu, KVM_GET_TSC_KHZ, 0), khz * num / den);
	before = host_tsc();
	first = guest_tsc();
	from = host_tsc();
	do
		to = host_tsc();
	while (to - from < 1000000);
	second = guest_tsc();
	after = host_tsc();
	/* kHz are rounded, and so is the ratio */
	TRUE(second - first >= (to - from) * num / den * 999 / 1000);
	TRUE(second - first <= (after - before) * num / den * 1001 / 1000);
	/* the same by the MSR, which the module reads itself */
	first = guest_tsc();
	second = msr_of(0x10);
	TRUE(first < second && second < guest_tsc());
}

static void tsc_scaled(void)
{
	long khz;

	make_vm();
	make_ram();
	make_vcpu();
	code(0x1000, "\x0f\x31\xf4", 3);		/* rdtsc, hlt */
	if (cap(KVM_CAP_TSC_CONTROL) <= 0)
		return;
	khz = ioctl(e.vcpu, KVM_GET_TSC_KHZ, 0);
	scaled(khz, 1, 4);
	scaled(khz, 3, 1);
	scaled(khz, 1, 1);
}

static void machine_check(void)
{
	const uint64_t val = 1ull << 63, over = 1ull << 62, uc = 1ull << 61;
	struct kvm_x86_mce m = { .status = val | 7, .addr = 0x1000, .misc = 5, .bank = 3 };
	struct kvm_vcpu_events ev;
	struct kvm_sregs s;
	uint64_t supported, c;

	full();
	IS(cap(KVM_CAP_MCE), 32);
	OK(ioctl(e.sys, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported));
	IS(supported & 0x1000100, 0x1000100);	/* MCG_CTL, recovery */
	ERR(ioctl(e.sys, KVM_X86_GET_MCE_CAP_SUPPORTED, BAD_PTR), EFAULT);
	c = 0;
	ERR(ioctl(e.vcpu, KVM_X86_SETUP_MCE, &c), EINVAL);
	c = 33;
	ERR(ioctl(e.vcpu, KVM_X86_SETUP_MCE, &c), EINVAL);
	c = 10 | 1ull << 40;
	ERR(ioctl(e.vcpu, KVM_X86_SETUP_MCE, &c), EINVAL);
	c = 10 | 0x1000100;
	OK(ioctl(e.vcpu, KVM_X86_SETUP_MCE, &c));
	IS(msr_of(0x179), c);
	IS(msr_of(0x17b), -1ull);
	IS(msr_of(0x400 + 4 * 9), -1ull);

	m.bank = 10;
	ERR(ioctl(e.vcpu, KVM_X86_SET_MCE, &m), EINVAL);
	m.bank = 3;
	m.status = 7;
	ERR(ioctl(e.vcpu, KVM_X86_SET_MCE, &m), EINVAL);
	m.status = val | 7;
	OK(ioctl(e.vcpu, KVM_X86_SET_MCE, &m));
	IS(msr_of(0x401 + 4 * 3), val | 7);
	IS(msr_of(0x402 + 4 * 3), 0x1000);
	OK(ioctl(e.vcpu, KVM_X86_SET_MCE, &m));
	IS(msr_of(0x401 + 4 * 3), val | over | 7);

	/* an uncorrected one is #MC where the guest wants it */
	OK(ioctl(e.vcpu, KVM_GET_SREGS, &s));
	s.cr4 |= 0x40;
	OK(ioctl(e.vcpu, KVM_SET_SREGS, &s));
	m.status = val | uc | 9;
	m.mcg_status = 5;
	OK(ioctl(e.vcpu, KVM_X86_SET_MCE, &m));
	IS(msr_of(0x401 + 4 * 3), val | over | uc | 9);
	IS(msr_of(0x17a), 5);
	OK(ioctl(e.vcpu, KVM_GET_VCPU_EVENTS, &ev));
	TRUE(ev.exception.injected || ev.exception.pending);
	IS(ev.exception.nr, 18);
	/* a corrected one does not take its place, and a second one is the end */
	m.status = val | 1;
	OK(ioctl(e.vcpu, KVM_X86_SET_MCE, &m));
	IS(msr_of(0x401 + 4 * 3), val | over | uc | 9);
	m.status = val | uc | 1;
	OK(ioctl(e.vcpu, KVM_X86_SET_MCE, &m));
	code(0x1000, SPIN, 4);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_SHUTDOWN);
}

static void run_io(void)
{
	full();
	/* mov $0x10, %dx; mov $0x41, %al; out %al, %dx; in %dx, %al; out %al, %dx; hlt */
	code(0x1000, "\xba\x10\x00\xb0\x41\xee\xec\xee\xf4", 9);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.direction, KVM_EXIT_IO_OUT);
	IS(e.run->io.port, 0x10);
	IS(e.run->io.size, 1);
	IS(e.run->io.count, 1);
	IS(((uint8_t *)e.run)[e.run->io.data_offset], 0x41);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.direction, KVM_EXIT_IO_IN);
	((uint8_t *)e.run)[e.run->io.data_offset] = 0x77;
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->io.direction, KVM_EXIT_IO_OUT);
	IS(((uint8_t *)e.run)[e.run->io.data_offset], 0x77);
	ERR(ioctl(e.vcpu, KVM_RUN, 1), EINVAL);		/* its argument must be 0 */
}

static void immediate_exit(void)
{
	struct kvm_regs r;

	full();
	code(0x1000, SPIN, 4);
	real_mode(e.vcpu, 0x1000);
	e.run->immediate_exit = 1;
	ERR(ioctl(e.vcpu, KVM_RUN, 0), EINTR);
	ERR(ioctl(e.vcpu, KVM_RUN, 0), EINTR);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	IS(r.rip, 0x1000);
	e.run->immediate_exit = 0;
	/* it completes what the last exit began */
	code(0x1000, "\xec" SPIN, 5);			/* in */
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	((uint8_t *)e.run)[e.run->io.data_offset] = 0x99;
	e.run->immediate_exit = 1;
	ERR(ioctl(e.vcpu, KVM_RUN, 0), EINTR);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	IS(r.rip, 0x1001);
	IS(r.rax & 0xff, 0x99);
}

static void on_alarm(int s)
{
	(void)s;
}

static void signal_mask(void)
{
	/* whatever the signal would do outside: blocked there, it only ends KVM_RUN */
	static void (*const action[])(int) = { on_alarm, SIG_DFL, SIG_IGN };
	struct { struct kvm_signal_mask h; uint8_t set[8]; } m = { .h.len = 8 };
	struct sigaction sa = { 0 };
	struct timespec none = { 0 };
	sigset_t block, now;
	unsigned int i;

	full();
	sigemptyset(&block);
	sigaddset(&block, SIGALRM);
	sigprocmask(SIG_BLOCK, &block, NULL);
	m.h.len = 4;
	ERR(ioctl(e.vcpu, KVM_SET_SIGNAL_MASK, &m), EINVAL);
	m.h.len = 8;
	OK(ioctl(e.vcpu, KVM_SET_SIGNAL_MASK, &m));	/* empty: all come in during KVM_RUN */
	code(0x1000, SPIN, 4);
	real_mode(e.vcpu, 0x1000);
	for (i = 0; i < 3; i++) {
		sa.sa_handler = action[i];
		sigaction(SIGALRM, &sa, NULL);
		alarm(1);
		ERR(ioctl(e.vcpu, KVM_RUN, 0), EINTR);
		IS(e.run->exit_reason, KVM_EXIT_INTR);
		/* it was delivered to nobody: still pending outside, and blocked as before */
		sigpending(&now);
		IS(sigismember(&now, SIGALRM), 1);
		sigprocmask(SIG_BLOCK, NULL, &now);
		IS(sigismember(&now, SIGALRM), 1);
		IS(sigismember(&now, SIGUSR1), 0);
		/* as long as it is, the guest does not run */
		ERR(ioctl(e.vcpu, KVM_RUN, 0), EINTR);
		IS(sigtimedwait(&block, NULL, &none), SIGALRM);
	}
	OK(ioctl(e.vcpu, KVM_SET_SIGNAL_MASK, NULL));
}

static void nmi(void)
{
	make_vm();
	make_ram();
	make_vcpu();
	OK(ioctl(e.vcpu, KVM_NMI, 0));
	/* vector 2 in real mode */
	*(uint32_t *)(e.ram + 8) = 0x1100;
	code(0x1100, "\xe6\x55", 2);		/* out %al, $0x55 */
	code(0x1000, SPIN, 4);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.port, 0x55);
}

/* Registers of the client that a system call keeps, and that the guest has values of its own for. */
struct own {
	uint64_t sse[2], avx[4];
	double x87;
	uint32_t mxcsr;
	uint16_t cw, ds, es;
	uint64_t gs0;
};

static long run_with(const struct own *in, struct own *out, int avx)
{
	long r = SYS_ioctl;

	asm volatile("fninit\n\t"
		     "fldcw %[cw]\n\t"
		     "fldl %[x87]\n\t"
		     "ldmxcsr %[mxcsr]\n\t"
		     "movdqu %[sse], %%xmm0\n\t"
		     "movdqu %[sse], %%xmm7\n\t"
		     "testl %[has], %[has]\n\t"
		     "jz 1f\n\t"
		     "vmovdqu %[avx], %%ymm5\n"
		     "1:	movw %[ds], %%ds\n\t"
		     "movw %[es], %%es\n\t"
		     "syscall\n\t"
		     "movw %%ds, %[ds1]\n\t"
		     "movw %%es, %[es1]\n\t"
		     "testl %[has], %[has]\n\t"
		     "jz 2f\n\t"
		     "vmovdqu %%ymm5, %[avx1]\n"
		     "2:	movdqu %%xmm0, %[sse1]\n\t"
		     "pxor %%xmm0, %%xmm7\n\t"
		     "fnstcw %[cw1]\n\t"
		     "stmxcsr %[mxcsr1]\n\t"
		     "fstpl %[x871]\n\t"
		     "movq %%gs:0, %%rcx\n\t"
		     "movq %%rcx, %[gs1]\n\t"
		     "fninit\n\t"
		     "ldmxcsr %[clean]"
		     : "+a" (r), [ds1] "=m" (out->ds), [es1] "=m" (out->es), [avx1] "=m" (out->avx),
		       [sse1] "=m" (out->sse), [cw1] "=m" (out->cw), [mxcsr1] "=m" (out->mxcsr),
		       [x871] "=m" (out->x87), [gs1] "=m" (out->gs0)
		     : "D" ((long)e.vcpu), "S" ((long)KVM_RUN), "d" (0l), [has] "r" (avx),
		       [cw] "m" (in->cw), [x87] "m" (in->x87), [mxcsr] "m" (in->mxcsr),
		       [sse] "m" (in->sse), [avx] "m" (in->avx), [ds] "m" (in->ds), [es] "m" (in->es),
		       [clean] "m" ((const uint32_t){ 0x1f80 })
		     : "rcx", "r11", "xmm0", "xmm5", "xmm7", "memory");
	return r;
}

/* Another task on the same CPU, with other values in the same registers. */
static pid_t rival(void)
{
	static const uint64_t junk[2] = { 0x5555555555555555, 0x6666666666666666 };
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		asm volatile("fninit; fldpi; movdqu %0, %%xmm0; movdqu %0, %%xmm5; movdqu %0, %%xmm7"
			     : : "m" (junk) : "xmm0", "xmm5", "xmm7");
}

static void own_registers(void)
{
	/* fninit; fldpi; xorps xmm0 and xmm7; 65,535 times pause; out 0x80, al; from the start */
	static const char guest[] = "\xdb\xe3\xd9\xeb\x0f\x57\xc0\x0f\x57\xff"
				    "\xb9\xff\xff\xf3\x90\xe2\xfc\xe6\x80\xeb\xeb";
	static uint64_t gs[] = { 0x1234567890abcdef };
	const struct own in = {
		.sse = { 0x1111111111111111, 0x2222222222222222 },
		.avx = { 3, 4, 5, 6 }, .x87 = 1.5, .mxcsr = 0x3f80, .cw = 0x27f,
		.ds = 0x2b, .es = 0x2b, .gs0 = gs[0],
	};
	int avx = __builtin_cpu_supports("avx"), i;
	struct own out = in;
	struct kvm_sregs s;
	cpu_set_t one;
	pid_t pid;

	full();
	code(0x1000, guest, sizeof(guest) - 1);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_GET_SREGS, &s));
	s.cr4 |= 0x600;			/* OSFXSR, OSXMMEXCPT */
	OK(ioctl(e.vcpu, KVM_SET_SREGS, &s));
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	OK(sched_setaffinity(0, sizeof(one), &one));
	OK(syscall(SYS_arch_prctl, ARCH_SET_GS, gs));
	pid = rival();
	for (i = 0; i < 40; i++) {
		IS(run_with(&in, &out, avx), 0);
		IS(e.run->exit_reason, KVM_EXIT_IO);
		TRUE(out.sse[0] == in.sse[0] && out.sse[1] == in.sse[1]);
		TRUE(!memcmp(out.avx, in.avx, sizeof(in.avx)));
		TRUE(out.x87 == in.x87);
		IS(out.mxcsr, in.mxcsr);
		IS(out.cw, in.cw);
		IS(out.ds, in.ds);
		IS(out.es, in.es);
		TRUE(out.gs0 == in.gs0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void unmapped(void)
{
	/* no memory where it runs: the first fetch cannot be done */
	make_vm();
	e.ram = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	OK(slot(0, 0, 16 << 20, 1 << 20, e.ram));
	make_vcpu();
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason == KVM_EXIT_INTERNAL_ERROR || e.run->exit_reason == KVM_EXIT_SHUTDOWN ||
	   e.run->exit_reason == KVM_EXIT_MMIO, 1);
}

static void slot_unmapped(void)
{
	/* memory that the client took away again: EFAULT, and no crash */
	full();
	code(0x1000, SPIN, 4);
	real_mode(e.vcpu, 0x1000);
	munmap(e.ram, 1 << 20);
	ERR(ioctl(e.vcpu, KVM_RUN, 0), EFAULT);
}

const struct test vcpu_tests[] = {
	{ "regs", regs }, { "sregs", sregs }, { "fpu", fpu }, { "xsave", xsave },
	{ "debugregs", debugregs }, { "msrs", msrs }, { "lapic", lapic },
	{ "lapic-timer", lapic_timer }, { "no-lapic", no_lapic },
	{ "mp-state", mp_state }, { "vcpu-events", vcpu_events },
	{ "exception-payload", exception_payload }, { "clock-stopped", clock_stopped },
	{ "cpuid2", cpuid2 },
	{ "tsc-khz", tsc_khz }, { "tsc-scaled", tsc_scaled },
	{ "machine-check", machine_check }, { "run-io", run_io },
	{ "immediate-exit", immediate_exit },
	{ "signal-mask", signal_mask }, { "nmi", nmi }, { "no-memory", unmapped },
	{ "slot-unmapped", slot_unmapped }, { "own-registers", own_registers },
	{ NULL, NULL },
};
