/* SPDX-License-Identifier: GPL-2.0-only */
/* /init of the Linux guest: writes to port 0xf4, which ends the measurement. */
	.global _start
_start:
	mov	$173, %eax		/* ioperm(0xf4, 1, 1) */
	mov	$0xf4, %edi
	mov	$1, %esi
	mov	$1, %edx
	syscall
	mov	$0x42, %al
	out	%al, $0xf4
1:	mov	$34, %eax		/* pause() */
	syscall
	jmp	1b
	.section .note.GNU-stack, "", @progbits
