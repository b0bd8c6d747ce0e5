// SPDX-License-Identifier: GPL-2.0-only
/*
 * Task switches through a TSS, as systems of the 286 and 386 use them.  VMX leaves the
 * guest for each, and the module does it; QEMU's emulation of SVM does it as the CPU.
 */
#include "lib/lib.h"
#include "lib/guest32.h"

struct tss {
	u32 link, stacks[6], cr3, eip, eflags;
	u32 eax, ecx, edx, ebx, esp, ebp, esi, edi;
	u32 es, cs, ss, ds, fs, gs, ldt;
	u16 trap, io_map;
};

struct tss16 {
	u16 link, stacks[6], ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
};

#define MAIN	0x80
#define TASK_B	0x88
#define TASK_C	0x90
#define GATE	0x50	/* a task gate in the GDT */
#define LDT	0x98
#define NT	(1 << 14)

struct tss tss_b __attribute__((aligned(128))), tss_c __attribute__((aligned(128)));
static struct tss16 tss_16 __attribute__((aligned(64)));
static u8 stack_b[4096] __attribute__((aligned(16))), stack_c[4096] __attribute__((aligned(16)));
static volatile u32 ran, seen_flags, seen_tr, seen_cr0, seen_link, seen_gs;
u32 popped;

static void describe(u16 sel, void *base, u32 limit, u32 type)
{
	u32 b = (u32)base;

	gdt[sel / 8] = (limit & 0xffff) | (u64)(b & 0xffffff) << 16 | (u64)type << 40 | (u64)(b >> 24) << 56;
}

static int busy(u16 sel)
{
	return gdt[sel / 8] >> 41 & 1;
}

static void make(struct tss *t, u16 sel, void (*fn)(void), u8 *stack)
{
	*t = (struct tss) { .eip = (u32)fn, .eflags = 2, .esp = (u32)stack + 4096, .cs = 0x18,
			    .es = 0x10, .ss = 0x10, .ds = 0x10, .fs = 0x10, .gs = 0x10, .io_map = 104 };
	describe(sel, t, 103, 0x89);
}

static void task_gate_idt(int vec, u16 sel, int type)
{
	idt32[vec] = (struct gate32) { 0, sel, 0, type, 0 };
}

static u32 flags(void)
{
	u32 v;

	asm volatile("pushf; pop %0" : "=r"(v));
	return v;
}

static u32 task_register(void)
{
	u32 v;

	asm volatile("str %0" : "=r"(v));
	return v & 0xffff;
}

static void look(void)
{
	ran++;
	seen_flags = flags();
	seen_tr = task_register();
	seen_cr0 = RDCR(0);
	asm volatile("clts");
}

/* Back to the linked task; called again it goes on behind. */
static void task_nested(void)
{
	for (;;) {
		look();
		seen_link = tss_b.link;
		asm volatile("iret" ::: "memory");
	}
}

static void task_jumps(void)
{
	for (;;) {
		look();
		asm volatile("ljmp %0, $0" :: "i"(MAIN) : "memory");
	}
}

#define CALL_B()	asm volatile("lcall %0, $0" :: "i"(TASK_B) : "memory")

GUEST(task_call_iret, 0, 1)
{
	u32 ebx = 0x11223344, esi = 0x55667788;
	int i;

	make(&tss_b, TASK_B, task_nested, stack_b);
	for (i = 1; i <= 3; i++) {
		asm volatile("std; stc; lcall %2, $0" : "+b"(ebx), "+S"(esi) : "i"(TASK_B) : "memory");
		CHECK_EQ(flags() & 0x401, on_tcg() ? 0x400 : 0x401);	/* TCG forgets CF */
		asm volatile("cld");
		CHECK_EQ(ran, i);
		CHECK_EQ(seen_flags & (NT | 0x401), NT);
		CHECK_EQ(seen_tr, TASK_B);
		CHECK_EQ(seen_cr0 & 8, 8);		/* TS */
		CHECK_EQ(RDCR(0) & 8, 8);
		CHECK_EQ(seen_link & 0xffff, MAIN);
		CHECK_EQ(task_register(), MAIN);
		CHECK_EQ(flags() & NT, 0);
		CHECK(busy(MAIN));
		CHECK(!busy(TASK_B));
		asm volatile("clts");
	}
	CHECK_EQ(ebx, 0x11223344);
	CHECK_EQ(esi, 0x55667788);
	/* what the CPU wrote of each */
	CHECK_EQ(tss32[18] & 0xffff, 0x10);
	CHECK_EQ(tss32[19] & 0xffff, 0x18);
	CHECK_EQ(tss_b.eflags & NT, 0);
	CHECK_EQ(tss_b.cs & 0xffff, 0x18);
	CHECK(tss_b.eip != (u32)task_nested);
}

GUEST(task_jmp, 0, 1)
{
	int i;

	make(&tss_b, TASK_B, task_jumps, stack_b);
	tss_b.link = 0x4444;
	for (i = 1; i <= 2; i++) {
		asm volatile("ljmp %0, $0" :: "i"(TASK_B) : "memory");
		CHECK_EQ(ran, i);
		CHECK_EQ(seen_flags & NT, 0);
		CHECK(busy(MAIN));
		CHECK(!busy(TASK_B));
	}
	CHECK_EQ(tss_b.link, 0x4444);
}

GUEST(task_gate_in_gdt, 0, 1)
{
	make(&tss_b, TASK_B, task_nested, stack_b);
	gdt[GATE / 8] = (u64)TASK_B << 16 | 0x0000850000000000ull;
	asm volatile("lcall %0, $0x1234" :: "i"(GATE) : "memory");
	CHECK_EQ(ran, 1);
	CHECK(!busy(TASK_B));
	make(&tss_c, TASK_C, task_jumps, stack_c);
	gdt[GATE / 8] = (u64)TASK_C << 16 | 0x0000850000000000ull;
	asm volatile("ljmp %0, $0" :: "i"(GATE) : "memory");
	CHECK_EQ(ran, 2);
	CHECK_EQ(seen_tr, TASK_C);
}

/* An error code lies on the new task's stack, and the old one goes on where its EIP is moved to. */
void task_error(void);
asm("task_error:\n\tpop popped\n\tincl %ss:(tss32 + 32)\n\tincl %ss:(tss32 + 32)\n\tiret\n\tjmp task_error");

GUEST(task_gate_in_idt, 0, 1)
{
	u32 n;

	make(&tss_b, TASK_B, task_nested, stack_b);
	task_gate_idt(3, TASK_B, 0x85);
	task_gate_idt(0x41, TASK_B, 0x85);
	asm volatile("int3" ::: "memory");
	CHECK_EQ(ran, 1);
	CHECK_EQ(seen_flags & NT, NT);
	asm volatile("int $0x41" ::: "memory");
	CHECK_EQ(ran, 2);
	if (on_tcg())
		return;		/* it pushes no error code there */
	/* #GP of a selector beyond the GDT, by a MOV of two bytes */
	make(&tss_c, TASK_C, task_error, stack_c);
	task_gate_idt(13, TASK_C, 0x85);
	for (n = 1; n < 3; n++) {
		asm volatile("mov %0, %%es" :: "r"(0x1000 * n) : "memory");
		CHECK_EQ(popped, 0x1000 * n);
		CHECK_EQ(tss_c.esp, (u32)stack_c + 4096);
		CHECK(!busy(TASK_C));
	}
	/* a fault's image has RF, lest a breakpoint hits twice */
	CHECK_EQ(tss32[9] & 0x10000, 0x10000);
	CHECK_EQ(flags() & NT, 0);
}

static void task_irq(void)
{
	for (;;) {
		look();
		eoi();
		asm volatile("iret" ::: "memory");
	}
}

GUEST(task_gate_irq, 0, 1)
{
	int i;

	apic_on();
	make(&tss_b, TASK_B, task_irq, stack_b);
	task_gate_idt(0x60, TASK_B, 0x85);
	for (i = 1; i <= 3; i++) {
		apic_wr(APIC_ICR, 0x40060);
		sti_nop();
		asm volatile("nop; nop; cli");
		CHECK_EQ(ran, i);
		CHECK_EQ(seen_flags & 0x200, 0);
		CHECK_EQ(apic_bit(APIC_ISR, 0x60), 0);
	}
}

GUEST(task_gate_nmi, 0, 1)
{
	int i;

	make(&tss_b, TASK_B, task_nested, stack_b);
	task_gate_idt(2, TASK_B, 0x85);
	for (i = 1; i <= 3; i++) {	/* the IRET of each lets in the next */
		HC(HC_NMI, 0);
		asm volatile("nop; nop" ::: "memory");
		CHECK_EQ(ran, i);
	}
}

/* Sixteen bits of everything. */
static u32 seen16, sp16;
void task_16(void);
asm(".code16\ntask_16: mov $0x1234, %ax; push %ax; pop %bx; mov %bx, (%si); mov %sp, 4(%si); iret\n\t"
	"jmp task_16\n.code32");

static u8 low16[16];

GUEST(task_16bit, 0, 1)
{
	u32 code = (u32)task_16 & ~0xffffu, data = (u32)low16 & ~0xffffu, ebx = 0xabcd1234;
	volatile u32 *p = (u32 *)((u32)low16 & ~3);

	describe(0x58, (void *)code, 0xffff, 0x9a);
	describe(0x60, (void *)data, 0xffff, 0x92);
	tss_16 = (struct tss16) { .ip = (u32)task_16 & 0xffff, .flags = 2, .cs = 0x58, .ds = 0x60, .es = 0x60,
				  .ss = 0x28, .sp = 0x7000, .si = (u32)p & 0xffff };
	describe(TASK_B, &tss_16, 43, 0x81);
	asm volatile("lcall %1, $0" : "+b"(ebx) : "i"(TASK_B) : "memory");
	seen16 = p[0];
	sp16 = p[1];
	CHECK_EQ(seen16 & 0xffff, 0x1234);
	CHECK_EQ(sp16 & 0xffff, 0x7000);
	CHECK_EQ(ebx, 0xabcd1234);
	CHECK_EQ(tss_16.link, MAIN);
	CHECK_EQ(tss_16.bx, 0x1234);
	CHECK_EQ(tss_16.ss, 0x28);
	CHECK_EQ(tss_16.flags & NT, 0);
	CHECK(!busy(TASK_B));
	CHECK_EQ(task_register(), MAIN);
}

static u32 pd[2][1024] __attribute__((aligned(4096)));

static void task_far(void)
{
	u32 v;

	for (;;) {
		look();
		asm volatile("mov %%fs:0, %0" : "=r"(v));
		seen_gs = v;
		asm volatile("iret" ::: "memory");
	}
}

/* The new task's LDT and data can be seen by its own page table alone. */
GUEST(task_cr3_ldt, 0, 1)
{
	u32 va = 0x40000000, i;

	for (i = 0; i < 1024; i++)
		pd[0][i] = pd[1][i] = i << 22 | 0x87;
	pd[0][va >> 22] = 0;
	pd[1][va >> 22] = FREE_GPA | 0x87;
	WRCR(4, RDCR(4) | 0x10);
	WRCR(3, pd[0]);
	WRCR(0, RDCR(0) | 0x80010000);
	tss32[7] = (u32)pd[0];
	/* LDT: entry 1 is data at va + 0x1000 */
	w64(FREE_GPA + 8, 0x4000920000000000ull | 0x10000000ull | 0xfff);
	w32(FREE_GPA + 0x1000, 0xfeedbeef);
	describe(LDT, (void *)va, 15, 0x82);
	make(&tss_b, TASK_B, task_far, stack_b);
	tss_b.cr3 = (u32)pd[1];
	tss_b.ldt = LDT;
	tss_b.fs = 8 | 4;
	for (i = 1; i <= 2; i++) {
		seen_gs = 0;
		CALL_B();
		CHECK_EQ(ran, i);
		CHECK_EQ(seen_gs, 0xfeedbeef);
		CHECK_EQ(RDCR(3), (u32)pd[0]);
		CHECK_EQ(TRYI("cmpb $0, (%0)", "r"(va)), 14);
	}
	CHECK_EQ(r64(FREE_GPA + 8) >> 40 & 1, !on_tcg());	/* accessed */
}

/* The old state goes to memory that nobody has touched, across the end of a page. */
GUEST(task_saved_afresh, 0, 1)
{
	u32 t = FREE_GPA + 0x1000 - 40;

	make(&tss_b, TASK_B, task_nested, stack_b);
	describe(TASK_C, (void *)t, 103, 0x89);
	asm volatile("ltr %0" :: "r"((u16)TASK_C));
	CALL_B();
	CHECK_EQ(ran, 1);
	CHECK_EQ(task_register(), TASK_C);
	CHECK_EQ(tss_b.link & 0xffff, TASK_C);
	CHECK_EQ(r16(t + 0x4c), 0x18);
}

GUEST(task_refused, 0, 1)
{
	make(&tss_b, TASK_B, task_nested, stack_b);
	tss_b.eflags = 2;
	/* busy, absent, too short, no TSS, beyond the table */
	describe(TASK_B, &tss_b, 103, 0x8b);
	CHECK_EQ(TRYI("lcall %0, $0", "i"(TASK_B)), 13);
	CHECK_EQ(last.err, TASK_B);
	describe(TASK_B, &tss_b, 103, 0x09);
	CHECK_EQ(TRYI("lcall %0, $0", "i"(TASK_B)), 11);
	CHECK_EQ(last.err, TASK_B);
	describe(TASK_B, &tss_b, 102, 0x89);
	CHECK_EQ(TRYI("ljmp %0, $0", "i"(TASK_B)), 10);
	CHECK_EQ(last.err, TASK_B);
	CHECK_EQ(TRYI("lcall $0x7f8, $0", "i"(0)), 13);
	CHECK_EQ(last.err, 0x7f8);
	gdt[GATE / 8] = (u64)0x10 << 16 | 0x0000850000000000ull;
	CHECK_EQ(TRYI("lcall %0, $0", "i"(GATE)), 13);
	CHECK_EQ(last.err, 0x10);
	CHECK_EQ(ran, 0);
	CHECK_EQ(task_register(), MAIN);
	CHECK(!busy(TASK_B));
}

/* A fault of the new task: its handler runs in it, and leaves it by the link. */
static u32 bad_vec, bad_err, bad_tr, bad_eip;
void leave_by_link(void);
asm("leave_by_link:\n\tiret\n\tjmp leave_by_link");

static u32 bad_frame;

static void bad_segment(struct frame32 *f)
{
	bad_vec = f->vec;
	bad_err = f->err;
	bad_eip = f->eip;
	bad_tr = task_register();
	bad_frame = (u32)f;
	f->cs = 0x18;
	f->ds = 0x10;
	f->es = 0x10;
	f->eip = (u32)leave_by_link;
}

#define BAD(field, sel, vector)							\
do {										\
	make(&tss_b, TASK_B, task_nested, stack_b);				\
	tss_b.stacks[0] = (u32)stack_c + sizeof(stack_c);				\
	tss_b.stacks[1] = 0x10;							\
	tss_b.field = sel;							\
	bad_vec = 0xff;								\
	CALL_B();								\
	CHECK_EQ(bad_vec, vector);						\
	CHECK_EQ(bad_err, (sel) & 0xfffc);					\
	CHECK_EQ(bad_tr, TASK_B);						\
	CHECK_EQ(bad_eip, (u32)task_nested);					\
	CHECK_EQ(task_register(), MAIN);					\
} while (0)

GUEST(task_bad_segments, 0, 1)
{
	if (on_tcg())
		skip("TCG raises them in the middle of the switch");
	on32(10, bad_segment);
	on32(11, bad_segment);
	on32(13, bad_segment);
	gdt[0x68 / 8] = 0x00cf1a000000ffffull;		/* code, not present */
	BAD(ds, 0x40, 11);				/* not present */
	BAD(es, 0x1000, 10);				/* beyond the table */
	BAD(gs, 0x80, 10);				/* a TSS */
	BAD(fs, 0x33 | 4, 10);				/* there is no LDT */
	CHECK(bad_frame - (u32)stack_c >= sizeof(stack_c));
	/* Without its LDT and CS the task has no rights: another stack. */
	BAD(ldt, 0x10, 10);
	CHECK(bad_frame - (u32)stack_c < sizeof(stack_c));
	bad_frame = 0;
	BAD(cs, 0x1000, 10);
	CHECK(bad_frame - (u32)stack_c < sizeof(stack_c));
	bad_frame = 0;
	BAD(cs, 0x68, 11);				/* not present */
	CHECK(bad_frame - (u32)stack_c < sizeof(stack_c));
	CHECK_EQ(ran, 0);
	gdt[0x70 / 8] = 0x00cf98000000ffffull;		/* code that cannot be read */
	BAD(ds, 0x70, 10);
	CHECK_EQ(ran, 0);
}

/* Where the new stack is bad, only a task can take the fault. */
void task_stack(void);
asm("task_stack:\n\tpop popped\n\tmovl $0x10, tss_b + 80\n\tiret\n\tjmp task_stack");

GUEST(task_bad_stack, 0, 1)
{
	if (on_tcg())
		skip("TCG raises it in the middle of the switch");
	make(&tss_b, TASK_B, task_nested, stack_b);
	make(&tss_c, TASK_C, task_stack, stack_c);
	tss_b.ss = 0x18;				/* code */
	task_gate_idt(10, TASK_C, 0x85);
	CALL_B();
	CHECK_EQ(popped, 0x18);
	CHECK_EQ(ran, 1);				/* after the repair */
	CHECK_EQ(task_register(), MAIN);
	CHECK(!busy(TASK_B));
	CHECK(!busy(TASK_C));
}

static u32 db_dr6, db_eip;

static void on_db(struct frame32 *f)
{
	db_dr6 = RDDR(6);
	db_eip = f->eip;
}

GUEST(task_debug_trap, 0, 1)
{
	if (on_tcg())
		skip("TCG knows no such trap");
	make(&tss_b, TASK_B, task_nested, stack_b);
	tss_b.trap = 1;
	on32(1, on_db);
	WRDR(6, 0);
	WRDR(7, 0x1);			/* L0 on an address that nobody runs */
	WRDR(0, 0x123456);
	CALL_B();
	CHECK_EQ(ran, 1);
	CHECK_EQ(db_dr6 & 0xe00f, 0x8000);
	CHECK_EQ(db_eip, (u32)task_nested);
	CHECK_EQ(RDDR(7) & 0xff, 0);
}

static u32 user_cs, user_ss, user_err;

/* In the kernel part of a task of ring 3. */
static void from_user(struct frame32 *f)
{
	user_cs = f->cs;
	user_ss = f->ss;
	user_err = f->err;
	asm volatile("pushf\n\torl $0x4000, (%%esp)\n\tpopf\n\tiret" ::: "memory");
}

u8 user_code[16];

GUEST(task_ring3, 0, 1)
{
	memcpy(user_code, "\xcc\xeb\xfe", 3);
	idt32[3].type = 0xee;
	on32(3, from_user);
	make(&tss_b, TASK_B, (void (*)(void))(u32)user_code, stack_b);
	tss_b.cs = 0x33;
	tss_b.ss = tss_b.ds = tss_b.es = 0x3b;
	tss_b.fs = tss_b.gs = 0;
	tss_b.stacks[0] = (u32)stack_c + 4096;
	tss_b.stacks[1] = 0x10;
	CALL_B();
	CHECK_EQ(user_cs, 0x33);
	CHECK_EQ(user_ss, 0x3b);
	CHECK_EQ(task_register(), MAIN);
	/* INT n by a task gate that ring 3 may not use: #GP in the task itself */
	memcpy(user_code, "\xcd\x41\xeb\xfe", 4);
	make(&tss_c, TASK_C, task_nested, stack_b);
	task_gate_idt(0x41, TASK_C, 0x85);
	on32(13, from_user);
	tss_b.eip = (u32)user_code;
	tss_b.eflags = 2;
	tss_b.cs = 0x33;
	tss_b.ss = tss_b.ds = tss_b.es = 0x3b;
	tss_b.esp = (u32)stack_b + 4096;
	user_cs = 0;
	CALL_B();
	CHECK_EQ(user_cs, 0x33);
	CHECK_EQ(user_err, 0x41 << 3 | 2);
	CHECK_EQ(ran, 0);
}

static u32 v86_vec, v86_eip, v86_flags, v86_ds;

static void from_v86(struct frame32 *f)
{
	v86_vec = f->vec;
	v86_eip = f->eip;
	v86_flags = f->eflags;
	v86_ds = f->vds;
	asm volatile("mov %0, %%ds\n\tmov %0, %%es\n\tpushf\n\torl $0x4000, (%%esp)\n\tpopf\n\tiret"
		     :: "r"(0x10) : "memory");
}

GUEST(task_v86, 0, 1)
{
	u8 *code = opaque(0x7000);

	memcpy(code, "\xb8\x34\x12\xf4", 4);		/* mov $0x1234, %ax; hlt */
	on32(13, from_v86);
	make(&tss_b, TASK_B, (void (*)(void))0, stack_b);
	tss_b.eflags = 0x20002;
	tss_b.cs = 0x700;
	tss_b.ss = 0x600;
	tss_b.ds = 0x1234;
	tss_b.esp = 0x100;
	tss_b.stacks[0] = (u32)stack_c + 4096;
	tss_b.stacks[1] = 0x10;
	CALL_B();
	CHECK_EQ(v86_vec, 13);
	CHECK_EQ(v86_eip, 3);
	CHECK_EQ(v86_flags & (0x20000 | NT), 0x20000 | NT);
	CHECK_EQ(v86_ds, 0x1234);
	CHECK_EQ(task_register(), MAIN);
}
