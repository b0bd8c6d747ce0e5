// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instruction decoder: bytes to struct lm_insn.
 *
 * One pass, driven by the tables of optab.c: prefixes, opcode, modrm, immediate. It stands in the
 * path of every access to a device, so the plain cases run straight through and everything rare is
 * a call away.
 */
#include "optab.h"

/* What is known while decoding and of no interest later. */
struct cursor {
	const u8 *p;
	const u8 *end;
	int seg;			/* segment prefix in force or -1 */
	u8 mode;
	u8 amd;
	u8 xmap;			/* map of a VEX, EVEX or XOP form, 0: none */
};

static __always_inline unsigned int left(const struct cursor *c)
{
	return c->end - c->p;
}

/* Column of lm_optab_sse that the prefixes select: F3 and F2 go before 66. */
static unsigned int mandatory(const struct lm_insn *insn)
{
	if (insn->rep)
		return insn->rep == 0xf3 ? 2 : 3;
	return insn->flags & LM_INSN_OP16 ? 1 : 0;
}

/* A prefix other than REX. In 64-bit mode CS, DS, ES and SS prefixes have no effect at all. */
static void prefix(struct cursor *c, struct lm_insn *insn, u8 b, unsigned int kind)
{
	insn->rex = 0;
	switch (kind) {
	case LM_PX_SEG:
		if (b >= 0x64)
			c->seg = b - 0x60;
		else if (c->mode != LM_MODE_64)
			c->seg = b >> 3 & 3;
		break;
	case LM_PX_OP:
		insn->flags |= LM_INSN_OP16;
		break;
	case LM_PX_AD:
		insn->ad_bytes = c->mode == LM_MODE_64 || c->mode < LM_MODE_32 ? 4 : 2;
		break;
	case LM_PX_LOCK:
		insn->flags |= LM_INSN_LOCK;
		break;
	case LM_PX_REP:
		insn->rep = b;
		break;
	}
}

/* The forms of VEX, EVEX and XOP: what follows the payload bytes. */
static u32 vector_entry(struct cursor *c, struct lm_insn *insn, unsigned int pp, bool vex)
{
	u8 op = insn->opcode;
	u32 e = LM_OP_OTHER | LM_E_M;

	switch (c->xmap) {
	case 1:
		if (op == 0x77)
			return LM_OP_OTHER;
		if ((op >= 0x70 && op <= 0x73) || op == 0xc2 || (op >= 0xc4 && op <= 0xc6))
			return e | LM_I_B << 16;
		if (vex && lm_optab_0f[op] & LM_E_S && !(op == 0x2b && pp >= 2))
			e = lm_optab_sse[LM_E_ID(lm_optab_0f[op])][pp];
		break;
	case 2:
		if (vex && op == 0x2a)
			e = lm_optab_0f38(op, pp);
		break;
	case 3:
		return e | LM_I_B << 16;
	case 5:
	case 6:
		return vex ? 0 : e;
	default:
		return 0;
	}
	/* Only the plain moves mean the same as without VEX. */
	if (LM_E_ID(e) < LM_OP_VMOVU)
		return LM_OP_OTHER | LM_E_M;
	return e;
}

/* C4 and C5. AMD APM vol. 3 1.2.7, 1.8. */
static int decode_vex(struct cursor *c, struct lm_insn *insn, u8 b, u32 *e)
{
	u8 b1, b2, rex = 0;

	if (left(c) < (b == 0xc4 ? 3 : 2))
		return LM_INSN_MORE;
	b1 = *c->p++;
	if (b == 0xc4) {
		b2 = *c->p++;
		c->xmap = b1 & 31;
		rex = (~b1 >> 5 & 7) | (b2 >> 4 & 8);
	} else {
		b2 = b1;
		c->xmap = 1;
		rex = ~b1 >> 5 & 4;
	}
	if (insn->rep || insn->rex || insn->flags & (LM_INSN_LOCK | LM_INSN_OP16))
		return LM_INSN_UD;
	insn->rex = c->mode == LM_MODE_64 ? rex | 0x40 : 0;
	insn->vvvv = (b2 >> 3 & 15) | (c->mode == LM_MODE_64 ? 0 : 8);
	insn->flags |= LM_INSN_VEX;
	insn->opcode = *c->p++;
	insn->map = c->xmap & 3;
	*e = vector_entry(c, insn, b2 & 3, true);
	/* The moves that merge two registers are not for the executor. */
	if (LM_E_ID(*e) >= LM_OP_VMOVU && insn->vvvv != 15)
		*e = LM_OP_OTHER | LM_E_M;
	insn->op_bytes = b2 & 4 ? 32 : 16;
	/* VEX.L is ignored by the scalar moves and must be zero for the 64-bit ones. */
	return b2 & 4 && LM_E_ID(*e) >= LM_OP_VMOVL ? LM_INSN_UD : LM_INSN_OK;
}

