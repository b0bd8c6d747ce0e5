// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arithmetic of the executor.
 *
 * Where flags are concerned the CPU's own instruction is run on the values, so that also what the
 * manuals leave undefined is what this CPU does.
 */
#include "exec.h"

/* LAHF and SETO leave the arithmetic flags in AX. */
#define FLAGS_TO_AX	"lahf\n\tseto %%al\n\t"

static u64 flags_of_ax(u32 ax)
{
	return (ax >> 8 & (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF)) | (ax & 1) << 11;
}

/* dst = dst OP src, with the carry flag of cf going in. @m is the operand's size modifier. */
#define ALU2(op, m) do { \
	u32 ax; \
	asm volatile("btl $0, %k[cf]\n\t" op " %" m "[s], %" m "[d]\n\t" FLAGS_TO_AX \
		     : [d] "+r" (d), "=&a" (ax) : [s] "r" (src), [cf] "r" (cf) : "cc"); \
	fl = flags_of_ax(ax); \
} while (0)

#define ALU2_SIZES(op) do { \
	if (bytes == 8) \
		ALU2(op "q", "q"); \
	else if (bytes == 4) \
		ALU2(op "l", "k"); \
	else if (bytes == 2) \
		ALU2(op "w", "w"); \
	else \
		ALU2(op "b", "b"); \
} while (0)

/* Shifts take their count in CL, double shifts a second source besides. */
#define SHIFT(op, m) do { \
	u32 ax; \
	asm volatile("btl $0, %k[cf]\n\t" op " %%cl, %" m "[d]\n\t" FLAGS_TO_AX \
		     : [d] "+r" (d), "=&a" (ax) : "c" (count), [cf] "r" (cf) : "cc"); \
	fl = flags_of_ax(ax); \
} while (0)

#define SHIFT_SIZES(op) do { \
	if (bytes == 8) \
		SHIFT(op "q", "q"); \
	else if (bytes == 4) \
		SHIFT(op "l", "k"); \
	else if (bytes == 2) \
		SHIFT(op "w", "w"); \
	else \
		SHIFT(op "b", "b"); \
} while (0)

#define SHIFT2(op, m) do { \
	u32 ax; \
	asm volatile(op " %%cl, %" m "[s], %" m "[d]\n\t" FLAGS_TO_AX \
		     : [d] "+r" (d), "=&a" (ax) : [s] "r" (src), "c" (count) : "cc"); \
	fl = flags_of_ax(ax); \
} while (0)

#define SHIFT2_SIZES(op) do { \
	if (bytes == 8) \
		SHIFT2(op "q", "q"); \
	else if (bytes == 4) \
		SHIFT2(op "l", "k"); \
	else \
		SHIFT2(op "w", "w"); \
} while (0)

/* One of ADD … CMP, TEST. Gives the result and replaces the arithmetic flags. */
static u64 alu2(unsigned int id, u64 d, u64 src, unsigned int bytes, u64 *flags)
{
	u32 cf = *flags & FL_CF;
	u64 fl;

	switch (id) {
	case LM_OP_ADD:
		ALU2_SIZES("add");
		break;
	case LM_OP_OR:
		ALU2_SIZES("or");
		break;
	case LM_OP_ADC:
		ALU2_SIZES("adc");
		break;
	case LM_OP_SBB:
		ALU2_SIZES("sbb");
		break;
	case LM_OP_AND:
		ALU2_SIZES("and");
		break;
	case LM_OP_SUB:
		ALU2_SIZES("sub");
		break;
	case LM_OP_XOR:
		ALU2_SIZES("xor");
		break;
	case LM_OP_CMP:
		ALU2_SIZES("cmp");
		break;
	default:
		ALU2_SIZES("test");
	}
	*flags = (*flags & ~(u64)FL_ARITH) | fl;
	return d;
}

/**
 * lm_x_cmp_flags() - flags after CMP
 * @flags:	before
 * @a:		first operand
 * @b:		second operand
 * @bytes:	their size
 */
u64 lm_x_cmp_flags(u64 flags, u64 a, u64 b, unsigned int bytes)
{
	alu2(LM_OP_CMP, a, b, bytes, &flags);
	return flags;
}

/* One of ROL … SAR. A count of zero changes no flag, a rotate only CF and OF. */
static u64 shift(unsigned int id, u64 d, u64 src, unsigned int bytes, u64 *flags)
{
	u8 count = src & (bytes == 8 ? 63 : 31);
	u64 changed = FL_ARITH, fl;
	u32 cf = *flags & FL_CF;

	if (!count)
		return d;
	if (id <= LM_OP_RCR)
		changed = FL_CF | FL_OF;
	switch (id) {
	case LM_OP_ROL:
		SHIFT_SIZES("rol");
		break;
	case LM_OP_ROR:
		SHIFT_SIZES("ror");
		break;
	case LM_OP_RCL:
		SHIFT_SIZES("rcl");
		break;
	case LM_OP_RCR:
		SHIFT_SIZES("rcr");
		break;
	case LM_OP_SHR:
		SHIFT_SIZES("shr");
		break;
	case LM_OP_SAR:
		SHIFT_SIZES("sar");
		break;
	default:
		SHIFT_SIZES("shl");
	}
	*flags = (*flags & ~changed) | (fl & changed);
	return d;
}

static u64 shift_double(unsigned int id, u64 d, u64 src, u64 n, unsigned int bytes, u64 *flags)
{
	u8 count = n & (bytes == 8 ? 63 : 31);
	u64 fl;

	if (!count)
		return d;
	if (id == LM_OP_SHLD)
		SHIFT2_SIZES("shld");
	else
		SHIFT2_SIZES("shrd");
	*flags = (*flags & ~(u64)FL_ARITH) | fl;
	return d;
}

/* The new value of a read-modify-write instruction's destination. */
static u64 modify(struct lm_x_state *s, u64 d, u64 src, u64 *flags)
{
	unsigned int id = s->insn->id, bytes = s->insn->op_bytes;
	u64 carry = *flags & FL_CF, bit;

	switch (id) {
	case LM_OP_ROL ... LM_OP_SAR:
		return shift(id, d, src, bytes, flags);
	case LM_OP_SHLD:
	case LM_OP_SHRD:
		bit = s->insn->opcode & 1 ? s->gpr[LM_RCX] : (u64)s->insn->imm;
		return shift_double(id, d, src, bit, bytes, flags);
	case LM_OP_BT ... LM_OP_BTC:
		bit = 1ull << (src & (bytes * 8 - 1));
		*flags = (*flags & ~(u64)FL_CF) | (d & bit ? FL_CF : 0);
		if (id == LM_OP_BTS)
			return d | bit;
		if (id == LM_OP_BTR)
			return d & ~bit;
		return id == LM_OP_BTC ? d ^ bit : d;
	case LM_OP_NOT:
		return ~d;
	case LM_OP_NEG:
		return alu2(LM_OP_SUB, 0, d, bytes, flags);
	case LM_OP_INC:
	case LM_OP_DEC:
		d = alu2(id == LM_OP_INC ? LM_OP_ADD : LM_OP_SUB, d, 1, bytes, flags);
		*flags = (*flags & ~(u64)FL_CF) | carry;
		return d;
	case LM_OP_XADD:
		return alu2(LM_OP_ADD, d, src, bytes, flags);
	case LM_OP_XCHG:
		return src;
	default:
		return alu2(id, d, src, bytes, flags);
	}
}

/*
 * Replace @old by @new in memory: atomically where the instruction is locked. Gives -1 and the
 * present value in *@old when another CPU was faster.
 */
static int replace(struct lm_x_state *s, unsigned int seg, u64 ea, void *old, const void *new,
		   unsigned int bytes, bool locked)
{
	const struct lm_exec_ops *ops = s->ctx->ops;
	u8 before[16];
	u64 la;
	int ret;

	ret = lm_x_linear(s, seg, ea, bytes, true, &la);
	if (ret)
		return ret;
	if (!locked || !ops->cmpxchg)
		return ops->write(s->ctx, la, new, bytes, 0);
	memcpy(before, old, bytes);
	/* In brackets, since the kernel has a macro of that name. */
	ret = (*ops->cmpxchg)(s->ctx, la, old, new, bytes);
	if (!ret && memcmp(before, old, bytes))
		return -1;
	return ret;
}

/* A locked instruction that lost its race too often: nothing has happened, it starts again. */
static int contended(struct lm_x_state *s, int ret)
{
	if (ret > 0)
		return ret;
	s->retry = true;
	return LM_X_OK;
}

/* BT and its kin address memory far away from the operand by a register. */
static u64 bit_offset(const struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;
	s64 off;

	if (insn->id < LM_OP_BT || insn->id > LM_OP_BTC || insn->src != LM_O_REG)
		return 0;
	off = lm_x_sign(s->gpr[insn->reg], insn->op_bytes);
	return (off >> 3) & -(s64)insn->op_bytes;
}

static int exec_modify(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;
	bool locked = insn->flags & LM_INSN_LOCK || insn->id == LM_OP_XCHG;
	unsigned int bytes = insn->op_bytes, tries;
	u64 src = 0, old = 0, new, ea, flags;
	int ret;

	if (insn->src) {
		ret = lm_x_get(s, insn->src, bytes, &src, 0);
		if (ret)
			return ret;
	}
	if (insn->dst != LM_O_RM || insn->mod == 3) {
		unsigned int nr = insn->dst == LM_O_RM || insn->dst == LM_O_OPREG ?
				  insn->rm : insn->reg;

		old = lm_x_reg(s, nr, bytes);
		new = modify(s, old, src, &s->flags);
		/* The source of XADD and XCHG first: if both are one register, the sum stays. */
		if (insn->id == LM_OP_XADD || insn->id == LM_OP_XCHG)
			lm_x_set_reg(s, insn->reg, old, bytes);
		lm_x_set_reg(s, nr, new, bytes);
		return LM_X_OK;
	}

	ea = lm_x_cut(lm_insn_ea(s->ctx, insn) + bit_offset(s), insn->ad_bytes);
	ret = lm_x_read(s, insn->seg, ea, &old, bytes, LM_XF_WRITE);
	if (ret)
		return ret;
	for (tries = 0; tries < 8; tries++) {
		flags = s->flags;
		new = modify(s, old, src, &flags);
		ret = replace(s, insn->seg, ea, &old, &new, bytes, locked);
		if (ret >= 0)
			break;
	}
	if (ret)
		return contended(s, ret);
	s->flags = flags;
	if (insn->id == LM_OP_XADD || insn->id == LM_OP_XCHG)
		lm_x_set_reg(s, insn->reg, old, bytes);
	return LM_X_OK;
}

/* CMP, TEST and BT: no result but the flags. */
static int exec_compare(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;
	unsigned int bytes = insn->op_bytes;
	u64 d = 0, src, ea;
	int ret;

	ret = lm_x_get(s, insn->src, bytes, &src, 0);
	if (ret)
		return ret;
	if (insn->flags & LM_INSN_MEM && insn->dst == LM_O_RM) {
		ea = lm_x_cut(lm_insn_ea(s->ctx, insn) + bit_offset(s), insn->ad_bytes);
		ret = lm_x_read(s, insn->seg, ea, &d, bytes, 0);
	} else {
		ret = lm_x_get(s, insn->dst, bytes, &d, 0);
	}
	if (!ret)
		modify(s, d, src, &s->flags);
	return ret;
}

static int exec_cmpxchg(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;
	unsigned int bytes = insn->op_bytes;
	u64 acc = lm_x_cut(s->gpr[LM_RAX], bytes), new = lm_x_reg(s, insn->reg, bytes);
	u64 old, flags = s->flags;
	int ret;

	ret = lm_x_get(s, LM_O_RM, bytes, &old, LM_XF_WRITE);
	if (ret)
		return ret;
	if (insn->mod == 3) {
		alu2(LM_OP_CMP, acc, old, bytes, &s->flags);
		if (acc == old)
			lm_x_set_reg(s, insn->rm, new, bytes);
		else
			lm_x_set_reg(s, LM_RAX, old, bytes);
		return LM_X_OK;
	}
	/* What does not compare equal is written back as it was. */
	ret = replace(s, insn->seg, lm_insn_ea(s->ctx, insn), &old, acc == old ? &new : &old, bytes,
		      insn->flags & LM_INSN_LOCK);
	if (ret)
		return contended(s, ret);
	alu2(LM_OP_CMP, acc, old, bytes, &flags);
	s->flags = flags;
	if (acc != old)
		lm_x_set_reg(s, LM_RAX, old, bytes);
	return LM_X_OK;
}

