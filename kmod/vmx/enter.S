/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The world switch of VMX.
 *
 * The CPU switches control registers, segments, RSP, RIP and RFLAGS (SDM vol. 3,
 * 27.3.2 and 28.5); general registers are left to us.  After an exit the CPU goes
 * on at HOST_RIP with HOST_RSP and interrupts off.
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/percpu.h>
#include <asm/unwind_hints.h>

#include "../gprs.S"
#include "../mitigate.S"

#define VMCS_HOST_RSP	0x6c14

	.section .noinstr.text, "ax"

/*
 * bool lm_vmx_run(u64 *gpr, u64 *host_rsp, bool launched)
 *
 * Run the guest until its next exit.  Interrupts off, the VMCS current.  RSP of
 * the guest is in the VMCS.  True if the entry failed before it began (VMfail).
 */
SYM_FUNC_START(lm_vmx_run)
	PUSH_CALLEE_SAVED
	pushq	%rdi

	cmpq	%rsp, (%rsi)
	je	.Lrsp_same
	movq	%rsp, (%rsi)
	movl	$VMCS_HOST_RSP, %eax
	vmwrite	%rsp, %rax
.Lrsp_same:
	/* In CF, since what clears CPU buffers changes ZF. */
	btl	$0, %edx

	movq	0*8(%rdi), %rax
	LOAD_GUEST_GPRS

#ifdef X86_FEATURE_CLEAR_CPU_BUF_VM_MMIO
	/* From 7.0 on these two say all; before, see lm_mitigate_mmio(). */
	LM_CLEAR_CPU_BUFFERS X86_FEATURE_CLEAR_CPU_BUF_VM
	LM_CLEAR_CPU_BUFFERS X86_FEATURE_CLEAR_CPU_BUF_VM_MMIO
#else
	LM_CLEAR_CPU_BUFFERS X86_FEATURE_CLEAR_CPU_BUF
#endif

	jnc	.Llaunch
	/* The exit arrives below with this very stack. */
	UNWIND_HINT_SAVE
.Lresume:
	vmresume
	jmp	.Lfail
.Llaunch:
	vmlaunch
	jmp	.Lfail

	/* VMX was turned off under us (panic, reboot): the instruction is #UD. */
	_ASM_EXTABLE(.Lresume, .Lfail)
	_ASM_EXTABLE(.Llaunch, .Lfail)

SYM_INNER_LABEL(lm_vmx_exit_point, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR

	pushq	%rax
	movq	8(%rsp), %rax		/* gpr */
	STORE_GUEST_GPRS
	popq	0*8(%rax)
	xorl	%ebx, %ebx

.Lout:
	popq	%rax			/* gpr */

	/* The guest's return predictions must not steer the host. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE

	/* IBRS covers predictions made before it was written last: write it again. */
	ALTERNATIVE "jmp .Lno_ibrs", "", X86_FEATURE_KERNEL_IBRS
	movl	$MSR_IA32_SPEC_CTRL, %ecx
	movl	PER_CPU_VAR(x86_spec_ctrl_current), %eax
	xorl	%edx, %edx
	wrmsr
.Lno_ibrs:
	/* Nor the branch history that it left (BHI); an IBPB is more than that. */
#ifdef LM_KVM_ONLY_CLEAR_BHB_LOOP
	LM_IBPB X86_FEATURE_CLEAR_BHB_VMEXIT
#else
	CLEAR_BRANCH_HISTORY_VMEXIT
#endif

	movl	%ebx, %eax
	CLEAR_GUEST_GPRS
	POP_CALLEE_SAVED
	RET

.Lfail:
	movl	$1, %ebx
	jmp	.Lout
SYM_FUNC_END(lm_vmx_run)
