/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A boot sector for tests/host/bios.sh.  It says on the serial port and on the screen what
 * it is doing, all by calls of the BIOS:
 *
 *	boot: from 00		the drive that the BIOS booted
 *	boot: second sector	what the medium's next sector holds
 *	boot: key a		for each key; after an m the mouse is asked instead:
 *	boot: mouse		it has moved
 *
 * A row of the screen is red.
 */
	.code16
	.section .text
	.globl _start
_start:	ljmp	$0, $1f
1:	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0x7c00, %sp
	cld
	mov	%dl, drive

	/* 80 columns of text, 9600 baud (a rate is all that the BIOS wants). */
	mov	$3, %ax
	int	$0x10
	mov	$0xe3, %ax
	xor	%dx, %dx
	int	$0x14

	mov	$from, %si
	call	print
	mov	drive, %al
	shr	$4, %al
	call	digit
	mov	drive, %al
	and	$15, %al
	call	digit
	call	newline

	/* Cylinder 0, head 0, sector 2. */
	mov	$0x0201, %ax
	mov	$0x7e00, %bx
	mov	$0x0002, %cx
	xor	%dh, %dh
	mov	drive, %dl
	int	$0x13
	jc	1f
	mov	$0x7e00, %si
	call	print
	call	newline

	/* Row 12: blanks on red, written by a string instruction. */
1:	mov	$0xb800, %ax
	mov	%ax, %es
	mov	$(12 * 160), %di
	mov	$80, %cx
	mov	$0x4f20, %ax
	rep	stosw

keys:	xor	%ah, %ah
	int	$0x16
	cmp	$'m', %al
	je	mouse
	push	%ax
	mov	$key, %si
	call	print
	pop	%ax
	call	putc
	call	newline
	jmp	keys

	/* The second port of the keyboard controller on, and have the mouse report. */
mouse:	cli
	mov	$0xa8, %al
	call	command
	mov	$0xd4, %al
	call	command
	call	ready
	mov	$0xf4, %al
	out	%al, $0x60
	call	aux			/* its acknowledgment */
	mov	$ready_text, %si
	call	print
	call	newline
	call	aux			/* the first byte of a movement */
	mov	$moved, %si
	call	print
	call	newline
1:	hlt
	jmp	1b

command:
	call	ready
	out	%al, $0x64
	ret

ready:	push	%ax
1:	in	$0x64, %al
	test	$2, %al
	jnz	1b
	pop	%ax
	ret

	/* The mouse's next byte.  The keyboard's, as of the m that goes up, are in its way. */
aux:	in	$0x64, %al
	test	$1, %al
	jz	aux
	mov	%al, %ah
	in	$0x60, %al
	test	$0x20, %ah
	jz	aux
	ret

digit:	add	$'0', %al
	cmp	$'9', %al
	jbe	putc
	add	$('a' - '9' - 1), %al
putc:	pusha
	mov	$0x0e, %ah
	mov	$7, %bx
	int	$0x10
	popa
	pusha
	mov	$1, %ah
	xor	%dx, %dx
	int	$0x14
	popa
	ret

newline:
	mov	$'\r', %al
	call	putc
	mov	$'\n', %al
	jmp	putc

print:	lodsb
	test	%al, %al
	jz	1f
	call	putc
	jmp	print
1:	ret

drive:	.byte	0
from:	.asciz	"boot: from "
key:	.asciz	"boot: key "
ready_text:
	.asciz	"boot: asks the mouse"
moved:	.asciz	"boot: mouse"
	.org	446		/* what follows is a disk's table of partitions */
	.fill	64, 1, 0
	.byte	0x55, 0xaa
	.asciz	"boot: second sector"
