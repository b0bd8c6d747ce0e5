/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a tiny guest and its client agree on: the image header, the memory
 * layout, the ports and the calls by which a guest asks its host for
 * something (raise a line, send an MSI, move a slot, ...).
 */
#ifndef LM_TEST_ABI_H
#define LM_TEST_ABI_H

/* ports */
#define PORT_CHAR	0xe9	/* one character of the report */
#define PORT_VERDICT	0xf4	/* PASS, FAIL or SKIP ends the case */
#define PORT_CALL	0xf8	/* 32 bits: address of a struct hostcall */
#define PORT_DEV	0x1000	/* 256 ports that behave like memory */
#define PORT_DEV_SIZE	0x100

#define VERDICT_PASS	0
#define VERDICT_FAIL	1
#define VERDICT_SKIP	2

/* guest physical layout */
#define INFO_GPA	0x500	/* struct guest_info */
#define IMAGE16_GPA	0x1000
#define SIPI_GPA	0x8000	/* where a 64-bit guest puts its AP start code */
#define PML4_GPA	0x10000	/* identity map of 4 GiB in 2 MiB pages: */
#define PDPT_GPA	0x11000	/* PML4, PDPT and four PDs, made by the client */
#define PD_GPA		0x12000
#define IMAGE_GPA	0x100000
#define RAM_SIZE	0x1000000
#define FREE_GPA	0x800000	/* 8 MiB upwards: never touched before the case */
#define MMIO_GPA	0xd0000000u	/* memory-like device, every access exits */
#define MMIO_SIZE	0x10000
#define HOLE_GPA	0xe0000000u	/* nothing there, the client does not answer */
#define SLOT_GPA	0x20000000u	/* cases put slots of their own from here */

#define IMAGE_MAGIC	0x544d4c47

/* flags of a case */
#define F_NOIRQCHIP	(1 << 0)	/* no in-kernel LAPIC, PIC, IOAPIC, PIT */
#define F_SHUTDOWN	(1 << 1)	/* must end in KVM_EXIT_SHUTDOWN */
#define F_HANG		(1 << 2)	/* must still run when the client's patience ends */
#define F_EMULFAIL	(1 << 3)	/* must end in KVM_EXIT_INTERNAL_ERROR */
#define F_XSAVE		(1 << 4)	/* skipped when XSAVE is hidden */
#define F_X2APIC	(1 << 5)	/* client presets nothing; documents intent */
#define F_NOHV		(1 << 6)	/* hide the hypervisor bit and the KVM leaves */
#define F_DELIVERY	(1 << 8)	/* must end in KVM_EXIT_INTERNAL_ERROR, suberror DELIVERY_EV */
#define F_HANGHLT	(1 << 7)	/* must end halted for good */

#ifndef __ASSEMBLER__
#include <stdint.h>

struct image_header {
	uint32_t magic;
	uint32_t load;		/* where the image goes */
	uint32_t entry;
	uint32_t cases;		/* array of struct image_case */
	uint32_t cases_end;
};

struct image_case {
	uint32_t name;
	uint32_t func;
	uint32_t flags;
	uint32_t cpus;
};

struct guest_info {
	uint32_t func;
	uint32_t cpus;
	uint32_t flags;
	uint32_t no_xsave;
	uint32_t vendor;	/* host's: 'A' or 'I' */
	uint32_t tsc_khz;	/* as the vCPU reports it */
	uint32_t host_tsc;	/* 1: the host trusts its own TSC */
};

/* struct hostcall: op, up to 6 arguments, answer (negative: -errno) */
struct hostcall {
	uint64_t op;
	uint64_t a[6];
	int64_t ret;
};

enum {
	HC_MSI = 1,		/* address, data */
	HC_NMI,			/* vcpu */
	HC_LINE,		/* gsi, level */
	HC_SLOT,		/* slot, gpa, size, flags, offset into the pool */
	HC_DIRTY,		/* slot, gpa of a bitmap buffer, its bytes */
	HC_LOG_RESET,		/* forget the exits seen so far */
	HC_LOG_COUNT,		/* number of MMIO and port exits since then */
	HC_LOG_GET,		/* index; a[0]=addr a[1]=data a[2]=len a[3]=write a[4]=port? */
	HC_MMIO_PEEK,		/* offset -> 8 bytes of the device */
	HC_MMIO_POKE,		/* offset, value (8 bytes) */
	HC_PIO_PEEK,
	HC_PIO_POKE,
	HC_SLEEP,		/* microseconds */
	HC_INJECT_ON_HLT,	/* vector: KVM_INTERRUPT at the next HLT exit */
	HC_INJECT_WINDOW,	/* vector: KVM_INTERRUPT when the window opens */
	HC_HLT_COUNT,		/* HLT exits so far */
	HC_PEEK_POOL,		/* offset -> 8 bytes of the memory pool behind HC_SLOT */
	HC_POKE_POOL,		/* offset, value */
	HC_LINE_LATER,		/* gsi, level, microseconds */
	HC_MSI_LATER,		/* address, data, microseconds */
	HC_SLOT_LATER,		/* slot, gpa, size, flags, offset, microseconds */
	HC_KICK,		/* vcpu, number of signals, microseconds between them */
	HC_MONO_NS,		/* host's CLOCK_MONOTONIC */
	HC_DONTNEED,		/* offset, length: MADV_DONTNEED on the RAM behind gpa */
	HC_CAP,			/* KVM_CHECK_EXTENSION of the VM */
	HC_CPUID_HOST,		/* leaf, subleaf: a[0..3] = what the host's CPU says */
	HC_GET_MSR,		/* index -> KVM_GET_MSRS of this vCPU */
	HC_GUEST_DEBUG,		/* control, only single step is used */
	HC_MP_STATE,		/* vcpu -> its mp_state */
	HC_DONTNEED_LATER,	/* offset, length, number of times, microseconds before each */
	HC_EXC_PAYLOAD,		/* inject exception by SET_VCPU_EVENTS: vector, error, has_error, NMI too */
	HC_STAT,		/* vcpu, enum stat_nr -> its count */
	HC_READ_PHYS,		/* gpa -> 8 bytes, past the guest's page tables */
};
enum stat_nr { STAT_HALTS, STAT_HALT_POLLED, STAT_FLUSHES };
#endif
#endif
