// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VM's file descriptor: creation, ioctls, destruction.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/lamina.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "lamina.h"
#include "backend.h"
#include "monitor/stats.h"

#define LM_MIN_MMU_PAGES	20	/* the API's */

DEFINE_MUTEX(lm_vms_lock);
LIST_HEAD(lm_vms);

struct lm_vm *lm_vm_get(struct lm_vm *vm)
{
	refcount_inc(&vm->users);
	return vm;
}

static void lm_vm_destroy(struct lm_vm *vm)
{
	struct mm_struct *mm = vm->mm;
	int i;

	lm_names_remove(vm);
	lm_stats_remove(vm);
	/* Notifier, irqfds and the PIT's timer look at the vCPUs: they go first. */
	lm_mem_destroy(vm);
	lm_irq_destroy(vm);
	for (i = 0; i < vm->nr_vcpus; i++)
		lm_vcpu_destroy(vm->vcpu[i]);
	lm_hardware_disable();
	mutex_destroy(&vm->lock);
	lm_names_free(vm);
	lm_msr_filter_free(vm);
	kvfree(vm);
	mmdrop(mm);
}

void lm_vm_put(struct lm_vm *vm)
{
	if (refcount_dec_and_test(&vm->users))
		lm_vm_destroy(vm);
}

/**
 * lm_vms_suspend - the host is about to sleep: note where the guests' clocks are
 *
 * Context: interrupts off, all tasks frozen, so the list does not change.
 */
void lm_vms_suspend(void)
{
	struct lm_vm *vm;

	list_for_each_entry(vm, &lm_vms, node)
		lm_x86_suspend(vm);
}

/**
 * lm_vms_resumed - after suspend: clocks jumped, write the guests' clock pages again
 *
 * Context: interrupts off, all tasks frozen, so the list does not change.
 */
void lm_vms_resumed(void)
{
	struct lm_vcpu *vcpu;
	struct lm_vm *vm;
	int i;

	list_for_each_entry(vm, &lm_vms, node) {
		lm_x86_resume(vm);
		lm_for_each_vcpu(i, vcpu, vm)
			vcpu->last_cpu = -1;	/* CPUs forgot what they cached */
	}
}

/**
 * lm_vms_stop - the machine goes down: no vCPU may enter its guest again
 *
 * Context: may sleep.
 */
void lm_vms_stop(void)
{
	struct lm_vcpu *vcpu;
	struct lm_vm *vm;
	int i;

	mutex_lock(&lm_vms_lock);
	list_for_each_entry(vm, &lm_vms, node) {
		lm_for_each_vcpu(i, vcpu, vm) {
			lm_request(vcpu, LM_REQ_STOP);
			lm_kick(vcpu);
		}
		lm_flush_all(vm);	/* returns when all have left their guests */
	}
	mutex_unlock(&lm_vms_lock);
}

/* ---- ioctls ---- */

static int lm_vm_set_identity_map(struct lm_vm *vm, void __user *arg)
{
	u64 addr;
	int r = 0;

	if (copy_from_user(&addr, arg, sizeof(addr)))
		return -EFAULT;
	mutex_lock(&vm->lock);
	if (vm->nr_vcpus)
		r = -EINVAL;
	else
		vm->identity_map_addr = addr ? addr : 0xfffbc000;
	mutex_unlock(&vm->lock);
	return r;
}

/* Where VMX without unrestricted guest would keep three pages; kept, never needed. */
static int lm_vm_set_tss_addr(struct lm_vm *vm, unsigned long addr)
{
	if (addr > (unsigned int)(-3 * PAGE_SIZE))
		return -EINVAL;
	vm->tss_addr = addr;
	return 0;
}

/* How many shadow pages there may be.  There are none: kept, never needed. */
static int lm_vm_set_nr_mmu_pages(struct lm_vm *vm, unsigned long pages)
{
	if (pages < LM_MIN_MMU_PAGES || pages > INT_MAX)
		return -EINVAL;
	vm->nr_mmu_pages = pages;
	return 0;
}

static int lm_vm_set_memory(struct lm_vm *vm, void __user *arg)
{
	struct kvm_userspace_memory_region r;

	if (copy_from_user(&r, arg, sizeof(r)))
		return -EFAULT;
	return lm_mem_set_slot(vm, &r);
}

static int lm_vm_dirty_log(struct lm_vm *vm, void __user *arg)
{
	struct kvm_dirty_log log;

	if (copy_from_user(&log, arg, sizeof(log)))
		return -EFAULT;
	return lm_mem_get_dirty_log(vm, &log);
}

static int lm_vm_clear_dirty_log(struct lm_vm *vm, void __user *arg)
{
	struct kvm_clear_dirty_log log;

	if (copy_from_user(&log, arg, sizeof(log)))
		return -EFAULT;
	return lm_mem_clear_dirty_log(vm, &log);
}

static int lm_vm_create_irqchip(struct lm_vm *vm)
{
	int r;

	mutex_lock(&vm->lock);
	if (vm->irq.in_kernel)
		r = -EEXIST;
	else if (vm->nr_vcpus)
		r = -EINVAL;
	else
		r = lm_irq_create_chips(vm);
	mutex_unlock(&vm->lock);
	return r;
}

static int lm_vm_create_pit(struct lm_vm *vm, void __user *arg)
{
	struct kvm_pit_config cfg;
	int r;

	if (copy_from_user(&cfg, arg, sizeof(cfg)))
		return -EFAULT;
	mutex_lock(&vm->lock);
	if (vm->irq.pit)
		r = -EEXIST;
	else if (!vm->irq.pic)
		r = -ENOENT;
	else
		r = lm_irq_create_pit(vm, &cfg);
	mutex_unlock(&vm->lock);
	return r;
}

static int lm_vm_irq_line(struct lm_vm *vm, void __user *arg, bool status)
{
	struct kvm_irq_level level;
	int r;

	if (copy_from_user(&level, arg, sizeof(level)))
		return -EFAULT;
	if (!READ_ONCE(vm->irq.in_kernel))
		return -ENXIO;
	r = lm_irq_line(vm, level.irq, level.level, LM_SRC_USER);
	if (!status)
		return 0;
	level.status = r;
	return copy_to_user(arg, &level, sizeof(level)) ? -EFAULT : 0;
}

