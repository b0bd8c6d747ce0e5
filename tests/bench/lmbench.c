// SPDX-License-Identifier: GPL-2.0-only
/*
 * lmbench: TSC cycles per iteration of what a guest or its client does, for any
 * device that speaks the KVM API. Under QEMU's icount a cycle is an instruction.
 * Prints one line "NAME MODE CYCLES" a path, the loop's own cost taken off.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>
#include "bench.h"


/* as guests.S lays it out */
struct loop_row {
	const char *name;
	const uint8_t *code16, *end16, *code64, *end64;
};
extern const struct loop_row bench_loops[], bench_loops_end[];

const char *device = "/dev/lamina";
static const char *only;

void die(const char *what)
{
	fprintf(stderr, "lmbench: %s: %s\n", what, strerror(errno));
	exit(1);
}

int xioctl(int fd, unsigned long nr, void *arg, const char *what)
{
	int r = ioctl(fd, nr, arg);

	if (r < 0)
		die(what);
	return r;
}

void *map_memory(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

void add_slot(struct vm *vm, int slot, uint64_t gpa, size_t size, void *p, int flags)
{
	struct kvm_userspace_memory_region m = {
		.slot = slot, .flags = flags, .guest_phys_addr = gpa, .memory_size = size,
		.userspace_addr = (uintptr_t)p,
	};

	xioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &m, "SET_USER_MEMORY_REGION");
}

/* What is supported, the hypervisor bit, and more of leaf 1's ECX. */
static void set_cpuid(struct vm *vm, int vcpu, uint32_t ecx)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));

	c->nent = 256;
	xioctl(vm->sys, KVM_GET_SUPPORTED_CPUID, c, "GET_SUPPORTED_CPUID");
	for (unsigned int i = 0; i < c->nent; i++)
		if (c->entries[i].function == 1) {
			c->entries[i].ecx |= 1u << 31 | ecx;
			/* QEMU 7.2 cannot intercept XSETBV */
			if (getenv("LMBENCH_NO_XSAVE"))
				c->entries[i].ecx &= ~(7u << 26 | 1u << 12 | 1u << 29);
		}
	xioctl(vcpu, KVM_SET_CPUID2, c, "SET_CPUID2");
	free(c);
}

void vm_open(struct vm *vm, bool irqchip, size_t ram)
{
	struct kvm_pit_config pit = { 0 };
	int size;

	vm->sys = open(device, O_RDWR | O_CLOEXEC);
	if (vm->sys < 0)
		die(device);
	vm->fd = xioctl(vm->sys, KVM_CREATE_VM, NULL, "CREATE_VM");
	ioctl(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
	if (irqchip) {
		xioctl(vm->fd, KVM_CREATE_IRQCHIP, NULL, "CREATE_IRQCHIP");
		xioctl(vm->fd, KVM_CREATE_PIT2, &pit, "CREATE_PIT2");
	}
	vm->ram = map_memory(ram);
	vm->ram_size = ram;
	add_slot(vm, 0, 0, ram, vm->ram, 0);
	vm->vcpu = xioctl(vm->fd, KVM_CREATE_VCPU, NULL, "CREATE_VCPU");
	size = xioctl(vm->sys, KVM_GET_VCPU_MMAP_SIZE, NULL, "GET_VCPU_MMAP_SIZE");
	vm->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
	if (vm->run == MAP_FAILED)
		die("mmap of the vCPU");
	set_cpuid(vm, vm->vcpu, 0);
}

static void seg(struct kvm_segment *s, int bits, int sel, int type)
{
	*s = (struct kvm_segment) {
		.selector = sel, .limit = 0xffffffff, .type = type, .present = 1, .s = 1, .g = 1,
		.l = bits == 64 && (type & 8), .db = bits == 32,
	};
}

/* Real mode with 4 GiB segments, flat 32-bit mode, or 64-bit mode with 4 GiB mapped. */
void set_mode(struct vm *vm, int bits)
{
	uint64_t *pml4 = (uint64_t *)(vm->ram + 0x10000), i;
	struct kvm_sregs s;

	xioctl(vm->vcpu, KVM_GET_SREGS, &s, "GET_SREGS");
	seg(&s.cs, bits, bits == 16 ? 0 : 8, 11);
	seg(&s.ds, bits, bits == 16 ? 0 : 16, 3);
	s.es = s.fs = s.gs = s.ss = s.ds;
	if (bits == 32)
		s.cr0 = 0x11;
	if (bits == 64) {
		pml4[0] = 0x11007;
		for (i = 0; i < 4; i++)
			pml4[512 + i] = (0x12000 + i * 4096) | 7;
		for (i = 0; i < 2048; i++)
			pml4[1024 + i] = i << 21 | 0x87;
		s.cr3 = 0x10000;
		s.cr4 = 0x620;
		s.efer = 0xd00;
		s.cr0 = 0x80010033;
	}
	xioctl(vm->vcpu, KVM_SET_SREGS, &s, "SET_SREGS");
}

/* Runs to the write to port 0xf4; other exits are answered in the cheapest way. */
void run_to_end(struct vm *vm)
{
	for (;;) {
		if (ioctl(vm->vcpu, KVM_RUN, 0)) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			die("KVM_RUN");
		}
		switch (vm->run->exit_reason) {
		case KVM_EXIT_IO:
			if (vm->run->io.port == 0xf4)
				return;
			if (vm->run->io.direction == KVM_EXIT_IO_IN)
				memset((char *)vm->run + vm->run->io.data_offset, 0xff,
				       vm->run->io.size * vm->run->io.count);
			break;
		case KVM_EXIT_MMIO:
			if (!vm->run->mmio.is_write)
				memset(vm->run->mmio.data, 0xff, 8);
			break;
		case KVM_EXIT_HLT:
			break;
		default:
			fprintf(stderr, "lmbench: exit reason %u\n", vm->run->exit_reason);
			exit(1);
		}
	}
}

