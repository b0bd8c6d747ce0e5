// SPDX-License-Identifier: GPL-2.0-only
/*
 * The decoder and executor joined to a vCPU: where an instruction ends when the
 * CPU did not say, and instructions whose memory is a device.
 */
#include <uapi/asm/debugreg.h>
#include <asm/processor-flags.h>

#include "../backend.h"
#include "exit.h"

/**
 * lm_insn_mode - how the bytes at CS:RIP are to be read
 * @vcpu: in its section
 */
unsigned int lm_insn_mode(struct lm_vcpu *vcpu)
{
	unsigned int amd = lm_caps.amd_insns ? LM_MODE_AMD : 0;

	if (lm_is_64(vcpu))
		return LM_MODE_64 | amd;
	if (!(lm_cr0(vcpu) & X86_CR0_PE))
		return LM_MODE_REAL | amd;
	if (lm_rflags(vcpu) & X86_EFLAGS_VM)
		return LM_MODE_VM86 | amd;
	return (lm_seg(vcpu, LM_CS)->attr & LM_SEG_DB ? LM_MODE_32 : LM_MODE_16) | amd;
}

/* Others keep changing the guest's page table under us: NEED nothing but a turn later. */
static void lm_come_back(struct lm_vcpu *vcpu)
{
	vcpu->mem.need_tables = true;
}

/* A fault while reading the instruction itself. */
static int lm_fetch_fault(struct lm_vcpu *vcpu)
{
	lm_inject_pf(vcpu, vcpu->x86.fault_addr, vcpu->x86.fault_error);
	return LM_AGAIN;
}

/*
 * Bytes at RIP into vcpu->exit, up to 15.  LM_DONE; LM_NEED; LM_FAULT or LM_USER
 * if something is in the way after those (at least one) that are there; LM_AGAIN
 * if a fault was queued, since there are none.
 */
static int lm_insn_fetch(struct lm_vcpu *vcpu)
{
	struct lm_exit *e = &vcpu->exit;
	unsigned int got;
	int r;

	lm_need_state(vcpu, LM_S_RIP | LM_S_CS | LM_S_EFER);
	r = lm_fetch(vcpu, lm_st_code(&vcpu->st), e->bytes, LM_INSN_MAX, &got);
	if (r == LM_AGAIN) {
		lm_come_back(vcpu);
		r = LM_NEED;
	}
	if (r == LM_NEED)
		return r;
	if (!got)
		return r == LM_FAULT ? lm_fetch_fault(vcpu) :
		       lm_user_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
	e->nr_bytes = got;
	return r;
}

/* The long way to lm_insn_at_rip(); the bytes may be there already. */
static noinline int lm_insn_new(struct lm_vcpu *vcpu, const struct lm_insn **insn)
{
	unsigned int mode = lm_insn_mode(vcpu);
	struct lm_exit *e = &vcpu->exit;
	bool fetched = !e->nr_bytes;
	int r = LM_DONE;

	if (fetched) {
		r = lm_insn_fetch(vcpu);
		if (r == LM_NEED || !e->nr_bytes)
			return r;
	}
	switch (lm_insn_keep(vcpu, mode, insn)) {
	case LM_INSN_OK:
		return LM_DONE;
	case LM_INSN_MORE:
		if (r == LM_FAULT)
			return lm_fetch_fault(vcpu);
		/* The CPU may hand over too few, at the end of a page: read them ourselves. */
		if (!fetched) {
			e->nr_bytes = 0;
			return lm_insn_new(vcpu, insn);
		}
		fallthrough;
	case LM_INSN_UNKNOWN:
		return lm_user_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
	case LM_INSN_TOO_LONG:
		lm_inject_gp(vcpu, 0);
		return LM_AGAIN;
	default:
		lm_inject_ud(vcpu);
		return LM_AGAIN;
	}
}

