// SPDX-License-Identifier: GPL-2.0-only
/* KUnit suite of the instruction decoder and executor: one vector per table entry, then behaviour. */
#include <kunit/test.h>

#include "../insn/cases.h"

static void lm_insn_vectors(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lm_vectors); i++) {
		const struct lm_vector *v = &lm_vectors[i];
		const char *wrong = check_vector(v);

		if (wrong)
			KUNIT_FAIL(test, "%*ph: %s", v->len, v->bytes, wrong);
	}
}

#define LM_INSN_CASE(name) \
static void lm_insn_##name(struct kunit *test) \
{ \
	const char *wrong = check_##name(); \
\
	KUNIT_EXPECT_STREQ(test, wrong ? wrong : "", ""); \
}

LM_INSN_CASE(forms)
LM_INSN_CASE(real_mode)
LM_INSN_CASE(strings)
LM_INSN_CASE(restart)
LM_INSN_CASE(locked)
LM_INSN_CASE(faults)

static struct kunit_case lm_insn_cases[] = {
	KUNIT_CASE(lm_insn_vectors),
	KUNIT_CASE(lm_insn_forms),
	KUNIT_CASE(lm_insn_real_mode),
	KUNIT_CASE(lm_insn_strings),
	KUNIT_CASE(lm_insn_restart),
	KUNIT_CASE(lm_insn_locked),
	KUNIT_CASE(lm_insn_faults),
	{}
};

static struct kunit_suite lm_insn_suite = {
	.name = "lm_insn",
	.test_cases = lm_insn_cases,
};
kunit_test_suite(lm_insn_suite);
