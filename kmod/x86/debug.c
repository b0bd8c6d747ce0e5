// SPDX-License-Identifier: GPL-2.0-only
/*
 * debug_state: neutral state that is said to be valid must be what the vendor's control
 * block has, and who reads state that was not fetched shall not find the old value,
 * which is mostly right.
 */
#include <linux/moduleparam.h>
#include <linux/string.h>

#include "../lamina.h"
#include "debug.h"

bool lm_debug_state;
module_param_named(debug_state, lm_debug_state, bool, 0444);
MODULE_PARM_DESC(debug_state, "check at every entry what is cached of control blocks (slow)");

#define STATE_F(field, bit) { #field, offsetof(struct lm_state, field), \
	sizeof_field(struct lm_state, field), LM_S_##bit }

/* Not the PDPTRS: they mean something with PAE paging alone. */
static const struct lm_field state_fields[] = {
	STATE_F(rip, RIP), STATE_F(gpr[LM_RSP], RSP), STATE_F(rflags, RFLAGS),
	STATE_F(cr0, CR0), STATE_F(cr2, CR2), STATE_F(cr3, CR3), STATE_F(cr4, CR4),
	STATE_F(efer, EFER), STATE_F(seg[LM_CS], CS), STATE_F(seg[LM_SS], SS),
	STATE_F(seg[LM_DS], DATA), STATE_F(seg[LM_ES], DATA), STATE_F(seg[LM_FS], SEGS),
	STATE_F(seg[LM_GS], SEGS), STATE_F(seg[LM_LDTR], SEGS), STATE_F(seg[LM_TR], SEGS),
	STATE_F(gdt, DT), STATE_F(idt, DT), STATE_F(dr6, DR), STATE_F(dr7, DR),
	STATE_F(star, SYSCALL), STATE_F(lstar, SYSCALL), STATE_F(cstar, SYSCALL),
	STATE_F(sfmask, SYSCALL), STATE_F(kernel_gs_base, SYSCALL),
	STATE_F(sysenter_cs, SYSCALL), STATE_F(sysenter_esp, SYSCALL),
	STATE_F(sysenter_eip, SYSCALL), STATE_F(shadow, SHADOW), STATE_F(pat, PAT),
};

/**
 * lm_fields_differ - the first field in which two structures differ
 * @f: the fields to look at
 * @nr: how many
 * @a: one structure
 * @b: the other
 * @groups: only fields of these
 *
 * Return: NULL, or the field's name
 */
const char *lm_fields_differ(const struct lm_field *f, unsigned int nr, const void *a,
			     const void *b, u32 groups)
{
	for (; nr--; f++) {
		if ((f->group & groups) && memcmp(a + f->off, b + f->off, f->size))
			return f->name;
	}
	return NULL;
}

/**
 * lm_state_differ - lm_fields_differ() of two neutral states
 * @a: one
 * @b: the other
 * @groups: LM_S_*
 *
 * Return: NULL, or the field's name
 */
const char *lm_state_differ(const struct lm_state *a, const struct lm_state *b, u32 groups)
{
	return lm_fields_differ(state_fields, ARRAY_SIZE(state_fields), a, b, groups);
}

/**
 * lm_state_poison - overwrite neutral state
 * @st: the state
 * @groups: which of it, LM_S_*
 */
void lm_state_poison(struct lm_state *st, u32 groups)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(state_fields); i++) {
		if (state_fields[i].group & groups)
			memset((void *)st + state_fields[i].off, 0xa5, state_fields[i].size);
	}
}
