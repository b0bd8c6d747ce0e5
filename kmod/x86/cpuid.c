// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUID: what the module can offer on this host, what user space chose of it,
 * and the answer to the instruction.
 */
#include <linux/nospec.h>
#include <linux/sched/stat.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/kvm_para.h>
#include <asm/msr-index.h>
#include <asm/processor.h>
#include <asm/tsc.h>

#include "../lamina.h"

enum { LM_EAX, LM_EBX, LM_ECX, LM_EDX };

#define F(x)	BIT(X86_FEATURE_##x & 31)

/**
 * struct lm_feature_word - one register of features and what is offered of it
 * @leaf: CPUID leaf
 * @sub: its subleaf
 * @reg: which register
 * @word: the kernel's word of the same layout: bits that the kernel cleared stay hidden
 * @mask: bits that the module supports
 * @xsave: those of @mask whose state needs XSAVE
 * @force: bits that the module provides whatever the CPU has
 */
struct lm_feature_word {
	u32 leaf;
	u8 sub, reg, word;
	u32 mask, xsave, force;
};

/* What SPEC_CTRL is for; offered where the CPU switches it. */
#define LM_SPEC_CTRL	(F(AMD_IBRS) | F(AMD_STIBP) | F(AMD_STIBP_ALWAYS_ON) | F(AMD_SSBD))

static const struct lm_feature_word lm_words[] = {
	{
		.leaf = 1, .reg = LM_EDX, .word = CPUID_1_EDX,
		.mask = F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) | F(MCE) |
			F(CX8) | F(APIC) | F(SEP) | F(MTRR) | F(PGE) | F(MCA) | F(CMOV) | F(PAT) |
			F(PSE36) | F(CLFLUSH) | F(MMX) | F(FXSR) | F(XMM) | F(XMM2) | F(SELFSNOOP),
		.force = F(APIC) | F(MTRR) | F(MCE) | F(MCA),
	}, {
		.leaf = 1, .reg = LM_ECX, .word = CPUID_1_ECX,
		.mask = F(XMM3) | F(PCLMULQDQ) | F(SSSE3) | F(FMA) | F(CX16) | F(PCID) | F(XMM4_1) |
			F(XMM4_2) | F(MOVBE) | F(POPCNT) | F(AES) | F(XSAVE) | F(AVX) | F(F16C) |
			F(RDRAND),
		.xsave = F(FMA) | F(XSAVE) | F(AVX) | F(F16C),
		/* The deadline timer is announced by its capability, and set by user space. */
		.force = F(X2APIC) | F(HYPERVISOR),
	}, {
		.leaf = 7, .reg = LM_EBX, .word = CPUID_7_0_EBX,
		.mask = F(FSGSBASE) | F(BMI1) | F(AVX2) | F(FDP_EXCPTN_ONLY) | F(SMEP) | F(BMI2) |
			F(ERMS) | F(INVPCID) | F(ZERO_FCS_FDS) | F(AVX512F) | F(AVX512DQ) |
			F(RDSEED) | F(ADX) | F(SMAP) | F(AVX512IFMA) | F(CLFLUSHOPT) | F(CLWB) |
			F(AVX512CD) | F(SHA_NI) | F(AVX512BW) | F(AVX512VL),
		.xsave = F(AVX2) | F(AVX512F) | F(AVX512DQ) | F(AVX512IFMA) | F(AVX512CD) |
			 F(AVX512BW) | F(AVX512VL),
		.force = F(TSC_ADJUST),
	}, {
		.leaf = 7, .reg = LM_ECX, .word = CPUID_7_ECX,
		.mask = F(AVX512VBMI) | F(UMIP) | F(PKU) | F(AVX512_VBMI2) | F(GFNI) | F(VAES) |
			F(VPCLMULQDQ) | F(AVX512_VNNI) | F(AVX512_BITALG) | F(AVX512_VPOPCNTDQ) |
			F(LA57) | F(RDPID) | F(CLDEMOTE) | F(MOVDIRI) | F(MOVDIR64B),
		.xsave = F(AVX512VBMI) | F(PKU) | F(AVX512_VBMI2) | F(VAES) | F(VPCLMULQDQ) |
			 F(AVX512_VNNI) | F(AVX512_BITALG) | F(AVX512_VPOPCNTDQ),
	}, {
		.leaf = 7, .reg = LM_EDX, .word = CPUID_7_EDX,
		.mask = F(FSRM) | F(MD_CLEAR) | F(SERIALIZE) | F(AVX512_FP16) |
			F(FLUSH_L1D) | F(ARCH_CAPABILITIES),
		.xsave = F(AVX512_FP16),
	}, {
		.leaf = 7, .sub = 1, .reg = LM_EAX, .word = CPUID_7_1_EAX,
		.mask = F(AVX_VNNI) | F(AVX512_BF16),
		.xsave = F(AVX_VNNI) | F(AVX512_BF16),
	}, {
		.leaf = 0xd, .sub = 1, .reg = LM_EAX, .word = CPUID_D_1_EAX,
		.mask = F(XSAVEOPT) | F(XSAVEC) | F(XGETBV1) | F(XSAVES),
		.xsave = F(XSAVEOPT) | F(XSAVEC) | F(XGETBV1) | F(XSAVES),
	}, {
		.leaf = 0x80000001, .reg = LM_EDX, .word = CPUID_8000_0001_EDX,
		/* AMD's copies of leaf 1's bits are added in lm_cpuid_filter(). */
		.mask = F(SYSCALL) | F(NX) | F(MMXEXT) | F(FXSR_OPT) | F(GBPAGES) | F(RDTSCP) |
			F(LM) | F(3DNOWEXT) | F(3DNOW),
	}, {
		.leaf = 0x80000001, .reg = LM_ECX, .word = CPUID_8000_0001_ECX,
		.mask = F(LAHF_LM) | F(CMP_LEGACY) | F(CR8_LEGACY) | F(ABM) | F(SSE4A) |
			F(MISALIGNSSE) | F(3DNOWPREFETCH) | F(OSVW) | F(XOP) | F(FMA4) | F(TBM) |
			F(TOPOEXT),
		.xsave = F(XOP) | F(FMA4),
	}, {
		.leaf = 0x80000008, .reg = LM_EBX, .word = CPUID_8000_0008_EBX,
		.mask = F(CLZERO) | F(XSAVEERPTR) | F(WBNOINVD) | F(AMD_IBPB) | LM_SPEC_CTRL |
			F(AMD_SSB_NO) |
			F(BTC_NO) | F(AMD_IBPB_RET),
		.xsave = F(XSAVEERPTR),
	},
};

#define LM_AMD_COPIES	0x0183f3ffu	/* 0x80000001 EDX bits that repeat leaf 1's */

static bool lm_host_amd(void)
{
	return boot_cpu_data.x86_vendor == X86_VENDOR_AMD ||
	       boot_cpu_data.x86_vendor == X86_VENDOR_HYGON;
}

static u32 lm_word_host(const struct lm_feature_word *w, u32 cpuid)
{
	u32 bits = cpuid & boot_cpu_data.x86_capability[w->word] & w->mask;

	if (!lm_caps.xsave)
		bits &= ~w->xsave;
	/* The kernel must have protection keys on: the host's CR4 rules WRPKRU in handlers. */
	if (w->word == CPUID_7_ECX && !boot_cpu_has(X86_FEATURE_OSPKE))
		bits &= ~F(PKU);
	if (w->word == CPUID_8000_0001_EDX && lm_caps.large_levels < 3)
		bits &= ~F(GBPAGES);
	if (w->word == CPUID_8000_0008_EBX && !lm_caps.spec_ctrl)
		bits &= ~LM_SPEC_CTRL;
	return bits | w->force;
}

static u32 *lm_reg(struct kvm_cpuid_entry2 *e, unsigned int reg)
{
	switch (reg) {
	case LM_EAX:
		return &e->eax;
	case LM_EBX:
		return &e->ebx;
	case LM_ECX:
		return &e->ecx;
	default:
		return &e->edx;
	}
}

static void lm_zero_regs(struct kvm_cpuid_entry2 *e)
{
	e->eax = 0;
	e->ebx = 0;
	e->ecx = 0;
	e->edx = 0;
}

static void lm_filter_xsave(struct kvm_cpuid_entry2 *e)
{
	u64 xcr0 = lm_fpu_host_xcr0();

	if (!lm_caps.xsave) {
		lm_zero_regs(e);
	} else if (e->index == 0) {
		e->eax = xcr0;
		e->edx = xcr0 >> 32;
		e->ebx = lm_xstate_size(xcr0, false);
		e->ecx = e->ebx;
	} else if (e->index == 1) {
		e->ebx = lm_xstate_size(xcr0, true);
		e->ecx = 0;			/* no supervisor states */
		e->edx = 0;
	} else if (e->index > 62 || !(xcr0 & BIT_ULL(e->index))) {
		lm_zero_regs(e);
	} else {
		e->ecx &= BIT(1);
		e->edx = 0;
	}
}

static void lm_filter_pv(struct kvm_cpuid_entry2 *e)
{
	lm_zero_regs(e);
	if (e->function == KVM_CPUID_SIGNATURE) {
		e->eax = KVM_CPUID_FEATURES;
		memcpy(&e->ebx, KVM_SIGNATURE, 4);
		memcpy(&e->ecx, &KVM_SIGNATURE[4], 4);
		memcpy(&e->edx, &KVM_SIGNATURE[8], 4);
		return;
	}
	e->eax = BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) |
		 BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_PV_EOI) |
		 BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_SEND_IPI) |
		 BIT(KVM_FEATURE_PV_SCHED_YIELD) |
		 BIT(KVM_FEATURE_POLL_CONTROL) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT);
	if (sched_info_on())
		e->eax |= BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_TLB_FLUSH);
}

static void lm_filter_addr_sizes(struct kvm_cpuid_entry2 *e)
{
	u32 phys = e->eax & 0xff, virt = max((e->eax >> 8) & 0xff, 48u);

	if (lm_caps.phys_bits)
		phys = min_t(u32, phys, lm_caps.phys_bits);
	e->eax = phys | virt << 8;
	e->ecx = 0;				/* no host topology */
	e->edx = 0;
}

static void lm_filter_ext21(struct kvm_cpuid_entry2 *e)
{
	u32 eax = e->eax;

	/* 0 data breakpoints, 2 LFENCE, 6 null selectors, 9 no SMM_CTL, 28 BRTYPE, 29 SRSO */
	lm_zero_regs(e);
	e->eax = eax & (BIT(0) | BIT(2) | BIT(6) | BIT(28) | BIT(29));
	if (boot_cpu_has(X86_FEATURE_LFENCE_RDTSC))
		e->eax |= BIT(2);
	if (lm_host_amd() && !boot_cpu_has_bug(X86_BUG_NULL_SEG))
		e->eax |= BIT(6);
	e->eax |= BIT(9);
}

/**
 * lm_cpuid_filter - reduce a leaf of the host to what guests may have
 * @e: function, index and the host's four registers
 */
void lm_cpuid_filter(struct kvm_cpuid_entry2 *e)
{
	struct kvm_cpuid_entry2 host = *e;
	unsigned int i;

	switch (e->function) {
	case 0:
		e->eax = clamp(e->eax, 0xdu, 0x1fu);
		break;
	case 1:
		/* CLFLUSH size stays; APIC id and the number of CPUs are user space's to say */
		e->ebx &= 0xff00;
		break;
	case 2:
	case 4:
		if (lm_host_amd())
			lm_zero_regs(e);
		break;
	case 6:
		lm_zero_regs(e);
		e->eax = BIT(2);		/* the LAPIC timer never stops */
		break;
	case 7:
		if (e->index == 0)
			e->eax = min(e->eax, 1u);
		else
			lm_zero_regs(e);
		break;
	case 0xb:
	case 0x1f:
		lm_zero_regs(e);		/* topology is user space's to say */
		break;
	case 0xd:
		lm_filter_xsave(e);
		break;
	case KVM_CPUID_SIGNATURE:
	case KVM_CPUID_FEATURES:
		lm_filter_pv(e);
		return;
	case 0x80000000:
		e->eax = clamp(e->eax, 0x80000008u, 0x80000021u);
		if (lm_host_amd())
			e->eax = 0x80000021;
		break;
	case 0x80000001:
		e->ebx &= ~0xffffu;
		break;
	case 0x80000002 ... 0x80000006:
		break;
	case 0x80000007:
		lm_zero_regs(e);
		/* Invariant TSC: not promised where the host has found it to be otherwise. */
		e->edx = check_tsc_unstable() ? 0 : host.edx & BIT(8);
		break;
	case 0x80000008:
		lm_filter_addr_sizes(e);
		break;
	case 0x80000019:
		e->ecx = 0;
		e->edx = 0;
		break;
	case 0x8000001a:
		lm_zero_regs(e);
		e->eax = host.eax & GENMASK(2, 0);
		break;
	case 0x8000001d:
		if (!boot_cpu_has(X86_FEATURE_TOPOEXT))
			lm_zero_regs(e);
		break;
	case 0x80000021:
		lm_filter_ext21(e);
		break;
	default:
		lm_zero_regs(e);
		break;
	}

	for (i = 0; i < ARRAY_SIZE(lm_words); i++) {
		const struct lm_feature_word *w = &lm_words[i];

		if (w->leaf == e->function && w->sub == e->index)
			*lm_reg(e, w->reg) = lm_word_host(w, *lm_reg(&host, w->reg));
	}
	if (e->function == 0x80000001 && lm_host_amd())
		e->edx |= host.edx & lm_words[0].mask & LM_AMD_COPIES;
}

/* ---- what is offered ---- */

static u32 lm_offered[ARRAY_SIZE(lm_words)];
static u64 lm_efer_unknown;

static void lm_cpuid_host(struct kvm_cpuid_entry2 *e, u32 leaf, u32 sub)
{
	memset(e, 0, sizeof(*e));
	e->function = leaf;
	e->index = sub;
	cpuid_count(leaf, sub, &e->eax, &e->ebx, &e->ecx, &e->edx);
	lm_cpuid_filter(e);
}

/* Without any CPUID set, as small clients leave it, the vCPU may use what the module offers. */
static bool lm_may(struct lm_vcpu *vcpu, unsigned int feature)
{
	return vcpu && vcpu->x86.cpuid ? lm_cpuid_has(vcpu, feature) : lm_cpuid_offers(feature);
}

/* Reserved bits of EFER for a vCPU, or for any (NULL). */
static u64 lm_efer_bits(struct lm_vcpu *vcpu)
{
	u64 known = 0;

	if (lm_may(vcpu, X86_FEATURE_SYSCALL))
		known |= EFER_SCE;
	if (lm_may(vcpu, X86_FEATURE_LM))
		known |= EFER_SCE | EFER_LME | EFER_LMA;
	if (lm_may(vcpu, X86_FEATURE_NX))
		known |= EFER_NX;
	if (lm_may(vcpu, X86_FEATURE_FXSR_OPT))
		known |= EFER_FFXSR;
	return ~known;
}

/**
 * lm_efer_reserved_host - bits of EFER that user space may not set either
 */
u64 lm_efer_reserved_host(void)
{
	return lm_efer_unknown;
}

/**
 * lm_cpuid_setup - note what this host lets the module offer
 */
void lm_cpuid_setup(void)
{
	u32 max = cpuid_eax(0), max_ext = cpuid_eax(0x80000000);
	struct kvm_cpuid_entry2 e;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lm_words); i++) {
		const struct lm_feature_word *w = &lm_words[i];

		if (w->leaf > (w->leaf & 0x80000000 ? max_ext : max))
			continue;
		lm_cpuid_host(&e, w->leaf, w->sub);
		lm_offered[i] = *lm_reg(&e, w->reg);
	}
	lm_efer_unknown = lm_efer_bits(NULL);
}

static int lm_word_of(unsigned int feature)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lm_words); i++)
		if (lm_words[i].word == feature / 32)
			return i;
	return -1;
}

/**
 * lm_cpuid_offers - may guests have this feature at all?
 * @feature: X86_FEATURE_* of a word that CPUID defines
 */
bool lm_cpuid_offers(unsigned int feature)
{
	int i = lm_word_of(feature);

	return i >= 0 && (lm_offered[i] & BIT(feature & 31));
}

struct lm_cpuid_list {
	struct kvm_cpuid_entry2 *e;
	u32 nr, max;
};

static struct kvm_cpuid_entry2 *lm_list_add(struct lm_cpuid_list *l, u32 leaf, u32 sub, u32 flags)
{
	struct kvm_cpuid_entry2 *e;

	if (l->nr >= l->max)
		return NULL;
	e = &l->e[l->nr++];
	lm_cpuid_host(e, leaf, sub);
	e->flags = flags;
	return e;
}

/* A leaf and the subleaves that it has. */
static void lm_list_leaf(struct lm_cpuid_list *l, u32 leaf)
{
	const u32 sig = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	struct kvm_cpuid_entry2 *e;
	u32 i;

	switch (leaf) {
	case 4:
	case 0x8000001d:
		for (i = 0; i < 32; i++) {
			e = lm_list_add(l, leaf, i, sig);
			if (!e || !(e->eax & 0x1f))
				break;
		}
		break;
	case 7:
		e = lm_list_add(l, leaf, 0, sig);
		if (e && e->eax)
			lm_list_add(l, leaf, 1, sig);
		break;
	case 0xd:
		lm_list_add(l, leaf, 0, sig);
		if (!lm_caps.xsave)
			break;
		lm_list_add(l, leaf, 1, sig);
		for (i = 2; i < 63; i++)
			if (lm_fpu_host_xcr0() & BIT_ULL(i))
				lm_list_add(l, leaf, i, sig);
		break;
	case 0xb:
	case 0x1f:
		lm_list_add(l, leaf, 0, sig);
		break;
	default:
		lm_list_add(l, leaf, 0, 0);
	}
}

/**
 * lm_cpuid_supported - KVM_GET_SUPPORTED_CPUID
 * @arg: the user's header and room for its nent entries
 */
int lm_cpuid_supported(struct kvm_cpuid2 __user *arg)
{
	struct lm_cpuid_list l = { .max = LM_MAX_CPUID };
	u32 leaf, max, nent;
	int r = 0;

	if (get_user(nent, &arg->nent))
		return -EFAULT;
	l.e = kvcalloc(l.max, sizeof(*l.e), GFP_KERNEL);
	if (!l.e)
		return -ENOMEM;

	lm_list_leaf(&l, 0);
	for (leaf = 1, max = l.e[0].eax; leaf <= max; leaf++)
		lm_list_leaf(&l, leaf);
	lm_list_leaf(&l, KVM_CPUID_SIGNATURE);
	lm_list_leaf(&l, KVM_CPUID_FEATURES);
	lm_list_leaf(&l, 0x80000000);
	for (leaf = 0x80000001, max = l.e[l.nr - 1].eax; leaf <= max; leaf++)
		lm_list_leaf(&l, leaf);

	if (nent < l.nr)
		r = -E2BIG;
	else if (copy_to_user(arg->entries, l.e, l.nr * sizeof(*l.e)) ||
		 put_user(l.nr, &arg->nent))
		r = -EFAULT;
	kvfree(l.e);
	return r;
}

/* ---- what a vCPU has ---- */

