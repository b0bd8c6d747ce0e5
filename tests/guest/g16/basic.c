// SPDX-License-Identifier: GPL-2.0-only
/* Real mode: the first steps, traps, string I/O. */
#include "lib/lib.h"
#include "lib/guest16.h"

GUEST(r16_hello, 0, 1)
{
	put("");
}

GUEST(r16_traps, 0, 1)
{
	ivt_init();
	CHECK_EQ(TRYI("div %%bl", "a"(1), "b"(0)), 0);
	CHECK_EQ(TRYI("ud2", "a"(0)), 6);
	CHECK_EQ(TRYI("int3", "a"(0)), 3);
	CHECK_EQ(TRYI("int $0x13", "a"(0)), 0x13);
	if (on_tcg())
		return;
	/* beyond the 64 KiB limit: #GP through DS, #SS through SS */
	CHECK_EQ(TRYI("movl (%%ebx), %%eax", "b"(0xffff)), 13);
	CHECK_EQ(TRYI("movl %%ss:(%%ebx), %%eax", "b"(0xffff)), 12);
}
