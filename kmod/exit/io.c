// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports and device memory: the devices in the module first, then user space.
 *
 * An instruction that needs user space is executed again from its start after
 * each answer.  What was answered so far is kept in vcpu->io in the order of the
 * accesses and replayed, so that a device sees each access exactly once.
 */
#include "../backend.h"
#include "../irq/chips.h"
#include "../monitor/trace.h"
#include "exit.h"

static __always_inline void lm_pio_to_user(struct lm_vcpu *vcpu, u16 port, u32 val,
					   unsigned int bytes, bool write)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.size = bytes;
	run->io.port = port;
	run->io.count = 1;
	run->io.data_offset = PAGE_SIZE;
	/* Who takes fewer bytes finds them first. */
	if (write)
		*(u32 *)vcpu->pio_data = val;
}

static __always_inline void lm_mmio_to_user(struct lm_vcpu *vcpu, u64 addr, const void *buf,
					    unsigned int bytes, bool write)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = addr;
	run->mmio.len = bytes;
	run->mmio.is_write = write;
	put_unaligned(write ? lm_load(buf, bytes) : 0, (u64 *)run->mmio.data);
}

/* Note an access; user space answers it if @pending. */
static void lm_io_note(struct lm_vcpu *vcpu, u64 addr, unsigned int bytes, bool write, bool port,
		       bool pending)
{
	struct lm_io *io = &vcpu->io;

	io->frag[io->nr].addr = addr;
	io->frag[io->nr].bytes = bytes;
	io->frag[io->nr].write = write;
	io->frag[io->nr].port = port;
	io->frag[io->nr].count = 1;
	io->nr++;
	io->cursor = io->nr;
	io->pending = pending;
}

/* Up to 8 bytes, as KVM_EXIT_MMIO carries them. */
static int lm_io_one(struct lm_vcpu *vcpu, u64 addr, void *buf, unsigned int bytes,
		     bool write, bool port)
{
	struct lm_io *io = &vcpu->io;
	u32 val = 0;
	int r;

	if (io->cursor < io->nr) {
		/* Answered before: the instruction asks again in the same order. */
		if (!write)
			memcpy(buf, io->frag[io->cursor].data, bytes);
		io->cursor++;
		return LM_DONE;
	}
	if (io->nr == ARRAY_SIZE(io->frag))
		return -EIO;
	if (port && write) {
		memcpy(&val, buf, bytes);
		r = lm_pio_out(vcpu, addr, bytes, val);
	} else if (port) {
		r = lm_pio_in(vcpu, addr, bytes, &val);
		if (r == LM_DONE)
			memcpy(buf, &val, bytes);
	} else {
		r = lm_mmio_dev(vcpu, addr, bytes, write, buf);
	}
	if (r != LM_USER && r != LM_DONE)
		return r;
	if (!write && r == LM_DONE)
		memcpy(io->frag[io->nr].data, buf, bytes);
	lm_io_note(vcpu, addr, bytes, write, port, r == LM_USER);
	if (r == LM_DONE)
		return r;
	if (port)
		lm_pio_to_user(vcpu, addr, val, bytes, write);
	else
		lm_mmio_to_user(vcpu, addr, buf, bytes, write);
	return LM_USER;
}

/**
 * lm_io_access - one access of the executor to a port or a device
 * @vcpu: in its section
 * @addr: port or guest physical address
 * @buf: data
 * @bytes: 1 to 32
 * @write: direction
 * @port: a port rather than memory
 *
 * Return: LM_DONE, LM_USER, LM_NEED
 */
int lm_io_access(struct lm_vcpu *vcpu, u64 addr, void *buf, unsigned int bytes,
		 bool write, bool port)
{
	unsigned int n;
	int r;

	for (; bytes; bytes -= n, buf += n, addr += n) {
		n = min(bytes, 8u);
		if (n & (n - 1))	/* the piece of a page crossing: 1, 2, 4 */
			n = rounddown_pow_of_two(n);
		r = lm_io_one(vcpu, addr, buf, n, write, port);
		if (r)
			return r;
	}
	return LM_DONE;
}

/**
 * lm_io_batch - elements of a string input
 * @vcpu: in its section
 * @port: port
 * @buf: for @count elements; with more than one it is the page shared with user space
 * @bytes: 1, 2 or 4
 * @count: in: how many are wanted; out: how many there are
 *
 * Return: LM_DONE, LM_USER, LM_NEED
 */
int lm_io_batch(struct lm_vcpu *vcpu, u16 port, void *buf, unsigned int bytes,
		unsigned int *count)
{
	struct lm_io *io = &vcpu->io;
	unsigned int wanted = *count;
	int r;

	if (wanted > 1 && io->nr && io->frag[0].count >= wanted)
		return LM_DONE;		/* the answer is in the page */
	*count = 1;
	r = lm_io_one(vcpu, port, buf, bytes, false, true);
	if (r != LM_USER || wanted == 1)
		return r;
	io->frag[io->nr - 1].count = wanted;
	vcpu->run->io.count = wanted;
	return r;
}

/**
 * lm_io_store - the write of an instruction that does nothing else
 * @vcpu: in its section
 * @gpa: guest physical address
 * @buf: data
 * @bytes: 1, 2, 4 or 8
 *
 * Return: LM_DONE; LM_USER: the instruction is done, and user space has its write
 */
