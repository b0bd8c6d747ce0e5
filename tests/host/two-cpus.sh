#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What only a host with two CPUs can show: vCPUs that change CPUs, and one CPU that goes
# off line under them and comes back; memory that is taken away on both; NMIs that end a
# guest's run. Each entry is checked: no control structure is active on two CPUs, no flush
# is missing.
# host: --smp 2 --mem 1G
# add: tests/api/build/lmmem
# on: amd debug intel2
# module: debug_state=1 debug_tlb=1 vmx_check=1
# timeout: 300

. tests/lib.sh

tracing=/sys/kernel/tracing
cpu1=/sys/devices/system/cpu/cpu1/online

mem() {
	tests/api/build/lmmem "$@"
}
set -- --size 8 --seconds 4
[ "$LAMINA_HOST" != intel ] || set -- --size 2 --seconds 2
! lets_xsetbv_through || set -- --no-xsave "$@"

is 'two CPUs' "$(nproc)" 2
mem "$@" move offline
echo 1 >$cpu1 2>/dev/null
is 'CPU 1 is back' "$(cat $cpu1)" 1
swap_on 64M
mem "$@" pageout mprotect | sed 's/^\(ok\|skip\|not ok\) /&with two CPUs again: /'
swapoff /dev/zram0 2>/dev/null

# The NMI of "echo l" goes to every other CPU, and a guest runs on each.
interrupted=''
case $LAMINA_HOST in
intel) interrupted='code == 0' ;;	# exception or NMI: table C-1
amd) interrupted='code == 0x61' ;;	# APM vol. 2, appendix C
esac
echo "$interrupted" >$tracing/events/lamina/lm_exit/filter
echo 1 >$tracing/events/lamina/lm_exit/enable
mem "$@" --seconds 10 plain >/tmp/plain &
pid=$!
dmesg -c >/dev/null
# As often as it takes, while the guest runs.
until grep -q 'mem-plain' /tmp/plain || grep -q lm_exit: $tracing/trace; do
	sleep 0.$tick
	echo l >/proc/sysrq-trigger
done
wait $pid
cat /tmp/plain
echo 0 >$tracing/events/lamina/lm_exit/enable
like 'an NMI ended a run of a guest' "$(cat $tracing/trace)" ' lm_exit: '
like 'and went on to the host' "$(dmesg -c)" 'NMI backtrace for cpu [01]$'
