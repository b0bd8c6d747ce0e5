// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's half of a VMCS.  An exit loads the host's state from fixed fields
 * (SDM vol. 3, 28.5), so what changes between two entries must be written again:
 * CR3 and CR4, FS.base, and on another CPU the bases of its tables.  What an exit
 * makes null or cuts off (selectors, LDTR, the limit of the GDT and of the TSS) and
 * the MSRs that only user space or a system call would miss come back when the
 * section ends; the kernel runs interrupt handlers without them.
 */
#include <linux/kprobes.h>
#include <linux/thread_info.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fsgsbase.h>
#include <asm/msr.h>
#include <asm/pgtable.h>
#include <asm/perf_event.h>
#include <asm/segment.h>
#include <asm/special_insns.h>

#include "../backend.h"
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
static noinline void vmx_host_perf(struct lm_hw *hw)
{
	struct perf_guest_switch_msr *m;
	unsigned int lists = 0;
	int i, nr = 0;

	hw->pebs = false;
	m = lm_perf_guest_get_msrs(&nr);
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

/* What an interrupt handler may change too. */
static __always_inline void vmx_host_refresh(struct lm_hw *hw)
{
	u64 cr3 = __native_read_cr3(), cr4 = native_read_cr4();

	if (unlikely(hw->host_cr3 != cr3)) {
		hw->host_cr3 = cr3;
		vmx_write(HOST_CR3, cr3);
	}
	if (unlikely(hw->host_cr4 != cr4)) {
		hw->host_cr4 = cr4;
		vmx_write(HOST_CR4, cr4);
	}
	hw->host_debugctl = __rdmsr(MSR_IA32_DEBUGCTLMSR);
	if (hw->msr_lists)
		vmx_host_perf(hw);
}

/**
 * lm_vmx_host_refresh - fields of the host that change while a vCPU runs
 * @hw: its VMCS is current
 */
void lm_vmx_host_refresh(struct lm_hw *hw)
{
	vmx_host_refresh(hw);
}

/*
 * KERNEL_GS_BASE, by way of GS.base: WRGSBASE between two SWAPGS costs less than WRMSR
 * and RDMSR.  What may come in between (NMI, machine check) looks at GS.base itself
 * before it relies on it, where there is FSGSBASE.
 */
static __always_inline u64 vmx_swap_kernel_gs(u64 val)
{
	u64 old;

	/* WRGSBASE must not fault here; what needs more bits of address goes the other way. */
	if (static_cpu_has(X86_FEATURE_FSGSBASE) && likely((u64)((s64)(val << 16) >> 16) == val)) {
		asm volatile("swapgs\n\t"
			     "rdgsbase %0\n\t"
			     "wrgsbase %1\n\t"
			     "swapgs"
			     : "=&r" (old) : "r" (val) : "memory");
		return old;
	}
	rdmsrl(MSR_KERNEL_GS_BASE, old);
	wrmsrl(MSR_KERNEL_GS_BASE, val);
	return old;
}

/* ---- the SYSCALL MSRs ---- */

/* This CPU's own, as they are whenever no guest's are there. */
struct vmx_syscall {
	u64 star, lstar, sfmask;
};

static DEFINE_PER_CPU(struct vmx_syscall, vmx_syscall_host);

static __always_inline void vmx_msr_change(u32 msr, u64 from, u64 to)
{
	if (from != to)
		wrmsrl(msr, to);
}

/**
 * lm_vmx_put_syscall - the guest's SYSCALL MSRs into the CPU, in place of whoever's are there
 * @vcpu: its section is loaded or being so
 *
 * SYSCALL needs EFER.SCE; a guest without it cannot tell what the MSRs hold.
 * Nothing in the kernel uses them before the section ends.
 */
void lm_vmx_put_syscall(struct lm_vcpu *vcpu)
{
	const struct vmx_syscall *host = this_cpu_ptr(&vmx_syscall_host);
	const struct lm_state *st = &vcpu->st;
	struct lm_hw *hw = vcpu->hw;

	if (!(st->efer & EFER_SCE))
		return;
	if (!hw->syscall_loaded) {
		hw->star = host->star;
		hw->lstar = host->lstar;
		hw->sfmask = host->sfmask;
		hw->syscall_loaded = true;
	}
	vmx_msr_change(MSR_STAR, hw->star, st->star);
	vmx_msr_change(MSR_LSTAR, hw->lstar, st->lstar);
	vmx_msr_change(MSR_SYSCALL_MASK, hw->sfmask, st->sfmask);
	hw->star = st->star;
	hw->lstar = st->lstar;
	hw->sfmask = st->sfmask;
}

static noinline void vmx_unload_syscall(struct lm_hw *hw)
{
	const struct vmx_syscall *host = this_cpu_ptr(&vmx_syscall_host);

	hw->syscall_loaded = false;
	vmx_msr_change(MSR_STAR, hw->star, host->star);
	vmx_msr_change(MSR_LSTAR, hw->lstar, host->lstar);
	vmx_msr_change(MSR_SYSCALL_MASK, hw->sfmask, host->sfmask);
}

/* VMX is turned on here: MSRs that the kernel sets once for each CPU. */
void lm_vmx_host_on(void)
{
	struct vmx_syscall *host = this_cpu_ptr(&vmx_syscall_host);

	native_store_gdt(this_cpu_ptr(&lm_vmx_gdt));
	rdmsrl(MSR_STAR, host->star);
	rdmsrl(MSR_LSTAR, host->lstar);
	rdmsrl(MSR_SYSCALL_MASK, host->sfmask);
}

/* ---- DR6 ---- */

#define DR6_HOST	0xffff0ff0ul

/**
 * lm_vmx_put_dr6 - the guest's DR6 into the CPU, if the guest may touch it without an exit
 * @vcpu: its section is loaded or being so
 */
void lm_vmx_put_dr6(struct lm_vcpu *vcpu)
{
	if (likely(!vcpu->dr_loaded) || lm_debug_owns_dr(vcpu))
		return;
	set_debugreg(vcpu->st.dr6, 6);
	vcpu->hw->dr6_loaded = true;
}

/* Give DR6 back to the host, which takes it for its own at its next #DB. */
static __always_inline void vmx_unload_dr6(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	unsigned long dr6;

	if (likely(!hw->dr6_loaded))
		return;
	hw->dr6_loaded = false;
	get_debugreg(dr6, 6);
	if (!(vcpu->dirty & LM_S_DR))
		vcpu->st.dr6 = dr6;
	set_debugreg(DR6_HOST, 6);
}

/* What the last section may have loaded. */
static noinline void vmx_unload_more(struct lm_vcpu *vcpu)
{
	vmx_unload_dr6(vcpu);
	if (vcpu->hw->syscall_loaded)
		vmx_unload_syscall(vcpu->hw);
}

/* ---- the section ---- */

static __always_inline void vmx_host_load(struct lm_hw *hw)
{
	u64 fs_base;

	vmx_host_refresh(hw);
	store_ldt(hw->ldt);
	savesegment(ds, hw->ds);
	savesegment(es, hw->es);
	savesegment(fs, hw->fs);
	savesegment(gs, hw->gs);
	if (static_cpu_has(X86_FEATURE_FSGSBASE))
		fs_base = rdfsbase();
	else
		rdmsrl(MSR_FS_BASE, fs_base);
	if (unlikely(hw->host_fs_base != fs_base)) {
		hw->host_fs_base = fs_base;
		vmx_write(HOST_FS_BASE, fs_base);
	}
}

void lm_vmx_load(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;

	lm_vmx_use(hw);
	vmx_host_load(hw);
	hw->host_kernel_gs = vmx_swap_kernel_gs(vcpu->st.kernel_gs_base);
	if (vcpu->st.efer & EFER_SCE)
		lm_vmx_put_syscall(vcpu);
	if (unlikely(vcpu->dr_loaded))
		lm_vmx_put_dr6(vcpu);
	hw->l1d_flush = true;
	hw->loaded = true;
}
/* INT3 does not look at GS.base: see vmx_swap_kernel_gs(). */
NOKPROBE_SYMBOL(lm_vmx_load);

/* 64-bit user space has null selectors, as the exit left them. */
static noinline void vmx_host_selectors(struct lm_hw *hw)
{
	if (hw->ldt)
		asm volatile("lldt %w0" : : "q" (hw->ldt));
	if (hw->ds | hw->es) {
		loadsegment(ds, hw->ds);
		loadsegment(es, hw->es);
	}
	if (hw->fs) {
		loadsegment(fs, hw->fs);
		wrmsrl(MSR_FS_BASE, hw->host_fs_base);
	}
	if (hw->gs) {
		load_gs_index(hw->gs);
		wrmsrl(MSR_KERNEL_GS_BASE, hw->host_kernel_gs);
	}
}

static noinline void vmx_host_tss(void)
{
	invalidate_tss_limit();
}

/* An exit loads TR with the shortest limit; the I/O bitmap is beyond it. */
static __always_inline void vmx_tss_limit(void)
{
	if (unlikely(test_thread_flag(TIF_IO_BITMAP)))
		vmx_host_tss();
	else
		this_cpu_write(__tss_limit_invalid, true);
}

void lm_vmx_unload(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	u64 kernel_gs_base;

	/* Every exit to user space shows them. */
	lm_need_state(vcpu, LM_S_RFLAGS | LM_S_SHADOW);
	if (hw->pml && READ_ONCE(vcpu->vm->mem.logs))
		lm_vmx_dirty(vcpu);
	hw->loaded = false;
	if (unlikely(hw->dr6_loaded | hw->syscall_loaded))
		vmx_unload_more(vcpu);
	kernel_gs_base = vmx_swap_kernel_gs(hw->host_kernel_gs);
	if (!(vcpu->valid & LM_S_SYSCALL))
		vcpu->st.kernel_gs_base = kernel_gs_base;
	native_load_gdt(this_cpu_ptr(&lm_vmx_gdt));
	vmx_tss_limit();
	if (unlikely(hw->selectors | hw->ldt))
		vmx_host_selectors(hw);
}
/* INT3 does not look at GS.base: see vmx_swap_kernel_gs(). */
NOKPROBE_SYMBOL(lm_vmx_unload);

/*
 * lm_vmx_window - let the host take what is pending
 *
 * All that its interrupt handlers need is the host's already, but for DR6.  An NMI
 * or machine check that ended the run was handed on right after the exit.
 */
void lm_vmx_window(struct lm_vcpu *vcpu)
{
	struct lm_hw *hw = vcpu->hw;
	u16 ldt;

	vmx_unload_dr6(vcpu);
	local_irq_enable();
	asm volatile("nop");	/* the instruction after STI runs first */
	local_irq_disable();
	vmx_host_refresh(hw);
	/* modify_ldt() of another thread loads it by an interrupt; the exit made it null. */
	store_ldt(ldt);
	if (unlikely(ldt))
		hw->ldt = ldt;
	lm_vmx_put_dr6(vcpu);
	hw->l1d_flush = true;
}
