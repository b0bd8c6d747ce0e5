// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vCPU's file descriptor: creation, ioctls, the pages shared with user
 * space, destruction.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "lamina.h"
#include "backend.h"
#include "monitor/stats.h"

/* ---- MSRs: the API's partial success: how many were done ---- */

#define LM_MAX_MSR_IO	256

static int lm_msr_io(struct lm_vcpu *vcpu, struct kvm_msrs __user *arg, bool write)
{
	struct kvm_msr_entry *e;
	struct kvm_msrs hdr;
	int i, r = 0;

	if (copy_from_user(&hdr, arg, sizeof(hdr)))
		return -EFAULT;
	if (hdr.nmsrs >= LM_MAX_MSR_IO)
		return -E2BIG;
	e = memdup_user(arg->entries, array_size(hdr.nmsrs, sizeof(*e)));
	if (IS_ERR(e))
		return PTR_ERR(e);
	for (i = 0; i < hdr.nmsrs; i++) {
		r = write ? lm_msr_write(vcpu, e[i].index, e[i].data, true) :
			    lm_msr_read(vcpu, e[i].index, &e[i].data, true);
		if (r)
			break;
	}
	r = i;
	if (!write && copy_to_user(arg->entries, e, i * sizeof(*e)))
		r = -EFAULT;
	kfree(e);
	return r;
}

/* ---- CPUID ---- */

static int lm_set_cpuid2(struct lm_vcpu *vcpu, void __user *arg)
{
	struct kvm_cpuid_entry2 *entries = NULL;
	struct kvm_cpuid2 hdr;
	int r;

	if (copy_from_user(&hdr, arg, sizeof(hdr)))
		return -EFAULT;
	if (hdr.nent > LM_MAX_CPUID)
		return -E2BIG;
	if (hdr.nent) {
		entries = vmemdup_user(arg + sizeof(hdr), array_size(hdr.nent, sizeof(*entries)));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	r = lm_cpuid_set(vcpu, &hdr, entries);
	kvfree(entries);
	if (!r)
		lm_backend_update(vcpu);
	return r;
}

/* KVM_SET_CPUID, of before there were subleaves. */
static int lm_set_cpuid_old(struct lm_vcpu *vcpu, struct kvm_cpuid __user *arg)
{
	struct kvm_cpuid_entry2 *entries = NULL;
	struct kvm_cpuid_entry e;
	struct kvm_cpuid2 to = {};
	u32 nent, i;
	int r = -EFAULT;

	if (get_user(nent, &arg->nent))
		return -EFAULT;
	if (nent > LM_MAX_CPUID)
		return -E2BIG;
	entries = kvcalloc(nent, sizeof(*entries), GFP_KERNEL_ACCOUNT);
	if (!entries)
		return -ENOMEM;
	for (i = 0; i < nent; i++) {
		if (copy_from_user(&e, &arg->entries[i], sizeof(e)))
			goto out;
		entries[i].function = e.function;
		entries[i].eax = e.eax;
		entries[i].ebx = e.ebx;
		entries[i].ecx = e.ecx;
		entries[i].edx = e.edx;
	}
	to.nent = nent;
	r = lm_cpuid_set(vcpu, &to, entries);
	if (!r)
		lm_backend_update(vcpu);
out:
	kvfree(entries);
	return r;
}

/* ---- the rest ---- */

static int lm_set_sigmask(struct lm_vcpu *vcpu, struct kvm_signal_mask __user *arg)
{
	struct kvm_signal_mask hdr;
	sigset_t set;

	if (!arg) {
		vcpu->sigmask_set = false;
		return 0;
	}
	if (copy_from_user(&hdr, arg, sizeof(hdr)))
		return -EFAULT;
	if (hdr.len != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, arg->sigset, sizeof(set)))
		return -EFAULT;
	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->sigmask = set;
	vcpu->sigmask_set = true;
	return 0;
}

static int lm_set_mp_state(struct lm_vcpu *vcpu, const struct kvm_mp_state *s)
{
	if (s->mp_state != KVM_MP_STATE_RUNNABLE &&
	    (!vcpu->lapic || (s->mp_state != KVM_MP_STATE_UNINITIALIZED &&
			      s->mp_state != KVM_MP_STATE_INIT_RECEIVED &&
			      s->mp_state != KVM_MP_STATE_HALTED)))
		return -EINVAL;
	WRITE_ONCE(vcpu->mp_state, s->mp_state);
	lm_request(vcpu, LM_REQ_EVENT);
	return 0;
}