/**
 * lm_insn_at_rip - fetch and decode the instruction that exited
 * @vcpu: in its section
 * @insn: the result; valid until the next call
 *
 * Return: LM_DONE; LM_NEED; LM_USER for an instruction that is not known
 * (vcpu->run is filled); LM_AGAIN if an exception was queued instead
 */
int lm_insn_at_rip(struct lm_vcpu *vcpu, const struct lm_insn **insn)
{
	*insn = lm_insn_quick(vcpu);
	return likely(*insn) ? LM_DONE : lm_insn_new(vcpu, insn);
}

/* The long way to lm_insn_len(). */
noinline int lm_insn_len_new(struct lm_vcpu *vcpu)
{
	const struct lm_insn *insn;
	int r = lm_insn_new(vcpu, &insn);

	return r ? -r : insn->len;
}

/* The rare parts of lm_advance(). */
void lm_advance_slow(struct lm_vcpu *vcpu, u64 was)
{
	struct lm_state *st = &vcpu->st;

	/* Outside 64-bit mode RIP has 32 bits; a wrap shows in the carry alone. */
	if (((st->rip ^ was) >> 32) && !lm_is_64(vcpu))
		st->rip = (u32)st->rip;
	if (st->shadow) {
		st->shadow = LM_SHADOW_NONE;
		lm_mark_state(vcpu, LM_S_SHADOW);
	}
	/* A step of user space's takes the place of the guest's own. */
	if ((st->rflags & X86_EFLAGS_TF) && !(vcpu->dbg.control & KVM_GUESTDBG_SINGLESTEP))
		lm_queue_exception(vcpu, 1, false, 0, DR_STEP);
	if (st->rflags & X86_EFLAGS_RF)
		lm_set_rflags(vcpu, st->rflags & ~X86_EFLAGS_RF);
}

/**
 * lm_skip_insn - RIP past the instruction that exited
 * @vcpu: in its section
 *
 * Call it before anything is changed: it may answer LM_NEED where the
 * instruction's bytes must be read for its length.
 *
 * Return: LM_DONE, LM_NEED, LM_USER, LM_AGAIN
 */
int lm_skip_insn(struct lm_vcpu *vcpu)
{
	int len = lm_insn_len(vcpu);

	if (unlikely(len <= 0))
		return -len;
	lm_advance(vcpu, len);
	return LM_DONE;
}

/* ---- the executor's view of the vCPU ---- */

/* LM_X_OK … from a walk or an access. */
static int lm_x_result(struct lm_exec_ctx *ctx, int r, u64 linear, u32 error)
{
	switch (r) {
	case LM_DONE:
		return LM_X_OK;
	case LM_NEED:
		return LM_X_NEED;
	case LM_FAULT:
		ctx->exc.vector = 14;
		ctx->exc.has_error = true;
		ctx->exc.error = error;
		ctx->exc.cr2 = linear;
		return LM_X_FAULT;
	case LM_USER:
		return LM_X_USER;
	case LM_AGAIN:
		lm_come_back(ctx->vcpu);
		return LM_X_NEED;
	default:
		return LM_X_UNKNOWN;
	}
}

static u32 lm_x_access(struct lm_vcpu *vcpu, const struct lm_exec_ctx *ctx, unsigned int flags,
		       bool write)
{
	u32 access = write || (flags & LM_XF_WRITE) ? LM_ACC_WRITE : 0;

	if (ctx->cpl == 3 && !(flags & LM_XF_SYS))
		access |= LM_ACC_USER;
	return access;
}

