/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The machine: one VM with its memory, vCPUs and devices, from power-on to power-off.
 */
#ifndef LAMINA_MACHINE_H
#define LAMINA_MACHINE_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "boot/boot.h"
#include "dev/dev.h"
#include "dev/pci.h"
#include "virtio/virtio.h"

#define MAX_DEVICES (PCI_SLOTS - 1)
#define LEAST_MEMORY (16ull << 20)
#define MAX_CPUS 254		/* xAPIC ids; 255 is the broadcast */

/** enum stop_reason - why the machine stopped; the first one stands */
enum stop_reason {
	STOP_NONE,
	STOP_POWER_OFF,
	STOP_RESET,
	STOP_QUIT,		/* asked for at the console */
	STOP_SIGNAL,
	STOP_SHUTDOWN,		/* triple fault */
	STOP_ENTRY,
	STOP_INTERNAL,
	STOP_CRASHED,
};

/**
 * struct device_spec - a device on the PCI bus that the user asked for
 * @name: as "disk0"
 * @kind: its kind
 * @config: what the kind made of the user's words
 * @fd: what another process opened for it, or -1
 * @asker: the request that waits for its end, or 0
 */
struct device_spec {
	char name[12];
	const struct device_kind *kind;
	void *config;
	int fd;
	uint64_t asker;
};

/**
 * struct machine_config - what the user asked for
 * @device: the hypervisor's node
 * @name: shown in thread names and messages
 * @named: the user gave it: others find the guest by it
 * @memory: bytes of RAM
 * @cpus: number of vCPUs
 * @boot: kernel, initrd and command line
 * @devices: what is on the PCI bus; changes while the guest runs, under io_lock
 * @nr_devices: how many
 */
struct machine_config {
	const char *device;
	const char *name;
	bool named;
	uint64_t memory;
	unsigned int cpus;
	struct boot_config boot;
	struct device_spec devices[MAX_DEVICES];
	unsigned int nr_devices;
};

struct machine;

/**
 * struct vcpu - one vCPU and its thread
 * @m: its machine
 * @id: number and APIC id
 * @fd: KVM's vCPU file descriptor
 * @run: the shared page
 * @thread: runs it; valid if @started
 */
struct vcpu {
	struct machine *m;
	unsigned int id;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
};

/**
 * struct machine_pause - vCPUs that stand still
 * @lock: guards what follows
 * @cond: they wait here
 * @on: they shall; read without the lock too
 * @waiting: how many do
 * @clock: the guest's clock when all did, in ns; 0: none is kept
 */
struct machine_pause {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	atomic_bool on;
	unsigned int waiting;
	uint64_t clock;
};

/**
 * struct machine - one powered-on machine
 * @config: what the user asked for
 * @fd: KVM's system file descriptor
 * @vm_fd: KVM's VM file descriptor
 * @event_fd: wakes the console loop: output, a timer to set, a stop
 * @run_size: size of the page shared with each vCPU
 * @memory: the guest's RAM
 * @entry: where the first vCPU starts
 * @cpuid: what the vCPUs' CPUID is made from
 * @tsc_khz: their TSC's rate, 0 if not known
 * @cpus: the vCPUs
 * @routing: what the GSIs mean
 * @io_lock: held in all that the PCI bus and its devices do
 * @loop_fd: epoll set of what devices wait for
 * @pci: the PCI bus
 * @devices: what is on it, @nr_devices of them, in the order of the configuration's
 * @hotplug: tells the guest of changes there
 * @ports: port I/O
 * @out_fd: where consoles write to; not blocking
 * @owned: devices that are freed with the machine and need no more than that
 * @pause: whether its vCPUs may run
 * @stop: enum stop_reason
 * @stop_signal: with STOP_SIGNAL, which
 * @crash: what a crash printed, for the terminal once it is back to normal
 */
struct machine {
	struct machine_config *config;
	int fd, vm_fd, event_fd;
	size_t run_size;
	struct guest_memory memory;
	struct cpu_entry entry;
	struct kvm_cpuid2 *cpuid;
	uint32_t tsc_khz;
	struct vcpu *cpus;
	struct kvm_irq_routing *routing;

	pthread_mutex_t io_lock;
	int loop_fd;
	struct pci *pci;
	struct virtio *devices[MAX_DEVICES];
	unsigned int nr_devices;

	struct pio_bus ports;
	struct serial *serial;
	struct rtc *rtc;
	struct acpi_pm *pm;
	struct hotplug *hotplug;
	int out_fd;
	void *owned[4];
	unsigned int owned_count;

	struct machine_pause pause;
	atomic_int stop;
	int stop_signal;
	pthread_mutex_t crash_lock;
	char crash[2048];
};

struct machine *machine_new(struct machine_config *config, int out_fd);
int machine_start(struct machine *m);
void machine_free(struct machine *m);

/* For devices and vCPUs. */
static inline struct pio_bus *machine_ports(struct machine *m)
{
	return &m->ports;
}

static inline bool machine_stopping(struct machine *m)
{
	return atomic_load_explicit(&m->stop, memory_order_acquire) != STOP_NONE;
}

int machine_own(struct machine *m, void *device);
void machine_irq(struct machine *m, unsigned int gsi, bool level);
void machine_notify(struct machine *m);
void machine_stop(struct machine *m, enum stop_reason why);

/* devices.c; what else it has is in devices.h */
void machine_ejected(struct machine *m, unsigned int slot);

/* irq.c */
int irq_init(struct machine *m);
int irq_route_msi(struct machine *m, unsigned int gsi, uint64_t address, uint32_t data);
void irq_unroute(struct machine *m, unsigned int gsi);
int irq_attach(struct machine *m, unsigned int gsi, int fd);
void irq_detach(struct machine *m, unsigned int gsi, int fd);
int doorbell_add(struct machine *m, uint64_t address, int fd);
void doorbell_del(struct machine *m, uint64_t address, int fd);

/* pause.c; what else it has is in control.h */
void pause_gate(struct vcpu *cpu);
void pause_release(struct machine *m);

/* memory.c */
int memory_init(struct guest_memory *mem, uint64_t size);
void memory_free(struct guest_memory *mem);

/* cpuid.c */
struct kvm_cpuid2 *cpuid_supported(int fd);
struct kvm_cpuid2 *cpuid_for(const struct kvm_cpuid2 *supported, unsigned int id,
			     unsigned int cpus, uint32_t tsc_khz, bool tsc_deadline);

/* vcpu.c */
int vcpu_init(struct vcpu *cpu, struct machine *m, unsigned int id);
int vcpu_start(struct vcpu *cpu);
void vcpu_kick(struct vcpu *cpu);
void vcpu_free(struct vcpu *cpu);

#endif
