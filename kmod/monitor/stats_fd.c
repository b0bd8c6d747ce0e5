// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_STATS_FD: the counters of a VM or a vCPU in the binary form of KVM's API, a
 * header, an id, descriptors and values.  A read makes the whole picture and gives the part
 * that was asked for: who reads all at once sees values of one moment, as far as
 * counters that others write have one.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/slab.h>

#include "../lamina.h"
#include "stats.h"
#include "trace.h"

#define LM_STAT_NAME	48	/* bytes of a name, NUL included */
#define LM_STAT_COUNT	(KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)
#define LM_STAT_CYCLES	(KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_CYCLES | KVM_STATS_BASE_POW10)
#define LM_STAT_NOW	(KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)

struct lm_stat_head {
	struct kvm_stats_header h;
	char id[LM_STAT_NAME];
};

/* struct kvm_stats_desc as user space sees it: from 6.12 on the kernel's own has room for a name. */
struct lm_stat_desc {
	struct {
		u32 flags;
		s16 exponent;
		u16 size;
		u32 offset;
		u32 bucket_size;
	} d;
	char name[LM_STAT_NAME];
};
static_assert(offsetof(struct lm_stat_desc, name) == offsetof(struct kvm_stats_desc, name));

struct lm_stat {
	const char *name;
	u32 flags;
	u64 val;
};

#define LM_VCPU_STATS	(LM_EXIT_KINDS + 10)
#define LM_VM_STATS	4

static unsigned int lm_vcpu_values(struct lm_vcpu *vcpu, struct lm_stat *v)
{
	static const struct trace_print_flags kinds[] = { LM_EXIT_NAMES };
	const struct lm_vcpu_stat *s = &vcpu->stat;
	u64 exits = 0;
	unsigned int i;

	BUILD_BUG_ON(ARRAY_SIZE(kinds) > LM_EXIT_KINDS);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		*v = (struct lm_stat){ kinds[i].name, LM_STAT_COUNT,
				       READ_ONCE(s->by_kind[kinds[i].mask]) };
		exits += v++->val;
	}
	*v++ = (struct lm_stat){ "exits", LM_STAT_COUNT, exits };
	*v++ = (struct lm_stat){ "guest_tsc", LM_STAT_CYCLES, READ_ONCE(s->guest_tsc) };
	*v++ = (struct lm_stat){ "user_exits", LM_STAT_COUNT, READ_ONCE(s->user_exits) };
	*v++ = (struct lm_stat){ "need_faults", LM_STAT_COUNT, READ_ONCE(s->need_faults) };
	*v++ = (struct lm_stat){ "halts", LM_STAT_COUNT, READ_ONCE(s->halts) };
	*v++ = (struct lm_stat){ "halt_polled", LM_STAT_COUNT, READ_ONCE(s->halt_polled) };
	*v++ = (struct lm_stat){ "kicks", LM_STAT_COUNT, READ_ONCE(s->kicks) };
	*v++ = (struct lm_stat){ "irq_injected", LM_STAT_COUNT, READ_ONCE(s->irq_injected) };
	*v++ = (struct lm_stat){ "nmi_injected", LM_STAT_COUNT, READ_ONCE(s->nmi_injected) };
	*v++ = (struct lm_stat){ "flushes", LM_STAT_COUNT, READ_ONCE(s->flushes) };
	return ARRAY_SIZE(kinds) + 10;
}

static unsigned int lm_vm_values(struct lm_vm *vm, struct lm_stat *v)
{
	v[0] = (struct lm_stat){ "vcpus", LM_STAT_NOW, lm_vcpu_count(vm) };
	v[1] = (struct lm_stat){ "table_pages", LM_STAT_NOW,
				 atomic_long_read(&vm->mem.table_pages) };
	v[2] = (struct lm_stat){ "memory_bytes", KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_BYTES |
				 KVM_STATS_BASE_POW2, lm_mem_size(vm) };
	v[3] = (struct lm_stat){ "flush_generation", LM_STAT_COUNT,
				 atomic64_read(&vm->mem.flush.gen) };
	return LM_VM_STATS;
}