static const struct kvm_cpuid_entry2 *lm_cpuid_scan(const struct lm_cpuid *c, u32 from, u32 leaf,
						    u32 sub)
{
	u32 i;

	for (i = from; i < c->nr; i++) {
		const struct kvm_cpuid_entry2 *e = &c->entry[i];

		if (e->function == leaf &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == sub))
			return e;
	}
	return NULL;
}

/**
 * lm_cpuid_find - the entry for a leaf and subleaf
 * @vcpu: the vCPU
 * @leaf: EAX
 * @sub: ECX
 *
 * NULL if there is none; no rule for leaves out of range is applied.
 */
const struct kvm_cpuid_entry2 *lm_cpuid_find(struct lm_vcpu *vcpu, u32 leaf, u32 sub)
{
	const struct lm_x86 *x = &vcpu->x86;
	const struct kvm_cpuid_entry2 *e;
	u32 i;

	if (leaf < ARRAY_SIZE(x->index_basic))
		i = x->index_basic[array_index_nospec(leaf, ARRAY_SIZE(x->index_basic))];
	else if (leaf - 0x80000000u < ARRAY_SIZE(x->index_ext))
		i = x->index_ext[array_index_nospec(leaf - 0x80000000u, ARRAY_SIZE(x->index_ext))];
	else
		i = x->cpuid ? 1 : 0;
	if (!i)
		return NULL;
	e = &x->cpuid->entry[i - 1];
	if (likely(e->function == leaf &&
		   (e->index == sub || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX))))
		return e;
	return lm_cpuid_scan(x->cpuid, i - 1, leaf, sub);
}

/**
 * lm_cpuid_has - does the guest see a feature that the module can offer?
 * @vcpu: the vCPU
 * @feature: X86_FEATURE_* of a word that CPUID defines
 */
bool lm_cpuid_has(struct lm_vcpu *vcpu, unsigned int feature)
{
	const struct kvm_cpuid_entry2 *e;
	int i = lm_word_of(feature);

	if (i < 0 || !(lm_offered[i] & BIT(feature & 31)))
		return false;
	e = lm_cpuid_find(vcpu, lm_words[i].leaf, lm_words[i].sub);
	return e && (*lm_reg((struct kvm_cpuid_entry2 *)e, lm_words[i].reg) & BIT(feature & 31));
}

/**
 * lm_cpuid_pv - did user space announce a paravirtual feature?
 * @vcpu: the vCPU
 * @feature: KVM_FEATURE_*
 */
bool lm_cpuid_pv(struct lm_vcpu *vcpu, unsigned int feature)
{
	/* A guest that halts in the CPU is not woken by a kick (KVM_CAP_X86_DISABLE_EXITS). */
	if (feature == KVM_FEATURE_PV_UNHALT &&
	    (vcpu->vm->x86.disabled_exits & KVM_X86_DISABLE_EXITS_HLT))
		return false;
	return vcpu->x86.pv_features & BIT(feature);
}

/* Beyond the highest leaf Intel's CPUs repeat the highest basic one; AMD's answer zeros. */
static const struct kvm_cpuid_entry2 *lm_cpuid_out_of_range(struct lm_vcpu *vcpu, u32 leaf, u32 sub)
{
	const struct kvm_cpuid_entry2 *e, *basic = lm_cpuid_find(vcpu, 0, 0);

	if (!basic || vcpu->x86.amd)
		return NULL;
	if (leaf >= 0x40000000 && leaf <= 0x4fffffff)
		e = lm_cpuid_find(vcpu, leaf & 0xffffff00, 0);
	else if (leaf >= 0x80000000)
		e = lm_cpuid_find(vcpu, leaf & 0xffff0000, 0);
	else
		e = basic;
	if (e && leaf <= e->eax)
		return NULL;		/* a hole within the range */
	return lm_cpuid_find(vcpu, basic->eax, sub);
}

/* Leaf 0xb and 0x1f: beyond the last level ECX and EDX still answer (SDM vol. 2, CPUID). */
static noinline void lm_cpuid_absent(struct lm_vcpu *vcpu, u32 leaf, u32 sub, u64 *gpr)
{
	const struct kvm_cpuid_entry2 *e = lm_cpuid_out_of_range(vcpu, leaf, sub);

	gpr[LM_RAX] = e ? e->eax : 0;
	gpr[LM_RBX] = e ? e->ebx : 0;
	gpr[LM_RCX] = e ? e->ecx : 0;
	gpr[LM_RDX] = e ? e->edx : 0;
	if (e || (leaf != 0xb && leaf != 0x1f))
		return;
	e = lm_cpuid_find(vcpu, leaf, 1);
	if (e) {
		gpr[LM_RCX] = sub & 0xff;
		gpr[LM_RDX] = e->edx;
	}
}

/* Bits that follow the vCPU's state. */
static noinline void lm_cpuid_dynamic(struct lm_vcpu *vcpu, struct kvm_cpuid_entry2 *e, u32 sub)
{
	const struct lm_x86 *x = &vcpu->x86;

	switch (e->function) {
	case 1:
		e->ecx &= ~F(OSXSAVE);
		if (lm_cr4(vcpu) & X86_CR4_OSXSAVE)
			e->ecx |= F(OSXSAVE);
		if (READ_ONCE(vcpu->vm->x86.disabled_quirks) & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT) {
			e->ecx &= ~F(MWAIT);
			if (x->misc_enable & MSR_IA32_MISC_ENABLE_MWAIT)
				e->ecx |= F(MWAIT);
		}
		e->edx &= ~F(APIC);
		if (x->apic_base_msr & MSR_IA32_APICBASE_ENABLE)
			e->edx |= F(APIC);
		break;
	case 7:
		if (sub)
			break;
		e->ecx &= ~F(OSPKE);
		if (lm_cr4(vcpu) & X86_CR4_PKE)
			e->ecx |= F(OSPKE);
		break;
	case 0xd:
		if (x->has_xsave && sub <= 1)
			e->ebx = lm_xstate_size(x->xcr0 | (sub ? x->xss : 0), sub);
		break;
	}
}

#define LM_DYNAMIC_LEAVES	(BIT(1) | BIT(7) | BIT(0xd))

static __always_inline void lm_cpuid_answer(u64 *gpr, const struct kvm_cpuid_entry2 *e)
{
	gpr[LM_RAX] = e->eax;
	gpr[LM_RBX] = e->ebx;
	gpr[LM_RCX] = e->ecx;
	gpr[LM_RDX] = e->edx;
}

static noinline void lm_cpuid_search(struct lm_vcpu *vcpu, u32 leaf, u32 sub)
{
	const struct kvm_cpuid_entry2 *e = lm_cpuid_find(vcpu, leaf, sub);
	struct kvm_cpuid_entry2 now;
	struct lm_x86 *x = &vcpu->x86;
	u64 *gpr = vcpu->st.gpr;

	if (!e) {
		lm_cpuid_absent(vcpu, leaf, sub, gpr);
		return;
	}
	if (leaf < 32 && (BIT(leaf) & LM_DYNAMIC_LEAVES)) {
		now = *e;
		lm_cpuid_dynamic(vcpu, &now, sub);
		lm_cpuid_answer(gpr, &now);
		return;
	}
	lm_cpuid_answer(gpr, e);
	x->cpuid_last = e;
	x->cpuid_last_key = leaf | (u64)sub << 32;
}

/**
 * lm_cpuid_exec - the CPUID instruction, all but RIP
 * @vcpu: in its section
 *
 * One leaf is mostly asked for again and again: CPUID serialises.
 */
void lm_cpuid_exec(struct lm_vcpu *vcpu)
{
	const struct lm_x86 *x = &vcpu->x86;
	u64 *gpr = vcpu->st.gpr;
	u32 leaf = gpr[LM_RAX], sub = gpr[LM_RCX];

	if (likely(x->cpuid_last && x->cpuid_last_key == (leaf | (u64)sub << 32)))
		lm_cpuid_answer(gpr, x->cpuid_last);
	else
		lm_cpuid_search(vcpu, leaf, sub);
}

/**
 * lm_cpuid_emulated - KVM_GET_EMULATED_CPUID: features of no host that guests have all the same
 * @arg: the user's header and room
 *
 * There are none.
 *
 * Return: 0; -E2BIG without room for an entry, as the API asks for it
 */
int lm_cpuid_emulated(struct kvm_cpuid2 __user *arg)
{
	u32 nent;

	if (get_user(nent, &arg->nent))
		return -EFAULT;
	if (!nent)
		return -E2BIG;
	return put_user(0, &arg->nent);
}

/* ---- KVM_SET_CPUID2, KVM_GET_CPUID2 ---- */

/* CR4 bits that exist only with a feature; 0 for those of every CPU. */
static const struct {
	u64 bit;
	unsigned int feature;
} lm_cr4_features[] = {
	{ X86_CR4_PCIDE, X86_FEATURE_PCID },
	{ X86_CR4_OSXSAVE, X86_FEATURE_XSAVE },
	{ X86_CR4_FSGSBASE, X86_FEATURE_FSGSBASE },
	{ X86_CR4_SMEP, X86_FEATURE_SMEP },
	{ X86_CR4_SMAP, X86_FEATURE_SMAP },
	{ X86_CR4_PKE, X86_FEATURE_PKU },
	{ X86_CR4_LA57, X86_FEATURE_LA57 },
	{ X86_CR4_UMIP, X86_FEATURE_UMIP },
};

