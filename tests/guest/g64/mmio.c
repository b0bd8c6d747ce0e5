// SPDX-License-Identifier: GPL-2.0-only
/*
 * MMIO and port I/O that exit to the client: every width, every form of
 * instruction, strings, page crossings. The client's device behaves like
 * memory and keeps a log of the exits.
 */
#include "lib/lib.h"

#define M MMIO_GPA

static u64 peek(u64 off) { return HC(HC_MMIO_PEEK, off); }
static void poke(u64 off, u64 v) { HC(HC_MMIO_POKE, off, v); }
static void logreset(void) { HC(HC_LOG_RESET); }

/* Does exit i look like this? */
static void saw(u64 i, u64 addr, u64 len, u64 write, u64 data)
{
	struct hostcall c = { HC_LOG_GET, { i }, 0 };

	CHECK_EQ(hostcall_p(&c), 0);
	CHECK_EQ(c.a[0], addr);
	CHECK_EQ(c.a[2], len);
	CHECK_EQ(c.a[3], write);
	if (write)
		CHECK_EQ(c.a[1], data);
}

GUEST(mmio_widths, 0, 1)
{
	poke(0, ~0ull);
	logreset();
	w8(M, 0x11);
	w16(M + 2, 0x2222);
	w32(M + 4, 0x33333333);
	w64(M + 8, 0x4444444444444444);
	CHECK_EQ(HC(HC_LOG_COUNT), 4);
	saw(0, M, 1, 1, 0x11);
	saw(1, M + 2, 2, 1, 0x2222);
	saw(2, M + 4, 4, 1, 0x33333333);
	saw(3, M + 8, 8, 1, 0x4444444444444444);
	CHECK_EQ(peek(0), 0x333333332222ff11);
	CHECK_EQ(r8(M), 0x11);
	CHECK_EQ(r16(M + 2), 0x2222);
	CHECK_EQ(r32(M + 4), 0x33333333);
	CHECK_EQ(r64(M + 8), 0x4444444444444444);
	logreset();
	r64(M + 8);
	r8(M);
	CHECK_EQ(HC(HC_LOG_COUNT), 2);
	saw(0, M + 8, 8, 0, 0);
	saw(1, M, 1, 0, 0);
}

