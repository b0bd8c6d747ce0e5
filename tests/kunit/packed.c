// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit: packed rings.  Guest memory is one kernel buffer; the ring's own pages are
 * those of that buffer, so nothing is pinned.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "lamina.h"
#include "virtio/ring.h"

#define T_NUM		7u		/* need not be a power of two */
#define T_RING		0x0ff0u		/* its second descriptor is on the next page */
#define T_DRIVER	0x3000u
#define T_DEVICE	0x3004u
#define T_TABLE		0x4000u
#define T_RAM		0x8000u
#define T_MINE		(BIT(VRING_PACKED_DESC_F_AVAIL) | BIT(VRING_PACKED_DESC_F_USED))

struct t_packed {
	struct lm_vm vm;
	struct lm_ring r;
	struct lm_chain c;
	struct lm_vseg seg[2 * T_NUM];
	u8 *ram;
	u32 place;
	bool wrap;
};

static struct vring_packed_desc *t_at(struct t_packed *t, u32 at, u32 i)
{
	return (struct vring_packed_desc *)(t->ram + at) + i;
}

static void t_put(struct vring_packed_desc *d, u64 addr, u32 len, u16 id, u16 flags)
{
	*d = (struct vring_packed_desc) { cpu_to_le64(addr), cpu_to_le32(len), cpu_to_le16(id),
					  cpu_to_le16(flags) };
}

/* The driver's next descriptor, given to the device. */
static void t_offer(struct t_packed *t, u64 addr, u32 len, u16 id, u16 flags)
{
	flags |= t->wrap ? BIT(VRING_PACKED_DESC_F_AVAIL) : BIT(VRING_PACKED_DESC_F_USED);
	t_put(t_at(t, T_RING, t->place), addr, len, id, flags);
	if (++t->place == T_NUM) {
		t->place = 0;
		t->wrap = !t->wrap;
	}
}

static int t_next(struct t_packed *t)
{
	return lm_ring_next(&t->r, &t->c);
}

static bool t_push(struct t_packed *t, u16 id, u16 descs)
{
	return lm_ring_push(&t->r, (struct lm_token) { id, descs }, 100 + id);
}

static void t_want(struct t_packed *t, u16 off_wrap, u16 flags)
{
	__le16 *want = (__le16 *)(t->ram + T_DRIVER);

	want[0] = cpu_to_le16(off_wrap);
	want[1] = cpu_to_le16(flags);
}

static void checks(struct kunit *test)
{
	struct lamina_blk_queue q = { .size = 7, .desc = 16, .driver = 4, .device = 4,
				      .last_avail = 6 | LAMINA_BLK_WRAP, .last_used = 6 };

	KUNIT_EXPECT_EQ(test, lm_ring_check(&q, true), 0);
	KUNIT_EXPECT_EQ(test, lm_ring_check(&q, false), -EINVAL);
	q.driver = 2;
	KUNIT_EXPECT_EQ(test, lm_ring_check(&q, true), -EINVAL);
	q.driver = 4;
	q.last_used = 7;
	KUNIT_EXPECT_EQ(test, lm_ring_check(&q, true), -EINVAL);
	q.last_used = 6;
	q.last_avail = 7 | LAMINA_BLK_WRAP;
	KUNIT_EXPECT_EQ(test, lm_ring_check(&q, true), -EINVAL);
	q.last_avail = 0;
	q.size = LM_RING_MAX + 1;
	KUNIT_EXPECT_EQ(test, lm_ring_check(&q, true), -EINVAL);
}

/* Requests of three and two descriptors, more than twice around the ring. */
static void laps(struct kunit *test)
{
	struct t_packed *t = test->priv;
	u32 i, place = 0;
	u16 flags;

	for (i = 0; i < 20; i++) {
		struct vring_packed_desc *d = t_at(t, T_RING, place % T_NUM);
		u16 wrap = place / T_NUM % 2 ? 0 : T_MINE;

		KUNIT_ASSERT_EQ(test, t_next(t), 0);
		t_offer(t, 0x5000, 16, 99, VRING_DESC_F_NEXT);
		if (i % 2)
			t_offer(t, 0x5100, 3, 98, VRING_DESC_F_NEXT);
		t_offer(t, 0x6000, 100, i, VRING_DESC_F_WRITE);
		KUNIT_ASSERT_EQ(test, t_next(t), 1);
		KUNIT_EXPECT_EQ(test, t->c.token.id, i);
		KUNIT_EXPECT_EQ(test, t->c.token.descs, 2 + i % 2);
		KUNIT_EXPECT_EQ(test, t->c.nr_out, 1 + i % 2);
		KUNIT_EXPECT_EQ(test, t->c.nr, 2 + i % 2);
		KUNIT_EXPECT_EQ(test, t->c.out_bytes, i % 2 ? 19ull : 16ull);
		KUNIT_EXPECT_EQ(test, t->c.in_bytes, 100ull);
		/* not begun: it comes again */
		lm_ring_undo(&t->r, &t->c);
		KUNIT_ASSERT_EQ(test, t_next(t), 1);
		KUNIT_EXPECT_EQ(test, t->c.token.id, i);
		KUNIT_EXPECT_EQ(test, t_next(t), 0);
		KUNIT_EXPECT_TRUE(test, t_push(t, i, 2 + i % 2));
		flags = le16_to_cpu(d->flags);
		KUNIT_EXPECT_EQ(test, flags, wrap | VRING_DESC_F_WRITE);
		KUNIT_EXPECT_EQ(test, le16_to_cpu(d->id), i);
		KUNIT_EXPECT_EQ(test, le32_to_cpu(d->len), 100 + i);
		place += 2 + i % 2;
		KUNIT_EXPECT_EQ(test, t->r.last_used, t->r.last_avail);
		KUNIT_EXPECT_EQ(test, lm_packed_place(t->r.last_used), place % T_NUM);
	}
}

