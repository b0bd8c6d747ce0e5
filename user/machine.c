// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine: made at power-on, thrown away at power-off. A reset is a new machine, so that nothing of
 * the old one can be left in a vCPU, an interrupt controller or memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices.h"
#include "machine.h"
#include "tool.h"

/* What the machine cannot do without. */
static const struct {
	int capability;
	const char *name;
} needed[] = {
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
	{ KVM_CAP_PIT2, "KVM_CAP_PIT2" },
	{ KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, "KVM_CAP_IOEVENTFD_ANY_LENGTH" },
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
};

static int open_hypervisor(struct machine *m)
{
	const char *device = m->config->device;
	unsigned int i;
	int cpus, size;

	m->fd = open_device(device);
	if (m->fd < 0)
		return -1;
	if (ioctl(m->fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return fail("%s does not speak version %d of the KVM API", device, KVM_API_VERSION);
	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		if (ioctl(m->fd, KVM_CHECK_EXTENSION, needed[i].capability) <= 0)
			return fail("%s lacks %s, which this machine needs", device,
				    needed[i].name);
	}
	cpus = ioctl(m->fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (cpus > 0 && m->config->cpus > (unsigned int)cpus)
		return fail("%u vCPUs are too many: %s gives a guest at most %d", m->config->cpus,
			    device, cpus);
	size = ioctl(m->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		return fail("%s names an impossible size for a vCPU's page", device);
	m->run_size = (size_t)size;
	m->cpuid = cpuid_supported(m->fd);
	return m->cpuid ? 0 : -1;
}

static int create_vm(struct machine *m)
{
	m->vm_fd = ioctl(m->fd, KVM_CREATE_VM, 0);
	if (m->vm_fd < 0 && (errno == EBUSY || errno == ENODEV || errno == EOPNOTSUPP))
		return fail("cannot create a guest: another hypervisor is using the CPU's virtualisation ('lamina check' tells which)");
	if (m->vm_fd < 0)
		return fail_errno("cannot create a guest");
	return 0;
}

static int create_irqchips(struct machine *m)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	__u64 identity_map = IDENTITY_MAP_ADDRESS;

	if (ioctl(m->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0)
		return fail_errno("cannot place the identity map");
	if (ioctl(m->vm_fd, KVM_SET_TSS_ADDR, (unsigned long)TSS_ADDRESS) < 0)
		return fail_errno("cannot place the TSS");
	if (ioctl(m->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return fail_errno("cannot create the interrupt controllers");
	if (irq_init(m))
		return -1;
	if (ioctl(m->vm_fd, KVM_CREATE_PIT2, &pit) < 0)
		return fail_errno("cannot create the timer");
	return 0;
}

static int set_slot(struct machine *m, unsigned int slot, uint64_t gpa, uint64_t size,
		    uint8_t *at)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)at,
	};

	if (!size || !ioctl(m->vm_fd, KVM_SET_USER_MEMORY_REGION, &region))
		return 0;
	return fail_errno("cannot give the guest its memory at 0x%llx", (unsigned long long)gpa);
}

static int create_memory(struct machine *m)
{
	if (memory_init(&m->memory, m->config->memory))
		return -1;
	if (set_slot(m, 0, 0, m->memory.low, m->memory.base))
		return -1;
	return set_slot(m, 1, HOLE_END, m->memory.high, m->memory.base + m->memory.low);
}

static int create_devices(struct machine *m, int out_fd)
{
	/* In the order of how often a guest uses them. */
	m->serial = serial_new(m, out_fd);
	m->pm = acpi_pm_new(m);
	m->rtc = rtc_new(m);
	m->hotplug = hotplug_new(m);
	if (!m->serial || !m->rtc || !m->pm || !m->hotplug || !pci_new(m) || misc_add(m))
		return fail("out of memory");
	return 0;
}

static int create_cpus(struct machine *m)
{
	unsigned int i;

	m->cpus = calloc(m->config->cpus, sizeof(*m->cpus));
	if (!m->cpus)
		return fail("out of memory");
	for (i = 0; i < m->config->cpus; i++)
		m->cpus[i].fd = -1;
	for (i = 0; i < m->config->cpus; i++) {
		if (vcpu_init(&m->cpus[i], m, i))
			return -1;
	}
	return 0;
}

/**
 * machine_new() - make a machine and load its kernel; it does not run yet
 * @config: what it is to be; outlives the machine
 * @out_fd: where its console goes
 *
 * Return: the machine, or NULL with a message.
 */
struct machine *machine_new(struct machine_config *config, int out_fd)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m) {
		fail("out of memory");
		return NULL;
	}
	m->config = config;
	m->out_fd = out_fd;
	m->fd = m->vm_fd = m->loop_fd = -1;
	pthread_mutex_init(&m->crash_lock, NULL);
	pthread_mutex_init(&m->pause.lock, NULL);
	pthread_cond_init(&m->pause.cond, NULL);
	pthread_mutex_init(&m->io_lock, NULL);
	m->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->event_fd < 0)
		fail_errno("cannot make an eventfd");
	else if (!open_hypervisor(m) && !create_vm(m) && !create_irqchips(m) &&
		 !create_memory(m) && !boot_load(&config->boot, &m->memory, &m->entry) &&
		 !create_devices(m, out_fd) && !loop_init(m) && !devices_create(m) && !create_cpus(m))
		return m;
	machine_free(m);
	return NULL;
}

