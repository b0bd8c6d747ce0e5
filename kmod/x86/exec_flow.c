// SPDX-License-Identifier: GPL-2.0-only
/*
 * The executor's stack, branches, segment registers, and far transfers of real mode.
 *
 * Far transfers in protected mode go through gates, privilege levels and tasks; they cannot be met
 * by an access to a device alone and are left as unknown.
 */
#include "exec.h"

static bool real_or_vm86(const struct lm_x_state *s)
{
	return s->insn->mode <= LM_MODE_VM86;
}

/* Width of the stack pointer: 8, or by SS.B. */
static unsigned int stack_bytes(struct lm_x_state *s)
{
	struct lm_exec_seg ss;

	if (s->insn->mode == LM_MODE_64)
		return 8;
	s->ctx->ops->seg(s->ctx, LM_SEG_SS, &ss);
	return ss.attr & 0x400 ? 4 : 2;
}

/* @rsp moved by @delta within the width of the stack; what is above that stays. */
static u64 stack_move(struct lm_x_state *s, u64 rsp, s64 delta)
{
	unsigned int width = stack_bytes(s);

	if (width == 2)
		return (rsp & ~0xffffull) | ((rsp + delta) & 0xffff);
	return lm_x_cut(rsp + delta, width);
}

static u64 stack_offset(struct lm_x_state *s, u64 rsp)
{
	return lm_x_cut(rsp, stack_bytes(s));
}

/*
 * Push @bytes bytes that lie in @buf as they shall lie in memory. Only checks with LM_XF_PROBE.
 * A block that would wrap around the stack's end is refused by the segment's limit.
 */
static int push(struct lm_x_state *s, u64 *rsp, const void *buf, unsigned int bytes,
		unsigned int flags)
{
	u64 to = stack_move(s, *rsp, -(s64)bytes);
	int ret;

	ret = lm_x_write(s, LM_SEG_SS, stack_offset(s, to), buf, bytes, flags);
	if (!ret && !(flags & LM_XF_PROBE))
		*rsp = to;
	return ret;
}

static int pop(struct lm_x_state *s, u64 *rsp, void *buf, unsigned int bytes)
{
	int ret;

	ret = lm_x_read(s, LM_SEG_SS, stack_offset(s, *rsp), buf, bytes, 0);
	if (!ret)
		*rsp = stack_move(s, *rsp, bytes);
	return ret;
}

/**
 * lm_x_branch() - set the next instruction within the code segment
 * @s:		the execution
 * @target:	new rip
 * @bytes:	operand size, to which the target is cut
 */
int lm_x_branch(struct lm_x_state *s, u64 target, unsigned int bytes)
{
	struct lm_exec_seg cs;

	target = lm_x_cut(target, bytes);
	if (s->insn->mode == LM_MODE_64) {
		if (!lm_x_canonical(s->ctx, target))
			return lm_x_gp(s);
	} else {
		s->ctx->ops->seg(s->ctx, LM_SEG_CS, &cs);
		if (target > cs.limit)
			return lm_x_gp(s);
	}
	s->next = target;
	return LM_X_OK;
}

static int exec_push(struct lm_x_state *s)
{
	unsigned int bytes = s->insn->op_bytes;
	u64 v, rsp = s->gpr[LM_RSP];
	int ret;

	if (s->insn->flags & LM_INSN_MEM) {
		ret = push(s, &rsp, NULL, bytes, LM_XF_PROBE);
		if (ret)
			return ret;
	}
	ret = lm_x_get(s, s->insn->src, bytes, &v, 0);
	if (!ret)
		ret = push(s, &rsp, &v, bytes, 0);
	if (!ret)
		s->gpr[LM_RSP] = rsp;
	return ret;
}

static int exec_pop(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;
	u64 v = 0, rsp = s->gpr[LM_RSP], ea;
	int ret;

	ret = pop(s, &rsp, &v, insn->op_bytes);
	if (ret)
		return ret;
	if (insn->flags & LM_INSN_MEM) {
		/* An address by RSP is computed from what RSP is after the pop. */
		ea = lm_insn_ea(s->ctx, insn);
		if (insn->base == LM_RSP)
			ea = lm_x_cut(ea + insn->op_bytes, insn->ad_bytes);
		ret = lm_x_write(s, insn->seg, ea, &v, insn->op_bytes, 0);
		if (ret)
			return ret;
		s->gpr[LM_RSP] = rsp;
		return LM_X_OK;
	}
	s->gpr[LM_RSP] = rsp;
	lm_x_set_reg(s, insn->rm, v, insn->op_bytes);
	return LM_X_OK;
}

