// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's half of a VMCS.  An exit loads the host's state from fixed fields
 * (SDM vol. 3, 28.5), so what changes between two entries must be written again:
 * CR3 and CR4, FS.base, and on another CPU the bases of its tables.  What an exit
 * makes null or cuts off (selectors, LDTR, the limit of the GDT and of the TSS) and
 * the MSRs that only user space or a system call would miss come back when the
 * section ends; the kernel runs interrupt handlers without them.
 */
#include <asm/desc.h>
#include <asm/fsgsbase.h>
#include <asm/msr.h>
#include <asm/perf_event.h>
#include <asm/segment.h>
#include <asm/special_insns.h>

#include "../lamina.h"
#include "vmcs.h"

u64 lm_vmx_tr_base(void)
{
	struct desc_ptr gdt;
	unsigned long tr;

	native_store_gdt(&gdt);
	store_tr(tr);
	return get_desc_base((struct desc_struct *)(gdt.address + (tr & ~7ul))) |
	       (u64)((struct ldttss_desc *)(gdt.address + (tr & ~7ul)))->base3 << 32;
}

/* The VMCS has become active on this CPU: what belongs to the CPU. */
void lm_vmx_host_cpu(struct lm_hw *hw)
{
	struct desc_ptr gdt, idt;
	u64 val;

	native_store_gdt(&gdt);
	store_idt(&idt);
	vmx_write(HOST_TR_BASE, lm_vmx_tr_base());
	vmx_write(HOST_GDTR_BASE, gdt.address);
	vmx_write(HOST_IDTR_BASE, idt.address);
	rdmsrl(MSR_IA32_SYSENTER_ESP, val);
	vmx_write(HOST_IA32_SYSENTER_ESP, val);
	rdmsrl(MSR_GS_BASE, val);
	vmx_write(HOST_GS_BASE, val);
}

/* One entry of an MSR-load list (25.7.2, table 25-15). */
static void vmx_msr_list(struct vmx_msr_entry *e, u32 msr, u64 val)
{
	e->index = msr;
	e->reserved = 0;
	e->value = val;
}

/*
 * The host's performance counters: those that are not to count guests stop, and so
 * does PEBS, which would write its records through the guest's page table.  perf
 * says what the MSRs are to hold on either side.
 */
static void vmx_host_perf(struct lm_hw *hw)
{
	struct perf_guest_switch_msr *m;
	unsigned int lists = 0;
	int i, nr = 0;

	hw->pebs = false;
	m = perf_guest_get_msrs(&nr, NULL);
	for (i = 0; m && i < nr; i++) {
		if (m[i].msr == MSR_CORE_PERF_GLOBAL_CTRL && lm_vmx_caps.perf_ctrl) {
			if (hw->perf_host != m[i].host) {
				hw->perf_host = m[i].host;
				vmx_write(HOST_IA32_PERF_GLOBAL_CTRL, m[i].host);
			}
			if (hw->perf_guest != m[i].guest) {
				hw->perf_guest = m[i].guest;
				vmx_write(GUEST_IA32_PERF_GLOBAL_CTRL, m[i].guest);
			}
		} else if (m[i].host != m[i].guest && lists < VMX_PERF_MSRS) {
			hw->pebs |= m[i].msr == MSR_IA32_PEBS_ENABLE;
			vmx_msr_list(&hw->msr_lists->guest[lists], m[i].msr, m[i].guest);
			vmx_msr_list(&hw->msr_lists->host[lists], m[i].msr, m[i].host);
			lists++;
		}
	}
	if (unlikely(lists != hw->nr_msrs)) {
		hw->nr_msrs = lists;
		vmx_write(VM_ENTRY_MSR_LOAD_COUNT, lists);
		vmx_write(VM_EXIT_MSR_LOAD_COUNT, lists);
	}
}

/**
 * lm_vmx_host_refresh - what an interrupt handler may change too
 * @hw: its VMCS is current
 */
void lm_vmx_host_refresh(struct lm_hw *hw)
{
	u64 cr3 = __native_read_cr3(), cr4 = native_read_cr4();
	u16 ldt;

	if (unlikely(hw->host_cr3 != cr3)) {
		hw->host_cr3 = cr3;
		vmx_write(HOST_CR3, cr3);
	}
	if (unlikely(hw->host_cr4 != cr4)) {
		hw->host_cr4 = cr4;
		vmx_write(HOST_CR4, cr4);
	}
	/* modify_ldt() of another thread loads it by an interrupt. */
	store_ldt(ldt);
	if (unlikely(ldt))
		hw->ldt = ldt;
	rdmsrl(MSR_IA32_DEBUGCTLMSR, hw->host_debugctl);
	if (hw->msr_lists)
		vmx_host_perf(hw);
}

/**
 * lm_vmx_host_load - note what the section's end must bring back
 * @hw: its VMCS is current
 */
void lm_vmx_host_load(struct lm_hw *hw)
{
	u64 fs_base;

	hw->ldt = 0;
	lm_vmx_host_refresh(hw);
	savesegment(ds, hw->ds);
	savesegment(es, hw->es);
	savesegment(fs, hw->fs);
	savesegment(gs, hw->gs);
	rdmsrl(MSR_KERNEL_GS_BASE, hw->host_kernel_gs);
	if (boot_cpu_has(X86_FEATURE_FSGSBASE))
		fs_base = rdfsbase();
	else
		rdmsrl(MSR_FS_BASE, fs_base);
	if (unlikely(hw->host_fs_base != fs_base)) {
		hw->host_fs_base = fs_base;
		vmx_write(HOST_FS_BASE, fs_base);
	}
}

/**
 * lm_vmx_host_unload - give back what exits took
 * @hw: whose section ends
 */
void lm_vmx_host_unload(struct lm_hw *hw)
{
	lm_vmx_reload_gdt();
	/* An exit loads TR with the shortest limit; the I/O bitmap is beyond it. */
	invalidate_tss_limit();
	if (unlikely(hw->ldt))
		asm volatile("lldt %w0" : : "q" (hw->ldt));
	if (unlikely(hw->ds | hw->es)) {
		loadsegment(ds, hw->ds);
		loadsegment(es, hw->es);
	}
	if (unlikely(hw->fs)) {
		loadsegment(fs, hw->fs);
		wrmsrl(MSR_FS_BASE, hw->host_fs_base);
	}
	if (unlikely(hw->gs))
		load_gs_index(hw->gs);
	wrmsrl(MSR_KERNEL_GS_BASE, hw->host_kernel_gs);
}
