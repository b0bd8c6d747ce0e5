// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ACPI tables (ACPI specification 6.4, chapter 5): RSDP, XSDT, FADT, FACS, DSDT, MADT and MCFG. They name
 * the devices of dev/ and are the only place besides dev.h that knows their ports and interrupts.
 */
#include <stdio.h>
#include <string.h>

#include "../dev/dev.h"
#include "../dev/pci.h"
#include "../tool.h"
#include "aml.h"
#include "boot.h"

#define HEADER_SIZE 36
#define RSDP_SIZE 36
#define FACS_SIZE 64
#define FADT_SIZE 276

/* A table under construction: where it starts in the buffer. */
struct tables {
	struct aml out;
	uint64_t gpa;
};

static void put(struct aml *a, uint64_t value, unsigned int bytes)
{
	for (; bytes; bytes--, value >>= 8)
		aml_byte(a, (uint8_t)value);
}

static void put_at(uint8_t *to, uint64_t value, unsigned int bytes)
{
	for (; bytes; bytes--, value >>= 8)
		*to++ = (uint8_t)value;
}

static void align(struct aml *a, unsigned int to)
{
	while (a->len % to && !a->full)
		aml_byte(a, 0);
}

static void zeros(struct aml *a, size_t count)
{
	while (count--)
		aml_byte(a, 0);
}

static uint8_t checksum(const uint8_t *bytes, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *bytes++);
	return (uint8_t)-sum;
}

static size_t begin_table(struct tables *t, const char *signature, uint8_t revision)
{
	size_t at;

	align(&t->out, 16);
	at = t->out.len;
	aml_bytes(&t->out, signature, 4);
	put(&t->out, 0, 4);		/* length, known at the end */
	aml_byte(&t->out, revision);
	aml_byte(&t->out, 0);		/* checksum */
	aml_bytes(&t->out, "LAMINA", 6);
	aml_bytes(&t->out, "MACHINE ", 8);
	put(&t->out, 1, 4);
	aml_bytes(&t->out, "LMNA", 4);
	put(&t->out, 1, 4);
	return at;
}

static void end_table(struct tables *t, size_t at)
{
	uint8_t *table = t->out.data + at;
	size_t len = t->out.len - at;

	if (t->out.full)
		return;
	put_at(table + 4, len, 4);
	table[9] = checksum(table, len);
}

static void add_device(struct aml *a, const char *name, const char *id, uint16_t port,
		       uint8_t ports, unsigned int irq)
{
	size_t device = aml_begin_device(a, name), resources;

	aml_name_eisa_id(a, "_HID", id);
	aml_name_integer(a, "_UID", 1);
	resources = aml_begin_resources(a);
	aml_io(a, port, ports);
	aml_irq(a, irq);
	aml_end_resources(a, resources);
	aml_end(a, device);
}

/* Which GSI the INTA of each place is: PCI_INTX_LINES lines in turn. */
static void add_pci_routing(struct aml *a)
{
	size_t table = aml_begin_name_package(a, "_PRT", PCI_SLOTS - 1), entry;
	unsigned int slot;

	for (slot = 1; slot < PCI_SLOTS; slot++) {
		entry = aml_begin_package(a, 4);
		aml_integer(a, slot << 16 | 0xffff);
		aml_integer(a, 0);
		aml_integer(a, 0);
		aml_integer(a, PCI_INTX_GSI + slot % PCI_INTX_LINES);
		aml_end(a, entry);
	}
	aml_end(a, table);
}

static const char *place_name(char name[5], unsigned int slot)
{
	snprintf(name, 5, "S%02X_", slot & 0xffu);
	return name;
}

/* Each place can be ejected; an event has the system look at those that changed (5.6.6, 6.3.3). */
static void add_hotplug(struct aml *a)
{
	static const char *const registers[] = { "UP__", "DOWN", "EJCT" };
	size_t device, method;
	unsigned int slot;
	char name[5];

	aml_io_fields(a, "HPRG", PORT_HOTPLUG, registers, ARRAY_SIZE(registers));
	for (slot = 1; slot < PCI_SLOTS; slot++) {
		device = aml_begin_device(a, place_name(name, slot));
		aml_name_integer(a, "_ADR", slot << 16);
		aml_name_integer(a, "_SUN", slot);
		method = aml_begin_method(a, "_EJ0", 1);
		aml_store(a, 1u << slot, "EJCT");
		aml_end(a, method);
		aml_end(a, device);
	}
	method = aml_begin_method(a, "HPEV", 0);
	aml_load(a, "UP__");
	for (slot = 1; slot < PCI_SLOTS; slot++)
		aml_notify_if(a, 1u << slot, place_name(name, slot), 1);	/* device check */
	aml_load(a, "DOWN");
	for (slot = 1; slot < PCI_SLOTS; slot++)
		aml_notify_if(a, 1u << slot, place_name(name, slot), 3);	/* eject request */
	aml_end(a, method);
}

