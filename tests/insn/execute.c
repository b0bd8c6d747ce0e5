// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs random instructions twice, by lm_exec() and by the CPU, and compares registers, flags, memory
 * and exceptions.
 *
 * The CPU's run ends at an INT3 or with a fault; the signal frame shows its state. The instruction
 * stands alone in a page full of INT3, so that also branches end, and its length shows as RIP. It
 * works on one page of data with a read-only page behind it and nothing around. 32-bit and 16-bit code
 * runs in segments of the LDT, which also have limits and types that are hit now and then.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "insn.h"
#include "random.h"

#define CODE		0x20000000ul
#define CODE_LEN	0x10000ul
#define DATA		0x10000000ul
#define LOW		0x4000ul	/* a second place of the data, within reach of 16 bits */
#define PAGE		0x1000ul
#define GS_BASE		0x100ul
#define START		0x8000ul	/* of the instruction in the code */
#define FLAGS		0xcd5u		/* arithmetic and DF */

void native_run(void);
extern char native_back[];
u64 native_gpr[16], native_flags, native_rsp;
u8 native_ymm[16][32], native_vectors;
struct {
	u32 rip;
	u16 cs;
} __attribute__((packed)) native_target;

/* The CPU's state after the instruction. */
static struct {
	u64 gpr[16], rip, flags, cr2;
	u8 ymm[16][32];
	unsigned int trap, error;
} cpu;

static u8 shadow[2 * PAGE];		/* what lm_exec() sees at DATA */
static u8 lm_ymm[16][32];

/* Where and in what segments the instruction runs; addresses are offsets in a segment. */
static struct {
	unsigned int mode;
	u64 start, data, stack;
	struct lm_exec_seg seg[7];
} env;
u16 native_segs[4];			/* ES, SS, DS, GS; all zero: leave them */
static u8 *code_alias;			/* the code, writable */
static bool have_avx;

/*
 * QEMU's TCG is no reference for faults, limits, ignored prefixes and aliases of opcodes. There only
 * what succeeds is compared, and 64-bit mode, for which any real CPU will do, is left out.
 */
static bool emulated;
static bool amd;			/* this CPU is one of AMD's */

static struct case_info {
	u8 bytes[16];
	u64 number;
} *current;				/* shared with the parent, who reports a crash */

static const char *const op_names[] = {
#define OP_NAME(name) #name,
	LM_OPS(OP_NAME)
};

static void on_signal(int sig, siginfo_t *info, void *context)
{
	static const int order[16] = {
		REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
		REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
	};
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	unsigned int i;

	(void)sig;
	(void)info;
	for (i = 0; i < 16; i++)
		cpu.gpr[i] = g[order[i]];
	cpu.rip = g[REG_RIP];
	cpu.flags = g[REG_EFL];
	cpu.trap = g[REG_TRAPNO];
	cpu.error = g[REG_ERR];
	cpu.cr2 = g[REG_CR2];
	if (native_vectors) {
		const u8 *fp = (const u8 *)uc->uc_mcontext.fpregs;
		u64 xstate_bv;

		memcpy(&xstate_bv, fp + 512, 8);
		for (i = 0; i < 16; i++) {
			memcpy(cpu.ymm[i], fp + 160 + i * 16, 16);
			memset(cpu.ymm[i] + 16, 0, 16);
			if (xstate_bv & 4)
				memcpy(cpu.ymm[i] + 16, fp + 576 + i * 16, 16);
		}
	}
	g[REG_RIP] = (greg_t)native_back;
	g[REG_RSP] = native_rsp;
	g[REG_EFL] = 0x202;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & 0xffffffff0000) | 0x33 | 0x2bull << 48;
}

static void setup(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	static u8 stack[65536];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	unsigned int i;
	u8 *p;
	int fd;

	sigaltstack(&ss, NULL);
	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
	fd = memfd_create("code", 0);
	if (fd < 0 || ftruncate(fd, CODE_LEN))
		exit(2);
	code_alias = mmap(NULL, CODE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	p = mmap((void *)CODE, CODE_LEN, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE,
		 fd, 0);
	if (p != (void *)CODE || code_alias == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	memset(code_alias, 0xcc, CODE_LEN);
	fd = memfd_create("data", 0);
	if (fd < 0 || ftruncate(fd, 2 * PAGE))
		exit(2);
	p = mmap((void *)DATA, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
		 fd, 0);
	if (p != (void *)DATA) {
		perror("mmap");
		exit(2);
	}
	for (i = 0; i < 2 * PAGE; i++)
		p[i] = shadow[i] = rnd();
	mprotect(p + PAGE, PAGE, PROT_READ);
	/* Needs vm.mmap_min_addr=0, and only an emulated host needs it. */
	if (emulated && mmap((void *)LOW, 2 * PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_FIXED, fd, 0) == (void *)LOW)
		mprotect((void *)(LOW + PAGE), PAGE, PROT_READ);
	syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE);
	__builtin_cpu_init();
	have_avx = __builtin_cpu_supports("avx");
}

/* Callbacks of the executor, on the shadow of the data. */

static int page_fault(struct lm_exec_ctx *ctx, u64 la, unsigned int bytes, bool write)
{
	u64 i;

	for (i = la; i != la + bytes; i++) {
		u64 off = emulated && i - LOW < 2 * PAGE ? i - LOW : i - DATA;
		bool mapped = off < 2 * PAGE;
		bool ok = mapped && !(write && off >= PAGE);

		/* The code can be read as well. */
		if (i >= CODE && i < CODE + CODE_LEN && !write)
			continue;
		if (!ok) {
			ctx->exc.vector = 14;
			ctx->exc.error = 4 | (write ? 2 : 0) | (mapped ? 1 : 0);
			ctx->exc.cr2 = i;
			return LM_X_FAULT;
		}
	}
	return LM_X_OK;
}

static u8 *at(u64 la)
{
	if (la - LOW < 2 * PAGE)
		la += DATA - LOW;
	return shadow + (la - DATA);
}

static int do_read(struct lm_exec_ctx *ctx, u64 la, void *buf, unsigned int bytes,
		   unsigned int flags)
{
	if (page_fault(ctx, la, bytes, flags & LM_XF_WRITE))
		return LM_X_FAULT;
	memcpy(buf, la >= CODE ? (u8 *)la : at(la), bytes);
	return LM_X_OK;
}

static int do_write(struct lm_exec_ctx *ctx, u64 la, const void *buf, unsigned int bytes,
		    unsigned int flags)
{
	if (page_fault(ctx, la, bytes, true))
		return LM_X_FAULT;
	if (!(flags & LM_XF_PROBE))
		memcpy(at(la), buf, bytes);
	return LM_X_OK;
}

static int do_cmpxchg(struct lm_exec_ctx *ctx, u64 la, void *old, const void *new,
		      unsigned int bytes)
{
	if (page_fault(ctx, la, bytes, true))
		return LM_X_FAULT;
	if (memcmp(at(la), old, bytes))
		memcpy(old, at(la), bytes);
	else
		memcpy(at(la), new, bytes);
	return LM_X_OK;
}

static void do_seg(struct lm_exec_ctx *ctx, unsigned int seg, struct lm_exec_seg *out)
{
	(void)ctx;
	*out = env.seg[seg];
}

static u64 do_cr(struct lm_exec_ctx *ctx, unsigned int nr)
{
	(void)ctx;
	return nr == 0 ? 0x80050033 : nr == 4 ? 1 << 9 | 1 << 18 : 7;
}

static int do_vec_read(struct lm_exec_ctx *ctx, unsigned int reg, void *buf, unsigned int bytes)
{
	(void)ctx;
	memcpy(buf, lm_ymm[reg], bytes);
	return LM_X_OK;
}

static int do_vec_write(struct lm_exec_ctx *ctx, unsigned int reg, const void *buf,
			unsigned int bytes, bool zero)
{
	(void)ctx;
	if (zero)
		memset(lm_ymm[reg], 0, 32);
	memcpy(lm_ymm[reg], buf, bytes);
	return LM_X_OK;
}

static const struct lm_exec_ops ops = {
	.read = do_read,
	.write = do_write,
	.cmpxchg = do_cmpxchg,
	.seg = do_seg,
	.cr = do_cr,
	.vec_read = do_vec_read,
	.vec_write = do_vec_write,
};

/* What may be run on this CPU without harm to the test itself. */
static bool is_fit(const struct lm_insn *insn)
{
	unsigned int id = insn->id;

	if (insn->flags & LM_INSN_SEG && insn->seg == LM_SEG_FS)
		return false;
	if (emulated && ((id == LM_OP_LEA && insn->flags & LM_INSN_SEG) ||
			 (insn->flags & LM_INSN_LOCK) ||
			 (id == LM_OP_RET && insn->imm & 0x8000) ||
			 (id == LM_OP_MOVBE && insn->mode == LM_MODE_16) ||
			 (id == LM_OP_TEST && (insn->opcode & 0xfe) == 0xf6 && insn->reg == 1)))
		return false;
	if (id >= LM_OP_VMOVU)
		return have_avx && insn->flags & LM_INSN_MEM &&
		       !(insn->flags & LM_INSN_VEX && insn->dst == LM_O_XREG &&
			 (id == LM_OP_VMOVL || id == LM_OP_VMOVH)) &&
		       !(insn->opcode == 0x2b && insn->rep);	/* SSE4A */
	if (id >= LM_OP_ADD && id <= LM_OP_POPCNT)
		return true;
	if (id >= LM_OP_MOVS && id <= LM_OP_SCAS)
		return true;
	switch (id) {
	case LM_OP_MOVNTI:
	case LM_OP_ENTER:
		return !(insn->imm2 & 31);
	case LM_OP_PUSH_SREG:
	case LM_OP_MOV_SREG:
		return true;
	case LM_OP_POPF:
	case LM_OP_PUSHF:
		return true;
	case LM_OP_MOV ... LM_OP_MOVBE:
	case LM_OP_XCHG ... LM_OP_SAHF:
	case LM_OP_CMC ... LM_OP_STC:
	case LM_OP_CLD:
	case LM_OP_STD:
	case LM_OP_PUSH:
	case LM_OP_POP:
	case LM_OP_PUSHA:
	case LM_OP_POPA:
	case LM_OP_LEAVE:
	case LM_OP_CALL ... LM_OP_JCC:
	case LM_OP_JCXZ:
	case LM_OP_RET:
		return true;
	case LM_OP_LOOPNE ... LM_OP_LOOP:
		return !insn->rep;		/* undefined; AMD lets the prefix choose the condition */
	case LM_OP_NOP:
		return insn->flags & LM_INSN_MEM;
	case LM_OP_PAUSE:
	case LM_OP_SALC:
	case LM_OP_BOUND:
		return true;
	default:
		return false;
	}
}

static u64 random_value(void)
{
	static const u64 edge[] = {
		0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
		0x7fffffffffffffff, 0x8000000000000000, ~0ull,
	};
	u64 v = rnd();

	switch (v & 7) {
	case 0:
		return edge[v / 8 % ARRAY_SIZE(edge)];
	case 1:
		return v >> 8 & 0xff;
	case 2:
		return v >> 32;
	default:
		return rnd();
	}
}

/* An address in the data, mostly well inside, now and then across a border. */
static u64 random_address(void)
{
	u64 v = rnd();

	if (v % 32 == 0)
		return env.data + PAGE - 16 + v / 32 % 24;
	if (v % 32 == 1)
		return env.data + 2 * PAGE - 16 + v / 32 % 24;
	if (v % 64 == 2)
		return env.data - 8 + v / 64 % 16;
	if (v % 4 == 3)
		return env.data + 1024 + (v / 8 % 2048 & ~31);
	return env.data + 1024 + v / 8 % 2048;
}

/* Where in the code a 32-bit displacement stands: the last four bytes that equal it. */
static void patch_disp(u8 *code, struct lm_insn *insn, s32 disp)
{
	struct lm_insn again;
	unsigned int o;
	s32 old;

	for (o = insn->len - 4; o > 0; o--) {
		memcpy(&old, code + o, 4);
		if (old != insn->disp)
			continue;
		memcpy(code + o, &disp, 4);
		if (!lm_insn_decode(&again, code, 15, insn->mode | LM_MODE_AMD) &&
		    again.disp == disp && again.id == insn->id && again.imm == insn->imm) {
			*insn = again;
			return;
		}
		memcpy(code + o, &old, 4);
	}
}

/* Make the memory operand point at the data. */
static void aim(u8 *code, struct lm_insn *insn)
{
	u64 *g = native_gpr, ea = random_address();

	if (!(insn->flags & LM_INSN_MEM) || insn->id == LM_OP_LEA)
		return;
	if (insn->base == LM_R_RIP)
		return patch_disp(code, insn, ea - (env.start + insn->len));
	if (insn->base == LM_R_NONE && insn->index == LM_R_NONE && insn->ad_bytes == 2)
		return;
	if (insn->base == LM_R_NONE && insn->index == LM_R_NONE)
		return patch_disp(code, insn, ea);
	if (insn->index == LM_R_NONE)
		g[insn->base] = ea - insn->disp;
	else if (insn->base == LM_R_NONE)
		g[insn->index] = (ea - insn->disp) >> insn->scale;
	else if (insn->base != insn->index)
		g[insn->base] = ea - insn->disp - (g[insn->index] << insn->scale);
	else
		g[insn->base] = (ea - insn->disp) / (1 + (1 << insn->scale));
}

static void randomize(u8 *code, struct lm_insn *insn)
{
	u64 rsp = env.stack + 2048 + (rnd() & 0xff8) / 4, v;
	unsigned int i;

	for (i = 0; i < 16; i++)
		native_gpr[i] = random_value();
	native_gpr[LM_RSP] = rsp;
	native_flags = (rnd() & FLAGS) | 0x202;
	if (insn->id >= LM_OP_MOVS && insn->id <= LM_OP_SCAS) {
		native_gpr[LM_RSI] = random_address();
		native_gpr[LM_RDI] = random_address();
		if (rnd() % 4)
			native_gpr[LM_RCX] = rnd() % 24;
		if (rnd() % 4 == 0)		/* let comparisons last a while */
			native_gpr[LM_RDI] = native_gpr[LM_RSI];
	} else if (insn->id == LM_OP_DIV || insn->id == LM_OP_IDIV) {
		v = native_gpr[LM_RAX];
		native_gpr[LM_RDX] = rnd() % 3 == 0 ? 0 : (s64)(v << 32) < 0 ? ~0ull : rnd() % 64;
	} else if (insn->id == LM_OP_XLAT) {
		native_gpr[LM_RBX] = random_address();
	} else if (insn->id == LM_OP_LEAVE) {
		native_gpr[LM_RBP] = random_address();
	}
	if (insn->id >= LM_OP_BT && insn->id <= LM_OP_BTC && insn->src == LM_O_REG && rnd() % 8)
		native_gpr[insn->reg] = (s64)(rnd() % 8000) - 4000;
	aim(code, insn);
	if (insn->id == LM_OP_CMPXCHG && rnd() % 2) {
		if (!(insn->flags & LM_INSN_MEM))
			native_gpr[LM_RAX] = native_gpr[insn->rm];
	}
	if (insn->mode != LM_MODE_64)
		for (i = 0; i < 16; i++)
			native_gpr[i] = i < 8 ? (u32)native_gpr[i] : 0;
	if (insn->id == LM_OP_CMPXCHG8B && rnd() % 2) {
		struct lm_exec_ctx ctx = { .gpr = native_gpr, .rip = env.start };
		u64 ea = lm_insn_ea(&ctx, insn) - env.data;

		if (ea < PAGE - 16) {
			memset(&native_gpr[LM_RAX], 0, 8);
			memset(&native_gpr[LM_RDX], 0, 8);
			memcpy(&native_gpr[LM_RAX], shadow + ea, insn->op_bytes);
			memcpy(&native_gpr[LM_RDX], shadow + ea + insn->op_bytes, insn->op_bytes);
		}
	}
	/* TF, NT and AC would hit the test itself. */
	if (insn->id == LM_OP_POPF) {
		v = native_gpr[LM_RSP] - env.stack;
		shadow[v + 1] &= ~0x41;
		shadow[v + 2] &= ~0x04;
		memcpy((void *)(DATA + v), shadow + v, 8);
	}
	for (i = 0; i < 16; i++)
		memcpy(lm_ymm[i], &native_gpr[i & 7], 32);
	memcpy(native_ymm, lm_ymm, sizeof(lm_ymm));
	native_vectors = insn->id >= LM_OP_VMOVU;
}

/* Flags that the manuals leave undefined and that we do not take from the CPU's instruction. */
static u64 undefined_flags(const struct lm_insn *insn)
{
	switch (insn->id) {
	case LM_OP_ROL ... LM_OP_RCR:
		return emulated ? 0x800 : 0;	/* TCG keeps OF where the count is a full turn */
	case LM_OP_MUL:
	case LM_OP_IMUL1:
	case LM_OP_IMUL:
	case LM_OP_IMUL3:
		return 0xd4;
	case LM_OP_DIV:
	case LM_OP_IDIV:
		return 0x8d5;
	case LM_OP_BT ... LM_OP_BTC:
	case LM_OP_TZCNT:
	case LM_OP_LZCNT:
		return 0x894;
	case LM_OP_BSF:
	case LM_OP_BSR:
		return 0x895;
	default:
		return 0;
	}
}

static bool report(const char *what, const struct lm_insn *insn, const u8 *code,
		   const struct lm_exec_ctx *ctx, const u64 *gpr, int ret)
{
	static unsigned int reports;
	unsigned int i;

	if (reports++ > 10)
		return false;
	printf("# case %llu, %s differ(s), %s:", (unsigned long long)current->number, what,
	       op_names[insn->id]);
	for (i = 0; i < insn->len; i++)
		printf(" %02x", code[i]);
	printf("\n#   cpu: trap %u error %x cr2 %llx rip %llx flags %llx\n", cpu.trap, cpu.error,
	       (unsigned long long)cpu.cr2, (unsigned long long)cpu.rip,
	       (unsigned long long)cpu.flags);
	printf("#   lm:  ret %d trap %u error %x cr2 %llx rip %llx flags %llx (in %llx)\n", ret,
	       ctx->exc.vector, ctx->exc.error, (unsigned long long)ctx->exc.cr2,
	       (unsigned long long)ctx->rip, (unsigned long long)ctx->rflags,
	       (unsigned long long)native_flags);
	for (i = 0; i < 16; i++)
		if (gpr[i] != cpu.gpr[i])
			printf("#   reg %u: was %llx, cpu %llx, lm %llx\n", i,
			       (unsigned long long)native_gpr[i], (unsigned long long)cpu.gpr[i],
			       (unsigned long long)gpr[i]);
	return false;
}

/*
 * Which of several faults of one operand or of two is raised is up to the processor (SDM
 * vol. 3, 6.9). The executor has Intel's order.
 */
static bool both_may_be(unsigned int one, unsigned int other)
{
	return amd && one >= 12 && one <= 14 && other >= 12 && other <= 14;
}

static bool run_case(const u8 *bytes, struct lm_insn *insn)
{
	struct lm_exec_ctx ctx = { .ops = &ops, .cpl = 3, .va_bits = 48 };
	u8 *code = code_alias + START;
	unsigned int steps = 0, i;
	bool faulted, same = true;
	u64 gpr[16], mask = FLAGS & ~undefined_flags(insn);
	int ret;

	memset(code, 0xcc, 16);
	memcpy(code, bytes, insn->len);
	randomize(code, insn);
	memcpy(current->bytes, code, 16);
	memcpy(gpr, native_gpr, sizeof(gpr));
	ctx.gpr = gpr;
	ctx.rip = env.start;
	ctx.rflags = native_flags;
	ctx.batch = rnd() % 4;
	native_target.rip = env.start;
	native_target.cs = env.seg[LM_SEG_CS].sel;

	do {
		ret = lm_exec(&ctx, insn);
	} while (!ret && ctx.again && ++steps < 5000);
	/* Of no interest: a long count, or a branch to itself, which would never end. */
	if (steps == 5000 || (!ret && ctx.rip - env.start < insn->len)) {
		memcpy(shadow, (void *)DATA, PAGE);
		return true;
	}
	native_run();
	/* Outside 64-bit mode upper halves are undefined; IRET to a 16-bit stack leaves some in RSP. */
	for (i = 0; insn->mode != LM_MODE_64 && i < 16; i++)
		cpu.gpr[i] = (u32)cpu.gpr[i];

	/* An INT3, or a fetch from where nothing is mapped, is the end of a success. */
	faulted = true;
	if (cpu.trap == 3) {
		cpu.rip--;
		faulted = false;
	} else if (cpu.trap == 14 && cpu.error & 16) {
		faulted = false;
	} else if (cpu.trap == 6 && cpu.rip != env.start) {
		/* Some hypervisors make #UD of an INT3 that an interrupt hits. */
		faulted = false;
	}
	if (emulated && (faulted || ret == LM_X_FAULT)) {
		memcpy(shadow, (void *)DATA, PAGE);
		return true;
	}
	if (ret == LM_X_UNKNOWN)
		same = report("support", insn, code, &ctx, gpr, ret);
	else if (faulted != (ret == LM_X_FAULT))
		same = report("outcome", insn, code, &ctx, gpr, ret);
	else if (faulted && !both_may_be(cpu.trap, ctx.exc.vector) &&
		 (cpu.trap != ctx.exc.vector ||
			     (cpu.trap == 14 && (cpu.error ^ ctx.exc.error) & 2 &&
			      insn->id != LM_OP_MOVS)))
		same = report("exception", insn, code, &ctx, gpr, ret);
	else if (memcmp(gpr, cpu.gpr, sizeof(gpr)))
		same = report("register", insn, code, &ctx, gpr, ret);
	else if (cpu.rip != ctx.rip)
		same = report("rip", insn, code, &ctx, gpr, ret);
	else if ((cpu.flags ^ ctx.rflags) & mask)
		same = report("flag", insn, code, &ctx, gpr, ret);
	else if (memcmp((void *)DATA, shadow, PAGE) && !(faulted && insn->id == LM_OP_ENTER))
		same = report("memory", insn, code, &ctx, gpr, ret);
	else if (native_vectors && memcmp(lm_ymm, cpu.ymm, sizeof(lm_ymm)))
		same = report("vector register", insn, code, &ctx, gpr, ret);
	memcpy((void *)DATA, shadow, PAGE);
	return same;
}

static void generate(u8 *code, bool m64)
{
	static const u8 prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x65, 0x26, 0x36 };
	unsigned int i, n = 0, r = rnd() % 16;

	for (i = 0; i < 16; i++)
		code[i] = rnd();
	if (r < 6)
		code[n++] = prefixes[rnd() % 8];
	if (r < 2)
		code[n++] = prefixes[rnd() % 4];
	if (m64 && rnd() % 2)
		code[n++] = 0x40 | (rnd() & 15);
	r = rnd() % 32;
	if (r < 11) {
		code[n++] = 0x0f;
		if (r == 10) {
			code[n++] = 0x38;
			code[n++] = rnd() % 8 ? 0xf0 + rnd() % 2 : 0x2a;
		}
	} else if (r == 11 && m64) {
		code[n++] = 0xc4;
		code[n++] = 0x01 | (rnd() & 0xe0);
		code[n++] = 0x78 | (rnd() & 0x87);
		code[n++] = (0x10206070 >> rnd() % 4 * 8 & 0xf0) | (rnd() & 15);
	}
}

