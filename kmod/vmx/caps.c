// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this CPU's VMX offers, turning it on and off on one CPU, and which VMCS is
 * active where.
 */
#include <linux/cpu.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/sched/smt.h>
#include <linux/smp.h>
#include <asm/cpufeature.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/perf_event.h>
#include <asm/tlbflush.h>

#include "../lamina.h"
#include "../backend.h"
#include "../ept/flush.h"
#include "debug.h"
#include "vmcs.h"

#define CPUID_1_ECX_VMX		BIT(5)
#define CR4_FRED		BIT_ULL(32)
#define VMX_BASIC_TRUE		BIT_ULL(55)
#define VMX_VPIDS		0xffff

/* IA32_VMX_EPT_VPID_CAP (A.10) */
#define EPT_CAP_WALK_4		BIT_ULL(6)
#define EPT_CAP_WALK_5		BIT_ULL(7)
#define EPT_CAP_WB		BIT_ULL(14)
#define EPT_CAP_2M		BIT_ULL(16)
#define EPT_CAP_1G		BIT_ULL(17)
#define EPT_CAP_INVEPT		BIT_ULL(20)
#define EPT_CAP_AD		BIT_ULL(21)
#define EPT_CAP_INVEPT_SINGLE	BIT_ULL(25)
#define EPT_CAP_INVEPT_ALL	BIT_ULL(26)
#define EPT_CAP_INVVPID		BIT_ULL(32)
#define EPT_CAP_INVVPID_SINGLE	BIT_ULL(41)
#define EPT_CAP_INVVPID_ALL	BIT_ULL(42)

/* All of these, or none; x2APIC mode is a bonus. */
#define APICV_NEEDED	(SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES | \
			 SECONDARY_EXEC_APIC_REGISTER_VIRT | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)
#define APICV_CTLS	(APICV_NEEDED | SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE)

struct vmx_cpu {
	struct page *region;		/* for VMXON */
	struct list_head active;	/* VMCSs that this CPU may hold parts of */
	struct lm_tag_pool tags;
	bool on;
};

static DEFINE_PER_CPU(struct vmx_cpu, vmx_cpus);
DEFINE_PER_CPU(struct lm_hw *, lm_vmx_current);
DEFINE_PER_CPU(struct desc_ptr, lm_vmx_gdt);
struct vmx_caps lm_vmx_caps;
DEFINE_STATIC_KEY_FALSE(lm_vmx_l1d);

static bool no_vpid;
module_param_named(vmx_no_vpid, no_vpid, bool, 0444);
MODULE_PARM_DESC(vmx_no_vpid, "do not tag translations: the TLB is flushed at each switch (debug)");
static bool no_apicv;
module_param_named(vmx_no_apicv, no_apicv, bool, 0444);
MODULE_PARM_DESC(vmx_no_apicv, "do not virtualise the APIC in the CPU, but for CR8 (debug)");
static bool no_ept_ad;
module_param_named(vmx_no_ept_ad, no_ept_ad, bool, 0444);
MODULE_PARM_DESC(vmx_no_ept_ad, "do not let the CPU set accessed and dirty bits (debug)");
static bool no_timer;
module_param_named(vmx_no_preemption_timer, no_timer, bool, 0444);
MODULE_PARM_DESC(vmx_no_preemption_timer, "let the host's timers keep the guest's TSC deadline (debug)");
static bool no_pml;
module_param_named(vmx_no_pml, no_pml, bool, 0444);
MODULE_PARM_DESC(vmx_no_pml, "keep the dirty log by write faults rather than by the CPU's own log (debug)");
static bool no_ple;
module_param_named(vmx_no_ple, no_ple, bool, 0444);
MODULE_PARM_DESC(vmx_no_ple, "let guests spin in PAUSE loops without an exit (debug)");
static bool no_fast_doorbell;
module_param_named(vmx_no_fast_doorbell, no_fast_doorbell, bool, 0444);
MODULE_PARM_DESC(vmx_no_fast_doorbell, "decode each store to a doorbell of any width, see exit/doorbell.c (debug)");
bool lm_vmx_check_entries;
module_param_named(vmx_check, lm_vmx_check_entries, bool, 0444);
MODULE_PARM_DESC(vmx_check, "check the VMCS against the manual's rules before each entry (debug)");

/* ---- capabilities ---- */

/* The controls of one field: what must be there, what is taken if it is. */
struct vmx_ctl {
	const char *name;
	u32 msr, true_msr;	/* A.3 to A.5: allowed 0-settings 31:0, allowed 1-settings 63:32 */
	u32 need, want;
	u32 *out;
};

static int vmx_read_ctl(const struct vmx_ctl *c, u64 basic)
{
	u32 msr = c->true_msr && (basic & VMX_BASIC_TRUE) ? c->true_msr : c->msr;
	u32 must, may;

	rdmsr(msr, must, may);
	if (c->need & ~may) {
		pr_err("this CPU's VMX lacks %s controls %#x that Lamina requires\n",
		       c->name, c->need & ~may);
		return -EOPNOTSUPP;
	}
	*c->out = must | c->need | (c->want & may);
	return 0;
}

/*
 * Secondary controls first, since each refusal that users may meet names its
 * feature.
 */
static int vmx_require(u64 basic)
{
	u64 ctls;
	u32 may = 0;

	rdmsrl(basic & VMX_BASIC_TRUE ? MSR_IA32_VMX_TRUE_PROCBASED_CTLS :
	       MSR_IA32_VMX_PROCBASED_CTLS, ctls);
	if ((ctls >> 32) & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS) {
		rdmsrl(MSR_IA32_VMX_PROCBASED_CTLS2, ctls);
		may = ctls >> 32;	/* what may be 1 */
	}
	if (!(may & SECONDARY_EXEC_ENABLE_EPT)) {
		pr_err("this CPU's VMX lacks EPT, which Lamina requires: a newer CPU is needed, or ept=1 in the outer hypervisor\n");
		return -EOPNOTSUPP;
	}
	if (!(may & SECONDARY_EXEC_UNRESTRICTED_GUEST)) {
		pr_err("this CPU's VMX lacks unrestricted guest, which Lamina requires: a newer CPU is needed, or unrestricted_guest=1 in the outer hypervisor\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

/* Errata: these early steppings count at a wrong rate (AAT59, AAU65, BA86 and their like). */
static bool vmx_timer_broken(void)
{
	const struct cpuinfo_x86 *c = &boot_cpu_data;

	return c->x86 == 6 && ((c->x86_model == 0x25 && (c->x86_stepping == 2 || c->x86_stepping == 5)) ||
			       (c->x86_model == 0x2e && c->x86_stepping == 6) ||
			       (c->x86_model == 0x3a && c->x86_stepping == 8));
}

static int vmx_read_controls(struct vmx_caps *v, u64 basic)
{
	bool pmu = boot_cpu_has(X86_FEATURE_ARCH_PERFMON);
	const struct vmx_ctl ctls[] = {
		{ "pin-based", MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PINBASED_CTLS,
		  PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING | PIN_BASED_VIRTUAL_NMIS,
		  no_timer || vmx_timer_broken() ? 0 : PIN_BASED_VMX_PREEMPTION_TIMER, &v->pin },
		{ "processor-based", MSR_IA32_VMX_PROCBASED_CTLS, MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
		  CPU_BASED_HLT_EXITING | CPU_BASED_RDPMC_EXITING | CPU_BASED_MWAIT_EXITING |
		  CPU_BASED_MONITOR_EXITING | CPU_BASED_UNCOND_IO_EXITING |
		  CPU_BASED_MOV_DR_EXITING | CPU_BASED_USE_MSR_BITMAPS |
		  CPU_BASED_USE_TSC_OFFSETTING | CPU_BASED_INTR_WINDOW_EXITING |
		  CPU_BASED_NMI_WINDOW_EXITING | CPU_BASED_CR8_LOAD_EXITING |
		  CPU_BASED_CR8_STORE_EXITING | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS,
		  CPU_BASED_TPR_SHADOW, &v->proc },
		{ "secondary", MSR_IA32_VMX_PROCBASED_CTLS2, 0,
		  SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST |
		  SECONDARY_EXEC_WBINVD_EXITING,
		  SECONDARY_EXEC_ENABLE_VPID | SECONDARY_EXEC_ENABLE_RDTSCP |
		  SECONDARY_EXEC_ENABLE_INVPCID | SECONDARY_EXEC_ENABLE_XSAVES |
		  SECONDARY_EXEC_TSC_SCALING | SECONDARY_EXEC_ENCLS_EXITING | (no_apicv ? 0 : APICV_CTLS) |
		  (no_pml ? 0 : SECONDARY_EXEC_ENABLE_PML) |
		  (no_ple ? 0 : SECONDARY_EXEC_PAUSE_LOOP_EXITING), &v->proc2 },
		{ "exit", MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_TRUE_EXIT_CTLS,
		  VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_SAVE_DEBUG_CONTROLS |
		  VM_EXIT_LOAD_IA32_PAT | VM_EXIT_LOAD_IA32_EFER,
		  pmu ? VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL : 0, &v->exit },
		{ "entry", MSR_IA32_VMX_ENTRY_CTLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS,
		  VM_ENTRY_IA32E_MODE | VM_ENTRY_LOAD_DEBUG_CONTROLS | VM_ENTRY_LOAD_IA32_PAT |
		  VM_ENTRY_LOAD_IA32_EFER,
		  pmu ? VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL : 0, &v->entry },
	};
	unsigned int i;
	int r;

	for (i = 0; i < ARRAY_SIZE(ctls); i++) {
		r = vmx_read_ctl(&ctls[i], basic);
		if (r)
			return r;
	}
	/* Both, or lists. */
	v->perf_ctrl = (v->exit & VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL) &&
		       (v->entry & VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL);
	if (!v->perf_ctrl) {
		v->exit &= ~VM_EXIT_LOAD_IA32_PERF_GLOBAL_CTRL;
		v->entry &= ~VM_ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL;
	}
	if (v->proc & (CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING)) {
		pr_err("this CPU's VMX cannot let guests own CR3, which Lamina requires\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

static int vmx_read_ept(struct vmx_caps *v)
{
	const u64 need = EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_INVEPT | EPT_CAP_INVEPT_ALL;

	rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, v->ept);
	if (~v->ept & need) {
		pr_err("this CPU's EPT lacks %#llx of what Lamina requires\n", need & ~v->ept);
		return -EOPNOTSUPP;
	}
	if (no_vpid || !(v->ept & EPT_CAP_INVVPID) || !(v->ept & EPT_CAP_INVVPID_ALL))
		v->proc2 &= ~SECONDARY_EXEC_ENABLE_VPID;
	v->vpid = v->proc2 & SECONDARY_EXEC_ENABLE_VPID;
	v->ept_ad = (v->ept & EPT_CAP_AD) && !no_ept_ad;
	/* Pages are logged as their dirty bits are set. */
	if (!v->ept_ad)
		v->proc2 &= ~SECONDARY_EXEC_ENABLE_PML;
	return 0;
}

/* MSRs that perf has other values for in guests; none without counters. */
static bool vmx_perf(void)
{
	int nr = 0;

	preempt_disable();
	lm_perf_guest_get_msrs(&nr);
	preempt_enable();
	return nr;
}

static int vmx_probe(void)
{
	u64 ctl;

	if (!(cpuid_ecx(1) & CPUID_1_ECX_VMX))
		return -ENODEV;
	if (!LM_MAY_USE_VMX) {
		pr_err("this kernel keeps VMX for KVM (Linux 6.19 and later): on Intel CPUs Lamina needs an older one\n");
		return -EOPNOTSUPP;
	}
	/* The kernel locks the MSR at boot if the firmware did not. */
	if (rdmsrl_safe(MSR_IA32_FEAT_CTL, &ctl))
		ctl = 0;
	if (!(ctl & FEAT_CTL_LOCKED) || !(ctl & FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX)) {
		pr_err("VMX is disabled by the firmware: enable virtualisation (VT-x) in its set-up\n");
		return -EOPNOTSUPP;
	}
	if (native_read_cr4() & CR4_FRED) {
		pr_err("hosts that use FRED are not supported yet: boot with fred=off\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

/*
 * Guests read what the L1 data cache holds: empty it before entries, unless all
 * mitigations are off.  The kernel's choice for this one alone (l1tf=) is told to
 * KVM only.
 */
static void vmx_setup_l1tf(void)
{
	if (!boot_cpu_has_bug(X86_BUG_L1TF) || cpu_mitigations_off())
		return;
	if (boot_cpu_has(X86_FEATURE_FLUSH_L1D))
		static_branch_enable(&lm_vmx_l1d);
	else
		pr_warn("L1TF: this CPU's microcode cannot flush the L1 cache: guests can read host memory\n");
	if (sched_smt_active())
		pr_warn("L1TF: with SMT on, guests can read memory of their sibling CPU: boot with nosmt unless you trust them\n");
}

static void vmx_free_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct vmx_cpu *c = per_cpu_ptr(&vmx_cpus, cpu);

		if (c->region)
			__free_page(c->region);
		c->region = NULL;
	}
}

static int vmx_alloc_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct vmx_cpu *c = per_cpu_ptr(&vmx_cpus, cpu);

		INIT_LIST_HEAD(&c->active);
		c->region = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		if (!c->region)
			return -ENOMEM;
		((struct vmx_vmcs *)page_address(c->region))->revision = lm_vmx_caps.revision;
	}
	return 0;
}

int lm_vmx_setup(void)
{
	struct vmx_caps *v = &lm_vmx_caps;
	u64 basic, misc, pat;
	int r = vmx_probe();

	if (r)
		return r;
	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	v->revision = vmx_basic_vmcs_revision_id(basic);
	if (vmx_basic_vmcs_size(basic) > PAGE_SIZE)
		return -EOPNOTSUPP;
	r = vmx_require(basic);
	if (!r)
		r = vmx_read_controls(v, basic);
	if (!r)
		r = vmx_read_ept(v);
	if (r)
		return r;
	rdmsrl(MSR_IA32_VMX_CR0_FIXED0, v->cr0_fixed);
	rdmsrl(MSR_IA32_VMX_CR4_FIXED0, v->cr4_fixed);
	/* Unrestricted guests may have these clear (A.7). */
	v->cr0_fixed &= ~(u64)(X86_CR0_PE | X86_CR0_PG);

	rdmsrl(MSR_IA32_CR_PAT, pat);
	lm_ept_setup(pat, v->ept_ad, v->proc2 & SECONDARY_EXEC_ENABLE_PML);
	lm_caps.npt = &lm_ept;
	lm_caps.npt_levels = (v->ept & EPT_CAP_WALK_5) && boot_cpu_data.x86_phys_bits > 48 ? 5 : 4;
	lm_caps.large_levels = v->ept & EPT_CAP_1G ? 3 : v->ept & EPT_CAP_2M ? 2 : 1;
	lm_caps.pdptrs = true;
	lm_caps.apic_hw = (v->proc & CPU_BASED_TPR_SHADOW) &&
			  (v->proc2 & APICV_NEEDED) == APICV_NEEDED;
	lm_caps.phys_bits = boot_cpu_data.x86_phys_bits;
	lm_caps.xsave = boot_cpu_has(X86_FEATURE_XSAVE);
	rdmsrl(MSR_IA32_VMX_MISC, misc);
	v->timer_shift = vmx_misc_preemption_timer_rate(misc);
	lm_caps.tsc_exit = v->pin & PIN_BASED_VMX_PREEMPTION_TIMER;
	/* Some hypervisors leave the field as it was. */
	lm_caps.maybe_len = !no_fast_doorbell && !boot_cpu_has(X86_FEATURE_HYPERVISOR);
	lm_caps.tsc_scaling = v->proc2 & SECONDARY_EXEC_TSC_SCALING;
	lm_caps.tsc_frac_bits = 48;		/* 25.3 */
	lm_caps.tsc_max_ratio = ~0ull;
	v->perf = vmx_perf();
	r = vmx_alloc_cpus();
	if (r)
		lm_vmx_teardown();
	else
		vmx_setup_l1tf();
	lm_vmx_debug_setup();
	return r;
}

void lm_vmx_teardown(void)
{
	vmx_free_cpus();
}

/* ---- one CPU ---- */

static bool vmx_vmxon(u64 pa)
{
	bool failed = true;

	asm volatile("1:	vmxon %1\n"
		     "	setbe %0\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "+qm" (failed) : "m" (pa) : "cc", "memory");
	return failed;
}

/* After a panic's own measures VMX may be off already. */
static void vmx_vmxoff(void)
{
	asm volatile("1:	vmxoff\n"
		     "2:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : : : "cc", "memory");
}

/* Nothing of this CPU may be less than what the boot CPU promised. */
static bool vmx_cpu_differs(void)
{
	const struct vmx_caps *v = &lm_vmx_caps;
	struct vmx_caps here = {};
	u64 basic, ept;

	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, ept);
	return vmx_basic_vmcs_revision_id(basic) != v->revision || ept != v->ept ||
	       vmx_read_controls(&here, basic) || (v->pin & ~here.pin) || (v->proc & ~here.proc) ||
	       (v->proc2 & ~here.proc2) || (v->exit & ~here.exit) || (v->entry & ~here.entry);
}

/* -EBUSY if somebody else is in VMX operation here: there is one VMXON a CPU. */
int lm_vmx_cpu_on(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpus);

	if (c->on)
		return 0;
	if (native_read_cr4() & X86_CR4_VMXE)
		return -EBUSY;
	if (vmx_cpu_differs()) {
		pr_err("CPU %d has another VMX than the boot CPU\n", smp_processor_id());
		return -EIO;
	}
	lm_vmxe_set();
	lm_pt_handle_vmx(1);
	if (vmx_vmxon(page_to_phys(c->region))) {
		lm_pt_handle_vmx(0);
		lm_vmxe_clear();
		return -EIO;
	}
	lm_vmx_host_on();
	this_cpu_write(lm_vmx_current, NULL);
	/* The TLB may hold entries tagged by whoever used VMX before: start with a flush of all. */
	lm_tag_pool_init(&c->tags, 1, VMX_VPIDS);
	c->on = true;
	return 0;
}

/*
 * This is also the path of a panic, in an NMI perhaps: forward through the list
 * is safe at any point of a list_add() or list_del().
 */
void lm_vmx_cpu_off(void)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpus);
	struct lm_hw *hw, *next;

	if (!c->on)
		return;
	c->on = false;
	list_for_each_entry_safe(hw, next, &c->active, node) {
		vmx_vmclear(hw->vmcs_pa);
		hw->launched = false;
		/* Another CPU may take it or free it from here on. */
		smp_store_release(&hw->cpu, -1);
	}
	INIT_LIST_HEAD(&c->active);
	this_cpu_write(lm_vmx_current, NULL);
	vmx_vmxoff();
	lm_pt_handle_vmx(0);
	lm_vmxe_clear();
}

/* ---- which VMCS is where ---- */

/* The slow part of lm_vmx_use(). */
void lm_vmx_switch(struct lm_hw *hw)
{
	struct vmx_cpu *c = this_cpu_ptr(&vmx_cpus);

	if (unlikely(hw->fresh)) {
		vmx_vmclear(hw->vmcs_pa);
		hw->fresh = false;
	}
	WARN_ON_ONCE(vmx_vmptrld(hw->vmcs_pa));
	this_cpu_write(lm_vmx_current, hw);
	if (hw->cpu >= 0)
		return;
	hw->cpu = smp_processor_id();
	hw->tags = &c->tags;
	list_add(&hw->node, &c->active);
	lm_vmx_host_cpu(hw);
}

/**
 * lm_vmx_clear - write a VMCS back to memory: it is active nowhere then
 * @hw: active on this CPU
 *
 * Interrupts off.
 */
void lm_vmx_clear(struct lm_hw *hw)
{
	vmx_vmclear(hw->vmcs_pa);
	if (this_cpu_read(lm_vmx_current) == hw)
		this_cpu_write(lm_vmx_current, NULL);
	list_del(&hw->node);
	hw->launched = false;
	hw->cpu = -1;
}

static void vmx_clear_here(void *data)
{
	struct lm_hw *hw = data;

	/* The CPU may have gone off in the meantime, which cleared it. */
	if (hw->cpu == smp_processor_id())
		lm_vmx_clear(hw);
}

/**
 * lm_vmx_leave_cpu - have the CPU that may hold parts of the VMCS write them back
 * @vcpu: not in its section
 *
 * 25.11.1: a VMCS must not be active on two CPUs.
 */
void lm_vmx_leave_cpu(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	int cpu = READ_ONCE(hw->cpu);

	if (cpu < 0)
		return;
	/* An error says that the CPU is offline: it cleared the VMCS when it went. */
	if (smp_call_function_single(cpu, vmx_clear_here, hw, 1))
		WARN_ON_ONCE(READ_ONCE(hw->cpu) >= 0);
}