static void add_events(struct aml *a)
{
	static const char *const handler[] = { "_SB_", "PCI0", "HPEV" };
	size_t scope = aml_begin_scope(a, "\\_GPE"), method = aml_begin_method(a, "_E00", 0);

	aml_path(a, handler, ARRAY_SIZE(handler));
	aml_end(a, method);
	aml_end(a, scope);
}

static void add_pci_root(struct aml *a)
{
	size_t device = aml_begin_device(a, "PCI0"), resources;

	aml_name_eisa_id(a, "_HID", "PNP0A03");
	aml_name_integer(a, "_BBN", 0);
	aml_name_integer(a, "_UID", 0);
	resources = aml_begin_resources(a);
	aml_bus_range(a, 0, 0);
	aml_io(a, PORT_PCI, 8);
	aml_io_range(a, 0, PORT_PCI - 1);
	aml_io_range(a, PORT_PCI + 8, 0xffff);
	aml_memory_range(a, (uint32_t)PCI_WINDOW, (uint32_t)PCI_WINDOW_END - 1);
	aml_end_resources(a, resources);
	add_pci_routing(a);
	add_hotplug(a);
	aml_end(a, device);

	/* The PCI Firmware specification (4.1.2) wants what MCFG names to be a mainboard's resource. */
	device = aml_begin_device(a, "ECAM");
	aml_name_eisa_id(a, "_HID", "PNP0C02");
	aml_name_integer(a, "_UID", 0);
	resources = aml_begin_resources(a);
	aml_memory(a, (uint32_t)ECAM_ADDRESS, (uint32_t)ECAM_SIZE);
	aml_end_resources(a, resources);
	aml_end(a, device);
}

static size_t build_dsdt(struct tables *t, unsigned int cpus)
{
	size_t at = begin_table(t, "DSDT", 2), scope, device, package;
	struct aml *a = &t->out;
	char name[5];
	unsigned int i;

	package = aml_begin_name_package(a, "\\_S5_", 4);
	aml_integer(a, S5_TYPE);
	aml_integer(a, S5_TYPE);
	aml_integer(a, 0);
	aml_integer(a, 0);
	aml_end(a, package);

	scope = aml_begin_scope(a, "\\_SB_");
	for (i = 0; i < cpus; i++) {
		snprintf(name, sizeof(name), "C%03X", i & 0xfffu);
		device = aml_begin_device(a, name);
		aml_name_string(a, "_HID", "ACPI0007");
		aml_name_integer(a, "_UID", i);
		aml_end(a, device);
	}
	add_pci_root(a);
	add_device(a, "COM1", "PNP0501", PORT_COM1, 8, IRQ_COM1);
	add_device(a, "RTC_", "PNP0B00", PORT_RTC, 2, IRQ_RTC);
	aml_end(a, scope);
	add_events(a);
	end_table(t, at);
	return at;
}

static size_t build_facs(struct tables *t)
{
	struct aml *a = &t->out;
	size_t at;

	align(a, 64);
	at = a->len;
	aml_bytes(a, "FACS", 4);
	put(a, FACS_SIZE, 4);
	zeros(a, 24);
	put(a, 2, 1);		/* version */
	zeros(a, FACS_SIZE - 33);
	return at;
}

/* A generic address in I/O space (5.2.3.2). */
static void io_address(uint8_t *to, uint64_t port, unsigned int bytes)
{
	to[0] = 1;
	to[1] = (uint8_t)(bytes * 8);
	to[3] = (uint8_t)(bytes == 4 ? 3 : bytes);	/* access size */
	put_at(to + 4, port, 8);
}

/* Offsets are those of 5.2.9; the rest is zero: no such hardware. */
static size_t build_fadt(struct tables *t, size_t facs, size_t dsdt)
{
	size_t at = begin_table(t, "FACP", 6);
	uint8_t *fadt;

	zeros(&t->out, FADT_SIZE - HEADER_SIZE);
	if (t->out.full)
		return at;
	fadt = t->out.data + at;
	put_at(fadt + 36, t->gpa + facs, 4);
	put_at(fadt + 40, t->gpa + dsdt, 4);
	put_at(fadt + 46, IRQ_SCI, 2);
	put_at(fadt + 56, PORT_PM1_EVENT, 4);
	put_at(fadt + 64, PORT_PM1_CONTROL, 4);
	put_at(fadt + 76, PORT_PM_TIMER, 4);
	put_at(fadt + 80, PORT_GPE0, 4);
	fadt[88] = 4;				/* lengths of the four above */
	fadt[89] = 2;
	fadt[91] = 4;
	fadt[92] = 2;
	put_at(fadt + 96, 0x65, 2);		/* no C2 */
	put_at(fadt + 98, 0x3e9, 2);		/* no C3 */
	fadt[108] = 0x32;			/* the century's place in CMOS */
	/* Legacy devices yes; no keyboard controller to probe, no VGA. */
	put_at(fadt + 109, 1 << 0 | 1 << 2, 2);
	/* WBINVD, C1, no sleep button, RTC not in fixed registers, 32-bit timer, reset register. */
	put_at(fadt + 112, 1 << 0 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 10, 4);
	io_address(fadt + 116, PORT_RESET, 1);
	fadt[128] = RESET_VALUE;
	put_at(fadt + 140, t->gpa + dsdt, 8);
	io_address(fadt + 148, PORT_PM1_EVENT, 4);
	io_address(fadt + 172, PORT_PM1_CONTROL, 2);
	io_address(fadt + 208, PORT_PM_TIMER, 4);
	io_address(fadt + 220, PORT_GPE0, 2);
	memcpy(fadt + 268, "LAMINA\0", 8);	/* hypervisor's name */
	end_table(t, at);
	return at;
}

