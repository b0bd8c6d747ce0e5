// SPDX-License-Identifier: GPL-2.0-only
/*
 * One neutral exit, one handler: the dispatch, and the handlers that are a few
 * lines long.
 */
#include <asm/processor-flags.h>

#include "../backend.h"
#include "exit.h"

/**
 * lm_user_error - end KVM_RUN with KVM_EXIT_INTERNAL_ERROR
 * @vcpu: the vCPU
 * @suberror: KVM_INTERNAL_ERROR_*
 *
 * The instruction bytes, if they are known, go with it as the API says.
 */
int lm_user_error(struct lm_vcpu *vcpu, u32 suberror)
{
	struct kvm_run *run = vcpu->run;

	if (lm_debug_dump)
		lm_backend->dump(vcpu);
	memset(&run->emulation_failure, 0, sizeof(run->emulation_failure));
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = suberror;
	if (suberror != KVM_INTERNAL_ERROR_EMULATION) {
		run->internal.ndata = 2;
		run->internal.data[0] = vcpu->exit.code;
		run->internal.data[1] = vcpu->exit.kind == LM_EXIT_NPF ? vcpu->exit.npf.gpa : 0;
		return LM_USER;
	}
	/* Three words of flags, size and bytes, then the exit code. */
	run->emulation_failure.ndata = 4;
	if (vcpu->exit.nr_bytes) {
		run->emulation_failure.flags =
			KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = vcpu->exit.nr_bytes;
		memcpy(run->emulation_failure.insn_bytes, vcpu->exit.bytes,
		       vcpu->exit.nr_bytes);
	}
	return LM_USER;
}

static noinline int lm_exit_intr(struct lm_vcpu *vcpu)
{
	lm_section_window(vcpu);
	return LM_DONE;
}

static noinline int lm_exit_cpuid(struct lm_vcpu *vcpu)
{
	int r = lm_skip_insn(vcpu);

	if (unlikely(r))
		return r;
	lm_cpuid_exec(vcpu);
	return LM_DONE;
}

static noinline int lm_exit_hlt(struct lm_vcpu *vcpu)
{
	int r = lm_skip_insn(vcpu);

	if (r != LM_DONE)
		return r;
	if (vcpu->lapic)
		return LM_HALT;
	vcpu->run->exit_reason = KVM_EXIT_HLT;
	return LM_USER;
}

static int lm_exit_window(struct lm_vcpu *vcpu)
{
	vcpu->want_irq_window = false;
	vcpu->entry_work = true;
	set_bit(LM_REQ_EVENT, &vcpu->requests);
	if (!lm_events_user_window(vcpu) || !lm_events_irq_ready(vcpu))
		return LM_DONE;
	vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
	return LM_USER;
}

static int lm_exit_nmi_window(struct lm_vcpu *vcpu)
{
	set_bit(LM_REQ_EVENT, &vcpu->requests);
	return LM_DONE;
}

static int lm_exit_xsetbv(struct lm_vcpu *vcpu)
{
	u64 val = (u32)vcpu->st.gpr[LM_RAX] | vcpu->st.gpr[LM_RDX] << 32;
	int r;

	/* The CPU checks OSXSAVE and CPL before the intercept (APM vol. 2, table 15-7). */
	if (lm_cpl(vcpu) || lm_write_xcr0(vcpu, vcpu->st.gpr[LM_RCX], val)) {
		lm_inject_gp(vcpu, 0);
		return LM_DONE;
	}
	r = lm_skip_insn(vcpu);
	return r;
}

/* INVD would drop what others wrote; memory is coherent, so both do nothing. */
static int lm_exit_skip(struct lm_vcpu *vcpu)
{
	return lm_skip_insn(vcpu);
}

/* It waits for another vCPU, perhaps for one that waits for this CPU. */
static int lm_exit_pause(struct lm_vcpu *vcpu)
{
	int r = lm_skip_insn(vcpu);

	if (r == LM_DONE)
		lm_section_window(vcpu);
	return r;
}

/* MONITOR and MWAIT do nothing, whatever CPUID says, unless that quirk is turned off. */
static int lm_exit_mwait(struct lm_vcpu *vcpu)
{
	u64 off = READ_ONCE(vcpu->vm->x86.disabled_quirks);
	bool known = vcpu->x86.told_mwait;

	if (off & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT)
		known = vcpu->x86.misc_enable & MSR_IA32_MISC_ENABLE_MWAIT;
	if ((off & KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS) && !known) {
		lm_inject_ud(vcpu);
		return LM_DONE;
	}
	return lm_exit_skip(vcpu);
}

static int lm_exit_rdpmc(struct lm_vcpu *vcpu)
{
	lm_inject_gp(vcpu, 0);	/* no performance counter is offered */
	return LM_DONE;
}

static int lm_exit_ud(struct lm_vcpu *vcpu)
{
	lm_inject_ud(vcpu);
	return LM_DONE;
}

static int lm_exit_eoi(struct lm_vcpu *vcpu)
{
	lm_lapic_eoi_done(vcpu, vcpu->exit.vector);
	return LM_DONE;
}

static int lm_exit_apic_write(struct lm_vcpu *vcpu)
{
	lm_lapic_written(vcpu, vcpu->exit.apic_reg);
	return LM_DONE;
}

static int lm_exit_timer(struct lm_vcpu *vcpu)
{
	lm_lapic_timer_exit(vcpu);
	return LM_DONE;
}

static int lm_exit_dirty(struct lm_vcpu *vcpu)
{
	lm_backend->dirty(vcpu);
	return LM_DONE;
}

static int lm_exit_shutdown(struct lm_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	if (lm_debug_dump)
		lm_backend->dump(vcpu);
	return LM_USER;
}

static int lm_exit_fail_entry(struct lm_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	vcpu->run->fail_entry.hardware_entry_failure_reason = vcpu->exit.reason;
	vcpu->run->fail_entry.cpu = raw_smp_processor_id();
	if (lm_debug_dump)
		lm_backend->dump(vcpu);
	return LM_USER;
}

static int lm_exit_unknown(struct lm_vcpu *vcpu)
{
	return lm_user_error(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON);
}

/* The kinds that are rare. */
static noinline int lm_handle_rare(struct lm_vcpu *vcpu)
{
	switch (vcpu->exit.kind) {
	case LM_EXIT_IRQ_WINDOW:
		return lm_exit_window(vcpu);
	case LM_EXIT_NMI_WINDOW:
		return lm_exit_nmi_window(vcpu);
	case LM_EXIT_DR:
		return lm_exit_dr(vcpu);
	case LM_EXIT_EXCEPTION:
		return lm_exit_exception(vcpu);
	case LM_EXIT_XSETBV:
		return lm_exit_xsetbv(vcpu);
	case LM_EXIT_PAUSE:
		return lm_exit_pause(vcpu);
	case LM_EXIT_INVD:
		return lm_exit_skip(vcpu);
	case LM_EXIT_MWAIT:
		return lm_exit_mwait(vcpu);
	case LM_EXIT_UD:
		return lm_exit_ud(vcpu);
	case LM_EXIT_RDPMC:
		return lm_exit_rdpmc(vcpu);
	case LM_EXIT_EOI:
		return lm_exit_eoi(vcpu);
	case LM_EXIT_APIC_WRITE:
		return lm_exit_apic_write(vcpu);
	case LM_EXIT_TIMER:
		return lm_exit_timer(vcpu);
	case LM_EXIT_DIRTY:
		return lm_exit_dirty(vcpu);
	case LM_EXIT_SHUTDOWN:
		return lm_exit_shutdown(vcpu);
	case LM_EXIT_FAIL_ENTRY:
		return lm_exit_fail_entry(vcpu);
	case LM_EXIT_TASK_SWITCH:
		return lm_exit_task(vcpu);
	default:
		return lm_exit_unknown(vcpu);
	}
}

/**
 * lm_handle_exit - what the exit in vcpu->exit means
 * @vcpu: in its section
 *
 * Return: enum lm_result, or an errno for KVM_RUN
 */
int lm_handle_exit(struct lm_vcpu *vcpu)
{
	switch (vcpu->exit.kind) {
	case LM_EXIT_INTR:
		return lm_exit_intr(vcpu);
	case LM_EXIT_NPF:
		return unlikely(vcpu->exit.maybe_len) ? lm_exit_npf_write(vcpu) :
							lm_exit_npf_any(vcpu);
	case LM_EXIT_IO:
		return lm_exit_pio(vcpu);
	case LM_EXIT_MSR:
		return lm_exit_msr(vcpu);
	case LM_EXIT_CPUID:
		return lm_exit_cpuid(vcpu);
	case LM_EXIT_HLT:
		return lm_exit_hlt(vcpu);
	case LM_EXIT_HYPERCALL:
		return lm_exit_hypercall(vcpu);
	case LM_EXIT_CR:
		return lm_exit_cr(vcpu);
	default:
		return lm_handle_rare(vcpu);
	}
}
