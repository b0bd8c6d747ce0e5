/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest images inside the client. */
	.section .rodata
	.macro image name
	.balign 16
	.global \name\()_start, \name\()_end
\name\()_start:
	.incbin "build/\name\().bin"
\name\()_end:
	.endm
	image g16
	image g32
	image g64
	.section .note.GNU-stack, "", @progbits
