/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The form of an entry in the opcode tables, shared by optab.c and decode.c.
 *
 * One u32: id 0-7 (or the number of a sub-table), destination 8-11, source 12-15, kind of
 * immediate 16-19, flags from 20. Zero means "not in the table".
 */
#ifndef LM_X86_OPTAB_H
#define LM_X86_OPTAB_H

#include "insn.h"

#define LM_E_ID(e)	((e) & 0xff)
#define LM_E_DST(e)	((e) >> 8 & 15)
#define LM_E_SRC(e)	((e) >> 12 & 15)
#define LM_E_IMM(e)	((e) >> 16 & 15)

#define LM_E_M		(1u << 20)	/* a modrm byte follows */
#define LM_E_B		(1u << 21)	/* operand size is a byte */
#define LM_E_D64	(1u << 22)	/* 64-bit mode: operand size 8 without REX.W */
#define LM_E_N64	(1u << 23)	/* 64-bit mode: operand size 8 (near branches) */
#define LM_E_I64	(1u << 24)	/* #UD in 64-bit mode */
#define LM_E_X		(1u << 25)	/* a prefix or an escape: the id is a LM_PX_* */
#define LM_E_G		(1u << 26)	/* the id is a row of lm_optab_group, by modrm.reg */
#define LM_E_S		(1u << 27)	/* the id is a row of lm_optab_sse, by mandatory prefix */
#define LM_E_L		(1u << 28)	/* LOCK is legal if the destination is memory */
#define LM_E_MO		(1u << 29)	/* #UD if the operand is a register */
#define LM_E_FIX	(1u << 30)	/* needs a look in decode_fix() */

enum {
	LM_I_NONE,
	LM_I_B,				/* byte, sign-extended */
	LM_I_BU,			/* byte, zero-extended */
	LM_I_W,				/* 16 bits, zero-extended */
	LM_I_Z,				/* byte, 16 or 32 bits by operand size, sign-extended */
	LM_I_V,				/* like Z, but 64 bits for operand size 8 */
	LM_I_ENTER,			/* 16 bits and a byte */
	LM_I_FAR,			/* offset of operand size and a selector */
	LM_I_MOFFS,			/* address of address size, into disp */
};

/* Prefixes and escapes of the one-byte map. */
enum {
	LM_PX_SEG,			/* 26 2E 36 3E 64 65 */
	LM_PX_OP,
	LM_PX_AD,
	LM_PX_LOCK,
	LM_PX_REP,
	LM_PX_REX,			/* 40-4F: INC and DEC outside 64-bit mode */
	LM_PX_0F,
	LM_PX_VEX,			/* C4, C5: LES and LDS */
	LM_PX_EVEX,			/* 62: BOUND */
	LM_PX_XOP,			/* 8F: POP */
};

extern const u32 lm_optab[256];
extern const u32 lm_optab_0f[256];
extern const u32 lm_optab_group[][8];
extern const u32 lm_optab_sse[][4];
extern const u8 lm_optab_0f01[64];	/* ids for mod 3 of 0F 01 */

u32 lm_optab_0f38(u8 opcode, unsigned int pp);

#endif