/* One piece within a page, memory or device. */
static int lm_x_piece(struct lm_vcpu *vcpu, u64 gpa, void *buf, unsigned int bytes,
		      bool write, unsigned int flags)
{
	int r;

	/* lm_mem_fault() has just found no memory there, or for a write none to be written. */
	if (vcpu->exit.single && gpa == vcpu->exit.npf.gpa && (write || !vcpu->exit.npf.write))
		return write && (flags & LM_XF_PROBE) ? LM_DONE :
		       lm_io_single(vcpu, gpa, buf, bytes, write);
	if (write && (flags & LM_XF_PROBE)) {
		if (!lm_gpa_is_ram(vcpu, gpa, true))	/* a device takes any write */
			return flags & LM_XF_RAM ? -EIO : LM_DONE;
		return lm_gpa_probe_write(vcpu, gpa, bytes);
	}
	r = write ? lm_gpa_write(vcpu, gpa, buf, bytes) : lm_gpa_read(vcpu, gpa, buf, bytes);
	if (r != LM_USER)
		return r;
	return lm_io_access(vcpu, gpa, buf, bytes, write, false);
}

/*
 * The CPU has walked the guest's table for the access that exited: with a single
 * memory operand it is this one, if it lies at the same place in its page.  For a read
 * it asked for no right to write, and another vCPU may have changed the instruction since.
 */
static u64 lm_x_known_gpa(struct lm_vcpu *vcpu, u64 la, bool write)
{
	const struct lm_exit *e = &vcpu->exit;

	return e->single && offset_in_page(la ^ e->npf.gpa) == 0 && (!write || e->npf.write) ?
	       e->npf.gpa : 0;
}

static int lm_x_linear(struct lm_exec_ctx *ctx, u64 la, void *buf, unsigned int bytes,
		       bool write, unsigned int flags)
{
	struct lm_vcpu *vcpu = ctx->vcpu;
	u32 access = lm_x_access(vcpu, ctx, flags, write);
	unsigned int first = min_t(unsigned int, bytes, PAGE_SIZE - offset_in_page(la));
	u64 gpa = lm_x_known_gpa(vcpu, la, access & LM_ACC_WRITE), gpa2 = 0;
	u32 error;
	int r;

	if (!gpa) {
		r = lm_walk(vcpu, la, access, &gpa, &error);
		if (r)
			return lm_x_result(ctx, r, la, error);
	}
	if (unlikely(first < bytes)) {
		vcpu->exit.single = false;	/* two pieces, two accesses */
		r = lm_walk(vcpu, la + first, access, &gpa2, &error);
		if (r)
			return lm_x_result(ctx, r, la + first, error);
		/* All or nothing: is the second page writable, before the first is written? */
		if (write && lm_gpa_is_ram(vcpu, gpa2, true)) {
			r = lm_gpa_probe_write(vcpu, gpa2, bytes - first);
			if (r)
				return lm_x_result(ctx, r, la, 0);
		}
	}
	if (likely(first == bytes))
		return lm_x_result(ctx, lm_x_piece(vcpu, gpa, buf, bytes, write, flags), la, 0);
	/* The half that is a device goes first: memory is written only when it has answered. */
	if (write && lm_gpa_is_ram(vcpu, gpa, true) && !lm_gpa_is_ram(vcpu, gpa2, true)) {
		r = lm_x_piece(vcpu, gpa2, buf ? buf + first : NULL, bytes - first, write, flags);
		if (!r)
			r = lm_x_piece(vcpu, gpa, buf, first, write, flags);
		return lm_x_result(ctx, r, la, 0);
	}
	r = lm_x_piece(vcpu, gpa, buf, first, write, flags);
	if (!r)
		r = lm_x_piece(vcpu, gpa2, buf ? buf + first : NULL, bytes - first, write, flags);
	return lm_x_result(ctx, r, la, 0);
}

static int lm_x_read(struct lm_exec_ctx *ctx, u64 la, void *buf, unsigned int bytes,
		     unsigned int flags)
{
	return lm_x_linear(ctx, la, buf, bytes, false, flags);
}

static int lm_x_write(struct lm_exec_ctx *ctx, u64 la, const void *buf, unsigned int bytes,
		      unsigned int flags)
{
	return lm_x_linear(ctx, la, (void *)buf, bytes, true, flags);
}

