// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the CPU and its firmware offer (AMD APM vol. 3, appendix E: leaves 0x80000001 and 0x8000000a;
 * APM vol. 2, 15.30.1: VM_CR; Intel SDM vol. 3, 24.7: IA32_FEATURE_CONTROL). What VMX has is in MSRs;
 * the kernel shows it in /proc/cpuinfo, to everybody.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

#define MSR_VM_CR 0xc0010114
#define VM_CR_SVMDIS (1u << 4)
#define MSR_FEATURE_CONTROL 0x3a
#define FEATURE_CONTROL_LOCKED (1u << 0)
#define FEATURE_CONTROL_VMX (1u << 2)

struct cpu {
	char vendor[13], brand[49], hypervisor[13];
	bool svm, vmx;
};

/* What SVM has besides itself. Only nested paging cannot be done without. */
static const struct {
	unsigned int bit;
	const char *name, *value, *without;
} svm_features[] = {
	{ 3, "nrip-save", "next RIP is saved at exits",
	  "the module decodes the instruction at each intercept to step over it: slower" },
	{ 7, "decode-assists", "instruction bytes and operands are saved at exits",
	  "the module fetches and decodes MMIO and MOV CR instructions itself: slower" },
	{ 6, "flush-by-asid", "the TLB is flushed by ASID",
	  "a flush takes a fresh ASID" },
	{ 5, "clean-bits", "the CPU may keep guest state between entries",
	  "the CPU loads all guest state at each entry: slower" },
	{ 16, "vgif", "guests have a global interrupt flag of their own",
	  "nothing is lost until guests run guests" },
	{ 13, "avic", "the CPU delivers interrupts to running guests",
	  "interrupts are delivered by a kick and an entry" },
	{ 4, "tsc-scaling", "a guest's TSC may have a rate of its own",
	  "a guest's TSC runs at the host's rate" },
};

/* The same for VMX, by the kernel's names for it. Those with a remedy cannot be done without. */
static const struct {
	const char *flag, *name, *value, *without, *remedy;
} vmx_features[] = {
	{ "ept", "nested-paging", "there", "no guest can run: the module has no shadow paging",
	  "a newer CPU is needed, or ept=1 in the outer hypervisor" },
	{ "unrestricted_guest", "unrestricted", "guests may run without paging",
	  "no guest can run: each begins in real mode",
	  "a newer CPU is needed, or unrestricted_guest=1 in the outer hypervisor" },
	{ "vpid", "vpid", "the TLB is tagged",
	  "each switch between guest and host drops the guest's translations: slower", NULL },
	{ "ept_ad", "ept-ad", "the CPU notes which pages are used",
	  "a page ages by being taken away: slower under memory pressure", NULL },
	{ "ept_1gb", "ept-1g", "1 GiB pages", "guest memory is mapped in 2 MiB pages at most", NULL },
	{ "vid", "virtual-apic", "the CPU answers for the interrupt controller",
	  "interrupts are injected at entries, and each access to the controller exits: slower", NULL },
	{ "preemption_timer", "preemption-timer", "the CPU keeps a guest's timer",
	  "timers of the host keep it: slower", NULL },
	{ "pml", "dirty-log", "the CPU logs which pages were written",
	  "the first write to each page exits while a log is kept", NULL },
	{ "ple", "pause-loop", "a CPU that waits for another exits",
	  "it keeps its host CPU until the next interrupt", NULL },
	{ "tsc_scaling", "tsc-scaling", "a guest's TSC may have a rate of its own",
	  "a guest's TSC runs at the host's rate", NULL },
};

static void leaf(uint32_t number, uint32_t regs[4])
{
	memset(regs, 0, 4 * sizeof(*regs));
	__get_cpuid_count(number, 0, &regs[0], &regs[1], &regs[2], &regs[3]);
}

static void identify(struct cpu *cpu)
{
	uint32_t r[4];
	unsigned int i;

	memset(cpu, 0, sizeof(*cpu));
	leaf(0, r);
	memcpy(cpu->vendor, &r[1], 4);
	memcpy(cpu->vendor + 4, &r[3], 4);
	memcpy(cpu->vendor + 8, &r[2], 4);
	leaf(1, r);
	cpu->vmx = r[2] & 1u << 5;
	if (r[2] & 1u << 31) {
		__cpuid(0x40000000, r[0], r[1], r[2], r[3]);
		memcpy(cpu->hypervisor, &r[1], 12);
	}
	leaf(0x80000001, r);
	cpu->svm = r[2] & 1u << 2;
	for (i = 0; i < 3; i++) {
		leaf(0x80000002 + i, r);
		memcpy(cpu->brand + 16 * i, r, 16);
	}
	for (i = (unsigned int)strlen(cpu->brand); i && cpu->brand[i - 1] == ' '; i--)
		cpu->brand[i - 1] = '\0';
}

/* Is the word in the first line of /proc/cpuinfo that begins so? -1: there is no such line. */
static int cpuinfo_has(const char *key, const char *word)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char *line = NULL, *found;
	size_t size = 0, len = strlen(word);
	int has = -1;

	while (f && has < 0 && getline(&line, &size, f) > 0) {
		if (strncmp(line, key, strlen(key)) || !strchr("\t :", line[strlen(key)]))
			continue;
		has = 0;
		for (found = line; !has && (found = strstr(found, word)); found += len)
			has = found[-1] == ' ' && strchr("\n ", found[len]);
	}
	free(line);
	if (f)
		fclose(f);
	return has;
}

static int read_msr(uint32_t msr, uint64_t *value)
{
	int fd = open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);
	ssize_t got;
	int error;

	if (fd < 0)
		return -1;
	got = pread(fd, value, sizeof(*value), msr);
	error = errno;
	close(fd);
	errno = error;
	return got == sizeof(*value) ? 0 : -1;
}

static void lock_unknown(struct report *r)
{
	struct result *result = report_add(r, "firmware", STATE_WARN,
					   "unknown whether the firmware locked it");

	if (errno == ENOENT || errno == ENXIO)
		set_remedy(result, "sudo modprobe msr, then 'sudo lamina check' again");
	else
		set_remedy(result, "run as root: 'sudo lamina check'");
}

static void check_lock(struct report *r, const struct cpu *cpu)
{
	struct result *result;
	uint64_t value;
	bool open;

	if (read_msr(cpu->svm ? MSR_VM_CR : MSR_FEATURE_CONTROL, &value)) {
		/* The kernel locks the MSR itself, and hides VMX if the firmware was first. */
		if (cpu->svm || cpuinfo_has("flags", "vmx") < 0) {
			lock_unknown(r);
			return;
		}
		open = cpuinfo_has("flags", "vmx");
	} else if (cpu->svm)
		open = !(value & VM_CR_SVMDIS);
	else	/* Not locked yet is good too: whoever comes first may enable it. */
		open = !(value & FEATURE_CONTROL_LOCKED) || (value & FEATURE_CONTROL_VMX);
	if (open) {
		report_add(r, "firmware", STATE_OK, "does not lock it");
		return;
	}
	result = report_add(r, "firmware", STATE_FAIL, "has switched virtualisation off");
	set_remedy(result, "switch on '%s' in the firmware's set-up",
		   cpu->svm ? "SVM Mode' or 'AMD-V" : "Intel Virtualization Technology' or 'VT-x");
}

static void check_svm(struct report *r)
{
	struct result *result;
	uint32_t regs[4];
	unsigned int i;

	leaf(0x8000000a, regs);
	if (regs[3] & 1) {
		report_add(r, "nested-paging", STATE_OK, "there");
	} else {
		result = report_add(r, "nested-paging", STATE_FAIL, "not there");
		set_without(result, "no guest can run: the module has no shadow paging");
		set_remedy(result, "none on this CPU; in a virtual machine, let its hypervisor offer NPT");
	}
	report_add(r, "asids", regs[1] > 1 ? STATE_OK : STATE_FAIL, "%u address spaces", regs[1]);
	for (i = 0; i < ARRAY_SIZE(svm_features); i++) {
		if (regs[3] & 1u << svm_features[i].bit) {
			report_add(r, svm_features[i].name, STATE_OK, "%s", svm_features[i].value);
			continue;
		}
		result = report_add(r, svm_features[i].name, STATE_WARN, "not there");
		set_without(result, svm_features[i].without);
	}
}

static void check_vmx(struct report *r)
{
	struct result *result;
	unsigned int i;

	if (cpuinfo_has("vmx flags", "ept") < 0) {
		result = report_add(r, "vmx", STATE_WARN, "what it has is unknown");
		set_remedy(result, "a kernel that has a line 'vmx flags' in /proc/cpuinfo, once the firmware lets it use VMX");
		return;
	}
	for (i = 0; i < ARRAY_SIZE(vmx_features); i++) {
		if (cpuinfo_has("vmx flags", vmx_features[i].flag)) {
			report_add(r, vmx_features[i].name, STATE_OK, "%s", vmx_features[i].value);
			continue;
		}
		result = report_add(r, vmx_features[i].name,
				    vmx_features[i].remedy ? STATE_FAIL : STATE_WARN, "not there");
		set_without(result, vmx_features[i].without);
		if (vmx_features[i].remedy)
			set_remedy(result, "%s", vmx_features[i].remedy);
	}
}

/**
 * check_cpu() - look at the CPU
 * @r: takes the results
 */
void check_cpu(struct report *r)
{
	struct result *result;
	struct cpu cpu;

	identify(&cpu);
	if (!cpu.svm && !cpu.vmx) {
		result = report_add(r, "cpu", STATE_FAIL, "%s (%s): neither VMX nor SVM", cpu.brand,
				    cpu.vendor);
		set_without(result, "no guest can run");
		if (cpu.hypervisor[0])
			set_remedy(result, "this host is a virtual machine (%s): switch on nested virtualisation for it, or use scripts/host",
				   cpu.hypervisor);
		else
			set_remedy(result, "a CPU with one of them, or scripts/host for an emulated one");
		return;
	}
	report_add(r, "cpu", STATE_OK, "%s (%s): %s%s%s", cpu.brand, cpu.vendor,
		   cpu.svm ? "SVM" : "VMX",
		   cpu.hypervisor[0] ? ", itself in a virtual machine of " : "", cpu.hypervisor);
	check_lock(r, &cpu);
	if (cpu.svm)
		check_svm(r);
	else
		check_vmx(r);
}
