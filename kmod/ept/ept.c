// SPDX-License-Identifier: GPL-2.0-only
/*
 * The encoding of Intel's extended page table (SDM vol. 3, 29.3.2).  Three bits
 * say what is allowed, and an entry with none of them is not present.  A and D are
 * bits of the hardware only if the EPT pointer turns them on; where they are set
 * already the CPU is spared its locked update, and its log of dirty pages (29.3.6).
 *
 * The memory type is written out rather than an index, so the table is made from
 * the host's PAT at load.  Ordinary memory ignores the guest's PAT: the host and
 * its devices use the same page with write-back at the same time.
 */
#include "tree.h"

#define EPT_R		BIT_ULL(0)
#define EPT_W		BIT_ULL(1)
#define EPT_X		BIT_ULL(2)
#define EPT_TYPE_SHIFT	3
#define EPT_IGNORE_PAT	BIT_ULL(6)
#define EPT_PS		BIT_ULL(7)
#define EPT_A		BIT_ULL(8)
#define EPT_D		BIT_ULL(9)

#define EPT_TYPE_UC	0
#define EPT_TYPE_WB	6
#define PAT_UC_MINUS	7

struct lm_npt_format lm_ept = {
	.present = EPT_R | EPT_W | EPT_X,
	.leaf = EPT_R | EPT_X | EPT_A,
	.write = EPT_W,
	.accessed = EPT_A,
	.dirty = EPT_D,
	.log = EPT_W | EPT_D,
	.large = EPT_PS,
	.table = EPT_R | EPT_W | EPT_X,
	.addr_mask = GENMASK_ULL(51, 12),
	.by_root = true,
};

/**
 * lm_ept_setup - fill in what depends on the host
 * @pat: its PAT
 * @ad: the CPU sets accessed and dirty bits
 * @pml: the CPU logs each page whose dirty bit it sets
 */
void lm_ept_setup(u64 pat, bool ad, bool pml)
{
	unsigned int i;

	for (i = 0; i < 8; i++, pat >>= 8) {
		u64 type = pat & 7;

		if (type == PAT_UC_MINUS)
			type = EPT_TYPE_UC;
		type = type << EPT_TYPE_SHIFT | (type == EPT_TYPE_WB ? EPT_IGNORE_PAT : 0);
		lm_ept.memtype[0][i] = type;
		lm_ept.memtype[1][i] = type;
	}
	lm_ept.age_by_fault = !ad;
	if (pml)
		lm_ept.log = EPT_D;
}