GUEST(mmio_forms, 0, 1)
{
	u64 a = 0, f;
	u32 e;

	poke(0, 0x8182838485868788);
	/* partial register writes and extensions */
	asm volatile("mov $-1, %%rax; movb (%1), %%al" : "=&a"(a) : "r"((u64)M));
	CHECK_EQ(a, 0xffffffffffffff88);
	asm volatile("mov $-1, %%rax; movb (%1), %%ah" : "=&a"(a) : "r"((u64)M + 1));
	CHECK_EQ(a, 0xffffffffffff87ff);
	asm volatile("mov $-1, %%rax; movw (%1), %%ax" : "=&a"(a) : "r"((u64)M));
	CHECK_EQ(a, 0xffffffffffff8788);
	asm volatile("mov $-1, %%rax; movl (%1), %%eax" : "=&a"(a) : "r"((u64)M));
	CHECK_EQ(a, 0x85868788);
	asm volatile("movzbl (%1), %%eax" : "=a"(a) : "r"((u64)M));
	CHECK_EQ(a, 0x88);
	asm volatile("movsbl (%1), %%eax" : "=a"(a) : "r"((u64)M));
	CHECK_EQ(a, 0xffffff88);
	asm volatile("movsbq (%1), %0" : "=r"(a) : "r"((u64)M));
	CHECK_EQ(a, 0xffffffffffffff88);
	asm volatile("movzwl (%1), %%eax" : "=a"(a) : "r"((u64)M));
	CHECK_EQ(a, 0x8788);
	asm volatile("movswq (%1), %0" : "=r"(a) : "r"((u64)M));
	CHECK_EQ(a, 0xffffffffffff8788);
	asm volatile("movslq (%1), %0" : "=r"(a) : "r"((u64)M));
	CHECK_EQ(a, 0xffffffff85868788);
	asm volatile("movabs 0xd0000000, %%al" : "=a"(a) : "0"(0));
	CHECK_EQ(a, 0x88);
	asm volatile("movabs %%eax, 0xd0000000" :: "a"(0x12345678));
	CHECK_EQ(peek(0), 0x8182838412345678);
	/* R8-R15, scaled index, displacement, RIP relative, segment base */
	asm volatile("mov %1, %%r9; mov $2, %%r10d; mov -8(%%r9,%%r10,4), %%r11d; mov %%r11d, %0"
		     : "=r"(e) : "r"((u64)M) : "r9", "r10", "r11");
	CHECK_EQ(e, 0x12345678);
	wrmsr(0xc0000100, M);
	asm volatile("movl %%fs:4, %0" : "=r"(e));
	CHECK_EQ(e, 0x81828384);
	/* immediates, sign-extended */
	asm volatile("movq $-2, (%0)" :: "r"((u64)M));
	CHECK_EQ(peek(0), ~1ull);
	asm volatile("movb $0x7f, 7(%0)" :: "r"((u64)M));
	CHECK_EQ(peek(0), 0x7ffffffffffffffe);
	/* read only: compare, test, bit test, with the flags */
	asm volatile("cmpq $-2, (%1); pushf; pop %0" : "=r"(f) : "r"((u64)M));
	CHECK_EQ(f & 0x8c1, 0x881);			/* OF */
	poke(0, 5);
	asm volatile("cmpl $5, (%1); pushf; pop %0" : "=r"(f) : "r"((u64)M));
	CHECK_EQ(f & 0x40, 0x40);
	asm volatile("cmpl %2, (%1); pushf; pop %0" : "=r"(f) : "r"((u64)M), "r"(6));
	CHECK_EQ(f & 0x81, 0x81);
	asm volatile("testb $4, (%1); pushf; pop %0" : "=r"(f) : "r"((u64)M));
	CHECK_EQ(f & 0x40, 0);
	asm volatile("testb $2, (%1); pushf; pop %0" : "=r"(f) : "r"((u64)M));
	CHECK_EQ(f & 0x40, 0x40);
	asm volatile("btl $2, (%1); pushf; pop %0" : "=r"(f) : "r"((u64)M));
	CHECK_EQ(f & 1, 1);
	asm volatile("addl (%1), %0" : "=r"(e) : "r"((u64)M), "0"(10));
	CHECK_EQ(e, 15);
	asm volatile("push (%1); pop %0" : "=r"(a) : "r"((u64)M));
	CHECK_EQ(a, 5);
	asm volatile("push %1; pop (%0)" :: "r"((u64)M), "r"(0x77ull));
	CHECK_EQ(peek(0), 0x77);
	asm volatile("cmp %0, %0; cmove (%1), %0" : "=r"(a) : "r"((u64)M), "0"(1ull));
	CHECK_EQ(a, 0x77);
	asm volatile("cmp %0, %0; cmovne (%1), %0" : "=r"(a) : "r"((u64)M), "0"(1ull));
	CHECK_EQ(a, 1);
}

GUEST(mmio_rmw, 0, 1)
{
	u64 a, c;
	u8 z;

	poke(0, 0x10);
	logreset();
	asm volatile("addl $5, (%0)" :: "r"((u64)M));
	CHECK_EQ(HC(HC_LOG_COUNT), 2);
	saw(0, M, 4, 0, 0);
	saw(1, M, 4, 1, 0x15);
	asm volatile("orb $0x40, (%0)" :: "r"((u64)M));
	CHECK_EQ(peek(0), 0x55);
	asm volatile("andw $0xf, (%0)" :: "r"((u64)M));
	CHECK_EQ(peek(0), 5);
	asm volatile("xorq %1, (%0)" :: "r"((u64)M), "r"(0xff00000000000000));
	CHECK_EQ(peek(0), 0xff00000000000005);
	asm volatile("incl (%0)" :: "r"((u64)M));
	CHECK_EQ(peek(0), 0xff00000000000006);
	asm volatile("decb (%0); notl 4(%0); negw (%0)" :: "r"((u64)M));
	CHECK_EQ(peek(0), 0x00ffffff0000fffb);
	poke(0, 7);
	asm volatile("shll $4, (%0)" :: "r"((u64)M));
	CHECK_EQ(peek(0), 0x70);
	asm volatile("rorw %%cl, (%0)" :: "r"((u64)M), "c"(4));
	CHECK_EQ(peek(0), 7);
	a = 0x99;
	asm volatile("xchg %0, (%1)" : "+r"(a) : "r"((u64)M));
	CHECK_EQ(a, 7);
	CHECK_EQ(peek(0), 0x99);
	a = 1;
	asm volatile("lock xaddq %0, (%1)" : "+r"(a) : "r"((u64)M));
	CHECK_EQ(a, 0x99);
	CHECK_EQ(peek(0), 0x9a);
	c = 0x9a;
	asm volatile("lock cmpxchgq %3, (%2); setz %1" : "+a"(c), "=q"(z) : "r"((u64)M), "r"(0x1234ull));
	CHECK_EQ(z, 1);
	CHECK_EQ(peek(0), 0x1234);
	c = 0x9a;
	asm volatile("lock cmpxchgq %3, (%2); setz %1" : "+a"(c), "=q"(z) : "r"((u64)M), "r"(0x5678ull));
	CHECK_EQ(z, 0);
	CHECK_EQ(c, 0x1234);
	CHECK_EQ(peek(0), 0x1234);
	asm volatile("lock btsl $0, (%1); setc %0" : "=q"(z) : "r"((u64)M));
	CHECK_EQ(z, 0);
	CHECK_EQ(peek(0), 0x1235);
	asm volatile("setc (%0)" :: "r"((u64)M));
}

GUEST(mmio_unaligned, 0, 1)
{
	u64 off;

	for (off = 1; off < 8; off++) {
		poke(0x100, 0);
		poke(0x108, 0);
		w32(M + 0x100 + off, 0xa1b2c3d4);
		CHECK_EQ(r32(M + 0x100 + off), 0xa1b2c3d4);
		CHECK_EQ(peek(0x100 + off), 0xa1b2c3d4);
		w64(M + 0x100 + off, 0x1020304050607080);
		CHECK_EQ(peek(0x100 + off), 0x1020304050607080);
		CHECK_EQ(r64(M + 0x100 + off), 0x1020304050607080);
		w16(M + 0x100 + off, 0x9988);
		CHECK_EQ(r16(M + 0x100 + off), 0x9988);
	}
}

GUEST(mmio_cross_page, 0, 1)
{
	u64 off, va = 0x40000000;

	for (off = 0xff9; off <= 0xfff; off++) {
		poke(0xff8, 0);
		poke(0x1000, 0);
		w64(M + off, 0x1122334455667788);
		CHECK_EQ(peek(off), 0x1122334455667788);
		CHECK_EQ(r64(M + off), 0x1122334455667788);
	}
	/* from RAM into MMIO: only a part of the operand exits */
	map4k(va, FREE_GPA, 3);
	map4k(va + 4096, M + 0x2000, 3);
	poke(0x2000, 0);
	w32(va + 0xffe, 0xcafebabe);
	CHECK_EQ(r16(FREE_GPA + 0xffe), 0xbabe);
	CHECK_EQ(peek(0x2000), 0xcafe);
	CHECK_EQ(r32(va + 0xffe), 0xcafebabe);
	/* from MMIO into a page that is not present: #PF and nothing written */
	map4k(va, M + 0x3000, 3);
	map4k(va + 4096, 0, 0);
	poke(0x3ff8, 0x5555555555555555);
	CHECK_EQ(TRYI("movq %1, (%0)", "r"(va + 0xffc), "r"(0ull)), 14);
	CHECK_EQ(this_cpu()->cr2, va + 0x1000);
	CHECK_EQ(this_cpu()->err, 2);
	CHECK_EQ(peek(0x3ff8), 0x5555555555555555);
}

GUEST(mmio_sse, 0, 1)
{
	u64 v[2] __attribute__((aligned(16))) = { 0x1111111122222222, 0x3333333344444444 }, o[2];

	asm volatile("movdqu %1, %%xmm3; movdqu %%xmm3, (%0)" :: "r"((u64)M), "m"(v));
	CHECK_EQ(peek(0), v[0]);
	CHECK_EQ(peek(8), v[1]);
	asm volatile("pxor %%xmm4, %%xmm4; movdqa (%1), %%xmm4; movdqu %%xmm4, %0" : "=m"(o) : "r"((u64)M));
	CHECK_EQ(o[0], v[0]);
	CHECK_EQ(o[1], v[1]);
	asm volatile("movaps %%xmm3, (%0); movups (%0), %%xmm5; movups %%xmm5, %1"
		     :: "r"((u64)M + 0x40), "m"(o));
	CHECK_EQ(peek(0x48), v[1]);
	asm volatile("movntps %%xmm3, (%0)" :: "r"((u64)M + 0x60));
	CHECK_EQ(peek(0x60), v[0]);
	/* across a page */
	asm volatile("movdqu %%xmm3, (%0)" :: "r"((u64)M + 0xff9));
	CHECK_EQ(peek(0xff9), v[0]);
	CHECK_EQ(peek(0x1001), v[1]);
	/* alignment is still checked */
	CHECK_EQ(TRYI("movaps %%xmm3, (%0)", "r"((u64)M + 8)), 13);
}

GUEST(mmio_movnti_movbe, 0, 1)
{
	asm volatile("movnti %1, (%0)" :: "r"((u64)M), "r"(0x31415926));
	CHECK_EQ((u32)peek(0), 0x31415926);
	if (has_cpuid(1, ECX, 22)) {
		u32 v;

		asm volatile("movbe (%1), %0" : "=r"(v) : "r"((u64)M));
		CHECK_EQ(v, 0x26594131);
	}
}

#define REP(insn, di, si, cx, ax) asm volatile(insn : "+D"(di), "+S"(si), "+c"(cx) : "a"(ax) : "memory")

static void strings(int size, u64 out, int down)
{
	static u8 buf[64], back[64];
	u64 di, si, cx, i, n = 5;

	for (i = 0; i < sizeof(buf); i++)
		buf[i] = i * 7 + size;
	for (i = 0; i < 64; i += 8)
		poke(out + i, 0);
	di = M + out + (down ? (n - 1) * size : 0);
	si = (u64)buf + (down ? (n - 1) * size : 0);
	cx = n;
	if (down)
		asm volatile("std");
	switch (size) {
	case 1: REP("rep movsb", di, si, cx, 0); break;
	case 2: REP("rep movsw", di, si, cx, 0); break;
	case 4: REP("rep movsl", di, si, cx, 0); break;
	case 8: REP("rep movsq", di, si, cx, 0); break;
	}
	asm volatile("cld");
	CHECK_EQ(cx, 0);
	CHECK_EQ(di, M + out + (down ? -size : (int)n * size));
	CHECK_EQ(si, (u64)buf + (down ? -size : (int)n * size));
	for (i = 0; i < n * size; i++)
		CHECK_EQ((u8)peek(out + i), buf[i]);
	CHECK_EQ((u8)peek(out + n * size), 0);
	/* and back */
	memset(back, 0, sizeof(back));
	di = (u64)back;
	si = M + out;
	cx = n;
	switch (size) {
	case 1: REP("rep movsb", di, si, cx, 0); break;
	case 2: REP("rep movsw", di, si, cx, 0); break;
	case 4: REP("rep movsl", di, si, cx, 0); break;
	case 8: REP("rep movsq", di, si, cx, 0); break;
	}
	CHECK_EQ(memcmp(back, buf, n * size), 0);
	CHECK_EQ(back[n * size], 0);
}

GUEST(mmio_movs, 0, 1)
{
	int s;

	for (s = 1; s <= 8; s *= 2) {
		strings(s, 0x200, 0);
		strings(s, 0x200, 1);
		strings(s, 0xff4, 0);		/* over a page end */
		strings(s, 0xff4, 1);
	}
}

GUEST(mmio_stos_lods, 0, 1)
{
	u64 di = M + 0x300, si = 0, cx = 6, a = 0, i;

	for (i = 0; i < 64; i += 8)
		poke(0x300 + i, 0);
	REP("rep stosl", di, si, cx, 0xabcd1234);
	CHECK_EQ(cx, 0);
	CHECK_EQ(di, M + 0x300 + 24);
	CHECK_EQ(peek(0x300), 0xabcd1234abcd1234);
	CHECK_EQ(peek(0x310), 0xabcd1234abcd1234);
	CHECK_EQ(peek(0x318), 0);
	asm volatile("lodsq" : "=a"(a), "=S"(si) : "1"(M + 0x300ull));
	CHECK_EQ(a, 0xabcd1234abcd1234);
	CHECK_EQ(si, M + 0x308ull);
	/* scas and cmps read */
	di = M + 0x300;
	cx = 10;
	asm volatile("repe scasl" : "+D"(di), "+c"(cx) : "a"(0xabcd1234));
	CHECK_EQ(cx, 3);
	CHECK_EQ(di, M + 0x31cull);
	/* zero count: nothing */
	HC(HC_LOG_RESET);
	cx = 0;
	di = M;
	REP("rep stosq", di, si, cx, 1);
	CHECK_EQ(HC(HC_LOG_COUNT), 0);
	CHECK_EQ(di, M);
}

GUEST(mmio_movs_interrupted, 0, 1)
{
	/* a long string copy takes interrupts in the middle and is right in the end */
	u64 di = M, si = FREE_GPA, cx = 2048, i;

	for (i = 0; i < 2048; i++)
		w8(FREE_GPA + i, i * 13 + (i >> 8));
	HC(HC_KICK, 0, 50, 100);
	REP("rep movsb", di, si, cx, 0);
	CHECK_EQ(cx, 0);
	for (i = 0; i < 2048; i += 8)
		CHECK_EQ(peek(i), r64(FREE_GPA + i));
}

static u64 ppeek(u64 off) { return HC(HC_PIO_PEEK, off); }

GUEST(pio_widths, 0, 1)
{
	HC(HC_PIO_POKE, 0, ~0ull);
	HC(HC_LOG_RESET);
	outb(PORT_DEV, 0x12);
	outw(PORT_DEV + 2, 0x3456);
	outl(PORT_DEV + 4, 0x789abcde);
	CHECK_EQ(HC(HC_LOG_COUNT), 3);
	saw(0, PORT_DEV, 1, 1, 0x12);
	saw(1, PORT_DEV + 2, 2, 1, 0x3456);
	saw(2, PORT_DEV + 4, 4, 1, 0x789abcde);
	CHECK_EQ(ppeek(0), 0x789abcde3456ff12);
	CHECK_EQ(inb(PORT_DEV), 0x12);
	CHECK_EQ(inw(PORT_DEV + 2), 0x3456);
	CHECK_EQ(inl(PORT_DEV + 4), 0x789abcde);
	CHECK_EQ(inw(PORT_DEV + 3), 0xde34);
}

GUEST(pio_partial_register, 0, 1)
{
	u64 a;

	HC(HC_PIO_POKE, 0, 0x8877665544332211);
	asm volatile("inb %%dx, %%al" : "=a"(a) : "d"(PORT_DEV), "0"(~0ull));
	CHECK_EQ(a, 0xffffffffffffff11);
	asm volatile("inw %%dx, %%ax" : "=a"(a) : "d"(PORT_DEV), "0"(~0ull));
	CHECK_EQ(a, 0xffffffffffff2211);
	asm volatile("inl %%dx, %%eax" : "=a"(a) : "d"(PORT_DEV), "0"(~0ull));
	CHECK_EQ(a, 0x44332211);
	asm volatile("rex.w; inl %%dx, %%eax" : "=a"(a) : "d"(PORT_DEV), "0"(~0ull));
	CHECK_EQ(a, 0x44332211);
}

GUEST(pio_immediate, 0, 1)
{
	u64 n;

	HC(HC_LOG_RESET);
	asm volatile("outb %%al, $0xed" :: "a"(0x5a));
	asm volatile("inb $0xed, %%al" : "=a"(n) : "0"(0));
	CHECK_EQ(n & 0xff, 0xff);
	CHECK_EQ(HC(HC_LOG_COUNT), 2);
	saw(0, 0xed, 1, 1, 0x5a);
}

GUEST(pio_strings, 0, 1)
{
	static u8 buf[32];
	struct hostcall c = { HC_LOG_GET, { 0 }, 0 };
	u64 i, si, di, cx;

	for (i = 0; i < 32; i++)
		buf[i] = 0xa0 + i;
	HC(HC_LOG_RESET);
	si = (u64)buf;
	cx = 4;
	asm volatile("rep outsw" : "+S"(si), "+c"(cx) : "d"(PORT_DEV + 8) : "memory");
	CHECK_EQ(cx, 0);
	CHECK_EQ(si, (u64)buf + 8);
	CHECK_EQ(HC(HC_LOG_COUNT), 4);
	for (i = 0; i < 4; i++)
		saw(i, PORT_DEV + 8, 2, 1, buf[2 * i] | buf[2 * i + 1] << 8);
	HC(HC_LOG_RESET);
	si = (u64)buf + 8;
	cx = 3;
	asm volatile("std; rep outsl; cld" : "+S"(si), "+c"(cx) : "d"(PORT_DEV + 8) : "memory");
	CHECK_EQ(si, (u64)buf - 4);
	CHECK_EQ(HC(HC_LOG_COUNT), 3);
	hostcall_p(&c);
	CHECK_EQ(c.a[1], 0xabaaa9a8);
	/* in */
	HC(HC_PIO_POKE, 0x10, 0xddccbbaa);
	memset(buf, 0, 32);
	di = (u64)buf;
	cx = 5;
	asm volatile("rep insb" : "+D"(di), "+c"(cx) : "d"(PORT_DEV + 0x10) : "memory");
	CHECK_EQ(cx, 0);
	CHECK_EQ(di, (u64)buf + 5);
	for (i = 0; i < 5; i++)
		CHECK_EQ(buf[i], 0xaa);
	CHECK_EQ(buf[5], 0);
	di = (u64)buf + 8;
	cx = 2;
	asm volatile("rep insl" : "+D"(di), "+c"(cx) : "d"(PORT_DEV + 0x10) : "memory");
	CHECK_EQ(r64((u64)buf + 8), 0xddccbbaaddccbbaa);
	/* a single one without REP */
	di = (u64)buf + 20;
	asm volatile("insw" : "+D"(di) : "d"(PORT_DEV + 0x10) : "memory");
	CHECK_EQ(di, (u64)buf + 22);
	CHECK_EQ(r16((u64)buf + 20), 0xbbaa);
}

GUEST(pio_strings_fault, 0, 1)
{
	/* the second page of the buffer is not there: stops with #PF at the right element */
	u64 va = 0x40000000, di = va + 0xffc, cx = 4, v;

	map4k(va, FREE_GPA, 3);
	map4k(va + 4096, 0, 0);
	HC(HC_PIO_POKE, 0x10, 0x1234);
	v = TRYO("rep insw", ("+D"(di), "+c"(cx)), "d"(PORT_DEV + 0x10));
	CHECK_EQ(v, 14);
	CHECK_EQ(this_cpu()->cr2, va + 0x1000);
	CHECK_EQ(cx, 2);
	CHECK_EQ(di, va + 0x1000);
	CHECK_EQ(r32(FREE_GPA + 0xffc), 0x12341234);
}

GUEST(pio_strings_long, 0, 1)
{
	u64 di = FREE_GPA + 0x800, cx = 3000, i;

	HC(HC_PIO_POKE, 0x20, 0x77);
	memset((void *)FREE_GPA, 0, 8192);
	asm volatile("rep insb" : "+D"(di), "+c"(cx) : "d"(PORT_DEV + 0x20) : "memory");
	CHECK_EQ(cx, 0);
	for (i = 0; i < 3000; i++)
		MUST(r8(FREE_GPA + 0x800 + i) == 0x77);
	CHECK_EQ(r8(FREE_GPA + 0x800 + 3000), 0);
	CHECK_EQ(r8(FREE_GPA + 0x7ff), 0);
}