static int lm_x_cmpxchg(struct lm_exec_ctx *ctx, u64 la, void *old, const void *new,
			unsigned int bytes)
{
	struct lm_vcpu *vcpu = ctx->vcpu;
	u64 gpa, found = 0, want = 0;
	u32 error;
	int r;

	if (bytes > 8 || (la & (bytes - 1)))
		return lm_x_write(ctx, la, new, bytes, 0);
	r = lm_walk(vcpu, la, lm_x_access(vcpu, ctx, 0, true), &gpa, &error);
	if (r)
		return lm_x_result(ctx, r, la, error);
	memcpy(&found, old, bytes);
	memcpy(&want, new, bytes);
	r = lm_gpa_cmpxchg(vcpu, gpa, &found, want, bytes);
	if (r == LM_USER)	/* a device knows no atomic access */
		return lm_x_write(ctx, la, new, bytes, 0);
	if (r == LM_AGAIN) {
		memcpy(old, &found, bytes);
		return LM_X_OK;
	}
	return lm_x_result(ctx, r, la, 0);
}

static int lm_x_port(struct lm_exec_ctx *ctx, u16 port, void *buf, unsigned int bytes,
		     unsigned int count, bool write)
{
	unsigned int i;
	int r;

	for (i = 0; i < count; i++, buf += bytes) {
		r = lm_io_access(ctx->vcpu, port, buf, bytes, write, true);
		if (r)
			return lm_x_result(ctx, r, 0, 0);
	}
	return LM_X_OK;
}

/* Only a port of user space's gives several at a time. */
static int lm_x_in(struct lm_exec_ctx *ctx, u16 port, void *buf, unsigned int bytes,
		   unsigned int count)
{
	int r = lm_io_batch(ctx->vcpu, port, buf, bytes, &count);

	ctx->got = count;
	return lm_x_result(ctx, r, 0, 0);
}

static int lm_x_out(struct lm_exec_ctx *ctx, u16 port, const void *buf, unsigned int bytes,
		    unsigned int count)
{
	return lm_x_port(ctx, port, (void *)buf, bytes, count, true);
}

static void lm_x_seg(struct lm_exec_ctx *ctx, unsigned int seg, struct lm_exec_seg *out)
{
	const struct lm_seg *s = lm_seg(ctx->vcpu, seg);

	out->base = s->base;
	out->limit = s->limit;
	out->sel = s->sel;
	out->attr = s->attr;
}

static u64 lm_x_cr(struct lm_exec_ctx *ctx, unsigned int nr)
{
	struct lm_vcpu *vcpu = ctx->vcpu;

	if (nr == LM_CR_XCR0)
		return vcpu->x86.xcr0;
	return nr == 4 ? lm_cr4(vcpu) : lm_cr0(vcpu);
}

static int lm_x_vec_read(struct lm_exec_ctx *ctx, unsigned int reg, void *buf, unsigned int bytes)
{
	if (bytes > 16)
		return LM_X_UNKNOWN;
	lm_xmm_read(ctx->vcpu, reg, buf);
	return LM_X_OK;
}

static int lm_x_vec_write(struct lm_exec_ctx *ctx, unsigned int reg, const void *buf,
			  unsigned int bytes, bool zero)
{
	/* What is above bit 127 goes only with VEX forms, which are 32 bytes wide or zero the rest. */
	if (bytes > 16 || zero)
		return LM_X_UNKNOWN;
	lm_xmm_write(ctx->vcpu, reg, buf);
	return LM_X_OK;
}

static const struct lm_exec_ops lm_exec_ops = {
	.read = lm_x_read,
	.write = lm_x_write,
	.cmpxchg = lm_x_cmpxchg,
	.in = lm_x_in,
	.out = lm_x_out,
	.seg = lm_x_seg,
	.cr = lm_x_cr,
	.vec_read = lm_x_vec_read,
	.vec_write = lm_x_vec_write,
};

