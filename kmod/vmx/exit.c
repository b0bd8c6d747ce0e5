// SPDX-License-Identifier: GPL-2.0-only
/*
 * Enter the guest and translate its exit to the neutral one.
 */
#include <uapi/asm/debugreg.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "../compat.h"
#include "../lamina.h"
#include "../ept/flush.h"
#include "../mitigate.h"
#include "../monitor/trace.h"
#include "../section.h"
#include "debug.h"
#include "vmcs.h"

/* Exits that carry nothing but their kind, and the length of an instruction. */
#define VMX_INSN	0x80

static const u8 vmx_plain[] = {
	[EXIT_REASON_EXTERNAL_INTERRUPT] = LM_EXIT_INTR + 1,
	[EXIT_REASON_TRIPLE_FAULT] = LM_EXIT_SHUTDOWN + 1,
	[EXIT_REASON_INIT_SIGNAL] = LM_EXIT_INTR + 1,
	[EXIT_REASON_INTERRUPT_WINDOW] = LM_EXIT_IRQ_WINDOW + 1,
	[EXIT_REASON_NMI_WINDOW] = LM_EXIT_NMI_WINDOW + 1,
	[EXIT_REASON_CPUID] = (LM_EXIT_CPUID + 1) | VMX_INSN,
	[11 /* GETSEC */] = LM_EXIT_UD + 1,
	[EXIT_REASON_HLT] = (LM_EXIT_HLT + 1) | VMX_INSN,
	[EXIT_REASON_INVD] = (LM_EXIT_INVD + 1) | VMX_INSN,
	[EXIT_REASON_RDPMC] = (LM_EXIT_RDPMC + 1) | VMX_INSN,
	[EXIT_REASON_VMCALL] = (LM_EXIT_HYPERCALL + 1) | VMX_INSN,
	[EXIT_REASON_VMCLEAR ... EXIT_REASON_VMON] = LM_EXIT_UD + 1,
	[EXIT_REASON_MWAIT_INSTRUCTION] = (LM_EXIT_MWAIT + 1) | VMX_INSN,
	[EXIT_REASON_MONITOR_INSTRUCTION] = (LM_EXIT_MWAIT + 1) | VMX_INSN,
	[EXIT_REASON_PAUSE_INSTRUCTION] = (LM_EXIT_PAUSE + 1) | VMX_INSN,
	[EXIT_REASON_TPR_BELOW_THRESHOLD] = LM_EXIT_IRQ_WINDOW + 1,
	[EXIT_REASON_INVEPT] = LM_EXIT_UD + 1,
	[EXIT_REASON_RDTSCP] = LM_EXIT_UD + 1,
	[EXIT_REASON_PREEMPTION_TIMER] = LM_EXIT_TIMER + 1,
	[EXIT_REASON_INVVPID] = LM_EXIT_UD + 1,
	[EXIT_REASON_WBINVD] = (LM_EXIT_INVD + 1) | VMX_INSN,
	[EXIT_REASON_XSETBV] = (LM_EXIT_XSETBV + 1) | VMX_INSN,
	[EXIT_REASON_VMFUNC] = LM_EXIT_UD + 1,
	[EXIT_REASON_ENCLS] = LM_EXIT_UD + 1,
	[EXIT_REASON_XSAVES] = LM_EXIT_UD + 1,
	[EXIT_REASON_XRSTORS] = LM_EXIT_UD + 1,
};

#define INTR_TYPE	0x700u
#define INTR_SOFT_INT	0x400u
#define INTR_ICEBP	0x500u
#define INTR_SOFT_EXC	0x600u
#define UNBLOCK_NMI	BIT(12)		/* an IRET was being executed: NMIs are masked no more */

/* Table 28-7: EPT violations. */
#define EPT_Q_WRITE	BIT(1)
#define EPT_Q_EXEC	BIT(2)
#define EPT_Q_LINEAR	BIT(7)
#define EPT_Q_FINAL	BIT(8)

/* Table 28-5. */
static void vmx_exit_io(struct lm_exit *e)
{
	u64 q = vmx_read(EXIT_QUALIFICATION);

	e->kind = LM_EXIT_IO;
	e->insn_len = vmx_read(VM_EXIT_INSTRUCTION_LEN);
	e->io.port = q >> 16;
	e->io.size = (q & 7) + 1;
	e->io.in = q & BIT(3);
	e->io.string = q & BIT(4);
}

static void vmx_exit_msr(struct lm_exit *e, bool write)
{
	e->kind = LM_EXIT_MSR;
	e->insn_len = vmx_read(VM_EXIT_INSTRUCTION_LEN);
	e->msr.write = write;
}

/* Table 28-3. */
static void vmx_exit_cr(struct lm_exit *e)
{
	u64 q = vmx_read(EXIT_QUALIFICATION);
	unsigned int type = q >> 4 & 3;

	e->kind = LM_EXIT_CR;
	e->insn_len = vmx_read(VM_EXIT_INSTRUCTION_LEN);
	e->cr.known = true;
	e->cr.nr = q & 15;
	e->cr.gpr = q >> 8 & 15;
	e->cr.write = type != 1;
	e->cr.clts = type == 2;
	e->cr.lmsw = type == 3;
	e->cr.source = q >> 16;
}

/* Table 28-2: CALL, IRET, JMP, gate. */
static void vmx_exit_task(struct lm_exit *e, u32 vectoring)
{
	u32 soft = vectoring & (INTR_TYPE | LM_EV_VECTOR);
	u64 q = vmx_read(EXIT_QUALIFICATION);

	e->kind = LM_EXIT_TASK_SWITCH;
	e->task.sel = q;
	e->task.reason = q >> 30 & 3;
	e->task.has_error = vectoring & LM_EV_ERROR;
	e->task.error = e->task.has_error ? vmx_read(IDT_VECTORING_ERROR_CODE) : 0;
	e->task.event = vectoring;
	e->task.soft = !vectoring || (vectoring & INTR_TYPE) >= INTR_SOFT_INT;
	if (e->task.soft)
		e->insn_len = vmx_read(VM_EXIT_INSTRUCTION_LEN);
	/* Delivered by user space: INT3 and INTO have one byte. */
	if (soft == (LM_EV_EXC | X86_TRAP_BP) || soft == (LM_EV_EXC | X86_TRAP_OF)) {
		e->task.soft = true;
		e->insn_len = 1;
	}
}

/* An IRET that faulted had ended the blocking of NMIs; run again, it does so again (28.2.3). */
static void vmx_block_nmi(struct lm_vcpu *vcpu)
{
	vcpu->ev.nmi_masked = true;
	vmx_write(GUEST_INTERRUPTIBILITY_INFO,
		  vmx_read(GUEST_INTERRUPTIBILITY_INFO) | VMX_BLOCK_NMI);
}

/* The same for exits in the middle of an access to memory. */
static __always_inline void vmx_iret_access(struct lm_vcpu *vcpu, u32 vectoring, u64 q)
{
	if (unlikely(vcpu->ev.nmi_masked || atomic_read(&vcpu->ev.nmi_pending)) &&
	    !(vectoring & LM_EV_VALID) && (q & UNBLOCK_NMI))
		vmx_block_nmi(vcpu);
}

static void vmx_exit_exception(struct lm_vcpu *vcpu, u32 info, u32 vectoring)
{
	struct lm_exit *e = &vcpu->exit;

	e->kind = LM_EXIT_EXCEPTION;
	e->exception.vector = info;
	e->exception.has_error = info & LM_EV_ERROR;
	e->exception.error = e->exception.has_error ? vmx_read(VM_EXIT_INTR_ERROR_CODE) : 0;
	e->exception.payload = 0;
	if ((info & UNBLOCK_NMI) && !(vectoring & LM_EV_VALID) && (u8)info != X86_TRAP_DF)
		vmx_block_nmi(vcpu);
	if ((u8)info == X86_TRAP_PF)
		e->exception.payload = vmx_read(EXIT_QUALIFICATION);
	if ((u8)info != X86_TRAP_DB)
		return;
	/* DR6 is as it was: what is new stands here (table 28-1). */
	e->exception.payload = vmx_read(EXIT_QUALIFICATION) &
			       (DR_TRAP_BITS | DR_STEP | DR_SWITCH | BIT(13));
	/* INT1 is a trap, and RIP still is on it. */
	if ((info & INTR_TYPE) == INTR_ICEBP)
		lm_set_rip(vcpu, lm_rip(vcpu) + vmx_read(VM_EXIT_INSTRUCTION_LEN));
}

