#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A host starts another kernel while a guest runs: by kexec, and by a panic into a
# crash kernel. The new kernel finds virtualisation off, loads the module and runs a
# guest. This script runs three times, once in each kernel.
# host: --smp 2 --mem 1536M --guest-kernel --append crashkernel=400M
# add: tests/api/build/lmmem
# add: tests/linux/build/lmkexec
# on: amd
# long: intel
# timeout: 300

. tests/lib.sh

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

# guest_runs TICKS: guests have had so much time
guest_runs() {
	awk -v ticks="$1" '$1 == "cpu" { exit $10 < ticks }' /proc/stat
}

set -- --size 8
! lets_xsetbv_through || set -- "$@" --no-xsave

if [ "$stage" -gt 1 ]; then
	rmmod lamina
	# Nobody can ask a CPU whether it is in VMX operation; but a kernel that is left so dies
	# as it clears CR4, and VMXON would fail.
	if [ "$LAMINA_HOST" = amd ]; then
		is "stage $stage: SVM was left off" "$(msr 0xc0000080 | sed 's/.*\(....\)$/\1/')" 0d01
		is "stage $stage: no host save area is set" "$(msr 0xc0010117)" 0000000000000000
	fi
	passes "stage $stage: the module loads" insmod /lib/lamina.ko
	[ "$stage" = 3 ] || next crash 'nr_cpus=1 irqpoll'
else
	next load ''
fi

if [ "$stage" = 3 ]; then
	tests/api/build/lmmem "$@" --seconds 2 plain
	exit
fi
tests/api/build/lmmem "$@" --seconds 10000 plain >/tmp/guest &
if ! wait_for 60 guest_runs 50; then
	not_ok "stage $stage: a guest runs"
	diag "$(cat /tmp/guest)"
	exit 1
fi
ok "stage $stage: a guest runs"
case $stage in
1) $lmkexec exec ;;
2) echo c >/proc/sysrq-trigger ;;
esac
not_ok "stage $stage: goes on in the next kernel"
