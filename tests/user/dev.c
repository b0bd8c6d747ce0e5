// SPDX-License-Identifier: GPL-2.0-only
/*
 * The machine's devices, driven port by port, and the CPUID that is made for each vCPU. The machine
 * around them is played by fake.h.
 */
#include <linux/serial_reg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake.h"
#include "test.h"

static void test_serial(int reader)
{
	const uint16_t com1 = PORT_COM1;
	char text[64] = "", keys[70] = "keys";
	unsigned int i;

	pio_access(&machine.ports, com1, (char[]){ "hello" }, 1, 5, true);
	CHECK("serial: one word to the console loop", notified == 1);
	CHECK("serial: output", serial_flush(machine.serial) && read(reader, text, 64) == 5 &&
	      !memcmp(text, "hello", 5));
	CHECK("serial: nothing more", !serial_flush(machine.serial));
	CHECK("serial: THR is empty", (in(com1 + UART_LSR, 1) & 0x60) == 0x60);

	out(com1 + UART_IER, UART_IER_THRI, 1);
	CHECK("serial: enabled THRI interrupts at once", line[IRQ_COM1]);
	CHECK("serial: IIR names and ends it", (in(com1 + UART_IIR, 1) & 0x0f) == UART_IIR_THRI &&
	      !line[IRQ_COM1] && (in(com1 + UART_IIR, 1) & 0x0f) == UART_IIR_NO_INT);
	out(com1, 'x', 1);
	CHECK("serial: a byte sent interrupts again", line[IRQ_COM1]);

	out(com1 + UART_IER, UART_IER_RDI, 1);
	CHECK("serial: THRI off", !line[IRQ_COM1]);
	serial_receive(machine.serial, (const uint8_t *)"ab", 2);
	CHECK("serial: input interrupts", line[IRQ_COM1] && (in(com1 + UART_LSR, 1) & UART_LSR_DR));
	CHECK("serial: input", in(com1, 1) == 'a' && line[IRQ_COM1] && in(com1, 1) == 'b' &&
	      !line[IRQ_COM1] && !(in(com1 + UART_LSR, 1) & UART_LSR_DR));

	CHECK("serial: input has an end",
	      serial_receive(machine.serial, (uint8_t *)keys, sizeof(keys)) == 64);
	notified = 0;
	for (i = 0; i < 64; i++)
		in(com1, 1);
	CHECK("serial: room again is told once", notified == 1 && !line[IRQ_COM1]);
	out(com1 + UART_IER, 0, 1);
	CHECK("serial: a guest that does not listen loses nothing",
	      !serial_receive(machine.serial, (uint8_t *)keys, 1));
	for (i = 0; i < 20; i++)
		in(com1 + UART_LSR, 1);
	CHECK("serial: one that polls listens", notified == 2 &&
	      serial_receive(machine.serial, (uint8_t *)keys, 1) == 1 && in(com1, 1) == 'k');

	out(com1 + UART_LCR, UART_LCR_DLAB | 3, 1);
	out(com1, 0x0102, 2);
	CHECK("serial: a word reaches two registers", in(com1, 1) == 2 && in(com1 + 1, 1) == 1);
	out(com1 + UART_LCR, 3, 1);
	out(com1 + UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS, 1);
	CHECK("serial: loopback of the modem's lines", (in(com1 + UART_MSR, 1) & 0xf0) == 0x90);
	out(com1, 'q', 1);
	CHECK("serial: loopback of a byte", in(com1, 1) == 'q');
	out(com1 + UART_FCR, 1, 1);
	CHECK("serial: it is a 16550A", (in(com1 + UART_IIR, 1) & 0xc0) == 0xc0);
}

static uint32_t cmos(unsigned int reg)
{
	out(PORT_RTC, reg, 1);
	return in(PORT_RTC + 1, 1);
}

static void set_cmos(unsigned int reg, uint32_t value)
{
	out(PORT_RTC, reg, 1);
	out(PORT_RTC + 1, value, 1);
}

static unsigned int bcd(uint32_t value)
{
	return (value >> 4) * 10 + (value & 15);
}

static void test_rtc(void)
{
	time_t now = time(NULL), then;
	struct tm tm;

	CHECK("rtc: the host's date", (gmtime_r(&now, &tm), bcd(cmos(9)) == (unsigned int)tm.tm_year % 100) &&
	      bcd(cmos(0x32)) == 20 && bcd(cmos(8)) == (unsigned int)tm.tm_mon + 1);
	set_cmos(11, 0x82);
	set_cmos(0, 0x00);
	set_cmos(2, 0x30);
	set_cmos(4, 0x12);
	set_cmos(7, 0x29);
	set_cmos(8, 0x02);
	set_cmos(9, 0x24);
	set_cmos(0x32, 0x20);
	set_cmos(11, 0x02);
	CHECK("rtc: a time that was set", cmos(9) == 0x24 && cmos(7) == 0x29 && cmos(4) == 0x12 &&
	      cmos(6) == 5);
	set_cmos(11, 0x06);
	CHECK("rtc: binary", cmos(2) == 30 && cmos(7) == 29);
	set_cmos(11, 0x02);
	set_cmos(1, 0xc0);
	set_cmos(3, 0xc0);
	set_cmos(5, 0xc0);
	set_cmos(11, 0x22);
	then = time(NULL);
	while (time(NULL) == then)
		usleep(1000);
	CHECK("rtc: asks for the next second", rtc_tick(machine.rtc) > 0);
	CHECK("rtc: an alarm of every second", line[IRQ_RTC] && (cmos(12) & 0xa0) == 0xa0 &&
	      !line[IRQ_RTC] && cmos(12) == 0);
	set_cmos(11, 0x02);
	CHECK("rtc: quiet without interrupts", rtc_tick(machine.rtc) == -1);
	set_cmos(0x0d, 0);
	CHECK("rtc: the battery stays good", cmos(0x0d) == 0x80);
	set_cmos(0x50, 0xa5);
	CHECK("rtc: memory", cmos(0x50) == 0xa5 && cmos(0xd0) == 0xa5);
}

static void test_pm(void)
{
	uint32_t before = in(PORT_PM_TIMER, 4);

	usleep(2000);
	CHECK("pm: timer runs at 3.58 MHz", in(PORT_PM_TIMER, 4) - before > 7000);
	CHECK("pm: ACPI mode", in(PORT_PM1_CONTROL, 2) & 1);
	out(PORT_PM1_EVENT + 2, 0x100, 2);
	acpi_pm_press_power(machine.pm);
	CHECK("pm: power button", line[IRQ_SCI] && (in(PORT_PM1_EVENT, 2) & 0x100) &&
	      in(PORT_PM1_EVENT + 2, 2) == 0x100);
	out(PORT_PM1_EVENT, 0x100, 2);
	CHECK("pm: its event is cleared by a one", !line[IRQ_SCI] && !in(PORT_PM1_EVENT, 2));
	out(PORT_PM1_CONTROL, 3 << 10 | 0x2000, 2);
	CHECK("pm: another sleep type", stopped() == STOP_NONE);
	out(PORT_PM1_CONTROL, S5_TYPE << 10, 2);
	CHECK("pm: no sleep without the enable bit", stopped() == STOP_NONE);
	out(PORT_PM1_CONTROL, S5_TYPE << 10 | 0x2000, 2);
	CHECK("pm: power-off", stopped() == STOP_POWER_OFF);
}

static void test_ports(void)
{
	uint32_t bridge;

	out(PORT_PCI, 0x80000000, 4);
	bridge = in(0xcfc, 4);
	CHECK("pci: host bridge", bridge == 0x00081b36 && in(0xcfe, 2) == bridge >> 16);
	out(PORT_PCI, 0x80000008, 4);
	CHECK("pci: its class", in(0xcfc, 4) >> 16 == 0x0600);
	out(PORT_PCI, 0x80000800, 4);
	CHECK("pci: nothing else", in(0xcfc, 4) == 0xffffffff);
	out(PORT_PCI, 0, 4);
	CHECK("pci: disabled", in(0xcfc, 4) == 0xffffffff);
	CHECK("pci: access across the end", in(0xcfe, 4) == 0xffffffff);
	out(PORT_RESET, 2, 1);
	CHECK("reset: only armed", stopped() == STOP_NONE);
	out(PORT_RESET, RESET_VALUE, 1);
	CHECK("reset: register", stopped() == STOP_RESET);
	out(0x64, 0xfe, 1);
	CHECK("reset: keyboard controller", stopped() == STOP_RESET);
	CHECK("no device: all ones", in(0x1234, 4) == 0xffffffff && in(0xffff, 4) == 0xffffffff);
}

static struct kvm_cpuid_entry2 *leaf(struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	unsigned int i;

	for (i = 0; i < c->nent; i++) {
		if (c->entries[i].function == function && c->entries[i].index == index)
			return &c->entries[i];
	}
	abort();
}

