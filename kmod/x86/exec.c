// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instruction executor: its entry, access to operands and memory, and the moves.
 *
 * What it must keep: an instruction happens as a whole or not at all. So each handler first reads
 * all it needs, then writes memory (at most one callback that can change anything), then registers.
 * The rest is in exec_alu.c, exec_flow.c, exec_string.c and exec_vec.c.
 */
#include "exec.h"

/* Data and stack segments outside 64-bit mode. AMD APM vol. 2 4.12, SDM vol. 3 5.3 to 5.6. */
static bool segment_allows(const struct lm_exec_seg *seg, unsigned int mode, u64 ea,
			   unsigned int bytes, bool write)
{
	unsigned int type = seg->attr & 15;
	u64 last = ea + bytes - 1;

	if (mode == LM_MODE_REAL || mode == LM_MODE_VM86)
		return last <= seg->limit;
	if ((seg->attr & 0x90) != 0x90)		/* unusable, or a system segment */
		return false;
	if (write && (type & 8 || !(type & 2)))
		return false;
	if ((type & 10) == 8)			/* code that may not be read */
		return false;
	if ((type & 12) == 4)			/* expands down: the limit is the lower bound */
		return ea > seg->limit && last <= (seg->attr & 0x400 ? 0xffffffff : 0xffff);
	return last <= seg->limit;
}

/* #AC is for user code with CR0.AM and EFLAGS.AC. */
static bool misaligned(const struct lm_x_state *s, u64 la, unsigned int bytes)
{
	struct lm_exec_ctx *ctx = s->ctx;

	if (!(s->flags & FL_AC) || ctx->cpl != 3 || bytes > 8 || !(la & (bytes - 1)))
		return false;
	if (bytes & (bytes - 1))		/* far pointers and the like */
		return false;
	return ctx->ops->cr(ctx, 0) >> 18 & 1;
}

int lm_x_linear_slow(struct lm_x_state *s, unsigned int seg, u64 ea, unsigned int bytes, bool write,
		     u64 *la)
{
	u8 vector = seg == LM_SEG_SS ? VEC_SS : VEC_GP;
	struct lm_exec_ctx *ctx = s->ctx;
	struct lm_exec_seg desc = { 0 };

	if (s->insn->mode == LM_MODE_64) {
		if (seg >= LM_SEG_FS)
			ctx->ops->seg(ctx, seg, &desc);
		*la = desc.base + ea;
		if (!lm_x_canonical(ctx, *la) || !lm_x_canonical(ctx, *la + bytes - 1))
			return lm_x_fault(s, vector, true);
	} else {
		ctx->ops->seg(ctx, seg, &desc);
		*la = (u32)(desc.base + ea);
		if (!segment_allows(&desc, s->insn->mode, ea, bytes, write))
			return lm_x_fault(s, vector, true);
	}
	return misaligned(s, *la, bytes) ? lm_x_fault(s, VEC_AC, true) : LM_X_OK;
}

int lm_x_read(struct lm_x_state *s, unsigned int seg, u64 ea, void *buf, unsigned int bytes,
	      unsigned int flags)
{
	u64 la;
	int ret;

	ret = lm_x_linear(s, seg, ea, bytes, flags & LM_XF_WRITE, &la);
	if (unlikely(ret))
		return ret;
	return s->ctx->ops->read(s->ctx, la, buf, bytes, flags);
}

int lm_x_write(struct lm_x_state *s, unsigned int seg, u64 ea, const void *buf, unsigned int bytes,
	       unsigned int flags)
{
	u64 la;
	int ret;

	ret = lm_x_linear(s, seg, ea, bytes, true, &la);
	if (unlikely(ret))
		return ret;
	return s->ctx->ops->write(s->ctx, la, buf, bytes, flags);
}

/**
 * lm_x_get() - value of an operand, zero-extended
 * @s:		the execution
 * @operand:	enum lm_operand
 * @bytes:	1, 2, 4 or 8
 * @v:		result
 * @flags:	LM_XF_WRITE if it will be written too
 */
int lm_x_get(struct lm_x_state *s, unsigned int operand, unsigned int bytes, u64 *v,
	     unsigned int flags)
{
	const struct lm_insn *insn = s->insn;

	switch (operand) {
	case LM_O_RM:
	case LM_O_OPREG:
	case LM_O_MOFFS:
		if (insn->mod != 3) {
			*v = 0;
			return lm_x_read_mem(s, v, bytes, flags);
		}
		*v = lm_x_reg(s, insn->rm, bytes);
		return LM_X_OK;
	case LM_O_REG:
	case LM_O_ACC:
		*v = lm_x_reg(s, insn->reg, bytes);
		return LM_X_OK;
	case LM_O_IMM:
		*v = lm_x_cut(insn->imm, bytes);
		return LM_X_OK;
	case LM_O_ONE:
		*v = 1;
		return LM_X_OK;
	case LM_O_CL:
		*v = s->gpr[LM_RCX] & 0xff;
		return LM_X_OK;
	default:
		return LM_X_UNKNOWN;
	}
}

/**
 * lm_x_put() - write an operand
 * @s:		the execution
 * @operand:	enum lm_operand
 * @bytes:	1, 2, 4 or 8
 * @v:		value; bits above @bytes are ignored
 */
int lm_x_put(struct lm_x_state *s, unsigned int operand, unsigned int bytes, u64 v)
{
	const struct lm_insn *insn = s->insn;

	switch (operand) {
	case LM_O_RM:
	case LM_O_OPREG:
	case LM_O_MOFFS:
		if (insn->mod != 3)
			return lm_x_write_mem(s, &v, bytes, 0);
		lm_x_set_reg(s, insn->rm, v, bytes);
		return LM_X_OK;
	case LM_O_REG:
	case LM_O_ACC:
		lm_x_set_reg(s, insn->reg, v, bytes);
		return LM_X_OK;
	default:
		return LM_X_UNKNOWN;
	}
}

/**
 * lm_x_cond() - does a condition code hold
 * @flags:	RFLAGS
 * @cc:		low four bits of the opcode
 */
bool lm_x_cond(u64 flags, unsigned int cc)
{
	bool less = !(flags & FL_SF) != !(flags & FL_OF);
	bool ret;

	switch (cc >> 1 & 7) {
	case 0:
		ret = flags & FL_OF;
		break;
	case 1:
		ret = flags & FL_CF;
		break;
	case 2:
		ret = flags & FL_ZF;
		break;
	case 3:
		ret = flags & (FL_CF | FL_ZF);
		break;
	case 4:
		ret = flags & FL_SF;
		break;
	case 5:
		ret = flags & FL_PF;
		break;
	case 6:
		ret = less;
		break;
	default:
		ret = less || flags & FL_ZF;
	}
	return ret != (cc & 1);
}

/* What a MOV to memory writes. */
static __always_inline u64 mov_source(const struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;

	return insn->src == LM_O_IMM ? (u64)insn->imm : lm_x_reg(s, insn->reg, insn->op_bytes);
}

/* MOV between a register or immediate and memory is what nearly all accesses to devices are. */
static __always_inline int exec_mov(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;
	unsigned int bytes = insn->op_bytes;
	u64 v = 0, la;
	int ret;

	if (unlikely(!(insn->flags & LM_INSN_MEM))) {
		ret = lm_x_get(s, insn->src, bytes, &v, 0);
		return ret ? ret : lm_x_put(s, insn->dst, bytes, v);
	}
	if (insn->src == LM_O_RM || insn->src == LM_O_MOFFS) {
		ret = lm_x_linear(s, insn->seg, lm_insn_ea(s->ctx, insn), bytes, false, &la);
		if (likely(!ret))
			ret = s->ctx->ops->read(s->ctx, la, &v, bytes, 0);
		if (likely(!ret))
			lm_x_set_reg(s, insn->reg, v, bytes);
		return ret;
	}
	v = mov_source(s);
	ret = lm_x_linear(s, insn->seg, lm_insn_ea(s->ctx, insn), bytes, true, &la);
	if (unlikely(ret))
		return ret;
	return s->ctx->ops->write(s->ctx, la, &v, bytes, 0);
}

/* MOVZX, MOVSX and MOVSXD: the source is narrower. */
static int exec_extend(struct lm_x_state *s, unsigned int bytes, bool sign)
{
	u64 v;
	int ret;

	/* MOVSXD with a 66 prefix moves 16 bits */
	if (bytes > s->insn->op_bytes)
		bytes = s->insn->op_bytes;
	ret = lm_x_get(s, s->insn->src, bytes, &v, 0);
	if (ret)
		return ret;
	if (sign)
		v = lm_x_sign(v, bytes);
	lm_x_set_reg(s, s->insn->reg, v, s->insn->op_bytes);
	return LM_X_OK;
}

static u64 swap_bytes(u64 v, unsigned int bytes)
{
	return __builtin_bswap64(v) >> (64 - bytes * 8);
}

static int exec_movbe(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;
	u64 v;
	int ret;

	ret = lm_x_get(s, insn->src, insn->op_bytes, &v, 0);
	if (ret)
		return ret;
	return lm_x_put(s, insn->dst, insn->op_bytes, swap_bytes(v, insn->op_bytes));
}

/* The result of a 16-bit BSWAP is undefined; zero is what CPUs answer. */
static int exec_bswap(struct lm_x_state *s)
{
	unsigned int bytes = s->insn->op_bytes, nr = s->insn->rm;

	lm_x_set_reg(s, nr, bytes == 2 ? 0 : swap_bytes(lm_x_reg(s, nr, bytes), bytes), bytes);
	return LM_X_OK;
}

static int exec_cmov(struct lm_x_state *s)
{
	unsigned int bytes = s->insn->op_bytes;
	u64 v;
	int ret;

	/* The source is read, and bits 32-63 are cleared, whatever the condition. */
	ret = lm_x_get(s, LM_O_RM, bytes, &v, 0);
	if (ret)
		return ret;
	if (!lm_x_cond(s->flags, s->insn->opcode))
		v = lm_x_reg(s, s->insn->reg, bytes);
	lm_x_set_reg(s, s->insn->reg, v, bytes);
	return LM_X_OK;
}

static int exec_xlat(struct lm_x_state *s)
{
	u64 ea = s->gpr[LM_RBX] + (s->gpr[LM_RAX] & 0xff);
	u8 v;
	int ret;

	ret = lm_x_read(s, s->insn->seg, lm_x_cut(ea, s->insn->ad_bytes), &v, 1, 0);
	if (!ret)
		s->gpr[LM_RAX] = (s->gpr[LM_RAX] & ~0xffull) | v;
	return ret;
}

/* CBW, CWDE, CDQE and CWD, CDQ, CQO */
static int exec_widen(struct lm_x_state *s)
{
	unsigned int bytes = s->insn->op_bytes;

	if (s->insn->id == LM_OP_CBW)
		lm_x_set_reg(s, LM_RAX, lm_x_sign(s->gpr[LM_RAX], bytes / 2), bytes);
	else
		lm_x_set_reg(s, LM_RDX, lm_x_sign(s->gpr[LM_RAX], bytes) < 0 ? ~0ull : 0, bytes);
	return LM_X_OK;
}

/* CLI and STI. With VME or PVI the virtual interrupt flag is meant: not for us. */
static int exec_if(struct lm_x_state *s, bool set)
{
	struct lm_exec_ctx *ctx = s->ctx;
	bool vm86 = s->insn->mode == LM_MODE_VM86;
	unsigned int iopl = s->flags >> 12 & 3;

	if (s->insn->mode != LM_MODE_REAL && (vm86 ? iopl < 3 : ctx->cpl > iopl)) {
		if (ctx->ops->cr(ctx, 4) & (vm86 ? 1 : 2) && ctx->cpl == 3)
			return LM_X_UNKNOWN;
		return lm_x_gp(s);
	}
	if (set && !(s->flags & FL_IF))
		ctx->shadow = LM_SHADOW_STI;
	s->flags = set ? s->flags | FL_IF : s->flags & ~FL_IF;
	return LM_X_OK;
}

static int exec_flag(struct lm_x_state *s)
{
	const u8 low = FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF;

	switch (s->insn->id) {
	case LM_OP_CMC:
		s->flags ^= FL_CF;
		break;
	case LM_OP_CLC:
		s->flags &= ~FL_CF;
		break;
	case LM_OP_STC:
		s->flags |= FL_CF;
		break;
	case LM_OP_CLD:
		s->flags &= ~FL_DF;
		break;
	case LM_OP_STD:
		s->flags |= FL_DF;
		break;
	case LM_OP_LAHF:
		s->gpr[LM_RAX] = (s->gpr[LM_RAX] & ~0xff00ull) | (s->flags & low) << 8 | 0x200;
		break;
	case LM_OP_SAHF:
		s->flags = (s->flags & ~(u64)low) | (s->gpr[LM_RAX] >> 8 & low);
		break;
	default:
		return exec_if(s, s->insn->id == LM_OP_STI);
	}
	return LM_X_OK;
}