/**
 * machine_start() - let the vCPUs run
 * @m: the machine
 *
 * Return: 0, or -1 with a message; machine_free() is due in both cases.
 */
int machine_start(struct machine *m)
{
	unsigned int i;

	for (i = 0; i < m->config->cpus; i++) {
		if (vcpu_start(&m->cpus[i])) {
			machine_stop(m, STOP_INTERNAL);
			return -1;
		}
	}
	return 0;
}

/**
 * machine_free() - stop a machine and free all of it
 * @m: the machine
 */
void machine_free(struct machine *m)
{
	unsigned int i;

	machine_stop(m, STOP_QUIT);
	for (i = 0; m->cpus && i < m->config->cpus; i++)
		vcpu_kick(&m->cpus[i]);
	for (i = 0; m->cpus && i < m->config->cpus; i++)
		vcpu_free(&m->cpus[i]);
	free(m->cpus);
	while (m->nr_devices)
		virtio_free(m->devices[--m->nr_devices]);
	pci_free(m->pci);
	free(m->routing);
	if (m->loop_fd >= 0)
		close(m->loop_fd);
	serial_free(m->serial);
	rtc_free(m->rtc);
	acpi_pm_free(m->pm);
	while (m->owned_count)
		free(m->owned[--m->owned_count]);
	free(m->cpuid);
	if (m->vm_fd >= 0)
		close(m->vm_fd);
	if (m->fd >= 0)
		hold_close(m->fd);
	if (m->event_fd >= 0)
		close(m->event_fd);
	memory_free(&m->memory);
	free(m);
}

/**
 * machine_own() - free a device's memory with the machine
 * @m: the machine
 * @device: from malloc()
 *
 * Return: 0, or -1 when there is no place left; the device is freed then too.
 */
int machine_own(struct machine *m, void *device)
{
	if (m->owned_count == ARRAY_SIZE(m->owned)) {
		free(device);
		return -1;
	}
	m->owned[m->owned_count++] = device;
	return 0;
}

/**
 * machine_irq() - set the level of an interrupt line
 * @m: the machine
 * @gsi: which line
 * @level: high or low
 */
void machine_irq(struct machine *m, unsigned int gsi, bool level)
{
	struct kvm_irq_level irq = { .irq = gsi, .level = level };

	ioctl(m->vm_fd, KVM_IRQ_LINE, &irq);
}

/** machine_notify() - wake the console loop: a device has something for it */
void machine_notify(struct machine *m)
{
	uint64_t one = 1;

	/* It can only fail when the counter is full, and then the loop is awake anyway. */
	if (write(m->event_fd, &one, sizeof(one)) < 0)
		return;
}

/**
 * machine_stop() - stop the machine; the first reason stands
 * @m: the machine
 * @why: the reason
 */
void machine_stop(struct machine *m, enum stop_reason why)
{
	int none = STOP_NONE;

	if (atomic_compare_exchange_strong(&m->stop, &none, (int)why)) {
		pause_release(m);
		machine_notify(m);
	}
}