static int lm_user_interrupt(struct lm_vcpu *vcpu, const struct kvm_interrupt *irq)
{
	if (irq->irq > 255)
		return -EINVAL;
	if (vcpu->vm->irq.pic)
		return -ENXIO;
	if (vcpu->ev.user_irq >= 0)
		return -EEXIST;
	vcpu->ev.user_irq = irq->irq;
	lm_request(vcpu, LM_REQ_EVENT);
	return 0;
}

/*
 * The thread's own mask is kept where the kernel looks for one that is replaced
 * for a while: a signal that is blocked by it ends the run, but is neither dropped
 * because it is ignored nor deadly.
 */
static int lm_vcpu_run_ioctl(struct lm_vcpu *vcpu, unsigned long arg)
{
	int r;

	if (arg)
		return -EINVAL;
	if (!vcpu->sigmask_set)
		return lm_vcpu_run(vcpu);
	sigprocmask(SIG_SETMASK, &vcpu->sigmask, &current->real_blocked);
	r = lm_vcpu_run(vcpu);
	sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
	sigemptyset(&current->real_blocked);
	return r;
}

/*
 * GET and SET of one structure: the ioctl's number knows its size, so the copy
 * is written once.  A large one (LAPIC, XSAVE) does not fit the stack.
 */
#define LM_GET(ioctl, type, fn)							\
	case ioctl: {								\
		type *d = buf;							\
		r = fn(vcpu, d);						\
		out = r ? 0 : sizeof(*d);					\
		break;								\
	}

#define LM_SET(ioctl, type, fn)							\
	case ioctl: {								\
		const type *d = buf;						\
		r = fn(vcpu, d);						\
		break;								\
	}

static int lm_get_mp_state(struct lm_vcpu *vcpu, struct kvm_mp_state *s)
{
	if (vcpu->lapic && lm_lapic_init_sipi_pending(vcpu))
		lm_vcpu_take_init_sipi(vcpu);
	s->mp_state = vcpu->mp_state;
	return 0;
}

static int lm_lapic_get_checked(struct lm_vcpu *vcpu, struct kvm_lapic_state *s)
{
	return vcpu->lapic ? lm_lapic_get(vcpu, s) : -EINVAL;
}

static int lm_lapic_set_checked(struct lm_vcpu *vcpu, const struct kvm_lapic_state *s)
{
	return vcpu->lapic ? lm_lapic_set(vcpu, s) : -EINVAL;
}

/* KVM_TRANSLATE: by the guest's own tables, for a read that may do all. */
static int lm_translate(struct lm_vcpu *vcpu, struct kvm_translation *t)
{
	u64 gpa = ~0ull;
	u32 error;
	int r;

	for (;;) {
		r = lm_section_enter(vcpu);
		if (r)
			return r;
		/* A walk writes accessed bits. */
		if (vcpu->ring.gfn && lm_dirty_ring_full(vcpu)) {
			lm_section_leave(vcpu);
			return -EBUSY;
		}
		r = lm_walk(vcpu, t->linear_address, LM_ACC_SYS, &gpa, &error);
		lm_section_leave(vcpu);
		if (r == LM_NEED)
			r = lm_mem_need(vcpu);
		else if (r != LM_AGAIN)
			break;
		if (r < 0)
			return r;
		if (signal_pending(current))
			return -EINTR;
	}
	t->valid = r == LM_DONE;
	t->physical_address = t->valid ? gpa : ~0ull;
	t->writeable = 1;
	t->usermode = 0;
	return 0;
}

/* ---- attributes: the TSC's offset ---- */

static int lm_has_attr(struct lm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	return attr->group == KVM_VCPU_TSC_CTRL && attr->attr == KVM_VCPU_TSC_OFFSET ? 0 : -ENXIO;
}

static int lm_get_attr(struct lm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	u64 __user *to = u64_to_user_ptr(attr->addr);

	if (lm_has_attr(vcpu, attr))
		return -ENXIO;
	return put_user(vcpu->x86.tsc_offset, to) ? -EFAULT : 0;
}

static int lm_set_attr(struct lm_vcpu *vcpu, const struct kvm_device_attr *attr)
{
	u64 __user *from = u64_to_user_ptr(attr->addr);
	u64 offset;

	if (lm_has_attr(vcpu, attr))
		return -ENXIO;
	if (get_user(offset, from))
		return -EFAULT;
	lm_tsc_offset_write(vcpu, offset);
	return 0;
}