static int exec_pusha(struct lm_x_state *s)
{
	unsigned int bytes = s->insn->op_bytes, i;
	u64 rsp = s->gpr[LM_RSP];
	u8 block[32];
	int ret;

	for (i = 0; i < 8; i++)
		memcpy(block + i * bytes, &s->gpr[7 - i], bytes);
	ret = push(s, &rsp, block, bytes * 8, 0);
	if (!ret)
		s->gpr[LM_RSP] = rsp;
	return ret;
}

static int exec_popa(struct lm_x_state *s)
{
	unsigned int bytes = s->insn->op_bytes, i;
	u64 rsp = s->gpr[LM_RSP], v;
	u8 block[32];
	int ret;

	ret = pop(s, &rsp, block, bytes * 8);
	if (ret)
		return ret;
	for (i = 0; i < 8; i++) {
		if (7 - i == LM_RSP)
			continue;
		v = 0;
		memcpy(&v, block + i * bytes, bytes);
		lm_x_set_reg(s, 7 - i, v, bytes);
	}
	s->gpr[LM_RSP] = rsp;
	return LM_X_OK;
}

/* In vm86 mode with an IOPL below 3, PUSHF, POPF and IRET are for the monitor. */
static int vm86_refuses(struct lm_x_state *s)
{
	if (s->insn->mode != LM_MODE_VM86 || (s->flags & FL_IOPL) == FL_IOPL)
		return LM_X_OK;
	return s->ctx->ops->cr(s->ctx, 4) & 1 ? LM_X_UNKNOWN : lm_x_gp(s);
}

static int exec_pushf(struct lm_x_state *s)
{
	u64 rsp = s->gpr[LM_RSP], v = s->flags & ~(u64)(FL_RF | FL_VM);
	int ret;

	ret = vm86_refuses(s);
	if (!ret)
		ret = push(s, &rsp, &v, s->insn->op_bytes, 0);
	if (!ret)
		s->gpr[LM_RSP] = rsp;
	return ret;
}

/* The flags that POPF and IRET may change at this privilege. SDM vol. 2, POPF. */
static void load_flags(struct lm_x_state *s, u64 v, unsigned int bytes)
{
	u64 may = FL_ARITH | FL_TF | FL_DF | FL_NT | FL_AC | FL_ID;

	if (s->insn->mode == LM_MODE_REAL || s->ctx->cpl == 0)
		may |= FL_IOPL;
	if (s->insn->mode == LM_MODE_REAL || s->ctx->cpl <= (s->flags >> 12 & 3))
		may |= FL_IF;
	if (bytes == 2)
		may &= 0xffff;
	s->flags = (s->flags & ~may) | (v & may);
}

static int exec_popf(struct lm_x_state *s)
{
	u64 rsp = s->gpr[LM_RSP], v = 0;
	int ret;

	ret = vm86_refuses(s);
	if (!ret)
		ret = pop(s, &rsp, &v, s->insn->op_bytes);
	if (ret)
		return ret;
	load_flags(s, v, s->insn->op_bytes);
	s->gpr[LM_RSP] = rsp;
	return LM_X_OK;
}

/* ENTER without nesting, the only form that compilers emit. */
static int exec_enter(struct lm_x_state *s)
{
	unsigned int bytes = s->insn->op_bytes;
	u64 rsp = s->gpr[LM_RSP], frame, v = s->gpr[LM_RBP];
	int ret;

	if (s->insn->imm2 & 31)
		return LM_X_UNKNOWN;
	/* The new top of stack must be writable too. */
	frame = stack_move(s, rsp, -(s64)(bytes + (u16)s->insn->imm));
	ret = lm_x_write(s, LM_SEG_SS, stack_offset(s, frame), NULL, bytes, LM_XF_PROBE);
	if (!ret)
		ret = push(s, &rsp, &v, bytes, 0);
	if (ret)
		return ret;
	lm_x_set_reg(s, LM_RBP, rsp, bytes);
	s->gpr[LM_RSP] = frame;
	return LM_X_OK;
}

