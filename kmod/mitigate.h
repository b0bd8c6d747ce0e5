/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LM_MITIGATE_H
#define LM_MITIGATE_H

struct lm_vcpu;

void lm_mitigate_setup(void);
void lm_mitigate_enter(struct lm_vcpu *vcpu);
void lm_mitigate_leave(struct lm_vcpu *vcpu);

#endif