void vm_close(struct vm *vm)
{
	munmap(vm->ram, vm->ram_size);
	close(vm->vcpu);
	close(vm->fd);
	close(vm->sys);
}

enum kind { PLAIN, EVENT_PORT, EVENT_MMIO, EVENT_ANY, PAGES, FRESH_PAGES, NO_IRQCHIP };
static const struct path {
	const char *name, *loop;
	enum kind kind;
	uint32_t arg;
	unsigned int count;
} paths[] = {
	{ "nothing", "nothing", PLAIN, 0, 5000 },
	{ "cpuid", "cpuid", PLAIN, 0, 5000 },
	{ "hypercall", "hypercall", PLAIN, 0, 5000 },
	{ "rdmsr-pat", "rdmsr_pat", PLAIN, 0, 5000 },
	{ "rdmsr-apicbase", "rdmsr_apicbase", PLAIN, 0, 5000 },
	{ "wrmsr-mtrr", "wrmsr_mtrr", PLAIN, 0, 5000 },
	{ "port-ioeventfd", "out", EVENT_PORT, 0x1100, 5000 },
	{ "mmio-ioeventfd", "store", EVENT_MMIO, 0xd0001000, 5000 },
	{ "mmio-ioeventfd-any", "store", EVENT_ANY, 0xd0001000, 5000 },
	{ "port-elcr", "out", PLAIN, 0x4d0, 5000 },
	{ "apic-tpr-write", "store_zero", PLAIN, 0xfee00080, 5000 },
	{ "apic-eoi", "store_zero", PLAIN, 0xfee000b0, 5000 },
	{ "apic-read", "load", PLAIN, 0xfee00020, 5000 },
	{ "port-user", "out", PLAIN, 0x1000, 5000 },
	{ "mmio-user", "store", PLAIN, 0xd0000000, 5000 },
	{ "page-present", "touch", PAGES, 0x10000000, 4096 },
	{ "page-fresh", "touch", FRESH_PAGES, 0x10000000, 4096 },
	{ "run-hlt", "hlt", NO_IRQCHIP, 0, 5000 },
	{ "mov-cr0", "cr0", PLAIN, 0, 5000 },
};

static const struct loop_row *find_loop(const char *name)
{
	const struct loop_row *l;

	for (l = bench_loops; l < bench_loops_end; l++)
		if (!strcmp(l->name, name))
			return l;
	errno = ENOENT;
	die(name);
	return NULL;
}

/* VMMCALL is VMCALL on Intel. */
static void fix_hypercall(uint8_t *code, size_t len)
{
	static const uint8_t vmmcall[] = { 0x0f, 0x01, 0xd9 };
	uint8_t *p = memmem(code, len, vmmcall, sizeof(vmmcall));

	if (p && __builtin_cpu_is("intel"))
		p[2] = 0xc1;
}

