/* SPDX-License-Identifier: GPL-2.0-only */
/* What 32-bit guests have besides lib.h. */
#ifndef LM_GUEST32_H
#define LM_GUEST32_H
struct frame32 {
	u32 es, ds, edi, esi, ebp, esp_, ebx, edx, ecx, eax, vec, err, eip, cs, eflags;
	u32 esp, ss, ves, vds, vfs, vgs;	/* only from an outer ring or VM86 */
};
struct gate32 { u16 lo, sel; u8 zero, type; u16 hi; };
struct last { u32 vec, err, cr2, eip, eflags, cs; };
extern struct gate32 idt32[256];
extern struct last last;
extern u32 fixup, tss32[26];
extern volatile u32 trap_count[256];
extern u64 gdt[];
extern char stack_top[];
typedef void (*handler32_t)(struct frame32 *f);
void on32(int vec, handler32_t h);
void idt_gate(int vec, u32 target, int type, u16 sel);
#define NOTRAP 0xffff
#define UNPAREN(...) __VA_ARGS__
#define TRYO(insn, outs, ...) ({						\
	last.vec = NOTRAP;							\
	asm volatile("movl $77f, %[fx]\n\t" insn "\n77:\tmovl $0, %[fx]"	\
		: UNPAREN outs : __VA_ARGS__, [fx] "m"(fixup) : "memory");	\
	last.vec; })
#define TRYI(insn, ...) ({							\
	last.vec = NOTRAP;							\
	asm volatile("movl $77f, %[fx]\n\t" insn "\n77:\tmovl $0, %[fx]"	\
		:: __VA_ARGS__, [fx] "m"(fixup) : "memory");			\
	last.vec; })
#endif