/* 62: only the length is of interest. SDM vol. 2 2.7.1. */
static int decode_evex(struct cursor *c, struct lm_insn *insn, u32 *e)
{
	if (left(c) < 4)
		return LM_INSN_MORE;
	if (insn->rep || insn->rex || insn->flags & (LM_INSN_LOCK | LM_INSN_OP16))
		return LM_INSN_UD;
	c->xmap = c->p[0] & 7;
	if (c->mode == LM_MODE_64)
		insn->rex = 0x40 | (~c->p[0] >> 5 & 7) | (c->p[1] >> 4 & 8);
	insn->opcode = c->p[3];
	c->p += 4;
	*e = vector_entry(c, insn, 0, false);
	return LM_INSN_OK;
}

/* 8F with a map of 8 or more. AMD APM vol. 3 1.2.5. */
static int decode_xop(struct cursor *c, struct lm_insn *insn, u32 *e)
{
	if (left(c) < 3)
		return LM_INSN_MORE;
	c->xmap = c->p[0] & 31;
	if (c->mode == LM_MODE_64)
		insn->rex = 0x40 | (~c->p[0] >> 5 & 7) | (c->p[1] >> 4 & 8);
	insn->opcode = c->p[2];
	c->p += 3;
	*e = LM_OP_OTHER | LM_E_M;
	if (c->xmap == 8)
		*e |= LM_I_B << 16;
	else if (c->xmap == 10)
		*e |= LM_I_Z << 16;
	else if (c->xmap != 9)
		*e = 0;
	return LM_INSN_OK;
}

static int decode_0f(struct cursor *c, struct lm_insn *insn, u32 *e)
{
	if (c->p == c->end)
		return LM_INSN_MORE;
	insn->opcode = *c->p++;
	insn->map = 1;
	if (insn->opcode != 0x38 && insn->opcode != 0x3a) {
		*e = lm_optab_0f[insn->opcode];
		return LM_INSN_OK;
	}
	if (c->p == c->end)
		return LM_INSN_MORE;
	insn->map = insn->opcode == 0x38 ? 2 : 3;
	insn->opcode = *c->p++;
	*e = LM_OP_OTHER | LM_E_M | LM_I_B << 16;
	if (insn->map == 2)
		*e = lm_optab_0f38(insn->opcode, mandatory(insn));
	return LM_INSN_OK;
}

static noinline int decode_escape(struct cursor *c, struct lm_insn *insn, u8 b, u32 *e)
{
	u8 next;

	if (LM_E_ID(*e) == LM_PX_0F)
		return decode_0f(c, insn, e);
	if (c->p == c->end)
		return LM_INSN_MORE;
	next = *c->p;
	if (LM_E_ID(*e) == LM_PX_XOP) {
		if ((next & 31) >= 8 && c->mode > LM_MODE_VM86)
			return decode_xop(c, insn, e);
		/* POP Ev, the only member of its group */
		*e = next >> 3 & 7 ? 0 :
		     LM_OP_POP | LM_O_RM << 8 | LM_E_M | LM_E_D64;
		return LM_INSN_OK;
	}
	/* Outside 64-bit mode these are LES, LDS and BOUND, if the operand is memory. */
	if (c->mode != LM_MODE_64 && (next < 0xc0 || c->mode <= LM_MODE_VM86)) {
		*e = LM_O_REG << 8 | LM_O_RM << 12 | LM_E_M | LM_E_MO;
		*e |= b == 0x62 ? LM_OP_BOUND : b == 0xc4 ? LM_OP_LES : LM_OP_LDS;
		return LM_INSN_OK;
	}
	if (LM_E_ID(*e) == LM_PX_VEX)
		return decode_vex(c, insn, b, e);
	return decode_evex(c, insn, e);
}

