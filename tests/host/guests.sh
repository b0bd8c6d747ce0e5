#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The tiny guests: what the CPU, the interrupt controllers, the clocks and the
# memory of a guest do.
# host: --smp 2 --mem 1G
# add: tests/guest/build/lmtest
# on: amd debug
# timeout: 400

. tests/lib.sh

set --
! lets_xsetbv_through || set -- --no-xsave
case $(uname -r) in
*-debug) set -- "$@" --timeout 60 --hang 2000 ;;
esac
# Bochs takes no interrupt while a guest loops with its own off, with KVM neither.
if [ "$LAMINA_HOST" = intel ]; then
	skip r16_loop 'Bochs never comes out of it'
	set -- "$@" -- -r16_loop
fi
tests/guest/build/lmtest "$@" || :
[ ! -e /sys/kernel/debug/kmemleak ] || no_leaks 'the guests leave nothing behind'
:
