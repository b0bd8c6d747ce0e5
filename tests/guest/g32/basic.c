// SPDX-License-Identifier: GPL-2.0-only
/* 32-bit protected mode: the first steps. */
#include "lib/lib.h"
#include "lib/guest32.h"

GUEST(p32_hello, 0, 1)
{
	CHECK_EQ(TRYI("ud2", "a"(0)), 6);
}
