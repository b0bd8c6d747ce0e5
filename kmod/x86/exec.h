/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the executor share; nobody else includes this. */
#ifndef LM_X86_EXEC_H
#define LM_X86_EXEC_H

#include "insn.h"

#define FL_CF	(1u << 0)
#define FL_PF	(1u << 2)
#define FL_AF	(1u << 4)
#define FL_ZF	(1u << 6)
#define FL_SF	(1u << 7)
#define FL_TF	(1u << 8)
#define FL_IF	(1u << 9)
#define FL_DF	(1u << 10)
#define FL_OF	(1u << 11)
#define FL_IOPL	(3u << 12)
#define FL_NT	(1u << 14)
#define FL_RF	(1u << 16)
#define FL_VM	(1u << 17)
#define FL_AC	(1u << 18)
#define FL_VIF	(1u << 19)
#define FL_VIP	(1u << 20)
#define FL_ID	(1u << 21)
#define FL_ARITH	(FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

enum {
	VEC_DE = 0, VEC_OF = 4, VEC_BR = 5, VEC_UD = 6, VEC_NM = 7, VEC_SS = 12, VEC_GP = 13,
	VEC_AC = 17,
};

/*
 * One execution under way. Handlers do all reads, then the write to memory, then change registers,
 * which cannot fail; next and flags are taken over by lm_exec() when they return LM_X_OK.
 */
struct lm_x_state {
	struct lm_exec_ctx *ctx;
	const struct lm_insn *insn;
	u64 *gpr;
	u64 next;
	u64 flags;
	bool repeat;			/* one iteration done, more to come: rip stays */
	bool retry;			/* nothing done, try again: all stays */
};

static inline int lm_x_fault(struct lm_x_state *s, u8 vector, bool has_error)
{
	s->ctx->exc = (struct lm_exec_exc) { .vector = vector, .has_error = has_error };
	return LM_X_FAULT;
}

static inline int lm_x_gp(struct lm_x_state *s)
{
	return lm_x_fault(s, VEC_GP, true);
}

/* Upper bits of a value that has @bytes bytes are cut off. */
static __always_inline u64 lm_x_cut(u64 v, unsigned int bytes)
{
	return bytes == 8 ? v : v & ((1ull << bytes * 8) - 1);
}

static inline s64 lm_x_sign(u64 v, unsigned int bytes)
{
	unsigned int shift = 64 - bytes * 8;

	return (s64)(v << shift) >> shift;
}

static inline bool lm_x_canonical(const struct lm_exec_ctx *ctx, u64 la)
{
	unsigned int shift = ctx->va_bits ? 64 - ctx->va_bits : 16;

	return (u64)((s64)(la << shift) >> shift) == la;
}

/* Without a REX prefix the byte registers 4-7 are AH, CH, DH, BH. */
static __always_inline u64 lm_x_reg(const struct lm_x_state *s, unsigned int nr, unsigned int bytes)
{
	if (bytes == 1 && nr - 4 < 4 && !s->insn->rex)
		return s->gpr[nr - 4] >> 8 & 0xff;
	return lm_x_cut(s->gpr[nr], bytes);
}

static __always_inline void lm_x_set_reg(const struct lm_x_state *s, unsigned int nr, u64 v,
					 unsigned int bytes)
{
	u64 *r = &s->gpr[nr];

	if (bytes == 8)
		*r = v;
	else if (bytes == 4)
		*r = (u32)v;
	else if (bytes == 2)
		*r = (*r & ~0xffffull) | (v & 0xffff);
	else if (nr - 4 < 4 && !s->insn->rex)
		s->gpr[nr - 4] = (s->gpr[nr - 4] & ~0xff00ull) | (v & 0xff) << 8;
	else
		*r = (*r & ~0xffull) | (v & 0xff);
}

int lm_x_linear_slow(struct lm_x_state *s, unsigned int seg, u64 ea, unsigned int bytes, bool write,
		     u64 *la);

/*
 * Segment and offset to a linear address, with all checks for @bytes bytes, no more than a page. Here
 * only what is plainly canonical in 64-bit mode; the margin is for the last byte.
 */
static __always_inline int lm_x_linear(struct lm_x_state *s, unsigned int seg, u64 ea,
				       unsigned int bytes, bool write, u64 *la)
{
	if (unlikely(s->insn->mode != LM_MODE_64 || seg >= LM_SEG_FS || s->flags & FL_AC ||
		     ea + (1ull << 47) >= (1ull << 48) - 0x1000))
		return lm_x_linear_slow(s, seg, ea, bytes, write, la);
	*la = ea;
	return LM_X_OK;
}

int lm_x_read(struct lm_x_state *s, unsigned int seg, u64 ea, void *buf, unsigned int bytes,
	      unsigned int flags);
int lm_x_write(struct lm_x_state *s, unsigned int seg, u64 ea, const void *buf, unsigned int bytes,
	       unsigned int flags);

/* The memory operand of the instruction. */
static inline int lm_x_read_mem(struct lm_x_state *s, void *buf, unsigned int bytes,
				unsigned int flags)
{
	return lm_x_read(s, s->insn->seg, lm_insn_ea(s->ctx, s->insn), buf, bytes, flags);
}

static inline int lm_x_write_mem(struct lm_x_state *s, const void *buf, unsigned int bytes,
				 unsigned int flags)
{
	return lm_x_write(s, s->insn->seg, lm_insn_ea(s->ctx, s->insn), buf, bytes, flags);
}

int lm_x_get(struct lm_x_state *s, unsigned int operand, unsigned int bytes, u64 *v,
	     unsigned int flags);
int lm_x_put(struct lm_x_state *s, unsigned int operand, unsigned int bytes, u64 v);
bool lm_x_cond(u64 flags, unsigned int cc);
int lm_x_branch(struct lm_x_state *s, u64 target, unsigned int bytes);

u64 lm_x_cmp_flags(u64 flags, u64 a, u64 b, unsigned int bytes);

int lm_x_alu(struct lm_x_state *s);
int lm_x_flow(struct lm_x_state *s);
int lm_x_string(struct lm_x_state *s);
int lm_x_port(struct lm_x_state *s);
int lm_x_vector(struct lm_x_state *s);

#endif
