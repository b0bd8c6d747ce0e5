#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Memory that a client marks for the dirty log: whatever writes it, by the CPU or by the
# module, no page is missing in what is harvested, by bitmap, by hand or by ring.
# host: --smp 2 --mem 1G
# add: tests/api/build/lmdirty
# on: amd intel intel-pml
# long: debug
# timeout: 200

. tests/lib.sh

set --
! lets_xsetbv_through || set -- --no-xsave
swap_on 256M
# The emulated Intel CPU is slow.
! brief || set -- "$@" --size 4 --rounds 3
for mode in get clear full ring; do
	tests/api/build/lmdirty "$@" $mode || :
done
swapoff /dev/zram0 2>/dev/null
:
