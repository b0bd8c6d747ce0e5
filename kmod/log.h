/* SPDX-License-Identifier: GPL-2.0-only */
/* Included before everything: each line in the kernel log starts with our name. */
#ifndef pr_fmt
#define pr_fmt(fmt) "lamina: " fmt
#endif
