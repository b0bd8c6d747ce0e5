// SPDX-License-Identifier: GPL-2.0-only
/*
 * lmapi: asks a device for everything in the KVM API that is promised, with
 * right and with wrong arguments, and compares answers and errno with the
 * kernel's Documentation/virt/kvm/api.rst.
 * --blk: the disk in the module instead, on a file in memory and on each --disk
 * [direct:]PATH; --fuzz ROUNDS.
 * Prints "ok NAME", "skip NAME - WHY" or "not ok NAME - WHY".
 */
#define _GNU_SOURCE
#include "api.h"
#include <getopt.h>
#include <signal.h>
#include <sys/wait.h>

const char *device = "/dev/lamina";
bool no_xsave;
const char *disks[MAX_DISKS + 1];
long fuzz_rounds = 300;
struct env e;
static char *report;
static int *failures;
#define REPORT 4000

void check_(bool good, const char *file, int line, const char *what, long got, long want)
{
	size_t n = strlen(report);

	if (good)
		return;
	(*failures)++;
	snprintf(report + n, REPORT - n, "%s:%d: %s gave %ld, not %ld; ", file, line, what, got, want);
}

void skip(const char *why)
{
	snprintf(report, REPORT, "%s", why);
	_exit(77);
}

int cap(int c)
{
	return ioctl(e.vm > 0 ? e.vm : e.sys, KVM_CHECK_EXTENSION, c);
}

static void need(long r, const char *what)
{
	if (r >= 0)
		return;
	check_(false, "lmapi.c", __LINE__, what, -errno, 0);
	_exit(1);
}

void make_vm(void)
{
	need(e.sys = open(device, O_RDWR | O_CLOEXEC), "open");
	need(e.vm = ioctl(e.sys, KVM_CREATE_VM, 0), "CREATE_VM");
	ioctl(e.vm, KVM_SET_TSS_ADDR, 0xfffbd000);
}

int slot(int nr, uint32_t flags, uint64_t gpa, uint64_t size, void *p)
{
	struct kvm_userspace_memory_region m = {
		.slot = nr, .flags = flags, .guest_phys_addr = gpa, .memory_size = size,
		.userspace_addr = (uintptr_t)p,
	};

	return ioctl(e.vm, KVM_SET_USER_MEMORY_REGION, &m);
}

void make_ram(void)
{
	e.ram = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(slot(0, 0, 0, 1 << 20, e.ram), "the first slot");
}

void make_chips(void)
{
	struct kvm_pit_config pit = { 0 };

	need(ioctl(e.vm, KVM_CREATE_IRQCHIP, 0), "CREATE_IRQCHIP");
	need(ioctl(e.vm, KVM_CREATE_PIT2, &pit), "CREATE_PIT2");
}

void set_cpuid(int vcpu)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));
	unsigned int i;

	c->nent = 256;
	need(ioctl(e.sys, KVM_GET_SUPPORTED_CPUID, c), "GET_SUPPORTED_CPUID");
	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 1 && no_xsave)
			c->entries[i].ecx &= ~(7u << 26 | 1u << 12 | 1u << 29);
	need(ioctl(vcpu, KVM_SET_CPUID2, c), "SET_CPUID2");
	free(c);
}

void make_vcpu(void)
{
	need(e.vcpu = ioctl(e.vm, KVM_CREATE_VCPU, 0), "CREATE_VCPU");
	need(e.run_size = ioctl(e.sys, KVM_GET_VCPU_MMAP_SIZE, 0), "GET_VCPU_MMAP_SIZE");
	e.run = mmap(NULL, e.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, e.vcpu, 0);
	need(e.run == MAP_FAILED ? -1 : 0, "mmap of the vCPU");
	set_cpuid(e.vcpu);
}

void real_mode(int vcpu, uint64_t rip)
{
	struct kvm_regs r = { .rip = rip, .rflags = 2, .rsp = 0x8000 };
	struct kvm_sregs s;

	need(ioctl(vcpu, KVM_GET_SREGS, &s), "GET_SREGS");
	s.cs.base = s.cs.selector = 0;
	need(ioctl(vcpu, KVM_SET_SREGS, &s), "SET_SREGS");
	need(ioctl(vcpu, KVM_SET_REGS, &r), "SET_REGS");
}

void code(uint32_t at, const char *bytes, size_t n)
{
	memcpy(e.ram + at, bytes, n);
}

static int run_test(const struct test *t)
{
	int status = 0, i;
	pid_t pid;

	report[0] = 0;
	*failures = 0;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		alarm(40);
		t->fn();
		_exit(0);
	}
	for (i = 0; i < 5000 && waitpid(pid, &status, WNOHANG) != pid; i++)
		usleep(10000);
	if (i == 5000) {
		kill(pid, SIGKILL);
		printf("not ok api-%s - hangs; %s\n", t->name, report);
		return 1;
	}
	if (WIFSIGNALED(status)) {
		printf("not ok api-%s - signal %d; %s\n", t->name, WTERMSIG(status), report);
		return 1;
	}
	if (WEXITSTATUS(status) == 77 && !*failures) {
		printf("skip api-%s - %s\n", t->name, report);
		return 0;
	}
	if (WEXITSTATUS(status) || *failures) {
		printf("not ok api-%s - %s\n", t->name, report);
		return 1;
	}
	printf("ok api-%s\n", t->name);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "device", 1, NULL, 'd' }, { "no-xsave", 0, NULL, 'x' }, { "blk", 0, NULL, 'b' },
		{ "disk", 1, NULL, 'D' }, { "fuzz", 1, NULL, 'f' }, { NULL, 0, NULL, 0 },
	};
	const struct test *all[] = {
		system_tests, vm_tests, vcpu_tests, irq_tests, chip_tests, life_tests, more_tests, debug_tests, dirty_tests, coalesced_tests,
		name_tests,
		NULL
	};
	const struct test *blk[] = { blk_tests, NULL }, **set = all, *t;
	int o, i, nr_disks = 0, good = 0, bad = 0;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (o == 'd')
			device = optarg;
		else if (o == 'x')
			no_xsave = true;
		else if (o == 'b')
			set = blk;
		else if (o == 'D' && nr_disks < MAX_DISKS)
			disks[nr_disks++] = optarg;
		else if (o == 'f')
			fuzz_rounds = atol(optarg);
		else
			return 2;
	}
	report = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	failures = (int *)(report + 4096);
	for (; *set; set++)
		for (t = *set; t->name; t++) {
			for (i = optind; i < argc && strcmp(argv[i], t->name); i++)
				;
			if (optind < argc && i == argc)
				continue;
			if (run_test(t))
				bad++;
			else
				good++;
		}
	printf("%d passed, %d failed\n", good, bad);
	return bad || !good;
}
