/* SPDX-License-Identifier: GPL-2.0-only */
/* /init of the Linux guest: says a word on the console and writes to port 0xf4; each ends a
   measurement of its own. */
	.global _start
_start:
	mov	$1, %eax		/* write(1, word, 8) */
	mov	$1, %edi
	mov	$word, %esi
	mov	$8, %edx
	syscall
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
	.section .rodata
word:	.ascii	"LM-INIT\n"
	.section .note.GNU-stack, "", @progbits
