/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A tap: a network interface of the host whose other end is a file descriptor here.
 */
#ifndef LAMINA_TAP_H
#define LAMINA_TAP_H

int tap_open(const char *name);
int tap_set_up(const char *name, const char *bridge);
int tap_check_name(const char *name);

#endif
