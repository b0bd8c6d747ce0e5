/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vendor's operations as static calls, and what the core keeps per CPU.
 */
#ifndef LM_BACKEND_H
#define LM_BACKEND_H

#include <linux/percpu.h>
#include <linux/static_call.h>

#include "lamina.h"

extern const struct lm_backend *lm_backend;

#define LM_BACKEND_CALL(op)						\
void lm_op_##op(struct lm_vcpu *vcpu);					\
DECLARE_STATIC_CALL(lm_op_##op, lm_op_##op);				\
static __always_inline void lm_backend_##op(struct lm_vcpu *vcpu)	\
{									\
	static_call(lm_op_##op)(vcpu);					\
}

void lm_op_get(struct lm_vcpu *vcpu, u32 groups);
DECLARE_STATIC_CALL(lm_op_get, lm_op_get);

LM_BACKEND_CALL(load)
LM_BACKEND_CALL(unload)
LM_BACKEND_CALL(enter)
LM_BACKEND_CALL(window)
LM_BACKEND_CALL(update)
LM_BACKEND_CALL(tsc)

void lm_op_apic(struct lm_vcpu *vcpu);
DECLARE_STATIC_CALL(lm_op_apic, lm_op_apic);

static __always_inline void lm_backend_apic(struct lm_vcpu *vcpu)
{
	static_call_cond(lm_op_apic)(vcpu);
}

struct lm_host_dr {
	unsigned long dr[4], dr7;
	bool active;
};

DECLARE_PER_CPU(struct lm_host_dr, lm_host_dr);
DECLARE_PER_CPU(u64, lm_host_tsc_aux);
DECLARE_PER_CPU(bool, lm_cpu_is_on);			/* virtualisation is on */
DECLARE_PER_CPU(struct lm_vcpu *, lm_current);		/* whose section is loaded */

void lm_dr_use(struct lm_vcpu *vcpu);
void lm_tsc_aux_set(struct lm_vcpu *vcpu, u64 val);
void lm_section_window(struct lm_vcpu *vcpu);

#endif