static ssize_t lm_stat_read(char __user *to, size_t size, loff_t *pos, const char *id,
			    const struct lm_stat *v, unsigned int nr)
{
	size_t descs = nr * sizeof(struct lm_stat_desc), bytes;
	struct lm_stat_head *head;
	struct lm_stat_desc *desc;
	unsigned int i;
	ssize_t r;
	u64 *data;

	BUILD_BUG_ON(sizeof(struct lm_stat_head) % 8 || sizeof(struct lm_stat_desc) % 8);
	bytes = sizeof(*head) + descs + nr * sizeof(*data);
	head = kvzalloc(bytes, GFP_KERNEL_ACCOUNT);
	if (!head)
		return -ENOMEM;
	desc = (void *)(head + 1);
	data = (void *)(desc + nr);
	head->h.name_size = LM_STAT_NAME;
	head->h.num_desc = nr;
	head->h.id_offset = offsetof(struct lm_stat_head, id);
	head->h.desc_offset = sizeof(*head);
	head->h.data_offset = sizeof(*head) + descs;
	strscpy(head->id, id, sizeof(head->id));
	for (i = 0; i < nr; i++) {
		desc[i].d.flags = v[i].flags;
		desc[i].d.size = 1;
		desc[i].d.offset = i * sizeof(*data);
		strscpy(desc[i].name, v[i].name, sizeof(desc[i].name));
		data[i] = v[i].val;
	}
	r = simple_read_from_buffer(to, size, pos, head, bytes);
	kvfree(head);
	return r;
}

static ssize_t lm_vcpu_stats_read(struct file *file, char __user *to, size_t size, loff_t *pos)
{
	struct lm_vcpu *vcpu = file->private_data;
	struct lm_stat *v;
	unsigned int nr;
	char id[LM_STAT_NAME];
	ssize_t r;

	v = kcalloc(LM_VCPU_STATS, sizeof(*v), GFP_KERNEL_ACCOUNT);
	if (!v)
		return -ENOMEM;
	nr = lm_vcpu_values(vcpu, v);
	snprintf(id, sizeof(id), "kvm-%d/vcpu-%d", vcpu->vm->owner, vcpu->id);
	r = lm_stat_read(to, size, pos, id, v, nr);
	kfree(v);
	return r;
}

static ssize_t lm_vm_stats_read(struct file *file, char __user *to, size_t size, loff_t *pos)
{
	struct lm_vm *vm = file->private_data;
	struct lm_stat v[LM_VM_STATS];
	char id[LM_STAT_NAME];

	snprintf(id, sizeof(id), "kvm-%d", vm->owner);
	return lm_stat_read(to, size, pos, id, v, lm_vm_values(vm, v));
}

static int lm_vcpu_stats_release(struct inode *inode, struct file *file)
{
	struct lm_vcpu *vcpu = file->private_data;

	lm_vm_put(vcpu->vm);
	return 0;
}

static int lm_vm_stats_release(struct inode *inode, struct file *file)
{
	lm_vm_put(file->private_data);
	return 0;
}

static const struct file_operations lm_vcpu_stats_fops = {
	.owner = THIS_MODULE,
	.read = lm_vcpu_stats_read,
	.release = lm_vcpu_stats_release,
	.llseek = default_llseek,
};

static const struct file_operations lm_vm_stats_fops = {
	.owner = THIS_MODULE,
	.read = lm_vm_stats_read,
	.release = lm_vm_stats_release,
	.llseek = default_llseek,
};

static int lm_stats_fd(struct lm_vm *vm, const char *name, const struct file_operations *fops,
		       void *obj)
{
	struct file *file;
	int fd = get_unused_fd_flags(O_CLOEXEC);

	if (fd < 0)
		return fd;
	file = anon_inode_getfile(name, fops, obj, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	file->f_mode |= FMODE_PREAD;
	lm_vm_get(vm);
	fd_install(fd, file);
	return fd;
}

/**
 * lm_stats_fd_vm - KVM_GET_STATS_FD of a VM
 * @vm: the VM, which lives as long as the descriptor
 *
 * Return: a descriptor to read from, or an errno
 */
int lm_stats_fd_vm(struct lm_vm *vm)
{
	return lm_stats_fd(vm, "lamina-vm-stats", &lm_vm_stats_fops, vm);
}

/**
 * lm_stats_fd_vcpu - KVM_GET_STATS_FD of a vCPU
 * @vcpu: the vCPU
 *
 * Return: a descriptor to read from, or an errno
 */
int lm_stats_fd_vcpu(struct lm_vcpu *vcpu)
{
	return lm_stats_fd(vcpu->vm, "lamina-vcpu-stats", &lm_vcpu_stats_fops, vcpu);
}
