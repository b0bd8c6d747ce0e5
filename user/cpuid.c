// SPDX-License-Identifier: GPL-2.0-only
/*
 * What CPUID tells each vCPU: all that the hypervisor supports, and a topology of one package with one
 * core per vCPU.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "machine.h"
#include "tool.h"

#define MAX_ENTRIES 512u
#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_HYPERVISOR (1u << 31)
#define LEAF1_EDX_HTT (1u << 28)
#define EXT1_ECX_CMP_LEGACY (1u << 1)
#define HV_BASE 0x40000000u
#define HV_TIMING 0x40000010u

static struct kvm_cpuid2 *allocate(unsigned int entries)
{
	struct kvm_cpuid2 *cpuid;

	cpuid = calloc(1, sizeof(*cpuid) + entries * sizeof(cpuid->entries[0]));
	if (cpuid)
		cpuid->nent = entries;
	else
		fail("out of memory");
	return cpuid;
}

/**
 * cpuid_supported() - what the hypervisor can give a guest
 * @fd: its system file descriptor
 *
 * Return: the entries, or NULL with a message.
 */
struct kvm_cpuid2 *cpuid_supported(int fd)
{
	struct kvm_cpuid2 *cpuid;
	unsigned int entries;

	for (entries = 64; entries <= MAX_ENTRIES; entries *= 2) {
		cpuid = allocate(entries);
		if (!cpuid)
			return NULL;
		if (!ioctl(fd, KVM_GET_SUPPORTED_CPUID, cpuid))
			return cpuid;
		free(cpuid);
		if (errno != E2BIG)
			break;
	}
	fail_errno("the hypervisor does not say what CPUID it supports");
	return NULL;
}

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *cpuid, uint32_t function)
{
	unsigned int i;

	for (i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == function)
			return &cpuid->entries[i];
	}
	return NULL;
}

/* Bits of an APIC id that number the vCPUs. */
static unsigned int id_bits(unsigned int cpus)
{
	unsigned int bits = 0;

	while (1u << bits < cpus)
		bits++;
	return bits;
}

/* Leaf 0xb: level 0 is the thread, of which a core has one; level 1 the package. */
static void set_topology_leaf(struct kvm_cpuid_entry2 *e, unsigned int id, unsigned int cpus)
{
	e->eax = e->ebx = 0;
	e->ecx = e->index & 0xff;
	e->edx = id;
	if (e->index == 0) {
		e->ebx = 1;
		e->ecx |= 1 << 8;
	} else if (e->index == 1) {
		e->eax = id_bits(cpus);
		e->ebx = cpus;
		e->ecx |= 2 << 8;
	}
}

/* Leaves 4 and 0x8000001d: which vCPUs share a cache. Levels 1 and 2 are each core's own. */
static void set_cache_sharing(struct kvm_cpuid_entry2 *e, unsigned int cpus)
{
	unsigned int level = e->eax >> 5 & 7;
	unsigned int sharing = level >= 3 ? (1u << id_bits(cpus)) - 1 : 0;

	if (!(e->eax & 0x1f))
		return;		/* no more caches */
	e->eax &= 0x3fff;
	e->eax |= sharing << 14;
	if (e->function == 4)
		e->eax |= (cpus - 1 > 63 ? 63 : cpus - 1) << 26;
}

static void set_entry(struct kvm_cpuid_entry2 *e, unsigned int id, unsigned int cpus, bool amd,
		      bool tsc_deadline)
{
	switch (e->function) {
	case 1:
		e->ebx = (e->ebx & 0x0000ffff) | cpus << 16 | id << 24;
		e->ecx |= LEAF1_ECX_HYPERVISOR;
		e->ecx &= ~LEAF1_ECX_TSC_DEADLINE;
		if (tsc_deadline)
			e->ecx |= LEAF1_ECX_TSC_DEADLINE;
		e->edx &= ~LEAF1_EDX_HTT;
		if (cpus > 1)
			e->edx |= LEAF1_EDX_HTT;
		break;
	case 4:
	case 0x8000001d:
		set_cache_sharing(e, cpus);
		break;
	case 0xb:
	case 0x1f:
		set_topology_leaf(e, id, cpus);
		break;
	case 0x80000001:
		e->ecx &= ~EXT1_ECX_CMP_LEGACY;
		if (amd && cpus > 1)
			e->ecx |= EXT1_ECX_CMP_LEGACY;
		break;
	case 0x80000008:
		if (amd)
			e->ecx = (e->ecx & 0xffff0f00) | (cpus - 1) | id_bits(cpus) << 12;
		break;
	case 0x8000001e:
		e->eax = id;
		e->ebx = id;	/* core number, one thread in it */
		e->ecx = 0;	/* node 0 of one */
		break;
	}
}

/**
 * cpuid_for() - the CPUID of one vCPU
 * @supported: what the hypervisor supports
 * @id: number of the vCPU
 * @cpus: how many there are
 * @tsc_khz: their TSC's rate, 0 if not known
 * @tsc_deadline: whether their APIC timer has the deadline mode
 *
 * Return: the entries, to be freed, or NULL with a message.
 */
struct kvm_cpuid2 *cpuid_for(const struct kvm_cpuid2 *supported, unsigned int id,
			     unsigned int cpus, uint32_t tsc_khz, bool tsc_deadline)
{
	struct kvm_cpuid_entry2 *e, *base;
	struct kvm_cpuid2 *cpuid;
	unsigned int i;
	bool amd;

	/* One more for the timing leaf, and one for leaf 0xb's second level. */
	cpuid = allocate(supported->nent + 2);
	if (!cpuid)
		return NULL;
	cpuid->nent = supported->nent;
	memcpy(cpuid->entries, supported->entries, supported->nent * sizeof(*e));

	e = find(cpuid, 0);
	amd = e && (e->ebx == 0x68747541 || e->ebx == 0x6f677948);	/* Auth, Hygo */
	base = find(cpuid, HV_BASE);
	if (base && tsc_khz && !find(cpuid, HV_TIMING)) {
		if (base->eax < HV_TIMING)
			base->eax = HV_TIMING;
		e = &cpuid->entries[cpuid->nent++];
		e->function = HV_TIMING;
		e->eax = tsc_khz;
		e->ebx = 1000000;	/* the APIC timer's bus clock, in kHz */
	}
	for (i = 0; i < cpuid->nent; i++)
		set_entry(&cpuid->entries[i], id, cpus, amd, tsc_deadline);
	return cpuid;
}
