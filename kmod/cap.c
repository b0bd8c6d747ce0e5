// SPDX-License-Identifier: GPL-2.0-only
/*
 * Capabilities: what KVM_CHECK_EXTENSION lists, and what KVM_ENABLE_CAP turns on for a
 * VM or a vCPU.
 */
#include <linux/uaccess.h>
#include <asm/cpufeature.h>

#include "lamina.h"

/* Those that can be turned off. */
#define LM_QUIRKS	(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | \
			 KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS | KVM_X86_QUIRK_FIX_HYPERCALL_INSN)
#define LM_X2APIC_FLAGS	(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
#define LM_USER_MSR	(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | \
			 KVM_MSR_EXIT_REASON_FILTER)
#define LM_MANUAL_LOG	(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)

/*
 * A guest in MWAIT must be woken by the host's timer, and by its monitor.  The MSRs that
 * count C-states are not for guests.
 */
static u64 lm_disable_exits(void)
{
	u64 exits = KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE;

	if (boot_cpu_has(X86_FEATURE_MWAIT) && boot_cpu_has(X86_FEATURE_ARAT) &&
	    !boot_cpu_has_bug(X86_BUG_MONITOR))
		exits |= KVM_X86_DISABLE_EXITS_MWAIT;
	return exits;
}

/**
 * lm_check_extension - KVM_CHECK_EXTENSION
 * @vm: the VM, or NULL on the system descriptor
 * @ext: KVM_CAP_*
 *
 * Lists what works; everything else is 0.  What KVM_ENABLE_CAP takes is in the tables
 * below as well.
 */
int lm_check_extension(struct lm_vm *vm, long ext)
{
	switch (ext) {
	case KVM_CAP_IRQCHIP:
	case KVM_CAP_HLT:
	case KVM_CAP_USER_MEMORY:
	case KVM_CAP_SET_TSS_ADDR:
	case KVM_CAP_SET_IDENTITY_MAP_ADDR:
	case KVM_CAP_EXT_CPUID:
	case KVM_CAP_MP_STATE:
	case KVM_CAP_IRQ_INJECT_STATUS:
	case KVM_CAP_IRQFD:
	case KVM_CAP_IRQFD_RESAMPLE:
	case KVM_CAP_SET_BOOT_CPU_ID:
	case KVM_CAP_IOEVENTFD:
	case KVM_CAP_IOEVENTFD_ANY_LENGTH:
	case KVM_CAP_PIT2:
	case KVM_CAP_PIT_STATE2:
	case KVM_CAP_REINJECT_CONTROL:
	case KVM_CAP_VCPU_EVENTS:
	case KVM_CAP_USER_NMI:
	case KVM_CAP_DEBUGREGS:
	case KVM_CAP_SET_GUEST_DEBUG:
	case KVM_CAP_X86_ROBUST_SINGLESTEP:
	case KVM_CAP_XSAVE:
	case KVM_CAP_GET_TSC_KHZ:
	case KVM_CAP_SIGNAL_MSI:
	case KVM_CAP_READONLY_MEM:
	case KVM_CAP_IMMEDIATE_EXIT:
	case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
	case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
	case KVM_CAP_INTERNAL_ERROR_DATA:
	case KVM_CAP_GET_MSR_FEATURES:
	case KVM_CAP_TSC_DEADLINE_TIMER:
	case KVM_CAP_CHECK_EXTENSION_VM:
	case KVM_CAP_SYNC_MMU:
	case KVM_CAP_NOP_IO_DELAY:
	case KVM_CAP_DEVICE_CTRL:
	case KVM_CAP_MMU_SHADOW_CACHE_CONTROL:
	case KVM_CAP_BINARY_STATS_FD:
	case KVM_CAP_SREGS2:
	case KVM_CAP_EXT_EMUL_CPUID:
	case KVM_CAP_VCPU_ATTRIBUTES:
	case KVM_CAP_MSR_PLATFORM_INFO:
	case KVM_CAP_ENFORCE_PV_FEATURE_CPUID:
	case KVM_CAP_X86_MSR_FILTER:
	case KVM_CAP_ENABLE_CAP:
	case KVM_CAP_ENABLE_CAP_VM:
	case KVM_CAP_DISABLE_QUIRKS:
	case KVM_CAP_SPLIT_IRQCHIP:
	case KVM_CAP_EXCEPTION_PAYLOAD:
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
	case KVM_CAP_KVMCLOCK_CTRL:
	case KVM_CAP_VAPIC:
	case KVM_CAP_COALESCED_PIO:
		return 1;
	case KVM_CAP_DISABLE_QUIRKS2:
		return LM_QUIRKS;
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return LM_MANUAL_LOG;
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
		return lm_dirty_ring_limit();
	case KVM_CAP_COALESCED_MMIO:
		return KVM_COALESCED_MMIO_PAGE_OFFSET;
	case KVM_CAP_X86_DISABLE_EXITS:
		return lm_disable_exits();
	case KVM_CAP_SET_GUEST_DEBUG2:
		return LM_GUESTDBG;
	case KVM_CAP_MCE:
		return LM_MCE_BANKS;
	case KVM_CAP_X2APIC_API:
		return LM_X2APIC_FLAGS;
	case KVM_CAP_IRQ_ROUTING:
		return LM_MAX_ROUTES;
	case KVM_CAP_ADJUST_CLOCK:
		return KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	case KVM_CAP_SYNC_REGS:
		return KVM_SYNC_X86_VALID_FIELDS;
	case KVM_CAP_X86_USER_SPACE_MSR:
		return LM_USER_MSR;
	case KVM_CAP_XSAVE2:
		return sizeof(struct kvm_xsave);
	case KVM_CAP_XCRS:
		return lm_caps.xsave;
	case KVM_CAP_TSC_CONTROL:
	case KVM_CAP_VM_TSC_CONTROL:
		return lm_caps.tsc_scaling;
	case KVM_CAP_NR_VCPUS:
		return min_t(int, num_online_cpus(), LM_MAX_VCPUS);
	case KVM_CAP_MAX_VCPUS:
		return LM_MAX_VCPUS;
	case KVM_CAP_MAX_VCPU_ID:
		return LM_MAX_VCPU_ID;
	case KVM_CAP_NR_MEMSLOTS:
		return LM_MAX_SLOTS;
	default:
		return 0;
	}
}

