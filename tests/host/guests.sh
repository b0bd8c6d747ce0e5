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
# Bochs 3.0 with two CPUs pushes wrong frames now and then, with KVM as well: what one CPU can
# show is shown by intel, and here what only two can.
only=
if [ "$LAMINA_HOST" = intel ] && [ "$(nproc)" -gt 1 ]; then
	only='smp_* ipi_* kvmclock_smp pv_send_ipi pv_unhalt dirty_log_smp slot_* ram_* tlb_shootdown'
fi
set -f
# shellcheck disable=SC2086 # several words
tests/guest/build/lmtest "$@" -- $without $only || :
[ ! -e /sys/kernel/debug/kmemleak ] || no_leaks 'the guests leave nothing behind'
:
