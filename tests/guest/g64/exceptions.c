// SPDX-License-Identifier: GPL-2.0-only
/* Exceptions in 64-bit mode: vector, error code, CR2, and delivery through pages never touched. */
#include "lib/lib.h"

GUEST(exc_de, 0, 1)
{
	CHECK_EQ(TRYI("div %%ebx", "a"(1), "b"(0), "d"(0)), 0);
	CHECK_EQ(TRYI("div %%ebx", "a"(0), "b"(1), "d"(1)), 0);
	CHECK_EQ(TRYI("idivl %%ebx", "a"(0x80000000), "d"(-1), "b"(-1)), 0);
	CHECK_EQ(TRYI("div %%ebx", "a"(9), "b"(3), "d"(0)), NOTRAP);
}

GUEST(exc_ud, 0, 1)
{
	u64 rip;
	u64 v = TRYO("lea 1f(%%rip), %0\n1: ud2", ("=&r"(rip)), "i"(0));

	CHECK_EQ(v, 6);
	CHECK_EQ(this_cpu()->rip, rip);
	CHECK_EQ(TRYI(".byte 0x06", "i"(0)), 6);		/* push %es */
	CHECK_EQ(TRYI(".byte 0xf0, 0x90", "i"(0)), 6);
	CHECK_EQ(TRYI("mov %%rax, %%cr1", "a"(0)), 6);
	CHECK_EQ(TRYI("mov %%cr5, %%rax", "a"(0)), 6);
}

GUEST(exc_bp, 0, 1)
{
	u64 rip, v;

	idt[3].type = 0xee;
	v = TRYO("lea 1f(%%rip), %0\nint3\n1:", ("=&r"(rip)), "i"(0));
	CHECK_EQ(v, 3);
	CHECK_EQ(this_cpu()->rip, rip);	/* a trap: behind the instruction */
	v = TRYO("lea 1f(%%rip), %0\nint $0x80\n1:", ("=&r"(rip)), "i"(0));
	CHECK_EQ(v, 0x80);
	CHECK_EQ(this_cpu()->rip, rip);
}

GUEST(exc_nm, 0, 1)
{
	u64 cr0 = RDCR(0);

	WRCR(0, cr0 | 8);
	CHECK_EQ(RDCR(0), cr0 | 8);
	CHECK_EQ(TRYI("fnop", "i"(0)), 7);
	CHECK_EQ(TRYI("movaps %%xmm0, %%xmm1", "i"(0)), 7);
	asm volatile("clts");
	CHECK_EQ(RDCR(0), cr0);
	CHECK_EQ(TRYI("fnop", "i"(0)), NOTRAP);
	WRCR(0, cr0 | 4);				/* EM */
	CHECK_EQ(TRYI("fnop", "i"(0)), 7);
	CHECK_EQ(TRYI("movaps %%xmm0, %%xmm1", "i"(0)), 6);
	WRCR(0, cr0);
}

GUEST(exc_gp, 0, 1)
{
	CHECK_EQ(TRYI("mov %0, %%ds", "r"(0x1000)), 13);
	CHECK_EQ(this_cpu()->err, 0x1000);
	CHECK_EQ(TRYC("movb (%0), %%al", ("rax"), "r"(0x800000000000ull)), 13);
	CHECK_EQ(this_cpu()->err, 0);
	CHECK_EQ(TRYI("int $0xff", "i"(0)), 0xff);
	idt[0xfe].type = 0x00;
	CHECK_EQ(TRYI("int $0xfe", "i"(0)), 13);
	if (!on_tcg())		/* vector * 16 there */
		CHECK_EQ(this_cpu()->err, 0xfe * 8 + 2);
	idt[0xfe].type = 0x0e;
	CHECK_EQ(TRYI("int $0xfe", "i"(0)), 11);
	if (!on_tcg())
		CHECK_EQ(this_cpu()->err, 0xfe * 8 + 2);
	/* alignment of an SSE operand */
	CHECK_EQ(TRYI("movaps (%0), %%xmm0", "r"(FREE_GPA + 1)), 13);
}

GUEST(exc_np_ss, 0, 1)
{
	CHECK_EQ(TRYI("mov %0, %%ds", "r"(DATA_NP)), 11);
	CHECK_EQ(this_cpu()->err, DATA_NP);
	CHECK_EQ(TRYI("mov %0, %%ss", "r"(DATA_NP)), 12);
	CHECK_EQ(this_cpu()->err, DATA_NP);
	if (on_tcg())		/* raises #GP there */
		return;
	CHECK_EQ(TRYC("mov %0, %%rbp; movb (%%rbp), %%al", ("rax", "rbp"),
		      "r"(0x900000000000ull)), 12);
}

#define JUMP_TO "lea 76f(%%rip), %%rax\n\tjmp *%0\n76:"
GUEST(exc_pf, 0, 1)
{
	u64 va = 0x40000000, pa = FREE_GPA;
	struct cpu *c = this_cpu();
	u64 efer = rdmsr(0xc0000080);

	map4k(va, pa, 0);
	CHECK_EQ(TRYC("movb (%0), %%al", ("rax"), "r"(va + 5)), 14);
	CHECK_EQ(c->err, 0);
	CHECK_EQ(c->cr2, va + 5);
	CHECK_EQ(TRYI("movb %%al, (%0)", "r"(va + 6), "a"(0)), 14);
	CHECK_EQ(c->err, 2);
	CHECK_EQ(c->cr2, va + 6);
	map4k(va, pa, 1);
	CHECK_EQ(TRYC("movb (%0), %%al", ("rax"), "r"(va)), NOTRAP);
	CHECK_EQ(TRYI("movb %%al, (%0)", "r"(va), "a"(0)), 14);
	CHECK_EQ(c->err, 3);
	WRCR(0, RDCR(0) & ~0x10000ul);		/* WP off: supervisor may write */
	CHECK_EQ(TRYI("movb %%al, (%0)", "r"(va), "a"(7)), NOTRAP);
	WRCR(0, RDCR(0) | 0x10000ul);
	CHECK_EQ(TRYI("movb %%al, (%0)", "r"(va), "a"(0)), 14);
	CHECK_EQ(r8(pa), 7);
	/* accessed and dirty bits */
	map4k(va, pa, 3);
	CHECK_EQ(*pte_of(va) & 0x60, 0);
	r8(va);
	CHECK_EQ(*pte_of(va) & 0x60, 0x20);
	w8(va, 1);
	CHECK_EQ(*pte_of(va) & 0x60, 0x60);
	/* no-execute */
	w16(pa, 0xe0ff);		/* jmp *%rax */
	*pte_of(va) = pa | 3 | 1ull << 63;
	invlpg(va);
	CHECK_EQ(TRYC(JUMP_TO, ("rax"), "r"(va)), 14);
	CHECK_EQ(c->err, 0x11);
	CHECK_EQ(c->cr2, va);
	asm volatile("" ::: "memory");
	map4k(va, pa, 3);
	CHECK_EQ(TRYC(JUMP_TO, ("rax"), "r"(va)), NOTRAP);
	/* NX is a reserved bit when EFER.NXE is clear */
	wrmsr(0xc0000080, efer & ~0x800ull);
	*pte_of(va) = pa | 3 | 1ull << 63;
	invlpg(va);
	CHECK_EQ(TRYC("movb (%0), %%al", ("rax"), "r"(va)), 14);
	CHECK_EQ(c->err | on_tcg(), 9);	/* TCG forgets P */
	wrmsr(0xc0000080, efer);
	/* a reserved bit above the physical address width */
	*pte_of(va) = pa | 3 | 1ull << 51;
	invlpg(va);
	CHECK_EQ(TRYC("movb (%0), %%al", ("rax"), "r"(va)), 14);
	CHECK_EQ(c->err | on_tcg(), 9);	/* TCG forgets P */
}

static u64 user_stack_top;
static u64 user_trap, user_err, user_cr2, user_rip;
static u64 kernel_rsp;

static void user_gate(struct frame *f)
{
	user_trap = f->vec;
	user_err = f->err;
	user_cr2 = RDCR(2);
	user_rip = f->rip;
	CHECK_EQ(f->cs, UCODE64);
	/* back to the kernel context that entered user mode */
	asm volatile("mov %0, %%rsp\n\tret" :: "r"(kernel_rsp));
}

/* Runs code in ring 3 until it traps. */
static __attribute__((noinline)) void run_user(void *code)
{
	asm volatile("push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15\n\t"
		     "lea 1f(%%rip), %%rax\n\tpush %%rax\n\tmov %%rsp, %[k]\n\t"
		     "pushq %[ss]\n\tpushq %[sp]\n\tpushq %[fl]\n\tpushq %[cs]\n\tpushq %[ip]\n\tiretq\n1:\n\t"
		     "pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx"
		     : [k] "=m"(kernel_rsp)
		     : [ss] "i"(UDATA64), [sp] "r"(user_stack_top), [fl] "i"(0x40002),
		       [cs] "i"(UCODE64), [ip] "r"(code)
		     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
}

static void user_setup(void)
{
	void *top = (char *)alloc_page() + 4096;

	memcpy((char *)this_cpu()->tss + 4, &top, 8);
	user_stack_top = alloc_page() + 4096 - 64;
}

GUEST(exc_user, 0, 1)
{
	static const u8 gp[] = { 0xf4 };			/* hlt */
	static const u8 io[] = { 0xe6, 0x80 };			/* out %al, $0x80 */
	static const u8 ac[] = { 0x8b, 0x44, 0x24, 1 };		/* mov 1(%rsp), %eax */
	static const u8 pf[] = { 0xa0, 0, 0, 0, 0x40, 0, 0, 0, 0 };	/* movabs 0x40000000, %al */
	static const u8 n80[] = { 0xcd, 0x80 };			/* int $0x80 */
	int v;

	user_setup();
	for (v = 0; v < 256; v++)
		on(v, user_gate);
	run_user((void *)gp);
	CHECK_EQ(user_trap, 13);
	CHECK_EQ(user_rip, (u64)gp);
	run_user((void *)io);
	CHECK_EQ(user_trap, 13);
	run_user((void *)n80);
	CHECK_EQ(user_trap, 13);
	if (!on_tcg())
		CHECK_EQ(user_err, 0x402);
	idt[0x80].type = 0xee;
	run_user((void *)n80);
	CHECK_EQ(user_trap, 0x80);
	map4k(0x40000000, FREE_GPA, 3);		/* a supervisor page */
	run_user((void *)pf);
	CHECK_EQ(user_trap, 14);
	CHECK_EQ(user_err, 5);
	CHECK_EQ(user_cr2, 0x40000000);
	map4k(0x40000000, FREE_GPA, 0);
	run_user((void *)pf);
	CHECK_EQ(user_err, 4);
	WRCR(0, RDCR(0) | 0x40000);		/* AM, and the frame has EFLAGS.AC */
	run_user((void *)ac);
	if (!on_tcg()) {			/* no #AC in TCG */
		CHECK_EQ(user_trap, 17);
		CHECK_EQ(user_err, 0);
	}
	for (v = 0; v < 256; v++)
		on(v, 0);
}

static volatile u64 df_seen;
static void df_gate(struct frame *f)
{
	df_seen++;
	CHECK_EQ(f->err, 0);
	finish();
}

GUEST(exc_df, 0, 1)
{
	/* #GP whose gate is bad: #DF */
	on(8, df_gate);
	set_ist(1, (char *)alloc_page() + 4096);
	idt[8].ist = 1;
	idt[13].type = 0;
	asm volatile("mov %0, %%ds" :: "r"(0x1000));
	CHECK(!"no #DF");
}

GUEST(exc_df_pf, 0, 1)
{
	/* #PF while delivering #PF */
	on(8, df_gate);
	set_ist(1, (char *)alloc_page() + 4096);
	idt[8].ist = 1;
	map4k(0x40000000, 0, 0);
	set_ist(2, (void *)0x40001000);
	map4k(0x40000000, 0, 0);
	idt[14].ist = 2;
	r8(0x40000000);
	CHECK(!"no #DF");
}

GUEST(exc_triple_df, F_SHUTDOWN, 1)
{
	idt[8].type = 0;
	idt[13].type = 0;
	asm volatile("mov %0, %%ds" :: "r"(0x1000));
}

/*
 * Delivery of an event through an IDT page and onto a stack page that the
 * host has not yet mapped into the guest: the nested faults hit in the
 * middle of the delivery, which must then be done again, once.
 */
static volatile u64 fresh_hits;
static void fresh_gate(struct frame *f)
{
	fresh_hits++;
	if (f->vec >= 32)
		eoi();
}

static void fresh_round(u64 idt_at, u64 stack_at, int vec)
{
	struct { u16 l; u64 b; } __attribute__((packed)) d = { 4095, idt_at }, old;

	asm volatile("sidt %0" : "=m"(old));
	CHECK_EQ(HC(HC_DONTNEED, stack_at, 4096), 0);
	set_ist(3, (void *)(stack_at + 4096));
	idt[vec].ist = 3;
	memcpy((void *)idt_at, idt, 4096);
	asm volatile("lidt %0" :: "m"(d));
	/* gone from the nested tables, not from the host: unmap by moving it out */
	fresh_hits = 0;
	on(vec, fresh_gate);
}

GUEST(exc_fresh_stack, 0, 1)
{
	u64 i;

	for (i = 0; i < 16; i++) {
		fresh_round(FREE_GPA, FREE_GPA + 0x200000 + i * 0x2000, 3);
		asm volatile("int3");
		CHECK_EQ(fresh_hits, 1);
	}
}

static volatile u64 bp_rip;
static void fresh_bp(struct frame *f)
{
	fresh_hits++;
	bp_rip = f->rip;
}

/* A #BP that user space injects has no instruction that could be run again. */
GUEST(exc_fresh_bp_injected, 0, 1)
{
	struct hostcall c = { HC_EXC_PAYLOAD, { 3 }, 0 };
	u64 i, at;

	for (i = 0; i < 16; i++) {
		fresh_round(FREE_GPA, FREE_GPA + 0x200000 + i * 0x2000, 3);
		on(3, fresh_bp);
		/* one byte stands for the INT3 that user space had put there */
		asm volatile("lea 1f(%%rip), %0\n\tout %%eax, %%dx\n1:\tnop; nop"
			     : "=&r"(at) : "a"((u32)(u64)&c), "d"(PORT_CALL) : "memory");
		CHECK_EQ(c.ret, 0);
		CHECK_EQ(fresh_hits, 1);
		CHECK_EQ(bp_rip, at + 1);
	}
}

GUEST(exc_fresh_idt, 0, 1)
{
	/* the IDT lies in a slot that is deleted and made again before each trap */
	struct { u16 l; u64 b; } __attribute__((packed)) d = { 4095, SLOT_GPA };
	u64 i, off;

	for (off = 0; off < 4096; off += 8)
		HC(HC_POKE_POOL, off, r64((u64)idt + off));
	on(3, fresh_gate);
	on(6, fresh_gate);
	MUST(!HC(HC_SLOT, 5, SLOT_GPA, 0x10000, 0, 0));
	asm volatile("lidt %0" :: "m"(d));
	for (i = 0; i < 16; i++) {
		fresh_hits = 0;
		MUST(!HC(HC_SLOT, 5, SLOT_GPA, 0, 0, 0));
		MUST(!HC(HC_SLOT, 5, SLOT_GPA, 0x10000, 0, 0));
		asm volatile("int3");
		CHECK_EQ(fresh_hits, 1);
	}
	for (i = 0; i < 16; i++) {
		fresh_hits = 0;
		MUST(!HC(HC_SLOT, 5, SLOT_GPA, 0, 0, 0));
		MUST(!HC(HC_SLOT, 5, SLOT_GPA, 0x10000, 0, 0));
		/* an interrupt this time */
		on(0x40, fresh_gate);
		apic_on();
		apic_icr(0, 0x44040);
		sti_nop();
		cli();
		CHECK_EQ(fresh_hits, 1);
	}
}

GUEST(exc_injected_by_client, 0, 1)
{
	/* KVM_SET_VCPU_EVENTS queues #GP with an error code */
	struct hostcall c = { HC_EXC_PAYLOAD, { 13, 0x1234, 1 }, 0 };

	CHECK_EQ(TRYI("out %%eax, %%dx", "a"((u32)(u64)&c), "d"(PORT_CALL)), 13);
	CHECK_EQ(c.ret, 0);
	CHECK_EQ(this_cpu()->err, 0x1234);
}
