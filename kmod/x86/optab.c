// SPDX-License-Identifier: GPL-2.0-only
/*
 * The opcode tables: AMD APM vol. 3 appendix A, SDM vol. 2 appendix A.
 *
 * Instructions that the executor has no use for are here as OTHER, since their length is known.
 */
#include "optab.h"

#define OP(id, dst, src, imm, fl) \
	((u32)LM_OP_##id | LM_O_##dst << 8 | LM_O_##src << 12 | LM_I_##imm << 16 | (fl))
#define M	LM_E_M
#define B	LM_E_B
#define D64	LM_E_D64
#define N64	LM_E_N64
#define I64	LM_E_I64
#define L	LM_E_L
#define MO	(LM_E_M | LM_E_MO)
#define FIX	LM_E_FIX

#define N(id)			OP(id, NONE, NONE, NONE, 0)
#define GRP(row, dst, src, imm, fl) \
	((u32)(row) | LM_O_##dst << 8 | LM_O_##src << 12 | LM_I_##imm << 16 | M | LM_E_G | (fl))
#define SSE(row)		((u32)(row) | M | LM_E_S)
#define PX(kind)		((u32)LM_PX_##kind | LM_E_X)
#define OTH			OP(OTHER, NONE, NONE, NONE, M)
#define OTH_I			OP(OTHER, NONE, NONE, B, M)

#define R2(x)	x, x
#define R4(x)	R2(x), R2(x)
#define R8(x)	R4(x), R4(x)
#define R16(x)	R8(x), R8(x)

enum {
	G1, G1A, G2, G3, G4, G5, G6, G7, G8, G9, G11, G15,
};

enum {
	S10, S11, S12, S13, S16, S17, S28, S29, S2B, S6E, S6F, S78, S7E, S7F, SD6, SE7, SF0,
	SB8, SBC, SBD, SC3,
};

/* The six classic forms of an arithmetic instruction. */
#define ALU(id, lk) \
	OP(id, RM, REG, NONE, M | B | (lk)), OP(id, RM, REG, NONE, M | (lk)), \
	OP(id, REG, RM, NONE, M | B), OP(id, REG, RM, NONE, M), \
	OP(id, ACC, IMM, Z, B), OP(id, ACC, IMM, Z, 0)
#define BW(id, dst, src, imm, fl) \
	OP(id, dst, src, imm, B | (fl)), OP(id, dst, src, imm, fl)
#define PUSHPOP_SREG \
	OP(PUSH_SREG, NONE, NONE, NONE, I64 | D64), OP(POP_SREG, NONE, NONE, NONE, I64 | D64)

const u32 lm_optab[256] = {
	/* 00 */ ALU(ADD, L), PUSHPOP_SREG,
	/* 08 */ ALU(OR, L), OP(PUSH_SREG, NONE, NONE, NONE, I64 | D64), PX(0F),
	/* 10 */ ALU(ADC, L), PUSHPOP_SREG,
	/* 18 */ ALU(SBB, L), PUSHPOP_SREG,
	/* 20 */ ALU(AND, L), PX(SEG), OP(DAA, NONE, NONE, NONE, I64),
	/* 28 */ ALU(SUB, L), PX(SEG), OP(DAS, NONE, NONE, NONE, I64),
	/* 30 */ ALU(XOR, L), PX(SEG), OP(AAA, NONE, NONE, NONE, I64),
	/* 38 */ ALU(CMP, 0), PX(SEG), OP(AAS, NONE, NONE, NONE, I64),
	/* 40 */ R16(PX(REX)),
	/* 50 */ R8(OP(PUSH, NONE, OPREG, NONE, D64)), R8(OP(POP, OPREG, NONE, NONE, D64)),
	/* 60 */ OP(PUSHA, NONE, NONE, NONE, I64), OP(POPA, NONE, NONE, NONE, I64),
		 PX(EVEX), OP(ARPL, RM, REG, NONE, M | FIX),
	/* 64 */ PX(SEG), PX(SEG), PX(OP), PX(AD),
	/* 68 */ OP(PUSH, NONE, IMM, Z, D64), OP(IMUL3, REG, RM, Z, M),
		 OP(PUSH, NONE, IMM, B, D64), OP(IMUL3, REG, RM, B, M),
	/* 6c */ BW(INS, NONE, NONE, NONE, FIX), BW(OUTS, NONE, NONE, NONE, FIX),
	/* 70 */ R16(OP(JCC, NONE, IMM, B, N64)),
	/* 80 */ GRP(G1, RM, IMM, Z, B), GRP(G1, RM, IMM, Z, 0),
		 GRP(G1, RM, IMM, Z, B | I64), GRP(G1, RM, IMM, B, 0),
	/* 84 */ BW(TEST, RM, REG, NONE, M), BW(XCHG, RM, REG, NONE, M | L),
	/* 88 */ BW(MOV, RM, REG, NONE, M), BW(MOV, REG, RM, NONE, M),
	/* 8c */ OP(MOV_SREG, RM, SREG, NONE, M | FIX), OP(LEA, REG, RM, NONE, MO),
		 OP(MOV_TO_SREG, SREG, RM, NONE, M | FIX), PX(XOP),
	/* 90 */ OP(NOP, OPREG, ACC, NONE, FIX),
		 R4(OP(XCHG, OPREG, ACC, NONE, 0)), R2(OP(XCHG, OPREG, ACC, NONE, 0)),
		 OP(XCHG, OPREG, ACC, NONE, 0),
	/* 98 */ N(CBW), N(CWD), OP(CALLF, NONE, IMM, FAR, I64), N(OTHER),
	/* 9c */ OP(PUSHF, NONE, NONE, NONE, D64), OP(POPF, NONE, NONE, NONE, D64), N(SAHF), N(LAHF),
	/* a0 */ BW(MOV, ACC, MOFFS, MOFFS, 0), BW(MOV, MOFFS, ACC, MOFFS, 0),
	/* a4 */ BW(MOVS, NONE, NONE, NONE, 0), BW(CMPS, NONE, NONE, NONE, 0),
	/* a8 */ BW(TEST, ACC, IMM, Z, 0), BW(STOS, NONE, NONE, NONE, 0),
	/* ac */ BW(LODS, NONE, NONE, NONE, 0), BW(SCAS, NONE, NONE, NONE, 0),
	/* b0 */ R8(OP(MOV, OPREG, IMM, V, B)), R8(OP(MOV, OPREG, IMM, V, 0)),
	/* c0 */ GRP(G2, RM, IMM, BU, B), GRP(G2, RM, IMM, BU, 0),
		 OP(RET, NONE, IMM, W, N64), OP(RET, NONE, NONE, NONE, N64),
	/* c4 */ PX(VEX), PX(VEX), GRP(G11, RM, IMM, Z, B), GRP(G11, RM, IMM, Z, 0),
	/* c8 */ OP(ENTER, NONE, NONE, ENTER, D64), OP(LEAVE, NONE, NONE, NONE, D64),
		 OP(RETF, NONE, IMM, W, 0), N(RETF),
	/* cc */ N(INT3), OP(INT, NONE, IMM, BU, 0), OP(INTO, NONE, NONE, NONE, I64), N(IRET),
	/* d0 */ GRP(G2, RM, ONE, NONE, B), GRP(G2, RM, ONE, NONE, 0),
		 GRP(G2, RM, CL, NONE, B), GRP(G2, RM, CL, NONE, 0),
	/* d4 */ OP(AAM, NONE, IMM, BU, I64), OP(AAD, NONE, IMM, BU, I64),
		 OP(SALC, NONE, NONE, NONE, I64), N(XLAT),
	/* d8 */ R8(OTH),
	/* e0 */ OP(LOOPNE, NONE, IMM, B, N64), OP(LOOPE, NONE, IMM, B, N64),
		 OP(LOOP, NONE, IMM, B, N64), OP(JCXZ, NONE, IMM, B, N64),
	/* e4 */ BW(IN, ACC, IMM, BU, FIX), BW(OUT, IMM, ACC, BU, FIX),
	/* e8 */ OP(CALL, NONE, IMM, Z, N64), OP(JMP, NONE, IMM, Z, N64),
		 OP(JMPF, NONE, IMM, FAR, I64), OP(JMP, NONE, IMM, B, N64),
	/* ec */ BW(IN, ACC, DX, NONE, FIX), BW(OUT, DX, ACC, NONE, FIX),
	/* f0 */ PX(LOCK), N(INT1), PX(REP), PX(REP), N(HLT), N(CMC),
		 GRP(G3, RM, NONE, NONE, B), GRP(G3, RM, NONE, NONE, 0),
	/* f8 */ N(CLC), N(STC), N(CLI), N(STI), N(CLD), N(STD),
		 GRP(G4, RM, NONE, NONE, B), GRP(G5, RM, NONE, NONE, 0),
};

const u32 lm_optab_0f[256] = {
	/* 00 */ GRP(G6, RM, NONE, NONE, 0), GRP(G7, RM, NONE, NONE, FIX),
		 OP(LAR, REG, RM, NONE, M), OP(LSL, REG, RM, NONE, M),
	/* 04 */ 0, N(SYSCALL), N(CLTS), N(SYSRET),
	/* 08 */ N(INVD), N(WBINVD), 0, N(UD), 0, OP(NOP, RM, NONE, NONE, M), N(OTHER), OTH_I,
	/* 10 */ SSE(S10), SSE(S11), SSE(S12), SSE(S13), R2(OTH), SSE(S16), SSE(S17),
	/* 18 */ R8(OP(NOP, RM, NONE, NONE, M)),
	/* 20 */ OP(MOV_CR, RM, CR, NONE, M | FIX), OP(MOV_DR, RM, DR, NONE, M | FIX),
		 OP(MOV_TO_CR, CR, RM, NONE, M | FIX), OP(MOV_TO_DR, DR, RM, NONE, M | FIX),
	/* 24 */ 0, 0, 0, 0, SSE(S28), SSE(S29), OTH, SSE(S2B), R4(OTH),
	/* 30 */ N(WRMSR), N(RDTSC), N(RDMSR), N(RDPMC), N(SYSENTER), N(SYSEXIT), 0, N(OTHER),
	/* 38 */ R8(0),
	/* 40 */ R16(OP(CMOVCC, REG, RM, NONE, M)),
	/* 50 */ R16(OTH),
	/* 60 */ R8(OTH), R4(OTH), R2(OTH), SSE(S6E), SSE(S6F),
	/* 70 */ R4(OTH_I), R2(OTH), OTH, N(OTHER),
	/* 78 */ SSE(S78), OP(VMX, REG, RM, NONE, M), 0, 0, R2(OTH), SSE(S7E), SSE(S7F),
	/* 80 */ R16(OP(JCC, NONE, IMM, Z, N64)),
	/* 90 */ R16(OP(SETCC, RM, NONE, NONE, M | B)),
	/* a0 */ OP(PUSH_SREG, NONE, NONE, NONE, D64), OP(POP_SREG, NONE, NONE, NONE, D64),
		 N(CPUID), OP(BT, RM, REG, NONE, M),
	/* a4 */ OP(SHLD, RM, REG, BU, M), OP(SHLD, RM, REG, NONE, M), 0, 0,
	/* a8 */ OP(PUSH_SREG, NONE, NONE, NONE, D64), OP(POP_SREG, NONE, NONE, NONE, D64),
		 N(RSM), OP(BTS, RM, REG, NONE, M | L),
	/* ac */ OP(SHRD, RM, REG, BU, M), OP(SHRD, RM, REG, NONE, M),
		 GRP(G15, RM, NONE, NONE, FIX), OP(IMUL, REG, RM, NONE, M),
	/* b0 */ BW(CMPXCHG, RM, REG, NONE, M | L), OP(LSS, REG, RM, NONE, MO),
		 OP(BTR, RM, REG, NONE, M | L),
	/* b4 */ OP(LFS, REG, RM, NONE, MO), OP(LGS, REG, RM, NONE, MO),
		 OP(MOVZX8, REG, RM, NONE, M), OP(MOVZX16, REG, RM, NONE, M),
	/* b8 */ SSE(SB8), OP(UD, REG, RM, NONE, M), GRP(G8, RM, IMM, BU, 0),
		 OP(BTC, RM, REG, NONE, M | L),
	/* bc */ SSE(SBC), SSE(SBD), OP(MOVSX8, REG, RM, NONE, M), OP(MOVSX16, REG, RM, NONE, M),
	/* c0 */ BW(XADD, RM, REG, NONE, M | L), OTH_I, SSE(SC3),
	/* c4 */ R2(OTH_I), OTH_I, GRP(G9, RM, NONE, NONE, FIX),
	/* c8 */ R8(OP(BSWAP, OPREG, NONE, NONE, 0)),
	/* d0 */ R4(OTH), R2(OTH), SSE(SD6), OTH, R8(OTH),
	/* e0 */ R4(OTH), R2(OTH), OTH, SSE(SE7), R8(OTH),
	/* f0 */ SSE(SF0), R8(OTH), R4(OTH), R2(OTH), OP(UD, REG, RM, NONE, M),
};

/* Rows of a group add to what the opcode's own entry says. */
const u32 lm_optab_group[][8] = {
	[G1] = {
		OP(ADD, NONE, NONE, NONE, L), OP(OR, NONE, NONE, NONE, L),
		OP(ADC, NONE, NONE, NONE, L), OP(SBB, NONE, NONE, NONE, L),
		OP(AND, NONE, NONE, NONE, L), OP(SUB, NONE, NONE, NONE, L),
		OP(XOR, NONE, NONE, NONE, L), N(CMP),
	},
	[G1A] = { OP(POP, RM, NONE, NONE, D64) },
	[G2] = { N(ROL), N(ROR), N(RCL), N(RCR), N(SHL), N(SHR), N(SAL), N(SAR) },
	[G3] = {
		OP(TEST, NONE, IMM, Z, 0), OP(TEST, NONE, IMM, Z, 0),
		OP(NOT, NONE, NONE, NONE, L), OP(NEG, NONE, NONE, NONE, L),
		N(MUL), N(IMUL1), N(DIV), N(IDIV),
	},
	[G4] = { OP(INC, NONE, NONE, NONE, L), OP(DEC, NONE, NONE, NONE, L) },
	[G5] = {
		OP(INC, NONE, NONE, NONE, L), OP(DEC, NONE, NONE, NONE, L),
		OP(CALL_RM, NONE, NONE, NONE, N64), OP(CALLF_M, NONE, NONE, NONE, MO),
		OP(JMP_RM, NONE, NONE, NONE, N64), OP(JMPF_M, NONE, NONE, NONE, MO),
		OP(PUSH, NONE, RM, NONE, D64), 0,
	},
	[G6] = { N(SLDT), N(STR), N(LLDT), N(LTR), N(VERR), N(VERW) },
	[G7] = { N(SGDT), N(SIDT), N(LGDT), N(LIDT), N(SMSW), N(OTHER), N(LMSW), N(INVLPG) },
	[G8] = {
		0, 0, 0, 0, N(BT), OP(BTS, NONE, NONE, NONE, L), OP(BTR, NONE, NONE, NONE, L),
		OP(BTC, NONE, NONE, NONE, L),
	},
	[G9] = { 0, OP(CMPXCHG8B, NONE, NONE, NONE, L), 0, R4(N(OTHER)), N(OTHER) },
	[G11] = { N(MOV), 0, 0, 0, 0, 0, 0, N(OTHER) },
	[G15] = { R4(N(OTHER)), R2(N(OTHER)), N(OTHER), N(CLFLUSH) },
};

#define LOAD(id, fl)	OP(id, XREG, XRM, NONE, M | (fl))
#define STORE(id, fl)	OP(id, XRM, XREG, NONE, M | (fl))

/* Columns: no prefix, 66, F3, F2. */
const u32 lm_optab_sse[][4] = {
	[S10] = { LOAD(VMOVU, 0), LOAD(VMOVU, 0), LOAD(VMOVS4, 0), LOAD(VMOVS8, 0) },
	[S11] = { STORE(VMOVU, 0), STORE(VMOVU, 0), STORE(VMOVS4, 0), STORE(VMOVS8, 0) },
	[S12] = { LOAD(VMOVL, 0), LOAD(VMOVL, MO), OTH, OTH },
	[S13] = { STORE(VMOVL, MO), STORE(VMOVL, MO) },
	[S16] = { LOAD(VMOVH, 0), LOAD(VMOVH, MO), OTH },
	[S17] = { STORE(VMOVH, MO), STORE(VMOVH, MO) },
	[S28] = { LOAD(VMOVA, 0), LOAD(VMOVA, 0) },
	[S29] = { STORE(VMOVA, 0), STORE(VMOVA, 0) },
	[S2B] = { STORE(VMOVA, MO), STORE(VMOVA, MO), STORE(VMOVS4, MO), STORE(VMOVS8, MO) },
	[S6E] = { OTH, OP(VMOVD, XREG, RM, NONE, M) },
	[S6F] = { OTH, LOAD(VMOVA, 0), LOAD(VMOVU, 0) },
	[S78] = { OP(VMX, RM, REG, NONE, M), OP(OTHER, NONE, NONE, W, M), 0, OP(OTHER, NONE, NONE, W, M) },
	[S7E] = { OTH, OP(VMOVD, RM, XREG, NONE, M), LOAD(VMOVQ, 0) },
	[S7F] = { OTH, STORE(VMOVA, 0), STORE(VMOVU, 0) },
	[SD6] = { 0, STORE(VMOVQ, 0), OTH, OTH },
	[SE7] = { OTH, STORE(VMOVA, MO), OTH, OTH },
	[SF0] = { 0, 0, 0, LOAD(VMOVU, MO) },
	[SB8] = { 0, 0, OP(POPCNT, REG, RM, NONE, M), 0 },
	[SBC] = {
		OP(BSF, REG, RM, NONE, M), OP(BSF, REG, RM, NONE, M),
		OP(TZCNT, REG, RM, NONE, M), OP(BSF, REG, RM, NONE, M),
	},
	[SBD] = {
		OP(BSR, REG, RM, NONE, M), OP(BSR, REG, RM, NONE, M),
		OP(LZCNT, REG, RM, NONE, M), OP(BSR, REG, RM, NONE, M),
	},
	[SC3] = { OP(MOVNTI, RM, REG, NONE, MO | FIX), 0, 0, 0 },
};

const u8 lm_optab_0f01[64] = {
	/* c0 */ LM_OP_OTHER, LM_OP_VMCALL, LM_OP_VMX, LM_OP_VMX, LM_OP_VMX, LM_OP_OTHER, LM_OP_OTHER, 0,
	/* c8 */ LM_OP_MONITOR, LM_OP_MWAIT, LM_OP_CLAC, LM_OP_STAC, R4(LM_OP_OTHER),
	/* d0 */ LM_OP_XGETBV, LM_OP_XSETBV, 0, 0, LM_OP_VMX, LM_OP_OTHER, LM_OP_OTHER, LM_OP_OTHER,
	/* d8 */ LM_OP_VMRUN, LM_OP_VMMCALL, LM_OP_VMLOAD, LM_OP_VMSAVE,
		 LM_OP_STGI, LM_OP_CLGI, LM_OP_SKINIT, LM_OP_INVLPGA,
	/* e0 */ R8(LM_OP_SMSW),
	/* e8 */ R8(LM_OP_OTHER),
	/* f0 */ R8(LM_OP_LMSW),
	/* f8 */ LM_OP_SWAPGS, LM_OP_RDTSCP, LM_OP_MONITORX, LM_OP_MWAITX,
		 LM_OP_OTHER, LM_OP_RDPRU, LM_OP_INVLPGB, LM_OP_TLBSYNC,
};

/**
 * lm_optab_0f38() - entry of the 0F 38 map, where little is of interest
 * @opcode:	third opcode byte
 * @pp:		column as in lm_optab_sse
 */
u32 lm_optab_0f38(u8 opcode, unsigned int pp)
{
	switch (opcode) {
	case 0x2a:
		return pp == 1 ? LOAD(VMOVA, MO) : OTH;
	case 0x82:
		return pp == 1 ? OP(INVPCID, REG, RM, NONE, MO) : OTH;
	case 0x80:
	case 0x81:
		return pp == 1 ? OP(VMX, REG, RM, NONE, MO) : OTH;
	case 0xf0:
		return pp < 2 ? OP(MOVBE, REG, RM, NONE, MO) : OTH;
	case 0xf1:
		return pp < 2 ? OP(MOVBE, RM, REG, NONE, MO) : OTH;
	default:
		return OTH;
	}
}
