// SPDX-License-Identifier: GPL-2.0-only
/* Makes a VM, gives its vCPUs a start state and runs them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "vm.h"

struct report *report;
static __thread struct vcpu *self;

void say(const char *fmt, ...)
{
	va_list ap;
	int n;

	if (report->len + 2 >= sizeof(report->text))
		return;
	va_start(ap, fmt);
	n = vsnprintf(report->text + report->len, sizeof(report->text) - report->len, fmt, ap);
	va_end(ap);
	report->len += n;
	if (report->len >= sizeof(report->text))
		report->len = sizeof(report->text) - 1;
}

static void on_kick(int sig)
{
	(void)sig;
	if (self)
		self->run->immediate_exit = 1;
}

static int set_cpuid(struct vm *vm, struct vcpu *v, bool no_xsave)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));
	unsigned int i;
	int r;

	c->nent = 256;
	if (ioctl(vm->sys, KVM_GET_SUPPORTED_CPUID, c)) {
		say("GET_SUPPORTED_CPUID: %s; ", strerror(errno));
		return -1;
	}
	for (i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		switch (e->function) {
		case 1:
			e->ebx = (e->ebx & 0xffff) | v->id << 24 | vm->ncpus << 16;
			e->ecx |= 1u << 31;
			/* the TSC-deadline timer is announced by a capability */
			if (!(vm->flags & F_NOIRQCHIP) &&
			    ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
				e->ecx |= 1u << 24;
			if (vm->flags & F_NOHV)
				e->ecx &= ~(1u << 31);
			if (no_xsave)
				e->ecx &= ~(7u << 26 | 1u << 12 | 1u << 29);
			break;
		case 7:
			if (no_xsave) {
				e->ebx &= ~(1u << 5);
				e->ecx &= ~(1u << 9 | 1u << 10);
			}
			break;
		case 0xb:
		case 0x1f:
			e->edx = v->id;
			break;
		case 0xd:
			if (no_xsave)
				e->eax = e->ebx = e->ecx = e->edx = 0;
			break;
		case 0x40000000:
		case 0x40000001:
			if (vm->flags & F_NOHV)
				e->eax = e->ebx = e->ecx = e->edx = 0;
			break;
		}
	}
	r = ioctl(v->fd, KVM_SET_CPUID2, c);
	if (r)
		say("SET_CPUID2: %s; ", strerror(errno));
	free(c);
	return r;
}

static void *map(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

#define TRY_IOCTL(fd, nr, arg) do {						\
	if (ioctl(fd, nr, arg) < 0) {						\
		say(#nr ": %s; ", strerror(errno));				\
		return -1;							\
	}									\
} while (0)

int vm_create(struct vm *vm, const char *dev, unsigned int ncpus, unsigned int flags, bool no_xsave)
{
	struct kvm_userspace_memory_region m = { .memory_size = RAM_SIZE };
	struct kvm_pit_config pit = { 0 };
	struct sigaction sa = { .sa_handler = on_kick };
	unsigned int i;

	memset(vm, 0, sizeof(*vm));
	vm->ncpus = ncpus;
	vm->flags = flags;
	vm->verdict = -1;
	sem_init(&vm->done, 0, 0);
	pthread_mutex_init(&vm->lock, NULL);
	sigaction(SIGUSR1, &sa, NULL);

	vm->sys = open(dev, O_RDWR | O_CLOEXEC);
	if (vm->sys < 0) {
		say("%s: %s; ", dev, strerror(errno));
		return -1;
	}
	vm->fd = ioctl(vm->sys, KVM_CREATE_VM, 0);
	if (vm->fd < 0) {
		say("CREATE_VM: %s; ", strerror(errno));
		return -1;
	}
	vm->run_size = ioctl(vm->sys, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (ioctl(vm->sys, KVM_CHECK_EXTENSION, KVM_CAP_SET_TSS_ADDR) > 0)
		TRY_IOCTL(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
	if (!(flags & F_NOIRQCHIP)) {
		TRY_IOCTL(vm->fd, KVM_CREATE_IRQCHIP, 0);
		TRY_IOCTL(vm->fd, KVM_CREATE_PIT2, &pit);
	}
	vm->ram = map(RAM_SIZE);
	vm->pool = map(POOL_SIZE);
	if (!vm->ram || !vm->pool)
		return -1;
	m.userspace_addr = (uintptr_t)vm->ram;
	TRY_IOCTL(vm->fd, KVM_SET_USER_MEMORY_REGION, &m);
	for (i = 0; i < ncpus; i++) {
		struct vcpu *v = &vm->vcpu[i];

		v->vm = vm;
		v->id = i;
		v->inject_on_hlt = v->inject_window = -1;
		v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, i);
		if (v->fd < 0) {
			say("CREATE_VCPU %u: %s; ", i, strerror(errno));
			return -1;
		}
		/* now, since the descriptor waits for a vCPU that runs; where there is none, no case asks */
		v->stats = ioctl(v->fd, KVM_GET_STATS_FD, 0);
		v->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
		if (v->run == MAP_FAILED) {
			say("mmap of the vCPU: %s; ", strerror(errno));
			return -1;
		}
		if (set_cpuid(vm, v, no_xsave))
			return -1;
	}
	return 0;
}

static void seg(struct kvm_segment *s, int bits, int sel, int type)
{
	memset(s, 0, sizeof(*s));
	s->selector = sel;
	s->limit = bits == 16 ? 0xffff : 0xffffffff;
	s->type = type;
	s->present = s->s = 1;
	s->g = bits != 16;
	s->l = bits == 64 && (type & 8);
	s->db = bits == 32 || (bits == 64 && !(type & 8));
}

static void page_tables(struct vm *vm)
{
	uint64_t *pml4 = (uint64_t *)(vm->ram + PML4_GPA), *pdpt = (uint64_t *)(vm->ram + PDPT_GPA);
	uint64_t *pd = (uint64_t *)(vm->ram + PD_GPA), i;

	pml4[0] = PDPT_GPA | 7;
	for (i = 0; i < 4; i++)
		pdpt[i] = (PD_GPA + i * 4096) | 7;
	for (i = 0; i < 2048; i++)
		pd[i] = i << 21 | 0x87;
}

/* The boot CPU enters the image in the mode the image is made for. */
int vcpu_start_state(struct vcpu *v, int bits, uint64_t entry)
{
	struct kvm_regs regs = { .rip = entry, .rflags = 2, .rsp = 0xfff0 };
	struct kvm_sregs s;

	TRY_IOCTL(v->fd, KVM_GET_SREGS, &s);
	seg(&s.cs, bits, bits == 16 ? 0 : bits == 32 ? 0x18 : 8, 11);
	seg(&s.ds, bits, bits == 16 ? 0 : 0x10, 3);
	s.es = s.fs = s.gs = s.ss = s.ds;
	if (bits == 32)
		s.cr0 = 0x31;
	if (bits == 64) {
		page_tables(v->vm);
		s.cr3 = PML4_GPA;
		s.cr4 = 0x620;
		s.efer = 0xd00;
		s.cr0 = 0x80010033;
	}
	TRY_IOCTL(v->fd, KVM_SET_SREGS, &s);
	TRY_IOCTL(v->fd, KVM_SET_REGS, &regs);
	return 0;
}

void vm_end(struct vm *vm, int verdict)
{
	pthread_mutex_lock(&vm->lock);
	if (vm->verdict < 0)
		vm->verdict = verdict;
	pthread_mutex_unlock(&vm->lock);
	sem_post(&vm->done);
}

void vm_kick(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->ncpus; i++)
		if (vm->vcpu[i].started && !vm->vcpu[i].left)
			pthread_kill(vm->vcpu[i].thread, SIGUSR1);
}

static void log_exit(struct vm *vm, uint64_t addr, void *data, uint32_t len, bool write, bool port)
{
	struct log_entry *e;

	pthread_mutex_lock(&vm->lock);
	if (vm->log_n < LOG_MAX) {
		e = &vm->log[vm->log_n];
		*e = (struct log_entry) { .addr = addr, .len = len, .write = write, .port = port };
		memcpy(&e->data, data, len > 8 ? 8 : len);
	}
	vm->log_n++;
	pthread_mutex_unlock(&vm->lock);
}

static bool do_mmio(struct vcpu *v)
{
	struct vm *vm = v->vm;
	uint64_t a = v->run->mmio.phys_addr;
	uint32_t len = v->run->mmio.len;
	uint8_t *data = v->run->mmio.data;

	if (!len || len > 8) {
		say("MMIO exit of %u bytes; ", len);
		return false;
	}
	if (a >= MMIO_GPA && a - MMIO_GPA < MMIO_SIZE) {
		if (v->run->mmio.is_write)
			memcpy(vm->mmio + (a - MMIO_GPA), data, len);
		else
			memcpy(data, vm->mmio + (a - MMIO_GPA), len);
	} else if (a >= SLOT_GPA && a < SLOT_GPA + 0x10000000u) {
		if (!v->run->mmio.is_write)
			memset(data, 0xff, len);
	} else {
		say("unexpected MMIO %s of %u at %#llx; ", v->run->mmio.is_write ? "write" : "read",
		    len, (unsigned long long)a);
		return false;
	}
	log_exit(vm, a, data, len, v->run->mmio.is_write, false);
	return true;
}

static bool do_port(struct vcpu *v, uint32_t port, uint8_t *data, uint32_t size, bool out)
{
	struct vm *vm = v->vm;

	if (out && port == PORT_CHAR) {
		say("%c", *data);
		return true;
	}
	if (out && port == PORT_VERDICT) {
		vm_end(vm, *data);
		return false;
	}
	if (out && port == PORT_CALL && size == 4) {
		uint32_t gpa = *(uint32_t *)data;
		struct hostcall *c = (struct hostcall *)(vm->ram + gpa);

		if (gpa > RAM_SIZE - sizeof(*c))
			return false;
		c->ret = hostcall_do(v, c);
		return true;
	}
	if (port >= PORT_DEV && port < PORT_DEV + PORT_DEV_SIZE) {
		if (out)
			memcpy(vm->pio + (port - PORT_DEV), data, size);
		else
			memcpy(data, vm->pio + (port - PORT_DEV), size);
	} else if (!out) {
		memset(data, 0xff, size);
	}
	log_exit(vm, port, data, size, out, true);
	return true;
}

static bool do_io(struct vcpu *v)
{
	struct kvm_run *r = v->run;
	uint8_t *p = (uint8_t *)r + r->io.data_offset;
	uint32_t i;

	for (i = 0; i < r->io.count; i++, p += r->io.size)
		if (!do_port(v, r->io.port, p, r->io.size, r->io.direction == KVM_EXIT_IO_OUT))
			return false;
	return true;
}

static int inject(struct vcpu *v, int vec)
{
	struct kvm_interrupt irq = { .irq = vec };

	if (!ioctl(v->fd, KVM_INTERRUPT, &irq))
		return 0;
	say("KVM_INTERRUPT: %s; ", strerror(errno));
	return -1;
}

static bool do_hlt(struct vcpu *v)
{
	v->hlts++;
	if (v->inject_on_hlt < 0) {
		say("HLT exit with nothing to wake it; ");
		return false;
	}
	if (!v->run->if_flag || !v->run->ready_for_interrupt_injection) {
		say("HLT exit: if_flag %d ready %d; ", v->run->if_flag,
		    v->run->ready_for_interrupt_injection);
		return false;
	}
	if (inject(v, v->inject_on_hlt))
		return false;
	v->inject_on_hlt = -1;
	return true;
}

static void dump(struct vcpu *v)
{
	struct kvm_regs r;
	struct kvm_sregs s;
	struct kvm_mp_state mp = { 0 };

	if (ioctl(v->fd, KVM_GET_REGS, &r) || ioctl(v->fd, KVM_GET_SREGS, &s))
		return;
	ioctl(v->fd, KVM_GET_MP_STATE, &mp);
	say("[cpu%d %#x:%#llx sp %#llx fl %#llx cr0 %#llx cr2 %#llx mp %u] ", v->id, s.cs.selector,
	    r.rip, r.rsp, r.rflags, s.cr0, s.cr2, mp.mp_state);
}

/* True: run on. */
static bool handle_exit(struct vcpu *v)
{
	struct vm *vm = v->vm;
	struct kvm_run *r = v->run;

	switch (r->exit_reason) {
	case KVM_EXIT_IO:
		return do_io(v);
	case KVM_EXIT_MMIO:
		if (do_mmio(v))
			return true;
		break;
	case KVM_EXIT_HLT:
		if (do_hlt(v))
			return true;
		break;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		r->request_interrupt_window = 0;
		if (v->inject_window < 0)
			return true;
		if (!r->ready_for_interrupt_injection || !r->if_flag)
			say("window: ready %d if %d; ", r->ready_for_interrupt_injection, r->if_flag);
		else if (!inject(v, v->inject_window)) {
			v->inject_window = -1;
			return true;
		}
		break;
	case KVM_EXIT_INTR:
		return !vm->stop;
	case KVM_EXIT_SHUTDOWN:
		if (vm->flags & F_SHUTDOWN) {
			vm_end(vm, VERDICT_PASS);
			return false;
		}
		say("triple fault; ");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		if ((vm->flags & F_EMULFAIL) &&
		    (r->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ||
		     r->internal.suberror == KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON)) {
			vm_end(vm, VERDICT_PASS);
			return false;
		}
		if ((vm->flags & F_DELIVERY) && r->internal.suberror == KVM_INTERNAL_ERROR_DELIVERY_EV) {
			vm_end(vm, VERDICT_PASS);
			return false;
		}
		say("INTERNAL_ERROR %u (%llx %llx %llx); ", r->internal.suberror, r->internal.data[0],
		    r->internal.data[1], r->internal.data[2]);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		say("FAIL_ENTRY %#llx; ", r->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		say("exit reason %u; ", r->exit_reason);
	}
	dump(v);
	vm_end(vm, VERDICT_FAIL);
	return false;
}

void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	struct vm *vm = v->vm;

	self = v;
	for (;;) {
		int r;

		if (v->inject_window >= 0)
			v->run->request_interrupt_window = 1;
		r = ioctl(v->fd, KVM_RUN, 0);
		v->last_errno = r ? errno : 0;
		if (r && errno == EINTR) {
			if (vm->stop)
				break;
			v->run->immediate_exit = 0;
			continue;
		}
		if (r && errno == EAGAIN)
			continue;
		if (r) {
			say("KVM_RUN: %s; ", strerror(errno));
			vm_end(vm, VERDICT_FAIL);
			break;
		}
		if (!handle_exit(v))
			break;
	}
	if (vm->verdict < 0)
		dump(v);
	v->left = true;
	return NULL;
}