/* Moves of control and debug registers: mod is ignored, the size is that of the mode. */
static u32 fix_cr(struct cursor *c, struct lm_insn *insn, u32 e)
{
	unsigned int nr;

	insn->modrm |= 0xc0;
	insn->op_bytes = c->mode == LM_MODE_64 ? 8 : 4;
	nr = (insn->modrm >> 3 & 7) | (insn->rex << 1 & 8);
	if (LM_E_ID(e) == LM_OP_MOV_DR || LM_E_ID(e) == LM_OP_MOV_TO_DR)
		return nr < 8 ? e : LM_OP_UD | LM_E_M;
	/* AMD APM vol. 3, MOV CRn: with LOCK, CR0 stands for CR8. The caller sees reg 8. */
	if (insn->flags & LM_INSN_LOCK && c->amd && !nr) {
		insn->flags &= ~LM_INSN_LOCK;
		insn->rex |= 4;
		nr = 8;
	}
	return nr < 9 && 1 << nr & 0x11d ? e : LM_OP_UD | LM_E_M;
}

/* 0F 01 with a register operand: 64 instructions of their own. */
static u32 fix_0f01(struct lm_insn *insn)
{
	u32 id = lm_optab_0f01[insn->modrm & 63];

	if (insn->modrm == 0xfa && insn->rep == 0xf3)
		id = LM_OP_MCOMMIT;
	if (insn->modrm >= 0xfe && insn->rep)
		id = LM_OP_OTHER;
	if (id == LM_OP_SMSW || id == LM_OP_LMSW)
		return id | LM_O_RM << 8 | LM_E_M;
	return id ? id | LM_E_M : 0;
}

/* The entries that need more than the tables can say. */
static noinline u32 decode_fix(struct cursor *c, struct lm_insn *insn, u32 e)
{
	u8 mod3 = insn->modrm >= 0xc0;

	switch (LM_E_ID(e)) {
	case LM_OP_NOP:
		if (insn->rex & 1)
			return LM_OP_XCHG | LM_O_OPREG << 8 | LM_O_ACC << 12;
		return insn->rep == 0xf3 ? LM_OP_PAUSE : LM_OP_NOP;
	case LM_OP_ARPL:
		if (c->mode == LM_MODE_64)
			return LM_OP_MOVSXD | LM_O_REG << 8 | LM_O_RM << 12 | LM_E_M;
		insn->op_bytes = 2;
		return c->mode > LM_MODE_VM86 ? e : LM_OP_UD | LM_E_M;
	case LM_OP_MOV_SREG:
	case LM_OP_MOV_TO_SREG:
		insn->rex &= ~4;
		if (!mod3 || LM_E_ID(e) == LM_OP_MOV_TO_SREG)
			insn->op_bytes = 2;
		if ((insn->modrm >> 3 & 7) > 5 ||
		    (LM_E_ID(e) == LM_OP_MOV_TO_SREG && (insn->modrm >> 3 & 7) == LM_SEG_CS))
			return LM_OP_UD | LM_E_M;
		return e;
	case LM_OP_MOVNTI:
		if (insn->op_bytes == 2)
			insn->op_bytes = 4;
		return e;
	case LM_OP_INS:
	case LM_OP_OUTS:
	case LM_OP_IN:
	case LM_OP_OUT:
		if (insn->op_bytes == 8)
			insn->op_bytes = 4;
		return e;
	case LM_OP_MOV_CR:
	case LM_OP_MOV_TO_CR:
	case LM_OP_MOV_DR:
	case LM_OP_MOV_TO_DR:
		return fix_cr(c, insn, e);
	}
	if (insn->opcode == 0x01)
		return mod3 ? fix_0f01(insn) : e;
	if (insn->opcode == 0xae)
		return mod3 ? LM_OP_OTHER | LM_E_M : e;
	/* 0F C7: CMPXCHG8B is for memory; VMPTRLD and its like are there as well */
	if (mod3)
		return LM_E_ID(e) == LM_OP_CMPXCHG8B ? LM_OP_UD | LM_E_M : LM_OP_OTHER | LM_E_M;
	if ((insn->modrm >> 3 & 7) >= 6)
		return LM_OP_VMX | LM_O_RM << 8 | LM_E_M;
	if (LM_E_ID(e) == LM_OP_CMPXCHG8B)
		insn->op_bytes = insn->rex & 8 ? 8 : 4;
	return e;
}

