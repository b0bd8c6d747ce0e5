/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Side-channel measures of the world switches, for their enter.S to include.
 * The kernel's features say which are wanted; the instructions are our own, since
 * later kernels keep theirs for KVM.
 */

/*
 * CPU buffers hold the host's data (MDS, TAA, MMIO stale data, RFDS, TSA).  Changes
 * no register and of the flags ZF alone.  Jumped over, since older kernels do not mend
 * an address relative to RIP in what they patch in.
 */
.macro LM_CLEAR_CPU_BUFFERS feature:req
	ALTERNATIVE "jmp .Lno_verw_\@", "", \feature
	verw	lm_verw_sel(%rip)
.Lno_verw_\@:
.endm

/* Branch predictions that the guest has made steer nobody.  Clobbers RAX, RCX and RDX. */
.macro LM_IBPB feature:req
	ALTERNATIVE "jmp .Lno_ibpb_\@", "", \feature
	movl	$MSR_IA32_PRED_CMD, %ecx
	movl	$PRED_CMD_IBPB, %eax
	xorl	%edx, %edx
	wrmsr
#ifdef X86_BUG_IBPB_NO_RET
	/* Some CPUs spare the predictions of returns, and the kernel leaves these to who does it. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_BUG_IBPB_NO_RET
#endif
.Lno_ibpb_\@:
.endm
