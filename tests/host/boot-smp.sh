#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Guests with several CPUs, on a host with two and on one of its CPUs: boot after
# boot, with work for all of them, and side by side. With LONG sixteen in a row.
# host: --smp 2 --mem 1G --guest-kernel
# add: tests/linux.sh
# on: amd intel-no-apicv
# timeout: 600

. tests/lib.sh
. tests/linux.sh

# Every CPU makes data, passes it through a pipe to another process, and reads it
# again; the sums must agree. /proc/stat shows that each did so itself.
initrd load <<'END'
cpus=$(nproc)
echo "job: complaints $(complaints | head -n 3)"
echo "job: online $(cat /sys/devices/system/cpu/online)"
work() {
	for i in 1 2 3; do
		a=$(dd if=/dev/urandom bs=64k count=16 2>/dev/null | tee "/data$1" | md5sum)
		b=$(cat "/data$1" | cat | md5sum)
		[ "$a" = "$b" ] || return 1
	done
	echo "$1" >>"/done"
}
n=0
while [ $n -lt "$cpus" ]; do
	(taskset -p $((1 << n)) $(sh -c 'echo $PPID') >/dev/null; work $n) &
	(work "x$n") &
	n=$((n + 1))
done
wait
echo "job: done $(wc -l </done) of $((cpus * 2))"
idle=0
while read -r name user nice system rest; do
	case $name in
	cpu[0-9]*) [ $((user + system)) -gt 0 ] || idle=$((idle + 1)) ;;
	esac
done </proc/stat
echo "job: idle $idle"
echo "job: timers $(awk '/^ *LOC:/ { for (i = 2; i < 2 + '$cpus'; i++) n += $i > 0 } END { print n }' /proc/interrupts)"
echo "job: calls $(awk '/^ *CAL:/ { print ($2 + $3 > 0) }' /proc/interrupts)"
END

# sound NAME CPUS: the guest that has just ended did all it should
sound() {
	if [ "$status" -eq 0 ] &&
	   [ "$(lines "$text" "^guest: up cpus=$2 mem=[0-9]+kB clocksource=$clock")" -eq 1 ] &&
	   [ "$(lines "$text" '^job: complaints $')" -eq 1 ] &&
	   [ "$(lines "$text" "^job: online 0-$(($2 - 1))\$")" -eq 1 ] &&
	   [ "$(lines "$text" "^job: done $(($2 * 2)) of $(($2 * 2))\$")" -eq 1 ] &&
	   [ "$(lines "$text" '^job: idle 0$')" -eq 1 ] &&
	   [ "$(lines "$text" "^job: timers $2\$")" -eq 1 ] &&
	   [ "$(lines "$text" '^job: calls 1$')" -eq 1 ] &&
	   [ "$(lines "$text" 'reboot: Power down$')" -eq 1 ]; then
		ok "$1"
	else
		not_ok "$1" "status $status"
		diag "$text"
	fi
}

# What all others inherit while the host has "one CPU".
on_one_cpu() {
	taskset -p 1 $$ >/dev/null
}

on_all_cpus() {
	taskset -p 3 $$ >/dev/null
}

vcpus='2 4' many=4
[ -z "${LONG:-}" ] || many=16
! brief || vcpus=2 many=2	# without virtual interrupt delivery: docs/vmx-features.md
for cpus in $vcpus; do
	if [ "$(nproc)" -gt 1 ]; then
		guest --mem 256M --cpus "$cpus"
		sound "$cpus vCPUs on two CPUs" "$cpus"
	fi
	on_one_cpu
	guest --mem 256M --cpus "$cpus"
	sound "$cpus vCPUs on one CPU" "$cpus"
	on_all_cpus
done

words='lm.run=true'
n=0
while [ $n -lt $many ]; do
	n=$((n + 1)) cpus=$((n % 3 + 1))
	guest --mem 128M --cpus "$cpus"
	if [ "$status" -eq 0 ] && [ "$(lines "$text" "^guest: up cpus=$cpus ")" -eq 1 ]; then
		ok "boot $n of $many"
	else
		not_ok "boot $n of $many" "status $status"
		diag "$text"
	fi
done

if ! brief; then
	words='lm.run=read+-r+x;sh+/job'
	start one --mem 192M --cpus 2
	start two --mem 192M --cpus 2
	# Both are up before either may begin.
	if running one '^guest: up' && running two '^guest: up'; then
		is 'two guests are there' "$(find /sys/kernel/debug/lamina -name vm | wc -l)" 2
		echo >"$work/one.in"
		echo >"$work/two.in"
		finish one
		sound 'the first of two guests' 2
		finish two
		sound 'the second of two guests' 2
	else
		drop one
		drop two
	fi
fi
is 'nothing is left' "$(refs) $(ls /sys/kernel/debug/lamina)" '0 '
