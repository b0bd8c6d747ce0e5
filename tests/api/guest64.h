/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU in 64-bit mode, for programs whose guest has its page table at 0x10000 and its data
 * at DATA_GPA; they include this behind their headers, and have a die() of their own.
 */
#ifndef LAMINA_TESTS_GUEST64_H
#define LAMINA_TESTS_GUEST64_H

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define LOW_SIZE	0x100000u	/* code, page tables, results */
#define DATA_GPA	0x40000000ul

static void die(const char *what);

static void seg(struct kvm_segment *s, int type)
{
	*s = (struct kvm_segment) { .selector = type == 11 ? 8 : 16, .limit = ~0u, .type = type,
				    .present = 1, .s = 1, .g = 1, .l = type == 11, .db = type != 11 };
}

/* What the host supports, perhaps without XSAVE; its registers, but for the general ones. */
static int make_vcpu(int sys, int vm, int id, bool no_xsave, struct kvm_run **run)
{
	struct kvm_cpuid2 *cp = calloc(1, sizeof(*cp) + 256 * sizeof(cp->entries[0]));
	int fd = ioctl(vm, KVM_CREATE_VCPU, id);
	struct kvm_sregs s;
	unsigned int i;

	if (fd < 0)
		die("CREATE_VCPU");
	*run = mmap(NULL, ioctl(sys, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cp->nent = 256;
	if (*run == MAP_FAILED || ioctl(sys, KVM_GET_SUPPORTED_CPUID, cp))
		die("vCPU");
	for (i = 0; i < cp->nent; i++)
		if (cp->entries[i].function == 1 && no_xsave)
			cp->entries[i].ecx &= ~(7u << 26 | 1u << 12 | 1u << 29);
	if (ioctl(fd, KVM_SET_CPUID2, cp) || ioctl(fd, KVM_GET_SREGS, &s))
		die("vCPU state");
	free(cp);
	seg(&s.cs, 11);
	seg(&s.ds, 3);
	s.es = s.fs = s.gs = s.ss = s.ds;
	s.cr0 = 0x80010033;
	s.cr3 = 0x10000;
	s.cr4 = 0x620;
	s.efer = 0xd00;
	if (ioctl(fd, KVM_SET_SREGS, &s))
		die("SET_SREGS");
	return fd;
}

#endif