static double run_path(const struct path *p, int bits)
{
	const struct loop_row *l = find_loop(p->loop);
	const uint8_t *code = bits == 16 ? l->code16 : l->code64;
	size_t len = (bits == 16 ? l->end16 : l->end64) - code, pages = 2u * p->count * 4096;
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2, .rdi = p->count, .rsi = p->arg };
	struct kvm_ioeventfd ev = { .addr = p->arg, .fd = -1 };
	void *mem = NULL;
	struct vm vm;
	uint64_t t[2];

	vm_open(&vm, p->kind != NO_IRQCHIP, 1 << 20);
	if (p->kind == EVENT_PORT || p->kind == EVENT_MMIO || p->kind == EVENT_ANY) {
		ev.fd = eventfd(0, EFD_CLOEXEC);
		ev.flags = p->kind == EVENT_PORT ? KVM_IOEVENTFD_FLAG_PIO : 0;
		ev.len = p->kind == EVENT_PORT ? 1 : p->kind == EVENT_MMIO ? 4 : 0;
		xioctl(vm.fd, KVM_IOEVENTFD, &ev, "IOEVENTFD");
	}
	if (p->kind == PAGES || p->kind == FRESH_PAGES) {
		mem = map_memory(pages);
		madvise(mem, pages, MADV_NOHUGEPAGE);
		if (p->kind == PAGES)
			memset(mem, 1, pages);
		add_slot(&vm, 1, p->arg, pages, mem, 0);
	}
	memcpy(vm.ram + 0x1000, code, len);
	fix_hypercall(vm.ram + 0x1000, len);
	set_mode(&vm, bits);
	xioctl(vm.vcpu, KVM_SET_REGS, &regs, "SET_REGS");
	run_to_end(&vm);
	memcpy(t, vm.ram + 0x600, sizeof(t));
	if (ev.fd >= 0) {
		uint64_t n = 0;

		if (read(ev.fd, &n, 8) != 8 || n != 2ull * p->count) {
			fprintf(stderr, "lmbench: %s: %llu events, not %u\n", p->name,
				(unsigned long long)n, 2 * p->count);
			exit(1);
		}
		close(ev.fd);
	}
	vm_close(&vm);
	if (mem)
		munmap(mem, pages);
	return (double)(t[1] - t[0]) / p->count;
}

static void print(const char *name, const char *mode, double v)
{
	printf("%s %s %.1f\n", name, mode, v);
	fflush(stdout);
}

/* x2APIC and TSC deadline; vector 0x40 leads to the handler of the blob. */
static void set_interrupts(struct vm *vm, const struct loop_row *l)
{
	uint64_t *gdt = (uint64_t *)(vm->ram + 0x2000);
	uint32_t *gate = (uint32_t *)(vm->ram + 0x3000 + 0x40 * 16);
	struct kvm_sregs s;

	memcpy(vm->ram + 0x1000, l->code64, l->end64 - l->code64);
	gdt[1] = 0x00af9b000000ffff;
	gdt[2] = 0x00cf93000000ffff;
	gate[0] = 8 << 16 | (0x1000 + 16);
	gate[1] = 0x8e00;
	set_cpuid(vm, vm->vcpu, 1u << 21 | 1u << 24);
	set_mode(vm, 64);
	xioctl(vm->vcpu, KVM_GET_SREGS, &s, "GET_SREGS");
	s.gdt.base = 0x2000;
	s.gdt.limit = 23;
	s.idt.base = 0x3000;
	s.idt.limit = 0x41 * 16 - 1;
	xioctl(vm->vcpu, KVM_SET_SREGS, &s, "SET_SREGS");
}

static double deadline_path(unsigned int count)
{
	const struct loop_row *l = find_loop("deadline");
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2, .rdi = count, .rsp = 0x9000 };
	struct vm vm;
	uint64_t t[2];

	vm_open(&vm, true, 1 << 20);
	set_interrupts(&vm, l);
	xioctl(vm.vcpu, KVM_SET_REGS, &regs, "SET_REGS");
	run_to_end(&vm);
	memcpy(t, vm.ram + 0x600, sizeof(t));
	vm_close(&vm);
	return (double)(t[1] - t[0]) / count - 20000;
}

static void *answer(void *vcpu)
{
	while (!ioctl(*(int *)vcpu, KVM_RUN, 0))
		;
	return NULL;
}

static void wake(int sig)
{
	(void)sig;
}

static double ipi_path(unsigned int count)
{
	const struct loop_row *l = find_loop("ipi");
	struct kvm_regs regs = { .rip = 0x1000, .rflags = 2, .rdi = count, .rsp = 0x9000 };
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct sigaction sa = { .sa_handler = wake };
	struct kvm_run *second_run;
	struct vm vm, second;
	pthread_t thread;
	uint64_t t[2];

	vm_open(&vm, true, 1 << 20);
	second = vm;
	second.vcpu = xioctl(vm.fd, KVM_CREATE_VCPU, (void *)1, "CREATE_VCPU");
	second_run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, second.vcpu, 0);
	if (second_run == MAP_FAILED)
		die("mmap of the vCPU");
	set_interrupts(&vm, l);
	set_interrupts(&second, l);
	xioctl(vm.vcpu, KVM_SET_REGS, &regs, "SET_REGS");
	regs.r8 = 1;
	regs.rsp = 0xa000;
	xioctl(second.vcpu, KVM_SET_REGS, &regs, "SET_REGS");
	xioctl(second.vcpu, KVM_SET_MP_STATE, &runnable, "SET_MP_STATE");
	sigaction(SIGUSR1, &sa, NULL);
	if (pthread_create(&thread, NULL, answer, &second.vcpu))
		die("pthread_create");
	run_to_end(&vm);
	second_run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	memcpy(t, vm.ram + 0x600, sizeof(t));
	munmap(second_run, 4096);
	close(second.vcpu);
	vm_close(&vm);
	return (double)(t[1] - t[0]) / count;
}

static void guest_paths(void)
{
	double base[2] = { 0, 0 };
	size_t i;
	int m;

	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		for (m = 0; m < 2; m++) {
			double v;

			if (i && only && strcmp(only, paths[i].name))
				continue;
			v = run_path(&paths[i], m ? 64 : 16);
			if (!i)
				base[m] = v;
			else
				print(paths[i].name, m ? "64" : "real", v - base[m]);
		}
	if (!only || !strcmp(only, "tsc-deadline"))
		print("tsc-deadline", "64", deadline_path(1000) - base[1]);
	if (!only || !strcmp(only, "ipi"))
		print("ipi", "64", ipi_path(1000) - base[1]);
}

/* What the client itself asks for. */
static void client_paths(void)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_dirty_log d = { .slot = 1 };
	size_t size = 64 << 20;
	uint64_t t0, t1, t2, n = 5000, i;
	void *mem = map_memory(size);
	struct vm vm;

	vm_open(&vm, true, 1 << 20);
	for (i = 0; i < 100; i++)
		ioctl(vm.vcpu, KVM_GET_REGS, &regs);
	t0 = __rdtsc();
	for (i = 0; i < n; i++)
		ioctl(vm.vcpu, KVM_GET_REGS, &regs);
	t1 = __rdtsc();
	for (i = 0; i < n; i++)
		ioctl(vm.vcpu, KVM_GET_SREGS, &sregs);
	t2 = __rdtsc();
	print("get-regs", "client", (double)(t1 - t0) / n);
	print("get-sregs", "client", (double)(t2 - t1) / n);
	add_slot(&vm, 1, 0x10000000, size, mem, KVM_MEM_LOG_DIRTY_PAGES);
	d.dirty_bitmap = map_memory(size / 4096 / 8);
	for (i = 0; i < 20; i++)
		ioctl(vm.fd, KVM_GET_DIRTY_LOG, &d);
	n = 500;
	t0 = __rdtsc();
	for (i = 0; i < n; i++)
		if (ioctl(vm.fd, KVM_GET_DIRTY_LOG, &d))
			break;
	t1 = __rdtsc();
	if (i == n)
		print("get-dirty-log-64M", "client", (double)(t1 - t0) / n);
	vm_close(&vm);
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "device", 1, NULL, 'd' }, { "only", 1, NULL, 'o' }, { "linux", 1, NULL, 'l' },
		{ "append", 1, NULL, 'a' },
		{ "initrd", 1, NULL, 'i' }, { "exec", 1, NULL, 'e' }, { NULL, 0, NULL, 0 },
	};
	const char *vmlinux = NULL, *append = "", *exec = NULL;
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 'd': device = optarg; break;
		case 'o': only = optarg; break;
		case 'l': vmlinux = optarg; break;
		case 'a': append = optarg; break;
		case 'i': return write_initrd(optarg);
		case 'e': exec = optarg; break;
		default:
			fprintf(stderr, "lmbench [--device DEV] [--only PATH] [--linux VMLINUX [--append S]]\n"
				"lmbench --initrd FILE: write the initrd that --exec's client boots\n"
				"lmbench --exec NAME -- CLIENT ARG...: from exec to that initrd's word\n");
			return 2;
		}
	}
	if (exec && optind < argc)
		return bench_exec(exec, argv + optind);
	if (vmlinux)
		return bench_linux(vmlinux, append);
	guest_paths();
	if (!only)
		client_paths();
	return 0;
}
