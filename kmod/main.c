// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load and unload, /dev/lamina, and turning virtualisation on and off: per CPU, with
 * hotplug, suspend, reboot and panic.
 *
 * Virtualisation is on only while a VM exists, so that another hypervisor finds
 * the CPU as it expects whenever Lamina is idle.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/fs.h>
#include <linux/kdebug.h>
#include <linux/kvm_para.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/namei.h>
#include <linux/reboot.h>
#include <linux/static_call.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "lamina.h"
#include "virtio/virtio.h"
#include "backend.h"
#include "compat.h"
#include "mitigate.h"
#include "monitor/stats.h"
#include "section.h"

static bool dev_kvm;
module_param(dev_kvm, bool, 0444);
MODULE_PARM_DESC(dev_kvm, "also provide /dev/kvm");
bool lm_debug_dump;
module_param_named(debug_dump, lm_debug_dump, bool, 0644);
MODULE_PARM_DESC(debug_dump, "write the vCPU's control block to the log when an entry fails");
static bool count_guest;
module_param(count_guest, bool, 0444);
MODULE_PARM_DESC(count_guest, "count the cycles that guests themselves ran (debugfs)");

#define LM_MAX_FEATURE_MSRS	256

struct lm_caps lm_caps;
const struct lm_backend *lm_backend;
DEFINE_PER_CPU(struct lm_host_dr, lm_host_dr);
DEFINE_PER_CPU(u64, lm_host_tsc_aux);
DEFINE_PER_CPU(bool, lm_cpu_is_on);
DEFINE_PER_CPU(struct lm_vcpu *, lm_current);

DEFINE_STATIC_CALL_NULL(lm_op_get, lm_op_get);
DEFINE_STATIC_CALL_NULL(lm_op_load, lm_op_load);
DEFINE_STATIC_CALL_NULL(lm_op_unload, lm_op_unload);
DEFINE_STATIC_CALL_NULL(lm_op_enter, lm_op_enter);
DEFINE_STATIC_CALL_NULL(lm_op_window, lm_op_window);
DEFINE_STATIC_CALL_NULL(lm_op_update, lm_op_update);
DEFINE_STATIC_CALL_NULL(lm_op_tsc, lm_op_tsc);
DEFINE_STATIC_CALL_NULL(lm_op_apic, lm_op_apic);

static const struct lm_backend *const lm_backends[] = { &lm_svm, &lm_vmx };

/* ---- virtualisation on and off ---- */

static DEFINE_MUTEX(lm_hw_lock);	/* guards lm_hw_users, lm_stopping */
static int lm_hw_users;
static bool lm_stopping;		/* the machine goes down: nobody enters a guest again */
static enum cpuhp_state lm_hp_state;
static atomic_t lm_on_failed;

/* Interrupts off. */
static int lm_this_cpu_on(void)
{
	int r = lm_backend->cpu_on();

	this_cpu_write(lm_cpu_is_on, !r);
	return r;
}

static void lm_this_cpu_off(void)
{
	this_cpu_write(lm_cpu_is_on, false);
	lm_backend->cpu_off();
}

static void lm_cpu_on(void *unused)
{
	int r = lm_this_cpu_on();

	if (r)
		atomic_cmpxchg(&lm_on_failed, 0, r);
}

/* A section may be loaded around us, in its window: it leaves soon, ask again. */
static void lm_cpu_off(void *again)
{
	struct lm_vcpu *vcpu = this_cpu_read(lm_current);

	if (vcpu) {
		if (lm_stopping)
			lm_request(vcpu, LM_REQ_STOP);
		atomic_set(again, 1);
		return;
	}
	if (this_cpu_read(lm_cpu_is_on))
		lm_this_cpu_off();
}

static void lm_all_cpus_off(void)
{
	atomic_t again;

	do {
		atomic_set(&again, 0);
		on_each_cpu(lm_cpu_off, &again, 1);
	} while (atomic_read(&again));
}

/*
 * Hypervisors that may own the CPU, and which of them are loaded: looked up once
 * at load, where /sys is the loader's, and followed by the module notifier.
 */
static const char *const lm_other_names[] = { "kvm_amd", "kvm_intel", "vboxdrv", "vmmon" };
static unsigned long lm_others;		/* one bit a name, under lm_hw_lock */

static bool lm_module_loaded(const char *name)
{
	struct path path;
	char file[64];

	snprintf(file, sizeof(file), "/sys/module/%s/refcnt", name);
	if (kern_path(file, 0, &path))
		return false;
	path_put(&path);
	return true;
}

static void lm_find_others(void)
{
	unsigned int i;

	mutex_lock(&lm_hw_lock);
	for (i = 0; i < ARRAY_SIZE(lm_other_names); i++)
		if (lm_module_loaded(lm_other_names[i]))
			__set_bit(i, &lm_others);
	mutex_unlock(&lm_hw_lock);
}

static const char *lm_other_hypervisor(void)
{
	return lm_others ? lm_other_names[__ffs(lm_others)] : NULL;
}

/**
 * lm_hardware_enable - a VM is created: turn virtualisation on with the first one
 *
 * Context: may sleep.
 * Return: 0; -EBUSY if another hypervisor has the CPU, -EIO while going down
 */
int lm_hardware_enable(void)
{
	const char *other;
	int r = 0;

	cpus_read_lock();
	mutex_lock(&lm_hw_lock);
	if (lm_stopping) {
		r = -EIO;
		goto out;
	}
	if (lm_hw_users++)
		goto out;
	other = lm_other_hypervisor();
	if (other) {
		pr_err_ratelimited("%s is loaded and owns %s: unload it (lamina load --replace-kvm; modprobe -r %s)\n",
				   other, lm_backend->name, other);
		lm_hw_users--;
		r = -EBUSY;
		goto out;
	}
	atomic_set(&lm_on_failed, 0);
	on_each_cpu(lm_cpu_on, NULL, 1);
	r = atomic_read(&lm_on_failed);
	if (r) {
		lm_all_cpus_off();
		lm_hw_users--;
		if (r == -EBUSY)
			pr_err_ratelimited("%s is in use by another hypervisor: %s\n",
					   lm_backend->name, lm_backend->busy);
		goto out;
	}
	lm_emergency_register(lm_backend->cpu_off);
out:
	mutex_unlock(&lm_hw_lock);
	cpus_read_unlock();
	return r;
}

/**
 * lm_hardware_disable - a VM is gone: off with the last one
 *
 * Context: may sleep.
 */
void lm_hardware_disable(void)
{
	cpus_read_lock();
	mutex_lock(&lm_hw_lock);
	if (!--lm_hw_users) {
		lm_emergency_unregister(lm_backend->cpu_off);
		lm_all_cpus_off();
	}
	mutex_unlock(&lm_hw_lock);
	cpus_read_unlock();
}

static void lm_read_tsc_aux(void *unused)
{
	u64 aux = 0;

	if (boot_cpu_has(X86_FEATURE_RDTSCP))
		rdmsrl(MSR_TSC_AUX, aux);
	this_cpu_write(lm_host_tsc_aux, aux);
}

/* Tasks do not run on this CPU yet, or no longer: hotplug moves them first. */
static int lm_cpu_online(unsigned int cpu)
{
	int r = 0;

	lm_read_tsc_aux(NULL);
	mutex_lock(&lm_hw_lock);
	if (lm_hw_users && !lm_stopping) {
		local_irq_disable();
		r = lm_this_cpu_on();
		local_irq_enable();
	}
	mutex_unlock(&lm_hw_lock);
	return r;
}

static int lm_cpu_offline(unsigned int cpu)
{
	mutex_lock(&lm_hw_lock);
	local_irq_disable();
	if (this_cpu_read(lm_cpu_is_on))
		lm_this_cpu_off();
	local_irq_enable();
	mutex_unlock(&lm_hw_lock);
	return 0;
}

/* Suspend: the other CPUs are off already, interrupts are off, all tasks are frozen. */
static int lm_suspend(void)
{
	lm_vms_suspend();
	if (this_cpu_read(lm_cpu_is_on))
		lm_this_cpu_off();
	return 0;
}

static void lm_resume(void)
{
	lm_read_tsc_aux(NULL);
	if (lm_hw_users && !lm_stopping && lm_this_cpu_on())
		pr_err("%s could not be turned on again after suspend\n", lm_backend->name);
	lm_vms_resumed();
}