/* The ioctls that carry a structure of fixed size. */
static long lm_vcpu_struct_ioctl(struct lm_vcpu *vcpu, unsigned int ioctl, void __user *arg)
{
	u64 small[320 / sizeof(u64)];	/* SREGS is 312 bytes */
	size_t size = _IOC_SIZE(ioctl);
	void *buf = small;
	size_t out = 0;
	long r;

	if (size > sizeof(small)) {
		if (size > sizeof(struct kvm_xsave))
			return -ENOTTY;
		buf = kzalloc(sizeof(struct kvm_xsave), GFP_KERNEL_ACCOUNT);
		if (!buf)
			return -ENOMEM;
	}
	r = -EFAULT;
	if ((_IOC_DIR(ioctl) & _IOC_WRITE) && copy_from_user(buf, arg, size))
		goto out;
	switch (ioctl) {
	LM_GET(KVM_GET_REGS, struct kvm_regs, lm_get_regs);
	LM_SET(KVM_SET_REGS, struct kvm_regs, lm_set_regs);
	LM_GET(KVM_GET_SREGS, struct kvm_sregs, lm_sregs_get);
	LM_SET(KVM_SET_SREGS, struct kvm_sregs, lm_sregs_set);
	LM_GET(KVM_GET_SREGS2, struct kvm_sregs2, lm_sregs2_get);
	LM_SET(KVM_SET_SREGS2, struct kvm_sregs2, lm_sregs2_set);
	LM_GET(KVM_GET_FPU, struct kvm_fpu, lm_fpu_get);
	LM_SET(KVM_SET_FPU, struct kvm_fpu, lm_fpu_set);
	LM_GET(KVM_GET_XSAVE, struct kvm_xsave, lm_xsave_get);
	LM_GET(KVM_GET_XSAVE2, struct kvm_xsave, lm_xsave_get);	/* no more than 4 KiB here */
	LM_SET(KVM_SET_XSAVE, struct kvm_xsave, lm_xsave_set);
	LM_GET(KVM_GET_XCRS, struct kvm_xcrs, lm_xcrs_get);
	LM_SET(KVM_SET_XCRS, struct kvm_xcrs, lm_xcrs_set);
	LM_GET(KVM_GET_DEBUGREGS, struct kvm_debugregs, lm_get_debugregs);
	LM_SET(KVM_SET_DEBUGREGS, struct kvm_debugregs, lm_set_debugregs);
	LM_SET(KVM_SET_GUEST_DEBUG, struct kvm_guest_debug, lm_set_guest_debug);
	LM_GET(KVM_GET_LAPIC, struct kvm_lapic_state, lm_lapic_get_checked);
	LM_SET(KVM_SET_LAPIC, struct kvm_lapic_state, lm_lapic_set_checked);
	LM_GET(KVM_GET_MP_STATE, struct kvm_mp_state, lm_get_mp_state);
	LM_SET(KVM_SET_MP_STATE, struct kvm_mp_state, lm_set_mp_state);
	LM_GET(KVM_GET_VCPU_EVENTS, struct kvm_vcpu_events, lm_vcpu_events_get);
	LM_SET(KVM_SET_VCPU_EVENTS, struct kvm_vcpu_events, lm_vcpu_events_set);
	case KVM_TPR_ACCESS_REPORTING:
		r = lm_tpr_reporting(vcpu, buf);
		out = r ? 0 : size;
		break;
	LM_SET(KVM_SET_VAPIC_ADDR, struct kvm_vapic_addr, lm_vapic_set);
	LM_SET(KVM_X86_SETUP_MCE, u64, lm_mce_setup);
	LM_SET(KVM_X86_SET_MCE, struct kvm_x86_mce, lm_mce_inject);
	LM_SET(KVM_INTERRUPT, struct kvm_interrupt, lm_user_interrupt);
	LM_SET(KVM_SET_DEVICE_ATTR, struct kvm_device_attr, lm_set_attr);
	LM_SET(KVM_GET_DEVICE_ATTR, struct kvm_device_attr, lm_get_attr);
	LM_SET(KVM_HAS_DEVICE_ATTR, struct kvm_device_attr, lm_has_attr);
	case KVM_TRANSLATE: {
		struct kvm_translation *t = buf;

		r = lm_translate(vcpu, t);
		out = r ? 0 : sizeof(*t);
		break;
	}
	default:
		r = -ENOTTY;
	}
	if (out && copy_to_user(arg, buf, out))
		r = -EFAULT;
out:
	if (buf != small)
		kfree(buf);
	return r;
}

