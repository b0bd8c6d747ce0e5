// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions of the guest that are intercepted: #DB and #AC, since a guest can
 * make their delivery loop for ever inside the CPU; #BP while user space debugs, and
 * all faults while it single-steps; #UD for the other vendor's hypercall.
 */
#include <uapi/asm/debugreg.h>
#include <asm/cpufeature.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "exit.h"

/*
 * Have the guest's next hypercall from here be this CPU's own.  Where its code cannot be
 * written, or lies across two pages, it stays as it is.  LM_DONE or LM_NEED.
 */
static int lm_patch_hypercall(struct lm_vcpu *vcpu)
{
	static const u8 vmcall[] = { 0x0f, 0x01, 0xc1 }, vmmcall[] = { 0x0f, 0x01, 0xd9 };
	u64 gpa, la;
	u32 error;
	int r;

	lm_need_state(vcpu, LM_S_RIP | LM_S_CS | LM_S_EFER);
	la = lm_st_code(&vcpu->st);
	if (offset_in_page(la) > PAGE_SIZE - sizeof(vmcall))
		return LM_DONE;
	r = lm_walk(vcpu, la, LM_ACC_WRITE | lm_access(vcpu), &gpa, &error);
	if (r == LM_DONE)
		r = lm_gpa_write(vcpu, gpa, lm_caps.amd_insns ? vmmcall : vmcall, sizeof(vmcall));
	return r == LM_NEED || r == LM_AGAIN ? r : LM_DONE;
}

/*
 * VMCALL on AMD and VMMCALL on Intel are #UD; a guest moved here may have either.  With the
 * quirk it is executed, and written over by the other.
 */
static int lm_exit_undefined(struct lm_vcpu *vcpu)
{
	const struct lm_insn *insn;
	int r;

	r = lm_insn_at_rip(vcpu, &insn);
	if (r == LM_NEED)
		return r;
	if (r == LM_DONE && (insn->id == LM_OP_VMCALL || insn->id == LM_OP_VMMCALL) &&
	    !(READ_ONCE(vcpu->vm->x86.disabled_quirks) & KVM_X86_QUIRK_FIX_HYPERCALL_INSN)) {
		vcpu->exit.insn_len = insn->len;
		r = insn->len == 3 ? lm_patch_hypercall(vcpu) : LM_DONE;
		if (r == LM_NEED)
			return r;
		return lm_exit_hypercall(vcpu);
	}
	if (r != LM_AGAIN)	/* an answer of AGAIN has queued its exception */
		lm_inject_ud(vcpu);
	return LM_DONE;
}

/*
 * A host that watches for split locks raises #AC for the guest's, too, which is not one that
 * the guest asked for: it is the host's, to warn, slow down or end this task.
 */
static bool lm_split_lock(struct lm_vcpu *vcpu)
{
	return boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT) &&
	       !(lm_cpl(vcpu) == 3 && (lm_cr0(vcpu) & X86_CR0_AM) &&
		 (lm_rflags(vcpu) & X86_EFLAGS_AC));
}

/**
 * lm_exit_exception - an intercepted exception
 * @vcpu: in its section
 */
int lm_exit_exception(struct lm_vcpu *vcpu)
{
	const struct lm_exit *e = &vcpu->exit;
	u8 vector = e->exception.vector;

	if (vector == X86_TRAP_UD)
		return lm_exit_undefined(vcpu);
	if (vector == X86_TRAP_DB && lm_debug_owns_dr(vcpu))
		return lm_exit_debug(vcpu, vector, e->exception.payload);
	if (vector == X86_TRAP_BP && (vcpu->dbg.control & KVM_GUESTDBG_USE_SW_BP))
		return lm_exit_debug(vcpu, vector, 0);
	if (vector == X86_TRAP_AC && lm_split_lock(vcpu)) {
		vcpu->split_lock = true;
		return LM_AGAIN;
	}
	lm_queue_exception(vcpu, vector, e->exception.has_error, e->exception.error,
			   vector == X86_TRAP_DB || vector == X86_TRAP_PF ?
			   e->exception.payload : 0);
	return LM_DONE;
}
