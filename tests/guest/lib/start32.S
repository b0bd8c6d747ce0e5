/* SPDX-License-Identifier: GPL-2.0-only */
/* Start of the 32-bit guest image: flat protected mode, no paging yet. */
#include "../abi.h"
#include "defs.h"
	.section .header, "ax"
	.long IMAGE_MAGIC, IMAGE_GPA, start32, cases, cases_end
	.text
start32:
	mov	$stack_top, %esp
	call	cpu_init
	call	*INFO_GPA
	call	finish

	.global trap_stubs
	.balign 16
trap_stubs:
	vec = 0
	.rept 256
	.balign 16
	.if (vec == 8) || ((vec >= 10) && (vec <= 14)) || (vec == 17) || (vec == 21)
	.else
	push	$0
	.endif
	push	$vec
	jmp	trap_common
	vec = vec + 1
	.endr
trap_common:
	pusha
	push	%ds
	push	%es
	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	cld
	mov	%esp, %eax
	call	trap
	pop	%es
	pop	%ds
	popa
	add	$8, %esp
	iret

	.data
	.balign 16
	.global gdt, gdt_end
gdt:
	.quad	0
	.quad	0x00af9a000000ffff	/* 08 code, 64 bits */
	.quad	0x00cf92000000ffff	/* 10 data */
	.quad	0x00cf9a000000ffff	/* 18 code, 32 bits */
	.quad	0x00009a000000ffff	/* 20 code, 16 bits, base 0 */
	.quad	0x000092000000ffff	/* 28 data, 16 bits, base 0 */
	.quad	0x00cffa000000ffff	/* 30 user code */
	.quad	0x00cff2000000ffff	/* 38 user data */
	.quad	0x00cf12000000ffff	/* 40 data, not present */
	.quad	0x00c096000000ffff	/* 48 expand down, above 256 MiB only */
	.fill	6, 8, 0			/* 50..78 free */
	.fill	4, 8, 0			/* 80 TSS, 88 second TSS */
gdt_end:
	.bss
	.balign 4096
	.fill	32768
	.global stack_top
stack_top:
	.section .note.GNU-stack, "", @progbits
