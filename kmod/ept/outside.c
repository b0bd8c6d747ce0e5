// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest physical memory for devices in the module, outside any section: copies
 * through the owner's mapping, and pages that are pinned for as long as one request
 * lasts.
 *
 * A slot is looked up under RCU and only its user address is kept.  If it is taken
 * away meanwhile, that address still is one of the owner's, who should not take
 * memory away from a running device.
 */
#include <linux/bvec.h>
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "tree.h"

/*
 * The user address of @gpa; *@bytes is cut to what follows in the same slot.
 * 0: no memory there, or read-only memory that is to be written.
 */
static unsigned long lm_outside_hva(struct lm_vm *vm, u64 gpa, bool write, u32 *bytes)
{
	const struct lm_slot *slot;
	unsigned long hva = 0;
	u64 off;

	rcu_read_lock();
	slot = lm_slot_search(rcu_dereference(vm->mem.slots), gpa >> PAGE_SHIFT);
	if (slot && !(write && (slot->flags & KVM_MEM_READONLY))) {
		off = gpa - (slot->gfn << PAGE_SHIFT);
		*bytes = min_t(u64, *bytes, (slot->npages << PAGE_SHIFT) - off);
		hva = slot->hva + off;
	}
	rcu_read_unlock();
	return hva;
}

/**
 * lm_outside_mark - a device has written guest memory: the dirty log
 * @vm: the VM
 * @gpa: where
 * @bytes: how many
 *
 * Context: any; after the write, so that who takes the bits has seen it.
 */
void lm_outside_mark(struct lm_vm *vm, u64 gpa, u32 bytes)
{
	struct lm_slots *slots;
	const struct lm_slot *slot;
	u64 gfn, last, end;

	if (!bytes)
		return;
	smp_mb();	/* the write before the look at the slots */
	last = (gpa + bytes - 1) >> PAGE_SHIFT;
	rcu_read_lock();
	slots = rcu_dereference(vm->mem.slots);
	for (gfn = gpa >> PAGE_SHIFT; gfn <= last; gfn = end + 1) {
		slot = lm_slot_search(slots, gfn);
		end = slot ? min(last, slot->gfn + slot->npages - 1) : gfn;
		for (; slot && slot->dirty && gfn <= end; gfn++)
			lm_slot_mark(NULL, slot, gfn);
	}
	rcu_read_unlock();
}

/**
 * lm_outside_copy - copy from or to guest memory
 * @vm: the VM; the caller runs in its owner's address space
 * @gpa: guest address
 * @buf: the other side
 * @bytes: how many
 * @write: to the guest
 *
 * Context: may sleep.
 * Return: 0, or -EFAULT with a part perhaps copied
 */
int lm_outside_copy(struct lm_vm *vm, u64 gpa, void *buf, u32 bytes, bool write)
{
	unsigned long hva, left;
	u32 n;

#ifdef LM_KUNIT
	if (vm->mem.test_ram) {
		if (gpa > vm->mem.test_ram_size || bytes > vm->mem.test_ram_size - gpa)
			return -EFAULT;
		if (write)
			memcpy(vm->mem.test_ram + gpa, buf, bytes);
		else
			memcpy(buf, vm->mem.test_ram + gpa, bytes);
		return 0;
	}
#endif
	for (; bytes; bytes -= n, gpa += n, buf += n) {
		n = bytes;
		hva = lm_outside_hva(vm, gpa, write, &n);
		if (!hva)
			return -EFAULT;
		if (write) {
			left = copy_to_user((void __user *)hva, buf, n);
			lm_outside_mark(vm, gpa, n);
		} else {
			left = copy_from_user(buf, (void __user *)hva, n);
		}
		if (left)
			return -EFAULT;
	}
	return 0;
}

/**
 * lm_outside_read16 - read an index that the guest changes, in one piece
 * @vm: the VM; the caller runs in its owner's address space
 * @gpa: guest address, aligned
 * @val: what is there
 *
 * Context: may sleep.
 * Return: 0 or -EFAULT
 */