static noinline int dispatch(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;

	if (insn->id >= LM_OP_ADD && insn->id <= LM_OP_POPCNT)
		return lm_x_alu(s);
	if (insn->id >= LM_OP_MOVS && insn->id <= LM_OP_OUTS)
		return lm_x_string(s);
	if (insn->id >= LM_OP_VMOVU)
		return lm_x_vector(s);

	switch (insn->id) {
	case LM_OP_MOVNTI:
		return exec_mov(s);
	case LM_OP_MOVZX8:
		return exec_extend(s, 1, false);
	case LM_OP_MOVZX16:
		return exec_extend(s, 2, false);
	case LM_OP_MOVSX8:
		return exec_extend(s, 1, true);
	case LM_OP_MOVSX16:
		return exec_extend(s, 2, true);
	case LM_OP_MOVSXD:
		return exec_extend(s, 4, true);
	case LM_OP_MOVBE:
		return exec_movbe(s);
	case LM_OP_BSWAP:
		return exec_bswap(s);
	case LM_OP_LEA:
		lm_x_set_reg(s, insn->reg, lm_insn_ea(s->ctx, insn), insn->op_bytes);
		return LM_X_OK;
	case LM_OP_XCHG:
	case LM_OP_XADD:
	case LM_OP_CMPXCHG:
	case LM_OP_CMPXCHG8B:
		return lm_x_alu(s);
	case LM_OP_SETCC:
		return lm_x_put(s, LM_O_RM, 1, lm_x_cond(s->flags, insn->opcode));
	case LM_OP_CMOVCC:
		return exec_cmov(s);
	case LM_OP_XLAT:
		return exec_xlat(s);
	case LM_OP_CBW:
	case LM_OP_CWD:
		return exec_widen(s);
	case LM_OP_LAHF ... LM_OP_STD:
		return exec_flag(s);
	case LM_OP_SALC:
		lm_x_set_reg(s, LM_RAX, s->flags & FL_CF ? 0xff : 0, 1);
		return LM_X_OK;
	case LM_OP_IN:
	case LM_OP_OUT:
		return lm_x_port(s);
	case LM_OP_NOP:
	case LM_OP_PAUSE:
	case LM_OP_CLFLUSH:
		return LM_X_OK;
	default:
		return lm_x_flow(s);
	}
}

/**
 * lm_exec_mov_source() - what a MOV to memory writes
 * @gpr:	the registers
 * @insn:	the instruction
 */
u64 lm_exec_mov_source(u64 *gpr, const struct lm_insn *insn)
{
	const struct lm_x_state s = { .insn = insn, .gpr = gpr };

	return mov_source(&s);
}

/**
 * lm_exec_mov_result() - a MOV from memory has read its operand
 * @gpr:	the registers
 * @insn:	the instruction
 * @v:		what it read
 */
void lm_exec_mov_result(u64 *gpr, const struct lm_insn *insn, u64 v)
{
	const struct lm_x_state s = { .insn = insn, .gpr = gpr };

	lm_x_set_reg(&s, insn->reg, v, insn->op_bytes);
}

int lm_exec(struct lm_exec_ctx *ctx, const struct lm_insn *insn)
{
	struct lm_x_state s = {
		.ctx = ctx,
		.insn = insn,
		.gpr = ctx->gpr,
		.next = ctx->rip + insn->len,
		.flags = ctx->rflags,
	};
	int ret;

	if (unlikely(insn->mode != LM_MODE_64))
		s.next = (u32)s.next;
	ctx->shadow = LM_SHADOW_NONE;
	ctx->again = 0;
	ctx->trap = 0;
	ret = likely(insn->id == LM_OP_MOV) ? exec_mov(&s) : dispatch(&s);
	if (unlikely(ret))
		return ret;

	if (unlikely(s.retry)) {
		ctx->again = 1;
		return LM_X_OK;
	}

	/* Loading SS holds back the single-step trap as it does interrupts, SDM vol. 3 6.8.3. */
	ctx->trap = ctx->rflags & FL_TF && ctx->shadow != LM_SHADOW_MOVSS;
	if (unlikely(s.repeat)) {
		/* An instruction breakpoint on it must not hit once for each iteration. */
		ctx->again = 1;
		ctx->rflags = s.flags | FL_RF;
		return LM_X_OK;
	}
	ctx->rip = s.next;
	ctx->rflags = s.flags & ~(u64)FL_RF;
	return LM_X_OK;
}
