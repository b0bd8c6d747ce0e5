/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tool shuts itself in before a guest's first instruction: what a guest that has taken it over could do with it
 * is what is let through here.
 */
#ifndef LAMINA_SANDBOX_H
#define LAMINA_SANDBOX_H

#include <stdbool.h>

/* What devices may need besides. */
#define SANDBOX_FILES 1u	/* a shared directory: files, by directories that are open */
#define SANDBOX_SOCKETS 2u	/* a network of its own: sockets, and reading files */

/**
 * enum sandbox_mode - how
 * @SANDBOX_OFF: not at all
 * @SANDBOX_LOG: what would be refused is let through and goes to the host's audit log
 * @SANDBOX_ON: it is refused
 */
enum sandbox_mode {
	SANDBOX_OFF,
	SANDBOX_LOG,
	SANDBOX_ON,
};

/**
 * struct sandbox - what the user wants
 * @mode: how
 * @allow: SANDBOX_FILES and SANDBOX_SOCKETS, whatever devices there are
 * @root: an empty root directory besides
 */
struct sandbox {
	enum sandbox_mode mode;
	unsigned int allow;
	bool root;
};

int sandbox_parse(const char *text, struct sandbox *sandbox);
int sandbox_enter(const struct sandbox *sandbox, bool named);
unsigned int sandbox_allows(void);

#endif