static int lm_vm_set_routing(struct lm_vm *vm, void __user *arg)
{
	struct kvm_irq_routing_entry *entries = NULL;
	struct kvm_irq_routing hdr;
	int r;

	if (copy_from_user(&hdr, arg, sizeof(hdr)))
		return -EFAULT;
	if (!READ_ONCE(vm->irq.in_kernel) || hdr.nr > LM_MAX_ROUTES || hdr.flags)
		return -EINVAL;
	if (hdr.nr) {
		entries = vmemdup_user(arg + sizeof(hdr), array_size(hdr.nr, sizeof(*entries)));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	r = lm_irq_set_routing(vm, &hdr, entries);
	kvfree(entries);
	return r;
}

static int lm_vm_irqfd(struct lm_vm *vm, void __user *arg)
{
	struct kvm_irqfd data;

	if (copy_from_user(&data, arg, sizeof(data)))
		return -EFAULT;
	return lm_irqfd(vm, &data);
}

static int lm_vm_ioeventfd(struct lm_vm *vm, void __user *arg)
{
	struct kvm_ioeventfd data;

	if (copy_from_user(&data, arg, sizeof(data)))
		return -EFAULT;
	return lm_ioeventfd(vm, &data);
}

static int lm_vm_coalesced(struct lm_vm *vm, void __user *arg, bool add)
{
	struct kvm_coalesced_mmio_zone zone;

	if (copy_from_user(&zone, arg, sizeof(zone)))
		return -EFAULT;
	return lm_coalesced_zone(vm, &zone, add);
}

static int lm_vm_signal_msi(struct lm_vm *vm, void __user *arg)
{
	struct kvm_msi msi;

	if (copy_from_user(&msi, arg, sizeof(msi)))
		return -EFAULT;
	return lm_irq_signal_msi(vm, &msi);
}

static int lm_vm_irqchip(struct lm_vm *vm, void __user *arg, bool set)
{
	struct kvm_irqchip *chip;
	int r;

	chip = memdup_user(arg, sizeof(*chip));
	if (IS_ERR(chip))
		return PTR_ERR(chip);
	r = set ? lm_irqchip_set(vm, chip) : lm_irqchip_get(vm, chip);
	if (!r && !set && copy_to_user(arg, chip, sizeof(*chip)))
		r = -EFAULT;
	kfree(chip);
	return r;
}

static int lm_vm_pit(struct lm_vm *vm, void __user *arg, bool set)
{
	struct kvm_pit_state2 ps;
	int r = -ENXIO;

	if (set && copy_from_user(&ps, arg, sizeof(ps)))
		return -EFAULT;
	mutex_lock(&vm->lock);
	if (vm->irq.pit)
		r = set ? lm_pit_set(vm, &ps) : lm_pit_get(vm, &ps);
	mutex_unlock(&vm->lock);
	if (!r && !set && copy_to_user(arg, &ps, sizeof(ps)))
		return -EFAULT;
	return r;
}

static int lm_vm_reinject(struct lm_vm *vm, void __user *arg)
{
	struct kvm_reinject_control c;
	int r = -ENXIO;

	if (copy_from_user(&c, arg, sizeof(c)))
		return -EFAULT;
	mutex_lock(&vm->lock);
	if (vm->irq.pit)
		r = lm_pit_reinject(vm, &c);
	mutex_unlock(&vm->lock);
	return r;
}

static int lm_vm_clock(struct lm_vm *vm, void __user *arg, bool set)
{
	struct kvm_clock_data c = {};
	int r;

	if (set && copy_from_user(&c, arg, sizeof(c)))
		return -EFAULT;
	r = set ? lm_clock_set(vm, &c) : lm_clock_get(vm, &c);
	if (!r && !set && copy_to_user(arg, &c, sizeof(c)))
		return -EFAULT;
	return r;
}

static int lm_vm_set_bsp(struct lm_vm *vm, unsigned long id)
{
	int r = 0;

	mutex_lock(&vm->lock);
	if (vm->nr_vcpus)
		r = -EBUSY;
	else
		vm->bsp_id = id;
	mutex_unlock(&vm->lock);
	return r;
}

static int lm_vm_tsc_khz(struct lm_vm *vm, unsigned long khz)
{
	if (!khz)
		khz = tsc_khz;
	if (khz > U32_MAX || (khz != tsc_khz && !lm_caps.tsc_scaling))
		return -EINVAL;
	vm->x86.default_tsc_khz = khz;
	return 0;
}

/* A disk writes from no vCPU's thread, so no ring could tell of it. */
static struct file *lm_vm_create_blk(struct lm_vm *vm)
{
	struct file *file = lm_blk_create(vm);

	smp_mb();	/* counted; pairs with lm_dirty_ring_enable() */
	if (IS_ERR(file) || !READ_ONCE(vm->mem.ring_bytes))
		return file;
	fput(file);
	return ERR_PTR(-EBUSY);
}

static int lm_vm_create_device(struct lm_vm *vm, void __user *arg)
{
	struct kvm_create_device cd;
	struct file *file;
	int fd;

	if (copy_from_user(&cd, arg, sizeof(cd)))
		return -EFAULT;
	if (cd.type != LAMINA_DEV_TYPE_BLK)
		return -ENODEV;
	if (cd.flags & ~KVM_CREATE_DEVICE_TEST)
		return -EINVAL;
	if (cd.flags & KVM_CREATE_DEVICE_TEST)
		return 0;
	/* Nobody can use the number before all has gone well. */
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	file = lm_vm_create_blk(vm);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	cd.fd = fd;
	if (copy_to_user(arg, &cd, sizeof(cd))) {
		fput(file);
		put_unused_fd(fd);
		return -EFAULT;
	}
	fd_install(fd, file);
	return 0;
}

static long lm_vm_ioctl(struct file *file, unsigned int ioctl, unsigned long arg)
{
	struct lm_vm *vm = file->private_data;
	void __user *p = (void __user *)arg;

	if (vm->mm != current->mm)
		return -EIO;
	switch (ioctl) {
	case KVM_CREATE_VCPU:
		return lm_vcpu_create(vm, arg);
	case KVM_CHECK_EXTENSION:
		return lm_check_extension(vm, arg);
	case KVM_SET_USER_MEMORY_REGION:
		return lm_vm_set_memory(vm, p);
	case KVM_GET_DIRTY_LOG:
		return lm_vm_dirty_log(vm, p);
	case KVM_CLEAR_DIRTY_LOG:
		return lm_vm_clear_dirty_log(vm, p);
	case KVM_RESET_DIRTY_RINGS:
		return lm_dirty_ring_reset(vm);
	case KVM_SET_TSS_ADDR:
		return lm_vm_set_tss_addr(vm, arg);
	case KVM_SET_IDENTITY_MAP_ADDR:
		return lm_vm_set_identity_map(vm, p);
	case KVM_CREATE_IRQCHIP:
		return lm_vm_create_irqchip(vm);
	case KVM_CREATE_PIT2:
		return lm_vm_create_pit(vm, p);
	case KVM_IRQ_LINE:
		return lm_vm_irq_line(vm, p, false);
	case KVM_IRQ_LINE_STATUS:
		return lm_vm_irq_line(vm, p, true);
	case KVM_SET_GSI_ROUTING:
		return lm_vm_set_routing(vm, p);
	case KVM_IRQFD:
		return lm_vm_irqfd(vm, p);
	case KVM_IOEVENTFD:
		return lm_vm_ioeventfd(vm, p);
	case KVM_REGISTER_COALESCED_MMIO:
		return lm_vm_coalesced(vm, p, true);
	case KVM_UNREGISTER_COALESCED_MMIO:
		return lm_vm_coalesced(vm, p, false);
	case KVM_SIGNAL_MSI:
		return lm_vm_signal_msi(vm, p);
	case KVM_GET_IRQCHIP:
		return lm_vm_irqchip(vm, p, false);
	case KVM_SET_IRQCHIP:
		return lm_vm_irqchip(vm, p, true);
	case KVM_GET_PIT2:
		return lm_vm_pit(vm, p, false);
	case KVM_SET_PIT2:
		return lm_vm_pit(vm, p, true);
	case KVM_REINJECT_CONTROL:
		return lm_vm_reinject(vm, p);
	case KVM_GET_CLOCK:
		return lm_vm_clock(vm, p, false);
	case KVM_SET_CLOCK:
		return lm_vm_clock(vm, p, true);
	case KVM_SET_BOOT_CPU_ID:
		return lm_vm_set_bsp(vm, arg);
	case KVM_SET_TSC_KHZ:
		return lm_vm_tsc_khz(vm, arg);
	case KVM_SET_NR_MMU_PAGES:
		return lm_vm_set_nr_mmu_pages(vm, arg);
	case KVM_GET_NR_MMU_PAGES:
		return vm->nr_mmu_pages;
	case KVM_GET_STATS_FD:
		return lm_stats_fd_vm(vm);
	case KVM_X86_SET_MSR_FILTER:
		return lm_msr_filter_set(vm, p);
	case KVM_ENABLE_CAP:
		return lm_vm_enable_cap(vm, p);
	case KVM_CREATE_DEVICE:
		return lm_vm_create_device(vm, p);
	case KVM_GET_TSC_KHZ:
		return vm->x86.default_tsc_khz;
	case LAMINA_SET_NAME:
		return lm_name_ioctl(vm, p);
	case LAMINA_OWN:
		return arg ? -EINVAL : lm_control_own(vm->ident);
	case LAMINA_SET_STATE:
		return lm_state_ioctl(vm, p);
	default:
		return -ENOTTY;
	}
}

static int lm_vm_release(struct inode *inode, struct file *file)
{
	struct lm_vm *vm = file->private_data;

	lm_irq_release(vm);
	lm_vm_put(vm);
	return 0;
}

static const struct file_operations lm_vm_fops = {
	.owner = THIS_MODULE,
	.release = lm_vm_release,
	.unlocked_ioctl = lm_vm_ioctl,
	.llseek = noop_llseek,
};

static int lm_vm_init(struct lm_vm *vm)
{
	int r;

	refcount_set(&vm->users, 1);
	mutex_init(&vm->lock);
	vm->owner = current->tgid;
	lm_x86_vm_init(vm);
	r = lm_names_init(vm);
	if (r)
		return r;
	r = lm_hardware_enable();
	if (r)
		goto names;
	r = lm_irq_init(vm);
	if (r)
		goto hardware;
	r = lm_mem_init(vm);
	if (r)
		goto irq;
	lm_stats_add(vm);
	lm_names_add(vm);
	return 0;

irq:
	lm_irq_destroy(vm);
hardware:
	lm_hardware_disable();
names:
	lm_names_free(vm);
	return r;
}

/**
 * lm_vm_create - KVM_CREATE_VM
 * @type: must be 0
 *
 * Return: a file descriptor, or an errno
 */
int lm_vm_create(unsigned long type)
{
	struct lm_vm *vm;
	int r;

	if (type)
		return -EINVAL;
	vm = kvzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return -ENOMEM;
	vm->mm = current->mm;
	mmgrab(vm->mm);
	r = lm_vm_init(vm);
	if (r) {
		mmdrop(vm->mm);
		kvfree(vm);
		return r;
	}
	r = anon_inode_getfd("lamina-vm", &lm_vm_fops, vm, O_RDWR | O_CLOEXEC);
	if (r < 0) {
		lm_irq_release(vm);
		lm_vm_put(vm);
	}
	return r;
}
