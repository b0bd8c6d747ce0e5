#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# What happens to a host while a guest runs: CPUs go and come back, suspend, a
# stopped and a frozen tool, KVM beside it. The guest gets on after each, its memory
# and its clock are right.
# host: --smp 2 --mem 1G --guest-kernel
# add: tests/linux.sh
# add: tests/linux/build/lmwork
# on: amd intel
# timeout: 300

. tests/lib.sh
. tests/linux.sh

worker 48
start busy --mem 192M --cpus "$smp"
# shellcheck disable=SC2154 # busy_pid: start
if ! running busy '^work: begun'; then
	drop busy
	exit
fi
works busy 'the guest works'

# cpu1 WORD: 0 takes it off line, 1 brings it back
cpu1() {
	echo "$1" >/sys/devices/system/cpu/cpu1/online
}

# on_cpu N: both vCPUs ran there last
on_cpu() {
	n=0
	for task in /proc/"${busy_pid:?}"/task/*; do
		grep -q '^busy/' "$task/comm" || continue
		[ "$(sed 's/.*) //' "$task/stat" | cut -d ' ' -f 37)" -eq "$1" ] || return 1
		n=$((n + 1))
	done
	[ $n -eq 2 ]
}

# The CPU takes the guest's virtualisation with it, and both vCPUs must move. (CPU 0
# stays: Linux knows it to go on Intel's CPUs alone. On the emulated Intel host with two
# CPUs no Linux guest boots: two-cpus.sh.)
rounds='1 2 3'
! brief || rounds=1
[ "$(nproc)" -gt 1 ] && hotplugs=$rounds || hotplugs=''
for round in $hotplugs; do
	taskset -ap 2 "$busy_pid" >/dev/null
	works busy "on CPU 1 alone ($round)"
	passes "it is on CPU 1 ($round)" on_cpu 1
	passes "CPU 1 goes ($round)" cpu1 0
	works busy "without CPU 1 ($round)"
	passes "the guest moved ($round)" on_cpu 0
	passes "CPU 1 comes back ($round)" cpu1 1
	taskset -ap 3 "$busy_pid" >/dev/null
	works busy "CPU 1 is back ($round)"
done

echo 1 >/sys/module/suspend/parameters/pm_test_delay
# suspends TEST STATE
suspends() {
	echo "$1" >/sys/power/pm_test
	passes "suspend: $2, $1" sh -c "echo $2 >/sys/power/state"
	works busy "after suspend: $2, $1"
}
for level in devices processors core; do
	suspends $level mem
done
suspends platform freeze

kill -STOP "$busy_pid"
sleep 1
kill -CONT "$busy_pid"
works busy 'after SIGSTOP and SIGCONT'

group=/sys/fs/cgroup/guest
mkdir $group
echo "$busy_pid" >$group/cgroup.procs
for round in $rounds; do
	echo 1 >$group/cgroup.freeze
	passes "frozen ($round)" wait_for 60 grep -qx 'frozen 1' $group/cgroup.events
	echo 0 >$group/cgroup.freeze
	passes "thawed ($round)" wait_for 60 grep -qx 'frozen 0' $group/cgroup.events
	works busy "after the freezer ($round)"
done

exits 1 'KVM is refused while a guest runs' modprobe "$kvm"
like 'the kernel log says why' "$(dmesg | tail -n 20)" \
	"lamina: $kvm refused: Lamina's guests are running"
works busy 'after KVM was refused'
retire busy 'the guest'

passes 'KVM may come afterwards' modprobe "$kvm"
guest --mem 192M
is 'Lamina is refused beside KVM' "$status" 1
like 'the tool says why' "$text" '^lamina: .*another hypervisor'
like 'the kernel log says what to do' "$(dmesg | tail -n 5)" \
	"lamina: $kvm is loaded and owns $extensions: unload it \\(lamina load --replace-kvm"
rmmod "$kvm" kvm
is 'nothing is left' "$(refs) $(ls /sys/kernel/debug/lamina)" '0 '
