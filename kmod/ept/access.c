// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest physical memory from inside the section, through the owner's own
 * mapping, with page faults disabled: what is absent is asked for with LM_NEED.
 * The host's page table thus applies with all its rights, and sees the dirty
 * and accessed bits.
 */
#include <linux/uaccess.h>

#include "tree.h"

static int lm_gpa_need(struct lm_vcpu *vcpu, void __user *p, bool write)
{
	vcpu->need.hva = (unsigned long)p;
	vcpu->need.write = write;
	return LM_NEED;
}

/*
 * One access of a fixed size.  user_access_begin() also keeps a guest from
 * steering a speculative access past the end of the slot.
 */
#define LM_MOVE(type, p, buf, write) do {				\
	type v;								\
									\
	if (write)							\
		__builtin_memcpy(&v, buf, sizeof(v));			\
	if (unlikely(!user_access_begin(p, sizeof(v))))			\
		goto bad;						\
	if (write)							\
		unsafe_put_user(v, (type __user *)(p), fault);		\
	else								\
		unsafe_get_user(v, (type __user *)(p), fault);		\
	user_access_end();						\
	if (!(write))							\
		__builtin_memcpy(buf, &v, sizeof(v));			\
} while (0)

/* The slot of last time if it holds @gpa and grants the access, else NULL. */
static __always_inline struct lm_slot *lm_gpa_slot(struct lm_vcpu *vcpu, u64 gpa, bool write)
{
	struct lm_slots *slots = lm_slots_section(vcpu);
	u64 gfn = gpa >> PAGE_SHIFT;
	u32 i = vcpu->mem.last;

	if (unlikely(i >= slots->nr || gfn - slots->slot[i].gfn >= slots->slot[i].npages))
		return NULL;
	if (write && unlikely(slots->slot[i].flags & KVM_MEM_READONLY))
		return NULL;
	return &slots->slot[i];
}

/* The slow half of lm_gpa_slot(): after true it answers. */
static bool lm_gpa_search(struct lm_vcpu *vcpu, u64 gpa, bool write)
{
	struct lm_slot *slot = lm_slot_find(vcpu, lm_slots_section(vcpu), gpa >> PAGE_SHIFT);

	return slot && !(write && (slot->flags & KVM_MEM_READONLY));
}

static struct lm_slot *lm_gpa_writable(struct lm_vcpu *vcpu, u64 gpa)
{
	struct lm_slot *slot = lm_gpa_slot(vcpu, gpa, true);

	if (slot || !lm_gpa_search(vcpu, gpa, true))
		return slot;
	return lm_gpa_slot(vcpu, gpa, true);
}

static __always_inline void __user *lm_gpa_user(const struct lm_slot *slot, u64 gpa)
{
	return (void __user *)(slot->hva + (gpa - (slot->gfn << PAGE_SHIFT)));
}

/*
 * What is rare is in functions of its own, called last: so the compiler needs
 * no stack frame for the short way.
 */
static noinline int lm_access_bulk(struct lm_vcpu *vcpu, const struct lm_slot *slot, u64 gpa,
				   void *buf, unsigned int bytes, bool write)
{
	void __user *p = lm_gpa_user(slot, gpa);
	unsigned long left;

	pagefault_disable();
	if (write)
		left = __copy_to_user_inatomic(p, buf, bytes);
	else
		left = __copy_from_user_inatomic(buf, p, bytes);
	pagefault_enable();
	/* Also if a part was written; after the write, so that who takes the bit has seen it. */
	if (write)
		lm_slot_mark(vcpu, slot, gpa >> PAGE_SHIFT);
	return left ? lm_gpa_need(vcpu, p, write) : LM_DONE;
}

static int lm_gpa_access(struct lm_vcpu *vcpu, u64 gpa, void *buf, unsigned int bytes, bool write)
{
	return write ? lm_gpa_write(vcpu, gpa, buf, bytes) : lm_gpa_read(vcpu, gpa, buf, bytes);
}

static noinline int lm_access_search(struct lm_vcpu *vcpu, u64 gpa, void *buf, unsigned int bytes,
				     bool write)
{
	if (!lm_gpa_search(vcpu, gpa, write))
		return LM_USER;
	return lm_gpa_access(vcpu, gpa, buf, bytes, write);
}

/* Make sure of write access without changing anything. */
static int lm_user_probe(struct lm_vcpu *vcpu, u8 __user *p)
{
	u8 v;

	pagefault_disable();
	if (!user_access_begin(p, 1))
		goto bad;
	unsafe_get_user(v, p, fault);
	/* CMPXCHG writes even if it loses, then what it found. */
	(void)unsafe_try_cmpxchg_user(p, &v, v, fault);
	user_access_end();
	pagefault_enable();
	return LM_DONE;
fault:
	user_access_end();
bad:
	pagefault_enable();
	return lm_gpa_need(vcpu, p, true);
}

/*
 * More than one page: before a write, first make sure of each.  A page can still go
 * away before its part is written; then the handler runs again and writes the same again.
 */
static noinline int lm_access_split(struct lm_vcpu *vcpu, u64 gpa, u8 *buf, unsigned int bytes,
				    bool write)
{
	u64 end = gpa + bytes, at;
	int r;

	for (at = gpa; write && at < end; at = (at | ~PAGE_MASK) + 1) {
		r = lm_gpa_probe_write(vcpu, at, 1);
		if (r)
			return r;
	}
	while (bytes) {
		unsigned int part = min_t(unsigned int, bytes, PAGE_SIZE - offset_in_page(gpa));

		r = lm_gpa_access(vcpu, gpa, buf, part, write);
		if (r)
			return r;
		gpa += part;
		buf += part;
		bytes -= part;
	}
	return LM_DONE;
}

