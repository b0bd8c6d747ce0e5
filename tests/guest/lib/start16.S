/* SPDX-License-Identifier: GPL-2.0-only */
/* Start of the real-mode guest image: all segments 0, stack below 64 KiB. */
#include "../abi.h"
	.section .header, "ax"
	.code16
	.long IMAGE_MAGIC, IMAGE16_GPA, start16, cases, cases_end
	.text
start16:
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0xfff0, %esp
	mov	INFO_GPA, %eax
	calll	*%eax
	calll	finish

	/* Real-mode interrupt stub for every vector: counts it and, if a way
	   out is set, goes on there. */
	.balign 8
	.global ivt_stubs
ivt_stubs:
	vec = 0
	.rept 256
	.balign 8
	pushw	$vec
	jmp	ivt_common
	vec = vec + 1
	.endr
ivt_common:
	push	%bp
	mov	%sp, %bp
	push	%eax
	push	%ebx
	push	%ds
	xor	%ax, %ax
	mov	%ax, %ds
	movzwl	2(%bp), %ebx
	incl	trap_count(,%ebx,4)
	cmpl	$0, fixup
	je	1f
	cmp	$0x20, %bx
	jae	1f
	mov	%bx, last_vec
	mov	4(%bp), %ax
	mov	%ax, last_ip
	mov	fixup, %eax
	mov	%ax, 4(%bp)
	movw	$0, 6(%bp)
	movl	$0, fixup
1:	pop	%ds
	pop	%ebx
	pop	%eax
	pop	%bp
	add	$2, %sp
	iret
	.section .note.GNU-stack, "", @progbits
