/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The x86 instruction decoder and executor.
 *
 * Who needs it: exits on CPUs that do not say how long an instruction was or which operands it had,
 * and memory accesses that end at a device. Both are plain functions over values that the caller
 * passes in, so this header needs nothing of the module and also compiles in user space.
 */
#ifndef LM_X86_INSN_H
#define LM_X86_INSN_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <linux/string.h>
#include <linux/compiler.h>
#else
#include "shim.h"
#endif

#define LM_INSN_MAX		15	/* longest legal instruction, SDM vol. 2 2.3.11 */

enum lm_insn_mode {
	LM_MODE_REAL,			/* real mode: 16-bit code, no VEX */
	LM_MODE_VM86,
	LM_MODE_16,			/* protected mode, CS.D = 0 */
	LM_MODE_32,			/* protected or compatibility mode, CS.D = 1 */
	LM_MODE_64,
	LM_MODE_MASK = 7,
	/*
	 * May be or-ed in: AMD's rules where the vendors differ (a 66 prefix shortens near branches
	 * in 64-bit mode, LOCK MOV CR0 is MOV CR8).
	 */
	LM_MODE_AMD = 8,
};

enum lm_insn_status {
	LM_INSN_OK,
	LM_INSN_MORE,			/* not decodable with so few bytes */
	LM_INSN_TOO_LONG,		/* more than 15 bytes: #GP(0) */
	LM_INSN_UD,			/* architecturally undefined here: #UD */
	LM_INSN_UNKNOWN,		/* not in the tables; a CPU may know it */
};

/* Every operation that the tables can name. Ranges that the code counts on are noted. */
#define LM_OPS(X) \
	X(UNKNOWN) X(OTHER) X(UD) \
	X(ADD) X(OR) X(ADC) X(SBB) X(AND) X(SUB) X(XOR) X(CMP)	/* in this order */ \
	X(ROL) X(ROR) X(RCL) X(RCR) X(SHL) X(SHR) X(SAL) X(SAR)	/* in this order */ \
	X(BT) X(BTS) X(BTR) X(BTC)				/* in this order */ \
	X(TEST) X(NOT) X(NEG) X(INC) X(DEC) X(MUL) X(IMUL1) X(DIV) X(IDIV) X(IMUL) X(IMUL3) \
	X(SHLD) X(SHRD) X(BSF) X(BSR) X(TZCNT) X(LZCNT) X(POPCNT) X(BSWAP) \
	X(MOV) X(MOVZX8) X(MOVZX16) X(MOVSX8) X(MOVSX16) X(MOVSXD) X(MOVBE) X(MOVNTI) \
	X(MOV_SREG) X(MOV_TO_SREG) X(LES) X(LDS) X(LSS) X(LFS) X(LGS) \
	X(XCHG) X(XADD) X(CMPXCHG) X(CMPXCHG8B) X(SETCC) X(CMOVCC) X(LEA) X(XLAT) \
	X(CBW) X(CWD) X(LAHF) X(SAHF) X(CMC) X(CLC) X(STC) X(CLI) X(STI) X(CLD) X(STD) \
	X(DAA) X(DAS) X(AAA) X(AAS) X(AAM) X(AAD) X(SALC) X(ARPL) X(BOUND) \
	X(PUSH) X(POP) X(PUSH_SREG) X(POP_SREG) X(PUSHA) X(POPA) X(PUSHF) X(POPF) X(ENTER) X(LEAVE) \
	X(CALL) X(CALL_RM) X(JMP) X(JMP_RM) X(JCC) X(LOOPNE) X(LOOPE) X(LOOP) X(JCXZ) X(RET) \
	X(CALLF) X(CALLF_M) X(JMPF) X(JMPF_M) X(RETF) X(IRET) X(INT) X(INT3) X(INTO) X(INT1) \
	X(MOVS) X(CMPS) X(STOS) X(LODS) X(SCAS) X(INS) X(OUTS)	/* strings */ \
	X(IN) X(OUT) X(NOP) X(PAUSE) X(HLT) X(CPUID) X(RDMSR) X(WRMSR) X(RDTSC) X(RDTSCP) X(RDPMC) \
	X(MOV_CR) X(MOV_TO_CR) X(MOV_DR) X(MOV_TO_DR) X(CLTS) X(LMSW) X(SMSW) X(INVLPG) X(INVD) \
	X(WBINVD) X(XGETBV) X(XSETBV) X(MONITOR) X(MWAIT) X(MONITORX) X(MWAITX) X(SWAPGS) X(RSM) \
	X(VMCALL) X(VMMCALL) X(VMRUN) X(VMLOAD) X(VMSAVE) X(STGI) X(CLGI) X(SKINIT) X(INVLPGA) \
	X(VMX) X(RDPRU) X(INVLPGB) X(TLBSYNC) X(MCOMMIT) X(INVPCID) X(CLAC) X(STAC) \
	X(SGDT) X(SIDT) X(LGDT) X(LIDT) X(SLDT) X(STR) X(LLDT) X(LTR) X(VERR) X(VERW) X(LAR) X(LSL) \
	X(SYSCALL) X(SYSRET) X(SYSENTER) X(SYSEXIT) X(CLFLUSH) \
	/* vector moves: register and memory of one size, aligned or not */ \
	X(VMOVU) X(VMOVA) X(VMOVS4) X(VMOVS8) X(VMOVL) X(VMOVH) X(VMOVD) X(VMOVQ)