/* Follow the tables to the final entry of an opcode with modrm. */
static u32 decode_subtable(struct lm_insn *insn, u32 e)
{
	u32 sub;

	if (e & LM_E_S)
		return lm_optab_sse[LM_E_ID(e)][mandatory(insn)];
	sub = lm_optab_group[LM_E_ID(e)][insn->modrm >> 3 & 7];
	return sub ? (e & ~(LM_E_G | 0xff)) | sub : 0;
}

static __always_inline unsigned int operand_size(const struct cursor *c, const struct lm_insn *insn, u32 e)
{
	if (e & LM_E_B)
		return 1;
	if (insn->mode != LM_MODE_64)
		return (insn->mode == LM_MODE_32) ^ !!(insn->flags & LM_INSN_OP16) ? 4 : 2;
	if (insn->rex & 8)
		return 8;
	if (e & LM_E_N64)
		return insn->flags & LM_INSN_OP16 && c->amd ? 2 : 8;
	if (insn->flags & LM_INSN_OP16)
		return 2;
	return e & LM_E_D64 ? 8 : 4;
}

static void vector_size(struct lm_insn *insn)
{
	switch (insn->id) {
	case LM_OP_VMOVU:
	case LM_OP_VMOVA:
		if (!(insn->flags & LM_INSN_VEX))
			insn->op_bytes = 16;
		break;
	case LM_OP_VMOVS4:
		insn->op_bytes = 4;
		break;
	case LM_OP_VMOVD:
		insn->op_bytes = insn->rex & 8 ? 8 : 4;
		break;
	default:
		insn->op_bytes = 8;
	}
}

/* SDM vol. 2 table 2-1. Returns what follows, or NULL if bytes are missing. */
static noinline const u8 *decode_modrm16(struct lm_insn *insn, const u8 *p, const u8 *end)
{
	static const u8 base[8] = {
		LM_RBX, LM_RBX, LM_RBP, LM_RBP, LM_RSI, LM_RDI, LM_RBP, LM_RBX,
	};
	static const u8 index[8] = {
		LM_RSI, LM_RDI, LM_RSI, LM_RDI, LM_R_NONE, LM_R_NONE, LM_R_NONE, LM_R_NONE,
	};
	unsigned int rm = insn->modrm & 7, bytes = insn->mod;

	insn->base = base[rm];
	insn->index = index[rm];
	if (!insn->mod && rm == 6) {
		insn->base = LM_R_NONE;
		bytes = 2;
	}
	if (insn->base == LM_RBP)
		insn->seg = LM_SEG_SS;
	if (end - p < (long)bytes)
		return NULL;
	if (bytes == 1)
		insn->disp = (s8)*p;
	else if (bytes == 2)
		insn->disp = (s16)(p[0] | p[1] << 8);
	return p + bytes;
}

