#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A host that does not trust its TSC: the guest's clock has no stable bit, and runs
# on across CPUs all the same, also when its threads change CPUs and over suspend.
# host: --smp 2 --mem 1G --guest-kernel --append tsc=unstable
# add: tests/linux.sh
# add: tests/linux/build/lmwork
# add: tests/guest/build/lmtest
# on: amd intel
# timeout: 240

. tests/lib.sh
. tests/linux.sh

like 'the host does not trust its TSC' "$(dmesg)" 'Marking TSC unstable'
unlike 'it has another clock' \
	"$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)" '^tsc'

set --
! lets_xsetbv_through || set -- --no-xsave
tests/guest/build/lmtest "$@" --timeout 60 'kvmclock*' 'tsc*' || :

worker 16
start busy --mem 160M --cpus "$smp"
# shellcheck disable=SC2154 # busy_pid: start
if running busy '^work: begun' && works busy 'the guest works'; then
	like "the guest's clock" "$(cat "$work/busy.out")" "^guest: up cpus=$smp .*clocksource=kvm-clock"
	masks='1 2 3'
	[ "$(nproc)" -gt 1 ] || masks=''
	for round in 1 2 3; do
		for mask in $masks; do
			taskset -ap "$mask" "$busy_pid" >/dev/null
			works busy "on CPUs $mask ($round)"
		done
	done
	echo 1 >/sys/module/suspend/parameters/pm_test_delay
	echo core >/sys/power/pm_test
	passes 'suspend' sh -c 'echo mem >/sys/power/state'
	works busy 'after suspend'
	retire busy 'the guest'
else
	drop busy
fi
is 'nothing is left' "$(refs) $(ls /sys/kernel/debug/lamina)" '0 '