/* Reboot, halt, kexec: vCPUs leave for good before virtualisation goes. */
static int lm_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	mutex_lock(&lm_hw_lock);
	lm_stopping = true;
	lm_vms_stop();
	lm_all_cpus_off();
	mutex_unlock(&lm_hw_lock);
	return NOTIFY_DONE;
}

static struct notifier_block lm_reboot_nb = {
	.notifier_call = lm_reboot,
};

/* Another hypervisor must not come up beside a running guest: ASIDs have no owner to ask. */
static int lm_module_event(struct notifier_block *nb, unsigned long state, void *data)
{
	const struct module *mod = data;
	int i = match_string(lm_other_names, ARRAY_SIZE(lm_other_names), mod->name);
	int r = NOTIFY_DONE;

	if (i < 0)
		return NOTIFY_DONE;
	mutex_lock(&lm_hw_lock);
	if (state == MODULE_STATE_GOING) {
		__clear_bit(i, &lm_others);
	} else if (state == MODULE_STATE_COMING) {
		if (lm_hw_users) {
			pr_err("%s refused: Lamina's guests are running\n", mod->name);
			r = notifier_from_errno(-EBUSY);
		} else {
			__set_bit(i, &lm_others);
		}
	}
	mutex_unlock(&lm_hw_lock);
	return r;
}

static struct notifier_block lm_module_nb = {
	.notifier_call = lm_module_event,
};

/* ---- /dev/lamina ---- */

/* KVM_GET_MSRS on the system descriptor: what the host offers, not what a guest has. */
static int lm_feature_msrs(struct kvm_msrs __user *arg)
{
	struct kvm_msr_entry e;
	struct kvm_msrs hdr;
	u32 i;

	if (copy_from_user(&hdr, arg, sizeof(hdr)))
		return -EFAULT;
	if (hdr.nmsrs > LM_MAX_FEATURE_MSRS)
		return -E2BIG;
	for (i = 0; i < hdr.nmsrs; i++) {
		if (copy_from_user(&e, &arg->entries[i], sizeof(e)))
			return -EFAULT;
		if (lm_msr_feature_read(e.index, &e.data))
			break;
		if (copy_to_user(&arg->entries[i], &e, sizeof(e)))
			return -EFAULT;
	}
	return i;
}

