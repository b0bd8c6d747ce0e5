// SPDX-License-Identifier: GPL-2.0-only
/* Runs the checks of cases.h in user space. */
#include <stdio.h>

#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "cases.h"

static int failed;

static void report(const char *name, const char *wrong)
{
	failed |= wrong != NULL;
	if (wrong)
		printf("not ok insn_%s - %s\n", name, wrong);
	else
		printf("ok insn_%s\n", name);
}

int main(void)
{
	const char *wrong, *first = NULL;
	unsigned int i, n;

	for (i = 0; i < ARRAY_SIZE(lm_vectors); i++) {
		wrong = check_vector(&lm_vectors[i]);
		if (!wrong)
			continue;
		printf("# vector:");
		for (n = 0; n < lm_vectors[i].len; n++)
			printf(" %02x", (u8)lm_vectors[i].bytes[n]);
		printf(": %s\n", wrong);
		first = wrong;
	}
	report("vectors", first);
	report("forms", check_forms());
	report("real_mode", check_real_mode());
	report("strings", check_strings());
	report("restart", check_restart());
	report("locked", check_locked());
	report("faults", check_faults());
	return failed;
}
