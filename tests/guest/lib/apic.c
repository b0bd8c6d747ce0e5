// SPDX-License-Identifier: GPL-2.0-only
/* Helpers for the interrupt controllers and the clocks. */
#include "lib.h"

int x2apic;

u32 apic_rd(u32 reg)
{
	return x2apic ? rdmsr(0x800 + reg / 16) : r32(APIC_BASE + reg);
}

void apic_wr(u32 reg, u32 v)
{
	if (x2apic)
		wrmsr(0x800 + reg / 16, v);
	else
		w32(APIC_BASE + reg, v);
}

/* dest: the APIC ID as it is (the helper shifts it for xAPIC). */
void apic_icr(u32 dest, u32 lo)
{
	if (x2apic) {
		wrmsr(0x830, (u64)dest << 32 | lo);
		return;
	}
	w32(APIC_BASE + APIC_ICR2, dest << 24);
	w32(APIC_BASE + APIC_ICR, lo);
	while (r32(APIC_BASE + APIC_ICR) & 1 << 12)
		cpu_relax();
}

void apic_on(void)
{
	apic_wr(APIC_SVR, 0x1ff);
	apic_wr(APIC_TPR, 0);
}

void apic_x2(void)
{
	wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
	x2apic = 1;
}

int apic_bit(u32 reg, int vec)
{
	return apic_rd(reg + (vec / 32) * 16) >> (vec & 31) & 1;
}

void delay(u64 tsc)
{
	u64 end = rdtsc() + tsc;

	while (rdtsc() < end)
		cpu_relax();
}

u64 ms(u32 n)
{
	return (u64)INFO->tsc_khz * n;
}

int wait_for(volatile u64 *p, u64 want, u32 n)
{
	u64 end = rdtsc() + ms(n);

	while (*p != want) {
		if (rdtsc() > end)
			return 0;
		cpu_relax();
	}
	return 1;
}

void pic_init(u8 base0, u8 base1, u8 mask0, u8 mask1)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, base0);
	outb(0xa1, base1);
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	outb(0x21, mask0);
	outb(0xa1, mask1);
}

void pit_mode(int ch, int mode, u16 count)
{
	outb(0x43, ch << 6 | 0x30 | mode << 1);
	outb(0x40 + ch, count);
	outb(0x40 + ch, count >> 8);
}

u16 pit_read(int ch)
{
	u8 lo;

	outb(0x43, ch << 6);
	lo = inb(0x40 + ch);
	return lo | inb(0x40 + ch) << 8;
}

#define IOAPIC 0xfec00000u
void ioapic_wr(u32 reg, u32 v)
{
	w32(IOAPIC, reg);
	w32(IOAPIC + 16, v);
}

u32 ioapic_rd(u32 reg)
{
	w32(IOAPIC, reg);
	return r32(IOAPIC + 16);
}

void ioapic_redir(int pin, u64 v)
{
	ioapic_wr(0x10 + 2 * pin, 0x10000);
	ioapic_wr(0x11 + 2 * pin, v >> 32);
	ioapic_wr(0x10 + 2 * pin, v);
}

u64 ioapic_entry(int pin)
{
	return ioapic_rd(0x10 + 2 * pin) | (u64)ioapic_rd(0x11 + 2 * pin) << 32;
}