static noinline long lm_vcpu_locked_ioctl(struct lm_vcpu *vcpu, unsigned int ioctl, unsigned long arg)
{
	void __user *p = (void __user *)arg;

	switch (ioctl) {
	case KVM_GET_MSRS:
		return lm_msr_io(vcpu, p, false);
	case KVM_SET_MSRS:
		return lm_msr_io(vcpu, p, true);
	case KVM_SET_CPUID2:
		return lm_set_cpuid2(vcpu, p);
	case KVM_SET_CPUID:
		return lm_set_cpuid_old(vcpu, p);
	case KVM_GET_CPUID2:
		return lm_cpuid_get(vcpu, p);
	case KVM_SET_SIGNAL_MASK:
		return lm_set_sigmask(vcpu, p);
	case KVM_ENABLE_CAP:
		return lm_vcpu_enable_cap(vcpu, p);
	case KVM_GET_STATS_FD:
		return lm_stats_fd_vcpu(vcpu);
	case KVM_KVMCLOCK_CTRL:
		return lm_pvclock_stopped(vcpu);
	case KVM_NMI:
		lm_vcpu_nmi(vcpu);
		return 0;
	case KVM_GET_TSC_KHZ:
		return vcpu->x86.tsc_khz;
	case KVM_SET_TSC_KHZ:
		return arg > U32_MAX ? -EINVAL : lm_tsc_set_khz(vcpu, arg);
	default:
		return lm_vcpu_struct_ioctl(vcpu, ioctl, p);
	}
}

static long lm_vcpu_ioctl(struct file *file, unsigned int ioctl, unsigned long arg)
{
	struct lm_vcpu *vcpu = file->private_data;
	long r;

	if (vcpu->vm->mm != current->mm)
		return -EIO;
	if (unlikely(_IOC_TYPE(ioctl) != KVMIO))
		return -ENOTTY;
	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	if (likely(ioctl == KVM_RUN))
		r = lm_vcpu_run_ioctl(vcpu, arg);
	else
		r = lm_vcpu_locked_ioctl(vcpu, ioctl, arg);
	mutex_unlock(&vcpu->mutex);
	return r;
}

/* ---- the shared pages ---- */

static vm_fault_t lm_vcpu_fault(struct vm_fault *vmf)
{
	struct lm_vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page;
	void *addr;

	if (vmf->pgoff >= KVM_DIRTY_LOG_PAGE_OFFSET) {
		page = lm_dirty_ring_page(vcpu, vmf->pgoff - KVM_DIRTY_LOG_PAGE_OFFSET);
		goto found;
	}
	if (vmf->pgoff == 0)
		addr = vcpu->run;
	else if (vmf->pgoff == 1)
		addr = vcpu->pio_data;
	else if (vmf->pgoff == KVM_COALESCED_MMIO_PAGE_OFFSET)
		addr = vcpu->vm->irq.ring;
	else
		return VM_FAULT_SIGBUS;
	page = virt_to_page(addr);
found:
	if (!page)
		return VM_FAULT_SIGBUS;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct lm_vcpu_vm_ops = {
	.fault = lm_vcpu_fault,
};

static int lm_vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	/* A private copy of the dirty ring would tell nothing. */
	if (vma->vm_pgoff + vma_pages(vma) > KVM_DIRTY_LOG_PAGE_OFFSET &&
	    ((vma->vm_flags & VM_EXEC) || !(vma->vm_flags & VM_SHARED)))
		return -EINVAL;
	vma->vm_ops = &lm_vcpu_vm_ops;
	return 0;
}

static int lm_vcpu_release(struct inode *inode, struct file *file)
{
	struct lm_vcpu *vcpu = file->private_data;

	lm_vm_put(vcpu->vm);
	return 0;
}

static const struct file_operations lm_vcpu_fops = {
	.owner = THIS_MODULE,
	.release = lm_vcpu_release,
	.unlocked_ioctl = lm_vcpu_ioctl,
	.mmap = lm_vcpu_mmap,
	.llseek = noop_llseek,
};

/* ---- creation and destruction ---- */

/**
 * lm_vcpu_destroy - free a vCPU of a VM that has no descriptor left
 * @vcpu: the vCPU, or one that was never published
 *
 * Context: may sleep.
 */
void lm_vcpu_destroy(struct lm_vcpu *vcpu)
{
	if (vcpu->task)
		put_task_struct(vcpu->task);
	if (vcpu->lapic)
		lm_lapic_free(vcpu);
	lm_backend->vcpu_free(vcpu);
	lm_x86_free(vcpu);
	lm_mem_vcpu_free(vcpu);
	lm_dirty_ring_free(vcpu);
	free_page((unsigned long)vcpu->pio_data);
	free_page((unsigned long)vcpu->run);
	mutex_destroy(&vcpu->mutex);
	kvfree(vcpu);
}

static struct lm_vcpu *lm_vcpu_alloc(struct lm_vm *vm, u32 id)
{
	struct lm_vcpu *vcpu;
	int r = -ENOMEM, i;

	vcpu = kvzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);
	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->index = vm->nr_vcpus;
	vcpu->cpu = -1;
	vcpu->last_cpu = -1;
	vcpu->ev.user_irq = -1;
	for (i = 0; i < LM_INSN_CACHE; i++)
		vcpu->insn[i].key = ~0ull;
	mutex_init(&vcpu->mutex);
	spin_lock_init(&vcpu->task_lock);
	rcuwait_init(&vcpu->wait);
	vcpu->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->run)
		goto free_vcpu;
	vcpu->pio_data = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->pio_data)
		goto free_run;
	r = lm_dirty_ring_init(vcpu);
	if (r)
		goto free_pio;
	r = lm_mem_vcpu_init(vcpu);
	if (r)
		goto free_mem;
	r = lm_x86_init(vcpu);
	if (r)
		goto free_mem;
	r = lm_backend->vcpu_init(vcpu);
	if (r)
		goto free_x86;
	if (vm->irq.in_kernel) {
		r = lm_lapic_create(vcpu);
		if (r)
			goto free_backend;
	}
	return vcpu;

free_backend:
	lm_backend->vcpu_free(vcpu);
free_x86:
	lm_x86_free(vcpu);
free_mem:
	lm_mem_vcpu_free(vcpu);
	lm_dirty_ring_free(vcpu);
free_pio:
	free_page((unsigned long)vcpu->pio_data);
free_run:
	free_page((unsigned long)vcpu->run);
free_vcpu:
	mutex_destroy(&vcpu->mutex);
	kvfree(vcpu);
	return ERR_PTR(r);
}

static bool lm_vcpu_id_taken(struct lm_vm *vm, u32 id)
{
	int i;

	for (i = 0; i < vm->nr_vcpus; i++)
		if (vm->vcpu[i]->id == id)
			return true;
	return false;
}

/*
 * Under vm->lock.  What can fail comes first; the VM knows the vCPU before user
 * space has a descriptor to run it by, or flushes would pass it by.
 */
static int lm_vcpu_publish(struct lm_vcpu *vcpu)
{
	struct lm_vm *vm = vcpu->vm;
	struct file *file;
	char name[32];
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	snprintf(name, sizeof(name), "lamina-vcpu:%d", vcpu->id);
	file = anon_inode_getfile(name, &lm_vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	lm_vm_get(vm);
	WRITE_ONCE(vm->vcpu[vcpu->index], vcpu);
	/* Who sees the count sees the vCPU. */
	smp_store_release(&vm->nr_vcpus, vm->nr_vcpus + 1);
	lm_stats_add_vcpu(vcpu);
	fd_install(fd, file);
	return fd;
}

/**
 * lm_vcpu_create - KVM_CREATE_VCPU
 * @vm: the VM
 * @id: vCPU id, its initial APIC id
 *
 * Return: a file descriptor; -EINVAL for a bad id or too many vCPUs, -EEXIST
 */
int lm_vcpu_create(struct lm_vm *vm, u32 id)
{
	struct lm_vcpu *vcpu;
	int r;

	if (id >= LM_MAX_VCPU_ID)
		return -EINVAL;
	mutex_lock(&vm->lock);
	r = -EINVAL;
	if (vm->nr_vcpus >= LM_MAX_VCPUS || (vm->max_vcpu_id && id >= vm->max_vcpu_id))
		goto out;
	r = -EEXIST;
	if (lm_vcpu_id_taken(vm, id))
		goto out;
	vcpu = lm_vcpu_alloc(vm, id);
	r = PTR_ERR_OR_ZERO(vcpu);
	if (r)
		goto out;
	lm_x86_reset(vcpu, false);
	vcpu->mp_state = !vcpu->lapic || id == vm->bsp_id ? KVM_MP_STATE_RUNNABLE :
			 KVM_MP_STATE_UNINITIALIZED;
	if (vcpu->lapic)
		lm_lapic_reset(vcpu, false);
	r = lm_vcpu_publish(vcpu);
	if (r < 0)
		lm_vcpu_destroy(vcpu);
out:
	mutex_unlock(&vm->lock);
	return r;
}
