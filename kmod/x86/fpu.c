// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's FPU, SSE and extended state, kept in an XSAVE area of our own.
 * User space's, which are in the registers when a section begins, wait in one of
 * this CPU meanwhile, and are back before anything else of the host runs: not only
 * at the section's end, but also when it takes interrupts, whose softirqs may use
 * the FPU.  Of that the kernel need not know, which is cheaper than
 * kernel_fpu_begin(), after which the return to user space loads all registers
 * again from the task.  What guests may not have stays in the CPU.
 *
 * PKRU is left out of the area: the host's value must be in the CPU whenever a
 * handler touches user memory, so it is switched around the guest alone.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/asm.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/msr.h>
#include <asm/msr-index.h>
#include <asm/pkru.h>
#include <asm/processor.h>

#include "../lamina.h"

#define LM_XF_FPSSE	(XFEATURE_MASK_FP | XFEATURE_MASK_SSE)
#define LM_XF_AVX512	XFEATURE_MASK_AVX512
#define LM_XF_OFFERED	(LM_XF_FPSSE | XFEATURE_MASK_YMM | LM_XF_AVX512 | XFEATURE_MASK_PKRU)
#define LM_XF_HDR_END	576		/* legacy area and header (APM vol. 2, 11.5.3) */
#define LM_XF_MAX	10

/* Where component i lies in the standard format (CPUID 0xd). */
static struct {
	u32 offset, size;
	bool align;
} lm_xf[LM_XF_MAX];

static u64 lm_host_xcr0;		/* what the host runs with */
static u64 lm_xcr0_offered;		/* what guests may have */
static u64 lm_host_xss;
static u32 lm_xf_saved;			/* components that the area holds */
static u32 lm_fpu_bytes;
static u32 lm_mxcsr_mask;
static void __percpu *lm_host_fpu;	/* user space's registers while the guest's are loaded */

u64 lm_fpu_host_xcr0(void)
{
	return lm_xcr0_offered;
}

/**
 * lm_xstate_size - bytes that XSAVE needs for these components
 * @xcr0: components
 * @compact: in the compacted format
 */
u32 lm_xstate_size(u64 xcr0, bool compact)
{
	u32 size = LM_XF_HDR_END;
	unsigned int i;

	for (i = 2; i < LM_XF_MAX; i++) {
		if (!(xcr0 & BIT_ULL(i)))
			continue;
		if (!compact) {
			size = max(size, lm_xf[i].offset + lm_xf[i].size);
			continue;
		}
		if (lm_xf[i].align)
			size = ALIGN(size, 64);
		size += lm_xf[i].size;
	}
	return size;
}

static u32 lm_mxcsr_probe(void)
{
	struct fxregs_state *fx = kzalloc(sizeof(*fx), GFP_KERNEL);
	u32 mask = 0;

	if (!fx)
		return 0xffbf;
	kernel_fpu_begin_mask(0);
	asm volatile("fxsave64 %0" : "=m" (*fx));
	kernel_fpu_end();
	mask = fx->mxcsr_mask;
	kfree(fx);
	return mask ? mask : 0xffbf;	/* APM vol. 2, 11.5.9 */
}

/**
 * lm_fpu_setup - learn the host's XSAVE layout
 *
 * At load, after the vendor has said whether XCR0 can be switched.
 */
int lm_fpu_setup(void)
{
	u32 eax, ebx, ecx, edx;
	unsigned int i;

	lm_mxcsr_mask = lm_mxcsr_probe();
	lm_fpu_bytes = sizeof(struct fxregs_state);
	if (!boot_cpu_has(X86_FEATURE_XSAVE)) {
		lm_caps.xsave = false;
		goto area;
	}
	lm_host_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	lm_xcr0_offered = lm_host_xcr0 & LM_XF_OFFERED;
	if ((lm_xcr0_offered & LM_XF_AVX512) != LM_XF_AVX512)
		lm_xcr0_offered &= ~(u64)LM_XF_AVX512;
	if (!boot_cpu_has(X86_FEATURE_OSPKE))
		lm_xcr0_offered &= ~(u64)XFEATURE_MASK_PKRU;
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, lm_host_xss);
	for (i = 2; i < LM_XF_MAX; i++) {
		if (!(lm_xcr0_offered & BIT_ULL(i)))
			continue;
		cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx);
		lm_xf[i].size = eax;
		lm_xf[i].offset = ebx;
		lm_xf[i].align = ecx & BIT(1);
	}
	/* Whatever the guest may have, the host's own AVX state must not leak into it: save all. */
	lm_xf_saved = lm_xcr0_offered & ~(u64)XFEATURE_MASK_PKRU;
	lm_fpu_bytes = lm_xstate_size(lm_xcr0_offered, false);
	if (lm_fpu_bytes > LM_MAX_XSAVE || lm_fpu_bytes > sizeof(struct kvm_xsave)) {
		pr_err("XSAVE state of %u bytes is more than fits\n", lm_fpu_bytes);
		return -EOPNOTSUPP;
	}