enum lm_op {
#define LM_OP_ENUM(name) LM_OP_##name,
	LM_OPS(LM_OP_ENUM)
#undef LM_OP_ENUM
	LM_OP_COUNT
};

/* General registers and segments in the encoding order of the instruction set. */
enum { LM_RAX, LM_RCX, LM_RDX, LM_RBX, LM_RSP, LM_RBP, LM_RSI, LM_RDI, LM_R_NONE = 16, LM_R_RIP };
enum { LM_SEG_ES, LM_SEG_CS, LM_SEG_SS, LM_SEG_DS, LM_SEG_FS, LM_SEG_GS, LM_SEG_IDTR };

/* Where an operand is. */
enum lm_operand {
	LM_O_NONE,
	LM_O_RM,			/* mod and rm: register insn->rm or memory */
	LM_O_REG,			/* register insn->reg */
	LM_O_OPREG,			/* register named by the opcode; decoded to mod 3 and rm */
	LM_O_ACC,			/* AL, AX, EAX, RAX; decoded to reg */
	LM_O_MOFFS,			/* memory at disp; decoded to mod 0 without base */
	LM_O_IMM,
	LM_O_ONE,
	LM_O_CL,
	LM_O_DX,
	LM_O_SREG,			/* segment register insn->reg */
	LM_O_CR,			/* control register insn->reg, general register insn->rm */
	LM_O_DR,
	LM_O_XRM,			/* like RM and REG, but vector registers */
	LM_O_XREG,
};

/* insn->flags */
#define LM_INSN_LOCK	(1 << 0)
#define LM_INSN_MEM	(1 << 2)	/* has a memory operand through mod/rm or moffs */
#define LM_INSN_VEX	(1 << 3)	/* VEX form: vvvv and vex_l are valid */
#define LM_INSN_OP16	(1 << 4)	/* a 66 prefix was there */
#define LM_INSN_SEG	(1 << 5)	/* a segment prefix in force was there */

/**
 * struct lm_insn - one decoded instruction
 * @len:	its length
 * @id:		enum lm_op
 * @opcode:	last opcode byte
 * @map:	0 one byte, 1 0F, 2 0F38, 3 0F3A
 * @modrm:	raw byte, if the form has one
 * @sib:	raw byte, if the form has one
 * @rex:	raw REX prefix, or 0; a VEX form gets the equal REX bits
 * @rep:	0, 0xF2 or 0xF3: the last of those prefixes
 * @mod:	3: operand RM is a register
 * @reg:	register number with REX.R
 * @rm:		register number with REX.B (mod 3)
 * @base:	base register, LM_R_NONE or LM_R_RIP
 * @index:	index register or LM_R_NONE
 * @scale:	shift of the index
 * @seg:	segment of the memory operand, prefix or default
 * @op_bytes:	operand size 1, 2, 4, 8; vector moves: 4, 8, 16, 32
 * @ad_bytes:	address size 2, 4, 8
 * @mode:	enum lm_insn_mode it was decoded for
 * @dst:	enum lm_operand
 * @src:	enum lm_operand
 * @vvvv:	VEX.vvvv as encoded, that is inverted; 15 when unused
 * @flags:	LM_INSN_*
 * @imm2:	second immediate: ENTER's level, a far pointer's selector
 * @disp:	displacement, sign-extended, or the moffs address
 * @imm:	immediate, sign-extended unless the form says otherwise
 */