int lm_outside_read16(struct lm_vm *vm, u64 gpa, u16 *val)
{
	u32 bytes = sizeof(*val);
	unsigned long hva;

#ifdef LM_KUNIT
	if (vm->mem.test_ram)
		return lm_outside_copy(vm, gpa, val, bytes, false);
#endif
	hva = lm_outside_hva(vm, gpa, false, &bytes);
	return hva ? get_user(*val, (u16 __user *)hva) : -EFAULT;
}

/**
 * lm_outside_write32 - write what the guest looks at, in one piece
 * @vm: the VM; the caller runs in its owner's address space
 * @gpa: guest address, aligned
 * @val: what shall be there
 *
 * Context: may sleep.
 * Return: 0 or -EFAULT
 */
int lm_outside_write32(struct lm_vm *vm, u64 gpa, u32 val)
{
	u32 bytes = sizeof(val);
	unsigned long hva;

#ifdef LM_KUNIT
	if (vm->mem.test_ram)
		return lm_outside_copy(vm, gpa, &val, bytes, true);
#endif
	hva = lm_outside_hva(vm, gpa, true, &bytes);
	if (!hva || put_user(val, (u32 __user *)hva))
		return -EFAULT;
	lm_outside_mark(vm, gpa, bytes);
	return 0;
}

/* What is written through the kernel's own mapping leaves no mark in the page tables. */
static void lm_outside_dirty(struct page *page)
{
	if (!PageDirty(page))
		set_page_dirty_lock(page);
}

#define LM_PIN_BATCH	16

static int lm_pin_some(unsigned long hva, u32 bytes, bool write, struct bio_vec *bv)
{
	struct page *page[LM_PIN_BATCH];
	u32 off = offset_in_page(hva);
	int i, got, want = min_t(u32, DIV_ROUND_UP(off + bytes, PAGE_SIZE), LM_PIN_BATCH);

	got = pin_user_pages_fast(hva & PAGE_MASK, want, write ? FOLL_WRITE : 0, page);
	for (i = 0; i < got; i++, off = 0) {
		if (write)
			lm_outside_dirty(page[i]);
		bv[i].bv_page = page[i];
		bv[i].bv_offset = off;
		bv[i].bv_len = min_t(u32, bytes, PAGE_SIZE - off);
		bytes -= bv[i].bv_len;
	}
	return got ? got : -EFAULT;
}

/**
 * lm_outside_pin - pin guest memory
 * @vm: the VM; the caller runs in its owner's address space
 * @gpa: guest address
 * @bytes: how many, not 0
 * @write: it will be written
 * @bv: room for as many pages as that touches
 *
 * Context: may sleep.
 * Return: pages pinned, or -EFAULT, -EINTR, -ENOMEM with none
 */
int lm_outside_pin(struct lm_vm *vm, u64 gpa, u32 bytes, bool write, struct bio_vec *bv)
{
	int i, r, nr = 0;
	unsigned long hva;
	u32 n;

	while (bytes) {
		n = bytes;
		hva = lm_outside_hva(vm, gpa, write, &n);
		r = hva ? lm_pin_some(hva, n, write, bv + nr) : -EFAULT;
		if (r < 0)
			goto fail;
		for (i = 0; i < r; i++, nr++) {
			bytes -= bv[nr].bv_len;
			gpa += bv[nr].bv_len;
		}
	}
	return nr;

fail:
	lm_outside_unpin(bv, nr, false);
	return r;
}

/**
 * lm_outside_unpin - let go of what lm_outside_pin() pinned
 * @bv: the pages
 * @nr: how many
 * @written: they were written
 *
 * Context: may sleep if @written, unless lm_outside_still_dirty().
 */
void lm_outside_unpin(const struct bio_vec *bv, int nr, bool written)
{
	int i;

	for (i = 0; i < nr; i++) {
		if (written)
			lm_outside_dirty(bv[i].bv_page);
		unpin_user_page(bv[i].bv_page);
	}
}

/**
 * lm_outside_still_dirty - has nobody cleaned a page since it was pinned for writing?
 * @bv: the pages
 * @nr: how many
 *
 * Writeback of a file that is guest memory may have.  Then lm_outside_unpin() must
 * be called where one can sleep.
 */
bool lm_outside_still_dirty(const struct bio_vec *bv, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		if (!PageDirty(bv[i].bv_page))
			return false;
	return true;
}