static __always_inline int lm_access_quick(struct lm_vcpu *vcpu, u64 gpa, void *buf,
					   unsigned int bytes, bool write)
{
	struct lm_slot *slot;
	void __user *p;

	if (unlikely(offset_in_page(gpa) + (u64)bytes > PAGE_SIZE))
		return lm_access_split(vcpu, gpa, buf, bytes, write);
	slot = lm_gpa_slot(vcpu, gpa, write);
	if (unlikely(!slot))
		return lm_access_search(vcpu, gpa, buf, bytes, write);
	p = lm_gpa_user(slot, gpa);
	if (bytes != 8 && bytes != 4 && bytes != 2 && bytes != 1)
		return lm_access_bulk(vcpu, slot, gpa, buf, bytes, write);
	pagefault_disable();
	if (likely(bytes == 8))
		LM_MOVE(u64, p, buf, write);
	else if (bytes == 4)
		LM_MOVE(u32, p, buf, write);
	else if (bytes == 2)
		LM_MOVE(u16, p, buf, write);
	else
		LM_MOVE(u8, p, buf, write);
	pagefault_enable();
	if (write)
		lm_slot_mark(vcpu, slot, gpa >> PAGE_SHIFT);
	return LM_DONE;
fault:
	user_access_end();
bad:
	pagefault_enable();
	return lm_gpa_need(vcpu, p, write);
}

/**
 * lm_gpa_read - read guest physical memory
 * @vcpu: in its section
 * @gpa: address
 * @buf: where to
 * @bytes: how many; may cross pages
 *
 * Return: LM_DONE, LM_NEED, LM_USER; @buf is complete only with LM_DONE
 */
int lm_gpa_read(struct lm_vcpu *vcpu, u64 gpa, void *buf, unsigned int bytes)
{
	return lm_access_quick(vcpu, gpa, buf, bytes, false);
}

/**
 * lm_gpa_write - write guest physical memory
 * @vcpu: in its section
 * @gpa: address
 * @buf: what
 * @bytes: how many; may cross pages
 *
 * Return: LM_DONE, LM_NEED or LM_USER (nothing was written)
 */
int lm_gpa_write(struct lm_vcpu *vcpu, u64 gpa, const void *buf, unsigned int bytes)
{
	return lm_access_quick(vcpu, gpa, (void *)buf, bytes, true);
}

#define LM_CMPXCHG(type, p, old, new) ({				\
	type o = *(old);						\
	bool won = unsafe_try_cmpxchg_user((type __user *)(p), &o, (type)(new), fault); \
									\
	*(old) = o;							\
	won;								\
})

/**
 * lm_gpa_cmpxchg - atomic compare and exchange in guest physical memory
 * @vcpu: in its section
 * @gpa: address, aligned to @bytes
 * @old: what is expected; what was there if it lost
 * @new: the new value
 * @bytes: 1, 2, 4 or 8
 *
 * Return: LM_DONE, LM_AGAIN if it lost, LM_NEED, LM_USER
 */
int lm_gpa_cmpxchg(struct lm_vcpu *vcpu, u64 gpa, u64 *old, u64 new, unsigned int bytes)
{
	struct lm_slot *slot = lm_slot_find(vcpu, lm_slots_section(vcpu), gpa >> PAGE_SHIFT);
	void __user *p;
	bool won;

	if (!slot || (slot->flags & KVM_MEM_READONLY) || WARN_ON_ONCE(!IS_ALIGNED(gpa, bytes)))
		return LM_USER;
	p = lm_gpa_user(slot, gpa);
	pagefault_disable();
	if (!user_access_begin(p, bytes))
		goto bad;
	switch (bytes) {
	case 8:
		won = LM_CMPXCHG(u64, p, old, new);
		break;
	case 4:
		won = LM_CMPXCHG(u32, p, old, new);
		break;
	case 2:
		won = LM_CMPXCHG(u16, p, old, new);
		break;
	default:
		won = LM_CMPXCHG(u8, p, old, new);
		break;
	}
	user_access_end();
	pagefault_enable();
	lm_slot_mark(vcpu, slot, gpa >> PAGE_SHIFT);
	return won ? LM_DONE : LM_AGAIN;
fault:
	user_access_end();
bad:
	pagefault_enable();
	return lm_gpa_need(vcpu, p, true);
}

/**
 * lm_gpa_is_ram - does a slot back this address?
 * @vcpu: in its section
 * @gpa: address
 * @write: for writing
 */
bool lm_gpa_is_ram(struct lm_vcpu *vcpu, u64 gpa, bool write)
{
	struct lm_slot *slot = lm_slot_find(vcpu, lm_slots_section(vcpu), gpa >> PAGE_SHIFT);

	return slot && !(write && (slot->flags & KVM_MEM_READONLY));
}

/**
 * lm_gpa_probe_write - would lm_gpa_write() succeed now?
 * @vcpu: in its section
 * @gpa: address
 * @bytes: how many; within one page
 *
 * Return: LM_DONE, LM_NEED, LM_USER
 */
int lm_gpa_probe_write(struct lm_vcpu *vcpu, u64 gpa, unsigned int bytes)
{
	struct lm_slot *slot = lm_gpa_writable(vcpu, gpa);

	return slot ? lm_user_probe(vcpu, lm_gpa_user(slot, gpa)) : LM_USER;
}
