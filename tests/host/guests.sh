#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The tiny guests: what the CPU, the interrupt controllers, the clocks and the
# memory of a guest do.
# host: --smp 2 --mem 1G
# add: tests/guest/build/lmtest
# on: amd debug intel intel2
# timeout: 400

. tests/lib.sh

set --
! lets_xsetbv_through || set -- --no-xsave
case $(uname -r) in
*-debug) set -- "$@" --timeout 60 --hang 2000 ;;
esac
without_bochs_faults
# shellcheck disable=SC2086 # several words
tests/guest/build/lmtest "$@" -- $without || :
[ ! -e /sys/kernel/debug/kmemleak ] || no_leaks 'the guests leave nothing behind'
:
