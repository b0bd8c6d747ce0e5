// SPDX-License-Identifier: GPL-2.0-only
/*
 * String instructions and ports.
 *
 * With a repeat prefix one call does one iteration, or a batch if the caller allows it, and leaves
 * rip on the instruction until the count is used up: interrupts are taken in between, as on a CPU.
 */
#include "exec.h"

/* The registers of a string instruction, changed only when an iteration has succeeded. */
struct strings {
	u64 rsi, rdi, rcx;
	s64 step;
	unsigned int width;		/* address size */
	unsigned int bytes;
};

static u64 offset(const struct strings *r, u64 reg)
{
	return lm_x_cut(reg, r->width);
}

static int read_si(struct lm_x_state *s, const struct strings *r, void *buf)
{
	return lm_x_read(s, s->insn->seg, offset(r, r->rsi), buf, r->bytes, 0);
}

static int read_di(struct lm_x_state *s, const struct strings *r, void *buf)
{
	return lm_x_read(s, LM_SEG_ES, offset(r, r->rdi), buf, r->bytes, 0);
}

static int write_di(struct lm_x_state *s, const struct strings *r, const void *buf,
		    unsigned int flags)
{
	return lm_x_write(s, LM_SEG_ES, offset(r, r->rdi), buf, r->bytes, flags);
}

/* Flags of a comparison; its code is the ALU's. */
static void compare(struct lm_x_state *s, u64 a, u64 b)
{
	s->flags = lm_x_cmp_flags(s->flags, a, b, s->insn->op_bytes);
}

/* One iteration; moves the pointers that the instruction has. */
static int iterate(struct lm_x_state *s, struct strings *r)
{
	u64 a = 0, b = 0;
	int ret;

	switch (s->insn->id) {
	case LM_OP_MOVS:
		/* If the source is a device, its answer must not be lost to a fault on the other side. */
		ret = write_di(s, r, NULL, LM_XF_PROBE);
		if (!ret)
			ret = read_si(s, r, &a);
		if (!ret)
			ret = write_di(s, r, &a, 0);
		break;
	case LM_OP_CMPS:
		ret = read_si(s, r, &a);
		if (!ret)
			ret = read_di(s, r, &b);
		if (!ret)
			compare(s, a, b);
		break;
	case LM_OP_SCAS:
		ret = read_di(s, r, &b);
		if (!ret)
			compare(s, lm_x_cut(s->gpr[LM_RAX], r->bytes), b);
		break;
	case LM_OP_STOS:
		ret = write_di(s, r, &s->gpr[LM_RAX], 0);
		break;
	default:
		ret = read_si(s, r, &a);
		if (!ret)
			lm_x_set_reg(s, LM_RAX, a, r->bytes);
	}
	if (ret)
		return ret;
	if (s->insn->id != LM_OP_STOS && s->insn->id != LM_OP_SCAS)
		r->rsi += r->step;
	if (s->insn->id != LM_OP_LODS)
		r->rdi += r->step;
	return LM_X_OK;
}

/* How many elements a port transfer can take in one go: same page, upwards, in the bounce buffer. */
static unsigned int port_batch(struct lm_x_state *s, const struct strings *r, u64 off)
{
	struct lm_exec_ctx *ctx = s->ctx;
	u64 n = 1, room = (0x1000 - (off & 0xfff)) / r->bytes;

	if (!s->insn->rep || !ctx->bounce || r->step < 0 || ctx->rflags & FL_TF)
		return 1;
	n = lm_x_cut(r->rcx, r->width);
	if (n > ctx->batch)
		n = ctx->batch;
	if (n > ctx->bounce_len / r->bytes)
		n = ctx->bounce_len / r->bytes;
	if (n > room)
		n = room;
	return n ? n : 1;
}

/*
 * INS and OUTS. The memory is checked before a port is read, since what a device gave away cannot
 * be put back. The number of iterations done is in @done.
 */
