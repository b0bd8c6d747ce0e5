// SPDX-License-Identifier: GPL-2.0-only
/* Reports, calls to the host and memory functions: for guests of any width. */
#include "lib.h"

static volatile u32 failures;

void put(const char *s)
{
	while (*s)
		outb(PORT_CHAR, *s++);
}

void puthex(u64 v)
{
	int i = 60;

	put("0x");
	while (i && !(v >> i & 15))
		i -= 4;
	for (; i >= 0; i -= 4)
		outb(PORT_CHAR, "0123456789abcdef"[v >> i & 15]);
}

static void where(const char *file, int line)
{
	char b[12];
	int i = 11;

	put(file);
	b[i] = 0;
	do {
		b[--i] = '0' + line % 10;
		line /= 10;
	} while (line);
	put(":");
	put(b + i);
	put(": ");
}

void fail_(const char *file, int line, const char *what)
{
	if (failures++ > 8)
		return;
	where(file, line);
	put(what);
	put("; ");
}

void fail_eq_(const char *file, int line, const char *what, u64 got, u64 want)
{
	if (failures++ > 8)
		return;
	where(file, line);
	put(what);
	put(" is ");
	puthex(got);
	put(", not ");
	puthex(want);
	put("; ");
}

void fatal_(const char *file, int line, const char *what)
{
	fail_(file, line, what);
	finish();
}

void finish(void)
{
	outb(PORT_VERDICT, failures ? VERDICT_FAIL : VERDICT_PASS);
	for (;;)
		asm volatile("hlt");
}

void skip(const char *why)
{
	if (failures)
		finish();
	put(why);
	outb(PORT_VERDICT, VERDICT_SKIP);
	for (;;)
		asm volatile("hlt");
}

s64 hostcall_p(struct hostcall *c)
{
	BARRIER();
	outl(PORT_CALL, (u32)(uintptr_t)c);
	BARRIER();
	return *(volatile s64 *)&c->ret;
}

s64 hostcall(u64 op, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5)
{
	struct hostcall c = { op, { a0, a1, a2, a3, a4, a5 }, 0 };

	return hostcall_p(&c);
}

void *memset(void *d, int c, unsigned long n)
{
	char *p = d;

	while (n--) {
		*p++ = c;
		BARRIER();
	}
	return d;
}

void *memcpy(void *d, const void *s, unsigned long n)
{
	char *p = d;
	const char *q = s;

	while (n--) {
		*p++ = *q++;
		BARRIER();
	}
	return d;
}

int memcmp(const void *a, const void *b, unsigned long n)
{
	const u8 *p = a, *q = b;

	for (; n--; p++, q++)
		if (*p != *q)
			return *p - *q;
	return 0;
}

/*
 * QEMU's TCG checks no segment limits and lacks some faults of real CPUs;
 * such checks are left out there.
 */
int on_tcg(void)
{
	struct hostcall c = { HC_CPUID_HOST, { 0x40000000 }, 0 };

	return !hostcall_p(&c) && c.a[1] == 0x54474354;
}
