#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The memory of a guest while the host splits and collapses its huge pages, and
# copies it on write: two vCPUs take turns on one CPU.
# host: --smp 1 --mem 1G
# add: tests/api/build/lmmem
# on: amd debug
# timeout: 300

. tests/lib.sh

swap_on 256M
case $(uname -r) in
*-debug) set -- --size 8 --seconds 5 ;;
*) set -- --size 16 --seconds 5 ;;
esac
! lets_xsetbv_through || set -- "$@" --no-xsave
tests/api/build/lmmem "$@" thp fork || :
swapoff /dev/zram0 2>/dev/null
[ ! -e /sys/kernel/debug/kmemleak ] || no_leaks 'the clients leave nothing behind'
:
