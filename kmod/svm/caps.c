// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this CPU's SVM offers, and turning it on and off on one CPU.
 */
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/perf_event.h>
#include <asm/processor.h>

#include "../lamina.h"
#include "debug.h"
#include "vmcb.h"

#define SVM_IOPM_PAGES_ORDER	2	/* 12 KiB, contiguous (15.10.1) */
#define VM_CR_SVMDIS		BIT_ULL(4)
#define VM_CR			0xc0010114
#define VM_HSAVE_PA		0xc0010117

DEFINE_PER_CPU(struct svm_cpu, lm_svm_cpu);
static struct page *iopm;
u64 lm_svm_iopm_pa;

/*
 * Counters of the host alone must not count guests, which perf arranges when it
 * knows that SVM is on.  Looked up, since a later kernel may keep it for KVM.
 */
static typeof(&amd_pmu_enable_virt) svm_pmu_on;
static typeof(&amd_pmu_disable_virt) svm_pmu_off;

static bool no_nrips;
module_param_named(svm_no_nrips, no_nrips, bool, 0444);
MODULE_PARM_DESC(svm_no_nrips, "do not use the next RIP that the CPU saves (debug)");
static bool no_assists;
module_param_named(svm_no_assists, no_assists, bool, 0444);
MODULE_PARM_DESC(svm_no_assists, "do not use decode assists (debug)");
bool lm_svm_no_flushbyasid;
module_param_named(svm_no_flushbyasid, lm_svm_no_flushbyasid, bool, 0444);
MODULE_PARM_DESC(svm_no_flushbyasid, "flush by taking a fresh ASID (debug)");
static bool no_clean;
module_param_named(svm_no_clean, no_clean, bool, 0444);
MODULE_PARM_DESC(svm_no_clean, "never set VMCB clean bits (debug)");

static int svm_probe(void)
{
	u64 vm_cr;

	if (boot_cpu_data.x86_vendor != X86_VENDOR_AMD &&
	    boot_cpu_data.x86_vendor != X86_VENDOR_HYGON)
		return -ENODEV;
	/* The kernel clears the flag where firmware locked SVM off; ask the CPU itself. */
	if (cpuid_eax(0x80000000) < 0x8000000a || !(cpuid_ecx(0x80000001) & BIT(2)))
		return -ENODEV;
	if (!rdmsrl_safe(VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS)) {
		pr_err("SVM is disabled by the firmware: enable virtualisation (SVM) in its set-up\n");
		return -EOPNOTSUPP;
	}
	if (!(cpuid_edx(0x8000000a) & BIT(0))) {
		pr_err("this CPU's SVM lacks nested paging, which Lamina requires\n");
		return -EOPNOTSUPP;
	}
	return 0;
}

static void svm_read_caps(void)
{
	u32 edx = cpuid_edx(0x8000000a);

	lm_caps.nr_asids = cpuid_ebx(0x8000000a);
	lm_caps.nrips = (edx & BIT(3)) && !no_nrips;
	lm_caps.tsc_scaling = edx & BIT(4);
	lm_caps.clean_bits = (edx & BIT(5)) && !no_clean;
	lm_caps.flush_by_asid = (edx & BIT(6)) && !lm_svm_no_flushbyasid;
	lm_caps.decode_assists = (edx & BIT(7)) && !no_assists;
	lm_caps.vgif = edx & BIT(16);
	lm_caps.spec_ctrl = edx & BIT(20);
	lm_caps.tsc_frac_bits = 32;
	lm_caps.tsc_max_ratio = 0xffffffffffull;	/* 8.32 (15.30.5) */
	lm_caps.npt = &lm_npt;
	/* The CPU walks the nested table in the host's own paging mode (15.25.3). */
	lm_caps.npt_levels = native_read_cr4() & X86_CR4_LA57 ? 5 : 4;
	lm_caps.large_levels = boot_cpu_has(X86_FEATURE_GBPAGES) ? 3 : 2;
	lm_caps.amd_insns = true;
	lm_caps.phys_bits = boot_cpu_data.x86_phys_bits;
}

static void svm_free_cpus(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&lm_svm_cpu, cpu);

		if (c->hsave)
			__free_page(c->hsave);
		free_page((unsigned long)c->area);
		c->hsave = NULL;
		c->area = NULL;
	}
}

static int svm_alloc_cpus(void)
{
	struct page *area;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct svm_cpu *c = per_cpu_ptr(&lm_svm_cpu, cpu);

		c->hsave = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		area = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL | __GFP_ZERO, 0);
		if (!area)
			return -ENOMEM;
		c->area = page_address(area);
		c->area_pa = __sme_set(page_to_phys(area));
		if (!c->hsave)
			return -ENOMEM;
	}
	return 0;
}

