/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices that wait for file descriptors: the console's loop serves them all, in one thread.
 */
#ifndef LAMINA_LOOP_H
#define LAMINA_LOOP_H

#include <stdbool.h>

struct machine;

/**
 * struct watch - one file descriptor and who waits for it
 * @fd: readable, or hung up, when there is something to do
 * @ready: called then, with io_lock held
 * @on: is it watched now?
 */
struct watch {
	int fd;
	void (*ready)(struct watch *w);
	bool on;
};

int loop_init(struct machine *m);
int loop_watch(struct machine *m, struct watch *w, bool on);
void loop_serve(struct machine *m);

#endif