static __always_inline s32 load_s32(const u8 *p)
{
	s32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The same for modrm in general, which has been read already. */
static __always_inline const u8 *decode_modrm(struct lm_insn *insn, unsigned int rex,
					      unsigned int modrm, const u8 *p, const u8 *end)
{
	unsigned int mod = modrm >> 6, base = modrm & 7, index;

	insn->mod = mod;
	insn->reg = (modrm >> 3 & 7) | (rex << 1 & 8);
	if (mod == 3) {
		insn->rm = base | (rex << 3 & 8);
		return p;
	}
	insn->flags |= LM_INSN_MEM;
	if (unlikely(insn->ad_bytes == 2))
		return decode_modrm16(insn, p, end);
	if (base == 4) {
		if (unlikely(p == end))
			return NULL;
		base = *p++;
		insn->sib = base;
		index = (base >> 3 & 7) | (rex << 2 & 8);
		if (index != 4) {
			insn->index = index;
			insn->scale = base >> 6;
		}
		base &= 7;
	}
	if (!mod && base == 5) {
		insn->base = insn->mode == LM_MODE_64 && (modrm & 7) == 5 ? LM_R_RIP : LM_R_NONE;
		mod = 2;
	} else {
		base |= rex << 3 & 8;
		insn->base = base;
		if (base == LM_RSP || base == LM_RBP)
			insn->seg = LM_SEG_SS;
	}
	if (!mod)
		return p;
	if (mod == 1) {
		if (unlikely(p == end))
			return NULL;
		insn->disp = (s8)*p++;
		return p;
	}
	if (unlikely(end - p < 4))
		return NULL;
	insn->disp = load_s32(p);
	return p + 4;
}

static u64 load_le(const u8 *p, unsigned int bytes)
{
	u64 v;

	switch (bytes) {
	case 1:
		return *p;
	case 2:
		return p[0] | p[1] << 8;
	case 4:
		return (u32)load_s32(p);
	default:
		memcpy(&v, p, sizeof(v));
		return v;
	}
}

static s64 sign_extend(u64 v, unsigned int bytes)
{
	unsigned int shift = 64 - bytes * 8;

	return (s64)(v << shift) >> shift;
}

/* And for an immediate. */
static noinline const u8 *decode_imm(struct lm_insn *insn, unsigned int kind, const u8 *p,
				     const u8 *end)
{
	unsigned int op = insn->op_bytes, bytes, extra = 0;

	switch (kind) {
	case LM_I_B:
	case LM_I_BU:
		bytes = 1;
		break;
	case LM_I_W:
		bytes = 2;
		break;
	case LM_I_ENTER:
		bytes = 2;
		extra = 1;
		break;
	case LM_I_FAR:
		bytes = op;
		extra = 2;
		break;
	case LM_I_MOFFS:
		bytes = insn->ad_bytes;
		break;
	case LM_I_V:
		bytes = op;
		break;
	default:
		bytes = op < 4 ? op : 4;
	}
	if (end - p < (long)(bytes + extra))
		return NULL;
	insn->imm = load_le(p, bytes);
	if (extra)
		insn->imm2 = load_le(p + bytes, extra);
	if (kind == LM_I_MOFFS) {
		insn->disp = insn->imm;
		insn->imm = 0;
		insn->flags |= LM_INSN_MEM;
	} else if (kind == LM_I_B || kind == LM_I_Z || kind == LM_I_V) {
		insn->imm = sign_extend(insn->imm, bytes);
	}
	return p + bytes + extra;
}

/* What may be wrong when all bytes are there is #UD. */
static int check_legal(const struct lm_insn *insn, u32 e)
{
	if (insn->flags & LM_INSN_LOCK && (!(e & LM_E_L) || insn->mod == 3))
		return LM_INSN_UD;
	if (e & LM_E_I64 && insn->mode == LM_MODE_64)
		return LM_INSN_UD;
	if (e & LM_E_MO && insn->mod == 3)
		return LM_INSN_UD;
	return insn->id == LM_OP_UD ? LM_INSN_UD : LM_INSN_OK;
}

/*
 * All that follows the opcode. The position is kept in a variable of its own: stores to the bytes of
 * insn might alias the cursor, which would be read again after each.
 */
static __always_inline int decode_operands(struct cursor *c, struct lm_insn *insn, u32 e)
{
	const u8 *p = c->p, *end = c->end;
	unsigned int modrm = 0;

	if (likely(e & LM_E_M)) {
		if (unlikely(p == end))
			return LM_INSN_MORE;
		modrm = *p++;
		insn->modrm = modrm;
		if (e & (LM_E_G | LM_E_S))
			e = decode_subtable(insn, e);
	}
	if (unlikely(!LM_E_ID(e)))
		return LM_INSN_UNKNOWN;
	if (likely(!(insn->flags & LM_INSN_VEX)))
		insn->op_bytes = operand_size(c, insn, e);
	if (unlikely(e & LM_E_FIX)) {
		e = decode_fix(c, insn, e);
		if (!LM_E_ID(e))
			return LM_INSN_UNKNOWN;
		modrm = insn->modrm;
	}
	insn->id = LM_E_ID(e);
	insn->dst = LM_E_DST(e);
	insn->src = LM_E_SRC(e);
	if (unlikely(LM_E_ID(e) >= LM_OP_VMOVU))
		vector_size(insn);

	if (likely(e & LM_E_M)) {
		p = decode_modrm(insn, insn->rex, modrm, p, end);
		if (unlikely(!p))
			return LM_INSN_MORE;
	} else if (LM_E_DST(e) == LM_O_OPREG || LM_E_SRC(e) == LM_O_OPREG) {
		insn->mod = 3;
		insn->rm = (insn->opcode & 7) | (insn->rex << 3 & 8);
	}
	if (LM_E_IMM(e)) {
		p = decode_imm(insn, LM_E_IMM(e), p, end);
		if (unlikely(!p))
			return LM_INSN_MORE;
	}
	c->p = p;
	if (unlikely(e & (LM_E_I64 | LM_E_MO) || insn->flags & LM_INSN_LOCK ||
		     LM_E_ID(e) == LM_OP_UD))
		return check_legal(insn, e);
	return LM_INSN_OK;
}

#define INSN_START(m, ad) \
	{ .mode = (m), .ad_bytes = (ad), .base = LM_R_NONE, .index = LM_R_NONE, \
	  .seg = LM_SEG_DS, .vvvv = 15 }

/* What an instruction is before its first byte, by mode. Modes that do not exist decode as real. */
static const struct lm_insn insn_start[LM_MODE_MASK + 1] = {
	INSN_START(LM_MODE_REAL, 2), INSN_START(LM_MODE_VM86, 2), INSN_START(LM_MODE_16, 2),
	INSN_START(LM_MODE_32, 4), INSN_START(LM_MODE_64, 8), INSN_START(LM_MODE_REAL, 2),
	INSN_START(LM_MODE_REAL, 2), INSN_START(LM_MODE_REAL, 2),
};

static noinline int decode_any(struct lm_insn *insn, const u8 *bytes, unsigned int avail,
			       unsigned int mode)
{
	const u8 *p = bytes, *end = bytes + (avail < LM_INSN_MAX ? avail : LM_INSN_MAX);
	struct cursor c = { .end = end, .seg = -1 };
	int ret;
	u32 e;
	u8 b;

	*insn = insn_start[mode & LM_MODE_MASK];
	c.mode = insn->mode;
	c.amd = mode & LM_MODE_AMD;
	for (;;) {
		if (unlikely(p == end))
			goto more;
		b = *p++;
		e = lm_optab[b];
		if (likely(!(e & LM_E_X)))
			break;
		if (LM_E_ID(e) == LM_PX_REX) {
			if (c.mode != LM_MODE_64) {
				e = (b < 0x48 ? LM_OP_INC : LM_OP_DEC) | LM_O_OPREG << 8;
				break;
			}
			insn->rex = b;
			continue;
		}
		if (LM_E_ID(e) >= LM_PX_0F)
			break;
		prefix(&c, insn, b, LM_E_ID(e));
	}
	insn->opcode = b;
	c.p = p;
	if (unlikely(e & LM_E_X)) {
		ret = decode_escape(&c, insn, b, &e);
		if (ret)
			goto out;
	}
	ret = decode_operands(&c, insn, e);
	if (unlikely(c.seg >= 0)) {
		insn->seg = c.seg;
		insn->flags |= LM_INSN_SEG;
	}
	insn->len = c.p - bytes;
out:
	if (likely(ret != LM_INSN_MORE))
		return ret;
more:
	return avail >= LM_INSN_MAX ? LM_INSN_TOO_LONG : LM_INSN_MORE;
}

/* Opcode and modrm, no more: what this leaves out goes through decode_any(). */
#define PLAIN		(LM_E_M | LM_E_B | LM_E_L | 0xffff)
#define PLAIN_MAX	8		/* REX, opcode, modrm, sib, disp32 */

int lm_insn_decode(struct lm_insn *insn, const u8 *bytes, unsigned int avail, unsigned int mode)
{
	unsigned int m = mode & LM_MODE_MASK;
	const u8 *p = bytes;
	u8 b, rex = 0;
	u32 e;

	if (unlikely(avail < PLAIN_MAX || (m != LM_MODE_64 && m != LM_MODE_32)))
		return decode_any(insn, bytes, avail, mode);
	b = *p++;
	if ((b & 0xf0) == 0x40 && m == LM_MODE_64) {
		rex = b;
		b = *p++;
	}
	e = lm_optab[b];
	if (unlikely(e & ~PLAIN || !(e & LM_E_M)))
		return decode_any(insn, bytes, avail, mode);

	*insn = insn_start[m];
	insn->rex = rex;
	insn->opcode = b;
	insn->id = LM_E_ID(e);
	insn->dst = LM_E_DST(e);
	insn->src = LM_E_SRC(e);
	insn->op_bytes = e & LM_E_B ? 1 : rex & 8 ? 8 : 4;
	b = *p++;
	insn->modrm = b;
	p = decode_modrm(insn, rex, b, p, bytes + PLAIN_MAX);
	insn->len = p - bytes;
	return LM_INSN_OK;
}
