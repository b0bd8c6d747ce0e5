/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lamina check: one result per line.
 */
#ifndef LAMINA_CHECK_H
#define LAMINA_CHECK_H

#include "tool.h"

enum state { STATE_OK, STATE_WARN, STATE_FAIL };

/**
 * struct result - what one check found
 * @name: short and stable: scripts look for it
 * @state: fit, fit with a loss, or not fit
 * @value: what is there
 * @without: what the module does without it; empty when it is there
 * @remedy: the way out; empty when none is needed or none exists
 */
struct result {
	const char *name;
	enum state state;
	char value[320];
	char without[160];
	char remedy[640];
};

struct report {
	struct result results[32];
	unsigned int count;
};

struct result *report_add(struct report *r, const char *name, enum state state,
			  const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void set_without(struct result *result, const char *text);
void set_remedy(struct result *result, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

void check_cpu(struct report *r);
void check_host(struct report *r);

#endif
