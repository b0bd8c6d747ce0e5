/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The terminal, and the loop that serves a running machine.
 */
#ifndef LAMINA_CONSOLE_H
#define LAMINA_CONSOLE_H

struct machine;

int console_open(void);
void console_close(void);
int console_output(void);
void console_serve(struct machine *m);

#endif
