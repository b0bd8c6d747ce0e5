// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moves between memory and vector registers, SSE and AVX.
 *
 * The registers belong to the caller, who knows whether they are in the CPU or in a save area.
 * Moves between two registers touch no memory and are not here.
 */
#include "exec.h"

#define CR0_EM		(1u << 2)
#define CR0_TS		(1u << 3)
#define CR4_OSFXSR	(1u << 9)
#define CR4_OSXSAVE	(1u << 18)

/* SDM vol. 2 2.4 and 2.5, AMD APM vol. 2 11.3 */
static int vector_allowed(struct lm_x_state *s)
{
	struct lm_exec_ctx *ctx = s->ctx;
	u64 cr0 = ctx->ops->cr(ctx, 0), cr4 = ctx->ops->cr(ctx, 4);

	if (s->insn->flags & LM_INSN_VEX) {
		if (!(cr4 & CR4_OSXSAVE) || (ctx->ops->cr(ctx, LM_CR_XCR0) & 6) != 6)
			return lm_x_fault(s, VEC_UD, false);
	} else if (cr0 & CR0_EM || !(cr4 & CR4_OSFXSR)) {
		return lm_x_fault(s, VEC_UD, false);
	}
	return cr0 & CR0_TS ? lm_x_fault(s, VEC_NM, false) : LM_X_OK;
}

static int aligned(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;
	u64 la;
	int ret;

	if (insn->id != LM_OP_VMOVA)
		return LM_X_OK;
	ret = lm_x_linear(s, insn->seg, lm_insn_ea(s->ctx, insn), insn->op_bytes, false, &la);
	if (ret)
		return ret;
	return la & (insn->op_bytes - 1) ? lm_x_gp(s) : LM_X_OK;
}

/* Memory to register. All but MOVLPS, MOVHPS clear the rest of the 16 bytes. */
static int load(struct lm_x_state *s)
{
	const struct lm_exec_ops *ops = s->ctx->ops;
	const struct lm_insn *insn = s->insn;
	unsigned int bytes = insn->op_bytes;
	bool vex = insn->flags & LM_INSN_VEX;
	u8 v[32] = { 0 };
	u64 mem[4];
	int ret;

	ret = lm_x_read_mem(s, mem, bytes, 0);
	if (ret)
		return ret;
	if (insn->id == LM_OP_VMOVL || insn->id == LM_OP_VMOVH) {
		if (vex)
			return LM_X_UNKNOWN;
		ret = ops->vec_read(s->ctx, insn->reg, v, 16);
		if (ret)
			return ret;
	}
	memcpy(v + (insn->id == LM_OP_VMOVH ? 8 : 0), mem, bytes);
	return ops->vec_write(s->ctx, insn->reg, v, bytes > 16 ? 32 : 16, vex);
}

static int store(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;
	unsigned int bytes = insn->op_bytes;
	u8 v[32];
	int ret;

	ret = s->ctx->ops->vec_read(s->ctx, insn->reg, v, bytes > 16 ? 32 : 16);
	if (ret)
		return ret;
	return lm_x_write_mem(s, v + (insn->id == LM_OP_VMOVH ? 8 : 0), bytes, 0);
}

/**
 * lm_x_vector() - run a vector move
 * @s:	the execution
 */
int lm_x_vector(struct lm_x_state *s)
{
	const struct lm_insn *insn = s->insn;
	const struct lm_exec_ops *ops = s->ctx->ops;
	int ret;

	if (!(insn->flags & LM_INSN_MEM) || !ops->vec_read || !ops->vec_write)
		return LM_X_UNKNOWN;
	ret = vector_allowed(s);
	if (!ret)
		ret = aligned(s);
	if (ret)
		return ret;
	return insn->dst == LM_O_XREG ? load(s) : store(s);
}