/*
 * NMIs and machine checks are the host's, and are handed on before anything else.
 * NMIs are blocked by the exit until the handler's IRET.
 */
static bool vmx_exit_host(u32 info)
{
	if ((info & (LM_EV_TYPE | LM_EV_VECTOR)) == (LM_EV_NMI | X86_TRAP_NMI))
		asm volatile("int $2" : : : "memory");
	else if ((u8)info == X86_TRAP_MC)
		lm_machine_check();
	else
		return false;
	return true;
}

/*
 * An event whose delivery the exit interrupted (28.2.4).  INT n, INT3, INTO and INT1
 * are still at RIP and run again.
 */
static noinline u32 vmx_vectored(struct lm_vcpu *vcpu, u32 info)
{
	u64 event = info;

	if ((info & INTR_TYPE) >= INTR_SOFT_INT)
		return info;
	/* Bochs forgets which virtual interrupt it was; it is in service already (30.2.2). */
	if (unlikely(!(info & (LM_EV_TYPE | LM_EV_VECTOR))) &&
	    (vcpu->hw->proc2 & SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY))
		event |= vmx_read(GUEST_INTR_STATUS) >> 8;
	if (info & LM_EV_ERROR)
		event |= vmx_read(IDT_VECTORING_ERROR_CODE) << 32;
	lm_events_exited(vcpu, event, 0);
	return info;
}

static __always_inline u32 vmx_vectoring(struct lm_vcpu *vcpu)
{
	u32 info = vmx_read(IDT_VECTORING_INFO_FIELD);

	return likely(!(info & LM_EV_VALID)) ? 0 : vmx_vectored(vcpu, info);
}

static __always_inline void vmx_exit_npf(struct lm_vcpu *vcpu)
{
	struct lm_exit *e = &vcpu->exit;
	u32 vectoring = vmx_vectoring(vcpu);
	u64 q = vmx_read(EXIT_QUALIFICATION);

	vmx_iret_access(vcpu, vectoring, q);
	e->maybe_len = 0;
	/* Not defined for these exits (28.2.5): see exit/doorbell.c. */
	if ((q & EPT_Q_WRITE) && atomic64_read(&vcpu->vm->irq.any_gen))
		e->maybe_len = vmx_read(VM_EXIT_INSTRUCTION_LEN);
	e->kind = LM_EXIT_NPF;
	e->npf.gpa = vmx_read(GUEST_PHYSICAL_ADDRESS);
	e->npf.write = q & EPT_Q_WRITE;
	e->npf.exec = q & EPT_Q_EXEC;
	e->npf.apic = false;
	e->npf.delivery = vectoring & LM_EV_VALID;
	e->npf.table = (q & (EPT_Q_LINEAR | EPT_Q_FINAL)) == EPT_Q_LINEAR;
}

/* Exits that have more to say than their number. */
static noinline void vmx_translate(struct lm_vcpu *vcpu, u32 reason)
{
	struct lm_exit *e = &vcpu->exit;
	u32 info;

	switch (reason) {
	case EXIT_REASON_PML_FULL:
		info = vmx_vectoring(vcpu);
		vmx_iret_access(vcpu, info, vmx_read(EXIT_QUALIFICATION));
		e->kind = LM_EXIT_DIRTY;
		break;
	case EXIT_REASON_APIC_ACCESS:
		info = vmx_vectoring(vcpu);
		lm_vmx_exit_apic_access(vcpu);
		vcpu->exit.npf.delivery = info & LM_EV_VALID;
		break;
	case EXIT_REASON_APIC_WRITE:
		e->kind = LM_EXIT_APIC_WRITE;
		e->apic_reg = vmx_read(EXIT_QUALIFICATION) & 0xff0;
		break;
	case EXIT_REASON_EOI_INDUCED:
		e->kind = LM_EXIT_EOI;
		e->vector = vmx_read(EXIT_QUALIFICATION);
		break;
	case EXIT_REASON_CR_ACCESS:
		vmx_exit_cr(e);
		break;
	case EXIT_REASON_DR_ACCESS:
		e->kind = LM_EXIT_DR;
		e->cr.known = false;
		break;
	case EXIT_REASON_EXCEPTION_NMI:
		vmx_exit_exception(vcpu, vmx_read(VM_EXIT_INTR_INFO), vmx_vectoring(vcpu));
		break;
	case EXIT_REASON_TASK_SWITCH:
		vmx_exit_task(e, vmx_vectoring(vcpu));
		break;
	default:
		e->kind = LM_EXIT_UNKNOWN;
		e->reason = reason;
		break;
	}
}

/* ---- entry ---- */

/* lm_events_prepare() or the end of a window changed what this entry needs. */
static noinline void vmx_entry_work(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	u32 proc = hw->proc & ~(CPU_BASED_INTR_WINDOW_EXITING | CPU_BASED_NMI_WINDOW_EXITING);
	u32 info, want;

	vcpu->entry_work = false;
	if (vcpu->want_irq_window)
		proc |= CPU_BASED_INTR_WINDOW_EXITING;
	if (vcpu->want_nmi_window)
		proc |= CPU_BASED_NMI_WINDOW_EXITING;
	lm_vmx_set_proc(hw, proc);

	/* The injection of an NMI sets its blocking itself, and must not find it set (27.6.1.2). */
	info = vmx_read(GUEST_INTERRUPTIBILITY_INFO);
	want = info & ~VMX_BLOCK_NMI;
	if (vcpu->ev.nmi_masked && (vcpu->inject & LM_EV_TYPE) != LM_EV_NMI)
		want |= VMX_BLOCK_NMI;
	if (want != info)
		vmx_write(GUEST_INTERRUPTIBILITY_INFO, want);

	if (!vcpu->inject)
		return;
	lm_vmx_unhalt(vcpu);
	trace_lm_inject(vcpu);
	/* 27.2.1.3: types 0, 2 and 3 are the neutral ones. */
	if (vcpu->inject & LM_EV_ERROR)
		vmx_write(VM_ENTRY_EXCEPTION_ERROR_CODE, vcpu->inject >> 32);
	vmx_write(VM_ENTRY_INTR_INFO_FIELD, (u32)vcpu->inject);
	/* A #DB that finds a shadow and TF: entries want the step to be pending as well. */
	if ((want & (VMX_BLOCK_STI | VMX_BLOCK_MOVSS)) && (lm_rflags(vcpu) & X86_EFLAGS_TF))
		vmx_write(GUEST_PENDING_DBG_EXCEPTIONS,
			  vmx_read(GUEST_PENDING_DBG_EXCEPTIONS) | DR_STEP);
}

/*
 * Translations of the guest's own tables are tagged by VPID and EPT root, those of
 * the nested table by the root alone (29.4.1).  Without VPIDs every switch drops
 * the former.
 *
 * Return: what became of translations of the nested table, for the model TLB
 */
static noinline enum lm_flush_how vmx_flush_slow(struct lm_vcpu *vcpu, enum lm_flush_how how)
{
	struct lm_hw *hw = vcpu->hw;
	bool all = how == LM_FLUSH_ALL;

	if (hw->vpid != vcpu->flush.asid) {
		hw->vpid = vcpu->flush.asid;
		if (lm_vmx_caps.vpid)
			vmx_write(VIRTUAL_PROCESSOR_ID, hw->vpid);
	}
	if (how == LM_FLUSH_NONE)
		return LM_FLUSH_NONE;
	if (all && lm_vmx_caps.vpid)
		vmx_invvpid(VMX_INV_ALL, 0);
	if (how == LM_FLUSH_TAG && !vcpu->flush.nested) {
		if (lm_vmx_caps.vpid && vmx_invvpid(VMX_INV_SINGLE, hw->vpid))
			vmx_invvpid(VMX_INV_ALL, 0);
		return LM_FLUSH_NONE;
	}
	if (all || vmx_invept(VMX_INV_SINGLE, hw->eptp))
		vmx_invept(VMX_INV_ALL, 0);
	return all ? LM_FLUSH_ALL : LM_FLUSH_TAG;
}

static __always_inline enum lm_flush_how vmx_flush(struct lm_vcpu *vcpu, struct lm_tag_pool *tags)
{
	enum lm_flush_how how = lm_flush_decide(vcpu, tags, true);

	if (unlikely(how != LM_FLUSH_NONE))	/* another tag is a RETAG at least */
		how = vmx_flush_slow(vcpu, how);
	return how;
}

/* VMLAUNCH or VMRESUME did not even begin (31.4), or the state was refused (27.8). */
static noinline void vmx_entry_failed(struct lm_vcpu *vcpu, bool began, u64 event)
{
	if (!began)
		vcpu->exit.code = vmx_read(VM_INSTRUCTION_ERROR);
	vcpu->exit.kind = LM_EXIT_FAIL_ENTRY;
	vcpu->exit.reason = vcpu->exit.code;
	if (vcpu->exit.code == (VMX_EXIT_REASONS_FAILED_VMENTRY | EXIT_REASON_MCE_DURING_VMENTRY))
		lm_machine_check();
	/* The event was not delivered. */
	vmx_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	lm_events_exited(vcpu, event, 0);
}

/* The guest's handler of an NMI has ended with IRET. */
static noinline void vmx_nmi_check(struct lm_vcpu *vcpu)
{
	if (vmx_read(GUEST_INTERRUPTIBILITY_INFO) & VMX_BLOCK_NMI)
		return;
	vcpu->ev.nmi_masked = false;
	if (atomic_read(&vcpu->ev.nmi_pending))
		lm_request(vcpu, LM_REQ_EVENT);
}

static void vmx_l1d_flush(struct lm_hw *hw)
{
	hw->l1d_flush = false;
	wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
}

/*
 * The timer starts anew from its field at each entry (27.7.4), and counts the changes
 * of one bit of the TSC: the first may come at once, hence one more, so that the exit
 * is not early.  One that is far off exits in between for nothing.
 */
static noinline void vmx_timer(struct lm_vcpu *vcpu)
{
	u64 now = rdtsc(), at = vcpu->exit_tsc, ticks = 0;

	vcpu->hw->timer = at;
	if (!at)
		ticks = VMX_TIMER_NEVER;
	else if (at > now)
		ticks = min_t(u64, ((at - now) >> lm_vmx_caps.timer_shift) + 2, VMX_TIMER_NEVER);
	vmx_write(VMX_PREEMPTION_TIMER_VALUE, ticks);
}

