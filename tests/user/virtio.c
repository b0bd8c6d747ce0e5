// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI bus and virtio's transport, driven as a guest does: registers, negotiation, rings, interrupts,
 * and then a storm of wrong writes and wrong rings, built with the address sanitizer. Whatever a guest
 * does to one device, a reset brings it back, and its neighbour does not notice.
 */
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake.h"
#include "test.h"

#define RAM (4u << 20)
#define ROUNDS 200000
#define COMMON 0x0000
#define ISR 0x1000
#define NOTIFY 0x3000
#define MSIX 0x4000
#define FIELD(field) offsetof(struct virtio_pci_common_cfg, field)
#define FEATURES_OK (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | \
		     VIRTIO_CONFIG_S_FEATURES_OK)
#define RUNNING (FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)

/* Where the driver puts things: a megabyte for each device. */
#define AT(slot) ((slot) * 0x100000u)
#define DESC(slot) AT(slot)
#define AVAIL(slot) (AT(slot) + 0x4000)
#define USED(slot) (AT(slot) + 0x6000)
#define BUFFER(slot) (AT(slot) + 0x8000)
#define SIZE 16u

static uint32_t seed = 1;

static uint32_t chance(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

/* ---- a driver ---- */

static uint32_t config(unsigned int slot, unsigned int reg, unsigned int size)
{
	out(PORT_PCI, 0x80000000u | slot << 11 | (reg & 0xfc), 4);
	return in((uint16_t)(0xcfc + (reg & 3)), size) & (size == 4 ? ~0u : (1u << 8 * size) - 1);
}

static void set_config(unsigned int slot, unsigned int reg, uint32_t value, unsigned int size)
{
	out(PORT_PCI, 0x80000000u | slot << 11 | (reg & 0xfc), 4);
	out((uint16_t)(0xcfc + (reg & 3)), value, size);
}

static uint64_t bar(unsigned int slot)
{
	return (config(slot, PCI_BASE_ADDRESS_0, 4) & ~0xfu) |
	       (uint64_t)config(slot, PCI_BASE_ADDRESS_1, 4) << 32;
}

static uint32_t get(unsigned int slot, uint32_t offset, unsigned int size)
{
	uint32_t value = 0;

	pci_mmio(machine.pci, bar(slot) + offset, &value, size, false);
	return value;
}

static void set(unsigned int slot, uint32_t offset, uint32_t value, unsigned int size)
{
	pci_mmio(machine.pci, bar(slot) + offset, &value, size, true);
}

static uint8_t status(unsigned int slot)
{
	return (uint8_t)get(slot, FIELD(device_status), 1);
}

static void set_status(unsigned int slot, uint8_t value)
{
	set(slot, FIELD(device_status), value, 1);
}

static void *ram(uint32_t gpa)
{
	return machine.memory.base + gpa;
}

static void serve(void)
{
	struct pollfd loop = { .fd = machine.loop_fd, .events = POLLIN };
	unsigned int i;

	for (i = 0; i < 100 && poll(&loop, 1, 0) > 0; i++)
		loop_serve(&machine);
}

static void negotiate(unsigned int slot, uint64_t features)
{
	set(slot, FIELD(guest_feature_select), 0, 4);
	set(slot, FIELD(guest_feature), (uint32_t)features, 4);
	set(slot, FIELD(guest_feature_select), 1, 4);
	set(slot, FIELD(guest_feature), (uint32_t)(features >> 32), 4);
	set_status(slot, FEATURES_OK);
}

static void give_ring(unsigned int slot, uint32_t desc, uint16_t size)
{
	set(slot, FIELD(queue_select), 0, 2);
	set(slot, FIELD(queue_size), size, 2);
	set(slot, FIELD(queue_desc_lo), desc, 4);
	set(slot, FIELD(queue_desc_hi), 0, 4);
	set(slot, FIELD(queue_avail_lo), AVAIL(slot), 4);
	set(slot, FIELD(queue_avail_hi), 0, 4);
	set(slot, FIELD(queue_used_lo), USED(slot), 4);
	set(slot, FIELD(queue_used_hi), 0, 4);
	set(slot, FIELD(queue_enable), 1, 2);
}

/* From reset to running, with MSI-X: vector 0 for the queue, 1 for the configuration. */
static void bring_up(unsigned int slot, uint64_t features)
{
	unsigned int i;

	set_config(slot, PCI_BASE_ADDRESS_0, PCI_WINDOW + slot * PCI_BAR_MAX, 4);
	set_config(slot, PCI_BASE_ADDRESS_1, 0, 4);
	set_config(slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	set_status(slot, 0);
	memset(ram(AT(slot)), 0, 0x10000);
	for (i = 0; i < 2; i++) {
		set(slot, MSIX + 16 * i, 0xfee00000, 4);
		set(slot, MSIX + 16 * i + 4, 0, 4);
		set(slot, MSIX + 16 * i + 8, 0x40 + i, 4);
		set(slot, MSIX + 16 * i + 12, 0, 4);
	}
	set_config(slot, machine.devices[slot - 1]->pci.msix_cap + PCI_MSIX_FLAGS,
		   PCI_MSIX_FLAGS_ENABLE, 2);
	negotiate(slot, features | VIRTIO_FEATURE(VIRTIO_F_VERSION_1));
	set(slot, FIELD(msix_config), 1, 2);
	give_ring(slot, DESC(slot), SIZE);
	set(slot, FIELD(queue_msix_vector), 0, 2);
	set_status(slot, RUNNING);
}

static void describe(unsigned int slot, unsigned int at, uint64_t addr, uint32_t len, uint16_t flags,
		     uint16_t next)
{
	((struct vring_desc *)ram(DESC(slot)))[at] = (struct vring_desc){ addr, len, flags, next };
}

static void kick(unsigned int slot)
{
	struct vring_avail *avail = ram(AVAIL(slot));

	avail->idx++;
	set(slot, NOTIFY, 0, 2);
	serve();
}

/* Ask for random bytes; do they come, with one interrupt? */
static bool gives_bytes(unsigned int slot)
{
	static const uint8_t zero[64];
	struct vring_used *used = ram(USED(slot));
	struct vring_avail *avail = ram(AVAIL(slot));
	uint16_t before = used->idx;
	int fd = gsis[PCI_FIRST_MSI + slot * PCI_VECTORS].fd;
	uint64_t count = 0;

	memset(ram(BUFFER(slot)), 0, sizeof(zero));
	describe(slot, 3, BUFFER(slot), sizeof(zero), VRING_DESC_F_WRITE, 0);
	avail->ring[avail->idx % SIZE] = 3;
	kick(slot);
	return fd && read(fd, &count, sizeof(count)) == sizeof(count) && count == 1 &&
	       used->idx == (uint16_t)(before + 1) && used->ring[before % SIZE].id == 3 &&
	       used->ring[before % SIZE].len == sizeof(zero) &&
	       memcmp(ram(BUFFER(slot)), zero, sizeof(zero));
}

/* ---- what a right driver sees ---- */

static void test_config(void)
{
	unsigned int at, types = 0;
	uint32_t value = 0;

	CHECK("pci: the device", config(1, 0, 4) == 0x10441af4 && config(1, 0x2c, 4) == 0x10441af4);
	CHECK("pci: nobody", config(3, 0, 4) == 0xffffffff);
	pci_mmio(machine.pci, ECAM_ADDRESS + 0x8000, &value, 4, false);
	CHECK("pci: the same through memory", value == 0x10441af4);
	pci_mmio(machine.pci, ECAM_ADDRESS + 0x8100, &value, 4, false);
	CHECK("pci: no extended capability", value == 0);
	pci_mmio(machine.pci, ECAM_ADDRESS + 0x9000, &value, 4, false);
	CHECK("pci: no second function", value == 0xffffffff);
	CHECK("pci: no access outside of all", !pci_mmio(machine.pci, ECAM_ADDRESS - 4, &value, 4, false) &&
	      !pci_mmio(machine.pci, PCI_WINDOW, &value, 4, false));
	for (at = config(1, PCI_CAPABILITY_LIST, 1); at; at = config(1, at + 1, 1)) {
		if (config(1, at, 1) == PCI_CAP_ID_VNDR)
			types |= 1u << config(1, at + 3, 1);
		else
			types |= config(1, at, 1) == PCI_CAP_ID_MSIX;
	}
	CHECK("virtio: capabilities but the device's own, which has no configuration",
	      types == (1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5));
	set_config(1, PCI_BASE_ADDRESS_0, 0xffffffff, 4);
	set_config(1, PCI_BASE_ADDRESS_1, 0xffffffff, 4);
	CHECK("pci: BAR 0 is 32 KiB", config(1, PCI_BASE_ADDRESS_0, 4) == (0xffff8000 | 4) &&
	      config(1, PCI_BASE_ADDRESS_1, 4) == 0xffffffff);
	set_config(1, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	CHECK("pci: no such address", machine.devices[0]->pci.bar == 0);
	set_config(1, PCI_VENDOR_ID, 0, 4);
	CHECK("pci: what cannot be written", config(1, 0, 4) == 0x10441af4);
}

static void test_run(void)
{
	struct pci_device *pci = &machine.devices[0]->pci;
	unsigned int gsi = PCI_FIRST_MSI + PCI_VECTORS, window = machine.devices[0]->cfg_cap;
	uint64_t count = 0;

	bring_up(1, 0);
	CHECK("virtio: it runs", status(1) == RUNNING);
	CHECK("virtio: one doorbell", doorbells[0].address == bar(1) + NOTIFY && !doorbells[1].address);
	CHECK("virtio: its message", gsis[gsi].address == 0xfee00000 && gsis[gsi].data == 0x40);
	CHECK("rng: bytes", gives_bytes(1) && gives_bytes(1));
	set_config(1, PCI_BASE_ADDRESS_0, 0xd0000000, 4);
	CHECK("pci: BAR 0 and the doorbell move", doorbells[0].address == 0xd0000000 + NOTIFY &&
	      !doorbells[1].address && gives_bytes(1));
	set_config(1, PCI_COMMAND, 0, 2);
	CHECK("pci: not decoded", !doorbells[0].address && !pci->bar);
	set_config(1, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);

	set(1, MSIX + 12, 1, 4);
	CHECK("msix: masked", !gsis[gsi].fd && !get(1, MSIX + 32, 4));
	kick(1);
	CHECK("msix: pending", get(1, MSIX + 32, 4) == 1);
	set(1, MSIX + 12, 0, 4);
	CHECK("msix: delivered when it opens", gsis[gsi].fd && !get(1, MSIX + 32, 4) &&
	      read(gsis[gsi].fd, &count, sizeof(count)) == sizeof(count));
	set(1, MSIX, 0x12345678, 4);
	CHECK("msix: no such message", !gsis[gsi].fd);
	set(1, MSIX, 0xfee00000, 4);
	set_config(1, pci->msix_cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	CHECK("msix: all masked", !gsis[gsi].fd && !gsis[gsi + 1].fd);

	set_config(1, pci->msix_cap + PCI_MSIX_FLAGS, 0, 2);
	kick(1);
	CHECK("intx: up", line[PCI_INTX_GSI + 1] && (config(1, PCI_STATUS, 2) & 8));
	set_config(1, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE, 2);
	CHECK("intx: disabled", !line[PCI_INTX_GSI + 1]);
	set_config(1, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	CHECK("intx: reading its reason ends it", line[PCI_INTX_GSI + 1] && get(1, ISR, 1) == 1 &&
	      !line[PCI_INTX_GSI + 1] && get(1, ISR, 1) == 0);

	set_config(1, window + 8, FIELD(num_queues), 4);
	set_config(1, window + 12, 2, 4);
	CHECK("virtio: read through configuration space", config(1, window + 16, 2) == 1);
	set_config(1, window + 8, FIELD(device_status), 4);
	set_config(1, window + 12, 1, 4);
	set_config(1, window + 16, 0, 1);
	CHECK("virtio: reset through it", status(1) == 0 && !machine.devices[0]->running &&
	      !doorbells[0].address);
}

/* ---- what a wrong one sees ---- */

static bool needs_reset(unsigned int slot)
{
	return status(slot) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void test_order(void)
{
	int fd;
	uint64_t count = 0;

	set_status(1, 0);
	negotiate(1, 0);
	CHECK("features: without version 1", !(status(1) & VIRTIO_CONFIG_S_FEATURES_OK));
	set_status(1, 0);
	negotiate(1, VIRTIO_FEATURE(VIRTIO_F_VERSION_1) | 1);
	CHECK("features: one that was not offered", !(status(1) & VIRTIO_CONFIG_S_FEATURES_OK));
	set_status(1, RUNNING & ~VIRTIO_CONFIG_S_FEATURES_OK);
	CHECK("order: running without features", needs_reset(1));
	set_status(1, 0);
	give_ring(1, DESC(1), SIZE);
	CHECK("order: a queue without features", needs_reset(1));

	set_status(1, 0);
	negotiate(1, VIRTIO_FEATURE(VIRTIO_F_VERSION_1));
	give_ring(1, RAM - 64, SIZE);
	CHECK("queue: beyond memory", needs_reset(1));
	set_status(1, 0);
	negotiate(1, VIRTIO_FEATURE(VIRTIO_F_VERSION_1));
	give_ring(1, DESC(1) + 8, SIZE);
	CHECK("queue: not aligned", needs_reset(1));
	set_status(1, 0);
	negotiate(1, VIRTIO_FEATURE(VIRTIO_F_VERSION_1));
	give_ring(1, DESC(1), 12);
	CHECK("queue: not a power of two", needs_reset(1));
	set_status(1, 0);
	negotiate(1, VIRTIO_FEATURE(VIRTIO_F_VERSION_1));
	give_ring(1, DESC(1), 128);
	CHECK("queue: too large", needs_reset(1));

	bring_up(1, 0);
	fd = gsis[PCI_FIRST_MSI + PCI_VECTORS + 1].fd;
	set(1, FIELD(queue_size), 8, 2);
	CHECK("queue: changed while it runs", needs_reset(1) && !machine.devices[0]->running);
	CHECK("the driver is told", fd && read(fd, &count, sizeof(count)) == sizeof(count));
	set_status(1, RUNNING);
	give_ring(1, DESC(1), SIZE);
	CHECK("only a reset helps", needs_reset(1));
	bring_up(1, 0);
	CHECK("and it does help", gives_bytes(1));
}

static void wrong_ring(const char *name, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	bring_up(1, VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC));
	describe(1, 0, addr, len, flags, next);
	describe(1, 1, BUFFER(1), 16, VRING_DESC_F_NEXT, 0);
	kick(1);
	CHECK(name, needs_reset(1));
}

static void test_rings(void)
{
	struct vring_desc *inner;
	struct vring_avail *avail;

	wrong_ring("ring: a buffer beyond memory", RAM - 8, 16, 2, 0);
	wrong_ring("ring: a buffer whose end wraps", ~0ull - 8, 16, 2, 0);
	wrong_ring("ring: a buffer across the end of the address space", 1ull << 63, 0xffffffff, 2, 0);
	wrong_ring("ring: a chain that runs in a circle", BUFFER(1), 16, 1, 1);
	wrong_ring("ring: a descriptor that is not there", BUFFER(1), 16, 1, 999);
	wrong_ring("ring: read after write", BUFFER(1), 16, 3, 1);
	wrong_ring("ring: an indirect table of no size", BUFFER(1), 0, 4, 0);
	wrong_ring("ring: an indirect table of an odd size", BUFFER(1), 17, 4, 0);
	wrong_ring("ring: an indirect table beyond memory", RAM - 16, 32, 4, 0);
	wrong_ring("ring: an indirect descriptor with a next", BUFFER(1), 16, 5, 1);

	bring_up(1, VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC));
	inner = ram(BUFFER(1));
	*inner = (struct vring_desc){ BUFFER(1), 16, VRING_DESC_F_INDIRECT, 0 };
	describe(1, 0, BUFFER(1), 16, VRING_DESC_F_INDIRECT, 0);
	kick(1);
	CHECK("ring: an indirect table in an indirect table", needs_reset(1));

	bring_up(1, 0);
	describe(1, 0, BUFFER(1), 16, VRING_DESC_F_INDIRECT, 0);
	kick(1);
	CHECK("ring: indirect without the feature", needs_reset(1));

	bring_up(1, 0);
	avail = ram(AVAIL(1));
	avail->idx = 100;
	kick(1);
	CHECK("ring: more than it holds", needs_reset(1));

	bring_up(1, 0);
	avail->ring[0] = SIZE;
	kick(1);
	CHECK("ring: a head that is not there", needs_reset(1));

	bring_up(1, VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC));
	inner = ram(BUFFER(1));
	*inner = (struct vring_desc){ BUFFER(1) + 64, 64, VRING_DESC_F_WRITE, 0 };
	describe(1, 0, BUFFER(1), 16, VRING_DESC_F_INDIRECT, 0);
	kick(1);
	CHECK("ring: a right indirect table", !needs_reset(1) &&
	      ((struct vring_used *)ram(USED(1)))->ring[0].len == 64);
}

/* ---- a storm ---- */

static void storm_config(void)
{
	unsigned int reg = chance() & 0xff, size = 1u << chance() % 3;
	uint32_t value = chance() & 1 ? chance() << 8 | (chance() & 0xff) : chance() & 0xff;

	reg &= ~(size - 1);
	if (chance() & 1)
		set_config(1, reg, value, size);
	else
		pci_mmio(machine.pci, ECAM_ADDRESS + 0x8000 + (chance() & 0x1ff), &value, size, true);
}

static void storm_bar(void)
{
	static const uint16_t pages[] = { COMMON, COMMON, COMMON, ISR, 0x2000, NOTIFY, MSIX, 0x5000 };
	uint32_t offset = pages[chance() % 8] + (chance() & 0x3f);
	uint64_t value = chance() & 3 ? chance() & 0x1f : chance() * 0x100000001ull;

	if (chance() & 1)
		value = AT(1) + (value & ~15ull) % 0x10000;
	pci_mmio(machine.pci, bar(1) + offset, &value, 1u << chance() % 4, chance() & 3);
}

static unsigned int served, broken;

/* Some rounds begin with a device that runs, so that rings are reached at all. */
static void storm_ring(void)
{
	uint16_t *words = ram(AT(1));
	unsigned int i;

	if (!machine.devices[0]->running || !machine.devices[0]->pci.bar || chance() % 64 == 0)
		bring_up(1, chance() & (VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |
					VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX)));
	for (i = 0; i < 8; i++)
		words[chance() % 0x4000] = (uint16_t)(chance() & 1 ? chance() & 0x1f : chance());
	describe(1, chance() % SIZE, BUFFER(1) + (chance() & 0xff0), 16 * (chance() & 7),
		 chance() & 7, chance() % SIZE);
	((struct vring_avail *)ram(AVAIL(1)))->ring[chance() % SIZE] = chance() % (SIZE + 1);
	kick(1);
	*(machine.devices[0]->running ? &served : &broken) += 1;
}

/* Other devices than the first: whatever is done to them, the neighbour does not notice. */
static void storm_of(const struct device_kind *kind, const char *config, const char *name)
{
	uint32_t *buffer = ram(BUFFER(1));
	unsigned int i, j, lost = 0;

	virtio_free(machine.devices[0]);
	machine.nr_devices = 0;
	machine.devices[0] = virtio_new(kind, &machine, config, -1);
	machine.nr_devices = 2;
	served = broken = 0;
	for (i = 0; machine.devices[0] && i < ROUNDS / 4; i++) {
		if (chance() % 4)
			storm_ring();
		else
			storm_bar();
		/* Page frame numbers, for a balloon: there and not there, but not the neighbour's. */
		for (j = 0; j < 16; j++)
			buffer[chance() % 1024] = chance() & 1 ? chance() % 0x200 : chance();
		vconsole_flush(&machine);
		vconsole_receive(&machine, (const uint8_t *)"typed", 5);
		if (i % 16 == 0)
			serve();
		if (i % 1000 == 0)
			lost += !gives_bytes(2);
	}
	CHECK(name, machine.devices[0] && !lost && served > ROUNDS / 200);
}

static void test_storm(void)
{
	unsigned int i, lost = 0;
	uint64_t count;

	/* What is said about each broken device would fill the log. */
	if (!freopen("/dev/null", "w", stderr))
		return;
	bring_up(2, 0);
	for (i = 0; i < ROUNDS; i++) {
		switch (chance() % 4) {
		case 0:
			storm_config();
			break;
		case 1:
			storm_ring();
			break;
		default:
			storm_bar();
			break;
		}
		if (i % 16 == 0)
			serve();
		if (i % 1000)
			continue;
		lost += !gives_bytes(2);
		bring_up(1, 0);
		/* What was signalled before. */
		while (read(gsis[PCI_FIRST_MSI + PCI_VECTORS].fd, &count, sizeof(count)) > 0)
			;
		lost += !gives_bytes(1);
	}
	CHECK("storm: a reset brings the device back, and the other did not notice", !lost);
	CHECK("storm: rings were served, and rings were refused", served > ROUNDS / 50 &&
	      broken > ROUNDS / 50);
	storm_of(&balloon_kind, "", "storm: a balloon");
	storm_of(&console_kind, "", "storm: a console");
	bring_up(1, 0);
	set_status(1, 0);
	set_status(2, 0);
	CHECK("storm: no doorbell is left", !doorbells[0].address);
}

int main(void)
{
	const void *none = "";
	unsigned int i;

	machine.memory.base = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	machine.memory.low = RAM;
	machine.out_fd = open("/dev/null", O_WRONLY);
	if (machine.memory.base == MAP_FAILED || loop_init(&machine) || !pci_new(&machine))
		return 1;
	for (i = 0; i < 2; i++) {
		machine.devices[i] = virtio_new(&rng_kind, &machine, none, -1);
		if (!machine.devices[i])
			return 1;
	}
	test_config();
	test_run();
	test_order();
	test_rings();
	test_storm();
	for (i = 0; i < 2; i++)
		virtio_free(machine.devices[i]);
	pci_free(machine.pci);
	for (i = 0; i < FAKE_GSIS; i++)
		failed |= gsis[i].fd > 0;
	CHECK("nothing is attached at the end", !failed);
	return failed;
}
