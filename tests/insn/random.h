/* SPDX-License-Identifier: GPL-2.0-only */
/* Random numbers that can be had again: splitmix64 from a seed that is printed. */
#ifndef LM_TEST_RANDOM_H
#define LM_TEST_RANDOM_H

#include <stdio.h>
#include <stdlib.h>
#include "shim.h"

static u64 rnd_state;

static inline u64 rnd(void)
{
	u64 z = (rnd_state += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline void seed_from(const char *arg)
{
	rnd_state = arg ? strtoull(arg, NULL, 0) : 20240611;
	printf("# seed %llu\n", (unsigned long long)rnd_state);
}

#endif
