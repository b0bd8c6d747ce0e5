// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page behind the xAPIC's registers.  A CPU that virtualises the LAPIC (SDM
 * vol. 3, 30.4) answers accesses to one page of the host; the nested table must map
 * it where the guest's LAPIC is.  Nothing is ever stored in it while all vCPUs of
 * the VM have their LAPIC there; once one does not, the page goes away for good, and
 * accesses are executed in software.
 */
#include <linux/gfp.h>
#include <asm/apicdef.h>

#include "tree.h"

int lm_apic_page_init(struct lm_mem *mem)
{
	if (!lm_caps.apic_hw)
		return 0;
	mem->apic_page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	return mem->apic_page ? 0 : -ENOMEM;
}

void lm_apic_page_free(struct lm_mem *mem)
{
	free_page((unsigned long)mem->apic_page);
	mem->apic_page = NULL;
}

/**
 * lm_apic_page_fault - a fault at LM_APIC_GFN, where no slot is: is it the LAPIC?
 * @vcpu: in its section
 *
 * Return: LM_DONE if the page is mapped now, LM_USER if it is not to be, LM_NEED, -ENOMEM
 */
int lm_apic_page_fault(struct lm_vcpu *vcpu)
{
	struct lm_mem *mem = &vcpu->vm->mem;
	const struct lm_npt_format *f = mem->format;
	struct lm_pos pos;
	int r;

	if (!mem->apic_page || READ_ONCE(mem->apic_off) ||
	    !lm_lapic_is_at(vcpu, APIC_DEFAULT_PHYS_BASE))
		return LM_USER;
	lm_tree_find(mem, LM_APIC_GFN, &pos);
	r = lm_tree_extend(vcpu, LM_APIC_GFN, 1, &pos);
	if (r)
		return r;
	/* A large leaf of a slot that is being deleted still is in the way: fault again. */
	if (pos.level != 1)
		return LM_DONE;
	cmpxchg(pos.entry, 0, __sme_set(__pa(mem->apic_page)) | f->leaf | f->write | f->dirty |
			      f->memtype[0][0]);
	return LM_DONE;
}

/**
 * lm_apic_page_off - a LAPIC leaves its place or mode: no page for this VM from now on
 * @vm: the VM
 *
 * Context: outside of sections, interrupts on.
 */
void lm_apic_page_off(struct lm_vm *vm)
{
	struct lm_zap z = { .vm = vm };

	WRITE_ONCE(vm->mem.apic_off, true);
	lm_flush_all(vm);	/* whoever did not see it yet has mapped the page by now */
	lm_zap_range(&z, LM_APIC_GFN, LM_APIC_GFN + 1);
	lm_zap_finish(&z);
}
