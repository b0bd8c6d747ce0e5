/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual machine control block, APM vol. 2, appendix B, and the private
 * objects of the SVM backend.
 */
#ifndef LM_SVM_VMCB_H
#define LM_SVM_VMCB_H

#include <linux/build_bug.h>
#include <linux/types.h>

struct lm_vcpu;

/* Table B-1: the control area. */
struct svm_control {
	u32 cr;			/* reads 15:0, writes 31:16 */
	u32 dr;
	u32 exceptions;
	u32 misc1;
	u32 misc2;
	u32 misc3;
	u8 reserved1[0x3c - 0x18];
	u16 pause_threshold;
	u16 pause_count;
	u64 iopm_pa;
	u64 msrpm_pa;
	u64 tsc_offset;
	u32 asid;
	u32 tlb_control;
	u64 vintr;
	u64 int_state;
	u64 exit_code;
	u64 exit_info1;
	u64 exit_info2;
	u64 exit_int_info;
	u64 np;
	u64 avic_bar;
	u64 ghcb;
	u64 event_inj;
	u64 n_cr3;
	u64 virt_ext;
	u32 clean;
	u32 reserved2;
	u64 next_rip;
	u8 nr_bytes;
	u8 bytes[15];
	u8 reserved3[0x400 - 0xe0];
} __packed;

struct svm_seg {
	u16 sel;
	u16 attr;
	u32 limit;
	u64 base;
} __packed;

/* Table B-2: the state save area, from offset 0x400 of the VMCB. */
struct svm_save {
	struct svm_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8 reserved1[0xcb - 0xa0];
	u8 cpl;
	u32 reserved2;
	u64 efer;
	u8 reserved3[0x148 - 0xd8];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u8 reserved4[0x1d8 - 0x180];
	u64 rsp;
	u64 s_cet, ssp, isst_addr;
	u64 rax;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2;
	u8 reserved5[0x268 - 0x248];
	u64 g_pat;
	u64 dbgctl;
	u8 reserved6[0x2e0 - 0x278];
	u64 spec_ctrl;
	u8 reserved7[0xc00 - 0x2e8];
} __packed;

struct svm_vmcb {
	struct svm_control c;
	struct svm_save s;
} __packed;

static_assert(sizeof(struct svm_vmcb) == 4096);
static_assert(offsetof(struct svm_control, event_inj) == 0xa8);
static_assert(offsetof(struct svm_control, bytes) == 0xd1);
static_assert(offsetof(struct svm_save, cr4) == 0x148);
static_assert(offsetof(struct svm_save, rax) == 0x1f8);
static_assert(offsetof(struct svm_save, cr2) == 0x240);
static_assert(offsetof(struct svm_save, g_pat) == 0x268);
static_assert(offsetof(struct svm_save, spec_ctrl) == 0x2e0);

/* Intercepts of misc1 (offset 0xc) and misc2 (0x10). */
#define SVM_I1_INTR		BIT(0)
#define SVM_I1_NMI		BIT(1)
#define SVM_I1_SMI		BIT(2)
#define SVM_I1_INIT		BIT(3)
#define SVM_I1_VINTR		BIT(4)
#define SVM_I1_CR0_SEL		BIT(5)
#define SVM_I1_RDPMC		BIT(15)
#define SVM_I1_CPUID		BIT(18)
#define SVM_I1_IRET		BIT(20)
#define SVM_I1_INVD		BIT(22)
#define SVM_I1_PAUSE		BIT(23)
#define SVM_I1_HLT		BIT(24)
#define SVM_I1_INVLPGA		BIT(26)
#define SVM_I1_IOIO		BIT(27)
#define SVM_I1_MSR		BIT(28)
#define SVM_I1_TASK		BIT(29)
#define SVM_I1_SHUTDOWN		BIT(31)