static int port_string(struct lm_x_state *s, struct strings *r, unsigned int *done)
{
	struct lm_exec_ctx *ctx = s->ctx;
	bool ins = s->insn->id == LM_OP_INS;
	unsigned int seg = ins ? LM_SEG_ES : s->insn->seg;
	u64 off = offset(r, ins ? r->rdi : r->rsi), la, one = 0;
	u16 port = s->gpr[LM_RDX];
	unsigned int n, all;
	void *buf;
	int ret;

	n = port_batch(s, r, off);
	ret = lm_x_linear(s, seg, off, n * r->bytes, ins, &la);
	if (ret && n > 1) {			/* perhaps a limit in the middle */
		n = 1;
		ret = lm_x_linear(s, seg, off, r->bytes, ins, &la);
	}
	if (ret)
		return ret;
	/* A segment's base may shift the page's end into the batch. */
	if (n > 1 && (la & 0xfff) + n * r->bytes > 0x1000) {
		n = (0x1000 - (la & 0xfff)) / r->bytes;
		n = n ? n : 1;
	}
	all = n * r->bytes;
	buf = n > 1 ? ctx->bounce : &one;
	if (ins) {
		ret = ctx->ops->write(ctx, la, NULL, all, LM_XF_PROBE | (n > 1 ? LM_XF_RAM : 0));
		if (ret == LM_X_UNKNOWN && n > 1) {	/* a device sees each element by itself */
			n = 1;
			all = r->bytes;
			buf = &one;
			ret = ctx->ops->write(ctx, la, NULL, all, LM_XF_PROBE);
		}
		ctx->got = n;
		if (!ret)
			ret = ctx->ops->in(ctx, port, buf, r->bytes, n);
		n = ctx->got;
		if (!ret)
			ret = ctx->ops->write(ctx, la, buf, n * r->bytes, 0);
		r->rdi += ret ? 0 : r->step * n;
	} else {
		ret = ctx->ops->read(ctx, la, buf, all, 0);
		if (!ret)
			ret = ctx->ops->out(ctx, port, buf, r->bytes, n);
		r->rsi += ret ? 0 : r->step * n;
	}
	*done = n;
	return ret;
}

/* CMPS and SCAS also end by the zero flag: F3 while equal, F2 while not. */
static bool ends_by_flag(const struct lm_x_state *s)
{
	if (s->insn->id != LM_OP_CMPS && s->insn->id != LM_OP_SCAS)
		return false;
	return !(s->flags & FL_ZF) == (s->insn->rep == 0xf3);
}

static void store(struct lm_x_state *s, const struct strings *r)
{
	unsigned int id = s->insn->id;

	if (id != LM_OP_STOS && id != LM_OP_SCAS && id != LM_OP_INS)
		lm_x_set_reg(s, LM_RSI, r->rsi, r->width);
	if (id != LM_OP_LODS && id != LM_OP_OUTS)
		lm_x_set_reg(s, LM_RDI, r->rdi, r->width);
	if (s->insn->rep)
		lm_x_set_reg(s, LM_RCX, r->rcx, r->width);
}

/**
 * lm_x_string() - run some iterations of a string instruction
 * @s:	the execution
 */
int lm_x_string(struct lm_x_state *s)
{
	struct lm_exec_ctx *ctx = s->ctx;
	unsigned int max = ctx->batch, i, n = 1;
	bool port = s->insn->id == LM_OP_INS || s->insn->id == LM_OP_OUTS;
	struct strings r = {
		.rsi = s->gpr[LM_RSI],
		.rdi = s->gpr[LM_RDI],
		.rcx = s->gpr[LM_RCX],
		.step = s->flags & FL_DF ? -(s64)s->insn->op_bytes : s->insn->op_bytes,
		.width = s->insn->ad_bytes,
		.bytes = s->insn->op_bytes,
	};
	int ret;

	if (s->insn->rep && !lm_x_cut(r.rcx, r.width))
		return LM_X_OK;
	if (!max || port || !s->insn->rep || s->flags & FL_TF)
		max = 1;
	for (i = 0; i < max; i++) {
		ret = port ? port_string(s, &r, &n) : iterate(s, &r);
		if (ret && !i)
			return ret;
		if (ret) {
			/* What was done counts; the next call meets the same obstacle first. */
			ctx->exc = (struct lm_exec_exc) { 0 };
			s->repeat = true;
			break;
		}
		if (!s->insn->rep)
			break;
		r.rcx -= n;
		s->repeat = lm_x_cut(r.rcx, r.width) && !ends_by_flag(s);
		if (!s->repeat)
			break;
	}
	store(s, &r);
	return LM_X_OK;
}

/**
 * lm_x_port() - run IN or OUT
 * @s:	the execution
 */
int lm_x_port(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;
	struct lm_exec_ctx *ctx = s->ctx;
	u16 port = insn->opcode & 8 ? s->gpr[LM_RDX] : (u8)insn->imm;
	u64 v = lm_x_cut(s->gpr[LM_RAX], insn->op_bytes);
	int ret;

	if (insn->id == LM_OP_OUT)
		return ctx->ops->out(ctx, port, &v, insn->op_bytes, 1);
	ret = ctx->ops->in(ctx, port, &v, insn->op_bytes, 1);
	if (!ret)
		lm_x_set_reg(s, LM_RAX, v, insn->op_bytes);
	return ret;
}