/* ---- KVM_ENABLE_CAP ---- */

/**
 * struct lm_cap - a capability that must be enabled before it takes effect
 * @cap: KVM_CAP_*
 * @valid: bits that args[0] may have
 * @enable: does it; args[0] is checked against @valid already
 */
struct lm_cap {
	u32 cap;
	u64 valid;
	int (*enable)(void *obj, u64 arg);
};

static int lm_enable_quirks(void *obj, u64 arg)
{
	struct lm_vm *vm = obj;

	WRITE_ONCE(vm->x86.disabled_quirks, arg & LM_QUIRKS);
	return 0;
}

static int lm_enable_x2apic(void *obj, u64 arg)
{
	struct lm_vm *vm = obj;

	if (arg & KVM_X2APIC_API_USE_32BIT_IDS)
		WRITE_ONCE(vm->irq.x2apic_format, true);
	if (arg & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		WRITE_ONCE(vm->irq.no_broadcast_quirk, true);
	return 0;
}

static int lm_enable_user_msr(void *obj, u64 arg)
{
	struct lm_vm *vm = obj;

	static_branch_enable(&lm_msr_specials);
	WRITE_ONCE(vm->x86.user_msr, arg);
	return 0;
}

static int lm_enable_platform_info(void *obj, u64 arg)
{
	struct lm_vm *vm = obj;

	WRITE_ONCE(vm->x86.no_platform_info, !arg);
	return 0;
}

/* Intercepts are chosen when a vCPU is made. */
static int lm_enable_disable_exits(void *obj, u64 arg)
{
	struct lm_vm *vm = obj;
	int r = -EINVAL;

	mutex_lock(&vm->lock);
	if (!vm->nr_vcpus && !(arg & ~lm_disable_exits())) {
		vm->x86.disabled_exits |= arg;
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

/* Once, to a lower number than ours. */
static int lm_enable_max_vcpu_id(void *obj, u64 arg)
{
	struct lm_vm *vm = obj;
	int r = -EINVAL;

	mutex_lock(&vm->lock);
	if (arg && arg <= LM_MAX_VCPU_ID && (!vm->max_vcpu_id || vm->max_vcpu_id == arg)) {
		vm->max_vcpu_id = arg;
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static int lm_enforce_pv(void *obj, u64 arg)
{
	struct lm_vcpu *vcpu = obj;

	vcpu->x86.pv_enforced = arg;
	return 0;
}

static int lm_enable_payload(void *obj, u64 arg)
{
	struct lm_vm *vm = obj;

	WRITE_ONCE(vm->x86.exception_payload, arg);
	return 0;
}

static int lm_enable_triple_fault(void *obj, u64 arg)
{
	struct lm_vm *vm = obj;

	WRITE_ONCE(vm->x86.triple_fault_event, arg);
	return 0;
}

static int lm_enable_split_irqchip(void *obj, u64 arg)
{
	return lm_irq_split(obj, arg);
}

/* INITIALLY_SET is of no use without the other. For slots whose log begins later. */
static int lm_enable_manual_log(void *obj, u64 arg)
{
	struct lm_vm *vm = obj;

	if (arg == KVM_DIRTY_LOG_INITIALLY_SET)
		return -EINVAL;
	mutex_lock(&vm->lock);
	vm->mem.manual_log = arg;
	mutex_unlock(&vm->lock);
	return 0;
}

static int lm_enable_ring(void *obj, u64 arg)
{
	return lm_dirty_ring_enable(obj, arg);
}

static const struct lm_cap lm_vm_caps[] = {
	{ KVM_CAP_MAX_VCPU_ID, ~0ull, lm_enable_max_vcpu_id },
	{ KVM_CAP_MSR_PLATFORM_INFO, 1, lm_enable_platform_info },
	{ KVM_CAP_X86_USER_SPACE_MSR, LM_USER_MSR, lm_enable_user_msr },
	{ KVM_CAP_DISABLE_QUIRKS, ~0ull, lm_enable_quirks },
	{ KVM_CAP_DISABLE_QUIRKS2, LM_QUIRKS, lm_enable_quirks },
	{ KVM_CAP_X86_DISABLE_EXITS, ~0ull, lm_enable_disable_exits },
	{ KVM_CAP_EXCEPTION_PAYLOAD, ~0ull, lm_enable_payload },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, ~0ull, lm_enable_triple_fault },
	{ KVM_CAP_SPLIT_IRQCHIP, U32_MAX, lm_enable_split_irqchip },
	{ KVM_CAP_DIRTY_LOG_RING, ~0ull, lm_enable_ring },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, ~0ull, lm_enable_ring },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, LM_MANUAL_LOG, lm_enable_manual_log },
	{ KVM_CAP_X2APIC_API, LM_X2APIC_FLAGS, lm_enable_x2apic },
};

static const struct lm_cap lm_vcpu_caps[] = {
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, ~0ull, lm_enforce_pv },
};

static int lm_enable_cap(const struct lm_cap *caps, size_t nr, void *obj,
			 const struct kvm_enable_cap __user *arg)
{
	struct kvm_enable_cap c;
	size_t i;

	if (copy_from_user(&c, arg, sizeof(c)))
		return -EFAULT;
	if (c.flags)
		return -EINVAL;
	for (i = 0; i < nr; i++)
		if (caps[i].cap == c.cap)
			return c.args[0] & ~caps[i].valid ? -EINVAL :
			       caps[i].enable(obj, c.args[0]);
	return -EINVAL;
}

/**
 * lm_vm_enable_cap - KVM_ENABLE_CAP of a VM
 * @vm: the VM
 * @arg: struct kvm_enable_cap
 *
 * Return: 0; -EINVAL for flags, a capability that is not there, or its argument; or
 * what the capability says
 */
int lm_vm_enable_cap(struct lm_vm *vm, const void __user *arg)
{
	return lm_enable_cap(lm_vm_caps, ARRAY_SIZE(lm_vm_caps), vm, arg);
}

/**
 * lm_vcpu_enable_cap - KVM_ENABLE_CAP of a vCPU
 * @vcpu: the vCPU, its mutex held
 * @arg: struct kvm_enable_cap
 *
 * Return: as lm_vm_enable_cap()
 */
int lm_vcpu_enable_cap(struct lm_vcpu *vcpu, const void __user *arg)
{
	return lm_enable_cap(lm_vcpu_caps, ARRAY_SIZE(lm_vcpu_caps), vcpu, arg);
}
