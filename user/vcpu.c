// SPDX-License-Identifier: GPL-2.0-only
/*
 * One vCPU: its state at power-on, its thread, and what its exits ask for.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"
#include "tool.h"

#define KICK_SIGNAL SIGUSR1
#define STACK_SIZE 0x10000

#define CR0_PE_ET 0x11u
#define CR0_PG 0x80000000u
#define CR4_PAE 0x20u
#define EFER_LME_LMA 0x500u
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLE_WB 0x806
#define LVT_LINT0 0x350
#define LVT_LINT1 0x360
#define LVT_EXTINT 0x700
#define LVT_NMI 0x400

static int set_cpuid(struct vcpu *cpu)
{
	struct machine *m = cpu->m;
	bool deadline = ioctl(m->fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	struct kvm_cpuid2 *cpuid;
	int err = 0;

	cpuid = cpuid_for(m->cpuid, cpu->id, m->config->cpus, m->tsc_khz, deadline);
	if (!cpuid)
		return -1;
	if (ioctl(cpu->fd, KVM_SET_CPUID2, cpuid) < 0)
		err = fail_errno("vCPU %u: cannot set CPUID", cpu->id);
	free(cpuid);
	return err;
}

static struct kvm_segment flat(uint16_t selector, uint8_t type, bool code, bool long_mode)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = code && long_mode,
		.db = !(code && long_mode),
	};
}

/* The first vCPU starts at the kernel's entry; the others wait for its INIT and SIPI. */
static int set_entry(struct vcpu *cpu)
{
	const struct cpu_entry *entry = &cpu->m->entry;
	struct kvm_regs regs = {
		.rip = entry->rip,
		.rbx = entry->rbx,
		.rsi = entry->rsi,
		.rflags = 2,
	};
	struct kvm_sregs sregs;

	if (ioctl(cpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return fail_errno("vCPU %u: cannot read its state", cpu->id);
	sregs.cs = flat(0x10, 11, true, entry->long_mode);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(0x18, 3, false, false);
	sregs.tr = (struct kvm_segment){
		.limit = 0x67, .selector = 0x20, .type = 11, .present = 1,
	};
	sregs.gdt.base = AT_GDT;
	sregs.gdt.limit = 5 * 8 - 1;
	sregs.idt.limit = 0;
	sregs.cr0 = CR0_PE_ET;
	if (entry->long_mode) {
		sregs.cr0 |= CR0_PG;
		sregs.cr3 = AT_PAGE_TABLES;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME_LMA;
	}
	if (ioctl(cpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(cpu->fd, KVM_SET_REGS, &regs) < 0)
		return fail_errno("vCPU %u: cannot set its entry state", cpu->id);
	return 0;
}

/* As firmware leaves it: memory is cached, unless a guest says otherwise. */
static void set_mtrr(struct vcpu *cpu)
{
	union {
		struct kvm_msrs msrs;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} set = { .msrs.nmsrs = 1 };

	set.msrs.entries[0].index = MSR_MTRR_DEF_TYPE;
	set.msrs.entries[0].data = MTRR_ENABLE_WB;
	/* A guest without MTRRs boots too, so a refusal is no failure. */
	ioctl(cpu->fd, KVM_SET_MSRS, &set);
}

/* The PICs reach the first vCPU through LINT0, NMIs come on LINT1. */
static int set_lapic(struct vcpu *cpu)
{
	uint32_t lint0 = LVT_EXTINT, lint1 = LVT_NMI;
	struct kvm_lapic_state lapic;

	if (ioctl(cpu->fd, KVM_GET_LAPIC, &lapic) < 0)
		return fail_errno("vCPU %u: cannot read its APIC", cpu->id);
	memcpy(lapic.regs + LVT_LINT0, &lint0, sizeof(lint0));
	memcpy(lapic.regs + LVT_LINT1, &lint1, sizeof(lint1));
	if (ioctl(cpu->fd, KVM_SET_LAPIC, &lapic) < 0)
		return fail_errno("vCPU %u: cannot set its APIC", cpu->id);
	return 0;
}

/**
 * vcpu_init() - make a vCPU in its power-on state
 * @cpu: to fill in
 * @m: the machine; the first vCPU needs @m->entry
 * @id: its number
 *
 * Return: 0, or -1 with a message; vcpu_free() is due in both cases.
 */
int vcpu_init(struct vcpu *cpu, struct machine *m, unsigned int id)
{
	cpu->m = m;
	cpu->id = id;
	cpu->fd = ioctl(m->vm_fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (cpu->fd < 0)
		return fail_errno("cannot create vCPU %u", id);
	cpu->run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	if (cpu->run == MAP_FAILED) {
		cpu->run = NULL;
		return fail_errno("cannot map vCPU %u", id);
	}
	if (id == 0) {
		int khz = ioctl(cpu->fd, KVM_GET_TSC_KHZ, 0);

		m->tsc_khz = khz > 0 ? (uint32_t)khz : 0;
	}
	if (set_cpuid(cpu))
		return -1;
	set_mtrr(cpu);
	if (id)
		return 0;
	return set_entry(cpu) || set_lapic(cpu) ? -1 : 0;
}

static void describe(const struct vcpu *cpu, char *text, size_t size)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	*text = '\0';
	if (ioctl(cpu->fd, KVM_GET_REGS, &r) < 0 || ioctl(cpu->fd, KVM_GET_SREGS, &s) < 0)
		return;
	snprintf(text, size,
		 "  rip %016llx  cs %04x base %08llx%s  rflags %08llx\n"
		 "  rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n"
		 "  rsi %016llx  rdi %016llx  rsp %016llx  rbp %016llx\n"
		 "  r8  %016llx  r9  %016llx  r10 %016llx  r11 %016llx\n"
		 "  r12 %016llx  r13 %016llx  r14 %016llx  r15 %016llx\n"
		 "  cr0 %08llx  cr2 %016llx  cr3 %012llx  cr4 %08llx  efer %04llx\n"
		 "  ss %04x  ds %04x  tr %04x  gdt %016llx:%04x  idt %016llx:%04x\n",
		 r.rip, s.cs.selector, s.cs.base, s.cs.l ? " 64-bit" : "", r.rflags,
		 r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp, r.rbp,
		 r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15,
		 s.cr0, s.cr2, s.cr3, s.cr4, s.efer,
		 s.ss.selector, s.ds.selector, s.tr.selector,
		 s.gdt.base, s.gdt.limit, s.idt.base, s.idt.limit);
}

/* The machine keeps the first crash's text until the terminal is back to normal. */
static void crash(struct vcpu *cpu, enum stop_reason why, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void crash(struct vcpu *cpu, enum stop_reason why, const char *fmt, ...)
{
	struct machine *m = cpu->m;
	char what[256], registers[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	describe(cpu, registers, sizeof(registers));
	pthread_mutex_lock(&m->crash_lock);
	if (!m->crash[0])
		snprintf(m->crash, sizeof(m->crash), "vCPU %u %s\n%s", cpu->id, what, registers);
	pthread_mutex_unlock(&m->crash_lock);
	machine_stop(m, why);
}

static void internal_error(struct vcpu *cpu)
{
	const struct kvm_run *run = cpu->run;
	char bytes[3 * 15 + 1] = "";
	unsigned int i, n;

	if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION) {
		crash(cpu, STOP_INTERNAL,
		      "stopped: the hypervisor could not go on (suberror %u, data %llx %llx)",
		      run->internal.suberror, run->internal.ndata > 0 ? run->internal.data[0] : 0,
		      run->internal.ndata > 1 ? run->internal.data[1] : 0);
		return;
	}
	if (run->emulation_failure.ndata >= 3 &&
	    (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
		n = run->emulation_failure.insn_size;
		for (i = 0; i < n && i < 15; i++)
			snprintf(bytes + 3 * i, 4, " %02x", run->emulation_failure.insn_bytes[i]);
	}
	crash(cpu, STOP_INTERNAL,
	      "stopped: the hypervisor does not know an instruction%s%s",
	      bytes[0] ? ":" : "", bytes);
}

static void system_event(struct vcpu *cpu)
{
	switch (cpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		machine_stop(cpu->m, STOP_POWER_OFF);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		machine_stop(cpu->m, STOP_RESET);
		break;
	default:
		crash(cpu, STOP_CRASHED, "reports that the guest crashed (event %u)",
		      cpu->run->system_event.type);
		break;
	}
}

static void handle_exit(struct vcpu *cpu)
{
	struct kvm_run *run = cpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		pio_access(&cpu->m->ports, run->io.port, (uint8_t *)run + run->io.data_offset,
			   run->io.size, run->io.count, run->io.direction == KVM_EXIT_IO_OUT);
		break;
	case KVM_EXIT_MMIO:
		/* Without a device reads float high, writes go nowhere. */
		if (!pci_mmio(cpu->m->pci, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
			      run->mmio.is_write) && !run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_SHUTDOWN:
		crash(cpu, STOP_SHUTDOWN, "shut down (triple fault)");
		break;
	case KVM_EXIT_FAIL_ENTRY:
		crash(cpu, STOP_ENTRY, "could not be entered (reason 0x%llx on CPU %u)",
		      run->fail_entry.hardware_entry_failure_reason, run->fail_entry.cpu);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		internal_error(cpu);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		system_event(cpu);
		break;
	default:
		crash(cpu, STOP_INTERNAL, "stopped with an exit that nobody asked for (%u)",
		      run->exit_reason);
		break;
	}
}

static void *vcpu_main(void *arg)
{
	struct vcpu *cpu = arg;
	char name[16];

	/* By the thread itself: others would have to open a file in /proc. */
	snprintf(name, sizeof(name), "%.10s/%u", cpu->m->config->name, cpu->id & 0xff);
	pthread_setname_np(pthread_self(), name);
	for (;;) {
		pause_gate(cpu);
		if (machine_stopping(cpu->m))
			break;
		if (!ioctl(cpu->fd, KVM_RUN, 0)) {
			handle_exit(cpu);
		} else if (errno != EINTR && errno != EAGAIN) {
			crash(cpu, STOP_INTERNAL, "cannot run: %s", strerror(errno));
			break;
		}
	}
	return NULL;
}

static void on_kick(int signal)
{
	(void)signal;		/* its arrival alone ends KVM_RUN */
}

/**
 * vcpu_start() - let a vCPU run in a thread of its own
 * @cpu: the vCPU
 *
 * Return: 0, or -1 with a message.
 */
int vcpu_start(struct vcpu *cpu)
{
	const struct sigaction kick = { .sa_handler = on_kick };
	pthread_attr_t attr;
	int err;

	sigaction(KICK_SIGNAL, &kick, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	err = pthread_create(&cpu->thread, &attr, vcpu_main, cpu);
	pthread_attr_destroy(&attr);
	if (err) {
		errno = err;
		return fail_errno("cannot start the thread of vCPU %u", cpu->id);
	}
	cpu->started = true;
	return 0;
}

/**
 * vcpu_kick() - make a vCPU's thread look whether the machine stops
 * @cpu: the vCPU
 */
void vcpu_kick(struct vcpu *cpu)
{
	if (!cpu->started)
		return;
	/* Set first: a signal that comes just before KVM_RUN would be lost otherwise. */
	__atomic_store_n(&cpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(cpu->thread, KICK_SIGNAL);
}

/**
 * vcpu_free() - wait for a kicked vCPU's thread and free the vCPU
 * @cpu: the vCPU
 */
void vcpu_free(struct vcpu *cpu)
{
	if (cpu->started)
		pthread_join(cpu->thread, NULL);
	if (cpu->run)
		munmap(cpu->run, cpu->m->run_size);
	if (cpu->fd >= 0)
		close(cpu->fd);
}
