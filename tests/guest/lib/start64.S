/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Start of the 64-bit guest image: boot CPU (the client enters in long mode),
 * application CPUs (from SIPI through real mode), and the 256 trap stubs.
 */
#include "../abi.h"
#include "defs.h"

	.section .header, "ax"
	.long IMAGE_MAGIC, IMAGE_GPA, start64, cases, cases_end

	.text
	.code64
start64:
	mov	$stacks + STACK_SIZE, %esp
	xor	%edi, %edi
	call	cpu_init
	mov	INFO_GPA, %eax
	call	*%rax
	call	finish
1:	hlt
	jmp	1b

	/* Copied to SIPI_GPA; position given by that. */
	.global ap_code, ap_code_end
	.code16
ap_code:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	SIPI_GPA + (ap_gdtr - ap_code)
	mov	%cr4, %eax
	or	$0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	mov	%eax, %cr4
	mov	$PML4_GPA, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x900, %eax		/* LME, NXE */
	wrmsr
	mov	%cr0, %eax
	and	$~0x60000000, %eax
	or	$0x80010023, %eax	/* PG, WP, NE, MP, PE */
	and	$~4, %eax
	mov	%eax, %cr0
	ljmpl	$CODE64, $ap_start64
	.balign 8
ap_gdtr:
	.word	0x7f
	.long	gdt
ap_code_end:

	.code64
ap_start64:
	mov	$DATA64, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	/* one CPU after the other takes a number */
	mov	$1, %edi
	lock xadd %edi, cpus_started
	inc	%edi
	mov	%edi, %esp
	inc	%esp
	shl	$STACK_SHIFT, %esp
	add	$stacks, %esp
	push	%rdi
	push	%rdi
	call	cpu_init
	pop	%rdi
	pop	%rdi
	call	ap_main
1:	hlt
	jmp	1b

	.global trap_stubs
	.balign 16
trap_stubs:
	vec = 0
	.rept 256
	.balign 16
	.if (vec == 8) || ((vec >= 10) && (vec <= 14)) || (vec == 17) || (vec == 21) || (vec == 29) || (vec == 30)
	.else
	push	$0
	.endif
	push	$vec
	jmp	trap_common
	vec = vec + 1
	.endr

trap_common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	mov	%rsp, %rdi
	mov	%rsp, %rbp
	and	$~15, %rsp
	call	trap
	mov	%rbp, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

	/* long mode -> real mode and back is in mode.S; the GDT serves both */
	.data
	.balign 16
	.global gdt
gdt:
	.quad	0
	.quad	0x00af9a000000ffff	/* 08 CODE64 */
	.quad	0x00cf92000000ffff	/* 10 DATA64 */
	.quad	0x00cf9a000000ffff	/* 18 CODE32 */
	.quad	0x00009a000000ffff	/* 20 CODE16, base 0 */
	.quad	0x000092000000ffff	/* 28 DATA16, base 0 */
	.quad	0x00affa000000ffff	/* 30 user code64 */
	.quad	0x00cff2000000ffff	/* 38 user data */
	.quad	0x00cf12000000ffff	/* 40 data, not present */
	.quad	0x00cf96000000ffff	/* 48 expand down */
	.quad	0, 0, 0, 0, 0, 0	/* 50..78 free for cases */
	.fill	2 * MAX_CPUS, 8, 0	/* 80 one TSS each */
	.global gdt_end
gdt_end:
	.bss
	.balign 4096
	.global stacks
stacks:
	.fill	MAX_CPUS * STACK_SIZE
	.section .note.GNU-stack, "", @progbits