static int exec_leave(struct lm_x_state *s)
{
	unsigned int width = stack_bytes(s);
	u64 rsp = s->gpr[LM_RSP], v = 0;
	int ret;

	rsp = width == 2 ? (rsp & ~0xffffull) | (s->gpr[LM_RBP] & 0xffff) :
			   lm_x_cut(s->gpr[LM_RBP], width);
	ret = pop(s, &rsp, &v, s->insn->op_bytes);
	if (ret)
		return ret;
	s->gpr[LM_RSP] = rsp;
	lm_x_set_reg(s, LM_RBP, v, s->insn->op_bytes);
	return LM_X_OK;
}

/* Near calls and jumps, relative or through r/m. */
static int exec_branch(struct lm_x_state *s, bool call, bool relative)
{
	unsigned int bytes = s->insn->op_bytes;
	u64 ret_to = s->next, rsp = s->gpr[LM_RSP], target = ret_to + s->insn->imm;
	int ret;

	if (!relative) {
		if (call && s->insn->flags & LM_INSN_MEM) {
			ret = push(s, &rsp, NULL, bytes, LM_XF_PROBE);
			if (ret)
				return ret;
		}
		ret = lm_x_get(s, LM_O_RM, bytes, &target, 0);
		if (ret)
			return ret;
	}
	ret = lm_x_branch(s, target, bytes);
	if (ret || !call)
		return ret;
	ret = push(s, &rsp, &ret_to, bytes, 0);
	if (!ret)
		s->gpr[LM_RSP] = rsp;
	return ret;
}

static int exec_ret(struct lm_x_state *s)
{
	u64 rsp = s->gpr[LM_RSP], target = 0;
	int ret;

	ret = pop(s, &rsp, &target, s->insn->op_bytes);
	if (!ret)
		ret = lm_x_branch(s, target, s->insn->op_bytes);
	if (!ret)
		s->gpr[LM_RSP] = stack_move(s, rsp, s->insn->imm);
	return ret;
}

/* LOOP, LOOPE, LOOPNE count in CX by address size; JCXZ only looks. */
static int exec_loop(struct lm_x_state *s)
{
	unsigned int width = s->insn->ad_bytes, id = s->insn->id;
	u64 count = lm_x_cut(s->gpr[LM_RCX], width);
	bool taken;
	int ret = LM_X_OK;

	if (id == LM_OP_JCXZ) {
		taken = !count;
	} else {
		count = lm_x_cut(count - 1, width);
		taken = count;
		if (id != LM_OP_LOOP)
			taken = taken && !(s->flags & FL_ZF) == (id == LM_OP_LOOPNE);
	}
	if (taken)
		ret = lm_x_branch(s, s->next + s->insn->imm, s->insn->op_bytes);
	if (!ret && id != LM_OP_JCXZ)
		lm_x_set_reg(s, LM_RCX, count, width);
	return ret;
}

static int load_segment(struct lm_x_state *s, unsigned int seg, u16 sel)
{
	struct lm_exec_ctx *ctx = s->ctx;
	int ret;

	if (!ctx->ops->load_seg)
		return LM_X_UNKNOWN;
	ret = ctx->ops->load_seg(ctx, seg, sel);
	if (!ret && seg == LM_SEG_SS)
		ctx->shadow = LM_SHADOW_MOVSS;
	return ret;
}

static u16 selector(struct lm_x_state *s, unsigned int seg)
{
	struct lm_exec_seg desc;

	s->ctx->ops->seg(s->ctx, seg, &desc);
	return desc.sel;
}

/* PUSH and POP name a segment register in bits 3-5 of the opcode. */
static int exec_push_sreg(struct lm_x_state *s)
{
	u64 rsp = s->gpr[LM_RSP], v = selector(s, s->insn->opcode >> 3 & 7);
	int ret;

	ret = push(s, &rsp, &v, s->insn->op_bytes, 0);
	if (!ret)
		s->gpr[LM_RSP] = rsp;
	return ret;
}

static int exec_pop_sreg(struct lm_x_state *s)
{
	u64 rsp = s->gpr[LM_RSP], v = 0;
	int ret;

	ret = pop(s, &rsp, &v, s->insn->op_bytes);
	if (!ret)
		ret = load_segment(s, s->insn->opcode >> 3 & 7, v);
	if (!ret)
		s->gpr[LM_RSP] = rsp;
	return ret;
}

