/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What debug_state compares, whoever runs the vCPU.
 */
#ifndef LM_DEBUG_H
#define LM_DEBUG_H

#include <linux/types.h>

struct lm_state;

/**
 * struct lm_field - a field of a structure that is compared or overwritten
 * @name: for the log
 * @off, @size: where it is
 * @group: bits that choose it
 */
struct lm_field {
	const char *name;
	u16 off, size;
	u32 group;
};

extern bool lm_debug_state;

const char *lm_fields_differ(const struct lm_field *f, unsigned int nr, const void *a,
			     const void *b, u32 groups);
const char *lm_state_differ(const struct lm_state *a, const struct lm_state *b, u32 groups);
void lm_state_poison(struct lm_state *st, u32 groups);

#endif
