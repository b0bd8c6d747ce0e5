/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A tap: a network interface of the host whose other end is a file descriptor here.
 */
#ifndef LAMINA_TAP_H
#define LAMINA_TAP_H

int tap_open(const char *name);
int tap_set_up(const char *name, const char *bridge);
struct rtnl_link_stats64;
int tap_statistics(const char *name, struct rtnl_link_stats64 *stats);
int tap_check_name(const char *name);

#endif
