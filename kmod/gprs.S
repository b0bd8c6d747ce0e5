/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the world switches of both vendors do with general registers; for
 * their enter.S to include.  RAX and RSP are each vendor's own matter.
 */

.macro PUSH_CALLEE_SAVED
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
.endm

.macro POP_CALLEE_SAVED
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
.endm

/* From lm_state.gpr[] at RDI.  No flag changes. */
.macro LOAD_GUEST_GPRS
	movq	1*8(%rdi), %rcx
	movq	2*8(%rdi), %rdx
	movq	3*8(%rdi), %rbx
	movq	5*8(%rdi), %rbp
	movq	6*8(%rdi), %rsi
	movq	8*8(%rdi), %r8
	movq	9*8(%rdi), %r9
	movq	10*8(%rdi), %r10
	movq	11*8(%rdi), %r11
	movq	12*8(%rdi), %r12
	movq	13*8(%rdi), %r13
	movq	14*8(%rdi), %r14
	movq	15*8(%rdi), %r15
	movq	7*8(%rdi), %rdi
.endm

/* To lm_state.gpr[] at RAX. */
.macro STORE_GUEST_GPRS
	movq	%rcx, 1*8(%rax)
	movq	%rdx, 2*8(%rax)
	movq	%rbx, 3*8(%rax)
	movq	%rbp, 5*8(%rax)
	movq	%rsi, 6*8(%rax)
	movq	%rdi, 7*8(%rax)
	movq	%r8, 8*8(%rax)
	movq	%r9, 9*8(%rax)
	movq	%r10, 10*8(%rax)
	movq	%r11, 11*8(%rax)
	movq	%r12, 12*8(%rax)
	movq	%r13, 13*8(%rax)
	movq	%r14, 14*8(%rax)
	movq	%r15, 15*8(%rax)
.endm

/* Nothing of the guest stays in registers for speculation to use; the rest is popped. */
.macro CLEAR_GUEST_GPRS
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%esi, %esi
	xorl	%edi, %edi
	xorl	%r8d, %r8d
	xorl	%r9d, %r9d
	xorl	%r10d, %r10d
	xorl	%r11d, %r11d
.endm
