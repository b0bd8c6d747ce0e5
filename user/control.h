/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A running guest and those who find it by name: the owner's end and the other one.
 */
#ifndef LAMINA_CONTROL_H
#define LAMINA_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct machine;

/* What is asked over a control handle; the answer is '+', or '-' and a message. */
#define ASK_POWER "power"
#define ASK_PAUSE "pause"
#define ASK_RESUME "resume"
#define ASK_START "start"
#define ASK_KILL "kill"
#define ASK_CONSOLE "console"	/* with a socket for it */
#define ASK_ATTACH "attach "	/* KIND, and after a blank how; with what kind->open() gave, and kind->node */
#define ASK_DETACH "detach "	/* DEVICE; answered once it is gone */
#define ASK_REMOVE "remove "	/* DEVICE: at once */
#define ASK_BALLOON "balloon "	/* bytes of memory that the guest shall keep */
#define ASK_DEVICE "device "	/* which, from 0 on: KEY=VALUE lines */

/* control.c: the owner */
int control_detach(void);
void control_ready(void);
int control_open(struct machine *m, bool held);
void control_close(struct machine *m);
void control_drain(void);
void control_answer(uint64_t id, const char *why, const char *text);

/* client.c */
int guest_open(const char *device, const char *name);
int guest_ask(int handle, const char *name, const char *what, int fd);
int guest_call(int handle, const char *name, const char *what, int fd, int fd2,
	       unsigned int timeout_ms, char *answer, size_t size);

/* pause.c: vCPUs that stand still */
void pause_begin(struct machine *m);
bool pause_complete(struct machine *m);
void pause_end(struct machine *m);

#endif