static int exec_mov_sreg(struct lm_x_state *s)
{
	u64 v;
	int ret;

	if (s->insn->id == LM_OP_MOV_SREG)
		return lm_x_put(s, LM_O_RM, s->insn->op_bytes, selector(s, s->insn->reg));
	ret = lm_x_get(s, LM_O_RM, 2, &v, 0);
	return ret ? ret : load_segment(s, s->insn->reg, v);
}

/* A pointer in memory: offset, then selector. */
static int read_far(struct lm_x_state *s, u64 *off, u16 *sel)
{
	unsigned int bytes = s->insn->op_bytes;
	u8 buf[10];
	int ret;

	ret = lm_x_read_mem(s, buf, bytes + 2, 0);
	if (ret)
		return ret;
	*off = 0;
	memcpy(off, buf, bytes);
	memcpy(sel, buf + bytes, 2);
	return LM_X_OK;
}

static int exec_load_far(struct lm_x_state *s, unsigned int seg)
{
	u64 off;
	u16 sel;
	int ret;

	ret = read_far(s, &off, &sel);
	if (!ret)
		ret = load_segment(s, seg, sel);
	if (ret)
		return ret;
	s->ctx->shadow = LM_SHADOW_NONE;	/* LSS has none */
	lm_x_set_reg(s, s->insn->reg, off, s->insn->op_bytes);
	return LM_X_OK;
}

/* JMP and CALL far, where a segment is its selector times sixteen. */
static int exec_far(struct lm_x_state *s, bool call)
{
	unsigned int bytes = s->insn->op_bytes;
	u64 ret_to = s->next, rsp = s->gpr[LM_RSP], off = s->insn->imm;
	u16 sel = s->insn->imm2, cs;
	u8 frame[8] = { 0 };
	int ret;

	if (!real_or_vm86(s) || !s->ctx->ops->load_seg)
		return LM_X_UNKNOWN;
	if (s->insn->flags & LM_INSN_MEM) {
		ret = read_far(s, &off, &sel);
		if (ret)
			return ret;
	}
	ret = lm_x_branch(s, off, bytes);
	if (ret)
		return ret;
	if (call) {
		cs = selector(s, LM_SEG_CS);
		memcpy(frame, &ret_to, bytes);
		memcpy(frame + bytes, &cs, 2);
		ret = push(s, &rsp, frame, bytes * 2, 0);
		if (ret)
			return ret;
	}
	ret = load_segment(s, LM_SEG_CS, sel);
	if (!ret)
		s->gpr[LM_RSP] = rsp;
	return ret;
}

/* RETF and IRET of real mode; IRET also of vm86 mode with IOPL 3. */
static int exec_far_return(struct lm_x_state *s, bool iret)
{
	unsigned int bytes = s->insn->op_bytes;
	u64 rsp = s->gpr[LM_RSP], off = 0, flags = 0;
	u8 frame[12];
	u16 sel;
	int ret;

	if (!real_or_vm86(s) || !s->ctx->ops->load_seg)
		return LM_X_UNKNOWN;
	if (iret) {
		ret = vm86_refuses(s);
		if (ret)
			return ret;
	}
	ret = pop(s, &rsp, frame, bytes * (iret ? 3 : 2));
	if (ret)
		return ret;
	memcpy(&off, frame, bytes);
	memcpy(&sel, frame + bytes, 2);
	memcpy(&flags, frame + bytes * 2, iret ? bytes : 0);
	ret = lm_x_branch(s, off, bytes);
	if (!ret)
		ret = load_segment(s, LM_SEG_CS, sel);
	if (ret)
		return ret;
	if (iret)
		load_flags(s, flags, bytes);
	s->gpr[LM_RSP] = iret ? rsp : stack_move(s, rsp, s->insn->imm);
	return LM_X_OK;
}

