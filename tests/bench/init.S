/* SPDX-License-Identifier: GPL-2.0-only */
/* /init of the Linux guest: writes to port 0xf4, which ends the measurement, and says
   a word on the console. */
	.global _start
_start:
	mov	$173, %eax		/* ioperm(0xf4, 1, 1) */
	mov	$0xf4, %edi
	mov	$1, %esi
	mov	$1, %edx
	syscall
	mov	$0x42, %al
	out	%al, $0xf4
	mov	$1, %eax		/* write(1, word, 8) */
	mov	$1, %edi
	mov	$word, %esi
	mov	$8, %edx
	syscall
1:	mov	$34, %eax		/* pause() */
	syscall
	jmp	1b
	.section .rodata
word:	.ascii	"LM-INIT\n"
	.section .note.GNU-stack, "", @progbits
