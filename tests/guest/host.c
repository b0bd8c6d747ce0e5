// SPDX-License-Identifier: GPL-2.0-only
/* What a guest may ask of its host. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "vm.h"

static int64_t err(int r)
{
	return r < 0 ? -errno : r;
}

static int64_t slot(struct vm *vm, const uint64_t *a)
{
	struct kvm_userspace_memory_region m = {
		.slot = a[0],
		.guest_phys_addr = a[1],
		.memory_size = a[2],
		.flags = a[3],
		.userspace_addr = (uintptr_t)vm->pool + a[4],
	};

	return err(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &m));
}

static int64_t msi(struct vm *vm, const uint64_t *a)
{
	struct kvm_msi m = { .address_lo = a[0], .address_hi = a[0] >> 32, .data = a[1] };

	return err(ioctl(vm->fd, KVM_SIGNAL_MSI, &m));
}

static int64_t line(struct vm *vm, const uint64_t *a)
{
	struct kvm_irq_level l = { .irq = a[0], .level = a[1] };
	int r = ioctl(vm->fd, KVM_IRQ_LINE_STATUS, &l);

	return r ? err(r) : (int)l.status;
}

struct later {
	struct vcpu *v;
	struct hostcall c;
	uint64_t us, times;
};

static void *later_thread(void *arg)
{
	struct later *l = arg;
	struct vm *vm = l->v->vm;
	uint64_t i;

	for (i = 0; i < l->times; i++) {
		usleep(l->us);
		if (vm->verdict >= 0)
			break;
		if (l->c.op == HC_KICK)
			pthread_kill(vm->vcpu[l->c.a[0]].thread, SIGUSR1);
		else
			hostcall_do(l->v, &l->c);
	}
	free(l);
	return NULL;
}

static int64_t later(struct vcpu *v, uint64_t op, const uint64_t *a, uint64_t us, uint64_t times)
{
	struct later *l = calloc(1, sizeof(*l));
	pthread_t t;

	l->v = v;
	l->c.op = op;
	memcpy(l->c.a, a, sizeof(l->c.a));
	l->us = us;
	l->times = times;
	if (pthread_create(&t, NULL, later_thread, l)) {
		free(l);
		return -EAGAIN;
	}
	pthread_detach(t);
	return 0;
}

static int64_t get_log(struct vm *vm, uint64_t *a)
{
	struct log_entry *e = &vm->log[a[0] % LOG_MAX];

	if (a[0] >= vm->log_n)
		return -ENOENT;
	a[0] = e->addr;
	a[1] = e->data;
	a[2] = e->len;
	a[3] = e->write;
	a[4] = e->port;
	return 0;
}

static int64_t dirty_log(struct vm *vm, const uint64_t *a)
{
	struct kvm_dirty_log d = { .slot = a[0], .dirty_bitmap = vm->ram + a[1] };

	if (a[1] + a[2] > RAM_SIZE)
		return -EFAULT;
	return err(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &d));
}

static int64_t get_msr(struct vcpu *v, uint64_t index)
{
	struct { struct kvm_msrs h; struct kvm_msr_entry e; } m = {
		.h.nmsrs = 1, .e.index = index,
	};

	return ioctl(v->fd, KVM_GET_MSRS, &m) == 1 ? (int64_t)m.e.data : -EINVAL;
}

/* One number of KVM_GET_STATS_FD, by its name. */
static int64_t stat_read(int fd, const char *name)
{
	struct kvm_stats_header h;
	char desc[256];
	uint64_t v;
	uint32_t i;

	if (pread(fd, &h, sizeof(h), 0) != sizeof(h) ||
	    sizeof(struct kvm_stats_desc) + h.name_size > sizeof(desc))
		return -EIO;
	for (i = 0; i < h.num_desc; i++) {
		size_t size = sizeof(struct kvm_stats_desc) + h.name_size;
		struct kvm_stats_desc *d = (void *)desc;

		if (pread(fd, desc, size, h.desc_offset + i * size) != (ssize_t)size)
			return -EIO;
		if (!strcmp(d->name, name))
			return pread(fd, &v, 8, h.data_offset + d->offset) == 8 ? (int64_t)v : -EIO;
	}
	return -ENOENT;
}

static int64_t vcpu_stat(struct vm *vm, const uint64_t *a)
{
	static const char *const names[] = { "halts", "halt_polled", "flushes" };

	if (a[0] >= vm->ncpus || a[1] >= sizeof(names) / sizeof(names[0]))
		return -EINVAL;
	return stat_read(vm->vcpu[a[0]].stats, names[a[1]]);
}

static int64_t queue_exception(struct vcpu *v, const uint64_t *a)
{
	struct kvm_vcpu_events ev;

	if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &ev))
		return -errno;
	ev.exception.injected = 1;
	ev.exception.nr = a[0];
	ev.exception.error_code = a[1];
	ev.exception.has_error_code = a[2];
	ev.flags = 0;
	if (ioctl(v->fd, KVM_SET_VCPU_EVENTS, &ev))
		return -errno;
	return a[3] ? err(ioctl(v->fd, KVM_NMI, 0)) : 0;
}

static int64_t poke(uint8_t *base, uint64_t size, uint64_t off, uint64_t val, bool write)
{
	int64_t r;

	if (off > size - 8)
		return -EFAULT;
	if (write)
		memcpy(base + off, &val, 8);
	memcpy(&r, base + off, 8);
	return r;
}

static int64_t mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

int64_t hostcall_do(struct vcpu *v, struct hostcall *c)
{
	struct kvm_guest_debug dbg = { 0 };
	struct kvm_mp_state mp;
	struct vm *vm = v->vm;
	uint64_t *a = c->a;
	unsigned int r[4];

	if ((c->op == HC_NMI || c->op == HC_MP_STATE || c->op == HC_KICK) &&
	    a[0] >= vm->ncpus)
		return -EINVAL;
	switch (c->op) {
	case HC_MSI: return msi(vm, a);
	case HC_NMI: return err(ioctl(vm->vcpu[a[0]].fd, KVM_NMI, 0));
	case HC_LINE: return line(vm, a);
	case HC_SLOT: return slot(vm, a);
	case HC_DIRTY: return dirty_log(vm, a);
	case HC_LOG_RESET: vm->log_n = 0; return 0;
	case HC_LOG_COUNT: return vm->log_n;
	case HC_LOG_GET: return get_log(vm, a);
	case HC_MMIO_PEEK: return poke(vm->mmio, sizeof(vm->mmio), a[0], 0, false);
	case HC_MMIO_POKE: return poke(vm->mmio, sizeof(vm->mmio), a[0], a[1], true);
	case HC_PIO_PEEK: return poke(vm->pio, sizeof(vm->pio), a[0], 0, false);
	case HC_PIO_POKE: return poke(vm->pio, sizeof(vm->pio), a[0], a[1], true);
	case HC_PEEK_POOL: return poke(vm->pool, POOL_SIZE, a[0], 0, false);
	case HC_POKE_POOL: return poke(vm->pool, POOL_SIZE, a[0], a[1], true);
	case HC_READ_PHYS: return poke(vm->ram, RAM_SIZE, a[0], 0, false);
	case HC_SLEEP: usleep(a[0]); return 0;
	case HC_INJECT_ON_HLT: v->inject_on_hlt = a[0]; return 0;
	case HC_INJECT_WINDOW: v->inject_window = a[0]; return 0;
	case HC_HLT_COUNT: return v->hlts;
	case HC_LINE_LATER: return later(v, HC_LINE, a, a[2], 1);
	case HC_MSI_LATER: return later(v, HC_MSI, a, a[2], 1);
	case HC_SLOT_LATER: return later(v, HC_SLOT, a, a[5], 1);
	case HC_KICK: return later(v, HC_KICK, a, a[2], a[1]);
	case HC_DONTNEED_LATER: return later(v, HC_DONTNEED, a, a[3], a[2]);
	case HC_MONO_NS: return mono_ns();
	case HC_DONTNEED:
		if (a[0] + a[1] > RAM_SIZE)
			return -EFAULT;
		return err(madvise(vm->ram + a[0], a[1], MADV_DONTNEED));
	case HC_CAP: return err(ioctl(vm->fd, KVM_CHECK_EXTENSION, a[0]));
	case HC_CPUID_HOST:
		__cpuid_count(a[0], a[1], r[0], r[1], r[2], r[3]);
		a[0] = r[0];
		a[1] = r[1];
		a[2] = r[2];
		a[3] = r[3];
		return 0;
	case HC_STAT: return vcpu_stat(vm, a);
	case HC_GET_MSR: return get_msr(v, a[0]);
	case HC_GUEST_DEBUG:
		dbg.control = a[0];
		return err(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &dbg));
	case HC_MP_STATE:
		/* of another vCPU this waits until that one leaves KVM_RUN */
		return ioctl(vm->vcpu[a[0]].fd, KVM_GET_MP_STATE, &mp) ? -errno : (int64_t)mp.mp_state;
	case HC_EXC_PAYLOAD: return queue_exception(v, a);
	}
	return -ENOSYS;
}
