// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts of clients that have some or all of the controllers themselves. */
#include <cpuid.h>
#include "api.h"

static int enable(int fd, uint32_t c, uint64_t arg)
{
	struct kvm_enable_cap ec = { .cap = c, .args = { arg } };

	return ioctl(fd, KVM_ENABLE_CAP, &ec);
}

/* A vCPU in real mode with an LAPIC that is on, in x2APIC mode if asked for. */
static void lapic_vcpu(bool x2apic)
{
	struct { struct kvm_msrs h; struct kvm_msr_entry e; } base = {
		.h.nmsrs = 1, .e = { .index = 0x1b, .data = x2apic ? 0xfee00d00 : 0xfee00900 },
	};
	struct kvm_lapic_state s;

	make_ram();
	make_vcpu();
	set_cpuid(e.vcpu);
	IS(ioctl(e.vcpu, KVM_SET_MSRS, &base), 1);
	OK(ioctl(e.vcpu, KVM_GET_LAPIC, &s));
	*(uint32_t *)(s.regs + 0xf0) = 0x1ff;
	OK(ioctl(e.vcpu, KVM_SET_LAPIC, &s));
}

static void split_vm(uint64_t pins)
{
	make_vm();
	OK(enable(e.vm, KVM_CAP_SPLIT_IRQCHIP, pins));
}

/* Vector 0x55: where at 0x1100. */
static void handler(const char *bytes, size_t n)
{
	static const uint16_t gate[2] = { 0x1100, 0 };

	memcpy(e.ram + 4 * 0x55, gate, sizeof(gate));
	code(0x1100, bytes, n);
}

static int route(uint32_t gsi, uint32_t type, uint32_t data)
{
	struct { struct kvm_irq_routing h; struct kvm_irq_routing_entry e; } r = {
		.h.nr = 1, .e = { .gsi = gsi, .type = type },
	};

	if (type == KVM_IRQ_ROUTING_MSI) {
		r.e.u.msi.address_lo = 0xfee00000;
		r.e.u.msi.data = data;
	} else {
		r.e.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	}
	return ioctl(e.vm, KVM_SET_GSI_ROUTING, &r);
}

static void split_bad(void)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_pit_config pit = { 0 };

	make_vm();
	ERR(enable(e.vm, KVM_CAP_SPLIT_IRQCHIP, 5000), EINVAL);
	make_vcpu();
	ERR(enable(e.vm, KVM_CAP_SPLIT_IRQCHIP, 24), EEXIST);
	make_vm();
	make_chips();
	ERR(enable(e.vm, KVM_CAP_SPLIT_IRQCHIP, 24), EEXIST);
	split_vm(24);
	ERR(enable(e.vm, KVM_CAP_SPLIT_IRQCHIP, 24), EEXIST);
	ERR(ioctl(e.vm, KVM_CREATE_IRQCHIP, 0), EEXIST);
	ERR(ioctl(e.vm, KVM_CREATE_PIT2, &pit), ENOENT);
	ERR(ioctl(e.vm, KVM_GET_IRQCHIP, &chip), ENXIO);
	ERR(ioctl(e.vm, KVM_SET_IRQCHIP, &chip), ENXIO);
	ERR(route(3, KVM_IRQ_ROUTING_IRQCHIP, 0), EINVAL);
	OK(route(3, KVM_IRQ_ROUTING_MSI, 0x55));
}

/*
 * mov 0x154, %ax; push %ax; pop %ax: the pages that a delivery wants. Bochs loses a virtual
 * interrupt that finds none (docs/vmx-features.md).
 */
#define TOUCH "\xa1\x54\x01\x50\x58"

/* A level interrupt by a route: delivered, and its EOI told to user space. */
static void split_eoi(void)
{
	struct kvm_irq_level line = { .irq = 3, .level = 1 };
	struct kvm_regs r;

	split_vm(24);
	lapic_vcpu(true);
	OK(route(3, KVM_IRQ_ROUTING_MSI, 0xc055));
	code(0x1000, TOUCH "\xfb" SPIN, 10);			/* sti */
	/* mov $0x80b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr; iret */
	handler("\x66\xb9\x0b\x08\0\0\x66\x31\xc0\x66\x31\xd2\x0f\x30\xcf", 15);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vm, KVM_IRQ_LINE, &line));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IOAPIC_EOI);
	IS(e.run->eoi.vector, 0x55);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	IS(r.rip, 0x110e);
}

/* Edges are nobody's business. */
static void split_edge(void)
{
	struct kvm_irq_level line = { .irq = 3, .level = 1 };

	split_vm(24);
	lapic_vcpu(true);
	OK(route(3, KVM_IRQ_ROUTING_MSI, 0x55));
	code(0x1000, TOUCH "\xfb" SPIN, 10);
	/* as above, then out %al, $0x10 */
	handler("\x66\xb9\x0b\x08\0\0\x66\x31\xc0\x66\x31\xd2\x0f\x30\xe6\x10", 16);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vm, KVM_IRQ_LINE, &line));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
}

/* What a client's own PIC needs: it waits for a window, injects, and the guest takes it. */
static void user_pic(void)
{
	struct kvm_interrupt irq = { .irq = 0x55 };

	code(0x1000, "\xe6\x10\xfb" SPIN, 7);			/* out %al, $0x10; sti */
	handler("\xe6\x11\xcf", 3);				/* out %al, $0x11; iret */
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->if_flag, 0);
	IS(e.run->ready_for_interrupt_injection, 0);
	e.run->request_interrupt_window = 1;
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IRQ_WINDOW_OPEN);
	IS(e.run->if_flag, 1);
	IS(e.run->ready_for_interrupt_injection, 1);
	OK(ioctl(e.vcpu, KVM_INTERRUPT, &irq));
	e.run->request_interrupt_window = 0;
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.port, 0x11);
	/* one more while its handler runs: the window opens after IRET */
	e.run->request_interrupt_window = 1;
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IRQ_WINDOW_OPEN);
}

static void split_pic(void)
{
	struct kvm_interrupt irq = { .irq = 0x55 };
	struct kvm_lapic_state s;

	split_vm(24);
	lapic_vcpu(false);
	user_pic();
	/* the LAPIC's LINT0 can keep it out */
	OK(ioctl(e.vcpu, KVM_GET_LAPIC, &s));
	*(uint32_t *)(s.regs + 0x350) |= 0x10000;
	OK(ioctl(e.vcpu, KVM_SET_LAPIC, &s));
	e.run->request_interrupt_window = 1;
	OK(ioctl(e.vcpu, KVM_INTERRUPT, &irq));
	ERR(ioctl(e.vcpu, KVM_INTERRUPT, &irq), EEXIST);
	code(0x1000, "\xfb\x90\x90\xe6\x12", 5);		/* sti; nop; nop; out %al, $0x12 */
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.port, 0x12);
	IS(e.run->ready_for_interrupt_injection, 0);
}

static void no_irqchip(void)
{
	make_vm();
	make_ram();
	make_vcpu();
	user_pic();
}

/* With all controllers in the kernel there is nothing to wait for. */
static void full_irqchip(void)
{
	struct kvm_interrupt irq = { .irq = 0x55 };

	make_vm();
	make_chips();
	lapic_vcpu(false);
	ERR(ioctl(e.vcpu, KVM_INTERRUPT, &irq), ENXIO);
	code(0x1000, "\xfb\x90\x90\xe6\x10", 5);
	real_mode(e.vcpu, 0x1000);
	e.run->request_interrupt_window = 1;
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->ready_for_interrupt_injection, 1);
}

static uint32_t tpr(void)
{
	struct kvm_lapic_state s;

	OK(ioctl(e.vcpu, KVM_GET_LAPIC, &s));
	return *(uint32_t *)(s.regs + 0x80);
}