area:
	lm_host_fpu = __alloc_percpu(lm_fpu_bytes, 64);
	return lm_host_fpu ? 0 : -ENOMEM;
}

/* Also if lm_fpu_setup() failed. */
void lm_fpu_teardown(void)
{
	free_percpu(lm_host_fpu);
	lm_host_fpu = NULL;
}

int lm_fpu_init(struct lm_vcpu *vcpu)
{
	/* a power of two: the slab then aligns it to at least 64 */
	vcpu->x86.fpu = kzalloc(roundup_pow_of_two(lm_fpu_bytes), GFP_KERNEL_ACCOUNT);
	return vcpu->x86.fpu ? 0 : -ENOMEM;
}

void lm_fpu_free(struct lm_vcpu *vcpu)
{
	kfree(vcpu->x86.fpu);
	vcpu->x86.fpu = NULL;
}

/**
 * lm_fpu_reset - power-on values (APM vol. 2, table 14-1)
 * @vcpu: not in its section
 */
void lm_fpu_reset(struct lm_vcpu *vcpu)
{
	struct xregs_state *xs = vcpu->x86.fpu;

	memset(xs, 0, lm_fpu_bytes);
	xs->i387.cwd = 0x40;
	xs->i387.twd = 0xff;		/* abridged: tag word 5555h, all registers valid (zero) */
	xs->i387.mxcsr = MXCSR_DEFAULT;
	xs->i387.mxcsr_mask = lm_mxcsr_mask;
	if (lm_host_xcr0)
		xs->header.xfeatures = LM_XF_FPSSE;
	vcpu->x86.xcr0 = XFEATURE_MASK_FP;
	vcpu->x86.xss = 0;
	vcpu->x86.pkru = 0;
	lm_fpu_xcr0_update(vcpu);
}

/* ---- the registers ---- */

#define LM_XINSN(insn, area, mask, refused)					\
	asm goto("1:	" insn " (%[a])\n"					\
		 _ASM_EXTABLE(1b, (%l[refused]))				\
		 : : [a] "r" (area), "a" (mask), "d" (0) : "memory" : refused)

static __always_inline void lm_fpu_save(void *area)
{
	if (static_cpu_has(X86_FEATURE_XSAVE))
		asm volatile("xsave64 (%0)" : : "r" (area), "a" (lm_xf_saved), "d" (0) : "memory");
	else
		asm volatile("fxsave64 (%0)" : : "r" (area) : "memory");
}

/* False if the CPU refused the image. */
static __always_inline bool lm_fpu_restore(void *area)
{
	/*
	 * AMD before Zen restores the x87 pointers only with an exception pending:
	 * without one those of whoever ran before would stay for the next to read.
	 */
	if (static_cpu_has_bug(X86_BUG_FXSAVE_LEAK))
		asm volatile("fnclex\n"
			     "emms\n"
			     "fildl %[mem]"
			     : : [mem] "m" (lm_fpu_bytes));
	if (static_cpu_has(X86_FEATURE_XSAVE))
		LM_XINSN("xrstor64", area, lm_xf_saved, refused);
	else
		LM_XINSN("fxrstor64", area, 0, refused);
	return true;
refused:
	return false;
}

static noinline void lm_fpu_refused(struct lm_vcpu *vcpu)
{
	/* lm_xsave_set() and lm_fpu_set() let no such image in */
	WARN_ONCE(1, "lamina: a vCPU's FPU image was refused by the CPU\n");
	lm_fpu_reset(vcpu);
	lm_fpu_restore(vcpu->x86.fpu);
}

