/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LM_STATS_H
#define LM_STATS_H

struct lm_vm;
struct lm_vcpu;

void lm_stats_init(void);
void lm_stats_exit(void);
void lm_stats_add(struct lm_vm *vm);
void lm_stats_add_vcpu(struct lm_vcpu *vcpu);
void lm_stats_remove(struct lm_vm *vm);
int lm_stats_fd_vm(struct lm_vm *vm);
int lm_stats_fd_vcpu(struct lm_vcpu *vcpu);

#endif
