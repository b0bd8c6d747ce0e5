/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that Lamina builds on.  Each difference is
 * one compile probe in Kbuild (LM_HAVE_*) and one small inline here, with a word
 * on when it can go.
 */
#ifndef LM_COMPAT_H
#define LM_COMPAT_H

#endif
