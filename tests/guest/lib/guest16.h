/* SPDX-License-Identifier: GPL-2.0-only */
/* What real-mode guests have besides lib.h. */
#ifndef LM_GUEST16_H
#define LM_GUEST16_H
extern volatile u32 fixup, trap_count[256];
extern volatile u16 last_vec, last_ip;
void ivt_init(void);
void unreal(void);	/* 4 GiB limits in DS, ES, FS, GS, SS */
#define NOTRAP 0xffff
#define TRYI(insn, ...) ({							\
	last_vec = NOTRAP;							\
	asm volatile("movl $77f, %[fx]\n\t" insn "\n77:\tmovl $0, %[fx]"	\
		:: __VA_ARGS__, [fx] "m"(fixup) : "memory");			\
	last_vec; })
#endif