static int run_all(unsigned int mode, u64 count)
{
	static unsigned int seen[LM_OP_COUNT];
	unsigned int kinds = 0, i;
	struct lm_insn insn;
	u64 done = 0, bad = 0;
	u8 code[16];

	while (done < count) {
		generate(code, mode == LM_MODE_64);
		if (lm_insn_decode(&insn, code, 15, mode | LM_MODE_AMD) || !is_fit(&insn))
			continue;
		current->number = done++;
		seen[insn.id]++;
		bad += !run_case(code, &insn);
		if (!(done % 256))
			for (i = 0; i < PAGE; i++)
				((u8 *)DATA)[i] = shadow[i] = rnd();
	}
	for (i = 0; i < LM_OP_COUNT; i++)
		kinds += seen[i] != 0;
	printf("# %llu instructions of %u kinds, %llu differ\n", (unsigned long long)done, kinds,
	       (unsigned long long)bad);
	return bad || kinds < 75;
}

static bool tight;			/* segments have limits that are hit */
static const struct lm_exec_seg flat = { .limit = 0xffffffff, .attr = 0xcf3 };

static void set_seg(unsigned int seg, u16 sel, u32 base, u32 limit, u16 attr)
{
	struct user_desc d = {
		.entry_number = sel >> 3,
		.base_addr = base,
		.limit = attr & 0x800 ? limit >> 12 : limit,
		.seg_32bit = attr >> 10 & 1,
		.contents = attr >> 2 & 3,
		.read_exec_only = !(attr & 2),
		.limit_in_pages = attr >> 11 & 1,
		.useable = 1,
	};

	if (syscall(SYS_modify_ldt, 1, &d, sizeof(d))) {
		perror("modify_ldt");
		exit(3);
	}
	env.seg[seg] = (struct lm_exec_seg) { base, limit, sel, attr };
}

/* Segments with 32-bit or 16-bit code, one that expands down, one to read only, tight limits. */
static void set_env(unsigned int mode)
{
	unsigned int i;

	env.mode = mode;
	for (i = 0; i < 6; i++)
		env.seg[i] = flat;
	asm("mov %%es, %0" : "=m" (env.seg[LM_SEG_ES].sel));
	asm("mov %%cs, %0" : "=m" (env.seg[LM_SEG_CS].sel));
	asm("mov %%ss, %0" : "=m" (env.seg[LM_SEG_SS].sel));
	asm("mov %%ds, %0" : "=m" (env.seg[LM_SEG_DS].sel));
	asm("mov %%fs, %0" : "=m" (env.seg[LM_SEG_FS].sel));
	asm("mov %%gs, %0" : "=m" (env.seg[LM_SEG_GS].sel));
	env.seg[LM_SEG_GS].base = GS_BASE;
	env.start = CODE + START;
	env.data = DATA;
	env.stack = DATA;
	if (mode == LM_MODE_64)
		return;
	if (mode == LM_MODE_32 && !tight) {
		set_seg(LM_SEG_CS, 0x07, 0, 0xffffffff, 0xcfb);
		set_seg(LM_SEG_DS, 0x0f, 0, 0xffffffff, 0xcf3);
		set_seg(LM_SEG_ES, 0x17, 0, 0xffffffff, 0xcf3);
		set_seg(LM_SEG_GS, 0x27, GS_BASE, 0xffffffff, 0xcf3);
	} else if (mode == LM_MODE_32) {
		set_seg(LM_SEG_CS, 0x07, 0, 0xffffffff, 0xcfb);
		set_seg(LM_SEG_DS, 0x0f, 0, DATA + 2 * PAGE - 1, 0xcf3);
		set_seg(LM_SEG_ES, 0x17, 0, DATA - 1, 0xcf7);
		set_seg(LM_SEG_GS, 0x27, 0, 0xffffffff, 0xcf1);
	} else if (!tight) {
		/* TCG adds the bases of DS, ES and SS in the kernel's 64-bit code as well. */
		env.start = START;
		env.data = LOW;
		set_seg(LM_SEG_CS, 0x07, CODE, 0xfffff, 0x0fb);
		set_seg(LM_SEG_DS, 0x0f, 0, 0xffffffff, 0x8f3);
		set_seg(LM_SEG_ES, 0x17, 0, 0xffffffff, 0x8f3);
		set_seg(LM_SEG_GS, 0x27, GS_BASE, 0xffffffff, 0x8f3);
	} else {
		env.start = START;
		env.data = LOW;
		env.stack = LOW;
		set_seg(LM_SEG_CS, 0x07, CODE, 0xffff, 0x0fb);
		set_seg(LM_SEG_DS, 0x0f, DATA - LOW, LOW + PAGE + 7, 0x0f3);
		set_seg(LM_SEG_ES, 0x17, DATA - LOW, LOW - 1, 0x0f7);
		set_seg(LM_SEG_SS, 0x1f, DATA - LOW, LOW + PAGE - 1, 0x0f3);
		set_seg(LM_SEG_GS, 0x27, DATA - LOW, 0xffff, 0x0f1);
	}
	native_segs[0] = 0x17;
	native_segs[1] = env.seg[LM_SEG_SS].sel;
	native_segs[2] = 0x0f;
	native_segs[3] = 0x27;
}

/*
 * Some hosts have no LDT, and some (emulators) no segment limits. The tight limits are used where an
 * access beyond one faults.
 */
static void probe_segments(bool *ldt, bool *limits)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		u16 sel = 0;

		env.seg[LM_SEG_DS] = flat;
		set_seg(LM_SEG_DS, 0x0f, 0, 0xfff, 0x4f3);
		asm volatile("mov %1, %%gs\n\tmov %%gs, %0" : "=r" (sel) : "r" (0x0f));
		_exit(sel != 0x0f);
	}
	waitpid(pid, &status, 0);
	*ldt = WIFEXITED(status) && !WEXITSTATUS(status);
	*limits = false;
	if (!*ldt || emulated)
		return;
	pid = fork();
	if (!pid) {
		alarm(20);
		rnd_state = 1;
		setup();
		tight = true;
		set_env(LM_MODE_16);
		memcpy(code_alias + START, "\xa0\xff\xff", 3);	/* mov al, [0xffff] */
		native_target.rip = START;
		native_target.cs = 0x07;
		native_flags = 0x202;
		native_run();
		_exit(cpu.trap != 13);
	}
	waitpid(pid, &status, 0);
	*limits = WIFEXITED(status) && !WEXITSTATUS(status);
}

static int in_child(const char *name, unsigned int mode, u64 count, const char *seed)
{
	unsigned int i;
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		seed_from(seed);
		alarm(30);
		setup();
		set_env(mode);
		status = run_all(mode, count);
		fflush(stdout);
		_exit(status);
	}
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && !WEXITSTATUS(status)) {
		printf("ok insn_execute_%s\n", name);
		return 0;
	}
	if (WIFSIGNALED(status)) {
		printf("# died of signal %d at case %llu:", WTERMSIG(status),
		       (unsigned long long)current->number);
		for (i = 0; i < 16; i++)
			printf(" %02x", current->bytes[i]);
		printf("\n");
	}
	printf("not ok insn_execute_%s - the executor and this CPU differ\n", name);
	return 1;
}