/* Touches no memory but its one operand: no stack, no table, no second address. */
static bool lm_op_single(u8 id)
{
	return (id >= LM_OP_ADD && id <= LM_OP_CMP) || (id >= LM_OP_TEST && id <= LM_OP_IMUL3) ||
	       (id >= LM_OP_MOV && id <= LM_OP_MOVNTI) || (id >= LM_OP_BT && id <= LM_OP_BTC) ||
	       id == LM_OP_XCHG || id == LM_OP_XADD || id == LM_OP_CMPXCHG;
}

/* Registers, RIP and flags as the executor left them. */
static void lm_emulate_commit(struct lm_vcpu *vcpu, const struct lm_exec_ctx *ctx, u64 rsp)
{
	struct lm_state *st = &vcpu->st;

	lm_set_rip(vcpu, ctx->rip);
	if (unlikely(st->rflags != ctx->rflags))
		lm_set_rflags(vcpu, ctx->rflags);
	if (unlikely(st->gpr[LM_RSP] != rsp))
		lm_mark_state(vcpu, LM_S_RSP);
	if (unlikely(st->shadow != ctx->shadow)) {
		st->shadow = ctx->shadow;
		lm_mark_state(vcpu, LM_S_SHADOW);
	}
	if (unlikely(ctx->trap && !(vcpu->dbg.control & KVM_GUESTDBG_SINGLESTEP)))
		lm_queue_exception(vcpu, 1, false, 0, DR_STEP);
}

/*
 * MOV between a device and a register or immediate, nearly all that a device sees.
 * The CPU has made every check of the access before the nested fault but for
 * alignment (#AC), which may come after.  What is left is to make sure that the
 * fault was not met in the second page of the access, which begins at offset 0.
 *
 * Return: LM_DONE, LM_USER, LM_NEED; -1: nothing was done, the executor must look
 */
static __always_inline int lm_emulate_mov(struct lm_vcpu *vcpu, const struct lm_insn *insn)
{
	bool write = insn->src != LM_O_RM && insn->src != LM_O_MOFFS;
	struct lm_exit *e = &vcpu->exit;
	unsigned int bytes = insn->op_bytes;
	unsigned int off = offset_in_page(e->npf.gpa);
	int r;

	if (unlikely(vcpu->io.nr || write != e->npf.write || off + bytes > PAGE_SIZE ||
		     (vcpu->st.rflags & X86_EFLAGS_AC) || vcpu->report_tpr))
		return -1;
	if (!off) {
		const struct lm_exec_ctx ctx = { .gpr = vcpu->st.gpr, .rip = vcpu->st.rip };
		u64 la = lm_insn_ea(&ctx, insn);

		if (insn->mode != LM_MODE_64 || insn->seg >= LM_SEG_FS)
			la += lm_seg(vcpu, insn->seg)->base;
		if (offset_in_page(la))
			return -1;
	}
	if (write) {
		e->data = lm_exec_mov_source(vcpu->st.gpr, insn);
		r = lm_io_store(vcpu, e->npf.gpa, &e->data, bytes);
		if (e->maybe_len && r == LM_DONE)
			lm_doorbell_learn(vcpu, insn->len);
		lm_advance(vcpu, insn->len);
		return r;
	}
	if (unlikely(insn->reg == LM_RSP))
		return -1;
	e->data = 0;
	r = lm_io_single(vcpu, e->npf.gpa, &e->data, bytes, false);
	if (unlikely(r))
		return r;
	lm_exec_mov_result(vcpu->st.gpr, insn, e->data);
	lm_advance(vcpu, insn->len);
	return LM_DONE;
}

/*
 * Which ports the guest may use the CPU has checked, but only for the exit's: an
 * instruction that is another by now goes back to the CPU.
 */
static bool lm_port_unchecked(const struct lm_vcpu *vcpu, const struct lm_insn *insn)
{
	const struct lm_exit *e = &vcpu->exit;

	if (insn->id != LM_OP_IN && insn->id != LM_OP_OUT && insn->id != LM_OP_INS &&
	    insn->id != LM_OP_OUTS)
		return false;
	return e->kind != LM_EXIT_IO || !e->io.string || (u16)vcpu->st.gpr[LM_RDX] != e->io.port ||
	       insn->op_bytes != e->io.size;
}

static noinline int lm_emulate_any(struct lm_vcpu *vcpu, const struct lm_insn *insn)
{
	struct lm_exec_ctx ctx = {
		.vcpu = vcpu,
		.ops = &lm_exec_ops,
		.gpr = vcpu->st.gpr,
	};
	struct lm_exit *e = &vcpu->exit;
	u64 rsp;
	int r;

	if (unlikely(lm_port_unchecked(vcpu, insn)))
		return LM_DONE;
	e->single = e->kind == LM_EXIT_NPF && !e->npf.table && (insn->flags & LM_INSN_MEM) &&
		    lm_op_single(insn->id);
	lm_need_state(vcpu, LM_S_RIP | LM_S_RSP | LM_S_RFLAGS | LM_S_SHADOW);
	ctx.rip = vcpu->st.rip;
	ctx.rflags = vcpu->st.rflags;
	ctx.cpl = lm_cpl(vcpu);
	ctx.va_bits = lm_cr4(vcpu) & X86_CR4_LA57 ? 57 : 48;
	if (insn->id == LM_OP_INS &&
	    (vcpu->io.nr || !(vcpu->dbg.control & KVM_GUESTDBG_SINGLESTEP))) {
		ctx.bounce = vcpu->pio_data;
		ctx.bounce_len = LM_PIO_BATCH;
		/* The answer is to so many, whatever user space has made of RCX. */
		ctx.batch = vcpu->io.nr ? vcpu->io.frag[0].count : LM_PIO_BATCH;
	}
	rsp = vcpu->st.gpr[LM_RSP];
	vcpu->io.cursor = 0;
	e->to_user = false;

	r = lm_exec(&ctx, insn);
	switch (r) {
	case LM_X_OK:
		vcpu->io.nr = 0;
		lm_emulate_commit(vcpu, &ctx, rsp);
		return e->to_user ? LM_USER : LM_DONE;
	case LM_X_FAULT:
		vcpu->io.nr = 0;
		lm_queue_exception(vcpu, ctx.exc.vector, ctx.exc.has_error, ctx.exc.error,
				   ctx.exc.cr2);
		return LM_DONE;
	case LM_X_NEED:
		return LM_NEED;
	case LM_X_USER:
		return LM_USER;
	default:
		vcpu->io.nr = 0;
		return lm_user_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
	}
}

/* The long way to lm_emulate(). */
static noinline int lm_emulate_new(struct lm_vcpu *vcpu)
{
	const struct lm_insn *insn;
	int r = lm_insn_new(vcpu, &insn);

	if (unlikely(r))
		return r == LM_AGAIN ? LM_DONE : r;
	return lm_emulate_any(vcpu, insn);
}

/**
 * lm_emulate - execute the instruction at RIP in software
 * @vcpu: in its section
 *
 * Return: LM_DONE, also if it raised an exception; LM_NEED; LM_USER
 */
int lm_emulate(struct lm_vcpu *vcpu)
{
	const struct lm_insn *insn = lm_insn_quick(vcpu);
	const struct lm_exit *e = &vcpu->exit;
	int r;

	if (unlikely(!insn))
		return lm_emulate_new(vcpu);
	if (likely(e->kind == LM_EXIT_NPF && insn->id == LM_OP_MOV && (insn->flags & LM_INSN_MEM))) {
		r = lm_emulate_mov(vcpu, insn);
		if (likely(r != -1))
			return r;
	}
	return lm_emulate_any(vcpu, insn);
}
