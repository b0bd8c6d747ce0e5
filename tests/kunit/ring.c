// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: split rings.  Guest memory is one kernel buffer; the ring's own pages are
 * those of that buffer, so nothing is pinned.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "lamina.h"
#include "virtio/ring.h"

#define T_NUM	8u
#define T_DESC	0x0u
#define T_AVAIL	0x1000u
#define T_USED	0x1ffcu		/* its entries begin on the next page */
#define T_TABLE	0x4000u
#define T_RAM	0x8000u

struct t_ring {
	struct lm_vm vm;
	struct lm_ring r;
	struct lm_chain c;
	struct lm_vseg seg[2 * T_NUM];
	u8 *ram;
	u16 avail;
};

static void t_desc(struct t_ring *t, u32 at, u32 i, u64 addr, u32 len, u16 flags, u16 next)
{
	struct vring_desc *d = (struct vring_desc *)(t->ram + at) + i;

	d->addr = (__force __virtio64)cpu_to_le64(addr);
	d->len = (__force __virtio32)cpu_to_le32(len);
	d->flags = (__force __virtio16)cpu_to_le16(flags);
	d->next = (__force __virtio16)cpu_to_le16(next);
}

static __le16 *t_avail(struct t_ring *t, u32 i)
{
	return (__le16 *)(t->ram + T_AVAIL) + i;
}

static void t_offer(struct t_ring *t, u16 head)
{
	*t_avail(t, 2 + t->avail % T_NUM) = cpu_to_le16(head);
	*t_avail(t, 1) = cpu_to_le16(++t->avail);
}

static int t_next(struct t_ring *t)
{
	return lm_ring_next(&t->r, &t->c);
}

static int t_check(u32 size, u64 desc, u64 driver, u64 device)
{
	struct lamina_blk_queue q = { .size = size, .desc = desc, .driver = driver,
				      .device = device };

	return lm_ring_check(&q, false);
}