struct lm_insn {
	u8 len, id, opcode, map;
	u8 modrm, sib, rex, rep;
	u8 mod, reg, rm, base;
	u8 index, scale, seg, op_bytes;
	u8 ad_bytes, mode, dst, src;
	u8 vvvv, flags;
	u16 imm2;
	s64 disp;
	s64 imm;
};

/**
 * lm_insn_decode() - decode one instruction
 * @insn:	result; also on failure holds what was found so far
 * @bytes:	the instruction's bytes
 * @avail:	how many of them there are; no more than 15 are looked at
 * @mode:	enum lm_insn_mode, LM_MODE_AMD may be or-ed in
 *
 * An instruction with known length that the executor cannot run gets LM_OP_OTHER.
 * Return: enum lm_insn_status
 */
int lm_insn_decode(struct lm_insn *insn, const u8 *bytes, unsigned int avail, unsigned int mode);

/* What lm_exec() and its callbacks answer. */
enum lm_x {
	LM_X_OK,
	LM_X_FAULT,			/* ctx->exc says which exception */
	LM_X_NEED,			/* a page is missing; nothing was changed */
	LM_X_USER,			/* user space must answer first; nothing was changed */
	LM_X_UNKNOWN,			/* an instruction that is not for the executor */
};

/* Flags of the memory callbacks. */
#define LM_XF_WRITE	(1 << 0)	/* read: a write to the same bytes follows */
#define LM_XF_PROBE	(1 << 1)	/* write: only check that it would succeed */
#define LM_XF_SYS	(1 << 2)	/* implicit supervisor access: interrupt table */
#define LM_XF_RAM	(1 << 3)	/* with PROBE: UNKNOWN if it is a device */

/*
 * A segment; attr as in a VMCB: type 0-3, S 4, DPL 5-6, P 7, AVL 8, L 9, D/B 10, G 11. The limit is
 * in bytes already. P clear means unusable.
 */
struct lm_exec_seg {
	u64 base;
	u32 limit;
	u16 sel;
	u16 attr;
};

struct lm_exec_ctx;

/**
 * struct lm_exec_ops - what the executor asks its caller
 * @read:	linear memory to @buf; with LM_XF_WRITE the bytes must be writable too
 * @write:	all bytes or none; with LM_XF_PROBE none, and buf is NULL
 * @cmpxchg:	atomically @old to @new; *@old gets what was found if it differs. Only for locked
 *		read-modify-write on memory; may be NULL, then @write is used
 * @in:		@count times @bytes from a port, to @buf one after the other
 * @out:	the opposite
 * @seg:	a segment register; LM_SEG_IDTR: base and limit of the interrupt table
 * @load_seg:	load a segment register, with the checks of the mode; NULL: such instructions are
 *		UNKNOWN. It is the last thing that can fail; CS is only loaded in real and vm86 mode
 * @cr:		CR0, CR4, or XCR0 (as number LM_CR_XCR0)
 * @vec_read:	the low @bytes (16 or 32) of a vector register
 * @vec_write:	write them; @zero: clear what is above
 *
 * Each int-valued one answers enum lm_x; with LM_X_FAULT it has filled ctx->exc.
 */
struct lm_exec_ops {
	int (*read)(struct lm_exec_ctx *ctx, u64 la, void *buf, unsigned int bytes, unsigned int flags);
	int (*write)(struct lm_exec_ctx *ctx, u64 la, const void *buf, unsigned int bytes,
		     unsigned int flags);
	int (*cmpxchg)(struct lm_exec_ctx *ctx, u64 la, void *old, const void *new,
		       unsigned int bytes);
	int (*in)(struct lm_exec_ctx *ctx, u16 port, void *buf, unsigned int bytes, unsigned int count);
	int (*out)(struct lm_exec_ctx *ctx, u16 port, const void *buf, unsigned int bytes,
		   unsigned int count);
	void (*seg)(struct lm_exec_ctx *ctx, unsigned int seg, struct lm_exec_seg *out);
	int (*load_seg)(struct lm_exec_ctx *ctx, unsigned int seg, u16 sel);
	u64 (*cr)(struct lm_exec_ctx *ctx, unsigned int nr);
	int (*vec_read)(struct lm_exec_ctx *ctx, unsigned int reg, void *buf, unsigned int bytes);
	int (*vec_write)(struct lm_exec_ctx *ctx, unsigned int reg, const void *buf,
			 unsigned int bytes, bool zero);
};

#define LM_CR_XCR0	16

enum { LM_SHADOW_NONE, LM_SHADOW_STI, LM_SHADOW_MOVSS };

struct lm_exec_exc {
	u8 vector;
	u8 has_error;
	u32 error;
	u64 cr2;
};

/**
 * struct lm_exec_ctx - one execution
 * @vcpu:	the caller's
 * @ops:	the caller's
 * @gpr:	16 registers in encoding order (rax rcx rdx rbx rsp rbp rsi rdi r8..r15)
 * @rip:	in: of this instruction; out: of the next, if LM_X_OK
 * @rflags:	in and out
 * @cpl:	in
 * @va_bits:	in: 48, or 57 with CR4.LA57; 0 means 48
 * @batch:	in: at most so many iterations of a repeated string instruction; 0 means 1
 * @bounce:	in: optional buffer for strings of ports; more than one iteration needs it
 * @bounce_len:	in: its size
 * @got:	callback @in: how many elements there are; it may lower that, but not to 0
 * @shadow:	out: LM_SHADOW_*, the interrupt shadow after this instruction
 * @trap:	out: a single-step #DB is due (trap; DR6.BS)
 * @again:	out: a repeated instruction is not finished; rip is still on it
 * @exc:	out: the exception of LM_X_FAULT
 *
 * With any answer but LM_X_OK, registers, rip and rflags are as they were, and so is memory, except
 * for what devices did in answering a read.
 */
struct lm_exec_ctx {
	void *vcpu;
	const struct lm_exec_ops *ops;
	u64 *gpr;
	u64 rip;
	u64 rflags;
	u8 cpl;
	u8 va_bits;
	u8 shadow;
	u8 trap;
	u8 again;
	u16 batch;
	u16 bounce_len;
	u16 got;
	void *bounce;
	struct lm_exec_exc exc;
};

/**
 * lm_exec() - run one decoded instruction
 * @ctx:	registers in and out, callbacks
 * @insn:	from lm_insn_decode(), for the mode that the CPU is in
 *
 * Return: enum lm_x
 */
int lm_exec(struct lm_exec_ctx *ctx, const struct lm_insn *insn);
u64 lm_exec_mov_source(u64 *gpr, const struct lm_insn *insn);
void lm_exec_mov_result(u64 *gpr, const struct lm_insn *insn, u64 v);

/**
 * lm_insn_ea() - effective address of the memory operand, without segment
 * @ctx:	registers
 * @insn:	an instruction with LM_INSN_MEM
 */
static inline u64 lm_insn_ea(const struct lm_exec_ctx *ctx, const struct lm_insn *insn)
{
	u64 ea = insn->disp;

	if (insn->base < LM_R_NONE)
		ea += ctx->gpr[insn->base];
	else if (insn->base == LM_R_RIP)
		ea += ctx->rip + insn->len;
	if (insn->index != LM_R_NONE)
		ea += ctx->gpr[insn->index] << insn->scale;
	if (insn->ad_bytes != 8)
		ea &= insn->ad_bytes == 4 ? 0xffffffff : 0xffff;
	return ea;
}

#endif