static void lm_derive_cr(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;
	unsigned int i;

	x->cr4_reserved = ~(u64)(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE |
				 X86_CR4_PSE | X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE |
				 X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT);
	for (i = 0; i < ARRAY_SIZE(lm_cr4_features); i++)
		if (lm_may(vcpu, lm_cr4_features[i].feature))
			x->cr4_reserved &= ~lm_cr4_features[i].bit;
	/* these come with state that is switched only if the vCPU has it */
	if (!x->has_xsave)
		x->cr4_reserved |= X86_CR4_OSXSAVE;
	if (!x->has_pku)
		x->cr4_reserved |= X86_CR4_PKE;
	x->efer_reserved = lm_efer_bits(vcpu);
}

static void lm_derive_spec(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;
	u64 bits = 0;

	if (lm_cpuid_has(vcpu, X86_FEATURE_SPEC_CTRL) || lm_cpuid_has(vcpu, X86_FEATURE_AMD_IBRS))
		bits |= SPEC_CTRL_IBRS;
	if (lm_cpuid_has(vcpu, X86_FEATURE_INTEL_STIBP) ||
	    lm_cpuid_has(vcpu, X86_FEATURE_AMD_STIBP))
		bits |= SPEC_CTRL_STIBP;
	if (lm_cpuid_has(vcpu, X86_FEATURE_SPEC_CTRL_SSBD) ||
	    lm_cpuid_has(vcpu, X86_FEATURE_AMD_SSBD))
		bits |= SPEC_CTRL_SSBD;
	x->spec_ctrl_supported = bits;
	x->has_ibpb = lm_cpuid_has(vcpu, X86_FEATURE_SPEC_CTRL) ||
		      lm_cpuid_has(vcpu, X86_FEATURE_AMD_IBPB);
	x->has_flush_l1d = lm_cpuid_has(vcpu, X86_FEATURE_FLUSH_L1D);
	x->has_arch_caps = lm_cpuid_has(vcpu, X86_FEATURE_ARCH_CAPABILITIES);
}

/* The paravirtual leaves may sit at any multiple of 0x100, found by their signature. */
static u32 lm_derive_pv(struct lm_vcpu *vcpu)
{
	static const char signature[] = KVM_SIGNATURE;
	const struct kvm_cpuid_entry2 *e;
	u32 base;

	for (base = 0x40000000; base < 0x40010000; base += 0x100) {
		e = lm_cpuid_find(vcpu, base, 0);
		if (!e || memcmp(&e->ebx, signature, 4) ||
		    memcmp(&e->ecx, signature + 4, 4) || memcmp(&e->edx, signature + 8, 4))
			continue;
		e = lm_cpuid_find(vcpu, base + 1, 0);
		return e ? e->eax : 0;
	}
	return 0;
}

static void lm_cpuid_derive(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;
	const struct kvm_cpuid_entry2 *e;

	/* Once XCR0 or PKRU can be the guest's, they are switched, whatever a later CPUID says. */
	x->has_xsave = lm_may(vcpu, X86_FEATURE_XSAVE) || (lm_cr4(vcpu) & X86_CR4_OSXSAVE);
	x->has_xsaves = x->has_xsave && lm_cpuid_has(vcpu, X86_FEATURE_XSAVES);
	x->has_rdtscp = lm_cpuid_has(vcpu, X86_FEATURE_RDTSCP) ||
			lm_cpuid_has(vcpu, X86_FEATURE_RDPID);
	x->has_pcid = lm_cpuid_has(vcpu, X86_FEATURE_PCID);
	x->has_nx = lm_may(vcpu, X86_FEATURE_NX);
	x->has_1g = lm_may(vcpu, X86_FEATURE_GBPAGES);
	x->has_long = lm_may(vcpu, X86_FEATURE_LM);
	x->has_smep = lm_cpuid_has(vcpu, X86_FEATURE_SMEP);
	x->has_smap = lm_cpuid_has(vcpu, X86_FEATURE_SMAP);
	x->has_pku = lm_may(vcpu, X86_FEATURE_PKU) || (x->xcr0 & XFEATURE_MASK_PKRU) ||
		     (lm_cr4(vcpu) & X86_CR4_PKE);
	x->has_pse36 = lm_may(vcpu, X86_FEATURE_PSE36);
	x->has_tsc_adjust = lm_cpuid_has(vcpu, X86_FEATURE_TSC_ADJUST);

	/* "Auth…" of AuthenticAMD, "Hygo…" of HygonGenuine */
	e = lm_cpuid_find(vcpu, 0, 0);
	x->amd = e && (e->ebx == 0x68747541 || e->ebx == 0x6f677948);

	e = lm_cpuid_find(vcpu, 0x80000008, 0);
	x->maxphyaddr = e && (e->eax & 0xff) ? e->eax & 0xff : 36;
	x->pa_reserved = x->maxphyaddr < 52 ? GENMASK_ULL(51, x->maxphyaddr) : 0;

	e = x->has_xsave ? lm_cpuid_find(vcpu, 0xd, 0) : NULL;
	x->xcr0_supported = e ? (e->eax | (u64)e->edx << 32) & lm_fpu_host_xcr0() : 0;
	if (!x->has_pku)
		x->xcr0_supported &= ~(u64)XFEATURE_MASK_PKRU;

	lm_derive_cr(vcpu);
	lm_derive_spec(vcpu);
	x->pv_features = lm_derive_pv(vcpu);
	/* MWAIT is not offered; a client that lists it has it executed as nothing. */
	e = lm_cpuid_find(vcpu, 1, 0);
	x->told_mwait = e && (e->ecx & F(MWAIT));
}

static void lm_cpuid_index(struct lm_x86 *x)
{
	u32 i;

	memset(x->index_basic, 0, sizeof(x->index_basic));
	memset(x->index_ext, 0, sizeof(x->index_ext));
	for (i = x->cpuid->nr; i-- > 0; ) {
		u32 leaf = x->cpuid->entry[i].function;

		if (leaf < ARRAY_SIZE(x->index_basic))
			x->index_basic[leaf] = i + 1;
		else if (leaf - 0x80000000u < ARRAY_SIZE(x->index_ext))
			x->index_ext[leaf - 0x80000000u] = i + 1;
	}
}

static int lm_cpuid_check(const struct lm_cpuid *c)
{
	const struct kvm_cpuid_entry2 *e = lm_cpuid_scan(c, 0, 0x80000008, 0);
	u32 virt, phys;

	if (!e)
		return 0;
	phys = e->eax & 0xff;
	virt = (e->eax >> 8) & 0xff;
	if (virt && virt != 48 && virt != 57)
		return -EINVAL;
	if (phys && (phys < 32 || phys > 52))
		return -EINVAL;
	return 0;
}

/* A vCPU that has run stays the CPU that it was, but for what follows its state anyway. */
static bool lm_cpuid_same(struct lm_vcpu *vcpu, const struct lm_cpuid *new)
{
	const struct lm_cpuid *old = vcpu->x86.cpuid;
	struct kvm_cpuid_entry2 a, b;
	u32 i;

	if (new->nr != (old ? old->nr : 0))
		return false;
	for (i = 0; i < new->nr; i++) {
		a = old->entry[i];
		b = new->entry[i];
		lm_cpuid_dynamic(vcpu, &a, a.index);
		lm_cpuid_dynamic(vcpu, &b, b.index);
		if (memcmp(&a, &b, offsetof(struct kvm_cpuid_entry2, padding)))
			return false;
	}
	return true;
}

/**
 * lm_cpuid_set - KVM_SET_CPUID2
 * @vcpu: the vCPU, its mutex held
 * @hdr: the user's header, already copied
 * @entries: hdr->nent entries, already copied
 *
 * The caller runs backend.update afterwards.
 */
int lm_cpuid_set(struct lm_vcpu *vcpu, struct kvm_cpuid2 *hdr,
		 const struct kvm_cpuid_entry2 *entries)
{
	struct lm_x86 *x = &vcpu->x86;
	struct lm_cpuid *c, *old;
	int r;

	if (hdr->nent > LM_MAX_CPUID)
		return -E2BIG;
	c = kvzalloc(struct_size(c, entry, hdr->nent), GFP_KERNEL_ACCOUNT);
	if (!c)
		return -ENOMEM;
	c->nr = hdr->nent;
	memcpy(c->entry, entries, c->nr * sizeof(c->entry[0]));
	r = lm_cpuid_check(c);
	if (!r && vcpu->task && !lm_cpuid_same(vcpu, c))
		r = -EINVAL;
	if (r) {
		kvfree(c);
		return r;
	}
	old = x->cpuid;
	x->cpuid_last = NULL;
	x->cpuid = c->nr ? c : NULL;
	if (x->cpuid)
		lm_cpuid_index(x);
	else
		kvfree(c);
	kvfree(old);
	if (!x->cpuid) {
		memset(x->index_basic, 0, sizeof(x->index_basic));
		memset(x->index_ext, 0, sizeof(x->index_ext));
	}
	lm_cpuid_derive(vcpu);
	lm_fpu_xcr0_update(vcpu);
	return 0;
}

/**
 * lm_cpuid_get - KVM_GET_CPUID2
 * @vcpu: the vCPU, its mutex held
 * @arg: the user's header and room for its nent entries
 */
int lm_cpuid_get(struct lm_vcpu *vcpu, struct kvm_cpuid2 __user *arg)
{
	const struct lm_cpuid *c = vcpu->x86.cpuid;
	struct kvm_cpuid_entry2 e;
	u32 nent, nr = c ? c->nr : 0, i;

	if (get_user(nent, &arg->nent))
		return -EFAULT;
	if (put_user(nr, &arg->nent))
		return -EFAULT;
	if (nent < nr)
		return -E2BIG;
	for (i = 0; i < nr; i++) {
		e = c->entry[i];
		lm_cpuid_dynamic(vcpu, &e, e.index);
		if (copy_to_user(&arg->entries[i], &e, sizeof(e)))
			return -EFAULT;
	}
	return 0;
}
