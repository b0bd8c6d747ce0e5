/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guests of the benchmark: loops that do one thing, once for real mode with
 * 4 GiB segments and once for 64-bit mode. The client copies a blob to 0x1000
 * and enters it there with EDI = number of iterations and ESI = an address or a
 * port. The loop runs twice, to warm up and to be measured; then two TSC
 * readings are at 0x600 and 0x608 and the blob writes to port 0xf4.
 */
	.macro begin name
	.balign 16, 0x90
\name:
	mov	%edi, %ebp
	movw	$2, 0x610
\name\()_again:
	mov	%ebp, %edi
	rdtsc
	mov	%eax, 0x600
	mov	%edx, 0x604
\name\()_loop:
	.endm

	.macro end name
	dec	%edi
	jnz	\name\()_loop
	rdtsc
	mov	%eax, 0x608
	mov	%edx, 0x60c
	decw	0x610
	jnz	\name\()_again
	out	%al, $0xf4
\name\()_end:
	.endm

	.macro all_loops w
	begin	nothing\w
	end	nothing\w

	begin	cpuid\w
	xor	%eax, %eax
	cpuid
	end	cpuid\w

	begin	hypercall\w
	mov	$1, %eax		/* KVM_HC_VAPIC_POLL_IRQ: does nothing */
	vmmcall
	end	hypercall\w

	begin	rdmsr_pat\w
	mov	$0x277, %ecx
	rdmsr
	end	rdmsr_pat\w

	begin	rdmsr_apicbase\w
	mov	$0x1b, %ecx
	rdmsr
	end	rdmsr_apicbase\w

	begin	wrmsr_mtrr\w
	mov	$0x200, %ecx
	xor	%eax, %eax
	xor	%edx, %edx
	wrmsr
	end	wrmsr_mtrr\w

	begin	out\w
	mov	%esi, %edx
	out	%al, %dx
	end	out\w

	begin	store\w
	movl	%eax, (%esi)
	end	store\w

	begin	store_zero\w
	movl	$0, (%esi)
	end	store_zero\w

	begin	load\w
	movl	(%esi), %eax
	end	load\w

	begin	touch\w
	movb	%al, (%esi)
	add	$0x1000, %esi
	end	touch\w

	begin	hlt\w
	hlt
	end	hlt\w
	.endm

	.section .rodata
	.code16
	all_loops 16
	/* MOV from and to CR0 in real mode and in long mode */
	begin	cr016
	mov	%cr0, %eax
	mov	%eax, %cr0
	end	cr016

	.code64
	all_loops 64
	begin	cr064
	mov	%cr0, %rax
	mov	%rax, %cr0
	end	cr064

	/*
	 * Interrupts, in 64-bit mode only: the client makes vector 0x40 lead to the
	 * handler, 16 bytes from the start of the blob.
	 */
	.macro handler name
	.balign 16
\name:
	jmp	1f
	.balign 16
	push	%rax
	push	%rcx
	push	%rdx
	movl	$1, 0x620
	write_msr 0x80b, 0		/* EOI */
	pop	%rdx
	pop	%rcx
	pop	%rax
	iretq
1:	mov	$0x1b, %ecx		/* APIC_BASE: x2APIC */
	rdmsr
	or	$0xc00, %eax
	wrmsr
	write_msr 0x80f, 0x1ff		/* SVR: on */
	/*
	 * Gate, code segment and stack are touched before an interrupt needs them:
	 * what is measured is no fault, and Bochs forgets a virtual interrupt whose
	 * delivery exits.
	 */
	mov	0x3400, %eax
	mov	0x2008, %eax
	mov	%eax, -8(%rsp)
	.endm

	.macro write_msr msr, low, high=0
	mov	$\msr, %ecx
	mov	$\low, %eax
	mov	$\high, %edx
	wrmsr
	.endm

	handler	deadline64
	write_msr 0x832, 0x40040	/* LVTT: TSC deadline, vector 0x40 */
	sti
	begin	deadline
	movl	$0, 0x620
	rdtsc
	add	$20000, %eax
	adc	$0, %edx
	mov	$0x6e0, %ecx		/* TSC_DEADLINE */
	wrmsr
1:	cmpl	$0, 0x620
	je	1b
	end	deadline

	/* Two vCPUs with their ids in R8D: the first sends to the second, which answers. */
	handler	ipi64
	test	%r8d, %r8d
	jz	2f
	movl	$1, 0x628		/* the second is ready */
1:	sti
	hlt
	cli
	write_msr 0x830, 0x40		/* ICR: fixed, vector 0x40, to 0 */
	jmp	1b
2:	pause
	cmpl	$0, 0x628
	je	2b
	begin	ipi
	write_msr 0x830, 0x40, 1
	sti
	hlt
	cli
	end	ipi

	/* the table: name, then start and end for each width */
	.macro row n
	.quad	91f, \n\()16, \n\()16_end, \n\()64, \n\()64_end
	.pushsection .rodata.str, "a"
91:	.asciz	"\n"
	.popsection
	.endm
	.section .data.rel.ro, "aw"
	.balign	8
	.global bench_loops, bench_loops_end
bench_loops:
	.irp	n, nothing, cpuid, hypercall, rdmsr_pat, rdmsr_apicbase, wrmsr_mtrr, out, store, store_zero, load, touch, hlt, cr0
	row	\n
	.endr
	.quad	deadline_name, 0, 0, deadline64, deadline_end
	.quad	ipi_name, 0, 0, ipi64, ipi_end
bench_loops_end:
	.section .rodata.str, "a"
deadline_name:
	.asciz	"deadline"
ipi_name:
	.asciz	"ipi"

	/* a Linux guest's /init: tells the client that it has come so far */
	.section .rodata
	.balign	16
	.global linux_init, linux_init_end
linux_init:
	.incbin	"build/init"
linux_init_end:
	.section .note.GNU-stack, "", @progbits