/*
 * User space's registers are in memory already, and the CPU's may be what another
 * task counts on to find again: have the kernel forget that.
 */
static noinline void lm_fpu_disown(void)
{
	kernel_fpu_begin_mask(0);
	kernel_fpu_end();
}

static void lm_xcr0_load(u64 from, u64 to)
{
	if (unlikely(from != to))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, to);
}

/**
 * lm_fpu_enter - the guest's state into the CPU
 * @vcpu: the vCPU; interrupts and preemption off
 */
void lm_fpu_enter(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;

	if (likely(!test_thread_flag(TIF_NEED_FPU_LOAD))) {
		lm_fpu_save(this_cpu_ptr(lm_host_fpu));
		x->fpu_host = true;
	} else {
		lm_fpu_disown();
		x->fpu_host = false;
	}
	if (unlikely(!lm_fpu_restore(x->fpu)))
		lm_fpu_refused(vcpu);
	if (unlikely(x->has_pku))
		x->host_pkru = read_pkru();
	if (unlikely(x->xcrs_differ)) {
		if (lm_host_xss)
			wrmsrl(MSR_IA32_XSS, x->xss);
		lm_xcr0_load(lm_host_xcr0, x->xcr0_run);
	}
	x->fpu_loaded = true;
}

/**
 * lm_fpu_leave - the guest's state into its area, user space's back into the CPU
 * @vcpu: the vCPU; interrupts and preemption off since lm_fpu_enter()
 */
void lm_fpu_leave(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;

	x->fpu_loaded = false;
	if (unlikely(x->xcrs_differ)) {
		lm_xcr0_load(x->xcr0_run, lm_host_xcr0);
		if (lm_host_xss)
			wrmsrl(MSR_IA32_XSS, lm_host_xss);
	}
	lm_fpu_save(x->fpu);
	if (likely(x->fpu_host))
		WARN_ON_ONCE(!lm_fpu_restore(this_cpu_ptr(lm_host_fpu)));
}

/**
 * lm_fpu_xcr0_update - CR4.OSXSAVE or XCR0 changed
 * @vcpu: the vCPU
 *
 * Without CR4.OSXSAVE nothing in the guest can tell what XCR0 holds, so that the
 * host's value stays and two XSETBV a section are saved.
 */
void lm_fpu_xcr0_update(struct lm_vcpu *vcpu)
{
	struct lm_x86 *x = &vcpu->x86;
	u64 want = lm_host_xcr0;

	if (lm_caps.xsave && x->has_xsave && (lm_cr4(vcpu) & X86_CR4_OSXSAVE))
		want = x->xcr0;
	if (x->fpu_loaded)
		lm_xcr0_load(x->xcr0_run, want);
	x->xcr0_run = want;
	x->xcrs_differ = want != lm_host_xcr0 || (lm_host_xss && x->has_xsave);
}

#define LM_XMM_GET(n)	asm volatile("movdqu %%xmm" #n ", (%0)" : : "r" (buf16) : "memory")
#define LM_XMM_SET(n)	asm volatile("movdqu (%0), %%xmm" #n : : "r" (buf16) : "memory")

/**
 * lm_xmm_read - an SSE register of the guest, in its section
 * @vcpu: the vCPU
 * @nr: 0 to 15
 * @buf16: 16 bytes
 */
void lm_xmm_read(struct lm_vcpu *vcpu, unsigned int nr, void *buf16)
{
	switch (nr & 15) {
	case 0:
		LM_XMM_GET(0);
		break;
	case 1:
		LM_XMM_GET(1);
		break;
	case 2:
		LM_XMM_GET(2);
		break;
	case 3:
		LM_XMM_GET(3);
		break;
	case 4:
		LM_XMM_GET(4);
		break;
	case 5:
		LM_XMM_GET(5);
		break;
	case 6:
		LM_XMM_GET(6);
		break;
	case 7:
		LM_XMM_GET(7);
		break;
	case 8:
		LM_XMM_GET(8);
		break;
	case 9:
		LM_XMM_GET(9);
		break;
	case 10:
		LM_XMM_GET(10);
		break;
	case 11:
		LM_XMM_GET(11);
		break;
	case 12:
		LM_XMM_GET(12);
		break;
	case 13:
		LM_XMM_GET(13);
		break;
	case 14:
		LM_XMM_GET(14);
		break;
	case 15:
		LM_XMM_GET(15);
		break;
	}
}

/**
 * lm_xmm_write - set the low 16 bytes of an SSE register of the guest, in its section
 * @vcpu: the vCPU
 * @nr: 0 to 15
 * @buf16: 16 bytes
 */
void lm_xmm_write(struct lm_vcpu *vcpu, unsigned int nr, const void *buf16)
{
	switch (nr & 15) {
	case 0:
		LM_XMM_SET(0);
		break;
	case 1:
		LM_XMM_SET(1);
		break;
	case 2:
		LM_XMM_SET(2);
		break;
	case 3:
		LM_XMM_SET(3);
		break;
	case 4:
		LM_XMM_SET(4);
		break;
	case 5:
		LM_XMM_SET(5);
		break;
	case 6:
		LM_XMM_SET(6);
		break;
	case 7:
		LM_XMM_SET(7);
		break;
	case 8:
		LM_XMM_SET(8);
		break;
	case 9:
		LM_XMM_SET(9);
		break;
	case 10:
		LM_XMM_SET(10);
		break;
	case 11:
		LM_XMM_SET(11);
		break;
	case 12:
		LM_XMM_SET(12);
		break;
	case 13:
		LM_XMM_SET(13);
		break;
	case 14:
		LM_XMM_SET(14);
		break;
	case 15:
		LM_XMM_SET(15);
		break;
	}
}

/* ---- ioctls: the state is in the area ---- */

/**
 * lm_fpu_get - KVM_GET_FPU
 * @vcpu: not in its section
 * @f: result
 */
int lm_fpu_get(struct lm_vcpu *vcpu, struct kvm_fpu *f)
{
	const struct fxregs_state *fx = vcpu->x86.fpu;

	memset(f, 0, sizeof(*f));
	memcpy(f->fpr, fx->st_space, sizeof(f->fpr));
	f->fcw = fx->cwd;
	f->fsw = fx->swd;
	f->ftwx = fx->twd;
	f->last_opcode = fx->fop;
	f->last_ip = fx->rip;
	f->last_dp = fx->rdp;
	memcpy(f->xmm, fx->xmm_space, sizeof(f->xmm));
	f->mxcsr = fx->mxcsr;
	return 0;
}

/**
 * lm_fpu_set - KVM_SET_FPU
 * @vcpu: not in its section
 * @f: the user's values
 */
int lm_fpu_set(struct lm_vcpu *vcpu, const struct kvm_fpu *f)
{
	struct xregs_state *xs = vcpu->x86.fpu;
	struct fxregs_state *fx = &xs->i387;

	if (f->mxcsr & ~lm_mxcsr_mask)
		return -EINVAL;
	memcpy(fx->st_space, f->fpr, sizeof(f->fpr));
	fx->cwd = f->fcw;
	fx->swd = f->fsw;
	fx->twd = f->ftwx;
	fx->fop = f->last_opcode;
	fx->rip = f->last_ip;
	fx->rdp = f->last_dp;
	memcpy(fx->xmm_space, f->xmm, sizeof(f->xmm));
	fx->mxcsr = f->mxcsr;
	if (lm_host_xcr0)
		xs->header.xfeatures |= LM_XF_FPSSE;
	return 0;
}

/**
 * lm_xsave_get - KVM_GET_XSAVE: 4 KiB in the standard format
 * @vcpu: not in its section
 * @x: result
 */
int lm_xsave_get(struct lm_vcpu *vcpu, struct kvm_xsave *x)
{
	const struct xregs_state *xs = vcpu->x86.fpu;
	struct xregs_state *out = (void *)x->region;

	memset(x->region, 0, sizeof(x->region));
	memcpy(x->region, xs, lm_fpu_bytes);
	out->i387.mxcsr_mask = lm_mxcsr_mask;
	if (!lm_host_xcr0) {
		out->header.xfeatures = LM_XF_FPSSE;
		return 0;
	}
	if (lm_xcr0_offered & XFEATURE_MASK_PKRU) {
		out->header.xfeatures |= XFEATURE_MASK_PKRU;
		*(u32 *)((u8 *)x->region + lm_xf[9].offset) = vcpu->x86.pkru;
	}
	return 0;
}

/* Components that the image leaves out are in their initial state. */
static void lm_xsave_init_absent(struct xregs_state *xs)
{
	struct fxregs_state *fx = &xs->i387;
	unsigned int i;

	if (!(xs->header.xfeatures & XFEATURE_MASK_FP)) {
		memset(fx, 0, offsetof(struct fxregs_state, mxcsr));
		memset(fx->st_space, 0, sizeof(fx->st_space));
		fx->cwd = 0x37f;
	}
	if (!(xs->header.xfeatures & XFEATURE_MASK_SSE))
		memset(fx->xmm_space, 0, sizeof(fx->xmm_space));
	if (!(xs->header.xfeatures & (XFEATURE_MASK_SSE | XFEATURE_MASK_YMM)))
		fx->mxcsr = MXCSR_DEFAULT;
	for (i = 2; i < LM_XF_MAX; i++)
		if ((lm_xf_saved & ~xs->header.xfeatures) & BIT_ULL(i))
			memset((u8 *)xs + lm_xf[i].offset, 0, lm_xf[i].size);
}

/**
 * lm_xsave_set - KVM_SET_XSAVE
 * @vcpu: not in its section
 * @x: the user's image, standard format
 *
 * All that XRSTOR would refuse is refused here (APM vol. 4, XRSTOR).
 */
int lm_xsave_set(struct lm_vcpu *vcpu, const struct kvm_xsave *x)
{
	const struct xregs_state *in = (const void *)x->region;
	struct xregs_state *xs = vcpu->x86.fpu;
	u64 bv = in->header.xfeatures;

	if (bv & ~(lm_host_xcr0 ? lm_xcr0_offered : (u64)LM_XF_FPSSE))
		return -EINVAL;
	if (in->header.xcomp_bv ||
	    memchr_inv(in->header.reserved, 0, sizeof(in->header.reserved)))
		return -EINVAL;
	if ((bv & (XFEATURE_MASK_SSE | XFEATURE_MASK_YMM)) && (in->i387.mxcsr & ~lm_mxcsr_mask))
		return -EINVAL;

	memcpy(xs, in, lm_fpu_bytes);
	memset(xs->i387.sw_reserved, 0, sizeof(xs->i387.sw_reserved));
	if (!lm_host_xcr0) {
		if ((bv & LM_XF_FPSSE) != LM_XF_FPSSE) {
			struct xregs_state tmp = { .i387 = xs->i387, .header.xfeatures = bv };

			lm_xsave_init_absent(&tmp);
			xs->i387 = tmp.i387;
		}
		return 0;
	}
	if (lm_xcr0_offered & XFEATURE_MASK_PKRU)
		vcpu->x86.pkru = bv & XFEATURE_MASK_PKRU ?
				 *(const u32 *)((const u8 *)x->region + lm_xf[9].offset) : 0;
	xs->header.xfeatures &= lm_xf_saved;
	lm_xsave_init_absent(xs);
	return 0;
}

/**
 * lm_xcrs_get - KVM_GET_XCRS
 * @vcpu: the vCPU
 * @x: result
 */
int lm_xcrs_get(struct lm_vcpu *vcpu, struct kvm_xcrs *x)
{
	if (!lm_caps.xsave)
		return -EINVAL;
	memset(x, 0, sizeof(*x));
	x->nr_xcrs = 1;
	x->xcrs[0].value = vcpu->x86.xcr0;
	return 0;
}

/**
 * lm_xcrs_set - KVM_SET_XCRS
 * @vcpu: the vCPU
 * @x: the user's values
 */
int lm_xcrs_set(struct lm_vcpu *vcpu, const struct kvm_xcrs *x)
{
	unsigned int i;

	if (!lm_caps.xsave || x->nr_xcrs > KVM_MAX_XCRS || x->flags)
		return -EINVAL;
	for (i = 0; i < x->nr_xcrs; i++)
		if (x->xcrs[i].xcr == 0)
			return lm_write_xcr0(vcpu, 0, x->xcrs[i].value) ? -EINVAL : 0;
	return 0;
}
