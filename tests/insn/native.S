/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs one instruction with given registers. It ends by a signal, whose handler takes the registers
 * from the signal frame and continues at native_back.
 */
	.text
	.globl	native_run, native_back
	.type	native_run, @function
native_run:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, native_rsp(%rip)
	/*
	 * The code was written through another linear address: serialize, or old
	 * bytes may be executed (SDM vol. 3, 9.1.3). IRET does, and needs no exit.
	 */
	mov	%rsp, %rax
	mov	%ss, %ecx
	push	%rcx
	push	%rax
	pushfq
	mov	%cs, %ecx
	push	%rcx
	lea	3f(%rip), %rcx
	push	%rcx
	iretq
3:	cmpb	$0, native_vectors(%rip)
	je	1f
	lea	native_ymm(%rip), %rax
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovdqu	\n * 32(%rax), %ymm\n
	.endr
1:	cmpw	$0, native_segs + 2(%rip)
	je	2f
	mov	native_segs + 0(%rip), %es
	mov	native_segs + 4(%rip), %ds
	mov	native_segs + 6(%rip), %gs
	mov	native_segs + 2(%rip), %ss
2:	pushq	native_flags(%rip)
	popfq
	mov	native_gpr + 0(%rip), %rax
	mov	native_gpr + 8(%rip), %rcx
	mov	native_gpr + 16(%rip), %rdx
	mov	native_gpr + 24(%rip), %rbx
	mov	native_gpr + 32(%rip), %rsp
	mov	native_gpr + 40(%rip), %rbp
	mov	native_gpr + 48(%rip), %rsi
	mov	native_gpr + 56(%rip), %rdi
	mov	native_gpr + 64(%rip), %r8
	mov	native_gpr + 72(%rip), %r9
	mov	native_gpr + 80(%rip), %r10
	mov	native_gpr + 88(%rip), %r11
	mov	native_gpr + 96(%rip), %r12
	mov	native_gpr + 104(%rip), %r13
	mov	native_gpr + 112(%rip), %r14
	mov	native_gpr + 120(%rip), %r15
	ljmp	*native_target(%rip)

native_back:
	cld
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.section .note.GNU-stack, "", @progbits
