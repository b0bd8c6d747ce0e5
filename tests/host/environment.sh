#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The emulated host offers what other tests take for granted.
# host: --smp 2 --mem 1G --guest-kernel
# on: amd intel intel2
# long: debug
# module: no
# timeout: 240

. tests/lib.sh

cpu=$(grep -m 1 '^flags' /proc/cpuinfo)
case $LAMINA_HOST in
amd)
	is 'two CPUs' "$(nproc)" 2
	like 'SVM, nested paging' "$cpu" '\bsvm\b.*\bnpt\b'
	vendor=kvm_amd
	;;
intel)
	like 'one or two CPUs' "$(nproc)" '^[12]$'
	like 'VMX, nested paging' "$cpu" '\bvmx\b.*\bept\b'
	vendor=kvm_intel
	;;
esac
unlike 'no hypervisor is loaded' "$(cat /proc/modules)" '^(kvm|lamina)'
for dir in /proc /sys /dev /dev/pts /dev/shm /tmp /sys/kernel/debug \
	/sys/kernel/tracing /sys/fs/cgroup; do
	passes "$dir is mounted" grep -q " $dir " /proc/mounts
done
passes 'tracepoints can be set' test -e /sys/kernel/tracing/events/sched/enable
for file in vmlinuz initrd; do
	passes "/guest/$file" test -s "/guest/$file"
done
for module in $vendor tun vhost_net bridge veth msr zram; do
	passes "modprobe $module" modprobe "$module"
done
passes 'KVM works' test -c /dev/kvm
passes 'unload KVM' rmmod "$vendor" kvm
passes 'the loopback interface is up' ping -c 1 127.0.0.1

# What only the debug kernel has.
for file in kmemleak kunit failslab fail_page_alloc fail_usercopy; do
	case $(uname -r) in
	*-lamina-debug) passes "$file" test -e "/sys/kernel/debug/$file" ;;
	esac
done
no_leaks 'nothing has leaked so far'
