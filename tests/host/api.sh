#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The KVM API as raw ioctls, with right and wrong arguments; the memory of a
# guest while the host swaps, splits, merges, moves and copies it.
# host: --smp 2 --mem 1G
# add: tests/api/build/lmapi
# add: tests/api/build/lmmem
# on: amd debug intel
# long: intel2
# timeout: 500

. tests/lib.sh

set --
! lets_xsetbv_through || set -- --no-xsave
tests/api/build/lmapi "$@" || :

swap_on 256M
case $(uname -r) in
*-debug) set -- "$@" --size 16 --seconds 5 ;;
*) set -- "$@" --size 32 --seconds 4 ;;
esac
modes='plain pageout dontneed thp ksm mprotect mremap fork compact'
# The emulated Intel CPU is slow.
if brief; then
	modes='plain pageout mprotect'
	set -- --size 8 --seconds 2
fi
# shellcheck disable=SC2086 # several words
tests/api/build/lmmem "$@" $modes || :
swapoff /dev/zram0 2>/dev/null
[ ! -e /sys/kernel/debug/kmemleak ] || no_leaks 'the clients leave nothing behind'
:
