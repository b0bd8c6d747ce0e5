// SPDX-License-Identifier: GPL-2.0-only
/* KVM_SET_GUEST_DEBUG: steps and breakpoints in real-mode code at CODE. */
#include "api.h"

#define CODE	0x1000u
#define HANDLER	0x2000u
#define TF	0x100u
#define STEP	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP)
#define HW_BP	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP)

static int debug(uint32_t control, uint64_t dr0, uint64_t dr7)
{
	struct kvm_guest_debug d = { .control = control };

	d.arch.debugreg[0] = dr0;
	d.arch.debugreg[7] = dr7;
	return ioctl(e.vcpu, KVM_SET_GUEST_DEBUG, &d);
}

/* A vCPU at CODE, with a handler for each vector, all the same. */
static void start(const char *bytes, size_t n)
{
	int i;

	make_vm();
	make_ram();
	make_vcpu();
	if (cap(KVM_CAP_SET_GUEST_DEBUG) <= 0)
		skip("not there");
	for (i = 0; i < 256; i++)
		((uint32_t *)e.ram)[i] = HANDLER;
	code(HANDLER, "\x90\xcf", 2);		/* nop; iret */
	code(CODE, bytes, n);
	real_mode(e.vcpu, CODE);
}

static struct kvm_regs regs(void)
{
	struct kvm_regs r;

	OK(ioctl(e.vcpu, KVM_GET_REGS, &r));
	return r;
}

/* What the exits before the next KVM_EXIT_DEBUG were, a digit each. */
static int run(void)
{
	int others = 0, i;

	for (i = 0; i < 8; i++) {
		OK(ioctl(e.vcpu, KVM_RUN, 0));
		if (e.run->exit_reason == KVM_EXIT_DEBUG)
			return others;
		others = others * 10 + e.run->exit_reason;
	}
	return -1;
}

static void at(int line, uint32_t rip)
{
	struct kvm_regs r = regs();

	check_(e.run->debug.arch.pc == rip && r.rip == rip && !(r.rflags & TF), __FILE__, line,
	       "stopped at", e.run->debug.arch.pc, rip);
	check_(e.run->debug.arch.exception == 1, __FILE__, line, "#DB", e.run->debug.arch.exception, 1);
	check_(e.run->debug.arch.dr6 == 0xffff4ff0, __FILE__, line, "DR6", e.run->debug.arch.dr6, 0xffff4ff0);
}

/* One step, to CODE + @off. */
#define STEP_TO(off) do { IS(run(), 0); at(__LINE__, CODE + (off)); } while (0)

static void arguments(void)
{
	make_vm();
	make_ram();
	make_vcpu();
	if (cap(KVM_CAP_SET_GUEST_DEBUG) <= 0)
		skip("not there");
	IS(cap(KVM_CAP_SET_GUEST_DEBUG2), 0x1f0003);
	IS(cap(KVM_CAP_X86_ROBUST_SINGLESTEP), 1);
	OK(debug(0, 0, 0));
	OK(debug(0x1f0000, 0, 0));		/* nothing is enabled, a #DB is injected */
	ERR(debug(KVM_GUESTDBG_INJECT_BP, 0, 0), EBUSY);
	ERR(ioctl(e.vcpu, KVM_SET_GUEST_DEBUG, BAD_PTR), EFAULT);
	if (!strcmp(device, "/dev/kvm"))
		return;				/* takes any bit */
	ERR(debug(4, 0, 0), EINVAL);
	ERR(debug(KVM_GUESTDBG_ENABLE | 0x200000, 0, 0), EINVAL);
}

static void step_insns(void)
{
	/* sti; nop; cpuid; rdmsr; mov %dr7, %eax; wbinvd; cli; jmp . */
	start("\xfb\x90\x0f\xa2\x0f\x32\x0f\x21\xf8\x0f\x09\xfa\xeb\xfe", 14);
	struct kvm_regs r = regs();

	r.rcx = 0x10;
	OK(ioctl(e.vcpu, KVM_SET_REGS, &r));
	OK(debug(STEP, 0, 0));
	STEP_TO(1);
	STEP_TO(2);
	STEP_TO(4);
	r = regs();
	r.rcx = 0x10;
	OK(ioctl(e.vcpu, KVM_SET_REGS, &r));
	STEP_TO(6);
	STEP_TO(9);
	IS(regs().rax & 0xffffffff, 0x400);
	STEP_TO(11);
	STEP_TO(12);
	IS(regs().rflags & 0x200, 0);
	STEP_TO(12);
}

/* What user space must answer comes before the step's end. */
static void step_exits(void)
{
	/* out; in; mov $0xffff, %ax; mov %ax, %ds; mov %al, 0x20; mov 0x20, %al; nop */
	start("\xe6\x10\xe4\x10\xb8\xff\xff\x8e\xd8\xa2\x20\x00\xa0\x20\x00\x90", 16);
	OK(debug(STEP, 0, 0));
	IS(run(), KVM_EXIT_IO);
	at(__LINE__, CODE + 2);
	IS(run(), KVM_EXIT_IO);
	at(__LINE__, CODE + 4);
	STEP_TO(7);
	STEP_TO(9);
	IS(run(), KVM_EXIT_MMIO);
	at(__LINE__, CODE + 12);
	IS(run(), KVM_EXIT_MMIO);
	at(__LINE__, CODE + 15);
	STEP_TO(16);
}

static void step_hlt(void)
{
	start("\xf4\x90", 2);
	OK(debug(STEP, 0, 0));
	IS(run(), KVM_EXIT_HLT);
	at(__LINE__, CODE + 1);
	STEP_TO(2);
}

static void step_strings(void)
{
	struct kvm_regs r;

	start("\xf3\xaa\xf3\x6e\x90", 5);	/* rep stosb; rep outsb; nop */
	r = regs();
	r.rcx = 3;
	r.rdi = 0x3000;
	r.rsi = 0x3000;
	r.rdx = 0x10;
	OK(ioctl(e.vcpu, KVM_SET_REGS, &r));
	OK(debug(STEP, 0, 0));
	STEP_TO(0);
	IS(regs().rcx, 2);
	STEP_TO(0);
	IS(regs().rcx, 1);
	/* QEMU's emulated CPU finds the count used up by a step of its own */
	IS(run(), 0);
	r = regs();
	if (r.rip == CODE)
		STEP_TO(2);
	r = regs();
	IS(r.rcx, 0);
	r.rcx = 2;
	OK(ioctl(e.vcpu, KVM_SET_REGS, &r));
	IS(run(), KVM_EXIT_IO);
	at(__LINE__, CODE + 2);
	IS(regs().rcx, 1);
	IS(run(), KVM_EXIT_IO);
	at(__LINE__, CODE + 4);
	STEP_TO(5);
}

/* The guest sees no TF but its own. */
static void step_flags(void)
{
	struct kvm_regs r;

	/* pushf; pop %ax; push $0x102; popf; nop; nop */
	start("\x9c\x58\x68\x02\x01\x9d\x90\x90", 8);
	OK(debug(STEP, 0, 0));
	STEP_TO(1);
	IS(*(uint16_t *)(e.ram + 0x7ffe), 2);
	STEP_TO(2);
	STEP_TO(5);
	IS(run(), 0);
	r = regs();
	IS(r.rip, CODE + 6);
	IS(r.rflags, 0x102);
	/* a step of user space's goes before the guest's own */
	IS(run(), 0);
	r = regs();
	IS(r.rip, CODE + 7);
	IS(r.rflags, 0x102);
	/* and the guest's own is a #DB of the guest's */
	OK(debug(0, 0, 0));
	code(HANDLER, "\xe6\x10", 2);
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(*(uint16_t *)(e.ram + 0x7ffa), CODE + 8);
	IS(*(uint16_t *)(e.ram + 0x7ffe), 0x102);
}

/* A fault's delivery is a step, and what it pushed has no TF. */
static void step_fault(void)
{
	start("\x31\xc9\xf7\xf1\x90", 5);	/* xor %cx, %cx; div %cx; nop */
	OK(debug(STEP, 0, 0));
	STEP_TO(2);
	IS(run(), 0);
	at(__LINE__, HANDLER);
	IS(*(uint16_t *)(e.ram + 0x7ffa), CODE + 2);
	IS(*(uint16_t *)(e.ram + 0x7ffe) & TF, 0);
	IS(run(), 0);
	at(__LINE__, HANDLER + 1);
	STEP_TO(2);				/* iret */
}

static void step_interrupt(void)
{
	struct kvm_interrupt irq = { .irq = 0x40 };

	start("\xfb\x90\x90\x90\x90", 5);
	OK(debug(STEP | KVM_GUESTDBG_BLOCKIRQ, 0, 0));
	STEP_TO(1);
	OK(ioctl(e.vcpu, KVM_INTERRUPT, &irq));
	STEP_TO(2);
	STEP_TO(3);
	OK(debug(STEP, 0, 0));
	IS(run(), 0);
	at(__LINE__, HANDLER);
	IS(*(uint16_t *)(e.ram + 0x7ffa), CODE + 3);
	IS(*(uint16_t *)(e.ram + 0x7ffe), 0x202);
	/* an NMI is one too */
	OK(ioctl(e.vcpu, KVM_NMI, 0));
	IS(run(), 0);
	at(__LINE__, HANDLER);
	IS(*(uint16_t *)(e.ram + 0x7ff4), HANDLER);
	IS(run(), 0);
	at(__LINE__, HANDLER + 1);
	IS(run(), 0);
	at(__LINE__, HANDLER);
}

/* INT n and its handler are one step, which ends with the instruction behind. */
static void step_int(void)
{
	start("\xcd\x40\x90\x90", 4);
	OK(debug(STEP, 0, 0));
	STEP_TO(3);
	STEP_TO(4);
}

static void hw_breakpoints(void)
{
	struct kvm_debugregs d;
	struct kvm_regs r;

	/* nop; nop; mov %al, 0x3000; mov %dr7, %eax; mov %dr0, %eax; out %al, $0x10 */
	start("\x90\x90\xa2\x00\x30\x0f\x21\xf8\x0f\x21\xc0\xe6\x10", 13);
	OK(ioctl(e.vcpu, KVM_GET_DEBUGREGS, &d));
	d.db[0] = 0x7777;
	d.dr6 = 0xffff0ff1;
	OK(ioctl(e.vcpu, KVM_SET_DEBUGREGS, &d));
	OK(debug(HW_BP, CODE + 1, 0x402));
	IS(run(), 0);
	IS(e.run->debug.arch.pc, CODE + 1);
	IS(e.run->debug.arch.dr6, 0xffff0ff1);
	IS(e.run->debug.arch.dr7, 0x402);
	IS(regs().rip, CODE + 1);
	OK(debug(HW_BP, 0x3000, 0x402 | 1 << 16));
	IS(run(), 0);
	IS(e.run->debug.arch.pc, CODE + 5);
	IS(e.run->debug.arch.dr6, 0xffff0ff1);
	/* the guest's own are where they were, for it and for user space */
	OK(debug(HW_BP | KVM_GUESTDBG_SINGLESTEP, CODE + 8, 0x402));
	IS(run(), 0);
	IS(e.run->debug.arch.pc, CODE + 8);
	IS(regs().rax & 0xffffffff, 0x400);
	OK(debug(STEP, 0, 0));
	IS(run(), 0);
	IS(regs().rax & 0xffffffff, 0x7777);
	OK(ioctl(e.vcpu, KVM_GET_DEBUGREGS, &d));
	IS(d.db[0], 0x7777);
	IS(d.dr6, 0xffff0ff1);
	IS(d.dr7, 0x400);
	/* general detect */
	r = regs();
	r.rip = CODE + 5;
	OK(ioctl(e.vcpu, KVM_SET_REGS, &r));
	OK(debug(HW_BP, 0, 0x2400));
	IS(run(), 0);
	IS(e.run->debug.arch.pc, CODE + 5);
	IS(e.run->debug.arch.dr6, 0xffff2ff0);
	OK(debug(0, 0, 0));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(regs().rax & 0xffffffff, 0x7777);
}

static void guest_breakpoints(void)
{
	struct kvm_debugregs d;

	/* nop; nop; out %al, $0x10: the guest's own breakpoint is its own again afterwards */
	start("\x90\x90\xe6\x10", 4);
	code(HANDLER, "\xe6\x20", 2);
	OK(ioctl(e.vcpu, KVM_GET_DEBUGREGS, &d));
	d.db[0] = CODE + 1;
	d.dr7 = 0x402;
	OK(ioctl(e.vcpu, KVM_SET_DEBUGREGS, &d));
	OK(debug(HW_BP, 0, 0x400));
	OK(debug(0, 0, 0));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.port, 0x20);
	IS(*(uint16_t *)(e.ram + 0x7ffa), CODE + 1);
	OK(ioctl(e.vcpu, KVM_GET_DEBUGREGS, &d));
	IS(d.dr6, 0xffff0ff1);
}

static void sw_breakpoint(void)
{
	struct kvm_regs r;

	start("\x90\xcc\xe6\x10", 4);
	code(HANDLER, "\xe6\x20", 2);
	OK(debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP, 0, 0));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	if (e.run->exit_reason == KVM_EXIT_IO && e.run->io.port == 0x20)
		skip("the emulated CPU does not intercept INT3");
	IS(e.run->exit_reason, KVM_EXIT_DEBUG);
	IS(e.run->debug.arch.exception, 3);
	IS(e.run->debug.arch.pc, CODE + 1);
	r = regs();
	IS(r.rip, CODE + 1);
	/* the guest's own: user space hands it on */
	OK(debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_INJECT_BP, 0, 0));
	OK(ioctl(e.vcpu, KVM_RUN, 0));
	IS(e.run->exit_reason, KVM_EXIT_IO);
	IS(e.run->io.port, 0x20);
	IS(*(uint16_t *)(e.ram + 0x7ffa), CODE + 2);
}

const struct test debug_tests[] = {
	{ "debug-arguments", arguments }, { "debug-step-insns", step_insns },
	{ "debug-step-exits", step_exits }, { "debug-step-hlt", step_hlt },
	{ "debug-step-strings", step_strings }, { "debug-step-flags", step_flags },
	{ "debug-step-fault", step_fault }, { "debug-step-interrupt", step_interrupt },
	{ "debug-step-int", step_int }, { "debug-hw-breakpoints", hw_breakpoints },
	{ "debug-guest-breakpoints", guest_breakpoints }, { "debug-sw-breakpoint", sw_breakpoint },
	{ NULL, NULL },
};