#define SVM_I2_VMRUN		BIT(0)
#define SVM_I2_VMMCALL		BIT(1)
#define SVM_I2_VMLOAD		BIT(2)
#define SVM_I2_VMSAVE		BIT(3)
#define SVM_I2_STGI		BIT(4)
#define SVM_I2_CLGI		BIT(5)
#define SVM_I2_SKINIT		BIT(6)
#define SVM_I2_RDTSCP		BIT(7)
#define SVM_I2_WBINVD		BIT(9)
#define SVM_I2_MONITOR		BIT(10)
#define SVM_I2_MWAIT		BIT(11)
#define SVM_I2_XSETBV		BIT(13)
#define SVM_I2_RDPRU		BIT(14)

#define SVM_I3_INVLPGB_ILLEGAL	BIT(1)
#define SVM_I3_MCOMMIT		BIT(3)

#define SVM_V_TPR		0xffull
#define SVM_V_IRQ		BIT_ULL(8)
#define SVM_V_PRIO_MAX		(0xfull << 16)
#define SVM_V_IGN_TPR		BIT_ULL(20)
#define SVM_V_INTR_MASKING	BIT_ULL(24)

#define SVM_INT_SHADOW		BIT_ULL(0)

#define SVM_CR_VALID		BIT_ULL(63)	/* exit_info1: the access was a MOV CR (15.8.1) */

#define SVM_NP_ENABLE		BIT_ULL(0)

/* 15.15.3: what may stay cached from the last run of this VMCB on this CPU. */
#define SVM_CLEAN_I		BIT(0)
#define SVM_CLEAN_IOPM		BIT(1)
#define SVM_CLEAN_ASID		BIT(2)
#define SVM_CLEAN_TPR		BIT(3)
#define SVM_CLEAN_NP		BIT(4)
#define SVM_CLEAN_CR		BIT(5)
#define SVM_CLEAN_DR		BIT(6)
#define SVM_CLEAN_DT		BIT(7)
#define SVM_CLEAN_SEG		BIT(8)
#define SVM_CLEAN_CR2		BIT(9)
#define SVM_CLEAN_ALL		GENMASK(9, 0)

#define SVM_TLB_NONE		0
#define SVM_TLB_ALL		1
#define SVM_TLB_ASID		3

/* Exit codes, appendix C. */
#define SVM_EXIT_CR_READ	0x000
#define SVM_EXIT_CR_WRITE	0x010
#define SVM_EXIT_DR_READ	0x020
#define SVM_EXIT_DR_WRITE	0x030
#define SVM_EXIT_EXC		0x040
#define SVM_EXIT_INTR		0x060
#define SVM_EXIT_NMI		0x061
#define SVM_EXIT_SMI		0x062
#define SVM_EXIT_INIT		0x063
#define SVM_EXIT_VINTR		0x064
#define SVM_EXIT_CR0_SEL	0x065
#define SVM_EXIT_RDPMC		0x06f
#define SVM_EXIT_CPUID		0x072
#define SVM_EXIT_IRET		0x074
#define SVM_EXIT_INVD		0x076
#define SVM_EXIT_PAUSE		0x077
#define SVM_EXIT_HLT		0x078
#define SVM_EXIT_INVLPGA	0x07a
#define SVM_EXIT_IOIO		0x07b
#define SVM_EXIT_MSR		0x07c
#define SVM_EXIT_TASK		0x07d
#define SVM_EXIT_SHUTDOWN	0x07f
#define SVM_EXIT_VMRUN		0x080
#define SVM_EXIT_VMMCALL	0x081
#define SVM_EXIT_VMLOAD		0x082
#define SVM_EXIT_SKINIT		0x086
#define SVM_EXIT_RDTSCP		0x087
#define SVM_EXIT_WBINVD		0x089
#define SVM_EXIT_MONITOR	0x08a
#define SVM_EXIT_MWAIT		0x08b
#define SVM_EXIT_XSETBV		0x08d
#define SVM_EXIT_RDPRU		0x08e
#define SVM_EXIT_NPF		0x400
#define SVM_EXIT_INVALID	0xffffffffu	/* only the low 32 bits are sure on all CPUs */

/* GS.base of the guest, and of the host while a section is loaded; enter.S knows the order. */
struct svm_gs {
	u64 guest, host;
};

/**
 * struct lm_hw - the SVM part of a vCPU; all fields (s) or (v)
 * @vmcb: its control block, one page
 * @vmcb_pa: physical address with the host's encryption bit
 * @host_pa: the CPU's own area for VMSAVE while the section is loaded
 * @gs: the part of VMLOAD's state that is exchanged around VMRUN
 * @tags: ASIDs of the CPU whose section it is
 * @msrpm: MSR permission map, 8 KiB
 * @cr0_hidden: CD and NW as the guest set them; the CPU always runs without
 * @cr4_hidden: MCE if the guest has it clear; the CPU runs with it, lest a machine
 *	check that the host could handle shuts the guest down
 * @saved: the VMCB holds what VMSAVE writes (not only the CPU)
 * @loaded: the section is loaded
 * @mce: a machine check ended the run; the host is to be told
 * @step: one instruction is run before NMIs are looked at: the IRET that ends
 *        their masking, or one in an interrupt shadow
 * @step_tf: by TF, which was not the guest's
 * @step_rip: its RIP
 * @clean: clean bits for the next entry
 * @clean_after: what they are after an exit
 * @debug: of debug_state, or NULL
 */
struct lm_hw {
	struct svm_vmcb *vmcb;
	u64 vmcb_pa;
	u64 host_pa;
	struct svm_gs gs;
	struct lm_tag_pool *tags;
	u8 *msrpm;
	u64 cr0_hidden, cr4_hidden;
	bool saved;
	bool loaded;
	bool mce;
	bool step;
	bool step_tf;
	u64 step_rip;
	u32 clean, clean_after;
	struct svm_debug *debug;
};

/* One CPU's part; area takes the host's FS, GS, TR, LDTR and syscall MSRs (VMSAVE). */
struct svm_cpu {
	struct page *hsave;	/* the CPU's own, for VMRUN (VM_HSAVE_PA) */
	struct svm_vmcb *area;
	u64 area_pa;		/* with the host's encryption bit */
	u64 old_hsave;		/* VM_HSAVE_PA as we found it */
	bool on;
	struct lm_tag_pool tags;
};

/* caps.c */
DECLARE_PER_CPU(struct svm_cpu, lm_svm_cpu);
extern u64 lm_svm_iopm_pa;
int lm_svm_setup(void);
void lm_svm_teardown(void);
int lm_svm_cpu_on(void);
void lm_svm_cpu_off(void);

/* vmcb.c */
int lm_svm_vcpu_init(struct lm_vcpu *vcpu);
void lm_svm_vcpu_free(struct lm_vcpu *vcpu);
void lm_svm_update(struct lm_vcpu *vcpu);
void lm_svm_tsc(struct lm_vcpu *vcpu);
void lm_svm_dump(struct lm_vcpu *vcpu);

/* state.c */
void lm_svm_get(struct lm_vcpu *vcpu, u32 groups);
void lm_svm_put(struct lm_vcpu *vcpu);
void lm_svm_load(struct lm_vcpu *vcpu);
void lm_svm_unload(struct lm_vcpu *vcpu);
void lm_svm_window(struct lm_vcpu *vcpu);

/* exit.c */
void lm_svm_enter(struct lm_vcpu *vcpu);

/* enter.S */
void lm_svm_vmrun(u64 *gpr, u64 vmcb_pa, struct svm_gs *gs);
void lm_svm_vmload_guest(u64 vmcb_pa);
void lm_svm_vmload_host(u64 area_pa);

static inline void svm_clgi(void)
{
	asm volatile("clgi" : : : "memory");
}

static inline void svm_stgi(void)
{
	asm volatile("stgi" : : : "memory");
}

static inline void svm_vmsave(u64 pa)
{
	asm volatile("vmsave %%rax" : : "a" (pa) : "memory");
}

#endif