/*
 * XSETBV must end the guest's run, or the guest's XCR0 becomes the host's.
 * QEMU's TCG before 9.0 ignores the intercept; hardware does not.  Nothing in
 * CPUID tells the two apart, so the emulated host says it by hiding XSAVE.
 */
int lm_svm_setup(void)
{
	int r = svm_probe();

	if (r)
		return r;
	svm_read_caps();
	lm_svm_debug_setup();
	if (lm_caps.nr_asids < 2) {
		pr_err("this CPU's SVM offers %u ASIDs; at least 2 are needed\n", lm_caps.nr_asids);
		return -EOPNOTSUPP;
	}
	lm_caps.xsave = boot_cpu_has(X86_FEATURE_XSAVE);

	iopm = alloc_pages(GFP_KERNEL, SVM_IOPM_PAGES_ORDER);
	if (!iopm)
		return -ENOMEM;
	memset(page_address(iopm), 0xff, PAGE_SIZE << SVM_IOPM_PAGES_ORDER);
	lm_svm_iopm_pa = __sme_set(page_to_phys(iopm));
	if (LM_MAY_USE_AMD_PMU) {
		svm_pmu_on = symbol_get(amd_pmu_enable_virt);
		svm_pmu_off = symbol_get(amd_pmu_disable_virt);
	}
	r = svm_alloc_cpus();
	if (r)
		lm_svm_teardown();
	return r;
}

void lm_svm_teardown(void)
{
	if (svm_pmu_on)
		symbol_put(amd_pmu_enable_virt);
	if (svm_pmu_off)
		symbol_put(amd_pmu_disable_virt);
	svm_pmu_on = NULL;
	svm_pmu_off = NULL;
	svm_free_cpus();
	if (iopm)
		__free_pages(iopm, SVM_IOPM_PAGES_ORDER);
	iopm = NULL;
}

/*
 * SRSO on Zen 5, where only guests can steer the host's returns: the CPU has a bit
 * against it, to be set while there are guests.  The kernel clears the feature where
 * it chose otherwise.
 */
static void svm_spec_reduce(bool on)
{
#ifdef X86_FEATURE_SRSO_BP_SPEC_REDUCE
	u64 cfg;

	if (!boot_cpu_has(X86_FEATURE_SRSO_BP_SPEC_REDUCE))
		return;
	rdmsrl(MSR_ZEN4_BP_CFG, cfg);
	if (on)
		cfg |= BIT(MSR_ZEN4_BP_CFG_BP_SPEC_REDUCE_BIT);
	else
		cfg &= ~BIT(MSR_ZEN4_BP_CFG_BP_SPEC_REDUCE_BIT);
	wrmsrl(MSR_ZEN4_BP_CFG, cfg);
#endif
}

/*
 * -EBUSY if somebody else has SVM: ASIDs have no owner that could be asked, so
 * two hypervisors side by side would use each other's TLB entries.
 */
int lm_svm_cpu_on(void)
{
	struct svm_cpu *c = this_cpu_ptr(&lm_svm_cpu);
	u64 efer;

	if (c->on)
		return 0;
	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return -EBUSY;
	rdmsrl(VM_HSAVE_PA, c->old_hsave);
	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(VM_HSAVE_PA, __sme_set(page_to_phys(c->hsave)));
	/* The TLB may hold entries tagged by whoever used SVM before: start with a flush of all. */
	lm_tag_pool_init(&c->tags, 1, lm_caps.nr_asids - 1);
	c->on = true;
	svm_spec_reduce(true);
	if (svm_pmu_on && svm_pmu_off)
		svm_pmu_on();
	return 0;
}

void lm_svm_cpu_off(void)
{
	struct svm_cpu *c = this_cpu_ptr(&lm_svm_cpu);
	u64 efer;

	if (!c->on)
		return;
	c->on = false;
	wrmsrl(VM_HSAVE_PA, c->old_hsave);
	/*
	 * STGI before SVME goes: with GIF 0 and SVME clear nothing could set it
	 * again.  This is also the path of a panic inside a section.
	 */
	svm_stgi();
	rdmsrl(MSR_EFER, efer);
	wrmsrl(MSR_EFER, efer & ~EFER_SVME);
	svm_spec_reduce(false);
	if (svm_pmu_on && svm_pmu_off && !in_nmi())	/* NMI: a panic */
		svm_pmu_off();
}
