#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A host starts another kernel while a guest runs: by kexec, and by a panic into a
# crash kernel. The new kernel finds virtualisation off, loads the module and runs a
# guest. This script runs three times, once in each kernel.
# host: --smp 2 --mem 1536M --guest-kernel --append crashkernel=400M
# add: tests/linux.sh
# add: tests/linux/build/lmwork
# add: tests/linux/build/lmkexec
# timeout: 300

. tests/lib.sh
. tests/linux.sh

lmkexec=tests/linux/build/lmkexec
stage=1
[ ! -e /stage ] || stage=$(cat /stage)

# msr NUMBER: of every CPU
msr() {
	modprobe msr
	for cpu in /dev/cpu/*/msr; do
		dd if="$cpu" bs=8 count=1 skip=$(($1)) iflag=skip_bytes 2>/dev/null | od -An -tx8
	done | tr -d ' ' | sort -u
}

# The whole system as the next kernel's initial one, to go on with this script.
next() {
	echo $((stage + 1)) >/stage
	(cd / && find . -xdev ! -path ./guest/vmlinux | cpio -o -H newc 2>/dev/null) >/tmp/next
	passes "stage $stage: $1 a kernel" $lmkexec "$1" /guest/vmlinuz /tmp/next \
		"$(cat /proc/cmdline) $2"
	rm /tmp/next
}

kernel=/guest/vmlinuz
worker 32
if [ "$stage" -gt 1 ]; then
	rmmod lamina
	is "stage $stage: SVM was left off" "$(msr 0xc0000080 | sed 's/.*\(....\)$/\1/')" 0d01
	is "stage $stage: no host save area is set" "$(msr 0xc0010117)" 0000000000000000
	insmod /lib/lamina.ko
	[ "$stage" = 3 ] || next crash 'nr_cpus=1 irqpoll'
else
	next load ''
fi

start busy --mem 160M --cpus 2
if ! running busy '^work: begun' || ! works busy "stage $stage: a guest works"; then
	drop busy
	exit 1
fi
case $stage in
1)
	$lmkexec exec
	;;
2)
	echo c >/proc/sysrq-trigger
	;;
3)
	retire busy "stage $stage: the guest"
	exit 0
	;;
esac
not_ok "stage $stage: goes on in the next kernel"
