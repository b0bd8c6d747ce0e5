// SPDX-License-Identifier: GPL-2.0-only
/*
 * The nested radix tree: tables, walks, zaps.
 *
 * Who changes it, and with what protection:
 *  - vCPUs in their section resolve faults (fault.c): they claim and fill
 *    leaves and link tables into empty entries, by cmpxchg, without a lock;
 *  - zappers (notifier, slot updates, dirty log) empty leaves, take the write
 *    or dirty bit away and unlink tables, by cmpxchg, inside rcu_read_lock().
 *
 * A zap that covers the whole span of a table unlinks it with all below.  This
 * is also how a range goes back to large pages: the host zaps the range when it
 * collapses it, the table goes, and the next fault maps what the host has then.
 * A large leaf is never split in place: it is zapped and faults in smaller.
 *
 * An unlinked table may still be in use by the CPUs' paging-structure caches
 * and by handlers, until lm_flush_all() returns; and by other zappers, until an
 * RCU grace period has passed.  So: unlink, flush, detach what handlers linked
 * below meanwhile, call_rcu() for each page.
 *
 * Two zappers of one leaf: the second finds nothing and must yet not return
 * before the TLBs are clean.  lm_flush.unflushed counts zappers between their
 * first removal and the end of their flush; who finds it set flushes too.
 */
#include <linux/gfp.h>
#include <linux/sched.h>

#include "tree.h"

/**
 * lm_table_alloc - a zeroed page for the tree, charged to the caller's cgroup
 */