int lm_io_store(struct lm_vcpu *vcpu, u64 gpa, void *buf, unsigned int bytes)
{
	if (lm_mmio_dev(vcpu, gpa, bytes, true, buf) == LM_DONE)
		return LM_DONE;
	lm_mmio_to_user(vcpu, gpa, buf, bytes, true);
	return LM_USER;
}

/**
 * lm_io_single - the access of an instruction that has one memory operand
 * @vcpu: in its section
 * @gpa: guest physical address
 * @buf: data
 * @bytes: 1 to 32
 * @write: direction
 *
 * A device in the module answers at once, so there is nothing to remember; and a
 * write is the last that such an instruction does, so it need not run again
 * after user space took it.
 *
 * Return: LM_DONE, LM_USER, LM_NEED
 */
int lm_io_single(struct lm_vcpu *vcpu, u64 gpa, void *buf, unsigned int bytes, bool write)
{
	int r;

	if (unlikely(vcpu->io.nr || bytes > 8 || (bytes & (bytes - 1))))
		return lm_io_access(vcpu, gpa, buf, bytes, write, false);
	if (write) {
		if (lm_io_store(vcpu, gpa, buf, bytes) == LM_USER)
			vcpu->exit.to_user = true;
		return LM_DONE;
	}
	r = lm_mmio_dev(vcpu, gpa, bytes, false, buf);
	if (r != LM_USER)
		return r;
	lm_mmio_to_user(vcpu, gpa, buf, bytes, false);
	lm_io_note(vcpu, gpa, bytes, false, false, true);
	return LM_USER;
}

/* IN and OUT of one register, the form that needs no executor. */
static noinline int lm_pio_in_reg(struct lm_vcpu *vcpu)
{
	struct lm_exit *e = &vcpu->exit;
	u32 val;

	if (unlikely(vcpu->io.nr)) {	/* user space has answered */
		memcpy(&val, vcpu->io.frag[0].data, 4);
		vcpu->io.nr = 0;
	} else if (lm_pio_in(vcpu, e->io.port, e->io.size, &val) == LM_USER) {
		lm_pio_to_user(vcpu, e->io.port, 0, e->io.size, false);
		lm_io_note(vcpu, e->io.port, e->io.size, false, true, true);
		return LM_USER;
	}
	lm_advance(vcpu, e->insn_len);
	lm_pio_set(vcpu, val, e->io.size);
	return LM_DONE;
}

static __always_inline int lm_pio_out_reg(struct lm_vcpu *vcpu)
{
	struct lm_exit *e = &vcpu->exit;
	int r = lm_pio_out(vcpu, e->io.port, e->io.size, vcpu->st.gpr[LM_RAX]);

	lm_advance(vcpu, e->insn_len);
	if (r == LM_USER)
		lm_pio_to_user(vcpu, e->io.port, vcpu->st.gpr[LM_RAX], e->io.size, true);
	return r;
}

/* A 32-bit result clears the upper half of RAX, narrower ones keep the rest. */
void lm_pio_set(struct lm_vcpu *vcpu, u32 val, unsigned int bytes)
{
	u64 *rax = &vcpu->st.gpr[LM_RAX];

	if (bytes == 4)
		*rax = val;
	else
		memcpy(rax, &val, bytes);
}

int lm_exit_pio(struct lm_vcpu *vcpu)
{
	if (unlikely(vcpu->exit.io.string))
		return lm_emulate(vcpu);
	return vcpu->exit.io.in ? lm_pio_in_reg(vcpu) : lm_pio_out_reg(vcpu);
}

int lm_exit_npf_any(struct lm_vcpu *vcpu)
{
	struct lm_exit *e = &vcpu->exit;
	int r;

	r = e->npf.apic ? LM_FAULT_MMIO :
	    lm_mem_fault(vcpu, e->npf.gpa, e->npf.write, e->npf.exec);
	trace_lm_npf(vcpu, r);
	if (r != LM_FAULT_MMIO)
		return r;
	if (unlikely(test_bit(LM_REQ_VAPIC, &vcpu->requests))) {
		r = lm_vapic_sync(vcpu);
		if (r)
			return r;
	}
	/* Code in a device, or the guest's page table in one: no memory to go on from. */
	if (unlikely(e->npf.exec || e->npf.table))
		return lm_user_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
	/* Nor is the instruction at RIP to blame for a stack or an IDT without memory. */
	if (unlikely(e->npf.delivery))
		return lm_user_error(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV);
	return lm_emulate(vcpu);
}

/**
 * lm_io_answered - take user space's answer to the access in progress
 * @vcpu: its mutex held, outside the section
 *
 * Return: true: the handler of vcpu->exit must run again
 */
bool lm_io_answered(struct lm_vcpu *vcpu)
{
	struct lm_io *io = &vcpu->io;

	io->pending = false;
	if (WARN_ON_ONCE(!io->nr))
		return false;
	if (io->msr) {
		io->error = READ_ONCE(vcpu->run->msr.error);
		memcpy(io->frag[0].data, &vcpu->run->msr.data, sizeof(u64));
		return true;
	}
	if (!io->frag[io->nr - 1].write) {
		if (io->frag[io->nr - 1].port)
			memcpy(io->frag[io->nr - 1].data, vcpu->pio_data, 4);
		else
			memcpy(io->frag[io->nr - 1].data, vcpu->run->mmio.data, 8);
	}
	return true;
}
