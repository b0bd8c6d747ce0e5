// SPDX-License-Identifier: GPL-2.0-only
/*
 * The encoding of AMD's nested page table: that of an ordinary one in long mode
 * (APM vol. 2, 15.25.5).  The CPU makes every access to it as a user access, so
 * U is set everywhere.  A and D are pre-set, which spares the CPU its locked
 * update.  Memory types index the host's PAT (15.25.8), so the host's own bits
 * are copied; in a large leaf PAT moves from bit 7 to bit 12.
 */
#include "tree.h"

#define NPT_P	BIT_ULL(0)
#define NPT_W	BIT_ULL(1)
#define NPT_U	BIT_ULL(2)
#define NPT_PWT	BIT_ULL(3)
#define NPT_PCD	BIT_ULL(4)
#define NPT_A	BIT_ULL(5)
#define NPT_D	BIT_ULL(6)
#define NPT_PS	BIT_ULL(7)
#define NPT_PAT	BIT_ULL(7)
#define NPT_PAT_LARGE BIT_ULL(12)

#define NPT_TYPES(pat) {						\
	0, NPT_PWT, NPT_PCD, NPT_PCD | NPT_PWT,				\
	(pat), (pat) | NPT_PWT, (pat) | NPT_PCD, (pat) | NPT_PCD | NPT_PWT }

const struct lm_npt_format lm_npt = {
	.present = NPT_P,
	.leaf = NPT_P | NPT_U | NPT_A,
	.write = NPT_W,
	.accessed = NPT_A,
	.dirty = NPT_D,
	.log = NPT_W | NPT_D,
	.large = NPT_PS,
	.table = NPT_P | NPT_W | NPT_U | NPT_A,
	.addr_mask = GENMASK_ULL(51, 12),
	.memtype = { NPT_TYPES(NPT_PAT), NPT_TYPES(NPT_PAT_LARGE) },
};