/* INT in real mode: the vector table holds far pointers. AMD APM vol. 2 8.6. */
static int exec_int(struct lm_x_state *s, u8 vector)
{
	struct lm_exec_ctx *ctx = s->ctx;
	u64 rsp = s->gpr[LM_RSP];
	struct lm_exec_seg idt;
	u16 frame[3], entry[2];
	int ret;

	if (s->insn->mode != LM_MODE_REAL || !ctx->ops->load_seg)
		return LM_X_UNKNOWN;
	ctx->ops->seg(ctx, LM_SEG_IDTR, &idt);
	if (vector * 4u + 3 > idt.limit)
		return lm_x_gp(s);
	ret = ctx->ops->read(ctx, idt.base + vector * 4u, entry, 4, LM_XF_SYS);
	if (ret)
		return ret;
	frame[0] = s->next;
	frame[1] = selector(s, LM_SEG_CS);
	frame[2] = s->flags;
	ret = lm_x_branch(s, entry[0], 2);
	if (!ret)
		ret = push(s, &rsp, frame, 6, 0);
	if (!ret)
		ret = load_segment(s, LM_SEG_CS, entry[1]);
	if (ret)
		return ret;
	s->flags &= ~(u64)(FL_IF | FL_TF | FL_AC);
	s->gpr[LM_RSP] = rsp;
	return LM_X_OK;
}

/* BOUND: a signed index against a pair of limits in memory. */
static int exec_bound(struct lm_x_state *s)
{
	unsigned int bytes = s->insn->op_bytes;
	s64 index = lm_x_sign(s->gpr[s->insn->reg], bytes);
	u64 lo = 0, hi = 0;
	u8 pair[8];
	int ret;

	ret = lm_x_read_mem(s, pair, bytes * 2, 0);
	if (ret)
		return ret;
	memcpy(&lo, pair, bytes);
	memcpy(&hi, pair + bytes, bytes);
	if (index < lm_x_sign(lo, bytes) || index > lm_x_sign(hi, bytes))
		return lm_x_fault(s, VEC_BR, false);
	return LM_X_OK;
}

/**
 * lm_x_flow() - run an instruction of the stack, of control flow or of segments
 * @s:	the execution
 */
int lm_x_flow(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;

	switch (insn->id) {
	case LM_OP_PUSH:
		return exec_push(s);
	case LM_OP_POP:
		return exec_pop(s);
	case LM_OP_PUSHA:
		return exec_pusha(s);
	case LM_OP_POPA:
		return exec_popa(s);
	case LM_OP_PUSHF:
		return exec_pushf(s);
	case LM_OP_POPF:
		return exec_popf(s);
	case LM_OP_ENTER:
		return exec_enter(s);
	case LM_OP_LEAVE:
		return exec_leave(s);
	case LM_OP_CALL:
		return exec_branch(s, true, true);
	case LM_OP_CALL_RM:
		return exec_branch(s, true, false);
	case LM_OP_JMP:
		return exec_branch(s, false, true);
	case LM_OP_JMP_RM:
		return exec_branch(s, false, false);
	case LM_OP_JCC:
		return lm_x_cond(s->flags, insn->opcode) ? exec_branch(s, false, true) : LM_X_OK;
	case LM_OP_LOOPNE ... LM_OP_JCXZ:
		return exec_loop(s);
	case LM_OP_RET:
		return exec_ret(s);
	case LM_OP_PUSH_SREG:
		return exec_push_sreg(s);
	case LM_OP_POP_SREG:
		return exec_pop_sreg(s);
	case LM_OP_MOV_SREG:
	case LM_OP_MOV_TO_SREG:
		return exec_mov_sreg(s);
	case LM_OP_LES:
		return exec_load_far(s, LM_SEG_ES);
	case LM_OP_LDS:
		return exec_load_far(s, LM_SEG_DS);
	case LM_OP_LSS:
		return exec_load_far(s, LM_SEG_SS);
	case LM_OP_LFS:
		return exec_load_far(s, LM_SEG_FS);
	case LM_OP_LGS:
		return exec_load_far(s, LM_SEG_GS);
	case LM_OP_CALLF:
	case LM_OP_CALLF_M:
		return exec_far(s, true);
	case LM_OP_JMPF:
	case LM_OP_JMPF_M:
		return exec_far(s, false);
	case LM_OP_RETF:
		return exec_far_return(s, false);
	case LM_OP_IRET:
		return exec_far_return(s, true);
	case LM_OP_INT:
		return exec_int(s, insn->imm);
	case LM_OP_INT3:
		return exec_int(s, 3);
	case LM_OP_INTO:
		return s->flags & FL_OF ? exec_int(s, VEC_OF) : LM_X_OK;
	case LM_OP_BOUND:
		return exec_bound(s);
	default:
		return LM_X_UNKNOWN;
	}
}