static bool is_amd(void)
{
	u32 a = 0, b, c, d;

	asm volatile("cpuid" : "+a" (a), "=b" (b), "=c" (c), "=d" (d));
	return b == 0x68747541;			/* "Auth" */
}

static bool is_tcg(void)
{
	u32 a = 0x40000000, b, c, d;

	asm volatile("cpuid" : "+a" (a), "=b" (b), "=c" (c), "=d" (d));
	return b == 0x54474354;			/* "TCGT" */
}

int main(int argc, char **argv)
{
	u64 count = argc > 1 ? strtoull(argv[1], NULL, 0) : 300000;
	const char *seed = argc > 2 ? argv[2] : NULL;
	bool ldt;
	int bad = 0;

	current = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (current == MAP_FAILED)
		return 2;
	emulated = is_tcg();
	amd = is_amd();
	if (!emulated)
		bad = in_child("64", LM_MODE_64, count, seed);
	else
		printf("ok insn_execute_64 # SKIP an emulated CPU is no reference\n");
	probe_segments(&ldt, &tight);
	if (!ldt) {
		printf("ok insn_execute_32 # SKIP no local descriptor table on this host\n"
		       "ok insn_execute_16 # SKIP no local descriptor table on this host\n");
		return bad;
	}
	printf("# segment limits are %schecked by this host\n", tight ? "" : "not ");
	bad |= in_child("32", LM_MODE_32, count / 2, seed);
	bad |= in_child("16", LM_MODE_16, count / 2, seed);
	return bad;
}