static void checks(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, t_check(1, 0, 0, 0), 0);
	KUNIT_EXPECT_EQ(test, t_check(1024, 16, 2, 4), 0);
	KUNIT_EXPECT_EQ(test, t_check(0, 0, 0, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, t_check(12, 0, 0, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, t_check(2048, 0, 0, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, t_check(8, 8, 0, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, t_check(8, 0, 1, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, t_check(8, 0, 0, 2), -EINVAL);
	KUNIT_EXPECT_EQ(test, t_check(8, ~15ull, 0, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, t_check(8, 0, ~1ull, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, t_check(8, 0, 0, ~3ull), -EINVAL);
}

static void chains(struct kunit *test)
{
	struct t_ring *t = test->priv;
	u64 gpa = 0;
	u8 buf[8];

	KUNIT_EXPECT_EQ(test, t_next(t), 0);
	memcpy(t->ram + 0x5000, "abcdefgh", 8);
	t_desc(t, T_DESC, 3, 0x5000, 3, VRING_DESC_F_NEXT, 0);
	t_desc(t, T_DESC, 0, 0x5003, 5, VRING_DESC_F_NEXT, 7);
	t_desc(t, T_DESC, 7, 0x7777, 0, VRING_DESC_F_NEXT, 5);
	t_desc(t, T_DESC, 5, 0x6000, 100, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 6);
	t_desc(t, T_DESC, 6, 0x6800, 1, VRING_DESC_F_WRITE, 99);
	t_offer(t, 3);
	KUNIT_ASSERT_EQ(test, t_next(t), 1);
	KUNIT_EXPECT_EQ(test, t->c.token.id, 3);
	KUNIT_EXPECT_EQ(test, t->c.nr_out, 2u);
	KUNIT_EXPECT_EQ(test, t->c.nr, 4u);
	KUNIT_EXPECT_EQ(test, t->c.out_bytes, 8ull);
	KUNIT_EXPECT_EQ(test, t->c.in_bytes, 101ull);
	KUNIT_EXPECT_EQ(test, lm_chain_pull(&t->vm, &t->c, buf, 9), -EINVAL);
	KUNIT_EXPECT_EQ(test, lm_chain_pull(&t->vm, &t->c, buf, 4), 0);
	KUNIT_EXPECT_EQ(test, memcmp(buf, "abcd", 4), 0);
	KUNIT_EXPECT_EQ(test, t->c.out_bytes, 4ull);
	KUNIT_EXPECT_EQ(test, t->c.first, 1u);
	KUNIT_EXPECT_EQ(test, t->c.seg[1].gpa, 0x5004ull);
	KUNIT_EXPECT_EQ(test, lm_chain_last(&t->c, &gpa), 0);
	KUNIT_EXPECT_EQ(test, gpa, 0x6800ull);
	KUNIT_EXPECT_EQ(test, t->c.nr, 3u);
	KUNIT_EXPECT_EQ(test, lm_chain_last(&t->c, &gpa), 0);
	KUNIT_EXPECT_EQ(test, gpa, 0x6063ull);
	KUNIT_EXPECT_EQ(test, t->c.in_bytes, 99ull);
	KUNIT_EXPECT_EQ(test, t_next(t), 0);
}

/* A table behind a descriptor; the longest chains that there can be. */
static void indirect(struct kunit *test)
{
	struct t_ring *t = test->priv;
	u32 i;

	for (i = 0; i < T_NUM; i++) {
		t_desc(t, T_DESC, i, 0x5000, 1, VRING_DESC_F_NEXT, i + 1);
		t_desc(t, T_TABLE, i, 0x6000, 1, i < T_NUM - 1 ? VRING_DESC_F_NEXT : 0, i + 1);
	}
	t_desc(t, T_DESC, T_NUM - 1, T_TABLE, 16 * T_NUM, VRING_DESC_F_INDIRECT, 0);
	t_offer(t, 0);
	KUNIT_ASSERT_EQ(test, t_next(t), 1);
	KUNIT_EXPECT_EQ(test, t->c.nr, 2 * T_NUM - 1);
	KUNIT_EXPECT_EQ(test, t->c.seg[2 * T_NUM - 2].gpa, 0x6000ull);
}

static void hostile(struct kunit *test)
{
	static const struct {
		u64 addr;
		u32 len;
		u16 flags, next;
		int ret;
	} cases[] = {
		{ 0x5000, 16, VRING_DESC_F_NEXT, 0, -ELOOP },
		{ 0x5000, 16, VRING_DESC_F_NEXT, T_NUM, -EINVAL },
		{ 0x5000, 16, VRING_DESC_F_NEXT, 0xffff, -EINVAL },
		{ ~0ull, 2, 0, 0, -EINVAL },
		{ ~0ull - 0xffff, ~0u, 0, 0, -EINVAL },
		{ T_TABLE, 0, VRING_DESC_F_INDIRECT, 0, -EINVAL },
		{ T_TABLE, 15, VRING_DESC_F_INDIRECT, 0, -EINVAL },
		{ T_TABLE, 16 * T_NUM + 16, VRING_DESC_F_INDIRECT, 0, -EINVAL },
		{ T_TABLE, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1, -EINVAL },
		{ T_TABLE, ~15u, VRING_DESC_F_INDIRECT, 0, -EINVAL },
		{ ~15ull, 16, VRING_DESC_F_INDIRECT, 0, -EINVAL },
		{ T_RAM, 16, VRING_DESC_F_INDIRECT, 0, -EFAULT },
		{ 1ull << 50, 16, VRING_DESC_F_INDIRECT, 0, -EFAULT },
		{ 0x5000, 16, 0, 0, 1 },
		{ 0x5000, ~0u, 0, 0, 1 },		/* who uses it sees that no memory is there */
	};
	struct t_ring *t = test->priv;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		t_desc(t, T_DESC, 0, cases[i].addr, cases[i].len, cases[i].flags, cases[i].next);
		if (cases[i].ret < 0) {
			t->avail = 0;
			t->r.last_avail = t->r.seen_avail = 0;
		}
		t_offer(t, 0);
		KUNIT_EXPECT_EQ_MSG(test, t_next(t), cases[i].ret, "case %u", i);
	}
	/* readable after writable */
	t_desc(t, T_DESC, 0, 0x5000, 1, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	t_desc(t, T_DESC, 1, 0x5000, 1, 0, 0);
	t_offer(t, 0);
	KUNIT_EXPECT_EQ(test, t_next(t), -EINVAL);
}

static void indices(struct kunit *test)
{
	struct t_ring *t = test->priv;

	t_desc(t, T_DESC, 0, 0x5000, 1, 0, 0);
	t_offer(t, T_NUM);
	KUNIT_EXPECT_EQ(test, t_next(t), -EINVAL);
	t->r.last_avail = t->r.seen_avail = t->avail = 0xfffe;
	*t_avail(t, 1) = cpu_to_le16(t->avail);
	t_offer(t, 0);
	t_offer(t, 0);
	t_offer(t, 0);			/* wraps */
	KUNIT_EXPECT_EQ(test, t_next(t), 1);
	KUNIT_EXPECT_EQ(test, t_next(t), 1);
	KUNIT_EXPECT_EQ(test, t_next(t), 1);
	KUNIT_EXPECT_EQ(test, t_next(t), 0);
	*t_avail(t, 1) = cpu_to_le16(t->avail + T_NUM + 1);
	KUNIT_EXPECT_EQ(test, t_next(t), -EINVAL);
	*t_avail(t, 1) = cpu_to_le16(t->avail - 1);
	KUNIT_EXPECT_EQ(test, t_next(t), -EINVAL);
	t->r.indirect = false;
	t->r.last_avail = t->r.seen_avail = t->avail = 0;
	t_desc(t, T_DESC, 0, T_TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	t_offer(t, 0);
	KUNIT_EXPECT_EQ(test, t_next(t), -EINVAL);
	t->r.avail = T_RAM;
	KUNIT_EXPECT_EQ(test, lm_ring_rearm(&t->r), -EFAULT);
}

static void used(struct kunit *test)
{
	struct t_ring *t = test->priv;
	__le16 *idx = (__le16 *)(t->ram + T_USED + 2), *event = t_avail(t, 2 + T_NUM);
	__le32 *entry = (__le32 *)(t->ram + T_USED + 4);
	u32 i;

	t->r.last_used = 0xfffc;
	*event = cpu_to_le16(0xfffd);
	for (i = 0; i < 6; i++) {
		bool told = lm_ring_push(&t->r, (struct lm_token) { .id = i }, 100 + i);

		KUNIT_EXPECT_EQ_MSG(test, told, i == 1, "push %u", i);
		KUNIT_EXPECT_EQ(test, le16_to_cpu(*idx), (u16)(0xfffd + i));
		KUNIT_EXPECT_EQ(test, le32_to_cpu(entry[2 * ((0xfffc + i) % T_NUM)]), i);
		KUNIT_EXPECT_EQ(test, le32_to_cpu(entry[2 * ((0xfffc + i) % T_NUM) + 1]), 100 + i);
	}
	t->avail = t->r.last_avail = t->r.seen_avail = 5;
	*t_avail(t, 1) = cpu_to_le16(5);
	KUNIT_EXPECT_EQ(test, lm_ring_rearm(&t->r), 0);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(*(__le16 *)(t->ram + T_USED + 4 + 8 * T_NUM)), 5);
	t_offer(t, 0);
	KUNIT_EXPECT_EQ(test, lm_ring_rearm(&t->r), 1);
	/* without the event index: a flag */
	t->r.event_idx = false;
	t->r.want.bv_offset = offset_in_page(t->ram + T_AVAIL);
	KUNIT_EXPECT_TRUE(test, lm_ring_push(&t->r, (struct lm_token) { }, 0));
	*t_avail(t, 0) = cpu_to_le16(VRING_AVAIL_F_NO_INTERRUPT);
	KUNIT_EXPECT_FALSE(test, lm_ring_push(&t->r, (struct lm_token) { }, 0));
}

static int ring_init(struct kunit *test)
{
	struct t_ring *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->ram = (u8 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, get_order(T_RAM));
	KUNIT_ASSERT_NOT_NULL(test, t->ram);
	t->vm.mem.test_ram = t->ram;
	t->vm.mem.test_ram_size = T_RAM;
	t->c.seg = t->seg;
	t->r = (struct lm_ring) {
		.vm = &t->vm, .num = T_NUM, .event_idx = true, .indirect = true,
		.desc = T_DESC, .avail = T_AVAIL, .used = T_USED, .users = 1,
	};
	spin_lock_init(&t->r.lock);
	for (i = 0; i < 2; i++)
		t->r.page[i].bv_page = virt_to_page(t->ram + (T_USED & PAGE_MASK) + i * PAGE_SIZE);
	t->r.nr_pages = 2;
	t->r.want.bv_page = virt_to_page(t->ram + T_AVAIL);
	t->r.want.bv_offset = 4 + 2 * T_NUM;
	test->priv = t;
	return 0;
}

static void ring_exit(struct kunit *test)
{
	struct t_ring *t = test->priv;

	free_pages((unsigned long)t->ram, get_order(T_RAM));
}

static struct kunit_case ring_cases[] = {
	KUNIT_CASE(checks),
	KUNIT_CASE(chains),
	KUNIT_CASE(indirect),
	KUNIT_CASE(hostile),
	KUNIT_CASE(indices),
	KUNIT_CASE(used),
	{ }
};

static struct kunit_suite ring_suite = {
	.name = "lamina-ring",
	.init = ring_init,
	.exit = ring_exit,
	.test_cases = ring_cases,
};
kunit_test_suite(ring_suite);