void lm_vmx_enter(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	struct lm_exit *e = &vcpu->exit;
	enum lm_flush_how flushed;
	u64 event = 0;
	bool failed;
	u32 reason;
	u8 plain;

	if (likely(!((vcpu->dirty ^ LM_S_RIP) | hw->todo))) {
		vmx_write(GUEST_RIP, vcpu->st.rip);
		vcpu->dirty = 0;
	} else if (vcpu->dirty | hw->todo) {
		lm_vmx_put(vcpu);
	}
	if (unlikely(vcpu->entry_work)) {
		event = vcpu->inject;
		vmx_entry_work(vcpu);
		vcpu->inject = 0;
	}
	if (vcpu->exit_tsc | hw->timer)
		vmx_timer(vcpu);
	flushed = vmx_flush(vcpu, hw->tags);
	if (unlikely(vcpu->st.cr2 != native_read_cr2()))
		native_write_cr2(vcpu->st.cr2);
	if (static_branch_unlikely(&lm_vmx_debug))
		lm_vmx_debug_entry(vcpu, flushed);
	if (static_branch_unlikely(&lm_vmx_l1d) && hw->l1d_flush)
		vmx_l1d_flush(hw);

	/* A record may come late (SDM vol. 3, 20): not in the guest's memory. The exit's list undoes this. */
	if (unlikely(hw->pebs))
		wrmsrl(MSR_IA32_PEBS_ENABLE, 0);

	lm_mitigate_mmio();

	lm_guest_enter(vcpu);
	failed = lm_vmx_run(vcpu->st.gpr, &hw->host_rsp, hw->launched);
	lm_guest_exit(vcpu);

	vcpu->st.cr2 = native_read_cr2();
	/* The exit cleared it (28.5.1): the host's own tracing goes on. */
	if (unlikely(hw->host_debugctl))
		wrmsrl(MSR_IA32_DEBUGCTLMSR, hw->host_debugctl);
	e->insn_len = 0;
	e->nr_bytes = 0;
	vcpu->valid = LM_S_CR2 | LM_S_EFER | LM_S_PAT;
	if (unlikely(failed)) {
		vmx_entry_failed(vcpu, false, event);
		return;
	}
	if (static_branch_unlikely(&lm_vmx_debug))
		lm_vmx_debug_exit(vcpu);
	reason = vmx_read(VM_EXIT_REASON);
	e->code = reason;
	if (unlikely(reason & VMX_EXIT_REASONS_FAILED_VMENTRY)) {
		vmx_entry_failed(vcpu, true, event);
		return;
	}
	plain = reason < ARRAY_SIZE(vmx_plain) ? vmx_plain[reason] : 0;
	if (likely(plain)) {
		e->kind = (plain & ~VMX_INSN) - 1;
		if (plain & VMX_INSN)
			e->insn_len = vmx_read(VM_EXIT_INSTRUCTION_LEN);
	} else if (reason == EXIT_REASON_EXCEPTION_NMI && vmx_exit_host(vmx_read(VM_EXIT_INTR_INFO))) {
		e->kind = LM_EXIT_INTR;
	} else {
		hw->l1d_flush = true;
		if (reason == EXIT_REASON_IO_INSTRUCTION)
			vmx_exit_io(e);
		else if (likely(reason == EXIT_REASON_EPT_VIOLATION))
			vmx_exit_npf(vcpu);
		else if (reason == EXIT_REASON_MSR_WRITE || reason == EXIT_REASON_MSR_READ)
			vmx_exit_msr(e, reason == EXIT_REASON_MSR_WRITE);
		else
			vmx_translate(vcpu, reason);
	}
	hw->launched = true;
	if (unlikely(vcpu->ev.nmi_masked))
		vmx_nmi_check(vcpu);
}

const struct lm_backend lm_vmx = {
	.name = "VMX",
	.busy = "KVM may hold it from its load on: boot with kvm.enable_virt_at_load=0, or modprobe -r kvm_intel",
	.setup = lm_vmx_setup,
	.teardown = lm_vmx_teardown,
	.cpu_on = lm_vmx_cpu_on,
	.cpu_off = lm_vmx_cpu_off,
	.vcpu_init = lm_vmx_vcpu_init,
	.vcpu_free = lm_vmx_vcpu_free,
	.leave_cpu = lm_vmx_leave_cpu,
	.load = lm_vmx_load,
	.unload = lm_vmx_unload,
	.enter = lm_vmx_enter,
	.window = lm_vmx_window,
	.get = lm_vmx_get,
	.update = lm_vmx_update,
	.tsc = lm_vmx_tsc,
	.apic = lm_vmx_apic,
	.dirty = lm_vmx_dirty,
	.dump = lm_vmx_dump,
};