/* The longest chains that there can be; one that fills the ring, twice. */
static void longest(struct kunit *test)
{
	struct t_packed *t = test->priv;
	u32 i, lap;

	for (lap = 0; lap < 2; lap++) {
		for (i = 0; i < T_NUM; i++)
			t_offer(t, 0x5000, 1, i, i < T_NUM - 1 ? VRING_DESC_F_NEXT : 0);
		KUNIT_ASSERT_EQ(test, t_next(t), 1);
		KUNIT_EXPECT_EQ(test, t->c.nr, T_NUM);
		KUNIT_EXPECT_EQ(test, t->c.token.id, T_NUM - 1);
		lm_ring_undo(&t->r, &t->c);
		KUNIT_ASSERT_EQ(test, t_next(t), 1);
		KUNIT_EXPECT_EQ(test, t_next(t), 0);
		t_push(t, 0, T_NUM);
	}
	/* a table: NEXT and the owner's flags mean nothing in it */
	for (i = 0; i < T_NUM; i++)
		t_put(t_at(t, T_TABLE, i), 0x6000, 1, 0, i % 2 ? VRING_DESC_F_NEXT : T_MINE);
	t_offer(t, T_TABLE, 16 * T_NUM, 5, VRING_DESC_F_INDIRECT);
	KUNIT_ASSERT_EQ(test, t_next(t), 1);
	KUNIT_EXPECT_EQ(test, t->c.nr, T_NUM);
	KUNIT_EXPECT_EQ(test, t->c.token.id, 5);
	KUNIT_EXPECT_EQ(test, t->c.token.descs, 1);
}

static void hostile(struct kunit *test)
{
	static const struct {
		u64 addr;
		u32 len;
		u16 flags;
		int ret;
	} cases[] = {
		{ ~0ull, 2, 0, -EINVAL },
		{ T_TABLE, 0, VRING_DESC_F_INDIRECT, -EINVAL },
		{ T_TABLE, 15, VRING_DESC_F_INDIRECT, -EINVAL },
		{ T_TABLE, 16 * T_NUM + 16, VRING_DESC_F_INDIRECT, -EINVAL },
		{ T_TABLE, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, -EINVAL },
		{ ~15ull, 16, VRING_DESC_F_INDIRECT, -EINVAL },
		{ T_RAM, 16, VRING_DESC_F_INDIRECT, -EFAULT },
		{ T_TABLE + 0x100, 16, VRING_DESC_F_INDIRECT, -EINVAL },	/* a table in it */
		{ T_TABLE + 0x200, 32, VRING_DESC_F_INDIRECT, -EINVAL },	/* written, then read */
		{ 0x5000, ~0u, 0, 1 },
	};
	struct t_packed *t = test->priv;
	u32 i;

	t_put(t_at(t, T_TABLE + 0x100, 0), T_TABLE, 16, 0, VRING_DESC_F_INDIRECT);
	t_put(t_at(t, T_TABLE + 0x200, 0), 0x5000, 1, 0, VRING_DESC_F_WRITE);
	t_put(t_at(t, T_TABLE + 0x200, 1), 0x5000, 1, 0, 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		t->place = 0;
		t_offer(t, cases[i].addr, cases[i].len, 0, cases[i].flags);
		KUNIT_EXPECT_EQ_MSG(test, t_next(t), cases[i].ret, "case %u", i);
	}
	/* no end */
	t->place = t->r.last_avail = 0;
	t->wrap = false;
	for (i = 0; i < T_NUM; i++)
		t_offer(t, 0x5000, 1, 0, VRING_DESC_F_NEXT);
	KUNIT_EXPECT_EQ(test, t_next(t), -ELOOP);
	/* a table behind another descriptor */
	t->place = t->r.last_avail = 0;
	t->wrap = false;
	t_offer(t, 0x5000, 1, 0, VRING_DESC_F_NEXT);
	t_offer(t, T_TABLE, 16, 0, VRING_DESC_F_INDIRECT);
	KUNIT_EXPECT_EQ(test, t_next(t), -EINVAL);
	t->r.indirect = false;
	t->place = t->r.last_avail = 0;
	t->wrap = false;
	t_offer(t, T_TABLE, 16, 0, VRING_DESC_F_INDIRECT);
	KUNIT_EXPECT_EQ(test, t_next(t), -EINVAL);
	t->r.desc = T_RAM;
	KUNIT_EXPECT_EQ(test, t_next(t), -EFAULT);
	t->r.used = T_RAM;
	KUNIT_EXPECT_EQ(test, lm_ring_rearm(&t->r), -EFAULT);
}