/* The word in guest memory and the LAPIC say the same. */
static void vapic(void)
{
	struct kvm_vapic_addr va = { .vapic_addr = 0x9000 };
	uint32_t *word;

	make_vm();
	make_vcpu();
	ERR(ioctl(e.vcpu, KVM_SET_VAPIC_ADDR, &va), EINVAL);	/* no LAPIC */
	make_vm();
	make_chips();
	lapic_vcpu(false);
	va.vapic_addr = 1ull << 40;
	ERR(ioctl(e.vcpu, KVM_SET_VAPIC_ADDR, &va), EINVAL);	/* no memory */
	ERR(ioctl(e.vcpu, KVM_SET_VAPIC_ADDR, BAD_PTR), EFAULT);
	va.vapic_addr = 0x9000;
	OK(ioctl(e.vcpu, KVM_SET_VAPIC_ADDR, &va));
	word = (uint32_t *)(e.ram + 0x9000);
	*word = 0;
	/* movb $0x30, 0x9000; out %al, $0x10; out %al, $0x10 */
	code(0x1000, "\xc6\x06\x00\x90\x30\xe6\x10\xe6\x10", 9);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(tpr(), 0x30);
	IS(e.run->cr8, 3);
	/* what waits is shown */
	{
		struct kvm_msi m = { .address_lo = 0xfee00000, .data = 0x4025 };

		IS(ioctl(e.vm, KVM_SIGNAL_MSI, &m), 1);
	}
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(*word, 0x25000030);
	va.vapic_addr = 0;
	OK(ioctl(e.vcpu, KVM_SET_VAPIC_ADDR, &va));
}

static void tpr_report(void)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = 1 };
	unsigned int eax, ebx, ecx, edx, i;
	struct kvm_sregs s;
	struct kvm_regs r;

	make_vm();
	make_chips();
	lapic_vcpu(false);
	ctl.flags = 1;
	ERR(ioctl(e.vcpu, KVM_TPR_ACCESS_REPORTING, &ctl), EINVAL);
	ctl.flags = 0;
	OK(ioctl(e.vcpu, KVM_TPR_ACCESS_REPORTING, &ctl));
	/* again: mov $0x40, %al; mov %eax, 0xfee00080; out %al, $0x10; jmp again */
	code(0x1000, "\xb0\x40\x66\x67\xa3\x80\0\xe0\xfe\xe6\x10\xeb\xf3", 13);
	real_mode(e.vcpu, 0x1000);
	OK(ioctl(e.vcpu, KVM_GET_SREGS, &s));
	s.ds.limit = 0xffffffff;
	s.ds.g = 1;
	OK(ioctl(e.vcpu, KVM_SET_SREGS, &s));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	__cpuid(0, eax, ebx, ecx, edx);
	if (e.run->exit_reason == KVM_EXIT_IO && ebx == signature_INTEL_ebx)
		skip("the CPU answers for the TPR itself");
	IS(e.run->exit_reason, KVM_EXIT_TPR_ACCESS);
	IS(e.run->tpr_access.rip, 0x1002);
	IS(e.run->tpr_access.is_write, 1);
	IS(tpr(), 0x40);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	TRUE(r.rip >= 0x1009);
	/* Each time, also when the instruction is known already. */
	for (i = 0; i < 3; i++) {
		OK(ioctl(e.vcpu, KVM_RUN, 0));
		IS(e.run->exit_reason, KVM_EXIT_TPR_ACCESS);
		OK(ioctl(e.vcpu, KVM_RUN, 0));
		IS(e.run->exit_reason, KVM_EXIT_IO);
	}
}

const struct test chip_tests[] = {
	{ "split-bad", split_bad }, { "split-eoi", split_eoi }, { "split-edge", split_edge },
	{ "split-pic", split_pic }, { "no-irqchip", no_irqchip },
	{ "full-irqchip", full_irqchip }, { "vapic", vapic }, { "tpr-report", tpr_report },
	{ NULL, NULL },
};
