#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Random calls of /dev/lamina with arguments that make some sense, from several threads on
# several VMs, guided by the code they reach: KASAN, lockdep and kmemleak find nothing, and
# nothing is left. Half a minute, or with LONG ten; for hours as docs/measuring.md says.
# host: --smp 2 --mem 1G
# add: tests/fuzz/build/lmfuzz
# on: debug
# long: amd intel
# timeout: 300

. tests/lib.sh

# The same each time, so that a change is what a new failure comes from; in a long run a new one.
seed=1 seconds=30
[ -z "${LONG:-}" ] || seed=$(date +%s) seconds=600
tests/fuzz/build/lmfuzz --seed "$seed" --seconds "$seconds"
is 'it came to its end' $? 0
passes 'nobody holds the module' wait_for 20 grep -qx 0 /sys/module/lamina/refcnt
is 'no VM is left' "$(ls /sys/kernel/debug/lamina)" ''
no_leaks 'the calls leave nothing behind'
passes 'the module goes' rmmod lamina