static long lm_dev_ioctl(struct file *file, unsigned int ioctl, unsigned long arg)
{
	switch (ioctl) {
	case KVM_GET_API_VERSION:
		return arg ? -EINVAL : KVM_API_VERSION;
	case KVM_CREATE_VM:
		return lm_vm_create(arg);
	case KVM_CHECK_EXTENSION:
		return lm_check_extension(NULL, arg);
	case KVM_GET_VCPU_MMAP_SIZE:
		return arg ? -EINVAL : LM_VCPU_MMAP_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
		return lm_cpuid_supported((void __user *)arg);
	case KVM_GET_EMULATED_CPUID:
		return lm_cpuid_emulated((void __user *)arg);
	case KVM_GET_MSR_INDEX_LIST:
		return lm_msr_index_list((void __user *)arg);
	case KVM_GET_MSR_FEATURE_INDEX_LIST:
		return lm_msr_feature_list((void __user *)arg);
	case KVM_X86_GET_MCE_CAP_SUPPORTED:
		return put_user((u64)LM_MCE_CAP, (u64 __user *)arg);
	case KVM_GET_MSRS:
		return lm_feature_msrs((void __user *)arg);
	case LAMINA_SET_NAME:
		return lm_name_ioctl(NULL, (void __user *)arg);
	case LAMINA_OPEN:
		return lm_open_ioctl((void __user *)arg);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations lm_dev_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = lm_dev_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice lm_dev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lamina",
	.fops = &lm_dev_fops,
	.mode = 0660,
};

static struct miscdevice lm_dev_as_kvm = {
	.minor = KVM_MINOR,
	.name = "kvm",
	.fops = &lm_dev_fops,
	.mode = 0660,
};

/* ---- load and unload ---- */

static int lm_find_backend(void)
{
	unsigned int i;
	int r = -ENODEV;

	for (i = 0; i < ARRAY_SIZE(lm_backends) && r == -ENODEV; i++) {
		lm_backend = lm_backends[i];
		r = lm_backend->setup();
	}
	if (r == -ENODEV) {
		pr_err("this CPU offers neither VMX nor SVM: Lamina cannot run guests here (see lamina check)\n");
		r = -EOPNOTSUPP;
	}
	return r;
}

static void lm_bind_backend(void)
{
	static_call_update(lm_op_get, lm_backend->get);
	static_call_update(lm_op_load, lm_backend->load);
	static_call_update(lm_op_unload, lm_backend->unload);
	static_call_update(lm_op_enter, lm_backend->enter);
	static_call_update(lm_op_window, lm_backend->window);
	static_call_update(lm_op_update, lm_backend->update);
	static_call_update(lm_op_tsc, lm_backend->tsc);
	static_call_update(lm_op_apic, lm_backend->apic);
}

static int lm_register_devices(void)
{
	int r = misc_register(&lm_dev);

	if (r || !dev_kvm)
		return r;
	r = misc_register(&lm_dev_as_kvm);
	if (!r)
		return 0;
	pr_err("/dev/kvm is taken: unload kvm, or load Lamina without dev_kvm=1\n");
	misc_deregister(&lm_dev);
	return r;
}

static int __init lm_init(void)
{
	int r;

	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		pr_err("PREEMPT_RT kernels are not supported\n");
		return -EOPNOTSUPP;
	}
	if (!tsc_khz) {
		pr_err("the kernel does not know the TSC's rate: guests would have no clock\n");
		return -EOPNOTSUPP;
	}
	r = lm_find_backend();
	if (r)
		return r;
	lm_bind_backend();
	lm_mitigate_setup();
	r = lm_x86_setup();
	if (r)
		goto teardown;
	r = lm_irq_setup();
	if (r)
		goto teardown;
	r = lm_blk_setup();
	if (r)
		goto irq;
	if (count_guest)
		static_branch_enable(&lm_count_guest);
	r = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "lamina:online", lm_cpu_online, lm_cpu_offline);
	if (r < 0)
		goto blk;
	lm_hp_state = r;
	lm_stats_init();
	lm_syscore_register(lm_suspend, lm_resume);
	r = register_reboot_notifier(&lm_reboot_nb);
	if (r)
		goto syscore;
	r = register_module_notifier(&lm_module_nb);
	if (r)
		goto reboot;
	r = register_die_notifier(&lm_section_die_nb);
	if (r)
		goto module;
	r = lm_netlink_init();
	if (r)
		goto die;
	lm_find_others();
	r = lm_register_devices();
	if (r)
		goto netlink;
	return 0;

netlink:
	lm_netlink_exit();
die:
	unregister_die_notifier(&lm_section_die_nb);
module:
	unregister_module_notifier(&lm_module_nb);
reboot:
	unregister_reboot_notifier(&lm_reboot_nb);
syscore:
	lm_syscore_unregister();
	lm_stats_exit();
	cpuhp_remove_state(lm_hp_state);
blk:
	lm_blk_teardown();
irq:
	lm_irq_teardown();
teardown:
	lm_x86_teardown();
	lm_backend->teardown();
	return r;
}

static void __exit lm_exit_module(void)
{
	if (dev_kvm)
		misc_deregister(&lm_dev_as_kvm);
	misc_deregister(&lm_dev);
	lm_blk_teardown();	/* the last of them hold VMs */
	lm_netlink_exit();
	unregister_die_notifier(&lm_section_die_nb);
	unregister_module_notifier(&lm_module_nb);
	unregister_reboot_notifier(&lm_reboot_nb);
	lm_syscore_unregister();
	lm_stats_exit();
	cpuhp_remove_state(lm_hp_state);
	lm_irq_teardown();
	rcu_barrier();		/* tables and slot arrays freed by call_rcu */
	lm_x86_teardown();
	lm_backend->teardown();
}

module_init(lm_init);
module_exit(lm_exit_module);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Lamina, a hypervisor with the KVM API");
MODULE_VERSION("0.1");
