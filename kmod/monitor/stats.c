// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters in debugfs: lamina/<pid of the owner>-<VM>/vcpu<N>, a name and a
 * value a line.  They are read without locks and may be a few events old.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "../lamina.h"
#include "stats.h"
#include "trace.h"

static struct dentry *lm_debugfs;

static int lm_vcpu_stats_show(struct seq_file *m, void *unused)
{
	static const struct trace_print_flags kinds[] = { LM_EXIT_NAMES };
	struct lm_vcpu *vcpu = m->private;
	const struct lm_vcpu_stat *s = &vcpu->stat;
	u64 exits = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		seq_printf(m, "exit_%s %llu\n", kinds[i].name, s->by_kind[kinds[i].mask]);
		exits += s->by_kind[kinds[i].mask];
	}
	seq_printf(m, "exits %llu\n", exits);
	seq_printf(m, "guest_tsc %llu\n", s->guest_tsc);
	seq_printf(m, "user_exits %llu\n", s->user_exits);
	seq_printf(m, "need_faults %llu\n", s->need_faults);
	seq_printf(m, "doorbells_known %llu\n", s->doorbells_known);
	seq_printf(m, "halts %llu\n", s->halts);
	seq_printf(m, "halt_polled %llu\n", s->halt_polled);
	seq_printf(m, "kicks %llu\n", s->kicks);
	seq_printf(m, "irq_injected %llu\n", s->irq_injected);
	seq_printf(m, "nmi_injected %llu\n", s->nmi_injected);
	seq_printf(m, "flushes %llu\n", s->flushes);
	/* Where it stands: what a hang needs to be understood. */
	seq_printf(m, "cpu %d\n", READ_ONCE(vcpu->cpu));
	seq_printf(m, "mp_state %u\n", READ_ONCE(vcpu->mp_state));
	seq_printf(m, "requests %lx\n", READ_ONCE(vcpu->requests));
	seq_printf(m, "rip %llx\n", READ_ONCE(vcpu->st.rip));
	seq_printf(m, "rflags %llx\n", READ_ONCE(vcpu->st.rflags));
	seq_printf(m, "inflight %llx\n", READ_ONCE(vcpu->ev.inflight));
	seq_printf(m, "nmi_masked %d\n", READ_ONCE(vcpu->ev.nmi_masked));
	if (vcpu->lapic)
		lm_lapic_show(vcpu, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(lm_vcpu_stats);

static int lm_vm_stats_show(struct seq_file *m, void *unused)
{
	struct lm_vm *vm = m->private;

	seq_printf(m, "owner %d\n", vm->owner);
	seq_printf(m, "vcpus %d\n", vm->nr_vcpus);
	seq_printf(m, "table_pages %ld\n", atomic_long_read(&vm->mem.table_pages));
	seq_printf(m, "flush_generation %lld\n", atomic64_read(&vm->mem.flush.gen));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(lm_vm_stats);

void lm_stats_init(void)
{
	lm_debugfs = debugfs_create_dir("lamina", NULL);
}

void lm_stats_exit(void)
{
	debugfs_remove_recursive(lm_debugfs);
}

void lm_stats_add(struct lm_vm *vm)
{
	char name[40];

	snprintf(name, sizeof(name), "%d-%llu", vm->owner, vm->id);
	vm->debugfs = debugfs_create_dir(name, lm_debugfs);
	debugfs_create_file("vm", 0400, vm->debugfs, vm, &lm_vm_stats_fops);
}

void lm_stats_add_vcpu(struct lm_vcpu *vcpu)
{
	char name[24];

	snprintf(name, sizeof(name), "vcpu%d", vcpu->id);
	debugfs_create_file(name, 0400, vcpu->vm->debugfs, vcpu, &lm_vcpu_stats_fops);
}

/* Waits for readers, so the VM and its vCPUs may be freed afterwards. */
void lm_stats_remove(struct lm_vm *vm)
{
	debugfs_remove_recursive(vm->debugfs);
}