static void events(struct kunit *test)
{
	struct t_packed *t = test->priv;
	__le32 *device = (__le32 *)(t->ram + T_DEVICE);
	const u16 one = LM_PACKED_WRAP;

	t_want(t, 0, VRING_PACKED_EVENT_FLAG_DISABLE);
	KUNIT_EXPECT_FALSE(test, t_push(t, 0, 1));
	t_want(t, 0, VRING_PACKED_EVENT_FLAG_ENABLE);
	KUNIT_EXPECT_TRUE(test, t_push(t, 0, 1));
	/* at 2, then from 3 to 5, each of two */
	t_want(t, 2 | one, VRING_PACKED_EVENT_FLAG_DESC);
	KUNIT_EXPECT_TRUE(test, t_push(t, 0, 1));
	t_want(t, 5 | one, VRING_PACKED_EVENT_FLAG_DESC);
	KUNIT_EXPECT_FALSE(test, t_push(t, 0, 2));
	t_want(t, 0, VRING_PACKED_EVENT_FLAG_DESC);
	/* 5 and 6; then 0 to 2 of the next lap */
	KUNIT_EXPECT_FALSE(test, t_push(t, 0, 2));
	t_want(t, 2, VRING_PACKED_EVENT_FLAG_DESC);
	KUNIT_EXPECT_TRUE(test, t_push(t, 0, 3));
	/* 3 to 5; then 6 to 1, over the end */
	t_want(t, 0 | one, VRING_PACKED_EVENT_FLAG_DESC);
	KUNIT_EXPECT_FALSE(test, t_push(t, 0, 3));
	KUNIT_EXPECT_TRUE(test, t_push(t, 0, 3));
	KUNIT_EXPECT_EQ(test, t->r.last_used, 2 | one);
	/* ours */
	t->r.last_avail = 3 | one;
	KUNIT_EXPECT_EQ(test, lm_ring_rearm(&t->r), 0);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(*device), 3u | one | VRING_PACKED_EVENT_FLAG_DESC << 16);
	t->place = 3;
	t_offer(t, 0x5000, 1, 0, 0);
	KUNIT_EXPECT_EQ(test, lm_ring_rearm(&t->r), 1);
	/* without the event index: flags alone, which DESC is not one of */
	t->r.event_idx = false;
	*device = 0;
	KUNIT_EXPECT_EQ(test, lm_ring_rearm(&t->r), 1);
	KUNIT_EXPECT_EQ(test, le32_to_cpu(*device), 0u);
	t_want(t, 0, VRING_PACKED_EVENT_FLAG_DESC);
	KUNIT_EXPECT_TRUE(test, t_push(t, 0, 1));
}

static int packed_init(struct kunit *test)
{
	struct t_packed *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	u32 i;

	KUNIT_ASSERT_NOT_NULL(test, t);
	t->ram = (u8 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, get_order(T_RAM));
	KUNIT_ASSERT_NOT_NULL(test, t->ram);
	t->vm.mem.test_ram = t->ram;
	t->vm.mem.test_ram_size = T_RAM;
	t->c.seg = t->seg;
	t->wrap = true;
	t->r = (struct lm_ring) {
		.vm = &t->vm, .num = T_NUM, .packed = true, .event_idx = true, .indirect = true,
		.desc = T_RING, .avail = T_DRIVER, .used = T_DEVICE, .users = 1,
		.last_avail = LM_PACKED_WRAP, .last_used = LM_PACKED_WRAP,
	};
	spin_lock_init(&t->r.lock);
	for (i = 0; i < 2; i++)
		t->r.page[i].bv_page = virt_to_page(t->ram + (T_RING & PAGE_MASK) + i * PAGE_SIZE);
	t->r.nr_pages = 2;
	t->r.want.bv_page = virt_to_page(t->ram + T_DRIVER);
	t->r.want.bv_offset = offset_in_page(T_DRIVER);
	test->priv = t;
	return 0;
}

static void packed_exit(struct kunit *test)
{
	struct t_packed *t = test->priv;

	free_pages((unsigned long)t->ram, get_order(T_RAM));
}

static struct kunit_case packed_cases[] = {
	KUNIT_CASE(checks),
	KUNIT_CASE(laps),
	KUNIT_CASE(longest),
	KUNIT_CASE(hostile),
	KUNIT_CASE(events),
	{ }
};

static struct kunit_suite packed_suite = {
	.name = "lamina-packed",
	.init = packed_init,
	.exit = packed_exit,
	.test_cases = packed_cases,
};
kunit_test_suite(packed_suite);
