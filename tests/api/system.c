// SPDX-License-Identifier: GPL-2.0-only
/* ioctls of the device itself. */
#include "api.h"

static void open_dev(void)
{
	OK(e.sys = open(device, O_RDWR | O_CLOEXEC));
}

static void version(void)
{
	open_dev();
	IS(ioctl(e.sys, KVM_GET_API_VERSION, 0), 12);
	ERR(ioctl(e.sys, KVM_GET_API_VERSION, 1), EINVAL);
	TRUE(ioctl(e.sys, KVM_GET_VCPU_MMAP_SIZE, 0) >= (int)sizeof(struct kvm_run));
	IS(ioctl(e.sys, KVM_GET_VCPU_MMAP_SIZE, 0) % 4096, 0);
	ERR(ioctl(e.sys, KVM_GET_VCPU_MMAP_SIZE, 1), EINVAL);
}

static void unknown(void)
{
	open_dev();
	/* KVM's device and vCPUs answer EINVAL to some that they do not know */
	ERR2(ioctl(e.sys, _IO(KVMIO, 0xfe), 0), ENOTTY, EINVAL);
	ERR2(ioctl(e.sys, KVM_RUN, 0), ENOTTY, EINVAL);
	ERR2(ioctl(e.sys, 0x5401, 0), ENOTTY, EINVAL);
	make_vm();
	ERR(ioctl(e.vm, _IO(KVMIO, 0xfe), 0), ENOTTY);
	ERR(ioctl(e.vm, KVM_RUN, 0), ENOTTY);
	ERR(ioctl(e.vm, 0x5401, 0), ENOTTY);
	make_vcpu();
	ERR2(ioctl(e.vcpu, _IO(KVMIO, 0xfe), 0), ENOTTY, EINVAL);
	ERR2(ioctl(e.vcpu, 0x5401, 0), ENOTTY, EINVAL);
}

static void extensions(void)
{
	static const int wanted[] = {
		KVM_CAP_IRQCHIP, KVM_CAP_HLT, KVM_CAP_USER_MEMORY, KVM_CAP_SET_TSS_ADDR,
		KVM_CAP_EXT_CPUID, KVM_CAP_MP_STATE, KVM_CAP_IRQ_ROUTING, KVM_CAP_IRQ_INJECT_STATUS,
		KVM_CAP_PIT2, KVM_CAP_USER_NMI, KVM_CAP_IRQFD, KVM_CAP_IOEVENTFD, KVM_CAP_ADJUST_CLOCK,
		KVM_CAP_VCPU_EVENTS, KVM_CAP_DEBUGREGS, KVM_CAP_XSAVE, KVM_CAP_XCRS, KVM_CAP_SIGNAL_MSI,
		KVM_CAP_READONLY_MEM, KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_GET_TSC_KHZ,
		KVM_CAP_SET_IDENTITY_MAP_ADDR, KVM_CAP_DESTROY_MEMORY_REGION_WORKS,
		KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, KVM_CAP_SYNC_MMU,
	};
	size_t i;

	open_dev();
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		int r = ioctl(e.sys, KVM_CHECK_EXTENSION, wanted[i]);

		check_(r > 0, __FILE__, __LINE__, "a capability is missing", wanted[i], r);
	}
	IS(ioctl(e.sys, KVM_CHECK_EXTENSION, 99999), 0);
	IS(ioctl(e.sys, KVM_CHECK_EXTENSION, -1), 0);
	TRUE(ioctl(e.sys, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS) >= 32);
	TRUE(ioctl(e.sys, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS) >= 4);
	TRUE(ioctl(e.sys, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS) >= 1);
	TRUE(ioctl(e.sys, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS) <=
	     ioctl(e.sys, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS));
	make_vm();
	if (ioctl(e.sys, KVM_CHECK_EXTENSION, KVM_CAP_CHECK_EXTENSION_VM) > 0)
		IS(ioctl(e.vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) > 0, 1);
}

static void create_vm(void)
{
	open_dev();
	ERR(ioctl(e.sys, KVM_CREATE_VM, 12345), EINVAL);
	OK(e.vm = ioctl(e.sys, KVM_CREATE_VM, 0));
	/* the descriptor closes on exec and cannot be read */
	IS(fcntl(e.vm, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	TRUE(read(e.vm, &e, 1) < 0);
}

static void msr_list(void)
{
	struct { struct kvm_msr_list h; uint32_t i[4096]; } m = { .h.nmsrs = 0 };
	bool star = false, tsc = false;
	unsigned int n, k;

	open_dev();
	ERR(ioctl(e.sys, KVM_GET_MSR_INDEX_LIST, &m), E2BIG);
	n = m.h.nmsrs;
	TRUE(n > 5 && n < 4096);
	m.h.nmsrs = n - 1;
	ERR(ioctl(e.sys, KVM_GET_MSR_INDEX_LIST, &m), E2BIG);
	IS(m.h.nmsrs, n);
	m.h.nmsrs = 4096;
	OK(ioctl(e.sys, KVM_GET_MSR_INDEX_LIST, &m));
	IS(m.h.nmsrs, n);
	for (k = 0; k < n; k++) {
		star |= m.i[k] == 0xc0000081;
		tsc |= m.i[k] == 0x10;
	}
	TRUE(star);
	TRUE(tsc);
	ERR(ioctl(e.sys, KVM_GET_MSR_INDEX_LIST, BAD_PTR), EFAULT);
	/* every listed one can be read and written back */
	make_vm();
	make_chips();
	make_vcpu();
	for (k = 0; k < n; k++) {
		struct { struct kvm_msrs h; struct kvm_msr_entry e; } v = { .h.nmsrs = 1, .e.index = m.i[k] };

		if (ioctl(e.vcpu, KVM_GET_MSRS, &v) != 1)
			check_(false, __FILE__, __LINE__, "GET_MSRS of a listed MSR", m.i[k], 0);
		/* TSC and clock MSRs change; the others must take their own value */
		else if (ioctl(e.vcpu, KVM_SET_MSRS, &v) != 1)
			check_(false, __FILE__, __LINE__, "SET_MSRS of a listed MSR", m.i[k], 0);
	}
}

static void supported_cpuid(void)
{
	struct { struct kvm_cpuid2 h; struct kvm_cpuid_entry2 e[256]; } c = { .h.nent = 1 };
	unsigned int i, n;
	bool one = false;

	open_dev();
	ERR(ioctl(e.sys, KVM_GET_SUPPORTED_CPUID, &c), E2BIG);
	c.h.nent = 256;
	OK(ioctl(e.sys, KVM_GET_SUPPORTED_CPUID, &c));
	n = c.h.nent;
	TRUE(n > 5 && n < 256);
	for (i = 0; i < n; i++)
		one |= c.e[i].function == 1 && (c.e[i].edx & 1);
	TRUE(one);
	ERR(ioctl(e.sys, KVM_GET_SUPPORTED_CPUID, BAD_PTR), EFAULT);
	c.h.nent = 0;
	ERR(ioctl(e.sys, KVM_GET_SUPPORTED_CPUID, &c), E2BIG);
}

const struct test system_tests[] = {
	{ "version", version }, { "unknown-ioctls", unknown }, { "extensions", extensions },
	{ "create-vm", create_vm }, { "msr-list", msr_list }, { "supported-cpuid", supported_cpuid },
	{ NULL, NULL },
};
