/* SPDX-License-Identifier: GPL-2.0-only */
/* The library of the tiny guests. Everything is identity mapped. */
#ifndef LM_GUEST_LIB_H
#define LM_GUEST_LIB_H
#include "../abi.h"
#include "defs.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define STR_(x...) #x
#define STR(x...) STR_(x)

/* GUEST(name, flags, cpus) { body }: one case in the image's table. */
#define GUEST(name, flags, ncpus)						\
	void name(void);							\
	asm(".pushsection .cases,\"a\"\n"					\
	    ".long 91f, " #name ", " STR(flags) ", " STR(ncpus) "\n"		\
	    ".popsection\n"							\
	    ".pushsection .rodata\n91: .asciz \"" #name "\"\n.popsection");	\
	void name(void)

#define INFO ((volatile struct guest_info *)(uintptr_t)INFO_GPA)

/* reports */
void put(const char *s);
void puthex(u64 v);
void finish(void) __attribute__((noreturn));
void skip(const char *why) __attribute__((noreturn));
void fail_(const char *file, int line, const char *what);
void fail_eq_(const char *file, int line, const char *what, u64 got, u64 want);
void fatal_(const char *file, int line, const char *what) __attribute__((noreturn));

#define CHECK(cond) do { if (!(cond)) fail_(__FILE_NAME__, __LINE__, #cond); } while (0)
#define CHECK_EQ(got, want) do {						\
	u64 g_ = (u64)(got), w_ = (u64)(want);					\
	if (g_ != w_)								\
		fail_eq_(__FILE_NAME__, __LINE__, #got, g_, w_);		\
} while (0)
#define MUST(cond) do { if (!(cond)) fatal_(__FILE_NAME__, __LINE__, #cond); } while (0)
#ifndef __FILE_NAME__
#define __FILE_NAME__ __FILE__
#endif

/* the host */
s64 hostcall(u64 op, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5);
s64 hostcall_p(struct hostcall *c);
#define HC(op, ...) HC_(op, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define HC_(op, a, b, c, d, e, f, ...) hostcall(op, a, b, c, d, e, f)

int on_tcg(void);		/* is the host itself emulated by QEMU? */

void *memset(void *d, int c, unsigned long n);
void *memcpy(void *d, const void *s, unsigned long n);
int memcmp(const void *a, const void *b, unsigned long n);

/* instructions */
static inline void outb(u16 p, u8 v) { asm volatile("outb %0,%1" :: "a"(v), "Nd"(p)); }
static inline void outw(u16 p, u16 v) { asm volatile("outw %0,%1" :: "a"(v), "Nd"(p)); }
static inline void outl(u16 p, u32 v) { asm volatile("outl %0,%1" :: "a"(v), "Nd"(p) : "memory"); }
static inline u8 inb(u16 p) { u8 v; asm volatile("inb %1,%0" : "=a"(v) : "Nd"(p)); return v; }
static inline u16 inw(u16 p) { u16 v; asm volatile("inw %1,%0" : "=a"(v) : "Nd"(p)); return v; }
static inline u32 inl(u16 p) { u32 v; asm volatile("inl %1,%0" : "=a"(v) : "Nd"(p)); return v; }
static inline u64 rdtsc(void)
{
	u32 a, d;

	asm volatile("lfence; rdtsc" : "=a"(a), "=d"(d) :: "memory");
	return a | (u64)d << 32;
}
static inline void cpuid(u32 l, u32 s, u32 *r)
{
	asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(l), "2"(s));
}
static inline u64 rdmsr(u32 i)
{
	u32 a, d;

	asm volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(i) : "memory");
	return a | (u64)d << 32;
}
static inline void wrmsr(u32 i, u64 v)
{
	asm volatile("wrmsr" :: "c"(i), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline void cli(void) { asm volatile("cli" ::: "memory"); }
static inline void sti(void) { asm volatile("sti" ::: "memory"); }
static inline void sti_nop(void) { asm volatile("sti; nop" ::: "memory"); }
static inline void sti_hlt(void) { asm volatile("sti; hlt" ::: "memory"); }
static inline void cpu_relax(void) { asm volatile("pause" ::: "memory"); }
/* In a register: as constants, addresses above 64 KiB would be cut in 16-bit code. */
static inline void *opaque(uintptr_t a)
{
	asm("" : "+r"(a));
	return (void *)a;
}
static inline void w8(u64 a, u8 v) { *(volatile u8 *)opaque(a) = v; }
static inline void w16(u64 a, u16 v) { *(volatile u16 *)opaque(a) = v; }
static inline void w32(u64 a, u32 v) { *(volatile u32 *)opaque(a) = v; }
static inline void w64(u64 a, u64 v) { *(volatile u64 *)opaque(a) = v; }
static inline u8 r8(u64 a) { return *(volatile u8 *)opaque(a); }
static inline u16 r16(u64 a) { return *(volatile u16 *)opaque(a); }
static inline u32 r32(u64 a) { return *(volatile u32 *)opaque(a); }
static inline u64 r64(u64 a) { return *(volatile u64 *)opaque(a); }
#define BARRIER() asm volatile("" ::: "memory")

#define RDCR(n) ({ unsigned long v_; asm volatile("mov %%cr" #n ",%0" : "=r"(v_)); v_; })
#define WRCR(n, v) asm volatile("mov %0,%%cr" #n :: "r"((unsigned long)(v)) : "memory")
#define RDDR(n) ({ unsigned long v_; asm volatile("mov %%dr" #n ",%0" : "=r"(v_)); v_; })
#define WRDR(n, v) asm volatile("mov %0,%%dr" #n :: "r"((unsigned long)(v)) : "memory")

static inline int has_cpuid(u32 leaf, int reg, int bit)
{
	u32 r[4];

	cpuid(leaf & 0x80000000, 0, r);
	if (leaf > r[0])
		return 0;
	cpuid(leaf, 0, r);
	return r[reg] >> bit & 1;
}
enum { EAX, EBX, ECX, EDX };

#ifdef __x86_64__
struct frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vec, err, rip, cs, rflags, rsp, ss;
};

/* One per CPU, found through TR so that it works on any stack. */
struct cpu {
	u64 fixup;		/* where a trap inside TRY goes on */
	u64 vec, err, cr2, rip, rflags, dr6;	/* the last trap inside TRY */
	u32 id;
	u32 apic_id;
	volatile u64 count[256];	/* traps by vector */
	u64 tss[14];
};
extern struct cpu cpus[MAX_CPUS];
extern volatile u32 cpus_started;
extern u64 gdt[];

static inline struct cpu *this_cpu(void)
{
	u16 tr;

	asm volatile("str %0" : "=r"(tr));
	return &cpus[(tr - TSS_SEL) / 16];
}

typedef void (*handler_t)(struct frame *f);
void on(int vec, handler_t h);
void idt_raw(int vec, void *target, int type, int ist, u16 sel);
struct idt_gate { u16 lo, sel; u8 ist, type; u16 mid; u32 hi, zero; };
extern struct idt_gate idt[256];
void set_ist(int n, void *top);

#define NOTRAP 0xffff
/*
 * TRYI(instructions, inputs...): the vector of the trap that they raise, or
 * NOTRAP. TRYO(instructions, (outputs), inputs...) has outputs too.
 */
#define UNPAREN(...) __VA_ARGS__
#define TRYO(insn, outs, ...) ({						\
	struct cpu *c_ = this_cpu();						\
	c_->vec = NOTRAP;							\
	asm volatile("movq $77f, %[fx]\n\t" insn "\n77:\tmovq $0, %[fx]"	\
		: UNPAREN outs : __VA_ARGS__, [fx] "m"(c_->fixup) : "memory");	\
	c_->vec; })
/* with clobbers besides memory */
#define TRYC(insn, clobbers, ...) ({						\
	struct cpu *c_ = this_cpu();						\
	c_->vec = NOTRAP;							\
	asm volatile("movq $77f, %[fx]\n\t" insn "\n77:\tmovq $0, %[fx]"	\
		:: __VA_ARGS__, [fx] "m"(c_->fixup) : "memory", UNPAREN clobbers); \
	c_->vec; })
#define TRYI(insn, ...) ({							\
	struct cpu *c_ = this_cpu();						\
	c_->vec = NOTRAP;							\
	asm volatile("movq $77f, %[fx]\n\t" insn "\n77:\tmovq $0, %[fx]"	\
		:: __VA_ARGS__, [fx] "m"(c_->fixup) : "memory");		\
	c_->vec; })
static inline u64 try_wrmsr(u32 i, u64 v)
{
	return TRYI("wrmsr", "c"(i), "a"((u32)v), "d"((u32)(v >> 32)));
}
u64 try_rdmsr(u32 i, u64 *v);

/* SMP */
void start_aps(void (*fn)(int cpu));
extern void (*volatile ap_fn)(int cpu);

/* paging */
u64 *pte_of(u64 va);		/* splits the 2 MiB page on first use */
void map4k(u64 va, u64 pa, u64 bits);
static inline void invlpg(u64 va) { asm volatile("invlpg (%0)" :: "r"(va) : "memory"); }
u64 alloc_page(void);
#endif

/* APIC */
#define APIC_BASE	0xfee00000u
#define APIC_ID		0x20
#define APIC_VER	0x30
#define APIC_TPR	0x80
#define APIC_PPR	0xa0
#define APIC_EOI	0xb0
#define APIC_LDR	0xd0
#define APIC_DFR	0xe0
#define APIC_SVR	0xf0
#define APIC_ISR	0x100
#define APIC_TMR	0x180
#define APIC_IRR	0x200
#define APIC_ESR	0x280
#define APIC_ICR	0x300
#define APIC_ICR2	0x310
#define APIC_LVTT	0x320
#define APIC_LVTPC	0x340
#define APIC_LVT0	0x350
#define APIC_LVT1	0x360
#define APIC_LVTERR	0x370
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define APIC_TDCR	0x3e0
extern int x2apic;
u32 apic_rd(u32 reg);
void apic_wr(u32 reg, u32 v);
void apic_icr(u32 dest, u32 lo);
void apic_on(void);
void apic_x2(void);
static inline void eoi(void) { apic_wr(APIC_EOI, 0); }
int apic_bit(u32 reg, int vec);
void delay(u64 tsc);
u64 ms(u32 n);			/* n milliseconds in TSC ticks */
/* wait until *p == want, for at most n ms; 1 when it did */
int wait_for(volatile u64 *p, u64 want, u32 n);

void pic_init(u8 base0, u8 base1, u8 mask0, u8 mask1);
void pit_mode(int ch, int mode, u16 count);
u16 pit_read(int ch);
void ioapic_wr(u32 reg, u32 v);
u32 ioapic_rd(u32 reg);
void ioapic_redir(int pin, u64 v);
u64 ioapic_entry(int pin);
#endif