u64 *lm_table_alloc(void)
{
	return (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
}

/**
 * lm_tables_fill - fill the page cache of a vCPU
 * @mc: the cache
 * @min: pages that must be there in the end
 *
 * Return: 0 or -ENOMEM
 */
int lm_tables_fill(struct lm_mem_cpu *mc, u32 min)
{
	while (mc->nr_tables < LM_TABLE_CACHE) {
		u64 *table = lm_table_alloc();

		if (!table)
			return mc->nr_tables >= min ? 0 : -ENOMEM;
		mc->table[mc->nr_tables++] = table;
	}
	return 0;
}

/**
 * lm_tables_drop - empty the page cache of a vCPU
 * @mc: the cache
 */
void lm_tables_drop(struct lm_mem_cpu *mc)
{
	while (mc->nr_tables)
		free_page((unsigned long)mc->table[--mc->nr_tables]);
}

/**
 * lm_tree_bound - tables that the slots can need at most
 * @mem: guest memory
 * @slots: the slots
 */
long lm_tree_bound(const struct lm_mem *mem, const struct lm_slots *slots)
{
	long n = 1 + (mem->apic_page ? mem->levels : 0);
	u32 i;
	int level;

	for (i = 0; i < slots->nr; i++) {
		u64 first = slots->slot[i].gfn;
		u64 last = first + slots->slot[i].npages - 1;

		for (level = 1; level < mem->levels; level++)
			n += (last >> (9 * level)) - (first >> (9 * level)) + 1;
	}
	return n;
}

static void lm_pos_root(const struct lm_mem *mem, u64 gfn, struct lm_pos *pos)
{
	pos->level = mem->levels;
	pos->entry = &mem->root[lm_level_index(gfn, mem->levels)];
	pos->val = READ_ONCE(*pos->entry);
}

static void lm_pos_down(const struct lm_mem *mem, u64 gfn, struct lm_pos *pos)
{
	pos->level--;
	pos->entry = &lm_entry_to_table(mem, pos->val)[lm_level_index(gfn, pos->level)];
	pos->val = READ_ONCE(*pos->entry);
}

/**
 * lm_tree_find - walk down to the first entry that points to no table
 * @mem: guest memory
 * @gfn: for which page
 * @pos: the result
 */
void lm_tree_find(const struct lm_mem *mem, u64 gfn, struct lm_pos *pos)
{
	lm_pos_root(mem, gfn, pos);
	while (lm_entry_table(mem, pos->val, pos->level))
		lm_pos_down(mem, gfn, pos);
}

/* Link a fresh table into the empty entry at @pos, unless somebody was first. */
static int lm_tree_link(struct lm_vcpu *vcpu, struct lm_pos *pos)
{
	struct lm_mem *mem = &vcpu->vm->mem;
	struct lm_mem_cpu *mc = &vcpu->mem;
	u64 new, old;

	if (!mc->nr_tables) {
		mc->need_tables = true;
		return LM_NEED;
	}
	if (atomic_long_inc_return(&mem->table_pages) > READ_ONCE(mem->max_table_pages)) {
		atomic_long_dec(&mem->table_pages);
		return -ENOMEM;
	}
	new = __sme_set(__pa(mc->table[mc->nr_tables - 1])) | mem->format->table;
	old = cmpxchg(pos->entry, 0, new);
	if (old) {
		atomic_long_dec(&mem->table_pages);
		pos->val = old;
		return LM_DONE;
	}
	mc->nr_tables--;
	pos->val = new;
	return LM_DONE;
}

/**
 * lm_tree_extend - walk further down, making tables as needed
 * @vcpu: in its section
 * @gfn: for which page
 * @level: of the wanted entry
 * @pos: where to start; the result, which may be a leaf higher up
 *
 * Return: LM_DONE, LM_NEED, -ENOMEM
 */
int lm_tree_extend(struct lm_vcpu *vcpu, u64 gfn, int level, struct lm_pos *pos)
{
	struct lm_mem *mem = &vcpu->vm->mem;
	int r;

	for (;;) {
		if (lm_entry_table(mem, pos->val, pos->level)) {
			lm_pos_down(mem, gfn, pos);
			continue;
		}
		if (pos->val || pos->level <= level)
			return LM_DONE;
		r = lm_tree_link(vcpu, pos);
		if (r)
			return r;
	}
}

/*
 * Iteration over the entries of [gfn, end) that are not empty, for zappers.
 * With @whole, a table whose span lies inside the range is returned itself and
 * not entered.
 */
struct lm_iter {
	struct lm_mem *mem;
	u64 gfn, end;
	bool whole;
	u64 *table;		/* NULL: start from the root again */
	int level;
	u64 at;			/* gfn was here before it went past what was returned */
	struct lm_pos pos;
};

static bool lm_iter_next(struct lm_iter *it)
{
	struct lm_mem *mem = it->mem;

	while (it->gfn < it->end) {
		u64 span, next, e;
		u64 *p;

		if (!it->table) {
			it->table = mem->root;
			it->level = mem->levels;
		}
		p = &it->table[lm_level_index(it->gfn, it->level)];
		e = READ_ONCE(*p);
		span = lm_level_pages(it->level);
		next = (it->gfn | (span - 1)) + 1;
		if (lm_entry_table(mem, e, it->level) &&
		    !(it->whole && !(it->gfn & (span - 1)) && next <= it->end)) {
			it->table = lm_entry_to_table(mem, e);
			it->level--;
			continue;
		}
		it->pos = (struct lm_pos){ .entry = p, .val = e, .level = it->level };
		it->at = it->gfn;
		it->gfn = next;
		if (!lm_level_index(next, it->level))
			it->table = NULL;
		if (e)
			return true;
	}
	return false;
}

/* The entry turned into a table after the iterator looked: go into it. */
static void lm_iter_again(struct lm_iter *it)
{
	it->gfn = it->at;
	it->table = NULL;
}

static void lm_iter_resched(struct lm_iter *it, const struct lm_zap *z)
{
	if (!z->may_resched || !need_resched())
		return;
	rcu_read_unlock();
	cond_resched();
	rcu_read_lock();
	it->table = NULL;
}

/*
 * From here on this zapper owes a flush.  Counted before the removal, so that
 * who sees the removal sees the count.
 */
static void lm_zap_owes_flush(struct lm_zap *z)
{
	if (z->flush)
		return;
	z->flush = true;
	atomic_inc(&z->vm->mem.flush.unflushed);
}

/* Replace the entry by @new.  False: it changed meanwhile; pos->val is current. */
static bool lm_zap_entry(struct lm_zap *z, struct lm_pos *pos, u64 new)
{
	if (lm_entry_cached(&z->vm->mem, pos->val))
		lm_zap_owes_flush(z);
	return try_cmpxchg(pos->entry, &pos->val, new);
}

/* page->private: the next page of a chain, and the level of this one's entries. */
static void lm_chain_push(struct page **chain, u64 *table, int level)
{
	struct page *page = virt_to_page(table);

	BUILD_BUG_ON(__alignof__(struct page) < 8);
	set_page_private(page, (unsigned long)*chain | level);
	*chain = page;
}

static u64 *lm_chain_pop(struct page **chain, int *level)
{
	struct page *page = *chain;
	unsigned long v = page_private(page);

	*chain = (struct page *)(v & ~7ul);
	*level = v & 7;
	set_page_private(page, 0);
	return page_address(page);
}

static void lm_zap_one(struct lm_zap *z, struct lm_iter *it)
{
	struct lm_mem *mem = it->mem;
	struct lm_pos *pos = &it->pos;

	while (pos->val) {
		bool table = lm_entry_table(mem, pos->val, pos->level);
		u64 val = pos->val;

		if (table && (it->gfn - it->at != lm_level_pages(pos->level) || it->gfn > it->end)) {
			lm_iter_again(it);
			return;
		}
		if (!lm_zap_entry(z, pos, 0))
			continue;
		if (table)
			lm_chain_push(&z->tables, lm_entry_to_table(mem, val), pos->level - 1);
		return;
	}
}

/**
 * lm_zap_range - empty a range of the tree
 * @z: the zap
 * @gfn: first page
 * @end: page after the last
 *
 * Claims of vCPUs in the middle of a fault are cleared too.
 */
void lm_zap_range(struct lm_zap *z, u64 gfn, u64 end)
{
	struct lm_iter it = { .mem = &z->vm->mem, .gfn = gfn, .end = end, .whole = true };

	rcu_read_lock();
	while (lm_iter_next(&it)) {
		lm_zap_one(z, &it);
		lm_iter_resched(&it, z);
	}
	rcu_read_unlock();
}

static void lm_zap_write_one(struct lm_zap *z, struct lm_iter *it)
{
	const struct lm_npt_format *f = it->mem->format;
	struct lm_pos *pos = &it->pos;

	while (pos->val) {
		u64 new = 0;

		if (lm_entry_table(it->mem, pos->val, pos->level)) {
			lm_iter_again(it);
			return;
		}
		if (lm_entry_present(it->mem, pos->val) && pos->level == 1) {
			if (!(pos->val & f->log))
				return;
			new = pos->val & ~f->log;
		}
		if (lm_zap_entry(z, pos, new))
			return;
	}
}

/**
 * lm_zap_write - have writes to a range of the tree noticed again
 * @z: the zap
 * @gfn: first page
 * @end: page after the last
 *
 * For the dirty log: small leaves lose the write bit, or the dirty bit where the CPU
 * logs; large ones are emptied, since what follows them must be small, and so are
 * claims.
 */
void lm_zap_write(struct lm_zap *z, u64 gfn, u64 end)
{
	struct lm_iter it = { .mem = &z->vm->mem, .gfn = gfn, .end = end };

	rcu_read_lock();
	while (lm_iter_next(&it)) {
		lm_zap_write_one(z, &it);
		lm_iter_resched(&it, z);
	}
	rcu_read_unlock();
}

/**
 * lm_tree_age - was any page of a range accessed?
 * @mem: guest memory
 * @gfn: first page
 * @end: page after the last
 * @clear: clear the accessed bits
 *
 * No flush: a TLB that still holds a translation only delays the next setting
 * of the bit, as with the CPU's own page table.  Where the CPU sets no such bit,
 * the leaf is taken away, and what stays in its place says that TLBs may hold it.
 * The caller holds no RCU lock.
 */
bool lm_tree_age(struct lm_mem *mem, u64 gfn, u64 end, bool clear)
{
	struct lm_iter it = { .mem = mem, .gfn = gfn, .end = end };
	u64 a = mem->format->accessed;
	bool young = false;

	rcu_read_lock();
	while (lm_iter_next(&it)) {
		u64 val = it.pos.val;

		if (!lm_entry_present(mem, val) || lm_entry_table(mem, val, it.pos.level))
			continue;
		if (!(val & a))
			continue;
		young = true;
		if (!clear)
			break;
		/* If it changes under us, it is in use, or gone. */
		cmpxchg(it.pos.entry, val, mem->format->age_by_fault ? LM_PENDING_WAS : val & ~a);
	}
	rcu_read_unlock();
	return young;
}

static void lm_table_free_rcu(struct rcu_head *head)
{
	__free_page(container_of(head, struct page, rcu_head));
}

/*
 * Free a chain of tables that nothing refers to any more but, with @rcu, other
 * zappers.  These may unlink what is below them, so the winner of the cmpxchg
 * owns it.
 */
static void lm_chain_free(struct lm_mem *mem, struct page *chain, bool rcu, bool may_resched)
{
	while (chain) {
		struct page *page;
		int level, i;
		u64 *table;

		table = lm_chain_pop(&chain, &level);
		page = virt_to_page(table);
		for (i = 0; level > 1 && i < LM_TABLE_ENTRIES; i++) {
			u64 e = READ_ONCE(table[i]);

			if (lm_entry_table(mem, e, level) && cmpxchg(&table[i], e, 0) == e)
				lm_chain_push(&chain, lm_entry_to_table(mem, e), level - 1);
		}
		atomic_long_dec(&mem->table_pages);
		if (rcu)
			call_rcu(&page->rcu_head, lm_table_free_rcu);
		else
			__free_page(page);
		if (may_resched)
			cond_resched();
	}
}

/**
 * lm_zap_finish - flush what was zapped, free what was unlinked
 * @z: the zap
 *
 * When it returns, no CPU can use anything that was in the zapped ranges.
 *
 * Return: a flush was needed, and with it all handlers that ran have finished
 */
bool lm_zap_finish(struct lm_zap *z)
{
	struct lm_mem *mem = &z->vm->mem;
	bool flush = z->flush;

	if (!flush) {
		/* What we found empty may have been emptied by a zapper that has not flushed yet. */
		smp_mb();
		flush = atomic_read(&mem->flush.unflushed);
	}
	if (flush)
		lm_flush_all(z->vm);
	if (z->flush)
		atomic_dec(&mem->flush.unflushed);
	z->flush = false;
	lm_chain_free(mem, z->tables, true, z->may_resched);
	z->tables = NULL;
	return flush;
}

/**
 * lm_tree_free - free the whole tree
 * @mem: guest memory, used by nobody any more
 */
void lm_tree_free(struct lm_mem *mem)
{
	struct page *chain = NULL;

	if (!mem->root)
		return;
	lm_chain_push(&chain, mem->root, mem->levels);
	mem->root = NULL;
	lm_chain_free(mem, chain, false, true);
}