static void test_cpuid(void)
{
	static const struct kvm_cpuid_entry2 given[] = {
		{ .function = 0, .ebx = 0x68747541, .eax = 0xd },
		{ .function = 1, .ebx = 0x0f100800, .edx = 1, .ecx = 1 << 21 },
		{ .function = 0xb, .index = 0 }, { .function = 0xb, .index = 1 },
		{ .function = 0x40000000, .eax = 0x40000001 },
		{ .function = 0x80000001 }, { .function = 0x80000008, .ecx = 0xf00f },
		{ .function = 0x8000001d, .index = 3, .eax = 0x163 }, { .function = 0x8000001e },
	};
	struct kvm_cpuid2 *s = calloc(1, sizeof(*s) + sizeof(given)), *c;

	s->nent = ARRAY_SIZE(given);
	memcpy(s->entries, given, sizeof(given));
	c = cpuid_for(s, 4, 5, 2000000, true);
	CHECK("cpuid: APIC id and count", leaf(c, 1, 0)->ebx == 0x04050800);
	CHECK("cpuid: HTT, deadline timer, hypervisor", leaf(c, 1, 0)->edx == (1 | 1 << 28) &&
	      leaf(c, 1, 0)->ecx == (1u << 21 | 1u << 24 | 1u << 31));
	CHECK("cpuid: threads", leaf(c, 0xb, 0)->eax == 0 && leaf(c, 0xb, 0)->ebx == 1 &&
	      leaf(c, 0xb, 0)->ecx == 0x100 && leaf(c, 0xb, 0)->edx == 4);
	CHECK("cpuid: cores", leaf(c, 0xb, 1)->eax == 3 && leaf(c, 0xb, 1)->ebx == 5 &&
	      leaf(c, 0xb, 1)->ecx == 0x201);
	CHECK("cpuid: AMD's count", leaf(c, 0x80000008, 0)->ecx == 0x3004 &&
	      leaf(c, 0x80000001, 0)->ecx == 2);
	CHECK("cpuid: AMD's id", leaf(c, 0x8000001e, 0)->eax == 4 && leaf(c, 0x8000001e, 0)->ebx == 4);
	CHECK("cpuid: the last cache is shared", leaf(c, 0x8000001d, 3)->eax == (0x163 | 7 << 14));
	CHECK("cpuid: timing", leaf(c, 0x40000000, 0)->eax == 0x40000010 &&
	      leaf(c, 0x40000010, 0)->eax == 2000000);
	free(c);
	c = cpuid_for(s, 0, 1, 0, false);
	CHECK("cpuid: alone", leaf(c, 1, 0)->edx == 1 && leaf(c, 1, 0)->ebx == 0x00010800 &&
	      leaf(c, 0x80000008, 0)->ecx == 0 && leaf(c, 0x80000001, 0)->ecx == 0 && c->nent == 9);
	free(c);
	free(s);
}

static void test_hotplug(void)
{
	CHECK("hotplug: nobody listens", !acpi_pm_listens(machine.pm));
	pthread_mutex_lock(&machine.io_lock);
	hotplug_came(machine.hotplug, 3);
	hotplug_want(machine.hotplug, 31);
	pthread_mutex_unlock(&machine.io_lock);
	CHECK("hotplug: an event that nobody listens to", !line[IRQ_SCI] && in(PORT_GPE0, 1) == 1);
	out(PORT_GPE0 + 1, 1, 1);
	CHECK("hotplug: the event", acpi_pm_listens(machine.pm) && line[IRQ_SCI] &&
	      in(PORT_GPE0 + 1, 1) == 1);
	out(PORT_GPE0, 1, 1);
	CHECK("hotplug: its event is cleared by a one", !line[IRQ_SCI] && !in(PORT_GPE0, 1));
	out(PORT_GPE0 + 1, 0, 1);
	CHECK("hotplug: who handles the event listens", acpi_pm_listens(machine.pm));
	CHECK("hotplug: half a register is none", !in(PORT_HOTPLUG, 1) && !in(PORT_HOTPLUG + 2, 2));
	CHECK("hotplug: what came, once", in(PORT_HOTPLUG, 4) == 1u << 3 && !in(PORT_HOTPLUG, 4));
	CHECK("hotplug: what shall go, once", in(PORT_HOTPLUG + 4, 4) == 1u << 31 &&
	      !in(PORT_HOTPLUG + 4, 4));
	out(PORT_HOTPLUG, ~0u, 4);
	out(PORT_HOTPLUG + 8, 1, 4);
	out(PORT_HOTPLUG + 8, 2, 1);
	CHECK("hotplug: what is no place is not ejected", !ejected);
	out(PORT_HOTPLUG + 8, 1u << 5, 4);
	CHECK("hotplug: a place is ejected", ejected == 5);
}

int main(void)
{
	int ends[2];

	if (pipe(ends))
		return 1;
	machine.serial = serial_new(&machine, ends[1]);
	machine.rtc = rtc_new(&machine);
	machine.pm = acpi_pm_new(&machine);
	machine.hotplug = hotplug_new(&machine);
	if (!machine.serial || !machine.rtc || !machine.pm || !machine.hotplug || !pci_new(&machine) ||
	    misc_add(&machine))
		return 1;
	test_serial(ends[0]);
	test_rtc();
	test_pm();
	test_hotplug();
	test_ports();
	test_cpuid();
	serial_free(machine.serial);
	rtc_free(machine.rtc);
	acpi_pm_free(machine.pm);
	pci_free(machine.pci);
	while (machine.owned_count)
		free(machine.owned[--machine.owned_count]);
	return failed;
}
