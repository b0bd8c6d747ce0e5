/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The world switch of SVM.
 *
 * VMRUN and #VMEXIT leave FS, GS, TR, LDTR and the syscall MSRs alone (APM
 * vol. 2, 15.5.1 and 15.6).  The section keeps the guest's in the CPU from load
 * to unload and only GS.base is exchanged here, since the kernel finds its
 * per-CPU data through it.  That is sound because GIF is 0 for the whole
 * section: no interrupt, NMI, SMI or machine check (15.17) is taken that would
 * need the host's TR or syscall MSRs.
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>

#include "../gprs.S"
#include "../mitigate.S"

	.section .noinstr.text, "ax"

/*
 * GS.base to and from R8.  Without FSGSBASE through the MSR, out of line: RAX, RCX
 * and RDX clobbered.  No CALL: a RET may not come before UNTRAIN_RET, nor that
 * before the host's GS.
 */
.macro READ_GS n:req
	ALTERNATIVE "jmp .Lread_gs_\n", "rdgsbase %r8", X86_FEATURE_FSGSBASE
.Lread_gs_done_\n:
.endm

.macro WRITE_GS n:req
	ALTERNATIVE "jmp .Lwrite_gs_\n", "wrgsbase %r8", X86_FEATURE_FSGSBASE
.Lwrite_gs_done_\n:
.endm

.macro READ_GS_MSR n:req
.Lread_gs_\n:
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	shlq	$32, %rdx
	leaq	(%rdx, %rax), %r8
	jmp	.Lread_gs_done_\n
.endm

.macro WRITE_GS_MSR n:req
.Lwrite_gs_\n:
	movl	$MSR_GS_BASE, %ecx
	movl	%r8d, %eax
	movq	%r8, %rdx
	shrq	$32, %rdx
	wrmsr
	jmp	.Lwrite_gs_done_\n
.endm

/*
 * void lm_svm_vmrun(u64 *gpr, u64 vmcb_pa, struct svm_gs *gs)
 *
 * Run the guest until its next exit.  Interrupts off, GIF clear, the guest's
 * VMLOAD state in the CPU.  RAX and RSP of the guest are in the VMCB.  gs holds
 * GS.base of the guest, then the host's.
 */
SYM_FUNC_START(lm_svm_vmrun)
	PUSH_CALLEE_SAVED

	pushq	%rdx			/* gs */
	pushq	%rdi			/* gpr */
	movq	(%rdx), %r8
	WRITE_GS 1
	movq	%rsi, %rax

	LOAD_GUEST_GPRS

	LM_CLEAR_CPU_BUFFERS X86_FEATURE_CLEAR_CPU_BUF_VM

	/*
	 * With V_INTR_MASKING it is the host's IF that decides whether a
	 * physical interrupt ends the guest's run (15.21.1).  GIF is 0, so
	 * nothing is taken here.
	 */
	sti
	vmrun	%rax
	cli

	popq	%rax			/* gpr; RAX of the guest is in the VMCB */
	STORE_GUEST_GPRS

	popq	%r10			/* gs */
	READ_GS 1
	movq	%r8, (%r10)
	movq	8(%r10), %r8
	WRITE_GS 2

	/* The guest's return predictions must not steer the host. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT

	/* Nor its branch predictions the returns (Retbleed, SRSO): before the first RET. */
	CALL_UNTRAIN_RET
	/* retbleed=ibpb, spec_rstack_overflow=ibpb and ibpb-vmexit */
	LM_IBPB X86_FEATURE_ENTRY_IBPB
	LM_IBPB X86_FEATURE_IBPB_ON_VMEXIT

	CLEAR_GUEST_GPRS
	POP_CALLEE_SAVED
	RET

	WRITE_GS_MSR 1
	READ_GS_MSR 1
	WRITE_GS_MSR 2
SYM_FUNC_END(lm_svm_vmrun)

/*
 * void lm_svm_vmload_guest(u64 vmcb_pa)
 *
 * VMLOAD, but the host's GS.base stays in the CPU.  GIF clear.
 */
SYM_FUNC_START(lm_svm_vmload_guest)
	READ_GS 2
	movq	%rdi, %rax
	vmload	%rax
	WRITE_GS 3
	RET

	READ_GS_MSR 2
	WRITE_GS_MSR 3
SYM_FUNC_END(lm_svm_vmload_guest)

/*
 * void lm_svm_vmload_host(u64 area_pa)
 */
SYM_FUNC_START(lm_svm_vmload_host)
	movq	%rdi, %rax
	vmload	%rax
	RET
SYM_FUNC_END(lm_svm_vmload_host)