/* CMPXCHG8B and CMPXCHG16B: DX:AX against memory, CX:BX is the new value. */
static int exec_cmpxchg8b(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;
	unsigned int half = insn->op_bytes;
	u64 ea = lm_insn_ea(s->ctx, insn), lo, hi;
	u8 old[16], new[16], want[16];
	int ret;

	memcpy(want, &s->gpr[LM_RAX], half);
	memcpy(want + half, &s->gpr[LM_RDX], half);
	memcpy(new, &s->gpr[LM_RBX], half);
	memcpy(new + half, &s->gpr[LM_RCX], half);
	ret = lm_x_linear(s, insn->seg, ea, half * 2, true, &lo);
	if (ret)
		return ret;
	if (half == 8 && lo & 15)
		return lm_x_gp(s);
	ret = lm_x_read(s, insn->seg, ea, old, half * 2, LM_XF_WRITE);
	if (ret)
		return ret;
	if (memcmp(old, want, half * 2))
		memcpy(new, old, half * 2);
	memcpy(want, old, half * 2);
	ret = replace(s, insn->seg, ea, want, new, half * 2, insn->flags & LM_INSN_LOCK);
	if (ret)
		return contended(s, ret);
	lo = 0;
	hi = 0;
	memcpy(&lo, old, half);
	memcpy(&hi, old + half, half);
	s->flags &= ~(u64)FL_ZF;
	if (lo == lm_x_cut(s->gpr[LM_RAX], half) && hi == lm_x_cut(s->gpr[LM_RDX], half)) {
		s->flags |= FL_ZF;
		return LM_X_OK;
	}
	lm_x_set_reg(s, LM_RAX, lo, half);
	lm_x_set_reg(s, LM_RDX, hi, half);
	return LM_X_OK;
}

static void set_overflow(struct lm_x_state *s, bool overflow)
{
	s->flags &= ~(u64)(FL_CF | FL_OF);
	s->flags |= overflow ? FL_CF | FL_OF : 0;
}

/* One-operand MUL and IMUL: the product is twice as wide, in AX or DX:AX. */
static int exec_mul(struct lm_x_state *s, bool sign)
{
	unsigned int bytes = s->insn->op_bytes;
	u64 src, acc = lm_x_cut(s->gpr[LM_RAX], bytes), lo, hi;
	int ret;

	ret = lm_x_get(s, LM_O_RM, bytes, &src, 0);
	if (ret)
		return ret;
	if (sign) {
		__int128 p = (__int128)lm_x_sign(acc, bytes) * lm_x_sign(src, bytes);

		lo = p;
		hi = bytes == 8 ? (u64)(p >> 64) : (u64)p >> bytes * 8;
		set_overflow(s, p != lm_x_sign(lo, bytes));
	} else {
		__uint128_t p = (__uint128_t)acc * src;

		lo = p;
		hi = bytes == 8 ? (u64)(p >> 64) : (u64)p >> bytes * 8;
		set_overflow(s, hi != 0);
	}
	if (bytes == 1) {
		lm_x_set_reg(s, LM_RAX, lo, 2);
		return LM_X_OK;
	}
	lm_x_set_reg(s, LM_RAX, lo, bytes);
	lm_x_set_reg(s, LM_RDX, hi, bytes);
	return LM_X_OK;
}

/* IMUL with two or three operands. */
static int exec_imul(struct lm_x_state *s)
{
	unsigned int bytes = s->insn->op_bytes;
	s64 factor = s->insn->imm;
	__int128 p;
	u64 src;
	int ret;

	ret = lm_x_get(s, LM_O_RM, bytes, &src, 0);
	if (ret)
		return ret;
	if (s->insn->id == LM_OP_IMUL)
		factor = lm_x_sign(s->gpr[s->insn->reg], bytes);
	p = (__int128)lm_x_sign(src, bytes) * factor;
	set_overflow(s, p != lm_x_sign(p, bytes));
	lm_x_set_reg(s, s->insn->reg, p, bytes);
	return LM_X_OK;
}

/* Both halves are below 2^64 and hi < d, so the CPU's own division cannot fault. */
static u64 divide128(u64 hi, u64 lo, u64 d, u64 *rem)
{
	u64 q;

	asm("divq %[d]" : "=a" (q), "=d" (*rem) : "a" (lo), "d" (hi), [d] "r" (d) : "cc");
	return q;
}

static int exec_div(struct lm_x_state *s, bool sign)
{
	unsigned int bytes = s->insn->op_bytes, bits = bytes * 8;
	u64 d, lo, hi, q, rem;
	bool neg_n = false, neg_d = false;
	int ret;

	ret = lm_x_get(s, LM_O_RM, bytes, &d, 0);
	if (ret)
		return ret;
	/* The dividend as 128 bits, whatever the size. */
	lo = lm_x_cut(s->gpr[LM_RAX], bytes == 1 ? 2 : bytes);
	hi = 0;
	if (bytes == 8)
		hi = s->gpr[LM_RDX];
	else if (bytes > 1)
		lo |= lm_x_cut(s->gpr[LM_RDX], bytes) << bits;
	if (sign) {
		if (bytes != 8) {
			lo = lm_x_sign(lo, bytes * 2);
			hi = (s64)lo < 0 ? ~0ull : 0;
		}
		d = lm_x_sign(d, bytes);
		neg_n = (s64)hi < 0;
		neg_d = (s64)d < 0;
		if (neg_n) {
			hi = ~hi + !lo;
			lo = -lo;
		}
		if (neg_d)
			d = -d;
	}
	if (!d || hi >= d)
		return lm_x_fault(s, VEC_DE, false);
	q = divide128(hi, lo, d, &rem);
	if (sign ? q > (1ull << (bits - 1)) - (neg_n == neg_d) : lm_x_cut(q, bytes) != q)
		return lm_x_fault(s, VEC_DE, false);
	if (neg_n != neg_d)
		q = -q;
	if (neg_n)
		rem = -rem;
	if (bytes == 1) {
		lm_x_set_reg(s, LM_RAX, (q & 0xff) | (rem & 0xff) << 8, 2);
		return LM_X_OK;
	}
	lm_x_set_reg(s, LM_RAX, q, bytes);
	lm_x_set_reg(s, LM_RDX, rem, bytes);
	return LM_X_OK;
}

static u64 count_ones(u64 v)
{
	u64 n;

	for (n = 0; v; n++)
		v &= v - 1;
	return n;
}

/* BSF, BSR, TZCNT, LZCNT: a CPU without the latter two runs the former, so ours decides. */
#define SCAN(op) do { \
	if (bytes == 8) \
		asm volatile(op "q %q[s], %q[d]\n\t" FLAGS_TO_AX \
			     : [d] "+r" (d), "=&a" (ax) : [s] "r" (v) : "cc"); \
	else if (bytes == 4) \
		asm volatile(op "l %k[s], %k[d]\n\t" FLAGS_TO_AX \
			     : [d] "+r" (d), "=&a" (ax) : [s] "r" (v) : "cc"); \
	else \
		asm volatile(op "w %w[s], %w[d]\n\t" FLAGS_TO_AX \
			     : [d] "+r" (d), "=&a" (ax) : [s] "r" (v) : "cc"); \
} while (0)

static int exec_scan(struct lm_x_state *s)
{
	unsigned int bytes = s->insn->op_bytes, id = s->insn->id;
	u64 v, d = s->gpr[s->insn->reg];
	u32 ax = 0;
	int ret;

	ret = lm_x_get(s, LM_O_RM, bytes, &v, 0);
	if (ret)
		return ret;
	if (id == LM_OP_POPCNT) {
		s->flags = (s->flags & ~(u64)FL_ARITH) | (v ? 0 : FL_ZF);
		lm_x_set_reg(s, s->insn->reg, count_ones(v), bytes);
		return LM_X_OK;
	}
	switch (id) {
	case LM_OP_BSF:
		SCAN("bsf");
		break;
	case LM_OP_BSR:
		SCAN("bsr");
		break;
	case LM_OP_TZCNT:
		SCAN("tzcnt");
		break;
	default:
		SCAN("lzcnt");
	}
	s->flags = (s->flags & ~(u64)FL_ARITH) | flags_of_ax(ax);
	/* Whole register: with a zero source BSF and BSR may have left it as it was. */
	s->gpr[s->insn->reg] = d;
	return LM_X_OK;
}

/**
 * lm_x_alu() - run an arithmetic instruction
 * @s:	the execution
 */
int lm_x_alu(struct lm_x_state *s)
{
	switch (s->insn->id) {
	case LM_OP_CMP:
	case LM_OP_TEST:
	case LM_OP_BT:
		return exec_compare(s);
	case LM_OP_MUL:
	case LM_OP_IMUL1:
		return exec_mul(s, s->insn->id == LM_OP_IMUL1);
	case LM_OP_DIV:
	case LM_OP_IDIV:
		return exec_div(s, s->insn->id == LM_OP_IDIV);
	case LM_OP_IMUL:
	case LM_OP_IMUL3:
		return exec_imul(s);
	case LM_OP_BSF ... LM_OP_POPCNT:
		return exec_scan(s);
	case LM_OP_CMPXCHG:
		return exec_cmpxchg(s);
	case LM_OP_CMPXCHG8B:
		return exec_cmpxchg8b(s);
	default:
		return exec_modify(s);
	}
}