static void override(struct aml *a, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	put(a, 2 | 10 << 8, 2);
	put(a, 0, 1);		/* ISA */
	put(a, irq, 1);
	put(a, gsi, 4);
	put(a, flags, 2);
}

static size_t build_madt(struct tables *t, unsigned int cpus)
{
	size_t at = begin_table(t, "APIC", 5);
	struct aml *a = &t->out;
	unsigned int i;

	put(a, LAPIC_ADDRESS, 4);
	put(a, 1, 4);			/* the PICs are there too */
	for (i = 0; i < cpus; i++) {
		put(a, 0 | 8 << 8, 2);
		put(a, i, 1);		/* processor's _UID */
		put(a, i, 1);		/* APIC id */
		put(a, 1, 4);		/* enabled */
	}
	put(a, 1 | 12 << 8, 2);
	put(a, 0, 2);			/* I/O APIC 0 */
	put(a, IOAPIC_ADDRESS, 4);
	put(a, 0, 4);			/* from GSI 0 */
	override(a, 0, 2, 0);		/* the PIT is on pin 2 */
	override(a, IRQ_SCI, IRQ_SCI, 0x0d);	/* level, active high */
	put(a, 4 | 6 << 8, 2);
	put(a, 0xff, 1);		/* every processor: */
	put(a, 0, 2);
	put(a, 1, 1);			/* NMI on LINT1 */
	end_table(t, at);
	return at;
}

static size_t build_mcfg(struct tables *t)
{
	size_t at = begin_table(t, "MCFG", 1);

	put(&t->out, 0, 8);
	put(&t->out, ECAM_ADDRESS, 8);
	put(&t->out, 0, 2);		/* segment */
	put(&t->out, 0, 2);		/* from bus 0 to bus 0 */
	put(&t->out, 0, 4);
	end_table(t, at);
	return at;
}

static size_t build_xsdt(struct tables *t, size_t fadt, size_t madt, size_t mcfg)
{
	size_t at = begin_table(t, "XSDT", 1);

	put(&t->out, t->gpa + fadt, 8);
	put(&t->out, t->gpa + madt, 8);
	put(&t->out, t->gpa + mcfg, 8);
	end_table(t, at);
	return at;
}

static void build_rsdp(uint8_t *rsdp, uint64_t xsdt)
{
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "LAMINA", 6);
	rsdp[15] = 2;
	put_at(rsdp + 20, RSDP_SIZE, 4);
	put_at(rsdp + 24, xsdt, 8);
	rsdp[8] = checksum(rsdp, 20);
	rsdp[32] = checksum(rsdp, RSDP_SIZE);
}

/**
 * acpi_build() - write the tables
 * @buf: zeroed bytes to fill
 * @size: how many
 * @gpa: where the guest sees them; a multiple of 64
 * @cpus: number of vCPUs
 * @rsdp: where the guest starts looking
 *
 * Return: 0, or -1 with a message.
 */
int acpi_build(uint8_t *buf, size_t size, uint64_t gpa, unsigned int cpus, uint64_t *rsdp)
{
	struct tables t = { .out = { .data = buf, .size = size }, .gpa = gpa };
	size_t facs, dsdt, fadt, madt, mcfg, xsdt;

	zeros(&t.out, RSDP_SIZE);
	facs = build_facs(&t);
	dsdt = build_dsdt(&t, cpus);
	fadt = build_fadt(&t, facs, dsdt);
	madt = build_madt(&t, cpus);
	mcfg = build_mcfg(&t);
	xsdt = build_xsdt(&t, fadt, madt, mcfg);
	if (t.out.full)
		return fail("the ACPI tables do not fit");
	build_rsdp(buf, gpa + xsdt);
	*rsdp = gpa;
	return 0;
}
