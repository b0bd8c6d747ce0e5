/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks of the decoder and executor that need no CPU to compare with. Run by tests/kunit/insn.c in
 * the kernel and by cases.c in user space. Each check returns NULL or what was wrong.
 */
#ifndef LM_TEST_INSN_CASES_H
#define LM_TEST_INSN_CASES_H

#include "../../kmod/x86/insn.h"

struct lm_vector {
	u8 mode, status, id, op_bytes, len;
	const char *bytes;
};

static const struct lm_vector lm_vectors[] = {
#define V(mode, id, op, bytes) \
	{ LM_MODE_##mode, LM_INSN_OK, LM_OP_##id, op, sizeof(bytes) - 1, bytes },
#define U(mode, bytes) { LM_MODE_##mode, LM_INSN_UD, LM_OP_UD, 0, sizeof(bytes) - 1, bytes },
#include "vectors.h"
#undef V
#undef U
};

#define REQUIRE(cond) do { if (!(cond)) return #cond; } while (0)

/* Length, operation and operand size; too few bytes; prefixes up to and past 15 bytes. */
static const char *check_vector(const struct lm_vector *v)
{
	struct lm_insn insn;
	u8 buf[32];
	int i;

	memset(buf, 0x90, sizeof(buf));
	memcpy(buf, v->bytes, v->len);
	REQUIRE(lm_insn_decode(&insn, buf, 15, v->mode | LM_MODE_AMD) == v->status);
	if (v->status != LM_INSN_OK)
		return NULL;
	REQUIRE(insn.len == v->len);
	REQUIRE(insn.id == v->id);
	REQUIRE(insn.op_bytes == v->op_bytes);
	REQUIRE(lm_insn_decode(&insn, buf, v->len, v->mode | LM_MODE_AMD) == LM_INSN_OK);
	for (i = 0; i < v->len; i++)
		REQUIRE(lm_insn_decode(&insn, buf, i, v->mode | LM_MODE_AMD) == LM_INSN_MORE);
	memset(buf, 0x3e, sizeof(buf));
	memcpy(buf + 15 - v->len, v->bytes, v->len);
	REQUIRE(lm_insn_decode(&insn, buf, 32, v->mode | LM_MODE_AMD) == LM_INSN_OK);
	REQUIRE(insn.len == 15);
	memset(buf, 0x3e, sizeof(buf));
	memcpy(buf + 16 - v->len, v->bytes, v->len);
	REQUIRE(lm_insn_decode(&insn, buf, 32, v->mode | LM_MODE_AMD) == LM_INSN_TOO_LONG);
	return NULL;
}

static inline int decode_as(struct lm_insn *insn, unsigned int mode, const char *bytes,
			    unsigned int len)
{
	return lm_insn_decode(insn, (const u8 *)bytes, len, mode);
}

#define DECODE(mode, bytes) decode_as(&insn, LM_MODE_##mode, bytes, sizeof(bytes) - 1)

/* What depends on mode, vendor and prefixes rather than on a table's entry. */
static const char *check_forms(void)
{
	struct lm_insn insn;

	/* LOCK: only with a memory destination of a few instructions */
	REQUIRE(DECODE(64, "\xf0\x01\x03") == LM_INSN_OK);
	REQUIRE(DECODE(64, "\xf0\x01\xc3") == LM_INSN_UD);
	REQUIRE(DECODE(64, "\xf0\x03\x03") == LM_INSN_UD);
	REQUIRE(DECODE(64, "\xf0\x39\x03") == LM_INSN_UD);
	REQUIRE(DECODE(64, "\xf0\x89\x03") == LM_INSN_UD);
	/* REX counts only right before the opcode */
	REQUIRE(DECODE(64, "\x48\x66\x89\x03") == LM_INSN_OK && insn.op_bytes == 2);
	REQUIRE(DECODE(64, "\x66\x48\x89\x03") == LM_INSN_OK && insn.op_bytes == 8);
	/* near branches with 66 in 64-bit mode */
	REQUIRE(DECODE(64, "\x66\xe8\x01\x02\x03\x04") == LM_INSN_OK && insn.len == 6);
	REQUIRE(decode_as(&insn, LM_MODE_64 | LM_MODE_AMD, "\x66\xe8\x01\x02\x03\x04", 6) ==
		LM_INSN_OK && insn.len == 4);
	/* MOV CRn: mod is ignored, LOCK means CR8 for AMD, CR1 is undefined */
	REQUIRE(DECODE(32, "\x0f\x20\x18") == LM_INSN_OK && insn.mod == 3 && insn.reg == 3);
	REQUIRE(DECODE(64, "\xf0\x0f\x20\xc0") == LM_INSN_UD);
	REQUIRE(decode_as(&insn, LM_MODE_64 | LM_MODE_AMD, "\xf0\x0f\x20\xc0", 4) == LM_INSN_OK &&
		insn.reg == 8);
	REQUIRE(DECODE(64, "\x44\x0f\x22\xc3") == LM_INSN_OK && insn.reg == 8 && insn.rm == 3);
	REQUIRE(DECODE(64, "\x0f\x20\xc8") == LM_INSN_UD);
	/* CS cannot be loaded by MOV, there are six segment registers */
	REQUIRE(DECODE(64, "\x8e\xc8") == LM_INSN_UD);
	REQUIRE(DECODE(64, "\x8c\xf0") == LM_INSN_UD);
	/* segments: prefixes without effect in 64-bit mode, defaults by base */
	REQUIRE(DECODE(64, "\x2e\x8b\x03") == LM_INSN_OK && insn.seg == LM_SEG_DS);
	REQUIRE(DECODE(64, "\x65\x8b\x03") == LM_INSN_OK && insn.seg == LM_SEG_GS);
	REQUIRE(DECODE(32, "\x2e\x8b\x03") == LM_INSN_OK && insn.seg == LM_SEG_CS);
	REQUIRE(DECODE(32, "\x8b\x45\x00") == LM_INSN_OK && insn.seg == LM_SEG_SS);
	REQUIRE(DECODE(16, "\x8b\x42\x10") == LM_INSN_OK && insn.seg == LM_SEG_SS);
	REQUIRE(DECODE(64, "\x8b\x05\x10\x00\x00\x00") == LM_INSN_OK && insn.base == LM_R_RIP);
	REQUIRE(DECODE(32, "\x8b\x05\x10\x00\x00\x00") == LM_INSN_OK && insn.base == LM_R_NONE);
	/* no VEX in real mode, where C4 is LES and needs memory */
	REQUIRE(DECODE(32, "\xc5\xf8\x28\x00") == LM_INSN_OK && insn.id == LM_OP_VMOVA);
	REQUIRE(DECODE(REAL, "\xc5\xf8\x28\x00") == LM_INSN_UD);
	REQUIRE(DECODE(REAL, "\xc4\x07") == LM_INSN_OK && insn.id == LM_OP_LES);
	REQUIRE(DECODE(64, "\x66\xc5\xf8\x28\x00") == LM_INSN_UD);
	/* address sizes, absolute addresses */
	REQUIRE(DECODE(64, "\xa1\x01\x02\x03\x04\x05\x06\x07\x08") == LM_INSN_OK &&
		insn.len == 9 && insn.disp == 0x0807060504030201);
	REQUIRE(DECODE(REAL, "\xa1\x34\x12") == LM_INSN_OK && insn.len == 3 && insn.disp == 0x1234);
	REQUIRE(DECODE(REAL, "\x66\xea\x01\x02\x03\x04\x05\x06") == LM_INSN_OK &&
		insn.imm2 == 0x0605 && insn.imm == 0x04030201);
	return NULL;
}

/* A small machine in real mode: 8 KiB of memory, segments at will, a port. */
static struct lm_machine {
	u8 mem[0x2000];
	u64 gpr[16];
	struct lm_exec_seg seg[7];
	struct lm_exec_ctx ctx;
	int need_at, calls;		/* the callback that says NEED, counted from 1 */
	int contended;			/* so often another CPU is faster */
	int writes, ins;
} lm_m;

static int m_obstacle(void)
{
	return ++lm_m.calls == lm_m.need_at ? LM_X_NEED : LM_X_OK;
}

static int m_read(struct lm_exec_ctx *ctx, u64 la, void *buf, unsigned int bytes, unsigned int flags)
{
	if (m_obstacle() || la + bytes > sizeof(lm_m.mem))
		return LM_X_NEED;
	memcpy(buf, lm_m.mem + la, bytes);
	return LM_X_OK;
}

static int m_write(struct lm_exec_ctx *ctx, u64 la, const void *buf, unsigned int bytes,
		   unsigned int flags)
{
	if (m_obstacle() || la + bytes > sizeof(lm_m.mem))
		return LM_X_NEED;
	if (flags & LM_XF_PROBE)
		return LM_X_OK;
	memcpy(lm_m.mem + la, buf, bytes);
	lm_m.writes++;
	return LM_X_OK;
}

static int m_cmpxchg(struct lm_exec_ctx *ctx, u64 la, void *old, const void *new,
		     unsigned int bytes)
{
	if (m_obstacle())
		return LM_X_NEED;
	if (lm_m.contended) {
		lm_m.contended--;
		lm_m.mem[la]++;
	}
	if (memcmp(lm_m.mem + la, old, bytes))
		memcpy(old, lm_m.mem + la, bytes);
	else
		memcpy(lm_m.mem + la, new, bytes);
	return LM_X_OK;
}

static int m_in(struct lm_exec_ctx *ctx, u16 port, void *buf, unsigned int bytes, unsigned int count)
{
	if (m_obstacle())
		return LM_X_NEED;
	memset(buf, port & 0xff, bytes * count);
	lm_m.ins++;
	return LM_X_OK;
}

static int m_out(struct lm_exec_ctx *ctx, u16 port, const void *buf, unsigned int bytes,
		 unsigned int count)
{
	return m_obstacle();
}

static void m_seg(struct lm_exec_ctx *ctx, unsigned int seg, struct lm_exec_seg *out)
{
	*out = lm_m.seg[seg];
}

static int m_load_seg(struct lm_exec_ctx *ctx, unsigned int seg, u16 sel)
{
	lm_m.seg[seg].sel = sel;
	lm_m.seg[seg].base = sel << 4;
	return LM_X_OK;
}

static u64 m_cr(struct lm_exec_ctx *ctx, unsigned int nr)
{
	return 0;
}

static const struct lm_exec_ops lm_m_ops = {
	.read = m_read,
	.write = m_write,
	.cmpxchg = m_cmpxchg,
	.in = m_in,
	.out = m_out,
	.seg = m_seg,
	.load_seg = m_load_seg,
	.cr = m_cr,
};

/* IP 100 in segment 20, stack at 1000 down, DS = ES = 0, each register its number times 0x101. */
static void m_reset(void)
{
	unsigned int i;

	memset(&lm_m, 0, sizeof(lm_m));
	for (i = 0; i < sizeof(lm_m.mem); i++)
		lm_m.mem[i] = i * 7 + (i >> 8);
	for (i = 0; i < 16; i++)
		lm_m.gpr[i] = i * 0x101;
	for (i = 0; i < 7; i++)
		lm_m.seg[i] = (struct lm_exec_seg) { .limit = 0xffff, .attr = 0x93 };
	lm_m.seg[LM_SEG_CS].sel = 0x20;
	lm_m.seg[LM_SEG_CS].base = 0x200;
	lm_m.gpr[LM_RSP] = 0xabcd1000;
	lm_m.ctx = (struct lm_exec_ctx) {
		.ops = &lm_m_ops, .gpr = lm_m.gpr, .rip = 0x100, .rflags = 0x202,
	};
}

static int m_run(unsigned int mode, const char *bytes, unsigned int len)
{
	struct lm_insn insn;

	if (lm_insn_decode(&insn, (const u8 *)bytes, len, mode))
		return -1;
	return lm_exec(&lm_m.ctx, &insn);
}

#define RUN(bytes) m_run(LM_MODE_REAL, bytes, sizeof(bytes) - 1)

static u16 m_word(u32 la)
{
	return lm_m.mem[la] | lm_m.mem[la + 1] << 8;
}

static const char *check_real_mode(void)
{
	/* INT: IP, CS and FLAGS on the stack, IF and TF off */
	m_reset();
	memcpy(lm_m.mem + 0x40, "\x34\x12\x00\x01", 4);
	REQUIRE(RUN("\xcd\x10") == LM_X_OK);
	REQUIRE(lm_m.ctx.rip == 0x1234 && lm_m.seg[LM_SEG_CS].sel == 0x100);
	REQUIRE(lm_m.gpr[LM_RSP] == 0xabcd0ffa && lm_m.ctx.rflags == 2);
	REQUIRE(m_word(0xffa) == 0x102 && m_word(0xffc) == 0x20 && m_word(0xffe) == 0x202);
	/* and back */
	REQUIRE(RUN("\xcf") == LM_X_OK);
	REQUIRE(lm_m.ctx.rip == 0x102 && lm_m.seg[LM_SEG_CS].sel == 0x20);
	REQUIRE(lm_m.gpr[LM_RSP] == 0xabcd1000 && lm_m.ctx.rflags == 0x202);
	/* a table that is too short */
	m_reset();
	lm_m.seg[LM_SEG_IDTR].limit = 0x42;
	REQUIRE(RUN("\xcd\x10") == LM_X_FAULT && lm_m.ctx.exc.vector == 13);
	/* far call and return */
	m_reset();
	REQUIRE(RUN("\x9a\x78\x56\x34\x12") == LM_X_OK);
	REQUIRE(lm_m.ctx.rip == 0x5678 && lm_m.seg[LM_SEG_CS].sel == 0x1234);
	REQUIRE(m_word(0xffc) == 0x105 && m_word(0xffe) == 0x20);
	REQUIRE(RUN("\xca\x04\x00") == LM_X_OK);
	REQUIRE(lm_m.ctx.rip == 0x105 && lm_m.gpr[LM_RSP] == 0xabcd1004);
	/* PUSHA and POPA; SP is not popped */
	m_reset();
	REQUIRE(RUN("\x60") == LM_X_OK && lm_m.gpr[LM_RSP] == 0xabcd0ff0);
	REQUIRE(m_word(0xffe) == 0 && m_word(0xff6) == 0x1000 && m_word(0xff0) == 0x707);
	lm_m.gpr[LM_RDI] = 0;
	REQUIRE(RUN("\x61") == LM_X_OK && lm_m.gpr[LM_RDI] == 0x707);
	REQUIRE(lm_m.gpr[LM_RSP] == 0xabcd1000);
	/* beyond the limit: #SS for the stack, #GP elsewhere */
	m_reset();
	lm_m.gpr[LM_RSP] = 1;
	REQUIRE(RUN("\x50") == LM_X_FAULT && lm_m.ctx.exc.vector == 12);
	lm_m.gpr[LM_RBX] = 0xffff;
	REQUIRE(RUN("\x89\x07") == LM_X_FAULT && lm_m.ctx.exc.vector == 13);
	REQUIRE(RUN("\x88\x07") == LM_X_NEED);
	/* the offset wraps at 64 KiB before the segment's base is added */
	m_reset();
	lm_m.gpr[LM_RBX] = 0xfff0;
	REQUIRE(RUN("\x8a\x47\x20") == LM_X_OK && (u8)lm_m.gpr[LM_RAX] == lm_m.mem[0x10]);
	/* segment loads; SS holds interrupts and the single-step trap back */
	m_reset();
	lm_m.ctx.rflags |= 0x100;
	REQUIRE(RUN("\x8e\xd3") == LM_X_OK && lm_m.seg[LM_SEG_SS].base == 0x3030);
	REQUIRE(lm_m.ctx.shadow == LM_SHADOW_MOVSS && !lm_m.ctx.trap);
	REQUIRE(RUN("\x90") == LM_X_OK && lm_m.ctx.shadow == LM_SHADOW_NONE && lm_m.ctx.trap);
	m_reset();
	lm_m.ctx.rflags = 2;
	REQUIRE(RUN("\xfb") == LM_X_OK && lm_m.ctx.shadow == LM_SHADOW_STI);
	REQUIRE(RUN("\xfb") == LM_X_OK && lm_m.ctx.shadow == LM_SHADOW_NONE);
	return NULL;
}

static const char *check_strings(void)
{
	static u8 bounce[64];

	/* one iteration a call, rip stays, RF is set meanwhile */
	m_reset();
	lm_m.gpr[LM_RCX] = 0x30002;
	lm_m.gpr[LM_RSI] = 0x100;
	lm_m.gpr[LM_RDI] = 0x800;
	REQUIRE(RUN("\xf3\xa4") == LM_X_OK && lm_m.ctx.again);
	REQUIRE(lm_m.ctx.rip == 0x100 && lm_m.ctx.rflags & 1 << 16);
	REQUIRE(lm_m.gpr[LM_RCX] == 0x30001 && lm_m.mem[0x800] == lm_m.mem[0x100]);
	REQUIRE(RUN("\xf3\xa4") == LM_X_OK && !lm_m.ctx.again);
	REQUIRE(lm_m.ctx.rip == 0x102 && !(lm_m.ctx.rflags & 1 << 16));
	REQUIRE(lm_m.gpr[LM_RCX] == 0x30000 && lm_m.gpr[LM_RSI] == 0x102);
	/* a batch, stopped half way by a missing page, then finished */
	m_reset();
	lm_m.ctx.batch = 100;
	lm_m.gpr[LM_RCX] = 8;
	lm_m.gpr[LM_RDI] = 0x800;
	lm_m.need_at = 6;
	REQUIRE(RUN("\xf3\xab") == LM_X_OK && lm_m.ctx.again && lm_m.gpr[LM_RCX] == 3);
	REQUIRE(RUN("\xf3\xab") == LM_X_OK && !lm_m.ctx.again && lm_m.gpr[LM_RCX] == 0);
	/* INS: memory is checked first, then the port is read once */
	m_reset();
	lm_m.ctx.batch = 100;
	lm_m.ctx.bounce = bounce;
	lm_m.ctx.bounce_len = sizeof(bounce);
	lm_m.gpr[LM_RCX] = 40;
	lm_m.gpr[LM_RDI] = 0x800;
	lm_m.need_at = 1;
	REQUIRE(RUN("\xf3\x6d") == LM_X_NEED && !lm_m.ins);
	REQUIRE(RUN("\xf3\x6d") == LM_X_OK && lm_m.ins == 1 && lm_m.gpr[LM_RCX] == 8);
	REQUIRE(lm_m.gpr[LM_RDI] == 0x840 && lm_m.mem[0x83f] == 2);
	REQUIRE(RUN("\xf3\x6d") == LM_X_OK && lm_m.ins == 2 && !lm_m.ctx.again);
	m_reset();
	lm_m.gpr[LM_RCX] = 40;
	lm_m.gpr[LM_RDI] = 0x8000;		/* no memory there */
	REQUIRE(RUN("\xf3\x6d") == LM_X_NEED && !lm_m.ins && lm_m.gpr[LM_RCX] == 40);
	/* a single step is due after each iteration */
	m_reset();
	lm_m.ctx.batch = 100;
	lm_m.ctx.rflags |= 0x100;
	lm_m.gpr[LM_RCX] = 8;
	REQUIRE(RUN("\xf3\xac") == LM_X_OK && lm_m.ctx.trap && lm_m.gpr[LM_RCX] == 7);
	return NULL;
}

/* Every callback in turn says that a page is missing: nothing may have changed. */
static const char *check_restart(void)
{
	static const char *const insns[] = {
		"\x89\x07", "\x01\x07", "\xf0\x01\x07", "\x87\x07", "\x0f\xc1\x07", "\x0f\xb1\x07",
		"\x0f\xc7\x0f", "\xff\x37", "\x8f\x07", "\x60", "\x61", "\xcd\x10", "\xcf", "\x9a\x00\x10\x00\x02",
		"\xff\x1f", "\xff\x17", "\xa4", "\xa6", "\x6d", "\x6f", "\xc8\x10\x00\x00", "\xc9", "\xc4\x07",
		"\xf7\x37", "\xd7", "\x0f\xab\x07", "\xd1\x27", "\x9d", "\xc3", "\xcb", "\x17",
	};
	static struct lm_machine before;
	unsigned int i;
	int n, ret;

	for (i = 0; i < ARRAY_SIZE(insns); i++) {
		for (n = 1, ret = LM_X_NEED; ret == LM_X_NEED; n++) {
			m_reset();
			lm_m.gpr[LM_RBX] = 0x400;
			lm_m.need_at = n;
			before = lm_m;
			ret = m_run(LM_MODE_REAL, insns[i], 8);
			REQUIRE(ret == LM_X_OK || ret == LM_X_NEED || ret == LM_X_FAULT);
			if (ret == LM_X_OK)
				break;
			REQUIRE(!memcmp(before.mem, lm_m.mem, sizeof(lm_m.mem)));
			REQUIRE(!memcmp(before.gpr, lm_m.gpr, sizeof(lm_m.gpr)));
			REQUIRE(!memcmp(before.seg, lm_m.seg, sizeof(lm_m.seg)));
			REQUIRE(lm_m.ctx.rip == 0x100 && lm_m.ctx.rflags == 0x202);
			REQUIRE(n < 10);
		}
	}
	return NULL;
}

/* A locked instruction that loses its race takes the new value; losing for ever gives way. */
static const char *check_locked(void)
{
	m_reset();
	lm_m.mem[0x303] = 10;
	lm_m.contended = 3;
	REQUIRE(RUN("\xf0\xfe\x07") == LM_X_OK && !lm_m.ctx.again);
	REQUIRE(lm_m.mem[0x303] == 14 && lm_m.ctx.rip == 0x103);
	m_reset();
	lm_m.mem[0x303] = 10;
	lm_m.contended = 1000;
	REQUIRE(RUN("\xf0\xfe\x07") == LM_X_OK && lm_m.ctx.again);
	REQUIRE(lm_m.ctx.rip == 0x100 && lm_m.ctx.rflags == 0x202);
	return NULL;
}

/* Segment types and limits of protected mode, #AC, division, what is not for the executor. */
static const char *check_faults(void)
{
	m_reset();
	lm_m.seg[LM_SEG_DS].attr = 0xc91;	/* read-only */
	REQUIRE(m_run(LM_MODE_32, "\x88\x03", 2) == LM_X_FAULT && lm_m.ctx.exc.vector == 13);
	REQUIRE(m_run(LM_MODE_32, "\x8a\x03", 2) == LM_X_OK);
	lm_m.seg[LM_SEG_DS].attr = 0xc99;	/* execute-only */
	REQUIRE(m_run(LM_MODE_32, "\x8a\x03", 2) == LM_X_FAULT && lm_m.ctx.exc.vector == 13);
	lm_m.seg[LM_SEG_DS].attr = 0;		/* null */
	REQUIRE(m_run(LM_MODE_32, "\x8a\x03", 2) == LM_X_FAULT && lm_m.ctx.exc.vector == 13);
	lm_m.seg[LM_SEG_DS] = (struct lm_exec_seg) { .limit = 0x303, .attr = 0xc97 };
	REQUIRE(m_run(LM_MODE_32, "\x8a\x03", 2) == LM_X_FAULT);	/* expands down */
	REQUIRE(m_run(LM_MODE_32, "\x8a\x43\x01", 3) == LM_X_OK);
	/* non-canonical: #GP, through the stack #SS */
	m_reset();
	lm_m.gpr[LM_RBX] = 0x800000000000;
	REQUIRE(m_run(LM_MODE_64, "\x8a\x03", 2) == LM_X_FAULT && lm_m.ctx.exc.vector == 13);
	lm_m.gpr[LM_RBP] = 0x7ffffffffffd;
	REQUIRE(m_run(LM_MODE_64, "\x8b\x45\x00", 3) == LM_X_FAULT && lm_m.ctx.exc.vector == 12);
	lm_m.ctx.va_bits = 57;
	REQUIRE(m_run(LM_MODE_64, "\x8a\x03", 2) == LM_X_NEED);
	/* MOVAPS wants alignment, but CR4.OSFXSR comes first: no vector callbacks, unknown */
	REQUIRE(m_run(LM_MODE_64, "\x0f\x28\x03", 3) == LM_X_UNKNOWN);
	/* division by zero */
	m_reset();
	lm_m.gpr[LM_RBX] = 0;
	REQUIRE(m_run(LM_MODE_64, "\xf7\xf3", 2) == LM_X_FAULT && lm_m.ctx.exc.vector == 0 &&
		!lm_m.ctx.exc.has_error);
	REQUIRE(m_run(LM_MODE_64, "\x0f\xa2", 2) == LM_X_UNKNOWN);
	REQUIRE(m_run(LM_MODE_64, "\xd9\x03", 2) == LM_X_UNKNOWN);
	return NULL;
}

#endif
