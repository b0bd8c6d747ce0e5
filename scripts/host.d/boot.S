/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The boot loader of an emulated host in Bochs: an option ROM that reads an unpacked
 * kernel and its initrd from the disk and enters the kernel, in 64-bit mode and with
 * a zero page as Documentation/x86/boot.rst and zero-page.rst want them.
 *
 * -D IMAGE=	where in memory the disk's contents belong
 * -D SECTORS=	how many of its sectors
 * -D ENTRY=, INITRD=, INITRD_SIZE=	addresses in there
 * -D CMDLINE=
 */
#define ZERO_PAGE	0x10000
#define PML4		0x11000
#define PDPT		0x12000
#define PD		0x13000		/* and the three pages after it */
#define ROM		0xc8000

	.code16
	.globl	_start
_start:	.word	0xaa55			/* found by the BIOS in its scan of ROMs */
	.byte	(end - _start) / 512
	cli				/* the BIOS calls here */
	cld
	movw	$ZERO_PAGE >> 4, %ax
	movw	%ax, %es
	xorl	%eax, %eax
	xorl	%edi, %edi
	movl	$0x7000 / 4, %ecx
	rep stosl

	/* The memory map: table at 0x2d0, number of entries at 0x1e8. */
	movw	$0x2d0, %di
	xorl	%ebx, %ebx
1:	movl	$0xe820, %eax
	movl	$0x534d4150, %edx	/* "SMAP" */
	movl	$20, %ecx
	int	$0x15
	jc	2f
	addw	$20, %di
	incb	%es:0x1e8
	testl	%ebx, %ebx
	jnz	1b
2:	cli

	/* The setup header at 0x1f1, as far as an unpacked kernel reads it. */
	movw	$0xaa55, %es:0x1fe	/* boot_flag */
	movl	$0x53726448, %es:0x202	/* header: "HdrS" */
	movw	$0x20c, %es:0x206	/* version */
	movb	$0xff, %es:0x210	/* type_of_loader: undefined */
	movb	$1, %es:0x211		/* loadflags: LOADED_HIGH */
	movl	$INITRD, %es:0x218
	movl	$INITRD_SIZE, %es:0x21c
	movl	$cmdline, %es:0x228

	/* The first 4 GiB one to one, in pages of 2 MiB, which every model has. */
	movl	$PDPT | 3, %es:(PML4 - ZERO_PAGE)
	movl	$PD | 3, %es:(PDPT - ZERO_PAGE)
	movl	$(PD + 0x1000) | 3, %es:(PDPT - ZERO_PAGE + 8)
	movl	$(PD + 0x2000) | 3, %es:(PDPT - ZERO_PAGE + 16)
	movl	$(PD + 0x3000) | 3, %es:(PDPT - ZERO_PAGE + 24)
	movw	$PD - ZERO_PAGE, %di
	movl	$0x83, %eax		/* present, writable, large */
3:	movl	%eax, %es:(%di)
	addw	$8, %di
	addl	$2 << 20, %eax
	jnc	3b

	inb	$0x92, %al		/* A20 */
	orb	$2, %al
	andb	$0xfe, %al
	outb	%al, $0x92
	lgdtl	%cs:gdtr - _start
	movl	%cr4, %eax
	orl	$1 << 5, %eax		/* PAE */
	movl	%eax, %cr4
	movl	$PML4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$1 << 8, %eax		/* EFER.LME */
	wrmsr
	movl	%cr0, %eax
	andl	$0x9fffffff, %eax	/* CD and NW off */
	orl	$0x80000001, %eax	/* PG and PE on */
	movl	%eax, %cr0
	ljmpl	$0x10, $long_mode

	.code64
long_mode:
	movl	$0x18, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss

	/* ATA PIO, at most 256 sectors a command: Bochs does a "rep insw" at once. */
	movl	$IMAGE, %edi
	xorl	%ebx, %ebx		/* LBA */
	movl	$SECTORS, %ebp		/* left */
4:	movl	$256, %esi
	cmpl	%esi, %ebp
	cmovb	%ebp, %esi
	movl	$0x1f2, %edx		/* sector count, 0 for 256 */
	movl	%esi, %eax
	outb	%al, %dx
	movl	%ebx, %eax		/* LBA in the next three ports, and 4 bits */
	orl	$0xe0000000, %eax	/* LBA mode, drive 0 */
	movl	$4, %ecx
5:	incl	%edx
	outb	%al, %dx
	shrl	$8, %eax
	loop	5b
	incl	%edx
	movb	$0x20, %al		/* READ SECTORS */
	outb	%al, %dx
	addl	%esi, %ebx
	subl	%esi, %ebp
6:	movl	$0x1f7, %edx
7:	inb	%dx, %al
	andb	$0x88, %al		/* BSY, DRQ */
	cmpb	$0x08, %al
	jne	7b
	movl	$0x1f0, %edx
	movl	$256, %ecx
	rep insw
	decl	%esi
	jnz	6b
	testl	%ebp, %ebp
	jnz	4b

	movl	$ZERO_PAGE, %esi
	movl	$ENTRY, %eax
	jmp	*%rax

	.balign	8
gdt:	.quad	0, 0
	.quad	0x00af9a000000ffff	/* 0x10: code, 64-bit */
	.quad	0x00cf92000000ffff	/* 0x18: data */
gdtr:	.word	. - gdt - 1
	.long	gdt
cmdline:
	.asciz	CMDLINE
	.byte	0			/* scripts/host: makes the sum of all bytes 0 */
	.balign	512, 0
end:
