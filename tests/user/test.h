/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One line per test: "ok NAME" or "not ok NAME - WHY".
 */
#ifndef LAMINA_TEST_H
#define LAMINA_TEST_H

#include <stdio.h>

static int failed;

#define CHECK(name, condition)                                                        \
	do {                                                                          \
		if (condition) {                                                      \
			printf("ok %s\n", name);                                      \
		} else {                                                              \
			printf("not ok %s - line %d: %s\n", name, __LINE__, #condition); \
			failed = 1;                                                   \
		}                                                                     \
	} while (0)

#endif
